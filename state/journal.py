"""The journal: every event of a sweep, ever, as lines in `journal/000001.jsonl`, `000002.jsonl`, …

It is append-only. A file begins where an engine took the sweep over or a snapshot was made; none is ever discarded.
The journal knows lines and their sequence numbers, not what they mean: the engine's events stand on this floor.

Who may write: the engine that holds the lock. It creates a file of its own (exclusively: no two share one), whose first
line names its epoch (`{"v":1,"epoch":3,"after":41}`), so that a line an older engine wrote after it had lost the lock,
unknowing, stands in an older file behind event 41, and is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from .disk import Disk

FORMAT = 1


class JournalDamaged(Exception):
    """The journal cannot be read; the text names file, line and what to do."""

    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(
            f"{path}:{line}: the journal is damaged: {what}. Nothing was changed. "
            f"Restore this file from a copy, or move the sweep's directory away and launch again."
        )
        self.path, self.line = path, line


class JournalForked(Exception):
    """What was read had been written by an engine that had lost the lock: read the journal again from its start."""


@dataclass(frozen=True, slots=True)
class Line:
    """One event's line: its sequence number, its text without the newline, and where it stands."""

    seq: int
    text: str
    path: Path
    number: int


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the journal: behind event `seq`, at byte `offset` and line `line` of the numbered file."""

    seq: int = 0
    file: int = 0
    offset: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True)
class TornTail:
    """What a kill or a full disk left behind the last whole line of the last file."""

    path: Path
    offset: int
    size: int


def _file_name(number: int) -> str:
    return f"{number:06d}.jsonl"


class JournalReader:
    """Reads a journal and goes on from where it stopped; safe beside a writer, for it takes whole lines only."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory
        self.seq = 0
        """Of the last line returned."""
        self._file = 0
        self._offset = 0
        self._line = 0

    def resume(self, position: Position) -> None:
        """Begin where a snapshot was made."""
        self.seq = position.seq
        self._file, self._offset, self._line = position.file, position.offset, position.line

    @property
    def position(self) -> Position:
        """Where reading stopped."""
        return Position(self.seq, self._file, self._offset, self._line)

    def read(self) -> Iterator[Line]:
        """The lines that were written since the last call. Raises `JournalDamaged` and `JournalForked`."""
        while True:
            if self._file:
                yield from self._read_file(self._directory / _file_name(self._file))
            following = self._directory / _file_name(self._file + 1)
            try:
                self._disk.size(following)
            except FileNotFoundError:
                return
            if self._file:
                # Its writer may have added lines between our read and the birth of the next file.
                yield from self._read_file(self._directory / _file_name(self._file))
            header = self._header(following)
            if header is None:
                return
            after, size = header
            if after > self.seq:
                raise JournalDamaged(
                    following, 1, f"it goes on after event {after}, but {self.seq} is the last known"
                )
            if after < self.seq:
                raise JournalForked(f"{following} goes on after event {after}, {self.seq} was read")
            self._file += 1
            self._offset, self._line = size, 1

    def torn_tail(self) -> TornTail | None:
        """The unfinished line behind what `read` returned, if any (ask after `read` came to its end)."""
        path = self._directory / _file_name(self._file)
        size = self._disk.size(path)
        return TornTail(path, self._offset, size - self._offset) if size > self._offset else None

    def demand_whole(self) -> None:
        """Raises `JournalDamaged` if a file is missing: none follows the last one read, but later ones are there."""
        following = self._directory / _file_name(self._file + 1)
        names = [name for name in self._disk.names(self._directory) if not name.startswith(".")]
        if following.name not in names and names and names[-1] > following.name:
            raise JournalDamaged(following, 1, f"the file is missing, though {names[-1]} is there")

    def _read_file(self, path: Path) -> Iterator[Line]:
        data = self._disk.read(path, self._offset)
        end = data.rfind(b"\n") + 1
        if not end:
            return
        limit = self._limit(path)
        for raw in data[:end].split(b"\n")[:-1]:
            if limit is not None and self.seq >= limit:
                return  # what follows was written by an engine that had lost the lock
            self._offset += len(raw) + 1
            self._line += 1
            seq, text = self._parse(path, raw)
            if seq != self.seq + 1:
                raise JournalDamaged(path, self._line, f"event {seq} follows event {self.seq}")
            self.seq = seq
            yield Line(seq, text, path, self._line)

    def _limit(self, path: Path) -> int | None:
        """The last event of `path` that counts: the next file's header says so."""
        header = self._header(self._directory / _file_name(int(path.stem) + 1))
        return header[0] if header else None

    def _header(self, path: Path) -> tuple[int, int] | None:
        try:
            data = self._disk.read(path, 0, 200)
        except FileNotFoundError:
            return None
        end = data.find(b"\n")
        if end < 0:
            return None  # being written, or torn: its writer never got to an event
        try:
            raw = cast("dict[str, int]", json.loads(data[:end]))
            if raw["v"] != FORMAT:
                raise JournalDamaged(
                    path, 1, f"format version {raw['v']}; this program reads version {FORMAT}"
                )
            return int(raw["after"]), end + 1
        except (ValueError, KeyError, TypeError) as error:
            raise JournalDamaged(path, 1, f"its first line is not a journal's header ({error})") from None

    def _parse(self, path: Path, raw: bytes) -> tuple[int, str]:
        try:
            text = raw.decode()
            # The writer puts "v" and "seq" first; anything else is not a line of ours.
            if not text.startswith('{"v":') or not text.endswith("}"):
                raise ValueError("not an event")
            start = text.index('"seq":') + 6
            return int(text[start : text.index(",", start)]), text
        except ValueError as error:
            raise JournalDamaged(path, self._line, f"the line is not an event ({error})") from None


