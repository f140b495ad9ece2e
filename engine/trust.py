"""Which sources are trusted with work: when one is disabled, tried again, trusted again; when the sweep itself is at
fault. Pure, as `decide`, of which it is a part.
"""

from __future__ import annotations

from . import events as ev
from .health import too_many
from .source_state import PROVED, SourceState
from .sweep import Sweep, TaskState


def judge(sweep: Sweep) -> list[ev.Event]:
    """What follows from strikes, probes and failure rates. At most one source is disabled for its rate at a time, for
    the others are then compared without it."""
    out: list[ev.Event] = []
    for source in sweep.sources.values():
        if source.verdict == PROVED:
            out.append(ev.SourceEnabled(source.name, "its probe went well"))
        elif source.verdict:
            out.append(ev.SourceDisabled(source.name, source.verdict, source.disabled_cause or "strikes"))
        elif source.disabled_since is None and not source.removed and source.strikes >= sweep.rules.strikes:
            reason = f"{source.strikes} failures in a row: {source.strike_reason}"
            out.append(ev.SourceDisabled(source.name, reason, "strikes"))
    return out or _by_failures(sweep)


def _by_failures(sweep: Sweep) -> list[ev.Event]:
    peers = [s for s in sweep.sources.values() if s.disabled_since is None and not s.removed and s.judged]
    suspects = [s for s in peers if too_many(s.judged_failed, s.judged, sweep.rules)]
    if not suspects or len(peers) < 2:
        return []
    ended = sum(s.judged for s in peers)
    failed = sum(s.judged_failed for s in peers)
    for source in sorted(suspects, key=_rate, reverse=True):
        others, of_them = ended - source.judged, failed - source.judged_failed
        if (
            others >= sweep.rules.failure_tasks
            and of_them * source.judged * 2 <= source.judged_failed * others
        ):
            reason = (
                f"{source.judged_failed} of its {source.judged} tasks failed, "
                f"{of_them} of {others} on the other sources"
            )
            return [ev.SourceDisabled(source.name, reason, "failures")]
    telling = [s for s in peers if s.judged >= sweep.rules.failure_tasks]
    work_left = sweep.counts[TaskState.PENDING] > 0
    if len(telling) == len(suspects) >= 2 and work_left and not (sweep.blamed or sweep.paused):
        names = ", ".join(s.name for s in telling)
        reason = (
            f"{failed} of {ended} tasks failed, on {names} alike: the sweep is at fault, not a source. "
            "Look at the failures, then resume or cancel"
        )
        return [ev.Paused(reason)]
    return []


def _rate(source: SourceState) -> float:
    return source.judged_failed / source.judged


def may_probe(source: SourceState) -> bool:
    """Whether a probe will be given to it, at `probe_at`, if nothing else happens before."""
    return (
        source.probe_at is not None
        and not source.removed
        and source.unreachable_since is None
        and source.load < source.slots
    )


def hopeless(sweep: Sweep, source: SourceState, now: float) -> str:
    """Why this source will never take a task again; empty while it may.

    One that was disabled before it ever ran anything is nothing to wait for: a wrong partition or account does not
    become right by itself, and the user should hear of it now.
    """
    if source.removed:
        return f"{source.name} was removed"
    if source.slots <= 0:
        return f"{source.name} has no slots"
    since = source.unreachable_since
    waits_for_room = source.disabled_cause == "full"
    if source.disabled_since is not None and (
        source.disabled_for_good or (since is None and not source.proven and not waits_for_room)
    ):
        return f"{source.name} is disabled ({source.disabled_reason})"
    if since is not None and now >= since + sweep.grace_of(source):
        return f"{source.name} is unreachable ({source.unreachable_reason})"
    return ""
