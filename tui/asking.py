"""Carries a wish to the engine: leaves the request, and starts an engine if none runs that could take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .wishes import Wish


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking: the request's id (empty if only an engine was wanted), and what went wrong."""

    wish: Wish
    request: str = ""
    started: bool = False
    error: str = ""


def ask(root: Path, wish: Wish, *, start: Callable[[Path], bool] | None = None) -> Outcome:
    """Post the wish's request and see to it that an engine runs. Blocks; never raises what a disk or a lock
    can raise.

    `start` returns whether it had to start an engine (default: `ensure_engine`).
    """
    from ..engine.control import post_request
    from ..state.lock import LockHeld

    request = ""
    try:
        if wish.verb != "start":
            request = post_request(
                root, wish.verb, tasks=wish.tasks, source=wish.source, value=wish.value, force=wish.force
            )
        from ..engine.detached import EngineFailed, ensure_engine

        try:
            return Outcome(wish, request, started=(start or ensure_engine)(root))
        except EngineFailed as error:
            return Outcome(wish, request, error=str(error))
    except (OSError, LockHeld, ValueError) as error:
        return Outcome(wish, request, error=str(error))
