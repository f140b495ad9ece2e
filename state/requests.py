"""The mailbox of a sweep: what viewers ask of its engine, one small file each, renamed into `requests/`.

The engine takes requests in the order of their names (time first), journals what came of each and removes the file. A
request that was journalled but not yet removed when the engine died is known by its id, and not obeyed again.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from .disk import Disk


@dataclass(frozen=True, slots=True)
class RequestFile:
    """One request as it was found: its id and content, or None for what cannot be read."""

    id: str
    path: Path
    content: dict[str, object] | None


def new_request_id() -> str:
    """Sorts by time (milliseconds since 1970), unique by chance."""
    return f"{int(time.time() * 1000):013d}-{secrets.token_hex(4)}"


def post(disk: Disk, directory: Path, request_id: str, content: dict[str, object]) -> None:
    """Leave a request. Raises `OSError`."""
    disk.make_dir(directory)
    disk.create(directory / f"{request_id}.json", json.dumps(content, ensure_ascii=False).encode())


def pending(disk: Disk, directory: Path) -> list[RequestFile]:
    """The requests that wait, oldest first."""
    found: list[RequestFile] = []
    for name in disk.names(directory):
        if not name.endswith(".json") or name.startswith("."):
            continue
        path = directory / name
        try:
            raw: object = json.loads(disk.read(path))
        except FileNotFoundError:
            continue
        except (ValueError, RecursionError):
            raw = None
        content = cast("dict[str, object]", raw) if isinstance(raw, dict) else None
        found.append(RequestFile(path.stem, path, content))
    return found
