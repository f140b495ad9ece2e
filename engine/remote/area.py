"""A sweep's directory on another machine (or, of a cluster whose login node this is, the one at home).

It has the form of a sweep's directory at home. `Area` sends what attempts need, and asks `agent.sh` there for facts;
what the facts mean is for the sources to decide. One method is one round trip. All of them raise `HostAway` and
`HostRefused`; `AreaError` where the machine answered and could not do it (a full or read-only disk).
"""

from __future__ import annotations

import io
import os
import re
import secrets
import shlex
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...state.process import ProcessId
from ..command import Invocation
from .facts import Facts, Look, read_look
from .host import CHUNK, Answer, Host, HostAway, HostRefused

LIMIT = 60.0
"""Seconds one round trip of facts may take."""
LOOK_LIMIT = 20.0
"""Seconds a look may take: a machine that is silent for longer is told as unreachable."""
LOOK_BATCH = 500
"""Attempts that are looked at in one round trip."""
UPLOAD_LIMIT = 600.0
"""Seconds the staging of a batch may take."""
_MARK = b"spawn-agent 1\n"
_END = b"end\n"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_./:=,@%+-]*\Z")


class AreaError(Exception):
    """The machine answered and could not do it; the text is its own complaint."""


Revoked = Literal["won", "lost", "failed"]
"""`lost`: somebody has the claim; `failed`: nobody has it, and it cannot be made (a full or read-only disk)."""


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
        asked = time.time()
        answer = self.host.run(["sh", "-s"], self._welcome().encode(), limit=LIMIT)
        answered = time.time()
        at = answer.out.find(_MARK)
        if at < 0:
            raise HostRefused(
                f"{self.host.name}: no POSIX shell answers there ({answer.words}); "
                f"try: ssh {self.host.name} sh -c 'echo hello'"
            )
        fields: dict[str, str] = {}
        lines = answer.out[at + len(_MARK) :].decode(errors="surrogateescape").split("\n")
        for line in lines:
            key, _, value = line.partition("=")
            fields[key] = value
        if answer.status != 0 or "end" not in lines:
            raise HostRefused(
                f"{self.host.name}: attempts cannot be kept in {self._root} there: {answer.words}; "
                f"{_remedy(answer.words) or 'set remote_root in spawn.yaml to a folder that you may write to'}"
            )
        for program, package in (("setsid", "util-linux"), ("tar", "tar")):
            if fields[program] != "yes":
                raise HostRefused(
                    f"{self.host.name}: there is no {program} on the PATH of a login without a terminal; "
                    f"install it there (package {package}), or mend that PATH"
                )
        root = fields["root"]
        if self._private and not _PLAIN_PATH.match(root):
            raise HostRefused(
                f"{self.host.name}: {root!r} has characters that not every shell takes; set remote_root to a plain path"
            )
        self.facts = Facts(
            fields["home"], root, fields["boot"], fields["host"], fields["user"],
            _skew(float(fields["now"]), asked, answered),
        )  # fmt: skip
        return self.facts

    def _welcome(self) -> str:
        root = self._root
        quoted = f'"$HOME"/{shlex.quote(root[2:])}' if root.startswith("~/") else shlex.quote(root)
        lines = [
            "set -eu",
            "umask 077",
            # Here somebody speaks who knows POSIX sh: what fails from now on fails for a reason of its own.
            f"echo {shlex.quote(_MARK.decode().strip())}",
            f"root={quoted}",
            # A copy that is there already will do where the disk has filled up since. Renamed into place: a shell that
            # reads the old one is not disturbed.
            # The name is one's own: two sources may share this directory (a home on NFS, two partitions).
            f"put() {{ new=$1.{secrets.token_hex(4)}",
            '  if cat >"$new"; then cmp -s "$new" "$1" && rm -f "$new" || mv "$new" "$1"',
            '  else rm -f "$new"; [ -s "$1" ]; fi; }',
            'mkdir -p "$root/attempts" "$root/scripts/batches"',
            'cd "$root"',
        ]
        for name, text in self._scripts.items():
            quoted = shlex.quote(f"scripts/{name}")
            if "/" in name:
                lines.append(f'mkdir -p "$(dirname {quoted})"')
            body = text.decode(errors="surrogateescape")
            lines += [
                f"put {quoted} <<'SPAWN-END-OF-FILE'",
                body.removesuffix("\n"),
                "SPAWN-END-OF-FILE",
            ]
        lines += [
            'echo "home=$HOME"',
            'echo "root=$(pwd -P)"',
            "boot= host= kernel=/proc/sys/kernel",
            "{ read -r boot <$kernel/random/boot_id && read -r host <$kernel/hostname; } 2>/dev/null ||",
            "    { boot=$(sysctl -n kern.bootsessionuuid) host=$(hostname); }",
            'echo "boot=$boot"',
            'echo "host=$host"',
            'echo "user=$(id -un 2>/dev/null || id -u)"',
            'echo "setsid=$(command -v setsid >/dev/null && echo yes)"',
            'echo "tar=$(command -v tar >/dev/null && echo yes)"',
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
        body = self.body_of(verb, self.raw(verb, *arguments, data=data, limit=limit))
        # Only newlines end a line: `splitlines` would cut at form feeds and other characters of a task's own words.
        text = body.decode(errors="surrogateescape").removesuffix("\n")
        return text.split("\n") if text else []

    def body_of(self, verb: str, answer: Answer) -> bytes:
        """What the agent said, without what stood before and behind it."""
        body = behind_mark(answer.out)
        self._require_agent(body is not None, answer)
        assert body is not None
        if answer.status != 0:
            words = answer.words if answer.err else f"{verb} failed"
            remedy = _remedy(words)
            raise AreaError(f"{self.host.name}: {self.root}: {words}{f'; {remedy}' if remedy else ''}")
        if not body.endswith(_END):
            raise HostAway(f"{self.host.name}: the answer was cut off")
        return body[: -len(_END)]

    def stream(
        self, verb: str, *arguments: str, data: bytes, limit: float, into: Callable[[bytes], object]
    ) -> Answer:
        """The bytes the agent sends, in pieces as they come; whoever takes them knows where they must end."""
        behind = _BehindMark(into)
        answer = self.raw(verb, *arguments, data=data, limit=limit, into=behind)
        self._require_agent(behind.begun, answer)
        return answer

    def _require_agent(self, spoke: bool, answer: Answer) -> None:
        if spoke:
            return
        if b"agent.sh" in answer.err:
            raise AreaError(f"{self.host.name}: {self.root} is gone there ({answer.words})")
        raise HostAway(f"{self.host.name}: no answer that can be understood ({answer.words})")

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
        out = Look()
        for first in range(0, max(1, len(names)), LOOK_BATCH):
            part = names[first : first + LOOK_BATCH]
            lines = self.ask("look", *(["health"] if health else []), data=_lines(part), limit=LOOK_LIMIT)
            try:
                look = read_look(lines, self.facts, part)
            except (ValueError, KeyError, IndexError) as error:
                raise HostAway(f"{self.host.name}: an answer that cannot be understood ({error!r})") from None
            out.seen.update(look.seen)
            out.health.update(look.health)
            health = False
        return out

    def revoke(self, names: Sequence[str]) -> dict[str, Revoked]:
        """Claim these attempts ourselves, so that they never begin. See `attempt.revoke`."""
        out: dict[str, Revoked] = {}
        for line in self.ask("revoke", data=_lines(names)):
            words = line.split(" ")
            out[words[1]] = "won" if words[2] == "won" else "lost" if words[2] == "lost" else "failed"
        missing = [name for name in names if name not in out]
        if missing:
            raise HostAway(f"{self.host.name}: nothing was said of {missing[0]}")
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


def _remedy(words: str) -> str:
    """What to do about a complaint of the disk there; empty if it is none."""
    if re.search(r"No space left|[Qq]uota exceeded", words):
        return "make room there, or set remote_root in spawn.yaml to a folder on another disk"
    if re.search(r"Read-only file system|Permission denied", words):
        return "set remote_root in spawn.yaml to a folder that you may write to"
    return ""


def _skew(there: float, asked: float, answered: float) -> float:
    """How far a clock that says whole seconds is ahead; 0 if it may well be right."""
    if asked - 1.5 <= there <= answered + 0.5:
        return 0.0
    return there + 0.5 - (asked + answered) / 2


def behind_mark(out: bytes) -> bytes | None:
    """What the agent said: a login script may have printed before it. None if it said nothing."""
    at = out.find(_MARK)
    return None if at < 0 else out[at + len(_MARK) :]


class _BehindMark:
    """Passes on what comes behind the agent's first line; a login script may have printed before it."""

    def __init__(self, into: Callable[[bytes], object]) -> None:
        self.begun = False
        self._into, self._head = into, b""

    def __call__(self, piece: bytes) -> None:
        if not self.begun:
            self._head += piece
            behind = behind_mark(self._head)
            if behind is None:
                self._head = self._head[-CHUNK:]
                return
            self.begun = True
            piece = behind
        if piece:
            self._into(piece)


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
