"""Every call that was made, for tests and benches that count them."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

from .call import Call


@dataclass(frozen=True, slots=True)
class Entry:
    time: float
    service: str
    action: str
    region: str
    asker: str
    status: int
    code: str
    path: str

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 400


class Ledger:
    """Safe in many threads. A call stands here when it was answered; status 0: its connection was broken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def add(self, at: float, call: Call, status: int, code: str) -> None:
        path = call.path if call.service == "s3" else ""
        entry = Entry(at, call.service, call.action, call.region, call.asker, status, code, path)
        with self._lock:
            self._entries.append(entry)

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [{**asdict(entry), "ok": entry.ok} for entry in self._entries]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
