"""The job script of an array: its directives, and the lines that make of an element its attempt's runner."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from .scheduler import Array, job_body


def wrong_options(options: Mapping[str, str]) -> str:
    """What is asked for that PBS cannot be asked for, and the remedy; empty if nothing is."""
    if options.get("qos"):
        return "qos is a word of Slurm and PBS has none; remove it from spawn.yaml"
    if ":" in options.get("gpus", ""):
        return (
            f"gpus: {options['gpus']} names a kind of GPU, for which PBS has no common word; write gpus: N, "
            f"or the site's own words under `extra`, in spawn.yaml (-l select=1:ncpus=8:ngpus=1:gpu_model=a100)"
        )
    return ""


def job_script(array: Array, root: str, options: Mapping[str, str]) -> str:
    """See `Scheduler.job_script`. How many may run at once stands in no directive: it is known at submission."""
    # What the job says goes to our own log: PBS would make a file of each element.
    log = shlex.quote(f"{root}/{array.log}")
    body = f"exec >>{log} 2>&1\n" + job_body(array, root, "${PBS_ARRAY_INDEX:-0}")
    directives = "".join(f"#PBS {words}\n" for words in _directives(array, options))
    return f"#!/bin/sh\n{directives}{_in_its_group(body)}"


def _directives(array: Array, options: Mapping[str, str]) -> list[str]:
    """In the words of qsub(1B); `extra`, the site's own, comes last."""
    extra = options.get("extra", "").splitlines()
    out = ["-S /bin/sh", f"-N {array.name}", "-r n", "-j oe", "-o /dev/null", "-m n"]
    if options.get("queue"):
        out.append(f"-q {options['queue']}")
    if options.get("account"):
        out.append(f"-A {options['account']}")
    chunk = [
        f"{key}={text}"
        for key, text in (
            ("ncpus", options.get("cpus", "")), ("mem", _memory(options.get("mem", ""))),
            ("ngpus", options.get("gpus", "")),
        )
        if text and text != "0"
    ]  # fmt: skip
    if chunk and not any("select=" in line for line in extra):
        out.append(f"-l select=1:{':'.join(chunk)}")
    if options.get("walltime"):
        out.append(f"-l walltime={options['walltime']}")
    return [*out, *(line.removeprefix("#PBS").strip() for line in extra if line.strip())]


def _in_its_group(body: str) -> str:
    """Lines that run `body` as the leader of a process group, in the session it is in.

    PBS runs a job script as a child of the job's shell, and the runner must lead a group. A session of its own, as
    setsid makes, would hide it from qdel and from the walltime, which go by that; `body` falls back on it.
    """
    return f"""\
if {{ read -r stat </proc/$$/stat; }} 2>/dev/null; then
	set -- ${{stat##*) }}
	if [ "$3" != "$$" ] && command -v perl >/dev/null 2>&1; then
		exec perl -e 'setpgrp(0, 0); exec @ARGV; die "sh: $!"' /bin/sh -c {shlex.quote(body)}
	fi
fi
{body}"""


def _memory(text: str) -> str:
    """`16G` in PBS's spelling, `16gb` (pbs_resources(7B))."""
    return f"{text.lower()}b" if text else ""
