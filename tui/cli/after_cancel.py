"""The last look after a cancel: whether any instance of the sweep is left, in whatever region."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

from ...engine.collect.elsewhere import is_cloud
from ...engine.viewer import Viewer
from ...state.lock import EngineLock, LockHeld
from .output import UserError, data, say

ENGINE_LIMIT = 20.0
"""Seconds in which an engine that has ended its sweep must have let go of it."""
BEAT = 1.0


def nothing_left(viewer: Viewer) -> bool:
    """Ask EC2 by the sweep's tag, end what is left there, and say what was seen. True: nothing of it is left, or it was
    never on instances. Raises `UserError`.
    """
    if not any(is_cloud(source.kind) for source in viewer.sweep.sources.values()):
        return True
    from ...engine.aws.last_look import last_look
    from ...engine.aws.launches import LaunchDamaged
    from ...engine.aws.lookout import Clouds, places

    where = places(viewer.sweep)
    lock = EngineLock(viewer.layout.lock)
    if not _acquired(lock):
        say(f"an engine looks after {viewer.sweep.id} again; EC2 was not asked what is left")
        return False
    try:
        viewer.refresh()
        if viewer.sweep.ended is None:
            say(f"{viewer.sweep.id} goes on again; EC2 was not asked what is left")
            return False
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(last_look, viewer.root, viewer.sweep, where, Clouds())
            while True:
                try:
                    found = looking.result(BEAT)
                    break
                except NotYet:
                    lock.check()
    except LaunchDamaged as error:
        raise UserError(str(error), status=1) from None
    finally:
        lock.release()
    for each in found:
        data(f"{viewer.sweep.id}: {each}")
    if all(each.clean for each in found):
        return True
    say(f"ask again with: spawn-tui cancel {viewer.sweep.id}, or look with: spawn-tui reap")
    return False


def _acquired(lock: EngineLock) -> bool:
    """Whether it could be had; an engine that has just ended the sweep is waited for."""
    deadline = time.monotonic() + ENGINE_LIMIT
    while True:
        try:
            lock.acquire()
            return True
        except LockHeld:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
