"""From a task's launch fields to what its instance is asked to be; pure.

Fields: `plan/fields.py`, by their canonical names. What a task says stands above the source's entry in spawn.yaml,
what the environment says is part of that. What the command line says is in the task's fields already
(`tui/cli/cloud.py`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..plan.model import Value
from .counts import region_of_zone
from .launch_request import TAG_KEY, TAG_VALUE
from .model import InstanceSpec, OnComplete
from .policies import TEMPLATES
from .spec_values import SpecError, duration, pairs, price, text, texts, truth, whole

__all__ = ["SpecDefaults", "SpecError", "spec_of", "unsupported_fields"]

FIELDS = (
    "instance_type", "az", "ami", "key_name", "iam_role", "iam_policy", "security_group", "subnet", "disk_size",
    "spot", "spot_max_price", "spot_fallback", "hibernate", "ttl", "idle_timeout", "on_complete", "completion_delay",
    "user_data", "tags",
)  # fmt: skip
"""What a spec is made of; a source may have each of them as an option."""
_ENDINGS: dict[str, OnComplete] = {"terminate": "terminate", "stop": "stop", "hibernate": "hibernate"}
_TYPE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\.(?:[a-z0-9]+(?:-[a-z0-9]+)*|\*)")
_AMI = re.compile(r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}")
_LABELS = {"step": "spawn:step", "dns_name": "spawn:dns-name"}
"""Fields that are kept as a tag and do nothing."""
_TAG_NAME = re.compile(r"[A-Za-z0-9+=.,_:@-]+")
"""What a key may have on an instance that can read its own tags ("View tags for your EC2 instances using instance
metadata", docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html).
"""

_MISSING = {
    "data_sources": "data is not staged before the start; fetch it in `user_data` or `command`",
    "stage_id": "staged data is not known here; fetch it in `user_data` or `command`",
    "mpi": "clusters are not made here: each task has one instance of its own",
    "efa": "Elastic Fabric Adapters are not attached: each task has one instance of its own",
}
_UNHEEDED = {
    "placement_group": "instances are not put into a placement group",
    "session_timeout": "idle shells are not logged out",
    "completion_file": "is not watched: a task ends with its script, or by `spored complete`",
    "hibernate_on_idle": "an idle instance ends as `on_complete` says",
}
_FILE_SYSTEM = re.compile(r"(?:efs|fsx)_.*")


@dataclass(frozen=True, slots=True)
class SpecDefaults:
    """What holds beside a task's own launch fields, by their canonical names."""

    fields: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Where the task says nothing."""

    @classmethod
    def of(cls, options: Mapping[str, str]) -> SpecDefaults:
        """From a source's options (lists one item a line, durations in seconds)."""
        return cls({name: options[name] for name in FIELDS if options.get(name)})


def spec_of(launch: Mapping[str, Value], region: str, defaults: SpecDefaults) -> InstanceSpec:
    """What the instance in `region` is asked to be. Type patterns are taken apart at `|`; `fam.*` is left to `types`.

    Raises `SpecError` in words.
    """
    said = {**defaults.fields, **launch}
    refuse_missing(launch)
    iam_role, iam_policy = _rights(launch, defaults)
    spot = truth("spot", said.get("spot"))
    on_complete = _ending(said.get("on_complete"))
    hibernate = truth("hibernate", said.get("hibernate")) or on_complete == "hibernate"
    if spot and (hibernate or on_complete != "terminate"):
        name = "on_complete" if on_complete != "terminate" else "hibernate"
        raise SpecError(
            name, said[name], "is not possible for a Spot instance of a one-time request",
            "write on_complete: terminate, or spot: false",
        )  # fmt: skip
    delay = said.get("completion_delay")
    return InstanceSpec(
        region=region,
        types=_types(said.get("instance_type")),
        zones=_zones(said.get("az"), region),
        ami=_id(_AMI, "ami", said.get("ami"), "ami-0abcdef1234567890"),
        key_name=text("key_name", said.get("key_name")),
        iam_role=iam_role,
        iam_policy=iam_policy,
        security_groups=texts("security_group", said.get("security_group")),
        subnets=tuple(
            _id(_SUBNET, "subnet", item, "subnet-0abcdef1234567890")
            for item in texts("subnet", said.get("subnet"))
        ),
        disk_size=whole("disk_size", said.get("disk_size")),
        spot=spot,
        spot_max_price=price("spot_max_price", said.get("spot_max_price")) if spot else None,
        spot_fallback=spot and truth("spot_fallback", said.get("spot_fallback")),
        hibernate=hibernate,
        ttl=duration("ttl", said.get("ttl")),
        idle_timeout=duration("idle_timeout", said.get("idle_timeout")),
        on_complete=on_complete,
        completion_delay=30.0 if delay is None else duration("completion_delay", delay) or 0.0,
        user_data=_script(said.get("user_data")),
        tags=_tags(said),
    )


def refuse_missing(launch: Mapping[str, Value]) -> None:
    """Raises `SpecError` over a field without which the task would miss what it needs."""
    for name, value in launch.items():
        if value is None or value is False:
            continue
        if name in _MISSING:
            raise SpecError(name, value, f"is not supported: {_MISSING[name]}", "leave it out")
        if _FILE_SYSTEM.fullmatch(name):
            raise SpecError(
                name, value, "is not supported: shared file systems are not mounted",
                "mount it in `user_data`, and leave the field out",
            )  # fmt: skip
    if launch.get("vpc") is not None and launch.get("subnet") is None:
        raise SpecError(
            "vpc", launch["vpc"], "does not say in which subnet", "write the subnet's id as `subnet`"
        )


def unsupported_fields(launch: Mapping[str, Value], defaults: SpecDefaults | None = None) -> list[str]:
    """What the user should know of fields that are taken and have no effect, or not the one they have in spawn.

    Those without which a task could not work are refused by `spec_of`.
    """
    given = {name: value for name, value in launch.items() if value is not None and value is not False}
    out = [
        f"{name}: is kept as the tag {tag}, and does nothing else"
        for name, tag in _LABELS.items()
        if name in given
    ]
    out += [f"{name}: {words}" for name, words in _UNHEEDED.items() if name in given]
    if "vpc" in given:
        out.append("vpc: the subnet decides in which VPC an instance is")
    said = {**defaults.fields, **launch} if defaults else launch
    if said.get("spot_max_price") is not None and not truth("spot", said.get("spot")):
        out.append("spot_max_price: has no effect without `spot: true`")
    if truth("spot_fallback", said.get("spot_fallback")) and not truth("spot", said.get("spot")):
        out.append("spot_fallback: has no effect without `spot: true`")
    if "region" in given and "regions" in given:
        out.append("regions: has no effect where `region` is given")
    return out


def _types(value: Value) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text("instance_type", value).split("|")))
    if names == ("",):
        raise SpecError(
            "instance_type",
            None,
            "is missing",
            "write it in the file or as --instance-type, like t3.micro, or into the source's entry in spawn.yaml",
        )
    for name in names:
        if not _TYPE.fullmatch(name):
            raise SpecError(
                "instance_type", value, f"holds {name!r}, which is no instance type",
                "write t3.micro, c5.large|m5.large, or c5.* for all sizes",
            )  # fmt: skip
    return names


