"""The table of all sweeps."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style

from .. import format as fmt
from ..columns import Column
from ..sweeps_feed import SweepRow
from ..view import split_bar
from .line_list import LineList
from .paint import Span, fit

_NONE = Style.null()
_OVER = ("completed", "failed", "cancelled")
_STATES = {"pending": "pending", "damaged": "failed"}


def sweep_columns(width: int, rows: Sequence[SweepRow]) -> tuple[Column, ...]:
    """The columns that fit: always status, name and how far it is."""
    longest = max((len(row.id) for row in rows), default=8)
    done = max((len(f"{row.done:,}/{row.total:,}") for row in rows), default=5)
    columns = {
        "status": Column("status", "status", 13),
        "done": Column("done", "done", max(5, done), right=True),
    }
    left = width - sum(column.width + 2 for column in columns.values())
    order = ["status", "id", "bar", "done", "failed", "running", "age", "started", "took"]
    name = min(longest, max(12, left - 34 if left > 60 else left - 8))
    for key, title, cells, right in (
        ("id", "sweep", name, False), ("failed", "failed", 6, True), ("bar", "progress", 12, False),
        ("running", "running", 7, True), ("age", "age", 8, True), ("started", "started", 16, False),
        ("took", "time", 6, True),
    ):  # fmt: skip
        if cells + 2 <= left:
            left -= cells + 2
            columns[key] = Column(key, title, cells, right)
    if "bar" in columns and left > 0:
        columns["bar"] = Column("bar", "progress", min(40, 12 + left))
    return tuple(columns[key] for key in order if key in columns)


class SweepTable(LineList):
    """One line for each sweep, newest first."""

    head_height = 1
    cursor_stays = True

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rows: Sequence[SweepRow] = ()
        self._columns: tuple[Column, ...] = ()
        self.now = 0.0
        self.empty: tuple[str, ...] = ("reading …",)

    @property
    def count(self) -> int:
        return len(self._rows)

    @property
    def row(self) -> SweepRow | None:
        """The sweep under the cursor."""
        return self._rows[self.cursor] if self._rows else None

    def show(self, rows: Sequence[SweepRow], now: float) -> None:
        """The cursor stays on its sweep when new ones come in above it."""
        before, self.now, self._rows = self.row, now, rows
        if before is not None:
            place = next((n for n, row in enumerate(rows) if row.id == before.id), None)
            if place is not None:
                self.set_reactive(LineList.cursor, place)
        self.items_changed()

    def items_changed(self) -> None:
        self._columns = sweep_columns(self.size.width - 2, self._rows)
        super().items_changed()

    def paint_head(self, line: int) -> list[Span]:
        if not self._rows:
            return []
        head = self.look("text--head")
        spans: list[Span] = [(" ", head)]
        for column in self._columns:
            spans.append((fit(column.title, column.width, right=column.right) + "  ", head))
        return spans

    def paint_empty(self, line: int) -> list[Span]:
        return [(f"  {self.empty[line]}", self.look("text--muted"))] if line < len(self.empty) else []

    def paint(self, position: int, line: int) -> list[Span]:
        row = self._rows[position]
        spans: list[Span] = []
        for column in self._columns:
            if column.key == "bar" and row.trouble:
                return [*spans, (fmt.clean(row.trouble), self.look("text--muted"))]
            if column.key == "bar":
                spans += [*self._bar(row, column.width), ("  ", _NONE)]
                continue
            text, style = self._cell(row, column.key)
            spans.append(
                (fit(text, column.width, right=column.right, ellipsis=self.glyphs.ellipsis) + "  ", style)
            )
        return spans

    def _cell(self, row: SweepRow, key: str) -> Span:
        muted = self.look("text--muted")
        match key:
            case "status":
                state = _STATES.get(row.status, row.status)
                return f"{self.glyphs.states[state]} {row.status}", self.look(f"state--{state}")
            case "id":
                return fmt.clean(row.id), self.look("text--strong")
            case "done":
                return f"{row.done:,}/{row.total:,}", _NONE
            case "failed":
                return (f"{row.failed:,}", self.look("state--failed")) if row.failed else ("", muted)
            case "running":
                if row.unknown:
                    return f"{row.running + row.unknown:,}?", self.look("state--unknown")
                return (f"{row.running:,}", self.look("state--running")) if row.running else ("", muted)
            case "age":
                return fmt.ago(self.now - row.created_at), muted
            case "started":
                return fmt.moment(row.created_at), muted
            case _:
                took = row.worked if row.running_since is None else self.now - row.running_since
                return fmt.duration(took), muted

    def _bar(self, row: SweepRow, width: int) -> list[Span]:
        waiting = row.total - row.done - row.running - row.unknown
        counts = {"completed": row.completed, "failed": row.failed, "cancelled": row.cancelled,
                  "unknown": row.unknown, "running": row.running, "pending": waiting}  # fmt: skip
        glyphs = self.glyphs
        return [
            (
                # What is over and what is not differ by the line itself, not by colour alone.
                (glyphs.bar_full if state in _OVER else glyphs.bar_empty) * size,
                self.look(f"state--{state}"),
            )
            for state, size in split_bar(counts, row.total, width)
        ]
