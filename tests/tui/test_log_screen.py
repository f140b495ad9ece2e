"""One task's log over the whole screen."""

from __future__ import annotations

from pathlib import Path

from spawn_tui.tui.screens.log import LogScreen
from spawn_tui.tui.screens.sweep import SweepScreen

from .build import Made, make, plain, training
from .conftest import Driver, opened


def log_screen(driver: Driver) -> LogScreen:
    found = driver.app.screen
    assert isinstance(found, LogScreen)
    return found


def long_log(made: Made, lines: int = 500) -> None:
    made.log(0, "".join(f"line {n:03d} loss {n % 7}\n" for n in range(lines)))


async def test_it_shows_what_the_task_is(root: Path):
    made = training(root)
    async with opened(root, clock=made.clock) as driver:
        await driver.press("G", *"kkkkk", "l", "o")
        await driver.sees("Traceback")
        text = driver.text()
        for words in (
            "task_019 lr1-b32-m0.9",
            "✗ failed exit 1",
            "lr=1.0  batch_size=32",
            "try 2",
            "loss is nan",
        ):
            assert words in text
        await driver.sees("$ python train.py --lr 1.0 --batch-size 32 --momentum 0.9")
        await driver.press("o", "left_square_bracket")
        await driver.sees("stdout, try 1")
        await driver.sees("epoch  3/20")
        await driver.press("right_square_bracket")
        await driver.sees("stdout, try 2")


async def test_parameters_and_command_are_broken_at_blanks(root: Path):
    values = {f"parameter_{n}": f"value-{n}-of-some-length" for n in range(5)}
    flags = " ".join(f"--parameter-{n} {{parameter_{n}}}" for n in range(5))
    made = make(root, [values], command=f"python train.py {flags}")
    made.start([0])
    async with opened(root, clock=made.clock, size=(80, 24)) as driver:
        await driver.press("l")
        await driver.sees("$ python train.py")
        text = driver.text()
        assert all(f"parameter_{n}=value-{n}-of-some-length" in text for n in range(5))
        assert all(f"--parameter-{n}" in text for n in range(5))


async def test_follow_stops_when_scrolled_and_counts_what_came(root: Path):
    made = plain(root, 2, running=1)
    long_log(made)
    async with opened(root, clock=made.clock) as driver:
        await driver.press("l")
        await driver.sees("line 499")
        await driver.press("k", "k")
        await driver.sees("f follows")
        made.log(0, "new A\nnew B\n")
        await driver.sees("2 new lines, f follows")
        assert "new B" not in driver.text()
        await driver.press("f")
        await driver.sees("new B")
        await driver.press("g")
        await driver.sees("line 000")
        await driver.press("G")
        await driver.sees("new B")
        assert log_screen(driver).log_view.follow


async def test_search(root: Path):
    made = plain(root, 2, running=1)
    long_log(made, 100)
    async with opened(root, clock=made.clock) as driver:
        await driver.press("l")
        await driver.sees("line 099")
        await driver.press("slash")
        await driver.type("loss 6")
        await driver.sees("14 lines")
        await driver.press("enter")
        await driver.sees("match 10 of 14")  # the last one above what was on the screen
        await driver.press("n")
        await driver.sees("match 11 of 14")
        await driver.press("N", "N")
        await driver.sees("match 9 of 14")
        for _ in range(9):
            await driver.press("N")
        await driver.sees("match 14 of 14")
        await driver.press("escape")
        assert log_screen(driver).log_view.wanted == ""
        await driver.press("slash")
        await driver.type("nowhere")
        await driver.press("enter")
        await driver.sees("nothing found")
        await driver.press("escape", "escape")
        assert isinstance(driver.app.screen, SweepScreen)


async def test_long_lines_wrap_or_scroll_sideways(root: Path):
    made = plain(root, 2, running=1)
    made.log(0, "BEGIN " + "x" * 300 + " END\nshort\n")
    async with opened(root, clock=made.clock) as driver:
        await driver.press("l")
        await driver.sees("short")
        assert "END" not in driver.text()
        await driver.press("w")
        await driver.sees("END")
        await driver.press("w", *["right"] * 40)
        await driver.sees("END")
        assert "BEGIN" not in driver.text()


async def test_truncation_is_survived(root: Path):
    made = plain(root, 2, running=1)
    long_log(made, 50)
    async with opened(root, clock=made.clock) as driver:
        await driver.press("l", "w")
        await driver.sees("line 049")
        made.log(0, "begun anew\n", mode="w")
        await driver.sees("begun anew")
        assert "line 049" not in driver.text()


async def test_it_goes_on_while_the_sweep_does(root: Path):
    made = plain(root, 2, running=1)
    made.engine()
    async with opened(root, clock=made.clock) as driver:
        await driver.press("l")
        await driver.sees("● running")
        made.end(0, "failed", kind="signal", signal=9, message="killed by signal 9")
        await driver.sees("✗ failed signal 9 KILL")
        await driver.sees("It wrote nothing to stdout.")
