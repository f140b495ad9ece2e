"""Deleting on another machine what is home: the only place that deletes anything there.

Nothing is trusted that was said before: every file is summed up again at both ends, and what is here is on the disk,
before the first one goes. If one attempt of a source is not whole at home, nothing of that source is deleted.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..remote.area import Area
from . import far
from .landing import Landing, target_inside
from .rules import START

BATCH = 250
"""Attempts of one round trip."""


@dataclass(frozen=True, slots=True)
class Removal:
    """`removed`: names of attempts that are gone there; `kept`: why nothing was deleted, in words."""

    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def remove_collected(area: Area, attempts: Sequence[tuple[str, Path]]) -> Removal:
    """Delete these attempts (name, directory at home) there, if all of them are home.

    To be called only when the sweep has ended and the user asked for it. Raises `HostAway`, `HostRefused`,
    `AreaError`, `OSError`; what was deleted until then was home.
    """
    there: list[str] = []
    kept: list[str] = []
    for batch in _batches(attempts):
        found, wrong = _verify(area, batch)
        there += found
        kept += wrong
    if kept:
        return Removal(kept=tuple(kept))
    removed: list[str] = []
    for start in range(0, len(there), BATCH):
        data = "".join(f"{name}\n" for name in there[start : start + BATCH]).encode()
        removed += [line.removeprefix("R ") for line in area.ask("remove", data=data, limit=10 * far.LIMIT)]
    return Removal(removed=tuple(removed))


def _batches(attempts: Sequence[tuple[str, Path]]) -> list[Sequence[tuple[str, Path]]]:
    return [attempts[start : start + BATCH] for start in range(0, len(attempts), BATCH)]


def _verify(area: Area, batch: Sequence[tuple[str, Path]]) -> tuple[list[str], list[str]]:
    """The names that are there and whole at home; and what is wrong with the others."""
    names = [name for name, _ in batch]
    alive = [name for name, seen in area.look(names).seen.items() if seen.alive]
    wrong = [f"{name} still runs on {area.host.name}" for name in alive]
    listings, same = _list_marked(area, batch)
    if same:
        return [], [f"{area.directory(same)} is the directory at home itself"]
    there = [name for name in names if listings[name].there]
    summed = _big_sums(area, {name: listings[name] for name in there})
    for name, directory in batch:
        listing = listings[name]
        if not listing.there:
            continue
        if listing.hidden:
            wrong.append(f"{name}: {listing.hidden}")
        with Landing(directory) as landing:
            for file in listing.files:
                sha = file.sha or summed.get(f"attempts/{name}/{file.path}", "")
                if file.path != START and (not sha or landing.sum_of(file.path, file.size, sync=True) != sha):
                    wrong.append(f"{name}/{file.path} is not home as it is there")
            for path, target in listing.links:
                inside = target_inside(path, target, area.directory(name))
                if inside is not None and landing.target_of(path) != inside:
                    wrong.append(f"{name}/{path} is not home as it is there")
    return there, wrong


def _list_marked(area: Area, batch: Sequence[tuple[str, Path]]) -> tuple[dict[str, far.Listing], str]:
    """What is there, and the name of an attempt whose directory there is the one here (a shared file system)."""
    mark = f".spawn-{os.getpid()}.{secrets.token_hex(8)}.tmp"
    with contextlib.ExitStack() as marks:
        for _, directory in batch:
            if directory.is_dir():
                path = directory / mark
                path.touch(mode=0o600)
                marks.callback(path.unlink)
        listings = far.list_attempts(area, [name for name, _ in batch])
    for name, listing in listings.items():
        if any(file.path == mark for file in listing.files):
            return listings, name
    return listings, ""


def _big_sums(area: Area, listings: dict[str, far.Listing]) -> dict[str, str]:
    paths = {
        f"attempts/{name}/{file.path}": file.size
        for name, listing in listings.items()
        for file in listing.files
        if file.size > far.SMALL and file.path != START
    }
    return far.sums(area, list(paths), sum(paths.values())) if paths else {}
