"""From the live model to the values the screen holds. Runs in the feed's thread, which alone touches the model."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from ..engine import events as ev
from ..engine.collect.elsewhere import is_cloud
from ..engine.cost import blind_lines
from ..engine.redact import said
from ..engine.sweep import ACTIVE, Attempt, Sweep, Task, TaskState
from ..engine.viewer import Viewer
from ..state.layout import SweepLayout
from ..state.lock import read_holder
from .last_words import LastWords
from .launch_failures import LaunchFailure, LaunchFailures, cause_of
from .money import cost_forms, spent_of
from .sources import SourceRow, source_row
from .view import (
    FINAL_STATUSES,
    MAX_FAILURES,
    ORPHANED,
    SOURCE_TROUBLE,
    AttemptRow,
    Facts,
    Failure,
    TaskRow,
)
from .work_time import WorkTime

RECENT_ENDS = 20
MAX_LAUNCH_FAILURES = 50
"""Groups of equal failed launches in their pane."""


def task_row(sweep: Sweep, task: Task, *, orphaned: bool) -> TaskRow:
    """The task as it is now. `orphaned`: no engine looks after the sweep, so nobody can say whether anything runs."""
    attempt = task.attempt
    if attempt is None:
        return TaskRow(task.index, task.state.value, not_before=task.not_before)
    state, known_at, batch = task.state.value, None, ""
    if task.state in ACTIVE and (orphaned or sweep.is_unknown(task.index)):
        source = sweep.sources[attempt.source]
        since = (task.unknown_since, source.unreachable_since, sweep.updated_at if orphaned else None)
        state, known_at = "unknown", min(at for at in since if at is not None)
    elif task.state is TaskState.LAUNCHING and sweep.sources[attempt.source].queue:
        state, batch = "queued", attempt.batch
    return TaskRow(
        task.index, state, attempt.source, attempt.number, attempt.launched_at, attempt.started_at,
        attempt.ended_at, attempt.exit_code, attempt.signal, attempt.kind or "",
        _words(sweep, task.index, attempt), task.not_before,
        known_at, len(task.attempts), batch, spent_of(task), attempt.rate if attempt.ended_at is None else None,
        attempt.least_seconds,
    )  # fmt: skip


def attempt_rows(sweep: Sweep, index: int) -> tuple[AttemptRow, ...]:
    """All attempts of a task, the first one first."""
    task = sweep.tasks[index]
    return tuple(
        AttemptRow(
            a.number, a.source, a.state.value, a.kind or "", a.exit_code, a.signal, _words(sweep, index, a),
            a.started_at, a.ended_at, (index, a.number) in sweep.given_up, a is task.attempt, a.handle, a.rate,
        )
        for a in task.attempts
    )  # fmt: skip


def _words(sweep: Sweep, index: int, attempt: Attempt) -> str:
    """Why it ended so, and what of its files did not come home."""
    left = sweep.left_behind.get((index, attempt.number), "")
    return "; ".join(part for part in (attempt.message, left and f"not all files are home: {left}") if part)


def facts(viewer: Viewer, status: str, beside: Beside, due_at: float | None, now: float) -> Facts:
    """The sweep as a whole, and what it has cost until `now` (seconds since 1970).

    O(sources + what is unknown + failures shown).
    """
    sweep = viewer.sweep
    orphaned = status == ORPHANED
    now = max(sweep.updated_at, now)
    # A dead engine's lock stays, and tells when its heart beat last.
    left = read_holder(viewer.layout.lock)
    holder = None if left is None or left.lives is False else left
    unknown = _unknown(sweep, orphaned=orphaned)
    counts = {state.value: number for state, number in sweep.counts.items()}
    counts["unknown"] = 0
    for index in unknown:
        counts[sweep.tasks[index].state.value] -= 1
        counts["unknown"] += 1
    counts["queued"] = beside.queued
    counts["launching"] -= beside.queued
    sources = tuple(_source_row(sweep, name, unknown, beside, now) for name in sweep.sources)
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
        worked=beside.work.seconds(),
        # While something runs the clock goes on; what nobody looks after is not said to run.
        running_since=beside.work.running_since() if sweep.active and not orphaned else None,
        due_at=due_at,
        recent_ends=beside.recent(beside.ends.latest),
        sources=sources,
        failures=_failures(sweep, sources, beside),
        note=sweep.notes[-1][1] if sweep.notes else "",
        paused=sweep.paused,
        uncollected=len(sweep.uncollected),
        cost=cost_forms(sweep, now),
        blind=tuple(blind_lines(sweep, lambda task: _type_of(viewer, task))) if sweep.ended is None else (),
        priced=any(source.rate or source.spent for source in sweep.sources.values()),
        costs_more=any(source.rate > 0 for source in sweep.sources.values()),
    )  # fmt: skip


def _type_of(viewer: Viewer, task: int) -> str:
    """The type of instance that the plan asks for; empty if it leaves that to others."""
    return str(viewer.plan.tasks[task].launch.get("instance_type") or "")


class Beside:
    """What is kept beside the model: folds of the journal that the engine has no need of."""

    def __init__(self, sweep: Sweep, layout: SweepLayout) -> None:
        """O(tasks)."""
        self.work, self.ends = WorkTime(sweep), Ends(sweep)
        self.launches, self.last_words = LaunchFailures(sweep, instances=True), LastWords(layout)
        self._queued: set[int] = set()

    @property
    def queued(self) -> int:
        """Tasks that wait in a scheduler's queue."""
        return len(self._queued)

    def look(self, sweep: Sweep, records: Sequence[ev.Record], rows: Iterable[TaskRow]) -> None:
        """Take in what has happened, and the rows that are others for it."""
        self.work.look(sweep)
        self.launches.look(sweep, records)
        self.ends.look(sweep, records)
        for row in rows:
            if row.state == "queued":
                self._queued.add(row.task)
            else:
                self._queued.discard(row.task)

    def recent(self, ends: Iterable[float]) -> tuple[float, ...]:
        """Those of the ends that say something of the pace now: not what was before the sweep was taken up again."""
        since = max(self.work.since, self.work.again)
        return tuple(end for end in ends if end >= since)

    def begin(self, rows: Iterable[TaskRow]) -> None:
        """Take in all rows."""
        self._queued = {row.task for row in rows if row.state == "queued"}


