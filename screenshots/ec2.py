"""The pictures of a sweep on EC2: as `spawn-tui demo --ec2`, whose AWS is played on this machine.

    python -m screenshots.ec2 [FOLDER]        with pip install 'spawn-tui[demo]'

They are taken while one instance has failed, some are being launched and others run. What it starts, it also ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import spawn_tui.tui.demo
from spawn_tui.engine.sweep import FINAL
from spawn_tui.engine.viewer import Viewer
from spawn_tui.tui.app import SpawnApp
from spawn_tui.tui.demo.cloud.started import Started

from .make import newest, shoot, spawn, to_png, wait

DEMO = Path(spawn_tui.tui.demo.__path__[0])

LIMIT = 90.0
"""Seconds the sweep has to come to the picture, and to end."""


def has_all(viewer: Viewer) -> bool:
    """Whether there is something to see of every kind."""
    counts = viewer.sweep.counts
    return all(counts[state] for state in ("completed", "failed", "running", "launching"))


async def shoot_then(folder: Path, name: str, size: tuple[int, int], root: Path, *keys: str) -> None:
    """Open the program, press the keys, and keep the first picture that shows all: launching takes seconds only."""
    app, viewer, end = SpawnApp(root), Viewer(root), time.monotonic() + LIMIT
    async with app.run_test(size=size) as pilot:
        await pilot.pause(1.0)
        for key in keys:
            await pilot.press(key)
        while not has_all(viewer):
            if time.monotonic() > end:
                raise TimeoutError(f"{root} did not get there")
            await pilot.pause(0.1)
            viewer.refresh()
        await pilot.pause(1.0)
        (folder / f"{name}.svg").write_text(app.export_screenshot(title="spawn-tui"))


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.environ["SPAWN_HOME"] = str(work / "home")
        os.chdir(work)
        for file in ("train.py", "demo-ec2.yaml"):
            shutil.copyfile(DEMO / file, work / file)
        (work / "spawn.yaml").write_text("sources:\n  ec2:\n    type: ec2\n    poll_interval: 1\n")
        (work / "cloud").mkdir()
        with Started(work / "cloud", machines="process", boot=5.0) as cloud:
            os.environ.update(cloud.env())
            spawn("launch", "demo-ec2.yaml", "--sources", "ec2", "--budget", "1", "--detach", "-y")
            root = newest()
            try:
                asyncio.run(shoot_then(folder, "ec2-120x36", (120, 36), root, *"jjjjo"))
                asyncio.run(shoot(folder, "ec2-80x24", (80, 24), root, "2"))
                wait(root, lambda viewer: viewer.status() in FINAL, LIMIT)
            finally:
                if Viewer(root).status() not in FINAL:
                    spawn("cancel", str(root), "--force", "-y")
    for picture in sorted(folder.glob("ec2-*.svg")):
        to_png(picture)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).resolve())
