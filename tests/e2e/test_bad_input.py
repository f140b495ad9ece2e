"""Sources that cannot be used, over the real command line: what is wrong is said in words, and nothing hangs.

Each alone, where the sweep fails and exits 3, and beside a good `local:1`, where it completes and exits 0. Either way
standard error, `status`, `errors` and the failed-launches pane name the source, the cause and the remedy.
"""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.parts import netns
from tests.parts.client import ClientHome, make_key
from tests.parts.guard import guard
from tests.parts.need import need
from tests.parts.netns import NetHosts
from tests.parts.pbs import Pbs
from tests.parts.slurm import Slurm, no_slurm
from tests.parts.sshd import Sshd, no_sshd

from .field import Done, Field, path_without, wait_until

pytestmark = [pytest.mark.parts, pytest.mark.timeout(200)]

TASKS = 6
HEALTH = {"grace": "1s", "cooldown": "1s"}
LINES = 9
"""What a sweep that fails says on standard error, at most: a few lines, however many tasks it has."""


@dataclass(frozen=True)
class Bad:
    """`entry`: the source `far` in spawn.yaml; `home` and `environment`: of the user."""

    home: ClientHome
    entry: Mapping[str, object]
    environment: Mapping[str, str] = field(default_factory=dict)


class World:
    """The parts, each started when it is first needed, and what can be wrong with each."""

    def __init__(self, base: Path, parts: contextlib.ExitStack) -> None:
        self.base, self.parts = base, parts
        # Other users must come in, whom pytest's own directories keep out.
        self.programs = Path(tempfile.mkdtemp(prefix="spawn-path-"))
        parts.callback(guard.undo, guard.note("tree", str(self.programs)))
        self.programs.chmod(0o755)
        self.broken = contextlib.ExitStack()
        """What one test breaks, and how it is mended."""
        self.homes = 0

    def new_home(self) -> ClientHome:
        self.homes += 1
        return ClientHome(self.base / f"home{self.homes}")

    # --- parts -----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def sshd(self) -> Sshd:
        need(no_sshd())
        return self.parts.enter_context(Sshd())

    @functools.cached_property
    def hosts(self) -> NetHosts:
        need(netns.available())
        return self.parts.enter_context(NetHosts(1, client_options={"ConnectTimeout": "2"}))

    @functools.cached_property
    def slurm(self) -> Slurm:
        need(no_slurm(accounting=True))
        cluster = self.parts.enter_context(Slurm(1, 8, accounting=True, settings={"MaxArraySize": "11"}))
        cluster.sacctmgr("add", "account", "good", "description=x", "organization=x")
        cluster.sacctmgr("add", "user", "root", "account=good")
        return cluster

    @functools.cached_property
    def pbs(self) -> Pbs:
        return self.parts.enter_context(Pbs())

    @functools.cached_property
    def bare(self) -> str:
        """A PATH without a scheduler."""
        commands = (
            "sbatch",
            "srun",
            "squeue",
            "scancel",
            "scontrol",
            "sacct",
            "sinfo",
            "qsub",
            "qstat",
            "qdel",
        )
        return path_without(self.programs / "bare", *commands)

    # --- the way there -----------------------------------------------------------------------------------------------

    def _ssh(self, home: ClientHome | None = None, **options: object) -> Bad:
        return Bad(home or self.new_home(), {"type": "ssh", "host": "server1", "project_dir": "/", **options})

    def _knowing(self, key: str) -> ClientHome:
        """A home that leads to the server, and knows it by this key; its own key is not known there."""
        home = self.new_home()
        home.add("server1", address=self.sshd.address, port=self.sshd.port, user=self.sshd.user)
        if key:
            home.know(self.sshd.address, self.sshd.port, key)
        return home

    def unknown_host(self) -> Bad:
        return self._ssh(host="nosuch.invalid")

    def refused_port(self) -> Bad:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return self._ssh(host="127.0.0.1", port=probe.getsockname()[1])

    def filtered_port(self) -> Bad:
        self.hosts.filter(1)
        self.broken.callback(self.hosts.unfilter, 1)
        return self._ssh(self.hosts.home, host="h1")

    def unknown_key(self) -> Bad:
        return self._ssh(self._knowing(""))

    def changed_key(self) -> Bad:
        return self._ssh(self._knowing(make_key(self.base / "another_host_key")))

    def key_not_taken(self) -> Bad:
        return self._ssh(self._knowing(self.sshd.host_key))

    def locked_key(self) -> Bad:
        home = self._knowing(self.sshd.host_key)
        make_key(home.key, passphrase="open sesame")
        return self._ssh(home)

    def password(self) -> Bad:
        options = {"PubkeyAuthentication": "no", "PasswordAuthentication": "yes"}
        return self._ssh(self.parts.enter_context(Sshd(options=options)).home)

    # --- the machine there -------------------------------------------------------------------------------------------

    def _mounted(self, name: str, options: str) -> Bad:
        """Attempts go to a file system of its own on the host."""
        folder = f"{self.hosts.account.home}/{name}"
        self.hosts.execute(1, "mkdir", "-p", folder)
        self.hosts.execute(1, "mount", "-t", "tmpfs", "-o", options, "none", folder)
        return self._ssh(self.hosts.home, host="h1", remote_root=f"{folder}/runs")

    def full_disk(self) -> Bad:
        return self._mounted("full", "size=4k,mode=1777")

    def small_disk(self) -> Bad:
        bad = self._mounted("small", "size=200k,mode=1777")
        return Bad(bad.home, {key: value for key, value in bad.entry.items() if key != "project_dir"})

    def read_only(self) -> Bad:
        return self._mounted("read_only", "ro")

    def not_ours(self) -> Bad:
        return self._ssh(self.hosts.home, host="h1", remote_root="/usr/runs")

    def root_is_a_file(self) -> Bad:
        return self._ssh(self.hosts.home, host="h1", remote_root="/etc/passwd")

    def _without(self, program: str) -> Bad:
        path = path_without(self.programs / f"without_{program}", program)
        return self._ssh(self.parts.enter_context(Sshd(options={"SetEnv": f"PATH={path}"})).home)

    def no_setsid(self) -> Bad:
        return self._without("setsid")

    def no_tar(self) -> Bad:
        return self._without("tar")

    # --- schedulers --------------------------------------------------------------------------------------------------

    def no_sbatch(self) -> Bad:
        return Bad(self.new_home(), {"type": "slurm"}, {"PATH": self.bare})

    def no_configuration(self) -> Bad:
        need(no_slurm())
        return Bad(self.new_home(), {"type": "slurm"}, {"SLURM_CONF": "/nowhere/slurm.conf"})

    def _slurm(self, **options: object) -> Bad:
        return Bad(
            self.new_home(), {"type": "slurm", "poll_interval": 0.3, **options}, self.slurm.environment()
        )

    def partition(self) -> Bad:
        return self._slurm(partition="nosuch")

    def account(self) -> Bad:
        return self._slurm(account="nosuch")

    def memory(self) -> Bad:
        return self._slurm(mem="900G")

    def directive(self) -> Bad:
        return self._slurm(extra=["--nosuch"])

    def controller_down(self) -> Bad:
        self.slurm.stop_controller()
        self.broken.callback(self.slurm.start_controller)
        return self._slurm()

    def no_qsub(self) -> Bad:
        return Bad(self.new_home(), {"type": "pbs"}, {"PATH": self.bare})

    def _pbs(self, **options: object) -> Bad:
        return Bad(self.new_home(), {"type": "pbs", "poll_interval": 0.3, **options}, self.pbs.environment())

    def queue(self) -> Bad:
        return self._pbs(queue="nosuch")

    def resource(self) -> Bad:
        return self._pbs(extra=["-l nosuch=1"])

    def server_down(self) -> Bad:
        self.pbs.server_down()
        self.broken.callback(self.pbs.server_up)
        return self._pbs()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield World(tmp_path_factory.mktemp("world"), stack)


