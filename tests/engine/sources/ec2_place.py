"""A sweep's directory and a source of EC2 over the emulator: what a test launches, what it was told, and the instances.

Nothing runs on these instances: a test plays their part. What attempt one of them runs is read as it would itself, from
its launch index and the pack its user data names.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import spawn_tui.engine.run
from spawn_tui.engine.aws import launches, pacing
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.fleet import Fleet
from spawn_tui.engine.aws.launches import LaunchAnswer, LaunchRequest, LaunchStore
from spawn_tui.engine.command import Invocation
from spawn_tui.engine.events import Ref
from spawn_tui.engine.observe import Observation, SawEnd, SawNothing, SawRunning, SawWithdrawn
from spawn_tui.engine.plan.model import Value
from spawn_tui.engine.sources import ec2, ec2_groups, ec2_launch, threaded
from spawn_tui.engine.sources.base import Job, SourceContext
from spawn_tui.engine.sources.ec2 import Ec2Source
from spawn_tui.engine.sources.ec2_rates import GetPrice
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.state.disk import LocalDisk
from spawn_tui.state.layout import SweepLayout
from spawn_tui.tui.demo.cloud.emulator import Emulator, Served
from spawn_tui.tui.demo.cloud.fleet import ITSELF, Held

from tests.parts.waiting import wait_until

REGION, NAME, SWEEP = "us-east-1", "ec2-us-east-1", "sweep-20261122-abc123"
BUCKET = f"spawn-results-123456789012-{REGION}"
TYPE = "t3.micro"
RATES = {"on-demand": 0.0104, "spot": 0.0031}
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
RUNNER = Path(spawn_tui.engine.run.__file__).with_name("runner.sh")
_WAITS: Mapping[tuple[Any, str], float] = {
    (ec2, "POLL"): 0.05, (ec2, "QUICK"): 0.02, (ec2_groups, "AGAIN"): 0.1, (ec2, "CALL_LIMIT"): 0.3,
    (ec2_launch, "SEND_LIMIT"): 0.3, (launches, "SHOWN_WITHIN"): 0.3, (threaded, "FIRST_PAUSE"): 0.05,
    (threaded, "LAST_PAUSE"): 0.2,
    (threaded, "REFUSED_PAUSE"): 0.1, (pacing, "FIRST_WAIT"): 0.02, (pacing, "LONGEST_WAIT"): 0.1,
}  # fmt: skip
"""Seconds that are short, so that no test waits as a person would."""


class KeptCloud(Cloud):
    """One that keeps its clients for all tests: to make one takes a third of a second."""

    def renew(self) -> None:
        pass


@contextmanager
def emulated() -> Generator[tuple[Emulator, Cloud]]:
    """The emulator in this process, and a cloud whose every service it is."""
    served = Served(Emulator())
    served.emulator.set_defaults(boot=0.02, shutdown=0.02)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {
            "AWS_ENDPOINT_URL": served.emulator.endpoint, "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "hush-hush", "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }.items():  # fmt: skip
            patch.setenv(name, value)
        try:
            yield served.emulator, KeptCloud()
        finally:
            served.close()


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Make every wait of the source short; a question is given up after 0.3 s."""
    for (module, name), seconds in _WAITS.items():
        patch.setattr(module, name, seconds)

    def fleet(cloud: Cloud, region: str, pacer: pacing.Pacer) -> Fleet:
        return Fleet(cloud, region, pacer, limit=0.3)

    patch.setattr(ec2, "Fleet", fleet)
    patch.setattr(pacing, "USUAL", pacing.Pace(2000.0, 2000.0))
    patch.setitem(pacing.PACES, "RunInstances", pacing.Pace(100.0, 100.0))


@dataclass(frozen=True, slots=True)
class Plays:
    """What an instance does as soon as it runs: what it leaves in the bucket, and how it goes (empty: it stays)."""

    status: int = 0
    flag: str = "-"
    message: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    reports: bool = True
    to: str = "terminated"


