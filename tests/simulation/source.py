"""A source as one engine sees it: it asks a `Host`, and tells of it late, twice, or not at all.

What it tells was true when it saw it. It keeps to the contract of `engine.sources.base` and no better than that.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from spawn_tui.engine.events import Ref
from spawn_tui.engine.observe import (
    CannotTell,
    Observation,
    SawCollected,
    SawEnd,
    SawHealth,
    SawNothing,
    SawRunning,
    SawWaiting,
    SawWithdrawn,
    SourceAway,
    SourceBack,
    SourceFull,
    SourceRefused,
)
from spawn_tui.engine.sources.base import Job

from .cloud import Cloud
from .cluster import Cluster
from .host import Host, Run

KILL_AFTER = 0.4
"""Seconds between TERM and KILL."""
DOUBT_AFTER = 0.6
"""Seconds after which an attempt that was launched and of which there is no claim is launched again."""


@dataclass(slots=True)
class Temper:
    """How bad a source is: chances between 0 and 1."""

    late: float = 0.0
    twice: float = 0.0
    again: float = 0.0
    """At a poll: old news told once more, or a connection that broke and came back."""
    fails: float = 0.0
    """A poll that fails though the host is there."""
    refuses: float = 0.0
    faulty: float = 0.0
    """Of those refusals: that it is the source's own fault."""
    slams: float = 0.0
    """A poll that is refused altogether, as with another host key."""
    loses: float = 0.0
    """A launch command that never arrives, and nobody is told."""
    final: float = 0.0
    """In a cloud: a launch that is refused for what the task asks for."""
    cannot_tell: float = 0.0
    """An attempt taken over of which nobody can say for a while whether it lives."""


class Hands(Protocol):
    def cross(self, what: str) -> None: ...


@dataclass(slots=True)
class _Known:
    job: Job
    seen: bool = False
    """Was seen running once, by this engine or an earlier one."""
    cancelling: bool = False
    signalled: bool = False
    sent: bool = False
    doubt_at: float = 0.0
    kill_at: float | None = None
    silent_until: float = 0.0
    told_silence: bool = False
    told_running: bool = False
    fault: bool = False
    final: bool = False
    no_room: bool = False
    withdrawing: bool = False


