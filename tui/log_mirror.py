"""The log of an attempt that runs elsewhere, as a file here: which mirror to keep, when to begin it, how fresh it is.

For a feed's thread, which may wait; the mirror's own thread does the asking.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..state.layout import STDERR, STDOUT
from . import format as fmt

if TYPE_CHECKING:
    from ..engine.remote.mirror import Mirror

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

    def words(self, now: float) -> str:
        """`live from gpu1, 1 s ago`; `gpu1 is away since 12:03: what was read until then`."""
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
            case _:
                return f"not from {name}: {fmt.clean(self.text)}"


class FarLogs:
    """At most one mirror at a time, of the attempt that is looked at. `keep`: bytes of a file's end it fetches."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._far: FarLog | None = None
        self._since = 0.0
        self._mirror: Mirror | None = None

    def look(self, far: FarLog | None) -> float:
        """This attempt is looked at now (None: none that is elsewhere). Returns the seconds until its mirror may begin.

        Raises `OSError` if there is no place for copies.
        """
        if far != self._far:
            self.close()
            self._far, self._since = far, time.monotonic()
        if far is None or self._mirror is not None:
            return 0.0
        rest = SETTLE - (time.monotonic() - self._since)
        if rest > 0:
            return rest
        from ..engine.collect.elsewhere import mirror_of

        self._mirror = mirror_of(far.sweep, far.source, dict(far.options), far.attempt, keep=self._keep)
        self._mirror.start(STDOUT, STDERR)
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
