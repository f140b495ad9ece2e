"""What a sweep comes to, in a few figures: `status --json`, the last line of `--json`, and the words of `status`."""

from __future__ import annotations

from pathlib import Path

from .home import iso
from .ids import task_name
from .source_state import SourceState
from .sweep import Sweep, SweepStatus, TaskState


def counts(sweep: Sweep) -> dict[str, int]:
    """Tasks by state; what is cancelling still runs, and counts as running. They add up to the total."""
    by_state = sweep.counts
    return {
        "pending": by_state[TaskState.PENDING],
        "launching": by_state[TaskState.LAUNCHING],
        "running": by_state[TaskState.RUNNING] + by_state[TaskState.CANCELLING],
        "completed": by_state[TaskState.COMPLETED],
        "failed": by_state[TaskState.FAILED],
        "cancelled": by_state[TaskState.CANCELLED],
    }


def summary(sweep: Sweep, status: SweepStatus, root: Path) -> dict[str, object]:
    """The object of `status --json`.

    `unknown`: how many of those counted as active nobody can speak for now; `uncollected`: attempts elsewhere whose
    files are not home yet; `left_behind`: those of which not all could be brought, and why. The figures of `sources`
    are attempts, those of `counts` tasks. `waiting`: those among the active that a source with a queue of its own has
    not begun; `health` in one word, empty while nothing is known, and its `reason`.
    """
    return {
        "id": sweep.id,
        "name": sweep.name,
        "status": status.value,
        "counts": counts(sweep),
        "unknown": sweep.active if status is SweepStatus.INTERRUPTED else sweep.unknown_count,
        "sources": [
            {
                "name": source.name,
                "kind": source.kind,
                "slots": source.slots,
                "active": len(source.active),
                "completed": source.completed,
                "failed": source.failed,
                "unreachable_since": iso(source.unreachable_since),
                "reason": source.unreachable_reason or source.disabled_reason,
                "waiting": len(source.waiting),
                "disabled_since": iso(source.disabled_since),
                "disabled_reason": source.disabled_reason,
                "health": source.condition,
            }
            for source in sweep.sources.values()
        ],
        "created_at": iso(sweep.created_at),
        "ended_at": iso(sweep.ended_at),
        "directory": str(root),
        "uncollected": len(sweep.uncollected),
        "left_behind": [
            {"task": task_name(task), "attempt": number, "problem": problem}
            for (task, number), problem in sweep.left_behind.items()
        ],
        "reason": sweep.reason or sweep.pause_reason,
    }


def eta(sweep: Sweep, now: float) -> float | None:
    """Seconds until the last task ends, if tasks go on as they did: the mean time of an attempt, over the slots in use.

    Never less than the youngest of those that run needs. None while nothing has ended yet, nothing is left or it is
    being cancelled, while no source that has work answers, and once one of the last tasks runs longer than the mean:
    how much longer, nobody can say. O(active tasks).
    """
    ended = sum(source.completed + source.failed for source in sweep.sources.values())
    working = [source for source in sweep.sources.values() if source.active or _takes_tasks(source)]
    if not ended or sweep.cancel_requested or all(s.unreachable_since is not None for s in working):
        return None
    mean = sum(source.busy_seconds for source in sweep.sources.values()) / ended
    waiting, needs, running = sweep.counts[TaskState.PENDING], list[float](), 0
    for task in (sweep.tasks[index] for source in working for index in source.active):
        if task.state is TaskState.CANCELLING:
            continue
        started = task.attempts[-1].started_at
        running += started is not None
        needs.append(mean if started is None else mean - (now - started))
    left = waiting + len(needs)
    if not left or (not waiting and min(needs) < 0):
        return None
    slots = sum(s.slots for s in working if s.unreachable_since is None and _takes_tasks(s))
    if sweep.max_concurrent is not None:
        slots = min(slots, sweep.max_concurrent)
    at_once = max(1, min(max(slots, running), left))
    work = waiting * mean + sum(max(0.0, need) for need in needs)
    return max(work / at_once, *needs, mean if waiting else 0.0)


def _takes_tasks(source: SourceState) -> bool:
    return not source.removed and source.disabled_since is None
