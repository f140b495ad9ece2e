"""Partial results: the files of attempts straight from instances that live, several at a time, over SSH.

What counts stays what comes by the bucket: nothing of this is journalled, and what was brought from there and verified
is not written over. The only memory is what stands on the two disks, as with all that collects.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...state.layout import SweepLayout
from ..collect.bring import Collected, Trip
from ..collect.elsewhere import is_cloud
from ..collect.landing import PartBusy
from ..collect.rules import CollectRules
from ..events import Ref
from ..ids import task_name
from ..remote.host import HostAway, HostRefused
from ..remote.sftp import Sftp
from ..remote.sftp_server import sftp_over
from ..remote.ssh_config import Hop, SshTarget, route
from ..remote.ssh_known import known_keys
from ..remote.ssh_link import Link, open_link
from ..remote.ssh_login import KeyRing
from ..sources.place import attempt_name
from ..sweep import ENDED, Sweep
from .bucket import SweepBucket
from .errors import AwsError
from .lookout import Clouds, Place, Seen
from .model import Instance
from .reach import SSH_PORT, CannotReach, WayIn, Wish, closed_words, way_in
from .ssh_errand import Errand

PARALLEL = 8
"""Instances at a time."""
TRIES = 5
"""How often an instance is connected to while connections drop in the middle, and each brought something."""
CLOSE_LIMIT = 3.0
"""Seconds `close` waits for the threads; they hold nothing that could be lost."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An attempt that counts, on an instance. `ended`: by the journal; else what comes of it may be partial."""

    ref: Ref
    place: Place
    ended: bool

    @property
    def name(self) -> str:
        return attempt_name(self.ref)


@dataclass(frozen=True, slots=True)
class Aim:
    """An attempt and the instance that has its files."""

    wanted: Wanted
    instance: Instance


@dataclass(frozen=True, slots=True)
class Missed:
    """An attempt whose files cannot be had from its instance, and why."""

    wanted: Wanted
    why: str


def wanted_of(sweep: Sweep, tasks: Collection[int] | None = None) -> list[Wanted]:
    """The attempts that count of these tasks (None: all) on sources of instances."""
    found: list[Wanted] = []
    for task in sweep.tasks:
        attempt = task.attempt
        if attempt is None or (tasks is not None and task.index not in tasks):
            continue
        source = sweep.sources[attempt.source]
        options = dict(source.options)
        if is_cloud(source.kind) and options.get("region"):
            place = Place(source.name, options["region"], options)
            found.append(Wanted(Ref(task.index, attempt.number), place, attempt.state in ENDED))
    return found


def aims_of(wanted: Iterable[Wanted], seen: Seen) -> tuple[list[Aim], list[Missed]]:
    """Which of these attempts have an instance that runs, and what is with the others."""
    silent = {place.source: error for place, error in seen.silent}
    instances: dict[tuple[str, Ref], Instance] = {}
    for sighting in seen.sightings:
        key = (sighting.place.source, sighting.ref)
        if key not in instances or instances[key].state != "running":
            instances[key] = sighting.instance
    aims: list[Aim] = []
    missed: list[Missed] = []
    for one in wanted:
        instance = instances.get((one.place.source, one.ref))
        if one.place.source in silent:
            missed.append(Missed(one, f"{one.place.region} cannot be asked: {silent[one.place.source]}"))
        elif instance is None:
            missed.append(Missed(one, f"EC2 knows no instance of it in {one.place.region} (any more)"))
        elif instance.state != "running":
            missed.append(Missed(one, f"{instance.id} is {instance.state}{_REMEDY.get(instance.state, '')}"))
        else:
            aims.append(Aim(one, instance))
    return aims, missed


_REMEDY = {
    "pending": "; try again in a moment",
    "stopped": "; start it in the EC2 console, or with: aws ec2 start-instances",
}


@dataclass(frozen=True, slots=True)
class Access:
    """How instances are logged in to. `known_hosts`: the sweep's own file; `home`: where `.ssh` is."""

    clouds: Clouds
    wish: Wish
    known_hosts: Path
    home: Path


