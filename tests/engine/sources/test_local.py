"""The local source with real processes: starting, ending, cancelling, adopting, and never losing sight of one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import spawn_tui.engine.run
from spawn_tui.engine.command import Invocation
from spawn_tui.engine.events import Ref
from spawn_tui.engine.observe import CannotTell, Observation, SawEnd, SawNothing, SawRunning
from spawn_tui.engine.sources import local
from spawn_tui.engine.sources.attempt import read_claim, read_outcome, revoke
from spawn_tui.engine.sources.base import Job
from spawn_tui.engine.sources.local import LocalSource
from spawn_tui.state.process import identify, search

RUNNER = Path(spawn_tui.engine.run.__file__).with_name("runner.sh")
LIMIT = 20.0
NOBODY: frozenset[Ref] = frozenset()


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT:g} s for {what}"
        time.sleep(0.005)


@dataclass
class Place:
    """A local source and what it has said so far."""

    base: Path
    source: LocalSource
    news: list[Observation] = field(default_factory=list)
    count: int = 0

    def job(self, *argv: str, timeout: float | None = None, workdir: str = "/", **env: str) -> Job:
        directory = self.base / f"task.{self.count}"
        directory.mkdir()
        token = f"{self.base.parent.name}.{self.base.name}.task_{self.count}.1"
        call = Invocation(argv, {"SWEEP_TOKEN": token, **env}, workdir)
        job = Job(Ref(self.count, 1), token, "b1", directory, lambda **_: call, timeout)
        self.count += 1
        return job

    def shell(self, script: str, **options: float) -> Job:
        return self.job("sh", "-c", script, **options)  # type: ignore[arg-type]

    def launch(self, *jobs: Job) -> None:
        self.source.launch("b1", jobs, limit=len(jobs))

    def launch_begun(self, script: str, **options: float) -> Job:
        """Launch a shell script, and wait until it writes its first line: it must."""
        job = self.shell(script, **options)
        self.launch(job)
        self.wait_for_output(job)
        return job

    def wait_for_output(self, job: Job, text: str = "") -> None:
        log = job.directory / "stdout.log"
        wait_until(
            lambda: log.exists() and log.read_text() and text in log.read_text(), f"{text!r} of {job.token}"
        )

    def poll(self) -> None:
        self.news += self.source.poll(time.time())

    def end(self, job: Job) -> SawEnd | SawNothing:
        """Poll until the attempt's end is told."""

        def told() -> list[SawEnd | SawNothing]:
            self.poll()
            return [
                seen for seen in self.news
                if isinstance(seen, SawEnd | SawNothing) and (seen.task, seen.attempt) == job.ref
            ]  # fmt: skip

        wait_until(told, f"the end of {job.token}")
        assert not living(job), "told as ended while it lives"
        return told()[0]

    def about(self, job: Job, kind: type) -> list[Observation]:
        return [seen for seen in self.news if isinstance(seen, kind) and (seen.task, seen.attempt) == job.ref]

    def successor(self, **times: float) -> Place:
        """The source of the next engine: it knows nothing, and is not told of its children by the kernel."""
        return Place(self.base, new_source(**times), count=self.count)

    def adopt(self, job: Job, *, seen: bool = True, cancelling: bool = False) -> None:
        own = frozenset({job.ref})
        self.source.adopt([job], running=own if seen else NOBODY, cancelling=own if cancelling else NOBODY)


def living(job: Job) -> dict[int, int]:
    return search("SWEEP_TOKEN", [job.token]).tagged.get(job.token, {})


def new_source(**times: float) -> LocalSource:
    quick = {"grace": LIMIT, "leftover_grace": 0.2, "watch": 0.01}
    environment = {**os.environ, "SPAWN_KILL_AFTER": "0.1"}
    return LocalSource("local", RUNNER, environment=environment, **{**quick, **times})  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path, new_source())
    yield place
    prefix = f"{tmp_path.parent.name}.{tmp_path.name}."
    tokens = [f"{prefix}task_{n}.1" for n in range(100)]
    while left := search("SWEEP_TOKEN", tokens).tagged:
        for pids in left.values():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):  # it ended since it was seen
                    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # there is none
        # What the test did not wait for; parts that other tests share (a guard, an emulator) live on.
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is none of ours."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    assert process.poll() is None, "a stranger was killed"
    process.kill()
    process.wait()


