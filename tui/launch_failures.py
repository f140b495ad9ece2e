"""Launches that failed, equal ones counted together: a thousand tasks that one wrong partition refuses are one line.

An instance that was lost with its task stands among them: most of those never came up. Kept by the feed's thread beside
the live model. Costs O(new events); O(attempts of the tasks a launch failed for) once, with instances O(attempts).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from ..engine import events as ev
from ..engine.collect.elsewhere import is_cloud

if TYPE_CHECKING:
    from ..engine.source_state import SourceState
    from ..engine.sweep import Sweep

_TASK = re.compile(r"task_[0-9]+(\.[0-9]+)?|\bi-[0-9a-f]{8,17}\b")
"""What tells two messages apart that say the same of two tasks."""
_CONSEQUENCES = (
    re.compile(
        r".* unreachable for \S+ s \((?P<cause>.*)\); given up(; its cancel was not confirmed)?", re.DOTALL
    ),
    re.compile(r"never sent: (?P<cause>.*)", re.DOTALL),
    re.compile(r"[0-9]+ failures in a row: (?P<cause>.*)", re.DOTALL),
)
"""How `decide`, the sources and `trust` tell of what they did for a reason."""


def same_reason(message: str) -> str:
    """What messages have in common that say the same of different tasks."""
    return _TASK.sub("task", message)


def cause_of(message: str) -> str:
    """The reason within the engine's words for what followed from it, as far as it is the same of different tasks."""
    for consequence in _CONSEQUENCES:
        found = consequence.fullmatch(message)
        if found:
            message = found["cause"]
    return same_reason(message)


@dataclass(slots=True)
class LaunchFailure:
    """Failed launches of one source with one cause. All but `tasks` is the latest's, `at` in seconds.

    `kind`: `launch_failed`, or `source_lost` of instances.
    """

    source: str
    message: str
    task: int
    attempt: int
    at: float
    kind: str = "launch_failed"
    tasks: set[int] = field(default_factory=set[int])


class LaunchFailures:
    """The groups of one sweep, by `(source, cause)`, the one that grew last at the end."""

    def __init__(self, sweep: Sweep, *, instances: bool = False) -> None:
        """`instances`: count instances that were lost too."""
        self._groups: dict[tuple[str, str], LaunchFailure] = {}
        self._instances = instances and any(_is_cloud(source) for source in sweep.sources.values())
        # Of launches the model keeps which tasks they failed for; of instances it does not.
        tasks = range(sweep.total) if self._instances else sweep.launch_failures
        found = [
            (attempt.ended_at or attempt.launched_at, task, attempt.number)
            for task in tasks
            for attempt in sweep.tasks[task].attempts
            if self._is_one(sweep, attempt.kind, attempt.source)
        ]
        for at, task, number in sorted(found):
            self._add(sweep, task, number, at)

    def look(self, sweep: Sweep, records: Iterable[ev.Record]) -> None:
        """Take in what has happened since."""
        for record in records:
            if isinstance(record.event, ev.Ended):
                for end in record.event.attempts:
                    attempt = sweep.tasks[end.task].attempts[end.attempt - 1]
                    if self._is_one(sweep, end.kind, attempt.source):
                        self._add(sweep, end.task, end.attempt, record.at)

    def latest(self, most: int) -> list[LaunchFailure]:
        """Up to `most` groups, the latest first."""
        return list(islice(reversed(self._groups.values()), most))

    def _is_one(self, sweep: Sweep, kind: str | None, source: str) -> bool:
        if kind == "launch_failed":
            return True
        return self._instances and kind == "source_lost" and _is_cloud(sweep.sources[source])

    def _add(self, sweep: Sweep, task: int, number: int, at: float) -> None:
        attempt = sweep.tasks[task].attempts[number - 1]
        key = (attempt.source, cause_of(attempt.message))
        group = self._groups.pop(key, None)
        if group is None:
            group = LaunchFailure(attempt.source, attempt.message, task, number, at)
        group.kind = attempt.kind or ""
        group.message, group.task, group.attempt, group.at = attempt.message, task, number, at
        group.tasks.add(task)
        self._groups[key] = group


def _is_cloud(source: SourceState) -> bool:
    return is_cloud(source.kind)
