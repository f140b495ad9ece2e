"""A real pseudo-terminal with a program on it, and an emulator (pyte) that sees what a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

LIMIT = 20.0


class Terminal:
    """Starts `command` on a pty of its own as its controlling terminal."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 100,
        lines: int = 30,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines, tell=False)
        self.modes = termios.tcgetattr(self.slave)
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.process = subprocess.Popen(
            list(command),
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={
                **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},
                "TERM": "xterm-256color",
                "COLORTERM": "truecolor",
                "PYTHONFAULTHANDLER": "1",
                **(env or {}),
            },
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def read(self, timeout: float = 0.05) -> bytes:
        """What the program wrote within `timeout` seconds, shown to the emulator."""
        if self.master < 0 or not select.select([self.master], [], [], timeout)[0]:
            return b""
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:
            return b""
        self.raw += data
        self._stream.feed(data)
        return data

    def until(self, what: Callable[[], object], why: str = "") -> None:
        end = time.monotonic() + LIMIT
        while not what():
            assert time.monotonic() < end, f"never came: {why}\n{self.text()}"
            self.read()

    def sees(self, text: str) -> None:
        self.until(lambda: text in self.text(), f"{text!r}")

    def text(self) -> str:
        return "\n".join(self.screen.display)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def resize(self, columns: int, lines: int, *, tell: bool = True) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if tell:
            self.screen.resize(lines, columns)
            self.signal(signal.SIGWINCH)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def hang_up(self) -> None:
        """Close the terminal, as when a window is closed or a connection is lost."""
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1

    def wait(self) -> int:
        """The exit status, once all that was written was read."""
        end = time.monotonic() + LIMIT
        while self.process.poll() is None:
            if time.monotonic() > end:
                before = len(self.raw)
                self.signal(signal.SIGABRT)  # the faulthandler says where every thread stands
                while self.master >= 0 and self.read(1.0):
                    pass
                raise AssertionError(
                    f"it did not end\n{self.raw[before:].decode(errors='replace')}\n{self.text()}"
                )
            if self.master >= 0:
                self.read()
            else:
                time.sleep(0.01)
        while self.read(0.1):
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)

    # -- what a terminal should be like afterwards -------------------------------------------------------------

    @property
    def restored(self) -> list[str]:
        """What was left behind, in words; empty if the terminal is as it was."""
        wrong: list[str] = []
        for what, on, off in (
            ("the alternate screen", b"\x1b[?1049h", b"\x1b[?1049l"),
            ("mouse reports", b"\x1b[?1000h", b"\x1b[?1000l"),
            ("mouse moves", b"\x1b[?1003h", b"\x1b[?1003l"),
            ("bracketed paste", b"\x1b[?2004h", b"\x1b[?2004l"),
            ("focus reports", b"\x1b[?1004h", b"\x1b[?1004l"),
        ):
            if self.raw.rfind(on) > self.raw.rfind(off):
                wrong.append(f"{what} still on")
        if self.raw.rfind(b"\x1b[?25l") > self.raw.rfind(b"\x1b[?25h"):
            wrong.append("the cursor is hidden")
        if termios.tcgetattr(self.slave) != self.modes:
            wrong.append("the modes of the tty were changed")
        return wrong


APP = "import sys; from pathlib import Path; from spawn_tui.tui.app import run_app; sys.exit(run_app({root}{more}))"


def app_command(root: Path | None, more: str = "") -> list[str]:
    """The program as the command line starts it, without what finds a sweep by its name."""
    where = f"Path({str(root)!r})" if root is not None else "None"
    return [sys.executable, "-c", APP.format(root=where, more=more)]
