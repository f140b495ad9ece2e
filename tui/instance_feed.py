"""The instance of the task that is looked at closely: what was launched, and what EC2 says of it.

What was launched is read from the sweep's directory, at once; EC2 is asked in this feed's thread, now and then and only
while the instance may live, for it alone knows the zone, the state and an end that `extend` has moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .feed import Feed

if TYPE_CHECKING:
    from ..engine.aws.lookout import Place
    from ..engine.aws.model import Instance
    from ..engine.plan.model import Value

AGAIN = 30.0
"""Seconds between two questions for one instance."""
PATIENCE = 10.0
"""Seconds EC2 has to answer."""
_IDLE = 60.0


@dataclass(frozen=True, slots=True)
class InstanceTarget:
    """Whose instance to tell of. `started_at`: seconds since 1970; `alive`: whether it may be."""

    root: Path
    sweep: str
    source: str
    options: tuple[tuple[str, str], ...]
    launch: Mapping[str, Value] = field(hash=False)
    task: int
    attempt: int
    id: str
    started_at: float | None
    alive: bool


@dataclass(frozen=True, slots=True)
class InstanceTold:
    """What is known of it; empty text where nothing is."""

    id: str
    type: str = ""
    place: str = ""
    """Its zone, or its region while nobody has told the zone."""
    market: str = ""
    """`Spot` or `on-demand`."""
    ends_at: float | None = None
    """When its time to live is over, in seconds since 1970; None: never, or nobody knows."""
    state: str = ""
    """As EC2 says it."""
    trouble: str = ""
    """Why no more is known, in words."""
    on_complete: str = ""
    """What becomes of it once its task has ended: `terminate`, `stop` or `hibernate`."""


Ask = Callable[[InstanceTarget], "Instance | None"]


class InstanceFeed(Feed):
    """Tells of the instance it was pointed at last. `tell` is called in this feed's thread, as `ask` is."""

    def __init__(self, tell: Callable[[InstanceTold], object], ask: Ask | None = None) -> None:
        super().__init__("instance")
        self._tell, self._ask = tell, ask or seen
        self._target: InstanceTarget | None = None
        self._known: tuple[InstanceTarget, InstanceTold] | None = None

    def follow(self, target: InstanceTarget | None) -> None:
        """Tell of this one from now on; None: of none."""
        if target != self._target:
            self._target = target
            self.wake()

    def look(self) -> float | None:
        target = self._target
        if target is None:
            return _IDLE
        if self._known is None or self._known[0] != target:
            self._known = target, written(target)
            self._tell(self._known[1])
        if not target.alive:
            return _IDLE
        from ..engine.aws.errors import AwsError

        try:
            instance = self._ask(target)
        except AwsError as error:
            self._tell(_with_trouble(self._known[1], f"EC2 does not say more: {error}"))
        else:
            if instance is not None:
                self._tell(_told(target, instance, self._known[1]))
        return AGAIN

    def failed(self, why: str) -> None:
        if self._target is not None:
            self._tell(InstanceTold(self._target.id, trouble=why))


def written(target: InstanceTarget) -> InstanceTold:
    """What the sweep's directory and its plan say of it: the launch it came from, and the end it was given then."""
    from ..engine.aws.launches import LaunchDamaged, LaunchStore
    from ..engine.aws.lookout import asked_for
    from ..state.disk import LocalDisk

    place = _place(target)
    spec = asked_for(target.launch, place)
    ends_at, then = None, spec.on_complete if spec is not None else ""
    if spec is not None and spec.ttl is not None and target.started_at is not None:
        ends_at = target.started_at + spec.ttl
    kind, where, market, trouble = "", place.region, "", ""
    try:
        for request, _ in LaunchStore(target.root / "ec2" / target.source, LocalDisk()).open():
            if (target.task, target.attempt) in request.attempts:
                kind, market = request.type, request.market
                zone = request.variant.zone
                where = zone if zone.startswith(place.region) else where
    except (LaunchDamaged, OSError) as error:
        trouble = str(error)
    return InstanceTold(target.id, kind, where, _market(market), ends_at, trouble=trouble, on_complete=then)


def seen(target: InstanceTarget) -> Instance | None:
    """What EC2 says of it; None if it knows none of that id. Raises `AwsError`."""
    from ..engine.aws.lookout import Clouds

    found = Clouds().fleet(_place(target), PATIENCE).by_ids([target.id])
    return found[0] if found else None


def _told(target: InstanceTarget, instance: Instance, before: InstanceTold) -> InstanceTold:
    from ..engine.aws.lookout import asked_for, deadline

    spec = asked_for(target.launch, _place(target))
    return InstanceTold(
        instance.id, instance.type, instance.zone or before.place, _market(instance.market),
        deadline(instance, spec.ttl if spec is not None else None), instance.state,
        on_complete=before.on_complete,
    )  # fmt: skip


def _with_trouble(known: InstanceTold, why: str) -> InstanceTold:
    return replace(known, trouble=why)


def _place(target: InstanceTarget) -> Place:
    from ..engine.aws.lookout import Place

    options = dict(target.options)
    return Place(target.source, options.get("region", ""), options)


def _market(word: str) -> str:
    return "Spot" if word == "spot" else word
