"""Reading what the runner (`runner.sh`, whose formats these are) left in an attempt's directory: claim and exit."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...state.disk import FILE_MODE
from ...state.layout import CLAIM, EXIT, TIMED_OUT
from ...state.process import ProcessId, myself
from ..events import FailureKind, Ref
from ..observe import SawEnd

_SHELL_PREFIX = re.compile(r"^(\S*(runner|start)\.sh: ((line )?\d+: )?)+")
_REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose the attempt is. Neither `process` nor `revoked`: the claim was created and its text is not there (yet)."""

    process: ProcessId | None
    revoked: bool
    at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the command ended: status as the shell gives it, the runner's flag, the timeout if it was hit, and when."""

    code: int
    flag: str
    timed_out: str | None
    at: float


def read_claim(directory: Path) -> Claim | None:
    """The claim, or None if nobody has made it. Raises `OSError` if the directory cannot be looked at."""
    path = directory / CLAIM
    try:
        text = path.read_text(errors="replace")
        at = path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (
        parse_claim(text, at) if text.endswith("\n") or text.startswith(_REVOKED) else Claim(None, False, at)
    )


def parse_claim(text: str, at: float) -> Claim:
    """The claim file's line; `at`: when it was made, in seconds since 1970."""
    if text.startswith(_REVOKED):
        return Claim(None, True, at)
    try:
        return Claim(ProcessId.parse(text), False, at)
    except ValueError:
        return Claim(None, False, at)


def revoke(directory: Path) -> bool:
    """Make the claim ourselves, so that no runner ever begins. False if there is one already. Raises `OSError`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        fd = os.open(directory / CLAIM, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    except FileExistsError:
        claim = read_claim(directory)
        return claim is not None and claim.revoked
    try:
        os.write(fd, f"{_REVOKED} by {myself()}\n".encode())
    finally:
        os.close(fd)
    return True


def retract(directory: Path) -> None:
    """Remove a claim that was made and never written, so that the attempt can begin after all.

    Only when no process of the attempt lives: then nobody is about to write it.
    """
    claim = read_claim(directory)
    if claim is not None and claim.process is None and not claim.revoked:
        (directory / CLAIM).unlink(missing_ok=True)


def require_room(directory: Path) -> None:
    """Raises `OSError` if the directory is there and cannot be written to (a full or read-only disk)."""
    probe = directory / ".probe"
    try:
        probe.write_bytes(b"x" * 4096)
    except (FileNotFoundError, NotADirectoryError):
        return
    finally:
        with suppress(OSError):
            probe.unlink()


def read_outcome(directory: Path) -> Outcome | None:
    """What the exit file says, or None if there is none or its line is torn."""
    path = directory / EXIT
    try:
        text = path.read_text(errors="replace")
        at = path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
    return parse_outcome(text, read_timed_out(directory), at) if text.endswith("\n") else None


def parse_outcome(text: str, timed_out: str | None, at: float) -> Outcome | None:
    """The exit file's line, or None if it is torn."""
    words = text.split()
    if len(words) != 3 or words[2] != "end" or not words[0].isdigit():
        return None
    return Outcome(int(words[0]), words[1], timed_out, at)


def end_of(
    ref: Ref,
    outcome: Outcome,
    *,
    complaint: str,
    stopped: bool = False,
    started_at: float | None = None,
    ended_at: float | None = None,
) -> SawEnd:
    """What an outcome says, in the engine's words.

    `complaint`: the last line of its stderr; `stopped`: whether a TERM or KILL of ours was sent before its end.
    """
    code = outcome.code
    failure: FailureKind | None = None
    number: int | None = None
    message = ""
    if outcome.timed_out is not None and (code != 0 or outcome.flag == "term"):
        failure, message = "timeout", too_long(outcome.timed_out)
    elif outcome.flag == "workdir":
        failure = "launch_failed"
        message = f"cannot enter its working directory: {_SHELL_PREFIX.sub('', complaint)}"
    elif 128 < code <= 128 + 64:
        number = code - 128
        message = f"ended by {killed_by(number, stopped=stopped)}"
    elif code != 0:
        # The shell that did not find the program speaks of the runner's line, which means nothing to a person.
        message = _SHELL_PREFIX.sub("", complaint)
    return SawEnd(
        *ref,
        exit_code=code,
        signal=number,
        failure=failure,
        message=message,
        stopped=stopped and (outcome.flag == "term" or code != 0),
        started_at=started_at,
        ended_at=ended_at,
    )


UNWRITTEN = 10.0
"""Seconds a runner may wait for room to write its exit status before its attempt is told as unknown."""


def unwritten(source: str, root: str) -> str:
    """Why nobody can tell how an attempt ended, though its exit file was begun; with the remedy."""
    return f"it has ended on {source}, and its exit status cannot be written; is the disk full that {root} is on?"


def killed_by(number: int, *, stopped: bool) -> str:
    """The signal's name, with what KILL often means when it was not ours."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL and not stopped:
        name += "; often the machine had no memory left"
    return name


def too_long(limit: str) -> str:
    return f"ran longer than its timeout of {limit} s" if limit else "ran longer than its timeout"


def read_timed_out(directory: Path) -> str | None:
    """The timeout that ended the command, in seconds as it was given to the runner; None if none did."""
    try:
        return (directory / TIMED_OUT).read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def last_line(path: Path, width: int = 400) -> str:
    """The last line of a log that says something, cut to `width`; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4096))
            tail = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in tail.replace("\r", "\n").split("\n") if line.strip()]
    return lines[-1][:width] if lines else ""
