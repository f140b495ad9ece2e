"""What bounds a launch: vCPU quotas, an instance's life, the size of its user data, how long credentials hold."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ..plan.durations import format_duration
from .aspects import Found, Notes
from .cloud import Cloud
from .errors import AwsError
from .model import InstanceSpec
from .parallel import Asker
from .quotas import Need, Quota, limit, needed, quota_of
from .types import type_info

USER_DATA_LIMIT = 16_384
"""Bytes before base64 ("User data", docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html)."""
PRESIGNED_LIMIT = 7 * 86_400.0
"""Seconds a presigned URL or form holds at most (Signature Version 4)."""
_BOOT = 180.0
"""Seconds an instance may need until its work begins; a shorter life is hardly meant."""


def vcpus(
    counted: Sequence[tuple[InstanceSpec, int]], concurrent: Mapping[str, int], cloud: Cloud, asker: Asker
) -> Iterator[tuple[str, Found]]:
    """The peak of each region against its quotas, by the types that are tried first; what else runs is not known."""
    needs: list[Need] = []
    largest: defaultdict[tuple[str, Quota], int] = defaultdict(int)
    for spec, count in counted:
        try:
            info = type_info(spec.types[0], spec.region, cloud)
        except AwsError:
            # Its aspect has said so already.
            continue
        quota = quota_of(spec.types[0], "spot" if spec.spot else "on-demand")
        if info is not None and quota is not None:
            needs.append(
                Need(spec.region, info.name, "spot" if spec.spot else "on-demand", info.vcpus, count)
            )
            largest[spec.region, quota] = max(largest[spec.region, quota], info.vcpus)
    peaks = needed(needs, concurrent)
    answers = {key: asker.ask(lambda key=key: limit(*key, cloud)) for key in peaks}
    for (region, quota), peak in peaks.items():
        notes = Notes()
        spec = InstanceSpec(region, ())
        try:
            allowed = answers[region, quota].get()
        except AwsError as error:
            text = f"{region}: the vCPU quota “{quota.name}” ({quota.code})"
            # A quota that cannot be read says nothing of its value.
            notes.failed(
                text, error if error.kind == "permission" else AwsError("unreachable", "", str(error))
            )
            yield region, notes.about(spec)
            continue
        if peak > allowed:
            fit = int(allowed // largest[region, quota])
            remedy = f"use --max-concurrent {fit} there, or " if fit else "not even one instance fits; "
            notes.errors.append(
                f"{region}: the sweep needs {peak} vCPUs at its peak, and the quota “{quota.name}” ({quota.code}) "
                f"is {allowed:g}; {remedy}ask for more in Service Quotas"
            )
        yield region, notes.about(spec)


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


def size(spec: InstanceSpec, size: int) -> Found:
    """Whether EC2 takes the user data; `size` in bytes."""
    notes = Notes()
    if size > USER_DATA_LIMIT:
        notes.errors.append(
            f"{spec.region}: the user data has {size:,} bytes, and EC2 takes {USER_DATA_LIMIT:,}; shorten it"
        )
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
    left = PRESIGNED_LIMIT if until is None else max(0.0, until - now)
    for spec in borrowed:
        notes = Notes()
        if spec.ttl is not None and spec.ttl > left:
            why = (
                "presigned uploads hold for 7 days at most"
                if until is None
                else f"your credentials end at {_clock(until)}"
            )
            notes.warnings.append(
                f"{why}, and an instance may run for {format_duration(spec.ttl)}: what it would upload later is lost; "
                "give `iam_policy`, so that it uploads by a role of its own"
            )
        elif spec.ttl is None and until is not None:
            notes.warnings.append(
                f"your credentials end at {_clock(until)}, and there is no `ttl`: what an instance would upload "
                "later is lost; give `iam_policy`, so that it uploads by a role of its own"
            )
        yield spec, notes.about(spec)


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
