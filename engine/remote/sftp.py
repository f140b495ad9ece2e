"""Reading files over SFTP, version 3 (draft-ietf-secsh-filexfer-02), as whoever may read them.

paramiko's own client gives up a whole directory for one name that is not UTF-8, and asks for the next bytes only when
the last have come. Here names are text with surrogate escapes, as Python gives such names, and reads are asked for
ahead. Nothing is ever written.
"""

from __future__ import annotations

import contextlib
import struct
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from .host import HostAway

BLOCK, AHEAD = 32 << 10, 64
"""Bytes of one read, which every server gives at once (section 3), and reads that are under way: 2 MiB."""
MOST = 1 << 20
"""Entries of one directory, and bytes of one answer, at most."""
_INIT, _VERSION, _OPEN, _CLOSE, _READ, _LSTAT, _FSTAT, _OPENDIR, _READDIR, _READLINK = (
    1, 2, 3, 4, 5, 7, 8, 11, 12, 19,
)  # fmt: skip
_STATUS, _HANDLE, _DATA, _NAME, _ATTRS = 101, 102, 103, 104, 105
_END_OF_FILE, _NO_SUCH_FILE = 1, 2
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 0x1, 0x2, 0x4, 0x8, 0x80000000


class SftpRefused(Exception):
    """The server answered and could not do it; the text is its own complaint. `gone`: there is no such file."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.gone = code == _NO_SUCH_FILE


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server says of a file: bytes, seconds since 1970 by the clock there, type and permissions."""

    size: int
    at: int
    mode: int


class Wire(Protocol):
    """Bytes to a server and from it. Both raise `HostAway` and `HostRefused`."""

    def send(self, data: bytes) -> None: ...
    def receive(self, count: int) -> bytes: ...


