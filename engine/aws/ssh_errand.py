"""The files of one attempt, from the instance that has them to its directory at home, as far as they are written."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from errno import ENOENT

from ...state.layout import STATUS
from ..collect.bring import Trip
from ..collect.far import FarFile, Listing
from ..collect.landing import Landing, Part, UnsafePath, cannot_be_stored, parts_of, target_inside
from ..collect.rules import CollectRules, is_ours
from ..remote.host import HostRefused
from ..remote.sftp import Facts, Sftp, SftpRefused
from .bucket import SweepBucket
from .errors import AwsError
from .haul import is_home
from .pack import ROOT_THERE
from .stored import StoredFile

TRIES = 3
"""How often a file that is rewritten while it is read is asked for; then it is taken as it is."""
MOST = 1 << 20
"""Files, folders and links of one attempt, at most."""
_SHOWN = 3


class Errand:
    """Brings what is not at home or differs there, by size and time, into `trip`.

    `bucket`: where the attempt left its files, if it has ended: what came from there and is verified is not written
    over. Raises `HostAway`, `HostRefused`, `PartBusy`, and `OSError` where the disk here is at fault; then nothing is
    half written, and the same errand goes on where it stopped.
    """

    def __init__(
        self,
        sftp: Sftp,
        trip: Trip,
        instance: str,
        rules: CollectRules,
        bucket: SweepBucket | None,
        moved: Callable[[int], object],
    ) -> None:
        """`moved` is told of bytes as they come."""
        self._sftp, self._trip, self._instance = sftp, trip, instance
        self._rules, self._bucket, self._moved = rules, bucket, moved
        self._there = f"{ROOT_THERE}/attempts/{trip.name}"
        self._stored: dict[str, StoredFile] | None = None
        self._stays: list[str] = []
        """What differs from what the bucket brought."""

    def run(self) -> None:
        """All of it."""
        trip = self._trip
        trip.begin()
        trip.listing = self._list()
        if not trip.listing.there:
            trip.problems.append(
                f"there is no {self._there} on {self._instance}: it has not begun, or was moved"
            )
            return
        with Landing(trip.directory) as landing:
            self._files(landing)
            self._shapes(landing)
            landing.tidy()
        if trip.listing.others:
            self._note(trip.listing.others, "neither file nor directory, left there")
        if self._stays:
            self._note(self._stays, "home is what the bucket brought, which is not what is there")

    # --- what is there -------------------------------------------------------------------------------------------

    def _list(self) -> Listing:
        found = Listing()
        try:
            found.there = stat.S_ISDIR(self._sftp.facts(self._there).mode)
        except SftpRefused as error:
            if not error.gone:
                raise HostRefused(f"{self._instance}: {self._there}: {error}") from None
            found.there = False
        left = deque([""] if found.there else [])
        while left:
            folder = left.popleft()
            for name, facts in self._entries(folder):
                path = f"{folder}/{name}" if folder else name
                if not _is_one_name(name):
                    self._trip.problems.append(
                        f"{path!r} does not name a place below the attempt's directory"
                    )
                elif stat.S_ISDIR(facts.mode):
                    found.folders.append(path)
                    left.append(path)
                else:
                    self._sort(found, path, facts)
            if len(found.files) + len(found.folders) + len(found.links) > MOST:
                raise HostRefused(f"{self._instance}: more than {MOST} files in {self._there}")
        return found

    def _entries(self, folder: str) -> Sequence[tuple[str, Facts]]:
        try:
            return self._sftp.entries(f"{self._there}/{folder}" if folder else self._there)
        except SftpRefused as error:
            if not error.gone:  # what a task deletes while it is looked at is no problem
                self._trip.problems.append(
                    f"{folder or '.'!r} cannot be looked at on {self._instance}: {error}"
                )
            return ()

    def _sort(self, found: Listing, path: str, facts: Facts) -> None:
        if stat.S_ISREG(facts.mode):
            found.files.append(FarFile(path, facts.size, facts.at, bool(facts.mode & 0o100)))
        elif stat.S_ISLNK(facts.mode):
            try:
                found.links.append((path, self._sftp.target(f"{self._there}/{path}")))
            except SftpRefused as error:
                self._lost(path, error)
        else:
            found.others.append(path)

    # --- files ---------------------------------------------------------------------------------------------------

    def _files(self, landing: Landing) -> None:
        staying: dict[str, list[str]] = {}
        for file in self._trip.listing.files:
            if is_ours(file.path):
                if file.path == STATUS:
                    self._note([file.path], "at home that name is the engine's, left there")
                continue
            if why := self._rules.stays(file.path, file.size):
                staying.setdefault(why, []).append(file.path)
                continue
            stands = _stands(landing, file.path)
            if stands is not None and (_is_right(stands, file) or self._is_verified(landing, file, stands)):
                self._trip.have(file)
            else:
                self._fetch(landing, file, stands)
        for why, paths in staying.items():
            self._note(paths, f"{why}, left there")

    def _is_verified(self, landing: Landing, file: FarFile, stands: os.stat_result) -> bool:
        """Whether what stands here came from the bucket, whole. Where that cannot be asked, it is not touched."""
        if self._bucket is None or not stat.S_ISREG(stands.st_mode):
            return False
        try:
            if self._stored is None:
                self._stored = {stored.path: stored for stored in self._bucket.files(self._trip.name)}
            stored = self._stored.get(file.path)
            verified = stored is not None and is_home(landing, self._bucket, self._trip.name, stored)
        except AwsError as error:
            if error.kind == "not_found":  # a bucket that is not there has brought nothing
                self._stored = {}
                return False
            self._trip.problems.append(
                f"{file.path!r} differs here and on {self._instance}, and was left: whether it came from the bucket "
                f"cannot be asked ({error})"
            )
            return True
        if verified and stands.st_size != file.size:
            self._stays.append(file.path)
        return verified

    def _fetch(self, landing: Landing, file: FarFile, stood: os.stat_result | None) -> None:
        """One file; of one that grows as much as it had when it was listed."""
        for number in range(TRIES):
            part = Part(landing, self._version(file), file.size)
            try:
                now = self._read(file, part)
                if now is None:
                    return
                changed = now.size < file.size or (now.size == file.size and now.at != file.at)
                if (changed or part.offset < file.size) and number < TRIES - 1:
                    part.drop()
                    file = replace(file, size=now.size, at=now.at)
                elif part.offset < file.size:
                    part.drop()
                    self._trip.problems.append(f"{file.path!r} changed while it was read")
                    return
                else:
                    if changed:
                        self._note([file.path], "changed while it was read; home is what it was then")
                    self._land(landing, part, file, stood)
                    return
            finally:
                part.close()

    def _version(self, file: FarFile) -> str:
        """Its name while it comes: what was interrupted is gone on with only if it is still the same file."""
        version = f"{self._instance}\0{file.path}\0{file.size}\0{file.at}"
        return hashlib.sha256(version.encode(errors="surrogateescape")).hexdigest()

    def _read(self, file: FarFile, part: Part) -> Facts | None:
        """What the file was after its last byte was read; None if it cannot be had, which is told."""

        def write(piece: bytes) -> None:
            part.write(piece)
            self._trip.moved += len(piece)
            self._moved(len(piece))

        try:
            return self._sftp.read(f"{self._there}/{file.path}", part.offset, file.size, write)
        except SftpRefused as error:
            part.drop()
            self._lost(file.path, error)
            return None

    def _land(self, landing: Landing, part: Part, file: FarFile, stood: os.stat_result | None) -> None:
        """Give it its name, unless an engine has brought it from the bucket meanwhile."""
        stands = _stands(landing, file.path)
        if stands is not None and (stood is None or _identity(stands) != _identity(stood)):
            part.drop()
            self._note([file.path], "an engine brought it from the bucket meanwhile; home is that")
            self._trip.have(file)
            return
        try:
            part.land(file.path, file.at, executable=file.executable)
        except (OSError, UnsafePath) as error:
            if isinstance(error, OSError) and not cannot_be_stored(error):
                raise
            part.drop()
            self._cannot_store(file.path, error)
        else:
            self._trip.have(file)

    # --- links and folders ---------------------------------------------------------------------------------------

    def _shapes(self, landing: Landing) -> None:
        outside: list[str] = []
        for path in self._trip.listing.folders:
            self._shape(path, lambda path=path: landing.make_folder(path))
        for path, target in self._trip.listing.links:
            inside = target_inside(path, target, self._there)
            stands = _stands(landing, path)
            if inside is None:
                outside.append(f"{path} -> {target}")
            elif stands is None or stat.S_ISLNK(stands.st_mode):
                self._shape(path, lambda path=path, inside=inside: landing.link(path, inside))
            else:
                self._note([path], "a link there, and something else here, which stays")
        if outside:
            self._note(outside, "links out of the attempt, not followed")

    def _shape(self, path: str, act: Callable[[], object]) -> None:
        try:
            act()
        except (OSError, UnsafePath) as error:
            if isinstance(error, OSError) and not cannot_be_stored(error):
                raise
            self._cannot_store(path, error)

    # --- words ---------------------------------------------------------------------------------------------------

    def _cannot_store(self, path: str, error: Exception) -> None:
        words = error.strerror if isinstance(error, OSError) else str(error)
        self._trip.problems.append(f"{path!r} cannot be stored here: {words}")

    def _lost(self, path: str, error: SftpRefused) -> None:
        """It was listed and cannot be read: a task that is at work deletes files, one that has ended does not."""
        if error.gone and self._bucket is None:
            self._note([path], "gone when it was fetched")
        else:
            self._trip.problems.append(f"{path!r} cannot be read on {self._instance}: {error}")

    def _note(self, paths: Sequence[str], words: str) -> None:
        shown = ", ".join(repr(path)[1:-1] for path in paths[:_SHOWN])
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        self._trip.notes.append(f"{shown}{more} on {self._instance}: {words}")


def _is_one_name(name: str) -> bool:
    try:
        return len(parts_of(name)) == 1
    except UnsafePath:
        return False


def _stands(landing: Landing, path: str) -> os.stat_result | None:
    """What has that name here, itself and not what it links to."""
    try:
        with landing.parent(path, make=False) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno == ENOENT or cannot_be_stored(error):
            return None
        raise


def _is_right(stands: os.stat_result, file: FarFile) -> bool:
    return stat.S_ISREG(stands.st_mode) and stands.st_size == file.size and int(stands.st_mtime) == file.at


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns
