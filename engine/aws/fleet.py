"""The instances of one region: what EC2 says of them, and ending, stopping and tagging them.

Nothing here concludes from what is missing in an answer. EC2 is eventually consistent: an instance may be invisible for
a while after its launch, and a terminated one is forgotten after about an hour, its tags sooner.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from .cloud import Cloud, asked
from .errors import AwsError
from .model import TAG_LAUNCH, TAG_MANAGED, TAG_SWEEP_ID, Instance, InstanceState
from .pacing import Pacer

Health = Literal["ok", "impaired", "initializing", "insufficient-data"]
"""Of EC2's status checks."""
GONE: frozenset[InstanceState] = frozenset({"shutting-down", "terminated"})
"""States that only lead on to no instance at all."""

LIMIT = 60.0
"""Seconds that one question may take with all its repetitions."""
PAGE, MOST_PAGES = 1000, 1000
"""Instances on one page of an answer, the most there may be, and pages of one answer."""
FILTER_VALUES = 200
"""Values that one filter may hold ("List and filter using the CLI and API", Amazon EC2 User Guide)."""
BATCH = 100
"""Instances that one call names. EC2 takes 1000, recommends fewer, and lets all of a call fail for one of them."""
TAG_BATCH = 500
FIRST_LOOK, LAST_LOOK = 1.0, 5.0
"""Seconds between two looks at what is being terminated; they grow by half."""

_STATES = frozenset(cast("tuple[InstanceState, ...]", get_args(InstanceState)))
_ID = re.compile(r"\bi-[0-9a-f]+\b")
_AT = re.compile(r"\(([12]\d{3})-(0[1-9]|1[0-2])-(\d\d) (\d\d):(\d\d):(\d\d) GMT\)")
_WILD = re.compile(r"([*?\\])")
_NARROWED = frozenset({"not_found", "invalid", "other"})
"""Kinds of errors that may be the fault of single instances of a call."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of ending or stopping instances; the others have heard it.

    `unknown`: ids EC2 does not know. One that was launched a moment ago may be among them: ask again.
    `refused`: ids and what EC2 said (termination protection, a state in which it cannot be done).
    """

    unknown: tuple[str, ...] = ()
    refused: tuple[tuple[str, AwsError], ...] = ()


@dataclass(frozen=True, slots=True)
class Swept:
    """What `terminate_all` saw last: instances by state, the ids that are left, and what was refused.

    `ended`: all ids that were told to terminate.
    """

    states: Mapping[InstanceState, int]
    left: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    refused: tuple[tuple[str, AwsError], ...] = ()


