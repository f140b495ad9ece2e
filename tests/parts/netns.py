"""Several hosts on this machine, each with a network, processes, a name and home directories of its own, behind SSH.

A host is a network, pid, uts and mount namespace with an OpenSSH server on port 22, joined to a bridge at which we are
`10.213.K.1` and the hosts `10.213.K.11`, `.12`, … Its file system is this machine's, but for the home of the user who
logs in, so that two hosts are as far from each other as two machines. Linux and root only.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psutil

from .client import ClientHome, make_key
from .guard import guard
from .need import missing, program
from .sshd import config_lines, greets, no_sshd, privsep
from .undo import MARK, alive, describe, end, run
from .users import User, no_users
from .waiting import wait_until

MOST = 200
"""As many hosts as one network takes."""


@functools.cache
def available() -> str | None:
    """Why hosts in namespaces cannot be made here, or None."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    why_not = no_users() or no_sshd() or missing({
        "ip": "iproute2", "iptables": "iptables", "unshare": "util-linux", "nsenter": "util-linux", "mount": "mount",
    })  # fmt: skip
    if why_not:
        return why_not
    name = f"sp-try-{secrets.token_hex(3)}"
    note = guard.note("netns", name)
    try:
        run("ip", "netns", "add", name)
        run("ip", "netns", "exec", name, "unshare", "--pid", "--fork", "--uts", "--mount-proc", "true")
        run("ip", "netns", "exec", name, "iptables", "-L", "-n")
    except RuntimeError as error:
        return f"the kernel refuses namespaces: {error}"
    finally:
        guard.undo(note)
    return None


