"""What `--no-ui`, `status` and `errors` say of many machines."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.remote import area
from spawn_tui.engine.viewer import Viewer
from spawn_tui.engine.words import describe
from spawn_tui.tui.cli.headless import state_text
from spawn_tui.tui.cli.losses import NOTHING
from spawn_tui.tui.cli.narration import Narrator

from ...parts.sshd import Sshd
from ..build import FULL_DISK, NO_ROUTE, REFUSED, Made, machines, make
from .run import spawn_tui, start

SOURCES = (("local", "local", 4), ("hpc", "slurm", 8, (), True))


class Listener:
    """A narrator over a sweep in the making, without the times of day."""

    def __init__(self, made: Made, *, brief: bool = False) -> None:
        self.viewer = Viewer(made.root)
        self.narrator = Narrator(brief=brief)

    def __call__(self) -> list[str]:
        records = self.viewer.refresh().records
        return [
            re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in self.narrator.tell(self.viewer.sweep, records)
        ]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield make(tmp_path / "sweep", [{"a": n} for n in range(2000)], sources=SOURCES)
    monkeypatch.undo()
    time.tzset()


def refuse(made: Made, tasks: range, message: str, source: str = "hpc") -> None:
    made.launch(tasks, source)
    ends = (ev.End(t, 1, "failed", "launch_failed", message=message, source_fault=True) for t in tasks)
    made.commit(ev.Ended(tuple(ends)), ev.SourceStrike(source, message))


def test_equal_refusals_are_told_once_whole_and_then_counted(made: Made):
    heard = Listener(made)
    refuse(made, range(1000), REFUSED)
    assert heard() == [f"source hpc: 1000 launches failed: {REFUSED}"]  # nor does the strike say it again
    for first in (1000, 1100, 1200):
        refuse(made, range(first, first + 100), REFUSED)
        assert heard() == []
    made.wait(61)
    refuse(made, range(1300, 1301), "task_1301: no space left on device", "local")
    assert heard() == [
        "source local: task_1301 failed: launch_failed: task_1301: no space left on device",
        f"source hpc: 300 more launches failed likewise: {REFUSED}",
    ]
    refuse(made, range(1301, 1302), "task_1302: no space left on device", "local")
    assert heard() == []
    made.commit(ev.SweepEnded("failed", "no source can take the remaining 698 tasks"))
    assert heard() == [
        "sweep failed: no source can take the remaining 698 tasks",
        "source local: 1 more launch failed likewise: task_1301: no space left on device",
    ]


def test_what_becomes_of_sources_is_told(made: Made):
    heard = Listener(made)
    made.start(range(3))
    made.commit(ev.SourceUnreachable("local", NO_ROUTE), *(ev.SourceStrike("local", NO_ROUTE),) * 3)
    told = heard()
    made.commit(ev.SourceDisabled("local", f"3 failures in a row: {NO_ROUTE}"))
    told += heard()
    made.commit(ev.SourceReachable("local"), ev.SourceEnabled("local", "its probe went well"))
    made.commit(ev.SourceDisabled("local", "no such partition", "refused"))
    assert told + heard() == [
        f"source local unreachable: {NO_ROUTE} (3 tasks there may still run)",
        f"source local disabled: 3 failures in a row: {NO_ROUTE} (tried again with one task at 20:31)",
        "source local answers again",
        "source local enabled: its probe went well",
        "source local disabled: no such partition (it gets no tasks until it is enabled, or answers)",
    ]


def test_health_is_told_when_it_changes(made: Made):
    heard = Listener(made)
    made.commit(ev.SourceHealth("local", "healthy", cpu=10), ev.SourceHealth("local", "healthy", cpu=20))
    assert heard() == []
    made.commit(
        ev.SourceHealth("local", "degraded", memory=93), ev.SourceHealth("local", "degraded", memory=94)
    )
    assert heard() == ["source local is degraded: memory 93 %"]
    made.commit(ev.SourceHealth("local", "healthy", memory=40))
    assert heard() == ["source local is healthy: memory 40 %"]


def test_what_waits_is_told_once_a_minute_at_most(made: Made):
    heard = Listener(made)
    refs = tuple(ev.Ref(task, 1) for task in range(100))
    made.commit(ev.Launching("b1", "hpc", refs, limit=8), ev.Waiting("hpc", "b1", 100, "Priority"))
    assert heard() == ["source hpc: 100 queued (Priority)"]
    for number in range(20):
        made.wait(1)
        made.commit(ev.Waiting("hpc", "b1", 99 - number, "Resources"))
        assert heard() == []
    made.wait(60)
    made.commit(ev.Waiting("hpc", "b1", 50, "Resources"))
    assert heard() == ["source hpc: 100 queued (Resources)"]
    assert state_text(heard.viewer.sweep) == "100 queued"


def test_a_bar_needs_fewer_lines(made: Made):
    brief, plain = Listener(made, brief=True), Listener(made)
    made.commit(ev.EngineStarted(1, "lab", 7), ev.Note("a torn line was cut off"))
    made.start([0])
    made.end(0, "failed", kind="exit", exit_code=3)
    assert len(plain()) == 3
    assert brief() == ["a torn line was cut off", "task_001 failed: exit, exit status 3"]


def test_progress_names_sources_in_trouble(tmp_path: Path):
    made = machines(tmp_path / "sweep")
    assert state_text(made.store.sweep) == (
        "11 running, 15 queued, 1 failed, 3 unknown, sources: 1 unreachable, 1 disabled, 1 degraded"
    )


def test_status_tells_each_source(tmp_path: Path):
    made = machines(tmp_path / "sweep")
    out = spawn_tui("status", str(made.root), cwd=tmp_path).out
    for words in (
        "local       2/2 slots busy, 4 attempts completed, 0 failed, 2m56s each, healthy, cpu 44%, mem 43%",
        "ssh:gpu2    3/4 slots busy, 6 attempts completed", f"unreachable: {NO_ROUTE}",
        f"disabled: 3 failures in a row: {FULL_DISK}", "hpc:cluster 2/8 slots busy, 15 queued (Resources)",
        "degraded: memory 93 %", "It is asked again and again; 3 tasks there may still run.",
    ):  # fmt: skip
        assert words in out, f"{words}\n{out}"
    found = json.loads(spawn_tui("status", str(made.root), "--json", cwd=tmp_path).out)["sources"]
    assert {source["name"]: source["health"] for source in found} == {
        "local": "healthy", "ssh:gpu1": "degraded", "ssh:gpu2": "unreachable", "ssh:gpu3": "disabled",
        "hpc:cluster": "healthy",
    }  # fmt: skip
    assert found[4]["waiting"] == 15 and FULL_DISK in found[3]["disabled_reason"]


def test_errors_tells_why_launches_failed_though_the_tasks_went_well(made: Made):
    made.index()
    refuse(made, range(1000), REFUSED)
    made.commit(ev.Requeued(tuple(ev.Delay(task, made.clock.at) for task in range(1000))))
    made.commit(ev.SourceDisabled("hpc", f"3 failures in a row: {REFUSED}", "strikes"))
    done = spawn_tui("errors", str(made.root), cwd=made.root)
    assert "no task has failed" in done.err
    assert done.out.splitlines()[0] == f"hpc: launch failed for 1,000 tasks: {REFUSED}"
    assert done.out.splitlines()[1].startswith("hpc: disabled since ")
    (entry,) = spawn_tui("errors", str(made.root), "--json", cwd=made.root).objects
    assert (entry["source"], entry["tasks"], entry["message"]) == ("hpc", 1000, REFUSED)


def test_a_budget_is_told_in_one_way(tmp_path: Path):
    made = make(tmp_path / "sweep", [{"a": 1}], budget=0.01)
    heard = Listener(made)
    heard()
    made.commit(ev.BudgetWarned(0.0089), ev.BudgetSpent(1.25, "pause"))
    warned, spent, *_ = heard()
    assert warned == "$0.0089 of $0.01 is spent" and spent.startswith("the budget is spent ($1.25): nothing")
    assert describe(ev.BudgetWarned(20.13)) == "$20.13 of the budget is spent"


def test_what_a_killed_attempt_left_nothing_of_is_not_told(made: Made):
    made.start(range(2))
    made.end(0)
    made.end(1, "failed", kind="timeout")
    heard = Listener(made)
    heard()
    nothing = f"{NOTHING}spawn-results-1-us-east-1"
    made.commit(ev.Collected((ev.Brought(0, 1, problem=nothing), ev.Brought(1, 1, problem=nothing))))
    (line,) = heard()
    assert "task_001" in line


def test_a_cancelled_task_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPAWN_HOME", str(tmp_path / "home"))
    made = make(tmp_path / "sweep", [{"a": n} for n in range(4)])
    made.index()
    made.start(range(2))
    made.end(0)
    made.end(1, "failed", kind="exit", exit_code=1)
    made.commit(ev.Dropped((2, 3)), ev.SweepEnded("cancelled"))
    row = spawn_tui("list", cwd=tmp_path).out.splitlines()[1].split("\t")
    assert row[1:4] == ["cancelled", "2/4", "1"]


# -- logs of what runs elsewhere -----------------------------------------------------------------------------------


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Made, Path]]:
    """A sweep with one task that runs behind a real sshd, and the attempt's directory there."""
    with Sshd(alias="gpu1", shell="bash") as sshd:
        monkeypatch.setenv("HOME", str(sshd.home.path))
        yield begun(tmp_path, Path(sshd.account.home) / "far")


