"""`launch --estimate-only`: what a sweep may cost, on-demand and spot side by side. Nothing is launched."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ...engine.aws.estimate import MARKETS, Estimate, Line, LookUp, Total, Work, estimate, wanted
from ...engine.aws.model import Market
from ...engine.aws.price_table import NOT_INCLUDED, Price
from ...engine.aws.prices import Prices
from ...engine.cost import budget_money, money, per_hour
from ...engine.plan.model import Plan
from ...engine.sources.registry import SourceSpec
from ..format import duration, plural
from .estimate_json import to_json
from .output import data, data_json, say
from .table import print_table

UNKNOWN = "?"
_TYPES_WIDTH = 26
"""Cells for the names of instance types: with all columns a line of the table fits 80."""


def estimate_of(
    plan: Plan,
    specs: Sequence[SourceSpec],
    work: Sequence[Work] = (),
    prices: Prices | None = None,
    *,
    as_json: bool = False,
    budget: float = 0.0,
) -> int:
    """`work`: the plan's tasks on EC2 (`engine.aws.estimate.work_of`), `prices` to look theirs up, `budget` in USD."""
    slots = {spec.options["region"]: spec.slots for spec in specs if "region" in spec.options}
    if prices is not None:
        prices.fetch(wanted(work))
    made = estimate(work, _look_up(prices), max_concurrent=plan.max_concurrent, slots=slots)
    others = [spec for spec in specs if spec.kind != "ec2"]
    problems = prices.problems if prices is not None else ()
    if as_json:
        told: dict[str, object] = to_json(made)
        told |= {"name": plan.name, "tasks": len(plan.tasks)}
        told |= {"usd_per_slot_hour": _slot_rates(others), "problems": list(problems)}
        data_json(told)
        return 0
    if work:
        _tell(plan.name, made, problems, budget)
    if others:
        _tell_others(plan, others, beside=bool(work))
    return 0


def _look_up(prices: Prices | None) -> LookUp:
    def look_up(region: str, instance_type: str, market: Market) -> Price | None:
        return prices.price(region, instance_type, market) if prices is not None else None

    return look_up


def _tell(name: str, made: Estimate, problems: Sequence[str], budget: float) -> None:
    if sys.stdout.isatty():
        _table(made)
        say("* what the file asks for")
    else:
        _flat_table(made)
    likely, most = made.likely(), made.at_most()
    asked = (
        f"{name}: {plural(made.tasks, 'task')}, as asked for: likely {total(likely)}, at most {total(most)}"
    )
    data(asked)
    walls = [
        f"{word} {duration(seconds)}"
        for word, seconds in (("likely", made.likely_wall), ("at most", made.most_wall))
        if seconds is not None
    ]
    if walls:
        data(f"from the first launch to the last end: {', '.join(walls)}")
    for text in remarks(made, problems, budget):
        say(text)


def remarks(made: Estimate, problems: Sequence[str] = (), budget: float = 0.0) -> list[str]:
    """What a person should know of the figures, one line each."""
    out: list[str] = []
    if made.origins():
        out.append(f"prices: {'; '.join(made.origins())}; {NOT_INCLUDED}")
    if any(line.spot.price and len(line.spot.price.zones) > 1 for line in made.lines):
        out.append("spot: likely at the mean of the zones, at most at the dearest, as prices are now")
    if made.unpriced:
        names = [f"{name} {market} in {region}" for region, name, market in made.unpriced]
        out.append(f"no price is known for {', '.join(names)}")
    if any(line.likely_seconds is None for line in made.lines):
        out.append("how long a task takes is not known: give a timeout, or see what the first ones take")
    out += made.notes
    out += [f"warning: {problem}" for problem in problems]
    most = made.at_most()
    if budget and (most.partly_unknown or most.usd > budget):
        out.append(
            f"the budget of {budget_money(budget)} may be reached: nothing new is launched from there on"
        )
    return out


