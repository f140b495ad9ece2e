"""The engine's clock: seconds since 1970 that never go back.

It is set once, from the wall clock or from the journal's last event if that is later, and then moves with the boot
clock: a wall clock that jumps (NTP, a person, a suspended laptop) changes no order and no waiting time.
"""

from __future__ import annotations

import time


def _steady() -> float:
    # On Linux this one also counts while the machine is suspended.
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(boottime) if boottime is not None else time.monotonic()


class SteadyClock:
    """Callable; `not_before` is the time of the last event known."""

    def __init__(self, not_before: float = 0.0) -> None:
        self._offset = max(time.time(), not_before) - _steady()

    def __call__(self) -> float:
        return self._offset + _steady()
