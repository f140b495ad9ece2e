"""Sources without room: how much there is, when it is asked for more again, and what that says of nobody's trust."""

from __future__ import annotations

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.decide import decide
from spawn_tui.engine.observe import (
    Observation,
    SawEnd,
    SawNothing,
    SawRunning,
    SourceAway,
    SourceBack,
    SourceFull,
    SourceRefused,
    interpret,
)
from spawn_tui.engine.sweep import SweepStatus, TaskState
from spawn_tui.engine.transitions import REFUSALS

from ..simulation.invariants import check_shape
from .histories import History, created

EAST = ev.SourceAdded("east", "ec2", 10, (("region", "us-east-1"),))
WEST = ev.SourceAdded("west", "ec2", 3, (("region", "us-west-2"),))
FULL = SourceFull("InsufficientInstanceCapacity: none left")
REST = 300.0
"""Seconds of `HealthRules.cooldown`."""


def seen(history: History, source: str, *observations: Observation) -> list[ev.Event]:
    """What a source said, and what is decided then."""
    events = interpret(history.sweep, source, observations, history.now)
    history.add(*events)
    check_shape(history.sweep)
    decided = history.settle()
    check_shape(history.sweep)
    return [*events, *decided]


def nothing(history: History, *tasks: int, final: bool = False) -> list[Observation]:
    """What a launch was refused, for its want of room (or for a fault of the tasks' own)."""
    attempts = ((index, len(history.sweep.tasks[index].attempts)) for index in tasks)
    return [SawNothing(*key, "no capacity", source_fault=not final, final=final) for key in attempts]


def running(history: History, *tasks: int) -> list[Observation]:
    return [SawRunning(index, len(history.sweep.tasks[index].attempts)) for index in tasks]


def kinds(events: list[ev.Event]) -> list[str]:
    return [event.type for event in events]


def short(*sources: ev.SourceAdded, total: int = 8, took: int = 3, slots: int = 10) -> History:
    """Tasks were launched in the east, which took the first `took` of them and has no room for the others."""
    east = ev.SourceAdded("east", "ec2", slots, EAST.options)
    history = History(created(total), east, *sources)
    history.settle()
    refused = nothing(history, *sorted(history.sweep.sources["east"].active)[took:])
    seen(history, "east", *running(history, *range(took)), *refused, FULL)
    return history


# --- what it holds is what there is room for ---------------------------------------------------------------------


def test_what_it_holds_is_all_there_is_room_for() -> None:
    history = History(created(8), EAST)
    history.settle()
    said = [*running(history, 0, 1, 2), *nothing(history, 3, 4, 5, 6, 7), FULL]
    events = seen(history, "east", *said)
    assert kinds(events) == ["running", "ended", "source_room", "requeued"]
    assert events[2] == ev.SourceRoom("east", 3, FULL.reason)
    east = history.sweep.sources["east"]
    assert (east.room, east.room_reason, east.room_at, east.free) == (3, FULL.reason, history.now, 0)
    assert (east.strikes, east.usable, east.condition) == (0, True, ""), "to be full is no failure"
    assert list(history.sweep.ready) == [3, 4, 5, 6, 7]
    assert {task.tries_before for task in history.sweep.tasks[3:]} == {1}, "and no try of a task"


def test_what_ends_there_makes_room_for_as_many() -> None:
    history = short()
    events = seen(history, "east", SawEnd(0, 1, exit_code=0), SawEnd(1, 1, exit_code=0))
    (launching,) = [event for event in events if isinstance(event, ev.Launching)]
    assert launching.attempts == (ev.Ref(3, 2), ev.Ref(4, 2))
    assert history.sweep.sources["east"].free == 0


def test_after_a_while_it_is_asked_for_twice_as_much() -> None:
    """Few are refused if it is still full, and room that has come is soon found."""
    history = short(total=12, slots=8)
    east = history.sweep.sources["east"]
    assert decide(history.sweep, history.now).wake_at == history.now + REST
    history.now += REST - 0.001
    assert history.settle() == []
    history.now += 0.001
    more, launching = history.settle()
    assert more == ev.SourceRoom("east", 6, FULL.reason)
    assert isinstance(launching, ev.Launching) and len(launching.attempts) == 3
    assert (east.room, east.load, east.room_at) == (6, 6, history.now)
    seen(history, "east", *running(history, *east.active))
    history.now += REST
    all_of_it, launching = history.settle()
    assert isinstance(all_of_it, ev.SourceRoom) and all_of_it.room == 0, "twice that is more than its slots"
    assert isinstance(launching, ev.Launching) and len(launching.attempts) == 2
    assert (east.room, east.load) == (0, 8)
    assert all_of_it.reason == east.room_reason == "", "why there was none is over with it"
    history.add(ev.SourceRoom("east", 0, "as an earlier version journalled it"))
    assert east.room_reason == ""


