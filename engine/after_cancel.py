"""When a sweep on instances was cancelled: EC2 is asked what is left of it, and what is left is ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .collect.elsewhere import is_cloud
from .sweep import Sweep

if TYPE_CHECKING:
    from .aws.last_look import LastLook

BEAT = 1.0
"""Seconds between two checks that the sweep is still ours."""


class LookEnded(Exception):
    """Nobody wants to wait for it any longer; what is left is not known."""


def look_after_cancel(root: Path, sweep: Sweep, check: Callable[[], None]) -> list[LastLook]:
    """What each place showed; none where nothing was on instances. At most about five minutes.

    `check` raises if another engine holds the sweep, which then may launch, or if nobody waits (`LookEnded`). It is
    called all the while, and before anything is ended. Raises what it raises, and `OSError`.
    """
    if not any(is_cloud(source.kind) for source in sweep.sources.values()):
        return []
    from .aws.last_look import last_look
    from .aws.lookout import Clouds, places

    found: list[list[LastLook]] = []
    troubles: list[BaseException] = []
    over = threading.Event()
    left = threading.Event()

    def still() -> None:
        if left.is_set():
            raise LookEnded
        check()

    def look() -> None:
        try:
            found.append(last_look(root, sweep, places(sweep), Clouds(), still))
        except BaseException as trouble:  # noqa: BLE001 -- raised again by whoever waits
            troubles.append(trouble)
        over.set()

    # A daemon: a question that hangs keeps nobody from ending.
    threading.Thread(target=look, name="last look", daemon=True).start()
    try:
        while not over.wait(BEAT):
            check()
    finally:
        left.set()
    if troubles:
        raise troubles[0]
    return found[0]
