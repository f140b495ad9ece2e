"""Instances of AWS EC2 in one region: each attempt has one of its own.

What an instance is asked for is written down before it is asked (`aws.launches`); an engine that dies over it sends the
same request again and gets the same instances. Every look is one DescribeInstances for all instances of the sweep in
this region. Launching is in `ec2_groups`, what a look says in `ec2_looks`, ending in `ec2_terminate`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from ...state.disk import LocalDisk
from ..aws.account import keep_account, other_account
from ..aws.bucket import SweepBucket
from ..aws.cloud import Cloud
from ..aws.errors import TEMPORARY, AwsError
from ..aws.fleet import Fleet
from ..aws.homeward import Homeward
from ..aws.launches import LaunchAnswer, LaunchDamaged, LaunchRequest, LaunchStore
from ..aws.model import InstanceSpec
from ..aws.pacing import Pacer
from ..aws.spec import SpecDefaults, SpecError, spec_of
from ..collect.rules import CollectRules
from ..events import Ref
from ..observe import SawEnd, SawNothing
from .base import Job, SourceContext
from .ec2_groups import PARALLEL, Groups
from .ec2_labels import Labels
from .ec2_launch import Group, Launcher
from .ec2_live import Attempts, Live
from .ec2_looks import Looks
from .ec2_rates import GetPrice, Rates, price_of
from .ec2_terminate import Terminator
from .place import attempt_name
from .registry import SourceSpec
from .threaded import ThreadedSource

T = TypeVar("T")

POLL = 10.0
"""Seconds between two looks, unless the config says `poll_interval`."""
QUICK, QUICK_FOR = 2.0, 30.0
"""Seconds between two looks for some seconds after something was launched or ended."""
CALL_LIMIT = 60.0
"""Seconds that one question may take with all its repetitions."""


LOG_IN = "; log in again, e.g. with: aws sso login"


class Away(Exception):
    """AWS does not answer, or not us now."""


class Refused(Exception):
    """AWS answers, and lets us do nothing; the text says the cause and the remedy."""


class Ec2Source(ThreadedSource):
    """See `Source`. `cloud`, `price`: what is asked, if it is not to be made from the options."""

    AWAY, REFUSED = (Away,), (Refused,)

    def __init__(
        self,
        spec: SourceSpec,
        context: SourceContext,
        cloud: Cloud | None = None,
        price: GetPrice | None = None,
    ) -> None:
        super().__init__(spec, context)
        options = spec.options
        self.region = options["region"]
        self._cloud = cloud or Cloud(options.get("profile", ""))
        self._pacer = Pacer()
        self._fleet = Fleet(self._cloud, self.region, self._pacer)
        self._bucket = SweepBucket(
            self._cloud, self.region, context.sweep_id, options.get("bucket", ""), call=self._paced
        )
        self._store = LaunchStore(context.layout.root / "ec2" / self.name, LocalDisk())
        self._launcher: Launcher | None = None
        self._defaults = SpecDefaults.of(options)
        self._poll = float(options.get("poll_interval") or POLL)
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix=f"launches of {self.name}")
        rates = Rates(self.region, price or price_of(self._cloud, self._paced), self._pool)
        self._attempts = Attempts(self.tell, rates)
        self._groups = Groups(self._attempts, self._pool, self._stir.set)
        self._terminator = Terminator(self._attempts, self._fleet, context)
        self._looks = Looks(self._attempts, self._fleet, self._bucket, self._terminator, context)
        self._labels = Labels(self._attempts, self._fleet, context.sweep_name or context.sweep_id)
        self._homeward: Homeward | None = None
        self._fresh = True
        """Whether nobody has looked yet: an engine before this one may have left something."""

    def _paced(self, operation: str, function: Callable[[], T]) -> T:
        return self._pacer.call(operation, function, limit=CALL_LIMIT)

    # --- orders --------------------------------------------------------------------------------------------------

    def do_connect(self) -> None:
        self._cloud.renew()
        with self._talking():
            self._require_account()
            if self._launcher is None:
                stored = [request for request, _ in self._store.open()]
                for request in stored:
                    self._attempts.know(request)
                self._launcher = Launcher(
                    self.name, self.options, self.context, self._cloud, self._bucket, self._pacer, self._store, stored
                )  # fmt: skip
        for live in self._attempts:
            live.running = False  # while nobody answered it was unknown: that it runs is news again

    def _require_account(self) -> None:
        account, root = self._cloud.caller()[0], self.context.layout.root
        other = other_account(root, self.name, account)
        if other:
            raise Refused(other)
        keep_account(root, self.name, account)

    def do_launch(self, batch: str, jobs: Sequence[Job], limit: int) -> None:
        lives: list[Live] = []
        for job in jobs:
            if job.ref in self._attempts:
                continue
            try:
                spec = spec_of(job.launch, self.region, self._defaults)
            except SpecError as error:
                self.tell(SawNothing(*job.ref, str(error), final=True))
                continue
            lives.append(Live(job, attempt_name(job.ref), spec))
        self._groups.enter(batch, lives)

    def do_limit(self, batch: str, count: int) -> None:
        """There is no queue here: what is launched runs."""

    def do_withdraw(self, attempts: Sequence[Ref]) -> None:
        self._groups.withdraw(attempts)

    def do_cancel(self, attempts: Sequence[Ref], *, force: bool) -> None:
        for live in self._attempts.known(attempts):
            live.stopping = True
        self._attempts.stir()

    def do_adopt(self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]) -> None:
        with self._talking():
            stored = self._store.open()
        latest: dict[tuple[int, int], tuple[LaunchRequest, LaunchAnswer | None, int]] = {}
        # By number and not by time: a clock may have been set back between two launches.
        for request, answer in sorted(stored, key=lambda launch: launch[0].try_number):
            for index, attempt in enumerate(request.attempts):
                latest[attempt] = (request, answer, index)
        fresh: dict[str, list[Job]] = {}
        again: dict[str, Group] = {}
        for job in jobs:
            if job.ref in self._attempts:
                continue
            stopping = job.ref in cancelling
            live = Live(job, attempt_name(job.ref), self._spec(job), stopping=stopping, adopted=True)
            request, answer, index = latest.get((job.ref.task, job.ref.attempt), (None, None, 0))
            if request is not None and answer is not None and answer.instance(index):
                self._attempts.add(live)
                self._attempts.has_instance(live, request, answer.instance(index))
            elif request is not None and answer is None:
                # Nobody knows whether it was sent: it is sent again, as it was.
                self._attempts.add(live)
                if request.token not in again:
                    again[request.token] = self._group_of(request, jobs)
                    self._groups.repeat(again[request.token])
                live.group = again[request.token]
            elif answer is not None and answer.forgotten:
                self._attempts.add(live)
                live.forgotten = "of its launch"
            elif live.stopping:
                self.tell(SawNothing(*job.ref, "cancelled before it was launched"))
            elif job.ref in running:
                text = "it ran, and nothing is written down of the launch of its instance"
                self.tell(SawEnd(*job.ref, failure="source_lost", message=text))
            else:
                fresh.setdefault(job.batch, []).append(job)
        for batch, left in fresh.items():
            self.do_launch(batch, left, len(left))

    def _spec(self, job: Job) -> InstanceSpec | None:
        """What its instance was asked to be; None if that cannot be said any more (the source was described anew)."""
        try:
            return spec_of(job.launch, self.region, self._defaults)
        except SpecError:
            return None

    def _group_of(self, request: LaunchRequest, jobs: Sequence[Job]) -> Group:
        """The launch as it was, with those of its attempts that are still somebody's."""
        wanted = {(job.ref.task, job.ref.attempt): job for job in jobs}
        mine = [wanted[attempt] for attempt in request.attempts if attempt in wanted]
        spec = self._spec(mine[0]) or InstanceSpec(self.region, (request.type,))
        return Group(request.batch, spec, mine, variant=request.variant, request=request)

    def _send_back(self, reason: str) -> list[SawNothing]:
        return [*super()._send_back(reason), *self._groups.send_back(reason)]

    # --- rounds --------------------------------------------------------------------------------------------------

    def pause(self) -> float:
        hurried = time.monotonic() < self._attempts.stirred_at + QUICK_FOR
        return min(QUICK, self._poll) if hurried or self._groups.busy else self._poll

    def do_round(self) -> None:
        assert self._launcher is not None, "nothing is launched before AWS has answered"
        with self._talking():
            self._groups.receive()
            self._groups.send(self._launcher)
            if self._fresh or self._terminator.waits or self._attempts.on_instances():
                self._look()
            self._looks.look_for_forgotten()

    def _look(self) -> None:
        instances = {instance.id: instance for instance in self._fleet.instances(self.context.sweep_id)}
        now = time.monotonic()
        if not self._groups.unsettled:  # else one of those may be what nobody seems to wait for
            self._terminator.find_strays(instances.values())
        # First: what costs money ends though a bucket may not answer.
        if not self._closing and self._terminator.end(instances, now):
            self._attempts.stir()
        self._looks.look(instances, now)
        self._labels.set()
        self._fresh = self._groups.unsettled

    # --- coming home ---------------------------------------------------------------------------------------------

    def collect(self, jobs: Sequence[Job], *, failed: frozenset[Ref]) -> None:
        if self._homeward is None:
            rules = CollectRules.of(self.options)
            self._homeward = Homeward(self._bucket, self.context.layout, self.brought, rules)
        for job in jobs:
            self._homeward.add(attempt_name(job.ref), job.ref, job.directory, job.ref in failed)

    def check_collecting(self) -> None:
        if self._homeward is not None:
            self._homeward.check()

    def end_collecting(self) -> None:
        if self._homeward is not None:
            self._homeward.close()

    def do_close(self) -> None:
        if self._launcher is not None:
            self._launcher.close()
        self._pacer.stop.set()
        self._looks.close()
        self._labels.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _talking(self) -> Generator[None, None, None]:
        """What AWS says in a source's words."""
        try:
            yield
        except LaunchDamaged as error:
            raise Refused(f"{self.name}: {error}") from error
        except AwsError as error:
            if self._cloud.played and error.kind == "unreachable":
                raise Refused(
                    f"{self.name}: the AWS that was played at {self._cloud.played} has gone, with its instances; "
                    f"start another demo with: spawn-tui demo --ec2"
                ) from error
            if error.kind == "credentials":
                remedy = "" if "aws s" in str(error) else LOG_IN  # some say themselves what helps
                raise Away(f"AWS takes no credentials ({error}){remedy}") from error
            if error.kind in TEMPORARY:
                raise Away(str(error)) from error
            missing = f"; the missing permission is {error.action}" if error.action else ""
            raise Refused(f"{self.name}: {error}{missing}") from error
