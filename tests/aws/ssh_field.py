"""Instances that the emulator holds, each at the address of a real host, with `/var/lib` and sudo of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from spawn_tui.engine.aws.fleet import Fleet
from spawn_tui.engine.aws.model import Instance

from ..parts.netns import NetHosts
from ..parts.waiting import wait_until

OLD = 1_790_000_000
"""When the files of attempts were written, unless a test says otherwise."""
_PASSES = '#!/bin/sh\n[ "$1" = -n ] && shift || exit 9\nexec /usr/local/bin/as-root "$@"\n'
_REFUSES = "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n"


class Machines:
    """The hosts of `hosts`, whose user is not root and may become it by sudo."""

    def __init__(self, hosts: NetHosts) -> None:
        self.hosts = hosts
        for number in hosts.numbers:
            for name in ("lib", "bin"):
                folder = self._folder(number) / name
                folder.mkdir()
                folder.chmod(0o750)
                os.chown(folder, 0, hosts.account.gid)
            (self._folder(number) / "lib").chmod(0o755)
            root = self._folder(number) / "bin" / "as-root"
            shutil.copy("/usr/bin/env", root)
            root.chmod(0o4755)  # only this user can get at it: the folder is its group's
            self.sudo(number, _PASSES)
            self.mount(number)

    def mount(self, number: int) -> None:
        """Also after it was turned on again."""
        for name, place in (("lib", "/var/lib"), ("bin", "/usr/local/bin")):
            self.hosts.execute(number, "mount", "--bind", str(self._folder(number) / name), place)

    def _folder(self, number: int) -> Path:
        return self.hosts.directory / f"host{number}"

    def sudo(self, number: int, script: str | None) -> None:
        """What sudo is there; None: none."""
        path = self._folder(number) / "bin" / "sudo"
        if script is None:
            path.unlink()
            return
        path.write_text(script)
        path.chmod(0o755)

    def sudo_refuses(self, number: int) -> None:
        self.sudo(number, _REFUSES)

    def attempt(self, number: int, name: str, files: Mapping[str | bytes, bytes]) -> Path:
        """An attempt's directory as its instance has it: root's, and nobody else reads in it."""
        spawn = self._folder(number) / "lib" / "spawn"
        directory = spawn / "attempts" / name
        directory.mkdir(parents=True, exist_ok=True)
        for folder in (spawn, spawn / "attempts"):
            folder.chmod(0o711)
        directory.chmod(0o700)
        for path, content in files.items():
            self.write(directory, path, content)
        return directory

    def write(self, directory: Path, path: str | bytes, content: bytes, at: int = OLD) -> None:
        whole = os.path.join(os.fsencode(directory), os.fsencode(path))
        os.makedirs(os.path.dirname(whole), mode=0o700, exist_ok=True)
        with open(whole, "wb") as file:
            file.write(content)
        os.chmod(whole, 0o600)
        os.utime(whole, (at, at))

    def server_dies(self, number: int) -> None:
        """Its SSH server and all connections."""
        self.hosts.kill_sshd(number)

    def server_is_back(self, number: int) -> None:
        self.hosts.start_sshd(number)

    def new_key(self, number: int) -> None:
        """As if another machine had its address."""
        from ..parts.client import make_key

        self.hosts.kill_sshd(number)
        make_key(self._folder(number) / "host_key")
        self.hosts.start_sshd(number)

    def nothing_is_left(self, number: int) -> None:
        """Whoever logged in has gone, and the servers that read for them."""
        wait_until(lambda: not self.hosts.processes(number), "the end of SFTP servers")

    def are(self, monkeypatch: pytest.MonkeyPatch, numbers: Mapping[str, int]) -> None:
        """Let EC2 say that these instances (by id) have the addresses of these hosts."""
        told = Fleet.instances

        def instances(fleet: Fleet, sweep_id: str) -> list[Instance]:
            from dataclasses import replace

            return [
                replace(one, public_ip=self.hosts.address(numbers[one.id])) if one.id in numbers else one
                for one in told(fleet, sweep_id)
            ]

        monkeypatch.setattr(Fleet, "instances", instances)
