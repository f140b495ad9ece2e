"""Unix users made for a test: a clean home and the login shell wanted, nothing of root's."""

from __future__ import annotations

import os
import pwd
import secrets
from pathlib import Path
from types import TracebackType

from .guard import guard
from .need import missing, program
from .undo import accounts, run


def no_users() -> str | None:
    """Why users cannot be made here, or None."""
    if os.getuid() != 0:
        return "users can only be made by root"
    return missing({"useradd": "passwd", "userdel": "passwd"})


class User:
    """A user with a login shell (`sh`, `bash`, `fish`, `csh`, …), a home directory and no password."""

    def __init__(self, shell: str = "sh") -> None:
        where = program(shell)
        if where is None:
            raise FileNotFoundError(f"there is no shell {shell} here")
        self.name = f"sp-{secrets.token_hex(5)}"
        self._note = guard.note("user", self.name)
        with accounts():
            run("useradd", "--create-home", "--shell", where, "--password", "*", self.name)
        entry = pwd.getpwnam(self.name)
        self.uid, self.gid, self.home = entry.pw_uid, entry.pw_gid, Path(entry.pw_dir)

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """A file of the user's, in its home."""
        return write_owned(self.home, path, text, self.uid, self.gid, mode)

    def close(self) -> None:
        """Remove the user, its home, and what runs as it."""
        guard.undo(self._note)

    def __enter__(self) -> User:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_owned(home: Path, path: str, text: str, uid: int, gid: int, mode: int = 0o644) -> Path:
    """Write a file below `home` with the folders it needs, all owned by that user."""
    target = home / path
    for folder in reversed([parent for parent in target.parents if parent.is_relative_to(home)]):
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, uid, gid)
    target.write_text(text)
    target.chmod(mode)
    os.chown(target, uid, gid)
    return target