def test_if_it_is_still_full_it_rests_again() -> None:
    history = short()
    history.now += REST
    history.settle()
    taken, *left = sorted(history.sweep.sources["east"].active - {0, 1, 2})
    assert len(left) == 2
    events = seen(history, "east", *running(history, taken), *nothing(history, *left), FULL)
    assert ev.SourceRoom("east", 4, FULL.reason) in events
    assert decide(history.sweep, history.now).wake_at == history.now + REST
    assert history.sweep.sources["east"].room_at == history.now


def test_with_nothing_to_launch_nobody_wakes_for_room() -> None:
    history = short(total=3)
    seen(history, "east", FULL)
    assert history.sweep.sources["east"].room == 3
    assert decide(history.sweep, history.now).wake_at is None


def test_room_is_never_more_than_the_slots() -> None:
    history = short(took=4, total=20, slots=6)
    history.add(ev.RequestTaken("r", "slots", (), "east", 3))
    seen(history, "east", SawEnd(0, 1, exit_code=0), SawEnd(1, 1, exit_code=0))
    assert history.sweep.sources["east"].load == 3, "though there is room for four"


@pytest.mark.parametrize(("ended", "room"), [((), 3), ((0,), 2), ((0, 1), 1)])
def test_what_ends_in_the_same_breath_is_not_held(ended: tuple[int, ...], room: int) -> None:
    history = History(created(8), EAST)
    history.settle()
    seen(history, "east", *running(history, 0, 1, 2))
    ends = [SawEnd(index, 1, exit_code=0) for index in ended]
    events = seen(history, "east", *ends, *nothing(history, 3, 4, 5, 6, 7), FULL)
    assert ev.SourceRoom("east", room, FULL.reason) in events


def test_the_others_go_where_there_is_room() -> None:
    history = short(WEST, total=12, took=4)
    east, west = history.sweep.sources["east"], history.sweep.sources["west"]
    assert (west.load, west.free, east.free) == (3, 0, 0)
    done = min(west.active)
    seen(history, "west", *running(history, *west.active))
    events = seen(history, "west", SawEnd(done, len(history.sweep.tasks[done].attempts), exit_code=0))
    (launching,) = [event for event in events if isinstance(event, ev.Launching)]
    assert (launching.source, len(launching.attempts)) == ("west", 1)


# --- no room at all ----------------------------------------------------------------------------------------------


def empty(**settings: object) -> History:
    """Nothing was taken."""
    history = History(created(4, **settings), EAST)
    history.settle()
    events = seen(history, "east", *nothing(history, 0, 1, 2, 3), FULL)
    assert kinds(events) == ["ended", "source_disabled", "requeued"]
    return history


def test_where_nothing_runs_it_is_left_alone_and_probed() -> None:
    history = empty()
    east = history.sweep.sources["east"]
    assert (east.disabled_cause, east.disabled_reason, east.strikes) == ("full", FULL.reason, 0)
    assert history.sweep.ended is None, "it never ran anything, and yet it is waited for"
    assert decide(history.sweep, history.now).wake_at == history.now + REST
    history.now += REST
    (probe,) = history.settle()
    assert isinstance(probe, ev.Launching) and len(probe.attempts) == 1
    index = probe.attempts[0].task
    events = seen(history, "east", *running(history, index))
    assert kinds(events) == ["running", "source_enabled", "launching"]
    assert east.load == 4


def test_a_probe_that_finds_no_room_either_is_followed_by_a_longer_rest() -> None:
    history = empty()
    east = history.sweep.sources["east"]
    rests: list[float] = []
    while east.probe_at is not None:
        rests.append(east.probe_at - history.now)
        history.now = east.probe_at
        history.settle()
        assert east.probing is not None
        events = seen(history, "east", *nothing(history, east.probing), FULL)
        assert "source_room" not in kinds(events) and "source_strike" not in kinds(events)
        assert east.disabled_cause == "full"
    assert rests[:4] == [300.0, 600.0, 1200.0, 1200.0] and set(rests[3:]) == {1200.0}
    assert 86_400 <= sum(rests) < 86_400 + 2400, "room is waited for, for a day"
    assert history.sweep.status is SweepStatus.FAILED, "a sweep always ends"
    assert (
        "no source can take the remaining 4 tasks: east is disabled (its probe failed" in history.sweep.reason
    )


