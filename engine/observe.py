"""From what a source says to what is true: observations become events, or nothing.

A source may answer late, twice, or about an attempt that was given up long ago. Only news about the latest attempt of a
task that may be alive becomes an event; an end that comes again is a stray, kept and never counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from . import events as ev
from .health import REPORT_EVERY, level_of
from .sweep import ACTIVE, Sweep, TaskState


@dataclass(frozen=True, slots=True)
class SawRunning:
    """The attempt runs, or ran a moment ago."""

    task: int
    attempt: int
    handle: str = ""
    started_at: float | None = None
    rate: float | None = None
    """USD per hour of what it runs on, where the source knows."""


@dataclass(frozen=True, slots=True)
class SawEnd:
    """The attempt has ended and nothing of it is alive.

    Exactly one of `exit_code`, `signal`, `failure` tells how. `stopped`: our own TERM or KILL reached it before its
    end, so that after a journalled cancel it counts as cancelled whatever its exit code.
    """

    task: int
    attempt: int
    exit_code: int | None = None
    signal: int | None = None
    failure: ev.FailureKind | None = None
    message: str = ""
    stopped: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    handle: str = ""
    rate: float | None = None
    """USD per hour of what it ran on, where the source knows."""


@dataclass(frozen=True, slots=True)
class SawNothing:
    """The attempt never ran and never will: its claim was revoked, or the launch itself was refused.

    `failure` is None if that is what a cancel wanted.
    """

    task: int
    attempt: int
    message: str = ""
    source_fault: bool = False
    """Whether the source is to blame (no such partition, a full disk there): the task is tried elsewhere."""
    final: bool = False
    """Whether the task is to blame, as it will be each time it is launched like this."""


@dataclass(frozen=True, slots=True)
class CannotTell:
    """Nobody can say whether the attempt is alive (it belongs to another host)."""

    task: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class SourceAway:
    """The source itself could not be asked."""

    reason: str


@dataclass(frozen=True, slots=True)
class SourceBack:
    """The source answers: said with its first answer ever, and with the first after it was away."""


@dataclass(frozen=True, slots=True)
class SourceRefused:
    """The source answered and will not serve us, however long we wait: an unknown host key, a refused login, no such
    partition, a project that differs. `reason` says the cause and the remedy.

    It is disabled at once. If nothing else was said in that poll, what it holds is unknown from then on: attempts it
    was asked to launch and did not take are told as `SawNothing(source_fault=True)` in the same poll.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class SourceFull:
    """There is no room for more than the source holds: no capacity, a quota. `reason` in the words of who said so.

    The attempts it did not take are told as `SawNothing(source_fault=True)` in the same poll.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class SawWithdrawn:
    """The attempt had not begun and never will: its claim was revoked because a withdrawal asked for it."""

    task: int
    attempt: int


@dataclass(frozen=True, slots=True)
class SawWaiting:
    """`count` attempts of this batch wait in the source's own queue; `reason` in the scheduler's words (Resources)."""

    batch: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class SawHealth:
    """How the source feels: percentages of its machine, load per core; None where nobody can say.

    `queue` in words of a scheduler: `12 running, 340 waiting`; those of one poll belong together. They are journalled
    as soon as they change by more than a count, so what has not changed is said in the same words.
    """

    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None
    load: float | None = None
    queue: str = ""


@dataclass(frozen=True, slots=True)
class SawCollected:
    """What the attempt wrote elsewhere is at home: `files` of `size` bytes; `problem` says, in words, what is not."""

    task: int
    attempt: int
    files: int
    size: int
    problem: str = ""


Observation: TypeAlias = (
    SawRunning | SawEnd | SawNothing | SawWithdrawn | SawWaiting | SawHealth | CannotTell | SourceAway | SourceBack
    | SourceRefused | SourceFull | SawCollected
)  # fmt: skip


def interpret(sweep: Sweep, source: str, observations: Iterable[Observation], now: float) -> list[ev.Event]:
    """The events that follow from what `source` said at `now`, in the order they must be applied.

    The sweep is not changed. Several observations of one attempt in one call are allowed; the first end counts.
    """
    reading = _Reading(sweep, source)
    for seen in observations:
        reading.take(seen)
    return reading.events(now)


class _Reading:
    """One poll of one source on its way to events."""

    def __init__(self, sweep: Sweep, source: str) -> None:
        self._sweep, self._name = sweep, source
        self._source = sweep.sources[source]
        self._away = self._source.unreachable_since is not None
        self._speaks = False
        """Whether it said anything that only somebody who can be asked says."""
        self._refused: str | None = None
        self._full: str | None = None
        self._fault = ""
        self._contact: list[ev.Event] = []
        self._strikes: list[str] = []
        self._unknown: dict[str, list[ev.Ref]] = {}
        self._running: dict[tuple[int, int], ev.Started] = {}
        self._ends: dict[tuple[int, int], ev.End] = {}
        self._withdrawn: dict[tuple[int, int], None] = {}
        self._recovered: dict[int, ev.End] = {}
        self._strays: list[ev.End] = []
        self._waiting: dict[str, SawWaiting] = {}
        self._health: SawHealth | None = None
        self._words: dict[str, None] = {}
        """What it said of itself, each once."""
        self._brought: dict[tuple[int, int], ev.Brought] = {}

    def take(self, seen: Observation) -> None:
        sweep = self._sweep
        match seen:
            case SawRunning():
                self._speaks = True
                if _alive(sweep, seen.task, seen.attempt) and _is_news(sweep, seen):
                    key = (seen.task, seen.attempt)
                    self._running[key] = ev.Started(*key, seen.handle, seen.started_at, seen.rate)
            case SawEnd() | SawNothing() | SawWithdrawn():
                self._over(seen)
            case CannotTell():
                if _alive(sweep, seen.task, seen.attempt) and sweep.tasks[seen.task].unknown_since is None:
                    self._unknown.setdefault(seen.reason, []).append(ev.Ref(seen.task, seen.attempt))
            case SourceAway():
                if not self._away:
                    self._contact.append(ev.SourceUnreachable(self._name, seen.reason))
                self._strikes.append(seen.reason)
                self._away = True
            case SourceBack():
                self._speaks = True
                if self._away or self._source.unheard or self._source.waits_for_its_answer:
                    self._contact.append(ev.SourceReachable(self._name))
                self._away = False
            case SourceRefused():
                self._refused = seen.reason
            case SourceFull():
                self._speaks = True
                self._full = seen.reason
            case SawWaiting():
                self._speaks = True
                self._waiting[seen.batch] = seen
            case SawHealth():
                self._speaks = True
                self._feels(seen)
            case SawCollected():
                key = (seen.task, seen.attempt)
                self._brought[key] = ev.Brought(*key, seen.files, seen.size, seen.problem)

    def _feels(self, seen: SawHealth) -> None:
        """Figures come newer, words come besides: what is said once must not be lost to what is said after it."""
        last = self._health or seen
        if seen.queue:
            self._words[seen.queue] = None
        self._health = SawHealth(
            last.cpu if seen.cpu is None else seen.cpu,
            last.memory if seen.memory is None else seen.memory,
            last.disk if seen.disk is None else seen.disk,
            last.load if seen.load is None else seen.load,
            "; ".join(self._words),
        )

    def _over(self, seen: SawEnd | SawNothing | SawWithdrawn) -> None:
        """The attempt is over, or never began."""
        sweep, key = self._sweep, (seen.task, seen.attempt)
        self._speaks = True
        end = _end_of(sweep, seen)
        if key in self._ends or key in self._withdrawn:
            return
        if not _alive(sweep, seen.task, seen.attempt):
            if _recovers(sweep, seen) and seen.task not in self._recovered:
                self._recovered[seen.task] = end
            elif not _already_recorded(sweep, end):
                self._strays.append(end)
        elif end.state != "cancelled" and self._was_withdrawn(seen):
            self._withdrawn[key] = None
        else:
            self._ends[key] = end
            if isinstance(seen, SawNothing) and seen.source_fault:
                self._fault = seen.message or "it refused a launch"

    def _was_withdrawn(self, seen: SawEnd | SawNothing | SawWithdrawn) -> bool:
        """Whether the claim was revoked because we asked for it, be it by an engine before this one."""
        if isinstance(seen, SawNothing):
            return seen.task in self._source.asked and not (seen.source_fault or seen.final)
        return isinstance(seen, SawWithdrawn)

    def events(self, now: float) -> list[ev.Event]:
        out = self._contact
        if self._refused is not None and not self._speaks and not self._away:
            # Nobody can ask after what runs there; if it stays so, the work goes elsewhere after the grace period.
            tasks = (self._sweep.tasks[index] for index in sorted(self._source.active))
            doubted = [ev.Ref(t.index, len(t.attempts)) for t in tasks if t.unknown_since is None]
            if doubted:
                self._unknown.setdefault(self._refused, []).extend(doubted)
        out += [ev.Unknown(tuple(refs), reason) for reason, refs in self._unknown.items()]
        for key in (*self._ends, *self._withdrawn):
            self._running.pop(key, None)  # it came and went between two looks: its end says it all
        if self._running:
            out.append(ev.Running(tuple(self._running.values())))
        if self._ends:
            out.append(ev.Ended(tuple(self._without_room(end) for end in self._ends.values())))
        if self._withdrawn:
            out.append(ev.Withdrawn(tuple(ev.Ref(*key) for key in self._withdrawn)))
        if self._recovered:
            out.append(ev.Recovered(tuple(self._recovered.values())))
        if self._strays:
            out.append(ev.Stray(tuple(self._strays)))
        brought = tuple(self._brought[key] for key in self._brought if key in self._sweep.uncollected)
        if brought:
            out.append(ev.Collected(brought))
        return out + self._of_the_source(now)

    def _of_the_source(self, now: float) -> list[ev.Event]:
        out: list[ev.Event] = []
        for seen in self._waiting.values():
            batch = self._source.batches.get(seen.batch)
            if batch is not None and (batch.waiting, batch.reason) != (seen.count, seen.reason):
                out.append(ev.Waiting(self._name, seen.batch, seen.count, seen.reason))
        if self._health is not None:
            felt = self._health
            level = level_of(memory=felt.memory, disk=felt.disk, load=felt.load)
            last = self._source.health_at
            said = _says_anew(felt.queue, self._source.queue_words)
            if last is None or level != self._source.level or said or now >= last + REPORT_EVERY:
                out.append(
                    ev.SourceHealth(
                        self._name, level, felt.cpu, felt.memory, felt.disk, felt.load, felt.queue
                    )
                )
        if self._source.disabled_since is not None:
            return out
        if self._full is not None and self._refused is None:
            return [*out, self._no_room(self._full)]
        if self._fault and not self._strikes:
            # One refusal, however many attempts were in the batch; who could not be reached refused nothing besides.
            self._strikes.append(self._fault)
        room = max(0, self._sweep.rules.strikes - self._source.strikes)
        out += [ev.SourceStrike(self._name, reason) for reason in self._strikes[:room]]
        if self._refused is not None:
            out.append(ev.SourceDisabled(self._name, self._refused, "refused"))
        return out

    def _without_room(self, end: ev.End) -> ev.End:
        """A launch that was refused together with the word that there is no room."""
        refused = end.kind == "launch_failed" and end.source_fault and self._full is not None
        return replace(end, no_room=True) if refused else end

    def _no_room(self, reason: str) -> ev.Event:
        """What runs there shows how much room there is; where nothing does, it is left alone for a while."""
        held = len(self._source.active) - len(self._ends) - len(self._withdrawn)
        if held > 0:
            return ev.SourceRoom(self._name, held, reason)
        return ev.SourceDisabled(self._name, reason, "full")


def _says_anew(words: str, before: str) -> bool:
    """Whether these words say what those before did not: `13 running, 339 waiting` only counts what ran and waited."""
    return bool(words) and _COUNT.sub("#", words) != _COUNT.sub("#", before)


_COUNT = re.compile(r"(?<!\S)\d+(?!\S)")


def _recovers(sweep: Sweep, seen: SawEnd | SawNothing | SawWithdrawn) -> bool:
    """Whether an attempt that was given up has done the work after all, and nobody else did or is at it.

    One that our own signal reached may have exited with 0 for that.
    """
    return (
        isinstance(seen, SawEnd)
        and seen.exit_code == 0
        and seen.failure is None
        and not seen.stopped
        and sweep.ended is None
        and (seen.task, seen.attempt) in sweep.given_up
        and sweep.tasks[seen.task].state in (TaskState.PENDING, TaskState.FAILED)
    )


def _alive(sweep: Sweep, index: int, number: int) -> bool:
    task = sweep.tasks[index]
    return len(task.attempts) == number and task.state in ACTIVE


def _is_news(sweep: Sweep, seen: SawRunning) -> bool:
    task = sweep.tasks[seen.task]
    return (
        task.state is TaskState.LAUNCHING
        or (seen.rate is not None and task.attempts[-1].rate is None)
        or task.unknown_since is not None
        or (task.state is TaskState.CANCELLING and task.attempts[-1].started_at is None)
    )


def _already_recorded(sweep: Sweep, end: ev.End) -> bool:
    """Whether this is what the journal says already: the same answer given twice is no news at all."""
    attempts = sweep.tasks[end.task].attempts
    if end.attempt > len(attempts):
        return False
    known = attempts[end.attempt - 1]
    return known.exit_code == end.exit_code and known.signal == end.signal and known.kind != "source_lost"


def _end_of(sweep: Sweep, seen: SawEnd | SawNothing | SawWithdrawn) -> ev.End:
    task = sweep.tasks[seen.task]
    wanted = task.cancel_requested and len(task.attempts) == seen.attempt
    if isinstance(seen, SawWithdrawn):
        state = "cancelled" if wanted else "failed"
        return ev.End(seen.task, seen.attempt, state, message="withdrawn before it began")
    if isinstance(seen, SawNothing):
        if wanted:
            return ev.End(seen.task, seen.attempt, "cancelled", message=seen.message)
        return ev.End(
            seen.task, seen.attempt, "failed", "launch_failed", message=seen.message, source_fault=seen.source_fault,
            final=seen.final,
        )  # fmt: skip
    state: ev.EndState
    kind: ev.FailureKind | None
    if wanted and (seen.stopped or seen.exit_code != 0):
        state, kind = "cancelled", None
    elif seen.failure is not None:
        state, kind = "failed", seen.failure
    elif seen.signal is not None:
        state, kind = "failed", "signal"
    elif seen.exit_code == 0:
        state, kind = "completed", None
    else:
        state, kind = "failed", "exit"
    # A runner that dies on this very machine was killed by somebody here; elsewhere it was the machine (a node that
    # failed, a host that rebooted), and that is no try of the task's own.
    source = (
        sweep.sources[task.attempts[seen.attempt - 1].source] if seen.attempt <= len(task.attempts) else None
    )
    lost = kind in ("source_lost", "spot_interrupted") and source is not None and source.kind != "local"
    return ev.End(
        seen.task, seen.attempt, state, kind, seen.exit_code, seen.signal, seen.message, seen.started_at, seen.ended_at,
        source_fault=lost, handle=seen.handle, rate=seen.rate,
    )  # fmt: skip
