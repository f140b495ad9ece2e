"""Attempts on another machine: first one that is only another directory, then real ones behind real sshd."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from spawn_tui.engine.command import Invocation
from spawn_tui.engine.events import Ref
from spawn_tui.engine.observe import (
    Observation,
    SawEnd,
    SawNothing,
    SawRunning,
    SourceAway,
    SourceBack,
    SourceRefused,
)
from spawn_tui.engine.remote.host import Answer, Host, HostAway, HostRefused, LocalHost
from spawn_tui.engine.remote.ssh_host import SshHost, SshTarget
from spawn_tui.engine.sources import ssh as ssh_source
from spawn_tui.engine.sources import threaded
from spawn_tui.engine.sources.base import Job, SourceContext
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.engine.sources.ssh import SshSource
from spawn_tui.state.layout import SweepLayout

from tests.parts.sshd import Sshd

LIMIT = 20.0
RUNNER = Path(ssh_source.__file__).parents[1] / "runner.sh"


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT:g} s for {what}"
        time.sleep(0.01)


class Wire(LocalHost):
    """This machine as if it were another; the wire can be cut."""

    def __init__(self) -> None:
        super().__init__("far")
        self.cut = ""
        self.refuse = ""
        self.fails = ""
        """A verb that the machine cannot carry out."""
        self.cut_before: str | None = None
        """Cut the wire instead of carrying out this verb."""
        self.cut_after: str | None = None
        """Cut the wire once this verb was carried out, before its answer arrives."""

    def run(self, command, data=b"", *, limit, into=None) -> Answer:
        if self.refuse:
            raise HostRefused(self.refuse)
        if self.cut:
            raise HostAway(self.cut)
        if self.cut_before is not None and self.cut_before in command:
            self.cut, self.cut_before = "cut", None
            raise HostAway("cut in the middle")
        if self.fails and self.fails in command:
            return Answer(1, b"spawn-agent 1\n", b"Read-only file system\n")
        answer = super().run(command, data, limit=limit, into=into)
        if self.cut_after is not None and self.cut_after in command:
            self.cut, self.cut_after = "cut", None
            raise HostAway("cut in the middle")
        return answer


@dataclass
class Place:
    base: Path
    connect: Callable[[], Host]
    options: dict[str, str] = field(default_factory=dict)
    news: list[Observation] = field(default_factory=list)
    count: int = 0
    sources: list[SshSource] = field(default_factory=list)

    def __post_init__(self) -> None:
        layout = SweepLayout(self.base / "home")
        layout.runner.parent.mkdir(parents=True, exist_ok=True)
        layout.runner.write_bytes(RUNNER.read_bytes())
        self.context = SourceContext(layout, f"s-{os.getpid()}-{self.base.name}", self.base / "project")
        self.context.project.mkdir(exist_ok=True)
        self.options = {
            "remote_root": str(self.base / "far"),
            "project_dir": "/",
            "kill_after": "0.5",
            "verify": "no",
            **self.options,
        }
        self.successor()

    def successor(self) -> None:
        """The source of the next engine."""
        if self.sources:
            self.source.close()
        self.host = self.connect()
        self.source = SshSource(SourceSpec("far", "ssh", 4, self.options), self.context, self.host)
        self.sources.append(self.source)

    @property
    def far(self) -> Path:
        return Path(self.options["remote_root"]) / self.context.sweep_id

    def job(self, *argv: str, timeout: float | None = None, attempt: int = 1, **env: str) -> Job:
        token = f"{self.context.sweep_id}.task_{self.count + 1:03d}.{attempt}"
        call = Invocation(argv, {"SWEEP_TOKEN": token, **env}, "/")
        job = Job(
            Ref(self.count, attempt), token, "b1", self.base / "home" / token, lambda **_: call, timeout
        )
        self.count += 1
        return job

    def shell(self, script: str, **options: object) -> Job:
        return self.job("sh", "-c", script, **options)  # type: ignore[arg-type]

    def launch(self, *jobs: Job) -> None:
        self.source.launch("b1", jobs, limit=len(jobs))

    def poll(self) -> list[Observation]:
        self.news += self.source.poll(time.time())
        return self.news

    def ends(self, job: Job) -> list[SawEnd | SawNothing]:
        self.poll()
        return [s for s in self.news if isinstance(s, SawEnd | SawNothing) and (s.task, s.attempt) == job.ref]

    def end(self, job: Job) -> SawEnd | SawNothing:
        wait_until(lambda: self.ends(job), f"the end of {job.token}; so far {self.news}")
        (end,) = self.ends(job)
        return end

    def runs(self, job: Job) -> None:
        wait_until(
            lambda: any(isinstance(s, SawRunning) and (s.task, s.attempt) == job.ref for s in self.poll()),
            f"{job.token} to run; so far {self.news}",
        )

    def output(self, job: Job) -> str:
        return (
            self.far / "attempts" / f"task_{job.ref.task + 1:03d}.{job.ref.attempt}" / "stdout.log"
        ).read_text()

    def pids(self, job: Job) -> list[int]:
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    environ = Path(f"/proc/{entry}/environ").read_bytes()
                    state = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0]
                except OSError:
                    continue
                if f"SWEEP_TOKEN={job.token}".encode() in environ.split(b"\0") and state != "Z":
                    found.append(int(entry))
        return found

    def saw(self, kind: type) -> bool:
        return any(isinstance(seen, kind) for seen in self.poll())


@pytest.fixture(
    params=["directory", *(pytest.param(s, marks=pytest.mark.parts) for s in ("dash", "bash", "fish", "csh"))]
)
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Another directory, or a machine behind sshd whose user has that login shell, and start-up files that talk."""
    if request.param == "directory":
        yield from _closing(Place(tmp_path, Wire))
        return
    with Sshd(alias="far", shell=request.param) as server:
        for name in (".bashrc", ".profile", ".cshrc", ".config/fish/config.fish"):
            server.account.write(name, "echo Welcome to the machine room\n")
        target = SshTarget("far", home=server.home.path)
        yield from _closing(
            Place(tmp_path, lambda: SshHost(target), {"remote_root": f"{server.account.home}/runs"})
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from _closing(Place(tmp_path, Wire))


def _closing(place: Place) -> Iterator[Place]:
    yield place
    for source in place.sources:
        source.close()


def test_a_batch_is_launched_and_each_end_is_told(anywhere: Place) -> None:
    good, bad, killed, absent = (
        anywhere.shell("echo hello"),
        anywhere.shell("echo no >&2; exit 3"),
        anywhere.shell("kill -9 $$"),
        anywhere.job("/no/such"),
    )
    anywhere.launch(good, bad, killed, absent)
    assert anywhere.end(good).exit_code == 0
    assert anywhere.output(good) == "hello\n"
    end = anywhere.end(bad)
    assert (end.exit_code, end.message) == (3, "no")
    assert anywhere.end(killed).signal == signal.SIGKILL
    assert anywhere.end(absent).exit_code == 127 and "runner.sh" not in anywhere.end(absent).message
    assert (
        anywhere.end(good).started_at is not None
        and anywhere.end(good).ended_at >= anywhere.end(good).started_at
    )
    assert anywhere.host.usage.commands["sh"] < 12, "round trips are per batch, not per attempt"


def test_values_arrive_byte_for_byte(anywhere: Place) -> None:
    nasty = "x; touch /tmp/p $(id) `id` 'q' \"q\" \\ \n\t é ☃ * ~ !h & | < > #"
    job = anywhere.job("sh", "-c", 'printf %s "$V"; printf %s "$1"', "sh", nasty, V=nasty)
    anywhere.launch(job)
    assert anywhere.end(job).exit_code == 0
    assert anywhere.output(job) == nasty * 2


def test_cancel_before_and_while_it_runs(anywhere: Place) -> None:
    polite = anywhere.shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    rude = anywhere.shell("trap '' TERM; echo up; while :; do sleep 0.05; done")
    anywhere.launch(polite, rude)
    anywhere.runs(polite), anywhere.runs(rude)
    wait_until(lambda: anywhere.output(polite) and anywhere.output(rude), "both to trap TERM")
    anywhere.source.cancel([polite.ref, rude.ref], force=False)
    assert anywhere.end(polite).stopped
    assert anywhere.output(polite) == "up\nbye\n"
    end = anywhere.end(rude)
    assert end.stopped and not anywhere.pids(rude)


def test_what_left_the_group_is_ended_too(anywhere: Place) -> None:
    job = anywhere.shell("setsid sleep 300 & setsid sh -c 'trap \"\" TERM; sleep 301' & echo up; sleep 302")
    anywhere.launch(job)
    anywhere.runs(job)
    wait_until(lambda: len(anywhere.pids(job)) >= 4, "the escaped processes")
    anywhere.source.cancel([job.ref], force=False)
    assert anywhere.end(job).stopped
    assert not anywhere.pids(job)


def test_a_connection_that_drops_over_a_launch_runs_nothing_twice(place: Place) -> None:
    assert isinstance(place.host, Wire)
    place.host.cut_after = "launch"
    jobs = [place.shell(f"echo ran >>{place.base}/ran.{n}") for n in range(5)]
    place.launch(*jobs)
    wait_until(lambda: place.saw(SourceAway), "the drop")
    place.host.cut = ""
    for job in jobs:
        assert place.end(job).exit_code == 0
    assert [(place.base / f"ran.{n}").read_text() for n in range(5)] == ["ran\n"] * 5
    assert place.saw(SourceBack)


def test_a_launch_that_was_never_sent_goes_elsewhere_at_once(place: Place) -> None:
    assert isinstance(place.host, Wire)
    place.host.cut = "no route to host"
    job = place.shell("true")
    place.launch(job)
    end = place.end(job)
    assert isinstance(end, SawNothing) and end.source_fault and "no route to host" in end.message
    place.host.cut = ""
    wait_until(lambda: place.saw(SourceBack), "the source to come back")
    assert not (place.far / "attempts" / "task_001.1").exists()


def test_a_refusal_is_told_with_its_words(place: Place) -> None:
    assert isinstance(place.host, Wire)
    place.host.refuse = "the host key of far is unknown; run: ssh far"
    wait_until(lambda: place.saw(SourceRefused), "the refusal")


def test_what_runs_is_told_again_after_a_refusal(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it lasted nobody could say so: the sweep holds it for unknown until it hears that it runs."""
    monkeypatch.setattr(threaded, "REFUSED_PAUSE", 0.05)
    assert isinstance(place.host, Wire)
    place.launch(job := place.shell("exec sleep 300"))
    place.runs(job)
    place.host.refuse = "the host key of far has changed"
    wait_until(lambda: place.saw(SourceRefused), "the refusal")
    place.host.refuse = ""
    place.news.clear()
    place.runs(job)
    wait_until(lambda: place.saw(SourceBack), "the source to come back")
    assert sum(isinstance(seen, SawRunning) for seen in place.poll()) == 1
    place.source.cancel([job.ref], force=True)
    assert place.end(job).stopped


def test_the_next_engine_hears_what_runs(place: Place) -> None:
    """Its predecessor may have journalled it as unknown."""
    place.launch(job := place.shell("exec sleep 300"))
    place.runs(job)
    place.news.clear()
    place.successor()
    place.source.adopt([job], running=frozenset({job.ref}), cancelling=frozenset())
    place.runs(job)
    place.source.cancel([job.ref], force=True)
    assert place.end(job).stopped


def test_the_next_engine_adopts_what_runs_and_what_ended(anywhere: Place) -> None:
    running, ended, never = (
        anywhere.shell("sleep 1; echo done"),
        anywhere.shell("echo short"),
        anywhere.shell("echo late"),
    )
    anywhere.launch(running, ended)
    anywhere.runs(running)
    anywhere.end(ended)
    anywhere.news.clear()
    anywhere.successor()
    jobs = [running, ended, never]
    anywhere.source.adopt(jobs, running=frozenset({running.ref}), cancelling=frozenset())
    assert anywhere.end(ended).exit_code == 0
    assert anywhere.end(running).exit_code == 0
    assert anywhere.end(never).exit_code == 0, "what was journalled and never sent is launched"
    assert anywhere.output(running) == "done\n"


def test_the_next_engine_goes_on_with_a_cancel(anywhere: Place) -> None:
    running, never = anywhere.shell("sleep 300"), anywhere.shell("echo late")
    anywhere.launch(running)
    anywhere.runs(running)
    anywhere.successor()
    anywhere.source.adopt(
        [running, never], running=frozenset({running.ref}), cancelling=frozenset({running.ref, never.ref})
    )
    assert anywhere.end(running).stopped
    assert isinstance(anywhere.end(never), SawNothing)
    assert not anywhere.pids(running)


def test_a_runner_that_was_killed_is_told_and_cleared(anywhere: Place) -> None:
    job = anywhere.shell("setsid sleep 300 & sleep 301")
    anywhere.launch(job)
    anywhere.runs(job)
    wait_until(lambda: len(anywhere.pids(job)) >= 2, "its processes")
    claim = (anywhere.far / "attempts" / "task_001.1" / "claim").read_text()
    os.kill(int(claim.split(":")[0]), signal.SIGKILL)
    end = anywhere.end(job)
    assert end.failure == "source_lost" and "left no exit status" in end.message
    assert not anywhere.pids(job)


def test_a_vanished_directory_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_source, "DOUBT", 0.2)
    job = place.shell("exec sleep 300")
    place.launch(job)
    place.runs(job)
    import shutil

    shutil.rmtree(place.far / "attempts" / "task_001.1")
    assert "gone" in place.end(job).message
    assert not place.pids(job)


def test_a_directory_that_cannot_be_written_blames_the_machine(place: Place) -> None:
    first = place.shell("true")
    place.launch(first)
    place.end(first)
    import shutil

    shutil.rmtree(place.far / "attempts")
    (place.far / "attempts").write_text("in the way")
    job = place.shell("true")
    place.launch(job)
    end = place.end(job)
    assert isinstance(end, SawNothing) and end.source_fault


def test_timeout_is_enforced_there(anywhere: Place) -> None:
    job = anywhere.shell("sleep 300", timeout=0.3)
    anywhere.launch(job)
    end = anywhere.end(job)
    assert end.failure == "timeout" and not anywhere.pids(job)


def test_setup_lines_run_before_the_command_and_their_failure_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path, Wire, {"setup": "export GREETING=hi\ncd /tmp"})
    job = place.shell('echo "$GREETING from $(pwd)"')
    place.launch(job)
    assert place.end(job).exit_code == 0 and place.output(job) == "hi from /tmp\n"
    place.source.close()
    (tmp_path / "b").mkdir()
    place = Place(tmp_path / "b", Wire, {"setup": "false"})
    job = place.shell("echo never")
    place.launch(job)
    end = place.end(job)
    assert end.exit_code == 126 and "set-up of source far failed" in end.message
    place.source.close()


def test_one_order_that_cannot_be_done_keeps_nothing_else_waiting(place: Place) -> None:
    """A directory that turned read-only for claims: the cancel waits, the end of another task is told all the same."""
    assert isinstance(place.host, Wire)
    stuck, other = place.shell("sleep 300"), place.shell("sleep 0.5; echo done")
    place.launch(stuck, other)
    place.runs(stuck), place.runs(other)
    place.host.fails = "revoke"
    never = place.shell("true")
    place.source.adopt([never], running=frozenset(), cancelling=frozenset({never.ref}))
    assert place.end(other).exit_code == 0
    place.host.fails = ""
    assert isinstance(place.end(never), SawNothing), "it is done as soon as it can be"
    place.source.cancel([stuck.ref], force=True)
    assert place.end(stuck).stopped


def test_a_machine_that_answers_and_does_nothing_is_not_back(place: Place) -> None:
    assert isinstance(place.host, Wire)
    place.launch(running := place.shell("sleep 300"))
    place.runs(running)
    place.host.fails = "look"
    wait_until(lambda: place.saw(SourceAway), "the source to be away")
    place.news.clear()
    wait_until(
        lambda: sum(isinstance(seen, SourceAway) for seen in place.poll()) >= 2, "it to be tried again"
    )
    assert not place.saw(SourceBack), "who connects and cannot be asked is away: its grace goes on"
    place.host.fails = ""
    wait_until(lambda: place.saw(SourceBack), "the source to come back")
    place.source.cancel([running.ref], force=True)
    place.end(running)


def test_what_was_given_up_meanwhile_is_not_launched(place: Place) -> None:
    """The connection broke over the launch; when the machine comes back the work is somebody else's."""
    assert isinstance(place.host, Wire)
    place.launch(first := place.shell("true"))
    place.end(first)
    place.host.cut_before = "launch"
    job = place.shell(f"echo ran >>{place.base}/ran")
    place.launch(job)
    wait_until(lambda: place.saw(SourceAway), "the drop")
    place.source.cancel([job.ref], force=True)
    place.host.cut = ""
    assert isinstance(place.end(job), SawNothing)
    assert not (place.base / "ran").exists()


@pytest.mark.parametrize(
    "words", ["oops\u2028E task_002.1 - 0 - / 0 - end", "page 1\fX axis", "x\vP oops", "a\x85M 1 2"]
)
def test_what_a_task_says_is_no_answer_of_ours(place: Place, words: str) -> None:
    bad, running = (
        place.job("sh", "-c", 'printf "%s\\n" "$1" >&2; exit 3', "sh", words),
        place.shell("sleep 300"),
    )
    place.launch(bad, running)
    assert place.end(bad).exit_code == 3
    place.runs(running)
    assert not place.ends(running)
    place.source.cancel([running.ref], force=True)
    assert place.end(running).stopped
