"""What sweeps on EC2 cost: calls to AWS, counted, and launching against one instance after the other.

AWS is the emulator (tui/demo/cloud) in this process; the engine is real and in its own. The instances are played: each
is there, leaves its output and its report, and shuts down.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.fleet import Fleet
from spawn_tui.engine.aws.pacing import Pacer
from spawn_tui.tui.demo.cloud.emulator import Emulator

from .ec2_cloud import TYPE, Calls, Ec2Sweep, calls, emulated
from .measure import Figure, timed

INSTANCES = 1000
LOOKS = 60
"""Ten minutes of one look every 10 s."""
TIMES = 20.0
"""How much faster than by the clock all else passes that the source waits for."""
PAUSE = 0.1
"""Seconds from one look to the next: they are counted, and nothing else happens in between."""
LAUNCHED, REGIONS = 200, ("us-east-1", "us-west-2")
ANSWER = 0.25
"""Seconds RunInstances takes to answer."""
ROUNDS = 5
LOOK, LAUNCH, LABEL = ("ec2", "DescribeInstances"), ("ec2", "RunInstances"), ("ec2", "CreateTags")


def _calls(emulator: Emulator, base: Path) -> list[Figure]:
    """A sweep of 1,000 instances from its first launch to its end."""
    sweep = Ec2Sweep(emulator, base / "calls", INSTANCES, REGIONS[:1], TIMES, PAUSE)
    try:
        sweep.start()
        sweep.wait(lambda: sweep.begun() == INSTANCES, "all launches answered")
        sweep.wait(lambda: calls(emulator, forget=False)[LABEL] >= INSTANCES, "all instances labelled")
        launched = calls(emulator)
        sweep.wait(lambda: calls(emulator, forget=False)[LOOK] >= LOOKS, f"{LOOKS} looks")
        watched = calls(emulator)
        look = _look(sweep)
        calls(emulator)
        sweep.end(sweep.alive())
        engine = sweep.finished()
        ended = calls(emulator)
    finally:
        sweep.stop()
    memory = Figure(
        f"memory of the engine at {INSTANCES:,} instances",
        engine["memory"],
        "MB",
        detail="peak resident size",
    )
    return [*_counted(launched, watched, ended), *look, memory]


def _counted(launched: Calls, watched: Calls, ended: Calls) -> list[Figure]:
    """Ours, against a call for each instance: to launch it, for each look, and at its end."""
    home = _outputs(ended)
    ours = launched + watched + ended - home
    theirs = INSTANCES + LOOKS * INSTANCES + INSTANCES
    return [
        Figure(f"`RunInstances` calls for {INSTANCES:,} instances", launched[LAUNCH], "", detail="of 50 each"),
        Figure(
            f"`DescribeInstances` calls to watch {INSTANCES:,} instances for 10 minutes", watched[LOOK], "",
            detail=f"one a look; a call for each instance would be {LOOKS * INSTANCES:,}",
        ),
        Figure(
            f"API calls to launch, watch for 10 minutes and end {INSTANCES:,} instances",
            ours.total() / INSTANCES, "an instance", detail=_listed(ours),
        ),
        Figure(
            "a call for each instance and look, against those", theirs / ours.total(), "× the calls",
            detail=f"{theirs:,} against {ours.total():,}: a launch, {LOOKS} looks and an end for each",
        ),
        Figure(
            "API calls to bring their outputs home", home.total() / INSTANCES, "an instance",
            detail=f"{_listed(home)}; 2 files each",
        ),
    ]  # fmt: skip


def _outputs(ended: Calls) -> Calls:
    """Those that fetched outputs: they have to come home however one watches, and are on nobody's bill."""
    return Calls(
        {call: n for call, n in ended.items() if call[1] in ("ListObjectsV2", "GetObject (attempts)")}
    )


def _listed(made: Calls) -> str:
    """By service and action, the most first; what is asked a few times at the start is one sum."""
    many = [f"{n:,} {service}:{action}" for (service, action), n in made.most_common() if n >= 10]
    few = sum(n for n in made.values() if n < 10)
    return ", ".join([*many, *([f"{few} others"] if few else [])])


def _launching(emulator: Emulator, base: Path) -> list[Figure]:
    """200 instances in two regions, from the start of an engine on, against a loop over RunInstances."""
    fault = emulator.faults.add({"action": "RunInstances", "delay": ANSWER})
    sweep = Ec2Sweep(emulator, base / "launching", LAUNCHED, REGIONS)
    try:
        begun = time.perf_counter()
        sweep.start()
        sweep.wait(lambda: sweep.begun() == LAUNCHED, "all launches answered")
        ours = time.perf_counter() - begun
        uploads = calls(emulator)["s3", "PutObject"]
        sweep.end(sweep.alive())
        sweep.finished()
        serial = timed(_serially)
    finally:
        sweep.stop()
        emulator.faults.remove(fault.id)
    return [
        Figure(
            f"EC2: {LAUNCHED} instances launched in two regions, start-up and uploads included, against one by one",
            serial / ours, "× faster", ">= 5",
            f"{ours:.1f} s ({uploads} uploads) against {serial:.1f} s; RunInstances answers after {ANSWER} s",
        )
    ]  # fmt: skip


def _serially() -> None:
    """What a loop of a user's own does."""
    import boto3

    clients: list[Any] = [boto3.client("ec2", region_name=region) for region in REGIONS]
    images = [client.describe_images(Owners=["amazon"])["Images"][0]["ImageId"] for client in clients]
    for number in range(LAUNCHED):
        place = number % len(clients)
        clients[place].run_instances(ImageId=images[place], InstanceType=TYPE, MinCount=1, MaxCount=1)


def _look(sweep: Ec2Sweep) -> list[Figure]:
    """What one look at 1,000 instances costs here. The emulator has its answer ready (`ec2_cloud`)."""
    fleet = Fleet(Cloud(), REGIONS[0], Pacer())

    def look() -> int:
        return len(fleet.instances(sweep.root.name))

    look()
    seconds = statistics.median(_own_time(look) for _ in range(ROUNDS))
    tracemalloc.start()
    seen = look()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if seen != INSTANCES:
        raise RuntimeError(f"a look shows {seen} of {INSTANCES} instances")
    return [
        Figure(
            f"one look at {INSTANCES:,} instances",
            seconds,
            "s",
            detail=f"of processor time, median of {ROUNDS}",
        ),
        Figure(
            "the same, memory while it is read", peak / 2**20, "MB", detail="peak of what Python allocates"
        ),
    ]


def _own_time(run: Callable[[], object]) -> float:
    """Seconds of processor time that this thread spends on it: who answers is another one."""
    begun = time.thread_time()
    run()
    return time.thread_time() - begun


def run() -> list[Figure]:
    base = Path(tempfile.mkdtemp(prefix="bench-ec2-"))
    try:
        with emulated(base) as emulator:
            figures = _calls(emulator, base)
            emulator.reset()
            return figures + _launching(emulator, base)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    from .measure import table

    print(table(run()))
