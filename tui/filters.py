"""The filter line: `state:failed lr>0.01 !source:local resnet`.

Words are joined by *and*. `key:text` looks into one field, `key<op>value` with `= != < <= > >=` compares, a
bare word looks everywhere; `!` before a word turns it round; quotes keep blanks together. Fields are `state
source name try time cost exit kind message id`, every other key is a parameter (`params.state` reaches a parameter
that has a field's name).
"""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from ..engine.ids import task_name
from ..engine.plan.durations import parse_duration
from ..engine.plan.model import PlannedTask, Value
from . import format as fmt
from .view import STATES, TaskRow

Keep = Callable[[TaskRow], bool]
Get = Callable[[TaskRow], Value]

FIELDS = ("state", "source", "name", "try", "time", "cost", "exit", "kind", "message", "id")
_ALIASES = {"attempt": "try", "elapsed": "time", "label": "name", "task": "id"}
_TERM = re.compile(r"([\w./-]+?)(<=|>=|!=|==|=|<|>|:)(.*)", re.DOTALL)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class FilterError(ValueError):
    """A filter that cannot be understood, in words for the line it was typed in."""


def parse_filter(text: str, tasks: Sequence[PlannedTask], keys: Sequence[str], now: float) -> Keep | None:
    """What `text` asks for as a test of one row; None if it asks for nothing. Raises `FilterError`.

    `keys`: the sweep's parameters, in which a bare `key` is looked for. `now` is for `time` of what still
    runs.
    """
    try:
        words = shlex.split(text, posix=True)
    except ValueError:
        raise FilterError("a quote is not closed") from None
    tests = [_word(word, tasks, keys, now) for word in words if word != "!"]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda row: all(test(row) for test in tests)


def _word(word: str, tasks: Sequence[PlannedTask], keys: Sequence[str], now: float) -> Keep:
    if word.startswith("!"):
        test = _word(word[1:], tasks, keys, now)
        return lambda row: not test(row)
    match = _TERM.fullmatch(word)
    if match is None:
        return _anywhere(word.lower(), tasks)
    key, sign, wanted = match[1], match[2], match[3]
    get = _getter(key, tasks, keys, now)
    if sign in _COMPARE:
        return _compare(get, _COMPARE[sign], _amount(key, wanted))
    if sign == ":":
        if _ALIASES.get(key, key) == "state":
            wanted = _state(wanted)
        low = wanted.lower()
        return lambda row: low in _text(get(row)).lower()
    if sign == "!=":
        return lambda row: not _equal(get(row), wanted)
    return lambda row: _equal(get(row), wanted)


def _state(wanted: str) -> str:
    low = wanted.lower()
    if low and not any(low in state for state in STATES):
        near = get_close_matches(low, STATES, 1)
        hint = f'; did you mean "{near[0]}"?' if near else f"; there are {', '.join(STATES)}"
        raise FilterError(f'no state is called "{wanted}"{hint}')
    return low


def _getter(key: str, tasks: Sequence[PlannedTask], keys: Sequence[str], now: float) -> Get:
    name = _ALIASES.get(key, key)
    fields: dict[str, Get] = {
        "state": lambda row: row.state,
        "source": lambda row: row.source,
        "name": lambda row: tasks[row.task].label,
        "try": lambda row: row.attempt,
        "time": lambda row: row.elapsed(now),
        "cost": lambda row: row.cost(now),
        "exit": lambda row: row.exit_code,
        "kind": lambda row: row.kind,
        "message": lambda row: row.message,
        "id": lambda row: row.task + 1,
    }
    if name in fields:
        return fields[name]
    param = key.removeprefix("params.") if key not in keys else key
    if param not in keys:
        near = get_close_matches(param, [*keys, *FIELDS], 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise FilterError(f'no field or parameter is called "{key}"{hint}')
    return lambda row: tasks[row.task].params.get(param)


def _amount(key: str, wanted: str) -> float:
    try:
        return float(wanted)
    except ValueError:
        pass
    try:
        return parse_duration(wanted)
    except ValueError:
        raise FilterError(f'{key}: "{wanted}" is not a number') from None


def _compare(get: Get, test: Callable[[float, float], bool], wanted: float) -> Keep:
    def keep(row: TaskRow) -> bool:
        item = get(row)
        return isinstance(item, (int, float)) and not isinstance(item, bool) and test(float(item), wanted)

    return keep


def _equal(item: Value, wanted: str) -> bool:
    if isinstance(item, (int, float)) and not isinstance(item, bool):
        try:
            return float(item) == float(wanted)
        except ValueError:
            return False
    return _text(item).lower() == wanted.lower()


def _text(item: Value) -> str:
    return "" if item is None else fmt.value(item)


def _anywhere(low: str, tasks: Sequence[PlannedTask]) -> Keep:
    """Tasks that hold the word anywhere. What the plan says never changes, so it is looked at once per task."""
    plan_hits: dict[int, bool] = {}

    def keep(row: TaskRow) -> bool:
        hit = plan_hits.get(row.task)
        if hit is None:
            task = tasks[row.task]
            hit = plan_hits[row.task] = (
                low in task_name(row.task)
                or low in task.label.lower()
                or any(low in key.lower() or low in _text(item).lower() for key, item in task.params.items())
            )
        return (
            hit
            or low in row.state
            or low in row.source.lower()
            or low in row.kind
            or low in row.message.lower()
        )

    return keep
