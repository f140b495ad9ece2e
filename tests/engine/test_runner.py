"""The runner itself, under every shell it must work in."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import spawn_tui.engine.run
from spawn_tui.engine.sources.attempt import Outcome, read_claim, read_outcome, read_timed_out
from spawn_tui.state.process import identify, search

RUNNER = Path(spawn_tui.engine.run.__file__).with_name("runner.sh")
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
LIMIT = 20.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT:g} s for {what}"
        time.sleep(0.005)


@dataclass
class Runner:
    """Starts runners under one shell, each in a directory and a process group of its own."""

    shell: list[str]
    base: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self,
        *argv: str | bytes,
        limit: str = "0",
        workdir: Path | str = "/",
        directory: Path | None = None,
        **env: str,
    ) -> subprocess.Popen[bytes]:
        directory = directory or self.new()
        words = [*self.shell, str(RUNNER), str(directory), limit, str(workdir), *argv]
        process = subprocess.Popen(
            words, env={**os.environ, **env}, stdin=subprocess.DEVNULL, start_new_session=True
        )
        process.directory = directory  # type: ignore[attr-defined]
        self.started.append(process)
        return process

    def new(self) -> Path:
        directory = self.base / f"a '{len(self.started)}'"
        directory.mkdir()
        return directory

    def run(self, *argv: str | bytes, **options: str) -> tuple[int, Outcome | None, Path]:
        """Status of the runner, what its exit file says, and its directory."""
        process = self.start(*argv, **options)
        directory: Path = process.directory  # type: ignore[attr-defined]
        return process.wait(LIMIT), read_outcome(directory), directory


@pytest.fixture(params=SHELLS)
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    shell = SHELLS[request.param]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    runner = Runner(shell, tmp_path)
    yield runner
    for process in runner.started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def alive(group: int) -> bool:
    """Whether anything of the group lives; zombies that wait for init do not."""
    return bool(search("", (), [group]).groups)


@pytest.mark.parametrize("code", [0, 1, 3, 121, 122, 126, 127, 255])
def test_the_status_is_the_commands(runner: Runner, code: int) -> None:
    status, outcome, _ = runner.run("sh", "-c", f"exit {code}")
    assert status == code
    assert outcome is not None and (outcome.code, outcome.flag, outcome.timed_out) == (code, "-", None)


@pytest.mark.parametrize("name", ["TERM", "INT", "KILL", "SEGV"])
def test_death_by_a_signal(runner: Runner, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    status, outcome, _ = runner.run("sh", "-c", f"kill -{name} $$")
    assert status == 128 + number
    assert outcome is not None and (outcome.code, outcome.flag) == (128 + number, "-")


def test_a_command_that_is_not_there(runner: Runner) -> None:
    status, outcome, directory = runner.run("no-such-command")
    assert status == 127 and outcome is not None and outcome.code == 127
    assert "no-such-command" in (directory / "stderr.log").read_text()


def test_a_command_that_is_no_program(runner: Runner) -> None:
    path = runner.base / "data"
    path.write_text("x")
    status, outcome, _ = runner.run(str(path))
    assert status == 126 and outcome is not None and outcome.code == 126


def test_a_missing_working_directory(runner: Runner) -> None:
    status, outcome, directory = runner.run("touch", str(runner.base / "ran"), workdir="/no/such")
    assert status == 126
    assert outcome is not None and (outcome.code, outcome.flag) == (126, "workdir")
    assert "/no/such" in (directory / "stderr.log").read_text()
    assert not (runner.base / "ran").exists()


def test_it_runs_in_the_working_directory(runner: Runner) -> None:
    work = runner.base / "-w $(x)"
    work.mkdir()
    _, _, directory = runner.run("pwd", workdir=str(work))
    assert (directory / "stdout.log").read_text() == f"{work}\n"


def test_the_claim_is_there_before_the_command_and_names_the_runner(runner: Runner) -> None:
    process = runner.start("sh", "-c", "echo begun; sleep 60")
    directory: Path = process.directory  # type: ignore[attr-defined]
    log = directory / "stdout.log"
    wait_until(lambda: log.exists() and log.read_text(), "the command's output, while it runs")
    claim = read_claim(directory)
    assert claim is not None and not claim.revoked
    assert claim.process == identify(process.pid)
    assert read_outcome(directory) is None


def test_output_is_written_as_it_comes(runner: Runner) -> None:
    process = runner.start("sh", "-c", "echo out; echo err >&2; sleep 60")
    directory: Path = process.directory  # type: ignore[attr-defined]
    for name, text in (("stdout.log", "out\n"), ("stderr.log", "err\n")):
        log = directory / name
        wait_until(lambda log=log, text=text: log.exists() and log.read_text() == text, f"{text!r} in {name}")


def test_arguments_arrive_byte_for_byte(runner: Runner) -> None:
    nasty = [
        b"",
        b" ",
        b"$(id)",
        b"`id`",
        b"*",
        b"a\nb",
        b"'",
        b'"',
        b"\\n",
        b"-n",
        b"\xff\xfe",
        "ü".encode(),
        b"; exit 9",
    ]
    _, outcome, directory = runner.run("printf", r"%s\0", *nasty)
    assert outcome is not None and outcome.code == 0
    assert (directory / "stdout.log").read_bytes() == b"\0".join(nasty) + b"\0"


def test_the_environment_is_not_changed(runner: Runner) -> None:
    """None of the runner's own variables may take the place of the user's."""
    mine = dict.fromkeys(
        ("d", "work", "t", "w", "r", "s", "stat", "boot", "host", "start", "flag", "status"), "mine"
    )
    process = runner.start("env", limit="60", **mine)
    assert process.wait(LIMIT) == 0
    lines = (process.directory / "stdout.log").read_text().splitlines()  # type: ignore[attr-defined]
    seen = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {name: seen.get(name) for name in mine} == mine
    assert not [name for name in seen if name.startswith("spawn_")]


@pytest.mark.parametrize(
    "words",
    [
        "exit 0",
        "exec true",
        "cd /",
        ". /dev/null",
        "eval exit 0",
        "return 0",
        "command exit 0",
        "source /dev/null",
        "trap",
    ],
)
def test_words_of_the_shell_are_no_commands(runner: Runner, words: str) -> None:
    """An argument vector means a program; what the shell would do with the word must not end or change the runner."""
    status, outcome, _ = runner.run(*shlex.split(words))
    assert outcome is not None and outcome.code == status
    assert status in (126, 127), "no program of that name"


def test_term_reaches_the_command_and_is_told(runner: Runner) -> None:
    process = runner.start("sh", "-c", "echo begun; sleep 60")
    directory: Path = process.directory  # type: ignore[attr-defined]
    wait_until(
        lambda: (directory / "stdout.log").exists() and (directory / "stdout.log").read_text(), "the command"
    )
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(LIMIT) == 143
    outcome = read_outcome(directory)
    assert outcome is not None and (outcome.code, outcome.flag) == (143, "term")
    wait_until(lambda: not alive(process.pid), "the end of the whole group")


def test_a_command_may_end_well_after_term(runner: Runner) -> None:
    script = 'trap "echo saved; exit 0" TERM; echo begun; while :; do sleep 0.01; done'
    process = runner.start("sh", "-c", script)
    directory: Path = process.directory  # type: ignore[attr-defined]
    wait_until(
        lambda: (directory / "stdout.log").exists() and (directory / "stdout.log").read_text(), "the command"
    )
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(LIMIT) == 0
    outcome = read_outcome(directory)
    assert outcome is not None and (outcome.code, outcome.flag) == (0, "term")
    assert (directory / "stdout.log").read_text() == "begun\nsaved\n"


def test_a_timeout_ends_the_command(runner: Runner) -> None:
    process = runner.start("sh", "-c", "sleep 60 & sleep 60", limit="0.1")
    process.wait(LIMIT)
    outcome = read_outcome(process.directory)  # type: ignore[attr-defined]
    assert outcome is not None and (outcome.code, outcome.flag, outcome.timed_out) == (143, "term", "0.1")
    wait_until(lambda: not alive(process.pid), "the end of the whole group")


def test_a_timeout_ends_a_command_that_ignores_term(runner: Runner) -> None:
    process = runner.start(
        "sh", "-c", "trap '' TERM; sleep 60 & sleep 60", limit="0.1", SPAWN_KILL_AFTER="0.1"
    )
    assert process.wait(LIMIT) == -signal.SIGKILL
    directory: Path = process.directory  # type: ignore[attr-defined]
    assert read_outcome(directory) is None and read_timed_out(directory) == "0.1"
    wait_until(lambda: not alive(process.pid), "the end of the whole group")


def test_a_timeout_that_is_not_reached_leaves_nothing_behind(runner: Runner) -> None:
    for _ in range(20):  # a command that ends before its timer has begun, and one that ends after
        for command in ("true", "/bin/true"):
            process = runner.start(command, limit="60")
            assert process.wait(LIMIT) == 0
            wait_until(lambda process=process: not alive(process.pid), "the end of the timer")
            assert read_timed_out(process.directory) is None  # type: ignore[attr-defined]


def test_a_claimed_attempt_is_left_alone(runner: Runner) -> None:
    directory = runner.new()
    (directory / "claim").write_text("revoked by somebody\n")
    process = runner.start("touch", str(runner.base / "ran"), directory=directory)
    assert process.wait(LIMIT) == 121
    assert not (runner.base / "ran").exists()
    assert [path.name for path in directory.iterdir()] == ["claim"]


def test_without_a_directory_nothing_runs(runner: Runner) -> None:
    process = runner.start("touch", str(runner.base / "ran"), directory=runner.base / "missing")
    assert process.wait(LIMIT) == 121
    assert not (runner.base / "ran").exists()


def test_of_two_runners_started_at_once_one_runs(runner: Runner) -> None:
    """A hundred attempts, each started twice by two processes that a shell forks one after the other."""
    rounds = 100
    one = shlex.join([*runner.shell, str(RUNNER)])
    effects = runner.base / "effects"
    script = f"""
        n=0
        while [ $n -lt {rounds} ]; do
            mkdir "$1/race$n"
            {one} "$1/race$n" 0 / sh -c 'echo $1 >>"$2"' - $n "$1/effects" &
            {one} "$1/race$n" 0 / sh -c 'echo $1 >>"$2"' - $n "$1/effects" &
            wait
            n=$((n + 1))
        done"""
    subprocess.run(["sh", "-c", script, "-", str(runner.base)], check=True, timeout=60)
    assert sorted(map(int, effects.read_text().split())) == list(range(rounds))
