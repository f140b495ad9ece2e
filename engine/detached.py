"""The engine as a process of its own: started by whoever wants the sweep to run, tied to nobody.

python -P -m spawn_tui.engine.detached DIRECTORY [--take-over]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..state.disk import FILE_MODE
from ..state.layout import SweepLayout
from ..state.lock import LockHeld, LockLost, read_holder
from .engine import Engine
from .run import run_engine, wait_for
from .trouble import DiskTrouble

START_LIMIT = 30.0
"""Seconds an engine may take until it holds the lock."""


class EngineFailed(Exception):
    """The engine could not be started; the text says why, as its log tells."""


def ensure_engine(root: Path, *, take_over: bool = False) -> bool:
    """Start the engine of the sweep in `root` unless one runs. Returns whether one was started.

    Returns once the new engine holds the lock (or has already ended in good order). Raises `EngineFailed`, `LockHeld`
    (a holder on another host), `OSError`.
    """
    layout = SweepLayout(root)
    holder = read_holder(layout.lock)
    if holder is not None and not take_over:
        if holder.lives:
            return False
        if holder.lives is None:
            raise LockHeld(layout.lock, holder)
    layout.logs.mkdir(exist_ok=True)
    log = os.open(layout.engine_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
    before = os.fstat(log).st_size
    # -P: a file of the user's called `random.py` in this directory must not shadow the library's.
    command = [sys.executable, "-P", "-m", "spawn_tui.engine.detached", str(root)]
    try:
        process = subprocess.Popen(
            [*command, *(["--take-over"] if take_over else [])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)

    def settled() -> bool:
        if process.poll() is not None:
            return True
        now = read_holder(layout.lock)
        return now is not None and now.process.pid == process.pid

    if not wait_for(settled, START_LIMIT):
        raise EngineFailed(
            f"the engine (pid {process.pid}) did not take the lock within {START_LIMIT:g} s; see {layout.engine_log}"
        )
    if process.poll() in (None, 0):
        return True
    holder = read_holder(layout.lock)
    if holder is not None and holder.lives:
        return False  # somebody else started one at the same moment
    with layout.engine_log.open("rb") as file:
        file.seek(before)
        said = file.read().decode(errors="replace").strip().splitlines()
    raise EngineFailed(said[-1] if said else f"the engine ended with status {process.returncode}")


def _stop_on_signal(engine: Engine, number: int) -> None:
    engine.stop(f"signal {number}; what runs goes on")


def main(arguments: list[str]) -> int:
    """Exit status: 0 the sweep ended or rests, 1 it cannot be run (the last line on stderr says why)."""
    root, take_over = Path(arguments[0]), "--take-over" in arguments[1:]
    try:
        run_engine(root, take_over=take_over, on_signal=_stop_on_signal)
    except (LockHeld, LockLost, DiskTrouble) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
