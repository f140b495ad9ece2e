"""What a sweep was made from: commit, diff and untracked names of the project, versions, host and command line."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..state.disk import DIR_MODE, FILE_MODE
from ..state.process import host_name

_TIMEOUT = 10.0
_MOST = 4 << 20
"""Bytes of a diff that are kept."""


def write_provenance(folder: Path, project: Path, command_line: Sequence[str]) -> None:
    """Write `provenance/`. A project without git, or a git that fails or hangs, is said in words, never an error.

    Raises `OSError` if the folder cannot be written.
    """
    folder.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
    head = _git(project, "rev-parse", "HEAD")
    lines = [
        f"spawn_tui: {program_version()}",
        f"python: {platform.python_version()} ({sys.executable})",
        f"platform: {platform.platform()}",
        f"host: {host_name()}",
        f"project: {project}",
        f"command: {shlex.join(command_line)}",
        f"git_commit: {head.strip() if head else 'none'}",
    ]
    _write(folder / "environment.yaml", "".join(f"{key}: {_quoted(rest)}\n" for key, rest in _pairs(lines)))
    if head:
        _write(folder / "git_diff.patch", _git(project, "diff", "HEAD") or "")
        _write(
            folder / "git_untracked.txt", _git(project, "ls-files", "--others", "--exclude-standard") or ""
        )


def program_version() -> str:
    try:
        return version("spawn-tui")
    except PackageNotFoundError:
        return "unknown"


def _pairs(lines: list[str]) -> list[tuple[str, str]]:
    return [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines]


def _quoted(text: str) -> str:
    import json

    return json.dumps(text)


def _git(project: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(project), *arguments], capture_output=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    text = done.stdout[:_MOST].decode(errors="replace")
    return text if len(done.stdout) <= _MOST else text + "\n[cut]\n"


def _write(path: Path, text: str) -> None:
    path.touch(mode=FILE_MODE)
    path.write_text(text)