class Ends:
    """Times (seconds since 1970) of the latest ends of attempts, oldest first: of all, and of each source."""

    def __init__(self, sweep: Sweep) -> None:
        """O(tasks)."""
        self.latest: deque[float] = deque(maxlen=RECENT_ENDS)
        self._of: dict[str, deque[float]] = {}
        by_source: dict[str, list[float]] = {}
        for task in sweep.tasks:
            attempt = task.attempt
            if attempt is not None and task.state is not TaskState.PENDING and _did_end(attempt):
                by_source.setdefault(attempt.source, []).append(attempt.ended_at or 0.0)
        for source, times in by_source.items():
            self._of[source] = deque(sorted(heapq.nlargest(RECENT_ENDS, times)), RECENT_ENDS)
        self.latest.extend(sorted(time for times in self._of.values() for time in times))

    def look(self, sweep: Sweep, records: Iterable[ev.Record]) -> None:
        """Take in what has ended since."""
        for record in records:
            if isinstance(record.event, ev.Ended):
                for end in record.event.attempts:
                    attempt = sweep.tasks[end.task].attempts[end.attempt - 1]
                    if _did_end(attempt):
                        at = attempt.ended_at or record.at
                        self.latest.append(at)
                        self._of.setdefault(attempt.source, deque(maxlen=RECENT_ENDS)).append(at)

    def of(self, source: str) -> tuple[float, ...]:
        return tuple(self._of.get(source, ()))


def _did_end(attempt: Attempt) -> bool:
    """Whether it ran and came to an end that was seen: what never began or was given up says nothing about the pace."""
    return attempt.ended_at is not None and attempt.kind not in ("launch_failed", "source_lost")


def _source_row(sweep: Sweep, name: str, unknown: set[int], beside: Beside, now: float) -> SourceRow:
    source = sweep.sources[name]
    doubted = len(source.active & unknown) if unknown else 0
    return source_row(source, doubted, beside.recent(beside.ends.of(name)), now)


def _unknown(sweep: Sweep, *, orphaned: bool) -> set[int]:
    found = set(sweep.unknown)
    for source in sweep.sources.values():
        if orphaned or source.unreachable_since is not None:
            found |= source.active
    return found


def _failures(sweep: Sweep, sources: tuple[SourceRow, ...], beside: Beside) -> tuple[Failure, ...]:
    """Sources that take no tasks, launches that failed (whatever became of their tasks since), tasks that are failed;
    latest first."""
    found: list[Failure] = []
    told: set[tuple[str, str]] = set()
    for group in beside.launches.latest(MAX_LAUNCH_FAILURES):
        told.add((group.source, cause_of(group.message)))
        found.append(_launch(sweep, group, beside.last_words))
    found += [failure for row in sources for failure in _of_source(row, told)]
    for index in islice(reversed(sweep.failures), MAX_FAILURES):
        task = sweep.tasks[index]
        last = task.attempts[-1]
        lost = last.kind == "source_lost" and is_cloud(sweep.sources[last.source].kind)
        if last.kind != "launch_failed" and not lost:
            found.append(_failure(task, last))
    found.sort(key=lambda failure: failure.at, reverse=True)
    return tuple(found[:MAX_FAILURES])


def _launch(sweep: Sweep, group: LaunchFailure, last_words: LastWords) -> Failure:
    instance = sweep.tasks[group.task].attempts[group.attempt - 1].handle
    lost = group.kind == "source_lost"
    words = last_words.of(group.task, group.attempt) if lost or (instance and _in_cloud(sweep, group)) else ()
    return Failure(
        group.task, group.attempt, group.kind, None, None, said(group.message), group.source, group.at,
        sweep.tasks[group.task].state.value, len(group.tasks), words, lost,
    )  # fmt: skip


def _in_cloud(sweep: Sweep, group: LaunchFailure) -> bool:
    return is_cloud(sweep.sources[group.source].kind)


def _of_source(source: SourceRow, told: set[tuple[str, str]]) -> list[Failure]:
    """What keeps a source from taking tasks, each cause once, unless a failed launch says the same."""
    found: list[Failure] = []
    causes = [text for name, text in told if name == source.name and text]
    for at, reason, state in (
        (source.unreachable_since, source.unreachable_reason, "unreachable"),
        (source.disabled_since, source.disabled_reason, "disabled"),
    ):
        cause = cause_of(reason)
        if at is not None and not any(text in cause for text in causes):
            found.append(Failure(-1, 0, SOURCE_TROUBLE, None, None, reason, source.name, at, state, 0))
            causes += [cause] if cause else []
    return found


def _failure(task: Task, attempt: Attempt) -> Failure:
    return Failure(
        task.index, attempt.number, attempt.kind or "exit", attempt.exit_code, attempt.signal,
        said(attempt.message), attempt.source, attempt.ended_at or attempt.launched_at, task.state.value,
    )  # fmt: skip
