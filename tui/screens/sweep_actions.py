"""What can be asked of a sweep from its screen, and when."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from textual.reactive import reactive

from ...engine.ids import task_name
from ..sources import SourceRow
from ..view import FINAL_STATUSES, Facts, TaskRow
from .asking import AskingScreen

if TYPE_CHECKING:
    from ..model import SweepModel
    from ..widgets.source_bars import SourceBars
    from ..widgets.task_table import TaskTable
    from ..wishes import Wish

_LEFT = frozenset({"pending", "launching", "queued", "running", "unknown"})
_MACHINES = frozenset({"ssh", "ec2"})
"""Kinds of sources of whose tasks `connect` finds the machine."""
_CLI = "import sys; from spawn_tui.tui.cli.main import main; sys.exit(main())"
_NO_WAY = 1
"""What `connect` exits with if it finds no way in."""
_AGAIN = frozenset({"failed", "cancelled"})


class SweepActions(AskingScreen):
    """The half of a sweep's screen that asks. It needs the model, the table and the sources, and shows nothing."""

    model: SweepModel
    table: TaskTable
    sources: SourceBars
    pane: reactive[str] = reactive("tasks", init=False)
    """The id of the pane that has the keys."""

    @property
    def filtered(self) -> bool:
        """Whether the table shows only what matches a filter."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self._slots_asked: dict[str, int] = {}
        """Slots asked for by source, until the journal has them: pressing `+` three times asks for three more."""

    # -- when ----------------------------------------------------------------------------------------------

    def can(self, action: str) -> bool:
        """Whether this action of `CHANGES` makes sense now."""
        facts = self.model.facts
        if facts is None or self.spawn.readonly:
            return False
        match action:
            case "cancel":
                return any(row.state in _LEFT for row in self.targets())
            case "cancel_force":
                return any(row.state in _LEFT or row.state == "cancelling" for row in self.targets())
            case "retry":
                return any(row.state in _AGAIN for row in self.targets())
            case "retry_failed":
                return any(facts.counts.get(state, 0) for state in self._again(facts))
            case "pause":
                return bool(facts.engine) and not facts.paused and facts.status in ("pending", "running")
            case "resume":
                return facts.status not in FINAL_STATUSES and (facts.paused or not facts.engine)
            case "cancel_sweep":
                return facts.status not in FINAL_STATUSES and facts.status != "cancelling"
            case "enable_source" | "remove_source" if self.pane != "sources":
                return False  # of which source, is seen there alone
            case _:
                return self.sources.source is not None and self.can_source(action, self.sources.source)

    def can_source(self, action: str, source: SourceRow) -> bool:
        """Whether this action makes sense now for that source."""
        facts = self.model.facts
        if facts is None or self.spawn.readonly or not facts.engine or facts.status in FINAL_STATUSES:
            return False
        match action:
            case "enable_source":
                return source.disabled_since is not None and not source.removed
            case "remove_source" | "more_slots" | "fewer_slots":
                return not source.removed
            case _:
                return False

    def can_connect(self) -> bool:
        """Whether the task under the cursor runs on a machine that one can log in to."""
        facts = self.model.facts
        if facts is None or self.spawn.readonly:
            return False
        task = self.table.selected
        if task is None:
            return False
        row = self.model.rows[task]
        source = facts.source(row.source)
        return row.state in ("running", "unknown") and source is not None and source.kind in _MACHINES

    def action_connect(self) -> None:
        """The terminal is the other machine's until its shell ends; the sweep goes on meanwhile."""
        task = self.table.selected
        if task is None:
            return
        command = [sys.executable, "-P", "-c", _CLI, "connect", self.model.root.name, task_name(task)]
        with self.app.suspend():  # pyright: ignore[reportUnknownMemberType]
            status = subprocess.run(command, check=False).returncode
            if status == _NO_WAY:
                input("enter goes back to spawn-tui ")  # what it said would be gone with the screen
        self.refresh()

    def targets(self) -> Iterable[TaskRow]:
        """The marked tasks, else the one under the cursor."""
        rows = self.model.rows
        if self.table.marks:
            return (rows[index] for index in sorted(self.table.marks))
        task = self.table.selected
        return () if task is None else (rows[task],)

    # -- asking --------------------------------------------------------------------------------------------

    def _ask(self, make: Callable[[Facts], Wish | None]) -> None:
        """Ask for what `make` makes of the sweep as it is, if it makes anything."""
        facts = self.model.facts
        wish = make(facts) if facts is not None else None
        if wish is not None and facts is not None:
            self.wish(self.model.root, wish, engine=bool(facts.engine))

    def action_cancel(self) -> None:
        from ..wishes import cancel_tasks

        self._ask(lambda facts: cancel_tasks(facts, list(self.targets()), self.spawn.now()))

    def action_cancel_force(self) -> None:
        from ..wishes import cancel_tasks

        self._ask(lambda facts: cancel_tasks(facts, list(self.targets()), self.spawn.now(), force=True))

    def action_cancel_sweep(self) -> None:
        from ..wishes import cancel_sweep

        self._ask(lambda facts: cancel_sweep(facts, self.model.rows, self.spawn.now()))

    def action_retry(self) -> None:
        from ..wishes import retry_tasks

        self._ask(lambda facts: retry_tasks(facts, list(self.targets())))

    def action_retry_failed(self) -> None:
        """All that failed, of a cancelled sweep also what was cancelled; under a filter, only those it shows."""
        from ..wishes import retry_failed, retry_tasks

        facts, rows = self.model.facts, self.model.rows
        if facts is None:
            return
        if not self.filtered:
            again = self._again(facts)
            left = [row for row in rows if row.state in again]
            self._ask(retry_failed if "cancelled" not in again else lambda facts: retry_tasks(facts, left))
            return
        shown = [rows[index] for index in self.table.order if rows[index].state in _AGAIN]
        if shown:
            self._ask(lambda facts: retry_tasks(facts, shown))
        else:
            self.say("No task that this filter shows has failed.", "warning")

    def _again(self, facts: Facts) -> frozenset[str]:
        """In which states tasks are that the sweep has left undone."""
        return _AGAIN if facts.status == "cancelled" else frozenset({"failed"})

    def action_pause(self) -> None:
        from ..wishes import pause

        self._ask(pause)

    def action_resume(self) -> None:
        from ..wishes import resume

        self._ask(resume)

    def action_more_slots(self) -> None:
        if self.sources.source is not None:
            self.ask_slots(self.sources.source, 1)

    def action_fewer_slots(self) -> None:
        if self.sources.source is not None:
            self.ask_slots(self.sources.source, -1)

    def action_enable_source(self) -> None:
        if self.sources.source is not None:
            self.ask_enable(self.sources.source)

    def action_remove_source(self) -> None:
        if self.sources.source is not None:
            self.ask_remove(self.sources.source)

    def ask_enable(self, source: SourceRow) -> None:
        from ..wishes import enable_source

        self._ask(lambda _: enable_source(source, self.spawn.now()))

    def ask_remove(self, source: SourceRow) -> None:
        from ..wishes import remove_source

        self._ask(lambda facts: remove_source(source, facts))

    def ask_slots(self, source: SourceRow, step: int) -> None:
        from ..wishes import slots

        value = self._slots_asked.get(source.name, source.slots) + step
        if value < 1:
            self.say(f"{source.name} keeps one slot; p pauses the sweep.", "warning")
            return
        self._slots_asked[source.name] = value
        self._ask(lambda _: slots(source, value))

    def slots_came(self, sources: Sequence[SourceRow]) -> None:
        """The journal has these slots now."""
        for source in sources:
            if self._slots_asked.get(source.name) == source.slots:
                del self._slots_asked[source.name]
