"""What the reader of a dialect hands on: tasks, and what the file says about the sweep as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from .model import Dialect, PlannedTask, Value
from .problems import Findings, Path, kind_of
from .settings import Level, Settings, is_note
from .values import ENTRY_LIMIT, flaws, surely_fine, text_of

MOST_TASKS = 1_000_000
"""Tasks of the largest sweep."""
_FORBIDDEN_IN_KEYS = frozenset("=\0\n\r")


@dataclass(frozen=True, slots=True)
class Slip:
    """A parameter whose name is nearly another word's, which was perhaps meant."""

    path: Path
    name: str
    meant: str


@dataclass(slots=True)
class Draft:
    """A file's content, before the command line has its say."""

    dialect: Dialect
    tasks: list[PlannedTask]
    settings: Settings
    metadata: dict[str, Value] = field(default_factory=dict[str, Value])
    slips: tuple[Slip, ...] = ()


def check_value(value: Value, path: Path, findings: Findings) -> None:
    """Note what could not reach a program unharmed: see `values.flaws`."""
    if surely_fine(value):
        return
    found = False
    for place, message, remedy in flaws(value, path):
        found = True
        findings.error(place, message, value=value if place == path else None, remedy=remedy)
    if not found and isinstance(value, list | dict):
        size = len(text_of(value).encode())
        if size > ENTRY_LIMIT:
            message = f"has {size} bytes as JSON, more than the {ENTRY_LIMIT} a program can be given"
            findings.error(path, message, remedy="write the data to a file and pass its name")


def check_key(key: str, path: Path, findings: Findings) -> None:
    """Note a name that no parameter can have."""
    if not key.strip():
        findings.error(path, "a parameter needs a name", remedy="write it before the colon")
    elif not _FORBIDDEN_IN_KEYS.isdisjoint(key):
        findings.error(path, "a parameter's name cannot hold `=`, a NUL or a line break", remedy="rename it")
    elif not key.isascii():
        for place, message, remedy in flaws(key, path):
            findings.error(place, message, remedy=remedy)


def notes_of(data: dict[str, Value], levels: list[Level], findings: Findings) -> dict[str, Value]:
    """The notes at the top level, and the content of `metadata` at all `levels`."""
    notes: dict[str, Value] = {}
    for path, mapping in levels:
        metadata = mapping.get("metadata")
        if isinstance(metadata, dict):
            notes.update(metadata)
        elif metadata is not None:
            notes["metadata"] = metadata
        if metadata is not None:
            check_value(metadata, (*path, "metadata"), findings)
    for key, value in data.items():
        if is_note(key) and key != "metadata":
            check_value(value, (key,), findings)
            notes[key] = value
    return notes


def levels_of(data: dict[str, Value]) -> list[Level]:
    """The places of a file that can hold settings: the top level and every `defaults`."""
    levels: list[Level] = [((), data)]
    inside = data.get("sweep")
    for path, mapping in (((), data), (("sweep",), inside)):
        if isinstance(mapping, dict) and isinstance(defaults := mapping.get("defaults"), dict):
            levels.append(((*path, "defaults"), defaults))
    return levels


def mapping_at(data: dict[str, Value], key: str, findings: Findings, path: Path = ()) -> dict[str, Value]:
    """The mapping at `key`; empty if there is none, or after noting that there is something else."""
    value = data.get(key)
    if isinstance(value, dict):
        return value
    if value is not None:
        findings.error(
            (*path, key),
            f"must be a mapping, not {kind_of(value)}",
            value=value,
            remedy="write key: value lines",
        )
    return {}


def too_many(count: int, path: Path, findings: Findings) -> bool:
    """True, after noting it, if a sweep of `count` tasks is larger than this program takes."""
    if count > MOST_TASKS:
        findings.error(path, f"makes {count:,} tasks; a sweep has at most {MOST_TASKS:,}", remedy="divide it")
    return count > MOST_TASKS
