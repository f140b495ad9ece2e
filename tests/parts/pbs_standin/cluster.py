"""The server's and the scheduler's side: jobs, their states, and when they change."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import mom
from .jobs import (
    BEGUN,
    DEPENDS,
    EXITING,
    FAILED,
    FINISHED,
    HELD,
    QUEUED,
    RUNNING,
    STARTING,
    TERMINATED,
    Job,
)
from .submit import Submission
from .text import day

PER_CYCLE = 16
"""Jobs started before requests are looked at again."""


@dataclass(slots=True)
class Settings:
    """What a test may change (`control.sock`); times in seconds."""

    up: bool = True
    history: bool = True
    scheduling: bool = True
    node: bool = True
    reports: float = 0.2
    """Time until a mom's first report of a job; below 0: none ever."""
    exiting: int = 0
    """Substate in which ended jobs are held, 51 or 53; 0: they finish at once."""
    max_array_size: int = 10000
    percent: bool = True
    ncpus: int = 64
    memory: int = 20 << 30
    kill_delay: float = 10.0
    """From TERM to KILL of a deleted job; the queue attribute of that name."""
    overtime: float = 0.0
    """How late a walltime is enforced; 14 s were recorded."""
    node_fail_requeue: float = 310.0
    slow: float = 0.0
    """How long each command waits for its answer."""


