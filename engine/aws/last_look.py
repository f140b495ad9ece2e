"""After a cancel: whether anything of a sweep is left at any of its places, and its end.

What is asked here is EC2, by the sweep's tag, and not what the engine knew. Nothing may launch for the sweep meanwhile:
who calls holds its lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..sweep import Sweep
from .account import other_account
from .errors import AwsError
from .fleet import Fleet, Swept
from .launches import LaunchDamaged
from .lookout import Clouds, Place, Written
from .model import Instance, InstanceState
from .parallel import Asker
from .strays import KnownSweep, judge

LIMIT = 300.0
"""Seconds in which all instances must have been told to go: a system that shuts down may take minutes."""


@dataclass(frozen=True, slots=True)
class LastLook:
    """What one place showed in the end: instances by state; ids of those that had been left and were ended; of those
    that stay, and why. `kept`: how many stand still as their tasks asked.

    `error`: nobody could be asked, and nothing is known.
    """

    place: Place
    states: Mapping[InstanceState, int] = field(default_factory=dict["InstanceState", int])
    ended: tuple[str, ...] = ()
    stay: tuple[tuple[str, str], ...] = ()
    kept: int = 0
    error: AwsError | None = None

    @property
    def clean(self) -> bool:
        return self.error is None and not self.stay

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.place.region} could not be asked: {self.error}"
        shown = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        parts = [f"EC2 shows {shown or 'no instance of it'}"]
        if self.ended:
            parts.append(f"ended {', '.join(self.ended)}, which nobody had accounted for")
        if self.kept:
            parts.append(f"{self.kept} kept, as asked")
        parts += [f"{identity} stays: {why}" for identity, why in self.stay]
        return f"{self.place.region}: {'; '.join(parts)}"


def last_look(
    root: Path,
    sweep: Sweep,
    where: Sequence[Place],
    clouds: Clouds,
    check: Callable[[], None] = lambda: None,
    *,
    limit: float = LIMIT,
) -> list[LastLook]:
    """Ask all these places at once, and end what is left there. `check` raises if another engine may launch: asked
    before anything is ended. Raises what it raises, and `OSError`.
    """
    found: list[LastLook] = []
    with Asker(limit + 30.0) as asker:
        asked = [
            (place, asker.ask(lambda place=place: _look(root, sweep, place, clouds, check, limit)))
            for place in where
        ]
        for place, answer in asked:
            try:
                found.append(answer.get())
            except AwsError as error:
                found.append(LastLook(place, error=error))
    return found


def _look(
    root: Path, sweep: Sweep, place: Place, clouds: Clouds, check: Callable[[], None], limit: float
) -> LastLook:
    try:
        written = Written(root, place.source)
    except LaunchDamaged as damage:
        # What was to be kept cannot be told from what is left.
        raise AwsError("other", "", str(damage)) from damage
    known = {sweep.id: KnownSweep(root, sweep, written={place.source: written})}
    other = other_account(root, place.source, clouds.of(place.profile).caller()[0])
    if other:
        raise AwsError("credentials", "", other)
    kept: set[str] = set()

    def is_kept(instance: Instance) -> bool:
        if judge(instance, known).verdict == "kept":
            kept.add(instance.id)
        return instance.id in kept

    fleet: Fleet = clouds.fleet(place)
    swept: Swept = fleet.terminate_all(sweep.id, until_gone=limit, spare=is_kept, check=check)
    refused = {identity: str(error) for identity, error in swept.refused}
    stay = tuple(
        (identity, refused.get(identity, f"not seen to go within {limit:g} s")) for identity in swept.left
    )
    return LastLook(place, swept.states, swept.ended, stay, len(kept))
