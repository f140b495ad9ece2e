"""One engine per sweep: the lock that says who it is.

The lock is a file made whole and exclusively (a hard link, atomic on NFS too) that names the holder as a process: host,
boot, pid, start time. A holder that died on this host is replaced without asking; one on another host only when told
to, for nobody here can know whether it lives. Its heartbeat is the file's modification time.

`check` is cheap and is called before every batch: an engine that was stopped while another took over finds another file
under the name, and stops.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from .disk import DIR_MODE, FILE_MODE
from .process import ProcessId, is_alive, is_here, myself

BEAT = 5.0
"""Seconds between two heartbeats."""
SILENT = 60.0
"""Seconds without a heartbeat after which a holder is called silent."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, and when its heart beat last (seconds since 1970)."""

    process: ProcessId
    beat_at: float

    def describe(self) -> str:
        return f"pid {self.process.pid} on {self.process.host}"

    @property
    def lives(self) -> bool | None:
        """True or False if it can be told from here, None if it is on another host."""
        return is_alive(self.process) if is_here(self.process) else None


class LockHeld(Exception):
    """Somebody else holds the lock; the text names it and says what to do."""

    def __init__(self, path: Path, holder: Holder) -> None:
        silence = time.time() - holder.beat_at
        what = f"this sweep's engine is already running: {holder.describe()}"
        if silence > SILENT:
            what += f", silent for {silence:.0f} s"
        if holder.lives is None:
            what += "; whether it lives cannot be told from this host. If you know that it is gone, use --take-over"
        elif silence > SILENT:
            what += f". If it hangs, end it (kill {holder.process.pid}) or use --take-over"
        super().__init__(what)
        self.path, self.holder = path, holder


class LockDamaged(ValueError):
    """The lock's file is not one; the text says what to do."""


class LockLost(Exception):
    """Another engine has taken this sweep over; the one that finds this out must stop at once, without a word."""


class EngineLock:
    """Held from `acquire` to `release`. Not inherited by children and not for threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._inode = 0
        self._beat_due = 0.0

    def acquire(self, *, take_over: bool = False) -> Holder | None:
        """Take the lock. Returns the dead holder it was taken from, if any. Raises `LockHeld`.

        `take_over` also replaces a holder that lives or cannot be asked.
        """
        me = myself()
        with self._guard():
            before = read_holder(self.path)
            if before is not None:
                if before.lives is not False and not take_over:
                    raise LockHeld(self.path, before)
                self.path.unlink()
            self._create(me)
        return before

    def check(self) -> None:
        """Raises `LockLost` unless this process still holds the lock; beats the heart when it is time."""
        try:
            same = self._fd >= 0 and os.stat(self.path).st_ino == self._inode  # noqa: PTH116 - before each batch
        except FileNotFoundError:
            same = False
        if not same:
            gone = "" if self.path.parent.exists() else f"; the directory {self.path.parent} is gone"
            raise LockLost(f"{self.path}: this engine has lost the sweep, another has taken it over{gone}")
        now = time.monotonic()
        if now >= self._beat_due:
            os.utime(self._fd)
            self._beat_due = now + BEAT

    def release(self) -> None:
        """Let go, if it is still held; harmless otherwise, and where nothing can be written."""
        if self._fd < 0:
            return
        # Another's by now, gone with its directory, or on a disk that was made read-only: then it names a process that
        # will soon be dead, which is as good.
        with suppress(OSError), self._guard():
            if os.stat(self.path).st_ino == self._inode:  # noqa: PTH116
                self.path.unlink()
        os.close(self._fd)
        self._fd = -1

    def _create(self, me: ProcessId) -> None:
        text = json.dumps({"host": me.host, "boot": me.boot, "pid": me.pid, "start": me.start})
        temporary = self.path.with_name(f".{self.path.name}.{me.pid}.tmp")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        try:
            os.write(fd, text.encode() + b"\n")
            os.fsync(fd)
            self.path.hardlink_to(temporary)
        except OSError:
            os.close(fd)
            raise
        finally:
            temporary.unlink(missing_ok=True)
        # The open descriptor keeps the inode's number from being used again.
        self._fd, self._inode = fd, os.fstat(fd).st_ino
        self._beat_due = time.monotonic() + BEAT

    @contextmanager
    def _guard(self) -> Generator[None, None, None]:
        """Keeps two takers on one host from replacing the same dead holder at once."""
        self.path.parent.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        guard = self.path.with_name(self.path.name + ".guard")
        fd = os.open(guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def read_holder(path: Path) -> Holder | None:
    """Who holds the lock; None if nobody does. Raises `LockDamaged` for a file that is no lock."""
    try:
        text = path.read_text()
        beat_at = path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        raw = cast("dict[str, str | int]", json.loads(text))
        process = ProcessId(int(raw["pid"]), str(raw["start"]), str(raw["boot"]), str(raw["host"]))
        return Holder(process, beat_at)
    except (ValueError, KeyError, TypeError) as error:
        raise LockDamaged(f"{path} is not an engine's lock ({error}); remove it if no engine runs") from None
