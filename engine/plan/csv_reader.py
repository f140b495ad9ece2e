"""Parameter files in CSV: a header of parameter names, then one task a row (spawn's third format)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .fields import LAUNCH_FIELDS
from .model import Value
from .problems import Path, PlanError, Problem, cut
from .scalars import number
from .source import SourceText

_NO_CELLS: list[str] = []
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class CsvDocument:
    """The rows of a CSV file, as the `params` of a spawn file."""

    file: str
    data: Value
    row_lines: tuple[int, ...]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    def lines(self, paths: Iterable[Path]) -> dict[Path, int]:
        """The line of each path's row; 1, the header's, for what is no row."""
        found: dict[Path, int] = {}
        for path in paths:
            row = path[1] if len(path) > 1 else None
            found[path] = self.row_lines[row] if isinstance(row, int) and row < len(self.row_lines) else 1
        return found


def read_csv(source: SourceText) -> CsvDocument:
    """Parse `source`. Raises PlanError if it has no usable header or rows.

    A cell is a number, `true`/`false` in any case, else text without the blanks around it (with them, where
    the row has quotes); an empty cell leaves the parameter out. Empty rows are skipped with a warning.
    """
    text = _Lines(source.text)
    reader = csv.reader(text, strict=True, skipinitialspace=True)
    problems: list[Problem] = []
    rows: list[Value] = []
    row_lines: list[int] = []
    skipped: list[int] = []
    blank: list[int] = []
    ragged = 0

    def problem(
        line: int, message: str, remedy: str = "", key: str | None = None, value: str = ""
    ) -> Problem:
        return Problem(source.file, line, key, value, message, remedy)

    start = 1
    try:
        header = [cell.strip() for cell in next(reader, _NO_CELLS)]
        _check_header(header, source, problems, text.take_quoted())
        as_text = [name in LAUNCH_FIELDS and LAUNCH_FIELDS[name].is_text for name in header]
        start = reader.line_num + 1
        for cells in reader:
            line, start = start, reader.line_num + 1
            quoted = text.take_quoted()
            if not cells:
                blank.append(line)
                continue
            skipped += blank
            blank.clear()
            if len(cells) != len(header):
                ragged += 1
                message = f"the row has {len(cells)} cells, the header has {len(header)}"
                problems.append(problem(line, message, 'put a text that holds a comma in quotes: "a,b"'))
                continue
            if not any(cell.strip() for cell in cells):
                skipped.append(line)
                continue
            rows.append(
                {
                    name: cell.strip() if keep else _typed(cell, quoted)
                    for name, cell, keep in zip(header, cells, as_text, strict=True)
                    if cell.strip() or (cell and quoted)
                }
            )
            row_lines.append(line)
    except csv.Error as error:
        said = str(error)
        if "unexpected end of data" in said:
            said, remedy = "is cut off: the file ends inside quotes", "is the file complete?"
        elif "field larger" in said:
            said, remedy = "a cell is too long", "write the data to a file and pass its name"
        else:
            said, remedy = f"is not valid CSV: {said}", 'write a quote inside of quotes twice: "say ""hi"""'
        problems.append(problem(start, said, remedy))
    if not rows and not problems:
        problems.append(problem(1, "has a header but no rows", "write one row for each task"))
    if not rows or len(problems) > ragged:
        raise PlanError(tuple(problems))
    warnings: list[str] = []
    if skipped:
        lines = ", ".join(map(str, skipped[:10])) + (", …" if len(skipped) > 10 else "")
        warnings.append(f"{source.file}: empty rows are skipped and count as no task (line {lines})")
    return CsvDocument(source.file, {"params": rows}, tuple(row_lines), tuple(problems), tuple(warnings))


def _check_header(header: list[str], source: SourceText, problems: list[Problem], quoted: bool) -> None:
    def problem(message: str, remedy: str, value: str = "") -> Problem:
        return Problem(source.file, 1, None, value, message + source.because, remedy)

    if not header:
        raise PlanError(
            (
                problem(
                    "is empty" if not source.text.strip() else "has no header",
                    "the first line names the parameters: name,lr,batch_size",
                ),
            )
        )
    if len(header) == 1 and not quoted:
        for separator, word in ((";", "semicolons"), ("\t", "tabs")):
            if separator in header[0]:
                raise PlanError(
                    (problem(f"has its columns separated by {word}", "separate them with commas"),)
                )
    seen: set[str] = set()
    for number_, name in enumerate(header, 1):
        if not name:
            problems.append(
                problem(f"column {number_} has no name", "every column needs the name of a parameter")
            )
        elif name in seen:
            problems.append(problem("names two columns", "keep one of them", f'"{cut(name)}"'))
        seen.add(name)


def _typed(cell: str, quoted: bool) -> Value:
    word = cell.strip()
    figure = number(word)
    if figure is not None:
        return figure
    truth = _BOOLS.get(word.lower())
    if truth is not None:
        return truth
    return cell if quoted else word


class _Lines:
    """The lines of a text, remembering whether the ones last given out had quotes in them."""

    def __init__(self, text: str) -> None:
        # Lines that end in a lone CR come from old spreadsheets.
        self._lines = iter((text if "\n" in text else text.replace("\r", "\n")).split("\n"))
        self._quoted = False

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            if '"' in line:
                self._quoted = True
            yield line + "\n"

    def take_quoted(self) -> bool:
        """True if a line since the last call had a quote."""
        quoted, self._quoted = self._quoted, False
        return quoted
