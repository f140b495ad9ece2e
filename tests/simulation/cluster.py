"""The truth about a place with a queue of its own: what waits, what it lets run, and what its operators do to it."""

from __future__ import annotations

from random import Random

from spawn_tui.engine.events import Ref

from .host import Host


class Cluster(Host):
    """A `Host` whose runners start when there is room: within the limit of their batch and the machine's own."""

    def __init__(self, name: str, rng: Random, *, slow: float, length: float) -> None:
        super().__init__(name, rng, slow=slow, length=length)
        self.room = rng.randint(1, 6)
        """How many of ours the machine lets run at once; 0 while it is full of other people's jobs."""
        self.limits: dict[str, int] = {}
        self._queue: dict[str, tuple[str, Ref]] = {}
        """What waits, in its order: token → batch and attempt."""
        self._begun: dict[str, str] = {}
        """What left the queue and has not ended: token → batch."""

    def submit(self, batch: str, token: str, ref: Ref, limit: int) -> None:
        """One element of an array. Twice the same is two elements, as in a real queue; the claim tells them apart."""
        self.limits.setdefault(batch, limit)
        self._queue.setdefault(token, (batch, ref))
        self._dispatch()

    def limit(self, batch: str, count: int) -> None:
        self.limits[batch] = count
        self._dispatch()

    def set_room(self, room: int) -> None:
        self.room = room
        self._dispatch()

    def unqueue(self, token: str) -> None:
        self._queue.pop(token, None)
        self._dispatch()

    def knows(self, token: str) -> bool:
        """Whether it waits, or is on its way to run."""
        return token in self._queue or token in self._begun

    def waiting(self, batch: str) -> tuple[int, str]:
        """How many of the batch wait, and why."""
        count = sum(1 for name, _ in self._queue.values() if name == batch)
        full = len(self._begun) >= self.room
        return count, ("Resources" if full else "JobArrayTaskLimit") if count else ""

    def die(self) -> None:
        super().die()
        self._queue.clear()
        self._begun.clear()

    def _dispatch(self) -> None:
        for token, (batch, ref) in list(self._queue.items()):
            if len(self._begun) >= self.room:
                return
            if sum(1 for name in self._begun.values() if name == batch) < self.limits[batch]:
                del self._queue[token]
                self._begun[token] = batch
                self.spawn(token, ref)

    def _arrive(self, token: str, ref: Ref) -> None:
        super()._arrive(token, ref)
        if not self.alive(token):  # its claim was made by somebody else: the element ends at once
            self._over(token)

    def _end(self, token: str, how: str) -> None:
        super()._end(token, how)
        if not self.alive(token):
            self._over(token)

    def _over(self, token: str) -> None:
        if self._begun.pop(token, None) is not None:
            self._dispatch()
