"""`status`, `list`, `errors`: what is known of sweeps, without changing anything."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path

import click

from ...engine.ids import task_name
from ...engine.redact import said
from ...engine.snapshot import SnapshotError
from ...engine.summary import counts, eta, summary
from ...engine.sweep import FINAL, Sweep, SweepStatus, TaskState
from ...engine.viewer import Viewer
from ...engine.words import iso
from ...state.documents import DocumentsDamaged
from ...state.index import IndexEntry, SweepIndex
from ...state.journal import JournalDamaged
from ...state.layout import SweepLayout
from ...state.lock import LockDamaged
from .. import format as fmt
from ..launch_failures import LaunchFailures
from ..sources import age, figures, prospect, reason, short, source_row, waiting
from .cost import cost_document, cost_lines
from .find import all_entries, readable, sweep_argument
from .instances import instance_documents, print_instances
from .losses import is_loss
from .output import data, data_json, say
from .table import print_table

_MOST_LEFT = 5
"""Attempts with incomplete files that are named."""
_MOST_REASONS = 1_000
_CHECK = {SweepStatus.COMPLETED: 0, SweepStatus.FAILED: 1, SweepStatus.CANCELLED: 1}


@click.command()
@sweep_argument(default="latest")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option(
    "--check-complete",
    is_flag=True,
    help="Exit 0 completed, 1 failed or cancelled, 2 not over, 3 error; print nothing else.",
)
def status(root: Path, as_json: bool, check_complete: bool) -> int:
    """Show the state of SWEEP (default: the latest): tasks, sources, cost, and what EC2 says of its instances.

    With --json AWS is not asked: `instances` is what the journal knows, and `cost` (USD, null where unknown) is
    reckoned from the prices it holds.
    """
    viewer = readable(lambda: Viewer(root))
    state = readable(viewer.status)
    if as_json:
        data_json({**_summary(viewer, state), "instances": instance_documents(viewer)})
    elif not check_complete:
        _print_status(viewer, state)
    return _CHECK.get(state, 2) if check_complete else 0


def _summary(viewer: Viewer, state: SweepStatus) -> dict[str, object]:
    return {**summary(viewer.sweep, state, viewer.root), "cost": cost_document(viewer.sweep, time.time())}


def _print_status(viewer: Viewer, state: SweepStatus) -> None:
    from ...engine.plan.durations import format_duration

    sweep = viewer.sweep
    lost = state is SweepStatus.INTERRUPTED
    reason = sweep.reason or sweep.pause_reason
    data(f"{sweep.id}  {state}" + (f" ({reason})" if reason else ""))
    shown = counts(sweep)
    if lost:  # nobody watches them: what the journal says last may be true no more
        shown["unknown"] = shown.pop("launching") + shown.pop("running")
    words = ", ".join(f"{n} {name}" for name, n in shown.items() if n) or "none"
    data(f"  tasks      {words} of {sweep.total}")
    if sweep.unknown_count and not lost:
        data(f"  unknown    {sweep.unknown_count} of the running cannot be asked")
    data(f"  created    {_local(sweep.created_at)}; last event {_local(sweep.ended_at or sweep.updated_at)}")
    if state not in FINAL:
        holder, age = viewer.holder(), viewer.age()
        heard = f"{holder.describe()}, heard from {age:.1f} s ago" if holder and age is not None else "none"
        data(f"  engine     {heard}")
        left = eta(sweep, sweep.updated_at)
        if left is not None and holder is not None:
            data(f"  left       about {format_duration(round(left))}")
    for line in cost_lines(sweep, time.time(), viewer.plan):
        data(f"  {line}")
    _print_sources(sweep, idle=lost or state in FINAL)
    data(f"  directory  {viewer.root}")
    _print_left_behind(sweep)
    print_instances(viewer)
    if sweep.failures:
        say(f"  what failed: spawn-tui errors {sweep.id}")
    if state is SweepStatus.INTERRUPTED:
        say(f"  no engine runs; go on with: spawn-tui resume {sweep.id}")


def _print_left_behind(sweep: Sweep) -> None:
    """Whose files are not all at home, the first few by name."""
    left = [(key, problem) for key, problem in sweep.left_behind.items() if is_loss(sweep, *key, problem)]
    for (task, number), problem in left[:_MOST_LEFT]:
        data(f"  files      {task_name(task)}, attempt {number}: {fmt.clean(problem)}")
    if len(left) > _MOST_LEFT:
        data(f"  files      {len(left) - _MOST_LEFT} more are incomplete (--json has all of them)")


def _print_sources(sweep: Sweep, *, idle: bool) -> None:
    """A line for each, and under it what is wrong with it. `idle`: nobody looks after them."""
    now = time.time()
    width = max((len(name) for name in sweep.sources), default=0)
    for source in sweep.sources.values():
        row = source_row(source)
        parts = [] if idle else [f"{row.busy}/{row.slots} slots busy", *filter(None, [waiting(row)])]
        parts += [f"{row.completed} attempts completed", f"{row.failed} failed"]
        if row.mean is not None:
            parts.append(f"{fmt.duration(row.mean)} each")
        if row.health and not idle:
            parts.append(short(row, now))
        figures_said = figures(row)
        if figures_said and not idle:
            parts.append(f"{', '.join(figures_said)} ({age(row, now)})")
        data(f"  {row.name:<{max(10, width)}} {', '.join(parts)}")
        why = reason(row)
        if why and row.health != "degraded":
            data(f"  {'':<{max(10, width)}} {row.health}: {why}")
        ahead = "" if idle else prospect(row, now)
        if ahead:
            data(f"  {'':<{max(10, width)}} {ahead}")


def _created(at: float) -> str:
    """For people in their own time, for programs in ISO 8601."""
    return _local(at) if sys.stdout.isatty() else str(iso(at))


def _local(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per sweep and line.")
@click.option(
    "--rebuild",
    is_flag=True,
    help="Make the index anew from the directories it knows and from sweeps/outputs.",
)
def list_sweeps(as_json: bool, rebuild: bool) -> int:
    """List all sweeps, newest first."""
    if rebuild:
        _rebuild()
    rows: list[list[str]] = []
    for entry in all_entries():
        try:
            viewer = Viewer(Path(entry.directory))
            now = viewer.status()
        except (OSError, DocumentsDamaged, SnapshotError, JournalDamaged, LockDamaged) as error:
            state = "missing" if isinstance(error, FileNotFoundError) else "damaged"
            if as_json:
                data_json({"id": entry.id, "name": entry.name, "status": state, "counts": {}, "sources": [],
                           "created_at": iso(entry.created_at), "ended_at": None, "directory": entry.directory,
                           "reason": str(error)})  # fmt: skip
            rows.append([entry.id, state, "", "", "", _created(entry.created_at)])
            continue
        if as_json:
            data_json(_summary(viewer, now))
        c = counts(viewer.sweep)
        rows.append([
            entry.id, now.value, f"{c['completed'] + c['failed']}/{viewer.sweep.total}", str(c["failed"]),
            str(c["running"]), _created(viewer.sweep.created_at),
        ])  # fmt: skip
    if as_json:
        return 0
    if not rows:
        say("there are no sweeps yet; `spawn-tui launch FILE` makes one, `spawn-tui demo` shows one")
        return 0
    print_table(["id", "status", "done", "failed", "running", "created"], rows)
    return 0


def _rebuild() -> None:
    from ...engine.create import DEFAULT_OUTPUT, entry_of

    index = SweepIndex()
    try:
        known = {Path(entry.directory) for entry in index.entries()}
    except ValueError:
        known = set[Path]()
        index.path.unlink()
    folders = {path.parent for path in known} | {Path.cwd() / DEFAULT_OUTPUT}
    roots = known | {path.parent for folder in folders for path in folder.glob("*/sweep.json")}
    found: list[IndexEntry] = []
    for root in sorted(roots):
        if SweepLayout(root).document.exists():
            viewer = readable(lambda root=root: Viewer(root))
            found.append(entry_of(viewer.sweep, root, viewer.status().value))
    index.rebuild(found)
    say(f"spawn-tui: the index holds {len(found)} sweeps")


@click.command()
@sweep_argument(default="latest")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object per failed task, and per reason launches failed."
)
def errors(root: Path, as_json: bool) -> int:
    """Show which tasks of SWEEP failed, which launches, and why.

    Launches that failed for the same reason are one line; their tasks may have gone well elsewhere.
    """
    viewer = readable(lambda: Viewer(root))
    rows: list[list[str]] = []
    for index in sorted(viewer.sweep.failures):
        task = viewer.sweep.tasks[index]
        attempt = task.attempts[-1]
        message = said(attempt.message)  # a program may say anything of itself
        if as_json:
            data_json({
                "task": task_name(index), "label": viewer.plan.tasks[index].label, "attempt": attempt.number,
                "source": attempt.source, "kind": attempt.kind, "exit_code": attempt.exit_code,
                "signal": attempt.signal, "message": message, "ended_at": iso(attempt.ended_at),
                "directory": str(viewer.attempt_dir(index)),
            })  # fmt: skip
        code = "" if attempt.exit_code is None else str(attempt.exit_code)
        rows.append(
            [
                task_name(index),
                viewer.plan.tasks[index].label,
                attempt.kind or "",
                code,
                str(attempt.number),
                message,
            ]
        )
    launches = LaunchFailures(viewer.sweep, instances=True).latest(_MOST_REASONS)
    if as_json:
        for group in launches:
            data_json({
                "source": group.source, "kind": group.kind, "tasks": len(group.tasks),
                "last_task": task_name(group.task), "message": said(group.message), "last_at": iso(group.at),
            })  # fmt: skip
        return 0
    if not rows:
        say(f"{viewer.sweep.id}: no task has failed ({viewer.sweep.counts[TaskState.COMPLETED]} completed)")
        if viewer.sweep.reason:
            say(f"  the sweep: {viewer.sweep.reason}")
    else:
        print_table(["task", "name", "kind", "exit", "attempts", "reason"], rows)
        say(f"  a task's output: spawn-tui logs {viewer.sweep.id} {rows[-1][0]} --stderr")
    # Not in a table: the remedy stands at the end of a reason, and must not be cut.
    for group in launches:
        what = "launch failed" if group.kind == "launch_failed" else "instance lost"
        data(f"{fmt.clean(group.source)}: {what} for {fmt.plural(len(group.tasks), 'task')}: "
             f"{fmt.clean(said(group.message)) or 'no reason is known'}")  # fmt: skip
    for source in viewer.sweep.sources.values():
        row = source_row(source)
        if row.health in ("unreachable", "disabled", "probing"):
            data(f"{fmt.clean(row.name)}: {short(row, time.time())}: {reason(row)}")
    return 0
