"""The line that says which pane is seen, where there is room for one at a time."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from .paint import Span, strip

_NONE = Style.null()


class PaneTabs(Widget):
    """Names with their keys; `counts` adds a number to a name."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"tab--key", "tab--name", "tab--active", "tab--alarm"}

    active: reactive[str] = reactive("")

    class Picked(Message):
        """A click on a name."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, names: dict[str, str], *, id: str) -> None:
        """`names`: what stands on the screen, by the pane's id."""
        super().__init__(id=id)
        self._names = names
        self._alarms: dict[str, int] = {}
        self._places: list[tuple[int, int, str]] = []

    def alarm(self, name: str, number: int) -> None:
        """A number that matters beside the name; 0 for none."""
        if self._alarms.get(name, 0) != number:
            self._alarms[name] = number
            self.refresh()

    def render_line(self, y: int) -> Strip:
        spans: list[Span] = [(" ", _NONE)]
        self._places = []
        x = 1
        for place, (name, title) in enumerate(self._names.items(), 1):
            active = name == self.active
            alarm = f" {self._alarms[name]}" if self._alarms.get(name) else ""
            look = self.get_component_rich_style("tab--active" if active else "tab--name", partial=True)
            key = look if active else self.get_component_rich_style("tab--key", partial=True)
            red = look + self.get_component_rich_style("tab--alarm", partial=True)
            spans += [(f" {place}", key), (f" {title}", look), (alarm, red), (" ", look), (" ", _NONE)]
            width = len(f" {place} {title}{alarm} ")
            self._places.append((x, x + width, name))
            x += width + 1
        return strip(spans, self.size.width, self.visual_style.rich_style)

    def on_click(self, event: events.Click) -> None:
        for start, end, name in self._places:
            if start <= event.x < end:
                self.post_message(self.Picked(name))
