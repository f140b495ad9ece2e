"""Launches that can be repeated: the request is written down before it is sent, and is sent again as it was.

EC2 lets a request with a known `ClientToken` and the same parameters launch nothing new, and answers with the instances
it launched before ("Ensuring idempotency in Amazon EC2 API requests"). So an engine that died, or an answer that was
lost, costs nothing: the stored request is sent again, byte for byte. A token never serves for two requests.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from ...state.disk import Disk
from ..ids import task_index, task_name
from .cloud import Cloud, asked
from .errors import TEMPORARY, AwsError, Trouble
from .fleet import Fleet
from .launch_request import Variant
from .model import Market
from .pacing import Pacer

T = TypeVar("T")
FORMAT = 1
_KNOWN_TOKEN = frozenset({"IdempotentInstanceTerminated", "IdempotentParameterMismatch"})
"""EC2 launched something by this token once. It answers so, and not with the ids, when some of that has ended
(github.com/boto/boto3/issues/4406), so that no instance may be concluded from this answer.
"""
TOKEN_GOOD = 20 * 3600.0
"""Seconds for which a request may be sent again. EC2 remembers a token for a day at least ("Ensuring idempotency in
Amazon EC2 API requests"); later the same request would launch anew."""
SHOWN_WITHIN = 300.0
"""Seconds from a request on within which an instance that EC2 does not show may be one that it does not show yet
("Ensuring consistency", Amazon EC2 API Reference)."""
_REQUEST, _ANSWER = ".json", ".answer.json"


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One RunInstances call: `request` holds its arguments, JSON-able, the user data as base64 text.

    `attempts`: (task, attempt) by launch index; `made_at`: seconds since 1970; `try_number`: the how-manieth launch
    for this part of its batch.
    """

    token: str
    source: str
    batch: str
    attempts: tuple[tuple[int, int], ...]
    request: Mapping[str, object] = field(repr=False)  # user data may hold secrets
    made_at: float
    try_number: int
    market: Market
    type: str

    @property
    def variant(self) -> Variant:
        """Which way of launching its spec it is."""
        placement = cast("Mapping[str, object]", self.request.get("Placement") or {})
        zone = self.request.get("SubnetId") or placement.get("AvailabilityZone") or ""
        return Variant(self.type, str(zone), self.market)


@dataclass(frozen=True, slots=True)
class LaunchAnswer:
    """What EC2 made of a request.

    `instances`: ids by launch index, empty text where there is none; fewer than asked where there was no room for all,
    and none with an error. `at`: seconds since 1970.
    """

    instances: tuple[str, ...]
    error_kind: Trouble | None = None
    error_code: str = ""
    error_words: str = ""
    at: float = 0.0
    forgotten: bool = False
    """Whether it was launched before, and attempts without an id here may have run on instances that are gone."""

    def instance(self, index: int) -> str:
        """The id of the instance with this launch index; empty if there is none."""
        return self.instances[index] if index < len(self.instances) else ""


class LaunchDamaged(Exception):
    """A stored launch that cannot be read; the text says what to do."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"{path}: {what}. Nothing was launched. Restore this file from a copy; if there is none, end the sweep's "
            f"instances (spawn-tui reap shows them) and move it away."
        )
        self.path = path


