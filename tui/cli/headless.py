"""Running or following a sweep without the UI: a progress bar on a terminal, plain lines without, JSON for scripts."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...engine import event_lines
from ...engine import events as ev
from ...engine.engine import Engine
from ...engine.run import run_engine
from ...engine.summary import eta, summary
from ...engine.sweep import FINAL, Sweep, SweepStatus, TaskState
from ...engine.trouble import DiskTrouble
from ...engine.viewer import Viewer
from ...state.lock import LockDamaged, LockHeld, LockLost
from ..sources import source_row, troubles
from .narration import Narrator, clock
from .output import COMPLETED, NOTHING_LAUNCHED, SIGINT_STATUS, SOME_FAILED, UserError, data_json, say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINGER = 2.0
"""Seconds after the first Ctrl-C in which a second one cancels."""
FOLLOW_EVERY = 0.2


class Printer(Protocol):
    def show(self, sweep: Sweep, records: Sequence[ev.Record]) -> None: ...
    def close(self) -> None: ...


class JsonPrinter:
    """The journal's own events, one object per line, on stdout."""

    def show(self, sweep: Sweep, records: Sequence[ev.Record]) -> None:
        for record in records:
            data_json(event_lines.to_dict(record))

    def close(self) -> None:
        """Nothing is held."""


class PlainPrinter:
    """A line for what a person wants to know, on stderr; at most one progress line every `every` seconds."""

    def __init__(self, every: float = 5.0) -> None:
        self._every = every
        self._due = 0.0
        self._narrator = Narrator()

    def show(self, sweep: Sweep, records: Sequence[ev.Record]) -> None:
        for line in self._narrator.tell(sweep, records):
            say(line)
        now = time.monotonic()
        if now >= self._due and sweep.ended is None:
            if self._due:
                say(f"{clock(sweep.updated_at)} {progress_text(sweep)}")
            self._due = now + self._every

    def close(self) -> None:
        """Nothing is held."""


class BarPrinter:
    """A progress bar on the terminal; failures and what else matters scroll by above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress: Progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            refresh_per_second=5,
        )
        self._task: TaskID | None = None
        self._narrator = Narrator(brief=True)

    def show(self, sweep: Sweep, records: Sequence[ev.Record]) -> None:
        if self._task is None:
            self._task = self._progress.add_task(sweep.name, total=sweep.total, text="")
            self._progress.start()
        for line in self._narrator.tell(sweep, records):
            self._print(line)
        self._progress.update(self._task, completed=sweep.done, text=state_text(sweep))

    def _print(self, line: str) -> None:
        from rich.text import Text

        self._progress.console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        if self._task is not None:
            self._progress.stop()


def make_printer(*, json_lines: bool) -> Printer:
    if json_lines:
        return JsonPrinter()
    return BarPrinter() if sys.stderr.isatty() else PlainPrinter()


def state_text(sweep: Sweep) -> str:
    """The counts that are not zero, in words."""
    queued = sum(len(source.waiting) for source in sweep.sources.values())
    running = sweep.active - queued
    parts = [f"{running} running"] if running else []
    if queued:
        parts.append(f"{queued} queued")
    for state in (TaskState.FAILED, TaskState.CANCELLED):
        if sweep.counts[state]:
            parts.append(f"{sweep.counts[state]} {state}")
    if sweep.unknown_count:
        parts.append(f"{sweep.unknown_count} unknown")
    troubled = troubles(source_row(source) for source in sweep.sources.values())
    if troubled:
        counts = ", ".join(f"{len(rows)} {word}" for word, rows in troubled.items())
        parts.append(f"sources: {counts}")
    return ", ".join(parts)


def progress_text(sweep: Sweep) -> str:
    from ...engine.plan.durations import format_duration

    left = eta(sweep, sweep.updated_at)
    text = f"{sweep.done}/{sweep.total} done"
    state = state_text(sweep)
    return (
        text
        + (f", {state}" if state else "")
        + (f", about {format_duration(round(left))} left" if left else "")
    )


# --- running -----------------------------------------------------------------------------------------------------


class _Interrupts:
    """What Ctrl-C and the other signals do to an engine that runs in this terminal."""

    def __init__(self) -> None:
        self.status: int | None = None
        self._interrupts = 0

    def __call__(self, engine: Engine, number: int) -> None:
        sweep = engine.sweep
        if number != signal.SIGINT:
            self.status = 128 + number
            engine.stop(f"{signal.Signals(number).name}; what runs goes on")
            say(f"spawn-tui: {signal.Signals(number).name}: {_left_running(sweep)}")
            return
        self.status = SIGINT_STATUS
        self._interrupts += 1
        if self._interrupts == 1 and sweep.active:
            engine.drain("Ctrl-C; what runs goes on", LINGER)
            say(
                f"\nspawn-tui: nothing more is launched; Ctrl-C again within {LINGER:g} s cancels {_running(sweep)}"
            )
        elif self._interrupts == 1:
            engine.stop("Ctrl-C")
        else:
            force = self._interrupts > 2
            say(f"\nspawn-tui: {'killing' if force else 'cancelling'} {_running(sweep)} …")
            try:
                engine.request("cancel", force=force, by="Ctrl-C")
            except ValueError as error:
                say(f"spawn-tui: {error}")


def _running(sweep: Sweep) -> str:
    return f"{sweep.active} running {'task' if sweep.active == 1 else 'tasks'}"


def _left_running(sweep: Sweep) -> str:
    left = f"{_running(sweep)} left as they are" if sweep.active else "nothing runs"
    return f"{left}; go on with: spawn-tui resume {sweep.id}"


def run_here(root: Path, *, json_lines: bool = False, take_over: bool = False) -> int:
    """Run the sweep's engine in this process and show it; returns the exit status."""
    printer = make_printer(json_lines=json_lines)
    interrupts = _Interrupts()
    listeners: list[ev.Record] = []
    engine_of: list[Engine] = []

    def started(engine: Engine) -> None:
        engine_of.append(engine)
        printer.show(engine.sweep, listeners)
        listeners.clear()

    def listen(records: Sequence[ev.Record]) -> None:
        if engine_of:
            printer.show(engine_of[-1].sweep, records)
        else:
            listeners.extend(records)

    try:
        sweep = run_engine(
            root, take_over=take_over, listeners=[listen], on_signal=interrupts, on_start=started
        )
    except (LockDamaged, LockHeld) as error:
        raise UserError(str(error)) from None
    except (LockLost, DiskTrouble) as error:
        raise UserError(str(error), status=SOME_FAILED) from None
    finally:
        printer.close()
    return conclude(sweep, root, json_lines=json_lines, status=interrupts.status)


