"""What PBS says, in the engine's words: the records of `qstat -f -F json`, exit statuses, qsub's complaints.

Recorded from OpenPBS 23.06 (tests/parts/pbs_standin/samples); what is not recorded names its source. Three traps of
those records shape this file: an element deleted before it began shows `Exit_status` 0 and the substate of success, a
job deleted while it ran may show `Exit_status` 0, and elements that did not run inherit what their array has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..events import FailureKind
from .scheduler import Element, QueueState, Refused

RECORD = r'"[0-9]+(\[[0-9]*\])?\.[^"]*":[[:space:]]*[{]'
"""The line that opens a job's record, as grep(1) takes it."""
WANTED = ("job_state", "substate", "Exit_status", "run_count", "comment", "Hold_Types", "depend")
"""The attributes that are read."""

_RECORD = re.compile(r'\s*"([0-9]+)(?:\[([0-9]*)\])?\.[^"]*":\s*[{]')
_ATTRIBUTE = re.compile(rf'\s*"({"|".join(WANTED)})":\s*(.*?),?\s*$')
_COMPLAINT = re.compile(r"(?:qsub|qalter|qdel|qsig|qstat): *(.*)")

FINISHED, DELETED = 92, 91
_WALLTIME = -29


@dataclass(slots=True)
class Record:
    """One job or element: the attributes among `WANTED` that it has."""

    number: str
    """Its sequence number; the server's name behind it is not the same in all answers."""
    index: int | None
    """None for a plain job and for an array as a whole."""
    array: bool
    words: dict[str, str | int] = field(default_factory=dict[str, "str | int"])

    def text(self, key: str) -> str:
        return str(self.words.get(key, ""))

    def number_of(self, key: str) -> int | None:
        value = self.words.get(key)
        return value if isinstance(value, int) else None


def read_records(text: str) -> Iterator[Record]:
    """The jobs of an answer of `qstat -f -F json`, whole or filtered to the lines that matter.

    Line by line and not by a JSON parser: values of other attributes come out corrupted (those of `-v`, with quotes or
    backslashes in them), and one such value must not hide a whole sweep.
    """
    record: Record | None = None
    for line in text.splitlines():
        if opening := _RECORD.match(line):
            if record is not None:
                yield record
            number, index = opening.groups()
            record = Record(number, int(index) if index else None, index is not None)
        elif record is not None and (found := _ATTRIBUTE.match(line)):
            key, raw = found.groups()
            try:
                value: object = json.loads(raw, strict=False)
            except ValueError:
                value = raw.strip('"')
            # The first counts: Variable_List comes late, and may have a variable of any name.
            record.words.setdefault(key, value if isinstance(value, int) else str(value))
    if record is not None:
        yield record


_EXITS: Mapping[int, tuple[FailureKind, str]] = {
    -1: ("launch_failed", "could not be started (before its files were in place)"),
    -2: ("launch_failed", "could not be started (after its files were in place)"),
    -3: ("launch_failed", "could not be started, and was not tried again"),
    -4: ("source_lost", "was ended when its node's daemon started anew"),
    -5: ("source_lost", "was ended when its node's daemon started anew"),
    -6: ("source_lost", "was ended when its node's daemon started anew"),
    -10: ("launch_failed", "could not be started: the node does not know the user or group"),
    -11: ("source_lost", "was to be run again"),
    -14: ("source_lost", "lost the connection between its nodes"),
    -16: ("launch_failed", "was rejected by a hook of the site"),
    -17: ("launch_failed", "was rejected by a hook of the site"),
    -18: ("source_lost", "was put back by a hook of the site"),
    -19: ("launch_failed", "was deleted by a hook of the site"),
    -20: ("source_lost", "was lost: the server could not reach its node"),
    -21: ("launch_failed", "was refused: the PBS directory of its node is not secure"),
    -22: ("launch_failed", "met a hook of the site that failed"),
    -23: ("launch_failed", "had no Kerberos credentials"),
    -24: ("exit", "was ended: it used more processors than it asked for (ncpus)"),
    -25: ("exit", "was ended: it used more processors than it asked for (ncpus)"),
    -26: ("out_of_memory", "used more virtual memory than it asked for (vmem)"),
    -27: ("out_of_memory", "used more memory than it asked for (mem)"),
    -28: ("timeout", "used more processor time than it asked for (cput)"),
    _WALLTIME: ("timeout", "ran longer than its walltime"),
    -30: ("launch_failed", "could not be joined to its other nodes"),
    -31: ("out_of_memory", "used more memory than it asked for (hpmem)"),
    -32: ("source_lost", "was lost by its node"),
}
"""Negative statuses are PBS's own (job.h of OpenPBS; PBS Professional Reference Guide, "Job Exit Codes")."""

_HOLDS = {"u": "held by its user; qrls lets it go", "o": "held by an operator", "s": "held by the system"}


def state_of(record: Record) -> QueueState:
    """How one element stands."""
    letter, comment = record.text("job_state"), _clean(record.text("comment"))
    match letter:
        case "R" | "S" | "U":
            return QueueState("running", letter)
        case "E":
            return QueueState("ending", letter)
        case "F" | "X":
            return _end_of(record, letter, comment)
        case "H":
            never = "too many failed attempts" in comment
            reason = "waits for the job it depends on" if record.text("depend") else ""
            reason = reason or _HOLDS.get(record.text("Hold_Types"), "held")
            return QueueState("waiting", letter, comment if never else reason, never)
        case "W":
            return QueueState("waiting", letter, comment or "waits for its start time or its files")
        case "M" | "T":
            return QueueState("waiting", letter, "on its way to another queue or server")
        case _:
            return QueueState("waiting", letter, _why(comment), comment.startswith("Can Never Run"))