def forge_claim(job: Job, **change: str | int) -> None:
    me = identify(os.getpid())
    assert me is not None
    (job.directory / "claim").write_text(f"{replace(me, **change)}\n")  # type: ignore[arg-type]


# --- running -----------------------------------------------------------------------------------------------------


def test_it_runs_and_ends(place: Place) -> None:
    job = place.shell("echo hello")
    place.launch(job)
    assert place.end(job) == SawEnd(*job.ref, exit_code=0)
    assert isinstance(place.news[0], SawRunning)
    assert (job.directory / "stdout.log").read_text() == "hello\n"
    assert place.source.wake_after() is None


def test_a_failure_tells_its_status_and_last_words(place: Place) -> None:
    job = place.shell("echo one >&2; echo the reason >&2; exit 3")
    place.launch(job)
    assert place.end(job) == SawEnd(*job.ref, exit_code=3, message="the reason")


@pytest.mark.parametrize("code", [121, 122, 126])
def test_the_runners_own_numbers_are_free_for_commands(place: Place, code: int) -> None:
    job = place.shell(f"exit {code}")
    place.launch(job)
    end = place.end(job)
    assert isinstance(end, SawEnd) and (end.exit_code, end.failure) == (code, None)


def test_death_by_a_signal(place: Place) -> None:
    job = place.shell("kill -KILL $$")
    place.launch(job)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.signal == 9 and not end.stopped
    assert end.message == "ended by SIGKILL; often the machine had no memory left"


def test_a_missing_working_directory_is_a_failed_launch(place: Place) -> None:
    job = place.job("true", workdir="/no/such")
    place.launch(job)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.failure == "launch_failed" and "/no/such" in end.message


def test_what_the_system_refuses_to_start_is_told(place: Place) -> None:
    job = place.job("true", "x" * 4_000_000)
    place.launch(job)
    end = place.end(job)
    assert isinstance(end, SawNothing) and "Argument list too long" in end.message


def test_an_attempt_without_a_directory_never_runs(place: Place) -> None:
    job = place.job("true")
    job.directory.rmdir()
    place.launch(job)
    assert isinstance(place.end(job), SawNothing)


def test_a_timeout(place: Place) -> None:
    job = place.shell("sleep 60", timeout=0.1)
    place.launch(job)
    end = place.end(job)
    assert isinstance(end, SawEnd) and (end.failure, end.stopped) == ("timeout", False)
    assert end.message == "ran longer than its timeout of 0.1 s"


def test_a_timeout_that_term_does_not_impress(place: Place) -> None:
    job = place.shell("trap '' TERM; sleep 60 & setsid sleep 60 & sleep 60", timeout=0.1)
    place.source._grace = 0.1
    place.launch(job)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.failure == "timeout"


def test_a_long_timeout_is_passed_in_full(place: Place) -> None:
    """Not as 1.23457e+06, which busybox's sleep does not read."""
    job = place.shell("echo; sleep 60", timeout=1234567.0)
    place.launch(job)
    place.wait_for_output(job)
    wait_until(lambda: b"sleep\x001234567\0" in b"".join(command_lines(job)), "the timer")


def command_lines(job: Job) -> list[bytes]:
    lines: list[bytes] = []
    for pid in living(job):
        with suppress(FileNotFoundError):
            lines.append(Path(f"/proc/{pid}/cmdline").read_bytes())
    return lines


