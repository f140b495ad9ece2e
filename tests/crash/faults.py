"""Engines that kill themselves at a chosen point: parts for `run_engine` that count what passes through them.

A point is a place between two operations, or in the middle of a write. The points of a run are numbered from 1 in the
order in which they are passed; the engine gets SIGKILL, from itself, at the one it was told.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spawn_tui.engine import events as ev
from spawn_tui.engine.home import Home
from spawn_tui.engine.observe import Observation
from spawn_tui.engine.plan.model import Plan
from spawn_tui.engine.run import Parts
from spawn_tui.engine.sources.base import Job, SourceContext
from spawn_tui.engine.sources.local import LocalSource
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.engine.sweep import Sweep
from spawn_tui.state.disk import FILE_MODE, LocalDisk
from spawn_tui.state.layout import SweepLayout

LAYERS = ("journal", "source", "system")


class Trigger:
    """Counts points; at number `at` (0: never) this process kills itself, or falls asleep (`number` is SIGSTOP)."""

    def __init__(self, at: int, number: int = signal.SIGKILL) -> None:
        self.at = at
        self.number = number
        self.passed = 0

    def point(self, half_done: Callable[[], None] | None = None) -> None:
        self.passed += 1
        if self.passed == self.at:
            if half_done is not None and self.number == signal.SIGKILL:
                half_done()
            os.kill(os.getpid(), self.number)


class FaultyDisk(LocalDisk):
    """Points before, after and in the middle of everything that is written."""

    def __init__(self, trigger: Trigger) -> None:
        super().__init__()
        self._trigger = trigger

    def append(self, path: Path, data: bytes, *, sync: bool = False) -> None:
        self._trigger.point()
        for size in sorted({1, len(data) // 2, len(data) - 1} & set(range(1, len(data)))):
            self._trigger.point(lambda size=size: _write(path, data[:size], os.O_APPEND))
        super().append(path, data, sync=sync)
        self._trigger.point()

    def replace(self, path: Path, data: bytes) -> None:
        self._trigger.point()
        self._trigger.point(lambda: _write(self._temporary(path), data[: len(data) // 2], os.O_TRUNC))
        super().replace(path, data)
        self._trigger.point()

    def create(self, path: Path, data: bytes) -> None:
        self._trigger.point()
        self._trigger.point(lambda: _write(self._temporary(path), data[: len(data) // 2], os.O_TRUNC))
        super().create(path, data)
        self._trigger.point()

    def remove(self, path: Path) -> None:
        self._trigger.point()
        super().remove(path)
        self._trigger.point()

    def truncate(self, path: Path, size: int) -> None:
        self._trigger.point()
        super().truncate(path, size)
        self._trigger.point()


def _write(path: Path, data: bytes, how: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | how, FILE_MODE)
    os.write(fd, data)
    os.close(fd)


class FaultySource(LocalSource):
    """Points around every call, between two launches of a batch, and between seeing something and telling it."""

    def __init__(self, trigger: Trigger, spec: SourceSpec, context: SourceContext, **times: float) -> None:
        super().__init__(spec.name, context.layout.runner, **times)
        self._trigger = trigger

    def launch(self, batch: str, jobs: Sequence[Job], *, limit: int) -> None:
        self._trigger.point()
        for job in jobs:
            super().launch(batch, [job], limit=limit)
            self._trigger.point()

    def cancel(self, attempts: Sequence[ev.Ref], *, force: bool) -> None:
        self._trigger.point()
        super().cancel(attempts, force=force)
        self._trigger.point()

    def adopt(
        self, jobs: Sequence[Job], *, running: frozenset[ev.Ref], cancelling: frozenset[ev.Ref]
    ) -> None:
        self._trigger.point()
        super().adopt(jobs, running=running, cancelling=cancelling)
        self._trigger.point()

    def poll(self, now: float) -> list[Observation]:
        news = super().poll(now)
        if news:
            self._trigger.point()
        return news


class FaultyHome(Home):
    """Points around every visit to the readable tree."""

    def __init__(self, trigger: Trigger, layout: SweepLayout, plan: Plan) -> None:
        super().__init__(layout, plan)
        self._trigger = trigger

    def prepare(self, index: int, number: int) -> None:
        self._trigger.point()
        super().prepare(index, number)
        self._trigger.point()

    def record(self, sweep: Sweep, records: Sequence[ev.Record]) -> None:  # type: ignore[override]
        super().record(sweep, records)
        self._trigger.point()

    def refresh(self, sweep: Sweep) -> None:
        super().refresh(sweep)
        self._trigger.point()


_CHANGES = frozenset({
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.posix_spawn",
    "os.kill", "os.killpg",
})  # fmt: skip


def _watch_system(trigger: Trigger) -> None:
    """Points before every system call that changes anything, wherever in the engine it is made."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            flags = arguments[2]
            changes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        elif event == "os.killpg":
            changes = arguments[1] != 0
        else:
            changes = event in _CHANGES and arguments[:1] != (os.getpid(),)
        if changes:
            trigger.point()

    sys.addaudithook(hook)


def parts(layer: str = "", at: int = 0, number: int = signal.SIGKILL, **times: float) -> Parts:
    """The parts of an engine that dies at point `at` of a layer; to be made in the process that shall die.

    `times`: the keyword parameters of `LocalSource`.
    """
    trigger, calm = Trigger(at, number), Trigger(0)
    if layer == "system" and at:
        _watch_system(trigger)
    disk = trigger if layer == "journal" else calm
    rest = trigger if layer == "source" else calm
    return Parts(
        disk=lambda: FaultyDisk(disk),
        source=lambda spec, context: FaultySource(rest, spec, context, **times),
        home=lambda layout, plan: FaultyHome(rest, layout, plan),
    )
