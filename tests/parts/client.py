"""The client's side of SSH in a test: a home directory with a key, a config file and known hosts, and nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .need import program


def make_key(path: Path, *, passphrase: str = "", kind: str = "ed25519") -> str:
    """Make a key pair at `path`; returns the public half as one line."""
    keygen = program("ssh-keygen")
    assert keygen is not None
    path.unlink(missing_ok=True)
    subprocess.run(
        [keygen, "-q", "-t", kind, "-N", passphrase, "-C", "spawn-test", "-f", path], check=True, timeout=30
    )
    return path.with_name(path.name + ".pub").read_text().strip()


class ClientHome:
    """A home directory whose `.ssh` leads to the servers of a test under the aliases they are given here.

    Several servers may be put into one home, so that a process with `HOME` set to it reaches them all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ssh = path / ".ssh"
        self.ssh.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.key = self.ssh / "id_ed25519"
        self.config = self.ssh / "config"
        self.known_hosts = self.ssh / "known_hosts"
        public = self.key.with_suffix(".pub")
        self.public = public.read_text().strip() if public.exists() else make_key(self.key)

    def add(
        self, alias: str, *, address: str, port: int, user: str, options: Mapping[str, str] | None = None
    ) -> None:
        """Write how `alias` is reached into the config file."""
        lines = [f"Host {alias}", f"  HostName {address}", f"  Port {port}", f"  User {user}"]
        lines += [
            f"  IdentityFile {self.key}",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {self.known_hosts}",
        ]
        lines += [f"  {key} {value}" for key, value in (options or {}).items()]
        with self.config.open("a") as file:
            file.write("\n".join(lines) + "\n")
        self.config.chmod(0o600)

    def know(self, address: str, port: int, public: str) -> None:
        """Write a server's public key into known_hosts."""
        name = address if port == 22 else f"[{address}]:{port}"
        kind, key = public.split()[:2]
        with self.known_hosts.open("a") as file:
            file.write(f"{name} {kind} {key}\n")

    def environment(self) -> dict[str, str]:
        """The environment for a program that shall see this home, and no agent of the user's."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("SSH_AUTH_SOCK", "SSH_AGENT_PID")
        }
        return {**kept, "HOME": str(self.path)}

    def openssh(self, alias: str, command: str) -> list[str]:
        """The command line of OpenSSH's own client for this home (it takes the home from the password file)."""
        ssh = program("ssh")
        assert ssh is not None
        return [ssh, "-F", str(self.config), "-o", "BatchMode=yes", alias, command]
