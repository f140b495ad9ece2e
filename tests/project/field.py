"""A project at home and a copy of it elsewhere, for the tests of both."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from spawn_tui.engine.project.files import ProjectRules
from spawn_tui.engine.project.project import Project
from spawn_tui.engine.remote.host import Host

NASTY = (
    b"with space",
    b"new\nline",
    b"back\\slash",
    b"quote'\"$(id)",
    b"-dash",
    b"\xff\xfe.bin",
    "ünïcode".encode(),
    b"a\tb",
)
"""Names of files that something on the way might not take."""


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def write_nasty(folder: Path) -> None:
    (folder / "odd dir\n").mkdir(parents=True, exist_ok=True)
    for n, name in enumerate(NASTY):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(bytes([n]) * n)
        Path(os.fsdecode(os.fsencode(folder / "odd dir\n") + b"/" + name)).write_bytes(os.urandom(100))


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main",
         "-c", "safe.directory=*", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


def commit(folder: Path, message: str = "a commit") -> str:
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "-A", ".")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def project(folder: Path, **rules: tuple[str, ...] | Path) -> Project:
    return Project(folder, ProjectRules(**rules))  # type: ignore[arg-type]


def names(project: Project) -> list[str]:
    return list(project.entries)


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Content and executable bit of all files below, links by their target; without git's and ours."""
    found: dict[str, tuple[bytes, bool]] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name.partition("/")[0] == ".git":
            continue
        if path.is_symlink():
            found[name] = (b"-> " + os.fsencode(path.readlink()), False)
        elif path.is_file():
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


def leftovers(folder: Path) -> list[str]:
    """What a transfer should not leave in a copy."""
    return [path.name for path in folder.glob(".spawn-sync-*")]


class Scripts:
    """What is fed to another machine, so that a test can count it and do something just before it."""

    def __init__(self, host: Host) -> None:
        self.host, self.name, self.usage = host, host.name, host.usage
        self.before: list[tuple[int, object]] = []
        self.count = 0

    def run(self, command, data=b"", *, limit, into=None):
        self.count += 1
        for number, action in self.before:
            if number == self.count:
                action()  # type: ignore[operator]
        return self.host.run(command, data, limit=limit, into=into)

    def close(self) -> None:
        self.host.close()


def lines(words: Iterable[str]) -> str:
    return "\n".join(words) + "\n"
