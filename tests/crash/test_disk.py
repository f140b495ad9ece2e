"""What a disk can do to a sweep: torn lines, no room, read-only, directories that vanish."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spawn_tui.engine.sources.attempt import read_claim
from spawn_tui.engine.sweep import Sweep
from spawn_tui.state.journal import JournalDamaged

from . import field as fields
from .field import REFUSED, Field, check_completed, check_sound, ended, kill, run_to_end, start_engine, wait_until


def test_torn_tails_of_every_length(new_field: Callable[..., Field], tmp_path: Path) -> None:
    """The last write of a journal, cut after each of its bytes; the engine mends it and goes on."""
    field = new_field("sleep 60", tasks=2)
    pid = start_engine(field)
    wait_until(lambda: len(field.processes()) >= 4, "two tasks that run")
    wait_until(lambda: b'"running"' in last_journal(field).read_bytes(), "the last event")
    kill(pid, "torn")
    field.kill_processes()
    saved = tmp_path / "saved"
    shutil.copytree(field.root, saved, symlinks=True)
    journal = last_journal(field)
    whole = journal.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for size in range(start, len(whole)):
        shutil.rmtree(field.root)
        shutil.copytree(saved, field.root, symlinks=True)
        journal.write_bytes(whole[:size])
        assert ended(start_engine(field, cancel_when=lambda sweep: True)) == 0, field.log.read_text()[-2000:]
        sweep = check_sound(field)
        assert sweep.status.value in ("failed", "cancelled")
        notes = " ".join(text for _, text in sweep.notes)
        assert (f"cut {size - start} bytes of an unfinished line" in notes) == (size > start)


def test_a_torn_header(new_field: Callable[..., Field]) -> None:
    field = new_field()
    name = field.layout.journal / "000002.jsonl"
    header = b'{"v":1,"epoch":1,"after":2}'
    for size in range(len(header) + 1):
        name.write_bytes(header[:size])
        pid = start_engine(field, "source", 1)
        assert ended(pid) == -9
        assert name.read_bytes().startswith(header + b"\n")
        for path in field.layout.journal.glob("00000[2-9].jsonl"):
            path.unlink()
    run_to_end(field)
    check_completed(field)


def test_damage_is_an_error_that_changes_nothing(new_field: Callable[..., Field]) -> None:
    field = new_field()
    run_to_end(field)
    journal = last_journal(field)
    data = journal.read_bytes()
    broken = data.replace(b'"seq":5', b'"seq":7')
    assert broken != data
    journal.write_bytes(broken)
    (field.root / "sweep.json").write_text((field.root / "sweep.json").read_text())
    with pytest.raises(JournalDamaged, match=r"000002\.jsonl:\d+: the journal is damaged: .*Nothing was changed"):
        check_sound(field)
    assert journal.read_bytes() == broken


def last_journal(field: Field) -> Path:
    return max(field.layout.journal.iterdir())


# --- mounts ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(as_root: None, tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    where = tmp_path / "disk"
    where.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", where], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    yield where
    for pid, token in fields.tokens_in_proc().items():
        if token.startswith("crash-"):
            os.kill(pid, signal.SIGKILL)
    subprocess.run(["umount", "-l", where], check=True)


def fill(disk: Path) -> Path:
    """Take all the room there is."""
    path = disk / "filler"
    with path.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return path


GATE = "while ! [ -e ../../gate ]; do sleep 0.02; done"


def test_a_full_disk_stops_the_sweep_and_loses_nothing(small_disk: Path) -> None:
    field = fields.new_field(small_disk / "field", f"[ $SWEEP_INDEX -lt 2 ] && {{ {GATE}; }}; true", tasks=6)
    effects = small_disk.parent / "effects"  # the tasks' own files are elsewhere
    field.effects.symlink_to(effects)
    gate = field.root.parent.parent.parent.parent / "gate"
    pid = start_engine(field)
    wait_until(lambda: len(field.tokens()) == 2, "two tasks that run")
    filler = fill(small_disk)
    gate.touch()
    assert ended(pid) == REFUSED
    said = field.log.read_text() if field.log.exists() else ""
    assert "DiskTrouble" in said or not said
    # While there is no room, an engine says so again, and changes nothing.
    assert ended(start_engine(field)) == REFUSED
    filler.unlink()
    run_to_end(field)
    check_completed(field)


def test_a_full_disk_is_told_in_words(small_disk: Path, tmp_path: Path) -> None:
    field = fields.new_field(small_disk / "field", "true", tasks=2)
    filler = fill(small_disk)
    said = trouble_of(field, tmp_path / "said")
    assert "No space left on device. Nothing more is launched; what runs goes on." in said
    assert f"spawn-tui resume {field.root.name}" in said
    filler.unlink()
    run_to_end(field)
    check_completed(field)


def trouble_of(field: Field, log: Path) -> str:
    """What an engine says that cannot write."""
    from spawn_tui.engine.run import run_engine

    assert ended(fields.fork(lambda: run_engine(field.root), log)) == REFUSED
    return log.read_text()


def test_a_read_only_disk(small_disk: Path, tmp_path: Path) -> None:
    field = fields.new_field(small_disk / "field", GATE.replace("../../", f"{tmp_path}/"), tasks=3)
    effects = tmp_path / "effects"
    field.effects.symlink_to(effects)
    pid = start_engine(field)
    wait_until(lambda: len(field.tokens()) == 2, "two tasks that run")
    wait_until(lambda: b'"running"' in last_journal(field).read_bytes(), "that they are on record")
    # A log that is being written would keep the disk from being made read-only.
    remount(small_disk, "ro")
    (tmp_path / "gate").touch()
    code = ended(pid)
    assert code == REFUSED
    said = trouble_of(field, tmp_path / "said")
    assert "Read-only file system. Nothing more is launched; what runs goes on." in said
    remount(small_disk, "rw")
    run_to_end(field)
    check_completed(field)


def remount(disk: Path, how: str) -> None:
    """For root too, permissions say nothing: only the mount can refuse. Forced, for open files must not hinder it."""
    done = subprocess.run(["mount", "-o", f"remount,{how}", disk], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot remount {how}: {done.stderr.strip()}")


# --- vanished directories ----------------------------------------------------------------------------------------


def test_a_vanished_attempt_of_a_living_engine(new_field: Callable[..., Field], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    field = new_field(f"while ! [ -e {gate} ]; do sleep 0.02; done", tasks=1)
    pid = start_engine(field)
    wait_until(field.tokens, "a task that runs")
    shutil.rmtree(field.attempt(0))
    gate.touch()
    assert ended(pid) == 0
    (attempt,) = check_sound(field).tasks[0].attempts
    assert attempt.kind == "source_lost" and "its directory is gone" in attempt.message


@pytest.mark.parametrize("recorded", [False, True])
def test_a_vanished_attempt_of_a_dead_engine(new_field: Callable[..., Field], tmp_path: Path, recorded: bool) -> None:
    """It must not run twice while the old process lives, whether or not the journal says that it ran."""
    gate = tmp_path / "gate"
    field = new_field(f"while ! [ -e {gate} ]; do sleep 0.02; done", tasks=1, retries=1)
    # Point 2 of the source is right behind the launch of the only task, before anything is said of it.
    pid = start_engine(field) if recorded else start_engine(field, "source", 4)
    wait_until(field.tokens, "a task that runs")
    if recorded:
        wait_until(lambda: b'"running"' in last_journal(field).read_bytes(), "that it is on record")
        kill(pid, "vanished")
    else:
        assert ended(pid) == -9
    assert (b'"running"' in last_journal(field).read_bytes()) is recorded
    shutil.rmtree(field.attempt(0))
    pid = start_engine(field)
    wait_until(lambda: field.sweep().epoch == 2, "the next engine")
    wait_until(lambda: field.sweep().counts["running"] == 1, "that it found the task")  # type: ignore[index]
    assert len(field.tokens()) == 1
    gate.touch()
    assert ended(pid) == 0
    sweep: Sweep = check_sound(field)
    assert [a.kind for a in sweep.tasks[0].attempts] == ["source_lost", None]
    assert read_claim(field.attempt(0, 2)) is not None
