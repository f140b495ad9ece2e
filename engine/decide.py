"""What to do next: a pure function of the sweep and the time.

`decide` reads no clock, touches no file and draws no lot. It returns the intents the engine must journal, in the order
in which they shall be applied, and the time at which it wants to be asked again if nothing happens before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from zlib import crc32

from . import events as ev
from .sweep import FINAL, SourceState, Sweep, SweepStatus, TaskState, backoff

BATCH = 1000
"""Tasks in one event at most: keeps lines and pauses short at 100,000 tasks."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Events to journal and apply now (`Launching` and `Cancelling` are also acted on), and when to ask again."""

    events: tuple[ev.Event, ...] = ()
    wake_at: float | None = None


def decide(sweep: Sweep, now: float, *, launch: bool = True) -> Decision:
    """The next step. An empty decision without `wake_at` means: nothing to do until something happens.

    Without `launch` everything but launching is decided (an engine that is about to stop).
    """
    if sweep.ended is not None:
        return Decision()
    first = _housekeeping(sweep, now)
    if first:
        return Decision(tuple(first))
    launches, wake = _launches(sweep, now) if launch else ([], None)
    if launches:
        return Decision(tuple(launches))
    end = _end(sweep, now)
    if end is not None:
        return Decision((end,))
    if sweep.delayed:
        wake = _earlier(wake, sweep.delayed[0][0])
    return Decision((), _earlier(wake, _grace_ends(sweep, now)))


def _earlier(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)


def _housekeeping(sweep: Sweep, now: float) -> list[ev.Event]:
    """Cancels, drops, retries and what was given up: what must be settled before anything is launched."""
    out: list[ev.Event] = []
    if sweep.drop_due:
        out.append(ev.Dropped(tuple(islice(sweep.drop_due, BATCH))))
    if sweep.cancel_due:
        out += _cancels(sweep, list(islice(sweep.cancel_due, BATCH)))
    elif sweep.force_due:
        out += _cancels(sweep, list(islice(sweep.force_due, BATCH)), force=True)
    if sweep.retry_due:
        due = islice(sweep.retry_due, BATCH)
        out.append(ev.Requeued(tuple(ev.Delay(i, _not_before(sweep, i, now)) for i in due)))
    if sweep.delayed and sweep.delayed[0][0] <= now:
        out.append(ev.DelaysOver())
    lost = _given_up(sweep, now)
    if lost:
        out.append(ev.Ended(tuple(lost)))
    return out


def _not_before(sweep: Sweep, index: int, now: float) -> float:
    """In whole milliseconds, as the journal's times: what is over by `now` is then over by the event's time too."""
    return round(now + backoff(sweep, sweep.tasks[index]), 3)


def _cancels(sweep: Sweep, tasks: list[int], *, force: bool = False) -> list[ev.Event]:
    by_source: dict[str, list[ev.Ref]] = {}
    for index in tasks:
        attempt = sweep.tasks[index].attempts[-1]
        by_source.setdefault(attempt.source, []).append(ev.Ref(index, attempt.number))
    return [ev.Cancelling(source, tuple(refs), force) for source, refs in by_source.items()]


def _given_up(sweep: Sweep, now: float) -> list[ev.End]:
    """Attempts that were unknown for longer than the grace period: lost, so that the work can go elsewhere."""
    out: list[ev.End] = []
    for index, since in islice(sweep.unknown.items(), BATCH):
        if now < since + sweep.grace:
            break
        task = sweep.tasks[index]
        out.append(_lost(sweep, task.index, f"not seen for {sweep.grace:g} s; given up"))
    for source in sweep.sources.values():
        since = source.unreachable_since
        if since is not None and now >= since + sweep.grace:
            reason = (
                f"{source.name} unreachable for {sweep.grace:g} s ({source.unreachable_reason}); given up"
            )
            seen = {end.task for end in out}
            out += [_lost(sweep, i, reason) for i in sorted(source.active) if i not in seen]
    return out[:BATCH]


def _lost(sweep: Sweep, index: int, reason: str) -> ev.End:
    number = sweep.tasks[index].attempts[-1].number
    if sweep.tasks[index].state is TaskState.CANCELLING:
        return ev.End(
            index, number, "failed", "source_lost", message=f"{reason}; its cancel was not confirmed"
        )
    return ev.End(index, number, "failed", "source_lost", message=reason)


def _grace_ends(sweep: Sweep, now: float) -> float | None:
    """The next end of a grace period. A source that stays away beyond its own is nothing to wait for."""
    since = [s.unreachable_since for s in sweep.sources.values() if s.unreachable_since is not None]
    since += islice(sweep.unknown.values(), 1)
    return min((at + sweep.grace for at in since if now < at + sweep.grace), default=None)


