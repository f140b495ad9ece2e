"""An OpenSSH server of its own on a free port of the loopback interface.

With a `User` (root only) a clean one logs in; else the current user does. What is listed here was measured with
OpenSSH 9.2: sessions outlive the listener, and a session's own processes outlive the session.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psutil

from .client import ClientHome, make_key
from .guard import guard
from .need import missing, program
from .undo import MARK, alive, end, end_port, marked, of_port
from .users import User, no_users
from .waiting import wait_until


def no_sshd() -> str | None:
    """Why there is no SSH server to be had here, or None."""
    return missing({"sshd": "openssh-server", "ssh-keygen": "openssh-client"})


def config_lines(options: Mapping[str, str]) -> str:
    """A server's configuration: what every test needs, with `options` before it (OpenSSH takes the first of a kind)."""
    usual = {
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PubkeyAuthentication": "yes",
        "PermitRootLogin": "prohibit-password",
        "X11Forwarding": "no",
        "PrintMotd": "no",
        "PrintLastLog": "no",
        "UseDNS": "no",
        "MaxStartups": "100:30:200",
        "LogLevel": "VERBOSE",
        "Subsystem": "sftp internal-sftp",
    }
    return "".join(f"{key} {value}\n" for key, value in {**usual, **options}.items())


def privsep() -> None:
    """The directory that OpenSSH refuses to start as root without."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def greets(address: str, port: int) -> bool:
    """Whether an SSH server answers there now."""
    try:
        with socket.create_connection((address, port), 1.0) as link:
            return link.recv(4) == b"SSH-"
    except OSError:
        return False


class Sshd:
    """One server. It is reached as `alias` from `home` (or as `address`, `port`, `user` with `home.key`).

    `options` are lines of sshd_config; `user` is who logs in (not closed here), made with `shell` if we are root and
    none is given; `home` may be shared by several servers; `known` says whether its key is put into known_hosts.
    """

    address = "127.0.0.1"

    def __init__(
        self,
        *,
        alias: str = "server1",
        shell: str = "sh",
        user: User | None = None,
        home: ClientHome | None = None,
        options: Mapping[str, str] | None = None,
        client_options: Mapping[str, str] | None = None,
        known: bool = True,
    ) -> None:
        if user is None and shell != "sh" and (why_not := no_users()):
            raise RuntimeError(f"a login shell cannot be chosen: {why_not}")
        self.alias = alias
        self.token = secrets.token_hex(8)
        self._process: subprocess.Popen[bytes] | None = None
        self._notes: list[int] = []
        with contextlib.ExitStack() as made:
            self.directory = Path(tempfile.mkdtemp(prefix="spawn-sshd-"))
            made.callback(guard.undo, guard.note("tree", str(self.directory)))
            self.directory.chmod(0o755)
            self.home = home or ClientHome(self.directory / "client")
            self.account = user
            if user is None and os.getuid() == 0:
                self.account = made.enter_context(User(shell))
            self.user = self.account.name if self.account else getpass.getuser()
            self.login_home = self.account.home if self.account else Path.home()
            self.log = self.directory / "sshd.log"
            self.host_key = make_key(self.directory / "host_key")
            keys = self.directory / "authorized_keys"
            keys.write_text(self.home.public + "\n")
            keys.chmod(0o644)
            self._options = {
                "AuthorizedKeysFile": str(keys),
                "SetEnv": f"{MARK}={self.token}",
                **(options or {}),
            }
            if "SetEnv" in (options or {}):
                self._options["SetEnv"] += f" {MARK}={self.token}"
            made.callback(guard.undo, guard.note("marked", self.token))
            made.callback(self._end_server)
            self.port = self._start_on_a_free_port()
            self.home.add(alias, address=self.address, port=self.port, user=self.user, options=client_options)
            if known:
                self.home.know(self.address, self.port, self.host_key)
            self._made = made.pop_all()

    def _start_on_a_free_port(self) -> int:
        for _ in range(10):
            with socket.socket() as probe:
                probe.bind((self.address, 0))
                self.port = probe.getsockname()[1]
            try:
                self.start()
            except RuntimeError as error:
                if "Address already in use" in str(error):
                    continue
                raise
            return self.port
        raise RuntimeError("ten free ports in a row were taken by somebody else")

    def start(self) -> None:
        """Start the server (again), on the same port and with the same key."""
        privsep()
        config = self.directory / "sshd_config"
        fixed = {"Port": str(self.port), "ListenAddress": self.address, "PidFile": "none"}
        config.write_text(
            config_lines({**fixed, "HostKey": str(self.directory / "host_key"), **self._options})
        )
        server = program("sshd")
        assert server is not None
        self._notes.append(guard.note("port", str(self.port)))
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [server, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._process = process
        wait_until(
            lambda: process.poll() is not None or greets(self.address, self.port), f"sshd on {self.port}"
        )
        if process.poll() is not None:
            raise RuntimeError(f"sshd does not start: {self.log.read_text()}")

    def set(self, option: str, value: str) -> None:
        """Another line of sshd_config, from the next start on."""
        self._options[option] = value

    def new_key(self) -> None:
        """Give the server another host key: what a client that knew it calls a changed one."""
        self.kill()
        self.host_key = make_key(self.directory / "host_key")
        self.start()

    def sessions(self) -> list[psutil.Process]:
        """The server's processes that hold a connection; not the listener, nor what users run."""
        listener = self._process.pid if self._process else None
        return [
            process for process in of_port(self.port) if process.pid != listener and "sshd" in process.name()
        ]

    def processes(self) -> list[psutil.Process]:
        """What was started through this server and lives, whatever became of the connection."""
        return marked(self.token)

    def kill(self) -> None:
        """Kill the listener; sessions go on, new connections are refused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def drop(self) -> None:
        """Break every connection at once by killing its processes; what users run goes on."""
        end(self.sessions())

    def freeze(self) -> None:
        """Stop the server and its sessions in their tracks (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in of_port(self.port):
            if "sshd" in process.name() and alive(process):
                process.send_signal(number)

    def _end_server(self) -> None:
        self.kill()
        end_port(self.port)
        for note in self._notes:
            guard.forget(note)

    def close(self) -> None:
        """End the server, its sessions and everything started through it; remove what was made."""
        self._made.close()

    def __enter__(self) -> Sshd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
