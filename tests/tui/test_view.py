from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine.plan.model import PlannedTask, Value
from spawn_tui.tui.columns import choose_columns, param_columns
from spawn_tui.tui.view import (
    SEGMENTS,
    Facts,
    Sort,
    TaskRow,
    arrange,
    shape_of,
    split_bar,
)  # fmt: skip

TASKS = [
    PlannedTask("b", {"lr": 0.1, "model": "resnet", "seed": 1}),
    PlannedTask("a", {"lr": 0.01, "model": "resnet", "seed": 1}),
    PlannedTask("", {"lr": "auto", "model": "resnet", "seed": 1}),
    PlannedTask("c", {"lr": 1, "model": "resnet", "seed": 1, "extra": None}),
]
ROWS = [
    TaskRow(0, "completed", "local", 1, 0, 0, 50, 0),
    TaskRow(1, "failed", "ssh:a", 2, 0, 10, 20, 1, None, "exit"),
    TaskRow(2),
    TaskRow(3, "running", "local", 1, 0, 90),
]


def order(column: str, *, reverse: bool = False) -> list[int]:
    return list(arrange(ROWS, TASKS, Sort(column, reverse), None, 100))


def test_without_filter_and_sort_nothing_is_stored():
    assert arrange(ROWS, TASKS, Sort(), None, 0) == range(4)
    assert list(arrange(ROWS, TASKS, Sort(reverse=True), None, 0)) == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("column", "expected", "backwards"),
    [
        ("name", [1, 0, 3, 2], [3, 0, 1, 2]),
        ("state", [1, 3, 2, 0], [0, 2, 3, 1]),
        ("time", [1, 3, 0, 2], [0, 1, 3, 2]),
        ("param:lr", [1, 0, 3, 2], [2, 3, 0, 1]),
        ("exit", [0, 1, 2, 3], [1, 0, 2, 3]),
        ("try", [2, 0, 3, 1], [1, 0, 3, 2]),
        ("source", [0, 3, 1, 2], [1, 0, 3, 2]),
    ],
)
def test_sorting_keeps_ties_in_order_and_what_is_missing_last(
    column: str, expected: list[int], backwards: list[int]
):
    assert order(column) == expected
    assert order(column, reverse=True) == backwards


def test_numbers_in_names_are_sorted_as_numbers():
    names = ["lr0.01-b180", "lr0.01-b32", "lr0.001-b64", "b", "lr0.01", "7b"]
    tasks = [PlannedTask(name, {}) for name in names]
    rows = [TaskRow(n) for n in range(len(names))]
    chosen = arrange(rows, tasks, Sort("name"), None, 0)
    assert [names[n] for n in chosen] == ["7b", "b", "lr0.001-b64", "lr0.01", "lr0.01-b32", "lr0.01-b180"]


def test_only_rows_that_match_are_sorted():
    assert list(arrange(ROWS, TASKS, Sort("name", True), lambda row: row.state != "failed", 0)) == [3, 0, 2]


def test_parameters_that_vary_come_first():
    columns = param_columns(TASKS)
    assert [column.key for column in columns] == ["lr", "extra", "model", "seed"]
    assert [column.varies for column in columns] == [True, True, False, False]
    assert not columns[0].numeric and columns[3].numeric


def test_a_parameter_that_is_the_name_again_is_no_column():
    tasks = [PlannedTask(name, {"lr": 1, "name": name}) for name in ("a", "b")]
    assert [column.key for column in param_columns(tasks)] == ["lr"]


@pytest.mark.parametrize("width", range(10, 260, 7))
def test_columns_fit_and_always_tell_the_state(width: int):
    columns = choose_columns(width, 24, 16, 9, param_columns(TASKS))
    keys = [column.key for column in columns]
    assert keys[0] == "#" and "state" in keys
    assert len(set(keys)) == len(keys)
    if width > 20:
        assert sum(column.width + 2 for column in columns) - 2 <= width
    if width > 100:
        assert {"name", "time", "exit", "try", "source", "param:lr"} <= set(keys)


def test_names_of_parameters_are_seen_whole_where_there_is_room():
    tasks = [PlannedTask("", {"weight_decay_of_the_head": n}) for n in (0, 1)]
    narrow, wide = (choose_columns(width, 2, 0, 5, param_columns(tasks))[-1] for width in (70, 140))
    assert narrow.width < wide.width == len("weight_decay_of_the_head")


counts = st.dictionaries(st.sampled_from(SEGMENTS), st.integers(0, 100_000))


@given(counts, st.integers(0, 200))
def test_a_bar_is_as_long_as_it_should_be(numbers: dict[str, int], width: int):
    cells = split_bar(numbers, sum(numbers.values()), width)
    assert sum(size for _, size in cells) == width
    assert all(size >= 0 for _, size in cells)


def test_one_failure_among_many_is_seen():
    assert dict(split_bar({"completed": 9_999, "failed": 1}, 10_000, 40)) == {"completed": 39, "failed": 1}


def facts(**changes: object) -> Facts:
    base: dict[str, object] = {
        "id": "s", "name": "s", "status": "running", "total": 10, "created_at": 0.0, "due_at": 130.0,
        "counts": {"completed": 4, "running": 2, "pending": 4}, "recent_ends": (60.0, 80.0, 100.0),
    }  # fmt: skip
    return Facts(**{**base, **changes})  # type: ignore[arg-type]


def test_eta_counts_down_and_never_below_nothing():
    assert facts().eta(100) == 30
    assert facts().eta(200) == 0
    assert facts(due_at=None).eta(100) is None
    assert facts(status="paused").eta(100) is None


def test_throughput_sinks_while_nothing_ends():
    assert facts().throughput(100) == pytest.approx(0.05)
    assert facts().throughput(160) == pytest.approx(0.02)
    assert facts(recent_ends=(5.0,)).throughput(100) is None
    assert facts(status="completed").throughput(100) is None
    assert facts(status="interrupted").throughput(100) is None


def test_the_clock_of_an_unknown_task_stands_still():
    row = TaskRow(0, "unknown", "local", 1, 0, 10.0, known_at=25.0)
    assert row.elapsed(1000) == 15


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((20, 5), "tiny"),
        ((80, 24), "narrow"),
        ((120, 36), "wide"),
        ((200, 50), "huge"),
        ((120, 20), "narrow"),
    ],
)
def test_shapes(size: tuple[int, int], shape: str):
    assert shape_of(*size) == shape


def test_values_of_any_type_can_be_sorted():
    mixed: list[Value] = [None, True, 3, 2.5, "x", [1], {"a": 1}, float("nan"), ""]
    tasks = [PlannedTask("", {"p": item}) for item in mixed]
    rows = [TaskRow(n) for n in range(len(mixed))]
    assert sorted(arrange(rows, tasks, Sort("param:p"), None, 0)) == list(range(len(mixed)))
