"""From attempts to instances: what must be in place, the request that is written down, and the answer to it.

One group of attempts with equal wishes is one call: RunInstances gives each instance its place in the launch
(AmiLaunchIndex), and the pack in the bucket says what is done at each place. All of this runs in threads of a pool;
what it comes to is handed back and decides nothing.
"""

from __future__ import annotations

import getpass
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from ...state.disk import DIR_MODE
from ..aws.bootstrap import user_data
from ..aws.bucket import SweepBucket
from ..aws.check import resolved
from ..aws.cloud import Cloud
from ..aws.errors import TEMPORARY, AwsError
from ..aws.grants import UploadGrant, too_short
from ..aws.images import disk_for, image_for
from ..aws.launch_request import Variant, build_request, own_tags, token_of, variants
from ..aws.launches import LaunchAnswer, LaunchRequest, LaunchStore, send
from ..aws.model import InstanceSpec
from ..aws.pacing import Pacer, Stopped
from ..aws.pack import ATTEMPTS_THERE, PREVIOUS_THERE, PROJECT_THERE, PackedAttempt, PackSettings, build_pack
from ..aws.project_upload import PackedProject, pack_project
from ..aws.quotas import quota_words
from ..aws.roles import ensure_profile, is_pending, profile_of
from ..aws.spec_values import SpecError
from ..plan.problems import PlanError
from ..project.files import ProjectError, ProjectRules
from ..project.project import Project
from .base import Job, SourceContext
from .place import attempt_name

PROFILE_KNOWN, PROFILE_PAUSE = 120.0, 5.0
"""Seconds after which EC2 knows every instance profile, and in between which it is asked again."""
T = TypeVar("T")

PACKINGS, SETTLE = 3, 1.0
"""How often a project is packed in which files change meanwhile, and seconds in between."""
DISK = 8
"""GiB of a root volume of which nobody says how large it is."""
GROUP = 50
"""Instances of one call, at most."""
WAIT = """#!/bin/sh
# There is nothing to run: the instance is somebody's to use until its time is over, or `spored complete`.
while :; do sleep 3600; done
"""
LAUNCH_PERMISSIONS = "ec2:RunInstances, ec2:CreateTags or iam:PassRole"
"""What a launch takes."""
LEAST_GRANT = 1800.0
"""Seconds that what an instance uploads with must hold at least, if it may not hold until its end."""
SEND_LIMIT = 180.0
"""Seconds a launch may be repeated before somebody is told that it does not go."""


@dataclass(slots=True)
class Group:
    """Attempts that one call launches: their specs are equal."""

    batch: str
    spec: InstanceSpec
    jobs: list[Job]
    tried: list[Variant] = field(default_factory=list[Variant])
    variant: Variant | None = None
    """What is tried now; None: the first of what the spec allows."""
    request: LaunchRequest | None = None
    """As it was written down, once it was: nobody knows what came of it, and it is sent again."""
    behind: list[Job] = field(default_factory=list[Job])
    """Jobs that are launched only if these could be (a quota is felt for by halves)."""


@dataclass(slots=True)
class Outcome:
    """What came of a group. Neither `answer` nor `error`: nothing was left to launch."""

    group: Group
    answer: LaunchAnswer | None = None
    error: AwsError | None = None
    note: str = ""
    """What somebody should know of it though it went well."""
    hopeless: list[tuple[Job, str]] = field(default_factory=list[tuple[Job, str]])
    """Jobs that cannot be launched as they are, and why."""