class Fleet:
    """Asks EC2 in one region. All its methods raise `AwsError`; then nothing is known."""

    def __init__(self, cloud: Cloud, region: str, pacer: Pacer, *, limit: float = LIMIT) -> None:
        """`limit`: seconds each question may take."""
        self.region = region
        self._cloud, self._pacer, self._limit = cloud, pacer, limit

    # --- seeing --------------------------------------------------------------------------------------------------

    def instances(self, sweep_id: str) -> list[Instance]:
        """All instances of a sweep that EC2 still knows by their tag, ended ones too."""
        return self.tagged(TAG_SWEEP_ID, sweep_id)

    def launched(self, token: str) -> list[Instance]:
        """All instances that came from the launch `token`, by launch index."""
        return sorted(self.tagged(TAG_LAUNCH, token), key=lambda instance: instance.index)

    def all_managed(self) -> list[Instance]:
        """All instances that carry our mark, of whatever sweep."""
        return self._described("tag-key", [TAG_MANAGED])

    def tagged(self, key: str, value: str) -> list[Instance]:
        """All instances whose tag `key` is exactly `value`."""
        # In a filter `*` and `?` stand for anything; what is not meant literally here would be ended with the rest.
        found = self._described(f"tag:{key}", [_WILD.sub(r"\\\1", value)])
        return [instance for instance in found if (key, value) in instance.tags]

    def by_ids(self, ids: Iterable[str]) -> list[Instance]:
        """Those of these instances that EC2 knows."""
        # By a filter and not by name: one unknown id would fail the whole question.
        return [
            instance for batch in _batches(ids, FILTER_VALUES)
            for instance in self._described("instance-id", batch)
        ]  # fmt: skip

    def statuses(self, ids: Iterable[str]) -> dict[str, Health]:
        """What EC2's status checks say of those of these instances that run."""
        answers, _ = self._by_name("describe_instance_status", ids)
        return {
            str(item["InstanceId"]): _health(item)
            for answer in answers for item in cast("list[dict[str, Any]]", answer["InstanceStatuses"])
        }  # fmt: skip

    def console_output(self, instance_id: str) -> str:
        """The instance's console so far; empty while EC2 has none of it."""
        try:
            told = self._ask("get_console_output", InstanceId=instance_id, Latest=True)
        except AwsError as error:
            if error.code != "UnsupportedOperation":  # machines of the older, Xen kind have no latest output
                raise
            told = self._ask("get_console_output", InstanceId=instance_id)
        return str(told.get("Output") or "")

    # --- changing ------------------------------------------------------------------------------------------------

    def terminate(self, ids: Iterable[str]) -> Told:
        """Terminate these instances; the fault of one keeps no other alive."""
        return self._by_name("terminate_instances", ids)[1]

    def stop(self, ids: Iterable[str], *, hibernate: bool = False) -> Told:
        """Stop these instances, or hibernate those that were launched so that they can."""
        more = {"Hibernate": True} if hibernate else {}
        return self._by_name("stop_instances", ids, **more)[1]

    def tag(self, resources: Iterable[str], tags: Mapping[str, str]) -> None:
        """Set these tags on instances, volumes, …: an instance's cost is also its volumes' (`Instance.volumes`)."""
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        for batch in _batches(resources, TAG_BATCH):
            self._ask("create_tags", Resources=batch, Tags=pairs)

    def terminate_all(
        self,
        sweep_id: str,
        *,
        until_gone: float,
        settle: float = 0.0,
        spare: Callable[[Instance], bool] = lambda _: False,
        check: Callable[[], None] = lambda: None,
    ) -> Swept:
        """Terminate what is tagged with this sweep until nothing of it is left, but for what is to be spared.

        Looks and terminates again for `until_gone` seconds at most. `settle`: seconds for which nothing may be seen
        before that is believed, where something may just have been launched that cannot be seen yet. What may launch
        more has to be stopped before, and `check`, asked before anything is ended, raises if that holds no more. What
        EC2 refuses to terminate is not waited for.
        """
        clock = self._pacer.clock
        ends, pause = clock() + until_gone, FIRST_LOOK
        ended: dict[str, None] = {}
        none_since: float | None = None
        while True:
            seen = self.instances(sweep_id)
            left = [each.id for each in seen if each.state not in GONE and not spare(each)]
            if left:
                check()
            told = self.terminate(left)
            ended.update(dict.fromkeys(left))
            refused = {instance_id for instance_id, _ in told.refused}
            now = clock()
            if not refused.issuperset(left):
                none_since = None
            elif none_since is None:
                none_since = now
            if now >= ends or (none_since is not None and now - none_since >= settle):
                states: Counter[InstanceState] = Counter(instance.state for instance in seen)
                return Swept(states, tuple(left), tuple(i for i in ended if i not in refused), told.refused)
            self._pacer.pause(min(pause, ends - now), "TerminateInstances")
            pause = min(LAST_LOOK, pause * 1.5)

    # --- asking --------------------------------------------------------------------------------------------------

    def _ask(self, method: str, **request: object) -> dict[str, Any]:
        operation = method.title().replace("_", "")
        client = self._cloud.client("ec2", self.region)

        def once() -> dict[str, Any]:
            with asked(operation):
                return getattr(client, method)(**request)

        return self._pacer.call(operation, once, limit=self._limit)

    def _described(self, name: str, values: Sequence[str]) -> list[Instance]:
        """All instances that a filter lets through, page by page, so that a throttled page is asked again alone."""
        request: dict[str, object] = {"Filters": [{"Name": name, "Values": list(values)}], "MaxResults": PAGE}
        found: list[Instance] = []
        for _ in range(MOST_PAGES):
            answer = self._ask("describe_instances", **request)
            for reservation in answer["Reservations"]:
                found += [instance_of(item) for item in reservation["Instances"]]
            following = answer.get("NextToken")
            if not following:
                return found
            request["NextToken"] = following
        raise AwsError("other", "", f"an answer of more than {MOST_PAGES} pages", "DescribeInstances")

    def _by_name(
        self, method: str, ids: Iterable[str], **request: object
    ) -> tuple[list[dict[str, Any]], Told]:
        """Ask about instances by their ids, where one that EC2 objects to fails the whole call: go on without it.

        An objection that names no id is traced to its instance by halves.
        """
        answers: list[dict[str, Any]] = []
        unknown: list[str] = []
        refused: list[tuple[str, AwsError]] = []
        left = deque(_batches(ids, BATCH))
        while left:
            batch = left.popleft()
            try:
                answers.append(self._ask(method, InstanceIds=batch, **request))
            except AwsError as error:
                if error.kind not in _NARROWED:
                    raise
                named = set(batch).intersection(_ID.findall(error.words)) or (
                    set(batch) if len(batch) == 1 else set()
                )
                if not named:
                    middle = len(batch) // 2
                    left.extendleft((batch[middle:], batch[:middle]))
                    continue
                at_fault = [instance_id for instance_id in batch if instance_id in named]
                if error.kind == "not_found":
                    unknown += at_fault
                else:
                    refused += [(instance_id, error) for instance_id in at_fault]
                rest = [instance_id for instance_id in batch if instance_id not in named]
                if rest:
                    left.appendleft(rest)
        return answers, Told(tuple(unknown), tuple(refused))


