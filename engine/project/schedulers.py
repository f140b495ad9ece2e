"""Whether a cluster's scheduler would take a job such as the source's options ask for. Nothing is submitted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Literal, cast

from ..remote.host import Host
from ..sources.registry import SourceSpec
from . import probe

_Line = tuple[str, Literal["ok", "warn", "FAIL"], str]
_SLURM = {
    "partition": "--partition", "account": "--account", "qos": "--qos", "walltime": "--time",
    "cpus": "--cpus-per-task", "mem": "--mem", "gpus": "--gpus",
}  # fmt: skip
"""Options of a source and of sbatch(1)."""


def check_scheduler(host: Host, spec: SourceSpec, tools: set[str]) -> Iterator[_Line]:
    """Raises `HostAway` and `HostRefused`."""
    kind = spec.kind
    if kind == "hpc":
        kind = "slurm" if "sbatch" in tools else "pbs"
    needed = ("sbatch", "squeue", "scancel") if kind == "slurm" else ("qsub", "qstat", "qdel")
    missing = [name for name in needed if name not in tools]
    if missing:
        where = host.name if spec.options.get("host") else "this machine"
        hint = "name the login node with host in spawn.yaml" if not spec.options.get("host") else (
            "load it in the start-up files that a login without a terminal reads (~/.bashrc, ~/.profile)"
        )  # fmt: skip
        what = "neither Slurm nor PBS" if spec.kind == "hpc" else f"no {', '.join(missing)}"
        yield "scheduler", "FAIL", f"{what} on the PATH of {where}; {hint}"
        return
    yield from _slurm(host, spec.options) if kind == "slurm" else _pbs(host, spec.options)


def _slurm(host: Host, options: Mapping[str, str]) -> Iterator[_Line]:
    trial = [f"{flag}={options[name]}" for name, flag in _SLURM.items() if options.get(name)]
    trial += [line for line in options.get("extra", "").split("\n") if line]
    answers = probe.ask_commands(
        host,
        {
            "version": ["sbatch", "--version"],
            "partitions": ["sinfo", "-h", "-o", "%R %a %l %D"],
            "settings": ["scontrol", "show", "config"],
            "trial": ["sbatch", "--test-only", *trial, "--wrap", "true"],
        },
    )
    said, status = answers.said, answers.status
    if status["partitions"]:
        yield "scheduler", "FAIL", f"Slurm does not answer: {_last(said, 'partitions')}; is slurmctld up?"
        return
    limit = next(
        (
            line.partition("=")[2].strip()
            for line in said.get("settings", [])
            if line.startswith("MaxArraySize")
        ),
        "",
    )
    about = f"{_last(said, 'version')}{f', arrays up to {limit}' if limit else ''}"
    yield "scheduler", "ok", about
    partitions = {line.split()[0]: line.split() for line in said.get("partitions", []) if line.strip()}
    shown = ", ".join(
        f"{name} ({words[1]}, {words[2]}, {words[3]} nodes)" for name, words in partitions.items()
    )
    wanted = options.get("partition", "")
    unknown = [name for name in wanted.split(",") if name and name not in partitions]
    if unknown:
        yield "partition", "FAIL", f"there is no partition {', '.join(unknown)}; there are: {shown}"
        return
    down = [name for name in (wanted.split(",") if wanted else []) if partitions[name][1] != "up"]
    yield (
        "partition",
        "warn" if down else "ok",
        f"{f'{down[0]} is not up; ' if down else ''}{shown or 'none'}",
    )
    if status["trial"]:
        yield "trial job", "FAIL", f"Slurm would refuse a task's job: {_last(said, 'trial')}"
    else:
        yield "trial job", "ok", f"Slurm would take a task's job: {_last(said, 'trial')}"


def _pbs(host: Host, options: Mapping[str, str]) -> Iterator[_Line]:
    answers = probe.ask_commands(
        host,
        {
            "version": ["qstat", "--version"],
            "server": ["qstat", "-Bf", "-F", "json"],
            "queues": ["qstat", "-Qf", "-F", "json"],
        },
    )
    said = answers.said
    servers, queues = _objects(answers, "server", "Server"), _objects(answers, "queues", "Queue")
    if not servers:
        yield "scheduler", "FAIL", f"PBS does not answer: {_last(said, 'server')}; is its server up?"
        return
    name, server = next(iter(servers.items()))
    limit = server.get("max_array_size")
    about = f"{_last(said, 'version')}; server {name}{f', arrays up to {limit}' if limit else ''}"
    yield "scheduler", "ok", about
    wanted = options.get("queue") or options.get("partition") or str(server.get("default_queue", ""))
    shown = ", ".join(queues) or "none"
    if wanted and wanted not in queues:
        yield "queue", "FAIL", f"there is no queue {wanted}; there are: {shown}"
        return
    closed = [word for word in ("enabled", "started") if wanted and queues[wanted].get(word) != "True"]
    if closed:
        yield "queue", "warn", f"{wanted} is not {' and not '.join(closed)}; there are: {shown}"
    else:
        yield "queue", "ok", shown


def _objects(answers: probe.Answers, name: str, kind: str) -> dict[str, dict[str, object]]:
    """The objects of one kind in what a command answered in JSON; none if it failed."""
    if answers.status[name]:
        return {}
    try:
        document = cast(
            "dict[str, dict[str, dict[str, object]]]", json.loads("\n".join(answers.said.get(name, [])))
        )
    except ValueError:
        return {}
    return document.get(kind, {})


def _last(said: Mapping[str, list[str]], name: str) -> str:
    lines = [line.strip() for line in said.get(name, []) if line.strip()]
    return lines[-1][:300] if lines else "it says nothing"
