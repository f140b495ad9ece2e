"""The disks of instances that stand still: how large they are, and about what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .cloud import Cloud, asked, pages

_FILTER_VALUES = 200
"""Values that one filter may hold ("List and filter using the CLI and API", Amazon EC2 User Guide)."""
_MONTHLY = {
    "gp3": 0.08,
    "gp2": 0.10,
    "io1": 0.125,
    "io2": 0.125,
    "st1": 0.045,
    "sc1": 0.015,
    "standard": 0.05,
}
"""USD for a GiB and month in us-east-1 ("Amazon EBS pricing", November 2025), without what is paid for speed. Other
regions take up to twice that: to be told as an estimate only.
"""


@dataclass(frozen=True, slots=True)
class Disk:
    """One EBS volume. `size` in GiB."""

    size: int
    kind: str

    @property
    def monthly(self) -> float | None:
        """About what it costs in USD a month; None for a kind nobody here knows the price of."""
        price = _MONTHLY.get(self.kind)
        return None if price is None else price * self.size


def disks(ids: Iterable[str], region: str, cloud: Cloud) -> dict[str, Disk]:
    """Those of these volumes that are there, by id. Raises `AwsError`."""
    once = list(dict.fromkeys(ids))
    client = cloud.client("ec2", region)
    found: dict[str, Disk] = {}
    for at in range(0, len(once), _FILTER_VALUES):
        # By filter: an unknown id among them fails the whole question when they are asked for by id.
        filters = [{"Name": "volume-id", "Values": once[at : at + _FILTER_VALUES]}]
        with asked("DescribeVolumes"):
            told = pages(client, "describe_volumes", "Volumes", Filters=filters)
        found |= {str(it["VolumeId"]): Disk(int(it["Size"]), str(it.get("VolumeType", ""))) for it in told}
    return found


def monthly(volumes: Iterable[str], known: Mapping[str, Disk]) -> float | None:
    """About what these cost together in USD a month; None where one of them is not known."""
    prices = [known[identity].monthly if identity in known else None for identity in volumes]
    counted = [price for price in prices if price is not None]
    return sum(counted) if prices and len(counted) == len(prices) else None
