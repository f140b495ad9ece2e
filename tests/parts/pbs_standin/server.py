"""The process: `python -m tests.parts.pbs_standin.server DIRECTORY SERVER`.

Two sockets in DIRECTORY: `pbs.sock` for the commands, which is closed while the server is down, and `control.sock` for
the test. One thread: a request, a process's end, a walltime and a scheduling cycle are handled one after the other.
"""

from __future__ import annotations

import contextlib
import marshal
import selectors
import signal
import socket
import struct
import sys
import time
from pathlib import Path

from . import answers, commands
from .cluster import Cluster
from .submit import Refused, read_submission


class Server:
    """See the module."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.cluster = Cluster(directory, name)
        self.counts: dict[str, int] = {}
        self.log: list[list[str]] = []
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None

    def run(self) -> None:
        self.cluster.spool.mkdir(exist_ok=True)
        woken, wake = socket.socketpair()
        for end in (woken, wake):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(woken, selectors.EVENT_READ, "child")
        self._listen()
        control = self._open("control.sock")
        self._selector.register(control, selectors.EVENT_READ, "control")
        while True:
            for key, _ in self._selector.select(0.0 if self.cluster.due else self.cluster.pause()):
                if key.data == "child":
                    woken.recv(1 << 16)
                elif isinstance(key.fileobj, socket.socket):
                    self._serve(key.fileobj, control=key.data == "control")
            self.cluster.reap()
            self.cluster.clock()
            if self.cluster.due and self.cluster.settings.up and self.cluster.settings.scheduling:
                self.cluster.cycle()
            else:
                self.cluster.due = False

    def _open(self, name: str) -> socket.socket:
        """A socket that is seen when it listens, and not before."""
        path = self.directory / f".{name}"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(128)
        path.rename(self.directory / name)
        return listener

    def _listen(self) -> None:
        self._listener = self._open("pbs.sock")
        self._selector.register(self._listener, selectors.EVENT_READ, "command")

    def _serve(self, listener: socket.socket, *, control: bool) -> None:
        link, _ = listener.accept()
        with link, contextlib.suppress(OSError):
            link.settimeout(10.0)
            _, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            pieces: list[bytes] = []
            while piece := link.recv(1 << 20):
                pieces.append(piece)
            request = marshal.loads(b"".join(pieces))
            if control:
                link.sendall(marshal.dumps(self._control(*request)))
                return
            command, arguments = request[0], request[1]
            self.counts[command] = self.counts.get(command, 0) + 1
            self.log.append([command, *arguments])
            if self.cluster.settings.slow:
                time.sleep(self.cluster.settings.slow)
            link.sendall(marshal.dumps(self._command(uid, *request)))

    def _control(self, what: str, name: str, value: object) -> object:
        if what == "counts":
            return dict(self.counts)
        if what == "log":
            return [list(words) for words in self.log]
        if what == "states":
            return {job.id: job.state for job in self.cluster.every()}
        if what == "reported":
            return all(job.reported for job in self.cluster.live.values() if job.state == "R")
        if what == "expire":
            self.cluster.expire(everything=True)
            return None
        assert what == "set"
        setattr(self.cluster.settings, name, value)
        if name == "up" and self._listener is not None and not value:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
        elif name == "up" and self._listener is None and value:
            self._listen()
        elif name == "node":
            self.cluster.node(up=bool(value))
        elif name == "exiting" and not value:
            for job in self.cluster.every():
                if job.state == "E":
                    self.cluster.finish(job)
        elif name == "history" and not value:
            self.cluster.expire(everything=True)
        self.cluster.due = True
        return None

    def _command(
        self, uid: int, command: str, arguments: list[str], workdir: str, environment: dict[str, str],
        script: bytes | None, title: str,
    ) -> tuple[int, str, str]:  # fmt: skip
        match command:
            case "qsub":
                try:
                    submission = read_submission(
                        arguments, script, title, workdir, environment, uid,
                        most=self.cluster.settings.max_array_size, percent=self.cluster.settings.percent,
                    )  # fmt: skip
                    return 0, self.cluster.queue(submission).id + "\n", ""
                except Refused as refused:
                    return refused.status, "", str(refused)
            case "qdel":
                return commands.qdel(self.cluster, arguments, uid)
            case "qalter":
                return commands.qalter(self.cluster, arguments)
            case "qhold" | "qrls":
                return commands.hold(self.cluster, command, arguments)
            case "qsig":
                return commands.qsig(self.cluster, arguments)
            case "qstat":
                return answers.qstat(self.cluster, arguments)
            case "qselect":
                return answers.qselect(self.cluster, arguments)
            case "pbsnodes":
                return 0, answers.nodes(self.cluster), ""
            case _:
                return 127, "", f"{command}: not found\n"


def main() -> None:
    directory, name = sys.argv[1:]
    Server(Path(directory), name).run()


if __name__ == "__main__":
    main()
