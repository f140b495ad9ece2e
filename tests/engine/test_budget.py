"""A sweep that may cost so much and no more: told at 80 %, stopped at 100 %, and going on when somebody allows more."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from spawn_tui.engine import events as ev
from spawn_tui.engine import source_state
from spawn_tui.engine.control import events_of
from spawn_tui.engine.cost import blind, blind_lines, cost_words
from spawn_tui.engine.decide import BLIND_AFTER, BUDGET_WARNING, decide, is_idle
from spawn_tui.engine.observe import (
    Observation,
    SawEnd,
    SawNothing,
    SawRunning,
    SawWithdrawn,
    SourceAway,
    SourceBack,
    SourceRefused,
    interpret,
)
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.engine.snapshot import from_documents, to_documents
from spawn_tui.engine.source_state import HEARD_WITHIN
from spawn_tui.engine.sweep import SweepStatus, TaskState
from spawn_tui.state.journal import Position
from spawn_tui.state.requests import RequestFile

from ..simulation.invariants import check_shape, demand_same
from .histories import History, created, histories

DOLLAR = 3600.0
"""USD per hour: a dollar a second."""
CLOUD = ev.SourceAdded("cloud", "ec2", 2)
LOCAL = ev.SourceAdded("local", "local", 1)
PRICED = ev.SourceAdded("server", "ssh", 1, (("cost_per_hour", "3600"),))


@pytest.fixture(autouse=True)
def by_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked here is when a mark is reached; the minute that EC2 charges at least has tests in `test_cost`."""
    monkeypatch.setattr(source_state, "LEAST", dict[str, float]())


def sweep(budget: float = 10.0, *sources: ev.SourceAdded, total: int = 6, **more: object) -> History:
    """All slots are taken, and each instance costs a dollar a second from now on."""
    history = History(created(total, budget=budget, **more), *(sources or (CLOUD,)))
    history.settle()
    for task in history.sweep.tasks:
        if (
            task.state is TaskState.LAUNCHING
            and history.sweep.sources[task.attempts[-1].source].kind == "ec2"
        ):
            history.add(ev.Running((ev.Started(task.index, 1, "i-1", None, DOLLAR),)))
    check_shape(history.sweep)
    return history


def after(history: History, seconds: float) -> list[ev.Event]:
    history.now = round(history.now + seconds, 3)
    events = history.settle()
    check_shape(history.sweep)
    return events


def asked(history: History, verb: str, value: int = 0) -> ev.Event:
    """What becomes of a viewer's request, in the words of `control`."""
    content: dict[str, object] = {"verb": verb, "by": "ada"} | ({"value": value} if value else {})
    request = RequestFile(f"r{history.sweep.seq}", Path("requests"), content)
    events = events_of(history.sweep, request)
    history.add(*events)
    return events[-1]


def kinds(events: list[ev.Event]) -> list[str]:
    return [event.type for event in events]


# --- when --------------------------------------------------------------------------------------------------------


def test_it_is_told_at_eighty_percent_and_stops_at_all_of_it() -> None:
    history = sweep()
    assert BUDGET_WARNING == 0.8
    assert decide(history.sweep, history.now).wake_at == history.now + 4.0, "two dollars a second"
    assert after(history, 3.999) == []
    assert after(history, 0.001) == [ev.BudgetWarned(8.0)]
    assert history.sweep.notes[-1][1] == "$8.00 of $10.00 is spent"
    assert decide(history.sweep, history.now).wake_at == history.now + 1.0
    assert after(history, 0.999) == [], "told once"
    assert after(history, 0.001) == [ev.BudgetSpent(10.0)]
    assert history.sweep.status is SweepStatus.PAUSED
    assert history.sweep.pause_reason == "the budget of $10.00 is spent"
    assert decide(history.sweep, history.now).wake_at is None, "what is spent is spent"


def test_who_comes_late_says_only_that_it_is_spent() -> None:
    history = sweep()
    assert after(history, 100.0) == [ev.BudgetSpent(200.0)]
    assert history.sweep.budget_warned and after(history, 100.0) == []


def test_without_a_budget_nobody_watches() -> None:
    history = sweep(0.0)
    assert after(history, 1e6) == [] and decide(history.sweep, history.now).wake_at is None


def test_what_nobody_knows_the_price_of_is_not_counted() -> None:
    history = History(created(2, budget=1.0), CLOUD)
    history.settle()
    history.add(ev.Running((ev.Started(0, 1), ev.Started(1, 1))))
    assert history.sweep.sources["cloud"].unpriced == 2
    assert kinds(after(history, 1e6)) == ["budget_blind"] and history.sweep.cost(history.now) == 0.0
    assert after(history, 1e6) == [] and decide(history.sweep, history.now).wake_at is None