def instance_of(item: Mapping[str, Any]) -> Instance:
    """One item of an answer to DescribeInstances or RunInstances. Raises `AwsError` for a state nobody knows."""
    state = item["State"]["Name"]
    if state not in _STATES:
        words = f"{item['InstanceId']} is said to be {state!r}, which is no state of an instance; update spawn-tui"
        raise AwsError("other", "", words, "DescribeInstances")
    tags = tuple((str(tag["Key"]), str(tag.get("Value", ""))) for tag in item.get("Tags", ()))
    reason = _part(item, "StateReason")
    disks = [_part(mapping, "Ebs") for mapping in item.get("BlockDeviceMappings", ())]
    return Instance(
        id=item["InstanceId"],
        state=state,
        type=item.get("InstanceType", ""),
        zone=_part(item, "Placement").get("AvailabilityZone", ""),
        market="spot" if item.get("InstanceLifecycle") == "spot" else "on-demand",
        launch=dict(tags).get(TAG_LAUNCH, ""),
        index=int(item["AmiLaunchIndex"]),
        launched_at=item["LaunchTime"].timestamp(),
        reason_code=reason.get("Code", ""),
        reason=reason.get("Message") or item.get("StateTransitionReason") or "",
        changed_at=transition_time(item.get("StateTransitionReason") or ""),
        public_ip=item.get("PublicIpAddress") or "",
        private_ip=item.get("PrivateIpAddress") or "",
        key_name=item.get("KeyName") or "",
        ami=item.get("ImageId", ""),
        volumes=tuple(disk["VolumeId"] for disk in disks if "VolumeId" in disk),
        tags=tags,
    )


def transition_time(words: str) -> float | None:
    """Seconds since 1970 at which EC2 says it changed the state: "User initiated (2026-11-23 10:00:00 GMT)"
    ("StateTransitionReason", Amazon EC2 API Reference). None if it says nothing of that.
    """
    found = _AT.search(words)
    return float(timegm(tuple(map(int, found.groups())))) if found else None


def _part(item: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A structure within an answer; empty where EC2 left it out."""
    return cast("Mapping[str, Any]", item.get(key) or {})


def _health(item: Mapping[str, Any]) -> Health:
    """The worst of the checks of an instance, its machine and its disks."""
    checks = ("InstanceStatus", "SystemStatus", "AttachedEbsStatus")
    words = {_part(item, check).get("Status") for check in checks}
    for health in ("impaired", "initializing", "ok"):
        if health in words:
            # One check that has not answered yet spoils a good word, and not a bad one.
            return "insufficient-data" if health == "ok" and "insufficient-data" in words else health
    return "insufficient-data"


def _batches(ids: Iterable[str], most: int) -> list[list[str]]:
    """Each id once, at most `most` to a batch."""
    once = list(dict.fromkeys(ids))
    return [once[at : at + most] for at in range(0, len(once), most)]
