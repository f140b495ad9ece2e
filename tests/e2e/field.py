"""A project and the command line in it, as a user at a terminal has them: one process a command, nothing imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spawn_tui.engine.snapshot import SnapshotError
from spawn_tui.engine.sweep import Sweep
from spawn_tui.engine.viewer import Viewer
from spawn_tui.tui.launch_failures import LaunchFailure, LaunchFailures

from tests.parts.client import ClientHome

PROGRAM = [sys.executable, "-c", "from spawn_tui.tui.cli.main import main; main()"]
LIMIT = 60.0
"""Seconds a command may take before it counts as hanging."""


@dataclass(frozen=True)
class Done:
    """What a command said, and how it ended."""

    words: tuple[str, ...]
    status: int
    out: str
    err: str
    seconds: float

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def __str__(self) -> str:
        return f"$ {' '.join(self.words)}\n{self.out}{self.err}(status {self.status}, {self.seconds:.1f} s)"


class Field:
    """A project below a home directory of its own. `environment`: what the command line sees, on top of that home."""

    def __init__(
        self, base: Path, environment: Mapping[str, str] | None = None, *, home: ClientHome | None = None
    ) -> None:
        self.base = base
        self.home = home or ClientHome(base / "client")
        self.project = self.home.path / f"project-{base.name}"
        self.project.mkdir()
        self.environment = {
            **self.home.environment(), **(environment or {}),
            "HOME": str(self.home.path), "SPAWN_HOME": str(base / "spawn"),
        }  # fmt: skip

    def write(self, name: str, text: str) -> Path:
        path = self.project / name
        path.write_text(text)
        return path

    def configure(self, **sections: object) -> None:
        """Write `spawn.yaml` (JSON is YAML)."""
        self.write("spawn.yaml", json.dumps(sections, indent=1))

    def copy_to(self, home: Path, uid: int, gid: int) -> None:
        """Put the project into the home directory of an account, as `sync` would."""
        there = home / self.project.name
        shutil.copytree(self.project, there, ignore=shutil.ignore_patterns("sweeps"), dirs_exist_ok=True)
        for path in (there, *there.rglob("*")):
            os.chown(path, uid, gid, follow_symlinks=False)

    # --- commands ------------------------------------------------------------------------------------------------

    def run(self, *words: str, limit: float = LIMIT, environment: Mapping[str, str] | None = None) -> Done:
        """Run `spawn-tui` with these words, without a terminal. Fails if it takes longer than `limit` seconds."""
        begun = time.monotonic()
        try:
            done = subprocess.run(
                [*PROGRAM, *words], cwd=self.project, env={**self.environment, **(environment or {})},
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            said = (late.stderr or b"").decode(errors="replace")
            raise AssertionError(
                f"{' '.join(words)} hangs for {limit:g} s; it said last:\n{said[-3000:]}"
            ) from None
        return Done(words, done.returncode, done.stdout, done.stderr, time.monotonic() - begun)

    def start(self, *words: str, log: Path) -> subprocess.Popen[bytes]:
        """Start it in a session of its own; what it says goes to `log`."""
        with log.open("wb") as out:
            return subprocess.Popen(
                [*PROGRAM, *words], cwd=self.project, env=self.environment, stdout=out, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def launch(self, sources: str, *words: str, **settings: Any) -> Done:
        """`launch sweep.yaml --no-ui` on these sources."""
        return self.run("launch", "sweep.yaml", "--sources", sources, "--no-ui", "-y", *words, **settings)

    def status(self) -> dict[str, Any]:
        done = self.run("status", "latest", "--json")
        assert done.status == 0, done
        (one,) = done.objects
        return one

    def forget(self) -> None:
        """Remove the sweeps that were made here."""
        shutil.rmtree(self.project / "sweeps")

    # --- what is on the disk ---------------------------------------------------------------------------------------

    @property
    def roots(self) -> Sequence[Path]:
        """The sweeps' directories, oldest first."""
        outputs = self.project / "sweeps" / "outputs"
        return sorted(outputs.iterdir(), key=lambda path: path.stat().st_mtime) if outputs.exists() else []

    @property
    def root(self) -> Path:
        (root,) = self.roots
        return root

    def sweep(self) -> Sweep:
        return Viewer(self.root).sweep

    def launch_failures(self) -> list[LaunchFailure]:
        """What the failed-launches pane shows."""
        return LaunchFailures(self.sweep()).latest(100)


def path_without(folder: Path, *names: str) -> str:
    """A PATH on which everything of this system's is found but the programs of these names."""
    folder.mkdir()
    folder.chmod(0o755)
    for place in ("/usr/local/bin", "/usr/bin", "/bin"):
        if not Path(place).is_dir():
            continue
        for program in Path(place).iterdir():
            link = folder / program.name
            if program.name not in names and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


def wait_until(condition: Callable[[], object], what: str, *, limit: float = LIMIT) -> None:
    """Wait for what shows in a sweep's files, which may be half made."""
    deadline = time.monotonic() + limit
    while True:
        try:
            if condition():
                return
        except (OSError, SnapshotError, ValueError):
            pass
        assert time.monotonic() < deadline, f"waited {limit:g} s for {what}"
        time.sleep(0.05)
