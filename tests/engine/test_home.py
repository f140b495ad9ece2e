from __future__ import annotations

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.home import Home
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.engine.sweep import Sweep, apply
from spawn_tui.state.layout import SweepLayout


@pytest.mark.parametrize("left", [None, ""], ids=["missing", "empty"])
def test_a_status_that_an_engine_died_over_is_written_again(tmp_path, left) -> None:
    layout = SweepLayout(tmp_path)
    home = Home(layout, Plan("s", "spawn", (PlannedTask("", {"a": 1}),)))
    home.create(b"")
    home.prepare(0, 1)
    status = layout.attempt("task_001", 1) / "status.yaml"
    if left is not None:
        status.write_text(left)
    sweep = Sweep()
    events = [
        ev.SweepCreated("s-20260101-abc123", "s", 1),
        ev.SourceAdded("local", "local", 1),
        ev.Launching("b1", "local", (ev.Ref(0, 1),)),
        ev.Ended((ev.End(0, 1, "completed", exit_code=0),)),
    ]
    for seq, event in enumerate(events, 1):
        apply(sweep, ev.Record(seq, 100.0 + seq, event))
    home.repair(sweep)
    assert 'status: "COMPLETED"' in status.read_text()
