"""The last lines of what an instance that never did its work has left: its bootstrap log, or its console.

For the feed's thread. Each file is read once; one that is not home yet is looked for again.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..engine.collect.elsewhere import BOOTSTRAP, CONSOLE
from ..engine.ids import task_name
from ..engine.redact import said
from ..state.layout import SweepLayout
from . import format as fmt

MOST = 12
"""Lines that are kept of each."""
_BYTES = 8192
"""Bytes of a file's end that they are looked for in."""
_HELD = 200
"""Attempts whose last words are held."""


class LastWords:
    """Of the attempts of one sweep."""

    def __init__(self, layout: SweepLayout) -> None:
        self._layout = layout
        self._known: dict[tuple[int, int], tuple[str, ...]] = {}

    def of(self, task: int, attempt: int) -> tuple[str, ...]:
        """The last lines, made harmless; none while there are none."""
        key = (task, attempt)
        if key not in self._known:
            directory = self._layout.attempt(task_name(task), attempt)
            lines = _tail(directory / BOOTSTRAP) or _tail(directory / CONSOLE)
            if not lines:
                return ()
            self._known[key] = lines
            if len(self._known) > _HELD:
                del self._known[next(iter(self._known))]
        return self._known[key]


def _tail(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _BYTES))
            data = file.read(_BYTES)
    except OSError:
        # It is not there, or not yet; that its disk fails is told where the sweep is read.
        return ()
    lines = said(data.decode("utf-8", "replace")).splitlines()
    if size > _BYTES:
        lines = lines[1:]
    return tuple(line for line in map(fmt.log_line, lines) if line.strip())[-MOST:]
