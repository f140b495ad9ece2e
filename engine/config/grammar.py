"""The words that choose a source, `KIND[:PLACE][:N]`, taken apart: syntax only, nothing is looked up.

    local[:N]   ssh:[user@]host[:port][:N]   slurm[:NAME][:N]   pbs[:NAME][:N]   hpc[:NAME][:N]   NAME[:N]

One number after a host is N: `ssh:host:22` asks for 22 slots, and `ssh:host:22:8` for 8 slots by port 22.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Form = Literal["plain", "host", "name"]
"""What may stand between the kind and N: nothing, a host, or a name."""

MOST_SLOTS = 100_000
NAME = re.compile(r"(?!-)[A-Za-z0-9._-]{1,63}")
"""A source's name in the configuration; digits alone would be a number of slots."""
_HOST = re.compile(r"[^\s@:,/\[\]-][^\s@:,/\[\]]*")
_USER = re.compile(r"[^\s@:,-][^\s@:,]*")
_ADDRESS = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\](.*)", re.DOTALL)
_SSH_PORTS = (22, 2222)
HOW = {
    "host": "ssh:host, ssh:user@host:8 or ssh:host:2222:8",
    "name": "slurm, slurm:16 or slurm:NAME:16",
}


class GrammarError(ValueError):
    """A word that is not a source as it is written; the text says what would be."""


@dataclass(frozen=True, slots=True)
class Written:
    """One source as it was written."""

    text: str
    head: str
    """The kind, or a name from the configuration."""
    name: str = ""
    """The place between kind and N: a name, or a host."""
    user: str = ""
    port: int | None = None
    slots: int | None = None

    @property
    def ambiguity(self) -> str:
        """How a number that looks like a port was read; empty if nothing does."""
        if self.port is not None or self.slots not in _SSH_PORTS or not self.name:
            return ""
        return f"{self.text} is read as {self.slots} slots; write {self.text}:8 for port {self.slots} with 8 slots"


def split_list(texts: Iterable[str]) -> list[str]:
    """The sources in `texts`, each of which may hold several, comma separated; empty ones are left out."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def take_apart(text: str, forms: Mapping[str, Form]) -> Written:
    """Read one source. `forms`: what each word at its beginning calls for; behind any other nothing is read.

    Raises `GrammarError`.
    """
    head, colon, rest = text.partition(":")
    form = forms.get(head)
    if form is None:
        return Written(text, head)
    if colon and not rest:
        raise GrammarError(f'"{text}" ends with a colon; write {text[:-1]} or {text}4')
    if form == "host":
        return _with_host(text, head, rest)
    parts = rest.split(":") if rest else []
    if form == "name" and parts and not _is_number(parts[0]):
        name = parts.pop(0)
        if not NAME.fullmatch(name):
            raise GrammarError(f'"{text}": {name!r} is not a name; write it like {HOW["name"]}')
    else:
        name = ""
    if len(parts) > 1:
        how = HOW[form] if form == "name" else f"{head} or {head}:4"
        raise GrammarError(f'"{text}" has too many parts; write it like {how}')
    slots = _slots(text, parts[0]) if parts else None
    return Written(text, head, name, slots=slots)


def _with_host(text: str, head: str, rest: str) -> Written:
    user, at, place = rest.rpartition("@")
    if at and not _USER.fullmatch(user):
        raise GrammarError(f'"{text}": {user!r} is not a user; write it like {HOW["host"]}')
    address = _ADDRESS.fullmatch(place)
    if address is not None:
        host, numbers = address[1], address[2]
        if numbers and not numbers.startswith(":"):
            raise GrammarError(f'"{text}": after ] stands a colon or nothing, as in ssh:[::1]:22:4')
    else:
        host, colon, behind = place.partition(":")
        numbers = colon + behind
        if not host or _is_number(host):
            raise GrammarError(f'"{text}" names no host; write it like {HOW["host"]}')
        if not _HOST.fullmatch(host):
            raise GrammarError(f'"{text}": {host!r} is not a host; write it like {HOW["host"]}')
    parts = numbers.split(":")[1:]
    if len(parts) > 2:
        raise GrammarError(
            f'"{text}" has too many parts; write it like {HOW["host"]}, an IPv6 address in brackets: ssh:[::1]:22:4'
        )
    if len(parts) < 2:
        slots = _slots(text, parts[0]) if parts else None
        return Written(text, head, host, user, slots=slots)
    if not _is_number(parts[0]) or not 1 <= int(parts[0]) <= 65535:
        raise GrammarError(f'"{text}": {parts[0]!r} is not a port; write it like {HOW["host"]}')
    return Written(text, head, host, user, int(parts[0]), _slots(text, parts[1]))


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 9


def _slots(text: str, word: str) -> int:
    if not _is_number(word) or not 1 <= int(word) <= MOST_SLOTS:
        raise GrammarError(f'"{text}": {word!r} is not a number of slots (1 to {MOST_SLOTS})')
    return int(word)
