"""The parts leave nothing behind, and their absence is no excuse where everything must be there."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from . import netns
from .fixtures import SHELLS
from .need import missing, need
from .netns import NetHosts
from .sshd import Sshd, no_sshd
from .undo import marked, of_port
from .waiting import wait_until

ROOT = Path(__file__).parents[2]


def test_what_is_absent_is_skipped_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch):
    reason = missing({"no-such-program": "no-such-package", "sh": "dash"})
    assert reason == "no-such-program is not installed (apt-get install no-such-package)"
    for name in ("CI", "SPAWN_CI"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program"):
        need(reason)
    for name in ("CI", "SPAWN_CI"):
        monkeypatch.setenv(name, "1")
        with pytest.raises(pytest.fail.Exception, match="must be tested here, but no-such-program"):
            need(reason)
        monkeypatch.delenv(name)
    need(None)


def test_every_login_shell_is_here():
    need(missing(SHELLS))


def test_a_killed_test_leaves_nothing_behind():
    """Servers, hosts, users, networks and what was started through them are gone after `kill -9` of the tests."""
    need(no_sshd())
    need(netns.available())
    code = """
import os, subprocess
from tests.parts.netns import NetHosts
from tests.parts.sshd import Sshd
server, hosts = Sshd(), NetHosts(2)
for home, alias in ((server.home, server.alias), (hosts.home, "h2")):
    subprocess.run(home.openssh(alias, "nohup sleep 3000 >/dev/null 2>&1 &"), check=True)
hosts.cut(1)
(pid,) = [process.pid for process in hosts.processes(2)]
print(server.port, server.token, server.user, hosts.user, hosts._net, pid, flush=False)
print(server.directory, hosts.directory, flush=True)
import signal; signal.pause()
"""
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        port, token, user, other, net, pid = child.stdout.readline().split()
        folders = child.stdout.readline().split()
    assert of_port(int(port))
    assert [process.name() for process in marked(token)] == ["sleep"]
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)

    def left() -> list[object]:
        users = [name for name in (user, other) if name in {entry.pw_name for entry in pwd.getpwall()}]
        links = [
            str(link)
            for form in ("b{}", "{}v*")
            for link in Path("/sys/class/net").glob("sp" + form.format(net))
        ]
        spaces = [str(space) for space in Path("/run/netns").glob(f"sp{net}h*")]
        running = (
            [pid] if psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).status() != "zombie" else []
        )
        kept = [folder for folder in folders if Path(folder).exists()]
        return [*users, *links, *spaces, *running, *kept, *marked(token), *of_port(int(port))]

    try:
        wait_until(lambda: not left(), "nothing left")
    except TimeoutError:
        pytest.fail(f"left behind: {left()}")


def test_two_sets_of_hosts_at_once():
    need(netns.available())
    with NetHosts(1) as here, NetHosts(1, home=here.home, prefix="g") as there:
        assert here.address(1) != there.address(1)
        for hosts, alias in ((here, "h1"), (there, "g1")):
            done = subprocess.run(
                hosts.home.openssh(alias, "hostname; echo here > file"),
                capture_output=True,
                text=True,
                timeout=20,
            )
            assert (done.returncode, done.stdout) == (0, f"{alias}\n"), done.stderr
            assert (hosts.home_of(1) / "file").read_text() == "here\n"


def test_a_host_as_it_goes_off_and_on():
    need(netns.available())
    with NetHosts(1) as hosts:
        command = hosts.home.openssh("h1", "nohup sleep 3000 >/dev/null 2>&1 &")
        assert subprocess.run(command, timeout=20).returncode == 0
        (process,) = hosts.processes(1)
        hosts.kill_sshd(1)
        assert process.is_running()
        assert (
            subprocess.run(hosts.home.openssh("h1", "true"), timeout=20, stderr=subprocess.DEVNULL).returncode
            == 255
        )
        hosts.start_sshd(1)
        hosts.power_off(1)
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        hosts.power_on(1)
        assert hosts.processes(1) == []
        assert subprocess.run(hosts.home.openssh("h1", "true"), timeout=20).returncode == 0


def test_a_server_that_is_dropped_keeps_what_runs():
    need(no_sshd())
    with Sshd() as server:
        client = subprocess.Popen(
            server.home.openssh("server1", "echo on; exec sleep 3000"), stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert client.stdout is not None
        with client.stdout:
            assert client.stdout.readline() == b"on\n"
        server.drop()
        assert client.wait(20) == 255
        assert server.sessions() == []
        assert "sleep" in {process.name() for process in server.processes()}
    assert server.processes() == []
    assert of_port(server.port) == []
