"""What to do next: pure, within every limit, and never asleep without a reason to wake."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from spawn_tui.engine import events as ev
from spawn_tui.engine.decide import comes_home, decide, is_idle
from spawn_tui.engine.sweep import SweepStatus, TaskState

from ..simulation.invariants import demand_same
from .histories import KINDS, History, created, histories


def sweep_with(*slots: int, total: int = 6, **settings: object) -> History:
    sources = [ev.SourceAdded(f"s{n}", "local", count) for n, count in enumerate(slots, 1)]
    return History(created(total, **settings), *sources)


def launches(history: History) -> list[tuple[str, list[int]]]:
    """What is launched now: source and tasks (from 0)."""
    made = [event for event in decide(history.sweep, history.now).events if isinstance(event, ev.Launching)]
    history.add(*made)
    return [(event.source, [ref.task for ref in event.attempts]) for event in made]


# --- any history -------------------------------------------------------------------------------------------------


@given(histories())
@settings(max_examples=100, deadline=None)
def test_decide_is_pure(history: History) -> None:
    before = copy.deepcopy(history.sweep)
    first = decide(history.sweep, history.now)
    assert decide(history.sweep, history.now) == first
    demand_same(history.sweep, before, "decide changed the sweep")


@given(histories())
@settings(max_examples=100, deadline=None)
def test_what_is_decided_can_be_applied_and_comes_to_rest(history: History) -> None:
    history.settle()
    sweep = history.sweep
    assert (
        not (sweep.cancel_due or sweep.force_due or sweep.drop_due or sweep.retry_due)
        or sweep.ended is not None
    )
    wake_at = decide(sweep, history.now).wake_at
    assert wake_at is None or wake_at > history.now


@given(histories())
@settings(max_examples=100, deadline=None)
def test_no_limit_is_exceeded(history: History) -> None:
    sweep = history.sweep
    for _ in range(5):
        for event in decide(sweep, history.now).events:
            history.add(event)
            if isinstance(event, ev.Launching):
                source = sweep.sources[event.source]
                assert source.load <= source.slots
                assert not source.room or source.disabled_since is not None or source.load <= source.room
                assert event.attempts and event.limit <= len(event.attempts)
                assert all(source.suits(sweep.needs_of(ref.task)) for ref in event.attempts)
                assert not sweep.budget_spent
                assert sweep.max_concurrent is None or sweep.load <= sweep.max_concurrent
                assert source.queue or not source.held
                assert not (sweep.paused or sweep.cancel_requested or source.removed)


@given(histories())
@settings(max_examples=100, deadline=None)
def test_a_sweep_at_rest_waits_for_something(history: History) -> None:
    """It has ended, or something runs, or a time is named, or a person must act: it never just stops."""
    history.settle()
    sweep = history.sweep
    waits = decide(sweep, history.now).wake_at is not None
    coming = comes_home(sweep, history.now)
    assert sweep.ended is not None or sweep.active or waits or coming or is_idle(sweep)


@given(histories())
@settings(max_examples=100, deadline=None)
def test_without_launch_all_else_is_decided(history: History) -> None:
    everything = decide(history.sweep, history.now).events
    rest = decide(history.sweep, history.now, launch=False).events
    assert not any(isinstance(event, ev.Launching) for event in rest)
    if not any(isinstance(event, ev.Launching) for event in everything):
        taken_back = all(isinstance(event, ev.Withdrawing) for event in everything)
        assert rest == everything or (taken_back and not rest), (
            "nothing is taken back for who launches no more"
        )


# --- where tasks go ----------------------------------------------------------------------------------------------


def test_round_robin_goes_on_where_it_stopped() -> None:
    history = sweep_with(3, 3, max_concurrent=3)
    assert launches(history) == [("s1", [0, 1]), ("s2", [2])]
    history.add(ev.Ended((ev.End(0, 1, "completed"), ev.End(1, 1, "completed"))))
    assert [source for source, _ in launches(history)] == ["s1", "s2"]


def test_least_loaded_fills_by_share() -> None:
    history = sweep_with(1, 4, strategy="least_loaded", max_concurrent=4)
    assert [(source, len(tasks)) for source, tasks in launches(history)] == [("s1", 1), ("s2", 3)]


def test_random_is_the_same_on_a_replay() -> None:
    one, other = (sweep_with(3, 3, 3, strategy="random", max_concurrent=4) for _ in range(2))
    assert launches(one) == launches(other)


def test_a_source_that_is_away_gets_nothing_and_keeps_its_slots() -> None:
    history = sweep_with(1, 1)
    launches(history)
    history.add(ev.SourceUnreachable("s1", "no answer"), ev.Ended((ev.End(1, 1, "completed"),)))
    assert launches(history) == [("s2", [2])]
    assert history.sweep.sources["s1"].active == {0}


# --- time --------------------------------------------------------------------------------------------------------


def test_the_launch_delay_holds_though_the_journal_rounds_up() -> None:
    history = sweep_with(3, launch_delay=0.5)
    launches(history)  # journalled as 1000.0, though it was a little earlier
    decision = decide(history.sweep, 999.9996)
    assert decision.events == () and decision.wake_at == 1000.5


def test_a_retry_waits_in_whole_milliseconds() -> None:
    """Else the event that ends the wait could stand in the journal before its end, again and again."""
    history = sweep_with(1, total=1, retry_max=2, retry_backoff=0.1, retry_on=KINDS)
    launches(history)
    history.add(ev.Ended((ev.End(0, 1, "failed", "exit", 1),)))
    (event,) = decide(history.sweep, 1000.00049).events
    assert event == ev.Requeued((ev.Delay(0, 1000.1),))


@pytest.mark.parametrize(("tries", "seconds"), [(1, 2.0), (2, 4.0), (3, 8.0), (20, 3600.0)])
def test_the_backoff_doubles_up_to_an_hour(tries: int, seconds: float) -> None:
    history = sweep_with(1, total=1, retry_max=99, retry_backoff=2.0, retry_on=KINDS)
    for number in range(1, tries + 1):
        history.add(ev.Launching(f"b{number}", "s1", (ev.Ref(0, number),)))
        history.add(ev.Ended((ev.End(0, number, "failed", "exit", 1),)))
        (event,) = decide(history.sweep, history.now).events
        assert isinstance(event, ev.Requeued)
        waits = event.tasks[0].not_before - history.now
        history.now += 4000.0
        history.add(event)
    assert waits == seconds


def test_a_source_is_given_up_after_its_grace_and_the_work_goes_elsewhere() -> None:
    history = sweep_with(1, 1, total=2, grace=5.0)
    launches(history)
    history.add(ev.Ended((ev.End(1, 1, "completed"),)), ev.SourceUnreachable("s1", "no answer"))
    assert decide(history.sweep, history.now).wake_at == history.now + 5.0
    assert decide(history.sweep, history.now + 4.999).events == ()
    history.now += 5.0
    ended, requeued, launching = history.settle()
    assert isinstance(ended, ev.Ended) and ended.attempts[0].kind == "source_lost"
    assert isinstance(requeued, ev.Requeued)
    assert history.sweep.tasks[0].tries_before == 1, "a loss is no try"
    assert launching == ev.Launching("b3", "s2", (ev.Ref(0, 2),))


def test_a_source_away_beyond_its_grace_is_nothing_to_wake_for() -> None:
    history = sweep_with(1, 1, grace=5.0, total=2)
    history.add(ev.SourceUnreachable("s1", "no answer"))
    launches(history)
    history.now += 100.0
    assert decide(history.sweep, history.now).wake_at is None


# --- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("completed", "completed", SweepStatus.COMPLETED),
        ("completed", "failed", SweepStatus.FAILED),
        ("completed", "cancelled", SweepStatus.CANCELLED),
    ],
)
def test_how_a_sweep_ends(first: ev.EndState, second: ev.EndState, status: SweepStatus) -> None:
    history = sweep_with(2, total=2)
    launches(history)
    kinds: dict[str, ev.FailureKind | None] = {"failed": "exit"}
    history.add(ev.Ended((ev.End(0, 1, first, kinds.get(first)), ev.End(1, 1, second, kinds.get(second)))))
    history.settle()
    assert history.sweep.status is status


def test_a_sweep_without_a_source_ends_and_says_why() -> None:
    history = sweep_with(1, 1, grace=5.0)
    history.add(ev.SourceRemoved("s1"), ev.SourceUnreachable("s2", "no route"))
    history.now += 5.0
    history.settle()
    assert history.sweep.status is SweepStatus.FAILED
    assert history.sweep.reason == (
        "no source can take the remaining 6 tasks: s1 was removed; s2 is unreachable (no route)"
    )
    assert history.sweep.counts[TaskState.PENDING] == 6


def test_a_paused_sweep_is_idle_once_nothing_runs() -> None:
    history = sweep_with(1, total=2)
    launches(history)
    history.add(ev.RequestTaken("r1", "pause"))
    assert not is_idle(history.sweep)
    history.add(ev.Ended((ev.End(0, 1, "completed"),)))
    assert history.settle() == []
    assert is_idle(history.sweep)
