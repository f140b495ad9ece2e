"""The launch fields of spawn: what an instance is asked to be, known by name and type.

Sources: spawn's parameter sweep guide and tutorial, its operations guide, and the code of its parser
(`cmd/sweep.go`). Fields of the second group are promised by those guides though spawn itself takes them for
parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from .durations import HOW_TO_WRITE, parse_duration
from .model import Value
from .problems import kind_of

Check = Callable[[Value], tuple[str, str] | None]
"""(message, remedy) if a value is wrong."""

INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\.(?:[a-z0-9]+(?:-[a-z0-9]+)*|\*)")
_DECIMAL = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


@dataclass(frozen=True, slots=True)
class LaunchField:
    """One launch field: its canonical name, the other names it goes by, what it takes and what it means."""

    name: str
    check: Check
    meaning: str
    aliases: tuple[str, ...] = ()
    is_text: bool = False
    """True if a CSV cell is taken as it is written."""


def _text(value: Value) -> tuple[str, str] | None:
    return None if isinstance(value, str) and value else (f"must be text, not {_what(value)}", "")


def _types(value: Value) -> tuple[str, str] | None:
    """As `aws.spec` has it, which also reads what the command line and spawn.yaml say."""
    if (flaw := _text(value)) is not None:
        return flaw
    wrong = [name for name in map(str.strip, str(value).split("|")) if not INSTANCE_TYPE.fullmatch(name)]
    if not wrong:
        return None
    message = "is no instance type" if wrong == [value] else f'holds "{wrong[0]}", which is no instance type'
    return message, "write t3.micro, c5.large|m5.large, or c5.* for all sizes"


def _truth(value: Value) -> tuple[str, str] | None:
    return (
        None
        if isinstance(value, bool)
        else (f"must be true or false, not {_what(value)}", "write true or false")
    )


def _count(value: Value) -> tuple[str, str] | None:
    good = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return None if good else ("must be a whole number of at least 1", "")


def _duration(value: Value) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return "is not a duration", HOW_TO_WRITE
    try:
        parse_duration(value)
    except ValueError:
        return "is not a duration", HOW_TO_WRITE
    return None


def _price(value: Value) -> tuple[str, str] | None:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value)
    good = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return None if good else ("is not a price in USD per hour", "write it like 0.10")


def _ending(value: Value) -> tuple[str, str] | None:
    known = ("terminate", "stop", "hibernate")
    return (
        None if value in known else ("is not a way to end an instance", "write terminate, stop or hibernate")
    )


def _text_or_list(value: Value) -> tuple[str, str] | None:
    items = value if isinstance(value, list) else [value]
    good = bool(items) and all(isinstance(item, str) and item for item in items)
    return None if good else ("must be text or a list of texts", "")


def _regions(value: Value) -> tuple[str, str] | None:
    items = value if isinstance(value, list) else []
    for item in items:
        counted = isinstance(item, dict) and all(
            isinstance(n, int) and not isinstance(n, bool) for n in item.values()
        )
        if not (isinstance(item, str) and item) and not counted:
            return "must be a list of regions", "write [us-east-1, us-west-2]"
    return None if items else ("must be a list of regions", "write [us-east-1, us-west-2]")


def _tags(value: Value) -> tuple[str, str] | None:
    good = isinstance(value, dict) and not any(isinstance(item, list | dict) for item in value.values())
    return None if good else ("must be a mapping of names to texts", "write {project: ml}")


def _scalar(value: Value) -> tuple[str, str] | None:
    return ("must be one value", "") if isinstance(value, list | dict) else None


def _anything(value: Value) -> tuple[str, str] | None:
    return None


def _what(value: Value) -> str:
    return "empty text" if value == "" else kind_of(value)


_FIELDS = (
    LaunchField("instance_type", _types, "EC2 instance type, or `a|b` to fall back", is_text=True),
    LaunchField("region", _text, "AWS region", is_text=True),
    LaunchField("az", _text, "availability zone", ("availability_zone",), is_text=True),
    LaunchField("ami", _text, "machine image; found by itself if left out", ("ami_id",), is_text=True),
    LaunchField("key_name", _text, "SSH key pair", ("key_pair",), is_text=True),
    LaunchField("spot", _truth, "use a Spot instance"),
    LaunchField("spot_max_price", _price, "USD per hour at most"),
    LaunchField("spot_fallback", _truth, "on-demand where there is no Spot capacity"),
    LaunchField("hibernate", _truth, "prepare the instance for hibernation"),
    LaunchField("ttl", _duration, "terminate after this time", is_text=True),
    LaunchField("idle_timeout", _duration, "terminate after this time without work", is_text=True),
    LaunchField("hibernate_on_idle", _truth, "hibernate instead of terminating when idle"),
    LaunchField("session_timeout", _duration, "log idle shells out after this time", is_text=True),
    LaunchField("on_complete", _ending, "what becomes of the instance at the end", is_text=True),
    LaunchField("completion_file", _text, "the file whose appearance means the end", is_text=True),
    LaunchField("completion_delay", _duration, "grace between the end and `on_complete`", is_text=True),
    LaunchField("dns_name", _text, "name in the sweep's DNS zone", ("dns",), is_text=True),
    LaunchField("step", _text, "label of a workflow step", is_text=True),
    LaunchField("user_data", _text, "script run at the instance's boot", is_text=True),
    LaunchField("iam_role", _text, "instance profile", is_text=True),
    LaunchField("iam_policy", _text_or_list, "policies for the instance, as in s3:FullAccess", is_text=True),
    LaunchField("regions", _regions, "regions to spread over"),
    LaunchField("count", _count, "instances of this configuration"),
    LaunchField("tags", _tags, "tags for the instance"),
    LaunchField("subnet", _text, "subnet id", ("subnet_id",), is_text=True),
    LaunchField("vpc", _text, "VPC id", ("vpc_id",), is_text=True),
    LaunchField("security_group", _text_or_list, "security groups", ("security_groups",), is_text=True),
    LaunchField("disk_size", _count, "GiB of the root volume", ("volume_size",)),
    LaunchField("data_sources", _anything, "data to stage before the start"),
    LaunchField("stage_id", _text, "data staged before", is_text=True),
    LaunchField("placement_group", _text, "placement group", is_text=True),
    LaunchField("efa", _truth, "Elastic Fabric Adapter"),
    LaunchField("mpi", _anything, "start as an MPI cluster"),
)

LAUNCH_FIELDS: dict[str, LaunchField] = {
    name: field for field in _FIELDS for name in (field.name, *field.aliases)
}
"""Every launch field by each of its names; see `launch_field` for the families `efs_…` and `fsx_…`."""

_NEARLY = 0.8
"""How alike two words are when one may be a slip for the other: `ttll`, `regoin`, but not `gpu_count`."""
_MISSED = tuple(name for name, field in LAUNCH_FIELDS.items() if field.name not in ("step", "dns_name"))

_FAMILY = re.compile(r"(?:efs|fsx)_[a-z0-9_]+")
UNMISTAKABLE = ("instance_type", "ami")
"""Fields that no program's own parameters are called; a file that has them is meant for EC2."""