def _zones(value: Value, region: str) -> tuple[str, ...]:
    """Those of the zones that are in `region`: the others are for the other regions of the task."""
    zones = texts("az", value)
    here = tuple(zone for zone in zones if region_of_zone(zone) == region)
    if zones and not here:
        raise SpecError(
            "az",
            ", ".join(zones),
            f"is not in {region}",
            "leave it out, or give each region tasks of its own",
        )
    return here


def _id(pattern: re.Pattern[str], name: str, value: Value, example: str) -> str:
    word = text(name, value)
    if word and not pattern.fullmatch(word):
        raise SpecError(name, value, "is not the id of one", f"write it like {example}")
    return word


def _rights(launch: Mapping[str, Value], defaults: SpecDefaults) -> tuple[str, tuple[str, ...]]:
    """Profile and policy templates, of which there is one or the other: templates would change a role not ours."""
    for said in (launch, defaults.fields):
        role, policies = text("iam_role", said.get("iam_role")), _policies(said.get("iam_policy"))
        if role and policies:
            raise SpecError(
                "iam_policy", said["iam_policy"], f"cannot be added to the role {role}", "keep one of them"
            )
        if role or policies:
            return role, policies
    return "", ()


def _policies(value: Value) -> tuple[str, ...]:
    names = texts("iam_policy", value)
    for name in names:
        if name not in TEMPLATES:
            near = difflib.get_close_matches(name, TEMPLATES, 1, 0.5)
            hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(TEMPLATES)}"
            raise SpecError("iam_policy", name, "is not a policy template", hint)
    return tuple(sorted(names))


def _ending(value: Value) -> OnComplete:
    word = text("on_complete", value) or "terminate"
    if word not in _ENDINGS:
        raise SpecError("on_complete", value, "is not a way to end", "write terminate, stop or hibernate")
    return _ENDINGS[word]


def _script(value: Value) -> str:
    """Verbatim: a script's blanks are its own."""
    if value is not None and not isinstance(value, str):
        raise SpecError("user_data", None, "must be a script as text")
    if value is not None and "\0" in value:
        raise SpecError("user_data", None, "holds a NUL byte, which no script may", "remove it")
    return value or ""


def _tags(said: Mapping[str, Value]) -> tuple[tuple[str, str], ...]:
    """The user's own, and the labels that are only kept; sorted, so that equal wishes are equal specs."""
    tags = dict(pairs("tags", said.get("tags")))
    for name in tags:
        if name.lower().startswith("aws:"):
            raise SpecError(
                "tags", name, "is a name that AWS keeps for itself", "choose one that does not begin so"
            )
        if name.startswith("spawn:"):
            raise SpecError("tags", name, "is a name of spawn-tui's own", "choose one that does not begin so")
        if not _TAG_NAME.fullmatch(name):
            raise SpecError("tags", name, "has other characters than letters, digits and + - = . , _ : @")
        if len(name) > TAG_KEY:
            raise SpecError("tags", name, f"has more than {TAG_KEY} characters", "shorten it")
        if len(tags[name]) > TAG_VALUE:
            raise SpecError(f"tags.{name}", tags[name], f"has more than {TAG_VALUE} characters", "shorten it")
    tags |= {
        tag: text(name, said[name])[:TAG_VALUE] for name, tag in _LABELS.items() if said.get(name) is not None
    }
    return tuple(sorted(tags.items()))
