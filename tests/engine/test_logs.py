"""The logs people read: who got what, how busy and how well the sources are, and a file for each of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.home import Home
from spawn_tui.engine.logs import source_log
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.state.layout import SweepLayout

from .histories import History, created

FAR = "ada@far:22"


def tell(folder: Path, *later: ev.Event, seconds: float = 0.0) -> SweepLayout:
    """The logs of a small sweep, of which each event is a commit of its own."""
    layout = SweepLayout(folder)
    home = Home(layout, Plan("s", "spawn", tuple(PlannedTask("", {"a": n}) for n in range(3))))
    home.create(b"")
    history = History()
    first = (
        created(3), ev.SourceAdded(FAR, "ssh", 2), ev.EngineStarted(1, "host", 7),
        ev.Launching("b1", FAR, (ev.Ref(0, 1), ev.Ref(1, 1))),
    )  # fmt: skip
    for event in (*first, *later):
        history.add(event)
        home.record(history.sweep, history.records[-1:])
        history.now += seconds
    home.close()
    return layout


def lines(layout: SweepLayout, name: str) -> list[str]:
    """Without their times."""
    return [line.partition(" ")[2] for line in (layout.logs / name).read_text().splitlines()]


def test_every_attempt_stands_in_the_assignments(tmp_path: Path) -> None:
    assert lines(tell(tmp_path), "task_assignments.log") == [
        f"task_001 attempt 1 on {FAR}, batch b1",
        f"task_002 attempt 1 on {FAR}, batch b1",
    ]


def test_what_concerns_a_source_stands_in_its_own_log(tmp_path: Path) -> None:
    layout = tell(
        tmp_path,
        ev.SourceStrike(FAR, "no answer"),
        ev.Ended((ev.End(0, 1, "completed", exit_code=0), ev.End(1, 1, "failed", "exit", 3))),
    )
    name = source_log(FAR)
    assert lines(layout, name) == [
        f"source {FAR}: 2 slots",
        f"launching task_001, task_002 on {FAR}",
        f"source {FAR}: strike: no answer",
        "task_001 completed, exit status 0",
        "task_002 failed: exit, exit status 3",
    ]
    assert "task_001 completed, exit status 0" not in lines(layout, "sweep.log")
    assert "task_002 failed: exit, exit status 3" in lines(layout, "sweep.log")


def test_health_has_a_log_of_its_own(tmp_path: Path) -> None:
    layout = tell(
        tmp_path,
        ev.SourceHealth(FAR, "degraded", 12.4, None, 95.0, 0.5, "3 waiting"),
        ev.SourceDisabled(FAR, "no route"),
        ev.Waiting(FAR, "b1", 2, "Resources"),
    )
    assert lines(layout, "health_status.log")[1:] == [
        f"source {FAR} is degraded: cpu 12 %, disk 95 %, load 0.50 per core, 3 waiting",
        f"source {FAR} disabled: no route",
    ]


def test_utilization_is_told_once_a_minute_and_when_an_engine_comes_or_goes(tmp_path: Path) -> None:
    layout = tell(tmp_path, *[ev.Note("x")] * 5, ev.EngineStopped("told to"), seconds=20.0)
    told = lines(layout, "source_utilization.log")
    assert (
        told
        == [f"{FAR}: 0 of 2 slots, 0 waiting, 0 completed, 0 failed"]
        + [f"{FAR}: 2 of 2 slots, 0 waiting, 0 completed, 0 failed"] * 3
    )


def test_a_recovered_attempt_is_the_one_the_task_shows(tmp_path: Path) -> None:
    layout = SweepLayout(tmp_path)
    home = Home(layout, Plan("s", "spawn", (PlannedTask("", {"a": 1}),)))
    home.create(b"")
    history = History(created(1), ev.SourceAdded("far", "ssh", 1))
    for number in (1, 2):
        history.add(ev.Launching(f"b{number}", "far", (ev.Ref(0, number),)))
        home.prepare(0, number)
        history.add(
            ev.Ended((ev.End(0, number, "failed", "source_lost", source_fault=True, given_up=True),)),
            ev.Requeued((ev.Delay(0, 0.0),)),
        )
    assert (tmp_path / "tasks/task_001").resolve().name == "task_001.2"
    history.add(ev.Recovered((ev.End(0, 1, "completed", exit_code=0),)))
    home.record(history.sweep, history.records[-1:])
    home.close()
    assert (tmp_path / "tasks/task_001").resolve().name == "task_001.1"
    assert 'status: "COMPLETED"' in (tmp_path / "tasks/task_001/status.yaml").read_text()


@pytest.mark.parametrize("name", ["../../etc/passwd", ".hidden", "a/b", "ada@far:22", "é"])
def test_a_name_never_leaves_the_folder(name: str) -> None:
    file = source_log(name)
    assert file.startswith("sources/") and file.count("/") == 1 and not file.startswith("sources/.")
    assert source_log(name.replace("/", "_")) != file or "/" not in name


def test_a_plain_name_is_its_own() -> None:
    assert source_log("server1") == "sources/server1.log"
