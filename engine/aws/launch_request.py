"""From what a group of instances shall be to the exact arguments of one RunInstances call; pure, and all JSON."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from .errors import Trouble
from .model import (
    TAG_LAUNCH,
    TAG_MANAGED,
    TAG_OWNER,
    TAG_PROJECT,
    TAG_SOURCE,
    TAG_SWEEP_ID,
    TAG_SWEEP_INDEX,
    TAG_SWEEP_NAME,
    InstanceSpec,
    Market,
)

USER_DATA_BYTES = 16384
"""Before it is base64 ("Run commands when you launch an EC2 instance", Amazon EC2 User Guide)."""
TAGS, TAG_KEY, TAG_VALUE = 50, 128, 256
"""Tags of one resource, and characters of a key and of a value ("Tag restrictions", Amazon EC2 User Guide)."""
TOKEN_LENGTH = 64
"""Characters of a ClientToken (RunInstances, Amazon EC2 API Reference)."""
HOPS = 2
"""Of an answer of the metadata service, so that a container on the instance gets it too."""

# What the instance may read of its own tags; other keys fail the launch ("Use instance metadata to view tags").
_TAG_KEY = re.compile(r"[A-Za-z0-9+\-=.,_:@]+")
_NOT_A_TAG_KEY = frozenset({".", "..", "_index"})
_NOT_IN_TOKEN = re.compile(r"[^A-Za-z0-9_.-]")
_DIGEST = 20


class Variant(NamedTuple):
    """One way to launch what a spec asks for. `zone` may also be a subnet (`subnet-…`); empty: AWS chooses."""

    type: str
    zone: str
    market: Market


def variants(spec: InstanceSpec) -> list[Variant]:
    """All that a spec allows, the first wish first: types change before places, places before the market.

    Subnets lie in zones already, so they stand for them.
    """
    places = spec.subnets or spec.zones or ("",)
    markets: list[Market] = ["spot"] if spec.spot else ["on-demand"]
    if spec.spot and spec.spot_fallback:
        markets.append("on-demand")
    return [Variant(kind, place, market) for market in markets for place in places for kind in spec.types]


def next_variant(
    spec: InstanceSpec, tried: Collection[Variant], error_kind: Trouble | None
) -> Variant | None:
    """What to try after these, the last of which failed by `error_kind`; None: nothing else would help.

    A quota is not met by another type of the same family, and what is wrong with a request stays wrong.
    """
    left = [variant for variant in variants(spec) if variant not in tried]
    if error_kind == "spot_price":
        left = [variant for variant in left if variant.market == "on-demand"]
    elif error_kind != "capacity":
        return None
    return left[0] if left else None


def token_of(sweep_id: str, source: str, batch: str, number: int) -> str:
    """The ClientToken of try `number` of a part of a batch: readable, and unique through its end.

    At most 64 characters of `A-Za-z0-9_.-`; begins with a letter or digit, so that it can name a file.
    """
    parts = json.dumps([sweep_id, source, batch, number])  # so that no two joints look alike
    digest = hashlib.sha256(parts.encode()).hexdigest()[:_DIGEST]
    readable = _NOT_IN_TOKEN.sub("-", f"{sweep_id}.{source}.{batch}.{number}")
    return f"{readable[-(TOKEN_LENGTH - _DIGEST - 1) :]}-{digest}".lstrip("-._")


def own_tags(
    *, sweep_id: str, sweep_name: str, source: str, owner: str = "", project: str = ""
) -> dict[str, str]:
    """Our tags for everything a sweep launches, also to see in Cost Explorer what it cost; what is empty is left out.

    Names that are too long for a tag are cut; the sweep's id never, for instances are found by it.
    """
    names = {
        "Name": sweep_name, TAG_SWEEP_NAME: sweep_name, TAG_SOURCE: source, TAG_OWNER: owner, TAG_PROJECT: project,
    }  # fmt: skip
    cut = {key: value[:TAG_VALUE] for key, value in names.items() if value}
    return {TAG_MANAGED: "true", TAG_SWEEP_ID: sweep_id, **cut}


def build_request(
    spec: InstanceSpec,
    *,
    type: str,
    market: Market,
    zone: str,
    ami: str,
    root_device: str,
    profile: str,
    attempts: Sequence[tuple[int, int]],
    token: str,
    user_data: bytes,
    tags: Mapping[str, str],
) -> dict[str, object]:
    """The arguments of RunInstances, with the user data as base64 text: at least one instance, at most one an attempt.

    `zone` may be a subnet; `profile`: name or ARN of an instance profile, or empty; `attempts`: (task, attempt) by
    launch index; `tags`: ours (`own_tags`), to which the launch is added. Raises ValueError, in words.
    """
    if not attempts:
        raise ValueError("a launch without attempts: there is nothing to launch")
    if len(user_data) > USER_DATA_BYTES:
        raise ValueError(
            f"user data of {len(user_data)} bytes: EC2 takes {USER_DATA_BYTES}; "
            f"let the script fetch what is long from a bucket"
        )
    if not root_device:
        raise ValueError(
            f"the root device of {ami} is not known, so its disk cannot be encrypted; name another ami"
        )
    hibernate = spec.hibernate or spec.on_complete == "hibernate"
    request: dict[str, object] = {
        "ImageId": ami,
        "InstanceType": type,
        "MinCount": 1,
        "MaxCount": len(attempts),
        "ClientToken": token,
        "UserData": base64.b64encode(user_data).decode(),
        "InstanceInitiatedShutdownBehavior": "terminate" if spec.on_complete == "terminate" else "stop",
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": HOPS,
            "InstanceMetadataTags": "enabled",
        },
        "BlockDeviceMappings": [{"DeviceName": root_device, "Ebs": _disk(spec)}],
    }
    if market == "spot":
        if hibernate or spec.on_complete != "terminate":
            raise ValueError(
                f"on_complete {spec.on_complete!r} on Spot: an instance of a one-time request cannot be stopped; "
                f"write on_complete: terminate, or spot: false"
            )
        request["InstanceMarketOptions"] = _spot(spec)
    if hibernate:
        request["HibernationOptions"] = {"Configured": True}
    if profile:
        request["IamInstanceProfile"] = {"Arn" if profile.startswith("arn:") else "Name": profile}
    if spec.key_name:
        request["KeyName"] = spec.key_name
    request |= _place(spec, zone)
    pairs = _tags(spec, attempts, token, tags)
    kinds = ["instance", "volume", *(["spot-instances-request"] if market == "spot" else [])]
    request["TagSpecifications"] = [{"ResourceType": kind, "Tags": pairs} for kind in kinds]
    return request


def _disk(spec: InstanceSpec) -> dict[str, object]:
    disk: dict[str, object] = {"VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    if spec.disk_size:
        disk["VolumeSize"] = spec.disk_size
    return disk


def _spot(spec: InstanceSpec) -> dict[str, object]:
    options: dict[str, object] = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    if spec.spot_max_price is not None:
        options["MaxPrice"] = f"{Decimal(str(spec.spot_max_price)):f}"
    return {"MarketType": "spot", "SpotOptions": options}


def _place(spec: InstanceSpec, zone: str) -> dict[str, object]:
    place: dict[str, object] = {}
    if zone.startswith("subnet-"):
        place["SubnetId"] = zone
    elif zone:
        place["Placement"] = {"AvailabilityZone": zone}
    ids = [group for group in spec.security_groups if group.startswith("sg-")]
    names = [group for group in spec.security_groups if not group.startswith("sg-")]
    if names and "SubnetId" in place:
        raise ValueError(
            f"security group {names[0]!r} by name, with {zone}: EC2 knows names in the default network only; "
            f"write its id (sg-…)"
        )
    if ids:
        place["SecurityGroupIds"] = ids
    if names:
        place["SecurityGroups"] = names
    return place


def _tags(
    spec: InstanceSpec, attempts: Sequence[tuple[int, int]], token: str, tags: Mapping[str, str]
) -> list[dict[str, str]]:
    """Ours and the user's; the user may choose the name that consoles show, and nothing that we find things by."""
    ours = {**tags, TAG_LAUNCH: token}
    if len(attempts) == 1:
        ours[TAG_SWEEP_INDEX] = str(attempts[0][0])
    theirs = dict(spec.tags)
    for key, value in theirs.items():
        if key != "Name" and ours.get(key, value) != value:
            raise ValueError(f"tag {key!r} is one of spawn-tui's own; give yours another name")
    both = {**ours, **theirs}
    for key, value in both.items():
        if key in _NOT_A_TAG_KEY or not _TAG_KEY.fullmatch(key):
            raise ValueError(
                f"tag {key!r}: an instance that can read its tags has only letters, digits and + - = . , _ : @ "
                f"in their names; write another"
            )
        if len(key) > TAG_KEY:
            raise ValueError(
                f"tag {key!r}: its name has {len(key)} characters, EC2 takes {TAG_KEY}; shorten it"
            )
        if len(value) > TAG_VALUE:
            raise ValueError(
                f"tag {key!r}: its value has {len(value)} characters, EC2 takes {TAG_VALUE}; shorten it"
            )
        if key.lower().startswith("aws:"):
            raise ValueError(f"tag {key!r}: names that begin with aws: belong to AWS; write another")
    if len(both) > TAGS:
        raise ValueError(
            f"{len(both)} tags, {len(ours)} of them ours: EC2 takes {TAGS}; leave {len(both) - TAGS} out"
        )
    return [{"Key": key, "Value": value} for key, value in both.items()]
