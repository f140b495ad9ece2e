"""When a source is trusted with work: the thresholds, and how its machine feels. Pure, and knows nothing of sweeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["healthy", "degraded"]

FULL = 90.0
"""Percent of memory or disk in use above which a source is degraded."""
OVERLOAD = 4.0
"""Load average per core above which a source is degraded."""
REPORT_EVERY = 60.0
"""Seconds between two health reports in the journal while the level stays the same."""


@dataclass(frozen=True, slots=True)
class HealthRules:
    """What disables a source and what brings it back. All of it stands in the journal with the sweep."""

    grace: float = 300.0
    """Seconds a source may be unreachable, or an attempt unknown, before its work goes elsewhere."""
    strikes: int = 3
    """Failures in a row to reach a source, or to launch there, that disable it."""
    failure_rate: float = 0.4
    """Share of failed tasks above which a source is compared with the others."""
    failure_tasks: int = 5
    """Ended tasks below which a failure rate says nothing."""
    cooldown: float = 300.0
    """Seconds a disabled source is left alone before a probe; doubled each time it is disabled."""
    probes: int = 3
    """Failed probes after which a source is disabled for good."""
    withdraw_after: float = 5.0
    """Seconds a task waits in a source's queue before it may be taken back for a free slot elsewhere."""

    def __post_init__(self) -> None:
        for name in ("grace", "cooldown", "withdraw_after"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is a number of seconds, not {getattr(self, name)!r}")
        for name in ("strikes", "failure_tasks", "probes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, not {getattr(self, name)!r}")
        if not 0 < self.failure_rate <= 1:
            raise ValueError(f"failure_rate is a share between 0 and 1, not {self.failure_rate!r}")

    def pairs(self) -> tuple[tuple[str, float], ...]:
        """What differs from the defaults, as it stands in the journal (grace has a field of its own there)."""
        return tuple(
            (f.name, getattr(self, f.name))
            for f in fields(self)
            if f.name != "grace" and getattr(self, f.name) != f.default
        )

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, float]], grace: float) -> HealthRules:
        """The rules of a journal; names of a later version are passed over. Raises `ValueError`."""
        known = {f.name for f in fields(cls)} - {"grace"}
        values = {name: value for name, value in pairs if name in known}
        return cls(grace=grace, **values)  # type: ignore[arg-type]

    def rest(self, times: int) -> float:
        """Seconds a source that was disabled for the `times`-th time is left alone; at most a day."""
        return min(86_400.0, self.cooldown * 2.0 ** min(times - 1, 30)) if times > 0 else 0.0


DEFAULT_RULES = HealthRules()


def level_of(*, memory: float | None, disk: float | None, load: float | None) -> Level:
    """`memory` and `disk` in percent used, `load` per core; None where nobody can say, which is no complaint."""
    if (memory or 0.0) > FULL or (disk or 0.0) > FULL or (load or 0.0) > OVERLOAD:
        return "degraded"
    return "healthy"


def too_many(failed: int, ended: int, rules: HealthRules) -> bool:
    """Whether this failure rate, by enough tasks to say so, is above what a source is allowed."""
    return ended >= rules.failure_tasks and failed > rules.failure_rate * ended
