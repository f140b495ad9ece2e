"""A sweep as the documents of `sweep.json`, and back: the plan, and what the fold had come to at some event.

What can be computed from the tasks (counts, loads) is not stored, so that it cannot disagree with them.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import asdict, fields
from itertools import groupby
from typing import Any, cast

from ..state.documents import Document, SweepDocuments
from ..state.journal import Position
from . import events as ev
from .health import HealthRules
from .plan.model import Plan
from .plan.store import plan_from_json, plan_to_json
from .sweep import (
    ACTIVE,
    Attempt,
    Batch,
    ReadyTasks,
    SourceState,
    Sweep,
    SweepStatus,
    Task,
    TaskQueue,
    TaskState,
)

FORMAT = 1

_FRAME = (
    "id", "name", "project", "created_at", "max_concurrent", "launch_delay", "retry_max", "retry_backoff", "strategy",
    "last_launch_at", "last_source", "batches", "paused", "pause_reason", "blamed", "cancel_requested", "ended_at",
    "reason", "epoch", "engine_host", "engine_pid", "seq", "updated_at", "budget", "budget_action", "budget_warned",
    "budget_spent",
)  # fmt: skip
_ORDERS = ("retry_due", "cancel_due", "drop_due", "force_due", "unknown", "failures", "launch_failures")
_TASK = ("not_before", "unknown_since", "tries_before", "losses", "refusals", "counting", "cancel_requested")
_OF_SOURCE = tuple(
    f.name
    for f in fields(SourceState)
    if f.name not in ("options", "active", "batches", "held", "waiting", "asked", "young")
)
"""Fields of a source that are stored as they are."""
_LATER: dict[str, object] = {
    "blamed": False, "budget": 0.0, "budget_action": "pause", "budget_warned": False, "budget_spent": False,
}  # fmt: skip
"""Of the frame: what snapshots of earlier versions lack."""
_ATTEMPT_DEFAULTS = {f.name: f.default for f in fields(Attempt)}


class SnapshotError(ValueError):
    """The documents are not a sweep's, or of a version this program does not read."""


def to_documents(plan: Plan, sweep: Sweep, position: Position) -> SweepDocuments:
    """`position`: where the journal goes on behind this snapshot."""
    frame: dict[str, object] = {name: getattr(sweep, name) for name in _FRAME}
    frame |= {name: list(cast("dict[int, None]", getattr(sweep, name))) for name in _ORDERS}
    frame["retry_on"] = sorted(sweep.retry_on)
    frame["grace"], frame["rules"] = sweep.rules.grace, [list(pair) for pair in sweep.rules.pairs()]
    frame["given_up"] = [list(key) for key in sweep.given_up]
    frame["uncollected"] = [list(key) for key in sweep.uncollected]
    frame["left_behind"] = [[*key, problem] for key, problem in sweep.left_behind.items()]
    if sweep.needs:
        frame["needs"] = [[list(needs.kinds), list(needs.regions)] for needs in sweep.needs]
        frame["groups"] = [[group, len(list(tasks))] for group, tasks in groupby(sweep.group_of)]
    frame["ended"] = sweep.ended.value if sweep.ended else None
    frame["requests"] = dict(sweep.requests)
    frame["notes"] = [list(note) for note in sweep.notes]
    ready = list(sweep.ready)
    # Usually the tail of the plan in its order: then two numbers say it.
    frame["ready"] = {"from": ready[0], "count": len(ready)} if _is_run(ready) else ready
    frozen = plan_to_json(plan)
    planned_tasks = cast("list[dict[str, object]]", frozen.pop("tasks"))
    document: Document = {
        "format": FORMAT,
        "plan": frozen,
        "snapshot": frame,
        "journal": asdict(position),
    }
    tasks: list[Document] = []
    for planned, task in zip(planned_tasks, sweep.tasks, strict=True):
        row: dict[str, object] = {"plan": planned}
        if task.state is not TaskState.PENDING:
            row["state"] = task.state.value
        if task.attempts:
            row["attempts"] = [_attempt_row(attempt) for attempt in task.attempts]
        for name in _TASK:
            value = getattr(task, name)
            if value:
                row[name] = value
        tasks.append(row)
    sources = [_source_row(source) for source in sweep.sources.values()]
    return SweepDocuments(document, tasks, sources)


