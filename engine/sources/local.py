"""This machine as a source: N slots, each attempt under the runner in a process group and session of its own.

The engine is the parent of what it launches and learns of an end from the kernel at once. Attempts outlive the engine;
the next one finds them by their claim and watches them by pid, start time and boot.

An end is told when nothing of the attempt lives any more. What that covers: its process group always; what left the
group but carries the attempt's token, whenever the attempt was cancelled, timed out or lost its runner. A command that
ends normally may leave a service in a session of its own behind (an uploader, a daemon): that is not ours to end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...state.layout import STDERR
from ...state.process import (
    Found,
    ProcessId,
    boot_id,
    carries,
    host_name,
    is_alive,
    is_here,
    search,
    start_time,
)
from ..events import Ref
from ..observe import CannotTell, Observation, SawEnd, SawNothing, SawRunning
from .attempt import (
    Claim,
    Outcome,
    end_of,
    killed_by,
    last_line,
    read_claim,
    read_outcome,
    read_timed_out,
    require_room,
    retract,
    revoke,
    too_long,
)
from .base import Job
from .machine import EVERY, FIRST, ThisMachine

TOKEN = "SWEEP_TOKEN"
GRACE = 10.0
"""Seconds between TERM and KILL."""
LEFTOVER_GRACE = 1.0
"""Seconds that processes left behind by a command that has ended get between TERM and KILL."""
WATCH = 0.2
"""Seconds between two looks at attempts that are not our children."""
STUBBORN = 2.0
"""Seconds after which a KILL is sent again, and what does not die of it is told."""

_CLAIM_LOST, _NO_EXIT_FILE = 121, 122
_STDIO_NULL = [
    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
    # The runner outlives us: it must not hold our terminal or a pipe somebody reads us through.
    (os.POSIX_SPAWN_DUP2, 0, 1),
    (os.POSIX_SPAWN_DUP2, 0, 2),
]
_DEFAULTS = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM]
"""Signals that are not ignored in a task because they are in Python, or in whoever started us."""


def limit_of(job: Job) -> str:
    """The runner's TIMEOUT argument: seconds, 0 for none."""
    return f"{job.timeout:.3f}".rstrip("0").rstrip(".") if job.timeout else "0"


@dataclass(slots=True)
class _Live:
    """An attempt that is, or may be, alive."""

    job: Job
    child: bool = True
    pid: int = 0
    """Its runner and its process group; 0 while nobody knows it."""
    process: ProcessId | None = None
    """The runner as its claim names it; of adopted attempts only."""
    seen_alive: bool = False
    """Whether this engine saw that very runner alive, so that the group cannot be anybody else's."""
    stop_sent: bool = False
    kill_at: float | None = None
    """When TERM becomes KILL (monotonic seconds)."""
    kills: int = 0
    end: SawEnd | None = None
    """What will be said of it once nothing of it is alive."""
    search: bool = False
    """Whether its end waits for processes outside its group, too."""
    asked: set[int] = field(default_factory=set[int])
    """Processes that were sent TERM one by one, or with their group (0: the group)."""

    @property
    def here(self) -> bool:
        return self.process is None or is_here(self.process)


