"""Durations as people write them: `30m`, `2h`, `4h30m`, `1d`, `90s`."""

from __future__ import annotations

import re

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
# Each unit at most once, the largest first: "30m2h" is more likely a slip than a wish.
_DURATION = re.compile(
    "".join(rf"(?:({_NUMBER}){unit}(?!s))?" if unit == "m" else rf"(?:({_NUMBER}){unit})?" for unit in _UNITS)
)

HOW_TO_WRITE = "write it like 30m, 2h, 4h30m, 1d or 90s"


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `4h30m`; units `d h m s ms`, largest first; `0` needs no unit.

    Raises ValueError with a message for the user, who is told how to write it.
    """
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f'"{text}" is not a duration; {HOW_TO_WRITE}')
    return sum(
        float(amount) * scale for amount, scale in zip(match.groups(), _UNITS.values(), strict=True) if amount
    )


def format_duration(seconds: float) -> str:
    """`seconds`, to a millisecond, as people write it and as `parse_duration` reads it back."""
    if seconds < 0:
        raise ValueError(f"a duration cannot be negative: {seconds}")
    left = round(seconds * 1000)
    parts: list[str] = []
    for unit, scale in _UNITS.items():
        amount, left = divmod(left, round(scale * 1000))
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"
