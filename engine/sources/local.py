"""This machine as a source: N slots, each attempt under the runner in a process group and session of its own.

The engine is the parent of what it launches and learns of an end from the kernel at once. Attempts outlive the engine;
the next one finds them by their claim and watches them by pid, start time and boot.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...state.layout import STDERR
from ...state.process import host_name, is_alive, is_here, tagged
from ..events import FailureKind, Ref
from ..observe import CannotTell, Observation, SawEnd, SawNothing, SawRunning
from .attempt import Outcome, last_line, read_claim, read_outcome, revoke
from .base import Job

TOKEN = "SWEEP_TOKEN"
GRACE = 10.0
"""Seconds between TERM and KILL."""
LEFTOVER_GRACE = 1.0
"""Seconds that processes left behind by a command that has ended get between TERM and KILL."""
WATCH = 0.2
"""Seconds between two looks at attempts that are not our children."""

_CLAIM_LOST, _NO_EXIT_FILE = 121, 122
_unclaimed: dict[int, int] = {}
"""Children of this process that another local source reaped: pid → wait status."""
_STDIN_NULL = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]


@dataclass(slots=True)
class _Live:
    """An attempt that is, or may be, alive. `pid` is its runner and its process group; 0 while nobody knows it."""

    job: Job
    pid: int = 0
    child: bool = True
    stop_sent: bool = False
    kill_at: float | None = None
    """When TERM becomes KILL (monotonic seconds)."""
    end: SawEnd | None = None
    """What will be said of it once nothing of it is alive."""


class LocalSource:
    """See `Source`. `environment` is what tasks inherit (default: this process's)."""

    def __init__(
        self,
        name: str,
        runner: Path,
        *,
        environment: dict[str, str] | None = None,
        grace: float = GRACE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._runner = str(runner)
        self._environment = dict(os.environ) if environment is None else environment
        self._grace = grace
        self._monotonic = monotonic
        self._live: dict[Ref, _Live] = {}
        self._children: dict[int, _Live] = {}
        self._watched: dict[Ref, _Live] = {}
        self._ending: dict[Ref, _Live] = {}
        self._watch_due = 0.0
        self._news: list[Observation] = []

    # --- what the engine asks ------------------------------------------------------------------------------------

    def launch(self, batch: str, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._launch(job)

    def cancel(self, attempts: Sequence[Ref], *, force: bool) -> None:
        for ref in attempts:
            live = self._live.get(ref)
            if live is None or live.end is not None:
                continue  # its end is on its way
            self._signal(live, signal.SIGKILL if force else signal.SIGTERM)
            live.stop_sent = True
            live.kill_at = self._monotonic() + (0.0 if force else self._grace)

    def adopt(self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]) -> None:
        for job in jobs:
            self._adopt(job, seen=job.ref in running, cancelling=job.ref in cancelling)

    def poll(self, now: float) -> list[Observation]:
        self._reap()
        clock = self._monotonic()
        if self._watched and clock >= self._watch_due:
            self._watch_due = clock + WATCH
            for live in list(self._watched.values()):
                self._watch(live)
        for live in list(self._live.values()) if self._stopping() else ():
            if live.kill_at is not None and live.end is None and clock >= live.kill_at:
                self._signal(live, signal.SIGKILL)
                live.kill_at = clock + self._grace
        if self._ending:
            self._clear_up(clock)
        news, self._news = self._news, []
        return news

    def wake_after(self) -> float | None:
        if self._news:
            # That something runs can wait a moment: short tasks have ended by then, and one line tells both.
            return 0.0 if any(not isinstance(seen, SawRunning) for seen in self._news) else 0.02
        if self._ending:
            return 0.05
        if self._watched or self._stopping():
            return WATCH
        return None

    def close(self) -> None:
        """Nothing is held: children are adopted by init and go on."""

    # --- starting ------------------------------------------------------------------------------------------------

    def _launch(self, job: Job) -> None:
        limit = f"{job.timeout:g}" if job.timeout else "0"
        argv = ["sh", self._runner, str(job.directory), limit, job.workdir, *job.argv]
        try:
            pid = os.posix_spawn(
                "/bin/sh", argv, {**self._environment, **job.env}, file_actions=_STDIN_NULL, setsid=True
            )
        except (OSError, ValueError) as error:
            self._news.append(SawNothing(*job.ref, f"the runner could not be started: {error}"))
            return
        live = self._live[job.ref] = _Live(job, pid)
        self._children[pid] = live
        self._news.append(SawRunning(*job.ref, str(pid)))

    def _adopt(self, job: Job, *, seen: bool, cancelling: bool) -> None:
        live = _Live(job, child=False, stop_sent=cancelling)
        outcome = read_outcome(job.directory)
        if outcome is not None:
            self._live[job.ref] = live
            self._close(live, self._end_by_outcome(live, outcome))
            return
        if cancelling and not seen and revoke(job.directory):
            self._news.append(SawNothing(*job.ref, "cancelled before it started"))
            return
        claim = read_claim(job.directory)
        if claim is None and not seen and not self._tagged(job):
            # Nobody has begun. A runner that is still on its way and this one meet at the claim: one leaves.
            self._launch(job)
            return
        self._live[job.ref] = live
        if claim is not None and claim.revoked:
            self._close(live, None)
        elif claim is not None and claim.process is not None and not is_here(claim.process):
            reason = f"it was started on {claim.process.host}, this is {host_name()}"
            self._news.append(CannotTell(*job.ref, reason))
            self._watched[job.ref] = live
        else:
            self._watch(live)
            if live.end is None and job.ref in self._live:
                self._watched[job.ref] = live
                handle = str(claim.process) if claim and claim.process else ""
                self._news.append(SawRunning(*job.ref, handle, claim.at if claim else None))
                if cancelling:
                    self.cancel([job.ref], force=False)

    def _tagged(self, job: Job) -> list[int]:
        """Processes that carry the attempt's token, wherever they went."""
        return tagged(TOKEN, frozenset({job.token})).get(job.token, [])

    # --- ends ----------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        for pid in [pid for pid in _unclaimed if pid in self._children]:
            self._child_ended(self._children.pop(pid), _unclaimed.pop(pid))
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            live = self._children.pop(pid, None)
            if live is not None:
                self._child_ended(live, code)
            else:
                _unclaimed[pid] = code

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
            name = _signal_name(-code)
            message = f"its runner was ended by {name}" + (
                "; often the machine had no memory left" if -code == signal.SIGKILL and not live.stop_sent else ""
            )
            end = SawEnd(*live.job.ref, signal=-code, message=message, stopped=live.stop_sent)
            self._close(live, end, search=True)
        else:
            what = "could not be written" if code == _NO_EXIT_FILE else "is missing"
            detail = f"exit status {code}, but its exit file {what} (a full disk, or its directory is gone?)"
            end = SawEnd(*live.job.ref, failure="source_lost", message=detail, stopped=live.stop_sent)
            self._close(live, end, search=True)

    def _lost_claim(self, live: _Live) -> None:
        """Our runner left because of the claim: somebody else runs the attempt, or the claim could not be written."""
        self._live.pop(live.job.ref, None)
        claim = read_claim(live.job.directory)
        if claim is None:
            self._news.append(SawNothing(*live.job.ref, "its claim could not be written (a full disk?)"))
        else:
            self._adopt(live.job, seen=False, cancelling=live.stop_sent)

    def _watch(self, live: _Live) -> None:
        """Look at an attempt that is not our child."""
        outcome = read_outcome(live.job.directory)
        if outcome is not None:
            self._close(live, self._end_by_outcome(live, outcome))
            return
        claim = read_claim(live.job.directory)
        process = claim.process if claim else None
        if process is None:
            if not self._tagged(live.job):
                where = "its claim is empty" if claim else f"its directory {live.job.directory} is gone"
                self._died(live, f"{where}, and no process of it is left")
            return
        live.pid = process.pid
        if is_here(process) and not is_alive(process):
            # It may have written its exit file between our two looks.
            outcome = read_outcome(live.job.directory)
            if outcome is not None:
                self._close(live, self._end_by_outcome(live, outcome))
            else:
                self._died(live, "its runner is gone and left no exit status")

    def _died(self, live: _Live, message: str) -> None:
        if live.stop_sent:
            end = SawEnd(*live.job.ref, message=message, stopped=True)
        else:
            end = SawEnd(*live.job.ref, failure="source_lost", message=message)
        self._close(live, end, search=True)

    def _end_by_outcome(self, live: _Live, outcome: Outcome) -> SawEnd:
        job, code = live.job, outcome.code
        failure: FailureKind | None = None
        signum: int | None = None
        message = ""
        stopped = live.stop_sent and (outcome.flag == "term" or code != 0)
        if outcome.timed_out is not None and (code != 0 or outcome.flag == "term"):
            failure, message = "timeout", f"ran longer than its timeout of {outcome.timed_out} s"
        elif outcome.flag == "workdir":
            failure, message = "launch_failed", f"cannot enter {job.workdir}: {last_line(job.directory / STDERR)}"
        elif 128 < code <= 128 + 64:
            signum = code - 128
            message = f"ended by {_signal_name(signum)}"
            if signum == signal.SIGKILL and not stopped:
                message += "; often the machine had no memory left"
        elif code != 0:
            message = last_line(job.directory / STDERR)
        return SawEnd(
            *job.ref,
            exit_code=code,
            signal=signum,
            failure=failure,
            message=message,
            stopped=stopped,
            ended_at=None if live.child else outcome.at,
        )

    def _close(self, live: _Live, end: SawEnd | None, *, search: bool = False) -> None:
        """Report the end, at once if nothing of the attempt is left, else when what is left has been ended.

        `search`: also look for processes that left the group but carry the token.
        """
        ref = live.job.ref
        self._watched.pop(ref, None)
        if live.pid:
            self._children.pop(live.pid, None)
        if end is None:
            self._live.pop(ref, None)
            self._news.append(SawNothing(*ref, "revoked before it started"))
            return
        # A group that was ours a moment ago cannot be anybody else's; one we only read of could.
        group_left = live.child and _group_alive(live.pid)
        if not (search or live.stop_sent or group_left or not live.child):
            self._live.pop(ref, None)
            self._news.append(end)
            return
        live.end = end
        live.kill_at = None if live.stop_sent else self._monotonic() + LEFTOVER_GRACE
        self._ending[ref] = live

    def _clear_up(self, clock: float) -> None:
        """End what is left of attempts whose runner is gone; report those of which nothing is."""
        left = tagged(TOKEN, frozenset(live.job.token for live in self._ending.values()))
        for ref, live in list(self._ending.items()):
            pids = left.get(live.job.token, [])
            group = live.child and _group_alive(live.pid)
            if not pids and not group:
                del self._ending[ref]
                self._live.pop(ref, None)
                assert live.end is not None
                self._news.append(live.end)
                continue
            number = signal.SIGKILL if live.kill_at is None or clock >= live.kill_at else signal.SIGTERM
            if group:
                _kill_group(live.pid, number)
            for pid in pids:
                _kill(pid, number)

    # --- signals -------------------------------------------------------------------------------------------------

    def _stopping(self) -> bool:
        return any(live.kill_at is not None and live.end is None for live in self._live.values())

    def _signal(self, live: _Live, number: int) -> None:
        if live.child:
            _kill_group(live.pid, number)
        else:
            claim = read_claim(live.job.directory)
            process = claim.process if claim else None
            if process is not None and is_here(process) and is_alive(process):
                _kill_group(process.pid, number)
        if number == signal.SIGKILL or not live.child:
            for pid in self._tagged(live.job):
                _kill(pid, number)


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _kill_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass  # it ended by itself


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
