"""What is looked up of one spec before a launch, aspect by aspect: machine, key pair, rights, network.

Each aspect answers with the spec as it was found (patterns expanded, names turned into ids) and with what it noted. A
definite no is an error; what could not be asked is a warning, which names the permission that is missing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

from . import network, roles
from .cloud import Cloud
from .errors import TEMPORARY, AwsError
from .images import ImageInfo, image_for
from .model import InstanceSpec
from .types import expand, nearest, type_info, zones_of


@dataclass(frozen=True, slots=True)
class Found:
    """A spec after a look, and what is to be said of it; an error means that it cannot be launched."""

    spec: InstanceSpec
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


Aspect = Callable[[InstanceSpec, Cloud], Found]


class Notes:
    """Collects what one aspect has to say."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def failed(self, what: str, error: AwsError, remedy: str = "") -> None:
        """A call that failed: its answer, or that there was none."""
        doubt, text = judged(what, error)
        (self.warnings if doubt else self.errors).append(
            f"{text}; {remedy}" if remedy and not doubt else text
        )

    def needed(self, what: str, error: AwsError, remedy: str) -> None:
        """A right that is missing not to check something, but to launch it as it is written."""
        action = error.action or error.operation
        self.errors.append(
            f"{what} cannot be found: {action} is not allowed ({error.code}); allow it, or {remedy}"
        )

    def about(self, spec: InstanceSpec) -> Found:
        return Found(spec, tuple(self.errors), tuple(self.warnings))


def judged(what: str, error: AwsError) -> tuple[bool, str]:
    """Whether a failed question leaves `what` open, and how to say it."""
    if error.kind == "permission":
        return (
            True,
            f"{what} could not be checked: {error.action or error.operation} is not allowed ({error.code})",
        )
    if error.kind in TEMPORARY:
        return True, f"{what} could not be checked: {error}"
    return False, f"{what}: {error}"


def machine(spec: InstanceSpec, cloud: Cloud) -> Found:
    """Types, zones, image and disk."""
    notes = Notes()
    try:
        types = _usable_types(spec, cloud, notes)
    except AwsError as error:
        what = f"{spec.region}: whether {'|'.join(spec.types)} is offered"
        pattern = next((name for name in spec.types if name.endswith(".*")), "")
        if error.kind == "permission" and pattern:
            notes.needed(
                f"{spec.region}: the types of {pattern}", error, "write the types themselves, as in a|b"
            )
        elif error.kind == "permission" and not spec.ami:
            notes.needed(f"{spec.region}: the image for {spec.types[0]}", error, "name one as `ami`")
        else:
            notes.failed(what, error)
        return notes.about(spec)
    spec = replace(spec, types=types or spec.types)
    if types:
        _look_at_images(spec, cloud, notes)
    return notes.about(spec)


def _usable_types(spec: InstanceSpec, cloud: Cloud, notes: Notes) -> tuple[str, ...]:
    """The spec's types that can be had there as the spec wants them. If some can be had, the others are warnings."""
    usable: dict[str, None] = {}
    flaws: list[str] = []
    for pattern in spec.types:
        names = expand(pattern, spec.region, cloud)
        if not names:
            near = nearest(pattern, spec.region, cloud)
            hint = f'; did you mean "{near}"?' if near else ""
            flaws.append(f"{spec.region}: {pattern} is not offered there{hint}")
        for name in names:
            flaw = _flaw_of(name, spec, cloud)
            if not flaw:
                usable[name] = None
            elif not pattern.endswith(".*"):
                flaws.append(flaw)
        if names and pattern.endswith(".*") and usable.keys().isdisjoint(names):
            flaws.append(_flaw_of(names[0], spec, cloud))
    if usable:
        notes.warnings += [f"{flaw}; it is left out" for flaw in flaws]
    else:
        notes.errors += flaws
    return tuple(usable)


def _flaw_of(name: str, spec: InstanceSpec, cloud: Cloud) -> str:
    info = type_info(name, spec.region, cloud)
    assert info is not None, name
    if spec.spot and not info.spot and not spec.spot_fallback:
        return f"{spec.region}: {name} is not offered as Spot"
    if spec.hibernate and not info.hibernation:
        return f"{spec.region}: {name} cannot hibernate"
    if spec.zones:
        zones = zones_of(name, spec.region, cloud)
        if zones.isdisjoint(spec.zones):
            there = ", ".join(sorted(zones))
            return f"{spec.region}: {name} is not offered in {', '.join(spec.zones)}, only in {there}"
    return ""


