"""The hypervisor of the demo: an instance is a directory and some processes of the user's own.

It runs nothing but spawn-tui's bootstrap, never as root, and with a `shutdown` that only tells the emulator: whatever
else comes as user data is refused, for here it would run on somebody's machine.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import psutil

from ....engine.aws.bootstrap import MARKER
from .emulator import Emulator
from .machine import Machine
from .metadata import POWER, handler_of

MARK = "SPAWN_EMULATED_INSTANCE"
"""Every process of a machine carries this in its environment, so that it is found whatever became of its parent."""
GRACE = 5.0
"""Seconds from TERM to KILL when a machine shuts down."""
_LIMIT = 20.0
_UPLOAD_EVERY = 2
"""Seconds between two uploads of growing logs: who watches a demo does not wait, and here no upload is paid for."""
_POWER = """\
#!/bin/sh
# On this machine of the demo nothing is shut down: the emulator is told, and ends what runs here.
exec curl -fsS --noproxy '*' --max-time 10 -X POST -H 'Content-Type: text/plain' --data-binary "${{0##*/}} $*" {url}
"""


class Processes:
    """Keeps `Hypervisor`."""

    def __init__(self, directory: Path, emulator: Emulator) -> None:
        self._emulator = emulator
        self._root = os.geteuid() == 0
        # Somebody else's processes must reach their directory, and what is root's they do not.
        self._machines = (
            Path(tempfile.mkdtemp(prefix="spawn-machines-")) if self._root else directory / "machines"
        )
        self._machines.mkdir(exist_ok=True)
        self._machines.chmod(0o711)
        self._mark = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._on: set[str] = set()
        self._started: list[subprocess.Popen[bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(emulator.metadata))
        self._server.daemon_threads = True
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._serving.start()

    # --- Hypervisor ----------------------------------------------------------------------------------------------

    def boot(self, machine: Machine) -> None:
        home = self._home(machine.instance)
        home.mkdir(mode=0o700, exist_ok=True)
        with (home / "console.log").open("ab") as console:
            script = _ours(machine.user_data)
            if script is None:
                console.write(
                    b"refused: this emulator runs spawn-tui's own bootstrap, and no other user data\n"
                )
                sys.stderr.write(f"{machine.instance}: its user data is refused\n")
                return
            self._furnish(home, machine.instance, script)
            with self._lock:
                self._on.add(machine.instance)
            again = sorted((home / "root/per-boot").iterdir())
            for path in [home / "user-data"] if machine.first_boot else again:
                self._spawn(path, home, machine.instance, console.fileno())

    def halt(self, instance: str) -> None:
        if self.on(instance):
            threading.Thread(target=self._halt, args=(instance,), daemon=True).start()

    def cut(self, instance: str) -> None:
        self._kill(instance)
        with self._lock:
            self._on.discard(instance)

    def remove(self, instance: str) -> None:
        shutil.rmtree(self._home(instance), ignore_errors=True)

    def on(self, instance: str) -> bool:
        with self._lock:
            return instance in self._on

    def console(self, instance: str) -> bytes:
        path = self._home(instance) / "console.log"
        return path.read_bytes() if path.exists() else b""

    def address(self, instance: str) -> str:
        return ""

    def close(self) -> None:
        for instance in list(self._on):
            self.cut(instance)
        self._server.shutdown()
        self._server.server_close()
        self._serving.join(10)
        shutil.rmtree(self._machines, ignore_errors=True)

    # --- details -------------------------------------------------------------------------------------------------

    def _home(self, instance: str) -> Path:
        return self._machines / instance

    def _metadata(self, instance: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/i/{instance}"

    def _furnish(self, home: Path, instance: str, script: bytes) -> None:
        for name in ("bin", "root", "root/per-boot", "tmp"):
            (home / name).mkdir(mode=0o700, exist_ok=True)
        (home / "user-data").write_bytes(script)
        for name in ("shutdown", "poweroff", "halt", "reboot", "systemctl"):
            (home / "bin" / name).write_text(_POWER.format(url=self._metadata(instance) + POWER))
            (home / "bin" / name).chmod(0o755)
        if self._root:
            for path in (home, *home.rglob("*")):
                os.chown(path, _nobody(), -1)

    def _spawn(self, path: Path, home: Path, instance: str, console: int) -> None:
        environ = {
            "PATH": f"{home / 'bin'}:{os.environ.get('PATH', os.defpath)}", "HOME": str(home),
            "LANG": os.environ.get("LANG", "C.UTF-8"), "TMPDIR": str(home / "tmp"), "SPAWN_ROOT": str(home / "root"),
            "SPAWN_SYSTEMD": str(home / "none"), "AWS_EC2_METADATA_SERVICE_ENDPOINT": self._metadata(instance),
            "SPAWN_UPLOAD_EVERY": str(_UPLOAD_EVERY), MARK: self._token(instance),
        }  # fmt: skip
        started = subprocess.Popen(
            ["/bin/sh", path], cwd=home, env=environ, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            start_new_session=True, user=_nobody() if self._root else None, extra_groups=[] if self._root else None,
        )  # fmt: skip
        with self._lock:
            self._started = [one for one in self._started if one.poll() is None] + [started]

    def _token(self, instance: str) -> str:
        return f"{self._mark}/{instance}"

    def _living(self, instance: str) -> list[psutil.Process]:
        wanted, found = self._token(instance), list[psutil.Process]()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == wanted:
                    found.append(process)
        return found

    def _halt(self, instance: str) -> None:
        for process in self._living(instance):
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGTERM)
        end = time.monotonic() + GRACE
        while self._living(instance) and time.monotonic() < end:
            threading.Event().wait(0.05)
        self.cut(instance)
        self._emulator.fleet.off(instance)

    def _kill(self, instance: str) -> None:
        """Kill until nothing is left. Raises `TimeoutError`."""
        end = time.monotonic() + _LIMIT
        while left := self._living(instance):
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, 1.0)
            if time.monotonic() > end:
                raise TimeoutError(f"{instance} does not end: {left}")


def _ours(user_data: bytes) -> bytes | None:
    """The script, if it is the bootstrap."""
    script = gzip.decompress(user_data) if user_data.startswith(b"\x1f\x8b") else user_data
    return script if MARKER.encode() in script.splitlines()[:2] else None


def _nobody() -> int:
    import pwd

    return pwd.getpwnam("nobody").pw_uid
