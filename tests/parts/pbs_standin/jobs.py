"""A job (or one element of an array) and its attributes, in the order and the words PBS prints them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field

from .text import Value, date, day, guess, span

QUEUED, HELD, DEPENDS, STARTING, RUNNING = 10, 20, 22, 41, 42
EXITING, BEGUN, TERMINATED, FINISHED, FAILED = 51, 70, 91, 92, 93


@dataclass(slots=True)
class Request:
    """What was submitted; shared by the elements of an array."""

    name: str
    owner: str
    group: str
    home: str
    uid: int
    gid: int
    workdir: str
    script: bytes
    arguments: str
    """Submit_arguments: qsub's words, joined."""
    command: list[str] = field(default_factory=list)
    """Of `qsub -- COMMAND`."""
    shell: str = ""
    queue: str = "workq"
    out: str = ""
    err: str = ""
    join: str = "n"
    rerunnable: bool = True
    account: str = ""
    project: str = "_pbs_project_default"
    priority: int = 0
    resources: dict[str, str] = field(default_factory=dict)
    chunks: int = 1
    cpus: int = 1
    memory: int = 0
    """Bytes; 0 if none was asked for."""
    given: dict[str, str] = field(default_factory=dict)
    """PBS_O_…, without queue and host."""
    variables: dict[str, str] = field(default_factory=dict)
    """Of `-v`."""
    environment: dict[str, str] = field(default_factory=dict)
    """Of `-V`."""
    indices: range | None = None
    walltime: int | None = None


