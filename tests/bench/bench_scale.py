"""The engine at 100,000 tasks: real loop, real journal, a source that runs nothing."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from .measure import Figure, peak_memory

BIG, SMALL, SLOTS = 100_000, 1_000, 100


class EmptySource:
    """Every attempt has ended at the next poll."""

    outlives_host = False

    def __init__(self, name: str) -> None:
        from spawn_tui.engine.observe import SawEnd

        self.name, self._end, self._news = name, SawEnd, []

    def launch(self, batch: str, jobs: Sequence, *, limit: int) -> None:
        self._news += [self._end(*job.ref, exit_code=0) for job in jobs]

    def limit(self, batch: str, count: int) -> None: ...
    def withdraw(self, attempts: Sequence) -> None: ...
    def collect(self, jobs: Sequence, *, failed: frozenset) -> None: ...

    def cancel(self, attempts: Sequence, *, force: bool) -> None:
        raise AssertionError

    def adopt(self, jobs: Sequence, *, running: frozenset, cancelling: frozenset) -> None:
        self.launch("", jobs, limit=0)

    def poll(self, now: float) -> list:
        news, self._news = self._news, []
        return news

    def wake_after(self) -> float | None:
        return 0.0

    def close(self) -> None:
        """Nothing is held."""


class NoHome:
    def prepare(self, index: int, number: int) -> None: ...
    def repair(self, sweep: object) -> None: ...
    def record(self, sweep: object, records: object) -> None: ...
    def refresh(self, sweep: object) -> None: ...
    def close(self) -> None: ...


class NoLock:
    def check(self) -> None: ...
    def release(self) -> None: ...


def _create(root: Path, tasks: int) -> None:
    from spawn_tui.engine.create import first_events
    from spawn_tui.engine.plan.model import Plan, PlannedTask
    from spawn_tui.engine.sources.registry import SourceSpec
    from spawn_tui.engine.store import SweepStore
    from spawn_tui.state.disk import LocalDisk

    every = range(tasks)
    plan = Plan(
        "spawn", "bench",
        tuple(PlannedTask("", {"lr": 0.001 * i, "batch_size": 32, "seed": i, "optimizer": "adam"}) for i in every),
        command="true",
    )  # fmt: skip
    SweepStore.create(
        root, plan, first_events(plan, [SourceSpec("local", "local", SLOTS)], root.name, root), LocalDisk()
    )


def _engine(root: Path):
    from spawn_tui.engine.clock import SteadyClock
    from spawn_tui.engine.command import Renderer
    from spawn_tui.engine.engine import Engine
    from spawn_tui.engine.store import SweepStore
    from spawn_tui.state.disk import LocalDisk

    disk = LocalDisk()
    clock = SteadyClock()
    store, _ = SweepStore.open(root, disk, clock=clock)
    renderer = Renderer(store.plan, sweep_id=store.sweep.id, project_dir=str(root), base_env=os.environ)
    return Engine(store, {"local": EmptySource("local")}, NoLock(), NoHome(), renderer, disk, clock)


def child(what: str, folder: str, tasks: int) -> dict[str, float]:
    """One measurement in a process of its own."""
    root = Path(folder)
    if what == "create":
        _create(root, tasks)
        return {}
    begun = time.perf_counter()
    engine = _engine(root)
    engine.start()
    if what == "open":
        from spawn_tui.engine.decide import decide

        decide(engine.sweep, engine.clock())
        return {"seconds": time.perf_counter() - begun, "rss": peak_memory()}
    begun = time.perf_counter()
    while not engine.finished:
        engine.step()
    seconds = time.perf_counter() - begun
    engine.finish()
    assert engine.sweep.counts["completed"] == tasks  # type: ignore[index]
    return {"seconds": seconds, "rss": peak_memory()}


def _child(what: str, root: Path, tasks: int) -> SimpleNamespace:
    code = (
        "import json, sys; from tests.bench.bench_scale import child; "
        f"print(json.dumps(child({what!r}, {str(root)!r}, {tasks})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return SimpleNamespace(**json.loads(done.stdout))


def run(rounds: int = 3) -> list[Figure]:
    base = Path(tempfile.mkdtemp(prefix="bench-scale-"))
    per_task: dict[int, list[float]] = {SMALL: [], BIG: []}
    memory, opening = 0.0, []
    for n in range(rounds):
        for tasks in (SMALL, BIG):
            seconds = []
            for again in range(
                10 if tasks == SMALL else 1
            ):  # a thousand tasks are over too soon to measure once
                root = base / f"{tasks}-{n}-{again}"
                root.mkdir()
                _child("create", root, tasks)
                if tasks == BIG:
                    opening.append(_child("open", root, tasks).seconds)
                ran = _child("run", root, tasks)
                seconds.append(ran.seconds / tasks)
                memory = max(memory, ran.rss)
                if tasks == BIG:  # half-way there is no snapshot: all of it comes from the journal
                    opening.append(_child("open", root, tasks).seconds)
            per_task[tasks].append(statistics.median(seconds))
    small, big = statistics.median(per_task[SMALL]), statistics.median(per_task[BIG])
    return [
        Figure(
            "engine on the simulated source: time per task at 100,000 against 1,000 tasks", big / small, "×", "<= 1.3",
            f"{big * 1e6:.0f} µs against {small * 1e6:.0f} µs",
        ),
        Figure("memory of the engine at 100,000 tasks", memory, "MB", "<= 300", "peak resident size, whole run"),
        Figure(
            "opening a 100,000-task sweep, to the first decision", max(opening), "s", "<= 3",
            f"slowest of {len(opening)}, imports not included",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    from .measure import table

    print(table(run()))