class LocalSource:
    """See `Source`. `environment` is what tasks inherit (default: this process's).

    `grace`, `leftover_grace` and `watch` in seconds, as GRACE, LEFTOVER_GRACE and WATCH.
    """

    def __init__(
        self,
        name: str,
        runner: Path,
        *,
        environment: dict[str, str] | None = None,
        grace: float = GRACE,
        leftover_grace: float = LEFTOVER_GRACE,
        watch: float = WATCH,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.outlives_host = False
        self._runner = str(runner)
        self._environment = dict(os.environ) if environment is None else dict(environment)
        if sys.platform.startswith("linux"):
            self._environment["SPAWN_PLACE"] = f"{boot_id()}:{host_name()}"
        self._grace, self._leftover_grace, self._every = grace, leftover_grace, watch
        self._monotonic = monotonic
        self._live: dict[Ref, _Live] = {}
        # The same attempts by what is to be done about them.
        self._children: dict[int, _Live] = {}
        self._watched: dict[Ref, _Live] = {}
        self._stopping: dict[Ref, _Live] = {}
        self._ending: dict[Ref, _Live] = {}
        self._watch_due = 0.0
        self._clear_due = self._clear_pause = 0.0
        self._machine = ThisMachine(runner.parent)
        self._health_due = monotonic() + FIRST
        self._news: list[Observation] = []

    # --- what the engine asks ------------------------------------------------------------------------------------

    def launch(self, batch: str, jobs: Sequence[Job], *, limit: int) -> None:
        for job in jobs:
            self._launch(job)

    def limit(self, batch: str, count: int) -> None:
        """There is no queue here: what is launched runs."""

    def withdraw(self, attempts: Sequence[Ref]) -> None:
        """There is no queue here: nothing waits that could be taken back."""

    def collect(self, jobs: Sequence[Job], *, failed: frozenset[Ref]) -> None:
        """What runs here writes at home."""

    def cancel(self, attempts: Sequence[Ref], *, force: bool) -> None:
        now = self._monotonic()
        # One whose end is known and on its way keeps it; what it left behind may be killed.
        known = [self._live[ref] for ref in attempts if ref in self._live]
        lives = [live for live in known if live.end is None]
        self._signal(lives, signal.SIGKILL if force else signal.SIGTERM)
        for live in lives:
            live.stop_sent = True
            if live.here:
                live.kill_at = now + (STUBBORN if force else self._grace)
                live.kills += force
                self._stopping[live.job.ref] = live
        for live in known:
            if force and live.end is not None:
                live.kill_at = self._clear_due = now

    def adopt(self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]) -> None:
        found: list[_Live] = []
        doubtful: list[_Live] = []
        for job in jobs:
            live = _Live(job, child=False, stop_sent=job.ref in cancelling)
            outcome = read_outcome(job.directory)
            if outcome is not None:
                self._know(live, read_claim(job.directory))
                self._live[job.ref] = live
                self._close(live, self._end_by_outcome(live, outcome))
                continue
            if live.stop_sent and job.ref not in running and revoke(job.directory):
                self._news.append(SawNothing(*job.ref, "cancelled before it started"))
                continue
            self._live[job.ref] = self._watched[job.ref] = live
            known = self._know(live, read_claim(job.directory))
            (found if known else doubtful).append(live)
        self._look(found)
        tagged = search(TOKEN, {live.job.token for live in doubtful}).tagged
        for live in doubtful:
            job = live.job
            claim = read_claim(job.directory)
            self._know(live, claim)
            if job.token in tagged or live.process is not None:
                found.append(live)
            elif (
                live.stop_sent
                or (claim is None and job.ref in running)
                or (claim is not None and claim.revoked)
            ):
                self._settle(live)
            else:
                # Nobody has begun: an empty claim is that of a runner that died over it, or of a full disk. A runner
                # that is still on its way and this one meet at the claim: one leaves.
                self._forget(live)
                retract(job.directory)
                self._launch(job)
        self._welcome([live for live in found if self._watched.get(live.job.ref) is live])

    def poll(self, now: float) -> list[Observation]:
        self._reap()
        clock = self._monotonic()
        if self._watched and clock >= self._watch_due:
            self._watch_due = clock + self._every
            self._look(list(self._watched.values()))
        if self._stopping:
            self._escalate(clock)
        if self._ending and clock >= self._clear_due:
            self._clear_up(clock)
        if clock >= self._health_due:
            self._health_due = clock + EVERY
            self._news.append(self._machine.read())
        news, self._news = self._news, []
        return news

    def wake_after(self) -> float | None:
        if self._news:
            # That something runs can wait a moment: short tasks have ended by then, and one line tells both.
            return 0.0 if any(not isinstance(seen, SawRunning) for seen in self._news) else 0.02
        if self._ending:
            return min(self._every, max(0.0, self._clear_due - self._monotonic()))
        if self._watched or self._stopping:
            return self._every
        return None

    def close(self) -> None:
        """Nothing is held: children are adopted by init and go on."""

    # --- starting ------------------------------------------------------------------------------------------------

    def _launch(self, job: Job) -> None:
        directory = str(job.directory)
        previous = f"{directory.rpartition('.')[0]}.{job.ref.attempt - 1}" if job.ref.attempt > 1 else None
        try:
            call = job.render(task_dir=directory, previous_dir=previous)
            for name, text in call.files.items():
                (job.directory / name).write_bytes(text.encode())
            argv = ["sh", self._runner, directory, limit_of(job), call.workdir, *call.argv]
            pid = os.posix_spawn(
                "/bin/sh",
                argv,
                {**self._environment, **call.env},
                file_actions=_STDIO_NULL,
                setsid=True,
                setsigmask=(),
                setsigdef=_DEFAULTS,
            )
        except (OSError, ValueError) as error:
            self._news.append(SawNothing(*job.ref, f"the runner could not be started: {error}"))
            return
        live = self._live[job.ref] = _Live(job, pid=pid)
        self._children[pid] = live
        self._news.append(SawRunning(*job.ref, str(pid)))

    def _know(self, live: _Live, claim: Claim | None) -> bool:
        """Take down what an adopted attempt's claim says; whether it says anything."""
        if claim is None or claim.process is None:
            return claim is not None and claim.revoked
        process = claim.process
        if not process.start and process.boot == boot_id() and is_here(process):
            # Nobody else carries this token under this pid: who has it now is the runner, or the runner is gone.
            start = start_time(process.pid) if carries(process.pid, TOKEN, live.job.token) else None
            process = replace(process, start=start or "gone")
        live.process, live.pid = process, process.pid
        return True

    def _welcome(self, lives: Sequence[_Live]) -> None:
        """Tell of adopted attempts that may be alive, and go on with the cancel of those that were being cancelled."""
        for live in lives:
            ref, process = live.job.ref, live.process
            if process is not None and not live.here:
                reason = f"it was started on {process.host}, this is {host_name()}"
                self._news.append(CannotTell(*ref, reason))
            else:
                claim = read_claim(live.job.directory)
                self._news.append(SawRunning(*ref, str(process or ""), claim.at if claim else None))
        self.cancel([live.job.ref for live in lives if live.stop_sent], force=False)

    # --- ends ----------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Only our own: other threads wait for commands they run (sbatch, git), and must get their exit statuses."""
        while self._children:
            try:
                some = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if some is None:
                return
            # Of those that have ended only one is shown, and while it is somebody else's each of ours is asked.
            mine = some.si_pid in self._children
            ended = [pid for pid in ([some.si_pid] if mine else list(self._children)) if self._reap_one(pid)]
            if not mine or not ended:
                return

    def _reap_one(self, pid: int) -> bool:
        """Take down the end of this child, if it has come; whether it has."""
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            self._child_ended(self._children.pop(pid), os.waitstatus_to_exitcode(status))
        return bool(done)

    def _child_ended(self, live: _Live, code: int) -> None:
        if code == 0 and not live.stop_sent:
            self._close(live, SawEnd(*live.job.ref, exit_code=0))
            return
        outcome = read_outcome(live.job.directory)
        if outcome is not None:
            self._close(live, self._end_by_outcome(live, outcome))
        elif code == _CLAIM_LOST:
            self._lost_claim(live)
        elif code < 0:
            message = f"its runner was ended by {killed_by(-code, stopped=live.stop_sent)}"
            self._died(
                live, message, SawEnd(*live.job.ref, signal=-code, message=message, stopped=live.stop_sent)
            )
        else:
            what = "could not be written" if code == _NO_EXIT_FILE else "is missing"
            self._died(
                live, f"exit status {code}, but its exit file {what} (a full disk, or its directory is gone?)"
            )

    def _lost_claim(self, live: _Live) -> None:
        """Our runner left because of the claim: somebody else runs the attempt, or the claim could not be written.

        Raises `OSError` for a full or read-only disk: then no attempt shall be spent on it.
        """
        job = live.job
        self._forget(live)
        claim = read_claim(job.directory)
        if claim is not None and (claim.revoked or claim.process is not None or self._tagged(job)):
            self.adopt([job], running=frozenset(), cancelling=frozenset({job.ref} if live.stop_sent else ()))
            return
        require_room(job.directory)
        self._news.append(
            SawNothing(*job.ref, "its claim could not be written (a full disk, or no directory?)")
        )

    def _tagged(self, job: Job) -> bool:
        return job.token in search(TOKEN, {job.token}).tagged

    def _look(self, lives: Sequence[_Live]) -> None:
        """Look at attempts that are not our children."""
        doubtful: list[_Live] = []
        for live in lives:
            if live.process is None and not self._know(live, read_claim(live.job.directory)):
                doubtful.append(live)
            elif live.process is not None and live.here and is_alive(live.process):
                live.seen_alive = True
            else:
                # What it had to say it wrote before it went.
                self._settle(live)
        if not doubtful:
            return
        # Without a claim to go by, its token is all there is. Those not found may have ended since we looked.
        tagged = search(TOKEN, {live.job.token for live in doubtful}).tagged
        for live in doubtful:
            if live.job.token not in tagged and not self._know(live, read_claim(live.job.directory)):
                self._settle(live)

    def _settle(self, live: _Live) -> None:
        """Close an attempt whose runner does not live, or cannot be asked."""
        job = live.job
        outcome = read_outcome(job.directory)
        claim = read_claim(job.directory)
        if outcome is not None:
            self._close(live, self._end_by_outcome(live, outcome))
        elif not live.here:
            return
        elif claim is not None and claim.revoked:
            self._forget(live)
            self._news.append(SawNothing(*job.ref, "revoked before it started"))
        elif live.process is not None:
            self._died(live, "its runner is gone and left no exit status")
        elif claim is not None:
            # The command comes after a whole claim.
            self._forget(live)
            self._news.append(SawNothing(*job.ref, "its runner ended before it began"))
        else:
            what = "claim" if job.directory.exists() else f"directory {job.directory}"
            self._died(live, f"its {what} is gone, and no process of it is left")

    def _died(self, live: _Live, message: str, end: SawEnd | None = None) -> None:
        """The runner left no exit status; `end`: what is known, unless the timeout explains it."""
        ref, limit = live.job.ref, read_timed_out(live.job.directory)
        if limit is not None:
            end = SawEnd(*ref, failure="timeout", message=too_long(limit), stopped=live.stop_sent)
        elif end is None:
            end = SawEnd(*ref, failure="source_lost", message=message, stopped=live.stop_sent)
        self._close(live, end, search=True)

    def _end_by_outcome(self, live: _Live, outcome: Outcome) -> SawEnd:
        return end_of(
            live.job.ref,
            outcome,
            complaint=last_line(live.job.directory / STDERR) if outcome.code else "",
            stopped=live.stop_sent,
            ended_at=None if live.child else outcome.at,
        )

    def _forget(self, live: _Live) -> None:
        ref = live.job.ref
        for group in (self._live, self._watched, self._stopping, self._ending):
            group.pop(ref, None)

    def _close(self, live: _Live, end: SawEnd, *, search: bool = False) -> None:
        """Report the end, at once if nothing of the attempt is left, else when what is left has been ended.

        `search`: also look for processes that left the group but carry the token.
        """
        search = search or live.stop_sent or end.failure == "timeout"
        if live.child and not search and not _group_alive(live.pid):
            self._forget(live)
            self._news.append(end)
            return
        ref, now = live.job.ref, self._monotonic()
        self._watched.pop(ref, None)
        self._stopping.pop(ref, None)
        live.end, live.search = end, search
        if live.kills:
            live.kill_at, live.kills = now, 0
        elif live.kill_at is None:
            live.kill_at = now + (self._grace if search else self._leftover_grace)
        self._ending[ref] = live
        self._clear_due, self._clear_pause = now, 0.0

    def _clear_up(self, clock: float) -> None:
        """End what is left of attempts whose runner is gone; report those of which nothing is."""
        lives = list(self._ending.values())
        groups = {live.pid for live in lives if self._owns_group(live) and _group_alive(live.pid)}
        found = search(TOKEN, {live.job.token for live in lives if live.search or not live.child}, groups)
        for live in lives:
            left = self._left(live, found)
            if not left:
                assert live.end is not None
                self._forget(live)
                self._news.append(live.end)
            elif live.kill_at is not None and clock >= live.kill_at:
                if live.kills:
                    self._say_stubborn(live, left)
                self._kill(live, left, signal.SIGKILL)
                live.kill_at = clock + STUBBORN
                live.kills += 1
            else:
                self._kill(
                    live, {pid: group for pid, group in left.items() if pid not in live.asked}, signal.SIGTERM
                )
                live.asked |= {0, *left}
        self._clear_pause = min(self._every, self._clear_pause * 2 or 0.01)
        self._clear_due = clock + self._clear_pause

    def _left(self, live: _Live, found: Found) -> dict[int, int]:
        """Living processes of an attempt whose runner is gone, with their groups."""
        tagged = found.tagged.get(live.job.token, {})
        if not live.search:
            tagged = {pid: group for pid, group in tagged.items() if group == live.pid}
        return {**tagged, **dict.fromkeys(found.groups.get(live.pid, ()), live.pid)}

    def _owns_group(self, live: _Live) -> bool:
        """Whether the group with its runner's number is its own.

        A number is not given out again while a group bears it. One we only read of may be somebody else's by now.
        """
        if live.child:
            return True
        if not live.seen_alive or live.process is None:
            return False
        return start_time(live.pid) in (None, live.process.start)

    # --- signals -------------------------------------------------------------------------------------------------

    def _escalate(self, clock: float) -> None:
        """KILL what has not heeded TERM in time; tell of what does not even heed KILL."""
        due = [live for live in self._stopping.values() if live.kill_at is not None and clock >= live.kill_at]
        if not due:
            return
        self._signal(due, signal.SIGKILL)
        for live in due:
            if live.kills:
                self._say_stubborn(live, [live.pid] if live.pid else ())
            live.kill_at = clock + STUBBORN
            live.kills += 1

    def _say_stubborn(self, live: _Live, pids: Collection[int]) -> None:
        which = ", ".join(str(pid) for pid in sorted(pids)[:5]) or "a process"
        reason = f"{which} does not end on KILL (another user's, or stuck in the kernel)"
        self._news.append(CannotTell(*live.job.ref, reason))

    def _signal(self, lives: Sequence[_Live], number: int) -> None:
        """Send TERM to the groups, KILL also to what left them."""
        by_token: list[_Live] = []
        for live in lives:
            if not live.here:
                continue
            grouped = live.child or (live.process is not None and is_alive(live.process))
            if grouped:
                _kill_group(live.pid, number)
                live.asked.add(0)
            if number == signal.SIGKILL or not grouped:
                by_token.append(live)
        tagged = search(TOKEN, {live.job.token for live in by_token}).tagged
        for live in by_token:
            for pid in tagged.get(live.job.token, ()):
                _kill(pid, number)
                live.asked.add(pid)

    def _kill(self, live: _Live, left: Mapping[int, int], number: int) -> None:
        """Signal processes of one attempt, each once: a second TERM means haste to many programs."""
        group = live.pid if live.pid in left.values() and self._owns_group(live) else 0
        if group and (number == signal.SIGKILL or 0 not in live.asked):
            _kill_group(group, number)
        for pid, own in left.items():
            if own != group:
                _kill(pid, number)


def _group_alive(group: int) -> bool:
    """Whether the group has members; zombies count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _kill_group(group: int, number: int) -> None:
    # It ended by itself, or is another user's: then it is told as stubborn.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
