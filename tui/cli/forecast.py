"""Where the tasks of a sweep would run, asked of the scheduler itself, as if every task took equally long."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from ...engine import events as ev
from ...engine.decide import decide
from ...engine.sweep import Sweep, TaskState, apply

MOST = 10_000
"""Tasks that are followed; the share of more is no different."""
_TASK = 3600.0
"""Seconds each task takes: longer than any rule that waits for one to begin."""
_STEPS = 20 * MOST


def forecast(sweep: Sweep, events: Sequence[ev.Event] = ()) -> dict[int, str]:
    """The source that each waiting task would run on, by its index, after `events`; of the first `MOST` tasks.

    What is alive now ends first. `sweep` is moved on and worthless afterwards. A task that no source can take is left
    out.
    """
    run = _Run(sweep)
    for event in events:
        run.apply(event)
    waiting = [task.index for task in sweep.tasks if task.state is TaskState.PENDING]
    if waiting[MOST:]:
        run.apply(ev.Dropped(tuple(waiting[MOST:])))
    for source in sweep.sources.values():
        run.end([ev.Ref(index, len(sweep.tasks[index].attempts)) for index in sorted(source.active)])
    for _ in range(_STEPS):
        if sweep.ended is not None or not run.step():
            break
    return run.where


def share_of(where: dict[int, str]) -> str:
    """`server1 100, local 50`: how many tasks each source would run."""
    return ", ".join(f"{name} {count}" for name, count in Counter(where.values()).most_common())


class _Run:
    """The sweep as it would go on: launched is begun, queues begin what they may, and every task succeeds."""

    def __init__(self, sweep: Sweep) -> None:
        self.where: dict[int, str] = {}
        self._sweep = sweep
        self._now = sweep.updated_at
        self._running: deque[tuple[float, ev.Ref]] = deque()
        """With the time of its end, the earliest first."""
        self._begun: dict[str, int] = dict.fromkeys(sweep.sources, 0)

    def apply(self, event: ev.Event) -> None:
        apply(self._sweep, ev.Record(self._sweep.seq + 1, self._now, event))

    def step(self) -> bool:
        """One decision, or if there is none, what happens next; False if nothing ever would."""
        decision = decide(self._sweep, self._now)
        for event in decision.events:
            self.apply(event)
            if isinstance(event, ev.Withdrawing):
                self.apply(ev.Withdrawn(event.attempts))
        began = self._begin()
        if decision.events or began:
            return True
        ahead = [at for at in (decision.wake_at,) if at is not None and at > self._now]
        ahead += [self._running[0][0]] if self._running else []
        if not ahead:
            return False
        self._now = min(ahead)
        ends: list[ev.Ref] = []
        while self._running and self._running[0][0] <= self._now:
            ends.append(self._running.popleft()[1])
        self.end(ends)
        return True

    def end(self, refs: Sequence[ev.Ref]) -> None:
        """These have completed."""
        for ref in refs:
            source = self._sweep.tasks[ref.task].attempts[-1].source
            self._begun[source] = max(0, self._begun.get(source, 0) - 1)
        if refs:
            self.apply(ev.Ended(tuple(ev.End(*ref, "completed", exit_code=0) for ref in refs)))

    def _begin(self) -> bool:
        """Let begin what may run and does not yet. Whether anything did."""
        refs: list[ev.Ref] = []
        for source in self._sweep.sources.values():
            room = source.load - self._begun.get(source.name, 0)
            if room <= 0:
                continue
            idle = source.waiting.first(room) if source.queue else self._not_begun(source.active)
            refs += [ev.Ref(index, len(self._sweep.tasks[index].attempts)) for index in idle]
            self._begun[source.name] = self._begun.get(source.name, 0) + len(idle)
            self.where.update(dict.fromkeys(idle, source.name))
        if refs:
            self.apply(ev.Running(tuple(ev.Started(*ref) for ref in refs)))
            self._running += [(self._now + _TASK, ref) for ref in refs]
        return bool(refs)

    def _not_begun(self, active: set[int]) -> list[int]:
        return [index for index in sorted(active) if self._sweep.tasks[index].state is TaskState.LAUNCHING]
