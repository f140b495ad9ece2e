"""Deleting in the bucket what is home: the only place that deletes anything there.

Nothing is trusted that was said before: every file is listed and compared again, and what is here is on the disk,
before the first one goes. If one attempt is not whole at home, nothing of any is deleted. Reports and packs stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..collect.landing import Landing
from ..collect.removal import Removal
from ..collect.rules import START
from .bucket import SweepBucket
from .haul import is_home
from .stored import StoredFile


def remove_collected(bucket: SweepBucket, attempts: Sequence[tuple[str, Path]]) -> Removal:
    """Delete these attempts (name, directory at home) in the bucket, if all of them are home.

    To be called only when the sweep has ended and the user asked for it. Raises `AwsError`, `OSError`; what was deleted
    until then was home.
    """
    there: dict[str, list[StoredFile]] = {}
    kept: list[str] = []
    for name, directory in attempts:
        files = bucket.files(name)
        if not files:
            continue
        there[name] = files
        with Landing(directory) as landing:
            kept += [
                f"{name}/{file.path} is not home as it is there"
                for file in files
                if file.path != START
                and not _is_marker(file)
                and not (file.is_safe and is_home(landing, bucket, name, file, sync=True))
            ]
    if kept:
        return Removal(kept=tuple(kept))
    for name, files in there.items():
        bucket.remove(name, files)
    return Removal(removed=tuple(there))


def _is_marker(file: StoredFile) -> bool:
    """What a console shows as a folder, and holds nothing."""
    return not file.size and (not file.path or file.path.endswith("/"))
