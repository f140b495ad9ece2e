"""What a region has by name: key pairs, subnets, security groups, and the regions themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .cloud import Cloud, asked, pages


@dataclass(frozen=True, slots=True)
class Subnet:
    id: str
    zone: str
    vpc: str
    free: int
    """Addresses that are left."""


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    id: str
    name: str
    vpc: str


def regions(cloud: Cloud) -> dict[str, bool]:
    """All regions there are; whether this account may use them. Raises `AwsError`."""
    with asked("DescribeRegions"):
        told = cloud.client("ec2", cloud.home_region()).describe_regions(AllRegions=True)
    return {str(it["RegionName"]): it.get("OptInStatus") != "not-opted-in" for it in told.get("Regions", [])}


def key_pairs(region: str, cloud: Cloud) -> frozenset[str]:
    """The names of all key pairs. Raises `AwsError`."""
    with asked("DescribeKeyPairs"):
        told = cloud.client("ec2", region).describe_key_pairs()
    return frozenset(str(it["KeyName"]) for it in told.get("KeyPairs", []))


def subnets(ids: Sequence[str], region: str, cloud: Cloud) -> dict[str, Subnet]:
    """Those of `ids` that are there. Raises `AwsError`."""
    # By filter: an unknown id among them fails the whole question when they are asked for by id.
    filters = [{"Name": "subnet-id", "Values": list(ids)}]
    with asked("DescribeSubnets"):
        found = pages(cloud.client("ec2", region), "describe_subnets", "Subnets", Filters=filters)
    return {
        str(it["SubnetId"]): Subnet(
            str(it["SubnetId"]),
            str(it.get("AvailabilityZone", "")),
            str(it.get("VpcId", "")),
            int(it.get("AvailableIpAddressCount", 0)),
        )
        for it in found
    }


def security_groups(names: Sequence[str], region: str, cloud: Cloud) -> list[SecurityGroup]:
    """Those groups that have one of `names` as id (`sg-…`) or as name, in all VPCs. Raises `AwsError`."""
    client = cloud.client("ec2", region)
    out: list[SecurityGroup] = []
    ids, words = (
        [it for it in names if it.startswith("sg-")],
        [it for it in names if not it.startswith("sg-")],
    )
    for key, values in (("group-id", ids), ("group-name", words)):
        if values:
            filters = [{"Name": key, "Values": values}]
            with asked("DescribeSecurityGroups"):
                found = pages(client, "describe_security_groups", "SecurityGroups", Filters=filters)
            out += [
                SecurityGroup(str(it["GroupId"]), str(it["GroupName"]), str(it.get("VpcId", "")))
                for it in found
            ]
    return out
