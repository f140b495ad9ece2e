"""The project's copy on another machine, asked in one round trip: where it is, its commit, what is in which file.

Names travel inside the script, quoted for POSIX sh: NUL-separated input is understood by few programs of other
systems, and a script that is read from stdin has no stdin left.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..remote.host import Host, HostAway, HostRefused
from .record import Record, read_record

LIMIT = 900.0
"""Seconds one look may take: every file there may have to be read from a slow disk."""
_CHUNK = 200
_CHUNK_BYTES = 60_000
"""Names, and bytes of names, of one call there: the arguments of a program may be 128 KiB on old systems."""
_MARK = b"spawn-project 1\n"
_SUM = re.compile(rb"\\?([0-9a-f]{64})(?: |\Z)")


@dataclass(slots=True)
class Copy:
    """What was found there."""

    home: str = ""
    path: str = ""
    """The folder, absolute; empty if it is not there."""
    absent: str = ""
    """The path that was looked for, if there is nothing."""
    closed: str = ""
    """The path that was looked for, if it is no folder or may not be entered."""
    head: str = ""
    prefix: str = ""
    changed: int = 0
    flagged: int = 0
    """Files that git there was told to take for unchanged."""
    summer: str = ""
    """The program that makes checksums there; empty if there is none."""
    tools: set[str] = field(default_factory=set[str])
    key: str = ""
    """What the record of this copy is kept under, there in `~/.spawn/sync`."""
    record: Record = field(default_factory=Record)
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    """By name: `f` file, `x` executable, `l` link, `u` unreadable file, `o` something else, `-` nothing."""
    sums: dict[str, str] = field(default_factory=dict[str, str])
    """SHA-256 of files, and of what readlink(1) prints of links."""
    blocked: set[str] = field(default_factory=set[str])
    """Folders of the names asked for that are links or files there."""

    def is_blocked(self, name: str) -> bool:
        return any(above in self.blocked for above in parents(name))


def quote_path(path: str) -> str:
    """A path for a script; `~/` at its beginning is the home directory there."""
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)


def parents(name: str) -> Iterator[str]:
    """The folders on the way to a name, the outermost first."""
    at = name.find("/")
    while at > 0:
        yield name[:at]
        at = name.find("/", at + 1)


def library() -> str:
    return Path(__file__).with_name("far.sh").read_text()


def look(host: Host, there: str, names: Sequence[str] | None, *, limit: float = LIMIT) -> Copy:
    """Look at the copy at `there` (may begin with `~/`): its commit, and with `names` also what these files hold.

    One round trip; a second where what was found calls for it. Raises `HostAway` and `HostRefused`.
    """
    start = [f"there {quote_path(there)}"]
    copy = Copy()
    if names is None:
        _read(_run(host, [*start, "commit"], limit), copy, (), ())
        return copy
    folders = sorted({folder for name in names for folder in parents(name)})
    unsure = _read(
        _run(host, [*start, "commit", "record", *_guarded(folders, chunks(names))], limit),
        copy,
        names,
        folders,
    )
    # Asked again: what we put there once and have no more, and one at a time what could not be told apart (a name with
    # a newline, a file that vanished while it was read).
    gone = sorted(set(copy.record.sums).difference(names))
    again = [*gone, *(names[number] for number in unsure)]
    if again:
        calls = [*chunks(gone), *((len(gone) + n, _word(names[number])) for n, number in enumerate(unsure))]
        folders = sorted({folder for name in gone for folder in parents(name)})
        _read(_run(host, [*start, *_guarded(folders, calls)], limit), copy, again, folders)
    if copy.path and not copy.summer:
        raise HostRefused(
            f"{host.name}: files cannot be compared there without sha256sum, shasum or openssl; install one of them"
        )
    return copy


def _guarded(folders: Sequence[str], calls: Iterable[tuple[int, str]]) -> list[str]:
    """The questions about folders and names; none where no checksum can be made."""
    return [
        'if [ -n "$summer" ]; then :',
        *(f"folders {first} {words}" for first, words in chunks(folders)),
        *(f"look {first} {words}" for first, words in calls),
        "fi",
    ]


def _run(host: Host, lines: Iterable[str], limit: float) -> list[bytes]:
    script = library() + "".join(f"{line}\n" for line in lines) + "echo end\n"
    answer = host.run(["sh", "-s"], script.encode(errors="surrogateescape"), limit=limit)
    at = answer.out.find(_MARK)
    if at < 0:
        raise HostRefused(
            f"{host.name}: no POSIX shell answers there ({answer.words}); try: ssh {host.name} sh -c 'echo hello'"
        )
    body = answer.out[at + len(_MARK) :].split(b"\n")
    if body[-2:] != [b"end", b""]:
        raise HostAway(f"{host.name}: the answer about the project was cut off ({answer.words})")
    return body[:-2]


def chunks(names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The names as arguments, a few at a time, with the number of the first."""
    first, words, size = 0, list[str](), 0
    for number, name in enumerate(names):
        word = _word(name)
        if words and (len(words) == _CHUNK or size + len(word) > _CHUNK_BYTES):
            yield first, " ".join(words)
            first, words, size = number, [], 0
        words.append(word)
        size += len(word)
    if words:
        yield first, " ".join(words)


def _word(name: str) -> str:
    return shlex.quote(f"./{name}")


def _read(lines: Sequence[bytes], copy: Copy, names: Sequence[str], folders: Sequence[str]) -> list[int]:
    """Take the answer down; the numbers of the names whose sums cannot be told apart are returned."""
    unsure: list[int] = []
    records: list[bytes] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith(b"["):
            records.append(line)
        elif line.startswith(b"D "):
            copy.blocked.add(folders[int(line[2:])])
        elif line.startswith(b"L "):
            _, number, digest, *_ = line.split(b" ")
            copy.sums[names[int(number)]] = digest.decode()
        elif line.startswith(b"K "):
            end = lines.index(b".", at)
            unsure += _read_kinds(line, lines[at:end], copy, names)
            at = end + 1
        else:
            _read_field(os.fsdecode(line), copy)
    if records:
        copy.record = read_record(records)
    return unsure


def _read_kinds(line: bytes, sums: Sequence[bytes], copy: Copy, names: Sequence[str]) -> list[int]:
    _, number, kinds = line.decode().split(" ")
    first = int(number)
    copy.kinds.update(zip(names[first : first + len(kinds)], kinds, strict=True))
    files = [first + n for n, kind in enumerate(kinds) if kind in "fx"]
    digests = [match[1].decode() for text in sums if (match := _SUM.match(text))]
    if len(digests) == len(files):
        copy.sums.update(zip((names[n] for n in files), digests, strict=True))
        return []
    if len(kinds) > 1:
        return files
    if not digests:
        copy.kinds[names[first]] = "u"  # it was there when its kind was asked for, and could not be read
    else:
        copy.sums[names[first]] = digests[0]
    return []


def _read_field(line: str, copy: Copy) -> None:
    key, _, value = line.partition("=")
    match key:
        case "home" | "path" | "absent" | "closed" | "head" | "prefix" | "summer" | "key":
            setattr(copy, key, value)
        case "changed" | "flagged":
            setattr(copy, key, int(value))
        case "tool":
            copy.tools.add(value)
        case _:
            pass
