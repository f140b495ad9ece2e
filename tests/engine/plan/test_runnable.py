"""Which plans sources of some kinds can run, and the words for those that they cannot."""

from __future__ import annotations

import pytest
from spawn_tui.engine.plan import PlanError, asks_for_ec2, why_not_runnable
from spawn_tui.engine.plan.runnable import names_ec2

from .helpers import plan

SCRIPT = "defaults: {instance_type: t3.micro, user_data: 'echo hi'}\nparams: [{x: 1}, {instance_type: g5.xlarge}]\n"
MFCL = "grid: [{params: {lr: 1}}]"


@pytest.mark.parametrize("kinds", [("local",), ("ssh", "slurm"), ("ec2",), ("local", "ec2"), ()])
def test_what_has_a_command_runs_anywhere(kinds: tuple[str, ...]):
    assert why_not_runnable(plan("grid: {lr: [1]}\ncommand: t"), kinds) is None
    assert why_not_runnable(plan(SCRIPT, command="t"), kinds) is None
    assert why_not_runnable(plan(MFCL, command="python t.py"), kinds) is None
    assert why_not_runnable(plan("script: t.py\ngrid: [{params: {lr: 1}}]"), kinds) is None


@pytest.mark.parametrize(
    ("text", "kinds", "said"),
    [
        ("grid: {lr: [1]}", ["local"], ["there is no command to run", "--command", "`command:`"]),
        ("grid: {lr: [1]}", ["ssh", "slurm"], ["there is no command to run"]),
        ("grid: {lr: [1]}", ["ec2"], ["no command and no `user_data`", "no `ttl`", "--command"]),
        ("grid: {lr: [1]}", ["local", "ec2"], ["no command and no `user_data`"]),
        (SCRIPT, ["local"], ["runs on instances only", "--sources ec2", "on local instead"]),
        (SCRIPT, ["ssh", "slurm"], ["on ssh, slurm instead"]),
        (SCRIPT, [], ["on this machine instead"]),
        (MFCL, ["local"], ["torchrun", "--command"]),
        (MFCL, ["ec2"], ["torchrun"]),
    ],
)
def test_why_a_plan_without_a_command_does_not_run(text: str, kinds: list[str], said: list[str]):
    reason = why_not_runnable(plan(text), kinds)
    assert reason is not None
    for words in said:
        assert words in reason


def test_an_instance_does_something_by_itself_or_ends_by_itself():
    """A script is the task; and to have an instance for a while is what some want of a sweep."""
    assert why_not_runnable(plan(SCRIPT), ["ec2"]) is None
    assert why_not_runnable(plan(SCRIPT), ["local", "ec2"]) is None
    assert why_not_runnable(plan("params: [{x: 1, ttl: 2h}]"), ["ec2"]) is None
    assert why_not_runnable(plan("params: [{x: 1, idle_timeout: 15m}]"), ["ec2"]) is None
    assert why_not_runnable(plan("params: [{x: 1, instance_type: t3.micro}]"), ["ec2"]) is not None
    assert why_not_runnable(plan("params: [{x: 1, instance_type: t3.micro}]"), ["ec2"], ends=True) is None
    assert (
        why_not_runnable(plan("params: [{x: 1, instance_type: t3.micro}]"), ["local"], ends=True) is not None
    )


@pytest.mark.parametrize(
    ("text", "asks", "names"),
    [
        (SCRIPT, True, False),
        ("params: [{x: 1}]\ncommand: t", False, False),
        ("params: [{x: 1}]\ncommand: t\nsources: ec2:us-east-1:5", True, True),
        ("params: [{x: 1}]\ncommand: t\nsources: [local:2, ' ec2']", True, True),
        ("params: [{x: 1}]\ncommand: t\nsources: [ec2-of-mine]", False, False),
        ("count: 200\nregions: [{us-east-1: 100}, {us-west-2: 100}]\ncommand: t", True, False),
        ("defaults: {count: 3}\ncommand: t", True, False),
        ("params: [{x: 1, count: 3, regions: [us-east-1]}]\ncommand: t", False, False),
    ],
)
def test_who_asks_for_ec2(text: str, asks: bool, names: bool):
    made = plan(text)
    assert (asks_for_ec2(made), names_ec2(made)) == (asks, names)


def test_a_file_may_give_nothing_but_a_number():
    """The operations guide's 200 tasks have no parameters."""
    made = plan("count: 200\nregions: [{us-east-1: 100}, {us-west-2: 100}]\ncommand: t")
    (task,) = made.tasks
    assert not task.params and task.launch["count"] == 200
    with pytest.raises(PlanError, match="neither `params` nor `grid`"):
        plan("instance_type: t3.micro\ncommand: t")
