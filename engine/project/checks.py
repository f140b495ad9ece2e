"""Whether a source could take tasks of this project now: each thing that is needed, how it stands, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..remote.host import Host, HostAway, HostRefused
from ..sources.place import DEFAULT_ROOT
from ..sources.registry import CLUSTERS, SourceSpec
from . import probe
from .compare import compare, place_of, remedy
from .files import ProjectError
from .manifest import megabytes, show
from .probe import Answers
from .project import Project
from .schedulers import check_scheduler

Level = Literal["ok", "warn", "FAIL"]
SLOW_SHELL = 2.0
"""Seconds above which the start of a login shell is worth a word: every round trip pays it."""
SKEW = 5.0
"""Seconds a clock may be off."""
LITTLE_DISK, NO_DISK = 1 << 30, 50 << 20
LITTLE_INODES = 10_000
_NEEDED = {"setsid": "util-linux", "tar": "tar", "stat": "coreutils", "find": "findutils", "mv": "coreutils"}
"""Programs without which no task can be started there, and the Debian packages they come from."""
_SUMS = ("sha256sum", "shasum", "openssl")
_USEFUL = {
    "gzip": "files travel uncompressed", "git": "the project is compared file by file",
    "rsync": "the project is sent whole, file by file", "grep-z": "leftover processes are found more slowly",
    "/proc": "leftover processes are not found by their environment",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    level: Level
    words: str


def check_source(
    host: Host, spec: SourceSpec, project: Project, *, root: str | None = None
) -> Iterator[Check]:
    """The checks one after the other, each as soon as it is known.

    `root`: the folder for attempts, where it is not the one of the options. Ends early where nothing can be asked.
    """
    remote = bool(spec.options.get("host"))
    try:
        greeting = probe.greet(host)
    except (HostAway, HostRefused) as error:
        yield Check("connection", "FAIL", str(error))
        return
    if remote:
        yield Check(
            "connection",
            "ok",
            f"reached and logged in within {greeting.connect:.2f} s; the host key is known",
        )
        yield _shell(greeting)
    try:
        machine = probe.ask_machine(host, root or spec.options.get("remote_root") or DEFAULT_ROOT)
    except (HostAway, HostRefused) as error:
        yield Check("shell", "FAIL", str(error))
        return
    values = machine.values
    yield Check("machine", "ok", f"{values['user']} on {values['host']}, {values['system']}")
    yield from _tools(machine)
    yield from _disk(machine)
    if remote:
        yield _clock(machine)
    yield _guarded("python", lambda: _python(host, spec, project))
    if spec.kind != "local":
        yield _guarded("project", lambda: _project(host, spec, project))
    if spec.kind in CLUSTERS:
        try:
            for name, level, words in check_scheduler(host, spec, machine.tools):
                yield Check(name, level, words)
        except (HostAway, HostRefused) as error:
            yield Check("scheduler", "FAIL", str(error))


def verdict(name: str, checks: Sequence[Check]) -> tuple[Level, str]:
    """How it stands in all."""
    failed = [check.name for check in checks if check.level == "FAIL"]
    warned = [check.name for check in checks if check.level == "warn"]
    if failed:
        return "FAIL", f"{name} cannot take tasks: mend {', '.join(failed)}"
    if warned:
        return "warn", f"{name} can take tasks; see {', '.join(warned)}"
    return "ok", f"{name} can take tasks"


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except (HostAway, HostRefused, ProjectError) as error:
        return Check(name, "FAIL", str(error))


def _shell(greeting: probe.Greeting) -> Check:
    said: list[str] = []
    if greeting.noise:
        first = greeting.noise.decode(errors="replace").strip().splitlines()[:1]
        said.append(
            f"its start-up files print {len(greeting.noise)} bytes ({show(first[0][:40]) if first else 'blank'}): no "
            "harm to tasks, but rsync and scp break on it; print only where [ -t 1 ]"
        )
    if greeting.start > SLOW_SHELL:
        said.append(
            f"it takes {greeting.start:.1f} s to start, at every contact; see what its start-up files do"
        )
    return Check(
        "login shell",
        "warn" if said else "ok",
        "; ".join(said) or f"starts in {greeting.start:.2f} s, silently",
    )


def _tools(machine: Answers) -> Iterator[Check]:
    missing = [
        f"{name} (package {package})" for name, package in _NEEDED.items() if name not in machine.tools
    ]
    if not machine.tools.intersection(_SUMS):
        missing.append("sha256sum (package coreutils)")
    if missing:
        yield Check("programs", "FAIL", f"not there: {', '.join(missing)}; install them")
        return
    without = [f"no {name}: {effect}" for name, effect in _USEFUL.items() if name not in machine.tools]
    if without:
        yield Check("programs", "warn", "; ".join(without))
    else:
        yield Check("programs", "ok", "all that is needed is there, and git and rsync")


def _disk(machine: Answers) -> Iterator[Check]:
    values = machine.values
    if "written" not in values:
        why = values.get("unwritable", "it cannot be written")
        yield Check("folder", "FAIL", f"{why}; name a folder that can be written: remote_root in spawn.yaml")
        return
    yield Check("folder", "ok", f"a file was written in {values['written']} and read again")
    space, inodes = _available(values.get("disk", "")), _available(values.get("inodes", ""))
    if space is None:
        yield Check("disk", "warn", "df does not say how much room there is")
        return
    free = f"{megabytes(space * 1024)} free" + (f", {inodes} inodes" if inodes else "")
    if space * 1024 < NO_DISK:
        yield Check("disk", "FAIL", f"{free}: make room, or name another disk with remote_root in spawn.yaml")
    elif space * 1024 < LITTLE_DISK or (inodes and inodes < LITTLE_INODES):
        yield Check("disk", "warn", f"{free}: a sweep may fill it")
    else:
        yield Check("disk", "ok", free)


def _available(line: str) -> int | None:
    """The fourth column of a line of `df -P` (POSIX), in kilobytes or inodes."""
    words = line.split()
    return int(words[3]) if len(words) >= 6 and words[3].isdigit() else None


def _clock(machine: Answers) -> Check:
    skew = float(machine.values["now"]) + 0.5 - machine.at
    if abs(skew) > SKEW:
        direction = "ahead of" if skew > 0 else "behind"
        return Check(
            "clock",
            "warn",
            f"{abs(skew):.0f} s {direction} this machine's: let NTP set it; file times will be odd",
        )
    return Check("clock", "ok", "agrees with this machine's")


def _python(host: Host, spec: SourceSpec, project: Project) -> Check:
    answers = probe.ask_python(host, spec.name, spec.options, place_of(spec, project.folder))
    said = [line for line in answers.said.get("python", []) if line]
    setup = any(spec.options.get(key) for key in ("modules", "conda_env", "python", "setup"))
    if answers.status.get("python") == 126 and setup:
        return Check("python", "FAIL", f"the set-up of the source fails: {'; '.join(said[-2:])}")
    if answers.status.get("python") != 0 or len(said) < 2:
        level: Level = "FAIL" if setup and spec.options.get("python") else "warn"
        return Check(
            "python",
            level,
            "no python there for tasks; name one with python, conda_env, modules or setup in spawn.yaml",
        )
    after = " after the source's set-up" if setup else ""
    return Check("python", "ok", f"{said[-1]} ({said[-2]}){after}")


def _project(host: Host, spec: SourceSpec, project: Project) -> Check:
    comparison = compare(host, project, place_of(spec, project.folder))
    if comparison.in_sync:
        return Check("project", "ok", comparison.words)
    return Check("project", "FAIL", f"{comparison.words}. {remedy(spec, comparison)}")


def as_json(check: Check) -> Mapping[str, str]:
    return {"check": check.name, "level": check.level.lower(), "words": check.words}
