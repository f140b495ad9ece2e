"""How anything that only looks sees a sweep: the snapshot, then the journal as it grows.

A viewer never writes to the sweep's directory. What it wants done it posts as a request (`control.py`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ..state.disk import LocalDisk
from ..state.journal import JournalForked
from ..state.layout import SweepLayout
from ..state.lock import Holder, read_holder
from . import events as ev
from .ids import task_name
from .store import fold, load_sweep
from .sweep import FINAL, SweepStatus


@dataclass(frozen=True, slots=True)
class News:
    """What came in since the last look: the records, and whether everything must be drawn anew."""

    records: tuple[ev.Record, ...]
    reloaded: bool = False

    def tasks(self) -> set[int]:
        """Indices of the tasks these records speak of (retries and cancels of all tasks are not listed)."""
        found: set[int] = set()
        for record in self.records:
            event = record.event
            match event:
                case (
                    ev.Launching() | ev.Running() | ev.Ended() | ev.Unknown() | ev.Cancelling() | ev.Withdrawing()
                    | ev.Withdrawn() | ev.Recovered() | ev.OutOfReach() | ev.Collected()
                ):  # fmt: skip
                    found.update(item.task for item in event.attempts)
                case ev.Requeued():
                    found.update(item.task for item in event.tasks)
                case ev.Dropped() | ev.RequestTaken():
                    found.update(event.tasks)
                case _:
                    pass
        return found


class Viewer:
    """Follows the sweep in `root`. Raises on creation what `load_sweep` raises."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout = SweepLayout(root)
        self._disk = LocalDisk()
        self.plan, self.sweep, self._reader = load_sweep(root, self._disk)

    def refresh(self) -> News:
        """Read what was added to the journal and fold it in. Costs O(new events)."""
        try:
            return News(tuple(fold(self.sweep, self._reader)))
        except JournalForked:
            self.plan, self.sweep, self._reader = load_sweep(self.root, self._disk)
            return News((), reloaded=True)

    def holder(self) -> Holder | None:
        """The engine that holds the sweep's lock and is not known to be dead."""
        holder = read_holder(self.layout.lock)
        return None if holder is None or holder.lives is False else holder

    def status(self) -> SweepStatus:
        """The sweep's status, `interrupted` included: work is left, it is not paused, and no engine holds the lock."""
        status = self.sweep.status
        if status in FINAL or self.holder() is not None:
            return status
        if status is SweepStatus.PAUSED and not self.sweep.active:
            return status
        return SweepStatus.INTERRUPTED

    def age(self) -> float | None:
        """Seconds since a sign of life of the engine (heartbeat or event); None if no engine runs."""
        holder = self.holder()
        if holder is None:
            return None
        return max(0.0, time.time() - max(holder.beat_at, self.sweep.updated_at))

    def attempt_dir(self, index: int, attempt: int | None = None) -> Path | None:
        """The directory of an attempt (default: the one that counts); None if the task was never launched."""
        counting = self.sweep.tasks[index].attempt
        number = attempt or (counting.number if counting else 0)
        return self.layout.attempt(task_name(index), number) if number else None
