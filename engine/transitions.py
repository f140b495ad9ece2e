"""What becomes of a task and its attempts by one event: the part of `sweep.apply` that is about them."""

from __future__ import annotations

import heapq

from . import events as ev
from .model import ACTIVE, ENDED, ApplyError, Attempt, SourceState, Sweep, Task, TaskState

LOSSES = 5
"""Attempts of one task that may be lost with their source; then it has failed."""
REFUSALS = 20
"""Launches of one task that sources may refuse. Strikes end such a row long before, if nothing else goes well there."""


def source_of(sweep: Sweep, name: str) -> SourceState:
    try:
        return sweep.sources[name]
    except KeyError:
        raise ApplyError(f"no source named {name!r}") from None


def _move(sweep: Sweep, task: Task, state: TaskState) -> None:
    sweep.counts[task.state] -= 1
    sweep.counts[state] += 1
    task.state = state


def current(sweep: Sweep, index: int, number: int) -> Task:
    """The task, if that attempt is its latest and may be alive."""
    task = sweep.tasks[index]
    if len(task.attempts) != number or task.state not in ACTIVE:
        raise ApplyError(
            f"task {index + 1}: attempt {number} is not active "
            f"(state {task.state}, {len(task.attempts)} attempts)"
        )
    return task


def launching(sweep: Sweep, at: float, event: ev.Launching) -> None:
    source = source_of(sweep, event.source)
    for ref in event.attempts:
        task = sweep.tasks[ref.task]
        if task.state is not TaskState.PENDING or ref.attempt != len(task.attempts) + 1:
            raise ApplyError(f"task {ref.task + 1}: cannot launch attempt {ref.attempt} when {task.state}")
        attempt = Attempt(ref.attempt, event.source, event.batch, at, least_seconds=source.least_seconds)
        task.attempts.append(attempt)
        task.not_before = None
        sweep.ready.discard(ref.task)
        _move(sweep, task, TaskState.LAUNCHING)
    source.take(event.batch, [ref.task for ref in event.attempts], event.limit)
    sweep.batches += 1
    sweep.last_launch_at, sweep.last_source = at, event.source


def running(sweep: Sweep, at: float, started: ev.Started) -> None:
    task = current(sweep, started.task, started.attempt)
    attempt = task.attempts[-1]
    attempt.handle = started.handle or attempt.handle
    source = source_of(sweep, attempt.source)
    if attempt.started_at is None:
        # By a clock there that is ahead of ours it may not have begun yet; it is seen running all the same.
        attempt.started_at = at if started.started_at is None else min(at, started.started_at)
        attempt.rate = source.price if started.rate is None else started.rate
        source.charge(attempt.rate, attempt.started_at, at)
    elif attempt.rate is None and started.rate is not None:
        _priced(source, attempt, started.rate, at)
    task.unknown_since = None
    sweep.unknown.pop(started.task, None)
    source.began(started.task)
    source.heard_at = at
    if task.state is TaskState.LAUNCHING:
        attempt.state = TaskState.RUNNING
        _move(sweep, task, TaskState.RUNNING)


def ended(sweep: Sweep, at: float, end: ev.End) -> None:
    task = current(sweep, end.task, end.attempt)
    attempt = task.attempts[-1]
    begun = attempt.started_at
    """As it was charged; what the end says may be more exact."""
    counted = begun is not None and attempt.rate is not None
    state = TaskState(end.state)
    attempt.state, attempt.kind, attempt.message = state, end.kind, end.message
    attempt.exit_code, attempt.signal = end.exit_code, end.signal
    attempt.ended_at = end.ended_at if end.ended_at is not None else at
    if end.started_at is not None:
        attempt.started_at = end.started_at
    elif attempt.started_at is None and end.kind != "launch_failed" and state is not TaskState.CANCELLED:
        attempt.started_at = attempt.launched_at
    seconds = None
    if attempt.started_at is not None:
        seconds = max(0.0, attempt.ended_at - attempt.started_at)
    source = source_of(sweep, attempt.source)
    if begun is not None:
        source.keeps_waiting = False  # what it had has become free
    source.release(end.task, attempt.batch)
    attempt.handle = attempt.handle or end.handle
    if begun is not None and attempt.rate is None and end.rate is not None:
        attempt.started_at = begun
        _priced(source, attempt, end.rate, at)
    if begun is None and attempt.started_at is not None:
        # It came and went between two looks.
        attempt.rate = source.price if end.rate is None else end.rate
        source.charge(attempt.rate, attempt.started_at, at)
    if attempt.started_at is not None:
        attempt.cost = _cost(source, attempt, begun if counted else None, at)
        source.settle(attempt.rate, attempt.started_at if begun is None else begun, attempt.cost)
    source.ended(end.task, end, seconds, at)
    source.busy_seconds += seconds or 0.0
    if not end.given_up:
        source.heard_at = at
    if end.given_up:
        sweep.given_up[end.task, end.attempt] = None
    elif attempt.started_at is not None:
        to_bring_home(sweep, end.task, end.attempt)
    cancelled = task.cancel_requested
    _let_go(sweep, task, state)
    if state is TaskState.COMPLETED:
        source.completed += 1
    elif state is TaskState.FAILED:
        source.failed += 1
        sweep.failures[end.task] = None
        if end.kind == "launch_failed":
            sweep.launch_failures.pop(end.task, None)
            sweep.launch_failures[end.task] = None
        if _again(sweep, task, end) and not cancelled:
            sweep.retry_due[end.task] = None


