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
        self._read(sweep)

    def _read(self, sweep: Sweep) -> None:
        self._before = 0.0
        """Seconds of the spans that are over."""
        self.since = self._until = sweep.created_at
        """When the latest span of work began, and when something of it was last seen to run."""
        self.again = sweep.created_at
        """When it was last taken up again with a retry, after all had ended; before that, when it was created."""
        spans = [
            (
                attempt.launched_at,
                sweep.updated_at if attempt.ended_at is None else attempt.ended_at,
                task.tries_before > 0 and attempt.number == task.tries_before + 1,
            )
            for task in sweep.tasks
            for attempt in task.attempts
        ]
        taken_up = False
        for start, end, asked_for in sorted(spans):
            # Only the first: with one slot each of them begins when nothing else runs.
            if asked_for and start >= self._until and not taken_up:
                self.again, taken_up = start, True
            self._launched(start)
            self._until = max(self._until, end)
        self._active = sweep.active > 0
        self._last_launch: float | None = sweep.last_launch_at
        self._over = sweep.ended is not None

    def look(self, sweep: Sweep) -> None:
        """Take in what happened since the last look. When the sweep ends, O(attempts)."""
        launched, active = sweep.last_launch_at, sweep.active > 0
        if sweep.ended is not None:
            if not self._over or launched != self._last_launch:
                # An end is heard a while after it was: whoever opens the sweep later counts until the end itself.
                self._read(sweep)
            return
        if launched is not None and launched != self._last_launch and not self._active:
            if self._over:
                self.again, self._over = launched, False
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
