"""`collect`: bring home what tasks wrote elsewhere, merge what they measured, copy it, delete it there."""

from __future__ import annotations

import sys
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from ...engine.ids import parse_task_numbers, task_name
from ...engine.viewer import Viewer
from ...state.disk import DIR_MODE, LocalDisk
from ...state.lock import EngineLock, LockHeld
from .. import format as fmt
from .find import readable, sweep_argument
from .output import SOME_FAILED, UserError, ask, data, data_json, say
from .table import print_table

if TYPE_CHECKING:
    from rich.progress import Progress

    from ...engine.collect.bring import Collected
    from ...engine.collect.gather import FarSource
    from ...engine.collect.results import Result, Results

_EVERY = 0.2
"""Seconds between two looks at the progress."""
_BEST = 10
_MOST_PROBLEMS = 5


@click.command()
@sweep_argument()
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Then copy tasks/ to DIR (hard links), and the merged results.",
)
@click.option("--tasks", metavar="1,5,10-20", help="Only these tasks.")
@click.option(
    "--metric", metavar="NAME", help='Then print the tasks that are best by this metric, e.g. "loss".'
)
@click.option(
    "--best",
    type=click.IntRange(1),
    metavar="N",
    help=f"How many of them (default: {_BEST}); needs --metric.",
)
@click.option("--minimize", is_flag=True, help="The smallest is the best, as with a loss; needs --metric.")
@click.option(
    "--delete-remote",
    is_flag=True,
    help="When all is home and verified: delete it on the other machines and in the bucket.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per attempt, a summary, the best.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def collect(
    root: Path,
    output: Path | None,
    tasks: str | None,
    metric: str | None,
    best: int | None,
    minimize: bool,
    delete_remote: bool,
    as_json: bool,
    yes: bool,
) -> int:
    """Bring home what tasks of SWEEP wrote on other machines and in S3, as far as it is not home.

    A running engine does this by itself. What completed tasks wrote to results.json or metrics.json is merged with
    their parameters into results.json and results.csv of the sweep: one row for each task.

    \b
    spawn-tui collect latest --metric val_acc --best 3
    spawn-tui collect latest --metric loss --minimize --output results/

    Exit status: 0 all is home, 1 something is not.
    """
    from ...engine.collect.gather import far_sources

    if metric is None and (best is not None or minimize):
        raise UserError("--best and --minimize need --metric NAME: best by what?")
    viewer = readable(lambda: Viewer(root))
    chosen = _chosen(viewer, tasks)
    if delete_remote:
        _require_deletable(viewer, tasks)
    sources = far_sources(viewer.sweep, chosen)
    holder = readable(viewer.holder)
    if holder is not None:
        say(f"the engine of {viewer.sweep.id} ({holder.describe()}) brings results home itself, as tasks end")
        all_home = False
    else:
        all_home = _bring_under_lock(viewer, sources, as_json)
    results = _merge(viewer, chosen, output)
    if output is not None:
        all_home = _copy(viewer, chosen, output) and all_home
    if metric is not None:
        _print_best(results, metric, best or _BEST, minimize=minimize, as_json=as_json)
    if delete_remote:
        if not all_home:
            raise UserError("nothing was deleted: not everything is home", status=SOME_FAILED)
        all_home = _delete(viewer, sources, yes)
    return 0 if all_home else SOME_FAILED


def _chosen(viewer: Viewer, text: str | None) -> Collection[int] | None:
    if text is None:
        return None
    try:
        return frozenset(parse_task_numbers(text, viewer.sweep.total))
    except ValueError as error:
        raise UserError(f"{viewer.sweep.id}: {error}") from None


def _require_deletable(viewer: Viewer, tasks: str | None) -> None:
    sweep = viewer.sweep
    if tasks is not None:
        raise UserError("--delete-remote deletes all of a finished sweep; it does not go with --tasks")
    if sweep.ended is None or readable(viewer.holder) is not None:
        raise UserError(
            f"{sweep.id} has not ended ({readable(viewer.status)}); --delete-remote waits for its end"
        )


# --- bringing ------------------------------------------------------------------------------------------------


def _bring_under_lock(viewer: Viewer, sources: Sequence[FarSource], as_json: bool) -> bool:
    """Two collections at a time would fetch everything twice."""
    lock = EngineLock(viewer.root / "collect.lock")
    try:
        lock.acquire()
    except LockHeld as held:
        raise UserError(
            f"{viewer.sweep.id} is being collected already, by {held.holder.describe()}", status=SOME_FAILED
        ) from None
    try:
        return _bring(viewer, sources, as_json)
    finally:
        lock.release()


