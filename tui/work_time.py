"""How long a sweep has worked: the time in which something was launched or ran, without the pauses between."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine.sweep import Sweep

IDLE = 60.0
"""Seconds: shorter gaps between an end and the next launch belong to the work. Polls, launch delays and the wait for a
retry make such gaps; a sweep that was stopped and taken up again makes longer ones."""


class WorkTime:
    """Follows one live model. Made in O(attempts), kept up in O(1): call `look` after each refresh."""

    def __init__(self, sweep: Sweep) -> None:
        self._before = 0.0
        """Seconds of the spans that are over."""
        self.since = self._until = sweep.created_at
        """When the latest span of work began, and when something of it was last seen to run."""
        spans = [
            (attempt.launched_at, sweep.updated_at if attempt.ended_at is None else attempt.ended_at)
            for task in sweep.tasks
            for attempt in task.attempts
        ]
        for start, end in sorted(spans):
            self._launched(start)
            self._until = max(self._until, end)
        self._active, self._last_launch = sweep.active > 0, sweep.last_launch_at

    def look(self, sweep: Sweep) -> None:
        """Take in what happened since the last look."""
        launched, active = sweep.last_launch_at, sweep.active > 0
        if launched is not None and launched != self._last_launch and not self._active:
            self._launched(launched)
        if active or self._active or launched != self._last_launch:
            self._until = max(self._until, sweep.updated_at)
        self._active, self._last_launch = active, launched

    def seconds(self) -> float:
        """Until the last event that work had a part in."""
        return self._before + self._until - self.since

    def running_since(self) -> float:
        """When it would have begun, had it worked without a pause until now."""
        return self.since - self._before

    def _launched(self, at: float) -> None:
        if at > self._until + IDLE:
            self._before += self._until - self.since
            self.since = self._until = at
