"""`logs`: the output of one task, as it stands or as it grows, wherever it runs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...engine.collect.elsewhere import BOOTSTRAP, CONSOLE, is_cloud, is_elsewhere, mirror_of
from ...engine.ids import parse_task_numbers, task_name
from ...engine.sweep import ACTIVE, Attempt
from ...engine.viewer import Viewer
from ...state.layout import STDERR, STDOUT
from .find import find_sweep, readable
from .output import UserError, say

if TYPE_CHECKING:
    from ...engine.remote.mirror import Mirror, MirrorStatus

_CHUNK = 1 << 20
_EVERY = 0.2
ANSWER_WITHIN = 30.0
"""Seconds another machine has for its first answer, without --follow; of a later silence the mirror tells."""


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
@click.option(
    "--bootstrap",
    is_flag=True,
    help="EC2: what its instance did before and after the work, or its console if it never came up.",
)
@click.option("--attempt", type=click.IntRange(1), help="An earlier attempt (default: the one that counts).")
def logs(sweep: str, task: str, stderr: bool, follow: bool, bootstrap: bool, attempt: int | None) -> int:
    """Print the output of TASK (a number from 1, task_001, or its name) of SWEEP.

    What runs on another machine is read there, over a connection of its own. Instances upload their logs every 15
    seconds; they are read in the bucket.
    """
    if bootstrap and stderr:
        raise UserError("--bootstrap and --stderr are two logs; ask for one")
    viewer = readable(lambda: Viewer(find_sweep(sweep)))
    index = find_task(viewer, task)
    made = len(viewer.sweep.tasks[index].attempts)
    if attempt is not None and attempt > made:
        raise UserError(f"{task_name(index)} has {made} attempts, not {attempt}")
    if made == 0:
        say(f"{task_name(index)} was not launched yet")
        if not follow:
            return 0
    if bootstrap and made:
        _require_cloud(viewer, index, attempt)
    log = _Log(viewer, index, attempt, BOOTSTRAP if bootstrap else STDERR if stderr else STDOUT)
    try:
        return log.follow() if follow else log.show()
    finally:
        log.close()


def _require_cloud(viewer: Viewer, index: int, number: int | None) -> None:
    """Only instances keep a log of how they began."""
    attempts = viewer.sweep.tasks[index].attempts
    source = viewer.sweep.sources[attempts[(number or len(attempts)) - 1].source]
    if not is_cloud(source.kind):
        raise UserError(
            f"{task_name(index)} ran on {source.name}, which has no bootstrap log: only EC2 instances do"
        )


class _Log:
    """One log on its way to stdout: from the attempt's directory here, or from a mirror of the one elsewhere."""

    def __init__(self, viewer: Viewer, index: int, attempt: int | None, name: str) -> None:
        self._viewer, self._index, self._number, self._name = viewer, index, attempt, name
        self._offset = 0
        self._mirror: Mirror | None = None
        self._said = ""
        self._answer = 0.0, -1
        """When the other machine answered last, and how long its log was then here."""
        self._small = 0
        """Answers in a row that brought little."""

    def show(self) -> int:
        """What there is now; returns the exit status."""
        self._open(poll=1.0)
        status = 0
        if self._mirror is not None:
            status = self._show_far(self._mirror)
        else:
            self._copy_more()
        if self._name == BOOTSTRAP and not self._offset:
            self._show_console()
        return status

    def _show_console(self) -> None:
        """What EC2 kept of the console of an instance that left no log of its own."""
        attempt = self._attempt
        if attempt is None or not (self._home(attempt).parent / CONSOLE).exists():
            say(f"{task_name(self._index)}: there is no bootstrap log of its instance (yet)")
            return
        say(f"{task_name(self._index)}: its instance gave no sign of life; this is its console")
        self.close()
        self._mirror, self._name = None, CONSOLE
        self._copy_more()

    def follow(self) -> int:
        """Until the task has ended, or nobody runs the sweep; returns the exit status."""
        while True:
            self._viewer.refresh()
            task = self._viewer.sweep.tasks[self._index]
            engine = self._viewer.holder() is not None
            active = task.state in ACTIVE or (not task.attempts and engine)
            self._open()
            status = self._mirror.status() if self._mirror is not None else None
            if status is not None:
                self._say(status)
            self._copy_more()
            # The last bytes of an attempt elsewhere may come after its end was journalled.
            if not engine or (not active and (status is None or self._is_last(status))):
                return 0
            time.sleep(_EVERY)

    def close(self) -> None:
        if self._mirror is not None:
            self._mirror.close()

    # -- where it is ---------------------------------------------------------------------------------------

    @property
    def _attempt(self) -> Attempt | None:
        task = self._viewer.sweep.tasks[self._index]
        if self._number is None:
            if task.attempt is None:
                return None
            self._number = task.attempt.number
        return task.attempts[self._number - 1]

    def _home(self, attempt: Attempt) -> Path:
        return self._viewer.layout.attempt(task_name(self._index), attempt.number) / self._name

    def _open(self, poll: float | None = None) -> None:
        """Begin a mirror if the attempt began elsewhere and its log is not at home. `poll` as in `mirror_of`."""
        attempt = self._attempt
        if attempt is None or self._mirror is not None or attempt.started_at is None:
            return
        source = self._viewer.sweep.sources[attempt.source]
        if not is_elsewhere(source.kind, dict(source.options)) or self._home(attempt).exists():
            return
        name = f"{task_name(self._index)}.{attempt.number}"
        mirror = mirror_of(
            self._viewer.sweep.id, source.name, dict(source.options), name, keep=None, poll=poll
        )
        try:
            mirror.start(*dict.fromkeys((STDOUT, STDERR, self._name)))
        except OSError as error:
            raise UserError(f"no place for a copy of the log: {error}") from None
        self._mirror = mirror

    def _show_far(self, mirror: Mirror) -> int:
        """The log as it stands there."""
        from ...engine.remote.mirror import COUNT

        end = time.monotonic() + ANSWER_WITHIN
        status = mirror.status()
        # An answer brings up to COUNT bytes of what is there: two that bring less have caught up with who writes.
        while not self._is_last(status, COUNT, 2) and time.monotonic() < end:
            if status.at:
                end = time.monotonic() + ANSWER_WITHIN
            time.sleep(_EVERY)
            self._copy_more()
            status = mirror.status()
        self._copy_more()
        if status.state not in ("ended", "live", "waiting"):
            raise UserError(f"{task_name(self._index)}: {status.text}", status=1)
        if status.state == "waiting":
            say(status.text)
        return 0

    def _is_last(self, status: MirrorStatus, growth: int = 1, answers: int = 1) -> bool:
        """Whether no more is to be had: it ended, cannot be asked, or `answers` in a row brought less than `growth`."""
        if status.state in ("ended", "gone", "refused", "away"):
            return True
        at, before = self._answer
        if status.at > at and self._mirror is not None:
            size = _size(self._mirror.path(self._name))
            self._answer = status.at, size
            self._small = self._small + 1 if at > 0.0 and size - before < growth else 0
        return self._small >= answers

    def _say(self, status: MirrorStatus) -> None:
        """Where the bytes come from, when that changes."""
        words = status.text.split("; as of")[0]
        if words != self._said and status.state != "connecting":
            self._said = words
            say(f"spawn-tui: {words}")

    def _copy_more(self) -> None:
        """Copy to stdout what stands behind what was copied."""
        attempt = self._attempt
        if attempt is None:
            return
        path = self._mirror.path(self._name) if self._mirror is not None else self._home(attempt)
        try:
            with path.open("rb") as file:
                file.seek(self._offset)
                while chunk := file.read(_CHUNK):
                    sys.stdout.buffer.write(chunk)
                    self._offset += len(chunk)
        except FileNotFoundError:
            return
        sys.stdout.buffer.flush()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
