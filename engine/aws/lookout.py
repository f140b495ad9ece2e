"""The instances of a sweep as seen from outside its engine: where they may be, and which attempt each of them runs.

Which launch an instance came from stands in its tag, its place in that launch in its launch index, and what the launch
was for is written down in the sweep's directory (`launches`). Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TypeVar

from ...state.disk import LocalDisk
from ..events import Ref
from ..plan.model import Value
from ..sources.registry import KINDS
from ..sweep import Sweep
from .cloud import Cloud
from .errors import AwsError
from .fleet import Fleet
from .launches import LaunchAnswer, LaunchRequest, LaunchStore
from .model import TAG_TTL, Instance, InstanceSpec
from .pacing import Pacer
from .parallel import Answer, Asker
from .spec import SpecDefaults, SpecError, spec_of

LIMIT = 30.0
"""Seconds that all regions together have to answer a person."""
_SHARE = 0.8
"""Of that time one region has so much: then it still can say itself why it does not answer."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """One source of a sweep in a cloud, and what it takes to ask there."""

    source: str
    region: str
    options: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def profile(self) -> str:
        return self.options.get("profile", "")


class Clouds:
    """One `Cloud` for each profile."""

    def __init__(self) -> None:
        self._made: dict[str, Cloud] = {}

    def of(self, profile: str) -> Cloud:
        if profile not in self._made:
            self._made[profile] = Cloud(profile)
        return self._made[profile]

    def fleet(self, place: Place, limit: float = LIMIT) -> Fleet:
        return Fleet(self.of(place.profile), place.region, Pacer(), limit=limit)


class Written:
    """The launches of one source as they are written down. Raises `LaunchDamaged`, `OSError`."""

    def __init__(self, root: Path, source: str) -> None:
        self._requests: dict[str, LaunchRequest] = {}
        self._instances: dict[Ref, str] = {}
        for request, answer in LaunchStore(root / "ec2" / source, LocalDisk()).open():
            self._requests[request.token] = request
            for index, attempt in enumerate(request.attempts):
                self._note(Ref(*attempt), answer, index)

    def _note(self, ref: Ref, answer: LaunchAnswer | None, index: int) -> None:
        """Of several launches for one attempt the last that gave an instance counts."""
        identity = answer.instance(index) if answer is not None else ""
        self._instances[ref] = identity or self._instances.get(ref, "")

    def instance_of(self, ref: Ref) -> str:
        """The id of the instance that was launched for an attempt; empty if none is known."""
        return self._instances.get(ref, "")

    def launch_of(self, instance: Instance) -> LaunchRequest | None:
        """The launch it came from; None if this sweep has written no such launch down."""
        return self._requests.get(instance.launch)

    def attempt_of(self, instance: Instance) -> Ref | None:
        """The attempt it was launched for."""
        request = self.launch_of(instance)
        if request is None or not 0 <= instance.index < len(request.attempts):
            return None
        return Ref(*request.attempts[instance.index])


@dataclass(frozen=True, slots=True)
class Sighting:
    """An instance that EC2 shows, and the attempt it is for."""

    place: Place
    ref: Ref
    instance: Instance


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look brought. `silent`: the places that could not be asked, and why."""

    sightings: tuple[Sighting, ...] = ()
    silent: tuple[tuple[Place, AwsError], ...] = ()


def places(sweep: Sweep) -> list[Place]:
    """Where instances of this sweep may be, also on sources that get no more tasks."""
    found: list[Place] = []
    for source in sweep.sources.values():
        options = dict(source.options)
        if source.kind in KINDS and KINDS[source.kind].cloud and options.get("region"):
            found.append(Place(source.name, options["region"], options))
    return found


def look(root: Path, sweep_id: str, where: Sequence[Place], clouds: Clouds, *, limit: float = LIMIT) -> Seen:
    """Ask all these places at once, by one question each. Raises `LaunchDamaged`, `OSError`."""
    sightings: list[Sighting] = []
    silent: list[tuple[Place, AwsError]] = []
    for place, answer in ask_all(where, lambda fleet: fleet.instances(sweep_id), clouds, limit):
        if isinstance(answer, AwsError):
            silent.append((place, answer))
            continue
        written = Written(root, place.source)
        for instance in answer:
            ref = written.attempt_of(instance)
            if ref is not None:
                sightings.append(Sighting(place, ref, instance))
    return Seen(tuple(sorted(sightings, key=lambda seen: seen.ref)), tuple(silent))


def ask_all(
    where: Iterable[Place], question: Callable[[Fleet], list[Instance]], clouds: Clouds, limit: float
) -> list[tuple[Place, list[Instance] | AwsError]]:
    """What each place answers, or why it does not; all are asked at once, for `limit` seconds.

    Where a profile has no credentials nobody is asked: a region would be asked again and again for them to come.
    """
    places, ends = list(where), monotonic() + limit
    refused = without_credentials((place.profile for place in places), clouds, limit)
    left = max(0.0, ends - monotonic())
    with Asker(left) as asker:
        answers = [
            refused.get(place.profile)
            or asker.ask(lambda place=place: question(clouds.fleet(place, left * _SHARE)))
            for place in places
        ]
        return [
            (place, answer if isinstance(answer, AwsError) else _got(answer))
            for place, answer in zip(places, answers, strict=True)
        ]


def without_credentials(profiles: Iterable[str], clouds: Clouds, limit: float) -> dict[str, AwsError]:
    """Those of these profiles that have no credentials, and why; AWS is asked nothing but what a login needs."""
    with Asker(limit) as asker:
        asked = {
            profile: asker.ask(clouds.of(profile).credentials_last) for profile in dict.fromkeys(profiles)
        }
        found = {profile: _got(answer) for profile, answer in asked.items()}
    return {profile: error for profile, error in found.items() if isinstance(error, AwsError)}


def _got(answer: Answer[T]) -> T | AwsError:
    try:
        return answer.get()
    except AwsError as error:
        return error


def by_reason(silent: Iterable[tuple[Place, AwsError]]) -> list[tuple[str, list[Place]]]:
    """Why places could not be asked, each reason once, with what helps where no credentials are found."""
    found: dict[str, list[Place]] = {}
    for place, error in silent:
        found.setdefault(with_remedy(error), []).append(place)
    return list(found.items())


def with_remedy(error: AwsError) -> str:
    """What AWS said, and what helps where no credentials are found."""
    if error.kind != "credentials" or error.words != "Unable to locate credentials":
        return str(error)
    return f"{error}; log in (aws sso login, aws configure) or name a profile (AWS_PROFILE)"


def deadline(instance: Instance, ttl: float | None) -> float | None:
    """When its time to live is over, in seconds since 1970; None if nothing limits it.

    `ttl`: seconds, as it was launched. `extend` moves the end by a tag, which the instance reads.
    """
    told = dict(instance.tags).get(TAG_TTL, "")
    if told.isascii() and told.isdigit():
        return float(told)
    return None if ttl is None else instance.launched_at + ttl


def ends_at(instance: Instance, launch: Mapping[str, Value], place: Place) -> float | None:
    """`deadline` of an instance of a task with these launch fields. Its tag is exact; what they say is from its launch
    on, and says nothing where the source was described anew.
    """
    spec = asked_for(launch, place)
    return deadline(instance, spec.ttl if spec is not None else None)


def asked_for(launch: Mapping[str, Value], place: Place) -> InstanceSpec | None:
    """What a task's instance at this place was asked to be; None if that cannot be said any more."""
    try:
        return spec_of(launch, place.region, SpecDefaults.of(place.options))
    except SpecError:
        # The source was described anew since: it says nothing of what was launched before.
        return None
