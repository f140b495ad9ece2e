"""From what a source says to what is true, however late and however often it says it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spawn_tui.engine import events as ev
from spawn_tui.engine.health import REPORT_EVERY
from spawn_tui.engine.observe import (
    CannotTell,
    Observation,
    SawEnd,
    SawHealth,
    SawNothing,
    SawRunning,
    SourceAway,
    SourceBack,
    SourceFull,
    SourceRefused,
    interpret,
)

from ..simulation.invariants import check_shape
from .histories import History, created, histories


def running(*, cancel: bool = False) -> History:
    """Task 0 runs its second attempt, task 1 its first; task 2 waits."""
    history = History(
        created(3, retry_max=1, retry_on=("exit",), retry_backoff=0.0), ev.SourceAdded("s", "local", 2)
    )
    history.settle()
    history.add(ev.Running((ev.Started(0, 1), ev.Started(1, 1))))
    history.add(ev.Ended((ev.End(0, 1, "failed", "exit", 3),)))
    history.settle()
    if history.sweep.tasks[2].attempts:  # first come first served: task 2 was before the retry
        history.add(ev.Ended((ev.End(2, 1, "completed", exit_code=0),)))
        history.settle()
    history.add(ev.Running((ev.Started(0, 2),)))
    if cancel:
        history.add(ev.RequestTaken("r", "cancel"))
        history.settle()
    return history


def seen(history: History, *observations: Observation) -> list[ev.Event]:
    events = interpret(history.sweep, "s", observations, history.now)
    history.add(*events)
    check_shape(history.sweep)
    return events


@pytest.mark.parametrize(
    ("observation", "state", "kind"),
    [
        (SawEnd(0, 2, exit_code=0), "completed", None),
        (SawEnd(0, 2, exit_code=1), "failed", "exit"),
        (SawEnd(0, 2, signal=9), "failed", "signal"),
        (SawEnd(0, 2, exit_code=124, failure="timeout"), "failed", "timeout"),
        (SawEnd(0, 2, failure="source_lost"), "failed", "source_lost"),
        (SawEnd(0, 2, exit_code=0, stopped=True), "completed", None),
        (SawEnd(0, 2, failure="spot_interrupted"), "failed", "spot_interrupted"),
        (SawEnd(0, 2, failure="terminated"), "failed", "terminated"),
        (SawNothing(0, 2), "failed", "launch_failed"),
        (SawNothing(0, 2, final=True), "failed", "launch_failed"),
    ],
)
def test_how_an_attempt_ended(observation: Observation, state: str, kind: str | None) -> None:
    (event,) = seen(running(), observation)
    assert isinstance(event, ev.Ended)
    assert (event.attempts[0].state, event.attempts[0].kind) == (state, kind)


@pytest.mark.parametrize(
    ("observation", "state"),
    [
        (SawEnd(0, 2, exit_code=0), "completed"),
        (SawEnd(0, 2, exit_code=0, stopped=True), "cancelled"),
        (SawEnd(0, 2, exit_code=1), "cancelled"),
        (SawEnd(0, 2, signal=15, stopped=True), "cancelled"),
        (SawEnd(0, 2, failure="terminated", stopped=True), "cancelled"),
        (SawEnd(0, 2, failure="spot_interrupted"), "cancelled"),
        (SawNothing(0, 2), "cancelled"),
    ],
)
def test_how_an_attempt_ended_that_was_to_be_cancelled(observation: Observation, state: str) -> None:
    (event,) = seen(running(cancel=True), observation)
    assert isinstance(event, ev.Ended)
    assert (event.attempts[0].state, event.attempts[0].kind) == (state, None)


def test_an_attempt_revoked_before_its_cancel_was_sent_is_cancelled() -> None:
    """A new engine revokes what a journalled request wants cancelled, before it has decided anything."""
    history = running()
    history.add(ev.RequestTaken("r", "cancel", (0,)))
    (event,) = seen(history, SawNothing(0, 2))
    assert isinstance(event, ev.Ended) and event.attempts[0].state == "cancelled"


@pytest.mark.parametrize(
    ("kind", "failure", "fault"),
    [
        ("ec2", "spot_interrupted", True),
        ("ec2", "source_lost", True),
        ("ec2", "terminated", False),
        ("ec2", "timeout", False),
        ("ssh", "source_lost", True),
        ("local", "source_lost", False),
    ],
)
def test_whose_fault_the_end_of_a_machine_is(kind: str, failure: ev.FailureKind, fault: bool) -> None:
    history = History(created(1), ev.SourceAdded("s", kind, 1))
    history.settle()
    (event,) = seen(history, SawEnd(0, 1, failure=failure))
    assert isinstance(event, ev.Ended) and event.attempts[0].source_fault == fault


def test_what_an_attempt_costs_comes_with_its_beginning_or_with_its_end() -> None:
    history = History(created(2), ev.SourceAdded("s", "ec2", 2))
    history.settle()
    seen(history, SawRunning(0, 1, "i-1", 990.0, 0.68))
    assert history.sweep.tasks[0].attempts[0].rate == 0.68
    seen(history, SawEnd(1, 1, exit_code=0, started_at=900.0, ended_at=1000.0, rate=0.36))
    assert history.sweep.tasks[1].attempts[0].rate == 0.36
    assert history.sweep.sources["s"].spent == pytest.approx(0.01)
    assert history.sweep.sources["s"].rate == 0.68


def test_a_source_that_is_full_speaks() -> None:
    """What it holds is not doubted, though it was refused something else."""
    history = running()
    assert [event.type for event in seen(history, SourceFull("quota"))] == ["source_room"]
    assert history.sweep.sources["s"].room == 2 and not history.sweep.unknown


def test_the_first_end_counts_and_the_same_end_again_is_no_news() -> None:
    history = running()
    assert [event.type for event in seen(history, SawEnd(0, 2, exit_code=0), SawEnd(0, 2, exit_code=7))] == [
        "ended"
    ]
    assert seen(history, SawEnd(0, 2, exit_code=0)) == []
    assert history.sweep.tasks[0].attempts[1].exit_code == 0


def test_another_end_of_an_ended_attempt_is_a_stray() -> None:
    history = running()
    (event,) = seen(history, SawEnd(0, 1, exit_code=0))
    assert isinstance(event, ev.Stray)
    assert history.sweep.tasks[0].attempts[0].exit_code == 3


def test_old_news_of_an_old_attempt_is_nothing() -> None:
    assert seen(running(), SawRunning(0, 1), CannotTell(0, 1, "?"), SawEnd(0, 1, exit_code=3)) == []


def test_running_is_news_once() -> None:
    history = running()
    assert seen(history, SawRunning(0, 2)) == []
    seen(history, CannotTell(0, 2, "another host"))
    assert history.sweep.is_unknown(0)
    assert seen(history, CannotTell(0, 2, "another host")) == []
    assert [event.type for event in seen(history, SawRunning(0, 2), SawRunning(0, 2))] == ["running"]
    assert not history.sweep.is_unknown(0)


def test_away_and_back_are_told_in_their_order() -> None:
    history = running()
    assert [e.type for e in seen(history, SourceAway("x"), SourceBack())] == [
        "source_unreachable",
        "source_reachable",
        "source_strike",
    ]
    assert [e.type for e in seen(history, SourceAway("x"))] == ["source_unreachable", "source_strike"]
    assert [e.type for e in seen(history, SourceAway("x"), SourceAway("x"))] == ["source_strike"]
    assert seen(history, SourceAway("x")) == []  # three are enough
    assert [e.type for e in seen(history, SourceBack(), SourceBack())] == ["source_reachable"]
    assert seen(history, SourceBack()) == []


def test_a_source_that_is_away_says_nothing_of_its_tasks() -> None:
    history = running()
    seen(history, SourceAway("no route"))
    assert history.sweep.active == 2
    assert history.sweep.sources["s"].free == 0


# --- how it feels ------------------------------------------------------------------------------------------------


def words(*events: ev.Event) -> list[str]:
    return [event.queue for event in events if isinstance(event, ev.SourceHealth)]


def test_words_that_are_said_once_are_not_lost_to_those_of_the_same_poll() -> None:
    history = running()
    protected = [SawHealth(queue=f"i-{n} cannot be terminated: protected") for n in (1, 2, 1)]
    assert words(*seen(history, *protected)) == [
        "i-1 cannot be terminated: protected; i-2 cannot be terminated: protected"
    ]


def test_new_words_are_news_at_once_and_the_same_words_are_none() -> None:
    history = running()
    seen(history, SawHealth(memory=10.0))
    for said in ("i-1 cannot be terminated", "i-2 cannot be terminated"):
        assert words(*seen(history, SawHealth(queue=said))) == [said]
        history.now += REPORT_EVERY - 1.0
        assert seen(history, SawHealth(queue=said)) == []
    history.now += 1.0
    assert words(*seen(history, SawHealth(queue=said))) == [said], "once a minute, as all of it"


def test_figures_leave_the_words_alone_and_words_the_figures() -> None:
    history = running()
    both = [SawHealth(memory=95.0, load=0.5, queue="i-1 is protected"), SawHealth(cpu=5.0, memory=96.0)]
    assert seen(history, *both) == [
        ev.SourceHealth("s", "degraded", 5.0, 96.0, None, 0.5, "i-1 is protected")
    ]
    history.now += REPORT_EVERY
    assert seen(history, SawHealth(memory=95.0, disk=1.0), SawHealth(queue="i-2 is protected")) == [
        ev.SourceHealth("s", "degraded", None, 95.0, 1.0, None, "i-2 is protected")
    ]
    history.now += 1.0
    assert seen(history, SawHealth(memory=97.0)) == [], "figures alone are no new words"
    assert history.sweep.sources["s"].queue_words == "i-2 is protected"


def test_counts_are_figures_though_they_come_in_words() -> None:
    """A queue counts anew at each look; a minute is soon enough for that."""
    history = running()
    assert words(*seen(history, SawHealth(queue="12 running, 340 waiting; nodes: 3 idle")))
    history.now += 30.0
    assert seen(history, SawHealth(queue="9 running, 1 waiting; nodes: 2 idle")) == []
    now = "9 running, 1 waiting; nodes: 2 down"
    assert words(*seen(history, SawHealth(queue=now))) == [now]


OF_THE_SOURCE = (SourceAway, SourceBack, SourceFull, SourceRefused, SawHealth)
RATE = st.sampled_from((None, 0.0, 3600.0))
OBSERVATIONS = st.lists(
    st.one_of(
        st.builds(SawRunning, st.integers(0, 5), st.integers(1, 3), rate=RATE),
        st.builds(SawEnd, st.integers(0, 5), st.integers(1, 3), st.sampled_from((0, 1)), stopped=st.booleans()),
        st.builds(SawEnd, st.integers(0, 5), st.integers(1, 3), failure=st.just("source_lost")),
        st.builds(SawEnd, st.integers(0, 5), st.integers(1, 3), failure=st.just("spot_interrupted"), rate=RATE),
        st.builds(SawNothing, st.integers(0, 5), st.integers(1, 3), source_fault=st.booleans(), final=st.booleans()),
        st.builds(CannotTell, st.integers(0, 5), st.integers(1, 3), st.just("?")),
        st.builds(SourceAway, st.just("?")),
        st.builds(SourceBack),
        st.builds(SourceFull, st.just("no capacity")),
        st.builds(SourceRefused, st.just("no such account")),
        st.builds(SawHealth, memory=st.sampled_from((None, 10.0, 95.0)), queue=st.sampled_from(("", "i-1", "i-2"))),
    ),
    max_size=8,
)  # fmt: skip


@given(histories(), OBSERVATIONS)
@settings(max_examples=100, deadline=None)
def test_whatever_is_said_the_events_can_be_applied(history: History, said: list[Observation]) -> None:
    said = [o for o in said if isinstance(o, OF_THE_SOURCE) or o.task < history.sweep.total]
    history.add(*interpret(history.sweep, "src-0", said, history.now))
    check_shape(history.sweep)
    again = interpret(
        history.sweep, "src-0", [o for o in said if isinstance(o, SawEnd | SawNothing)], history.now
    )
    assert not any(isinstance(event, ev.Ended) for event in again)
    felt = [o for o in said if isinstance(o, SawHealth)]
    assert interpret(history.sweep, "src-0", felt, history.now) == [], "what was said is no news"
