"""From a host's name to the way there, as OpenSSH would read it (`man 5 ssh_config`).

The files are read by paramiko, which knows `Host`, `Match` by host and user, tokens and canonical names. Added here:
`Include`, `ProxyJump` over several hosts, `~` of a given home. Not understood: `Match` by `exec`, `localnetwork` and
other criteria that ask the machine (a host such a block could apply to is refused in words), host certificates, an
`Include` inside a block whose file has blocks of its own (they apply whatever the outer block says), and connection
sharing (`ControlMaster`).
"""

from __future__ import annotations

import getpass
import glob
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .host import HostRefused

if TYPE_CHECKING:
    from paramiko import SSHConfig

SYSTEM = Path("/etc/ssh")
CONNECT_LIMIT = 15.0
KEEPALIVE = 5.0
DEAD_AFTER = 20.0
"""Seconds: a connection of which nothing is acknowledged for so long is given up."""
_IDENTITIES = ("id_rsa", "id_ecdsa", "id_ed25519")
_MATCHED = {"all": 0, "canonical": 0, "final": 0, "host": 1, "originalhost": 1, "user": 1, "localuser": 1}
"""The criteria of `Match` that paramiko decides, and how many words each takes."""
_UNSUPPORTED = "spawn_unsupported"
_LINE = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.*\S)\s*$")
_NAME = re.compile(r"[A-Za-z0-9_.:%@+\-]+\Z")
_MOST_HOPS = 8
_MOST_INCLUDES = 16


@dataclass(frozen=True, slots=True)
class SshTarget:
    """A host as the user names it: an alias of `~/.ssh/config`, a name or an address.

    What is given here goes before the config file; with `key` no other key is tried. `home` is where `.ssh` is looked
    for (None: the user's).
    """

    host: str
    user: str | None = None
    port: int | None = None
    key: str | None = None
    accept_new_host_key: bool = False
    home: Path | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server on the way, with all that is needed to get into it. Times in seconds."""

    alias: str
    address: str
    port: int
    user: str
    identities: tuple[Path, ...]
    named: bool
    """Whether the user named the identities; else they are the usual ones, which need not exist."""
    only_these: bool
    agent: str | None
    """Socket of the agent to ask, if any."""
    known_as: str
    """The name that its host key is kept under."""
    known_hosts: tuple[Path, ...]
    """The user's files, then the system's; new keys go into the first."""
    hash_names: bool
    proxy_command: str | None
    family: str
    connect_limit: float
    keepalive: float
    dead_after: float

    @property
    def where(self) -> str:
        """The host in words, for errors."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        there = f"{self.user}@{address}:{self.port}"
        return there if self.alias == self.address else f"{self.alias} ({there})"


