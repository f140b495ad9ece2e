"""`cancel`, `pause`: what stops a sweep that exists."""

from __future__ import annotations

from pathlib import Path

import click

from ...engine.collect.elsewhere import is_cloud
from ...engine.ids import parse_task_numbers, task_name
from ...engine.sources.local import GRACE
from ...engine.sweep import ACTIVE, FINAL, TaskState
from ...engine.viewer import Viewer
from .after_cancel import nothing_left
from .engines import request, watch
from .find import readable, sweep_argument
from .output import SOME_FAILED, UserError, ask, data, say

CANCEL_LIMIT = 3 * GRACE + 10.0
"""Seconds a cancel may take: TERM, the grace period, KILL, and looking whether anything is left."""
CLOUD_LIMIT = 300.0
"""The same where instances must have gone: a system that shuts down may take minutes."""


def chosen_tasks(viewer: Viewer, text: str | None) -> list[int]:
    """The indices of `--tasks`; none if it is not given. Raises `UserError`."""
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

    A running task gets TERM, and KILL after ten seconds. What is completed stays completed. Instances are terminated;
    in the end EC2 is asked in every region of the sweep whether any is left, and such a one is terminated too.
    """
    viewer = readable(lambda: Viewer(root))
    chosen = chosen_tasks(viewer, tasks)
    now = viewer.sweep
    if now.status in FINAL:
        say(f"{now.id} has ended already ({now.status}); there is nothing to cancel")
        return 0 if chosen or nothing_left(viewer) else SOME_FAILED
    which = chosen or range(now.total)
    running = sum(1 for index in which if now.tasks[index].state in ACTIVE)
    waiting = sum(1 for index in which if now.tasks[index].state is TaskState.PENDING)
    if not ask(f"Cancel {running} running and {waiting} waiting tasks of {now.id}?", assume_yes=yes):
        say("nothing was cancelled")
        return 1
    away = {now.tasks[i].attempts[-1].source for i in which if now.tasks[i].state in ACTIVE}
    cloud = any(is_cloud(now.sources[name].kind) for name in away)
    limit = CLOUD_LIMIT if cloud else CANCEL_LIMIT
    if running:
        how = "KILL" if force else f"TERM, KILL after {GRACE:g} s"
        how += "; EC2 instances are terminated" if cloud else ""
        say(f"ending {running} running {'task' if running == 1 else 'tasks'} ({how}) …")
    request(viewer, "cancel", tasks=chosen, force=force, take_over=take_over)

    def over() -> bool:
        if not chosen:
            return viewer.sweep.ended is not None
        return all(viewer.sweep.tasks[i].state not in (*ACTIVE, TaskState.PENDING) for i in chosen)

    if not watch(viewer, over, limit):
        left = [task_name(i) for i in which if viewer.sweep.tasks[i].state in ACTIVE]
        raise UserError(
            f"still not cancelled after {limit:g} s: {', '.join(left[:5])}"
            f"{' …' if len(left) > 5 else ''}; the engine goes on trying, see spawn-tui status {now.id}",
            status=1,
        )
    done = sum(1 for i in which if viewer.sweep.tasks[i].state is TaskState.CANCELLED)
    data(f"{now.id}: {done} {'task' if done == 1 else 'tasks'} cancelled, nothing of them runs")
    return 0 if chosen or nothing_left(viewer) else SOME_FAILED


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
