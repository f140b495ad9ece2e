"""How an attempt in a queue ended: its runner's word first, then the scheduler's."""

from __future__ import annotations

import signal
from dataclasses import replace

from ...state.process import ProcessId
from ..observe import SawEnd
from .attempt import killed_by
from .queue_batches import Live


class Doubt:
    """Seconds an attempt is looked for after the queue has let go of it."""

    BEGIN = 10.0
    """One that never began."""
    LAG = 60.0
    """One that began on another machine: NFS may show a new file that late (nfs(5), acregmax and acdirmax)."""
    HERE = 0.0
    """One that began on this machine: what it wrote is there at once."""


def doubt_of(process: ProcessId | None, *, here: bool) -> float:
    if process is None:
        return Doubt.BEGIN
    return Doubt.HERE if here else Doubt.LAG


def dead_end(live: Live, title: str, source: str) -> SawEnd:
    """The end of an attempt that began, is gone, and left no exit status."""
    live.dead = True
    state, ref = live.state, live.job.ref
    if live.stop_sent:
        return SawEnd(
            *ref, signal=signal.SIGKILL, message=f"ended by {killed_by(9, stopped=True)}", stopped=True
        )
    if state is None:
        return SawEnd(
            *ref, failure="source_lost", message=f"it left the queue of {title} without a record and an exit status"
        )  # fmt: skip
    if state.standing == "waiting":
        return SawEnd(
            *ref, failure="source_lost", message=f"{title} queued it anew ({state.reason or state.word})"
        )
    if state.failure is None and state.exit_code == 0:
        return SawEnd(
            *ref, exit_code=0, message=f"{title} says {state.word}; its exit file is missing on {source}"
        )
    text = state.message or f"{title} says {state.word}"
    if state.exit_code == 122:
        text = "its exit status could not be written (a full disk?)"
    return SawEnd(
        *ref, exit_code=state.exit_code, signal=state.signal,
        failure=state.failure or (None if state.signal else "source_lost"),
        message=text,
    )  # fmt: skip


def with_the_queues_word(live: Live) -> SawEnd:
    """The runner's word; where a signal ended it that was not ours, with what the scheduler says of that."""
    end, state = live.end, live.state
    assert end is not None
    if live.dead or live.stop_sent or not live.killed or state is None or end.failure is not None:
        return end
    if state.failure is None and not state.removed:
        return end
    return replace(end, failure=state.failure, message=state.message or end.message)