def total(value: Total) -> str:
    """`$34.00`, `$34.00 + ?` where something is not known, `?`."""
    if value.unknown:
        return UNKNOWN
    return f"{money(value.usd)} + {UNKNOWN}" if value.partly_unknown else money(value.usd)


def _table(made: Estimate) -> None:
    """For a terminal: a few rows for each line, so that it fits 80 columns. `*`: the market that is asked for."""
    rows: list[list[str]] = []
    for line in made.lines:
        seconds = (("likely", line.likely_seconds), ("at most", line.most_seconds))
        likely, most = (f"{word} {duration(each) or UNKNOWN}" for word, each in seconds)
        tasks = f"{line.tasks:,}"
        rows += [
            [short(line.types), tasks, "an hour", *(_mark(line, m, _rate(line.cost(m).price)) for m in MARKETS)],
            [line.region, "", likely, *(_mark(line, m, _usd(line.cost(m).likely)) for m in MARKETS)],
            ["", "", most, *(_mark(line, m, _usd(line.cost(m).at_most)) for m in MARKETS)],
        ]  # fmt: skip
    if len(made.lines) > 1:
        rows += [
            ["all", f"{made.tasks:,}", "likely", *(total(made.likely(market)) for market in MARKETS)],
            ["", "", "at most", *(total(made.at_most(market)) for market in MARKETS)],
        ]
    print_table(["instance", "tasks", "each", *MARKETS], rows)


def _flat_table(made: Estimate) -> None:
    """For a file or a pipe: one row for each line, whole."""
    header = ["region", "instance_type", "tasks", "asked", "likely each", "at most each"]
    for market in MARKETS:
        header += [f"{market} an hour", f"{market} likely", f"{market} at most"]
    rows: list[list[str]] = []
    for line in made.lines:
        each = [duration(seconds) or UNKNOWN for seconds in (line.likely_seconds, line.most_seconds)]
        row = [line.region, "|".join(line.types), str(line.tasks), line.market, *each]
        for market in MARKETS:
            cost = line.cost(market)
            row += [_rate(cost.price), _usd(cost.likely), _usd(cost.at_most)]
        rows.append(row)
    print_table(header, rows)


def short(types: Sequence[str]) -> str:
    """`c5.4xlarge|m5.4xlarge`, or `c5.large +7` where they are too many."""
    whole = "|".join(types)
    return whole if len(whole) <= _TYPES_WIDTH else f"{types[0]} +{len(types) - 1}"


def _mark(line: Line, market: Market, text: str) -> str:
    return f"{text} *" if line.market == market else text


def _usd(amount: float | None) -> str:
    return UNKNOWN if amount is None else money(amount)


def _rate(price: Price | None) -> str:
    return UNKNOWN if price is None else per_hour(price.usd_per_hour).removesuffix("/h")


def _slot_rates(specs: Sequence[SourceSpec]) -> dict[str, float]:
    """USD per slot and hour, of those that say it."""
    return {
        spec.name: float(spec.options["cost_per_hour"]) for spec in specs if "cost_per_hour" in spec.options
    }


def _tell_others(plan: Plan, specs: Sequence[SourceSpec], *, beside: bool) -> None:
    """Sources that are paid by the slot, or not at all; `beside`: EC2 is another of them."""
    where, tasks = ", ".join(spec.name for spec in specs), plural(len(plan.tasks), "task")
    rates = _slot_rates(specs)
    price = f"; a slot costs {', '.join(f'{name} {per_hour(usd)}' for name, usd in rates.items())}"
    if not rates:
        price = ", which costs nothing that spawn-tui knows of"
    if beside:
        say(f"{plan.name}: what does not run on EC2 runs on {where}{price}")
        return
    ahead = ""
    if rates and plan.timeout is None:
        ahead = ". How long a task takes is known when some have run"
    elif rates and plan.timeout is not None:
        hours = len(plan.tasks) * (1 + plan.retries.max) * plan.timeout / 3600
        most = money(hours * max(rates.values()))
        ahead = f". At most {most}, by the timeout of {duration(plan.timeout)}"
    say(f"{plan.name}: {tasks} on {where}{price}{ahead}")
