"""The sources: how busy each is, what it has done, and since when and why it cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style

from .. import format as fmt
from ..view import SourceRow
from .line_list import LineList
from .paint import Span, cells, fit

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
        away = source.unreachable_since is not None
        unknown = source.busy if away else source.unknown
        numbers = f" {source.busy}{'?' if unknown else ''}/{source.slots}"
        name = fit(fmt.clean(source.name), max(8, min(max(len(s.name) for s in self._sources), width // 3)),
                   ellipsis=self.glyphs.ellipsis)  # fmt: skip
        room = max(4, width - len(name) - len(numbers) - 2)
        length = room
        full = min(length, round(length * source.busy / source.slots)) if source.slots else 0
        if source.busy and not full:
            full = 1
        doubted = max(1, full * unknown // source.busy) if unknown else 0
        return [
            (f"{name} ", self.look("text--strong")),
            (self.glyphs.bar_full * (full - doubted), self.look("state--running")),
            (self.glyphs.bar_unknown * doubted, self.look("state--unknown")),
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
        more = "no new tasks" if source.removed else source.kind if source.kind != source.name else ""
        # Words give way where the line is too short, but for those of the failures: the header counts tasks,
        # and where one was tried again the figure here is another.
        for words in (2, 1, 0):
            spans = self._figures(source, words)
            if cells(spans) <= width:
                break
        if more and cells(spans) + len(more) + 2 <= width:
            spans.append((f"  {more}", muted))
        return spans

    def _figures(self, source: SourceRow, words: int) -> list[Span]:
        """What it has done, with the names of at most `words` figures besides that of the failed attempts."""
        signs = self.glyphs.states
        completed, unknown = " completed" if words > 1 else "", " unknown" if words else ""
        spans = [(f"{signs['completed']} {source.completed:,}{completed}", self.look("state--completed"))]
        if source.failed:
            failed = f"  {signs['failed']} {fmt.plural(source.failed, 'attempt')} failed"
            spans.append((failed, self.look("state--failed")))
        if source.unknown:
            text = f"  {signs['unknown']} {source.unknown:,}{unknown}"
            spans.append((text, self.look("state--unknown")))
        return spans
