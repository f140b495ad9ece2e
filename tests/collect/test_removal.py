"""Nothing is deleted there that is not whole here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from spawn_tui.engine.collect.removal import Removal, remove_collected

from .field import Field, tree


@pytest.fixture
def field(tmp_path: Path) -> Field:
    field = Field(tmp_path)
    for number in (1, 2, 3):
        there = field.attempt(number, {"results/big": os.urandom(5 << 20)} if number == 2 else None)
        (there / "latest").symlink_to("results")
        (there / "away").symlink_to("/etc/hostname")
    (field.far / "attempts" / "task_009.1").mkdir()
    field.bring(1, 2, 3)
    return field


def remove(field: Field) -> Removal:
    return remove_collected(field.area, [(f"task_{n:03}.1", field.home(n)) for n in (1, 2, 3)])


def left(field: Field) -> list[str]:
    return sorted(os.listdir(field.far / "attempts"))


ALL = ["task_001.1", "task_002.1", "task_003.1", "task_009.1"]


def test_what_is_home_goes_and_nothing_else(field: Field):
    before = [tree(field.home(number)) for number in (1, 2, 3)]
    assert remove(field) == Removal(removed=tuple(ALL[:3]))
    assert left(field) == ["task_009.1"]
    assert [tree(field.home(number)) for number in (1, 2, 3)] == before
    assert Path("/etc/hostname").exists()
    assert remove(field) == Removal()


@pytest.mark.parametrize(
    "what", ["missing", "smaller", "tampered", "big", "new there", "changed there", "link"]
)
def test_one_file_that_is_not_home_keeps_everything(field: Field, what: str):
    home, there = field.home(3), field.far / "attempts/task_003.1"
    match what:
        case "missing":
            (home / "exit").unlink()
        case "smaller":
            (home / "stdout.log").write_bytes(b"")
        case "tampered":
            (home / "stdout.log").write_bytes(b"out 4\n")
        case "big":
            with (field.home(2) / "results/big").open("r+b") as file:
                file.write(b"oops")
        case "new there":
            (there / "results/late").write_bytes(b"late")
        case "changed there":
            (there / "stdout.log").write_bytes(b"out 4\n")
        case _:
            (home / "latest").unlink()
    removal = remove(field)
    assert (
        removal.removed == () and len(removal.kept) == 1 and "is not home as it is there" in removal.kept[0]
    )
    assert left(field) == ALL


def test_an_attempt_that_lives_keeps_everything(field: Field):
    facts = field.area.facts
    assert facts is not None
    stat = Path("/proc/self/stat").read_text()
    start = stat[stat.rindex(")") + 2 :].split()[19]
    claim = f"{os.getpid()}:{start}:{facts.boot}:{facts.hostname}\n"
    for place in (field.far / "attempts/task_001.1", field.home(1)):
        (place / "claim").write_text(claim)
        (place / "exit").unlink()
    removal = remove(field)
    assert removal == Removal(kept=("task_001.1 still runs on there",))
    assert left(field) == ALL


def test_the_home_directory_itself_is_never_deleted(tmp_path: Path):
    """A remote_root on a shared file system may lead back here."""
    field = Field(tmp_path, far=tmp_path / "sweep")
    field.attempt(1)
    removal = remove_collected(field.area, [("task_001.1", field.home(1))])
    assert removal.removed == () and "is the directory at home itself" in removal.kept[0]
    assert (field.home(1) / "stdout.log").exists()
    assert not list(field.home(1).glob(".spawn*"))
