"""All sweeps on the screen."""

from __future__ import annotations

import shutil
from pathlib import Path

from spawn_tui.engine import events as ev
from spawn_tui.state.index import IndexEntry, SweepIndex
from spawn_tui.tui.screens.sweep import SweepScreen
from spawn_tui.tui.screens.sweep_list import SweepListScreen
from spawn_tui.tui.sweeps_feed import SweepsFeed, SweepsNews

from .build import START, Made, plain, training
from .conftest import opened


def three(folder: Path) -> list[Made]:
    """One that runs, one that was interrupted, one that is over."""
    running = training(folder / "a")
    running.engine()
    interrupted = plain(folder / "b", 10, running=3, name="night")
    over = plain(folder / "c", 2, running=2, name="done")
    over.end(0)
    over.end(1, "failed", kind="exit", exit_code=1)
    over.commit(ev.SweepEnded("failed", "1 of 2 tasks failed"))
    for made in (running, interrupted, over):
        made.index()
    return [running, interrupted, over]


async def test_it_shows_every_sweep_as_it_is_now(tmp_path: Path):
    running, interrupted, over = three(tmp_path)
    SweepIndex().put(
        IndexEntry("gone-20260527-ffffff", "gone", str(tmp_path / "x"), "running", START - 90_000, 5)
    )
    async with opened(None, clock=running.clock) as driver:
        await driver.sees("4 sweeps · 1 running · 1 interrupted")
        lines = driver.text().splitlines()
        for made, words in ((running, "● running"), (interrupted, "! interrupted"), (over, "✗ failed")):
            assert any(made.id in line and words in line for line in lines)
        assert any("? missing" in line and "not there: " in line for line in lines)
        assert any("15/24" in line for line in lines)
        running.end(11)
        await driver.sees("16/24")
        shutil.rmtree(interrupted.root)
        await driver.sees("1 running")
        await driver.until(lambda: driver.text().count("? missing") == 2)


async def test_what_is_not_over_is_seen_without_colour(tmp_path: Path):
    made = plain(tmp_path / "a", 9, running=9, name="nine")
    made.engine()
    for task in range(8):
        made.end(task)
    lost = plain(tmp_path / "b", 4, running=2, name="lost")
    for each in (made, lost):
        each.index()
    for ascii, over, left in ((True, "#", "-"), (False, "━", "─")):
        async with opened(None, clock=made.clock, ascii=ascii) as driver:
            await driver.sees(" 8/9 ")
            lines = {name: next(line for line in driver.text().splitlines() if name in line)
                     for name in ("nine-", "lost-")}  # fmt: skip
            bar = lines["nine-"].split()
            assert any(word.strip(over).strip(left) == "" and f"{over}{left}" in word for word in bar)
            assert over not in lines["lost-"] and f"{left * 4}" in lines["lost-"]
            assert "2?" in lines["lost-"]


async def test_an_empty_list_says_what_to_do():
    async with opened(None) as driver:
        await driver.sees("spawn-tui launch params.yaml")
        await driver.sees("spawn-tui demo")
        await driver.press("enter", "j", "y", "Y", "escape", "x")
        assert isinstance(driver.app.screen, SweepListScreen)


async def test_a_damaged_index_is_told(spawn_home: Path):
    (spawn_home / "index.json").write_text("{]")
    async with opened(None) as driver:
        await driver.sees("is damaged")


async def test_open_filter_and_back(tmp_path: Path):
    made = three(tmp_path)[0]
    async with opened(None, clock=made.clock) as driver:
        await driver.sees("3 sweeps")
        await driver.press("slash")
        await driver.type("nigh")
        await driver.press("enter")
        await driver.until(lambda: made.id not in driver.text())
        await driver.press("enter")
        await driver.loaded()
        assert isinstance(driver.app.screen, SweepScreen)
        await driver.press("escape")
        assert isinstance(driver.app.screen, SweepListScreen)
        await driver.press("escape")
        await driver.sees(made.id)
        await driver.press("G", "g", "Y")
        assert driver.app.clipboard.startswith("spawn-tui ")


async def test_a_missing_sweep_is_not_opened(tmp_path: Path):
    SweepIndex().put(IndexEntry("gone-1", "gone", str(tmp_path / "x"), "running", START, 5))
    async with opened(None) as driver:
        await driver.sees("? missing")
        await driver.press("enter")
        await driver.until(lambda: any("is not there" in toast for toast in driver.toasts))


async def test_small_and_wide(tmp_path: Path):
    made = three(tmp_path)[0]
    async with opened(None, clock=made.clock, size=(20, 5)) as driver:
        await driver.sees("● running")
        await driver.pilot.resize_terminal(200, 50)
        await driver.sees("started")
        assert "2m40s" in driver.text()


def test_what_is_over_is_not_read_again(tmp_path: Path):
    told: list[SweepsNews] = []
    running, interrupted, over = three(tmp_path)
    feed = SweepsFeed(told.append)
    feed.look()
    assert told[0].reading and not told[1].reading
    assert set(feed._viewers) == {str(running.root), str(interrupted.root)}
    number = len(told)
    feed.look()
    assert len(told) == number  # nothing new, nothing told
    # Its document may even be gone; nobody looks.
    over.store.layout.document.unlink()
    running.end(11)
    feed.look()
    assert len(told) == number + 1
    assert {row.id: row.status for row in told[-1].rows}[over.id] == "failed"