def test_a_probe_that_is_to_blame_itself_says_nothing_of_the_source() -> None:
    history = empty()
    history.now += REST
    history.settle()
    east = history.sweep.sources["east"]
    task = east.probing
    assert task is not None
    events = seen(history, "east", *nothing(history, task, final=True))
    assert east.failed_probes == 0 and east.probing not in (None, task), "another task is its probe"
    assert "source_disabled" not in kinds(events)


def test_a_source_that_is_full_and_away_is_waited_for_by_its_grace_only() -> None:
    history = empty(grace=5.0)
    seen(history, "east", SourceAway("no route"))
    history.now += 5.0
    history.settle()
    assert history.sweep.reason == "no source can take the remaining 4 tasks: east is unreachable (no route)"


def test_a_full_source_that_answers_again_is_probed_at_once() -> None:
    history = empty()
    seen(history, "east", SourceAway("no route"))
    history.now += 10.0
    assert kinds(seen(history, "east", SourceBack())) == ["source_reachable", "launching"]


def test_a_sweep_does_not_end_while_a_full_source_may_have_room_later() -> None:
    history = short()
    seen(history, "east", *(SawEnd(index, 1, exit_code=0) for index in range(3)))
    active = sorted(history.sweep.sources["east"].active)
    seen(history, "east", *nothing(history, *active), FULL)
    assert history.sweep.ended is None and history.sweep.active == 0
    assert history.sweep.sources["east"].disabled_cause == "full"


# --- what else may be said in that breath ------------------------------------------------------------------------


def test_being_full_is_no_strike_and_a_refusal_without_it_is() -> None:
    history = History(created(3), EAST)
    history.settle()
    assert "source_strike" in kinds(seen(history, "east", *nothing(history, 0, 1, 2)))
    assert history.sweep.sources["east"].strikes == 1
    assert "source_strike" not in kinds(seen(history, "east", *nothing(history, 0, 1, 2), FULL))


def test_a_source_that_is_full_for_some_and_refuses_others_is_disabled() -> None:
    """The refusal is said once; a source that was only called full would be asked again and again."""
    history = History(created(4), EAST)
    history.settle()
    said = [*running(history, 0), *nothing(history, 1, 2, 3)]
    seen(history, "east", *said, FULL, SourceRefused("AuthFailure: not for you"))
    assert history.sweep.sources["east"].disabled_cause == "refused"


# --- ends that are final -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [False, True])
def test_what_cannot_be_launched_as_it_is_is_not_tried_again(fault: bool) -> None:
    history = History(created(2, retry_max=5, retry_on=("launch_failed",)), EAST)
    history.settle()
    said = SawNothing(0, 1, "the type 't9.huge' does not exist", source_fault=fault, final=True)
    (event, *rest) = seen(history, "east", said)
    assert isinstance(event, ev.Ended) and event.attempts[0].final
    assert not any(isinstance(later, ev.Requeued | ev.Launching) for later in rest)
    task = history.sweep.tasks[0]
    assert (task.state, task.attempts[0].kind) == (TaskState.FAILED, "launch_failed")
    assert history.sweep.failures == {0: None} == history.sweep.launch_failures


def test_a_person_may_have_it_tried_again_all_the_same() -> None:
    history = History(created(1, retry_max=5, retry_on=("launch_failed",)), EAST)
    history.settle()
    seen(history, "east", SawNothing(0, 1, "x", final=True))
    assert history.sweep.status is SweepStatus.FAILED
    history.add(ev.RequestTaken("r", "retry", (0,)))
    assert kinds(history.settle()) == ["launching"]


@pytest.mark.parametrize(
    ("kind", "retry_on", "again"),
    [
        ("spot_interrupted", (), True),  # AWS took the machine: no try of the task's own
        ("source_lost", (), True),
        ("terminated", (), False),
        ("terminated", ("terminated",), True),
        ("exit", (), False),
    ],
)
def test_who_is_tried_again_after_the_end_of_its_machine(
    kind: ev.FailureKind, retry_on: tuple[str, ...], again: bool
) -> None:
    history = History(created(1, retry_max=1, retry_on=retry_on, retry_backoff=0.0), EAST)
    history.settle()
    seen(history, "east", *running(history, 0), SawEnd(0, 1, failure=kind))
    task = history.sweep.tasks[0]
    assert (len(task.attempts) == 2) == again
    assert task.attempts[0].kind == kind
    assert task.tries_before == (kind in ("spot_interrupted", "source_lost"))


