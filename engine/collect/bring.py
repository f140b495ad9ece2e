"""From a list of files there to the same files here: what is missing, what travels together, what is right already."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ...state.layout import STATUS
from ..events import Ref
from ..remote.area import Area
from . import far
from .far import FarFile, Listing
from .landing import Landing, Part, UnsafePath, cannot_be_stored, target_inside
from .rules import CollectRules, is_ours

PACK_BYTES, PACK_FILES = 16 << 20, 4000
"""What travels in one round trip, at most."""
TRIES = 3
"""How often a file that changes while it is read is asked for; then it is taken as it is."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of one attempt. It is all home unless `problem` says, in words, what is not.

    `files` and `size` (bytes): what its directory at home holds of it; `moved`: bytes that had to be fetched. `notes`:
    what a person should know besides (files that stay there by the rules, links that were not followed).
    """

    ref: Ref
    name: str
    files: int
    size: int
    moved: int = 0
    problem: str = ""
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Trip:
    """One attempt on its way home."""

    name: str
    ref: Ref
    directory: Path
    failed: bool
    tries: int = 0
    files: int = 0
    size: int = 0
    moved: int = 0
    again: bool = False
    """Whether something changed while it was read, and is to be asked for again."""
    problems: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    listing: Listing = field(default_factory=Listing)
    big: deque[FarFile] = field(default_factory=deque[FarFile])
    """What is still to be fetched in parts, with checksums once they were asked for."""

    @property
    def last_try(self) -> bool:
        return self.tries >= TRIES - 1

    def begin(self) -> None:
        """Forget what an earlier look said: the disk knows what is home."""
        self.files = self.size = 0
        self.again = False
        self.problems, self.notes = [], []
        self.big.clear()

    def have(self, file: FarFile) -> None:
        self.files += 1
        self.size += file.size

    def collected(self) -> Collected:
        return Collected(
            self.ref,
            self.name,
            self.files,
            self.size,
            self.moved,
            "; ".join(self.problems),
            tuple(self.notes),
        )


class Bringer:
    """Fetches for trips. Raises `HostAway`, `HostRefused`, `AreaError`, and `OSError` where the disk here is at fault;
    then nothing is half written, and the same call goes on where it stopped.
    """

    def __init__(
        self, area: Area, rules: CollectRules, moved: Callable[[int], object] = lambda count: None
    ) -> None:
        """`moved` is told of bytes as they come."""
        self._area, self._rules, self._moved = area, rules, moved

    def look(self, trips: Sequence[Trip]) -> None:
        """List what is there, and bring the small files of all these; the big ones are left in `Trip.big`."""
        listings = far.list_attempts(self._area, [trip.name for trip in trips])
        wanted: list[tuple[Trip, FarFile]] = []
        for trip in trips:
            trip.begin()
            trip.listing = listings[trip.name]
            wanted += [(trip, file) for file in self._missing(trip)]
        squeezed = [(trip, file) for trip, file in wanted if far.shrinks(file.path, file.size)]
        others = [(trip, file) for trip, file in wanted if not far.shrinks(file.path, file.size)]
        for load in _loads(squeezed):
            self._bring(load, squeezed=True)
        for load in _loads(others):
            self._bring(load, squeezed=False)

    def _missing(self, trip: Trip) -> list[FarFile]:
        """The small files that are not home; the big ones become `trip.big`."""
        listing, host = trip.listing, self._area.host.name
        if not listing.there:
            trip.problems.append(f"its directory {self._area.directory(trip.name)} on {host} is gone")
            return []
        if listing.hidden and not trip.last_try:
            trip.again = True  # what is just being made or deleted looks so, too
        elif listing.hidden:
            trip.problems.append(f"not everything can be looked at there: {listing.hidden}")
        if listing.others:
            trip.notes.append(f"{_some(listing.others)} on {host}: neither file nor directory, left there")
        staying: dict[str, list[FarFile]] = {}
        small: list[FarFile] = []
        with Landing(trip.directory) as landing:
            for file in listing.files:
                if is_ours(file.path):
                    if file.path == STATUS:
                        trip.notes.append(
                            f"{STATUS} on {host}: at home that name is the engine's, left there"
                        )
                    continue
                if why := self._rules.stays(file.path, file.size):
                    staying.setdefault(why, []).append(file)
                elif file.size > far.SMALL:
                    trip.big.append(file)
                elif not file.sha:
                    self._changed(trip, file, f"cannot be read on {host}")
                elif landing.sum_of(file.path, file.size) == file.sha:
                    trip.have(file)
                else:
                    small.append(file)
        for why, files in staying.items():
            size = sum(file.size for file in files)
            trip.notes.append(
                f"{_some([file.path for file in files])} ({size} bytes) on {host}: {why}, left there"
            )
        return small

    def _bring(self, load: Sequence[tuple[Trip, FarFile]], *, squeezed: bool) -> None:
        """One pack."""
        asked = {f"attempts/{trip.name}/{file.path}": (trip, file) for trip, file in load}
        came: set[str] = set()

        def take(path: str, content: bytes) -> None:
            trip, file = asked[path]
            if path in came:
                return
            right = sha256(content).hexdigest() == file.sha
            if not right and not trip.last_try:
                return
            came.add(path)
            trip.moved += len(content)
            self._moved(len(content))
            if not right:
                trip.notes.append(f"{file.path!r} changed while it was read; home is what it was then")
            self._put(trip, file, lambda landing: self._put_small(landing, file, content))

        sizes = {path: file.size for path, (_, file) in asked.items()}
        far.pack(self._area, sizes, take, squeezed=squeezed)
        for path, (trip, file) in asked.items():
            if path not in came:
                self._changed(trip, file, "could not be read there, or was gone, when it was fetched")

    def _put_small(self, landing: Landing, file: FarFile, content: bytes) -> None:
        landing.put(file.path, content, file.at, executable=file.executable)

    def _put(self, trip: Trip, file: FarFile, act: Callable[[Landing], object]) -> None:
        """Store a file; a name that cannot be had here is this file's problem alone."""
        try:
            with Landing(trip.directory) as landing:
                act(landing)
        except (OSError, UnsafePath) as error:
            if isinstance(error, OSError) and not cannot_be_stored(error):
                raise
            words = error.strerror if isinstance(error, OSError) else str(error)
            trip.problems.append(f"{file.path!r} cannot be stored here: {words}")
        else:
            trip.have(file)

    def _changed(self, trip: Trip, file: FarFile, what: str) -> None:
        """It is asked for again, for what comes and goes looks so; at last it is a problem."""
        if trip.last_try:
            trip.problems.append(f"{file.path!r} {what}")
        else:
            trip.again = True

    def haul(self, trip: Trip) -> None:
        """One round trip for the big files of this attempt: their checksums first, then part by part."""
        unsummed = [file for file in trip.big if not file.sha]
        if unsummed:
            self._sum(trip, unsummed)
            return
        file = trip.big[0]
        with Landing(trip.directory) as landing:
            if landing.sum_of(file.path, file.size) == file.sha:
                trip.have(file)
                trip.big.popleft()
                return
            part = Part(landing, file.sha, file.size)
            try:
                if self._fetch(trip, file, part):
                    trip.big.popleft()
            finally:
                part.close()

    def _sum(self, trip: Trip, files: Sequence[FarFile]) -> None:
        at = {file.path: f"attempts/{trip.name}/{file.path}" for file in files}
        found = far.sums(self._area, list(at.values()), sum(file.size for file in files))
        trip.big.clear()
        for file in files:
            sha = found.get(at[file.path], "")
            if sha:
                trip.big.append(FarFile(file.path, file.size, file.at, file.executable, sha))
            else:
                self._changed(trip, file, f"cannot be read on {self._area.host.name}")

    def _fetch(self, trip: Trip, file: FarFile, part: Part) -> bool:
        """The next part; whether this file is done with."""
        count = min(far.PART, file.size - part.offset)

        def write(piece: bytes) -> None:
            part.write(piece)
            trip.moved += len(piece)
            self._moved(len(piece))

        path = f"attempts/{trip.name}/{file.path}"
        came = far.part(self._area, path, part.offset, count, write) if count else 0
        if part.offset < file.size and came == count:
            return False
        if not part.is_right and trip.last_try and part.offset == file.size:
            trip.notes.append(f"{file.path!r} changed while it was read; home is what it was then")
        elif not part.is_right:
            part.drop()
            self._changed(trip, file, "changed while it was read")
            return True
        self._put(trip, file, lambda landing: part.land(file.path, file.at, executable=file.executable))
        return True

    def finish(self, trip: Trip) -> Collected:
        """Links and empty directories, when all files are there; nothing is asked for any more."""
        host = self._area.host.name
        if trip.listing.there:
            outside: list[str] = []
            with Landing(trip.directory) as landing:
                for path in trip.listing.folders:
                    self._shape(trip, path, lambda path=path: landing.make_folder(path))
                for path, target in trip.listing.links:
                    inside = target_inside(path, target, self._area.directory(trip.name))
                    if inside is None:
                        outside.append(f"{path} -> {target}")
                    else:
                        self._shape(trip, path, lambda path=path, inside=inside: landing.link(path, inside))
                landing.tidy()
            if outside:
                trip.notes.append(f"{_some(outside)} on {host}: links out of the attempt, not followed")
        return trip.collected()

    def _shape(self, trip: Trip, path: str, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            if not cannot_be_stored(error):
                raise
            trip.problems.append(f"{path!r} cannot be made here: {error.strerror}")


def _loads(wanted: Sequence[tuple[Trip, FarFile]]) -> Iterator[list[tuple[Trip, FarFile]]]:
    """Packs of bounded size, in order."""
    load: list[tuple[Trip, FarFile]] = []
    size = 0
    for trip, file in wanted:
        if load and (size + file.size > PACK_BYTES or len(load) >= PACK_FILES):
            yield load
            load, size = [], 0
        load.append((trip, file))
        size += file.size
    if load:
        yield load


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(repr(path)[1:-1] for path in paths[:_SHOWN])
    return shown if len(paths) <= _SHOWN else f"{shown} and {len(paths) - _SHOWN} more"
