"""Numbers that keep the spelling of the file: `1.10` is the number 1.1, and a command still gets `1.10`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .model import Value

# What Python writes the same way, up to digits that a float cannot hold; most numbers of most files.
_ORDINARY = re.compile(r"-?(?:[1-9][0-9]{0,14}|0(?!\.0000))\.(?:0|[0-9]*[1-9])").fullmatch

# For a glance over a whole text: each begins with one character, for which `re` searches much faster.
_ODD_POINT = re.compile(
    r"\.(?:[0-9]*0(?<!\.0)(?![0-9])|0000(?<=[^0-9]0\.0000)|0?[eE]|(?<=[0-9]{16}\.))"
).search
_CAPITAL_POWER = re.compile(r"E(?<=[0-9.]E)[-+0-9]").search
_POWER = re.compile(r"e(?<=[0-9.]e)[-+]?[0-9]+").finditer
_ORDINARY_POWER = re.compile(
    r"(?<![0-9.])[1-9](?:\.[0-9]*[1-9])?e(?:-(?:0[5-9]|[1-9][0-9]+)|\+(?:1[6-9]|[2-9][0-9]|[1-9][0-9]{2}))\Z"
).search
_LONGEST_MANTISSA = 24
LONGEST_SPELLING = 60
"""Characters of the longest number that keeps its spelling."""


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
    return value if repr(value) == text or len(text) > LONGEST_SPELLING else Spelled(text)


def may_be_spelled(text: str) -> bool:
    """False if no number of a JSON text can have a spelling of its own: then a parser need not ask for each."""
    if _ODD_POINT(text) or _CAPITAL_POWER(text):
        return True
    before = _LONGEST_MANTISSA
    powers = (text[max(0, power.start() - before) : power.end()] for power in _POWER(text))
    return not all(_ORDINARY_POWER(number) for number in powers)


def spelling_of(params: Mapping[str, Value]) -> dict[str, Value]:
    """The spelling of those values that have one of their own, which JSON cannot keep."""
    if Spelled not in map(type, params.values()):
        return {}
    return {key: value.text for key, value in params.items() if isinstance(value, Spelled)}


def respelled(params: dict[str, Value], spelling: Mapping[str, str]) -> dict[str, Value]:
    """`params` with the spellings that `spelling_of` found."""
    return {**params, **{key: Spelled(text) for key, text in spelling.items()}}
