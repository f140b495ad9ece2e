"""Names of sweeps and tasks, and task numbers as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from spawn_tui.engine.ids import parse_task_numbers, sweep_id, task_name


def test_tasks_are_counted_from_one_with_three_digits_at_least():
    assert [task_name(0), task_name(98), task_name(998), task_name(99_999)] == [
        "task_001", "task_099", "task_999", "task_100000",
    ]  # fmt: skip


def test_a_sweeps_id_is_its_name_the_day_and_six_digits():
    assert sweep_id("sweep", datetime(2026, 1, 16, 23, 59, tzinfo=UTC), "abc123") == "sweep-20260116-abc123"


@pytest.mark.parametrize("digits", ["abc12", "abc1234", "ABC123", "xyz123", ""])
def test_a_sweeps_id_wants_six_hexadecimal_digits(digits: str):
    with pytest.raises(ValueError, match="six hexadecimal"):
        sweep_id("sweep", datetime(2026, 1, 16, tzinfo=UTC), digits)


@pytest.mark.parametrize(
    ("text", "indices"),
    [("1", [0]), ("1,5,10-12", [0, 4, 9, 10, 11]), (" 3 , 2 - 3,3", [1, 2])],
)
def test_task_numbers(text: str, indices: list[int]):
    assert parse_task_numbers(text, 20) == indices


def test_a_tasks_id_is_understood_as_its_number():
    assert parse_task_numbers("task_007, 9", 20) == [6, 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a task number"),
        ("1,,2", "not a task number"),
        ("a", '"a" is not a task number; write them like 1,5,10-20'),
        ("-3", "not a task number"),
        ("5-2", "runs backwards; write 2-5"),
        ("0", "tasks 1 to 20"),
        ("21", '"21" is outside of this sweep, which has tasks 1 to 20'),
        ("15-99999999999", "tasks 1 to 20"),
    ],
)
def test_wrong_task_numbers_are_named(text: str, message: str):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        parse_task_numbers(text, 20)
