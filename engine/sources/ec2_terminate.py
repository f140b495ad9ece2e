"""Ends instances: what was cancelled, what does not go though its work is over, and what nobody waits for."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

from ..aws.fleet import GONE, Fleet, Told
from ..aws.model import ALIVE, Instance
from ..observe import SawHealth
from .base import SourceContext
from .ec2_live import Attempts, Live

LINGER = 300.0
"""Seconds an instance may go on after its report before it is ended from outside."""
_AT_ONCE = -math.inf


class Terminator:
    """Asks the context before anything is ended: another engine may hold the sweep."""

    def __init__(self, attempts: Attempts, fleet: Fleet, context: SourceContext) -> None:
        self._attempts, self._fleet, self._context = attempts, fleet, context
        self._over: dict[str, tuple[float, str]] = {}
        """Instances whose attempt has ended, with since when (monotonic), and how they shall end."""
        self._refused: dict[str, str] = {}
        """Instances that EC2 does not let us end, and its words."""

    @property
    def waits(self) -> bool:
        """Whether there are instances that have yet to go."""
        return bool(self._over)

    def attempt_ended(self, live: Live) -> None:
        """Its instance has a while to go by itself."""
        how = live.spec.on_complete if live.spec is not None else "terminate"
        self._over.setdefault(live.instance, (time.monotonic(), "terminate" if live.stopping else how))

    def end_now(self, instance: str) -> None:
        self._over[instance] = (_AT_ONCE, "terminate")

    def find_strays(self, instances: Iterable[Instance]) -> None:
        """Instances of ours whose attempt has ended: an engine before this one died before they had gone."""
        held = {live.instance for live in self._attempts} | self._over.keys()
        for instance in instances:
            how = self._attempts.launches.get(instance.launch)
            if instance.id not in held and instance.state in ALIVE and how == "terminate":
                self.end_now(instance.id)

    def end(self, instances: Mapping[str, Instance], now: float) -> bool:
        """End what is to end, as EC2 shows it (`instances`, by id). Whether anything was. Raises `AwsError`."""
        terminate = [live.instance for live in self._attempts if live.stopping and live.instance]
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
        if left:
            self._complain("terminated", self._fleet.terminate(left))
        if stop:
            self._complain("stopped", self._fleet.stop(stop))
        return bool(left)

    def _complain(self, what: str, told: Told) -> None:
        """Somebody protected it, or nobody may: it is tried again each time, and said once."""
        for identity, error in told.refused:
            if self._refused.get(identity) != error.code:
                self._refused[identity] = error.code
                self._attempts.tell(SawHealth(queue=f"{identity} cannot be {what}: {error}"))
