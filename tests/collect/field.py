"""A sweep's directory at home, one on another machine, and attempts that have ended there."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from spawn_tui.engine.collect.bring import Collected
from spawn_tui.engine.collect.collector import Collector
from spawn_tui.engine.collect.rules import CollectRules
from spawn_tui.engine.events import Ref
from spawn_tui.engine.remote.area import Area
from spawn_tui.engine.remote.host import Host, LocalHost
from spawn_tui.state.layout import SweepLayout

from ..parts.waiting import wait_until

QUICK = CollectRules(interval=0.05, patience=20.0)


def tree(root: Path, *, but: frozenset[str] = frozenset({"start.sh"})) -> dict[str, str]:
    """Everything below `root`: a file's checksum, a link's target, `folder`."""
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder) / name
            key = str(path.relative_to(root))
            if key in but:
                continue
            if path.is_symlink():
                found[key] = f"-> {os.readlink(path)}"
            elif path.is_dir():
                found[key] = "folder"
            else:
                found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class Field:
    """`far` is the sweep's directory there as this test sees it; `root` how the machine calls it."""

    def __init__(
        self, tmp: Path, host: Host | None = None, *, far: Path | None = None, owner: int | None = None
    ) -> None:
        self.layout = SweepLayout(tmp / "sweep")
        self.layout.attempts.mkdir(parents=True)
        self.far = far or tmp / "there"
        self.owner = owner
        self.host = host or LocalHost("there")
        self.area = Area(self.host, str(self.far), {})
        self.area.open()
        self.told: list[Collected] = []
        self.words: list[str] = []
        self.changed = threading.Event()

    def attempt(self, number: int, files: dict[str | bytes, bytes] | None = None, try_: int = 1) -> Path:
        """An attempt that has ended there; its directory."""
        directory = self.far / "attempts" / f"task_{number:03}.{try_}"
        (directory / "results").mkdir(parents=True)
        usual: dict[str | bytes, bytes] = {
            "claim": b"1:2:boot:host\n", "exit": b"0 - end\n", "stdout.log": b"out %d\n" % number, "stderr.log": b"",
            "start.sh": b"#!/bin/sh\n",
        }  # fmt: skip
        for name, content in {**usual, **(files or {})}.items():
            path = os.path.join(os.fsencode(directory), os.fsencode(name))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        if self.owner is not None:
            for folder, folders, names in os.walk(os.fsencode(directory)):
                for path in [folder, *(os.path.join(folder, name) for name in [*folders, *names])]:
                    os.lchown(path, self.owner, self.owner)
        return directory

    def home(self, number: int, try_: int = 1) -> Path:
        return self.layout.attempt(f"task_{number:03}", try_)

    def tell(self, collected: Collected) -> None:
        self.told.append(collected)

    def collector(
        self, rules: CollectRules = QUICK, moved: Callable[[int], object] = lambda count: None
    ) -> Collector:
        return Collector(self.area, self.layout, self.tell, rules, complain=self.words.append, moved=moved)

    def add(self, collector: Collector, *numbers: int, failed: bool = False) -> None:
        for number in numbers:
            name = f"task_{number:03}.1"
            collector.add(name, Ref(number - 1, 1), self.layout.attempts / name, failed)

    def bring(self, *numbers: int, rules: CollectRules = QUICK, limit: float = 60.0) -> list[Collected]:
        """Collect these and wait; what was told."""
        self.told.clear()
        collector = self.collector(rules)
        try:
            self.add(collector, *numbers)
            self.wait(collector, limit)
        finally:
            collector.close()
        return list(self.told)

    def wait(self, collector: Collector, limit: float = 60.0) -> None:
        def over() -> bool:
            collector.check()
            return collector.left == 0

        wait_until(over, "everything to be told", limit=limit)
