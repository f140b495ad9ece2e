"""The logs of a sweep that people read, as HPC Sweep Manager's guide lists them, made from the journal's records.

`sweep.log` tells what happened, `task_assignments.log` who got which attempt, `source_utilization.log` how busy the
sources are, `health_status.log` how they feel, `sources/<name>.log` all of it about one source. The guide's
`sweep_aggregated.log` is not written: `sweep.log` is that. Lines are collected, and go to each file in one write per
commit.
"""

from __future__ import annotations

import os
import re
from zlib import crc32

from ..state.disk import DIR_MODE, FILE_MODE
from ..state.layout import SweepLayout
from . import events as ev
from .ids import task_name
from .sweep import Sweep
from .words import describe, end_text, iso

ASSIGNMENTS, UTILIZATION, HEALTH = "task_assignments.log", "source_utilization.log", "health_status.log"
SOURCES = "sources"
REPORT_EVERY = 60.0
"""Seconds between two lines about the load of a source."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]|^\.")


class SweepLogs:
    """`take` each record once it is applied, then `write`. May raise `OSError`."""

    def __init__(self, layout: SweepLayout) -> None:
        self._folder, self._sweep_log = str(layout.logs), layout.sweep_log.name
        self._fds: dict[str, int] = {}
        self._lines: dict[str, list[str]] = {}
        self._report_due = 0.0

    def take(self, sweep: Sweep, record: ev.Record) -> None:
        """Note what the record says."""
        event, at = record.event, iso(record.at)
        match event:
            case ev.Ended() | ev.Recovered() | ev.Stray():
                self._ends(sweep, event, f"{at}")
            case ev.Launching():
                for ref in event.attempts:
                    self._add(
                        ASSIGNMENTS,
                        f"{at} {task_name(ref.task)} attempt {ref.attempt} on {event.source}, batch {event.batch}\n",
                    )
                self._add(source_log(event.source), f"{at} {describe(event)}\n")
            case ev.Running() | ev.DelaysOver():
                pass
            case ev.Collected():
                self._collected(sweep, event, f"{at}")
            case ev.SourceHealth() | ev.Waiting() | ev.Limited():
                self._about(
                    event.source, f"{at} {describe(event)}\n", health=isinstance(event, ev.SourceHealth)
                )
            case (
                ev.SourceAdded() | ev.SourceRemoved() | ev.SourceUnreachable() | ev.SourceReachable()
                | ev.SourceStrike() | ev.SourceDisabled() | ev.SourceEnabled() | ev.Cancelling() | ev.Withdrawing()
            ):  # fmt: skip
                line = f"{at} {describe(event)}\n"
                self._add(self._sweep_log, line)
                self._about(event.source, line, health=not isinstance(event, ev.Cancelling | ev.Withdrawing))
            case _:
                self._add(self._sweep_log, f"{at} {describe(event)}\n")
        if record.at >= self._report_due or isinstance(
            event, ev.EngineStarted | ev.EngineStopped | ev.SweepEnded
        ):
            self._report_due = record.at + REPORT_EVERY
            self._report(sweep, f"{at}")

    def _ends(self, sweep: Sweep, event: ev.Ended | ev.Recovered | ev.Stray, at: str) -> None:
        """Every end stands in its source's log; in the sweep's those that are not as they should be."""
        if not isinstance(event, ev.Ended):
            self._add(self._sweep_log, f"{at} {describe(event)}\n")
        for end in event.attempts:
            line = f"{at} {end_text(end)}\n"
            attempts = sweep.tasks[end.task].attempts
            if end.attempt <= len(attempts):
                self._add(source_log(attempts[end.attempt - 1].source), line)
            if end.state != "completed" and isinstance(event, ev.Ended):
                self._add(self._sweep_log, line)

    def _collected(self, sweep: Sweep, event: ev.Collected, at: str) -> None:
        """What came home stands in its source's log; what did not, in the sweep's as well."""
        for brought in event.attempts:
            line = f"{at} {describe(ev.Collected((brought,)))}\n"
            self._add(source_log(sweep.tasks[brought.task].attempts[brought.attempt - 1].source), line)
            if brought.problem:
                self._add(self._sweep_log, line)

    def _about(self, source: str, line: str, *, health: bool) -> None:
        self._add(source_log(source), line)
        if health:
            self._add(HEALTH, line)

    def _report(self, sweep: Sweep, at: str) -> None:
        for source in sweep.sources.values():
            self._add(
                UTILIZATION,
                f"{at} {source.name}: {source.load} of {source.slots} slots, {len(source.waiting)} waiting, "
                f"{source.completed} completed, {source.failed} failed\n",
            )

    def _add(self, file: str, line: str) -> None:
        lines = self._lines.get(file)
        if lines is None:
            lines = self._lines[file] = []
        lines.append(line)

    def write(self) -> None:
        """One write per file that has something new."""
        for file, lines in self._lines.items():
            if lines:
                data = "".join(lines).encode()
                lines.clear()
                os.write(self._open(file), data)

    def _open(self, file: str) -> int:
        fd = self._fds.get(file)
        if fd is None:
            path = f"{self._folder}/{file}"
            if "/" in file:
                os.makedirs(os.path.dirname(path), DIR_MODE, exist_ok=True)  # noqa: PTH103, PTH120
            fd = self._fds[file] = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE
            )
        return fd

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()


def source_log(name: str) -> str:
    """The file of a source's lines, under `logs/`. A name that is no plain file name gets a number to be told apart."""
    known = _FILES.get(name)
    if known is None:
        safe = _UNSAFE.sub("_", name)
        mark = "" if safe == name else f"-{crc32(name.encode()):08x}"
        known = _FILES[name] = f"{SOURCES}/{safe[:100]}{mark}.log"
    return known


_FILES: dict[str, str] = {}
