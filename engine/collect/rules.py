"""What comes home of an attempt's files, and how patiently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ...state.layout import CLAIM, EXIT, STATUS, STDERR, STDOUT, TIMED_OUT

INTERVAL = 2.0
"""Seconds between two batches, unless the config says otherwise."""
START = "start.sh"
"""What started the attempt there; it says nothing that the plan at home does not."""
_ALWAYS = frozenset({CLAIM, EXIT, TIMED_OUT, STDOUT, STDERR})
_NEVER = frozenset({START, STATUS})
"""Names that are ours: what started the attempt there, and what the engine says of it at home."""


@dataclass(frozen=True, slots=True)
class CollectRules:
    """`include` and `exclude`: patterns of `fnmatch`, for the path below the attempt if they hold a slash, else for the
    name. The runner's own files (logs, claim, exit) come home whatever they say.
    """

    include: tuple[str, ...] = ()
    """If there are any: only what matches one of them."""
    exclude: tuple[str, ...] = ()
    max_size: int | None = None
    """Bytes; a larger file stays there, and is reported."""
    interval: float = INTERVAL
    """Seconds between two batches."""
    patience: float = 3600.0
    """Seconds without any success after which what is not home is given up, until somebody asks for it again."""
    keep_remote: bool = True

    @classmethod
    def of(cls, options: Mapping[str, str]) -> CollectRules:
        """From a source's options: `collect_include`, `collect_exclude` (one pattern a line), `collect_max_size`
        (bytes), `collect_interval` (seconds), `collect_keep_remote` (`yes`, `no`). Raises `ValueError`.
        """
        size = options.get("collect_max_size")
        return cls(
            include=_lines(options.get("collect_include", "")),
            exclude=_lines(options.get("collect_exclude", "")),
            max_size=int(size) if size else None,
            interval=float(options.get("collect_interval") or INTERVAL),
            keep_remote=options.get("collect_keep_remote") != "no",
        )

    def stays(self, path: str, size: int) -> str:
        """Why the file stays where it is; empty if it comes home. `path` is relative to the attempt."""
        if path in _ALWAYS:
            return ""
        if self.include and not _matches(path, self.include):
            return "not among what shall come home"
        if _matches(path, self.exclude):
            return "excluded"
        if self.max_size is not None and size > self.max_size:
            return f"larger than {self.max_size} bytes"
        return ""


def is_ours(path: str) -> bool:
    """Whether it is a file of the sweep's own machinery that never comes home."""
    return path in _NEVER


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.split("\n") if line)


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)
