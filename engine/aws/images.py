"""Machine images: the newest Amazon Linux 2023, and what an image says of itself."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from .cloud import Cloud, asked
from .errors import AwsError
from .memory import Memory
from .model import InstanceSpec
from .types import Architecture, type_info

_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
"""Public parameters of Systems Manager ("Reference the latest AL2023 AMI", docs.aws.amazon.com/linux/al2023/ug)."""
_BY_NAME = (
    (re.compile(r"ubuntu", re.IGNORECASE), "ubuntu"),
    (re.compile(r"^debian", re.IGNORECASE), "admin"),
    (re.compile(r"^rocky", re.IGNORECASE), "rocky"),
    (re.compile(r"^centos", re.IGNORECASE), "centos"),
    (re.compile(r"^fedora", re.IGNORECASE), "fedora"),
    (re.compile(r"^bitnami", re.IGNORECASE), "bitnami"),
)
_BY_OWNER = {
    "099720109477": "ubuntu",  # Canonical
    "136693071363": "admin",  # Debian
    "792107900819": "rocky",
    "125523088429": "fedora",
}
"""Accounts that publish images; who is not here logs in as `ec2-user`, as on Amazon Linux, RHEL, SUSE and AlmaLinux."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """A machine image in one region."""

    id: str
    architecture: Architecture
    root_device: str
    """The device name of its root volume: `/dev/xvda`, `/dev/sda1`."""
    root_gib: int
    """The least its root volume can have; 0 if it does not say."""
    name: str
    owner: str
    """The account's number."""
    user: str
    """Who logs in by SSH ("Default user names", docs.aws.amazon.com/AWSEC2/latest/UserGuide)."""
    state: str = "available"


_newest: Memory[tuple[str, str], str] = Memory()
_images: Memory[tuple[str, str], ImageInfo] = Memory()


def newest_al2023(region: str, architecture: Architecture, cloud: Cloud) -> str:
    """The id of the newest Amazon Linux 2023 for `region` and `architecture`. Raises `AwsError`."""
    if architecture == "other":
        raise AwsError(
            "invalid", "", "there is no Amazon Linux for this type; name an image as `ami`", "GetParameter"
        )

    def ask() -> str:
        with asked("GetParameter"):
            told = cloud.client("ssm", region).get_parameter(Name=_PARAMETER.format(architecture))
        return str(told["Parameter"]["Value"])

    return _newest.get(cloud, (region, architecture), ask)


def image(ami: str, region: str, cloud: Cloud) -> ImageInfo:
    """What `region` says of the image. Raises `AwsError`, of kind `not_found` if it is not there."""

    def ask() -> ImageInfo:
        with asked("DescribeImages"):
            found = cloud.client("ec2", region).describe_images(ImageIds=[ami]).get("Images", [])
        # An image that was deregistered may be answered by an empty list instead of an error.
        if not found:
            raise AwsError("not_found", "InvalidAMIID.NotFound", f"The image id '{ami}' does not exist")
        return _read(found[0])

    return _images.get(cloud, (region, ami), ask)


def image_for(spec: InstanceSpec, type_name: str, cloud: Cloud) -> ImageInfo:
    """The image an instance of `type_name` starts from: the spec's own, else Amazon Linux for the type's architecture.

    Raises `AwsError`.
    """
    if spec.ami:
        return image(spec.ami, spec.region, cloud)
    info = type_info(type_name, spec.region, cloud)
    if info is None:
        raise AwsError("not_found", "InvalidInstanceType", f"{type_name} is not offered in {spec.region}")
    return image(newest_al2023(spec.region, info.architecture, cloud), spec.region, cloud)


def disk_for(spec: InstanceSpec, type_name: str, found: ImageInfo, cloud: Cloud) -> int:
    """GiB of the root volume: as the spec says, else as the image has it, with room for the memory if that is to be
    kept in hibernation. Raises `AwsError`.
    """
    if spec.disk_size or not spec.hibernate:
        return spec.disk_size or found.root_gib
    info = type_info(type_name, spec.region, cloud)
    return found.root_gib + (math.ceil(info.memory_gib) if info else 0)


def login_user(name: str, owner: str) -> str:
    """Who logs in to an instance of an image, by its name and the account it is of."""
    by_name = (user for pattern, user in _BY_NAME if pattern.search(name))
    return next(by_name, _BY_OWNER.get(owner, "ec2-user"))


def _read(told: dict[str, Any]) -> ImageInfo:
    root = str(told.get("RootDeviceName", ""))
    sizes = [
        int(it["Ebs"].get("VolumeSize", 0))
        for it in told.get("BlockDeviceMappings", [])
        if it.get("DeviceName") == root and "Ebs" in it
    ]
    architecture = told.get("Architecture")
    name, owner = str(told.get("Name", "")), str(told.get("OwnerId", ""))
    return ImageInfo(
        id=str(told["ImageId"]),
        architecture=architecture if architecture in ("x86_64", "arm64") else "other",
        root_device=root,
        root_gib=max(sizes, default=0),
        name=name,
        owner=owner,
        user=login_user(name, owner),
        state=str(told.get("State", "available")),
    )
