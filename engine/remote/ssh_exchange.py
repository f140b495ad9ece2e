"""One command on one channel of a connection: bytes in, bytes out, an exit status, and an end in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from paramiko import Channel
from paramiko.ssh_exception import ChannelException, SSHException

from .host import CHUNK, Answer, HostAway, Usage, pieces
from .ssh_gate import Gate, GatedTransport

_PATIENCE = 1.0
"""Seconds that the caller's iterable has to notice that nobody wants its data."""
_STUCK = 2.0
"""Seconds after the limit when the connection itself, not the command, is taken to be stuck."""
_INLINE = 1 << 14
"""Bytes that any server takes at once, so that sending them never waits for our reading (dropbear's window: 24 KiB)."""
_NO_ROOM = (2, 4)
"""Reasons for a refused channel that pass (RFC 4254, 5.1): connect failed (for OpenSSH: MaxSessions), no resources."""


class CallersError(Exception):
    """What the caller's `data` or `into` raised, so that it is not taken for the connection's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Late(Exception):
    """The limit is over."""


class Lost(Exception):
    """The connection ended before the command did."""


class _News(threading.Event):
    """Set when stdout or stderr has something or ends; that one of them was emptied says nothing of the other."""

    def clear(self) -> None:
        """Asked for by a buffer that was emptied: not our clearing."""

    def heard(self) -> None:
        super().clear()


class Exchange:
    """Runs one command. `end` is a time of `time.monotonic`; `hang_up` breaks the connection whatever blocks in it."""

    def __init__(self, transport: GatedTransport, end: float, usage: Usage, lock: threading.Lock) -> None:
        self._transport = transport
        self._end = end
        self._usage = usage
        self._lock = lock
        self._kept: list[bytes] = []
        self._errors = bytearray()
        self._failure: Exception | None = None
        self._news = _News()
        self.begun = False
        """Whether the command may have reached the server."""

    def run(
        self,
        line: str,
        data: bytes | Iterable[bytes],
        into: Callable[[bytes], object] | None,
        hang_up: Callable[[], object],
    ) -> Answer:
        """Raises `Late`, `Lost`, `CallersError`, `HostAway` if the server gives no channel, and paramiko's errors."""
        stuck = threading.Timer(self._end - time.monotonic() + _STUCK, hang_up)
        stuck.daemon = True
        stuck.start()
        try:
            with self._open() as channel, self._transport.gated(channel) as gate:
                channel.settimeout(self._left())
                channel.in_buffer.set_event(self._news)
                channel.in_stderr_buffer.set_event(self._news)
                self.begun = True
                channel.exec_command(line)
                feeder = self._begin_feeding(channel, gate, data)
                try:
                    self._read(channel, gate, into or self._kept.append)
                finally:
                    gate.wake()
                    if feeder is not None:
                        feeder.join(_PATIENCE)
                    with gate.sending() as admitted:
                        if admitted:
                            channel.close()
                self._check_whole(channel)
                return Answer(channel.exit_status, b"".join(self._kept), bytes(self._errors))
        finally:
            stuck.cancel()

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise Late
        return left

    def _open(self) -> Channel:
        """A channel; where the server has none to spare, one that gets free before the end."""
        pause = 0.02
        never = threading.Event()
        while True:
            try:
                return self._transport.open_session(timeout=self._left())
            except ChannelException as error:
                if error.code not in _NO_ROOM:
                    raise
            except SSHException as error:
                # Of two threads that are refused at once, paramiko gives one the other's reason, and this one none.
                if "Unable to open channel" not in str(error) or not self._transport.is_active():
                    raise
            if time.monotonic() + pause > self._end:
                raise HostAway("it opens no other session: MaxSessions is used up, or it is short of memory")
            never.wait(pause)
            pause = min(pause * 1.5, 0.5)

    # --- in ------------------------------------------------------------------------------------------------------

    def _begin_feeding(
        self, channel: Channel, gate: Gate, data: bytes | Iterable[bytes]
    ) -> threading.Thread | None:
        if isinstance(data, bytes) and len(data) <= _INLINE:
            self._feed(channel, gate, data)
            return None
        feeder = threading.Thread(target=self._feed, args=(channel, gate, data), daemon=True)
        feeder.start()
        return feeder

    def _feed(self, channel: Channel, gate: Gate, data: bytes | Iterable[bytes]) -> None:
        try:
            for piece in _from_caller(data):
                at = 0
                while at < len(piece):
                    with gate.sending() as admitted:
                        sent = channel.send(piece[at : at + CHUNK]) if admitted else 0
                    if not sent:
                        return
                    at += sent
                    with self._lock:
                        self._usage.sent += sent
            with gate.sending() as admitted:
                if admitted:
                    channel.shutdown_write()
        except OSError:
            return  # closed, or no room until the end: the reader finds out why
        except (CallersError, SSHException, EOFError) as error:
            self._failure = error
            self._news.set()

    # --- out -----------------------------------------------------------------------------------------------------

    def _read(self, channel: Channel, gate: Gate, take: Callable[[bytes], object]) -> None:
        """Hand over what comes until the server closes the channel."""
        while True:
            closed = channel.closed
            while (piece := self._piece(gate, channel, channel.recv_ready, channel.recv)) is not None:
                try:
                    take(piece)
                except Exception as error:
                    raise CallersError(error) from error
            while (
                piece := self._piece(gate, channel, channel.recv_stderr_ready, channel.recv_stderr)
            ) is not None:
                self._errors += piece[: CHUNK - len(self._errors)]
            if self._failure is not None:
                raise self._failure
            if closed:
                return
            if not self._news.wait(self._left()):
                raise Late
            self._news.heard()

    def _piece(
        self, gate: Gate, channel: Channel, ready: Callable[[], bool], receive: Callable[[int], bytes]
    ) -> bytes | None:
        """What has come, if anything. To receive may send: it makes room for more at the other end."""
        with gate.sending() as admitted:
            if not ready() or not (admitted or channel.closed):
                return None
            piece = receive(CHUNK)
        with self._lock:
            self._usage.received += len(piece)
        return piece

    def _check_whole(self, channel: Channel) -> None:
        """Tell a channel that the server closed from one that ended with the connection, whose output may be torn."""
        if channel.eof_received and channel.exit_status >= 0:
            return
        self._transport.join(0.05)  # its thread closes the channels first and says only then that it is over
        reason = self._transport.saved_exception
        if not self._transport.is_active() or (
            reason is not None and not isinstance(reason, ChannelException)
        ):
            raise Lost


def _from_caller(data: bytes | Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces(data)
    except Exception as error:
        raise CallersError(error) from error
