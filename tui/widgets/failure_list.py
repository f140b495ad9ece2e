"""What failed and why, latest first: sources that take no tasks, launches that failed, tasks that failed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

from rich.style import Style

from .. import format as fmt
from ..log_text import wrap_words
from ..model import SweepModel
from ..view import Failure
from .line_list import LineList
from .paint import Span, fit, fit_name

_NONE = Style.null()
_LINES = 2
"""Of the reason of one task. What keeps a source from working is told whole: it says what to do."""
_LAST_WORDS = 8
"""Lines of what an instance has left, as far as there is room under the reason."""


@lru_cache(maxsize=1024)
def _wrapped(message: str, width: int) -> tuple[str, ...]:
    """Each new failure has all of them laid out anew, and breaking lines takes 50 µs."""
    return tuple(wrap_words(message, width))


class FailureList(LineList):
    """For each: who and how in one line, then the reason in its own words."""

    item_height = 3

    def __init__(self, model: SweepModel, *, id: str) -> None:
        super().__init__(id=id)
        self._model = model
        self._failures: Sequence[Failure] = ()
        self._reasons: list[list[str]] = []
        self._tops: list[int] = [0]
        self._room: tuple[int, int] | None = None

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
        self._room = None
        if before is not None and self.cursor > 0 and before in failures:
            self.set_reactive(LineList.cursor, failures.index(before))
        self.items_changed()

    # -- lines ---------------------------------------------------------------------------------------------

    def items_changed(self) -> None:
        room = (self.size.width, self.size.height)
        if room != self._room:
            self._room = room
            self._reasons = [self._lines(failure) for failure in self._failures]
            self._tops = [0]
            for reason in self._reasons:
                self._tops.append(self._tops[-1] + 1 + len(reason))
        super().items_changed()

    def top(self, position: int) -> int:
        return self._tops[min(position, len(self._tops) - 1)]

    def find(self, line: int) -> tuple[int, int]:
        position = bisect_right(self._tops, line) - 1
        return position, line - self._tops[position]

    def _lines(self, failure: Failure) -> list[str]:
        width, height = self.size.width - 4, self.size.height
        if width < 4:
            return [""]
        lines = list(_wrapped(failure.message, width)) or ["no reason is known"]
        most = max(_LINES, height - 1) if failure.of_source else _LINES
        if len(lines) > most:
            rest = " ".join(lines[most - 1 :])
            lines[most - 1 :] = [fit(rest, width, ellipsis=self.glyphs.ellipsis)]
        if not failure.of_source:
            # Tasks stand at equal distances, so that the eye can go down the column.
            return [*lines, *[""] * (_LINES - len(lines))]
        room = min(_LAST_WORDS, max(2, height - 1 - len(lines)))
        said = [
            fit(line, min(width - 2, len(line)), ellipsis=self.glyphs.ellipsis) for line in failure.last_words
        ]
        return [*lines, *(f"{self.glyphs.quote} {line}" for line in said[-room:])]

    # -- painting ------------------------------------------------------------------------------------------

    def paint_empty(self, line: int) -> list[Span]:
        if line:
            return []
        return [(f" {self.glyphs.states['completed']} Nothing has failed.", self.look("text--muted"))]

    def paint(self, position: int, line: int) -> list[Span]:
        failure = self._failures[position]
        if line:
            return [("  ", _NONE), (self._reasons[position][line - 1], self.look("text--muted"))]
        return self._of_source(failure) if failure.of_source else self._of_task(failure)

    def _of_source(self, failure: Failure) -> list[Span]:
        """`gpu1  launch failed, 118 tasks`, with the time of the latest."""
        width = self.size.width - 2
        if failure.tasks:
            one = failure.tasks == 1
            who = fmt.task_id(failure.task).removeprefix("task_") if one else f"{failure.tasks:,} tasks"
            ending = f"{'instance lost' if failure.lost else 'launch failed'}, {who}"
            if one and failure.state != "failed":
                ending += f", now {failure.state}"
            style, glyph = self.look("state--failed"), self.glyphs.states["failed"]
        else:
            ending, glyph = failure.state, self.glyphs.health[failure.state]
            style = self.look(f"health--{failure.state}")
        at = f" {fmt.clock(failure.at)[:5]}"
        name = fmt.clean(failure.source)
        room = max(6, width - len(ending) - 4)
        spans: list[Span] = [
            (f"{glyph} ", style),
            (fit_name(name, min(room, len(name)), ellipsis=self.glyphs.ellipsis), self.look("text--strong")),
            (f"  {ending}", style),
        ]
        if len(name) + len(at) < room:
            spans.append((f" {at}", self.look("text--muted")))
        return spans

    def _of_task(self, failure: Failure) -> list[Span]:
        width = self.size.width - 2
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
