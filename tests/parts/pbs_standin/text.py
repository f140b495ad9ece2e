"""How PBS writes: cJSON's layout with tabs, values whose type is guessed from their text, dates without a zone."""

from __future__ import annotations

import json
import re
import time
from typing import TypeAlias

Value: TypeAlias = "str | int | float | bool | dict[str, Value]"

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z")


def guess(text: str) -> Value:
    """What a value of Variable_List or Resource_List becomes in JSON: whatever looks like a number is one."""
    if _NUMBER.match(text):
        number = float(text)
        return int(number) if number.is_integer() and abs(number) < 2**31 else number
    if text in ("true", "false"):
        return text == "true"
    return text


def mangle(text: str) -> str:
    """What is left of a value of `-v` with quotes in it: `{"a":[1,2]}` was recorded as `{\\a\\:[1,2]}`."""
    return text.replace('"', "\\")


def dump(value: Value, depth: int = 0) -> str:
    """cJSON_Print: every member on a line of its own, a tab between name and value."""
    if isinstance(value, dict):
        pad = "\t" * (depth + 1)
        body = ",\n".join(f"{pad}{json.dumps(key)}:\t{dump(item, depth + 1)}" for key, item in value.items())
        end = "\t" * depth + "}"
        return "{\n" + (body + "\n" if body else "") + end
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 10**15:
        return str(value)
    if isinstance(value, int | float):
        # cJSON's print_number: fifteen digits where they are enough, else seventeen.
        text = f"{value:.15g}"
        return text if float(text) == float(value) else f"{value:.17g}"
    return json.dumps(value, ensure_ascii=False)


def date(seconds: float) -> str:
    """ctime(3), local time: `Sun Nov 22 12:57:41 2026`."""
    return time.ctime(seconds)


def day(seconds: float) -> str:
    """As comments name a time: `Sun Nov 22 at 12:57`."""
    return time.strftime("%a %b %d at %H:%M", time.localtime(seconds))


def span(seconds: float) -> str:
    return f"{int(seconds) // 3600:02}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def parse_span(text: str) -> int | None:
    """`[[HH:]MM:]SS` in seconds; None if it is none."""
    parts = text.split(":")
    if len(parts) > 3 or not all(part.isdigit() for part in parts):
        return None
    total = 0
    for part in parts:
        total = total * 60 + int(part)
    return total


_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "": 1}


def parse_size(text: str) -> int | None:
    """`100mb` in bytes; None if it is no size."""
    found = re.fullmatch(r"([0-9]+)([kmgt]?b?)", text.lower())
    if found is None:
        return None
    unit = found[2] if found[2].endswith("b") or not found[2] else found[2] + "b"
    return int(found[1]) * _UNITS[unit]