def route(target: SshTarget) -> tuple[Hop, ...]:
    """The servers to go through, the target last. Raises `HostRefused` for what cannot be read or is not supported."""
    from paramiko.ssh_exception import ConfigParseError, CouldNotCanonicalize

    home = target.home or Path.home()
    try:
        config = _read_config(home)
        return tuple(_hops(config, target, home, _MOST_HOPS))
    except ConfigParseError as error:
        raise HostRefused(f"{target.host}: {home}/.ssh/config cannot be read: {error}") from None
    except CouldNotCanonicalize:
        raise HostRefused(
            f"{target.host}: no canonical name was found, and CanonicalizeFallbackLocal is off"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise HostRefused(f"{target.host}: {home}/.ssh/config cannot be read: {error}") from None


def _hops(config: SSHConfig, target: SshTarget, home: Path, most: int) -> list[Hop]:
    if most <= 0:
        raise HostRefused(
            f"{target.host}: more than {_MOST_HOPS} ProxyJump hosts, or a circle of them in ~/.ssh/config"
        )
    options = cast("dict[str, str | list[str] | None]", config.lookup(target.host))
    hop = _hop(options, target, home)
    jumps = options.get("proxyjump")
    if not isinstance(jumps, str) or jumps.lower() == "none":
        return [hop]
    way: list[Hop] = []
    for number, text in enumerate(jumps.split(",")):
        jump = _jump(text.strip(), target)
        if jump.host == target.host and jump.port in (None, hop.port) and jump.user in (None, hop.user):
            continue  # a bastion that `Host *` sends through itself
        # As in OpenSSH, only the first one's own ProxyJump counts: the others are reached from the one before.
        leading = _hops(config, jump, home, most - 1)
        if (leading[-1].address, leading[-1].port, leading[-1].user) != (hop.address, hop.port, hop.user):
            way += leading if number == 0 else leading[-1:]
    if len(way) >= _MOST_HOPS:
        raise HostRefused(
            f"{target.host}: more than {_MOST_HOPS} ProxyJump hosts, or a circle of them in ~/.ssh/config"
        )
    return [*way, hop]


def _jump(text: str, target: SshTarget) -> SshTarget:
    """One word of ProxyJump: `[user@]host[:port]` or `ssh://[user@]host[:port]`."""
    user, _, rest = text.removeprefix("ssh://").rstrip("/").rpartition("@")
    bracketed = re.match(r"\[(.+)\](?::(\d+))?\Z", rest)
    plain = re.match(r"([^:]+)(?::(\d+))?\Z", rest)
    found = bracketed or plain
    if found is None:
        raise HostRefused(f"{target.host}: ProxyJump {text!r} is not [user@]host[:port]")
    port = int(found[2]) if found[2] else None
    return SshTarget(
        found[1], user or None, port, accept_new_host_key=target.accept_new_host_key, home=target.home
    )


def _hop(options: dict[str, str | list[str] | None], target: SshTarget, home: Path) -> Hop:
    def text(key: str) -> str | None:
        value = options.get(key)
        return value if isinstance(value, str) else None

    def seconds(key: str, otherwise: float) -> float:
        value = text(key)
        if value is None or value.lower() == "none":
            return otherwise
        try:
            return float(value) or otherwise
        except ValueError:
            raise HostRefused(
                f"{target.host}: {key} {value!r} in ~/.ssh/config is not a number of seconds"
            ) from None

    def paths(key: str, usual: list[Path]) -> list[Path]:
        value = text(key)
        words = shlex.split(value) if value else []
        return usual if not words else [_in_home(word, home) for word in words if word.lower() != "none"]

    if problem := text(_UNSUPPORTED):
        raise HostRefused(
            f"{target.host}: {problem} is not understood here; give host, user, port and ssh_key in spawn.yaml instead"
        )
    address = text("hostname") or target.host
    user = target.user or text("user") or getpass.getuser()
    for word in (target.host, address, user):
        if not _NAME.match(word) or word.startswith("-"):
            raise HostRefused(f"{target.host}: {word!r} is not a host or user name")
    try:
        port = target.port or int(text("port") or 22)
    except ValueError:
        raise HostRefused(f"{target.host}: Port {text('port')!r} in ~/.ssh/config is not a number") from None
    files = options.get("identityfile")
    identities = [Path(file) for file in files if file.lower() != "none"] if isinstance(files, list) else []
    if target.key:
        identities = [_in_home(target.key, home)]
    agent = text("identityagent") or "SSH_AUTH_SOCK"
    if agent == "SSH_AUTH_SOCK" or agent.startswith("$"):
        agent = os.environ.get(agent.removeprefix("$").strip("{}"), "none")
    keepalive = seconds("serveraliveinterval", KEEPALIVE)
    name = text("hostkeyalias") or address.lower()
    ssh = home / ".ssh"
    return Hop(
        alias=target.host,
        address=address,
        port=port,
        user=user,
        identities=tuple(identities or [ssh / name for name in _IDENTITIES]),
        named=bool(identities),
        only_these=target.key is not None or text("identitiesonly") == "yes",
        agent=None if not agent or agent.lower() == "none" else str(_in_home(agent, home)),
        known_as=name if port == 22 or text("hostkeyalias") else f"[{name}]:{port}",
        known_hosts=(
            *paths("userknownhostsfile", [ssh / "known_hosts", ssh / "known_hosts2"]),
            *paths("globalknownhostsfile", [SYSTEM / "ssh_known_hosts", SYSTEM / "ssh_known_hosts2"]),
        ),
        hash_names=text("hashknownhosts") == "yes",
        proxy_command=text("proxycommand"),
        family=(text("addressfamily") or "any").lower(),
        connect_limit=seconds("connecttimeout", CONNECT_LIMIT),
        keepalive=keepalive,
        dead_after=keepalive * seconds("serveralivecountmax", 3.0)
        if text("serveraliveinterval")
        else DEAD_AFTER,
    )


def _in_home(word: str, home: Path) -> Path:
    if word.startswith("~/"):
        return home / word[2:]
    return Path(word.replace("%d", str(home))).expanduser()


def _read_config(home: Path) -> SSHConfig:
    from paramiko import SSHConfig

    config = SSHConfig()
    for file, folder in ((home / ".ssh" / "config", home / ".ssh"), (SYSTEM / "ssh_config", SYSTEM)):
        if file.exists():
            config.parse(list(_lines(file, folder, home, _MOST_INCLUDES)))
    return config


def _lines(file: Path, folder: Path, home: Path, depth: int) -> Iterator[str]:
    """The lines of a config file for paramiko: includes put in, home directories and `Match` lines made plain."""
    if depth <= 0:
        raise HostRefused(f"{file}: Include goes round in a circle")
    block = "Host *"
    for number, line in enumerate(file.read_text().splitlines(), 1):
        found = _LINE.match(line)
        keyword, value = (found[1].lower(), found[2]) if found else ("", "")
        if keyword == "include":
            for word in shlex.split(value):
                pattern = folder / _in_home(word, home)
                for name in sorted(glob.glob(str(pattern))):  # noqa: PTH207 - the pattern may be absolute
                    yield from _lines(Path(name), folder, home, depth - 1)
            yield block
        elif keyword == "host":
            block = line
            yield line
        elif keyword == "match":
            block, unsupported = _plain_match(value, f"{file}:{number}")
            yield block
            if unsupported:
                yield f"{_UNSUPPORTED} {unsupported}"
        elif keyword == "identityfile" and value.strip('"').startswith(("~/", "%d")):
            yield f'IdentityFile "{_in_home(value.strip(chr(34)), home)}"'
        else:
            yield line


def _plain_match(value: str, place: str) -> tuple[str, str | None]:
    """A `Match` line with only what paramiko can decide, and what else it asks for, in words."""
    words = iter(shlex.split(value.replace("=", " ") if "exec" not in value else value))
    kept: list[str] = []
    strange: str | None = None
    for word in words:
        kind = word.lstrip("!").lower()
        takes = _MATCHED.get(kind, 1)
        argument = [next(words, "")] if takes else []
        if kind in _MATCHED:
            kept += [word, *argument]
        else:
            strange = f"Match {word} ({place})"
    return "Match " + " ".join(shlex.quote(word) for word in kept or ["all"]), strange
