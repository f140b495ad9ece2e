"""A sandbox for the bootstrap: its real scripts under a real shell, a metadata service and a bucket made of threads.

Nothing here can reach the machine: SPAWN_ROOT lies in a temporary directory, `shutdown` and its like are stand-ins that
only write down that they were called, and where the tests run as root the scripts run as nobody.
"""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import hmac
import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import spawn_tui.engine.run
from spawn_tui.engine.aws.bootstrap import user_data
from spawn_tui.engine.aws.bucket import UploadGrant
from spawn_tui.engine.aws.model import OnComplete, Report
from spawn_tui.engine.aws.pack import (
    ATTEMPTS_THERE,
    PROJECT_THERE,
    PackedAttempt,
    PackSettings,
    build_pack,
)
from spawn_tui.engine.aws.reports import parse_report

RUNNER = Path(spawn_tui.engine.run.__file__).with_name("runner.sh").read_bytes()
SHELLS = ("dash", "bash", "busybox")
LIMIT = 40.0
NAME = "task_001.1"
TOOLS = [
    "awk",
    "base64",
    "basename",
    "cat",
    "chmod",
    "cp",
    "cut",
    "date",
    "dd",
    "dirname",
    "echo",
    "env",
    "find",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "id",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "od",
    "printf",
    "readlink",
    "rm",
    "sed",
    "setsid",
    "sha256sum",
    "sleep",
    "stat",
    "sync",
    "tail",
    "tar",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "false",
    "uname",
    "wc",
    "xargs",
]
"""What a busybox system is given of its own; everything else (curl) comes from this machine."""
NOBODY = 65534


def wait_until(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit:g} s for {what}"
        time.sleep(0.02)


class Service:
    """An HTTP server in a thread. Subclasses answer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: list[tuple[str, str]] = []
        """Method and path of every request, in order."""
        self.target = ""
        """Path and query of the one that is answered, as they came."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = unquote(urlsplit(self.path).path)
                with service.lock:
                    service.target = self.path
                    service.seen.append((self.command, path))
                    status, answer = service.answer(self.command, path, dict(self.headers.items()), body)
                with suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            do_GET = do_PUT = do_POST = handle_any

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        raise NotImplementedError

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(10)


SECRET = "s3cr3t/+"
"""Of the role an instance may have."""


def is_signed(method: str, target: str, headers: Mapping[str, str], secret: str = SECRET) -> bool:
    """Whether a request is signed as "Authenticating Requests (AWS Signature Version 4)" of the S3 API wants it."""
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    said = lower.get("authorization", "").replace(",", " ").split()
    if said[:1] != ["AWS4-HMAC-SHA256"]:
        return False
    words = dict(word.split("=", 1) for word in said[1:])
    _, day, region, service, last = words["Credential"].split("/")
    names = words["SignedHeaders"].split(";")
    must = {name for name in lower if name.startswith("x-amz-")} | {"host"}
    if not must <= set(names) <= lower.keys() or names != sorted(names):
        return False
    path, _, query = target.partition("?")
    request = "\n".join(
        [method, path, "&".join(sorted(query.split("&"))), *(f"{name}:{lower[name]}" for name in names), "",
         ";".join(names), lower["x-amz-content-sha256"]]
    )  # fmt: skip
    scope = f"{day}/{region}/{service}/{last}"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, last, f"AWS4-HMAC-SHA256\n{lower['x-amz-date']}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(key.hex(), words["Signature"])


