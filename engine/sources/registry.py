"""The kinds of sources there are, and the words that choose them: `local`, `local:4`.

A new kind is one file beside this one and one line in `KINDS`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .base import Source, SourceContext


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source as the user named it."""

    name: str
    """What it is called in the sweep; unique there."""
    kind: str
    slots: int
    options: Mapping[str, str] = field(default_factory=dict[str, str])


class SourceError(ValueError):
    """A source that cannot be used as it was written; the text says what would be right."""


Make = Callable[[SourceSpec, SourceContext], Source]


def _local(spec: SourceSpec, context: SourceContext) -> Source:
    from .local import LocalSource

    return LocalSource(spec.name, context.layout.runner)


KINDS: dict[str, Make] = {"local": _local}
_LATER = {
    "ssh": "SSH hosts", "slurm": "Slurm clusters", "pbs": "PBS clusters", "hpc": "clusters", "ec2": "AWS EC2",
}  # fmt: skip


def cores() -> int:
    """Processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def parse_sources(texts: tuple[str, ...] | list[str]) -> list[SourceSpec]:
    """The sources of `--sources "local:4"` (several, comma separated or repeated). Raises `SourceError`."""
    specs: list[SourceSpec] = []
    for text in (part.strip() for item in texts for part in item.split(",")):
        if not text:
            continue
        kind, _, rest = text.partition(":")
        if kind in _LATER:
            raise SourceError(
                f'"{text}": {_LATER[kind]} are not available in this version; it runs on local slots'
            )
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, [*KINDS, *_LATER], 1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise SourceError(f'"{text}" is not a source{hint} Write it like local or local:4')
        specs.append(SourceSpec(_unique(kind, specs), kind, _slots(text, rest)))
    return specs or [SourceSpec("local", "local", cores())]


def _slots(text: str, rest: str) -> int:
    if not rest:
        return cores()
    if not rest.isascii() or not rest.isdigit() or not 1 <= int(rest) <= 100_000:
        raise SourceError(f'"{text}": {rest!r} is not a number of slots; write it like local:4')
    return int(rest)


def _unique(name: str, specs: list[SourceSpec]) -> str:
    taken = {spec.name for spec in specs}
    if name not in taken:
        return name
    return next(f"{name}-{n}" for n in range(2, len(specs) + 3) if f"{name}-{n}" not in taken)


def make_source(spec: SourceSpec, context: SourceContext) -> Source:
    """Raises `SourceError` if this version has no such kind."""
    if spec.kind not in KINDS:
        raise SourceError(f"source {spec.name}: this version knows no kind {spec.kind!r}")
    return KINDS[spec.kind](spec, context)
