"""The cloud's time, which can be set ahead, and what it does later."""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable


class Clock:
    """Seconds since 1970, `ahead` of this machine's."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead


class Timers:
    """Things to do later, by a thread of their own, the earlier first; `lock` is held while each is done."""

    def __init__(self, clock: Clock, lock: threading.RLock) -> None:
        self._clock, self._lock = clock, lock
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
        self._thread.start()

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        with self._changed:
            heapq.heappush(self._due, (self._clock.now() + seconds, next(self._order), what))
            self._changed.notify()

    def look(self) -> None:
        """The clock was set: see what is due now."""
        with self._changed:
            self._changed.notify()

    def forget(self) -> None:
        """Do nothing of what was to be done."""
        with self._changed:
            self._due.clear()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
        self._thread.join(10)

    def _next(self) -> Callable[[], None] | None:
        """What is due now, waited for; None at the end."""
        with self._changed:
            while not self._closed:
                wait = self._due[0][0] - self._clock.now() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
        return None

    def _run(self) -> None:
        while (what := self._next()) is not None:
            try:
                with self._lock:
                    what()
            except Exception:  # noqa: BLE001 - one thing that fails must not stop the cloud's time
                traceback.print_exc(file=sys.stderr)
