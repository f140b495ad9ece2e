"""Single values of a configuration: what is taken, as what, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from spawn_tui.engine.config import values
from spawn_tui.engine.config.values import Wrong


@pytest.mark.parametrize(
    ("reader", "given", "result"),
    [
        (values.walltime, "04:00:00", "04:00:00"),
        (values.walltime, "23:59:59", "23:59:59"),
        (values.walltime, "100:00:00", "100:00:00"),
        (values.walltime, "2-12:30:00", "60:30:00"),
        (values.walltime, "4h", "04:00:00"),
        (values.walltime, "4h30m", "04:30:00"),
        (values.walltime, "90s", "00:01:30"),
        (values.memory, "64gb", "64G"),
        (values.memory, "64G", "64G"),
        (values.memory, "64 GiB", "64G"),
        (values.memory, "512m", "512M"),
        (values.size, "2kb", 2048),
        (values.size, "3G", 3 << 30),
        (values.gpus, 2, "2"),
        (values.gpus, "a100:2", "a100:2"),
        (values.texts, ["a", 12, "b c"], ("a", "12", "b c")),
        (values.texts, "source env\n\n  make\n", ("source env", "  make")),
        (values.texts, [], ()),
        (values.fraction, 0.4, 0.4),
        (values.fraction, "40%", 0.4),
        (values.seconds, "5m", 300.0),
        (values.seconds, 30, 30.0),
        (values.seconds, 0, 0.0),
        (values.price, 0.35, "0.35"),
        (values.whole(1, 5), 5, 5),
        (values.text, 3.10, "3.1"),
    ],
)
def test_values_that_are_taken(reader: Callable[[object], object], given: object, result: object):
    assert reader(given) == result


@pytest.mark.parametrize(
    ("reader", "given"),
    [
        (values.walltime, 60),  # minutes to Slurm, seconds to PBS
        (values.walltime, "60"),
        (values.walltime, "1:30"),
        (values.walltime, "00:00:00"),
        (values.walltime, "0s"),
        (values.walltime, "04:61:00"),
        (values.walltime, "tomorrow"),
        (values.walltime, None),
        (values.memory, 64),
        (values.memory, "64"),
        (values.memory, "0G"),
        (values.memory, "lots"),
        (values.size, 100),
        (values.gpus, "two"),
        (values.gpus, True),
        (values.texts, {"a": 1}),
        (values.texts, [["a"]]),
        (values.texts, ["two\nlines"]),
        (values.fraction, 40),
        (values.fraction, 0),
        (values.seconds, -1),
        (values.seconds, "soon"),
        (values.seconds, True),
        (values.some_seconds, 0),
        (values.price, -1),
        (values.price, "cheap"),
        (values.whole(1, 5), 6),
        (values.whole(1, 5), 0),
        (values.whole(1), True),
        (values.whole(1), 1.5),
        (values.truth, "yes"),
        (values.text, True),
        (values.text, " "),
        (values.text, "a\nb"),
        (values.text, "a\0b"),
    ],
)
def test_values_that_are_refused(reader: Callable[[object], object], given: object):
    with pytest.raises(Wrong) as caught:
        reader(given)
    assert caught.value.message
