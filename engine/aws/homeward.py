"""Brings home what ended attempts left in the bucket: many downloads at once, what failed first.

As in `collect.collector`, the only memory is what stands in the bucket and on the disk here: after a dropped
connection, a full disk or the death of the engine the same is asked for again, and what is right already is not fetched
twice.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...state.layout import SweepLayout
from ..collect.bring import Collected
from ..collect.landing import PartBusy
from ..collect.rules import CollectRules
from ..events import Ref
from .bucket import SweepBucket
from .errors import TEMPORARY, AwsError
from .haul import Haul, Hauler
from .stored import StoredFile

PARALLEL = 8
"""Downloads at once."""
SETTLE = 1.0
"""Seconds until files that changed while they were read are asked for again."""
FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0
"""Seconds between two tries when nothing goes: doubled from the first to the last."""
REFUSED_PATIENCE = 60.0
"""Seconds after which a bucket that refuses us is not waited for, however patient the rules are."""
CLOSE_LIMIT = 3.0
"""Seconds `close` waits for the threads; they hold nothing that could be lost."""


@dataclass(order=True, slots=True)
class _Step:
    """A list to be asked for, or a file to be brought. Failures first, then in the order they came."""

    late: bool
    serial: int
    haul: Haul = field(compare=False)
    file: StoredFile | None = field(compare=False, default=None)


class Homeward:
    """`done`, `complain` and `moved` are called in its threads, `done` and `complain` never two at once.

    Every attempt that was added is told once: home, or with its problem. `complain` gets words when nothing can be
    brought home at the moment, and empty ones when it goes on; `moved` the number of bytes as they come. Of the rules,
    `interval` means nothing here: requests are not batched.
    """

    def __init__(
        self,
        bucket: SweepBucket,
        layout: SweepLayout,
        done: Callable[[Collected], object],
        rules: CollectRules,
        *,
        complain: Callable[[str], object] = lambda words: None,
        moved: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._bucket, self._layout, self._rules = bucket, layout, rules
        self._done, self._complain = done, complain
        self._hauler = Hauler(bucket, rules, moved)
        self._stir = threading.Condition()
        """Guards all that follows."""
        self._telling = threading.RLock()
        self._open: dict[str, Haul] = {}
        """All that were added and not told."""
        self._steps: list[_Step] = []
        self._settling: list[tuple[float, Haul]] = []
        self._serial = 0
        self._busy = 0
        """Threads that have a step in hand."""
        self._closing = False
        self._resume_at = 0.0
        self._trouble = ""
        self._tries = 0
        self._last_good = time.monotonic()
        self._fault: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def add(self, name: str, ref: Ref, directory: Path, failed: bool) -> None:
        """Bring home the attempt `name` (`task_001.1`), which has ended. Harmless if it is under way."""
        if not directory.is_relative_to(self._layout.attempts):
            raise ValueError(f"{directory} is not in {self._layout.attempts}")
        with self._stir:
            if name in self._open or self._closing:
                return
            if not self._open:
                self._last_good = time.monotonic()
            haul = self._open[name] = Haul(name, ref, directory, failed)
            self._push(haul)

    @property
    def left(self) -> int:
        """How many attempts are not told yet."""
        with self._stir:
            return len(self._open)

    def check(self) -> None:
        """Raise what ended a thread, if something did: a fault of the program."""
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Stop after the requests that are under way; what is not home is left for the next engine."""
        with self._stir:
            self._closing = True
            self._stir.notify_all()
        end = time.monotonic() + CLOSE_LIMIT
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))

    # --- the threads ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (step := self._take()) is not None:
                self._carry_out(step)
                with self._stir:
                    self._busy -= 1
        except BaseException as fault:  # noqa: BLE001 -- raised again by `check`, in the engine
            self._fault = fault

    def _take(self) -> _Step | None:
        """The next step, when it is time for one; None when all is over."""
        with self._stir:
            while not self._closing:
                now = time.monotonic()
                for entry in [entry for entry in self._settling if entry[0] <= now]:
                    self._settling.remove(entry)
                    self._push(entry[1])
                if self._steps and now >= self._resume_at:
                    self._busy += 1
                    return heapq.heappop(self._steps)
                times = [self._resume_at] if self._steps else []
                times += [at for at, _ in self._settling]
                self._stir.wait(max(0.0, min(times) - now) if times else None)
            return None

    def _push(self, haul: Haul, *files: StoredFile) -> None:
        """To be brought: these files, or whatever a list of the attempt says. The caller holds the lock."""
        for file in files or (None,):
            self._serial += 1
            heapq.heappush(self._steps, _Step(not haul.failed, self._serial, haul, file))
        while len(self._threads) < min(PARALLEL, self._busy + len(self._steps)) and not self._closing:
            thread = threading.Thread(target=self._run, name=f"collect {len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._stir.notify_all()

    def _carry_out(self, step: _Step) -> None:
        haul = step.haul
        try:
            if step.file is None:
                self._look(haul)
            elif not self._bring(haul, step.file):
                self._back(step)
            elif self._was_last(haul):
                step.file = None  # should what follows fail, it is listed again
                self._haul_over(haul)
        except AwsError as error:
            lasting = error.kind not in TEMPORARY
            self._failed(step, str(error), REFUSED_PATIENCE if lasting else self._rules.patience)
        except PartBusy as error:
            self._failed(step, str(error), self._rules.patience)
        except OSError as error:
            words = f"{self._layout.attempts}: {error.strerror or error}; make room, or mend it"
            self._failed(step, words, self._rules.patience)

    def _bring(self, haul: Haul, file: StoredFile) -> bool:
        """Whether this file is done with; one that is refused for good is its own problem alone."""
        try:
            done = self._hauler.bring(haul, file, lambda: self._goes_on(haul))
        except AwsError as error:
            if error.kind in TEMPORARY:
                raise
            haul.problem(f"{file.path!r} cannot be read in {self._bucket.name}: {error}")
            return True
        self._good()
        return done

    def _look(self, haul: Haul) -> None:
        missing = self._hauler.look(haul)
        self._good()
        if not missing:
            self._haul_over(haul)
            return
        with self._stir:
            if not haul.over:
                haul.left = len(missing)
                self._push(haul, *missing)

    def _goes_on(self, haul: Haul) -> bool:
        """Whether a big file is to be gone on with: a failure is not kept waiting by a checkpoint."""
        with self._stir:
            waits = bool(self._steps) and not self._steps[0].late
            return not (self._closing or haul.over or (waits and not haul.failed))

    def _back(self, step: _Step) -> None:
        with self._stir:
            if not step.haul.over:
                heapq.heappush(self._steps, step)
                self._stir.notify_all()

    def _was_last(self, haul: Haul) -> bool:
        """One file less to be brought; whether there is none left."""
        with haul.lock:
            haul.left -= 1
            return haul.left == 0

    def _haul_over(self, haul: Haul) -> None:
        """All files that were to be brought have been: it is looked at again, or home."""
        if haul.again:
            haul.tries += 1
            with self._stir:
                if not haul.over:
                    self._settling.append((time.monotonic() + SETTLE * haul.tries, haul))
                    self._stir.notify_all()
            return
        self._tell(haul, self._hauler.finish(haul))

    def _tell(self, haul: Haul, collected: Collected) -> None:
        with self._telling:
            with self._stir:
                if haul.over:
                    return
                haul.over = True
                del self._open[haul.name]
            self._done(collected)

    def _good(self) -> None:
        with self._telling:
            with self._stir:
                self._last_good = time.monotonic()
                self._tries = 0
                was, self._trouble = self._trouble, ""
            if was:
                self._complain("")

    def _failed(self, step: _Step, words: str, patience: float) -> None:
        """Nothing goes at the moment: the step is taken again later, or all are given up when it took too long."""
        self._back(step)
        with self._telling:
            with self._stir:
                now = time.monotonic()
                patience = min(patience, self._rules.patience)
                gone = now - self._last_good >= patience
                hauls = list(self._open.values()) if gone else []
                if gone:
                    self._steps.clear()
                    self._settling.clear()
                    self._last_good, self._resume_at, self._tries, self._trouble = now, 0.0, 0, ""
                elif now >= self._resume_at:  # else others have met the same, and it is waited for already
                    pause = min(LAST_PAUSE, FIRST_PAUSE * 2.0**self._tries)
                    self._tries = min(self._tries + 1, 10)
                    self._resume_at = now + min(pause, max(0.0, self._last_good + patience - now))
                new = not gone and words != self._trouble
                if new:
                    self._trouble = words
            for haul in hauls:
                haul.problem(words)
                self._tell(haul, haul.collected())
            if new:
                self._complain(words)
