"""How often one region of AWS is asked, and what is asked again: a rate that learns from throttling, and backoff.

EC2 throttles each operation of an account and region by a token bucket ("Request throttling for the Amazon EC2 API":
RunInstances holds 5 tokens and gains 2 a second, most others hold 50 to 100 and gain 10 to 20). The account's true
limits and who else uses them cannot be asked, so they are felt for, as botocore's adaptive mode does
(botocore/retries/adaptive.py): the rate falls to 0.7 of itself when a call is throttled (the beta of CUBIC, RFC 9438,
4.6) and grows by a constant while calls succeed. Additive increase and multiplicative decrease share a limit fairly
among all who keep to it (Chiu and Jain, 1989).

What failed for a time is repeated after a random part of a doubling wait ("full jitter": Brooker, "Exponential Backoff
And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .errors import TEMPORARY, AwsError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How an operation begins: calls per second, and how many may come at once."""

    rate: float
    burst: float


PACES = {
    "RunInstances": Pace(2.0, 5.0),
    # S3 takes 3,500 writes and 5,500 reads a second below one prefix ("Best practices design patterns", Amazon S3).
    **dict.fromkeys(("GetObject", "HeadObject", "ListObjectsV2", "PutObject"), Pace(200.0, 400.0)),
}
USUAL = Pace(20.0, 50.0)
DECREASE = 0.7
GROWTH = 0.1
"""Of its first rate, by which a rate in full use grows every second."""
LEAST, MOST = 0.1, 5.0
"""Of its first rate, between which a rate stays; and it is never under one call in `SLOWEST` seconds."""
SLOWEST = 2.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 20.0
"""Seconds of the first wait before a call is repeated, and of the longest, before chance takes its part."""
_HAIR = 1e-9
"""Tokens that rounding may take."""


class Stopped(AwsError):
    """The program is ending, and waits no longer for AWS. Nothing is known of what was asked."""

    def __init__(self, operation: str = "") -> None:
        super().__init__("unreachable", "", "it is not asked any more, the engine is ending", operation)


class Pacer:
    """Paces all calls to one region; safe in many threads.

    `clock` in seconds, from any start; `sleep` waits, by default until `stop` is set, which ends every wait.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        *,
        stop: threading.Event | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.clock = clock
        self.stop = threading.Event() if stop is None else stop
        self._sleep = self.stop.wait if sleep is None else sleep
        self._random = random
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}

    def call(self, operation: str, function: Callable[[], T], *, limit: float) -> T:
        """What `function` returns: asked in its turn, and again while it fails for a time, for `limit` seconds.

        Raises its `AwsError` if that is definite, else the last one when the time is up; `Stopped` while it waits.
        """
        ends = self.clock() + limit
        last: AwsError | None = None
        tries = 0
        while True:
            sent = self._turn(operation, ends, last)
            if self.stop.is_set():
                raise Stopped(operation)
            try:
                answer = function()
            except AwsError as error:
                self._learn(operation, sent, throttled=error.kind == "throttled")
                left = ends - self.clock()
                if error.kind not in TEMPORARY or left <= 0:
                    raise
                last = error
            else:
                self._learn(operation, sent, throttled=False)
                return answer
            self.pause(min(left, self._backoff(tries)), operation)
            tries += 1

    def pause(self, seconds: float, operation: str = "") -> None:
        """Wait. Raises `Stopped`, at once, when the program is ending."""
        self._sleep(seconds)
        if self.stop.is_set():
            raise Stopped(operation)

    def rate(self, operation: str) -> float:
        """Calls of this operation per second, as they may be sent now."""
        with self._lock:
            return self._lane(operation).rate

    def _backoff(self, tries: int) -> float:
        return self._random() * min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(tries, 10))

    def _lane(self, operation: str) -> _Lane:
        lane = self._lanes.get(operation)
        if lane is None:
            lane = self._lanes[operation] = _Lane(PACES.get(operation, USUAL), self.clock())
        return lane

    def _turn(self, operation: str, ends: float, last: AwsError | None) -> _Sent:
        """Wait for a token, first come, first served."""
        place = object()
        waited = False
        with self._lock:
            lane = self._lane(operation)
            lane.queue.append(place)
        try:
            while True:
                with self._lock:
                    ahead = lane.queue.index(place)
                    now, rate = self.clock(), lane.rate
                    seconds = lane.wait(ahead, now)
                    if seconds <= 0:
                        lane.queue.remove(place)
                        return lane.take(waited)
                if now + seconds > ends:
                    words = f"not asked: {ahead} calls wait before it, at {rate:.1f} a second"
                    raise last or AwsError("throttled", "", words, operation)
                waited = True
                self.pause(seconds, operation)
        except BaseException:
            with self._lock:
                lane.queue.remove(place)
            raise

    def _learn(self, operation: str, sent: _Sent, *, throttled: bool) -> None:
        with self._lock:
            lane = self._lane(operation)
            if throttled:
                lane.slow_down(sent)
            elif sent.waited:
                # A rate that nobody used to the full was not tried: to raise it would be a guess.
                lane.speed_up()


@dataclass(frozen=True, slots=True)
class _Sent:
    """A call on its way: the how-manieth of its operation, and whether it had to wait for its turn."""

    number: int
    waited: bool


class _Lane:
    """One operation's bucket and who waits at it. Its user holds a lock."""

    def __init__(self, pace: Pace, now: float) -> None:
        self.rate = pace.rate
        self.queue: deque[object] = deque()
        self._pace = pace
        self._least = max(1 / SLOWEST, LEAST * pace.rate)
        self._tokens = pace.burst
        self._filled_at = now
        self._sent = 0
        self._slowed_at = 0
        """How many had been sent when the rate fell last."""

    def wait(self, ahead: int, now: float) -> float:
        """Seconds until there is a token for one who has `ahead` others before it."""
        self._fill(now)
        missing = ahead + 1 - self._tokens
        return missing / self.rate if missing > _HAIR else 0.0

    def take(self, waited: bool) -> _Sent:
        self._tokens -= 1
        self._sent += 1
        return _Sent(self._sent, waited)

    def slow_down(self, sent: _Sent) -> None:
        # Calls that were under way together are throttled together, and that is one sign, not many.
        if sent.number <= self._slowed_at:
            return
        self._slowed_at = self._sent
        self._tokens = 0.0
        self.rate = max(self._least, self.rate * DECREASE)

    def speed_up(self) -> None:
        self.rate = min(MOST * self._pace.rate, self.rate + GROWTH * self._pace.rate / self.rate)

    def _fill(self, now: float) -> None:
        burst = max(1.0, self._pace.burst * min(1.0, self.rate / self._pace.rate))
        self._tokens = min(burst, self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
