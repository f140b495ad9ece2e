"""Time in a simulated world: one true time that only moves on, and engines whose wall clocks are wrong about it."""

from __future__ import annotations

EPOCH = 1_700_000_000.0


class WorldTime:
    """True time in seconds since 1970. `tick` is what every look at a clock costs."""

    def __init__(self, tick: float) -> None:
        self.now = EPOCH
        self.wall_offset = 0.0
        """How far the wall clock of the engine's machine is off now; it changes between two engine lives."""
        self._tick = tick

    def read(self) -> float:
        self.now += self._tick
        return self.now


class EngineClock:
    """As `engine.clock.SteadyClock`: set once by the wall clock or the journal, then moving with true time."""

    def __init__(self, time: WorldTime, not_before: float) -> None:
        self._time = time
        self._offset = max(time.now + time.wall_offset, not_before) - time.now

    def __call__(self) -> float:
        return self._offset + self._time.read()

    def ahead(self, at: float) -> float:
        """True time at which this clock shows `at`."""
        return at - self._offset
