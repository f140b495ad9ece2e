"""The program on a real terminal: how long until it is seen, and how long a key takes until it is answered."""

from __future__ import annotations

import os
import select
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from spawn_tui.engine import events as ev

from ..pty.terminal import Terminal, app_command
from ..tui.build import Made, plain
from .measure import Figure, table

ROWS = 10_000
EVENTS_PER_SECOND = 500

BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    BINDINGS = [("j", "next", "Next")]
    row = 1
    def compose(self):
        yield Static("hello")
    def action_next(self):
        self.row += 1
        self.query_one(Static).update(f" {self.row} ")
Bare().run()
"""


def until(terminal: Terminal, *marks: bytes) -> float:
    """Seconds from now until one of these bytes was written; reads without the emulator, which is slow."""
    begun = time.perf_counter()
    seen = b""
    while True:
        if not select.select([terminal.master], [], [], 20)[0]:
            raise TimeoutError(f"{marks} never came: {seen[-500:]!r}")
        seen += os.read(terminal.master, 1 << 16)
        if any(mark in seen for mark in marks):
            return time.perf_counter() - begun


def start(command: list[str], *marks: bytes) -> float:
    """Seconds from exec to one of these bytes."""
    begun = time.perf_counter()
    terminal = Terminal(command, columns=120, lines=36)
    try:
        until(terminal, *marks)
        return time.perf_counter() - begun
    finally:
        terminal.close()


def first_paint(made: Made, rounds: int) -> list[Figure]:
    program = str(Path(sys.executable).parent / "spawn-tui")
    runs: dict[str, Callable[[], float]] = {
        "bare": lambda: start([sys.executable, "-c", BARE], b"hello"),
        "paint": lambda: start(app_command(made.root), b"reading the journal", b"running"),
        "rows": lambda: start(app_command(made.root), b"pending"),
        "program": lambda: start([program, str(made.id)], b"reading the journal", b"running"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(run())
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    how = ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in middle.items())
    return [
        Figure(
            "UI: exec to first paint / bare Textual app", middle["paint"] / middle["bare"], "x", "<= 1.8", how
        ),
        Figure("the same, by the command line", middle["program"] / middle["bare"], "x", "<= 1.8"),
        Figure(f"UI: exec to {ROWS:,} rows / bare Textual app", middle["rows"] / middle["bare"], "x"),
    ]


@contextmanager
def events(made: Made, per_second: int) -> Iterator[None]:
    """Tasks end and begin while the program looks."""
    stop = threading.Event()

    def write() -> None:
        task = 4
        while not stop.wait(0.02):
            for _ in range(per_second // 50 // 2):
                made.commit(ev.Ended((ev.End(task - 4, 1, "completed", exit_code=0),)))
                made.start([task])
                task += 1
                if task >= ROWS:
                    return

    writer = threading.Thread(target=write)
    if per_second:
        writer.start()
    try:
        yield
    finally:
        stop.set()
        if per_second:
            writer.join()


def key_latency(made: Made | None, presses: int, per_second: int = 0) -> list[float]:
    """Milliseconds from `j` to the next row under the cursor, sorted. Without a sweep: of a bare Textual app."""
    command = app_command(made.root) if made else [sys.executable, "-c", BARE]
    terminal = Terminal(command, columns=120, lines=36)
    try:
        until(terminal, b"pending" if made else b"hello")
        took: list[float] = []
        with events(made, per_second) if made else nullcontext():
            for row in range(2, presses + 2):
                terminal.press("j")
                took.append(until(terminal, f" {row} ".encode()) * 1000)
                # Not in step with the program's own timers.
                time.sleep(0.013 + (row * 7 % 11) / 1000)
        return sorted(took[5:])
    finally:
        terminal.close()


def latency_figure(name: str, took: list[float], goal: str) -> Figure:
    middle, worst = took[len(took) // 2], took[-1]
    detail = f"p50 {middle:.1f} ms, most {worst:.1f} ms, {len(took)} keys"
    return Figure(name, took[int(len(took) * 0.95)], "ms", goal, detail)


def run(rounds: int = 11, presses: int = 200) -> list[Figure]:
    """Figures of the UI. Each sweep is made on disk; nothing runs but the program."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPAWN_HOME"] = str(Path(folder) / "home")
        made = plain(Path(folder) / "idle", ROWS, running=4)
        made.engine()
        made.index()
        busy = plain(Path(folder) / "busy", ROWS, running=4, name="busy")
        busy.engine()
        figures = first_paint(made, rounds)
        name = f"UI: key to repaint, {ROWS:,} rows, p95"
        figures.append(latency_figure(name, key_latency(made, presses), "<= 30"))
        figures.append(latency_figure("the same of a bare Textual app", key_latency(None, presses), ""))
        took = key_latency(busy, presses, EVENTS_PER_SECOND)
        figures.append(latency_figure(f"the same under {EVENTS_PER_SECOND} events a second", took, ""))
        return figures


if __name__ == "__main__":
    print(table(run()))