def _priced(source: SourceState, attempt: Attempt, rate: float, at: float) -> None:
    """The price of an attempt that was seen running came later."""
    assert attempt.started_at is not None
    source.uncharge()
    attempt.rate = rate
    source.charge(rate, attempt.started_at, at)


def _cost(source: SourceState, attempt: Attempt, counted_from: float | None, at: float) -> float | None:
    """USD of an attempt whose end is heard at `at`. `counted_from`: since when the sweep's cost has counted it, if so.

    What was counted while somebody listened is not taken back (an end is seen some seconds late, in which EC2 goes on
    charging); what ended while nobody could hear costs what it has cost.
    """
    if attempt.rate is None or attempt.started_at is None or attempt.ended_at is None:
        return None
    begin, end = attempt.started_at, attempt.ended_at
    if counted_from is not None and source.heard_at_once(end):
        begin, end = min(begin, counted_from), max(end, at)
    return source.charged(attempt.rate, end - begin)


def _let_go(sweep: Sweep, task: Task, state: TaskState) -> None:
    """The task's attempt is over: nothing is doubted of it or due to it any more."""
    task.unknown_since = None
    sweep.unknown.pop(task.index, None)
    sweep.cancel_due.pop(task.index, None)
    sweep.force_due.pop(task.index, None)
    task.cancel_requested = False
    _move(sweep, task, state)


def _again(sweep: Sweep, task: Task, end: ev.End) -> bool:
    """Whether a task that failed so is tried again by itself. A fault of its source is no try of its own."""
    if end.final:
        return False
    if end.source_fault:
        task.tries_before += 1
        if end.kind == "source_lost":
            task.losses += 1
            return task.losses < LOSSES
        if end.no_room:
            return True
        task.refusals += 1
        return task.refusals < REFUSALS
    return len(task.attempts) - task.tries_before <= sweep.retry_max and end.kind in sweep.retry_on


def withdrawing(sweep: Sweep, event: ev.Withdrawing) -> None:
    source = source_of(sweep, event.source)
    for ref in event.attempts:
        current(sweep, ref.task, ref.attempt)
        source.waiting.discard(ref.task)
        source.asked[ref.task] = None


def withdrawn(sweep: Sweep, at: float, ref: ev.Ref) -> None:
    """The task goes to the end of the ready queue: it was the last one where it waited, too."""
    task = current(sweep, ref.task, ref.attempt)
    attempt = task.attempts[-1]
    attempt.state, attempt.ended_at = TaskState.CANCELLED, at
    source = source_of(sweep, attempt.source)
    attempt.message = (
        f"withdrawn from the queue of {source.name}"
        if source.queue
        else f"taken back before {source.name} sent it"
    )
    source.release(ref.task, attempt.batch)
    source.keeps_waiting = source.queue
    if source.probing == ref.task:
        source.probing, source.probe_at = None, at + source.rest(sweep.rules)
    task.tries_before += 1
    dropped = task.cancel_requested
    _let_go(sweep, task, TaskState.PENDING)
    sweep.ready.push(ref.task)
    if dropped:
        sweep.drop_due[ref.task] = None


