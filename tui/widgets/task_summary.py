"""A task's head in its log: how it stands, its parameters, and the command that runs it."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from ...engine.cost import money, per_hour
from ...engine.redact import said, shown_value
from .. import format as fmt
from ..glyphs import Glyphs
from ..instance_feed import InstanceTold
from ..log_text import wrap_words
from ..model import SweepModel
from ..view import STATES, AttemptRow, TaskRow
from .paint import Span, cells, fit, glyphs_of, spread, strip

_NONE = Style.null()
_MOST_LINES = 3
"""Lines that parameters and command may each take."""
_MOST_ATTEMPTS = 5
SOON = 600.0
"""Seconds of its time to live that are left to an instance from which on that is a warning."""


class TaskSummary(Widget):
    """As high as it needs to be."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"state--{state}" for state in STATES), "text--muted", "text--strong", "text--error", "text--head",
        "text--warning",
    }  # fmt: skip

    def __init__(self, model: SweepModel, task: int, *, id: str) -> None:
        super().__init__(id=id)
        self._model, self._index = model, task
        self._now = 0.0
        self._lines: list[list[Span]] = []
        self._command: str | None = None
        self._instance: InstanceTold | None = None

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

    def show_instance(self, instance: InstanceTold) -> None:
        """The machine of its own that it has, or had."""
        self._instance = instance
        self._make()

    def on_resize(self) -> None:
        self._make()

    def look(self, name: str) -> Style:
        return self.get_component_rich_style(name, partial=True)

    def _make(self) -> None:
        width = self.size.width - 2
        if width < 4:
            return
        lines = [self._head(width), *self._machine(width)]
        told = self._attempts(width)
        message = "" if told else self._message()
        if message:
            state = self._model.rows[self._index].state
            look = self.look("text--error" if state == "failed" else "text--muted")
            lines.append([(fit(message, width, ellipsis=self.glyphs.ellipsis), look)])
        lines += told
        params = self._model.tasks[self._index].params
        if params:
            text = "  ".join(
                f"{fmt.clean(key)}={shown_value(key, item, fmt.value(item))}" for key, item in params.items()
            )
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
        latest, muted = model.attempts[-_MOST_ATTEMPTS:], self.look("text--muted")
        lines: list[list[Span]] = []
        if len(latest) < len(model.attempts):
            lines.append([(f"{len(model.attempts) - len(latest)} earlier attempts", muted)])
        longest = max(len(fmt.clean(row.source)) for row in latest)
        for row in latest:
            word = _came_to(row)
            state = self.look(f"state--{row.state}")
            spans: list[Span] = [
                (f"try {row.number}  {fmt.clean(row.source):<{longest}}  ", muted),
                (f"{self.glyphs.states[row.state]} {word}", state),
            ]
            if row.counts and row.number < model.attempts[-1].number:
                spans.append(("  this one counts", self.look("text--strong")))
            room = width - cells(spans) - 2
            message = fmt.clean(said(row.message))
            if message and message != word and room > 8:
                spans.append(("  ", _NONE))
                spans.append((fit(message, min(room, len(message)), ellipsis=self.glyphs.ellipsis), muted))
            lines.append(spans)
        return lines

    def _block(self, text: str, width: int, style: Style) -> list[list[Span]]:
        pieces = wrap_words(text, width)
        if len(pieces) > _MOST_LINES:
            pieces = [
                *pieces[: _MOST_LINES - 1],
                fit(" ".join(pieces[_MOST_LINES - 1 :]), width, ellipsis=self.glyphs.ellipsis),
            ]
        return [[(piece, style)] for piece in pieces]

    def _head(self, width: int) -> list[Span]:
        row = self._model.rows[self._index]
        dot = f" {self.glyphs.separator} "
        state, muted = self.look(f"state--{row.state}"), self.look("text--muted")
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
        if row.started_at is not None:
            facts.append(fmt.duration(row.elapsed(self._now)))
        if self._instance is None:
            facts += self._price(row)
        tries = [f"try {row.attempt}"] if row.attempt else []
        began = [f"started {fmt.clock(row.started_at)}"] if row.started_at is not None else []
        # What is known from elsewhere gives way first.
        for told in (
            [*facts[:1], *tries, *began, *facts[1:]],
            [*facts[:1], *tries, *facts[1:]],
            facts,
            facts[:1],
        ):
            right = dot.join(told)
            if cells(left) + cells([(right, muted)]) + 2 <= width:
                return spread(left, [(right, muted)], width)
        return left

    def _price(self, row: TaskRow) -> list[str]:
        """`$0.0021 at $0.0104/h`: what the task has cost, and what its machine costs; nothing where no price is known.

        A task that was tried again has cost more than this machine has.
        """
        mine, cost = self._model.attempt_of(row), row.cost(self._now)
        rate = [f"at {per_hour(mine.rate)}"] if mine is not None and mine.rate is not None else []
        words = [*([money(cost)] if cost is not None else []), *rate]
        return [" ".join(words)] if words else []

    def _machine(self, width: int) -> list[list[Span]]:
        """`i-0abc · t3.micro · us-east-1a · Spot · up 12m · TTL 18m left · $0.01 at $0.0104/h`, on as many lines."""
        instance, row, muted = self._instance, self._model.rows[self._index], self.look("text--muted")
        mine = self._model.attempt_of(row)
        if instance is None or mine is None or mine.handle != instance.id:
            return []
        alive = row.ended_at is None
        parts: list[Span] = [
            (fmt.clean(text), muted)
            for text in (instance.id, instance.type, instance.place, instance.market)
            if text
        ]
        if not alive:
            parts.append((_became(row, instance), muted))
        if alive and row.started_at is not None:
            parts.append((f"up {fmt.duration(self._now - row.started_at)}", muted))
        if alive and instance.state not in ("", "running"):
            parts.append((instance.state, muted))
        if alive and instance.ends_at is not None:
            left = instance.ends_at - self._now
            words = f"TTL {fmt.duration(left)} left" if left > 0 else "TTL over"
            parts.append((words, self.look("text--warning" if left < SOON else "text--muted")))
        parts += [(text, muted) for text in self._price(row)]
        if alive and instance.trouble:
            text = fmt.clean(said(instance.trouble))
            parts.append(
                (fit(text, min(width, len(text)), ellipsis=self.glyphs.ellipsis), self.look("text--warning"))
            )
        return _flowing(parts, (f" {self.glyphs.separator} ", muted), width)

    def _message(self) -> str:
        row = self._model.rows[self._index]
        return fmt.clean(said(row.message)) if row.state in ("failed", "completed") else ""

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.visual_style.rich_style
        spans = self._lines[y] if y < len(self._lines) else []
        return strip([(" ", _NONE), *spans, (" ", _NONE)], width, base)


