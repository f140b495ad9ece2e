"""Who gets which tasks: the strategies, the share of sources with a queue, their limits, and what is taken back. Pure,
as `decide`, of which it is a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import ceil, floor
from zlib import crc32

from . import events as ev
from .source_state import SourceState
from .sweep import Sweep, TaskState
from .trust import may_probe

BATCH = 1000
"""Tasks in one event at most: keeps lines and pauses short at 100,000 tasks."""
_INSTANT = 1e-3
"""Seconds that a task takes at least, where sources are compared by it."""


def earlier(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)


def launches(sweep: Sweep, now: float) -> tuple[list[ev.Event], float | None]:
    """The batches to launch now, and when to ask again if there is none."""
    if sweep.paused or sweep.cancel_requested or not sweep.ready:
        return [], None
    delayed = sweep.launch_delay > 0
    if delayed and sweep.last_launch_at is not None:
        next_at = sweep.last_launch_at + sweep.launch_delay
        if now < next_at:
            return [], next_at
    room = min(BATCH, len(sweep.ready), 1 if delayed else BATCH)
    if sweep.max_concurrent is not None:
        room = min(room, sweep.max_concurrent - sweep.load)
    probes, wake = _probes(sweep, now)
    out: list[ev.Event] = []
    taken: dict[str, int] = {}
    for group, ready in sweep.ready.groups():
        needs = sweep.needs_in(group)
        mine = [source for source in probes if source.suits(needs)][: max(0, min(room, len(ready)))]
        probes = [source for source in probes if source not in mine]
        left = (1 if delayed else len(ready)) - len(mine)
        share = _share(sweep, needs, _free(sweep, needs, taken), room - len(mine), left)
        counts = _counts(sweep, needs, share, left)
        tasks = iter(ready.first(len(mine) + sum(counts.values())))
        for source in mine:
            _launch(sweep, out, source, 1, 1, tasks)
        for name, count in counts.items():
            _launch(sweep, out, sweep.sources[name], count, share[name], tasks)
            taken[name] = taken.get(name, 0) + share[name]
        room -= len(mine) + sum(share.values())
        if room <= 0 or (delayed and out):
            break
    return out, None if out else wake


def _launch(
    sweep: Sweep, out: list[ev.Event], source: SourceState, count: int, limit: int, tasks: Iterator[int]
) -> None:
    """One event, or several of at most `BATCH` tasks, of which the first may use most of the limit."""
    if source.queue:
        count = min(count, limit * BATCH)  # every batch needs a limit of at least 1
    after = ceil(count / BATCH)
    while count > 0:
        after -= 1
        size = min(BATCH, count)
        own = min(size, limit - after) if source.queue else 0
        refs = tuple(ev.Ref(i, len(sweep.tasks[i].attempts) + 1) for i in islice(tasks, size))
        batch = f"b{sweep.batches + len(out) + 1}"
        out.append(ev.Launching(batch, source.name, refs, limit=own))
        count -= size
        limit -= own


def _probes(sweep: Sweep, now: float) -> tuple[list[SourceState], float | None]:
    """The disabled sources that are given one task now, and when the next is due."""
    waiting = [source for source in sweep.sources.values() if may_probe(source)]
    due = [source for source in waiting if (source.probe_at or 0.0) <= now]
    later = [source.probe_at for source in waiting if source.probe_at is not None and source.probe_at > now]
    return due, min(later, default=None)


# --- shares ------------------------------------------------------------------------------------------------------


def _share(sweep: Sweep, needs: ev.Needs, free: dict[str, int], room: int, left: int) -> dict[str, int]:
    """How many tasks may run at each source from now on: at most `room` together, by the sweep's strategy.

    `free`: slots by source; it is used up.
    """
    room = min(room, left)
    if room <= 0 or not free:
        return {}
    order = _in_turn(list(free), sweep.last_source)
    share: dict[str, int] = {}
    if len(free) == 1 and sweep.strategy != "fastest":
        return {order[0]: min(room, free[order[0]])}
    while room > 0 and free:
        name = _choose(sweep, needs, order, share, left)
        if name is None:
            break
        share[name] = share.get(name, 0) + 1
        room -= 1
        left -= 1
        free[name] -= 1
        if free[name] == 0:
            del free[name]
            order.remove(name)
        elif sweep.strategy == "round_robin":
            order.append(order.pop(0))
    return share


def _free(sweep: Sweep, needs: ev.Needs, taken: dict[str, int]) -> dict[str, int]:
    """Free slots by source for tasks with these needs, `taken` being promised to others already.

    A source whose queue holds enough, or where something waits while others are free, has none.
    """
    free = {
        s.name: s.free - taken.get(s.name, 0) for s in sweep.sources.values() if s.free > 0 and s.suits(needs)
    }
    usable = [sweep.sources[name] for name, count in free.items() if count > 0]
    idle = any(not s.queue for s in usable)

    def takes(source: SourceState) -> bool:
        if not source.queue:
            return True
        waits = bool(source.waiting) or bool(source.asked) or source.keeps_waiting
        return len(source.active) < source.slots and not (idle and waits)

    return {source.name: free[source.name] for source in usable if takes(source)}


def _counts(sweep: Sweep, needs: ev.Needs, share: dict[str, int], left: int) -> dict[str, int]:
    """How many tasks each source is given: what may run there, and to one with a queue its part of all that is ready.

    Sources that run what they are given are served first.
    """
    out = dict.fromkeys(share, 0)
    ready = left
    for name, count in share.items():
        if not sweep.sources[name].queue:
            out[name] = count
            left -= count
    queues = [name for name in share if sweep.sources[name].queue]
    reserved = sum(share[name] for name in queues)
    slots = {s.name: _weight(sweep, s) for s in sweep.sources.values() if s.usable and s.suits(needs)}
    for name in queues:
        reserved -= share[name]
        if sweep.launch_delay > 0:
            out[name] = share[name]
        else:
            part = ceil(ready * slots[name] / sum(slots.values()))
            out[name] = max(share[name], min(part, left - reserved))
        left -= out[name]
    return out


def _weight(sweep: Sweep, source: SourceState) -> float:
    """Of a source beside others: its slots; by `fastest` the tasks it does in a second, once that is known of all."""
    means = [s.mean_seconds for s in sweep.sources.values() if s.usable]
    mean = source.mean_seconds
    if sweep.strategy != "fastest" or mean is None or None in means:
        return float(source.slots)
    return source.slots / max(mean, _INSTANT)


def _in_turn(names: list[str], last: str) -> list[str]:
    """The sources in their order, beginning after the one that got the last batch."""
    if last in names:
        cut = names.index(last) + 1
        return names[cut:] + names[:cut]
    return names


def _choose(sweep: Sweep, needs: ev.Needs, order: list[str], share: dict[str, int], left: int) -> str | None:
    """Who gets the next task; None if it had better wait."""
    match sweep.strategy:
        case "least_loaded":
            return min(order, key=lambda name: _fill(sweep.sources[name], share.get(name, 0)))
        case "random":
            # Drawn from the sweep's id and position, so that a replay draws the same.
            lot = crc32(f"{sweep.id}:{sweep.seq}:{sum(share.values())}".encode())
            return order[lot % len(order)]
        case "fastest":
            return _fastest(sweep, needs, order, share, left)
        case _:
            return order[0]


def _fill(source: SourceState, extra: int) -> float:
    return (source.load + extra) / source.slots


def _fastest(sweep: Sweep, needs: ev.Needs, order: list[str], share: dict[str, int], left: int) -> str | None:
    """The source that is expected to finish one more task first: sources that nobody has measured come before, then the
    quickest with a free slot, unless others that are busy now are expected to do all that is left before it would.
    """
    means = {name: sweep.sources[name].mean_seconds for name in order}
    unmeasured = [name for name in order if means[name] is None]
    if unmeasured:
        return min(unmeasured, key=lambda name: _fill(sweep.sources[name], share.get(name, 0)))
    name = min(order, key=lambda name: means[name] or 0.0)
    mean = max(means[name] or 0.0, _INSTANT)
    others = 0
    for source in sweep.sources.values():
        its = source.mean_seconds
        if not source.suits(needs) or source.keeps_waiting:
            continue
        if source.usable and its is not None and its < mean and source.name not in means:
            rounds = floor(mean / max(its, _INSTANT))
            others += max(0, source.slots * rounds - source.load - share.get(source.name, 0))
    return None if others >= left else name


# --- sources with a queue ----------------------------------------------------------------------------------------


def limits(sweep: Sweep) -> list[ev.Event]:
    """New limits of live batches: lower where slots or max-concurrent have shrunk, higher where older batches drain."""
    if not any(source.batches for source in sweep.sources.values()):
        return []
    room = None if sweep.max_concurrent is None else sweep.max_concurrent - sweep.load
    out: list[ev.Event] = []
    for source in sweep.sources.values():
        over = max(source.load - source.slots, -room if room is not None else 0)
        if over > 0:
            cuts = _lower(source, over)
        elif source.held and source.usable and not (sweep.paused or sweep.cancel_requested):
            cuts = _raise(source, source.free if room is None else min(source.free, room))
        else:
            continue
        out += cuts
        if room is not None:
            room -= sum(_running(source, cut.batch, cut.limit) for cut in cuts)
    return out


def _running(source: SourceState, batch: str, limit: int) -> int:
    """How many more may run in a batch by a new limit."""
    made = source.batches[batch]
    return min(limit, made.active) - min(made.limit, made.active)


def _lower(source: SourceState, over: int) -> list[ev.Limited]:
    """The newest first; never to 0, which to a scheduler means no limit at all."""
    out: list[ev.Limited] = []
    for name, batch in reversed(source.batches.items()):
        running = min(batch.limit, batch.active)
        cut = min(over, running - 1)
        if cut > 0:
            out.append(ev.Limited(name, source.name, running - cut))
            over -= cut
    return out


def _raise(source: SourceState, free: int) -> list[ev.Limited]:
    out: list[ev.Limited] = []
    for name, batch in source.batches.items():
        more = min(free, batch.held)
        if more > 0:
            out.append(ev.Limited(name, source.name, batch.limit + more))
            free -= more
    return out


def withdrawals(sweep: Sweep, now: float) -> tuple[list[ev.Event], float | None]:
    """What is taken back from queues because slots are free elsewhere and nothing else is there to fill them.

    The end of the queue first: it would wait longest. Also returns when something will have waited long enough.
    """
    if sweep.paused or sweep.cancel_requested:
        return [], None
    sources = sweep.sources.values()
    holders = [s for s in sources if s.waiting and s.unreachable_since is None]
    if not holders:
        return [], None
    places = {s.name: s.free for s in sources if not s.queue and s.level != "degraded"}
    if any(_first_place(sweep, sweep.needs_in(group), places) for group, _ in sweep.ready.groups()):
        return [], None
    free = sum(places.values())
    if sweep.max_concurrent is not None:
        free = min(free, sweep.max_concurrent - sweep.load)
    free = min(free - sum(len(s.asked) for s in sources), BATCH)
    for source in sources:
        for index in source.asked:
            _has_place(sweep, index, places)  # promised to those that were asked back before
    out: list[ev.Event] = []
    wake: float | None = None
    for source in holders:
        if free <= 0:
            return out, None
        refs: list[ev.Ref] = []
        for index in source.waiting.last(free):
            attempt = sweep.tasks[index].attempts[-1]
            long_enough = attempt.launched_at + sweep.rules.withdraw_after
            if long_enough > now:
                wake = earlier(wake, long_enough)
            elif not sweep.tasks[index].cancel_requested and _has_place(sweep, index, places):
                refs.append(ev.Ref(index, attempt.number))
        if refs:
            out.append(ev.Withdrawing(source.name, tuple(refs)))
            free -= len(refs)
    return out, wake


def recalls(sweep: Sweep) -> list[ev.Event]:
    """What is taken back from sources without a queue while nothing shall be launched: what they have not sent yet.

    Each is asked for once; what was sent already runs on.
    """
    out: list[ev.Event] = []
    for source in sweep.sources.values() if sweep.paused and not sweep.cancel_requested else ():
        if not source.takes_back or source.unreachable_since is not None:
            continue
        refs = [
            ev.Ref(index, len(task.attempts))
            for index in sorted(source.active)
            if (task := sweep.tasks[index]).state is TaskState.LAUNCHING
            and index not in source.asked
            and not task.cancel_requested
        ][:BATCH]
        if refs:
            out.append(ev.Withdrawing(source.name, tuple(refs)))
    return out


def _has_place(sweep: Sweep, task: int, places: dict[str, int]) -> bool:
    """Whether one of these free slots is of use to the task; it is then promised to it."""
    name = _first_place(sweep, sweep.needs_of(task), places)
    if name is None:
        return False
    places[name] -= 1
    return True


def _first_place(sweep: Sweep, needs: ev.Needs, places: dict[str, int]) -> str | None:
    return next(
        (name for name, free in places.items() if free > 0 and sweep.sources[name].suits(needs)), None
    )
