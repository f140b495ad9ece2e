"""Which process is it, and does it still live? A pid alone says nothing: pids are used again.

A process is named by pid, start time, boot id and host. The start time is the kernel's own count (field 22 of
`/proc/PID/stat`, proc(5), in clock ticks since boot), which no change of the wall clock can move; on systems without
`/proc` it is what `ps -o lstart=` prints. The runner writes the same four words into its claim.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PROC = sys.platform.startswith("linux")
_KERNEL_THREAD = 0x00200000
"""PF_KTHREAD of the flags in `/proc/PID/stat` (linux/sched.h)."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process among all that ever were. As text: `pid:start:boot:host`."""

    pid: int
    start: str
    boot: str
    host: str

    def __str__(self) -> str:
        return f"{self.pid}:{self.start}:{self.boot}:{self.host}"

    @classmethod
    def parse(cls, text: str) -> ProcessId:
        """Raises `ValueError` if `text` is not of that form."""
        pid, start, boot, host = text.strip().split(":", 3)
        return cls(int(pid), start, boot, host)


@cache
def host_name() -> str:
    return socket.gethostname()


@cache
def boot_id() -> str:
    """Names this boot of this machine."""
    if _PROC:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    out = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=True)
    return out.stdout.strip()


class _Stat(NamedTuple):
    group: int
    start: str
    kernel: bool


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = piece = os.read(fd, 65536)
        while piece:
            piece = os.read(fd, 65536)
            data += piece
        return data
    finally:
        os.close(fd)


def _read_stat(pid: int) -> _Stat | None:
    """From `/proc/PID/stat`, proc(5); None for a zombie. Raises `OSError` if there is no such process."""
    stat = _read(f"/proc/{pid}/stat")
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    return _Stat(int(fields[2]), fields[19].decode(), bool(int(fields[6]) & _KERNEL_THREAD))


def start_time(pid: int) -> str | None:
    """When the process started, in words of its own machine; None if there is no such process (a zombie is none)."""
    if _PROC:
        try:
            stat = _read_stat(pid)
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if stat is None else stat.start
    out = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    text = "-".join(out.stdout.split())
    return text.replace(":", ".") or None


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now, on this host."""
    start = start_time(pid)
    return None if start is None else ProcessId(pid, start, boot_id(), host_name())


def myself() -> ProcessId:
    me = identify(os.getpid())
    assert me is not None
    return me


def is_here(process: ProcessId) -> bool:
    """Whether it was started on this host (in this boot or an earlier one)."""
    return process.host == host_name()


def is_alive(process: ProcessId) -> bool:
    """Whether this very process lives. Only meaningful if `is_here`."""
    return process.boot == boot_id() and start_time(process.pid) == process.start


def carries(pid: int, variable: str, value: str) -> bool:
    """Whether the process that has this pid now was started with `variable` set to `value`."""
    if _PROC:
        try:
            return _value(_environ(pid) or b"", f"{variable}=".encode()) == value
        except OSError:
            return False
    import psutil

    try:
        return psutil.Process(pid).environ().get(variable) == value
    except (psutil.Error, OSError):
        return False


@dataclass(frozen=True, slots=True)
class Found:
    """Living processes: by the value they carry (pid and its process group), and by group."""

    tagged: dict[str, dict[int, int]]
    groups: dict[int, set[int]]


_WALKS = 10
"""Looks at the process table in one search, at most."""


def search(variable: str, values: Collection[str], groups: Collection[int] = ()) -> Found:
    """Processes whose environment holds `variable` with one of `values`, and the members of `groups`.

    Wherever they went: a child that left its parent's group or session still carries the variable. Zombies and this
    process itself are left out; an environment that may not be read (another user's) belongs to no value.
    """
    found = Found({}, {})
    if values or groups:
        (_search_proc if _PROC else _search_psutil)(variable, frozenset(values), frozenset(groups), found)
    return found


def _search_proc(variable: str, values: frozenset[str], groups: frozenset[int], found: Found) -> None:
    """Walks `/proc` until a walk shows nobody new, nobody who ended under our eyes, nobody in the midst of an exec.

    A process that forks and ends while we walk is gone when we come to it, and its child was not in the list: the next
    walk finds the child.
    """
    wanted = f"{variable}=".encode()
    known = {os.getpid()}
    for walk in range(_WALKS):
        missed = False
        for entry in os.listdir("/proc"):  # noqa: PTH208 - hundreds of entries: a Path costs more than the read
            if not entry.isdigit() or (pid := int(entry)) in known:
                continue
            try:
                environ = _environ(pid) if values else None
                value = _value(environ, wanted) if environ else None
                looked = value in values or bool(groups) or environ == b""
                stat = _read_stat(pid) if looked else None
            except OSError:
                missed = True  # it ended as we came
                continue
            if stat is not None and not stat.kernel:
                if value in values:
                    found.tagged.setdefault(str(value), {})[pid] = stat.group
                if stat.group in groups:
                    found.groups.setdefault(stat.group, set()).add(pid)
                if environ == b"" and walk < 2:
                    missed = True  # so it is while exec replaces it, and for those that have none
                    continue
            known.add(pid)
        if not missed:
            return


def _environ(pid: int) -> bytes | None:
    """None if it is not ours to read."""
    try:
        return _read(f"/proc/{pid}/environ")
    except PermissionError:
        return None


def _value(environ: bytes, wanted: bytes) -> str | None:
    start = 0 if environ.startswith(wanted) else environ.find(b"\0" + wanted) + 1
    if start == 0 and not environ.startswith(wanted):
        return None
    start += len(wanted)
    end = environ.find(b"\0", start)
    return os.fsdecode(environ[start:] if end < 0 else environ[start:end])


def _search_psutil(variable: str, values: frozenset[str], groups: frozenset[int], found: Found) -> None:
    import psutil

    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            group = os.getpgid(process.pid)
            if group in groups:
                found.groups.setdefault(group, set()).add(process.pid)
            value = process.environ().get(variable) if values else None
        except (psutil.Error, OSError):
            continue
        if value in values:
            found.tagged.setdefault(str(value), {})[process.pid] = group
