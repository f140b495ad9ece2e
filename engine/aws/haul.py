"""From an attempt's files in the bucket to the same files here: what is missing, what is right already, one file home.

What is verified: a file that came to S3 in one part and is not encrypted by a key of KMS has its MD5 as ETag, and is
summed up here before it gets its name. Of the others (multipart uploads, KMS) S3 tells no sum of the content: the size
must be right, and every byte is of the version that was listed (`If-Match`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ...state.layout import STATUS
from ..collect.bring import Collected
from ..collect.landing import CHUNK, Landing, Part, UnsafePath, cannot_be_stored
from ..collect.rules import CollectRules, is_ours
from ..events import Ref
from .bucket import SweepBucket
from .reports import unsent_words
from .stored import FileChanged, StoredFile

SMALL = 4 << 20
"""Bytes up to which a file is brought in one piece."""
PART = 16 << 20
"""Bytes of a big file in one request."""
TRIES = 3
"""How often an attempt is listed again because its files change."""
_SHOWN = 3
_md5 = partial(hashlib.md5, usedforsecurity=False)


@dataclass(slots=True)
class Haul:
    """One attempt on its way home. `lock` guards all that several files of it may change at once."""

    name: str
    ref: Ref
    directory: Path
    failed: bool
    lock: threading.Lock = field(default_factory=threading.Lock)
    tries: int = 0
    left: int = 0
    """Files that are still to be brought."""
    over: bool = False
    """Whether it was told, and what comes late counts no more."""
    files: int = 0
    size: int = 0
    moved: int = 0
    again: bool = False
    """Whether something changed while it was read, and is to be asked for again."""
    unsent: str | None = None
    """What its report says of files that went with the instance, until the look it was read for is over."""
    problems: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])

    @property
    def last_try(self) -> bool:
        return self.tries >= TRIES - 1

    def begin(self) -> None:
        """Forget what an earlier look said: the disk knows what is home."""
        self.files = self.size = self.left = 0
        self.again = False
        self.problems, self.notes = [self.unsent] if self.unsent else [], []
        self.unsent = None

    def have(self, file: StoredFile) -> None:
        with self.lock:
            self.files += 1
            self.size += file.size

    def problem(self, words: str) -> None:
        with self.lock:
            self.problems.append(words)

    def changed(self, file: StoredFile, what: str) -> None:
        """It is asked for again; at last it is a problem."""
        if self.last_try:
            self.problem(f"{file.path!r} {what}")
        else:
            self.again = True

    def collected(self) -> Collected:
        with self.lock:
            problems = "; ".join(sorted(self.problems))
            return Collected(
                self.ref, self.name, self.files, self.size, self.moved, problems, tuple(self.notes)
            )


class Hauler:
    """Safe in many threads. Raises `AwsError`, `PartBusy`, and `OSError` where the disk here is at fault; then nothing
    is half written, and the same call goes on where it stopped.
    """

    def __init__(
        self, bucket: SweepBucket, rules: CollectRules, moved: Callable[[int], object] = lambda count: None
    ) -> None:
        """`moved` is told of bytes as they come."""
        self._bucket, self._rules, self._moved = bucket, rules, moved
        self._putting = threading.Lock()
        """`Landing.put` has one temporary name for this process."""

    def look(self, haul: Haul) -> list[StoredFile]:
        """List what is there; what of it is to be brought."""
        if haul.unsent is None:
            # First the report, which an instance writes last: what it says is of files that are listed then.
            report = self._bucket.report(haul.name)
            haul.unsent = unsent_words(report) if report is not None else ""
        listed = self._bucket.files(haul.name)
        haul.begin()
        if not listed:
            haul.notes.append(f"there is nothing of it in {self._bucket.name}")
        folders = {
            "/".join(words[:depth])
            for words in (file.path.split("/") for file in listed)
            for depth in range(1, len(words))
        }
        staying: dict[str, list[StoredFile]] = {}
        missing: list[StoredFile] = []
        with Landing(haul.directory) as landing:
            for file in listed:
                if is_ours(file.path):
                    if file.path == STATUS:
                        haul.notes.append(
                            f"{STATUS} in {self._bucket.name}: at home that name is the engine's, left there"
                        )
                elif file.path in folders:
                    haul.problem(f"{file.path!r} cannot be stored here: it is also a folder with files in it")
                elif file.path.endswith("/") or not file.path:
                    self._make_folder(haul, landing, file)
                elif why := self._rules.stays(file.path, file.size):
                    staying.setdefault(why, []).append(file)
                elif not file.is_safe:
                    haul.problem(f"{file.path!r} does not name a place below the attempt's directory")
                elif is_home(landing, self._bucket, haul.name, file):
                    haul.have(file)
                else:
                    missing.append(file)
        for why, files in staying.items():
            size = sum(file.size for file in files)
            haul.notes.append(f"{_some(files)} ({size} bytes) in {self._bucket.name}: {why}, left there")
        return missing

    def _make_folder(self, haul: Haul, landing: Landing, file: StoredFile) -> None:
        """What a console shows as a folder: an object without content whose name ends with a slash."""
        if file.size:
            haul.problem(f"{file.path!r} cannot be stored here: it names a folder, and has content")
        elif file.path:
            self._store(haul, file.path, lambda: landing.make_folder(file.path.rstrip("/")))

    def bring(self, haul: Haul, file: StoredFile, go_on: Callable[[], bool]) -> bool:
        """One file; whether it is done with. A big one is left as it is behind a part if `go_on` says no."""
        try:
            if file.size <= SMALL:
                self._bring_small(haul, file)
                return True
            return self._bring_big(haul, file, go_on)
        except FileChanged:
            haul.changed(file, f"was changed or deleted in {self._bucket.name} while it was read")
            return True

    def _bring_small(self, haul: Haul, file: StoredFile) -> None:
        content = bytearray()
        md5 = self._bucket.fetch(haul.name, file, 0, file.size, content.extend)
        self._count(haul, file.size)
        if md5 and _md5(content).hexdigest() != md5:
            haul.changed(file, "arrived damaged: its MD5 is not its ETag")
            return

        def put() -> None:
            with self._putting, Landing(haul.directory) as landing:
                landing.put(file.path, bytes(content), int(file.at))

        if self._store(haul, file.path, put):
            haul.have(file)

    def _bring_big(self, haul: Haul, file: StoredFile, go_on: Callable[[], bool]) -> bool:
        with Landing(haul.directory) as landing:
            part = _SummedPart(landing, file)
            try:
                md5 = self._bucket.md5(haul.name, file) if part.offset == file.size else ""
                while part.offset < file.size:
                    before = part.offset
                    count = min(PART, file.size - before)
                    try:
                        md5 = self._bucket.fetch(haul.name, file, before, count, part.write)
                    except FileChanged:
                        part.drop()
                        raise
                    finally:
                        self._count(haul, part.offset - before)
                    if part.offset < file.size and not go_on():
                        return False
                if md5 and part.md5 != md5:
                    part.drop()
                    haul.changed(file, "arrived damaged: its MD5 is not its ETag")
                elif self._store(
                    haul, file.path, lambda: part.land(file.path, int(file.at), executable=False)
                ):
                    haul.have(file)
                return True
            finally:
                part.close()

    def _count(self, haul: Haul, count: int) -> None:
        with haul.lock:
            haul.moved += count
        self._moved(count)

    def _store(self, haul: Haul, path: str, act: Callable[[], object]) -> bool:
        """Do it; a name that cannot be had here is this file's problem alone."""
        try:
            act()
        except (OSError, UnsafePath) as error:
            if isinstance(error, OSError) and not cannot_be_stored(error):
                raise
            words = error.strerror if isinstance(error, OSError) else str(error)
            haul.problem(f"{path!r} cannot be stored here: {words}")
            return False
        return True

    def finish(self, haul: Haul) -> Collected:
        """When nothing is asked for any more."""
        with Landing(haul.directory) as landing:
            landing.tidy()
        return haul.collected()


