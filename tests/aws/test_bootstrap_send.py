"""Uploads of one file after another, as the bootstrap calls it: large ones in parts, over an S3 that knows parts."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import spawn_tui.engine.aws.bootstrap as bootstrap

from .boot_field import SHELLS, Machine, is_signed
from .s3_field import S3, SWEEP, Asked, Field, running, settle_environment

pytestmark = pytest.mark.parts

ATTEMPT = f"sweeps/{SWEEP}/attempts/task_001.1"
PART = 5 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with running() as s3:
        yield s3


@pytest.fixture
def field(server: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Field:
    settle_environment(monkeypatch, server.endpoint)
    server.reset()
    return Field(server, tmp_path)


class Sender:
    """boot_send.sh in the sandbox of the bootstrap, with moto for a bucket."""

    def __init__(self, machine: Machine, field: Field, *, role: bool = True) -> None:
        self.machine, self.field, self.root = machine, field, machine.root
        machine.dir.mkdir(parents=True)
        here = Path(bootstrap.__file__)
        (self.root / "first.sh").write_bytes(here.with_name("boot_first.sh").read_bytes())
        url = f"{field.s3.endpoint}/{field.bucket.name}"
        lines = [f"upload_url={url}", f"role={'yes' if role else 'no'}", "region=us-east-1", ""]
        (self.root / "config").write_text("\n".join(lines))
        for path in (self.root, machine.dir.parent, machine.dir, *self.root.iterdir()):
            if os.geteuid() == 0:
                os.chown(path, 65534, 65534)
        machine.env |= {"SPAWN_WHOLE": str(PART), "SPAWN_PART": str(PART)}
        self.script = machine.base / "send.sh"
        self.script.write_bytes(here.with_name("boot_send.sh").read_bytes())

    def file(self, name: str, content: bytes) -> str:
        (self.machine.dir / name).write_bytes(content)
        return f"./{name}"

    def send(self, *files: str, seconds: float = 60) -> None:
        who = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        until = str(int(time.time() + seconds))
        subprocess.run(
            [str(self.machine.programs / "sh"), str(self.script), ATTEMPT, until, *files],
            env=self.machine.environment(), cwd=self.machine.dir, check=True, timeout=90,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **who,
        )  # fmt: skip

    def got(self, name: str) -> bytes:
        return self.field.s3.get(self.field.bucket.name, f"{ATTEMPT}/{name}")

    def said(self, name: str) -> str:
        path = self.root / name
        return path.read_text() if path.exists() else ""

    def open_uploads(self) -> list[object]:
        from moto.s3.models import s3_backends

        from .s3_field import ACCOUNT

        return list(s3_backends[ACCOUNT]["aws"].buckets[self.field.bucket.name].multiparts)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine("dash")
    machine.imds.give_role()
    yield machine
    machine.close()


def large(size: int = 2 * PART + 4321) -> bytes:
    return random.Random(size).randbytes(size)


def parts_of(asked: Asked) -> bool:
    return asked.method == "PUT" and "partNumber" in asked.query


@pytest.mark.parametrize("shell", SHELLS)
def test_what_one_request_cannot_carry_goes_in_parts_each_of_them_signed(field: Field, shell: str) -> None:
    machine = Machine(shell)
    try:
        machine.imds.give_role()
        sender = Sender(machine, field)
        content = large()
        sender.send(sender.file("it's; a+b é", content), sender.file("exactly", content[:PART]))
        assert sender.got("it's; a+b é") == content
        assert sender.got("exactly") == content[:PART]
        assert (sender.said("sent"), sender.said("unsent"), sender.open_uploads()) == ("xx", "", [])
        assert [one.query for one in field.s3.asked if parts_of(one)][-1].startswith("partNumber=3&uploadId=")
        assert not [path for path in sender.root.iterdir() if path.name.startswith("answer")]
    finally:
        machine.close()


def test_every_request_of_it_is_signed_right(field: Field, machine: Machine) -> None:
    sender = Sender(machine, field)
    sender.send(sender.file("plain", large()))
    asked = [one for one in field.s3.asked if one.path.endswith("/plain")]
    assert [one.method for one in asked] == ["POST", "PUT", "PUT", "PUT", "POST"]
    for one in asked:
        headers = {name[5:].replace("_", "-"): value for name, value in one.headers.items()}
        headers["Content-Type"] = "application/octet-stream"
        assert is_signed(one.method, f"{one.path}?{one.query}", headers), one


def test_a_part_that_fails_is_sent_again_and_the_others_are_not(field: Field, machine: Machine) -> None:
    sender = Sender(machine, field)
    field.s3.slow_down(lambda one: "partNumber=2" in one.query)
    content = large()
    sender.send(sender.file("big", content))
    assert sender.got("big") == content
    assert sum(map(parts_of, field.s3.asked)) == 4


@pytest.mark.parametrize("what", ["part", "end"])
def test_what_cannot_be_ended_leaves_no_parts_and_is_unsent(
    field: Field, machine: Machine, what: str
) -> None:
    sender = Sender(machine, field)
    failing = {
        "part": lambda one: "partNumber=2" in one.query,
        "end": lambda one: one.method == "POST" and "uploadId" in one.query,
    }[what]
    field.s3.fail(failing, 99, status="403 Forbidden", code="AccessDenied")
    sender.send(sender.file("big", large()), sender.file("small", b"x"))
    assert (sender.said("sent"), sender.said("unsent"), sender.open_uploads()) == ("x", "big\n", [])
    assert "big could not be uploaded: HTTP 403" in sender.said("bootstrap.log")
    assert sender.got("small") == b"x"


def test_an_end_that_only_seems_one_is_none(field: Field, machine: Machine) -> None:
    """S3 may begin to answer with 200 while it still puts the parts together."""
    sender = Sender(machine, field)
    field.s3.fail(
        lambda one: one.method == "POST" and "uploadId" in one.query, 1, status="200 OK", code="InternalError"
    )
    content = large()
    sender.send(sender.file("big", content))
    assert (sender.got("big"), sender.said("sent")) == (content, "x")


def test_a_disk_that_reads_short_makes_no_short_file(field: Field, machine: Machine) -> None:
    sender = Sender(machine, field)
    machine.program(
        "dd", '#!/bin/sh\ncase $* in *skip=2*) head -c 99 /dev/zero ;; *) exec /usr/bin/dd "$@" ;; esac\n'
    )
    sender.send(sender.file("big", large()))
    assert (sender.said("sent"), sender.said("unsent"), sender.open_uploads()) == ("", "big\n", [])
    assert not [key for key in field.s3.keys(field.bucket.name) if key.endswith("/big")]


def test_without_a_role_it_is_unsent_and_the_remedy_named(field: Field, machine: Machine) -> None:
    machine.imds.facts = {k: v for k, v in machine.imds.facts.items() if "credentials" not in k}
    sender = Sender(machine, field, role=False)
    sender.send(sender.file("big", large()))
    assert sender.said("unsent") == "big\n"
    assert "the instance needs a role that may write to the bucket" in sender.said("bootstrap.log")
    assert not [one for one in field.s3.asked if one.path.endswith("/big")]


def test_names_are_one_line_each_whatever_they_hold(field: Field, machine: Machine) -> None:
    sender = Sender(machine, field)
    field.s3.fail(lambda one: one.method == "PUT", 99, status="403 Forbidden", code="AccessDenied")
    sender.send(sender.file("a\nb\\c\td", b"1"))
    assert sender.said("unsent") == "a?b\\c?d\n"
