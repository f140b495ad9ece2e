"""The program on the screen: it puts together screens, colours and keys, and leaves the terminal as it found it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast

from textual.app import App
from textual.binding import Binding
from textual.command import Provider
from textual.filter import LineFilter
from textual.screen import Screen

from .bindings import APP
from .glyphs import ASCII, TEXTURED, UNICODE
from .no_colour import NoColour
from .terminal import TerminalDriver
from .themes import DARK, THEMES
from .view import FINAL_STATUSES, Facts

_NO_COLOUR = (NoColour(),)
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def _palette() -> type[Provider]:
    from .commands import Actions

    return Actions


class SpawnApp(App[None]):
    """Opens the sweep in `root`, or the list of all. `clock` and `start_engine` are given by tests."""

    TITLE = "spawn-tui"
    CSS_PATH = "styles/app.tcss"
    BINDINGS = APP
    COMMANDS = {_palette}

    def __init__(
        self,
        root: Path | None = None,
        *,
        readonly: bool = False,
        ascii: bool = False,
        clock: Callable[[], float] = time.time,
        start_engine: Callable[[Path], bool] | None = None,
    ) -> None:
        super().__init__(driver_class=TerminalDriver)
        self._root = root
        self.readonly = readonly
        self.glyphs = ASCII if ascii else TEXTURED if self.no_color else UNICODE
        self.now = clock
        self.start_engine = start_engine
        self.parting = ""
        """What to say once the terminal is restored."""
        self._ready_to_leave = False
        self._leave_when_ready: int | None = None
        self.animation_level = "none"
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK.name
        self.set_class(ascii, "-ascii")

    def get_default_screen(self) -> Screen[None]:
        return self._sweep_screen(self._root) if self._root is not None else self._list_screen()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        # Themes that Textual brings know nothing of our states.
        return DARK.variables

    def get_line_filters(self) -> Sequence[LineFilter]:
        return _NO_COLOUR if self.no_color else super().get_line_filters()

    # -- screens -------------------------------------------------------------------------------------------

    def _list_screen(self) -> Screen[None]:
        from .screens.sweep_list import SweepListScreen

        return SweepListScreen()

    def _sweep_screen(self, root: Path) -> Screen[None]:
        from .screens.sweep import SweepScreen

        return SweepScreen(root)

    def open_sweep(self, root: Path) -> None:
        self.push_screen(self._sweep_screen(root))

    def show_list(self) -> None:
        """Back to the list of all sweeps, or on to it where one did not come from there."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        else:
            self.push_screen(self._list_screen())

    def get_key_display(self, binding: Binding) -> str:
        shown = super().get_key_display(binding)
        return shown if self.glyphs is not ASCII or shown.isascii() else binding.key

    # -- actions -------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        from .screens.help import HelpScreen, live_bindings, other_bindings

        self.push_screen(HelpScreen(live_bindings(self.screen), other_bindings(self.screen)))

    def action_command_palette(self) -> None:
        from textual.command import CommandPalette

        # Its own hint ends in a sign that is not ASCII.
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(id="--command-palette", placeholder="Find an action"))

    def action_toggle_light(self) -> None:
        dark, light = (theme.name for theme in THEMES)
        self.theme = light if self.theme == dark else dark

    def action_help_quit(self) -> None:
        self.say("Press q to leave. The sweep goes on; C cancels it.")

    def action_leave(self) -> None:
        self.leave(0)

    async def action_quit(self) -> None:
        self.leave(0)

    def leave(self, status: int) -> None:
        """End the program, not the sweep."""
        self.parting = self._parting()
        self.exit(return_code=status)

    def signalled(self, number: int) -> None:
        """Leave with 128 + `number`, from a signal's handler."""
        loop = self._loop
        if loop is None:  # the terminal was not touched yet
            raise SystemExit(128 + number)
        if self._ready_to_leave:
            loop.call_soon_threadsafe(self.leave, 128 + number)
        else:
            self._leave_when_ready = 128 + number

    def on_ready(self) -> None:
        # A screen that is left while it is put together trips over widgets that are not there.
        self._ready_to_leave = True
        if self._leave_when_ready is not None:
            self.leave(self._leave_when_ready)

    def say(self, text: str, severity: str = "information") -> None:
        """A toast of plain text."""
        self.notify(text, severity=cast("Literal['information', 'warning', 'error']", severity), markup=False)

    def _parting(self) -> str:
        from .screens.sweep import SweepScreen
        from .screens.sweep_list import SweepListScreen

        for screen in reversed(self.screen_stack):
            if isinstance(screen, SweepScreen) and screen.model.facts is not None:
                return parting(screen.model.facts)
            if isinstance(screen, SweepListScreen) and screen.running:
                return "Sweeps go on. Look again: spawn-tui"
        return ""


def parting(facts: Facts) -> str:
    """What a person should know who stops looking at this sweep."""
    if facts.status in FINAL_STATUSES:
        completed = facts.counts.get("completed", 0)
        said = f"{facts.id}: {facts.status}, {completed} of {facts.total} tasks completed."
        if facts.counts.get("failed", 0):
            said += f"\nWhy: spawn-tui errors {facts.id}"
            said += f"\nTry again: spawn-tui resume {facts.id} --retry-failed"
        return said
    if not facts.engine and facts.status != "paused":
        return f"{facts.id} is interrupted: nobody runs it. Go on: spawn-tui resume {facts.id}"
    what = "stays paused" if facts.status == "paused" else "goes on"
    return f"{facts.id} {what}. Look again: spawn-tui {facts.id}   End it: spawn-tui cancel {facts.id}"


@contextmanager
def _ended_by_signals(app: SpawnApp) -> Generator[None]:
    """SIGTERM, SIGHUP and SIGINT from outside leave like `q` does, so that the terminal is restored.

    Plain handlers and not the loop's: they must work while the program starts, before there is a loop.
    """

    def leave(number: int, _: object) -> None:
        app.signalled(number)

    before = {number: signal.signal(number, leave) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_app(root: Path | None, *, readonly: bool = False, ascii: bool = False) -> int:
    """Show the sweep in `root`, or all; returns the exit status. Says on stderr afterwards that the sweep goes on."""
    # While a feed folds a burst of events, a key waits for the interpreter: 1 ms at a time and not 5.
    sys.setswitchinterval(0.001)
    app = SpawnApp(root, readonly=readonly, ascii=ascii)

    def told(fault: threading.ExceptHookArgs) -> None:
        # What a thread prints would stand in the middle of the screen.
        app.say(f"{fault.exc_type.__name__}: {fault.exc_value}", "error")

    threading.excepthook = told
    with _ended_by_signals(app):
        app.run()
    if app.parting:
        try:
            sys.stderr.write(f"{app.parting}\n")
            sys.stderr.flush()
        except OSError:
            pass  # the terminal is gone
    return app.return_code or 0
