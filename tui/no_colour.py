"""For `NO_COLOR`: what is drawn keeps its weight and its reverse, and sends no colour at all."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter


class NoColour(LineFilter):
    """Textual's own filter for `NO_COLOR` sends greys, which not every terminal can show well."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            Segment(text, style.without_color if style is not None else None, control)
            for text, style, control in segments
        ]
