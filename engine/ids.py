"""The names of sweeps and tasks, and the task numbers a person types."""

from __future__ import annotations

import re
from datetime import datetime

_RANGE = re.compile(r"([0-9]+)(?:\s*-\s*([0-9]+))?")
_TASK_PREFIX = re.compile(r"task_(?=[0-9])")


def task_name(index: int) -> str:
    """The id of the task at `index` (from 0): `task_001` is the first, as in HSM's directories."""
    return f"task_{index + 1:03d}"


def task_index(name: str) -> int:
    """The index (from 0) of the task called `name`. Raises ValueError if it is no task's id."""
    number = name.removeprefix("task_")
    if number == name or not number.isdigit() or int(number) < 1:
        raise ValueError(f"{name!r} is not a task's id, like task_001")
    return int(number) - 1


def sweep_id(name: str, now: datetime, hex6: str) -> str:
    """`<name>-YYYYMMDD-<6 hex>`, with the day of `now` in its own time zone."""
    if not re.fullmatch(r"[0-9a-f]{6}", hex6):
        raise ValueError(f"{hex6!r} is not six hexadecimal digits")
    return f"{name}-{now:%Y%m%d}-{hex6}"


def parse_task_numbers(text: str, total: int) -> list[int]:
    """The indices (from 0, ascending, each once) of the task numbers (from 1) in `text`, as in `1,5,10-20`.

    `task_005` is understood as 5. Raises ValueError, with a message for the user, if a part is not a number
    or a range, or lies outside of 1 to `total`.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        word = part.strip()
        match = _RANGE.fullmatch(_TASK_PREFIX.sub("", word))
        if match is None:
            raise ValueError(f'"{word}" is not a task number; write them like 1,5,10-20')
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise ValueError(f'"{word}" runs backwards; write {last}-{first}')
        if first < 1 or last > total:
            tasks = "1 task" if total == 1 else f"tasks 1 to {total}"
            raise ValueError(f'"{word}" is outside of this sweep, which has {tasks}')
        chosen.update(range(first - 1, last))
    return sorted(chosen)
