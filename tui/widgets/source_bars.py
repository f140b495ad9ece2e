"""The sources: how busy each is, what it has done, and since when and why it cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style

from .. import format as fmt
from ..view import SourceRow
from .line_list import LineList
from .paint import Span, fit

_NONE = Style.null()


class SourceBars(LineList):
    """Two lines for each source: name, slots in use as a bar; its counts, or what is wrong with it."""

    item_height = 2

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._sources: Sequence[SourceRow] = ()
        self._now = 0.0

    @property
    def count(self) -> int:
        return len(self._sources)

    @property
    def source(self) -> SourceRow | None:
        """The source under the cursor."""
        return self._sources[self.cursor] if self._sources else None

    def show(self, sources: Sequence[SourceRow], now: float) -> None:
        self._now = now
        if sources != self._sources or any(s.unreachable_since is not None for s in sources):
            self._sources = sources
            self.items_changed()

    def paint_empty(self, line: int) -> list[Span]:
        return [(" No source yet.", self.look("text--muted"))] if line == 0 else []

    def paint(self, position: int, line: int) -> list[Span]:
        source = self._sources[position]
        return self._bar(source) if line == 0 else self._detail(source)

    def _bar(self, source: SourceRow) -> list[Span]:
        width = self.size.width - 2
        numbers = f" {source.busy}/{source.slots}"
        name = fit(fmt.clean(source.name), max(8, min(max(len(s.name) for s in self._sources), width // 3)),
                   ellipsis=self.glyphs.ellipsis)  # fmt: skip
        room = max(4, width - len(name) - len(numbers) - 2)
        length = room
        full = min(length, round(length * source.busy / source.slots)) if source.slots else 0
        if source.busy and not full:
            full = 1
        away = source.unreachable_since is not None
        colour = self.look("state--unknown" if away else "state--running")
        return [
            (f"{name} ", self.look("text--strong")),
            (self.glyphs.bar_full * full, colour),
            (self.glyphs.bar_empty * (length - full), self.look("text--faint")),
            (numbers, _NONE),
        ]

    def _detail(self, source: SourceRow) -> list[Span]:
        width, glyphs, muted = self.size.width - 2, self.glyphs, self.look("text--muted")
        if source.unreachable_since is not None:
            away = fmt.duration(self._now - source.unreachable_since)
            text = f"{glyphs.states['unknown']} unreachable for {away}"
            if source.unreachable_reason:
                text += f": {fmt.clean(source.unreachable_reason)}"
            return [(fit(text, width, ellipsis=glyphs.ellipsis), self.look("state--unknown"))]
        spans: list[Span] = [
            (f"{glyphs.states['completed']} {source.completed:,} completed", self.look("state--completed"))
        ]
        if source.failed:
            spans.append(
                (f"  {glyphs.states['failed']} {source.failed:,} failed", self.look("state--failed"))
            )
        if source.removed:
            spans.append(("  no new tasks", muted))
        elif source.kind != source.name:
            spans.append((f"  {source.kind}", muted))
        return spans
