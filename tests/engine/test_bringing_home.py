"""Files of attempts elsewhere: due from the end, asked for by every engine, waited for by the sweep's end."""

from __future__ import annotations

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.decide import decide
from spawn_tui.engine.observe import SawCollected, SawEnd, SourceBack, interpret
from spawn_tui.engine.sweep import SweepStatus, TaskState

from .histories import History, created

GRACE = 300.0


def elsewhere(total: int = 1) -> History:
    """A sweep on a far source, every task of it running."""
    history = History(created(total), ev.SourceAdded("far", "ssh", total, elsewhere=True))
    history.settle()
    history.add(ev.Running(tuple(ev.Started(i, 1) for i in range(total))))
    return history


def told(history: History, *seen: SawEnd | SawCollected) -> list[ev.Event]:
    events = interpret(history.sweep, "far", seen, history.now)
    history.add(*events)
    return events


def test_the_end_waits_for_the_files() -> None:
    history = elsewhere()
    told(history, SawEnd(0, 1, exit_code=0))
    assert history.sweep.counts[TaskState.COMPLETED] == 1
    assert history.settle() == [] and history.sweep.ended is None
    assert told(history, SawCollected(0, 1, 3, 99)) == [ev.Collected((ev.Brought(0, 1, 3, 99),))]
    history.settle()
    assert history.sweep.ended is SweepStatus.COMPLETED


def test_what_does_not_come_home_is_kept_in_mind_and_holds_nothing_up() -> None:
    history = elsewhere()
    told(history, SawEnd(0, 1, exit_code=0), SawCollected(0, 1, 3, 99, "its directory is gone"))
    # Told in one breath: it was due only after its end was applied, so that it is asked for once more.
    told(history, SawCollected(0, 1, 3, 99, "its directory is gone"))
    history.settle()
    assert history.sweep.ended is SweepStatus.COMPLETED
    assert history.sweep.left_behind == {(0, 1): "its directory is gone"}


def test_a_source_that_stays_away_is_not_waited_for_beyond_its_grace() -> None:
    history = elsewhere()
    told(history, SawEnd(0, 1, exit_code=0))
    history.add(ev.SourceUnreachable("far", "no answer"))
    history.settle()
    wake = decide(history.sweep, history.now).wake_at
    assert history.sweep.ended is None and wake == pytest.approx(history.now + GRACE)
    history.now += GRACE + 1
    history.settle()
    task = history.sweep.tasks[0]
    assert task.attempts[0].kind == "source_lost" and "far" in task.attempts[0].message
    assert history.sweep.ended is SweepStatus.FAILED, "there is no other source"


def test_what_is_out_of_reach_is_done_elsewhere() -> None:
    history = elsewhere()
    history.add(ev.SourceAdded("here", "local", 1))
    told(history, SawEnd(0, 1, exit_code=0))
    history.add(ev.SourceUnreachable("far", "no answer"))
    history.now += GRACE + 1
    history.settle()
    assert [(a.source, a.state) for a in history.sweep.tasks[0].attempts] == [
        ("far", TaskState.FAILED), ("here", TaskState.LAUNCHING)
    ]  # fmt: skip
    assert (0, 1) in history.sweep.given_up, "its source is asked for it whenever it can be"


def test_a_source_that_comes_back_in_time_has_done_the_work() -> None:
    history = elsewhere()
    history.add(ev.SourceAdded("here", "local", 1))
    history.add(ev.RequestTaken("r", "pause"))
    told(history, SawEnd(0, 1, exit_code=0))
    history.add(ev.SourceUnreachable("far", "no answer"))
    history.now += GRACE + 1
    history.settle()
    assert history.sweep.counts[TaskState.PENDING] == 1
    history.add(ev.SourceReachable("far"))
    assert isinstance(told(history, SawEnd(0, 1, exit_code=0))[0], ev.Recovered)
    assert history.sweep.counts[TaskState.COMPLETED] == 1 and list(history.sweep.uncollected) == [(0, 1)]


