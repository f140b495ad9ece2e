"""What `launch` does for sources in a cloud: which regions, what the instances are, and whether AWS will give them.

Whatever asks AWS is imported where it is needed: a sweep on this machine pays nothing for it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...engine.aws.spec_values import SpecError
from ...engine.ids import task_name
from ...engine.placement import CLOUD, clouds_of, in_regions, require_places, with_counts
from ...engine.plan.model import Plan, PlannedTask, Value
from ...engine.plan.runnable import why_not_runnable
from ...engine.sources.registry import SourceSpec
from .output import NOTHING_LAUNCHED, UserError, say

if TYPE_CHECKING:
    from ...engine.aws.check import Findings
    from ...engine.aws.cloud import Cloud
    from ...engine.aws.model import InstanceSpec

_ENVIRON = {"ami": "SPAWN_DEFAULT_AMI", "key_name": "SPAWN_KEY_NAME", "profile": "AWS_PROFILE"}


def implied_sources(fields: Mapping[str, Value]) -> tuple[str, ...]:
    """The sources of a launch that names none, by what its command line says of instances: on EC2, said in a line."""
    if not fields:
        return ()
    say(f"spawn-tui: {', '.join(map(_flag, fields))}: the tasks run on EC2, as with --sources ec2")
    return (CLOUD,)


def with_cloud(
    plan: Plan, specs: Sequence[SourceSpec], fields: Mapping[str, Value]
) -> tuple[Plan, list[SourceSpec]]:
    """Plan and sources with one source for each region, tasks for each `count`, and what the command line says of
    instances (`fields`, by the names of launch fields). Raises `UserError`.
    """
    if not _has_cloud(specs):
        if fields:
            raise UserError(f"{', '.join(map(_flag, fields))}: there is no EC2 source (--sources ec2)")
        return plan, list(specs)
    if fields:
        tasks = tuple(replace(task, launch={**task.launch, **fields}) for task in plan.tasks)
        plan = replace(plan, tasks=tasks)
    specs = [with_environment(spec) if spec.kind == CLOUD else spec for spec in specs]
    try:
        plan = with_counts(plan)
        return plan, in_regions(specs, plan, os.environ, lambda spec: _cloud(spec).home_region())
    except SpecError as error:
        raise _unusable(error) from None


def counted(plan: Plan, specs: Sequence[SourceSpec]) -> int:
    """How many tasks `plan` makes on these sources. Raises `UserError`."""
    try:
        return len((with_counts(plan) if _has_cloud(specs) else plan).tasks)
    except SpecError as error:
        raise _unusable(error) from None


def with_environment(spec: SourceSpec) -> SourceSpec:
    """What stands in the environment holds for the sweep, also when its engine is started from elsewhere."""
    found = {name: os.environ[variable] for name, variable in _ENVIRON.items() if os.environ.get(variable)}
    return replace(spec, options={**found, **spec.options})


def why_not(plan: Plan, specs: Sequence[SourceSpec]) -> str | None:
    """Why these sources cannot run what `plan` asks for, in words; None if they can, as far as that is known here."""
    ends = any(spec.options.get(name) for spec in specs for name in ("ttl", "idle_timeout"))
    reason = why_not_runnable(plan, [spec.kind for spec in specs], ends=ends)
    if reason is not None or not _has_cloud(specs):
        return reason
    try:
        require_places(plan, specs)
        instances_of(plan, specs)
    except (SpecError, UserError) as error:
        return str(error)
    return None


def remarks(plan: Plan, specs: Sequence[SourceSpec]) -> list[str]:
    """What the user should know of launch fields that have no effect, each once."""
    from ...engine.aws.spec import unsupported_fields

    if _has_cloud(specs):
        return list(dict.fromkeys(text for task in plan.tasks for text in unsupported_fields(task.launch)))
    fields = dict.fromkeys(name for task in plan.tasks for name in task.launch)
    if plan.command is None or not fields:
        return []
    return [f"fields for EC2 have no effect on these sources: {', '.join(fields)}"]


def instances_of(
    plan: Plan, specs: Sequence[SourceSpec], only: Collection[int] | None = None
) -> dict[tuple[str, InstanceSpec], list[int]]:
    """The instances that tasks may run on, by source and wish, each with the indices of its tasks (from 0).

    A task is named under every source that it may run on. `only`: the indices of the tasks that matter. Raises
    `UserError`.
    """
    from ...engine.aws.spec import SpecDefaults, spec_of

    defaults = {spec.name: SpecDefaults.of(spec.options) for spec in specs if spec.kind == CLOUD}
    known: dict[tuple[str, int], InstanceSpec] = {}
    found: dict[tuple[str, InstanceSpec], list[int]] = {}
    for index, (task, clouds) in enumerate(zip(plan.tasks, clouds_of(plan, specs), strict=True)):
        if only is not None and index not in only:
            continue
        for spec in clouds:
            key = (spec.name, id(task.launch))  # tasks that say nothing of their own share one mapping
            try:
                if key not in known:
                    known[key] = spec_of(task.launch, spec.options["region"], defaults[spec.name])
            except SpecError as error:
                raise UserError(f"{task_name(index)}: {error}") from None
            found.setdefault((spec.name, known[key]), []).append(index)
    return found


def estimated(plan: Plan, specs: Sequence[SourceSpec], *, as_json: bool = False, budget: float = 0.0) -> int:
    """What the sweep may cost; nothing is launched. A task that may run in several regions is taken to run in the
    first. Raises `UserError`.
    """
    from .estimate import estimate_of

    if not _has_cloud(specs):
        return estimate_of(plan, specs, as_json=as_json, budget=budget)
    from ...engine.aws.check import resolved
    from ...engine.aws.errors import AwsError
    from ...engine.aws.estimate import work_of
    from ...engine.aws.prices import Prices

    clouds = {spec.name: _cloud(spec) for spec in specs if spec.kind == CLOUD}
    seen: set[int] = set()
    wishes: dict[InstanceSpec, int] = {}
    try:
        for (name, wish), tasks in instances_of(plan, specs).items():
            fresh = [index for index in tasks if index not in seen]
            seen.update(fresh)
            if fresh:
                ready = resolved(wish, clouds[name])
                wishes[ready] = wishes.get(ready, 0) + len(fresh)
    except SpecError as error:
        raise _unusable(error) from None
    except AwsError as error:
        raise UserError(f"cannot estimate this: AWS says {error}", status=NOTHING_LAUNCHED) from None
    work = work_of(wishes, timeout=plan.timeout, tries=1 + plan.retries.max)
    prices = Prices(next(iter(clouds.values())))
    return estimate_of(plan, specs, work, prices, as_json=as_json, budget=budget)


def warn_of_budget(plan: Plan, specs: Sequence[SourceSpec]) -> None:
    """Say which instances a budget will not see, because nobody knows what they cost."""
    if not _has_cloud(specs):
        return
    from ...engine.aws.prices import Prices
    from .budget import warn_unseen

    wishes: dict[InstanceSpec, int] = {}
    seen: set[int] = set()
    for (_, wish), tasks in instances_of(plan, specs).items():
        fresh = set(tasks) - seen
        seen |= fresh
        if fresh and not any(
            "*" in name for name in wish.types
        ):  # what a pattern becomes is known at the launch
            wishes[wish] = wishes.get(wish, 0) + len(fresh)
    prices = Prices(_cloud(next(spec for spec in specs if spec.kind == CLOUD)))
    prices.fetch(
        (wish.region, name, "spot" if wish.spot else "on-demand") for wish in wishes for name in wish.types
    )
    warn_unseen(wishes.items(), prices.price)


def check_clouds(plan: Plan, specs: Sequence[SourceSpec]) -> tuple[Plan, list[SourceSpec]]:
    """Ask AWS whether this can be launched; warnings are said.

    Returns plan and sources without those places that AWS refuses to tasks which may run elsewhere. Raises `UserError`
    over a definite no: all of them.
    """
    if not _has_cloud(specs):
        return plan, list(specs)
    wishes = instances_of(plan, specs)
    findings = _findings(plan, specs, wishes)
    refused: dict[str, set[int]] = {}
    allowed: dict[str, set[int]] = {}
    for number, ((name, _), tasks) in enumerate(wishes.items()):
        (refused if number in findings.refused else allowed).setdefault(name, set()).update(tasks)
    useless = [spec for spec in specs if spec.name in refused.keys() - allowed.keys()]
    for spec in useless:
        say(f"spawn-tui: warning: {spec.name} is left out: AWS would launch none of the tasks there")
    kept = [spec for spec in specs if spec not in useless]
    lost = {index for spec in kept for index in refused.get(spec.name, ())}
    return _narrowed(plan, kept, lost, allowed), kept


def check_added(plan: Plan, specs: Sequence[SourceSpec], indices: Collection[int]) -> None:
    """Ask AWS whether the tasks at `indices` can be launched on sources that a sweep is to get; warnings are said.

    What a task asks for is written down by then. Raises `UserError` where one of these sources could not take a task.
    """
    if not _has_cloud(specs):
        return
    wishes = instances_of(plan, specs, set(indices))
    if wishes and _findings(plan, specs, wishes).refused:
        raise UserError(
            "some tasks could not be launched on all of these sources; name only those that can take them",
            status=NOTHING_LAUNCHED,
        )


def _findings(
    plan: Plan, specs: Sequence[SourceSpec], wishes: Mapping[tuple[str, InstanceSpec], list[int]]
) -> Findings:
    """What AWS says of these instances; warnings are said. Raises `UserError` over a definite no: all of them."""
    from ...engine.aws.check import Group, Place, check_launch
    from ...engine.aws.launch_request import own_tags

    accounts: dict[str, Cloud] = {}
    places: dict[str, Place] = {}
    for spec in specs:
        if spec.kind == CLOUD:
            profile = spec.options.get("profile", "")
            if profile not in accounts:
                accounts[profile] = _cloud(spec)
            places[spec.name] = Place(
                accounts[profile],
                spec.name,
                min(spec.slots, plan.max_concurrent or spec.slots),
                spec.options.get("bucket", ""),
                own_tags(sweep_id="check", sweep_name=plan.name, source=spec.name),
            )
    say("spawn-tui: asking AWS whether these instances can be launched")
    findings = check_launch(
        [
            Group(wish, tuple(index + 1 for index in tasks), places[name])
            for (name, wish), tasks in wishes.items()
        ]
    )
    for text in findings.warnings:
        say(f"spawn-tui: warning: {text}")
    if findings.errors:
        raise UserError("\n".join(["AWS would not launch this", *findings.errors]), status=NOTHING_LAUNCHED)
    return findings


def _narrowed(
    plan: Plan, specs: Sequence[SourceSpec], lost: Collection[int], allowed: Mapping[str, Collection[int]]
) -> Plan:
    """`plan` with the tasks in `lost`, which AWS refuses somewhere, kept to the regions where it does not."""
    if not lost:
        return plan
    tasks = list(plan.tasks)
    for index in lost:
        regions: dict[str, None] = dict.fromkeys(
            spec.options["region"] for spec in specs if index in allowed.get(spec.name, ())
        )
        tasks[index] = _kept_to(tasks[index], list(regions))
    return replace(plan, tasks=tuple(tasks))


def _kept_to(task: PlannedTask, regions: list[str]) -> PlannedTask:
    if "region" in task.launch:
        return task  # its region has several sources, and one of them takes it
    return replace(task, launch={**task.launch, "regions": [*regions]})


def _has_cloud(specs: Sequence[SourceSpec]) -> bool:
    return any(spec.kind == CLOUD for spec in specs)


def _cloud(spec: SourceSpec) -> Cloud:
    """The account of a source."""
    from ...engine.aws.cloud import Cloud

    return Cloud(spec.options.get("profile", ""))


def _unusable(error: SpecError) -> UserError:
    return UserError(f"cannot use this file\n{error}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
