"""What a sweep is right now, and `apply`, the one way it changes.

`apply(sweep, record)` looks at nothing but its arguments: no clock, no files, no chance. The engine, every viewer, the
printer of `--no-ui` and the tests fold the same journal with it and see the same sweep. The values are those of `model`
and `source_state`; what an event does to a task stands in `transitions`.
"""

from __future__ import annotations

from . import events as ev
from .health import HealthRules
from .model import ACTIVE, ANYWHERE, ENDED, FINAL, ApplyError, Attempt, Sweep, SweepStatus, Task, TaskState
from .source_state import PRICED, Batch, ReadyTasks, SourceState, TaskQueue
from .transitions import (
    backoff,
    brought_home,
    cancelling,
    current,
    delays_over,
    drop,
    ended,
    launching,
    out_of_reach,
    recovered,
    requeue,
    running,
    source_of,
    to_bring_home,
    withdrawing,
    withdrawn,
)  # fmt: skip
from .words import describe

__all__ = [
    "ACTIVE", "ANYWHERE", "ENDED", "FINAL", "ApplyError", "Attempt", "Batch", "ReadyTasks", "SourceState", "Sweep",
    "SweepStatus", "Task", "TaskQueue", "TaskState", "apply", "backoff",
]  # fmt: skip


def apply(sweep: Sweep, record: ev.Record) -> None:
    """Move `sweep` on by one event. Raises `ApplyError` if the event is illegal here; `sweep` is then unusable."""
    event = record.event
    if record.seq != sweep.seq + 1:
        raise ApplyError(f"event {record.seq} after event {sweep.seq}")
    sweep.seq = record.seq
    sweep.updated_at = record.at
    match event:
        case ev.Launching():
            launching(sweep, record.at, event)
        case ev.Running():
            for started in event.attempts:
                running(sweep, record.at, started)
        case ev.Ended():
            for end in event.attempts:
                ended(sweep, record.at, end)
        case ev.Withdrawn():
            for ref in event.attempts:
                withdrawn(sweep, record.at, ref)
        case ev.Recovered():
            for end in event.attempts:
                recovered(sweep, record.at, end)
        case ev.Requeued():
            for delay in event.tasks:
                requeue(sweep, delay, record.at)
        case ev.DelaysOver():
            delays_over(sweep, record.at)
        case ev.Cancelling():
            cancelling(sweep, event)
        case ev.Collected():
            for brought in event.attempts:
                brought_home(sweep, brought)
        case ev.OutOfReach():
            for ref in event.attempts:
                out_of_reach(sweep, ref, event.reason)
        case ev.Dropped():
            for index in event.tasks:
                drop(sweep, sweep.tasks[index])
        case ev.Unknown():
            for ref in event.attempts:
                current(sweep, ref.task, ref.attempt).unknown_since = record.at
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
        case ev.EngineStarted():
            sweep.epoch, sweep.engine_host, sweep.engine_pid = event.epoch, event.host, event.pid
            _begin_anew(sweep, at)
        case ev.EngineStopped():
            sweep.engine_host, sweep.engine_pid = "", 0
            sweep.notes.append((at, f"engine stopped: {event.reason}"))
        case ev.Paused():
            sweep.paused, sweep.pause_reason, sweep.blamed = True, event.reason, True
        case ev.BudgetBlind():
            source_of(sweep, event.source).blind_told = True
            sweep.notes.append((at, describe(event)))
        case ev.BudgetWarned():
            sweep.budget_warned = True
            sweep.notes.append((at, f"${event.cost:.2f} of ${sweep.budget:.2f} is spent"))
        case ev.BudgetSpent():
            _budget_spent(sweep, event)
        case ev.SweepEnded():
            sweep.ended, sweep.ended_at, sweep.reason = SweepStatus(event.status), at, event.reason
        case ev.Note():
            sweep.notes.append((at, event.text))
        case ev.RequestRefused():
            sweep.requests[event.request] = event.reason
            sweep.notes.append((at, f"request refused: {event.reason}"))
        case ev.Stray():
            for end in event.attempts:
                sweep.given_up.pop((end.task, end.attempt), None)
                if end.exit_code is not None:
                    to_bring_home(sweep, end.task, end.attempt)
                sweep.notes.append(
                    (at, f"task {end.task + 1}: stray end of attempt {end.attempt}: {end.state}")
                )
        case _:
            _of_source(sweep, at, event)


