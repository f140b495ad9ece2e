"""What a machine says of itself and of the attempts in a sweep's directory there, as `agent.sh` words it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..sources.attempt import Claim, Outcome, parse_claim, parse_outcome
from .host import HostAway

_PID_AND_START = re.compile(r"(\d+) \(.*\) (\S) (?:\S+ ){18}(\d+)")
"""Pid, state and start time of /proc/PID/stat, proc(5); a line that is cut by a name with a newline is none."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a machine says of itself when we come in."""

    home: str
    root: str
    """The sweep's directory there, absolute."""
    boot: str
    hostname: str
    user: str
    skew: float
    """Seconds its clock is ahead of ours."""


@dataclass(slots=True)
class Seen:
    """What the files of one attempt say, and whether its runner's process is there."""

    there: bool = True
    """Whether its directory exists."""
    claim: Claim | None = None
    outcome: Outcome | None = None
    alive: bool | None = None
    """Its runner, or after the exit its group; None where this machine cannot say (claimed on another)."""
    unwritten: bool = False
    """Whether it has ended, and its runner waits for room to write the exit status."""
    started_at: float | None = None
    ended_at: float | None = None
    """By the clock at home, in seconds since 1970."""
    complaint: str = ""
    """The last line of its stderr, if it failed."""


@dataclass(slots=True)
class Look:
    seen: dict[str, Seen] = field(default_factory=dict[str, Seen])
    health: dict[str, str] = field(default_factory=dict[str, str])
    """`load`, `cpu`, `MemTotal`, `MemAvailable`, `cores`, `disk`: raw lines of /proc and df."""


def read_look(lines: Sequence[str], facts: Facts | None, names: Sequence[str]) -> Look:
    """The lines of `agent.sh look`. Raises `HostAway` if one of the names was not spoken of, and what a line raises
    that is none of them (`ValueError`, `KeyError`, `IndexError`).
    """
    look = Look()
    known = frozenset(names)
    starts: dict[int, str] = {}
    groups: set[int] = set()
    skew = facts.skew if facts else 0.0
    now = time.time()
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind in ("N", "C", "X", "E", "W") and rest.partition(" ")[0] not in known:
            continue  # nobody asked
        match kind:
            case "N":
                name, _, where = rest.partition(" ")
                look.seen[name] = Seen(there=where == "there")
            case "C":
                name, _, text = rest.partition(" ")
                look.seen[name] = Seen(claim=parse_claim(text, now))
            case "X":
                look.seen[rest].unwritten = True
            case "E":
                _read_end(look, rest, now)
            case "W":
                name, _, text = rest.partition(" ")
                look.seen[name].complaint = text[:400]
            case "P":
                found = _PID_AND_START.match(rest)
                if found and found[2] not in ("Z", "X"):
                    starts[int(found[1])] = found[3]
            case "G":
                groups.add(int(rest))
            case "M":
                seconds, _, path = rest.partition(" ")
                _, name, file = path.split("/")
                if not seconds.replace(".", "", 1).isdigit():
                    continue  # busybox knows no fractions of a second, and says so in place of the number
                seen, at = look.seen[name], float(seconds) - skew
                if file == "claim":
                    seen.started_at = at
                else:
                    seen.ended_at = at
            case "H":
                key, _, value = rest.partition(" ")
                look.health[key] = value
            case _:
                pass
    for seen in look.seen.values():
        process = seen.claim.process if seen.claim else None
        if process is not None and seen.outcome is not None:
            seen.alive = seen.alive and process.pid in groups
        elif process is not None and facts and (process.host, process.boot) == (facts.hostname, facts.boot):
            seen.alive = starts.get(process.pid) == process.start
        elif process is not None and facts and process.host == facts.hostname:
            seen.alive = False  # of an earlier boot of this very machine
    missing = [name for name in names if name not in look.seen]
    if missing:
        raise HostAway(f"nothing was said of {missing[0]}")
    return look


def _read_end(look: Look, rest: str, now: float) -> None:
    name, limit, alive, text = rest.split(" ", 3)
    claim, _, outcome = text.rpartition(" / ")
    seen = look.seen[name] = Seen(claim=parse_claim(claim, now), alive=alive == "1")
    seen.outcome = parse_outcome(outcome, None if limit == "-" else limit, now)
