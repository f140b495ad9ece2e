"""Who gets which tasks: queues and their limits, what is taken back, the fastest, and work that moves away from what
broke."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spawn_tui.engine import events as ev
from spawn_tui.engine.decide import decide
from spawn_tui.engine.observe import (
    Observation,
    SawEnd,
    SawNothing,
    SawRunning,
    SawWaiting,
    SawWithdrawn,
    SourceAway,
    interpret,
)
from spawn_tui.engine.sweep import TaskState
from spawn_tui.engine.transitions import LOSSES

from ..simulation.invariants import check_shape
from .histories import History, created


def cluster(slots: int, *local: int, total: int = 20, **settings: object) -> History:
    sources = [ev.SourceAdded(f"local-{n}", "local", count) for n, count in enumerate(local, 1)]
    return History(created(total, **settings), *sources, ev.SourceAdded("hpc", "slurm", slots, queue=True))


def launches(history: History) -> list[tuple[str, int, int]]:
    """What is launched now: source, tasks, limit."""
    made = [event for event in decide(history.sweep, history.now).events if isinstance(event, ev.Launching)]
    history.add(*made)
    check_shape(history.sweep)
    return [(event.source, len(event.attempts), event.limit) for event in made]


def seen(history: History, source: str, *observations: Observation) -> list[str]:
    events = interpret(history.sweep, source, observations, history.now)
    history.add(*events)
    check_shape(history.sweep)
    return [event.type for event in events]


def end(history: History, *tasks: int) -> None:
    for index in tasks:
        number = len(history.sweep.tasks[index].attempts)
        history.add(ev.Ended((ev.End(index, number, "completed", exit_code=0),)))


# --- sources with a queue ----------------------------------------------------------------------------------------


def test_a_queue_alone_gets_everything_at_once() -> None:
    history = cluster(16, total=1000)
    assert launches(history) == [("hpc", 1000, 16)]
    assert launches(history) == []
    assert (history.sweep.sources["hpc"].load, history.sweep.load, history.sweep.active) == (16, 16, 1000)


def test_more_than_a_thousand_are_several_events_of_one_decision() -> None:
    history = cluster(16, total=2500)
    assert launches(history) == [("hpc", 1000, 14), ("hpc", 1000, 1), ("hpc", 500, 1)]
    assert history.sweep.sources["hpc"].load == 16


def test_every_batch_may_run_something() -> None:
    """A limit of 0 is none at all to Slurm: what cannot have one of at least 1 waits here."""
    history = cluster(2, total=5000)
    assert launches(history) == [("hpc", 1000, 1), ("hpc", 1000, 1)]
    assert len(history.sweep.ready) == 3000


def test_a_queue_beside_others_gets_its_share() -> None:
    history = cluster(16, 4, total=100)
    assert sorted(launches(history)) == [("hpc", 80, 16), ("local-1", 4, 0)]
    assert len(history.sweep.ready) == 16


def test_with_fewer_tasks_than_slots_all_have_a_part() -> None:
    history = cluster(16, 4, total=6)
    assert sorted(launches(history)) == [("hpc", 3, 3), ("local-1", 3, 0)]


def test_a_queue_is_filled_again_only_when_less_than_its_slots_are_left() -> None:
    history = cluster(4, 2, total=60)
    assert ("hpc", 40, 4) in launches(history)
    held = sorted(history.sweep.sources["hpc"].active)
    seen(history, "hpc", *(SawRunning(index, 1) for index in held))
    end(history, *held[:36])
    assert launches(history) == [], "it has four to run"
    end(history, held[36])
    assert launches(history) == [("hpc", 12, 1)], "two thirds of the eighteen that are left, one at a time"


def test_a_limit_rises_as_older_batches_drain() -> None:
    history = cluster(4, total=30)
    launches(history)
    history.add(ev.RequestTaken("r", "slots", (), "hpc", 8))
    (event,) = decide(history.sweep, history.now).events
    assert event == ev.Limited("b1", "hpc", 8)
    history.add(event)
    assert history.sweep.sources["hpc"].load == 8


def test_a_disabled_source_may_not_run_more() -> None:
    history = cluster(4, total=30)
    launches(history)
    history.add(ev.SourceDisabled("hpc", "x"), ev.RequestTaken("r", "slots", (), "hpc", 8))
    assert history.settle() == []


def test_limits_sink_when_slots_or_max_concurrent_shrink_and_never_to_nothing() -> None:
    history = cluster(8, total=2500)
    launches(history)  # 6, 1, 1
    history.add(ev.RequestTaken("r1", "slots", (), "hpc", 4))
    assert history.settle() == [ev.Limited("b1", "hpc", 2)]
    history.add(ev.RequestTaken("r2", "limit", (), "", 1))
    assert history.settle() == [ev.Limited("b1", "hpc", 1)]
    assert history.sweep.load == 3, "one of each batch runs on"


def test_max_concurrent_counts_what_may_run() -> None:
    history = cluster(16, 4, total=100, max_concurrent=6)
    made = {source: limit or count for source, count, limit in launches(history)}
    assert sum(made.values()) == 6 == history.sweep.load
    assert history.sweep.active > 6


def test_what_is_queued_does_not_count_against_max_concurrent() -> None:
    history = cluster(2, 2, total=20, max_concurrent=4)
    launches(history)
    assert history.sweep.active > 4 == history.sweep.load
    end(history, *history.sweep.sources["local-1"].active)
    assert launches(history) == [("local-1", 2, 0)]


def test_with_a_launch_delay_a_queue_gets_one_task_at_a_time() -> None:
    history = cluster(16, total=100, launch_delay=1.0)
    assert launches(history) == [("hpc", 1, 1)]


@given(
    st.integers(1, 40), st.lists(st.integers(1, 5), max_size=2), st.integers(1, 3000), st.none() | st.integers(1, 30),
    st.sampled_from(("round_robin", "least_loaded", "random", "fastest")),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_shares_keep_every_limit(
    slots: int, local: list[int], total: int, limit: int | None, strategy: str
) -> None:
    history = cluster(slots, *local, total=total, max_concurrent=limit, strategy=strategy)
    for event in history.settle():
        assert isinstance(event, ev.Launching)
        assert len(event.attempts) <= 1000 and event.limit <= len(event.attempts)
    check_shape(history.sweep)
    sources = history.sweep.sources.values()
    assert all(source.load <= source.slots for source in sources)
    room = sum(source.slots for source in sources)
    assert history.sweep.load == min(room, total, total if limit is None else limit), "nothing is left idle"


# --- what is said of a queue -------------------------------------------------------------------------------------


def test_why_a_batch_waits_is_journalled_on_change() -> None:
    history = cluster(2)
    launches(history)
    assert seen(history, "hpc", SawWaiting("b1", 20, "Resources")) == ["waiting"]
    assert seen(history, "hpc", SawWaiting("b1", 20, "Resources")) == []
    assert seen(history, "hpc", SawWaiting("b1", 19, "Priority"), SawWaiting("b7", 3, "x")) == ["waiting"]
    batch = history.sweep.sources["hpc"].batches["b1"]
    assert (batch.waiting, batch.reason) == (19, "Priority")


# --- withdrawing -------------------------------------------------------------------------------------------------


def waiting_cluster(**settings: object) -> History:
    """Ten tasks: one runs on the cluster, seven wait there; the local source has done its two and is idle."""
    history = cluster(8, 2, total=10, **settings)
    launches(history)
    held = sorted(history.sweep.sources["hpc"].active)
    seen(history, "hpc", SawRunning(held[0], 1))
    history.now += 5.0
    end(history, *history.sweep.sources["local-1"].active)
    return history


def test_what_waits_is_taken_back_from_the_end_for_free_slots() -> None:
    history = waiting_cluster()
    last = sorted(history.sweep.sources["hpc"].active)[-2:]
    (event,) = history.settle()
    assert isinstance(event, ev.Withdrawing) and event.source == "hpc"
    assert sorted(ref.task for ref in event.attempts) == last, "as many as slots are free, the last ones"
    assert history.settle() == [], "asked for once"


@pytest.mark.parametrize(("waits", "given"), [(True, {"local-1": 2}), (False, {"local-1": 1, "hpc": 1})])
def test_where_something_waits_nothing_is_added_while_others_are_free(
    waits: bool, given: dict[str, int]
) -> None:
    """Else what was taken back would go straight to the queue it came from."""
    history = cluster(4, 2, total=6)
    launches(history)
    held = sorted(history.sweep.sources["hpc"].active)
    if not waits:
        seen(history, "hpc", *(SawRunning(index, 1) for index in held))
    end(history, *sorted(history.sweep.sources["local-1"].active))
    for index in held[:2]:
        seen(history, "hpc", SawEnd(index, 1, failure="source_lost"))
        history.add(ev.Requeued((ev.Delay(index, 0.0),)))
    assert {source: count for source, count, _ in launches(history)} == given


def test_it_must_have_waited() -> None:
    history = waiting_cluster()
    history.now -= 0.5
    assert decide(history.sweep, history.now) == decide(history.sweep, history.now)
    decision = decide(history.sweep, history.now)
    assert decision.events == () and decision.wake_at == 1005.0


def withdrawing() -> tuple[History, ev.Ref]:
    history = waiting_cluster()
    (event,) = history.settle()
    assert isinstance(event, ev.Withdrawing)
    return history, event.attempts[0]


@pytest.mark.parametrize("told", [SawWithdrawn, SawNothing], ids=["this engine", "its successor"])
def test_a_withdrawn_task_goes_elsewhere_and_it_was_no_try(told: type[SawWithdrawn]) -> None:
    """An engine that takes over finds a revoked claim, and the journal says who wanted that."""
    history, ref = withdrawing()
    if told is SawNothing:
        history.add(ev.EngineStarted(2, "host", 7))
    assert seen(history, "hpc", told(*ref)) == ["withdrawn"]
    task = history.sweep.tasks[ref.task]
    assert (task.state, task.tries_before) == (TaskState.PENDING, 1)
    assert task.attempts[0].state is TaskState.CANCELLED
    assert task.attempts[0].message == "withdrawn from the queue of hpc"
    (event,) = [e for e in history.settle() if isinstance(e, ev.Launching)]
    assert (event.source, event.attempts) == ("local-1", (ev.Ref(ref.task, 2),))


def test_what_began_meanwhile_runs_on() -> None:
    history, ref = withdrawing()
    seen(history, "hpc", SawRunning(*ref))
    assert ref.task not in history.sweep.sources["hpc"].asked
    assert history.sweep.tasks[ref.task].state is TaskState.RUNNING
    (event,) = history.settle()
    assert isinstance(event, ev.Withdrawing) and ref not in event.attempts, "another one instead"


def test_a_new_engine_asks_again() -> None:
    history, ref = withdrawing()
    history.add(ev.EngineStarted(2, "host", 7))
    assert ref.task in history.sweep.sources["hpc"].waiting
    assert ref.task in history.sweep.sources["hpc"].asked


@pytest.mark.parametrize("strategy", ["least_loaded", "fastest", "round_robin", "random"])
def test_what_waited_for_nothing_goes_where_a_slot_is_free(strategy: str) -> None:
    """And not back to the queue it came from, over and over."""
    history = History(
        created(2, strategy=strategy),
        ev.SourceAdded("local", "local", 2),
        ev.SourceAdded("hpc", "slurm", 4, queue=True, elsewhere=True),
    )
    history.settle()
    for _ in range(10):
        history.now += 10.0
        for task in history.sweep.tasks:
            attempt = task.attempts[-1]
            if attempt.source == "local" and attempt.started_at is None:
                seen(history, "local", SawRunning(task.index, attempt.number))
        for event in history.settle():
            if isinstance(event, ev.Withdrawing):
                seen(history, "hpc", *(SawWithdrawn(*ref) for ref in event.attempts))
        history.settle()
    assert {task.attempts[-1].source for task in history.sweep.tasks} == {"local"}
    assert max(len(task.attempts) for task in history.sweep.tasks) <= 2


def test_a_cancel_that_meets_a_withdrawal_cancels() -> None:
    history, ref = withdrawing()
    history.add(ev.RequestTaken("r", "cancel", (ref.task,)))
    history.settle()
    assert seen(history, "hpc", SawWithdrawn(*ref)) == ["ended"]
    assert history.sweep.tasks[ref.task].state is TaskState.CANCELLED


@pytest.mark.parametrize("what", ["busy", "degraded", "away", "paused", "disabled"])
def test_nothing_is_taken_back_for_slots_that_are_no_good(what: str) -> None:
    history = waiting_cluster()
    match what:
        case "busy":
            history.add(ev.RequestTaken("r", "limit", (), "", 8))
        case "degraded":
            history.add(ev.SourceHealth("local-1", "degraded", disk=99.0))
        case "away":
            history.add(ev.SourceUnreachable("hpc", "no route"))
        case "paused":
            history.add(ev.RequestTaken("r", "pause"))
        case _:
            history.add(ev.SourceDisabled("local-1", "x"))
    assert not any(isinstance(event, ev.Withdrawing) for event in history.settle())


# --- the fastest -------------------------------------------------------------------------------------------------


def measured(left: int, fast: float, slow: float) -> History:
    """Two sources with two slots each, one of them slow; both have done two tasks. The fast one is busy."""
    history = History(
        created(left + 6, strategy="fastest"),
        ev.SourceAdded("slow", "ssh", 2),
        ev.SourceAdded("fast", "ssh", 2),
    )
    launches(history)
    for name, seconds in (("slow", slow), ("fast", fast)):
        for index in sorted(history.sweep.sources[name].active):
            history.add(
                ev.Ended(
                    (ev.End(index, 1, "completed", None, 0, started_at=100.0, ended_at=100.0 + seconds),)
                )
            )
    return history


@pytest.mark.parametrize(
    ("left", "given"),
    [
        (20, {"fast": 2, "slow": 2}),  # work enough for everybody
        (4, {"fast": 2}),  # the fast one does the other four in 20 s, and the slow one needs 100 s for one
        (0, {"fast": 2}),
    ],
)
def test_a_slow_source_does_not_hold_the_last_tasks(left: int, given: dict[str, int]) -> None:
    history = measured(left, 10.0, 100.0 if left < 20 else 30.0)
    assert {source: count for source, count, _ in launches(history)} == given


def test_sources_nobody_has_measured_come_first() -> None:
    history = measured(3, 10.0, 20.0)
    history.add(ev.SourceAdded("new", "ssh", 1))
    assert launches(history)[0] == ("new", 1, 0)


def test_a_sweep_never_waits_for_a_fast_source_that_is_gone() -> None:
    history = measured(0, 10.0, 1000.0)
    history.add(ev.SourceDisabled("fast", "x"))
    assert launches(history) == [("slow", 2, 0)]


# --- failover ----------------------------------------------------------------------------------------------------


def given_up(retry_max: int = 0) -> History:
    """Task 0 was given up on `far`, and waits; `near` is busy with task 1."""
    history = History(
        created(2, grace=5.0, retry_max=retry_max),
        ev.SourceAdded("far", "ssh", 1),
        ev.SourceAdded("near", "local", 1),
    )
    history.settle()
    history.add(ev.SourceUnreachable("far", "no route"))
    history.now += 5.0
    history.settle()
    assert (0, 1) in history.sweep.given_up and history.sweep.tasks[0].state is TaskState.PENDING
    return history


def test_a_lost_attempt_is_tried_again_whatever_the_retries_say() -> None:
    history = given_up()
    end(history, 1)
    assert launches(history) == [("near", 1, 0)]


def test_a_task_that_is_lost_again_and_again_has_failed() -> None:
    history = History(
        created(2, grace=1.0), ev.SourceAdded("far", "ssh", 1), ev.SourceAdded("near", "ssh", 1)
    )
    for _ in range(LOSSES):
        history.settle()
        history.add(ev.SourceUnreachable("far", "no route"))
        history.now += 1.0
        history.settle()
        history.add(ev.SourceReachable("far"))
    assert history.sweep.tasks[0].state is TaskState.FAILED
    assert len(history.sweep.tasks[0].attempts) == LOSSES


def test_a_lost_attempt_that_was_to_be_cancelled_is_not_tried_again() -> None:
    history = History(created(1, grace=1.0), ev.SourceAdded("far", "ssh", 1))
    history.settle()
    history.add(ev.SourceUnreachable("far", "x"), ev.RequestTaken("r", "cancel"))
    history.now += 1.0
    history.settle()
    assert history.sweep.tasks[0].state is TaskState.FAILED and history.sweep.ended is not None


@pytest.mark.parametrize("kind", ["ssh", "local"])
def test_a_machine_that_died_is_no_try_of_the_task(kind: str) -> None:
    """A runner that was killed on this very machine is: somebody here did it."""
    history = History(created(1), ev.SourceAdded("s", kind, 1))
    history.settle()
    seen(history, "s", SawEnd(0, 1, failure="source_lost"))
    assert (0 in history.sweep.retry_due) == (kind == "ssh")


def test_what_was_given_up_and_had_completed_counts() -> None:
    history = given_up()
    assert seen(history, "far", SawEnd(0, 1, exit_code=0, started_at=1000.0, ended_at=1003.0)) == [
        "recovered"
    ]
    task = history.sweep.tasks[0]
    assert (task.state, task.counting) == (TaskState.COMPLETED, 1)
    assert task.attempt is task.attempts[0] and task.attempts[0].exit_code == 0
    assert 0 not in history.sweep.ready and not history.sweep.given_up
    assert seen(history, "far", SawEnd(0, 1, exit_code=0)) == [], "never counted twice"
    end(history, 1)
    assert history.sweep.counts[TaskState.COMPLETED] == 2


def test_what_is_lost_a_second_time_with_its_files_was_one_attempt_all_the_same() -> None:
    """Given up, completed after all, and then out of reach: the next try is the first that counts."""
    history = History(
        created(1, retry_max=1, retry_on=("exit",), retry_backoff=60.0),
        ev.SourceAdded("far", "ssh", 1, elsewhere=True),
        ev.SourceAdded("near", "local", 1),
    )
    lost = ev.End(0, 1, "failed", "source_lost", source_fault=True, given_up=True)
    history.add(ev.Launching("b1", "far", (ev.Ref(0, 1),)), ev.Ended((lost,)))
    history.add(ev.Recovered((ev.End(0, 1, "completed", exit_code=0),)))
    history.add(ev.OutOfReach((ev.Ref(0, 1),), "its files are there"), ev.Requeued((ev.Delay(0, 0.0),)))
    history.add(ev.Launching("b2", "near", (ev.Ref(0, 2),)), ev.Ended((ev.End(0, 2, "failed", "exit", 1),)))
    (event,) = [event for event in history.settle() if isinstance(event, ev.Requeued)]
    assert event.tasks[0].not_before == history.now + 60.0


def test_an_earlier_attempt_counts_though_a_later_one_failed() -> None:
    history = given_up()
    end(history, 1)
    launches(history)
    history.add(ev.Ended((ev.End(0, 2, "failed", "exit", 1),)))
    assert seen(history, "far", SawEnd(0, 1, exit_code=0)) == ["recovered"]
    task = history.sweep.tasks[0]
    assert task.attempt is task.attempts[0] and not history.sweep.failures


@pytest.mark.parametrize(
    ("late", "type_"),
    [
        (SawEnd(0, 1, exit_code=1), "stray"),
        (SawEnd(0, 1, exit_code=0, stopped=True), "stray"),
        (SawNothing(0, 1, "revoked"), "stray"),
    ],
)
def test_what_was_given_up_and_did_not_complete_is_a_stray(late: Observation, type_: str) -> None:
    history = given_up()
    assert seen(history, "far", late) == [type_]
    assert not history.sweep.given_up
    assert history.sweep.tasks[0].state is TaskState.PENDING


def test_a_completion_beside_a_newer_attempt_is_a_stray() -> None:
    history = given_up()
    end(history, 1)
    launches(history)
    assert seen(history, "far", SawEnd(0, 1, exit_code=0)) == ["stray"]
    end(history, 0)
    assert history.sweep.tasks[0].counting == 0


def test_a_sweep_says_what_it_leaves_behind() -> None:
    history = given_up()
    end(history, 1)
    launches(history)
    end(history, 0)
    note, ended = history.settle()
    assert note == ev.Note("1 attempt that was given up may still run on far: nobody could ask")
    assert isinstance(ended, ev.SweepEnded) and ended.status == "completed"


def test_an_away_source_says_nothing_of_its_queue() -> None:
    history = cluster(2)
    launches(history)
    seen(history, "hpc", SourceAway("no answer"))
    assert len(history.sweep.sources["hpc"].active) == 20 and history.sweep.sources["hpc"].free == 0
