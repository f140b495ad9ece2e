"""Writing files of another machine below one directory at home, and nowhere else, whatever their names say.

Every step down is taken by descriptor and follows no symbolic link (openat(2) with O_NOFOLLOW), so that a far end that
sends `..`, or a link first and a file through it afterwards, gets an error. A file appears whole, by rename.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Generator
from pathlib import Path
from types import TracebackType

from ...state.disk import DIR_MODE, FILE_MODE

CHUNK = 1 << 20
_TEMPORARY = re.compile(r"\.spawn-([0-9]+)(\.[0-9a-f]+)?\.tmp\Z")
_PART = re.compile(r"\.spawn-[0-9a-f]{64}\.part\Z")
_OF_THE_NAME = frozenset({
    errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENOTEMPTY,
    errno.EEXIST,
})  # fmt: skip


class UnsafePath(ValueError):
    """A path that does not lead to a place below the directory."""


class PartBusy(Exception):
    """Another process brings this very file home now."""


def cannot_be_stored(error: OSError) -> bool:
    """Whether it is this one name that cannot be written, now and later; else the disk is at fault."""
    return error.errno in _OF_THE_NAME


def parts_of(path: str) -> list[str]:
    """The words between the slashes. Raises `UnsafePath`."""
    words = path.split("/")
    if "\0" in path or any(word in ("", ".", "..") for word in words):
        raise UnsafePath(f"{path!r} does not name a place below the attempt's directory")
    return words


def target_inside(path: str, target: str, far: str) -> str | None:
    """What the symbolic link at `path` shall hold at home, or None if it points out of the attempt.

    `far` is the attempt's directory at the other end; an absolute target below it becomes a relative one. `..` is
    allowed only at the beginning: behind a name it could climb out of what that name links to.
    """
    up = len(parts_of(path)) - 1
    if target == far or target.startswith(f"{far}/"):
        target = "../" * up + target[len(far) + 1 :] or "."
    if not target or target.startswith("/") or "\0" in target:
        return None
    words = [word for word in target.split("/") if word not in ("", ".")]
    climbs = 0
    while climbs < len(words) and words[climbs] == "..":
        climbs += 1
    return target if climbs <= up and ".." not in words[climbs:] else None


class Landing:
    """The directory `root` at home, made if need be. Raises `OSError`; close it."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Landing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)

    def put(self, path: str, content: bytes, at: int, *, executable: bool = False) -> None:
        """The file, whole or not at all; `at`: its modification time in seconds since 1970."""
        temporary = f".spawn-{os.getpid()}.tmp"
        with self.parent(path, make=True) as (folder, name):
            fd = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE,
                dir_fd=self.fd,
            )  # fmt: skip
            try:
                try:
                    write_all(fd, content)
                    _dress(fd, at, executable)
                finally:
                    os.close(fd)
                os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=folder)
            except OSError:
                os.unlink(temporary, dir_fd=self.fd)
                raise

    def sum_of(self, path: str, size: int, *, sync: bool = False) -> str | None:
        """SHA-256 of the file, in hex; None if it is no regular file of that size. `sync`: see that it is on disk."""
        fd = self._open(path)
        if fd is None:
            return None
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size != size:
                return None
            if sync:
                os.fsync(fd)
            with open(fd, "rb", closefd=False) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        finally:
            os.close(fd)

    def _open(self, path: str) -> int | None:
        try:
            with self.parent(path, make=False) as (folder, name):
                # O_NONBLOCK: what stands there may be a pipe.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                return os.open(name, flags, dir_fd=folder)
        except OSError as error:
            if error.errno == errno.ENOENT or cannot_be_stored(error):
                return None
            raise

    def make_folder(self, path: str) -> None:
        with self.parent(f"{path}/x", make=True):
            pass

    def link(self, path: str, target: str) -> None:
        """A symbolic link; `target` as `target_inside` gave it."""
        with self.parent(path, make=True) as (folder, name):
            if self._link_at(folder, name) == target:
                return
            temporary = f".spawn-{os.getpid()}.tmp"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self.fd)
            os.symlink(target, temporary, dir_fd=self.fd)
            try:
                os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=folder)
            except OSError:
                os.unlink(temporary, dir_fd=self.fd)
                raise

    def target_of(self, path: str) -> str | None:
        """What the symbolic link there holds; None if there is none."""
        try:
            with self.parent(path, make=False) as (folder, name):
                return self._link_at(folder, name)
        except OSError as error:
            if error.errno == errno.ENOENT or cannot_be_stored(error):
                return None
            raise

    def _link_at(self, folder: int, name: str) -> str | None:
        try:
            return os.readlink(name, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINVAL):
                return None
            raise

    def tidy(self) -> None:
        """Remove what interrupted transfers left: temporary files of dead processes, parts nobody is writing."""
        import psutil

        for name in os.listdir(self.fd):  # noqa: PTH208 - by descriptor
            owner = _TEMPORARY.match(name)
            if (owner and not psutil.pid_exists(int(owner[1]))) or (
                _PART.match(name) and self._is_idle(name)
            ):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self.fd)

    def _is_idle(self, name: str) -> bool:
        try:
            fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return False
        try:
            return _lock(fd)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def parent(self, path: str, *, make: bool) -> Generator[tuple[int, str]]:
        """The folder that holds `path`, as a descriptor, and the last word. Raises `OSError`, `UnsafePath`."""
        *folders, name = parts_of(path)
        fd = os.dup(self.fd)
        try:
            for folder in folders:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(folder, DIR_MODE, dir_fd=fd)
                below = os.open(
                    folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd
                )
                os.close(fd)
                fd = below
            yield fd, name
        finally:
            os.close(fd)


