"""The read model of a sweep: tasks, their attempts, and what is kept of them. `sweep.apply` alone changes it.

Each transition costs O(1) in the number of tasks: counts, the queue of ready tasks and the load of each source are
kept, never recounted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from . import events as ev
from .health import HealthRules
from .source_state import ReadyTasks, SourceState


class TaskState(StrEnum):
    PENDING = "pending"
    LAUNCHING = "launching"
    RUNNING = "running"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = frozenset({TaskState.LAUNCHING, TaskState.RUNNING, TaskState.CANCELLING})
"""States in which an attempt may be alive: it holds a slot of its source."""
ANYWHERE = ev.Needs()
ENDED = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})


class SweepStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """Work is left and nobody holds the engine's lock: only who looks at the lock can say so, never `apply`."""


FINAL = frozenset({SweepStatus.COMPLETED, SweepStatus.FAILED, SweepStatus.CANCELLED})


@dataclass(slots=True)
class Attempt:
    """One try at a task. Times are seconds since 1970; `launched_at` is when its launch was journalled."""

    number: int
    source: str
    batch: str
    launched_at: float
    handle: str = ""
    rate: float | None = None
    """USD per hour, where it is known."""
    least_seconds: float = 0.0
    """Seconds that are charged for at least, once it has begun."""
    cost: float | None = None
    """USD that it has cost, once it has ended; None where nobody knows its price."""
    started_at: float | None = None
    ended_at: float | None = None
    state: TaskState = TaskState.LAUNCHING
    kind: ev.FailureKind | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""


