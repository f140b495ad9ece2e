"""Whether a plan's tasks can be run by the sources that are chosen, and if not, why not and what to do, in words."""

from __future__ import annotations

from collections.abc import Collection

from .model import Plan, PlannedTask

_HOW = 'give one with --command "python train.py --lr {lr}", or write `command:` in the file'
CLOUD = "ec2"


def asks_for_ec2(plan: Plan) -> bool:
    """True if a task names the instance it wants, or is one of several without parameters, or an `ec2:` source is
    chosen.
    """
    return any(_asks(task) for task in plan.tasks) or names_ec2(plan)


def _asks(task: PlannedTask) -> bool:
    # Beside parameters `count` and `regions` may be meant for the program.
    return "instance_type" in task.launch or (
        not task.params and not task.launch.keys().isdisjoint(("count", "regions"))
    )


def names_ec2(plan: Plan) -> bool:
    """True if the plan's own sources include EC2."""
    return any(source.strip().split(":")[0] == CLOUD for source in plan.sources)


def why_not_runnable(plan: Plan, kinds: Collection[str], *, ends: bool = False) -> str | None:
    """The reason, for the user, why sources of these kinds can run no task of `plan`; None if they can.

    `ends`: the sources themselves say when an instance ends that has nothing to run.
    """
    if plan.command is not None:
        return None
    if plan.dialect == "mfcl":
        return (
            "this is an MFCL grid, whose runs are started by torchrun; this version shows them but "
            'cannot start them. To run each with a command of your own, give --command "python train.py"'
        )
    if CLOUD in kinds:
        if ends or any(
            "user_data" in task.launch or "ttl" in task.launch or "idle_timeout" in task.launch
            for task in plan.tasks
        ):
            return None
        return (
            f"there is no command and no `user_data` to run on EC2, and no `ttl` to end the instances; {_HOW}"
        )
    if any("user_data" in task.launch for task in plan.tasks):
        return (
            "the sweep's `user_data` runs on instances only: launch it with --sources ec2. To run a command on "
            f'{", ".join(kinds) or "this machine"} instead, give --command "python train.py --lr {{lr}}"'
        )
    return f"there is no command to run; {_HOW}"