def test_signals_reach_tasks_as_if_started_from_a_shell(place: Place) -> None:
    """Python ignores SIGPIPE; a task must not inherit that, nor what `nohup` or `&` made of the others."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        job = place.job("grep", "-E", "SigIgn|SigBlk", "/proc/self/status")
        place.launch(job)
    finally:
        signal.signal(signal.SIGINT, before)
    place.end(job)
    _, blocked, _, ignored = (job.directory / "stdout.log").read_text().split()
    usual = (1 << signal.SIGSYS) - 1  # beyond are those the C library keeps for itself
    assert int(blocked, 16) & usual == int(ignored, 16) & usual == 0


def test_a_task_holds_nothing_of_the_engines_output(place: Place) -> None:
    """Else `spawn-tui launch --no-ui | cat` would hang on the tasks it left running."""
    job = place.launch_begun("echo; sleep 60")
    inherited = {os.readlink(f"/proc/self/fd/{fd}") for fd in (1, 2)} - {"/dev/null"}
    for pid in living(job):
        held = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert not held & inherited


def test_the_commands_of_other_threads_keep_their_exit_status(place: Place) -> None:
    """Another source runs sbatch and git: whoever takes their ends from it makes of a failure a success."""
    place.launch_begun("echo; sleep 60")
    others = [subprocess.Popen(["sh", "-c", "exit 7"]) for _ in range(20)]
    for other in others:
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked
    place.poll()
    assert [other.wait() for other in others] == [7] * 20


def test_an_end_is_seen_though_others_have_ended_and_nobody_asks(place: Place) -> None:
    other = subprocess.Popen(["true"])
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    try:
        end = place.end(place.launch_begun("echo; exit 5"))
        assert isinstance(end, SawEnd) and end.exit_code == 5
    finally:
        other.wait()


# --- what is left behind -----------------------------------------------------------------------------------------


def test_an_end_waits_for_the_group(place: Place) -> None:
    job = place.shell("trap '' TERM; sleep 60 & echo $!")
    place.launch(job)
    assert place.end(job) == SawEnd(*job.ref, exit_code=0)


def test_a_service_that_left_the_group_may_stay_when_all_went_well(place: Place) -> None:
    job = place.launch_begun("setsid sleep 60 & echo begun; sleep 0.05")

    def told() -> list[Observation]:
        place.poll()
        return place.about(job, SawEnd)

    wait_until(told, "its end")
    assert len(living(job)) == 1


def test_a_runner_that_is_killed_takes_its_command_along(place: Place) -> None:
    """First what lives on is ended, in the group and beyond; then the end is told."""
    job = place.launch_begun("setsid sleep 60 & echo begun; sleep 60")
    claim = read_claim(job.directory)
    assert claim is not None and claim.process is not None
    os.kill(claim.process.pid, signal.SIGKILL)
    end = place.end(job)
    assert isinstance(end, SawEnd) and (end.signal, end.stopped) == (9, False)


def test_a_directory_that_vanishes_is_told_when_the_command_has_ended(place: Place) -> None:
    job = place.launch_begun(
        "echo begun; while ! [ -e ../go ]; do sleep 0.01; done", workdir=str(place.base / "task.0")
    )  # type: ignore[arg-type]
    (job.directory).rename(place.base / "away")
    place.poll()
    assert not place.about(job, SawEnd)
    (place.base / "go").touch()
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.failure == "source_lost" and "its directory is gone" in end.message


# --- cancelling --------------------------------------------------------------------------------------------------


def test_cancel(place: Place) -> None:
    job = place.launch_begun("echo begun; sleep 60")
    place.source.cancel([job.ref], force=False)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.stopped and end.signal == 15


def test_cancel_kills_what_ignores_term(place: Place) -> None:
    place.source._grace = 0.1
    job = place.launch_begun("trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 60' & echo begun; sleep 60")
    place.source.cancel([job.ref], force=False)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.stopped


def test_cancel_by_force_does_not_wait(place: Place) -> None:
    job = place.launch_begun("trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 60' & echo begun; sleep 60")
    place.source.cancel([job.ref], force=True)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.stopped and end.signal == 9


def test_cancel_then_force(place: Place) -> None:
    job = place.launch_begun("trap '' TERM; echo begun; sleep 60 & wait; sleep 60")
    place.source.cancel([job.ref], force=False)
    place.poll()
    assert not place.about(job, SawEnd)
    place.source.cancel([job.ref], force=True)
    assert isinstance(place.end(job), SawEnd)


SAVER = """
save() { echo saving; sleep 0.3; echo saved; exit 0; }
trap save TERM; echo begun; while :; do sleep 0.01; done"""


@pytest.mark.parametrize("adopted", [False, True])
def test_a_program_gets_its_grace_though_its_shell_dies_at_once(place: Place, adopted: bool) -> None:
    job = place.launch_begun(f"({SAVER}) & wait")
    if adopted:
        place = place.successor()
        place.adopt(job)
    place.source.cancel([job.ref], force=False)
    place.end(job)
    assert (job.directory / "stdout.log").read_text().split() == ["begun", "saving", "saved"]


@pytest.mark.parametrize("adopted", [False, True])
@pytest.mark.parametrize("escaped", [False, True])
def test_term_comes_once(place: Place, adopted: bool, escaped: bool) -> None:
    """To many programs a second TERM means: at once, without saving."""
    loop = "while [ $n -lt 40 ]; do n=$((n + 1)); sleep 0.01; done"
    counter = f'n=0; trap "echo TERM" TERM; echo begun; {loop}; echo over'
    job = place.launch_begun(f"setsid sh -c '{counter}' & wait" if escaped else f"{counter}")
    if adopted:
        place = place.successor()
        place.adopt(job)
    place.source.cancel([job.ref], force=False)
    place.end(job)
    assert (job.directory / "stdout.log").read_text().split() == ["begun", "TERM", "over"]


def test_cancel_races_with_launch(place: Place) -> None:
    """TERM at every stage of a runner's youth: before its claim, before its trap, before its command."""
    jobs: list[Job] = []
    for step in range(40):
        job = place.shell("sleep 60")
        place.launch(job)
        started = time.perf_counter()
        while time.perf_counter() - started < step * 0.0001:
            pass
        place.source.cancel([job.ref], force=False)
        jobs.append(job)
    place.source._grace = 0.5
    for live in place.source._stopping.values():
        live.kill_at = time.monotonic() + 0.5
    for job in jobs:
        end = place.end(job)
        assert isinstance(end, SawEnd) and end.stopped