class _SummedPart(Part):
    """A part named by the version it is of, for its content's SHA-256 is not known, and summed up by MD5."""

    def __init__(self, landing: Landing, file: StoredFile) -> None:
        version = f"{file.path}\0{file.etag}\0{file.size}".encode()
        super().__init__(landing, hashlib.sha256(version).hexdigest(), file.size)
        self._md5 = _md5()
        try:
            at = 0
            while piece := os.pread(self._fd, CHUNK, at):
                self._md5.update(piece)
                at += len(piece)
        except BaseException:
            self.close()
            raise

    def write(self, piece: bytes) -> None:
        super().write(piece)
        self._md5.update(piece)

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()


def is_home(
    landing: Landing, bucket: SweepBucket, attempt: str, file: StoredFile, *, sync: bool = False
) -> bool:
    """Whether a listed file stands here as it is there: by its MD5, and where S3 knows none by size and time.

    `sync`: see that it is on the disk. Raises `AwsError`, `OSError`.
    """
    found = _look_at(landing, file, sync=sync)
    if found is None:
        return False
    md5, at = found
    if file.md5 and md5 == file.md5:
        return True
    if at != int(file.at):
        return False
    try:
        return not file.md5 or not bucket.md5(attempt, file)
    except FileChanged:
        return False


def _look_at(landing: Landing, file: StoredFile, *, sync: bool) -> tuple[str, int] | None:
    """MD5 (if it says anything) and time of the regular file of that name and size here."""
    try:
        with landing.parent(file.path, make=False) as (folder, name):
            flags = (
                os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )  # what stands there may be a pipe
            fd = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ENOENT or cannot_be_stored(error):
            return None
        raise
    with os.fdopen(fd, "rb", buffering=0) as opened:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != file.size:
            return None
        if sync:
            os.fsync(fd)
        md5 = hashlib.file_digest(opened, _md5).hexdigest() if file.md5 else ""
        return md5, int(facts.st_mtime)


def _some(files: Sequence[StoredFile]) -> str:
    shown = ", ".join(repr(file.path)[1:-1] for file in files[:_SHOWN])
    return shown if len(files) <= _SHOWN else f"{shown} and {len(files) - _SHOWN} more"