class Sftp:
    """One session. All methods raise `HostAway`, and `SftpRefused` for what cannot be had; for one thread."""

    def __init__(self, wire: Wire, where: str) -> None:
        self._wire, self._where = wire, where
        self._number = 0
        self._early: dict[int, _Reply] = {}
        wire.send(_packet(_INIT, struct.pack(">I", 3)))
        if self._next().kind != _VERSION:
            raise self._broken()

    def facts(self, path: str) -> Facts:
        """Of the file itself, also of a symbolic link."""
        return self._expect(self._ask(_LSTAT, _text(path)), _ATTRS).facts()

    def target(self, path: str) -> str:
        """What a symbolic link holds."""
        reply = self._expect(self._ask(_READLINK, _text(path)), _NAME)
        if reply.number() != 1:
            raise self._broken()
        return reply.text()

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """What stands in a directory: names as the server has them, whatever they are, without `.` and `..`."""
        found: list[tuple[str, Facts]] = []
        with self._opened(_OPENDIR, _text(path)) as handle:
            while True:
                reply = self._answer(self._ask(_READDIR, handle))
                if reply.kind == _STATUS and reply.status() == _END_OF_FILE:
                    return found
                for name, facts in self._named(reply):
                    if name not in (".", ".."):
                        found.append((name, facts))
                if len(found) > MOST:
                    raise SftpRefused(f"a directory of more than {MOST} entries", 0)

    def _named(self, reply: _Reply) -> Iterator[tuple[str, Facts]]:
        self._check(reply, _NAME)
        count = reply.number()
        if not count:
            raise self._broken()  # else an answer of nothing, again and again, would never end
        for _ in range(count):
            name = reply.text()
            reply.field()  # the line `ls -l` would print
            yield name, reply.facts()

    def read(self, path: str, offset: int, end: int, write: Callable[[bytes], object]) -> Facts:
        """Hand over the bytes from `offset` to `end`, as far as the file goes; what it was after the last of them."""
        with self._opened(_OPEN, _text(path) + struct.pack(">II", 1, 0)) as handle:
            while offset < end:
                came = self._read_ahead(handle, offset, end, write)
                if not came:
                    break
                offset += came
            return self._expect(self._ask(_FSTAT, handle), _ATTRS).facts()

    def _read_ahead(self, handle: bytes, offset: int, end: int, write: Callable[[bytes], object]) -> int:
        """Bytes that came in a row: all, or up to a read that was answered by fewer than it asked for."""
        waiting: deque[tuple[int, int]] = deque()
        asked, came, whole = offset, 0, True
        while waiting or (whole and asked < end):
            while whole and asked < end and len(waiting) < AHEAD:
                count = min(BLOCK, end - asked)
                waiting.append((self._ask(_READ, handle + struct.pack(">QI", asked, count)), count))
                asked += count
            number, count = waiting.popleft()
            reply = self._answer(number)
            if not whole:
                continue
            piece = b""
            if reply.kind != _STATUS or reply.status() != _END_OF_FILE:
                self._check(reply, _DATA)
                piece = reply.field()
            if len(piece) > count:
                raise self._broken()
            whole = len(piece) == count
            if piece:
                write(piece)
                came += len(piece)
        return came

    # --- questions and answers -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, kind: int, body: bytes) -> Generator[bytes]:
        handle = _string(self._expect(self._ask(kind, body), _HANDLE).field())
        try:
            yield handle
        except SftpRefused:
            self._answer(self._ask(_CLOSE, handle))
            raise
        self._answer(self._ask(_CLOSE, handle))

    def _ask(self, kind: int, body: bytes) -> int:
        """Send a question; the number its answer will bear."""
        self._number = (self._number + 1) % (1 << 32)
        self._wire.send(_packet(kind, struct.pack(">I", self._number) + body))
        return self._number

    def _answer(self, number: int) -> _Reply:
        """The answer to a question; those of later ones may come before it (section 6)."""
        while number not in self._early:
            reply = self._next()
            self._early[reply.number()] = reply
            if len(self._early) > AHEAD + 1:
                raise self._broken()
        return self._early.pop(number)

    def _expect(self, number: int, kind: int) -> _Reply:
        reply = self._answer(number)
        self._check(reply, kind)
        return reply

    def _check(self, reply: _Reply, kind: int) -> None:
        if reply.kind == kind:
            return
        if reply.kind != _STATUS:
            raise self._broken()
        code = reply.status()
        raise SftpRefused(reply.text() or f"SFTP status {code}", code)

    def _next(self) -> _Reply:
        (size,) = struct.unpack(">I", self._wire.receive(4))
        if not 1 <= size <= MOST:
            raise self._broken()
        body = self._wire.receive(size)
        return _Reply(body[0], body[1:], self._broken)

    def _broken(self) -> HostAway:
        return HostAway(f"{self._where}: its SFTP server answers what cannot be understood")


class _Reply:
    """An answer, read from its beginning."""

    def __init__(self, kind: int, body: bytes, broken: Callable[[], HostAway]) -> None:
        self.kind = kind
        self._body, self._at, self._broken = body, 0, broken
        self._code: int | None = None

    def number(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def status(self) -> int:
        """The code of a status; to be read once or more, before its text."""
        if self._code is None:
            self._code = self.number()
        return self._code

    def field(self) -> bytes:
        return self._take(self.number())

    def text(self) -> str:
        return self.field().decode(errors="surrogateescape")

    def facts(self) -> Facts:
        """Section 5, "File Attributes"; what is missing is 0."""
        flags = self.number()
        size = int.from_bytes(self._take(8), "big") if flags & _HAS_SIZE else 0
        if flags & _HAS_OWNER:
            self._take(8)
        mode = self.number() if flags & _HAS_MODE else 0
        at = 0
        if flags & _HAS_TIMES:
            self._take(4)
            at = self.number()
        if flags & _HAS_MORE:
            for _ in range(self.number()):
                self.field()
                self.field()
        return Facts(size, at, mode)

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._body):
            raise self._broken()
        taken, self._at = self._body[self._at : end], end
        return taken


def _packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", len(body) + 1, kind) + body


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _text(text: str) -> bytes:
    return _string(text.encode(errors="surrogateescape"))
