from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine import events as ev
from spawn_tui.engine.sweep import Sweep, apply
from spawn_tui.engine.viewer import Viewer
from spawn_tui.tui.launch_failures import LaunchFailures, cause_of, same_reason
from spawn_tui.tui.rows import Beside, Ends, facts

from .build import SYDNEY, cloud, make


def test_what_differs_in_the_task_alone_is_the_same():
    assert same_reason("cannot create task_001.2/stdout.log") == same_reason(
        "cannot create task_1234/stdout.log"
    )
    assert same_reason("exit 1") != same_reason("exit 2")


NO_ROUTE = "Could not connect to the endpoint URL (ec2.us-west-2)"


def test_the_cause_is_found_in_what_followed_from_it():
    for message in (
        NO_ROUTE, f"never sent: {NO_ROUTE}", f"3 failures in a row: {NO_ROUTE}",
        f"ec2-us-west-2 unreachable for 60 s ({NO_ROUTE}); given up",
        f"ec2-us-west-2 unreachable for 60 s ({NO_ROUTE}); given up; its cancel was not confirmed",
    ):  # fmt: skip
        assert cause_of(message) == NO_ROUTE


@pytest.mark.parametrize("launches", [False, True])
def test_a_region_that_is_away_is_one_line(tmp_path: Path, launches: bool):
    made = cloud(tmp_path / "s")
    made.commit(
        ev.SourceUnreachable(SYDNEY, NO_ROUTE),
        *(ev.SourceStrike(SYDNEY, NO_ROUTE) for _ in range(3)),
        ev.SourceDisabled(SYDNEY, f"3 failures in a row: {NO_ROUTE}", "strikes"),
    )
    if launches:
        lost = f"{SYDNEY} unreachable for 60 s ({NO_ROUTE}); given up"
        made.end(3, "failed", kind="source_lost", message=lost, source_fault=True)
        made.end(4, "failed", kind="launch_failed", message=f"never sent: {NO_ROUTE}", source_fault=True)
    viewer = Viewer(made.root)
    told = [
        failure
        for failure in facts(
            viewer, "running", Beside(viewer.sweep, viewer.layout), None, made.clock.at
        ).failures
        if failure.source == SYDNEY
    ]
    assert [(failure.state, failure.tasks) for failure in told] == (
        [("failed", 2)] if launches else [("unreachable", 0)]
    )


def test_another_reason_is_another_line(tmp_path: Path):
    made = cloud(tmp_path / "s")
    made.commit(
        ev.SourceDisabled(SYDNEY, "the quota is full", "full"), ev.SourceUnreachable(SYDNEY, NO_ROUTE)
    )
    viewer = Viewer(made.root)
    told = facts(viewer, "running", Beside(viewer.sweep, viewer.layout), None, made.clock.at).failures
    assert {failure.state for failure in told if failure.source == SYDNEY} == {"disabled", "unreachable"}


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["a", "b"]), st.sampled_from(["x", "y task_{}"])))
)
def test_read_as_it_happens_or_afterwards_it_is_the_same(history: list[tuple[int, str, str]]):
    sweep, records = Sweep(), []

    def happen(event: ev.Event) -> None:
        records.append(ev.Record(sweep.seq + 1, float(sweep.seq), event))
        apply(sweep, records[-1])

    happen(ev.SweepCreated("s", "s", 5))
    for name in "ab":
        happen(ev.SourceAdded(name, "ssh", 4))
    live = LaunchFailures(sweep)
    seen = len(records)
    for number, (task, source, message) in enumerate(history):
        attempt = len(sweep.tasks[task].attempts) + 1
        happen(ev.Launching(f"b{number}", source, (ev.Ref(task, attempt),)))
        end = ev.End(
            task, attempt, "failed", "launch_failed", message=message.format(task), source_fault=True
        )
        happen(ev.Ended((end,)))
        happen(ev.Requeued((ev.Delay(task, 0.0),)))
        live.look(sweep, records[seen:])
        seen = len(records)
    assert live.latest(10) == LaunchFailures(sweep).latest(10)
    assert len(live.latest(1)) == min(1, len(history))
    assert sum(len(group.tasks) for group in live.latest(10)) == len(
        {(task, source, message.split()[0]) for task, source, message in history}
    )


def test_what_never_ran_says_nothing_of_the_pace(tmp_path: Path):
    made = make(tmp_path / "s", [{"a": n} for n in range(6)], sources=(("hpc", "slurm", 4, (), True),))
    viewer = Viewer(made.root)
    live = Ends(viewer.sweep)
    made.start([0], "hpc")
    made.wait(7)
    made.end(0)
    made.launch([1, 2], "hpc")
    made.wait(1)
    made.commit(ev.Withdrawing("hpc", (ev.Ref(1, 1),)), ev.Withdrawn((ev.Ref(1, 1),)))
    made.end(2, "failed", kind="launch_failed", source_fault=True)
    made.start([3], "hpc")
    made.wait(5)
    made.end(3, "failed", kind="source_lost", source_fault=True, given_up=True)
    news = viewer.refresh()
    live.look(viewer.sweep, news.records)
    assert live.of("hpc") == Ends(viewer.sweep).of("hpc") == (made.clock.at - 6,)
