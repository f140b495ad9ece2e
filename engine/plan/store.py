"""A plan as JSON and back, without loss: it is stored once in the sweep's directory and never read from the
file again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from .bulk import without_collector
from .model import ArgsStyle, Dialect, Plan, PlannedTask, Retries, RetryKind, Value
from .spelled import respelled, spelling_of

FORMAT = 1
"""Version of the form; it is raised when an older program could misread it."""

_NOTHING: dict[str, Value] = {}
_NO_ENV: dict[str, str] = {}


def task_to_json(task: PlannedTask) -> dict[str, Value]:
    """One task; what is empty is left out."""
    made: dict[str, Value] = {"params": cast("dict[str, Value]", task.params)}
    if spelling := spelling_of(task.params):
        made["spelling"] = spelling
    if task.label:
        made["label"] = task.label
    if task.launch:
        made["launch"] = cast("dict[str, Value]", task.launch)
    if task.overrides:
        made["overrides"] = list(task.overrides)
    if task.env:
        made["env"] = dict(task.env)
    if task.metadata:
        made["metadata"] = cast("dict[str, Value]", task.metadata)
    return made


def task_from_json(made: Mapping[str, Value]) -> PlannedTask:
    """The task that `task_to_json` was given."""
    params = cast("dict[str, Value]", made["params"])
    if "spelling" in made:
        params = respelled(params, cast("dict[str, str]", made["spelling"]))
    return PlannedTask(
        cast(str, made.get("label", "")),
        params,
        cast("dict[str, Value]", made.get("launch", _NOTHING)),
        tuple(cast("list[str]", made["overrides"])) if "overrides" in made else (),
        cast("dict[str, str]", made.get("env", _NO_ENV)),
        cast("dict[str, Value]", made.get("metadata", _NOTHING)),
    )


def plan_to_json(plan: Plan) -> dict[str, Value]:
    """The whole plan, its tasks included, as JSON's types. Values are shared with the plan, not copied."""
    command = plan.command
    return {
        "format": FORMAT,
        "dialect": plan.dialect,
        "name": plan.name,
        "command": list(command) if isinstance(command, tuple) else command,
        "args": plan.args,
        "env": dict(plan.env),
        "workdir": plan.workdir,
        "sources": list(plan.sources),
        "retries": {"max": plan.retries.max, "backoff": plan.retries.backoff, "on": list(plan.retries.on)},
        "timeout": plan.timeout,
        "max_concurrent": plan.max_concurrent,
        "launch_delay": plan.launch_delay,
        "metadata": cast("dict[str, Value]", plan.metadata),
        "warnings": list(plan.warnings),
        "tasks": [task_to_json(task) for task in plan.tasks],
    }


def plan_from_json(made: Mapping[str, Value]) -> Plan:
    """The plan that `plan_to_json` was given. Raises ValueError if a newer program wrote it."""
    if made.get("format") != FORMAT:
        raise ValueError(
            f"a plan of format {made.get('format')} cannot be read by this version, which knows {FORMAT}"
        )
    with without_collector():
        tasks = tuple(
            task_from_json(cast("dict[str, Value]", task)) for task in cast("list[Value]", made["tasks"])
        )
    command = made["command"]
    retries = cast("dict[str, Value]", made["retries"])
    return Plan(
        dialect=cast(Dialect, made["dialect"]),
        name=cast(str, made["name"]),
        tasks=tasks,
        command=tuple(cast("list[str]", command))
        if isinstance(command, list)
        else cast("str | None", command),
        args=cast(ArgsStyle, made["args"]),
        env=cast("dict[str, str]", made["env"]),
        workdir=cast("str | None", made["workdir"]),
        sources=tuple(cast("list[str]", made["sources"])),
        retries=Retries(
            cast(int, retries["max"]),
            cast(float, retries["backoff"]),
            tuple(cast("list[RetryKind]", retries["on"])),
        ),
        timeout=cast("float | None", made["timeout"]),
        max_concurrent=cast("int | None", made["max_concurrent"]),
        launch_delay=cast(float, made["launch_delay"]),
        metadata=cast("dict[str, Value]", made["metadata"]),
        warnings=tuple(cast("list[str]", made["warnings"])),
    )
