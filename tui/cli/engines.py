"""Starting engines and asking things of them, for verbs that have no engine of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ...engine.control import post_request
from ...engine.detached import EngineFailed, ensure_engine
from ...engine.events import Verb
from ...engine.viewer import Viewer
from ...state.lock import LockDamaged, LockHeld
from .output import UserError

ANSWER_LIMIT = 30.0
"""Seconds an engine may take to journal a request."""


def start_engine(root: Path, *, take_over: bool = False) -> bool:
    """Start the sweep's engine as its own process unless one runs. Raises `UserError`."""
    try:
        return ensure_engine(root, take_over=take_over)
    except (EngineFailed, LockDamaged, LockHeld) as error:
        raise UserError(str(error), status=3) from None


def request(
    viewer: Viewer,
    verb: Verb,
    *,
    tasks: Sequence[int] = (),
    source: str = "",
    value: int = 0,
    force: bool = False,
    take_over: bool = False,
) -> None:
    """Post a request, see to it that an engine takes it, and return when it is journalled. Raises `UserError`."""
    request_id = post_request(viewer.root, verb, tasks=tasks, source=source, value=value, force=force)
    start_engine(viewer.root, take_over=take_over)
    if not watch(viewer, lambda: request_id in viewer.sweep.requests, ANSWER_LIMIT):
        raise UserError(
            f"the engine has not taken the request within {ANSWER_LIMIT:g} s; see {viewer.layout.engine_log}",
            status=3,
        )
    refusal = viewer.sweep.requests[request_id]
    if refusal:
        raise UserError(refusal, status=1)


def watch(viewer: Viewer, condition: Callable[[], bool], seconds: float) -> bool:
    """Follow the journal until `condition` holds, at most `seconds`; whether it came to hold."""
    deadline = time.monotonic() + seconds
    while True:
        viewer.refresh()
        if condition():
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
