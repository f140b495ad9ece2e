"""What is in each file of the project: size, executable bit and SHA-256, read again only where a file has changed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ...state.disk import LocalDisk
from .files import ProjectError

LARGE_TOTAL = 200 << 20
LARGE_FILE = 50 << 20
"""Bytes above which a project, or one file of it, is more than source code."""
TRIES = 3
"""How often a file that changes while it is read is read again."""
_RACY = 2_000_000_000
"""Nanoseconds: a file touched so shortly before it was read may be touched again without its time changing."""
_PIECE = 1 << 20
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One file; of a link, `size` and `digest` are those of what readlink(1) prints."""

    name: str
    size: int
    digest: str
    """SHA-256, in hexadecimal."""
    executable: bool = False
    link: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """What a file looked like when it was read last."""

    stamp: tuple[int, int, int, int]
    """Of the file: size, inode, and the nanoseconds of its content's and its inode's last change."""
    digest: str


def read_manifest(project: Path, names: Iterable[str], cache: Path | None) -> dict[str, Entry]:
    """The entries of these names, by name. `cache`: a file that remembers what was read.

    A file that vanished in the meantime is left out. Raises `ProjectError` that lists what cannot be read.
    """
    before = _read_cache(cache) if cache is not None else {}
    after: dict[str, _Known] = {}
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for name in names:
        try:
            entry = _read(project / name, name, before.get(name), after)
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{name} ({error.strerror})")
            continue
        entries[name] = entry
    if problems:
        raise ProjectError(
            f"{first_of(problems)} cannot be read; mend the permissions, or exclude them (sync.exclude in spawn.yaml)"
        )
    if cache is not None and after != before:
        with suppress(OSError):  # it saves time, no more
            _write_cache(cache, after)
    return entries


def first_of(words: Sequence[str], most: int = 10) -> str:
    """The first of them in a row, and how many there are more."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(show(word) for word in words[:most]) + more


def show(name: str) -> str:
    """A name as it can stand in a message: what is not text, or not to be printed, is escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)


def size_warning(entries: Iterable[Entry]) -> str:
    """Words of warning about a project that is too big to be sent around; empty if it is not."""
    by_size = sorted(entries, key=lambda entry: entry.size, reverse=True)
    total = sum(entry.size for entry in by_size)
    large = [entry for entry in by_size if entry.size > LARGE_FILE]
    if total <= LARGE_TOTAL and not large:
        return ""
    biggest = ", ".join(f"{show(entry.name)} ({megabytes(entry.size)})" for entry in (large or by_size)[:3])
    more = f" and {len(large) - 3} more" if len(large) > 3 else ""
    return (
        f"the project is {megabytes(total)} in {len(by_size)} files; the biggest: {biggest}{more}. What is not needed "
        f"elsewhere can be left out: sync: {{exclude: [{json.dumps(by_size[0].name)}]}} in spawn.yaml, or .gitignore"
    )


def megabytes(size: int) -> str:
    """A size for people, in units of 10^n bytes."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def _read(path: Path, name: str, known: _Known | None, after: dict[str, _Known]) -> Entry:
    """Raises `OSError`, and `ProjectError` for a file that does not hold still."""
    facts = path.lstat()
    if stat.S_ISLNK(facts.st_mode):
        target = os.fsencode(path.readlink()) + b"\n"
        return Entry(name, len(target), hashlib.sha256(target).hexdigest(), link=True)
    for _ in range(TRIES):
        stamp = _stamp(facts)
        if known is None or known.stamp != stamp:
            now = time.time_ns()
            known = _Known(stamp, _digest(path))
            facts = path.stat()
            if _stamp(facts) != stamp:
                continue
            if max(stamp[2:]) + _RACY < now:
                after[name] = known
        else:
            after[name] = known
        return Entry(name, stamp[0], known.digest, bool(facts.st_mode & stat.S_IXUSR))
    raise ProjectError(
        f"{show(name)} changes while it is read; stop what writes it, or exclude it (sync.exclude in spawn.yaml)"
    )


def _stamp(facts: os.stat_result) -> tuple[int, int, int, int]:
    return facts.st_size, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns


def _digest(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_cache(path: Path) -> dict[str, _Known]:
    """What is remembered; nothing where the file is missing or not ours, for everything in it can be found out anew."""
    try:
        document: object = json.loads(path.read_bytes())
        if not isinstance(document, dict):
            return {}
        content = cast("dict[str, object]", document)
        if content.get("format") != _FORMAT:
            return {}
        files = cast("dict[str, list[int | str]]", content["files"])
        return {name: _known(row) for name, row in files.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _known(row: list[int | str]) -> _Known:
    size, inode, modified, changed, digest = row
    return _Known((int(size), int(inode), int(modified), int(changed)), str(digest))


def _write_cache(path: Path, known: dict[str, _Known]) -> None:
    files = {name: [*entry.stamp, entry.digest] for name, entry in known.items()}
    disk = LocalDisk()
    disk.make_dir(path.parent)
    disk.replace(path, json.dumps({"format": _FORMAT, "files": files}, separators=(",", ":")).encode())
