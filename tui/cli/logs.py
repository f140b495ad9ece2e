"""`logs`: the output of one task, as it stands or as it grows."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ...engine.ids import parse_task_numbers, task_name
from ...engine.sweep import ACTIVE
from ...engine.viewer import Viewer
from ...state.layout import STDERR, STDOUT
from .find import find_sweep, readable
from .output import UserError, say

_CHUNK = 1 << 20
_EVERY = 0.2


def find_task(viewer: Viewer, word: str) -> int:
    """The index of the task that `word` names: a number from 1, `task_001`, or its label. Raises `UserError`."""
    for index, task in enumerate(viewer.plan.tasks):
        if task.label and task.label == word:
            return index
    try:
        numbers = parse_task_numbers(word, viewer.sweep.total)
    except ValueError as error:
        raise UserError(f"{viewer.sweep.id}: {error}") from None
    if len(numbers) != 1:
        raise UserError(f'"{word}" names {len(numbers)} tasks; logs shows one')
    return numbers[0]


@click.command()
@click.argument("sweep")
@click.argument("task")
@click.option("--stderr", is_flag=True, help="What it wrote to stderr instead of stdout.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the task has ended.")
@click.option("--attempt", type=click.IntRange(1), help="An earlier attempt (default: the latest).")
def logs(sweep: str, task: str, stderr: bool, follow: bool, attempt: int | None) -> int:
    """Print the output of TASK (a number from 1, task_001, or its name) of SWEEP."""
    viewer = readable(lambda: Viewer(find_sweep(sweep)))
    index = find_task(viewer, task)
    made = len(viewer.sweep.tasks[index].attempts)
    if attempt is not None and attempt > made:
        raise UserError(f"{task_name(index)} has {made} attempts, not {attempt}")
    name = STDERR if stderr else STDOUT
    if made == 0:
        say(f"{task_name(index)} was not launched yet")
        if not follow:
            return 0
    offset = 0
    number = attempt
    while True:
        viewer.refresh()
        now = viewer.sweep.tasks[index]
        active = now.state in ACTIVE or (not now.attempts and viewer.holder() is not None)
        number = number or (len(now.attempts) or None)
        directory = viewer.attempt_dir(index, number) if number else None
        if directory is not None:
            offset = _copy(directory / name, offset)
        if not follow or not active or viewer.holder() is None:
            return 0
        time.sleep(_EVERY)


def _copy(path: Path, offset: int) -> int:
    """Copy what stands in the file behind `offset` to stdout; returns the new offset."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(_CHUNK):
                sys.stdout.buffer.write(chunk)
                offset += len(chunk)
    except FileNotFoundError:
        return offset
    sys.stdout.buffer.flush()
    return offset
