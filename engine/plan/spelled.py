"""Numbers that keep the spelling of the file: `1.10` is the number 1.1, and a command still gets `1.10`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .model import Value

# What Python writes the same way, up to digits that a float cannot hold; most numbers of most files.
_ORDINARY = re.compile(r"-?(?:[1-9][0-9]{0,14}|0(?!\.0000))\.(?:0|[0-9]*[1-9])").fullmatch


class Spelled(float):
    """A number that its file writes otherwise than Python would (`1.10`, `1e-4`, `1E-5`).

    As JSON it is an ordinary number, for programs that read one; `text` is what commands and the environment
    are given.
    """

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Spelled:
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        return (self.text,)


def as_written(text: str) -> float:
    """The number that `text` is, with its spelling only where that is one of its own."""
    if _ORDINARY(text):
        return float(text)
    value = float(text)
    return value if repr(value) == text else Spelled(text)


def spelling_of(params: Mapping[str, Value]) -> dict[str, Value]:
    """The spelling of those values that have one of their own, which JSON cannot keep."""
    if Spelled not in map(type, params.values()):
        return {}
    return {key: value.text for key, value in params.items() if isinstance(value, Spelled)}


def respelled(params: dict[str, Value], spelling: Mapping[str, str]) -> dict[str, Value]:
    """`params` with the spellings that `spelling_of` found."""
    return {**params, **{key: Spelled(text) for key, text in spelling.items()}}
