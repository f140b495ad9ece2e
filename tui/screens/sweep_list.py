"""All sweeps: what runs, how far each is, what failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.widgets import Label

from .. import format as fmt
from ..bindings import SWEEP_LIST
from ..messages import SweepsTold
from ..sweeps_feed import SweepRow, SweepsFeed
from ..widgets.key_bar import KeyBar
from ..widgets.sweep_table import SweepTable
from .asking import AskingScreen

if TYPE_CHECKING:
    from ..widgets.prompt import Prompt

_NOTHING = (
    "No sweep yet.",
    "",
    "Launch one:      spawn-tui launch params.yaml",
    "See one at work: spawn-tui demo",
)


class SweepListScreen(AskingScreen):
    """Reads while it is on top; `enter` opens a sweep."""

    BINDINGS = SWEEP_LIST
    AUTO_FOCUS: ClassVar[str | None] = "#sweeps"

    def __init__(self) -> None:
        super().__init__()
        self._feed = SweepsFeed(lambda news: self.post_message(SweepsTold(news)))
        self._rows: tuple[SweepRow, ...] = ()
        self._filter = ""
        self._known = False

    def compose(self) -> ComposeResult:
        yield Label("", id="list-head", markup=False)
        yield SweepTable(id="sweeps")
        yield KeyBar()

    def on_mount(self) -> None:
        self.table = self.query_one(SweepTable)
        self._show()
        self.call_after_refresh(self._feed.start)
        self.set_interval(1.0, self._show)

    def on_unmount(self) -> None:
        self._feed.stop()

    def on_screen_suspend(self) -> None:
        self._feed.rest(True)

    def on_screen_resume(self) -> None:
        self._feed.rest(False)

    def on_resize(self) -> None:
        self.set_class(self.size.height < 8, "-tiny")

    def on_sweeps_told(self, message: SweepsTold) -> None:
        self._rows, self._known = message.news.rows, True
        if message.news.trouble:
            self.table.empty = (message.news.trouble,)
        else:
            self.table.empty = _NOTHING
        self._show()
        self.refresh_bindings()

    def _show(self) -> None:
        if not self.is_current and self._known:
            return
        words = self._filter.lower().split()
        shown = [
            row
            for row in self._rows
            if all(word in f"{row.id} {row.name} {row.status}".lower() for word in words)
        ]
        if words and not shown:
            self.table.empty = ("No sweep matches; esc clears the filter.",)
        self.table.show(shown, self.spawn.now())
        running = sum(row.status in ("running", "cancelling") for row in self._rows)
        parts = [fmt.plural(len(self._rows), "sweep")] if self._known else ["reading …"]
        if running:
            parts.append(f"{running} running")
        interrupted = sum(row.status == "interrupted" for row in self._rows)
        if interrupted:
            parts.append(f"{interrupted} interrupted")
        if self._filter:
            parts.append(f"/{self._filter}: {len(shown)}")
        dot = f" {self.spawn.glyphs.separator} "
        self.query_one("#list-head", Label).update(f" spawn-tui{dot}{dot.join(parts)}")

    @property
    def running(self) -> int:
        """Sweeps that go on when the program is left."""
        return sum(row.status in ("running", "cancelling") for row in self._rows)

    # -- actions -------------------------------------------------------------------------------------------

    def on_line_list_chosen(self) -> None:
        row = self.table.row
        if row is None:
            return
        if row.status == "missing":
            self.say(
                f"{row.directory} is not there: moved, removed, or on a disk that is not mounted.", "warning"
            )
            return
        self.spawn.open_sweep(Path(row.directory))

    def action_filter(self) -> None:
        if not self.query("#prompt"):
            from ..widgets.prompt import Prompt

            self.mount(Prompt("/", self._filter, "words", id="prompt"), before=self.query_one(KeyBar))

    def on_prompt_changed(self, message: Prompt.Changed) -> None:
        self._filter = message.text
        self._show()

    async def on_prompt_kept(self) -> None:
        await self.query("#prompt").remove()
        self.table.focus()

    async def on_prompt_dropped(self) -> None:
        self.action_back()
        await self.query("#prompt").remove()
        self.table.focus()

    def action_back(self) -> None:
        self._filter = ""
        self.table.empty = _NOTHING
        self._show()

    def action_copy_id(self) -> None:
        if self.table.row is not None:
            self.copy(self.table.row.id)

    def action_copy_command(self) -> None:
        if self.table.row is not None:
            self.copy(f"spawn-tui {self.table.row.id}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "back":
            return bool(self._filter)
        if action == "filter" and self.query("#prompt"):
            return False
        if action in ("filter", "copy_id", "copy_command"):
            return bool(self._rows)
        return True
