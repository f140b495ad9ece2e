"""Slurm's words in ours: states, reasons, refusals. Pure.

States are those of squeue(1), JOB STATE CODES, and sacct(1); reasons those of squeue(1), JOB REASON CODES.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ..events import FailureKind
from .scheduler import Element, QueueState, Refused, Standing, expand

_STANDING: Mapping[str, Standing] = {
    "PENDING": "waiting", "CONFIGURING": "waiting", "REQUEUED": "waiting", "REQUEUE_FED": "waiting",
    "REQUEUE_HOLD": "waiting", "RESV_DEL_HOLD": "waiting", "SPECIAL_EXIT": "waiting",
    "RUNNING": "running", "SUSPENDED": "running", "STOPPED": "running", "RESIZING": "running",
    "SIGNALING": "running", "STAGE_OUT": "ending", "COMPLETING": "ending",
}  # fmt: skip
"""What is not here has ended: COMPLETED, FAILED, and what a later version may add."""

_ENDS: Mapping[str, tuple[FailureKind | None, str]] = {
    "TIMEOUT": ("timeout", "Slurm ended it at its walltime; ask for a longer one"),
    "DEADLINE": ("timeout", "Slurm ended it at its deadline"),
    "OUT_OF_MEMORY": ("out_of_memory", "Slurm ended it: it used more memory than it asked for"),
    "NODE_FAIL": ("source_lost", "its node failed (NODE_FAIL)"),
    "BOOT_FAIL": ("source_lost", "its node did not boot (BOOT_FAIL)"),
    "LAUNCH_FAILED": ("source_lost", "Slurm could not start it on its node (LAUNCH_FAILED)"),
    "RECONFIG_FAIL": ("source_lost", "its node could not be prepared (RECONFIG_FAIL)"),
    "PREEMPTED": ("source_lost", "it made room for a job that goes first (PREEMPTED)"),
    "REVOKED": ("source_lost", "another cluster of the federation took it (REVOKED)"),
}
_NEVER = re.compile(
    r"PartitionConfig|PartitionNodeLimit|PartitionTimeLimit|BadConstraints|DependencyNeverSatisfied"
    r"|InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed|(Assoc|QOS)Max\w+PerJob\w*|AssociationTimeLimit"
    r"|QOSTimeLimit|Assoc\w*MaxWallDurationPerJob\w*"
)
"""Reasons that time does not cure. Not among them: what an administrator holds, drains or takes down may come back."""
_LAUNCH = re.compile(r"JobLaunchFailure|Prolog|RaisedSignal:53")

_AWAY = re.compile(
    r"Unable to contact slurm controller|Socket timed out|Connection (refused|timed out|reset)|Zero Bytes were"
    r"|Communication connection failure|Transport endpoint|[Mm]unge|authentication (error|credential)|standby mode"
    r"|temporarily (un|not )able|Resource temporarily unavailable|Unable to contact slurm database"
)
_SLURM_SAYS = re.compile(r"^(sbatch|squeue|scontrol|scancel|sacct|sinfo): (error: |fatal: )?")

_REFUSALS: tuple[tuple[str, bool, str], ...] = (
    (r"MaxSubmit", False,
     "the cluster takes no more jobs of yours at a time; give this source fewer tasks, or wait for others to end"),
    (r"(QOS|Assoc)\w*Wall\w*", True, "set a shorter `walltime` in spawn.yaml (sacctmgr show qos)"),
    (r"(QOS|Assoc)\w*PerJob\w*", True, "ask for fewer `cpus`, `gpus` or less `mem` in spawn.yaml (sacctmgr show qos)"),
    (r"[Ii]nvalid partition", True, "set `partition` in spawn.yaml"),
    (r"Invalid account|account/partition", True, "set `account` in spawn.yaml (sacctmgr show associations user=$USER)"),
    (r"[Ii]nvalid qos", True, "set `qos` in spawn.yaml (sacctmgr show qos)"),
    (r"group not permitted|not permitted to use this partition|Access/permission denied", True,
     "choose another `partition` or `account` in spawn.yaml, or ask the cluster's administrators"),
    (r"[Mm]emory (specification|required)|--mem\b", True, "ask for less `mem` in spawn.yaml (sinfo -o '%P %m')"),
    (r"generic resource|gres|GRES|TRES", True, "check `gpus` in spawn.yaml (sinfo -o '%P %G')"),
    (r"node configuration is not available|More processors requested|[Nn]ode count specification", True,
     "ask for fewer `cpus`, less `mem` or another `partition` in spawn.yaml (sinfo -o '%P %c %m %G')"),
    (r"--time\b|[Rr]equested time limit|time limit is|Requested partition configuration", True,
     "set another `walltime` or `partition` in spawn.yaml (sinfo -o '%P %l')"),
    (r"[Ff]eature", True, "check `extra` in spawn.yaml (sinfo -o '%P %f')"),
    (r"unrecognized option|invalid option|requires an argument|Invalid numeric value|Invalid --", True,
     "check `extra` in spawn.yaml (man sbatch)"),
    (r"reservation", True, "check `extra` in spawn.yaml (scontrol show reservation)"),
    (r"policy", False, "see what your account may ask for (sacctmgr show associations user=$USER)"),
    (r"job array", False, "the cluster takes no array of this length (scontrol show config)"),
    (r"I/O error writing script|No space left", False, "the cluster's controller has no room"),
)  # fmt: skip


def state_of(word: str, reason: str = "", exit_code: str = "") -> QueueState:
    """One element's state: `RUNNING`, `CANCELLED by 1000`; `exit_code` as scontrol and sacct show it, `3:0`, `0:9`."""
    name, _, by = word.partition(" ")
    name = name.rstrip("+")
    standing = _STANDING.get(name, "ended")
    if standing == "waiting":
        reason = name if name != "PENDING" else "" if reason == "None" else reason
        return QueueState(standing, name, reason, never=_NEVER.match(reason) is not None)
    if standing != "ended":
        return QueueState(standing, name)
    code, number = _exit(exit_code)
    if name == "CANCELLED":
        who = f" {by}" if by and by != "by 0" else " by root" if by else ""
        text = f"cancelled in Slurm{who}, not by spawn-tui"
        return QueueState(standing, name, removed=True, message=text, exit_code=code, signal=number)
    if name == "COMPLETED":
        return QueueState(standing, name, exit_code=0)
    failure, text = _ENDS.get(name, (None, ""))
    if failure is None and (reason == "OutOfMemory" or reason == "TimeLimit"):
        failure, text = _ENDS["OUT_OF_MEMORY" if reason == "OutOfMemory" else "TIMEOUT"]
    if not text:
        what = f" ({reason})" if reason not in ("", "None") else ""
        text = f"Slurm says {name}{what}"
        if number == 53:
            # Slurm's own mark of a job whose output could not be opened (ESLURMD_IO_ERROR as exit code 0:53).
            text += ": its node could not write to the sweep's directory; is that on a file system the nodes share?"
        elif number is not None:
            text += f", signal {number}"
        elif code:
            text += f", exit status {code}"
    return QueueState(standing, name, failure=failure, exit_code=code, signal=number, message=text)


