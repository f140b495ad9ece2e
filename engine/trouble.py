"""When the disk fails the engine: it stops in words, and what runs goes on."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_NOT_WRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class DiskTrouble(Exception):
    """The sweep's directory cannot be written. The text is for the user."""


@contextmanager
def disk_trouble(root: Path) -> Generator[None, None, None]:
    """A full, failing or read-only disk becomes `DiskTrouble`, which names the way on; other errors pass.

    `root`: the sweep's directory, whose name is its id.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        raise DiskTrouble(
            f"{error.filename or root}: {error.strerror}. Nothing more is launched; what runs goes on. "
            f"When it can be written again: spawn-tui resume {root.name}"
        ) from error
