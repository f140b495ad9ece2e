"""A price as it is known, and the dated table that stands in where the Pricing API cannot be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

Where = Literal["pricing api", "spot history", "table"]
NOT_INCLUDED = "volumes (EBS), public IPv4 addresses and traffic are not included"


@dataclass(frozen=True, slots=True)
class Price:
    """What one instance costs in USD per hour; of a spot price over several zones, their mean."""

    usd_per_hour: float
    dated: date
    """The day on which it was in force."""
    where: Where
    zones: tuple[tuple[str, float], ...] = ()
    """Of a spot price: what each zone asks, by name."""

    @property
    def lowest(self) -> float:
        return min((usd for _, usd in self.zones), default=self.usd_per_hour)

    @property
    def highest(self) -> float:
        return max((usd for _, usd in self.zones), default=self.usd_per_hour)

    def within(self, zones: tuple[str, ...]) -> Price | None:
        """The same of these zones alone; None if none of them has a price. An on-demand price holds in all zones."""
        if not zones or self.where != "spot history":
            return self
        kept = tuple(pair for pair in self.zones if pair[0] in zones)
        return spot_price(kept, self.dated) if kept else None

    def origin(self) -> str:
        """`pricing api, 2026-11-22` or `table of 2026-01-19`."""
        return f"table of {self.dated}" if self.where == "table" else f"{self.where}, {self.dated}"


def spot_price(zones: tuple[tuple[str, float], ...], dated: date) -> Price:
    """The price over `zones`, of which there is at least one."""
    return Price(sum(usd for _, usd in zones) / len(zones), dated, "spot history", zones)


def table_price(region: str, instance_type: str) -> Price | None:
    """The on-demand price in the table that comes with the program; None if it is not there."""
    found = _table().get(region)
    if found is None or instance_type not in found[1]:
        return None
    return Price(found[1][instance_type], found[0], "table")


@lru_cache(maxsize=1)
def _table() -> Mapping[str, tuple[date, Mapping[str, float]]]:
    import yaml

    text = Path(__file__).with_name("prices_table.yaml").read_text(encoding="utf-8")
    regions = cast("dict[str, dict[str, Any]]", yaml.safe_load(text))
    return {
        region: (rows["dated"], {name: float(usd) for name, usd in rows["usd_per_hour"].items()})
        for region, rows in regions.items()
    }
