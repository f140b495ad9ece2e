"""What a bare word in YAML or CSV is: a number, true or false, null, or the text the user wrote.

The rules are those of the YAML 1.2 core schema without its surprises: `1e-4`, `.5` and `-3` are numbers;
`010`, `0x1F`, `1_000`, `1:30`, `yes`, `on`, `.inf` and dates stay text, as written.
"""

from __future__ import annotations

import re

from .spelled import as_written

_NUMBER = re.compile(
    r"[-+]?(?:(?P<int>0|[1-9][0-9]*)|(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
)
_STARTS_A_NUMBER = frozenset("+-.0123456789")
_LONGEST_INT = 4300
"""Digits beyond which Python refuses to convert."""


def number(word: str) -> int | float | None:
    """The number that `word` is, or None if it is none, or one that a float cannot hold."""
    if not word or word[0] not in _STARTS_A_NUMBER:
        return None
    match = _NUMBER.fullmatch(word)
    if match is None:
        return None
    if match["int"] is not None:
        return int(word) if len(word) <= _LONGEST_INT else None
    value = as_written(word)
    return value if value - value == 0 else None
