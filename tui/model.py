"""What a sweep's screens hold between two pieces of news. It lives in the screen's thread alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.ids import task_name
from ..state.layout import STDERR, STDOUT, SweepLayout
from . import format as fmt
from .log_feed import LogTarget, Stream

if TYPE_CHECKING:
    from ..engine.plan.model import Plan, PlannedTask
    from .columns import ParamColumn
    from .feed import SweepChanged, SweepLoaded
    from .view import Facts, TaskRow


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

    def load(self, news: SweepLoaded) -> None:
        self.plan, self.project, self.tasks = news.plan, news.project, news.plan.tasks
        self.rows, self.facts = list(news.rows), news.facts
        self.params, self.name_width = news.columns, news.name_width

    def change(self, news: SweepChanged) -> None:
        for row in news.rows:
            self.rows[row.task] = row
        self.facts = news.facts

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
        path = directory / (STDERR if stream == "stderr" else STDOUT)
        return LogTarget(index, number, stream, path, _silent(row, number, stream))


def command_of(plan: Plan, sweep_id: str, project: str, row: TaskRow, task_dir: str) -> str:
    """The exact command of a task as one line; why there is none, if there is none. Takes a while for a big plan."""
    import os

    from ..engine.command import Renderer
    from ..engine.plan.problems import PlanError

    try:
        renderer = Renderer(plan, sweep_id=sweep_id, project_dir=project, base_env=os.environ)
        source = row.source or "local"
        return renderer.show(row.task, task_dir=task_dir, attempt=max(1, row.attempt), source=source)
    except PlanError as error:
        return f"({error})"


def _never(row: TaskRow) -> str:
    if row.state == "cancelled":
        return "Cancelled before it was started."
    return "Not started yet: it waits for a free slot."


def _silent(row: TaskRow, attempt: int, stream: Stream) -> str:
    """Why an attempt's log has nothing in it."""
    if attempt != row.attempt:
        return f"Attempt {attempt} left nothing on {stream}."
    if row.kind == "launch_failed":
        return f"It could not be launched: {fmt.clean(row.message) or 'no reason is known'}"
    if row.state == "pending":
        again = f", not before {fmt.clock(row.not_before)}" if row.not_before else ""
        return f"Attempt {attempt} left nothing on {stream}. It waits for its next try{again}."
    if row.state == "launching":
        return "Being launched; nothing written yet."
    if row.state in ("running", "cancelling"):
        return f"Nothing on {stream} yet."
    if row.state == "unknown":
        return f"Nobody can say whether it still runs; nothing of its {stream} is here."
    return f"It wrote nothing to {stream}."
