"""What may befall an engine at any step it takes outside of itself.

Every operation on the disk and every call of a source passes a *point*. At one of them, drawn from the seed, the
engine's fate strikes: it dies, the machine loses power, or the process stands still while another takes the sweep over.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from random import Random


class Crash(BaseException):
    """The engine's process dies here. No `except Exception` of the program may see it."""


class PowerFailure(Crash):
    """The engine's machine dies here: what was not synced may vanish, and what ran on it is gone."""


class Fate(enum.Enum):
    CRASH = "crash"
    POWER = "power failure"
    SLEEP = "sleeps through a takeover"


class When(enum.Enum):
    BEFORE = "before"
    MIDDLE = "in the middle of"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Strike:
    """What happens at the chosen point."""

    fate: Fate
    when: When
    after: int
    """At which of the points it is told of."""
    what: str = ""
    """Of those where the engine does this; all but mere looks if empty."""

    def death(self) -> Crash:
        return PowerFailure() if self.fate is Fate.POWER else Crash()

    def concerns(self, what: str) -> bool:
        return what == self.what if self.what else what not in LOOKS


LOOKS = frozenset({"read", "size", "names"})
RARE = (
    "read",
    "size",
    "create",
    "replace",
    "truncate",
    "remove",
    "prepare",
    "launch",
    "launched",
    "cancel",
    "adopt",
)


def draw_strike(rng: Random, fates: list[Fate]) -> Strike:
    """What strikes an engine, and where. Many deaths come early: starts are delicate."""
    fate, when = rng.choice(fates), rng.choice(list(When))
    lot = rng.random()
    if lot < 0.35:
        return Strike(fate, when, rng.randint(1, 3), rng.choice(RARE))
    return Strike(fate, when, rng.randint(1, 10) if lot < 0.6 else 1 + int(rng.expovariate(1 / 40)))