def _launches(sweep: Sweep, now: float) -> tuple[list[ev.Event], float | None]:
    if sweep.paused or sweep.cancel_requested or not sweep.ready:
        return [], None
    if sweep.launch_delay > 0 and sweep.last_launch_at is not None:
        next_at = sweep.last_launch_at + sweep.launch_delay
        if now < next_at:
            return [], next_at
    room = BATCH
    if sweep.max_concurrent is not None:
        room = min(room, sweep.max_concurrent - sweep.active)
    if sweep.launch_delay > 0:
        room = min(room, 1)
    share = _share(sweep, min(room, len(sweep.ready)))
    if not share:
        return [], None
    tasks = iter(sweep.ready.first(sum(share.values())))
    out: list[ev.Event] = []
    for offset, (source, count) in enumerate(share.items()):
        refs = tuple(ev.Ref(i, len(sweep.tasks[i].attempts) + 1) for i in islice(tasks, count))
        out.append(ev.Launching(f"b{sweep.batches + offset + 1}", source, refs))
    return out, None


def _share(sweep: Sweep, room: int) -> dict[str, int]:
    """How many tasks each source gets now: at most `room` together, by the sweep's strategy."""
    free = {source.name: source.free for source in sweep.sources.values() if source.free > 0}
    if room <= 0 or not free:
        return {}
    if len(free) == 1:
        name, slots = next(iter(free.items()))
        return {name: min(room, slots)}
    order = _in_turn(list(free), sweep.last_source)
    share: dict[str, int] = {}
    while room > 0 and free:
        name = _choose(sweep, order, free, share)
        share[name] = share.get(name, 0) + 1
        room -= 1
        free[name] -= 1
        if free[name] == 0:
            del free[name]
            order.remove(name)
        elif sweep.strategy == "round_robin":
            order.append(order.pop(0))
    return share


def _in_turn(names: list[str], last: str) -> list[str]:
    """The sources in their order, beginning after the one that got the last batch."""
    if last in names:
        cut = names.index(last) + 1
        return names[cut:] + names[:cut]
    return names


def _choose(sweep: Sweep, order: list[str], free: dict[str, int], share: dict[str, int]) -> str:
    match sweep.strategy:
        case "least_loaded":
            return min(order, key=lambda name: _load(sweep.sources[name], share.get(name, 0)))
        case "random":
            # Drawn from the sweep's id and position, so that a replay draws the same.
            lot = crc32(f"{sweep.id}:{sweep.seq}:{sum(share.values())}".encode())
            return order[lot % len(order)]
        case _:
            return order[0]


def _load(source: SourceState, extra: int) -> float:
    return (len(source.active) + extra) / source.slots


def _end(sweep: Sweep, now: float) -> ev.SweepEnded | None:
    """The end, if no attempt is alive and nothing can be launched any more."""
    if sweep.active:
        return None
    counts = sweep.counts
    if not counts[TaskState.PENDING]:
        if counts[TaskState.FAILED]:
            status = SweepStatus.CANCELLED if sweep.cancel_requested else SweepStatus.FAILED
        elif counts[TaskState.CANCELLED]:
            status = SweepStatus.CANCELLED
        else:
            status = SweepStatus.COMPLETED
        return _ended(status, "")
    if sweep.paused:
        return None
    if sweep.ready or sweep.delayed:
        reason = _no_source(sweep, now)
        if reason:
            return _ended(SweepStatus.FAILED, reason)
    return None


def _ended(status: SweepStatus, reason: str) -> ev.SweepEnded:
    assert status in FINAL
    return ev.SweepEnded(status.value, reason)  # type: ignore[arg-type]


def _no_source(sweep: Sweep, now: float) -> str:
    """Why no source can ever take the remaining tasks; empty while one may."""
    reasons: list[str] = []
    for source in sweep.sources.values():
        if source.removed:
            reasons.append(f"{source.name} was removed")
        elif source.slots <= 0:
            reasons.append(f"{source.name} has no slots")
        elif source.unreachable_since is None or now < source.unreachable_since + sweep.grace:
            return ""
        else:
            reasons.append(f"{source.name} is unreachable ({source.unreachable_reason})")
    left = sweep.counts[TaskState.PENDING]
    return f"no source can take the remaining {left} tasks: {'; '.join(reasons) or 'there is none'}"


def is_idle(sweep: Sweep) -> bool:
    """Whether the engine has nothing to wait for: paused, and nothing alive."""
    return sweep.ended is None and sweep.paused and not sweep.active and not sweep.cancel_requested
