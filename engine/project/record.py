"""What `spawn-tui sync` has put into a copy of the project, kept beside no project: there in `~/.spawn/sync/KEY/files`.

Not in the project itself, where git would see it and a later sync would carry it around. One JSON line per file,
`["train.py", ["SHA-256", …]]`; the sums are those it may have by our doing: before a transfer the old and the new one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast


@dataclass(frozen=True, slots=True)
class Record:
    """The sums we gave each file."""

    sums: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    def is_ours(self, name: str, digest: str | None) -> bool:
        """Whether a file that has this content now is as we put it there."""
        return digest is not None and digest in self.sums.get(name, ())

    def lines(self) -> str:
        """As it is kept: ASCII, so that it passes through every shell."""
        return "".join(f"{json.dumps([name, sorted(sums)])}\n" for name, sums in sorted(self.sums.items()))


def read_record(lines: Iterable[bytes]) -> Record:
    """From its lines. One that cannot be read means that the file is not known to be ours, which is the safe side."""
    found: dict[str, frozenset[str]] = {}
    for line in lines:
        try:
            name, sums = cast("tuple[str, list[str]]", json.loads(line))
        except ValueError:
            continue
        found[name] = frozenset(sums)
    return Record(found)
