"""A host behind SSH: one connection, many commands at a time, and every way it can fail told in words."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from paramiko import Channel
from paramiko.ssh_exception import ChannelException, SSHException

from .host import CHUNK, Answer, HostAway, HostRefused, Usage, command_line, pieces
from .ssh_config import CONNECT_LIMIT, Hop, SshTarget, route
from .ssh_link import Link, open_link
from .ssh_login import Ask, KeyRing

__all__ = ["SshHost", "SshTarget"]

CHANNELS = 4
"""Commands at a time. A server takes 10 per connection by default (MaxSessions), and others may share them."""
_STUCK = 2.0
"""Seconds after a command's limit when the connection itself is taken to be stuck."""
_INLINE = 1 << 14
"""Bytes that any server takes at once, so that sending them cannot wait for our reading (dropbear's window is 24 KiB)."""


class SshHost:
    """The `Host` behind an SSH server. The connection is made at the first `run`, and anew after it was lost.

    `ask` is called with a question and returns a passphrase; without it a locked key is refused in words.
    """

    def __init__(self, target: SshTarget, *, ask: Ask | None = None, channels: int = CHANNELS) -> None:
        self.name = target.host
        self.usage = Usage()
        self._target = target
        self._ring = KeyRing(ask)
        self._slots = threading.BoundedSemaphore(channels)
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._users: dict[Link, int] = {}
        self._connecting: Future[Link] | None = None
        self._closed = False

    def run(
        self,
        command: Sequence[str],
        data: bytes | Iterable[bytes] = b"",
        *,
        limit: float,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """See `Host.run`. The time to connect counts; that takes `ConnectTimeout` at most, or 15 s."""
        line = command_line(command)
        end = time.monotonic() + limit
        late = HostAway(f"{self.name}: {command[0]} gave no answer within {limit:g} s")
        if not self._slots.acquire(timeout=limit):
            raise HostAway(f"{self.name}: {command[0]} was not begun within {limit:g} s: others take all the time")
        try:
            with self._using(end) as link:
                self._count(command[0])
                exchange = _Exchange(link, end, late, self.usage, self._lock)
                try:
                    return exchange.run(line, data, into)
                except (OSError, EOFError, SSHException) as error:
                    # Whatever it was, this connection is not to be trusted; the next command makes a new one.
                    self._retire(link)
                    if isinstance(error, TimeoutError) or time.monotonic() >= end:
                        raise late from error
                    raise HostAway(f"{self.name}: {_lost(link, error)}") from error
                except HostAway:
                    self._retire(link)
                    raise
        finally:
            self._slots.release()

    def close(self) -> None:
        """Hang up, also on those who wait for an answer: they get `HostAway`."""
        with self._lock:
            self._closed = True
            links = {*self._users, *([self._link] if self._link else [])}
            self._link = None
        for link in links:
            link.close()

    # --- the connection ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _using(self, end: float) -> Iterator[Link]:
        """The connection, made if there is none. One that was retired ends with the last who uses it."""
        link = self._connected(end)
        try:
            yield link
        finally:
            with self._lock:
                self._users[link] -= 1
                unused = not self._users[link]
                if unused:
                    del self._users[link]
                done = unused and self._link is not link
            if done:
                link.close()

    def _connected(self, end: float) -> Link:
        """A live connection. Of several threads that need one, one makes it and all get it, or its failure."""
        while True:
            with self._lock:
                if self._closed:
                    raise HostAway(f"{self.name}: closed")
                if self._link is not None and not self._link.alive:
                    self._drop(self._link)
                if self._link is not None:
                    self._users[self._link] = self._users.get(self._link, 0) + 1
                    return self._link
                mine = self._connecting is None
                if self._connecting is None:
                    self._connecting = Future()
                attempt = self._connecting
            if mine:
                self._connect(attempt, end)
            try:
                attempt.result(max(0.0, end - time.monotonic()))
            except FutureTimeout:
                raise HostAway(f"{self.name}: no connection yet, and the time is over") from None
            except (HostAway, HostRefused) as error:
                raise type(error)(*error.args) from None  # each thread its own: a raised exception is not shared

    def _connect(self, attempt: Future[Link], end: float) -> None:
        try:
            hops = route(self._target)
            limit = min(max(hop.connect_limit for hop in hops), max(0.0, end - time.monotonic()))
            link = open_link(hops, self._ring, limit=limit, accept_new=self._target.accept_new_host_key)
        except BaseException as error:
            with self._lock:
                self._connecting = None
            attempt.set_exception(error)
            raise
        with self._lock:
            self._connecting = None
            self.usage.connections += 1
            closed = self._closed
            if not closed:
                self._link = link
        if closed:
            link.close()
        attempt.set_result(link)

    def _retire(self, link: Link) -> None:
        """Let nobody begin anything on it. A session slot that a late command holds is had back with a new one."""
        with self._lock:
            if self._link is link:
                self._link = None

    def _drop(self, link: Link) -> None:
        """Forget a dead connection (the lock is held)."""
        self._link = None
        if link not in self._users:
            threading.Thread(target=link.close, daemon=True).start()

    def _count(self, program: str) -> None:
        with self._lock:
            self.usage.round_trips += 1
            self.usage.commands[program] = self.usage.commands.get(program, 0) + 1
