"""The job script of a Slurm array: directives from the config, then what every element does."""

from __future__ import annotations

from collections.abc import Mapping

from .scheduler import Array, job_body

_DIRECTIVES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "partition": ("--partition={}", ("SBATCH_PARTITION",)),
    "account": ("--account={}", ("SBATCH_ACCOUNT",)),
    "qos": ("--qos={}", ("SBATCH_QOS",)),
    "walltime": ("--time={}", ("SBATCH_TIMELIMIT",)),
    "cpus": ("--cpus-per-task={}", ("SBATCH_CPUS_PER_GPU",)),
    "mem": ("--mem={}", ("SBATCH_MEM_PER_CPU", "SBATCH_MEM_PER_GPU", "SBATCH_MEM_PER_NODE")),
    "gpus": ("--gres=gpu:{}", ("SBATCH_GRES", "SBATCH_GPUS*")),
}
"""Options of a source: the directive each makes, and the variables that would win over it (sbatch(1), INPUT
ENVIRONMENT VARIABLES)."""

OURS = (
    "SBATCH_ARRAY_INX", "SBATCH_JOB_NAME", "SBATCH_NO_REQUEUE", "SBATCH_REQUEUE", "SBATCH_OUTPUT", "SBATCH_ERROR",
    "SBATCH_INPUT", "SBATCH_OPEN_MODE", "SBATCH_WAIT", "SBATCH_CLUSTERS", "SLURM_CLUSTERS", "SBATCH_IGNORE_PBS",
)  # fmt: skip
"""Variables that would change what we count on."""
OUTER = ("SLURM_ARRAY_*", "SLURM_JOB_*", "SLURM_MEM_*", "SLURM_CPU*", "SLURM_GPU*", "SLURM_NTASKS*", "SLURM_TRES*",
         "SLURM_STEP*", "SLURM_TASK*")  # fmt: skip
"""Of a job that the engine itself may run in; sbatch refuses some of them together with options of ours."""

_TAKEN = ("array", "job-name", "requeue", "no-requeue", "output", "error", "input", "open-mode", "wrap", "parsable",
          "wait", "clusters", "chdir", "test-only", "hold", "ntasks", "nodes", "a", "J", "o", "e", "i", "W", "M", "D",
          "H", "n", "N", "kill-on-invalid-dep", "ignore-pbs")  # fmt: skip
"""Options that are not the user's to set: one attempt is one element on one node, named and logged by us."""


def unset_for(options: Mapping[str, str]) -> list[str]:
    """Variables that must not reach sbatch, so that what the config says counts; a site's other defaults stay."""
    names = [*OURS, *OUTER]
    for option, (_, variables) in _DIRECTIVES.items():
        if options.get(option):
            names += variables
    return names


def directives(array: Array, options: Mapping[str, str]) -> list[str]:
    """Without the throttle, which is given when it is submitted. Raises `ValueError` for a line of `extra`."""
    lines = [
        f"--job-name={array.name}",
        f"--array=0-{array.count - 1}",
        "--nodes=1",
        "--ntasks=1",
        # A new try is a new attempt, decided and journalled at home.
        "--no-requeue",
        # What an attempt says goes to its own files. This is for what keeps it from beginning.
        f"--output={array.log}",
        "--open-mode=append",
    ]
    lines += [form.format(options[name]) for name, (form, _) in _DIRECTIVES.items() if options.get(name)]
    for line in (options.get("extra") or "").splitlines():
        text = line.strip().removeprefix("#SBATCH").strip()
        word = text.partition(" ")[0].partition("=")[0]
        if not text:
            continue
        if not word.startswith("-"):
            raise ValueError(f"`extra: {line}` is no option of sbatch; write it like --exclusive")
        name = word[2:] if word.startswith("--") else word[1:2]
        if name in _TAKEN:
            raise ValueError(f"`extra: {line}`: {word} is set by spawn-tui itself; take it out of spawn.yaml")
        lines.append(text)
    return lines


def job_script(array: Array, root: str, options: Mapping[str, str]) -> str:
    """POSIX sh.

    It says nothing of `--export`: attempts get the environment that the user's own `sbatch` would give them (modules
    need the login's), and what they are told beyond that stands in their start scripts.
    """
    head = "".join(f"#SBATCH {line}\n" for line in directives(array, options))
    return f"#!/bin/sh\n{head}\n{job_body(array, root, '${SLURM_ARRAY_TASK_ID:-0}')}"
