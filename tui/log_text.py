"""The lines of a log as the screen holds them: the newest, numbered from where reading began."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from . import format as fmt

MAX_LINES = 50_000


class LogText:
    """A window on the end of a log. Lines keep their numbers when older ones are let go."""

    def __init__(self, max_lines: int = MAX_LINES) -> None:
        self._max = max_lines
        self.first = 0
        """The number of the oldest line held."""
        self.lines: list[str] = []

    @property
    def end(self) -> int:
        """One past the number of the newest line."""
        return self.first + len(self.lines)

    def update(self, start: int, lines: Sequence[str]) -> None:
        """From line `start` on the log is now `lines`; a `start` of 0 begins anew."""
        if start <= 0:
            self.first, self.lines = 0, list(lines)
        else:
            del self.lines[max(0, start - self.first) :]
            self.lines.extend(lines)
        over = len(self.lines) - self._max
        if over > 0:
            del self.lines[:over]
            self.first += over

    def find(self, wanted: str) -> list[int]:
        """Places in `lines` that hold the text, whatever its case unless it has capitals."""
        if not wanted:
            return []
        return list(self._find(wanted))

    def _find(self, wanted: str) -> Iterator[int]:
        exact = wanted != wanted.lower()
        for place, line in enumerate(self.lines):
            if wanted in (line if exact else line.lower()):
                yield place


def wrap_words(text: str, width: int) -> list[str]:
    """The text made harmless, its lines broken between words; a word longer than `width` cells anywhere."""
    return [
        piece
        for line in text.strip().splitlines()
        for broken in textwrap.wrap(fmt.clean(line), width, break_on_hyphens=False)
        for piece in wrap(broken, width)
    ]


def wrap(line: str, width: int) -> list[str]:
    """The line in pieces of at most `width` cells, broken anywhere, as a terminal does."""
    if len(line) <= width and line.isascii():
        return [line]
    if line.isascii():
        return [line[start : start + width] for start in range(0, len(line), width)]
    from rich.cells import cell_len

    if cell_len(line) <= width:
        return [line]
    pieces: list[str] = []
    piece, used = "", 0
    for character in line:
        cells = cell_len(character)
        if used + cells > width and piece:
            pieces.append(piece)
            piece, used = "", 0
        piece += character
        used += cells
    pieces.append(piece)
    return pieces
