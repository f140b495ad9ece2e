"""Attempts in a scheduler's queue: one by one (`Live`), by array (`Lot`), by batch (`Batch`). Nothing is asked here."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..observe import SawEnd
from .base import Job
from .scheduler import Array, Element, QueueState, Standing

ENDING = 300.0
"""Seconds the scheduler may take to clear up after an attempt, before it is taken for ended (a node that went away)."""
_RANK: Mapping[Standing, int] = {"running": 0, "ending": 1, "waiting": 2, "ended": 3}


@dataclass(slots=True, eq=False)
class Live:
    """An attempt that waits, runs, or may do so."""

    job: Job
    name: str
    running: bool = False
    """Whether it was seen running, by this engine or an earlier one."""
    told: bool = False
    """Whether that was said since somebody answers: while nobody did, the sweep held it for unknown."""
    adopted: bool = False
    looked: bool = False
    """Whether its files were read since it was adopted."""
    resubmitted: int = 0
    lot: Lot | None = None
    """The array it is an element of; None: an earlier engine staged it in none."""
    index: int = 0
    others: list[tuple[Array, int]] = field(default_factory=list[tuple[Array, int]])
    """Arrays it was an element of before, of which a job may yet come to light, and its index there."""

    at: Element | None = None
    """The element of it that counts, of those the queue lists."""
    state: QueueState | None = None
    """What the queue says; None: nothing."""
    gone: bool = False
    """Whether the queue will not run it (any more), however its files look."""
    gone_since: float | None = None
    ending_since: float | None = None
    never_since: float | None = None
    missing: int = 0
    """Looks in a row since it is gone that showed no sign of it."""

    unwritten_since: float | None = None
    """Since when its runner waits for room to write the exit status (monotonic seconds)."""
    told_unknown: bool = False
    claimed: bool = False
    """Whether its claim was seen in the hands of a runner."""
    alive: bool | None = None
    """Whether its processes live on the submitting machine; None: it began on another."""
    here: bool = False
    """Whether it began on the submitting machine."""

    stopping: bool = False
    stop_sent: bool = False
    kill_at: float | None = None
    kills: int = 0
    killed: bool = False
    """Whether a signal ended it that we did not see sent: the scheduler may know whose."""
    dead: bool = False
    """Whether it was given up without a word of its runner's."""
    end: SawEnd | None = None
    """What will be said once nothing of it is alive."""

    @property
    def elements(self) -> list[Element]:
        return [Element(job, index) for array, index in self.arrays for job in array.jobs]

    @property
    def arrays(self) -> list[tuple[Array, int]]:
        """All arrays it is an element of, the one that counts first."""
        return [(self.lot.array, self.index), *self.others] if self.lot else self.others

    @property
    def standing(self) -> Standing | None:
        return self.state.standing if self.state else None

    @property
    def waits(self) -> bool:
        """Whether nobody has seen it begin."""
        return not self.running and not self.claimed and self.end is None

    @property
    def parked(self) -> bool:
        """Whether its array was not submitted yet."""
        return self.lot is not None and not self.lot.tried

    @property
    def wants_look(self) -> bool:
        """Whether its files may hold news."""
        if self.parked:
            return False
        if (
            self.end is not None
            or self.gone
            or self.standing == "ending"
            or (self.adopted and not self.looked)
        ):
            return True
        return self.standing == "running" and (not self.told or not self.claimed or self.stopping)

    def watch(self, clock: float) -> None:
        """Take down since when it stands as it does."""
        standing = self.standing
        if standing != "ending":
            self.ending_since = None
        elif self.ending_since is None:
            self.ending_since = clock
        stuck = self.ending_since is not None and clock - self.ending_since >= ENDING
        # One that began and waits again was queued anew by somebody: its claim lets no second run begin.
        again = standing == "waiting" and (self.running or self.claimed)
        self.gone = not self.parked and (standing in (None, "ended") or stuck or again)
        if not self.gone:
            self.gone_since, self.missing = None, 0
        elif self.gone_since is None:
            self.gone_since = clock
        if self.state is None or not self.state.never:
            self.never_since = None
        elif self.never_since is None:
            self.never_since = clock

    def doubted(self, clock: float, seconds: float) -> bool:
        """One more look found no sign of it: whether that is enough, after at least two and `seconds`."""
        self.missing += 1
        assert self.gone_since is not None
        fresh = self.adopted and self.waits
        return fresh or (self.missing >= 2 and clock - self.gone_since >= seconds)


