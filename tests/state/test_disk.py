"""The promises every disk keeps: the real one, and the simulated one that stands in for it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from spawn_tui.state.disk import Disk, LocalDisk

from ..simulation.disk import SimDisk


@pytest.fixture(params=["local", "simulated"])
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    if request.param == "simulated":
        yield SimDisk()
        return
    local = LocalDisk()
    yield local
    local.close()


def test_append_and_read(disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "a"
    disk.append(path, b"one\n")
    disk.append(path, b"two\n", sync=True)
    disk.append(path, b"", sync=True)
    assert disk.read(path) == b"one\ntwo\n"
    assert disk.read(path, 4) == b"two\n"
    assert disk.read(path, 1, 2) == b"ne"
    assert disk.read(path, 99) == b""
    assert disk.size(path) == 8


def test_truncate_then_append(disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "a"
    disk.append(path, b"one\ntw")
    disk.truncate(path, 4)
    disk.append(path, b"3\n")
    assert disk.read(path) == b"one\n3\n"


def test_replace(disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "a"
    disk.replace(path, b"old")
    disk.replace(path, b"new")
    assert disk.read(path) == b"new"
    assert disk.names(tmp_path) == ["a"]


def test_create_is_exclusive(disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "a"
    disk.create(path, b"first")
    with pytest.raises(FileExistsError):
        disk.create(path, b"second")
    assert disk.read(path) == b"first"
    assert disk.names(tmp_path) == ["a"]


def test_names_are_sorted(disk: Disk, tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        disk.replace(tmp_path / name, b"")
    disk.remove(tmp_path / "b")
    assert disk.names(tmp_path) == ["a", "c"]
    assert disk.names(tmp_path / "nowhere") == []


@pytest.mark.parametrize("what", ["read", "size", "remove"])
def test_what_is_missing_is_file_not_found(disk: Disk, tmp_path: Path, what: str) -> None:
    with pytest.raises(FileNotFoundError):
        getattr(disk, what)(tmp_path / "nothing")


# --- the real one only -------------------------------------------------------------------------------------------


def test_files_are_private(tmp_path: Path) -> None:
    disk = LocalDisk()
    disk.make_dir(tmp_path / "d" / "e")
    disk.append(tmp_path / "d" / "e" / "appended", b"x")
    disk.replace(tmp_path / "d" / "e" / "replaced", b"x")
    disk.create(tmp_path / "d" / "e" / "created", b"x")
    disk.close()
    assert (tmp_path / "d" / "e").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "d" / "e").iterdir()} == {0o600}


def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:3]))
    disk = LocalDisk()
    disk.append(tmp_path / "a", b"one two three")
    disk.replace(tmp_path / "b", b"one two three")
    disk.close()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"one two three"


def test_a_disk_that_fills_in_the_middle_leaves_no_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = LocalDisk()
    disk.append(tmp_path / "a", b"whole\n")
    disk.replace(tmp_path / "b", b"old")
    write, calls = os.write, iter(range(9))

    def fills(fd: int, data: bytes) -> int:
        if next(calls) % 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, bytes(data)[:3])

    monkeypatch.setattr(os, "write", fills)
    for attempt in (disk.append, disk.replace, disk.create):
        with pytest.raises(OSError, match="No space left"):
            attempt(
                tmp_path / {"append": "a", "replace": "b", "create": "c"}[attempt.__name__], b"torn and more"
            )
    disk.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"whole\n", "b": b"old"}


def test_a_failed_sync_leaves_no_line_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = LocalDisk()
    disk.append(tmp_path / "a", b"one\n")

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output"):
        disk.append(tmp_path / "a", b"two\n", sync=True)
    disk.close()
    assert (tmp_path / "a").read_bytes() == b"one\n"
