"""Slurm as a source: one `sbatch` a batch, one `squeue` a look. Here, or through a login node.

Text formats are used, not `--json`: that of 22.05 ignores every filter and lists all jobs of the cluster, and its
fields changed their types in 23.02 and 23.11, while `-o` and `-P` have stood as they are for years.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from ..remote.host import Answer, Host, HostAway, HostRefused
from .base import SourceContext
from .queue import QueueSource
from .registry import SourceSpec
from .scheduler import Array, Element, QueueState, Shell, by_job, compress, without
from .slurm_script import directives, job_script, unset_for
from .slurm_words import complaint, is_away, nodes_in_words, read_jobs, read_queue, read_records, refusal

_HABITS = without("SQUEUE_*", "SCANCEL_*", "SACCT_*", "SINFO_*", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT")
_GONE = ("Invalid job id", "already finished", "already completing", "already completed", "No error")
"""What scancel and scontrol say of elements that have ended meanwhile."""
_RECORDS = 200
"""Elements that sacct is asked of by name; of more, it is asked for their whole arrays."""
_REMEMBERED = 14
"""Days in which accounting is searched for jobs by their names."""
_SHOWN = 20
"""Elements that scontrol is asked of, one command each, where there is no accounting."""


class SlurmSource(QueueSource):
    """See `Source`. `host`: what reaches the login node, if it is not to be made from the spec's options."""

    def __init__(self, spec: SourceSpec, context: SourceContext, host: Host | None = None) -> None:
        super().__init__(spec, context, Slurm, host)


