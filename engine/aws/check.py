"""Everything that is checked before a launch, for all tasks of a sweep: asked once for what is distinct, and at once.

All that is wrong is told together. Nothing is made or changed; the dry runs launch nothing.
"""

from __future__ import annotations

import difflib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from . import limits, network
from .aspects import ASPECTS, Found, Notes, judged
from .cloud import Cloud
from .dry_run import dry_run
from .errors import AwsError
from .findings import Findings, Group, Place, Said
from .model import InstanceSpec
from .parallel import Answer, Asker
from .roles import is_there, own_profile
from .spec_values import SpecError
from .types import expand

__all__ = ["Findings", "Group", "Place", "check_launch", "resolved"]

LIMIT = 25.0
"""Seconds for all questions together; what is not answered then is a warning."""
_DRY_FIELDS = (
    "tags",
    "iam_policy",
    "on_complete",
    "spot_max_price",
    *(name for *_, names in ASPECTS for name in names),
)
"""What a dry run depends on; times and scripts do not matter to it."""


def check_launch(
    groups: Sequence[Group], *, now: Callable[[], float] = time.time, limit: float = LIMIT
) -> Findings:
    """What is wrong with launching `groups`, and what may be.

    A task that may run at several places has a group at each. `limit`: seconds. Raises nothing that AWS says.
    """
    said = Said(groups)
    _check_accounts(groups, said)
    with Asker(limit) as asker:
        known = {
            cloud: asker.ask(lambda cloud=cloud: network.regions(cloud)) for cloud in _by_cloud(groups, said)
        }
        for cloud, numbers in _by_cloud(groups, said).items():
            _check_regions(groups, numbers, known[cloud], said)
        specs = _look(groups, asker, said)
        _try(groups, specs, asker, said)
        _check_sizes(groups, asker, said)
        for cloud, numbers in _by_cloud(groups, said).items():
            counted = [
                (number, specs[number], share) for number, share in _shares(groups, numbers, said).items()
            ]
            for about, found in limits.vcpus(counted, _room(groups, numbers, said), cloud, asker):
                said.add(found, about, passes=True)
    for number in range(len(groups)):
        said.add(limits.times(groups[number].spec), [number])
    for cloud, numbers in _by_cloud(groups, said).items():
        for spec, found in limits.credentials([groups[number].spec for number in numbers], cloud, now()):
            said.add(found, [number for number in numbers if groups[number].spec == spec])
    return said.findings(specs)


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


def _by_cloud(groups: Sequence[Group], said: Said) -> dict[Cloud, list[int]]:
    """The groups that are left, by account."""
    out: dict[Cloud, list[int]] = {}
    for number in said.live():
        out.setdefault(groups[number].place.cloud, []).append(number)
    return out


def _check_accounts(groups: Sequence[Group], said: Said) -> None:
    clouds = _by_cloud(groups, said)
    for cloud, numbers in clouds.items():
        try:
            cloud.caller()
        except AwsError as error:
            doubt, text = judged("the account", error)
            if error.kind != "credentials" and doubt:
                said.doubt(text, numbers)
                continue
            names = dict.fromkeys(groups[number].place.name for number in numbers)
            whose = f"{', '.join(names)}: " if len(clouds) > 1 else ""
            said.no(f"{whose}{_no_account(error)}", numbers)


def _no_account(error: AwsError) -> str:
    return f"no access to AWS: {error}; log in (`aws sso login`, `aws configure`) or set AWS_PROFILE"


def _check_regions(
    groups: Sequence[Group], numbers: Sequence[int], known: Answer[dict[str, bool]], said: Said
) -> None:
    try:
        usable = known.get()
    except AwsError as error:
        doubt, text = judged("the regions", error)
        (said.doubt if doubt else said.no)(text, numbers)
        return
    for number in numbers:
        region = groups[number].spec.region
        if region not in usable:
            near = difflib.get_close_matches(region, usable, 1, 0.6)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            said.no(f"there is no region {region}{hint}", [number])
        elif not usable[region]:
            said.no(f"the region {region} is not enabled for this account; enable it first", [number])


