"""`extend`: more time for instances that run."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from ...engine.ids import parse_task_numbers, task_name
from ...engine.plan import parse_duration
from ...engine.viewer import Viewer
from ...engine.words import iso
from .. import format as fmt
from .find import find_sweep, readable
from .output import SOME_FAILED, UserError, data_json, say
from .table import print_table

if TYPE_CHECKING:
    from ...engine.aws.lookout import Clouds, Sighting

OBEYED = 40.0
"""Seconds until an instance has read its new end: it looks every 30 s."""


@dataclass(frozen=True, slots=True)
class _Move:
    """The end of one instance, before and after (seconds since 1970). `before` None: nothing limited it."""

    seen: Sighting
    before: float | None
    after: float


@click.command()
@click.argument("sweep")
@click.argument("words", nargs=-1, metavar="[TASK] [TIME]")
@click.option(
    "--until", metavar="WHEN", help="A time of day (18:00) or a date (2026-11-23T18:00), instead of TIME."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per instance and line.")
def extend(sweep: str, words: tuple[str, ...], until: str | None, as_json: bool) -> int:
    """Give live instances of SWEEP more time: move the end of their TTL by TIME.

    \b
    spawn-tui extend latest 2h             all that are alive, by two hours
    spawn-tui extend latest 3 30m          the instance of task 3 (or 1,5,10-20, or its name)
    spawn-tui extend latest --until 18:00  all of them, to one time, be it sooner or later

    Instances read it within half a minute. The timeout of a task itself is not moved, nor are instances that are
    launched later. Exit status: 0 all are moved, 1 some are not.
    """
    from ...engine.aws.lookout import Clouds

    viewer = readable(lambda: Viewer(find_sweep(sweep)))
    *tasks, last = words or ("",)
    if until is not None:
        tasks, last = list(words), ""
    if len(tasks) > 1 or (not last and until is None):
        raise UserError("write it like: extend SWEEP 2h, extend SWEEP TASK 2h, extend SWEEP --until 18:00")
    chosen = _chosen(viewer, tasks[0]) if tasks else None
    more = _seconds(last) if until is None else 0.0
    target = _moment(until, time.time()) if until is not None else None
    clouds = Clouds()
    sightings, silent = _live(viewer, chosen, clouds)
    moves, endless = _moves(viewer, sightings, more, target)
    failed = silent + _carry_out(moves, clouds)
    if as_json:
        for move in moves:
            data_json({
                "task": task_name(move.seen.ref.task), "attempt": move.seen.ref.attempt,
                "instance_id": move.seen.instance.id, "region": move.seen.place.region, "before": iso(move.before),
                "ends_at": iso(move.after), "moved": move.seen.instance.id not in failed,
            })  # fmt: skip
    else:
        _print(viewer, moves, failed)
    for seen in endless:
        say(
            f"{task_name(seen.ref.task)}: {seen.instance.id} has no TTL that could be moved; --until WHEN gives it one"
        )
    if not moves and not endless and not failed:
        say(f"{viewer.sweep.id}: no instance {'of these tasks ' if chosen is not None else ''}is alive")
        return SOME_FAILED
    return SOME_FAILED if failed or not moves else 0


def _chosen(viewer: Viewer, word: str) -> Collection[int]:
    labels = [index for index, task in enumerate(viewer.plan.tasks) if task.label and task.label == word]
    if labels:
        return frozenset(labels[:1])
    try:
        return frozenset(parse_task_numbers(word, viewer.sweep.total))
    except ValueError as error:
        raise UserError(f"{viewer.sweep.id}: {error}") from None


def _seconds(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UserError(str(error)) from None
    if not seconds:
        raise UserError(f'"{text}" moves nothing; --until says an end outright, also a sooner one')
    return seconds


def _moment(text: str, now: float) -> float:
    """A time of day is the next one, a date without an offset is meant here. Raises `UserError`."""
    here = datetime.fromtimestamp(now).astimezone()
    try:
        if len(text) <= 8 and ":" in text:
            day = datetime.combine(here.date(), datetime.strptime(text, "%H:%M").time())
            if day.timestamp() <= now:
                day += timedelta(days=1)
            return day.timestamp()
        found = datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise UserError(f'"{text}" is not a time; write it like 18:00 or 2026-11-23T18:00') from None
    if found <= now:
        raise UserError(f"{text} is over; to end instances now: spawn-tui cancel SWEEP")
    return found


def _live(viewer: Viewer, chosen: Collection[int] | None, clouds: Clouds) -> tuple[list[Sighting], list[str]]:
    """The instances that are alive, and the names of sources that could not be asked, of which is said why."""
    from ...engine.aws.launches import LaunchDamaged
    from ...engine.aws.lookout import by_reason, look, places
    from ...engine.aws.model import ALIVE

    where = places(viewer.sweep)
    if not where:
        raise UserError(f"{viewer.sweep.id} has no source whose instances have a TTL: it never was on EC2")
    try:
        seen = look(viewer.root, viewer.sweep.id, where, clouds)
    except LaunchDamaged as error:
        raise UserError(str(error), status=SOME_FAILED) from None
    for why, silent in by_reason(seen.silent):
        names = ", ".join(place.source for place in silent)
        say(f"{names} cannot be asked, and instances there keep their end: {why}")
    found = [
        one
        for one in seen.sightings
        if one.instance.state in ALIVE and (chosen is None or one.ref.task in chosen)
    ]
    return found, [place.source for place, _ in seen.silent]


def _moves(
    viewer: Viewer, sightings: Sequence[Sighting], more: float, target: float | None
) -> tuple[list[_Move], list[Sighting]]:
    """What is to be moved where, and what has no end that could be moved."""
    from ...engine.aws.lookout import ends_at

    moves: list[_Move] = []
    endless: list[Sighting] = []
    for seen in sightings:
        before = ends_at(seen.instance, viewer.plan.tasks[seen.ref.task].launch, seen.place)
        if target is not None:
            moves.append(_Move(seen, before, float(round(target))))
        elif before is None:
            endless.append(seen)
        else:
            moves.append(_Move(seen, before, float(round(before + more))))
    return moves, endless


def _carry_out(moves: Sequence[_Move], clouds: Clouds) -> list[str]:
    """Set the tags, one call for all instances of a place with the same end; the ids that could not be told."""
    from ...engine.aws.errors import AwsError
    from ...engine.aws.model import TAG_TTL

    groups: dict[tuple[str, float], list[_Move]] = {}
    for move in moves:
        groups.setdefault((move.seen.place.source, move.after), []).append(move)
    failed: list[str] = []
    for (source, after), group in groups.items():
        ids = [move.seen.instance.id for move in group]
        try:
            clouds.fleet(group[0].seen.place).tag(ids, {TAG_TTL: str(int(after))})
        except AwsError as error:
            failed += ids
            missing = f"; the permission {error.action} is missing" if error.action else ""
            say(f"{source}: {fmt.plural(len(ids), 'instance')} could not be told: {error}{missing}")
    return failed


def _print(viewer: Viewer, moves: Sequence[_Move], failed: Collection[str]) -> None:
    if not moves:
        return
    now = time.time()
    rows: list[list[str]] = []
    for move in moves:
        identity, ref = move.seen.instance.id, move.seen.ref
        before = "none" if move.before is None else _local(move.before)
        after = "not moved" if identity in failed else _local(move.after)
        rows.append([task_name(ref.task), viewer.plan.tasks[ref.task].label, identity, before, after])
    print_table(["task", "name", "instance", "ended at", "ends at"], rows)
    moved = [move for move in moves if move.seen.instance.id not in failed]
    soon = [move for move in moved if move.before is not None and move.before - now < OBEYED]
    if soon:
        say(f"{fmt.plural(len(soon), 'instance')} may have ended before hearing of it")
    hours = [
        (viewer.sweep.tasks[move.seen.ref.task].attempts[move.seen.ref.attempt - 1].rate or 0.0)
        * (move.after - move.before) / 3600
        for move in moved
        if move.before is not None
    ]  # fmt: skip
    if sum(hours) > 0:
        from ...engine.cost import money

        say(f"up to {money(sum(hours))} more, if all run to their end")


def _local(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
