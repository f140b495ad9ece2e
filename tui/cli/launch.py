"""`launch`: from a parameter file to a running sweep."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from ...engine.command import missing_program
from ...engine.ids import task_name
from ...engine.plan import Overrides, PlanError, count_tasks, parse_duration, read_plan
from ...engine.plan.model import Plan
from ...engine.plan.runnable import why_not_runnable_here
from ...engine.sources.registry import SourceError, parse_sources
from .output import UserError, ask, data, data_json, is_terminal, say

ASK_ABOVE = 10_000
"""Tasks above which `launch` asks before it begins."""


class Duration(click.ParamType[float]):
    """`30m`, `2h`, `4h30m`, `1d`, `90s`; a bare number is seconds."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float | int):
            return float(value)
        try:
            return parse_duration(f"{value}s" if value.isdigit() else value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--param-file",
    "--config",
    "--params",
    "param_file",
    type=click.Path(path_type=Path),
    help="Another way to name FILE.",
)
@click.option(
    "--sources",
    multiple=True,
    metavar="LIST",
    help='Where to run, e.g. "local:4" (default: local, one slot per core).',
)
@click.option(
    "--strategy",
    type=click.Choice(["round_robin", "least_loaded", "random"]),
    default="round_robin",
    show_default=True,
    help="How tasks are spread over several sources.",
)
@click.option("--command", metavar="TEMPLATE", help='What each task runs, e.g. "python train.py --lr {lr}".')
@click.option(
    "--args",
    "args_style",
    type=click.Choice(["hydra", "flags", "env", "json", "template"]),
    help="How parameters reach the command besides {placeholders}.",
)
@click.option(
    "--max-concurrent",
    "--parallel-limit",
    "-p",
    type=click.IntRange(1),
    metavar="N",
    help="Run at most N tasks at a time, over all sources.",
)
@click.option("--launch-delay", type=Duration(), help="Wait between two launches, e.g. 5s.")
@click.option("--sweep-name", metavar="NAME", help="Name of the sweep (default: the file's).")
@click.option("--retries", type=click.IntRange(0), metavar="N", help="Try a failed task again up to N times.")
@click.option("--timeout", type=Duration(), help="End a task that runs longer, e.g. 2h.")
@click.option(
    "--output-dir", type=click.Path(path_type=Path), help="Where sweeps are kept (default: sweeps/outputs)."
)
@click.option(
    "--dry-run", is_flag=True, help="Show all tasks and the exact command of the first; launch nothing."
)
@click.option("--count-only", is_flag=True, help="Print the number of tasks; launch nothing.")
@click.option("--estimate-only", is_flag=True, help="Show what the sweep may cost; launch nothing.")
@click.option(
    "--no-verify-sync",
    is_flag=True,
    help="Do not compare the project with remote sources (local sources need no comparison).",
)
@click.option("--detach", is_flag=True, help="Start the sweep and return at once.")
@click.option("--no-ui", is_flag=True, help="Run in this terminal without the UI.")
@click.option("--json", "json_lines", is_flag=True, help="Print events as JSON lines (implies --no-ui).")
@click.option("-y", "--yes", is_flag=True, help="Answer yes to questions.")
@click.pass_context
def launch(
    ctx: click.Context,
    file: Path | None,
    param_file: Path | None,
    sources: tuple[str, ...],
    strategy: str,
    command: str | None,
    args_style: str | None,
    max_concurrent: int | None,
    launch_delay: float | None,
    sweep_name: str | None,
    retries: int | None,
    timeout: float | None,
    output_dir: Path | None,
    dry_run: bool,
    count_only: bool,
    estimate_only: bool,
    no_verify_sync: bool,
    detach: bool,
    no_ui: bool,
    json_lines: bool,
    yes: bool,
) -> int:
    """Launch the sweep of a parameter FILE (JSON, YAML or CSV).

    \b
    params:                 one task for each entry, or
    grid:                   one for each combination of the lists
    command: python train.py --lr {lr}

    In a terminal the UI opens; leaving it leaves the sweep running. `--no-ui` runs it right here: Ctrl-C once stops
    launching and leaves what runs, twice cancels.
    """
    path = file or param_file
    if path is None:
        raise click.UsageError(
            "name a parameter file: spawn-tui launch FILE (spawn-tui demo shows one at work)"
        )
    if file is not None and param_file is not None:
        raise click.UsageError(f"two parameter files: {file} and {param_file}")
    overrides = Overrides(
        command=command,
        args=args_style,  # type: ignore[arg-type]
        sources=sources,
        sweep_name=sweep_name,
        retries=retries,
        timeout=timeout,
        max_concurrent=max_concurrent,
        launch_delay=launch_delay,
    )
    if count_only:
        data(str(_read(lambda: count_tasks(path, overrides))))
        return 0
    plan = _read(lambda: read_plan(path, overrides=overrides, check_source=_source_problem))
    missing = missing_program(plan, str(Path.cwd()), os.environ.get("PATH", ""))
    for warning in (*plan.warnings, *([missing] if missing else [])):
        say(f"spawn-tui: warning: {warning}")
    if dry_run:
        return _dry_run(plan, sources)
    if estimate_only:
        say(
            f"{plan.name}: {len(plan.tasks)} tasks on this machine, which costs nothing that spawn-tui knows of"
        )
        return 0
    root = create(plan, sources or plan.sources, path=path, strategy=strategy, output_dir=output_dir, yes=yes)
    options = ctx.obj
    return start(
        root, detach=detach, no_ui=no_ui or json_lines, json_lines=json_lines, readonly=options["readonly"],
        ascii_only=options["ascii"],
    )  # fmt: skip


