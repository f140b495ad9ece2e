"""What a person may ask of a sweep: the request, the question that states its effect, and the same as a command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..engine.ids import task_name
from . import format as fmt
from .sources import SourceRow, reason, short
from .view import Facts, TaskRow

WishVerb = Literal["cancel", "pause", "resume", "retry", "slots", "enable_source", "remove_source", "start"]


@dataclass(frozen=True, slots=True)
class Wish:
    """`verb` is the request's, or `start` for an engine alone. `tasks` empty: all (`retry`: all that failed)."""

    verb: WishVerb
    what: str
    """As in "asked the engine to …"."""
    command: str
    """The command that does the same."""
    tasks: tuple[int, ...] = ()
    source: str = ""
    value: int = 0
    force: bool = False
    question: str = ""
    """Asked before it is done; empty if it needs no asking."""
    short: str = ""
    """The question in a few words, for a terminal of a few lines."""
    detail: str = ""
    yes: str = ""
    declined: str = ""
    """What is said when the answer is no."""


def cancel_tasks(facts: Facts, rows: Sequence[TaskRow], now: float, *, force: bool = False) -> Wish | None:
    """Cancel these tasks; None if none of them can be."""
    able = [row for row in rows if row.state in _cancellable(force)]
    if not able:
        return None
    return Wish(
        "cancel",
        f"{'kill' if force else 'cancel'} {_named(able)}",
        f"spawn-tui cancel {facts.id} --tasks {fmt.task_numbers([row.task for row in able])}"
        + " --force" * force,
        tasks=tuple(row.task for row in able),
        force=force,
        question=_question("Kill" if force else "Cancel", able, now),
        short=f"{'Kill' if force else 'Cancel'} {_named(able)}?",
        declined=f"Nothing was {'killed' if force else 'cancelled'}.",
        detail=_cancel_detail(facts, able, force),
        yes="Kill" if force else "Cancel tasks" if len(able) > 1 else "Cancel task",
    )


def cancel_sweep(facts: Facts, rows: Iterable[TaskRow], now: float, *, force: bool = False) -> Wish | None:
    """Cancel all that is left; None if nothing is."""
    able = [row for row in rows if row.state in _cancellable(force)]
    if not able:
        return None
    return Wish(
        "cancel",
        "cancel the sweep",
        f"spawn-tui cancel {facts.id}" + " --force" * force,
        force=force,
        question=_question("Cancel the whole sweep:", able, now),
        short="Cancel the sweep?",
        declined="Nothing was cancelled.",
        detail=_cancel_detail(facts, able, force),
        yes="Cancel sweep",
    )


def retry_tasks(facts: Facts, rows: Sequence[TaskRow]) -> Wish | None:
    """Run these again, of those that failed or were cancelled; None if none did."""
    able = [row for row in rows if row.state in ("failed", "cancelled")]
    if not able:
        return None
    numbers = fmt.task_numbers([row.task for row in able])
    return Wish(
        "retry",
        f"retry {_named(able)}",
        f"spawn-tui resume {facts.id} --tasks {numbers}",
        tasks=tuple(row.task for row in able),
        question=f"Run {_counted(able, _FAILED)} again?",
        short=f"Retry {_named(able)}?",
        declined=_NOT_RETRIED,
        detail=_retry_detail(len(able)),
        yes="Retry",
    )


def retry_failed(facts: Facts) -> Wish | None:
    """Run all again that failed."""
    number = facts.counts.get("failed", 0)
    if not number:
        return None
    return Wish(
        "retry",
        f"retry {fmt.plural(number, 'failed task')}",
        f"spawn-tui resume {facts.id} --retry-failed",
        question=f"Run {'the' if number == 1 else 'all'} {fmt.plural(number, 'failed task')} again?",
        short=f"Retry {number:,} failed?",
        declined=_NOT_RETRIED,
        detail=_retry_detail(number),
        yes="Retry",
    )


def pause(facts: Facts) -> Wish:
    return Wish("pause", "pause the sweep", f"spawn-tui pause {facts.id}")


def resume(facts: Facts) -> Wish:
    """Go on launching; a sweep without an engine gets one."""
    verb: WishVerb = "resume" if facts.paused else "start"
    return Wish(verb, "resume the sweep", f"spawn-tui resume {facts.id}")


def slots(source: SourceRow, value: int) -> Wish:
    """Let a source hold `value` attempts at a time."""
    return Wish(
        "slots", f"give {source.name} {fmt.plural(value, 'slot')}", "", source=source.name, value=value
    )


def enable_source(source: SourceRow, now: float) -> Wish | None:
    """Trust a disabled source again; None if it is not disabled."""
    if source.disabled_since is None or source.removed:
        return None
    name = fmt.clean(source.name)
    away = " It does not answer now: it gets tasks once it does." if source.unreachable_since else ""
    return Wish(
        "enable_source",
        f"enable {name}",
        "",
        source=source.name,
        question=f"Enable {name} again?",
        short=f"Enable {name}?",
        detail=f"It is {short(source, now)}: {reason(source) or fmt.clean(source.disabled_reason)}. "
        f"Up to {fmt.plural(source.slots, 'task')} at a time go there again, without a probe; "
        f"its failures so far count no more.{away}",
        yes="Enable",
        declined=f"{name} stays disabled.",
    )


