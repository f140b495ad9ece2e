"""What the sources that are another machine share: the sweep's directory there, and its files' way home."""

from __future__ import annotations

from collections.abc import Sequence

from ..collect.collector import Collector
from ..collect.rules import CollectRules
from ..events import Ref
from ..remote.area import Area, AreaError
from ..remote.host import HostAway, HostRefused
from .base import Job, SourceContext
from .place import attempt_name
from .registry import SourceSpec
from .threaded import ThreadedSource


class RemoteSource(ThreadedSource):
    """A source with an `Area`; a kind fills in the rest of `ThreadedSource`'s abstract methods."""

    AWAY, REFUSED, LATER = (HostAway,), (HostRefused,), (AreaError,)

    def __init__(self, spec: SourceSpec, context: SourceContext, area: Area) -> None:
        super().__init__(spec, context)
        self.area = area
        self.host = area.host
        self._collector: Collector | None = None

    def collect(self, jobs: Sequence[Job], *, failed: frozenset[Ref]) -> None:
        if self._collector is None:
            rules = CollectRules.of(self.options)
            self._collector = Collector(self.area, self.context.layout, self.brought, rules)
        for job in jobs:
            self._collector.add(attempt_name(job.ref), job.ref, job.directory, job.ref in failed)

    def check_collecting(self) -> None:
        if self._collector is not None:
            self._collector.check()

    def end_collecting(self) -> None:
        if self._collector is not None:
            self._collector.close()

    def do_close(self) -> None:
        self.host.close()