@dataclass(slots=True)
class Job:
    """`index` is None for a plain job and for an array itself."""

    number: int
    request: Request
    server: str
    created: float
    rank: int
    index: int | None = None
    parent: Job | None = None
    children: dict[int, Job] = field(default_factory=dict)
    state: str = "Q"
    substate: int = QUEUED
    holds: str = "n"
    depend: str = ""
    comment: str = ""
    limit: int | None = None
    """max_run_subjobs"""
    changed: float = 0.0
    started: float | None = None
    ended: float | None = None
    obit: float | None = None
    slot: int = -1
    runs: int = 0
    exit_status: int | None = None
    staged: bool = False
    reported: bool = False
    """Whether a mom's report came while it ran: its session is known."""
    used: bool = False
    history: float | None = None
    process: subprocess.Popen[bytes] | None = None
    killed_by: str = ""
    """Who deleted it while it ran."""
    overtime: bool = False
    kill_at: float | None = None
    forget: bool = False
    """Whether it was deleted with its history."""
    shown: tuple[tuple[object, ...], str] | None = None
    """Its printed form, and what it was made of."""

    @property
    def is_array(self) -> bool:
        return self.request.indices is not None and self.index is None

    @property
    def has_run(self) -> bool:
        return self.runs > 0

    @property
    def id(self) -> str:
        if self.request.indices is None:
            return f"{self.number}.{self.server}"
        return f"{self.number}[{'' if self.index is None else self.index}].{self.server}"

    @property
    def finished(self) -> bool:
        return self.state in "FX"

    @property
    def vnode(self) -> str:
        memory = f":mem={self.request.memory // 1024}kb" if self.request.memory else ""
        return f"({self.server}:ncpus={self.request.cpus}{memory})"

    def counts(self) -> str:
        """array_state_count, which is wrong once the array has ended."""
        if self.state == "F":
            return "Queued:0 Running:0 Exiting:0 Expired:1"
        states = [child.state for child in self.children.values()]
        return (
            f"Queued:{states.count('Q')} Running:{states.count('R')} "
            f"Exiting:{states.count('E')} Expired:{states.count('X')}"
        )

    def remaining(self) -> str:
        """array_indices_remaining: those that have not begun."""
        left = [index for index, child in self.children.items() if child.state == "Q"]
        if self.state == "F" or not left:
            return "-"
        spans: list[list[int]] = []
        for index in left:
            if spans and spans[-1][1] == index - 1:
                spans[-1][1] = index
            else:
                spans.append([index, index])
        return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in spans)

    def log_path(self, kind: str) -> str:
        """Output_Path or Error_Path: `kind` is o or e."""
        request = self.request
        given = request.out if kind == "o" else request.err
        tag = "" if request.indices is None else ".^array_index^"
        path = given or f"{request.workdir}/{request.name}.{kind}{self.number}{tag}"
        if path.endswith("/"):
            path += f"{self.id}.{'OU' if kind == 'o' else 'ER'}"
        if self.index is not None and self.has_run:
            path = path.replace("^array_index^", str(self.index))
        return f"{self.server}:{path}"

    def attributes(self, now: float) -> dict[str, Value]:
        """As `qstat -f` prints them."""
        request, array = self.request, self.parent or self
        child = self.index is not None
        fresh = child and not self.has_run  # an element that never ran shows what its array shows
        out: dict[str, Value] = {"Job_Name": request.name, "Job_Owner": f"{request.owner}@{self.server}"}
        if self.used:
            out["resources_used"] = {
                "cpupercent": 0, "cput": "00:00:00", "mem": "0kb", "ncpus": request.cpus, "vmem": "0kb",
                "walltime": span((self.obit or now) - (self.started or now)),
            }  # fmt: skip
        out |= {"job_state": self.state, "queue": request.queue, "server": self.server}
        if request.account:
            out["Account_Name"] = request.account
        if not child or fresh:
            out["Checkpoint"] = "u"
        out["ctime"] = date(self.created)
        if self.depend:
            out["depend"] = self.depend
        out["Error_Path"] = self.log_path("e")
        if self.has_run:
            out |= {"exec_host": f"{self.server}/{self.slot}", "exec_vnode": self.vnode}
        if not child or fresh:
            out["Hold_Types"] = self.holds
        out |= {
            "Join_Path": request.join, "Keep_Files": "n", "Mail_Points": "a",
            "mtime": date(array.changed if fresh else self.changed), "Output_Path": self.log_path("o"),
            "Priority": request.priority, "qtime": date(self.created),
            "Rerunable": "True" if request.rerunnable else "False",
            "Resource_List": {key: guess(text) for key, text in sorted(request.resources.items())},
            "schedselect": request.resources["select"],
        }  # fmt: skip
        started = array.started if fresh else self.started
        if started is not None:
            out["stime"] = date(started)
        obit = array.obit if fresh else self.obit
        if obit is not None:
            out["obittime"] = date(obit)
        if self.reported and self.process is not None:
            out["session_id"] = self.process.pid
        if self.has_run:
            out["jobdir"] = request.home
        out["substate"] = self.substate
        out["Variable_List"] = {
            **{key: guess(text) for key, text in request.given.items()},
            **{key: guess(text) for key, text in request.variables.items()},
            "PBS_O_QUEUE": request.queue,
            "PBS_O_HOST": self.server,
        }
        out |= {"euser": request.owner, "egroup": request.group}
        if self.has_run:
            out["hashname"] = self.id
        out |= {"queue_rank": array.rank if fresh else self.rank, "queue_type": "E"}
        comment = self.comment or (array.comment if fresh else "")
        if comment:
            out["comment"] = comment
        if self.holds == "n":
            out["etime"] = date(self.created)
        if self.has_run:
            out["run_count"] = self.runs
        # Elements that did not run inherit what their array has.
        told = array if fresh else self
        if told.staged:
            out["Stageout_status"] = 1
        if told.exit_status is not None:
            out["Exit_status"] = told.exit_status
        if not child or fresh:
            out["Submit_arguments"] = request.arguments
        if request.command:
            out["executable"] = f"<jsdl-hpcpa:Executable>{request.command[0]}</jsdl-hpcpa:Executable>"
            if words := request.command[1:]:
                out["argument_list"] = "".join(
                    f"<jsdl-hpcpa:Argument>{word}</jsdl-hpcpa:Argument>" for word in words
                )
        if self.is_array:
            assert request.indices is not None
            step = f":{request.indices.step}" if request.indices.step > 1 else ""
            out |= {
                "array": "True", "array_state_count": self.counts(),
                "array_indices_submitted": f"{request.indices[0]}-{request.indices[-1]}{step}",
                "array_indices_remaining": self.remaining(),
            }  # fmt: skip
        elif child and not fresh:
            assert self.parent is not None and self.index is not None
            out |= {"array_id": self.parent.id, "array_index": self.index}
        if fresh:
            return out
        if self.history is not None:
            out["history_timestamp"] = int(self.history)
        out["project"] = request.project
        if self.has_run:
            out["run_version"] = self.runs
        out["Submit_Host"] = self.server
        if self.limit is not None:
            out["max_run_subjobs"] = self.limit
        return out

    def run_comment(self) -> str:
        return f"Job run at {day(self.started or 0.0)} on {self.vnode}"
