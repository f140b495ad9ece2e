"""What a disk can do to a sweep: torn lines, no room, read-only, directories that vanish."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from spawn_tui.engine import run as run_module
from spawn_tui.engine.run import run_engine
from spawn_tui.engine.sweep import Sweep
from spawn_tui.state.journal import JournalDamaged

from . import field as fields
from .field import (
    REFUSED,
    Field,
    check_completed,
    check_sound,
    ended,
    kill,
    run_to_end,
    start_engine,
    wait_until,
)


def test_torn_tails_of_every_length(new_field: Callable[..., Field], tmp_path: Path) -> None:
    """The last write of a journal, cut after each of its bytes; the engine mends it and goes on."""
    gate = tmp_path / "gate"
    field = new_field(f"while ! [ -e {gate} ]; do sleep 0.01; done", tasks=2)
    pid = start_engine(field)
    wait_until(lambda: len(field.tokens()) == 2, "two tasks that run")
    journal = last_journal(field)
    wait_until(lambda: b'"running"' in journal.read_bytes().rpartition(b"\n{")[2], "the last event")
    kill(pid, "torn")
    gate.touch()
    wait_until(lambda: not field.processes(), "the end of the tasks")
    saved = tmp_path / "saved"
    shutil.copytree(field.root, saved, symlinks=True)
    whole = journal.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for size in range(start, len(whole)):
        shutil.rmtree(field.root)
        shutil.copytree(saved, field.root, symlinks=True)
        journal.write_bytes(whole[:size])
        run_to_end(field)
        sweep = check_completed(field)
        notes = " ".join(text for _, text in sweep.notes)
        assert (f"{size - start} bytes of an unfinished line" in notes) == (size > start)


def test_a_torn_header_is_mended_or_told(new_field: Callable[..., Field]) -> None:
    """No writer of ours leaves one, for a journal file is made whole; a disk may."""
    header = b'{"v":1,"epoch":1,"after":2}'
    for size in (0, 1, len(header) // 2, len(header)):
        field = new_field()
        name = field.layout.journal / "000002.jsonl"
        name.write_bytes(header[:size])
        if ended(start_engine(field), limit=5.0) == 0:
            check_completed(field)
        else:
            assert "000002.jsonl:1: the journal is damaged" in field.log.read_text()
            name.unlink()
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
    with pytest.raises(
        JournalDamaged, match=r"000002\.jsonl:\d+: the journal is damaged: .*Nothing was changed"
    ):
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
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", where], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    try:
        yield where
    finally:
        fields.kill_engines()
        for root in where.glob("field/out/crash-*"):
            Field(root, where / "effects", {}).kill_processes()
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


@dataclass(frozen=True)
class Stage:
    """A sweep on a small disk whose first two tasks wait for a gate; what they write themselves is elsewhere."""

    disk: Path
    field: Field
    gate: Path
    engine: int

    def trouble(self) -> str:
        """What an engine says that cannot write."""
        log = self.disk.parent / "said"
        log.unlink(missing_ok=True)
        assert ended(fields.fork(lambda: run_engine(self.field.root), log)) == REFUSED
        return log.read_text()


@pytest.fixture
def stage(small_disk: Path) -> Stage:
    gate = small_disk.parent / "gate"
    script = f"[ $SWEEP_INDEX -ge 2 ] || while ! [ -e {gate} ]; do sleep 0.02; done; true"
    field = fields.new_field(small_disk / "field", script, tasks=6, retries=3)
    field.effects.symlink_to(small_disk.parent / "effects")
    engine = start_engine(field, prelude=probe_often)
    wait_until(lambda: len(field.tokens()) == 2, "two tasks that run")
    wait_until(lambda: b'"running"' in last_journal(field).read_bytes(), "that they are on record")
    return Stage(small_disk, field, gate, engine)


def probe_often() -> None:
    run_module.PROBE = 0.1  # type: ignore[misc]


def test_a_full_disk_stops_the_sweep_and_loses_nothing(stage: Stage) -> None:
    filler = fill(stage.disk)
    assert ended(stage.engine) == REFUSED
    assert len(stage.field.processes()) >= 4, "what runs goes on"
    said = stage.trouble()
    assert "No space left on device. Nothing more is launched; what runs goes on." in said
    assert f"spawn-tui resume {stage.field.root.name}" in said
    # The tasks end while there is no room to say so.
    stage.gate.touch()
    wait_until(
        lambda: all(Path(f"{stage.field.attempt(n)}/exit").exists() for n in (0, 1)),
        "the end of the commands",
    )
    assert stage.trouble() == said
    filler.unlink()
    run_to_end(stage.field)
    check_completed(stage.field)


def test_room_that_comes_back_while_tasks_wait_for_it(stage: Stage) -> None:
    """Also with the disk full again and again in between."""
    stage.gate.touch()
    code = -1
    for _ in range(5):
        filler = fill(stage.disk)
        code = ended(stage.engine) if code == -1 else ended(start_engine(stage.field, prelude=probe_often))
        filler.unlink()
        if code == 0:
            break
    if code != 0:
        run_to_end(stage.field)
    for task in check_sound(stage.field).tasks:
        states = [attempt.state.value for attempt in task.attempts]
        assert states.count("completed") == 1
        assert all(attempt.kind in (None, "launch_failed") for attempt in task.attempts)


def test_a_read_only_disk(stage: Stage) -> None:
    """For root, permissions say nothing: only a mount can refuse."""
    with read_only(stage.disk):
        assert ended(stage.engine) == REFUSED
        assert "Read-only file system. Nothing more is launched; what runs goes on." in stage.trouble()
        assert len(stage.field.processes()) >= 4, "what runs goes on"
        stage.gate.touch()
        said = stage.trouble()
        assert "Read-only file system" in said
    run_to_end(stage.field)
    check_completed(stage.field)


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Covers the disk with a read-only mount of itself (a mount with open files cannot be made read-only)."""
    subprocess.run(["mount", "--bind", disk, disk], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", disk], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


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
def test_a_vanished_attempt_of_a_dead_engine(
    new_field: Callable[..., Field], tmp_path: Path, recorded: bool
) -> None:
    """It must not run twice while the old process lives, whether or not the journal says that it ran."""
    gate = tmp_path / "gate"
    field = new_field(f"while ! [ -e {gate} ]; do sleep 0.02; done", tasks=1, retries=1)
    # That point is right behind the launch of the only task, before anything is said of it.
    pid = start_engine(field) if recorded else start_engine(field, "source", 7)
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
    # What is not on record gets its directory back, and can say how it ended.
    assert [a.kind for a in sweep.tasks[0].attempts] == (["source_lost", None] if recorded else [None])
