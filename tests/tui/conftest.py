"""Drives the program without a terminal. No test sleeps: each waits for what it needs, and fails after a while."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from spawn_tui.tui.app import SpawnApp
from textual.pilot import Pilot
from textual.widgets import Input

from .build import Clock

LIMIT = 10.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests; a plugin would be a dependency for these five lines."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


class Driver:
    """One run of the program."""

    def __init__(self, app: SpawnApp, pilot: Pilot[None], started: list[Path]) -> None:
        self.app, self.pilot, self.started = app, pilot, started
        self.said: list[str] = []

    async def until(self, what: Callable[[], object], why: str = "") -> None:
        """Wait until it is so."""
        end = time.monotonic() + LIMIT
        while not what():
            assert time.monotonic() < end, f"never came: {why or what}\n{self.text()}"
            await self.pilot.pause()
            await asyncio.sleep(0.005)

    async def loaded(self) -> None:
        await self.until(
            lambda: getattr(self.app.screen, "model", None) and self.app.screen.model.facts, "loaded"
        )  # type: ignore[attr-defined]
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Put the text into the line that is open, at once."""
        await self.until(lambda: self.app.screen.query("#prompt-field"), "a line to type into")
        self.app.screen.query_one("#prompt-field", Input).value = text
        await self.pilot.pause()

    async def sees(self, text: str) -> None:
        """Wait until the text stands on the screen."""
        await self.until(lambda: text in self.text(), f"{text!r} on the screen")

    def text(self) -> str:
        """The screen as lines of plain text."""
        # No public way leads to the cells of a screen; an SVG would have to be read back.
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text for strip in strips)

    @property
    def toasts(self) -> list[str]:
        return [notification.message for notification in self.app._notifications]


@asynccontextmanager
async def opened(
    root: Path | None,
    *,
    size: tuple[int, int] = (120, 36),
    clock: Clock | None = None,
    readonly: bool = False,
    ascii: bool = False,
    toasts: bool = False,
) -> AsyncIterator[Driver]:
    """The program on the sweep in `root`, loaded. `toasts`: whether they are painted too."""
    started: list[Path] = []

    def start(where: Path) -> bool:
        started.append(where)
        return True

    at = clock or Clock()
    app = SpawnApp(root, readonly=readonly, ascii=ascii, clock=lambda: at.at, start_engine=start)
    async with app.run_test(size=size, notifications=toasts) as pilot:
        driver = Driver(app, pilot, started)
        if root is not None:
            await driver.loaded()
        yield driver


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "sweep"
