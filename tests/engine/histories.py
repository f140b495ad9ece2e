"""Random legal histories of a sweep, for hypothesis: what engines, sources and viewers could have journalled."""

from __future__ import annotations

from itertools import groupby

from hypothesis import strategies as st
from spawn_tui.engine import events as ev
from spawn_tui.engine.decide import decide
from spawn_tui.engine.sweep import ACTIVE, Sweep, TaskState, apply

KINDS: tuple[ev.FailureKind, ...] = (
    "exit",
    "signal",
    "timeout",
    "launch_failed",
    "source_lost",
    "spot_interrupted",
)
FAULTS = ("launch_failed", "source_lost", "spot_interrupted")
"""Kinds that may be a fault of the source."""
NEEDS = (
    ev.Needs(),
    ev.Needs(("ec2",)),
    ev.Needs((), ("us-east-1",)),
    ev.Needs(("ec2", "slurm"), ("us-east-1", "us-west-2")),
    ev.Needs((), ("nowhere",)),
)
"""What groups of tasks may ask for; the last finds no source that is in a region."""
RATES = (None, 0.0, 0.36, 3600.0)
"""USD per hour; the last is a dollar a second."""


def created(total: int = 3, **settings: object) -> ev.SweepCreated:
    return ev.SweepCreated("s-20260101-000000", "s", total, **settings)  # type: ignore[arg-type]


