"""The log of an attempt that runs elsewhere, as a file here: which mirror to keep, when to begin it, how fresh it is.

For a feed's thread, which may wait; the mirror's own thread does the asking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..state.layout import STDERR, STDOUT
from . import format as fmt

if TYPE_CHECKING:
    from ..engine.remote.mirror import Mirror

QUICK = 5.0
"""Seconds: where instances are looked at more often than this, their logs are too."""
SETTLE = 0.6
"""Seconds a log must have been looked at before its machine is asked: a cursor that passes by opens no connections."""


@dataclass(frozen=True, slots=True)
class FarLog:
    """An attempt whose files are on another machine until they are brought home."""

    sweep: str
    source: str
    options: tuple[tuple[str, str], ...]
    attempt: str
    """The name of its directory: `task_001.1`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the bytes come from. `at`: when that machine answered last (seconds since 1970), 0.0 for never."""

    source: str
    state: str
    """As `MirrorState` has them."""
    text: str
    at: float

    @property
    def reason(self) -> str:
        """Why nothing comes, without the name of the source; empty while something may."""
        if self.state in ("live", "waiting", "ended", "connecting"):
            return ""
        return fmt.clean(self.text.removeprefix(f"{self.source}: "))

    def words(self, now: float, *, told: bool = False) -> str:
        """`live from gpu1, 1 s ago`; `gpu1 is away since 12:03: what was read until then`.

        `told`: the reason stands elsewhere on the screen already.
        """
        name = fmt.clean(self.source)
        match self.state:
            case "live":
                return f"live from {name}, {max(0.0, now - self.at):.0f} s ago"
            case "ended":
                return f"from {name}, where it has ended; it is being brought home"
            case "away" if self.at:
                return f"{name} is away since {fmt.since(self.at, now)}: what was read until then"
            case "waiting" | "connecting":
                return fmt.clean(self.text)
            case _ if told:
                return f"cannot be read from {name}"
            case _:
                return f"cannot be read from {name}: {self.reason}"


class FarLogs:
    """At most one mirror at a time, of the attempt that is looked at. `keep`: bytes of a file's end it fetches."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._far: FarLog | None = None
        self._names: tuple[str, ...] = ()
        self._since = 0.0
        self._mirror: Mirror | None = None

    def look(self, far: FarLog | None, names: tuple[str, ...] = (STDOUT, STDERR)) -> float:
        """These files of this attempt are looked at now (None: none that is elsewhere).

        Returns the seconds until its mirror may begin.

        Raises `OSError` if there is no place for copies.
        """
        if far != self._far or names != self._names:
            self.close()
            self._far, self._names, self._since = far, names, time.monotonic()
        if far is None or self._mirror is not None:
            return 0.0
        rest = SETTLE - (time.monotonic() - self._since)
        if rest > 0:
            return rest
        from ..engine.collect.elsewhere import mirror_of

        options = dict(far.options)
        self._mirror = mirror_of(
            far.sweep, far.source, options, far.attempt, keep=self._keep, poll=_poll(options)
        )
        self._mirror.start(*names)
        return 0.0

    def path(self, name: str) -> Path | None:
        """The copy of that file; None while there is no mirror."""
        return self._mirror.path(name) if self._mirror is not None else None

    @property
    def origin(self) -> Origin | None:
        """How fresh the copies are; None while nothing is mirrored."""
        if self._mirror is None or self._far is None:
            return None
        status = self._mirror.status()
        return Origin(self._far.source, status.state, status.text, status.at)

    def close(self) -> None:
        """Let go of the mirror, without waiting for its machine."""
        mirror, self._mirror, self._far = self._mirror, None, None
        if mirror is not None:
            threading.Thread(target=mirror.close, name="spawn-mirror-close", daemon=True).start()


def _poll(options: Mapping[str, str]) -> float | None:
    """Seconds between two looks at logs in a bucket, where their source is asked more often than is usual."""
    every = float(options.get("poll_interval") or QUICK)
    return every if not options.get("host") and every < QUICK else None
