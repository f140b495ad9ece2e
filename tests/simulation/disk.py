"""A disk in memory that knows what a power failure would leave of it.

`SimDisk` is the disk; whoever only looks uses it directly. `EngineDisk` is the same disk in the hands of one engine:
each operation is a point at which that engine's fate may strike.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Protocol, TypeVar

from .faults import Fate, Strike, When

T = TypeVar("T")


class File:
    """`data` is what everybody reads; `durable` what a power failure cannot take (None: not even the name)."""

    __slots__ = ("data", "durable")

    def __init__(self, data: bytes = b"", durable: bytes | None = None) -> None:
        self.data = bytearray(data)
        self.durable = durable


class SimDisk:
    """Behaves as `state.disk.LocalDisk` promises. `room`: bytes that can still be written, None for no end of them."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.removed: dict[str, bytes] = {}
        """Durable files whose removal a power failure may undo."""
        self.room: int | None = None
        self.changes = 0
        """Counts what was written, so that who looks need not read again what has not changed."""

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        data = self._file(path).data
        return bytes(data[offset:] if size < 0 else data[offset : offset + size])

    def append(self, path: Path, data: bytes, *, sync: bool = False) -> None:
        self.take_room(len(data))
        self.changes += 1
        file = self.files.setdefault(str(path), File())
        file.data += data
        if sync:
            file.durable = bytes(file.data)

    def truncate(self, path: Path, size: int) -> None:
        del self._file(path).data[size:]

    def replace(self, path: Path, data: bytes) -> None:
        self.take_room(len(data))
        self.changes += 1
        self.files[str(path)] = File(data, data)

    def create(self, path: Path, data: bytes) -> None:
        if str(path) in self.files:
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        self.replace(path, data)

    def remove(self, path: Path) -> None:
        file = self._file(path)
        if file.durable is not None:
            self.removed[str(path)] = file.durable
        del self.files[str(path)]

    def names(self, path: Path) -> list[str]:
        prefix = f"{path}/"
        return sorted(name.removeprefix(prefix) for name in self.files if name.startswith(prefix))

    def size(self, path: Path) -> int:
        return len(self._file(path).data)

    def make_dir(self, path: Path) -> None:
        """Directories need not be made here."""

    def take_room(self, size: int) -> None:
        """Raises `OSError` if the disk has no room for `size` bytes more."""
        if self.room is not None:
            if size > self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= size

    def power_failure(self, rng: Random) -> None:
        """Forget what was not synced, or some of it: the system may have written any part by itself."""
        for path, data in self.removed.items():
            if path not in self.files and rng.random() < 0.5:
                self.files[path] = File(data, data)
        self.removed.clear()
        for path, file in list(self.files.items()):
            data, durable = bytes(file.data), file.durable
            if data == durable:
                continue
            if durable is None and rng.random() < 0.5:
                del self.files[path]
                continue
            left = _what_is_left(data, durable or b"", rng)
            self.files[path] = File(left, left)

    def _file(self, path: Path) -> File:
        try:
            return self.files[str(path)]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "No such file", str(path)) from None


def _what_is_left(data: bytes, durable: bytes, rng: Random) -> bytes:
    if not data.startswith(durable):  # cut shorter: done, or not yet
        return rng.choice((data, durable))
    cut = rng.randint(len(durable), len(data))
    # Some file systems make the file longer first and fill it later.
    zeros = rng.randint(0, len(data) - cut) if rng.random() < 0.3 else 0
    return data[:cut] + bytes(zeros)


class Hands(Protocol):
    """The engine's side of a point: `point` says what strikes here; after a death nothing may be done any more."""

    def point(self, what: str) -> Strike | None: ...
    def die(self, strike: Strike) -> None: ...
    def sleep(self, write: Callable[[], None] | None = None) -> bool: ...


class EngineDisk:
    """The disk as one engine has it."""

    def __init__(self, disk: SimDisk, hands: Hands, rng: Random) -> None:
        self._disk, self._hands, self._rng = disk, hands, rng

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        return self._do("read", lambda: self._disk.read(path, offset, size))

    def append(self, path: Path, data: bytes, *, sync: bool = False) -> None:
        strike = self._hands.point("append")
        if strike is None:
            return self._disk.append(path, data, sync=sync)
        if strike.fate is Fate.SLEEP:
            return self._write_late(lambda: self._disk.append(path, data, sync=sync))
        if strike.when is not When.BEFORE:
            whole = strike.when is When.AFTER
            self._disk.append(
                path, data if whole else data[: self._rng.randint(0, len(data))], sync=sync and whole
            )
        return self._hands.die(strike)

    def truncate(self, path: Path, size: int) -> None:
        self._do("truncate", lambda: self._disk.truncate(path, size))

    def replace(self, path: Path, data: bytes) -> None:
        self._do("replace", lambda: self._disk.replace(path, data), litter=self._litter(path, data))

    def create(self, path: Path, data: bytes) -> None:
        self._do("create", lambda: self._disk.create(path, data), litter=self._litter(path, data))

    def remove(self, path: Path) -> None:
        self._do("remove", lambda: self._disk.remove(path))

    def names(self, path: Path) -> list[str]:
        return self._do("names", lambda: self._disk.names(path))

    def size(self, path: Path) -> int:
        return self._do("size", lambda: self._disk.size(path))

    def make_dir(self, path: Path) -> None:
        """Nothing can go wrong here."""

    def _write_late(self, write: Callable[[], None]) -> None:
        """The write is on its way and may land while another engine is at work."""
        if not self._hands.sleep(write):
            write()

    def _litter(self, path: Path, data: bytes) -> Callable[[], None]:
        """The temporary file that a death between write and rename leaves behind."""
        return lambda: self._disk.append(path.with_name(f".{path.name}.1.1.tmp"), data[: len(data) // 2])

    def _do(self, what: str, action: Callable[[], T], litter: Callable[[], None] | None = None) -> T:
        """`litter`: what is left of a write that a death interrupts; given for writes only."""
        strike = self._hands.point(what)
        if strike is None:
            return action()
        if strike.fate is Fate.SLEEP and litter is not None:
            return self._write_late(action)
        if strike.fate is Fate.SLEEP:
            self._hands.sleep()
            return action()
        if strike.when is When.AFTER:
            action()
        elif strike.when is When.MIDDLE and litter is not None:
            litter()
        self._hands.die(strike)
        raise AssertionError("an engine that died went on")
