"""Which columns the task table has: those that tell most first, as many as fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from . import format as fmt

if TYPE_CHECKING:
    from ..engine.plan.model import PlannedTask, Value


class ParamColumn(NamedTuple):
    """A parameter that may become a column: its key, the width of its widest value (or name), whether it varies."""

    key: str
    width: int
    varies: bool
    numeric: bool = False
    full: int = 0
    """The width at which its name and all its values are seen whole."""


class Column(NamedTuple):
    """A column of the task table. `key` is also what it is sorted by."""

    key: str
    title: str
    width: int
    right: bool = False


MAX_PARAM = 18
MAX_FULL = 40
MIN_TITLE = 8
"""Cells a parameter's name may claim where its values are shorter."""
MAX_NAME = 28
_NARROW_NAME = 18
"""Cells of a name in a table of 78 that leave room for the source, the cost and the exit."""
MAX_SOURCE = 24
"""Cells of a source's name: all regions of AWS fit (`ec2-ap-southeast-2`)."""
MAX_STATE = 24
_LEAST_SOURCE = 11
"""Cells from which on a region that is cut in its middle can be told from others (`ec2-u…ast-1`)."""
_WIDE = 90
"""Cells of the table from which on it need not choose between what tells most."""
_GAP = 2


def param_columns(tasks: Sequence[PlannedTask]) -> tuple[ParamColumn, ...]:
    """The sweep's parameters, those that vary first, each group in the plan's order. O(tasks x parameters).

    One that only says each task's name again is left out.
    """
    first: dict[str, Value] = {}
    seen: dict[str, int] = {}
    widths: dict[str, int] = {}
    varies: set[str] = set()
    numeric: dict[str, bool] = {}
    names: dict[str, bool] = {}
    """Whether a parameter is but the task's name again."""
    for task in tasks:
        for key, item in task.params.items():
            if key not in first:
                first[key], seen[key], widths[key] = item, 0, min(len(key), MIN_TITLE)
                numeric[key] = True
            seen[key] += 1
            names[key] = names.get(key, True) and item == task.label
            if item is not first[key] and item != first[key]:
                varies.add(key)
            if widths[key] < MAX_FULL:
                widths[key] = max(widths[key], len(fmt.value(item)))
            if not isinstance(item, (int, float)) or isinstance(item, bool):
                numeric[key] = False
    columns = [
        ParamColumn(
            key,
            min(widths[key], MAX_PARAM),
            key in varies or seen[key] < len(tasks),
            numeric[key],
            min(max(widths[key], len(key)), MAX_FULL),
        )
        for key in first
        if not names[key]
    ]
    return tuple(sorted(columns, key=lambda column: not column.varies))


def choose_columns(
    width: int,
    total: int,
    label_width: int,
    source_width: int,
    params: Sequence[ParamColumn],
    state_width: int = 0,
    *,
    priced: bool = False,
    tries: bool = False,
    endings: int = 0,
) -> tuple[Column, ...]:
    """The columns that fit into `width` cells, most telling first; always the number and the state.

    `label_width`: of the widest name, 0 if no task has one. `source_width`: of the widest source's name.
    `state_width`: of the widest state with its reason, where there is room for that. `priced`: where a task runs is
    what it costs, and both are told before its parameters are. `tries`: whether a task has been tried again; where
    there are prices, the number of its try is not told sooner, but for wide tables. `endings`: cells in which all
    ways tasks have failed are spelled out, where there is room for that.
    """
    number = Column("#", "#", max(3, len(str(total))), right=True)
    state = Column("state", "state", 12 if width < _WIDE else max(12, min(state_width, MAX_STATE)))
    left = width - number.width - state.width - 2 * _GAP + 1  # behind the last column one cell is enough
    chosen = {"#": number, "state": state}

    def add(column: Column, *, leave: int = 0) -> bool:
        nonlocal left
        if column.width + _GAP + leave > left:
            return False
        left -= column.width + _GAP
        chosen[column.key] = column
        return True

    if label_width:
        most = min(width // 3, _NARROW_NAME) if priced and width < _WIDE else width // 3
        add(Column("name", "name", min(max(label_width, 4), MAX_NAME, max(8, most))))
    varying = [column for column in params if column.varies]
    add(Column("time", "time", 6, right=True))
    if priced:
        add(Column("cost", "cost", 8, right=True))
    add(Column("exit", "exit", 7), leave=6)
    # The first parameters that vary say more than where a task ran, unless there is room for both.
    wanted = 0 if priced else sum(column.width + _GAP for column in varying[:3])
    source = Column("source", "source", min(max(source_width, 6), MAX_SOURCE))
    if priced and source_width:
        add(source if source.width + _GAP <= left else source._replace(width=max(_LEAST_SOURCE, left - _GAP)))
    if tries or not priced or width >= _WIDE:
        add(Column("try", "try", 3, right=True), leave=min(wanted, max(0, left - 5)) if width < 60 else 0)
    if source_width and not priced:
        add(source, leave=min(wanted, 18) if width < _WIDE else 0)
    fitting: list[Column] = []
    for param in params:
        column = Column(f"param:{param.key}", param.key, param.width, right=param.numeric)
        if not add(column):
            break
        fitting.append(column)
    if "exit" in chosen and endings - chosen["exit"].width <= left:
        more = max(0, endings - chosen["exit"].width)
        left -= more
        chosen["exit"] = chosen["exit"]._replace(width=chosen["exit"].width + more)
    for place, column in enumerate(fitting):
        more = min(params[place].full - column.width, left)
        if more > 0:
            left -= more
            fitting[place] = column._replace(width=column.width + more)
    order = ["#", "name", "state", "source", "try", "time", "cost", "exit"]
    return (*(chosen[key] for key in order if key in chosen), *fitting)
