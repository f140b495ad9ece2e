"""One engine from lock to release, in this process."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ..state.disk import LocalDisk
from ..state.index import SweepIndex
from ..state.layout import SweepLayout
from ..state.lock import EngineLock
from ..state.requests import pending
from .after_cancel import LookEnded, look_after_cancel
from .clock import SteadyClock
from .command import Renderer
from .create import entry_of
from .decide import is_idle
from .engine import Engine, HomeWriter, Listener
from .home import Home
from .plan.model import Plan
from .sources.attempt import require_room
from .sources.base import Source, SourceContext
from .sources.registry import SourceSpec, make_source
from .store import SweepStore
from .sweep import SourceState, Sweep, SweepStatus
from .trouble import disk_trouble

OnSignal = Callable[[Engine, int], None]
PROBE = 5.0
"""Seconds between two looks whether the sweep's directory can be written."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of besides itself; the crash suite puts in parts that stop in the middle."""

    disk: Callable[[], LocalDisk] = LocalDisk
    source: Callable[[SourceSpec, SourceContext], Source] = make_source
    home: Callable[[SweepLayout, Plan], HomeWriter] = Home
    after_cancel: Callable[[Path, Sweep, Callable[[], None]], Sequence[object]] = look_after_cancel
    """Looks for what is left of a sweep that was cancelled; what it brings is told in its own words."""


class Probe:
    """Finds out that a disk is full or read-only though the engine itself has nothing to write.

    A runner that cannot write its exit file waits until it can, and only the engine can tell anybody.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._due = 0.0

    def look(self) -> None:
        """Raises `OSError` as the system gives it."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + PROBE
        require_room(self._directory)


class Waker:
    """Lets the loop sleep until a child ends or another signal comes."""

    def __init__(self) -> None:
        self._read, self._write = (
            os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        )
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._old_fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        # A handler must be there for the wake-up to be written; the source reaps.
        self._old_child = signal.signal(signal.SIGCHLD, _ignore)

    def wait(self, seconds: float | None) -> None:
        readable, _, _ = select.select([self._read], [], [], seconds)
        if readable:
            with suppress(BlockingIOError):  # another reader emptied it
                os.read(self._read, 4096)

    def wake(self) -> None:
        """End the wait; may be called from any thread, also after `close`."""
        with suppress(OSError):  # a full pipe wakes as well; a closed one has nobody to wake
            os.write(self._write, b"w")

    def close(self) -> None:
        signal.set_wakeup_fd(self._old_fd)
        signal.signal(signal.SIGCHLD, self._old_child)
        os.close(self._read)
        os.close(self._write)


def _ignore(number: int, frame: FrameType | None) -> None:
    return


def run_engine(
    root: Path,
    *,
    take_over: bool = False,
    listeners: Sequence[Listener] = (),
    on_signal: OnSignal | None = None,
    on_start: Callable[[Engine], None] | None = None,
    index: SweepIndex | None = None,
    parts: Parts = Parts(),
) -> Sweep:
    """Run the sweep in `root` until it ends, is idle, or is stopped; returns it as it then is.

    Must be called in the main thread. `on_signal` is called between two rounds for each SIGINT, SIGTERM and SIGHUP
    that came. Raises `LockHeld`, `LockLost`, `DiskTrouble`, and what `SweepStore.open` raises.
    """
    layout = SweepLayout(root)
    lock = EngineLock(layout.lock)
    while True:
        stopped: list[int] = []
        try:
            with disk_trouble(root):
                lock.acquire(take_over=take_over)
                sweep = _run_locked(layout, lock, parts, listeners, on_signal, on_start, stopped)
        finally:
            lock.release()
        # The index can be made anew, and says nothing that the sweep does not.
        with suppress(OSError, ValueError):
            (index or SweepIndex()).put(entry_of(sweep, root))
        # A request may have come between the last look and the release: then it has no engine but us.
        rests = sweep.ended is not None or is_idle(sweep)
        if stopped or not rests or not pending(LocalDisk(), layout.requests):
            return sweep
        take_over = False


def _run_locked(
    layout: SweepLayout,
    lock: EngineLock,
    parts: Parts,
    listeners: Sequence[Listener],
    on_signal: OnSignal | None,
    on_start: Callable[[Engine], None] | None,
    stopped: list[int],
) -> Sweep:
    disk = parts.disk()
    clock = SteadyClock()
    store, mended = SweepStore.open(layout.root, disk, clock=lambda: clock(), check=lock.check)
    clock = SteadyClock(store.sweep.updated_at)
    waker = Waker()
    context = SourceContext(
        layout,
        store.sweep.id,
        Path(store.sweep.project),
        store.sweep.name,
        store.sweep.total,
        waker.wake,
        lock.check,
    )

    def make(state: SourceState) -> Source:
        return parts.source(SourceSpec(state.name, state.kind, state.slots, dict(state.options)), context)

    renderer = Renderer(
        store.plan, sweep_id=store.sweep.id, project_dir=store.sweep.project, base_env=os.environ
    )
    home = parts.home(layout, store.plan)
    engine = Engine(store, {}, lock, home, renderer, disk, clock, listeners=listeners, make=make)
    probe = Probe(layout.logs)
    arrived: list[int] = []
    handlers = _catch(arrived) if on_signal is not None else {}
    try:
        engine.start(mended)
        if on_start is not None:
            on_start(engine)
        pause = engine.step()
        while not engine.finished:
            waker.wait(pause)
            while arrived and on_signal is not None:
                stopped.append(arrived[0])
                on_signal(engine, arrived.pop(0))
            probe.look()
            pause = engine.step()
        engine.finish()
        if engine.sweep.ended is SweepStatus.CANCELLED:
            engine.note(_left(parts, layout.root, engine.sweep, lock, arrived))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        engine.close()
        waker.close()
        disk.close()
    return engine.sweep


def _left(parts: Parts, root: Path, sweep: Sweep, lock: EngineLock, arrived: Sequence[int]) -> list[str]:
    """In words, what is left of a sweep that was cancelled. Raises `LockLost`."""

    def check() -> None:
        lock.check()
        if arrived:
            raise LookEnded

    try:
        return [str(seen) for seen in parts.after_cancel(root, sweep, check)]
    except LookEnded:
        name = signal.Signals(arrived[0]).name
        return [f"{name}: EC2 was not asked to the end what is left; ask with: spawn-tui cancel {sweep.id}"]


def _catch(arrived: list[int]) -> dict[int, signal._HANDLER]:  # pyright: ignore[reportPrivateUsage]
    def handler(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    return {
        number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }


def wait_for(condition: Callable[[], bool], seconds: float, *, every: float = 0.05) -> bool:
    """Poll until `condition` holds, at most `seconds`; whether it came to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True
