"""Lines of cells for the Line API: text fitted to a width, joined with styles into a strip."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from ..glyphs import UNICODE, Glyphs

Span = tuple[str, Style]


def fit(text: str, width: int, *, right: bool = False, ellipsis: str = "…") -> str:
    """The text in exactly `width` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    length = len(text) if text.isascii() else cell_len(text)
    if length == width:
        return text
    if length < width:
        pad = " " * (width - length)
        return pad + text if right else text + pad
    if text.isascii():
        return text[: width - 1] + ellipsis
    return set_cell_size(text, width - 1) + ellipsis


def fit_name(text: str, width: int, *, ellipsis: str = "…") -> str:
    """The same for a name: cut in its middle, for both of its ends tell it from others (`ec2-us-…st-1`)."""
    length = len(text) if text.isascii() else cell_len(text)
    if length <= width or width < 8:
        return fit(text, width, ellipsis=ellipsis)
    tail = (width - 1) // 2
    head = set_cell_size(text, width - 1 - tail) + ellipsis
    end = text[-tail:]
    while cell_len(end) > tail:
        end = end[1:]
    return set_cell_size(head, width - cell_len(end)) + end


def strip(spans: Iterable[Span], width: int, base: Style) -> Strip:
    """The spans over the `base` style, as a line of exactly `width` cells."""
    segments = [Segment(text, base + style) for text, style in spans if text]
    return Strip(segments).adjust_cell_length(width, base)


def spread(left: list[Span], right: list[Span], width: int) -> list[Span]:
    """Left and right at the two ends of a line; the left end wins when there is no room for both."""
    used = sum(cell_len(text) for text, _ in left)
    wanted = sum(cell_len(text) for text, _ in right)
    if used + wanted + 1 > width:
        return left
    return [*left, (" " * (width - used - wanted), Style.null()), *right]


def glyphs_of(widget: Widget) -> Glyphs:
    """The signs of the program the widget is in."""
    return cast("Glyphs", getattr(widget.app, "glyphs", UNICODE))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def cells(spans: Iterable[Span]) -> int:
    """The width of the spans."""
    return sum(cell_len(text) for text, _ in spans)