class OverSsh:
    """Brings home what is not, in threads of its own. `moved` is told of bytes as they come, in these threads."""

    def __init__(
        self,
        sweep_id: str,
        layout: SweepLayout,
        aims: Sequence[Aim],
        access: Access,
        *,
        moved: Callable[[int], object],
    ) -> None:
        self._sweep_id, self._layout, self._access, self._moved = sweep_id, layout, access, moved
        self.left = len(aims)
        """Attempts that nothing was said of yet."""
        self._told: queue.SimpleQueue[tuple[Aim, Collected]] = queue.SimpleQueue()
        self._waiting: queue.SimpleQueue[Aim] = queue.SimpleQueue()
        for aim in aims:
            self._waiting.put(aim)
        self._lock = threading.Lock()
        self._links: set[Link] = set()
        self._closing = False
        self._fault: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"over ssh {number}", daemon=True)
            for number in range(min(PARALLEL, len(aims)))
        ]
        for thread in self._threads:
            thread.start()

    def next(self, seconds: float) -> tuple[Aim, Collected] | None:
        """What is said of the next attempt, within so many seconds. Raises what ended a thread, if a fault did."""
        try:
            told = self._told.get(timeout=seconds)
        except queue.Empty:
            if self._fault is not None:
                raise self._fault from None
            return None
        self.left -= 1
        return told

    def close(self) -> None:
        """Hang up; what is not home is brought by the next call."""
        with self._lock:
            self._closing = True
            links = set(self._links)
        for link in links:
            link.close()
        for thread in self._threads:
            thread.join(CLOSE_LIMIT / len(self._threads))

    def _run(self) -> None:
        try:
            while not self._closing:
                aim = self._waiting.get_nowait()
                self._told.put((aim, self._bring(aim)))
        except queue.Empty:
            return
        except BaseException as fault:  # noqa: BLE001 -- raised again by `next`
            self._fault = fault

    def _bring(self, aim: Aim) -> Collected:
        """One attempt. A connection that drops is made anew as long as every one of them brings something."""
        ref = aim.wanted.ref
        directory = self._layout.attempt(task_name(ref.task), ref.attempt)
        trip = Trip(aim.wanted.name, ref, directory, failed=False)
        problem = ""
        for _ in range(TRIES):
            before = trip.moved
            try:
                self._errand(aim, trip)
                return trip.collected()
            except HostAway as error:
                problem = str(error)
                if trip.moved == before or self._closing:
                    break
            except (HostRefused, CannotReach, AwsError, PartBusy) as error:
                problem = str(error)
                break
            except OSError as error:
                problem = f"{directory}: {error.strerror or error}; make room, or mend it"
                break
        else:
            problem = f"{problem}, {TRIES} times; the next call goes on from here"
        return replace(trip.collected(), problem=problem)

    def _errand(self, aim: Aim, trip: Trip) -> None:
        place = aim.wanted.place
        options = dict(place.options)
        bucket = None
        if aim.wanted.ended:
            cloud = self._access.clouds.of(place.profile)
            bucket = SweepBucket(cloud, place.region, self._sweep_id, options.get("bucket", ""))
        with self._session(aim) as sftp:
            Errand(sftp, trip, aim.instance.id, CollectRules.of(options), bucket, self._moved).run()

    @contextlib.contextmanager
    def _session(self, aim: Aim) -> Generator[Sftp]:
        access, place = self._access, aim.wanted.place
        cloud = access.clouds.of(place.profile)
        login = way_in(
            aim.instance, place.region, cloud, access.wish,
            ssh_key=place.options.get("ssh_key", ""), home=access.home,
        )  # fmt: skip
        try:
            hops = _way(login, aim.instance, access)
            # Its key is trusted at the first login, as by `connect`; nobody can vouch for it.
            link = open_link(hops, KeyRing(), limit=max(hop.connect_limit for hop in hops), accept_new=True)
        except (HostAway, HostRefused) as error:
            # Only now it is worth a question to EC2 what may be in the way.
            closed = closed_words(aim.instance, place.region, cloud, login.port or SSH_PORT)
            raise type(error)("; ".join(filter(None, [str(error), *login.notes, closed]))) from error
        try:
            with self._lock:
                self._links.add(link)
                if self._closing:
                    raise HostAway(f"{aim.instance.id}: closed")
            with sftp_over(link, f"{aim.instance.id} ({hops[-1].where})") as sftp:
                yield sftp
        finally:
            with self._lock:
                self._links.discard(link)
            link.close()


def _way(login: WayIn, instance: Instance, access: Access) -> tuple[Hop, ...]:
    """The servers to go through, the instance last. Raises `HostRefused`."""
    way = route(SshTarget(login.address, login.user, login.port or None, login.key or None, home=access.home))
    for hop in way[:-1]:
        # Only the instance's key is taken as it comes: the hosts before it are not new, and must be known.
        if all(known.revoked for known in known_keys(hop)):
            raise HostRefused(
                f"{hop.where}: on the way to {instance.id}, and its host key is unknown; run `ssh {hop.alias}` once"
            )
    return (*way[:-1], replace(way[-1], known_as=instance.id, known_hosts=(access.known_hosts,)))
