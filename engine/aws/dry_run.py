"""Asking EC2 whether it would launch: RunInstances with `DryRun`, which starts nothing.

It answers `DryRunOperation` if rights and parameters would do ("DryRun", API_RunInstances). Capacity and quotas are not
looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .aspects import Found, Notes
from .cloud import Cloud, asked
from .errors import AwsError
from .images import disk_for, image_for
from .launch_request import Variant, build_request, variants
from .model import InstanceSpec
from .roles import is_pending

WOULD = "DryRunOperation"
_MOST_TRIES = 6
"""Variants that are tried before the last answer is taken for all."""
_OF_A_LAUNCH = frozenset({"ClientToken", "UserData"})
"""What a request has for one launch alone."""


def dry_run(spec: InstanceSpec, profile: str, tags: Mapping[str, str], cloud: Cloud) -> Found:
    """Whether `spec`, whose types and names were found, would be launched in one of the ways it allows.

    The request is that of the launch itself, for rights may depend on any part of it. `profile`: name or ARN of the
    instance profile, or empty; `tags`: ours.
    """
    notes = Notes()
    what = f"{spec.region}: a launch of {spec.types[0]}"
    answer: AwsError | None = None
    for variant in variants(spec)[:_MOST_TRIES]:
        try:
            request = _request(spec, variant, profile, tags, cloud)
        except AwsError as error:
            notes.failed(what, error)
            return notes.about(spec)
        except ValueError as error:
            notes.errors.append(f"{what} is not possible: {error}")
            return notes.about(spec)
        answer = _ask(request, spec.region, cloud)
        # A type that a zone does not have may be had in the next.
        if answer is None or answer.kind != "capacity":
            break
    if answer is None:
        return notes.about(spec)
    if answer.kind == "permission":
        # Not a missing right to check: the launch itself would be refused like this.
        action = answer.action or "ec2:RunInstances"
        notes.errors.append(f"{what} is not allowed: {action} is missing ({answer.code}: {answer.words})")
    elif is_pending(answer) and spec.iam_policy:
        notes.warnings.append(f"{what} could not be checked: EC2 does not know the new profile {profile} yet")
    else:
        notes.failed(what, answer)
    return notes.about(spec)


def _ask(request: dict[str, object], region: str, cloud: Cloud) -> AwsError | None:
    """None if it would be launched."""
    try:
        with asked("RunInstances"):
            cloud.client("ec2", region).run_instances(**request)
    except AwsError as error:
        return None if error.code == WOULD else error
    raise AssertionError("a dry run was answered like a launch")


def _request(
    spec: InstanceSpec, variant: Variant, profile: str, tags: Mapping[str, str], cloud: Cloud
) -> dict[str, object]:
    image = image_for(spec, variant.type, cloud)
    request = build_request(
        replace(spec, disk_size=disk_for(spec, variant.type, image, cloud)),
        type=variant.type,
        market=variant.market,
        zone=variant.zone,
        ami=image.id,
        root_device=image.root_device,
        profile=profile,
        attempts=[(0, 1)],
        token="dry-run",
        user_data=b"",
        tags=tags,
    )
    return {"DryRun": True, **{key: value for key, value in request.items() if key not in _OF_A_LAUNCH}}