@dataclass(slots=True)
class Task:
    """One set of parameters on its way; `attempts` grows, none is ever overwritten."""

    index: int
    state: TaskState = TaskState.PENDING
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    not_before: float | None = None
    """While it waits for a retry: not before this time."""
    unknown_since: float | None = None
    """While nobody can say whether its attempt still runs."""
    tries_before: int = 0
    """Attempts that do not count against the retry limit: made before the user asked for another try, withdrawn, or
    ended by a fault of their source."""
    losses: int = 0
    refusals: int = 0
    """Attempts since then that were lost with their source, and launches that sources refused."""
    counting: int = 0
    """The number of an earlier attempt that was given up and turned out to have completed; 0: the latest counts."""
    cancel_requested: bool = False

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that counts: the latest, unless an earlier one has done the work after all."""
        if self.counting:
            return self.attempts[self.counting - 1]
        return self.attempts[-1] if self.attempts else None


@dataclass(slots=True)
class Sweep:
    """The state of one sweep. Change it with `apply` alone."""

    id: str = ""
    name: str = ""
    project: str = ""
    """The project directory, absolute, on the host that created the sweep."""
    created_at: float = 0.0
    tasks: list[Task] = field(default_factory=list[Task])
    sources: dict[str, SourceState] = field(default_factory=dict[str, SourceState])

    max_concurrent: int | None = None
    launch_delay: float = 0.0
    retry_max: int = 0
    retry_backoff: float = 1.0
    retry_on: frozenset[str] = frozenset()
    strategy: str = "round_robin"
    rules: HealthRules = field(default_factory=HealthRules)

    needs: tuple[ev.Needs, ...] = ()
    group_of: list[int] = field(default_factory=list[int])
    """What groups of tasks ask of a source, and which group each task is of; empty: every task may run anywhere."""
    budget: float = 0.0
    """USD the sweep may cost; 0: no limit."""
    budget_action: ev.BudgetAction = "pause"
    budget_warned: bool = False
    budget_spent: bool = False

    counts: dict[TaskState, int] = field(default_factory=lambda: dict.fromkeys(TaskState, 0))
    ready: ReadyTasks = field(default_factory=ReadyTasks)
    """Tasks that may be launched now."""
    delayed: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """A heap of (not before, task); an entry counts only while the task's own `not_before` agrees."""
    retry_due: dict[int, None] = field(default_factory=dict[int, None])
    """Failed tasks that the retry rule says to try again, in the order they failed."""
    cancel_due: dict[int, None] = field(default_factory=dict[int, None])
    """Active tasks a cancel was requested for and whose source has not been asked yet."""
    drop_due: dict[int, None] = field(default_factory=dict[int, None])
    """Waiting tasks a cancel was requested for."""
    force_due: dict[int, None] = field(default_factory=dict[int, None])
    """Tasks already cancelling that shall be killed at once."""
    unknown: dict[int, float] = field(default_factory=dict[int, float])
    """Tasks whose attempt is unknown, oldest first, with the time since when."""
    failures: dict[int, None] = field(default_factory=dict[int, None])
    """Tasks that are failed now, latest last."""
    launch_failures: dict[int, None] = field(default_factory=dict[int, None])
    """Tasks of which an attempt could not be launched, latest last."""
    given_up: dict[tuple[int, int], None] = field(default_factory=dict[tuple[int, int], None])
    """Attempts (task, number) that were given up and of which no end was heard: they may be alive somewhere."""
    uncollected: dict[tuple[int, int], None] = field(default_factory=dict[tuple[int, int], None])
    """Attempts (task, number) that ended elsewhere and whose files are not home yet."""
    left_behind: dict[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])
    """Attempts of which something did not come home, and what."""
    last_launch_at: float | None = None
    last_source: str = ""
    """Where the last batch went; round robin goes on after it."""
    batches: int = 0
    requests: dict[str, str] = field(default_factory=dict[str, str])
    """Ids of the requests already taken, and why those were refused that were (else empty)."""

    paused: bool = False
    pause_reason: str = ""
    blamed: bool = False
    """Whether the engine has paused it once because its tasks fail everywhere."""
    cancel_requested: bool = False
    ended: SweepStatus | None = None
    ended_at: float | None = None
    reason: str = ""
    epoch: int = 0
    engine_host: str = ""
    engine_pid: int = 0
    seq: int = 0
    """Of the last event applied."""
    updated_at: float = 0.0
    notes: deque[tuple[float, str]] = field(default_factory=lambda: deque[tuple[float, str]](maxlen=200))

    def needs_of(self, task: int) -> ev.Needs:
        """What the task asks of a source."""
        return self.needs[self.group_of[task]] if self.group_of else ANYWHERE

    def needs_in(self, group: int) -> ev.Needs:
        """What the tasks of a group ask of a source."""
        return self.needs[group] if self.needs else ANYWHERE

    def grace_of(self, source: SourceState) -> float:
        """Seconds this source may be silent before its work goes elsewhere."""
        return source.grace or self.rules.grace

    def cost(self, now: float) -> float:
        """USD that the sweep has cost until `now`, as far as prices are known."""
        return sum(source.cost(now) for source in self.sources.values())

    @property
    def total(self) -> int:
        return len(self.tasks)

    @property
    def grace(self) -> float:
        """Seconds an attempt may be unknown before it is given up."""
        return self.rules.grace

    @property
    def active(self) -> int:
        """Attempts that may be alive."""
        counts = self.counts
        return counts[TaskState.LAUNCHING] + counts[TaskState.RUNNING] + counts[TaskState.CANCELLING]

    @property
    def load(self) -> int:
        """Attempts that may run now: what counts against `max_concurrent`. The others wait in a source's queue."""
        return self.active - sum(source.held for source in self.sources.values())

    @property
    def done(self) -> int:
        counts = self.counts
        return counts[TaskState.COMPLETED] + counts[TaskState.FAILED] + counts[TaskState.CANCELLED]

    @property
    def unknown_count(self) -> int:
        """Active tasks nobody can speak for: doubted one by one, or on a source that does not answer (yet)."""
        away = sum(len(s.active) for s in self.sources.values() if s.unreachable_since is not None)
        unheard = sum(
            1 for s in self.sources.values() if s.unheard and s.unreachable_since is None
            for task in s.active if self._silent(task)
        )  # fmt: skip
        here = sum(1 for task in self.unknown if not self._silent(task))
        return away + unheard + here

    def is_unknown(self, task: int) -> bool:
        """Whether an active task shows as `unknown`."""
        return task in self.unknown or (self.tasks[task].state in ACTIVE and self._silent(task))

    def _silent(self, task: int) -> bool:
        """Whether its source does not answer, or has not yet and the attempt began before this engine."""
        attempt = self.tasks[task].attempt
        source = self.sources.get(attempt.source) if attempt else None
        if attempt is None or source is None:
            return False
        return source.unreachable_since is not None or (source.unheard and attempt.started_at is not None)

    @property
    def status(self) -> SweepStatus:
        """The status as the journal tells it; whether an engine lives only the lock can tell."""
        if self.ended is not None:
            return self.ended
        if self.cancel_requested:
            return SweepStatus.CANCELLING
        if self.paused:
            return SweepStatus.PAUSED
        if self.batches == 0:
            return SweepStatus.PENDING
        return SweepStatus.RUNNING


class ApplyError(ValueError):
    """An event that cannot follow what was before it: the journal is not one sweep's, or a rule was broken."""
