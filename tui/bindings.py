"""Every key of the program, with the id under which a user's keymap, the palette and the help know it.

The words are those of the command line: cancel, pause, resume, retry, logs.
"""

from __future__ import annotations

from textual.binding import Binding, BindingType


def _back(*, bar: bool = False) -> Binding:
    tip = "Clear the filter, then the marks, then go back a screen; never quits."
    return _key("escape", "back", "Back", tip, bar=bar, shown="esc")


def _key(
    keys: str, action: str, description: str, tooltip: str, *, bar: bool = False, shown: str | None = None
) -> Binding:
    """`bar`: whether the line at the bottom offers it; the help and the palette have all of them."""
    name = action.replace("(", ".").replace(")", "").replace("'", "")
    return Binding(keys, action, description, show=bar, key_display=shown, tooltip=tooltip, id=name)


APP: list[BindingType] = [
    _key("q", "leave", "Quit", "Leave the screen; the sweep goes on.", bar=True),
    _key("question_mark", "help", "Help", "All keys that work here.", bar=True, shown="?"),
    _key("colon,ctrl+p", "command_palette", "Palette", "Find any action by its name.", shown=":"),
    _key("ctrl+t", "toggle_light", "Light or dark", "Change between the dark and the light colours."),
]

MOVES: list[BindingType] = [
    _key("down,j", "move(1)", "Down", "The next line.", shown="j ↓"),
    _key("up,k", "move(-1)", "Up", "The line before.", shown="k ↑"),
    _key("home,g", "first", "First", "To the top.", shown="g"),
    _key("end,G", "last", "Last", "To the end.", shown="G"),
    _key("ctrl+d", "page(0.5)", "Half a page down", "Half a page down."),
    _key("ctrl+u", "page(-0.5)", "Half a page up", "Half a page up."),
    _key("pagedown", "page(1)", "Page down", "A page down."),
    _key("pageup", "page(-1)", "Page up", "A page up."),
]

CHOOSE: list[BindingType] = [
    _key("enter", "choose", "Open", "Open what the cursor is on.", bar=True),
]

SIDEWAYS: list[BindingType] = [
    _key("right", "sideways(8)", "Right", "Scroll long lines to the right."),
    _key("left", "sideways(-8)", "Left", "Scroll long lines to the left."),
]

BACK = _back()
COPY_ID = _key("y", "copy_id", "Copy id", "Copy the id to the clipboard (OSC 52) and show it.")
COPY_COMMAND = _key("Y", "copy_command", "Copy command", "Copy the spawn-tui command that does the same.")

MORE = _key("plus", "more_slots", "One slot more", "Let the source run one task more at a time.", shown="+")
FEWER = _key(
    "minus", "fewer_slots", "One slot less", "Let the source run one task less at a time.", shown="-"
)
ENABLE = _key(
    "e", "enable_source", "Enable source", "Trust the disabled source again, without a probe; asks.", bar=True
)
REMOVE = _key(
    "D",
    "remove_source",
    "Remove source",
    "Give the source no new tasks; what it runs goes on; asks.",
    bar=True,
)

SWEEP_LIST: list[BindingType] = [
    _key("slash", "filter", "Filter", "Show only sweeps with these words.", bar=True, shown="/"),
    COPY_ID,
    COPY_COMMAND,
    BACK,
]

