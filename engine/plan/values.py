"""The text form of a parameter's value, and what no value may hold."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .model import Value
from .problems import Path
from .spelled import Spelled

ENTRY_LIMIT = 131_071
"""Bytes of one argument or one `NAME=value` (Linux: MAX_ARG_STRLEN is 131072 with the final NUL)."""
DEEPEST = 100
"""Levels of lists and mappings inside each other, in a whole file."""
TOTAL_LIMIT = 1_500_000
"""Bytes of all arguments and the environment together, below the usual 2 MiB with room for what is added
later.
"""
# No text of fewer characters can exceed ENTRY_LIMIT, whatever its encoding and the variable's name.
_SURELY_SHORT = 16_000


def text_of(value: Value) -> str:
    """`value` as a program receives it: text as it is, `true`/`false`, `null`, numbers as they were written,
    else JSON.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]
    if kind is int or kind is float:
        return repr(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is Spelled:
        return value.text  # type: ignore[union-attr]
    return json.dumps(value, ensure_ascii=False)


def flaws(value: Value, path: Path = ()) -> Iterator[tuple[Path, str, str]]:
    """(path, message, remedy) of everything in `value` that could not reach a program unharmed."""
    if isinstance(value, str):
        flaw = text_flaw(value)
        if flaw is not None:
            yield path, *flaw
    elif isinstance(value, float):
        if value - value != 0:
            yield path, "is too large for a number", "quote it to pass it as text"
    elif isinstance(value, list | dict) and len(path) > DEEPEST:
        yield path, "is nested too deeply", f"no sweep needs more than {DEEPEST} levels"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from flaws(item, (*path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            flaw = text_flaw(key)
            if flaw is not None:
                yield (*path, key), *flaw
            yield from flaws(item, (*path, key))


def text_flaw(text: str) -> tuple[str, str] | None:
    """(message, remedy) if `text` cannot be given to a program: a NUL, half a character, too many bytes."""
    if text.isascii():
        size = len(text)
        nul = "\0" in text
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            return "is not valid Unicode (half of a surrogate pair)", "write the whole character"
        nul = "\0" in text
    if nul:
        return (
            "holds a NUL character, which no program can be given",
            "write the data to a file and pass its name",
        )
    if size > ENTRY_LIMIT:
        return (
            f"has {size} bytes, more than the {ENTRY_LIMIT} a program can be given",
            "pass the name of a file",
        )
    return None


def surely_fine(value: Value) -> bool:
    """True if a glance shows that `value` has no flaw; most values of most sweeps."""
    kind = type(value)
    if kind is str:
        return value.isascii() and "\0" not in value and len(value) < _SURELY_SHORT  # type: ignore[union-attr]
    if kind is float:
        return value - value == 0  # type: ignore[operator]
    return kind is int or kind is bool or value is None
