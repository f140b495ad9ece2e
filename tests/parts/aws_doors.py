"""Sockets that listen in the networks of instances, served here."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import threading
import traceback
from collections.abc import Callable

Serve = Callable[[socket.socket, object], None]


class Doors:
    """Accepts on many sockets in one thread; what is accepted is given to the socket's own server."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._read, self._write = os.pipe()
        self._changes: list[tuple[socket.socket, Serve | None]] = []
        self._closed = False
        self._selector.register(self._read, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="doors", daemon=True)
        self._thread.start()

    def open(self, door: socket.socket, serve: Serve) -> None:
        """Serve a listening socket; it is ours from now on."""
        door.setblocking(False)
        self._change(door, serve)

    def shut(self, door: socket.socket) -> None:
        self._change(door, None)

    def close(self) -> None:
        self._closed = True
        os.write(self._write, b"x")
        self._thread.join(10)

    def _change(self, door: socket.socket, serve: Serve | None) -> None:
        with self._lock:
            self._changes.append((door, serve))
        os.write(self._write, b"x")

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                if key.fd == self._read:
                    os.read(self._read, 4096)
                    self._apply()
                elif key.data is not None:
                    self._accept(key.fileobj, key.data)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()

    def _apply(self) -> None:
        with self._lock:
            changes, self._changes = self._changes, []
        for door, serve in changes:
            if serve is not None:
                self._selector.register(door, selectors.EVENT_READ, serve)
            else:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(door)
                door.close()

    @staticmethod
    def _accept(door: object, serve: Serve) -> None:
        assert isinstance(door, socket.socket)
        try:
            connection, address = door.accept()
        except OSError:
            return  # who knocked has gone, or the door was shut
        connection.setblocking(True)
        try:
            serve(connection, address)
        except Exception:  # noqa: BLE001 - one door's trouble must not shut the others
            traceback.print_exc(file=sys.stderr)
            connection.close()
