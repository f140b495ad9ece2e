"""What must hold in every sweep at every moment, however bad the day was.

`check_shape` looks at one sweep; `dump` writes one down so that two can be compared; `Witness` is a viewer that follows
the journal on the disk, record by record, and compares what it says with what truly happened at the hosts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from math import isclose
from pathlib import Path
from typing import Protocol

from spawn_tui.engine import event_lines
from spawn_tui.engine import events as ev
from spawn_tui.engine.decide import BUDGET_WARNING
from spawn_tui.engine.health import REPORT_EVERY
from spawn_tui.engine.source_state import PRICED
from spawn_tui.engine.sweep import ACTIVE, ENDED, FINAL, Sweep, TaskState, apply
from spawn_tui.engine.transitions import LOSSES, REFUSALS
from spawn_tui.state.journal import JournalForked, JournalReader

from .disk import SimDisk
from .host import Host, Run

P, L, R, G = TaskState.PENDING, TaskState.LAUNCHING, TaskState.RUNNING, TaskState.CANCELLING
C, F, X = TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED
LEGAL = {
    P: {L, X, C},
    L: {R, G, C, F, X, P},
    R: {G, C, F, X, P},
    G: {C, F, X},
    C: set[TaskState](),
    F: {P, C},
    X: {P},
}
"""What a task's state may become by one event."""
ROUNDING = 0.002
"""Times in the journal are milliseconds."""
CENT = 0.01
GIVEN_UP = "given up"


class Broken(AssertionError):
    """An invariant does not hold."""


def demand(holds: bool, what: str, *details: object) -> None:
    if not holds:
        raise Broken(f"{what}{': ' if details else ''}{', '.join(map(str, details))}")


# --- one sweep ---------------------------------------------------------------------------------------------------


def check_shape(sweep: Sweep) -> None:
    """Everything that is kept equals what a recount finds; every task is in exactly one place."""
    counts = dict.fromkeys(TaskState, 0)
    active: dict[str, set[int]] = {name: set() for name in sweep.sources}
    launched = dict.fromkeys(sweep.sources, 0)
    ended = {(name, state): 0 for name in sweep.sources for state in (C, F)}
    batches = Counter[tuple[str, str]]()
    ready = list(sweep.ready)
    waiting = set(ready)
    demand(len(waiting) == len(ready) == len(sweep.ready), "a task stands twice in the ready queue", ready)
    delayed = {(not_before, index) for not_before, index in sweep.delayed}
    for index, task in enumerate(sweep.tasks):
        state = task.state
        counts[state] += 1
        demand(task.index == index, "a task has lost its index", task)
        for number, attempt in enumerate(task.attempts, 1):
            demand(attempt.number == number, "attempts are not numbered from 1", task)
            launched[attempt.source] += 1
            if attempt.state in (C, F):
                ended[attempt.source, attempt.state] += 1
            last = number == len(task.attempts)
            demand(
                attempt.state in (ACTIVE if last and state in ACTIVE else ENDED),
                "attempt and task disagree",
                task,
            )
            demand(
                (index, number) not in sweep.given_up
                or (attempt.kind == "source_lost" and attempt.state is F),
                "an attempt is kept as given up that was not",
                task,
            )
            counts_here = number == task.counting if task.counting else last
            demand(
                attempt.state is not C or (counts_here and state is C),
                "a completed task was launched again",
                task,
            )
        demand(
            not task.counting or state is C, "an earlier attempt counts of a task that is not completed", task
        )
        if state is C:
            done = [attempt.number for attempt in task.attempts if attempt.state is C]
            demand(done == [task.counting or len(task.attempts)], "not exactly one completed attempt", task)
        if state in ACTIVE:
            last_attempt = task.attempts[-1]
            demand(last_attempt.state is state, "attempt and task disagree", task)
            active[last_attempt.source].add(index)
            batches[last_attempt.source, last_attempt.batch] += 1
        demand(state is P or index not in waiting, "a task that does not wait is ready", task)
        demand(state is P or task.not_before is None, "a task that does not wait is delayed", task)
        if state is P:
            later = task.not_before is not None and (task.not_before, index) in delayed
            demand(later != (index in waiting), "a waiting task must be ready or delayed, and not both", task)
        demand((task.unknown_since is not None) == (index in sweep.unknown), "unknown is not kept", task)
        demand(task.unknown_since is None or state in ACTIVE, "an ended task is unknown", task)
        demand((state is F) == (index in sweep.failures), "failures are not kept", task)
    demand(counts == sweep.counts, "counts do not equal a recount", counts, sweep.counts)
    for name, source in sweep.sources.items():
        demand(source.active == active[name], "a source's load does not equal a recount", name, source.active)
        for batch, held in source.batches.items():
            demand(
                held.active == batches[name, batch] > 0,
                "a batch's size does not equal a recount",
                name,
                batch,
            )
            demand(held.limit > 0, "a batch that may run nothing", name, batch)
        held = sum(max(0, batch.active - batch.limit) for batch in source.batches.values())
        demand(source.held == held, "what is held back does not equal a recount", name, source.held, held)
        for index in (*source.waiting, *source.asked):
            demand(index in source.active, "a task waits in a queue that does not hold it", name, index)
        demand(source.probing is None or source.probing in source.active, "a probe that is not there", name)
        demand(
            source.disabled_since is not None or source.probing is None, "a probe of a trusted source", name
        )
        kept = (source.launched, source.completed, source.failed)
        demand(
            kept == (launched[name], ended[name, C], ended[name, F]),
            "a source's totals are wrong",
            name,
            kept,
        )
        demand(min(source.load, source.held, source.free, source.room) >= 0, "less than nothing", source)
        demand(source.free == 0 or source.usable, "free slots where nothing may be launched", source)
    check_ready(sweep)
    check_money(sweep)
    states = {
        "retry_due": (sweep.retry_due, {F}),
        "cancel_due": (sweep.cancel_due, {L, R}),
        "force_due": (sweep.force_due, ACTIVE),
        "drop_due": (sweep.drop_due, {P}),
    }
    for name, (tasks, allowed) in states.items():
        for index in tasks:
            demand(
                sweep.tasks[index].state in allowed, f"{name} holds a task that is", sweep.tasks[index].state
            )
    demand((sweep.ended is not None) == (sweep.ended_at is not None), "an end without a time")
    demand(sweep.ended is None or sweep.ended in FINAL, "an end that is none", sweep.ended)
    demand(sweep.ended is None or sweep.active == 0, "a sweep ended while attempts are alive")


