"""SshHost against real OpenSSH servers: what it can do, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from spawn_tui.engine.remote.host import Answer, HostAway, HostRefused
from spawn_tui.engine.remote.ssh_config import route
from spawn_tui.engine.remote.ssh_host import SshHost, SshTarget
from spawn_tui.engine.remote.ssh_link import open_link
from spawn_tui.engine.remote.ssh_login import KeyRing

from ..parts.client import ClientHome, make_key
from ..parts.need import program
from ..parts.netns import NetHosts
from ..parts.sshd import Sshd
from ..parts.users import User
from ..parts.waiting import wait_until

NewSshd = Callable[..., Sshd]
BIG = bytes(range(256)) * (50 << 12)  # 50 MiB


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the agent of whoever runs it."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def reach() -> Iterator[Callable[..., SshHost]]:
    """Makes hosts for a server (or an alias in a home) and closes them."""
    with contextlib.ExitStack() as stack:

        def make(where: Sshd | ClientHome, alias: str | None = None, **settings: object) -> SshHost:
            home = where.home if isinstance(where, Sshd) else where
            ask = settings.pop("ask", None)
            name = alias or (where.alias if isinstance(where, Sshd) else "")
            host = SshHost(SshTarget(name, home=home.path, **settings), ask=ask)  # type: ignore[arg-type]
            stack.callback(host.close)
            return host

        yield make


def text(answer: Answer) -> str:
    assert answer.status == 0, answer
    return answer.out.decode().strip()


def script(host: SshHost, lines: str, *, limit: float = 20.0) -> Answer:
    return host.run(["sh", "-s"], lines.encode(), limit=limit)


def refused(host: SshHost) -> str:
    with pytest.raises(HostRefused) as caught:
        host.run(["true"], limit=20.0)
    return str(caught.value)


def away(host: SshHost, *, limit: float = 20.0) -> str:
    with pytest.raises(HostAway) as caught:
        host.run(["true"], limit=limit)
    return str(caught.value)


# --- commands ------------------------------------------------------------------------------------------------------


def test_a_command_by_alias(sshd: Sshd, reach: Callable[..., SshHost]):
    host = reach(sshd)
    assert text(host.run(["id", "-un"], limit=20)) == sshd.user
    assert script(host, "pwd; echo wrong >&2; exit 7") == Answer(
        7, f"{sshd.login_home}\n".encode(), b"wrong\n"
    )
    assert host.usage.connections == 1
    assert host.usage.round_trips == 2
    assert host.usage.commands == {"id": 1, "sh": 1}
    assert host.usage.sent == len("pwd; echo wrong >&2; exit 7")


def test_a_signal_is_minus_one(
    users: Callable[[str], User], new_sshd: NewSshd, reach: Callable[..., SshHost]
):
    host = reach(new_sshd(user=users("bash")))  # bash becomes the command; dash would stay and say 137
    assert script(host, "kill -9 $$").status == -1
    assert script(host, "exec >&- 2>&-; kill -9 $$").status == -1
    assert host.usage.connections == 1


@pytest.mark.parametrize("shell", ["dash", "bash", "fish", "csh"])
def test_login_shells(
    shell: str, users: Callable[[str], User], new_sshd: NewSshd, reach: Callable[..., SshHost]
):
    user = users(shell)
    host = reach(new_sshd(user=user))
    assert text(host.run(["echo", "a=b", "x,y:z@1%+-_/."], limit=20)) == "a=b x,y:z@1%+-_/."
    assert script(host, "printf '%s|' \"$HOME\"; exit 3").out == f"{user.home}|".encode()
    assert host.run(["sh", "-s"], b"exit 3", limit=20).status == 3


@pytest.mark.parametrize(
    ("shell", "rc"), [("bash", ".bashrc"), ("fish", ".config/fish/config.fish"), ("csh", ".cshrc")]
)
def test_a_banner_does_not_break_status_or_data(
    shell: str, rc: str, new_sshd: NewSshd, reach: Callable[..., SshHost]
):
    server = new_sshd(shell=shell)
    server.account.write(rc, "echo WELCOME to the cluster\n")
    host = reach(server)
    answer = script(host, "cat <<E\nown words\nE\nexit 5")
    assert answer.status == 5
    assert answer.out == b"WELCOME to the cluster\nown words\n"


def test_fifty_megabytes_both_ways(sshd: Sshd, reach: Callable[..., SshHost]):
    host = reach(sshd)
    assert host.run(["cat"], BIG, limit=100).out == BIG
    assert (host.usage.sent, host.usage.received) == (len(BIG), len(BIG))


def test_pieces_in_and_pieces_out(sshd: Sshd, reach: Callable[..., SshHost]):
    host = reach(sshd)
    whole = BIG[: 3 << 20]
    came: list[bytes] = []
    answer = host.run(
        ["cat"], (whole[at : at + 70_000] for at in range(0, len(whole), 70_000)), limit=60, into=came.append
    )
    assert answer == Answer(0, b"", b"")
    assert len(came) > 1
    assert b"".join(came) == whole


def test_a_flood_of_complaints_is_drained_and_capped(sshd: Sshd, reach: Callable[..., SshHost]):
    answer = script(reach(sshd), "head -c 5000000 /dev/zero >&2; head -c 5000000 /dev/zero; exit 4", limit=60)
    assert (answer.status, len(answer.out), len(answer.err)) == (4, 5_000_000, 1 << 16)


def test_a_command_that_reads_nothing_harms_no_other(sshd: Sshd, reach: Callable[..., SshHost]):
    """What is sent to a channel that was just closed makes OpenSSH end the connection; see ssh_gate.py."""
    host = reach(sshd)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: host.run(["true"], b"x" * (n % 5) * 9000, limit=60), range(400)))
    assert {answer.status for answer in answers} == {0}
    assert host.usage.connections == 1


def test_sixteen_at_once_share_one_connection(sshd: Sshd, reach: Callable[..., SshHost]):
    host = reach(sshd)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: host.run(["cat"], str(n).encode() * 30_000, limit=60), range(16)))
    assert [answer.out for answer in answers] == [str(n).encode() * 30_000 for n in range(16)]
    assert host.usage.connections == 1


def test_what_the_caller_raises_is_the_callers(sshd: Sshd, reach: Callable[..., SshHost]):
    host = reach(sshd)

    def full(piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="No space left"):
        host.run(["echo", "hi"], limit=20, into=full)
    with pytest.raises(OSError, match="Input/output"):
        host.run(["cat"], broken(), limit=20)
    assert host.run(["true"], limit=20).status == 0
    assert host.usage.connections == 1


def test_words_that_a_shell_would_read_are_not_sent(sshd: Sshd, reach: Callable[..., SshHost]):
    with pytest.raises(ValueError, match="cannot stand in a remote command"):
        reach(sshd).run(["echo", "$(id)"], limit=5)


# --- limits --------------------------------------------------------------------------------------------------------


def test_a_limit_is_kept(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd()
    host = reach(server)
    assert host.run(["true"], limit=20).status == 0
    of_one_connection = len(server.sessions())
    with pytest.raises(HostAway, match=r"server1: sleep gave no answer within 0\.3 s"):
        host.run(["sleep", "30"], limit=0.3)
    with pytest.raises(HostAway, match="sleep gave no answer"):
        host.run(["sleep", "30"], BIG, limit=0.5)  # it reads nothing: the window fills up
    assert host.run(["true"], limit=20).status == 0
    assert host.usage.connections == 3  # a late command may hold its session at the server
    wait_until(lambda: len(server.sessions()) == of_one_connection, "the end of the connections given up")


def test_more_sessions_than_the_server_gives(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    host = reach(new_sshd(options={"MaxSessions": "2"}))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: host.run(["echo", str(n)], limit=60), range(24)))
    assert [text(answer) for answer in answers] == [str(n) for n in range(24)]
    assert host.usage.connections == 1


def test_sessions_that_never_come_free(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    host = reach(new_sshd(options={"MaxSessions": "1"}))
    begun = threading.Event()

    def occupy() -> None:
        with pytest.raises(HostAway):
            host.run(["sh", "-s"], b"echo on; exec sleep 60", limit=60, into=lambda piece: begun.set())

    holder = threading.Thread(target=occupy)
    holder.start()
    assert begun.wait(20)
    assert "opens no other session" in away(host, limit=0.5)
    assert host.run(["true"], limit=20).status == 0  # by a connection of its own
    assert host.usage.connections == 2
    host.close()
    holder.join(20)
    assert not holder.is_alive()


# --- connections that end ------------------------------------------------------------------------------------------


def drop_in_the_middle(host: SshHost, server: Sshd, action: Callable[[], None]) -> str:
    """Run something long, break the connection while it runs, and return what is said."""
    begun = threading.Event()
    words: list[str] = []

    def work() -> None:
        with pytest.raises(HostAway) as caught:
            host.run(["sh", "-s"], b"echo on; exec sleep 300", limit=60, into=lambda piece: begun.set())
        words.append(str(caught.value))

    worker = threading.Thread(target=work)
    worker.start()
    assert begun.wait(20)
    action()
    worker.join(30)
    assert words, "nothing was said"
    return words[0]


def test_a_drop_is_told_and_healed(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd()
    host = reach(server)
    assert drop_in_the_middle(host, server, server.drop) == "server1: sh: connection lost"
    assert "sleep" in [process.name() for process in server.processes()]  # what ran goes on
    assert host.run(["true"], limit=20).status == 0
    assert host.usage.connections == 2


def test_output_that_a_drop_has_torn_is_not_taken_for_whole(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd()
    host = reach(server)
    came = 0

    def take(piece: bytes) -> None:
        nonlocal came
        came += len(piece)
        if came > 1 << 20:
            server.drop()

    with pytest.raises(HostAway, match="connection lost"):
        host.run(["cat"], BIG, limit=60, into=take)


def test_a_killed_server(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd()
    host = reach(server)
    assert host.run(["true"], limit=20).status == 0
    server.kill()
    assert host.run(["true"], limit=20).status == 0  # the session outlives the listener
    server.drop()
    assert f"127.0.0.1:{server.port}): Connection refused" in away(host)
    server.start()
    assert host.run(["true"], limit=20).status == 0


def test_a_server_that_hangs(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd(client_options={"ConnectTimeout": "1"})
    host = reach(server)
    assert host.run(["true"], limit=20).status == 0
    server.freeze()
    assert "true gave no answer within 0.5 s" in away(host, limit=0.5)
    assert "does not greet like an SSH server, or not within 1 s" in away(host)
    server.thaw()
    assert host.run(["true"], limit=20).status == 0


def test_close_ends_what_waits(sshd: Sshd, reach: Callable[..., SshHost]):
    host = reach(sshd)
    assert drop_in_the_middle(host, sshd, host.close) == "server1: closed"
    assert away(host) == "server1: closed"


def test_closing_leaves_nothing_behind(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd()
    before = set(threading.enumerate())
    host = reach(server)
    host.run(["true"], limit=20)
    host.close()
    wait_until(lambda: not set(threading.enumerate()) - before, "the end of the host's threads")
    wait_until(lambda: not server.sessions(), "the end of the connection at the server")


def test_a_small_packet_is_not_held_back(sshd: Sshd):
    """Without TCP_NODELAY each command waits 40 ms for an acknowledgement."""
    hops = route(SshTarget("server1", home=sshd.home.path))
    with contextlib.closing(open_link(hops, KeyRing(), limit=20, accept_new=False)) as link:
        assert link.transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # type: ignore[union-attr]


# --- the network ---------------------------------------------------------------------------------------------------


def test_a_cut_network(new_net_hosts: Callable[..., NetHosts], reach: Callable[..., SshHost]):
    options = {"ServerAliveInterval": "1", "ServerAliveCountMax": "2", "ConnectTimeout": "1"}
    hosts = new_net_hosts(2, client_options=options)
    first, second = reach(hosts.home, "h1"), reach(hosts.home, "h2")
    assert text(first.run(["hostname"], limit=20)) == "h1"
    assert text(second.run(["hostname"], limit=20)) == "h2"
    hosts.cut(1)
    assert "gave no answer within 0.5 s" in away(first, limit=0.5)
    assert second.run(["true"], limit=20).status == 0
    assert "Connection timed out after 1 s" in away(first)
    hosts.heal(1)
    assert text(first.run(["hostname"], limit=20)) == "h1"
    assert first.usage.connections == 2


def test_a_cut_is_noticed_while_a_command_runs(
    new_net_hosts: Callable[..., NetHosts], reach: Callable[..., SshHost]
):
    hosts = new_net_hosts(1, client_options={"ServerAliveInterval": "1", "ServerAliveCountMax": "2"})
    host = reach(hosts.home, "h1")
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("this system does not tell when nothing is acknowledged")
    assert drop_in_the_middle(host, None, lambda: hosts.cut(1)) == "h1: sh: connection lost"  # type: ignore[arg-type]


def test_a_short_cut_is_survived(net_hosts: NetHosts, reach: Callable[..., SshHost]):
    host = reach(net_hosts.home, "h2")
    came: list[bytes] = []

    def take(piece: bytes) -> None:
        if not came:
            net_hosts.cut(2)
            threading.Timer(0.5, net_hosts.heal, [2]).start()
        came.append(piece)

    host.run(["cat"], BIG[: 8 << 20], limit=60, into=take)
    assert b"".join(came) == BIG[: 8 << 20]
    assert host.usage.connections == 1


def test_a_host_without_power(net_hosts: NetHosts, reach: Callable[..., SshHost]):
    host = reach(net_hosts.home, "h3")
    try:
        assert drop_in_the_middle(host, None, lambda: net_hosts.power_off(3)) == "h3: sh: connection lost"  # type: ignore[arg-type]
    finally:
        net_hosts.power_on(3)
    assert text(host.run(["hostname"], limit=20)) == "h3"


def test_a_filtered_port(new_net_hosts: Callable[..., NetHosts], reach: Callable[..., SshHost]):
    hosts = new_net_hosts(1, client_options={"ConnectTimeout": "1"})
    hosts.filter(1)
    said = away(reach(hosts.home, "h1"))
    assert said.startswith(f"h1 ({hosts.user}@{hosts.address(1)}:22): Connection timed out after 1 s")
    assert "firewall" in said


def test_no_such_host_and_no_such_port(sshd: Sshd, reach: Callable[..., SshHost], tmp_path: Path):
    said = away(reach(sshd, "no-such-host.invalid", user="u"))
    assert said.startswith("u@no-such-host.invalid:22: Could not resolve hostname no-such-host.invalid: ")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        said = away(reach(sshd, "127.0.0.1", port=port, user="u"))
    assert f"u@127.0.0.1:{port}: Connection refused: nothing listens on port {port}" in said


def test_something_else_answers(sshd: Sshd, reach: Callable[..., SshHost]):
    def serve(listener: socket.socket, answer: bytes) -> None:
        link, _ = listener.accept()
        with link:
            link.sendall(answer)
            link.recv(1000)

    web = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
    for answer, words in (
        (b"hello\r\n" * 120, "does not greet"),
        (web, "hung up without"),
        (b"", "hung up without"),
    ):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = threading.Thread(target=serve, args=(listener, answer))
            server.start()
            said = away(reach(sshd, "127.0.0.1", port=listener.getsockname()[1], user="u"))
            server.join(20)
        assert words in said


# --- who we are ----------------------------------------------------------------------------------------------------


def test_a_refused_key(new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path):
    server = new_sshd()
    make_key(tmp_path / "other")
    said = refused(reach(server, key=str(tmp_path / "other")))
    assert said.startswith(f"server1 ({server.user}@127.0.0.1:{server.port}): Permission denied (publickey)")
    assert f"tried {tmp_path / 'other'}" in said
    assert "ssh-copy-id server1" in said


def test_an_unknown_user(sshd: Sshd, reach: Callable[..., SshHost]):
    assert "nobody-here@127.0.0.1" in refused(reach(sshd, user="nobody-here"))


def test_keys_that_are_not_there_or_not_keys(sshd: Sshd, reach: Callable[..., SshHost], tmp_path: Path):
    assert f"{tmp_path}/none does not exist" in refused(reach(sshd, key=f"{tmp_path}/none"))
    (tmp_path / "junk").write_text("this is no key\n")
    assert "junk is not a private key" in refused(reach(sshd, key=str(tmp_path / "junk")))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_a_locked_key(kind: str, new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path):
    server = new_sshd()
    key = tmp_path / "locked"
    public = make_key(key, passphrase="open sesame", kind=kind)
    with (server.directory / "authorized_keys").open("a") as keys:
        keys.write(public + "\n")
    said = refused(reach(server, key=str(key)))
    assert f"{key} is locked by a passphrase: unlock it with `ssh-add {key}`" in said
    assert f"the passphrase of {key} is wrong" in refused(
        reach(server, key=str(key), ask=lambda question: "guess")
    )
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return "open sesame"

    host = reach(server, key=str(key), ask=ask)
    assert host.run(["true"], limit=20).status == 0
    server.drop()
    assert host.run(["true"], limit=20).status == 0
    (question,) = questions  # asked once, also for the second connection
    assert question.startswith(f"Passphrase for {key}")


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Path, str], None]]:
    """A real ssh-agent, and how a key is put into it."""
    # A socket's path must be short: pytest's directories are not.
    path = Path("/tmp", f"spawn-agent-{os.getpid()}")
    command = [program("ssh-agent") or "ssh-agent", "-D", "-a", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    wait_until(path.exists, "the agent's socket")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))

    def add(key: Path, passphrase: str) -> None:
        helper = tmp_path / "askpass"
        helper.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
        helper.chmod(0o700)
        environment = {
            **os.environ,
            "SSH_ASKPASS": str(helper),
            "SSH_ASKPASS_REQUIRE": "force",
            "DISPLAY": ":0",
        }
        adder = program("ssh-add") or "ssh-add"
        subprocess.run(
            [adder, "-q", str(key)], env=environment, check=True, stdin=subprocess.DEVNULL, timeout=20
        )

    yield add
    process.terminate()
    process.wait(10)
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
@pytest.mark.parametrize("with_public", [True, False])
def test_a_locked_key_that_the_agent_has_opened(
    kind: str, with_public: bool, agent: Callable[[Path, str], None], new_sshd: NewSshd,
    reach: Callable[..., SshHost], tmp_path: Path,
):  # fmt: skip
    server = new_sshd()
    key = tmp_path / "locked"
    public = make_key(key, passphrase="open sesame", kind=kind)
    (server.directory / "authorized_keys").write_text(public + "\n")
    agent(key, "open sesame")
    if not with_public:
        Path(f"{key}.pub").unlink()
    assert reach(server, key=str(key)).run(["true"], limit=20).status == 0


def test_the_agents_keys_without_a_file(
    agent: Callable[[Path, str], None], new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path
):
    server = new_sshd()
    key = tmp_path / "only-in-agent"
    (server.directory / "authorized_keys").write_text(make_key(key) + "\n")
    agent(key, "")
    key.unlink()
    assert "Permission denied" in refused(reach(server))  # the config says IdentitiesOnly
    server.home.config.write_text(
        server.home.config.read_text().replace("IdentitiesOnly yes", "IdentitiesOnly no")
    )
    assert reach(server).run(["true"], limit=20).status == 0


def test_an_agent_that_is_gone(
    sshd: Sshd, reach: Callable[..., SshHost], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    assert reach(sshd).run(["true"], limit=20).status == 0
    assert "the agent at" in refused(reach(sshd, key=str(tmp_path / "none")))


def test_too_many_keys(new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path):
    server = new_sshd(options={"MaxAuthTries": "3"})
    lines = ""
    for number in range(5):
        make_key(tmp_path / f"k{number}")
        lines += f"  IdentityFile {tmp_path}/k{number}\n"
    text = server.home.config.read_text()
    server.home.config.write_text(text.replace(f"  IdentityFile {server.home.key}\n", lines))
    said = refused(reach(server))
    assert "Too many authentication failures" in said
    assert "IdentitiesOnly" in said


def test_a_server_that_takes_only_passwords(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd(options={"PubkeyAuthentication": "no", "PasswordAuthentication": "yes"})
    assert "it does not take keys, only password" in refused(reach(server))


def test_no_key_at_all(new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path):
    server = new_sshd()
    bare = tmp_path / "bare"
    shutil.copytree(server.home.ssh, bare / ".ssh", ignore=shutil.ignore_patterns("id_*"))
    config = (bare / ".ssh/config").read_text().splitlines()
    (bare / ".ssh/config").write_text("\n".join(line for line in config if "Identit" not in line))
    with contextlib.closing(SshHost(SshTarget("server1", home=bare))) as host:
        assert "there is no key to log in with" in refused(host)


# --- who they are --------------------------------------------------------------------------------------------------


def fingerprint(server: Sshd) -> str:
    keygen = program("ssh-keygen") or "ssh-keygen"
    command = [keygen, "-l", "-f", str(server.directory / "host_key.pub")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]


def test_an_unknown_host_key(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd(known=False)
    said = refused(reach(server))
    assert f"its host key is unknown: ssh-ed25519 {fingerprint(server)}" in said
    assert "`ssh server1`" in said
    assert f"`ssh-keyscan -p {server.port} 127.0.0.1 >> {server.home.known_hosts}`" in said
    assert "--accept-new-host-key" in said
    assert not server.home.known_hosts.exists()


@pytest.mark.parametrize("hashed", [False, True])
def test_an_unknown_host_key_that_is_accepted(hashed: bool, new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd(known=False, client_options={"HashKnownHosts": "yes" if hashed else "no"})
    server.home.known_hosts.write_text("# a line without an end")
    assert reach(server, accept_new_host_key=True).run(["true"], limit=20).status == 0
    comment, line = server.home.known_hosts.read_text().splitlines()
    assert comment == "# a line without an end"
    assert (
        line.startswith("|1|")
        if hashed
        else line == f"[127.0.0.1]:{server.port} {' '.join(server.host_key.split()[:2])}"
    )
    assert reach(server).run(["true"], limit=20).status == 0
    openssh = subprocess.run(
        server.home.openssh("server1", "echo theirs"), capture_output=True, text=True, timeout=20
    )
    assert openssh.stdout == "theirs\n", openssh.stderr


@pytest.mark.parametrize("accept", [False, True])
def test_a_changed_host_key(accept: bool, new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd()
    before = server.home.known_hosts.read_text()
    server.home.known_hosts.write_text("# first line\n" + before)
    old = fingerprint(server)
    server.new_key()
    said = refused(reach(server, accept_new_host_key=accept))
    assert f"its host key has CHANGED to ssh-ed25519 {fingerprint(server)}" in said
    assert f"{server.home.known_hosts}:2 knows another (ssh-ed25519 {old})" in said
    assert "ssh-keygen -R" in said
    assert server.home.known_hosts.read_text() == "# first line\n" + before


def test_the_forms_of_known_hosts(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd(client_options={"HostKeyAlias": "box.example.com"})
    key = " ".join(server.host_key.split()[:2])
    for good in (f"box.example.com {key}", f"other,*.example.com {key} comment", f"BOX.example.com {key}"):
        server.home.known_hosts.write_text(good + "\n")
        assert reach(server).run(["true"], limit=20).status == 0, good
    for bad in (
        f"*.example.com,!box.example.com {key}",
        f"box.example.org {key}",
        f"@cert-authority *.example.com {key}",
    ):
        server.home.known_hosts.write_text(bad + "\n")
        assert "host key is unknown" in refused(reach(server)), bad
    server.home.known_hosts.write_text(f"@revoked * {key}\nbox.example.com {key}\n")
    assert "is revoked by" in refused(reach(server))


def test_the_kind_of_key_that_is_known_is_asked_for(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd()
    server.kill()
    public = make_key(server.directory / "rsa_key", kind="rsa")
    server.set("HostKey", f"{server.directory}/host_key\nHostKey {server.directory}/rsa_key")
    server.start()
    server.home.known_hosts.write_text("")
    server.home.know("127.0.0.1", server.port, public)
    assert reach(server).run(["true"], limit=20).status == 0


# --- ways there ----------------------------------------------------------------------------------------------------


def two_servers(new_sshd: NewSshd, tmp_path: Path) -> tuple[ClientHome, Sshd, Sshd]:
    home = ClientHome(tmp_path / "home")
    bastion = new_sshd(home=home, alias="bastion", options={"AllowTcpForwarding": "yes"})
    inner = new_sshd(home=home, alias="inner", client_options={"ProxyJump": "bastion"})
    return home, bastion, inner


def test_a_jump(new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path):
    home, bastion, inner = two_servers(new_sshd, tmp_path)
    host = reach(home, "inner")
    assert text(host.run(["id", "-un"], limit=20)) == inner.user
    assert host.run(["cat"], BIG[: 4 << 20], limit=60).out == BIG[: 4 << 20]
    assert bastion.sessions()
    assert "Connection from 127.0.0.1" in inner.log.read_text()
    bastion.drop()
    assert host.run(["true"], limit=20).status == 0
    assert host.usage.connections == 2
    host.close()
    wait_until(lambda: not bastion.sessions() and not inner.sessions(), "the end of both connections")


def test_two_jumps_in_one_line(new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path):
    home = ClientHome(tmp_path / "home")
    first = new_sshd(home=home, alias="first")
    # The way to the second goes through the first, whatever its own ProxyJump says.
    second = new_sshd(home=home, alias="second", client_options={"ProxyJump": "no-such-host.invalid"})
    jump = f"first,{second.user}@second:{second.port}"
    inner = new_sshd(home=home, alias="inner", client_options={"ProxyJump": jump})
    host = reach(home, "inner")
    assert text(host.run(["id", "-un"], limit=20)) == inner.user
    assert first.sessions()
    assert second.sessions()


def test_a_jump_host_is_checked_too(new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path):
    home, bastion, _ = two_servers(new_sshd, tmp_path)
    bastion.new_key()
    assert refused(reach(home, "inner")).startswith(
        f"bastion ({bastion.user}@127.0.0.1:{bastion.port}): its host key has CHANGED"
    )


def test_a_jump_that_leads_nowhere(new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path):
    home, _, inner = two_servers(new_sshd, tmp_path)
    inner.kill()
    assert (
        f"inner ({inner.user}@127.0.0.1:{inner.port}): the host before it on the way cannot reach it"
        in away(reach(home, "inner"))
    )


def test_jumps_in_a_circle(sshd: Sshd, reach: Callable[..., SshHost], tmp_path: Path):
    home = ClientHome(tmp_path / "home")
    home.config.write_text("Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
    assert "a circle" in refused(reach(home, "a"))


def test_a_bastion_that_everything_goes_through(
    new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path
):
    home = ClientHome(tmp_path / "home")
    bastion = new_sshd(home=home, alias="bastion")
    home.config.write_text(home.config.read_text() + "Host *\n  ProxyJump bastion\n")
    assert text(reach(home, "bastion").run(["id", "-un"], limit=20)) == bastion.user


def test_a_proxy_command(new_sshd: NewSshd, reach: Callable[..., SshHost], tmp_path: Path):
    home = ClientHome(tmp_path / "home")
    bastion = new_sshd(home=home, alias="bastion")
    ssh = program("ssh")
    command = f"{ssh} -F {home.config} -o BatchMode=yes -W %h:%p bastion"
    inner = new_sshd(home=home, alias="inner", client_options={"ProxyCommand": command})
    host = reach(home, "inner")
    assert text(host.run(["id", "-un"], limit=20)) == inner.user
    assert host.run(["cat"], BIG[: 4 << 20], limit=60).out == BIG[: 4 << 20]
    host.close()
    wait_until(lambda: not bastion.sessions(), "the end of the proxy")


def test_a_proxy_command_that_fails(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd(client_options={"ProxyCommand": "sh -c 'echo the tunnel is closed >&2; exit 1'"})
    said = away(reach(server))
    assert said.startswith("server1 (")
    assert "through ProxyCommand sh: the tunnel is closed" in said


def test_a_proxy_command_that_hangs_is_ended(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd(client_options={"ProxyCommand": "sleep 4321", "ConnectTimeout": "1"})
    assert "does not greet" in away(reach(server))
    ours = psutil.Process().children(recursive=True)
    assert not [child for child in ours if "4321" in child.cmdline()]


# --- the config file -----------------------------------------------------------------------------------------------


def test_includes_matches_and_homes(new_sshd: NewSshd, reach: Callable[..., SshHost]):
    server = new_sshd()
    config = server.home.config
    # The second block leaves its key and known hosts to the lines before it, which are of no block: the included file's
    # ends with that file.
    settings = "\n".join(
        line
        for line in config.read_text().replace("server1", "elsewhere").splitlines()
        if str(server.home.ssh) not in line
    )
    (server.home.ssh / "conf.d").mkdir()
    (server.home.ssh / "conf.d/a.conf").write_text(
        f"Match originalhost box\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n"
    )
    config.write_text(
        "Include conf.d/*.conf nothing.conf\nIdentityFile ~/.ssh/a_key\nUserKnownHostsFile ~/.ssh/others\n"
        + settings
        + '\nMatch originalhost other exec "false"\n  Port 1\n'
    )
    server.home.key.rename(server.home.ssh / "a_key")
    server.home.known_hosts.rename(server.home.ssh / "others")
    for alias in ("box", "elsewhere"):
        assert text(reach(server, alias).run(["id", "-un"], limit=20)) == server.user
    assert "Match exec" in refused(reach(server, "other"))


def test_a_config_that_cannot_be_read(reach: Callable[..., SshHost], tmp_path: Path):
    home = ClientHome(tmp_path / "home")
    home.config.write_text("Host x\n  Port many\n")
    assert "Port 'many' in ~/.ssh/config is not a number" in refused(reach(home, "x"))
    home.config.write_text("nonsense\n")
    assert f"{home.path}/.ssh/config cannot be read" in refused(reach(home, "x"))
    home.config.write_text("Include config\n")
    assert "goes round in a circle" in refused(reach(home, "x"))


@pytest.mark.parametrize("name", ["-v", "-oProxyCommand=x", "a b", "a;b", "$(id)", ""])
def test_names_that_are_none(name: str, reach: Callable[..., SshHost], tmp_path: Path):
    assert "is not a host or user name" in refused(reach(ClientHome(tmp_path / "home"), name))


def test_nothing_of_paramiko_reaches_the_terminal(
    sshd: Sshd, reach: Callable[..., SshHost], capfd: pytest.CaptureFixture[str]
):
    away(reach(sshd, "127.0.0.1", port=1, user="u"))
    refused(reach(sshd, user="nobody-here"))
    assert capfd.readouterr() == ("", "")
