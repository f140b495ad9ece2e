"""The logs of a running attempt elsewhere, as a viewer sees them: fresh, cheap, honest about their age."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from spawn_tui.engine.remote import mirror as mirroring
from spawn_tui.engine.remote.host import LocalHost
from spawn_tui.engine.remote.mirror import Mirror
from spawn_tui.engine.remote.ssh_host import SshHost, SshTarget

from ..parts.sshd import Sshd
from ..parts.waiting import wait_until
from .field import Field
from .hosts import Cut

LOGS = ("stdout.log", "stderr.log")


@pytest.fixture
def field(tmp_path: Path) -> Field:
    return Field(tmp_path, far=tmp_path / "runs" / "sweep-1")


def running(field: Field, out: bytes = b"", err: bytes = b"") -> Path:
    there = field.attempt(1, {"stdout.log": out, "stderr.log": err})
    (there / "exit").unlink()
    return there


@pytest.fixture
def mirror_of(tmp_path: Path):
    made: list[Mirror] = []

    def make(host: LocalHost | SshHost, root: Path = tmp_path / "runs", **settings: int | None) -> Mirror:
        mirror = Mirror(
            "sweep-1", "there", {"remote_root": str(root)}, "task_001.1", host=host, poll=0.02, **settings
        )  # type: ignore[arg-type]
        made.append(mirror)
        return mirror

    yield make
    for mirror in made:
        mirror.close()


def same(mirror: Mirror, there: Path) -> bool:
    return all(
        mirror.path(name).exists() and mirror.path(name).read_bytes() == (there / name).read_bytes()
        for name in LOGS
    )


def test_a_log_grows_here_as_it_grows_there_and_only_new_bytes_travel(
    field: Field, mirror_of: Callable[..., Mirror]
):
    there = running(field, b"begin\n")
    host = LocalHost("there")
    mirror = mirror_of(host)
    mirror.start(*LOGS)
    dice = random.Random(1)
    written = 6
    for _ in range(10):
        for name in LOGS:
            piece = dice.randbytes(20_000) + b"\nF 3 3 x\nend\n"
            with (there / name).open("ab") as file:
                file.write(piece)
            written += len(piece)
        wait_until(lambda: same(mirror, there), "the new bytes")
    assert mirror.status().state == "live" and "there" in mirror.status().text
    overhead = host.usage.round_trips * 300
    assert host.usage.received < written + overhead
    wait_until(lambda: host.usage.round_trips > 30, "looks that find nothing new")
    assert host.usage.received < written + host.usage.round_trips * 300
    assert os.stat(mirror.path("stdout.log")).st_mode & 0o777 == 0o600


def test_the_end_is_told_when_everything_is_here(
    field: Field, mirror_of: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mirroring, "COUNT", 10_000)
    there = running(field)
    mirror = mirror_of(LocalHost("there"))
    mirror.start(*LOGS)
    wait_until(lambda: mirror.status().state == "live", "the first look")
    (there / "stdout.log").write_bytes(os.urandom(95_000))
    (there / "exit").write_text("0 - end\n")
    wait_until(lambda: mirror.status().state == "ended", "the end")
    assert same(mirror, there)


def test_what_does_not_run_yet_is_waited_for(field: Field, mirror_of: Callable[..., Mirror]):
    mirror = mirror_of(LocalHost("there"))
    mirror.start(*LOGS)
    wait_until(lambda: mirror.status().state == "waiting", "a first answer")
    there = running(field, b"x\n", b"y\n")
    wait_until(lambda: same(mirror, there), "the logs")


def test_a_log_that_was_truncated_is_begun_anew(field: Field, mirror_of: Callable[..., Mirror]):
    there = running(field, b"a" * 1000)
    mirror = mirror_of(LocalHost("there"))
    mirror.start(*LOGS)
    wait_until(lambda: same(mirror, there), "the log")
    (there / "stdout.log").write_bytes(b"new")
    wait_until(lambda: same(mirror, there), "the new log")


def test_of_a_long_log_only_the_end_travels(field: Field, mirror_of: Callable[..., Mirror]):
    there = running(field, os.urandom(5_000_000))
    host = LocalHost("there")
    mirror = mirror_of(host, keep=100_000)
    mirror.start(*LOGS)
    path = mirror.path("stdout.log")
    wait_until(lambda: path.exists() and path.stat().st_size == 5_000_000, "the end of the log")
    wait_until(lambda: mirror.status().state == "live", "the status")
    assert path.read_bytes()[-100_000:] == (there / "stdout.log").read_bytes()[-100_000:]
    assert path.read_bytes()[:-100_000] == b"\0" * 4_900_000
    assert host.usage.received < 100_000 + host.usage.round_trips * 300


def test_an_absent_machine_is_told_with_the_age_of_the_copy(field: Field, mirror_of: Callable[..., Mirror]):
    there = running(field, b"x\n")
    host = Cut("there")
    mirror = mirror_of(host)
    mirror.start(*LOGS)
    wait_until(lambda: same(mirror, there), "the log")
    seen = mirror.status().at
    host.away = True
    wait_until(lambda: mirror.status().state == "away", "the absence")
    assert "connection lost" in mirror.status().text and " s ago" in mirror.status().text
    assert mirror.status().at >= seen
    host.away = False
    (there / "stdout.log").write_bytes(b"x\ny\n")
    wait_until(lambda: same(mirror, there), "the log that went on")
    assert mirror.status().state == "live"


def test_a_sweep_that_is_not_there_is_said(tmp_path: Path, mirror_of: Callable[..., Mirror]):
    mirror = mirror_of(LocalHost("there"), tmp_path / "nowhere")
    mirror.start(*LOGS)
    wait_until(lambda: mirror.status().state == "gone", "the absence")
    assert "nowhere/sweep-1" in mirror.status().text
    assert not (tmp_path / "nowhere").exists()


def test_copies_go_with_the_viewer_and_those_of_dead_viewers_too(
    field: Field, mirror_of: Callable[..., Mirror], spawn_home: Path
):
    running(field, b"x\n")
    dead = spawn_home / "tails/sweep-1/task_001.1/4000000"
    dead.mkdir(parents=True)
    mirror = mirror_of(LocalHost("there"))
    mirror.start(*LOGS)
    assert not dead.exists()
    wait_until(mirror.path("stdout.log").exists, "the copy")
    mirror.close()
    assert not mirror.path("stdout.log").parent.exists()


def test_over_ssh(tmp_path: Path, new_sshd: Callable[..., Sshd], mirror_of: Callable[..., Mirror]):
    server = new_sshd()
    home = Path(server.account.home if server.account else tmp_path)
    host = SshHost(SshTarget(server.alias, home=server.home.path))
    field = Field(
        tmp_path, host, far=home / "runs/sweep-1", owner=server.account.uid if server.account else None
    )
    there = running(field, b"x" * 100_000)
    mirror = mirror_of(SshHost(SshTarget(server.alias, home=server.home.path)), home / "runs")
    mirror.start(*LOGS)
    wait_until(lambda: same(mirror, there), "the log")
    server.drop()
    with (there / "stdout.log").open("ab") as file:
        file.write(b"after the drop\n")
    wait_until(lambda: same(mirror, there), "what came after the drop")
    mirror.close()
    host.close()
