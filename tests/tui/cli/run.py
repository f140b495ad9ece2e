"""Running the command line as a user does: a process of its own, without a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROGRAM = [sys.executable, "-c", "from spawn_tui.tui.cli.main import main; main()"]


@dataclass
class Done:
    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


def spawn_tui(*arguments: str, cwd: Path, stdin: str | None = None) -> Done:
    """Run to the end, at most a minute."""
    done = subprocess.run(
        [*PROGRAM, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60,
        **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}),
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *arguments], cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Wait for a condition; fails in words."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)


def sweep_root(cwd: Path) -> Path:
    """The one sweep that was launched in `cwd`."""
    (root,) = (cwd / "sweeps" / "outputs").iterdir()
    return root
