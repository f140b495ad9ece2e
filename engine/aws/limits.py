"""What bounds a launch: vCPU quotas, an instance's life, the size of its user data, how long credentials hold."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ..plan.durations import format_duration
from .aspects import Found, Notes
from .bootstrap import user_data
from .bucket import SweepBucket
from .cloud import Cloud, asked
from .errors import AwsError
from .grants import LONGEST, UploadGrant, too_short
from .launch_request import TOKEN_LENGTH
from .model import InstanceSpec, Market
from .parallel import Asker
from .quotas import Need, Quota, allowance, needed, quota_of
from .types import type_info

_LONG_ID = f"{'s' * 100}-20260101-abcdef"
_ATTEMPTS = [f"task_{number}.1" for number in range(100_000, 100_050)]
"""As long as names get: a sweep's, and those of the attempts of one launch."""
_BOOT = 180.0
"""Seconds an instance may need until its work begins; a shorter life is hardly meant."""


def vcpus(
    counted: Sequence[tuple[int, InstanceSpec, int]],
    concurrent: Mapping[str, int],
    cloud: Cloud,
    asker: Asker,
) -> Iterator[tuple[tuple[int, ...], Found]]:
    """The peak of each region against its quotas, by the types that are tried first; what else runs is not known.

    `counted`: groups of tasks (any number, spec, tasks), `concurrent`: instances at a time, by region. Each answer
    comes with the numbers of the groups it is about.
    """
    needs: list[Need] = []
    largest: defaultdict[tuple[str, Quota], int] = defaultdict(int)
    about: defaultdict[tuple[str, Quota], list[int]] = defaultdict(list)
    for number, spec, count in counted:
        try:
            info = type_info(spec.types[0], spec.region, cloud)
        except AwsError:
            # Its aspect has said so already.
            continue
        market: Market = "spot" if spec.spot else "on-demand"
        quota = quota_of(spec.types[0], market)
        if info is not None and quota is not None:
            needs.append(Need(spec.region, info.name, market, info.vcpus, count))
            largest[spec.region, quota] = max(largest[spec.region, quota], info.vcpus)
            about[spec.region, quota].append(number)
    peaks = needed(needs, concurrent)
    answers = {key: asker.ask(lambda key=key: allowance(*key, cloud)) for key in peaks}
    for (region, quota), peak in peaks.items():
        notes = Notes()
        spec = InstanceSpec(region, ())
        try:
            allowed = answers[region, quota].get()
        except AwsError as error:
            # A quota that cannot be read says nothing of its value.
            notes.failed(
                f"{region}: the vCPU quota {quota}",
                error if error.kind == "permission" else AwsError("unreachable", "", str(error)),
            )
            yield tuple(about[region, quota]), notes.about(spec)
            continue
        if peak > allowed.vcpus:
            fit = int(allowed.vcpus // largest[region, quota])
            remedy = f"use --max-concurrent {fit} there, or " if fit else "not even one instance fits; "
            notes.errors.append(
                f"{region}: the sweep needs {peak} vCPUs at its peak, and the quota {allowed}; "
                f"{remedy}ask for more in Service Quotas"
            )
        yield tuple(about[region, quota]), notes.about(spec)


def times(spec: InstanceSpec) -> Found:
    """Whether the instance is sure to end, and not before it began."""
    notes = Notes()
    if spec.ttl is None and spec.idle_timeout is None:
        notes.warnings.append(
            "without `ttl` and `idle_timeout` an instance whose task hangs runs, and costs, until somebody ends it; "
            "write ttl: 4h"
        )
    for name, seconds in (("ttl", spec.ttl), ("idle_timeout", spec.idle_timeout)):
        if seconds is not None and seconds < _BOOT:
            notes.warnings.append(
                f"{name}: {format_duration(seconds)} may be over before the work begins; "
                f"an instance needs up to {format_duration(_BOOT)} to boot"
            )
    return notes.about(spec)


def first_script(spec: InstanceSpec, cloud: Cloud, bucket: str) -> Found:
    """Whether EC2 takes what an instance is started with, found out by making one.

    The user's own script travels in the pack, which has no such limit. What makes this one long are signatures, with
    the token of the credentials in them. Raises `AwsError`.
    """
    notes = Notes()
    home = SweepBucket(cloud, spec.region, _LONG_ID, bucket)
    with asked("GetObject"):
        url = cloud.client("s3", home.region).generate_presigned_url(
            "get_object",
            Params={"Bucket": home.name, "Key": f"sweeps/{_LONG_ID}/packs/{'t' * TOKEN_LENGTH}.tar.gz"},
        )
    try:
        user_data(
            sweep_id=_LONG_ID, token="t" * TOKEN_LENGTH, region=spec.region, endpoint="", bucket=home.name,
            prefix=f"sweeps/{_LONG_ID}", pack_url=str(url), pack_sha256="0" * 64,
            upload=home.grant(bool(spec.iam_policy)), ttl=spec.ttl, attempts=_ATTEMPTS,
        )  # fmt: skip
    except ValueError as error:
        notes.errors.append(f"{spec.region}: {error}")
    return notes.about(spec)


def credentials(
    specs: Sequence[InstanceSpec], cloud: Cloud, now: float
) -> Iterator[tuple[InstanceSpec, Found]]:
    """Whether instances that upload with our credentials may do so until they end; a role of ours needs none."""
    borrowed = [spec for spec in dict.fromkeys(specs) if not spec.iam_policy]
    if not borrowed:
        return
    notes = Notes()
    try:
        until = cloud.credentials_last()
    except AwsError as error:
        notes.failed("how long the credentials hold", error)
        yield borrowed[0], notes.about(borrowed[0])
        return
    grant = UploadGrant("", expires_at=min(now + LONGEST, until or math.inf))
    for spec in borrowed:
        notes = Notes()
        why = too_short(grant, ttl=spec.ttl, timeout=None, now=now, has_role=bool(spec.iam_role))
        if why:
            notes.warnings.append(why)
        yield spec, notes.about(spec)
