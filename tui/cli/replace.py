"""`replace`: another try for a task that failed or hangs."""

from __future__ import annotations

import click

from ...engine.ids import task_name
from ...engine.sources.registry import KINDS
from ...engine.sweep import ACTIVE, TaskState
from ...engine.viewer import Viewer
from .control import CANCEL_LIMIT
from .engines import request, watch
from .find import find_sweep, readable
from .logs import find_task
from .output import SOME_FAILED, UserError, ask, data, say

INSTANCE_LIMIT = 900.0
"""Seconds an instance may take to be terminated and to be seen so."""


@click.command()
@click.argument("sweep")
@click.argument("task")
@click.option("--take-over", is_flag=True, help="Replace an engine that hangs or whose host is gone.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a running attempt is ended.")
def replace(sweep: str, task: str, take_over: bool, yes: bool) -> int:
    """Give TASK of SWEEP a new attempt, on EC2 a new instance: it failed, was cancelled, or hangs.

    An attempt that is alive is killed first, and the new one is not launched before it is gone: no task runs twice at a
    time. A completed task is never run again.
    """
    viewer = readable(lambda: Viewer(find_sweep(sweep)))
    index = find_task(viewer, task)
    name, now = task_name(index), viewer.sweep.tasks[index]
    if now.state is TaskState.COMPLETED:
        raise UserError(f"{name} is completed, and is not run again")
    if now.state is TaskState.PENDING:
        raise UserError(f"{name} waits to be launched; there is nothing to replace", status=SOME_FAILED)
    number = len(now.attempts) + 1
    if now.state in ACTIVE:
        if not ask(f"End attempt {number - 1} of {name} on {now.attempts[-1].source}?", assume_yes=yes):
            say("nothing was replaced")
            return SOME_FAILED
        if not _end(viewer, index, take_over):
            return 0
    request(viewer, "retry", tasks=[index], take_over=take_over)
    data(f"{name}: attempt {number} is launched as soon as there is room")
    if viewer.sweep.paused:
        say(f"  {viewer.sweep.id} is paused; go on with: spawn-tui resume {viewer.sweep.id}")
    return 0


def _end(viewer: Viewer, index: int, take_over: bool) -> bool:
    """Kill what runs of the task, and see it gone. False if it completed meanwhile, which is said."""
    name, source = task_name(index), viewer.sweep.sources[viewer.sweep.tasks[index].attempts[-1].source]
    cloud = source.kind in KINDS and KINDS[source.kind].cloud
    limit = INSTANCE_LIMIT if cloud else CANCEL_LIMIT
    say(f"ending {name} on {source.name} (KILL) …")
    request(viewer, "cancel", tasks=[index], force=True, take_over=take_over)
    if not watch(viewer, lambda: viewer.sweep.tasks[index].state not in ACTIVE, limit):
        raise UserError(
            f"{name} has not ended within {limit:g} s, and there is no new attempt before it has; the engine goes on "
            f"ending it. When it is cancelled: spawn-tui replace {viewer.sweep.id} {name}",
            status=SOME_FAILED,
        )
    if viewer.sweep.tasks[index].state is TaskState.COMPLETED:
        data(f"{name} completed before it could be ended; there is nothing to replace")
        return False
    return True
