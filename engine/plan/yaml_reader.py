"""Parameter files in YAML: PyYAML's events, our own reading of numbers, and no surprises.

Events are taken one by one rather than PyYAML's tree: libyaml builds that tree recursively, so that a file of
many opening brackets would end the process; and this is several times faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, cast

import yaml

from .model import Value
from .problems import Path, PlanError, Problem, cut, show_path
from .scalars import number
from .source import SourceText, nearest, prefixes
from .values import DEEPEST

MOST_REPEATED = 5_000_000
"""Values that aliases may add to a file; one of a few lines can otherwise grow to billions."""

_WORDS: dict[str, Value] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_TEXT_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str"})
_CONTAINER_TAGS = frozenset({None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class _EventLoader(Protocol):
    """The part of PyYAML's loaders that is used; its stubs leave it untyped."""

    def __init__(self, text: str) -> None: ...
    def check_event(self) -> bool: ...
    def get_event(self) -> yaml.Event: ...
    def dispose(self) -> None: ...


# PyYAML is built without libyaml on some systems; its own parser is slower and reads the same.
_Loader = cast("type[_EventLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """What a YAML file holds, and where."""

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
            for path, line in _places(self.text):
                if path in missing:
                    found[path] = line
                    missing.discard(path)
                    if not missing:
                        break
        return nearest(found, wanted)


def read_yaml(source: SourceText) -> YamlDocument:
    """Parse `source`. Raises PlanError if it is not YAML; repeated keys are among its problems."""
    return _Builder(source).build()


@dataclass(slots=True)
class _Level:
    """A list or mapping that is being read."""

    value: list[Value] | dict[str, Value]
    anchor: str | None
    line: int
    key: str | None = None
    lines: dict[str, int] = field(default_factory=dict[str, int])
    merged: list[Value] = field(default_factory=list[Value])
    size: int = 1


class _Builder:
    def __init__(self, source: SourceText) -> None:
        self._source = source
        self._levels: list[_Level] = []
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._problems: list[Problem] = []
        self._root: Value = None
        self._repeated = 0

    def build(self) -> YamlDocument:
        documents = 0
        try:
            for event in _events(self._source.text):
                match event:
                    case yaml.ScalarEvent():
                        self._scalar(event)
                    case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                        self._close()
                    case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                        self._open(event)
                    case yaml.AliasEvent():
                        self._alias(event)
                    case yaml.DocumentStartEvent():
                        documents += 1
                        if documents > 1:
                            self._refuse(
                                _line(event), "a second YAML document begins here", "one file holds one sweep"
                            )
                    case _:
                        pass
        except yaml.YAMLError as error:
            raise self._not_yaml(error) from None
        return YamlDocument(self._source.file, self._root, self._source.text, tuple(self._problems))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        text: str = event.value
        plain = event.implicit[0]
        level = self._levels[-1] if self._levels else None
        if event.tag not in _TEXT_TAGS:
            self._tag(event)
        if level is not None and isinstance(level.value, dict) and level.key is None:
            self._key(level, text, plain, _line(event))
            return
        value: Value = text
        if plain and event.tag is None:
            word = _WORDS.get(text, level)
            if word is level:
                figure = number(text)
                value = text if figure is None else figure
            else:
                value = cast(Value, word)
        self._add(value, 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)

    def _key(self, level: _Level, key: str, plain: bool, line: int) -> None:
        if key in level.lines:
            path = show_path((*self._path(), key))
            message = f"is given twice, first on line {level.lines[key]}"
            self._problems.append(Problem(self._source.file, line, path, "", message, "keep one of them"))
        level.lines[key] = line
        level.key = _MERGE if key == "<<" and plain else key

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        level = self._levels[-1] if self._levels else None
        if level is not None and isinstance(level.value, dict) and level.key is None:
            self._refuse(_line(event), "a list or mapping cannot be a key", "a key is one word")
        if len(self._levels) >= DEEPEST:
            self._refuse(_line(event), "is nested too deeply", f"no sweep needs more than {DEEPEST} levels")
        if event.tag not in _CONTAINER_TAGS:
            self._tag(event)
        value: list[Value] | dict[str, Value] = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)
        self._levels.append(_Level(value, event.anchor, _line(event)))

    def _close(self) -> None:
        level = self._levels.pop()
        value = level.value
        if level.merged and isinstance(value, dict):
            value = self._merge(level, value)
        self._add(value, level.size)
        if level.anchor is not None:
            self._anchors[level.anchor] = (value, level.size)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = str(event.anchor)
        if any(level.anchor == name for level in self._levels):
            self._refuse(_line(event), f"&{name} contains itself", "")
        if name not in self._anchors:
            self._refuse(_line(event), f"*{name} stands for nothing", f"define it first, with &{name}")
        level = self._levels[-1]
        value, size = self._anchors[name]
        if isinstance(level.value, dict) and level.key is None:
            if isinstance(value, list | dict):
                self._refuse(_line(event), "a list or mapping cannot be a key", "a key is one word")
            self._key(level, str(value), False, _line(event))
            return
        self._repeated += size
        if self._repeated > MOST_REPEATED:
            self._refuse(
                _line(event),
                f"its aliases stand for more than {MOST_REPEATED:,} values",
                "let `grid` make the combinations",
            )
        self._add(value, size)

    def _add(self, value: Value, size: int) -> None:
        if not self._levels:
            self._root = value
            return
        level = self._levels[-1]
        level.size += size
        if isinstance(level.value, list):
            level.value.append(value)
        elif level.key is not None:
            if level.key is _MERGE:
                level.merged.append(value)
            else:
                level.value[level.key] = value
            level.key = None

    def _merge(self, level: _Level, own: dict[str, Value]) -> dict[str, Value]:
        """`own` over what its `<<` name; of several, the first wins (YAML merge key, 2005)."""
        result: dict[str, Value] = {}
        sources = [item for entry in level.merged for item in (entry if isinstance(entry, list) else [entry])]
        for source in reversed(sources):
            if not isinstance(source, dict):
                line = level.lines["<<"]
                self._refuse(
                    line, "`<<` takes a mapping or a list of mappings", "write <<: *name of a mapping"
                )
            result.update(source)
        return {**result, **own}

    def _path(self) -> Path:
        """The path of the innermost open level."""
        path: list[str | int] = []
        for level in self._levels[:-1]:
            path.append(len(level.value) if isinstance(level.value, list) else (level.key or ""))
        return tuple(path)

    def _tag(self, event: yaml.ScalarEvent | yaml.MappingStartEvent | yaml.SequenceStartEvent) -> NoReturn:
        tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
        self._refuse(
            _line(event),
            f"the tag {cut(tag)} is not allowed",
            "write the plain value, in quotes if it is text",
        )

    def _refuse(self, line: int, message: str, remedy: str) -> NoReturn:
        raise PlanError((*self._problems, self._source.problem(message, remedy, line)))

    def _not_yaml(self, error: yaml.YAMLError) -> PlanError:
        text = self._source.text
        message, remedy, line = str(error), "", None
        if isinstance(error, yaml.MarkedYAMLError):
            message, remedy, line = self._explain(error)
        elif isinstance(error, yaml.reader.ReaderError):
            character = error.character if isinstance(error.character, int) else ord(error.character[:1])
            line = text.count("\n", 0, error.position) + 1
            message = f"holds a control character (0x{character:02x})"
            remedy = r'write it as "\x…" in double quotes'
        return PlanError((*self._problems, self._source.problem(message, remedy, line)))

    def _explain(self, error: yaml.MarkedYAMLError) -> tuple[str, str, int | None]:
        said = error.problem or error.context or "it cannot be read"
        mark = error.problem_mark or error.context_mark
        if mark is None:
            return f"is not valid YAML: {said}", "", None
        lines = self._source.text.split("\n")
        here = lines[mark.line] if mark.line < len(lines) else ""
        rest = [here[mark.column :], *lines[mark.line + 1 :]]
        if not any(part.strip() for part in rest):
            begun = error.context_mark.line if error.context_mark is not None else mark.line
            line = min(begun + 1, len(self._source.text.rstrip().split("\n")))
            return f"is cut off: the file ends in the middle of it ({said})", "is the file complete?", line
        if here.lstrip(" ").startswith("\t"):
            return "a line is indented with a tab", "YAML is indented with spaces", mark.line + 1
        remedy = "put the text in quotes, if it holds `: ` or ` #`" if "mapping values" in said else ""
        return f"is not valid YAML: {said}", remedy, mark.line + 1


_MERGE = "<<" + "\0"  # no key of a file can be this: a file with a NUL is refused before


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark is not None else 1


def _events(text: str) -> Iterator[yaml.Event]:
    loader = _Loader(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """(path, line) of each key and each list element, in order."""
    path: list[str | int] = []
    mappings: list[bool] = []
    key_next = False
    for event in _events(text):
        match event:
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                mappings.pop()
                path.pop()
            case (
                yaml.ScalarEvent() | yaml.AliasEvent() | yaml.MappingStartEvent() | yaml.SequenceStartEvent()
            ):
                if mappings and not mappings[-1]:
                    last = path[-1]
                    path[-1] = last + 1 if isinstance(last, int) else 0
                    yield tuple(path), _line(event)
                elif key_next:
                    path[-1] = str(event.value if isinstance(event, yaml.ScalarEvent) else "")
                    yield tuple(path), _line(event)
                    key_next = False
                    continue
                if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                    mappings.append(isinstance(event, yaml.MappingStartEvent))
                    path.append(-1)
            case _:
                continue
        key_next = bool(mappings) and mappings[-1]
