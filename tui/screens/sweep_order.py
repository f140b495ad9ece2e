"""Which tasks a sweep's screen shows, in which order, and which are marked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.reactive import reactive
from textual.widget import Widget

from .. import format as fmt
from ..view import Sort, arrange
from ..widgets.key_bar import KeyBar
from .sweep_actions import SweepActions

if TYPE_CHECKING:
    from ..filters import Keep
    from ..model import SweepModel
    from ..widgets.prompt import Prompt


class SweepOrder(SweepActions):
    """The part of a sweep's screen that filters, sorts and marks."""

    filter_text: reactive[str] = reactive("", init=False)

    def __init__(self, model: SweepModel) -> None:
        super().__init__()
        self.model = model
        self._keep: Keep | None = None
        self._before = ""
        self._arranged_at, self._arrange_cost = 0.0, 0.0
        self._arrange_due = False
        self._titles: dict[Widget, tuple[str, str]] = {}

    @property
    def filtered(self) -> bool:
        return bool(self.filter_text)

    def update_keys(self) -> None:
        """Offer other keys if what can be done has changed."""
        raise NotImplementedError

    def _now(self) -> float:
        return self.spawn.now()

    def _entitle(self, widget: Widget, title: str, subtitle: str = "") -> None:
        """Title a pane. Only if it is another: it costs a repaint of the whole pane."""
        if self._titles.get(widget) != (title, subtitle):
            self._titles[widget] = (title, subtitle)
            widget.border_title, widget.border_subtitle = _plain(title), _plain(subtitle)

    def _title_table(self) -> None:
        shown, total = self.table.count, len(self.model.rows)
        title = "Tasks" if shown == total else f"Tasks {fmt.count(shown)} of {fmt.count(total)}"
        if self.filter_text:
            title += f" /{self.filter_text}"
        if self.table.marks:
            title += f" ({fmt.count(len(self.table.marks))} marked)"
        self._entitle(self.table, title)

    # -- order and filter ----------------------------------------------------------------------------------

    def _arrange_if_due(self) -> None:
        """Sorting 100,000 rows anew takes its time; it gets a tenth of ours at most."""
        if self._arrange_due and time.monotonic() - self._arranged_at > 10 * self._arrange_cost:
            self._arrange()

    def _arrange(self) -> None:
        began = time.monotonic()
        model, table = self.model, self.table
        table.now = self._now()
        table.empty = "No task matches this filter; esc clears it." if self._keep else ""
        table.show(arrange(model.rows, model.tasks, table.sort, self._keep, table.now))
        self._arranged_at = time.monotonic()
        self._arrange_cost, self._arrange_due = self._arranged_at - began, False
        self._title_table()

    def _filter_again(self) -> str:
        """Make the test of the filter's text; returns what is wrong with it, and then the filter before it stands."""
        if not self.filter_text:
            self._keep = None
            return ""
        from ..filters import FilterError, parse_filter

        try:
            self._keep = parse_filter(self.filter_text, self.model.tasks, self.model.param_keys, self._now())
        except FilterError as error:
            return str(error)
        return ""

    def action_filter(self) -> None:
        if not self.query("#prompt"):
            from ..widgets.prompt import Prompt

            self._before = self.filter_text
            prompt = Prompt("/", self.filter_text, "state:failed  lr>0.01  !word", id="prompt")
            self.mount(prompt, before=self.query_one(KeyBar))
            self.refresh_bindings()

    def on_prompt_changed(self, message: Prompt.Changed) -> None:
        self.filter_text = message.text
        wrong = self._filter_again()
        if wrong:
            message.prompt.note(wrong, error=True)
        else:
            self._arrange()
            message.prompt.note(f"{fmt.count(self.table.count)} of {fmt.count(len(self.model.rows))}")
        self.update_keys()

    async def on_prompt_kept(self) -> None:
        wrong = self._filter_again()
        if wrong:
            self.say(wrong, "error")
            return
        await self._close_prompt()

    async def on_prompt_dropped(self) -> None:
        self.filter_text = self._before
        self._filter_again()
        self._arrange()
        await self._close_prompt()

    async def _close_prompt(self) -> None:
        await self.query("#prompt").remove()
        self.table.focus()
        self._title_table()

    def filter_by(self, text: str) -> None:
        """Show what matches `text`, in the table."""
        self.filter_text = text
        self._filter_again()
        self._arrange()

    def action_sort(self) -> None:
        keys = [column.key for column in self.table.columns]
        here = keys.index(self.table.sort.column) if self.table.sort.column in keys else -1
        self.table.sort = Sort(keys[(here + 1) % len(keys)])
        self._arrange()

    def action_sort_reverse(self) -> None:
        sort = self.table.sort
        self.table.sort = Sort(sort.column, not sort.reverse)
        self._arrange()

    # -- marks ---------------------------------------------------------------------------------------------

    def action_mark(self) -> None:
        task = self.table.selected
        if task is not None:
            self.table.marks ^= {task}
            self.table.cursor += 1
            self._marked()

    def action_mark_all(self) -> None:
        shown = set(self.table.order)
        self.table.marks = set() if shown <= self.table.marks else self.table.marks | shown
        self._marked()

    def _marked(self) -> None:
        self.table.refresh()
        self._title_table()
        self.update_keys()


def _plain(text: str) -> str:
    """Text for a border's title, in which brackets would be markup."""
    return text.replace("[", r"\[")
