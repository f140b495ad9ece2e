"""The launches of a source of instances: what is to be launched, what is on its way, and what came of it.

A launch is handed to a thread (`ec2_launch.Launcher`) and heard of in a later round. One of which nobody knows what
came is sent again as it was, until somebody says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ..aws.errors import AwsError, Trouble
from ..aws.launch_request import Variant, next_variant
from ..aws.launches import LaunchAnswer
from ..aws.model import InstanceSpec
from ..events import Ref
from ..observe import CannotTell, SawHealth, SawNothing, SawWithdrawn, SourceFull
from .base import Job
from .ec2_launch import Group, Launcher, Outcome, split
from .ec2_live import Attempts, Live

PARALLEL = 50
"""Launches under way at a time."""
MOST_WORDS = 400
"""Characters of what AWS says that are kept: a refusal may come with kilobytes of encoded details."""
AGAIN = 15.0
"""Seconds until a launch of which nobody knows what came is sent again."""


class Groups:
    """`stir`: called from any thread when something has come of a launch."""

    def __init__(self, attempts: Attempts, pool: ThreadPoolExecutor, stir: Callable[[], None]) -> None:
        self._attempts, self._pool, self._stir = attempts, pool, stir
        self._waiting: list[Group] = []
        """What is to be launched, in order."""
        self._unsure: list[tuple[float, Group]] = []
        """Launches of which nobody knows what came, with when they are sent again."""
        self._sending: dict[Future[Outcome], Group] = {}
        self._back: set[Ref] = set()
        """Those that are taken back if their launch under way does not bring them an instance."""

    @property
    def busy(self) -> bool:
        """Whether something is to be launched, or on its way."""
        return bool(self._sending or self._waiting)

    @property
    def unsettled(self) -> bool:
        """Whether there may be instances of which nobody has heard yet."""
        return bool(self._sending or self._unsure)

    # --- entering ------------------------------------------------------------------------------------------------

    def enter(self, batch: str, lives: Sequence[Live]) -> None:
        """Put these where the next round launches them from; those with equal wishes in one call."""
        by_spec: dict[InstanceSpec, list[Job]] = {}
        for live in lives:
            assert live.spec is not None
            self._attempts.add(live)
            by_spec.setdefault(live.spec, []).append(live.job)
        for spec, jobs in by_spec.items():
            for part in split(jobs):
                self._add(Group(batch, spec, part))
        self._attempts.stir()

    def repeat(self, group: Group) -> None:
        """Nobody knows whether this was sent: it is sent again, as it was."""
        self._unsure.append((0.0, group))

    def _add(self, group: Group) -> None:
        self._waiting.append(group)
        for job in (*group.jobs, *group.behind):
            self._attempts[job.ref].group = group

    # --- taking back ---------------------------------------------------------------------------------------------

    def withdraw(self, refs: Sequence[Ref]) -> None:
        """Take back those that have no instance yet. The others go on."""
        self._back.update(live.job.ref for live in self._attempts.known(refs) if not live.instance)
        self._take_back()

    def _take_back(self) -> None:
        self._take_out(lambda job: SawWithdrawn(*job.ref) if job.ref in self._back else None)
        self._back = {live.job.ref for live in self._attempts.known(self._back) if not live.instance}

    def send_back(self, reason: str) -> list[SawNothing]:
        """All that was not asked for yet did not happen: their tasks can go elsewhere at once."""
        jobs = [job for group in self._waiting for job in (*group.jobs, *group.behind)]
        self._waiting = []
        self._attempts.let_go(jobs)
        return [SawNothing(*job.ref, f"never sent: {reason}", source_fault=True) for job in jobs]

    def _drop_cancelled(self) -> None:
        """What was cancelled before it was asked for never will be."""

        def cancelled(job: Job) -> SawNothing | None:
            if not self._attempts[job.ref].stopping:
                return None
            return SawNothing(*job.ref, "cancelled before it was launched")

        self._take_out(cancelled)

    def _take_out(self, why: Callable[[Job], SawNothing | SawWithdrawn | None]) -> None:
        """Take those for which there is a reason out of what waits, and tell it."""
        for group in self._waiting:
            for jobs in (group.jobs, group.behind):
                for job in list(jobs):
                    seen = why(job)
                    if seen is not None:
                        jobs.remove(job)
                        self._attempts.forget(self._attempts[job.ref], seen)
            if not group.jobs:
                group.jobs, group.behind = group.behind, []
        self._waiting = [group for group in self._waiting if group.jobs]

    # --- sending -------------------------------------------------------------------------------------------------

    def send(self, launcher: Launcher) -> None:
        """Hand what is due to the pool."""
        now = time.monotonic()
        self._drop_cancelled()
        if self._back:
            self._take_back()
        due = [group for at, group in self._unsure if at <= now]
        self._unsure = [(at, group) for at, group in self._unsure if at > now]
        room = max(0, PARALLEL - len(self._sending) - len(due))
        fresh, self._waiting = self._waiting[:room], self._waiting[room:]
        for group in (*due, *fresh):
            future = self._pool.submit(launcher.launch, group)
            self._sending[future] = group
            future.add_done_callback(lambda _: self._stir())

    # --- hearing -------------------------------------------------------------------------------------------------

    def receive(self) -> None:
        """What has come of launches."""
        for future in [future for future in self._sending if future.done()]:
            group = self._sending.pop(future)
            outcome = future.result()
            if group.request is not None:
                self._attempts.know(group.request)  # whatever came of it, its instances are ours
            if outcome.note:
                self._attempts.tell(SawHealth(queue=outcome.note))
            for job, words in outcome.hopeless:
                self._attempts.forget(self._attempts[job.ref], SawNothing(*job.ref, words, final=True))
            if outcome.error is not None:
                self._unanswered(group, outcome.error)
            elif outcome.answer is not None:
                self._answered(group, outcome.answer)
            elif group.behind:
                self._add(Group(group.batch, group.spec, group.behind, group.tried, group.variant))
            self._attempts.stir()

    def _unanswered(self, group: Group, error: AwsError) -> None:
        """A launch that was sent and nobody answered is sent again until somebody does; others never happened."""
        if group.request is None:
            self._refused(group, f"never sent: {error}")
            return
        self._unsure.append((time.monotonic() + AGAIN, group))
        for job in group.jobs:
            live = self._attempts[job.ref]
            if not live.told_unknown:
                live.told_unknown = True
                self._attempts.tell(CannotTell(*job.ref, f"its launch was not answered: {error}"))

    def _answered(self, group: Group, answer: LaunchAnswer) -> None:
        if answer.error_kind is not None:
            self._denied(group, answer)
            return
        request = group.request
        assert request is not None
        left: list[Job] = []
        by_attempt = {attempt: index for index, attempt in enumerate(request.attempts)}
        for job in group.jobs:
            live = self._attempts[job.ref]
            live.group = None
            instance = answer.instance(by_attempt[job.ref.task, job.ref.attempt])
            if instance:
                self._attempts.has_instance(live, request, instance)
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
            first = group.jobs[:half]
            self._add(Group(group.batch, group.spec, first, group.tried, group.variant, behind=behind))
        elif kind == "quota":
            self._no_room(group, words)
        elif kind == "permission":
            # Of this request, not of all there are: three in a row disable the source, and a probe finds out later.
            self._refused(group, words[:MOST_WORDS])
        else:
            for job in (*group.jobs, *group.behind):
                self._attempts.forget(self._attempts[job.ref], SawNothing(*job.ref, words, final=True))

    def _next(self, group: Group, kind: Trouble, words: str) -> None:
        """Another type, zone or market that the user allowed; or there is no room."""
        tried = [*group.tried, *([group.variant] if group.variant else [])]
        variant = next_variant(group.spec, tried, kind)
        if variant is None:
            self._no_room(group, words)
            return
        if "*" in variant.type:
            variant = None  # of a launch that was found again: which sizes there are is looked up once more
        self._add(Group(group.batch, group.spec, group.jobs, tried, variant, behind=group.behind))

    def _no_room(self, group: Group, words: str) -> None:
        tried = [*group.tried, *([group.variant] if group.variant else [])]
        where = ", ".join(dict.fromkeys(_told(variant) for variant in tried))
        text = f"{words} (tried {where})" if len(tried) > 1 else words
        self._refused(group, text, SourceFull(text))

    def _refused(self, group: Group, words: str, *besides: SourceFull) -> None:
        """It did not happen, and that is no fault of the tasks."""
        jobs = [*group.jobs, *group.behind]
        self._attempts.let_go(jobs)
        nothing = [SawNothing(*job.ref, words, source_fault=True) for job in jobs]
        self._attempts.tell(*nothing, *besides)


def _told(variant: Variant) -> str:
    market = " (Spot)" if variant.market == "spot" else ""
    return f"{variant.type} in {variant.zone}{market}" if variant.zone else f"{variant.type}{market}"
