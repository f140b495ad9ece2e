"""Where the tasks of a plan may run: what they ask of a source, and a cloud source for each region they name; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count, groupby

from .aws.counts import expand_counts, regions_of
from .events import Needs
from .plan.model import Plan, PlannedTask
from .sources.registry import KINDS, SourceSpec

CLOUD = "ec2"


def needs_of(
    plan: Plan, specs: Sequence[SourceSpec]
) -> tuple[tuple[Needs, ...], tuple[tuple[int, int], ...]]:
    """What groups of tasks ask of a source, and which tasks are which group's (place in the first, how many in a row).

    Both are empty where no task asks for anything, or no source is a cloud's.
    """
    if not any(spec.kind in KINDS and KINDS[spec.kind].cloud for spec in specs):
        return (), ()
    places: dict[Needs, int] = {}
    numbers = [places.setdefault(_needs(plan, task), len(places)) for task in plan.tasks]
    if set(places) == {Needs()}:
        return (), ()
    return tuple(places), tuple((number, len(list(run))) for number, run in groupby(numbers))


def _needs(plan: Plan, task: PlannedTask) -> Needs:
    # Without a command there is only what an instance does by itself.
    kinds = () if plan.command is not None else (CLOUD,)
    named = "region" in task.launch or "regions" in task.launch
    return Needs(kinds, regions_of(task.launch, {}) if named else ())


def with_counts(plan: Plan) -> Plan:
    """`plan` with `count` and `regions` with counts made into tasks. Raises `SpecError`."""
    return replace(plan, tasks=expand_counts(plan.tasks))


def in_regions(
    specs: Sequence[SourceSpec], plan: Plan, environ: Mapping[str, str], home: Callable[[], str]
) -> list[SourceSpec]:
    """`specs` with each cloud source that names no region made into one for each region the tasks may run in.

    Where nobody says how many instances may run at a time, there are as many as tasks that may run there. `home` is
    asked for the user's own region if a task names none. Raises `SpecError`.
    """
    out: list[SourceSpec] = []
    for spec in specs:
        if spec.kind != CLOUD:
            out.append(spec)
            continue
        tasks = _tasks_by_region(plan, environ, home)
        if region := spec.options.get("region"):
            out.append(_named(_sized(spec, tasks.get(region, len(plan.tasks))), out))
            continue
        for region, number in tasks.items():
            options = {**spec.options, "region": region}
            name = spec.name if len(tasks) == 1 and spec.name != CLOUD else f"{spec.name}-{region}"
            out.append(_named(_sized(replace(spec, name=name, options=options), number), out))
    return out


def _named(spec: SourceSpec, others: Sequence[SourceSpec]) -> SourceSpec:
    """`spec`, with a number behind its name if another has it already."""
    taken = {other.name for other in others}
    if spec.name not in taken:
        return spec
    return replace(spec, name=next(f"{spec.name}-{n}" for n in count(2) if f"{spec.name}-{n}" not in taken))


def _sized(spec: SourceSpec, tasks: int) -> SourceSpec:
    return replace(spec, slots=min(spec.slots, max(1, tasks)))


def _tasks_by_region(plan: Plan, environ: Mapping[str, str], home: Callable[[], str]) -> dict[str, int]:
    """How many tasks may run in each region, in the order the regions are first named."""
    known: dict[tuple[str, str], tuple[str, ...]] = {}
    counts: dict[str, int] = {}
    own = ""
    for task in plan.tasks:
        key = (str(task.launch.get("region")), str(task.launch.get("regions")))
        if key not in known:
            if key == ("None", "None") and not own:
                own = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or home()
            known[key] = regions_of(task.launch, environ, own or "us-east-1")
        for region in known[key]:
            counts[region] = counts.get(region, 0) + 1
    return counts
