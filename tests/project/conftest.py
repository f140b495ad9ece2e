"""A far machine behind real sshd, with a clean user whose login shell is the plainest."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from spawn_tui.engine.remote.host import LocalHost
from spawn_tui.engine.remote.ssh_host import SshHost, SshTarget

from tests.parts.need import missing, need
from tests.parts.sshd import Sshd
from tests.parts.users import no_users

PLAIN_TOOLS = (
    "sh", "bash", "dash", "mkdir", "cat", "tar", "gzip", "mv", "cp", "rm", "rmdir", "find", "date", "id", "uname", "df",
    "tail", "sed", "grep", "readlink", "sha256sum", "setsid", "stat", "wc", "mktemp", "true", "ls", "awk",
)  # fmt: skip
"""What a machine without git, rsync and python has."""


@dataclass
class Far:
    """The machine, and its user's home as seen from here."""

    server: Sshd
    host: SshHost
    home: Path

    @property
    def options(self) -> dict[str, str]:
        return {"host": self.server.alias}

    def own(self, path: Path) -> Path:
        """Give what was written there from here to its user."""
        account = self.server.account
        assert account is not None
        subprocess.run(["chown", "-hR", f"{account.uid}:{account.gid}", str(path)], check=True)
        return path

    def copy(self, source: Path, name: str = "copy") -> Path:
        """A copy of `source` there, as somebody would have brought it."""
        target = self.home / name
        shutil.copytree(source, target, symlinks=True)
        return self.own(target)


def _far(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Far:
    assert server.account is not None
    monkeypatch.setenv("HOME", str(server.home.path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Far(server, SshHost(SshTarget(server.alias)), server.account.home)


@pytest.fixture
def far(new_sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """A machine with git and rsync."""
    need(no_users() or missing({"git": "git", "rsync": "rsync"}))
    machine = _far(new_sshd(), monkeypatch)
    yield machine
    machine.host.close()


@pytest.fixture
def plain_far(new_sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """A machine without git and rsync."""
    need(no_users())
    with tempfile.TemporaryDirectory(prefix="spawn-plain-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        for tool in PLAIN_TOOLS:
            where = shutil.which(tool)
            if where is not None:
                (Path(folder) / tool).symlink_to(where)
        machine = _far(new_sshd(options={"SetEnv": f"PATH={folder}"}), monkeypatch)
        yield machine
        machine.host.close()


@pytest.fixture
def near(tmp_path: Path) -> LocalHost:
    """This machine with another home, for what needs no network."""
    home = tmp_path / "far-home"
    home.mkdir()
    return LocalHost("near", environment={**os.environ, "HOME": str(home)})
