"""What `qsub` was asked for: its options, the script's directives, and the complaints about either.

The texts and statuses are recorded (qsub_*.txt); a status is the last byte of PBS's error number (pbs_error.h).
"""

from __future__ import annotations

import pwd
import re
from dataclasses import dataclass

from .client import QSUB, USAGE, getopt
from .jobs import Request
from .text import mangle, parse_size, parse_span

RESOURCES = {
    "ncpus",
    "mem",
    "vmem",
    "cput",
    "pmem",
    "ngpus",
    "mpiprocs",
    "ompthreads",
    "host",
    "arch",
    "vnode",
}
QUEUES = ("workq",)
LONGEST_NAME = 236
"""PBS_MAXJOBNAME of pbs_ifl.h."""


class Refused(Exception):
    """qsub's complaint and its exit status."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


@dataclass(slots=True)
class Submission:
    request: Request
    held: bool = False
    depend: str = ""
    limit: int | None = None


def usage(words: str) -> Refused:
    return Refused(f"qsub: {words}\n{USAGE}", 2)


def read_submission(
    arguments: list[str],
    script: bytes | None,
    title: str,
    workdir: str,
    environment: dict[str, str],
    uid: int,
    *,
    most: int,
    percent: bool,
) -> Submission:
    """`most`: max_array_size; `percent`: whether `-J X-Y%N` is understood (OpenPBS 20 and later). Raises `Refused`."""
    pairs, rest, bad = getopt(arguments, QSUB)
    if bad is not None:
        raise usage(f"invalid option -- '{bad}'")
    command = rest[1:] if rest[:1] == ["--"] else []
    if script is not None:
        pairs = [*directives(script), *pairs]
    who = pwd.getpwuid(uid)
    name = "STDIN" if script is None or title == "STDIN" else title
    given = {f"PBS_O_{key}": environment[key] for key in ("HOME", "LANG", "LOGNAME", "PATH", "MAIL", "SHELL", "TZ")
             if key in environment}  # fmt: skip
    given |= {
        "PBS_O_INTERACTIVE_AUTH_METHOD": "resvport", "PBS_O_INTERACTIVE_ENCRYPT_METHOD": "",
        "PBS_O_WORKDIR": workdir, "PBS_O_SYSTEM": "Linux",
    }  # fmt: skip
    group = _group(who.pw_gid)
    request = Request(
        name, who.pw_name, group, who.pw_dir, uid, who.pw_gid, workdir, script or b"",
        " ".join(arguments), command, who.pw_shell, given=given,
    )  # fmt: skip
    out = Submission(request)
    resources: dict[str, str] = {}
    for letter, value in pairs:
        _take(out, resources, letter, value, environment, percent=percent)
    _resources(request, resources)
    if request.indices is not None and len(request.indices) > most:
        raise Refused("qsub: Array job exceeds server or queue size limit\n", 3)
    if out.limit is not None and request.indices is None:
        raise Refused("qsub: Attribute has to be set on an array job\n", 166)
    return out


def _group(gid: int) -> str:
    import grp

    return grp.getgrgid(gid).gr_name


def directives(script: bytes) -> list[tuple[str, str]]:
    """The options in the `#PBS` lines before the first command."""
    import shlex

    pairs: list[tuple[str, str]] = []
    for line in script.decode(errors="surrogateescape").splitlines():
        if line.startswith("#PBS "):
            found, _, bad = getopt(shlex.split(line[5:], comments=True), QSUB)
            if bad is not None:
                raise usage(f"invalid option -- '{bad}'")
            pairs += found
        elif line.strip() and not line.startswith(("#", ":")):
            break
    return pairs


def _take(
    out: Submission,
    resources: dict[str, str],
    letter: str,
    value: str,
    environment: dict[str, str],
    *,
    percent: bool,
) -> None:
    request = out.request
    match letter:
        case "N":
            if len(value) > LONGEST_NAME:
                raise Refused("qsub: Job name is too long\n", 2)
            if not value or ":" in value or any(char.isspace() for char in value):
                raise usage("illegal -N value")
            request.name = value
        case "J":
            request.indices, limit = _indices(value, percent=percent)
            out.limit = limit if limit is not None else out.limit
        case "q":
            queue, _, _ = value.partition("@")
            if queue not in QUEUES:
                raise Refused("qsub: Unknown queue\n", 170)
            request.queue = queue
        case "l":
            for part in re.split(r",(?=[A-Za-z_.]+=)", value):
                key, _, text = part.partition("=")
                resources[key] = text
        case "v":
            for part in _split_variables(value):
                key, equals, text = part.partition("=")
                text = text if equals else environment.get(key, "")
                if "\n" in text:
                    raise Refused("qsub: cannot send environment with the job\n", 1)
                request.variables[key] = mangle(text)
        case "V":
            request.environment = dict(environment)
        case "r":
            request.rerunnable = value == "y"
        case "h":
            out.held = True
        case "j":
            request.join = value
        case "o" | "e":
            path = value.partition(":")[2] if re.match(r"[A-Za-z0-9.-]*:/", value) else value
            if not path.startswith("/"):
                path = f"{request.workdir}/{path}"
            if letter == "o":
                request.out = path
            else:
                request.err = path
        case "A":
            request.account = value
        case "P":
            request.project = value
        case "p":
            request.priority = int(value)
        case "S":
            request.shell = value
        case "W":
            for part in value.split(","):
                key, _, text = part.partition("=")
                if key == "depend":
                    out.depend = text
                elif key == "max_run_subjobs":
                    out.limit = int(text)
        case _:
            pass


def _split_variables(value: str) -> list[str]:
    """At commas outside quotes."""
    parts, quote = [""], ""
    for char in value:
        if char in "\"'" and quote in ("", char):
            quote = "" if quote else char
        if char == "," and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _indices(value: str, *, percent: bool) -> tuple[range, int | None]:
    found = re.fullmatch(r"([0-9]+)-([0-9]+)(?::([0-9]+))?(?:%([0-9]+))?", value)
    if found is None or (found[4] and not percent):
        raise usage("illegal -J value")
    low, high, step = int(found[1]), int(found[2]), int(found[3] or 1)
    # An array of one is none (recorded).
    if high <= low or step < 1 or (found[4] and int(found[4]) < 1):
        raise usage("illegal -J value")
    return range(low, high + 1, step), int(found[4]) if found[4] else None


def _resources(request: Request, asked: dict[str, str]) -> None:
    """Check them, and make of them what the server makes of them: a select, totals, a place."""
    for key, text in asked.items():
        if key in ("select", "place", "walltime"):
            continue
        if key not in RESOURCES:
            raise Refused(f"qsub: Unknown resource Resource_List.{key}\n", 187)
        if (key == "ncpus" and not text.isdigit()) or (key in ("mem", "vmem") and parse_size(text) is None):
            raise Refused(f"qsub: Illegal attribute or resource value Resource_List.{key}\n", 166)
    if "walltime" in asked:
        request.walltime = parse_span(asked["walltime"])
        if request.walltime is None:
            raise Refused("qsub: Illegal attribute or resource value Resource_List.walltime\n", 166)
        hours, rest = divmod(request.walltime, 3600)
        asked["walltime"] = f"{hours:02}:{rest // 60:02}:{rest % 60:02}"
    place = "free" if "select" in asked else "pack"
    if "select" not in asked:
        extra = "".join(f":{key}={asked[key]}" for key in ("mem", "ngpus") if key in asked)
        asked["select"] = f"1:ncpus={asked.get('ncpus', '1')}{extra}"
    count, *wants = asked["select"].split(":")
    if not count.isdigit():
        count, wants = "1", [count, *wants]
    chunk = dict(want.partition("=")[::2] for want in wants)
    for key, text in chunk.items():
        if key not in RESOURCES:
            raise Refused(f"qsub: Unknown resource: {key}\n", 187)
        if (key in ("ncpus", "ngpus") and not text.isdigit()) or (key == "mem" and parse_size(text) is None):
            raise Refused(f"qsub: Illegal attribute or resource value Resource_List.{key}\n", 166)
    chunk.setdefault("ncpus", "1")
    request.chunks = int(count)
    request.cpus = int(count) * int(chunk["ncpus"])
    request.memory = int(count) * (parse_size(chunk.get("mem", "0")) or 0)
    out = {"ncpus": str(request.cpus), "nodect": count, "place": asked.get("place", place)}
    if "mem" in chunk:
        out["mem"] = chunk["mem"] if count == "1" else f"{request.memory}b"
    if "ngpus" in chunk:
        out["ngpus"] = str(int(count) * int(chunk["ngpus"]))
    out["select"] = f"{count}:" + ":".join(f"{key}={text}" for key, text in chunk.items())
    request.resources = {**{key: text for key, text in asked.items() if key != "select"}, **out}
