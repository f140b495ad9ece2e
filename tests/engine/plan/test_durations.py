"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine.plan import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800), ("2h", 7200), ("4h30m", 16200), ("1d", 86400), ("90s", 90), ("1d2h3m4s", 93784),
        ("500ms", 0.5), ("1s500ms", 1.5), ("1.5h", 5400), ("0s", 0), ("0", 0), ("48h", 172800),
    ],
)  # fmt: skip
def test_right_durations(text: str, seconds: float):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2 hours",
        "90",
        "1.5",
        "-5m",
        "30m2h",
        "2h2h",
        "h",
        "2H",
        "2h ",
        " 2h",
        "1w",
        "1h-30m",
        "1e3s",
        "٣h",
        "2h\n",
    ],
)
def test_wrong_durations_say_how_to_write_one(text: str):
    with pytest.raises(ValueError, match="is not a duration; write it like 30m, 2h, 4h30m, 1d or 90s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "1m30s"), (16200, "4h30m"), (86400, "1d"), (0.5, "500ms"), (61.25, "1m1s250ms")],
)
def test_durations_are_written_short(seconds: float, text: str):
    assert format_duration(seconds) == text


def test_no_negative_durations():
    with pytest.raises(ValueError, match="negative"):
        format_duration(-1)


@given(st.integers(0, 10**10))
def test_what_is_written_is_read_back(milliseconds: int):
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds
