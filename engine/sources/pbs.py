"""PBS Pro and OpenPBS: a batch is one job array, looked at with one `qstat` for the whole sweep.

Torque shares the commands' names and little else (`qsub -t`, other ids and variables, XML); it is told apart by what
`qstat --version` says, and refused.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, cast

from ..remote.host import Answer, Host, HostAway, HostRefused
from .base import SourceContext
from .pbs_script import job_script, wrong_options
from .pbs_words import RECORD, WANTED, complaint, elements_of, is_away, is_unsure, refusal
from .queue import QueueSource
from .registry import SourceSpec
from .scheduler import Array, Element, QueueState, Shell, by_job, compress

STATUS_LIMIT = 60.0
"""Seconds one qstat may take; 5,000 elements took 0.15 s."""
CHUNK = 500
"""Commands of one round trip; a server does 70 to 150 of them a second."""
MAX_ARRAY = 10_000
"""max_array_size where the server does not tell (its default)."""
_ID = re.compile(r"([0-9]+)(\[\])?(\.\S+)\Z")
_STATUS = "spawn-status"
_PREPARE = """\
conf=${PBS_CONF_FILE:-/etc/pbs.conf}
if ! command -v qsub >/dev/null 2>&1 && [ -r "$conf" ]; then . "$conf"; PATH=$PATH:$PBS_EXEC/bin; fi
unset PBS_DPREFIX"""
"""Commands come without a login, whose start-up files put PBS on the PATH; pbs.conf(8B) is made to be read by a shell.
PBS_DPREFIX would have our directives passed over (qsub(1B))."""


class PbsSource(QueueSource):
    """See `Source`. `host`: the submitting machine, if it is not to be made from the spec's options."""

    def __init__(self, spec: SourceSpec, context: SourceContext, host: Host | None = None) -> None:
        super().__init__(spec, context, PbsScheduler, host)