class SimSource:
    """See `engine.sources.base.Source`. `may_launch` is asked before a command goes out; it raises if it must not."""

    def __init__(
        self, name: str, host: Host, hands: Hands, temper: Temper, rng: Random, time: Callable[[], float],
        may_launch: Callable[[str, Ref, bool], None], *, outlives_host: bool,
    ) -> None:  # fmt: skip
        self.name, self.outlives_host = name, outlives_host
        self._host, self._hands, self._temper, self._rng, self._time = host, hands, temper, rng, time
        self._may_launch = may_launch
        self._open: dict[Ref, _Known] = {}
        """Attempts whose end was not told yet."""
        self._given: set[Ref] = set()
        self._limits: dict[str, int] = {}
        self._hauls: dict[Ref, float] = {}
        """Attempts whose files are on their way home, and when they arrive."""
        self._away: bool | None = None
        self._news: list[Observation] = []
        self._refused: list[Observation] = []
        """What there was no room for."""
        self._late: list[tuple[float, int, Observation]] = []
        self._history: list[Observation] = []
        self._serial = 0

    # --- what the engine asks ------------------------------------------------------------------------------------

    @property
    def _cloud(self) -> Cloud | None:
        return self._host if isinstance(self._host, Cloud) else None

    @property
    def _cluster(self) -> Cluster | None:
        return self._host if isinstance(self._host, Cluster) else None

    def launch(self, batch: str, jobs: Sequence[Job], *, limit: int) -> None:
        assert 0 < limit <= len(jobs), f"{limit} of {len(jobs)} attempts may run"
        assert limit == len(jobs) or self._cluster is not None, "a limit for a source without a queue"
        self._limits[batch] = limit
        for job in jobs:
            self._hands.cross("launch")
            self._may_launch(self.name, job.ref, False)
            self._given.add(job.ref)
            known = self._open[job.ref] = _Known(job)
            if self._host.reachable:
                self._send(known)
        self._hands.cross("launched")

    def limit(self, batch: str, count: int) -> None:
        self._hands.cross("limit")
        assert self._cluster is not None and count > 0, f"{self.name} cannot be limited to {count}"
        self._limits[batch] = count
        if self._host.reachable:
            self._cluster.limit(batch, count)

    def withdraw(self, attempts: Sequence[Ref]) -> None:
        assert self._cluster or self._cloud, f"{self.name} has no queue to withdraw from"
        for ref in attempts:
            self._hands.cross("withdraw")
            assert ref in self._given, f"{self.name} was asked to give back {ref}, which it was never given"
            known = self._open.get(ref)
            if known is None:
                continue  # its end is on its way
            known.withdrawing, known.told_running = True, False
            if self._host.reachable:
                self._withdraw(known)

    def _withdraw(self, known: _Known) -> None:
        if self._cluster is None:
            self._host.revoke(known.job.token, known.job.ref)
            return
        if self._rng.random() < self._temper.loses:
            return  # it is tried again at the next look
        if self._host.revoke(known.job.token, known.job.ref):
            self._cluster.unqueue(known.job.token)

    def collect(self, jobs: Sequence[Job], *, failed: frozenset[Ref]) -> None:
        for job in jobs:
            self._hands.cross("collect")
            # Not by lot, so that the days of kept seeds stay what they are.
            self._hauls[job.ref] = self._time() + 0.1 * (job.ref.task % 4)

    def cancel(self, attempts: Sequence[Ref], *, force: bool) -> None:
        for ref in attempts:
            self._hands.cross("cancel")
            assert ref in self._given, f"{self.name} was asked to cancel {ref}, which it was never given"
            known = self._open.get(ref)
            if known is None:
                continue  # its end is on its way
            known.cancelling = True
            known.kill_at = self._time() + (0.0 if force else KILL_AFTER)
            if self._host.reachable:
                self._stop(known, force=force)

    def adopt(self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]) -> None:
        for job in jobs:
            self._hands.cross("adopt")
            self._given.add(job.ref)
            known = _Known(job, seen=job.ref in running, cancelling=job.ref in cancelling, sent=True)
            self._open[job.ref] = known
            if known.cancelling:
                known.kill_at = self._time() + KILL_AFTER
            if self._rng.random() < self._temper.cannot_tell:
                known.silent_until = self._time() + self._rng.choice((0.5, 3.0, 1e9))
            if self._host.reachable:
                self._take_over(known)

    def poll(self, now: float) -> list[Observation]:
        self._hands.cross("poll")
        at = self._time()
        if not self._host.reachable or self._rng.random() < self._temper.fails:
            if self._away and self._rng.random() < 0.8:
                return []
            self._away = True
            return [SourceAway("no answer")]
        out: list[Observation] = []
        if self._rng.random() < self._temper.again:
            self._away = True
            out.append(SourceAway("a hiccup"))
        if self._rng.random() < self._temper.slams:
            for known in self._open.values():
                known.told_running = False  # who was refused says everything anew
            return [*out, SourceRefused("another host key")]
        if self._away is not False:
            self._away = False
            out.append(SourceBack())
        for known in list(self._open.values()):
            self._look(known, at)
        out += self._told(at)
        if self._refused:
            # In one breath, as the contract says: neither late nor twice.
            out += [*self._refused, SourceFull("no capacity")]
            self._refused = []
        for ref in [ref for ref, due in self._hauls.items() if due <= at]:
            del self._hauls[ref]
            out.append(SawCollected(*ref, 1, 10, "a file stayed there" if ref.task % 7 == 3 else ""))
        out += self._felt()
        self._hands.cross("polled")
        return out

    def _felt(self) -> list[Observation]:
        out: list[Observation] = []
        if self._rng.random() < 0.1:
            felt = SawHealth(memory=self._rng.choice((10.0, 95.0)), load=self._rng.choice((None, 0.5)))
            words = "it swaps" if felt.memory == 95.0 else "it has room"
            out += [SawHealth(queue=words), felt, SawHealth(queue=f"{len(self._open)} here")]
        if self._cluster is not None and self._rng.random() < 0.5:
            for batch in {known.job.batch: None for known in self._open.values()}:
                out.append(SawWaiting(batch, *self._cluster.waiting(batch)))
        return out

    def wake_after(self) -> float | None:
        return 0.0 if self._news or self._refused else None

    def close(self) -> None:
        """Nothing is held."""

    def next_at(self) -> float | None:
        """True time at which this source has something to do by itself."""
        now = self._time()
        times = [self._late[0][0]] if self._late else []
        times += self._hauls.values()
        for known in self._open.values():
            times += [known.kill_at or 0.0, known.doubt_at, known.silent_until]
        return min((at for at in times if at > now), default=None)

    # --- commands ------------------------------------------------------------------------------------------------

    def _send(self, known: _Known) -> None:
        known.sent = True
        known.doubt_at = self._time() + DOUBT_AFTER
        job, lot = known.job, self._rng.random()
        if lot < self._temper.refuses and self._host.revoke(job.token, job.ref):
            known.fault = self._rng.random() < self._temper.faulty
            return  # the refusal is found at the next look
        cloud = self._cloud
        if cloud is not None and self._refuses(cloud, known):
            return
        if lot >= 1.0 - self._temper.loses:
            return
        if self._cluster is None:
            self._host.spawn(job.token, job.ref)
        else:
            # Of a batch of an earlier engine the limit is not known until somebody says it.
            self._cluster.submit(job.batch, job.token, job.ref, self._limits.get(job.batch, 1))

    def _refuses(self, cloud: Cloud, known: _Known) -> bool:
        """Whether the cloud cannot launch it: for want of room, or ever."""
        job = known.job
        known.final = self._temper.final > 0 and self._rng.random() < self._temper.final
        if job.token in cloud.claims or not (known.final or cloud.full):
            return False
        known.no_room = not known.final
        return cloud.revoke(job.token, job.ref)

    def _take_over(self, known: _Known) -> None:
        job = known.job
        waits = self._cluster is not None and self._cluster.knows(job.token)
        if waits or job.token in self._host.claims:
            if known.cancelling:
                self._stop(known, force=False)
        elif known.cancelling or known.seen:
            self._host.revoke(job.token, job.ref)
        elif known.silent_until == 0.0:
            self._may_launch(self.name, job.ref, True)
            self._send(known)

    def _stop(self, known: _Known, *, force: bool) -> None:
        token = known.job.token
        if token not in self._host.claims:
            self._host.revoke(token, known.job.ref)
            if self._cluster is not None:
                self._cluster.unqueue(token)
        elif force:
            self._host.kill(token)
        else:
            self._host.term(token)
        known.signalled = True

    # --- looking -------------------------------------------------------------------------------------------------

    def _look(self, known: _Known, at: float) -> None:
        if at < known.silent_until:
            if not known.told_silence:
                known.told_silence = True
                self._news.append(CannotTell(*known.job.ref, "it was started on another host"))
            return
        if known.cancelling and not known.signalled:
            self._stop(known, force=False)
        if known.kill_at is not None and at >= known.kill_at:
            self._host.kill(known.job.token)
        if known.withdrawing and known.job.token not in self._host.claims:
            self._withdraw(known)
        if self._cluster is not None and known.job.batch in self._limits:
            limit = self._limits[known.job.batch]
            if self._cluster.limits.get(known.job.batch, limit) != limit:  # it could not be told before
                self._cluster.limit(known.job.batch, limit)
        run = self._host.claims.get(known.job.token)
        if run is None:
            if self._cluster is None or not self._cluster.knows(known.job.token):
                self._find_nothing(known, at)
        else:
            self._find(known, run)

    def _find_nothing(self, known: _Known, at: float) -> None:
        if known.seen:
            self._host.revoke(known.job.token, known.job.ref)
        elif not known.sent or at >= known.doubt_at:
            if known.sent and self._rng.random() < 0.2:
                self._host.revoke(known.job.token, known.job.ref)  # told at the next look
            else:
                self._may_launch(self.name, known.job.ref, True)
                self._send(known)

    def _find(self, known: _Known, run: Run) -> None:
        ref = known.job.ref
        rate = self._cloud.rate if self._cloud is not None else None
        match run.state:
            case "running":
                if not known.told_running:
                    known.told_running = known.seen = True
                    self._news.append(SawRunning(*ref, f"sim:{known.job.token}", run.started_at, rate))
                return
            case "revoked" if known.seen:
                self._news.append(SawEnd(*ref, failure="source_lost", message="its directory is gone"))
            case "revoked" if known.withdrawing:
                self._news.append(SawWithdrawn(*ref))
            case "revoked" if known.no_room:
                self._refused.append(SawNothing(*ref, "no capacity", True))
            case "revoked":
                self._news.append(SawNothing(*ref, "it was revoked", known.fault, known.final))
            case "lost":
                self._news.append(
                    SawEnd(*ref, failure="source_lost", message="no exit status", stopped=run.stopped)
                )
            case _:
                self._news.append(
                    SawEnd(
                        *ref,
                        run.exit_code,
                        run.signal,
                        run.failure,
                        "",
                        run.stopped,
                        run.started_at,
                        run.ended_at,
                        rate,
                    )
                )
        del self._open[ref]

    def _told(self, at: float) -> list[Observation]:
        """What is said now of what was seen: some of it later, some of it twice, and old stories."""
        out: list[Observation] = []
        temper, rng = self._temper, self._rng
        for seen in self._news:
            late, twice = rng.random() < temper.late, rng.random() < temper.twice
            if late or twice:
                self._serial += 1
                heapq.heappush(self._late, (at + rng.expovariate(1.0), self._serial, seen))
            if not late:
                out.append(seen)
                if twice and rng.random() < 0.3:
                    out.append(seen)
        self._history += self._news
        self._news = []
        while self._late and self._late[0][0] <= at:
            out.append(heapq.heappop(self._late)[2])
        if self._history and rng.random() < temper.again:
            out.append(rng.choice(self._history))
        return out
