"""An S3 that answers as moto does, and fails as a test asks; a sweep's place in it, and one at home."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import urllib.request
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from spawn_tui.engine.aws.bucket import SweepBucket
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.homeward import Homeward
from spawn_tui.engine.collect.bring import Collected
from spawn_tui.engine.collect.rules import CollectRules
from spawn_tui.engine.events import Ref
from spawn_tui.state.layout import SweepLayout

from ..parts.waiting import wait_until

SWEEP = "lr-20261122-abc123"
ACCOUNT = "123456789012"
QUICK = CollectRules(patience=20.0)
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hush-hush", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the server got it. `path` is unquoted."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def range(self) -> str:
        return self.headers.get("HTTP_RANGE", "")


@dataclass(slots=True)
class Fault:
    """What becomes of the next `times` requests that `matches`."""

    matches: Callable[[Asked], bool]
    times: int
    status: str = ""
    code: str = ""
    cut: int | None = None
    """Bytes of the body after which the connection drops."""
    before: Callable[[], object] | None = None
    """What happens just before it is answered."""
    range: str | None = None
    """The range that is answered instead of the one that was asked for; empty: the whole."""
    gate: threading.Event | None = None
    """What the answer waits for."""


@dataclass(slots=True)
class S3:
    """The server. `asked`: every request since the last reset."""

    endpoint: str
    asked: list[Asked] = field(default_factory=list[Asked])
    faults: list[Fault] = field(default_factory=list[Fault])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, matches: Callable[[Asked], bool], times: int = 1, **what: Any) -> Fault:
        fault = Fault(matches, times, **what)
        self.faults.append(fault)
        return fault

    def slow_down(self, matches: Callable[[Asked], bool], times: int = 1) -> Fault:
        return self.fail(matches, times, status="503 Slow Down", code="SlowDown")

    def reset(self) -> None:
        self.faults.clear()
        urllib.request.urlopen(
            urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST"), timeout=10
        ).close()
        self.asked.clear()

    def count(self, method: str, part: str = "") -> int:
        return sum(1 for asked in self.asked if asked.method == method and part in asked.path)

    def put(self, bucket: str, key: str, content: bytes) -> str:
        """Straight into the store; the ETag."""
        from moto.s3.models import s3_backends

        return str(s3_backends[ACCOUNT]["aws"].put_object(bucket, key, content).etag).strip('"')

    def get(self, bucket: str, key: str) -> bytes:
        from moto.s3.models import s3_backends

        found = s3_backends[ACCOUNT]["aws"].get_object(bucket, key)
        assert found is not None, key
        return bytes(found.value)

    def keys(self, bucket: str) -> list[str]:
        from moto.s3.models import s3_backends

        return sorted(s3_backends[ACCOUNT]["aws"].buckets[bucket].keys)

    def wrap(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """The application with faults before it."""

        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            asked = Asked(
                environ["REQUEST_METHOD"], unquote(environ["RAW_URI"].partition("?")[0]),
                environ.get("QUERY_STRING", ""), {k: v for k, v in environ.items() if k.startswith("HTTP_")},
            )  # fmt: skip
            with self.lock:
                self.asked.append(asked)
                fault = next((f for f in self.faults if f.times > 0 and f.matches(asked)), None)
                if fault is not None:
                    fault.times -= 1
            if fault is None:
                return self._odd(asked, start) if "\n" in asked.path else app(environ, start)
            if fault.gate is not None:
                assert fault.gate.wait(20)
            if fault.before is not None:
                fault.before()
            if fault.status:
                # The body must have been read, or the client sees a dropped connection instead.
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                body = f"<Error><Code>{fault.code}</Code><Message>so it is</Message></Error>".encode()
                start(fault.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
                return [b"" if asked.method == "HEAD" else body]

            if fault.range is not None:
                environ["HTTP_RANGE"] = fault.range or "bytes=x"
            body = app(environ, start)
            return body if fault.cut is None else _cut(body, fault.cut)

        return answer

    def _odd(self, asked: Asked, start: Callable[..., Any]) -> Iterable[bytes]:
        """S3 has keys with newlines, and moto's routes have not."""
        _, bucket, key = asked.path.split("/", 2)
        content = self.get(bucket, key)
        start("200 OK", [("ETag", f'"{md5(content)}"'), ("Content-Length", str(len(content)))])
        return [content]


def _cut(body: Iterable[bytes], count: int) -> Iterator[bytes]:
    yield b"".join(body)[:count]
    raise ConnectionResetError("cut by a test")


@contextmanager
def running() -> Generator[S3, None, None]:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL + 1)
    s3 = S3("")
    app = s3.wrap(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    s3.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield s3
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@cache
def cloud_at(endpoint: str) -> Cloud:
    """One for all tests of a server: to make a client takes a third of a second. After `settle_environment`."""
    return Cloud()


def settle_environment(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**SETTINGS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)


class Field:
    """A sweep's directory at home, its bucket, and attempts that have ended on instances."""

    def __init__(self, s3: S3, tmp: Path, region: str = "us-east-1") -> None:
        self.s3 = s3
        self.layout = SweepLayout(tmp / "sweep")
        self.layout.attempts.mkdir(parents=True)
        self.cloud = cloud_at(s3.endpoint)
        self.bucket = SweepBucket(self.cloud, region, SWEEP)
        self.bucket.ensure()
        self.told: list[Collected] = []
        self.words: list[str] = []
        self.moved: list[int] = []

    def put(self, number: int, path: str, content: bytes) -> None:
        self.s3.put(self.bucket.name, f"sweeps/{SWEEP}/attempts/task_{number:03}.1/{path}", content)

    def attempt(self, number: int, files: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
        """What an attempt left there."""
        usual = {
            "claim": b"i-1\n",
            "exit": b"0 - end\n",
            "stdout.log": b"out %d\n" % number,
            "stderr.log": b"",
        }
        whole = {**usual, **(files or {})}
        for path, content in whole.items():
            self.put(number, path, content)
        return whole

    def home(self, number: int) -> Path:
        return self.layout.attempt(f"task_{number:03}", 1)

    def homeward(self, rules: CollectRules = QUICK) -> Homeward:
        return Homeward(
            self.bucket,
            self.layout,
            self.told.append,
            rules,
            complain=self.words.append,
            moved=self.moved.append,
        )

    def add(self, homeward: Homeward, *numbers: int, failed: bool = False) -> None:
        for number in numbers:
            name = f"task_{number:03}.1"
            homeward.add(name, Ref(number - 1, 1), self.layout.attempts / name, failed)

    def bring(self, *numbers: int, rules: CollectRules = QUICK, limit: float = 60.0) -> list[Collected]:
        """Bring these home and wait; what was told."""
        self.told.clear()
        homeward = self.homeward(rules)
        try:
            self.add(homeward, *numbers)
            self.wait(homeward, limit)
        finally:
            homeward.close()
        return list(self.told)

    def wait(self, homeward: Homeward, limit: float = 60.0) -> None:
        def over() -> bool:
            homeward.check()
            return homeward.left == 0

        wait_until(over, "everything to be told", limit=limit)


def tree(root: Path) -> dict[str, str]:
    """Every file below `root` with its MD5, every other folder as `folder`."""
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(root):
        for name in files:
            path = Path(folder) / name
            found[str(path.relative_to(root))] = md5(path.read_bytes())
        for name in folders:
            if not os.listdir(os.path.join(folder, name)):
                found[str((Path(folder) / name).relative_to(root))] = "folder"
    return found


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
