"""The text of a sweep's file: found, of a bearable size, in UTF-8, and of a known format."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Literal

from .problems import Path, PlanError, Problem

Format = Literal["json", "yaml", "csv"]

SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes of the largest file that is read."""
_BY_EXTENSION: dict[str, Format] = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".csv": "csv"}


@dataclass(frozen=True, slots=True)
class SourceText:
    """A file's text and how it is to be read."""

    file: str
    text: str
    format: Format
    because: str = ""
    """Why it is read as that format, if its name does not say."""

    def problem(self, message: str, remedy: str = "", line: int | None = None) -> Problem:
        """A problem of the file as a whole."""
        return Problem(self.file, line, None, "", message + self.because, remedy)


def read_source(path: FilePath) -> SourceText:
    """The text of the file at `path`. Raises PlanError if it cannot be read or cannot be a sweep's file."""
    file = str(path)
    try:
        # Opened before anything is asked of it: a pipe such as <(generate) is as good as a file.
        with path.open("rb") as stream:
            content = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise PlanError((Problem(file, None, None, "", *_why_unreadable(path, error)),)) from None
    return decode(content, file=file, format=None)


def decode(content: bytes | str, *, file: str, format: Format | None) -> SourceText:
    """`content` as text. Without a `format`, the extension of `file` tells, else the first character: a
    bracket begins JSON, anything else YAML. Raises PlanError if it cannot be a sweep's file.
    """
    if format is None:
        format = _BY_EXTENSION.get(FilePath(file).suffix.lower())

    def refuse(message: str, remedy: str = "", line: int | None = None) -> PlanError:
        return PlanError((Problem(file, line, None, "", message, remedy),))

    if len(content) > SIZE_LIMIT:
        raise refuse(f"is larger than {SIZE_LIMIT >> 20} MiB", "let `grid` make the combinations")
    if isinstance(content, bytes):
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise refuse("is in UTF-16", "save it as UTF-8")
        if b"\0" in content:
            raise refuse("is a binary file (it holds a NUL byte)", "a sweep is written in JSON, YAML or CSV")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise refuse(
                f"is not UTF-8: byte 0x{content[error.start]:02x}", "save it as UTF-8", line
            ) from None
    else:
        text = content.removeprefix("\ufeff")
        if "\0" in text:
            raise refuse("holds a NUL character", "a sweep is written in JSON, YAML or CSV")
    # A line ends the same way on every system, so that positions and here-documents do too.
    text = text.replace("\r\n", "\n")
    if format is not None:
        return SourceText(file, text, format)
    if text.lstrip().startswith(("{", "[", "//", "/*")):
        return SourceText(file, text, "json", " (read as JSON, because of how it begins)")
    return SourceText(file, text, "yaml", " (read as YAML, because its name does not say JSON or CSV)")


def _why_unreadable(path: FilePath, error: OSError) -> tuple[str, str]:
    match error.errno:
        case errno.ENOENT:
            near = _near(path)
            return "does not exist", f'did you mean "{near}"?' if near else "check the path"
        case errno.EISDIR:
            return "is a directory", "give the sweep's file in it"
        case errno.EACCES | errno.EPERM:
            return "cannot be read: permission denied", f"chmod u+r {path}"
        case _:
            return f"cannot be read: {error.strerror or error}", ""


def _near(path: FilePath) -> str:
    import difflib

    try:
        names = [other.name for other in path.parent.iterdir() if other.suffix.lower() in _BY_EXTENSION]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1)
    return str(path.with_name(near[0])) if near else ""


def prefixes(paths: Iterable[Path]) -> set[Path]:
    """`paths` and everything around them, except the document itself."""
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}


def nearest(found: dict[Path, int], wanted: set[Path]) -> dict[Path, int]:
    """A line for each wanted path: its own, else that of the nearest thing around it that has one."""
    lines: dict[Path, int] = {}
    for path in wanted:
        for length in range(len(path), 0, -1):
            if path[:length] in found:
                lines[path] = found[path[:length]]
                break
    return lines