def test_what_has_ended_counts_and_costs_no_more() -> None:
    history = sweep(10.0, total=2)
    history.now += 3.0
    history.add(ev.Ended((ev.End(0, 1, "failed", "exit", 1), ev.End(1, 1, "failed", "exit", 1))))
    assert history.sweep.cost(history.now) == history.sweep.cost(history.now + 1e6) == pytest.approx(6.0)
    assert kinds(history.settle()) == ["sweep_ended"]


def test_a_configured_price_counts_by_the_slot() -> None:
    history = sweep(4.0, PRICED, total=2)
    history.add(ev.Running((ev.Started(0, 1),)))
    assert decide(history.sweep, history.now).wake_at == pytest.approx(history.now + 3.2)
    assert kinds(after(history, 4.0)) == ["budget_spent"]


def test_a_source_that_says_what_an_attempt_costs_is_believed() -> None:
    history = sweep(100.0, total=2)
    assert history.sweep.sources["cloud"].rate == 2 * DOLLAR
    events = interpret(history.sweep, "cloud", [SawRunning(0, 1, "i-1", None, 99.0)], history.now)
    assert events == [], "running is news once, and so is its price"
    history.now += 1.0
    came = interpret(
        history.sweep, "cloud", [SawEnd(0, 1, exit_code=0, started_at=history.now - 1.0)], history.now
    )
    history.add(*came)
    assert history.sweep.sources["cloud"].spent == pytest.approx(1.0)


# --- what then ---------------------------------------------------------------------------------------------------


def test_nothing_is_launched_any_more_and_what_runs_goes_on() -> None:
    history = sweep()
    after(history, 5.0)
    assert history.sweep.active == 2 and not is_idle(history.sweep)
    history.add(ev.Ended((ev.End(0, 1, "completed", exit_code=0),)))
    assert history.settle() == [] and len(history.sweep.ready) == 4
    history.add(ev.Ended((ev.End(1, 1, "completed", exit_code=0),)))
    assert history.settle() == [] and is_idle(history.sweep)
    assert history.sweep.ended is None, "tasks are left, and a person may allow more"


@pytest.mark.parametrize("verb", ["retry", "add_source", "enable_source", "limit", "slots"])
def test_no_other_request_lets_it_launch(verb: ev.Verb) -> None:
    history = sweep()
    after(history, 5.0)
    history.add(ev.Ended((ev.End(0, 1, "failed", "exit", 1),)))
    history.add(ev.RequestTaken("r", verb, (), "cloud", 9))
    assert not any(isinstance(event, ev.Launching) for event in history.settle())


def test_resume_is_refused_with_the_way_out() -> None:
    history = sweep()
    after(history, 5.0)
    refused = asked(history, "resume")
    assert isinstance(refused, ev.RequestRefused)
    assert refused.reason == (
        f"the budget of $10.00 is spent; raise it with: spawn-tui resume {history.sweep.id} --budget N"
    )
    assert history.settle() == [] and history.sweep.paused


def test_more_money_and_resume_go_on_and_it_is_watched_again() -> None:
    history = sweep()
    after(history, 5.0)
    history.add(ev.Ended((ev.End(0, 1, "completed", exit_code=0),)))
    assert isinstance(asked(history, "budget", 2000), ev.RequestTaken)
    assert (history.sweep.budget, history.sweep.budget_spent, history.sweep.paused) == (20.0, False, True)
    assert not any(isinstance(event, ev.Launching) for event in history.settle())
    assert isinstance(asked(history, "resume"), ev.RequestTaken)
    assert kinds(history.settle()) == ["launching"]
    assert decide(history.sweep, history.now).wake_at == history.now + 6.0, "16 of 20, at a dollar a second"
    assert kinds(after(history, 6.0)) == ["budget_warned"]
    assert kinds(after(history, 4.0)) == ["budget_spent", "withdrawing"], "one has not begun yet"


def test_a_budget_below_what_was_spent_is_spent_at_once() -> None:
    history = sweep()
    after(history, 5.0)
    asked(history, "budget", 900)
    assert history.settle() == [ev.BudgetSpent(10.0)]
    assert isinstance(asked(history, "resume"), ev.RequestRefused)


