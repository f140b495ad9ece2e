"""A copy at home of the logs of an attempt that runs elsewhere, kept fresh for who looks at it.

It belongs to the viewer, not to the engine: a connection of its own, one round trip a second for all files together,
and only new bytes travel. Nothing is written on the other machine. The copies are the viewer's own and go with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...state.disk import DIR_MODE, FILE_MODE
from ...state.layout import EXIT
from .area import behind_mark
from .host import Answer, Host, HostAway, HostRefused
from .hosts import host_of

POLL = 1.0
"""Seconds between two looks while the machine answers."""
LAST_PAUSE = 10.0
"""Seconds between two looks at most, while it does not."""
LIMIT = 30.0
COUNT = 4 << 20
"""Bytes of one file in one round trip."""
CLOSE_LIMIT = 2.0

MirrorState = Literal["connecting", "waiting", "live", "away", "refused", "gone", "ended"]
"""`waiting`: the attempt has not begun to write; `ended`: it has ended, and the copy is whole."""


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """`text` says it to a person; `at`: when the machine last answered, in seconds since 1970, 0.0 for never."""

    state: MirrorState
    text: str
    at: float


@dataclass(slots=True)
class _Copy:
    path: Path
    offset: int = -1
    """Up to where it is here; -1 before the first look."""


class Mirror:
    """The attempt `attempt` (`task_001.1`) of the sweep `sweep` (its id) on a source with these `options`.

    `keep`: of a file that is already longer than this, only so many bytes of its end are fetched (the copy has a hole
    before them); None for all of it.
    """

    def __init__(
        self,
        sweep: str,
        source: str,
        options: Mapping[str, str],
        attempt: str,
        *,
        keep: int | None = 16 << 20,
        host: Host | None = None,
        poll: float = POLL,
    ) -> None:
        from ...state.index import spawn_home

        root = options.get("remote_root") or "~/.spawn/runs"
        self._root, self._source, self._attempt = f"{root}/{sweep}", source, attempt
        self._options, self._host, self._keep, self._poll = options, host, keep, poll
        self._directory = spawn_home() / "tails" / sweep / attempt / str(os.getpid())
        self._copies: dict[str, _Copy] = {}
        self._lock = threading.Lock()
        self._status = MirrorStatus("connecting", f"asking {source} …", 0.0)
        self._closing = threading.Event()
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name=f"mirror {attempt}", daemon=True)

    def start(self, *names: str) -> None:
        """Begin to copy these files of the attempt's directory (`stdout.log`, …). Raises `OSError`."""
        _sweep_out(self._directory.parent)
        self._directory.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        self._copies = {name: _Copy(self.path(name)) for name in names}
        self._thread.start()

    def path(self, name: str) -> Path:
        """Where the copy of a file is, or will be when its first byte has come."""
        return self._directory / name

    def status(self) -> MirrorStatus:
        """How fresh the copy is; the text of one that is not says since when."""
        with self._lock:
            status = self._status
        if status.state == "away" and status.at:
            age = max(0.0, time.time() - status.at)
            return replace(status, text=f"{status.text}; as of {age:.0f} s ago")
        return status

    def close(self) -> None:
        """Stop, and remove the copies. Does not wait for a machine that hangs."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_LIMIT)
        shutil.rmtree(self._directory, ignore_errors=True)

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        host = self._host or host_of(self._source, self._options)
        try:
            pause = 0.0
            while not self._closing.wait(pause):
                turn = self._turn(host)
                if turn is None:
                    return
                pause = turn
        finally:
            host.close()

    def _turn(self, host: Host) -> float | None:
        """One look; returns the seconds until the next, None if there will be nothing new."""
        try:
            more, ended, begun = self._look(host)
        except HostAway as away:
            self._failures += 1
            return self._say("away", str(away), min(LAST_PAUSE, self._poll * 2.0 ** min(self._failures, 10)))
        except HostRefused as refused:
            return self._say("refused", str(refused), LAST_PAUSE)
        except _Gone as gone:
            return self._say("gone", str(gone), LAST_PAUSE)
        except OSError as error:
            return self._say("away", f"the copy cannot be written: {error.strerror or error}", LAST_PAUSE)
        self._failures = 0
        now = time.time()
        if more:
            self._say("live", f"live from {self._source}", 0.0, now)
            return 0.0
        if ended:
            self._say("ended", f"it has ended on {self._source}", 0.0, now)
            return None
        if begun:
            return self._say("live", f"live from {self._source}", self._poll, now)
        return self._say("waiting", f"it has not begun on {self._source}", self._poll, now)

    def _say(self, state: MirrorState, text: str, pause: float, at: float | None = None) -> float:
        with self._lock:
            self._status = MirrorStatus(state, text, self._status.at if at is None else at)
        return pause

    def _look(self, host: Host) -> tuple[bool, bool, bool]:
        """Fetch what is new: whether there is more, whether the attempt has ended, whether it has begun."""
        asked = [
            (name, max(0, copy.offset), COUNT if copy.offset >= 0 else 0)
            for name, copy in self._copies.items()
        ]
        # The exit is looked at first: what was written before it is then in what follows.
        found = self._ask(host, [(EXIT, 0, 0), *asked])
        ended = found[EXIT][0] > 0
        more = begun = False
        for name, copy in self._copies.items():
            size, data = found[name]
            begun = begun or size >= 0
            more = self._take(copy, size, data) or more
        return more, ended, begun

    def _take(self, copy: _Copy, size: int, data: bytes) -> bool:
        """Whether there is more to fetch at once."""
        if size < 0:
            return False
        if copy.offset < 0:
            copy.offset = 0 if self._keep is None else max(0, size - self._keep)
            _truncate(copy.path, copy.offset)
            return size > copy.offset
        if size < copy.offset:
            # Truncated there: begun anew, here as well.
            copy.offset = 0
            _truncate(copy.path, 0)
            return size > 0
        if data:
            fd = os.open(copy.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                view = memoryview(data)
                while view:
                    done = os.pwrite(fd, view, copy.offset)
                    copy.offset += done
                    view = view[done:]
            finally:
                os.close(fd)
        return size > copy.offset

    def _ask(self, host: Host, wanted: Sequence[tuple[str, int, int]]) -> dict[str, tuple[int, bytes]]:
        """Size (-1: not there) and the bytes asked for of each file: name, offset, at most so many."""
        root = self._root
        place = f'"$HOME"/{shlex.quote(root[2:])}' if root.startswith("~/") else shlex.quote(root)
        lines = "".join(
            f"{offset} {count} attempts/{self._attempt}/{name}\n" for name, offset, count in wanted
        )
        script = (
            f"cd {place} && exec sh \"$PWD/scripts/agent.sh\" tails <<'SPAWN-END'\n{lines}SPAWN-END\n"
        ).encode()
        answer = host.run(["sh", "-s"], script, limit=LIMIT)
        body = behind_mark(answer.out)
        if body is None:
            raise self._silent(host, answer)
        found: dict[str, tuple[int, bytes]] = {}
        at = 0
        for name, _, count in wanted:
            end = body.find(b"\n", at)
            words = body[at:end].split(b" ")
            if end < 0 or len(words) != 4 or words[0] != b"F":
                raise HostAway(f"{host.name}: the answer was cut off")
            size, sent = int(words[1]), int(words[2])
            at = end + 1 + sent
            if sent > count or at > len(body):
                raise HostAway(f"{host.name}: the answer was cut off")
            found[name] = (size, body[end + 1 : at])
        return found

    def _silent(self, host: Host, answer: Answer) -> Exception:
        if answer.status != 0 and (b"cd" in answer.err or b"agent.sh" in answer.err):
            return _Gone(f"{host.name}: there is nothing of this sweep at {self._root}")
        return HostAway(f"{host.name}: no answer that can be understood ({answer.words})")


class _Gone(Exception):
    """The sweep's directory is not there (yet, or any more)."""


def _truncate(path: Path, size: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


def _sweep_out(directory: Path) -> None:
    """Remove copies of viewers that died without a word."""
    import psutil

    if not directory.is_dir():
        return
    for copies in directory.iterdir():
        if copies.name.isdigit() and not psutil.pid_exists(int(copies.name)):
            shutil.rmtree(copies, ignore_errors=True)
