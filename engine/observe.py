"""From what a source says to what is true: observations become events, or nothing.

A source may answer late, twice, or about an attempt that was given up long ago. Only news about the latest attempt of a
task that may be alive becomes an event; an end that comes again is a stray, kept and never counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from . import events as ev
from .sweep import ACTIVE, Sweep, TaskState


@dataclass(frozen=True, slots=True)
class SawRunning:
    """The attempt runs, or ran a moment ago."""

    task: int
    attempt: int
    handle: str = ""
    started_at: float | None = None


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

    `queue` in words of a scheduler: `12 running, 340 waiting`.
    """

    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None
    load: float | None = None
    queue: str = ""


Observation: TypeAlias = (
    SawRunning | SawEnd | SawNothing | SawWithdrawn | SawWaiting | SawHealth | CannotTell | SourceAway | SourceBack
    | SourceRefused
)  # fmt: skip


def interpret(sweep: Sweep, source: str, observations: Iterable[Observation]) -> list[ev.Event]:
    """The events that follow from what `source` said, in the order they must be applied.

    The sweep is not changed. Several observations of one attempt in one call are allowed; the first end counts.
    """
    running: dict[tuple[int, int], ev.Started] = {}
    ends: dict[tuple[int, int], ev.End] = {}
    strays: list[ev.End] = []
    unknown: dict[str, list[ev.Ref]] = {}
    out: list[ev.Event] = []
    away = sweep.sources[source].unreachable_since is not None
    for seen in observations:
        match seen:
            case SawRunning():
                if _alive(sweep, seen.task, seen.attempt) and _is_news(sweep, seen):
                    key = (seen.task, seen.attempt)
                    running[key] = ev.Started(seen.task, seen.attempt, seen.handle, seen.started_at)
            case SawEnd() | SawNothing():
                key = (seen.task, seen.attempt)
                end = _end_of(sweep, seen)
                if key in ends or not _alive(sweep, seen.task, seen.attempt):
                    if not _already_recorded(sweep, end) and key not in ends:
                        strays.append(end)
                else:
                    ends[key] = end
            case CannotTell():
                if _alive(sweep, seen.task, seen.attempt) and sweep.tasks[seen.task].unknown_since is None:
                    unknown.setdefault(seen.reason, []).append(ev.Ref(seen.task, seen.attempt))
            case SourceAway():
                if not away:
                    out.append(ev.SourceUnreachable(source, seen.reason))
                away = True
            case SourceBack():
                if away:
                    out.append(ev.SourceReachable(source))
                away = False
            case SawWithdrawn() | SawWaiting() | SawHealth() | SourceRefused():
                raise NotImplementedError(type(seen).__name__)
    out += [ev.Unknown(tuple(refs), reason) for reason, refs in unknown.items()]
    for key in ends:
        running.pop(key, None)  # it came and went between two looks: its end says it all
    if running:
        out.append(ev.Running(tuple(running.values())))
    if ends:
        out.append(ev.Ended(tuple(ends.values())))
    if strays:
        out.append(ev.Stray(tuple(strays)))
    return out


def _alive(sweep: Sweep, index: int, number: int) -> bool:
    task = sweep.tasks[index]
    return len(task.attempts) == number and task.state in ACTIVE


def _is_news(sweep: Sweep, seen: SawRunning) -> bool:
    task = sweep.tasks[seen.task]
    return (
        task.state is TaskState.LAUNCHING
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


def _end_of(sweep: Sweep, seen: SawEnd | SawNothing) -> ev.End:
    task = sweep.tasks[seen.task]
    wanted = task.cancel_requested and len(task.attempts) == seen.attempt
    if isinstance(seen, SawNothing):
        if wanted:
            return ev.End(seen.task, seen.attempt, "cancelled", message=seen.message)
        return ev.End(seen.task, seen.attempt, "failed", "launch_failed", message=seen.message)
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
    return ev.End(
        seen.task, seen.attempt, state, kind, seen.exit_code, seen.signal, seen.message, seen.started_at, seen.ended_at
    )  # fmt: skip
