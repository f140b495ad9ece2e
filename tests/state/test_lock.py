from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from spawn_tui.state.lock import EngineLock, LockHeld, LockLost, read_holder
from spawn_tui.state.process import ProcessId, identify, myself


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engine.lock"


@pytest.fixture
def other() -> Iterator[ProcessId]:
    """A living process that is not this one."""
    process = subprocess.Popen(["sleep", "60"])
    named = identify(process.pid)
    assert named is not None
    yield named
    process.kill()
    process.wait()


def held_by(path: Path, holder: ProcessId, *, silent: float = 0.0) -> None:
    path.write_text(json.dumps(asdict(holder)) + "\n")
    then = path.stat().st_mtime - silent
    os.utime(path, (then, then))


def test_it_names_its_holder_and_is_private(path: Path) -> None:
    lock = EngineLock(path)
    assert lock.acquire() is None
    holder = read_holder(path)
    assert holder is not None and holder.process == myself() and holder.lives
    assert path.stat().st_mode & 0o077 == 0
    lock.check()
    lock.release()
    assert read_holder(path) is None
    lock.release()


def test_a_second_one_is_told_who_holds_it(path: Path, other: ProcessId) -> None:
    held_by(path, other)
    with pytest.raises(LockHeld, match=rf"already running: pid {other.pid} on {other.host}$"):
        EngineLock(path).acquire()
    held_by(path, other, silent=600)
    with pytest.raises(
        LockHeld, match=r"silent for 6\d\d s. If it hangs, end it \(kill \d+\) or use --take-over"
    ):
        EngineLock(path).acquire()


@pytest.mark.parametrize("change", [{"start": "1"}, {"boot": "another boot"}])
def test_a_dead_holder_is_replaced(path: Path, other: ProcessId, change: dict[str, str]) -> None:
    """Its pid lives, but it is another process, or the machine was started anew."""
    held_by(path, replace(other, **change))
    lock = EngineLock(path)
    before = lock.acquire()
    assert before is not None and before.process.pid == other.pid
    lock.check()


def test_nobody_takes_over_from_another_host_without_being_told(path: Path, other: ProcessId) -> None:
    held_by(path, replace(other, host="elsewhere"))
    with pytest.raises(LockHeld, match="cannot be told from this host"):
        EngineLock(path).acquire()
    lock = EngineLock(path)
    lock.acquire(take_over=True)
    lock.check()


def test_who_was_replaced_finds_out_and_leaves_the_lock_alone(path: Path) -> None:
    old, new = EngineLock(path), EngineLock(path)
    old.acquire()
    new.acquire(take_over=True)
    with pytest.raises(LockLost):
        old.check()
    old.release()
    new.check()
    assert read_holder(path) is not None


def test_without_its_file_it_is_lost(path: Path) -> None:
    lock = EngineLock(path)
    with pytest.raises(LockLost):
        lock.check()
    lock.acquire()
    path.unlink()
    with pytest.raises(LockLost):
        lock.check()


def test_its_heart_beats(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = EngineLock(path)
    lock.acquire()
    os.utime(path, (1, 1))
    lock.check()
    assert path.stat().st_mtime == 1, "not at every look"
    monkeypatch.setattr("spawn_tui.state.lock.time.monotonic", lambda: 1e12)
    lock.check()
    assert path.stat().st_mtime > 1


def test_a_file_that_is_no_lock_is_named(path: Path) -> None:
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"engine\.lock is not an engine's lock"):
        EngineLock(path).acquire()


def test_of_many_takers_one_wins(path: Path, other: ProcessId) -> None:
    """A dead holder, and twenty processes that want its place at once."""
    takers = 20
    for _ in range(5):
        held_by(path, replace(other, start="1"))
        (start, starter), (done, report), (leave, leaver) = os.pipe(), os.pipe(), os.pipe()
        pids: list[int] = []
        for _ in range(takers):
            pid = os.fork()
            if pid == 0:
                try:
                    os.close(starter)
                    os.close(leaver)
                    os.read(start, 1)  # until the parent lets all go at once
                    try:
                        EngineLock(path).acquire()
                        os.write(report, b"y")
                    except LockHeld:
                        os.write(report, b"n")
                    os.read(leave, 1)
                finally:
                    os._exit(0)
            pids.append(pid)
        os.close(starter)
        answers = b""
        while len(answers) < takers:
            answers += os.read(done, takers)
        holder = read_holder(path)
        os.close(leaver)
        for pid in pids:
            os.waitpid(pid, 0)
        for fd in (start, done, report, leave):
            os.close(fd)
        assert answers.count(b"y") == 1
        assert holder is not None and holder.process.pid in pids
        path.unlink()
