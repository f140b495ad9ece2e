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
from typing import Any, Protocol, cast

from tinydb import TinyDB
from tinydb.middlewares import CachingMiddleware
from tinydb.queries import QueryLike
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


class Table(Protocol):
    """What is used of a TinyDB table (its own annotations leave the documents' types open)."""

    def insert(self, document: Document) -> int: ...
    def insert_multiple(self, documents: Iterable[Document]) -> list[int]: ...
    def upsert(self, document: Document, cond: QueryLike) -> list[int]: ...
    def remove(self, cond: QueryLike) -> list[int]: ...
    def all(self) -> list[Document]: ...
    def truncate(self) -> None: ...


def table(database: TinyDB, name: str = TinyDB.default_table_name) -> Table:
    """The table of that name."""
    return cast("Table", database.table(name))  # pyright: ignore[reportUnknownMemberType]


def _open(path: Path, disk: Disk) -> TinyDB:
    # One write at close instead of one per table.
    return TinyDB(path, disk, storage=CachingMiddleware(AtomicStorage))


def save(path: Path, documents: SweepDocuments, disk: Disk) -> None:
    """Replace the database by these documents. Raises `OSError`; then the old one is still whole."""
    database = _open(path, disk)
    database.storage.WRITE_CACHE_SIZE = 1 << 30  # type: ignore[attr-defined]
    database.drop_tables()
    table(database, "sweep").insert(documents.sweep)
    table(database, "tasks").insert_multiple(documents.tasks)
    table(database, "sources").insert_multiple(documents.sources)
    database.close()


def load(path: Path, disk: Disk) -> SweepDocuments:
    """Raises `FileNotFoundError`, or `DocumentsDamaged` if the file is no database of a sweep."""
    disk.size(path)  # TinyDB takes a missing file for an empty database
    try:
        with _open(path, disk) as database:
            sweep = table(database, "sweep").all()
            return SweepDocuments(
                dict(sweep[0]),
                table(database, "tasks").all(),
                table(database, "sources").all(),
            )
    except (ValueError, IndexError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DocumentsDamaged(
            f"{path} is not a sweep's database ({error}). Nothing was changed. Restore it from a copy; "
            f"the journal beside it still tells what happened."
        ) from None
