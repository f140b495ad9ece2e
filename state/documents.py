"""The sweep's database, `sweep.json`: TinyDB tables `sweep`, `tasks` and `sources`.

It holds the plan and the last snapshot. TinyDB writes its file whole, so it is written when the sweep is created, at a
rotation of the journal and at a clean stop, never once per transition, and always through a temporary file, fsync and
rename (`Disk.replace`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tinydb import TinyDB
from tinydb.middlewares import CachingMiddleware
from tinydb.storages import Storage

from .disk import Disk

Document = Mapping[str, object]


class AtomicStorage(Storage):
    """A TinyDB storage that replaces its file in one step and keeps it private."""

    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__()
        self._path, self._disk = path, disk

    def read(self) -> dict[str, dict[str, Any]] | None:
        try:
            data = self._disk.read(self._path)
        except FileNotFoundError:
            return None
        return json.loads(data) if data else None

    def write(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        self._disk.replace(self._path, text.encode())

    def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True)
class SweepDocuments:
    """What `sweep.json` holds: one document for the sweep, one per task and one per source, in their order."""

    sweep: Document
    tasks: list[Document]
    sources: list[Document]


class DocumentsDamaged(Exception):
    """`sweep.json` cannot be read; the text says what to do."""


def _open(path: Path, disk: Disk) -> TinyDB:
    # One write at close instead of one per table.
    return TinyDB(path, disk, storage=CachingMiddleware(AtomicStorage))


def save(path: Path, documents: SweepDocuments, disk: Disk) -> None:
    """Replace the database by these documents. Raises `OSError`; then the old one is still whole."""
    database = _open(path, disk)
    database.storage.WRITE_CACHE_SIZE = 1 << 30  # type: ignore[attr-defined]
    database.drop_tables()
    database.table("sweep").insert(documents.sweep)
    _insert(database, "tasks", documents.tasks)
    _insert(database, "sources", documents.sources)
    database.close()


def _insert(database: TinyDB, table: str, rows: Iterable[Document]) -> None:
    database.table(table).insert_multiple(rows)


def load(path: Path, disk: Disk) -> SweepDocuments:
    """Raises `FileNotFoundError`, or `DocumentsDamaged` if the file is no database of a sweep."""
    disk.size(path)  # TinyDB takes a missing file for an empty database
    try:
        with _open(path, disk) as database:
            sweep = database.table("sweep").all()
            return SweepDocuments(
                dict(sweep[0]),
                cast("list[Document]", database.table("tasks").all()),
                cast("list[Document]", database.table("sources").all()),
            )
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise DocumentsDamaged(
            f"{path} is not a sweep's database ({error}). Nothing was changed. Restore it from a copy; "
            f"the journal beside it still tells what happened."
        ) from None
