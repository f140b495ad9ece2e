"""How a machine feels: this one by psutil, another one by the lines its agent reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..observe import SawHealth

EVERY = 30.0
"""Seconds between two looks."""
FIRST = 5.0
"""Seconds before the first look at this machine: a short sweep does not pay for it."""


class ThisMachine:
    """Percentages of this machine; the disk is the one `path` is on."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._asked = False

    def read(self) -> SawHealth:
        """CPU is since the last call; the first cannot say."""
        import psutil

        cpu, asked = psutil.cpu_percent(None), self._asked
        self._asked = True
        load = psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
        disk, memory = psutil.disk_usage(self._path).percent, psutil.virtual_memory().percent
        return SawHealth(cpu if asked else None, memory, disk, load)


class Gauge:
    """Reads what `agent.sh look health` says of another machine; keeps the last CPU times, which count up."""

    def __init__(self) -> None:
        self._cpu: tuple[int, int] | None = None

    def read(self, raw: Mapping[str, str]) -> SawHealth:
        """From the lines of /proc/loadavg, /proc/stat, /proc/meminfo (proc(5)) and df -Pk; None for what is missing."""
        cores = int(raw.get("cores") or 0)
        load = float(raw["load"].split()[0]) / cores if "load" in raw and cores else None
        memory = None
        if "MemTotal" in raw and "MemAvailable" in raw:
            memory = 100.0 * (1 - int(raw["MemAvailable"].split()[0]) / int(raw["MemTotal"].split()[0]))
        disk = float(raw["disk"].split()[-2].rstrip("%")) if "disk" in raw else None
        return SawHealth(self._cpu_percent(raw.get("cpu", "")), memory, disk, load)

    def _cpu_percent(self, line: str) -> float | None:
        ticks = [int(word) for word in line.split()[1:]]
        if len(ticks) < 5:
            return None
        before, now = self._cpu, (sum(ticks), ticks[3] + ticks[4])
        self._cpu = now
        if before is None or now[0] <= before[0]:
            return None
        return 100.0 * (1 - (now[1] - before[1]) / (now[0] - before[0]))
