"""What `cancel` says in the end: whether any instance of the sweep is left, in whatever region."""

from __future__ import annotations

import time

from ...engine.after_cancel import look_after_cancel
from ...engine.collect.elsewhere import is_cloud
from ...engine.viewer import Viewer
from ...state.lock import EngineLock, LockHeld, LockLost
from .output import SOME_FAILED, UserError, data, say

ENGINE_LIMIT = 330.0
"""Seconds in which an engine that has ended its sweep, and looks for what is left itself, must have let go of it."""


def nothing_left(viewer: Viewer) -> bool:
    """Ask EC2 by the sweep's tag, end what is left there, and say what was seen. True: nothing of it is left, or it was
    never on instances. Raises `UserError`.
    """
    if not any(is_cloud(source.kind) for source in viewer.sweep.sources.values()):
        return True
    lock = EngineLock(viewer.layout.lock)
    if not _acquired(lock, viewer):
        say(f"an engine looks after {viewer.sweep.id}; EC2 was not asked what is left")
        return False
    try:
        viewer.refresh()
        if viewer.sweep.ended is None:
            say(f"{viewer.sweep.id} goes on again; EC2 was not asked what is left")
            return False
        found = look_after_cancel(viewer.root, viewer.sweep, lock.check)
    except LockLost as error:
        raise UserError(str(error), status=SOME_FAILED) from None
    finally:
        lock.release()
    for each in found:
        data(f"{viewer.sweep.id}: {each}")
    if all(each.clean for each in found):
        return True
    say(f"ask again with: spawn-tui cancel {viewer.sweep.id}, or look with: spawn-tui reap")
    return False


def _acquired(lock: EngineLock, viewer: Viewer) -> bool:
    """Whether it could be had; an engine that has just ended the sweep is waited for."""
    deadline = time.monotonic() + ENGINE_LIMIT
    while True:
        try:
            lock.acquire()
            return True
        except LockHeld:
            viewer.refresh()
            if time.monotonic() >= deadline or viewer.sweep.ended is None:
                return False
            time.sleep(0.1)
