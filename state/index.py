"""The index of all sweeps under `SPAWN_HOME` (default `~/.spawn`): where they are, and what was last known of them.

A TinyDB file that several programs may write: each change is made under a file lock. It holds nothing that is not in
the sweeps' own directories, so it may be deleted; `rebuild` makes it anew from directories.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from tinydb import Query, TinyDB
from tinydb.middlewares import CachingMiddleware

from .disk import FILE_MODE, LocalDisk
from .documents import AtomicStorage, Table, table


def spawn_home() -> Path:
    """The user's own directory of this program."""
    return Path(os.environ.get("SPAWN_HOME") or Path.home() / ".spawn").expanduser()


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One sweep as the index knows it. `created_at` in seconds since 1970; `status` and counts may be out of date."""

    id: str
    name: str
    directory: str
    status: str
    created_at: float
    total: int = 0
    completed: int = 0
    failed: int = 0


class SweepIndex:
    """The list of the user's sweeps."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or spawn_home()
        self.path = self.home / "index.json"
        self._disk = LocalDisk()

    def entries(self) -> list[IndexEntry]:
        """All sweeps, newest first. Raises `ValueError` for a damaged index."""
        if not self.path.exists():
            return []
        with self._database() as database:
            found = [IndexEntry(**cast("dict[str, Any]", row)) for row in database.all()]
        return sorted(found, key=lambda entry: (entry.created_at, entry.id), reverse=True)

    def put(self, entry: IndexEntry) -> None:
        """Add the sweep, or replace what was known of it."""
        with self._locked(), self._database() as database:
            database.upsert(asdict(entry), Query().id == entry.id)

    def forget(self, sweep_id: str) -> None:
        """Take the sweep off the list; its directory stays."""
        with self._locked(), self._database() as database:
            database.remove(Query().id == sweep_id)

    def rebuild(self, entries: Iterable[IndexEntry]) -> None:
        """Replace the whole index, damaged or not."""
        with self._locked():
            database = TinyDB(self.path, self._disk, storage=CachingMiddleware(AtomicStorage))
            database.drop_tables()
            table(database).insert_multiple(asdict(entry) for entry in entries)
            database.close()

    @contextmanager
    def _database(self) -> Generator[Table, None, None]:
        try:
            database = TinyDB(self.path, self._disk, storage=CachingMiddleware(AtomicStorage))
            yield table(database)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._damaged(error) from None
        database.close()

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(f"{self.path} is damaged ({error}); make it anew: spawn-tui list --rebuild")

    @contextmanager
    def _locked(self) -> Generator[None, None, None]:
        self._disk.make_dir(self.home)
        fd = os.open(self.home / "index.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)
