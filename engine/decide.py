"""What to do next: a pure function of the sweep and the time.

`decide` reads no clock, touches no file and draws no lot. It returns the intents the engine must journal, in the order
in which they shall be applied, and the time at which it wants to be asked again if nothing happens before.

Here stands the order of things, what must be settled before anything is launched, and the end. Who gets which task is
decided in `spread`, who is trusted with one in `trust`.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import islice

from . import events as ev
from .cost import blind, certain_cost, when_spent
from .spread import BATCH, earlier, launches, limits, recalls, withdrawals
from .sweep import ANYWHERE, FINAL, SourceState, Sweep, SweepStatus, TaskState, backoff
from .trust import hopeless, judge

BUDGET_WARNING = 0.8
"""The part of the budget at which a person is told."""
BLIND_AFTER = 90.0
"""Seconds an instance may run until it is told that nobody knows its price: AWS is asked for it meanwhile."""
_INSTANT = 1e-3


@dataclass(frozen=True, slots=True)
class Decision:
    """Events to journal and apply now (`Launching` and `Cancelling` are also acted on), and when to ask again."""

    events: tuple[ev.Event, ...] = ()
    wake_at: float | None = None


def decide(sweep: Sweep, now: float, *, launch: bool = True) -> Decision:
    """The next step. An empty decision without `wake_at` means: nothing to do until something happens.

    Without `launch` everything is decided but launching, and what is taken back to be launched elsewhere (an engine
    that is about to stop).
    """
    if sweep.ended is not None:
        return Decision()
    first = _housekeeping(sweep, now)
    if first:
        return Decision(tuple(first))
    launched, wake = launches(sweep, now) if launch else ([], None)
    launched = launched or limits(sweep)
    if launched:
        return Decision(tuple(launched))
    end = _end(sweep, now)
    if end:
        return Decision(end)
    if launch:
        back, later = withdrawals(sweep, now)
        if back:
            return Decision(tuple(back))
        wake = earlier(wake, later)
    if sweep.delayed:
        wake = earlier(wake, sweep.delayed[0][0])
    if sweep.ready:
        wake = earlier(
            wake, min((_room_again(sweep, s) for s in sweep.sources.values() if s.room), default=None)
        )
    wake = earlier(wake, _budget_ends(sweep, now))
    return Decision((), earlier(wake, _grace_ends(sweep, now)))


def _housekeeping(sweep: Sweep, now: float) -> list[ev.Event]:
    """Cancels, drops, retries, what was given up, who is trusted: what must be settled before anything is launched."""
    out: list[ev.Event] = []
    if sweep.drop_due:
        out.append(ev.Dropped(tuple(islice(sweep.drop_due, BATCH))))
    if sweep.cancel_due:
        out += _cancels(sweep, list(islice(sweep.cancel_due, BATCH)))
    elif sweep.force_due:
        out += _cancels(sweep, list(islice(sweep.force_due, BATCH)), force=True)
    out += recalls(sweep)
    if sweep.retry_due:
        due = islice(sweep.retry_due, BATCH)
        out.append(ev.Requeued(tuple(ev.Delay(i, _not_before(sweep, i, now)) for i in due)))
    if sweep.delayed and sweep.delayed[0][0] <= now:
        out.append(ev.DelaysOver())
    lost = _given_up(sweep, now)
    if lost:
        out.append(ev.Ended(tuple(lost)))
    out += _budget(sweep, now)
    out += [_more_room(s) for s in sweep.sources.values() if s.room and now >= _room_again(sweep, s)]
    return out or _out_of_reach(sweep, now) or judge(sweep)


def _budget(sweep: Sweep, now: float) -> list[ev.Event]:
    """What the money spent so far asks for."""
    if not sweep.budget or sweep.budget_spent:
        return []
    unseen: list[ev.Event] = [
        ev.BudgetBlind(name, len(tasks)) for name, tasks, at in _blind(sweep, now) if now >= at
    ]
    if unseen:
        return unseen
    cost = certain_cost(sweep, now)
    if cost >= sweep.budget:
        return [ev.BudgetSpent(round(cost, 4), sweep.budget_action)]
    if cost >= BUDGET_WARNING * sweep.budget and not sweep.budget_warned:
        return [ev.BudgetWarned(round(cost, 4))]
    return []


def _blind(sweep: Sweep, now: float) -> list[tuple[str, list[int], float]]:
    """Sources with tasks that run at a price nobody knows and that was not told, and when that is to be told."""
    untold = {
        source.name
        for source in sweep.sources.values()
        if source.unpriced and not source.blind_told and not source.is_awaited(now)
    }
    if not untold:
        return []
    return [
        (name, tasks, min(sweep.tasks[task].attempts[-1].started_at or 0.0 for task in tasks) + BLIND_AFTER)
        for name, tasks in blind(sweep).items()
        if name in untold
    ]


def _budget_ends(sweep: Sweep, now: float) -> float | None:
    """When the next part of the budget will be spent if all goes on, or when what it does not see is to be told.

    Or when it has waited long enough for a source that has not been heard yet.
    """
    if not sweep.budget or sweep.budget_spent:
        return None
    mark = sweep.budget if sweep.budget_warned else BUDGET_WARNING * sweep.budget
    at = when_spent(sweep, mark, now)
    told = min((at for _, _, at in _blind(sweep, now)), default=None)
    awaited = min(
        (s.awaited_until for s in sweep.sources.values() if (s.rate or s.unpriced) and s.is_awaited(now)),
        default=None,
    )
    return earlier(None if at is None else max(now + _INSTANT, at), earlier(told, awaited))


def _more_room(source: SourceState) -> ev.SourceRoom:
    """It is asked for twice as much: few are refused, and room that has come is soon found."""
    more = 2 * source.room
    if more >= source.slots:
        return ev.SourceRoom(source.name)
    return ev.SourceRoom(source.name, more, source.room_reason)


def _room_again(sweep: Sweep, source: SourceState) -> float:
    """When a source that had no room for more is asked for all its slots once more."""
    return source.room_at + sweep.rules.cooldown


def _out_of_reach(sweep: Sweep, now: float) -> list[ev.Event]:
    """What ended on a source and did not come home before its grace period was over: what completed is lost with it."""
    out: list[ev.Event] = []
    away = {name for name, source in sweep.sources.items() if beyond_grace(sweep, source, now)}
    if not away or not sweep.uncollected:
        return out
    lost: dict[str, list[ev.Ref]] = {}
    left: list[ev.Brought] = []
    for task, number in sweep.uncollected:
        attempt = sweep.tasks[task].attempts[number - 1]
        if attempt.source not in away:
            continue
        if sweep.tasks[task].state is TaskState.COMPLETED and sweep.tasks[task].attempt is attempt:
            lost.setdefault(attempt.source, []).append(ev.Ref(task, number))
        else:
            left.append(
                ev.Brought(task, number, problem=f"its files are on {attempt.source}, which is unreachable")
            )
    for name, refs in lost.items():
        grace = sweep.grace_of(sweep.sources[name])
        reason = f"completed, but its files are on {name}, unreachable for {grace:g} s"
        out.append(ev.OutOfReach(tuple(refs), reason))
    if left:
        out.append(ev.Collected(tuple(left)))
    return out


def beyond_grace(sweep: Sweep, source: SourceState, now: float) -> bool:
    """Whether nobody could ask this source for longer than the grace period: it is away, or refuses us."""
    since = source.unreachable_since
    if since is None and source.disabled_since is not None and source.disabled_cause == "refused":
        since = max(source.disabled_since, source.heard_at)  # it may refuse one thing and answer another
    return since is not None and now >= since + sweep.grace_of(source)


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
    for index, since in sweep.unknown.items():
        grace = sweep.grace_of(sweep.sources[sweep.tasks[index].attempts[-1].source])
        if now >= since + grace:
            out.append(_lost(sweep, index, f"not seen for {grace:g} s; given up"))
    for source in sweep.sources.values():
        since, grace = source.unreachable_since, sweep.grace_of(source)
        if source.active and since is not None and now >= since + grace:
            reason = f"{source.name} unreachable for {grace:g} s ({source.unreachable_reason}); given up"
            seen = {end.task for end in out}
            out += [_lost(sweep, i, reason) for i in heapq.nsmallest(BATCH, source.active) if i not in seen]
    return out[:BATCH]


def _lost(sweep: Sweep, index: int, reason: str) -> ev.End:
    task = sweep.tasks[index]
    number = task.attempts[-1].number
    if task.state is TaskState.CANCELLING:
        reason = f"{reason}; its cancel was not confirmed"
    fault = not task.cancel_requested
    return ev.End(index, number, "failed", "source_lost", message=reason, source_fault=fault, given_up=True)


def _grace_ends(sweep: Sweep, now: float) -> float | None:
    """The next end of a grace period. A source that stays away beyond its own is nothing to wait for."""
    sources = sweep.sources.values()
    ends = [s.unreachable_since + sweep.grace_of(s) for s in sources if s.unreachable_since is not None]
    ends += [
        max(s.disabled_since, s.heard_at) + sweep.grace_of(s)
        for s in sources
        if s.disabled_since and s.disabled_cause == "refused"
    ]
    for index, since in sweep.unknown.items():
        ends.append(since + sweep.grace_of(sweep.sources[sweep.tasks[index].attempts[-1].source]))
    if not sweep.active:
        for task, number in sweep.given_up:
            attempt = sweep.tasks[task].attempts[number - 1]
            if attempt.ended_at is not None:
                ends.append(attempt.ended_at + 2 * sweep.grace_of(sweep.sources[attempt.source]))
    return min((end for end in ends if now < end), default=None)


def _end(sweep: Sweep, now: float) -> tuple[ev.Event, ...]:
    """The end, if no attempt is alive and nothing can be launched any more."""
    if sweep.active or comes_home(sweep, now) or _is_cleared_up(sweep, now):
        return ()
    counts = sweep.counts
    if not counts[TaskState.PENDING]:
        if counts[TaskState.FAILED]:
            status = SweepStatus.CANCELLED if sweep.cancel_requested else SweepStatus.FAILED
        elif counts[TaskState.CANCELLED]:
            status = SweepStatus.CANCELLED
        else:
            status = SweepStatus.COMPLETED
        return _ended(sweep, status, "")
    if sweep.paused:
        return ()
    if sweep.ready or sweep.delayed:
        reason = _no_source(sweep, now)
        if reason:
            return _ended(sweep, SweepStatus.FAILED, reason)
    return ()


def _is_cleared_up(sweep: Sweep, now: float) -> bool:
    """Whether a source that can be asked is about to end what was given up there. Not waited for without end."""
    for task, number in sweep.given_up:
        attempt = sweep.tasks[task].attempts[number - 1]
        source = sweep.sources[attempt.source]
        reachable = source.unreachable_since is None and source.disabled_cause not in ("refused", "start")
        if (
            source.kind != "local"
            and reachable
            and now < (attempt.ended_at or now) + 2 * sweep.grace_of(source)
        ):
            return True
    return False


def comes_home(sweep: Sweep, now: float) -> bool:
    """Whether files are on their way home: from a source that answers, or may answer within its grace period."""
    for task, number in sweep.uncollected:
        source = sweep.sources[sweep.tasks[task].attempts[number - 1].source]
        if not beyond_grace(sweep, source, now) and source.disabled_cause != "start":
            return True
    return False


def _ended(sweep: Sweep, status: SweepStatus, reason: str) -> tuple[ev.Event, ...]:
    assert status in FINAL
    end = ev.SweepEnded(status.value, reason)  # type: ignore[arg-type]
    notes = _not_home(sweep)
    if not sweep.given_up:
        return (*notes, end)
    at = {sweep.tasks[task].attempts[number - 1].source: None for task, number in sweep.given_up}
    left = len(sweep.given_up)
    what = "attempt that was given up" if left == 1 else "attempts that were given up"
    return (*notes, ev.Note(f"{left} {what} may still run on {', '.join(at)}: nobody could ask"), end)


def _not_home(sweep: Sweep) -> tuple[ev.Note, ...]:
    if not sweep.uncollected:
        return ()
    at = {sweep.tasks[task].attempts[number - 1].source: None for task, number in sweep.uncollected}
    count = len(sweep.uncollected)
    what = "attempt are" if count == 1 else "attempts are"
    return (
        ev.Note(
            f"the files of {count} {what} still on {', '.join(at)}, which cannot be reached; "
            f"bring them home later with: spawn-tui collect {sweep.id}"
        ),
    )


def _no_source(sweep: Sweep, now: float) -> str:
    """Why no source can ever take the remaining tasks; empty while one may."""
    hopes = {source.name: hopeless(sweep, source, now) for source in sweep.sources.values()}
    reasons: dict[str, None] = {}
    for needs in _needs_left(sweep):
        suitable = [source.name for source in sweep.sources.values() if source.suits(needs)]
        if not all(hopes[name] for name in suitable):
            return ""
        reasons.update(dict.fromkeys(hopes[name] for name in suitable))
        if not suitable and sweep.sources:
            reasons[f"there is none {_asked(needs)}"] = None
    left = sweep.counts[TaskState.PENDING]
    tasks = "task" if left == 1 else f"{left} tasks"
    return f"no source can take the remaining {tasks}: {'; '.join(reasons) or 'there is none'}"


def _needs_left(sweep: Sweep) -> list[ev.Needs]:
    """What the tasks that wait ask of a source, in the plan's order."""
    if not sweep.needs:
        return [ANYWHERE]
    groups = {group for group, _ in sweep.ready.groups()} | {
        sweep.group_of[task] for _, task in sweep.delayed
    }
    return [sweep.needs[group] for group in sorted(groups)]


def _asked(needs: ev.Needs) -> str:
    kinds, regions = " or ".join(needs.kinds), " or ".join(needs.regions)
    return " ".join(
        words for words in (f"of kind {kinds}" if kinds else "", f"in {regions}" if regions else "") if words
    )


def is_idle(sweep: Sweep) -> bool:
    """Whether the engine has nothing to wait for: paused, nothing alive, nothing on its way home."""
    resting = sweep.ended is None and sweep.paused and not sweep.active and not sweep.cancel_requested
    return resting and not comes_home(sweep, float("inf"))
