"""What every source can do. A new kind of source is one file here and one line in `registry.py`.

A source never changes the sweep. It is asked in batches (`launch`, `cancel`, `adopt`, …), answers none of them itself,
and tells what it saw when polled. No call may block for long: a source that talks to another machine does so in a
thread of its own (`remote.py`), hands over what came back at the next `poll`, and calls `wake` when there is something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ...state.layout import SweepLayout
from ..command import Invocation
from ..events import Ref
from ..observe import Observation
from ..plan.model import Value


class Render(Protocol):
    """Makes what an attempt executes, for the place it shall run at. Raises `PlanError`."""

    def __call__(
        self, *, task_dir: str, project: str | None = None, previous_dir: str | None = None
    ) -> Invocation:
        """`task_dir`: the attempt's own directory there; `project`: the project's there (None: as at home);
        `previous_dir`: the directory of the attempt before it, if it can be read there.
        """
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt, ready to be launched anywhere.

    `directory` is the attempt's own directory at home, where its claim, logs and outcome are, or will be collected to;
    it exists. `batch` names the launch it belongs to; `timeout` in seconds, None for none.
    """

    ref: Ref
    token: str
    batch: str
    directory: Path
    render: Render
    timeout: float | None = None
    launch: Mapping[str, Value] = field(default_factory=dict[str, Value], repr=False)
    """What its task asks of the instance it runs on (`PlannedTask.launch`)."""
    previous_source: str | None = None
    previous_attempt: int = 0
    """Where the latest attempt before this one ran that ran at all, and its number; a launch that was refused left
    nothing to go on from."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source may know of the sweep it works for."""

    layout: SweepLayout
    sweep_id: str
    project: Path
    """The project's directory at home, absolute."""
    sweep_name: str = ""
    sweep_size: int = 0
    wake: Callable[[], None] = lambda: None
    """Call it from any thread when there is something to poll."""
    check: Callable[[], None] = lambda: None
    """Raises if another engine holds the sweep's lock: asked before anything that cannot be taken back."""


class Source(Protocol):
    """One place where attempts run."""

    name: str
    outlives_host: bool
    """Whether its attempts live on when this machine loses power; then their launch is synced to disk first."""

    def launch(self, batch: str, jobs: Sequence[Job], *, limit: int) -> None:
        """Start these attempts; their launch is in the journal. Harmless if some were launched before.

        At most `limit` of the batch may run at once: only a source with a queue of its own gets more jobs than that.
        """
        ...

    def limit(self, batch: str, count: int) -> None:
        """From now on at most `count` attempts of this batch may run at once (sources with a queue of their own)."""
        ...

    def withdraw(self, attempts: Sequence[Ref]) -> None:
        """Take back those that have not begun (sources with a queue): claim first, then leave the queue.

        For each, a later `poll` says `SawWithdrawn`, or what else became of it.
        """
        ...

    def cancel(self, attempts: Sequence[Ref], *, force: bool) -> None:
        """End these attempts: TERM, then KILL after the grace period; with `force` KILL at once.

        The cancel is in the journal, or the attempt was given up: then the order is kept until the machine can be
        reached. It counts as ended only when `poll` says so.
        """
        ...

    def adopt(self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]) -> None:
        """Take over attempts that an earlier engine launched, or was about to launch.

        For each, a later `poll` says running, ended or unknown. One of which nothing is found is launched now (or
        revoked if it is among `cancelling`), unless it is among `running`: it was seen running once, and is lost. What
        was given up is among both: it is never launched, and ended where it is found. `limit` follows for each batch.
        """
        ...

    def collect(self, jobs: Sequence[Job], *, failed: frozenset[Ref]) -> None:
        """Bring home the files of these attempts, which have ended; those that failed first.

        Asked of sources elsewhere (`SourceSpec.host`). A later `poll` says `SawCollected` of each. Harmless if some
        are home already.
        """
        ...

    def poll(self, now: float) -> list[Observation]:
        """What was seen since the last poll. `now` in seconds since 1970."""
        ...

    def wake_after(self) -> float | None:
        """In how many seconds this source wants to be polled even if nothing wakes the engine; None: never."""
        ...

    def close(self) -> None:
        """Let go. What runs goes on."""
        ...