def _why(comment: str) -> str:
    """What the scheduler wrote of a queued job. An array that has begun says of its elements only that it has."""
    if not comment or comment.startswith("Job Array Began"):
        return "queued"
    return comment.removeprefix("Not Running: ").removeprefix("Can Never Run: ")


def _clean(comment: str) -> str:
    return " ".join(comment.split())[:300]


def _end_of(record: Record, letter: str, comment: str) -> QueueState:
    status, substate = record.number_of("Exit_status"), record.number_of("substate")
    if record.number_of("run_count") is None:
        if record.text("depend"):
            return QueueState(
                "ended", letter, message="PBS dropped it: the job it depends on did not end as it must"
            )
        # `Subjob finished`, Exit_status 0 and substate 92 are recorded of an element that was deleted while it waited.
        return QueueState(
            "ended", letter, message="somebody took it out of PBS's queue before it began", removed=True
        )
    if substate == DELETED:
        who = re.search(r"terminated by (\S+)", comment)
        by = f" by {who[1]}" if who else ""
        return QueueState("ended", letter, message=f"deleted from PBS{by}", removed=True)
    if status is None:
        return QueueState(
            "ended", letter, message=f"PBS tells no exit status of it ({comment or 'and no word'})"
        )
    if status < 0:
        kind, words = _EXITS.get(status, ("source_lost", f"ended with PBS's status {status}"))
        if status == _WALLTIME and "exceeded resource" in comment:
            words = f"ran longer than PBS lets it ({comment.partition('exceeded ')[2]}); ask for more in spawn.yaml"
        return QueueState("ended", letter, failure=kind, message=words)
    if status > 256:
        # 256 + n for signal n of the job's own shell (recorded: 265 for KILL).
        number = status - 256
        return QueueState("ended", letter, signal=number, message=f"ended by signal {number}, as PBS says")
    if status == 0 and substate != FINISHED:
        return QueueState(
            "ended", letter, message=f"PBS does not say how it ended ({comment or f'substate {substate}'})"
        )
    return QueueState("ended", letter, exit_code=status, message=comment)


def elements_of(text: str, jobs: Mapping[str, str]) -> dict[Element, QueueState]:
    """Every element in an answer. `jobs`: our jobs' ids by sequence number."""
    out: dict[Element, QueueState] = {}
    for record in read_records(text):
        job = jobs.get(record.number)
        if job is None or (record.array and record.index is None):
            continue
        out[Element(job, record.index or 0)] = state_of(record)
    return out


_REMEDIES: tuple[tuple[str, str, bool], ...] = (
    (r"Unknown queue", "qstat -Q lists the queues; set `queue` in spawn.yaml", True),
    (r"Access to queue is denied", "ask for access, or set another `queue` in spawn.yaml", True),
    (r"Queue is not enabled", "the queue takes no jobs now; set another `queue` in spawn.yaml", True),
    (r"Unknown resource", "this PBS does not know it; correct cpus, mem, gpus or `extra` in spawn.yaml", True),
    (r"Illegal attribute or resource value", "correct walltime, cpus, mem, gpus or `extra` in spawn.yaml", True),
    (r"Invalid Account|account", "set `account` in spawn.yaml to one you may charge", True),
    (r"Job violates queue and/or server resource limits", "ask for less, or for another `queue`, in spawn.yaml", True),
    (r"Array job exceeds", "the site allows shorter arrays only; launch fewer tasks at a time", False),
    (r"Maximum number of jobs|would exceed", "others or you have too many jobs there; try again later", False),
    (r"Bad UID|Unauthorized Request|Access from host", "this login may not submit from here; ask the site", True),
    (r"illegal -|invalid option|usage", "correct `extra` in spawn.yaml", True),
    (r"name is too long", "this is a fault of spawn-tui; please report it", True),
)  # fmt: skip


def complaint(err: str) -> str:
    """What a command complains of: its first own line. The last may be of a page of usage."""
    for line in err.splitlines():
        if found := _COMPLAINT.match(line.strip()):
            return found[1][:300]
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    return lines[0][:300] if lines else "it gave no reason"


def refusal(err: str) -> Refused:
    """qsub's complaint with its remedy."""
    words = complaint(err)
    for pattern, remedy, always in _REMEDIES:
        if re.search(pattern, words):
            return Refused(f"PBS refused the job: {words}; {remedy}", always=always)
    return Refused(f"PBS refused the job: {words}", always=False)


def is_away(err: str) -> bool:
    """Whether the server could not be reached (recorded in server_down.txt; 15010 is its number)."""
    return any(
        words in err for words in ("cannot connect to server", "Couldn't connect to cluster", "errno=15010")
    )


def is_unsure(err: str) -> bool:
    """Whether the talk with the server broke off, so that it may have done what it was asked for.

    The words are of OpenPBS's pbs_messages.c (msg_protocol, msg_system, msg_internal) and of its DIS library.
    """
    return (
        re.search(r"protocol error|End of File|Premature end|timed out|System error|internal error", err)
        is not None
    )
