"""What `launch` does for sources in a cloud: which regions, what the instances are, and whether AWS will give them.

Whatever asks AWS is imported where it is needed: a sweep on this machine pays nothing for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...engine.aws.spec_values import SpecError
from ...engine.placement import CLOUD, in_regions, with_counts
from ...engine.plan.model import Plan, Value
from ...engine.sources.registry import SourceSpec
from .output import UserError, say

if TYPE_CHECKING:
    from ...engine.aws.cloud import Cloud
    from ...engine.aws.model import InstanceSpec

_ENVIRON = {"ami": "SPAWN_DEFAULT_AMI", "key_name": "SPAWN_KEY_NAME", "profile": "AWS_PROFILE"}


def with_cloud(
    plan: Plan, specs: Sequence[SourceSpec], fields: Mapping[str, Value]
) -> tuple[Plan, list[SourceSpec]]:
    """Plan and sources with one source for each region, tasks for each `count`, and what the command line says of
    instances (`fields`, by the names of launch fields). Raises `UserError`.
    """
    if not any(spec.kind == CLOUD for spec in specs):
        if fields:
            raise UserError(
                f"{', '.join(_flag(name) for name in fields)}: there is no EC2 source (--sources ec2)"
            )
        return plan, list(specs)
    if fields:
        tasks = tuple(replace(task, launch={**task.launch, **fields}) for task in plan.tasks)
        plan = replace(plan, tasks=tasks)
    specs = [_with_environment(spec) if spec.kind == CLOUD else spec for spec in specs]
    try:
        plan = with_counts(plan)
        return plan, in_regions(specs, plan, os.environ, lambda: _cloud(specs).home_region())
    except SpecError as error:
        raise UserError(f"cannot use this file\n{error}") from None


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _with_environment(spec: SourceSpec) -> SourceSpec:
    """What stands in the environment holds for the sweep, also when its engine is started from elsewhere."""
    found = {name: os.environ[variable] for name, variable in _ENVIRON.items() if os.environ.get(variable)}
    return replace(spec, options={**found, **spec.options})


def _cloud(specs: Sequence[SourceSpec]) -> Cloud:
    from ...engine.aws.cloud import Cloud

    profile = next((spec.options["profile"] for spec in specs if spec.options.get("profile")), "")
    return Cloud(profile)


def instances_of(plan: Plan, specs: Sequence[SourceSpec]) -> dict[InstanceSpec, list[int]]:
    """The instances that tasks ask for, each with the numbers of its tasks (from 1). Raises `UserError`.

    A task that may run in several regions is taken to run in the first.
    """
    from ...engine.aws.spec import SpecDefaults, spec_of

    found: dict[InstanceSpec, list[int]] = {}
    clouds = {spec.options["region"]: spec for spec in specs if spec.kind == CLOUD}
    for number, task in enumerate(plan.tasks, 1):
        named = task.launch.get("region")
        region = named if isinstance(named, str) and named in clouds else next(iter(clouds))
        try:
            wish = spec_of(task.launch, region, SpecDefaults.of(clouds[region].options, {}))
        except SpecError as error:
            raise UserError(f"cannot use this file\ntask_{number:03d}: {error}") from None
        found.setdefault(wish, []).append(number)
    return found


def estimated(plan: Plan, specs: Sequence[SourceSpec], *, as_json: bool = False, budget: float = 0.0) -> int:
    """What the sweep may cost; nothing is launched. Raises `UserError`."""
    from .estimate import estimate_of

    if not any(spec.kind == CLOUD for spec in specs):
        return estimate_of(plan, specs, as_json=as_json, budget=budget)
    from ...engine.aws.check import resolved
    from ...engine.aws.estimate import work_of
    from ...engine.aws.prices import Prices

    cloud = _cloud(specs)
    wishes = [resolved(wish, cloud) for wish, tasks in instances_of(plan, specs).items() for _ in tasks]
    work = work_of(wishes, timeout=plan.timeout, tries=1 + plan.retries.max)
    return estimate_of(plan, specs, work, Prices(cloud), as_json=as_json, budget=budget)


def remarks(plan: Plan, specs: Sequence[SourceSpec]) -> list[str]:
    """What the user should know of launch fields that have no effect, each once."""
    from ...engine.aws.spec import unsupported_fields

    if not any(spec.kind == CLOUD for spec in specs):
        return []
    return list(dict.fromkeys(text for task in plan.tasks for text in unsupported_fields(task.launch)))


def check_clouds(plan: Plan, specs: Sequence[SourceSpec]) -> None:
    """Ask AWS whether this can be launched; warnings are said. Raises `UserError` over a definite no: all of them."""
    if not any(spec.kind == CLOUD for spec in specs):
        return
    from ...engine.aws.check import Group, check_launch
    from ...engine.aws.launch_request import own_tags

    clouds = [spec for spec in specs if spec.kind == CLOUD]
    groups = [Group(wish, tuple(tasks)) for wish, tasks in instances_of(plan, specs).items()]
    concurrent = {
        spec.options["region"]: min(spec.slots, plan.max_concurrent or spec.slots) for spec in clouds
    }
    say("spawn-tui: asking AWS whether these instances can be launched")
    findings = check_launch(
        groups,
        concurrent,
        _cloud(specs),
        bucket=clouds[0].options.get("bucket", ""),
        tags=own_tags(sweep_id="check", sweep_name=plan.name, source=clouds[0].name),
    )
    for text in findings.warnings:
        say(f"spawn-tui: warning: {text}")
    if findings.errors:
        raise UserError("\n".join(["AWS would not launch this", *findings.errors]), status=3)
