"""A sweep's directory as the engine uses it: create it, open it, add events, take snapshots.

Opening is: snapshot, then every event that came after. Only the engine that holds the lock may write.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from ..state.disk import Disk
from ..state.documents import load, save
from ..state.journal import JournalDamaged, JournalForked, JournalReader, JournalWriter, cut_torn_tail
from ..state.layout import SweepLayout
from ..state.lock import LockLost
from . import event_lines
from . import events as ev
from .plan.model import Plan
from .snapshot import from_documents, to_documents
from .sweep import ApplyError, Sweep, apply

Clock = Callable[[], float]

ROTATE_EVENTS = 500_000
"""Events in one journal file, after which a snapshot is taken and the next file begun."""
_FORKS = 5
"""Times a journal is read that turns out to be forked: each needs an engine that takes over at that very moment."""


class SweepStore:
    """The plan, the sweep and the journal of one directory."""

    def __init__(self, layout: SweepLayout, plan: Plan, sweep: Sweep, disk: Disk, clock: Clock) -> None:
        self.layout, self.plan, self.sweep = layout, plan, sweep
        self._disk, self._clock = disk, clock
        self._writer = JournalWriter(disk, layout.journal)
        self.rotate_every = ROTATE_EVENTS
        self._rotated_at = sweep.seq

    @classmethod
    def create(
        cls, root: Path, plan: Plan, first: Iterable[ev.Event], disk: Disk, clock: Clock = time.time
    ) -> SweepStore:
        """Write a new sweep into the existing, empty directory `root`. `first`: its first events.

        The database comes last: a directory without it is no sweep yet, and nothing was launched.
        """
        store = cls(SweepLayout(root), plan, Sweep(), disk, clock)
        disk.make_dir(store.layout.journal)
        disk.make_dir(store.layout.requests)
        store._writer.start(1, epoch=0, after=0)
        store.commit(list(first), sync=True)
        store.save_snapshot()
        return store

    @classmethod
    def open(
        cls, root: Path, disk: Disk, *, clock: Clock = time.time, check: Callable[[], None] = lambda: None
    ) -> tuple[SweepStore, list[str]]:
        """Open a sweep to write, under its lock; begins a journal file of its own. Returns what had to be mended.

        `check` is called before anything is written, and raises if the lock was lost meanwhile.

        Raises `FileNotFoundError`, `DocumentsDamaged`, `SnapshotError`, `JournalDamaged`, `OSError`, and as `check`.
        """
        layout = SweepLayout(root)
        while True:
            plan, sweep, reader = load_sweep(root, disk)
            tail = reader.torn_tail()
            store = cls(layout, plan, sweep, disk, clock)
            check()
            try:
                store._writer.start(reader.position.file + 1, epoch=sweep.epoch + 1, after=sweep.seq)
            except FileExistsError:
                continue  # an engine that has lost the lock and does not know it yet went on to its next file
            break
        if tail is None:
            return store, []
        cut_torn_tail(disk, tail)
        return store, [
            f"cut {tail.size} bytes of an unfinished line off {tail.path.name} (a kill or a full disk)"
        ]

    def commit(self, events: list[ev.Event], *, sync: bool = False) -> list[ev.Record]:
        """Journal the events in one write, then apply them. Raises `OSError`; then nothing has changed."""
        at = round(self._clock(), 3)
        seq = self.sweep.seq
        records = [ev.Record(seq + n, at, event) for n, event in enumerate(events, 1)]
        self._writer.append([event_lines.encode(record) for record in records], sync=sync)
        for record in records:
            apply(self.sweep, record)
        return records

    def save_snapshot(self) -> None:
        """Write plan and sweep as they are now. Raises `OSError`; then the last snapshot is still whole."""
        self._writer.sync()  # a snapshot must not know more than the journal
        save(self.layout.document, to_documents(self.plan, self.sweep, self._writer.position), self._disk)

    @property
    def rotation_due(self) -> bool:
        return self.sweep.seq - self._rotated_at >= self.rotate_every

    def rotate(self) -> None:
        """Snapshot, and go on in a new journal file. Raises `OSError`, `LockLost`."""
        self.save_snapshot()
        file = self._writer.position.file + 1
        try:
            self._writer.start(file, epoch=self.sweep.epoch, after=self.sweep.seq)
        except FileExistsError:
            raise LockLost(f"{self.layout.journal}: another engine has begun file {file}") from None
        self._rotated_at = self.sweep.seq


def fold(sweep: Sweep, reader: JournalReader) -> list[ev.Record]:
    """Apply all that the journal holds beyond the sweep; returns those records.

    Raises `JournalDamaged`, and `JournalForked`: then the sweep must be folded anew.
    """
    records: list[ev.Record] = []
    for line in reader.read():
        try:
            record = event_lines.decode(line.text)
            apply(sweep, record)
        except (event_lines.EventError, ApplyError, IndexError) as error:
            raise JournalDamaged(line.path, line.number, str(error)) from None
        records.append(record)
    return records


def load_sweep(root: Path, disk: Disk) -> tuple[Plan, Sweep, JournalReader]:
    """What a viewer needs: the sweep as the disk tells it, and the reader to follow it. Writes nothing.

    Raises `FileNotFoundError`, `DocumentsDamaged`, `SnapshotError`, `JournalDamaged`.
    """
    layout = SweepLayout(root)
    with _no_garbage():
        plan, sweep, position = from_documents(load(layout.document, disk))
        reader = JournalReader(disk, layout.journal)
        reader.resume(position)
        for _ in range(_FORKS):
            try:
                fold(sweep, reader)
            except JournalForked:
                # The snapshot, or what was just read, is by an engine that had lost the lock.
                sweep, reader = Sweep(), JournalReader(disk, layout.journal)
            else:
                reader.demand_whole()
                return plan, sweep, reader
    raise JournalDamaged(layout.journal, 0, "its files disagree about what came first")


@contextmanager
def _no_garbage() -> Generator[None, None, None]:
    """Reading makes hundreds of thousands of objects that stay: looking for garbage among them takes longer than making
    them. Afterwards they are set aside, so that no later collection walks over them again (an 18–46 ms hitch each)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
    gc.freeze()


def replay(root: Path, disk: Disk) -> Sweep:
    """The sweep folded from its first event, without any snapshot."""
    sweep = Sweep()
    fold(sweep, JournalReader(disk, SweepLayout(root).journal))
    return sweep
