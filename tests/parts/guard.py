"""What a part has made is taken away again, also if the tests are killed in the middle.

Whatever is made is noted first (`note`) and struck off when it is gone (`forget`). The notes are kept by a process of
its own that outlives the tests for the moment it needs to undo what is still noted: it sees the end of its stdin.
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from . import undo

KINDS: dict[str, Callable[[str], None]] = {
    "marked": undo.end_marked,
    "port": lambda port: undo.end_port(int(port)),
    "process": undo.end_process,
    "user": undo.remove_user,
    "netns": undo.remove_netns,
    "link": undo.remove_link,
    "tree": undo.remove_tree,
}


class Guard:
    """The notes of this process. `note` before you make it; `undo` or `forget` when it shall go or has gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._open: dict[int, tuple[str, str]] = {}

    def note(self, kind: str, what: str) -> int:
        """Note that `what` (see `KINDS`) is about to be made; returns the number of the note."""
        assert kind in KINDS, kind
        with self._lock:
            number = next(self._numbers)
            self._open[number] = (kind, what)
            self._tell([number, kind, what])
        return number

    def forget(self, number: int) -> None:
        """It is gone."""
        with self._lock:
            if self._open.pop(number, None) is not None:
                self._tell([number])

    def undo(self, number: int) -> None:
        """Take it away now."""
        with self._lock:
            noted = self._open.get(number)
        if noted is not None:
            KINDS[noted[0]](noted[1])
            self.forget(number)

    def _tell(self, line: list[int | str]) -> None:
        if self._keeper is None or self._owner != os.getpid():
            self._owner = os.getpid()
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.parts.guard"], stdin=subprocess.PIPE, start_new_session=True,
                cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL,
            )  # fmt: skip
            atexit.register(self._done, self._keeper, os.getpid())
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(json.dumps(line).encode() + b"\n")
        self._keeper.stdin.flush()

    def _done(self, keeper: subprocess.Popen[bytes], owner: int) -> None:
        if os.getpid() == owner and keeper.stdin is not None:
            keeper.stdin.close()
            keeper.wait(60)


guard = Guard()


def keep() -> None:
    """The keeper: read notes until the tests are gone, then undo what is left, the newest first."""
    notes: dict[int, tuple[str, str]] = {}
    for line in sys.stdin:
        match json.loads(line):
            case [number]:
                notes.pop(number, None)
            case [number, kind, what]:
                notes[number] = (kind, what)
            case other:
                raise ValueError(f"not a note: {other}")
    for _, (kind, what) in sorted(notes.items(), reverse=True):
        try:
            KINDS[kind](what)
        except Exception as error:  # noqa: BLE001 - the rest must go as well
            print(f"tests.parts.guard: {kind} {what} is left behind: {error}", file=sys.stderr)


if __name__ == "__main__":
    keep()
