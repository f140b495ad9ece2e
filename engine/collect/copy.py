"""A copy of the tree people read, for who wants the results elsewhere: hard links where the disk is the same."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ...state.disk import DIR_MODE

_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP})


@dataclass(slots=True)
class Copied:
    """What `copy_tasks` did. `kept`: files there that differ and were not made by us; they stay as they are."""

    tasks: int = 0
    files: int = 0
    kept: list[Path] = field(default_factory=list[Path])


def copy_tasks(tasks: Iterable[tuple[str, Path]], target: Path) -> Copied:
    """Copy tasks, given by name and the directory of the attempt that counts, to `target/tasks/NAME`. May be repeated.

    Raises `OSError`.
    """
    done = Copied()
    for name, source in tasks:
        if source.is_dir():
            done.tasks += 1
            _copy_folder(source, target / "tasks" / name, done)
    return done


def _copy_folder(source: Path, target: Path, done: Copied) -> None:
    target.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            to = target / entry.name
            if entry.is_dir(follow_symlinks=False):
                _copy_folder(Path(entry.path), to, done)
            elif entry.is_symlink():
                _copy_link(Path(entry.path), to, done)
            elif entry.is_file():
                _copy_file(Path(entry.path), to, done)


def _copy_link(source: Path, to: Path, done: Copied) -> None:
    held = str(source.readlink())
    if not os.path.lexists(to):
        to.symlink_to(held)
    elif not to.is_symlink() or str(to.readlink()) != held:
        done.kept.append(to)
        return
    done.files += 1


def _copy_file(source: Path, to: Path, done: Copied) -> None:
    if os.path.lexists(to):
        if to.is_symlink() or not to.is_file() or not filecmp.cmp(source, to, shallow=False):
            done.kept.append(to)
            return
    else:
        try:
            to.hardlink_to(source)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            temporary = to.with_name(f".spawn-{os.getpid()}.tmp")
            shutil.copy2(source, temporary, follow_symlinks=False)
            temporary.replace(to)
    done.files += 1