class NetHosts:
    """`count` hosts, reached as `h1`, `h2`, … from `home`. Hosts are numbered from 1 in every method.

    `options` are lines of sshd_config for all of them, `prefix` is what their aliases begin with.
    """

    def __init__(
        self,
        count: int,
        *,
        shell: str = "sh",
        home: ClientHome | None = None,
        options: Mapping[str, str] | None = None,
        client_options: Mapping[str, str] | None = None,
        prefix: str = "h",
    ) -> None:
        assert 1 <= count <= MOST
        self.count = count
        self.prefix = prefix
        self.token = secrets.token_hex(8)
        self._options = options or {}
        self._inits: dict[int, psutil.Process] = {}
        self._outer: dict[int, subprocess.Popen[bytes]] = {}
        self._notes: dict[int, int] = {}
        with contextlib.ExitStack() as made:
            self.directory = Path(tempfile.mkdtemp(prefix="spawn-hosts-"))
            made.callback(guard.undo, guard.note("tree", str(self.directory)))
            self.directory.chmod(0o755)
            self.home = home or ClientHome(self.directory / "client")
            self.account = made.enter_context(User(shell))
            self.user = self.account.name
            keys = self.directory / "authorized_keys"
            keys.write_text(self.home.public + "\n")
            keys.chmod(0o644)
            self._add_bridge(made)
            made.callback(guard.undo, guard.note("marked", self.token))
            for number in self.numbers:
                self._wire(number, made)
                made.callback(self.power_off, number)
                self._folder(number).mkdir()
                private = self.home_of(number)
                private.mkdir(mode=0o700)
                os.chown(private, self.account.uid, self.account.gid)
                public = make_key(self._folder(number) / "host_key")
                self.home.add(
                    self.alias(number),
                    address=self.address(number),
                    port=22,
                    user=self.user,
                    options=client_options,
                )
                self.home.know(self.address(number), 22, public)
                self.power_on(number)
            self._made = made.pop_all()

    # --- names ---------------------------------------------------------------------------------------------------

    @property
    def numbers(self) -> range:
        return range(1, self.count + 1)

    @property
    def aliases(self) -> list[str]:
        return [self.alias(number) for number in self.numbers]

    def alias(self, number: int) -> str:
        return f"{self.prefix}{number}"

    def address(self, number: int) -> str:
        return f"10.213.{self._net}.{10 + number}"

    def home_of(self, number: int) -> Path:
        """The user's home on that host, as it is seen from here."""
        return self._folder(number) / "home"

    def _folder(self, number: int) -> Path:
        return self.directory / f"host{number}"

    def _namespace(self, number: int) -> str:
        return f"sp{self._net}h{number}"

    def _port(self, number: int) -> str:
        return f"sp{self._net}v{number}"

    # --- the network ---------------------------------------------------------------------------------------------

    def _add_bridge(self, made: contextlib.ExitStack) -> None:
        """Make the bridge; that its name can be had only once is what keeps two suites apart."""
        for net in range(256):
            name = f"spb{net}"
            if run("ip", "link", "add", name, "type", "bridge", check=False).returncode == 0:
                break
        else:
            raise RuntimeError("all 256 networks for test hosts are taken; see `ip link` for bridges spb*")
        self._net = net
        made.callback(guard.undo, guard.note("link", name))
        run("ip", "addr", "add", f"10.213.{net}.1/24", "dev", name)
        run("ip", "link", "set", name, "up")

    def _wire(self, number: int, made: contextlib.ExitStack) -> None:
        inside, port = self._namespace(number), self._port(number)
        made.callback(guard.undo, guard.note("netns", inside))
        run("ip", "netns", "add", inside)
        made.callback(guard.undo, guard.note("link", port))
        run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", inside)
        run("ip", "link", "set", port, "master", f"spb{self._net}", "up")
        run("ip", "-n", inside, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        run("ip", "-n", inside, "link", "set", "eth0", "up")
        run("ip", "-n", inside, "link", "set", "lo", "up")

    def cut(self, number: int) -> None:
        """Pull that host's network cable: nothing gets through, nobody is told."""
        run("ip", "link", "set", self._port(number), "down")

    def heal(self, number: int) -> None:
        run("ip", "link", "set", self._port(number), "up")

    def filter(self, number: int, *, port: int = 22, target: str = "DROP") -> None:
        """Let that host's firewall swallow what comes for a port (`target="REJECT"`: refuse it)."""
        self._iptables(number, "-I", port, target)

    def unfilter(self, number: int, *, port: int = 22, target: str = "DROP") -> None:
        self._iptables(number, "-D", port, target)

    def _iptables(self, number: int, verb: str, port: int, target: str) -> None:
        rule = ["INPUT", "-p", "tcp", "--dport", str(port), "-j", target]
        run("ip", "netns", "exec", self._namespace(number), "iptables", "-w", verb, *rule)

    # --- power ---------------------------------------------------------------------------------------------------

    def power_on(self, number: int) -> None:
        """Start the host and its SSH server."""
        assert number not in self._inits, f"{self.alias(number)} is on already"
        script = 'mount --bind "$1" "$2" && hostname "$3" && exec "$4" -I -S "$5"'
        outer = subprocess.Popen(
            [
                program("ip") or "ip", "netns", "exec", self._namespace(number),
                program("unshare") or "unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
                "sh", "-c", script, "sh", self.home_of(number), self.account.home, self.alias(number),
                sys.executable, Path(__file__).with_name("host_init.py"),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"},
        )  # fmt: skip
        self._outer[number] = outer
        self._notes[number] = guard.note("process", describe(psutil.Process(outer.pid)))
        assert outer.stdout is not None
        if outer.stdout.readline() != b"ready\n":
            raise RuntimeError(f"host {self.alias(number)} does not start: exit status {outer.wait(10)}")
        (self._inits[number],) = psutil.Process(outer.pid).children()
        self.start_sshd(number)

    def power_off(self, number: int) -> None:
        """Turn the host off: everything on it is gone at once."""
        outer = self._outer.pop(number, None)
        if outer is None:
            return
        init = self._inits.pop(number, None)
        outer.kill()
        outer.wait(10)
        if outer.stdout is not None:
            outer.stdout.close()
        if init is not None:
            wait_until(lambda: not alive(init), f"the end of {self.alias(number)}")
        guard.forget(self._notes.pop(number))

    # --- the SSH server and what runs on the host ----------------------------------------------------------------

    def start_sshd(self, number: int) -> None:
        privsep()
        folder = self._folder(number)
        config = folder / "sshd_config"
        usual = {
            "Port": "22",
            "PidFile": "none",
            "HostKey": str(folder / "host_key"),
            "AuthorizedKeysFile": str(self.directory / "authorized_keys"),
            "SetEnv": f"{MARK}={self.token}",
            "MaxSessions": "100",
        }
        config.write_text(config_lines({**usual, **self._options}))
        self.execute(number, program("sshd") or "sshd", "-f", str(config), "-E", str(folder / "sshd.log"))
        wait_until(lambda: self._listens(number), f"sshd on {self.alias(number)}")

    def kill_sshd(self, number: int, *, sessions: bool = True) -> None:
        """Kill the host's SSH server, with its connections unless told otherwise; what users run goes on."""
        everything = [process for process in self._inside(number) if process.name() == "sshd"]
        listeners = [process for process in everything if "[listener]" in " ".join(process.cmdline())]
        end(everything if sessions else listeners)

    def execute(self, number: int, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as root on that host, not through SSH."""
        where = ["nsenter", "--target", str(self._inits[number].pid), "--net", "--pid", "--mount", "--uts"]
        return run(*where, *command, check=check)

    def processes(self, number: int) -> list[psutil.Process]:
        """What runs on that host, but for its first process and SSH servers. Empty if it is off."""
        return [process for process in self._inside(number) if process.name() != "sshd"]

    def _inside(self, number: int) -> list[psutil.Process]:
        init = self._inits.get(number)
        if init is None or not alive(init):
            return []
        space = Path(f"/proc/{init.pid}/ns/pid").readlink()
        found: list[psutil.Process] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                if (folder / "ns/pid").readlink() == space and int(folder.name) != init.pid:
                    found.append(psutil.Process(int(folder.name)))
        return [process for process in found if alive(process)]

    def _listens(self, number: int) -> bool:
        """Whether the server greets, asked from inside, so that a cut cable does not matter."""
        probe = (
            "import socket,sys; s=socket.create_connection(('127.0.0.1',22),1); sys.exit(s.recv(4)!=b'SSH-')"
        )
        if greets(self.address(number), 22):
            return True
        return self.execute(number, sys.executable, "-I", "-S", "-c", probe, check=False).returncode == 0

    def close(self) -> None:
        """Turn everything off and remove what was made."""
        self._made.close()

    def __enter__(self) -> NetHosts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
