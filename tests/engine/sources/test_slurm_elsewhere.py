"""Slurm through a login node reached by SSH, as a user without rights; and Slurm with accounting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from spawn_tui.engine.observe import SawEnd, SawNothing, SawWithdrawn, SourceRefused
from spawn_tui.engine.remote.host import LocalHost
from spawn_tui.engine.remote.ssh_host import SshHost, SshTarget
from spawn_tui.engine.sources import queue, threaded
from spawn_tui.engine.sources.base import SourceContext
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.engine.sources.slurm import SlurmSource

from tests.engine.test_command import NASTY
from tests.parts.need import need
from tests.parts.queue_place import Place
from tests.parts.slurm import Slurm, no_slurm
from tests.parts.sshd import Sshd, no_sshd
from tests.parts.users import no_users
from tests.parts.waiting import wait_until

MARK = 'echo "$SWEEP_TASK_DIR" >>"$HOME/ran"; '


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    need(no_slurm())
    with Slurm(2, 8) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def login(slurm: Slurm) -> Iterator[Sshd]:
    """A login node: its user finds the cluster, and prints a greeting nobody asked for."""
    need(no_sshd() or no_users())
    with Sshd(alias="login", shell="bash", options={"SetEnv": f"SLURM_CONF={slurm.conf}"}) as server:
        assert server.account is not None
        server.account.write(".bashrc", "echo welcome to the cluster\n")
        yield server


@pytest.fixture
def far(slurm: Slurm, login: Sshd, tmp_path: Path) -> Iterator[Place]:
    """A place whose attempts are in the home of the login node's user."""
    assert login.account is not None
    sweep = f"sweep-20260102-{abs(hash(str(tmp_path))) % 0xFFFFFF:06x}"
    folder = login.account.home / ".spawn" / "runs" / sweep

    def source(context: SourceContext) -> SlurmSource:
        spec = SourceSpec(
            "hpc", "slurm", 4, {"host": "login", "poll_interval": "0.3", "verify": "no", "project_dir": "/"}
        )
        return SlurmSource(spec, context, SshHost(SshTarget("login", home=login.home.path)))

    place = Place(tmp_path / "one", source, sweep, attempts=folder / "attempts")
    yield place
    place.source.close()
    slurm.run("scancel", "--batch", "--signal=KILL", "-u", login.user, check=False)
    slurm.run("scancel", "-u", login.user, check=False)
    wait_until(lambda: not slurm.queue(), "an empty queue")
    (login.account.home / "ran").unlink(missing_ok=True)
    assert not place.repeated


def runs(login: Sshd) -> list[str]:
    assert login.account is not None
    return sorted(Path(line).name for line in (login.account.home / "ran").read_text().splitlines())


def test_a_sweep_runs_through_the_login_node(far: Place, login: Sshd):
    jobs = far.launch(far.shell(MARK + "id -un", 40), limit=8)
    far.end_all(jobs)
    assert len(far.completed(jobs)) == 40
    assert runs(login) == sorted(job.directory.name for job in jobs)
    assert (far.directory(jobs[0]) / "stdout.log").read_text().strip() == login.user
    assert far.source.scheduler.calls["sbatch"] == 1
    assert not far.source.at_home
    copies = list((far.root / "scripts" / "job_scripts").glob("*.sh"))
    assert len(copies) == 1
    assert copies[0].stat().st_mode & 0o777 == 0o600


def test_values_arrive_byte_for_byte(far: Place):
    dump = 'printf %s "$1" >"$SWEEP_TASK_DIR/argv"; printf %s "$PARAM_x" >"$SWEEP_TASK_DIR/env"'
    jobs = far.launch([far.job("sh", "-c", dump, "sh", value, PARAM_x=value) for value in NASTY])
    far.end_all(jobs)
    for job, value in zip(jobs, NASTY, strict=True):
        wanted = value.encode(errors="surrogateescape")
        assert (far.directory(job) / "argv").read_bytes() == wanted
        assert (far.directory(job) / "env").read_bytes() == wanted


