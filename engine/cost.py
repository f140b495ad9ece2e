"""What a sweep costs: so far, by the hour, and in the end if it goes on like this. Pure; money in USD.

A price that is not known counts nothing and is never hidden: a sum that lacks something says so. Attempts on sources
of which nobody gave a price (a local machine without `cost_per_hour`) cost nothing that this program knows of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .model import Attempt, SourceState, Sweep, Task, TaskState
from .source_state import PRICED
from .words import blind_words

_HOUR = 3600.0
_NOTHING = 1e-9
"""USD per hour below which a sum of rates is what rounding has left."""


@dataclass(frozen=True, slots=True)
class Amount:
    """USD, or USD per hour; `partly_unknown`: of what is known, and something is not."""

    usd: float
    partly_unknown: bool = False

    @property
    def unknown(self) -> bool:
        """Whether nothing of it is known."""
        return self.partly_unknown and self.usd == 0.0


def costs(sweep: Sweep) -> bool:
    """Whether the sweep has a source that costs something, or may."""
    return any(
        source.kind in PRICED or source.price is not None or source.spent or source.rate
        for source in sweep.sources.values()
    )


def attempt_cost(attempt: Attempt, now: float) -> float | None:
    """USD until `now`, or until its end; None if nobody knows its price. What never began has cost nothing."""
    if attempt.started_at is None:
        return 0.0
    if attempt.rate is None:
        return None
    if attempt.ended_at is not None:
        return attempt.cost
    return attempt.rate * max(attempt.least_seconds, now - attempt.started_at) / _HOUR


def task_cost(sweep: Sweep, task: Task, now: float) -> Amount:
    """All attempts of the task together."""
    usd, unknown = 0.0, False
    for attempt in task.attempts:
        cost = attempt_cost(attempt, now)
        if cost is not None:
            usd += cost
        else:
            source = sweep.sources.get(attempt.source)
            unknown = unknown or (source is not None and source.kind in PRICED)
    return Amount(usd, unknown)


def source_cost(source: SourceState, now: float) -> Amount:
    """All attempts of the source together; O(1) in their number."""
    return Amount(source.cost(now), source.unpriced > 0)


def sweep_cost(sweep: Sweep, now: float) -> Amount:
    """All sources together."""
    return _sum(source_cost(source, now) for source in sweep.sources.values())


def certain_cost(sweep: Sweep, now: float) -> float:
    """USD that nobody can take back any more, as far as prices are known.

    Of a source that a new engine is about to hear only what has ended counts: the rest may have ended long ago.
    """
    return sum(
        source.spent if source.is_awaited(now) else source.cost(now) for source in sweep.sources.values()
    )


def burn_rate(sweep: Sweep) -> Amount:
    """USD per hour of what runs now."""
    return _sum(
        Amount(source.rate, source.unpriced > 0 and bool(source.active)) for source in sweep.sources.values()
    )


def projected(sweep: Sweep, now: float) -> Amount | None:
    """USD at the end, if each task that is left costs what those that are done have cost on average, retries included.

    None while no task is done. What runs already costs what it has cost, if that is more.
    """
    cost = sweep_cost(sweep, now)
    if sweep.ended is not None or sweep.done == sweep.total:
        return cost
    done = sweep.counts[TaskState.COMPLETED] + sweep.counts[TaskState.FAILED]
    if not done:
        return None
    spent = sum(source.spent for source in sweep.sources.values())
    mean = spent / done
    under_way = max(cost.usd - spent, sweep.active * mean)
    waiting = sweep.counts[TaskState.PENDING] * mean
    return Amount(spent + under_way + waiting, cost.partly_unknown)


def when_spent(sweep: Sweep, usd: float, now: float) -> float | None:
    """When the sweep will have cost `usd` for certain, if nothing begins, ends or is heard before; None if never."""
    grows: list[tuple[float, float]] = []
    """When what is charged for its first minute begins to cost more, and by how much an hour."""
    rate = 0.0
    for source in sweep.sources.values():
        if source.is_awaited(now):
            continue
        rate += source.rate
        grows += [(start + source.least_seconds, young) for start, (young, _) in source.young.items()]
    grows = sorted(grow for grow in grows if grow[0] > now)
    rate -= sum(young for _, young in grows)
    left = usd - certain_cost(sweep, now)
    if left <= 0:
        return now
    for at, young in grows:
        if rate > 0 and left <= rate * (at - now) / _HOUR:
            break
        left -= rate * (at - now) / _HOUR
        now, rate = at, rate + young
    return now + left / rate * _HOUR if rate > _NOTHING else None


def blind(sweep: Sweep) -> dict[str, list[int]]:
    """The tasks that run at a price nobody knows, by source: no budget sees them."""
    found: dict[str, list[int]] = {}
    for source in sweep.sources.values():
        if not source.unpriced:
            continue
        latest = ((index, sweep.tasks[index].attempts[-1]) for index in sorted(source.active))
        tasks = [
            index for index, attempt in latest if attempt.started_at is not None and attempt.rate is None
        ]
        if tasks:
            found[source.name] = tasks
    return found


def blind_lines(sweep: Sweep, type_of: Callable[[int], str] = lambda task: "") -> list[str]:
    """What its budget does not see, a line for each type of instance (`type_of`, by task), or for each source.

    Nothing for a sweep that has no budget.
    """
    counts: dict[str, int] = {}
    for source, tasks in blind(sweep).items() if sweep.budget else ():
        for task in tasks:
            what = type_of(task) or f"what runs on {source}"
            counts[what] = counts.get(what, 0) + 1
    return [blind_words(what, count) for what, count in counts.items()]


def _sum(amounts: Iterable[Amount]) -> Amount:
    usd, unknown = 0.0, False
    for amount in amounts:
        usd += amount.usd
        unknown = unknown or amount.partly_unknown
    return Amount(usd, unknown)


# --- in words ----------------------------------------------------------------------------------------------------


def money(usd: float) -> str:
    """As a person weighs it: `$0.00017`, `$0.0012`, `$3.41`, `$1,204`; what is small keeps two digits, for sums."""
    if usd == 0:
        return "$0"
    if usd < 0.000005:
        return "<$0.00001"
    if usd < 0.0001:
        return f"${usd:.6f}"
    if usd < 0.001:
        return f"${usd:.5f}"
    if round(usd, 4) < 0.1:
        return f"${usd:.4f}"
    return f"${usd:.2f}" if round(usd, 2) < 1000 else f"${usd:,.0f}"


def budget_money(usd: float) -> str:
    """As a person wrote it: `$25`, `$0.50`."""
    return f"${usd:,.0f}" if usd == int(usd) else f"${usd:,.2f}"


def per_hour(usd: float) -> str:
    """A price as AWS writes it, to five digits: `$0.0104/h`, `$0.68/h`, `$13.10904/h`."""
    whole, _, cents = f"{usd:,.5f}".partition(".")
    return f"${whole}.{cents.rstrip('0').ljust(2, '0')}/h"


def in_words(value: Amount) -> str:
    """`$1.20`, `at least $1.20` where something is not known, `unknown`."""
    if value.unknown:
        return "unknown"
    return f"at least {money(value.usd)}" if value.partly_unknown else money(value.usd)


def cost_words(sweep: Sweep, now: float, separator: str = " · ") -> str:
    """`current $1.20 · projected $4.90 of $25 budget`; empty for a sweep that costs nothing and has no budget.

    Of a sweep that has ended: `cost $4.90 of $25 budget`. What runs at an unknown price is said of a budget.
    """
    if not costs(sweep) and not sweep.budget:
        return ""
    now = sweep.ended_at if sweep.ended_at is not None else now
    current, ahead = sweep_cost(sweep, now), projected(sweep, now)
    if sweep.ended is not None:
        parts = [f"cost {in_words(current)}"]
    else:
        parts = [f"current {in_words(current)}"]
        if ahead is not None and not ahead.unknown:
            parts.append(f"projected {in_words(ahead)}")
    budget = f" of {budget_money(sweep.budget)} budget" if sweep.budget else ""
    unseen = sum(map(len, blind(sweep).values())) if sweep.budget and sweep.ended is None else 0
    if unseen:
        budget += f", which does not see {'1 instance' if unseen == 1 else f'{unseen:,} instances'}"
    return separator.join(parts) + budget
