"""What tasks measured, merged with their parameters."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from spawn_tui.engine.collect.results import (
    LARGEST,
    Result,
    Results,
    as_csv,
    as_json,
    best_of,
    gather_results,
    metrics_of,
)

from ..tui.build import Made, make


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Three tasks that completed, one that failed, one that never ran."""
    cloud = ("cloud", "ec2", 4, (("region", "us-east-1"),), False, True)
    made = make(
        tmp_path / "made", [{"lr": n / 10, "name": f"t{n}"} for n in range(5)], labels=[f"t{n}" for n in range(5)],
        sources=(cloud, ("local", "local", 4)),
    )  # fmt: skip
    made.start([0, 1, 3], "cloud")
    made.start([2], "local")
    for task in (0, 1, 2):
        made.end(task)
    made.end(3, "failed", kind="exit", exit_code=1)
    return made


def wrote(made: Made, task: int, path: str, text: str, attempt: int = 1) -> None:
    file = made.store.layout.attempt(f"task_{task + 1:03}", attempt) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def results(made: Made, *tasks: int) -> Results:
    return gather_results(made.plan, made.store.sweep, made.store.layout.attempts, tasks or None)


def row(index: int = 0, /, **metrics: object) -> Result:
    return Result("s", index, f"t{index}", "local", "", "", {}, metrics)  # type: ignore[arg-type]


def test_each_completed_task_that_measured_something_is_a_row(made: Made):
    wrote(made, 0, "results.json", '{"loss": 0.5, "parameters": {"lr": 99, "seed": 3}}')
    wrote(made, 1, "stdout.log", "nothing measured")
    wrote(made, 2, "results/metrics.json", '{"acc": 0.9, "params": {"seed": 4}}')
    wrote(made, 3, "results.json", '{"loss": 0.1}')  # it failed: what it wrote is no result
    first, last = results(made).rows
    assert first.document() == {
        "sweep_id": made.id, "sweep_index": 0, "name": "t0", "source": "cloud", "instance_id": "4000:1:b:h",
        "region": "us-east-1", "parameters": {"lr": 0.0, "name": "t0", "seed": 3}, "metrics": {"loss": 0.5},
    }  # fmt: skip
    assert (last.index, last.instance, last.region) == (2, "", "")
    assert last.parameters["seed"] == 4 and last.metrics == {"acc": 0.9}
    assert [one.index for one in results(made, 2).rows] == [2]


def test_of_two_files_the_metrics_are_put_together_and_metrics_json_has_the_last_word(made: Made):
    wrote(made, 0, "results.json", '{"loss": 1, "epochs": 3}')
    wrote(made, 0, "metrics.json", '{"loss": 0.5}')
    assert results(made).rows[0].metrics == {"loss": 0.5, "epochs": 3}


def test_the_attempt_that_counts_is_read(made: Made):
    from spawn_tui.engine import events as ev

    wrote(made, 3, "results.json", '{"loss": 9}')
    made.commit(ev.RequestTaken("r1", "retry", (3,)))
    made.start([3], "local")
    made.end(3)
    wrote(made, 3, "results.json", '{"loss": 1}', attempt=2)
    (only,) = results(made).rows
    assert only.metrics == {"loss": 1} and only.source == "local"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[1, 2]", "no JSON object"),
        ('"x"', "no JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ("\udcff", "not text in UTF-8"),
    ],
    ids=["torn", "list", "text", "deep", "long", "latin"],
)
def test_what_cannot_be_used_is_told_and_spoils_no_other(made: Made, text: str, words: str):
    file = made.store.layout.attempt("task_001", 1) / "results.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(text.encode(errors="surrogateescape"))
    wrote(made, 1, "results.json", '{"loss": 2}')
    found = results(made)
    assert [one.index for one in found.rows] == [1]
    (problem,) = found.problems
    assert problem.startswith("task_001.1/results.json: ") and words in problem


def test_data_that_is_no_measurement_is_not_read(made: Made):
    file = made.store.layout.attempt("task_001", 1) / "results.json"
    file.parent.mkdir(parents=True)
    with file.open("wb") as opened:
        opened.truncate(LARGEST + 1)
    assert "too many" in results(made).problems[0]


def test_what_is_no_number_in_json_is_null(made: Made):
    wrote(made, 0, "results.json", '{"loss": NaN, "all": [Infinity, 1], "text": "\\ud800"}')
    rows = results(made).rows
    assert rows[0].metrics["loss"] is None and rows[0].metrics["all"] == [None, 1]
    assert json.loads(as_json(rows))[0]["metrics"] == {"loss": None, "all": [None, 1], "text": "\ud800"}
    assert as_csv(rows)


def test_the_best_are_those_with_a_number():
    rows = [
        row(0, loss=3),
        row(1, loss=1.5),
        row(2, loss="low"),
        row(3, loss=None),
        row(4, loss=True),
        row(5),
    ]
    rows.append(row(6, loss=3))
    assert [one.index for _, one in best_of(rows, "loss", 9, minimize=True)] == [1, 0, 6]
    assert [one.index for _, one in best_of(rows, "loss", 2, minimize=False)] == [0, 6]
    assert best_of(rows, "acc", 3, minimize=False) == []
    assert metrics_of([*rows, row(acc=1, text="x")]) == ["loss", "acc"]


def test_a_metric_within_another_is_named_by_a_dot():
    nested = row(0, **{"val": {"loss": 2, "by": {"k": 5}}, "val.acc": 1})
    assert nested.figure("val.loss") == 2 and nested.figure("val.by.k") == 5 and nested.figure("val.acc") == 1
    assert nested.figure("val") is None and nested.figure("val.loss.more") is None


def test_the_table_has_a_column_for_each_name_and_none_twice():
    first = Result(
        "s", 0, "t0", "local", "", "", {"lr": 0.1, "region": "x", "name": "t0"}, {"lr": 5, "loss": 1}
    )
    second = Result("s", 1, "t1", "local", "", "", {"lr": [1, 2]}, {"acc": True, "text": "a,b\n"})
    table = list(csv.DictReader(io.StringIO(as_csv([first, second]).decode())))
    assert list(table[0]) == [
        "sweep_id", "sweep_index", "name", "source", "instance_id", "region", "lr", "param_region", "metric_lr",
        "loss", "acc", "text",
    ]  # fmt: skip
    assert (table[0]["lr"], table[0]["metric_lr"], table[0]["param_region"], table[0]["acc"]) == (
        "0.1",
        "5",
        "x",
        "",
    )
    assert (table[1]["lr"], table[1]["acc"], table[1]["text"]) == ("[1, 2]", "true", "a,b\n")
