"""The sources at a glance: how busy each is, how it feels and why, what it has done and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from rich.style import Style
from textual.widget import Widget

from .. import format as fmt
from .. import sources as words
from ..columns import MAX_SOURCE
from ..sources import SourceRow
from .line_list import LineList
from .paint import Span, cells, fit, fit_name, spread

_NONE = Style.null()
_BAR = 24
"""Cells a bar is long where the words beside it need the room."""
_LEAST_BAR = 8
"""Cells that are left to it by the longest name."""


class SourceBars(LineList):
    """Up to three lines for each source, one where there are many: a bar with its slots; its health; its counts."""

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
        """The cursor stays on its source."""
        timed = int(now) != int(self._now) and any(source.health for source in sources)
        self._now = now
        if sources != self._sources or timed:
            before = self.source
            self._sources = sources
            if before is not None:
                here = next(
                    (n for n, source in enumerate(sources) if source.name == before.name), self.cursor
                )
                self.set_reactive(LineList.cursor, here)
            self.items_changed()

    def items_changed(self) -> None:
        wanted = max((3 if s.health or s.queue else 2 for s in self._sources), default=1)
        self.item_height = max(1, min(wanted, self._room() // max(1, self.count)))
        super().items_changed()

    def _room(self) -> int:
        """Lines there are: of a column that is shared with the failures, half."""
        if self.screen.has_class("-narrow") or self.screen.has_class("-tiny"):
            return self.size.height
        return cast("Widget", self.parent).size.height // 2 - 2

    # -- painting ------------------------------------------------------------------------------------------

    def paint_empty(self, line: int) -> list[Span]:
        return [(" No source yet.", self.look("text--muted"))] if line == 0 else []

    def paint(self, position: int, line: int) -> list[Span]:
        source, width = self._sources[position], self.size.width - 2
        if self.item_height == 1:
            return self._only_line(source, width)
        if line == 0:
            return self._bar(source, width)
        if line == 1 and source.health and (self.item_height > 2 or source.health in words.TROUBLED):
            return self._health(source, width)
        if line == 1 or source.health:
            return self._done(source, width)
        return [(f" {self.glyphs.separator} ".join(words.pace(source, self._now)), self.look("text--muted"))]

    def _bar(self, source: SourceRow, width: int) -> list[Span]:
        unknown = source.busy if source.unreachable_since is not None else source.unknown
        numbers = f" {source.busy}{'?' if unknown else ''}/{source.slots}"
        spans: list[Span] = [(numbers, _NONE)]
        if source.queued:
            spans.append((f" {self.glyphs.states['queued']}{source.queued:,}", self.look("state--queued")))
        room = self._name_width(width - cells(spans) - _LEAST_BAR - 2)
        name = fit_name(fmt.clean(source.name), room, ellipsis=self.glyphs.ellipsis)
        length = max(4, width - len(name) - cells(spans) - 2)
        full = min(length, round(length * source.busy / source.slots)) if source.slots else 0
        if source.busy and not full:
            full = 1
        doubted = max(1, full * unknown // source.busy) if unknown else 0
        return [
            (f"{name} ", self.look("text--muted" if source.removed else "text--strong")),
            (self.glyphs.bar_full * (full - doubted), self.look("state--running")),
            (self.glyphs.bar_unknown * doubted, self.look("state--unknown")),
            (self.glyphs.bar_empty * (length - full), self.look("text--faint")),
            *spans,
        ]

    def _name_width(self, most: int) -> int:
        """All names have the room that the longest needs, if there is that much."""
        longest = max(len(source.name) for source in self._sources)
        return max(8, min(longest, MAX_SOURCE, most))

    def _only_line(self, source: SourceRow, width: int) -> list[Span]:
        """Sign, bar and slots; beside them its health in words, where that leaves the bar enough."""
        sign: Span = (f"{self.glyphs.health[source.health]} ", self._look_of(source))
        text = words.words(source, self._now) if source.health in words.TROUBLED else ""
        text = text or " ".join([*words.pace(source, self._now), *words.figures(source)[:2]])
        beside = width - self._name_width(width // 2) - _BAR - 4
        if beside < 12 or not text:
            return [sign, *self._bar(source, width - 2)]
        style = self._look_of(source) if source.health in words.TROUBLED else self.look("text--muted")
        bar = self._bar(source, width - 2 - beside)
        text = fit(text, width - 4 - cells(bar), ellipsis=self.glyphs.ellipsis)
        return [sign, *bar, (f"  {text}", style)]

    def _health(self, source: SourceRow, width: int) -> list[Span]:
        """`● healthy · cpu 32% · mem 40%`, or what is wrong and why, as much as there is room for."""
        muted, ellipsis = self.look("text--muted"), self.glyphs.ellipsis
        text = f"{self.glyphs.health[source.health]} {words.words(source, self._now)}"
        head: list[Span] = [(fit(text, min(width, len(text)), ellipsis=ellipsis), self._look_of(source))]
        age = words.age(source, self._now) if words.stale(source, self._now) else ""
        for figure in words.figures(source):
            more = f" {self.glyphs.separator} {figure}"
            if cells(head) + len(more) + len(age) + bool(age) > width:
                break
            head.append((more, muted))
        return spread(head, [(age, muted)], width) if age else head

    def _done(self, source: SourceRow, width: int) -> list[Span]:
        """What it has done and how fast. Words give way to what it costs where the line is too short, last those of the
        failures: the header counts tasks, and where one was tried again the figure here is another."""
        muted, dot = self.look("text--muted"), f" {self.glyphs.separator} "
        cost = len(source.cost) + 2 if source.cost else 0
        ways = [self._counts(source, named) for named in (3, 2, 1, 0)]
        fitting = (spans for room in (width - cost, width) for spans in ways if cells(spans) <= room)
        spans = next(fitting, ways[-1])
        kind = source.kind if source.kind not in source.name else ""
        removed = "no new tasks" if source.removed and not source.health else ""
        queue = words.waiting(source)
        pace = words.pace(source, self._now)[::-1] if source.health or self.item_height < 3 else []
        room = f"room for {source.room:,}" if source.room else ""
        more = [queue, room, source.cost, *pace, removed or kind]
        gap = "  "
        for text in filter(None, more):
            style = self.look("state--queued") if text == queue else muted
            if cells(spans) + len(gap) + len(text) <= width:
                spans.append((f"{gap}{text}", style))
                gap = dot
        return spans

    def _counts(self, source: SourceRow, named: int) -> list[Span]:
        """What it has done, with the names of the `named` figures that need one most."""
        signs = self.glyphs.states
        completed, unknown = " completed" if named > 2 else "", " unknown" if named > 1 else ""
        spans = [(f"{signs['completed']} {source.completed:,}{completed}", self.look("state--completed"))]
        if source.failed:
            attempts = fmt.plural(source.failed, "attempt") if named else f"{source.failed:,}"
            failed = f"  {signs['failed']} {attempts} failed"
            spans.append((failed, self.look("state--failed")))
        if source.unknown and source.unreachable_since is None:
            text = f"  {signs['unknown']} {source.unknown:,}{unknown}"
            spans.append((text, self.look("state--unknown")))
        return spans

    def _look_of(self, source: SourceRow) -> Style:
        return self.look(f"health--{source.health or 'none'}")
