"""All sources of one sweep that are elsewhere at once, without an engine: what `spawn-tui collect` does."""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...state.layout import SweepLayout
from ..events import Ref
from ..ids import task_name
from ..remote.area import Area
from ..remote.hosts import host_of
from ..sources.place import DEFAULT_ROOT, attempt_name
from ..sweep import ENDED, Sweep, TaskState
from .bring import Collected
from .collector import Collector
from .elsewhere import is_cloud, is_elsewhere
from .removal import Removal, remove_collected
from .rules import CollectRules

if TYPE_CHECKING:
    from ..aws.bucket import SweepBucket

PATIENCE = 30.0
"""Seconds without any success after which a person is told that it does not go."""


@dataclass(slots=True)
class FarSource:
    """A source that is elsewhere, and the attempts that have ended there."""

    name: str
    kind: str
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

    def bucket(self, sweep_id: str) -> SweepBucket:
        """Where a cloud's attempts leave their files."""
        from ..aws.bucket import SweepBucket
        from ..aws.cloud import Cloud

        cloud = Cloud(self.options.get("profile", ""))
        return SweepBucket(cloud, self.options["region"], sweep_id, self.options.get("bucket", ""))


def far_sources(sweep: Sweep, tasks: Collection[int] | None = None) -> list[FarSource]:
    """The sources of this sweep whose files are elsewhere, with the attempts of these tasks (None: all)."""
    found: dict[str, FarSource] = {}
    for state in sweep.sources.values():
        options = dict(state.options)
        if is_elsewhere(state.kind, options):
            found[state.name] = FarSource(state.name, state.kind, options)
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


def ask_after_given_up(source: FarSource, sweep_id: str, root: Path) -> None:
    """Find out what became of the attempts that were given up there: what has ended is brought home like any other (and
    is a stray), what never began is nothing, and what lives still runs. `root`: the sweep's directory.

    Raises `HostAway`, `HostRefused`, `AreaError`, `AwsError`, `LaunchDamaged`, `OSError`.
    """
    if not source.given_up:
        return
    if is_cloud(source.kind):
        _ask_in_cloud(source, sweep_id, root)
    else:
        _ask_host(source, sweep_id)
    source.given_up.clear()


def _ask_host(source: FarSource, sweep_id: str) -> None:
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


def _ask_in_cloud(source: FarSource, sweep_id: str, root: Path) -> None:
    """An attempt that has left a report has ended; else its instance tells, by the launch that is written down."""
    from ..aws.fleet import GONE
    from ..aws.lookout import Clouds, Place, Written

    bucket = source.bucket(sweep_id)
    written = Written(root, source.name)
    ended = {ref for ref in source.given_up if bucket.report(attempt_name(ref)) is not None}
    ids = {ref: written.instance_of(ref) for ref in source.given_up if ref not in ended}
    fleet = Clouds().fleet(Place(source.name, source.options["region"], source.options))
    alive = {seen.id for seen in fleet.by_ids(filter(None, ids.values())) if seen.state not in GONE}
    for ref in source.given_up:
        if ref in ended or (ids[ref] and ids[ref] not in alive):
            source.attempts.append((ref, True))
        else:
            # Without an id nobody knows whether it was launched.
            source.running += 1


class _Bringing(Protocol):
    """What brings home: from another machine a `Collector`, from a bucket a `Homeward`."""

    def add(self, name: str, ref: Ref, directory: Path, failed: bool) -> None: ...
    def check(self) -> None: ...
    def close(self) -> None: ...


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
        self._collectors: list[_Bringing] = []
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
        rules = replace(CollectRules.of(source.options), interval=0.0, patience=PATIENCE)

        def tell(collected: Collected) -> None:
            self._told.put((source.name, collected))

        def say(words: str) -> None:
            complain(source.name, words)

        collector: _Bringing
        if is_cloud(source.kind):
            from ..aws.homeward import Homeward

            bucket = source.bucket(sweep_id)
            collector = Homeward(bucket, layout, tell, rules, complain=say, moved=moved)
        else:
            area = source.area(sweep_id)
            self._areas.append(area)
            collector = Collector(area, layout, tell, rules, complain=say, moved=moved, opens=True)
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
    """Delete the source's attempts there, if all of them are home. Raises as `remove_collected` does, or, for a bucket,
    as its namesake in `aws.removal`.
    """
    attempts = [
        (attempt_name(ref), layout.attempt(task_name(ref.task), ref.attempt)) for ref, _ in source.attempts
    ]
    if is_cloud(source.kind):
        from ..aws import removal

        return removal.remove_collected(source.bucket(sweep_id), attempts)
    area = source.area(sweep_id)
    try:
        area.open()
        return remove_collected(area, attempts)
    finally:
        area.host.close()
