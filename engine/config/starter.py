"""The files `init` writes: a `spawn.yaml` that explains itself, and an example sweep that can be launched."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ..sources.registry import KINDS
from .grammar import NAME

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True, slots=True)
class Starter:
    """What shall be written. What is only a guess is written as a comment."""

    slots: int
    script: str | None = None
    python: str = "python3"
    uses_hydra: bool = False
    scheduler: str | None = None
    """`slurm` or `pbs`: the cluster this machine submits to."""
    scheduler_is_guess: bool = False
    partitions: Sequence[str] = ()
    conda_env: str | None = None
    ssh_hosts: Sequence[str] = ()
    ssh_guesses: Sequence[str] = ()
    used: Sequence[str] = ("local",)
    """The sources of a launch that names none: `local`, the cluster's kind, or hosts."""


def config_text(starter: Starter) -> str:
    """The text of `spawn.yaml`."""
    lines = [
        "# Where the sweeps of this project run, and how. `spawn-tui sources` checks this file and lists its sources.",
        "# Everything can be left out. ~/.spawn/config.yaml has the same form and holds for all projects; what stands",
        "# here wins.",
        "",
        "sources:",
        "  local:",
        "    type: local",
        f"    max_tasks: {starter.slots}            # tasks at a time",
    ]
    if starter.scheduler is not None and starter.scheduler_is_guess:
        lines += ["", "  # Its commands are here, and gave no answer.", *_commented(_cluster(starter))]
    elif starter.scheduler is not None:
        lines += ["", *_cluster(starter)]
    for host in starter.ssh_hosts:
        lines += ["", *_host(host, starter)]
    if starter.ssh_guesses or not starter.ssh_hosts:
        lines += ["", "  # Machines reached by SSH; take the marks off those you want to use.", ""]
        for host in starter.ssh_guesses or ("server1",):
            lines += [*_commented(_host(host, starter)), ""]
        lines.pop()
    lines += ["", *_REST.format(names=", ".join(map(_name_used, starter.used))).splitlines()]
    return "\n".join(lines) + "\n"


def sweep_text(starter: Starter) -> str:
    """The text of the example sweep: four tasks."""
    if starter.script is None:
        command = "echo learning_rate={learning_rate} batch_size={batch_size}"
        how = ["# What each task runs. {name} is a parameter's value; each is also there as PARAM_<name>."]
    elif starter.uses_hydra:
        command = f"{_word(starter.python)} {_word(starter.script)}"
        how = ["# Hydra overrides (learning_rate=0.001) are put behind the command.", "args: hydra"]
    else:
        command = (
            f"{_word(starter.python)} {_word(starter.script)} "
            "--learning_rate {learning_rate} --batch_size {batch_size}"
        )
        how = [
            "# {name} is a parameter's value; each is also there as PARAM_<name> in the environment.",
            "# Write the names that your script knows.",
        ]
    return "\n".join(
        [
            "# One task for each combination: 2 x 2 = 4 tasks.",
            "#   spawn-tui launch sweeps/example.yaml --dry-run     shows them, and runs nothing",
            "#   spawn-tui launch sweeps/example.yaml",
            "grid:",
            "  learning_rate: [0.001, 0.01]",
            "  batch_size: [32, 64]",
            "",
            *how,
            f"command: {json.dumps(command, ensure_ascii=False)}",
            "",
            "# retries: 2             # try a failed task again",
            "# timeout: 2h            # end a task that takes longer",
            "",
        ]
    )


def _cluster(starter: Starter) -> list[str]:
    kind = starter.scheduler
    queue = "partition" if kind == "slurm" else "queue"
    lines = [f"  {kind}:", f"    type: {kind}", "    max_tasks: 16           # tasks that may run at a time"]
    if starter.partitions:
        also = f"  # there are: {', '.join(starter.partitions)}" if len(starter.partitions) > 1 else ""
        lines.append(f"    {queue}: {_scalar(starter.partitions[0])}{also}")
    else:
        lines.append(f"    # {queue}: NAME")
    if starter.conda_env:
        lines.append(f"    conda_env: {_scalar(starter.conda_env)}")
    return [
        *lines,
        "    # walltime: 4h          # longest time of a task; also account, qos, cpus, mem, gpus, modules, setup",
        "    # host: login           # a login node to submit from; without it, this machine",
    ]


def _host(host: str, starter: Starter) -> list[str]:
    name = _name(host)
    lines = [f"  {name}:", "    type: ssh"]
    if name != host:
        lines.append(f"    host: {_scalar(host)}")
    lines.append("    max_tasks: 4")
    if starter.conda_env:
        lines.append(f"    conda_env: {_scalar(starter.conda_env)}")
    return [
        *lines,
        "    # project_dir: PATH      # the project's folder there; also user, port, ssh_key, python, setup",
    ]


def _commented(lines: Sequence[str]) -> list[str]:
    return [f"  # {line[2:]}" for line in lines]


def _name_used(source: str) -> str:
    return source if source in KINDS else _name(source)


def _name(host: str) -> str:
    """The source's name: the host's, as far as `--sources` can say it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-")[:63]
    return name if NAME.fullmatch(name) and not name.isdigit() and name not in KINDS else f"host-{name}"[:63]


def _scalar(text: str) -> str:
    """`text` as YAML has it, in quotes where it could be read as something else."""
    return (
        text
        if _PLAIN.fullmatch(text) and text.lower() not in _WORDS
        else json.dumps(text, ensure_ascii=False)
    )


def _word(text: str) -> str:
    """One word of the command: quoted for the shell, its braces no placeholders."""
    return shlex.quote(text.replace("{", "{{").replace("}", "}}"))


_REST = """\
# Instances of AWS EC2 are a source as well: one for each task. (The next lines belong to `sources:` above.)
#   ec2:
#     type: ec2
#     instance_type: t3.micro  # a task may ask for another
#     max_tasks: 20            # instances at a time; without it, all at once
#     ttl: 2h                  # an instance ends then, whatever it does; also idle_timeout, on_complete
#     spot: false              # also spot_max_price, spot_fallback
#     region: us-east-1        # without it, where the tasks say; also profile, ami, key_name, iam_policy, bucket

# What a launch does where neither the command line nor the sweep's file says.
defaults:
  sources: [{names}]
  # strategy: round_robin   # or least_loaded, random, fastest
  # max_concurrent: 32      # over all sources
  # retries: 1
  # timeout: 2h
  # output_dir: sweeps/outputs

# When a source is disabled, and tried again. These are the built-in rules.
# health:
#   grace: 5m               # unreachable for longer: its tasks go elsewhere
#   strikes: 3              # failures in a row to reach it, or to launch there
#   failure_rate: 40%       # of its tasks, if the other sources do clearly better
#   failure_tasks: 5        # and at least so many have ended
#   cooldown: 5m            # before one task probes it again
#   probes: 3
#   withdraw_after: 5s      # a queued task may then be taken back for a free slot elsewhere

# How the project is compared with its copies elsewhere. .gitignore is honoured anyway.
# sync:
#   exclude: [data/, "*.ckpt"]

# How outputs come home.
# collect:
#   interval: 30s
#   max_size: 1G            # larger files stay there
#   exclude: ["*.tmp"]
"""
