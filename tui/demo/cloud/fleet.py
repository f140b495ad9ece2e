"""Instances over time: what state each is in, what moves it on, and what ended it.

States and their codes: "Instance lifecycle" in the EC2 User Guide; reasons: `StateReason` in the API reference.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from .clock import Clock, Timers
from .ground import Moto, MotoInstance, set_public_ip, set_reason, set_spot_request, set_state
from .machine import Hypervisor, Machine
from .room import Market, quota_of

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
USER = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
HIBERNATED = ("Client.UserInitiatedHibernate", "Client.UserInitiatedHibernate: User initiated hibernate")
ITSELF = ("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown")
SPOT = (
    "Server.SpotInstanceTermination",
    "Server.SpotInstanceTermination: Instance terminated due to Spot interruption",
)
BROKEN = ("Server.InternalError", "Server.InternalError: Internal error on launch")


@dataclass(slots=True)
class Settings:
    """How long things take, in seconds; `minute` is how long a minute of `shutdown -P +5` is."""

    boot: float = 1.0
    check: float = 0.0
    """From running to the first status checks; `initializing` until then."""
    shutdown: float = 0.3
    """At least this long an instance is `shutting-down` or `stopping`, and at most `grace`."""
    grace: float = 10.0
    terminated: float = 3600.0
    """A terminated instance is seen for so long."""
    notice: float = 120.0
    minute: float = 60.0


@dataclass(slots=True)
class Next:
    """What becomes of the instances launched next: `count` of them, then nothing unusual any more."""

    invisible: float = 0.0
    """DescribeInstances does not know them for so many seconds."""
    never_boots: int = 0
    fails: int = 0
    """`pending`, then `terminated` with Server.InternalError."""


@dataclass(slots=True)
class Held:
    """One instance."""

    moto: MotoInstance
    machine: Machine
    reservation: str
    market: Market
    vcpus: int
    token: str
    role: str
    state: str = "pending"
    running_since: float | None = None
    impaired: bool = False
    hidden: bool = False
    gone: bool = False
    """Nobody is told of it any more."""
    notice_at: float | None = None
    """When its spot notice says it will be ended."""
    never_boots: bool = False
    reboots: bool = False
    settled_after: float = 0.0
    orders: int = 0
    """Counts its shutdown timers; an older one does nothing."""
    console: list[bytes] = field(default_factory=list[bytes])

    @property
    def id(self) -> str:
        return self.moto.id

    @property
    def region(self) -> str:
        return self.machine.region

    @property
    def live(self) -> bool:
        """Whether it holds capacity and counts against a quota."""
        return self.state in ("pending", "running", "shutting-down", "stopping")


class Fleet:
    """All instances of all regions. Every method wants the cloud's lock, but for `off` and `power`, which take it."""

    def __init__(self, moto: Moto, clock: Clock, lock: threading.RLock) -> None:
        self.defaults = Settings()
        self.settings, self.next = replace(self.defaults), Next()
        self.hypervisor: Hypervisor | None = None
        self._moto, self._clock, self._lock = moto, clock, lock
        self._timers = Timers(clock, lock)
        self._held: dict[str, Held] = {}

    # --- what is there -------------------------------------------------------------------------------------------

    def get(self, id: str) -> Held | None:
        return self._held.get(id)

    def all(self) -> list[Held]:
        return list(self._held.values())

    def seen(self, region: str) -> list[Held]:
        return [
            held
            for held in self._held.values()
            if held.region == region and not held.hidden and not held.gone
        ]

    def vcpus(self, region: str, quota: str) -> int:
        """How many vCPUs run against a quota."""
        total = 0
        for held in self._held.values():
            if held.region == region and held.live and not held.gone:
                counted = quota_of(held.machine.type, held.market)
                total += held.vcpus if counted is not None and counted.code == quota else 0
        return total

    def count(self, region: str, type_name: str, zone: str) -> int:
        """How many of a type run in a zone."""
        return sum(
            held.live and (held.region, held.machine.type, held.machine.zone) == (region, type_name, zone)
            for held in self._held.values()
        )

    def of_token(self, region: str, token: str) -> list[Held]:
        return [held for held in self._held.values() if held.region == region and held.token == token]

    def described(self) -> list[dict[str, Any]]:
        return [
            {"id": held.id, "region": held.region, "zone": held.machine.zone, "type": held.machine.type,
             "state": held.state, "market": held.market, "index": held.moto.ami_launch_index, "token": held.token,
             "reason": held.moto.state_reason.code, "impaired": held.impaired, "hidden": held.hidden,
             "gone": held.gone, "on": self._on(held), "tags": self._moto.tags(held.region, held.id)}
            for held in self._held.values()
        ]  # fmt: skip

    # --- launch, stop, start, end ---------------------------------------------------------------------------------

    def add(self, held: Held) -> None:
        """An instance that moto has just launched begins to boot."""
        self._held[held.id] = held
        self._to(held, "pending")
        set_reason(held.moto, "pending", "pending", "")
        if held.market == "spot":
            set_spot_request(held.moto, "sir-" + secrets.token_hex(4))
        if self.next.never_boots > 0:
            self.next.never_boots -= 1
            held.never_boots = held.impaired = True
        if self.next.invisible > 0:
            self._hide(held, self.next.invisible)
        if self.next.fails > 0:
            self.next.fails -= 1
            self._timers.after(self.settings.boot, lambda: self.end(held, BROKEN, to="terminated"))
            return
        self._timers.after(self.settings.boot, lambda: self._booted(held))

    def _booted(self, held: Held) -> None:
        if held.state != "pending" or held.gone:
            return
        self._to(held, "running")
        set_reason(held.moto, "", "", "")
        held.running_since = self._clock.now()
        if self.hypervisor is None or held.never_boots:
            return
        self.hypervisor.boot(held.machine)
        held.machine = replace(held.machine, first_boot=False)
        if address := self.hypervisor.address(held.id):
            set_public_ip(held.moto, address)

    def end(self, held: Held, reason: tuple[str, str], *, to: str, at_once: bool = False) -> None:
        """Shut an instance down: `to` is terminated or stopped. `at_once`: nothing there gets a moment more."""
        if held.state in ("shutting-down", "terminated") or (to == "stopped" and held.state != "running"):
            return
        was_on = held.state in ("running", "stopping")
        held.orders += 1
        self._to(held, "shutting-down" if to == "terminated" else "stopping")
        when = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%d %H:%M:%S GMT")
        user = reason in (USER, HIBERNATED, ITSELF)
        set_reason(held.moto, *reason, f"User initiated ({when})" if user else reason[0])
        held.settled_after = self._clock.now() + self.settings.shutdown
        if self.hypervisor is not None and was_on:
            if at_once:
                self.hypervisor.cut(held.id)
            else:
                self.hypervisor.halt(held.id)
        self._timers.after(self.settings.shutdown, lambda: self._settle(held, to))
        self._timers.after(
            max(self.settings.grace, self.settings.shutdown), lambda: self._settle(held, to, force=True)
        )

    def _settle(self, held: Held, to: str, *, force: bool = False) -> None:
        """What is shutting down has shut down, once its machine is off and the time it takes has passed."""
        expected = "shutting-down" if to == "terminated" else "stopping"
        if held.state != expected or held.gone or self._clock.now() < held.settled_after - 1e-6:
            return
        if self._on(held):
            if not force:
                return
            assert self.hypervisor is not None
            self.hypervisor.cut(held.id)
        code, words = held.moto.state_reason.code, held.moto.state_reason.message
        transition = str(vars(held.moto).get("_reason", ""))
        if to == "terminated":
            held.moto.terminate()
            if self.hypervisor is not None:
                held.console = [self.hypervisor.console(held.id)]
                self.hypervisor.remove(held.id)
            self._timers.after(self.settings.terminated, lambda: self._forget(held))
        else:
            held.moto.stop()
        set_reason(held.moto, code, words, transition)
        self._to(held, to)

    def start(self, held: Held) -> None:
        held.moto.start()
        set_reason(held.moto, "pending", "pending", "")
        held.impaired = held.never_boots
        self._to(held, "pending")
        self._timers.after(self.settings.boot, lambda: self._booted(held))

    def reboot(self, held: Held) -> None:
        if held.state == "running" and self._on(held) and self.hypervisor is not None:
            held.reboots = True
            self.hypervisor.halt(held.id)

    # --- what happens to it ---------------------------------------------------------------------------------------

    def interrupt(self, held: Held, notice: float | None = None) -> None:
        """AWS wants a spot instance back: a notice, and its end `notice` seconds later."""
        seconds = self.settings.notice if notice is None else notice
        held.notice_at = self._clock.now() + seconds
        self._timers.after(seconds, lambda: self.end(held, SPOT, to="terminated"))

    def vanish(self, held: Held) -> None:
        """It is gone, and AWS does not know that it ever was."""
        if self.hypervisor is not None:
            self.hypervisor.cut(held.id)
            self.hypervisor.remove(held.id)
        self._forget(held)

    def impair(self, held: Held) -> None:
        """Its status checks fail, and nothing runs there any more; its state stays `running`."""
        held.impaired = True
        if self.hypervisor is not None:
            self.hypervisor.cut(held.id)

    def off(self, instance: str) -> None:
        """Told by the hypervisor."""
        with self._lock:
            held = self._held.get(instance)
            if held is None:
                return
            if held.state in ("shutting-down", "stopping"):
                self._settle(held, "terminated" if held.state == "shutting-down" else "stopped")
            elif held.state == "running" and held.reboots:
                held.reboots = False
                assert self.hypervisor is not None
                self.hypervisor.boot(held.machine)
            elif held.state == "running":
                # A kernel that panicked: EC2 sees a machine that does not answer.
                held.impaired = True

    def power(self, instance: str, words: str) -> None:
        """Told from within: `shutdown -P +10`, `poweroff`, …; see shutdown(8)."""
        with self._lock:
            held = self._held.get(instance)
            if held is None or held.state != "running":
                return
            verb, *arguments = words.split()
            flags = "".join(
                word[1:] for word in arguments if word.startswith("-") and not word.startswith("--")
            )
            when = next((word for word in arguments if not word.startswith("-")), "")
            held.orders += 1
            if verb == "shutdown" and "c" in flags:
                return
            minutes = 1.0 if verb == "shutdown" and not when else 0.0
            if when.startswith("+"):
                minutes = float(when[1:])
            elif when.isdigit():
                minutes = float(when)
            order = held.orders
            reboots = verb == "reboot" or (verb == "shutdown" and "r" in flags)

            def now() -> None:
                if held.orders == order:
                    if reboots:
                        self.reboot(held)
                    else:
                        stops = held.moto.instance_initiated_shutdown_behavior == "stop"
                        self.end(held, ITSELF, to="stopped" if stops else "terminated")

            # Who asked is answered first, as `shutdown` returns before the system is down.
            self._timers.after(max(minutes * self.settings.minute, 0.05), now)

    def console(self, held: Held) -> bytes:
        if held.console or self.hypervisor is None:
            return b"".join(held.console)
        return self.hypervisor.console(held.id)

    def look(self) -> None:
        self._timers.look()

    def reset(self) -> None:
        """End all of it at once and forget it."""
        for held in self._held.values():
            held.gone = True
            if self.hypervisor is not None:
                self.hypervisor.cut(held.id)
                self.hypervisor.remove(held.id)
        self._held.clear()
        self._timers.forget()
        self.settings, self.next = replace(self.defaults), Next()

    def close(self) -> None:
        self._timers.close()
        if self.hypervisor is not None:
            self.hypervisor.close()

    # --- details --------------------------------------------------------------------------------------------------

    def _on(self, held: Held) -> bool:
        return self.hypervisor is not None and self.hypervisor.on(held.id)

    def _to(self, held: Held, state: str) -> None:
        held.state = state
        set_state(held.moto, state, CODES[state])

    def _hide(self, held: Held, seconds: float) -> None:
        held.hidden = True
        self._timers.after(seconds, lambda: self._show(held))

    def hide_next(self) -> None:
        """The instances that were launched so far and are to be invisible are taken from the view."""
        for held in self._held.values():
            if held.hidden and not held.gone:
                listed = self._moto.reservation(held.region, held.reservation)
                listed[:] = [instance for instance in listed if instance.id != held.id]

    def _show(self, held: Held) -> None:
        if held.hidden and not held.gone:
            held.hidden = False
            listed = self._moto.reservation(held.region, held.reservation)
            if all(instance.id != held.id for instance in listed):
                listed.append(held.moto)
                listed.sort(key=lambda instance: instance.ami_launch_index)

    def _forget(self, held: Held) -> None:
        if not held.gone:
            held.gone = True
            listed = self._moto.reservation(held.region, held.reservation)
            listed[:] = [instance for instance in listed if instance.id != held.id]
