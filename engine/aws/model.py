"""What an instance is asked to be, and what EC2 says it is. Values only; nothing here talks to AWS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

OnComplete = Literal["terminate", "stop", "hibernate"]
Market = Literal["on-demand", "spot"]
InstanceState = Literal["pending", "running", "shutting-down", "terminated", "stopping", "stopped"]
ALIVE: frozenset[InstanceState] = frozenset({"pending", "running"})
"""States in which an instance's program may still be at work; `stopping` and all behind it cannot go back."""

TAG_MANAGED = "spawn:managed"
TAG_SWEEP_ID = "spawn:sweep-id"
TAG_SWEEP_NAME = "spawn:sweep-name"
TAG_SWEEP_INDEX = "spawn:sweep-index"
TAG_OWNER = "spawn:owner"
TAG_PROJECT = "spawn:project"
TAG_LAUNCH = "spawn:launch"
"""The launch (`LaunchRequest.token`) an instance came from; with its launch index it says which attempt it runs."""
TAG_SOURCE = "spawn:source"
TAG_TTL = "spawn:ttl"


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """What a task's instance is asked to be. Tasks with equal specs may be launched by one call.

    Times in seconds, sizes in GiB, prices in USD per hour. Empty text or tuple: AWS or spawn-tui chooses.
    """

    region: str
    types: tuple[str, ...]
    """Instance types in the order they are tried; no patterns any more (`types.expand` has seen them)."""
    zones: tuple[str, ...] = ()
    """Availability zones that are allowed, in order."""
    ami: str = ""
    key_name: str = ""
    iam_role: str = ""
    """Name or ARN of an instance profile."""
    iam_policy: tuple[str, ...] = ()
    """Policy templates (`s3:FullAccess`), for which a profile of our own is made."""
    security_groups: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    disk_size: int = 0
    spot: bool = False
    spot_max_price: float | None = None
    spot_fallback: bool = False
    """Whether on-demand may be used where no spot capacity is left."""
    hibernate: bool = False
    ttl: float | None = None
    idle_timeout: float | None = None
    on_complete: OnComplete = "terminate"
    completion_delay: float = 30.0
    user_data: str = field(default="", repr=False)
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as `DescribeInstances` tells it. Times in seconds since 1970."""

    id: str
    state: InstanceState
    type: str
    zone: str
    market: Market
    launch: str
    """`TAG_LAUNCH`: which launch it came from; empty if it has no such tag (yet)."""
    index: int
    """AmiLaunchIndex: which of that launch's instances it is, from 0."""
    launched_at: float
    reason_code: str = ""
    """StateReason.Code: `Server.SpotInstanceTermination`, `Client.UserInitiatedShutdown`, …"""
    reason: str = ""
    changed_at: float | None = None
    """When it came into this state, as far as EC2 says so."""
    public_ip: str = ""
    private_ip: str = ""
    key_name: str = ""
    ami: str = ""
    volumes: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What an instance said of its attempt before it went: the body of `reports/<attempt>` in the sweep's bucket.

    `status` as the shell gives it (128+n for signal n). `flag` says what ended it, where it did not end by itself:
    `term` our TERM, `timeout` the task's timeout, `ttl`, `idle`, `spot` (a notice), `workdir` (the runner could not
    enter its directory), `setup` (the bootstrap itself failed: `message` says over what); else `-`.
    """

    status: int
    flag: str
    started_at: float | None
    ended_at: float | None
    instance: str = ""
    message: str = ""
    unsent: int = 0
    """Files of the attempt that were not in the bucket when it was written."""
    left: tuple[str, ...] = ()
    """Names of some of them."""
