"""How much may run and how much there is: vCPU quotas of an account by region, capacity by type and zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Market = Literal["on-demand", "spot"]


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota on vCPUs of running instances, as Service Quotas lists it."""

    code: str
    name: str
    market: Market
    families: tuple[str, ...]
    default: float


_STANDARD = ("a", "c", "d", "h", "i", "m", "r", "t", "z")
_LETTERS = "(A, C, D, H, I, M, R, T, Z)"
QUOTAS = (
    Quota("L-1216C47A", f"Running On-Demand Standard {_LETTERS} instances", "on-demand", _STANDARD, 5120),
    Quota("L-34B43A08", f"All Standard {_LETTERS} Spot Instance Requests", "spot", _STANDARD, 5120),
    Quota("L-DB2E81BA", "Running On-Demand G and VT instances", "on-demand", ("g", "vt"), 256),
    Quota("L-3819A6DF", "All G and VT Spot Instance Requests", "spot", ("g", "vt"), 256),
    Quota("L-417A185B", "Running On-Demand P instances", "on-demand", ("p",), 64),
    Quota("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", "spot", ("p",), 64),
)  # fmt: skip


def quota_of(type_name: str, market: Market) -> Quota | None:
    """The quota that an instance of this type counts against; None: one that is not kept here."""
    letters = "".join(_until_digit(type_name.split(".")[0]))
    for quota in QUOTAS:
        if quota.market == market and letters in quota.families:
            return quota
    return None


def _until_digit(text: str) -> list[str]:
    out: list[str] = []
    for letter in text:
        if letter.isdigit():
            break
        out.append(letter)
    return out


class Room:
    """Quotas that were set, and capacity where it is not endless."""

    def __init__(self) -> None:
        self._quotas: dict[tuple[str, str], float] = {}
        self._capacity: dict[tuple[str, str, str], int] = {}

    def quota(self, region: str, quota: Quota) -> float:
        return self._quotas.get((region, quota.code), quota.default)

    def set_quota(self, region: str, code: str, value: float) -> None:
        """Raises `ValueError` for a code that is not kept here."""
        if code not in {quota.code for quota in QUOTAS}:
            raise ValueError(f"no quota {code!r}; there are {', '.join(quota.code for quota in QUOTAS)}")
        self._quotas[region, code] = value

    def capacity(self, region: str, type_name: str, zone: str) -> int | None:
        """How many of these there are in all, whether they run or not; None: as many as anybody likes."""
        return self._capacity.get((region, type_name, zone))

    def set_capacity(self, region: str, type_name: str, zone: str, count: int | None) -> None:
        if count is None:
            self._capacity.pop((region, type_name, zone), None)
        else:
            self._capacity[region, type_name, zone] = count

    def reset(self) -> None:
        self._quotas.clear()
        self._capacity.clear()