class LaunchStore:
    """The launches of one source: `<token>.json`, and beside it the answer. All methods raise `OSError`."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._directory, self._disk = directory, disk

    def write(self, launch: LaunchRequest) -> None:
        """Keep a request for good, before it is sent. Raises ValueError if its token served for another one."""
        # The parents first: `mkdir` gives only the last one the private mode.
        self._disk.make_dir(self._directory.parent)
        self._disk.make_dir(self._directory)
        path = self._directory / f"{launch.token}{_REQUEST}"
        data = _dump(_request_document(launch))
        try:
            self._disk.create(path, data)
        except FileExistsError:
            if self._disk.read(path) != data:
                raise ValueError(f"{path}: token {launch.token} served for another request already") from None
            self._disk.replace(path, data)  # who wrote it may have died before the directory was synced

    def answer(self, token: str, answer: LaunchAnswer) -> None:
        """Keep what came of it."""
        self._disk.replace(self._directory / f"{token}{_ANSWER}", _dump(_answer_document(answer)))

    def open(self) -> list[tuple[LaunchRequest, LaunchAnswer | None]]:
        """All launches, oldest first. Raises `LaunchDamaged`."""
        requests: dict[str, LaunchRequest] = {}
        answers: dict[str, LaunchAnswer] = {}
        for name in self._disk.names(self._directory):
            if name.startswith("."):
                continue  # a temporary file of a write that was cut off
            path = self._directory / name
            if name.endswith(_ANSWER):
                answers[name.removesuffix(_ANSWER)] = self._load(path, _answer_of)
            elif name.endswith(_REQUEST):
                launch = self._load(path, _request_of)
                if launch.token != path.stem:
                    raise LaunchDamaged(
                        path, f"it holds the launch {launch.token}, which its name does not say"
                    )
                requests[launch.token] = launch
            else:
                raise LaunchDamaged(path, "it is no launch of spawn-tui's")
        for token in answers.keys() - requests.keys():
            raise LaunchDamaged(
                self._directory / f"{token}{_ANSWER}", "the request that it answers is missing"
            )
        ordered = sorted(requests.values(), key=lambda launch: (launch.made_at, launch.token))
        return [(launch, answers.get(launch.token)) for launch in ordered]

    def _load(self, path: Path, read: Callable[[dict[str, Any]], T]) -> T:
        try:
            return read(json.loads(self._disk.read(path)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise LaunchDamaged(path, "it is no whole launch of this version of spawn-tui") from error


def send(
    launch: LaunchRequest,
    cloud: Cloud,
    region: str,
    pacer: Pacer,
    limit: float,
    *,
    now: Callable[[], float] = time.time,
) -> LaunchAnswer:
    """Ask for these instances, as it is stored; doing so again launches nothing twice.

    A definite no is an answer. One that is older than its token is good for is not sent any more: what EC2 shows of it
    is the answer then. Raises `AwsError` for what failed for a time, for `limit` seconds, and for what EC2 has launched
    and may not show yet: nothing is known then, the instances may run, and the same launch has to be sent again.
    """
    if now() - launch.made_at >= TOKEN_GOOD:
        return _found(launch, Fleet(cloud, region, pacer, limit=limit), now(), "")
    # boto3 makes base64 of it.
    arguments = {**launch.request, "UserData": base64.b64decode(str(launch.request["UserData"]))}
    client = cloud.client("ec2", region)

    def once() -> dict[str, Any]:
        with asked("RunInstances"):
            return client.run_instances(**arguments)

    try:
        told = pacer.call("RunInstances", once, limit=limit)
    except AwsError as error:
        if error.kind in TEMPORARY:
            raise
        if error.code in _KNOWN_TOKEN:
            fleet = Fleet(cloud, region, pacer, limit=limit)
            found = _found(launch, fleet, now(), error.code, error.words)
            # Either way: a clock that was set back makes nothing old.
            if found.forgotten and abs(found.at - launch.made_at) < SHOWN_WITHIN:
                raise _not_shown_yet(launch, found) from error
            return found
        return LaunchAnswer((), error.kind, error.code, error.words, now())
    ids = _by_index({int(item["AmiLaunchIndex"]): str(item["InstanceId"]) for item in told["Instances"]})
    return LaunchAnswer(ids, at=now())


def _found(launch: LaunchRequest, fleet: Fleet, at: float, code: str, words: str = "") -> LaunchAnswer:
    """What EC2 still shows of a launch that happened, or may have."""
    there = fleet.launched(launch.token)
    ids = _by_index({instance.index: instance.id for instance in there})
    return LaunchAnswer(ids, None, code, words, at, forgotten=len(there) < len(launch.attempts))


def _not_shown_yet(launch: LaunchRequest, found: LaunchAnswer) -> AwsError:
    shown = sum(map(bool, found.instances))
    words = (
        f"EC2 has launched by this token before, and shows {shown} of {len(launch.attempts)} instances so far"
    )
    return AwsError("server", found.error_code, words, "RunInstances")


def _by_index(ids: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(ids.get(index, "") for index in range(max(ids, default=-1) + 1))


def _dump(document: Mapping[str, object]) -> bytes:
    # In the order it was built in, which is the order boto3 sends it in.
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _request_document(launch: LaunchRequest) -> dict[str, object]:
    return {
        "v": FORMAT,
        "token": launch.token,
        "source": launch.source,
        "batch": launch.batch,
        "attempts": [[task_name(task), attempt] for task, attempt in launch.attempts],
        "made_at": launch.made_at,
        "try": launch.try_number,
        "market": launch.market,
        "type": launch.type,
        "request": launch.request,
    }


def _request_of(document: dict[str, Any]) -> LaunchRequest:
    launch = LaunchRequest(
        token=document["token"],
        source=document["source"],
        batch=document["batch"],
        attempts=tuple((task_index(name), int(attempt)) for name, attempt in document["attempts"]),
        request=document["request"],
        made_at=float(document["made_at"]),
        try_number=int(document["try"]),
        market=document["market"],
        type=document["type"],
    )
    request = launch.request
    if (
        document["v"] != FORMAT
        or launch.market not in get_args(Market)
        or request["ClientToken"] != launch.token
        or request["MaxCount"] != len(launch.attempts)
    ):
        raise ValueError("parts of it contradict each other")
    return launch


def _answer_document(answer: LaunchAnswer) -> dict[str, object]:
    return {
        "v": FORMAT,
        "instances": list(answer.instances),
        "error": [answer.error_kind, answer.error_code, answer.error_words],
        "at": answer.at,
        "forgotten": answer.forgotten,
    }


def _answer_of(document: dict[str, Any]) -> LaunchAnswer:
    kind, code, words = document["error"]
    if document["v"] != FORMAT or (kind is not None and kind not in get_args(Trouble)):
        raise ValueError("of another version")
    return LaunchAnswer(
        tuple(document["instances"]), kind, code, words, float(document["at"]), bool(document["forgotten"])
    )
