"""PBS from the engine's side: real processes as jobs, and for the server a stand-in that answers as was recorded."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from spawn_tui.engine.command import Invocation
from spawn_tui.engine.events import Ref
from spawn_tui.engine.observe import (
    Observation,
    SawEnd,
    SawHealth,
    SawNothing,
    SawRunning,
    SawWaiting,
    SawWithdrawn,
    SourceAway,
    SourceBack,
    SourceRefused,
)
from spawn_tui.engine.remote.host import Host, LocalHost
from spawn_tui.engine.remote.ssh_host import SshHost, SshTarget
from spawn_tui.engine.sources import pbs as pbs_source
from spawn_tui.engine.sources.base import Job, SourceContext
from spawn_tui.engine.sources.pbs import PbsSource
from spawn_tui.engine.sources.queue_ends import Doubt
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.state.layout import SweepLayout

from tests.engine.test_command import NASTY
from tests.parts.pbs import Pbs
from tests.parts.waiting import wait_until

LIMIT = 30.0
RUNNER = Path(pbs_source.__file__).parents[1] / "runner.sh"


class Place:
    """A sweep that runs on a PBS server; one source after the other, as engines come and go."""

    def __init__(
        self, base: Path, pbs: Pbs, connect: Callable[[], Host] | None = None, **options: str
    ) -> None:
        self.base, self.pbs = base, pbs
        layout = SweepLayout(base / "sweep")
        layout.runner.parent.mkdir(parents=True)
        layout.runner.write_bytes(RUNNER.read_bytes())
        # Unlike that of any other test that runs now: processes are found by the token made of it.
        self.context = SourceContext(layout, f"s-20261122-{secrets.token_hex(3)}", base / "project")
        self.context.project.mkdir()
        self.options = {"poll_interval": "0.1", "kill_after": "0.5", "project_dir": "/", **options}
        self.connect = connect or (lambda: LocalHost("hpc", environment=pbs.environment()))
        self.count = 0
        self.sources: list[PbsSource] = []
        self.successor()

    def successor(self) -> None:
        """The source of the next engine."""
        if self.sources:
            self.source.close()
        self.news: list[Observation] = []
        spec = SourceSpec("hpc", "pbs", 4, self.options)
        self.source = PbsSource(spec, self.context, self.connect())
        self.sources.append(self.source)

    def directory(self, job: Job) -> Path:
        return self.base / "sweep" / "attempts" / f"task_{job.ref.task + 1:03d}.{job.ref.attempt}"

    def job(self, *argv: str, timeout: float | None = None, batch: str = "b1", **env: str) -> Job:
        token = f"{self.context.sweep_id}.task_{self.count + 1:03d}.1"
        call = Invocation(argv, {"SWEEP_TOKEN": token, **env}, "/")
        job = Job(Ref(self.count, 1), token, batch, self.base / token, lambda **_: call, timeout)
        self.count += 1
        return job

    def jobs(self, count: int, script: str, **settings: Any) -> list[Job]:
        return [self.job("sh", "-c", script, **settings) for _ in range(count)]

    def launch(self, jobs: list[Job], limit: int | None = None) -> None:
        self.source.launch(jobs[0].batch, jobs, limit=limit or len(jobs))

    def poll(self) -> list[Observation]:
        self.news += self.source.poll(time.time())
        return self.news

    def until(self, condition: Callable[[], object], what: str) -> None:
        def met() -> object:
            self.poll()
            return condition()

        try:
            wait_until(met, what, limit=LIMIT)
        except TimeoutError as error:
            raise TimeoutError(
                f"{error}; so far {self.news[-20:]}, the queue says {self.pbs.states()}"
            ) from None

    def saw(self, kind: type, job: Job) -> list[Any]:
        return [s for s in self.news if isinstance(s, kind) and (s.task, s.attempt) == job.ref]

    def ends(self, job: Job) -> list[SawEnd | SawNothing | SawWithdrawn]:
        return [s for kind in (SawEnd, SawNothing, SawWithdrawn) for s in self.saw(kind, job)]

    def end(self, job: Job) -> Any:
        self.until(lambda: self.ends(job), f"the end of {job.token}")
        (end,) = self.ends(job)
        return end

    def runs(self, *jobs: Job) -> None:
        self.until(lambda: all(self.saw(SawRunning, job) for job in jobs), "all to run")

    def told(self, kind: type) -> Any:
        self.until(lambda: any(isinstance(s, kind) for s in self.news), kind.__name__)
        return next(s for s in self.news if isinstance(s, kind))

    def lines(self, name: str = "ran") -> list[str]:
        """What the tasks have written into a file of the project."""
        path = self.context.project / name
        return path.read_text().splitlines() if path.exists() else []

    def close(self) -> None:
        for source in self.sources:
            source.close()


@pytest.fixture
def new_pbs() -> Iterator[Callable[..., Pbs]]:
    import contextlib

    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Pbs(**{"kill_delay": 0.5, **settings}))


@pytest.fixture
def new_place(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    made: list[Place] = []

    def make(pbs: Pbs, **settings: Any) -> Place:
        made.append(Place(tmp_path / f"place{len(made)}", pbs, **settings))
        return made[-1]

    yield make
    for place in made:
        place.close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"place{number}").mkdir()


def test_a_batch_is_one_qsub_and_one_qstat_a_look(new_pbs, new_place):
    pbs = new_pbs(history=True)
    place = new_place(pbs)
    ran = place.context.project / "ran"
    jobs = [
        place.job("sh", "-c", f'echo "$N" >>{ran}; exit $((N % 2))', N=str(number)) for number in range(200)
    ]
    place.launch(jobs, limit=16)
    for number, job in enumerate(jobs):
        assert place.end(job).exit_code == number % 2
    assert sorted(place.lines(), key=int) == [str(number) for number in range(200)]
    counts = pbs.counts()
    assert counts["qsub"] == 1 and counts.get("qdel", 0) == 0
    assert pbs.calls()[[c[0] for c in pbs.calls()].index("qsub")][1:3] == ["-J", "0-199%16"]
    looks = [words for words in pbs.calls() if words[0] == "qstat" and "-t" in words]
    assert all(words[1:] == ["-x", "-t", "-f", "-F", "json", "0[].vm"] for words in looks)
    assert pbs.processes() == 0
    assert place.told(SawHealth).queue.endswith("; 1 free")


def test_no_more_run_than_may(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    jobs = place.jobs(
        12, f"echo + >>{place.context.project}/ran; sleep 0.2; echo - >>{place.context.project}/ran"
    )
    place.launch(jobs, limit=3)
    for job in jobs:
        assert place.end(job).exit_code == 0
    level = most = 0
    for line in place.lines():
        level += 1 if line == "+" else -1
        most = max(most, level)
    assert most <= 3


def test_the_limit_can_be_changed(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    jobs = place.jobs(8, "sleep 60")
    place.launch(jobs, limit=2)
    place.runs(*jobs[:2])
    place.source.limit("b1", 5)
    place.runs(*jobs[:5])
    assert list(pbs.states().values()).count("R") == 5
    assert ["qalter", "-W", "max_run_subjobs=5", "0[].vm"] in pbs.calls()
    place.source.cancel([job.ref for job in jobs], force=True)
    for job in jobs:
        place.end(job)


def test_a_limit_of_none_holds_the_array(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    gate = place.context.project / "gate"
    jobs = place.jobs(4, f"echo $$ >>{place.context.project}/ran; until [ -e {gate} ]; do sleep 0.02; done")
    place.launch(jobs, limit=1)
    place.runs(jobs[0])
    place.source.limit("b1", 0)
    place.until(lambda: pbs.states()["0[].vm"] == "H", "the hold")
    gate.touch()
    assert place.end(jobs[0]).exit_code == 0
    looks = pbs.counts()["qstat"]
    place.until(lambda: pbs.counts()["qstat"] > looks + 3, "some more looks")
    assert len(place.lines()) == 1
    place.source.limit("b1", 3)
    for job in jobs:
        assert place.end(job).exit_code == 0


def test_one_alone_is_a_plain_job(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    (job,) = place.jobs(1, "exit 3")
    place.launch([job])
    assert place.end(job).exit_code == 3
    assert pbs.states() == {"0.vm": "F"}


@pytest.mark.parametrize("history", [True, False])
def test_without_history_the_files_tell(history, new_pbs, new_place):
    pbs = new_pbs(history=history)
    place = new_place(pbs)
    jobs = place.jobs(20, "true")
    place.launch(jobs, limit=4)
    for job in jobs:
        assert place.end(job).exit_code == 0
    assert (pbs.states() == {}) is not history


def test_history_that_is_switched_off_or_expires_in_the_middle(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    first, second = place.jobs(3, "sleep 0.5"), place.jobs(3, "sleep 1", batch="b2")
    place.launch(first)
    place.launch(second)
    place.runs(*first, *second)
    pbs.history("off")
    for job in first + second:
        assert place.end(job).exit_code == 0


def test_cancelling_what_waits_and_what_runs(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    jobs = place.jobs(6, f"trap 'echo term >>{place.context.project}/ran; exit 7' TERM; sleep 60 & wait")
    place.launch(jobs, limit=2)
    place.runs(*jobs[:2])
    place.source.cancel([job.ref for job in jobs], force=False)
    for job in jobs[:2]:
        end = place.end(job)
        assert end.stopped and end.exit_code == 7
    for job in jobs[2:]:
        assert isinstance(place.end(job), SawNothing) and not place.ends(job)[0].source_fault
    assert place.lines() == ["term"] * 2
    place.until(lambda: pbs.processes() == 0, "no process left")


def test_what_ignores_term_is_killed_with_all_it_started(new_pbs, new_place):
    pbs = new_pbs(kill_delay=60.0)
    place = new_place(pbs)
    jobs = place.jobs(2, "trap '' TERM; sleep 60 & sleep 60")
    place.launch(jobs)
    place.runs(*jobs)
    place.source.cancel([job.ref for job in jobs], force=False)
    for job in jobs:
        assert place.end(job).stopped
    place.until(lambda: pbs.processes() == 0, "no process left")


def test_withdrawal_takes_only_what_has_not_begun(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    jobs = place.jobs(60, f"echo $$ >>{place.context.project}/ran; sleep 0.1")
    place.launch(jobs, limit=8)
    place.until(place.lines, "the first tasks")
    place.source.withdraw([job.ref for job in jobs])  # while the scheduler goes on beginning them
    ends = [place.end(job) for job in jobs]
    withdrawn = sum(isinstance(end, SawWithdrawn) for end in ends)
    assert 0 < withdrawn < 60
    assert len(place.lines()) == 60 - withdrawn
    assert all(end.exit_code == 0 for end in ends if isinstance(end, SawEnd))


def test_an_element_that_qdel_forgot_never_begins(new_pbs, new_place):
    """Of two names in one qdel only the first is deleted (recorded); and a queue may start what was withdrawn."""
    pbs = new_pbs()
    place = new_place(pbs)
    jobs = place.jobs(9, f"echo $$ >>{place.context.project}/ran; sleep 1")
    place.launch(jobs, limit=1)
    place.runs(jobs[0])
    taken = [job for job in jobs[2:] if job.ref.task % 2]  # every other one: a range of its own each
    place.source.withdraw([job.ref for job in taken])
    for job in taken:
        assert isinstance(place.end(job), SawWithdrawn)
    qdels = [words for words in pbs.calls() if words[0] == "qdel"]
    assert all(len(words) == 2 for words in qdels)
    states = pbs.states()
    assert {states[f"0[{job.ref.task}].vm"] for job in taken} == {"X"}


def test_an_engine_that_died_after_qsub_adopts(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    jobs = place.jobs(6, f"echo $$ >>{place.context.project}/ran; sleep 0.5")
    place.launch(jobs, limit=2)
    wait_until(lambda: pbs.counts().get("qsub"), "the submission")
    place.successor()
    place.source.adopt(jobs, running=frozenset(), cancelling=frozenset())
    for job in jobs:
        assert place.end(job).exit_code == 0
    assert len(place.lines()) == 6
    assert pbs.counts()["qsub"] == 1


def test_adoption_finds_what_was_never_submitted(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    jobs = place.jobs(4, f"echo $$ >>{place.context.project}/ran")
    place.source.adopt(jobs, running=frozenset(), cancelling=frozenset([jobs[3].ref]))
    for job in jobs[:3]:
        assert place.end(job).exit_code == 0
    assert isinstance(place.end(jobs[3]), SawNothing)
    assert len(place.lines()) == 3


def test_a_qstat_that_hangs_is_given_up(new_pbs, new_place, monkeypatch):
    pbs = new_pbs()
    place = new_place(pbs)
    (job,) = place.jobs(1, "sleep 0.5")
    place.launch([job])
    place.runs(job)
    monkeypatch.setattr(pbs_source, "STATUS_LIMIT", 0.5)
    pbs.set("slow", 1.5)
    # Either timeout(1) there or our own patience is first.
    assert re.search("qstat fails|no answer within", place.told(SourceAway).reason)
    pbs.set("slow", 0.0)
    monkeypatch.setattr(pbs_source, "STATUS_LIMIT", 60.0)
    assert place.end(job).exit_code == 0


def test_the_server_goes_away_and_comes_back(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    gate = place.context.project / "gate"
    jobs = place.jobs(4, f"echo $$ >>{place.context.project}/ran; until [ -e {gate} ]; do sleep 0.02; done")
    place.launch(jobs, limit=2)
    place.runs(*jobs[:2])
    pbs.server_down()
    away = place.told(SourceAway)
    assert "hpc: the PBS server does not answer" in away.reason
    assert not [s for job in jobs[2:] for s in place.ends(job)]
    place.news.clear()
    gate.touch()  # the ends of those that run are told when the server is back
    pbs.server_up()
    place.told(SourceBack)
    for job in jobs:
        assert place.end(job).exit_code == 0
    assert len(place.lines()) == 4


def test_what_runs_is_told_again_after_a_refusal(new_pbs, new_place):
    """The other word was heard alone: the sweep holds all that runs there for unknown."""
    pbs = new_pbs()
    place = new_place(pbs)
    gate = place.context.project / "gate"
    jobs = place.jobs(2, f"until [ -e {gate} ]; do sleep 0.02; done")
    place.launch(jobs)
    place.runs(*jobs)
    place.source.scheduler.options["extra"] = "-Q"
    place.launch(place.jobs(1, "true", batch="b2"))
    place.told(SourceRefused)
    place.news.clear()
    place.runs(*jobs)
    pbs.server_down()
    place.told(SourceAway)
    pbs.server_up()
    place.news.clear()
    place.runs(*jobs)
    gate.touch()
    for job in jobs:
        assert place.end(job).exit_code == 0


def test_a_server_that_is_away_at_launch_sends_the_tasks_back(new_pbs, new_place):
    pbs = new_pbs()
    pbs.server_down()
    place = new_place(pbs)
    jobs = place.jobs(3, "true")
    place.launch(jobs)
    for job in jobs:
        end = place.end(job)
        assert isinstance(end, SawNothing) and end.source_fault
    pbs.server_up()
    place.told(SourceBack)
    assert pbs.counts().get("qsub", 0) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": "nosuch"}, "Unknown queue"),
        ({"extra": "-l select=1:nosuch=3"}, "Unknown resource: nosuch"),
        ({"extra": "-l walltime=abc"}, "Illegal attribute or resource value Resource_List.walltime"),
        ({"extra": "-Q"}, "invalid option -- 'Q'"),
        ({"qos": "high"}, "qos is a word of Slurm"),
        ({"gpus": "a100:2"}, "names a kind of GPU"),
    ],
)
def test_what_pbs_will_not_have_is_told_with_a_remedy(options, words, new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs, **options)
    jobs = place.jobs(2, "true")
    place.launch(jobs)
    refused = place.told(SourceRefused)
    assert words in refused.reason and refused.reason.startswith("hpc: ")
    assert "spawn.yaml" in refused.reason
    for job in jobs:
        end = place.end(job)
        assert isinstance(end, SawNothing) and end.source_fault and words in end.message


def test_no_pbs_here(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs, connect=lambda: LocalHost("hpc"))
    place.launch(place.jobs(1, "true"))
    assert "there is no qsub and no qstat on hpc" in place.told(SourceRefused).reason


def test_torque_is_told_apart(new_pbs, new_place, tmp_path):
    pbs = new_pbs()
    for name in ("qstat", "qsub"):
        (pbs.bin / name).write_text("#!/bin/sh\necho 'Version: 6.1.1.1' >&2\n")
    place = new_place(pbs)
    place.launch(place.jobs(1, "true"))
    reason = place.told(SourceRefused).reason
    assert "Torque" in reason and "Version: 6.1.1.1" in reason


def test_arrays_stay_within_the_sites_limit(new_pbs, new_place):
    pbs = new_pbs(max_array_size=10)
    place = new_place(pbs)
    jobs = place.jobs(
        24, f"echo + >>{place.context.project}/ran; sleep 0.1; echo - >>{place.context.project}/ran"
    )
    place.launch(jobs, limit=6)
    for job in jobs:
        assert place.end(job).exit_code == 0
    level = most = 0
    for line in place.lines():
        level += 1 if line == "+" else -1
        most = max(most, level)
    assert most <= 6
    assert pbs.counts()["qsub"] == 3


def test_a_request_that_can_never_run_is_refused_in_words(new_pbs, new_place, monkeypatch):
    monkeypatch.setattr("spawn_tui.engine.sources.queue.NEVER", 0.3)
    pbs = new_pbs()
    place = new_place(pbs, cpus="500")
    jobs = place.jobs(2, "true")
    place.launch(jobs)
    waiting = place.told(SawWaiting)
    place.until(
        lambda: any(isinstance(s, SawWaiting) and "ncpus" in s.reason for s in place.news), "the reason"
    )
    assert waiting.batch == "b1"
    for job in jobs:
        end = place.end(job)
        assert isinstance(end, SawNothing) and end.source_fault
        assert "Insufficient amount of resource: ncpus (R: 500 A: 64 T: 64)" in end.message
    assert "can never run" in place.told(SourceRefused).reason


def test_a_held_job_is_told(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs, extra="-h")
    (job,) = place.jobs(1, "true")
    place.launch([job])
    place.until(lambda: any(isinstance(s, SawWaiting) and "qrls" in s.reason for s in place.news), "the hold")
    pbs.run("qrls", "0.vm")
    assert place.end(job).exit_code == 0


@pytest.mark.parametrize("script", ["sleep 60", "trap '' TERM; sleep 60"])
def test_walltime_is_a_timeout(script, new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs, walltime="00:00:01")
    jobs = place.jobs(2, script)
    place.launch(jobs)
    for job in jobs:
        end = place.end(job)
        assert end.failure == "timeout" and "walltime" in end.message
    place.until(lambda: pbs.processes() == 0, "no process left")


def test_our_own_timeout_works_in_the_jobs_session(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    (job,) = place.jobs(1, "sleep 60", timeout=0.3)
    place.launch([job])
    end = place.end(job)
    assert end.failure == "timeout" and "0.3 s" in end.message
    place.until(lambda: pbs.processes() == 0, "no process left")


def test_an_attempt_leads_a_group_within_the_jobs_session(new_pbs, new_place):
    """PBS ends what is in the session, and the runner signals its group."""
    pbs = new_pbs()
    place = new_place(pbs)
    jobs = place.jobs(2, "cut -d' ' -f5,6 /proc/self/stat; sleep 0.5")  # group and session, proc(5)
    place.launch(jobs)
    for index, job in enumerate(jobs):
        assert place.end(job).exit_code == 0
        group, session = (place.directory(job) / "stdout.log").read_text().split()
        assert group == (place.directory(job) / "claim").read_text().partition(":")[0]
        record = pbs.run("qstat", "-x", "-f", "-F", "json", f"0[{index}].vm").stdout
        assert f'"session_id":\t{session},' in record


def test_somebody_deletes_jobs(new_pbs, new_place, monkeypatch):
    monkeypatch.setattr(Doubt, "BEGIN", 0.3)
    pbs = new_pbs()
    place = new_place(pbs)
    jobs = place.jobs(3, "trap '' TERM; sleep 60")
    place.launch(jobs, limit=2)
    place.runs(*jobs[:2])
    pbs.run("qdel", "0[2].vm")  # waits: PBS says of it what it says of a success
    pbs.run("qdel", "0[0].vm")  # runs: Exit_status 0
    end = place.end(jobs[2])
    assert isinstance(end, SawNothing) and "took it out of" in end.message
    end = place.end(jobs[0])
    assert isinstance(end, SawEnd) and end.exit_code != 0 and "deleted from PBS by" in end.message
    place.source.cancel([jobs[1].ref], force=True)
    place.end(jobs[1])


def test_a_node_loses_power(new_pbs, new_place):
    pbs = new_pbs(node_fail_requeue=0.5)
    place = new_place(pbs)
    jobs = place.jobs(2, f"echo $$ >>{place.context.project}/ran; sleep 60")
    place.launch(jobs)
    place.runs(*jobs)
    pbs.node_down()
    for job in jobs:
        end = place.end(job)
        assert end.failure == "source_lost" and end.exit_code is None
    pbs.node_up()
    assert len(place.lines()) == 2


def test_values_arrive_byte_for_byte(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(pbs)
    show = "import os, sys; sys.stdout.write(repr((os.environ['PARAM_x'], sys.argv[1:])))"
    jobs = [place.job(sys.executable, "-c", show, value, PARAM_x=value) for value in NASTY]
    place.launch(jobs)
    for job, value in zip(jobs, NASTY, strict=True):
        assert place.end(job).exit_code == 0
        assert (place.directory(job) / "stdout.log").read_text() == repr((value, [value]))
    assert not Path("/tmp/p").exists()


def test_older_pbs_knows_no_percent(new_pbs, new_place):
    pbs = new_pbs(percent=False)
    place = new_place(pbs)
    jobs = place.jobs(4, "true")
    place.launch(jobs, limit=2)
    for job in jobs:
        assert place.end(job).exit_code == 0
    assert ["qsub", "-J", "0-3", "-W", "max_run_subjobs=2"] in [words[:5] for words in pbs.calls()]


def test_the_job_script_is_kept_and_says_what_was_asked_for(new_pbs, new_place):
    pbs = new_pbs()
    place = new_place(
        pbs, queue="workq", account="proj-1", walltime="04:00:00", cpus="4", mem="2G", gpus="0",
        extra="-l place=free\n#PBS -p 5",
    )  # fmt: skip
    jobs = place.jobs(2, "true")
    place.launch(jobs, limit=2)
    for job in jobs:
        assert place.end(job).exit_code == 0
    (script,) = (place.base / "sweep" / "scripts" / "job_scripts").glob("*.sh")
    text = script.read_text()
    for line in (
        "-q workq", "-A proj-1", "-l walltime=04:00:00", "-l select=1:ncpus=4:mem=2gb", "-r n", "-S /bin/sh",
        "-l place=free", "-p 5", f"-N {script.stem}",
    ):  # fmt: skip
        assert f"#PBS {line}\n" in text, line
    assert len(script.stem) <= 15
    record = pbs.run("qstat", "-x", "-f", "-F", "json", "0[].vm").stdout
    for line in (
        '"Rerunable":\t"False"', '"Account_Name":\t"proj-1"', '"walltime":\t"04:00:00"', '"Priority":\t5',
        '"select":\t"1:ncpus=4:mem=2gb"', '"Output_Path":\t"vm:/dev/null"',
    ):  # fmt: skip
        assert line in record, line


def test_a_login_node_behind_ssh(new_pbs, new_place, new_sshd):
    pbs = new_pbs()
    server = new_sshd(options={"SetEnv": f"PATH={pbs.bin}:/usr/bin:/bin"}, alias="login")
    place = new_place(
        pbs,
        connect=lambda: SshHost(SshTarget("login", home=server.home.path)),
        host="login",
        kill_after="0.5",
    )
    home = server.account.home if server.account else Path.home()
    jobs = [
        place.job("sh", "-c", 'id -un; echo "$PARAM_x"; exit $((N % 2))', N=str(n), PARAM_x=NASTY[n])
        for n in range(8)
    ]
    place.launch(jobs, limit=4)
    for number, job in enumerate(jobs):
        assert place.end(job).exit_code == number % 2
        folder = home / ".spawn" / "runs" / place.context.sweep_id / "attempts" / f"task_{number + 1:03d}.1"
        assert (folder / "stdout.log").read_text() == f"{server.user}\n{NASTY[number]}\n"
    waits = place.jobs(4, "sleep 60", batch="b2")
    place.launch(waits, limit=2)
    place.runs(*waits[:2])
    server.drop()
    place.source.cancel([job.ref for job in waits], force=False)
    for job in waits[:2]:
        assert place.end(job).stopped
    for job in waits[2:]:
        assert isinstance(place.end(job), SawNothing)
    place.until(lambda: pbs.processes() == 0, "no process left")
    assert pbs.counts()["qsub"] == 2


def test_a_whole_sweep_whose_engine_is_killed_after_qsub(new_pbs, tmp_path):
    pbs = new_pbs()
    project = tmp_path / "project"
    project.mkdir()
    (project / "sweep.yaml").write_text(
        "name: try\ngrid: {x: [1, 2, 3, 4, 5, 6, 7, 8]}\n"
        "command: 'echo {x} >>ran; echo {x} >$SWEEP_TASK_DIR/out; sleep 0.5'\n"
    )
    program = [sys.executable, "-c", "from spawn_tui.tui.cli.main import main; main()"]

    def spawn(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*program, *words, "--no-ui", "-y"], cwd=project, env=pbs.environment(), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    first = spawn("launch", "sweep.yaml", "--sources", "pbs:3")
    with first:
        wait_until(lambda: pbs.counts().get("qsub") or first.poll() is not None, "the submission")
        first.kill()
    second = spawn("resume", "latest")
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert sorted((project / "ran").read_text().split()) == [str(number) for number in range(1, 9)]
    outs = sorted((project / "sweeps" / "outputs").glob("*/tasks/*/out"))
    assert [path.read_text() for path in outs] == [f"{number}\n" for number in range(1, 9)]
    assert pbs.counts()["qsub"] == 1
    assert pbs.processes() == 0
