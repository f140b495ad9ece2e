"""The files of a whole array in one: each element unpacks its own when it begins.

A thousand attempts would be three thousand files to make before anything is submitted, on a file system that many
machines share; so they are three.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Sequence

from ..remote.area import Staged

BLOCK = tarfile.BLOCKSIZE


def pack(attempts: Sequence[Staged]) -> tuple[bytes, bytes]:
    """The attempts' files one after the other, and where each begins.

    The first is a tar file that may be cut at any attempt; the second has a line for each, `SKIP COUNT NAME`, in blocks
    of 512 bytes.
    """
    buffer = io.BytesIO()
    lines: list[str] = []
    now = int(time.time())
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for staged in attempts:
            begin = tar.offset
            results = tarfile.TarInfo(f"attempts/{staged.name}/results")
            results.type, results.mode, results.mtime = tarfile.DIRTYPE, 0o700, now
            tar.addfile(results)
            for name, content in staged.files.items():
                info = tarfile.TarInfo(f"attempts/{staged.name}/{name}")
                info.size, info.mode, info.mtime = len(content), 0o600, now
                tar.addfile(info, io.BytesIO(content))
            lines.append(f"{begin // BLOCK} {(tar.offset - begin) // BLOCK} {staged.name}\n")
    return buffer.getvalue(), "".join(lines).encode()
