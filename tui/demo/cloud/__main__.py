"""The emulator as a process: `python -m spawn_tui.tui.demo.cloud --port 0 --dir D --machines process`.

Prints one line of JSON when it is ready, with its endpoint; ends at SIGTERM, or when its standard input, if that is a
pipe, is closed: nothing of it is left then.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from .emulator import Emulator, Served
from .machine import Hypervisor, NoMachines

HypervisorOf = Callable[[Served], Hypervisor]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cloud", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dir", type=Path, required=True, help="where machines live")
    parser.add_argument("--machines", choices=["none", "process"], default="none")
    parser.add_argument("--boot", type=float, help="seconds from pending to running")
    parser.add_argument("--minute", type=float, help="seconds in a minute of `shutdown -P +5`")
    told = parser.parse_args(arguments)

    def hypervisor(served: Served) -> Hypervisor:
        if told.machines == "none":
            return NoMachines()
        from .processes import Processes

        return Processes(told.dir, served.emulator)

    return serve(hypervisor, told.host, told.port, told.boot, told.minute)


def serve(
    hypervisor_of: HypervisorOf, host: str, port: int, boot: float | None = None, minute: float | None = None
) -> int:
    """Serve until SIGTERM, SIGINT or the end of standard input."""
    end = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        end.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    emulator = Emulator()
    served = Served(emulator, host, port)
    try:
        emulator.fleet.hypervisor = hypervisor_of(served)
        emulator.set_defaults(boot=boot, minute=minute)
        sys.stdout.write(json.dumps({"endpoint": emulator.endpoint}) + "\n")
        sys.stdout.flush()
        if stat.S_ISFIFO(os.fstat(0).st_mode):
            threading.Thread(target=_until_end, args=(end,), daemon=True).start()
        end.wait()
    finally:
        served.close()
    return 0


def _until_end(end: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    end.set()


if __name__ == "__main__":
    sys.exit(main())
