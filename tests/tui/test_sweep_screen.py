"""One sweep on the screen: what is shown, and what each key does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.tui.screens.confirm import ConfirmScreen
from spawn_tui.tui.screens.help import HelpScreen
from spawn_tui.tui.screens.log import LogScreen
from spawn_tui.tui.screens.source import SourceScreen
from spawn_tui.tui.screens.sweep import SweepScreen

from .build import Made, make, plain, training
from .conftest import Driver, opened


def requests(made: Made) -> list[dict[str, object]]:
    folder = made.store.layout.requests
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def screen(driver: Driver) -> SweepScreen:
    found = driver.app.screen
    assert isinstance(found, SweepScreen)
    return found


async def wait_request(driver: Driver, made: Made, number: int = 1) -> dict[str, object]:
    await driver.until(lambda: len(requests(made)) == number, f"{number} requests")
    return requests(made)[-1]


async def test_it_says_without_a_key_whether_all_is_well(root: Path):
    made = training(root)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        text = driver.text()
        for words in (
            "● running  cifar-sgd-20260528-abc123", "live · 0.0 s", "62%  15/24", "eta ~",
            "✓ 11 completed", "✗ 3 failed", "⊘ 1 cancelled", "● 4 running", "○ 4 pending",
            "local", "3/4", "ssh:gpu1", "2/3", "exit 1, try 2", "FloatingPointError", "Connection timed out",
            "done: best val_acc 0.7100",
        ):  # fmt: skip
            assert words in text, f"{words}\n{text}"


async def test_what_happens_is_seen(root: Path):
    made = plain(root, 6, running=2)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        assert "● 2 running" in driver.text()
        made.end(0)
        made.end(1, "failed", kind="timeout", message="it ran longer than 30m")
        await driver.sees("✓ 1 completed")
        await driver.sees("longer than 30m")
        made.commit(ev.SourceUnreachable("local", "no answer"))
        made.start([2])
        await driver.sees("? unknown")
        await driver.sees("local is unreachable since ")
        await driver.sees(": no answer. 1 task there may still run.")
        made.commit(ev.SourceReachable("local"))
        await driver.sees("● running")


async def test_cancel_asks_first_and_no_has_the_focus(root: Path):
    made = plain(root, 6, running=2)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        await driver.press("x")
        assert isinstance(driver.app.screen, ConfirmScreen)
        assert driver.app.focused is not None and driver.app.focused.id == "no"
        assert "Cancel running task_001" in driver.text()
        assert "y yes · n/esc no" in driver.text()
        await driver.press("enter")
        assert isinstance(driver.app.screen, SweepScreen)
        assert requests(made) == [] and driver.toasts == ["Nothing was cancelled."]
        await driver.press("x", "y")
        request = await wait_request(driver, made)
        assert request["verb"] == "cancel" and request["tasks"] == ["task_001"]
        await driver.until(lambda: "Asked the engine to cancel task_001." in driver.toasts)
        # Nothing is shown as done because it was asked for.
        assert "● 2 running" in driver.text()
        made.commit(ev.RequestTaken("r", "cancel", (0,)), ev.Cancelling("local", (ev.Ref(0, 1),)))
        await driver.sees("◌ cancelling")


async def test_a_question_fits_into_a_few_lines(root: Path):
    made = plain(root, 6, running=2)
    made.engine()
    async with opened(root, clock=made.clock, size=(20, 5)) as driver:
        await driver.press("x")
        await driver.sees("Cancel task_001?")
        await driver.sees("y yes · n/esc no")
        await driver.press("enter")
        assert isinstance(driver.app.screen, SweepScreen) and requests(made) == []
        await driver.press("x", "y")
        assert (await wait_request(driver, made))["tasks"] == ["task_001"]


async def test_a_sweep_that_failed_offers_to_try_again(root: Path):
    made = plain(root, 2, running=2)
    made.end(0)
    made.end(1, "failed", kind="exit", exit_code=1)
    made.commit(ev.SweepEnded("failed", "1 of 2 tasks failed"))
    made.wait(3600)
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        assert "R Retry the rest" in driver.text()
        assert "1.0s · ended 1h ago" in driver.text()
        await driver.press("q")
        assert driver.app.parting.splitlines()[1:] == [
            f"Why: spawn-tui errors {made.id}",
            f"Try again: spawn-tui resume {made.id} --retry-failed",
        ]


async def test_a_cancelled_sweep_offers_the_way_on_wherever_the_cursor_is(root: Path):
    made = plain(root, 4, running=3)
    made.end(0)
    made.end(1, "failed", kind="exit", exit_code=1)
    made.commit(ev.RequestTaken("r1", "cancel"), ev.Cancelling("local", (ev.Ref(2, 1),)))
    made.end(2, "cancelled")
    made.commit(ev.Dropped((3,)), ev.SweepEnded("cancelled"))
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        keys = driver.text().splitlines()[-1]
        assert "Open  R Retry the rest" in keys and "r Retry  " not in keys
        await driver.press("R")
        await driver.sees("Run 1 failed and 2 cancelled tasks again?")


async def test_how_a_task_ended_is_spelled_out_and_is_no_matter_of_the_next_try(root: Path):
    made = plain(root, 3, running=3)
    made.end(0, "failed", kind="timeout")
    made.end(1, "failed", kind="launch_failed")
    made.commit(ev.Requeued((ev.Delay(1, made.clock.at + 60),)))
    made.end(2, "failed", kind="launch_failed", message="no such file")
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        rows = [line for line in driver.text().splitlines() if " local " in line]
        assert "timeout" in rows[0] and "launch failed" in rows[2]
        assert "pending" in rows[1] and "launch" not in rows[1]


async def test_the_keys_of_sources_have_a_heading_of_their_own_and_come_first_where_they_can_be_used(
    root: Path,
):
    made = training(root)
    made.engine()
    made.commit(ev.SourceDisabled("local", "3 failures in a row", "strikes"))
    async with opened(root, clock=made.clock, size=(100, 90)) as driver:
        assert "Enable source" not in driver.text()
        await driver.press("2")
        await driver.until(lambda: "e Enable source" in driver.text().splitlines()[-1])
        assert driver.text().splitlines()[-1].strip().startswith("⏎ Open  e Enable source  D Remove source")
        await driver.press("1", "question_mark")
        await driver.sees("Ask of a source")
        text = driver.text()
        first = text[text.index("Ask of the sweep") :].splitlines()[1]
        assert "Cancel" in first and text.index("Ask of a source") > text.index("Program")
        assert text.index("Enable source") > text.index("Ask of a source")


async def test_what_is_counted_is_named(root: Path):
    made = plain(root, 2, running=1)
    made.end(0, "failed", kind="exit", exit_code=1)
    made.commit(ev.RequestTaken("r", "retry", (0,)))
    made.start([0])
    made.end(0, "failed", kind="exit", exit_code=1)
    async with opened(root, clock=made.clock) as driver:
        assert "✗ 1 failed" in driver.text()
        assert "✗ 2 attempts failed" in driver.text()
        assert "Failures 1 · newest first" in driver.text()


async def test_marks_and_filter_choose_what_is_cancelled(root: Path):
    made = plain(root, 8, running=3)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        await driver.press("space", "j", "space")
        assert screen(driver).table.marks == {0, 2}
        assert "(2 marked)" in driver.text()
        await driver.press("escape")
        assert screen(driver).table.marks == set()
        await driver.press("slash")
        await driver.type("lr>0.0025")
        await driver.press("enter", "asterisk")
        assert screen(driver).table.marks == {3, 4, 5, 6, 7}
        await driver.press("X")
        assert "Kill 5 waiting tasks?" in driver.text()
        await driver.press("y")
        request = await wait_request(driver, made)
        assert request["tasks"] == [f"task_00{n}" for n in (4, 5, 6, 7, 8)] and request["force"] is True


async def test_the_whole_sweep_can_be_cancelled(root: Path):
    made = plain(root, 8, running=3)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        made.clock.at += 600
        await driver.press("C")
        assert "Cancel the whole sweep: 3 running and 5 waiting tasks (0.5 task-hours done)?" in driver.text()
        await driver.press("y")
        assert "tasks" not in await wait_request(driver, made)


async def test_retry(root: Path):
    made = plain(root, 5, running=3)
    made.engine()
    for task in (0, 1):
        made.end(task, "failed", kind="exit", exit_code=2)
    async with opened(root, clock=made.clock) as driver:
        await driver.press("r")
        assert "Run failed task_001 again?" in driver.text()
        await driver.press("y")
        assert (await wait_request(driver, made))["tasks"] == ["task_001"]
        await driver.press("R")
        assert "Run all 2 failed tasks again?" in driver.text()
        await driver.press("y")
        assert (await wait_request(driver, made, 2))["verb"] == "retry"


async def test_pause_and_resume(root: Path):
    made = plain(root, 5, running=1)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        await driver.press("P")
        await driver.press("p")
        assert (await wait_request(driver, made))["verb"] == "pause"
        made.commit(ev.RequestTaken("x", "pause", by="ada@lab"))
        await driver.sees("Paused by ada@lab")
        await driver.press("P")
        assert (await wait_request(driver, made, 2))["verb"] == "resume"


async def test_a_sweep_left_in_good_order_while_paused_is_paused(root: Path):
    made = plain(root, 5, running=1)
    made.end(0)
    made.commit(ev.RequestTaken("x", "pause", by="ada@lab"), ev.EngineStopped("paused"))
    made.wait(3600)
    async with opened(root, clock=made.clock) as driver:
        text = driver.text()
        assert "‖ paused" in text and "1.0s · press P to resume" in text
        assert "no engine" not in text and "engine gone" not in text


async def test_slots_add_up_before_the_engine_answers(root: Path):
    made = plain(root, 5, running=1)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        await driver.press("plus", "plus", "plus", "minus")
        await driver.until(lambda: len(requests(made)) == 4)
        assert sorted(request["value"] for request in requests(made)) == [5, 6, 6, 7]  # type: ignore[type-var]


async def test_an_interrupted_sweep_gets_an_engine(root: Path):
    made = plain(root, 5, running=1)
    async with opened(root, clock=made.clock) as driver:
        assert "! interrupted" in driver.text()
        text = driver.text()
        for words in (
            "no engine · last event 0s ago", "press P to resume", "? 1 unknown (were running)", "? unknown",
            "1?/4", "? 1 unknown\n",
        ):  # fmt: skip
            assert words in text.replace("  ", "\n"), f"{words}\n{text}"
        assert "● running" not in text and "eta" not in text
        await driver.press("slash")
        await driver.type("state:unknown")
        await driver.press("enter")
        assert list(screen(driver).table.order) == [0]
        await driver.press("escape")
        await driver.press("P")
        await driver.until(lambda: driver.started == [root])
        await driver.until(lambda: "An engine runs the sweep again." in driver.toasts)
        assert requests(made) == []
        await driver.press("x", "y")
        await wait_request(driver, made)
        await driver.until(lambda: driver.started == [root, root])


async def test_an_engine_that_cannot_start_is_told(root: Path):
    made = plain(root, 5, running=1)
    async with opened(root, clock=made.clock) as driver:

        def fail(_: Path) -> bool:
            raise OSError("no space left on device")

        driver.app.start_engine = fail
        await driver.press("x", "y")
        await driver.until(lambda: any("no space left" in toast for toast in driver.toasts))


async def test_a_silent_engine_is_told_and_a_refusal_too(root: Path, monkeypatch: pytest.MonkeyPatch):
    made = plain(root, 5, running=2)
    made.engine()
    monkeypatch.setattr("spawn_tui.tui.screens.asking.ANSWER_WITHIN", 0.01)
    async with opened(root, clock=made.clock) as driver:
        await driver.press("p")
        await wait_request(driver, made)
        await driver.until(lambda: any("has not answered for" in toast for toast in driver.toasts))
        request = next(made.store.layout.requests.glob("*.json")).stem
        made.commit(ev.RequestRefused(request, "the sweep has ended"))
        await driver.until(
            lambda: any("will not pause the sweep: the sweep has ended" in t for t in driver.toasts)
        )


async def test_readonly_asks_nothing(root: Path):
    made = plain(root, 5, running=2)
    made.engine()
    async with opened(root, clock=made.clock, readonly=True) as driver:
        await driver.press("x", "p", "C", "plus", "R")
        assert isinstance(driver.app.screen, SweepScreen)
        assert requests(made) == []
        assert "Pause" not in driver.text() and "Logs" in driver.text()


async def test_filter_line(root: Path):
    made = training(root)
    async with opened(root, clock=made.clock) as driver:
        await driver.press("slash")
        await driver.type("state:faild")
        await driver.sees('did you mean "failed"')
        await driver.press("backspace", *"ed")
        await driver.sees("3 of 24")
        await driver.press("enter")
        assert list(screen(driver).table.order) == [7, 18, 19]
        await driver.press("j")
        assert screen(driver).table.selected == 18
        await driver.press("escape")
        assert screen(driver).table.count == 24
        assert screen(driver).table.selected == 18  # the cursor stays with its task
        await driver.press("slash")
        await driver.type("nothing-like-it")
        await driver.press("escape")
        assert screen(driver).table.count == 24


async def test_a_filter_follows_what_happens(root: Path):
    made = plain(root, 6, running=3)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        await driver.press("slash")
        await driver.type("state:running")
        await driver.press("enter")
        assert list(screen(driver).table.order) == [0, 1, 2]
        made.end(1)
        made.start([4])
        await driver.until(lambda: list(screen(driver).table.order) == [0, 2, 4])


async def test_sorting(root: Path):
    made = training(root)
    async with opened(root, clock=made.clock, size=(160, 40)) as driver:
        table = screen(driver).table
        await driver.press("s", "s")
        assert table.sort.column == "state"
        assert list(table.order)[:3] == [7, 18, 19]
        assert "state↑" in driver.text()
        await driver.press("S")
        assert table.order[0] == 20 and "state↓" in driver.text()


async def test_moving(root: Path):
    made = plain(root, 1000)
    async with opened(root, clock=made.clock) as driver:
        table = screen(driver).table
        await driver.press("j", "down", "k")
        assert table.selected == 1
        await driver.press("G")
        assert table.selected == 999 and " 1000 " in driver.text()
        await driver.press("ctrl+u")
        assert 980 < table.selected < 999
        await driver.press("g", "pagedown", "ctrl+d", "pageup", "ctrl+u")
        assert table.selected == 0
        await driver.pilot.click("#tasks", offset=(10, 6))
        assert table.selected == 4


async def test_drill_down_and_back(root: Path):
    made = training(root)
    made.index()
    async with opened(root, clock=made.clock) as driver:
        await driver.press("enter")
        assert isinstance(driver.app.screen, LogScreen)
        await driver.press("escape")
        await driver.press("3", "j", "enter")
        log = driver.app.screen
        assert isinstance(log, LogScreen) and log.index == 19 and log.stream == "stderr"
        await driver.press("escape")
        assert screen(driver).table.selected == 19
        await driver.press("2", "j", "enter")
        assert isinstance(driver.app.screen, SourceScreen)
        await driver.press("escape")
        assert screen(driver).pane == "sources"
        await driver.press("enter", "t")
        assert screen(driver).filter_text == "source:ssh:gpu1"
        assert screen(driver).table.count == 6
        await driver.press("escape", "escape")
        await driver.sees("1 sweep")


async def test_log_tail_follows_the_file_and_the_cursor(root: Path):
    made = plain(root, 3, running=2)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        await driver.sees("Nothing on stdout yet.")
        made.log(0, "step 1\nstep 2")
        await driver.sees("step 2")
        made.log(0, "00\nstep 3\r")
        await driver.sees("step 200")
        made.log(0, "\rprogress 50%\rprogress 51%")
        await driver.sees("progress 51%")
        made.log(0, "only stderr\n", stderr=True)
        await driver.press("o")
        await driver.sees("only stderr")
        await driver.press("j", "j")
        await driver.sees("Not started yet: it waits for a free slot.")
        await driver.press("k")
        await driver.sees("Nothing on stderr yet.")


async def test_the_log_of_a_new_attempt_is_followed(root: Path):
    made = plain(root, 2, running=1)
    made.log(0, "first try\n")
    async with opened(root, clock=made.clock) as driver:
        await driver.sees("first try")
        made.end(0, "failed", kind="exit", exit_code=1)
        made.commit(ev.RequestTaken("r", "retry", (0,)))
        made.start([0])
        made.log(0, "second try\n")
        await driver.sees("second try")
        assert "stdout of task_001 try 2" in driver.text()


async def test_small_terminals_and_back(root: Path):
    made = training(root)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        await driver.press("j", "j")
        await driver.pilot.resize_terminal(20, 5)
        await driver.sees("● 15/24 ✗3 ●4")
        await driver.sees("✓ completed")
        await driver.pilot.resize_terminal(80, 24)
        await driver.sees("1 Tasks   2 Sources   3 Failures 3   4 Log")
        await driver.press("4")
        await driver.sees("epoch 20/20")
        await driver.press("2")
        await driver.sees("ssh:gpu1")
        assert "epoch 20/20" not in driver.text()
        await driver.pilot.resize_terminal(1, 1)
        await driver.pilot.pause()
        await driver.pilot.resize_terminal(120, 36)
        await driver.press("1")
        await driver.sees("FloatingPointError")
        assert screen(driver).table.selected == 2


async def test_help_lists_the_live_keys(root: Path):
    made = plain(root, 2, running=1)
    made.engine()
    async with opened(root, clock=made.clock, size=(120, 70)) as driver:
        await driver.press("question_mark")
        assert isinstance(driver.app.screen, HelpScreen)
        text = driver.text()
        for words in (
            "x  Cancel",
            "p  Pause",
            "/  Filter",
            "G  Last",
            "?  Help",
            "What is grey cannot be done just now.",
        ):
            assert words in text, text
        await driver.press("escape")
        assert isinstance(driver.app.screen, SweepScreen)


async def test_the_palette_runs_actions(root: Path):
    made = plain(root, 2, running=1)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        await driver.press("colon")
        await driver.press(*"pause")
        await driver.sees("Launch nothing more")
        await driver.press("enter")
        assert (await wait_request(driver, made))["verb"] == "pause"


async def test_copying_shows_the_text(root: Path):
    made = plain(root, 3, running=1)
    async with opened(root, clock=made.clock) as driver:
        await driver.press("j", "y")
        assert driver.app.clipboard == "task_002"
        await driver.press("Y")
        assert driver.app.clipboard == f"spawn-tui logs {made.id} 2"
        await driver.press("ctrl+y")
        assert driver.app.clipboard == made.id
        assert f"Copied: {made.id}" in driver.toasts
        await driver.press("k", "x", "Y")
        assert driver.app.clipboard == f"spawn-tui cancel {made.id} --tasks 1"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("running", "goes on. Look again: spawn-tui plain-20260528-abc123   End it: spawn-tui cancel plain"),
        ("interrupted", "is interrupted: nobody runs it. Go on: spawn-tui resume plain-20260528-abc123"),
        ("over", "plain-20260528-abc123: completed, 1 of 1 tasks completed."),
    ],
)
async def test_leaving_says_what_becomes_of_the_sweep(root: Path, state: str, words: str):
    made = plain(root, 1, running=1)
    if state == "running":
        made.engine()
    if state == "over":
        made.end(0)
        made.commit(ev.SweepEnded("completed"))
    async with opened(root, clock=made.clock) as driver:
        await driver.press("q")
        assert words in driver.app.parting
        assert driver.app.return_code == 0


async def test_a_directory_that_is_no_sweep_is_told(tmp_path: Path):
    async with opened(None) as driver:
        driver.app.open_sweep(tmp_path)
        await driver.sees(f"there is no sweep in {tmp_path}"[:60])
        await driver.press(
            "x", "j", "s", "slash", "l", "y", "space", "asterisk", "1", "2", "3", "4", "w", "f", "o"
        )


async def test_damage_is_told_and_what_was_read_stays(root: Path):
    made = plain(root, 4, running=2)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        journal = sorted(made.store.layout.journal.iterdir())[-1]
        with journal.open("a") as file:
            file.write("rubbish\n")
        # The path in it may have it broken between any two words.
        await driver.until(lambda: "journal is damaged" in " ".join(driver.text().split()))
        assert "● 2 running" in driver.text()


async def test_text_from_outside_is_harmless(root: Path):
    evil = "\x1b]0;owned\x07\x1b[2J[bold]x[/bold]"
    made = make(root, [{"p\x1b[31m": evil, "q": "[/]"}], labels=[evil], name="evil")
    made.start([0])
    made.log(0, f"{evil}\n")
    made.end(0, "failed", kind="launch_failed", message=evil)
    async with opened(root, clock=made.clock, size=(160, 40)) as driver:
        await driver.sees("[bold]x[/bold]")
        assert "owned" not in driver.text() and "\x1b" not in driver.text()
        await driver.press("l")
        await driver.sees("[bold]x[/bold]")
        await driver.press("escape", "slash")
        await driver.type("q:[/]")
        await driver.press("enter")
        assert screen(driver).table.count == 1


async def test_ascii_uses_nothing_else(root: Path):
    made = training(root)
    made.engine()
    async with opened(root, clock=made.clock, ascii=True, toasts=True) as driver:
        for keys, sees in (
            ((), "epoch 20/20"),
            (("question_mark",), "Ask of the sweep"),
            (("escape", "G", "x"), "y yes - n/esc no"),
            (("n",), "Nothing was cancelled."),
            (("l",), "esc Back"),
            (("escape", "p"), "Asked the engine to pause"),
            (("colon",), "Turn the order round"),
        ):
            await driver.press(*keys)
            await driver.sees(sees)
            text = driver.text()
            assert text.isascii(), {character for character in text if not character.isascii()}
