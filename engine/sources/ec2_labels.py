"""Gives each instance of a launch its own index and name; what they share came with the launch.

Nothing is found by these, so nothing waits for them: a few at a time are set in threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from ..aws.errors import TEMPORARY, AwsError
from ..aws.fleet import Fleet
from ..aws.launch_request import TAG_VALUE
from ..aws.model import TAG_SWEEP_INDEX
from ..events import Ref
from ..observe import SawHealth
from .ec2_live import Attempts

AT_A_TIME, HANDED_OVER = 8, 100
"""Labels that are being set at a time, and those that a look hands over for it at most."""
_MOST_WORDS = 200
"""Characters of what AWS says that are kept."""


class Labels:
    """`title`: what the names of the instances begin with."""

    def __init__(self, attempts: Attempts, fleet: Fleet, title: str) -> None:
        self._attempts, self._fleet, self._title = attempts, fleet, title
        self._allowed = True
        self._under_way: dict[Ref, Future[None]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def set(self) -> None:
        """Hear of those under way, and set a few more."""
        for ref in [ref for ref, future in self._under_way.items() if future.done()]:
            self._heard(ref, self._under_way.pop(ref))
        if not self._allowed:
            return
        for live in self._attempts:
            if len(self._under_way) >= HANDED_OVER:
                return
            seen = live.seen
            if seen is None or live.tagged or not live.running or live.job.ref in self._under_way:
                continue
            if TAG_SWEEP_INDEX in dict(seen.tags):
                live.tagged = True
                continue
            index = str(live.job.ref.task)
            tags = {TAG_SWEEP_INDEX: index}
            shared = self._title[:TAG_VALUE]
            if dict(seen.tags).get("Name", shared) == shared:  # else it is the user's own
                tags["Name"] = f"{shared[: TAG_VALUE - len(index) - 1]}-{index}"
            self._under_way[live.job.ref] = self._submit([seen.id, *seen.volumes], tags)

    def _submit(self, resources: list[str], tags: Mapping[str, str]) -> Future[None]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix=f"labels of {self._title}")
        return self._pool.submit(self._fleet.tag, resources, tags)

    def _heard(self, ref: Ref, future: Future[None]) -> None:
        try:
            future.result()
        except AwsError as error:
            if error.kind == "not_found" or error.kind in TEMPORARY:
                return  # it or its disk has gone since it was seen, or it is set after another look
            # Many may tag only what they launch, or by rules of their own: nobody is kept from working for that.
            self._allowed = False
            why = (
                f"{error.action} is not allowed"
                if error.kind == "permission" and error.action
                else str(error)
            )
            self._attempts.tell(SawHealth(queue=f"instances keep the sweep's name ({why[:_MOST_WORDS]})"))
            return
        for live in self._attempts.known([ref]):
            live.tagged = True

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
