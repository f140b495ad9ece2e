"""What every source can do. A new kind of source is one file here and one line in `registry.py`.

A source never changes the sweep. It is asked in batches (`launch`, `cancel`, `adopt`), answers none of them itself, and
tells what it saw when polled. No call may block for long: a source that talks to another machine does so in a thread
of its own and hands over what came back at the next `poll`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..events import Ref
from ..observe import Observation


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt, ready to be launched anywhere.

    `directory` is the attempt's own directory at home; `env` is what the task gets besides its source's environment;
    `timeout` in seconds, None for none.
    """

    ref: Ref
    token: str
    directory: Path
    argv: tuple[str, ...]
    env: Mapping[str, str]
    workdir: str
    timeout: float | None = None


class Source(Protocol):
    """One place where attempts run."""

    name: str
    outlives_host: bool
    """Whether its attempts live on when this machine loses power; then their launch is synced to disk first."""

    def launch(self, batch: str, jobs: Sequence[Job]) -> None:
        """Start these attempts; their launch is in the journal. Harmless if some were launched before."""
        ...

    def cancel(self, attempts: Sequence[Ref], *, force: bool) -> None:
        """End these attempts: TERM, then KILL after the grace period; with `force` KILL at once.

        The cancel is in the journal. An attempt counts as ended only when `poll` says so.
        """
        ...

    def adopt(self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]) -> None:
        """Take over attempts that an earlier engine launched, or was about to launch.

        For each, a later `poll` says running, ended or unknown. One of which nothing is found is launched now (or
        revoked if it is among `cancelling`), unless it is among `running`: it was seen running once, and is lost.
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
