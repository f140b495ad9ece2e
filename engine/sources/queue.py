"""What sources with a queue of their own share (Slurm, PBS): arrays, files as the truth, the queue's word beside it.

A batch becomes one array, or several where the cluster's arrays are short. Each element finds its attempt by its index
in a list that was staged before, and becomes that attempt's runner. What an attempt came to is told by its files, in
this order: the exit file (the runner's word), the scheduler's word for an element that has ended, and last that nobody
knows of it any more.

Submission is made exactly once by the claim: an array that is found again by its name is adopted, one that is submitted
twice by misfortune runs nothing twice, and one that the scheduler forgot is submitted once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..events import Ref
from ..observe import (
    CannotTell,
    Observation,
    SawEnd,
    SawHealth,
    SawNothing,
    SawRunning,
    SawWaiting,
    SawWithdrawn,
    SourceRefused,
)
from ..plan.problems import PlanError
from ..remote.area import Area, AreaError, Staged
from ..remote.facts import Facts, Seen
from ..remote.host import Host, HostAway, HostRefused
from ..remote.hosts import host_of
from .attempt import UNWRITTEN, end_of, unwritten
from .base import Job, SourceContext
from .place import DEFAULT_ROOT, attempt_name, scripts_of, stage, verify_project
from .queue_batches import Batch, Live, Lot, best_of, job_name
from .queue_ends import Doubt, dead_end, doubt_of, with_the_queues_word
from .queue_pack import pack
from .registry import SourceSpec
from .remote import RemoteSource
from .scheduler import JOB_SCRIPTS, Array, Element, QueueState, Refused, Scheduler, Shell

GRACE = 10.0
"""Seconds between TERM and KILL."""
POLL = 5.0
"""Seconds between two looks, unless the config says `poll_interval`."""
QUICK, QUICK_FOR = 1.0, 15.0
"""Seconds between two looks for some seconds after something was submitted, begun or ended."""
STOPPING = 0.3
"""Seconds between two looks while something is being ended."""
HEALTH_EVERY = 30.0
STUBBORN = 5.0
"""Seconds after which a KILL is sent again."""
NEVER = 60.0
"""Seconds after which a request that can never run, as the scheduler says, is believed to be one."""
SUBMITS = 10
"""Arrays submitted in one round, at most; a cluster's controller is everybody's."""
RESUBMITS = 1
"""How often an attempt that the scheduler forgot is submitted again before the scheduler is blamed."""


class QueueSource(RemoteSource):
    """See `Source`. `make`: the scheduler, given a shell on the submitting machine.

    Without the option `host` that is this machine, and attempts live in the sweep's own directory (`at_home`).
    """

    def __init__(
        self,
        spec: SourceSpec,
        context: SourceContext,
        make: Callable[[SourceSpec, Shell], Scheduler],
        host: Host | None = None,
    ) -> None:
        name, options = spec.name, spec.options
        self.at_home = not options.get("host")
        host = host_of(name, options) if host is None else host
        root = f"{options.get('remote_root') or DEFAULT_ROOT}/{context.sweep_id}"
        if self.at_home:
            root = str(context.layout.root)
        scripts = scripts_of(name, context, options)
        super().__init__(spec, context, Area(host, root, scripts, private=not self.at_home))
        self.scheduler = make(spec, Shell(self.host))
        self._slots = spec.slots
        self._poll = float(options.get("poll_interval") or POLL)
        self._grace = float(options.get("kill_after") or GRACE)
        self._most = 1
        self._live: dict[Ref, Live] = {}
        self._lots: dict[str, Lot] = {}
        self._batches: dict[str, Batch] = {}
        self._quick_until = 0.0
        self._health_due = 0.0
        self._compared = False

    # --- orders --------------------------------------------------------------------------------------------------

    def do_connect(self) -> None:
        try:
            self.area.open()
            self._most = self.scheduler.connect()
        except HostAway as away:
            self._send_back_parked(str(away))
            raise
        self._health_due = 0.0
        self._compared = False
        self._tell_again()

    def _tell_again(self) -> None:
        """Say of what runs that it does: who hears of a refusal alone holds all of it for unknown."""
        for live in self._live.values():
            live.told = False

    def do_launch(self, batch: str, jobs: Sequence[Job], limit: int) -> None:
        self._batch(batch).limit = max(0, limit)
        fresh = [Live(job, attempt_name(job.ref)) for job in jobs if job.ref not in self._live]
        if fresh and self._has_project(fresh):
            self._enter(batch, fresh)

    def _has_project(self, lives: Sequence[Live]) -> bool:
        """Whether the project there is the one at home, looked at once a connection; if not, it is said."""
        if self.at_home or self._compared:
            return True
        try:
            verify_project(self.area, self.spec, self.context)
        except HostRefused as refused:
            for live in lives:
                self._forget(live, SawNothing(*live.job.ref, str(refused), source_fault=True))
            self.tell(SourceRefused(str(refused)))
            self._tell_again()
            return False
        self._compared = True
        return True

    def _batch(self, name: str) -> Batch:
        return self._batches.setdefault(name, Batch(name, self._slots))

    def _enter(self, name: str, lives: Sequence[Live]) -> None:
        """Stage these attempts and park them in arrays; the next round submits them.

        Nothing is changed before they are staged, so that it can be done again.
        """
        batch, facts = self._batch(name), self._facts()
        staged: dict[str, Staged] = {}
        entered: list[Live] = []
        for live in lives:
            try:
                files = stage(live.job, self.area, facts, self.name, self.context, self.options)
            except PlanError as error:
                self._forget(live, SawNothing(*live.job.ref, str(error)))
                continue
            staged[live.name] = files
            entered.append(live)
        lots = batch.cut(entered, self._most, lambda number: job_name(self.context.sweep_id, name, number))
        extra: dict[str, bytes] = {}
        for lot in lots:
            script = self.scheduler.job_script(lot.array, facts.root)
            extra[lot.array.list_file] = b"".join(live.name.encode() + b"\n" for live in lot.lives)
            extra[lot.array.script] = script.encode(errors="surrogateescape")
            packed = pack([staged[live.name] for live in lot.lives])
            extra[lot.array.pack], extra[lot.array.index] = packed
        try:
            self.area.stage([], extra)
        except AreaError as error:
            self._refuse(entered, str(error))
            return
        if not self.at_home:
            self._keep_scripts(extra)
        for lot in lots:
            for index, live in enumerate(lot.lives):
                self._leave(live)
                lot.put(index, live)
            self._lots[lot.array.name] = lot
            batch.lots.append(lot)
        batch.made += len(lots)
        self._live.update((live.job.ref, live) for live in entered)
        self._hurry()

    def _keep_scripts(self, extra: Mapping[str, bytes]) -> None:
        folder = Path(self.context.layout.root, JOB_SCRIPTS)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, text in extra.items():
            if path.endswith(".sh"):
                copy = self.context.layout.root / path
                copy.touch(mode=0o600)
                copy.write_bytes(text)

    def do_limit(self, batch: str, count: int) -> None:
        self._batch(batch).limit = max(0, count)
        self._share(self._batch(batch))

    def do_withdraw(self, attempts: Sequence[Ref]) -> None:
        lives = [self._live[ref] for ref in attempts if ref in self._live]
        for live in self._take_back([live for live in lives if live.waits and not live.stopping]):
            self._forget(live, SawWithdrawn(*live.job.ref))

    def do_cancel(self, attempts: Sequence[Ref], *, force: bool) -> None:
        self._stop([self._live[ref] for ref in attempts if ref in self._live], force=force)

    def do_adopt(self, jobs: Sequence[Job], *, running: frozenset[Ref], cancelling: frozenset[Ref]) -> None:
        where: dict[str, list[tuple[str, int]]] = {}
        lists = self.area.batches()
        # Of an attempt that was submitted more than once, the last list counts: its name is the longest or greatest.
        for name in sorted(lists, key=lambda name: (len(name), name)):
            for index, attempt in enumerate(lists[name]):
                where.setdefault(attempt, []).append((name, index))
        known = {name: lot.array for name, lot in self._lots.items()}
        arrays = {
            name: known.get(name) or Array(name, len(names), self._slots) for name, names in lists.items()
        }
        for job in jobs:
            if job.ref in self._live:
                continue
            live = self._live[job.ref] = Live(
                job, attempt_name(job.ref), running=job.ref in running, adopted=True
            )
            batch = self._batch(job.batch)
            # What an earlier engine was about to stage may yet arrive: its names are not used again.
            batch.made = max(batch.made, len(lists), len(jobs) + 1)
            if live.name in where:
                *before, (name, index) = where[live.name]
                live.others = [(arrays[old], at) for old, at in before]
                lot = self._lots.get(name)
                if lot is None:
                    lot = self._lots[name] = Lot.found(arrays[name], lists[name])
                    batch.lots.append(lot)
                lot.put(index, live)
        self._stop([self._live[ref] for ref in cancelling if ref in self._live], force=False)

    # --- taking back ---------------------------------------------------------------------------------------------

    def _stop(self, lives: Sequence[Live], *, force: bool) -> None:
        """Take back what has not begun; what has gets TERM (or KILL) in the rounds."""
        for live in lives:
            live.stopping = True
            if force:
                live.kill_at = 0.0
        for live in self._take_back([live for live in lives if live.waits]):
            self._forget(live, SawNothing(*live.job.ref, "cancelled before it started"))
        self._hurry()

    def _take_back(self, lives: Sequence[Live]) -> list[Live]:
        """Claim these ourselves, and take those we got out of the queue: they will never begin."""
        if not lives:
            return []
        claims = self.area.revoke([live.name for live in lives])
        mine = [live for live in lives if claims[live.name] == "won"]
        elements = [element for live in mine for element in live.elements]
        if elements:
            self.scheduler.remove(elements)
        return mine

    def _refuse(self, lives: Sequence[Live], reason: str, *more: Observation) -> None:
        """They could not be submitted; make sure of it, for one may have begun all the same.

        Told in one go with `more`: an engine that hears of a part would send the others here again.
        """
        claims = self.area.revoke([live.name for live in lives]) if lives else {}
        # Where no claim can be made, no runner makes one either.
        refused = [live for live in lives if claims[live.name] != "lost"]
        for live in refused:
            self._live.pop(live.job.ref, None)
            self._leave(live)
        self.tell(*(SawNothing(*live.job.ref, reason, source_fault=True) for live in refused), *more)

    def _send_back_parked(self, reason: str) -> None:
        """What was never submitted can go elsewhere at once: there is no job that could begin it."""
        for lot in list(self._lots.values()):
            for live in lot.lives if not lot.tried else ():
                # Of one that was submitted before, a job may come to light that the scheduler seems to have forgotten.
                if not live.resubmitted:
                    text = f"never submitted: {reason}"
                    self._forget(live, SawNothing(*live.job.ref, text, source_fault=True))

    def _forget(self, live: Live, seen: SawEnd | SawNothing | SawWithdrawn) -> None:
        self._live.pop(live.job.ref, None)
        self._leave(live)
        self.tell(seen)

    def _leave(self, live: Live) -> None:
        lot, live.lot = live.lot, None
        if lot is not None:
            lot.drop(live)
            if not lot.left and not lot.unsure:
                self._drop(lot)

    def _drop(self, lot: Lot) -> None:
        self._lots.pop(lot.array.name, None)
        for batch in self._batches.values():
            if lot in batch.lots:
                batch.lots.remove(lot)

    # --- submitting ----------------------------------------------------------------------------------------------

    def _find(self) -> None:
        """Learn what became of submissions nobody saw the end of: an engine that died, a connection that dropped."""
        unsure = {name: lot for name, lot in self._lots.items() if lot.unsure}
        if not unsure:
            return
        found = self.scheduler.find(list(unsure))
        for name, lot in unsure.items():
            lot.unsure = False
            lot.learn(found.get(name, ()))
            if not lot.array.jobs and not lot.adopted:
                lot.tried = False
            self.scheduler.remove(lot.orphans())
            if not lot.left:
                self._drop(lot)

    def _submit(self) -> None:
        """Submit parked arrays, as far as the limits of their batches let them run."""
        for _ in range(SUBMITS):
            due = next((due for batch in self._batches.values() if (due := batch.due()) is not None), None)
            if due is None:
                return
            lot, limit = due
            lot.array.limit = limit
            lot.tried = lot.unsure = True
            try:
                job = self.scheduler.submit(lot.array, self._facts().root)
            except Refused as refused:
                lot.unsure = False
                reason = f"{self.name}: {refused}"
                self._refuse(lot.lives, reason, *([SourceRefused(reason)] if refused.always else []))
                self._tell_again()
                continue
            lot.unsure = False
            lot.learn([job])
            self._hurry()

    def _share(self, batch: Batch) -> None:
        """Give the slots that arrays of this batch need no more to the others."""
        for lot, limit in batch.shares():
            for job in lot.array.jobs:
                self.scheduler.throttle(job, limit)
            lot.array.limit = limit

    # --- rounds --------------------------------------------------------------------------------------------------

    def pause(self) -> float:
        if not self._live:
            return HEALTH_EVERY
        if any(live.stopping for live in self._live.values()):
            return min(STOPPING, self._poll)
        hurry = time.monotonic() < self._quick_until or any(batch.due() for batch in self._batches.values())
        return min(QUICK, self._poll) if hurry else self._poll

    def _hurry(self) -> None:
        self._quick_until = time.monotonic() + QUICK_FOR

    def do_round(self) -> None:
        try:
            self._round(time.monotonic())
        except HostAway as away:
            self._send_back_parked(str(away))
            raise

    def _round(self, clock: float) -> None:
        self._find()
        self._submit()
        arrays = [lot.array for lot in self._lots.values()]
        arrays += [array for live in self._live.values() for array, _ in live.others]
        listed = list({array.name: array for array in arrays if array.jobs}.values())
        listing = self.scheduler.status(listed) if listed else {}
        self._take_down(listing, clock)
        self._tell_queue(clock)
        seen = self._look()
        lost: list[Live] = []
        dead: list[Live] = []
        for live, one in seen.items():
            self._judge(live, one, clock, lost, dead)
        self._bury(lost, dead)
        self._give_up_on_never(clock)
        self._signal(clock)
        self._finish()
        for batch in list(self._batches.values()):
            self._share(batch)

    def _take_down(self, listing: Mapping[str, Mapping[Element, QueueState]], clock: float) -> None:
        """What the queue says, at each attempt."""
        for live in self._live.values():
            if live.lot is None:
                live.at, live.state = None, None
            elif live.lot.tried:
                states: dict[Element, QueueState] = {}
                for array, _ in live.arrays:
                    states.update(listing.get(array.name, {}))
                live.at, live.state = best_of(live.elements, states)
            live.watch(clock)
        for lot in self._lots.values():
            lot.known = bool(listing.get(lot.array.name))

    def _tell_queue(self, clock: float) -> None:
        running = sum(live.standing in ("running", "ending") for live in self._live.values())
        waiting = 0
        for name, batch in list(self._batches.items()):
            count, reason = batch.waiting(self._most)
            waiting += count
            if batch.told != (count, reason) and (count or batch.told[0]):
                batch.told = (count, reason)
                self.tell(SawWaiting(name, count, reason))
            if not batch.lots and not any(live.job.batch == name for live in self._live.values()):
                del self._batches[name]
        if clock >= self._health_due:
            self._health_due = clock + HEALTH_EVERY
            self.tell(SawHealth(queue=f"{running} running, {waiting} waiting; {self.scheduler.health()}"))

    def _look(self) -> dict[Live, Seen]:
        """The files of the attempts of which there may be news."""
        due = [live for live in self._live.values() if live.wants_look]
        if not due:
            return {}
        look = self.area.look([live.name for live in due])
        return {live: look.seen[live.name] for live in due}

    def _judge(self, live: Live, seen: Seen, clock: float, lost: list[Live], dead: list[Live]) -> None:
        """What the files of one attempt mean beside the queue's word."""
        claim, ref = seen.claim, live.job.ref
        process = claim.process if claim is not None else None
        live.looked, live.alive = True, seen.alive
        live.here = process is not None and process.host == self._facts().hostname
        if live.end is not None:
            return
        if seen.outcome is not None:
            live.end = end_of(
                ref, seen.outcome, complaint=seen.complaint, stopped=live.stop_sent,
                started_at=seen.started_at, ended_at=seen.ended_at,
            )  # fmt: skip
            live.killed = seen.outcome.flag == "term" or seen.outcome.code in (137, 143)
            self._hurry()
        elif claim is None:
            if live.gone and live.doubted(clock, Doubt.BEGIN):
                (dead if live.running else lost).append(live)
        elif claim.revoked:
            # By an engine that died before it could say so.
            self.scheduler.remove(live.elements)
            cancelled = SawNothing(*ref, "cancelled before it started")
            self._forget(live, cancelled if live.stopping else SawWithdrawn(*ref))
        elif live.gone:
            if seen.alive:
                live.missing = 0
            elif live.doubted(clock, doubt_of(process, here=live.here)):
                dead.append(live)
        else:
            live.missing = 0
            live.claimed = True
            if not live.told and process is not None:
                live.running = live.told = True
                handle = self.scheduler.handle(live.at) if live.at else str(process)
                self.tell(SawRunning(*ref, handle, seen.started_at))
                self._hurry()
            self._judge_unwritten(live, seen, clock)

    def _judge_unwritten(self, live: Live, seen: Seen, clock: float) -> None:
        """A runner without room for its exit status waits for it, for ever if need be; the work shall not."""
        if not seen.unwritten:
            live.unwritten_since = None
        elif live.unwritten_since is None:
            live.unwritten_since = clock
        elif clock - live.unwritten_since >= UNWRITTEN and not live.told_unknown:
            live.told_unknown = True
            self.tell(CannotTell(*live.job.ref, unwritten(self.name, self.area.root)))

    def _bury(self, lost: Sequence[Live], dead: Sequence[Live]) -> None:
        """Attempts the queue knows no more, and that left no word: `lost` never began, `dead` did."""
        gone = [*lost, *dead]
        if not gone:
            return
        names = {live.lot.array.name: live.lot for live in gone if live.lot is not None}
        found = self.scheduler.find(list(names)) if names else {}
        news = {lot for name, lot in names.items() if lot.learn(found.get(name, ()))}
        silent = [element for live in gone if live.state is None for element in live.elements]
        records = self.scheduler.explain(silent) if silent else {}
        for live in gone:
            if live.state is None:
                live.at, live.state = best_of(live.elements, records)
        for live in dead:
            if live.lot not in news:
                live.end = dead_end(live, self.scheduler.title, self.name)
        self._begin_again([live for live in lost if live.lot not in news])

    def _begin_again(self, lost: Sequence[Live]) -> None:
        """Submit once more what the scheduler forgot; say of the others why they never began."""
        forgotten = [live for live in lost if live.state is None and not (live.lot and live.lot.known)]
        again = [live for live in forgotten if not live.stopping and live.resubmitted < RESUBMITS]
        mine = self._take_back([live for live in lost if live not in again])
        title = self.scheduler.title
        for live in mine:
            state = live.state
            if live.stopping:
                self._forget(live, SawNothing(*live.job.ref, "cancelled before it started"))
            elif state is None and live in forgotten:
                text = f"{title} forgot it {1 + live.resubmitted} times"
                self._forget(live, SawNothing(*live.job.ref, text, source_fault=True))
            elif state is None or state.removed:
                text = state.message if state else f"somebody took it out of the queue of {title}"
                self._forget(live, SawNothing(*live.job.ref, text))
            else:
                text = state.message or f"{title} says {state.word}, and it never began"
                log = f"; see {self.area.root}/{live.lot.array.log}" if live.lot else ""
                self._forget(live, SawNothing(*live.job.ref, text + log, source_fault=True))
        by_batch: dict[str, list[Live]] = {}
        for live in again:
            by_batch.setdefault(live.job.batch, []).append(live)
        for batch, lives in by_batch.items():
            for live in lives:
                live.others = live.arrays
            self._enter(batch, lives)
            for live in lives:
                live.resubmitted += 1
                live.adopted = False

    def _give_up_on_never(self, clock: float) -> None:
        late = [
            live for live in self._live.values()
            if live.never_since is not None and clock - live.never_since >= NEVER
        ]  # fmt: skip
        reason = ""
        for live in self._take_back(late):
            assert live.state is not None
            reason = (
                f"{self.name}: {self.scheduler.title} took the job and says that it can never run "
                f"({live.state.reason}); ask for less, or for another partition or queue, in spawn.yaml"
            )
            self._forget(live, SawNothing(*live.job.ref, reason, source_fault=True))
        if reason:
            self.tell(SourceRefused(reason))
            self._tell_again()

    # --- ending --------------------------------------------------------------------------------------------------

    def _signal(self, clock: float) -> None:
        """TERM to what shall stop, KILL to what did not heed it in time, and out of the queue with it at last."""
        term: list[Element] = []
        kill: list[Element] = []
        remove: list[Element] = []
        strays: list[Live] = []
        for live in self._live.values():
            if live.end is not None:
                continue
            if live.gone and live.alive:
                # The scheduler gave it up (its node's daemon died), and it runs on this very machine.
                strays.append(live)
            elif live.stopping and live.at is not None and live.standing == "running" and live.claimed:
                live.stop_sent = True
                if live.kill_at is None:
                    term.append(live.at)
                    live.kill_at = clock + self._grace
                elif clock >= live.kill_at:
                    (kill if live.kills == 0 else remove).append(live.at)
                    live.kills += 1
                    live.kill_at = clock + STUBBORN
        if term:
            self.scheduler.signal("TERM", term)
        if kill:
            self.scheduler.signal("KILL", kill)
        if remove:
            self.scheduler.remove(remove)
        if strays:
            self._end_strays(strays)

    def _end_strays(self, strays: Sequence[Live]) -> None:
        """End what the scheduler let go of and still runs, unless a job that nobody knew of turns out to run it."""
        arrays = {id(array): array for live in strays for array, _ in live.arrays}
        found = self.scheduler.find({array.name for array in arrays.values()}) if arrays else {}
        news: set[int] = set()
        for key, array in arrays.items():
            fresh = [job for job in found.get(array.name, ()) if job not in array.jobs]
            array.jobs += fresh
            if fresh:
                news.add(key)
        tokens = [live.job.token for live in strays if not any(id(array) in news for array, _ in live.arrays)]
        if tokens:
            self.area.clear("KILL", tokens)

    def _finish(self) -> None:
        """Tell the ends of which nothing is alive; end what is left of the others."""
        done: list[Live] = []
        cleared: list[Live] = []
        for live in self._live.values():
            if live.end is None:
                continue
            rough = live.stop_sent or live.killed or live.end.failure in ("timeout", "source_lost")
            if not rough and not live.alive:
                done.append(live)
            elif live.gone or live.dead:
                (cleared if live.here else done).append(live)
        if cleared:
            left = self.area.clear("KILL", [live.job.token for live in cleared])
            done += [live for live in cleared if not left.get(live.job.token)]
        silent = [live for live in done if live.killed and live.state is None and not live.stop_sent]
        records = self.scheduler.explain([e for live in silent for e in live.elements]) if silent else {}
        for live in done:
            assert live.end is not None
            if live.killed and live.state is None:
                live.at, live.state = best_of(live.elements, records)
            self._forget(live, with_the_queues_word(live))

    def _facts(self) -> Facts:
        facts = self.area.facts
        assert facts is not None, "nothing is done before the area was opened"
        return facts

    def do_close(self) -> None:
        self.host.close()
