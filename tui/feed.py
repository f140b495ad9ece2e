"""The threads that read files, so that the screen never waits for a disk.

Each feed owns what it reads (a viewer's live model, a log's file descriptor) and hands out values that nobody
changes afterwards. There is no lock and nothing to race for: the model is touched by one thread alone, the
screen by another, and between them go values. Folding costs O(new events), and a row is copied only when an
event spoke of its task.

They are daemon threads, not Textual's workers, because leaving the program joins those: with a hung NFS
mount, `q` would hang too.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from .columns import ParamColumn, param_columns
from .view import FINAL_STATUSES, ORPHANED, AttemptRow, Facts, TaskRow

if TYPE_CHECKING:
    from ..engine.plan.model import Plan
    from ..engine.viewer import News, Viewer
    from .rows import Beside

BUSY, QUIET = 0.25, 1.0
"""Seconds between two looks at a sweep: while something may happen, and when it is over or nobody runs it."""
_FOR_EVER = 3600.0
SHORTEST = 0.05
"""No feed hands out more than 20 updates a second, however often it is woken."""


class Feed(ABC):
    """A daemon thread that looks, hands out what is new, and waits until it is time or somebody wakes it."""

    def __init__(self, name: str) -> None:
        self._wake = threading.Event()
        self._stopped = False
        self._resting = False
        self._thread = threading.Thread(target=self._run, name=f"spawn-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    def rest(self, resting: bool) -> None:
        """Look no more until told to go on: nobody sees it."""
        self._resting = resting
        self._wake.set()

    def stop(self) -> None:
        """Hand out nothing more; does not wait for the thread."""
        self._stopped = True
        self._wake.set()

    @property
    def stopped(self) -> bool:
        return self._stopped

    @abstractmethod
    def look(self) -> float | None:
        """Read and hand out what is new; returns the seconds to wait, or None to end."""

    @abstractmethod
    def failed(self, why: str) -> None:
        """Hand out that nobody reads any more, for a reason that should not be."""

    def _run(self) -> None:
        while not self._stopped:
            began = time.monotonic()
            try:
                wait = _FOR_EVER if self._resting else self.look()
            except Exception as error:  # noqa: BLE001 - a thread's traceback would be printed into the screen
                self.failed(f"{type(error).__name__}: {error}")
                return
            if wait is None or self._stopped:
                return
            self._wake.wait(wait)
            self._wake.clear()
            rest = SHORTEST - (time.monotonic() - began)
            if rest > 0 and not self._stopped:
                time.sleep(rest)


@dataclass(frozen=True, slots=True)
class SweepLoaded:
    """The whole sweep, at the start and whenever it had to be read anew."""

    plan: Plan
    project: str
    """The directory the sweep was launched from."""
    rows: tuple[TaskRow, ...]
    facts: Facts
    columns: tuple[ParamColumn, ...]
    name_width: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine made of a request: it took it, or refused it for a reason."""

    request: str
    refused: str = ""


@dataclass(frozen=True, slots=True)
class SweepChanged:
    """What is new since the last value: the rows that changed, the sweep as a whole, the engine's answers."""

    rows: tuple[TaskRow, ...]
    facts: Facts
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepTrouble:
    """The sweep cannot be read, and why. `final`: nobody tries again."""

    text: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class TaskLooked:
    """All attempts of the task that is watched, whenever they change."""

    task: int
    attempts: tuple[AttemptRow, ...]


SweepNews: TypeAlias = SweepLoaded | SweepChanged | SweepTrouble | TaskLooked