class Slurm:
    """See `Scheduler`. Written for 20.11 to 24.11, tested on 22.05."""

    title = "Slurm"

    def __init__(self, spec: SourceSpec, shell: Shell) -> None:
        self._name = spec.name
        self._options: Mapping[str, str] = spec.options
        self._shell = shell
        self._accounting = False
        self._held: set[str] = set()
        self.calls: dict[str, int] = {}

    # --- asking --------------------------------------------------------------------------------------------------

    def _run(self, script: str, *commands: str, before: str = _HABITS) -> Answer:
        for command in commands:
            self.calls[command] = self.calls.get(command, 0) + 1
        answer = self._shell.run(f"{before}\n{script}")
        if answer.status == 127:
            raise HostRefused(
                f"{self._shell.host.name}: Slurm's commands are not there ({answer.words}); "
                "install them, or name the login node with `host:` in spawn.yaml"
            )
        if b"configuration source" in answer.err or b"Unable to process configuration file" in answer.err:
            raise HostRefused(
                f"{self._shell.host.name}: Slurm finds no configuration there ({complaint(answer.err)}); set SLURM_CONF"
            )
        if is_away(answer.err):
            raise HostAway(f"{self._shell.host.name}: {complaint(answer.err)}")
        return answer

    def _ask(self, script: str, command: str) -> str:
        """The answer of a command that only fails when it cannot be answered."""
        answer = self._run(script, command)
        if answer.status != 0:
            said = complaint(answer.err) or f"exit status {answer.status}"
            raise HostAway(f"{self._shell.host.name}: {command}: {said}")
        return answer.out.decode(errors="replace")

    def connect(self) -> int:
        try:
            directives(Array("check", 1, 1), self._options)
        except ValueError as error:
            raise HostRefused(f"{self._name}: {error}") from None
        there = (
            "for c in sbatch squeue scancel scontrol; do command -v $c >/dev/null || "
            '{ echo "$c: not found" >&2; exit 127; }; done\n'
            # Slurm itself would look for it for a minute.
            'if [ -n "${SLURM_CONF:-}" ] && [ ! -r "$SLURM_CONF" ]; then '
            'echo "Unable to process configuration file $SLURM_CONF" >&2; exit 1; fi'
        )
        text = self._ask(f"{there}\nscontrol show config", "scontrol")
        pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
        config = {key.strip(): value.strip() for key, value in pairs}
        self._accounting = config.get("AccountingStorageType", "").endswith("/slurmdbd")
        most = int(config.get("MaxArraySize") or 1)
        for word in config.get("SchedulerParameters", "").split(","):
            key, _, value = word.partition("=")
            if key == "max_array_tasks" and value.isdigit():
                most = min(most, int(value))
        # MaxArraySize is one more than the greatest index (slurm.conf(5)), and ours begin with 0.
        if most < 1:
            raise HostRefused(
                f"{self._shell.host.name}: job arrays are off there (MaxArraySize=0), and tasks are submitted as arrays"
            )
        return most

    # --- submitting ----------------------------------------------------------------------------------------------

    def job_script(self, array: Array, root: str) -> str:
        return job_script(array, root, self._options)

    def submit(self, array: Array, root: str) -> str:
        throttle = f"%{array.limit}" if array.limit < array.count else ""
        words = [f"--array=0-{array.count - 1}{throttle}", array.script]
        script = (
            f"cd {shlex.quote(root)} || exit 1\n"
            f"exec sbatch --parsable {' '.join(shlex.quote(word) for word in words)} </dev/null"
        )
        answer = self._run(script, "sbatch", before=without(*unset_for(self._options)))
        if answer.status != 0:
            raise refusal(answer.err)
        lines = answer.out.decode(errors="replace").split()
        job = lines[-1].partition(";")[0] if lines else ""
        if not job.isdigit():
            raise HostAway(f"{self._shell.host.name}: sbatch gave no job id ({answer.words})")
        return job

    def throttle(self, job: str, limit: int) -> None:
        # A throttle of 0 would mean none at all (scontrol(1), ArrayTaskThrottle).
        if limit == 0:
            self._held.add(job)
            self._act(f"scontrol hold {job}", "scontrol")
            return
        lines = [f"scontrol update JobId={job} ArrayTaskThrottle={limit}"]
        if job in self._held:
            lines.append(f"scontrol release {job}")
        self._act("\n".join(lines), "scontrol")
        self._held.discard(job)

    # --- looking -------------------------------------------------------------------------------------------------

    def _queue(self, names: Collection[str], form: str) -> str:
        # Only our own are asked for: the controller then sends no others. Ranges are cut at 64 characters otherwise.
        listed = ",".join(names)
        return self._ask(
            f"SLURM_BITSTR_LEN=0 squeue -h -a -t all -u \"$(id -u)\" --name={listed} -o '{form}'", "squeue"
        )

    def find(self, names: Collection[str]) -> dict[str, list[str]]:
        lines = self._queue(names, "%j|%F").splitlines()
        older = set(names) - {line.partition("|")[0] for line in lines}
        if older and self._accounting:
            listed = ",".join(sorted(older))
            asked = f'sacct -n -P -X -u "$(id -u)" -S now-{_REMEMBERED}days --name={listed} -o JobName,JobID'
            lines += self._ask(asked, "sacct").splitlines()
        out: dict[str, list[str]] = {}
        for line in lines:
            name, _, job = line.partition("|")
            job = job.partition("_")[0]
            if name in names and job not in out.setdefault(name, []):
                out[name].append(job)
        return out

    def status(self, arrays: Sequence[Array]) -> dict[str, dict[Element, QueueState]]:
        counts = {array.name: array.count for array in arrays}
        return read_queue(self._queue(counts, "%j|%F|%K|%T|%r"), counts)

    def explain(self, elements: Collection[Element]) -> dict[Element, QueueState]:
        if not elements:
            return {}
        named = [self.handle(element) for element in elements]
        if not self._accounting:
            # The controller forgets after MinJobAge; until then it knows how they ended, which squeue does not say.
            lines = "\n".join(f"scontrol -o show job {name} 2>/dev/null" for name in named[:_SHOWN])
            answer = self._run(f"{lines}\ntrue", *["scontrol"] * len(named[:_SHOWN]))
            found = read_jobs(answer.out.decode(errors="replace"))
            return {
                element: state for element, state in found.items()
                if element in elements and state.standing == "ended"
            }  # fmt: skip
        if len(named) > _RECORDS:
            named = sorted({element.job for element in elements})
        text = self._ask(f"sacct -n -P -X -j {','.join(named)} -o JobID,State,ExitCode", "sacct")
        return read_records(text, elements)

    def handle(self, element: Element) -> str:
        return f"{element.job}_{element.index}"

    def health(self) -> str:
        partition = self._options.get("partition", "")
        where = f"-p {shlex.quote(partition)}" if partition else ""
        return nodes_in_words(self._ask(f"sinfo -h {where} -o '%T %D'", "sinfo"))

    # --- ending --------------------------------------------------------------------------------------------------

    def remove(self, elements: Collection[Element]) -> None:
        # Never with --name as well: scancel 22.05 then takes the whole array where it was given a part of it.
        self._cancel("scancel", elements)

    def signal(self, number: Literal["TERM", "KILL"], elements: Collection[Element]) -> None:
        # Without a flag only steps would get it, and an attempt is the batch script and its children. KILL to all of
        # them would be a cancel like any other, with TERM and KillWait; once the script is gone Slurm ends the others.
        flag = "--batch" if number == "KILL" else "--full"
        self._cancel(f"scancel {flag} --signal={number}", elements)

    def _cancel(self, command: str, elements: Collection[Element]) -> None:
        names = [f"{job}_[{compress(indices)}]" for job, indices in by_job(elements).items()]
        if names:
            self._act(f"{command} {' '.join(shlex.quote(name) for name in names)}", "scancel")

    def _act(self, script: str, command: str) -> None:
        """What may find its work done already. The status says little: scancel 22.05 gives 229 after success."""
        answer = self._run(script, command)
        left = [line for line in answer.err.decode(errors="replace").splitlines() if line.strip()]
        left = [line for line in left if not any(text in line for text in _GONE)]
        if left:
            raise HostAway(f"{self._shell.host.name}: {complaint(chr(10).join(left).encode())}")
