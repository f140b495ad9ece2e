"""Nothing is sent on a channel after its end was acknowledged.

paramiko looks whether a channel is closed, lets go of the lock, and sends. If the server closes the channel in between,
the acknowledgement overtakes the message, and OpenSSH ends the whole connection, with every command on it: "Received
data for nonexistent channel". A command that does not read its input does it once in a few hundred times (measured).
So the acknowledgement waits here until what is being sent has gone out; RFC 4254, 5.3 leaves it time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from paramiko import Channel, Transport
from paramiko.common import MSG_CHANNEL_CLOSE

if TYPE_CHECKING:
    from paramiko import Message


class Gate:
    """What may still be sent on one channel. For its use with `with gate.sending() as admitted`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._senders = 0
        self._end: Message | None = None

    @contextlib.contextmanager
    def sending(self) -> Generator[bool]:
        """While inside, the channel's end is not acknowledged. False: its end has come, and nothing may be sent."""
        with self._lock:
            admitted = self._end is None
            self._senders += admitted
        try:
            yield admitted
        finally:
            if admitted:
                self._leave()

    def wake(self) -> None:
        """Let whoever waits for room to send wait no longer: nothing more is to be sent."""
        with self._channel.lock:
            self._channel.eof_sent = 1
            self._channel.out_buffer_cv.notify_all()

    def end_came(self, message: Message) -> None:
        """The server closed the channel (called by the connection's thread, which must not wait)."""
        with self._lock:
            self._end = message
            busy = self._senders > 0
        if busy:
            self.wake()
        else:
            _acknowledge(self._channel, message)

    def _leave(self) -> None:
        with self._lock:
            self._senders -= 1
            message = None if self._senders else self._end
        if message is not None:
            _acknowledge(self._channel, message)


class GatedTransport(Transport):
    """A connection whose session channels have gates."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._gates: dict[Channel, Gate] = {}
        super().__init__(*arguments, **settings)

    @contextlib.contextmanager
    def gated(self, channel: Channel) -> Generator[Gate]:
        gate = self._gates[channel] = Gate(channel)
        try:
            yield gate
        finally:
            del self._gates[channel]

    def end_came(self, channel: Channel, message: Message) -> None:
        gate = self._gates.get(channel)
        if gate is None:
            _acknowledge(channel, message)
        else:
            gate.end_came(message)


def _acknowledge(channel: Channel, message: Message) -> None:
    Channel._handle_close(channel, message)  # type: ignore[attr-defined]


def _end_came(channel: Channel, message: Message) -> None:
    cast("GatedTransport", channel.transport).end_came(channel, message)


GatedTransport._channel_handler_table = {  # type: ignore[attr-defined]
    **Transport._channel_handler_table,  # type: ignore[attr-defined]
    MSG_CHANNEL_CLOSE: _end_came,
}
