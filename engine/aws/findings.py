"""What is said of a launch before it: which tasks each message is about, and whether they can still run elsewhere.

A task may have several groups, one for each source it may run on. What is a definite no in all of them is an error; a
no in one of them is a warning, which names the regions that are left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .aspects import Found
from .cloud import Cloud
from .model import TAG_MANAGED, InstanceSpec

_MOST_SPANS = 8
"""Runs of task numbers that a message names."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A source, as far as launches there depend on it."""

    cloud: Cloud
    """Its account."""
    name: str = ""
    at_once: int | None = None
    """Instances that may run there at a time; None: all."""
    bucket: str = ""
    """The user's own for results; empty: that of the account and region."""
    tags: Mapping[str, str] = field(default_factory=lambda: {TAG_MANAGED: "true"})
    """Ours (`launch_request.own_tags`), on which rights may depend."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks with equal specs at one place."""

    spec: InstanceSpec
    tasks: tuple[int, ...]
    """Their numbers, from 1."""
    place: Place


@dataclass(frozen=True, slots=True)
class Findings:
    """What is to be said before a launch; with an error nothing should be launched."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    specs: tuple[InstanceSpec, ...]
    """The groups' specs, in their order, as they were found: types without patterns, names as ids."""
    refused: frozenset[int] = frozenset()
    """Groups, by position, that would not be launched as they are; quotas pass, so they refuse none."""


class Said:
    """Collects messages, each with the groups it is about."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups
        self._noes: defaultdict[str, set[int]] = defaultdict(set)
        self._tight: defaultdict[str, set[int]] = defaultdict(set)
        self._doubts: defaultdict[str, set[int]] = defaultdict(set)

    def no(self, text: str, groups: Iterable[int]) -> None:
        """These groups would not be launched."""
        self._noes[text].update(groups)

    def doubt(self, text: str, groups: Iterable[int]) -> None:
        self._doubts[text].update(groups)

    def add(self, found: Found, groups: Iterable[int], *, passes: bool = False) -> None:
        """`passes`: a no that holds only while others run: it is none for tasks that may run elsewhere meanwhile."""
        groups = tuple(groups)
        for text in found.errors:
            (self._tight if passes else self._noes)[text].update(groups)
        for text in found.warnings:
            self.doubt(text, groups)

    def live(self) -> list[int]:
        """The groups, by position, of which nothing definite was found wrong so far."""
        refused = self._refused()
        return [number for number in range(len(self._groups)) if number not in refused]

    def findings(self, specs: Sequence[InstanceSpec]) -> Findings:
        refused = self._refused()
        held = refused.union(*self._tight.values())
        everybody = self._tasks(range(len(self._groups)))
        lost = everybody - self._tasks(number for number in range(len(self._groups)) if number not in held)
        errors: list[str] = []
        warnings: list[str] = []
        for heap in (self._noes, self._tight):
            for text, about in heap.items():
                tasks = self._tasks(about)
                if tasks & lost or not tasks:
                    errors.append(f"{text}{_which(tasks & lost, everybody)}")
                if tasks - lost:
                    left = self._elsewhere(tasks - lost, refused) if heap is self._noes else ""
                    warnings.append(
                        f"{self._where(text, about)}{text}{_which(tasks - lost, everybody)}{left}"
                    )
        warnings += [f"{text}{_which(self._tasks(about), everybody)}" for text, about in self._doubts.items()]
        return Findings(tuple(errors), tuple(warnings), tuple(specs), frozenset(refused))

    def _refused(self) -> set[int]:
        return set[int]().union(*self._noes.values())

    def _tasks(self, groups: Iterable[int]) -> set[int]:
        return {task for number in groups for task in self._groups[number].tasks}

    def _elsewhere(self, tasks: set[int], refused: set[int]) -> str:
        """Where these tasks run all the same."""
        left = dict.fromkeys(
            group.spec.region
            for number, group in enumerate(self._groups)
            if number not in refused and not tasks.isdisjoint(group.tasks)
        )
        return f"; launched only in {' and '.join(left)}"

    def _where(self, text: str, about: Iterable[int]) -> str:
        """The regions, if the text itself names none of them."""
        regions = dict.fromkeys(self._groups[number].spec.region for number in sorted(about))
        return "" if any(region in text for region in regions) else f"{', '.join(regions)}: "


def _which(tasks: set[int], everybody: set[int]) -> str:
    """` (task 3)`, ` (tasks 1-3, 7)`; nothing where it is about all."""
    if not tasks or tasks == everybody:
        return ""
    spans: list[list[int]] = []
    for task in sorted(tasks):
        if spans and spans[-1][1] == task - 1:
            spans[-1][1] = task
        else:
            spans.append([task, task])
    shown = [f"{first}" if first == last else f"{first}-{last}" for first, last in spans[:_MOST_SPANS]]
    more = ", …" if len(spans) > _MOST_SPANS else ""
    return f" (task{'s' if len(tasks) > 1 else ''} {', '.join(shown)}{more})"
