"""What `--no-ui` tells of a sweep as it goes: which events are worth a line, in which words, and how often.

What happens to one task is told if it failed; what happens to a source always; what repeats is counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ...engine import events as ev
from ...engine.sweep import Sweep, TaskState
from ...engine.words import describe, spent_words
from ..format import since
from ..launch_failures import same_reason
from ..sources import source_row, waiting
from .losses import is_loss

REPEAT_EVERY = 60.0
"""Seconds between two lines about the same queue, and about the same refusal."""
NEVER_TRIED = ("never sent", "never submitted")
"""How launches begin their message that came back because the source does not serve us; its reason follows."""


@dataclass(slots=True)
class _Refusal:
    """Launches that one source refused for one reason: when that was told last, and how many have come since."""

    told_at: float
    message: str
    more: int = 0


class Narrator:
    """Turns records, already applied to their sweep, into lines. It remembers what it has said.

    `brief`: without what the progress bar shows as well, and what a person at the terminal has just done.
    """

    def __init__(self, *, brief: bool = False) -> None:
        self._brief = brief
        self._queues: dict[str, tuple[float, str]] = {}
        self._refused: dict[tuple[str, str], _Refusal] = {}
        self._struck: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()
        """Sources and why they do not serve us, as it was told in full."""
        self._levels: dict[str, str] = {}

    def tell(self, sweep: Sweep, records: Iterable[ev.Record]) -> Iterator[str]:
        """The lines for these records, each with its time of day."""
        for record in records:
            for text in self._lines(sweep, record.event, record.at):
                yield f"{clock(record.at)} {text}"
        over = sweep.ended is not None
        for (source, _), known in self._refused.items():
            if known.more and (over or sweep.updated_at >= known.told_at + REPEAT_EVERY):
                what = "1 more launch" if known.more == 1 else f"{known.more} more launches"
                known.more, known.told_at = 0, sweep.updated_at
                yield f"{clock(sweep.updated_at)} source {source}: {what} failed likewise: {known.message}"

    def _lines(self, sweep: Sweep, event: ev.Event, at: float) -> Iterator[str]:
        match event:
            case (
                ev.Launching() | ev.Running() | ev.DelaysOver() | ev.SweepCreated() | ev.Requeued() | ev.Limited()
                | ev.Withdrawing() | ev.Withdrawn()
            ):  # fmt: skip
                return
            case (
                ev.EngineStarted() | ev.EngineStopped() | ev.SourceAdded() | ev.Cancelling() | ev.Dropped()
                | ev.SweepEnded() | ev.Stray()
            ) if self._brief:  # fmt: skip
                return
            case ev.Ended():
                yield from self._ends(sweep, event, at)
            case ev.Collected():
                for brought in event.attempts:
                    if brought.problem and is_loss(sweep, brought.task, brought.attempt, brought.problem):
                        yield describe(ev.Collected((brought,)))
            case ev.Waiting():
                yield from self._waiting(sweep, event, at)
            case ev.SourceHealth():
                before, self._levels[event.source] = self._levels.get(event.source, "healthy"), event.level
                if before != event.level:
                    yield describe(event)
            case ev.SourceStrike():
                # One that is away strikes with each attempt to reach it, and a failed launch has told its reason.
                key = (event.source, same_reason(event.reason))
                known = self._struck.get(event.source) == event.reason or key in self._refused
                self._struck[event.source] = event.reason
                if not known:
                    yield describe(event)
            case ev.SourceUnreachable():
                self._struck[event.source] = event.reason
                self._told.add((event.source, event.reason))
                active = sweep.sources[event.source].active
                held = sum(sweep.tasks[task].state is not TaskState.LAUNCHING for task in active)
                doubt = f" ({held} {'task' if held == 1 else 'tasks'} there may still run)" if held else ""
                yield f"{describe(event)}{doubt}"
            case ev.SourceDisabled():
                ahead = _prospect(sweep, event.source, at)
                if (event.source, event.reason) in self._told:
                    yield f"source {event.source} disabled for that reason ({ahead})"
                else:
                    yield f"{describe(event)} ({ahead})"
            case ev.SweepEnded() if any(reason in event.reason for _, reason in self._told):
                yield f"sweep {event.status}"  # why is told with the figures at the end
            case ev.BudgetWarned():
                yield spent_words(event.cost, sweep.budget)
            case _:
                yield describe(event)

    def _ends(self, sweep: Sweep, event: ev.Ended, at: float) -> Iterator[str]:
        """Each task that failed; launches that failed at one source for one reason together."""
        refused: dict[tuple[str, str], list[ev.End]] = {}
        for end in event.attempts:
            if end.kind == "launch_failed":
                source = sweep.tasks[end.task].attempts[end.attempt - 1].source
                refused.setdefault((source, same_reason(end.message)), []).append(end)
            elif end.state != "completed":
                yield describe(ev.Ended((end,)))
        for key, ends in refused.items():
            known = self._refused.get(key)
            if known is not None:
                known.more += len(ends)
                continue
            self._refused[key] = _Refusal(at, ends[0].message)
            message = self._without_told(key[0], ends[0].message)
            if len(ends) == 1:
                yield f"source {key[0]}: {describe(ev.Ended((replace(ends[0], message=message),)))}"
            else:
                yield f"source {key[0]}: {len(ends)} launches failed: {message or 'no reason is known'}"

    def _without_told(self, source: str, message: str) -> str:
        """`never sent` of `never sent: no route to host`, if that there is no route was told of the source before."""
        for lead in NEVER_TRIED:
            reason = message.removeprefix(f"{lead}: ")
            if reason != message:
                if (source, reason) in self._told:
                    return lead
                self._told.add((source, reason))
        self._told.add((source, message))
        return message

    def _waiting(self, sweep: Sweep, event: ev.Waiting, at: float) -> Iterator[str]:
        told_at, told = self._queues.get(event.source, (float("-inf"), ""))
        text = waiting(source_row(sweep.sources[event.source]))
        if text and text != told and at >= told_at + REPEAT_EVERY:
            self._queues[event.source] = at, text
            yield f"source {event.source}: {text}"


def _prospect(sweep: Sweep, name: str, at: float) -> str:
    source = sweep.sources[name]
    if source.probe_at is not None:
        return f"tried again with one task at {since(source.probe_at, at)}"
    return "it gets no tasks until it is enabled" + ("" if source.given_over else ", or answers")


def clock(at: float) -> str:
    """The local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))
