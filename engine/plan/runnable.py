"""Whether a plan's tasks can be run by this version, and if not, why not and what to do, in words."""

from __future__ import annotations

from .model import Plan

_HOW = 'give one with --command "python train.py --lr {lr}", or write `command:` in the file'


def asks_for_ec2(plan: Plan) -> bool:
    """True if a task names the instance it wants, or an `ec2:` source is chosen."""
    return any("instance_type" in task.launch for task in plan.tasks) or names_ec2(plan)


def names_ec2(plan: Plan) -> bool:
    """True if the plan's own sources include EC2."""
    return any(source.strip().split(":")[0] == "ec2" for source in plan.sources)


def why_not_runnable_here(plan: Plan) -> str | None:
    """The reason, for the user, why this version can launch no task of `plan`; None if it can."""
    if names_ec2(plan):
        return (
            f"the sweep asks for EC2 (sources: {', '.join(plan.sources)}), which this version cannot launch; "
            "to run its command on this machine instead, give --sources local"
        )
    if plan.command is not None:
        return None
    if plan.dialect == "mfcl":
        return (
            "this is an MFCL grid, whose runs are started by torchrun; this version shows them but "
            'cannot start them. To run each with a command of your own, give --command "python train.py"'
        )
    if asks_for_ec2(plan):
        types = list(
            dict.fromkeys(str(t.launch["instance_type"]) for t in plan.tasks if "instance_type" in t.launch)
        )
        shown = ", ".join(types[:3]) + (", …" if len(types) > 3 else "")
        script = (
            " Its `user_data` runs on instances only."
            if any("user_data" in t.launch for t in plan.tasks)
            else ""
        )
        return (
            f"the sweep asks for EC2 (instance_type: {shown}), which this version cannot launch, and has no "
            f"command to run here.{script} To run it on this machine, give "
            '--sources local --command "python train.py --lr {lr}"'
        )
    return f"there is no command to run; {_HOW}"
