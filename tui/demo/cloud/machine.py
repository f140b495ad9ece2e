"""What runs an instance: the contract between the cloud and a hypervisor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Machine:
    """An instance as a hypervisor sees it. `user_data` as it was given, perhaps gzipped."""

    instance: str
    region: str
    zone: str
    type: str
    user_data: bytes
    public_key: str = ""
    """Of the key pair it was launched with, in OpenSSH's form."""
    first_boot: bool = True
    """Later boots do not run the user data again, as with cloud-init."""


class Hypervisor(Protocol):
    """Runs machines. `boot` and `halt` return at once; whenever a machine has gone off, `Power.off` is told."""

    def boot(self, machine: Machine) -> None: ...
    def halt(self, instance: str) -> None:
        """Shut it down in order: TERM for all that runs there, then it is off."""
        ...

    def cut(self, instance: str) -> None:
        """Take its power: when this returns nothing of it runs."""
        ...

    def remove(self, instance: str) -> None:
        """Throw its disk away; it is off."""
        ...

    def on(self, instance: str) -> bool: ...
    def console(self, instance: str) -> bytes: ...
    def address(self, instance: str) -> str:
        """The address it can be reached at; empty: it cannot."""
        ...

    def close(self) -> None: ...


class Power(Protocol):
    """What a hypervisor tells the cloud."""

    def off(self, instance: str) -> None:
        """It is off, by itself or because it was told to."""
        ...

    def power(self, instance: str, words: str) -> None:
        """Its operating system was asked to end: `shutdown -h now`, with all arguments."""
        ...


class NoMachines:
    """A hypervisor that runs nothing: instances have states only."""

    def boot(self, machine: Machine) -> None:
        pass

    def halt(self, instance: str) -> None:
        pass

    def cut(self, instance: str) -> None:
        pass

    def remove(self, instance: str) -> None:
        pass

    def on(self, instance: str) -> bool:
        return False

    def console(self, instance: str) -> bytes:
        return b""

    def address(self, instance: str) -> str:
        return ""

    def close(self) -> None:
        pass
