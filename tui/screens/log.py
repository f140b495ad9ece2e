"""One task: its parameters, its exact command, its attempts, and the whole of what it wrote."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from .. import format as fmt
from ..bindings import LOG
from ..instance_feed import InstanceFeed, InstanceTold
from ..log_feed import LogFeed, LogFrom, LogTarget, Stream
from ..log_mirror import Origin
from ..messages import CommandTold, InstanceSeen, LogTold
from ..model import SweepModel, command_of
from ..widgets.key_bar import KeyBar
from ..widgets.log_view import LogView
from ..widgets.task_summary import TaskSummary
from .asking import AskingScreen

WHOLE_BYTES, WHOLE_LINES = 16 << 20, 200_000
"""How much of a log's end is held; what came before it stands in the file, and the title says so."""

if TYPE_CHECKING:
    from ..widgets.prompt import Prompt


class LogScreen(AskingScreen):
    """Shows one log. `attempt` 0: the latest, also when a later one begins."""

    BINDINGS = LOG
    AUTO_FOCUS = "#log"

    def __init__(
        self,
        model: SweepModel,
        task: int,
        attempt: int,
        stream: Stream,
        *,
        watch: Callable[[int | None], None] = lambda _: None,
    ) -> None:
        """`watch` has the model told all attempts of a task, or (None) of none any more."""
        super().__init__()
        self.model, self.index = model, task
        self.attempt = attempt
        self.stream: Stream = stream
        self._feed = LogFeed(lambda news: self.post_message(LogTold(news)), limit=WHOLE_BYTES)
        self._instances = InstanceFeed(self._tell_instance)
        self._watch = watch
        self._origin: Origin | None = None
        self._skipped, self._of_console = 0, False
        self._found = ""

    def compose(self) -> ComposeResult:
        yield TaskSummary(self.model, self.index, id="task")
        yield LogView(id="log", max_lines=WHOLE_LINES)
        yield KeyBar()

    def on_mount(self) -> None:
        self.log_view, self.summary = self.query_one(LogView), self.query_one(TaskSummary)
        self._show()
        self._feed.start()
        self._instances.start()
        self._watch(self.index)
        threading.Thread(target=self._find_command, name="spawn-command", daemon=True).start()
        self.set_interval(0.5, self._show)

    def on_unmount(self) -> None:
        self._watch(None)
        self._feed.stop()
        self._instances.stop()

    def _tell_instance(self, instance: InstanceTold) -> None:
        self.post_message(InstanceSeen(instance))

    def on_instance_seen(self, message: InstanceSeen) -> None:
        self.summary.show_instance(message.instance)

    def _find_command(self) -> None:
        """Working out how a plan of 100,000 tasks is rendered takes a while."""
        model, row = self.model, self.model.rows[self.index]
        if model.plan is not None and model.facts is not None:
            directory = model.layout.attempt(fmt.task_id(self.index), max(1, row.attempt))
            command = command_of(model.plan, model.facts.id, model.project, row, str(directory))
            self.post_message(CommandTold(command))

    def on_command_told(self, message: CommandTold) -> None:
        self.summary.show_command(message.command)

    @property
    def target(self) -> LogTarget:
        return self.model.log_target(self.index, self.stream, self.attempt)

    def _show(self) -> None:
        """The log may be another's by now, and time has passed."""
        self._feed.follow(self.target)
        self._instances.follow(self.model.instance_target(self.index))
        self.summary.show(self.spawn.now())
        self._title()

    def _title(self) -> None:
        target, view = self.target, self.log_view
        attempt = f", try {target.attempt}" if self.model.rows[self.index].attempts > 1 else ""
        earlier = f", {fmt.size(self._skipped)} before it only in the file" if self._skipped else ""
        origin = ""
        if self._origin is not None and target.far:
            told = bool(view.absent) and self._origin.reason == view.absent
            origin = self._origin.words(self.spawn.now(), told=told)
        dot = f" {self.spawn.glyphs.separator} " if origin else ""
        name = "console" if self._of_console and self.stream == "bootstrap" else self.stream
        view.border_title = f"{name}{attempt}{earlier}{dot}{origin}".replace("[", r"\[")
        more = f"{fmt.plural(view.unseen, 'new line')}, " if view.unseen else ""
        following = "following" if view.follow else f"{more}f follows"
        view.border_subtitle = f"{self._found}  {following}" if self._found else following

    def on_log_told(self, message: LogTold) -> None:
        news = message.news
        if news.target.key != self.target.key:
            return
        if isinstance(news, LogFrom):
            self._origin = news.origin
        else:
            self._skipped, self._of_console = news.skipped, news.console
            self.log_view.update(news.start, news.lines, news.absent)
        self._title()

    def on_log_view_moved(self) -> None:
        self._title()

    # -- actions -------------------------------------------------------------------------------------------

    def action_stream(self) -> None:
        streams = self.model.streams(self.index)
        self.stream = streams[(streams.index(self.stream) + 1) % len(streams)]
        self._show()

    def action_attempt(self, step: int) -> None:
        row = self.model.rows[self.index]
        self.attempt = max(1, min(row.attempts, (self.attempt or row.attempt) + step))
        self._show()

    def action_wrap(self) -> None:
        self.log_view.wrap = not self.log_view.wrap

    def action_follow(self) -> None:
        self.log_view.follow = not self.log_view.follow

    def action_search(self) -> None:
        from ..widgets.prompt import Prompt

        self.mount(
            Prompt("/", self.log_view.wanted, "text to find", id="prompt"), before=self.query_one(KeyBar)
        )

    def on_prompt_changed(self, message: Prompt.Changed) -> None:
        number = self.log_view.search(message.text)
        message.prompt.note(fmt.plural(number, "line") if message.text else "")

    async def on_prompt_kept(self) -> None:
        await self._close_prompt()
        # The latest match is nearest to where a log is read from.
        self.action_match(-1)

    async def on_prompt_dropped(self) -> None:
        self.log_view.search("")
        self._found = ""
        await self._close_prompt()

    async def _close_prompt(self) -> None:
        await self.query("#prompt").remove()
        self.log_view.focus()
        self.refresh_bindings()

    def action_match(self, step: int) -> None:
        place, number = self.log_view.go_to_match(step)
        self._found = (
            f"match {place} of {number}" if number else "nothing found" if self.log_view.wanted else ""
        )
        self._title()

    def action_back(self) -> None:
        if self.log_view.wanted:
            self.log_view.search("")
            self._found = ""
            self.refresh_bindings()
            self._title()
        else:
            self.dismiss()

    def action_copy_id(self) -> None:
        self.copy(fmt.task_id(self.index))

    def action_copy_command(self) -> None:
        if self.model.facts is not None:
            which = "" if self.stream == "stdout" else f" --{self.stream}"
            self.copy(f"spawn-tui logs {self.model.facts.id} {self.index + 1}{which}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "search":
            return not self.query("#prompt")
        if action == "match":
            return bool(self.log_view.wanted) if self.is_mounted else False
        if action == "attempt":
            return self.model.rows[self.index].attempts > 1
        return True
