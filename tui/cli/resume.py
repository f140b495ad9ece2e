"""`resume`: go on with a sweep, where it was or elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...engine import events as ev
from ...engine.ids import task_name
from ...engine.sweep import Sweep, SweepStatus, TaskState
from ...engine.viewer import Viewer
from .completion import complete_sources
from .control import chosen_tasks
from .find import readable, sweep_argument
from .output import UserError, data, is_terminal, say

if TYPE_CHECKING:
    from ...engine.source_state import SourceState
    from ...engine.sources.registry import SourceSpec

_PLACE = ("host", "user", "port", "region", "profile")
"""Options by which two sources of one name are told apart."""


@click.command()
@sweep_argument()
@click.option(
    "--sources",
    multiple=True,
    metavar="LIST",
    shell_complete=complete_sources,
    help='Go on with these sources only, e.g. "local:8,ssh:server2:4".',
)
@click.option(
    "--no-verify-sync", is_flag=True, help="Do not compare the project with its copies on added sources."
)
@click.option(
    "--accept-new-host-key", is_flag=True, help="Trust added SSH hosts that are not in known_hosts yet."
)
@click.option(
    "--max-concurrent",
    "--parallel-limit",
    "-p",
    type=click.IntRange(1),
    metavar="N",
    help="Run at most N tasks at a time.",
)
@click.option(
    "--budget",
    type=click.FloatRange(0.01),
    metavar="USD",
    help="What the sweep may cost in all; goes on with one whose budget is spent.",
)
@click.option("--retry-failed", is_flag=True, help="Run failed tasks again.")
@click.option("--tasks", metavar="1,5,10-20", help="Run these failed or cancelled tasks again.")
@click.option("--dry-run", is_flag=True, help="Show what would run where; change nothing.")
@click.option("--detach", is_flag=True, help="Start the engine and return at once.")
@click.option("--no-ui", is_flag=True, help="Run in this terminal without the UI.")
@click.option("--json", "json_lines", is_flag=True, help="Print events as JSON lines (implies --no-ui).")
@click.option("--take-over", is_flag=True, help="Replace an engine that hangs or whose host is gone.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def resume(
    ctx: click.Context,
    root: Path,
    sources: tuple[str, ...],
    no_verify_sync: bool,
    accept_new_host_key: bool,
    max_concurrent: int | None,
    budget: float | None,
    retry_failed: bool,
    tasks: str | None,
    dry_run: bool,
    detach: bool,
    no_ui: bool,
    json_lines: bool,
    take_over: bool,
    yes: bool,
) -> int:
    """Go on with SWEEP: after an interruption, a pause or a cancel; with --retry-failed also what failed.

    Completed tasks never run again. Tasks that still run are adopted, not started anew. With --sources the sweep goes
    on with these sources, which may be others than it began with: what runs elsewhere goes on, and nothing more is
    launched there. `spawn-tui launch --help` shows how sources are written.
    """
    viewer = readable(lambda: Viewer(root))
    _check_budget(viewer.sweep, budget)
    again = _again(viewer.sweep, retry_failed, chosen_tasks(viewer, tasks))
    waiting = [t.index for t in viewer.sweep.tasks if t.state is TaskState.PENDING]
    goes_on = viewer.sweep.paused or (viewer.sweep.ended is not None and not again)
    cents = None if budget is None else round(budget * 100)
    wish = _Wish(max_concurrent=max_concurrent, budget=cents, again=tuple(again), goes_on=goes_on)
    left = sorted({*again, *waiting})
    if sources:
        specs = _sources(viewer, sources, left, not no_verify_sync, accept_new_host_key)
        wish = _with_sources(wish, viewer.sweep, specs)
    if dry_run:
        return _dry_run(viewer, wish, left)
    nothing = not again and not waiting and not viewer.sweep.active
    if nothing and viewer.sweep.ended is not None:
        say(f"{viewer.sweep.id} has ended ({viewer.sweep.status}); there is nothing to go on with")
        if viewer.sweep.failures:
            say(f"  run only what failed: spawn-tui resume {viewer.sweep.id} --retry-failed")
        return 0 if viewer.sweep.ended is SweepStatus.COMPLETED else 1
    _post(viewer, wish, left)
    from .headless import follow
    from .launch import start

    here = no_ui or json_lines or not (detach or is_terminal())
    if readable(viewer.holder) is not None and not take_over and here:
        say(f"{viewer.sweep.id}: its engine runs already ({viewer.holder().describe()}); following it")  # type: ignore[union-attr]
        return follow(viewer.root, json_lines=json_lines)
    options = ctx.obj
    return start(
        viewer.root, detach=detach, no_ui=no_ui or json_lines, json_lines=json_lines, readonly=options["readonly"],
        ascii_only=options["ascii"], take_over=take_over,
    )  # fmt: skip


def _again(sweep: Sweep, retry_failed: bool, named: Sequence[int]) -> list[int]:
    """The ended tasks that shall run again."""
    for index in named:
        if sweep.tasks[index].state is TaskState.COMPLETED:
            say(f"{task_name(index)} is completed and is not run again")
    if named:
        return [i for i in named if sweep.tasks[i].state in (TaskState.FAILED, TaskState.CANCELLED)]
    again = list(sweep.failures) if retry_failed else []
    if sweep.ended is SweepStatus.CANCELLED:
        again += [task.index for task in sweep.tasks if task.state is TaskState.CANCELLED]
    return again


def _check_budget(sweep: Sweep, budget: float | None) -> None:
    """A budget that is spent already would stop the sweep at once. Raises `UserError`."""
    from ...engine.cost import budget_money, money

    spent = sweep.cost(time.time() if sweep.ended_at is None else sweep.ended_at)
    if budget is not None and budget <= spent:
        raise UserError(
            f"{sweep.id} has cost {money(spent)}: a budget of {budget_money(budget)} is spent already"
        )
    if budget is None and sweep.budget_spent and sweep.paused:
        raise UserError(
            f"the budget of {sweep.id}, {budget_money(sweep.budget)}, is spent; say what it may cost in all, with "
            f"--budget USD (it has cost {money(spent)})"
        )


@dataclass(frozen=True, slots=True)
class _Wish:
    """What `resume` asks of the engine, in the order it asks."""

    resize: Sequence[SourceSpec] = ()
    """Sources it has, with their new number of slots."""
    add: Sequence[SourceSpec] = ()
    """Sources it has not, or has with other options."""
    enable: Sequence[str] = ()
    remove: Sequence[str] = ()
    max_concurrent: int | None = None
    budget: int | None = None
    """US cents."""
    again: tuple[int, ...] = ()
    goes_on: bool = False
    """Whether the sweep must be told to go on: it is paused, or it ended and no retry begins it anew."""


def _with_sources(wish: _Wish, sweep: Sweep, specs: Sequence[SourceSpec]) -> _Wish:
    """`wish`, with the sweep going on with `specs` alone. Raises `UserError` where a name means another place."""
    known = {name: source for name, source in sweep.sources.items() if not source.removed}
    for spec in specs:
        if spec.name in known and not _same_place(known[spec.name], spec):
            raise UserError(
                f"this sweep has another source called {spec.name}; give the new one a name of its own in spawn.yaml"
            )
    same = [
        spec for spec in specs if spec.name in known and dict(known[spec.name].options) == dict(spec.options)
    ]
    named = {spec.name for spec in specs}
    return replace(
        wish,
        resize=[spec for spec in same if spec.slots != known[spec.name].slots],
        add=[spec for spec in specs if spec not in same],
        enable=[
            spec.name for spec in specs if spec.name in known and known[spec.name].disabled_since is not None
        ],
        remove=[name for name in known if name not in named],
    )


def _same_place(known: SourceState, spec: SourceSpec) -> bool:
    """Whether a source of the sweep and one that is named like it are one; `hpc` may have become either cluster."""
    before = dict(known.options)
    same_kind = spec.kind == known.kind or (spec.kind == "hpc" and known.kind in ("slurm", "pbs"))
    return same_kind and all(before.get(key) == spec.options.get(key) for key in _PLACE)


def _sources(
    viewer: Viewer, texts: Sequence[str], left: Sequence[int], verify: bool, accept_new_host_key: bool
) -> Sequence[SourceSpec]:
    """The sources of `--sources`, by the configuration of the sweep's project, or of this folder if that is gone.

    `left`: the tasks that are to run; in a cloud there is a source in each region that one of them names.
    """
    from .cloud import with_cloud
    from .configured import chosen_sources, configuration

    project = Path(viewer.sweep.project)
    config = configuration(project if project.is_dir() else None)
    specs = chosen_sources(
        texts, config, verify=verify, accept_new_host_key=accept_new_host_key, outputs=viewer.root.parent
    )
    tasks = tuple(viewer.plan.tasks[index] for index in left) or viewer.plan.tasks
    return with_cloud(replace(viewer.plan, tasks=tasks), specs, {})[1]


def _post(viewer: Viewer, wish: _Wish, left: Sequence[int]) -> None:
    """Leave the requests; the engine, running or about to start, takes them in this order. `left`: what is to run."""
    from ...engine.control import post_request, post_source
    from .cloud import check_added
    from .configured import prepared

    root = viewer.root
    check_added(viewer.plan, wish.add, left)
    for spec in prepared(wish.add, Path(viewer.sweep.project)):
        post_source(root, spec)
    for spec in wish.resize:
        post_request(root, "slots", source=spec.name, value=spec.slots)
    for name in wish.enable:
        post_request(root, "enable_source", source=name)
    for name in wish.remove:
        say(f"{name} gets no more tasks: it is not among --sources")
        post_request(root, "remove_source", source=name)
    if wish.max_concurrent is not None:
        post_request(root, "limit", value=wish.max_concurrent)
    if wish.budget is not None:
        post_request(root, "budget", value=wish.budget)
    if wish.again:
        post_request(root, "retry", tasks=wish.again)
    if wish.goes_on:
        post_request(root, "resume")


def _events(viewer: Viewer, wish: _Wish) -> list[ev.Event]:
    """What an engine would journal for `wish`."""
    from ...engine.create import first_events

    sweep = viewer.sweep
    events: list[ev.Event] = first_events(viewer.plan, wish.add, sweep.id, Path(sweep.project))[1:]

    def taken(verb: ev.Verb, *, tasks: tuple[int, ...] = (), source: str = "", value: int = 0) -> None:
        events.append(ev.RequestTaken(f"dry-run-{len(events)}", verb, tasks, source, value))

    for spec in wish.resize:
        taken("slots", source=spec.name, value=spec.slots)
    events += [ev.SourceEnabled(name) for name in wish.enable]
    events += [ev.SourceRemoved(name) for name in wish.remove]
    if wish.max_concurrent is not None:
        taken("limit", value=wish.max_concurrent)
    if wish.budget is not None:
        taken("budget", value=wish.budget)
    if wish.again:
        taken("retry", tasks=wish.again)
    if wish.goes_on:
        taken("resume")
    return events


def _dry_run(viewer: Viewer, wish: _Wish, indices: Sequence[int]) -> int:
    """What would run: each task, the number of its attempt, and the source it would go to first."""
    from ...engine.command import Renderer
    from ...engine.plan import PlanError
    from ...engine.redact import redacted
    from .forecast import MOST, forecast, share_of
    from .preview import shown_keys, shown_params
    from .table import print_table

    if not indices:
        say("nothing would run")
        return 0
    sweep = viewer.sweep
    state = {index: sweep.tasks[index].state.value for index in indices}
    number = {index: len(sweep.tasks[index].attempts) + 1 for index in indices}
    first = forecast(sweep, _events(viewer, wish))
    planned = [viewer.plan.tasks[index] for index in indices]
    labels = any(task.label for task in planned)
    keys = shown_keys(planned)
    rows: list[list[str]] = []
    for index, task in zip(indices, planned, strict=True):
        where = [task_name(index), state[index], str(number[index]), first.get(index, "-")]
        rows.append([*where, *([task.label] if labels else []), *shown_params(task, keys)])
    print_table(["task", "now", "attempt", "source", *(["name"] if labels else []), *keys], rows)
    tasks = "1 task" if len(indices) == 1 else f"{len(indices)} tasks"
    of = f" of the first {MOST}" if len(indices) > MOST else ""
    say(
        f"\n{tasks}; nothing was launched. If all take equally long, the share{of} is: {share_of(first) or 'none'}"
    )
    if sweep.ended is not None and sweep.reason:
        say(f"it would end: {sweep.reason}")
    say("The first would run:")
    try:
        renderer = Renderer(viewer.plan, sweep_id=sweep.id, project_dir=sweep.project, base_env=os.environ)
        directory = str(viewer.layout.attempt(task_name(indices[0]), number[indices[0]]))
        data(redacted(renderer.show(indices[0], task_dir=directory, attempt=number[indices[0]])))
    except PlanError as error:
        raise UserError(str(error)) from None
    return 0
