"""The table of tasks: made for 100,000 rows, of which only those in sight cost anything."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from rich.style import Style
from textual.reactive import reactive

from ...engine.redact import shown_value
from .. import format as fmt
from ..columns import Column, choose_columns
from ..model import SweepModel
from ..view import Sort, TaskRow
from .line_list import LineList
from .paint import Span, fit, fit_name

_GAP = "  "
_NONE = Style.null()


class TaskTable(LineList):
    """Shows the model's rows in the order it was given. The cursor stays with its task when the order changes."""

    head_height = 1
    cursor_stays = True
    sort: reactive[Sort] = reactive(Sort())

    def __init__(self, model: SweepModel, *, id: str) -> None:
        super().__init__(id=id)
        self._model = model
        self._order: Sequence[int] = range(0)
        self._columns: tuple[Column, ...] = ()
        self._waits: tuple[object, ...] = ()
        self.marks: set[int] = set()
        self.now = 0.0
        self.empty = ""

    # -- what it shows -------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        return len(self._order)

    @property
    def order(self) -> Sequence[int]:
        return self._order

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._columns

    @property
    def selected(self) -> int | None:
        """The index of the task under the cursor."""
        return self._order[self.cursor] if self._order else None

    def show(self, order: Sequence[int]) -> None:
        """Show the rows in this order, the cursor on the task it was on, if that is still there."""
        if order is not self._order and order != self._order:
            task = self.selected
            self._order = order
            if task is not None and task in order:
                self.set_reactive(LineList.cursor, order.index(task))
            elif self.cursor >= len(order):
                self.set_reactive(LineList.cursor, max(0, len(order) - 1))
            if self.selected != task:
                self.post_message(self.Moved(self))
            self.items_changed()
            self.show_cursor()
        else:
            self.items_changed()

    def go_to(self, task: int) -> bool:
        """Put the cursor on the task, if it is among those shown."""
        if task not in self._order:
            return False
        self.cursor = self._order.index(task)
        return True

    def items_changed(self) -> None:
        self._columns = self._fitting()
        super().items_changed()

    def refit(self) -> None:
        """The facts have changed: what its sources say may need more room, or less."""
        facts = self._model.facts
        waits = tuple(source.waits for source in facts.sources) if facts else ()
        if self._columns != self._fitting():
            self.items_changed()
        elif waits != self._waits:
            self.refresh()  # no row is another for it, but what stands beside the states is
        self._waits = waits

    def _fitting(self) -> tuple[Column, ...]:
        model = self._model
        sources = model.facts.sources if model.facts else ()
        width = max((len(source.name) for source in sources), default=0)
        reason = max((len(why) for source in sources for _, _, why in source.waits), default=0)
        state = len("q queued ()") + reason if reason else 0
        priced = model.facts is not None and model.facts.priced
        return choose_columns(
            self.size.width - 2, len(model.rows), model.name_width, width, model.params, state,
            priced=priced, tries=model.tried_again, endings=model.ending_width,
        )  # fmt: skip

    def tick(self) -> None:
        """Time has passed: what runs is repainted."""
        top = self.scroll_offset.y
        for position in range(top, min(self.count, top + self.size.height)):
            row = self._model.rows[self._order[position]]
            if row.started_at is not None and row.ended_at is None:
                self._repaint_item(position)

    def line_key(self, position: int, line: int) -> Hashable | None:
        row = self._model.rows[self._order[position]]
        elapsed = "" if row.ended_at is not None else fmt.duration(row.elapsed(self.now))
        return row, row.task in self.marks, self._columns, elapsed, self._model.queue_reason(row)

    # -- painting ------------------------------------------------------------------------------------------

    def paint_head(self, line: int) -> list[Span]:
        head, glyphs = self.look("text--head"), self.glyphs
        spans: list[Span] = [("  ", head)]
        for column in self._columns:
            title = fmt.clean(column.title)
            if column.key == self.sort.column and (self.sort.reverse or column.key != "#"):
                sign = glyphs.descending if self.sort.reverse else glyphs.ascending
                title = f"{fit(title, min(len(title), column.width - 1), ellipsis=glyphs.ellipsis)}{sign}"
            spans += [
                (fit(title, column.width, right=column.right, ellipsis=glyphs.ellipsis), head),
                (_GAP, head),
            ]
        return spans

    def paint_empty(self, line: int) -> list[Span]:
        return [(f"  {self.empty}", self.look("text--muted"))] if line == 1 and self.empty else []

    def paint(self, position: int, line: int) -> list[Span]:
        row = self._model.rows[self._order[position]]
        glyphs = self.glyphs
        marked = row.task in self.marks
        spans: list[Span] = [(glyphs.mark if marked else " ", self.look("row--mark"))]
        waiting = row.state == "pending"
        plain = self.look("text--muted") if waiting else _NONE
        for column in self._columns:
            text, style = self._cell(row, column, plain)
            if column.key == "source":
                cell = fit_name(text, column.width, ellipsis=glyphs.ellipsis)
            else:
                cell = fit(text, column.width, right=column.right, ellipsis=glyphs.ellipsis)
            spans.append((cell + _GAP, style))
        return spans

    def _cell(self, row: TaskRow, column: Column, plain: Style) -> Span:
        match column.key:
            case "#":
                return str(row.task + 1), self.look("text--muted")
            case "name":
                return fmt.clean(self._model.tasks[row.task].label), plain
            case "state":
                why = self._model.queue_reason(row)
                text = f"{self.glyphs.states[row.state]} {row.state}{f' ({fmt.clean(why)})' if why else ''}"
                return text, self.look(f"state--{row.state}")
            case "source":
                return fmt.clean(row.source), self.look("text--muted")
            case "try":
                return str(row.attempt or ""), plain if row.attempt > 1 else self.look("text--muted")
            case "time":
                return fmt.duration(row.elapsed(self.now)), plain
            case "cost":
                # Not sooner: it brings half of the engine along, and the first picture comes without.
                from ..money import column_money

                usd = row.cost(self.now)
                return ("" if usd is None else column_money(usd)), self.look("text--muted")
            case "exit":
                style = self.look("state--failed") if row.state == "failed" else self.look("text--muted")
                if row.state == "pending":
                    return "", style  # that was the try before
                return fmt.short_ending(row.kind, row.exit_code, row.signal, column.width), style
            case _:
                params = self._model.tasks[row.task].params
                key = column.key.removeprefix("param:")
                return (shown_value(key, params[key], fmt.value(params[key])) if key in params else ""), plain
