"""Saying a file in other terms: what was made of which part of it, and which part nobody used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..plan.model import Value
from ..plan.problems import Findings, Located, Path, show_path
from ..sources.registry import KINDS
from .options import find_option


@dataclass(frozen=True, slots=True)
class Translated:
    """A document in our terms that tells the lines of what was written."""

    file: str
    data: dict[str, Value]
    written: Mapping[Path, Path]
    document: Located

    def lines(self, paths: Iterable[Path]) -> dict[Path, int]:
        # What Findings asks for is already as it was written; only what was made here must be looked up.
        wanted = {path: self.written.get(path, path) for path in paths}
        found = self.document.lines(wanted.values())
        return {path: found[written] for path, written in wanted.items() if written in found}


class Reading:
    """What was written, what was made of it, and which part of the former that took."""

    def __init__(self, data: dict[str, Value], findings: Findings) -> None:
        self.data = data
        self.made: dict[str, Value] = {}
        self.written: dict[Path, Path] = {}
        self._findings = findings
        self._used: set[Path] = set()

    def at(self, path: Path) -> Value:
        value: Value = self.data
        for part in path:
            value = value.get(str(part)) if isinstance(value, dict) else None
        return value

    def mapping(self, *path: str) -> dict[str, Value]:
        value = self.at(path)
        return value if isinstance(value, dict) else {}

    def use(self, path: Path) -> None:
        self._used.add(path)

    def put(self, path: Path, target: Path, value: Value) -> None:
        """Make `value` of what stands at `path`; what is made already stays."""
        if value is None:
            return
        self.use(path)
        place = self.made
        for part in target[:-1]:
            inner = place.setdefault(str(part), {})
            assert isinstance(inner, dict)
            place = inner
        if str(target[-1]) not in place:
            place[str(target[-1])] = value
            self._findings.stands_for(target, path)
            self.written[target] = path

    def source(self, name: str, kind: Value, path: Path) -> bool:
        """Begin a source; False if one of that name was made before."""
        sources = self.made.setdefault("sources", {})
        if not isinstance(sources, dict) or name in sources:
            return False
        sources[name] = {}
        self.put(path, ("sources", name, "type"), kind)
        self._used.discard(path)
        self._findings.stands_for(("sources", name), path)
        self.written["sources", name] = path
        return True

    def option(self, name: str, key: str, path: Path, value: Value) -> bool:
        """Say something of a source, if its kind understands it."""
        target: Path = ("sources", name)
        entry = self.made_of(name)
        kind = entry.get("type")
        traits = KINDS.get(kind) if isinstance(kind, str) else None
        if traits is not None and key != "max_tasks" and find_option(traits.options, key) is None:
            return False
        self.put(path, (*target, key), value)
        return True

    def made_of(self, name: str) -> dict[str, Value]:
        sources = self.made.get("sources")
        entry = sources.get(name) if isinstance(sources, dict) else None
        return entry if isinstance(entry, dict) else {}

    def unused(self) -> list[str]:
        """The names of what was not used, whole blocks by their own name; what is null or empty says nothing."""
        found: list[str] = []
        for key, value in self.data.items():
            leaves = list(_leaves(value, (key,)))
            left = [path for path in leaves if not self._covered(path)]
            if left and len(left) == len(leaves):
                found.append(key)
            else:
                found += [show_path(path) for path in left]
        return found

    def _covered(self, path: Path) -> bool:
        return any(path[:length] in self._used for length in range(1, len(path) + 1))


def _leaves(value: Value, path: Path) -> Iterable[Path]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif value is not None and value != [] and value != "":
        yield path