def test_logs_out_of_reach_are_no_reason_to_run_again() -> None:
    history = elsewhere()
    told(history, SawEnd(0, 1, exit_code=3))
    history.add(ev.SourceUnreachable("far", "no answer"))
    history.now += GRACE + 1
    history.settle()
    assert history.sweep.ended is SweepStatus.FAILED and len(history.sweep.tasks[0].attempts) == 1
    assert "far" in history.sweep.left_behind[0, 1]


def test_what_never_began_or_was_given_up_is_not_waited_for() -> None:
    history = History(created(2), ev.SourceAdded("far", "ssh", 2, elsewhere=True))
    history.settle()
    history.add(ev.Ended((ev.End(0, 1, "failed", "launch_failed"),)))
    history.add(ev.Ended((ev.End(1, 1, "failed", "source_lost", given_up=True),)))
    assert not history.sweep.uncollected
    history.add(ev.Stray((ev.End(1, 1, "completed", exit_code=0),)))
    assert list(history.sweep.uncollected) == [(1, 1)], "a stray is kept, and its files come home"


def test_a_source_at_home_has_nothing_to_bring() -> None:
    history = History(created(1), ev.SourceAdded("local", "local", 1))
    history.settle()
    history.add(ev.Running((ev.Started(0, 1),)), ev.Ended((ev.End(0, 1, "completed", exit_code=0),)))
    assert not history.sweep.uncollected


def test_a_source_that_refuses_us_is_as_far_as_one_that_is_silent() -> None:
    history = elsewhere()
    history.add(ev.SourceAdded("here", "local", 1))
    told(history, SawEnd(0, 1, exit_code=0))
    history.add(ev.SourceDisabled("far", "another host key", "refused"))
    history.settle()
    assert history.sweep.ended is None
    assert decide(history.sweep, history.now).wake_at == pytest.approx(history.now + GRACE)
    history.now += GRACE + 1
    history.settle()
    assert [attempt.source for attempt in history.sweep.tasks[0].attempts] == ["far", "here"]


def test_the_end_waits_until_what_was_given_up_is_ended_where_it_can_be() -> None:
    history = elsewhere()
    history.add(ev.SourceAdded("here", "local", 1), ev.SourceUnreachable("far", "no answer"))
    history.now += GRACE + 1
    history.settle()  # given up, and launched here
    history.add(ev.SourceReachable("far"), ev.Running((ev.Started(0, 2),)))
    history.add(ev.Ended((ev.End(0, 2, "completed", exit_code=0),)))
    history.settle()
    assert history.sweep.ended is None, "far is about to be asked"
    history.add(ev.Stray((ev.End(0, 1, "cancelled"),)))
    history.settle()
    assert history.sweep.ended is SweepStatus.COMPLETED


def test_it_does_not_wait_for_that_without_end() -> None:
    history = elsewhere()
    history.add(ev.SourceAdded("here", "local", 1), ev.SourceUnreachable("far", "no answer"))
    history.now += GRACE + 1
    history.settle()
    history.add(ev.SourceReachable("far"), ev.Running((ev.Started(0, 2),)))
    history.add(ev.Ended((ev.End(0, 2, "completed", exit_code=0),)))
    history.now = decide(history.sweep, history.now).wake_at or 0.0
    history.now += 0.001
    history.settle()
    assert history.sweep.ended is SweepStatus.COMPLETED


def test_what_an_earlier_engine_left_elsewhere_is_unknown_until_the_machine_has_answered() -> None:
    history = elsewhere(2)
    sweep = history.sweep
    assert sweep.unknown_count == 0
    history.add(ev.EngineStarted(2, "here", 1))
    assert sweep.unknown_count == 2 and sweep.is_unknown(0), "nobody has asked yet"
    events = interpret(sweep, "far", [SourceBack()], history.now)
    assert events == [ev.SourceReachable("far")]
    history.add(*events)
    assert sweep.unknown_count == 0 and not sweep.is_unknown(0)
    assert interpret(sweep, "far", [SourceBack()], history.now) == [], "said once"


def test_what_runs_on_this_machine_is_asked_at_once() -> None:
    history = History(created(1), ev.SourceAdded("local", "local", 1))
    history.settle()
    history.add(ev.Running((ev.Started(0, 1),)), ev.EngineStarted(2, "here", 1))
    assert history.sweep.unknown_count == 0