def check_ready(sweep: Sweep) -> None:
    """Each ready task stands in the queue of its own group."""
    demand(len(sweep.group_of) in (0, sweep.total), "some tasks say what they need", len(sweep.group_of))
    for group, queue in sweep.ready.groups():
        demand(len(queue) > 0, "a group of which nothing is ready", group)
        for index in queue if sweep.needs else ():
            demand(sweep.group_of[index] == group, "a task stands in another group's queue", index, group)
            demand(sweep.needs_of(index) == sweep.needs[group], "a task asks for something else", index)


def check_money(sweep: Sweep) -> None:
    """The sums that are kept equal those over the attempts."""
    rate, starts, spent = (dict.fromkeys(sweep.sources, 0.0) for _ in range(3))
    running: list[tuple[float, float, float]] = []
    unpriced = dict.fromkeys(sweep.sources, 0)
    for task in sweep.tasks:
        for attempt in task.attempts:
            name, begun = attempt.source, attempt.started_at
            if begun is None:
                continue
            if attempt.rate is None:
                unpriced[name] += sweep.sources[name].kind in PRICED
            elif attempt.ended_at is None:
                rate[name] += attempt.rate
                starts[name] += attempt.rate * begun
                running.append((begun, attempt.rate, sweep.sources[name].least_seconds))
            else:
                # What was counted while an end was not seen yet is not taken back.
                seconds = max(sweep.sources[name].least_seconds, attempt.ended_at - begun)
                cost = attempt.cost or 0.0
                demand(cost >= attempt.rate * seconds / 3600 - 1e-9, "it has cost more", task, attempt)
                spent[name] += cost
    for name, source in sweep.sources.items():
        demand(
            isclose(source.rate, rate[name], abs_tol=1e-6),
            "a rate is not the sum",
            name,
            source.rate,
            rate[name],
        )
        near = isclose(source.rate_starts, starts[name], rel_tol=1e-9, abs_tol=1.0)
        demand(near, "rates times starts are not the sum", name, source.rate_starts, starts[name])
        near = isclose(source.spent, spent[name], rel_tol=1e-9, abs_tol=1e-6)
        demand(near, "what was spent is not the sum", name, source.spent, spent[name])
        kept = source.unpriced
        demand(kept == unpriced[name], "attempts without a price are not the sum", name, kept, unpriced[name])
    for now in (sweep.updated_at, sweep.updated_at + 1000.0):
        cost = sum(spent.values())
        cost += sum(usd * max(least, now - begun) / 3600 for begun, usd, least in running)
        demand(
            isclose(sweep.cost(now), cost, rel_tol=1e-6, abs_tol=1e-3), "the cost is not the sum", now, cost
        )


