"""The few file operations everything that survives is made of.

All writing of state goes through a `Disk`, so that tests can count its steps, let one fail, or stop the program between
two of them. Files are private to the user: 0600 in 0700 directories.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

FILE_MODE = 0o600
DIR_MODE = 0o700


class Disk(Protocol):
    """What the state floor asks of a file system. Every method raises `OSError` as the system gives it."""

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        """The file's bytes from `offset` on, at most `size` of them if it is not negative."""
        ...

    def append(self, path: Path, data: bytes, *, sync: bool = False) -> None:
        """Add `data` at the end, in one write; what was torn by an error is cut off again before it is raised."""
        ...

    def truncate(self, path: Path, size: int) -> None: ...

    def replace(self, path: Path, data: bytes) -> None:
        """Write the whole file through a temporary one, fsync and rename: a reader sees the old or the new."""
        ...

    def create(self, path: Path, data: bytes) -> None:
        """Write a new file whole; `FileExistsError` if there is one. A reader never sees it half written."""
        ...

    def remove(self, path: Path) -> None: ...

    def names(self, path: Path) -> list[str]:
        """The directory's entries, sorted; empty if there is no such directory."""
        ...

    def size(self, path: Path) -> int: ...

    def make_dir(self, path: Path) -> None: ...


class LocalDisk:
    """The file system. Keeps the descriptor of the file appended to last, so that an append is one `write`."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}
        self._serial = 0

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        with path.open("rb") as file:
            if offset:
                file.seek(offset)
            return file.read(size)

    def append(self, path: Path, data: bytes, *, sync: bool = False) -> None:
        fd = self._open.get(path)
        if fd is None:
            fd = self._open[path] = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE
            )
        before = os.fstat(fd).st_size
        try:
            done = os.write(fd, data)
            while done < len(data):  # a short write: the disk is nearly full, the next one says so
                done += os.write(fd, data[done:])
            if sync:
                os.fsync(fd)
        except OSError:
            os.ftruncate(fd, before)
            raise

    def truncate(self, path: Path, size: int) -> None:
        os.truncate(path, size)

    def replace(self, path: Path, data: bytes) -> None:
        temporary = self._temporary(path)
        try:
            self._write(temporary, data)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self._sync_dir(path.parent)

    def create(self, path: Path, data: bytes) -> None:
        temporary = self._temporary(path)
        try:
            self._write(temporary, data)
            path.hardlink_to(temporary)  # atomic and exclusive, on NFS too
        finally:
            temporary.unlink(missing_ok=True)
        self._sync_dir(path.parent)

    def remove(self, path: Path) -> None:
        path.unlink()

    def names(self, path: Path) -> list[str]:
        try:
            return sorted(os.listdir(path))  # noqa: PTH208 - half the cost of Path.iterdir, and polled
        except FileNotFoundError:
            return []

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def make_dir(self, path: Path) -> None:
        path.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        self._sync_dir(path.parent)

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def _temporary(self, path: Path) -> Path:
        self._serial += 1
        return path.with_name(f".{path.name}.{os.getpid()}.{self._serial}.tmp")

    def _write(self, path: Path, data: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)

    def _sync_dir(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
