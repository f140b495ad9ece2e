"""Files as a compressed tar that is made while it is sent, so that a big project needs no room for a second one."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .manifest import Entry, show

COMPLETE = "complete"
"""The last member: a tar that was cut off, which some programs unpack without a word, lacks it."""
_PIECE = 1 << 18
_BLOCK = tarfile.BLOCKSIZE


class Packer:
    """One tar of `entries`, below `files/`. Iterate once; then `problem` says what went wrong, if anything did.

    It cannot raise, for it is read by the thread that feeds the other machine: it stops instead, and what arrives
    lacks its end. `progress` is called with the bytes of content packed so far.
    """

    def __init__(
        self,
        project: Path,
        entries: Sequence[Entry],
        *,
        compress: bool,
        progress: Callable[[int], object] = lambda done: None,
    ) -> None:
        self._project = project
        self._entries = entries
        self._compress = compress
        self._progress = progress
        self._done = 0
        self.problem = ""

    def __iter__(self) -> Iterator[bytes]:
        if not self._compress:
            yield from self._plain()
            return
        # 16 + 15: with a gzip header and the largest window (zlib manual, deflateInit2).
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        for piece in self._plain():
            if packed := packer.compress(piece):
                yield packed
        if not self.problem:
            yield packer.flush()

    def _plain(self) -> Iterator[bytes]:
        for entry in self._entries:
            try:
                yield from self._member(entry)
            except OSError as error:
                self.problem = f"{show(entry.name)} cannot be read: {error.strerror}"
            if self.problem:
                return
        info = tarfile.TarInfo(COMPLETE)
        info.mode = 0o600
        yield _header(info)
        yield bytes(2 * _BLOCK)

    def _member(self, entry: Entry) -> Iterator[bytes]:
        path = self._project / entry.name
        facts = path.lstat()
        info = tarfile.TarInfo(f"files/{entry.name}")
        info.mtime, info.mode = int(facts.st_mtime), facts.st_mode & 0o777
        if entry.link:
            info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
            yield _header(info)
            return
        info.size = entry.size
        digest, left = hashlib.sha256(), entry.size
        yield _header(info)
        with path.open("rb", buffering=0) as file:
            while left and (piece := file.read(min(left, _PIECE))):
                digest.update(piece)
                left -= len(piece)
                self._done += len(piece)
                self._progress(self._done)
                yield piece
        if left or digest.hexdigest() != entry.digest:
            self.problem = f"{show(entry.name)} was changed while it was sent; send again"
        yield bytes(-entry.size % _BLOCK)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