class Metadata(Service):
    """IMDSv2: no token, no answer. `facts` are the paths below `latest/`, and may change at any time."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {
            "meta-data/instance-id": "i-0123456789abcdef0",
            "meta-data/ami-launch-index": "0",
        }
        self.token = "first"
        super().__init__()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if (method, path) == ("PUT", "/latest/api/token"):
            return 200, self.token.encode()
        if headers.get("X-aws-ec2-metadata-token") != self.token:
            return 401, b""
        fact = self.facts.get(path.removeprefix("/latest/"))
        return (404, b"") if fact is None else (200, fact.encode())

    def give_role(self) -> None:
        self.facts["meta-data/iam/security-credentials/"] = "a-role"
        self.facts["meta-data/iam/security-credentials/a-role"] = json.dumps(
            {
                "Code": "Success",
                "AccessKeyId": "ASIAEXAMPLE",
                "SecretAccessKey": SECRET,
                "Token": "tok==",
            },
            indent=2,
        )


class Bucket(Service):
    """S3 as an instance uses it: signed GETs, the signed form, signed PUTs. Everything is kept below one bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.written: list[str] = []
        """Keys in the order they were written."""
        self.signatures: list[str] = []
        """Authorization headers of PUTs."""
        self.faults: list[int] = []
        """Answers given instead to the next writes."""
        self.refuse: Callable[[str], int] = lambda key: 0
        self.form_expired = False
        self.away = False
        """Whether every GET is answered 503."""
        super().__init__()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        key = path.removeprefix("/bucket").removeprefix("/")
        if method == "GET":
            content = self.objects.get(key)
            return (503, b"") if self.away else (404, b"") if content is None else (200, content)
        if method == "POST":
            fields = _form(headers["Content-Type"], body)
            key, body = fields["key"].decode("utf-8", "surrogateescape"), fields["file"]
            if self.form_expired or fields.get("policy") != b"cG9saWN5==" or fields.get("x-odd") != b'a"b\\c':
                return 403, b""
            if not key.startswith("sweeps/"):
                return 403, b""
        else:
            self.signatures.append(headers.get("Authorization", ""))
            if not is_signed(method, self.target, headers):
                return 403, b""
            if headers.get("x-amz-security-token") != "tok==":
                return 403, b""
        if self.faults:
            return self.faults.pop(0), b""
        if wrong := self.refuse(key):
            return wrong, b""
        self.objects[key] = body
        self.written.append(key)
        return 204, b""


def _form(kind: str, body: bytes) -> dict[str, bytes]:
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    out: dict[str, bytes] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        out[str(name)] = part.get_payload(decode=True) or b""
    return out


FORM = (("policy", "cG9saWN5=="), ("x-odd", 'a"b\\c'))


