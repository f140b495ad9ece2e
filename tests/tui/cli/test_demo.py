"""The end of a demo: nothing of it is left, whoever ends it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from spawn_tui.engine.run import wait_for
from spawn_tui.engine.sweep import SweepStatus, TaskState
from spawn_tui.engine.viewer import Viewer
from spawn_tui.state.index import SweepIndex
from spawn_tui.tui.cli import demo

from .run import PROGRAM, spawn_tui

LIMIT = 60.0


def test_an_engine_is_stopped_whose_aws_is_gone_and_what_no_engine_looks_after_is_ended(
    tmp_path: Path, spawn_home: Path
):
    (tmp_path / "sleep.yaml").write_text("grid: {seconds: [60, 61]}\ncommand: sleep {seconds}\n")
    launched = spawn_tui("launch", "sleep.yaml", "--sources", "local:1", "--detach", cwd=tmp_path)
    assert launched.status == 0, launched.err
    root = Path(SweepIndex().entries()[0].directory)
    assert wait_for(lambda: Viewer(root).sweep.counts[TaskState.RUNNING] == 1, LIMIT)
    try:
        demo._stop_engine(root)
        assert Viewer(root).status() is SweepStatus.INTERRUPTED
    finally:
        demo._end(root)
    assert Viewer(root).status() is SweepStatus.CANCELLED


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files: machines of the demo that root starts are somebody else's, who must reach it."""
    path = Path(tempfile.mkdtemp(prefix="spawn-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def of_demo(folder: Path) -> list[psutil.Process]:
    """Processes that know of this folder."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            known = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in known):
            found.append(process)
    return found


@pytest.mark.parts
def test_one_ctrl_c_ends_a_demo_on_ec2_and_all_of_it(tmp_path: Path, spawn_home: Path, folder: Path):
    environ = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(
        [*PROGRAM, "demo", "--ec2", "--no-ui"], cwd=tmp_path, env=environ, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert wait_for(lambda: process.poll() is not None or runs(), LIMIT)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LIMIT)
    finally:
        for left in of_demo(folder):
            if process.poll() is None:
                left.kill()
    assert process.returncode == 130, said
    assert "has not ended in order" not in said
    assert Viewer(Path(SweepIndex().entries()[0].directory)).status() is SweepStatus.CANCELLED, said
    assert of_demo(folder) == [] and list(folder.iterdir()) == []


def runs() -> bool:
    """Whether an instance runs."""
    entries = SweepIndex().entries()
    return bool(entries) and Viewer(Path(entries[0].directory)).sweep.counts[TaskState.RUNNING] > 0
