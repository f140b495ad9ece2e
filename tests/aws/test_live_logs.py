"""The logs of an attempt that runs on an instance, as they grow in the bucket."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from spawn_tui.engine.aws.live_logs import BucketMirror
from spawn_tui.engine.collect.elsewhere import mirror_of
from spawn_tui.state.layout import STDERR, STDOUT

from ..parts.waiting import wait_until
from .s3_field import S3, SWEEP, Field, running, settle_environment


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with running() as s3:
        yield s3


@pytest.fixture
def field(server: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Field:
    settle_environment(monkeypatch, server.endpoint)
    server.reset()
    return Field(server, tmp_path)


@pytest.fixture
def mirror(field: Field) -> Iterator[BucketMirror]:
    mirror = BucketMirror(field.bucket, "ec2-us-east-1", "task_001.1", keep=None, poll=0.02)
    mirror.start(STDOUT, STDERR)
    yield mirror
    mirror.close()


def holds(mirror: BucketMirror, content: bytes, name: str = STDOUT) -> None:
    def same() -> bool:
        path = mirror.path(name)
        return path.exists() and path.read_bytes() == content

    wait_until(same, f"{name} to be {content[:30]!r}")


def state(mirror: BucketMirror, *states: str) -> None:
    wait_until(lambda: mirror.status().state in states, f"the state {states}")


def report(field: Field, flag: str = "-", ended: float = 1010) -> None:
    text = f"status 0\nflag {flag}\nstarted 1000\nended {int(ended)}\ninstance i-1\nmessage -\nend\n"
    field.s3.put(field.bucket.name, f"sweeps/{SWEEP}/reports/task_001.1", text.encode())


def test_what_grows_is_followed_to_the_end(field: Field, mirror: BucketMirror):
    state(mirror, "waiting")
    assert mirror.status().text == "it has not begun on ec2-us-east-1"
    field.put(1, STDOUT, b"one\n")
    holds(mirror, b"one\n")
    state(mirror, "live")
    field.put(1, STDOUT, b"one\ntwo\n")
    field.put(1, STDERR, b"oh\n")
    holds(mirror, b"one\ntwo\n")
    holds(mirror, b"oh\n", STDERR)
    field.put(1, STDOUT, b"one\ntwo\nthree\n")
    report(field)
    state(mirror, "ended")
    holds(mirror, b"one\ntwo\nthree\n")


def test_only_what_is_new_travels_and_nothing_while_nothing_is(field: Field, mirror: BucketMirror):
    field.put(1, STDOUT, b"x" * 100)
    holds(mirror, b"x" * 100)
    field.s3.asked.clear()
    wait_until(lambda: len(field.s3.asked) > 20, "some looks")
    ranges = {asked.range for asked in list(field.s3.asked) if asked.path.endswith(STDOUT)}
    assert all(words.startswith("bytes=100-") for words in ranges)
    known = [asked for asked in list(field.s3.asked) if asked.path.endswith(STDOUT)][-1]
    assert known.headers["HTTP_IF_NONE_MATCH"]
    assert not any(asked.method == "HEAD" and asked.path.endswith(STDOUT) for asked in list(field.s3.asked))


def test_a_log_that_begins_anew_begins_anew_here(field: Field, mirror: BucketMirror):
    field.put(1, STDOUT, b"a long beginning\n")
    holds(mirror, b"a long beginning\n")
    field.put(1, STDOUT, b"short\n")
    holds(mirror, b"short\n")


def test_of_a_long_log_the_end_is_kept(field: Field):
    field.put(1, STDOUT, b"0123456789" * 100)
    mirror = BucketMirror(field.bucket, "ec2-us-east-1", "task_001.1", keep=100, poll=0.02)
    mirror.start(STDOUT, STDERR)
    try:
        wait_until(
            lambda: (
                mirror.path(STDOUT).exists() and mirror.path(STDOUT).read_bytes()[-100:] == b"0123456789" * 10
            ),
            "the end",
        )
        assert mirror.path(STDOUT).read_bytes()[:900] == bytes(900)
    finally:
        mirror.close()


def test_trouble_is_told_and_passes(field: Field, mirror: BucketMirror):
    field.put(1, STDOUT, b"one\n")
    holds(mirror, b"one\n")
    field.s3.slow_down(lambda asked: True, 5)
    state(mirror, "away")
    assert re.match(r"ec2-us-east-1: (SlowDown|503)", mirror.status().text)
    field.put(1, STDOUT, b"one\ntwo\n")
    holds(mirror, b"one\ntwo\n")
    state(mirror, "live")


@pytest.mark.parametrize(
    ("status", "code", "said"), [("403 No", "AccessDenied", "refused"), ("404 No", "NoSuchBucket", "gone")]
)
def test_what_is_definite_is_told_as_such(
    field: Field, mirror: BucketMirror, status: str, code: str, said: str
):
    field.s3.fail(lambda asked: True, 100, status=status, code=code)
    state(mirror, said)


def test_a_spot_notice_is_not_the_last_word_of_the_logs(field: Field, mirror: BucketMirror):
    report(field, "spot", time.time())
    field.put(1, STDOUT, b"one\n")
    holds(mirror, b"one\n")
    field.put(1, STDOUT, b"one\nsaved a checkpoint\n")
    holds(mirror, b"one\nsaved a checkpoint\n")
    report(field, "spot", time.time() - 200)
    state(mirror, "ended")


def test_the_copies_go_with_the_viewer(field: Field, mirror: BucketMirror):
    field.put(1, STDOUT, b"one\n")
    holds(mirror, b"one\n")
    mirror.close()
    assert not mirror.path(STDOUT).parent.exists()


def test_a_viewer_finds_the_bucket_by_the_options_of_the_source(field: Field):
    field.put(1, STDOUT, b"one\n")
    report(field)
    field.s3.asked.clear()
    options = {"region": "us-east-1", "bucket": field.bucket.name}
    mirror = mirror_of(SWEEP, "ec2-us-east-1", options, "task_001.1", keep=None)
    assert field.s3.asked == []
    mirror.start(STDOUT, STDERR)
    try:
        holds(mirror, b"one\n")
        state(mirror, "ended")
    finally:
        mirror.close()
