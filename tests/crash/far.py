"""Places of the crash suite that are not this process's own: behind a real sshd, on a real Slurm, on the PBS stand-in.

All of them are this machine, so that what lives there is seen here, by its token.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from spawn_tui.engine.remote.host import LocalHost
from spawn_tui.engine.remote.hosts import host_of
from spawn_tui.engine.sources import pbs, queue, queue_ends, slurm, ssh, threaded
from spawn_tui.engine.sources.base import Source, SourceContext
from spawn_tui.engine.sources.registry import SourceSpec

from tests.parts.pbs import Pbs
from tests.parts.slurm import Slurm
from tests.parts.sshd import Sshd

from .far_faults import Wrap

SLOTS = 3
DOUBT = 1.0
"""Seconds after which what was launched and shows no sign of life is launched again: less than would be wise."""
QUICK_OPTIONS = {"kill_after": "0.5", "poll_interval": "0.1", "collect_interval": "0.05", "verify": "no"}


@dataclass(frozen=True)
class Far:
    """One place: `spec` names it, `make` makes its source in an engine, `queue` lists the jobs that are left there.

    `effects`: a directory that tasks can write to. `root`: where sweeps live there; None: in their directory at home.
    """

    spec: SourceSpec
    make: Callable[[SourceSpec, SourceContext, Wrap], Source]
    effects: Path
    queue: Callable[[], list[str]] = list
    root: Path | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def prepare(self) -> None:
        """In the process of an engine: its environment, and waits as short as tests want them."""
        os.environ.update(self.environment)
        ssh.DOUBT = queue_ends.Doubt.BEGIN = DOUBT  # type: ignore[misc]
        threaded.FIRST_PAUSE = 0.1  # type: ignore[misc]
        queue.QUICK = queue.STOPPING = 0.1  # type: ignore[misc]


def ssh_place(server: Sshd) -> Far:
    assert server.account is not None
    effects = server.account.home / "effects"
    effects.mkdir()
    os.chown(effects, server.account.uid, server.account.gid)
    root = server.account.home / "runs"
    options = {**QUICK_OPTIONS, "host": server.alias, "remote_root": str(root), "project_dir": "/"}

    def make(spec: SourceSpec, context: SourceContext, wrap: Wrap) -> Source:
        return ssh.SshSource(spec, context, wrap(lambda: host_of(spec.name, spec.options)))

    spec = SourceSpec("server1", "ssh", SLOTS, options)
    return Far(spec, make, effects, root=root, environment={"HOME": str(server.home.path)})


def slurm_place(cluster: Slurm, base: Path) -> Far:
    """On the login node itself: attempts live in the sweep's own directory."""
    there = cluster.environment()

    def make(spec: SourceSpec, context: SourceContext, wrap: Wrap) -> Source:
        return slurm.SlurmSource(spec, context, wrap(lambda: LocalHost("slurm", environment=there)))

    return Far(SourceSpec("slurm", "slurm", SLOTS, QUICK_OPTIONS), make, base, cluster.queue)


def pbs_place(server: Pbs, base: Path) -> Far:
    """As if through a login node: attempts live elsewhere, and their files are brought home."""
    there, root = server.environment(), base / "runs"
    options = {**QUICK_OPTIONS, "host": "login", "remote_root": str(root), "project_dir": "/"}

    def make(spec: SourceSpec, context: SourceContext, wrap: Wrap) -> Source:
        return pbs.PbsSource(spec, context, wrap(lambda: LocalHost("login", environment=there)))

    def left() -> list[str]:
        return [f"{job} {state}" for job, state in server.states().items() if state not in ("F", "X")]

    return Far(SourceSpec("pbs", "pbs", SLOTS, options), make, base, left, root)
