"""`launch --dry-run`: a sweep that is only looked at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...engine.command import Renderer
from ...engine.create import DEFAULT_OUTPUT, first_events
from ...engine.ids import task_name
from ...engine.plan import PlanError
from ...engine.plan.model import Plan, PlannedTask
from ...engine.plan.values import text_of
from ...engine.redact import redacted, shown_value
from ...engine.sources.registry import SourceSpec
from ...engine.sweep import Sweep
from .cloud import why_not
from .forecast import MOST, forecast, share_of
from .output import BAD_INPUT, COMPLETED, UserError, data, say
from .preview_instances import instance_columns
from .table import print_table


def dry_run_of(plan: Plan, specs: Sequence[SourceSpec], project: Path, strategy: str) -> int:
    """All tasks as a table, what their instances are, each source's share, and the exact command of the first.

    Returns the exit status: that of `launch` where it would refuse this.
    """
    labels = any(task.label for task in plan.tasks)
    keys = shown_keys(plan.tasks)
    reason = why_not(plan, specs)
    columns = [] if reason else instance_columns(plan, specs)
    differing = [column for column in columns if column.differs]
    header = ["task", *(["name"] if labels else []), *keys, *(column.name for column in differing)]
    rows = [
        [
            task_name(index), *([task.label] if labels else []), *shown_params(task, keys),
            *(column.cells[index] for column in differing),
        ]
        for index, task in enumerate(plan.tasks)
    ]  # fmt: skip
    print_table(header, rows)
    same = ", ".join(f"{column.name} {column.cells[0]}" for column in columns if not column.differs)
    if same:
        say(f"\nEach instance: {same}")
    if reason:
        say(f"\nThis sweep could not be launched here: {reason}")
    where = ", ".join(f"{spec.name} ({spec.slots} at a time)" for spec in specs)
    tasks = "1 task" if len(plan.tasks) == 1 else f"{len(plan.tasks)} tasks"
    say(f"\n{tasks} on {where}; nothing was launched.")
    if len(specs) > 1:
        first = forecast(Sweep(), first_events(plan, specs, "dry-run", project, strategy))
        of = f" of the first {MOST} tasks" if len(plan.tasks) > MOST else ""
        say(f"Share by {strategy}{of}, if all take equally long: {share_of(first)}")
    if plan.command is None and not reason:
        say("Each runs its `user_data` on an instance of its own.")
        return COMPLETED
    say("The first would run:")
    try:
        renderer = Renderer(plan, sweep_id="SWEEP", project_dir=str(project), base_env=os.environ)
        directory = DEFAULT_OUTPUT / f"{plan.name}-YYYYMMDD-xxxxxx" / "attempts" / f"{task_name(0)}.1"
        data(redacted(renderer.show(0, task_dir=str(project / directory))))
    except PlanError as error:
        raise UserError(str(error)) from None
    return BAD_INPUT if reason else COMPLETED


def shown_keys(tasks: Sequence[PlannedTask]) -> list[str]:
    """The parameters of these tasks, each once; without the `name` that labels them and stands in its own column."""
    keys = dict.fromkeys(key for task in tasks for key in task.params)
    if "name" in keys and all(_names(task) for task in tasks):
        del keys["name"]
    return list(keys)


def shown_params(task: PlannedTask, keys: Sequence[str]) -> list[str]:
    """Its parameters as cells of a table, without secrets."""
    return [shown_value(key, task.params[key]) if key in task.params else "" for key in keys]


def _names(task: PlannedTask) -> bool:
    return "name" not in task.params or bool(
        task.label and task.label.startswith(text_of(task.params["name"]))
    )
