"""AWS for tests: the emulator as a process, with instances that run in namespaces, or with states only."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from spawn_tui.tui.demo.cloud.started import Started

from .guard import guard
from .need import missing, need
from .undo import alive, describe
from .waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
_NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]


@functools.cache
def available() -> str | None:
    """Why instances in namespaces cannot be made here, or None."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    why_not = missing({
        "unshare": "util-linux", "pivot_root": "util-linux", "ip": "iproute2", "mount": "mount", "curl": "curl",
        "sshd": "openssh-server", "ssh-keygen": "openssh-client", "su": "login",
    })  # fmt: skip
    if why_not:
        return why_not
    if not Path("/usr/bin/python3").exists():
        return "/usr/bin/python3 is not there (apt-get install python3)"
    trial = (
        "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/r && mount -t overlay o -o "
        "lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r && mknod /mnt/u/null c 1 3 && echo >/mnt/u/null"
    )
    done = subprocess.run(
        [*_NAMESPACES[:-1], "--net", "--", "sh", "-c", trial],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return f"the kernel refuses namespaces: {done.stderr.strip()}" if done.returncode else None


def no_moto() -> str | None:
    try:
        import flask
        import moto  # noqa: F401
    except ImportError as error:
        return f"{error} (pip install 'moto[ec2,s3,server]')"
    del flask
    return None


class Aws:
    """A running emulator; `namespaces`: its instances run what they are told to. Ends with `close`."""

    def __init__(self, *, namespaces: bool = True, boot: float = 0.2, minute: float = 1.0) -> None:
        made = tempfile.mkdtemp(prefix="spawn-aws-")
        self.directory = Path(made)
        self._tree = guard.note("tree", made)
        command = [*_NAMESPACES, sys.executable, "-m", "tests.parts.aws_cloud"] if namespaces else []
        try:
            self._started = Started(self.directory, boot=boot, minute=minute, command=command)
        except BaseException:
            guard.undo(self._tree)
            raise
        self._note = guard.note("process", describe(psutil.Process(self._started.process.pid)))
        self.endpoint = self._started.endpoint
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    def env(self, region: str = "us-east-1") -> dict[str, str]:
        """The AWS_* variables for a client."""
        return self._started.env(region)

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """A boto3 client that tries once; always the same."""
        import boto3
        from botocore.config import Config

        if self._session is None:
            self._session = boto3.session.Session("AKIAEMULATOR", "emulator")
        if (service, region) not in self._clients:
            config = Config(
                retries={"total_max_attempts": 1}, signature_version="s3v4" if service == "s3" else None
            )
            self._clients[service, region] = self._session.client(
                service, region_name=region, endpoint_url=self.endpoint, config=config
            )
        return self._clients[service, region]

    # --- switches ------------------------------------------------------------------------------------------------

    def fault(self, ready: str = "", **fields: Any) -> int:
        """Let something go wrong (`faults.py`); returns the number `heal` takes."""
        told = {**({"ready": ready} if ready else {}), **fields}
        return int(self._started.control("POST", "faults", **told)["id"])

    def heal(self, number: int | None = None) -> None:
        self._started.control("DELETE", "faults" if number is None else f"faults/{number}")

    def next(self, **told: float) -> None:
        """What becomes of the instances launched next: `invisible` seconds, `never_boots`, `fails`."""
        self._started.control("POST", "next", **told)

    def settings(self, **told: float) -> None:
        self._started.control("POST", "settings", **told)

    def quota(self, code: str, value: float, region: str = "us-east-1") -> None:
        self._started.control("POST", "quotas", region=region, code=code, value=value)

    def capacity(self, type_name: str, zone: str, count: int | None) -> None:
        self._started.control("POST", "capacity", region=zone[:-1], type=type_name, zone=zone, count=count)

    def happen(self, verb: str, instance: str, **told: float) -> None:
        """`interrupt` (notice=2.0), `vanish`, `terminate`, `stop`, `fail` or `impair` an instance."""
        self._started.control("POST", f"instances/{instance}/{verb}", **told)

    def clock(self, ahead: float) -> None:
        self._started.control("POST", "clock", ahead=ahead)

    def reset(self) -> None:
        """As at the start; the settings too."""
        self._started.control("POST", "reset")

    # --- looking -------------------------------------------------------------------------------------------------

    def calls(self, action: str = "", *, asker: str = "", forget: bool = False) -> list[dict[str, Any]]:
        """The calls so far; `forget` empties the list."""
        found: list[dict[str, Any]] = self._started.control("GET", "calls")
        if forget:
            self._started.control("DELETE", "calls")
        return [call for call in found if action in ("", call["action"]) and asker in ("", call["asker"])]

    def instances(self, **wanted: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._started.control("GET", "instances")
        return [one for one in found if all(one[key] == value for key, value in wanted.items())]

    def state(self, instance: str) -> str:
        return str(self.instances(id=instance)[0]["state"])

    def await_state(self, instance: str, state: str, *, limit: float = 30.0) -> None:
        """Wait until an instance is in that state. Raises `TimeoutError` with its console."""
        try:
            wait_until(lambda: self.state(instance) == state, f"{instance} to be {state}", limit=limit)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; it is {self.state(instance)}\n{self.console(instance)}") from None

    def console(self, instance: str) -> str:
        return bytes(self._started.control("GET", f"instances/{instance}/console")).decode("utf-8", "replace")

    def alive(self) -> list[psutil.Process]:
        """The processes of all instances: what runs below the emulator."""
        own = psutil.Process(self._started.process.pid)
        return [process for process in own.children(recursive=True)[1:] if alive(process)]

    def kill(self) -> None:
        """End the emulator as SIGKILL does: no part of it has a say in it."""
        self._started.process.kill()

    def close(self) -> None:
        self._started.stop()
        guard.forget(self._note)
        guard.undo(self._tree)

    def __enter__(self) -> Aws:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture(scope="module")
def _aws_namespaces() -> Iterator[Aws]:
    need(no_moto() or available())
    with Aws() as aws:
        yield aws


@pytest.fixture(scope="module")
def _aws_states() -> Iterator[Aws]:
    need(no_moto())
    with Aws(namespaces=False) as aws:
        yield aws


@pytest.fixture
def aws(_aws_namespaces: Aws) -> Aws:
    """AWS whose instances run, as new for each test. Needs root."""
    _aws_namespaces.reset()
    return _aws_namespaces


@pytest.fixture
def aws_plain(_aws_states: Aws) -> Aws:
    """AWS whose instances have states only, as new for each test."""
    _aws_states.reset()
    return _aws_states
