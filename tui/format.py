"""How values are written on the screen: durations, counts, parameters, and text from outside made harmless."""

from __future__ import annotations

import json
import re
from datetime import datetime
from signal import Signals
from typing import TYPE_CHECKING

from ..engine.ids import task_name

if TYPE_CHECKING:
    from ..engine.plan.model import Value

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links, the clipboard
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours and cursor moves
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def clean(text: str) -> str:
    """One line of text that cannot move the cursor, ring, colour or reorder the screen."""
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPES.sub("", text).expandtabs(8)
    return _CONTROLS.sub(lambda match: "⏎" if match[0] == "\n" else "�", text)


def log_line(raw: str) -> str:
    """A line of a log as a terminal would have left it: of a progress bar that rewinds with `\\r`, its last state."""
    line = raw.rstrip("\r")
    return clean(line.rsplit("\r", 1)[-1])


def duration(seconds: float | None) -> str:
    """Two units at most: `0.4s`, `12s`, `4m12s`, `1h05m`, `2d03h`; empty for None. What is negative counts as zero."""
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = whole // 60
    if minutes < 24 * 60:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    hours = minutes // 60
    return f"{hours // 24}d{hours % 24:02d}h"


def rough(seconds: float | None) -> str:
    """A guess deserves no second unit below the hour: `~40s`, `~3m`, `~1h05m`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"~{max(1, round(seconds))}s"
    if seconds < 3600:
        return f"~{round(seconds / 60)}m"
    return f"~{duration(seconds)}"


def ago(seconds: float) -> str:
    """`4m ago`, in one unit."""
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return f"{int(seconds)}s ago"


def task_hours(seconds: float) -> str:
    """Work done, as a person weighs it: `0.4 task-hours`, or task-minutes where hours would round to nothing."""
    if seconds >= 180:
        return f"{seconds / 3600:,.1f} task-hours"
    if seconds >= 60:
        return f"{seconds / 60:.1f} task-minutes"
    return f"{seconds:.0f} task-seconds"


def rate(per_second: float | None) -> str:
    """Tasks per time, in the unit that gives a readable number: `3.2/s`, `14/min`, `0.8/h`; empty for None."""
    if per_second is None or per_second <= 0:
        return ""
    for scale, unit in ((1.0, "s"), (60.0, "min"), (3600.0, "h")):
        amount = per_second * scale
        if amount >= 1 or unit == "h":
            return f"{amount:,.0f}/{unit}" if amount >= 10 else f"{amount:.1f}/{unit}"
    return ""


def task_id(index: int) -> str:
    """`task_001` for the task at index 0."""
    return task_name(index)


def count(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


def plural(number: int, word: str) -> str:
    """`1 task`, `3 tasks`."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def clock(at: float | None) -> str:
    """The local time of day, with the date if it is not today's (by the caller's `at`); empty for None."""
    return "" if at is None else f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"


def since(at: float | None, now: float) -> str:
    """The local time of day to the minute, with the date where it is not of the last half day; empty for None."""
    if at is None:
        return ""
    form = "%H:%M" if abs(now - at) < 12 * 3600 else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(at).astimezone().strftime(form)


def moment(at: float | None) -> str:
    """Local date and time to the minute; empty for None."""
    return "" if at is None else f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M}"


def size(number: int) -> str:
    """`512 B`, `1.4 KB`, `23 MB` (powers of 1024)."""
    amount = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024 or unit == "GB":
            return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError


def value(item: Value) -> str:
    """A parameter as the plan's file would spell it: text bare, the rest as JSON; on one line, harmless."""
    if isinstance(item, str):
        return clean(item)
    if isinstance(item, bool) or item is None:
        return json.dumps(item)
    if isinstance(item, float):
        return number(item)
    if isinstance(item, int):
        return str(item)
    return clean(json.dumps(item, ensure_ascii=False))


def number(item: float) -> str:
    """The shortest spelling that reads back the same: `0.001`, `1e-05` becomes `1e-5`."""
    mantissa, mark, exponent = repr(item).partition("e")
    if not mark:
        return mantissa
    sign = "-" if exponent.startswith("-") else ""
    return f"{mantissa}e{sign}{exponent.lstrip('+-').lstrip('0')}"


_KINDS = {
    "launch_failed": "launch failed",
    "timeout": "timeout",
    "out_of_memory": "out of memory",
    "spot_interrupted": "spot interrupted",
    "source_lost": "source lost",
    "terminated": "ended by somebody else",
}


def ending(kind: str, exit_code: int | None, signal: int | None) -> str:
    """How an attempt failed, in two or three words: `exit 1`, `signal 9 KILL`, `out of memory`."""
    if kind == "exit" or (not kind and exit_code is not None):
        return f"exit {exit_code}" if exit_code is not None else "exit ?"
    if kind == "signal":
        return f"signal {signal} {signal_name(signal)}".rstrip() if signal is not None else "signal"
    return _KINDS.get(kind, kind)


def short_ending(kind: str, exit_code: int | None, signal: int | None, width: int = 7) -> str:
    """The same for a column of `width` (7 or more) cells: `1`, `KILL`, `timeout`; `oom` where the words do not fit."""
    short = {"launch_failed": "launch", "out_of_memory": "oom", "spot_interrupted": "spot", "source_lost": "lost",
             "terminated": "ended"}  # fmt: skip
    if kind == "signal" and signal is not None:
        return signal_name(signal)[:7] or str(signal)
    if kind in _KINDS:
        return _KINDS[kind] if len(_KINDS[kind]) <= width else short.get(kind, _KINDS[kind])
    return "" if exit_code is None else str(exit_code)


def signal_name(number: int | None) -> str:
    """`KILL` for 9; empty for a number this system has no name for."""
    try:
        return Signals(number or 0).name.removeprefix("SIG")
    except ValueError:
        return ""


def task_numbers(indices: list[int]) -> str:
    """Indices (from 0) as the command line takes them, from 1, runs joined: `1,5,10-20`."""
    parts: list[str] = []
    ordered = sorted(indices)
    start = 0
    for place in range(1, len(ordered) + 1):
        if place == len(ordered) or ordered[place] != ordered[place - 1] + 1:
            first, last = ordered[start] + 1, ordered[place - 1] + 1
            parts.append(str(first) if first == last else f"{first}-{last}")
            start = place
    return ",".join(parts)
