"""What the screens show, as values: rows of tasks and sources, the facts of a sweep, and their order and
columns.

Nothing here knows Textual, files or the clock. Values are made by the feed's thread from the live model
(`rows.py`) and are never changed after, so that the screen may read them at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

from . import format as fmt
from .sources import SourceRow

if TYPE_CHECKING:
    from ..engine.plan.model import PlannedTask, Value

# Named tuples and not dataclasses: they are made by the 100,000, and the program is on the screen 10 ms sooner.

STATES = (
    "pending",
    "launching",
    "queued",
    "running",
    "cancelling",
    "unknown",
    "completed",
    "failed",
    "cancelled",
)
"""The words a task's state may show as; `unknown` stands for an active task nobody can speak for, `queued` for one that
waits in a scheduler's queue."""
ACTIVE_STATES = frozenset({"launching", "queued", "running", "cancelling", "unknown"})
FINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})
ORPHANED = "interrupted"
"""The status of a sweep with work left and no engine: nobody can say whether its active tasks run."""
SOURCE_TROUBLE = "source_trouble"
"""The kind of a `Failure` that is a source's alone."""
MAX_FAILURES = 200
"""Failures shown in their pane; all of them are in the table (`state:failed`)."""
SEGMENTS = (
    "completed",
    "failed",
    "cancelled",
    "unknown",
    "cancelling",
    "running",
    "launching",
    "queued",
    "pending",
)
"""The order of the progress bar: what is over, what is under way, what waits."""


class TaskRow(NamedTuple):
    """One task as it was when it was looked at. Times are seconds since 1970."""

    task: int
    """Its index, from 0."""
    state: str = "pending"
    source: str = ""
    attempt: int = 0
    launched_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    kind: str = ""
    message: str = ""
    not_before: float | None = None
    known_at: float | None = None
    """Of an attempt that is unknown: until when it was known to run."""
    attempts: int = 0
    """How many were made; `attempt` is the one that counts."""
    batch: str = ""
    """While it is queued: the batch it waits with, of which its source tells why."""
    spent: float = 0.0
    """USD that its attempts which have ended have cost, as far as prices are known."""
    rate: float | None = None
    """USD per hour of the one that may be alive, where it is known."""
    least_seconds: float = 0.0
    """What it is charged for at least."""

    def elapsed(self, now: float) -> float | None:
        """Seconds its latest attempt has run, as far as anyone knows; None if it never did."""
        if self.started_at is None:
            return None
        until = self.ended_at if self.ended_at is not None else self.known_at
        return max(0.0, (now if until is None else until) - self.started_at)

    def cost(self, now: float) -> float | None:
        """USD of all its attempts until `now`; None where no price is known, or nothing was begun."""
        if self.rate is None or self.started_at is None:
            return self.spent or None
        from ..engine.cost import attempt_cost
        from ..engine.model import Attempt

        # What nobody can speak for is paid for all the same: only an end that was seen ends the bill.
        alive = Attempt(self.attempt, self.source, "", self.started_at, rate=self.rate, started_at=self.started_at,
                        least_seconds=self.least_seconds)  # fmt: skip
        return self.spent + (attempt_cost(alive, now) or 0.0)


class AttemptRow(NamedTuple):
    """One attempt of a task that is looked at closely."""

    number: int
    source: str
    state: str
    kind: str = ""
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    given_up: bool = False
    """Given up, and never heard of again: it may be alive somewhere."""
    counts: bool = False
    """Whether the task's outcome is this one's."""
    handle: str = ""
    """Its name at its source: an instance, a job, a process."""
    rate: float | None = None
    """USD per hour, where it is known."""


