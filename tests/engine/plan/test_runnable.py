"""Which plans can be launched here, and the words for those that cannot."""

# One case, one line: the tables are read down.

from __future__ import annotations

from spawn_tui.engine.plan import asks_for_ec2, why_not_runnable_here

from .helpers import plan

EC2 = "defaults: {instance_type: t3.micro, user_data: 'echo hi'}\nparams: [{x: 1}, {instance_type: g5.xlarge}]\n"


def test_a_file_that_asks_for_ec2_is_refused_in_words():
    reason = why_not_runnable_here(plan(EC2))
    assert reason is not None
    assert "asks for EC2 (instance_type: t3.micro, g5.xlarge), which this version cannot launch" in reason
    assert "`user_data` runs on instances only" in reason
    assert "--sources local --command" in reason
    assert why_not_runnable_here(plan(EC2, sources=("local",))) == reason
    assert asks_for_ec2(plan(EC2))


def test_a_command_makes_it_run_here():
    assert why_not_runnable_here(plan(EC2, command="t")) is None
    assert why_not_runnable_here(plan(EC2 + "command: t")) is None


def test_ec2_as_a_source_is_refused_even_with_a_command():
    reason = why_not_runnable_here(
        plan("params: [{x: 1}]\ncommand: t\nsources: [local:2, 'ec2:us-east-1:5']")
    )
    assert reason is not None
    assert "sources: local:2, ec2:us-east-1:5" in reason
    assert (
        why_not_runnable_here(plan("params: [{x: 1}]\ncommand: t\nsources: ec2:r:5", sources=("local",)))
        is None
    )


def test_a_plan_without_a_command_is_told_how_to_give_one():
    reason = why_not_runnable_here(plan("grid: {lr: [1]}"))
    assert reason is not None
    assert reason.startswith(
        'there is no command to run; give one with --command "python train.py --lr {lr}"'
    )


def test_mfcl_is_shown_but_not_started():
    reason = why_not_runnable_here(plan("grid: [{params: {lr: 1}}]"))
    assert reason is not None
    assert "torchrun" in reason
    assert why_not_runnable_here(plan("grid: [{params: {lr: 1}}]", command="python t.py")) is None
    assert why_not_runnable_here(plan("script: t.py\ngrid: [{params: {lr: 1}}]")) is None
