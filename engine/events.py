"""The vocabulary of a sweep's life. A sweep is a fold over these events; nothing else changes it.

Inside the program a task is its index, from 0. How an event stands in the journal is `event_lines`' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from .health import Level

EndState = Literal["completed", "failed", "cancelled"]
FailureKind = Literal[
    "launch_failed",
    "exit",
    "signal",
    "timeout",
    "out_of_memory",
    "spot_interrupted",
    "source_lost",
    "terminated",
]
"""`terminated`: somebody else ended the machine it ran on."""
SweepEnd = Literal["completed", "failed", "cancelled"]
Verb = Literal[
    "cancel",
    "pause",
    "resume",
    "retry",
    "slots",
    "limit",
    "add_source",
    "remove_source",
    "enable_source",
    "budget",
]
Cause = Literal["strikes", "refused", "failures", "start", "full"]
"""What disables a source: it could not be reached or launch, it will not serve us, its tasks fail, it is not there, it
has no room."""
BudgetAction = Literal["pause", "terminate"]
"""What is done when a sweep's budget is spent: nothing new is launched, or what costs is ended as well."""


class Ref(NamedTuple):
    """One attempt at one task: the task's index (from 0) and the attempt's number (from 1)."""

    task: int
    attempt: int


class Needs(NamedTuple):
    """What some tasks ask of a source: one of these kinds, and one of these regions if it is in any. Empty: any."""

    kinds: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt was seen running. `handle` names it at its source: `pid:start:boot:host`, a job id, an instance.

    `rate`: what it costs, in USD per hour, where its source knows.
    """

    task: int
    attempt: int
    handle: str = ""
    started_at: float | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The end of one attempt, as it was seen."""

    task: int
    attempt: int
    state: EndState
    kind: FailureKind | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    source_fault: bool = False
    """The task is not to blame: it is tried again elsewhere, and this was no try of its own."""
    given_up: bool = False
    """Nobody saw this end; the attempt may still be alive, and even complete."""
    handle: str = ""
    rate: float | None = None
    """As in `Started`, of an attempt that was never seen running, or before its price was known."""
    no_room: bool = False
    """Its source had no room for it: that says nothing of the task, however often."""
    final: bool = False
    """It is of no use to try it again as it is (an instance type that does not exist)."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What came home of one attempt: `files` of `size` bytes; `problem` says what did not."""

    task: int
    attempt: int
    files: int = 0
    size: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Delay:
    """A task that waits for its next try until `not_before` (seconds since 1970)."""

    task: int
    not_before: float


# --- the events --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SweepCreated:
    """The first event: the frame of the sweep. Its plan stands in `sweep.json`. `project`: where its tasks run."""

    type: ClassVar[str] = "sweep_created"
    sweep_id: str
    name: str
    total: int
    project: str = ""
    max_concurrent: int | None = None
    launch_delay: float = 0.0
    retry_max: int = 0
    retry_backoff: float = 1.0
    retry_on: tuple[str, ...] = ()
    strategy: str = "round_robin"
    grace: float = 300.0
    rules: tuple[tuple[str, float], ...] = ()
    """Of `HealthRules`, what is not its default."""
    needs: tuple[Needs, ...] = ()
    """What groups of tasks ask of a source; empty: every task may run anywhere."""
    groups: tuple[tuple[int, int], ...] = ()
    """Which tasks are which group's, in the plan's order: (place in `needs`, how many in a row)."""
    budget: float = 0.0
    """USD the sweep may cost; 0: no limit."""
    budget_action: BudgetAction = "pause"


@dataclass(frozen=True, slots=True)
class SourceAdded:
    """A source the sweep may use, with the number of attempts that may run there at a time.

    With a `queue` of its own (Slurm, PBS) it may hold more than that: they wait there.
    """

    type: ClassVar[str] = "source_added"
    source: str
    kind: str
    slots: int
    options: tuple[tuple[str, str], ...] = ()
    queue: bool = False
    elsewhere: bool = False
    """Whether its attempts write on another machine, so that their files must be brought home."""
    grace: float = 0.0
    """Seconds it may be unreachable, or its attempts unknown, before its work goes elsewhere; 0: as the sweep says."""


@dataclass(frozen=True, slots=True)
class SourceRemoved:
    """A source that gets no new tasks from now on; what it runs, it may finish."""

    type: ClassVar[str] = "source_removed"
    source: str


@dataclass(frozen=True, slots=True)
class SourceUnreachable:
    """A source could not be asked. It says nothing about the source's tasks."""

    type: ClassVar[str] = "source_unreachable"
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceReachable:
    type: ClassVar[str] = "source_reachable"
    source: str


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """How a source feels: when its level changes, else at most once a minute.

    `cpu`, `memory`, `disk` in percent used, `load` per core; None where nobody can say. `queue`: its queue in words.
    """

    type: ClassVar[str] = "source_health"
    source: str
    level: Level
    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None
    load: float | None = None
    queue: str = ""


@dataclass(frozen=True, slots=True)
class SourceStrike:
    """The source could not be reached, or refused a launch, once more."""

    type: ClassVar[str] = "source_strike"
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceDisabled:
    """The source gets no new tasks but a probe; what runs there goes on. Said again when a probe has failed."""

    type: ClassVar[str] = "source_disabled"
    source: str
    reason: str
    cause: Cause = "strikes"


@dataclass(frozen=True, slots=True)
class SourceEnabled:
    """The source is trusted again: its probe went well, or a person said so."""

    type: ClassVar[str] = "source_enabled"
    source: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SourceRoom:
    """The source has no room for more than `room` attempts now, whatever its slots (a quota, no capacity); 0: that is
    over, and it is asked for all its slots again.
    """

    type: ClassVar[str] = "source_room"
    source: str
    room: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EngineStarted:
    """An engine took the sweep's lock; `epoch` counts these."""

    type: ClassVar[str] = "engine_started"
    epoch: int
    host: str
    pid: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class EngineStopped:
    """An engine let go in good order; what it launched may still run."""

    type: ClassVar[str] = "engine_stopped"
    reason: str


