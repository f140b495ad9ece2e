"""What failed and why, latest first; launches that failed stand here too, even where another try went well."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style

from .. import format as fmt
from ..model import SweepModel
from ..view import Failure
from .line_list import LineList
from .paint import Span, fit

_NONE = Style.null()


class FailureList(LineList):
    """Three lines for each failure: the task and how it ended, then the reason in its own words."""

    item_height = 3

    def __init__(self, model: SweepModel, *, id: str) -> None:
        super().__init__(id=id)
        self._model = model
        self._failures: Sequence[Failure] = ()

    @property
    def count(self) -> int:
        return len(self._failures)

    @property
    def failure(self) -> Failure | None:
        """The failure under the cursor."""
        return self._failures[self.cursor] if self._failures else None

    def show(self, failures: Sequence[Failure]) -> None:
        """The cursor stays on its failure when later ones come in above it, unless it is on the first."""
        if failures == self._failures:
            return
        before = self.failure
        self._failures = failures
        if before is not None and self.cursor > 0 and before in failures:
            self.set_reactive(LineList.cursor, failures.index(before))
        self.items_changed()

    def paint_empty(self, line: int) -> list[Span]:
        if line:
            return []
        return [(f" {self.glyphs.states['completed']} Nothing has failed.", self.look("text--muted"))]

    def _reason(self, failure: Failure, width: int) -> tuple[str, str]:
        """The reason on two lines, broken between words."""
        text = fmt.clean(failure.message) or "no reason is known"
        if len(text) <= width:
            return text, ""
        place = text.rfind(" ", width // 2, width + 1)
        place = place if place > 0 else width
        return text[:place], fit(text[place:].lstrip(), width, ellipsis=self.glyphs.ellipsis)

    def paint(self, position: int, line: int) -> list[Span]:
        failure = self._failures[position]
        width, muted = self.size.width - 2, self.look("text--muted")
        if line:
            return [("  ", _NONE), (self._reason(failure, width - 2)[line - 1], muted)]
        over = failure.state != "failed"
        ending = fmt.ending(failure.kind, failure.exit_code, failure.signal)
        if over:
            ending += f", now {failure.state}"
        elif failure.attempt > 1:
            ending += f", try {failure.attempt}"
        name = fmt.clean(self._model.label(failure.task).removeprefix("task_"))
        room = max(6, width - len(ending) - 4)
        red = self.look("text--muted" if over else "state--failed")
        return [
            (f"{self.glyphs.states['failed']} ", red),
            (fit(name, min(room, len(name)), ellipsis=self.glyphs.ellipsis), _NONE),
            (f"  {ending}", red),
        ]
