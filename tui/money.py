"""What a sweep and its tasks cost, as the screen tells it. Pure; USD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine.cost import (
    attempt_cost,
    budget_money,
    cost_words,
    costs,
    in_words,
    money,
    projected,
    sweep_cost,
)

if TYPE_CHECKING:
    from ..engine.model import Sweep, Task

COLUMN = 8
"""Cells of a column of money."""


def spent_of(task: Task) -> float:
    """What those of its attempts which have ended have cost, as far as prices are known."""
    return sum(attempt_cost(a, a.ended_at) or 0.0 for a in task.attempts if a.ended_at is not None)


def cost_forms(sweep: Sweep, now: float) -> tuple[str, ...]:
    """What it costs, the most telling words first, each shorter than the one before; empty for one that costs nothing.

    What it will come to is told as long as anything but what it has cost can be left out.
    """
    whole = cost_words(sweep, now, " · ")
    if not whole:
        return ()
    if sweep.ended is not None or not costs(sweep):
        return tuple(dict.fromkeys((whole, whole.partition(" of ")[0])))
    current, ahead = in_words(sweep_cost(sweep, now)), projected(sweep, now)
    of = f" of {budget_money(sweep.budget)}" if sweep.budget else ""
    if ahead is None or ahead.unknown:
        return tuple(dict.fromkeys((whole, f"current {current}{of}", f"current {current}")))
    end = in_words(ahead)
    forms = (
        whole,
        f"{current} · projected {end}{of}",
        f"{current} · proj. {end}{of}",
        f"{current} · proj. {end}",
    )
    return tuple(dict.fromkeys((*forms, current)))


def column_money(usd: float) -> str:
    """In the eight cells of a column: `$0.0012`, `$.000087`, `<$.00001`, `$123,040`."""
    words = money(usd)
    return words if len(words) <= COLUMN else words.replace("$0.", "$.")
