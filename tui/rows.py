"""From the live model to the values the screen holds. Runs in the feed's thread, which alone touches the model."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import islice

from ..engine.sweep import ACTIVE, Attempt, Sweep, Task, TaskState
from ..engine.viewer import Viewer
from ..state.lock import read_holder
from .view import FINAL_STATUSES, MAX_FAILURES, ORPHANED, Facts, Failure, SourceRow, TaskRow
from .work_time import WorkTime

RECENT_ENDS = 20


def task_row(sweep: Sweep, task: Task, *, orphaned: bool) -> TaskRow:
    """The task as it is now. `orphaned`: no engine looks after the sweep, so nobody can say whether anything runs."""
    attempt = task.attempt
    if attempt is None:
        return TaskRow(task.index, task.state.value, not_before=task.not_before)
    state, known_at = task.state.value, None
    if task.state in ACTIVE and (orphaned or sweep.is_unknown(task.index)):
        source = sweep.sources[attempt.source]
        since = (task.unknown_since, source.unreachable_since, sweep.updated_at if orphaned else None)
        state, known_at = "unknown", min(at for at in since if at is not None)
    return TaskRow(
        task.index, state, attempt.source, attempt.number, attempt.launched_at, attempt.started_at,
        attempt.ended_at, attempt.exit_code, attempt.signal, attempt.kind or "", attempt.message, task.not_before,
        known_at,
    )  # fmt: skip


def facts(viewer: Viewer, status: str, ends: Iterable[float], work: WorkTime, due_at: float | None) -> Facts:
    """The sweep as a whole. O(sources + what is unknown + failures shown)."""
    sweep = viewer.sweep
    orphaned = status == ORPHANED
    # A dead engine's lock stays, and tells when its heart beat last.
    left = read_holder(viewer.layout.lock)
    holder = None if left is None or left.lives is False else left
    unknown = _unknown(sweep, orphaned=orphaned)
    counts = {state.value: number for state, number in sweep.counts.items()}
    counts["unknown"] = 0
    for index in unknown:
        counts[sweep.tasks[index].state.value] -= 1
        counts["unknown"] += 1
    reason = sweep.pause_reason if sweep.paused and sweep.ended is None else sweep.reason
    return Facts(
        id=sweep.id,
        name=sweep.name,
        status=status,
        total=sweep.total,
        counts=counts,
        created_at=sweep.created_at,
        ended_at=sweep.ended_at if status in FINAL_STATUSES else None,
        reason=reason,
        engine=holder.describe() if holder else "",
        engine_died=orphaned and (left is not None or sweep.engine_pid != 0),
        sign_of_life=max(left.beat_at if left else 0.0, sweep.updated_at),
        worked=work.seconds(),
        # While something runs the clock goes on; what nobody looks after is not said to run.
        running_since=work.running_since() if sweep.active and not orphaned else None,
        due_at=due_at,
        # What ended before the sweep was taken up again says nothing about its pace now.
        recent_ends=tuple(end for end in ends if end >= work.since),
        sources=tuple(
            SourceRow(
                s.name, s.kind, s.slots, len(s.active), s.completed, s.failed, s.removed, s.unreachable_since,
                s.unreachable_reason, len(s.active & unknown),
            )
            for s in sweep.sources.values()
        ),
        failures=_failures(sweep),
        note=sweep.notes[-1][1] if sweep.notes else "",
        paused=sweep.paused,
    )  # fmt: skip


def latest_ends(sweep: Sweep) -> list[float]:
    """Times of the latest ends of attempts, oldest first. O(tasks)."""
    ends = (task.attempts[-1].ended_at for task in sweep.tasks if task.attempts)
    return sorted(heapq.nlargest(RECENT_ENDS, (end for end in ends if end is not None)))


def _unknown(sweep: Sweep, *, orphaned: bool) -> set[int]:
    found = set(sweep.unknown)
    for source in sweep.sources.values():
        if orphaned or source.unreachable_since is not None:
            found |= source.active
    return found


def _failures(sweep: Sweep) -> tuple[Failure, ...]:
    """Tasks that are failed, and launches that failed though another try was made since; latest first."""
    found: list[Failure] = []
    for index in islice(reversed(sweep.failures), MAX_FAILURES):
        task = sweep.tasks[index]
        found.append(_failure(task, task.attempts[-1]))
    for index in islice(reversed(sweep.launch_failures), MAX_FAILURES):
        task = sweep.tasks[index]
        if task.state is not TaskState.FAILED:
            attempt = next(a for a in reversed(task.attempts) if a.kind == "launch_failed")
            found.append(_failure(task, attempt))
    found.sort(key=lambda failure: failure.at, reverse=True)
    return tuple(found[:MAX_FAILURES])


def _failure(task: Task, attempt: Attempt) -> Failure:
    return Failure(
        task.index, attempt.number, attempt.kind or "exit", attempt.exit_code, attempt.signal,
        attempt.message, attempt.source, attempt.ended_at or attempt.launched_at, task.state.value,
    )  # fmt: skip