class Launcher:
    """Launches groups for one source; safe in many threads."""

    def __init__(
        self,
        name: str,
        options: Mapping[str, str],
        context: SourceContext,
        cloud: Cloud,
        bucket: SweepBucket,
        pacer: Pacer,
        store: LaunchStore,
        stored: Sequence[LaunchRequest],
    ) -> None:
        """`stored`: what `store` holds already; its numbers are not used again."""
        self._name, self._options, self._context = name, options, context
        self._cloud, self._bucket, self._pacer, self._store = cloud, bucket, pacer, store
        self._lock = threading.Lock()
        self._gate = threading.Lock()
        self._closed = False
        self._has_bucket = False
        self._numbers: dict[str, int] = {}
        self._region = options["region"]
        self._known: dict[InstanceSpec, InstanceSpec] = {}
        self._project: tuple[str, str] | None = None
        self._owner = ""
        for request in stored:
            self._numbers[request.batch] = max(self._numbers.get(request.batch, 0), request.try_number)

    def close(self) -> None:
        """From now on nothing new is written down, and so nothing new is launched: another engine may hold the lock."""
        with self._gate:
            self._closed = True

    def launch(self, group: Group) -> Outcome:
        """Ask for these instances. Raises nothing of AWS: that is part of the outcome."""
        outcome = Outcome(group)
        try:
            if group.request is None:
                self._prepare(group, outcome)
            if group.request is not None:
                outcome.answer = self._send(group.request, new_profile=bool(group.spec.iam_policy))
                outcome.answer = self._explained(outcome.answer, group.request)
                self._store.answer(group.request.token, outcome.answer)
        except AwsError as error:
            if error.kind in TEMPORARY or group.request is not None:
                outcome.error = error
            else:
                # Nothing was asked for yet: it is as good as the answer to the launch.
                words = _with_permission(error.words, error.action)
                outcome.answer = LaunchAnswer((), error.kind, error.code, words, time.time())
        return outcome

    def _explained(self, answer: LaunchAnswer, request: LaunchRequest) -> LaunchAnswer:
        """With what AWS does not always say of a refusal: the permission that is missing, the quota and its value."""
        words = answer.error_words
        if answer.error_kind == "permission":
            words = _with_permission(words, LAUNCH_PERMISSIONS)
        elif answer.error_kind == "quota":
            quota = quota_words(self._cloud, self._region, request.type, request.market, self._asked)
            words = f"{words.rstrip('.')}; {quota}" if quota else words
        return replace(answer, error_words=words)

    def _send(self, request: LaunchRequest, *, new_profile: bool) -> LaunchAnswer:
        """`new_profile`: it may have been made a moment ago, and EC2 does not know it yet; that passes."""
        ends = time.monotonic() + (PROFILE_KNOWN if new_profile else 0.0)
        while True:
            self._context.check()
            answer = send(request, self._cloud, self._region, self._pacer, SEND_LIMIT)
            unknown = is_pending(
                AwsError(answer.error_kind or "other", answer.error_code, answer.error_words)
            )
            if not unknown or time.monotonic() >= ends:
                return answer
            self._pacer.pause(PROFILE_PAUSE, "RunInstances")

    def _prepare(self, group: Group, outcome: Outcome) -> None:
        """Write the request down, with everything it needs in place."""
        try:
            spec = group.spec = self._resolved(group.spec)
        except SpecError as error:
            outcome.hopeless += [(job, str(error)) for job in group.jobs]
            return
        group.variant = group.variant or next((one for one in variants(spec) if one not in group.tried), None)
        if group.variant is None:
            raise AwsError("capacity", "InsufficientInstanceCapacity", "every type that is allowed was tried")
        self._ensure_bucket()
        packed = self._packed(group, outcome)
        if not packed:
            return
        kind = group.variant.type
        image = self._asked("DescribeImages", lambda: image_for(spec, kind, self._cloud))
        profile = self._asked("GetInstanceProfile", lambda: self._profile(spec))
        token, number = self._token(group.batch)
        try:
            project = self._project_there() if any(attempt.argv for attempt in packed) else ("", "")
        except ProjectError as error:
            outcome.hopeless += [(job, str(error)) for job in group.jobs]
            return
        settings = PackSettings(
            spec.ttl, spec.idle_timeout, spec.on_complete, spec.completion_delay, *project
        )
        try:
            content = build_pack(packed, settings, self._context.layout.runner.read_bytes())
            url, sha = self._bucket.put_pack(token, content)
            upload, outcome.note = self._granted(spec, group.jobs)
            script = user_data(
                sweep_id=self._context.sweep_id, token=token, region=self._bucket.region,
                endpoint=self._endpoint(),
                bucket=self._bucket.name, prefix=f"sweeps/{self._context.sweep_id}", pack_url=url, pack_sha256=sha,
                upload=upload, ttl=spec.ttl,
                attempts=[attempt.name for attempt in packed],
            )  # fmt: skip
            # The size is said outright, so that what is written down is what will be paid for.
            size = (
                self._asked("DescribeInstanceTypes", lambda: disk_for(spec, kind, image, self._cloud)) or DISK
            )
            sized = replace(spec, disk_size=size)
            arguments = build_request(
                sized, type=group.variant.type, market=group.variant.market, zone=group.variant.zone, ami=image.id,
                root_device=image.root_device, profile=profile, token=token, user_data=script, tags=self._tags(),
                attempts=[(job.ref.task, job.ref.attempt) for job in group.jobs],
            )  # fmt: skip
        except ValueError as error:
            outcome.hopeless += [(job, str(error)) for job in group.jobs]
            group.jobs.clear()
            return
        request = LaunchRequest(
            token, self._name, group.batch, tuple((job.ref.task, job.ref.attempt) for job in group.jobs),
            arguments, time.time(), number, group.variant.market, group.variant.type,
        )  # fmt: skip
        with self._gate:
            if self._closed:
                raise Stopped("RunInstances")
            self._context.check()
            try:
                self._store.write(request)
            except ValueError as error:
                raise AwsError("other", "", str(error), "RunInstances") from error
        group.request = request

    def _endpoint(self) -> str:
        """Where S3 is, if it is not AWS's own."""
        settings = (self._cloud.played, *map(os.environ.get, ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")))
        return next((endpoint for endpoint in settings if endpoint), "")

    def _granted(self, spec: InstanceSpec, jobs: Sequence[Job]) -> tuple[UploadGrant, str]:
        """With what the instances upload, and in words that it may not hold until their end. Raises `AwsError` where it
        ends so soon that little would come home.
        """
        longest = max((job.timeout or 0.0 for job in jobs), default=0.0)

        def granted() -> tuple[UploadGrant, str]:
            grant, now = self._bucket.grant(bool(spec.iam_policy)), time.time()
            return grant, too_short(
                grant, ttl=spec.ttl, timeout=longest, now=now, has_role=bool(spec.iam_role)
            )

        grant, why = granted()
        if why:
            self._cloud.renew()  # somebody may have logged in again since
            grant, why = granted()
        if why and grant.expires_at is not None and grant.expires_at - time.time() < LEAST_GRANT:
            raise AwsError("credentials", "", why)
        return grant, why

    def _asked(self, operation: str, function: Callable[[], T]) -> T:
        """What has to be known before a launch; what fails for a time is asked again, as the launch is."""
        return self._pacer.call(operation, function, limit=SEND_LIMIT)

    def _resolved(self, spec: InstanceSpec) -> InstanceSpec:
        """With types for patterns and ids for names; asked once for each spec. Raises `SpecError`."""
        with self._lock:
            if spec not in self._known:
                self._known[spec] = self._asked("DescribeInstanceTypes", lambda: resolved(spec, self._cloud))
            return self._known[spec]

    def _packed(self, group: Group, outcome: Outcome) -> list[PackedAttempt]:
        packed: list[PackedAttempt] = []
        kept: list[Job] = []
        for job in group.jobs:
            name = attempt_name(job.ref)
            previous: tuple[tuple[str, str], ...] = ()
            if job.previous_source == self._name:
                before = attempt_name(job.ref._replace(attempt=job.previous_attempt))
                # Names that lead out of a directory stay where they are.
                previous = tuple(
                    (path, url) for path, url in self._bucket.presigned(before) if ".." not in path.split("/")
                )
            try:
                call = job.render(
                    task_dir=f"{ATTEMPTS_THERE}/{name}", project=PROJECT_THERE,
                    previous_dir=PREVIOUS_THERE if previous else None,
                )  # fmt: skip
            except PlanError as error:
                outcome.hopeless.append((job, str(error)))
                continue
            script = group.spec.user_data
            if not (script or call.argv):
                script = WAIT
            files = {path: text.encode(errors="surrogateescape") for path, text in call.files.items()}
            packed.append(
                PackedAttempt(
                    name, call.argv, call.env, files, script, job.timeout, previous,
                    workdir=call.workdir,
                )
            )  # fmt: skip
            kept.append(job)
        group.jobs = kept
        return packed

    def _profile(self, spec: InstanceSpec) -> str:
        if spec.iam_policy:
            return ensure_profile(self._cloud, spec.iam_policy, self._bucket.name)
        return profile_of(spec.iam_role, self._cloud) if spec.iam_role else ""

    def _project_there(self) -> tuple[str, str]:
        """URL and checksum of the project, which is uploaded once. Raises `ProjectError`."""
        with self._lock:
            if self._project is None:
                rules = ProjectRules.of_options(self._options)
                archive = self._context.layout.root / "ec2" / f"{self._name}.project.tar.gz"
                archive.parent.mkdir(mode=DIR_MODE, exist_ok=True)
                packed = self._packed_project(rules, archive)
                try:
                    url = self._bucket.put_project(packed.sha256, packed.path)
                finally:
                    archive.unlink()
                self._project = (url, packed.sha256)
            return self._project

    def _ensure_bucket(self) -> None:
        with self._lock:
            if not self._has_bucket:
                self._bucket.ensure()
                self._has_bucket = True

    def _packed_project(self, rules: ProjectRules, archive: Path) -> PackedProject:
        """Somebody may be writing in it just now: that passes, or is told."""
        for _ in range(PACKINGS - 1):
            try:
                return pack_project(Project(self._context.project, rules), archive)
            except ProjectError:
                time.sleep(SETTLE)
        return pack_project(Project(self._context.project, rules), archive)

    def _token(self, batch: str) -> tuple[str, int]:
        """A token that served for nothing yet, and which of the batch's it is."""
        with self._lock:
            number = self._numbers[batch] = self._numbers.get(batch, 0) + 1
        return token_of(self._context.sweep_id, self._name, batch, number), number

    def _tags(self) -> dict[str, str]:
        if not self._owner:
            arn = self._asked("GetCallerIdentity", self._cloud.caller)[1]
            self._owner = arn.rpartition("/")[2] or getpass.getuser()
        context = self._context
        return own_tags(
            sweep_id=context.sweep_id, sweep_name=context.sweep_name, source=self._name, owner=self._owner,
            project=context.project.name,
        )  # fmt: skip


def _with_permission(words: str, actions: str) -> str:
    """AWS does not always name what is missing."""
    if not actions or "perform: " in words or actions in words:
        return words
    return f"{words.rstrip('.')}; the missing permission is {actions}"


def split(jobs: Sequence[Job], size: int = GROUP) -> list[list[Job]]:
    """Groups of at most `size`, as even as can be."""
    count = -(-len(jobs) // size)
    return [list(jobs[n * len(jobs) // count : (n + 1) * len(jobs) // count]) for n in range(count)]
