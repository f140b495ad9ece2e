"""The project at home: its files, their content and its commit, each found out once and only when asked for."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from .files import Listing, ProjectRules, list_project
from .git import GitFailed, GitState, in_repository, state_of
from .manifest import Entry, read_manifest, size_warning


class Project:
    """One look at a folder, for any number of comparisons from any thread; make a new one to look again."""

    def __init__(self, folder: Path, rules: ProjectRules | None = None, *, cache: Path | None = None) -> None:
        """`cache`: the folder where contents are remembered (default: in `SPAWN_HOME`)."""
        self.folder = folder.resolve()
        self.rules = rules or ProjectRules()
        self._cache = cache
        self._lock = threading.RLock()

    @property
    def git(self) -> GitState | None:
        """Its commit; None where there is no git, or git cannot say."""
        with self._lock:
            return self._git

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The content of every file, by name. Raises `ProjectError`."""
        with self._lock:
            return self._entries

    @property
    def notes(self) -> list[str]:
        """What should be known of the listing and of its size. Raises `ProjectError`."""
        warning = size_warning(self.entries.values())
        return [*self._listing.notes, *([warning] if warning else [])]

    @cached_property
    def _git(self) -> GitState | None:
        if not in_repository(self.folder):
            return None
        try:
            return state_of(self.folder, self.rules.folders(self.folder))
        except GitFailed:
            return None  # the listing says so, and contents are compared instead

    @cached_property
    def _listing(self) -> Listing:
        return list_project(self.folder, self.rules)

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        return read_manifest(self.folder, self._listing.names, self._cache_file())

    def _cache_file(self) -> Path:
        folder = self._cache
        if folder is None:
            # It brings TinyDB along, which a comparison by commit does not need.
            from ...state.index import spawn_home

            folder = spawn_home() / "contents"
        return folder / (hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16] + ".json")
