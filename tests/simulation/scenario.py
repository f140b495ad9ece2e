"""What kind of day a seed stands for: the sweep, its sources, and which faults there are at all.

Every fault is left out of about half of the days ("swarm testing"): a day with everything at once never gets far
enough to show what one fault alone would break.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from random import Random

from spawn_tui.engine import events as ev
from spawn_tui.engine.plan.model import Plan, PlannedTask

from .faults import Fate
from .source import Temper

KINDS: tuple[ev.FailureKind, ...] = (
    "exit", "signal", "timeout", "out_of_memory", "launch_failed", "spot_interrupted", "source_lost",
)  # fmt: skip
SWEEP_ID = "sim-20260101-abcdef"
ACTIONS = (
    "cancel", "cancel_tasks", "force", "pause", "resume", "retry", "retry_tasks", "slots", "limit", "nonsense",
    "again", "stop", "drain", "partition", "host_dies", "disk_full", "rush", "add_source", "remove_source",
    "enable_source", "full_cluster",
)  # fmt: skip
"""What people and the world do to a sweep while it runs."""
CLOUD_ACTIONS = ("capacity", "spot", "terminated", "budget", "capacity", "spot")
"""What else happens on a day with clouds."""
REGIONS = ("here", "there")
NEEDS = (
    ev.Needs(), ev.Needs(("ec2",)), ev.Needs((), ("here",)), ev.Needs((), ("there",)),
    ev.Needs(("ec2", "cluster"), ("here", "there")), ev.Needs(("ec2",), ("there",)),
)  # fmt: skip
NOWHERE = ev.Needs(("ec2",), ("nowhere",))


@dataclass(frozen=True, slots=True)
class Scenario:
    plan: Plan
    first: tuple[ev.Event, ...]
    lasts: float
    """Seconds until faults cease."""
    fates: tuple[Fate, ...]
    """What may strike engines."""
    actions: tuple[str, ...]
    pace: float
    """Seconds between two actions on average."""
    temper: Temper
    slow: float
    length: float
    rotate_every: int
    tick: float
    clock_jumps: bool
    never_returns: bool
    """Whether a host that goes away may stay away for good."""
    clouds: bool = False
    """Whether there are clouds, regions, prices and budgets on this day."""


def draw(rng: Random) -> Scenario:
    def sometimes(value: float, chance: float = 0.5) -> float:
        return rng.random() * value if rng.random() < chance else 0.0

    total = min(40, 1 + int(rng.expovariate(1 / 8)))
    where = rng.choice(
        (("local",), ("local", "remote", "moody"), ("local", "remote", "cluster"), ("local", "cluster"))
    )
    kinds = [rng.choice(where) for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))]
    if "cluster" in kinds:
        total += 10  # else nothing waits
    first: list[ev.Event] = [
        ev.SweepCreated(
            SWEEP_ID, "sim", total, "/project",
            max_concurrent=rng.choice((None, None, 1, 2, 5)),
            launch_delay=sometimes(0.4, 0.25),
            retry_max=rng.choice((0, 0, 1, 2, 3)),
            retry_backoff=rng.choice((0.0, 0.01, 0.3, 1.0)),
            retry_on=tuple(kind for kind in KINDS if rng.random() < 0.7),
            strategy=rng.choice(("round_robin", "least_loaded", "random", "fastest")),
            grace=rng.choice((0.3, 1.0, 4.0)),
            rules=(
                ("strikes", rng.choice((1, 3))), ("failure_tasks", rng.choice((2, 5))),
                ("cooldown", rng.choice((0.2, 2.0, 300.0))), ("probes", rng.choice((1, 3))),
                ("withdraw_after", rng.choice((0.0, 0.5, 5.0))),
            ),
        )
    ]  # fmt: skip
    for number, kind in enumerate(kinds, 1):
        first.append(
            ev.SourceAdded(
                f"{kind}-{number}",
                kind,
                rng.randint(1, 4),
                queue=kind == "cluster",
                elsewhere=kind != "local",
            )
        )
    fates = [fate for fate in Fate if rng.random() < 0.5]
    return Scenario(
        plan=Plan("spawn", "sim", tuple(PlannedTask("", {"i": index}) for index in range(total)), command="true"),
        first=tuple(first),
        lasts=rng.random() * rng.choice((3.0, 10.0, 20.0)),
        fates=tuple(fates),
        actions=tuple(action for action in ACTIONS if rng.random() < 0.5),
        pace=rng.choice((0.1, 0.4, 1.5)),
        temper=Temper(
            late=sometimes(0.4), twice=sometimes(0.4), again=sometimes(0.2), fails=sometimes(0.3),
            refuses=sometimes(0.3), faulty=sometimes(1.0), slams=sometimes(0.02, 0.3),
            loses=sometimes(0.3), cannot_tell=sometimes(0.4),
        ),
        slow=rng.choice((0.01, 0.3, 2.0)),
        length=rng.choice((0.2, 1.0, 3.0, 10.0)),
        rotate_every=rng.choice((1_000_000, 40, 8)),
        tick=rng.choice((0.0, 0.0, 0.0003)),
        clock_jumps=rng.random() < 0.4,
        never_returns=rng.random() < 0.2,
    )  # fmt: skip


def with_clouds(plain: Scenario, rng: Random) -> Scenario:
    """The same day, with machines for rent among its sources, tasks that ask for regions, and money to be counted."""
    frame, *sources = plain.first
    assert isinstance(frame, ev.SweepCreated)
    asked = [rng.choice(NEEDS) for _ in range(rng.choice((0, 1, 2, 2, 3)))]
    if asked and rng.random() < 0.1:
        asked.append(NOWHERE)
    needs = tuple(dict.fromkeys(asked))
    group_of = [rng.randrange(len(needs)) for _ in range(frame.total if needs else 0)]
    frame = replace(
        frame,
        needs=needs,
        groups=tuple((group, len(list(run))) for group, run in groupby(group_of)),
        budget=rng.choice((0.0, 0.0, 0.5, 5.0, 40.0)),
        budget_action=rng.choice(("pause", "terminate")),
    )
    first: list[ev.Event] = [frame]
    for number, source in enumerate(sources, 1):
        assert isinstance(source, ev.SourceAdded)
        first.append(_in_a_region(source, number, rng, cloud=number == 1 or rng.random() < 0.4))
    return replace(
        plain,
        first=tuple(first),
        actions=(*plain.actions, *(action for action in CLOUD_ACTIONS if rng.random() < 0.5)),
        temper=replace(plain.temper, final=rng.choice((0.0, 0.0, 0.1))),
        clouds=True,
    )


def _in_a_region(source: ev.SourceAdded, number: int, rng: Random, *, cloud: bool) -> ev.SourceAdded:
    grace = rng.choice((0.0, 0.0, 0.2, 8.0))
    options = (("region", rng.choice(REGIONS)),) if cloud or rng.random() < 0.4 else ()
    if cloud:
        return ev.SourceAdded(f"ec2-{number}", "ec2", rng.randint(1, 6), options, elsewhere=True, grace=grace)
    price = (("cost_per_hour", rng.choice(("360", "3600"))),) if rng.random() < 0.3 else ()
    return replace(source, options=(*price, *options), grace=grace)
