"""SFTP as it is spoken with instances, and an attempt's files at home, with servers that are not as they should be."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from spawn_tui.engine.aws import ssh_errand
from spawn_tui.engine.aws.ssh_errand import Errand
from spawn_tui.engine.collect.bring import Trip
from spawn_tui.engine.collect.rules import CollectRules
from spawn_tui.engine.events import Ref
from spawn_tui.engine.remote import sftp as sftp_module
from spawn_tui.engine.remote.host import HostAway, HostRefused
from spawn_tui.engine.remote.sftp import AHEAD, BLOCK, Facts, Sftp, SftpRefused

THERE = b"/var/lib/spawn/attempts/task_001.1"
FILE, FOLDER, PIPE = 0o100600, 0o040700, 0o010600
VERSION, CLOSE, READ, LSTAT, FSTAT, OPENDIR, READDIR = 2, 4, 5, 7, 8, 11, 12
Answer = tuple[int, bytes]


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def status(code: int, words: bytes = b"no") -> Answer:
    return 101, struct.pack(">I", code) + string(words) + string(b"")


def attributes(size: int, mode: int, at: int = 5) -> bytes:
    # With everything that may be there: size, owner, mode, times, extensions.
    return (
        struct.pack(">IQIIIII", 0x8000000F, size, 0, 0, mode, at, at)
        + struct.pack(">I", 1)
        + string(b"x") * 2
    )


class Server:
    """A server of `tree` (paths below the attempt; None: a folder) whose answers `change` may spoil."""

    def __init__(
        self,
        tree: dict[bytes, bytes | None],
        change: Callable[[int, Answer], list[Answer]] = lambda kind, answer: [answer],
        *,
        reverse: int = 0,
        most: int = BLOCK,
    ) -> None:
        self.tree = {THERE: None} | {THERE + b"/" + path: content for path, content in tree.items()}
        self.change, self.reverse, self.most = change, reverse, most
        self.asked: list[int] = []
        self.listed: set[bytes] = set()
        self._held: list[bytes] = []
        self._out = bytearray()
        self.unanswered = 0
        """The most that was asked before anything was said."""

    def send(self, data: bytes) -> None:
        kind, body = data[4], data[5:]
        number, rest = body[:4], body[4:]
        self.asked.append(kind)
        if kind == 1:
            self.say(VERSION, struct.pack(">I", 3))
            return
        for answer in self.change(kind, self._answer(kind, rest)):
            self.say(answer[0], number + answer[1])

    def say(self, kind: int, body: bytes) -> None:
        self.unanswered = max(self.unanswered, len(self._held) + 1)
        self._held.append(struct.pack(">IB", len(body) + 1, kind) + body)
        if len(self._held) > self.reverse:
            self._flush()

    def _flush(self) -> None:
        self._out += b"".join(reversed(self._held))
        self._held.clear()

    def receive(self, count: int) -> bytes:
        if len(self._out) < count:
            self._flush()
        if len(self._out) < count:
            raise HostAway("there: connection lost")
        piece = bytes(self._out[:count])
        del self._out[:count]
        return piece

    def _answer(self, kind: int, rest: bytes) -> Answer:
        (size,) = struct.unpack(">I", rest[:4])
        path, rest = rest[4 : 4 + size], rest[4 + size :]
        if kind == CLOSE:
            return status(0)
        if path not in self.tree:
            return status(2, b"No such file")
        content = self.tree[path]
        if kind in (LSTAT, FSTAT):
            return 105, attributes(len(content or b""), FOLDER if content is None else FILE)
        if kind == READDIR:
            if path in self.listed:
                return status(1, b"End of file")
            self.listed.add(path)
            below = [
                (name[len(path) + 1 :], inside)
                for name, inside in self.tree.items()
                if name.startswith(path + b"/") and b"/" not in name[len(path) + 1 :].replace(b"//", b"")
            ]
            items = [(b".", None), (b"..", None), *below]
            return 104, struct.pack(">I", len(items)) + b"".join(
                string(name.replace(b"//", b"/"))
                + string(b"-rw")
                + attributes(len(inside or b""), FOLDER if inside is None else FILE)
                for name, inside in items
            )
        if kind == READ:
            offset, count = struct.unpack(">QI", rest)
            piece = (content or b"")[offset : offset + min(count, self.most)]
            return (103, string(piece)) if piece else status(1, b"End of file")
        return 102, string(path)  # a handle that is the path


def errand(server: Server, home: Path, **rules: object) -> Trip:
    trip = Trip("task_001.1", Ref(0, 1), home, failed=False)
    Errand(
        Sftp(server, "i-1"),
        trip,
        "i-1",
        CollectRules(**rules),
        None,
        lambda count: None,  # type: ignore[arg-type]
    ).run()
    return trip


def whole(server: Server, start: int = 0, end: int | None = None) -> tuple[bytes, Facts]:
    came = bytearray()
    size = len(server.tree[THERE + b"/f"] or b"")
    facts = Sftp(server, "i-1").read(THERE.decode() + "/f", start, size if end is None else end, came.extend)
    return bytes(came), facts


def test_reads_are_asked_for_ahead_and_not_beyond_that():
    content = os.urandom(BLOCK * (AHEAD + 10) + 3)
    server = Server({b"f": content}, reverse=AHEAD - 1)  # says nothing before so much was asked
    came, facts = whole(server)
    assert came == content and facts == Facts(len(content), 5, FILE)
    assert server.asked.count(READ) == AHEAD + 11 and server.asked[-1] == CLOSE
    assert server.unanswered == AHEAD
    assert whole(Server({b"f": content}), 100_000, 200_000)[0] == content[100_000:200_000]


def test_answers_may_come_in_any_order_and_be_shorter_than_was_asked():
    content = os.urandom(BLOCK * 7 + 11)
    assert whole(Server({b"f": content}, reverse=5))[0] == content
    assert whole(Server({b"f": content}, most=10_000))[0] == content
    # Shorter than it was when it was listed.
    assert whole(Server({b"f": content}), end=len(content) + 3 * BLOCK)[0] == content


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kind, answer: [(103, string(b"x" * (BLOCK + 1)))] if kind == READ else [answer],
        lambda kind, answer: [(103, b"\xff\xff\xff\xff")] if kind == READ else [answer],
        lambda kind, answer: [(77, answer[1])],
        lambda kind, answer: [(105, struct.pack(">I", 1))] if kind == FSTAT else [answer],
        lambda kind, answer: [(104, struct.pack(">I", 0))] if kind == READ else [answer],
    ],
)  # fmt: skip
def test_answers_that_cannot_be_understood(spoil: Callable[[int, Answer], list[Answer]]):
    with pytest.raises(HostAway, match="cannot be understood"):
        whole(Server({b"f": b"1234"}, spoil))


def test_answers_to_what_nobody_asked_do_not_fill_the_memory():
    server = Server({b"f": b"1"})
    session = Sftp(server, "i-1")
    for number in range(AHEAD * 3):
        server.say(101, struct.pack(">I", 10_000 + number))
    with pytest.raises(HostAway, match="cannot be understood"):
        session.facts(THERE.decode() + "/f")


def test_a_directory_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def again(kind: int, answer: Answer) -> list[Answer]:
        if kind != READDIR:
            return [answer]
        return [(104, struct.pack(">I", 1) + string(b"x") + string(b"") + attributes(0, FILE))]

    monkeypatch.setattr(sftp_module, "MOST", 1000)
    with pytest.raises(SftpRefused, match="more than 1000"):
        Sftp(Server({}, again), "i-1").entries(THERE.decode())
    nothing = Server({}, lambda kind, answer: [(104, struct.pack(">I", 0)) if kind == READDIR else answer])
    with pytest.raises(HostAway, match="cannot be understood"):
        Sftp(nothing, "i-1").entries(THERE.decode())
    monkeypatch.setattr(ssh_errand, "MOST", 3)
    with pytest.raises(HostRefused, match="more than 3 files"):
        errand(Server({b"%d" % n: b"" for n in range(5)}), tmp_path)


def test_names_that_lead_elsewhere_are_refused(tmp_path: Path):
    """No file system has them; a server that lies may."""
    # `//` stands for a slash inside of one name.
    server = Server({b"good": b"1", b"..//..//evil": b"2", b"a//b": b"3", b"nul\0": b"4", b"": b"5"})
    home = tmp_path / "home"
    trip = errand(server, home)
    assert sorted(path.name for path in home.iterdir()) == ["good"]
    assert (trip.files, len(trip.problems)) == (1, 4)
    assert all("does not name a place below" in text for text in trip.problems)
    assert not (tmp_path / "evil").exists()


def test_names_that_are_no_text_come_home(tmp_path: Path):
    trip = errand(Server({b"a\xff\n": b"1", b"sub": None, b"sub/\xfe": b"2"}), tmp_path)
    assert trip.problems == [] and trip.files == 2
    assert (Path(os.fsdecode(os.fsencode(tmp_path) + b"/sub/\xfe"))).read_bytes() == b"2"


def test_the_rules_of_collecting_hold(tmp_path: Path):
    server = Server({b"a.ckpt": b"12345", b"big": b"x" * 100, b"stdout.log": b"x" * 100, b"b": b"1"})
    trip = errand(server, tmp_path, exclude=("*.ckpt",), max_size=50)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "stdout.log"]
    notes = "\n".join(trip.notes)
    assert "a.ckpt on i-1: excluded, left there" in notes and "big on i-1: larger than 50 bytes" in notes


def test_what_goes_away_or_cannot_be_read_is_told(tmp_path: Path):
    def gone(kind: int, answer: Answer) -> list[Answer]:
        return [status(2, b"No such file")] if kind == READ else [answer]

    trip = errand(Server({b"f": b"1"}, gone), tmp_path)
    assert trip.problems == [] and "gone when it was fetched" in trip.notes[0]

    def denied(kind: int, answer: Answer) -> list[Answer]:
        return [status(3, b"Permission denied")] if kind == READ else [answer]

    trip = errand(Server({b"f": b"1"}, denied), tmp_path)
    assert trip.problems == ["'f' cannot be read on i-1: Permission denied"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_always_shorter_is_a_problem(tmp_path: Path):
    def short(kind: int, answer: Answer) -> list[Answer]:
        return [status(1)] if kind == READ else [answer]

    trip = errand(Server({b"f": b"123"}, short), tmp_path)
    assert trip.problems == ["'f' changed while it was read"] and list(tmp_path.iterdir()) == []