class PbsScheduler:
    """See `Scheduler`."""

    title = "PBS"

    def __init__(self, spec: SourceSpec, shell: Shell) -> None:
        self.name = spec.name
        self.options = dict(spec.options)
        self.shell = shell
        self.calls: dict[str, int] = {}
        self._history = True
        """Whether the server keeps finished jobs; without, `qstat -x` is an error."""
        self._percent = True
        """Whether `-J X-Y%N` is understood; PBS Pro before 20 has only the attribute that it sets."""

    # --- asking ----------------------------------------------------------------------------------------------------

    def _run(self, script: str, **counts: int) -> Answer:
        """Run lines of sh with PBS's commands on the PATH. Raises `HostAway` if the server is away."""
        for command, count in counts.items():
            self.calls[command] = self.calls.get(command, 0) + count
        answer = self.shell.run(f"{_PREPARE}\n{script}", limit=STATUS_LIMIT)
        err = answer.err.decode(errors="replace")
        if is_away(err):
            raise HostAway(f"{self.name}: the PBS server does not answer ({complaint(err)})")
        return answer

    def connect(self) -> int:
        wrong = wrong_options(self.options)
        if wrong:
            raise HostRefused(f"{self.name}: {wrong}")
        queue = self.options.get("queue", "")
        script = [
            "command -v qsub >/dev/null && command -v qstat >/dev/null || { echo none; exit 0; }",
            "qstat --version 2>&1 | head -n 2",
            f"echo {_STATUS}; qstat -Bf -F json; echo {_STATUS} $?",
        ]
        if queue:
            script.append(f"qstat -Qf -F json {shlex.quote(queue)}; echo {_STATUS} $?")
        answer = self._run("\n".join(script), qstat=2 + bool(queue))
        out, err = answer.out.decode(errors="replace"), answer.err.decode(errors="replace")
        version, _, rest = out.partition(_STATUS)
        if version.strip() == "none":
            raise HostRefused(
                f"{self.name}: there is no qsub and no qstat on {self.shell.host.name}; log in where jobs are "
                f"submitted from (`host` in spawn.yaml), or load PBS there for logins without a terminal"
            )
        if "pbs_version" not in version:
            words = " ".join(version.split()) or "nothing"
            raise HostRefused(
                f"{self.name}: this is not PBS Pro or OpenPBS (qstat --version says {words[:100]}); Torque has other "
                f"arrays and other answers and is not supported: use ssh to its nodes, or a local source in a job"
            )
        parts = re.split(rf"{_STATUS} (\d+)\n?", rest)
        if len(parts) < 3:
            raise HostAway(f"{self.name}: the answer of qstat was cut off")
        if parts[1] != "0":
            raise HostRefused(
                f"{self.name}: qstat -Bf -F json fails ({complaint(err)}); PBS 18 or later is needed"
            )
        server = _facts(parts[0], "Server")
        self._history = server.get("job_history_enable") in ("True", True)
        most = _whole(server.get("max_array_size"), MAX_ARRAY)
        if queue:
            if len(parts) < 5 or parts[3] != "0":
                text = refusal(err or "qstat: Unknown queue")
                raise HostRefused(f"{self.name}: {text} (queue {queue})")
            facts = _facts(parts[2], "Queue")
            if facts.get("enabled") in ("False", False):
                raise HostRefused(
                    f"{self.name}: queue {queue} takes no jobs now (enabled=False); set another `queue`"
                )
            most = min(most, _whole(facts.get("max_array_size"), most))
        return max(1, most)

    # --- submitting ------------------------------------------------------------------------------------------------

    def job_script(self, array: Array, root: str) -> str:
        return job_script(array, root, self.options)

    def submit(self, array: Array, root: str) -> str:
        words = ["qsub"]
        if array.limit < 1:
            words.append("-h")
        if array.count > 1:
            # `-J 0-0` is illegal: an attempt alone is a plain job.
            limit = max(1, array.limit)
            throttle = ["-W", f"max_run_subjobs={limit}"]
            words += [
                "-J",
                f"0-{array.count - 1}" + (f"%{limit}" if self._percent else ""),
                *([] if self._percent else throttle),
            ]
        words.append(f"{root}/{array.script}")
        answer = self._run(shlex.join(words), qsub=1)
        err = answer.err.decode(errors="replace")
        lines = answer.out.decode(errors="replace").split()
        if answer.status == 0 and lines and _ID.match(lines[-1]):
            return lines[-1]
        if answer.status == 0:
            raise HostAway(f"{self.name}: qsub gave no job id ({answer.words})")
        if self._percent and "illegal -J value" in err and array.count > 1:
            self._percent = False
            return self.submit(array, root)
        if answer.status in (126, 127) and "qsub" in err:
            raise HostRefused(f"{self.name}: qsub cannot be run on {self.shell.host.name} ({complaint(err)})")
        if is_unsure(err):
            raise HostAway(f"{self.name}: nobody knows whether qsub did it ({complaint(err)})")
        raise refusal(err)

    def find(self, names: Collection[str]) -> dict[str, list[str]]:
        if not names:
            return {}
        past = "-x " if self._history else ""
        lines = [
            f"echo '= {name}'; qselect {past}-N {shlex.quote(name)} || echo {_STATUS} $?" for name in names
        ]
        answer = self._run("\n".join(lines), qselect=len(names))
        out: dict[str, list[str]] = {}
        name = ""
        for line in answer.out.decode(errors="replace").splitlines():
            if line.startswith("= "):
                name = line[2:]
            elif line.startswith(_STATUS):
                # Not knowing of a job that was submitted would have it submitted again.
                raise HostAway(f"{self.name}: qselect fails ({answer.words})")
            elif _ID.match(line):
                out.setdefault(name, []).append(line)
        return out

    # --- looking ---------------------------------------------------------------------------------------------------

    def status(self, arrays: Sequence[Array]) -> dict[str, dict[Element, QueueState]]:
        owner = {_number(job): (job, array.name) for array in arrays for job in array.jobs}
        if not owner:
            return {}
        listing = self._listing({number: job for number, (job, _) in owner.items()})
        out: dict[str, dict[Element, QueueState]] = {}
        for element, state in listing.items():
            out.setdefault(owner[_number(element.job)][1], {})[element] = state
        return out

    def _listing(self, jobs: Mapping[str, str]) -> dict[Element, QueueState]:
        past = "-x " if self._history else ""
        ids = shlex.join(jobs.values())
        # Only the lines that are read travel: a tenth of 1.8 KB an element. The text form with -x -t was seen to loop
        # for ever, so JSON it is, and `timeout` where there is one, for a qstat that hangs there outlives our patience.
        wanted = f'^{_STATUS}|{RECORD}|"({"|".join(WANTED)})":'
        script = (
            "limit=\n"
            f"command -v timeout >/dev/null 2>&1 && limit='timeout {STATUS_LIMIT * 0.9:g}'\n"
            f"{{ $limit qstat {past}-t -f -F json {ids}; echo {_STATUS} $?; }} | LC_ALL=C grep -E {shlex.quote(wanted)}"
        )
        answer = self._run(script, qstat=1)
        text, _, status = answer.out.decode(errors="replace").rpartition(f"{_STATUS} ")
        err = answer.err.decode(errors="replace")
        if self._history and "not configured to maintain job history" in err:
            self._history = False
            return self._listing(jobs)
        known = all(
            "Unknown Job Id" in line or "Job has finished" in line
            for line in err.splitlines()
            if line.startswith("qstat")
        )
        # Of a list with unknown or finished ids the others are printed, and the status is that of the last complaint.
        status = status.strip() or "none"
        if status != "0" and not (status in ("35", "153") and known):
            raise HostAway(f"{self.name}: qstat fails ({complaint(err) if err else f'status {status}'})")
        return elements_of(text, jobs)

    def explain(self, elements: Collection[Element]) -> dict[Element, QueueState]:
        """Nothing: what PBS keeps of finished jobs `status` has told already; its accounting is not for users."""
        return {}

    def health(self) -> str:
        answer = self._run("pbsnodes -av -F json | LC_ALL=C grep '\"state\":'", pbsnodes=1)
        counts: dict[str, int] = {}
        for line in answer.out.decode(errors="replace").splitlines():
            state = line.partition(":")[2].strip().rstrip(",").strip('"')
            counts[state] = counts.get(state, 0) + 1
        words = [f"{count} {state}" for state, count in sorted(counts.items(), key=lambda pair: -pair[1])]
        return ", ".join(words) or "nothing is told of its nodes"

    # --- acting ----------------------------------------------------------------------------------------------------

    def remove(self, elements: Collection[Element]) -> None:
        # One qdel for each range: of two names of one array in one call only the first was deleted (recorded, rc 0).
        self._each("qdel", "", elements)

    def signal(self, number: Literal["TERM", "KILL"], elements: Collection[Element]) -> None:
        # The mom signals all processes of the job's session (qsig(1B)).
        self._each("qsig", f"-s SIG{number} ", elements)

    def _each(self, command: str, options: str, elements: Collection[Element]) -> None:
        """Run a command for every range of elements. That one of them is gone, or not running, is no harm."""
        names = [
            name
            for job, indices in by_job(elements).items()
            for name in (
                [job] if "[" not in job else [_subjob(job, part) for part in compress(indices).split(",")]
            )
        ]
        for at in range(0, len(names), CHUNK):
            part = names[at : at + CHUNK]
            self._run(
                "\n".join(f"{command} {options}{shlex.quote(name)}" for name in part), **{command: len(part)}
            )

    def throttle(self, job: str, limit: int) -> None:
        """`max_run_subjobs`, as OpenPBS's own tests alter it (pbs_job_array.py, test_max_run_subjobs_basic).

        Nowhere it says that 0 is allowed, so that an array none of which may begin is held.
        """
        name = shlex.quote(job)
        if limit < 1:
            self._run(f"qhold -h u {name}", qhold=1)
        elif "[" in job:
            self._run(f"qalter -W max_run_subjobs={limit} {name}; qrls -h u {name}", qalter=1, qrls=1)
        else:
            self._run(f"qrls -h u {name}", qrls=1)

    def handle(self, element: Element) -> str:
        return _subjob(element.job, str(element.index)) if "[" in element.job else element.job


def _facts(text: str, kind: str) -> dict[str, object]:
    """The attributes of the one server or queue in an answer of `qstat -F json`; nothing if there are none."""
    try:
        entries = json.loads(text, strict=False)[kind]
        (facts,) = entries.values()
    except (ValueError, KeyError, AttributeError, TypeError):
        return {}
    return cast("dict[str, object]", facts) if isinstance(facts, dict) else {}


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise


def _number(job: str) -> str:
    found = _ID.match(job)
    assert found is not None, job
    return found[1]


def _subjob(job: str, indices: str) -> str:
    """`9[].vm` and `3-5` as `9[3-5].vm`."""
    return job.replace("[]", f"[{indices}]", 1)
