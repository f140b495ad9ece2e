"""Single values of a configuration file: each reader returns what the file says, typed, or raises `Wrong`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from ..plan.durations import HOW_TO_WRITE, parse_duration
from ..plan.model import Value
from ..plan.problems import kind_of
from ..plan.values import text_flaw, text_of

T = TypeVar("T")
Read = Callable[[Value], T]

_CLOCK = re.compile(r"(?:([0-9]{1,4})-)?([0-9]{1,5}):([0-5]?[0-9]):([0-5]?[0-9])")
_MEMORY = re.compile(r"([1-9][0-9]*)\s*([kmgt])i?b?", re.IGNORECASE)


class Wrong(ValueError):
    """A value that cannot be used: what is wrong with it, and what would be right."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def text(value: Value) -> str:
    """One line of text; a number counts as the text it is written as."""
    if value is None or isinstance(value, bool | list | dict):
        raise Wrong(f"must be text, not {kind_of(value)}", "put it in quotes" if value is not None else "")
    word = text_of(value)
    if not word.strip():
        raise Wrong("is empty", "leave it out, or write what it shall be")
    flaw = text_flaw(word)
    if flaw is not None:
        raise Wrong(*flaw)
    if "\n" in word or "\r" in word:
        raise Wrong("has several lines", "write it in one line")
    return word


def texts(value: Value) -> tuple[str, ...]:
    """A list of lines; a text alone is a list of its lines that are not empty."""
    if isinstance(value, str):
        return tuple(text(line) for line in value.splitlines() if line.strip())
    if not isinstance(value, list):
        raise Wrong(f"must be a list of texts, not {kind_of(value)}", "write [one, two]")
    return tuple(text(item) for item in value)


def whole(least: int, most: int | None = None) -> Read[int]:
    """A whole number from `least` to `most`."""
    span = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(value: Value) -> int:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not good or (most is not None and value > most):  # type: ignore[operator]
            raise Wrong(f"must be a whole number {span}")
        return value  # type: ignore[return-value]

    return read


def truth(value: Value) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"must be true or false, not {kind_of(value)}", "write true or false")
    return value


def fraction(value: Value) -> float:
    """A share between 0 and 1; `40%` is 0.4."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?%", value):
        value = float(value[:-1]) / 100
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise Wrong("must be a share above 0 and up to 1", "write 0.4 or 40%")
    return float(value)


def seconds(value: Value) -> float:
    """A duration in seconds; a bare number is in seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError:
            pass
    raise Wrong("is not a duration", HOW_TO_WRITE)


def some_seconds(value: Value) -> float:
    """A duration above zero, in seconds."""
    result = seconds(value)
    if not result:
        raise Wrong("leaves no time", HOW_TO_WRITE)
    return result


def price(value: Value) -> str:
    """USD per hour, as it was written."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise Wrong("is not a price in USD per hour", "write it like 0.35")
    return text_of(value)


def walltime(value: Value) -> str:
    """The longest time of a job as `HH:MM:SS`, which Slurm and PBS read alike; hours may be more than 24.

    A bare number is refused: it means minutes to Slurm (sbatch(1), `--time`) and seconds to PBS (pbs_resources(7B)).
    So is `1:30`, minutes and seconds to Slurm though it looks like hours and minutes.
    """
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        days, hours, minutes, rest = (int(part or 0) for part in match.groups())
        total = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    elif isinstance(value, str) and not value.isdigit():
        try:
            total = round(parse_duration(value))
        except ValueError:
            raise Wrong("is not a walltime", "write it like 04:00:00, 2-12:00:00 or 4h30m") from None
    else:
        raise Wrong("has no unit", "write it like 04:00:00, 2-12:00:00 or 4h30m")
    if total <= 0:
        raise Wrong("leaves no time to run", "write it like 04:00:00")
    return f"{total // 3600:02d}:{total // 60 % 60:02d}:{total % 60:02d}"


def memory(value: Value) -> str:
    """Memory as a whole number and one of K, M, G, T (`64gb`, `64G` and `64 GiB` are all `64G`).

    A bare number is refused: it means megabytes to Slurm and bytes to PBS.
    """
    match = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Wrong("is not an amount with its unit", "write it like 16G or 512M")
    return match[1] + match[2].upper()


def size(value: Value) -> int:
    """Bytes, of an amount such as `100M` (units of 1024)."""
    amount = memory(value)
    return int(amount[:-1]) << {"K": 10, "M": 20, "G": 30, "T": 40}[amount[-1]]


def gpus(value: Value) -> str:
    """How many GPUs, with or without their type: `2`, `a100:2`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]+:[1-9][0-9]*", value):
        return value
    raise Wrong("is not a number of GPUs", "write 2 or a100:2")
