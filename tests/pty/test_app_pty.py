"""The program on a real terminal: however it ends, the terminal is as it was."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from spawn_tui.state.layout import SweepLayout
from spawn_tui.state.lock import read_holder

from ..tui.build import Made, training
from .terminal import Terminal, app_command

pytestmark = pytest.mark.pty


@pytest.fixture
def made(tmp_path: Path) -> Made:
    made = training(tmp_path / "sweep")
    made.engine()
    return made


@pytest.fixture
def terminal(made: Made) -> Iterator[Terminal]:
    terminal = Terminal(app_command(made.root))
    yield terminal
    terminal.close()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_restores_the_terminal(terminal: Terminal, made: Made, number: int, status: int):
    terminal.sees("epoch 20/20")
    assert b"\x1b[?1049h" in terminal.raw
    terminal.signal(number)
    assert terminal.wait() == status
    assert terminal.restored == []
    # What is said comes after the alternate screen was left, and names both commands.
    tail = terminal.raw[terminal.raw.rindex(b"\x1b[?1049l") :].decode()
    assert f"spawn-tui {made.id}" in tail and f"spawn-tui cancel {made.id}" in tail
    assert "Traceback" not in tail


def test_q_leaves_and_says_that_the_sweep_goes_on(terminal: Terminal, made: Made):
    terminal.sees("epoch 20/20")
    terminal.press("q")
    assert terminal.wait() == 0
    assert terminal.restored == []
    tail = terminal.raw[terminal.raw.rindex(b"\x1b[?1049l") :].decode()
    assert f"{made.id} goes on. Look again: spawn-tui {made.id}" in tail


def test_a_signal_while_it_starts(made: Made):
    terminal = Terminal(app_command(made.root))
    try:
        terminal.until(lambda: terminal.raw, "first byte")
        terminal.signal(signal.SIGTERM)
        assert terminal.wait() == 143
        assert terminal.restored == []
    finally:
        terminal.close()


def test_a_closed_terminal_ends_it(terminal: Terminal):
    terminal.sees("epoch 20/20")
    terminal.hang_up()
    assert terminal.wait() == 129


def test_resize_to_almost_nothing_and_back(terminal: Terminal):
    terminal.sees("epoch 20/20")
    terminal.resize(20, 5)
    terminal.sees("15/24")
    terminal.until(lambda: "Sources" not in terminal.text(), "small")
    terminal.press("jj")
    terminal.resize(100, 30)
    terminal.sees("Sources")
    terminal.sees("FloatingPointError")
    terminal.press("q")
    assert terminal.wait() == 0
    assert terminal.restored == []


def test_no_color_means_no_colour(made: Made):
    terminal = Terminal(app_command(made.root), env={"NO_COLOR": "1"})
    try:
        terminal.sees("epoch 20/20")
        for words in ("✓ completed", "✗ failed", "● running", "○ 4 pending"):
            assert words in terminal.text()
        terminal.press("Gx")
        terminal.sees("y yes")
        terminal.press("n?")
        terminal.sees("Ask of the sweep")
        terminal.press("\x1b")
        terminal.until(lambda: "Ask of the sweep" not in terminal.text(), "help closed")
        codes = {
            code
            for sent in re.findall(rb"\x1b\[([\d;:]*)m", terminal.raw)
            for code in re.split(rb"[;:]", sent)
        }
        assert codes <= {b"", b"0", b"1", b"2", b"3", b"4", b"7", b"22", b"23", b"24", b"27"}, codes
        assert b"7" in codes  # the cursor's line is told by reverse
        terminal.press("q")
        assert terminal.wait() == 0
    finally:
        terminal.close()


def test_a_real_sweep_from_launch_to_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The program, the engine and the tasks are all real: what the screen says, the engine did."""
    (tmp_path / "nap.yaml").write_text("grid: {n: [1, 2, 3]}\ncommand: sleep 60\nsources: ['local:2']\n")
    monkeypatch.chdir(tmp_path)
    program = str(Path(sys.executable).parent / "spawn-tui")
    terminal = Terminal([program, "launch", "nap.yaml"], columns=120, lines=36)
    try:
        terminal.sees("● 2 running")
        terminal.press("xy")
        terminal.sees("⊘ 1 cancelled")
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.restored == []
        assert "goes on. Look again: spawn-tui nap-" in terminal.raw.decode(errors="replace")
    finally:
        terminal.close()
    again = Terminal([program, "latest"], columns=120, lines=36)
    try:
        again.sees("● 2 running")
        again.press("C")
        again.sees("Cancel the whole sweep: 2 running tasks")
        again.press("y")
        again.sees("⊘ 3 cancelled")
        again.sees("ended")
        again.press("*r")
        again.sees("Run 3 cancelled tasks again?")
        again.press("y")
        again.sees("● 2 running")
        again.press("C")
        again.sees("Cancel the whole sweep")
        again.press("y")
        again.sees("⊘ 3 cancelled")
        again.press("q")
        assert again.wait() == 0
    finally:
        again.close()


def test_a_killed_engine_leaves_no_task_running_on_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "nap.yaml").write_text("grid: {n: [1, 2, 3]}\ncommand: sleep 60\nsources: ['local:2']\n")
    monkeypatch.chdir(tmp_path)
    program = str(Path(sys.executable).parent / "spawn-tui")
    terminal = Terminal([program, "launch", "nap.yaml"], columns=120, lines=36)
    try:
        terminal.sees("● 2 running")
        root = next((tmp_path / "sweeps" / "outputs").glob("nap-*"))
        engine = read_holder(SweepLayout(root).lock)
        assert engine is not None
        os.kill(engine.process.pid, signal.SIGKILL)
        terminal.sees("? 2 unknown (were running)")
        terminal.sees("engine gone · heard from")
        terminal.sees("? unknown")  # the table is painted after the header
        assert "● running" not in terminal.text() and "eta" not in terminal.text()
        terminal.press("P")
        terminal.sees("● 2 running")
        terminal.press("Cy")
        terminal.sees("⊘ 3 cancelled")
        terminal.press("q")
        assert terminal.wait() == 0
    finally:
        terminal.close()


def test_keys_reach_the_sweep(terminal: Terminal, made: Made):
    terminal.sees("epoch 20/20")
    terminal.press("p")
    terminal.sees("Asked the engine to pause the sweep.")
    assert len(list(made.store.layout.requests.glob("*.json"))) == 1
    terminal.press("?")
    terminal.sees("Ask of the sweep")
    terminal.press("\x1b")
    terminal.until(lambda: "Ask of the sweep" not in terminal.text(), "help closed")
    terminal.press("q")
    assert terminal.wait() == 0
