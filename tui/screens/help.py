"""All keys that work where the help was asked for, made from the live bindings."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from ..bindings import APP, CHANGES, HELP, MOVES, SIDEWAYS

_INTRO = "What cannot be done just now is left out."


def live_bindings(screen: Screen[object]) -> list[Binding]:
    """The bindings with an id that can be used on this screen now, each once."""
    found: dict[str, Binding] = {}
    for active in screen.active_bindings.values():
        if active.enabled and active.binding.id and active.binding.description:
            found.setdefault(active.binding.id, active.binding)
    return list(found.values())


class HelpScreen(ModalScreen[None]):
    """A table of keys, by what they are for."""

    BINDINGS = HELP

    def __init__(self, bindings: Iterable[Binding], context: str) -> None:
        super().__init__()
        self._bindings = list(bindings)
        self._context = context

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = "Keys"
            yield Static(self._text(), id="help-keys")

    def _text(self) -> Content:
        groups: dict[str, list[Binding]] = {"Ask of the sweep": [], "Look": [], "Move": [], "Program": []}
        moves, program = _ids(*MOVES, *SIDEWAYS), _ids(*APP)
        for binding in self._bindings:
            if binding.action in CHANGES:
                groups["Ask of the sweep"].append(binding)
            elif binding.id in moves:
                groups["Move"].append(binding)
            elif binding.id in program:
                groups["Program"].append(binding)
            else:
                groups["Look"].append(binding)
        lines: list[Content] = []
        for title, bindings in groups.items():
            if bindings:
                lines.append(Content.styled(f"{title}", "bold $primary"))
                lines += [self._line(binding) for binding in bindings]
                lines.append(Content(""))
        lines.append(Content.styled(f"{_INTRO} {self._context}".strip(), "$muted"))
        return Content("\n").join(lines)

    def _line(self, binding: Binding) -> Content:
        key = self.app.get_key_display(binding)
        return Content.assemble(
            (f"{key:>9}", "$accent"), ("  "), (f"{binding.description:<18}", "bold"), (binding.tooltip, "$muted")
        )

    def action_back(self) -> None:
        self.dismiss(None)


def _ids(*bindings: object) -> set[str | None]:
    return {binding.id for binding in bindings if isinstance(binding, Binding)}
