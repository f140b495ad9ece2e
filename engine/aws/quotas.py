"""How many vCPUs an account may run in a region, by family and market, and how many a sweep needs at its peak.

Codes: Service Quotas of `ec2` (docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html and
docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html).
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .bucket_home import Call, directly
from .cloud import Cloud, asked
from .errors import AwsError
from .memory import Memory
from .model import Market


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota of vCPUs: of the running on-demand instances, or of the Spot requests, of some families."""

    code: str
    name: str

    def __str__(self) -> str:
        return f"“{self.name}” ({self.code})"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an account has of a quota; the name is that of Service Quotas, under which more is asked for."""

    quota: Quota
    vcpus: float

    def __str__(self) -> str:
        return f"{self.quota} is {self.vcpus:g}"


@dataclass(frozen=True, slots=True)
class Need:
    """Instances of one type that a sweep starts in one region."""

    region: str
    type: str
    market: Market
    vcpus: int
    """Of one instance."""
    count: int


_STANDARD = "Standard (A, C, D, H, I, M, R, T, Z)"
_FAMILIES = {
    _STANDARD: ("a", "c", "d", "h", "i", "m", "r", "t", "z", "im", "is"),
    "G and VT": ("g", "gr", "vt"),
    "P": ("p",), "X": ("x",), "F": ("f",), "Inf": ("inf",), "Trn": ("trn",), "DL": ("dl",), "HPC": ("hpc",),
    "High Memory": ("u",),
}  # fmt: skip
_GROUPS = {letters: group for group, families in _FAMILIES.items() for letters in families}
_ON_DEMAND = {
    _STANDARD: "L-1216C47A", "G and VT": "L-DB2E81BA", "P": "L-417A185B", "X": "L-7295265B", "F": "L-74FC7D96",
    "Inf": "L-1945791B", "Trn": "L-2C3B7624", "DL": "L-6E869C2A", "HPC": "L-F7808C92", "High Memory": "L-43DA4232",
}  # fmt: skip
_SPOT = {
    _STANDARD: "L-34B43A08", "G and VT": "L-3819A6DF", "P": "L-7212CCBC", "X": "L-E3A00192", "F": "L-88CF9481",
    "Inf": "L-B5D1601B", "Trn": "L-6B0D517C", "DL": "L-85EED4F7",
}  # fmt: skip
_LETTERS = re.compile(r"[a-z]+")
_FRESH = 3600.0
"""Seconds after which a quota is asked for anew: it may have been raised meanwhile."""
_known: Memory[tuple[str, str, int], Allowance] = Memory()


def quota_of(type_name: str, market: Market) -> Quota | None:
    """The quota that instances of a type count against; None if none is known (mac: dedicated hosts)."""
    letters = _LETTERS.match(type_name)
    group = _GROUPS.get(letters[0]) if letters else None
    code = (_SPOT if market == "spot" else _ON_DEMAND).get(group or "")
    if group is None or code is None:
        return None
    name = (
        f"All {group} Spot Instance Requests" if market == "spot" else f"Running On-Demand {group} instances"
    )
    return Quota(code, name)


def needed(needs: Iterable[Need], concurrent: Mapping[str, int]) -> dict[tuple[str, Quota], int]:
    """vCPUs at the peak of a sweep, by region and quota.

    `concurrent`: how many instances may run at a time, by region; without an entry all do. Among several types the
    largest are taken to run together, for nothing keeps them from it.
    """
    sizes: defaultdict[tuple[str, Quota], list[tuple[int, int]]] = defaultdict(list)
    for need in needs:
        quota = quota_of(need.type, need.market)
        if quota is not None:
            sizes[need.region, quota].append((need.vcpus, need.count))
    peaks: dict[tuple[str, Quota], int] = {}
    for (region, quota), parts in sizes.items():
        room = concurrent.get(region, sum(count for _, count in parts))
        peak = 0
        for vcpus, count in sorted(parts, reverse=True):
            taken = min(room, count)
            peak, room = peak + taken * vcpus, room - taken
        peaks[region, quota] = peak
    return peaks


def allowance(region: str, quota: Quota, cloud: Cloud) -> Allowance:
    """How many vCPUs the account has; the default of AWS where none was granted to it. Raises `AwsError`."""
    client = cloud.client("service-quotas", region)
    try:
        with asked("GetServiceQuota"):
            told = client.get_service_quota(ServiceCode="ec2", QuotaCode=quota.code)
    except AwsError as error:
        if error.code != "NoSuchResourceException":
            raise
        with asked("GetAWSDefaultServiceQuota"):
            told = client.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode=quota.code)
    name = str(told["Quota"].get("QuotaName") or quota.name)
    return Allowance(Quota(quota.code, name), float(told["Quota"]["Value"]))


def quota_words(cloud: Cloud, region: str, type_name: str, market: Market, call: Call = directly) -> str:
    """What a launch that met a quota should say of it: `the quota “Running On-Demand …” (L-1216C47A) is 32 vCPUs`.

    Asked once an hour for each quota and region. Raises nothing of AWS: without its value the quota is named alone, and
    where none is known for the type the text is empty, for then there are only the words of EC2 itself.
    """
    quota = quota_of(type_name, market)
    if quota is None:
        return ""
    try:
        allowed = _known.get(
            cloud,
            (region, quota.code, int(time.monotonic() // _FRESH)),
            lambda: call("GetServiceQuota", lambda: allowance(region, quota, cloud)),
        )
    except AwsError:
        return f"the quota {quota}; ask for more in Service Quotas"
    return f"the quota {allowed} vCPUs; ask for more in Service Quotas"
