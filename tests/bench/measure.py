"""What a measurement is, and how it is shown: always with its peer in the same run, never as a test of wall time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One line of the table. `goal` says what was asked for, e.g. `>= 0.35`."""

    name: str
    value: float
    unit: str
    goal: str = ""
    detail: str = ""

    @property
    def met(self) -> bool | None:
        if not self.goal:
            return None
        sign, _, number = self.goal.partition(" ")
        return self.value >= float(number) if sign == ">=" else self.value <= float(number)


def timed(run: Callable[[], object]) -> float:
    """Seconds one call takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def peak_memory() -> float:
    """MB this program held at most. Not `ru_maxrss`: that outlives exec, and is the parent's (getrusage(2))."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) / 1024


def alternate(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, measured in turn, so that a slow moment of the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run))
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| measured | result | goal | met | how |", "| --- | --- | --- | --- | --- |"]
    for figure in figures:
        met = {True: "yes", False: "**no**", None: ""}[figure.met]
        goal = figure.goal.replace(">=", "≥").replace("<=", "≤")
        lines.append(
            f"| {figure.name} | {figure.value:.3g} {figure.unit} | {goal} | {met} | {figure.detail} |"
        )
    return "\n".join(lines)