def _exit(text: str) -> tuple[int | None, int | None]:
    code, _, number = text.partition(":")
    if not code.isdigit() or not (number.isdigit() or not number):
        return None, None
    return (None, int(number)) if number not in ("", "0") else (int(code), None)


def read_queue(text: str, counts: Mapping[str, int]) -> dict[str, dict[Element, QueueState]]:
    """What `squeue -o '%j|%F|%K|%T|%r'` says, for arrays of these names with that many elements.

    %K is an index, the ranges of what waits (`4-9%4`), or `N/A`: then the line stands for the whole of a job of which
    nothing else is listed, as when all that waited of an array was cancelled at once.
    """
    out: dict[str, dict[Element, QueueState]] = {}
    rests: list[tuple[str, str, QueueState]] = []
    shared: dict[tuple[str, str], QueueState] = {}
    for line in text.splitlines():
        words = line.split("|", 4)
        if len(words) != 5 or words[0] not in counts:
            continue
        name, job, indices, word, reason = words
        state = shared.get((word, reason)) or shared.setdefault((word, reason), state_of(word, reason))
        if indices in ("N/A", ""):
            rests.append((name, job, state))
            continue
        listed = out.setdefault(name, {})
        for index in expand(indices.partition("%")[0]):
            listed[Element(job, index)] = state
    for name, job, state in rests:
        listed = out.setdefault(name, {})
        for index in range(counts[name]):
            listed.setdefault(Element(job, index), state)
    return out


