"""Many machines on the screen: sources at a glance and in full, what waits in a queue, launches that failed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.remote import area
from spawn_tui.engine.remote.host import LocalHost
from spawn_tui.tui.screens.log import LogScreen
from spawn_tui.tui.screens.source import SourceScreen
from textual.widgets import Label

from .build import FULL_DISK, NO_ROUTE, REFUSED, Made, machines, make, plain
from .conftest import Driver, opened
from .test_sweep_screen import requests, screen, wait_request


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def flat(driver: Driver) -> str:
    """The screen with its frames and line breaks taken out: what is wrapped is found again."""
    return " ".join(driver.text().replace("│", " ").replace("▌", " ").split())


def effect(driver: Driver) -> str:
    """What the question that is open says will happen."""
    return str(driver.app.screen.query_one("#confirm-detail", Label).content)


async def test_what_is_wrong_is_said_before_all_else(root: Path):
    made = machines(root)
    async with opened(root, clock=made.clock) as driver:
        text = flat(driver)
        for words in (
            "1 source unreachable since 20:36, 1 disabled, 1 degraded.", NO_ROUTE, "remote_root: to another disk",
            "ssh:gpu1: memory 93 %", "Sources 5 · 1 unreachable", "◷ 15 queued", "? 3 unknown", "● 8 running",
        ):  # fmt: skip
            assert words in text, f"{words}\n{driver.text()}"


async def test_the_pane_tells_each_source(root: Path):
    made = machines(root)
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        await driver.press("2")
        text = driver.text()
        for words in (
            "2 Sources 3", "● healthy · cpu 44% · mem 43% · load 0.7 · disk 52%", "▲ degraded: memory 93 % · cpu 99%",
            "? unreachable since 20:36: ssh gpu2 port 22", "3?/4", "⊘ disabled since 20:27: 3 failures in a row",
            "2/8 ◷15", "● healthy · 6 running, 15 waiting", "15 queued (Resources)", "2m56s each",
            "✗ 3 attempts failed",
        ):  # fmt: skip
            assert words in text, f"{words}\n{text}"
        made.wait(300)
        await driver.sees("5m ago")


async def test_forty_sources_are_seen(root: Path):
    sources = [(f"ssh:node{n:02d}", "ssh", 8) for n in range(40)]
    made = make(root, [{"a": n} for n in range(80)], sources=sources)
    made.engine()
    made.start(range(8), "ssh:node00")
    for n in range(40):
        made.commit(ev.SourceHealth(f"ssh:node{n:02d}", "healthy", cpu=10 + n))
    made.commit(ev.SourceUnreachable("ssh:node37", "No route to host"))
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        assert "ssh:node37 is unreachable since" in driver.text()
        await driver.press("2")
        assert screen(driver).sources.item_height == 1
        text = driver.text()
        assert "● ssh:node00" in text and "8/8" in text and "cpu 25%" in text
        assert "? ssh:node37" not in text
        await driver.press("G", "k", "k")
        await driver.sees("? ssh:node37")
        assert "unreachable since" in driver.text().split("ssh:node37 ")[-1]
        await driver.pilot.resize_terminal(120, 36)
        await driver.sees("Sources 40 · 1 unreachable")
        await driver.sees("? ssh:node37")  # the cursor stays in sight
        assert "Failures" in driver.text()


async def test_enter_opens_a_source_with_its_reason_its_log_and_its_options(root: Path):
    made = machines(root)
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        await driver.press("2", "j", "j", "j", "enter")
        assert isinstance(driver.app.screen, SourceScreen)
        await driver.sees("ssh:gpu3 log")
        await driver.until(lambda: FULL_DISK in flat(driver), "the reason, whole")
        text = flat(driver)
        for words in (
            "⊘ disabled since 20:27", "ssh, 2 slots", "It is tried with one task next.", "host=gpu3.lab",
            "remote_root=/scratch/ada", "launch failed, 3 tasks", "0 of 2 slots busy · 0 completed",
        ):  # fmt: skip
            assert words in text, f"{words}\n{driver.text()}"
        (log,) = (made.root / "logs" / "sources").iterdir()
        with log.open("a") as file:
            file.write("what came after\n")
        await driver.sees("what came after")
        made.commit(ev.SourceEnabled("ssh:gpu3", "its probe went well"))
        await driver.until(lambda: "disabled since" not in driver.text().splitlines()[0])
        await driver.press("y")
        assert driver.app.clipboard == "ssh:gpu3"


async def test_a_source_that_nothing_was_heard_of(root: Path):
    made = plain(root, 3)
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        await driver.press("2", "enter")
        await driver.sees("nothing heard of it yet")
        await driver.sees("Nothing was written about it yet.")
        await driver.press("e", "D", "plus", "escape")
        assert requests(made) == [] and screen(driver).pane == "sources"


async def test_enable_asks_and_is_offered_only_where_it_can_be_done(root: Path):
    made = machines(root)
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        assert "Enable source" not in driver.text()
        await driver.press("e", "2")
        assert "e Enable source" not in driver.text() and "D Remove source" in driver.text()
        await driver.press("j", "j", "j")
        await driver.sees("e Enable source")
        await driver.press("e")
        await driver.sees("Enable ssh:gpu3 again?")
        assert "Up to 2 tasks at a time go there again, without a probe" in effect(driver)
        await driver.press("enter")  # No has the focus
        await driver.until(lambda: "ssh:gpu3 stays disabled." in driver.toasts)
        await driver.press("e", "y")
        request = await wait_request(driver, made)
        assert (request["verb"], request["source"]) == ("enable_source", "ssh:gpu3")
        made.commit(ev.SourceEnabled("ssh:gpu3", "by ada@lab"))
        await driver.until(lambda: "Enable source" not in driver.text())


async def test_remove_and_slots_from_the_source_itself(root: Path):
    made = machines(root)
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        await driver.press("2", "j", "enter", "D")
        await driver.sees("Give ssh:gpu1 no new tasks?")
        assert "4 running tasks there go on to the end. What waits goes to local, hpc:cluster." in effect(
            driver
        )
        await driver.press("y")
        request = await wait_request(driver, made)
        assert (request["verb"], request["source"]) == ("remove_source", "ssh:gpu1")
        await driver.until(lambda: "Asked the engine to remove ssh:gpu1." in driver.toasts)
        await driver.press("plus")
        assert (await wait_request(driver, made, 2))["value"] == 5
        made.commit(ev.SourceRemoved("ssh:gpu1"))
        await driver.sees("removed, 4 tasks left")
        await driver.until(lambda: "Remove source" not in driver.text())
        await driver.press("D", "minus", "escape")
        assert len(requests(made)) == 2
        await driver.sees("◌ removed, 4 tasks left")


async def test_readonly_offers_nothing_of_it(root: Path):
    made = machines(root)
    async with opened(root, clock=made.clock, readonly=True) as driver:
        await driver.press("2", "j", "j", "j", "e", "D", "enter", "e", "D")
        assert isinstance(driver.app.screen, SourceScreen) and requests(made) == []
        assert "Enable" not in driver.text()


async def test_ascii_uses_nothing_else(root: Path):
    made = machines(root)
    async with opened(root, clock=made.clock, size=(80, 24), ascii=True) as driver:
        for keys, sees in (
            (("2",), "? unreachable since"),
            (("j", "j", "j", "e"), "Enable ssh:gpu3 again?"),
            (("n", "enter"), "/ disabled since"),
            (("escape", "3"), "x ssh:gpu3  launch failed"),
            (("1", "G", "enter"), "Not started yet"),
        ):
            await driver.press(*keys)
            await driver.sees(sees)
            text = driver.text()
            assert text.isascii(), {character for character in text if not character.isascii()}


# -- launches that failed --------------------------------------------------------------------------------------


def refuse(made: Made, tasks: range, source: str, message: str, *, fault: bool = True) -> None:
    made.launch(tasks, source)
    ends = (
        ev.End(
            t, made.attempt(t), "failed", "launch_failed", message=message.format(t + 1), source_fault=fault
        )
        for t in tasks
    )
    made.commit(ev.Ended(tuple(ends)))


async def test_a_thousand_equal_refusals_are_one_entry_told_whole(root: Path):
    sources = (("local", "local", 4), ("hpc", "slurm", 8, (), True))
    made = make(root, [{"a": n} for n in range(1200)], sources=sources)
    made.engine()
    refuse(made, range(1000), "hpc", REFUSED)
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        assert "3 Failures 1 " in driver.text()
        await driver.press("3")
        assert "✗ hpc  launch failed, 1,000 tasks" in driver.text()
        assert REFUSED in flat(driver)
        made.wait(5)
        refuse(made, range(1000, 1003), "hpc", REFUSED)
        await driver.sees("launch failed, 1,003 tasks")
        made.wait(5)
        refuse(made, range(1003, 1005), "local", "cannot create task_{}.1: no space left on device")
        await driver.sees("local  launch failed, 2 tasks")
        text = driver.text()
        assert text.index("local  launch failed") < text.index("hpc  launch failed")  # newest first
        made.commit(ev.SourceDisabled("hpc", f"3 failures in a row: {REFUSED}"))
        await driver.sees("hpc is disabled since")
        assert "3 Failures 2 " in driver.text()  # not told twice
        await driver.press("g", "enter")
        await driver.until(lambda: isinstance(driver.app.screen, SourceScreen))
        await driver.sees("local  ")


async def test_a_source_that_was_refused_before_any_launch_stands_there_too(root: Path):
    made = make(root, [{"a": 1}], sources=(("local", "local", 1), ("ssh:new", "ssh", 4)))
    made.engine()
    reason = "ssh new: its host key is unknown (SHA256:abc); connect once with `ssh new`, then enable it"
    made.commit(ev.SourceDisabled("ssh:new", reason, "refused"))
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        await driver.press("3")
        assert "⊘ ssh:new  disabled" in driver.text() and reason in flat(driver)
        await driver.press("enter")
        await driver.sees("It gets no tasks until it is enabled.")


async def test_a_sweep_paused_for_its_own_fault_says_so_in_full(root: Path):
    made = plain(root, 30, running=10)
    made.engine()
    for task in range(10):
        made.end(task, "failed", kind="exit", exit_code=1)
    reason = (
        "10 of 10 tasks failed, on local, ssh:gpu1, ssh:gpu2 alike: the sweep is at fault, not a source. "
        "Look at the failures, then resume or cancel"
    )
    made.commit(ev.Paused(reason))
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        await driver.until(
            lambda: f"Paused: {reason}. Press P to resume." in flat(driver), "the whole reason"
        )


# -- tasks that wait, and what became of attempts ------------------------------------------------------------------


async def test_what_waits_in_a_queue_says_why(root: Path):
    made = machines(root)
    async with opened(root, clock=made.clock, size=(120, 36)) as driver:
        await driver.press("slash")
        await driver.type("state:queued")
        await driver.press("enter")
        assert screen(driver).table.count == 15
        made.commit(ev.Waiting("hpc:cluster", "b0100", 15, "QOSMaxJobsPerUser"))
        await driver.pilot.resize_terminal(160, 40)
        await driver.sees("◷ queued (QOSMaxJobsPer")
        made.commit(ev.Waiting("hpc:cluster", "b0100", 15, "AssocGrpCpuLimit!"))  # as long as the one before
        await driver.sees("◷ queued (AssocGrpCpu")
        made.commit(ev.Running((ev.Started(48, 1, "77[9]", made.clock.at),)))
        await driver.until(lambda: screen(driver).table.count == 14)
        made.commit(ev.Withdrawing("hpc:cluster", (ev.Ref(47, 1),)), ev.Withdrawn((ev.Ref(47, 1),)))
        await driver.until(lambda: screen(driver).table.count == 13)
        assert "◷ 13 queued" in driver.text() and "○ 15 pending" in driver.text()
        await driver.press("x")
        assert "Cancel queued task_" in driver.text() and "taken out of it" in effect(driver)
        await driver.press("n", "enter")
        await driver.sees("It waits in the queue of hpc:cluster; nothing written yet.")


async def test_cancelling_in_a_queue_is_counted_once(root: Path):
    made = machines(root)
    async with opened(root, clock=made.clock) as driver:
        made.commit(
            ev.RequestTaken("r1", "cancel", (47, 48)),
            ev.Cancelling("hpc:cluster", (ev.Ref(47, 1), ev.Ref(48, 1))),
        )
        await driver.sees("◌ 2 cancelling")
        assert "◷ 13 queued" in driver.text() and "launching" not in driver.text()
        made.commit(ev.SourceUnreachable("hpc:cluster", "slurmctld: Unable to contact slurm controller"))
        await driver.sees("? 20 unknown")
        assert "queued" not in driver.text().splitlines()[2]
        made.commit(ev.SourceReachable("hpc:cluster"))
        await driver.sees("◷ 13 queued")


async def test_all_attempts_of_a_task_are_told(root: Path):
    made = make(root, [{"a": 1}, {"a": 2}], sources=(("ssh:gpu1", "ssh", 2), ("hpc", "slurm", 2, (), True)))
    made.engine()
    made.launch([0], "hpc")
    made.commit(ev.Withdrawing("hpc", (ev.Ref(0, 1),)), ev.Withdrawn((ev.Ref(0, 1),)))
    made.start([0], "ssh:gpu1")
    made.wait(400)
    lost = ev.End(
        0,
        2,
        "failed",
        "source_lost",
        message="ssh:gpu1 was unreachable for 5m",
        source_fault=True,
        given_up=True,
    )
    made.commit(ev.Ended((lost,)), ev.Requeued((ev.Delay(0, made.clock.at),)))
    async with opened(root, clock=made.clock, size=(100, 24)) as driver:
        await driver.press("enter")
        await driver.sees("try 1  hpc       ⊘ withdrawn  withdrawn from the queue of hpc")
        await driver.sees("try 2  ssh:gpu1  ✗ given up, may be alive  ssh:gpu1 was unreachable for 5m")
        made.commit(ev.Recovered((ev.End(0, 2, "completed", exit_code=0, ended_at=made.clock.at),)))
        await driver.sees("try 2  ssh:gpu1  ✓ completed")
        await driver.sees("task_001  ✓ completed")
        await driver.press("left_square_bracket")
        assert isinstance(driver.app.screen, LogScreen) and driver.app.screen.attempt == 1


async def test_the_attempt_that_counts_is_named(root: Path):
    made = make(root, [{"a": 1}], sources=(("ssh:gpu1", "ssh", 2), ("local", "local", 2)))
    made.start([0], "ssh:gpu1")
    made.commit(ev.Ended((ev.End(0, 1, "failed", "source_lost", source_fault=True, given_up=True),)))
    made.commit(ev.Requeued((ev.Delay(0, made.clock.at),)))
    made.start([0], "local")
    made.end(0, "failed", kind="exit", exit_code=3, message="boom")
    made.commit(ev.Recovered((ev.End(0, 1, "completed", exit_code=0, ended_at=made.clock.at),)))
    made.log(0, "from the first\n", attempt=1)
    async with opened(root, clock=made.clock, size=(100, 24)) as driver:
        assert "✓ 1 completed" in driver.text() and "ssh:gpu1" in driver.text()
        await driver.press("enter")
        await driver.sees("try 1  ssh:gpu1  ✓ completed  this one counts")
        await driver.sees("try 2  local     ✗ exit 3  boom")
        await driver.sees("from the first")
        await driver.press("right_square_bracket")
        await driver.sees("Attempt 2 left nothing on stdout.")


# -- the log of what runs elsewhere ------------------------------------------------------------------------------


def far_away(made: Made, place: Path) -> Path:
    """A sweep's directory on a machine (this one, as if it were another), with attempt 1 of task 1; returns that."""
    there = place / made.id
    attempt = there / "attempts" / "task_001.1"
    attempt.mkdir(parents=True)
    (there / "scripts").mkdir()
    shutil.copy(Path(area.__file__).with_name("agent.sh"), there / "scripts" / "agent.sh")
    return attempt


