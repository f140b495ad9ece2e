"""The loop: look, journal, act. One engine runs one sweep.

Everything it touches is handed to it (store, sources, lock, clock, the readable tree), so that the simulation and the
crash suite drive this very code. A round is `step`:

    observations → events → journal → apply;   requests → the same;   decide → journal → apply → act
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from ..state.disk import Disk
from ..state.process import host_name
from ..state.requests import RequestFile, new_request_id, pending
from . import events as ev
from .command import Renderer, token
from .control import events_of
from .decide import decide, is_idle
from .ids import task_name
from .observe import interpret
from .sources.base import Job, Source
from .sources.registry import SourceError
from .store import SweepStore
from .sweep import SourceState, Sweep, TaskState
from .trouble import disk_trouble

REQUEST_POLL = 0.2
"""Seconds between two looks into the mailbox."""
_ROUNDS = 1000
"""Decisions in one step at most: a sweep that never comes to rest is a fault, not a reason to hang."""


def _ended_in(event: ev.Event) -> list[tuple[int, int]]:
    """The attempts of which this event says the end."""
    if not isinstance(event, ev.Ended | ev.Recovered | ev.Stray):
        return []
    return [(end.task, end.attempt) for end in event.attempts]


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
MakeSource = Callable[[SourceState], Source]
"""Makes the source of a state. Raises `SourceError` if there is none as it is written."""


class Engine:
    """Runs a sweep until it ends, is idle, or is told to stop. `clock` gives seconds since 1970 and never goes back.

    `sources` may be empty: what the sweep names and is not among them is made by `make`, at the start or when it is
    added.
    """

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
        make: MakeSource | None = None,
    ) -> None:
        self.store, self.sources, self.lock, self.home = store, dict(sources), lock, home
        self.renderer, self.disk, self.clock = renderer, disk, clock
        self.listeners = list(listeners)
        self._make = make
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
        events = events_of(self.sweep, request)
        for event in events:
            if isinstance(event, ev.RequestRefused):
                raise ValueError(event.reason)
        if events:
            self._commit(events)

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
            for name in list(self.sweep.sources):
                self._install(name)

    def _install(self, name: str) -> None:
        """Have the source of that name, and let it take over what it holds. One that cannot be made is disabled."""
        state = self.sweep.sources[name]
        if state.removed and not state.active and not self._given_up(name) and not self._uncollected(name):
            return
        if name not in self.sources and self._make is not None:
            try:
                self.sources[name] = self._make(state)
            except SourceError as error:
                self._commit(self._missing(state, str(error)))
                return
            if state.disabled_cause == "start":
                self._commit([ev.SourceEnabled(name, "it can be used now")])
        self._adopt(name)

    def _missing(self, state: SourceState, reason: str) -> list[ev.Event]:
        """A source that is not there: what it holds is unknown, and goes elsewhere after the grace period."""
        out: list[ev.Event] = []
        if state.disabled_cause != "start":
            out.append(ev.SourceDisabled(state.name, reason, "start"))
        tasks = (self.sweep.tasks[index] for index in sorted(state.active))
        refs = tuple(ev.Ref(t.index, len(t.attempts)) for t in tasks if t.unknown_since is None)
        return [*out, ev.Unknown(refs, reason)] if refs else out

    def _adopt(self, name: str) -> None:
        state, source = self.sweep.sources[name], self.sources[name]
        tasks = [self.sweep.tasks[index] for index in sorted(state.active)]
        refs = {task.index: ev.Ref(task.index, len(task.attempts)) for task in tasks}
        # What was given up is ended as soon as it can be reached; if it has completed meanwhile, it is told as such.
        given_up = self._given_up(name)
        if refs or given_up:
            running = {refs[t.index] for t in tasks if t.attempts[-1].started_at is not None}
            cancelling = {
                refs[t.index] for t in tasks if t.state is TaskState.CANCELLING or t.cancel_requested
            }
            jobs = [self._job(ref, name, prepare=ref not in running) for ref in refs.values()]
            jobs += [self._job(ref, name, prepare=False) for ref in given_up]
            source.adopt(
                jobs,
                running=frozenset(running.union(given_up)),
                cancelling=frozenset(cancelling.union(given_up)),
            )
            for batch, held in state.batches.items():
                source.limit(batch, held.limit)
        self._bring_home(self.sweep.uncollected, name)

    def _given_up(self, name: str) -> list[ev.Ref]:
        """Attempts on that source that were given up, and of which nobody has heard."""
        tasks = self.sweep.tasks
        return [
            ev.Ref(*key) for key in self.sweep.given_up if tasks[key[0]].attempts[key[1] - 1].source == name
        ]

    def _uncollected(self, name: str) -> bool:
        tasks = self.sweep.tasks
        return any(tasks[task].attempts[number - 1].source == name for task, number in self.sweep.uncollected)

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

    def note(self, texts: Sequence[str]) -> None:
        """Journal what was seen after the end. Raises as `step`."""
        if not texts:
            return
        with disk_trouble(self.store.layout.root):
            self.lock.check()
            self._commit([ev.Note(text) for text in texts])
            self.store.save_snapshot()

    def close(self) -> None:
        """Let go of everything, whatever happened before."""
        for source in self.sources.values():
            source.close()
        self.home.close()
        self.lock.release()

    # --- a round -------------------------------------------------------------------------------------------------

    def _observe(self, now: float) -> None:
        for name, source in self.sources.items():
            seen = source.poll(now)
            # One source after the other: what the first says may make a stray of what the next has to say.
            events = interpret(self.sweep, name, seen, now) if seen else []
            if events:
                self._commit(events)
                self._bring_home(key for event in events for key in _ended_in(event))

    def _bring_home(self, attempts: Iterable[tuple[int, int]], only: str = "") -> None:
        """Ask for the files of these attempts, as far as they are due; `only`: those of that source."""
        due: dict[str, list[ev.Ref]] = {}
        for key in attempts:
            if key in self.sweep.uncollected:
                due.setdefault(self.sweep.tasks[key[0]].attempts[key[1] - 1].source, []).append(ev.Ref(*key))
        for name, refs in due.items():
            if name not in self.sources or (only and name != only):
                continue
            states = {ref: self.sweep.tasks[ref.task].attempts[ref.attempt - 1].state for ref in refs}
            failed = frozenset(ref for ref in refs if states[ref] is not TaskState.COMPLETED)
            self.sources[name].collect([self._job(ref, name, prepare=False) for ref in refs], failed=failed)

    def _carry_out(self) -> float | None:
        """Decide and act until nothing is left to decide; returns when to ask again."""
        for _ in range(_ROUNDS):
            if self._stop_reason:
                return None
            decision = decide(self.sweep, self.clock(), launch=not self._draining)
            if not decision.events:
                return decision.wake_at
            self._commit(decision.events, sync=any(self._must_survive(event) for event in decision.events))
            for event in decision.events:
                # After the journal, before the act: what was written before this look is in the reading of every later
                # engine, and one that has lost the lock acts no more. Before each, for a batch may take its time.
                self.lock.check()
                self._act(event)
        raise RuntimeError(f"the sweep did not come to rest in {_ROUNDS} decisions")

    def _must_survive(self, event: ev.Event) -> bool:
        """Whether this must be on the disk before it is acted on: the launch would outlive a failure of this host."""
        if not isinstance(event, ev.Launching) or event.source not in self.sources:
            return False
        return self.sources[event.source].outlives_host

    def _act(self, event: ev.Event) -> None:
        match event:
            case ev.Launching():
                jobs = [self._job(ref, event.source) for ref in event.attempts]
                self.sources[event.source].launch(event.batch, jobs, limit=event.limit or len(jobs))
            case ev.Limited() if event.source in self.sources:
                self.sources[event.source].limit(event.batch, event.limit)
            case ev.Withdrawing() if event.source in self.sources:
                self.sources[event.source].withdraw(event.attempts)
            case ev.Cancelling() if event.source in self.sources:
                self.sources[event.source].cancel(event.attempts, force=event.force)
            case ev.Ended():
                self._end_given_up(event)
            case ev.OutOfReach():
                self._watch_for(event.attempts)
            case _:
                pass

    def _end_given_up(self, event: ev.Ended) -> None:
        """Whoever holds attempts that were given up ends them as soon as it can reach them: the work goes elsewhere."""
        by_source: dict[str, list[ev.Ref]] = {}
        for end in event.attempts:
            if end.given_up:
                source = self.sweep.tasks[end.task].attempts[end.attempt - 1].source
                by_source.setdefault(source, []).append(ev.Ref(end.task, end.attempt))
        for name, refs in by_source.items():
            if name in self.sources:
                self.sources[name].cancel(refs, force=True)

    def _watch_for(self, attempts: Sequence[ev.Ref]) -> None:
        """Let the sources of these tell their ends once more, should they come back."""
        by_source: dict[str, list[ev.Ref]] = {}
        for ref in attempts:
            by_source.setdefault(self.sweep.tasks[ref.task].attempts[ref.attempt - 1].source, []).append(ref)
        for name, refs in by_source.items():
            if name in self.sources:
                jobs = [self._job(ref, name, prepare=False) for ref in refs]
                self.sources[name].adopt(jobs, running=frozenset(refs), cancelling=frozenset(refs))

    def _take_requests(self, now: float) -> None:
        if now < self._requests_due:
            return
        self._requests_due = now + REQUEST_POLL
        for request in pending(self.disk, self.store.layout.requests):
            events = events_of(self.sweep, request)
            stale = [name for event in events if (name := self._outdated_by(event))]
            if events:
                self._commit(events, sync=True)
            self.lock.check()  # an engine that lost it has written in vain, and must leave the request to the other
            for name in stale:
                self._renew(name)
            self._remove(request)

    def _outdated_by(self, event: ev.Event) -> str:
        """The source that must be made, or made anew, once this is applied; empty if there is none."""
        if not isinstance(event, ev.SourceAdded | ev.SourceEnabled):
            return ""
        known = self.sweep.sources.get(event.source)
        changed = isinstance(event, ev.SourceAdded) and known is not None and known.options != event.options
        return event.source if event.source not in self.sources or changed else ""

    def _renew(self, name: str) -> None:
        """A source was added, or described anew: what it holds is taken over by the one that is made now."""
        known = self.sources.pop(name, None)
        if known is not None:
            known.close()
        self._install(name)

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
        before = next((a for a in reversed(attempts[: ref.attempt - 1]) if a.started_at is not None), None)
        return Job(
            ref,
            token(self.sweep.id, name, ref.attempt),
            attempts[ref.attempt - 1].batch,
            directory,
            partial(self.renderer.render, ref.task, attempt=ref.attempt, source=source),
            self.store.plan.timeout,
            self.store.plan.tasks[ref.task].launch,
            before.source if before is not None else None,
            before.number if before is not None else 0,
        )