class SweepFeed(Feed):
    """Follows one sweep's journal. `tell` is called in this feed's thread."""

    def __init__(self, root: Path, tell: Callable[[SweepNews], object], now: Callable[[], float]) -> None:
        super().__init__("sweep")
        self._root, self._tell, self._now = root, tell, now
        self._viewer: Viewer | None = None
        self._beside: Beside | None = None
        self._facts: Facts | None = None
        self._watched: int | None = None
        self._attempts: tuple[AttemptRow, ...] | None = None
        self._troubled = False
        self._due_seq, self._due_at = -1, cast("float | None", None)

    def look(self) -> float | None:
        # Opening imports half of the engine; here it costs the first picture nothing.
        from ..engine.snapshot import SnapshotError
        from ..state.documents import DocumentsDamaged
        from ..state.journal import JournalDamaged

        try:
            if self._viewer is None:
                self._load()
            else:
                self._follow(self._viewer)
        except (JournalDamaged, DocumentsDamaged, SnapshotError) as error:
            self._tell(SweepTrouble(str(error), final=True))
            return None
        except (OSError, ValueError) as error:
            if self._viewer is None:
                self._tell(SweepTrouble(_why(self._root, error), final=True))
                return None
            self._troubled = True
            self._tell(SweepTrouble(f"the sweep's directory cannot be read: {error}"))
            return QUIET
        facts = self._facts
        return BUSY if facts and facts.engine and facts.status not in FINAL_STATUSES else QUIET

    def failed(self, why: str) -> None:
        self._tell(SweepTrouble(why, final=True))

    def _due(self, viewer: Viewer) -> float | None:
        """When the last task will have ended; worked out anew only when something has happened."""
        from ..engine.summary import eta

        if viewer.sweep.seq != self._due_seq:
            now = self._now()
            left = eta(viewer.sweep, now)
            self._due_seq, self._due_at = viewer.sweep.seq, None if left is None else now + left
        return self._due_at

    def _load(self) -> None:
        from ..engine.viewer import Viewer

        self._viewer = Viewer(self._root)
        self._hand_out_all(self._viewer)

    def _hand_out_all(self, viewer: Viewer) -> None:
        from .rows import Beside, facts, task_row

        sweep, tasks, status = viewer.sweep, viewer.plan.tasks, viewer.status().value
        orphaned = status == ORPHANED
        rows = tuple(task_row(sweep, task, orphaned=orphaned) for task in sweep.tasks)
        self._beside = Beside(sweep, viewer.layout)
        self._beside.begin(rows)
        self._facts = facts(viewer, status, self._beside, self._due(viewer), self._now())
        name_width = max((len(task.label) for task in tasks), default=0)
        self._tell(
            SweepLoaded(viewer.plan, sweep.project, rows, self._facts, param_columns(tasks), name_width)
        )

    def _follow(self, viewer: Viewer) -> None:
        from .rows import facts, task_row

        news = viewer.refresh()
        beside = self._beside
        if news.reloaded or beside is None or self._facts is None or _concerns_all(news):
            self._hand_out_all(viewer)
            self._hand_out_watched(viewer)
            answers = _answers(news)
            if answers and self._facts is not None:
                self._tell(SweepChanged((), self._facts, answers))
            return
        sweep, status, changed = viewer.sweep, viewer.status().value, news.tasks()
        orphaned = status == ORPHANED
        if orphaned != self._facts.orphaned:
            # No event tells that an engine died or came back, and all that is active looks different then.
            changed = changed.union(*(source.active for source in sweep.sources.values()))
        rows = tuple(task_row(sweep, sweep.tasks[index], orphaned=orphaned) for index in sorted(changed))
        beside.look(sweep, news.records, rows)
        fresh = facts(viewer, status, beside, self._due(viewer), self._now())
        if fresh != self._facts or rows or self._troubled:
            self._facts, self._troubled = fresh, False
            self._tell(SweepChanged(rows, fresh, _answers(news)))
        self._hand_out_watched(viewer)

    def watch(self, task: int | None) -> None:
        """Tell all attempts of this task from now on; None: of none."""
        self._watched, self._attempts = task, None
        self.wake()

    def _hand_out_watched(self, viewer: Viewer) -> None:
        task = self._watched
        if task is None:
            return
        from .rows import attempt_rows

        attempts = attempt_rows(viewer.sweep, task)
        if attempts != self._attempts:
            self._attempts = attempts
            self._tell(TaskLooked(task, attempts))


def _concerns_all(news: News) -> bool:
    """Whether rows may have changed that no event names."""
    from ..engine import events as ev

    return any(
        isinstance(record.event, (ev.SourceUnreachable, ev.SourceReachable, ev.DelaysOver))
        or (
            isinstance(record.event, ev.RequestTaken)
            and record.event.verb == "retry"
            and not record.event.tasks
        )
        for record in news.records
    )


def _answers(news: News) -> tuple[Answer, ...]:
    from ..engine import events as ev

    answers: list[Answer] = []
    for record in news.records:
        match record.event:
            case ev.RequestTaken(request=request):
                answers.append(Answer(request))
            case ev.RequestRefused(request=request, reason=reason):
                answers.append(Answer(request, reason))
            case _:
                pass
    return tuple(answers)


def _why(root: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no sweep in {root}"
    return f"{root}: {error}"
