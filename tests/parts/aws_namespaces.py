"""The hypervisor of the tests: each instance has namespaces and a root of its own, and runs its real user data there.

An instance is a mount, pid, uts, ipc and network namespace. Its network has nothing but the metadata service at
169.254.169.254 and AWS's API at the emulator's own address, both served from here through sockets that the instance
made; so nothing it does reaches anything else. Root there has no capability that reaches the machine below.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from spawn_tui.tui.demo.cloud.emulator import Served
from spawn_tui.tui.demo.cloud.machine import Machine
from spawn_tui.tui.demo.cloud.metadata import handler_of

from . import aws_image_layer
from .aws_doors import Doors

BOOT = Path(__file__).with_name("aws_boot.sh")
PUBLIC = "127.30"
"""Public addresses of instances are these of the loopback network, so that `ssh` reaches them from here."""
AT_ONCE = 4
"""So many boot at the same time: more would only take each other's time."""
LIMIT = 30.0


class Namespaces:
    """Keeps `Hypervisor`. It wants a mount and a pid namespace of its own (`aws_cloud.py`), and root."""

    def __init__(self, directory: Path, served: Served) -> None:
        self._disks = directory / "disks"
        self._consoles = directory / "consoles"
        self._disks.mkdir()
        self._consoles.mkdir()
        self._served = served
        self._port = urlsplit(served.emulator.endpoint).port or 0
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "spawn-instances", self._disks], check=True)
        self._image = self._disks / "image"
        self._image.mkdir()
        aws_image_layer.build(self._image, served.emulator.endpoint)
        self._doors = Doors()
        self._turn = threading.Semaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}
        self._addresses: dict[str, socket.socket] = {}
        self._next_address = 0

    # --- Hypervisor ----------------------------------------------------------------------------------------------

    def boot(self, machine: Machine) -> None:
        running = Running(machine)
        with self._lock:
            self._running[machine.instance] = running
            if machine.instance not in self._addresses and (door := self._ssh_door()) is not None:
                self._addresses[machine.instance] = door
        threading.Thread(target=self._run, args=(running,), name=machine.instance, daemon=True).start()

    def halt(self, instance: str) -> None:
        running = self._running.get(instance)
        if running is not None:
            running.ask("halt")

    def cut(self, instance: str) -> None:
        running = self._running.get(instance)
        if running is not None:
            running.kill()
            if not running.gone.wait(LIMIT):
                raise TimeoutError(f"{instance} does not end")

    def remove(self, instance: str) -> None:
        door = self._addresses.pop(instance, None)
        if door is not None:
            door.close()
        shutil.rmtree(self._disks / instance, ignore_errors=True)

    def on(self, instance: str) -> bool:
        running = self._running.get(instance)
        return running is not None and not running.gone.is_set()

    def console(self, instance: str) -> bytes:
        path = self._consoles / instance
        return path.read_bytes() if path.exists() else b""

    def address(self, instance: str) -> str:
        door = self._addresses.get(instance)
        return "" if door is None else str(door.getsockname()[0])

    def close(self) -> None:
        for instance in list(self._running):
            self.cut(instance)
        self._doors.close()
        subprocess.run(["umount", "-l", self._disks], check=True)

    # --- one machine ---------------------------------------------------------------------------------------------

    def _run(self, running: Running) -> None:
        """Boot a machine and wait for its end."""
        instance = running.machine.instance
        doors: list[socket.socket] = []
        try:
            with self._turn:
                self._prepare(running.machine)
                with (self._consoles / instance).open("ab") as console:
                    running.start(self._image, self._disks / instance, self._port, console.fileno())
                doors = self._open(running)
                running.go(self._addresses.get(instance))
        except (OSError, EOFError) as error:
            with (self._consoles / instance).open("ab") as console:
                console.write(f"the hypervisor cannot boot {instance}: {error}\n".encode())
            running.kill()
        running.wait()
        for door in doors:
            self._doors.shut(door)
        running.gone.set()
        self._served.emulator.fleet.off(instance)

    def _prepare(self, machine: Machine) -> None:
        cloud = self._disks / machine.instance / "upper/var/lib/cloud/instance"
        cloud.mkdir(parents=True, exist_ok=True)
        (cloud / "user-data.txt").write_bytes(machine.user_data)
        home = self._disks / machine.instance / "upper/home" / aws_image_layer.USER
        if machine.public_key and not home.exists():
            (home / ".ssh").mkdir(parents=True)
            (home / ".ssh/authorized_keys").write_text(machine.public_key.strip() + "\n")
            for path in (home, home / ".ssh", home / ".ssh/authorized_keys"):
                os.chown(path, 1000, 1000)
                path.chmod(0o600 if path.is_file() else 0o700)

    def _open(self, running: Running) -> list[socket.socket]:
        """Serve the sockets that listen in the instance."""
        metadata, api = running.sockets()
        handler = handler_of(self._served.emulator.metadata, running.machine.instance)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
        server.socket.close()
        server.daemon_threads = True
        self._doors.open(metadata, lambda connection, address: server.process_request(connection, address))
        self._doors.open(
            api, lambda connection, address: self._served.server.process_request(connection, address)
        )
        return [metadata, api]

    def _ssh_door(self) -> socket.socket | None:
        """A public address whose port 22 is ours; None where all of this machine's are taken by its own server."""
        for _ in range(512):
            self._next_address = self._next_address % 60000 + 1
            door = socket.socket()
            try:
                door.bind((f"{PUBLIC}.{self._next_address >> 8}.{self._next_address & 255 or 1}", 22))
                door.listen(16)
            except OSError:
                door.close()
                continue
            return door
        return None


class Running:
    """A machine that is on, from the order to boot to its end."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.gone = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._going = False
        self._order = ""
        """What was asked for before there was anybody to hear it."""

    def start(self, image: Path, disk: Path, port: int, console: int) -> None:
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            self._channel = ours
            if self._order == "kill":
                return
            first = "1" if self.machine.first_boot else "0"
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--fork", "--kill-child",
                 "sh", BOOT, image, disk, f"ip-{self.machine.instance}", str(theirs.fileno()), str(port), first],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, pass_fds=[theirs.fileno()],
                env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, cwd="/",
            )  # fmt: skip

    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """Wait for the sockets that listen there: the metadata service's, and the API's. Raises `EOFError`."""
        assert self._channel is not None
        self._channel.settimeout(LIMIT)
        told, fds, _, _ = socket.recv_fds(self._channel, 16, 2)
        if not told or len(fds) != 2:
            raise EOFError("it ended before it was ready; see its console")
        return socket.socket(fileno=fds[0]), socket.socket(fileno=fds[1])

    def go(self, ssh: socket.socket | None) -> None:
        assert self._channel is not None
        socket.send_fds(self._channel, [b"go"], [ssh.fileno()] if ssh is not None else [])
        with self._lock:
            self._going = True
            if self._order == "halt":
                self._channel.send(b"halt")

    def ask(self, order: str) -> None:
        """`halt`: now, or as soon as it is there."""
        with self._lock:
            self._order = self._order or order
            if self._going and self._channel is not None:
                with contextlib.suppress(OSError):
                    self._channel.send(order.encode())

    def kill(self) -> None:
        with self._lock:
            self._order = "kill"
            if self._process is None or self._process.poll() is not None:
                return
            children = (
                Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            )
            for pid in children or [str(self._process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)  # pid 1 over there; with it goes whatever is in its namespace

    def wait(self) -> None:
        """Wait for the end; then nothing of it runs."""
        if self._process is not None:
            self._process.wait()
        if self._channel is not None:
            self._channel.close()
