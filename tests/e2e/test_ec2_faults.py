"""One sweep over two regions, as a user launches it, while AWS does what it does on a bad day.

Half of all calls are throttled from the first to the last, one region has no room for the type that was asked for, an
instance is taken back, and a region answers nothing but errors for a while. Every task completes all the same.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts.aws import Aws

from .field import Field, wait_until

pytestmark = [pytest.mark.parts, pytest.mark.timeout(300)]

TASKS, AT_ONCE = 12, 8
REGIONS = ("us-east-1", "us-west-2")
ASKED, INSTEAD = "t3.micro", "t3.small"
DOWN = 5.0
"""Seconds a region answers nothing but errors."""
LIMIT = 180.0
"""Seconds the sweep may take; it needs about half a minute."""
SWEEP = {
    "sweep_name": "bad-day",
    "defaults": {"instance_type": f"{ASKED}|{INSTEAD}", "spot": True, "ttl": "10m"},
    "params": [{"seed": 100 + n, "region": REGIONS[n % 2]} for n in range(TASKS)],
}
TASK = """
mkdir "$SWEEP_TASK_DIR/ran" || exit 9 # a second run of this attempt would stumble here
[ "$SWEEP_INDEX.$SWEEP_ATTEMPT" = 1.1 ] && sleep 300 # the one that is taken back
sleep 2
mkdir -p "$SWEEP_TASK_DIR/results"
seq "$PARAM_seed" >"$SWEEP_TASK_DIR/results/numbers.txt"
echo "seed $PARAM_seed on $SWEEP_SOURCE"
"""


@pytest.fixture
def field(aws: Aws, tmp_path: Path) -> Iterator[Field]:
    place = Field(tmp_path, aws.env(REGIONS[0]))
    yield place
    aws.heal()


def instances_of(aws: Aws, field: Field) -> list[dict[str, Any]]:
    return [one for one in aws.instances() if one["tags"].get("spawn:sweep-id") == field.root.name]


def test_a_bad_day(aws: Aws, field: Field, tmp_path: Path) -> None:
    field.write("sweep.json", json.dumps(SWEEP))
    field.write("task.sh", TASK)
    field.configure(sources={"ec2": {"type": "ec2", "poll_interval": "1s", "max_tasks": AT_ONCE}})
    aws.settings(minute=60.0)  # the time to live is one of the OS
    aws.fault("throttling")
    for zone in "abcdef":
        aws.capacity(ASKED, f"{REGIONS[0]}{zone}", 0)
    log = tmp_path / "launch.log"
    process = field.start(
        "launch", "sweep.json", "--sources", "ec2", "--command", "sh task.sh", "--no-ui", "-y", log=log
    )
    try:
        _disturb(aws, field, process, log)
        status = process.wait(LIMIT)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(20)
    said = log.read_text()
    assert status == 0, said[-4000:]
    _check(aws, field, said)


def _disturb(aws: Aws, field: Field, process: subprocess.Popen[bytes], log: Path) -> None:
    def ended() -> bool:
        assert process.poll() is None, log.read_text()[-4000:]
        return False

    def until(condition: Callable[[], object], what: str) -> None:
        wait_until(lambda: ended() or condition(), what, limit=LIMIT)

    def second() -> list[dict[str, Any]]:
        """The instance of the second task, while that runs."""
        task = field.sweep().tasks[1]
        handle = task.attempts[0].handle if task.attempts else ""
        return [one for one in instances_of(aws, field) if one["id"] == handle and one["state"] == "running"]

    until(second, "the second task to run")
    aws.happen("interrupt", second()[0]["id"], notice=1.0)
    until(
        lambda: any(one["region"] == REGIONS[0] and one["state"] == "running" for one in instances_of(aws, field)),
        "an instance in the first region",
    )  # fmt: skip
    aws.fault("region_down", region=REGIONS[0], seconds=DOWN)


def _check(aws: Aws, field: Field, said: str) -> None:
    sweep = field.sweep()
    assert sweep.status.value == "completed", said[-4000:]
    for task in sweep.tasks:
        states = [attempt.state.value for attempt in task.attempts]
        assert states.count("completed") == 1
        assert states[-1] == "completed"
        home = field.root / "tasks" / f"task_{task.index + 1:03d}"
        region = REGIONS[task.index % 2]
        assert task.attempts[-1].source == f"ec2-{region}"
        assert (home / "stdout.log").read_text() == f"seed {100 + task.index} on ec2-{region}\n"
        numbers = (home / "results" / "numbers.txt").read_text()
        assert numbers == "".join(f"{n}\n" for n in range(1, 101 + task.index))
    assert not sweep.uncollected
    taken_back = sweep.tasks[1].attempts[0]
    assert taken_back.kind == "spot_interrupted", taken_back

    instances = instances_of(aws, field)
    wait_until(
        lambda: all(one["state"] == "terminated" for one in instances_of(aws, field)), "all instances gone"
    )
    ran = Counter((one["token"], one["index"]) for one in instances)
    assert max(ran.values()) == 1
    attempts = [attempt for task in sweep.tasks for attempt in task.attempts]
    assert len(instances) == sum(attempt.kind != "launch_failed" for attempt in attempts)
    assert {one["type"] for one in instances if one["region"] == REGIONS[0]} == {INSTEAD}
    assert {one["type"] for one in instances if one["region"] == REGIONS[1]} == {ASKED}
    codes = Counter(call["code"] for call in aws.calls(asker="client"))
    assert codes["RequestLimitExceeded"] > 0
    assert codes["InsufficientInstanceCapacity"] > 0
    assert codes["InternalError"] > 0


def test_another_bad_day(aws: Aws, field: Field, tmp_path: Path) -> None:
    """A quota of two instances, and a login that has expired for a whole minute: nothing runs twice, nothing is lost,
    and `reap` finds nothing.
    """
    tasks = {
        "sweep_name": "another-bad-day",
        "defaults": {"instance_type": ASKED, "region": REGIONS[0], "ttl": "10m"},
        "params": [{"seed": 100 + n} for n in range(6)],
    }
    task = """
        mkdir "$SWEEP_TASK_DIR/ran" || exit 9
        sleep 1; echo "$PARAM_seed"
    """
    field.write("sweep.json", json.dumps(tasks))
    field.write("task.sh", task)
    field.configure(
        sources={"ec2": {"type": "ec2", "poll_interval": "1s", "max_tasks": AT_ONCE}},
        health={"cooldown": "5s"},
    )
    aws.settings(minute=60.0)
    aws.quota("L-1216C47A", 4.0, REGIONS[0])
    aws.fault("unauthorized", service="servicequotas")  # else it would be refused before it is launched
    log = tmp_path / "launch.log"
    process = field.start(
        "launch", "sweep.json", "--sources", "ec2", "--command", "sh task.sh", "--no-ui", "-y", log=log
    )
    try:

        def until(condition: Callable[[], object], what: str) -> None:
            def holds() -> object:
                assert process.poll() is None, log.read_text()[-4000:]
                return condition()

            wait_until(holds, what, limit=LIMIT)

        until(
            lambda: any(one["state"] == "running" for one in instances_of(aws, field)), "an instance to run"
        )
        aws.fault("expired", seconds=60.0)
        status = process.wait(LIMIT)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(20)
    said = log.read_text()
    sweep = field.sweep()
    assert status == 0 and sweep.status.value == "completed", said[-4000:]
    for index, task in enumerate(sweep.tasks):
        assert [attempt.state.value for attempt in task.attempts].count("completed") == 1
        assert (
            field.root / "tasks" / f"task_{index + 1:03d}" / "stdout.log"
        ).read_text() == f"{100 + index}\n"
    instances = instances_of(aws, field)
    ran = Counter((one["token"], one["index"]) for one in instances)
    assert max(ran.values()) == 1
    attempts = [attempt for task in sweep.tasks for attempt in task.attempts]
    assert len(instances) == sum(attempt.kind != "launch_failed" for attempt in attempts)
    codes = Counter(call["code"] for call in aws.calls(asker="client"))
    assert codes["RequestExpired"] > 0 and codes["VcpuLimitExceeded"] > 0
    assert "L-1216C47A" in said or "Running On-Demand" in said
    reaped = field.run("reap", "--dry-run", "--json", "--region", REGIONS[0])
    assert reaped.status == 0 and reaped.out == "", reaped
