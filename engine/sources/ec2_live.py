"""The attempts of a source of instances that may be alive: which instance each has, and what was seen of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from ..aws.launches import LaunchRequest
from ..aws.model import Instance, InstanceSpec
from ..events import Ref
from ..observe import Observation, SawEnd, SawNothing, SawWithdrawn
from .base import Job
from .ec2_launch import Group
from .ec2_rates import Rates

ASK_AGAIN = 300.0
"""Seconds between two questions for a price that nobody could say."""


class Tell(Protocol):
    """Hands over what was seen."""

    def __call__(self, *seen: Observation) -> None: ...


@dataclass(slots=True)
class Live:
    """An attempt that may be alive. Times are monotonic seconds, unless they are EC2's."""

    job: Job
    name: str
    spec: InstanceSpec | None = None
    group: Group | None = None
    """Its launch, as long as that is under way."""
    instance: str = ""
    price: Future[float | None] | None = None
    priced: bool = False
    """Whether its price was told."""
    priced_at: float = 0.0
    """When it was last asked for."""
    since: float = 0.0
    """Since when it has its instance."""
    seen: Instance | None = None
    seen_at: float = 0.0
    alive_at: float | None = None
    """When it was last seen alive, in seconds since 1970."""
    running: bool = False
    stopping: bool = False
    adopted: bool = False
    """Whether an engine before this one launched it."""
    report_asked: bool = False
    """Whether its report was asked for though EC2 has never shown it."""
    signs: bool = False
    """Whether anything of it was found in the bucket."""
    signs_asked: float = 0.0
    """When they were last looked for."""
    look_due: float = 0.0
    tagged: bool = False
    told_unknown: bool = False
    forgotten: str = ""
    """What EC2 has forgotten it of, in words: it was launched, and nobody knows its instance any more."""

    @property
    def rate(self) -> float | None:
        """USD per hour; None as long as nobody has said it."""
        asked = self.price
        return asked.result() if asked is not None and asked.done() and not asked.cancelled() else None


class Attempts:
    """All `Live` attempts of one source, by attempt. Of the source's own thread alone."""

    def __init__(self, tell: Tell, rates: Rates) -> None:
        self.tell = tell
        self._rates = rates
        self._live: dict[Ref, Live] = {}
        self.stirred_at = -math.inf
        """When something was last launched or ended (monotonic)."""
        self.launches: dict[str, str] = {}
        """How the instances of a launch of this sweep end, by its token; other instances are none of ours."""

    def __contains__(self, ref: object) -> bool:
        return ref in self._live

    def __getitem__(self, ref: Ref) -> Live:
        return self._live[ref]

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._live.values()))

    def add(self, live: Live) -> None:
        self._live[live.job.ref] = live

    def on_instances(self) -> list[Live]:
        return [live for live in self._live.values() if live.instance]

    def known(self, refs: Iterable[Ref]) -> list[Live]:
        return [self._live[ref] for ref in refs if ref in self._live]

    def stir(self) -> None:
        self.stirred_at = time.monotonic()

    def has_instance(self, live: Live, request: LaunchRequest, instance: str) -> None:
        """Its launch has brought it this one."""
        self.know(request)
        live.instance, live.group, live.since = instance, None, time.monotonic()
        live.price, live.priced_at = self._rates.ask(request.type, request.market), live.since

    def price_again(self, live: Live, instance: Instance, now: float) -> None:
        """Ask once more for a price that nobody could say, every few minutes: a budget does not see it until then."""
        if (
            live.price is None
            or not live.price.done()
            or live.rate is not None
            or now < live.priced_at + ASK_AGAIN
        ):
            return
        live.price, live.priced_at = self._rates.ask(instance.type, instance.market), now

    def know(self, request: LaunchRequest) -> None:
        behaviour = request.request.get("InstanceInitiatedShutdownBehavior")
        self.launches[request.token] = "stop" if behaviour == "stop" else "terminate"

    def forget(self, live: Live, seen: SawEnd | SawNothing | SawWithdrawn) -> None:
        """It is over, for this reason."""
        self._live.pop(live.job.ref, None)
        self.tell(seen)
        self.stir()

    def let_go(self, jobs: Sequence[Job]) -> None:
        """Nothing came of these; whoever calls tells why."""
        for job in jobs:
            self._live.pop(job.ref, None)