_PLAIN = tuple(
    f.name
    for f in fields(Sweep)
    if f.name not in {"tasks", "sources", "ready", "delayed", "notes", "unknown", "given_up"}
)
_ORDERED = ("retry_due", "cancel_due", "drop_due", "force_due", "failures", "launch_failures")


def dump(sweep: Sweep) -> dict[str, object]:
    """The sweep written down: two that dump alike cannot be told apart by anything that is decided or shown."""
    out: dict[str, object] = {name: getattr(sweep, name) for name in _PLAIN}
    out |= {name: list(getattr(sweep, name)) for name in _ORDERED}
    out["requests"] = list(sweep.requests.items())
    out["ready"] = list(sweep.ready)
    out["delayed"] = sorted(entry for entry in sweep.delayed if sweep.tasks[entry[1]].not_before == entry[0])
    out["unknown"] = list(sweep.unknown.items())
    out["given_up"] = list(sweep.given_up)
    out["notes"] = list(sweep.notes)
    out["sources"] = list(sweep.sources.values())
    out["tasks"] = sweep.tasks
    return out


def demand_same(one: Sweep, other: Sweep, what: str) -> None:
    left, right = dump(one), dump(other)
    if left != right:
        differing = {name: (left[name], right[name]) for name in left if left[name] != right[name]}
        raise Broken(f"{what}: {differing}")


# --- the journal and the truth -----------------------------------------------------------------------------------


class Truth(Protocol):
    """What the witness must know of the world beyond the journal."""

    hosts: Mapping[str, Host]
    """By source."""
    power_failed: bool

    def token(self, ref: ev.Ref) -> str: ...
    def say(self, text: str) -> None: ...


