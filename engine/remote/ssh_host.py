"""A host behind SSH: one connection, several commands at a time, and every way it can fail told in words."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future

from paramiko.ssh_exception import SSHException

from .host import Answer, HostAway, HostRefused, Usage, command_line
from .ssh_config import SshTarget, route
from .ssh_exchange import CallersError, Exchange, Late, Lost
from .ssh_link import Link, open_link
from .ssh_login import Ask, KeyRing

__all__ = ["Ask", "SshHost", "SshTarget"]

CHANNELS = 4
"""Commands at a time. A server takes 10 per connection by default (MaxSessions), and others may share them."""


class _NotBegun(HostAway):
    """The connection was found dead before the command was sent."""


class SshHost:
    """The `Host` behind an SSH server. The connection is made at the first `run`, and anew after it was lost.

    `ask` is called with a question (from a thread of its own) and returns a passphrase; without it a locked key is
    refused in words.
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
        """See `Host.run`. Connecting counts into `limit`, and takes `ConnectTimeout` (15 s) at most.

        What `data` or `into` raises is raised again.
        """
        line = command_line(command)
        end = time.monotonic() + limit
        if not self._slots.acquire(timeout=limit):
            raise HostAway(
                f"{self.name}: {command[0]} could not begin within {limit:g} s: others keep the host busy"
            )
        try:
            try:
                return self._attempt(line, command[0], data, into, limit, end)
            except _NotBegun:
                # An idle connection may have died unnoticed; nothing was asked of the host over it.
                return self._attempt(line, command[0], data, into, limit, end)
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

    def _attempt(
        self,
        line: str,
        program: str,
        data: bytes | Iterable[bytes],
        into: Callable[[bytes], object] | None,
        limit: float,
        end: float,
    ) -> Answer:
        with self._using(end) as link:
            exchange = Exchange(link.transport, end, self.usage, self._lock)
            try:
                return exchange.run(line, data, into, link.close)
            except CallersError as error:
                raise error.error from None
            except (Late, Lost, HostAway, OSError, EOFError, SSHException) as error:
                # A late command keeps its session at the server, a broken connection never heals: the next command
                # gets a new one.
                self._retire(link)
                kind = HostAway if exchange.begun or link.alive else _NotBegun
                raise kind(f"{self.name}: {self._why(error, program, limit, end)}") from error
            finally:
                if exchange.begun:
                    self._count(program)

    def _why(self, error: Exception, program: str, limit: float, end: float) -> str:
        if self._closed:
            return "closed"
        if isinstance(error, HostAway):
            return str(error)
        if isinstance(error, Late) or time.monotonic() >= end:
            who = "it" if program == "sh" else program
            return f"{who} gave no answer within {limit:g} s"
        if isinstance(error, (Lost, EOFError, OSError)):
            return f"{program}: connection lost"
        return f"{program}: connection lost ({error})"

    # --- the connection ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _using(self, end: float) -> Generator[Link]:
        """The connection, made if there is none. One that was retired ends with the last who uses it."""
        link = self._connected(end)
        try:
            yield link
        finally:
            with self._lock:
                self._users[link] -= 1
                if not self._users[link]:
                    del self._users[link]
                over = link not in self._users and self._link is not link
            if over:
                link.close()

    def _connected(self, end: float) -> Link:
        """A live connection. Of several threads that need one, all get the same, or its failure."""
        while True:
            with self._lock:
                if self._closed:
                    raise HostAway(f"{self.name}: closed")
                link = self._link
                if link is not None and link.alive:
                    self._users[link] = self._users.get(link, 0) + 1
                    return link
                self._link = None
                over = link if link not in self._users else None
                attempt = self._connecting
                if attempt is None:
                    attempt = self._connecting = Future()
                    threading.Thread(target=self._connect, args=(attempt,), daemon=True).start()
            if over is not None:
                over.close()
            try:
                attempt.result(max(0.0, end - time.monotonic()))
            except (HostAway, HostRefused) as error:
                raise type(error)(*error.args) from None  # each thread its own: tracebacks are not shared
            except TimeoutError:
                raise HostAway(f"{self.name}: no connection within the time for the command") from None

    def _connect(self, attempt: Future[Link]) -> None:
        try:
            hops = route(self._target)
            limit = max(hop.connect_limit for hop in hops)
            link = open_link(hops, self._ring, limit=limit, accept_new=self._target.accept_new_host_key)
        except BaseException as error:  # noqa: BLE001 - it is raised where the connection is waited for
            with self._lock:
                self._connecting = None
            attempt.set_exception(error)
            return
        with self._lock:
            self._connecting = None
            self.usage.connections += 1
            closed = self._closed
            self._link = None if closed else link
        if closed:
            link.close()
        attempt.set_result(link)

    def _retire(self, link: Link) -> None:
        with self._lock:
            if self._link is link:
                self._link = None

    def _count(self, program: str) -> None:
        with self._lock:
            self.usage.round_trips += 1
            self.usage.commands[program] = self.usage.commands.get(program, 0) + 1
