"""Where tasks may run, and `count` and `regions` with counts turned into tasks; pure.

An availability zone belongs to one region: a task that names zones runs in their regions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..plan.draft import MOST_TASKS
from ..plan.model import PlannedTask, Value
from .spec_values import SpecError, text, texts, whole

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}")
_ZONE = re.compile(r"(?P<region>[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2})(?:-[a-z]+-[0-9]+)?[a-z]")
"""Also of local zones and Wavelength: `us-west-2-lax-1a`."""


def regions_of(
    launch: Mapping[str, Value], environ: Mapping[str, str], home: str = "us-east-1"
) -> tuple[str, ...]:
    """The regions a task may run in, each once: those it names (`named_regions`), else the user's own.

    `environ`: AWS_REGION and AWS_DEFAULT_REGION are read, as boto3 does. `home`: what the user's profile says
    (`Cloud.home_region`). Raises `SpecError`.
    """
    named = named_regions(launch)
    if named:
        return named
    own = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or home
    return (region("AWS_REGION", own),)


def named_regions(launch: Mapping[str, Value]) -> tuple[str, ...]:
    """The regions a task names, each once: `region`, else those of `regions` that its zones (`az`) are in.

    A row's `region` stands above the `regions` of all. Without either the zones alone say it; empty: nothing does.
    Raises `SpecError`, also where no zone is in any of the regions.
    """
    given = launch.get("region")
    if given is not None:
        return (region("region", given),)
    of_zones = zone_regions(launch.get("az"))
    listed = launch.get("regions")
    if listed is None:
        return of_zones
    wanted = tuple(dict.fromkeys(name for name, _ in _listed(listed)))
    both = tuple(name for name in wanted if name in of_zones)
    if of_zones and not both:
        raise SpecError("az", launch["az"], f"is not in {' or '.join(wanted)}", "leave it out, or `regions`")
    return both or wanted


def zone_regions(value: Value) -> tuple[str, ...]:
    """The regions of the availability zones in `value`, each once. Raises `SpecError`."""
    return tuple(dict.fromkeys(region_of_zone(zone) for zone in texts("az", value)))


def region_of_zone(zone: str) -> str:
    """The region an availability zone is in, by its name. Raises `SpecError`."""
    match = _ZONE.fullmatch(zone)
    if match is None:
        raise SpecError("az", zone, "is not an availability zone", "write it like us-east-1a")
    return match["region"]


def expand_counts(tasks: Sequence[PlannedTask]) -> tuple[PlannedTask, ...]:
    """Each task with `count: n` as n tasks, and with `regions: [{us-east-1: 100}, …]` as so many in each region.

    The copies differ by `SWEEP_INDEX` and, where the task has one, by their label. Without counts in `regions`, each
    may run in any of them. Raises `SpecError`.
    """
    out: list[PlannedTask] = []
    for task in tasks:
        if "count" not in task.launch and "regions" not in task.launch:
            out.append(task)
            continue
        places = _places(task.launch)
        if len(out) + len(places) > MOST_TASKS:
            raise SpecError(
                "count", len(out) + len(places), f"makes more than {MOST_TASKS:,} tasks", "divide the sweep"
            )
        launches = {where: _placed(task.launch, where) for where in dict.fromkeys(places)}
        width = len(str(len(places) - 1))
        for number, where in enumerate(places):
            label = f"{task.label}_{number:0{width}d}" if task.label and len(places) > 1 else task.label
            out.append(replace(task, label=label, launch=launches[where]))
    return tuple(out)


def region(field: str, value: Value) -> str:
    """The name of a region. Raises `SpecError`."""
    name = text(field, value)
    if not _REGION.fullmatch(name):
        near = re.match(r"(.*[0-9])[a-z]$", name)
        hint = f"write {near[1]}, and the zone as `az`" if near else "write it like us-east-1"
        raise SpecError(field, value, "is not a region", hint)
    return name


def _placed(launch: Mapping[str, Value], where: str) -> dict[str, Value]:
    """`launch` without its counts; in region `where`, if that is said."""
    rest = {
        key: value for key, value in launch.items() if key != "count" and not (where and key == "regions")
    }
    return {**rest, "region": where} if where else rest


def _places(launch: Mapping[str, Value]) -> list[str]:
    """One region for each task to make; empty text: whichever it may run in."""
    count = whole("count", launch.get("count"))
    value = launch.get("regions")
    listed = [] if value is None else _listed(value)
    counted = [(name, number) for name, number in listed if number is not None]
    if not counted:
        return [""] * max(count, 1)
    if launch.get("region") is not None:
        raise SpecError("region", launch["region"], "stands beside `regions` with counts", "keep one of them")
    if len(counted) != len(listed):
        bare = next(name for name, number in listed if number is None)
        raise SpecError("regions", bare, "has no count while others have one", f"write {{{bare}: 10}}")
    total = sum(number for _, number in counted)
    if count and count != total:
        raise SpecError("count", count, f"is not the sum of the counts in `regions`, {total}", "leave it out")
    return [name for name, number in counted for _ in range(number)]


def _listed(value: Value) -> list[tuple[str, int | None]]:
    """Each region with its count, if it has one."""
    items = value if isinstance(value, list) else [value]
    out: list[tuple[str, int | None]] = []
    for item in items:
        if isinstance(item, dict):
            out += [
                (region("regions", name), whole(f"regions.{name}", number) or None)
                for name, number in item.items()
            ]
        else:
            out.append((region("regions", item), None))
    if not out:
        raise SpecError("regions", value, "names no region", "write [us-east-1, us-west-2]")
    return out
