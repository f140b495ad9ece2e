"""One transfer into a copy of the project: three round trips that prepare, send and install, and verify."""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..remote.host import Answer, Host
from . import rsync
from .compare import difference
from .far import Copy, chunks, library, look, parents, quote_path
from .manifest import Entry, first_of, megabytes
from .pack import Packer
from .project import Project
from .record import Record

PREPARE_LIMIT = 120.0
SEND_LIMIT = 6 * 3600.0
"""Seconds one transfer may take."""
_MARK = b"spawn-project 1\n"
_PLAIN = re.compile(r"/[A-Za-z0-9_./:=,@%+-]*\Z")

Progress = Callable[[int, int], object]
"""Called with the bytes of content sent so far, and in all."""


class PushFailed(Exception):
    """The copy could not be made right; the text says why."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file there that is somebody's."""

    name: str
    why: str
    forcible: bool = True


@dataclass(slots=True)
class Plan:
    """What is to be done."""

    send: list[Entry] = field(default_factory=list[Entry])
    delete: list[str] = field(default_factory=list[str])
    keep: list[str] = field(default_factory=list[str])
    """What is somebody else's, and replaced or deleted by force."""
    conflicts: list[Conflict] = field(default_factory=list[Conflict])


class Transfer:
    """The three round trips that change something: prepare, send and install, verify."""

    def __init__(
        self,
        host: Host,
        project: Project,
        there: str,
        copy: Copy,
        plan: Plan,
        options: Mapping[str, str],
        progress: Progress,
    ) -> None:
        self.host, self.project, self.there, self.copy, self.plan = host, project, there, copy, plan
        self.options, self.progress = options, progress
        self.token = secrets.token_hex(6)
        self.stage = f".spawn-sync-{self.token}"
        self.notes: list[str] = []
        self.sent = 0
        self.way = ""
        self.path = copy.path
        self.key = copy.key

    @property
    def kept(self) -> str:
        return f"~/.spawn/sync/{self.key}/kept-{self.token}"

    def run(self) -> None:
        """Raises as `push`."""
        self._prepare()
        try:
            self.way = "rsync" if self._by_rsync() else "tar"
        except rsync.RsyncFailed as failure:
            room = self._install("clean").out.decode(errors="replace").strip()
            size = megabytes(sum(entry.size for entry in self.plan.send))
            raise PushFailed(
                f"{self.host.name}: nothing was changed there: {failure} ({room}; {size} were to be sent)"
            ) from None
        if self.way == "rsync":
            self._check(self._install("staged"))
        else:
            self._by_tar()
        self._verify()

    def _prepare(self) -> None:
        """The folder, the record of what is about to be done, and the script that does it."""
        script = [library().rstrip("\n")]
        end = f"SPAWN-END-{self.token}"
        if not self.copy.path:
            script.append(f"mkdir -p {quote_path(self.there)} || exit 1")
        script += [
            f"there {quote_path(self.there)}",
            "path=$(pwd -P)",
            f"umask 077; mkdir -p ./{self.stage}/files || exit 1",
            # What a transfer that died left behind, long ago.
            "find . -maxdepth 1 -type d -name '.spawn-sync-*' -mtime +0 -exec rm -rf {} + </dev/null",
            'key=$(printf "%s\\n" "$path" | sum)',
            "key=${key%% *}",
            'mkdir -p "$HOME/.spawn/sync/$key" && cd "$HOME/.spawn/sync/$key" || exit 1',
            f"cat >{self.token}.sh <<'{end}' || exit 1",
            self._script(),
            end,
            f"cat >files.{self.token} <<'{end}' && mv files.{self.token} files || exit 1",
            f"{self._record().lines()}{end}",
            'echo "key=$key"',
            "echo end",
        ]
        text = "\n".join(script) + "\n"
        answer = self.host.run(["sh", "-s"], text.encode(errors="surrogateescape"), limit=PREPARE_LIMIT)
        at = answer.out.find(_MARK)
        lines = os.fsdecode(answer.out[max(at, 0) :]).splitlines()
        fields = dict(line.split("=", 1) for line in lines if "=" in line)
        if at < 0 or lines[-1:] != ["end"] or "key" not in fields:
            raise PushFailed(f"{self.host.name}: {self.there} cannot be written there: {answer.words}")
        self.key, self.path = fields["key"], fields["path"]

    def _record(self) -> Record:
        """What is ours once this is done, or was half done: of what is replaced, the old sum as well."""
        sums = {
            name: digests
            for name, digests in self.copy.record.sums.items()
            if self.copy.kinds.get(name, "-") != "-" or name in self.plan.delete
        }
        for entry in self.plan.send:
            old = sums.get(entry.name, frozenset()) & {self.copy.sums.get(entry.name, "")}
            sums[entry.name] = old | {entry.digest}
        return Record(sums)

    def _script(self) -> str:
        """What installs the files, for this very transfer."""
        plan, tar = self.plan, "-xzof" if "gzip" in self.copy.tools else "-xof"
        lines = [Path(__file__).with_name("install.sh").read_text().rstrip("\n"), _sum_function()]
        lines += ["mode=$1", f"begin {quote_path(self.path or self.there)} {self.stage} {tar}"]
        key = '"${me%/*}"'
        for name in plan.keep:
            parent = name.rpartition("/")[0] or "."
            lines.append(f"keep {key}/kept-{self.token} {shlex.quote(name)} {shlex.quote(parent)}")
        by_folder: dict[str, list[str]] = {}
        for entry in plan.send:
            by_folder.setdefault(entry.name.rpartition("/")[0], []).append(entry.name)
        folders = sorted({folder for entry in plan.send for folder in parents(entry.name)})
        lines += [f"mkdir -p {words} || exit 1" for _, words in chunks(folders)]
        for folder, names in by_folder.items():
            staged = [f"{self.stage}/files/{name}" for name in names]
            lines += [f"move {shlex.quote(folder or '.')} {words}" for _, words in chunks(staged)]
        for name in plan.delete:
            lines.append(f"gone {self.copy.sums[name]} {shlex.quote(f'./{name}')}")
        lines.append("echo installed")
        return "\n".join(lines)

    def _by_rsync(self) -> bool:
        """Whether rsync brought the files."""
        if not self.options.get("host") or not self.plan.send:
            return False
        why = rsync.unusable_here() or (
            "" if "rsync" in self.copy.tools else f"there is no rsync on {self.host.name}"
        )
        if not why:
            names = [entry.name for entry in self.plan.send]
            try:
                self.sent = rsync.send(self.project.folder, names, self.options, self.path, self.stage)
            except rsync.RsyncUnusable as reason:
                why = f"rsync does not get through ({reason})"
            else:
                return True
        self.notes.append(f"{why}; a tar was sent instead")
        return False

    def _by_tar(self) -> None:
        total = sum(entry.size for entry in self.plan.send)
        packer = Packer(
            self.project.folder, self.plan.send, compress="gzip" in self.copy.tools,
            progress=lambda done: self.progress(done, total),
        )  # fmt: skip
        answer = self._install("tar", self._counted(packer))
        if packer.problem:
            raise PushFailed(f"{self.host.name}: nothing was changed there: {packer.problem}")
        self._check(answer)

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.sent += len(piece)
            yield piece

    def _install(self, mode: str, data: Iterable[bytes] = ()) -> Answer:
        home = f"{self.copy.home}/"
        # Only plain words can stand in a command; the login directory is the home directory.
        script = f"{home if _PLAIN.match(home) else ''}.spawn/sync/{self.key}/{self.token}.sh"
        return self.host.run(["sh", script, mode], data, limit=SEND_LIMIT)

    def _check(self, answer: Answer) -> None:
        if answer.status or not answer.out.endswith(b"installed\n"):
            raise PushFailed(f"{self.host.name}: the files could not be put into {self.path}: {answer.words}")

    def _verify(self) -> None:
        copy = look(self.host, self.there, [entry.name for entry in self.plan.send])
        wrong = [
            entry.name
            for entry in self.plan.send
            if copy.is_blocked(entry.name)
            or copy.kinds.get(entry.name, "-") == "-"
            or difference(entry, copy) is not None
        ]
        left = [name for name in self.plan.delete if copy.kinds.get(name, "-") != "-"]
        if wrong or left:
            raise PushFailed(
                f"{self.host.name}: after the transfer {first_of([*wrong, *left])} in {self.path} still differs; does "
                "something else write there?"
            )


def _sum_function() -> str:
    """`sum` as the questions use it: the lines of far.sh that find the program."""
    text = library()
    return text[text.index("summer=\n") : text.index("there() {")].rstrip("\n")
