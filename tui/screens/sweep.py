"""One sweep: is it OK, what does each task do, which source is busy, what failed and why."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.reactive import reactive

from .. import format as fmt
from ..bindings import CHANGES, SWEEP
from ..feed import SweepChanged, SweepFeed, SweepLoaded, SweepTrouble, TaskLooked
from ..log_feed import LogFeed, LogFrom, Stream
from ..log_mirror import Origin
from ..messages import LogTold, SweepTold
from ..model import SweepModel
from ..sources import summed, troubles
from ..view import MAX_FAILURES, TaskRow, shape_of
from ..widgets.failure_list import FailureList
from ..widgets.key_bar import KeyBar
from ..widgets.line_list import LineList
from ..widgets.log_view import LogView
from ..widgets.pane_tabs import PaneTabs
from ..widgets.source_bars import SourceBars
from ..widgets.sweep_summary import SweepSummary
from ..widgets.task_table import TaskTable
from .sweep_order import SweepOrder

PANES: dict[str, str] = {"tasks": "Tasks", "sources": "Sources", "failures": "Failures", "log": "Log"}
TAIL_BYTES, TAIL_LINES = 256 * 1024, 5_000
_SHAPES = ("tiny", "narrow", "wide", "huge")


class SweepScreen(SweepOrder):
    """Shows what the feeds tell. All state of the view is here; the widgets only paint it."""

    BINDINGS = SWEEP
    AUTO_FOCUS: ClassVar[str | None] = "#tasks"

    stream: reactive[Stream] = reactive("stdout", init=False)

    def __init__(self, root: Path) -> None:
        super().__init__(SweepModel(root))
        self._feed = SweepFeed(root, lambda news: self.post_message(SweepTold(news)), self._now)
        self._log_feed = LogFeed(lambda news: self.post_message(LogTold(news)), limit=TAIL_BYTES)
        self._trouble = ""
        self._log_due = False
        self._origin: Origin | None = None

    def compose(self) -> ComposeResult:
        yield SweepSummary(id="summary")
        yield PaneTabs(PANES, id="tabs")
        with Container(id="body"):
            yield TaskTable(self.model, id="tasks")
            with Vertical(id="side"):
                yield SourceBars(id="sources")
                yield FailureList(self.model, id="failures")
        yield LogView(id="log", max_lines=TAIL_LINES)
        yield KeyBar()

    def on_mount(self) -> None:
        self.summary, self.table = self.query_one(SweepSummary), self.query_one(TaskTable)
        self.sources, self.failures = self.query_one(SourceBars), self.query_one(FailureList)
        self.log_view, self.tabs = self.query_one(LogView), self.query_one(PaneTabs)
        self.tabs.active = self.pane
        self.add_class("-pane-tasks")
        self.call_after_refresh(self._start_feeds)
        self.set_interval(0.5, self._tick)

    def _start_feeds(self) -> None:
        # Not sooner: their imports would be in the way of the first picture.
        self._feed.start()
        self._log_feed.start()

    def on_unmount(self) -> None:
        self._feed.stop()
        self._log_feed.stop()

    def on_resize(self) -> None:
        shape = shape_of(self.size.width, self.size.height)
        for name in _SHAPES:
            self.set_class(name == shape, f"-{name}")
        if self.is_mounted:
            self._show_summary()

    # -- what the feeds tell -------------------------------------------------------------------------------

    def on_sweep_told(self, message: SweepTold) -> None:
        match message.news:
            case SweepLoaded() as news:
                first = self.model.facts is None
                self._trouble = ""
                self.model.load(news)
                self._filter_again()
                self._arrange()
                if first:
                    self._offered = None
                    # A full collection over 100,000 rows stops the screen for 20 to 50 ms, and they stay.
                    gc.collect()
                    gc.freeze()
                self._show_facts()
                self._follow_log()
            case SweepChanged() as news:
                self._trouble = ""
                self.model.change(news)
                self.answered(news.answers)
                self._rows_changed(news.rows)
                self._show_facts()
            case SweepTrouble() as news:
                self._trouble = fmt.clean(news.text)
                self._show_summary()
                if news.final:
                    self.say(news.text, "error")
            case TaskLooked() as news:
                self.model.look(news.task, news.attempts)

    def _rows_changed(self, rows: tuple[TaskRow, ...]) -> None:
        if not rows:
            return
        if self._keep is not None or self.table.sort.column != "#":
            self._arrange_due = True
            self._arrange_if_due()
        self.table.refresh()
        if self.table.selected in {row.task for row in rows}:
            self._follow_log()

    def on_log_told(self, message: LogTold) -> None:
        news, task = message.news, self.table.selected
        if task is None or news.target.key != self.model.log_target(task, self.stream).key:
            return
        if isinstance(news, LogFrom):
            self._origin = news.origin
        else:
            self.log_view.update(news.start, news.lines, news.absent)
        self._title_log()

    def _tick(self) -> None:
        """Time goes by though nothing happens."""
        self.table.now = self._now()
        self.table.tick()
        self._show_summary()
        if self.model.facts is not None:
            self.sources.show(self.model.facts.sources, self._now())
        self._arrange_if_due()
        self.check_answers()

    # -- showing it ----------------------------------------------------------------------------------------

    def _show_summary(self) -> None:
        self.summary.show(self.model.facts, self._now(), self._trouble)

    def _show_facts(self) -> None:
        facts = self.model.facts
        if facts is None:
            return
        self.table.now = self._now()
        self._show_summary()
        self.table.refit()
        self.sources.show(facts.sources, self._now())
        self.failures.show(facts.failures)
        self._entitle(self.failures, self._failures_title(len(facts.failures)))
        troubled = troubles(facts.sources)
        number = f" {len(facts.sources)}" if len(facts.sources) > 1 else ""
        what = f" {self.spawn.glyphs.separator} {summed(troubled)}" if troubled else ""
        self._entitle(self.sources, f"Sources{number}{what}")
        self.failures.set_class(bool(facts.failures), "-alarm")
        self.sources.set_class(bool(troubled), "-alarm")
        self.tabs.alarm("failures", len(facts.failures))
        self.tabs.alarm("sources", sum(map(len, troubled.values())))
        self._title_table()
        self.slots_came(facts.sources)
        self.update_keys()

    def _failures_title(self, number: int) -> str:
        if not number:
            return "Failures"
        latest = "newest " if number == MAX_FAILURES else ""
        return f"Failures {latest}{fmt.count(number)} {self.spawn.glyphs.separator} newest first"

    def _title_log(self) -> None:
        task, view = self.table.selected, self.log_view
        if task is None:
            self._entitle(view, "Log")
            return
        target = self.model.log_target(task, self.stream)
        attempt = f" try {target.attempt}" if target.attempt > 1 else ""
        title = f"{self.stream} of {self.model.label(task)}{attempt}"
        more = f"{fmt.plural(view.unseen, 'new line')}, " if view.unseen else ""
        origin = ""
        if self._origin is not None and target.far:
            told = bool(view.absent) and self._origin.reason == view.absent
            origin = self._origin.words(self._now(), told=told)
        title += f" {self.spawn.glyphs.separator} {origin}" if origin else ""
        self._entitle(view, title, "" if view.follow else f"{more}f follows")

    def on_log_view_moved(self) -> None:
        self._title_log()

    # -- panes ---------------------------------------------------------------------------------------------

    def action_pane(self, name: str) -> None:
        self.pane = name
        self.query_one(f"#{name}").focus()

    def watch_pane(self, old: str, new: str) -> None:
        self.remove_class(f"-pane-{old}")
        self.add_class(f"-pane-{new}")
        self.tabs.active = new

    def on_pane_tabs_picked(self, message: PaneTabs.Picked) -> None:
        self.action_pane(message.name)

    def on_descendant_focus(self) -> None:
        name = self.focused.id if self.focused else None
        if name in PANES:
            self.pane = name
        self.update_keys()

    # -- the cursor and the log ----------------------------------------------------------------------------

    def on_line_list_moved(self, message: LineList.Moved) -> None:
        if message.sender is self.table:
            self._follow_log_soon()
            self.update_keys()
        elif message.sender is self.failures and self.failures.failure:
            self.table.go_to(self.failures.failure.task)
        elif message.sender is self.sources:
            self.update_keys()

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        if message.sender is self.sources and self.sources.source:
            self.open_source(self.sources.source.name)
        elif message.sender is self.failures and self.failures.failure:
            failure = self.failures.failure
            if failure.last_words:
                self.open_log(failure.task, failure.attempt, "bootstrap")
            elif failure.of_source:
                self.open_source(failure.source)
            else:
                self.open_log(failure.task, failure.attempt, "stderr")
        else:
            self.action_logs()

    def _follow_log_soon(self) -> None:
        """A held key passes a task every 30 ms; reading a log of each would keep the keys waiting."""
        if not self._log_due:
            self._log_due = True
            self.set_timer(0.08, self._follow_log)

    def _follow_log(self) -> None:
        self._log_due = False
        task = self.table.selected
        if task is not None:
            target = self.model.log_target(task, self.stream)
            if target.far is None:
                self._origin = None
            self._log_feed.follow(target)
            self._title_log()

    def action_logs(self) -> None:
        if self.table.selected is not None:
            self.open_log(self.table.selected, 0, self.stream)

    def open_log(self, task: int, attempt: int, stream: Stream) -> None:
        from .log import LogScreen

        screen = LogScreen(self.model, task, attempt, stream, watch=self._feed.watch)
        self.app.push_screen(screen)  # pyright: ignore[reportUnknownMemberType]

    def open_source(self, name: str) -> None:
        from .source import SourceScreen

        self.app.push_screen(SourceScreen(self, name))  # pyright: ignore[reportUnknownMemberType]

    def show_tasks_of(self, source: str) -> None:
        """The table, with the tasks of this source alone."""
        from shlex import quote

        quoted = quote(source)
        self.filter_by(f"source={quoted}" if self._is_part(source) else f"source:{quoted}")
        self.action_pane("tasks")

    def _is_part(self, name: str) -> bool:
        """Whether other sources have this name within theirs."""
        facts = self.model.facts
        return facts is not None and any(name in s.name and name != s.name for s in facts.sources)

    def action_stream(self) -> None:
        self.stream = "stderr" if self.stream == "stdout" else "stdout"
        self._follow_log()

    def action_wrap(self) -> None:
        self.log_view.wrap = not self.log_view.wrap

    def action_follow(self) -> None:
        self.log_view.follow = not self.log_view.follow

    # -- the way back --------------------------------------------------------------------------------------

    def action_back(self) -> None:
        if self.filter_text:
            self.filter_text = ""
            self._filter_again()
            self._arrange()
        elif self.table.marks:
            self.table.marks = set()
            self._marked()
        elif self.focused is not self.table:
            self.action_pane("tasks")
        else:
            self.spawn.show_list()

    def action_copy_id(self) -> None:
        if self.table.selected is not None:
            self.copy(fmt.task_id(self.table.selected))

    def action_copy_sweep(self) -> None:
        if self.model.facts is not None:
            self.copy(self.model.facts.id)

    def action_copy_command(self) -> None:
        facts, task = self.model.facts, self.table.selected
        if facts is not None:
            self.copy(
                f"spawn-tui logs {facts.id} {task + 1}" if task is not None else f"spawn-tui {facts.id}"
            )

    # -- what can be done now ------------------------------------------------------------------------------

    def update_keys(self) -> None:
        """Offer other keys if what can be done has changed."""
        now = tuple(sorted(action for action in CHANGES if self.can(action)))
        if now != self._offered:
            self._offered = now
            self.refresh_bindings()

    _offered: tuple[str, ...] | None = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in CHANGES:
            return self.can(action)
        if action == "connect":
            return self.can_connect()
        if action == "filter" and self.query("#prompt"):
            return False
        if action in (
            "filter",
            "sort",
            "sort_reverse",
            "mark",
            "mark_all",
            "logs",
            "copy_id",
            "copy_command",
        ):
            return self.model.facts is not None
        return True
