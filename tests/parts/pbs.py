"""A PBS server of its own: the stand-in of `pbs_standin/`, started in a directory, its commands on a PATH."""

from __future__ import annotations

import contextlib
import marshal
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from .guard import guard
from .need import program
from .undo import MARK, marked
from .waiting import wait_until

COMMANDS = ("qsub", "qstat", "qdel", "qalter", "qselect", "pbsnodes", "qhold", "qrls", "qsig")
_CLIENT = Path(__file__).with_name("pbs_standin") / "client.py"


class Pbs:
    """`settings` are those of `pbs_standin/server.py`; `server` is the name in job identifiers."""

    def __init__(self, *, server: str = "vm", **settings: Any) -> None:
        self.server = server
        self.token = secrets.token_hex(8)
        with contextlib.ExitStack() as made:
            self.directory = Path(tempfile.mkdtemp(prefix="spawn-pbs-"))
            made.callback(guard.undo, guard.note("tree", str(self.directory)))
            self.directory.chmod(0o755)
            made.callback(guard.undo, guard.note("marked", self.token))
            self._install()
            self.log = (self.directory / "server.log").open("wb")
            made.callback(self.log.close)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.parts.pbs_standin.server", str(self.directory), server],
                cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                env={**os.environ, MARK: self.token}, start_new_session=True,
            )  # fmt: skip
            made.callback(self._end)
            wait_until(self._ready, "the PBS stand-in's sockets")
            for name, value in settings.items():
                self.set(name, value)
            self._made = made.pop_all()

    def _install(self) -> None:
        """The commands as scripts that any user may run, of whatever this tree may be readable to."""
        self.bin = self.directory / "bin"
        self.bin.mkdir()
        shutil.copy(_CLIENT, self.bin / "pbs_client.py")
        python = program("/usr/bin/python3") or sys.executable
        for name in COMMANDS:
            script = self.bin / name
            script.write_text(
                f"#!{python} -IS\nimport sys\nsys.path.insert(0, {str(self.bin)!r})\nfrom pbs_client import main\n"
                f"main({str(self.directory / 'pbs.sock')!r}, {self.server!r}, {name!r}, sys.argv[1:])\n"
            )
            script.chmod(0o755)
        subprocess.run([python, "-m", "compileall", "-q", self.bin], check=True, timeout=30)

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the PBS stand-in ended: {(self.directory / 'server.log').read_text()}")
        return all((self.directory / name).exists() for name in ("pbs.sock", "control.sock"))

    def _end(self) -> None:
        ended = self.process.poll()
        self.process.kill()
        self.process.wait(10)
        if ended is not None:
            raise RuntimeError(
                f"the PBS stand-in ended by itself: {(self.directory / 'server.log').read_text()}"
            )

    # --- what a test does to it ------------------------------------------------------------------------------------

    def control(self, what: str, name: str = "", value: object = None) -> Any:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(20.0)
            link.connect(str(self.directory / "control.sock"))
            link.sendall(marshal.dumps((what, name, value)))
            link.shutdown(socket.SHUT_WR)
            pieces: list[bytes] = []
            while piece := link.recv(1 << 20):
                pieces.append(piece)
        if not pieces:
            raise RuntimeError(
                f"the PBS stand-in failed: {(self.directory / 'server.log').read_text()[-2000:]}"
            )
        return marshal.loads(b"".join(pieces))

    def set(self, name: str, value: object) -> None:
        """Change one of the server's `Settings`."""
        self.control("set", name, value)

    def server_down(self) -> None:
        """The server dies; what runs goes on, and its ends are told when the server is back."""
        self.set("up", False)

    def server_up(self) -> None:
        self.set("up", True)

    def node_down(self) -> None:
        """The only node loses power."""
        self.set("node", False)

    def node_up(self) -> None:
        self.set("node", True)

    def history(self, how: str) -> None:
        """`on`, `off` (job_history_enable), or `expire`: the server forgets all finished jobs, once."""
        if how == "expire":
            self.control("expire")
        else:
            self.set("history", {"on": True, "off": False}[how])

    def counts(self) -> dict[str, int]:
        """How often each command was asked of the server."""
        return self.control("counts")

    def calls(self) -> list[list[str]]:
        """The commands asked, with their arguments."""
        return self.control("log")

    def states(self) -> dict[str, str]:
        """The state letter of every job the server knows."""
        return self.control("states")

    def processes(self) -> int:
        """How many processes of jobs live."""
        return sum(process.pid != self.process.pid for process in marked(self.token))

    def environment(self) -> dict[str, str]:
        """This process's, with the commands on the PATH."""
        return {**os.environ, "PATH": self.path}

    @property
    def path(self) -> str:
        return f"{self.bin}:{os.environ.get('PATH', os.defpath)}"

    def run(self, *command: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run one of its commands."""
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            **{"env": self.environment(), "capture_output": True, "text": True, "timeout": 60, **settings},
        )

    def close(self) -> None:
        self._made.close()

    def __enter__(self) -> Pbs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