def _bring(viewer: Viewer, sources: Sequence[FarSource], as_json: bool) -> bool:
    from ...engine.collect.gather import Gathering, ask_after_given_up

    tally = _Tally()
    for source in sources:
        try:
            ask_after_given_up(source, viewer.sweep.id, viewer.root)
        except _away() as error:
            source.running += len(source.given_up)
            say(
                f"{source.name}: nobody can say what became of {len(source.given_up)} given-up attempts: {error}"
            )
        if source.running:
            say(f"{source.name}: {source.running} attempts have not ended, or may be alive; they stay there")
    with _progress(sum(len(source.attempts) for source in sources)) as progress:
        gathering = Gathering(
            viewer.sweep.id, viewer.layout, sources,
            complain=lambda name, words: progress.note(f"{name}: {words or 'goes on'}"), moved=progress.moved,
        )  # fmt: skip
        try:
            while gathering.left:
                told = gathering.next(_EVERY)
                if told is not None:
                    tally.count(*told)
                    progress.step()
                    _report(*told, as_json=as_json, note=progress.note)
        finally:
            gathering.close()
    if as_json:
        data_json({"attempts": tally.attempts, "home": tally.home, "files": tally.files, "size": tally.size,
                   "moved": tally.moved, "directory": str(viewer.root)})  # fmt: skip
    else:
        where = "are home" if tally.home == tally.attempts else f"of {tally.attempts} are home"
        data(
            f"{viewer.sweep.id}: {tally.home} attempts {where}, {tally.files} files, {fmt.size(tally.size)}"
            f" ({fmt.size(tally.moved)} fetched now)"
        )
    return tally.home == tally.attempts and not any(source.running for source in sources)


def _away() -> tuple[type[Exception], ...]:
    """What is raised where another machine, or AWS, does not answer or not as it should."""
    from ...engine.aws.errors import AwsError
    from ...engine.aws.launches import LaunchDamaged
    from ...engine.remote.area import AreaError
    from ...engine.remote.host import HostAway, HostRefused

    return HostAway, HostRefused, AreaError, AwsError, LaunchDamaged


class _Tally:
    def __init__(self) -> None:
        self.attempts = self.home = self.files = self.size = self.moved = 0

    def count(self, source: str, collected: Collected) -> None:
        self.attempts += 1
        self.home += not collected.problem
        self.files += collected.files
        self.size += collected.size
        self.moved += collected.moved


def _report(source: str, collected: Collected, *, as_json: bool, note: _Note) -> None:
    if as_json:
        data_json({
            "task": collected.ref.task + 1, "attempt": collected.ref.attempt, "source": source,
            "files": collected.files, "size": collected.size, "moved": collected.moved,
            "problem": _encodable(collected.problem), "notes": [_encodable(text) for text in collected.notes],
        })  # fmt: skip
    for text in ([collected.problem] if collected.problem else []) + list(collected.notes):
        note(f"{collected.name}: {fmt.clean(text)}")


# --- afterwards ----------------------------------------------------------------------------------------------


def _copy(viewer: Viewer, chosen: Collection[int] | None, output: Path) -> bool:
    from ...engine.collect.copy import copy_tasks

    names = [
        task_name(index) for index in (sorted(chosen) if chosen is not None else range(viewer.sweep.total))
    ]
    try:
        copied = copy_tasks(viewer.layout.tasks, names, output)
    except OSError as error:
        raise UserError(f"{error.filename or output}: {error.strerror}", status=SOME_FAILED) from None
    say(f"{output}: {copied.tasks} tasks, {copied.files} files")
    for path in copied.kept[:5]:
        say(f"  {path} is there already and differs; it was left as it is")
    if len(copied.kept) > 5:
        say(f"  and {len(copied.kept) - 5} more")
    return not copied.kept


def _merge(viewer: Viewer, chosen: Collection[int] | None, output: Path | None) -> Results:
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


def _print_best(results: Results, metric: str, count: int, *, minimize: bool, as_json: bool) -> None:
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


def _delete(viewer: Viewer, sources: Sequence[FarSource], yes: bool) -> bool:
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
        except _away() as error:
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


# --- progress ------------------------------------------------------------------------------------------------


class _Note(Protocol):
    def __call__(self, text: str, /) -> object: ...


class _Progress(Protocol):
    """What is shown while it goes; called from several threads."""

    def step(self) -> None: ...
    def moved(self, count: int, /) -> object: ...
    def note(self, text: str, /) -> object: ...


class _Quiet:
    """Without a terminal: only what somebody must know."""

    def step(self) -> None:
        """Nothing moves here."""

    def moved(self, count: int, /) -> None:
        """Nothing moves here."""

    def note(self, text: str, /) -> None:
        say(text)


class _Bar:
    """On a terminal: a bar that moves, and notes above it."""

    def __init__(self, shown: Progress, total: int) -> None:
        self._shown = shown
        self._bytes = 0
        self._task = shown.add_task("", total=total, moved=fmt.size(0))

    def step(self) -> None:
        self._shown.advance(self._task)

    def moved(self, count: int, /) -> None:
        self._bytes += count
        self._shown.update(self._task, moved=fmt.size(self._bytes))

    def note(self, text: str, /) -> None:
        self._shown.console.print(text, markup=False, highlight=False)


@contextmanager
def _progress(total: int) -> Generator[_Progress]:
    if not sys.stderr.isatty() or not total:
        yield _Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    shown = Progress(
        TextColumn("attempts"), BarColumn(bar_width=30), MofNCompleteColumn(),
        TextColumn("{task.fields[moved]} fetched"), console=Console(stderr=True), transient=True,
    )  # fmt: skip
    with shown:
        yield _Bar(shown, total)


def _encodable(text: str) -> str:
    """Names of files may be no text at all."""
    return text.encode("utf-8", "backslashreplace").decode()
