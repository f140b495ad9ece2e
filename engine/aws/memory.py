"""Answers of AWS that stay as they are for as long as a process lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from .cloud import Cloud

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Answers by cloud and key; safe in many threads, which at worst ask the same twice. A failure is not kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: WeakKeyDictionary[Cloud, dict[K, V]] = WeakKeyDictionary()

    def get(self, cloud: Cloud, key: K, ask: Callable[[], V]) -> V:
        """What is known under `key`, else what `ask` answers. Raises what `ask` raises."""
        with self._lock:
            known = self._known.setdefault(cloud, {})
            if key in known:
                return known[key]
        answer = ask()
        with self._lock:
            return known.setdefault(key, answer)
