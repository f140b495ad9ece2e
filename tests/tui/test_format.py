from __future__ import annotations

import pytest
from spawn_tui.tui import format as fmt


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""), (-3, "0.0s"), (0.4, "0.4s"), (9.96, "10s"), (59.4, "59s"), (252, "4m12s"), (3599.7, "1h00m"),
        (3900, "1h05m"), (86399, "23h59m"), (2 * 86400 + 3 * 3600, "2d03h"),
    ],
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds: float | None, text: str):
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0, "~1s"), (34.2, "~34s"), (200, "~3m"), (3900, "~1h05m")]
)
def test_a_guess_is_written_as_a_guess(seconds: float | None, text: str):
    assert fmt.rough(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(None, ""), (0, ""), (3.24, "3.2/s"), (0.11, "6.6/min"), (1 / 3600, "1.0/h"), (250, "250/s")],
)
def test_rates_choose_a_readable_unit(per_second: float | None, text: str):
    assert fmt.rate(per_second) == text


def test_work_done_is_weighed_in_hours_unless_they_round_to_nothing():
    assert fmt.task_hours(41.2 * 3600) == "41.2 task-hours"
    assert fmt.task_hours(1440) == "0.4 task-hours"
    assert fmt.task_hours(90) == "1.5 task-minutes"
    assert fmt.task_hours(12) == "12 task-seconds"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (1e-5, "1e-5"), (0.001, "0.001"), (1e22, "1e22"), (1.0, "1.0"), (10, "10"), (True, "true"), (None, "null"),
        ("x", "x"), ([1, "a"], '[1, "a"]'), ({"a": 1}, '{"a": 1}'),
    ],
)  # fmt: skip
def test_values_look_as_in_the_plan(item: object, text: str):
    assert fmt.value(item) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;evil title\x07x", "x"),
        ("\x1b]52;c;ZXZpbA==\x1b\\x", "x"),
        ("\x1bP1$r\x1b\\x", "x"),
        ("a\x07b", "a�b"),
        ("a\tb", "a       b"),
        ("two\nlines", "two⏎lines"),
        ("\u202egnp.exe", "�gnp.exe"),
        ("größe 火", "größe 火"),
    ],
)
def test_text_from_outside_cannot_touch_the_terminal(raw: str, text: str):
    assert fmt.clean(raw) == text


def test_a_progress_bar_shows_its_last_state():
    assert fmt.log_line(" 10%|#\r 50%|#####\r100%|##########") == "100%|##########"
    assert fmt.log_line("windows line\r") == "windows line"
    assert fmt.log_line("40%\r") == "40%"


@pytest.mark.parametrize(
    ("kind", "code", "signal", "long", "short"),
    [
        ("exit", 1, None, "exit 1", "1"),
        ("signal", None, 9, "signal 9 KILL", "KILL"),
        ("signal", None, 250, "signal 250", "250"),
        ("out_of_memory", 137, None, "out of memory", "oom"),
        ("launch_failed", None, None, "launch failed", "launch"),
        ("", 0, None, "exit 0", "0"),
    ],
)
def test_endings(kind: str, code: int | None, signal: int | None, long: str, short: str):
    assert fmt.ending(kind, code, signal) == long
    assert fmt.short_ending(kind, code, signal) == short


def test_endings_are_spelled_out_where_there_is_room():
    assert fmt.short_ending("timeout", None, None) == "timeout"
    assert fmt.short_ending("launch_failed", None, None, 13) == "launch failed"
    assert fmt.short_ending("launch_failed", None, None, 12) == "launch"
    assert fmt.short_ending("exit", 1, None, 16) == "1"


def test_task_numbers_are_what_the_command_line_reads():
    from spawn_tui.engine.ids import parse_task_numbers

    chosen = [4, 0, 9, 10, 11, 30]
    assert fmt.task_numbers(chosen) == "1,5,10-12,31"
    assert parse_task_numbers(fmt.task_numbers(chosen), 40) == sorted(chosen)


def test_sizes_and_ages():
    assert [fmt.size(n) for n in (512, 1434, 24 << 20, 3 << 30)] == ["512 B", "1.4 KB", "24 MB", "3.0 GB"]
    assert [fmt.ago(n) for n in (-1, 59, 61, 7300, 200_000)] == [
        "0s ago",
        "59s ago",
        "1m ago",
        "2h ago",
        "2d ago",
    ]