def read_records(text: str, wanted: Iterable[Element]) -> dict[Element, QueueState]:
    """What `sacct -X -P -n -o JobID,State,ExitCode` says of the wanted elements that have ended."""
    out: dict[Element, QueueState] = {}
    every: dict[str, list[Element]] = {}
    for element in wanted:
        every.setdefault(element.job, []).append(element)
    for line in text.splitlines():
        words = line.split("|")
        if len(words) != 3:
            continue
        job, _, index = words[0].partition("_")
        state = state_of(words[1], exit_code=words[2])
        if state.standing != "ended" or job not in every:
            continue
        if index.startswith("["):
            picked = set(expand(index[1:].partition("]")[0].partition("%")[0]))
            out.update((element, state) for element in every[job] if element.index in picked)
        else:
            element = Element(job, int(index or 0))
            if element in every[job]:
                out[element] = state
    return out


_FIELD = re.compile(r"(?:^| )([A-Za-z:/]+)=(\S*)")


def read_jobs(text: str) -> dict[Element, QueueState]:
    """What `scontrol -o show job` says: one job a line."""
    out: dict[Element, QueueState] = {}
    for line in text.splitlines():
        fields = dict(_FIELD.findall(line))
        index = fields.get("ArrayTaskId", "0")
        if "JobState" in fields and index.isdigit():
            job = fields.get("ArrayJobId", fields.get("JobId", ""))
            out[Element(job, int(index))] = state_of(
                fields["JobState"], fields.get("Reason", ""), fields.get("ExitCode", "")
            )
    return out


def complaint(err: bytes) -> str:
    """What a command complained of, without its own name; several lines in one."""
    lines = [_SLURM_SAYS.sub("", line.strip()) for line in err.decode(errors="replace").splitlines()]
    said = [line for line in lines if line and not line.startswith("Try ")]
    return "; ".join(dict.fromkeys(said))[:400]


def is_away(err: bytes) -> bool:
    """Whether the controller (or munge, which signs what is said to it) could not be asked."""
    return _AWAY.search(err.decode(errors="replace")) is not None


def refusal(err: bytes) -> Refused:
    """Why sbatch took nothing."""
    words = complaint(err) or "sbatch failed and said nothing"
    for pattern, always, remedy in _REFUSALS:
        if re.search(pattern, words):
            return Refused(f"Slurm refused the jobs: {words}; {remedy}", always=always)
    return Refused(f"Slurm refused the jobs: {words}", always=False)


def nodes_in_words(text: str) -> str:
    """What `sinfo -h -o '%T %D'` says, as `3 nodes idle, 1 down`."""
    counts: dict[str, int] = {}
    for line in text.splitlines():
        state, _, count = line.partition(" ")
        if count.strip().isdigit():
            # A mark behind the state says how the node answers or saves power (sinfo(1), NODE STATE CODES).
            state = state.rstrip("*~#!%$@^-+")
            counts[state] = counts.get(state, 0) + int(count)
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return "nodes: " + ", ".join(f"{count} {state}" for state, count in ranked) if ranked else "no nodes"
