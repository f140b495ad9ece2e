"""The truth about a place where each attempt has a machine of its own: how many there are, and what one costs."""

from __future__ import annotations

from random import Random

from spawn_tui.engine.events import FailureKind, Ref

from .host import Host


class Cloud(Host):
    """A `Host` with room for so many attempts at a time, which others take and give back. It never loses a file."""

    def __init__(self, name: str, rng: Random, *, slow: float, length: float) -> None:
        super().__init__(name, rng, slow=slow, length=length)
        self.room = rng.randint(0, 6)
        self.rate = rng.choice((None, 0.0, 6.0, 60.0))
        """USD per hour of one attempt, of which the first minute is charged whole; None: nobody can say."""
        self._coming: set[str] = set()

    @property
    def full(self) -> bool:
        running = sum(1 for run in self.claims.values() if run.state == "running")
        return running + len(self._coming) >= self.room

    def spawn(self, token: str, ref: Ref) -> None:
        if token not in self.claims:
            self._coming.add(token)
        super().spawn(token, ref)

    def revoke(self, token: str, ref: Ref) -> bool:
        self._coming.discard(token)
        return super().revoke(token, ref)

    def die(self) -> None:
        super().die()
        self._coming.clear()

    def end_one(self, failure: FailureKind) -> None:
        """A machine is taken back, or ended by a person, and what ran on it is gone."""
        running = [run for run in self.claims.values() if run.state == "running"]
        if running:
            run = self._rng.choice(running)
            run.state, run.ended_at, run.failure = "ended", self._now, failure

    def _arrive(self, token: str, ref: Ref) -> None:
        self._coming.discard(token)
        super()._arrive(token, ref)
