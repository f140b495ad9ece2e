"""Tasks per second on two slots, start-up included, against what people would use instead.

Each run gets a directory of its own and none is deleted before the last measurement: deleting thousands of files
spoils the next one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .measure import Figure, alternate

TASKS = 2000
ROUNDS = 5


def _quiet(command: list[str] | str, cwd: Path, env: dict[str, str] | None = None) -> None:
    subprocess.run(
        command, shell=isinstance(command, str), cwd=cwd, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=env,
    )  # fmt: skip


class _HyperQueue:
    """A HyperQueue server with one worker of two cores."""

    def __init__(self, folder: Path) -> None:
        self.program = Path(sys.executable).parent / "hq"
        self.env = {**os.environ, "HQ_SERVER_DIR": str(folder / "hq")}
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def there(self) -> bool:
        return self.program.exists()

    def __enter__(self) -> _HyperQueue:
        for words in (["server", "start"], ["worker", "start", "--cpus", "2"]):
            self.processes.append(
                subprocess.Popen(
                    [self.program, *words],
                    env=self.env,
                    cwd=self.folder,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            deadline = time.monotonic() + 20
            while (
                words[0] == "server"
                and subprocess.run(
                    [self.program, "server", "info"], env=self.env, capture_output=True, check=False
                ).returncode
            ):
                if time.monotonic() > deadline:
                    raise TimeoutError("hq server did not start")
                time.sleep(0.1)
        deadline = time.monotonic() + 20
        while (
            b"RUNNING"
            not in subprocess.run(
                [self.program, "worker", "list"], env=self.env, capture_output=True, check=False
            ).stdout
        ):
            if time.monotonic() > deadline:
                raise TimeoutError("hq worker did not start")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([self.program, "server", "stop"], env=self.env, capture_output=True, check=False)
        for process in self.processes:
            process.terminate()
            process.wait()


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
    hq = _HyperQueue(base)
    if hq.there:
        runs["hq"] = lambda: _quiet(
            [str(hq.program), "submit", "--wait", f"--array=1-{TASKS}", "--", "true"], fresh(), hq.env
        )
        with hq:
            seconds = alternate(runs, rounds)
    else:
        seconds = alternate(runs, rounds)
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
