"""Signals to a real `spawn-tui launch --no-ui`: what it says, how it exits, what it leaves, how `resume` goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from spawn_tui.engine.sweep import TaskState

from .field import Field, check_completed, check_sound, wait_until


@dataclass
class Terminal:
    """A project and the commands typed in it."""

    project: Path
    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def type(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", "from spawn_tui.tui.cli.main import main; main()", *words],
            cwd=self.project,
            env={**os.environ, "SPAWN_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def launch(self, script: str, tasks: int = 4) -> tuple[subprocess.Popen[str], Field]:
        """Launch a sweep without the UI, two tasks at a time, and wait until two run."""
        effects = self.project / "effects"
        plan = {
            "params": [{"n": n} for n in range(tasks)],
            "command": ["sh", "-c", f'echo "$SWEEP_TOKEN" >>{effects}; {script}'],
        }
        (self.project / "plan.json").write_text(json.dumps(plan))
        process = self.type("launch", "plan.json", "--no-ui", "--sources", "local:2", "--sweep-name", "crash")
        out = self.project / "sweeps" / "outputs"
        wait_until(lambda: out.exists() and list(out.glob("crash-*/sweep.json")), "the sweep")
        sweep = Field(next(out.glob("crash-*")), effects, {})
        wait_until(lambda: sweep.sweep().counts[TaskState.RUNNING] == 2, "two tasks that run")
        wait_until(lambda: len(sweep.tokens()) == 2, "their side effects")
        return process, sweep


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    project = tmp_path / "project"
    project.mkdir()
    terminal = Terminal(project, tmp_path / "home")
    yield terminal
    for process in terminal.started:
        process.kill()
        process.wait()
    for root in project.glob("sweeps/outputs/crash-*"):
        Field(root, project / "effects", {}).kill_processes()


GATE = "while ! [ -e gate ]; do sleep 0.02; done"


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_leaves_what_runs_and_resume_completes_it(
    terminal: Terminal, number: int, status: int
) -> None:
    process, sweep = terminal.launch(GATE)
    process.send_signal(number)
    # Its pipes close with it: no task holds them.
    _, said = process.communicate(timeout=30)
    assert process.returncode == status, said
    assert f"spawn-tui resume {sweep.root.name}" in said
    assert len(set(sweep.processes().values())) == 2
    assert len(sweep.tokens()) == 2
    (terminal.project / "gate").touch()
    again = terminal.type("resume", "latest", "--no-ui")
    _, said = again.communicate(timeout=30)
    assert again.returncode == 0, said
    check_completed(sweep)


def test_ctrl_c_twice_cancels(terminal: Terminal) -> None:
    process, sweep = terminal.launch("sleep 60")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    heard = ""
    while "Ctrl-C again" not in heard:
        heard += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, heard + said
    assert check_sound(sweep).status.value == "cancelled"


def test_cancel_from_another_terminal(terminal: Terminal) -> None:
    process, sweep = terminal.launch("setsid sleep 60 & sleep 60")
    cancel = terminal.type("cancel", "latest", "-y")
    said, _ = cancel.communicate(timeout=30)
    assert cancel.returncode == 0 and "4 tasks cancelled" in said
    assert not sweep.processes()
    process.communicate(timeout=30)
    assert process.returncode == 1
    assert check_sound(sweep).status.value == "cancelled"


def test_kill_minus_nine_then_cancel(terminal: Terminal) -> None:
    """`cancel` starts the engine that is missing, and returns when nothing runs any more."""
    process, sweep = terminal.launch("sleep 60")
    process.kill()
    process.wait()
    cancel = terminal.type("cancel", "latest", "-y")
    said, problems = cancel.communicate(timeout=60)
    assert cancel.returncode == 0, problems
    assert "nothing of them runs" in said
    wait_until(lambda: not sweep.layout.lock.exists(), "the end of that engine")
    assert check_sound(sweep).status.value == "cancelled"


def test_two_viewers_start_the_missing_engine_at_once(terminal: Terminal) -> None:
    process, sweep = terminal.launch(GATE)
    process.kill()
    process.wait()
    both = [terminal.type("resume", "latest", "--detach") for _ in range(2)]
    for resume in both:
        _, said = resume.communicate(timeout=30)
        assert resume.returncode == 0, said
    (terminal.project / "gate").touch()
    wait_until(lambda: sweep.sweep().ended, "the end of the sweep")
    wait_until(lambda: not sweep.layout.lock.exists(), "the end of its engine")
    check_completed(sweep)
