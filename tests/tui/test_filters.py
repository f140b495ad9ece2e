from __future__ import annotations

import pytest
from spawn_tui.engine.plan.model import PlannedTask
from spawn_tui.tui.filters import FilterError, parse_filter
from spawn_tui.tui.view import TaskRow

TASKS = [
    PlannedTask("small", {"lr": 0.001, "opt": "adam", "note": "two words", "state": "warm"}),
    PlannedTask("large", {"lr": 0.1, "opt": "sgd", "flag": True}),
    PlannedTask("", {"lr": 1, "opt": "SGD"}),
    PlannedTask("odd", {"opt": None}),
]
ROWS = [
    TaskRow(0, "completed", "local", 1, 0, 0, 90, 0),
    TaskRow(1, "failed", "ssh:gpu1", 2, 0, 0, 30, 1, None, "exit", "loss is NaN"),
    TaskRow(2, "running", "local", 1, 0, 50),
    TaskRow(3),
]
KEYS = ["lr", "opt", "note", "flag", "state"]


def matching(text: str) -> list[int]:
    keep = parse_filter(text, TASKS, KEYS, 100)
    return [row.task for row in ROWS if keep is None or keep(row)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [0, 1, 2, 3]), ("!", [0, 1, 2, 3]),
        ("state:failed", [1]), ("state:Fail", [1]), ("!state:failed", [0, 2, 3]),
        ("lr>0.01", [1, 2]), ("lr>=0.1 lr<1", [1]), ("lr=1e-3", [0]), ("lr!=1", [0, 1, 3]),
        ("opt:sgd", [1, 2]), ("opt=adam", [0]), ("source:gpu", [1]), ("try>1", [1]), ("exit=1", [1]),
        ("time>1m", [0]), ("time<=50", [1, 2]), ("kind:exit", [1]), ("message:nan", [1]), ("id<3", [0, 1]),
        ("nan", [1]), ("two words", [0]), ('"two words"', [0]), ("task_003", [2]), ("LARGE", [1]),
        ("state:failed lr>0.5", []), ("!sgd !state:pending", [0]),
        ("params.state:warm", [0]), ("flag=true", [1]), ("label:odd", [3]),
    ],
)  # fmt: skip
def test_filters(text: str, expected: list[int]):
    assert matching(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("state:faild", 'did you mean "failed"'),
        ("sourc:x", 'did you mean "source"'),
        ("lrr>1", 'did you mean "lr"'),
        ("lr>abc", '"abc" is not a number'),
        ('"open', "a quote is not closed"),
        ("zzzz=1", 'called "zzzz"'),
    ],
)
def test_mistakes_are_told_in_words(text: str, words: str):
    with pytest.raises(FilterError, match=words.replace("(", r"\(")):
        matching(text)
