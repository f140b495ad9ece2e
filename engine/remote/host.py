"""A machine that commands can be run on: this one, or one behind SSH (`ssh_host.py`).

Everything a source, a transfer or a check does elsewhere goes through `Host.run`: one round trip, bytes in, bytes out.
Only plain words may stand in a command, for it passes through whatever login shell is there (bash, dash, fish, csh);
everything else travels as data.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

_PLAIN = re.compile(r"[A-Za-z0-9_./:=,@%+-]+\Z")
CHUNK = 1 << 16


class HostAway(Exception):
    """The host cannot be talked to now; it may come back. The text says why."""


class HostRefused(Exception):
    """The host will not serve us however long we wait (host key, login, no shell); the text says what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said. `status` as its shell gives it; -1 if it was ended by a signal."""

    status: int
    out: bytes
    err: bytes

    @property
    def words(self) -> str:
        """Its complaint in one line: the last line of stderr that says something, else of stdout."""
        for text in (self.err, self.out):
            lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
            if lines:
                return lines[-1][:300]
        return f"exit status {self.status}, and no word"


@dataclass(slots=True)
class Usage:
    """What talking to a host has cost so far."""

    connections: int = 0
    round_trips: int = 0
    sent: int = 0
    """Bytes of data handed to commands."""
    received: int = 0
    commands: dict[str, int] = field(default_factory=dict[str, int])
    """How often each program was run, by its first word."""


class Host(Protocol):
    name: str
    usage: Usage

    def run(
        self,
        command: Sequence[str],
        data: bytes | Iterable[bytes] = b"",
        *,
        limit: float,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """Run `command` (plain words) in the login directory, `data` on its stdin, for at most `limit` seconds.

        With `into`, stdout is handed over in pieces as it comes, and `Answer.out` is empty. May be called from several
        threads. Raises `HostAway` (also when the limit is over; what was run may then still run) and `HostRefused`.
        """
        ...

    def close(self) -> None: ...


def command_line(command: Sequence[str]) -> str:
    """The command as one line that every login shell reads alike. Raises `ValueError` for a word that is not plain."""
    for word in command:
        if not _PLAIN.match(word):
            raise ValueError(f"{word!r} cannot stand in a remote command; send it as data")
    return " ".join(command)


def pieces(data: bytes | Iterable[bytes]) -> Iterable[bytes]:
    return [data] if isinstance(data, bytes) else data


class LocalHost:
    """This machine, reached without a network; clusters whose login node we are on."""

    def __init__(self, name: str = "local", *, environment: dict[str, str] | None = None) -> None:
        self.name = name
        self.usage = Usage()
        self._environment = environment

    def run(
        self,
        command: Sequence[str],
        data: bytes | Iterable[bytes] = b"",
        *,
        limit: float,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        self.usage.round_trips += 1
        self.usage.commands[command[0]] = self.usage.commands.get(command[0], 0) + 1
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                    env=self._environment, cwd=Path.home(), start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise HostAway(f"{command[0]} cannot be run here: {error.strerror}") from None
            assert process.stdin is not None and process.stdout is not None
            feeder = threading.Thread(target=self._feed, args=(process.stdin, data), daemon=True)
            feeder.start()
            late = threading.Event()

            def stop() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(limit, stop)
            timer.daemon = True
            timer.start()
            kept: list[bytes] = []
            take = into or kept.append
            try:
                while piece := os.read(process.stdout.fileno(), CHUNK):
                    self.usage.received += len(piece)
                    take(piece)
                status = process.wait()
            finally:
                timer.cancel()
                process.stdout.close()
                feeder.join(1.0)
            if late.is_set():
                who = "it" if command[0] == "sh" else command[0]
                raise HostAway(f"{who} gave no answer within {limit:g} s")
            errors.seek(0)
            return Answer(status if status >= 0 else -1, b"".join(kept), errors.read(CHUNK))

    def _feed(self, stdin: IO[bytes], data: bytes | Iterable[bytes]) -> None:
        try:
            with stdin:
                for piece in pieces(data):
                    self.usage.sent += len(piece)
                    stdin.write(piece)
        except (BrokenPipeError, ValueError):
            return  # it read no more: its status says why

    def close(self) -> None:
        """Nothing is held."""