class Part:
    """A big file on its way home: what has come is kept in `.spawn-SHA256.part`, and the next try goes on behind it.

    Named by what the file will be, so that a part is never continued with the bytes of another content. Raises
    `PartBusy`, `OSError`; close it.
    """

    def __init__(self, landing: Landing, sha: str, size: int) -> None:
        self._landing = landing
        self.sha, self.size = sha, size
        self._name = f".spawn-{sha}.part"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self._name, flags, FILE_MODE, dir_fd=landing.fd)
        try:
            if not _lock(self._fd):
                raise PartBusy(f"another process brings {self._name} home")
            if os.fstat(self._fd).st_size > size:
                os.ftruncate(self._fd, 0)
            self._sum = hashlib.sha256()
            self.offset = 0
            while piece := os.pread(self._fd, CHUNK, self.offset):
                self._sum.update(piece)
                self.offset += len(piece)
        except BaseException:
            os.close(self._fd)
            raise

    def write(self, piece: bytes) -> None:
        """The next bytes; what is beyond the size is an error of the sender."""
        if self.offset + len(piece) > self.size:
            raise ValueError("more bytes than the file has")
        view = memoryview(piece)
        while view:
            done = os.pwrite(self._fd, view, self.offset)
            self._sum.update(view[:done])
            self.offset += done
            view = view[done:]

    def land(self, path: str, at: int, *, executable: bool) -> None:
        """Put what has come in its place."""
        _dress(self._fd, at, executable)
        with self._landing.parent(path, make=True) as (folder, name):
            os.rename(self._name, name, src_dir_fd=self._landing.fd, dst_dir_fd=folder)

    def drop(self) -> None:
        """It was not the file: the next try begins anew."""
        os.unlink(self._name, dir_fd=self._landing.fd)

    @property
    def is_right(self) -> bool:
        """Whether what has come is the file."""
        return self.offset == self.size and self._sum.hexdigest() == self.sha

    def close(self) -> None:
        os.close(self._fd)


def write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _dress(fd: int, at: int, executable: bool) -> None:
    if executable:
        os.fchmod(fd, DIR_MODE)
    os.utime(fd, (at, at))


def _lock(fd: int) -> bool:
    """Whether nobody else has it locked; it is ours until closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # A file system without locks: the checksum at the end still finds out two writers.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
    return True