def _of_source(sweep: Sweep, at: float, event: ev.Event) -> None:
    match event:
        case ev.SourceAdded():
            _source_added(sweep, event)
        case ev.SourceRemoved():
            source_of(sweep, event.source).removed = True
        case ev.SourceUnreachable():
            source = source_of(sweep, event.source)
            if source.unreachable_since is None:
                source.unreachable_since = at
            source.unreachable_reason = event.reason
        case ev.SourceReachable():
            source_of(sweep, event.source).answers(at)
        case ev.SourceHealth():
            source_of(sweep, event.source).felt(event, at)
        case ev.SourceStrike():
            source = source_of(sweep, event.source)
            source.strikes, source.strike_reason = source.strikes + 1, event.reason
        case ev.SourceDisabled():
            source_of(sweep, event.source).disable(event, at, sweep.rules)
        case ev.SourceEnabled():
            source_of(sweep, event.source).enable()
        case ev.SourceRoom():
            source_of(sweep, event.source).fits(event.room, event.reason, at)
        case ev.Limited():
            if not source_of(sweep, event.source).limit_batch(event.batch, event.limit):
                raise ApplyError(f"{event.source} holds no batch {event.batch}")
        case ev.Waiting():
            batch = source_of(sweep, event.source).batches.get(event.batch)
            if batch is not None:
                batch.waiting, batch.reason = event.count, event.reason
        case ev.Withdrawing():
            withdrawing(sweep, event)
        case _:
            raise ApplyError(f"{event.type} has no rule")


def _created(sweep: Sweep, at: float, event: ev.SweepCreated) -> None:
    if sweep.seq != 1:
        raise ApplyError("a sweep is created once")
    sweep.id, sweep.name, sweep.created_at = event.sweep_id, event.name, at
    sweep.project = event.project
    sweep.tasks = [Task(index) for index in range(event.total)]
    sweep.counts[TaskState.PENDING] = event.total
    sweep.needs = event.needs
    sweep.group_of = [group for group, count in event.groups for _ in range(count)]
    if sweep.group_of and len(sweep.group_of) != event.total:
        raise ApplyError(f"{len(sweep.group_of)} of {event.total} tasks say what they need")
    sweep.ready = ReadyTasks(range(event.total), sweep.group_of)
    sweep.budget, sweep.budget_action = event.budget, event.budget_action
    sweep.max_concurrent, sweep.launch_delay = event.max_concurrent, event.launch_delay
    sweep.retry_max, sweep.retry_backoff = event.retry_max, event.retry_backoff
    sweep.retry_on = frozenset(event.retry_on)
    sweep.strategy = event.strategy
    sweep.rules = HealthRules.of(event.rules, event.grace)


def _begin_anew(sweep: Sweep, at: float) -> None:
    """Nobody asked while no engine ran: every grace period begins again, and what was asked back may be asked again."""
    for source in sweep.sources.values():
        # This machine can be asked at once; of another nobody knows anything before it has answered.
        source.unheard = bool(source.active) and source.kind != "local"
        if source.unreachable_since is not None:
            source.unreachable_since = at
        source.listening_since = at
        for task in source.asked if source.queue else ():
            source.waiting.push(task)
        if not source.queue:
            source.asked.clear()
    for index in sweep.unknown:
        sweep.unknown[index] = sweep.tasks[index].unknown_since = at


def _source_added(sweep: Sweep, event: ev.SourceAdded) -> None:
    known = sweep.sources.get(event.source)
    if known is None:
        sweep.sources[event.source] = SourceState(
            event.source, event.kind, event.slots, event.options, event.queue, event.elsewhere, event.grace
        )
    else:
        known.kind, known.slots, known.options, known.removed = event.kind, event.slots, event.options, False
        known.queue, known.elsewhere, known.grace = event.queue, event.elsewhere, event.grace


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
            source_of(sweep, event.source).slots = event.value
        case "limit":
            sweep.max_concurrent = event.value or None
        case "budget":
            sweep.budget, sweep.budget_warned, sweep.budget_spent = event.value / 100, False, False
            for source in sweep.sources.values():
                source.blind_told = False
        case "add_source" | "enable_source":
            _wake(sweep)
        case "remove_source":
            pass  # said by the event before this one


def _budget_spent(sweep: Sweep, event: ev.BudgetSpent) -> None:
    sweep.budget_spent = sweep.budget_warned = sweep.paused = True
    sweep.pause_reason = f"the budget of ${sweep.budget:.2f} is spent"
    if event.action == "terminate":
        for source in sweep.sources.values():
            for index in sorted(source.active) if source.kind in PRICED or source.price is not None else ():
                _request_cancel(sweep, sweep.tasks[index], force=False)


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
            task.tries_before, task.losses, task.refusals = len(task.attempts), 0, 0
            requeue(sweep, ev.Delay(index, at), at)
    _wake(sweep)


def _wake(sweep: Sweep) -> None:
    """A sweep that had ended, or was about to, goes on if there is something to launch again.

    Whoever wakes a sweep that had ended has mended something: every source is trusted again that is there at all.
    """
    if sweep.counts[TaskState.PENDING] > len(sweep.drop_due):
        for source in sweep.sources.values() if sweep.ended is not None else ():
            if source.disabled_since is not None and source.disabled_cause != "start":
                source.enable()
        sweep.ended, sweep.ended_at, sweep.reason = None, None, ""
        sweep.cancel_requested = False
