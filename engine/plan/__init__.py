"""From a parameter file to a `Plan`."""

from __future__ import annotations

from .durations import format_duration, parse_duration
from .model import ArgsStyle, Dialect, Plan, PlannedTask, Retries, RetryKind, Value
from .problems import PlanError, Problem
from .read import count_tasks, plan_from_text, read_plan
from .runnable import asks_for_ec2, why_not_runnable
from .settings import Overrides
from .store import plan_from_json, plan_to_json, task_from_json, task_to_json

__all__ = [
    "ArgsStyle",
    "Dialect",
    "Overrides",
    "Plan",
    "PlanError",
    "PlannedTask",
    "Problem",
    "Retries",
    "RetryKind",
    "Value",
    "asks_for_ec2",
    "count_tasks",
    "format_duration",
    "parse_duration",
    "plan_from_json",
    "plan_from_text",
    "plan_to_json",
    "read_plan",
    "task_from_json",
    "task_to_json",
    "why_not_runnable",
]
