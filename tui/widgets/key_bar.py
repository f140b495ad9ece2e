"""The bottom line: the keys that can be used now, as many as fit, always with help and quit."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from ..bindings import OF_SOURCES
from .paint import Span, strip

_ALWAYS = ("help", "leave")
_FIRST = ("choose", "back", *OF_SOURCES)
"""What can be done with a source is offered only where the cursor is on one: it is what one came for."""
_NONE = Style.null()


class KeyBar(Widget):
    """Painted from the screen's live bindings, so that it promises no more than keys do. A click presses the key."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"key--key", "key--text"}

    def __init__(self, *, id: str = "keys") -> None:
        super().__init__(id=id)
        self._bindings: list[Binding] = []
        self._places: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._update)  # pyright: ignore[reportUnknownMemberType]
        self._update(self.screen)

    def _update(self, screen: Screen[object]) -> None:
        found: dict[str, Binding] = {}
        for active in screen.active_bindings.values():
            if active.binding.show and active.enabled and active.binding.id:
                found.setdefault(active.binding.id, active.binding)
        bindings = sorted(found.values(), key=lambda b: (b.id in _ALWAYS, b.id not in _FIRST))
        if bindings != self._bindings:
            self._bindings = bindings
            self.refresh()

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.visual_style.rich_style
        if y:
            return Strip.blank(width, base)
        key_style = self.get_component_rich_style("key--key", partial=True)
        text_style = self.get_component_rich_style("key--text", partial=True)
        spans: list[Span] = [(" ", _NONE)]
        self._places = []
        x = 1
        for binding in self._fitting(width - 1):
            key = self.app.get_key_display(binding)  # pyright: ignore[reportUnknownMemberType]
            text = f" {binding.description}  "
            self._places.append((x, x + len(key) + len(text) - 2, binding.key))
            spans += [(key, key_style), (text, text_style)]
            x += len(key) + len(text)
        return strip(spans, width, base)

    def _fitting(self, width: int) -> list[Binding]:
        def cells(bindings: list[Binding]) -> int:
            return sum(len(self.app.get_key_display(b)) + len(b.description) + 3 for b in bindings) - 2  # pyright: ignore[reportUnknownMemberType]

        always = [binding for binding in self._bindings if binding.id in _ALWAYS]
        rest = [binding for binding in self._bindings if binding.id not in _ALWAYS]
        while rest and cells([*rest, *always]) > width:
            rest.pop()
        while len(always) > 1 and cells(always) > width:
            always.pop()
        return [*rest, *always]

    def on_click(self, event: events.Click) -> None:
        for start, end, key in self._places:
            if start <= event.x < end:
                self.app.simulate_key(key)  # pyright: ignore[reportUnknownMemberType]
                return
