"""The same behind a real SSH server: login shells that talk, connections that drop, a collector that is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from spawn_tui.engine.collect import collector as collecting
from spawn_tui.engine.remote.ssh_host import SshHost, SshTarget

from ..parts.sshd import Sshd
from ..parts.waiting import wait_until
from .field import Field, tree
from .test_collector import NASTY

BIG = 100 << 20


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(collecting, "FIRST_PAUSE", 0.05)


def field_at(tmp_path: Path, server: Sshd) -> Field:
    """A sweep whose far end is in the home of the server's user."""
    home = Path(server.account.home if server.account else Path.home())
    far = home / f"runs-{tmp_path.name.replace('[', '').replace(']', '')}"
    host = SshHost(SshTarget(server.alias, home=server.home.path))
    return Field(tmp_path, host, far=far, owner=server.account.uid if server.account else None)


@pytest.mark.parametrize("shell", ["sh", "bash", "fish", "csh"])
def test_nasty_names_through_every_login_shell(
    tmp_path: Path,
    new_sshd: Callable[..., Sshd],
    users: Callable,
    shell: str,
):
    server = new_sshd(user=users(shell))
    server.account.write(".bashrc", "echo Welcome; printf spawn-agent\n")
    field = field_at(tmp_path, server)
    dice = random.Random(7)
    files = {b"results/" + name: dice.randbytes(dice.randrange(5000)) for name in NASTY}
    files |= {f"results/{number}.bin": dice.randbytes(dice.randrange(20000)) for number in range(160)}
    there = field.attempt(1, files)
    (told,) = field.bring(1)
    assert told.problem == ""
    assert tree(field.home(1)) == tree(there)
    field.host.close()


def test_a_hundred_megabytes_over_a_connection_that_drops(tmp_path: Path, new_sshd: Callable[..., Sshd]):
    server = new_sshd()
    field = field_at(tmp_path, server)
    there = field.attempt(1, {"results/big": os.urandom(BIG)})
    came = 0
    drops: list[int] = []

    def moved(count: int) -> None:
        nonlocal came
        came += count
        if came > (len(drops) + 1) * (BIG // 4) and len(drops) < 3:
            drops.append(came)
            server.drop()

    collector = field.collector(moved=moved)
    field.add(collector, 1)
    field.wait(collector)
    collector.close()
    assert len(drops) == 3 and "connection lost" in field.words[0]
    assert tree(field.home(1)) == tree(there)
    assert came == field.told[0].size  # no byte twice
    assert field.host.usage.received < came + (5 << 20)
    field.host.close()


COLLECT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests.collect.field import QUICK
from spawn_tui.engine.collect.collector import Collector
from spawn_tui.engine.events import Ref
from spawn_tui.engine.remote.area import Area
from spawn_tui.engine.remote.ssh_host import SshHost, SshTarget
from spawn_tui.state.layout import SweepLayout
host = SshHost(SshTarget({alias!r}, home=Path({home!r})))
layout = SweepLayout(Path({root!r}))
collector = Collector(Area(host, {far!r}, {{}}), layout, print, QUICK, opens=True)
collector.add("task_001.1", Ref(0, 1), layout.attempts / "task_001.1", False)
while collector.left:
    sys.stdin.readline()
"""


def test_a_collector_that_is_killed_is_continued(tmp_path: Path, new_sshd: Callable[..., Sshd]):
    server = new_sshd()
    field = field_at(tmp_path, server)
    there = field.attempt(1, {"results/big": os.urandom(BIG)})
    code = COLLECT.format(
        tests=str(Path(__file__).parents[2]), alias=server.alias, home=str(server.home.path),
        root=str(field.layout.root), far=str(field.far),
    )  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)

    def part() -> int:
        return sum(path.stat().st_size for path in field.home(1).glob(".spawn-*.part"))

    try:
        wait_until(lambda: part() > 20 << 20, "a fifth of it")
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    had = part()
    assert had < BIG
    (told,) = field.bring(1)
    assert told.problem == "" and tree(field.home(1)) == tree(there)
    assert BIG - had <= told.moved <= BIG - had + 100_000
    field.host.close()


def test_a_server_that_is_gone_and_comes_back(tmp_path: Path, new_sshd: Callable[..., Sshd]):
    server = new_sshd()
    field = field_at(tmp_path, server)
    there = field.attempt(1)
    server.kill()
    server.drop()
    collector = field.collector()
    field.add(collector, 1)
    wait_until(lambda: field.words, "words about the server")
    server.start()
    field.wait(collector)
    collector.close()
    assert field.told[0].problem == "" and tree(field.home(1)) == tree(there)
    field.host.close()


def test_a_looks_round_trip_is_not_kept_waiting_by_a_transfer(tmp_path: Path, new_sshd: Callable[..., Sshd]):
    """The source looks through the same host while a big file is on its way."""
    server = new_sshd()
    field = field_at(tmp_path, server)
    field.attempt(1, {"results/big": os.urandom(BIG)})
    looks: list[int] = []
    collector = field.collector(moved=lambda count: looks.append(count))
    field.add(collector, 1)
    wait_until(lambda: sum(looks) > BIG // 10, "a tenth of it")
    field.area.look(["task_001.1"])
    assert collector.left == 1
    field.wait(collector)
    collector.close()
    field.host.close()
