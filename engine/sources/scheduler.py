"""What a batch system must be able to do, so that `QueueSource` can run a sweep on it: Slurm, PBS.

A scheduler is a translator and keeps no state: it turns a few questions into commands on the submitting machine, and
their answers into the words below. It decides nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..events import FailureKind
from ..remote.host import Answer, Host, HostAway
from .queue_pack import BLOCK

LIMIT = 60.0
"""Seconds one command of a scheduler may take; Slurm's own wait MessageTimeout for an answer, often 10 to 100."""
CAP = 64 << 20
"""Bytes of one answer that are taken; a hundred thousand elements make about five million."""
_MARK = b"spawn-queue 1\n"
JOB_SCRIPTS = "scripts/job_scripts"
"""Below the area's root: job scripts, and beside each what its jobs say before an attempt has begun."""

Standing = Literal["waiting", "running", "ending", "ended"]
"""`ending`: nothing of it is to come, and the scheduler still clears up."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an array, as the scheduler names it. A job that is no array has the index 0."""

    job: str
    """The id of the array as a whole."""
    index: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """What the scheduler says of one element. Elements that stand alike may share one."""

    standing: Standing
    word: str
    """The state in the scheduler's own word: `PENDING`, `Q`."""
    reason: str = ""
    """Why it waits, in the scheduler's word."""
    never: bool = False
    """Whether it can never run as it was asked for, however long it waits."""
    failure: FailureKind | None = None
    """Of an end: whose fault it was, if the runner left no word of its own. None: nobody said."""
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    """Of an end: what happened, for people."""
    removed: bool = False
    """Somebody took it out of the queue by hand."""


@dataclass(slots=True)
class Array:
    """One submission: consecutive attempts of a batch, by index. Its name is unique to sweep and batch."""

    name: str
    """A plain word: the job's name, and that of its list (`scripts/batches/`) and script."""
    count: int
    """Number of elements; indices run from 0."""
    limit: int
    """How many of them may run at once."""
    jobs: list[str] = field(default_factory=list[str])
    """Ids it has got. More than one if a submission was not answered and was made again."""

    @property
    def list_file(self) -> str:
        return f"scripts/batches/{self.name}"

    @property
    def script(self) -> str:
        return f"{JOB_SCRIPTS}/{self.name}.sh"

    @property
    def pack(self) -> str:
        """The files of its attempts; see `queue_pack.py`."""
        return f"{JOB_SCRIPTS}/{self.name}.tar"

    @property
    def index(self) -> str:
        """Where in `pack` each attempt begins, by array index."""
        return f"{JOB_SCRIPTS}/{self.name}.index"

    @property
    def log(self) -> str:
        return f"{JOB_SCRIPTS}/{self.name}.log"


class Refused(Exception):
    """The scheduler will not take this submission; it has no job of it. The text: cause in its words, and remedy."""

    def __init__(self, text: str, *, always: bool) -> None:
        super().__init__(text)
        self.always = always
        """Whether it would refuse every submission of this source (an unknown partition, a bad account)."""


class Scheduler(Protocol):
    """All of it runs in the source's thread; every method may raise `HostAway` and `HostRefused`.

    `HostAway` means that nobody knows whether what was asked for was done.
    """

    title: str
    """For people: `Slurm`."""
    calls: dict[str, int]
    """How often each of its commands was run."""

    def connect(self) -> int:
        """See that it is there and serves us; returns how many elements one array may have."""
        ...

    def job_script(self, array: Array, root: str) -> str:
        """The script that is submitted, with its directives. `root`: the area's directory."""
        ...

    def submit(self, array: Array, root: str) -> str:
        """Submit the array once (its script is in place), `array.limit` of it running at a time; returns its id.

        Raises `Refused`.
        """
        ...

    def find(self, names: Collection[str]) -> dict[str, list[str]]:
        """Ids of the jobs of ours that have these names and are known still; nothing of names without one."""
        ...

    def status(self, arrays: Sequence[Array]) -> dict[str, dict[Element, QueueState]]:
        """What it knows of these arrays, in one call: by the array's name, every element it still lists."""
        ...

    def explain(self, elements: Collection[Element]) -> dict[Element, QueueState]:
        """What its records say of elements that `status` lists no more; nothing of those it has no record of."""
        ...

    def remove(self, elements: Collection[Element]) -> None:
        """Take these out of the queue, ending those that run. Harmless if they are gone."""
        ...

    def signal(self, number: Literal["TERM", "KILL"], elements: Collection[Element]) -> None:
        """TERM to all processes of these; KILL at least to their runners. Harmless if they are gone."""
        ...

    def throttle(self, job: str, limit: int) -> None:
        """From now on at most `limit` of this array may run at once; 0: none may begin."""
        ...

    def handle(self, element: Element) -> str:
        """How people name it: `8_3`, `9[3].vm`."""
        ...

    def health(self) -> str:
        """The cluster's nodes in a few words: `3 idle, 1 down`."""
        ...