@dataclass
class Ec2Place:
    """`plays`: the part of every instance, if it has one. All of them are called from `poll`, in the test's thread."""

    base: Path
    emulator: Emulator
    cloud: Cloud
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    plays: Plays | Callable[[str], Plays | None] | None = None
    price: GetPrice = field(default=lambda region, instance_type, market: RATES[market])
    news: list[Observation] = field(default_factory=list[Observation])
    ends: dict[Ref, SawEnd | SawNothing | SawWithdrawn] = field(
        default_factory=dict[Ref, SawEnd | SawNothing | SawWithdrawn]
    )
    repeated: list[Observation] = field(default_factory=list[Observation])
    """Ends that were told a second time."""
    jobs: dict[Ref, Job] = field(default_factory=dict[Ref, Job])

    def __post_init__(self) -> None:
        self.root = self.base / "sweep"
        self.project = self.base / "project"
        self.project.mkdir(parents=True)
        (self.project / "train.py").write_text("print('hello')\n")
        (self.root / "scripts").mkdir(parents=True)
        (self.root / "attempts").mkdir()
        shutil.copy(RUNNER, self.root / "scripts" / "runner.sh")
        self._played: set[str] = set()
        self._attempts: dict[str, str] = {}
        self.source = self.make()

    def make(self) -> Ec2Source:
        context = SourceContext(SweepLayout(self.root), SWEEP, self.project, "lr", 100)
        spec = SourceSpec(NAME, "ec2", 500, {"region": REGION, **self.options})
        return Ec2Source(spec, context, self.cloud, price=lambda *what: self.price(*what))

    def restart(self) -> None:
        """Another engine comes: what the source knew is forgotten, and nothing of it was said good-bye to."""
        self.source.close()
        self.news.clear()
        self.source = self.make()

    # --- launching -----------------------------------------------------------------------------------------------

    def job(
        self, *argv: str, batch: str = "b1", number: int = 1, timeout: float | None = None, **launch: Value
    ) -> Job:
        """An attempt at a task of its own; `launch`: what its task asks of the instance."""
        ref = Ref(len(self.jobs), number)
        name = f"task_{ref.task + 1:03d}.{number}"
        token = f"{SWEEP}.{name}"
        home = self.root / "attempts" / name
        home.mkdir(mode=0o700)

        def render(
            *, task_dir: str, project: str | None = None, previous_dir: str | None = None
        ) -> Invocation:
            return Invocation(argv, {"SWEEP_TOKEN": token, "SWEEP_TASK_DIR": task_dir}, project or "/")

        asked = {"instance_type": TYPE, **launch}
        job = self.jobs[ref] = Job(ref, token, batch, home, render, timeout, asked)
        return job

    def some(self, count: int, *argv: str, **launch: Value) -> list[Job]:
        return [self.job(*(argv or ("true",)), **launch) for _ in range(count)]

    def launch(self, jobs: Sequence[Job]) -> list[Job]:
        self.source.launch(jobs[0].batch, jobs, limit=len(jobs))
        return list(jobs)

    def adopt(
        self, jobs: Sequence[Job], *, running: Sequence[Job] = (), cancelling: Sequence[Job] = ()
    ) -> None:
        self.source.adopt(
            jobs,
            running=frozenset(job.ref for job in running),
            cancelling=frozenset(job.ref for job in cancelling),
        )

    def stored(self) -> list[tuple[LaunchRequest, LaunchAnswer | None]]:
        """Its launches, as they are on the disk."""
        return LaunchStore(self.root / "ec2" / NAME, LocalDisk()).open()

    def forget_answers(self) -> None:
        """The engine died before it had written down what came of its launches."""
        for path in (self.root / "ec2" / NAME).glob("*.answer.json"):
            path.unlink()

    # --- the instances' part -------------------------------------------------------------------------------------

    def instances(self) -> list[Held]:
        with self.emulator.lock:
            return [held for held in self.emulator.fleet.all() if held.region == REGION]

    def attempt_of(self, held: Held) -> str:
        """The attempt it runs: from the pack that its user data names, by its launch index."""
        if held.id not in self._attempts:
            data = held.machine.user_data
            script = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
            found = re.search(r"(?m)^pack_url=https?://[^/]+/([^/]+)/([^?]+)\?", script)
            assert found, "its user data names no pack"
            with tarfile.open(fileobj=io.BytesIO(self.get(found[2], found[1]))) as pack:
                member = pack.extractfile(f"{held.moto.ami_launch_index}/settings")
                assert member is not None
                settings = dict(line.split("=", 1) for line in member.read().decode().splitlines())
            self._attempts[held.id] = settings["attempt"]
        return self._attempts[held.id]

    def of(self, job: Job) -> list[Held]:
        """Every instance that was ever launched for this attempt."""
        return [held for held in self.instances() if self.attempt_of(held) == job.directory.name]

    def one(self, job: Job) -> Held:
        (held,) = self.of(job)
        return held

    def alive(self) -> list[str]:
        """The attempts of all instances that are not terminated, or about to be."""
        return sorted(
            self.attempt_of(held)
            for held in self.instances()
            if held.state not in ("shutting-down", "terminated") and not held.gone
        )

    def end(self, held: Held, *, to: str = "terminated") -> None:
        """It shuts itself down."""
        with self.emulator.lock:
            self.emulator.fleet.end(held, ITSELF, to=to)

    def play(self, held: Held, part: Plays) -> None:
        """As bootstrap.sh would: files, then the report, then the end."""
        name = self.attempt_of(held)
        for path, content in part.files.items():
            self.put(f"attempts/{name}/{path}", content)
        if part.reports:
            self.put(f"reports/{name}", report(part.status, part.flag, part.message, held.id))
        if part.to:
            self.end(held, to=part.to)

    def put(self, key: str, content: bytes) -> None:
        """Straight into the sweep's place in the store."""
        from moto.s3.models import s3_backends

        s3_backends["123456789012"]["aws"].put_object(BUCKET, f"sweeps/{SWEEP}/{key}", content)

    def get(self, key: str, bucket: str = BUCKET) -> bytes:
        from moto.s3.models import s3_backends

        found = s3_backends["123456789012"]["aws"].get_object(bucket, key)
        assert found is not None, key
        return bytes(found.value)

    def keys(self) -> list[str]:
        from moto.s3.models import s3_backends

        return sorted(s3_backends["123456789012"]["aws"].buckets[BUCKET].keys)

    def _act(self) -> None:
        for held in self.instances():
            if held.state != "running" or held.id in self._played or self.plays is None:
                continue
            part = self.plays if isinstance(self.plays, Plays) else self.plays(self.attempt_of(held))
            if part is not None:
                self._played.add(held.id)
                self.play(held, part)

    # --- looking -------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        self._act()
        for seen in self.source.poll(time.time()):
            self.news.append(seen)
            if isinstance(seen, SawEnd | SawNothing | SawWithdrawn):
                ref = Ref(seen.task, seen.attempt)
                if ref in self.ends:
                    self.repeated.append(seen)
                self.ends[ref] = seen

    def wait(self, condition: Callable[[], object], what: str, *, limit: float = 30.0) -> None:
        def holds() -> object:
            self.poll()
            return condition()

        try:
            wait_until(holds, what, limit=limit, pause=0.005)
        except TimeoutError as late:
            states = [f"{held.id} {held.state} of {held.token[-8:]}" for held in self.instances()]
            raise TimeoutError(f"{late}; told last: {self.news[-8:]}; instances: {states[:8]}") from None

    def wait_running(self, *jobs: Job) -> None:
        self.wait(lambda: all(self.started(job) for job in jobs), f"{len(jobs)} running")

    def wait_ends(self, *jobs: Job) -> list[SawEnd | SawNothing | SawWithdrawn]:
        self.wait(lambda: all(job.ref in self.ends for job in jobs), f"{len(jobs)} ends")
        return [self.ends[job.ref] for job in jobs]

    def ended(self, job: Job) -> SawEnd:
        """The end of an attempt that ran."""
        (seen,) = self.wait_ends(job)
        assert isinstance(seen, SawEnd), seen
        return seen

    def refused(self, job: Job) -> SawNothing:
        """The end of an attempt that never ran."""
        (seen,) = self.wait_ends(job)
        assert isinstance(seen, SawNothing), seen
        return seen

    def wait_gone(self, limit: float = 30.0) -> None:
        self.wait(lambda: not self.alive(), "all instances gone", limit=limit)

    def wait_looks(self, count: int = 2) -> None:
        """Let it look that often, the first of them begun after this."""
        before = self.calls("DescribeInstances")
        self.wait(lambda: self.calls("DescribeInstances") >= before + count + 1, f"{count} looks")

    def started(self, job: Job) -> SawRunning | None:
        said = [seen for seen in self.news if isinstance(seen, SawRunning) and seen.task == job.ref.task]
        return said[-1] if said else None

    def told(self, *kinds: type) -> list[Observation]:
        return [seen for seen in self.news if isinstance(seen, kinds)]

    def calls(self, action: str = "", *, service: str = "", ok: bool | None = None) -> int:
        """How many calls the emulator has answered."""
        return sum(
            action in ("", call["action"]) and service in ("", call["service"]) and ok in (None, call["ok"])
            for call in self.emulator.ledger.listed()
        )

    def written(self) -> dict[str, bytes]:
        """What is in the sweep's directory, but for the launches themselves."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and path.relative_to(self.root).parts[0] != "ec2"
        }

    def fault(self, ready: str = "", **fields: Any) -> int:
        return self.emulator.faults.add({**({"ready": ready} if ready else {}), **fields}).id

    def heal(self) -> None:
        self.emulator.faults.remove()

    def ahead(self, seconds: float) -> None:
        """Set the cloud's clock."""
        with self.emulator.lock:
            self.emulator.clock.ahead = seconds
            self.emulator.fleet.look()