def _look(groups: Sequence[Group], asker: Asker, said: Said) -> list[InstanceSpec]:
    """Every aspect of every spec; specs that are equal in what an aspect looks at are looked at once."""
    specs = [group.spec for group in groups]
    live = said.live()
    asked_for: list[tuple[tuple[str, ...], dict[tuple[Cloud, InstanceSpec], Answer[Found]]]] = []
    for look, _, names in ASPECTS:
        answers: dict[tuple[Cloud, InstanceSpec], Answer[Found]] = {}
        for number in live:
            cloud, part = groups[number].place.cloud, _narrowed(specs[number], names)
            if (cloud, part) not in answers:
                answers[cloud, part] = asker.ask(lambda look=look, cloud=cloud, part=part: look(part, cloud))
        asked_for.append((names, answers))
    for number in live:
        group, spec = groups[number], specs[number]
        for names, answers in asked_for:
            part = _narrowed(group.spec, names)
            found = _got(answers[group.place.cloud, part], part, "the launch")
            said.add(found, [number])
            spec = replace(spec, **{name: getattr(found.spec, name) for name in names if name != "zones"})
        specs[number] = spec
    return specs


def _try(groups: Sequence[Group], specs: Sequence[InstanceSpec], asker: Asker, said: Said) -> None:
    """A dry run of each distinct launch in which nothing was found wrong so far."""
    answers: dict[tuple[Place, InstanceSpec], Answer[Found]] = {}
    parts: list[tuple[int, InstanceSpec]] = []
    for number in said.live():
        # A pattern that could not be asked about is no type that could be tried.
        if not any(name.endswith(".*") for name in specs[number].types):
            place, part = groups[number].place, _narrowed(specs[number], _DRY_FIELDS)
            parts.append((number, part))
            if (place, part) not in answers:
                answers[place, part] = asker.ask(
                    lambda place=place, part=part: dry_run(
                        part, _profile(part, place), place.tags, place.cloud
                    )
                )
    for number, part in parts:
        answer = answers[groups[number].place, part]
        said.add(_got(answer, part, f"{part.region}: a launch of {part.types[0]}"), [number])


def _check_sizes(groups: Sequence[Group], asker: Asker, said: Said) -> None:
    """Whether what instances are started with is short enough, for each place and way to upload."""
    answers: dict[tuple[Place, str, bool], Answer[Found]] = {}
    parts: list[tuple[int, tuple[Place, str, bool]]] = []
    for number in said.live():
        group = groups[number]
        key = (group.place, group.spec.region, bool(group.spec.iam_policy))
        parts.append((number, key))
        if key not in answers:
            answers[key] = asker.ask(
                lambda group=group: limits.first_script(group.spec, group.place.cloud, group.place.bucket)
            )
    for number, key in parts:
        spec = groups[number].spec
        said.add(_got(answers[key], spec, f"{spec.region}: the size of the user data"), [number])


def _chances(groups: Sequence[Group], said: Said) -> Counter[int]:
    """How many places are left to each task."""
    return Counter(task for number in said.live() for task in groups[number].tasks)


def _shares(groups: Sequence[Group], numbers: Sequence[int], said: Said) -> dict[int, int]:
    """How many tasks each of these groups would run, where those that may run elsewhere are spread evenly."""
    chances = _chances(groups, said)
    return {number: math.ceil(sum(1 / chances[task] for task in groups[number].tasks)) for number in numbers}


def _room(groups: Sequence[Group], numbers: Sequence[int], said: Said) -> dict[str, int]:
    """Instances that run at a time in each region of one account; tasks that may run elsewhere take their share of it
    alone. Regions without a limit are left out.
    """
    chances = _chances(groups, said)
    places: defaultdict[str, set[Place]] = defaultdict(set)
    tasks: defaultdict[str, list[int]] = defaultdict(list)
    for number in numbers:
        places[groups[number].spec.region].add(groups[number].place)
        tasks[groups[number].spec.region] += groups[number].tasks
    out: dict[str, int] = {}
    for region, there in places.items():
        limits_there = [place.at_once for place in there]
        room = sum(limit for limit in limits_there if limit is not None)
        if None in limits_there:
            continue
        shared = [1 / chances[task] for task in tasks[region] if chances[task] > 1]
        own = len(tasks[region]) - len(shared)
        if shared:
            room = min(room, own + math.ceil(min(room, len(shared)) * sum(shared) / len(shared)))
        out[region] = room
    return out


def _profile(spec: InstanceSpec, place: Place) -> str:
    """The profile to try with: the user's, or ours if it is there already; none yet is no flaw."""
    if not spec.iam_policy:
        return spec.iam_role
    name = own_profile(place.cloud, spec.iam_policy, place.bucket)
    return name if is_there(name, place.cloud) else ""


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
