"""Whether a server is the one it was: known_hosts as OpenSSH keeps it (`man 8 sshd`, SSH_KNOWN_HOSTS FILE FORMAT)."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .host import HostRefused
from .ssh_config import Hop


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line of a known_hosts file that speaks of the host."""

    file: Path
    line: int
    kind: str
    key: str
    """In base64, as it stands there."""
    revoked: bool


def known_keys(hop: Hop) -> list[KnownKey]:
    """What the user's and the system's files say of this host, in their order."""
    return [key for file in hop.known_hosts for key in _speaking_of(hop.known_as, file)]


def check_host_key(hop: Hop, kind: str, blob: bytes, *, accept_new: bool) -> None:
    """Raise `HostRefused` unless the key is known. With `accept_new` a new one is written down, a changed never."""
    key = base64.b64encode(blob).decode()
    known = known_keys(hop)
    for entry in known:
        if entry.revoked and entry.key == key:
            raise HostRefused(f"{hop.where}: its host key is revoked by {entry.file}:{entry.line}")
    good = [entry for entry in known if not entry.revoked]
    if any(entry.key == key for entry in good):
        return
    if good:
        old = next((entry for entry in good if entry.kind == kind), good[0])
        raise HostRefused(
            f"{hop.where}: its host key has CHANGED to {kind} {fingerprint(blob)}; {old.file}:{old.line} knows another"
            f" ({old.kind} {fingerprint(base64.b64decode(old.key))}). Somebody may be listening in. If the host was"
            f" installed anew, remove that line (ssh-keygen -R '{hop.known_as}' -f {old.file}) and connect again"
        )
    if not accept_new:
        scan = "" if hop.port == 22 else f"-p {hop.port} "
        raise HostRefused(
            f"{hop.where}: its host key is unknown: {kind} {fingerprint(blob)}. If that is right, run `ssh {hop.alias}`"
            f" once, or `ssh-keyscan {scan}{hop.address} >> {hop.known_hosts[0]}`, or give --accept-new-host-key"
        )
    _write_down(hop, kind, key)


def fingerprint(blob: bytes) -> str:
    """As `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _speaking_of(name: str, file: Path) -> Iterator[KnownKey]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostRefused(f"{file} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        # @cert-authority speaks of host certificates, which paramiko does not ask for.
        if len(words) < 3 or words[0].startswith("#") or marker not in ("", "@revoked"):
            continue
        if _names(words[0], name):
            yield KnownKey(file, number, words[1], words[2], marker == "@revoked")


def _names(patterns: str, name: str) -> bool:
    """Whether the first field of a line means this host: a hashed name, or patterns with `*`, `?` and `!`."""
    if patterns.startswith("|1|"):
        _, _, salt, digest = [*patterns.split("|"), "", ""][:4]
        return hmac.compare_digest(_hash(name, base64.b64decode(salt)), digest)
    found = False
    for pattern in patterns.lower().split(","):
        # Brackets stand for themselves here, `[host]:port`; for fnmatch they would be a set.
        plain = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatch.fnmatchcase(name.lower(), plain):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _hash(name: str, salt: bytes) -> str:
    return base64.b64encode(hmac.new(salt, name.encode(), hashlib.sha1).digest()).decode()


def _write_down(hop: Hop, kind: str, key: str) -> None:
    file = hop.known_hosts[0]
    name = hop.known_as
    if hop.hash_names:
        salt = secrets.token_bytes(hashlib.sha1().digest_size)
        name = f"|1|{base64.b64encode(salt).decode()}|{_hash(name, salt)}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "rb+") as stream:
            whole = (
                stream.seek(0, os.SEEK_END) == 0 or (stream.seek(-1, os.SEEK_END), stream.read(1))[1] == b"\n"
            )
            stream.write(("" if whole else "\n").encode() + f"{name} {kind} {key}\n".encode())
    except OSError as error:
        raise HostRefused(
            f"{hop.where}: its new host key cannot be written to {file}: {error.strerror}"
        ) from None