def follow(root: Path, *, json_lines: bool = False) -> int:
    """Show a sweep whose engine runs elsewhere until it ends or its engine is gone; returns the exit status."""
    viewer = Viewer(root)
    printer = make_printer(json_lines=json_lines)
    printer.show(viewer.sweep, ())
    try:
        while viewer.status() not in FINAL and viewer.holder() is not None:
            time.sleep(FOLLOW_EVERY)
            news = viewer.refresh()
            printer.show(viewer.sweep, news.records)
        printer.show(viewer.sweep, viewer.refresh().records)
    except KeyboardInterrupt:
        say(f"\nspawn-tui: the sweep goes on; look again with: spawn-tui status {viewer.sweep.id}")
        return SIGINT_STATUS
    finally:
        printer.close()
    return conclude(viewer.sweep, root, json_lines=json_lines, status=None)


def conclude(sweep: Sweep, root: Path, *, json_lines: bool, status: int | None) -> int:
    """The last words and the exit status (`status`: what a signal wants it to be)."""
    shown = sweep.status if sweep.ended or sweep.paused else SweepStatus.INTERRUPTED
    if json_lines:
        data_json({"type": "summary", **summary(sweep, shown, root)})
    else:
        say(closing_line(sweep, shown))
        failed = sweep.counts[TaskState.FAILED]
        if shown is SweepStatus.INTERRUPTED:
            say(f"  {_left_running(sweep)}")
        elif failed:
            say(f"  what failed and why: spawn-tui errors {sweep.id}")
            say(f"  run only that again: spawn-tui resume {sweep.id} --retry-failed")
        elif shown is SweepStatus.PAUSED:
            say(f"  go on with: spawn-tui resume {sweep.id}")
        say(f"  results: {root}")
    return exit_status(sweep) if status is None or sweep.ended is SweepStatus.COMPLETED else status


def closing_line(sweep: Sweep, status: SweepStatus) -> str:
    from ...engine.plan.durations import format_duration

    took = (sweep.ended_at or sweep.updated_at) - sweep.created_at
    counts = ", ".join(f"{n} {state}" for state, n in sweep.counts.items() if n)
    # Over several engines the clock also counted the time in which nobody worked.
    after = f" after {format_duration(round(took, 1))}" if sweep.epoch <= 1 else ""
    line = f"{sweep.id}: {status}{after} ({counts})"
    return f"{line}: {sweep.reason}" if sweep.reason else line


def exit_status(sweep: Sweep) -> int:
    """0 all completed, 1 some failed or were cancelled (or it is not over), 3 nothing could be launched."""
    if sweep.ended is SweepStatus.COMPLETED:
        return COMPLETED
    never = all(a.kind == "launch_failed" for task in sweep.tasks for a in task.attempts)
    if sweep.ended is SweepStatus.FAILED and never:
        return NOTHING_LAUNCHED
    return SOME_FAILED
