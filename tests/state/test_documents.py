"""`sweep.json`: a TinyDB file that is replaced whole, or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from spawn_tui.state.disk import LocalDisk
from spawn_tui.state.documents import DocumentsDamaged, SweepDocuments, load, save
from tinydb import TinyDB

from ..simulation.disk import SimDisk

DOCUMENTS = SweepDocuments(
    {"id": "s-1", "ünï": [1.5, None]}, [{"n": n} for n in range(20)], [{"name": "local"}]
)


def test_what_is_saved_is_loaded_in_its_order(tmp_path: Path) -> None:
    path, disk = tmp_path / "sweep.json", LocalDisk()
    for documents in (DOCUMENTS, SweepDocuments({"id": "s-2"}, [], [])):
        save(path, documents, disk)
        found = load(path, disk)
        assert (dict(found.sweep), [dict(d) for d in found.tasks], [dict(d) for d in found.sources]) == (
            documents.sweep, documents.tasks, documents.sources,
        )  # fmt: skip


def test_it_is_a_database_that_tinydb_reads(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    save(path, DOCUMENTS, LocalDisk())
    with TinyDB(path) as database:
        assert database.tables() == {"sweep", "tasks", "sources"}
        assert len(database.table("tasks")) == 20


def test_it_is_written_once() -> None:
    disk, path = SimDisk(), Path("/sweep.json")
    save(path, DOCUMENTS, disk)
    assert disk.changes == 1


def test_a_full_disk_leaves_the_last_one_whole() -> None:
    disk, path = SimDisk(), Path("/sweep.json")
    save(path, DOCUMENTS, disk)
    disk.room = 100
    with pytest.raises(OSError) as caught:
        save(path, SweepDocuments({"id": "s-2"}, DOCUMENTS.tasks, []), disk)
    assert caught.value.errno == errno.ENOSPC
    assert dict(load(path, disk).sweep) == DOCUMENTS.sweep


def test_a_missing_one_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "sweep.json", LocalDisk())


def test_a_damaged_one_is_replaced_by_saving(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    path.write_text("{")
    save(path, DOCUMENTS, LocalDisk())
    assert dict(load(path, LocalDisk()).sweep) == DOCUMENTS.sweep


def test_cut_at_any_byte_it_is_damaged_and_named(tmp_path: Path) -> None:
    disk, path = SimDisk(), Path("/sweep.json")
    save(path, DOCUMENTS, disk)
    whole = disk.read(path)
    for size in range(len(whole)):
        disk.replace(path, whole[:size])
        with pytest.raises(
            DocumentsDamaged, match=r"/sweep\.json is not a sweep's database.*Nothing was changed"
        ):
            load(path, disk)


@pytest.mark.parametrize(
    "text",
    ["[]", "7", '"x"', "null", '{"sweep":7}', '{"sweep":{"x":{}}}', '{"sweep":{"1":7}}', "[" * 100_000],
)
def test_what_is_json_but_no_database_is_damaged_too(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sweep.json"
    path.write_text(text)
    with pytest.raises(DocumentsDamaged, match="not a sweep's database"):
        load(path, LocalDisk())
