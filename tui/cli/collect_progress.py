"""What `collect` shows while attempts come home."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .. import format as fmt
from .output import say

if TYPE_CHECKING:
    from rich.progress import Progress


class Note(Protocol):
    def __call__(self, text: str, /) -> object: ...


class Shown(Protocol):
    """What is shown while it goes; called from several threads."""

    def step(self) -> None: ...
    def moved(self, count: int, /) -> object: ...
    def note(self, text: str, /) -> object: ...


class _Quiet:
    """Without a terminal: only what somebody must know."""

    def step(self) -> None:
        """Nothing moves here."""

    def moved(self, count: int, /) -> None:
        """Nothing moves here."""

    def note(self, text: str, /) -> None:
        say(text)


class _Bar:
    """On a terminal: a bar that moves, and notes above it."""

    def __init__(self, shown: Progress, total: int) -> None:
        self._shown = shown
        self._bytes = 0
        self._task = shown.add_task("", total=total, moved=fmt.size(0))

    def step(self) -> None:
        self._shown.advance(self._task)

    def moved(self, count: int, /) -> None:
        self._bytes += count
        self._shown.update(self._task, moved=fmt.size(self._bytes))

    def note(self, text: str, /) -> None:
        self._shown.console.print(text, markup=False, highlight=False)


@contextmanager
def progress(total: int) -> Generator[Shown]:
    """Shows how `total` attempts come home: a bar on a terminal, nothing without."""
    if not sys.stderr.isatty() or not total:
        yield _Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    shown = Progress(
        TextColumn("attempts"), BarColumn(bar_width=30), MofNCompleteColumn(),
        TextColumn("{task.fields[moved]} fetched"), console=Console(stderr=True), transient=True,
    )  # fmt: skip
    with shown:
        yield _Bar(shown, total)
