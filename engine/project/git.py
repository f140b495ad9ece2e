"""What git says of the project at home. Every call is one process, has a limit and takes no lock in the repository."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

LIMIT = 120.0
"""Seconds git may take; the first look at a big tree on a network file system is slow."""
_ZERO = b"\0"


class GitFailed(Exception):
    """git is not there, refused or took too long; the text is its own complaint."""


@dataclass(frozen=True, slots=True)
class GitState:
    """The commit a working tree stands at, and whether the commit alone says what the tree holds."""

    head: str
    """Full hash of the commit; empty before the first."""
    prefix: str
    """The project's folder below the repository's root, with a slash at its end; empty for the root itself."""
    changed: int
    """Files that differ from the commit, or are new."""
    opaque: str = ""
    """Why equal commits would not mean equal files, in words; empty if they do."""

    @property
    def settled(self) -> bool:
        """Whether an equal commit in a clean tree elsewhere means equal files."""
        return bool(self.head) and not self.changed and not self.opaque

    @property
    def words(self) -> str:
        if not self.head:
            return "no commit yet"
        if not self.changed:
            return f"at {self.head[:10]}, clean"
        return f"at {self.head[:10]} with {self.changed} changed file{'s' if self.changed > 1 else ''}"


def in_repository(folder: Path) -> bool:
    """Whether `folder` is inside a git working tree, told without git."""
    return any((above / ".git").exists() for above in (folder, *folder.parents))


def list_files(folder: Path) -> list[bytes]:
    """The files of `folder` that are tracked, or new and not ignored; those of repositories inside it as well.

    Paths relative to `folder`; some may not exist (deleted, not committed). Raises `GitFailed`.
    """
    out = run_git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names: dict[bytes, None] = {}
    for name in out.split(_ZERO):
        path = name.rstrip(b"/")
        where = os.fsencode(folder) + b"/" + path
        # A repository inside this one is a single entry, whether it is a submodule or simply lies there.
        if path and not os.path.islink(where) and os.path.isdir(where):  # noqa: PTH112,PTH114 - names are bytes
            if os.listdir(where):  # noqa: PTH208
                inner = list_files(Path(os.fsdecode(where)))
                names.update(dict.fromkeys(path + b"/" + name for name in inner))
        elif path:
            names[path] = None
    return list(names)


def state_of(folder: Path, ignored: Sequence[str]) -> GitState:
    """`ignored`: folders (relative to `folder`) whose files do not count as changes. Raises `GitFailed`."""
    prefix = os.fsdecode(run_git(folder, "rev-parse", "--show-prefix").removesuffix(b"\n"))
    try:
        head = run_git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
    except GitFailed:
        return GitState("", prefix, 0)
    # With `normal` git would name only the topmost new folder, be there nothing in it that counts.
    status = run_git(
        folder, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all",
        "--", ".", *(f":(exclude,literal){path}" for path in ignored),
    )  # fmt: skip
    return GitState(head, prefix, status.count(_ZERO), _opaque(folder))


def _opaque(folder: Path) -> str:
    """What git does not itself check out or look at: filters (LFS), submodules, entries it was told to trust."""
    flags = run_git(folder, "ls-files", "-v", "-z")
    if any(line[:1].islower() or line[:1] == b"S" for line in flags.split(_ZERO)):
        return "git was told to assume files unchanged"
    stages = run_git(folder, "ls-files", "-s", "-z")
    if any(line.startswith(b"160000 ") for line in stages.split(_ZERO)):
        return "it has submodules"
    attributes = [
        line.partition(b"\t")[2] for line in stages.split(_ZERO) if line.endswith(b".gitattributes")
    ]
    top = Path(os.fsdecode(run_git(folder, "rev-parse", "--show-toplevel").removesuffix(b"\n")))
    paths = [os.fsencode(folder) + b"/" + name for name in attributes]
    paths += [
        os.fsencode(above / ".gitattributes") for above in (folder, *folder.parents) if _within(above, top)
    ]
    for path in paths:
        try:
            text = Path(os.fsdecode(path)).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise GitFailed(f"{os.fsdecode(path)}: {error.strerror}") from None
        if b"filter=" in text:
            return "git filters its content (LFS)"
    return ""


def _within(folder: Path, top: Path) -> bool:
    return folder.resolve().is_relative_to(top)


def committed_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of these files as the commit has them; those it has not are left out. Raises `GitFailed`."""
    # One request a line: a name with a newline cannot be asked for so.
    asked = [name for name in names if "\n" not in name]
    if not asked:
        return {}
    requests = b"".join(b"HEAD:./" + os.fsencode(name) + b"\n" for name in asked)
    out = run_git(folder, "cat-file", "--batch", data=requests)
    digests: dict[str, str] = {}
    at = 0
    for name in asked:
        end = out.index(b"\n", at)
        words = out[at:end].rsplit(b" ", 2)
        at = end + 1
        if words[-1] == b"missing" or len(words) != 3 or words[1] != b"blob":
            if len(words) == 3 and words[2].isdigit():
                at += int(words[2]) + 1
            continue
        size = int(words[2])
        digests[name] = hashlib.sha256(out[at : at + size]).hexdigest()
        at += size + 1
    return digests


def run_git(folder: Path, *arguments: str, data: bytes = b"") -> bytes:
    """Raises `GitFailed`."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "-c", "core.quotePath=false", *arguments],
            input=data, capture_output=True, timeout=LIMIT, check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
        )  # fmt: skip
    except FileNotFoundError:
        raise GitFailed("git is not installed") from None
    except OSError as error:
        raise GitFailed(f"git cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise GitFailed(f"git {arguments[0]} took longer than {LIMIT:g} s") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitFailed(lines[0] if lines else f"git {arguments[0]} ended with {done.returncode}")
    return done.stdout
