"""A task's head in its log: how it stands, its parameters, and the command that runs it."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from ...engine.cost import money
from .. import format as fmt
from ..glyphs import Glyphs
from ..log_text import wrap
from ..model import SweepModel
from ..view import STATES, AttemptRow, TaskRow
from .paint import Span, cells, fit, glyphs_of, spread, strip

_NONE = Style.null()
_MOST_LINES = 3
"""Lines that parameters and command may each take."""
_MOST_ATTEMPTS = 5


class TaskSummary(Widget):
    """As high as it needs to be."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"state--{state}" for state in STATES), "text--muted", "text--strong", "text--error", "text--head",
    }  # fmt: skip

    def __init__(self, model: SweepModel, task: int, *, id: str) -> None:
        super().__init__(id=id)
        self._model, self._index = model, task
        self._now = 0.0
        self._lines: list[list[Span]] = []
        self._command: str | None = None

    @property
    def glyphs(self) -> Glyphs:
        return glyphs_of(self)

    def show(self, now: float) -> None:
        self._now = now
        self._make()

    def show_command(self, command: str) -> None:
        """The exact command, once it is known."""
        self._command = fmt.clean(command)
        self._make()

    def on_resize(self) -> None:
        self._make()

    def look(self, name: str) -> Style:
        return self.get_component_rich_style(name, partial=True)

    def _make(self) -> None:
        width = self.size.width - 2
        if width < 4:
            return
        lines = [self._head(width)]
        told = self._attempts(width)
        message = "" if told else self._message()
        if message:
            lines.append([(fit(message, width, ellipsis=self.glyphs.ellipsis), self.look("text--error"))])
        lines += told
        params = self._model.tasks[self._index].params
        if params:
            text = "  ".join(f"{fmt.clean(key)}={fmt.value(item)}" for key, item in params.items())
            lines += self._block(text, width, _NONE)
        if self._command:
            lines += self._block(f"$ {self._command}", width, self.look("text--muted"))
        if len(lines) != len(self._lines):
            self.styles.height = len(lines)
        self._lines = lines
        self.refresh()

    def _attempts(self, width: int) -> list[list[Span]]:
        """A line for each of the latest attempts, where there was more than one: what came of it, where, and why."""
        model = self._model
        if model.looked_at != self._index or len(model.attempts) < 2:
            return []
        shown, muted = model.attempts[-_MOST_ATTEMPTS:], self.look("text--muted")
        lines: list[list[Span]] = []
        if len(shown) < len(model.attempts):
            lines.append([(f"{len(model.attempts) - len(shown)} earlier attempts", muted)])
        longest = max(len(fmt.clean(row.source)) for row in shown)
        for row in shown:
            word = _came_to(row)
            state = self.look(f"state--{row.state}")
            spans: list[Span] = [
                (f"try {row.number}  {fmt.clean(row.source):<{longest}}  ", muted),
                (f"{self.glyphs.states[row.state]} {word}", state),
            ]
            if row.counts and row.number < model.attempts[-1].number:
                spans.append(("  this one counts", self.look("text--strong")))
            room = width - cells(spans) - 2
            message = fmt.clean(row.message)
            if message and message != word and room > 8:
                spans.append(("  ", _NONE))
                spans.append((fit(message, min(room, len(message)), ellipsis=self.glyphs.ellipsis), muted))
            lines.append(spans)
        return lines

    def _block(self, text: str, width: int, style: Style) -> list[list[Span]]:
        pieces = wrap(text, width)
        if len(pieces) > _MOST_LINES:
            pieces = [
                *pieces[: _MOST_LINES - 1],
                fit("".join(pieces[_MOST_LINES - 1 :]), width, ellipsis=self.glyphs.ellipsis),
            ]
        return [[(piece, style)] for piece in pieces]

    def _head(self, width: int) -> list[Span]:
        row = self._model.rows[self._index]
        dot = f" {self.glyphs.separator} "
        state = self.look(f"state--{row.state}")
        left: list[Span] = [
            (self._model.label(self._index), self.look("text--strong")),
            (f"  {self.glyphs.states[row.state]} {row.state}", state),
        ]
        why = self._model.queue_reason(row)
        if why:
            left.append((f" ({fmt.clean(why)})", state))
        if row.state == "failed":
            left.append((f" {fmt.ending(row.kind, row.exit_code, row.signal)}", state))
        facts = [fmt.clean(row.source)] if row.source else []
        if row.attempt:
            facts.append(f"try {row.attempt}")
        if row.started_at is not None:
            facts += [f"started {fmt.clock(row.started_at)}", fmt.duration(row.elapsed(self._now))]
        facts += self._price(row)
        return spread(left, [(dot.join(facts), self.look("text--muted"))], width)

    def _price(self, row: TaskRow) -> list[str]:
        """Which machine of its own it has, and what that costs."""
        attempts = self._model.attempts if self._model.looked_at == self._index else ()
        mine = next((attempt for attempt in attempts if attempt.number == row.attempt), None)
        if mine is None or mine.rate is None:
            return []
        cost = mine.rate * (row.elapsed(self._now) or 0.0) / 3600
        return [fmt.clean(mine.handle), money(cost)] if mine.handle else [money(cost)]

    def _message(self) -> str:
        row = self._model.rows[self._index]
        return fmt.clean(row.message) if row.state == "failed" else ""

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.visual_style.rich_style
        spans = self._lines[y] if y < len(self._lines) else []
        return strip([(" ", _NONE), *spans, (" ", _NONE)], width, base)


def _came_to(row: AttemptRow) -> str:
    """`withdrawn`, `given up`, `launch failed`, `exit 1`, or its state."""
    if row.state == "cancelled" and row.message.startswith("withdrawn"):
        return "withdrawn"
    if row.given_up:
        return "given up, may be alive"
    if row.state == "failed":
        return fmt.ending(row.kind, row.exit_code, row.signal)
    return row.state
