"""An SFTP server on another machine, started as root, so that it may read what belongs to root."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator

from paramiko import Channel
from paramiko.ssh_exception import SSHException

from .host import CHUNK, Answer, HostAway, HostRefused
from .sftp import MOST, Sftp
from .ssh_gate import Gate
from .ssh_link import Link

LIMIT = 60.0
"""Seconds without a byte after which the server is given up."""
_MARK = b"spawn-sftp 1\n"
_SERVERS = (
    "/usr/libexec/openssh/sftp-server", "/usr/lib/openssh/sftp-server", "/usr/lib/ssh/sftp-server",
)  # fmt: skip
# Whatever a login script prints comes before the mark; the server reads only what is sent after it was seen.
_BEGIN = f"""\
if [ "$(id -u)" = 0 ]; then as=; else as='sudo -n'; fi
for server in {" ".join(_SERVERS)}; do
	[ -x "$server" ] || continue
	echo {_MARK.decode().strip()}
	exec $as "$server" -R
done
echo 'there is no sftp-server' >&2
exit 127
"""


@contextlib.contextmanager
def sftp_over(link: Link, where: str) -> Generator[Sftp]:
    """A session over a connection, as root: by `sudo -n` where another logged in. `where`: the machine in words.

    Raises `HostAway`, and `HostRefused` where sudo refuses or there is no server.
    """
    try:
        channel = link.transport.open_session(timeout=LIMIT)
    except (SSHException, OSError, EOFError) as error:
        raise HostAway(f"{where}: it opens no session ({error or 'connection lost'})") from error
    with link.transport.gated(channel) as gate:
        try:
            wire = _ChannelWire(channel, gate, where)
            wire.begin()
            sftp = Sftp(wire, where)
            wire.begun = True
            yield sftp
        finally:
            gate.wake()
            with gate.sending() as admitted:
                if admitted:
                    channel.close()


class _ChannelWire:
    """A command's stdin and stdout on a gated channel. `begun`: whether an SFTP server has spoken on it."""

    def __init__(self, channel: Channel, gate: Gate, where: str) -> None:
        self._channel, self._gate, self._where = channel, gate, where
        self._news = threading.Event()
        self._came = bytearray()
        self._marked = self.begun = False

    def begin(self) -> None:
        """Start the server."""
        self._channel.settimeout(LIMIT)
        self._channel.in_buffer.set_event(self._news)
        try:
            self._channel.exec_command("sh -s")
        except (SSHException, OSError, EOFError) as error:
            raise HostAway(f"{self._where}: connection lost ({error})") from error
        self.send(_BEGIN.encode())
        while (at := self._came.find(_MARK)) < 0:
            if len(self._came) > MOST:
                raise HostRefused(f"{self._where}: no POSIX shell answers there, and what does has no end")
            self._more()
        del self._came[: at + len(_MARK)]
        self._marked = True

    def send(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            try:
                with self._gate.sending() as admitted:
                    sent = self._channel.send(data[at : at + CHUNK]) if admitted else 0
            except (SSHException, OSError, EOFError):
                sent = 0
            if not sent:
                raise self._ended()
            at += sent

    def receive(self, count: int) -> bytes:
        while len(self._came) < count:
            self._more()
        piece = bytes(self._came[:count])
        del self._came[:count]
        return piece

    def _more(self) -> None:
        """What has come, waited for. To receive may send: it makes room for more at the other end."""
        if not self._news.wait(LIMIT):
            raise HostAway(f"{self._where}: no answer within {LIMIT:g} s")
        try:
            with self._gate.sending() as admitted:
                if not (admitted or self._channel.closed):
                    return  # its end is being acknowledged
                piece = self._channel.recv(CHUNK)
        except (SSHException, OSError, EOFError):
            piece = b""
        if not piece:
            raise self._ended()
        self._came += piece

    def _ended(self) -> HostAway | HostRefused:
        """Why nothing comes any more: what the command complained of, if it ended by itself."""
        if self.begun or not self._channel.status_event.wait(1.0) or self._channel.exit_status < 0:
            return HostAway(f"{self._where}: connection lost")
        errors = bytearray()
        while self._channel.recv_stderr_ready() and len(errors) < CHUNK:
            errors += self._channel.recv_stderr(CHUNK)
        words = Answer(self._channel.exit_status, b"", bytes(errors)).words
        if self._marked:
            return HostRefused(
                f"{self._where}: the files of an attempt are root's, and they cannot be read as root: {words}; "
                "let this user use sudo without a password (NOPASSWD in /etc/sudoers.d), or log in as another (--user)"
            )
        return HostRefused(
            f"{self._where}: files cannot be read by SFTP: {words}; install it there (openssh-sftp-server)"
        )
