"""Waiting for a condition, never for a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], what: str, *, limit: float = 20.0, pause: float = 0.01
) -> None:
    """Wait until `condition` holds, at most `limit` seconds. Raises `TimeoutError` that says what was waited for."""
    end = time.monotonic() + limit
    clock = threading.Event()
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit:g} s for: {what}")
        clock.wait(pause)
        pause = min(pause * 1.5, 0.25)
