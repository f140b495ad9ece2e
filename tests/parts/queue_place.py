"""A sweep's directory and a source with a queue that runs in it: what a test launches, and what it was told."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import spawn_tui.engine.run
from spawn_tui.engine.command import Invocation
from spawn_tui.engine.events import Ref
from spawn_tui.engine.observe import (
    Observation,
    SawEnd,
    SawHealth,
    SawNothing,
    SawRunning,
    SawWaiting,
    SawWithdrawn,
    SourceAway,
    SourceBack,
    SourceRefused,
)
from spawn_tui.engine.sources.base import Job, SourceContext
from spawn_tui.engine.sources.queue import QueueSource
from spawn_tui.state.layout import SweepLayout

from .waiting import wait_until

RUNNER = Path(spawn_tui.engine.run.__file__).with_name("runner.sh")
NOBODY: frozenset[Ref] = frozenset()


@dataclass
class Place:
    """`make` makes a source of a context. `directory(name)` says where an attempt's files are; at home by default."""

    base: Path
    make: Callable[[SourceContext], QueueSource]
    sweep_id: str = "sweep-20260102-abc123"
    attempts: Path | None = None
    news: list[Observation] = field(default_factory=list)
    ends: dict[Ref, SawEnd | SawNothing | SawWithdrawn] = field(default_factory=dict)
    repeated: list[Observation] = field(default_factory=list)
    """Ends that were told a second time."""
    count: int = 0
    jobs: dict[Ref, Job] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.base / "sweep"
        (self.root / "scripts").mkdir(parents=True, exist_ok=True)
        (self.root / "attempts").mkdir(exist_ok=True)
        shutil.copy(RUNNER, self.root / "scripts" / "runner.sh")
        self.attempts = self.attempts or self.root / "attempts"
        self.context = SourceContext(SweepLayout(self.root), self.sweep_id, self.base)
        self.source = self.make(self.context)

    def restart(self) -> None:
        """Another engine comes: what the source knew is forgotten, and nothing of it was said good-bye to."""
        self.source.close()
        self.news.clear()
        self.source = self.make(self.context)

    # --- launching -----------------------------------------------------------------------------------------------

    def job(
        self, *argv: str, batch: str = "b1", timeout: float | None = None, workdir: str = "/", **env: str
    ) -> Job:
        ref = Ref(self.count, 1)
        self.count += 1
        name = f"task_{ref.task + 1:03d}.1"
        token = f"{self.sweep_id}.{name}"
        home = self.root / "attempts" / name
        home.mkdir(mode=0o700)

        def render(
            *, task_dir: str, project: str | None = None, previous_dir: str | None = None
        ) -> Invocation:
            return Invocation(argv, {"SWEEP_TOKEN": token, "SWEEP_TASK_DIR": task_dir, **env}, workdir)

        job = self.jobs[ref] = Job(ref, token, batch, home, render, timeout)
        return job

    def shell(
        self, script: str, count: int = 1, *, batch: str = "b1", timeout: float | None = None
    ) -> list[Job]:
        """Jobs of a shell script; `$SWEEP_TASK_DIR` is its directory."""
        return [self.job("sh", "-c", script, batch=batch, timeout=timeout) for _ in range(count)]

    def launch(self, jobs: Sequence[Job], *, limit: int | None = None) -> list[Job]:
        self.source.launch(jobs[0].batch, jobs, limit=limit or len(jobs))
        return list(jobs)

    def adopt(
        self, jobs: Sequence[Job], *, running: Sequence[Job] = (), cancelling: Sequence[Job] = ()
    ) -> None:
        self.source.adopt(
            jobs,
            running=frozenset(job.ref for job in running),
            cancelling=frozenset(job.ref for job in cancelling),
        )

    # --- looking -------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        for seen in self.source.poll(time.time()):
            self.news.append(seen)
            if isinstance(seen, SawEnd | SawNothing | SawWithdrawn):
                ref = Ref(seen.task, seen.attempt)
                if ref in self.ends:
                    self.repeated.append(seen)
                self.ends[ref] = seen

    def wait(self, condition: Callable[[], object], what: str, *, limit: float = 60.0) -> None:
        def holds() -> object:
            self.poll()
            return condition()

        try:
            wait_until(holds, what, limit=limit)
        except TimeoutError as late:
            told = [seen for seen in self.news if not isinstance(seen, SawHealth)][-12:]
            raise TimeoutError(f"{late}; told last: {told}") from None

    def end(self, job: Job, *, limit: float = 60.0) -> SawEnd | SawNothing | SawWithdrawn:
        self.wait(lambda: job.ref in self.ends, f"the end of {job.token}", limit=limit)
        return self.ends[job.ref]

    def end_all(self, jobs: Sequence[Job], *, limit: float = 120.0) -> None:
        self.wait(lambda: all(job.ref in self.ends for job in jobs), f"{len(jobs)} ends", limit=limit)

    def wait_running(self, *jobs: Job) -> None:
        self.wait(lambda: all(self.ran(job) for job in jobs), f"{len(jobs)} running")

    def ran(self, job: Job) -> bool:
        return any(isinstance(seen, SawRunning) and seen.task == job.ref.task for seen in self.news)

    def told(self, *kinds: type) -> list[Observation]:
        return [seen for seen in self.news if isinstance(seen, kinds)]

    def waiting(self, batch: str = "b1") -> SawWaiting | None:
        said = [seen for seen in self.news if isinstance(seen, SawWaiting) and seen.batch == batch]
        return said[-1] if said else None

    def away(self) -> bool:
        """Whether the last that was said of the source itself is that it is away, or refuses us."""
        said = self.told(SourceAway, SourceBack, SourceRefused)
        return bool(said) and not isinstance(said[-1], SourceBack)

    def directory(self, job: Job) -> Path:
        assert self.attempts is not None
        return self.attempts / job.directory.name

    def completed(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that ended with exit code 0."""
        done: list[Job] = []
        for job in jobs:
            end = self.ends.get(job.ref)
            if isinstance(end, SawEnd) and end.exit_code == 0 and end.failure is None:
                done.append(job)
        return done