@pytest.fixture
def gpu1_is_here(monkeypatch: pytest.MonkeyPatch):
    """What is asked of another machine is asked of this one; the ssh in between has tests of its own."""
    monkeypatch.setattr("spawn_tui.engine.remote.mirror.host_of", lambda name, options: LocalHost(name))


@pytest.mark.usefixtures("gpu1_is_here")
async def test_the_log_of_a_task_elsewhere_is_read_there(root: Path, tmp_path: Path):
    options = (
        ("host", "gpu1"),
        ("remote_root", str(tmp_path / "far")),
    )
    made = make(root, [{"a": 1}, {"a": 2}], sources=(("gpu1", "ssh", 2, options),))
    made.engine()
    made.start([0], "gpu1")
    attempt = far_away(made, tmp_path / "far")
    (attempt / "stdout.log").write_text("epoch 1\n")
    made.clock.at = time.time()  # the mirror's answers carry the true time
    async with opened(root, clock=made.clock, size=(100, 24)) as driver:
        await driver.press("enter")
        await driver.sees("epoch 1")
        await driver.sees("stdout · live from gpu1, ")
        with (attempt / "stdout.log").open("a") as file:
            file.write("epoch 2\n")
        await driver.sees("epoch 2")
        # It ends and is brought home: from then on the bytes come from here.
        (attempt / "exit").write_text("0\n")
        made.end(0)
        made.log(0, "epoch 1\nepoch 2\nepoch 3, at home\n")
        await driver.sees("epoch 3, at home")
        await driver.until(lambda: "from gpu1" not in driver.text(), "no mirror any more")


@pytest.mark.usefixtures("gpu1_is_here")
async def test_a_machine_that_is_away_is_told_where_the_log_would_be(root: Path, tmp_path: Path):
    options = (
        ("host", "gpu1"),
        ("remote_root", str(tmp_path / "nothing there")),
    )
    made = make(root, [{"a": 1}], sources=(("gpu1", "ssh", 2, options),))
    made.engine()
    made.start([0], "gpu1")
    async with opened(root, clock=made.clock, size=(100, 24)) as driver:
        await driver.press("enter")
        await driver.sees("there is nothing of this sweep at")
