"""`cancel`, `pause`, `resume`: what changes a sweep that exists."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from ...engine.command import Renderer
from ...engine.ids import parse_task_numbers, task_name
from ...engine.plan import PlanError
from ...engine.sources.local import GRACE
from ...engine.sources.registry import SourceError, parse_sources
from ...engine.sweep import ACTIVE, FINAL, Sweep, SweepStatus, TaskState
from ...engine.viewer import Viewer
from .engines import request, watch
from .find import readable, sweep_argument
from .output import UserError, ask, data, say

CANCEL_LIMIT = 3 * GRACE + 10.0
"""Seconds a cancel may take: TERM, the grace period, KILL, and looking whether anything is left."""


def _tasks(viewer: Viewer, text: str | None) -> list[int]:
    if text is None:
        return []
    try:
        return parse_task_numbers(text, viewer.sweep.total)
    except ValueError as error:
        raise UserError(f"{viewer.sweep.id}: {error}") from None


@click.command()
@sweep_argument()
@click.option("--tasks", metavar="1,5,10-20", help="Only these tasks.")
@click.option("--force", is_flag=True, help="Kill at once, without the grace period.")
@click.option("--take-over", is_flag=True, help="Replace an engine that hangs or whose host is gone.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def cancel(root: Path, tasks: str | None, force: bool, take_over: bool, yes: bool) -> int:
    """Cancel SWEEP, or some of its tasks; returns when nothing of them runs any more.

    A running task gets TERM, and KILL after ten seconds. What is completed stays completed.
    """
    viewer = readable(lambda: Viewer(root))
    chosen = _tasks(viewer, tasks)
    now = viewer.sweep
    if now.status in FINAL:
        say(f"{now.id} has ended already ({now.status}); there is nothing to cancel")
        return 0
    which = chosen or range(now.total)
    running = sum(1 for index in which if now.tasks[index].state in ACTIVE)
    waiting = sum(1 for index in which if now.tasks[index].state is TaskState.PENDING)
    if not ask(f"Cancel {running} running and {waiting} waiting tasks of {now.id}?", assume_yes=yes):
        say("nothing was cancelled")
        return 1
    if running:
        how = "KILL" if force else f"TERM, KILL after {GRACE:g} s"
        say(f"ending {running} running {'task' if running == 1 else 'tasks'} ({how}) …")
    request(viewer, "cancel", tasks=chosen, force=force, take_over=take_over)

    def over() -> bool:
        if not chosen:
            return viewer.sweep.ended is not None
        return all(viewer.sweep.tasks[i].state not in (*ACTIVE, TaskState.PENDING) for i in chosen)

    if not watch(viewer, over, CANCEL_LIMIT):
        left = [task_name(i) for i in which if viewer.sweep.tasks[i].state in ACTIVE]
        raise UserError(
            f"still not cancelled after {CANCEL_LIMIT:g} s: {', '.join(left[:5])}"
            f"{' …' if len(left) > 5 else ''}; the engine goes on trying, see spawn-tui status {now.id}",
            status=1,
        )
    done = sum(1 for i in which if viewer.sweep.tasks[i].state is TaskState.CANCELLED)
    data(f"{now.id}: {done} {'task' if done == 1 else 'tasks'} cancelled, nothing of them runs")
    return 0


@click.command()
@sweep_argument()
def pause(root: Path) -> int:
    """Launch nothing more of SWEEP; what runs goes on. `resume` goes on launching."""
    viewer = readable(lambda: Viewer(root))
    if viewer.sweep.paused and viewer.sweep.ended is None:
        say(f"{viewer.sweep.id} is paused already")
        return 0
    request(viewer, "pause")
    data(f"{viewer.sweep.id}: paused; {viewer.sweep.active} running tasks go on")
    say(f"  go on with: spawn-tui resume {viewer.sweep.id}")
    return 0


@click.command()
@sweep_argument()
@click.option(
    "--sources", multiple=True, metavar="LIST", help='Other slots than at the start, e.g. "local:8".'
)
@click.option(
    "--max-concurrent",
    "--parallel-limit",
    "-p",
    type=click.IntRange(1),
    metavar="N",
    help="Run at most N tasks at a time.",
)
@click.option("--retry-failed", is_flag=True, help="Run failed tasks again.")
@click.option("--tasks", metavar="1,5,10-20", help="Run these failed or cancelled tasks again.")
@click.option("--dry-run", is_flag=True, help="Show what would run; change nothing.")
@click.option("--detach", is_flag=True, help="Start the engine and return at once.")
@click.option("--no-ui", is_flag=True, help="Run in this terminal without the UI.")
@click.option("--json", "json_lines", is_flag=True, help="Print events as JSON lines (implies --no-ui).")
@click.option("--take-over", is_flag=True, help="Replace an engine that hangs or whose host is gone.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def resume(
    ctx: click.Context,
    root: Path,
    sources: tuple[str, ...],
    max_concurrent: int | None,
    retry_failed: bool,
    tasks: str | None,
    dry_run: bool,
    detach: bool,
    no_ui: bool,
    json_lines: bool,
    take_over: bool,
    yes: bool,
) -> int:
    """Go on with SWEEP: after an interruption, a pause or a cancel; with --retry-failed also what failed.

    Completed tasks never run again. Tasks that still run are adopted, not started anew.
    """
    viewer = readable(lambda: Viewer(root))
    again = _again(viewer.sweep, retry_failed, _tasks(viewer, tasks))
    waiting = [t.index for t in viewer.sweep.tasks if t.state is TaskState.PENDING]
    if dry_run:
        return _dry_run(viewer, sorted({*again, *waiting}))
    nothing = not again and not waiting and not viewer.sweep.active
    if nothing and viewer.sweep.ended is not None:
        say(f"{viewer.sweep.id} has ended ({viewer.sweep.status}); there is nothing to go on with")
        if viewer.sweep.failures:
            say(f"  run only what failed: spawn-tui resume {viewer.sweep.id} --retry-failed")
        return 0 if viewer.sweep.ended is SweepStatus.COMPLETED else 1
    _post(viewer, sources, max_concurrent, again)
    from .headless import follow
    from .launch import start

    if readable(viewer.holder) is not None and not take_over and (no_ui or json_lines):
        say(f"{viewer.sweep.id}: its engine runs already ({viewer.holder().describe()}); following it")  # type: ignore[union-attr]
        return follow(viewer.root, json_lines=json_lines)
    options = ctx.obj
    return start(
        viewer.root, detach=detach, no_ui=no_ui or json_lines, json_lines=json_lines, readonly=options["readonly"],
        ascii_only=options["ascii"], take_over=take_over,
    )  # fmt: skip


def _again(sweep: Sweep, retry_failed: bool, named: Sequence[int]) -> list[int]:
    """The ended tasks that shall run again."""
    for index in named:
        if sweep.tasks[index].state is TaskState.COMPLETED:
            say(f"{task_name(index)} is completed and is not run again")
    if named:
        return [i for i in named if sweep.tasks[i].state in (TaskState.FAILED, TaskState.CANCELLED)]
    again = list(sweep.failures) if retry_failed else []
    if sweep.ended is SweepStatus.CANCELLED:
        again += [task.index for task in sweep.tasks if task.state is TaskState.CANCELLED]
    return again


def _post(viewer: Viewer, sources: tuple[str, ...], max_concurrent: int | None, again: Sequence[int]) -> None:
    """Leave the requests; the engine, running or about to start, takes them in this order."""
    from ...engine.control import post_request

    root = viewer.root
    if sources:
        try:
            specs = parse_sources(sources)
        except SourceError as error:
            raise UserError(str(error)) from None
        for spec in specs:
            if spec.name not in viewer.sweep.sources:
                known = ", ".join(viewer.sweep.sources)
                raise UserError(
                    f"this sweep has the sources {known}; adding {spec.name} is not available in this version"
                )
            post_request(root, "slots", source=spec.name, value=spec.slots)
    if max_concurrent is not None:
        post_request(root, "limit", value=max_concurrent)
    if again:
        post_request(root, "retry", tasks=again)
    if viewer.sweep.paused or (viewer.sweep.ended is not None and not again):
        post_request(root, "resume")


def _dry_run(viewer: Viewer, indices: Sequence[int]) -> int:
    from ...engine.plan.values import text_of
    from .table import print_table

    if not indices:
        say("nothing would run")
        return 0
    keys: dict[str, None] = {}
    for index in indices:
        keys.update(dict.fromkeys(viewer.plan.tasks[index].params))
    rows: list[list[str]] = []
    for index in indices:
        params, task = viewer.plan.tasks[index].params, viewer.sweep.tasks[index]
        cells = [text_of(params[key]) if key in params else "" for key in keys]
        rows.append([task_name(index), task.state.value, str(len(task.attempts) + 1), *cells])
    print_table(["task", "now", "attempt", *keys], rows)
    first = indices[0]
    say(
        f"\n{len(indices)} tasks on {', '.join(viewer.sweep.sources)}; nothing was launched. The first would run:"
    )
    number = len(viewer.sweep.tasks[first].attempts) + 1
    try:
        renderer = Renderer(
            viewer.plan, sweep_id=viewer.sweep.id, project_dir=viewer.sweep.project, base_env=os.environ
        )
        directory = str(viewer.layout.attempt(task_name(first), number))
        data(renderer.show(first, task_dir=directory, attempt=number))
    except PlanError as error:
        raise UserError(str(error)) from None
    return 0