@dataclass
class Machine:
    """One instance: a directory with a root of its own and a PATH whose `sh` is the shell under test."""

    shell: str
    imds: Metadata = field(default_factory=Metadata)
    bucket: Bucket = field(default_factory=Bucket)
    env: dict[str, str] = field(default_factory=dict)
    ttl: float | None = None
    idle_timeout: float | None = None
    completion_delay: float = 30.0
    role: bool = False
    on_complete: OnComplete = "terminate"

    def __post_init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="boot-", dir="/tmp"))
        self.base.chmod(0o755)
        self.root = self.base / "root"
        self.sweep = f"s-{uuid.uuid4().hex[:10]}"
        self.prefix = f"sweeps/{self.sweep}"
        self.dir = self.root / "attempts" / NAME
        self.console = self.base / "console"
        self.programs = self.base / "programs"
        self.programs.mkdir()
        (self.programs / "sh").symlink_to(shutil.which(self.shell) or self.shell)
        if self.shell == "busybox":
            for tool in TOOLS:
                (self.programs / tool).symlink_to(shutil.which("busybox") or "")
        # Answers a timer as busybox and sysvinit do, unless `timer` is there: then as systemd.
        self.program(
            "shutdown",
            f'#!/bin/sh\necho "$*" >>{self.base}/shutdowns\n'
            f'case "$*" in "-h now") ;; *) [ -e {self.base}/timer ] || exit 1 ;; esac\n',
        )
        for name in ("poweroff", "reboot", "halt", "systemctl", "init", "telinit"):
            self.program(name, f'#!/bin/sh\necho "{name} $*" >>{self.base}/forbidden\nexit 1\n')
        self.started: list[subprocess.Popen[bytes]] = []
        self._own(self.base)

    def program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)

    # --- what is launched --------------------------------------------------------------------------------------------

    @property
    def variables(self) -> dict[str, str]:
        return {"SWEEP_TASK_DIR": f"{ATTEMPTS_THERE}/{NAME}", "SWEEP_TOKEN": f"{self.sweep}.task_001.1"}

    def attempt(
        self,
        *argv: str,
        script: str = "",
        env: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
        timeout: float | None = None,
        previous: tuple[tuple[str, str], ...] = (),
        workdir: str = PROJECT_THERE,
        name: str = NAME,
    ) -> PackedAttempt:
        return PackedAttempt(
            name, argv, {**self.variables, **(env or {})}, files or {}, script, timeout, previous, workdir
        )

    def pack(self, *attempts: PackedAttempt, project: bytes = b"") -> bytes:
        sha = hashlib.sha256(project).hexdigest() if project else ""
        if project:
            self.bucket.objects[f"projects/{sha}.tar.gz"] = project
        settings = PackSettings(
            ttl=self.ttl,
            idle_timeout=self.idle_timeout,
            on_complete=self.on_complete,
            completion_delay=self.completion_delay,
            project_url=self.url(f"projects/{sha}.tar.gz") if project else "",
            project_sha256=sha,
            upload_every=0.3,
        )
        return build_pack(attempts, settings, RUNNER)

    def url(self, key: str) -> str:
        return f"{self.bucket.url}/bucket/{key}?X-Amz-Signature=abc"

    def user_data(self, pack: bytes, *, sha: str = "") -> bytes:
        key = f"{self.prefix}/packs/launch.tar.gz"
        self.bucket.objects[key] = pack
        grant = UploadGrant(f"{self.bucket.url}/bucket", role=True)
        if not self.role:
            grant = UploadGrant(f"{self.bucket.url}/bucket", FORM)
        return user_data(
            sweep_id=self.sweep,
            token="launch",
            region="eu-west-3",
            endpoint=self.bucket.url,
            bucket="bucket",
            prefix=self.prefix,
            pack_url=self.url(key),
            pack_sha256=sha or hashlib.sha256(pack).hexdigest(),
            upload=grant,
            ttl=self.ttl,
            attempts=(NAME, "task_002.1"),
        )

    # --- its life ----------------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "SPAWN_ROOT": str(self.root),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.imds.url,
            "HOME": str(self.base),
            "SPAWN_TICK": "0.1",
            "SPAWN_PAUSE": "0.2",
            "SPAWN_TAG_PAUSE": "0",
            "SPAWN_KILL_AFTER": "1",
            "SPAWN_LOG_LIMIT": "2",
            "SPAWN_REPORT_LIMIT": "10",
            "SPAWN_UPLOAD_LIMIT": "20",
            "SPAWN_FETCH_LIMIT": "20",
            "SPAWN_IMDS_TRIES": "3",
            "SPAWN_SYSTEMD": str(self.base / "no-systemd"),
            **self.env,
        }

    def start(self, data: bytes) -> subprocess.Popen[bytes]:
        part = self.base / f"part-{len(self.started)}"
        part.write_bytes(data)
        part.chmod(0o755)
        return self._spawn(["sh", str(part)])

    def _spawn(self, words: list[str]) -> subprocess.Popen[bytes]:
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        with self.console.open("ab") as console:
            process = subprocess.Popen(
                [str(self.programs / words[0]), *words[1:]],
                env=self.environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **who,
            )
        self.started.append(process)
        return process

    def run(self, *argv: str, **options: object) -> Report:
        """One attempt from its user data to the shutdown."""
        project = options.pop("project", b"")
        self.start(self.user_data(self.pack(self.attempt(*argv, **options), project=project)))  # type: ignore[arg-type]
        return self.gone()

    def gone(self, limit: float = LIMIT) -> Report:
        """Wait until it shuts itself down; what it reported."""
        wait_until(lambda: "-h now" in self.shutdowns(), f"the shutdown; {self.told()}", limit)
        self.started[-1].wait(20)
        report = self.report()
        assert report is not None, self.told()
        return report

    def report(self, name: str = NAME) -> Report | None:
        content = self.bucket.objects.get(f"{self.prefix}/reports/{name}")
        return None if content is None else parse_report(content)

    def file(self, path: str, name: str = NAME) -> bytes | None:
        return self.bucket.objects.get(f"{self.prefix}/attempts/{name}/{path}")

    def shutdowns(self) -> list[str]:
        try:
            return (self.base / "shutdowns").read_text().splitlines()
        except FileNotFoundError:
            return []

    def told(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def said(self, words: str) -> Callable[[], bool]:
        return lambda: words in self.told()

    def wrote(self, path: str, words: bytes) -> Callable[[], bool]:
        """Whether the file has come to the bucket with that in it."""
        return lambda: words in (self.file(path) or b"")

    def alive(self) -> list[int]:
        """Every process that belongs here."""
        mark = f"SPAWN_ROOT={self.root}".encode()
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def crash(self) -> None:
        """As a power failure: everything is gone at once."""
        deadline = time.monotonic() + 20
        while pids := self.alive():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self.started:
                process.poll()
            assert time.monotonic() < deadline, pids
            time.sleep(0.01)

    def close(self) -> None:
        self.crash()
        for process in self.started:
            process.wait(10)
        self.imds.close()
        self.bucket.close()
        forbidden = self.base / "forbidden"
        words = forbidden.read_text() if forbidden.exists() else ""
        for path in self.base.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(stat.S_IRWXU)
        shutil.rmtree(self.base)
        assert not words, words
