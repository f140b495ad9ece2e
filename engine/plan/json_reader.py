"""Parameter files in JSON, with the `//` and `/* */` comments and trailing commas that the guides show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn, cast

from .json_lines import places
from .model import Value
from .problems import Path, PlanError, Problem, cut, show_path
from .source import SourceText, nearest, prefixes
from .spelled import as_written, may_be_spelled

# Possessive, so that a file of many megabytes is one step per comment and none per string.
_STRING = r'"(?>[^"\\\n]+|\\.)*+"'
_TO_COMMENT = re.compile(rf'(?>[^"/]+|{_STRING}|/(?![/*])|")*+')
_TO_LAST_COMMA = re.compile(rf'(?>[^",]+|{_STRING}|,(?!\s*[}}\]])|")*+')
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_LAST_COMMA = re.compile(r",\s*[}\]]")


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """What a JSON file holds, and where."""

    file: str
    data: Value
    text: str
    problems: tuple[Problem, ...] = ()

    def lines(self, paths: Iterable[Path]) -> dict[Path, int]:
        """The line of each path, or of the nearest thing around it."""
        wanted = prefixes(paths)
        found: dict[Path, int] = {}
        missing = set(wanted)
        if missing:
            for path, offset in places(self.text):
                if path in missing:
                    found[path] = self.text.count("\n", 0, offset) + 1
                    missing.discard(path)
                    if not missing:
                        break
        return nearest(found, wanted)


def read_json(source: SourceText) -> JsonDocument:
    """Parse `source`. Raises PlanError if it is not JSON; repeated keys are among its problems."""
    try:
        return _parse(source, source.text)
    except json.JSONDecodeError as first:
        # Most files have no comments; only those that fail are searched for them.
        blanked = _without_trailing_commas(_without_comments(source.text))
        if blanked == source.text:
            _refuse(source, blanked, first)
    try:
        return _parse(source, blanked)
    except json.JSONDecodeError as error:
        _refuse(source, blanked, error)


def _parse(source: SourceText, text: str) -> JsonDocument:
    repeated = False

    def pairs(items: list[tuple[str, Value]]) -> dict[str, Value]:
        nonlocal repeated
        made = dict(items)
        if len(made) != len(items):
            repeated = True
        return made

    def constant(word: str) -> NoReturn:
        raise json.JSONDecodeError(f"{word} is not a number of JSON", text, max(text.find(word), 0))

    parse_float = as_written if may_be_spelled(text) else None
    try:
        made = json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=parse_float)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise PlanError(
            (source.problem("is nested too deeply", "no sweep needs more than 100 levels"),)
        ) from None
    except ValueError:
        # Python refuses to convert integers of more than 4300 digits.
        raise PlanError(
            (source.problem("holds a number of thousands of digits", "quote it to pass it as text"),)
        ) from None
    return JsonDocument(
        source.file, cast(Value, made), text, tuple(_repeated_keys(source, text)) if repeated else ()
    )


def _repeated_keys(source: SourceText, text: str) -> Iterable[Problem]:
    seen: dict[Path, int] = {}
    repeated: Path | None = None
    for path, offset in places(text):
        if repeated is not None and len(path) > len(repeated) and path[: len(repeated)] == repeated:
            continue  # What a repeated key holds is no repetition of its own.
        if isinstance(path[-1], str) and path in seen:
            repeated = path
            first = text.count("\n", 0, seen[path]) + 1
            line = text.count("\n", 0, offset) + 1
            yield Problem(
                source.file,
                line,
                show_path(path),
                "",
                f"is given twice, first on line {first}",
                "keep one of them",
            )
        else:
            seen[path] = offset


def _without_comments(text: str) -> str:
    """`text` with comments turned into spaces, so that every offset and line stays what it was."""
    if "//" not in text and "/*" not in text:
        return text
    kept: list[str] = []
    at = 0
    while (stop := _end(_TO_COMMENT, text, at)) < len(text):
        comment = _COMMENT.match(text, stop)
        kept.append(text[at:stop])
        if comment is None:
            at = stop
            break
        kept.append(re.sub(r"[^\n]", " ", comment[0]))
        at = comment.end()
    kept.append(text[at:])
    return "".join(kept)


def _without_trailing_commas(text: str) -> str:
    if not _LAST_COMMA.search(text):
        return text
    kept: list[str] = []
    at = 0
    while (stop := _end(_TO_LAST_COMMA, text, at)) < len(text):
        kept += (text[at:stop], " ")
        at = stop + 1
    kept.append(text[at:])
    return "".join(kept)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


_WORDS = {
    "Expecting property name enclosed in double quotes": ("a key in double quotes is missing", ""),
    "Expecting ',' delimiter": ("a comma or a closing bracket is missing", ""),
    "Expecting ':' delimiter": ("a colon is missing after the key", ""),
    "Expecting value": ("a value is missing", ""),
    "Extra data": ("there is more text after the end", "one file holds one sweep"),
    "Invalid control character at": (
        "a text is not closed on its line",
        r"write a line break in a text as \n",
    ),
    "Invalid \\escape": ("a backslash is followed by the wrong character", r"write a backslash as \\"),
}


def _refuse(source: SourceText, text: str, error: json.JSONDecodeError) -> NoReturn:
    line = text.count("\n", 0, error.pos) + 1
    rest = text[error.pos : error.pos + 200].splitlines()
    found = cut(rest[0].strip()) if rest else ""
    if not text.strip():
        message, remedy = "is empty", 'write {"params": [{"lr": 0.1}, {"lr": 0.01}]}'
    elif not text[error.pos :].strip() or (
        error.msg.startswith("Unterminated string") and "\n" not in text[error.pos :]
    ):
        message, remedy = "is cut off: the file ends in the middle of its JSON", "is the file complete?"
    elif error.msg.startswith("Unterminated string"):
        message, remedy = "a text is not closed", 'end it with "'
    elif found.startswith("'"):
        message, remedy = "JSON wants double quotes", 'write "…"'
    elif found.startswith("/*"):
        message, remedy = "a comment is not closed", "end it with */"
    else:
        message, remedy = next(
            (words for start, words in _WORDS.items() if error.msg.startswith(start)), (error.msg, "")
        )
        message = f"is not valid JSON here: {message}"
    raise PlanError((Problem(source.file, line, None, found, message + source.because, remedy),))
