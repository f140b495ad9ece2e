"""Trials of sweeps on far sources: engines that die, engines that come to the rescue and die, one that lives.

Most of a trial is waiting, so several run at a time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spawn_tui.engine.sweep import Sweep, TaskState

from . import field as fields
from .far import Far
from .far_faults import JOURNAL, Death, far_parts
from .field import new_field, start_engine

LIMIT = 60.0
"""Seconds one engine may take."""
AT_A_TIME = 5
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Plan:
    """What the tasks of a trial do, and which of them is cancelled (by index) as soon as it runs."""

    script: str
    tasks: int
    cancelled: int
    retries: int = 1


class Trial:
    """One sweep, and how its engines die: at points, or (`instants`) after so many seconds; the last one lives."""

    def __init__(
        self,
        far: Far,
        plan: Plan,
        base: Path,
        *,
        deaths: Sequence[Death] = (),
        instants: Sequence[float] = (),
    ) -> None:
        self.far, self.plan, self.base = far, plan, base
        self.deaths, self.instants = deaths, instants
        self.field = new_field(
            base / "field", plan.script, tasks=plan.tasks, retries=plan.retries, source=far.spec,
            effects=far.effects / base.name,
        )  # fmt: skip
        self.died: list[str] = []
        self.over = self._ended = False
        self._next()

    @property
    def points(self) -> Path:
        """What the engine that lived passed."""
        return self.base / "points"

    def __str__(self) -> str:
        return f"{self.far.spec.kind}, killed {', '.join(self.died) or 'never'} ({self.field.root})"

    def _next(self) -> None:
        number = len(self.died)
        death = self.deaths[number] if number < len(self.deaths) else Death()
        self._dies = str(death)
        self._kill_at = time.monotonic() + self.instants[number] if number < len(self.instants) else None
        self._deadline = time.monotonic() + LIMIT
        cancelled = self.plan.cancelled

        def wanted(sweep: Sweep) -> bool:
            task = sweep.tasks[cancelled]
            if task.cancel_requested or task.state in (TaskState.CANCELLING, TaskState.CANCELLED):
                return False
            # Those who come to the rescue are told before they have looked.
            return bool(number) or task.state is TaskState.RUNNING

        self._pid = start_engine(
            self.field, cancel_when=wanted, cancel_tasks=[cancelled], prelude=self.far.prepare,
            made_of=partial(far_parts, self.far.make, death, self.base),
        )  # fmt: skip

    def look(self) -> None:
        """See how the engine does; when it has died, the next one starts. Raises `AssertionError`."""
        if self._ended:
            self.over = self._all_arrived()
            return
        done, status = os.waitpid(self._pid, os.WNOHANG)
        if not done:
            now = time.monotonic()
            if self._kill_at is not None and now >= self._kill_at:
                os.kill(self._pid, signal.SIGKILL)
                self._dies, self._kill_at = f"at {self.instants[len(self.died)]:.2f} s", None
            assert now < self._deadline, f"{self}: the engine has not ended in {LIMIT:g} s\n{self._said()}"
            return
        fields.forked.remove(self._pid)
        code = os.waitstatus_to_exitcode(status)
        if code == KILLED:
            self.died.append(self._dies)
            fields.kills[f"{self.far.spec.kind}/{_kind(self._dies)}"] += 1
            self._next()
            return
        assert code == 0, f"{self}: an engine ended with {code}\n{self._said()}"
        self._ended = True
        self.over = self._all_arrived()

    def _all_arrived(self) -> bool:
        """Whether nothing is on its way any more that an engine sent before it died."""
        assert time.monotonic() < self._deadline, f"{self}: a late command was not carried out in {LIMIT:g} s"
        return not list(self.base.glob("late.*"))

    def _said(self) -> str:
        return self.field.log.read_text()[-3000:] if self.field.log.exists() else ""

    def abandon(self) -> None:
        """End what runs of it; its files stay, for they tell what went wrong."""
        self.over = True
        if self._pid in fields.forked:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            fields.forked.remove(self._pid)
        self.field.kill_processes()

    def remove(self) -> None:
        """Make room. An element of an array that came too late may still look for its attempt: it finds nothing."""
        for directory in (self.base, self.far.root and self.far.root / self.field.root.name):
            if directory is not None:
                shutil.rmtree(directory, ignore_errors=True)


def _kind(death: str) -> str:
    return death.partition(" #")[0] if death.startswith(JOURNAL) else death.split()[0]


def run_trials(make: Iterable[Callable[[], Trial]], check: Callable[[Trial], object]) -> int:
    """Run these trials, several at a time, and check each at its end; returns how many there were.

    A trial that fails does not stop the others; raises `AssertionError` with all of them.
    """
    waiting = iter(make)
    running: list[Trial] = []
    failed: list[str] = []
    count = 0
    while True:
        while len(running) < AT_A_TIME and (begin := next(waiting, None)) is not None:
            running.append(begin())
            count += 1
        if not running:
            break
        time.sleep(0.005)  # one look at each of them
        for trial in list(running):
            try:
                trial.look()
                if trial.over:
                    check(trial)
                    trial.remove()
            except AssertionError as error:
                failed.append(f"{trial}: {error}")
                trial.abandon()
            if trial.over:
                running.remove(trial)
    assert not failed, f"{len(failed)} of {count} trials:\n" + "\n".join(failed)
    return count


def points_of(trial: Trial) -> Counter[str]:
    """How often its last engine passed the points of each name."""
    return Counter(json.loads(trial.points.read_text()))


def chosen(points: Counter[str], strides: int) -> Iterator[Death]:
    """Of every name of points on the wire one in the middle, of those after an answer the first and the last; of the
    journal's `strides`, evenly.
    """
    for name, count in sorted(points.items()):
        if name == JOURNAL:
            numbers = {1 + i * (count - 1) // (strides - 1) for i in range(strides)}
        else:
            numbers = {1, count} if name.startswith("after") else {(count + 1) // 2}
        yield from (Death(name, number) for number in sorted(numbers))
