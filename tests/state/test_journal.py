"""The journal: whole lines in sequence, each by an engine that held the lock; all else is named or fenced off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from spawn_tui.state.journal import (
    JournalDamaged,
    JournalForked,
    JournalReader,
    JournalWriter,
    Position,
    cut_torn_tail,
)

from ..simulation.disk import SimDisk

DIRECTORY = Path("/journal")
FIRST, SECOND, THIRD = (DIRECTORY / f"{n:06d}.jsonl" for n in (1, 2, 3))


def line(seq: int) -> str:
    return f'{{"v":1,"seq":{seq},"at":0.5,"type":"note","text":"№ {seq}"}}'


def writer_at(disk: SimDisk, file: int, after: int, epoch: int = 1) -> JournalWriter:
    writer = JournalWriter(disk, DIRECTORY)
    writer.start(file, epoch=epoch, after=after)
    return writer


def written(*counts: int) -> tuple[SimDisk, JournalWriter]:
    """A journal of so many events in each of its files."""
    disk, seq = SimDisk(), 0
    writer = JournalWriter(disk, DIRECTORY)
    for file, count in enumerate(counts, 1):
        writer.start(file, epoch=file, after=seq)
        writer.append([line(seq + n) for n in range(1, count + 1)])
        seq += count
    return disk, writer


def read(disk: SimDisk, position: Position | None = None) -> list[int]:
    reader = JournalReader(disk, DIRECTORY)
    reader.resume(position or Position())
    return [found.seq for found in reader.read()]


def test_what_was_written_is_read() -> None:
    disk, writer = written(2, 0, 3)
    reader = JournalReader(disk, DIRECTORY)
    found = list(reader.read())
    assert [(f.seq, f.text, f.path, f.number) for f in found] == [
        (1, line(1), FIRST, 2), (2, line(2), FIRST, 3),
        (3, line(3), THIRD, 2), (4, line(4), THIRD, 3), (5, line(5), THIRD, 4),
    ]  # fmt: skip
    assert reader.position == writer.position
    assert reader.torn_tail() is None


def test_a_reader_goes_on_where_it_stopped() -> None:
    disk, writer = written(1)
    reader = JournalReader(disk, DIRECTORY)
    assert [f.seq for f in reader.read()] == [1]
    assert list(reader.read()) == []
    writer.append([line(2)])
    writer.start(2, epoch=1, after=2)
    writer.append([line(3), line(4)])
    assert [f.seq for f in reader.read()] == [2, 3, 4]


def test_reading_can_begin_at_any_position() -> None:
    disk, _ = written(3, 2)
    reader = JournalReader(disk, DIRECTORY)
    for found in reader.read():
        assert read(disk, reader.position) == list(range(found.seq + 1, 6))


# --- torn tails --------------------------------------------------------------------------------------------------


def test_a_tail_torn_at_any_byte_costs_only_its_own_line() -> None:
    disk, _ = written(2, 2)
    whole = disk.read(SECOND)
    begins = [0]  # of each line
    while (end := whole.find(b"\n", begins[-1])) >= 0:
        begins.append(end + 1)
    for size in range(begins[1], len(whole) + 1):
        disk.files[str(SECOND)].data[:] = whole[:size]
        reader = JournalReader(disk, DIRECTORY)
        lines = sum(1 for begin in begins[2:] if begin <= size)
        assert [f.seq for f in reader.read()] == [1, 2, 3, 4][: 2 + lines]
        tail = reader.torn_tail()
        torn = size - begins[1 + lines]
        assert (tail.size if tail else 0) == torn
        # The next engine begins its file and cuts the tail; readers go on as if nothing had been.
        after = reader.seq
        successor = writer_at(disk, 3, after)
        if tail is not None:
            cut_torn_tail(disk, tail)
        assert disk.size(SECOND) == size - torn
        successor.append([line(after + 1)])
        assert [f.seq for f in reader.read()] == [after + 1]
        assert read(disk) == list(range(1, after + 2))
        del disk.files[str(THIRD)]


def test_a_tail_that_was_never_cut_is_passed_over() -> None:
    disk, _ = written(2)
    disk.append(FIRST, b'{"v":1,"se')
    writer_at(disk, 2, 2).append([line(3)])
    assert read(disk) == [1, 2, 3]


def test_a_header_torn_at_any_byte_is_made_anew() -> None:
    disk, _ = written(1, 0)
    header = disk.read(SECOND)
    for size in range(len(header)):
        disk.files[str(SECOND)].data[:] = header[:size]
        assert read(disk) == [1]
        writer_at(disk, 2, 1, epoch=2)
        assert disk.read(SECOND) == header


def test_a_whole_line_is_only_taken_with_its_newline() -> None:
    disk, _ = written(1)
    disk.append(FIRST, line(2).encode())
    reader = JournalReader(disk, DIRECTORY)
    assert [f.seq for f in reader.read()] == [1]
    disk.append(FIRST, b"\n")
    assert [f.seq for f in reader.read()] == [2]


# --- damage ------------------------------------------------------------------------------------------------------


def put(lines: list[bytes], number: int, new: bytes | None) -> list[bytes]:
    return lines[:number] + ([] if new is None else [new]) + lines[number + 1 :]


@pytest.mark.parametrize(
    ("damage", "where", "words"),
    [
        (lambda lines: put(lines, 2, None), 3, "event 3 follows event 1"),
        (lambda lines: put(lines, 2, lines[1]), 3, "event 1 follows event 1"),
        (lambda lines: put(lines, 2, b"garbage"), 3, "not an event"),
        (lambda lines: put(lines, 2, bytes(20)), 3, "not an event"),
        (lambda lines: put(lines, 2, b"\xff" + lines[2]), 3, "can't decode"),
        (lambda lines: put(lines, 2, lines[2][:-5]), 3, "not an event"),
        (lambda lines: put(lines, 2, b'{"v":1,"at":2}'), 3, "not an event"),
        (lambda lines: put(lines, 2, b'{"v":1,"seq":x,}'), 3, "not an event"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], 2, "event 2 follows event 0"),
        (lambda lines: put(lines, 0, b"garbage"), 1, "header"),
        (lambda lines: put(lines, 0, b'{"v":9,"epoch":1,"after":0}'), 1, "format version 9"),
        (
            lambda lines: put(lines, 0, b'{"v":1,"epoch":1,"after":4}'),
            1,
            "after event 4, but 0 is the last known",
        ),
        (lambda lines: put(lines, 0, b"[]"), 1, "header"),
    ],
)
def test_damage_names_the_file_and_the_line(
    damage: Callable[[list[bytes]], list[bytes]], where: int, words: str
) -> None:
    disk, _ = written(3)
    lines = disk.read(FIRST).split(b"\n")[:-1]
    disk.files[str(FIRST)].data[:] = b"\n".join(damage(lines)) + b"\n"
    with pytest.raises(JournalDamaged, match=words) as caught:
        read(disk)
    assert (caught.value.path, caught.value.line) == (FIRST, where)
    assert str(caught.value).startswith(f"{FIRST}:{where}: ")
    assert "Nothing was changed" in str(caught.value)


def test_a_missing_file_is_damage() -> None:
    disk, _ = written(1, 1, 1)
    del disk.files[str(SECOND)]
    reader = JournalReader(disk, DIRECTORY)
    list(reader.read())
    with pytest.raises(JournalDamaged, match=r"000002\.jsonl:1: .*missing, though 000003\.jsonl is there"):
        reader.demand_whole()


# --- fences ------------------------------------------------------------------------------------------------------


def test_a_line_written_without_the_lock_does_not_count() -> None:
    disk, old = written(2)
    new = writer_at(disk, 2, 2, epoch=2)
    old.append([line(3), line(4)])
    new.append([line(3)])
    assert read(disk) == [1, 2, 3]
    assert [f.path for f in JournalReader(disk, DIRECTORY).read()] == [FIRST, FIRST, SECOND]


def test_nothing_behind_the_fence_is_even_looked_at() -> None:
    """An engine without the lock may be interrupted in its last line, or have it cut off in the middle."""
    disk, _ = written(2)
    writer_at(disk, 2, 2, epoch=2).append([line(3)])
    disk.append(FIRST, b'"at":0.5}\n{"v":1')
    assert read(disk) == [1, 2, 3]


def test_a_reader_that_believed_such_a_line_is_told() -> None:
    disk, old = written(2)
    reader = JournalReader(disk, DIRECTORY)
    old.append([line(3)])
    assert [f.seq for f in reader.read()] == [1, 2, 3]
    writer_at(disk, 2, 2, epoch=2).append([line(3)])
    with pytest.raises(JournalForked, match="goes on after event 2, 3 was read"):
        list(reader.read())


def test_two_engines_never_share_a_file() -> None:
    disk, _ = written(1)
    writer_at(disk, 2, 1, epoch=2)
    with pytest.raises(FileExistsError):
        writer_at(disk, 2, 1, epoch=3)


# --- what a power failure leaves ---------------------------------------------------------------------------------


def test_what_a_new_file_follows_is_on_the_disk() -> None:
    disk, _ = written(2)
    assert disk.files[str(FIRST)].durable != bytes(disk.files[str(FIRST)].data)
    writer_at(disk, 2, 2)
    for path in (FIRST, SECOND):
        assert disk.files[str(path)].durable == bytes(disk.files[str(path)].data)


def test_sync_brings_what_was_appended_to_the_disk() -> None:
    disk, writer = written(2)
    writer.sync()
    assert disk.files[str(FIRST)].durable == disk.read(FIRST)


def test_a_full_disk_leaves_the_journal_as_it_was() -> None:
    disk, writer = written(2)
    before = disk.read(FIRST), writer.position
    disk.room = 10
    with pytest.raises(OSError, match="No space left"):
        writer.append([line(3)])
    assert (disk.read(FIRST), writer.position) == before
    disk.room = None
    writer.append([line(3)])
    assert read(disk) == [1, 2, 3]
