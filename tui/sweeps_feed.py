"""The list of all sweeps, kept up to date at little cost: what is over is not read again until its journal grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .feed import Feed
from .view import FINAL_STATUSES, ORPHANED
from .work_time import WorkTime

if TYPE_CHECKING:
    from ..engine.viewer import Viewer
    from ..state.index import IndexEntry

INTERVAL = 1.0


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One sweep in the list. `status` may also be `missing` (no directory) or `damaged`."""

    id: str
    name: str
    directory: str
    status: str
    created_at: float
    total: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0
    unknown: int = 0
    """Active tasks nobody can speak for; they do not count as running."""
    worked: float | None = None
    """Seconds in which something ran, until the last event; None if that was not read."""
    running_since: float | None = None
    """While something runs: when it began, less all pauses since."""
    trouble: str = ""

    @property
    def done(self) -> int:
        return self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class SweepsNews:
    """All sweeps, newest first. `trouble` says why the list cannot be read; `reading`: some are still being opened."""

    rows: tuple[SweepRow, ...]
    trouble: str = ""
    reading: bool = False


class SweepsFeed(Feed):
    """Watches the index and every sweep that is not over. `tell` is called in this feed's thread."""

    def __init__(self, tell: Callable[[SweepsNews], object]) -> None:
        super().__init__("sweeps")
        self._tell = tell
        self._viewers: dict[str, tuple[Viewer, WorkTime]] = {}
        self._over: dict[str, tuple[int, SweepRow]] = {}
        """By directory: sweeps that are over, with the state of their journal's folder when that was seen."""
        self._told: SweepsNews | None = None

    def look(self) -> float:
        from ..state.index import SweepIndex

        try:
            entries = SweepIndex().entries()
        except (OSError, ValueError) as error:
            self._say(SweepsNews((), trouble=str(error)))
            return INTERVAL
        if self._told is None:
            self._say(SweepsNews(tuple(_known(entry) for entry in entries), reading=True))
        self._say(SweepsNews(tuple(self._row(entry) for entry in entries if not self.stopped)))
        return INTERVAL

    def failed(self, why: str) -> None:
        self._tell(SweepsNews((), trouble=why))

    def _say(self, news: SweepsNews) -> None:
        if news != self._told and not self.stopped:
            self._told = news
            self._tell(news)

    def _row(self, entry: IndexEntry) -> SweepRow:
        root = Path(entry.directory)
        try:
            mark = (root / "journal").stat().st_mtime_ns
        except OSError:
            self._viewers.pop(entry.directory, None)
            return _known(entry, status="missing", trouble=f"not there: {root}")
        if entry.status in FINAL_STATUSES and entry.directory not in self._over:
            self._over[entry.directory] = (mark, _known(entry))
        over = self._over.get(entry.directory)
        if over is not None and over[0] == mark:
            return over[1]
        return self._read(entry, root, mark)

    def _read(self, entry: IndexEntry, root: Path, mark: int) -> SweepRow:
        from ..engine.snapshot import SnapshotError
        from ..engine.viewer import Viewer
        from ..state.documents import DocumentsDamaged
        from ..state.journal import JournalDamaged

        try:
            known = self._viewers.get(entry.directory)
            viewer = known[0] if known is not None else Viewer(root)
            if known is None or viewer.refresh().reloaded:
                work = WorkTime(viewer.sweep)
            else:
                work = known[1]
                work.look(viewer.sweep)
            self._viewers[entry.directory] = viewer, work
            row = _live(entry, viewer, work)
        except (JournalDamaged, DocumentsDamaged, SnapshotError, OSError, ValueError) as error:
            self._viewers.pop(entry.directory, None)
            return _known(entry, status="damaged", trouble=str(error))
        if row.status in FINAL_STATUSES:
            self._over[entry.directory] = (mark, row)
            del self._viewers[entry.directory]
        return row


def _known(entry: IndexEntry, *, status: str = "", trouble: str = "") -> SweepRow:
    """What the index alone can say."""
    # Of a sweep that is over, what neither completed nor failed was cancelled.
    rest = entry.total - entry.completed - entry.failed if entry.status in FINAL_STATUSES else 0
    return SweepRow(
        entry.id, entry.name, entry.directory, status or entry.status, entry.created_at, entry.total,
        entry.completed, entry.failed, rest, trouble=trouble,
    )  # fmt: skip


def _live(entry: IndexEntry, viewer: Viewer, work: WorkTime) -> SweepRow:
    sweep, status = viewer.sweep, viewer.status().value
    number = {state.value: count for state, count in sweep.counts.items()}
    unknown = sweep.active if status == ORPHANED else sweep.unknown_count
    goes_on = sweep.active and status != ORPHANED
    heard = [source for source in sweep.sources.values() if source.unreachable_since is None]
    queued = sum(len(source.waiting) + len(source.asked) for source in heard) if goes_on else 0
    return SweepRow(
        sweep.id, sweep.name, entry.directory, status, sweep.created_at, sweep.total,
        number["completed"], number["failed"], number["cancelled"], max(0, sweep.active - unknown - queued), unknown,
        work.seconds(), work.running_since() if goes_on else None,
    )  # fmt: skip
