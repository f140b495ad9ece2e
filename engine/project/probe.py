"""Asking a machine what a sweep needs to know of it; what the answers mean is said in `checks.py`."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..remote.host import Host, HostAway, HostRefused
from ..sources.place import setup_script
from .far import quote_path

LIMIT = 60.0
"""Seconds one group of questions may take."""
SETUP_LIMIT = 180.0
"""Seconds the set-up script of a source may take; conda on a slow file system does."""
_MARK = b"spawn-probe 1\n"


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first contact. Times in seconds."""

    connect: float
    """Until the first command had run, login included."""
    start: float
    """Of a second command: a round trip, and the start of the login shell."""
    noise: bytes
    """What start-up files print before a command's own output, where programs listen."""


@dataclass(slots=True)
class Answers:
    """What was said: single values, tools that are there, and the lines of each command that was asked."""

    values: dict[str, str] = field(default_factory=dict[str, str])
    tools: set[str] = field(default_factory=set[str])
    said: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    status: dict[str, int] = field(default_factory=dict[str, int])
    at: float = 0.0
    """The moment here that is nearest to the machine's own `now`, in seconds since 1970."""


def greet(host: Host) -> Greeting:
    """Connect, and run nothing twice. Raises `HostAway` and `HostRefused`."""
    began = time.monotonic()
    first = host.run(["true"], limit=LIMIT)
    reached = time.monotonic()
    host.run(["true"], limit=LIMIT)
    return Greeting(reached - began, time.monotonic() - reached, first.out)


def ask_machine(host: Host, root: str) -> Answers:
    """What it is, which programs it has, and whether `root` can be written. Raises `HostAway` and `HostRefused`."""
    return ask(host, ["machine", f"writable {quote_path(root)} {secrets.token_hex(6)}"])


def ask_python(host: Host, name: str, options: Mapping[str, str], project: str) -> Answers:
    """The `python` of tasks that run in `project`, by the set-up of the source `name`. Raises as `ask_machine`."""
    program = options.get("python", "").rpartition("/")[2] or "python"
    setup = setup_script(name, options)
    lines = [f"python {quote_path(project)} {shlex.quote(program)} ''"]
    if setup is not None:
        end = f"SPAWN-END-{secrets.token_hex(6)}"
        lines = [
            'setup=$(mktemp "${TMPDIR:-/tmp}/spawn-test-XXXXXX") || exit 1',
            "trap 'rm -f \"$setup\"' EXIT",
            f"cat >\"$setup\" <<'{end}'",
            setup.decode().rstrip("\n"),
            end,
            f'python {quote_path(project)} {shlex.quote(program)} "$setup"',
        ]
    return ask(host, lines, limit=SETUP_LIMIT)


def ask_commands(host: Host, commands: Mapping[str, Sequence[str]]) -> Answers:
    """What each of these commands says, by the name given to it. Raises as `ask_machine`."""
    return ask(host, [f"asked {name} {shlex.join(command)}" for name, command in commands.items()])


def ask(host: Host, lines: Iterable[str], *, limit: float = LIMIT) -> Answers:
    library = Path(__file__).with_name("probe.sh").read_text()
    script = library + "".join(f"{line}\n" for line in lines) + "echo end\n"
    began = time.time()
    answer = host.run(["sh", "-s"], script.encode(errors="surrogateescape"), limit=limit)
    answers = Answers(at=(began + time.time()) / 2)
    at = answer.out.find(_MARK)
    if at < 0:
        raise HostRefused(
            f"no POSIX shell answers there ({answer.words}); try: ssh {host.name} sh -c 'echo hello'"
        )
    lines_said = answer.out[at + len(_MARK) :].decode(errors="replace").splitlines()
    if lines_said[-1:] != ["end"]:
        raise HostAway(f"the answer was cut off ({answer.words})")
    for line in lines_said[:-1]:
        _read(line, answers)
    return answers


def _read(line: str, answers: Answers) -> None:
    name, colon, text = line.partition(": ")
    key, _, value = line.partition("=")
    if colon and name.isidentifier():
        answers.said.setdefault(name, []).append(text)
    elif key == "tool":
        answers.tools.add(value)
    elif key.endswith((" status", "_status")):
        answers.status[key.removesuffix("status").rstrip(" _")] = int(value)
    else:
        answers.values[key] = value
