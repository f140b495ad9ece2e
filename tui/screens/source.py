"""One source: why it is as it is, in full; what failed there; what its log says."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from .. import format as fmt
from ..bindings import CHANGES, SOURCE
from ..log_feed import LogFeed, LogFrom, LogTarget
from ..messages import LogTold
from ..sources import SourceRow
from ..view import Failure, shape_of
from ..widgets.failure_list import FailureList
from ..widgets.key_bar import KeyBar
from ..widgets.log_view import LogView
from ..widgets.source_summary import SourceSummary
from .asking import AskingScreen

if TYPE_CHECKING:
    from ..widgets.line_list import LineList
    from .sweep import SweepScreen

LOG_BYTES, LOG_LINES = 1 << 20, 20_000


class SourceScreen(AskingScreen):
    """Stands over the sweep's screen, which holds the data and asks the engine; here it is only shown."""

    BINDINGS = SOURCE
    AUTO_FOCUS = "#log"

    def __init__(self, sweep: SweepScreen, name: str) -> None:
        super().__init__()
        self._sweep, self._name = sweep, name
        self._feed = LogFeed(lambda news: self.post_message(LogTold(news)), limit=LOG_BYTES)
        self._shown: tuple[object, ...] = ()

    @property
    def source(self) -> SourceRow | None:
        facts = self._sweep.model.facts
        return facts.source(self._name) if facts is not None else None

    def compose(self) -> ComposeResult:
        yield SourceSummary(id="source")
        yield FailureList(self._sweep.model, id="source-failures")
        yield LogView(id="log", max_lines=LOG_LINES)
        yield KeyBar()

    def on_mount(self) -> None:
        from ...engine.logs import source_log

        self.summary, self.failures = self.query_one(SourceSummary), self.query_one(FailureList)
        self.log_view = self.query_one(LogView)
        self.log_view.wrap = True
        path = self._sweep.model.layout.logs / source_log(self._name)
        self._target = LogTarget(0, 0, "stdout", path, "Nothing was written about it yet.")
        self._feed.follow(self._target)
        self._feed.start()
        self._show()
        self.set_interval(0.5, self._show)

    def on_unmount(self) -> None:
        self._feed.stop()

    def on_resize(self) -> None:
        self.set_class(shape_of(self.size.width, self.size.height) == "tiny", "-tiny")

    # -- showing it ----------------------------------------------------------------------------------------

    def _show(self) -> None:
        source, facts = self.source, self._sweep.model.facts
        if source is None or facts is None:
            return
        self.summary.show(source, self.spawn.now())
        failures = [
            failure for failure in facts.failures if failure.source == self._name and _is_own(failure)
        ]
        self.failures.show(failures)
        self.failures.set_class(not failures, "-none")
        self.failures.border_title = f"Failures {fmt.count(len(failures))}"
        self.log_view.border_title = f"{fmt.clean(self._name).replace('[', '')} log"
        self.log_view.border_subtitle = "" if self.log_view.follow else "f follows"
        live = tuple(action for action in CHANGES if self._sweep.can_source(action, source))
        if live != self._shown:
            self._shown = live
            self.refresh_bindings()

    def on_log_told(self, message: LogTold) -> None:
        news = message.news
        if isinstance(news, LogFrom):
            return
        lines = [_short(line, self._name, self.spawn.now()) for line in news.lines]
        self.log_view.update(news.start, lines, news.absent)

    def on_log_view_moved(self) -> None:
        self._show()

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        failure = self.failures.failure
        if failure is not None:
            stream = "bootstrap" if failure.last_words else "stderr"
            self._sweep.open_log(failure.task, failure.attempt, stream)

    # -- actions -------------------------------------------------------------------------------------------

    def action_enable_source(self) -> None:
        if self.source is not None:
            self._sweep.ask_enable(self.source)

    def action_remove_source(self) -> None:
        if self.source is not None:
            self._sweep.ask_remove(self.source)

    def action_more_slots(self) -> None:
        if self.source is not None:
            self._sweep.ask_slots(self.source, 1)

    def action_fewer_slots(self) -> None:
        if self.source is not None:
            self._sweep.ask_slots(self.source, -1)

    def action_its_tasks(self) -> None:
        self.dismiss()
        self._sweep.show_tasks_of(self._name)

    def action_wrap(self) -> None:
        self.log_view.wrap = not self.log_view.wrap

    def action_follow(self) -> None:
        self.log_view.follow = not self.log_view.follow

    def action_back(self) -> None:
        self.dismiss()

    def action_copy_id(self) -> None:
        self.copy(self._name)

    def action_copy_command(self) -> None:
        if self._sweep.model.facts is not None:
            self.copy(f"spawn-tui status {self._sweep.model.facts.id}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in CHANGES:
            return self.source is not None and self._sweep.can_source(action, self.source)
        return True


def _short(line: str, source: str, now: float) -> str:
    """A line of its log with the local time of day, and without the name that stands above."""
    stamp, _, text = line.partition(" ")
    try:
        at = datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return line
    day = "" if abs(now - at) < 12 * 3600 else f"{fmt.moment(at)[:10]} "
    return f"{day}{fmt.clock(at)}  {text.removeprefix(f'source {fmt.clean(source)}').lstrip(': ')}"


def _is_own(failure: Failure) -> bool:
    """Whether the head does not say it already."""
    return failure.task >= 0
