"""What sweeps on other machines cost: counted calls, and tasks per second against what people would use instead.

The parts are real and on this machine (tests/parts), so that the network costs nothing and everything else shows.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ..parts.slurm import Slurm, no_slurm
from ..parts.sshd import Sshd, no_sshd
from .measure import Figure, timed

TASKS = 1000
SLOTS = 8
PEER_TASKS = 60
"""GNU parallel makes a connection per task: fewer of them say as much."""


def _ours(
    source: str, base: Path, environment: dict[str, str], *options: str
) -> dict[str, float | dict[str, int]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.remote_run", str(TASKS), source, str(base), "verify=no", *options],
        env={**os.environ, **environment, "SPAWN_HOME": str(base / "home")}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    answer = json.loads(done.stdout)
    assert answer["status"] == "completed", answer
    return answer


def _ssh(base: Path) -> list[Figure]:
    with Sshd(alias="server1", options={"MaxSessions": "100"}) as server:
        cost = _ours(f"ssh:server1:{SLOTS}", base, server.home.environment(), "project_dir=/tmp")
        ours = TASKS / float(cost["seconds"])  # type: ignore[arg-type]
        figures = [
            Figure("SSH connections for 1,000 tasks", cost["connections"], "", "<= 1"),  # type: ignore[arg-type]
            Figure(
                f"SSH round trips for 1,000 × `true` on {SLOTS} slots", cost["round_trips"], "",  # type: ignore[arg-type]
                detail="launches, looks and collection; a round trip serves as many tasks as are due",
            ),
            Figure("bytes sent a task over SSH", cost["sent"] / TASKS, "B"),  # type: ignore[operator]
            Figure("bytes received a task over SSH", cost["received"] / TASKS, "B"),  # type: ignore[operator]
        ]  # fmt: skip
        if shutil.which("parallel"):
            words = [
                "parallel", "--ssh", f"ssh -F {server.home.config}", "--sshlogin", f"{SLOTS}/server1", "true", ":::",
                *map(str, range(PEER_TASKS)),
            ]  # fmt: skip
            env = {**os.environ, **server.home.environment()}
            seconds = timed(
                lambda: subprocess.run(words, env=env, check=True, capture_output=True, timeout=300)
            )
            theirs = PEER_TASKS / seconds
            figures.append(
                Figure(
                    "tasks/s over SSH, start-up and collection included, against GNU parallel `--sshlogin`",
                    ours / theirs, "× its tasks/s", ">= 2", f"{ours:.0f} against {theirs:.0f} tasks/s",
                )
            )  # fmt: skip
    return figures


def _slurm(base: Path) -> list[Figure]:
    with Slurm(nodes=1, cpus=64) as slurm:
        environment = slurm.environment()
        cost = _ours("slurm:32", base, environment)
        calls: dict[str, int] = cost["calls"]  # type: ignore[assignment]
        script = base / "job.sh"
        script.write_text("#!/bin/sh\n#SBATCH -o /dev/null\ntrue\n")
        env = {**os.environ, **environment}
        loop = timed(
            lambda: subprocess.run(
                f"for i in $(seq {TASKS}); do sbatch --hold -Q {script}; done", shell=True, env=env, check=True,
                stdout=subprocess.DEVNULL, timeout=300,
            )
        )  # fmt: skip
        subprocess.run(["scancel", "-u", "root", "--state=PENDING"], env=env, check=True, timeout=60)
        submit = float(cost["submit"])  # type: ignore[arg-type]
    status = calls.get("squeue", 0) + calls.get("sacct", 0) + calls.get("scontrol", 0)
    return [
        Figure("`sbatch` calls for 1,000 tasks", calls.get("sbatch", 0), "", "<= 10"),
        Figure(
            "status calls (`squeue`, `sacct`, `scontrol`) for 1,000 tasks", status, "",
            detail=f"one a look, over {cost['seconds']:.0f} s",
        ),
        Figure("`scancel` calls for 1,000 tasks", calls.get("scancel", 0), ""),
        Figure(
            "Slurm: 1,000 tasks submitted, staging included, against a loop of `sbatch`", loop / submit, "× faster",
            ">= 20", f"{submit:.2f} s against {loop:.1f} s",
        ),
    ]  # fmt: skip


def run() -> list[Figure]:
    base = Path(tempfile.mkdtemp(prefix="bench-remote-"))
    figures: list[Figure] = []
    for why_not, measure, name in ((no_sshd(), _ssh, "ssh"), (no_slurm(), _slurm, "slurm")):
        if why_not:
            print(f"{name}: not measured, {why_not}", file=sys.stderr)
            continue
        (base / name).mkdir()
        figures += measure(base / name)
    shutil.rmtree(base, ignore_errors=True)
    return figures


if __name__ == "__main__":
    from .measure import table

    print(table(run()))
