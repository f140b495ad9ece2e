"""Which scheduler `hpc` turns out to be, here and on a host that is asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from spawn_tui.engine.config.cluster import prepare_sources, resolve_here, resolve_hpc
from spawn_tui.engine.remote.host import Host, HostAway, LocalHost
from spawn_tui.engine.sources.registry import SourceError, SourceSpec

HPC = SourceSpec("hpc", "hpc", 16, {"partition": "long", "cpus": "4"})


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A PATH with a shell and nothing else; what is put into it is all a machine has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\nexit 0\n")
    (folder / name).chmod(0o755)


class Login(LocalHost):
    """This machine with the PATH of the test, as a login node that says good morning first."""

    def run(self, command, data=b"", *, limit, into=None):
        answer = super().run(command, data, limit=limit, into=into)
        return type(answer)(answer.status, b"Welcome! sbatch and qsub for all\n" + answer.out, answer.err)


def asked(spec: SourceSpec = HPC) -> SourceSpec:
    return resolve_hpc(spec, Login("login", environment=dict(os.environ)))


@pytest.mark.parametrize("resolve", [resolve_here, asked])
def test_slurm_and_pbs_are_told_by_their_commands(path: Path, resolve):
    with pytest.raises(SourceError, match=r"neither Slurm \(sbatch\) nor PBS \(qsub\)"):
        resolve(HPC)
    program(path, "qsub")
    assert resolve(HPC) == SourceSpec("hpc", "pbs", 16, {"queue": "long", "cpus": "4"})
    program(path, "sbatch")  # Slurm brings a qsub of its own along
    assert resolve(HPC) == SourceSpec("hpc", "slurm", 16, {"partition": "long", "cpus": "4"})


def test_the_host_is_asked_if_there_is_one_and_let_go(path: Path):
    closed: list[str] = []

    class Remembering(Login):
        def close(self) -> None:
            closed.append(self.name)

    def connect(name: str, options: Mapping[str, str]) -> Host:
        return Remembering(options["host"], environment=dict(os.environ))

    remote = SourceSpec("cluster", "hpc", 4, {"host": "login"})
    with pytest.raises(SourceError, match="PATH of login"):
        prepare_sources([remote], connect)
    program(path, "sbatch")
    local = SourceSpec("local", "local", 1)
    assert [s.kind for s in prepare_sources([local, remote, HPC], connect)] == ["local", "slurm", "slurm"]
    assert closed == ["login", "login"]


def test_a_host_that_cannot_be_asked(path: Path):
    class Away(LocalHost):
        def run(self, command, data=b"", *, limit, into=None):
            raise HostAway("login: no route to host")

    with pytest.raises(SourceError, match="source hpc: login: no route to host"):
        resolve_hpc(HPC, Away("login"))
