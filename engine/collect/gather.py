"""All remote sources of one sweep at once, without an engine: what `spawn-tui collect` does."""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from ...state.layout import SweepLayout
from ..events import Ref
from ..ids import task_name
from ..remote.area import Area
from ..remote.hosts import host_of
from ..sources.place import DEFAULT_ROOT, attempt_name
from ..sweep import ENDED, Sweep, TaskState
from .bring import Collected
from .collector import Collector
from .elsewhere import is_elsewhere
from .removal import Removal, remove_collected
from .rules import CollectRules

PATIENCE = 30.0
"""Seconds without any success after which a person is told that it does not go."""


@dataclass(slots=True)
class FarSource:
    """A source on another machine, and the attempts that have ended there."""

    name: str
    options: dict[str, str]
    attempts: list[tuple[Ref, bool]] = field(default_factory=list[tuple[Ref, bool]])
    """With whether it failed."""
    running: int = 0
    """Attempts there that may be alive."""
    given_up: list[Ref] = field(default_factory=list[Ref])
    """Attempts that were given up and of which no engine has heard since."""

    def area(self, sweep_id: str) -> Area:
        root = self.options.get("remote_root") or DEFAULT_ROOT
        return Area(host_of(self.name, self.options), f"{root}/{sweep_id}", {})


def far_sources(sweep: Sweep, tasks: Collection[int] | None = None) -> list[FarSource]:
    """The sources of this sweep whose files are elsewhere, with the attempts of these tasks (None: all)."""
    found: dict[str, FarSource] = {}
    for state in sweep.sources.values():
        options = dict(state.options)
        if is_elsewhere(state.kind, options):
            found[state.name] = FarSource(state.name, options)
    for task in sweep.tasks:
        if tasks is not None and task.index not in tasks:
            continue
        for attempt in task.attempts:
            source = found.get(attempt.source)
            if source is None:
                continue
            ref = Ref(task.index, attempt.number)
            if ref in sweep.given_up:
                source.given_up.append(ref)
            elif attempt.state not in ENDED:
                source.running += 1
            elif attempt.started_at is not None:
                source.attempts.append((ref, attempt.state is TaskState.FAILED))
    return list(found.values())


def ask_after_given_up(source: FarSource, sweep_id: str) -> None:
    """Find out what became of the attempts that were given up there: what has ended is brought home like any other (and
    is a stray), what never began is nothing, and what lives still runs. Raises `HostAway`, `HostRefused`, `AreaError`.
    """
    if not source.given_up:
        return
    area = source.area(sweep_id)
    try:
        area.open()
        seen = area.look([attempt_name(ref) for ref in source.given_up]).seen
    finally:
        area.host.close()
    for ref in source.given_up:
        found = seen[attempt_name(ref)]
        claimed = found.claim is not None and not found.claim.revoked
        if claimed and found.outcome is None and found.alive is not False:
            source.running += 1
        elif claimed:
            source.attempts.append((ref, True))
    source.given_up.clear()


class Gathering:
    """Brings home what is not. `complain` gets a source's name and words, empty ones when it goes on again."""

    def __init__(
        self,
        sweep_id: str,
        layout: SweepLayout,
        sources: Collection[FarSource],
        *,
        complain: Callable[[str, str], object],
        moved: Callable[[int], object],
    ) -> None:
        self._told: queue.SimpleQueue[tuple[str, Collected]] = queue.SimpleQueue()
        self._collectors: list[Collector] = []
        self.left = sum(len(source.attempts) for source in sources)
        """Attempts that nothing was said of yet."""
        self._areas: list[Area] = []
        for source in sources:
            if source.attempts:
                self._start(source, sweep_id, layout, complain, moved)

    def _start(
        self,
        source: FarSource,
        sweep_id: str,
        layout: SweepLayout,
        complain: Callable[[str, str], object],
        moved: Callable[[int], object],
    ) -> None:
        area = source.area(sweep_id)
        rules = replace(CollectRules.of(source.options), interval=0.0, patience=PATIENCE)
        collector = Collector(
            area, layout, lambda collected: self._told.put((source.name, collected)), rules,
            complain=lambda words: complain(source.name, words), moved=moved, opens=True,
        )  # fmt: skip
        self._areas.append(area)
        self._collectors.append(collector)
        for ref, failed in source.attempts:
            collector.add(attempt_name(ref), ref, layout.attempt(task_name(ref.task), ref.attempt), failed)

    def next(self, seconds: float) -> tuple[str, Collected] | None:
        """What is said of the next attempt, within so many seconds. Raises what ended a collector, if a fault did."""
        try:
            name, collected = self._told.get(timeout=seconds)
        except queue.Empty:
            for collector in self._collectors:
                collector.check()
            return None
        self.left -= 1
        return name, collected

    def close(self) -> None:
        """Stop; what is not home is brought by the next call."""
        for area in self._areas:
            area.host.close()
        for collector in self._collectors:
            collector.close()


def delete_far(source: FarSource, sweep_id: str, layout: SweepLayout) -> Removal:
    """Delete the source's attempts there, if all of them are home. Raises as `remove_collected`."""
    area = source.area(sweep_id)
    try:
        area.open()
        return remove_collected(
            area,
            [
                (attempt_name(ref), layout.attempt(task_name(ref.task), ref.attempt))
                for ref, _ in source.attempts
            ],
        )
    finally:
        area.host.close()
