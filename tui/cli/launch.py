"""`launch`: from a parameter file to a running sweep."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import click

from ...engine.command import missing_program
from ...engine.plan import Overrides, PlanError, parse_duration, read_plan
from ...engine.plan.model import Plan
from .completion import complete_sources
from .output import UserError, ask, data, data_json, is_terminal, say

if TYPE_CHECKING:
    from ...engine.config.model import Config
    from ...engine.events import BudgetAction
    from ...engine.sources.registry import SourceSpec

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
    shell_complete=complete_sources,
    help='Where to run, e.g. "local:4,ssh:server1:8" (default: local, one slot per core).',
)
@click.option(
    "--strategy",
    type=click.Choice(["round_robin", "least_loaded", "random", "fastest"]),
    help="How tasks are spread over several sources (default: round_robin).",
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
    "--dry-run",
    is_flag=True,
    help="Show all tasks, each source's share and the first command; launch nothing.",
)
@click.option("--count-only", is_flag=True, help="Print the number of tasks; launch nothing.")
@click.option("--estimate-only", is_flag=True, help="Show what the sweep may cost; launch nothing.")
@click.option(
    "--no-verify-sync",
    is_flag=True,
    help="Do not compare the project with its copies on remote sources before they get work.",
)
@click.option(
    "--accept-new-host-key",
    is_flag=True,
    help="Trust SSH hosts that are not in known_hosts yet; a changed key is refused all the same.",
)
@click.option(
    "--on-complete",
    type=click.Choice(["terminate", "stop", "hibernate"]),
    help="EC2: what becomes of an instance.",
)
@click.option(
    "--ttl", metavar="TIME", help="EC2: end an instance after this time, whatever it does, e.g. 2h."
)
@click.option(
    "--idle-timeout", metavar="TIME", help="EC2: end an instance that has done nothing for so long."
)
@click.option("--instance-type", metavar="TYPE", help='EC2: e.g. t3.micro, "c5.large|m5.large" or "c5.*".')
@click.option("--region", metavar="REGION", help="EC2: run all tasks there.")
@click.option("--spot/--no-spot", default=None, help="EC2: Spot instances.")
@click.option(
    "--budget", type=click.FloatRange(0.01), metavar="USD", help="Warn at 80 %, and stop launching at 100 %."
)
@click.option(
    "--budget-action",
    type=click.Choice(["pause", "terminate"]),
    default="pause",
    help="When the budget is spent: launch nothing new, or end what costs as well (default: pause).",
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
    strategy: str | None,
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
    accept_new_host_key: bool,
    on_complete: str | None,
    ttl: str | None,
    idle_timeout: str | None,
    instance_type: str | None,
    region: str | None,
    spot: bool | None,
    budget: float | None,
    budget_action: str,
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

    \b
    --sources takes one or several, comma separated; N is how many tasks run there at a time:
      local[:N]                     processes on this machine (N: one per core)
      ssh:[user@]host[:port][:N]    a machine reached by SSH (N: 4); one number after the host is N
      slurm[:NAME][:N]              a Slurm cluster, here or through a login node (N: 16)
      pbs[:NAME][:N]                a PBS cluster, likewise (N: 16)
      hpc[:NAME][:N]                a cluster, Slurm or PBS, whichever is found (N: 16)
      ec2[:REGION][:N]              AWS EC2, an instance for each task (N: all); without REGION, where the file says
      NAME[:N]                      one that spawn.yaml names; `spawn-tui sources` lists them

    Where nobody names a source, --instance-type, --region, --spot, --ttl, --idle-timeout and --on-complete mean ec2.

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
    from .cloud import counted, estimated, implied_sources, remarks, with_cloud
    from .configured import chosen_sources, configuration, source_check, with_defaults
    from .preview import dry_run_of

    wishes = {
        "on_complete": on_complete, "ttl": ttl, "idle_timeout": idle_timeout, "instance_type": instance_type,
        "region": region, "spot": spot,
    }  # fmt: skip
    fields = {name: value for name, value in wishes.items() if value is not None}
    config = configuration()
    plan = _read(lambda: read_plan(path, overrides=overrides, check_source=source_check(config)))
    plan = with_defaults(plan, overrides, config)
    if not plan.sources:
        plan = replace(plan, sources=implied_sources(fields))
    output_dir = output_dir or config.defaults.output_dir
    specs = chosen_sources(
        plan.sources, config, verify=not no_verify_sync, accept_new_host_key=accept_new_host_key, outputs=output_dir
    )  # fmt: skip
    if count_only:
        data(str(counted(plan, specs)))
        return 0
    plan, specs = with_cloud(plan, specs, fields)
    missing = None
    if any(spec.kind == "local" for spec in specs):
        missing = missing_program(plan, str(config.project), os.environ.get("PATH", ""))
    for warning in (*plan.warnings, *([missing] if missing else []), *remarks(plan, specs)):
        say(f"spawn-tui: warning: {warning}")
    strategy = strategy or config.defaults.strategy or "round_robin"
    if dry_run:
        return dry_run_of(plan, specs, config.project, strategy)
    if estimate_only:
        return estimated(plan, specs, as_json=json_lines, budget=budget or 0.0)
    root = create(
        plan, specs, path=path, strategy=strategy, output_dir=output_dir, config=config,
        project=config.project, budget=budget, budget_action=budget_action, yes=yes,
    )  # fmt: skip
    options = ctx.obj
    return start(
        root, detach=detach, no_ui=no_ui or json_lines, json_lines=json_lines, readonly=options["readonly"],
        ascii_only=options["ascii"],
    )  # fmt: skip


T = TypeVar("T")


def _read(reader: Callable[[], T]) -> T:
    try:
        return reader()
    except PlanError as error:
        raise UserError(f"cannot use this file\n{error}") from None


def create(
    plan: Plan,
    specs: Sequence[SourceSpec],
    *,
    path: Path,
    strategy: str = "round_robin",
    output_dir: Path | None = None,
    project: Path | None = None,
    config: Config | None = None,
    budget: float | None = None,
    budget_action: str = "pause",
    yes: bool = False,
) -> Path:
    """Check that the plan can run, find out what `hpc` is, and write the sweep's directory. Raises `UserError`."""
    from ...engine.command import Renderer
    from ...engine.create import Budget, create_sweep
    from ...engine.health import HealthRules
    from .cloud import check_clouds, warn_of_budget, why_not
    from .configured import prepared
    from .find import all_entries

    reason = why_not(plan, specs)
    if reason:
        raise UserError(reason)
    project = project or Path.cwd()
    all_entries()  # a damaged index is told before anything is written
    try:
        # What cannot be rendered must not become a sweep.
        Renderer(plan, sweep_id="check", project_dir=str(project), base_env=os.environ)
    except PlanError as error:
        raise UserError(str(error)) from None
    if len(plan.tasks) > ASK_ABOVE and not ask(f"Launch {len(plan.tasks)} tasks?", assume_yes=yes):
        raise UserError("nothing was launched", status=3)
    specs = prepared(specs, project)
    plan, specs = check_clouds(plan, specs)
    if budget:
        warn_of_budget(plan, specs)
    try:
        return create_sweep(
            plan,
            specs,
            project=project,
            output_dir=output_dir,
            strategy=strategy,
            budget=Budget(budget or 0.0, cast("BudgetAction", budget_action)),
            rules=config.health.rules() if config is not None else HealthRules(),
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
