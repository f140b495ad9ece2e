"""Instances of AWS EC2 in one region: each attempt has one of its own.

What an instance is asked for is written down before it is asked (`aws.launches`); an engine that dies over it sends the
same request again and gets the same instances. Every look is one DescribeInstances for all instances of the sweep in
this region. An instance that is over has left a report in the bucket, or EC2 says why it went; until one of both is
seen, nothing has ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from ...state.disk import LocalDisk
from ..aws.bucket import Call, SweepBucket
from ..aws.cloud import Cloud
from ..aws.errors import TEMPORARY, AwsError, Trouble
from ..aws.fleet import GONE, Fleet
from ..aws.homeward import Homeward
from ..aws.launch_request import Variant, next_variant
from ..aws.launches import LaunchAnswer, LaunchDamaged, LaunchRequest, LaunchStore
from ..aws.lookout import deadline
from ..aws.model import ALIVE, TAG_SWEEP_INDEX, Instance, InstanceSpec, Market, Report
from ..aws.pacing import Pacer
from ..aws.prices import Prices
from ..aws.spec import SpecDefaults, SpecError, spec_of
from ..collect.rules import CollectRules
from ..events import Ref
from ..observe import CannotTell, SawEnd, SawHealth, SawNothing, SawRunning, SourceFull
from .base import Job, SourceContext
from .ec2_ends import reported, unreported, vanished
from .ec2_launch import Group, Launcher, Outcome, split
from .place import attempt_name
from .registry import SourceSpec
from .threaded import ThreadedSource

T = TypeVar("T")

SETTLED = frozenset({"terminated", "stopped"})
POLL = 10.0
"""Seconds between two looks, unless the config says `poll_interval`."""
QUICK, QUICK_FOR = 2.0, 30.0
"""Seconds between two looks for some seconds after something was launched or ended."""
PARALLEL = 50
"""Launches under way at a time."""
UNSEEN = 300.0
"""Seconds an instance may be missing from what EC2 says before it is asked for by its id, and believed to be gone. What
was just launched may be invisible for a while ("Ensuring consistency", Amazon EC2 API Reference)."""
BOOT = 600.0
"""Seconds a running instance may take until its first sign of life is in the bucket."""
PATIENT = 3
"""Times `BOOT` for which an instance is waited for whose status checks are good: it may be fetching much."""
OVERDUE = 900.0
"""Seconds after the end of its time to live at which an instance is ended from outside."""
MOST_WORDS = 400
"""Characters of what AWS says that are kept: a refusal may come with kilobytes of encoded details."""
LINGER = 300.0
"""Seconds an instance may go on after its report before it is ended from outside."""
AT_ONCE = -math.inf
"""Since when an instance goes on that is not waited for."""
CALL_LIMIT = 60.0
"""Seconds that one question may take with all its repetitions."""
AGAIN = 15.0
"""Seconds until a launch of which nobody knows what came is sent again."""


class Away(Exception):
    """AWS does not answer, or not us now."""


class Refused(Exception):
    """AWS answers, and lets us do nothing; the text says the cause and the remedy."""


class GetPrice(Protocol):
    def __call__(self, region: str, instance_type: str, market: Market) -> float | None: ...


@dataclass(slots=True)
class _Live:
    """An attempt that may be alive. Times are monotonic seconds, unless they are EC2's."""

    job: Job
    name: str
    spec: InstanceSpec | None = None
    group: Group | None = None
    """Its launch, as long as that is under way."""
    instance: str = ""
    price: Future[float | None] | None = None
    priced: bool = False
    """Whether its price was told."""
    since: float = 0.0
    """Since when it has its instance."""
    seen: Instance | None = None
    seen_at: float = 0.0
    running: bool = False
    stopping: bool = False
    signs: bool = False
    """Whether anything of it was found in the bucket."""
    sign_due: float = 0.0
    look_due: float = 0.0
    tagged: bool = False
    told_unknown: bool = False
    forgotten: str = ""
    """What EC2 has forgotten it of, in words: it was launched, and nobody knows its instance any more."""

    @property
    def rate(self) -> float | None:
        """USD per hour; None as long as nobody has said it."""
        asked = self.price
        return asked.result() if asked is not None and asked.done() and not asked.cancelled() else None


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
        self._price = price or _price_of(self._cloud, self._paced)
        self._defaults = SpecDefaults.of(options, {})
        self._poll = float(options.get("poll_interval") or POLL)
        self._live: dict[Ref, _Live] = {}
        self._groups: list[Group] = []
        """What is to be launched, in order."""
        self._unsure: list[tuple[float, Group]] = []
        """Launches of which nobody knows what came, with when they are sent again."""
        self._sending: dict[Future[Outcome], Group] = {}
        self._over: dict[str, tuple[float, str]] = {}
        """Instances whose attempt has ended, with since when, and how they shall end."""
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix=f"launches of {self.name}")
        self._prices: dict[tuple[str, Market], Future[float | None]] = {}
        self._homeward: Homeward | None = None
        self._labels = True
        self._launches: dict[str, str] = {}
        """How the instances of a launch of this sweep end, by its token; other instances are none of ours."""
        self._fresh = True
        """Whether nobody has looked yet: an engine before this one may have left something."""
        self._quick_until = 0.0

    def _paced(self, operation: str, function: Callable[[], T]) -> T:
        return self._pacer.call(operation, function, limit=CALL_LIMIT)

    # --- orders --------------------------------------------------------------------------------------------------

    def do_connect(self) -> None:
        self._cloud.renew()
        with _talking(self.name):
            self._require_account(self._cloud.caller()[0])
            if self._launcher is None:
                stored = [request for request, _ in self._store.open()]
                for request in stored:
                    self._know(request)
                self._launcher = Launcher(
                    self.name, self.options, self.context, self._cloud, self._bucket, self._pacer, self._store, stored
                )  # fmt: skip
        for live in self._live.values():
            live.running = False  # while nobody answered it was unknown: that it runs is news again

    def _require_account(self, account: str) -> None:
        """What was launched in one account cannot be seen with the credentials of another; it has not gone for that."""
        path = self.context.layout.root / "ec2" / f"{self.name}.account"
        try:
            known = path.read_text().strip()
        except FileNotFoundError:
            disk = LocalDisk()
            disk.make_dir(path.parent)
            disk.replace(path, f"{account}\n".encode())
            return
        if known != account:
            raise Refused(
                f"{self.name} was begun in account {known}, and these credentials are of {account}: "
                f"set AWS_PROFILE (or log in) as before"
            )

    def do_launch(self, batch: str, jobs: Sequence[Job], limit: int) -> None:
        self._enter(batch, [_Live(job, attempt_name(job.ref)) for job in jobs if job.ref not in self._live])

    def _enter(self, batch: str, lives: Sequence[_Live]) -> None:
        """Put these where the next round launches them from."""
        by_spec: dict[InstanceSpec, list[Job]] = {}
        for live in lives:
            try:
                live.spec = spec_of(live.job.launch, self.region, self._defaults)
            except SpecError as error:
                self.tell(SawNothing(*live.job.ref, str(error), final=True))
                continue
            self._live[live.job.ref] = live
            by_spec.setdefault(live.spec, []).append(live.job)
        for spec, jobs in by_spec.items():
            for part in split(jobs):
                self._add(Group(batch, spec, part))
        self._hurry()

    def _add(self, group: Group) -> None:
        self._groups.append(group)
        for job in (*group.jobs, *group.behind):
            self._live[job.ref].group = group

    def do_limit(self, batch: str, count: int) -> None:
        """There is no queue here: what is launched runs."""

    def do_withdraw(self, attempts: Sequence[Ref]) -> None:
        """There is no queue here: nothing waits that could be taken back."""

    def do_adopt(self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]) -> None:
        with _talking(self.name):
            stored = self._store.open()
        latest: dict[tuple[int, int], tuple[LaunchRequest, LaunchAnswer | None, int]] = {}
        # By number and not by time: a clock may have been set back between two launches.
        for request, answer in sorted(stored, key=lambda launch: launch[0].try_number):
            for index, attempt in enumerate(request.attempts):
                latest[attempt] = (request, answer, index)
        fresh: dict[str, list[_Live]] = {}
        again: dict[str, Group] = {}
        for job in jobs:
            if job.ref in self._live:
                continue
            live = _Live(job, attempt_name(job.ref), self._spec(job), stopping=job.ref in cancelling)
            request, answer, index = latest.get((job.ref.task, job.ref.attempt), (None, None, 0))
            if request is not None and answer is not None and answer.instance(index):
                self._live[job.ref] = live
                self._has_instance(live, request, answer.instance(index))
            elif request is not None and answer is None:
                # Nobody knows whether it was sent: it is sent again, as it was.
                self._live[job.ref] = live
                again.setdefault(request.token, self._group_of(request, jobs))
                live.group = again[request.token]
            elif answer is not None and answer.forgotten:
                self._live[job.ref] = live
                live.forgotten = "of its launch"
            elif live.stopping:
                self.tell(SawNothing(*job.ref, "cancelled before it was launched"))
            elif job.ref in running:
                text = "it ran, and nothing is written down of the launch of its instance"
                self.tell(SawEnd(*job.ref, failure="source_lost", message=text))
            else:
                fresh.setdefault(job.batch, []).append(live)
        self._unsure += [(0.0, group) for group in again.values()]
        for batch, lives in fresh.items():
            self._enter(batch, lives)

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

    def do_cancel(self, attempts: Sequence[Ref], *, force: bool) -> None:
        for ref in attempts:
            if ref in self._live:
                self._live[ref].stopping = True
        self._hurry()

    # --- launching -----------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Hand what is due to the pool."""
        assert self._launcher is not None, "nothing is launched before AWS has answered"
        now = time.monotonic()
        self._drop_unwanted()
        due = [group for at, group in self._unsure if at <= now]
        self._unsure = [(at, group) for at, group in self._unsure if at > now]
        room = PARALLEL - len(self._sending) - len(due)
        fresh, self._groups = self._groups[: max(0, room)], self._groups[max(0, room) :]
        for group in (*due, *fresh):
            future = self._pool.submit(self._launcher.launch, group)
            self._sending[future] = group
            future.add_done_callback(lambda _: self._stir.set())

    def _drop_unwanted(self) -> None:
        """What was cancelled before it was asked for never will be."""
        for group in self._groups:
            for jobs in (group.jobs, group.behind):
                for job in [job for job in jobs if self._live[job.ref].stopping]:
                    jobs.remove(job)
                    self._forget(
                        self._live[job.ref], SawNothing(*job.ref, "cancelled before it was launched")
                    )
            if not group.jobs:
                group.jobs, group.behind = group.behind, []
        self._groups = [group for group in self._groups if group.jobs]

    def _receive(self) -> None:
        """What has come of launches."""
        for future in [future for future in self._sending if future.done()]:
            group = self._sending.pop(future)
            outcome = future.result()
            for job, words in outcome.hopeless:
                self._forget(self._live[job.ref], SawNothing(*job.ref, words, final=True))
            if outcome.error is None and outcome.answer is None and group.behind:
                self._add(Group(group.batch, group.spec, group.behind, group.tried, group.variant))
            if outcome.error is not None:
                self._unanswered(group, outcome.error)
            elif outcome.answer is not None:
                self._answered(group, outcome.answer)
            self._hurry()

    def _unanswered(self, group: Group, error: AwsError) -> None:
        """A launch that was sent and nobody answered is sent again until somebody does; others never happened."""
        if group.request is None:
            jobs = [*group.jobs, *group.behind]
            self._let_go(jobs)
            self.tell(*(SawNothing(*job.ref, f"never sent: {error}", source_fault=True) for job in jobs))
            return
        self._unsure.append((time.monotonic() + AGAIN, group))
        for job in group.jobs:
            live = self._live[job.ref]
            if not live.told_unknown:
                live.told_unknown = True
                self.tell(CannotTell(*job.ref, f"its launch was not answered: {error}"))

    def _answered(self, group: Group, answer: LaunchAnswer) -> None:
        if answer.error_kind is not None:
            self._denied(group, answer)
            return
        request = group.request
        assert request is not None
        left: list[Job] = []
        by_attempt = {attempt: index for index, attempt in enumerate(request.attempts)}
        for job in group.jobs:
            live = self._live[job.ref]
            live.group = None
            instance = answer.instance(by_attempt[job.ref.task, job.ref.attempt])
            if instance:
                self._has_instance(live, request, instance)
            elif answer.forgotten:
                live.forgotten = f"of the launch {request.token}"
            else:
                left.append(job)
        if left:
            # Fewer than asked for: there is no room for more of this kind at this place.
            rest = Group(group.batch, group.spec, left, group.tried, group.variant)
            self._next(rest, "capacity", "InsufficientInstanceCapacity: there was no room for all")
        if group.behind:
            self._add(Group(group.batch, group.spec, group.behind, group.tried, group.variant))

    def _denied(self, group: Group, answer: LaunchAnswer) -> None:
        kind, words = answer.error_kind, f"{answer.error_code}: {answer.error_words}"
        if kind in ("capacity", "spot_price"):
            self._next(group, kind, words)
        elif kind == "quota" and len(group.jobs) > 1:
            half = len(group.jobs) // 2
            behind = [*group.jobs[half:], *group.behind]
            self._add(
                Group(group.batch, group.spec, group.jobs[:half], group.tried, group.variant, behind=behind)
            )
        elif kind == "quota":
            self._no_room(group, words)
        elif kind == "permission":
            # Of this request, not of all there are: three in a row disable the source, and a probe finds out later.
            jobs = [*group.jobs, *group.behind]
            self._let_go(jobs)
            self.tell(*(SawNothing(*job.ref, words[:MOST_WORDS], source_fault=True) for job in jobs))
        else:
            for job in (*group.jobs, *group.behind):
                self._forget(self._live[job.ref], SawNothing(*job.ref, words, final=True))

    def _next(self, group: Group, kind: Trouble, words: str) -> None:
        """Another type, zone or market that the user allowed; or there is no room."""
        tried = [*group.tried, *([group.variant] if group.variant else [])]
        variant = next_variant(group.spec, tried, kind)
        if variant is not None and "*" in variant.type:
            variant = None  # of a launch that was found again: which sizes there are is looked up once more
        elif variant is None:
            self._no_room(group, words)
            return
        self._add(Group(group.batch, group.spec, group.jobs, tried, variant, behind=group.behind))

    def _no_room(self, group: Group, words: str) -> None:
        jobs = [*group.jobs, *group.behind]
        tried = [*group.tried, *([group.variant] if group.variant else [])]
        where = ", ".join(dict.fromkeys(_told(variant) for variant in tried))
        text = f"{words} (tried {where})" if len(tried) > 1 else words
        self._let_go(jobs)
        nothing = [SawNothing(*job.ref, text, source_fault=True) for job in jobs]
        self.tell(*nothing, SourceFull(text))

    def _let_go(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._live.pop(job.ref, None)

    def _has_instance(self, live: _Live, request: LaunchRequest, instance: str) -> None:
        self._know(request)
        live.instance, live.group, live.since = instance, None, time.monotonic()
        live.sign_due = live.since + BOOT
        live.price = self._asked_price(request.type, request.market)

    def _asked_price(self, instance_type: str, market: Market) -> Future[float | None]:
        """Prices are told by other APIs, which may be slow or away: nothing waits for them."""
        known = self._prices.get((instance_type, market))
        if known is None or (known.done() and known.result() is None):
            known = self._pool.submit(self._price, self.region, instance_type, market)
            self._prices[instance_type, market] = known
        return known

    # --- looking -------------------------------------------------------------------------------------------------

    def pause(self) -> float:
        now = time.monotonic()
        if self._sending or self._groups:
            return min(QUICK, self._poll)
        return min(QUICK, self._poll) if now < self._quick_until else self._poll

    def _hurry(self) -> None:
        self._quick_until = time.monotonic() + QUICK_FOR

    def do_round(self) -> None:
        with _talking(self.name):
            self._receive()
            self._send()
            with self._one_by_one() as each:
                for live in [live for live in self._live.values() if live.forgotten]:
                    each(lambda live=live: self._gone(live, live.forgotten))
            if not (self._fresh or self._over or any(live.instance for live in self._live.values())):
                return
            instances = {instance.id: instance for instance in self._fleet.instances(self.context.sweep_id)}
            now = time.monotonic()
            lives = [live for live in self._live.values() if live.instance]
            self._end(instances, now)  # first: what costs money ends though a bucket may not answer
            with self._one_by_one() as each:
                reports = self._reports(lives, instances, each)
                for live in lives:
                    instance = instances.get(live.instance)
                    each(lambda live=live, instance=instance: self._judge(live, instance, reports, now))
            self._label()
            self._fresh = False

    @contextmanager
    def _one_by_one(self) -> Generator[Callable[[Callable[[], None]], None], None, None]:
        """What AWS says of one keeps no other from being looked at; the first trouble is told at the end."""
        troubles: list[AwsError] = []

        def each(do: Callable[[], None]) -> None:
            try:
                do()
            except AwsError as error:
                troubles.append(error)

        yield each
        if troubles:
            raise troubles[0]

    def _reports(
        self,
        lives: Sequence[_Live],
        instances: Mapping[str, Instance],
        each: Callable[[Callable[[], None]], None],
    ) -> dict[str, Report | None]:
        """What those have left whose instance is over, by the attempt's name; without those that cannot be had."""
        names = [live.name for live in lives if _is_over(live, instances.get(live.instance))]
        asked = {name: self._pool.submit(self._bucket.report, name) for name in names}
        found: dict[str, Report | None] = {}

        def take(name: str, answer: Future[Report | None]) -> None:
            found[name] = answer.result()

        for name, answer in asked.items():
            each(lambda name=name, answer=answer: take(name, answer))
        return found

    def _judge(
        self, live: _Live, instance: Instance | None, reports: Mapping[str, Report | None], now: float
    ) -> None:
        """What a look says of one attempt."""
        if instance is None:
            self._missed(live, now)
            return
        live.seen, live.seen_at = instance, now
        if instance.state in ALIVE:
            self._at_work(live, instance, now)
            return
        if not _is_over(live, instance) or live.name not in reports:
            return
        report = reports[live.name]
        settled = instance.state in SETTLED
        if report is not None:
            # Paid for from the launch on, whatever was done when.
            self._ended(live, replace(self._reported(live, report), started_at=instance.launched_at))
        elif settled:
            self._ended(live, unreported(live.job.ref, instance, stopped=live.stopping))

    def _at_work(self, live: _Live, instance: Instance, now: float) -> None:
        if not live.stopping and self._overdue(live, instance, now):
            return
        news = not live.running or (live.rate is not None and not live.priced)
        if instance.state == "running" and news and not live.stopping:
            live.running, live.priced = True, live.rate is not None
            self.tell(SawRunning(*live.job.ref, instance.id, instance.launched_at, live.rate))
        if live.stopping or live.signs or now < live.sign_due:
            if live.spec is not None and live.spec.on_complete == "hibernate" and live.running:
                self._hibernate(live, instance)
            return
        live.signs = bool(self._bucket.files(live.name))
        live.sign_due = now + BOOT
        if live.signs:
            return
        health = self._of_interest(lambda: self._fleet.statuses([instance.id]).get(instance.id, ""), "")
        if health == "initializing" or (health == "ok" and now - live.since < PATIENT * BOOT):
            return
        console = self._of_interest(lambda: self._fleet.console_output(instance.id), "")
        _keep(live.job.directory / "console.log", console)
        text = (
            f"instance {instance.id} has given no sign of life (status checks: {health or 'unknown'}); "
            f"its console is in {live.job.directory.name}/console.log"
        )
        self._ended(
            live, SawEnd(*live.job.ref, failure="source_lost", message=text, started_at=instance.launched_at)
        )
        self._over[instance.id] = (AT_ONCE, "terminate")

    def _of_interest(self, ask: Callable[[], str], otherwise: str) -> str:
        """What only helps to understand: who may not be told goes on without."""
        try:
            return ask()
        except AwsError as error:
            if error.kind != "permission":
                raise
            return otherwise

    def _overdue(self, live: _Live, instance: Instance, now: float) -> bool:
        """End an instance that should have ended itself long ago: its system hangs, or the shutdown does."""
        over_at = deadline(instance, live.spec.ttl if live.spec is not None else None)
        if over_at is None or time.time() < over_at + OVERDUE or now < live.look_due:
            return False
        live.look_due = now + OVERDUE
        report = self._bucket.report(live.name)
        text = f"instance {instance.id} did not end when its time to live was over; it is terminated"
        lost = SawEnd(*live.job.ref, failure="timeout", message=text)
        end = lost if report is None else self._reported(live, report)
        self._ended(live, replace(end, started_at=instance.launched_at))
        self._over[instance.id] = (AT_ONCE, "terminate")
        return True

    def _hibernate(self, live: _Live, instance: Instance) -> None:
        """Only the API can hibernate: the instance reports, and waits for it."""
        report = self._bucket.report(live.name)
        if report is None:
            return
        self.context.check()
        self._fleet.stop([instance.id], hibernate=True)
        self._ended(live, self._reported(live, report))

    def _missed(self, live: _Live, now: float) -> None:
        """EC2 does not show it: not yet, or not any more. It is asked for by its id before that is believed."""
        last = live.seen_at or live.since
        if now - last < UNSEEN:
            return
        found = self._fleet.by_ids([live.instance])
        if found:
            reports = {live.name: self._bucket.report(live.name)} if _is_over(live, found[0]) else {}
            self._judge(live, found[0], reports, now)
            return
        self._gone(live, live.instance)

    def _gone(self, live: _Live, which: str) -> None:
        """EC2 has forgotten the instance; what it said of itself is still there, if it said anything."""
        report = self._bucket.report(live.name)
        began = live.seen.launched_at if live.seen else None
        if report is not None:
            self._ended(live, self._reported(live, report))
        else:
            self._ended(live, vanished(live.job.ref, which, stopped=live.stopping, started_at=began))

    def _reported(self, live: _Live, report: Report) -> SawEnd:
        job = live.job
        end = reported(job.ref, report, job.timeout, stopped=live.stopping, instance=live.seen)
        if end.failure == "timeout" and report.flag in ("ttl", "idle") and _only_waits(live):
            # Nothing was to be done but to be there.
            return SawEnd(*job.ref, exit_code=0, started_at=end.started_at, ended_at=end.ended_at)
        return end

    def _ended(self, live: _Live, end: SawEnd) -> None:
        how = live.spec.on_complete if live.spec is not None else "terminate"
        self._over.setdefault(live.instance, (time.monotonic(), "terminate" if live.stopping else how))
        self._forget(live, replace(end, handle=live.instance, rate=live.rate))

    def _forget(self, live: _Live, seen: SawEnd | SawNothing) -> None:
        self._live.pop(live.job.ref, None)
        self.tell(seen)
        self._hurry()

    # --- ending --------------------------------------------------------------------------------------------------

    def _end(self, instances: dict[str, Instance], now: float) -> None:
        """Terminate what was cancelled, what does not go though its work is over, and what nobody waits for."""
        self._find_strays(instances)
        terminate = [live.instance for live in self._live.values() if live.stopping and live.instance]
        stop: list[str] = []
        for identity, (since, how) in list(self._over.items()):
            instance = instances.get(identity)
            if (
                instance is None
                or instance.state in GONE
                or (instance.state == "stopped" and how != "terminate")
            ):
                del self._over[identity]
            elif instance.state == "stopped":
                terminate.append(identity)
            elif instance.state in ALIVE and now - since >= LINGER:
                (terminate if how == "terminate" else stop).append(identity)
        # One that is not shown may be there all the same.
        left = [one for one in terminate if one not in instances or instances[one].state not in GONE]
        if self._closing or not (left or stop):
            return
        self.context.check()
        if left:
            self._fleet.terminate(left)
            self._hurry()
        if stop:
            self._fleet.stop(stop)

    def _find_strays(self, instances: dict[str, Instance]) -> None:
        """Instances of ours whose attempt has ended: an engine before this one died before they had gone."""
        if self._sending or self._unsure:
            return  # one of those may be what nobody seems to wait for
        held = {live.instance for live in self._live.values()} | self._over.keys()
        for instance in instances.values():
            how = self._launches.get(instance.launch)
            if instance.id not in held and instance.state in ALIVE and how == "terminate":
                self._over[instance.id] = (AT_ONCE, how)

    def _know(self, request: LaunchRequest) -> None:
        behaviour = request.request.get("InstanceInitiatedShutdownBehavior")
        self._launches[request.token] = "stop" if behaviour == "stop" else "terminate"

    def _label(self) -> None:
        """Give each instance of a launch its own index and name; what they share came with the launch."""
        for live in self._live.values() if self._labels else ():
            seen = live.seen
            if seen is None or live.tagged or not live.running or TAG_SWEEP_INDEX in dict(seen.tags):
                continue
            index = str(live.job.ref.task)
            name = f"{self.context.sweep_name or self.context.sweep_id}-{index}"
            try:
                self._fleet.tag([seen.id, *seen.volumes], {TAG_SWEEP_INDEX: index, "Name": name})
            except AwsError as error:
                if error.kind == "permission":
                    # Many may tag only what they launch. Nothing is found by these, so nobody is kept from working.
                    self._labels = False
                    self.tell(
                        SawHealth(queue=f"instances keep the sweep's name ({error.action} is not allowed)")
                    )
                    return
                if error.kind != "not_found":
                    raise
                continue  # it or its disk has gone since it was seen: the next look says more
            live.tagged = True

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
        self._pool.shutdown(wait=False, cancel_futures=True)


def _is_over(live: _Live, instance: Instance | None) -> bool:
    """Whether nothing of it is at work any more. What was cancelled has to be gone, not on its way."""
    if instance is None or instance.state in ALIVE:
        return False
    return not live.stopping or instance.state in SETTLED


def _only_waits(live: _Live) -> bool:
    """Whether its instance had nothing to run."""
    if live.spec is None or live.spec.user_data:
        return False
    return not live.job.render(task_dir="/", project="/").argv


def _told(variant: Variant) -> str:
    market = " (Spot)" if variant.market == "spot" else ""
    return f"{variant.type} in {variant.zone}{market}" if variant.zone else f"{variant.type}{market}"


def _keep(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, errors="replace")


def _price_of(cloud: Cloud, call: Call) -> GetPrice:
    prices = Prices(cloud, call=call)

    def price(region: str, instance_type: str, market: Market) -> float | None:
        found = prices.price(region, instance_type, market)
        return found.usd_per_hour if found is not None else None

    return price


@contextmanager
def _talking(name: str) -> Generator[None, None, None]:
    """What AWS says in a source's words."""
    try:
        yield
    except LaunchDamaged as error:
        raise Refused(f"{name}: {error}") from error
    except AwsError as error:
        if error.kind == "credentials":
            raise Away(
                f"AWS takes no credentials ({error}); log in again, e.g. with: aws sso login"
            ) from error
        if error.kind in TEMPORARY:
            raise Away(str(error)) from error
        missing = f"; the missing permission is {error.action}" if error.action else ""
        raise Refused(f"{name}: {error}{missing}") from error