def test_a_connection_that_drops_loses_nothing(far: Place, login: Sshd, monkeypatch):
    monkeypatch.setattr(threaded, "LAST_PAUSE", 1.0)
    jobs = far.launch(far.shell(MARK + "sleep 1", 16), limit=4)
    far.wait_running(jobs[0])
    for _ in range(3):
        login.drop()
        done = len(far.ends)
        far.wait(lambda done=done: len(far.ends) > done, "the next end")
    far.end_all(jobs)
    assert len(far.completed(jobs)) == 16
    assert len(runs(login)) == 16
    assert far.source.scheduler.calls["sbatch"] == 1


def test_what_runs_there_is_ended_there(far: Place, slurm: Slurm):
    jobs = far.launch(far.shell("sleep 60", 4), limit=2)
    far.wait_running(*jobs[:2])
    far.source.withdraw([jobs[3].ref])
    far.source.cancel([job.ref for job in jobs[:3]], force=False)
    far.end_all(jobs)
    assert [type(far.ends[job.ref]) for job in jobs] == [SawEnd, SawEnd, SawNothing, SawWithdrawn]
    assert not slurm.queue()


@pytest.fixture(scope="module")
def accounted() -> Iterator[Slurm]:
    need(no_slurm(accounting=True))
    with Slurm(1, 8, accounting=True, settings={"MinJobAge": "2"}) as cluster:
        cluster.sacctmgr("add", "account", "good", "description=x", "organization=x")
        cluster.sacctmgr("add", "user", "root", "account=good")
        yield cluster


def at(cluster: Slurm, tmp_path: Path, **options: str) -> Place:
    def source(context: SourceContext) -> SlurmSource:
        spec = SourceSpec("slurm", "slurm", 4, {"poll_interval": "0.3", **options})
        return SlurmSource(spec, context, LocalHost("slurm", environment=cluster.environment()))

    return Place(tmp_path / "one", source, f"sweep-20260102-{abs(hash(str(tmp_path))) % 0xFFFFFF:06x}")


@pytest.mark.parametrize(
    ("options", "cause", "remedy"),
    [
        ({"account": "nosuch"}, "Invalid account", "`account`"),
        ({"qos": "nosuch"}, "qos", "`qos`"),
    ],
)
def test_a_bad_account_is_told(
    accounted: Slurm, tmp_path: Path, options: dict[str, str], cause: str, remedy: str
):
    here = at(accounted, tmp_path, **options)
    jobs = here.launch(here.shell("exit 0", 2))
    here.end_all(jobs)
    reason = str(here.told(SourceRefused)[-1])
    assert cause in reason
    assert remedy in reason
    here.source.close()


def test_what_the_queue_forgot_is_found_in_the_records(accounted: Slurm, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(queue.Doubt, "BEGIN", 1.0)
    here = at(accounted, tmp_path, account="good")
    running, waiting = here.launch(here.shell("sleep 60", 2), limit=1)
    here.wait_running(running)
    job = here.source._live[running.ref].at.job
    here.source.close()
    accounted.run("scancel", job)
    wait_until(lambda: not accounted.run("squeue", "-h", "-t", "all"), "that the queue forgets", limit=60)
    here.restart()
    here.adopt([running, waiting], running=[running])
    here.end_all([running, waiting])
    end, never = here.ends[running.ref], here.ends[waiting.ref]
    assert isinstance(end, SawEnd)
    assert "cancelled in Slurm by root" in end.message
    assert isinstance(never, SawNothing)
    assert "cancelled in Slurm" in never.message
    assert not never.source_fault
    assert here.source.scheduler.calls["sacct"] <= 4
    here.source.close()


def test_a_limit_on_submissions_is_told_and_not_the_end_of_the_source(accounted: Slurm, tmp_path: Path):
    accounted.sacctmgr("modify", "user", "root", "set", "MaxSubmitJobs=5")
    here = at(accounted, tmp_path, account="good")
    few, many = here.shell("exit 0", 5), here.shell("exit 0", 20, batch="b2")
    try:
        here.launch(many)
        here.end_all(many)
        assert all("AssocMaxSubmitJobLimit" in getattr(here.ends[job.ref], "message", "") for job in many)
        assert not here.told(SourceRefused)
        here.launch(few)
        here.end_all(few)
        assert len(here.completed(few)) == 5
    finally:
        here.source.close()
        accounted.sacctmgr("modify", "user", "root", "set", "MaxSubmitJobs=-1")
