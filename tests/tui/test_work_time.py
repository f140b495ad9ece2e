"""How long a sweep has worked."""

from __future__ import annotations

from pathlib import Path

from spawn_tui.engine import events as ev
from spawn_tui.tui.work_time import IDLE, WorkTime

from .build import plain


def test_what_lies_between_a_stop_and_a_retry_is_not_counted(root: Path):
    made = plain(root, 2, running=2)
    made.wait(9)
    made.end(0)
    made.end(1, "failed", kind="exit", exit_code=1)
    made.commit(ev.SweepEnded("failed"))
    made.wait(3600)
    again = made.clock.at
    made.commit(ev.RequestTaken("r", "retry"))
    made.start([1])
    made.wait(5)
    made.end(1)
    made.commit(ev.SweepEnded("completed"))
    work = WorkTime(made.store.sweep)
    assert work.seconds() == 10 + 5 and work.since == again


def test_who_looks_all_the_time_sees_the_same_as_who_comes_later(root: Path):
    made = plain(root, 3, running=1)
    sweep = made.store.sweep
    work = WorkTime(sweep)
    for seconds in (4, IDLE + 1, 2, IDLE / 2, 3):
        made.wait(seconds)
        if sweep.active:
            made.end(next(iter(sweep.sources["local"].active)))
        else:
            made.start([sweep.ready.first(1)[0]])
        work.look(sweep)
        late = WorkTime(sweep)
        assert (work.seconds(), work.since) == (late.seconds(), late.since)
    assert work.seconds() == 1 + 4 + 2 + IDLE / 2 + 3


def test_who_saw_the_end_counts_no_more_than_who_comes_later(root: Path):
    made = plain(root, 1, running=1)
    sweep = made.store.sweep
    work = WorkTime(sweep)
    made.wait(30)
    ended = ev.End(0, 1, "completed", exit_code=0, ended_at=made.clock.at)
    made.wait(2)
    made.commit(ev.Ended((ended,)))
    work.look(sweep)
    made.commit(ev.SweepEnded("completed"))
    work.look(sweep)
    assert work.seconds() == WorkTime(sweep).seconds() == 31


def test_the_pace_is_that_since_the_retry(root: Path):
    made = plain(root, 6, running=4)
    sweep = made.store.sweep
    work = WorkTime(sweep)
    made.wait(10)
    made.end(0)
    for task in (1, 2, 3):
        made.end(task, "failed", kind="exit", exit_code=1)
    made.commit(ev.SweepEnded("failed"))
    work.look(sweep)
    assert work.again == sweep.created_at
    made.wait(IDLE / 2)  # shorter than what counts as a pause
    made.commit(ev.RequestTaken("r", "retry"))
    work.look(sweep)
    again = made.clock.at
    made.start([1, 2])
    work.look(sweep)
    made.wait(5)
    made.end(1)
    made.start([3])
    work.look(sweep)
    assert work.again == WorkTime(sweep).again == again
    made.commit(ev.RequestTaken("r2", "retry"))
    assert WorkTime(sweep).again == again


def test_the_clock_goes_on_from_where_it_stood(root: Path):
    made = plain(root, 2, running=1)
    made.wait(4)
    made.end(0)
    made.wait(1000)
    made.start([1])
    work = WorkTime(made.store.sweep)
    assert made.clock.at - work.running_since() == 5
