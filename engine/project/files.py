"""Which files make up the project: what git tracks or would track, else all that no `.gitignore` names.

Names are relative to the project, with `/`, as text that `os.fsencode` turns back into the very bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .git import GitFailed, in_repository, list_files

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

ALWAYS = (".git", "__pycache__", ".venv")
"""Names, wherever they stand, that are nobody's source."""
OURS = ("spawn.yaml", "hsm_config.yaml")
"""What says here where to run is no part of what runs there: to change a number of slots must not stop a launch."""
OUTPUTS = "sweeps/outputs"
"""Where sweeps are kept, unless the configuration names another folder."""
IGNORE_FILE = ".gitignore"


class ProjectError(Exception):
    """The project at home cannot be read; the text says which file and what to do."""


@dataclass(frozen=True, slots=True)
class ProjectRules:
    """What of the folder is not the project. `exclude`: patterns as in `.gitignore`; `outputs`: the sweeps' folder."""

    exclude: tuple[str, ...] = ()
    outputs: Path | None = None

    @classmethod
    def of_options(cls, options: Mapping[str, str]) -> ProjectRules:
        """From the options of a source (`Config.remote_options`)."""
        outputs = options.get("sync_outputs")
        return cls(
            tuple(line for line in options.get("sync_exclude", "").split("\n") if line),
            Path(outputs) if outputs else None,
        )

    def folders(self, project: Path) -> list[str]:
        """The sweeps' folders, relative to `project`, as far as they are inside it."""
        inside: list[str] = [OUTPUTS]
        if self.outputs is not None and self.outputs.is_relative_to(project) and self.outputs != project:
            inside.append(self.outputs.relative_to(project).as_posix())
        return inside


@dataclass(frozen=True, slots=True)
class Listing:
    """The names, sorted, and what is to be known of how they were found."""

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def list_project(project: Path, rules: ProjectRules) -> Listing:
    """All files and links of the project. Raises `ProjectError`."""
    if not project.is_dir():
        raise ProjectError(f"the project's folder {project} is not there")
    notes: list[str] = []
    excluded = _matcher(project, rules)
    names: Iterable[str] | None = None
    if in_repository(project):
        try:
            names = [os.fsdecode(name) for name in list_files(project)]
        except GitFailed as failure:
            notes.append(
                f"git does not list the project ({failure}); all that .gitignore does not name is taken"
            )
    if not names:
        # An ignored folder of somebody's repository has no files for git, and is a project all the same.
        names = _walk(project, excluded)
    try:
        kept = sorted(name for name in names if not excluded(name) and _is_there(project, name, notes))
    except OSError as error:
        raise _unreadable(error, project) from None
    return Listing(tuple(kept), tuple(notes))


def _matcher(project: Path, rules: ProjectRules) -> Callable[[str], bool]:
    """Whether the rules leave a name out (of a folder: with a slash at its end)."""
    folders = tuple(f"{folder}/" for folder in rules.folders(project))
    spec = _spec(rules.exclude) if rules.exclude else None

    def excluded(name: str) -> bool:
        if name in OURS or name.startswith(folders) or any(part in ALWAYS for part in name.split("/")):
            return True
        return spec is not None and spec.match_file(name)

    return excluded


def _is_there(project: Path, name: str, notes: list[str]) -> bool:
    """Whether it is a file or a link; what git tracks may be deleted, and a pipe or a socket is no content."""
    path = project / name
    if path.is_symlink() or path.is_file():
        return True
    if path.exists():
        notes.append(f"{name} is neither a file nor a link and stays here")
    return False


def _walk(project: Path, excluded: Callable[[str], bool]) -> Iterator[str]:
    """Every file that no `.gitignore` on the way to it names. Raises `OSError`."""
    pending: list[tuple[Path, tuple[tuple[str, GitIgnoreSpec], ...]]] = [(project, ())]
    while pending:
        folder, specs = pending.pop()
        ignore = folder / IGNORE_FILE
        if ignore.is_file():
            prefix = "" if folder == project else f"{folder.relative_to(project).as_posix()}/"
            lines = ignore.read_text(errors="surrogateescape").splitlines()
            specs = (*specs, (prefix, _spec(lines)))
        for entry in list(os.scandir(folder)):
            path = folder / entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            name = path.relative_to(project).as_posix()
            tried = name + "/" if is_folder else name
            if excluded(tried) or _ignored(tried, specs):
                continue
            if is_folder:
                pending.append((path, specs))
            else:
                yield name


def _unreadable(error: OSError, project: Path) -> ProjectError:
    return ProjectError(
        f"{error.filename or project} cannot be read: {error.strerror}; mend its permissions, or exclude it "
        "(sync.exclude in spawn.yaml)"
    )


def _ignored(name: str, specs: Iterable[tuple[str, GitIgnoreSpec]]) -> bool:
    """By the rule of gitignore(5) that the file nearest to the name decides, and there the last line that matches."""
    ignored = False
    for prefix, spec in specs:
        said = spec.check_file(name.removeprefix(prefix)).include
        ignored = ignored if said is None else said
    return ignored


def _spec(lines: Iterable[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(lines)