def recovered(sweep: Sweep, at: float, end: ev.End) -> None:
    task = sweep.tasks[end.task]
    if (
        task.state not in (TaskState.PENDING, TaskState.FAILED)
        or (end.task, end.attempt) not in sweep.given_up
    ):
        raise ApplyError(f"task {end.task + 1}: attempt {end.attempt} cannot be recovered when {task.state}")
    attempt = task.attempts[end.attempt - 1]
    source = source_of(sweep, attempt.source)
    source.heard_at = at
    source.busy_seconds -= _seconds(attempt)
    before = attempt.cost or 0.0
    attempt.state, attempt.kind, attempt.message = TaskState.COMPLETED, None, end.message
    attempt.exit_code, attempt.signal = end.exit_code, end.signal
    attempt.started_at = end.started_at if end.started_at is not None else attempt.started_at
    attempt.ended_at = end.ended_at if end.ended_at is not None else at
    source.busy_seconds += _seconds(attempt)
    cost = _cost(source, attempt, None, at)
    if cost is not None and source.heard_at_once(attempt.ended_at):
        cost = max(cost, before)
    attempt.cost = cost
    source.spent += (cost or 0.0) - before
    source.failed -= 1
    source.completed += 1
    del sweep.given_up[end.task, end.attempt]
    to_bring_home(sweep, end.task, end.attempt)
    for due in (sweep.failures, sweep.retry_due, sweep.drop_due):
        due.pop(end.task, None)
    sweep.ready.discard(end.task)
    task.not_before, task.counting, task.cancel_requested = None, end.attempt, False
    _move(sweep, task, TaskState.COMPLETED)


def to_bring_home(sweep: Sweep, task: int, attempt: int) -> None:
    """The attempt has run and ended: if it wrote elsewhere, its files are due at home."""
    attempts = sweep.tasks[task].attempts
    if attempt <= len(attempts) and source_of(sweep, attempts[attempt - 1].source).elsewhere:
        sweep.uncollected[task, attempt] = None


def out_of_reach(sweep: Sweep, ref: ev.Ref, reason: str) -> None:
    task = sweep.tasks[ref.task]
    if task.state is not TaskState.COMPLETED or task.attempt is not task.attempts[ref.attempt - 1]:
        raise ApplyError(f"task {ref.task + 1}: attempt {ref.attempt} is not what completed it")
    attempt = task.attempts[ref.attempt - 1]
    source = source_of(sweep, attempt.source)
    del sweep.uncollected[ref.task, ref.attempt]
    sweep.given_up[ref.task, ref.attempt] = None
    attempt.state, attempt.kind, attempt.message = TaskState.FAILED, "source_lost", reason
    source.completed -= 1
    source.failed += 1
    task.counting = 0
    # It may have been given up before, and not counted then.
    task.tries_before = min(task.tries_before + 1, len(task.attempts))
    task.losses += 1
    _move(sweep, task, TaskState.FAILED)
    sweep.failures[ref.task] = None
    if task.losses < LOSSES and not sweep.cancel_requested:
        sweep.retry_due[ref.task] = None


def brought_home(sweep: Sweep, brought: ev.Brought) -> None:
    key = (brought.task, brought.attempt)
    sweep.uncollected.pop(key, None)
    if brought.problem:
        sweep.left_behind[key] = brought.problem
    else:
        sweep.left_behind.pop(key, None)


def _seconds(attempt: Attempt) -> float:
    """How long an attempt ran, as far as it is known."""
    if attempt.started_at is None or attempt.ended_at is None:
        return 0.0
    return max(0.0, attempt.ended_at - attempt.started_at)


def backoff(sweep: Sweep, task: Task) -> float:
    """Seconds a failed task waits before its next try: doubled each time, at most one hour."""
    tries = len(task.attempts) - task.tries_before
    return min(3600.0, sweep.retry_backoff * 2.0 ** min(tries - 1, 30)) if tries > 0 else 0.0


def requeue(sweep: Sweep, delay: ev.Delay, at: float) -> None:
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


def delays_over(sweep: Sweep, at: float) -> None:
    while sweep.delayed and sweep.delayed[0][0] <= at:
        not_before, index = heapq.heappop(sweep.delayed)
        task = sweep.tasks[index]
        if task.not_before == not_before and task.state is TaskState.PENDING:
            task.not_before = None
            sweep.ready.push(index)


def cancelling(sweep: Sweep, event: ev.Cancelling) -> None:
    for ref in event.attempts:
        task = current(sweep, ref.task, ref.attempt)
        task.cancel_requested = True
        sweep.cancel_due.pop(ref.task, None)
        if event.force:
            sweep.force_due.pop(ref.task, None)
        if task.state is not TaskState.CANCELLING:
            task.attempts[-1].state = TaskState.CANCELLING
            _move(sweep, task, TaskState.CANCELLING)


def drop(sweep: Sweep, task: Task) -> None:
    if task.state is not TaskState.PENDING:
        raise ApplyError(f"task {task.index + 1}: cannot be dropped when {task.state}")
    sweep.ready.discard(task.index)
    sweep.drop_due.pop(task.index, None)
    task.not_before = None
    task.cancel_requested = False
    _move(sweep, task, TaskState.CANCELLED)
