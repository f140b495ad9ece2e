"""What the sources that are not this machine share: a thread that talks, orders that survive a failure, news.

The engine's calls only leave orders. The thread carries them out in turn, asks how things stand, and hands over what
it saw at the next `poll`. An order that met a dead connection stays and is carried out when somebody answers again:
each is written so that doing it twice does no harm. Nothing here frees a slot: only an end that was seen does.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..collect.bring import Collected
from ..events import Ref
from ..observe import Observation, SawCollected, SawNothing, SourceAway, SourceBack, SourceRefused
from .base import Job, SourceContext
from .registry import SourceSpec

FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0
"""Seconds between two tries to reach what does not answer: doubled from the first to the last."""
REFUSED_PAUSE = 60.0
"""Seconds until who refused us is asked again: somebody may have mended it."""
CLOSE_LIMIT = 1.0
"""Seconds `close` waits for the thread, before and after hanging up; it holds nothing that could be lost."""


@dataclass(slots=True)
class _Order:
    do: Callable[[], None]
    jobs: Sequence[Job] = ()
    """Of a launch."""
    tried: bool = False


class ThreadedSource(ABC):
    """See `Source`. A kind fills in the abstract methods; all of them run in the source's thread, one at a time.

    They raise what the class variables say; anything else is a fault of the program and is raised by the next `poll`.
    """

    outlives_host = True
    AWAY: ClassVar[tuple[type[Exception], ...]] = ()
    """Nobody answers."""
    REFUSED: ClassVar[tuple[type[Exception], ...]] = ()
    """Who answers will not serve us, however long we wait; its text says the cause and the remedy."""
    LATER: ClassVar[tuple[type[Exception], ...]] = ()
    """This one thing could not be done now (a read-only disk there); it is tried again after all others."""

    def __init__(self, spec: SourceSpec, context: SourceContext) -> None:
        self.spec, self.name, self.options = spec, spec.name, dict(spec.options)
        self.context = context
        self._orders: deque[_Order] = deque()
        self._unwanted: set[Ref] = set()
        """Attempts that a cancel was ordered for."""
        self._answers = False
        """Whether the last turn came to its end; said with `SourceBack` when it first does."""
        self._news: list[Observation] = []
        self._fault: BaseException | None = None
        self._lock = threading.Lock()
        self._stir = threading.Event()
        self._closing = False
        self._connected = False
        self._failures = 0
        self._thread: threading.Thread | None = None

    # --- the engine's side ---------------------------------------------------------------------------------------

    def launch(self, batch: str, jobs: Sequence[Job], *, limit: int) -> None:
        self._order(lambda: self._launch(batch, jobs, limit), jobs)

    def limit(self, batch: str, count: int) -> None:
        self._order(lambda: self.do_limit(batch, count))

    def withdraw(self, attempts: Sequence[Ref]) -> None:
        self._order(lambda: self.do_withdraw(attempts))

    def _launch(self, batch: str, jobs: Sequence[Job], limit: int) -> None:
        """Launch what is still wanted. What was cancelled or given up since may have begun all the same, if the
        connection broke over this very order: it is taken over as such.
        """
        unwanted = [job for job in jobs if job.ref in self._unwanted]
        if unwanted:
            self.do_adopt(unwanted, running=frozenset(), cancelling=frozenset(job.ref for job in unwanted))
        wanted = [job for job in jobs if job.ref not in self._unwanted]
        if wanted:
            self.do_launch(batch, wanted, min(limit, len(wanted)))

    def cancel(self, attempts: Sequence[Ref], *, force: bool) -> None:
        with self._lock:
            self._unwanted.update(attempts)
        self._order(lambda: self.do_cancel(attempts, force=force))

    def adopt(self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]) -> None:
        self._order(lambda: self.do_adopt(jobs, running=running, cancelling=cancelling))

    def poll(self, now: float) -> list[Observation]:
        if self._fault is not None:
            raise self._fault
        self.check_collecting()
        if self._thread is None:
            # The first look comes without an order: a source that cannot be reached is told before it is needed.
            self._start()
        with self._lock:
            news, self._news = self._news, []
        return news

    def wake_after(self) -> float | None:
        """The thread wakes the engine itself."""
        return None

    def close(self) -> None:
        self._closing = True
        self._stir.set()
        if self._thread is None:
            return
        self._thread.join(CLOSE_LIMIT)
        self.end_collecting()
        # Hanging up ends what it may be waiting for.
        self.do_close()
        self._thread.join(CLOSE_LIMIT)

    def _order(self, do: Callable[[], None], jobs: Sequence[Job] = ()) -> None:
        with self._lock:
            self._orders.append(_Order(do, jobs))
        self._stir.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"source {self.name}", daemon=True)
        self._thread.start()

    # --- the thread's side ---------------------------------------------------------------------------------------

    def tell(self, *seen: Observation) -> None:
        """Hand over what was seen."""
        if not seen:
            return
        with self._lock:
            first = not self._news
            self._news += seen
        if first:
            self.context.wake()

    def brought(self, collected: Collected) -> None:
        """Hand over what came home; called in a thread of the collector's."""
        problem = "; ".join([collected.problem, *collected.notes] if collected.problem else collected.notes)
        self.tell(SawCollected(*collected.ref, collected.files, collected.size, problem))

    def _run(self) -> None:
        try:
            while not self._closing:
                pause = self._turn()
                self._stir.wait(pause)
                self._stir.clear()
        except BaseException as fault:  # noqa: BLE001 -- raised again by `poll`, in the engine
            self._fault = fault
            self.context.wake()
        finally:
            self.do_close()

    def _turn(self) -> float:
        """One round; returns in how many seconds the next is due."""
        try:
            if not self._connected:
                self.do_connect()
                self._connected = True
            put_off: list[_Order] = []
            while self._orders and not self._closing:
                order = self._orders[0]
                order.tried = True
                try:
                    order.do()
                except self.LATER:
                    put_off.append(order)
                with self._lock:
                    self._orders.popleft()
            self.do_round()
            with self._lock:
                self._orders.extend(put_off)
            self._failures = 0
            if not self._answers:
                # Not before: one that answers and does nothing we ask for is away all the same.
                self._answers = True
                self.tell(SourceBack())
        except (*self.AWAY, *self.LATER) as away:
            return self._lost(SourceAway(str(away)), min(LAST_PAUSE, FIRST_PAUSE * 2.0**self._failures))
        except self.REFUSED as refused:
            return self._lost(SourceRefused(str(refused)), REFUSED_PAUSE)
        return self.pause()

    def _lost(self, seen: SourceAway | SourceRefused, pause: float) -> float:
        """The next turn begins with a new connection, after `pause` whatever orders come before."""
        self._connected = self._answers = False
        self._failures = min(self._failures + 1, 10)
        # In one go: an engine that hears of the launches alone would send them here once more.
        self.tell(*self._send_back(seen.reason), seen)
        deadline = time.monotonic() + pause
        while not self._closing and (left := deadline - time.monotonic()) > 0:
            self._stir.wait(left)
            self._stir.clear()
            self.tell(*self._send_back(seen.reason))  # what was ordered before the engine could know
        self._stir.set()  # what came meanwhile is due now
        return 0.0

    def _send_back(self, reason: str) -> list[SawNothing]:
        """Launches that were never tried did not happen: their tasks can go elsewhere at once."""
        with self._lock:
            never = [order for order in self._orders if order.jobs and not order.tried]
            for order in never:
                self._orders.remove(order)
        return [
            SawNothing(*job.ref, f"never sent: {reason}", source_fault=True)
            for order in never
            for job in order.jobs
        ]

    # --- what a kind does ----------------------------------------------------------------------------------------

    @abstractmethod
    def do_connect(self) -> None:
        """Reach whoever is asked; called before anything else, and again after each failure."""

    @abstractmethod
    def do_launch(self, batch: str, jobs: Sequence[Job], limit: int) -> None: ...

    @abstractmethod
    def do_limit(self, batch: str, count: int) -> None: ...

    @abstractmethod
    def do_withdraw(self, attempts: Sequence[Ref]) -> None: ...

    @abstractmethod
    def do_cancel(self, attempts: Sequence[Ref], *, force: bool) -> None: ...

    @abstractmethod
    def do_adopt(
        self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]
    ) -> None: ...

    @abstractmethod
    def do_round(self) -> None:
        """Look at everything that may be alive and tell what was seen."""

    @abstractmethod
    def pause(self) -> float:
        """Seconds until the next round, if no order comes."""

    @abstractmethod
    def do_close(self) -> None:
        """Hang up; called from any thread, and more than once."""

    @abstractmethod
    def check_collecting(self) -> None:
        """Raise the fault that a thread which brings files home has met."""

    @abstractmethod
    def end_collecting(self) -> None:
        """Bring nothing home any more."""
