"""The fold: what is kept equals a recount, whatever happened; illegal events are refused; the queue is first come first
served."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spawn_tui.engine import events as ev
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.engine.snapshot import from_documents, to_documents
from spawn_tui.engine.sweep import ApplyError, Sweep, SweepStatus, TaskQueue, TaskState, apply
from spawn_tui.state.documents import SweepDocuments
from spawn_tui.state.journal import Position

from ..simulation.invariants import check_shape, demand_same
from .histories import History, created, histories

LOCAL = ev.SourceAdded("local", "local", 2)


def plan_of(sweep: Sweep) -> Plan:
    return Plan("spawn", "s", tuple(PlannedTask("", {"i": i}) for i in range(sweep.total)), command="true")


# --- any history -------------------------------------------------------------------------------------------------


@given(histories())
@settings(max_examples=100, deadline=None)
def test_what_is_kept_equals_a_recount(history: History) -> None:
    check_shape(history.sweep)


@given(histories(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_snapshot_at_any_point_and_the_rest_tell_the_same_sweep(
    history: History, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(history.records)))
    early = history.fold(cut)
    position = Position(early.seq, 1, 99, 5)
    plan, restored, where = from_documents(to_documents(plan_of(early), early, position))
    assert (plan, where) == (plan_of(early), position)
    check_shape(restored)
    demand_same(restored, early, "the snapshot")
    for record in history.records[cut:]:
        apply(restored, record)
    demand_same(restored, history.sweep, "the snapshot and the rest")


def test_a_snapshot_of_an_earlier_version_is_read() -> None:
    """It knows nothing of queues, health and what was given up."""
    history = History(created(3, grace=7.0), LOCAL)
    history.settle()
    documents = to_documents(plan_of(history.sweep), history.sweep, Position(history.sweep.seq, 1, 9, 9))
    frame = documents.sweep["snapshot"]
    assert isinstance(frame, dict)
    for name in ("rules", "given_up", "blamed"):
        del frame[name]
    old = ("name", "kind", "slots", "options", "removed", "unreachable_since", "unreachable_reason", "launched",
           "completed", "failed", "busy_seconds")  # fmt: skip
    rows = [{name: row[name] for name in old} for row in documents.sources]
    _, restored, _ = from_documents(SweepDocuments(documents.sweep, documents.tasks, rows))
    demand_same(restored, history.sweep, "the snapshot")


@given(histories())
@settings(max_examples=50, deadline=None)
def test_one_journal_is_one_sweep(history: History) -> None:
    demand_same(history.fold(), history.sweep, "the same events folded twice")


# --- rules -------------------------------------------------------------------------------------------------------


def launched(*, total: int = 2, **settings: object) -> History:
    history = History(created(total, **settings), LOCAL)
    history.add(ev.Launching("b1", "local", tuple(ev.Ref(index, 1) for index in range(min(total, 2)))))
    return history


@pytest.mark.parametrize(
    "event",
    [
        ev.Launching("b2", "local", (ev.Ref(0, 2),)),
        ev.Launching("b2", "moon", (ev.Ref(2, 1),)),
        ev.Launching("b2", "local", (ev.Ref(2, 2),)),
        ev.Running((ev.Started(0, 2),)),
        ev.Ended((ev.End(2, 1, "completed"),)),
        ev.Unknown((ev.Ref(2, 1),), "?"),
        ev.Cancelling("local", (ev.Ref(2, 1),)),
        ev.Dropped((0,)),
        ev.Requeued((ev.Delay(0, 1.0),)),
        ev.SourceRemoved("moon"),
        created(),
    ],
    ids=lambda event: event.type,
)
def test_what_cannot_follow_is_refused(event: ev.Event) -> None:
    with pytest.raises(ApplyError):
        launched(total=3).add(event)


def test_a_gap_in_the_sequence_is_refused() -> None:
    history = launched()
    with pytest.raises(ApplyError, match="event 9 after event 3"):
        apply(history.sweep, ev.Record(9, 0.0, ev.Note("x")))


def test_an_end_is_recorded_once() -> None:
    history = launched()
    history.add(ev.Ended((ev.End(0, 1, "completed", exit_code=0),)))
    with pytest.raises(ApplyError, match="not active"):
        history.add(ev.Ended((ev.End(0, 1, "completed", exit_code=0),)))


def test_a_stray_changes_nothing_but_the_notes() -> None:
    history = launched()
    history.add(ev.Ended((ev.End(0, 1, "failed", "source_lost"),)))
    counts = dict(history.sweep.counts)
    history.add(ev.Stray((ev.End(0, 1, "completed", exit_code=0),)))
    assert history.sweep.counts == counts
    assert history.sweep.tasks[0].state is TaskState.FAILED
    assert "stray" in history.sweep.notes[-1][1]


@pytest.mark.parametrize(("kind", "again"), [("exit", True), ("timeout", False)])
def test_only_the_kinds_that_were_asked_for_are_retried(kind: ev.FailureKind, again: bool) -> None:
    history = launched(retry_max=1, retry_on=("exit",))
    history.add(ev.Ended((ev.End(0, 1, "failed", kind),)))
    assert (0 in history.sweep.retry_due) == again


def test_a_cancelled_task_is_not_retried() -> None:
    history = launched(retry_max=3, retry_on=("exit",))
    history.add(ev.RequestTaken("r1", "cancel", (0,)), ev.Cancelling("local", (ev.Ref(0, 1),)))
    history.add(ev.Ended((ev.End(0, 1, "failed", "exit", 1),)))
    assert not history.sweep.retry_due


def test_tries_before_a_request_do_not_count() -> None:
    history = launched(total=1, retry_max=1, retry_on=("exit",))
    failed = ev.Ended((ev.End(0, 1, "failed", "exit", 1),))
    history.add(failed, ev.Requeued((ev.Delay(0, 0.0),)), ev.Launching("b2", "local", (ev.Ref(0, 2),)))
    history.add(ev.Ended((ev.End(0, 2, "failed", "exit", 1),)))
    assert not history.sweep.retry_due
    history.add(ev.RequestTaken("r1", "retry"), ev.Launching("b3", "local", (ev.Ref(0, 3),)))
    history.add(ev.Ended((ev.End(0, 3, "failed", "exit", 1),)))
    assert 0 in history.sweep.retry_due


def test_what_was_completed_is_never_queued_again() -> None:
    history = launched()
    history.add(ev.Ended((ev.End(0, 1, "completed", exit_code=0), ev.End(1, 1, "failed", "exit", 1))))
    history.add(ev.RequestTaken("r1", "retry", (0, 1)))
    assert [task.state for task in history.sweep.tasks] == [TaskState.COMPLETED, TaskState.PENDING]


def test_a_forced_cancel_stays_forced() -> None:
    history = launched(total=1)
    history.add(ev.RequestTaken("r1", "cancel", force=True))
    assert [event.force for event in history.settle() if isinstance(event, ev.Cancelling)] == [False, True]


def test_resume_does_not_wake_a_sweep_that_has_nothing_to_launch() -> None:
    """A task that was dropped while it waited for a retry leaves an entry in the heap; it is nothing to launch."""
    history = launched(total=1, retry_max=1, retry_backoff=60.0, retry_on=("exit",))
    history.add(ev.Ended((ev.End(0, 1, "failed", "exit", 1),)))
    history.settle()
    history.add(ev.RequestTaken("r1", "cancel"))
    history.settle()
    assert history.sweep.status is SweepStatus.CANCELLED
    history.add(ev.RequestTaken("r2", "resume"))
    assert history.sweep.status is SweepStatus.CANCELLED


def test_a_cancel_survives_a_resume_that_comes_at_once() -> None:
    history = launched(total=3)
    history.add(ev.RequestTaken("r1", "cancel"), ev.RequestTaken("r2", "resume"))
    assert history.sweep.cancel_requested


def test_a_new_engine_doubts_anew() -> None:
    """While no engine ran nobody asked: that time is no part of a grace period."""
    history = launched(grace=5.0)
    history.add(ev.SourceUnreachable("local", "no answer"), ev.Unknown((ev.Ref(0, 1),), "another host"))
    history.now += 1000.0
    history.add(ev.EngineStarted(2, "host", 7))
    sweep = history.sweep
    assert (
        sweep.sources["local"].unreachable_since
        == sweep.unknown[0]
        == sweep.tasks[0].unknown_since
        == history.now
    )


# --- the queue of ready tasks ------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from(("push", "discard", "first")), st.integers(0, 5))), st.integers(0, 4)
)
def test_the_ready_queue_is_a_list_without_repeats(steps: list[tuple[str, int]], start: int) -> None:
    queue, model = TaskQueue(range(start)), list(range(start))
    for what, value in steps:
        if what == "push":
            queue.push(value)
            model += [value] if value not in model else []
        elif what == "discard":
            queue.discard(value)
            model = [task for task in model if task != value]
        else:
            assert queue.first(value) == model[:value]
        assert list(queue) == model
        assert queue.last(2) == model[::-1][:2]
        assert len(queue) == len(model)
        assert all((task in queue) == (task in model) for task in range(6))


def test_the_front_of_the_queue_is_found_without_walking() -> None:
    """Each task is visited a bounded number of times however many left before it."""
    queue = TaskQueue(range(20_000))
    for task in range(20_000):
        assert queue.first(1) == [task]  # with a plain dict this alone is 200 million visits
        queue.discard(task)
    assert not queue