@pytest.fixture
def world(parts: World) -> Iterator[World]:
    """What a test breaks is mended when it ends."""
    with contextlib.ExitStack() as broken:
        parts.broken = broken
        yield parts


@dataclass(frozen=True)
class Case:
    """`cause` and `remedy`: what must be said, as patterns. `condition`: what the source is called then."""

    make: Callable[[World], Bad]
    cause: str
    remedy: str
    condition: str = "disabled"
    before: bool = False
    """Whether a launch that compares the project finds it out before there is a sweep."""


CASES = [
    Case(World.unknown_host, "Could not resolve hostname nosuch.invalid", "spelt right", "unreachable", True),
    Case(World.refused_port, "Connection refused", "port right", "unreachable", True),
    Case(World.filtered_port, "timed out after 2 s", "port 22 open", "unreachable", True),
    Case(World.unknown_key, "host key is unknown: ssh-ed25519 SHA256:", "--accept-new-host-key", before=True),
    Case(World.changed_key, "host key has CHANGED", "ssh-keygen -R .* -f .*known_hosts", before=True),
    Case(
        World.key_not_taken,
        "Permission denied .publickey.; tried .*id_ed25519",
        "ssh-copy-id server1",
        before=True,
    ),
    Case(World.locked_key, "id_ed25519 is locked by a passphrase", "`ssh-add .*id_ed25519`", before=True),
    Case(World.password, "only password", "Have PubkeyAuthentication allowed", before=True),
    Case(World.full_disk, "No space left on device", "make room there, or set remote_root"),
    Case(World.read_only, "Read-only file system", "set remote_root"),
    Case(World.not_ours, "/usr/runs.*Permission denied", "set remote_root"),
    Case(World.root_is_a_file, "/etc/passwd.*Not a directory", "set remote_root"),
    Case(World.no_setsid, "no setsid on the PATH", "install it there"),
    Case(World.no_tar, "no tar on the PATH", "install it there"),
    Case(World.no_sbatch, "sbatch: not found", "`host:` in spawn.yaml"),
    Case(World.no_configuration, "finds no configuration", "set SLURM_CONF"),
    Case(World.partition, "[Ii]nvalid partition.*nosuch", "set `partition` in spawn.yaml"),
    Case(World.account, "Invalid account", "set `account` in spawn.yaml"),
    Case(World.memory, "Memory specification can not be satisfied", "less `mem` in spawn.yaml"),
    Case(World.directive, "unrecognized option '--nosuch'", "check `extra` in spawn.yaml"),
    Case(World.controller_down, "Unable to contact slurm controller", "", "unreachable"),
    Case(World.no_qsub, "no qsub and no qstat", "`host` in spawn.yaml"),
    Case(World.queue, "Unknown queue", "set `queue` in spawn.yaml"),
    Case(World.resource, "Unknown resource Resource_List.nosuch", "`extra` in spawn.yaml"),
    Case(World.server_down, "cannot connect to server", "", "unreachable"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.make.__name__)
def test_a_source_that_cannot_be_used(case: Case, world: World, tmp_path: Path) -> None:
    bad = case.make(world)
    field = Field(tmp_path, bad.environment, home=bad.home)
    field.write("sweep.yaml", f"grid: {{i: {list(range(TASKS))}}}\ncommand: echo {{i}}\n")
    field.configure(sources={"far": bad.entry}, health=HEALTH)
    if case.before:
        refused = field.launch("far:2")
        assert refused.status == 3, refused
        _told(refused.err, case, refused)
        assert refused.err.startswith("spawn-tui: no source can be used\nfar: "), refused
        assert not field.roots, "a sweep was made though nothing can run"

    alone = field.launch("far:2", "--no-verify-sync")
    assert alone.status == 3, alone
    _told(alone.err, case, alone)
    assert len(alone.err.splitlines()) <= LINES, alone
    assert len(re.findall(case.cause, alone.err)) <= 4, alone
    plain = field.run("status", "latest")
    _told(plain.out, case, plain)
    _sees(field, case, "failed")
    reason = field.sweep().reason
    assert f"far is {case.condition}" in reason, reason
    _told(reason, case, alone)
    field.forget()

    beside = field.launch("local:1,far:2", *([] if case.before else ["--no-verify-sync"]))
    assert beside.status == 0, beside
    _told(beside.err, case, beside)
    assert len(beside.err.splitlines()) <= LINES, beside
    _sees(field, case, "completed")
    assert {task.attempt.source for task in field.sweep().tasks if task.attempt} == {"local"}


def _told(text: str, case: Case, done: Done) -> None:
    """Whether this says source, cause and remedy, in words."""
    assert re.search(r"\bfar\b", text), done
    assert re.search(case.cause, text), done
    assert re.search(case.remedy, text), done
    assert "Traceback" not in text and "Error(" not in text, done


def _sees(field: Field, case: Case, status: str) -> None:
    """What whoever looks at the sweep afterwards sees."""
    found: dict[str, Any] = field.status()
    assert found["status"] == status
    far = next(source for source in found["sources"] if source["name"] == "far")
    assert far["health"] == case.condition
    assert (far["disabled_since"] if case.condition == "disabled" else far["unreachable_since"]) is not None
    assert re.search(case.cause, far["reason"])
    assert re.search(case.remedy, far["reason"])
    errors = field.run("errors", "latest")
    launch, source = errors.out.splitlines()
    assert re.match(r"far: launch failed for \d tasks?: ", launch), errors
    assert source.startswith(f"far: {case.condition} since"), errors
    for line in (launch, source):
        _told(line, case, errors)
    (group,) = field.launch_failures()
    assert group.source == "far"
    assert re.search(case.cause, group.message)
    assert re.search(case.remedy, group.message)


def test_a_disk_that_fills_up_under_a_task(world: World, tmp_path: Path) -> None:
    """Its runner waits for room to write how it ended; the work goes elsewhere, and somebody says why."""
    bad = world.small_disk()
    field = Field(tmp_path, home=bad.home)
    field.configure(sources={"far": bad.entry}, health=HEALTH)
    field.write("sweep.yaml", "params: [{i: 1}, {i: 2}]\ncommand: sh fill.sh\n")
    field.write("fill.sh", 'head -c 1000000 /dev/zero >"$SWEEP_TASK_DIR/fill" 2>/dev/null || :\n')
    field.copy_to(world.hosts.home_of(1), world.hosts.account.uid, world.hosts.account.gid)
    done = field.launch("local:1,far:1", "--no-verify-sync")
    assert done.status == 0, done
    assert "it has ended on far, and its exit status cannot be written; is the disk full" in done.err, done
    assert {task.attempt.source for task in field.sweep().tasks if task.attempt} == {"local"}
    wait_until(lambda: not world.hosts.processes(1), "the runner to end that waits for room")


@pytest.mark.parametrize("walltime", ["garbage", "4", "-1:00:00", "00:00:00"])
def test_a_walltime_that_is_none(walltime: str, tmp_path: Path) -> None:
    field = Field(tmp_path)
    field.write("sweep.yaml", "params: [{i: 1}]\ncommand: echo {i}\n")
    field.configure(sources={"far": {"type": "slurm", "walltime": walltime}})
    for sources in ("far", "local:1,far:2"):
        done = field.launch(sources)
        assert done.status == 2, done
        assert re.search(
            rf'spawn.yaml:\d+: sources.far.walltime: "{walltime}" .*write it like 04:00:00', done.err
        ), done
        assert not field.roots


def test_a_cluster_of_which_nobody_can_tell_what_it_is(world: World, tmp_path: Path) -> None:
    field = Field(tmp_path, {"PATH": world.bare})
    field.write("sweep.yaml", f"grid: {{i: {list(range(TASKS))}}}\ncommand: echo {{i}}\n")
    words = "source hpc: neither Slurm (sbatch) nor PBS (qsub) is on the PATH of this machine; name the login node"
    alone = field.launch("hpc:2")
    assert alone.status == 3, alone
    assert words in alone.err and not field.roots, alone
    beside = field.launch("local:1,hpc:2")
    assert beside.status == 0, beside
    assert f"warning: {words}" in beside.err, beside
    assert [source["health"] for source in field.status()["sources"]] == ["", "disabled"]


def test_a_cluster_with_an_array_limit_of_ten_runs_more_in_pieces(world: World, tmp_path: Path) -> None:
    field = Field(tmp_path, world.slurm.environment())
    field.write("sweep.yaml", f"grid: {{i: {list(range(25))}}}\ncommand: echo {{i}}\n")
    field.configure(sources={"far": {"type": "slurm", "poll_interval": 0.3}}, health=HEALTH)
    done = field.launch("far:8")
    assert done.status == 0, done
    sweep = field.sweep()
    assert all(len(task.attempts) == 1 for task in sweep.tasks), "an array was refused before it was cut"
    lists = [path.read_text().split() for path in (field.root / "scripts" / "batches").iterdir()]
    assert len(lists) >= 3
    assert max(map(len, lists)) <= 11, "indices run to MaxArraySize - 1, that is 10"
    for index in range(25):
        assert (field.root / "tasks" / f"task_{index + 1:03d}" / "stdout.log").read_text() == f"{index}\n"
