"""`grid` and `paired`: lists of values, multiplied or zipped (HSM's sweep configuration)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .draft import check_key, check_value
from .model import Value
from .problems import NULL, Findings, Path, kind_of, shown
from .values import DEEPEST, text_of

_LONGEST_COMPARED = 10_000


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter, by its dotted name, and the values it takes."""

    key: str
    values: list[Value]
    path: Path


@dataclass(frozen=True, slots=True)
class Axes:
    """All axes of a file: those of `grid` are multiplied, then with each group; inside a group they are
    zipped.
    """

    grid: tuple[Axis, ...] = ()
    groups: tuple[tuple[Axis, ...], ...] = ()

    def count(self) -> int:
        """How many combinations there are, without making them; 1 if there are no axes."""
        sizes = [len(axis.values) for axis in self.grid] + [len(group[0].values) for group in self.groups]
        return math.prod(sizes)

    def keys(self) -> list[str]:
        """The names of all parameters, in the order they have in a task."""
        return [axis.key for axis in (*self.grid, *itertools.chain.from_iterable(self.groups))]

    def combinations(self) -> Iterator[dict[str, Value]]:
        """Every combination, in order: the last key of the grid varies fastest, and groups faster than the
        grid.
        """
        keys = [axis.key for axis in self.grid]
        columns: list[Sequence[Value]] = [axis.values for axis in self.grid]
        if not self.groups:
            for combination in itertools.product(*columns):
                yield dict(zip(keys, combination, strict=True))
            return
        steps = [
            [
                dict(zip([axis.key for axis in group], row, strict=True))
                for row in zip(*[a.values for a in group], strict=True)
            ]
            for group in self.groups
        ]
        paired = [
            {key: value for step in row for key, value in step.items()} for row in itertools.product(*steps)
        ]
        for combination in itertools.product(*columns):
            chosen = dict(zip(keys, combination, strict=True))
            for extra in paired:
                yield {**chosen, **extra}


def read_grid(value: Value, path: Path, findings: Findings) -> tuple[Axis, ...]:
    """The axes of a `grid` mapping; nested mappings become dotted names."""
    if not isinstance(value, dict):
        if value is not None:
            findings.error(
                path,
                f"must be a mapping of names to lists, not {kind_of(value)}",
                value=value,
                remedy="write lr: [0.1, 0.01]",
            )
        return ()
    return tuple(_flatten(value, "", path, findings))


def read_paired(value: Value, path: Path, findings: Findings) -> tuple[tuple[Axis, ...], ...]:
    """The groups of `paired`: each list element is one group, whatever the names inside; its lists are
    equally long.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        findings.error(
            path,
            f"must be a list of groups, not {kind_of(value)}",
            value=value,
            remedy="write - group: {a: [1, 2], b: [3, 4]}",
        )
        return ()
    groups: list[tuple[Axis, ...]] = []
    for index, element in enumerate(value):
        here = (*path, index)
        if not isinstance(element, dict) or not element:
            what = "empty" if element == {} else kind_of(element)
            findings.error(
                here,
                f"must be a mapping of a group's name to its lists, not {what}",
                value=element,
                remedy="write group: {a: [1, 2], b: [3, 4]}",
            )
            continue
        axes: list[Axis] = []
        for name, content in element.items():
            if isinstance(content, dict):
                # The name of a group is for people only: it is no part of the parameters' names.
                axes += _flatten(content, "", (*here, name), findings)
            else:
                axes += _flatten({name: content}, "", here, findings)
        if axes:
            _check_equally_long(axes, findings)
            shortest = min(len(axis.values) for axis in axes)
            groups.append(tuple(Axis(axis.key, axis.values[:shortest], axis.path) for axis in axes))
    return tuple(groups)


def check_distinct(axes: Axes, findings: Findings) -> None:
    """Note every name that occurs on two axes."""
    first: dict[str, Axis] = {}
    for axis in (*axes.grid, *itertools.chain.from_iterable(axes.groups)):
        if axis.key in first:
            other = ".".join(map(str, first[axis.key].path))
            findings.error(
                axis.path, f"gives {axis.key} again, which `{other}` gives too", remedy="keep one of them"
            )
        first.setdefault(axis.key, axis)


def _flatten(mapping: dict[str, Value], prefix: str, path: Path, findings: Findings) -> Iterator[Axis]:
    """The axes in `mapping`. A wrong one is noted and kept, so that what names it is not wrong too."""
    if not mapping and prefix:
        findings.error(path, "is an empty mapping", remedy="give it a list of values")
    for key, value in mapping.items():
        here = (*path, key)
        name = prefix + key
        check_key(key, here, findings)
        if isinstance(value, dict):
            if len(path) > DEEPEST:
                findings.error(here, "is nested too deeply")
            else:
                yield from _flatten(value, name + ".", here, findings)
        elif not isinstance(value, list):
            what = NULL if value is None else value
            remedy = f"write [{shown(value)}] for a single value"
            findings.error(here, f"must be a list of values, not {kind_of(value)}", value=what, remedy=remedy)
            yield Axis(name, [value], here)
        elif not value:
            remedy = "give it at least one value"
            findings.error(here, "is an empty list, so there would be no tasks", value=value, remedy=remedy)
            yield Axis(name, [None], here)
        else:
            for index, item in enumerate(value):
                check_value(item, (*here, index), findings)
            _warn_of_repetition(value, here, findings)
            yield Axis(name, value, here)


def _warn_of_repetition(values: list[Value], path: Path, findings: Findings) -> None:
    if len(values) > _LONGEST_COMPARED:
        return
    seen: set[tuple[str, str]] = set()
    for value in values:
        mark = (type(value).__name__, value if isinstance(value, str) else text_of(value))
        if mark in seen:
            findings.warn(path, f"has {shown(value)} more than once: some tasks will be the same")
            return
        seen.add(mark)


def _check_equally_long(axes: list[Axis], findings: Findings) -> None:
    if len({len(axis.values) for axis in axes}) == 1:
        return
    sizes = ", ".join(f"{axis.key} has {len(axis.values)}" for axis in axes)
    longest = max(axes, key=lambda axis: len(axis.values))
    shortest = min(axes, key=lambda axis: len(axis.values))
    findings.error(
        shortest.path,
        f"lists that are paired must be equally long: {sizes} values",
        remedy=f"give {shortest.key} {len(longest.values)} values, or move it to `grid`",
    )