class Witness:
    """Follows the journal as a viewer does, and holds every record against the rules and the truth."""

    def __init__(self, disk: SimDisk, journal: Path, truth: Truth) -> None:
        self._disk, self._journal, self._truth = disk, journal, truth
        self.sweep = Sweep()
        self.taken: list[str] = []
        """Ids of the requests in the journal, in their order."""
        self._faults: set[ev.Ref] = set()
        """Attempts that ended by a fault of their source."""
        self._forced: set[ev.Ref] = set()
        """Attempts a forced cancel was journalled for."""
        self._to_force: set[ev.Ref] = set()
        """Attempts for which one was requested."""
        self._costs: set[ev.Ref] = set()
        """Attempts that were to be ended when the budget was spent."""
        self._budget_spent = False
        self._engine_began = 0.0
        self._seen_at: dict[ev.Ref, float] = {}
        """When attempts were last seen running."""
        self._read_at = -1
        self._reader = JournalReader(disk, journal)

    def catch_up(self) -> bool:
        """Read on; whether there was anything new."""
        if self._disk.changes == self._read_at:
            return False
        self._read_at = self._disk.changes
        before = self.sweep.seq
        try:
            self._follow(judge=True)
        except JournalForked:
            self._truth.say("the journal was forked: the witness reads it again")
            self.read_again()
        return self.sweep.seq != before

    def read_again(self) -> None:
        """From the first event on; what was judged already is not judged again."""
        self.sweep, self.taken = Sweep(), []
        self._forced, self._to_force, self._faults, self._costs = set(), set(), set(), set()
        self._budget_spent = False
        self._reader = JournalReader(self._disk, self._journal)
        self._follow(judge=False)

    def demand_obeyed(self) -> None:
        """An engine came to rest: nothing that was asked of it is left to do."""
        sweep = self.sweep
        for ref in self._to_force - self._forced:
            task = sweep.tasks[ref.task]
            alive = task.state in ACTIVE and len(task.attempts) == ref.attempt
            demand(not alive, "a forced cancel came to its source as a gentle one", ref)
        for ref in self._costs:
            task = sweep.tasks[ref.task]
            alive = len(task.attempts) == ref.attempt and task.state in (L, R)
            demand(not alive, "what costs goes on though the budget is spent", ref)
        spent = sum(source.spent for source in sweep.sources.values())
        watched = sweep.budget and not sweep.budget_spent and sweep.ended is None
        demand(not watched or spent < sweep.budget, "the budget is overrun in silence", spent, sweep.budget)

    def _follow(self, *, judge: bool) -> None:
        for line in self._reader.read():
            record = event_lines.decode(line.text)
            demand(
                event_lines.encode(record) == line.text,
                "a line does not survive decode and encode",
                line.text,
            )
            self._truth.say(f"    {line.path.stem} {line.text}")
            self._take(record, judge=judge)

    def _take(self, record: ev.Record, *, judge: bool) -> None:
        sweep, event = self.sweep, record.event
        before = {index: sweep.tasks[index].state for index in _concerned(event)}
        if judge:
            self._judge_before(record.at, event)
        apply(sweep, record)
        for index, state in before.items():
            now = sweep.tasks[index].state
            demand(now is state or now in LEGAL[state], f"task {index + 1} went from {state} to", now)
        match event:
            case ev.RequestTaken() | ev.RequestRefused():
                demand(event.request not in self.taken, "a request was obeyed twice", event.request)
                self.taken.append(event.request)
                if isinstance(event, ev.RequestTaken) and event.verb == "budget":
                    self._budget_spent = False
                if isinstance(event, ev.RequestTaken) and event.verb == "cancel" and event.force:
                    tasks = (sweep.tasks[index] for index in event.tasks or range(sweep.total))
                    self._to_force |= {ev.Ref(t.index, len(t.attempts)) for t in tasks if t.state in ACTIVE}
            case ev.Ended():
                self._faults |= {ev.Ref(end.task, end.attempt) for end in event.attempts if end.source_fault}
            case ev.OutOfReach():
                self._faults.update(event.attempts)
            case ev.BudgetSpent():
                self._budget_spent = True
                self._costs = {
                    ev.Ref(index, len(sweep.tasks[index].attempts))
                    for source in sweep.sources.values()
                    if event.action == "terminate" and (source.kind == "ec2" or source.price is not None)
                    for index in source.active
                }
            case ev.Cancelling(force=True):
                self._forced.update(event.attempts)
            case ev.EngineStarted():
                self._engine_began = record.at
            case ev.Running():
                self._seen_at |= {
                    ev.Ref(started.task, started.attempt): record.at for started in event.attempts
                }
            case _:
                pass
        if judge:
            self._judge_after(event)

    def _judge_before(self, at: float, event: ev.Event) -> None:
        sweep = self.sweep
        demand(at >= sweep.updated_at, "time went back in the journal", at, sweep.updated_at)
        match event:
            case ev.Launching():
                source = sweep.sources[event.source]
                demand(not sweep.paused, "a launch while paused")
                demand(not sweep.cancel_requested, "a launch while cancelling")
                demand(sweep.ended is None, "a launch after the end")
                demand(source.unreachable_since is None, "a launch on a source that is away")
                demand(not source.removed, "a launch on a source that was removed")
                demand(not self._budget_spent, "a launch though the budget is spent")
                demand(
                    0 < len(event.attempts) >= event.limit, "a launch of nothing, or a limit of more", event
                )
                for ref in event.attempts:
                    demand(
                        source.suits(sweep.needs_of(ref.task)),
                        "launched where it may not run",
                        ref,
                        source.name,
                    )
                if source.disabled_since is not None:
                    demand(
                        len(event.attempts) == 1 and source.probing is None,
                        "a disabled source got more than a probe",
                    )
                    demand(
                        source.probe_at is not None and source.probe_at <= at + ROUNDING,
                        "probed too early",
                        source.name,
                    )
                demand(
                    not any(ref.task in sweep.drop_due for ref in event.attempts),
                    "a cancelled task was launched",
                )
                if sweep.launch_delay and sweep.last_launch_at is not None:
                    demand(len(event.attempts) == 1, "two launches at once in spite of a launch delay")
                    waited = at - sweep.last_launch_at
                    demand(
                        waited >= sweep.launch_delay - ROUNDING,
                        "launched too early by the launch delay",
                        waited,
                    )
                for ref in event.attempts:
                    wait = sweep.tasks[ref.task].not_before
                    demand(
                        wait is None or wait <= at + ROUNDING,
                        "a retry was launched before its time",
                        wait,
                        at,
                    )
            case ev.Requeued():
                for delay in event.tasks:
                    task = sweep.tasks[delay.task]
                    tries, last = len(task.attempts) - task.tries_before, task.attempts[-1]
                    if ev.Ref(task.index, last.number) in self._faults:
                        demand(task.losses < LOSSES and task.refusals < REFUSALS, "lost too often", task)
                        continue
                    demand(task.state is F and tries <= sweep.retry_max, "retried too often", task)
                    demand(last.kind in sweep.retry_on, "retried after a failure that is not to be", task)
                    wait = sweep.retry_backoff * 2 ** (tries - 1)
                    demand(delay.not_before - at >= wait - ROUNDING, "retried too early", delay, at, wait)
            case ev.Ended():
                for end in event.attempts:
                    self._judge_end(at, end)
            case ev.Limited():
                source = sweep.sources[event.source]
                demand(event.limit > 0 and event.batch in source.batches, "a limit of nothing", event)
            case ev.Withdrawing():
                source = sweep.sources[event.source]
                if source.takes_back:
                    demand(sweep.paused, "taken back though it shall be launched", event)
                    for ref in event.attempts:
                        demand(sweep.tasks[ref.task].state is L, "taken back though it runs", ref)
                    return
                demand(not sweep.paused, "withdrawn while paused")
                # Nothing is taken back for one that is degraded: work that it alone suits does not count.
                free = [s for s in sweep.sources.values() if s.free and not s.queue]
                idle = [s for s in free if s.level != "degraded"]
                for _, queue in sweep.ready.groups():
                    needs = sweep.needs_of(queue.first(1)[0])
                    other = any(s.suits(needs) for s in idle)
                    demand(not other, "withdrawn though there is other work", needs)
                for ref in event.attempts:
                    demand(ref.task in source.waiting, "asked back though it does not wait", ref)
            case ev.Withdrawn():
                for ref in event.attempts:
                    run = self._run_of(ref)
                    demand(
                        run is not None and run.state == "revoked", "withdrawn, and yet it may run", ref, run
                    )
            case ev.Recovered():
                for end in event.attempts:
                    run = self._run_of(ev.Ref(end.task, end.attempt))
                    demand(run is not None and run.state == "ended", "recovered, but not ended", end)
                    assert run is not None
                    demand(run.exit_code == 0 and not run.stopped, "recovered, but not completed", end, run)
                    demand(
                        sweep.tasks[end.task].state not in ACTIVE, "recovered beside an active attempt", end
                    )
            case ev.Stray():
                for end in event.attempts:
                    task = sweep.tasks[end.task]
                    active = task.state in ACTIVE and len(task.attempts) == end.attempt
                    demand(not active, "the end of a living attempt was called a stray", end)
            case ev.Collected():
                for brought in event.attempts:
                    run = self._run_of(ev.Ref(brought.task, brought.attempt))
                    demand(run is None or run.state != "running", "brought home before its end", brought)
            case ev.BudgetWarned() | ev.BudgetSpent():
                part = 1.0 if isinstance(event, ev.BudgetSpent) else BUDGET_WARNING
                demand(sweep.budget > 0 and not self._budget_spent, "a budget that nobody watches", event)
                demand(event.cost >= part * sweep.budget - CENT, "told too early", event, sweep.budget)
                demand(event.cost <= sweep.cost(at) + CENT, "it has not cost that", event, sweep.cost(at))
            case ev.SourceHealth():
                source = sweep.sources[event.source]
                last, words = source.health_at, (event.level, event.queue.partition(";")[0])
                same = words == (source.level, source.queue_words.partition(";")[0])
                soon = last is not None and at < last + REPORT_EVERY - ROUNDING
                demand(not (same and soon), "health that says nothing new", event, at)
                whole = event.queue.startswith("it ") and event.queue.endswith(" here")
                demand(whole, "words were lost", event)
            case ev.SourceRoom() if event.room:
                source = sweep.sources[event.source]
                rooms = (len(source.active), 2 * source.room)
                demand(event.room in rooms, "room for other than what it holds, or twice that", event, rooms)
            case ev.SweepEnded():
                demand(sweep.active == 0, "the sweep ended while attempts are alive")
                for task, number in sweep.uncollected:
                    source = sweep.sources[sweep.tasks[task].attempts[number - 1].source]
                    since = source.unreachable_since
                    if source.disabled_cause == "start":
                        continue  # there is nobody to ask
                    demand(
                        since is not None and at >= since + sweep.grace_of(source) - ROUNDING,
                        "ended before files were home that could have come",
                        task,
                        number,
                    )
                left = sweep.counts[P]
                demand(not left or bool(event.reason), "the sweep ended with tasks left and no reason", left)
            case _:
                pass

    def _run_of(self, ref: ev.Ref) -> Run | None:
        """What truly became of an attempt."""
        source = self.sweep.tasks[ref.task].attempts[ref.attempt - 1].source
        return self._truth.hosts[source].claims.get(self._truth.token(ref))

    def _judge_after(self, event: ev.Event) -> None:
        sweep = self.sweep
        if isinstance(event, ev.Launching):
            source = sweep.sources[event.source]
            demand(source.load <= source.slots, f"{source.name} has more attempts than slots", source)
            room = source.room if source.disabled_since is None else 0
            demand(not room or source.load <= room, f"{source.name} has more attempts than room", source)
            demand(source.queue or not source.held, f"{source.name} holds attempts back and has no queue")
            limit = sweep.max_concurrent
            demand(
                limit is None or sweep.load <= limit, "more attempts than max_concurrent", sweep.load, limit
            )

    def _judge_end(self, at: float, end: ev.End) -> None:
        """Hold a recorded end against what truly happened to the attempt."""
        truth, sweep = self._truth, self.sweep
        task = sweep.tasks[end.task]
        source = sweep.sources[task.attempts[-1].source]
        if end.message.find(GIVEN_UP) >= 0:
            # Nobody asked while no engine ran.
            since = task.unknown_since if task.unknown_since is not None else source.unreachable_since
            demand(since is not None, "an attempt was given up that nobody doubted", end)
            seen_at = (
                self._seen_at.get(ev.Ref(end.task, end.attempt), 0.0)
                if source.unreachable_since is None
                else 0.0
            )
            doubted = max(since or 0.0, self._engine_began, seen_at)
            demand(
                at - doubted >= sweep.grace_of(source) - ROUNDING,
                "given up before the grace period ended",
                at - doubted,
                end,
            )
            demand((end.state, end.kind) == (F, "source_lost"), "given up, but recorded as", end)
            return
        run = truth.hosts[source.name].claims.get(truth.token(ev.Ref(end.task, end.attempt)))
        demand(run is not None, "an end was recorded of an attempt that may yet begin", end)
        assert run is not None
        demand(run.state != "running", "an end was recorded of an attempt that is alive", end, run)
        if end.state == "completed":
            demand(
                run.exit_code == 0 and run.signal is None and run.failure is None,
                "this did not complete",
                end,
                run,
            )
            demand(
                not (run.stopped and task.cancel_requested), "completed, though our signal ended it", end, run
            )
        elif end.state == "cancelled":
            demand(task.cancel_requested, "cancelled without a journalled cancel", end)
            demand(run.exit_code != 0 or run.stopped, "it completed before it was cancelled", end, run)
        elif end.kind == "launch_failed":
            demand(run.state == "revoked", "called launch_failed, but it ran", end, run)
        elif not truth.power_failed:
            known = {"exit": run.exit_code not in (None, 0), "signal": run.signal is not None}
            holds = known.get(str(end.kind), end.kind == run.failure or run.state in ("lost", "revoked"))
            demand(holds, "the kind of failure is wrong", end, run)


def _concerned(event: ev.Event) -> set[int]:
    match event:
        case (
            ev.Launching() | ev.Running() | ev.Ended() | ev.Unknown() | ev.Cancelling() | ev.Withdrawn()
            | ev.Recovered()
        ):  # fmt: skip
            return {item.task for item in event.attempts}
        case ev.Requeued():
            return {item.task for item in event.tasks}
        case ev.Dropped() | ev.RequestTaken():
            return set(event.tasks)
        case _:
            return set()
