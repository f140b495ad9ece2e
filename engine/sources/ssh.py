"""A machine behind SSH: N slots, each attempt under the runner in a session of its own there.

One round trip launches a batch, one looks at everything that runs. Attempts outlive the connection and the engine; they
are known by their claim (pid, start time, boot, host) and by their token, never by the channel that started them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..events import Ref
from ..observe import CannotTell, SawEnd, SawNothing, SawRunning
from ..plan.problems import PlanError
from ..remote.area import Area, AreaError, Staged
from ..remote.facts import Facts, Seen
from ..remote.host import Host
from ..remote.hosts import host_of
from .attempt import UNWRITTEN, end_of, unwritten
from .base import Job, SourceContext
from .machine import EVERY as HEALTH_EVERY
from .machine import Gauge
from .place import DEFAULT_ROOT, attempt_name, scripts_of, stage, verify_project
from .registry import SourceSpec
from .remote import RemoteSource

GRACE = 10.0
"""Seconds between TERM and KILL."""
FIRST_LOOK, LAST_LOOK = 0.05, 1.0
"""Seconds between two looks: short after something happened, doubled up to the second while nothing does."""
DOUBT = 10.0
"""Seconds after which an attempt that was launched and shows no claim is looked for by its token."""
STUBBORN = 2.0
"""Seconds after which a signal that did not end an attempt is sent again, as KILL."""
RELAUNCHES = 1
"""How often an attempt that never began is started again before the machine is blamed."""


@dataclass(slots=True)
class _Live:
    """An attempt that is, or may be, alive."""

    job: Job
    name: str
    since: float
    """When it was launched or adopted (monotonic seconds)."""
    staged: Staged | None = None
    running: bool = False
    """Whether it was seen running, by this engine or an earlier one."""
    told: bool = False
    """Whether that was said since the machine answers: while it did not, the sweep held it for unknown."""
    stopping: bool = False
    stop_sent: bool = False
    kill_at: float | None = None
    kills: int = 0
    missing: int = 0
    """Looks in a row that found its claim and not its process."""
    relaunched: int = 0
    claimed: bool = False
    """Whether some runner has its claim, here or on another machine."""
    empty_since: float | None = None
    """Since when its claim is seen without a word in it (monotonic seconds)."""
    told_unknown: bool = False
    unwritten_since: float | None = None
    """Since when its runner waits for room to write the exit status (monotonic seconds)."""
    end: SawEnd | None = None
    """What will be said once nothing of it is alive."""


class SshSource(RemoteSource):
    """See `Source`. `host`: what reaches the machine, if it is not to be made from the spec's options."""

    def __init__(self, spec: SourceSpec, context: SourceContext, host: Host | None = None) -> None:
        options = spec.options
        root = options.get("remote_root") or DEFAULT_ROOT
        scripts = scripts_of(spec.name, context, options)
        host = host_of(spec.name, options) if host is None else host
        super().__init__(spec, context, Area(host, f"{root}/{context.sweep_id}", scripts))
        self._verified = False
        self._grace = float(options.get("kill_after", GRACE))
        self._live: dict[Ref, _Live] = {}
        self._interval = FIRST_LOOK
        self._health_due = 0.0
        self._gauge = Gauge()

    # --- orders --------------------------------------------------------------------------------------------------

    def do_connect(self) -> None:
        self.area.open()
        if not self._verified:
            verify_project(self.area, self.spec, self.context)
            self._verified = True
        self._health_due = 0.0
        for live in self._live.values():
            live.told = False

    def do_launch(self, batch: str, jobs: Sequence[Job], limit: int) -> None:
        facts = self._facts()
        lives: list[_Live] = []
        for job in jobs:
            try:
                staged = stage(job, self.area, facts, self.name, self.context, self.options)
            except PlanError as error:
                self.tell(SawNothing(*job.ref, str(error)))
                continue
            lives.append(_Live(job, attempt_name(job.ref), time.monotonic(), staged))
        self._start_attempts(batch, lives)

    def _start_attempts(self, batch: str, lives: Sequence[_Live]) -> None:
        """Blames the machine if it cannot take them."""
        if not lives:
            return
        self._interval = FIRST_LOOK
        # Known before they are sent: if the connection drops now, the next look finds what became of them.
        self._live.update((live.job.ref, live) for live in lives)
        try:
            self.area.launch(batch, [live.staged for live in lives if live.staged is not None])
        except AreaError as error:
            self._refuse(lives, str(error))

    def _refuse(self, lives: Sequence[_Live], reason: str) -> None:
        """The machine could not start them; make sure of it, for a part may have begun."""
        claims = self.area.revoke([live.name for live in lives])
        # Where no claim can be made, no runner makes one either.
        refused = [live for live in lives if claims[live.name] != "lost"]
        for live in refused:
            self._live.pop(live.job.ref, None)
        self.tell(*(SawNothing(*live.job.ref, reason, source_fault=True) for live in refused))

    def do_limit(self, batch: str, count: int) -> None:
        """There is no queue here: what is launched runs."""

    def do_withdraw(self, attempts: Sequence[Ref]) -> None:
        """There is no queue here: nothing waits that could be taken back."""

    def do_adopt(self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]) -> None:
        # One that never began is started again at the first look that says so.
        long_ago = time.monotonic() - DOUBT
        for job in jobs:
            live = _Live(job, attempt_name(job.ref), long_ago, running=job.ref in running)
            self._live[job.ref] = live
        self._stop([self._live[job.ref] for job in jobs if job.ref in cancelling], force=False)

    def do_cancel(self, attempts: Sequence[Ref], *, force: bool) -> None:
        lives = [self._live[ref] for ref in attempts if ref in self._live]
        if force:
            for live in [live for live in lives if live.claimed and live.told_unknown and not live.running]:
                # Another machine's, which shares this directory: nothing that could be done from here.
                self._live.pop(live.job.ref)
                lives.remove(live)
        self._stop(lives, force=force)

    def _stop(self, lives: Sequence[_Live], *, force: bool) -> None:
        """Revoke what has not begun; what has gets TERM (or KILL) at the next look."""
        self._interval = FIRST_LOOK
        for live in lives:
            live.stopping = True
            if force:
                live.kill_at = 0.0
        fresh = [live for live in lives if not live.running and live.end is None]
        if not fresh:
            return
        claims = self.area.revoke([live.name for live in fresh])
        for live in fresh:
            if claims[live.name] == "won":
                self._forget(live, SawNothing(*live.job.ref, "cancelled before it started"))

    # --- looking -------------------------------------------------------------------------------------------------

    def pause(self) -> float:
        if not self._live:
            return HEALTH_EVERY
        self._interval = min(LAST_LOOK, self._interval * 2)
        return self._interval

    def do_round(self) -> None:
        clock = time.monotonic()
        health = clock >= self._health_due
        if not self._live and not health:
            return
        look = self.area.look([live.name for live in self._live.values()], health=health)
        if health:
            self._health_due = clock + HEALTH_EVERY
            self.tell(self._gauge.read(look.health))
        news = len(self._live)
        for live in list(self._live.values()):
            self._judge(live, look.seen[live.name], clock)
        self._signal(clock, look.seen)
        self._finish(clock, look.seen)
        # Last, and again at the next look: what the machine cannot do now keeps no end of others waiting.
        with suppress(AreaError):
            self._relaunch(clock)
        if len(self._live) != news:
            self._interval = FIRST_LOOK

    def _judge(self, live: _Live, seen: Seen, clock: float) -> None:
        """What the files of one attempt mean."""
        ref, claim = live.job.ref, seen.claim
        live.claimed = live.claimed or (claim is not None and claim.process is not None)
        if live.end is not None:
            if not seen.alive:
                live.missing += 1
            return
        if seen.outcome is not None:
            live.end = end_of(
                ref, seen.outcome, complaint=seen.complaint, stopped=live.stop_sent,
                started_at=seen.started_at, ended_at=seen.ended_at,
            )  # fmt: skip
            searched = live.stop_sent or live.end.failure == "timeout"
            live.missing = 0 if seen.alive or searched else 1
            live.kill_at = None if live.kills == 0 else clock
        elif claim is None:
            self._judge_unclaimed(live, seen, clock)
        elif claim.revoked:
            self._forget(live, SawNothing(*ref, "revoked before it started"))
        elif seen.alive is None and claim.process is not None:
            if not live.told_unknown:
                live.told_unknown = True
                self.tell(CannotTell(*ref, f"it was started on {claim.process.host}, not on {self.name}"))
        elif seen.alive:
            live.missing = 0
            if not live.told:
                live.running = live.told = True
                self.tell(SawRunning(*ref, str(claim.process), seen.started_at))
            self._judge_unwritten(live, seen, clock)
        else:
            live.missing += 1
            # Claim and processes are read one after the other: it may have ended in between, and written its exit.
            if live.missing >= 2:
                self._judge_dead(live, seen, clock)

    def _judge_unwritten(self, live: _Live, seen: Seen, clock: float) -> None:
        """A runner without room for its exit status waits for it, for ever if need be; the work shall not."""
        if not seen.unwritten:
            live.unwritten_since = None
        elif live.unwritten_since is None:
            live.unwritten_since = clock
        elif clock - live.unwritten_since >= UNWRITTEN and not live.told_unknown:
            live.told_unknown = True
            self.tell(CannotTell(*live.job.ref, unwritten(self.name, self.area.root)))

    def _judge_unclaimed(self, live: _Live, seen: Seen, clock: float) -> None:
        if clock - live.since < DOUBT:
            return
        if live.running:
            what = "claim" if seen.there else "directory"
            live.end = SawEnd(
                *live.job.ref, failure="source_lost", message=f"its {what} on {self.name} is gone",
                stopped=live.stop_sent,
            )  # fmt: skip
            live.missing = 0

    def _judge_dead(self, live: _Live, seen: Seen, clock: float) -> None:
        """It was claimed, its runner is gone and wrote no exit."""
        assert seen.claim is not None
        if seen.claim.process is None:
            # A runner may be on its way between making the file and writing it.
            live.empty_since = clock if live.empty_since is None else live.empty_since
            if clock - live.empty_since >= DOUBT and not self.area.clear("0", [live.job.token]):
                disk = f"is the disk full that {self.area.root} is on?"
                text = f"its claim on {self.name} could not be written; {disk}"
                self._forget(live, SawNothing(*live.job.ref, text, source_fault=True))
            return
        facts = self._facts()
        message = "its runner is gone and left no exit status"
        if seen.claim.process.boot != facts.boot:
            message = f"{self.name} was restarted while it ran"
        live.end = SawEnd(*live.job.ref, failure="source_lost", message=message, stopped=live.stop_sent)
        live.missing = 0

    def _relaunch(self, clock: float) -> None:
        """Start what never began: a connection that dropped over a launch, an engine that died before it."""
        late = [
            live for live in self._live.values()
            if not (live.running or live.claimed or live.missing) and live.end is None and clock - live.since >= DOUBT
        ]  # fmt: skip
        if not late:
            return
        unwanted = [live for live in late if live.stopping]
        if unwanted:
            self._stop(unwanted, force=False)
        late = [live for live in late if not live.stopping]
        stuck = [live for live in late if live.relaunched >= RELAUNCHES]
        if stuck:
            self._refuse(stuck, f"{self.name} started its runner {1 + RELAUNCHES} times, and it never began")
        again = [live for live in late if live.relaunched < RELAUNCHES]
        facts = self._facts()
        for live in again:
            live.relaunched += 1
            live.since = clock
            try:
                live.staged = live.staged or stage(
                    live.job, self.area, facts, self.name, self.context, self.options
                )
            except PlanError as error:
                self._refuse([live], str(error))
        by_batch: dict[str, list[_Live]] = {}
        for live in [live for live in again if live.staged is not None]:
            by_batch.setdefault(live.job.batch, []).append(live)
        for batch, lives in by_batch.items():
            self._start_attempts(f"{batch}.again", lives)

    # --- ending --------------------------------------------------------------------------------------------------

    def _signal(self, clock: float, seen: Mapping[str, Seen]) -> None:
        """TERM to what shall stop, KILL to what did not heed it in time."""
        term: list[_Live] = []
        kill: list[_Live] = []
        for live in self._live.values():
            if live.end is not None or not live.stopping or not seen[live.name].alive:
                continue
            if live.kill_at is None:
                term.append(live)
                live.kill_at = clock + self._grace
            elif clock >= live.kill_at:
                kill.append(live)
                live.kill_at = clock + STUBBORN
                live.kills += 1
                if live.kills == 3 and not live.told_unknown:
                    live.told_unknown = True
                    self.tell(CannotTell(*live.job.ref, f"a process on {self.name} does not end on KILL"))
            live.stop_sent = True
        for number, lives in (("TERM", term), ("KILL", kill)):
            claims = [seen[live.name].claim for live in lives]
            runners = [claim.process for claim in claims if claim is not None and claim.process is not None]
            if runners:
                self.area.signal(number, runners)
        if kill:
            self.area.clear("KILL", [live.job.token for live in kill])

    def _finish(self, clock: float, seen: Mapping[str, Seen]) -> None:
        """Tell the ends of which nothing is alive; end what is left of the others: group and bearers of the token."""
        ended = [(live, live.end) for live in self._live.values() if live.end is not None]
        left: list[tuple[_Live, SawEnd]] = []
        for live, end in ended:
            searched = live.stop_sent or end.failure in ("timeout", "source_lost")
            if live.missing and not searched:
                self._forget(live, end)
            else:
                left.append((live, end))
        if not left:
            return
        late = any(live.kill_at is not None and clock >= live.kill_at for live, _ in left)
        number = "KILL" if late else "TERM"
        grouped = {live.name for live, _ in left if seen[live.name].alive and live.running}
        claims = [seen[name].claim for name in grouped]
        runners = [claim.process for claim in claims if claim is not None and claim.process is not None]
        if runners:
            self.area.signal(number, runners, left=True)
        found = self.area.clear(number, [live.job.token for live, _ in left])
        for live, end in left:
            if live.kill_at is None:
                live.kill_at = clock + STUBBORN
            if not found.get(live.job.token) and live.name not in grouped:
                self._forget(live, end)

    def _forget(self, live: _Live, seen: SawEnd | SawNothing) -> None:
        self._live.pop(live.job.ref, None)
        self.tell(seen)

    # --- the machine ---------------------------------------------------------------------------------------------

    def _facts(self) -> Facts:
        facts = self.area.facts
        assert facts is not None, "nothing is done before the area was opened"
        return facts