def begun(tmp_path: Path, place: Path) -> tuple[Made, Path]:
    options = (("host", "gpu1"), ("remote_root", str(place)))
    made = make(tmp_path / "sweep", [{"a": 1}], sources=(("gpu1", "ssh", 1, options),))
    made.engine()
    made.start([0], "gpu1")
    attempt = place / made.id / "attempts" / "task_001.1"
    attempt.mkdir(parents=True)
    scripts = place / made.id / "scripts"
    scripts.mkdir()
    shutil.copy(Path(area.__file__).with_name("agent.sh"), scripts / "agent.sh")
    return made, attempt


def test_logs_of_a_task_elsewhere(far: tuple[Made, Path]):
    made, attempt = far
    (attempt / "stdout.log").write_text("epoch 1\n" * 100_000)
    done = spawn_tui("logs", str(made.root) + "/", "1", cwd=made.root)
    assert done.status == 0 and done.out == "epoch 1\n" * 100_000


def test_logs_of_a_task_that_goes_on_writing_end_all_the_same(far: tuple[Made, Path]):
    made, attempt = far
    log = attempt / "stdout.log"
    log.write_bytes(b"x" * (9 << 20))
    over = threading.Event()

    def write() -> None:
        with log.open("ab", buffering=0) as file:
            while not over.wait(0.1):
                file.write(b"y" * 1000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = spawn_tui("logs", str(made.root) + "/", "1", cwd=made.root)
    finally:
        over.set()
        writer.join()
    assert done.status == 0 and done.out.startswith("x" * (9 << 20))


def test_logs_of_a_task_on_a_machine_that_knows_nothing_of_it(far: tuple[Made, Path]):
    made, attempt = far
    shutil.rmtree(attempt.parent.parent)
    done = spawn_tui("logs", str(made.root) + "/", "1", cwd=made.root)
    assert done.status == 1 and "there is nothing of this sweep at" in done.err


def test_logs_are_followed_elsewhere_to_the_end(far: tuple[Made, Path]):
    made, attempt = far
    log = attempt / "stdout.log"
    log.write_text("one\n")
    with start("logs", f"{made.root}/", "1", "--follow", cwd=made.root) as follower:
        assert follower.stdout is not None and follower.stderr is not None
        assert follower.stdout.readline() == "one\n"
        with log.open("a") as file:
            file.write("two\n")
        assert follower.stdout.readline() == "two\n"
        with log.open("a") as file:
            file.write("three\n")
        (attempt / "exit").write_text("0\n")
        made.end(0)
        rest, told = follower.communicate(timeout=30)
    assert rest == "three\n" and follower.returncode == 0
    assert "live from gpu1" in told
