"""Plain tables on stdout: aligned on a terminal, where long cells are cut; whole and tab-separated without one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from .output import data


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header. Control characters are shown, not obeyed."""
    shown = [[_visible(cell) for cell in row] for row in (header, *rows)]
    if not sys.stdout.isatty():
        for row in shown:
            data("\t".join(row))
        return
    widths = [min(40, max(len(row[column]) for row in shown)) for column in range(len(header))]
    limit = shutil.get_terminal_size().columns
    for row in shown:
        line = "  ".join(_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True))
        data(_cut(line.rstrip(), limit))


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
