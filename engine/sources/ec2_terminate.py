"""Ends instances: what was cancelled, what does not go though its work is over, and what nobody waits for."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

from ..aws.fleet import GONE, Fleet
from ..aws.model import ALIVE, Instance
from ..observe import SawEnd, SawHealth
from .base import SourceContext
from .ec2_live import Attempts, Live

LINGER = 300.0
"""Seconds an instance may go on after its report before it is ended from outside."""
_AT_ONCE = -math.inf
_MOST_TOLD = 3
"""Instances that are named of those that cannot be ended."""


class Terminator:
    """Asks the context before anything is ended: another engine may hold the sweep."""

    def __init__(self, attempts: Attempts, fleet: Fleet, context: SourceContext) -> None:
        self._attempts, self._fleet, self._context = attempts, fleet, context
        self._over: dict[str, tuple[float, str]] = {}
        """Instances whose attempt has ended, with since when (monotonic), and how they shall end."""

    @property
    def waits(self) -> bool:
        """Whether there are instances that have yet to go."""
        return bool(self._over)

    def attempt_ended(self, live: Live, end: SawEnd) -> None:
        """Its instance has a while to go by itself; what has stopped as its task asked stays, whoever cancels then."""
        how = live.spec.on_complete if live.spec is not None else "terminate"
        kept = self._rests(live.seen) and not end.stopped and end.exit_code is not None
        if live.stopping and not kept:
            how = "terminate"
        self._over.setdefault(live.instance, (time.monotonic(), how))

    def end_now(self, instance: str) -> None:
        """Raises `AwsError`: then it may go on, and nobody may be told otherwise."""
        self._context.check()
        self._fleet.terminate([instance])
        self._over[instance] = (_AT_ONCE, "terminate")

    def _rests(self, instance: Instance | None) -> bool:
        """Whether it stands still, or is about to, and was launched to do so in the end."""
        return (
            instance is not None
            and instance.state in ("stopping", "stopped")
            and self._attempts.launches.get(instance.launch) == "stop"
        )

    def find_strays(self, instances: Iterable[Instance]) -> None:
        """Instances of ours whose attempt has ended: an engine before this one died before they had gone."""
        held = {live.instance for live in self._attempts} | self._over.keys()
        for instance in instances:
            how = self._attempts.launches.get(instance.launch)
            if instance.id not in held and instance.state in ALIVE and how == "terminate":
                self._over[instance.id] = (_AT_ONCE, how)

    def end(self, instances: Mapping[str, Instance], now: float) -> bool:
        """End what is to end, as EC2 shows it (`instances`, by id). Whether anything was. Raises `AwsError`."""
        terminate = [
            live.instance for live in self._attempts
            # Of one that rests the report is read first: it may have been done before anybody cancelled.
            if live.stopping and live.instance and not self._rests(instances.get(live.instance))
        ]  # fmt: skip
        stop: list[str] = []
        for identity, (since, how) in list(self._over.items()):
            instance = instances.get(identity)
            if (
                instance is None
                or instance.state in GONE
                or (instance.state == "stopped" and how != "terminate")
            ):
                del self._over[identity]
            elif instance.state == "stopped":
                terminate.append(identity)
            elif instance.state in ALIVE and now - since >= LINGER:
                (terminate if how == "terminate" else stop).append(identity)
        # One that is not shown may be there all the same.
        left = [one for one in terminate if one not in instances or instances[one].state not in GONE]
        if not (left or stop):
            return False
        self._context.check()
        refused = [
            *(
                (one, "terminated", error)
                for one, error in (self._fleet.terminate(left).refused if left else ())
            ),
            *((one, "stopped", error) for one, error in (self._fleet.stop(stop).refused if stop else ())),
        ]
        if refused:
            # Somebody protected it, or nobody may: it is tried again each time.
            words = "; ".join(f"{one} cannot be {what}: {error}" for one, what, error in refused[:_MOST_TOLD])
            more = f"; and {len(refused) - _MOST_TOLD} more" if len(refused) > _MOST_TOLD else ""
            self._attempts.tell(SawHealth(queue=words + more))
        return bool(left)
