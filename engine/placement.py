"""Where the tasks of a plan may run: what they ask of a source, and a cloud source for each region they name; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count, groupby

from .aws.counts import expand_counts, named_regions, regions_of, zone_regions
from .aws.spec_values import SpecError
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
    return Needs(kinds, named_regions(task.launch))


def suits(spec: SourceSpec, needs: Needs) -> bool:
    """Whether a source is what these tasks ask for, as `SourceState.suits` says of it in the sweep."""
    region = spec.options.get("region", "")
    return (not needs.kinds or spec.kind in needs.kinds) and (
        not needs.regions or not region or region in needs.regions
    )


def clouds_of(plan: Plan, specs: Sequence[SourceSpec]) -> list[tuple[SourceSpec, ...]]:
    """The cloud sources that each task may run on, in the order of `specs`. Raises `SpecError`."""
    clouds = [spec for spec in specs if spec.kind == CLOUD]
    known: dict[Needs, tuple[SourceSpec, ...]] = {}
    out: list[tuple[SourceSpec, ...]] = []
    for task in plan.tasks:
        needs = _needs(plan, task)
        if needs not in known:
            known[needs] = tuple(spec for spec in clouds if suits(spec, needs))
        out.append(known[needs])
    return out


def require_places(plan: Plan, specs: Sequence[SourceSpec]) -> None:
    """Raises `SpecError` over the first task whose regions none of the sources is in."""
    for task in plan.tasks:
        needs = _needs(plan, task)
        if not any(suits(spec, needs) for spec in specs):
            name = next((name for name in ("region", "regions", "az") if task.launch.get(name)), "region")
            there = ", ".join(spec.options.get("region", spec.name) for spec in specs)
            raise SpecError(
                name, task.launch.get(name), f"is not where the sources are ({there})",
                "write --sources ec2, without a region, for one source in each region that tasks name",
            )  # fmt: skip


def with_counts(plan: Plan) -> Plan:
    """`plan` with `count` and `regions` with counts made into tasks. Raises `SpecError`."""
    return replace(plan, tasks=expand_counts(plan.tasks))


def in_regions(
    specs: Sequence[SourceSpec], plan: Plan, environ: Mapping[str, str], home: Callable[[SourceSpec], str]
) -> list[SourceSpec]:
    """`specs` with each cloud source that names no region made into one for each region the tasks may run in.

    Where nobody says how many instances may run at a time, there are as many as tasks that may run there. `home` is
    asked for the user's own region, which a source's profile may name, if a task names none. Raises `SpecError`.
    """
    out: list[SourceSpec] = []
    for spec in specs:
        if spec.kind != CLOUD:
            out.append(spec)
            continue
        # Zones of the source itself say where its tasks run that name nothing.
        own = zone_regions(spec.options.get("az"))
        tasks = _tasks_by_region(plan, own, environ, lambda spec=spec: home(spec))
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


def _tasks_by_region(
    plan: Plan, own: tuple[str, ...], environ: Mapping[str, str], home: Callable[[], str]
) -> dict[str, int]:
    """How many tasks may run in each region, in the order the regions are first named. `own`: where those may that
    name none; empty: in the user's own region.
    """
    known: dict[str, tuple[str, ...]] = {}
    counts: dict[str, int] = {}
    for task in plan.tasks:
        key = repr([task.launch.get(name) for name in ("region", "regions", "az")])
        if key not in known:
            known[key] = named_regions(task.launch) or own
        if not known[key]:
            own = regions_of({}, environ, "" if _has_region(environ) else home())
            known[key] = own
        for region in known[key]:
            counts[region] = counts.get(region, 0) + 1
    return counts


def _has_region(environ: Mapping[str, str]) -> bool:
    """Whether the user's own region is said without asking for it."""
    return bool(environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"))
