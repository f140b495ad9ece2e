"""After a cancel: nothing of the sweep is left in any region, and what EC2 showed is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.aws.account import keep_account, other_account

from ..tui.build import Made
from .ec2_field import Emulated
from .test_verbs import alive, emulator, running, server, sweep, until
from .verbs_field import EAST, WEST, a_sweep, call, launch, source_name, states

__all__ = ["emulator", "server", "sweep"]
Capture = pytest.CaptureFixture[str]


def cancelled(sweep: Made, *tasks: int) -> None:
    for task in tasks:
        sweep.end(task, "cancelled")
    sweep.commit(ev.SweepEnded("cancelled"))


def test_what_is_left_in_any_region_is_ended_and_told(
    emulator: Emulated, sweep: Made, tmp_path: Path, capsys: Capture
):
    first, second = launch(sweep, emulator.cloud, [0, 1])
    (third,) = launch(sweep, emulator.cloud, [2], WEST)
    other = a_sweep(tmp_path / "other", suffix="def456")
    (theirs,) = launch(other, emulator.cloud, [0])
    running(emulator, [first, second, third, theirs])
    emulator.cloud.client("ec2", EAST).terminate_instances(InstanceIds=[first])
    until(lambda: states(emulator)[first] == "terminated")
    cancelled(sweep, 0, 1, 2)

    said = call(capsys, "cancel", "-y", sweep.id)

    assert said.status == 0, said.err
    assert alive(emulator) == {theirs}
    assert f"us-east-1: EC2 shows 1 shutting-down, 1 terminated; ended {second}" in said.out or (
        f"us-east-1: EC2 shows 2 terminated; ended {second}" in said.out
    )
    assert f"ended {third}" in said.out and WEST in said.out
    until(lambda: {states(emulator)[one] for one in (first, second, third)} == {"terminated"})
    again = call(capsys, "cancel", "-y", sweep.id)
    assert again.status == 0 and "us-east-1: EC2 shows 2 terminated\n" in again.out


def test_what_was_kept_on_purpose_stays(emulator: Emulated, sweep: Made, capsys: Capture):
    (identity,) = launch(sweep, emulator.cloud, [0], on_complete="stop")
    running(emulator, [identity])
    emulator.ask("POST", f"instances/{identity}/stop")
    until(lambda: states(emulator)[identity] == "stopped")
    sweep.end(0)
    sweep.commit(ev.SweepEnded("cancelled"))
    said = call(capsys, "cancel", "-y", sweep.id)
    assert said.status == 0 and alive(emulator) == {identity}
    assert "EC2 shows 1 stopped; 1 kept, as asked" in said.out


def test_a_region_that_does_not_answer_is_no_region_without_instances(
    emulator: Emulated, sweep: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    (identity,) = launch(sweep, emulator.cloud, [0], WEST)
    running(emulator, [identity])
    cancelled(sweep, 0)
    emulator.ask("POST", "faults", ready="unauthorized", region=WEST, action="DescribeInstances")
    said = call(capsys, "cancel", "-y", sweep.id)
    assert said.status == 1 and "us-west-2 could not be asked" in said.out and "ask again with" in said.err
    assert alive(emulator) == {identity}


def test_instances_of_another_account_are_not_believed_gone(emulator: Emulated, sweep: Made, capsys: Capture):
    (identity,) = launch(sweep, emulator.cloud, [0], WEST)
    cancelled(sweep, 0)
    keep_account(sweep.root, source_name(EAST), "999999999999")
    said = call(capsys, "cancel", "-y", sweep.id)
    assert said.status == 1 and "begun in account 999999999999" in said.out
    assert not alive(emulator) and f"ended {identity}" in said.out
    assert not other_account(sweep.root, source_name(WEST), "123456789012")


def test_a_sweep_that_goes_on_is_left_alone(emulator: Emulated, sweep: Made, capsys: Capture, monkeypatch):
    monkeypatch.setattr("spawn_tui.tui.cli.after_cancel.ENGINE_LIMIT", 0.2)
    (identity,) = launch(sweep, emulator.cloud, [0])
    running(emulator, [identity])
    cancelled(sweep, 0)
    sweep.engine()
    try:
        said = call(capsys, "cancel", "-y", sweep.id)
    finally:
        assert sweep.lock is not None
        sweep.lock.release()
    assert said.status == 1 and alive(emulator) == {identity} and "was not asked" in said.err
