"""How a screen asks something of a sweep's engine: the question, the request, and the wait for an answer.

Nothing is shown as done because it was asked for. The journal alone changes the rows; here are only words.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.screen import Screen

from ..messages import AskedTold

if TYPE_CHECKING:
    from ..app import SpawnApp
    from ..asking import Outcome
    from ..feed import Answer
    from ..wishes import Wish


ANSWER_WITHIN = 10.0
"""Seconds after which a silent engine is worth a word."""


class _Waiting:
    def __init__(self, wish: Wish) -> None:
        self.wish, self.since, self.said = wish, time.monotonic(), False


class AskingScreen(Screen[None]):
    """A screen that may ask. Who derives from it passes on the engine's answers, and calls `check_answers` on time."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[str, _Waiting] = {}
        self._early: dict[str, Answer] = {}
        """Answers that were read before we knew that the request had been posted."""

    @property
    def spawn(self) -> SpawnApp:
        return cast("SpawnApp", self.app)  # pyright: ignore[reportUnknownMemberType]

    def wish(self, root: Path, wish: Wish, *, engine: bool) -> None:
        """Ask, after a question if the wish has one. `engine`: whether one runs now."""
        if not wish.question:
            self._carry_out(root, wish, engine)
            return
        from .confirm import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                self._carry_out(root, wish, engine)
            elif wish.declined:
                self.say(wish.declined)

        self.app.push_screen(ConfirmScreen(wish), answered)  # pyright: ignore[reportUnknownMemberType]

    def _carry_out(self, root: Path, wish: Wish, engine: bool) -> None:
        if not engine:
            self.say("No engine runs; starting one …")
        from ..asking import ask

        start = self.spawn.start_engine

        def run() -> None:
            self.post_message(AskedTold(ask(root, wish, start=start)))

        # Starting an engine takes a second, a hung disk for ever; neither may hold up the screen or the way
        # out.
        threading.Thread(target=run, name="spawn-ask", daemon=True).start()

    def on_asked_told(self, message: AskedTold) -> None:
        outcome: Outcome = message.outcome
        wish = outcome.wish
        if outcome.error:
            what = (
                f"Could not {wish.what}"
                if not outcome.request
                else f"Asked to {wish.what}, but no engine takes it"
            )
            self.say(f"{what}: {outcome.error}", "error")
        elif wish.verb == "start":
            self.say("An engine runs the sweep again." if outcome.started else "An engine runs already.")
        else:
            self.say(f"Asked the engine to {wish.what}.")
        if outcome.request and not outcome.error:
            self._waiting[outcome.request] = _Waiting(wish)
            early = self._early.pop(outcome.request, None)
            if early is not None:
                self.answered([early])

    def answered(self, answers: Iterable[Answer]) -> None:
        """What the journal tells of requests, ours and others'."""
        for answer in answers:
            waiting = self._waiting.pop(answer.request, None)
            if waiting is None:
                self._early[answer.request] = answer
                while len(self._early) > 100:
                    del self._early[next(iter(self._early))]
            elif answer.refused:
                self.say(f"The engine will not {waiting.wish.what}: {answer.refused}", "error")

    def check_answers(self) -> None:
        """Say so where an engine has kept silent too long."""
        now = time.monotonic()
        for waiting in self._waiting.values():
            if not waiting.said and now - waiting.since > ANSWER_WITHIN:
                waiting.said = True
                self.say(
                    f"The engine has not answered for {ANSWER_WITHIN:.0f} s, asked to {waiting.wish.what}. "
                    "The request stands until an engine takes it.",
                    "warning",
                )

    def say(self, text: str, severity: str = "information") -> None:
        """A toast."""
        self.spawn.say(text, severity)

    def copy(self, text: str) -> None:
        """To the clipboard (OSC 52), and on the screen for terminals that do not know it."""
        self.app.copy_to_clipboard(text)  # pyright: ignore[reportUnknownMemberType]
        self.say(f"Copied: {text}")
