"""A source as the screen holds it, and in which words it is told: how it feels, why, how fast it is.

Pure, as `view`. The same words serve the screen, `status` and the lines of `--no-ui`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..engine.ids import task_name
from . import format as fmt

if TYPE_CHECKING:
    from ..engine.source_state import SourceState

Health = Literal["", "healthy", "degraded", "probing", "disabled", "unreachable", "removed"]
TROUBLED: tuple[Health, ...] = ("unreachable", "disabled", "probing", "degraded")
"""What a person should know of before all else, the worst first."""
_NAMED = 4
"""Sources whose reasons the alarm tells; all stand in their pane."""
FRESH = 90.0
"""Seconds: a health report comes at least once a minute; what is older than this is said to be old."""


class SourceRow(NamedTuple):
    """One source as it was when it was looked at. Times are seconds since 1970."""

    name: str
    kind: str
    slots: int
    busy: int = 0
    """Attempts that run there, or are on their way; what waits in a queue of the source's own is in `queued`."""
    completed: int = 0
    """Attempts, as `failed`: a task that was tried again counts each time."""
    failed: int = 0
    removed: bool = False
    unreachable_since: float | None = None
    unreachable_reason: str = ""
    unknown: int = 0
    """How many of the `busy` hold an attempt nobody can speak for."""
    queue: bool = False
    queued: int = 0
    waits: tuple[tuple[str, int, str], ...] = ()
    """Of its batches in the queue: id, how many wait, and why in the scheduler's words."""
    disabled_since: float | None = None
    disabled_reason: str = ""
    for_good: bool = False
    """Disabled, and not tried again before a person says so."""
    probe_at: float | None = None
    probing: int | None = None
    """The task that is its probe now."""
    strikes: int = 0
    strike_reason: str = ""
    level: str = ""
    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None
    per_core: float | None = None
    queue_words: str = ""
    health_at: float | None = None
    mean: float | None = None
    """Seconds an attempt takes here; None until one has ended by itself."""
    recent_ends: tuple[float, ...] = ()
    """Times of the latest ends there, oldest first."""
    options: tuple[tuple[str, str], ...] = ()
    room: int = 0
    room_reason: str = ""
    """How many attempts it has room for, whatever its slots, and why; 0: for as many as it has slots."""
    cost: str = ""
    """What its attempts have cost, in words; empty if nothing is known to cost anything."""

    @property
    def health(self) -> Health:
        """In one word; empty where nothing was ever heard."""
        if self.removed:
            return "removed"
        if self.unreachable_since is not None:
            return "unreachable"
        if self.disabled_since is not None:
            return "disabled" if self.probing is None else "probing"
        return "degraded" if self.level == "degraded" else "healthy" if self.level else ""

    @property
    def takes_tasks(self) -> bool:
        """Whether it may be given tasks now."""
        return self.health in ("", "healthy", "degraded")

    @property
    def held(self) -> int:
        """Attempts that may be alive there."""
        return self.busy + self.queued

    def reason_of(self, batch: str) -> str:
        """Why attempts of this batch wait, in the scheduler's words; empty if it has not said."""
        return next((reason for name, _, reason in self.waits if name == batch), "")

    def throughput(self, now: float) -> float | None:
        """Ends per second over the latest ends; sinks while nothing ends. None without a measure."""
        if len(self.recent_ends) < 2 or not self.held:
            return None
        span = now - self.recent_ends[0]
        return (len(self.recent_ends) - 1) / span if span > 0 else None


def source_row(
    source: SourceState, unknown: int = 0, ends: Iterable[float] = (), now: float | None = None
) -> SourceRow:
    """The source as it is `now` (seconds since 1970; None: by the clock); O(its live batches).

    `unknown`: how many of its attempts nobody can speak for.
    """
    queued = len(source.waiting) + len(source.asked)
    busy = max(0, len(source.active) - queued)
    return SourceRow(
        source.name, source.kind, source.slots, busy, source.completed, source.failed, source.removed,
        source.unreachable_since, source.unreachable_reason, min(unknown, busy), source.queue, queued,
        tuple((name, batch.waiting, batch.reason) for name, batch in source.batches.items() if batch.reason),
        source.disabled_since, source.disabled_reason, source.disabled_for_good, source.probe_at, source.probing,
        source.strikes, source.strike_reason, source.level, source.cpu, source.memory, source.disk, source.per_core,
        source.queue_words, source.health_at, source.mean_seconds, tuple(ends), source.options,
        source.room, source.room_reason, _cost(source, time.time() if now is None else now),
    )  # fmt: skip


