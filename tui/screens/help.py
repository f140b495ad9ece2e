"""All keys of the screen where the help was asked for, made from its bindings; what cannot be done now is greyed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from ..bindings import APP, CHANGES, HELP, MOVES, OF_SOURCES, ORDER, SIDEWAYS

_KEY, _NAME = 9, 18


def live_bindings(screen: Screen[object]) -> list[Binding]:
    """The bindings with an id that can be used on this screen now, each once, in the order they are declared in."""
    found: dict[str, Binding] = {}
    for active in screen.active_bindings.values():
        if active.enabled and active.binding.id and active.binding.description:
            found.setdefault(active.binding.id, active.binding)
    return sorted(found.values(), key=lambda binding: ORDER.get(binding.id or "", 0))


def other_bindings(screen: Screen[object]) -> list[Binding]:
    """The screen's bindings that cannot be used now."""
    live = {binding.id for binding in live_bindings(screen)}
    return [b for b in type(screen).BINDINGS if isinstance(b, Binding) and b.id not in live]


class HelpScreen(ModalScreen[None]):
    """A table of keys, by what they are for."""

    BINDINGS = HELP

    def __init__(self, live: Sequence[Binding], others: Sequence[Binding]) -> None:
        super().__init__()
        self._live, self._others = live, others

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = "Keys"
            yield Static(id="help-keys")

    def on_resize(self) -> None:
        # What the box of 96 cells, or of nearly the whole screen, leaves for text.
        width = min(96, self.size.width * 98 // 100) - 7
        self.query_one("#help-keys", Static).update(self._text(width))

    def _text(self, width: int) -> Content:
        groups: dict[str, list[tuple[Binding, bool]]] = {
            "Ask of the sweep": [],
            "Look": [],
            "Move": [],
            "Program": [],
            "Ask of a source": [],
        }
        moves, program = _ids(*MOVES, *SIDEWAYS), _ids(*APP)
        bindings = [*((b, True) for b in self._live), *((b, False) for b in self._others)]
        for binding, live in sorted(bindings, key=lambda pair: ORDER.get(pair[0].id or "", 0)):
            if binding.action in OF_SOURCES:
                group = "Ask of a source"
            elif binding.action in CHANGES:
                group = "Ask of the sweep"
            elif binding.id in moves:
                group = "Move"
            else:
                group = "Program" if binding.id in program else "Look"
            groups[group].append((binding, live))
        lines: list[Content] = []
        for title, members in groups.items():
            if members:
                lines.append(Content.styled(title, "bold $primary"))
                for binding, live in members:
                    lines += self._lines(binding, live, width)
                lines.append(Content(""))
        if self._others:
            lines.append(Content.styled("What is grey cannot be done just now.", "$muted"))
        return Content("\n").join(lines)

    def _lines(self, binding: Binding, live: bool, width: int) -> list[Content]:
        key = self.app.get_key_display(binding)  # pyright: ignore[reportUnknownMemberType]
        indent = _KEY + 2 + _NAME + 1
        first, *more = textwrap.wrap(binding.tooltip, max(16, width - indent)) or [""]
        keys, name, text = ("$accent", "bold", "$muted") if live else ("$faint", "$faint", "$faint")
        head = Content.assemble(
            (f"{key:>{_KEY}}  ", keys), (f"{binding.description:<{_NAME}} ", name), (first, text)
        )
        return [head, *(Content.styled(" " * indent + line, text) for line in more)]

    def action_back(self) -> None:
        self.dismiss(None)


def _ids(*bindings: object) -> set[str | None]:
    return {binding.id for binding in bindings if isinstance(binding, Binding)}
