"""The truth about one place where attempts run: who claimed which token, what is alive, how it ended.

A host outlives every engine. It knows nothing of sweeps; the rule of the claim (one runner per token, ever) is kept
here as the runner keeps it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Literal

from spawn_tui.engine.events import FailureKind, Ref

OnTerm = Literal["dies", "exits_0", "exits_1", "ignores"]


@dataclass(slots=True)
class Run:
    """What became of one token. `lost`: it died and left no exit status."""

    ref: Ref
    state: Literal["revoked", "running", "ended", "lost"]
    started_at: float = 0.0
    ended_at: float = 0.0
    exit_code: int | None = None
    signal: int | None = None
    failure: FailureKind | None = None
    on_term: OnTerm = "dies"
    stopped: bool = False
    """A signal of ours reached it while it was alive."""


class Host:
    """`slow`: the longest a launch command is under way; `length`: how long tasks run on average (seconds)."""

    def __init__(self, name: str, rng: Random, *, slow: float, length: float) -> None:
        self.name = name
        self.reachable = True
        self.claims: dict[str, Run] = {}
        self.executed: Counter[str] = Counter()
        """How often each token's command was begun."""
        self._rng = rng
        self._slow, self._length = slow, length
        self._due: list[tuple[float, int, str, str, Ref]] = []
        self._serial = 0
        self._now = 0.0

    @property
    def next_at(self) -> float | None:
        return self._due[0][0] if self._due else None

    def run_until(self, now: float) -> None:
        """Let everything happen that is due."""
        while self._due and self._due[0][0] <= now:
            self._now, _, what, token, ref = heapq.heappop(self._due)
            if what == "arrive":
                self._arrive(token, ref)
            else:
                self._end(token, what)
        self._now = now

    def spawn(self, token: str, ref: Ref) -> None:
        """A runner is on its way. It may take a while, and it may be one of several."""
        delay = 0.0 if self._rng.random() < 0.5 else self._rng.random() * self._slow
        self._push(delay, "arrive", token, ref)

    def revoke(self, token: str, ref: Ref) -> bool:
        """Make the claim, so that no runner ever begins; whether nobody had made it before."""
        run = self.claims.setdefault(token, Run(ref, "revoked"))
        return run.state == "revoked"

    def alive(self, token: str) -> bool:
        run = self.claims.get(token)
        return run is not None and run.state == "running"

    def term(self, token: str) -> None:
        run = self.claims.get(token)
        if run is not None and run.state == "running":
            run.stopped = True
            if run.on_term != "ignores":
                self._push(self._rng.random() * 0.2, "term", token, run.ref)

    def kill(self, token: str) -> None:
        run = self.claims.get(token)
        if run is not None and run.state == "running":
            run.stopped = True
            self._end(token, "kill")

    def die(self) -> None:
        """Everything that runs here is gone, without an exit status; nothing arrives any more."""
        self._due.clear()
        for run in self.claims.values():
            if run.state == "running":
                run.state, run.ended_at = "lost", self._now

    def power_failure(self) -> None:
        """As `die`, and files that were not synced (claims, exit statuses) may be gone."""
        self.die()
        for token, run in list(self.claims.items()):
            lot = self._rng.random()
            if lot < 0.15:
                del self.claims[token]
                del self.executed[token]
            elif lot < 0.3 and run.state == "ended":
                run.state, run.exit_code, run.signal, run.failure = "lost", None, None, None

    def _push(self, delay: float, what: str, token: str, ref: Ref) -> None:
        self._serial += 1
        heapq.heappush(self._due, (self._now + delay, self._serial, what, token, ref))

    def _arrive(self, token: str, ref: Ref) -> None:
        if token in self.claims:
            return
        rng = self._rng
        run = Run(ref, "running", self._now, on_term=rng.choice(("dies", "exits_0", "exits_1", "ignores")))
        self.claims[token] = run
        self.executed[token] += 1
        self._push(rng.expovariate(1 / self._length) if rng.random() < 0.9 else 0.0, "end", token, ref)

    def _end(self, token: str, how: str) -> None:
        run = self.claims.get(token)
        if run is None or run.state != "running":
            return
        run.state, run.ended_at = "ended", self._now
        if how == "kill":
            run.signal = 9
        elif how == "term" and run.on_term == "dies":
            run.signal = 15
        elif how == "term":
            run.exit_code = 0 if run.on_term == "exits_0" else 1
        else:
            self._end_by_itself(run)

    def _end_by_itself(self, run: Run) -> None:
        lot = self._rng.random()
        if lot < 0.65:
            run.exit_code = 0
        elif lot < 0.8:
            run.exit_code = self._rng.randint(1, 255)
        elif lot < 0.87:
            run.signal = self._rng.choice((6, 9, 11))
        elif lot < 0.94:
            run.failure, run.exit_code = "timeout", self._rng.choice((None, 124))
        else:
            run.failure = "out_of_memory"