class JournalWriter:
    """Appends lines to a file of its own. One lives at a time, in the engine that holds the lock."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory
        self._path: Path | None = None
        self.position = Position()
        """Where the next line will stand."""

    def start(self, file: int, *, epoch: int, after: int) -> None:
        """Begin the numbered file behind event `after`; from then on all up to that event is on the disk.

        Raises `FileExistsError` if another engine has begun that file, `OSError`.
        """
        if file > 1:
            # The header speaks for what stands before it, so that may not vanish behind the header's back.
            self._disk.append(self._directory / _file_name(file - 1), b"", sync=True)
        path = self._directory / _file_name(file)
        header = (
            json.dumps({"v": FORMAT, "epoch": epoch, "after": after}, separators=(",", ":")).encode() + b"\n"
        )
        try:
            self._disk.create(path, header)
        except FileExistsError:
            if b"\n" in self._disk.read(path):
                raise
            self._disk.remove(path)  # a header that was never finished: no event can stand behind it
            self._disk.create(path, header)
        self._path = path
        self.position = Position(after, file, len(header), 1)

    def append(self, lines: list[str], *, sync: bool = False) -> None:
        """Write the lines, one event each and in sequence, in one go. With `sync` they are then on the disk.

        Raises `OSError` (a full disk); then nothing of them is in the journal.
        """
        assert self._path is not None, "start comes first"
        data = "".join(f"{line}\n" for line in lines).encode()
        self._disk.append(self._path, data, sync=sync)
        here = self.position
        self.position = Position(
            here.seq + len(lines), here.file, here.offset + len(data), here.line + len(lines)
        )

    def sync(self) -> None:
        """Bring all that was appended to the disk. Raises `OSError`."""
        assert self._path is not None, "start comes first"
        self._disk.append(self._path, b"", sync=True)


def cut_torn_tail(disk: Disk, tail: TornTail) -> None:
    """Cut the unfinished line off, once the next file was begun: behind that fence nothing counts any more, not even
    the rest of this line, should its writer still live."""
    disk.truncate(tail.path, tail.offset)
