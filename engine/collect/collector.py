"""Brings home what ended attempts of one source wrote, in a thread of its own.

Its only memory is what stands on the two disks: after a dropped connection, a full disk or the death of the engine the
same is asked for again, and what is right already (by size and checksum) is not fetched twice. Files are not synced to
the disk one by one: after a loss of power here the next check of their checksums finds what is missing, and nothing is
deleted there before they were synced (`removal.py`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ...state.layout import SweepLayout
from ..events import Ref
from ..remote.area import Area, AreaError
from ..remote.host import HostAway, HostRefused
from .bring import Bringer, Collected, Trip
from .landing import PartBusy
from .rules import CollectRules

BATCH = 250
"""Attempts that are listed in one round trip, at most."""
GATHER = 0.2
"""Seconds the first of a batch waits for others that end at the same moment."""
SETTLE = 1.0
"""Seconds until files that changed while they were read are asked for again."""
FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0
"""Seconds between two tries when nothing goes: doubled from the first to the last."""
REFUSED_PATIENCE = 60.0
"""Seconds after which a machine that refuses us is not waited for, however patient the rules are."""
CLOSE_LIMIT = 3.0
"""Seconds `close` waits for the thread; it holds nothing that could be lost."""


class Collector:
    """`tell` and `complain` are called in the collector's thread.

    Every attempt that was added is told once: home, or with its problem. `complain` gets words when nothing can be
    brought home at the moment, and empty ones when it goes on; `moved` the number of bytes as they come.
    """

    def __init__(
        self,
        area: Area,
        layout: SweepLayout,
        tell: Callable[[Collected], object],
        rules: CollectRules,
        *,
        complain: Callable[[str], object] = lambda words: None,
        moved: Callable[[int], object] = lambda count: None,
        opens: bool = False,
    ) -> None:
        """`opens`: the area is opened here, when there is something to do; else its source does it."""
        self._area, self._layout, self._rules = area, layout, rules
        self._tell, self._complain = tell, complain
        self._bringer = Bringer(area, rules, self._came)
        self._moved, self._opens = moved, opens
        self._lock = threading.Lock()
        self._stir = threading.Event()
        self._open: set[str] = set()
        """The names of all that were added and not told."""
        self._waiting: dict[str, Trip] = {}
        """Those to be looked at, in the order they came."""
        self._hauls: deque[Trip] = deque()
        """Those of which only big files are missing."""
        self._settling: list[tuple[float, Trip]] = []
        self._closing = False
        self._due = 0.0
        self._trouble = ""
        self._tries = 0
        self._last_good = time.monotonic()
        self._refused = False
        self._fault: BaseException | None = None
        self._thread: threading.Thread | None = None

    def add(self, name: str, ref: Ref, directory: Path, failed: bool) -> None:
        """Bring home the attempt `name` (`task_001.1`), which has ended. Harmless if it is under way."""
        if not directory.is_relative_to(self._layout.attempts):
            raise ValueError(f"{directory} is not in {self._layout.attempts}")
        with self._lock:
            if name in self._open:
                return
            if not self._open:
                self._last_good = time.monotonic()
                self._due = max(self._due, self._last_good + min(GATHER, self._rules.interval))
            self._open.add(name)
            self._waiting[name] = Trip(name, ref, directory, failed)
        self._stir.set()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"collect {self._area.host.name}", daemon=True
            )
            self._thread.start()

    @property
    def left(self) -> int:
        """How many attempts are not told yet."""
        with self._lock:
            return len(self._open)

    def check(self) -> None:
        """Raise what ended the thread, if something did: a fault of the program."""
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Stop after the round trip that is under way; what is not home is left for the next engine."""
        self._closing = True
        self._stir.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_LIMIT)

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing:
                pause = self._turn()
                if pause is None or pause > 0:
                    self._stir.wait(pause)
                    self._stir.clear()
        except BaseException as fault:  # noqa: BLE001 -- raised again by `check`, in the engine
            self._fault = fault

    def _turn(self) -> float | None:
        """Do one thing; returns in how many seconds the next is due, None if nothing is."""
        hand: list[Trip] = []
        try:
            hand = self._take()
            if self._opens and self._area.facts is None and (hand or self._hauls):
                self._area.open()
            if hand:
                self._bringer.look(hand)
                self._good()
                while hand:
                    self._sort(hand[0])
                    hand.pop(0)
            elif self._hauls:
                # One round trip, then what has ended meanwhile: a failure is not kept waiting by a checkpoint.
                hand = [self._hauls.popleft()]
                self._bringer.haul(hand[0])
                self._good()
                self._sort(hand[0])
        except (HostAway, AreaError, PartBusy) as error:
            if self._opens:
                self._area.facts = None
            return self._failed(hand, str(error), self._rules.patience)
        except HostRefused as error:
            return self._failed(hand, str(error), min(self._rules.patience, REFUSED_PATIENCE))
        except OSError as error:
            words = f"{self._layout.attempts}: {error.strerror or error}; make room, or mend it"
            return self._failed(hand, words, self._rules.patience)
        with self._lock:
            if self._hauls:
                return 0.0
            now = time.monotonic()
            times = [at for at, _ in self._settling] + ([self._due] if self._waiting else [])
            return max(0.0, min(times) - now) if times else None

    def _take(self) -> list[Trip]:
        """The next batch, failures first, if it is time for one."""
        now = time.monotonic()
        with self._lock:
            for entry in [entry for entry in self._settling if entry[0] <= now]:
                self._settling.remove(entry)
                self._waiting[entry[1].name] = entry[1]
            if now < self._due or not self._waiting:
                return []
            self._due = now + self._rules.interval
            chosen = sorted(self._waiting.values(), key=lambda trip: not trip.failed)[:BATCH]
            if len(chosen) < len(self._waiting):
                self._due = now  # a full batch: the others have waited long enough
            for trip in chosen:
                del self._waiting[trip.name]
            return chosen

    def _sort(self, trip: Trip) -> None:
        """Where a trip goes on: to the big files, to another look, or home."""
        if trip.big:
            with self._lock:
                if trip.failed:
                    self._hauls.appendleft(trip)
                else:
                    self._hauls.append(trip)
        elif trip.again:
            trip.tries += 1
            with self._lock:
                self._settling.append((time.monotonic() + SETTLE * trip.tries, trip))
        else:
            self._over(self._bringer.finish(trip))

    def _over(self, collected: Collected) -> None:
        with self._lock:
            self._open.discard(collected.name)
        self._tell(collected)

    def _came(self, count: int) -> None:
        self._good()
        self._moved(count)

    def _good(self) -> None:
        self._last_good = time.monotonic()
        self._tries = 0
        if self._trouble:
            self._trouble = ""
            self._complain("")

    def _failed(self, hand: list[Trip], words: str, patience: float) -> float:
        """Nothing goes at the moment. What is in hand is looked at again later, or given up when it took too long."""
        with self._lock:
            for trip in hand:
                self._waiting[trip.name] = trip
        now = time.monotonic()
        if now - self._last_good >= patience:
            self._give_up(words)
            return 0.0
        if words != self._trouble:
            self._trouble = words
            self._complain(words)
        pause = min(LAST_PAUSE, FIRST_PAUSE * 2.0**self._tries)
        self._tries = min(self._tries + 1, 10)
        self._due = now + min(pause, max(0.0, self._last_good + patience - now))
        deadline = self._due
        while not self._closing and (left := deadline - time.monotonic()) > 0:
            self._stir.wait(left)
            self._stir.clear()
        return 0.0

    def _give_up(self, words: str) -> None:
        with self._lock:
            trips = [*self._waiting.values(), *self._hauls, *(trip for _, trip in self._settling)]
            self._waiting.clear()
            self._hauls.clear()
            self._settling.clear()
        for trip in trips:
            trip.problems.append(words)
            self._over(trip.collected())
        self._trouble, self._tries = "", 0
