"""What tasks measured, merged with their parameters: one row for each completed task that wrote it down.

A task leaves a JSON object in `results.json` or `metrics.json`, at the top of its directory or in `results/`. As spawn
has it, its member `parameters` (or `params`) repeats what the task was given, every other member is a metric. What the
plan gave a task stands above what the task says it was given.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ...state.layout import RESULTS
from ..ids import task_name
from ..plan.model import Plan, Value
from ..sweep import Attempt, Sweep, TaskState

MERGED, TABLE = "results.json", "results.csv"
LARGEST = 16 << 20
"""Bytes of a file of results that is read; a larger one is data, not a measurement."""
_FILES = ("results.json", f"{RESULTS}/results.json", "metrics.json", f"{RESULTS}/metrics.json")
"""In the order they are read: of a metric that stands in two the later counts."""
_PARAMETERS = ("parameters", "params")
_FIXED = ("sweep_id", "sweep_index", "name", "source", "instance_id", "region")


@dataclass(frozen=True, slots=True)
class Result:
    """One row. `index` from 0, as in `SWEEP_INDEX`; `instance` and `region` are empty where there is none."""

    sweep_id: str
    index: int
    name: str
    source: str
    instance: str
    region: str
    parameters: Mapping[str, Value]
    metrics: Mapping[str, Value]

    def document(self) -> dict[str, Value]:
        return {
            "sweep_id": self.sweep_id, "sweep_index": self.index, "name": self.name, "source": self.source,
            "instance_id": self.instance, "region": self.region, "parameters": dict(self.parameters),
            "metrics": dict(self.metrics),
        }  # fmt: skip

    def figure(self, metric: str) -> float | None:
        """A metric as a number that can be compared; `val.loss` is `loss` within `val`. None if it is none."""
        found: Value = self.metrics.get(metric)
        if found is None:
            found = dict(self.metrics)
            for part in metric.split("."):
                found = found.get(part) if isinstance(found, dict) else None
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        return float(found)


@dataclass(frozen=True, slots=True)
class Results:
    """`rows` in the order of the tasks; `problems`: files that could not be used, in words."""

    rows: tuple[Result, ...] = ()
    problems: tuple[str, ...] = ()


def gather_results(plan: Plan, sweep: Sweep, attempts: Path, tasks: Collection[int] | None = None) -> Results:
    """The results of the completed tasks among `tasks` (None: all). `attempts`: the directory of all attempts."""
    rows: list[Result] = []
    problems: list[str] = []
    regions = {name: dict(source.options).get("region", "") for name, source in sweep.sources.items()}
    for task in sweep.tasks:
        attempt = task.attempt
        wanted = tasks is None or task.index in tasks
        if not wanted or attempt is None or task.state is not TaskState.COMPLETED:
            continue
        name = f"{task_name(task.index)}.{attempt.number}"
        given, metrics = _measured(attempts / name, name, problems)
        if given is None or metrics is None:
            continue
        planned = plan.tasks[task.index]
        region = regions.get(attempt.source, "")
        rows.append(
            Result(
                sweep.id, task.index, planned.label or task_name(task.index), attempt.source,
                _instance(attempt, region), region,
                {**given, **{key: _plain(value) for key, value in planned.params.items()}}, metrics,
            )
        )  # fmt: skip
    return Results(tuple(rows), tuple(problems))


def _instance(attempt: Attempt, region: str) -> str:
    """The handle of an attempt in a cloud is its instance."""
    return attempt.handle if region else ""


def _measured(
    directory: Path, name: str, problems: list[str]
) -> tuple[dict[str, Value] | None, dict[str, Value] | None]:
    """Parameters and metrics in the files of one attempt; None and None if there is none that can be used."""
    given: dict[str, Value] = {}
    metrics: dict[str, Value] = {}
    found = False
    for file in _FILES:
        try:
            document = _read(directory / file)
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"{name}/{file}: {_words(error)}")
            continue
        if document is None:
            continue
        found = True
        for key, value in document.items():
            if key in _PARAMETERS and isinstance(value, dict):
                given.update(value)
            else:
                metrics[key] = value
    return (given, metrics) if found else (None, None)


def _words(error: OSError | ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)


def _read(path: Path) -> dict[str, Value] | None:
    """The object in a file; None if there is no such file. Raises `OSError`, `ValueError`, `RecursionError`."""
    if not path.is_file():
        return None
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{size} bytes are too many for results; it was left out")
    try:
        document: object = json.loads(path.read_bytes())
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    if not isinstance(document, dict):
        raise ValueError('it is no JSON object; write one, like {"loss": 0.1}')
    return cast("dict[str, Value]", _plain(cast("Value", document)))


def _plain(value: Value) -> Value:
    """What is no number in JSON (NaN, infinity) is null there."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


# --- what is made of it ------------------------------------------------------------------------------------------


def best_of(rows: Iterable[Result], metric: str, count: int, *, minimize: bool) -> list[tuple[float, Result]]:
    """The best `count` rows by `metric`; rows without a number there are left out, of equals the first counts."""
    figures = [(figure, row) for row in rows if (figure := row.figure(metric)) is not None]
    return sorted(figures, key=lambda each: each[0] if minimize else -each[0])[:count]


def told(row: Result) -> Mapping[str, Value]:
    """Its parameters but for the name, where that is what the row is called anyway."""
    return {key: value for key, value in row.parameters.items() if key != "name" or value != row.name}


def metrics_of(rows: Iterable[Result]) -> list[str]:
    """The names of all metrics that are numbers somewhere, in the order they were met."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(key for key in row.metrics if row.figure(key) is not None))
    return list(names)


def as_json(rows: Sequence[Result]) -> bytes:
    """A list of objects, one on each line."""
    lines = ",\n".join(json.dumps(row.document(), ensure_ascii=False, allow_nan=False) for row in rows)
    return f"[\n{lines}\n]\n".encode("utf-8", "backslashreplace")


def as_csv(rows: Sequence[Result]) -> bytes:
    """A table with a column for each parameter and each metric; what is nested is written as JSON.

    A name that is taken already gets `param_` or `metric_` before it.
    """
    parameters = _columns((told(row) for row in rows), "param_", frozenset(_FIXED))
    metrics = _columns((row.metrics for row in rows), "metric_", frozenset((*_FIXED, *parameters.values())))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*_FIXED, *parameters.values(), *metrics.values()])
    for row in rows:
        document = row.document()
        cells = [document[key] for key in _FIXED]
        cells += [row.parameters.get(key) for key in parameters]
        cells += [row.metrics.get(key) for key in metrics]
        table.writerow([_cell(cell) for cell in cells])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _columns(parts: Iterable[Mapping[str, Value]], prefix: str, taken: frozenset[str]) -> dict[str, str]:
    """The name of the column of each key."""
    names: dict[str, str] = {}
    for part in parts:
        for key in part:
            names.setdefault(key, f"{prefix}{key}" if key in taken else key)
    return names


def _cell(value: Value) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False)