@pytest.mark.parametrize("value", [0, -5, 2.5, True, "10"])
def test_what_is_no_budget_is_refused(value: object) -> None:
    history = sweep()
    content: dict[str, object] = {"verb": "budget", "value": value}
    (event,) = events_of(history.sweep, RequestFile("r", Path("requests"), content))
    assert isinstance(event, ev.RequestRefused)


def test_a_sweep_that_is_paused_already_stays_so_for_its_budget() -> None:
    history = sweep()
    history.add(ev.RequestTaken("r", "pause"))
    assert kinds(after(history, 5.0)) == ["budget_spent"]
    assert isinstance(asked(history, "resume"), ev.RequestRefused)


# --- what it does not see ----------------------------------------------------------------------------------------


def test_that_it_sees_nothing_of_some_is_told_once_their_price_had_time_to_come() -> None:
    history = History(created(3, budget=5.0), ev.SourceAdded("cloud", "ec2", 3))
    history.settle()
    history.add(ev.Running((ev.Started(0, 1), ev.Started(1, 1), ev.Started(2, 1, rate=0.36))))
    assert decide(history.sweep, history.now).wake_at == history.now + BLIND_AFTER
    assert after(history, BLIND_AFTER - 0.001) == []
    assert blind(history.sweep) == {"cloud": [0, 1]}
    assert after(history, 0.001) == [ev.BudgetBlind("cloud", 2)]
    words = "the price of what runs on cloud is unknown: the budget does not see 2 instances"
    assert history.sweep.notes[-1][1] == words and blind_lines(history.sweep) == [words]
    assert after(history, 500.0) == [], "told once"
    types = ["c9.large", "c9.large", "t3.micro"]
    assert blind_lines(history.sweep, lambda task: types[task]) == [
        "the price of c9.large is unknown: the budget does not see 2 instances"
    ]
    assert cost_words(history.sweep, history.now).endswith(" of $5 budget, which does not see 2 instances")
    history.add(ev.Ended((ev.End(0, 1, "completed", exit_code=0),)))
    assert blind(history.sweep) == {"cloud": [1]}
    asked(history, "budget", 900)
    assert history.settle() == [ev.BudgetBlind("cloud", 1)], "who raises it is told anew"


def test_a_price_that_comes_in_time_makes_it_see() -> None:
    history = History(created(1, budget=5.0), CLOUD)
    history.settle()
    history.add(ev.Running((ev.Started(0, 1),)))
    history.now += BLIND_AFTER - 1
    history.add(*interpret(history.sweep, "cloud", [SawRunning(0, 1, "i-1", None, 0.36)], history.now))
    assert blind(history.sweep) == {} and after(history, 10.0) == []


def test_without_a_budget_or_a_cloud_nothing_is_unseen() -> None:
    for history in (History(created(1), CLOUD), History(created(1, budget=5.0), LOCAL)):
        history.settle()
        history.add(ev.Running((ev.Started(0, 1),)))
        assert after(history, 1e5) == [] and blind_lines(history.sweep) == []


# --- taking back -------------------------------------------------------------------------------------------------


def launched(*sources: ev.SourceAdded, total: int = 4) -> History:
    history = History(created(total, budget=100.0), *(sources or (ev.SourceAdded("cloud", "ec2", 3),)))
    history.settle()
    return history


def test_what_was_not_sent_yet_is_taken_back_when_the_money_is_spent() -> None:
    history = launched()
    history.add(ev.Running((ev.Started(0, 1, "i-1", None, DOLLAR),)))
    events = after(history, 100.0)
    assert events == [ev.BudgetSpent(100.0), ev.Withdrawing("cloud", (ev.Ref(1, 1), ev.Ref(2, 1)))]
    assert after(history, 1.0) == [], "asked once"
    history.add(*interpret(history.sweep, "cloud", [SawWithdrawn(1, 1)], history.now))
    check_shape(history.sweep)
    task = history.sweep.tasks[1]
    assert task.state is TaskState.PENDING and history.sweep.cost(history.now) == pytest.approx(101.0)
    assert (task.attempts[0].started_at, task.tries_before) == (None, 1), "it was no try"
    assert task.attempts[0].message == "taken back before cloud sent it"
    history.add(ev.Running((ev.Started(2, 1, "i-2", None, DOLLAR),)))
    assert not history.sweep.sources["cloud"].asked, "that one was on its way"


