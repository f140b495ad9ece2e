"""The second half of `collect`: what is home is merged, copied, ranked, and deleted elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...engine.ids import task_name
from ...engine.viewer import Viewer
from ...state.disk import DIR_MODE, LocalDisk
from .. import format as fmt
from .collect_bring import away
from .output import SOME_FAILED, UserError, ask, data, data_json, say
from .table import print_table

if TYPE_CHECKING:
    from ...engine.collect.gather import FarSource
    from ...engine.collect.results import Result, Results

_MOST_PROBLEMS = 5


def copy(viewer: Viewer, chosen: Collection[int] | None, output: Path) -> bool:
    """Whether nothing that differs was in the way. Raises `UserError`."""
    from ...engine.collect.copy import copy_tasks

    tasks = sorted(chosen) if chosen is not None else range(viewer.sweep.total)
    folders = ((task_name(index), viewer.attempt_dir(index)) for index in tasks)
    try:
        copied = copy_tasks(((name, folder) for name, folder in folders if folder is not None), output)
    except OSError as error:
        raise UserError(f"{error.filename or output}: {error.strerror}", status=SOME_FAILED) from None
    say(f"{output}: {copied.tasks} tasks, {copied.files} files")
    for path in copied.kept[:5]:
        say(f"  {path} is there already and differs; it was left as it is")
    if len(copied.kept) > 5:
        say(f"  and {len(copied.kept) - 5} more")
    return not copied.kept


def merge(viewer: Viewer, chosen: Collection[int] | None, output: Path | None) -> Results:
    """Write the merged results, of all tasks to the sweep's directory, of the chosen ones to `output`; the latter."""
    from ...engine.collect.results import MERGED, gather_results

    every = gather_results(viewer.plan, viewer.sweep, viewer.layout.attempts)
    for text in every.problems[:_MOST_PROBLEMS]:
        say(f"results: {fmt.clean(text)}")
    if len(every.problems) > _MOST_PROBLEMS:
        say(f"results: and {len(every.problems) - _MOST_PROBLEMS} more that cannot be used")
    wanted = [row for row in every.rows if chosen is None or row.index in chosen]
    if every.rows:
        _write_results(viewer.root, every.rows)
        say(f"{viewer.root / MERGED}: the results of {fmt.plural(len(every.rows), 'task')}")
    if output is not None and wanted:
        output.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        _write_results(output, wanted)
    return replace(every, rows=tuple(wanted))


def _write_results(folder: Path, rows: Sequence[Result]) -> None:
    from ...engine.collect.results import MERGED, TABLE, as_csv, as_json

    disk = LocalDisk()
    try:
        disk.replace(folder / MERGED, as_json(rows))
        disk.replace(folder / TABLE, as_csv(rows))
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror}", status=SOME_FAILED) from None


def print_best(results: Results, metric: str, count: int, *, minimize: bool, as_json: bool) -> None:
    """The best tasks by `metric`, the best first."""
    from ...engine.collect.results import best_of, metrics_of, told
    from ...engine.plan.values import text_of

    found = best_of(results.rows, metric, count, minimize=minimize)
    if not found:
        known = metrics_of(results.rows)
        there = f"; there is {', '.join(known)}" if known else "; no completed task wrote a results.json"
        raise UserError(f'no task has a number called "{fmt.clean(metric)}"{there}', status=SOME_FAILED)
    if as_json:
        for rank, (figure, row) in enumerate(found, 1):
            data_json({"best": rank, "metric": metric, "value": figure, **row.document()})
        return
    keys = list(dict.fromkeys(key for _, row in found for key in told(row)))
    lines = [
        [str(rank), task_name(row.index), row.name, f"{figure:g}"]
        + [text_of(row.parameters[key]) if key in row.parameters else "" for key in keys]
        for rank, (figure, row) in enumerate(found, 1)
    ]
    print_table(["best", "task", "name", metric, *keys], lines)
    without = len(results.rows) - sum(row.figure(metric) is not None for row in results.rows)
    if without:
        say(f"{fmt.plural(without, 'task')} wrote results without a number called {fmt.clean(metric)}")


def delete(viewer: Viewer, sources: Sequence[FarSource], yes: bool) -> bool:
    """Delete what is home where it came from, source by source, each asked for; whether all of it is. Raises
    `UserError`.
    """
    from ...engine.collect.gather import delete_far

    good = True
    for source in sources:
        count = len(source.attempts)
        if not count:
            continue
        if source.running:
            say(
                f"{source.name}: nothing deleted, {source.running} attempts were given up and may be alive there"
            )
            good = False
            continue
        if not ask(
            f"Delete {count} attempts of {viewer.sweep.id} on {source.name}? They are home.", assume_yes=yes
        ):
            say(f"{source.name}: nothing was deleted")
            good = False
            continue
        try:
            removal = delete_far(source, viewer.sweep.id, viewer.layout)
        except away() as error:
            raise UserError(str(error), status=SOME_FAILED) from None
        except OSError as error:
            raise UserError(f"{error.filename}: {error.strerror}", status=SOME_FAILED) from None
        for text in removal.kept[:5]:
            say(f"  {fmt.clean(text)}")
        if removal.kept:
            say(f"{source.name}: nothing was deleted")
            good = False
        else:
            data(f"{source.name}: {len(removal.removed)} attempts deleted there")
    return good
