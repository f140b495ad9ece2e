"""What a sweep knows of one source: its load, its queue, and whether it is trusted. Part of the read model of `sweep`.

Everything here is changed by `sweep.apply` alone, and each change costs O(1) in the number of tasks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Literal

from . import events as ev
from .health import HealthRules, Level


class TaskQueue:
    """Tasks in their order, first come first served; each stands in it at most once.

    An `OrderedDict` is a linked list with an index: a task leaves from anywhere in O(1), and both ends are found in
    O(1) however many left before (a plain dict would walk over their places).
    """

    __slots__ = ("_order",)

    def __init__(self, tasks: Iterable[int] = ()) -> None:
        self._order = OrderedDict[int, None].fromkeys(tasks)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, task: int) -> bool:
        return task in self._order

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskQueue) and self._order == other._order

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TaskQueue({list(self._order)})"

    def push(self, task: int) -> None:
        """At the end, unless it waits already."""
        self._order.setdefault(task)

    def discard(self, task: int) -> None:
        self._order.pop(task, None)

    def first(self, count: int) -> list[int]:
        """Up to `count` tasks from the front; the queue stays as it is."""
        return list(islice(self._order, count))

    def last(self, count: int) -> list[int]:
        """Up to `count` tasks from the end, the last one first; the queue stays as it is."""
        return list(islice(reversed(self._order), count))


class ReadyTasks:
    """Tasks that may be launched now: one queue for each group of tasks with the same needs (`group_of`, by task;
    empty: all are of one). Groups come in the order of their numbers.
    """

    __slots__ = ("_group_of", "_queues")

    def __init__(self, tasks: Iterable[int] = (), group_of: Sequence[int] = ()) -> None:
        self._group_of = group_of
        if not group_of:
            self._queues = {0: TaskQueue(tasks)}
            return
        self._queues = {group: TaskQueue() for group in sorted(set(group_of))}
        for task in tasks:
            self.push(task)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __contains__(self, task: int) -> bool:
        return task in self._queues[self._group(task)]

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._queues.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReadyTasks) and self._filled() == other._filled()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ReadyTasks({list(self)})"

    def _group(self, task: int) -> int:
        return self._group_of[task] if self._group_of else 0

    def _filled(self) -> dict[int, TaskQueue]:
        return {group: queue for group, queue in self._queues.items() if len(queue)}

    def groups(self) -> list[tuple[int, TaskQueue]]:
        """The groups of which any task is ready, with their queues."""
        return list(self._filled().items())

    def push(self, task: int) -> None:
        """At the end of its group, unless it waits already."""
        self._queues[self._group(task)].push(task)

    def discard(self, task: int) -> None:
        self._queues[self._group(task)].discard(task)

    def first(self, count: int) -> list[int]:
        """Up to `count` tasks from the front, group after group; the queues stay as they are."""
        return list(islice(self, count))


@dataclass(slots=True)
class Batch:
    """A launch that a source with a queue still holds attempts of."""

    limit: int
    """How many of it may run at once."""
    active: int = 0
    waiting: int = 0
    """How many wait in the source's own queue, as it said last, and why in the scheduler's words (`Resources`)."""
    reason: str = ""

    @property
    def held(self) -> int:
        """Attempts that wait behind the limit."""
        return max(0, self.active - self.limit)


Condition = Literal["", "healthy", "degraded", "disabled", "unreachable", "removed"]


@dataclass(slots=True)
class SourceState:
    """What the sweep knows of one source. `slots`: how many attempts may run there at a time."""

    name: str
    kind: str
    slots: int
    options: tuple[tuple[str, str], ...] = ()
    queue: bool = False
    """Whether it has a queue of its own, and may hold more attempts than may run."""
    elsewhere: bool = False
    """Whether its attempts write on another machine."""
    grace: float = 0.0
    """Seconds it may be silent before its work goes elsewhere; 0: as the sweep says."""
    removed: bool = False
    unheard: bool = False
    """Whether the engine that runs now had no answer of it yet, and attempts of an earlier one may live there."""
    unreachable_since: float | None = None
    unreachable_reason: str = ""
    heard_at: float = 0.0
    """When it last told of an attempt."""

    active: set[int] = field(default_factory=set[int])
    """Tasks whose attempt may be alive here."""
    batches: dict[str, Batch] = field(default_factory=dict[str, Batch])
    """Of a source with a queue: what it was given and still holds, oldest first."""
    held: int = 0
    """Attempts that wait behind the limit of their batch, over all batches."""
    waiting: TaskQueue = field(default_factory=TaskQueue)
    """Of a source with a queue: tasks launched and not seen running, that may be asked back."""
    asked: dict[int, None] = field(default_factory=dict[int, None])
    """Tasks that were asked back, and of which nothing was heard since."""

    rate: float = 0.0
    """USD per hour of all that runs here now, as far as it is known."""
    rate_starts: float = 0.0
    """The sum of rate times start over the same, so that the cost at any time is known without looking at each."""
    spent: float = 0.0
    """USD that attempts which have ended have cost."""
    young: dict[float, tuple[float, int]] = field(default_factory=dict[float, tuple[float, int]])
    """Of those that may have run for less than `least_seconds`: by their start the sum of their rates, and how many."""
    unpriced: int = 0
    """Attempts that cost something nobody knows."""
    blind_told: bool = False
    """Whether it was said that the budget does not see them."""
    listening_since: float = 0.0
    """Since when an engine hears it without a gap; what ended before may have ended long before that was seen."""

    launched: int = 0
    completed: int = 0
    failed: int = 0
    busy_seconds: float = 0.0
    """Slot-seconds used by attempts that have ended."""
    measured: int = 0
    measured_seconds: float = 0.0
    """Attempts that ended by themselves, and how long they took together."""
    judged: int = 0
    judged_failed: int = 0
    """Of those, since it was last enabled: all, and those that failed."""

    proven: bool = False
    """Whether an attempt was ever seen to begin here."""
    strikes: int = 0
    strike_reason: str = ""
    """Failures in a row to reach it or to launch there, and the latest."""
    disabled_since: float | None = None
    disabled_reason: str = ""
    disabled_cause: ev.Cause | Literal[""] = ""
    disables: int = 0
    """How often it was disabled: each time it is left alone twice as long."""
    failed_probes: int = 0
    given_over: bool = False
    """Whether it is not tried again by itself, even if it answers: too many probes failed, or it could not be made."""
    probe_at: float | None = None
    """When a disabled source is given a probe; None: not by itself."""
    probing: int | None = None
    """The task that is its probe now."""
    verdict: str = ""
    """What the last probe came to: `PROVED`, or why it failed; empty until it is known, and once it was acted on."""

    keeps_waiting: bool = False
    """Whether the last that was heard of its queue is that it was waited in for nothing."""

    room: int = 0
    room_reason: str = ""
    room_at: float = 0.0
    """How many attempts there is room for, whatever the slots, why, and since when; 0: for as many as it has slots."""

    level: Level | Literal[""] = ""
    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None
    per_core: float | None = None
    """Load average per core."""
    queue_words: str = ""
    health_at: float | None = None

    # --- what follows from it ------------------------------------------------------------------------------------

    @property
    def load(self) -> int:
        """Attempts that may run now: what counts against `slots`."""
        return len(self.active) - self.held

    @property
    def usable(self) -> bool:
        """Whether it may be given tasks at all."""
        return not self.removed and self.unreachable_since is None and self.disabled_since is None

    @property
    def free(self) -> int:
        """Slots that may take a new attempt now (0 while it may not be given any)."""
        slots = min(self.slots, self.room) if self.room else self.slots
        return max(0, slots - self.load) if self.usable else 0

    def suits(self, needs: ev.Needs) -> bool:
        """Whether it is what these tasks ask for. A source that is in no region is in all."""
        if needs.kinds and self.kind not in needs.kinds:
            return False
        if not needs.regions:
            return True
        region = self.option("region")
        return not region or region in needs.regions

    def option(self, name: str) -> str:
        return next((value for key, value in self.options if key == name), "")

    @property
    def price(self) -> float | None:
        """USD per slot and hour, where its configuration says."""
        text = self.option("cost_per_hour")
        return float(text) if text else None

    @property
    def least_seconds(self) -> float:
        """Seconds that are charged for an attempt at least."""
        return LEAST.get(self.kind, 0.0)

    @property
    def takes_back(self) -> bool:
        """Whether it has no queue, and can all the same give back what it has not sent to anybody yet."""
        return self.kind in PRICED

    def cost(self, now: float) -> float:
        """USD that its attempts have cost until `now`, as far as prices are known."""
        least = self.least_seconds
        ahead = sum(rate * max(0.0, start + least - now) for start, (rate, _) in self.young.items())
        return self.spent + max(0.0, now * self.rate - self.rate_starts + ahead) / 3600

    def is_awaited(self, now: float) -> bool:
        """Whether it may be about to say that what ran here when the last engine stopped ended long ago.

        Not of one that this engine found away or was refused by, nor of one that says nothing: costs go on there.
        """
        told = (self.unreachable_since, self.disabled_since if self.disabled_cause == "refused" else None)
        return (
            self.unheard
            and now < self.awaited_until
            and not any(since is not None and since > self.listening_since for since in told)
        )

    @property
    def awaited_until(self) -> float:
        """When the patience with a source that the engine has not heard since its start is over."""
        return self.listening_since + HEARD_WITHIN

    def charged(self, rate: float, seconds: float) -> float:
        """USD for an attempt of `seconds`."""
        return rate * max(self.least_seconds, seconds) / 3600

    def heard_at_once(self, ended_at: float) -> bool:
        """Whether somebody listened when an attempt ended at that time."""
        return not self.unheard and self.unreachable_since is None and ended_at >= self.listening_since

    @property
    def disabled_for_good(self) -> bool:
        """Disabled, and not tried again by itself: it waits for a person, or (refused) for its own answer."""
        return (
            self.disabled_since is not None
            and self.probe_at is None
            and self.probing is None
            and not self.verdict
        )

    @property
    def waits_for_its_answer(self) -> bool:
        """Whether it refused us, and is tried again as soon as it answers otherwise."""
        return self.disabled_cause == "refused" and self.disabled_for_good and not self.given_over

    @property
    def mean_seconds(self) -> float | None:
        """How long an attempt takes here; None until one has ended by itself."""
        return self.measured_seconds / self.measured if self.measured else None

    @property
    def condition(self) -> Condition:
        """In one word; empty where nothing is known."""
        if self.removed:
            return "removed"
        if self.unreachable_since is not None:
            return "unreachable"
        return "disabled" if self.disabled_since is not None else self.level

    # --- attempts ------------------------------------------------------------------------------------------------

    def take(self, batch: str, tasks: Sequence[int], limit: int) -> None:
        """Attempts of these tasks were launched here; `limit` 0: all may run."""
        self.active.update(tasks)
        self.launched += len(tasks)
        if limit:
            made = self.batches[batch] = Batch(limit, len(tasks))
            self.held += made.held
        if self.queue:
            for task in tasks:
                self.waiting.push(task)
        if self.disabled_since is not None:
            self.probing, self.probe_at = tasks[0], None

    def charge(self, rate: float | None, start: float, at: float) -> None:
        """An attempt began that costs `rate` USD per hour; None: nobody knows what, if it costs anything."""
        if rate is not None:
            self.rate += rate
            self.rate_starts += rate * start
            if self.least_seconds:
                self._grown(at)
                sum_of, count = self.young.get(start, (0.0, 0))
                self.young[start] = sum_of + rate, count + 1
        elif self.kind in PRICED:
            self.unpriced += 1

    def uncharge(self) -> None:
        """What an attempt of unknown price costs is known now, and charged anew."""
        if self.kind in PRICED:
            self.unpriced -= 1

    def _grown(self, at: float) -> None:
        """Forget the oldest of the young that have run long enough: they cost nothing beyond their time."""
        while self.young and (first := next(iter(self.young))) + self.least_seconds <= at:
            del self.young[first]

    def settle(self, rate: float | None, start: float, usd: float | None) -> None:
        """Such an attempt has ended, and has cost `usd`."""
        if rate is not None:
            self.rate -= rate
            self.rate_starts -= rate * start
            self.spent += usd or 0.0
            sum_of, count = self.young.pop(start, (0.0, 0))
            if count > 1:
                self.young[start] = sum_of - rate, count - 1
        if not self.active:
            self.rate = self.rate_starts = 0.0  # what rounding has left
            self.young.clear()

    def began(self, task: int) -> None:
        """An attempt was seen running."""
        self.waiting.discard(task)
        self.asked.pop(task, None)
        self.strikes, self.strike_reason, self.proven = 0, "", True
        self.keeps_waiting = False
        if self.probing == task and self.disabled_cause != "failures":
            # What had failed was to reach it and to launch there; to wait for the end could take days.
            self.probing, self.verdict = None, PROVED

    def release(self, task: int, batch: str) -> None:
        """An attempt has ended, or was taken back."""
        self.active.discard(task)
        self.waiting.discard(task)
        self.asked.pop(task, None)
        made = self.batches.get(batch)
        if made is not None:
            self.held -= made.held
            made.active -= 1
            self.held += made.held
            if not made.active:
                del self.batches[batch]

    def ended(self, task: int, end: ev.End, seconds: float | None, at: float) -> None:
        """What an end that was recorded says of the source. `seconds`: how long the attempt ran."""
        by_itself = end.state == "completed" or (end.state == "failed" and end.kind in BY_ITSELF)
        if by_itself:
            self.strikes, self.strike_reason, self.proven = 0, "", True
            self.judged += 1
            self.judged_failed += end.state == "failed"
            if seconds is not None:
                self.measured += 1
                self.measured_seconds += seconds
        if self.probing == task:
            self.probing = None
            if end.state == "cancelled" or end.final:
                self.probe_at = at  # it says nothing of the source
            elif end.state == "completed" or (by_itself and self.disabled_cause != "failures"):
                self.verdict = PROVED
            else:
                self.verdict = f"its probe failed: {end.message or end.kind}"

    def limit_batch(self, batch: str, limit: int) -> bool:
        """Whether it holds that batch."""
        made = self.batches.get(batch)
        if made is None:
            return False
        self.held -= made.held
        made.limit = limit
        self.held += made.held
        return True

    # --- trust ---------------------------------------------------------------------------------------------------

    def disable(self, event: ev.SourceDisabled, at: float, rules: HealthRules) -> None:
        if self.disabled_since is None:
            self.disabled_since = at
        else:
            self.failed_probes += 1
        self.disables += 1
        self.disabled_reason, self.disabled_cause = event.reason, event.cause
        self.probing, self.verdict = None, ""
        if event.cause == "full":
            # Room comes back by itself, mostly within hours: to give up a sweep for that would be worse than to wait.
            tried = at - self.disabled_since >= NO_ROOM
        else:
            tried = self.failed_probes >= rules.probes
        # Who refuses us does so however long we wait: only its answer, or a person, brings it back.
        self.given_over = tried or event.cause == "start"
        waits = not self.given_over and event.cause != "refused"
        self.probe_at = at + self.rest(rules) if waits else None

    def rest(self, rules: HealthRules) -> float:
        """Seconds it is left alone, being disabled as it is."""
        full = self.disabled_cause == "full"
        return rules.rest(min(self.disables, FULL_RESTS) if full else self.disables)

    def enable(self) -> None:
        self.disabled_since, self.disabled_reason, self.disabled_cause = None, "", ""
        self.failed_probes, self.probe_at, self.probing, self.verdict = 0, None, None, ""
        self.given_over = False
        self.strikes, self.strike_reason = 0, ""
        self.judged = self.judged_failed = 0

    def answers(self, at: float) -> None:
        """It can be asked again: if it is disabled, a probe is due at once."""
        self.listening_since = at
        self.unreachable_since, self.unreachable_reason, self.unheard = None, "", False
        if self.disabled_since is not None and self.probing is None and not self.given_over:
            self.probe_at = at

    def fits(self, room: int, reason: str, at: float) -> None:
        """There is room for `room` attempts; 0: for as many as it has slots."""
        self.room, self.room_reason, self.room_at = room, reason if room else "", at

    def felt(self, event: ev.SourceHealth, at: float) -> None:
        self.level, self.health_at, self.queue_words = event.level, at, event.queue
        self.cpu, self.memory, self.disk, self.per_core = event.cpu, event.memory, event.disk, event.load


BY_ITSELF = frozenset({"exit", "signal", "timeout", "out_of_memory"})
"""Kinds of failure that are the task's own doing: they say that the source could run it."""
PRICED = frozenset({"ec2"})
"""Kinds whose every attempt costs something."""
LEAST = {"ec2": 60.0}
"""Seconds charged at least, by kind ("Amazon EC2 On-Demand Pricing": per second, with a minimum of 60 seconds)."""
NO_ROOM = 86_400.0
"""Seconds for which a source without room is asked again before it is given up."""
FULL_RESTS = 3
"""Times that its rest is doubled at most, less one: by default it is asked again every 20 minutes."""
HEARD_WITHIN = 120.0
"""Seconds a budget waits after an engine's start for what a source says of those that ran there. A first look takes at
most some tens of seconds; of one that was away before and still is, nothing more is journalled."""
PROVED = "proved"
