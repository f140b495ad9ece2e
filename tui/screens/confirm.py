"""The question before something that cannot be taken back. *No* has the focus."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Label

from ..bindings import CONFIRM
from ..widgets.paint import glyphs_of
from ..wishes import Wish


class ConfirmScreen(ModalScreen[bool]):
    """Answers True only for a *yes*."""

    BINDINGS = CONFIRM
    AUTO_FOCUS = "#no"

    def __init__(self, wish: Wish) -> None:
        super().__init__()
        self._wish = wish

    def compose(self) -> ComposeResult:
        dot = glyphs_of(self).separator
        with Vertical(id="confirm"):
            yield Label(self._wish.question, id="confirm-question", markup=False)
            yield Label(self._wish.short or self._wish.question, id="confirm-short", markup=False)
            if self._wish.detail:
                yield Label(self._wish.detail, id="confirm-detail", markup=False)
            if self._wish.command:
                yield Label(self._wish.command, id="confirm-command", markup=False)
            with Horizontal(id="confirm-answers"):
                yield Button("No", id="no", compact=True)
                yield Button(self._wish.yes or "Yes", id="yes", compact=True)
            yield Label(f"y yes {dot} n/esc no", id="confirm-keys", markup=False)

    def on_resize(self) -> None:
        self.set_class(self.size.width < 44 or self.size.height < 12, "-tiny")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_yes(self) -> None:
        self.dismiss(True)

    def action_no(self) -> None:
        self.dismiss(False)

    def action_other(self) -> None:
        self.focus_next(Button)

    def action_copy_command(self) -> None:
        if self._wish.command:
            self.app.copy_to_clipboard(self._wish.command)  # pyright: ignore[reportUnknownMemberType]
            self.notify(f"Copied: {self._wish.command}", markup=False)
