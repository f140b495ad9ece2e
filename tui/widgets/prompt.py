"""The line one types into: a filter or a search, with what is wrong with it beside it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

from ..bindings import PROMPT


class Prompt(Horizontal):
    """Takes the focus when it is mounted. Tells every change; `enter` keeps the text, `esc` gives it up."""

    BINDINGS = PROMPT

    class Changed(Message):
        def __init__(self, prompt: Prompt, text: str) -> None:
            super().__init__()
            self.prompt, self.text = prompt, text

    class Kept(Changed):
        """`enter`: the text stands."""

    class Dropped(Message):
        """`esc`: as if nothing had been typed."""

    def __init__(self, sign: str, text: str, hint: str, *, id: str = "prompt") -> None:
        super().__init__(id=id)
        self._sign, self._text, self._hint = sign, text, hint

    def compose(self) -> ComposeResult:
        yield Label(self._sign, id="prompt-sign", markup=False)
        field = Input(
            self._text, placeholder=self._hint, id="prompt-field", compact=True, select_on_focus=False
        )
        field.cursor_blink = False
        yield field
        yield Label("", id="prompt-note", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def note(self, text: str, *, error: bool = False) -> None:
        """What stands at the line's end: how many match, or what is wrong."""
        label = self.query_one("#prompt-note", Label)
        label.update(text)
        label.set_class(error, "-error")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(self, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Kept(self, event.value))

    def action_drop(self) -> None:
        self.post_message(self.Dropped())