def _source_problem(text: str) -> str | None:
    """Why a source that a file names cannot be used."""
    try:
        parse_sources((text,))
    except SourceError as error:
        return str(error)
    return None


T = TypeVar("T")


def _read(reader: Callable[[], T]) -> T:
    try:
        return reader()
    except PlanError as error:
        raise UserError(f"cannot use this file\n{error}") from None


def create(
    plan: Plan,
    sources: Sequence[str],
    *,
    path: Path,
    strategy: str = "round_robin",
    output_dir: Path | None = None,
    project: Path | None = None,
    yes: bool = False,
) -> Path:
    """Check that the plan can run here, and write its sweep's directory. Raises `UserError`."""
    from ...engine.command import Renderer
    from ...engine.create import create_sweep
    from .find import all_entries

    reason = why_not_runnable_here(plan)
    if reason:
        raise UserError(reason)
    project = project or Path.cwd()
    all_entries()  # a damaged index is told before anything is written
    try:
        specs = parse_sources(tuple(sources))
        # What cannot be rendered must not become a sweep.
        Renderer(plan, sweep_id="check", project_dir=str(project), base_env=os.environ)
    except (SourceError, PlanError) as error:
        raise UserError(str(error)) from None
    if len(plan.tasks) > ASK_ABOVE and not ask(f"Launch {len(plan.tasks)} tasks?", assume_yes=yes):
        raise UserError("nothing was launched", status=3)
    try:
        return create_sweep(
            plan,
            specs,
            project=project,
            output_dir=output_dir,
            strategy=strategy,
            config_text=path.read_bytes(),
        )
    except OSError as error:
        raise UserError(
            f"cannot create the sweep: {error.filename or ''}: {error.strerror}", status=3
        ) from None


def start(
    root: Path,
    *,
    detach: bool = False,
    no_ui: bool = False,
    json_lines: bool = False,
    readonly: bool = False,
    ascii_only: bool = False,
    take_over: bool = False,
) -> int:
    """Run the sweep in `root` here, detached, or detached with the UI as its viewer; returns the exit status."""
    if not (detach or no_ui) and not is_terminal():
        say("spawn-tui: there is no terminal, so the sweep runs without the UI (as with --no-ui)")
        no_ui = True
    if no_ui and not detach:
        from .headless import run_here

        return run_here(root, json_lines=json_lines, take_over=take_over)
    from .engines import start_engine

    start_engine(root, take_over=take_over)
    if detach:
        if json_lines:
            data_json({"id": root.name, "directory": str(root)})
        else:
            data(root.name)
            say(f"  watch it: spawn-tui {root.name}")
        return 0
    from .open import open_ui

    return open_ui(root, readonly=readonly, ascii_only=ascii_only)


def _dry_run(plan: Plan, sources: Sequence[str]) -> int:
    """All tasks as a table, and the exact command of the first."""
    from ...engine.command import Renderer
    from ...engine.create import DEFAULT_OUTPUT
    from ...engine.plan.values import text_of
    from .table import print_table

    keys: dict[str, None] = {}
    for task in plan.tasks:
        keys.update(dict.fromkeys(task.params))
    labels = any(task.label for task in plan.tasks)
    header = ["task", *(["name"] if labels else []), *keys]
    rows = [
        [
            task_name(index),
            *([task.label] if labels else []),
            *(text_of(task.params[key]) if key in task.params else "" for key in keys),
        ]
        for index, task in enumerate(plan.tasks)
    ]
    print_table(header, rows)
    reason = why_not_runnable_here(plan)
    if reason:
        say(f"\nThis sweep could not be launched here: {reason}")
    where = ", ".join(sources or plan.sources) or "local"
    tasks = "1 task" if len(plan.tasks) == 1 else f"{len(plan.tasks)} tasks"
    say(f"\n{tasks} on {where}; nothing was launched. The first would run:")
    try:
        renderer = Renderer(plan, sweep_id="SWEEP", project_dir=str(Path.cwd()), base_env=os.environ)
        directory = Path(DEFAULT_OUTPUT) / f"{plan.name}-YYYYMMDD-xxxxxx" / "attempts" / f"{task_name(0)}.1"
        data(renderer.show(0, task_dir=str(Path.cwd() / directory)))
    except PlanError as error:
        raise UserError(str(error)) from None
    return 0
