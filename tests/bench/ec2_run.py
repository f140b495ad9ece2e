"""The engine of one sweep on EC2, in this process; prints what it cost as JSON. A program of its own: the emulator is
in the bench's, and neither shall slow the other.

    python -m tests.bench.ec2_run ROOT TIMES

Everything the source waits for passes TIMES as fast, so that ten minutes of watching do not take ten minutes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from spawn_tui.engine.aws import pacing
from spawn_tui.engine.run import run_engine
from spawn_tui.engine.sources import ec2, ec2_groups, ec2_looks, ec2_terminate

WAITS = (
    (ec2, "POLL"), (ec2, "QUICK"), (ec2, "QUICK_FOR"), (ec2_looks, "UNSEEN"), (ec2_looks, "BOOT"),
    (ec2_terminate, "LINGER"), (ec2_groups, "AGAIN"),
)  # fmt: skip


def main(root: Path, times: float) -> None:
    for module, name in WAITS:
        setattr(module, name, getattr(module, name) / times)
    if times > 1:
        pacing.USUAL = pacing.Pace(pacing.USUAL.rate * times, pacing.USUAL.burst)
        for operation, pace in pacing.PACES.items():
            pacing.PACES[operation] = pacing.Pace(pace.rate * times, pace.burst)
    sweep = run_engine(root)
    print(json.dumps({"status": sweep.status.value, "memory": _peak()}))


def _peak() -> float:
    """MB this program held at most. Not `ru_maxrss`: that outlives exec, and is the emulator's (getrusage(2))."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
