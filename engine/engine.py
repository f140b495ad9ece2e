"""The loop: look, journal, act. One engine runs one sweep.

Everything it touches is handed to it (store, sources, lock, clock, the readable tree), so that the simulation and the
crash suite drive this very code. A round is `step`:

    observations → events → journal → apply;   requests → the same;   decide → journal → apply → act
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from ..state.disk import Disk
from ..state.process import host_name
from ..state.requests import RequestFile, new_request_id, pending
from . import events as ev
from .command import Renderer, token
from .control import take
from .decide import decide, is_idle
from .ids import task_name
from .observe import interpret
from .sources.base import Job, Source
from .store import SweepStore
from .sweep import Sweep, TaskState
from .trouble import disk_trouble

REQUEST_POLL = 0.2
"""Seconds between two looks into the mailbox."""
_ROUNDS = 1000
"""Decisions in one step at most: a sweep that never comes to rest is a fault, not a reason to hang."""


class Lock(Protocol):
    def check(self) -> None: ...
    def release(self) -> None: ...


class HomeWriter(Protocol):
    """What the engine asks of the readable tree (`Home`)."""

    def prepare(self, index: int, number: int) -> None: ...
    def repair(self, sweep: Sweep) -> None: ...
    def record(self, sweep: Sweep, records: Sequence[ev.Record]) -> None: ...
    def refresh(self, sweep: Sweep) -> None: ...
    def close(self) -> None: ...


Listener = Callable[[Sequence[ev.Record]], None]


class Engine:
    """Runs a sweep until it ends, is idle, or is told to stop. `clock` gives seconds since 1970 and never goes back."""

    def __init__(
        self,
        store: SweepStore,
        sources: Mapping[str, Source],
        lock: Lock,
        home: HomeWriter,
        renderer: Renderer,
        disk: Disk,
        clock: Callable[[], float],
        *,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.store, self.sources, self.lock, self.home = store, dict(sources), lock, home
        self.renderer, self.disk, self.clock = renderer, disk, clock
        self.listeners = list(listeners)
        self._stop_reason = ""
        self._drain: tuple[str, float] | None = None
        self._requests_due = 0.0

    @property
    def sweep(self) -> Sweep:
        return self.store.sweep

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to wait for."""
        return bool(self._stop_reason) or self.sweep.ended is not None or is_idle(self.sweep)

    def stop(self, reason: str) -> None:
        """Launch nothing more; the loop ends after this round. What runs goes on."""
        self._stop_reason = self._stop_reason or reason

    def drain(self, reason: str, seconds: float) -> None:
        """Launch nothing more, and stop after `seconds`, unless a cancel comes first. What runs goes on."""
        self._drain = self._drain or (reason, self.clock() + seconds)

    @property
    def _draining(self) -> bool:
        return self._drain is not None and not self.sweep.cancel_requested

    def request(self, verb: ev.Verb, *, force: bool = False, by: str = "") -> None:
        """What a viewer may request, from the terminal this engine runs in. Raises `ValueError` if it cannot be."""
        content: dict[str, object] = {"verb": verb, "force": force, "by": by}
        request = RequestFile(new_request_id(), self.store.layout.requests, content)
        event = take(self.sweep, request)
        if isinstance(event, ev.RequestRefused):
            raise ValueError(event.reason)
        if event is not None:
            self._commit([event])

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self, notes: Sequence[str] = ()) -> None:
        """Say that this engine is here, then take over what earlier ones launched. Raises `DiskTrouble`."""
        events: list[ev.Event] = [ev.Note(text) for text in notes]
        events.append(ev.EngineStarted(self.sweep.epoch + 1, host_name(), os.getpid()))
        clean = not self.sweep.engine_pid
        with disk_trouble(self.store.layout.root):
            self._commit(events)
            if not clean:
                self.home.repair(self.sweep)
            self.home.refresh(self.sweep)
            for name in self.sources:
                self._adopt(name)

    def _adopt(self, name: str) -> None:
        tasks = [self.sweep.tasks[index] for index in sorted(self.sweep.sources[name].active)]
        refs = {task.index: ev.Ref(task.index, len(task.attempts)) for task in tasks}
        if refs:
            running = frozenset(refs[t.index] for t in tasks if t.attempts[-1].started_at is not None)
            cancelling = frozenset(
                refs[t.index] for t in tasks if t.state is TaskState.CANCELLING or t.cancel_requested
            )
            jobs = [self._job(ref, name, prepare=ref not in running) for ref in refs.values()]
            self.sources[name].adopt(jobs, running=running, cancelling=cancelling)

    def step(self) -> float | None:
        """One round. Returns the seconds after which the next is due at the latest; None: when a source wakes us.

        Raises `LockLost`, `DiskTrouble`.
        """
        self.lock.check()
        now = self.clock()
        with disk_trouble(self.store.layout.root):
            self._take_requests(now)
            self._observe(now)
            if (
                self._drain is not None
                and self._draining
                and (now >= self._drain[1] or not self.sweep.active)
            ):
                self.stop(self._drain[0])
            wake_at = self._carry_out()
            if self.store.rotation_due:
                self.lock.check()
                self.store.rotate()
        return self._pause(now, wake_at)

    def finish(self) -> None:
        """Bring everything to rest: the last events, the snapshot, the readable files. Raises as `step`."""
        with disk_trouble(self.store.layout.root):
            if self.sweep.ended is None:
                reason = self._stop_reason or "the sweep is paused and nothing runs"
                self._commit([ev.EngineStopped(reason)])
            self.lock.check()
            self.store.save_snapshot()
            self.home.refresh(self.sweep)

    def close(self) -> None:
        """Let go of everything, whatever happened before."""
        for source in self.sources.values():
            source.close()
        self.home.close()
        self.lock.release()

    # --- a round -------------------------------------------------------------------------------------------------

    def _observe(self, now: float) -> None:
        events: list[ev.Event] = []
        for name, source in self.sources.items():
            seen = source.poll(now)
            if seen:
                events += interpret(self.sweep, name, seen)
        if events:
            self._commit(events)

    def _carry_out(self) -> float | None:
        """Decide and act until nothing is left to decide; returns when to ask again."""
        for _ in range(_ROUNDS):
            if self._stop_reason:
                return None
            decision = decide(self.sweep, self.clock(), launch=not self._draining)
            if not decision.events:
                return decision.wake_at
            self._commit(decision.events, sync=any(self._must_survive(event) for event in decision.events))
            # After the journal, before the act: what was written before this look is in the reading of every later
            # engine, and one that has lost the lock acts no more.
            self.lock.check()
            for event in decision.events:
                self._act(event)
        raise RuntimeError(f"the sweep did not come to rest in {_ROUNDS} decisions")

    def _must_survive(self, event: ev.Event) -> bool:
        """Whether this must be on the disk before it is acted on: the launch would outlive a failure of this host."""
        return isinstance(event, ev.Launching) and self.sources[event.source].outlives_host

    def _act(self, event: ev.Event) -> None:
        match event:
            case ev.Launching():
                jobs = [self._job(ref, event.source) for ref in event.attempts]
                self.sources[event.source].launch(event.batch, jobs, limit=len(jobs))
            case ev.Cancelling():
                self.sources[event.source].cancel(event.attempts, force=event.force)
            case _:
                pass

    def _take_requests(self, now: float) -> None:
        if now < self._requests_due:
            return
        self._requests_due = now + REQUEST_POLL
        for request in pending(self.disk, self.store.layout.requests):
            event = take(self.sweep, request)
            if event is not None:
                self._commit([event], sync=True)
            self.lock.check()  # an engine that lost it has written in vain, and must leave the request to the other
            self._remove(request)

    def _remove(self, request: RequestFile) -> None:
        with suppress(FileNotFoundError):  # an engine that took it before us died, or its sender took it back
            self.disk.remove(request.path)

    def _pause(self, now: float, wake_at: float | None) -> float | None:
        if self.finished:
            return 0.0
        waits = [REQUEST_POLL]
        if wake_at is not None:
            waits.append(max(0.0, wake_at - now))
        for source in self.sources.values():
            after = source.wake_after()
            if after is not None:
                waits.append(after)
        return min(waits)

    # --- helpers -------------------------------------------------------------------------------------------------

    def _commit(self, events: Sequence[ev.Event], *, sync: bool = False) -> None:
        records = self.store.commit(list(events), sync=sync)
        self.home.record(self.sweep, records)
        for listener in self.listeners:
            listener(records)

    def _job(self, ref: ev.Ref, source: str, *, prepare: bool = True) -> Job:
        name = task_name(ref.task)
        layout = self.store.layout
        directory = layout.attempt(name, ref.attempt)
        attempts = self.sweep.tasks[ref.task].attempts
        if prepare:
            self.home.prepare(ref.task, ref.attempt)
        return Job(
            ref,
            token(self.sweep.id, name, ref.attempt),
            attempts[ref.attempt - 1].batch,
            directory,
            partial(self.renderer.render, ref.task, attempt=ref.attempt, source=source),
            self.store.plan.timeout,
            attempts[ref.attempt - 2].source if ref.attempt > 1 else None,
        )
