"""Engines of far sources that kill themselves: on the wire, before a command is sent, half sent, under way, done.

The telling points are the last, where what was asked for was carried out and the engine dies before it knows, and the
late ones: what it asked for is carried out when others have taken over.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spawn_tui.engine.home import Home
from spawn_tui.engine.remote.host import Answer, Host, Usage
from spawn_tui.engine.run import Parts
from spawn_tui.engine.sources.base import Source, SourceContext
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.state.disk import LocalDisk

from .faults import FaultyDisk, Trigger

Wrap = Callable[[Callable[[], Host]], Host]

JOURNAL = "journal"
"""The name of all points of the disk layer; those of the wire are named `after launch`, `before sbatch`, …"""
UNDER_WAY = (0.0, 0.004, 0.012)
"""Seconds after which a command under way loses its engine: the n-th of that name the n-th of these, in turn."""
LATE = (0.15, 0.5, 1.2)
"""Seconds after which a command arrives that was on its way when its engine died, in the same manner."""
ACTS = frozenset(
    {"launch", "stage", "revoke", "clear", "signal", "sbatch", "scancel", "qsub", "qdel", "qsig"}
)
_COMMANDS = re.compile(
    r"\b(sbatch|squeue|scancel|scontrol|sacct|sinfo|qsub|qstat|qdel|qselect|qsig|qalter|qhold|pbsnodes)\b"
)


@dataclass(frozen=True)
class Death:
    """Where an engine dies: at the n-th point of that name (from 1). None of it: it lives."""

    point: str = ""
    number: int = 0

    def __str__(self) -> str:
        return f"{self.point} #{self.number}" if self.point else "no death"


class Fuse:
    """Counts the points of each name, of several threads; at the one it was told the process kills itself."""

    def __init__(self, death: Death) -> None:
        self.death = death
        self.passed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def is_due(self, name: str) -> bool:
        with self._lock:
            self.passed[name] += 1
            return Death(name, self.passed[name]) == self.death

    def point(self, name: str) -> None:
        if self.is_due(name):
            kill_self()


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FaultyHost:
    """See `Host`. Points around every command, in the middle of what is sent, and of what is received."""

    def __init__(self, make: Callable[[], Host], fuse: Fuse, marks: Path) -> None:
        self._make, self._fuse, self._marks = make, fuse, marks
        self._host = make()

    @property
    def name(self) -> str:
        return self._host.name

    @property
    def usage(self) -> Usage:
        return self._host.usage

    def run(
        self,
        command: Sequence[str],
        data: bytes | Iterable[bytes] = b"",
        *,
        limit: float,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        what = name_of(command, data)
        self._fuse.point(f"before {what}")
        if what in ACTS and self._fuse.is_due(f"late {what}"):
            assert isinstance(data, bytes)
            self._deliver_late(command, data)
        if self._fuse.is_due(f"amid {what}"):
            wait = UNDER_WAY[self._fuse.death.number % len(UNDER_WAY)]
            timer = threading.Timer(wait, kill_self)
            timer.daemon = True
            timer.start()
        if isinstance(data, bytes) and len(data) > 2:
            data = self._halves(data, what)
        taken = self._watched(into, what) if into is not None and command[:2] != ["sh", "-s"] else into
        answer = self._host.run(command, data, limit=limit, into=taken)
        self._fuse.point(f"after {what}")
        return answer

    def _deliver_late(self, command: Sequence[str], data: bytes) -> None:
        """Die; the command is still on its way, and arrives when those who come to the rescue are at work.

        A mark stands in the trial's directory until it was carried out.
        """
        mark = self._marks / f"late.{os.getpid()}"
        mark.touch()
        if os.fork():
            kill_self()
        try:
            signal.alarm(30)  # it was forked among threads, and may hang on what one of them held
            time.sleep(LATE[self._fuse.death.number % len(LATE)])
            self._make().run(command, data, limit=20.0)
            mark.unlink()
        finally:
            os._exit(0)

    def _halves(self, data: bytes, what: str) -> Iterator[bytes]:
        """A half that is smaller than a buffer on the way stays there: then nothing was sent at all."""
        middle = len(data) // 2
        yield data[:middle]
        self._fuse.point(f"half sent {what}")
        yield data[middle:]

    def _watched(self, into: Callable[[bytes], object], what: str) -> Callable[[bytes], object]:
        def take(piece: bytes) -> None:
            into(piece)
            self._fuse.point(f"half received {what}")

        return take

    def close(self) -> None:
        self._host.close()


def name_of(command: Sequence[str], data: bytes | Iterable[bytes]) -> str:
    """What a command does, in one word: the agent's verb, or the last of the scheduler's commands in the script."""
    if len(command) > 2:
        return command[2]
    found = _COMMANDS.findall(data.decode(errors="replace")) if isinstance(data, bytes) else []
    return found[-1] if found else "open"


class _Recorder(Home):
    """Leaves a list of all points that were passed when the engine ends in good order."""

    leave: Callable[[], object]

    def close(self) -> None:
        super().close()
        self.leave()


def far_parts(
    source: Callable[[SourceSpec, SourceContext, Wrap], Source], death: Death, marks: Path
) -> Parts:
    """The parts of an engine that dies at that point; to be made in the process that shall die.

    `source` makes the source, its host made by the last argument of the one that makes a sound one. `marks`: a
    directory for what the next engines and the checks shall know; an engine that lives leaves `points` there, the
    number of points it passed by name.
    """
    fuse = Fuse(death)
    trigger = Trigger(death.number if death.point == JOURNAL else 0)

    def home(layout: object, plan: object) -> Home:
        recorder = _Recorder(layout, plan)  # type: ignore[arg-type]
        recorder.leave = lambda: (marks / "points").write_text(
            json.dumps({**fuse.passed, JOURNAL: trigger.passed})
        )
        return recorder

    def disk() -> LocalDisk:
        return FaultyDisk(trigger)

    return Parts(
        disk=disk,
        source=lambda spec, context: source(spec, context, lambda make: FaultyHost(make, fuse, marks)),
        home=home,
    )