class Failure(NamedTuple):
    """A failed attempt: what is known of its end, and what its task has come to since (`state`).

    Of launches that failed for the same reason on the same source it is the latest, and `tasks` says how many tasks
    they hit; a source that takes no tasks at all may stand here with none.
    """

    task: int
    attempt: int
    kind: str
    exit_code: int | None
    signal: int | None
    message: str
    source: str
    at: float
    state: str
    tasks: int = 1
    last_words: tuple[str, ...] = ()
    """Of an instance that never did its work: the last lines of its bootstrap log, or of its console."""
    lost: bool = False
    """Whether it tells of an instance that was lost."""

    @property
    def of_source(self) -> bool:
        """Whether it tells of its source rather than of one task."""
        return self.lost or self.kind in ("launch_failed", SOURCE_TROUBLE)


class Facts(NamedTuple):
    """A sweep as a whole, at one moment."""

    id: str
    name: str
    status: str
    total: int
    counts: dict[str, int]
    """By the words of `STATES`; what is unknown is counted as that alone."""
    created_at: float
    ended_at: float | None = None
    reason: str = ""
    """Why it is paused or how it ended, if there is something to say."""
    engine: str = ""
    """Who runs it (`pid 4711 on host`); empty if nobody does."""
    engine_died: bool = False
    """Nobody runs it, and the last engine did not say that it stops."""
    sign_of_life: float = 0.0
    """The engine's latest heartbeat or event, also of one that is gone."""
    worked: float = 0.0
    """Seconds in which something ran, until the last event."""
    running_since: float | None = None
    """While something runs: when it began, less all pauses since."""
    due_at: float | None = None
    """When the last task will have ended, if it goes on so."""
    recent_ends: tuple[float, ...] = ()
    """Times of the latest ends, oldest first."""
    sources: tuple[SourceRow, ...] = ()
    failures: tuple[Failure, ...] = ()
    """Latest first."""
    note: str = ""
    """The latest thing worth telling."""
    paused: bool = False
    """No new launches, whatever the status says (an interrupted sweep may be paused too)."""
    uncollected: int = 0
    """Attempts that ended on other machines and whose files are not home yet."""
    cost: tuple[str, ...] = ()
    """What it costs, in words (`current $1.20 · projected $4.90 of $25 budget`), each form shorter than the one before;
    none if nothing does."""
    blind: tuple[str, ...] = ()
    """What its budget does not see, and why."""
    priced: bool = False
    """Whether any of its sources has a price that is known."""
    costs_more: bool = False
    """Whether the cost grows: something runs that has a price."""

    @property
    def done(self) -> int:
        return sum(self.counts.get(state, 0) for state in ("completed", "failed", "cancelled"))

    @property
    def active(self) -> int:
        return sum(self.counts.get(state, 0) for state in ACTIVE_STATES)

    @property
    def orphaned(self) -> bool:
        return self.status == ORPHANED

    def source(self, name: str) -> SourceRow | None:
        """The source of that name."""
        return next((source for source in self.sources if source.name == name), None)

    def elapsed(self, now: float) -> float:
        """Seconds the sweep has worked; stands still while nothing runs."""
        return self.worked if self.running_since is None else max(0.0, now - self.running_since)

    def throughput(self, now: float) -> float | None:
        """Ends per second over the latest ends; sinks while nothing ends. None without a measure."""
        if len(self.recent_ends) < 2 or self.status in FINAL_STATUSES or self.orphaned or not self.active:
            return None
        span = now - self.recent_ends[0]
        return (len(self.recent_ends) - 1) / span if span > 0 else None

    def eta(self, now: float) -> float | None:
        """Seconds until all is done if it goes on so; None without a measure, or if it does not go on."""
        if self.due_at is None or self.status != "running":
            return None
        return max(0.0, self.due_at - now)


# --- order ------------------------------------------------------------------------------------------------


class Sort(NamedTuple):
    """By which column, and whether from the far end. `param:` leads a parameter's key."""

    column: str = "#"
    reverse: bool = False


_WORST_FIRST = (
    "failed",
    "unknown",
    "cancelling",
    "running",
    "launching",
    "queued",
    "pending",
    "completed",
    "cancelled",
)
_RANK = {state: place for place, state in enumerate(_WORST_FIRST)}
Key = tuple[int, float, str]
"""Missing last, numbers before text: values of one column may be of several types."""
_WHOLE = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9]+")
"""Numbers but for what stands behind a decimal point: that sorts as it is."""