SWEEP: list[BindingType] = [
    _key("x", "cancel", "Cancel", "Cancel the marked tasks, or the one under the cursor; asks.", bar=True),
    _key("X", "cancel_force", "Kill", "Kill at once, without the time to end in order; asks.", shown="X"),
    _key("r", "retry", "Retry", "Run the marked tasks again, or the one under the cursor; asks.", bar=True),
    _key(
        "R",
        "retry_failed",
        "Retry the rest",
        "Run again what failed, of a cancelled sweep also what was cancelled; only what matches the filter; asks.",
        bar=True,
    ),
    _key("p", "pause", "Pause", "Launch nothing more; what runs goes on.", bar=True),
    _key("P", "resume", "Resume", "Launch again; an interrupted sweep gets a new engine.", bar=True),
    _key("C", "cancel_sweep", "Cancel the sweep", "Cancel all tasks that run or wait; asks."),
    _key("l", "logs", "Logs", "The whole log of the task under the cursor.", bar=True),
    _key("c", "connect", "Connect", "A shell on the machine of the task under the cursor.", bar=True),
    _key(
        "slash",
        "filter",
        "Filter",
        "state:failed lr>0.01 !word: show only what matches.",
        bar=True,
        shown="/",
    ),
    _key("s", "sort", "Sort", "By the next column.", bar=True),
    _key("S", "sort_reverse", "Reverse", "Turn the order round."),
    _key("space", "mark", "Mark", "Mark the task, for cancel and retry.", shown="space"),
    _key("asterisk", "mark_all", "Mark all", "Mark all tasks that match the filter, or none.", shown="*"),
    _key("o", "stream", "stdout/stderr", "Show the task's other output."),
    _key("w", "wrap", "Wrap", "Wrap long lines of the log, or cut them."),
    _key("f", "follow", "Follow", "Stay at the end of the log as it grows."),
    _key("1", "pane('tasks')", "Tasks", "The table of tasks."),
    _key("2", "pane('sources')", "Sources", "The sources and how busy they are."),
    _key("3", "pane('failures')", "Failures", "What failed, and why."),
    _key("4", "pane('log')", "Log", "The log of the task under the cursor."),
    COPY_ID,
    _key("ctrl+y", "copy_sweep", "Copy sweep id", "Copy the sweep's id to the clipboard."),
    COPY_COMMAND,
    BACK,
    ENABLE,
    REMOVE,
    MORE,
    FEWER,
]

LOG: list[BindingType] = [
    _back(bar=True),
    _key("o", "stream", "stdout/stderr", "The other output; of an instance also how it began.", bar=True),
    _key("w", "wrap", "Wrap", "Wrap long lines, or cut them.", bar=True),
    _key("f", "follow", "Follow", "Stay at the end as it grows.", bar=True),
    _key("slash", "search", "Search", "Find text.", bar=True, shown="/"),
    _key("n", "match(1)", "Next match", "The next line that matches."),
    _key("N", "match(-1)", "Previous match", "The line before that matches."),
    _key(
        "left_square_bracket", "attempt(-1)", "Earlier attempt", "The log of the attempt before.", shown="["
    ),
    _key("right_square_bracket", "attempt(1)", "Later attempt", "The log of the attempt after.", shown="]"),
    COPY_ID,
    COPY_COMMAND,
]

SOURCE: list[BindingType] = [
    _back(bar=True),
    ENABLE,
    REMOVE,
    MORE,
    FEWER,
    _key("t", "its_tasks", "Its tasks", "The table of tasks, with those of this source alone.", bar=True),
    _key("w", "wrap", "Wrap", "Wrap long lines, or cut them.", bar=True),
    _key("f", "follow", "Follow", "Stay at the end of the log as it grows."),
    COPY_ID,
    COPY_COMMAND,
]

PROMPT: list[BindingType] = [
    _key("escape", "drop", "As before", "Forget what was typed; enter keeps it.", bar=True),
]

CONFIRM: list[BindingType] = [
    _key("y", "yes", "Yes", "Do it."),
    # `enter` gets here only where no button has the focus.
    _key("n,escape,q,enter", "no", "No", "Leave everything as it is.", shown="n"),
    _key("left,right,h,l", "other", "Other answer", "Move between the answers.", shown="← →"),
    COPY_COMMAND,
]

HELP: list[BindingType] = [
    _key("escape,question_mark,q", "back", "Close", "Close the help.", bar=True, shown="esc"),
]

_ALL = (*CHOOSE, *SWEEP, *LOG, *SOURCE, *SWEEP_LIST, *MOVES, *SIDEWAYS, *APP)
ORDER = {b.id: place for place, b in reversed([*enumerate(_ALL)]) if isinstance(b, Binding) and b.id}
"""Where each id stands among all, for whoever lists them."""

CHANGES = frozenset(
    {
        "cancel",
        "cancel_force",
        "retry",
        "retry_failed",
        "pause",
        "resume",
        "cancel_sweep",
        "more_slots",
        "fewer_slots",
        "enable_source",
        "remove_source",
    }
)
"""Actions that ask something of a sweep; `--readonly` hides them."""

OF_SOURCES = frozenset({"enable_source", "remove_source", "more_slots", "fewer_slots"})
"""Those that ask it of one source."""
