"""One connection to a host, through as many servers as the way has, each checked and logged in to like the last."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from types import TracebackType

from paramiko import Channel, Transport
from paramiko.ssh_exception import ChannelException, IncompatiblePeer, SSHException

from .host import HostAway, HostRefused
from .ssh_config import Hop
from .ssh_gate import GatedTransport
from .ssh_known import check_host_key, known_keys
from .ssh_login import KeyRing

# What it has to say is said by us, in words; on the terminal it would break the screen.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

_RSA = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")
_NO_GREETING = "no banner in time"
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


class Link:
    """A connection that commands can be run over. `transport` is the one to the host itself."""

    def __init__(self, transports: Sequence[GatedTransport], stack: contextlib.ExitStack) -> None:
        self.transport = transports[-1]
        self._transports = transports
        self._stack = stack
        self._lock = threading.Lock()
        self._closed = False

    @property
    def alive(self) -> bool:
        return all(transport.is_active() for transport in self._transports)

    def close(self) -> None:
        """Hang up. Whoever waits for something on it is told at once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._stack.close()


def open_link(hops: Sequence[Hop], ring: KeyRing, *, limit: float, accept_new: bool) -> Link:
    """Connect through `hops`, in at most `limit` seconds. Raises `HostAway` and `HostRefused`, in words."""
    end = time.monotonic() + limit
    transports: list[GatedTransport] = []
    with contextlib.ExitStack() as stack:
        for hop in hops:
            with _in_words(hop, limit):
                wire = _wire(hop, transports[-1] if transports else None, end, stack)
                transport = GatedTransport(wire)
                stack.callback(transport.close)
                _greet(transport, hop, end, accept_new)
                transport.auth_timeout = _left(end)
                ring.log_in(transport, hop)
                # paramiko counts whole seconds; what nobody acknowledges, TCP_USER_TIMEOUT notices.
                transport.set_keepalive(max(1, int(hop.keepalive)))
                transports.append(transport)
        return Link(transports, stack.pop_all())


def _greet(transport: Transport, hop: Hop, end: float, accept_new: bool) -> None:
    """Agree on keys with the server and check that it is the one we know."""
    _prefer_known(transport, hop)
    transport.banner_timeout = transport.handshake_timeout = _left(end)
    try:
        transport.start_client(timeout=_left(end))
    except SSHException as error:
        if "banner" in str(error) and end - time.monotonic() < 0.1:
            raise SSHException(_NO_GREETING) from None  # else told like a server that hangs up
        raise
    if not transport.initial_kex_done:  # start_client does not say when it gives up
        raise SSHException(_NO_GREETING)
    key = transport.get_remote_server_key()
    check_host_key(hop, key.get_name(), key.asbytes(), accept_new=accept_new)


def _prefer_known(transport: Transport, hop: Hop) -> None:
    """Ask for a key of a kind that known_hosts has, lest a server with several shows one it does not."""
    kinds = [kind for key in known_keys(hop) for kind in (_RSA if key.kind == "ssh-rsa" else (key.kind,))]
    options = transport.get_security_options()
    offered = list(options.key_types)
    options.key_types = sorted(offered, key=lambda kind: kind not in kinds)


# --- the wire ----------------------------------------------------------------------------------------------------


def _wire(
    hop: Hop, before: Transport | None, end: float, stack: contextlib.ExitStack
) -> socket.socket | Channel:
    """What the SSH of this hop runs over: a channel of the hop before it, a command of the user's, or TCP."""
    if before is not None:
        address = (hop.address, hop.port)
        return before.open_channel("direct-tcpip", address, ("127.0.0.1", 0), timeout=_left(end))
    if hop.proxy_command:
        return _spawned(hop, hop.proxy_command, stack)
    return _dialled(hop, end, stack)


def _dialled(hop: Hop, end: float, stack: contextlib.ExitStack) -> socket.socket:
    """A TCP connection: the first of the host's addresses that answers."""
    reason: OSError = TimeoutError()
    family = _FAMILIES.get(hop.family, socket.AF_UNSPEC)
    for kind, style, protocol, _, address in socket.getaddrinfo(
        hop.address, hop.port, family, socket.SOCK_STREAM
    ):
        link = socket.socket(kind, style, protocol)
        try:
            link.settimeout(_left(end))
            link.connect(address)
        except OSError as error:
            link.close()
            reason = error
            continue
        stack.callback(link.close)
        # Without it each command waits 40 ms for the server's delayed ACK (measured: 21 instead of 400 a second).
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(hop.dead_after * 1000))
        return link
    raise reason


def _spawned(hop: Hop, command: str, stack: contextlib.ExitStack) -> socket.socket:
    """The user's ProxyCommand, run by a shell as OpenSSH does; a pair of sockets makes it look like a network."""
    ours, theirs = socket.socketpair()
    stack.callback(ours.close)
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the connection
    stack.enter_context(errors)
    with theirs:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=errors, start_new_session=True,
        )  # fmt: skip
    stack.callback(_end, process)

    def explain(
        kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, HostAway):
            errors.seek(0)
            said = errors.read(4096).decode(errors="replace").strip().splitlines()
            last = f": {said[-1][:200]}" if said else ""
            raise HostAway(f"{error} (through ProxyCommand {command.split()[0]}{last})") from None

    stack.push(explain)
    return ours


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(2.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- what went wrong, in words -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _in_words(hop: Hop, limit: float) -> Generator[None]:
    """Whatever goes wrong on the way to `hop` becomes `HostAway` or `HostRefused`, with cause and remedy."""
    try:
        yield
    except (HostAway, HostRefused):
        raise
    except (OSError, EOFError, SSHException) as error:
        raise told(hop, error, limit) from error


def told(hop: Hop, error: Exception, limit: float) -> HostAway | HostRefused:
    """What a failed connection means, in OpenSSH's words where it has some. What may heal by itself is `HostAway`."""
    match error:
        case socket.gaierror():
            why = f"Could not resolve hostname {hop.address}: {error.strerror}. Is it spelt right, and the network up?"
        case TimeoutError():
            why = (
                f"Connection timed out after {limit:g} s: the host is down, or a firewall swallows what we send;"
                f" is the address right, and port {hop.port} open to us?"
            )
        case ConnectionRefusedError():
            why = f"Connection refused: nothing listens on port {hop.port}; is the SSH server up, and the port right?"
        case IncompatiblePeer():
            return HostRefused(f"{hop.where}: it speaks no algorithm that we do: {error}")
        case ChannelException():
            why = f"the host before it on the way cannot reach it: {error.text}"
        case EOFError() | ConnectionResetError() | BrokenPipeError():
            why = "it closed the connection before the login (too many at once, or it does not want us)"
        case OSError():
            why = f"{error.strerror or error}"
        case _ if re.search('banner$|version ""', str(error)):
            why = f"it hung up without a greeting: too many at once, or no SSH server listens on port {hop.port}"
        case _ if re.search("banner|protocol version", str(error), re.IGNORECASE):
            why = f"what answers on port {hop.port} does not greet like an SSH server, or not within {limit:g} s"
        case _ if "Timeout" in str(error):
            why = f"no answer within {limit:g} s"
        case _:
            why = f"the connection failed: {error}"
    return HostAway(f"{hop.where}: {why}")


def _left(end: float) -> float:
    """The seconds that are left, enough to fail by a timeout rather than by a zero."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
