"""The Slurm source on a real Slurm: controller, nodes and munge of its own, jobs that really run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from spawn_tui.engine.observe import SawEnd, SawHealth, SawNothing, SawWithdrawn, SourceRefused
from spawn_tui.engine.remote.host import HostAway, LocalHost
from spawn_tui.engine.sources import queue, threaded
from spawn_tui.engine.sources.base import Job, SourceContext
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.engine.sources.scheduler import Array
from spawn_tui.engine.sources.slurm import Slurm as Scheduler
from spawn_tui.engine.sources.slurm import SlurmSource
from spawn_tui.state.process import search

from tests.engine.test_command import NASTY
from tests.parts.need import need
from tests.parts.queue_place import Place
from tests.parts.slurm import Slurm, no_slurm

MARK = 'echo "$SWEEP_TASK_DIR" >>"$SWEEP_TASK_DIR/../../ran"; '
"""A line for each run of an attempt, wherever it ran and however often."""
AT_ONCE = 'cd "$SWEEP_TASK_DIR/../.."; : >"now.$$"; ls -d now.* | wc -l >>most; sleep 0.3; rm "now.$$"'
"""Takes down how many ran at the same time."""

Make = Callable[..., Place]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """For tests that leave it as they found it."""
    need(no_slurm())
    with Slurm(2, 8) as cluster:
        yield cluster


@pytest.fixture
def new_slurm() -> Iterator[Callable[..., Slurm]]:
    need(no_slurm())
    with ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(Slurm(*args, **settings))


@pytest.fixture
def place(slurm: Slurm, tmp_path: Path) -> Iterator[Make]:
    """Makes places on a cluster; what they launched is gone when the test ends, and nothing was told twice."""
    made: list[tuple[Place, Slurm]] = []

    def make(cluster: Slurm = slurm, *, slots: int = 4, name: str = "one", **options: str) -> Place:
        base = tmp_path / name
        base.mkdir()

        def source(context: SourceContext) -> SlurmSource:
            spec = SourceSpec("slurm", "slurm", slots, {"poll_interval": "0.3", **options})
            return SlurmSource(spec, context, LocalHost("slurm", environment=cluster.environment()))

        # Every test has a sweep of its own: names of jobs are made of its id.
        digits = f"{abs(hash(str(base))) % 0xFFFFFF:06x}"
        made.append((Place(base, source, f"sweep-20260102-{digits}"), cluster))
        return made[-1][0]

    yield make
    for one, cluster in made:
        one.source.close()
        if "slurmctld" in cluster._daemons:
            cluster.run("scancel", "--full", "--signal=KILL", "-u", "root", check=False)
            cluster.run("scancel", "-u", "root", check=False)
        assert not one.repeated, one.repeated


def calls(place: Place, command: str) -> int:
    return place.source.scheduler.calls.get(command, 0)


def runs(place: Place) -> list[str]:
    """The names of the attempts that were begun, one for each time."""
    file = place.root / "ran"
    return sorted(Path(line).name for line in file.read_text().splitlines()) if file.exists() else []


def most_at_once(place: Place) -> int:
    return max(int(line) for line in (place.root / "most").read_text().split())


def left(*jobs: Job) -> dict[str, dict[int, int]]:
    """Processes of these attempts that live."""
    return search("SWEEP_TOKEN", [job.token for job in jobs]).tagged


# --- launching -----------------------------------------------------------------------------------------------------


def test_two_hundred_tasks_are_one_sbatch(place: Make):
    here = place()
    jobs = here.launch(here.shell(MARK + "exit 0", 200), limit=16)
    here.end_all(jobs)
    assert len(here.completed(jobs)) == 200
    assert runs(here) == sorted(job.directory.name for job in jobs)
    assert calls(here, "sbatch") == 1
    assert calls(here, "sacct") == calls(here, "scancel") == 0


def test_no_more_run_than_may(place: Make):
    here = place()
    here.end_all(here.launch(here.shell(AT_ONCE, 12), limit=3))
    assert most_at_once(here) == 3


def test_a_limit_can_be_raised_lowered_and_set_to_nothing(place: Make, slurm: Slurm):
    here = place()
    jobs = here.launch(here.shell("sleep 60", 8), limit=1)
    here.wait_running(jobs[0])
    here.source.limit("b1", 3)
    here.wait_running(*jobs[:3])
    here.source.limit("b1", 0)
    here.source.cancel([jobs[0].ref], force=True)
    here.end(jobs[0])
    here.wait(lambda: "Held" in (here.waiting() or "").__str__(), "the hold")
    assert sum("RUNNING" in line for line in slurm.queue()) == 2
    here.source.limit("b1", 4)
    here.wait_running(*jobs[1:5])


def test_exit_codes_signals_and_timeouts_are_the_runners_word(place: Make):
    here = place()
    failed, killed, slow, missing = here.launch(
        [
            *here.shell("echo broken >&2; exit 3"),
            *here.shell("kill -9 $$"),
            *here.shell("sleep 60", timeout=0.5),
            here.job("/nonexistent/program"),
        ]
    )
    here.end_all([failed, killed, slow, missing])
    end = here.ends[failed.ref]
    assert isinstance(end, SawEnd)
    assert (end.exit_code, end.message) == (3, "broken")
    assert end.started_at is not None
    assert getattr(here.ends[killed.ref], "signal", None) == 9
    late = here.ends[slow.ref]
    assert isinstance(late, SawEnd)
    assert (late.failure, late.message) == ("timeout", "ran longer than its timeout of 0.5 s")
    assert getattr(here.ends[missing.ref], "exit_code", None) == 127
    assert not left(slow, killed)


def test_running_and_waiting_are_told(place: Make, slurm: Slurm):
    here = place()
    jobs = here.launch(here.shell("sleep 60", 5), limit=2)
    here.wait_running(*jobs[:2])
    here.wait(lambda: getattr(here.waiting(), "count", 0) == 3, "three waiting")
    assert getattr(here.waiting(), "reason", "") == "JobArrayTaskLimit"
    here.wait(lambda: here.told(SawHealth), "its health")
    assert "nodes: " in str(here.told(SawHealth)[-1])
    handles = {seen.handle for seen in here.news if type(seen).__name__ == "SawRunning"}
    assert handles == {line.split()[0] for line in slurm.queue() if "RUNNING" in line}


def test_values_arrive_byte_for_byte(place: Make):
    here = place()
    dump = 'printf %s "$1" >"$SWEEP_TASK_DIR/argv"; printf %s "$PARAM_x" >"$SWEEP_TASK_DIR/env"'
    jobs = here.launch([here.job("sh", "-c", dump, "sh", value, PARAM_x=value) for value in NASTY])
    here.end_all(jobs)
    for job, value in zip(jobs, NASTY, strict=True):
        wanted = value.encode(errors="surrogateescape")
        assert (here.directory(job) / "argv").read_bytes() == wanted
        assert (here.directory(job) / "env").read_bytes() == wanted
    assert not Path("/tmp/p").exists()


def test_a_job_is_told_nothing_by_the_environment_of_its_submission(place: Make, slurm: Slurm, monkeypatch):
    # Habits of a user's shell would change what is submitted and what is answered.
    habits = {
        "SBATCH_ARRAY_INX": "0-1", "SBATCH_JOB_NAME": "other", "SBATCH_PARTITION": "nosuch", "SBATCH_REQUEUE": "1",
        "SBATCH_WAIT": "1", "SQUEUE_FORMAT": "%i", "SQUEUE_STATES": "PD", "SQUEUE_NAMES": "x", "SCANCEL_STATE": "PD",
        "SLURM_ARRAY_TASK_ID": "3", "SPAWN_PLACE": "x:y",
    }  # fmt: skip
    for name, value in habits.items():
        monkeypatch.setenv(name, value)
    here = place(partition="debug")
    jobs = here.launch(here.shell(MARK, 3))
    here.end_all(jobs)
    assert len(here.completed(jobs)) == 3
    (slow,) = here.launch(here.shell("sleep 60", batch="b2"))
    here.wait_running(slow)
    here.source.cancel([slow.ref], force=True)
    here.end(slow)


# --- cancelling and withdrawing ------------------------------------------------------------------------------------


def test_cancel_ends_what_runs_and_takes_back_what_waits(place: Make, slurm: Slurm):
    here = place()
    jobs = here.launch(here.shell(MARK + "sleep 60", 6), limit=2)
    here.wait_running(*jobs[:2])
    here.source.cancel([job.ref for job in jobs], force=False)
    here.end_all(jobs)
    for job in jobs[:2]:
        end = here.ends[job.ref]
        assert isinstance(end, SawEnd)
        assert end.stopped
        assert end.signal == 15
    assert all(isinstance(here.ends[job.ref], SawNothing) for job in jobs[2:])
    assert not left(*jobs)
    assert not slurm.queue()
    assert len(runs(here)) == 2


def test_who_ignores_term_is_killed(place: Make, slurm: Slurm):
    here = place(kill_after="1")
    script = 'trap "" TERM; setsid sh -c "trap \\"\\" TERM; sleep 300" & echo up; sleep 300; sleep 300'
    (job,) = here.launch(here.shell(script))
    here.wait_running(job)
    here.wait(lambda: (here.directory(job) / "stdout.log").read_text(), "its first line")
    here.source.cancel([job.ref], force=False)
    end = here.end(job)
    assert isinstance(end, SawEnd)
    assert end.stopped
    assert not left(job)
    assert not slurm.queue()


def test_what_was_never_submitted_is_cancelled(place: Make):
    here = place()
    jobs = here.shell(MARK, 2)
    here.launch(jobs)
    here.source.cancel([job.ref for job in jobs], force=False)
    here.end_all(jobs)
    assert len(runs(here)) == len([end for end in here.ends.values() if isinstance(end, SawEnd)])


def test_of_a_withdrawal_and_a_begin_one_wins(place: Make, slurm: Slurm, monkeypatch):
    # It looks so seldom that it knows nothing of those that have begun when it is asked to take them back.
    monkeypatch.setattr(queue, "QUICK", 3600.0)
    here = place(poll_interval="3600")
    jobs = here.launch(here.shell(MARK + "sleep 0.5", 60), limit=8)
    here.wait(lambda: len(runs(here)) >= 8, "the first to begin")
    assert not here.told(SawEnd)
    here.source.withdraw([job.ref for job in jobs])
    here.wait(lambda: len(here.ends) > 30, "those that were taken back")
    here.source._poll = 0.3
    here.source.limit("b1", 8)
    here.end_all(jobs)
    back = {job.directory.name for job in jobs if isinstance(here.ends[job.ref], SawWithdrawn)}
    ran = {job.directory.name for job in here.completed(jobs)}
    assert back | ran == {job.directory.name for job in jobs}
    assert runs(here) == sorted(ran)
    assert len(ran) >= 8
    assert not slurm.queue()


# --- engines that die, answers that are lost -----------------------------------------------------------------------


def test_an_answer_that_was_lost_is_found_by_the_jobs_name(place: Make, monkeypatch):
    here = place()
    real, lost = Scheduler.submit, []

    def submit(self: Scheduler, array: Array, root: str) -> str:
        job = real(self, array, root)
        if not lost:
            lost.append(job)
            raise HostAway("the connection dropped")
        return job

    monkeypatch.setattr(Scheduler, "submit", submit)
    jobs = here.launch(here.shell(MARK + "exit 0", 20))
    here.end_all(jobs)
    assert len(here.completed(jobs)) == 20
    assert len(runs(here)) == 20
    assert calls(here, "sbatch") == 1


def test_an_engine_that_died_after_sbatch_submits_nothing_again(place: Make, monkeypatch):
    here = place(slots=8)
    real = Scheduler.submit

    def submit(self: Scheduler, array: Array, root: str) -> str:
        real(self, array, root)
        raise HostAway("the engine was killed")

    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "submit", submit)
        jobs = here.launch(here.shell(MARK + "sleep 0.5", 30), limit=8)
        here.wait(here.away, "the lost answer")
        here.source.close()
    here.restart()
    here.adopt(jobs)
    here.end_all(jobs)
    assert len(here.completed(jobs)) == 30
    assert len(runs(here)) == 30
    assert calls(here, "sbatch") == 0


def test_an_engine_that_died_before_sbatch_submits_now(place: Make, monkeypatch):
    here = place()

    def submit(self: Scheduler, array: Array, root: str) -> str:
        raise HostAway("the engine was killed")

    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "submit", submit)
        jobs = here.launch(here.shell(MARK + "exit 0", 10))
        here.wait(here.away, "the failure")
        here.source.close()
    here.restart()
    never = here.shell(MARK, 2)
    here.adopt([*jobs, *never], cancelling=[jobs[0], never[0]])
    here.end_all([*jobs, *never])
    assert len(here.completed([*jobs[1:], never[1]])) == 10
    assert isinstance(here.ends[jobs[0].ref], SawNothing)
    assert isinstance(here.ends[never[0].ref], SawNothing)
    assert len(runs(here)) == 10


def test_an_array_that_is_submitted_twice_runs_nothing_twice(place: Make, slurm: Slurm):
    here = place()
    jobs = here.launch(here.shell(MARK + "sleep 0.2", 20), limit=4)
    here.wait(lambda: runs(here), "the first that has begun")
    (script,) = (here.root / "scripts" / "job_scripts").glob("*.sh")
    slurm.run("sbatch", f"--chdir={here.root}", str(script))
    here.end_all(jobs)
    here.wait(lambda: not slurm.queue(), "the end of the second array")
    assert len(here.completed(jobs)) == 20
    assert len(runs(here)) == 20


def test_the_next_engine_takes_over_what_waits_runs_and_has_ended(place: Make, slurm: Slurm):
    here = place()
    done, *others = here.launch([*here.shell(MARK + "exit 7"), *here.shell(MARK + "sleep 60", 4)], limit=2)
    here.end(done)
    here.wait_running(*others[:2])
    here.restart()
    here.ends.clear()
    here.adopt([done, *others], running=[done, *others[:2]])
    assert getattr(here.end(done), "exit_code", None) == 7
    here.wait(lambda: getattr(here.waiting(), "count", 0) == 2, "two waiting")
    here.source.cancel([job.ref for job in others], force=True)
    here.end_all(others)
    assert calls(here, "sbatch") == 0
    assert len(runs(here)) == 3
    assert not slurm.queue()


def test_a_withdrawal_that_nobody_heard_of_is_told(place: Make, slurm: Slurm):
    here = place()
    running, waiting = here.launch(here.shell(MARK + "sleep 60", 2), limit=1)
    here.wait_running(running)
    (here.directory(waiting) / "claim").write_text("revoked by spawn-tui\n")
    here.restart()
    here.adopt([running, waiting], running=[running])
    assert isinstance(here.end(waiting), SawWithdrawn)
    here.wait(lambda: len(slurm.queue()) == 1, "the element's removal")


# --- what happens to clusters --------------------------------------------------------------------------------------


def test_a_node_that_fails_loses_its_jobs(place: Make, new_slurm: Callable[..., Slurm]):
    cluster = new_slurm(1, 4)
    here = place(cluster)
    running, waiting = here.launch(here.shell(MARK + "sleep 60", 2), limit=1)
    here.wait_running(running)
    cluster.node_down(1)
    end = here.end(running)
    assert isinstance(end, SawEnd)
    assert end.failure == "source_lost"
    assert "NODE_FAIL" in end.message
    assert not left(running)
    assert waiting.ref not in here.ends


def test_a_daemon_that_dies_takes_nothing_with_it(place: Make, new_slurm: Callable[..., Slurm]):
    cluster = new_slurm(1, 4)
    here = place(cluster)
    (job,) = here.launch(here.shell(MARK + "sleep 2"))
    here.wait_running(job)
    cluster.kill_node(1)
    end = here.end(job)
    assert isinstance(end, SawEnd)
    assert end.exit_code == 0


def test_a_node_that_dies_is_lost_and_nothing_of_its_jobs_lives_on(
    place: Make, new_slurm: Callable[..., Slurm]
):
    cluster = new_slurm(1, 4)
    here = place(cluster)
    (job,) = here.launch(here.shell(MARK + 'trap "" TERM; sleep 300; sleep 300'))
    here.wait_running(job)
    cluster.kill_node(1)
    end = here.end(job, limit=90)
    assert isinstance(end, SawEnd)
    assert end.failure == "source_lost"
    assert "NODE_FAIL" in end.message
    assert not left(job)


def test_scancel_by_hand_is_told(place: Make, slurm: Slurm, monkeypatch):
    monkeypatch.setattr(queue.Doubt, "BEGIN", 0.5)
    here = place()
    running, waiting, other = here.launch(here.shell(MARK + "sleep 60", 3), limit=1)
    here.wait_running(running)
    first = slurm.queue()[-1].split("_")[0] if "_" in slurm.queue()[-1] else ""
    slurm.run("scancel", f"{first}_1")
    gone = here.end(waiting)
    assert isinstance(gone, SawNothing)
    assert "took it out of the queue" in gone.message
    assert not gone.source_fault
    slurm.run("scancel", f"{first}_0")
    end = here.end(running)
    assert isinstance(end, SawEnd)
    assert "cancelled in Slurm" in end.message
    assert end.signal == 15
    assert other.ref not in here.ends


def test_a_controller_that_is_away_costs_nothing(place: Make, new_slurm: Callable[..., Slurm], monkeypatch):
    monkeypatch.setattr(threaded, "LAST_PAUSE", 1.0)
    cluster = new_slurm(1, 8)
    here = place(cluster)
    jobs = here.launch(here.shell(MARK + "sleep 2", 8), limit=4)
    here.wait_running(*jobs[:4])
    cluster.stop_controller()
    here.wait(here.away, "that it is away")
    late = here.launch(here.shell(MARK, 2, batch="b2"))
    here.end_all(late)
    assert all(getattr(here.ends[job.ref], "source_fault", False) for job in late)
    cluster.start_controller()
    here.end_all(jobs)
    assert len(here.completed(jobs)) == 8
    assert len(runs(here)) == 8


def test_a_controller_that_forgot_is_asked_again(place: Make, new_slurm: Callable[..., Slurm], monkeypatch):
    monkeypatch.setattr(queue.Doubt, "BEGIN", 0.5)
    cluster = new_slurm(1, 8)
    here = place(cluster)
    first = here.launch(here.shell(MARK + "exit 0", 4))
    here.end_all(first)
    cluster.stop_controller()
    saved = subprocess.run(["cp", "-a", cluster.directory / "state", cluster.directory / "saved"], check=True)
    assert saved.returncode == 0
    cluster.start_controller()
    here.wait(lambda: not here.away(), "its return")
    cluster.run("scontrol", "update", "partitionname=debug", "state=down")
    jobs = here.launch(here.shell(MARK + "exit 0", 6, batch="b2"))
    here.wait(lambda: getattr(here.waiting("b2"), "count", 0) == 6, "six waiting")
    cluster.kill_controller()
    subprocess.run(["rm", "-r", cluster.directory / "state"], check=True)
    (cluster.directory / "saved").rename(cluster.directory / "state")
    cluster.start_controller()
    here.end_all(jobs)
    assert len(here.completed(jobs)) == 6
    assert len(runs(here)) == 10
    assert calls(here, "sbatch") == 3


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "cause", "remedy"),
    [
        ({"partition": "nosuch"}, "invalid partition specified: nosuch", "`partition`"),
        ({"mem": "999G"}, "Memory specification can not be satisfied", "`mem`"),
        ({"gpus": "1"}, "Invalid generic resource", "`gpus`"),
        ({"extra": "--time=bogus"}, "Invalid --time specification", "`walltime`"),
        ({"extra": "--nosuchoption"}, "unrecognized option '--nosuchoption'", "`extra`"),
        ({"extra": "--constraint=nofeat"}, "Invalid feature", "`extra`"),
        ({"extra": "--array=0-3"}, "--array is set by spawn-tui", "take it out"),
        ({"extra": "rm -rf"}, "no option of sbatch", "--exclusive"),
    ],
)
def test_what_slurm_refuses_is_told_with_a_remedy(
    place: Make, options: dict[str, str], cause: str, remedy: str
):
    here = place(**options)
    jobs = here.launch(here.shell(MARK, 3))
    here.wait(lambda: here.told(SourceRefused), "the refusal")
    reason = getattr(here.told(SourceRefused)[-1], "reason", "")
    assert cause in reason
    assert remedy in reason
    assert "slurm" in reason
    here.end_all(jobs)
    for job in jobs:
        end = here.ends[job.ref]
        assert isinstance(end, SawNothing)
        assert end.source_fault
    assert not runs(here)


def test_a_request_that_can_never_run_is_refused_after_a_while(place: Make, slurm: Slurm, monkeypatch):
    monkeypatch.setattr(queue, "NEVER", 1.0)
    here = place(cpus="999")
    (job,) = here.launch(here.shell(MARK))
    end = here.end(job)
    assert isinstance(end, SawNothing)
    assert end.source_fault
    assert "can never run (PartitionConfig)" in end.message
    assert here.told(SourceRefused)
    assert not slurm.queue()


def test_short_arrays_share_the_limit_of_their_batch(place: Make, new_slurm: Callable[..., Slurm]):
    cluster = new_slurm(2, 16, settings={"MaxArraySize": "10"})
    here = place(cluster)
    jobs = here.launch(here.shell(AT_ONCE, 45), limit=12)
    here.wait(lambda: getattr(here.waiting(), "count", 0) > 20, "those that wait at home, too")
    here.end_all(jobs)
    assert len(here.completed(jobs)) == 45
    assert calls(here, "sbatch") == 5
    assert most_at_once(here) <= 12


def test_what_waits_at_home_goes_elsewhere_when_the_cluster_is_away(
    place: Make, new_slurm: Callable[..., Slurm]
):
    cluster = new_slurm(1, 16, settings={"MaxArraySize": "10"})
    here = place(cluster)
    jobs = here.launch(here.shell(MARK + "sleep 60", 30), limit=4)
    here.wait_running(*jobs[:4])
    cluster.stop_controller()
    here.end_all(jobs[10:])
    for job in jobs[10:]:
        end = here.ends[job.ref]
        assert isinstance(end, SawNothing)
        assert end.source_fault
        assert "never submitted" in end.message
    assert not set(here.ends) & {job.ref for job in jobs[:10]}


def test_ranges_of_what_waits_are_read_whole(place: Make):
    here = place()
    jobs = here.launch(here.shell("sleep 60", 200), limit=1)
    here.wait_running(jobs[0])
    back = [job for index, job in enumerate(jobs[1:]) if index * index % 7 < 3]
    here.source.withdraw([job.ref for job in back])
    here.end_all(back)
    left = len(jobs) - 1 - len(back)
    here.wait(lambda: getattr(here.waiting(), "count", 0) == left, f"{left} waiting")
    here.source.cancel([jobs[0].ref], force=True)
    here.wait(lambda: sum(here.ran(job) for job in jobs) == 2 and jobs[0].ref in here.ends, "the next to run")
    assert len(here.ends) == len(back) + 1


def test_without_slurm_it_is_said(tmp_path: Path):
    (tmp_path / "sh").symlink_to("/bin/sh")
    for name in ("mkdir", "cat", "mv", "rm", "tar", "date", "id", "setsid", "sed", "env", "dirname"):
        (tmp_path / name).symlink_to(
            Path("/bin", name) if Path("/bin", name).exists() else Path("/usr/bin", name)
        )
    host = LocalHost("slurm", environment={"PATH": str(tmp_path), "HOME": str(tmp_path)})
    here = Place(tmp_path / "p", lambda context: SlurmSource(SourceSpec("slurm", "slurm", 2), context, host))
    here.wait(lambda: here.told(SourceRefused), "the refusal")
    assert "sbatch" in str(here.told(SourceRefused)[0])
    here.source.close()


def test_a_cluster_without_its_configuration_is_refused(tmp_path: Path):
    need(no_slurm())
    host = LocalHost(
        "slurm", environment={"PATH": "/usr/bin:/bin", "HOME": "/", "SLURM_CONF": str(tmp_path / "none")}
    )
    here = Place(tmp_path / "p", lambda context: SlurmSource(SourceSpec("slurm", "slurm", 2), context, host))
    jobs = here.launch(here.shell("exit 0"))
    here.wait(lambda: here.told(SourceRefused) or here.ends, "the refusal")
    assert "configuration" in str(here.news)
    assert jobs
    here.source.close()