def report(status: int, flag: str = "-", message: str = "", instance: str = "") -> bytes:
    """As bootstrap.sh writes it."""
    now = int(time.time())
    lines = [f"status {status}", f"flag {flag}", f"started {now - 5}", f"ended {now}", f"instance {instance}"]
    return "\n".join([*lines, *([f"message {message}"] if message else []), "end", ""]).encode()


def documents(place: Ec2Place) -> dict[str, dict[str, Any]]:
    """The stored launches and answers, by file name."""
    return {
        path.name: json.loads(path.read_bytes())
        for path in sorted((place.root / "ec2" / NAME).iterdir())
        if path.suffix == ".json"
    }


class Places:
    """Makes places over one emulator, all of it as new; `close` ends them, and checks what must hold of each."""

    def __init__(self, base: Path, emulator: Emulator, cloud: Cloud) -> None:
        self._base, self._emulator, self._cloud = base, emulator, cloud
        self._made: list[Ec2Place] = []
        emulator.reset()

    def __call__(
        self,
        plays: Plays | Callable[[str], Plays | None] | None = None,
        *,
        cloud: Cloud | None = None,
        **options: str,
    ) -> Ec2Place:
        place = Ec2Place(self._base, self._emulator, cloud or self._cloud, options, plays)
        self._made.append(place)
        return place

    def close(self) -> None:
        for place in self._made:
            place.source.close()

    def check(self) -> None:
        """No attempt ever had two instances, and no end was told twice."""
        for place in self._made:
            names = [place.attempt_of(held) for held in place.instances()]
            twice = {name for name in names if names.count(name) > 1}
            assert not twice, f"launched twice: {twice}"
            assert not place.repeated, place.repeated