def _look_at_images(spec: InstanceSpec, cloud: Cloud, notes: Notes) -> None:
    what = (
        f"{spec.region}: the image {spec.ami}" if spec.ami else f"{spec.region}: the newest Amazon Linux 2023"
    )
    images: dict[str, ImageInfo] = {}
    try:
        for name in spec.types:
            images[name] = image_for(spec, name, cloud)
            info = type_info(name, spec.region, cloud)
            if info is not None and images[name].architecture != info.architecture:
                notes.errors.append(
                    f"{what} is for {images[name].architecture}, and {name} is {info.architecture}; leave `ami` out, "
                    "or choose another type"
                )
    except AwsError as error:
        if error.kind == "permission":
            # Without its root device no image can be started with an encrypted disk.
            by_name = error.operation == "GetParameter"
            notes.needed(what, error, "name an image as `ami`" if by_name else "")
        else:
            hint = "ids differ from region to region; leave `ami` out for the newest Amazon Linux 2023"
            notes.failed(what, error, hint if spec.ami else "")
        return
    for found in dict.fromkeys(images.values()):
        if found.state != "available":
            notes.errors.append(f"{spec.region}: the image {found.id} is {found.state}")
        if 0 < spec.disk_size < found.root_gib:
            notes.errors.append(
                f"{spec.region}: disk_size: {spec.disk_size} GiB is less than the {found.root_gib} of {found.id}"
            )


def key_pair(spec: InstanceSpec, cloud: Cloud) -> Found:
    """The SSH key pair."""
    notes = Notes()
    if not spec.key_name:
        return notes.about(spec)
    try:
        names = network.key_pairs(spec.region, cloud)
    except AwsError as error:
        notes.failed(f"{spec.region}: the key pair {spec.key_name}", error)
        return notes.about(spec)
    if spec.key_name not in names:
        near = difflib.get_close_matches(spec.key_name, sorted(names), 1, 0.6)
        hint = f'did you mean "{near[0]}"?' if near else "import it there, or leave `key_name` out"
        notes.errors.append(f"{spec.region}: there is no key pair {spec.key_name}; {hint}")
    return notes.about(spec)


def rights(spec: InstanceSpec, cloud: Cloud) -> Found:
    """The instance profile of the user."""
    notes = Notes()
    if not spec.iam_role:
        return notes.about(spec)
    try:
        return replace(notes.about(spec), spec=replace(spec, iam_role=roles.profile_of(spec.iam_role, cloud)))
    except AwsError as error:
        hint = "make one, or write the rights as `iam_policy`"
        if error.kind == "not_found":
            notes.errors.append(f"iam_role: {error.words}; {hint}")
        else:
            notes.failed(f"the instance profile {spec.iam_role}", error)
    return notes.about(spec)


def places(spec: InstanceSpec, cloud: Cloud) -> Found:
    """Subnets and security groups."""
    notes = Notes()
    vpcs: frozenset[str] = frozenset()
    try:
        if spec.subnets:
            vpcs = _look_at_subnets(spec, cloud, notes)
    except AwsError as error:
        notes.failed(f"{spec.region}: the subnet {spec.subnets[0]}", error)
    try:
        if spec.security_groups:
            spec = replace(spec, security_groups=_group_ids(spec, vpcs, cloud, notes))
    except AwsError as error:
        notes.failed(f"{spec.region}: the security group {spec.security_groups[0]}", error)
    return notes.about(spec)


def _look_at_subnets(spec: InstanceSpec, cloud: Cloud, notes: Notes) -> frozenset[str]:
    """The VPCs the subnets are in."""
    found = network.subnets(spec.subnets, spec.region, cloud)
    for name in spec.subnets:
        if name not in found:
            notes.errors.append(f"{spec.region}: there is no subnet {name}; ids differ from region to region")
        elif spec.zones and found[name].zone not in spec.zones:
            notes.errors.append(f"{spec.region}: the subnet {name} is in {found[name].zone}; leave `az` out")
        elif not found[name].free:
            notes.warnings.append(f"{spec.region}: the subnet {name} has no address left")
    return frozenset(subnet.vpc for subnet in found.values())


def _group_ids(spec: InstanceSpec, vpcs: frozenset[str], cloud: Cloud, notes: Notes) -> tuple[str, ...]:
    """The groups by id; a name must be that of one group only, in the VPC of the subnets if there are any."""
    found = network.security_groups(spec.security_groups, spec.region, cloud)
    ids: list[str] = []
    for name in spec.security_groups:
        all_of_it = [group for group in found if name in (group.id, group.name)]
        fitting = [group for group in all_of_it if not vpcs or group.vpc in vpcs]
        if len(fitting) == 1:
            ids.append(fitting[0].id)
        elif fitting:
            choice = ", ".join(f"{group.id} in {group.vpc}" for group in fitting)
            notes.errors.append(
                f"{spec.region}: several security groups are called {name}; write one of {choice}"
            )
        elif all_of_it:
            notes.errors.append(f"{spec.region}: the security group {name} is not in the VPC of the subnet")
        else:
            notes.errors.append(f"{spec.region}: there is no security group {name}")
    return tuple(ids)


ASPECTS: tuple[tuple[Aspect, str, tuple[str, ...]], ...] = (
    (machine, "instance_type", ("types", "zones", "ami", "disk_size", "spot", "spot_fallback", "hibernate")),
    (key_pair, "key_name", ("key_name",)),
    (rights, "iam_role", ("iam_role",)),
    (places, "subnet", ("zones", "subnets", "security_groups")),
)
"""Each with the launch field it is about, and with the fields of a spec it looks at besides the region: specs that are
equal in them are looked at once.
"""
