"""The index of all sweeps: several programs write it at once, and it can always be made anew."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from spawn_tui.state.index import IndexEntry, SweepIndex

ONE = IndexEntry("one-1", "one", "/sweeps/one-1", "running", 10.0, total=5)
TWO = IndexEntry("two-2", "two", "/sweeps/two-2", "completed", 20.0, 3, 3, 0)


def test_an_index_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert SweepIndex(tmp_path / "none").entries() == []
    assert not (tmp_path / "none").exists()


def test_newest_first_and_one_entry_per_sweep(tmp_path: Path) -> None:
    index = SweepIndex(tmp_path)
    index.put(ONE)
    index.put(TWO)
    index.put(replace(ONE, status="failed", failed=2))
    assert index.entries() == [TWO, replace(ONE, status="failed", failed=2)]
    index.forget("two-2")
    index.forget("never-was")
    assert [entry.id for entry in SweepIndex(tmp_path).entries()] == ["one-1"]


def test_it_is_private(tmp_path: Path) -> None:
    index = SweepIndex(tmp_path / "home")
    index.put(ONE)
    assert index.path.stat().st_mode & 0o777 == 0o600
    assert index.home.stat().st_mode & 0o777 == 0o700


def _write(home: Path, writer: int, count: int) -> None:
    index = SweepIndex(home)
    for number in range(count):
        index.put(IndexEntry(f"w{writer}-{number}", "w", "/", "running", float(number)))
        index.put(replace(ONE, completed=number))


def test_several_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, writer, 15)) for writer in range(4)]
    for process in writers:
        process.start()
    while any(process.is_alive() for process in writers):
        SweepIndex(tmp_path).entries()  # a reader never meets a half-written file
    assert [process.exitcode for process in writers] == [0, 0, 0, 0]
    ids = {entry.id for entry in SweepIndex(tmp_path).entries()}
    assert ids == {f"w{writer}-{number}" for writer in range(4) for number in range(15)} | {ONE.id}


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "7", '{"_default":7}', '{"_default":{"1":{"id":"x"}}}', '{"_default":{"1":7}}', "\0\0\0\0"],
)
def test_a_damaged_index_says_what_to_do_and_can_be_rebuilt(tmp_path: Path, text: str) -> None:
    index = SweepIndex(tmp_path)
    index.path.write_text(text)
    with pytest.raises(ValueError, match=r"index\.json is damaged .*spawn-tui list --rebuild"):
        index.entries()
    index.rebuild([ONE, TWO])
    assert index.entries() == [TWO, ONE]
    index.rebuild([])
    assert index.entries() == []


def test_a_damaged_index_is_not_overwritten_by_the_way(tmp_path: Path) -> None:
    index = SweepIndex(tmp_path)
    index.path.write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        index.put(ONE)
    assert index.path.read_text() == "{"
