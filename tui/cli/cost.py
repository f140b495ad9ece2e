"""`cost`: what a sweep costs, by task and by source, so far and in the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from ...engine.cost import (
    Amount,
    blind,
    blind_lines,
    budget_money,
    burn_rate,
    costs,
    in_words,
    per_hour,
    projected,
    source_cost,
    sweep_cost,
    task_cost,
)
from ...engine.ids import task_name
from ...engine.plan.model import Plan
from ...engine.source_state import PRICED
from ...engine.sweep import Attempt, Sweep
from ...engine.viewer import Viewer
from .. import format as fmt
from .find import readable, sweep_argument
from .output import data, data_json, say
from .table import print_table

_NONE = "-"


@click.command()
@sweep_argument(default="latest")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object per task and source, the sweep's last."
)
def cost(root: Path, as_json: bool) -> int:
    """Show what SWEEP (default: the latest) costs: by task, by source, now and in the end.

    Current is what its attempts have cost by their prices per hour, until now or until their end; projected, what it
    will come to if each task that is left costs what the others did on average. Prices are those that were known when
    an instance began; disks and transfer are not among them. What is not known is said, and counts nothing.
    """
    viewer = readable(lambda: Viewer(root))
    sweep, now = viewer.sweep, time.time()
    if as_json:
        for task in sweep.tasks:
            if task.attempts:
                data_json(_task(viewer.plan, sweep, task.index, now))
        for source in sweep.sources.values():
            data_json({"source": source.name, "kind": source.kind, **_usd("cost", source_cost(source, now))})
        data_json({"id": sweep.id, **cost_document(sweep, now)})
        return 0
    if not costs(sweep):
        say(
            f"{sweep.id}: none of its sources has a price (cost_per_hour in spawn.yaml gives one to a machine)"
        )
    rows = [_row(viewer.plan, sweep, task.index, now) for task in sweep.tasks if task.attempts]
    if rows:
        print_table(["task", "name", "source", "attempts", "time", "rate", "cost"], rows)
    for source in sweep.sources.values():
        spent = source_cost(source, now)
        lacking = (
            f" ({fmt.plural(source.unpriced, 'attempt')} without a price)" if spent.partly_unknown else ""
        )
        priced = source.kind in PRICED or source.price is not None or spent.usd
        data(f"{source.name}: {in_words(spent) if priced else 'no price'}{lacking}")
    for line in cost_lines(sweep, now, viewer.plan) or [f"{sweep.id}: {in_words(sweep_cost(sweep, now))}"]:
        data(line)
    return 0


def cost_lines(sweep: Sweep, now: float, plan: Plan) -> list[str]:
    """Current, projected and budget of a sweep, each in a line, and what the budget does not see; nothing for one that
    costs nothing.
    """
    if not costs(sweep) and not sweep.budget:
        return []
    until = now if sweep.ended_at is None else sweep.ended_at
    current, ahead, rate = sweep_cost(sweep, until), projected(sweep, until), burn_rate(sweep)
    lines = [f"cost       {in_words(current)}" + (f", {per_hour(rate.usd)} now" if rate.usd else "")]
    if sweep.ended is None and ahead is not None and not ahead.unknown:
        lines.append(f"projected  {in_words(ahead)}")
    if sweep.budget:
        share = f", {100 * current.usd / sweep.budget:.0f} % of it spent" if not current.unknown else ""
        lines.append(f"budget     {budget_money(sweep.budget)}{share}")
    lines += [f"warning    {text}" for text in blind_lines(sweep, lambda task: _type(plan, task))]
    return lines


def _type(plan: Plan, task: int) -> str:
    """What its instance was asked to be; empty where its task does not say it."""
    asked = plan.tasks[task].launch.get("instance_type")
    return asked if isinstance(asked, str) else ""


def cost_document(sweep: Sweep, now: float) -> dict[str, object]:
    """The same for programs, in USD; null is unknown, or for a budget none. `partly_unknown`: of these figures;
    `unpriced`: instances that run at a price nobody knows.
    """
    until = now if sweep.ended_at is None else sweep.ended_at
    current, ahead, rate = sweep_cost(sweep, until), projected(sweep, until), burn_rate(sweep)
    return {
        **_usd("current", current),
        "projected": None if ahead is None or ahead.unknown else ahead.usd,
        "per_hour": None if rate.unknown else rate.usd,
        "budget": sweep.budget or None,
        "unpriced": sum(map(len, blind(sweep).values())),
    }


def _usd(name: str, amount: Amount) -> dict[str, object]:
    return {name: None if amount.unknown else amount.usd, "partly_unknown": amount.partly_unknown}


def _task(plan: Plan, sweep: Sweep, index: int, now: float) -> dict[str, object]:
    last = sweep.tasks[index].attempts[-1]
    return {
        "task": task_name(index), "name": plan.tasks[index].label, "source": last.source,
        "attempts": len(sweep.tasks[index].attempts), "seconds": _seconds(sweep, index, now),
        "per_hour": _latest_rate(sweep.tasks[index].attempts),
        **_usd("cost", task_cost(sweep, sweep.tasks[index], now)),
    }  # fmt: skip


def _row(plan: Plan, sweep: Sweep, index: int, now: float) -> list[str]:
    task = sweep.tasks[index]
    last = task.attempts[-1]
    spent = task_cost(sweep, task, now)
    known = any(attempt.rate is not None for attempt in task.attempts)
    return [
        task_name(index), plan.tasks[index].label, last.source, str(len(task.attempts)),
        fmt.duration(_seconds(sweep, index, now)), _rate(sweep, task.attempts),
        in_words(spent) if known or spent.partly_unknown else _NONE,
    ]  # fmt: skip


def _latest_rate(attempts: Sequence[Attempt]) -> float | None:
    """Of the last attempt that began: a launch that was never sent has no price."""
    return next((attempt.rate for attempt in reversed(attempts) if attempt.started_at is not None), None)


def _rate(sweep: Sweep, attempts: Sequence[Attempt]) -> str:
    rate = _latest_rate(attempts)
    if rate is not None:
        return per_hour(rate)
    source = sweep.sources.get(attempts[-1].source)
    return "unknown" if source is not None and source.kind in PRICED else _NONE


def _seconds(sweep: Sweep, index: int, now: float) -> float:
    """Of all attempts of a task together."""
    return sum(
        max(0.0, (now if attempt.ended_at is None else attempt.ended_at) - attempt.started_at)
        for attempt in sweep.tasks[index].attempts
        if attempt.started_at is not None
    )
