"""Data goes to stdout, narration to stderr; this module owns both, and the exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

COMPLETED = 0
SOME_FAILED = 1
BAD_INPUT = 2
NOTHING_LAUNCHED = 3
SIGINT_STATUS = 130


class UserError(Exception):
    """Bad usage or bad input: the text is for the user, the exit status is 2 unless said otherwise."""

    def __init__(self, text: str, status: int = BAD_INPUT) -> None:
        super().__init__(text)
        self.status = status


def data(text: str) -> None:
    """One line of data."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def data_json(value: Mapping[str, object]) -> None:
    """One object on one line."""
    data(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def say(text: str = "") -> None:
    """One line of narration."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def is_terminal() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(question: str, *, assume_yes: bool = False) -> bool:
    """A yes-or-no question; an empty answer, an end of input and anything but yes mean no."""
    if assume_yes:
        return True
    if not sys.stdin.isatty():
        say(f"{question} [y/N] no (there is no terminal to ask; -y says yes)")
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip().lower()
    return answer in ("y", "yes")


def quiet_pipe() -> None:
    """A reader that left (`spawn-tui list | head -1`) is no error: end without a word, also at interpreter exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
