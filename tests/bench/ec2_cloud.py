"""An AWS for the bench: the emulator in this process, sweeps on it as the engine runs them, and the instances' part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spawn_tui.engine.aws.launches import LaunchStore
from spawn_tui.engine.create import create_sweep
from spawn_tui.engine.ids import task_name
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.engine.sources.registry import parse_sources
from spawn_tui.state.disk import LocalDisk
from spawn_tui.tui.demo.cloud.answers import Answer
from spawn_tui.tui.demo.cloud.call import Environ, read_call
from spawn_tui.tui.demo.cloud.emulator import Emulator, Served
from spawn_tui.tui.demo.cloud.fleet import ITSELF, Held

from ..parts.waiting import wait_until

ACCOUNT = "123456789012"
TYPE = "t3.micro"
LIMIT = 300.0
"""Seconds that one part of a measurement may take."""

Calls = Counter[tuple[str, str]]
"""How many there were, by service and action."""


@contextmanager
def emulated(base: Path) -> Generator[Emulator]:
    """The emulator, and an environment in which it is all of AWS, for this process and those it starts."""
    served = Served(Emulator())
    _quick_looks(served.emulator)
    kept = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ENDPOINT_URL=served.emulator.endpoint, AWS_ACCESS_KEY_ID="AKIABENCH", AWS_SECRET_ACCESS_KEY="bench",
        AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull, SPAWN_HOME=str(base / "home"),
    )  # fmt: skip
    try:
        yield served.emulator
    finally:
        served.close()
        os.environ.clear()
        os.environ.update(kept)


def _quick_looks(emulator: Emulator) -> None:
    """Answer a look at instances of which nothing has changed as the one before.

    moto takes seconds to write 1,000 instances down, and that is not what is measured.
    """
    ask, kept, changes = emulator.moto.ask, dict[object, Answer](), [0]

    def asked(environ: Environ, form: dict[str, str] | None = None) -> Answer:
        call = read_call(environ)
        if call.service != "ec2" or call.action != "DescribeInstances" or form is not None:
            changes[0] += 1
            return ask(environ, form)
        states = tuple((held.id, held.state, held.hidden, held.gone) for held in emulator.fleet.all())
        key = (call.region, tuple(sorted(call.form.items())), states, changes[0])
        if key not in kept:
            kept.clear()
            kept[key] = ask(environ)
        return kept[key]

    emulator.moto.ask = asked


@dataclass
class Ec2Sweep:
    """A sweep of `tasks` × `true`, dealt out in turn to `regions`, with an engine in a process of its own."""

    emulator: Emulator
    base: Path
    tasks: int
    regions: tuple[str, ...]
    times: float = 1.0
    """How much faster than by the clock the source's time goes."""
    poll: float = 0.0
    """Seconds from one look to the next; 0: as always."""
    _attempts: dict[str, str] = field(default_factory=dict[str, str])
    """What each instance runs, by its id."""

    def __post_init__(self) -> None:
        project = self.base / "project"
        project.mkdir(parents=True)
        (project / "train.py").write_text("print('hello')\n" * 1000)
        tasks = [
            PlannedTask("", {"i": i}, {"instance_type": TYPE, "region": self.regions[i % len(self.regions)]})
            for i in range(self.tasks)
        ]
        plan = Plan("bench", "spawn", tuple(tasks), command=("true",))
        here = -(-self.tasks // len(self.regions))
        specs = [
            replace(
                spec, options={**spec.options, "poll_interval": str(self.poll)} if self.poll else spec.options
            )
            for spec in parse_sources([f"ec2:{region}:{here}" for region in self.regions])
        ]
        self.sources = [spec.name for spec in specs]
        self.root = create_sweep(plan, specs, project=project)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        words = [sys.executable, "-m", "tests.bench.ec2_run", str(self.root), str(self.times)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait for that, while the engine lives. Raises `TimeoutError`, and `RuntimeError` with what it said last."""
        assert self._process is not None

        def holds() -> object:
            assert self._process is not None
            if self._process.poll() is not None and not condition():
                raise RuntimeError(
                    f"the engine ended before: {what}\n{self._process.communicate()[1][-2000:]}"
                )
            return condition()

        wait_until(holds, what, limit=LIMIT)

    def finished(self) -> dict[str, Any]:
        """What the engine says at its end, once all tasks are completed."""
        assert self._process is not None
        said, errors = self._process.communicate(timeout=LIMIT)
        if self._process.returncode != 0:
            raise RuntimeError(errors[-2000:])
        answer: dict[str, Any] = json.loads(said)
        if answer["status"] != "completed":
            raise RuntimeError(f"the sweep is {answer['status']}: {self.root}")
        return answer

    def stop(self) -> None:
        """End the engine, if it has not ended by itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    # --- the instances' part -------------------------------------------------------------------------------------

    def alive(self) -> list[Held]:
        with self.emulator.lock:
            return [held for held in self.emulator.fleet.all() if held.state in ("pending", "running")]

    def begun(self) -> int:
        """Instances that the engine has written down; each has left its first sign of life when this returns."""
        for source, region in zip(self.sources, self.regions, strict=True):
            directory = self.root / "ec2" / source
            for request, answer in LaunchStore(directory, LocalDisk()).open() if directory.is_dir() else ():
                for index, (task, attempt) in enumerate(request.attempts):
                    instance = answer.instance(index) if answer is not None else ""
                    if instance and instance not in self._attempts:
                        self._attempts[instance] = name = f"{task_name(task)}.{attempt}"
                        self._put(region, f"attempts/{name}/bootstrap.log", b"the pack is here\n")
        return len(self._attempts)

    def end(self, instances: Iterable[Held]) -> None:
        """Work over: output, report, `shutdown -h now`."""
        now = int(time.time())
        for held in instances:
            name = self._attempts[held.id]
            self._put(held.region, f"attempts/{name}/stdout.log", b"epoch 1 loss 0.5\n")
            lines = (
                "status 0",
                "flag -",
                f"started {now - 600}",
                f"ended {now}",
                f"instance {held.id}",
                "end",
                "",
            )
            self._put(held.region, f"reports/{name}", "\n".join(lines).encode())
            with self.emulator.lock:
                self.emulator.fleet.end(held, ITSELF, to="terminated")

    def _put(self, region: str, key: str, content: bytes) -> None:
        """Straight into the store: an instance's own calls are nobody's cost here."""
        from moto.s3.models import s3_backends

        bucket = f"spawn-results-{ACCOUNT}-{region}"
        s3_backends[ACCOUNT]["aws"].put_object(bucket, f"sweeps/{self.root.name}/{key}", content)


def calls(emulator: Emulator, *, forget: bool = True) -> Calls:
    """Those since they were forgotten last; what S3 holds is told apart by its folder."""
    entries = emulator.ledger.listed()
    if forget:
        emulator.ledger.clear()
    return Counter((entry["service"], _named(entry)) for entry in entries)


def _named(entry: dict[str, Any]) -> str:
    if entry["service"] != "s3" or entry["action"] not in ("GetObject", "HeadObject"):
        return str(entry["action"])
    parts = str(entry["path"]).split("/")
    for folder in ("reports", "attempts", "packs", "projects"):
        if folder in parts:
            return f"{entry['action']} ({folder})"
    return str(entry["action"])