class Shell:
    """Runs short scripts on the submitting machine: one round trip each, whatever its login shell is."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def run(self, script: str, *, limit: float = LIMIT, cap: int = CAP) -> Answer:
        """Run POSIX sh lines; what a login script printed before them is left out.

        Raises `HostAway` if there is no whole answer within `limit` seconds or `cap` bytes.
        """
        kept: list[bytes] = []
        size = 0

        def take(piece: bytes) -> None:
            nonlocal size
            size += len(piece)
            if size <= cap:
                kept.append(piece)

        text = f"echo {_MARK.decode().strip()}\n{script}\n"
        answer = self.host.run(["sh", "-s"], text.encode(errors="surrogateescape"), limit=limit, into=take)
        if size > cap:
            raise HostAway(f"{self.host.name}: an answer of more than {cap >> 20} MB is not read")
        out = b"".join(kept)
        at = out.find(_MARK)
        if at < 0:
            words = Answer(answer.status, out, answer.err).words
            raise HostAway(f"{self.host.name}: no POSIX shell answers there ({words})")
        return Answer(answer.status, out[at + len(_MARK) :], answer.err)


def without(*patterns: str) -> str:
    """A line that unsets the variables whose names match one of these patterns of `case`.

    A scheduler's commands take options from the environment, and a user's habits are not ours.
    """
    return (
        "for v in $(env | sed -n 's/^\\([A-Z][A-Z0-9_]*\\)=.*/\\1/p'); do "
        f'case $v in {" | ".join(patterns)}) unset "$v" ;; esac; done'
    )


def job_body(array: Array, root: str, index: str) -> str:
    """What a job does: unpack the files of its attempt, found by its index, and become its start script.

    `index`: a word of the shell that gives it, as `${SLURM_ARRAY_TASK_ID:-0}`. Values come from the start script, never
    from the environment of the submission.
    """
    return f"""\
unset SPAWN_PLACE
cd {shlex.quote(root)} || exit 125
set -- $(sed -n "$(({index} + 1)){{p;q;}}" {array.index})
[ $# = 3 ] || {{ echo "no attempt {index} in {array.index}" >&2; exit 125; }}
name=$3
# Somebody has it, or took it back: nothing of it is touched.
[ ! -e "attempts/$name/claim" ] || exit 121
dd if={array.pack} bs={BLOCK} skip="$1" count="$2" 2>/dev/null | tar -xof - || exit 125
# The runner signals its process group, so it must lead one. Most schedulers make the job's shell a leader.
lead=
if {{ read -r stat </proc/$$/stat; }} 2>/dev/null; then
	set -- ${{stat##*) }}
	[ "$3" = "$$" ] || lead=setsid
fi
exec $lead sh "attempts/$name/start.sh"
"""


_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?\Z")


def expand(indices: str) -> Iterable[int]:
    """The indices of `2-3,5-9:2,20`. Raises `ValueError` if it is not of that form."""
    for part in indices.split(","):
        match = _RANGE.match(part)
        if match is None:
            raise ValueError(f"{part!r} is not a range of array indices")
        first, last, step = match.groups()
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def compress(indices: Iterable[int]) -> str:
    """`[3, 4, 5, 9]` as `3-5,9`."""
    parts: list[list[int]] = []
    for index in sorted(set(indices)):
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def by_job(elements: Iterable[Element]) -> Mapping[str, list[int]]:
    """The indices of each job."""
    out: dict[str, list[int]] = {}
    for element in elements:
        out.setdefault(element.job, []).append(element.index)
    return out