def test_a_pause_takes_back_as_well_and_resume_launches_anew() -> None:
    history = launched()
    history.add(ev.RequestTaken("r", "pause"))
    refs = (ev.Ref(0, 1), ev.Ref(1, 1), ev.Ref(2, 1))
    assert history.settle() == [ev.Withdrawing("cloud", refs)]
    history.add(*interpret(history.sweep, "cloud", [SawWithdrawn(*ref) for ref in refs], history.now))
    assert history.settle() == [] and is_idle(history.sweep)
    history.add(ev.RequestTaken("r2", "resume"))
    (launching,) = history.settle()
    assert isinstance(launching, ev.Launching) and len(launching.attempts) == 3


def test_a_refusal_of_the_launch_is_told_though_it_was_asked_back() -> None:
    """Else a task that can never be launched would be launched without end."""
    history = launched()
    history.add(ev.RequestTaken("r", "pause"))
    history.settle()
    hopeless = SawNothing(0, 1, "there is no c9.large", final=True)
    history.add(*interpret(history.sweep, "cloud", [hopeless], history.now))
    assert history.sweep.tasks[0].state is TaskState.FAILED


def test_a_source_that_is_away_is_asked_when_it_answers_and_by_the_next_engine_again() -> None:
    history = launched()
    history.add(ev.SourceUnreachable("cloud", "no route"), ev.RequestTaken("r", "pause"))
    assert history.settle() == []
    history.add(ev.SourceReachable("cloud"))
    assert kinds(history.settle()) == ["withdrawing"]
    history.add(ev.EngineStopped("told to"), ev.EngineStarted(2, "host", 7))
    check_shape(history.sweep)
    assert kinds(history.settle()) == ["withdrawing"], "nobody knows what the last engine's source did of it"


def test_what_can_give_nothing_back_or_is_cancelled_is_not_asked() -> None:
    history = launched(LOCAL, PRICED)
    history.add(ev.RequestTaken("r", "pause"))
    assert history.settle() == []
    history = launched()
    history.add(ev.RequestTaken("r", "pause"), ev.RequestTaken("c", "cancel", (0,)))
    assert [
        event.attempts for event in history.settle() if isinstance(event, ev.Withdrawing)
    ] == [(ev.Ref(1, 1), ev.Ref(2, 1))]  # fmt: skip


# --- another engine ----------------------------------------------------------------------------------------------


def taken_over() -> History:
    """An engine stopped while two instances ran; the next begins an hour later, and has not heard of them yet."""
    history = sweep()
    history.add(ev.EngineStopped("told to"))
    history.now += 3600.0
    history.add(ev.EngineStarted(2, "host", 7))
    return history


def test_a_new_engine_asks_before_it_says_that_the_money_is_spent() -> None:
    """They may have ended a second after it left."""
    history = taken_over()
    assert history.settle() == []
    ends = [SawEnd(index, 1, exit_code=0, started_at=1000.0, ended_at=1001.0) for index in (0, 1)]
    history.add(*interpret(history.sweep, "cloud", [SourceBack(), *ends], history.now))
    assert history.sweep.cost(history.now) == pytest.approx(2.0)
    assert "budget_spent" not in kinds(history.settle())


def test_what_it_hears_then_is_counted() -> None:
    history = taken_over()
    history.add(*interpret(history.sweep, "cloud", [SourceBack()], history.now))
    assert kinds(history.settle()) == ["budget_spent"]


AWAY, REFUSED = SourceAway("no route"), SourceRefused("AccessDenied")


def hear(history: History, source: str, *seen: Observation) -> list[ev.Event]:
    history.add(*interpret(history.sweep, source, seen, history.now))
    return after(history, 0.0)


def test_who_says_nothing_at_all_is_waited_for_so_long_and_no_longer() -> None:
    history = taken_over()
    assert decide(history.sweep, history.now).wake_at == history.now + HEARD_WITHIN
    assert after(history, HEARD_WITHIN - 0.001) == []
    assert after(history, 0.001) == [ev.BudgetSpent(2 * (3600.0 + HEARD_WITHIN))]


@pytest.mark.parametrize("answer", [AWAY, REFUSED], ids=["away", "refused"])
def test_what_runs_where_nobody_can_ask_is_counted(answer: Observation) -> None:
    """Unknown is not gone, and costs go on."""
    history = taken_over()
    history.now += 1.0
    assert "budget_spent" in kinds(hear(history, "cloud", answer))


