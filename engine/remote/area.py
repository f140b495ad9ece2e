"""A sweep's directory on another machine (or, of a cluster whose login node this is, the one at home).

It has the form of a sweep's directory at home. `Area` sends what attempts need, and asks `agent.sh` there for facts;
what the facts mean is for the sources to decide. One method is one round trip. All of them raise `HostAway` and
`HostRefused`; `AreaError` where the machine answered and could not do it (a full or read-only disk).
"""

from __future__ import annotations

import io
import os
import re
import shlex
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...state.process import ProcessId
from ..command import Invocation
from ..sources.attempt import Claim, Outcome, parse_claim, parse_outcome
from .host import Answer, Host, HostAway, HostRefused

LIMIT = 60.0
"""Seconds one round trip of facts may take."""
UPLOAD_LIMIT = 600.0
"""Seconds the staging of a batch may take."""
_MARK = b"spawn-agent 1\n"
_END = b"end\n"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_./:=,@%+-]*\Z")


class AreaError(Exception):
    """The machine answered and could not do it; the text is its own complaint."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a machine says of itself when we come in."""

    home: str
    root: str
    """The sweep's directory there, absolute."""
    boot: str
    hostname: str
    user: str
    skew: float
    """Seconds its clock is ahead of ours."""


@dataclass(slots=True)
class Seen:
    """What the files of one attempt say, and whether its runner's process is there."""

    there: bool = True
    """Whether its directory exists."""
    claim: Claim | None = None
    outcome: Outcome | None = None
    alive: bool | None = None
    """Its runner, or after the exit its group; None where this machine cannot say (claimed on another)."""
    started_at: float | None = None
    ended_at: float | None = None
    """By the clock at home, in seconds since 1970."""
    complaint: str = ""
    """The last line of its stderr, if it failed."""


@dataclass(slots=True)
class Look:
    seen: dict[str, Seen] = field(default_factory=dict[str, Seen])
    health: dict[str, str] = field(default_factory=dict[str, str])
    """`load`, `cpu`, `MemTotal`, `MemAvailable`, `cores`, `disk`: raw lines of /proc and df."""


@dataclass(frozen=True, slots=True)
class Staged:
    """One attempt to be sent: its name (`task_001.1`) and its files."""

    name: str
    files: Mapping[str, bytes]