def _cost(source: SourceState, now: float) -> str:
    """Until `now`."""
    if not (source.spent or source.rate or source.unpriced):
        return ""
    from ..engine.cost import in_words, source_cost

    return in_words(source_cost(source, now))


# --- words ------------------------------------------------------------------------------------------------


def short(source: SourceRow, now: float) -> str:
    """Its health and since when: `unreachable since 12:03`, `degraded: memory 93 %`, `probing with task_004`."""
    match source.health:
        case "unreachable":
            return f"unreachable since {fmt.since(source.unreachable_since, now)}"
        case "disabled":
            return f"disabled since {fmt.since(source.disabled_since, now)}"
        case "probing" if source.probing is not None:
            return f"probing with {task_name(source.probing)}"
        case "degraded":
            return f"degraded: {complaint(source)}"
        case "removed":
            left = f", {fmt.plural(source.held, 'task')} left" if source.held else ""
            return f"removed{left}"
        case word:
            return word


def reason(source: SourceRow) -> str:
    """Why it is not as it should be, whole; empty if there is nothing to say."""
    match source.health:
        case "unreachable":
            return fmt.clean(source.unreachable_reason) or "no reason is known"
        case "disabled" | "probing":
            return fmt.clean(source.disabled_reason) or "no reason is known"
        case "degraded":
            return complaint(source)
        case _:
            return ""


def words(source: SourceRow, now: float) -> str:
    """Health and reason in one line: `disabled since 12:01: 3 failures in a row: no space left on device`."""
    head, why = short(source, now), reason(source)
    if source.health == "degraded" or not why:
        return head
    return f"{head}: {why}"


def prospect(source: SourceRow, now: float) -> str:
    """What becomes of it now; empty if nothing needs to be said."""
    match source.health:
        case "unreachable":
            held = f"; {fmt.plural(source.held, 'task')} there may still run" if source.held else ""
            return f"It is asked again and again{held}."
        case "disabled" if source.for_good:
            return "It gets no tasks until it is enabled."
        case "disabled" if source.probe_at is not None and source.probe_at > now:
            return (
                f"It is tried with one task in {fmt.duration(source.probe_at - now)}, or once it is enabled."
            )
        case "disabled":
            return "It is tried with one task next."
        case "probing":
            return "If that goes well it gets tasks again."
        case "removed" if source.held:
            return f"It gets no new tasks; what it holds ({source.held:,}) goes on to its end."
        case "removed":
            return "It gets no new tasks."
        case _ if source.room:
            return f"It has room for {source.room:,} now: {fmt.clean(source.room_reason)}"
        case _ if source.strikes:
            why = fmt.clean(source.strike_reason)
            return f"{fmt.plural(source.strikes, 'failure')} in a row to reach it or to launch there: {why}"
        case _:
            return ""


def complaint(source: SourceRow) -> str:
    """What makes it degraded: `memory 93 %, disk 97 %`."""
    from ..engine.health import FULL, OVERLOAD

    parts = [
        f"{name} {share:.0f} %"
        for name, share in (("memory", source.memory), ("disk", source.disk))
        if share is not None and share > FULL
    ]
    if source.per_core is not None and source.per_core > OVERLOAD:
        parts.append(f"load {source.per_core:.1f} per core")
    return ", ".join(parts) or "it says so"


def figures(source: SourceRow, *, whole: bool = False) -> list[str]:
    """How its machine feels, the most telling first: `cpu 32%`, `mem 40%`, `load 0.8`, `disk 12%`.

    Without what it complains of, unless they shall be `whole`: that is said already.
    """
    said = "" if whole or source.health != "degraded" else complaint(source)
    parts = [fmt.clean(source.queue_words)] if source.queue_words else []
    for name, complained, value, unit in (
        ("cpu", "cpu", source.cpu, "%"),
        ("mem", "memory", source.memory, "%"),
        ("load", "load", source.per_core, ""),
        ("disk", "disk", source.disk, "%"),
    ):
        if value is not None and complained not in said:
            parts.append(f"{name} {value:.0f}%" if unit else f"{name} {value:.1f}")
    return parts