def _flowing(parts: list[Span], between: Span, width: int) -> list[list[Span]]:
    """The parts one after the other, on as many lines as they take."""
    lines: list[list[Span]] = []
    for part in parts:
        if lines and cells([*lines[-1], between, part]) <= width:
            lines[-1] += [between, part]
        else:
            lines.append([part])
    return lines


def _became(row: TaskRow, instance: InstanceTold) -> str:
    """What has become of the instance of an attempt that has ended, as far as that is known.

    What ended by itself leaves it as `on_complete` says; who cancels terminates it.
    """
    if row.state == "cancelled" or row.kind in ("spot_interrupted", "launch_failed"):
        return "terminated"
    by_itself = row.state == "completed" or row.kind in ("exit", "signal", "timeout", "out_of_memory")
    words = {"terminate": "terminated", "stop": "stopped", "hibernate": "hibernated"}
    return words.get(instance.on_complete, "ended") if by_itself else "ended"


def _came_to(row: AttemptRow) -> str:
    """`withdrawn`, `given up`, `launch failed`, `exit 1`, or its state."""
    if row.state == "cancelled" and row.message.startswith("withdrawn"):
        return "withdrawn"
    if row.given_up:
        return "given up, may be alive"
    if row.state == "failed":
        return fmt.ending(row.kind, row.exit_code, row.signal)
    return row.state
