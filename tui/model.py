"""What a sweep's screens hold between two pieces of news. It lives in the screen's thread alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.ids import task_name
from ..engine.redact import said, shown
from ..state.layout import SweepLayout
from . import format as fmt
from .instance_feed import InstanceTarget
from .log_feed import LogTarget, Stream, file_of
from .log_mirror import FarLog
from .view import ACTIVE_STATES

if TYPE_CHECKING:
    from ..engine.plan.model import Plan, PlannedTask
    from .columns import ParamColumn
    from .feed import SweepChanged, SweepLoaded
    from .view import AttemptRow, Facts, TaskRow

LONGEST_ENDING = 16
"""Cells of a column that a task's end may take: `spot interrupted`; what is longer has a shorter word."""


class SweepModel:
    """The rows by task index, the facts, and the plan's tasks. Empty until the journal was read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout = SweepLayout(root)
        self.plan: Plan | None = None
        self.project = ""
        self.tasks: Sequence[PlannedTask] = ()
        self.rows: list[TaskRow] = []
        self.facts: Facts | None = None
        self.params: tuple[ParamColumn, ...] = ()
        self.name_width = 0
        self.tried_again = False
        """Whether any task has had more than one try."""
        self.ending_width = 0
        """Cells in which all ways tasks have failed are spelled out."""
        self.attempts: tuple[AttemptRow, ...] = ()
        """All attempts of the task that is looked at closely, the first one first."""
        self.looked_at = -1

    def load(self, news: SweepLoaded) -> None:
        self.plan, self.project, self.tasks = news.plan, news.project, news.plan.tasks
        self.rows, self.facts = list(news.rows), news.facts
        self.params, self.name_width = news.columns, news.name_width
        self.tried_again, self.ending_width = False, 0
        self._measure(self.rows)

    def change(self, news: SweepChanged) -> None:
        for row in news.rows:
            self.rows[row.task] = row
        self._measure(news.rows)
        self.facts = news.facts

    def _measure(self, rows: Iterable[TaskRow]) -> None:
        """What the columns' widths hang on; it only grows, so that the columns stay where they are."""
        for row in rows:
            self.tried_again = self.tried_again or row.attempt > 1
            if row.kind and row.state != "pending":
                words = fmt.short_ending(row.kind, row.exit_code, row.signal, LONGEST_ENDING)
                self.ending_width = max(self.ending_width, len(words))

    def look(self, task: int, attempts: tuple[AttemptRow, ...]) -> None:
        self.looked_at, self.attempts = task, attempts

    def queue_reason(self, row: TaskRow) -> str:
        """Why the task waits in its source's queue, in the scheduler's words; empty if it does not, or nobody said."""
        if not row.batch or self.facts is None:
            return ""
        source = self.facts.source(row.source)
        return source.reason_of(row.batch) if source is not None else ""

    @property
    def param_keys(self) -> list[str]:
        return [column.key for column in self.params]

    def label(self, index: int) -> str:
        """What a person calls the task: its id, and the name the plan gives it."""
        name = self.tasks[index].label
        return f"{task_name(index)} {fmt.clean(name)}" if name else task_name(index)

    def log_target(self, index: int, stream: Stream, attempt: int = 0) -> LogTarget:
        """Where that log is (default: of the latest attempt), and why there may be none."""
        row = self.rows[index]
        number = attempt or row.attempt
        if not number:
            return LogTarget(index, 0, stream, None, _never(row))
        directory = self.layout.attempt(task_name(index), number)
        path = directory / file_of(stream)
        far = self._far(row, number)
        return LogTarget(index, number, stream, path, _silent(row, number, stream), far)

    def streams(self, index: int) -> tuple[Stream, ...]:
        """The logs that the task has, or will have."""
        row = self.rows[index]
        return ("stdout", "stderr", "bootstrap") if self._in_cloud(row.source) else ("stdout", "stderr")

    def _in_cloud(self, name: str) -> bool:
        """Whether each attempt of that source has an instance of its own."""
        source = self.facts.source(name) if self.facts is not None else None
        if source is None:
            return False
        from ..engine.collect.elsewhere import is_cloud

        return is_cloud(source.kind)

    def instance_target(self, index: int) -> InstanceTarget | None:
        """The instance that the task's attempt has; None if it has none, or none yet."""
        row = self.rows[index]
        source = self.facts.source(row.source) if self.facts is not None else None
        mine = self.attempt_of(row)
        if self.facts is None or source is None or mine is None or not mine.handle:
            return None
        if not self._in_cloud(source.name):
            return None
        return InstanceTarget(
            self.root, self.facts.id, source.name, source.options, self.tasks[index].launch, index, row.attempt,
            mine.handle, row.started_at, row.state in ACTIVE_STATES,
        )  # fmt: skip

    def attempt_of(self, row: TaskRow) -> AttemptRow | None:
        """The attempt that counts, if its task is the one that is looked at closely."""
        if self.looked_at != row.task:
            return None
        return next((attempt for attempt in self.attempts if attempt.number == row.attempt), None)

    def _far(self, row: TaskRow, number: int) -> FarLog | None:
        """Where the attempt's files are before they are brought home, if it began elsewhere."""
        source = self.facts.source(row.source) if self.facts is not None else None
        if self.facts is None or source is None or number != row.attempt or row.started_at is None:
            return None
        from ..engine.collect.elsewhere import is_elsewhere

        if not is_elsewhere(source.kind, dict(source.options)):
            return None
        return FarLog(self.facts.id, source.name, source.options, f"{task_name(row.task)}.{number}")


def command_of(plan: Plan, sweep_id: str, project: str, row: TaskRow, task_dir: str) -> str:
    """The exact command of a task as one line; why there is none, if there is none. Takes a while for a big plan."""
    import os

    from ..engine.command import Renderer
    from ..engine.plan.problems import PlanError

    try:
        renderer = Renderer(plan, sweep_id=sweep_id, project_dir=project, base_env=os.environ)
        source = row.source or "local"
        return shown(renderer.show(row.task, task_dir=task_dir, attempt=max(1, row.attempt), source=source))
    except PlanError as error:
        return f"({error})"


def _never(row: TaskRow) -> str:
    if row.state == "cancelled":
        return "Cancelled before it was started."
    return "Not started yet: it waits for a free slot."


def _silent(row: TaskRow, attempt: int, stream: Stream) -> str:
    """Why an attempt's log has nothing in it."""
    if stream == "bootstrap":
        return "Its instance has left no log of how it began (yet)."
    if attempt != row.attempt:
        return f"Attempt {attempt} left nothing on {stream}."
    if row.kind == "launch_failed":
        return f"It could not be launched: {fmt.clean(said(row.message)) or 'no reason is known'}"
    if row.state == "pending":
        again = f", not before {fmt.clock(row.not_before)}" if row.not_before else ""
        return f"Attempt {attempt} left nothing on {stream}. It waits for its next try{again}."
    if row.state == "launching":
        return "Being launched; nothing written yet."
    if row.state == "queued":
        return f"It waits in the queue of {fmt.clean(row.source)}; nothing written yet."
    if row.state in ("running", "cancelling"):
        return f"Nothing on {stream} yet."
    if row.state == "unknown":
        return f"Nobody can say whether it still runs; nothing of its {stream} is here."
    return f"It wrote nothing to {stream}."
