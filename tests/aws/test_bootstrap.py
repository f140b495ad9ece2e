"""What runs on an instance, run for real: under three shells, against a metadata service and a bucket of our own."""

from __future__ import annotations

import gzip
import io
import os
import shlex
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from spawn_tui.engine.aws.bootstrap import MARKER, user_data
from spawn_tui.engine.aws.bucket import UploadGrant
from spawn_tui.engine.aws.launch_request import USER_DATA_BYTES
from spawn_tui.engine.redact import redacted

from .boot_field import FORM, NAME, SHELLS, Machine, wait_until

NewMachine = Callable[..., Machine]

NASTY = {
    "PLAIN": "plain",
    "QUOTES": "it's \"quoted\" '\"'\"' \\' \\\\",
    "LINES": "one\ntwo\n\n",
    "COMMANDS": "$(id) `id` ${HOME} $HOME; touch /tmp/p & | > <",
    "UNICODE": "naïve – 数 \udcff\udcfe",
    "GLOB": "* ? [a-z] ~ {a,b} !x #y %s \\n",
    "EMPTY": "",
    "SPACES": "  two  spaces\ttab  ",
    "EQUALS": "a=b==",
    "DASH": "-n",
}
SHOW = "import os,sys\nfor w in sys.argv[1:]: sys.stdout.buffer.write(os.fsencode(w)+b'\\0')"


@pytest.fixture
def new_machine() -> Iterator[NewMachine]:
    with ExitStack() as stack:

        def new(shell: str = "dash", **options: object) -> Machine:
            machine = Machine(shell, **options)  # type: ignore[arg-type]
            stack.callback(machine.close)
            return machine

        yield new


@pytest.fixture(params=SHELLS)
def machine(request: pytest.FixtureRequest, new_machine: NewMachine) -> Machine:
    return new_machine(request.param)


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size, info.mode = len(content), 0o600
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


# --- the work ----------------------------------------------------------------------------------------------------


def test_a_command_runs_in_the_project_and_everything_it_leaves_is_uploaded(machine: Machine) -> None:
    script = 'cat data.txt; echo oops >&2; cd "$SWEEP_TASK_DIR"; mkdir "b c"; echo r >"b c/it\'s; \\"x\\",é"; exit 3'
    report = machine.run(
        "sh", "-c", script, project=archive(**{"data.txt": b"from home\n"}), files={"params.json": b"{}"}
    )
    assert (report.status, report.flag, report.message) == (3, "-", "oops")
    assert report.instance == "i-0123456789abcdef0"
    assert report.started_at and report.ended_at and report.started_at <= report.ended_at
    assert machine.file("stdout.log") == b"from home\n"
    assert machine.file("stderr.log") == b"oops\n"
    assert machine.file("params.json") == b"{}"
    assert machine.file('b c/it\'s; "x",é') == b"r\n"
    assert machine.file("exit") == b"3 - end\n"
    assert b"task_001.1 on i-0123456789abcdef0" in (machine.file("bootstrap.log") or b"")
    assert machine.bucket.written[-1] == f"{machine.prefix}/reports/{NAME}"
    assert machine.shutdowns() == ["-h now"]


def test_nasty_values_arrive_byte_for_byte(machine: Machine) -> None:
    names = [*NASTY, "odd-name"]
    env = {**NASTY, "odd-name": "x y"}
    code = f"{SHOW}\nfor n in {names!r}: sys.stdout.buffer.write(os.environb[n.encode()]+b'\\0')"
    report = machine.run("/usr/bin/python3", "-c", code, *NASTY.values(), env=env)
    assert report.status == 0
    wanted = [*NASTY.values(), *NASTY.values(), "x y"]
    assert machine.file("stdout.log") == b"".join(os.fsencode(word) + b"\0" for word in wanted)


def test_a_login_shell_sees_the_same_values(machine: Machine) -> None:
    # As `su - ec2-user -c PROGRAM` has it: nothing but what the profile says.
    code = f"{SHOW}\nfor n in {[*NASTY]!r}: sys.stdout.buffer.write(os.environb[n.encode()]+b'\\0')"
    login = f'. "$0"/profile.d/spawn-sweep.sh; exec /usr/bin/python3 -c {shlex.quote(code)} "$SWEEP_TASK_DIR"'
    machine.run("env", "-i", f"SPAWN_ROOT={machine.root}", "sh", "-c", login, str(machine.root), env=NASTY)
    wanted = [str(machine.dir), *NASTY.values()]
    assert machine.file("stdout.log") == b"".join(os.fsencode(word) + b"\0" for word in wanted)
    profile = machine.root / "profile.d" / "spawn-sweep.sh"
    assert profile.stat().st_mode & 0o777 == 0o644


def test_user_data_alone_is_the_task_under_its_own_interpreter(machine: Machine) -> None:
    report = machine.run(
        script="#!/usr/bin/python3 -B\nimport sys, os\n"
        "print('python', os.environ['NAME'], sys.flags.dont_write_bytecode)\nsys.exit(7)\n",
        env={"NAME": "n1"},
    )
    assert (report.status, report.flag) == (7, "-")
    assert machine.file("stdout.log") == b"python n1 1\n"


def test_user_data_without_an_interpreter_is_a_shell_script(new_machine: NewMachine) -> None:
    machine = new_machine()
    assert machine.run(script="\necho $((6 * 7))\n").status == 0
    assert machine.file("stdout.log") == b"42\n"


