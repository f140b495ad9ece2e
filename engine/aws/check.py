"""Everything that is checked before a launch, for all tasks of a sweep: asked once for what is distinct, and at once.

All that is wrong is told together. Nothing is made or changed; the dry runs launch nothing.
"""

from __future__ import annotations

import difflib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from . import limits, network
from .aspects import ASPECTS, Found, Notes, judged
from .cloud import Cloud
from .dry_run import dry_run
from .errors import AwsError
from .model import TAG_MANAGED, InstanceSpec
from .parallel import Answer, Asker
from .roles import is_there, own_profile
from .spec_values import SpecError
from .types import expand

LIMIT = 25.0
"""Seconds for all questions together; what is not answered then is a warning."""
_MOST_SPANS = 8
"""Runs of task numbers that a message names."""
_DRY_FIELDS = (
    "tags",
    "iam_policy",
    "on_complete",
    "spot_max_price",
    *(name for *_, names in ASPECTS for name in names),
)
"""What a dry run depends on; times and scripts do not matter to it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks with equal specs."""

    spec: InstanceSpec
    tasks: tuple[int, ...]
    """Their numbers, from 1."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What is to be said before a launch; with an error nothing should be launched."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    specs: tuple[InstanceSpec, ...]
    """The groups' specs, in their order, as they were found: types without patterns, names as ids."""


class _Said(NamedTuple):
    """Messages, each with the tasks it is about."""

    errors: defaultdict[str, set[int]]
    warnings: defaultdict[str, set[int]]

    def add(self, found: Found, tasks: Iterable[int]) -> None:
        for texts, heap in ((found.errors, self.errors), (found.warnings, self.warnings)):
            for text in texts:
                heap[text].update(tasks)


def check_launch(
    groups: Sequence[Group],
    concurrent: Mapping[str, int],
    cloud: Cloud,
    user_data_size: Mapping[str, int] | None = None,
    *,
    bucket: str = "",
    tags: Mapping[str, str] | None = None,
    now: Callable[[], float] = time.time,
    limit: float = LIMIT,
) -> Findings:
    """What is wrong with launching `groups`, and what may be.

    `concurrent`: instances at a time, by region. `user_data_size`: bytes of what an instance there is started with, by
    region. `bucket`: the user's own for results. `tags`: ours (`launch_request.own_tags`), on which rights may depend.
    `limit`: seconds. Raises nothing that AWS says.
    """
    said = _Said(defaultdict(set), defaultdict(set))
    everybody = [task for group in groups for task in group.tasks]
    by_region: defaultdict[str, list[int]] = defaultdict(list)
    by_spec: defaultdict[InstanceSpec, list[int]] = defaultdict(list)
    for group in groups:
        by_region[group.spec.region] += group.tasks
        by_spec[group.spec] += group.tasks
    try:
        cloud.caller()
    except AwsError as error:
        doubt, text = judged("the account", error)
        if error.kind == "credentials" or not doubt:
            return Findings((_no_account(error),), (), tuple(group.spec for group in groups))
        said.warnings[text].update(everybody)
    with Asker(limit) as asker:
        known = asker.ask(lambda: network.regions(cloud))
        _check_regions(groups, known, said)
        specs = _look(groups, cloud, asker, said)
        _try(groups, specs, cloud, asker, said, bucket, tags or {TAG_MANAGED: "true"})
        counted = [(specs[number], len(groups[number].tasks)) for number in _live(groups, said)]
        for region, found in limits.vcpus(counted, concurrent, cloud, asker):
            said.add(found, by_region[region])
    for spec, tasks in by_spec.items():
        said.add(limits.times(spec), tasks)
        said.add(limits.size(spec, (user_data_size or {}).get(spec.region, 0)), tasks)
    for spec, found in limits.credentials(list(by_spec), cloud, now()):
        said.add(found, by_spec[spec])
    total = len(set(everybody))
    return Findings(_texts(said.errors, total), _texts(said.warnings, total), specs)


def resolved(spec: InstanceSpec, cloud: Cloud) -> InstanceSpec:
    """`spec` as a launch needs it: types without patterns, groups by id, the role as its profile.

    A name that could not be looked up stays as it is: the launch will tell. Raises `AwsError` where a pattern could not
    be, and `SpecError` over a definite no.
    """
    for pattern in spec.types:
        expand(pattern, spec.region, cloud)
    for look, field, _ in ASPECTS:
        found = look(spec, cloud)
        if found.errors:
            raise SpecError(field, None, "; ".join(found.errors))
        spec = found.spec
    return spec


def _no_account(error: AwsError) -> str:
    return f"no access to AWS: {error}; log in (`aws sso login`, `aws configure`) or set AWS_PROFILE"


