"""What a sweep costs: the sums that are kept equal those of the attempts, and what is unknown is never nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spawn_tui.engine import events as ev
from spawn_tui.engine.cost import (
    Amount,
    attempt_cost,
    burn_rate,
    cost_words,
    costs,
    in_words,
    money,
    per_hour,
    projected,
    source_cost,
    sweep_cost,
    task_cost,
    when_spent,
)
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.engine.snapshot import from_documents, to_documents
from spawn_tui.engine.sweep import ACTIVE, Sweep
from spawn_tui.state.journal import Position

from .histories import History, created

EC2 = ev.SourceAdded("ec2-us-east-1", "ec2", 50)
SSH = ev.SourceAdded("server1", "ssh", 50, (("cost_per_hour", "0.5"),))
LOCAL = ev.SourceAdded("local", "local", 50)
T0 = 1_795_000_000.0
"""Seconds since 1970 as they are: where sums of rate times start are large numbers."""


def sweep(total: int, *sources: ev.SourceAdded, **settings_: object) -> History:
    history = History(created(total, **settings_), *(sources or (EC2,)))
    history.now = T0
    return history


def launch(history: History, source: str, *tasks: int) -> None:
    refs = tuple(ev.Ref(task, len(history.sweep.tasks[task].attempts) + 1) for task in tasks)
    history.add(ev.Launching(f"b{history.sweep.seq}", source, refs))


def begin(history: History, task: int, rate: float | None = None, at: float | None = None) -> None:
    number = len(history.sweep.tasks[task].attempts)
    history.add(ev.Running((ev.Started(task, number, "i-1", at, rate),)))


def end(history: History, task: int, state: ev.EndState = "completed", at: float | None = None) -> None:
    number = len(history.sweep.tasks[task].attempts)
    kind: ev.FailureKind | None = "exit" if state == "failed" else None
    history.add(ev.Ended((ev.End(task, number, state, kind, ended_at=at),)))


def recount(sweep: Sweep, now: float) -> float:
    return sum(attempt_cost(attempt, now) or 0.0 for task in sweep.tasks for attempt in task.attempts)


# --- the sums ----------------------------------------------------------------------------------------------------

RATES = st.one_of(st.none(), st.sampled_from((0.0, 0.0104, 0.68, 113.9328)), st.floats(0.0001, 200.0))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_kept_is_the_sum_over_the_attempts_at_any_time_in_any_order(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 6))
    history = sweep(total, EC2, SSH, LOCAL, retry_max=9)
    unpriced = 0
    for _ in range(data.draw(st.integers(1, 40))):
        history.now = round(history.now + data.draw(st.sampled_from((0.0, 0.001, 7.0, 3600.0, 86400.0))), 3)
        task = data.draw(st.sampled_from(history.sweep.tasks))
        what = data.draw(st.sampled_from(("launch", "begin", "begin", "end")))
        if what == "launch" and task.index in history.sweep.ready:
            launch(history, data.draw(st.sampled_from(("ec2-us-east-1", "server1", "local"))), task.index)
        elif what == "begin" and task.state in ACTIVE and task.attempts[-1].started_at is None:
            ago = data.draw(st.sampled_from((None, 0.0, 30.5)))
            rate = data.draw(RATES)
            begin(history, task.index, rate, None if ago is None else history.now - ago)
            unpriced += rate is None and task.attempts[-1].source == "ec2-us-east-1"
        elif what == "end" and task.state in ACTIVE and task.attempts[-1].started_at is not None:
            state = data.draw(st.sampled_from(("completed", "failed")))
            ago = data.draw(st.sampled_from((None, 0.0, 0.5)))
            end(history, task.index, state, None if ago is None else history.now - ago)
            if history.sweep.retry_due:
                delay = ev.Delay(next(iter(history.sweep.retry_due)), history.now)
                history.add(ev.Requeued((delay,)))
        now = history.now + data.draw(st.sampled_from((0.0, 1.0, 1e6)))
        cost = sweep_cost(history.sweep, now)
        # A millionth of a cent for each hour and dollar: T0 times the rate has 16 digits.
        assert cost.usd == pytest.approx(recount(history.sweep, now), rel=1e-9, abs=1e-5)
        assert cost.partly_unknown == (unpriced > 0)
        by_task = [task_cost(history.sweep, task, now) for task in history.sweep.tasks]
        assert sum(part.usd for part in by_task) == pytest.approx(cost.usd, rel=1e-9, abs=1e-5)
        assert any(part.partly_unknown for part in by_task) == cost.partly_unknown
        plan = Plan("spawn", "s", tuple(PlannedTask("", {"i": i}) for i in range(total)), command="true")
        documents = to_documents(plan, history.sweep, Position(history.sweep.seq, 1, 9, 9))
        assert sweep_cost(from_documents(documents)[1], now) == cost, "a snapshot costs the same"


def test_an_attempt_costs_its_rate_from_its_start_to_its_end() -> None:
    history = sweep(1)
    launch(history, "ec2-us-east-1", 0)
    attempt = history.sweep.tasks[0].attempts[0]
    history.now += 500
    assert attempt_cost(attempt, history.now) == 0.0
    begin(history, 0, 0.68)
    assert attempt_cost(attempt, history.now + 1800) == pytest.approx(0.34)
    assert attempt_cost(attempt, history.now - 5) == pytest.approx(0.68 / 60), "never less than a minute"
    history.now += 3600
    end(history, 0)
    assert attempt_cost(attempt, history.now + 9e9) == pytest.approx(0.68)


def test_the_first_minute_of_an_instance_costs_all_of_it_at_once() -> None:
    history = sweep(4, EC2, SSH)
    launch(history, "ec2-us-east-1", 0, 1, 2)
    launch(history, "server1", 3)
    begin(history, 0, 6.0)
    begin(history, 1, 6.0)
    begin(history, 2, 60.0, history.now - 30)
    assert sweep_cost(history.sweep, history.now) == Amount(pytest.approx(0.1 + 0.1 + 1.0))
    assert sweep_cost(history.sweep, history.now + 30) == Amount(pytest.approx(1.2))
    assert sweep_cost(history.sweep, history.now + 60) == Amount(pytest.approx(0.2 + 1.5))
    begin(history, 3)
    history.now += 6
    end(history, 0)
    end(history, 3)
    own = 0.5 * 6 / 3600
    assert sweep_cost(history.sweep, history.now) == Amount(pytest.approx(0.1 + 0.1 + 1.0 + own)), (
        "no minute ends with another"
    )
    assert task_cost(history.sweep, history.sweep.tasks[0], history.now) == Amount(pytest.approx(0.1))
    assert history.sweep.tasks[3].attempts[0].cost == pytest.approx(0.5 * 6 / 3600), (
        "a machine of one's own: by the second"
    )
    assert sweep_cost(history.sweep, history.now + 114) == Amount(pytest.approx(0.1 + 0.2 + 2.5, abs=1e-3))


def test_what_is_kept_for_the_first_minute_is_forgotten_after_it() -> None:
    history = sweep(500)
    launch(history, "ec2-us-east-1", *range(500))
    for task in range(500):
        history.now += 10
        begin(history, task, 1.0)
        assert len(history.sweep.sources["ec2-us-east-1"].young) <= 7


def test_a_clock_that_is_ahead_makes_nothing_cheaper() -> None:
    history = sweep(2, SSH)
    launch(history, "server1", 0, 1)
    begin(history, 0, 3600.0)
    history.now += 10
    begin(history, 1, 3600.0, history.now + 4)
    assert sweep_cost(history.sweep, history.now) == Amount(pytest.approx(10.0))


def test_an_end_that_is_seen_late_takes_nothing_back() -> None:
    history = sweep(1)
    launch(history, "ec2-us-east-1", 0)
    begin(history, 0, 3600.0)
    history.now += 300
    end(history, 0, at=history.now - 20)
    assert sweep_cost(history.sweep, history.now) == Amount(pytest.approx(300.0))


@pytest.mark.parametrize(
    "silence",
    [
        (ev.EngineStopped("told to"), ev.EngineStarted(2, "host", 7), ev.SourceReachable("ec2-us-east-1")),
        (ev.SourceUnreachable("ec2-us-east-1", "no route"), ev.SourceReachable("ec2-us-east-1")),
    ],
    ids=["no engine", "away"],
)
def test_what_ended_while_nobody_listened_has_cost_what_it_has(silence: tuple[ev.Event, ...]) -> None:
    history = sweep(1)
    launch(history, "ec2-us-east-1", 0)
    begin(history, 0, 3600.0)
    history.now += 300
    history.add(*silence[:-1])
    history.now += 36_000
    history.add(silence[-1])
    end(history, 0, at=T0 + 400)
    assert sweep_cost(history.sweep, history.now) == Amount(pytest.approx(400.0))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_while_somebody_listens_the_cost_never_goes_down(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 5))
    history = sweep(total, EC2, SSH, retry_max=9)
    last = 0.0
    for _ in range(data.draw(st.integers(1, 40))):
        for later in data.draw(st.lists(st.sampled_from((0.0, 0.001, 0.5, 20.0, 70.0)), max_size=3)):
            history.now = round(history.now + later, 3)
            cost = sweep_cost(history.sweep, history.now).usd
            assert cost >= last - 1e-6
            last = cost
        task = data.draw(st.sampled_from(history.sweep.tasks))
        attempt = task.attempts[-1] if task.attempts else None
        what = data.draw(st.sampled_from(("launch", "begin", "begin", "end", "lost")))
        ago = data.draw(st.sampled_from((None, 0.0, 0.5, 50.0, 5000.0, -3.0)))
        if what == "launch" and task.index in history.sweep.ready:
            launch(history, data.draw(st.sampled_from(("ec2-us-east-1", "server1"))), task.index)
        elif what == "begin" and task.state in ACTIVE:
            begin(history, task.index, data.draw(RATES), None if ago is None else history.now - ago)
        elif what in ("end", "lost") and task.state in ACTIVE and attempt is not None:
            ended_at = None if ago is None else history.now - ago
            started_at = data.draw(st.sampled_from((None, history.now - 7000.0, history.now - 0.25)))
            rate = data.draw(RATES)
            state: ev.EndState = data.draw(st.sampled_from(("completed", "failed")))
            kind: ev.FailureKind | None = "exit" if state == "failed" else None
            history.add(
                ev.Ended(
                    (
                        ev.End(
                            task.index,
                            attempt.number,
                            state,
                            kind,
                            None,
                            None,
                            "",
                            started_at,
                            ended_at,
                            rate=rate,
                        ),
                    )
                )
            )
            if history.sweep.retry_due:
                history.add(ev.Requeued((ev.Delay(next(iter(history.sweep.retry_due)), history.now),)))


@given(
    st.lists(st.tuples(st.floats(0.0, 200.0), st.sampled_from((0.36, 36.0, 3600.0))), max_size=6),
    st.floats(0.0, 500.0),
)
@settings(max_examples=150, deadline=None)
def test_when_a_sum_will_be_spent_is_when_it_is(starts: list[tuple[float, float]], usd: float) -> None:
    history = sweep(max(1, len(starts)))
    launch(history, "ec2-us-east-1", *range(max(1, len(starts))))
    for task, (ago, rate) in enumerate(starts):
        begin(history, task, rate, history.now - ago)
    at = when_spent(history.sweep, usd, history.now)
    if at is None:
        assert not starts
    elif at > history.now:
        assert history.sweep.cost(at) == pytest.approx(usd, abs=1e-2)
        assert history.sweep.cost(at - 0.01) <= usd + 1e-5
    else:
        assert history.sweep.cost(history.now) >= usd - 1e-5


def test_a_sum_over_fifty_thousand_attempts_has_lost_no_cent() -> None:
    """Rate times start is 10¹² by then, and ends come in another order than starts."""
    history = sweep(5000)
    for task in range(5000):
        history.now = T0 + task
        launch(history, "ec2-us-east-1", task)
        begin(history, task, 0.0104 + task / 1000)
    for task in reversed(range(1, 5000)):
        history.now = T0 + 90_000 - task
        end(history, task)
    now = T0 + 90_000
    assert sweep_cost(history.sweep, now).usd == pytest.approx(recount(history.sweep, now), abs=0.005)
    assert burn_rate(history.sweep).usd == pytest.approx(0.0104)
    end(history, 0)
    assert burn_rate(history.sweep) == Amount(0.0)


def test_a_rate_in_the_configuration_counts_the_same_way_and_a_free_source_is_not_unknown() -> None:
    history = sweep(2, SSH, LOCAL)
    launch(history, "server1", 0)
    launch(history, "local", 1)
    begin(history, 0)
    begin(history, 1)
    assert burn_rate(history.sweep) == Amount(0.5)
    later = history.now + 7200
    assert sweep_cost(history.sweep, later) == Amount(pytest.approx(1.0))
    assert source_cost(history.sweep.sources["local"], later) == Amount(0.0)
    assert not source_cost(history.sweep.sources["local"], later).unknown
    assert task_cost(history.sweep, history.sweep.tasks[1], later) == Amount(0.0)


def test_an_unknown_price_is_said_and_never_nothing() -> None:
    history = sweep(2)
    launch(history, "ec2-us-east-1", 0, 1)
    begin(history, 0, None)
    attempt = history.sweep.tasks[0].attempts[0]
    assert attempt_cost(attempt, history.now) is None
    assert sweep_cost(history.sweep, history.now).unknown
    assert burn_rate(history.sweep).unknown
    assert task_cost(history.sweep, history.sweep.tasks[0], history.now).unknown
    begin(history, 1, 0.68)
    history.now += 3600
    assert sweep_cost(history.sweep, history.now) == Amount(pytest.approx(0.68), partly_unknown=True)
    assert cost_words(history.sweep, history.now) == "current at least $0.68"
    end(history, 0)
    end(history, 1)
    assert sweep_cost(history.sweep, history.now).partly_unknown, "also when it is over"
    assert not burn_rate(history.sweep).partly_unknown, "but nothing burns any more"


# --- ahead -------------------------------------------------------------------------------------------------------


def test_what_is_left_costs_what_the_done_have_cost_on_average() -> None:
    history = sweep(10, retry_max=1)
    assert projected(history.sweep, history.now) is None
    launch(history, "ec2-us-east-1", 0, 1, 2)
    for task in range(3):
        begin(history, task, 1.0)
    assert projected(history.sweep, history.now) is None
    history.now += 3600
    end(history, 0)
    history.now += 3600
    end(history, 1)
    # 1 and 2 dollars are spent on two tasks; the third has cost 2 by now, the mean is 1.50.
    assert projected(history.sweep, history.now) == Amount(pytest.approx(3.0 + 2.0 + 7 * 1.5))
    launch(history, "ec2-us-east-1", 3, 4)
    assert projected(history.sweep, history.now) == Amount(pytest.approx(3.0 + 3 * 1.5 + 5 * 1.5))


def test_retries_make_what_is_left_dearer() -> None:
    history = sweep(4, retry_max=1)
    launch(history, "ec2-us-east-1", 0)
    begin(history, 0, 1.0)
    history.now += 3600
    end(history, 0, "failed")
    history.add(ev.Requeued((ev.Delay(0, history.now),)))
    assert projected(history.sweep, history.now) is None
    launch(history, "ec2-us-east-1", 0)
    begin(history, 0, 1.0)
    history.now += 3600
    end(history, 0)
    assert projected(history.sweep, history.now) == Amount(pytest.approx(2.0 + 3 * 2.0))


def test_a_sweep_that_is_over_costs_what_it_has_cost() -> None:
    history = sweep(2, budget=25.0)
    launch(history, "ec2-us-east-1", 0)
    begin(history, 0, 4.9)
    history.now += 3600
    end(history, 0)
    history.add(ev.Dropped((1,)), ev.SweepEnded("cancelled"))
    assert projected(history.sweep, history.now) == Amount(pytest.approx(4.9))
    assert cost_words(history.sweep, history.now + 1e6) == "cost $4.90 of $25 budget"


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usd", "words"),
    [(0.0, "$0"), (0.000001, "<$0.00001"), (0.0000867, "$0.000087"), (0.000174, "$0.00017"),
     (0.00123, "$0.0012"), (0.0999, "$0.0999"),
     (0.09996, "$0.10"), (0.1, "$0.10"), (0.995, "$0.99"), (3.41, "$3.41"), (999.99, "$999.99"), (999.996, "$1,000"),
     (1204.4, "$1,204"), (1234567.8, "$1,234,568")],
)  # fmt: skip
def test_money_is_as_exact_as_a_person_wants_it(usd: float, words: str) -> None:
    assert money(usd) == words


@pytest.mark.parametrize(
    ("usd", "words"),
    [
        (0.0104, "$0.0104/h"),
        (0.68, "$0.68/h"),
        (3.0, "$3.00/h"),
        (13.10904, "$13.10904/h"),
        (1113.9328, "$1,113.9328/h"),
    ],
)
def test_a_price_keeps_its_digits(usd: float, words: str) -> None:
    assert per_hour(usd) == words


@given(st.lists(st.floats(0.0001, 0.05), min_size=1, max_size=20))
def test_what_is_told_of_each_adds_up_to_what_is_told_of_all(parts: list[float]) -> None:
    told = sum(float(money(usd).removeprefix("$")) for usd in parts)
    assert told == pytest.approx(sum(parts), rel=0.051)


@given(st.floats(0, 1e9))
def test_money_never_says_nothing_of_something_and_never_e_notation(usd: float) -> None:
    words = money(usd)
    assert "e" not in words and words.lstrip("<").startswith("$")
    assert (words == "$0") == (usd == 0)


def test_what_is_said_of_a_sweep() -> None:
    history = sweep(3, budget=25.0)
    assert cost_words(history.sweep, history.now) == "current $0 of $25 budget"
    launch(history, "ec2-us-east-1", 0, 1)
    begin(history, 0, 1.2)
    begin(history, 1, 1.2)
    history.now += 3600
    end(history, 0)
    assert cost_words(history.sweep, history.now) == "current $2.40 · projected $3.60 of $25 budget"
    history.add(ev.RequestTaken("r1", "budget", value=1050))
    assert cost_words(history.sweep, history.now, " | ") == "current $2.40 | projected $3.60 of $10.50 budget"


def test_nothing_is_said_where_nothing_costs() -> None:
    history = sweep(1, LOCAL)
    assert not costs(history.sweep)
    assert cost_words(history.sweep, history.now) == ""
    assert cost_words(sweep(1, LOCAL, SSH).sweep, T0) == "current $0"


def test_amounts_in_words() -> None:
    assert in_words(Amount(1.2)) == "$1.20"
    assert in_words(Amount(1.2, True)) == "at least $1.20"
    assert in_words(Amount(0.0, True)) == "unknown"
    assert in_words(Amount(0.0)) == "$0"
