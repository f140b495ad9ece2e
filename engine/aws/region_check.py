"""Whether a source on EC2 could take tasks now: account, region, image, rights, quota and bucket, each in a line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ..project.checks import Check
from . import network
from .bucket_home import BucketHome, directly
from .check import Group, Place, check_launch
from .cloud import Cloud
from .errors import TEMPORARY, AwsError
from .images import image_for
from .model import InstanceSpec
from .quotas import allowance, quota_of
from .spec import SpecDefaults, SpecError, spec_of
from .types import expand, type_info

USUAL_TYPE = "t3.micro"
"""What is tried where the source names no type."""
HOUR = 3600.0
LITTLE = 8
"""vCPUs; a smaller quota is worth a word."""


def check_region(cloud: Cloud, region: str, options: Mapping[str, str]) -> Iterator[Check]:
    """The checks one after the other, each as soon as it is known; launches nothing, makes nothing.

    `options`: of the source. Ends early where nothing more can be asked.
    """
    try:
        account, arn = cloud.caller()
    except AwsError as error:
        remedy = (
            "log in (aws sso login, aws configure) or name a profile (AWS_PROFILE, profile in spawn.yaml)"
        )
        yield Check("account", "FAIL", f"{error}; {remedy}")
        return
    yield Check("account", "ok", f"{account}, as {arn.rpartition(':')[2]}")
    there = _guarded("region", lambda: _region(cloud, region))
    yield there
    if there.level == "FAIL":
        return
    launch = {} if options.get("instance_type") else {"instance_type": USUAL_TYPE}
    try:
        spec = spec_of(launch, region, SpecDefaults.of(options))
    except SpecError as error:
        yield Check("options", "FAIL", str(error))
        return
    yield _guarded("image", lambda: _image(cloud, spec))
    yield from _launch(cloud, spec, options.get("bucket", ""))
    yield _guarded("quota", lambda: _quota(cloud, spec))
    yield _guarded("bucket", lambda: _bucket(cloud, region, options.get("bucket", "")))


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """What could not be asked may be all right; a definite no is not."""
    try:
        return check()
    except AwsError as error:
        if error.kind in TEMPORARY:
            return Check(name, "FAIL", f"AWS does not answer: {error}")
        if error.kind == "permission":
            return Check(
                name, "warn", f"could not be asked: {error.action or error.operation} is not allowed"
            )
        return Check(name, "FAIL", str(error))


def _region(cloud: Cloud, region: str) -> Check:
    known = network.regions(cloud)
    if region not in known:
        near = difflib.get_close_matches(region, known, 1, 0.6)
        hint = f'did you mean "{near[0]}"?' if near else "write it like us-east-1"
        return Check("region", "FAIL", f"there is no region {region}; {hint}")
    if not known[region]:
        return Check(
            "region", "FAIL", f"{region} is not enabled for this account; enable it in the AWS console"
        )
    return Check("region", "ok", region)


def _image(cloud: Cloud, spec: InstanceSpec) -> Check:
    image = image_for(spec, _first_type(cloud, spec), cloud)
    return Check(
        "image",
        "ok",
        f"{image.id} ({image.name or 'without a name'}, {image.architecture}), login {image.user}",
    )


def _launch(cloud: Cloud, spec: InstanceSpec, bucket: str) -> Iterator[Check]:
    """A dry run, and all that is looked at before a sweep."""
    # How long an instance may live the tasks say.
    spec = replace(spec, ttl=spec.ttl or HOUR)
    findings = check_launch([Group(spec, (1,), Place(cloud, at_once=1, bucket=bucket))])
    what = f"{spec.types[0]}{' (Spot)' if spec.spot else ''}"
    for text in findings.errors:
        yield Check("launch", "FAIL", text)
    for text in findings.warnings:
        yield Check("launch", "warn", text)
    if not findings.errors and not findings.warnings:
        yield Check("launch", "ok", f"a dry run of {what} says that it would be launched")


def _quota(cloud: Cloud, spec: InstanceSpec) -> Check:
    name = _first_type(cloud, spec)
    quota, info = quota_of(name, "spot" if spec.spot else "on-demand"), type_info(name, spec.region, cloud)
    if quota is None or info is None:
        return Check("quota", "warn", f"no quota is known for {name}")
    allowed = allowance(spec.region, quota, cloud)
    fit = int(allowed.vcpus // info.vcpus)
    words = f"{allowed.quota}: {allowed.vcpus:g} vCPUs, {fit} × {name} at a time"
    if not fit:
        return Check("quota", "FAIL", f"{words}; ask for more in the Service Quotas console")
    return Check("quota", "ok" if allowed.vcpus >= LITTLE else "warn", words)


def _first_type(cloud: Cloud, spec: InstanceSpec) -> str:
    """Raises `AwsError` if none is offered."""
    for pattern in spec.types:
        for name in expand(pattern, spec.region, cloud):
            return name
    types = "|".join(spec.types)
    raise AwsError("not_found", "InvalidInstanceType", f"{types} is not offered in {spec.region}")


def _bucket(cloud: Cloud, region: str, name: str) -> Check:
    home = BucketHome(cloud, region, name, directly)
    found = home.look()
    if not found:
        return Check(
            "bucket", "ok", f"{home.name} is not there yet; the first launch makes it, private and encrypted"
        )
    far = f", which is in {found}" if found != region else ""
    return Check("bucket", "warn" if far else "ok", f"{home.name} can be used{far}")
