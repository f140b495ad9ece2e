"""What a look at the instances of a source says of its attempts.

An instance that is over has left a report in the bucket, or EC2 says why it went; until one of both is seen, nothing
has ended. What EC2 does not show is asked for by its id before anything is believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..aws.bucket import SweepBucket
from ..aws.errors import TEMPORARY, AwsError
from ..aws.fleet import Fleet
from ..aws.lookout import deadline
from ..aws.model import ALIVE, Instance, Report
from ..observe import SawEnd, SawRunning
from .base import SourceContext
from .ec2_ends import reported, speaks_for, unreported, vanished
from .ec2_live import Attempts, Live
from .ec2_terminate import Terminator

SETTLED = frozenset({"terminated", "stopped"})
UNSEEN = 300.0
"""Seconds an instance may be missing from what EC2 says before it is asked for by its id, and believed to be gone. What
was just launched may be invisible for a while ("Ensuring consistency", Amazon EC2 API Reference)."""
BOOT = 600.0
"""Seconds a running instance may take until its first sign of life is in the bucket."""
PATIENT = 3
"""Times `BOOT` for which an instance is waited for whose status checks are good: it may be fetching much."""
OVERDUE = 900.0
"""Seconds after the end of its time to live at which an instance is ended from outside."""
RECENT = 300.0
"""Seconds since it was last seen alive for which an instance that is gone has gone about now."""
REPORTS = 16
"""Reports that are fetched at a time."""


class Looks:
    """Asks the context before anything that cannot be taken back: another engine may hold the sweep."""

    def __init__(
        self,
        attempts: Attempts,
        fleet: Fleet,
        bucket: SweepBucket,
        terminator: Terminator,
        context: SourceContext,
    ) -> None:
        self._attempts, self._fleet, self._bucket = attempts, fleet, bucket
        self._terminator, self._context = terminator, context
        self._pool = ThreadPoolExecutor(REPORTS, thread_name_prefix="reports")
        self._silent: AwsError | None = None
        """Why the bucket does not answer in this look."""

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self, instances: Mapping[str, Instance], now: float) -> None:
        """Tell what EC2 shows, `instances` by id. Raises `AwsError`: the first, when all have been looked at."""
        lives, self._silent = self._attempts.on_instances(), None
        with one_by_one() as each:
            reports = self._reports(lives, instances, each)
            each(lambda: self._hibernate(lives, instances))
            each(lambda: self._look_for_signs(lives, instances, now))
            for live in lives:
                instance = instances.get(live.instance)
                if live.job.ref in self._attempts:
                    each(lambda live=live, instance=instance: self._judge(live, instance, reports, now))

    def look_for_forgotten(self) -> None:
        """Those whose instance nobody knows: only a report can say how it went. Raises as `look`."""
        self._silent = None
        with one_by_one() as each:
            for live in [live for live in self._attempts if live.forgotten]:
                each(lambda live=live: self._gone(live, live.forgotten))

    def _reports(
        self,
        lives: Sequence[Live],
        instances: Mapping[str, Instance],
        each: Callable[[Callable[[], None]], None],
    ) -> dict[str, Report | None]:
        """What those have left whose instance is over, by the attempt's name; without those that cannot be had."""
        over = [live for live in lives if _is_over(live, instances.get(live.instance))]
        asked = {live.name: self._pool.submit(self._report, live) for live in over}
        found: dict[str, Report | None] = {}

        def take(name: str, answer: Future[Report | None]) -> None:
            if self._silent is not None and not answer.done():
                answer.cancel()  # who waits for each of hundreds looks at nothing else meanwhile
                return
            found[name] = answer.result()

        for name, answer in asked.items():
            each(lambda name=name, answer=answer: take(name, answer))
        return found

    def _report(self, live: Live) -> Report | None:
        """What its instance left; what another instance left under its name says nothing of it."""
        if self._silent is not None:
            raise self._silent
        try:
            report = self._bucket.report(live.name)
        except AwsError as error:
            if error.kind in TEMPORARY:
                self._silent = error
            raise
        return report if report is not None and speaks_for(report, live.instance) else None

    def _judge(
        self, live: Live, instance: Instance | None, reports: Mapping[str, Report | None], now: float
    ) -> None:
        """What a look says of one attempt."""
        if instance is None:
            self._missed(live, now)
            return
        live.seen, live.seen_at = instance, now
        if instance.state in ALIVE:
            live.alive_at = time.time()
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
            over_at = self._moved(live, deadline(instance, live.spec.ttl if live.spec is not None else None))
            went = None if live.alive_at is None or time.time() - live.alive_at > RECENT else time.time()
            end = unreported(live.job.ref, instance, stopped=live.stopping, deadline=over_at, ended=went)
            self._ended(live, end)

    def _moved(self, live: Live, over_at: float | None) -> float | None:
        """When its time to live is over, if somebody on the instance has moved that to later."""
        moved = self._bucket.deadline(live.name) if over_at is not None else None
        return over_at if over_at is None or moved is None else max(over_at, moved)

    # --- at work -------------------------------------------------------------------------------------------------

    def _at_work(self, live: Live, instance: Instance, now: float) -> None:
        if not live.stopping and self._overdue(live, instance, now):
            return
        self._attempts.price_again(live, instance, now)
        news = not live.running or (live.rate is not None and not live.priced)
        if instance.state == "running" and news and not live.stopping:
            live.running, live.priced = True, live.rate is not None
            self._attempts.tell(SawRunning(*live.job.ref, instance.id, instance.launched_at, live.rate))
        if live.signs_asked == now and not live.signs:
            self._never_came(live, instance, now)

    def _look_for_signs(self, lives: Sequence[Live], instances: Mapping[str, Instance], now: float) -> None:
        """Whether those that came up some time ago have left anything in the bucket: one question for all."""
        due = [
            live for live in lives
            if not (live.signs or live.stopping) and now >= (live.signs_asked or live.since) + BOOT
            and live.instance in instances and instances[live.instance].state in ALIVE
        ]  # fmt: skip
        begun = self._bucket.begun() if due else set[str]()
        for live in due:
            live.signs, live.signs_asked = live.name in begun, now

    def _never_came(self, live: Live, instance: Instance, now: float) -> None:
        """It has said nothing for long: end it, unless it may just be slow."""
        health = self._of_interest(lambda: self._fleet.statuses([instance.id]).get(instance.id, ""), "")
        if health == "initializing" or (health == "ok" and now - live.since < PATIENT * BOOT):
            return
        console = self._of_interest(lambda: self._fleet.console_output(instance.id), "")
        _keep(live.job.directory / "console.log", console)
        text = (
            f"instance {instance.id} has given no sign of life (status checks: {health or 'unknown'}); "
            f"its console is in {live.job.directory.name}/console.log"
        )
        end = SawEnd(*live.job.ref, failure="source_lost", message=text, started_at=instance.launched_at)
        self._terminator.end_now(instance.id)  # first: an engine that has heard the last end goes away
        self._ended(live, end)

    def _of_interest(self, ask: Callable[[], str], otherwise: str) -> str:
        """What only helps to understand: who may not be told goes on without."""
        try:
            return ask()
        except AwsError as error:
            if error.kind != "permission":
                raise
            return otherwise

    def _overdue(self, live: Live, instance: Instance, now: float) -> bool:
        """End an instance that should have ended itself long ago: its system hangs, or the shutdown does."""
        over_at = deadline(instance, live.spec.ttl if live.spec is not None else None)
        if over_at is None or time.time() < over_at + OVERDUE or now < live.look_due:
            return False
        live.look_due = now + OVERDUE
        moved = self._bucket.deadline(live.name)  # from the instance itself
        if moved is not None and time.time() < moved + OVERDUE:
            return False
        report = self._report(live)
        text = f"instance {instance.id} did not end when its time to live was over; it is terminated"
        lost = SawEnd(*live.job.ref, failure="timeout", message=text)
        end = lost if report is None else self._reported(live, report)
        self._terminator.end_now(instance.id)
        self._ended(live, replace(end, started_at=instance.launched_at))
        return True

    def _hibernate(self, lives: Sequence[Live], instances: Mapping[str, Instance]) -> None:
        """Only the API can hibernate: an instance that shall be reports, and waits for it."""
        waiting = [
            live for live in lives
            if live.running and not live.stopping and live.spec is not None
            and live.spec.on_complete == "hibernate" and live.instance in instances
            and instances[live.instance].state == "running"
        ]  # fmt: skip
        told = self._bucket.reported() if waiting else set[str]()
        for live in waiting:
            report = self._report(live) if live.name in told else None
            if report is None:
                continue
            self._context.check()
            self._fleet.stop([live.instance], hibernate=True)
            began = instances[live.instance].launched_at
            self._ended(live, replace(self._reported(live, report), started_at=began))

    # --- not shown -----------------------------------------------------------------------------------------------

    def _missed(self, live: Live, now: float) -> None:
        """EC2 does not show it: not yet, or not any more. It is asked for by its id before that is believed."""
        if live.adopted and not live.seen_at and not live.report_asked:
            # It may have gone while no engine looked: its report is the last word whatever EC2 shows.
            live.report_asked = True
            report = self._report(live)
            if report is not None:
                self._ended(live, self._reported(live, report))
                return
        last = live.seen_at or live.since
        if now - last < UNSEEN:
            return
        found = self._fleet.by_ids([live.instance])
        if found:
            reports = {live.name: self._report(live)} if _is_over(live, found[0]) else {}
            self._judge(live, found[0], reports, now)
            return
        self._gone(live, live.instance)

    def _gone(self, live: Live, which: str) -> None:
        """EC2 has forgotten the instance; what it said of itself is still there, if it said anything."""
        report = self._report(live)
        began = live.seen.launched_at if live.seen else None
        if report is not None:
            self._ended(live, self._reported(live, report))
        else:
            self._ended(live, vanished(live.job.ref, which, stopped=live.stopping, started_at=began))

    # --- the end -------------------------------------------------------------------------------------------------

    def _reported(self, live: Live, report: Report) -> SawEnd:
        job = live.job
        end = reported(job.ref, report, job.timeout, stopped=live.stopping, instance=live.seen)
        if end.failure == "timeout" and report.flag in ("ttl", "idle") and _only_waits(live):
            # Nothing was to be done but to be there.
            return SawEnd(*job.ref, exit_code=0, started_at=end.started_at, ended_at=end.ended_at)
        return end

    def _ended(self, live: Live, end: SawEnd) -> None:
        self._terminator.attempt_ended(live, end)
        self._attempts.forget(live, replace(end, handle=live.instance, rate=live.rate))


@contextmanager
def one_by_one() -> Generator[Callable[[Callable[[], None]], None], None, None]:
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


def _is_over(live: Live, instance: Instance | None) -> bool:
    """Whether nothing of it is at work any more. What was cancelled has to be gone, not on its way."""
    if instance is None or instance.state in ALIVE:
        return False
    return not live.stopping or instance.state in SETTLED


def _only_waits(live: Live) -> bool:
    """Whether its instance had nothing to run."""
    if live.spec is None or live.spec.user_data:
        return False
    return not live.job.render(task_dir="/", project="/").argv


def _keep(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, errors="replace")
