"""A log on the screen: painted line by line when seen, at its end while it follows, wrapped or cut."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..bindings import MOVES, SIDEWAYS
from ..log_text import LogText, wrap
from .paint import Span, strip

_NONE = Style.null()


class LogView(ScrollView, can_focus=True):
    """Shows a `LogText`. It reads no file: it is told what is new."""

    BINDINGS = [*MOVES, *SIDEWAYS]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"text--muted", "log--match", "log--match-here"}

    follow: reactive[bool] = reactive(True, repaint=False)
    wrap: reactive[bool] = reactive(False, repaint=False)

    class Moved(Message):
        """It was scrolled, or stopped or began to follow."""

    def __init__(self, *, id: str, max_lines: int) -> None:
        super().__init__(id=id)
        self.text = LogText(max_lines)
        self._absent = ""
        self._pieces: list[tuple[int, str]] = []
        """When wrapped: each line on the screen as (its number in the log, its text)."""
        self._widest = 0
        self._wanted = ""
        self._matches: list[int] = []
        self.here = -1
        """The number in the log of the match that was jumped to."""
        self.unseen = 0
        """Lines that came in below while it did not follow."""

    # -- what it shows -------------------------------------------------------------------------------------

    def update(self, start: int, lines: Sequence[str], absent: str = "") -> None:
        """From line `start` on the log is now `lines`; `absent`: why it is empty."""
        before = self.text.end
        self.text.update(start, lines)
        self._absent = absent
        if start <= 0:
            self._widest, self.unseen, self.here = 0, 0, -1
            self.follow = True
        elif not self.follow:
            self.unseen += max(0, self.text.end - before)
        self._widest = max(self._widest, max(map(_width, lines), default=0))
        if self._wanted:
            self._matches = [place + self.text.first for place in self.text.find(self._wanted)]
        self._lay_out(start)
        if self.follow:
            self._to_end()
        self.refresh()

    @property
    def absent(self) -> str:
        """Why it shows nothing; empty if it shows something."""
        return "" if self.text.lines else self._absent

    def search(self, query: str) -> int:
        """Mark what matches; returns in how many lines."""
        self._wanted = query
        self._matches = [place + self.text.first for place in self.text.find(query)]
        self.here = -1
        self.refresh()
        return len(self._matches)

    @property
    def wanted(self) -> str:
        return self._wanted

    def go_to_match(self, step: int) -> tuple[int, int]:
        """To the next match, round the end; returns (its place from 1, how many there are), zeros if there are none."""
        found = self._matches
        if not found:
            return 0, 0
        if self.here < 0:
            top = self._line_at(self.scroll_offset.y)
            place = bisect_left(found, top) if step > 0 else bisect_left(found, top) - 1
        else:
            place = bisect_left(found, self.here)
            if step > 0:
                place += place < len(found) and found[place] == self.here
            else:
                place -= 1
        place %= len(found)
        self.here = found[place]
        self.follow = False
        self.scroll_to(y=max(0, self._y_of(self.here) - self.size.height // 2), animate=False)
        self.refresh()
        return place + 1, len(found)

    # -- layout --------------------------------------------------------------------------------------------

    def _lay_out(self, start: int = 0) -> None:
        if self.wrap:
            width = max(1, self.size.width - 2)
            first = self.text.first
            begin = max(start, first)
            if start <= 0 or not self._pieces:
                self._pieces, begin = [], first
            else:
                while self._pieces and self._pieces[-1][0] >= begin:
                    self._pieces.pop()
                if self._pieces and self._pieces[0][0] < first:
                    self._pieces = [piece for piece in self._pieces if piece[0] >= first]
            for number in range(begin, self.text.end):
                self._pieces += [(number, piece) for piece in wrap(self.text.lines[number - first], width)]
            size = Size(0, len(self._pieces))
        else:
            self._pieces = []
            size = Size(0 if self._widest <= self.size.width - 2 else self._widest + 2, len(self.text.lines))
        if size != self.virtual_size:
            self.virtual_size = size

    def _to_end(self) -> None:
        # `force`: the scrollbar that would allow it comes with the next layout.
        self.scroll_to(y=self.virtual_size.height, animate=False, force=True)

    def _line_at(self, y: int) -> int:
        """The number in the log of the line at `y`."""
        if self.wrap:
            return self._pieces[min(y, len(self._pieces) - 1)][0] if self._pieces else 0
        return self.text.first + y

    def _y_of(self, number: int) -> int:
        if self.wrap:
            return bisect_left(self._pieces, number, key=lambda piece: piece[0])
        return number - self.text.first

    def on_resize(self) -> None:
        self._lay_out()
        if self.follow:
            self._to_end()

    def watch_wrap(self) -> None:
        top = self._line_at(self.scroll_offset.y)
        self.set_scroll(0, None)
        self._lay_out()
        if self.follow:
            self._to_end()
        else:
            self.scroll_to(y=self._y_of(top), animate=False)
        self.refresh()

    def watch_follow(self, follow: bool) -> None:
        if follow:
            self.unseen = 0
            self._to_end()
        self.post_message(self.Moved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and new_value < self.max_scroll_y:
            self.follow = False
        elif not self.follow and new_value > old_value and new_value >= self.max_scroll_y:
            self.follow = True

    # -- painting ------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.visual_style.rich_style
        lines, place = self.text.lines, y + self.scroll_offset.y
        if not lines:
            muted = self.get_component_rich_style("text--muted", partial=True)
            return strip([(" ", _NONE), (self._absent, muted)] if y == 0 else [], width, base)
        if self.wrap:
            if place >= len(self._pieces):
                return Strip.blank(width, base)
            number, line = self._pieces[place]
            return strip([(" ", _NONE), *self._marked(number, line)], width, base)
        if place >= len(lines):
            return Strip.blank(width, base)
        spans = self._marked(self.text.first + place, lines[place])
        if not self.scroll_offset.x and _width(lines[place]) < width:
            return strip([(" ", _NONE), *spans], width, base)
        left = self.scroll_offset.x
        return strip([(" ", _NONE), *spans], _width(lines[place]) + 1, base).crop_extend(
            left, left + width, base
        )

    def _marked(self, number: int, line: str) -> list[Span]:
        """The line with what was searched for made visible."""
        query = self._wanted
        if not query:
            return [(line, _NONE)]
        text = line if query != query.lower() else line.lower()
        if len(text) != len(line) or query not in text:
            return [(line, _NONE)]
        name = "log--match-here" if number == self.here else "log--match"
        style = self.get_component_rich_style(name, partial=True)
        spans: list[Span] = []
        start = 0
        while (found := text.find(query, start)) >= 0:
            spans += [(line[start:found], _NONE), (line[found : found + len(query)], style)]
            start = found + len(query)
        return [*spans, (line[start:], _NONE)]

    # -- actions -------------------------------------------------------------------------------------------

    def action_move(self, step: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + step, animate=False)

    def action_first(self) -> None:
        self.follow = False
        self.scroll_to(y=0, animate=False)

    def action_last(self) -> None:
        self.follow = True
        self._to_end()

    def action_page(self, part: float) -> None:
        self.scroll_to(y=self.scroll_offset.y + round(part * self.size.height), animate=False)

    def action_sideways(self, step: int) -> None:
        self.scroll_to(x=max(0, self.scroll_offset.x + step), animate=False)


def _width(line: str) -> int:
    return len(line) if line.isascii() else cell_len(line)
