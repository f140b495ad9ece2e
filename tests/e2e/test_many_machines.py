"""One sweep over this machine, two hosts behind SSH and a real Slurm, while everything that can break does.

One host's network is cut and restored, the other's sshd is killed for good, a Slurm node goes down and comes back, and
the engine is killed five times. Nothing may be lost, run twice by the same attempt, or left behind.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from spawn_tui.engine.sweep import Sweep, TaskState
from spawn_tui.engine.viewer import Viewer
from spawn_tui.state.process import search

from tests.parts.client import ClientHome
from tests.parts.need import need
from tests.parts.netns import NetHosts, available
from tests.parts.slurm import Slurm, no_slurm

TASKS = 200
LIMIT = 240.0
"""Seconds the whole sweep may take; it needs about a minute."""
PROGRAM = [sys.executable, "-c", "from spawn_tui.tui.cli.main import main; main()"]
TASK = """#!/bin/sh
# Some work, some output of every size, and a trace that shows who ran it how often.
set -eu
i=$1
mkdir "$SWEEP_TASK_DIR/ran" # a second run of the same attempt would stumble here
sleep "0.$((i % 7 + 1))"
seq "$i" $((i * 40)) >"$SWEEP_TASK_DIR/results/numbers $i.txt"
echo "task $i on $SWEEP_SOURCE"
"""


@dataclass
class Field:
    """The project, its sweep, and the engine that runs it now."""

    base: Path
    project: Path
    environment: dict[str, str]
    engine: subprocess.Popen[bytes] | None = None
    kills: int = 0
    log: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        (root,) = (self.project / "sweeps" / "outputs").iterdir()
        return root

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*PROGRAM, *words], cwd=self.project, env=self.environment, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *words: str) -> None:
        out = (self.base / f"engine.{self.kills}.log").open("wb")
        self.engine = subprocess.Popen(
            [*PROGRAM, *words], cwd=self.project, env=self.environment, stdout=out, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        out.close()

    def kill(self) -> None:
        assert self.engine is not None
        self.engine.kill()
        self.engine.wait()
        self.kills += 1

    def sweep(self) -> Sweep:
        return Viewer(self.root).sweep

    def said(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.base.glob("engine.*.log"))
        )


def wait_until(condition: Callable[[], object], what: str, field: Field, limit: float = LIMIT) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit:g} s for {what}\n{field.said()}"
        time.sleep(0.1)


@pytest.mark.parts
@pytest.mark.timeout(400)
def test_nothing_is_lost_over_many_machines(tmp_path: Path) -> None:
    need(available())
    need(no_slurm())
    home = ClientHome(tmp_path / "client")
    project = home.path / "project"
    project.mkdir()
    (project / "task.sh").write_text(TASK)
    (project / "sweep.yaml").write_text(
        f"grid:\n  i: [{', '.join(str(i) for i in range(1, TASKS + 1))}]\ncommand: sh task.sh {{i}}\n"
    )
    (project / "spawn.yaml").write_text("health:\n  grace: 8s\n  cooldown: 5s\n")
    with NetHosts(2, home=home) as hosts, Slurm(nodes=2) as slurm:
        environment = {**slurm.environment(), "HOME": str(home.path), "SPAWN_HOME": str(tmp_path / "home")}
        field = Field(tmp_path, project, environment)
        field.command("sync", "--target", "ssh:h1", "--target", "ssh:h2")
        try:
            _chaos(field, hosts, slurm)
        finally:
            if field.engine is not None and field.engine.poll() is None:
                field.engine.kill()
                field.engine.wait()
        hosts.heal(1)
        _check(field, hosts, slurm)


def _chaos(field: Field, hosts: NetHosts, slurm: Slurm) -> None:
    dice = random.Random(7)
    field.start("launch", "sweep.yaml", "--sources", "local:2,ssh:h1:4,ssh:h2:4,slurm:6", "--no-ui", "-y")
    # The journal comes before the database that a viewer opens.
    wait_until(lambda: any(field.project.glob("sweeps/outputs/*/sweep.json")), "the sweep", field)

    def completed() -> int:
        assert field.engine is not None
        if field.engine.poll() is not None and field.sweep().ended is None:
            raise AssertionError(f"the engine ended with {field.engine.returncode}\n{field.said()}")
        return field.sweep().counts[TaskState.COMPLETED]

    def passed(count: int) -> None:
        wait_until(lambda: completed() >= count or field.sweep().ended, f"{count} tasks to complete", field)

    acts: list[tuple[int, Callable[[], object]]] = [
        (15, lambda: hosts.cut(1)),
        (30, lambda: slurm.node_down(1)),
        (45, lambda: hosts.kill_sshd(2)),
        (70, lambda: hosts.heal(1)),
        (90, lambda: slurm.node_up(1)),
    ]
    kills = sorted(dice.sample(range(10, 120), 5))
    for count, act in sorted([*acts, *((at, _restart(field)) for at in kills)], key=lambda pair: pair[0]):
        passed(count)
        if field.sweep().ended is None:
            act()
    assert field.engine is not None
    wait_until(lambda: field.engine.poll() is not None, "the sweep to end", field)  # type: ignore[union-attr]
    assert field.kills == 5, "the sweep ended before the engine was killed five times"
    assert field.engine.returncode == 0, field.said()


def _restart(field: Field) -> Callable[[], None]:
    def act() -> None:
        field.kill()
        field.start("resume", "latest", "--no-ui", "-y")

    return act


def _check(field: Field, hosts: NetHosts, slurm: Slurm) -> None:
    sweep = field.sweep()
    assert sweep.status == "completed", sweep.reason
    used: Counter[str] = Counter()
    for task in sweep.tasks:
        done = [attempt for attempt in task.attempts if attempt.state is TaskState.COMPLETED]
        assert len(done) == 1, f"task {task.index + 1}: {task.attempts}"
        used[done[0].source] += 1
        number = task.index + 1
        link = field.root / "tasks" / f"task_{number:03d}"
        text = "".join(f"{n}\n" for n in range(number, number * 40 + 1))
        assert (link / "results" / f"numbers {number}.txt").read_text() == text
        assert (link / "stdout.log").read_text() == f"task {number} on {done[0].source}\n"
        assert link.resolve().name == f"task_{number:03d}.{done[0].number}"
    assert set(used) == {"local", "h1", "h2", "slurm"}, used
    tokens = [f"{sweep.id}.task_{t.index + 1:03d}.{a.number}" for t in sweep.tasks for a in t.attempts]
    deadline = time.monotonic() + 30
    while (left := search("SWEEP_TOKEN", tokens).tagged) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, f"processes are left behind: {left}"
    queue = subprocess.run(
        ["squeue", "-h"],
        env={**os.environ, **slurm.environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert queue.stdout == ""
