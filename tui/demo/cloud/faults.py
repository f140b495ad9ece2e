"""What goes wrong, as rules: which calls they meet, what becomes of these, how often and for how long."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .call import Call
from .clock import Clock


@dataclass(slots=True)
class Rule:
    """A fault. Empty text, or `*`: any. `times` None: until it is taken away; times in seconds."""

    action: str = "*"
    service: str = ""
    region: str = ""
    asker: str = ""
    form: Mapping[str, str] | None = None
    """Fields of the request that must have these values, as in `{"InstanceType": "c5.large"}`."""
    code: str = ""
    """Answer with this error. Empty: the call is carried out, after `delay`."""
    message: str = ""
    status: int = 400
    times: int | None = None
    probability: float = 1.0
    seconds: float | None = None
    delay: float = 0.0
    drop: bool = False
    """Break the connection instead of answering; the call is not carried out."""
    deaf: bool = False
    """Carry the call out, then break the connection: it happened, and nobody is told."""
    until: float | None = None
    id: int = 0

    def meets(self, call: Call) -> bool:
        return (
            self.action in ("*", call.action)
            and self.service in ("", call.service)
            and self.region in ("", call.region)
            and self.asker in ("", call.asker)
            and all(call.form.get(key) == value for key, value in (self.form or {}).items())
        )


READY: dict[str, dict[str, Any]] = {
    "throttling": {
        "asker": "client", "service": "ec2", "code": "RequestLimitExceeded", "message": "Request limit exceeded.",
        "status": 503, "probability": 0.5,
    },
    "slow_down": {
        "service": "s3", "code": "SlowDown", "message": "Please reduce your request rate.", "status": 503,
        "probability": 0.5,
    },
    "no_capacity": {
        "service": "ec2", "action": "RunInstances", "code": "InsufficientInstanceCapacity", "status": 500,
        "message": "We currently do not have sufficient capacity in the Availability Zone you requested. Our system "
        "will be working on provisioning additional capacity.",
    },
    "region_down": {
        "asker": "client", "code": "InternalError", "message": "An internal error has occurred", "status": 500,
    },
    "expired": {"asker": "client", "code": "RequestExpired", "message": "Request has expired.", "status": 400},
    "unauthorized": {
        "asker": "client", "code": "UnauthorizedOperation", "message": "You are not authorized to perform this "
        "operation.", "status": 403,
    },
    "silence": {"asker": "client", "drop": True},
    "answer_lost": {"asker": "client", "deaf": True, "times": 1},
}  # fmt: skip
"""Faults by name; every field can be given otherwise."""

_NAMES = {field.name for field in fields(Rule)} - {"id", "until"}


class Faults:
    """The rules, the newest first to be asked. Safe in many threads."""

    def __init__(self, clock: Clock, seed: int = 1) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._numbers = itertools.count(1)
        self._random = random.Random(seed)

    def add(self, told: Mapping[str, Any]) -> Rule:
        """Add a rule from its fields, or from the name of one in `READY` as `ready`. Raises `ValueError` in words."""
        given = dict(told)
        name = given.pop("ready", "")
        if name and name not in READY:
            raise ValueError(f"no fault is called {name!r}; there are {', '.join(READY)}")
        given = {**READY.get(name, {}), **given}
        if unknown := set(given) - _NAMES:
            raise ValueError(
                f"a fault has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(_NAMES))}"
            )
        rule = Rule(**given)
        if rule.seconds is not None:
            rule.until = self._clock.now() + rule.seconds
        with self._lock:
            rule.id = next(self._numbers)
            self._rules.insert(0, rule)
        return rule

    def remove(self, number: int | None = None) -> None:
        """Take a rule away; None: all of them."""
        with self._lock:
            self._rules = [rule for rule in self._rules if number is not None and rule.id != number]

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def meet(self, call: Call) -> Rule | None:
        """The rule that meets this call, counted."""
        now = self._clock.now()
        with self._lock:
            self._rules = [rule for rule in self._rules if (rule.until or now) >= now and rule.times != 0]
            for rule in self._rules:
                if rule.meets(call) and self._random.random() < rule.probability:
                    if rule.times is not None:
                        rule.times -= 1
                    return rule
        return None


def code_for(rule: Rule, call: Call) -> str:
    """The rule's code as that service says it: expired credentials have a name in each."""
    if rule.code != "RequestExpired" or call.service == "ec2":
        return rule.code
    return "ExpiredToken" if call.service in ("s3", "sts", "iam") else "ExpiredTokenException"
