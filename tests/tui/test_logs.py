from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.tui.log_feed import LONGEST, LogFeed, LogNews, LogTail, LogTarget
from spawn_tui.tui.log_text import LogText, wrap

LIMIT = 1000


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "stdout.log"
    path.write_bytes(b"")
    return path


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_only_what_is_new_is_told(log: Path):
    tail, text = LogTail(log, LIMIT), LogText()
    assert tail.read() == (0, [])
    add(log, b"one\ntwo")
    assert tail.read() == (0, ["one", "two"])
    assert tail.read() is None
    add(log, b" and more\nthree\n")
    assert tail.read() == (1, ["two and more", "three"])
    text.update(0, ["one", "two"])
    text.update(1, ["two and more", "three"])
    assert text.lines == ["one", "two and more", "three"]


def test_a_progress_bar_is_one_line(log: Path):
    tail = LogTail(log, LIMIT)
    add(log, b"10%\r20%\r")
    assert tail.read() == (0, ["20%"])
    add(log, b"30%\r")
    assert tail.read() == (0, ["30%"])
    add(log, b"100%\ndone\n")
    assert tail.read() == (0, ["100%", "done"])


def test_a_big_file_begins_at_a_whole_line_near_its_end(log: Path):
    add(log, b"".join(b"line %04d\n" % n for n in range(1000)))
    tail = LogTail(log, LIMIT)
    found = tail.read()
    assert found is not None
    start, lines = found
    assert start == 0 and lines[0] == "line 0901" and lines[-1] == "line 0999"
    assert tail.skipped == 10 * 901


def test_truncation_and_rotation_begin_anew(log: Path):
    tail = LogTail(log, LIMIT)
    add(log, b"old\nold\n")
    tail.read()
    log.write_bytes(b"new\n")
    assert tail.read() == (0, ["new"])
    other = log.with_name("other")
    other.write_bytes(b"rotated file\n")
    os.replace(other, log)
    assert tail.read() == (0, ["rotated file"])


def test_very_long_lines_are_cut_and_measured(log: Path):
    tail = LogTail(log, 4 << 20)
    add(log, b"x" * (2 << 20) + b"\nend\n")
    found = tail.read()
    assert found is not None
    assert found[1][0] == "x" * LONGEST + " … (2.0 MB on this line)"
    assert found[1][1] == "end"


def test_a_flood_without_a_newline_stays_small(log: Path):
    tail = LogTail(log, 1 << 20)
    for _ in range(20):
        add(log, b"y" * 100_000)
        tail.read()
    assert len(tail._partial) <= 1 << 16


def test_bytes_that_are_no_text(log: Path):
    tail = LogTail(log, LIMIT)
    add(log, "größe".encode()[:4])
    tail.read()
    add(log, "größe".encode()[4:] + b"\xff\x1b[2J\n")
    assert tail.read() == (0, ["größe�"])


@given(st.lists(st.binary(max_size=30), max_size=12))
def test_pieces_come_to_the_same_as_the_whole(pieces: list[bytes]):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(b"")
        tail, text = LogTail(path, 1 << 20), LogText()
        for piece in pieces:
            add(path, piece)
            found = tail.read()
            if found is not None:
                text.update(*found)
        whole = LogTail(path, 1 << 20).read()
        assert whole is not None and text.lines == whole[1]


def test_old_lines_are_let_go_and_keep_their_numbers():
    text = LogText(max_lines=5)
    text.update(0, [str(n) for n in range(8)])
    assert (text.first, text.lines, text.end) == (3, ["3", "4", "5", "6", "7"], 8)
    text.update(7, ["seven", "eight"])
    assert text.lines == ["4", "5", "6", "seven", "eight"] and text.end == 9


def test_search_ignores_case_unless_it_has_capitals():
    text = LogText()
    text.update(0, ["Loss 1", "loss 2", "none"])
    assert text.find("loss") == [0, 1]
    assert text.find("Loss") == [0]
    assert text.find("") == []


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=60), st.integers(2, 30)
)
def test_wrapped_lines_fit_and_lose_nothing(line: str, width: int):
    from rich.cells import cell_len

    pieces = wrap(line, width)
    assert "".join(pieces) == line
    assert all(cell_len(piece) <= width for piece in pieces)


class Told:
    """Collects what a feed tells, and waits for it."""

    def __init__(self) -> None:
        self.news: list[LogNews] = []
        self._more = threading.Condition()

    def __call__(self, news: LogNews) -> None:
        with self._more:
            self.news.append(news)
            self._more.notify_all()

    def wait(self, number: int) -> LogNews:
        with self._more:
            assert self._more.wait_for(lambda: len(self.news) >= number, 10), self.news
            return self.news[number - 1]


def test_the_feed_says_why_there_is_nothing_and_goes_on_when_there_is(tmp_path: Path):
    told = Told()
    feed = LogFeed(told, limit=LIMIT, interval=0.01)
    path = tmp_path / "stdout.log"
    feed.follow(LogTarget(3, 1, "stdout", path, "Being launched; nothing written yet."))
    feed.start()
    assert told.wait(1).absent == "Being launched; nothing written yet."
    path.write_text("hello\n")
    assert told.wait(2).lines == ("hello",)
    feed.follow(LogTarget(4, 0, "stdout", None, "Not started yet: it waits for a free slot."))
    assert told.wait(3).absent.startswith("Not started yet")
    path.unlink()
    path.mkdir()
    feed.follow(LogTarget(3, 1, "stdout", path, ""))
    assert "directory" in told.wait(4).absent.lower()
    feed.stop()
