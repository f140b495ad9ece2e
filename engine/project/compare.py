"""Whether a copy of the project is what the project is: by commit where that says it all, else by content.

A copy is in sync if every file of the project is there with the same content, and nothing of what we once put there
has vanished at home. What else lies there (results, caches, data) is not our business.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..remote.host import Host, HostAway, HostRefused, LocalHost
from ..remote.hosts import host_of
from ..sources.place import project_there
from ..sources.registry import KINDS, SourceSpec
from .far import Copy, look
from .files import ProjectError
from .manifest import Entry, first_of
from .project import Project

State = Literal["ok", "differs", "unreachable", "refused"]
_AT_ONCE = 16
"""Sources that are asked at the same time."""
_KINDS = {"f": "", "x": "", "l": "a link there", "u": "cannot be read there", "o": "no file there"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a copy stands to the project. Names are the project's."""

    there: str
    """The folder on the other machine."""
    total: int = 0
    """How many files were compared; 0 if the commits said it all."""
    missing: tuple[str, ...] = ()
    different: tuple[tuple[str, str], ...] = ()
    """Names, and what is the matter besides their content (or nothing)."""
    stale: tuple[str, ...] = ()
    """Put there by us, and gone at home."""
    absent: bool = False
    """There is no such folder."""
    itself: bool = False
    """It is no copy, but the project."""
    git: str = ""
    """Where git stands here and there, in words."""

    @property
    def in_sync(self) -> bool:
        return not (self.absent or self.missing or self.different or self.stale)

    @property
    def words(self) -> str:
        """In one line, without the remedy."""
        if self.absent:
            return f"the project is not there: no folder {self.there}"
        if self.itself:
            return f"the project itself is there, {self.there}"
        if self.in_sync:
            how = "the same commit, clean" if not self.total else f"{self.total} files alike"
            return f"the project is in sync in {self.there} ({how})"
        parts: list[str] = []
        if self.different:
            shown = [f"{name} ({why})" if why else name for name, why in self.different]
            parts.append(f"{_files(len(shown))} differ{_s(shown)}: {first_of(shown)}")
        if self.missing:
            parts.append(f"{_files(len(self.missing))} missing there: {first_of(self.missing)}")
        if self.stale:
            parts.append(f"{_files(len(self.stale))} deleted here and not there: {first_of(self.stale)}")
        return (
            f"the project differs in {self.there}: {'; '.join(parts)}{f' ({self.git})' if self.git else ''}"
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at one source's copy came to, before a launch."""

    source: str
    state: State
    words: str


def compare(host: Host, project: Project, there: str) -> Comparison:
    """Compare with the copy at `there` (may begin with `~/`). Raises `HostAway`, `HostRefused` and `ProjectError`."""
    if is_home(host, project, there):
        return Comparison(str(project.folder), itself=True)
    return by_commit(host, project, there) or judge(host, project, look(host, there, sorted(project.entries)))


def by_commit(host: Host, project: Project, there: str) -> Comparison | None:
    """What can be said without reading files; None where they must be. Raises as `compare`."""
    git = project.git
    if git is None or not git.settled:
        return None
    copy = look(host, there, None)
    if not copy.path:
        return _not_there(host, copy)
    if (copy.head, copy.prefix, copy.changed, copy.flagged) == (git.head, git.prefix, 0, 0):
        return Comparison(copy.path)
    return None


def judge(host: Host, project: Project, copy: Copy) -> Comparison:
    """What a look at all files means. Raises `HostRefused`."""
    if not copy.path:
        return _not_there(host, copy)
    missing: list[str] = []
    different: list[tuple[str, str]] = []
    for name, entry in project.entries.items():
        if copy.is_blocked(name):
            different.append((name, "its folder is a link or a file there"))
        elif copy.kinds[name] == "-":
            missing.append(name)
        elif (why := difference(entry, copy)) is not None:
            different.append((name, why))
    stale = tuple(name for name in copy.record.sums if is_stale(name, project, copy))
    return Comparison(
        copy.path,
        len(project.entries),
        tuple(missing),
        tuple(different),
        stale,
        git=_git_words(project, copy),
    )


def difference(entry: Entry, copy: Copy) -> str | None:
    """What is the matter with a file that is there; empty if it is its content, None if nothing is."""
    kind = copy.kinds[entry.name]
    if entry.link:
        if kind != "l":
            return "a link here"
        return None if copy.sums[entry.name] == entry.digest else ""
    if kind not in "fx":
        return _KINDS[kind]
    if copy.sums.get(entry.name) != entry.digest:
        return ""
    if entry.executable != (kind == "x"):
        return "executable here" if entry.executable else "executable there"
    return None


def is_stale(name: str, project: Project, copy: Copy) -> bool:
    """Whether we put it there, and it is gone at home (what is now excluded, is not gone) and not yet there."""
    if name in project.entries or copy.kinds.get(name, "-") == "-" or copy.is_blocked(name):
        return False
    return not os.path.lexists(project.folder / name)


def is_home(host: Host, project: Project, there: str) -> bool:
    """Whether the copy is the project itself: a cluster whose login node this is."""
    return isinstance(host, LocalHost) and Path(there).expanduser().resolve() == project.folder


def place_of(spec: SourceSpec, project: Path) -> str:
    """Where the project is on the machine of `spec`; may begin with `~/`."""
    return project_there(project, "~", spec.options.get("project_dir"))


def target_of(spec: SourceSpec) -> str:
    """How the command line names this source again."""
    host = spec.options.get("host", "")
    if spec.kind == "ssh" and re.fullmatch(rf"{re.escape(host)}(-\d+)?", spec.name):
        user, port = spec.options.get("user"), spec.options.get("port")
        return f"ssh:{f'{user}@' if user else ''}{host}{f':{port}:{spec.slots}' if port else ''}"
    return spec.name if spec.name == spec.kind else f"{spec.kind}:{spec.name}"


def require_in_sync(host: Host, spec: SourceSpec, project: Project) -> Comparison:
    """Raises `HostRefused` that says which files differ and what to do, unless the copy is in sync or the source is
    told not to be verified; also `HostAway`.
    """
    there = place_of(spec, project.folder)
    if spec.options.get("verify") == "no":
        return Comparison(there)
    try:
        comparison = compare(host, project, there)
    except ProjectError as error:
        raise HostRefused(f"{spec.name}: the project cannot be compared: {error}") from None
    if not comparison.in_sync:
        raise HostRefused(f"{spec.name}: {comparison.words}. {remedy(spec, comparison)}")
    return comparison


def remedy(spec: SourceSpec, comparison: Comparison) -> str:
    """What to do about a copy that is not in sync."""
    send = f"Send it with: spawn-tui sync --target {target_of(spec)}"
    if comparison.absent:
        return f"{send}; if it is elsewhere there, name the folder with project_dir in spawn.yaml"
    return f"{send}; or commit here and pull there; --no-verify-sync launches all the same"


def preflight(
    specs: Sequence[SourceSpec],
    project: Project,
    connect: Callable[[SourceSpec], Host] = lambda spec: host_of(spec.name, spec.options),
) -> list[Finding]:
    """Look at the copies of all sources elsewhere at once, before a sweep is made. Raises `ProjectError`."""
    remote = [spec for spec in specs if KINDS[spec.kind].remote and spec.options.get("verify") != "no"]
    if not remote:
        return []

    def find(spec: SourceSpec) -> Finding:
        try:
            with closing(connect(spec)) as host:
                comparison = compare(host, project, place_of(spec, project.folder))
        except HostAway as away:
            return Finding(spec.name, "unreachable", str(away))
        except HostRefused as refused:
            return Finding(spec.name, "refused", str(refused))
        if comparison.in_sync:
            return Finding(spec.name, "ok", comparison.words)
        return Finding(spec.name, "differs", f"{comparison.words}. {remedy(spec, comparison)}")

    with ThreadPoolExecutor(min(len(remote), _AT_ONCE), thread_name_prefix="project sync") as pool:
        return list(pool.map(find, remote))


def _not_there(host: Host, copy: Copy) -> Comparison:
    if copy.closed:
        raise HostRefused(f"{host.name}: {copy.closed} is no folder that can be entered there")
    return Comparison(copy.absent, absent=True)


def _git_words(project: Project, copy: Copy) -> str:
    here = project.git
    if here is None:
        return ""
    if not copy.head:
        return f"git here {here.words}, no git there"
    dirty = f" with {copy.changed} changed" if copy.changed else ", clean"
    return f"git here {here.words}; there at {copy.head[:10]}{dirty}"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _s(words: Sequence[str]) -> str:
    return "s" if len(words) == 1 else ""
