"""Getting into a server: which keys are tried, in OpenSSH's order, and what is said when none is taken."""

from __future__ import annotations

import base64
import binascii
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from paramiko import ECDSAKey, Ed25519Key, PKey, RSAKey, Transport
from paramiko.agent import AgentKey, AgentSSH
from paramiko.ssh_exception import (
    AuthenticationException,
    BadAuthenticationType,
    PasswordRequiredException,
    SSHException,
)

from .host import HostAway, HostRefused
from .ssh_config import Hop

Ask = Callable[[str], str]
_MAGIC = b"openssh-key-v1\0"
_AGENT_LIMIT = 15.0
"""Seconds an agent has to answer, for it may ask the user to confirm."""


class _Agent(AgentSSH):
    """An agent behind a given socket, which must answer in time."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.link = socket.socket(socket.AF_UNIX)
        try:
            self.link.settimeout(_AGENT_LIMIT)
            self.link.connect(path)
            self._connect(self.link)  # type: ignore[attr-defined]
        except BaseException:
            self.link.close()
            raise


class KeyRing:
    """The keys of one user for one host. A key that was unlocked once is kept unlocked, in memory only.

    `ask` is called with a question and returns a passphrase; without it nothing is asked, for an engine has nobody.
    """

    def __init__(self, ask: Ask | None = None) -> None:
        self._ask = ask
        self._opened: dict[Path, PKey] = {}

    def log_in(self, transport: Transport, hop: Hop) -> None:
        """Log in to the server at the other end of `transport`. Raises `HostAway` and `HostRefused`."""
        tried: list[str] = []
        notes: list[str] = []
        with contextlib.ExitStack() as stack:
            for label, key in self._candidates(hop, notes, stack):
                try:
                    more = transport.auth_publickey(hop.user, key)
                except BadAuthenticationType as error:
                    raise HostRefused(_no_keys(hop, error.allowed_types)) from None
                except AuthenticationException as error:
                    if "timeout" in str(error).lower():
                        raise HostAway(
                            f"{hop.where}: no answer to the login within {hop.connect_limit:g} s"
                        ) from None
                    tried.append(label)
                    if not transport.is_active():
                        raise _cut_off(hop, tried) from None
                except SSHException as error:
                    if not transport.is_active():
                        raise
                    notes.append(f"{label}: {error}")
                else:
                    if more:
                        raise HostRefused(
                            f"{hop.where}: after the key {label} it asks for more ({', '.join(more)}); a login with two"
                            " factors cannot be done unattended"
                        )
                    return
        if not tried:
            self._without_keys(transport, hop, notes)
            return
        raise HostRefused(
            f"{hop.where}: Permission denied (publickey); tried {', '.join(tried)}{_in_words(notes)}."
            f" Is the user right, and is the key in its ~/.ssh/authorized_keys (ssh-copy-id {hop.alias})?"
        )

    def _without_keys(self, transport: Transport, hop: Hop, notes: list[str]) -> None:
        """There is nothing to offer: learn what the server wants, so that it can be told."""
        try:
            transport.auth_none(hop.user)
        except BadAuthenticationType as error:
            if "publickey" not in error.allowed_types:
                raise HostRefused(_no_keys(hop, error.allowed_types)) from None
            if notes:  # there are keys, and each note says what to do about one
                raise HostRefused(
                    f"{hop.where}: there is no key to log in with: {'; '.join(notes)}"
                ) from None
            raise HostRefused(
                f"{hop.where}: there is no key to log in with."
                f" Name one (ssh_key, IdentityFile), or make one: ssh-keygen, then ssh-copy-id {hop.alias}"
            ) from None

    def _candidates(
        self, hop: Hop, notes: list[str], stack: contextlib.ExitStack
    ) -> Iterator[tuple[str, PKey]]:
        """The keys to try: those of the agent that were named, the agent's others, then files."""
        held = self._held_by_agent(hop, notes, stack)
        offered: set[bytes] = set()
        for path in hop.identities:
            public = public_half(path)
            if public is not None and public in held and public not in offered:
                offered.add(public)
                yield f"{path} (agent)", held[public]
        if not hop.only_these:
            for public, key in held.items():
                if public not in offered:
                    yield f"{key.comment or key.get_name()} (agent)", key
        for path in hop.identities:
            if public_half(path) in offered:
                continue
            key = self._from_file(path, hop, notes)
            if key is not None:
                yield str(path), key

    def _held_by_agent(
        self, hop: Hop, notes: list[str], stack: contextlib.ExitStack
    ) -> dict[bytes, AgentKey]:
        if hop.agent is None:
            return {}
        try:
            agent = _Agent(hop.agent)
        except (OSError, SSHException) as error:
            notes.append(f"the agent at {hop.agent} does not answer ({error})")
            return {}
        stack.callback(agent.link.close)
        return {key.asbytes(): key for key in agent.get_keys()}

    def _from_file(self, path: Path, hop: Hop, notes: list[str]) -> PKey | None:
        if path in self._opened:
            return self._opened[path]
        try:
            key = load_key(path, None)
        except PasswordRequiredException:
            if self._ask is None:
                start = "" if hop.agent else ", in an agent (eval $(ssh-agent))"
                notes.append(f"{path} is locked by a passphrase: unlock it with `ssh-add {path}`{start}")
                return None
            try:
                key = load_key(path, self._ask(f"Passphrase for {path} ({hop.where}): "))
            except (SSHException, ValueError):
                raise HostRefused(f"{hop.where}: the passphrase of {path} is wrong") from None
        except FileNotFoundError:
            if hop.named:
                notes.append(f"{path} does not exist; correct ssh_key in spawn.yaml, or IdentityFile")
            return None
        except OSError as error:
            notes.append(f"{path} cannot be read: {error.strerror}")
            return None
        except (SSHException, ValueError) as error:
            notes.append(f"{path} is not a private key that can be used ({error})")
            return None
        self._opened[path] = key
        return key


