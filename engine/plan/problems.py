"""What is wrong with a sweep's file, in the words a user reads, with the line where it stands."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from .model import Value

Path = tuple[str | int, ...]
"""The way to a place in a file: keys and list positions (from 0)."""

_VALUE_WIDTH = 60
_MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and what would be right."""

    file: str
    line: int | None
    key: str | None
    """The way to the value, as in `params[3].ttl`."""
    value: str
    """The offending value as it would stand in a file, cut to a readable length; empty if none is to blame.
    """
    message: str
    remedy: str = ""
    """What would be right, or "did you mean"."""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        key = f"{self.key}: " if self.key else ""
        value = f"{self.value} " if self.value else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{place}: {key}{value}{self.message}{remedy}"


class PlanError(ValueError):
    """A sweep's file cannot be used; `str()` is the text for the user, with all its problems."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__(problems)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:_MOST_SHOWN]]
        if len(self.problems) > _MOST_SHOWN:
            lines.append(f"… and {len(self.problems) - _MOST_SHOWN} more problems")
        return "\n".join(lines)


class Located(Protocol):
    """A document that can say on which lines its parts stand."""

    @property
    def file(self) -> str: ...

    def lines(self, paths: Iterable[Path]) -> dict[Path, int]:
        """The line (from 1) of each of `paths` that can be found."""
        ...


class Findings:
    """Collects problems and warnings of one document; lines are looked up only if needed."""

    def __init__(self, document: Located) -> None:
        self._document = document
        self._problems: list[tuple[Path, str, str, str]] = []
        self._ready: list[Problem] = []
        self._warnings: list[tuple[Path, str]] = []
        self._written: dict[Path, Path] = {}

    def error(self, path: Path, message: str, *, value: Value | Absent = None, remedy: str = "") -> None:
        """Note that what stands at `path` is wrong. `value` is quoted before the message."""
        text = "" if value is None else value.text if isinstance(value, Absent) else shown(value)
        self._problems.append((self._as_written(path), text, message, remedy))

    def add(self, problem: Problem) -> None:
        """Note a problem whose place is already known."""
        self._ready.append(problem)

    def warn(self, path: Path, message: str) -> None:
        """Note what the user should know though it stops nothing; an empty path speaks of the whole file."""
        self._warnings.append((self._as_written(path), message))

    def stands_for(self, path: Path, written: Path) -> None:
        """From now on, what is said of `path` is said of `written`, where the file has it."""
        self._written[path] = self._as_written(written)

    def _as_written(self, path: Path) -> Path:
        if self._written:
            for length in range(len(path), 0, -1):
                if (written := self._written.get(path[:length])) is not None:
                    return (*written, *path[length:])
        return path

    def __bool__(self) -> bool:
        return bool(self._problems or self._ready)

    def raise_if_any(self) -> None:
        """Raise PlanError with all problems so far, in the order of the file."""
        if not self:
            return
        lines = self._document.lines({path for path, *_ in self._problems})
        problems = [
            Problem(self._document.file, lines.get(path), show_path(path) or None, value, message, remedy)
            for path, value, message, remedy in self._problems
        ]
        unique = dict.fromkeys(self._ready + problems)
        raise PlanError(tuple(sorted(unique, key=lambda problem: problem.line or 0)))

    def warnings(self) -> tuple[str, ...]:
        """The warnings as text, each once, with file, line and key where they have one."""
        lines = self._document.lines({path for path, _ in self._warnings if path})
        found = sorted(self._warnings, key=lambda warning: lines.get(warning[0], 0))
        texts = (
            str(Problem(self._document.file, lines.get(path), show_path(path), "", message))
            if path
            else message
            for path, message in found
        )
        return tuple(dict.fromkeys(texts))


@dataclass(frozen=True, slots=True)
class Absent:
    """Text to stand where a problem's value stands when it is not a value, such as `null`."""

    text: str


NULL = Absent("null")


def shown(value: Value) -> str:
    """`value` as JSON would have it, cut to about 60 characters."""
    if isinstance(value, str) and len(value) > _VALUE_WIDTH:
        # Cut before quoting: a value of many megabytes must not be encoded to show its beginning.
        return cut(json.dumps(value[: _VALUE_WIDTH + 1], ensure_ascii=False))
    try:
        return cut(json.dumps(value, ensure_ascii=False))
    except (ValueError, RecursionError):
        return f"<{type(value).__name__}>"


def cut(text: str) -> str:
    """`text` without the part beyond about 60 characters, and with control characters made visible."""
    printable = "".join(
        char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[: _VALUE_WIDTH + 1]
    )
    return printable if len(text) <= _VALUE_WIDTH else printable[: _VALUE_WIDTH - 1] + "…"


def show_path(path: Path) -> str:
    """`params[3].ttl` for `("params", 3, "ttl")`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{cut(part)}" if text else cut(part)
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean "params"?`, or nothing if no known word is near."""
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.65)
    return f'did you mean "{lowered[near[0]]}"?' if near else ""


def kind_of(value: Value) -> str:
    """What a value is, in words: `a number`, `a list`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a mapping"
