"""The project for instances: one compressed tar of the files `sync` would send, the same bytes for the same content.

Unpacked it is the project itself. Owners, times and the archive's own header say nothing of this machine, so that a
project that was stored once is not stored again.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ...state.disk import FILE_MODE
from ..project.files import ProjectError
from ..project.manifest import Entry, megabytes, show
from ..project.project import Project

LARGEST = 2 << 30
"""Bytes of content above which a project is not sent: every instance would fetch it before it begins."""
MTIME = 631_152_000
"""The time of every file, 1990-01-01: ZIP, and so every wheel, knows no year before 1980."""
LEVEL = 6


@dataclass(frozen=True, slots=True)
class PackedProject:
    """An archive of the project on the disk here, and what `put_project` wants to know of it. Sizes in bytes."""

    path: Path
    sha256: str
    size: int
    files: int
    content: int
    """Bytes of the files themselves."""
    notes: tuple[str, ...] = ()
    """What should be known of how they were listed, and of their size."""

    @property
    def words(self) -> str:
        """`312 files, 4.1 MB (1.2 MB compressed)`."""
        return f"{self.files} files, {megabytes(self.content)} ({megabytes(self.size)} compressed)"


def pack_project(project: Project, target: Path) -> PackedProject:
    """Write the archive to `target`, whole or not at all. Raises `ProjectError`, `OSError`."""
    entries = sorted(project.entries.values(), key=lambda entry: entry.name)
    _refuse_large(entries)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(fd, "wb") as raw:
            summed = _Summed(raw)
            with (
                gzip.GzipFile("", "wb", LEVEL, cast("IO[bytes]", summed), mtime=0) as packed,
                tarfile.open(
                    fileobj=packed,
                    mode="w|",
                    format=tarfile.GNU_FORMAT,
                    encoding="utf-8",
                    errors="surrogateescape",
                ) as tar,
            ):
                for entry in entries:
                    _add(tar, project.folder, entry)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    content = sum(entry.size for entry in entries)
    return PackedProject(target, summed.sha256, summed.size, len(entries), content, tuple(project.notes))


def _refuse_large(entries: Sequence[Entry]) -> None:
    total = sum(entry.size for entry in entries)
    if total <= LARGEST:
        return
    biggest = sorted(entries, key=lambda entry: entry.size, reverse=True)[:3]
    named = ", ".join(f"{show(entry.name)} ({megabytes(entry.size)})" for entry in biggest)
    raise ProjectError(
        f"the project is {megabytes(total)}, and more than {megabytes(LARGEST)} are not sent to instances; the biggest "
        f"files: {named}. Leave out what is data (sync.exclude in spawn.yaml, or .gitignore), and let the task fetch "
        "it from a bucket"
    )


def _add(tar: tarfile.TarFile, folder: Path, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.mtime = MTIME
    if entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, _target(folder, entry), 0o777
        tar.addfile(info)
        return
    info.size, info.mode = entry.size, 0o755 if entry.executable else 0o644
    with _Summing(folder, entry) as reader:
        try:
            tar.addfile(info, cast("IO[bytes]", reader))
        except OSError as error:
            if error.errno is not None:
                raise
            # tarfile's word for a file that ended too soon
        if reader.read(1) or reader.sha256 != entry.digest:
            raise ProjectError(f"{show(entry.name)} was changed while it was packed; launch again")


def _target(folder: Path, entry: Entry) -> str:
    try:
        return str((folder / entry.name).readlink())
    except OSError as error:
        raise _unreadable(entry, error) from None


def _unreadable(entry: Entry, error: OSError) -> ProjectError:
    return ProjectError(f"{show(entry.name)} cannot be packed: {error.strerror or error}; launch again")


class _Summing:
    """Reads a file of the project, and sums up what was read. Raises `ProjectError`."""

    def __init__(self, folder: Path, entry: Entry) -> None:
        self._entry, self._sum = entry, hashlib.sha256()
        try:
            self._file = (folder / entry.name).open("rb")
        except OSError as error:
            raise _unreadable(entry, error) from None

    def __enter__(self) -> _Summing:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        try:
            piece = self._file.read(size)
        except OSError as error:
            raise _unreadable(self._entry, error) from None
        self._sum.update(piece)
        return piece

    @property
    def sha256(self) -> str:
        return self._sum.hexdigest()


class _Summed:
    """Writes a file, and sums up what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sum = file, hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> int:
        self._sum.update(piece)
        self.size += len(piece)
        return self._file.write(piece)

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._sum.hexdigest()