def _key(item: Value) -> Key:
    if item is None or item == "":
        return (2, 0.0, "")
    if isinstance(item, bool):
        return (0, float(item), "")
    if isinstance(item, (int, float)):
        return (0, float(item), "") if item == item else (2, 0.0, "")
    return (1, 0.0, _natural(item if isinstance(item, str) else fmt.value(item)))


def _natural(text: str) -> str:
    """The numbers in a text made so long that it sorts by them: `batch-32` before `batch-180`, `0.05` before `0.1`."""
    return _WHOLE.sub(lambda match: match[0].zfill(12), text)


def sort_key(column: str, tasks: Sequence[PlannedTask], now: float) -> Callable[[TaskRow], Key]:
    """The value of `column` in a row, as something that can be compared with any other."""
    if column.startswith("param:"):
        name = column.removeprefix("param:")
        return lambda row: _key(tasks[row.task].params.get(name))
    plain: dict[str, Callable[[TaskRow], Key]] = {
        "#": lambda row: (0, float(row.task), ""),
        "name": lambda row: _key(tasks[row.task].label),
        "state": lambda row: (0, float(_RANK.get(row.state, 9)), ""),
        "source": lambda row: _key(row.source),
        "try": lambda row: (0, float(row.attempt), ""),
        "time": lambda row: _key(row.elapsed(now)),
        "cost": lambda row: _key(row.cost(now)),
        "exit": lambda row: _key(row.exit_code if row.exit_code is not None else row.kind),
    }
    return plain.get(column, plain["#"])


def arrange(
    rows: Sequence[TaskRow],
    tasks: Sequence[PlannedTask],
    sort: Sort,
    keep: Callable[[TaskRow], bool] | None,
    now: float,
) -> Sequence[int]:
    """The indices of the rows that `keep` lets through, in the order of `sort`; ties in the plan's order.

    Without either it is a range: nothing is stored for 100,000 rows.
    """
    if keep is None and sort.column == "#":
        return range(len(rows) - 1, -1, -1) if sort.reverse else range(len(rows))
    chosen = [row for row in rows if keep(row)] if keep is not None else list(rows)
    if sort.column != "#":
        key = sort_key(sort.column, tasks, now)
        keyed = [(key(row), row) for row in chosen]
        missing = [row for value, row in keyed if value[0] == 2]
        present = [pair for pair in keyed if pair[0][0] != 2]
        present.sort(key=itemgetter(0), reverse=sort.reverse)
        chosen = [row for _, row in present] + missing
    elif sort.reverse:
        chosen.reverse()
    return [row.task for row in chosen]


# --- the progress bar -------------------------------------------------------------------------------------


def split_bar(counts: dict[str, int], total: int, width: int) -> list[tuple[str, int]]:
    """The cells of a progress bar: `width` shared out by `SEGMENTS`. What is there at all is seen, if there is room."""
    present = [(state, counts.get(state, 0)) for state in SEGMENTS if counts.get(state, 0) > 0]
    if not present or total <= 0 or width <= 0:
        return [("pending", max(0, width))]
    cells = [max(1, int(number * width / total)) for _, number in present]
    # Rounding leaves a few cells over or owing: the widest segments settle it.
    while sum(cells) != width:
        step = 1 if sum(cells) < width else -1
        place = max(range(len(cells)), key=lambda i: (present[i][1] / total * width - cells[i]) * step)
        if cells[place] + step < 0:
            break
        cells[place] += step
    return [(state, size) for (state, _), size in zip(present, cells, strict=True) if size]


# --- the screen's shape -----------------------------------------------------------------------------------

Shape = Literal["tiny", "narrow", "wide", "huge"]


def shape_of(width: int, height: int) -> Shape:
    """How a sweep's screen is laid out: `tiny` shows the summary and a few rows, `narrow` one pane at a time."""
    if width < 44 or height < 12:
        return "tiny"
    if width < 100 or height < 22:
        return "narrow"
    return "huge" if width >= 170 and height >= 40 else "wide"
