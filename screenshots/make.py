"""Makes the pictures of the README: starts real sweeps here, opens the program on them, and keeps what it shows.

    python screenshots/make.py [FOLDER]

SVG always, and PNG where Chromium is found. Takes about half a minute; what it starts, it also ends.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from spawn_tui.engine.sweep import FINAL
from spawn_tui.engine.viewer import Viewer
from spawn_tui.state.index import SweepIndex
from spawn_tui.tui.app import SpawnApp

GRID = """\
grid:
  lr: [0.1, 0.01, 1e-3]
  batch_size: [32, 64, 128, 256]
command: sh -c 'sleep {seconds}; test "$PARAM_lr" != 0.1 || exit 3'
sources: ["local:2"]
"""


def spawn(*words: str) -> None:
    """Call the program as a person would."""
    subprocess.run([str(Path(sys.executable).parent / "spawn-tui"), *words], check=True, capture_output=True)


def newest() -> Path:
    return Path(SweepIndex().entries()[0].directory)


def wait(root: Path, what: Callable[[Viewer], bool], limit: float = 60.0) -> None:
    """Until the sweep is so far."""
    viewer = Viewer(root)
    end = time.monotonic() + limit
    while not what(viewer):
        if time.monotonic() > end:
            raise TimeoutError(f"{root} did not get there")
        time.sleep(0.05)
        viewer.refresh()


def launch(folder: Path, name: str, seconds: float) -> Path:
    """A sweep of twelve small tasks, some of which fail."""
    project = folder / name
    project.mkdir()
    (project / f"{name}.yaml").write_text(GRID.format(seconds=seconds))
    spawn("launch", str(project / f"{name}.yaml"), "--detach", "-y")
    return newest()


async def shoot(
    folder: Path, name: str, size: tuple[int, int], root: Path | None, *keys: str, ascii: bool = False
) -> None:
    """Open the program at this size, press the keys, and keep the picture."""
    app = SpawnApp(root, ascii=ascii)
    async with app.run_test(size=size) as pilot:
        await pilot.pause(1.2)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.15)
        await pilot.pause(0.6)
        (folder / f"{name}.svg").write_text(app.export_screenshot(title="spawn-tui"))


def to_png(svg: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.read_text())
    if chromium is None or box is None:
        return
    width, height = (int(float(number)) + 1 for number in box.groups())
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
    ]
    shot = [
        f"--window-size={width},{height}",
        f"--screenshot={svg.with_suffix('.png')}",
        svg.resolve().as_uri(),
    ]
    subprocess.run([chromium, *options, *shot], check=True, capture_output=True)


async def pictures(folder: Path, demo: Path, night: Path) -> None:
    await shoot(folder, "sweep-120x36", (120, 36), demo, *"jjjjjj")
    await shoot(folder, "confirm-100x30", (100, 30), night, "C")
    await shoot(folder, "list-100x24", (100, 24), None)
    await shoot(folder, "sweep-200x50", (200, 50), demo, *"jjjj")
    await shoot(folder, "sweep-80x24", (80, 24), demo)
    await shoot(folder, "light-120x36", (120, 36), demo, "ctrl+t", "j", "j")
    await shoot(folder, "ascii-80x24", (80, 24), demo, ascii=True)
    await shoot(folder, "log-120x36", (120, 36), demo, "3", "j", "enter")
    await shoot(folder, "help-100x40", (100, 40), demo, "question_mark")


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.environ["SPAWN_HOME"] = str(work / "home")
        os.chdir(work)
        started: list[Path] = []
        try:
            started.append(launch(work, "warmup", 0.05))
            wait(started[-1], lambda viewer: viewer.status() in FINAL)
            started.append(launch(work, "baseline", 20))
            wait(started[-1], lambda viewer: viewer.sweep.active > 0)
            spawn("cancel", str(started[-1]), "-y")
            started.append(launch(work, "night", 30))
            wait(started[-1], lambda viewer: viewer.sweep.active > 0)
            spawn("pause", str(started[-1]))
            spawn("demo", "--sources", "local:2", "--detach")
            started.append(newest())
            wait(started[-1], lambda viewer: len(viewer.sweep.failures) >= 2)
            asyncio.run(pictures(folder, started[-1], started[-2]))
            for svg in sorted(folder.glob("*.svg")):
                to_png(svg)
        finally:
            for root in started:
                if Viewer(root).status() not in FINAL:
                    spawn("cancel", str(root), "--force", "-y")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).resolve())