def test_user_data_before_a_command_prepares_for_it(machine: Machine) -> None:
    report = machine.run(
        "sh", "-c", 'cat prepared; echo "$1"', "-", "an 'argument", script="#!/bin/sh\necho ready >prepared\n"
    )
    assert report.status == 0
    assert machine.file("stdout.log") == b"ready\nan 'argument\n"


def test_the_command_is_not_begun_where_its_preparation_failed(new_machine: NewMachine) -> None:
    machine = new_machine()
    report = machine.run("echo", "begun", script="#!/bin/sh\necho no such package >&2\nexit 9\n")
    assert (report.status, report.flag) == (9, "setup")
    assert report.message.startswith("user_data ended with status 9:")
    assert machine.file("stdout.log") == b""


def test_which_attempt_it_is_says_the_launch_index(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.imds.facts["meta-data/ami-launch-index"] = "1"
    pack = machine.pack(
        machine.attempt("echo", "first"), machine.attempt("echo", "second", name="task_002.1")
    )
    machine.start(machine.user_data(pack))
    wait_until(lambda: machine.report("task_002.1"), "the report")
    assert machine.file("stdout.log", "task_002.1") == b"second\n"
    assert machine.report() is None


def test_files_of_the_attempt_before_are_there(machine: Machine) -> None:
    machine.bucket.objects["old/1"], machine.bucket.objects["old/2"] = b"weights", b"more"
    odd = "ckpt/it's \\0 $(id)\n3é "
    report = machine.run(
        "/usr/bin/python3", "-c",
        f"import os; d={str(machine.root / 'previous')!r}; print(sorted((r, f) for r, _, f in os.walk(d)));"
        f"print(open(os.path.join(d, {odd!r})).read())",
        previous=(("last.pt", machine.url("old/1")), (odd, machine.url("old/2"))),
    )  # fmt: skip
    assert report.status == 0, machine.file("stderr.log")
    assert (machine.root / "previous" / "last.pt").read_bytes() == b"weights"
    assert (machine.root / "previous" / odd).read_bytes() == b"more"
    assert (machine.file("stdout.log") or b"").endswith(b"more\n")


def test_the_region_and_the_endpoint_are_known_to_programs(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.run(
        "sh", "-c", 'echo "$AWS_REGION $AWS_DEFAULT_REGION $AWS_ENDPOINT_URL"', env={"AWS_REGION": "own"}
    )
    assert machine.file("stdout.log") == f"own eu-west-3 {machine.bucket.url}\n".encode()


def test_the_instance_knows_its_region_better_than_its_bucket(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.imds.facts["meta-data/placement/region"] = "us-west-2"
    machine.run("sh", "-c", 'echo "$AWS_REGION"')
    assert machine.file("stdout.log") == b"us-west-2\n"


def test_a_timeout_is_told(new_machine: NewMachine) -> None:
    report = new_machine().run("sleep", "60", timeout=0.5)
    assert (report.flag, report.message) == ("timeout", "ran longer than its timeout of 0.5 s")
    assert report.status == 143


def test_a_directory_that_is_not_there_is_told(new_machine: NewMachine) -> None:
    report = new_machine().run("true", workdir="/nowhere/at all")
    assert (report.status, report.flag) == (126, "workdir")


def test_what_the_task_left_running_is_ended(machine: Machine) -> None:
    report = machine.run(
        "sh",
        "-c",
        "setsid sleep 300 & setsid sh -c 'trap \"\" TERM; while :; do sleep 300; done' & echo over",
    )
    assert report.status == 0
    wait_until(lambda: not machine.alive(), "everything to be gone", 10)


def test_a_runner_that_is_killed_is_a_failure(new_machine: NewMachine) -> None:
    machine = new_machine()
    report = machine.run("sh", "-c", "kill -KILL $PPID; sleep 300")
    assert (report.status, report.flag) == (137, "-")
    assert report.message.startswith("its runner was killed")


def test_results_by_the_habit_of_the_guides_are_outputs(machine: Machine) -> None:
    tmp = machine.root / "tmp"
    names = ("result.txt", "result-2.csv", "results.parquet", "metrics.json", "other.json", "result.bin")
    script = (
        f'cd {tmp}; for f in {" ".join(names)}; do echo "$f" >"$f"; done; ln -s /etc/passwd result.json; '
    )
    script += "touch -d 2001-01-01 results.old; mkdir results.d; echo mine >$SWEEP_TASK_DIR/metrics.json"
    assert machine.run("sh", "-c", script).status == 0
    found = {name for name in (*names, "result.json", "results.old") if machine.file(name) is not None}
    assert found == {"result.txt", "result-2.csv", "results.parquet", "metrics.json"}
    assert machine.file("metrics.json") == b"mine\n"


# --- spored ------------------------------------------------------------------------------------------------------


def test_spored_says_how_it_went(machine: Machine) -> None:
    report = machine.run(
        script='#!/bin/sh\nspored status\nspored complete --status failed --message "it\'s\nbad é"\n'
    )
    assert (report.status, report.flag, report.message) == (1, "-", "it's bad é")
    assert b"attempt: task_001.1\n" in (machine.file("stdout.log") or b"")


def test_what_spored_said_outweighs_the_exit_status(new_machine: NewMachine) -> None:
    report = new_machine().run("sh", "-c", "spored complete -s success -m fine; exit 5")
    assert (report.status, report.flag, report.message) == (0, "-", "fine")


def test_a_script_that_goes_on_after_spored_is_ended_after_the_delay(new_machine: NewMachine) -> None:
    machine = new_machine(completion_delay=1.0)
    began = time.monotonic()
    report = machine.run(
        "sh",
        "-c",
        "trap '' TERM; spored complete; echo goes on; while :; do sleep 0.2; echo on; done",
        env={},
    )
    assert (report.status, report.flag) == (0, "-")
    assert time.monotonic() - began >= 1
    assert (machine.file("stdout.log") or b"").count(b"on\n") >= 2


@pytest.mark.parametrize(
    "words",
    [["complete", "--status", "fine"], ["complete", "--statu"], ["extend", "soon"], ["extend"], [], ["x"]],
)
def test_spored_refuses_what_it_does_not_know(new_machine: NewMachine, words: list[str]) -> None:
    machine = new_machine()
    report = machine.run("sh", "-c", f"spored {shlex.join(words)}; echo $?")
    assert (report.status, machine.file("stdout.log")) == (0, b"2\n")
    assert b"usage: spored" in (machine.file("stderr.log") or b"")


# --- the guards --------------------------------------------------------------------------------------------------


def test_the_ttl_ends_the_work_and_saves_what_it_wrote(machine: Machine) -> None:
    machine.ttl = 2
    report = machine.run("sh", "-c", "echo begun; echo half >$SWEEP_TASK_DIR/half; sleep 300")
    assert (report.flag, report.message, report.status) == ("ttl", "its TTL has ended", 143)
    assert machine.file("half") == b"half\n"


def test_the_timer_of_the_os_is_armed_before_anything_is_fetched(machine: Machine) -> None:
    machine.ttl = 3600
    (machine.base / "timer").touch()
    machine.bucket.away = True
    machine.start(machine.user_data(machine.pack(machine.attempt("true"))))
    wait_until(lambda: machine.bucket.seen, "the first request")
    assert machine.shutdowns() == ["-P +65"]  # TTL and five minutes


def test_where_the_os_has_no_timer_one_of_our_own_needs_nobody(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.ttl = 1
    machine.env |= {"SPAWN_SLACK": "1", "SPAWN_FETCH_LIMIT": "300"}
    machine.bucket.away = True
    process = machine.start(machine.user_data(machine.pack(machine.attempt("true"))))
    wait_until((machine.root / "timer").exists, "the timer")
    wait_until(lambda: machine.bucket.seen, "the first request")
    os.killpg(process.pid, signal.SIGKILL)  # all of ours but the timer, whose session is its own
    wait_until(lambda: "-h now" in machine.shutdowns(), "the shutdown", 20)


def test_a_pack_that_cannot_be_had_is_reported_and_the_instance_goes(machine: Machine) -> None:
    machine.env["SPAWN_FETCH_LIMIT"] = "1"
    machine.start(machine.user_data(machine.pack(machine.attempt("true")), sha="0" * 64))
    report = machine.gone()
    assert (report.status, report.flag) == (125, "setup")
    assert report.message == "the pack could not be fetched: its checksum is wrong"
    assert b"its checksum is wrong" in (machine.file("bootstrap.log") or b"")


def test_a_pack_that_comes_late_is_waited_for(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.bucket.away = True
    machine.start(machine.user_data(machine.pack(machine.attempt("true"))))
    wait_until(machine.said("the answer was 503"), "a failed try")
    machine.bucket.away = False
    assert machine.gone().status == 0


@pytest.mark.parametrize("shell", ["dash", "busybox"])
def test_the_tag_moves_the_ttl_both_ways(new_machine: NewMachine, shell: str) -> None:
    machine = new_machine(shell, ttl=2)
    (machine.base / "timer").touch()
    later = int(time.time()) + 3000
    machine.imds.facts["meta-data/tags/instance/spawn:ttl"] = str(later)
    machine.start(
        machine.user_data(machine.pack(machine.attempt("sh", "-c", "sleep 3; echo past; sleep 300")))
    )
    wait_until(machine.wrote("stdout.log", b"past\n"), "the work to live beyond its first TTL")
    assert (machine.root / "deadline").read_text() == f"{later}\n"
    assert next(line for line in machine.shutdowns() if line != "-P +6") in ("-P +54", "-P +55")
    machine.imds.facts["meta-data/tags/instance/spawn:ttl"] = "soon"  # means nothing
    machine.imds.facts["meta-data/tags/instance/spawn:ttl"] = str(int(time.time()) - 1)
    assert machine.gone().flag == "ttl"


def test_spored_extends_the_ttl(new_machine: NewMachine) -> None:
    machine = new_machine(ttl=2)
    report = machine.run("sh", "-c", "spored extend 1h; sleep 3; spored status")
    assert (report.status, report.flag) == (0, "-")
    assert b"ttl: 35" in (machine.file("stdout.log") or b"")


def test_a_ttl_that_is_moved_on_the_instance_is_told(machine: Machine) -> None:
    """Else the engine, which knows the TTL of the launch, would end it; what comes by tag later is told as well."""
    machine.ttl = 600
    work = "until [ -e $SWEEP_TASK_DIR/go ]; do sleep 0.1; done; spored extend 1h; sleep 300"
    machine.start(machine.user_data(machine.pack(machine.attempt("sh", "-c", work))))
    wait_until((machine.dir / "stdout.log").exists, "the work")
    deadline, key = machine.root / "deadline", f"{machine.prefix}/deadlines/{NAME}"
    first = int(deadline.read_text())
    machine.imds.facts["meta-data/tags/instance/spawn:ttl"] = str(first + 60)
    wait_until(lambda: deadline.read_text() == f"{first + 60}\n", "the tag to count")
    wait_until(looks(machine, 2), "two looks")
    assert key not in machine.bucket.objects, "the engine has set the tag itself"
    (machine.dir / "go").touch()
    told = machine.bucket.objects
    wait_until(lambda: told.get(key) == f"{first + 60 + 3600}\n".encode(), "the new deadline")
    assert deadline.read_text() == f"{first + 60 + 3600}\n"
    wait_until(looks(machine, 2), "two looks")
    machine.imds.facts["meta-data/tags/instance/spawn:ttl"] = str(first + 120)
    wait_until(lambda: told.get(key) == f"{first + 120}\n".encode(), "what the tag says since")
    wait_until(looks(machine, 2), "two looks")
    assert machine.bucket.written.count(key) == 2


def test_a_ttl_that_cannot_be_told_is_told_later(new_machine: NewMachine) -> None:
    machine = new_machine(ttl=600)
    machine.bucket.refuse = lambda key: 403 if "/deadlines/" in key else 0
    machine.start(machine.user_data(machine.pack(machine.attempt("sh", "-c", "spored extend 1h; sleep 300"))))
    wait_until(machine.said("when the TTL ends could not be told: HTTP 403"), "a refused try")
    machine.bucket.refuse = lambda key: 0
    deadline = machine.root / "deadline"
    wait_until(
        lambda: machine.bucket.objects.get(f"{machine.prefix}/deadlines/{NAME}") == deadline.read_bytes(),
        "the new deadline",
    )


def test_a_bucket_that_does_not_answer_keeps_no_ttl_from_its_end(new_machine: NewMachine) -> None:
    machine = new_machine(ttl=2)
    machine.bucket.refuse = lambda key: 503 if "/deadlines/" in key else 0
    machine.start(machine.user_data(machine.pack(machine.attempt("sh", "-c", "spored extend 2s; sleep 300"))))
    wait_until(lambda: (machine.root / "moved").exists(), "the move")
    assert machine.gone(25).flag == "ttl"


def looks(machine: Machine, count: int) -> Callable[[], bool]:
    """Whether the guard of the TTL has looked that many times more."""
    path = "/latest/meta-data/tags/instance/spawn:ttl"
    wanted = sum(seen == path for _, seen in machine.imds.seen) + count
    return lambda: sum(seen == path for _, seen in machine.imds.seen) >= wanted


class Counters:
    """A /proc of our own: what the idle guard reads."""

    def __init__(self, machine: Machine) -> None:
        self.base = machine.base / "proc"
        (self.base / "net").mkdir(parents=True)
        machine.env |= {"SPAWN_PROC": str(self.base), "SPAWN_IDLE_EVERY": "1"}
        self.cpu, self.net, self.disk, self.idle = 1_000, 5_000_000_000, 900_000, 10**7
        self.write()

    def write(self) -> None:
        self._put("stat", f"cpu  {self.cpu} 0 0 {self.idle} 99 0 0 7 0 0\ncpu0 1 2 3 4\n")
        self._put(
            "net/dev",
            "Inter-|   Receive                                                |  Transmit\n"
            " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n"
            f"    lo: {10**12} 1 0 0 0 0 0 0 {10**12} 1 0 0 0 0 0 0\n"
            f"  ens5:{self.net} 1 0 0 0 0 0 0 77 1 0 0 0 0 0 0\n",
        )
        self._put(
            "diskstats",
            f" 259 0 nvme0n1 5 0 {self.disk} 9 8 0 1000 7 0 0 0\n 259 1 nvme0n1p1 5 0 {self.idle} 9 8 0 1 7 0 0 0\n",
        )

    def _put(self, name: str, text: str) -> None:
        new = self.base / "new"
        new.write_text(text)
        new.rename(self.base / name)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_machine_that_does_nothing_is_ended(new_machine: NewMachine, shell: str) -> None:
    machine = new_machine(shell, idle_timeout=2.0)
    counters = Counters(machine)
    machine.start(machine.user_data(machine.pack(machine.attempt("sleep", "300"))))

    def ended() -> bool:
        counters.idle += 100_000  # idle time, and a partition whose disk says nothing of it
        counters.write()
        return "-h now" in machine.shutdowns()

    wait_until(ended, "the end")
    report = machine.gone()
    assert (report.flag, report.message) == ("idle", "it was idle for 2 s")


def test_what_a_machine_does_keeps_it_alive(new_machine: NewMachine) -> None:
    steps = {"cpu": 5, "net": 3_000, "disk": 150}  # every tenth of a second: half a core, 30 kB/s, 750 kB/s
    machines = {busy: new_machine(idle_timeout=2.0) for busy in steps}
    counters = {busy: Counters(machine) for busy, machine in machines.items()}
    for machine in machines.values():
        machine.start(machine.user_data(machine.pack(machine.attempt("sh", "-c", "echo begun; sleep 300"))))
    for machine in machines.values():
        wait_until(machine.wrote("stdout.log", b"begun"), "the work")
    until = time.monotonic() + 5

    def moved_on() -> bool:
        for busy, those in counters.items():
            setattr(those, busy, getattr(those, busy) + steps[busy] * 10)
            those.idle += 100_000  # of a partition and of the idle time: no work
            those.write()
        time.sleep(0.1)
        return time.monotonic() > until

    wait_until(moved_on, "five seconds of work")
    assert not [busy for busy, machine in machines.items() if machine.shutdowns()]
    for machine in machines.values():
        assert machine.gone().flag == "idle"


def test_a_busy_graphics_card_keeps_it_alive(new_machine: NewMachine) -> None:
    machine = new_machine(idle_timeout=2.0)
    Counters(machine)
    looks = machine.base / "looks"
    machine.program(
        "nvidia-smi", f'#!/bin/sh\necho >>{looks}\necho "0"\n[ -e {looks}.off ] && echo 4 || echo 97\n'
    )
    machine.start(machine.user_data(machine.pack(machine.attempt("sleep", "300"))))
    wait_until(lambda: looks.exists() and len(looks.read_text()) >= 4, "four looks")
    assert not machine.shutdowns()
    Path(f"{looks}.off").touch()
    assert machine.gone().flag == "idle"


def test_a_spot_notice_is_reported_first(machine: Machine) -> None:
    work = "trap 'echo saved >$SWEEP_TASK_DIR/ckpt; exit 0' TERM; echo begun; while :; do sleep 0.1; done"
    machine.start(machine.user_data(machine.pack(machine.attempt("sh", "-c", work))))
    wait_until(machine.wrote("stdout.log", b"begun"), "the work")
    machine.imds.facts["meta-data/spot/instance-action"] = (
        '{"action": "terminate", "time": "2026-11-22T22:00:00Z"}'
    )
    report = machine.gone()
    assert report.flag == "spot"
    assert "action: terminate" in report.message
    written = [key.removeprefix(f"{machine.prefix}/") for key in machine.bucket.written]
    first, last = written.index(f"reports/{NAME}"), len(written) - 1
    assert first < written.index(f"attempts/{NAME}/ckpt") < last
    assert written[last] == f"reports/{NAME}"


def test_a_spot_notice_while_it_uploads_does_not_make_it_run_again(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.env["SPAWN_UPLOAD_LIMIT"] = "60"
    machine.bucket.refuse = lambda key: 503 if key.endswith("/big") else 0
    machine.start(machine.user_data(machine.pack(machine.attempt("sh", "-c", "echo x >$SWEEP_TASK_DIR/big"))))
    wait_until(machine.said("ended: status 0"), "the end")
    machine.imds.facts["meta-data/spot/instance-action"] = '{"action": "terminate"}'
    wait_until(machine.report, "an early report")
    report = machine.report()
    assert report is not None and (report.status, report.flag) == (0, "-")
    assert report.unsent >= 1, "should it be the last, it says that not all has come"
    machine.bucket.refuse = lambda key: 0
    report = machine.gone(60)
    assert (report.status, report.unsent) == (0, 0)
    assert machine.file("big") == b"x\n"


def test_term_ends_the_work_and_reports(machine: Machine) -> None:
    process = machine.start(
        machine.user_data(machine.pack(machine.attempt("sh", "-c", "echo begun; exec sleep 300")))
    )
    wait_until(machine.wrote("stdout.log", b"begun"), "the work")
    process.send_signal(signal.SIGTERM)
    report = machine.gone()
    assert (report.flag, report.status) == ("term", 143)


def test_term_while_it_fetches_the_project(new_machine: NewMachine) -> None:
    machine = new_machine()
    process = machine.start(machine.user_data(machine.pack(machine.attempt("true"), project=archive(a=b""))))
    machine.bucket.objects = {
        key: body for key, body in machine.bucket.objects.items() if "projects/" not in key
    }
    wait_until(machine.said("not fetched yet"), "a failed try")
    process.send_signal(signal.SIGTERM)
    assert machine.gone().flag == "term"


# --- to the bucket -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_role_signs_for_itself(new_machine: NewMachine, shell: str) -> None:
    machine = new_machine(shell, role=True)
    machine.imds.give_role()
    odd = "it's a+b é~*%(1)[2]{3,4}"
    report = machine.run(
        "/usr/bin/python3",
        "-c",
        f"import os; open(os.environ['SWEEP_TASK_DIR']+{'/' + odd!r}, 'w').write('x')",
    )
    assert report.status == 0, machine.told()
    assert machine.file(odd) == b"x"
    head = machine.bucket.signatures[0]
    assert "Credential=ASIAEXAMPLE/" in head and "/eu-west-3/s3/aws4_request" in head
    assert "x-amz-content-sha256" in head and "x-amz-security-token" in head


def test_a_role_that_comes_late_is_waited_for(new_machine: NewMachine) -> None:
    machine = new_machine(role=True)
    machine.start(machine.user_data(machine.pack(machine.attempt("echo", "x"))))
    wait_until(machine.said("ended: status 0"), "the end")
    machine.imds.give_role()
    assert machine.gone().status == 0
    assert machine.file("stdout.log") == b"x\n"


def test_uploads_are_repeated_while_the_bucket_is_busy(machine: Machine) -> None:
    machine.bucket.faults = [503, 429]
    report = machine.run("echo", "x")
    assert (report.status, report.message) == (0, "")
    assert machine.file("stdout.log") == b"x\n"
    assert not machine.bucket.faults


def test_uploads_have_a_limit_and_what_is_missing_is_told(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.env["SPAWN_UPLOAD_LIMIT"] = "3"
    machine.bucket.refuse = lambda key: 503 if "/big" in key else 0
    report = machine.run(
        "sh", "-c", "echo x >$SWEEP_TASK_DIR/big; echo y >$SWEEP_TASK_DIR/'big \\2'; echo oops >&2; exit 4"
    )
    assert report.status == 4
    assert report.message == "oops; 2 of its files could not be uploaded; see bootstrap.log"
    assert (report.unsent, sorted(report.left)) == (2, ["big", "big \\2"])
    assert b"big could not be uploaded: HTTP 503" in (machine.file("bootstrap.log") or b"")


def test_what_an_upload_that_was_cut_short_did_not_come_to_is_counted(machine: Machine) -> None:
    # As where memory runs out: nobody is left to write down a name.
    machine.program("xargs", "#!/bin/sh\nexit 137\n")
    report = machine.run("sh", "-c", "cd $SWEEP_TASK_DIR; mkdir d; echo x >'d/a\nb'; echo y >c")
    assert report.status == 0
    assert machine.file("c") is None
    assert (report.unsent, report.left) == (3, ())  # those, and the claim
    assert report.message == "3 of its files could not be uploaded; see bootstrap.log"


def test_nothing_is_unsent_where_everything_arrived(machine: Machine) -> None:
    report = machine.run(
        "sh", "-c", "cd $SWEEP_TASK_DIR; mkdir 'a b'; echo x >'a b/c\nd'; ln -s c l; mkfifo p"
    )
    assert (report.status, report.message, report.unsent, report.left) == (0, "", 0, ())


def test_a_result_that_cannot_be_copied_is_unsent_and_no_piece_of_it_is_taken_for_it(
    new_machine: NewMachine,
) -> None:
    machine = new_machine()
    machine.program(
        "cp",
        '#!/bin/sh\ncase "$*" in *result.txt*) echo re >"$3result.txt"; exit 1 ;; esac\nexec /bin/cp "$@"\n',
    )
    report = machine.run("sh", "-c", f"echo result >{machine.root}/tmp/result.txt")
    assert (report.unsent, report.left) == (1, ("result.txt",))
    assert machine.file("result.txt") is None


def test_where_the_form_has_expired_the_role_signs(machine: Machine) -> None:
    machine.imds.give_role()
    machine.bucket.form_expired = True
    report = machine.run("sh", "-c", "cd $SWEEP_TASK_DIR; for n in 1 2 3 4 5 6; do echo $n >$n; done")
    assert (report.status, report.unsent) == (0, 0)
    assert machine.file("6") == b"6\n"
    refused = [method for method, _ in machine.bucket.seen].count("POST")
    assert 1 <= refused <= 2, "once it is known, nobody asks again"
    assert b"the signed form is refused; the role signs" in (machine.file("bootstrap.log") or b"")


def test_where_the_form_has_expired_and_there_is_no_role_nothing_helps(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.env |= {"SPAWN_UPLOAD_LIMIT": "2", "SPAWN_REPORT_LIMIT": "2"}
    machine.bucket.form_expired = True
    machine.start(machine.user_data(machine.pack(machine.attempt("true"))))
    wait_until(lambda: "-h now" in machine.shutdowns(), "the shutdown")
    assert machine.report() is None
    log = (machine.dir / "bootstrap.log").read_text()
    assert "the report could not be uploaded: HTTP 403" in log
    assert "stdout.log could not be uploaded" in log


def test_a_role_that_may_not_write_leaves_the_form_in_its_right(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.imds.give_role()
    wrong = '{"AccessKeyId": "A", "SecretAccessKey": "another", "Token": "tok=="}'
    machine.imds.facts["meta-data/iam/security-credentials/a-role"] = wrong
    refusals = [403]
    machine.bucket.refuse = lambda key: refusals.pop() if key.endswith("/claim") and refusals else 0
    report = machine.run("echo", "x")
    assert not refusals
    assert (report.status, report.unsent) == (0, 0)
    assert machine.file("claim")


def test_an_instance_that_nobody_listens_to_still_goes(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.env |= {"SPAWN_UPLOAD_LIMIT": "1", "SPAWN_REPORT_LIMIT": "1"}
    machine.bucket.refuse = lambda key: 503
    machine.start(machine.user_data(machine.pack(machine.attempt("true"))))
    wait_until(lambda: "-h now" in machine.shutdowns(), "the shutdown")
    assert machine.report() is None


def test_logs_come_while_they_grow(new_machine: NewMachine) -> None:
    machine = new_machine()
    wait = 'while [ ! -e "$SWEEP_TASK_DIR/{}" ]; do sleep 0.1; done; '
    work = f"echo one; {wait.format('go')} echo two; {wait.format('end')}"
    machine.start(machine.user_data(machine.pack(machine.attempt("sh", "-c", work))))
    wait_until(machine.wrote("stdout.log", b"one\n"), "the first line")
    wait_until(machine.wrote("bootstrap.log", b"begun"), "the bootstrap's log")
    (machine.dir / "go").touch()
    wait_until(machine.wrote("stdout.log", b"one\ntwo\n"), "the second line")
    looks = len(machine.imds.seen) + 10  # seconds of looking, in which there is nothing new
    wait_until(lambda: len(machine.imds.seen) > looks, "the guards to look")
    count = sum(key.endswith("stdout.log") for key in machine.bucket.written)
    (machine.dir / "end").touch()
    assert machine.gone().status == 0
    assert count == 2, "a log that does not grow is not uploaded again"


# --- twice -------------------------------------------------------------------------------------------------------

ONCE = 'echo ran >>"$SPAWN_ROOT/../ran"'


def test_a_boot_after_the_report_runs_nothing(new_machine: NewMachine) -> None:
    machine = new_machine()
    data = machine.user_data(machine.pack(machine.attempt("sh", "-c", ONCE)))
    machine.start(data)
    machine.gone()
    seen = len(machine.bucket.seen)
    assert machine.start(data).wait(20) == 0
    assert (machine.base / "ran").read_text() == "ran\n"
    assert machine.shutdowns() == ["-h now"], "who starts a stopped instance wants to look at it"
    assert len(machine.bucket.seen) == seen


def test_a_power_failure_while_it_runs_is_told_at_the_next_boot(new_machine: NewMachine) -> None:
    machine = new_machine()
    (machine.base / "root" / "per-boot").mkdir(parents=True)
    for path in (machine.base / "root", machine.base / "root" / "per-boot"):
        machine._own(path)
    machine.ttl = 1000
    machine.start(
        machine.user_data(machine.pack(machine.attempt("sh", "-c", f"{ONCE}; echo begun; sleep 300")))
    )
    wait_until(machine.wrote("stdout.log", b"begun"), "the work")
    deadline = (machine.root / "deadline").read_text()
    machine.crash()
    machine._spawn(["sh", str(machine.root / "per-boot" / "spawn-sweep")])
    report = machine.gone()
    assert (report.status, report.flag) == (137, "-")
    assert report.message.startswith("the instance was started again while the task ran")
    assert (machine.base / "ran").read_text() == "ran\n"
    assert (machine.root / "deadline").read_text() == deadline, "a reboot gives no more time"
    assert machine.file("stdout.log") == b"begun\n"


def test_user_data_that_is_run_by_hand_meanwhile_leaves(new_machine: NewMachine) -> None:
    machine = new_machine()
    data = machine.user_data(machine.pack(machine.attempt("sh", "-c", f"{ONCE}; echo begun; sleep 2")))
    machine.start(data)
    wait_until(machine.wrote("stdout.log", b"begun"), "the work")
    assert machine.start(data).wait(20) == 0
    assert machine.gone().status == 0
    assert (machine.base / "ran").read_text() == "ran\n"
    assert machine.shutdowns() == ["-h now"]


def test_under_systemd_it_is_a_service(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.env["SPAWN_SYSTEMD"] = str(machine.base)
    said = machine.base / "service"
    machine.program(
        "systemd-run",
        f'#!/bin/sh\necho "$*" >{said}\nwhile [ "$1" != sh ]; do shift; done\nsetsid "$@" </dev/null &\n',
    )
    process = machine.start(machine.user_data(machine.pack(machine.attempt("sleep", "1"))))
    assert process.wait(20) == 0, "cloud-init is not kept waiting"
    assert "--unit=spawn-sweep" in said.read_text() and "OOMPolicy=continue" in said.read_text()
    assert machine.gone().status == 0


# --- hibernation -------------------------------------------------------------------------------------------------


def test_one_that_shall_hibernate_reports_and_waits_for_it(new_machine: NewMachine) -> None:
    machine = new_machine(on_complete="hibernate", ttl=3600)
    (machine.base / "timer").touch()
    clock = machine.base / "clock"
    clock.write_text("0")
    machine.program(
        "date",
        f'#!/bin/sh\n[ "$*" = +%s ] && echo $(($(/bin/date +%s) + $(cat {clock}))) || exec /bin/date "$@"\n',
    )
    process = machine.start(machine.user_data(machine.pack(machine.attempt("sh", "-c", ONCE))))
    wait_until(lambda: "-c" in machine.shutdowns(), "the wait to be hibernated")
    report = machine.report()
    assert report is not None and (report.status, report.flag) == (0, "-")
    assert machine.shutdowns() == ["-P +65", "-c"], "an overdue timer would end what was woken up"
    clock.write_text("86400")  # a day later somebody starts it
    assert process.wait(20) == 0
    assert "is awake again" in machine.told()
    assert machine.shutdowns() == ["-P +65", "-c"]
    assert (machine.base / "ran").read_text() == "ran\n"
    wait_until(lambda: not machine.alive(), "everything to be gone", 10)


def test_one_that_nobody_hibernates_shuts_down(machine: Machine) -> None:
    machine.on_complete = "hibernate"
    machine.env["SPAWN_HIBERNATE_LIMIT"] = "1"
    assert machine.run("true").status == 0
    assert "nobody has hibernated it" in machine.told()
    assert machine.shutdowns() == ["-c", "-h now"]


def test_its_ttl_is_the_end_of_the_wait(new_machine: NewMachine) -> None:
    machine = new_machine(on_complete="hibernate", ttl=1)
    machine.env["SPAWN_SLACK"] = "2"
    assert machine.run("sh", "-c", "sleep 60").flag == "ttl"


def test_a_system_that_goes_down_is_not_kept_waiting(new_machine: NewMachine) -> None:
    machine = new_machine(on_complete="hibernate")
    process = machine.start(machine.user_data(machine.pack(machine.attempt("true"))))
    wait_until(lambda: "-c" in machine.shutdowns(), "the wait to be hibernated")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert machine.shutdowns() == ["-c"]


def test_what_was_ended_from_outside_waits_for_nothing(new_machine: NewMachine) -> None:
    machine = new_machine(on_complete="hibernate")
    process = machine.start(
        machine.user_data(machine.pack(machine.attempt("sh", "-c", "echo begun; exec sleep 300")))
    )
    wait_until(machine.wrote("stdout.log", b"begun"), "the work")
    process.send_signal(signal.SIGTERM)
    assert machine.gone().flag == "term"
    assert "waits" not in machine.told()


# --- the user data itself ----------------------------------------------------------------------------------------


def data_with(**changes: object) -> bytes:
    settings: dict[str, object] = {
        "sweep_id": "s", "token": "t", "region": "us-east-1", "endpoint": "", "bucket": "b", "prefix": "sweeps/s",
        "pack_url": "https://b/p?X-Amz-Signature=PACKSIG&X-Amz-Security-Token=PACKTOK", "pack_sha256": "0" * 64,
        "upload": UploadGrant("https://b", (("policy", "POLICY="), ("x-amz-signature", "FORMSIG"), ("x", "FIELD"))),
        "ttl": 60.0,
    }  # fmt: skip
    return user_data(**{**settings, **changes})  # type: ignore[arg-type]


def test_it_is_plain_and_the_same_every_time() -> None:
    assert data_with() == data_with()
    assert data_with().startswith(f"#!/bin/sh\n{MARKER}\n".encode())


def incompressible(size: int) -> str:
    return os.urandom(size // 2).hex()


def test_it_is_compressed_where_it_is_long() -> None:
    token = "t" * USER_DATA_BYTES
    data = data_with(upload=UploadGrant("https://b", (("x-amz-security-token", token),)))
    assert len(data) <= USER_DATA_BYTES
    assert gzip.decompress(data).startswith(b"#!/bin/sh\n")
    assert data == data_with(upload=UploadGrant("https://b", (("x-amz-security-token", token),)))


def test_it_is_refused_where_it_is_too_long() -> None:
    with pytest.raises(ValueError, match="EC2 takes 16384"):
        data_with(upload=UploadGrant("https://b", (("x-amz-security-token", incompressible(40_000)),)))


@pytest.mark.parametrize(
    "changes", [{"pack_url": 'https://b/"x'}, {"endpoint": "http://$(id)"}, {"prefix": "a\nend of part"}]
)
def test_values_that_cannot_be_written_down_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        data_with(**changes)


def test_there_is_room_for_signatures_with_long_tokens() -> None:
    token = incompressible(1500)
    data = data_with(
        upload=UploadGrant("https://b", (("policy", incompressible(2000)), ("x-amz-security-token", token))),
        pack_url=f"https://b/p?X-Amz-Security-Token={token}",
        attempts=[f"task_{n:03}.1" for n in range(50)],
    )
    assert len(data) <= USER_DATA_BYTES


def test_nothing_secret_is_shown() -> None:
    secret = {
        "export AWS_SECRET_ACCESS_KEY=SEC1": "SEC1",
        "export AWS_SESSION_TOKEN='SEC2 a'\"'\"'SEC2b'": "SEC2",
        "AWS_SECRET_ACCESS_KEY = \"SEC3 with space\"": "SEC3",
        "curl -H 'Authorization: Bearer SEC4SEC4SEC4'": "SEC4",
        "wandb login --api-key SEC5": "SEC5",
        "mysql --password=SEC6 -u root": "SEC6",
        '{"db_password": "SEC7", "x": 1}': "SEC7",
        "git clone https://me:SEC8@github.com/x": "SEC8",
        "token: SEC9": "SEC9",
        "-----BEGIN RSA PRIVATE KEY-----\nSEC10\n-----END RSA PRIVATE KEY-----": "SEC10",
        "echo ghp_SEC11abcdefghijk": "SEC11",
        '{"UserData": "U0VDMTJTRUMxMlNFQzEy"}': "U0VDMTJT",
        '{"policy": "SEC13=="}': "SEC13",
        "aws configure set aws_secret_access_key SEC14": "SEC14",
        "aws_access_key_id: AKIAABCDEFGHIJKLMNOP": "AKIAABCDEFGHIJKLMNOP",
    }  # fmt: skip
    for text, word in secret.items():
        shown = redacted(f"before\n{text}\nafter")
        assert word not in shown, text
        assert "***" in shown and shown.startswith("before\n") and shown.endswith("after"), text
    for ours in (redacted(data_with()), redacted(gzip.compress(data_with()))):
        assert not [word for word in ("POLICY=", "PACKSIG", "FORMSIG", "PACKTOK", "FIELD") if word in ours]
        assert "https://b/p?X-Amz-Signature=***" in ours


def test_what_is_no_secret_stays() -> None:
    text = "#!/bin/bash\npython train.py --lr 0.1 --max_tokens=512 --tokenizer bert\naws s3 cp x s3://b/$NAME.json\n"
    assert redacted(text) == text
    assert redacted(b"\x1f\x8bnot gzip") == "(compressed, and damaged)"


def test_a_long_word_is_looked_through_in_time() -> None:
    redacted("a" * 200_000 + "'" * 2000)


def test_no_secret_is_printed_on_the_instance(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.bucket.faults = [403] * 3
    machine.run("sh", "-c", "exit 1")
    log = machine.told().encode() + (machine.file("bootstrap.log") or b"")
    assert b"Signature" not in log and FORM[0][1].encode() not in log
    for name in ("config", "form"):
        assert (machine.root / name).stat().st_mode & 0o077 == 0


def test_the_field_forbids_real_shutdowns(new_machine: NewMachine) -> None:
    machine = new_machine()
    found = subprocess.run(
        ["sh", "-c", "for name in shutdown poweroff reboot halt; do command -v $name; done"],
        env=machine.environment(),
        capture_output=True,
        text=True,
    )
    assert [Path(line).parent for line in found.stdout.split()] == [machine.programs] * 4
    with suppress(FileNotFoundError):
        assert "shutdown" not in {path.name for path in machine.root.iterdir()}