def load_key(path: Path, passphrase: str | None) -> PKey:
    """The private key in a file (RSA, Ed25519 or ECDSA), with the certificate beside it if there is one.

    Raises `PasswordRequiredException` for a locked one, `SSHException` or `ValueError` for one that cannot be read or a
    passphrase that is wrong, `OSError`.
    """
    reason: Exception = SSHException("unknown kind of key")
    for kind in (Ed25519Key, RSAKey, ECDSAKey):
        try:
            key = kind.from_private_key_file(str(path), passphrase)
        except PasswordRequiredException:
            raise
        except (SSHException, ValueError, IndexError, struct.error) as error:
            reason = error
            continue
        certificate = path.with_name(path.name + "-cert.pub")
        if certificate.exists():
            key.load_certificate(str(certificate))
        return key
    raise SSHException(str(reason) or "unknown kind of key")


def public_half(path: Path) -> bytes | None:
    """The public key that belongs to an identity file, from `path`.pub or its own head; None if it cannot be told.

    The head of OpenSSH's format is not encrypted (PROTOCOL.key), so that an agent's key is recognized.
    """
    for file in (path.with_name(path.name + ".pub"), path):
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError):
            continue
        words = text.split()
        with contextlib.suppress(binascii.Error, struct.error):
            if "BEGIN OPENSSH PRIVATE KEY" in text:
                return _public_in_head(base64.b64decode("".join(text.strip().splitlines()[1:-1])))
            if len(words) >= 2 and not text.startswith("-----"):
                return base64.b64decode(words[1], validate=True)
    return None


def _public_in_head(blob: bytes) -> bytes | None:
    if not blob.startswith(_MAGIC):
        return None
    at = len(_MAGIC)

    def string() -> bytes:
        nonlocal at
        (length,) = struct.unpack_from(">I", blob, at)
        at += 4 + length
        return blob[at - length : at]

    for _ in ("cipher", "kdf", "kdf options"):
        string()
    at += 4
    return string()


def _no_keys(hop: Hop, methods: list[str]) -> str:
    wants = ", ".join(methods) or "nothing we know"
    return (
        f"{hop.where}: it does not take keys, only {wants}; a password cannot be given unattended."
        f" Have PubkeyAuthentication allowed there, then install a key: ssh-copy-id {hop.alias}"
    )


def _cut_off(hop: Hop, tried: list[str]) -> HostAway | HostRefused:
    """The server hung up during the login: after several keys it had enough of us, else it went away."""
    if len(tried) > 2:
        return HostRefused(
            f"{hop.where}: Too many authentication failures, after {len(tried)} keys; name the right one (ssh_key in"
            " spawn.yaml, or IdentityFile with IdentitiesOnly yes)"
        )
    return HostAway(f"{hop.where}: it closed the connection during the login")


def _in_words(notes: list[str]) -> str:
    return f" ({'; '.join(notes)})" if notes else ""