@pytest.mark.parametrize("answer", [AWAY, REFUSED], ids=["away", "refused"])
def test_who_could_not_be_asked_by_the_last_engine_may_answer_this_one(answer: Observation) -> None:
    """Each engine begins anew: that it was away an hour ago says nothing of what ended since."""
    history = sweep()
    hear(history, "cloud", answer)
    history.add(ev.EngineStopped("told to"))
    history.now += 3600.0
    history.add(ev.EngineStarted(2, "host", 7))
    assert after(history, 1.0) == []
    hear(history, "cloud", answer)
    assert not history.sweep.budget_spent, "it says the same, and nothing new is journalled of it"
    assert "budget_spent" in kinds(after(history, HEARD_WITHIN))


def two_regions() -> History:
    """The last engine had spent two dollars of ten in the west, where two tasks go on, and one runs in the east."""
    history = sweep(10.0, ev.SourceAdded("west", "ec2", 2), ev.SourceAdded("east", "ec2", 2), total=9)
    history.now += 1.0
    in_west = sorted(history.sweep.sources["west"].active)
    history.add(ev.Ended(tuple(ev.End(task, 1, "completed", exit_code=0) for task in in_west)))
    history.settle()
    again = sorted(history.sweep.sources["west"].active)
    history.add(ev.Running(tuple(ev.Started(task, 1, "i-2", None, DOLLAR) for task in again)))
    first = min(history.sweep.sources["east"].active)
    history.add(ev.Ended((ev.End(first, 1, "completed", exit_code=0),)), ev.RequestTaken("p", "pause"))
    history.settle()
    assert (history.sweep.sources["west"].spent, history.sweep.sources["east"].spent) == (2.0, 1.0)
    history.add(ev.EngineStarted(2, "host", 7))
    return history


def test_a_region_that_is_not_heard_yet_does_not_hide_what_the_others_cost() -> None:
    history = two_regions()
    assert hear(history, "east", SourceBack()) == []
    # Four dollars at a dollar a second: two of the west are certain, and the east has cost one and goes on.
    assert decide(history.sweep, history.now).wake_at == pytest.approx(history.now + 4.0, abs=1e-3)
    assert after(history, 3.9) == []
    assert after(history, 0.1) == [ev.BudgetWarned(8.0)]
    assert after(history, 2.0) == [ev.BudgetSpent(10.0)]
    assert history.sweep.cost(history.now) == pytest.approx(22.0), "the west may have cost as much"


@pytest.mark.parametrize("answer", [AWAY, REFUSED], ids=["away", "refused"])
def test_a_region_that_cannot_be_asked_hides_nothing_either(answer: Observation) -> None:
    history = two_regions()
    hear(history, "east", SourceBack())
    history.now += 1.5
    assert hear(history, "west", answer) == [ev.BudgetWarned(8.5)], (
        "2 and 3 in the west, 1 and 2.5 in the east"
    )
    assert kinds(after(history, 0.5)) == ["budget_spent"]


def test_the_price_of_what_is_not_heard_yet_is_not_missed() -> None:
    history = History(created(2, budget=5.0), CLOUD)
    history.settle()
    history.add(ev.Running((ev.Started(0, 1), ev.Started(1, 1, rate=0.0))))
    history.now += 3600.0
    history.add(ev.EngineStarted(2, "host", 7))
    assert after(history, BLIND_AFTER) == []
    assert decide(history.sweep, history.now).wake_at == history.now - BLIND_AFTER + HEARD_WITHIN
    assert hear(history, "cloud", SourceBack()) == [ev.BudgetBlind("cloud", 1)]


# --- terminate ---------------------------------------------------------------------------------------------------


def test_what_costs_is_ended_and_what_does_not_goes_on() -> None:
    history = sweep(10.0, CLOUD, LOCAL, budget_action="terminate")
    on_cloud = sorted(history.sweep.sources["cloud"].active)
    events = after(history, 5.0)
    assert kinds(events) == ["budget_spent", "cancelling"]
    assert events[1] == ev.Cancelling("cloud", tuple(ev.Ref(index, 1) for index in on_cloud))
    (local,) = history.sweep.sources["local"].active
    assert not history.sweep.tasks[local].cancel_requested
    for index in on_cloud:
        stopped = SawEnd(index, 1, signal=15, stopped=True)
        history.add(*interpret(history.sweep, "cloud", [stopped], history.now))
        assert history.sweep.tasks[index].state is TaskState.CANCELLED
    assert history.settle() == []


def test_a_priced_source_costs_as_well() -> None:
    history = sweep(10.0, CLOUD, PRICED, budget_action="terminate")
    (task,) = history.sweep.sources["server"].active
    history.add(ev.Running((ev.Started(task, 1),)))
    after(history, 5.0)
    assert history.sweep.tasks[task].state is TaskState.CANCELLING