@dataclass(slots=True, eq=False)
class Lot:
    """One array and its attempts by index; those that are told of leave it."""

    array: Array
    all: list[Live | None]
    left: int = 0
    """Attempts that are still in it."""
    tried: bool = False
    """Whether a submission was begun, so that there may be a job."""
    unsure: bool = False
    """Whether nobody knows if there is one."""
    adopted: bool = False
    known: bool = False
    """Whether the queue lists anything of it."""

    @classmethod
    def found(cls, array: Array, attempts: Sequence[str]) -> Lot:
        """An array that an earlier engine staged, and perhaps submitted."""
        none: list[Live | None] = [None] * len(attempts)
        return cls(array, none, tried=True, unsure=True, adopted=True)

    @property
    def lives(self) -> list[Live]:
        return [live for live in self.all if live is not None]

    def put(self, index: int, live: Live) -> None:
        """It is element `index` from now on."""
        self.all[index] = live
        self.left += 1
        live.lot, live.index = self, index

    def drop(self, live: Live) -> None:
        if self.all[live.index] is live:
            self.all[live.index] = None
            self.left -= 1

    def learn(self, jobs: Iterable[str]) -> bool:
        """It has these jobs; whether one of them is news."""
        fresh = [job for job in jobs if job not in self.array.jobs]
        self.array.jobs += fresh
        return bool(fresh)

    def orphans(self) -> list[Element]:
        """Elements whose attempts were told of while nobody knew of the job."""
        return [
            Element(job, index) for job in self.array.jobs
            for index, live in enumerate(self.all) if live is None and not self.adopted
        ]  # fmt: skip


@dataclass(slots=True)
class Batch:
    """A launch: its arrays share its limit."""

    name: str
    limit: int
    lots: list[Lot] = field(default_factory=list[Lot])
    made: int = 0
    """Arrays made so far; their names are numbered."""
    told: tuple[int, str] = (0, "")
    """What was said last of those that wait."""

    def cut(self, lives: Sequence[Live], most: int, name: Callable[[int], str]) -> list[Lot]:
        """Arrays of at most `most` elements, in order. They are not the batch's before they are put among its lots."""
        parts = [lives[at : at + most] for at in range(0, len(lives), most)]
        return [
            Lot(Array(name(self.made + number), len(part), 0), list(part))
            for number, part in enumerate(parts)
        ]

    def due(self) -> tuple[Lot, int] | None:
        """The next array to submit and how many of it may run, if the limit has room for it."""
        parked = next((lot for lot in self.lots if not lot.tried and lot.left), None)
        if parked is None:
            return None
        spare = self._spare()
        # Not one by one as slots fall free: an array of its own for each task is what arrays are there to avoid.
        if spare < min(parked.left, max(1, self.limit // 4)):
            return None
        return parked, min(parked.array.count, spare)

    def _spare(self) -> int:
        return self.limit - sum(min(lot.array.limit, lot.left) for lot in self.lots if lot.tried)

    def shares(self) -> list[tuple[Lot, int]]:
        """Arrays whose own limit must change so that together they run as many as they may."""
        out: list[tuple[Lot, int]] = []
        tried = [lot for lot in self.lots if lot.tried and not lot.unsure and lot.array.jobs]
        spare = self._spare()
        room = self.limit
        step = 1 if len(tried) == 1 else max(1, self.limit // 4)
        for lot in tried:
            need = min(lot.array.limit, lot.left)
            if spare < 0:
                want = min(need, room)
                room -= want
                if want < need:
                    out.append((lot, want))
            elif lot.array.limit < lot.left and spare >= min(lot.left - need, step):
                more = min(lot.left - need, spare)
                spare -= more
                out.append((lot, lot.array.limit + more))
        return out

    def waiting(self, most: int) -> tuple[int, str]:
        """How many wait, and the reason most of them are given."""
        reasons: Counter[str] = Counter()
        parked = 0
        for lot in self.lots:
            for live in lot.lives:
                if live.parked:
                    parked += 1
                elif live.state is not None and live.standing == "waiting":
                    reasons[live.state.reason] += 1
        if not reasons:
            return parked, f"arrays here have at most {most} elements" if parked else ""
        return parked + reasons.total(), reasons.most_common(1)[0][0]


def best_of(
    elements: Iterable[Element], listing: Mapping[Element, QueueState]
) -> tuple[Element | None, QueueState | None]:
    """Of the elements of one attempt the one that counts: what runs before what waits before what has ended."""
    listed = [(element, listing[element]) for element in elements if element in listing]
    if not listed:
        return None, None
    return min(listed, key=lambda pair: _RANK[pair[1].standing])


def job_name(sweep_id: str, batch: str, number: int) -> str:
    """A short plain name for array `number` (from 0) of a batch: at most 15 characters in all but huge sweeps.

    It begins with a letter, as PBS wants it (qsub(1B), -N).
    """
    tail = sweep_id.rpartition("-")[2]
    if not re.fullmatch(r"[0-9a-f]{6}", tail):
        tail = hashlib.sha256(sweep_id.encode()).hexdigest()[:6]
    plain = re.sub(r"[^A-Za-z0-9]", "", batch)
    return f"s{tail}{plain}" + (f"-{number}" if number else "")