def remove_source(source: SourceRow, facts: Facts) -> Wish | None:
    """Give a source no new tasks; None if it was removed already."""
    if source.removed:
        return None
    name = fmt.clean(source.name)
    held = [
        f"{number:,} {word}"
        for number, word in ((source.busy, "running"), (source.queued, "queued"))
        if number
    ]
    one = source.held == 1
    kept = f"{' and '.join(held)} {'task' if one else 'tasks'} there {'goes' if one else 'go'} on to the end."
    others = [row.name for row in facts.sources if row.name != source.name and row.takes_tasks]
    waits = facts.counts.get("pending", 0)
    if others:
        rest = f"What waits goes to {', '.join(map(fmt.clean, others[:3]))}" + (
            f" and {len(others) - 3} more." if len(others) > 3 else "."
        )
    elif any(row.name != source.name and not row.removed for row in facts.sources):
        rest = "No other source takes tasks now: what waits stays until one does."
    elif waits:
        rest = f"No source is left then: the {fmt.plural(waits, 'waiting task')} will not run, and the sweep fails."
    else:
        rest = "No source is left then."
    return Wish(
        "remove_source",
        f"remove {name}",
        "",
        source=source.name,
        question=f"Give {name} no new tasks?",
        short=f"Remove {name}?",
        detail=f"{kept if held else 'Nothing runs there.'} {rest} Its files stay; resume --sources takes it up again.",
        yes="Remove source",
        declined=f"{name} stays.",
    )


def _cancellable(force: bool) -> tuple[str, ...]:
    ordinary = ("pending", "launching", "queued", "running", "unknown")
    return (*ordinary, "cancelling") if force else ordinary


_NOT_RETRIED = "Nothing was run again."
_FAILED = (("failed", ("failed",)), ("cancelled", ("cancelled",)))
_LEFT = (
    ("running", ("launching", "running")),
    ("queued", ("queued",)),
    ("unknown", ("unknown",)),
    ("cancelling", ("cancelling",)),
    ("waiting", ("pending",)),
)


def _counted(rows: Sequence[TaskRow], groups: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """`3 running and 12 waiting tasks`, or one task by its name."""
    parts: list[str] = []
    for word, states in groups:
        number = sum(1 for row in rows if row.state in states)
        if number:
            parts.append(f"{number:,} {word}")
    if len(rows) == 1:
        return f"{parts[0].removeprefix('1 ')} {task_name(rows[0].task)}"
    return f"{' and '.join(filter(None, (', '.join(parts[:-1]), parts[-1])))} tasks"


def _question(verb: str, rows: Sequence[TaskRow], now: float) -> str:
    done = sum(row.elapsed(now) or 0.0 for row in rows if row.state != "pending")
    work = f" ({fmt.task_hours(done)} done)" if done else ""
    return f"{verb} {_counted(rows, _LEFT)}{work}?"


def _cancel_detail(facts: Facts, rows: Sequence[TaskRow], force: bool) -> str:
    """What becomes of what runs: an instance goes with all that is on it."""
    busy = [row for row in rows if row.state not in ("pending", "queued")]
    clouds = {source.name for source in facts.sources if source.kind == "ec2"}
    instances = sum(row.source in clouds for row in busy)
    if instances:
        gone = fmt.plural(instances, "EC2 instance") + f" {'is' if instances == 1 else 'are'} terminated"
        others = [row for row in rows if row.source not in clouds]
        rest = f" {_cancel_detail(facts, others, force)}" if others else ""
        return f"{gone}; what was not uploaded is gone.{rest}"
    if force:
        return "Processes are killed at once (KILL), without time to save anything."
    active = sum(row.state not in ("pending", "queued") for row in rows)
    queued = any(row.state == "queued" for row in rows)
    taken = " What waits in a scheduler's queue is taken out of it." if queued else ""
    if active > 1:
        return f"Running processes are asked to end (TERM) and killed after 10 s.{taken}"
    if active:
        return f"Its processes are asked to end (TERM) and killed after 10 s.{taken}"
    if queued:
        return f"{'It has' if len(rows) == 1 else 'They have'} not started.{taken}"
    return f"{'It has' if len(rows) == 1 else 'They have'} not started; nothing is lost."


def _retry_detail(number: int) -> str:
    return f"{'It' if number == 1 else 'Each'} gets a new attempt; what earlier attempts left is kept."


def _named(rows: Sequence[TaskRow]) -> str:
    return task_name(rows[0].task) if len(rows) == 1 else fmt.plural(len(rows), "task")
