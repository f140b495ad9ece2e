"""The mailbox: whole files only, oldest first, and nothing in it can stop the engine."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.control import take
from spawn_tui.engine.sweep import Sweep, apply
from spawn_tui.state.disk import LocalDisk
from spawn_tui.state.requests import RequestFile, new_request_id, pending, post


def test_what_is_posted_is_found_oldest_first(tmp_path: Path) -> None:
    disk, box = LocalDisk(), tmp_path / "requests"
    assert pending(disk, box) == []
    post(disk, box, "0000000000002-bb", {"verb": "resume"})
    post(disk, box, "0000000000001-aa", {"verb": "pause", "by": "Ada Łovelace"})
    assert [(r.id, r.content) for r in pending(disk, box)] == [
        ("0000000000001-aa", {"verb": "pause", "by": "Ada Łovelace"}),
        ("0000000000002-bb", {"verb": "resume"}),
    ]
    assert (box / "0000000000001-aa.json").stat().st_mode & 0o777 == 0o600


def test_ids_sort_by_time_and_differ() -> None:
    ids = [new_request_id() for _ in range(100)]
    assert len(set(ids)) == 100
    times = [name.partition("-")[0] for name in ids]
    assert times == sorted(times) and {len(time) for time in times} == {13}


def test_an_id_is_posted_once(tmp_path: Path) -> None:
    disk = LocalDisk()
    post(disk, tmp_path, "1-a", {"verb": "pause"})
    with pytest.raises(FileExistsError):
        post(disk, tmp_path, "1-a", {"verb": "cancel"})
    assert [r.content for r in pending(disk, tmp_path)] == [{"verb": "pause"}]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'"pause"', b"null", b"\xff\xfe", b"\0" * 100, b"[" * 100_000]
)
def test_what_is_not_a_request_is_found_as_such(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "1-a.json").write_bytes(data)
    assert [(r.id, r.content) for r in pending(LocalDisk(), tmp_path)] == [("1-a", None)]


def test_what_is_being_written_is_not_seen(tmp_path: Path) -> None:
    (tmp_path / ".1-a.json.77.1.tmp").write_text("{")
    (tmp_path / "notes.txt").write_text("hello")
    assert pending(LocalDisk(), tmp_path) == []


def test_one_that_vanishes_meanwhile_is_no_error(tmp_path: Path) -> None:
    class Gone(LocalDisk):
        def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
            raise FileNotFoundError(errno.ENOENT, "gone", str(path))

    post(LocalDisk(), tmp_path, "1-a", {"verb": "pause"})
    assert pending(Gone(), tmp_path) == []


# --- what an engine makes of them --------------------------------------------------------------------------------


def sweep_of(total: int = 3) -> Sweep:
    sweep = Sweep()
    for seq, event in enumerate((ev.SweepCreated("s-1", "s", total), ev.SourceAdded("local", "local", 2)), 1):
        apply(sweep, ev.Record(seq, 0.0, event))
    return sweep


def request(content: dict[str, object] | None, name: str = "1-a") -> RequestFile:
    return RequestFile(name, Path(f"/requests/{name}.json"), content)


@pytest.mark.parametrize(
    ("content", "event"),
    [
        ({"verb": "pause", "by": "ada@host"}, ev.RequestTaken("1-a", "pause", by="ada@host")),
        (
            {"verb": "cancel", "tasks": ["task_001", "task_003"], "force": True},
            ev.RequestTaken("1-a", "cancel", (0, 2), force=True),
        ),
        ({"verb": "slots", "source": "local", "value": 4}, ev.RequestTaken("1-a", "slots", (), "local", 4)),
        ({"verb": "limit"}, ev.RequestTaken("1-a", "limit")),
        ({"verb": "retry"}, ev.RequestTaken("1-a", "retry")),
    ],
)  # fmt: skip
def test_a_request_becomes_an_event_once(content: dict[str, object], event: ev.RequestTaken) -> None:
    sweep = sweep_of()
    assert take(sweep, request(content)) == event
    apply(sweep, ev.Record(3, 0.0, event))
    assert take(sweep, request(content)) is None
    assert take(sweep, request({"verb": "cancel"})) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not readable"),
        ({}, "no request is called None"),
        ({"verb": "explode"}, "no request is called 'explode'"),
        ({"verb": ["cancel"]}, "no request is called"),
        ({"verb": "cancel", "tasks": "task_001"}, "tasks is not a list"),
        ({"verb": "cancel", "tasks": ["task_004"]}, "task_004 is not among the sweep's 3 tasks"),
        ({"verb": "cancel", "tasks": [1]}, "not a task's id"),
        ({"verb": "slots", "source": "moon", "value": 1}, "no source is called 'moon'; there are local"),
        ({"verb": "slots", "source": "local", "value": 0}, "at least one slot"),
        ({"verb": "slots", "source": "local", "value": True}, "not a number"),
        ({"verb": "limit", "value": -1}, "not a number"),
        ({"verb": "limit", "value": 1.5}, "not a number"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_in_words(content: dict[str, object] | None, words: str) -> None:
    refusal = take(sweep_of(), request(content))
    assert isinstance(refusal, ev.RequestRefused)
    assert words in refusal.reason


@pytest.mark.parametrize(
    ("verb", "obeyed"), [("cancel", False), ("pause", False), ("retry", True), ("resume", True)]
)
def test_a_sweep_that_has_ended_can_only_go_on(verb: str, obeyed: bool) -> None:
    sweep = sweep_of()
    apply(sweep, ev.Record(3, 0.0, ev.SweepEnded("failed", "no source")))
    assert isinstance(take(sweep, request({"verb": verb})), ev.RequestTaken if obeyed else ev.RequestRefused)
