"""EC2 as a place of the crash suite: the emulator in a process of its own, and instances that a test plays.

Every exchange with AWS that changes or decides something is a point, as a command is on a wire (`far_faults`): an
engine dies before it is sent, while it is under way, when it was carried out and nobody has read the answer; or it is
still on its way when others have taken over. So is every file that the source writes of its launches.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from spawn_tui.engine.aws import launches, pacing
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.model import TAG_SWEEP_ID
from spawn_tui.engine.ids import task_index
from spawn_tui.engine.remote.host import Answer, Usage
from spawn_tui.engine.sources import ec2, ec2_groups, ec2_looks, threaded
from spawn_tui.engine.sources.base import Source, SourceContext
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.state.disk import LocalDisk
from spawn_tui.tui.demo.cloud.started import Started

from .far import SLOTS, Far
from .far_faults import Wrap
from .trials import Trial

REGION, NAME = "us-east-1", "ec2-us-east-1"
BUCKET = f"spawn-results-123456789012-{REGION}"
OPTIONS = {
    "region": REGION, "instance_type": "t3.micro", "poll_interval": "0.1", "sync_exclude": "out\nhome\n*.log",
}  # fmt: skip
# What is sent, in the words of `far_faults`, which says what may arrive late.
_ACTIONS = {
    "RunInstances": "launch", "TerminateInstances": "signal", "DescribeInstances": "look", "CreateTags": "label",
}  # fmt: skip
_ACTION = re.compile(r"(?:^|&)Action=(\w+)")
LOOK_EVERY = 0.15
"""Seconds between two looks at what runs there, by those who play it."""


class WarmCloud(Cloud):
    """Its clients are made before the engines are forked: each would take half a second for them."""

    def warm(self) -> None:
        for service in ("sts", "ec2", "s3", "ssm"):
            self.client(service, REGION)

    def renew(self) -> None:
        pass


class Step:
    """See `Host`: something that is done when it is asked to run anything."""

    name, usage = "aws", Usage()

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do

    def run(
        self,
        command: Sequence[str],
        data: bytes | Iterable[bytes] = b"",
        *,
        limit: float,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        self._do()
        return Answer(0, b"", b"")

    def close(self) -> None:
        pass


def _step(wrap: Wrap, name: str, do: Callable[[], object]) -> None:
    """Do it, with the points around it that have this name."""
    wrap(lambda: Step(do)).run(["aws", "step", name], limit=60.0)


class Wire:
    """What botocore sends its requests through, with points around those that matter."""

    def __init__(self, inner: Any, wrap: Wrap) -> None:
        self._inner, self._wrap = inner, wrap

    def send(self, request: Any) -> Any:
        name = _name_of(request)
        if not name:
            return self._inner.send(request)
        told: list[Any] = []
        _step(self._wrap, name, lambda: told.append(self._inner.send(request)))
        return told[-1]

    def close(self) -> None:
        self._inner.close()


def _name_of(request: Any) -> str:
    if "/packs/" in request.url:
        return "stage" if request.method == "PUT" else ""
    body = request.body.decode() if isinstance(request.body, bytes) else request.body
    if isinstance(body, str) and (found := _ACTION.search(body)):
        return _ACTIONS.get(found[1], "")
    return "report" if "/reports/" in request.url else ""


class PointedDisk(LocalDisk):
    """Points around what the source writes of its launches."""

    def __init__(self, wrap: Wrap) -> None:
        super().__init__()
        self._wrap = wrap

    def create(self, path: Path, data: bytes) -> None:
        _step(self._wrap, "request", lambda: LocalDisk.create(self, path, data))

    def replace(self, path: Path, data: bytes) -> None:
        _step(self._wrap, "answer", lambda: LocalDisk.replace(self, path, data))


class Ec2Far(Far):
    def prepare(self) -> None:
        for module, name, seconds in (
            (ec2, "QUICK", 0.1), (ec2_groups, "AGAIN", 0.3), (ec2_looks, "UNSEEN", 2.0),
            (launches, "SHOWN_WITHIN", 2.0), (threaded, "FIRST_PAUSE", 0.1), (pacing, "FIRST_WAIT", 0.1),
        ):  # fmt: skip
            setattr(module, name, seconds)
        pacing.PACES["RunInstances"] = pacing.Pace(50.0, 50.0)


class Played:
    """The emulator, and who plays its instances: each that runs does its attempt's part at once, and goes.

    `part` says what that is by task and attempt: its exit status, or None if it runs on until somebody ends it.
    """

    def __init__(self, started: Started, part: Callable[[int, int], int | None]) -> None:
        self.started, self._part = started, part
        self._roots: dict[str, Trial] = {}
        self._played: set[str] = set()
        self._due = 0.0
        self.cloud = WarmCloud()
        self.cloud.warm()
        self._s3: Any = Cloud().client("s3", REGION)

    def enter(self, trial: Trial) -> None:
        self._roots[trial.field.root.name] = trial

    def of(self, trial: Trial) -> list[dict[str, Any]]:
        """All instances that were ever launched for a trial."""
        sweep = trial.field.root.name
        found: list[dict[str, Any]] = self.started.control("GET", "instances")
        return [one for one in found if one["tags"].get(TAG_SWEEP_ID) == sweep]

    def attempt_of(self, trial: Trial, instance: dict[str, Any]) -> tuple[int, int]:
        """Which attempt it was launched for: its place in the request that was written down before."""
        path = trial.field.root / "ec2" / NAME / f"{instance['token']}.json"
        name, number = json.loads(path.read_bytes())["attempts"][instance["index"]]
        return task_index(name), int(number)

    def act(self) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        for instance in self.started.control("GET", "instances"):
            trial = self._roots.get(instance["tags"].get(TAG_SWEEP_ID, ""))
            if trial is not None and instance["state"] == "running" and instance["id"] not in self._played:
                self._played.add(instance["id"])
                self._play(trial, instance)
        self._due = time.monotonic() + LOOK_EVERY

    def _play(self, trial: Trial, instance: dict[str, Any]) -> None:
        task, number = self.attempt_of(trial, instance)
        field = trial.field
        with field.effects.open("a") as effects:
            effects.write(f"{field.token(task, number)}\n")
        status = self._part(task, number)
        if status is None:
            return
        name, now = field.attempt(task, number).name, int(time.time())
        files = {
            f"attempts/{name}/stdout.log": f"said by {field.token(task, number)}\n",
            f"attempts/{name}/results/numbers.txt": "".join(f"{n}\n" for n in range(task * 100)),
            f"reports/{name}": (
                f"status {status}\nflag -\nstarted {now}\nended {now}\ninstance {instance['id']}\nend\n"
            ),
        }
        for path, text in files.items():
            self._s3.put_object(Bucket=BUCKET, Key=f"sweeps/{field.root.name}/{path}", Body=text.encode())
        self.started.control("POST", f"instances/{instance['id']}/terminate")


class Ec2Trial(Trial):
    """One in which the instances play their part."""

    def __init__(self, played: Played, *arguments: Any, **deaths: Any) -> None:
        super().__init__(*arguments, **deaths)
        self._players = played
        played.enter(self)

    def look(self) -> None:
        self._players.act()
        super().look()


@contextmanager
def ec2_place(base: Path, part: Callable[[int, int], int | None]) -> Iterator[tuple[Far, Played]]:
    """The place, and who plays there."""
    directory, effects = base / "emulator", base / "effects"
    directory.mkdir()
    effects.mkdir()
    with Started(directory, boot=0.05) as started, pytest.MonkeyPatch.context() as patch:
        started.control("POST", "settings", shutdown=0.1)
        for name, value in started.env(REGION).items():
            patch.setenv(name, value)
        played = Played(started, part)

        def make(spec: SourceSpec, context: SourceContext, wrap: Wrap) -> Source:
            for service in ("ec2", "s3"):
                endpoint = played.cloud.client(service, REGION)._endpoint
                endpoint.http_session = Wire(endpoint.http_session, wrap)
            ec2.LocalDisk = lambda: PointedDisk(wrap)  # type: ignore[assignment,misc]
            return ec2.Ec2Source(spec, context, played.cloud, price=lambda *_: 0.01)

        yield Ec2Far(SourceSpec(NAME, "ec2", SLOTS, OPTIONS), make, effects), played
