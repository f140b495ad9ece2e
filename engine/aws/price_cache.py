"""Prices that were asked once, kept for all sweeps of a user: `prices.json` in `SPAWN_HOME`.

Any number of programs may read and write it: it is replaced whole, and a change is made under a file lock. It holds
nothing that AWS does not know better, so what cannot be read or written is said once and done without.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ...state.disk import FILE_MODE, Disk, LocalDisk
from ...state.index import spawn_home
from .model import Market

FORMAT = 1
LIFE: Mapping[Market, float] = {"on-demand": 7 * 86400.0, "spot": 3600.0}
"""Seconds for which a price is taken as it was answered."""
LOCK_LIMIT = 2.0
"""Seconds to wait for another program that writes."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked. `endpoint`: of whom; an emulator's answers are not those of AWS."""

    market: Market
    endpoint: str
    region: str
    instance_type: str

    def key(self) -> str:
        return " ".join((self.market, self.endpoint, self.region, self.instance_type))


@dataclass(frozen=True, slots=True)
class Answer:
    """USD per hour by zone, as they were at `at` (seconds since 1970); an on-demand price has the zone "".

    None at all: there is no such price.
    """

    at: float
    zones: tuple[tuple[str, float], ...]

    def fresh(self, market: Market, now: float) -> bool:
        """Whether it still holds; one from the future was written by a clock that was wrong."""
        return 0.0 <= now - self.at < LIFE[market]


class PriceCache:
    """The file. No method raises; `say` is told, once, what is wrong with it."""

    def __init__(
        self,
        home: Path | None = None,
        *,
        say: Callable[[str], object] = lambda text: None,
        disk: Disk | None = None,
    ) -> None:
        self._home = home or spawn_home()
        self.path = self._home / "prices.json"
        self._disk = disk or LocalDisk()
        self._say, self._said = say, False

    def read(self) -> dict[str, Answer]:
        """All answers by the key of their question, however old."""
        try:
            return _answers(json.loads(self._disk.read(self.path)))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._tell(f"{self.path} cannot be used ({type(error).__name__}: {error}); prices are asked anew")
            return {}

    def keep(self, answers: Mapping[str, Answer], now: float) -> None:
        """Add these; what no longer holds leaves the file."""
        try:
            self._disk.make_dir(self._home)
            with self._locked():
                merged = {**self.read(), **answers}
                held = {key: answer for key, answer in merged.items() if answer.fresh(_market(key), now)}
                text = json.dumps(
                    {"format": FORMAT, "prices": {key: _row(held[key]) for key in sorted(held)}}
                )
                self._disk.replace(self.path, text.encode())
        except OSError as error:
            self._tell(f"prices could not be kept in {self.path} ({error}); they are asked again next time")

    def _tell(self, text: str) -> None:
        if not self._said:
            self._said = True
            self._say(text)

    @contextmanager
    def _locked(self) -> Generator[None, None, None]:
        """Raises `OSError` where another program holds the lock beyond `LOCK_LIMIT`."""
        fd = os.open(self._home / "prices.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            end = time.monotonic() + LOCK_LIMIT
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end:
                        raise
                    time.sleep(0.02)
            yield
        finally:
            os.close(fd)


def _market(key: str) -> Market:
    return "spot" if key.startswith("spot ") else "on-demand"


def _row(answer: Answer) -> dict[str, object]:
    return {"at": answer.at, "usd_per_hour": dict(answer.zones)}


def _answers(document: Any) -> dict[str, Answer]:
    """Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for what this program did not write."""
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r}, this program writes {FORMAT}")
    found: dict[str, Answer] = {}
    for key, row in cast("dict[str, dict[str, Any]]", document["prices"]).items():
        zones = tuple((zone, float(usd)) for zone, usd in row["usd_per_hour"].items())
        if not all(0.0 < usd < float("inf") for _, usd in zones):
            raise ValueError(f"the price of {key} is {dict(zones)}")
        found[key] = Answer(float(row["at"]), zones)
    return found
