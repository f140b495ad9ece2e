"""A copy at home of the logs of an attempt that runs on an instance, kept fresh for who looks at it.

The instance uploads its logs as they grow; this reads what is new of them in the bucket. A `Mirror` in all that who
looks at it sees of it.
"""

from __future__ import annotations

import time

from ..remote.mirror import COUNT, LAST_PAUSE, Mirror
from .bucket import SweepBucket
from .errors import TEMPORARY, AwsError
from .stored import Piece

POLL = 5.0
"""Seconds between two looks: the instance uploads every 15 s, and every look is a request that is paid for."""
FAREWELL = 120.0
"""Seconds an instance may go on after a spot notice, which it reports before its outputs are uploaded."""


class BucketMirror(Mirror):
    """The attempt `attempt` (`task_001.1`) in `bucket`. `keep` as in `Mirror`."""

    def __init__(
        self,
        bucket: SweepBucket,
        source: str,
        attempt: str,
        *,
        keep: int | None = 16 << 20,
        poll: float = POLL,
    ) -> None:
        super().__init__(bucket.sweep_id, source, {}, attempt, keep=keep, poll=poll)
        self._bucket = bucket
        self._known: dict[str, Piece] = {}

    def _run(self) -> None:
        pause: float | None = 0.0
        while pause is not None and not self._closing.wait(pause):
            pause = self._turn_to_bucket()

    def _turn_to_bucket(self) -> float | None:
        """One look; returns the seconds until the next, None if there will be nothing new."""
        try:
            ended = self._has_ended()
            # What was uploaded before the report is then in what follows.
            begun = more = False
            for name, copy in self._copies.items():
                piece = self._read(name, max(0, copy.offset), COUNT if copy.offset >= 0 else 0)
                if piece is not None:
                    begun = True
                    more = self._take(copy, piece.size, piece.data) or more
        except AwsError as error:
            return self._failed(error)
        except OSError as error:
            return self._say("away", f"the copy cannot be written: {error.strerror or error}", LAST_PAUSE)
        self._failures = 0
        now = time.time()
        if more:
            return self._say("live", f"live from {self._source}", 0.0, now)
        if ended:
            self._say("ended", f"it has ended on {self._source}", 0.0, now)
            return None
        if begun:
            return self._say("live", f"live from {self._source}", self._poll, now)
        return self._say("waiting", f"it has not begun on {self._source}", self._poll, now)

    def _failed(self, error: AwsError) -> float:
        words = f"{self._source}: {error}"
        if error.kind in TEMPORARY:
            self._failures += 1
            return self._say("away", words, min(LAST_PAUSE, self._poll * 2.0 ** min(self._failures, 10)))
        return self._say("gone" if error.kind == "not_found" else "refused", words, LAST_PAUSE)

    def _has_ended(self) -> bool:
        report = self._bucket.report(self._attempt)
        if report is None:
            return False
        return report.flag != "spot" or time.time() - (report.ended_at or 0.0) > FAREWELL

    def _read(self, name: str, offset: int, count: int) -> Piece | None:
        """What is new of a file; one request, and without content if nothing is."""
        known = self._known.get(name)
        if known is not None and offset < known.size:
            known = None  # the rest of what is known to be there
        piece = self._bucket.piece(self._attempt, name, offset, count, known)
        if piece is None:
            self._known.pop(name, None)
        elif count:
            self._known[name] = piece
        return piece
