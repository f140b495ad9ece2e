"""Instance types: which are offered in a region, what they are, and the patterns `a|b` and `fam.*`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Literal

from .cloud import Cloud, asked, pages
from .memory import Memory

Architecture = Literal["x86_64", "arm64", "other"]


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """An instance type as a region offers it."""

    name: str
    vcpus: int
    memory_gib: float
    architecture: Architecture
    """That of its machine images; `other`: macOS and 32 bits alone, for which nothing is chosen by itself."""
    gpus: int = 0
    bare_metal: bool = False
    hibernation: bool = False
    spot: bool = True
    """Whether it is offered as Spot."""


_known: Memory[tuple[str, str], tuple[TypeInfo, ...]] = Memory()
_zones: Memory[tuple[str, str], frozenset[str]] = Memory()


def expand(pattern: str, region: str, cloud: Cloud) -> tuple[str, ...]:
    """The types that `pattern` names and `region` offers, in the order they are to be tried.

    `a|b` keeps its order. `fam.*` is all sizes of a family, smallest first by vCPUs and memory, without bare metal.
    What is not offered there is left out. Raises `AwsError`.
    """
    out: list[str] = []
    for name in (part.strip() for part in pattern.split("|")):
        found = offered(name, region, cloud)
        if name.endswith(".*"):
            found = sorted((it for it in found if not it.bare_metal), key=_size)
        out += [it.name for it in found]
    return tuple(dict.fromkeys(out))


def type_info(name: str, region: str, cloud: Cloud) -> TypeInfo | None:
    """The type called `name`; None if `region` does not offer it. Raises `AwsError`."""
    family = _known.get(cloud, (region, f"{name.partition('.')[0]}.*"), lambda: _ask(name, region, cloud))
    return next((it for it in family if it.name == name), None)


def offered(pattern: str, region: str, cloud: Cloud) -> list[TypeInfo]:
    """What `region` offers of a type or, with `fam.*`, of a family. Raises `AwsError`."""
    family, _, size = pattern.partition(".")
    found = _known.get(cloud, (region, f"{family}.*"), lambda: _ask(pattern, region, cloud))
    return [it for it in found if size == "*" or it.name == pattern]


def zones_of(name: str, region: str, cloud: Cloud) -> frozenset[str]:
    """The availability zones of `region` that offer the type called `name`. Raises `AwsError`."""
    filters = [{"Name": "instance-type", "Values": [name]}]

    def ask() -> frozenset[str]:
        ec2 = cloud.client("ec2", region)
        found = pages(
            ec2,
            "describe_instance_type_offerings",
            "InstanceTypeOfferings",
            LocationType="availability-zone",
            Filters=filters,
        )
        return frozenset(str(it["Location"]) for it in found)

    return _zones.get(cloud, (region, name), ask)


def nearest(name: str, region: str, cloud: Cloud) -> str:
    """A type of the same family that the user may have meant, else empty. Raises `AwsError`."""
    names = [it.name for it in offered(f"{name.partition('.')[0]}.*", region, cloud)]
    near = difflib.get_close_matches(name, names, 1, 0.0)
    return near[0] if near else ""


def _ask(pattern: str, region: str, cloud: Cloud) -> tuple[TypeInfo, ...]:
    """The whole family at once: the next question is mostly about the next size of it."""
    ec2 = cloud.client("ec2", region)
    filters = [{"Name": "instance-type", "Values": [f"{pattern.partition('.')[0]}.*"]}]
    with asked("DescribeInstanceTypes"):
        return tuple(
            _read(it) for it in pages(ec2, "describe_instance_types", "InstanceTypes", Filters=filters)
        )


def _read(told: dict[str, Any]) -> TypeInfo:
    processors: list[str] = told.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    architecture: Architecture = (
        "x86_64" if "x86_64" in processors else "arm64" if "arm64" in processors else "other"
    )
    return TypeInfo(
        name=str(told["InstanceType"]),
        vcpus=int(told["VCpuInfo"]["DefaultVCpus"]),
        memory_gib=told["MemoryInfo"]["SizeInMiB"] / 1024,
        architecture=architecture,
        gpus=sum(int(gpu.get("Count", 0)) for gpu in told.get("GpuInfo", {}).get("Gpus", [])),
        bare_metal=bool(told.get("BareMetal")),
        hibernation=bool(told.get("HibernationSupported")),
        spot="spot" in told.get("SupportedUsageClasses", ["spot"]),
    )


def _size(info: TypeInfo) -> tuple[int, float, str]:
    return info.vcpus, info.memory_gib, info.name