@pytest.mark.parametrize("source", [ev.SourceAdded("west", "ec2", 1), PRICED], ids=lambda source: source.kind)
def test_what_is_only_being_launched_will_cost_and_is_ended_as_well(source: ev.SourceAdded) -> None:
    """Its source has no rate yet, for nothing runs there."""
    history = History(created(6, budget=10.0, budget_action="terminate"), CLOUD, source)
    history.settle()
    begun = sorted(history.sweep.sources["cloud"].active)
    history.add(ev.Running(tuple(ev.Started(index, 1, "i-1", None, DOLLAR) for index in begun)))
    (task,) = history.sweep.sources[source.source].active
    after(history, 5.0)
    assert history.sweep.tasks[task].state is TaskState.CANCELLING


def test_what_was_ended_for_the_budget_is_tried_again_when_somebody_says_so() -> None:
    history = sweep(total=2, budget_action="terminate")
    after(history, 5.0)
    for index in (0, 1):
        history.add(ev.Ended((ev.End(index, 1, "cancelled"),)))
    history.settle()
    assert history.sweep.status is SweepStatus.CANCELLED
    asked(history, "budget", 10_000)
    history.add(ev.RequestTaken("r", "retry", (0, 1)))
    asked(history, "resume")
    assert [len(e.attempts) for e in history.settle() if isinstance(e, ev.Launching)] == [2]


# --- what is kept of it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1.0, 4.5, 6.0])
def test_a_snapshot_knows_what_is_spent_and_what_was_told(seconds: float) -> None:
    history = sweep()
    after(history, seconds)
    tasks = tuple(PlannedTask("", {"i": i}) for i in range(history.sweep.total))
    documents = to_documents(
        Plan("spawn", "s", tasks, command="true"), history.sweep, Position(history.sweep.seq, 1, 9, 9)
    )
    restored = from_documents(documents)[1]
    assert (restored.budget_warned, restored.budget_spent) == (seconds > 4.0, seconds > 5.0)
    assert (restored.budget, restored.budget_action) == (10.0, "pause")
    assert restored.sources == history.sweep.sources
    demand_same(restored, history.sweep, "the snapshot")
    assert decide(restored, history.now) == decide(history.sweep, history.now)


def test_what_was_given_up_and_completed_later_has_cost_all_that_time() -> None:
    history = sweep(100.0, total=1)
    history.now += 5.0
    lost = ev.End(0, 1, "failed", "source_lost", source_fault=True, given_up=True)
    history.add(ev.Ended((lost,)))
    assert history.sweep.cost(history.now) == pytest.approx(5.0)
    history.now += 20.0
    history.add(ev.Recovered((ev.End(0, 1, "completed", exit_code=0, ended_at=history.now - 2.0),)))
    check_shape(history.sweep)
    assert history.sweep.cost(history.now) == pytest.approx(23.0)


# --- any history -------------------------------------------------------------------------------------------------


@given(histories())
@settings(max_examples=100, deadline=None)
def test_nothing_is_launched_between_a_spent_budget_and_a_new_one(history: History) -> None:
    history.settle()
    for seconds in (1.0, 60.0, 3600.0):
        history.now += seconds
        history.settle()
    spent = False
    for event in (record.event for record in history.records):
        match event:
            case ev.BudgetSpent():
                assert not spent, "told twice"
                spent = True
            case ev.RequestTaken(verb="budget"):
                spent = False
            case ev.Launching():
                assert not spent
            case _:
                pass
    assert history.sweep.budget_spent == spent


@given(histories())
@settings(max_examples=100, deadline=None)
def test_a_budget_is_never_overrun_in_silence(history: History) -> None:
    """Once it is at rest: what is spent is told, and until then the next look is no later than that."""
    history.settle()
    sweep, now = history.sweep, history.now
    if not sweep.budget or sweep.ended is not None:
        return
    sources = sweep.sources.values()
    cost = sum(
        s.spent if s.unheard and now < s.listening_since + HEARD_WITHIN else s.cost(now) for s in sources
    )
    assert sweep.budget_spent or cost < sweep.budget
    assert sweep.budget_warned or cost < BUDGET_WARNING * sweep.budget
    wake = decide(sweep, now).wake_at
    if wake is not None and wake > now + 0.01 and not sweep.budget_spent:
        heard = (s.spent if s.unheard else s.cost(wake - 0.005) for s in sources)
        assert sum(heard) <= sweep.budget
