"""What the tables and lists have in common: a cursor over items that are painted when they are seen, and only then."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..bindings import CHOOSE, MOVES
from ..glyphs import Glyphs
from ..view import STATES
from .paint import Span, glyphs_of, strip

_STATE_STYLES = (f"state--{state}" for state in (*STATES, "paused", "interrupted", "missing"))
HEALTH_STYLES = tuple(
    f"health--{word}"
    for word in ("none", "healthy", "degraded", "probing", "disabled", "unreachable", "removed")
)
_STYLES = (
    *_STATE_STYLES,
    *HEALTH_STYLES,
    "text--muted",
    "text--faint",
    "text--strong",
    "text--error",
    "text--head",
)


class LineList(ScrollView, can_focus=True):
    """Items of `item_height` lines each (or as many as `top` and `find` say) under `head_height` lines that stay.

    A repaint costs what is visible.

    Who derives from it says how many items there are and paints one line of one item.
    """

    BINDINGS = [*MOVES, *CHOOSE]
    COMPONENT_CLASSES: ClassVar[set[str]] = {*_STYLES, "row--cursor", "row--mark"}
    item_height = 1
    head_height = 0
    cursor_stays = False
    """Whether the cursor is seen while the keys go elsewhere."""

    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        """The cursor is on another item."""

        def __init__(self, sender: LineList) -> None:
            super().__init__()
            self.sender = sender

        @property
        def control(self) -> LineList:
            return self.sender

    class Chosen(Moved):
        """`enter` or a second click on an item."""

    def __init__(self, *, id: str) -> None:
        self._painted: LRUCache[Hashable, Strip] = LRUCache(512)
        self._had_any = False
        super().__init__(id=id)

    # -- for those who derive ------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """The number of items."""
        raise NotImplementedError

    def paint(self, position: int, line: int) -> list[Span]:
        """Line `line` (from 0) of the item at `position`, without the cursor."""
        raise NotImplementedError

    def top(self, position: int) -> int:
        """The first line of the item at `position`; of `count`, the line after the last."""
        return position * self.item_height

    def find(self, line: int) -> tuple[int, int]:
        """The position of the item that has this line, and which of its lines it is."""
        return divmod(line, self.item_height)

    def paint_head(self, line: int) -> list[Span]:
        return []

    def paint_empty(self, line: int) -> list[Span]:
        """What stands there when there are no items."""
        return []

    # -- what they use -------------------------------------------------------------------------------------

    @property
    def glyphs(self) -> Glyphs:
        return glyphs_of(self)

    def look(self, name: str) -> Style:
        """A component's own style, to be laid over the line's."""
        return self.get_component_rich_style(name, partial=True)

    def items_changed(self) -> None:
        """The items are others, or their number is."""
        height = self.head_height + self.top(self.count)
        if self._had_any != (self.count > 0):
            self._had_any = self.count > 0
            self.refresh_bindings()
        if self.virtual_size.height != height:
            self.virtual_size = Size(0, height)
        if self.cursor >= self.count:
            self.cursor = max(0, self.count - 1)
        self.refresh()

    # -- painting ------------------------------------------------------------------------------------------

    def line_key(self, position: int, line: int) -> Hashable | None:
        """What the line's look depends on besides style and width; None if it shall be painted each time."""
        return None

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.visual_style.rich_style
        if y < self.head_height:
            return strip(self.paint_head(y), width, base)
        position, line = self.find(y - self.head_height + self.scroll_offset.y)
        if position >= self.count:
            if self.count == 0:
                return strip(self.paint_empty(y - self.head_height), width, base)
            return Strip.blank(width, base)
        focused = self.has_focus
        if position != self.cursor or not (focused or self.cursor_stays):
            # Scrolling by a line paints all of them anew, and all but one are the same.
            key = self.line_key(position, line)
            known = self._painted.get(key) if key is not None else None
            if known is None:
                known = strip([(" ", Style.null()), *self.paint(position, line)], width, base)
                if key is not None:
                    self._painted[key] = known
            return known
        spans = self.paint(position, line)
        row = base + self.look("row--cursor")
        edge = self.glyphs.cursor if focused else " "
        return strip([(edge, self.look("row--mark")), *spans], width, row)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._painted.clear()
        self.refresh()

    # -- the cursor ----------------------------------------------------------------------------------------

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self.count - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        if old == new:
            return
        self._repaint_item(old)
        self._repaint_item(new)
        self.show_cursor()
        self.post_message(self.Moved(self))

    def show_cursor(self) -> None:
        """Scroll so that the item under the cursor is seen whole."""
        visible = self.size.height - self.head_height
        if visible <= 0:
            return
        top, bottom = self.top(self.cursor), self.top(self.cursor + 1)
        offset = self.scroll_offset.y
        if top < offset or bottom - top > visible:
            self.scroll_to(y=top, animate=False, force=True)
        elif bottom > offset + visible:
            self.scroll_to(y=bottom - visible, animate=False, force=True)

    def _repaint_item(self, position: int) -> None:
        top = self.top(position)
        y = self.head_height + top - self.scroll_offset.y
        self.refresh(Region(0, y, self.size.width, max(1, self.top(position + 1) - top)))

    def on_resize(self) -> None:
        self._painted.clear()
        self.items_changed()
        self.show_cursor()

    def on_focus(self) -> None:
        self._repaint_item(self.cursor)

    def on_blur(self) -> None:
        self._repaint_item(self.cursor)

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is None or place.y < self.head_height:
            return
        position, _ = self.find(place.y - self.head_height + self.scroll_offset.y)
        if position < self.count:
            if position == self.cursor and event.chain > 1:
                self.post_message(self.Chosen(self))
            self.cursor = position

    # -- actions -------------------------------------------------------------------------------------------

    def action_move(self, step: int) -> None:
        self.cursor += step

    def action_first(self) -> None:
        self.cursor = 0

    def action_last(self) -> None:
        self.cursor = self.count - 1

    def action_page(self, part: float) -> None:
        lines = max(1, self.size.height - self.head_height)
        average = max(1, self.top(self.count) // max(1, self.count))
        self.cursor += round(part * max(1, lines // average)) or (1 if part > 0 else -1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.count > 0 if action == "choose" else True

    def action_choose(self) -> None:
        if self.count:
            self.post_message(self.Chosen(self))
