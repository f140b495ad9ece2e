"""Hosts that misbehave in one way, between the collector and a real one."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Sequence

from spawn_tui.engine.remote.host import Answer, HostAway, LocalHost

MARK = b"spawn-agent 1\n"


class Wrapped(LocalHost):
    """This machine, with what `change` makes of its answers: it gets the verb and the answer's stdout."""

    def __init__(self, change: Callable[[str, bytes], bytes] = lambda verb, out: out) -> None:
        super().__init__("there")
        self.change = change
        self.verbs: list[str] = []

    def run(
        self,
        command: Sequence[str],
        data: bytes | Iterable[bytes] = b"",
        *,
        limit: float,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        verb = command[2] if len(command) > 2 else "open"
        self.verbs.append(verb)
        answer = super().run(command, data, limit=limit)
        out = self.change(verb, answer.out)
        if into is None:
            return Answer(answer.status, out, answer.err)
        into(out)
        return Answer(answer.status, b"", answer.err)


class Cut(LocalHost):
    """Loses the connection when `bytes_left` bytes have come; None: never."""

    bytes_left: int | None = None
    stays_away = False
    """Whether the connection is not there again after that."""
    away = False
    """Whether nothing can be asked at all."""

    def run(
        self,
        command: Sequence[str],
        data: bytes | Iterable[bytes] = b"",
        *,
        limit: float,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        if self.away:
            raise HostAway("there: connection lost")
        if into is None:
            return super().run(command, data, limit=limit)

        def some(piece: bytes) -> None:
            if self.bytes_left is not None:
                piece = piece[: self.bytes_left]
                self.bytes_left -= len(piece)
            if piece:
                into(piece)
            if self.bytes_left == 0:
                self.bytes_left, self.away = None, self.stays_away
                raise HostAway("there: connection lost")

        return super().run(command, data, limit=limit, into=some)


def packed(out: bytes, *members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """The answer of `pack` with these members before its own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        with tarfile.open(fileobj=io.BytesIO(zlib.decompress(out.removeprefix(MARK), 31))) as own:
            for info in own:
                tar.addfile(info, own.extractfile(info) if info.isreg() else None)
    packer = zlib.compressobj(wbits=31)
    return MARK + packer.compress(buffer.getvalue()) + packer.flush()
