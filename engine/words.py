"""Events in words: one line each, for logs and for the plain output of `--no-ui`."""

from __future__ import annotations

from datetime import UTC, datetime

from . import events as ev
from .ids import task_name


def iso(at: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601, UTC; None stays None."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def end_text(end: ev.End) -> str:
    what = f"{task_name(end.task)} {end.state}"
    if end.attempt > 1:
        what += f" (attempt {end.attempt})"
    if end.kind:
        what += f": {end.kind}"
    if end.exit_code is not None:
        what += f", exit status {end.exit_code}"
    return f"{what}: {end.message}" if end.message else what


def describe(event: ev.Event) -> str:
    """One line in words, for logs and for the plain output of `--no-ui`."""
    match event:
        case ev.SweepCreated():
            return f"sweep {event.sweep_id} created: {event.total} tasks"
        case ev.SourceAdded():
            return f"source {event.source}: {event.slots} slots"
        case ev.SourceRemoved():
            return f"source {event.source}: no new tasks"
        case ev.SourceUnreachable():
            return f"source {event.source} unreachable: {event.reason}"
        case ev.SourceReachable():
            return f"source {event.source} answers again"
        case ev.SourceHealth():
            return f"source {event.source} is {event.level}: {_health(event)}"
        case ev.SourceStrike():
            return f"source {event.source}: strike: {event.reason}"
        case ev.SourceDisabled():
            return f"source {event.source} disabled: {event.reason}"
        case ev.SourceEnabled():
            return f"source {event.source} enabled" + (f": {event.reason}" if event.reason else "")
        case ev.SourceRoom():
            if not event.room:
                return f"source {event.source} is asked for all its slots again"
            return f"source {event.source} is taken to have room for {event.room}: {event.reason}"
        case ev.EngineStarted():
            return f"engine started: pid {event.pid} on {event.host} (epoch {event.epoch})"
        case ev.EngineStopped():
            return f"engine stopped: {event.reason}"
        case ev.Launching():
            most = f", at most {event.limit} at once" if 0 < event.limit < len(event.attempts) else ""
            return f"launching {_tasks(event.attempts)} on {event.source}{most}"
        case ev.Limited():
            return f"source {event.source}: at most {event.limit} of batch {event.batch} at once"
        case ev.Waiting():
            why = f" ({event.reason})" if event.reason else ""
            return f"{event.count} of batch {event.batch} wait in the queue of {event.source}{why}"
        case ev.Withdrawing():
            return f"asking {event.source} to give back {_tasks(event.attempts)}"
        case ev.Withdrawn():
            return f"{_tasks(event.attempts)} withdrawn before they began"
        case ev.Running():
            return f"running {_tasks(event.attempts)}"
        case ev.Ended():
            return "; ".join(end_text(end) for end in event.attempts)
        case ev.Unknown():
            return f"{_tasks(event.attempts)} unknown: {event.reason}"
        case ev.Stray():
            return f"stray: {'; '.join(end_text(end) for end in event.attempts)}"
        case ev.Recovered():
            return f"given up, but done: {'; '.join(end_text(end) for end in event.attempts)}"
        case ev.Collected():
            problems = [f"{task_name(b.task)}: {b.problem}" for b in event.attempts if b.problem]
            size = sum(b.size for b in event.attempts)
            home = f"{_names(tuple(b.task for b in event.attempts))} brought home ({size} bytes)"
            return "; ".join([home, *problems])
        case ev.OutOfReach():
            return f"{_tasks(event.attempts)} completed, and out of reach: {event.reason}"
        case ev.Requeued():
            return f"{_tasks(event.tasks)} queued again"
        case ev.DelaysOver():
            return "delayed tasks are ready"
        case ev.Cancelling():
            return f"cancelling {_tasks(event.attempts)} on {event.source}"
        case ev.Dropped():
            return f"{_names(event.tasks)} cancelled before launch"
        case ev.RequestTaken():
            verb = event.verb.replace("_", " ")
            what = f"{verb} {_names(event.tasks)}" if event.tasks else verb
            if event.source:
                what += f" {event.source}"
            return f"request: {what}" + (f" by {event.by}" if event.by else "")
        case ev.RequestRefused():
            return f"request refused: {event.reason}"
        case ev.Paused():
            return f"paused: {event.reason}"
        case ev.BudgetBlind():
            return blind_words(f"what runs on {event.source}", event.attempts)
        case ev.BudgetWarned():
            return spent_words(event.cost)
        case ev.BudgetSpent():
            what = "what costs is being ended" if event.action == "terminate" else "nothing new is launched"
            return f"the budget is spent ({_money(event.cost)}): {what}"
        case ev.SweepEnded():
            return f"sweep {event.status}" + (f": {event.reason}" if event.reason else "")
        case ev.Note():
            return event.text


def spent_words(cost: float, budget: float = 0.0) -> str:
    """`$20.13 of $25 is spent`; `budget` 0: of one that is not known here."""
    from .cost import budget_money  # `cost` is made with the words of this file

    return f"{_money(cost)} of {budget_money(budget) if budget else 'the budget'} is spent"


def _money(usd: float) -> str:
    from .cost import money

    return money(usd)


def blind_words(what: str, attempts: int) -> str:
    """That the budget cannot count so many instances of a type (or of all that a source runs)."""
    count = "1 instance" if attempts == 1 else f"{attempts:,} instances"
    return f"the price of {what} is unknown: the budget does not see {count}"


def _tasks(attempts: tuple[ev.Ref, ...] | tuple[ev.Started, ...] | tuple[ev.Delay, ...]) -> str:
    return _names(tuple(item.task for item in attempts))


def _names(tasks: tuple[int, ...]) -> str:
    if len(tasks) <= 3:
        return ", ".join(task_name(task) for task in tasks)
    return f"{len(tasks)} tasks"


def _health(event: ev.SourceHealth) -> str:
    figures = (("cpu", event.cpu), ("memory", event.memory), ("disk", event.disk))
    parts = [f"{name} {value:.0f} %" for name, value in figures if value is not None]
    if event.load is not None:
        parts.append(f"load {event.load:.2f} per core")
    if event.queue:
        parts.append(event.queue)
    return ", ".join(parts) or "it answers"
