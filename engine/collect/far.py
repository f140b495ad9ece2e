"""What collecting asks of the other machine: the agent's verbs `list`, `sums`, `pack` and `part`, their answers read.

A name there may be any bytes but NUL and `/`; here it is text with surrogate escapes, as Python gives such names. What
an answer says is checked against what was asked, for it may come from a broken machine.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..remote.area import Area, AreaError
from ..remote.host import HostAway
from .landing import UnsafePath, parts_of

SMALL = 4 << 20
"""Bytes up to which files travel in packs; the same border as in the agent's `list`."""
PART = 64 << 20
"""Bytes of a big file in one round trip."""
LIMIT = 120.0
SLOWEST, SLOWEST_SUM = 100_000.0, 20e6
"""A round trip may take `LIMIT` seconds, and longer by what it moves (or sums up): at worst so many bytes a second."""
MOST = 256 << 20
"""Bytes an answer of `list` may have: about two million files."""
_OVERHEAD = 4096
"""Bytes of a tar for one member besides its content and its name: headers and padding."""
_TINY = 16 << 10
_SUM = re.compile(rb"\\?([0-9a-f]{64})  ")
_FACTS = re.compile(rb"([0-9]+) (-?[0-9]+) ([0-7]+) ")
_ESCAPED = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}
_TEXT = (
    ".log", ".txt", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".xml", ".html", ".out", ".err", ".svg",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FarFile:
    """A regular file. `path` is relative to the attempt; `at` in seconds since 1970 by the clock there."""

    path: str
    size: int
    at: int
    executable: bool
    sha: str = ""
    """SHA-256 in hex; empty if it is big and was not summed up, or cannot be read."""


@dataclass(slots=True)
class Listing:
    """What stands in one attempt's directory there."""

    there: bool = True
    files: list[FarFile] = field(default_factory=list[FarFile])
    links: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Symbolic links: path and what they hold."""
    folders: list[str] = field(default_factory=list[str])
    others: list[str] = field(default_factory=list[str])
    """Pipes, sockets, devices."""
    hidden: str = ""
    """Why there may be more than this: the machine's words."""


class _Unpacker(Protocol):
    """What `zlib.decompressobj` gives."""

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...


class Take(Protocol):
    """Takes the content of a file of a pack."""

    def __call__(self, path: str, content: bytes) -> object: ...


class Write(Protocol):
    """Takes the next bytes of a big file."""

    def __call__(self, piece: bytes, /) -> object: ...


def list_attempts(area: Area, names: Sequence[str]) -> dict[str, Listing]:
    """One round trip, and more only if something cannot be looked at: then it is found out whose it is.

    Raises `HostAway`, `HostRefused`, `AreaError`.
    """
    said = bytearray()

    def into(piece: bytes) -> None:
        if len(said) > MOST:
            raise AreaError(f"{area.host.name}: the list of files of {len(names)} attempts is endless")
        said.extend(piece)

    asked = "".join(f"{name}\n" for name in names).encode()
    answer = replace(area.raw("list", data=asked, limit=10 * LIMIT, into=into), out=bytes(said))
    found = {name: Listing() for name in names}
    if not _Listings(area, found).read(area.body_of("list", answer)):
        return found
    if len(names) > 1:
        half = len(names) // 2
        return list_attempts(area, names[:half]) | list_attempts(area, names[half:])
    found[names[0]].hidden = answer.words if answer.err else "a directory cannot be read there"
    return found


class _Listings:
    """Reads the records of `list`; their form stands there."""

    def __init__(self, area: Area, found: Mapping[str, Listing]) -> None:
        self._area, self._found = area, found

    def read(self, body: bytes) -> bool:
        """Fill in the listings; whether the machine said that they are not the whole."""
        self._body, self._at, torn = body, 0, False
        while self._at < len(body):
            kind, _, rest = self._line().partition(b" ")
            if kind == b"X":
                torn = True
            elif kind == b"G":
                self._of(rest.decode(errors="surrogateescape")).there = False
            elif kind in (b"D", b"F", b"B", b"L", b"O") and rest.isdigit():
                self._record(kind, int(rest))
            else:
                raise self._broken()
        return torn

    def _record(self, kind: bytes, count: int) -> None:
        if kind == b"L":
            for _ in range(count):
                listing, path = self._place(self._field())
                listing.links.append((path, _text(self._field())))
            return
        paths = [self._field() for _ in range(count)]
        if kind in (b"D", b"O"):
            for raw in paths:
                listing, path = self._place(raw, bare=kind == b"D")
                if path:
                    (listing.folders if kind == b"D" else listing.others).append(path)
            return
        facts = [self._facts(raw) for raw in paths]
        for raw, found in zip(paths, facts, strict=True):
            listing, path = self._place(raw)
            sha = self._sum(raw) if kind == b"F" else ""
            if found is not None:
                size, at, mode = found
                listing.files.append(FarFile(path, size, at, bool(mode & 0o100), sha))

    def _facts(self, raw: bytes) -> tuple[int, int, int] | None:
        """Size, time and mode of the file whose line is next; None if it was gone when it was asked about."""
        found = _FACTS.match(self._body, self._at)
        if found is None or not self._body.startswith(raw + b"\n", found.end()):
            return None
        self._at = found.end() + len(raw) + 1
        return int(found[1]), int(found[2]), int(found[3], 8)

    def _sum(self, raw: bytes) -> str:
        sha, self._at = read_sum(self._body, self._at, raw)
        return sha

    def _place(self, raw: bytes, *, bare: bool = False) -> tuple[Listing, str]:
        """Whose a path below the root is, and the path below the attempt."""
        top, _, rest = _text(raw).partition("/")
        name, _, path = rest.partition("/")
        try:
            if top != "attempts" or name not in self._found or not (path or bare):
                raise UnsafePath(path)
            if path:
                parts_of(path)
        except UnsafePath:
            raise AreaError(
                f"{self._area.host.name}: it lists {_text(raw)!r}, which nobody asked for; nothing of it is taken"
            ) from None
        return self._found[name], path

    def _of(self, name: str) -> Listing:
        if name not in self._found:
            raise self._broken()
        return self._found[name]

    def _line(self) -> bytes:
        return self._until(b"\n")

    def _field(self) -> bytes:
        return self._until(b"\0")

    def _until(self, mark: bytes) -> bytes:
        end = self._body.find(mark, self._at)
        if end < 0:
            raise self._broken()
        found, self._at = self._body[self._at : end], end + 1
        return found

    def _broken(self) -> HostAway:
        return HostAway(f"{self._area.host.name}: its list of files cannot be understood")


def read_sum(body: bytes, at: int, path: bytes) -> tuple[str, int]:
    """The checksum of `path` if its line of sha256sum stands at `at`, and where the next begins.

    There is none for a file that cannot be read. A line that begins with a backslash has its name escaped (GNU
    coreutils, sha256sum); others have it as it is, newlines and all (busybox).
    """
    found = _SUM.match(body, at)
    if not found:
        return "", at
    if body.startswith(path + b"\n", found.end()) and body[at : at + 1] != b"\\":
        return found[1].decode(), found.end() + len(path) + 1
    end = body.find(b"\n", at)
    escaped = re.sub(rb"\\[\\nr]", lambda pair: _ESCAPED[pair[0]], body[found.end() : end])
    if body[at : at + 1] == b"\\" and escaped == path:
        return found[1].decode(), end + 1
    return "", at


def sums(area: Area, paths: Sequence[str], size: int) -> dict[str, str]:
    """SHA-256 of files below the root, `size` bytes together; what cannot be read is missing. One round trip."""
    answer = area.raw("sums", data=_fields(paths), limit=LIMIT + size / SLOWEST_SUM)
    body, at = area.body_of("sums", answer), 0
    found: dict[str, str] = {}
    for path in paths:
        sha, at = read_sum(body, at, _raw(path))
        if sha:
            found[path] = sha
    return found


def pack(area: Area, files: Mapping[str, int], take: Take, *, squeezed: bool) -> None:
    """Hand over the content of these files below the root, by path with their sizes. One round trip.

    A file that is gone or cannot be read is left out. Raises `HostAway` also for an answer that was cut off.
    """
    total = sum(files.values())
    # A file may have grown since it was listed; what fills the memory is no answer.
    bound = 2 * total + len(files) * _OVERHEAD + 4 * sum(len(_raw(path)) for path in files) + SMALL
    unpacker = zlib.decompressobj(31)
    archive = bytearray()

    def into(piece: bytes) -> None:
        room = bound - len(archive)
        if room > 0:
            archive.extend(_unpacked(area, unpacker, piece, room) if squeezed else piece[:room])

    words = ["z"] if squeezed else []
    area.stream("pack", *words, data=_fields(files), limit=LIMIT + total / SLOWEST, into=into)
    if squeezed and not unpacker.eof and len(archive) < bound:
        raise HostAway(f"{area.host.name}: the answer was cut off")
    for path, content in _members(bytes(archive)):
        if path in files:
            take(path, content)


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """The regular files of one tar or several in a row, as far as they can be read; the rest is asked for again."""
    linked: dict[str, bytes] = {}
    try:
        with tarfile.open(
            fileobj=io.BytesIO(archive),
            mode="r:",
            encoding="utf-8",
            errors="surrogateescape",
            ignore_zeros=True,
        ) as tar:
            for member in tar:
                content: bytes | None = None
                if member.islnk():
                    # A hard link says only: as that member before.
                    content = linked.get(member.linkname)
                elif member.isreg() and (file := tar.extractfile(member)) is not None:
                    content = file.read()
                    content = content if len(content) == member.size else None
                if content is not None:
                    linked[member.name] = content
                    yield member.name, content
    except (tarfile.TarError, ValueError, OverflowError):
        return


def shrinks(path: str, size: int) -> bool:
    """Whether compressing a file pays on its way.

    Logs shrink tenfold; arrays and checkpoints do not, and cost both ends more time than most networks take. Small
    files travel with their headers, which do shrink.
    """
    return size <= _TINY or path.lower().endswith(_TEXT)


def part(area: Area, path: str, offset: int, count: int, write: Write) -> int:
    """Hand over `count` bytes of a file below the root from `offset` on, in pieces as they come. One round trip.

    Returns how many came: fewer if the file is shorter now. What came stays with the taker if the connection drops.
    """
    squeezed = shrinks(path, count)
    unpacker = zlib.decompressobj(31)
    came = 0

    def into(piece: bytes) -> None:
        nonlocal came
        while piece:
            if squeezed:
                plain = _unpacked(area, unpacker, piece, 1 << 20)
                piece = unpacker.unconsumed_tail
            else:
                plain, piece = piece, b""
            plain = plain[: count - came]
            if plain:
                write(plain)
            came += len(plain)

    words = [str(offset), str(count), *(["z"] if squeezed else [])]
    answer = area.stream("part", *words, data=_raw(path), limit=LIMIT + count / SLOWEST, into=into)
    if squeezed and answer.status == 0 and not unpacker.eof:
        raise HostAway(f"{area.host.name}: the answer was cut off")
    return came


def _unpacked(area: Area, unpacker: _Unpacker, piece: bytes, most: int) -> bytes:
    try:
        return unpacker.decompress(piece, most)
    except zlib.error as error:
        raise HostAway(f"{area.host.name}: what it sends is damaged ({error})") from None


def _fields(paths: Iterable[str]) -> bytes:
    return b"".join(_raw(path) + b"\0" for path in paths)


def _raw(path: str) -> bytes:
    return path.encode(errors="surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")
