"""A source's head on its own screen: how it feels and why, in full; what it does; how it was set up."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from ...engine.redact import shown
from .. import format as fmt
from .. import sources as words
from ..glyphs import Glyphs
from ..log_text import wrap_words
from ..sources import SourceRow
from .line_list import HEALTH_STYLES
from .paint import Span, fit, glyphs_of, spread, strip

_NONE = Style.null()


class SourceSummary(Widget):
    """As high as it needs to be, up to two thirds of the screen: the reason comes first and is cut last."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*HEALTH_STYLES, "text--muted", "text--strong", "text--error"}

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._source: SourceRow | None = None
        self._now = 0.0
        self._lines: list[list[Span]] = []

    @property
    def glyphs(self) -> Glyphs:
        return glyphs_of(self)

    def look(self, name: str) -> Style:
        return self.get_component_rich_style(name, partial=True)

    def show(self, source: SourceRow, now: float) -> None:
        self._source, self._now = source, now
        self._make()

    def on_resize(self) -> None:
        self._make()

    def _make(self) -> None:
        source, width = self._source, self.size.width - 2
        if source is None or width < 8:
            return
        lines = [self._head(source, width)]
        style = self.look(f"health--{source.health or 'none'}")
        reason = source.disabled_reason if source.health in ("disabled", "probing") else words.reason(source)
        if source.health == "unreachable":
            reason = source.unreachable_reason
        if reason and source.health != "degraded":
            lines += [[(piece, style)] for piece in wrap_words(reason, width)]
        if source.health == "unreachable" and source.disabled_since is not None:
            also = (
                f"Disabled since {fmt.since(source.disabled_since, self._now)} too: {source.disabled_reason}"
            )
            lines += [[(piece, style)] for piece in wrap_words(also, width)]
        for text in (words.prospect(source, self._now), self._does(source), self._machine(source)):
            lines += [[(piece, self.look("text--muted"))] for piece in wrap_words(text, width)]
        lines += self._options(source, width)
        most = max(1, self.screen.size.height * 2 // 3)
        self._lines = lines[:most]
        if self.styles.height is None or self.styles.height.value != len(self._lines):
            self.styles.height = len(self._lines)
        self.refresh()

    def _head(self, source: SourceRow, width: int) -> list[Span]:
        style = self.look(f"health--{source.health or 'none'}")
        health = words.short(source, self._now) or "nothing heard of it yet"
        left: list[Span] = [
            (fmt.clean(source.name), self.look("text--strong")),
            (f"  {self.glyphs.health[source.health]} {health}", style),
        ]
        kind = f"{source.kind}, {fmt.plural(source.slots, 'slot')}"
        return spread(left, [(kind, self.look("text--muted"))], width)

    def _does(self, source: SourceRow) -> str:
        """`2 of 3 slots busy · 340 queued (Resources) · 11 completed · 1 attempt failed · 12/min · 34s each`."""
        doubted = " (nobody can say)" if source.unreachable_since is not None and source.busy else ""
        parts = [f"{source.busy:,} of {fmt.plural(source.slots, 'slot')} busy{doubted}"]
        parts += filter(None, [words.waiting(source)])
        parts.append(f"{source.completed:,} completed")
        if source.failed:
            parts.append(f"{fmt.plural(source.failed, 'attempt')} failed")
        parts += [f"cost {source.cost}"] if source.cost else []
        return f" {self.glyphs.separator} ".join([*parts, *words.pace(source, self._now)])

    def _machine(self, source: SourceRow) -> str:
        figures = words.figures(source, whole=True)
        if not figures:
            return ""
        return f" {self.glyphs.separator} ".join([*figures, f"said {words.age(source, self._now)}"])

    def _options(self, source: SourceRow, width: int) -> list[list[Span]]:
        """Its options, one after the other, on as many lines as they take."""
        pairs = [
            shown(f"{key}={'; '.join(map(fmt.clean, value.splitlines()))}") for key, value in source.options
        ]
        lines: list[str] = []
        for pair in pairs:
            text = fit(pair, min(width, len(pair)), ellipsis=self.glyphs.ellipsis)
            if lines and len(lines[-1]) + len(text) + 2 <= width:
                lines[-1] += f"  {text}"
            else:
                lines.append(text)
        return [[(line, _NONE)] for line in lines]

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.visual_style.rich_style
        spans = self._lines[y] if y < len(self._lines) else []
        return strip([(" ", _NONE), *spans, (" ", _NONE)], width, base)
