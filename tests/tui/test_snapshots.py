"""Pictures of the screens, compared cell by cell. After a change that was meant: `--snapshot-update`, and look."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.state.index import IndexEntry, SweepIndex
from spawn_tui.tui.app import SpawnApp
from textual.pilot import Pilot

from .build import START, Clock, Made, machines, training
from .conftest import Driver
from .test_sweep_list import three

BASELINE = (3, 11)
"""The Python the pictures are made with."""

Compare = Callable[..., bool]
Before = Callable[[Driver], Awaitable[None]]


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """A time zone of our own, and no pictures from another Python."""
    if request.config.getoption("update_snapshots", False) and sys.version_info[:2] != BASELINE:
        pytest.fail(f"pictures are made with Python {'.'.join(map(str, BASELINE))}")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def looks(
    compare: Compare,
    root: Path | None,
    clock: Clock,
    size: tuple[int, int],
    *keys: str,
    sees: str,
    **options: bool,
):
    """Open, press the keys, wait until `sees` is seen, and compare."""
    app = SpawnApp(root, clock=clock, start_engine=lambda _: False, **options)

    async def before(pilot: Pilot[None]) -> None:
        driver = Driver(app, pilot, [])
        if root is not None:
            await driver.loaded()
        else:
            await driver.until(lambda: "reading" not in driver.text())
        for key in keys:
            await driver.press(key)
        await driver.sees(sees)
        # The log of a task comes a moment after the cursor.
        await driver.until(lambda: not getattr(app.screen, "_log_due", False))

    return compare(app, run_before=before, terminal_size=size)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    made = training(tmp_path / "sweep")
    made.engine()
    return made


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)], ids="{0[0]}x{0[1]}".format)
def test_sweep(snap_compare: Compare, made: Made, size: tuple[int, int]):
    last = "done: best" if size[0] > 80 else "4 Log"
    assert looks(snap_compare, made.root, made.clock, size, sees=last)


def test_sweep_tiny(snap_compare: Compare, made: Made):
    assert looks(snap_compare, made.root, made.clock, (20, 5), sees="15/24")


def test_sweep_light(snap_compare: Compare, made: Made):
    keys = ("ctrl+t", "3", "enter", "escape")
    assert looks(snap_compare, made.root, made.clock, (120, 36), *keys, sees="Tasks", ascii=False)


def test_sweep_ascii(snap_compare: Compare, made: Made):
    assert looks(snap_compare, made.root, made.clock, (80, 24), "3", sees="FloatingPointError", ascii=True)


def test_sweep_in_trouble(snap_compare: Compare, made: Made):
    made.commit(ev.SourceUnreachable("ssh:gpu1", "ssh: connect to host gpu1 port 22: No route to host"))
    made.wait(95)
    assert looks(snap_compare, made.root, made.clock, (120, 36), "2", "j", sees="is unreachable since")


def test_sweep_interrupted(snap_compare: Compare, made: Made):
    assert made.lock is not None
    made.commit(ev.EngineStarted(1, "lab", 4711))
    made.lock.release()
    made.wait(95)
    assert looks(snap_compare, made.root, made.clock, (120, 36), "2", sees="press P to resume")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids="{0[0]}x{0[1]}".format)
def test_machines(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]):
    made = machines(tmp_path / "sweep")
    assert looks(snap_compare, made.root, made.clock, size, "2", sees="ssh:gpu3")


def test_source(snap_compare: Compare, tmp_path: Path):
    made = machines(tmp_path / "sweep")
    keys = ("2", "j", "j", "j", "enter")
    assert looks(snap_compare, made.root, made.clock, (80, 24), *keys, sees="20:27:03  disabled: 3 failures")


def test_confirm(snap_compare: Compare, made: Made):
    assert looks(
        snap_compare, made.root, made.clock, (100, 30), "asterisk", "x", sees="Cancel 5 running and 4 waiting"
    )


def test_help(snap_compare: Compare, made: Made):
    assert looks(snap_compare, made.root, made.clock, (100, 40), "question_mark", sees="Ask of the sweep")


def test_log(snap_compare: Compare, made: Made):
    keys = ("3", "enter")
    assert looks(snap_compare, made.root, made.clock, (120, 36), *keys, sees="$ python train.py")


def test_error(snap_compare: Compare, made: Made):
    made.store.layout.document.write_text("{")
    app = SpawnApp(made.root, clock=made.clock)

    async def before(pilot: Pilot[None]) -> None:
        driver = Driver(app, pilot, [])
        await driver.until(lambda: driver.toasts)
        app.clear_notifications()  # it names the directory, which is another each time
        app.screen._trouble = "sweep.json: it cannot be read"  # type: ignore[attr-defined]  # as is its path
        app.screen._show_summary()  # type: ignore[attr-defined]
        await pilot.pause()

    assert snap_compare(app, run_before=before, terminal_size=(80, 24))


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids="{0[0]}x{0[1]}".format)
def test_list(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]):
    made = three(tmp_path)[0]
    SweepIndex().put(
        IndexEntry("gone-20260527-ffffff", "gone", "/data/sweeps/gone", "running", START - 90_000, 5)
    )
    assert looks(snap_compare, None, made.clock, size, sees="? missing")


def test_list_empty(snap_compare: Compare):
    assert looks(snap_compare, None, Clock(), (80, 24), sees="spawn-tui demo")
