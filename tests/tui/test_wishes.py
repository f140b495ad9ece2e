from __future__ import annotations

from spawn_tui.tui import wishes
from spawn_tui.tui.view import Facts, SourceRow, TaskRow

FACTS = Facts("s-1", "s", "running", 30, {"failed": 2, "running": 3, "pending": 12}, 0.0, engine="pid 1 on h")
RUNNING = [TaskRow(n, "running", "local", 1, 0, 520.0) for n in range(3)]
WAITING = [TaskRow(n) for n in range(3, 15)]
OVER = [TaskRow(20, "failed"), TaskRow(21, "completed"), TaskRow(22, "cancelled")]


def test_cancel_states_its_exact_effect():
    wish = wishes.cancel_tasks(FACTS, [*RUNNING, *WAITING, *OVER], 1000.0)
    assert wish is not None
    assert wish.question == "Cancel 3 running and 12 waiting tasks (0.4 task-hours done)?"
    assert wish.tasks == tuple(range(15))
    assert wish.command == "spawn-tui cancel s-1 --tasks 1-15"
    assert "TERM" in wish.detail


def test_one_task_is_named():
    wish = wishes.cancel_tasks(FACTS, [TaskRow(4)], 0)
    assert wish is not None
    assert wish.question == "Cancel waiting task_005?"
    assert wish.what == "cancel task_005" and wish.short == "Cancel task_005?"
    assert wish.detail == "It has not started; nothing is lost."
    again = wishes.retry_tasks(FACTS, OVER[:1])
    assert again is not None and again.detail.startswith("It gets a new attempt")
    assert again.declined == "Nothing was run again."


def test_unknown_tasks_are_not_called_running():
    wish = wishes.cancel_tasks(
        FACTS, [*RUNNING, TaskRow(9, "unknown", "local", 1, 0, 0.0, known_at=0.0)], 520.0
    )
    assert wish is not None and wish.question == "Cancel 3 running and 1 unknown tasks?"


def test_what_has_ended_cannot_be_cancelled():
    assert wishes.cancel_tasks(FACTS, OVER, 0) is None
    cancelling = [TaskRow(0, "cancelling")]
    assert wishes.cancel_tasks(FACTS, cancelling, 0) is None
    forced = wishes.cancel_tasks(FACTS, cancelling, 0, force=True)
    assert forced is not None and forced.force and "KILL" in forced.detail


def test_cancelling_the_sweep_names_no_tasks():
    wish = wishes.cancel_sweep(FACTS, [*RUNNING, *WAITING, *OVER], 1000.0)
    assert wish is not None and wish.tasks == ()
    assert wish.question == "Cancel the whole sweep: 3 running and 12 waiting tasks (0.4 task-hours done)?"
    assert wish.command == "spawn-tui cancel s-1"


def test_retry_takes_only_what_failed_or_was_cancelled():
    wish = wishes.retry_tasks(FACTS, [*RUNNING, *OVER])
    assert wish is not None and wish.tasks == (20, 22)
    assert wish.question == "Run 1 failed and 1 cancelled tasks again?"
    assert wish.command == "spawn-tui resume s-1 --tasks 21,23"
    assert wishes.retry_tasks(FACTS, RUNNING) is None


def test_retry_all_that_failed():
    wish = wishes.retry_failed(FACTS)
    assert wish is not None and wish.tasks == () and wish.question == "Run all 2 failed tasks again?"
    assert wish.command == "spawn-tui resume s-1 --retry-failed"


def test_resume_is_a_request_only_where_the_sweep_was_paused():
    assert wishes.resume(FACTS).verb == "start"
    paused = Facts("s-1", "s", "paused", 3, {}, 0.0, paused=True)
    assert wishes.resume(paused).verb == "resume"


def test_slots():
    wish = wishes.slots(SourceRow("local", "local", 4), 5)
    assert (wish.source, wish.value, wish.what) == ("local", 5, "give local 5 slots")


def test_a_cancel_says_that_instances_go() -> None:
    cloud = FACTS._replace(sources=(SourceRow("ec2-us-east-1", "ec2", 4), SourceRow("local", "local", 4)))
    rows = [TaskRow(0, "running", "ec2-us-east-1"), TaskRow(1, "running", "local")]
    alone, both = wishes.cancel_tasks(cloud, rows[:1], 1.0), wishes.cancel_tasks(cloud, rows, 1.0)
    assert alone is not None
    assert both is not None
    assert alone.detail == "1 EC2 instance is terminated; what was not uploaded is gone."
    assert both.detail == f"{alone.detail} Its processes are asked to end (TERM) and killed after 10 s."
