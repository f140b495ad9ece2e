"""Which instances that carry our mark does no sweep account for; pure.

What may be somebody's work is never called a stray: not what an engine looks after, not what a task may run on, not
what another person or another machine of this one's user may have launched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..events import Ref
from ..ids import task_name
from ..sweep import ENDED, Sweep, TaskState
from .lookout import Written
from .model import ALIVE, TAG_OWNER, TAG_SOURCE, TAG_SWEEP_ID, Instance

Verdict = Literal["stray", "kept", "used", "foreign"]
"""`stray`: nobody waits for it. `kept`: it was stopped, as its task asked. `used`: it is, or may be, at work.
`foreign`: of a sweep that is not known here, or not to be found.
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """`why` in a few words."""

    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class KnownSweep:
    """A sweep of this user on this machine.

    `sweep` is None where its directory is gone, or cannot be read: then `damage` says why.
    """

    root: Path
    sweep: Sweep | None = None
    damage: str = ""
    engine: bool = False
    """Whether an engine looks after it now."""
    written: Mapping[str, Written] = field(default_factory=dict[str, Written])
    """Its launches, by source."""


def judge(instance: Instance, known: Mapping[str, KnownSweep]) -> Judged:
    """What can be said of an instance that carries our mark. `known`: this user's sweeps here, by id."""
    tags = dict(instance.tags)
    here = known.get(tags.get(TAG_SWEEP_ID, ""))
    if here is None:
        owner = tags.get(TAG_OWNER, "")
        return Judged("foreign", f"unknown here{f', launched by {owner}' if owner else ''}")
    if here.damage:
        return Judged("used", f"its sweep cannot be read: {here.damage}")
    if here.sweep is None:
        # It may lie on a disk that only another machine sees, with an engine there.
        return Judged("foreign", "the directory of its sweep is not there")
    if here.engine:
        return Judged("used", "the engine of its sweep looks after it")
    written = here.written.get(tags.get(TAG_SOURCE, ""))
    ref = written.attempt_of(instance) if written is not None else None
    if ref is not None and _was_kept(instance, ref, here.sweep, written):
        again = instance.state in ALIVE
        return Judged(
            "kept", "stopped, as its task asked (on_complete)" + ("; it runs again" if again else "")
        )
    if here.sweep.ended is not None:
        return Judged("stray", f"its sweep has ended ({here.sweep.ended})")
    if ref is None:
        return Judged("used", "its sweep has not ended")
    state = _state(here.sweep, ref)
    if state is None or state not in ENDED:
        return Judged("used", f"{task_name(ref.task)} may be running on it")
    return Judged("stray", f"attempt {ref.attempt} of {task_name(ref.task)} has ended ({state})")


def _state(sweep: Sweep, ref: Ref) -> TaskState | None:
    """Of an attempt; None if it may be alive whatever is said of it."""
    attempts = sweep.tasks[ref.task].attempts if ref.task < sweep.total else []
    if ref in sweep.given_up or ref.attempt > len(attempts):
        return None
    return attempts[ref.attempt - 1].state


def _was_kept(instance: Instance, ref: Ref, sweep: Sweep, written: Written | None) -> bool:
    """Whether it stands still because that was asked for, or was started again since: a cancelled one was to be
    terminated.
    """
    request = written.launch_of(instance) if written is not None else None
    if request is None or request.request.get("InstanceInitiatedShutdownBehavior") != "stop":
        return False
    state = _state(sweep, ref)
    if instance.state not in ("stopping", "stopped"):
        return instance.state in ALIVE and state is TaskState.COMPLETED
    # Of one that was given up nobody knows how it ended: its disk may hold the only copy of what it did.
    return state in (TaskState.COMPLETED, TaskState.FAILED) or (state is None and sweep.ended is not None)