def test_what_ended_well_before_the_cancel_is_completed(place: Place) -> None:
    job = place.shell("true")
    place.launch(job)
    wait_until(lambda: read_outcome(job.directory), "its exit file")
    place.source.cancel([job.ref], force=False)
    assert place.end(job) == SawEnd(*job.ref, exit_code=0)


def test_what_ended_well_because_of_the_cancel_is_cancelled(place: Place) -> None:
    job = place.launch_begun(SAVER)
    place.source.cancel([job.ref], force=False)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.exit_code == 0 and end.stopped


def test_one_look_at_the_processes_serves_all(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [place.shell("echo begun; sleep 60") for _ in range(10)]
    place.launch(*jobs)
    for job in jobs:
        place.wait_for_output(job)
    walks: list[int] = []

    def counted(*arguments: object) -> object:
        walks.append(1)
        return search(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "search", counted)
    for job in jobs:
        (job.directory / "claim").unlink()
    place = place.successor()
    place.source.adopt(jobs, running=frozenset(job.ref for job in jobs), cancelling=NOBODY)
    assert len(walks) <= 2
    walks.clear()
    place.source.cancel([job.ref for job in jobs], force=True)
    assert len(walks) == 1
    walks.clear()
    place.source._clear_due = place.source._watch_due = 0.0
    place.poll()
    assert len(walks) <= 2


# --- adopting ----------------------------------------------------------------------------------------------------


def test_adopting_what_runs(place: Place) -> None:
    job = place.launch_begun(
        "echo begun; while ! [ -e go ]; do sleep 0.01; done; exit 5", workdir=str(place.base)
    )  # type: ignore[arg-type]
    place = place.successor()
    place.adopt(job)
    place.poll()
    (seen,) = place.news
    assert isinstance(seen, SawRunning) and seen.started_at is not None
    place.poll()
    assert len(place.news) == 1
    (place.base / "go").touch()
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.exit_code == 5 and end.ended_at is not None


def test_adopting_what_has_ended(place: Place) -> None:
    job = place.shell("exit 4")
    place.launch(job)
    place.end(job)
    place = place.successor()
    place.adopt(job)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.exit_code == 4


def test_adopting_what_was_never_begun_launches_it(place: Place) -> None:
    job = place.shell("echo ran")
    place.adopt(job, seen=False)
    assert place.end(job) == SawEnd(*job.ref, exit_code=0)
    assert (job.directory / "stdout.log").read_text() == "ran\n"


def test_adopting_what_is_about_to_begin_runs_it_once(place: Place) -> None:
    """The runner of the engine that died is still on its way to the claim; both may come there first."""
    jobs = [place.shell("echo ran >>../ran", workdir=str(place.base / f"task.{n}")) for n in range(30)]  # type: ignore[arg-type]
    place.launch(*jobs)
    after = place.successor()
    after.source.adopt(jobs, running=NOBODY, cancelling=NOBODY)
    for job in jobs:
        after.end(job)
    assert (place.base / "ran").read_text() == "ran\n" * len(jobs)


def test_a_cancel_before_the_begin_revokes(place: Place) -> None:
    job = place.shell("echo ran")
    place.adopt(job, seen=False, cancelling=True)
    assert isinstance(place.end(job), SawNothing)
    place.news.clear()  # what follows must come from the late runner itself
    place.launch(job)  # a runner that comes late
    assert isinstance(place.end(job), SawNothing)
    assert not (job.directory / "stdout.log").exists()


def test_a_cancel_goes_on_after_adoption(place: Place) -> None:
    job = place.launch_begun("echo begun; sleep 60")
    place = place.successor()
    place.adopt(job, cancelling=True)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.stopped


def test_adopting_a_revoked_one(place: Place) -> None:
    job = place.shell("true")
    assert revoke(job.directory) and revoke(job.directory)
    place.adopt(job, seen=False)
    assert isinstance(place.end(job), SawNothing)


@pytest.mark.parametrize("seen", [False, True])
def test_an_empty_claim_means_that_it_never_began(place: Place, seen: bool) -> None:
    """The runner was killed between making its claim and writing it, or there was no room for it."""
    job = place.shell("echo ran")
    (job.directory / "claim").touch()
    place.adopt(job, seen=seen)
    assert place.end(job) == SawEnd(*job.ref, exit_code=0)
    assert (job.directory / "stdout.log").read_text() == "ran\n"


def test_an_empty_claim_of_what_is_cancelled(place: Place) -> None:
    job = place.shell("echo ran")
    (job.directory / "claim").touch()
    place.adopt(job, seen=False, cancelling=True)
    assert isinstance(place.end(job), SawNothing)
    assert not (job.directory / "stdout.log").exists()


def test_a_claim_that_is_being_written_is_waited_for(place: Place) -> None:
    """Made, not yet written, and its runner lives: it is known by its token."""
    job = place.launch_begun("echo begun; sleep 60")
    claim = job.directory / "claim"
    text = claim.read_text()
    claim.write_text("")
    place = place.successor()
    place.adopt(job, seen=False)
    place.poll()
    assert not place.about(job, SawEnd) and not place.about(job, SawNothing)
    claim.write_text(text)
    place.source.cancel([job.ref], force=False)
    assert isinstance(place.end(job), SawEnd)


def test_a_vanished_directory_does_not_make_it_run_twice(place: Place) -> None:
    job = place.launch_begun("echo begun; sleep 60")
    job.directory.rename(place.base / "away")
    job.directory.mkdir()  # as an engine makes it before it launches again
    place = place.successor()
    place.adopt(job, seen=False)
    for _ in range(5):
        place.source._watch_due = 0.0
        place.poll()
    assert not (job.directory / "claim").exists(), "launched again while the first still runs"
    place.source.cancel([job.ref], force=False)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.stopped


def test_a_vanished_directory_whose_process_is_gone_too(place: Place) -> None:
    job = place.shell("true")
    job.directory.rmdir()
    place.adopt(job)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.failure == "source_lost" and str(job.directory) in end.message


def test_a_dead_runner_whose_command_lives_on(place: Place) -> None:
    job = place.launch_begun("setsid sleep 60 & echo begun; sleep 60")
    place.successor()
    claim = read_claim(job.directory)
    assert claim is not None and claim.process is not None
    os.kill(claim.process.pid, signal.SIGKILL)
    os.waitpid(claim.process.pid, 0)
    place = place.successor()
    place.adopt(job)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.failure == "source_lost"


def test_a_dead_runner_whose_command_hides_its_token(place: Place) -> None:
    """It was seen alive by this very source, so that the group is known to be its own."""
    job = place.launch_begun("echo begun; exec env -i sleep 60")
    place = place.successor()
    place.adopt(job)
    claim = read_claim(job.directory)
    assert claim is not None and claim.process is not None
    group = claim.process.pid
    assert search("", (), [group]).groups
    os.kill(group, signal.SIGKILL)
    os.waitpid(group, 0)
    place.end(job)
    assert not search("", (), [group]).groups


@pytest.mark.parametrize("start", ["1", ""], ids=["another start time", "only a token could tell"])
@pytest.mark.parametrize("cancelling", [False, True])
def test_a_pid_used_again_is_not_ours(
    place: Place, stranger: subprocess.Popen[bytes], cancelling: bool, start: str
) -> None:
    job = place.shell("true")
    forge_claim(job, pid=stranger.pid, start=start)
    place.adopt(job, cancelling=cancelling)
    if cancelling:
        place.source.cancel([job.ref], force=True)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.stopped is cancelling
    assert end.failure == "source_lost"


def test_another_boot_means_gone(place: Place, stranger: subprocess.Popen[bytes]) -> None:
    it = identify(stranger.pid)
    assert it is not None
    job = place.shell("true")
    forge_claim(job, pid=it.pid, start=it.start, boot="an earlier one")
    place.adopt(job)
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.failure == "source_lost"


def test_another_host_means_unknown(place: Place, stranger: subprocess.Popen[bytes]) -> None:
    it = identify(stranger.pid)
    assert it is not None
    job = place.shell("true")
    forge_claim(job, pid=it.pid, start=it.start, host="elsewhere")
    place.adopt(job)
    place.source.cancel([job.ref], force=False)
    place.source.cancel([job.ref], force=True)
    for _ in range(5):
        place.source._watch_due = 0.0
        place.poll()
    (seen,) = place.news
    assert isinstance(seen, CannotTell) and seen.reason.startswith("it was started on elsewhere")
    # Its exit file may still come, over a shared file system.
    (job.directory / "exit").write_text("0 - end\n")
    assert isinstance(place.end(job), SawEnd)


def test_a_foreign_pid_does_not_hide_a_child_with_that_number(place: Place) -> None:
    job = place.launch_begun("echo begun; while ! [ -e go ]; do sleep 0.01; done", workdir=str(place.base))  # type: ignore[arg-type]
    claim = read_claim(job.directory)
    assert claim is not None and claim.process is not None
    foreign = place.shell("true")
    forge_claim(foreign, pid=claim.process.pid, host="elsewhere")
    place.adopt(foreign)
    (foreign.directory / "exit").write_text("0 - end\n")
    place.end(foreign)
    (place.base / "go").touch()
    assert place.end(job) == SawEnd(*job.ref, exit_code=0)


def test_two_sources_of_one_engine_share_its_children(place: Place) -> None:
    other = place.successor()
    mine, theirs = place.shell("exit 1"), replace(place.shell("exit 2"), ref=Ref(7, 1))
    place.launch(mine)
    other.launch(theirs)
    for job in (mine, theirs):
        wait_until(lambda job=job: read_outcome(job.directory), "its exit file")
    place.poll()
    ends = other.end(theirs), place.end(mine)
    assert [end.exit_code for end in ends if isinstance(end, SawEnd)] == [2, 1]


def test_what_no_signal_ends_is_told_and_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process of another user would: the slot stays taken until it is gone."""
    monkeypatch.setattr(local, "STUBBORN", 0.05)
    real = os.killpg, os.kill

    def refuse(pid: int, number: int) -> None:
        if number:
            raise PermissionError(1, "Operation not permitted")
        real[0](pid, number)

    job = place.launch_begun("echo begun; sleep 60")
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", refuse)
        patch.setattr(os, "kill", refuse)
        place.source.cancel([job.ref], force=True)

        def told() -> list[Observation]:
            place.poll()
            return place.about(job, CannotTell)

        wait_until(told, "a word about it")
        assert not place.about(job, SawEnd)
    assert "does not end on KILL" in told()[0].reason  # type: ignore[union-attr]
    assert isinstance(place.end(job), SawEnd)


def test_a_full_disk_keeps_the_outcome_waiting(place: Place) -> None:
    """Seen by making the exit file impossible to write, then possible again."""
    job = place.launch_begun("mkdir exit; echo begun; exit 7", workdir=str(place.base / "task.0"))  # type: ignore[arg-type]
    wait_until(lambda: any(b"sleep" in line for line in command_lines(job)), "the runner's patience")
    place.poll()
    assert not place.about(job, SawEnd)
    (job.directory / "exit").rmdir()
    end = place.end(job)
    assert isinstance(end, SawEnd) and end.exit_code == 7
