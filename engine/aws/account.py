"""The account a source's instances are in.

What was launched in one account cannot be seen with the credentials of another; it has not gone for that.
"""

from __future__ import annotations

from pathlib import Path

from ...state.disk import LocalDisk


def account_file(root: Path, source: str) -> Path:
    """Where the sweep in `root` keeps it."""
    return root / "ec2" / f"{source}.account"


def other_account(root: Path, source: str, account: str) -> str:
    """In words, that the source was begun in another account than this one; empty if it was not. Raises `OSError`."""
    try:
        known = account_file(root, source).read_text().strip()
    except FileNotFoundError:
        return ""
    if known == account:
        return ""
    return (
        f"{source} was begun in account {known}, and these credentials are of {account}: "
        f"set AWS_PROFILE (or log in) as before"
    )


def keep_account(root: Path, source: str, account: str) -> None:
    """Write it down, unless it is. Raises `OSError`."""
    path, disk = account_file(root, source), LocalDisk()
    if not path.exists():
        disk.make_dir(path.parent)
        disk.replace(path, f"{account}\n".encode())
