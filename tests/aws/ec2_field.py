"""EC2 for tests: the project's emulator, a server that answers what a test says and keeps what it was sent, a clock."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

import pytest
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.pacing import Pacer

REGION = "us-east-1"
AMI = "ami-12c6146b"
"""One that moto knows."""
_AWS = {
    "AWS_ACCESS_KEY_ID": "AKIATEST",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
Form = dict[str, str]
Answer = tuple[int, str]
"""HTTP status and XML."""


class Time:
    """A clock in seconds that only `sleep` moves, so that no test waits."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds


def a_pacer(time: Time | None = None, seed: int = 7) -> Pacer:
    time = time or Time()
    return Pacer(time, time.sleep, random=Random(seed).random)


@contextmanager
def cloud_at(endpoint: str) -> Generator[Cloud]:
    """A cloud whose every service is at `endpoint`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {**_AWS, "AWS_ENDPOINT_URL": endpoint}.items():
            patch.setenv(name, value)
        yield Cloud()


@dataclass(frozen=True)
class Emulated:
    """The project's emulator, in a process of its own: moto is one account a process, and changes it."""

    endpoint: str
    cloud: Cloud

    def ask(self, method: str, path: str, **told: object) -> Any:
        """What its control endpoint answers."""
        body = json.dumps(told).encode() if told else None
        request = Request(f"{self.endpoint}/_emulator/{path}", body, method=method)
        with urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def calm(self) -> None:
        """No faults, no calls counted, and no state that takes longer than it must. What was launched stays."""
        self.ask("DELETE", "faults")
        self.ask("DELETE", "calls")
        self.ask("POST", "settings", boot=0.0, check=0.0, shutdown=0.0)

    def launched(self, *tokens: str) -> list[dict[str, Any]]:
        """What it holds of these launches."""
        return [one for one in self.ask("GET", "instances") if one["token"] in tokens]

    def calls(self, action: str) -> int:
        return sum(call["action"] == action for call in self.ask("GET", "calls"))


@contextmanager
def emulated() -> Generator[Emulated]:
    with TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "spawn_tui.tui.demo.cloud",
            "--port",
            "0",
            "--dir",
            folder,
            "--machines",
            "none",
        ]
        with Popen(command, stdin=PIPE, stdout=PIPE) as process:
            try:
                assert process.stdout is not None
                endpoint = json.loads(process.stdout.readline())["endpoint"]
                with cloud_at(endpoint) as cloud:
                    yield Emulated(endpoint, cloud)
            finally:
                process.terminate()
                process.wait(20)


def until(condition: Callable[[], bool], limit: float = 20.0) -> None:
    """Wait for what happens in real time, at the emulator."""
    ends = monotonic() + limit
    while not condition():
        assert monotonic() < ends, "it did not happen"
        sleep(0.02)


class Recorder:
    """Answers EC2 calls by `answer(action, form)`, and keeps the body of each call and what it asked."""

    def __init__(self, answer: Callable[[str, Form], Answer]) -> None:
        self.answer = answer
        self.bodies: list[bytes] = []
        self.forms: list[Form] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                form = {key: values[0] for key, values in parse_qs(body.decode(), True).items()}
                recorder.bodies.append(body)
                recorder.forms.append(form)
                status, text = recorder.answer(form["Action"], form)
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def actions(self) -> list[str]:
        return [form["Action"] for form in self.forms]

    @contextmanager
    def cloud(self) -> Generator[Cloud]:
        self._thread.start()
        try:
            with cloud_at(f"http://127.0.0.1:{self._server.server_port}") as cloud:
                yield cloud
        finally:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(10)


def refusal(code: str, message: str = "no", status: int = 400) -> Answer:
    """An error as EC2 words it."""
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, f"<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>"


def success(action: str, inside: str = "") -> Answer:
    return (
        200,
        f'<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{inside}</{action}Response>',
    )


def instance_xml(
    instance_id: str, *, index: int = 0, state: str = "running", more: str = "", **tags: str
) -> str:
    pairs = "".join(
        f"<item><key>{key.replace('_', ':', 1).replace('_', '-')}</key><value>{value}</value></item>"
        for key, value in tags.items()
    )
    return (
        f"<item><instanceId>{instance_id}</instanceId><instanceState><code>0</code><name>{state}</name>"
        f"</instanceState><amiLaunchIndex>{index}</amiLaunchIndex><launchTime>2026-11-22T10:00:00.000Z</launchTime>"
        f"<instanceType>t3.micro</instanceType><tagSet>{pairs}</tagSet>{more}</item>"
    )


def described(*instances: str, token: str = "") -> Answer:
    """An answer to DescribeInstances, each instance in a reservation of its own."""
    found = "".join(f"<item><instancesSet>{one}</instancesSet></item>" for one in instances)
    following = f"<nextToken>{token}</nextToken>" if token else ""
    return success("DescribeInstances", f"<reservationSet>{found}</reservationSet>{following}")