def _check_regions(groups: Sequence[Group], known: Answer[dict[str, bool]], said: _Said) -> None:
    try:
        usable = known.get()
    except AwsError as error:
        doubt, text = judged("the regions", error)
        (said.warnings if doubt else said.errors)[text].update(
            task for group in groups for task in group.tasks
        )
        return
    for group in groups:
        region = group.spec.region
        if region not in usable:
            near = difflib.get_close_matches(region, usable, 1, 0.6)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            said.errors[f"there is no region {region}{hint}"].update(group.tasks)
        elif not usable[region]:
            said.errors[f"the region {region} is not enabled for this account; enable it first"].update(
                group.tasks
            )


def _look(groups: Sequence[Group], cloud: Cloud, asker: Asker, said: _Said) -> tuple[InstanceSpec, ...]:
    """Every aspect of every spec; specs that are equal in what an aspect looks at are looked at once."""
    specs = [group.spec for group in groups]
    live = _live(groups, said)
    asked_for: list[tuple[tuple[str, ...], dict[InstanceSpec, Answer[Found]]]] = []
    for look, _, names in ASPECTS:
        answers: dict[InstanceSpec, Answer[Found]] = {}
        for number in live:
            part = _narrowed(specs[number], names)
            if part not in answers:
                answers[part] = asker.ask(lambda look=look, part=part: look(part, cloud))
        asked_for.append((names, answers))
    for number in live:
        spec = specs[number]
        for names, answers in asked_for:
            part = _narrowed(groups[number].spec, names)
            found = _got(answers[part], part, "the launch")
            said.add(found, groups[number].tasks)
            spec = replace(spec, **{name: getattr(found.spec, name) for name in names if name != "zones"})
        specs[number] = spec
    return tuple(specs)


def _try(
    groups: Sequence[Group],
    specs: Sequence[InstanceSpec],
    cloud: Cloud,
    asker: Asker,
    said: _Said,
    bucket: str,
    tags: Mapping[str, str],
) -> None:
    """A dry run of each distinct launch in which nothing was found wrong so far."""
    answers: dict[InstanceSpec, Answer[Found]] = {}
    parts: list[tuple[InstanceSpec, tuple[int, ...]]] = []
    for number in _live(groups, said):
        # A pattern that could not be asked about is no type that could be tried.
        if not any(name.endswith(".*") for name in specs[number].types):
            part = _narrowed(specs[number], _DRY_FIELDS)
            parts.append((part, groups[number].tasks))
            if part not in answers:
                answers[part] = asker.ask(
                    lambda part=part: dry_run(part, _profile(part, cloud, bucket), tags, cloud)
                )
    for part, tasks in parts:
        said.add(_got(answers[part], part, f"{part.region}: a launch of {part.types[0]}"), tasks)


def _live(groups: Sequence[Group], said: _Said) -> list[int]:
    """The groups, by position, of which nothing definite was found wrong so far."""
    lost = {task for tasks in said.errors.values() for task in tasks}
    return [number for number, group in enumerate(groups) if lost.isdisjoint(group.tasks)]


def _profile(spec: InstanceSpec, cloud: Cloud, bucket: str) -> str:
    """The profile to try with: the user's, or ours if it is there already; none yet is no flaw."""
    if not spec.iam_policy:
        return spec.iam_role
    name = own_profile(cloud, spec.iam_policy, bucket)
    return name if is_there(name, cloud) else ""


def _narrowed(spec: InstanceSpec, names: Iterable[str]) -> InstanceSpec:
    """A spec that says of `spec` its region and `names` alone."""
    kept = {name: getattr(spec, name) for name in names}
    return replace(InstanceSpec(spec.region, ()), **kept)


def _got(answer: Answer[Found], spec: InstanceSpec, what: str) -> Found:
    try:
        return answer.get()
    except AwsError as error:
        notes = Notes()
        notes.failed(what, error)
        return notes.about(spec)


def _texts(heap: Mapping[str, set[int]], total: int) -> tuple[str, ...]:
    """Each message with the tasks it is about, unless it is about all."""
    return tuple(
        text if len(tasks) in (0, total) else f"{text} ({_numbers(tasks)})" for text, tasks in heap.items()
    )


def _numbers(tasks: set[int]) -> str:
    """`task 3`, `tasks 1-3, 7`."""
    spans: list[list[int]] = []
    for task in sorted(tasks):
        if spans and spans[-1][1] == task - 1:
            spans[-1][1] = task
        else:
            spans.append([task, task])
    shown = [f"{first}" if first == last else f"{first}-{last}" for first, last in spans[:_MOST_SPANS]]
    more = ", …" if len(spans) > _MOST_SPANS else ""
    return f"task{'s' if len(tasks) > 1 else ''} {', '.join(shown)}{more}"
