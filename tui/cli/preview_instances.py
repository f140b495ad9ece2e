"""What `launch --dry-run` shows of instances: type, region, market and time to live of each task's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...engine.plan.durations import format_duration
from ...engine.plan.model import Plan
from ...engine.sources.registry import SourceSpec
from .cloud import instances_of

if TYPE_CHECKING:
    from ...engine.aws.model import InstanceSpec


@dataclass(frozen=True, slots=True)
class Column:
    """One property of the instances; a cell for each task, empty for one that runs on none."""

    name: str
    cells: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.cells)) > 1


def instance_columns(plan: Plan, specs: Sequence[SourceSpec]) -> list[Column]:
    """The properties, none where no source is a cloud's. A task that may run in several places has all their values.

    Raises `UserError` where a task's instance cannot be.
    """
    wishes: list[list[InstanceSpec]] = [[] for _ in plan.tasks]
    for (_, wish), tasks in instances_of(plan, specs).items():
        for index in tasks:
            wishes[index].append(wish)
    if not any(wishes):
        return []
    properties = {"type": _type, "region": _region, "market": _market, "ttl": _ttl}
    return [
        Column(name, tuple(" or ".join(dict.fromkeys(map(told, each))) for each in wishes))
        for name, told in properties.items()
    ]


def _type(wish: InstanceSpec) -> str:
    return "|".join(wish.types)


def _region(wish: InstanceSpec) -> str:
    return ", ".join(wish.zones) or wish.region


def _market(wish: InstanceSpec) -> str:
    if not wish.spot:
        return "on-demand"
    most = "" if wish.spot_max_price is None else f" up to ${wish.spot_max_price:g}/h"
    return f"spot{most}{', else on-demand' if wish.spot_fallback else ''}"


def _ttl(wish: InstanceSpec) -> str:
    return "none" if wish.ttl is None else format_duration(wish.ttl)
