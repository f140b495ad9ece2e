"""A sweep's directory: created, opened after a clean stop and after a death, and by engines that meet there."""

from __future__ import annotations

from pathlib import Path

import pytest
from spawn_tui.engine import event_lines
from spawn_tui.engine import events as ev
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.engine.store import SweepStore, load_sweep, replay
from spawn_tui.state.journal import JournalDamaged
from spawn_tui.state.lock import LockLost

from ..simulation.disk import SimDisk
from ..simulation.invariants import demand_same

ROOT = Path("/sweep")
PLAN = Plan("spawn", "s", tuple(PlannedTask("", {"i": i}) for i in range(3)), command="true")
FIRST = (ev.SweepCreated("s-1", "s", 3), ev.SourceAdded("local", "local", 2))
LAUNCHING = ev.Launching("b1", "local", (ev.Ref(0, 1),))


def new_store() -> tuple[SimDisk, SweepStore]:
    disk = SimDisk()
    return disk, SweepStore.create(ROOT, PLAN, FIRST, disk, lambda: 7.0004)


def open_store(disk: SimDisk) -> SweepStore:
    return SweepStore.open(ROOT, disk, clock=lambda: 8.0)[0]


def test_what_was_created_is_opened() -> None:
    disk, created = new_store()
    store, mended = SweepStore.open(ROOT, disk)
    assert (store.plan, mended) == (PLAN, [])
    demand_same(store.sweep, created.sweep, "the opened sweep")
    assert store.sweep.created_at == 7.0


def test_the_database_comes_last() -> None:
    """A creation that was cut short is no sweep: nothing can have been launched."""
    disk, _ = new_store()
    del disk.files["/sweep/sweep.json"]
    with pytest.raises(FileNotFoundError):
        SweepStore.open(ROOT, disk)


def test_snapshot_and_tail_tell_what_the_journal_tells() -> None:
    disk, store = new_store()
    store.commit([ev.EngineStarted(1, "h", 7), LAUNCHING])
    store.rotate()
    store.commit([ev.Running((ev.Started(0, 1),))])
    for sweep in (load_sweep(ROOT, disk)[1], replay(ROOT, disk), open_store(disk).sweep):
        demand_same(sweep, store.sweep, "read again")


def test_a_torn_line_is_cut_off_and_told() -> None:
    disk, store = new_store()
    store.commit([LAUNCHING])
    whole = disk.read(ROOT / "journal" / "000001.jsonl")
    disk.append(ROOT / "journal" / "000001.jsonl", b'{"v":1,"seq":4')
    opened, mended = SweepStore.open(ROOT, disk)
    assert mended == ["cut 14 bytes of an unfinished line off 000001.jsonl (a kill or a full disk)"]
    assert disk.read(ROOT / "journal" / "000001.jsonl") == whole
    demand_same(opened.sweep, store.sweep, "the opened sweep")


def test_an_event_that_cannot_be_is_damage_that_is_named() -> None:
    disk, store = new_store()
    store.commit([ev.Note("x")])
    path = ROOT / "journal" / "000001.jsonl"
    line = event_lines.encode(ev.Record(4, 9.0, ev.Ended((ev.End(0, 1, "completed"),))))
    disk.append(path, line.encode() + b"\n")
    with pytest.raises(JournalDamaged, match=r"000001\.jsonl:5: .*attempt 1 is not active"):
        SweepStore.open(ROOT, disk)


def test_a_full_disk_changes_nothing() -> None:
    disk, store = new_store()
    disk.room = 5
    with pytest.raises(OSError, match="No space left"):
        store.commit([LAUNCHING])
    assert store.sweep.seq == 2
    demand_same(replay(ROOT, disk), store.sweep, "the journal")


def test_a_snapshot_knows_no_more_than_the_journal_on_the_disk() -> None:
    disk, store = new_store()
    store.commit([LAUNCHING])
    path = str(ROOT / "journal" / "000001.jsonl")
    assert disk.files[path].durable != bytes(disk.files[path].data)
    store.save_snapshot()
    assert disk.files[path].durable == bytes(disk.files[path].data)


# --- engines that meet -------------------------------------------------------------------------------------------


def test_a_snapshot_by_an_engine_without_the_lock_is_not_believed() -> None:
    disk, old = new_store()
    new = open_store(disk)
    new.commit([ev.EngineStarted(1, "h", 7)])
    old.commit([LAUNCHING])
    old.save_snapshot()
    for sweep in (load_sweep(ROOT, disk)[1], open_store(disk).sweep):
        demand_same(sweep, new.sweep, "the sweep")


def test_an_engine_without_the_lock_cannot_go_on_to_its_next_file() -> None:
    disk, old = new_store()
    open_store(disk)
    with pytest.raises(LockLost, match="has begun file 2"):
        old.rotate()


def test_an_engine_reads_again_if_its_file_was_begun_before_it() -> None:
    disk, old = new_store()
    meetings = iter((lambda: (old.commit([LAUNCHING]), old.rotate()), lambda: None))
    store, _ = SweepStore.open(ROOT, disk, check=lambda: next(meetings)())
    assert store.sweep.tasks[0].attempts
    demand_same(store.sweep, old.sweep, "what the other had written")
    store.commit([ev.Note("mine")])
    demand_same(replay(ROOT, disk), store.sweep, "the journal")


def test_an_engine_that_lost_the_lock_begins_nothing() -> None:
    disk, _ = new_store()

    def lost() -> None:
        raise LockLost("gone")

    before = disk.changes
    with pytest.raises(LockLost):
        SweepStore.open(ROOT, disk, check=lost)
    assert disk.changes == before