@dataclass(slots=True)
class Cluster:
    """One server with one node. `name` is what stands behind the dot in job identifiers."""

    directory: Path
    name: str
    settings: Settings = field(default_factory=Settings)
    jobs: dict[int, Job] = field(default_factory=dict)
    next: int = 0
    cycles: int = 5
    due: bool = False
    """Whether the scheduler has something to look at."""
    node_down_since: float | None = None
    live: dict[int, Job] = field(default_factory=dict)
    """What the node runs, by the pid of its session's leader."""
    _waiting: list[tuple[Job, int]] = field(default_factory=list)
    """Ends that the mom has seen and cannot tell while the server is down."""

    @property
    def spool(self) -> Path:
        return self.directory / "spool"

    # --- finding jobs --------------------------------------------------------------------------------------------

    def every(self) -> list[Job]:
        """All jobs, arrays and their elements."""
        return [one for job in self.jobs.values() for one in (job, *job.children.values())]

    def total(self) -> int:
        """total_jobs: those of the history count as well."""
        return len(self.jobs)

    def find(self, text: str) -> list[Job]:
        """The jobs an identifier means: `12.vm`, `12`, `12[].vm`, `12[3].vm`, `12[3-7:2].vm`. Empty if unknown."""
        name, _, _ = text.partition(".")
        number, bracket, rest = name.partition("[")
        job = self.jobs.get(int(number)) if number.isdigit() else None
        if job is None or bool(bracket) != (job.request.indices is not None):
            return []
        inside = rest.rstrip("]")
        if not inside:
            return [job]
        span, _, step = inside.partition(":")
        low, _, high = span.partition("-")
        wanted = range(int(low), int(high or low) + 1, int(step or 1))
        return [job.children[index] for index in wanted if index in job.children]

    def full(self, text: str) -> str:
        """An identifier with its server."""
        return text if "." in text else f"{text}.{self.name}"

    # --- the life of a job ---------------------------------------------------------------------------------------

    def queue(self, submission: Submission) -> Job:
        now = time.time()
        request = submission.request
        job = Job(self.next, request, self.name, now, int(now * 1e6), limit=submission.limit, changed=now)
        self.next += 1
        if request.indices is not None:
            for index in request.indices:
                job.children[index] = Job(
                    job.number, request, self.name, now, job.rank, index, job, changed=now
                )
        if submission.held:
            job.state, job.substate, job.holds = "H", HELD, "u"
        if submission.depend:
            self._depend(job, submission.depend)
        self.jobs[job.number] = job
        self.due = True
        return job

    def _depend(self, job: Job, text: str) -> None:
        kind, _, ids = text.partition(":")
        job.depend = f"{kind}:" + ":".join(f"{self.full(one)}@{self.name}" for one in ids.split(":"))
        job.state, job.substate, job.holds = "H", DEPENDS, "s"
        for one in ids.split(":"):
            for other in self.find(one):
                back = f"before{kind.removeprefix('after')}:{job.id}@{self.name}"
                other.depend = f"{other.depend},{back}" if other.depend else back

    def cycle(self) -> None:
        """One pass of the scheduler: start what fits."""
        self.due = False
        self.cycles += 1
        started = 0
        for job in self.jobs.values():
            if job.state not in "QB":
                continue
            if job.request.cpus > self.settings.ncpus:
                job.comment = (
                    f"Can Never Run: Insufficient amount of resource: ncpus "
                    f"(R: {job.request.cpus} A: {self.settings.ncpus} T: {self.settings.ncpus})"
                )
                continue
            if job.is_array and job.limit is not None:
                room = job.limit - sum(child.state == "R" for child in job.children.values())
            else:
                room = len(self.jobs) + len(job.children)
            for one in job.children.values() if job.is_array else [job]:
                if one.state != "Q":
                    continue
                free = self.free_cpus()
                if room <= 0 or not self.settings.node:
                    break
                if free < one.request.cpus:
                    if job.state == "Q":
                        job.comment = (
                            f"Not Running: Insufficient amount of resource: ncpus "
                            f"(R: {one.request.cpus} A: {free} T: {self.settings.ncpus})"
                        )
                    break
                if started == PER_CYCLE:
                    self.due = True
                    return
                self._start(one)
                started += 1
                room -= 1

    def free_cpus(self) -> int:
        used = sum(job.request.cpus for job in self.live.values())
        return (self.settings.ncpus if self.settings.node else 0) - used

    def _start(self, job: Job) -> None:
        now = time.time()
        taken = {other.slot for other in self.live.values()}
        job.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        job.state, job.substate, job.started, job.changed = "R", STARTING, now, now
        job.runs += 1
        if job.index is not None:
            job.rank = int(now * 1e6)
            assert job.parent is not None
            if job.parent.state == "Q":
                job.parent.state, job.parent.substate, job.parent.started = "B", BEGUN, now
                job.parent.comment = f"Job Array Began at {day(now)}"
            job.parent.changed = now
        job.comment = job.run_comment()
        job.process = mom.spawn(job, self.spool)
        self.live[job.process.pid] = job

    def reap(self) -> None:
        for job in list(self.live.values()):
            assert job.process is not None
            if job.state == "R" and job.process.poll() is not None:
                # What is left of the session goes with its leader.
                mom.send(job, signal.SIGKILL)
                code = job.process.returncode
                status = 256 - code if code < 0 else code
                if not self.settings.node:
                    continue  # nobody is there to tell of it
                if self.settings.up:
                    self._obit(job, status)
                elif (job, status) not in self._waiting:
                    self._waiting.append((job, status))
        if self.settings.up:
            waiting, self._waiting = self._waiting, []
            for job, status in waiting:
                self._obit(job, status)

    def _obit(self, job: Job, status: int) -> None:
        if job.state != "R" or job.process is None:
            return
        self.live.pop(job.process.pid, None)
        # A deleted job was recorded with status 0 whatever its end: the trap that a reader of Exit_status falls into.
        job.exit_status = -29 if job.overtime else 0 if job.killed_by else status
        job.state, job.substate, job.used, job.changed = "E", EXITING, True, time.time()
        if self.settings.exiting == 53:
            job.substate, job.staged = 53, True
        if not self.settings.exiting:
            self.finish(job)
        self.due = True

    def finish(self, job: Job) -> None:
        """From E to the history: F, or X for an element of an array that goes on."""
        now = time.time()
        if job.killed_by:
            job.substate, words = TERMINATED, f" and terminated by {job.killed_by}@{self.name}"
        elif job.overtime:
            job.substate, words = FAILED, " and exceeded resource walltime"
        elif job.exit_status:
            job.substate, words = FAILED, " and failed"
        else:
            job.substate, words = FINISHED, " and finished"
        job.comment += words
        job.obit = job.changed = job.history = now
        job.staged = mom.deliver(job, self.spool)
        job.state = "X" if job.index is not None else "F"
        if job.parent is not None:
            job.parent.staged = True
            job.parent.exit_status = 1 if job.exit_status or job.parent.exit_status else 0
            job.parent.changed = now
            self.close_array(job.parent)
        else:
            self.dependents(job)
            self.expire()
            if job.forget:
                self.jobs.pop(job.number, None)

    def close_array(self, array: Job) -> None:
        if not all(child.state == "X" for child in array.children.values()):
            return
        now = time.time()
        array.state, array.substate = "F", FINISHED
        array.comment = f"{array.comment} and finished" if array.comment else "Job Array finished"
        array.obit = array.changed = array.history = now
        for child in array.children.values():
            child.state, child.changed = "F", now
        self.dependents(array)
        self.expire()

    def dependents(self, job: Job) -> None:
        """Release what waited for this job, or end it if the job did not end as it must."""
        for other in self.jobs.values():
            kind, _, ids = other.depend.partition(":")
            if other.substate != DEPENDS or f"{job.id}@{self.name}" not in ids.split(":"):
                continue
            good = job.exit_status == 0 and job.substate == FINISHED
            if kind == "afterany" or (kind == "afterok") == good:
                other.state, other.substate, other.holds = "Q", QUEUED, "n"
            else:
                # Recorded: the substate of success, and no Exit_status.
                now = time.time()
                other.state, other.substate, other.history, other.changed = "F", FINISHED, now, now

    def expire(self, *, everything: bool = False) -> None:
        """Forget finished jobs: all of them, or where no history is kept those that have just finished."""
        if everything or not self.settings.history:
            self.jobs = {number: job for number, job in self.jobs.items() if job.state != "F"}

    # --- the clock -----------------------------------------------------------------------------------------------

    def pause(self) -> float | None:
        """Seconds until something is due; None if only a request or a child can bring news."""
        now, times = time.time(), [0.5] if self.live or self._waiting else []
        for job in self.live.values():
            assert job.started is not None
            if not job.reported and self.settings.reports >= 0:
                times.append(job.started + self.settings.reports - now)
            if job.kill_at is not None:
                times.append(job.kill_at - now)
            elif job.request.walltime is not None:
                times.append(job.started + job.request.walltime + self.settings.overtime - now)
        if self.node_down_since is not None:
            times.append(self.node_down_since + self.settings.node_fail_requeue - now)
        return max(0.001, min(times)) if times else None

    def clock(self) -> None:
        now = time.time()
        for job in list(self.live.values()):
            assert job.started is not None
            if not self.settings.node:
                continue
            if not job.reported and 0 <= self.settings.reports <= now - job.started:
                job.reported = job.used = True
                job.substate, job.changed = RUNNING, now
            if job.kill_at is not None:
                if now >= job.kill_at:
                    mom.send(job, signal.SIGKILL)
                    job.kill_at = now + self.settings.kill_delay
            elif (
                job.request.walltime is not None
                and now >= job.started + job.request.walltime + self.settings.overtime
            ):
                job.overtime = True
                self.stop(job)
        if self.node_down_since is not None and now >= self.node_down_since + self.settings.node_fail_requeue:
            self.node_down_since = None
            self._lose(-20)

    def stop(self, job: Job) -> None:
        mom.send(job, signal.SIGTERM)
        job.kill_at = time.time() + self.settings.kill_delay

    def node(self, *, up: bool) -> None:
        """The machine loses power, or comes back. The server goes on believing that its jobs run."""
        if not up:
            self.node_down_since = time.time()
            for job in self.live.values():
                mom.send(job, signal.SIGKILL)
        elif self.node_down_since is not None:
            self.node_down_since = None
            self._lose(-4)

    def _lose(self, status: int) -> None:
        """What ran on the node is run again, or ended where `-r n` forbids that.

        Recorded for the former. The statuses of the latter are of job.h: -20 JOB_EXEC_RERUN_MS_FAIL,
        -4 JOB_EXEC_INITABT.
        """
        for pid, job in list(self.live.items()):
            del self.live[pid]
            if job.request.rerunnable:
                job.state, job.substate, job.slot, job.reported = "Q", QUEUED, -1, False
            else:
                job.exit_status, job.used = status, True
                self.finish(job)
        self.due = True
