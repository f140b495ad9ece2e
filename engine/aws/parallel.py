"""Many questions to AWS at once, all to be answered by a time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from .errors import AwsError

T = TypeVar("T")


class Answer(Generic[T]):
    """What will come of a question."""

    def __init__(self, question: Callable[[], T], deadline: float) -> None:
        self._question = question
        self._deadline = deadline
        self._ready = threading.Event()
        self._value: list[T] = []
        self._error: BaseException | None = None

    def settle(self) -> None:
        """Ask; called once, by a thread of the asker."""
        try:
            self._value.append(self._question())
        except BaseException as error:  # noqa: BLE001 -- handed on to whoever waits for the answer
            self._error = error
        self._ready.set()

    def get(self) -> T:
        """The answer. Raises what asking raised, and `AwsError` (`unreachable`) if there is none in time."""
        if not self._ready.wait(max(0.0, self._deadline - time.monotonic())):
            raise AwsError("unreachable", "", "there was no answer in time")
        if self._error is not None:
            raise self._error
        return self._value[0]


class Asker:
    """Asks in up to `workers` threads, for `limit` seconds in all. To be used in a `with` block.

    The threads are daemons: one that hangs on a dead connection keeps no program from ending.
    """

    def __init__(self, limit: float, workers: int = 16) -> None:
        self._deadline = time.monotonic() + limit
        self._workers = workers
        self._threads = 0
        self._waiting: queue.SimpleQueue[Answer[object] | None] = queue.SimpleQueue()

    def __enter__(self) -> Asker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for _thread in range(self._threads):
            self._waiting.put(None)

    def ask(self, question: Callable[[], T]) -> Answer[T]:
        """Ask in the background."""
        answer = Answer(question, self._deadline)
        self._waiting.put(answer)  # type: ignore[arg-type]  # an Answer is settled without looking at its type
        if self._threads < self._workers:
            self._threads += 1
            threading.Thread(target=self._work, name="asker", daemon=True).start()
        return answer

    def _work(self) -> None:
        while (answer := self._waiting.get()) is not None:
            answer.settle()
