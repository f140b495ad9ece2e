"""Tasks per second on two slots, start-up included, against what people would use instead.

Each run gets a directory of its own and none is deleted before the last measurement: deleting thousands of files
spoils the next one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from .measure import Figure, timed

TASKS = 2000
ROUNDS = 5


def _quiet(command: list[str] | str, cwd: Path, env: dict[str, str] | None = None) -> None:
    subprocess.run(
        command, shell=isinstance(command, str), cwd=cwd, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=env,
    )  # fmt: skip


# A server and one worker of two cores are up before the clock starts, and it stops at the last output, not at the
# client's next look (once a second): both favour HyperQueue.
_HYPERQUEUE = f"""
import pathlib, time
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=2))
    client = cluster.client()
    begun = time.time()
    job = Job()
    for _ in range({TASKS}):
        job.program(["true"])
    client.wait_for_jobs([client.submit(job)])
    last = max(path.stat().st_mtime for path in pathlib.Path().rglob("*.stdout"))
    print("\\nseconds", last - begun, flush=True)
"""


def _hyperqueue(cwd: Path) -> float:
    """Seconds HyperQueue takes for the tasks, its output files included."""
    done = subprocess.run(
        [sys.executable, "-c", _HYPERQUEUE], cwd=cwd, capture_output=True, text=True, check=True, timeout=120
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("seconds ")]
    return float(line.split()[1])


def run(rounds: int = ROUNDS) -> list[Figure]:
    base = Path(tempfile.mkdtemp(prefix="bench-throughput-"))
    serial = iter(range(1_000_000))

    def fresh() -> Path:
        folder = base / str(next(serial))
        folder.mkdir()
        return folder

    plan = base / "sweep.yaml"
    plan.write_text(f"grid:\n  i: [{', '.join(map(str, range(TASKS)))}]\ncommand: 'true'\n")
    program = [sys.executable, "-c", "from spawn_tui.tui.cli.main import main; main()"]
    numbers = base / "numbers"
    numbers.write_text("".join(f"{n}\n" for n in range(TASKS)))
    env = {**os.environ, "SPAWN_HOME": str(base / "home")}

    runs = {
        "ours": lambda: _quiet(
            [*program, "launch", str(plan), "--no-ui", "--sources", "local:2"], fresh(), env
        ),
        "xargs": lambda: _quiet(f"xargs -P2 -I{{}} sh -c true < {numbers}", fresh()),
    }
    if shutil.which("parallel"):
        runs["parallel"] = lambda: _quiet(
            f"parallel -j2 --joblog log --results out true ::: $(cat {numbers})", fresh()
        )
    hyperqueue = importlib.util.find_spec("hyperqueue") is not None
    measured: dict[str, list[float]] = {name: [] for name in (*runs, *(["hq"] if hyperqueue else []))}
    for _ in range(rounds):
        for name, go in runs.items():
            measured[name].append(timed(go))
        if hyperqueue:
            measured["hq"].append(_hyperqueue(fresh()))
    seconds = {name: statistics.median(values) for name, values in measured.items()}
    shutil.rmtree(base, ignore_errors=True)

    ours = seconds["ours"]
    goals = {"xargs": ">= 0.35", "parallel": ">= 2", "hq": ">= 1"}
    names = {
        "xargs": "`xargs -P2 sh -c true`",
        "parallel": "GNU parallel `--joblog --results`",
        "hq": "HyperQueue",
    }
    figures = [
        Figure(
            f"2,000 × `true` on 2 slots, start-up included, against {names[peer]}",
            seconds[peer] / ours,
            "× its tasks/s",
            goals[peer],
            f"{TASKS / ours:.0f} against {TASKS / seconds[peer]:.0f} tasks/s, median of {rounds}",
        )
        for peer in goals
        if peer in seconds
    ]
    return figures


if __name__ == "__main__":
    from .measure import table

    print(table(run()))