class Area:
    """`root` may begin with `~/`. `scripts`: files to be put under `scripts/` when it is opened, by path."""

    def __init__(self, host: Host, root: str, scripts: Mapping[str, bytes], *, private: bool = True) -> None:
        self.host = host
        self._root = root
        self._scripts = {"agent.sh": Path(__file__).with_name("agent.sh").read_bytes(), **scripts}
        self._private = private
        self.facts: Facts | None = None

    # --- coming in -----------------------------------------------------------------------------------------------

    def open(self) -> Facts:
        """Make the directory, put the scripts there, and take down what the machine is."""
        answer = self.host.run(["sh", "-s"], self._welcome().encode(), limit=LIMIT)
        at = answer.out.find(_MARK)
        if at < 0:
            raise HostRefused(
                f"{self.host.name}: no POSIX shell answers there ({answer.words}); "
                f"try: ssh {self.host.name} sh -c 'echo hello'"
            )
        fields: dict[str, str] = {}
        lines = answer.out[at + len(_MARK) :].decode(errors="surrogateescape").splitlines()
        for line in lines:
            key, _, value = line.partition("=")
            fields[key] = value
        if answer.status != 0 or "end" not in lines:
            raise AreaError(f"{self.host.name}: {self._root} cannot be made there: {answer.words}")
        if fields["setsid"] != "yes":
            raise HostRefused(f"{self.host.name}: there is no setsid there; install util-linux")
        root = fields["root"]
        if not _PLAIN_PATH.match(root) and not self._private:
            pass
        elif not _PLAIN_PATH.match(root):
            raise HostRefused(
                f"{self.host.name}: {root!r} has characters that not every shell takes; set remote_root to a plain path"
            )
        self.facts = Facts(
            fields["home"], root, fields["boot"], fields["host"], fields["user"],
            float(fields["now"]) - time.time(),
        )  # fmt: skip
        return self.facts

    def _welcome(self) -> str:
        root = self._root
        quoted = f'"$HOME"/{shlex.quote(root[2:])}' if root.startswith("~/") else shlex.quote(root)
        lines = [
            "set -eu",
            "umask 077",
            f"root={quoted}",
            'mkdir -p "$root/attempts" "$root/scripts/batches"',
            'cd "$root"',
        ]
        for name, text in self._scripts.items():
            quoted = shlex.quote(f"scripts/{name}")
            if "/" in name:
                lines.append(f'mkdir -p "$(dirname {quoted})"')
            # Renamed into place: a shell that reads the old one is not disturbed.
            body = text.decode(errors="surrogateescape")
            lines += [
                f"cat >{quoted}.new <<'SPAWN-END-OF-FILE'",
                body.removesuffix("\n"),
                "SPAWN-END-OF-FILE",
            ]
            lines.append(f"mv {quoted}.new {quoted}")
        lines += [
            f"echo {shlex.quote(_MARK.decode().strip())}",
            'echo "home=$HOME"',
            'echo "root=$(pwd -P)"',
            "boot= host= kernel=/proc/sys/kernel",
            "{ read -r boot <$kernel/random/boot_id && read -r host <$kernel/hostname; } 2>/dev/null ||",
            "    { boot=$(sysctl -n kern.bootsessionuuid) host=$(hostname); }",
            'echo "boot=$boot"',
            'echo "host=$host"',
            'echo "user=$(id -un 2>/dev/null || id -u)"',
            'echo "setsid=$(command -v setsid >/dev/null && echo yes)"',
            'echo "now=$(date +%s)"',
            "echo end",
        ]
        return "\n".join(lines) + "\n"

    @property
    def root(self) -> str:
        """Raises `HostAway` before it was opened."""
        if self.facts is None:
            raise HostAway(f"{self.host.name} was not reached yet")
        return self.facts.root

    def directory(self, name: str) -> str:
        """Where the attempt `name` lives there."""
        return f"{self.root}/attempts/{name}"

    def raw(
        self,
        verb: str,
        *arguments: str,
        data: bytes | Iterable[bytes] = b"",
        limit: float = LIMIT,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """One round trip to the agent; see `agent.sh` for the verbs."""
        return self.host.run(
            ["sh", f"{self.root}/scripts/agent.sh", verb, *arguments], data, limit=limit, into=into
        )

    def ask(
        self, verb: str, *arguments: str, data: bytes | Iterable[bytes] = b"", limit: float = LIMIT
    ) -> list[str]:
        """The lines the agent answers."""
        answer = self.raw(verb, *arguments, data=data, limit=limit)
        at = answer.out.find(_MARK)
        if at < 0:
            if b"agent.sh" in answer.err:
                raise AreaError(f"{self.host.name}: {self.root} is gone there ({answer.words})")
            raise HostAway(f"{self.host.name}: no answer that can be understood ({answer.words})")
        body = answer.out[at + len(_MARK) :]
        if answer.status != 0:
            raise AreaError(f"{self.host.name}: {answer.words if answer.err else f'{verb} failed'}")
        if not body.endswith(_END):
            raise HostAway(f"{self.host.name}: the answer was cut off")
        return body[: -len(_END)].decode(errors="surrogateescape").splitlines()

    # --- attempts ------------------------------------------------------------------------------------------------

    def stage(self, attempts: Sequence[Staged], extra: Mapping[str, bytes] = {}) -> None:
        """Send the files of these attempts, and others by their path below the root."""
        self.ask("stage", data=_tar(attempts, extra), limit=UPLOAD_LIMIT)

    def launch(self, batch: str, attempts: Sequence[Staged]) -> None:
        """Send these attempts and start each in a session of its own. Harmless if done before."""
        self.ask("launch", batch, data=_tar(attempts, batch_file(batch, attempts)), limit=UPLOAD_LIMIT)

    def batches(self) -> dict[str, list[str]]:
        """The names of the attempts of each batch that was staged here, in their order."""
        out: dict[str, list[str]] = {}
        for line in self.ask("batches"):
            _, batch, *names = line.split(" ")
            out[batch] = names
        return out

    def look(self, names: Sequence[str], *, health: bool = False) -> Look:
        """What the files of these attempts say."""
        lines = self.ask("look", *(["health"] if health else []), data=_lines(names))
        return _read_look(lines, self.facts, names)

    def revoke(self, names: Sequence[str]) -> dict[str, bool]:
        """Claim these attempts ourselves; for each whether it will never begin. See `attempt.revoke`."""
        out: dict[str, bool] = {}
        for line in self.ask("revoke", data=_lines(names)):
            words = line.split(" ")
            out[words[1]] = words[2] == "won"
        return out

    def signal(self, number: str, runners: Iterable[ProcessId], *, left: bool = False) -> set[int]:
        """Signal (`TERM`, `KILL`) the groups of these runners; the pids of those that were there.

        `left`: also a group whose runner is gone, if it was seen alive a moment ago.
        """
        tail = " left\n" if left else "\n"
        text = "".join(f"{process.pid} {process.start}{tail}" for process in runners)
        return {int(line.split(" ")[1]) for line in self.ask("signal", number, data=text.encode())}

    def clear(self, number: str, tokens: Iterable[str]) -> dict[str, set[int]]:
        """Signal every process that carries one of the tokens (`0`: only look); their pids by token."""
        out: dict[str, set[int]] = {}
        for line in self.ask("clear", number, data=_lines(tokens)):
            _, pid, token = line.split(" ", 2)
            out.setdefault(token, set()).add(int(pid))
        return out


def start_script(root: str, name: str, limit: str, call: Invocation, wrapper: str | None = None) -> bytes:
    """What starts one attempt there: its environment, then the runner. Every value is quoted for POSIX sh.

    `limit`: the runner's TIMEOUT; `wrapper`: a script that prepares the source's environment and runs its arguments.
    """
    lines = ["#!/bin/sh"]
    odd: list[str] = []
    for key, value in call.env.items():
        if _IDENTIFIER.match(key):
            lines.append(f"export {key}={shlex.quote(value)}")
        else:
            odd.append(f"{key}={value}")
    argv = [*(["env", "--", *odd] if odd else []), *(["sh", wrapper] if wrapper else []), *call.argv]
    words = [f"{root}/attempts/{name}", limit, call.workdir, *argv]
    lines.append("set -- " + " ".join(shlex.quote(word) for word in words))
    lines.append(f". {shlex.quote(f'{root}/scripts/runner.sh')}")
    return os.fsencode("\n".join(lines) + "\n")


def batch_file(batch: str, attempts: Sequence[Staged]) -> dict[str, bytes]:
    """The list of a batch's attempts: line n (from 0) is the attempt of array index n."""
    return {f"scripts/batches/{batch}": _lines(staged.name for staged in attempts)}


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode(errors="surrogateescape")


def _tar(attempts: Sequence[Staged], extra: Mapping[str, bytes]) -> bytes:
    """Attempts with an empty `results/` each, and other files."""
    buffer = io.BytesIO()
    now = int(time.time())

    def folder(path: str) -> None:
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o700, now
        tar.addfile(info)

    def file(path: str, content: bytes) -> None:
        info = tarfile.TarInfo(path)
        info.size, info.mode, info.mtime = len(content), 0o600, now
        tar.addfile(info, io.BytesIO(content))

    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for staged in attempts:
            folder(f"attempts/{staged.name}")
            folder(f"attempts/{staged.name}/results")
            for name, content in staged.files.items():
                file(f"attempts/{staged.name}/{name}", content)
        for path, content in extra.items():
            file(path, content)
    return buffer.getvalue()


def _read_look(lines: Sequence[str], facts: Facts | None, names: Sequence[str]) -> Look:
    look = Look()
    starts: dict[int, str] = {}
    groups: set[int] = set()
    skew = facts.skew if facts else 0.0
    now = time.time()
    for line in lines:
        kind, _, rest = line.partition(" ")
        match kind:
            case "N":
                name, _, where = rest.partition(" ")
                look.seen[name] = Seen(there=where == "there")
            case "C":
                name, _, text = rest.partition(" ")
                look.seen[name] = Seen(claim=parse_claim(text, now))
            case "E":
                _read_end(look, rest, now)
            case "W":
                name, _, text = rest.partition(" ")
                look.seen[name].complaint = text[:200]
            case "P":
                pid, start = _pid_and_start(rest)
                if start:
                    starts[pid] = start
            case "G":
                groups.add(int(rest))
            case "M":
                seconds, _, path = rest.partition(" ")
                _, name, file = path.split("/")
                seen, at = look.seen[name], float(seconds) - skew
                if file == "claim":
                    seen.started_at = at
                else:
                    seen.ended_at = at
            case "H":
                key, _, value = rest.partition(" ")
                look.health[key] = value
            case _:
                pass
    for seen in look.seen.values():
        process = seen.claim.process if seen.claim else None
        if process is not None and seen.outcome is not None:
            seen.alive = seen.alive and process.pid in groups
        elif process is not None and facts and (process.host, process.boot) == (facts.hostname, facts.boot):
            seen.alive = starts.get(process.pid) == process.start
        elif process is not None and facts and process.host == facts.hostname:
            seen.alive = False  # of an earlier boot of this very machine
    missing = [name for name in names if name not in look.seen]
    if missing:
        raise HostAway(f"nothing was said of {missing[0]}")
    return look


def _read_end(look: Look, rest: str, now: float) -> None:
    name, limit, alive, text = rest.split(" ", 3)
    claim, _, outcome = text.rpartition(" / ")
    seen = look.seen[name] = Seen(claim=parse_claim(claim, now), alive=alive == "1")
    seen.outcome = parse_outcome(outcome, None if limit == "-" else limit, now)


def _pid_and_start(stat: str) -> tuple[int, str]:
    """Pid and start time of a line of /proc/PID/stat (proc(5)); no start time for a zombie."""
    pid = int(stat.split(" ", 1)[0])
    fields = stat[stat.rindex(")") + 2 :].split()
    return pid, "" if fields[0] in ("Z", "X") else fields[19]
