"""How each thing a part makes is taken away again. All of these are harmless if it is gone already."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from .waiting import wait_until

MARK = "SPAWN_TEST_PART"
"""Every process of a part carries this variable with the part's token, so that it can be found whatever it became."""


def run(*command: str, check: bool = True, limit: float = 30.0) -> subprocess.CompletedProcess[str]:
    """Run a program of the administrator's. Raises `RuntimeError` with what it said if it fails and `check` is set."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=limit, check=False, env={**os.environ, "PATH": path},
    )  # fmt: skip
    if check and done.returncode:
        raise RuntimeError(
            f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()} ({done.returncode})"
        )
    return done


def describe(process: psutil.Process) -> str:
    """A process as one word that is never another's: pid and start time."""
    return f"{process.pid}:{process.create_time()}"


def end(processes: Iterable[psutil.Process]) -> None:
    """Kill these and wait until they are gone or nobody's but a parent's to reap."""
    victims = list(processes)
    for process in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: not any(alive(process) for process in victims), f"the end of {victims}")


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(token: str) -> list[psutil.Process]:
    """The processes that carry this token in their environment, and live."""
    wanted = f"{MARK}={token}".encode()
    found: list[psutil.Process] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(psutil.Process(int(folder.name)))
    return [process for process in found if alive(process)]


def of_port(port: int) -> list[psutil.Process]:
    """The processes that hold a server's end of a connection to this TCP port, or listen on it.

    OpenSSH overwrites its environment with its title, so its own processes are known by their sockets.
    """
    pids = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.laddr.port == port and connection.pid not in (None, os.getpid())
    }
    found: list[psutil.Process] = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def end_marked(token: str) -> None:
    def all_gone() -> bool:
        left = marked(token)
        end(left)
        return not left

    wait_until(all_gone, f"no process marked {token}")


def _name(process: psutil.Process) -> str:
    """Empty if it has ended since it was seen."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def end_port(port: int) -> None:
    def all_gone() -> bool:
        left = [process for process in of_port(port) if "sshd" in _name(process)]
        end(left)
        return not left

    wait_until(all_gone, f"no sshd on port {port}")


def end_process(described: str) -> None:
    pid, _, start = described.partition(":")
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(start)) < 0.05:
            end([process])


@contextlib.contextmanager
def accounts() -> Iterator[None]:
    """Nobody else of ours adds or removes users: `useradd` does not wait for another, it fails."""
    with Path(tempfile.gettempdir(), f"spawn-test-accounts.{os.getuid()}").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove_user(name: str) -> None:
    """Remove a user we made, with all that runs as it and its home."""
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return

    def none_left() -> bool:
        left: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess):
                if uid in process.uids() and alive(process):
                    left.append(process)
        end(left)
        return not left

    wait_until(none_left, f"no process of {name}")
    with accounts():
        run("userdel", "--force", "--remove", name)


def remove_netns(name: str) -> None:
    if Path("/run/netns", name).exists():
        run("ip", "netns", "del", name)


def remove_link(name: str) -> None:
    if Path("/sys/class/net", name).exists():
        run("ip", "link", "del", name)


def remove_tree(path: str) -> None:
    shutil.rmtree(path, ignore_errors=True)