def from_documents(documents: SweepDocuments) -> tuple[Plan, Sweep, Position]:
    """Raises `SnapshotError`."""
    document = documents.sweep
    if document.get("format") != FORMAT:
        raise SnapshotError(f"sweep.json has format {document.get('format')!r}; this program reads {FORMAT}")
    try:
        rows = cast("list[Mapping[str, Any]]", documents.tasks)
        frozen = cast("dict[str, Any]", document["plan"])
        plan = plan_from_json({**frozen, "tasks": [row["plan"] for row in rows]})
        sweep = _restore(cast("Mapping[str, Any]", document["snapshot"]), rows)
        for row in cast("list[Mapping[str, Any]]", documents.sources):
            source = _source(row)
            sweep.sources[source.name] = source
        position = Position(**cast("dict[str, int]", document["journal"]))
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"sweep.json is damaged ({type(error).__name__}: {error})") from None
    for task in sweep.tasks:
        sweep.counts[task.state] += 1
        if task.state in ACTIVE:
            attempt = task.attempts[-1]
            source = sweep.sources[attempt.source]
            source.active.add(task.index)
            if attempt.batch in source.batches:
                source.batches[attempt.batch].active += 1
    for source in sweep.sources.values():
        source.held = sum(batch.held for batch in source.batches.values())
    return plan, sweep, position


def _restore(frame: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> Sweep:
    sweep = Sweep()
    for name in _FRAME:
        setattr(sweep, name, frame.get(name, _LATER[name]) if name in _LATER else frame[name])
    for name in _ORDERS:
        setattr(sweep, name, dict.fromkeys(frame[name]))
    sweep.retry_on = frozenset(frame["retry_on"])
    sweep.rules = HealthRules.of(((str(k), v) for k, v in frame.get("rules", ())), frame["grace"])
    sweep.given_up = dict.fromkeys((task, number) for task, number in frame.get("given_up", ()))
    sweep.uncollected = dict.fromkeys((task, number) for task, number in frame.get("uncollected", ()))
    sweep.left_behind = {(task, number): words for task, number, words in frame.get("left_behind", ())}
    sweep.ended = SweepStatus(frame["ended"]) if frame["ended"] else None
    sweep.requests = dict(frame["requests"])
    sweep.notes.extend((at, text) for at, text in frame["notes"])
    ready = frame["ready"]
    if isinstance(ready, dict):
        run = cast("dict[str, int]", ready)
        ready = range(run["from"], run["from"] + run["count"])
    sweep.needs = tuple(ev.Needs(tuple(kinds), tuple(regions)) for kinds, regions in frame.get("needs", ()))
    sweep.group_of = [group for group, count in frame.get("groups", ()) for _ in range(count)]
    sweep.ready = ReadyTasks(cast("list[int]", ready), sweep.group_of)
    for index, row in enumerate(rows):
        task = Task(index, TaskState(row.get("state", "pending")))
        task.attempts = [_attempt(item) for item in row.get("attempts", ())]
        for name in _TASK:
            if name in row:
                setattr(task, name, row[name])
        sweep.tasks.append(task)
        if task.not_before is not None:
            sweep.delayed.append((task.not_before, index))
    heapq.heapify(sweep.delayed)
    sweep.unknown = {index: sweep.tasks[index].unknown_since or 0.0 for index in sweep.unknown}
    return sweep


def _is_run(numbers: list[int]) -> bool:
    return bool(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1 and numbers == sorted(numbers)


def _source_row(source: SourceState) -> Document:
    """Loads are not stored: the tasks say them."""
    row: Document = {name: getattr(source, name) for name in _OF_SOURCE}
    row["options"] = [list(pair) for pair in source.options]
    row["batches"] = [
        [name, batch.limit, batch.waiting, batch.reason] for name, batch in source.batches.items()
    ]
    row["young"] = [[start, *rates] for start, rates in source.young.items()]
    row["waiting"], row["asked"] = list(source.waiting), list(source.asked)
    return row


def _source(row: Mapping[str, Any]) -> SourceState:
    source = SourceState(**{name: row[name] for name in _OF_SOURCE if name in row})
    source.options = tuple((str(key), str(value)) for key, value in row["options"])
    for name, limit, waiting, reason in row.get("batches", ()):
        source.batches[name] = Batch(limit, 0, waiting, reason)
    source.young = {start: (rate, count) for start, rate, count in row.get("young", ())}
    source.waiting = TaskQueue(row.get("waiting", ()))
    source.asked = dict.fromkeys(row.get("asked", ()))
    return source


def _attempt_row(attempt: Attempt) -> dict[str, object]:
    row: dict[str, object] = {}
    for name, default in _ATTEMPT_DEFAULTS.items():
        value = getattr(attempt, name)
        if value != default:
            row[name] = value.value if name == "state" else value
    return row


def _attempt(row: Mapping[str, Any]) -> Attempt:
    made = Attempt(**row)
    made.state = TaskState(made.state)
    return made