@dataclass(frozen=True, slots=True)
class Launching:
    """Journalled before a source is asked to launch these attempts (write before you act).

    `limit`: how many of them may run at once, where the source has a queue; 0: all of them. A single attempt for a
    disabled source is its probe.
    """

    type: ClassVar[str] = "launching"
    batch: str
    source: str
    attempts: tuple[Ref, ...]
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Limited:
    """From now on at most `limit` attempts of this batch may run at once; more may wait in the source's queue."""

    type: ClassVar[str] = "limited"
    batch: str
    source: str
    limit: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """`count` attempts of the batch wait in the source's own queue; `reason` in the scheduler's words."""

    type: ClassVar[str] = "waiting"
    source: str
    batch: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Withdrawing:
    """Journalled before a source is asked to give back attempts that have not begun."""

    type: ClassVar[str] = "withdrawing"
    source: str
    attempts: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """These attempts never ran and never will; their tasks are ready again, and it was no try."""

    type: ClassVar[str] = "withdrawn"
    attempts: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class Running:
    type: ClassVar[str] = "running"
    attempts: tuple[Started, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    type: ClassVar[str] = "ended"
    attempts: tuple[End, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can say whether these attempts still run; they keep their slots until somebody can."""

    type: ClassVar[str] = "unknown"
    attempts: tuple[Ref, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Stray:
    """An attempt already ended or given up reported an end once more. It is kept, and never counted."""

    type: ClassVar[str] = "stray"
    attempts: tuple[End, ...]


@dataclass(frozen=True, slots=True)
class Recovered:
    """Attempts that were given up turned out to have completed before anybody else did the work: they count."""

    type: ClassVar[str] = "recovered"
    attempts: tuple[End, ...]


@dataclass(frozen=True, slots=True)
class Collected:
    """What these attempts wrote elsewhere is at home, as far as it ever will be by itself."""

    type: ClassVar[str] = "collected"
    attempts: tuple[Brought, ...]


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """These attempts completed, and their files are on a source that was away beyond its grace: they are lost with it,
    and their tasks are tried elsewhere. If the source comes back first, the completion stands after all (`Recovered`).
    """

    type: ClassVar[str] = "out_of_reach"
    attempts: tuple[Ref, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Requeued:
    """Failed tasks that will be tried again, each not before its time."""

    type: ClassVar[str] = "requeued"
    tasks: tuple[Delay, ...]


@dataclass(frozen=True, slots=True)
class DelaysOver:
    """Tasks whose waiting time ended before this event's `at` are ready."""

    type: ClassVar[str] = "delays_over"


@dataclass(frozen=True, slots=True)
class Cancelling:
    """Journalled before a source is asked to end these attempts."""

    type: ClassVar[str] = "cancelling"
    source: str
    attempts: tuple[Ref, ...]
    force: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """Tasks cancelled before they were ever launched, or while they waited for a retry."""

    type: ClassVar[str] = "dropped"
    tasks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RequestTaken:
    """A viewer's wish, taken once. `tasks` empty: all. `source`, `value`: for `slots` and `limit` (0: no limit);
    `budget`: `value` in US cents.

    What `add_source`, `remove_source` and `enable_source` do is said by the event before this one, in the same write.
    """

    type: ClassVar[str] = "request_taken"
    request: str
    verb: Verb
    tasks: tuple[int, ...] = ()
    source: str = ""
    value: int = 0
    force: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A viewer's wish that could not be obeyed, and why."""

    type: ClassVar[str] = "request_refused"
    request: str
    reason: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The engine itself stopped launching, for a reason that a person should know."""

    type: ClassVar[str] = "paused"
    reason: str


@dataclass(frozen=True, slots=True)
class BudgetBlind:
    """Nobody has said what `attempts` that run on the source cost: the budget does not see them."""

    type: ClassVar[str] = "budget_blind"
    source: str
    attempts: int


@dataclass(frozen=True, slots=True)
class BudgetWarned:
    """Most of the budget is spent: `cost` USD so far."""

    type: ClassVar[str] = "budget_warned"
    cost: float


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """The budget is spent: `cost` USD so far. Nothing new is launched; with `terminate` what costs is ended as well."""

    type: ClassVar[str] = "budget_spent"
    cost: float
    action: BudgetAction = "pause"


@dataclass(frozen=True, slots=True)
class SweepEnded:
    type: ClassVar[str] = "sweep_ended"
    status: SweepEnd
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth telling that changes nothing (a torn line cut off, a lock taken over)."""

    type: ClassVar[str] = "note"
    text: str


Event: TypeAlias = (
    SweepCreated
    | SourceAdded
    | SourceRemoved
    | SourceUnreachable
    | SourceReachable
    | SourceHealth
    | SourceStrike
    | SourceDisabled
    | SourceEnabled
    | SourceRoom
    | EngineStarted
    | EngineStopped
    | Launching
    | Limited
    | Waiting
    | Withdrawing
    | Withdrawn
    | Running
    | Ended
    | Unknown
    | Stray
    | Recovered
    | Collected
    | OutOfReach
    | Requeued
    | DelaysOver
    | Cancelling
    | Dropped
    | RequestTaken
    | RequestRefused
    | Paused
    | BudgetBlind
    | BudgetWarned
    | BudgetSpent
    | SweepEnded
    | Note
)


@dataclass(frozen=True, slots=True)
class Record:
    """An event with its place and time in the journal."""

    seq: int
    at: float
    event: Event