def test_a_task_is_not_interrupted_for_ever() -> None:
    history = History(created(1), EAST)
    history.settle()
    for number in range(1, REFUSALS + 1):
        assert len(history.sweep.tasks[0].attempts) == number
        seen(history, "east", SawEnd(0, number, failure="spot_interrupted"))
    assert history.sweep.status is SweepStatus.FAILED


def test_waiting_for_room_does_not_wear_a_task_out() -> None:
    """A quota of two, tasks that take hours: the others are refused at each new asking, and are not to blame."""
    history = short(total=6, took=2)
    for _ in range(2 * REFUSALS):
        history.now += REST
        history.settle()
        waiting = sorted(history.sweep.sources["east"].active - {0, 1})
        seen(history, "east", *nothing(history, *waiting), FULL)
    assert not history.sweep.failures and len(history.sweep.ready) == 4


# --- grace by source ---------------------------------------------------------------------------------------------


def silent(first: ev.SourceAdded, *others: ev.SourceAdded) -> History:
    history = History(created(len(others) + 1, grace=5.0), first, *others)
    history.settle()
    for source in (first, *others):
        history.add(ev.SourceUnreachable(source.source, "no route"))
    return history


@pytest.mark.parametrize(("own", "until"), [(0.0, 5.0), (3.0, 3.0), (60.0, 60.0)])
def test_a_source_has_a_grace_of_its_own(own: float, until: float) -> None:
    history = silent(ev.SourceAdded("cloud", "ec2", 1, grace=own))
    assert history.sweep.grace_of(history.sweep.sources["cloud"]) == until
    assert decide(history.sweep, history.now).wake_at == history.now + until
    history.now += until - 0.001
    assert history.settle() == []
    history.now += 0.001
    ended = history.settle()[0]
    assert isinstance(ended, ev.Ended) and ended.attempts[0].given_up
    assert ended.attempts[0].message == f"cloud unreachable for {until:g} s (no route); given up"


def test_who_is_waited_for_longer_does_not_hold_the_others() -> None:
    history = silent(ev.SourceAdded("cloud", "ec2", 1, grace=3600.0), ev.SourceAdded("far", "ssh", 1))
    history.now += 5.0
    ended = history.settle()[0]
    assert isinstance(ended, ev.Ended) and [end.task for end in ended.attempts] == [1]
    assert decide(history.sweep, history.now).wake_at == history.now + 3595.0


@pytest.mark.parametrize("many", [3, 1500])
def test_doubts_that_last_longer_do_not_hide_those_that_are_over(many: int) -> None:
    cloud = ev.SourceAdded("cloud", "ec2", many, grace=3600.0)
    far = ev.SourceAdded("far", "ssh", 1)
    history = History(created(many + 1, grace=5.0), cloud)
    for first in range(0, many, 1000):
        refs = tuple(ev.Ref(index, 1) for index in range(first, min(many, first + 1000)))
        history.add(ev.Launching(f"c{first}", "cloud", refs), ev.Unknown(refs, "credentials have expired"))
    history.add(far, ev.Launching("f", "far", (ev.Ref(many, 1),)), ev.Unknown((ev.Ref(many, 1),), "?"))
    assert decide(history.sweep, history.now).wake_at == history.now + 5.0
    history.now += 5.0
    ended = decide(history.sweep, history.now).events[0]
    assert isinstance(ended, ev.Ended) and [end.task for end in ended.attempts] == [many]


def test_files_are_waited_for_by_the_grace_of_their_source() -> None:
    cloud = ev.SourceAdded("cloud", "ec2", 1, elsewhere=True, grace=60.0)
    history = History(created(1, grace=5.0), cloud)
    history.settle()
    seen(history, "cloud", SawEnd(0, 1, exit_code=0))
    seen(history, "cloud", SourceAway("no route"))
    history.now += 59.0
    assert history.settle() == [] and history.sweep.ended is None
    history.now += 1.0
    events = history.settle()
    assert (
        ev.OutOfReach((ev.Ref(0, 1),), "completed, but its files are on cloud, unreachable for 60 s")
        in events
    )


def test_a_source_that_is_added_anew_has_its_new_grace() -> None:
    history = silent(ev.SourceAdded("cloud", "ec2", 1, grace=3600.0))
    history.add(ev.SourceAdded("cloud", "ec2", 1, grace=1.0))
    assert decide(history.sweep, history.now).wake_at == history.now + 1.0
