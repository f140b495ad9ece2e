"""The read model: what a sweep is right now, and `apply`, the one way it changes.

`apply(sweep, record)` looks at nothing but its arguments: no clock, no files, no chance. The engine, every viewer, the
printer of `--no-ui` and the tests fold the same journal with it and see the same sweep. Each transition costs O(1) in
the number of tasks: counts, the queue of ready tasks and the load of each source are kept, never recounted.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from . import events as ev


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
    """Attempts that do not count against the retry limit (made before the user asked for another try)."""
    cancel_requested: bool = False

    @property
    def attempt(self) -> Attempt | None:
        """The latest attempt."""
        return self.attempts[-1] if self.attempts else None


@dataclass(slots=True)
class SourceState:
    """What the sweep knows of one source."""

    name: str
    kind: str
    slots: int
    options: tuple[tuple[str, str], ...] = ()
    removed: bool = False
    unreachable_since: float | None = None
    unreachable_reason: str = ""
    active: set[int] = field(default_factory=set[int])
    """Tasks whose attempt holds a slot here."""
    launched: int = 0
    completed: int = 0
    failed: int = 0
    busy_seconds: float = 0.0
    """Slot-seconds used by attempts that have ended."""

    @property
    def free(self) -> int:
        """Slots that may take a new attempt now (0 while the source cannot be asked)."""
        if self.removed or self.unreachable_since is not None:
            return 0
        return max(0, self.slots - len(self.active))


class ReadyQueue:
    """Tasks that may be launched now, first come first served; each stands in it at most once.

    An `OrderedDict` is a linked list with an index: a task leaves from anywhere in O(1), and the front is found in O(1)
    however many left before it (a plain dict would walk over their places).
    """

    __slots__ = ("_order",)

    def __init__(self, tasks: Iterable[int] = ()) -> None:
        self._order = OrderedDict[int, None].fromkeys(tasks)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, task: int) -> bool:
        return task in self._order

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def push(self, task: int) -> None:
        """At the end, unless it waits already."""
        self._order.setdefault(task)

    def discard(self, task: int) -> None:
        self._order.pop(task, None)

    def first(self, count: int) -> list[int]:
        """Up to `count` tasks from the front; the queue stays as it is."""
        return list(islice(self._order, count))


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
    grace: float = 300.0

    counts: dict[TaskState, int] = field(default_factory=lambda: dict.fromkeys(TaskState, 0))
    ready: ReadyQueue = field(default_factory=ReadyQueue)
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
    last_launch_at: float | None = None
    last_source: str = ""
    """Where the last batch went; round robin goes on after it."""
    batches: int = 0
    requests: dict[str, str] = field(default_factory=dict[str, str])
    """Ids of the requests already taken, and why those were refused that were (else empty)."""

    paused: bool = False
    pause_reason: str = ""
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

    @property
    def total(self) -> int:
        return len(self.tasks)

    @property
    def active(self) -> int:
        """Attempts that hold a slot."""
        counts = self.counts
        return counts[TaskState.LAUNCHING] + counts[TaskState.RUNNING] + counts[TaskState.CANCELLING]

    @property
    def done(self) -> int:
        counts = self.counts
        return counts[TaskState.COMPLETED] + counts[TaskState.FAILED] + counts[TaskState.CANCELLED]

    @property
    def unknown_count(self) -> int:
        """Active tasks nobody can speak for: doubted one by one, or on a source that does not answer."""
        away = sum(len(s.active) for s in self.sources.values() if s.unreachable_since is not None)
        if not self.unknown:
            return away
        here = sum(1 for task in self.unknown if not self._source_away(task))
        return away + here

    def is_unknown(self, task: int) -> bool:
        """Whether an active task shows as `unknown`."""
        return task in self.unknown or (self.tasks[task].state in ACTIVE and self._source_away(task))

    def _source_away(self, task: int) -> bool:
        attempt = self.tasks[task].attempt
        source = self.sources.get(attempt.source) if attempt else None
        return source is not None and source.unreachable_since is not None

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


def apply(sweep: Sweep, record: ev.Record) -> None:
    """Move `sweep` on by one event. Raises `ApplyError` if the event is illegal here; `sweep` is then unusable."""
    event = record.event
    if record.seq != sweep.seq + 1:
        raise ApplyError(f"event {record.seq} after event {sweep.seq}")
    sweep.seq = record.seq
    sweep.updated_at = record.at
    match event:
        case ev.Launching():
            _launching(sweep, record.at, event)
        case ev.Running():
            for started in event.attempts:
                _running(sweep, record.at, started)
        case ev.Ended():
            for end in event.attempts:
                _ended(sweep, record.at, end)
        case ev.Requeued():
            for delay in event.tasks:
                _requeue(sweep, delay, record.at)
        case ev.DelaysOver():
            _delays_over(sweep, record.at)
        case ev.Cancelling():
            _cancelling(sweep, event)
        case ev.Dropped():
            for index in event.tasks:
                _drop(sweep, sweep.tasks[index])
        case ev.Unknown():
            for ref in event.attempts:
                _current(sweep, ref.task, ref.attempt).unknown_since = record.at
                sweep.unknown[ref.task] = record.at
        case ev.RequestTaken():
            _request(sweep, event, record.at)
        case _:
            _frame(sweep, record.at, event)


def _frame(sweep: Sweep, at: float, event: ev.Event) -> None:
    """Events about the sweep as a whole, its sources and its engine."""
    match event:
        case ev.SweepCreated():
            _created(sweep, at, event)
        case ev.SourceAdded():
            _source_added(sweep, event)
        case ev.SourceRemoved():
            _source(sweep, event.source).removed = True
        case ev.SourceUnreachable():
            source = _source(sweep, event.source)
            if source.unreachable_since is None:
                source.unreachable_since = at
            source.unreachable_reason = event.reason
        case ev.SourceReachable():
            source = _source(sweep, event.source)
            source.unreachable_since, source.unreachable_reason = None, ""
        case ev.EngineStarted():
            sweep.epoch, sweep.engine_host, sweep.engine_pid = event.epoch, event.host, event.pid
            _doubt_anew(sweep, at)
        case ev.EngineStopped():
            sweep.engine_host, sweep.engine_pid = "", 0
            sweep.notes.append((at, f"engine stopped: {event.reason}"))
        case ev.Paused():
            sweep.paused, sweep.pause_reason = True, event.reason
        case ev.SweepEnded():
            sweep.ended, sweep.ended_at, sweep.reason = SweepStatus(event.status), at, event.reason
        case ev.Note():
            sweep.notes.append((at, event.text))
        case ev.RequestRefused():
            sweep.requests[event.request] = event.reason
            sweep.notes.append((at, f"request refused: {event.reason}"))
        case ev.Stray():
            for end in event.attempts:
                sweep.notes.append(
                    (at, f"task {end.task + 1}: stray end of attempt {end.attempt}: {end.state}")
                )
        case _:
            raise ApplyError(f"{event.type} has no rule")


def _created(sweep: Sweep, at: float, event: ev.SweepCreated) -> None:
    if sweep.seq != 1:
        raise ApplyError("a sweep is created once")
    sweep.id, sweep.name, sweep.created_at = event.sweep_id, event.name, at
    sweep.project = event.project
    sweep.tasks = [Task(index) for index in range(event.total)]
    sweep.counts[TaskState.PENDING] = event.total
    sweep.ready = ReadyQueue(range(event.total))
    sweep.max_concurrent, sweep.launch_delay = event.max_concurrent, event.launch_delay
    sweep.retry_max, sweep.retry_backoff = event.retry_max, event.retry_backoff
    sweep.retry_on = frozenset(event.retry_on)
    sweep.strategy, sweep.grace = event.strategy, event.grace


def _doubt_anew(sweep: Sweep, at: float) -> None:
    """Nobody asked while no engine ran: every grace period begins again."""
    for source in sweep.sources.values():
        if source.unreachable_since is not None:
            source.unreachable_since = at
    for index in sweep.unknown:
        sweep.unknown[index] = sweep.tasks[index].unknown_since = at


def _source_added(sweep: Sweep, event: ev.SourceAdded) -> None:
    known = sweep.sources.get(event.source)
    if known is None:
        sweep.sources[event.source] = SourceState(event.source, event.kind, event.slots, event.options)
    else:
        known.kind, known.slots, known.options, known.removed = event.kind, event.slots, event.options, False


def _source(sweep: Sweep, name: str) -> SourceState:
    try:
        return sweep.sources[name]
    except KeyError:
        raise ApplyError(f"no source named {name!r}") from None


def _move(sweep: Sweep, task: Task, state: TaskState) -> None:
    sweep.counts[task.state] -= 1
    sweep.counts[state] += 1
    task.state = state


def _current(sweep: Sweep, index: int, number: int) -> Task:
    """The task, if that attempt is its latest and may be alive."""
    task = sweep.tasks[index]
    if len(task.attempts) != number or task.state not in ACTIVE:
        raise ApplyError(
            f"task {index + 1}: attempt {number} is not active "
            f"(state {task.state}, {len(task.attempts)} attempts)"
        )
    return task


def _launching(sweep: Sweep, at: float, event: ev.Launching) -> None:
    source = _source(sweep, event.source)
    for ref in event.attempts:
        task = sweep.tasks[ref.task]
        if task.state is not TaskState.PENDING or ref.attempt != len(task.attempts) + 1:
            raise ApplyError(f"task {ref.task + 1}: cannot launch attempt {ref.attempt} when {task.state}")
        task.attempts.append(Attempt(ref.attempt, event.source, event.batch, at))
        task.not_before = None
        sweep.ready.discard(ref.task)
        _move(sweep, task, TaskState.LAUNCHING)
        source.active.add(ref.task)
    source.launched += len(event.attempts)
    sweep.batches += 1
    sweep.last_launch_at, sweep.last_source = at, event.source


def _running(sweep: Sweep, at: float, started: ev.Started) -> None:
    task = _current(sweep, started.task, started.attempt)
    attempt = task.attempts[-1]
    attempt.handle = started.handle or attempt.handle
    if attempt.started_at is None:
        attempt.started_at = started.started_at if started.started_at is not None else at
    task.unknown_since = None
    sweep.unknown.pop(started.task, None)
    if task.state is TaskState.LAUNCHING:
        attempt.state = TaskState.RUNNING
        _move(sweep, task, TaskState.RUNNING)


def _ended(sweep: Sweep, at: float, end: ev.End) -> None:
    task = _current(sweep, end.task, end.attempt)
    attempt = task.attempts[-1]
    state = TaskState(end.state)
    attempt.state, attempt.kind, attempt.message = state, end.kind, end.message
    attempt.exit_code, attempt.signal = end.exit_code, end.signal
    attempt.ended_at = end.ended_at if end.ended_at is not None else at
    if end.started_at is not None:
        attempt.started_at = end.started_at
    elif attempt.started_at is None and end.kind != "launch_failed" and state is not TaskState.CANCELLED:
        attempt.started_at = attempt.launched_at
    source = _source(sweep, attempt.source)
    source.active.discard(end.task)
    if attempt.started_at is not None:
        source.busy_seconds += max(0.0, attempt.ended_at - attempt.started_at)
    task.unknown_since = None
    sweep.unknown.pop(end.task, None)
    sweep.cancel_due.pop(end.task, None)
    sweep.force_due.pop(end.task, None)
    cancelled = task.cancel_requested
    task.cancel_requested = False
    _move(sweep, task, state)
    if state is TaskState.COMPLETED:
        source.completed += 1
    elif state is TaskState.FAILED:
        source.failed += 1
        sweep.failures[end.task] = None
        if end.kind == "launch_failed":
            sweep.launch_failures.pop(end.task, None)
            sweep.launch_failures[end.task] = None
        tries = len(task.attempts) - task.tries_before
        if tries <= sweep.retry_max and end.kind in sweep.retry_on and not cancelled:
            sweep.retry_due[end.task] = None


def backoff(sweep: Sweep, task: Task) -> float:
    """Seconds a failed task waits before its next try: doubled each time, at most one hour."""
    tries = len(task.attempts) - task.tries_before
    return min(3600.0, sweep.retry_backoff * 2.0 ** min(tries - 1, 30)) if tries > 0 else 0.0


def _requeue(sweep: Sweep, delay: ev.Delay, at: float) -> None:
    task = sweep.tasks[delay.task]
    if task.state not in ENDED:
        raise ApplyError(f"task {delay.task + 1}: cannot be queued again when {task.state}")
    sweep.retry_due.pop(delay.task, None)
    sweep.failures.pop(delay.task, None)
    _move(sweep, task, TaskState.PENDING)
    if delay.not_before > at:
        task.not_before = delay.not_before
        heapq.heappush(sweep.delayed, (delay.not_before, delay.task))
    else:
        sweep.ready.push(delay.task)


def _delays_over(sweep: Sweep, at: float) -> None:
    while sweep.delayed and sweep.delayed[0][0] <= at:
        not_before, index = heapq.heappop(sweep.delayed)
        task = sweep.tasks[index]
        if task.not_before == not_before and task.state is TaskState.PENDING:
            task.not_before = None
            sweep.ready.push(index)


def _cancelling(sweep: Sweep, event: ev.Cancelling) -> None:
    for ref in event.attempts:
        task = _current(sweep, ref.task, ref.attempt)
        task.cancel_requested = True
        sweep.cancel_due.pop(ref.task, None)
        if event.force:
            sweep.force_due.pop(ref.task, None)
        if task.state is not TaskState.CANCELLING:
            task.attempts[-1].state = TaskState.CANCELLING
            _move(sweep, task, TaskState.CANCELLING)


def _drop(sweep: Sweep, task: Task) -> None:
    if task.state is not TaskState.PENDING:
        raise ApplyError(f"task {task.index + 1}: cannot be dropped when {task.state}")
    sweep.ready.discard(task.index)
    sweep.drop_due.pop(task.index, None)
    task.not_before = None
    task.cancel_requested = False
    _move(sweep, task, TaskState.CANCELLED)


def _request(sweep: Sweep, event: ev.RequestTaken, at: float) -> None:
    sweep.requests[event.request] = ""
    match event.verb:
        case "cancel":
            if not event.tasks:
                sweep.cancel_requested = sweep.ended is None
            for index in event.tasks or range(len(sweep.tasks)):
                _request_cancel(sweep, sweep.tasks[index], force=event.force)
        case "pause":
            sweep.paused, sweep.pause_reason = True, f"by {event.by}" if event.by else ""
        case "resume":
            sweep.paused, sweep.pause_reason = False, ""
            _wake(sweep)
        case "retry":
            _request_retry(sweep, event, at)
        case "slots":
            _source(sweep, event.source).slots = event.value
        case "limit":
            sweep.max_concurrent = event.value or None


def _request_cancel(sweep: Sweep, task: Task, *, force: bool) -> None:
    sweep.retry_due.pop(task.index, None)
    match task.state:
        case TaskState.PENDING:
            sweep.drop_due[task.index] = None
        case TaskState.LAUNCHING | TaskState.RUNNING:
            task.cancel_requested = True
            sweep.cancel_due[task.index] = None
            if force:
                sweep.force_due[task.index] = None
        case TaskState.CANCELLING if force:
            sweep.force_due[task.index] = None
        case _:
            pass


def _request_retry(sweep: Sweep, event: ev.RequestTaken, at: float) -> None:
    """Queue tasks again: those named that failed or were cancelled, else all that failed.

    What was completed is never run again. A sweep that had ended goes on.
    """
    chosen = event.tasks or tuple(sweep.failures)
    for index in chosen:
        task = sweep.tasks[index]
        if task.state in (TaskState.FAILED, TaskState.CANCELLED):
            task.tries_before = len(task.attempts)
            _requeue(sweep, ev.Delay(index, at), at)
    _wake(sweep)


def _wake(sweep: Sweep) -> None:
    """A sweep that had ended, or was about to, goes on if there is something to launch again."""
    if sweep.counts[TaskState.PENDING] > len(sweep.drop_due):
        sweep.ended, sweep.ended_at, sweep.reason = None, None, ""
        sweep.cancel_requested = False