class History:
    """A sweep and the records it was folded from. Time is whole milliseconds, as in a journal."""

    def __init__(self, *first: ev.Event) -> None:
        self.sweep = Sweep()
        self.records: list[ev.Record] = []
        self.now = 1000.0
        self.add(*first)

    def add(self, *events: ev.Event) -> None:
        for event in events:
            record = ev.Record(self.sweep.seq + 1, self.now, event)
            apply(self.sweep, record)
            self.records.append(record)

    def settle(self) -> list[ev.Event]:
        """Journal what `decide` wants until it wants nothing more; returns that."""
        out: list[ev.Event] = []
        for _ in range(200):
            decision = decide(self.sweep, self.now)
            if not decision.events:
                return out
            self.add(*decision.events)
            out += decision.events
        raise AssertionError("the sweep does not come to rest")

    def fold(self, upto: int | None = None) -> Sweep:
        sweep = Sweep()
        for record in self.records[:upto]:
            apply(sweep, record)
        return sweep


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A sweep somewhere on its way."""
    total = draw(st.integers(1, 6))
    kinds = draw(st.lists(st.sampled_from(("local", "ssh", "slurm", "ec2")), min_size=1, max_size=3))
    sources = [_source(draw, f"src-{n}", kind) for n, kind in enumerate(kinds)]
    needs = draw(
        st.one_of(st.just(()), st.lists(st.sampled_from(NEEDS), min_size=1, max_size=3, unique=True))
    )
    group_of = [draw(st.integers(0, len(needs) - 1)) for _ in range(total if needs else 0)]
    first = created(
        total,
        max_concurrent=draw(st.sampled_from((None, 1, 3))),
        launch_delay=draw(st.sampled_from((0.0, 0.0, 0.5))),
        retry_max=draw(st.integers(0, 2)),
        retry_backoff=draw(st.sampled_from((0.0, 0.3))),
        retry_on=draw(st.sampled_from((KINDS, ("exit",)))),
        strategy=draw(st.sampled_from(("round_robin", "least_loaded", "random", "fastest"))),
        grace=draw(st.sampled_from((0.5, 5.0))),
        rules=draw(
            st.sampled_from(
                ((), (("cooldown", 0.25), ("failure_tasks", 1), ("withdraw_after", 0.0), ("probes", 2)))
            )
        ),
        needs=tuple(needs),
        groups=tuple((group, len(list(run))) for group, run in groupby(group_of)),
        budget=draw(st.sampled_from((0.0, 0.0, 0.5, 20.0))),
        budget_action=draw(st.sampled_from(("pause", "terminate"))),
    )
    history = History(first, *sources)
    for _ in range(draw(st.integers(0, 30))):
        _something_happens(draw, history)
    return history


def _source(draw: st.DrawFn, name: str, kind: str) -> ev.SourceAdded:
    region = draw(st.sampled_from(("", "us-east-1", "us-west-2")))
    price = "" if kind == "ec2" else draw(st.sampled_from(("", "", "7200")))
    options = (("cost_per_hour", price), ("k", "v"), ("region", region))
    grace = draw(st.sampled_from((0.0, 0.0, 2.0)))
    return ev.SourceAdded(
        name,
        kind,
        draw(st.integers(1, 3)),
        tuple((key, value) for key, value in options if value),
        kind == "slurm",
        kind != "local",
        grace,
    )


def _something_happens(draw: st.DrawFn, history: History) -> None:
    sweep = history.sweep
    active = [task for task in sweep.tasks if task.state in ACTIVE]
    what = draw(
        st.sampled_from(
            (
                "settle",
                "settle",
                "time",
                "end",
                "end",
                "start",
                "doubt",
                "source",
                "trust",
                "request",
                "engine",
                "withdrawn",
                "recover",
            )
        )
    )
    if what == "settle":
        history.settle()
    elif what == "time":
        history.now = round(history.now + draw(st.sampled_from((0.001, 0.25, 1.0, 10.0))), 3)
    elif what == "source":
        _source_event(draw, history)
    elif what == "trust":
        _trust_event(draw, history)
    elif what == "recover":
        for index, number in list(sweep.given_up):
            if sweep.tasks[index].state in (TaskState.PENDING, TaskState.FAILED) and sweep.ended is None:
                history.add(ev.Recovered((ev.End(index, number, "completed", exit_code=0),)))
                break
    elif what == "withdrawn":
        asked = [index for source in sweep.sources.values() for index in source.asked]
        fit = [sweep.tasks[index] for index in asked if sweep.tasks[index].state is not TaskState.CANCELLING]
        if fit:
            history.add(ev.Withdrawn((ev.Ref(fit[0].index, len(fit[0].attempts)),)))
    elif what == "request":
        history.add(_request(draw, history))
    elif what == "engine":
        stops = ev.EngineStopped("told to") if draw(st.booleans()) else ev.Note("a lock was taken over")
        history.add(stops, ev.EngineStarted(sweep.epoch + 1, "host", 7))
    elif active:
        task = draw(st.sampled_from(active))
        ref = ev.Ref(task.index, len(task.attempts))
        if what == "start":
            begun = draw(st.sampled_from((None, history.now, history.now - 0.5)))
            handle, rate = draw(st.sampled_from(("", "12:3"))), draw(st.sampled_from(RATES))
            history.add(ev.Running((ev.Started(*ref, handle, begun, rate),)))
        elif what == "doubt":
            history.add(ev.Unknown((ref,), "another host"))
        else:
            history.add(ev.Ended((_end(draw, ref, cancelled=task.state is TaskState.CANCELLING),)))


def _end(draw: st.DrawFn, ref: ev.Ref, *, cancelled: bool) -> ev.End:
    state: ev.EndState = draw(
        st.sampled_from(("completed", "failed", "cancelled") if cancelled else ("completed", "failed"))
    )
    rate = draw(st.sampled_from(RATES))
    if state == "failed":
        kind = draw(st.sampled_from(KINDS))
        fault = kind in FAULTS and draw(st.booleans())
        final = kind == "launch_failed" and draw(st.booleans())
        words = draw(st.text(max_size=5))
        return ev.End(*ref, state, kind, message=words, source_fault=fault, final=final, rate=rate)
    ended_at = draw(st.sampled_from((None, 2.5)))
    return ev.End(*ref, state, exit_code=0, started_at=1.5, ended_at=ended_at, rate=rate)


def _source_event(draw: st.DrawFn, history: History) -> None:
    source = draw(st.sampled_from(list(history.sweep.sources.values())))
    history.add(
        draw(
            st.sampled_from(
                (
                    ev.SourceUnreachable(source.name, "no answer"),
                    ev.SourceReachable(source.name),
                    ev.SourceRemoved(source.name),
                    ev.SourceAdded(
                        source.name,
                        source.kind,
                        2,
                        source.options,
                        source.queue,
                        source.elsewhere,
                        source.grace,
                    ),
                )
            )
        )
    )


def _trust_event(draw: st.DrawFn, history: History) -> None:
    source = draw(st.sampled_from(list(history.sweep.sources.values())))
    cause: ev.Cause = draw(st.sampled_from(("strikes", "refused", "failures", "start", "full")))
    events: list[ev.Event] = [
        ev.SourceStrike(source.name, "no answer"),
        ev.SourceRoom(source.name, draw(st.integers(0, 3)), "quota"),
        ev.SourceHealth(
            source.name, draw(st.sampled_from(("healthy", "degraded"))), 5.0, None, 91.5, 0.5, "1 waits"
        ),
    ]
    if source.disabled_since is None:
        events.append(ev.SourceDisabled(source.name, "refused", cause))
    else:
        events.append(ev.SourceEnabled(source.name))
    for task, number in history.sweep.uncollected:
        events.append(ev.Collected((ev.Brought(task, number, 1, 10, draw(st.sampled_from(("", "gone")))),)))
    for batch in source.batches:
        events.append(
            ev.Waiting(source.name, batch, draw(st.integers(0, 3)), draw(st.sampled_from(("", "Priority"))))
        )
    history.add(draw(st.sampled_from(events)))


def _request(draw: st.DrawFn, history: History) -> ev.Event:
    sweep = history.sweep
    request = f"r{sweep.seq}"
    verb: ev.Verb = draw(st.sampled_from(("cancel", "pause", "resume", "retry", "slots", "limit", "budget")))
    tasks = tuple(draw(st.lists(st.integers(0, sweep.total - 1), max_size=3, unique=True)))
    if sweep.ended is not None and verb in ("cancel", "pause"):
        return ev.RequestRefused(request, "the sweep has ended")
    if verb == "resume" and sweep.budget_spent:
        return ev.RequestRefused(request, "the budget is spent")
    source = next(iter(sweep.sources)) if verb == "slots" else ""
    value = draw(st.sampled_from((1, 700, 100_000)) if verb == "budget" else st.integers(1, 3))
    return ev.RequestTaken(request, verb, tasks, source, value, draw(st.booleans()), "ada@host")
