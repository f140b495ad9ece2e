"""Is it OK? The lines at the top that say so: status and pace, progress, counts; and what is wrong."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from .. import format as fmt
from ..glyphs import Glyphs
from ..log_text import wrap, wrap_words
from ..sources import alarm
from ..view import FINAL_STATUSES, SEGMENTS, STATES, Facts, split_bar
from .paint import Span, cells, fit, glyphs_of, spread, strip

_NONE = Style.null()
SILENT_AFTER = 15.0
"""Seconds without a sign of life (it beats every 5) after which the age of the data is a warning."""


class SweepSummary(Widget):
    """Paints the facts it was given, as of `now`. One line high, it says the most important thing alone."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"state--{state}" for state in STATES), "state--paused", "state--interrupted",
        "text--muted", "text--strong", "text--error", "text--warning", "text--brand", "text--good",
    }  # fmt: skip

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._facts: Facts | None = None
        self._trouble = ""
        self._now = 0.0
        self._waiting = "reading the journal …"
        self._alarms: list[str] = []
        self._height: int | None = None

    def show(self, facts: Facts | None, now: float, trouble: str = "") -> None:
        """`trouble`: why the sweep cannot be read (again)."""
        self._facts, self._now, self._trouble = facts, now, trouble
        self.refresh()

        self._alarms = self._wrapped()
        # Where the CSS gives it two lines, there is room for nothing else.
        height = 3 + len(self._alarms) if facts is not None and not self.screen.has_class("-tiny") else None
        if height != self._height:
            self._height = height
            self.styles.height = height

    def _wrapped(self) -> list[str]:
        """What is wrong, whole if the screen has the lines for it: half of it stays for the tasks."""
        facts, width = self._facts, self.size.width - 2
        text = self._alarm(facts) if facts is not None else ""
        if facts is None or not text or width < 8:
            return []
        # What stopped the sweep is told whole; what slows it stands in the sources' pane too.
        room = self.screen.size.height // 2
        stopped = facts.paused or facts.status in FINAL_STATUSES
        lines, most = wrap_words(text, width), max(1, room - 6 if stopped else room // 3 - 2)
        if len(lines) > most:
            lines[most - 1 :] = [fit(" ".join(lines[most - 1 :]), width, ellipsis=self.glyphs.ellipsis)]
        return lines

    def look(self, name: str) -> Style:
        return self.get_component_rich_style(name, partial=True)

    @property
    def glyphs(self) -> Glyphs:
        return glyphs_of(self)

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.visual_style.rich_style
        return strip([(" ", _NONE), *self._line(y, width - 2), (" ", _NONE)], width, base)

    def _line(self, y: int, width: int) -> list[Span]:
        facts = self._facts
        if facts is None:
            if self._trouble:
                lines = wrap(self._trouble, width)
                return [(lines[y], self.look("text--error"))] if y < len(lines) else []
            return [(self._waiting, self.look("text--muted"))] if y == 0 else []
        if self.size.height <= 2:
            return self._brief(facts, width) if y == 0 else self._bar(facts, width)
        match y:
            case 0:
                return self._head(facts, width)
            case 1:
                return self._bar(facts, width)
            case 2:
                return self._counts(facts, width)
            case _ if y - 3 < len(self._alarms):
                return [(self._alarms[y - 3], self.look("text--warning"))]
            case _:
                return []

    # -- the lines -----------------------------------------------------------------------------------------

    def _head(self, facts: Facts, width: int) -> list[Span]:
        muted, dot = self.look("text--muted"), f" {self.glyphs.separator} "
        left: list[Span] = [
            (
                f"{self.glyphs.states[facts.status]} {facts.status}",
                self.look(f"state--{facts.status}") + Style(bold=True),
            ),
            (f"  {fmt.clean(facts.id)}", self.look("text--strong")),
        ]
        age = self._age(facts)
        pace: list[str] = [fmt.duration(facts.elapsed(self._now))]
        eta = facts.eta(self._now)
        if eta is not None:
            pace.insert(0, f"eta {fmt.rough(eta)}")
        speed = fmt.rate(facts.throughput(self._now))
        if speed:
            pace.append(speed)
        while pace:
            right = [(dot.join(pace), muted), (dot, muted), age]
            if cells(left) + cells(right) + 2 <= width:
                return spread(left, right, width)
            pace.pop()
        return spread(left, [age], width)

    def _age(self, facts: Facts) -> Span:
        if self._trouble:
            return "cannot be read", self.look("text--error")
        if facts.status in FINAL_STATUSES:
            ended = facts.ended_at or facts.sign_of_life
            return f"ended {fmt.ago(self._now - ended)}", self.look("text--muted")
        age = max(0.0, self._now - facts.sign_of_life)
        if not facts.engine:
            if facts.status == "paused":
                return "press P to resume", self.look("text--warning")
            dot = f" {self.glyphs.separator} "
            # Its heart beats every few seconds: it was gone at some moment after the last beat.
            words = ("engine gone", "heard from") if facts.engine_died else ("no engine", "last event")
            return f"{words[0]}{dot}{words[1]} {fmt.ago(age)}", self.look("text--warning")
        if age > SILENT_AFTER:
            return f"engine silent for {fmt.duration(age)}", self.look("text--warning")
        return f"live {self.glyphs.separator} {age:.1f} s", self.look("text--good")

    def _bar(self, facts: Facts, width: int) -> list[Span]:
        share = facts.done / facts.total if facts.total else 0.0
        # Rounded down: 100 % is said when all is done.
        tail = f" {int(share * 100):3d}%  {facts.done:,}/{facts.total:,}"
        parts: dict[str, str] = dict(zip(SEGMENTS, self.glyphs.parts, strict=True))
        spans = [
            (parts[state] * size, self.look(f"state--{state}"))
            for state, size in split_bar(facts.counts, facts.total, max(4, width - len(tail)))
        ]
        return [*spans, (tail, self.look("text--strong"))]

    def _counts(self, facts: Facts, width: int) -> list[Span]:
        shown = [state for state in SEGMENTS if facts.counts.get(state, 0)]
        were = {"unknown": "unknown (were running)"} if facts.orphaned else {}
        wide = [
            (f"{self.glyphs.states[s]} {facts.counts[s]:,} {were.get(s, s)}", self.look(f"state--{s}"))
            for s in shown
        ]
        if facts.uncollected:
            wide.append((f"{facts.uncollected:,} coming home", self.look("text--muted")))
        ways = [_joined(wide, "   "), _joined(wide, "  ")]
        # Words give way from the end: what waits is understood without.
        for place in reversed(range(len(shown))):
            sign = f"{self.glyphs.states[shown[place]]} {facts.counts[shown[place]]:,}"
            wide[place] = (sign, wide[place][1])
            ways.append(_joined(wide, "  "))
        costs = [form.replace("·", self.glyphs.separator) for form in facts.cost]
        return self._with_cost(ways, costs, width)

    def _with_cost(self, ways: list[list[Span]], costs: list[str], width: int) -> list[Span]:
        """The counts, and what it costs at the end of the line; `ways` and `costs`: the longest first.

        The words of the counts give way before the shortest form of the cost that tells more than what it has cost.
        """
        muted = self.look("text--muted")
        told = costs[:-1] or costs
        for spans, text in [
            *((ways[0], text) for text in told),
            *((spans, told[-1]) for spans in ways[1:] if told),
            *((spans, text) for spans in ways for text in costs[-1:]),
        ]:
            if cells(spans) + cells([(text, muted)]) + 2 <= width:
                return spread(spans, [(text, muted)], width)
        return next((spans for spans in ways if cells(spans) <= width), ways[-1])

    def _brief(self, facts: Facts, width: int) -> list[Span]:
        """For a terminal of a few lines: status, how far, what failed."""
        glyphs = self.glyphs.states
        spans: list[Span] = [
            (f"{glyphs[facts.status]} {facts.done}/{facts.total}", self.look(f"state--{facts.status}"))
        ]
        for state in ("failed", "unknown", "running"):
            if facts.counts.get(state):
                spans.append((f" {glyphs[state]}{facts.counts[state]}", self.look(f"state--{state}")))
        word = (f" {facts.status}", self.look("text--muted"))
        return [*spans, word] if cells([*spans, word]) <= width else spans

    def _alarm(self, facts: Facts) -> str:
        """What a person should know before all else; empty if all is well."""
        if self._trouble:
            return self._trouble
        if facts.status == "interrupted":
            return "No engine runs and work is left: press P to resume."
        if facts.status == "paused":
            hint = " Press P to resume." if facts.engine else ""
            if facts.reason and not facts.reason.startswith("by "):
                return f"Paused: {facts.reason.strip().rstrip('.')}.{hint}"
            queued = facts.counts.get("queued", 0)
            # They are the cluster's by now: it starts them when it has room.
            still = f" What waits in a cluster's queue ({queued:,}) may still start." if queued else ""
            return f"Paused {facts.reason}".rstrip() + f": nothing new is launched.{still}{hint}"
        if facts.status == "failed" and facts.reason:
            return facts.reason
        if facts.status not in FINAL_STATUSES:
            troubled = alarm(facts.sources, self._now)
            if troubled:
                return troubled
            if facts.blind:
                text = "; ".join(facts.blind)
                return f"{text[:1].upper()}{text[1:]}."
        unknown = facts.counts.get("unknown", 0)
        if unknown:
            return f"Nobody can say whether {fmt.plural(unknown, 'task')} still {'runs' if unknown == 1 else 'run'}."
        return ""


def _joined(spans: list[Span], gap: str) -> list[Span]:
    joined: list[Span] = []
    for span in spans:
        joined += [span, (gap, _NONE)]
    return joined[:-1]