@lru_cache(maxsize=4096)
def launch_field(name: str) -> LaunchField | None:
    """The launch field called `name`, or None if that is a parameter."""
    found = LAUNCH_FIELDS.get(name)
    if found is None and _FAMILY.fullmatch(name):
        return LaunchField(name, _scalar, "shared file system", is_text=True)
    return found


def field_like(name: str, value: Value) -> str | None:
    """The launch field that `name` is nearly called, if it would take `value`; a mere label is none to miss."""
    near = get_close_matches(name.lower(), _MISSED, 1, _NEARLY)
    return near[0] if near and LAUNCH_FIELDS[near[0]].check(value) is None else None


def slip_of(name: str, known: tuple[str, ...] = ()) -> str | None:
    """The launch field, or word of `known`, that `name` misses by one letter, if it is a long word."""
    for right in (*LAUNCH_FIELDS, *known):
        if len(right) >= 6 and name not in LAUNCH_FIELDS and _one_edit_apart(name, right):
            return right
    return None


def _one_edit_apart(left: str, right: str) -> bool:
    """True if one letter added, dropped, changed or swapped with the next makes them equal."""
    if abs(len(left) - len(right)) > 1 or left == right:
        return False
    start = next(
        (n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    a, b = left[start:], right[start:]
    return a[1:] == b or a == b[1:] or a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
