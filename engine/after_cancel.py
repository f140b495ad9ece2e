"""When a sweep on instances was cancelled: EC2 is asked what is left of it, and what is left is ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import TYPE_CHECKING

from .collect.elsewhere import is_cloud
from .sweep import Sweep

if TYPE_CHECKING:
    from .aws.last_look import LastLook

BEAT = 1.0
"""Seconds between two checks that the sweep is still ours."""


def look_after_cancel(root: Path, sweep: Sweep, check: Callable[[], None]) -> list[LastLook]:
    """What each place showed; none where nothing was on instances. At most about five minutes.

    `check` raises if another engine holds the sweep, which then may launch; it is called all the while. Raises what it
    raises, and `OSError`.
    """
    if not any(is_cloud(source.kind) for source in sweep.sources.values()):
        return []
    from .aws.last_look import last_look
    from .aws.lookout import Clouds, places

    with ThreadPoolExecutor(1, thread_name_prefix="last look") as pool:
        looking = pool.submit(last_look, root, sweep, places(sweep), Clouds())
        while True:
            check()
            try:
                return looking.result(BEAT)
            except NotYet:
                continue
