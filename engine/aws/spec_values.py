"""Single values of launch fields, typed; from a sweep's file (JSON values) or from options and environment (texts)."""

from __future__ import annotations

import re

from ..plan.durations import HOW_TO_WRITE, parse_duration
from ..plan.model import Value
from ..plan.problems import kind_of, shown
from ..plan.values import text_of

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|\.[0-9]+", re.IGNORECASE)
_SEPARATOR = re.compile(r"[,\n]")
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


class SpecError(ValueError):
    """A launch field that cannot be used: `str` names field and value, says what is wrong and what would be right."""

    def __init__(self, field: str, value: Value, message: str, remedy: str = "") -> None:
        quoted = "" if value is None else f" {shown(value)}"
        super().__init__(f"{field}:{quoted} {message}" + (f"; {remedy}" if remedy else ""))
        self.field, self.value, self.message, self.remedy = field, value, message, remedy


def text(field: str, value: Value) -> str:
    """Text without the blanks around it; None is no text."""
    if value is None:
        return ""
    if isinstance(value, bool | list | dict):
        raise SpecError(field, value, f"must be text, not {kind_of(value)}")
    return text_of(value).strip()


def texts(field: str, value: Value) -> tuple[str, ...]:
    """A list, or one text with commas or line breaks between its items; each item once."""
    items = [text(field, item) for item in value] if isinstance(value, list) else [text(field, value)]
    parts = [part.strip() for item in items for part in _SEPARATOR.split(item)]
    return tuple(dict.fromkeys(part for part in parts if part))


def truth(field: str, value: Value) -> bool:
    """True or false, also as `true`, `yes`, `false`, `no`; None is false."""
    if isinstance(value, str):
        value = _TRUTHS.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise SpecError(field, value, "must be true or false", "write true or false")


def duration(field: str, value: Value) -> float | None:
    """Seconds; a bare number is in seconds. None, and `0` as well: without such a limit."""
    if isinstance(value, str):
        word = value.strip()
        try:
            value = float(word) if _NUMBER.fullmatch(word) else parse_duration(word)
        except ValueError:
            raise SpecError(field, value, "is not a duration", HOW_TO_WRITE) from None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise SpecError(field, value, "is not a duration", HOW_TO_WRITE)
    return float(value) or None


def price(field: str, value: Value) -> float | None:
    """USD per hour, as a number or as text (`"0.10"`)."""
    number = value
    if isinstance(number, str) and _NUMBER.fullmatch(number.strip().removeprefix("$")):
        number = float(number.strip().removeprefix("$"))
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < 1e6:
        raise SpecError(field, value, "is not a price in USD per hour", "write it like 0.10")
    return float(number)


def whole(field: str, value: Value) -> int:
    """A whole number of at least 1, also as text; None is 0."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(field, value, "must be a whole number of at least 1")
    return value


def pairs(field: str, value: Value) -> tuple[tuple[str, str], ...]:
    """A mapping, or lines `name=value`."""
    if isinstance(value, str):
        lines = [line.partition("=") for line in value.splitlines() if line.strip()]
        wrong = next((line for line, sign, _ in lines if not (sign and line.strip())), None)
        if wrong is not None:
            raise SpecError(field, wrong, "is not name=value", "write project=ml")
        return tuple((name.strip(), rest.strip()) for name, _, rest in lines)
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise SpecError(field, value, "must be a mapping of names to texts", "write {project: ml}")
    return tuple(
        (name, "" if item is None else text(f"{field}.{name}", item)) for name, item in value.items()
    )
