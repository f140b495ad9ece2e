"""Sweeps whose instances really are at the emulator, without an engine; and the verbs, called in this process."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.images import newest_al2023
from spawn_tui.engine.aws.launch_request import build_request, own_tags, token_of
from spawn_tui.engine.aws.launches import LaunchRequest, LaunchStore, send
from spawn_tui.engine.aws.model import InstanceSpec
from spawn_tui.engine.aws.pacing import Pacer
from spawn_tui.engine.plan.model import Plan, PlannedTask, Value
from spawn_tui.engine.store import SweepStore
from spawn_tui.state.disk import LocalDisk
from spawn_tui.tui.cli.main import main

from ..tui.build import Clock, Made
from .ec2_field import Emulated

EAST, WEST = "us-east-1", "us-west-2"
RATE = 0.0104
ACCOUNT = "123456789012"


@dataclass
class Said:
    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def rows(self) -> list[list[str]]:
        """A table without its header."""
        return [line.split("\t") for line in self.out.splitlines()][1:]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Said:
    """What a verb says, without a terminal."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    return Said(int(ended.value.code or 0), told.out, told.err)


def source_name(region: str) -> str:
    return f"ec2-{region}"


def a_sweep(
    root: Path,
    count: int = 4,
    *,
    launch: dict[str, Value] | None = None,
    options: Sequence[tuple[str, str]] = (),
    suffix: str = "abc123",
    **frame: object,
) -> Made:
    """Tasks for two regions; nothing launched yet. Its clock is the real one, as that of instances is."""
    sources = [
        (source_name(region), "ec2", count, (("region", region), *options), False, True)
        for region in (EAST, WEST)
    ]
    fields: dict[str, Value] = {"instance_type": "t3.micro", "ttl": "30m"} if launch is None else launch
    tasks = tuple(PlannedTask(f"t{n + 1}", {"lr": n / 10}, launch=fields) for n in range(count))
    plan = Plan("spawn", "sweep", tasks, command="python train.py --lr {lr}")
    first: list[ev.Event] = [ev.SweepCreated(f"sweep-20261122-{suffix}", "sweep", count, **frame)]  # type: ignore[arg-type]
    first += [ev.SourceAdded(*source) for source in sources]
    root.mkdir()
    clock = Clock(time.time())
    return Made(root, plan, SweepStore.create(root, plan, first, LocalDisk(), clock), clock)


def launch(
    made: Made,
    cloud: Cloud,
    tasks: Sequence[int],
    region: str = EAST,
    *,
    key: str = "",
    group: str = "",
    on_complete: str = "terminate",
) -> list[str]:
    """Launch these tasks as the source does, one call for all; the ids of their instances."""
    source, batch = source_name(region), f"b{next(made.batches)}"
    attempts = [(task, made.attempt(task) + 1) for task in tasks]
    token = token_of(made.id, source, batch, 1)
    spec = InstanceSpec(
        region,
        ("t3.micro",),
        disk_size=8,
        key_name=key,
        security_groups=(group,) if group else (),
        on_complete=on_complete,
    )  # type: ignore[arg-type]
    request = build_request(
        spec, type="t3.micro", market="on-demand", zone="", ami=newest_al2023(region, "x86_64", cloud),
        root_device="/dev/xvda", profile="", attempts=attempts, token=token, user_data=b"#!/bin/sh\n",
        tags=own_tags(sweep_id=made.id, sweep_name="sweep", source=source, owner="ada"),
    )  # fmt: skip
    written = LaunchRequest(
        token, source, batch, tuple(attempts), request, time.time(), 1, "on-demand", "t3.micro"
    )
    store = LaunchStore(made.root / "ec2" / source, LocalDisk())
    store.write(written)
    answer = send(written, cloud, region, Pacer(), 30)
    store.answer(token, answer)
    assert len(answer.instances) == len(tasks), answer
    made.commit(ev.Launching(batch, source, tuple(ev.Ref(*attempt) for attempt in attempts)))
    made.commit(
        ev.Running(
            tuple(
                ev.Started(*attempt, identity, made.clock.at, RATE)
                for attempt, identity in zip(attempts, answer.instances, strict=True)
            )
        )
    )
    return list(answer.instances)


def put(cloud: Cloud, sweep: str, attempt: str, files: dict[str, bytes], region: str = EAST) -> None:
    """What an instance uploads."""
    client = cloud.client("s3", region)
    bucket = f"spawn-results-{ACCOUNT}-{region}"
    if bucket not in {one["Name"] for one in client.list_buckets()["Buckets"]}:
        place = {} if region == EAST else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=bucket, **place)
    for path, content in files.items():
        client.put_object(Bucket=bucket, Key=f"sweeps/{sweep}/{path.format(attempt=attempt)}", Body=content)


def kept(cloud: Cloud, sweep: str, region: str = EAST) -> set[str]:
    """Keys of the sweep in the bucket, below its prefix."""
    told = cloud.client("s3", region).list_objects_v2(Bucket=f"spawn-results-{ACCOUNT}-{region}")
    prefix = f"sweeps/{sweep}/"
    return {
        item["Key"].removeprefix(prefix)
        for item in told.get("Contents", ())
        if item["Key"].startswith(prefix)
    }


def states(emulated: Emulated) -> dict[str, str]:
    return {one["id"]: one["state"] for one in emulated.ask("GET", "instances")}


def tags(emulated: Emulated, identity: str) -> dict[str, str]:
    return next(one["tags"] for one in emulated.ask("GET", "instances") if one["id"] == identity)
