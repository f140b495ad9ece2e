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
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = sys.platform.startswith("linux")


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


def start_time(pid: int) -> str | None:
    """When the process started, in words of its own machine; None if there is no such process (a zombie is none)."""
    if _PROC:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat[stat.rindex(")") + 2 :].split()
        return None if fields[0] in "ZX" else fields[19]
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


def tagged(variable: str, values: frozenset[str]) -> dict[str, list[int]]:
    """Processes of ours whose environment holds `variable` with one of `values`: value → pids.

    One walk over the process table, for rare occasions. Zombies and this process itself are left out; what may not
    be looked at (other users' processes) is not ours.
    """
    found: dict[str, list[int]] = {}
    if not values:
        return found
    if _PROC:
        wanted = f"{variable}=".encode()
        for entry in os.listdir("/proc"):  # noqa: PTH208 - a thousand entries, Path objects cost more than the reads
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                environ = Path(f"/proc/{entry}/environ").read_bytes()
            except OSError:
                continue
            for item in environ.split(b"\0"):
                if item.startswith(wanted):
                    value = os.fsdecode(item[len(wanted) :])
                    if value in values and start_time(int(entry)) is not None:
                        found.setdefault(value, []).append(int(entry))
        return found
    import psutil

    for process in psutil.process_iter():
        try:
            value = process.environ().get(variable)
        except (psutil.Error, OSError):
            continue
        if value in values and process.pid != os.getpid():
            found.setdefault(value, []).append(process.pid)
    return found