def pace(source: SourceRow, now: float) -> list[str]:
    """How fast it is: tasks per minute, and how long one takes: `12/min`, `34s each`."""
    parts: list[str] = []
    speed = source.throughput(now)
    if speed:
        parts.append(f"{speed * 60:.1f}/min" if speed * 60 < 10 else f"{speed * 60:,.0f}/min")
    if source.mean is not None:
        parts.append(f"{fmt.duration(source.mean)} each")
    return parts


def waiting(source: SourceRow) -> str:
    """What waits in its queue and why: `340 queued (Resources)`; several reasons with their numbers. Empty: nothing."""
    if not source.queued:
        return ""
    by_reason: dict[str, int] = {}
    for _, number, why in source.waits:
        if number:
            by_reason[why] = by_reason.get(why, 0) + number
    if not by_reason:
        return f"{source.queued:,} queued"
    named = sorted(by_reason.items(), key=lambda item: -item[1])
    if len(named) == 1:
        return f"{source.queued:,} queued ({fmt.clean(named[0][0])})"
    return f"{source.queued:,} queued ({', '.join(f'{number:,} {fmt.clean(why)}' for why, number in named)})"


def age(source: SourceRow, now: float) -> str:
    """How old the figures of its machine are, in words; empty if there are none."""
    return "" if source.health_at is None else fmt.ago(now - source.health_at)


def stale(source: SourceRow, now: float) -> bool:
    """Whether the figures of its machine are older than they should be."""
    return source.health_at is not None and now - source.health_at > FRESH


def troubles(sources: Iterable[SourceRow]) -> dict[Health, list[SourceRow]]:
    """The sources that are not as they should be, by their health, the worst first."""
    found: dict[Health, list[SourceRow]] = {word: [] for word in TROUBLED}
    for source in sources:
        if source.health in found:
            found[source.health].append(source)
    return {word: rows for word, rows in found.items() if rows}


def summed(troubled: Mapping[Health, Sequence[SourceRow]]) -> str:
    """How many of `troubles` there are, for a title: `2 unreachable`, `1 unreachable, 3 others in trouble`."""
    (worst, first), *others = ((word, len(rows)) for word, rows in troubled.items())
    more = sum(number for _, number in others)
    return f"{first:,} {worst}" + (
        f", {more:,} {'other' if more == 1 else 'others'} in trouble" if more else ""
    )


def alarm(sources: Iterable[SourceRow], now: float) -> str:
    """What is wrong with them: `1 source unreachable since 12:03, 1 disabled. gpu1: No route to host; gpu3: …`.

    The numbers come first, for the reasons may be cut.
    """
    found = troubles(sources)
    rows = [row for worst in found.values() for row in worst]
    if not rows:
        return ""
    if len(rows) == 1:
        away = rows[0].health == "unreachable" and rows[0].held
        may = f" {fmt.plural(rows[0].held, 'task')} there may still run." if away else ""
        lead = _lead(rows[0], now).rstrip(".")
        return f"{fmt.clean(rows[0].name)} is {lead}{'' if lead.endswith('?') else '.'}{may}"
    counts: list[str] = []
    for word, worst in found.items():
        noun = "" if counts else f" {'source' if len(worst) == 1 else 'sources'}"
        since = ""
        if word == "unreachable":
            since = f" since {fmt.since(min(row.unreachable_since or now for row in worst), now)}"
        counts.append(f"{len(worst):,}{noun} {word}{since}")
    reasons = "; ".join(f"{fmt.clean(row.name)}: {reason(row)}" for row in rows[:_NAMED])
    more = f"; and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
    return f"{', '.join(counts)}. {reasons}{more}"


def _lead(source: SourceRow, now: float) -> str:
    text = words(source, now)
    return f"{text}: {reason(source)}" if source.health == "probing" and reason(source) not in text else text
