"""Keys that mean nothing where they stand: each is an error, and the plain slips among them are read as what was
meant, so that their content is checked in the same go.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from .model import Value
from .problems import Findings, Path, did_you_mean

_MEANT = {"parameters": "params", "base_command": "command", "work_dir": "workdir"}
_SURELY = 0.75
"""How alike two words are when one is a slip for the other: `comand`, `gird`, `timeot`, but not `data`."""


def unknown_key(key: str, known: Iterable[str], findings: Findings, path: Path = ()) -> None:
    """Note a key that means nothing where it stands."""
    words = list(known)
    remedy = f'did you mean "{_MEANT[key]}"?' if key in _MEANT else did_you_mean(key, words)
    if not remedy:
        remedy = (
            "parameters stand under `params`, `grid` or `defaults`"
            if not path
            else f"known are {', '.join(words)}"
        )
    findings.error((*path, key), "is unknown here", remedy=remedy)


def mended(
    data: dict[str, Value],
    known: Iterable[str],
    is_right: Callable[[str], bool],
    findings: Findings,
    path: Path = (),
    note: Callable[[str], None] | None = None,
) -> dict[str, Value]:
    """`data` with the plain slips for words of `known` put right. Every key that is neither known nor
    `is_right` is noted: by `note`, or else as unknown.
    """
    words = dict.fromkeys(known)
    strangers = [key for key in data if key not in words and not is_right(key)]
    if not strangers:
        return data
    meant: dict[str, str] = {}
    for key in strangers:
        if note is None:
            unknown_key(key, words, findings, path)
        else:
            note(key)
        word = _surely_meant(key, words)
        if word is not None and word not in data and word not in meant.values():
            meant[key] = word
            findings.stands_for((*path, word), (*path, key))
    return {meant.get(key, key): value for key, value in data.items()}


def _surely_meant(key: str, words: Iterable[str]) -> str | None:
    """The one word that `key` is a slip for; None if none or several are near."""
    if key in _MEANT:
        return _MEANT[key] if _MEANT[key] in words else None
    near = difflib.get_close_matches(key.lower(), list(words), n=2, cutoff=_SURELY)
    return near[0] if len(near) == 1 else None
