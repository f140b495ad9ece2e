"""Follows the end of one log file: only new bytes are read, and a file that shrank or was replaced is begun anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..state.layout import STDERR, STDOUT
from . import format as fmt
from .feed import Feed
from .log_mirror import FarLog, FarLogs, Origin

Stream = Literal["stdout", "stderr", "bootstrap"]
"""`bootstrap`: what the instance of an attempt did before and after the work."""

CHUNK = 1 << 20
CONSOLE = "console.log"
"""In an attempt's directory: what EC2 kept of the console of an instance that never gave a sign of life."""
LONGEST = 20_000
"""Characters of one line that are kept; the rest of it is only counted."""
_PARTIAL = 1 << 16
"""Bytes of an unfinished line that are kept."""


def file_of(stream: Stream) -> str:
    """What that log is called in an attempt's directory."""
    if stream != "bootstrap":
        return STDERR if stream == "stderr" else STDOUT
    from ..engine.collect.elsewhere import BOOTSTRAP

    return BOOTSTRAP


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Which log to follow. `path`, at home, is None for a task that has none; `missing` says why it may be empty."""

    index: int
    attempt: int
    stream: Stream
    path: Path | None
    missing: str
    far: FarLog | None = None
    """Where it is while it is not at `path`."""

    @property
    def key(self) -> tuple[int, int, str]:
        return (self.index, self.attempt, self.stream)


@dataclass(frozen=True, slots=True)
class LogNews:
    """From line `start` on the log is now `lines`. `absent` says why there is nothing to show, if there is not."""

    target: LogTarget
    start: int
    lines: tuple[str, ...]
    skipped: int = 0
    """Bytes before the first line that were not read."""
    absent: str = ""
    console: bool = False
    """It is the console of an instance that left no log of its own."""


@dataclass(frozen=True, slots=True)
class LogFrom:
    """The bytes of a log come from another machine; None: they are at home."""

    target: LogTarget
    origin: Origin | None


def _home(target: LogTarget) -> Path | None:
    """The log's file here, or where there is none of an instance, what EC2 kept of its console."""
    if target.path is None or target.stream != "bootstrap" or target.path.exists():
        return target.path
    console = target.path.with_name(CONSOLE)
    return console if console.exists() else target.path


class LogTail:
    """The file as lines. Not thread-safe; `read` is for the feed's thread."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit = path, limit
        self.skipped = 0
        self._identity = (0, 0)
        self._offset = -1
        self._whole = 0
        self._partial = b""

    def read(self) -> tuple[int, list[str]] | None:
        """`(start, lines)` if something changed. Raises `OSError`."""
        # Opened each time: NFS shows another host's bytes only to who opens, and a rotated log is another
        # file.
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            stat = os.fstat(fd)
            identity = (stat.st_dev, stat.st_ino)
            if (
                identity != self._identity
                or stat.st_size < self._offset
                or stat.st_size - self._offset > self.limit
            ):
                self._begin(fd, identity, stat.st_size)
                return 0, self._take(fd, stat.st_size)
            if stat.st_size == self._offset:
                return None
            start = self._whole
            return start, self._take(fd, stat.st_size)
        finally:
            os.close(fd)

    def _begin(self, fd: int, identity: tuple[int, int], size: int) -> None:
        self._identity, self._whole, self._partial = identity, 0, b""
        self._offset = self.skipped = max(0, size - self.limit)
        if self._offset:
            # Begin with a whole line, unless the line is longer than all that is read.
            head = os.pread(fd, 1 << 16, self._offset)
            newline = head.find(b"\n")
            if newline >= 0:
                self._offset += newline + 1
                self.skipped = self._offset

    def _take(self, fd: int, size: int) -> list[str]:
        pieces: list[bytes] = [self._partial]
        while self._offset < size:
            data = os.pread(fd, min(CHUNK, size - self._offset), self._offset)
            if not data:
                break
            self._offset += len(data)
            pieces.append(data)
        *whole, partial = b"".join(pieces).split(b"\n")
        lines = [_decode(raw) for raw in whole]
        self._whole += len(lines)
        if len(partial) > _PARTIAL:
            partial = partial[-_PARTIAL:]
        self._partial = partial
        if partial:
            lines.append(_decode(partial))
        return lines


def _decode(raw: bytes) -> str:
    line = fmt.log_line(raw.decode("utf-8", "replace"))
    if len(line) > LONGEST:
        return f"{line[:LONGEST]} … ({fmt.size(len(raw))} on this line)"
    return line


class LogFeed(Feed):
    """Follows the log it was pointed at last. `tell` is called in this feed's thread."""

    def __init__(
        self, tell: Callable[[LogNews | LogFrom], object], *, limit: int, interval: float = 0.25
    ) -> None:
        super().__init__("log")
        self._far = FarLogs(limit)
        self._origin: Origin | None = None
        self._tell, self._limit, self._interval = tell, limit, interval
        self._target: LogTarget | None = None
        self._tail: LogTail | None = None
        self._told: LogTarget | None = None
        self._absent = ""

    def follow(self, target: LogTarget) -> None:
        """Show this log from now on."""
        if target != self._target:
            self._target = target
            self.wake()

    def look(self) -> float | None:
        target = self._target
        if target is None:
            return 60.0
        try:
            path, settling = self._where(target)
            if self._tail is None or self._tail.path != path:
                self._tail = LogTail(path, self._limit) if path else None
                self._told = None
            self._say_origin(target)
            if self._tail is None:
                self._say_absent(target, target.missing)
                return settling or 60.0
            found = self._tail.read()
        except FileNotFoundError:
            self._tail = None
            self._say_absent(target, self._why_missing(target))
            return self._interval * 2
        except OSError as error:
            self._tail = None
            self._say_absent(target, f"{error.filename or target.path}: {error.strerror or error}")
            return self._interval * 4
        if found is not None:
            start, lines = found
            absent = "" if lines or start else target.missing
            self._told, self._absent = target, absent
            console = self._tail.path.name == CONSOLE
            self._tell(LogNews(target, start, tuple(lines), self._tail.skipped, absent, console))
        elif self._absent and self._told != target:
            self._say_absent(target, target.missing)
        return self._interval

    def _where(self, target: LogTarget) -> tuple[Path | None, float]:
        """The file to read, and the seconds until that is worth asking again if there is none."""
        home = _home(target)
        if home is None or target.far is None or home.exists():
            self._far.look(None)
            return home, 0.0
        name = file_of(target.stream)
        # A look is a request for each file, which is paid for.
        settling = self._far.look(target.far, (STDOUT, STDERR) if name in (STDOUT, STDERR) else (name,))
        return self._far.path(name), settling

    def _why_missing(self, target: LogTarget) -> str:
        """What a machine that does not answer says is why there is nothing; one that does, leaves it to the task."""
        origin = self._origin
        return (origin.reason if origin is not None else "") or target.missing

    def _say_origin(self, target: LogTarget) -> None:
        origin = self._far.origin
        if origin != self._origin:
            self._origin = origin
            self._tell(LogFrom(target, origin))

    def _run(self) -> None:
        try:
            super()._run()
        finally:
            self._far.close()

    def failed(self, why: str) -> None:
        target = self._target
        if target is not None:
            self._tell(LogNews(target, 0, (), absent=why))

    def _say_absent(self, target: LogTarget, why: str) -> None:
        if self._told != target or self._absent != why:
            self._told, self._absent = target, why
            self._tell(LogNews(target, 0, (), absent=why))
