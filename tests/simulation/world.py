"""One simulated day of one sweep: the real engine, store, journal and decisions over a world made of one seed."""

from __future__ import annotations

import errno
import heapq
import json
from collections.abc import Callable
from random import Random
from unittest.mock import patch

from spawn_tui.engine import engine as engine_module
from spawn_tui.engine import events as ev
from spawn_tui.engine.decide import decide, is_idle
from spawn_tui.engine.ids import task_name
from spawn_tui.engine.store import SweepStore, load_sweep, replay
from spawn_tui.engine.sweep import ACTIVE, Sweep, TaskState
from spawn_tui.engine.trouble import DiskTrouble
from spawn_tui.state.layout import SweepLayout
from spawn_tui.state.lock import LockLost
from spawn_tui.state.requests import post

from .clock import WorldTime
from .cloud import Cloud
from .cluster import Cluster
from .disk import SimDisk
from .faults import Crash, PowerFailure
from .host import Host
from .invariants import GIVEN_UP, Witness, check_shape, demand, demand_same
from .life import PROCESS, ROOT, Life, token_of
from .scenario import REGIONS, Scenario, draw, with_clouds
from .source import Temper

CALM_STEPS = 1500
"""Steps within which a sweep must have come to its end once faults have ceased."""
CLOUDS_FROM = 1000
"""Seeds from here on are days with clouds, regions, prices and budgets; those before stay what they always were."""
BUSY_STEPS = 5000
"""Steps a day of faults may take: one that needs more turns in circles."""


class _Sleeper:
    """An engine that stands still; its write may land after `left` operations of others."""

    def __init__(self, life: Life, write: Callable[[], None] | None, left: int) -> None:
        self.life, self.write, self.left = life, write, left
        self.landed = False


class World:
    """`run` plays the whole day and raises `Broken` (or whatever escaped the engine) if anything is wrong."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.trace: list[str] | None = [] if trace else None
        self.scenario: Scenario = draw(self.rng)
        if seed >= CLOUDS_FROM:
            self.scenario = with_clouds(self.scenario, self.rng)
        self.time = WorldTime(self.scenario.tick)
        self.disk = SimDisk()
        self.layout = SweepLayout(ROOT)
        self.here = Host("here", self.rng, slow=self.scenario.slow, length=self.scenario.length)
        """The engine's own machine; all local sources are there."""
        self.hosts: dict[str, Host] = {}
        """By source: a remote one is a machine of its own."""
        self.temper = self.scenario.temper
        self.witness = Witness(self.disk, self.layout.journal, self)
        self.holder: Life | None = None
        self.current: Life | None = None
        """The engine that runs, if one does."""
        self.calm = False
        self.power_failed = False
        self.steps = 0
        self._lives = 0
        self._sleeper: _Sleeper | None = None
        self._asked: dict[str, Host] = {}
        """Launched tokens, and where."""
        self._posted: list[str] = []
        self._agenda: list[tuple[float, int, str, str]] = []
        self._gone_for_good: set[str] = set()
        self._restart_at = 0.0
        self._calm_at = self.time.now + self.scenario.lasts
        self._act_at = self.time.now + self.rng.expovariate(1 / self.scenario.pace)
        for event in self.scenario.first:
            if isinstance(event, ev.SourceAdded):
                self.host_of(event.source, event.kind)

    def host_of(self, name: str, kind: str) -> Host:
        """The machine of a source, which was there before anybody asked for it."""
        if name not in self.hosts:
            made = {"cluster": Cluster, "ec2": Cloud}.get(kind, Host)
            remote = made(name, self.rng, slow=self.scenario.slow, length=self.scenario.length)
            self.hosts[name] = self.here if kind == "local" else remote
        return self.hosts[name]

    # --- telling -------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.time.now - 1_700_000_000:9.3f} {text}")

    def token(self, ref: ev.Ref) -> str:
        return token_of(ref)

    # --- the day -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        with patch.multiple(engine_module, host_name=lambda: "simhost", os=PROCESS):
            self.say(str(self.scenario))
            SweepStore.create(ROOT, self.scenario.plan, self.scenario.first, self.disk, self.time.read)
            self.witness.catch_up()
            while self._round():
                self.steps += 1
                demand(self.steps < (CALM_STEPS if self.calm else BUSY_STEPS), "the day does not end")
            self._judge_the_day()

    def _round(self) -> bool:
        now = self.time.now
        if not self.calm and now >= self._calm_at:
            self._calm_down()
        if not self.calm and now >= self._act_at:
            self._act_at = now + self.rng.expovariate(1 / self.scenario.pace)
            if self.scenario.actions:
                self._act(self.rng.choice(self.scenario.actions))
        self._keep_agenda()
        for host in self.hosts.values():
            host.run_until(self.time.now)
        self._watch_clusters()
        if self.calm and not self._mail():
            self._let_it_go_on()
        if self.current is None:
            if self._engine_wanted():
                if now >= self._restart_at:
                    self.current = self._begin_life(may_sleep=True)
            elif self.calm:
                return False
        if self.current is not None:
            self._let_live(self.current)
        self._pass_time()
        return True

    def _let_it_go_on(self) -> None:
        """Somebody sees to what the engine stopped for: its tasks fail everywhere, or its money is spent."""
        sweep = self.witness.sweep
        if sweep.budget_spent:
            self._send({"verb": "budget", "value": 10**9})
        elif sweep.paused and (sweep.blamed or (self.scenario.clouds and sweep.ended is None)):
            self._send({"verb": "resume"})

    def _watch_clusters(self) -> None:
        """No more runs than the source has slots, unless somebody changed them or an attempt was given up there."""
        if {"slots", "add_source", "partition", "host_dies"} & {*self.scenario.actions}:
            return
        sweep = self.witness.sweep
        for name, source in sweep.sources.items():
            host = self.hosts[name]
            if isinstance(host, Cluster) and not any(self._is_at(name, key) for key in sweep.given_up):
                running = sum(1 for run in host.claims.values() if run.state == "running")
                demand(
                    running <= source.slots, f"more run at {name} than it has slots", running, source.slots
                )

    def _is_at(self, name: str, key: tuple[int, int]) -> bool:
        return self.witness.sweep.tasks[key[0]].attempts[key[1] - 1].source == name

    def _engine_wanted(self) -> bool:
        sweep = self.witness.sweep
        return self._mail() or not (sweep.ended is not None or is_idle(sweep))

    def _mail(self) -> bool:
        return any(not name.startswith(".") for name in self.disk.names(self.layout.requests))

    def _begin_life(self, *, may_sleep: bool) -> Life:
        self._lives += 1
        if self.scenario.clock_jumps:
            self.time.wall_offset = self.rng.choice((0.0, 0.0, 7.0, -7.0, 4000.0, -4000.0))
        self.say(f"engine {self._lives} starts")
        self.holder = Life(self, self._lives, may_sleep=may_sleep and self._sleeper is None)
        return self.holder

    def _let_live(self, life: Life) -> None:
        """One piece of that engine's life. If it ends, another may start later."""
        try:
            lives = self._go_on(life)
        except PowerFailure:
            self._lose_power()
            lives = False
            self.current = None
        if not lives and self.current is life:
            self.current = None
        if self.current is None:
            self._restart_at = self.time.now + (0.0 if self.calm else self.rng.expovariate(1.0))

    def _go_on(self, life: Life) -> bool:
        """Whether it lives on. A power failure is for the whole world and goes through."""
        try:
            lives = life.go_on()
        except PowerFailure:
            raise
        except Crash:
            self.witness.catch_up()
            return False
        except LockLost as error:
            self.say(f"engine {life.number} stops: {error}")
            demand(self.holder is not life, "an engine lost a lock that nobody took")
            self._close(life)
            return False
        except (DiskTrouble, OSError) as error:
            full = isinstance(error, DiskTrouble) or error.errno == errno.ENOSPC
            demand(full and self.disk.room is not None, "an error nobody expected", repr(error))
            self.say(f"engine {life.number} stops: {error}")
            self._close(life)
            self.witness.catch_up()
            return False
        self._look_at(life)
        return lives

    def _close(self, life: Life) -> None:
        life.dead = True
        if life.engine is not None:
            life.engine.close()
        life.release()

    def _look_at(self, life: Life) -> None:
        news = self.witness.catch_up()
        sweep = life.sweep
        if self.holder not in (life, None) or sweep is None or not news:
            return
        check_shape(sweep)
        demand_same(sweep, self.witness.sweep, "the journal tells another sweep than the engine's")
        if life.stepped and life.engine is not None and not life.engine.finished:
            self.witness.demand_obeyed()

    def _pass_time(self) -> None:
        """To the next moment at which something can happen; now and then to one before it."""
        now = self.time.now
        times = [now + 0.2] if self._mail() else []
        times += [host.next_at for host in self.hosts.values() if host.next_at is not None]
        if self._agenda:
            times.append(self._agenda[0][0])
        if not self.calm:
            times += [self._act_at, self._calm_at]
        if self.current is None:
            if self._engine_wanted():
                times.append(self._restart_at)
        else:
            times += self._due(self.current)
        target = min(times, default=now + 0.2)
        if not self.calm and self.rng.random() < 0.2:
            target = min(target, now + self.rng.random() * 0.2)
        self.time.now = max(target, now + 0.0005)

    def _due(self, life: Life) -> list[float]:
        """When that engine wants to be asked again."""
        engine, clock = life.engine, life.clock
        if engine is None or clock is None or engine.finished:
            return [self.time.now]
        now = clock()
        times = [at for source in life.sources.values() if (at := source.next_at()) is not None]
        decision = decide(engine.sweep, now, launch=engine._drain is None)
        if decision.events:
            times.append(self.time.now)
        elif decision.wake_at is not None:
            demand(decision.wake_at > now, "nothing to do, and yet no time to wait", decision.wake_at - now)
            times.append(clock.ahead(decision.wake_at))
        if engine._drain is not None and engine._drain[1] > now:
            times.append(clock.ahead(engine._drain[1]))
        return times

    # --- what engines ask of the world ---------------------------------------------------------------------------

    def opened(self, life: Life, sweep: Sweep) -> None:
        """An engine read the directory: snapshot and tail must say what the first event and all after it say."""
        check_shape(sweep)
        if self.holder is not life:
            return  # it slept through a takeover, and the journal went on without it
        demand_same(
            sweep, replay(ROOT, self.disk), "snapshot and tail tell another sweep than the whole journal"
        )

    def may_launch(self, source: str, ref: ev.Ref, again: bool) -> None:
        """A launch command goes out. `again`: for an attempt that another engine may have asked for before."""
        self.witness.catch_up()
        self.say(f"  -> {source} launches {token_of(ref)}{' again' if again else ''}")
        tasks = self.witness.sweep.tasks[ref.task].attempts
        demand(len(tasks) >= ref.attempt, "a launch that is not in the journal", ref)
        demand(
            tasks[ref.attempt - 1].source == source, "launched elsewhere than the journal says", source, ref
        )
        if not again:
            token = token_of(ref)
            demand(token not in self._asked, "launched a second time", token)
            self._asked[token] = self.hosts[source]

    def take_over(self, life: Life, write: Callable[[], None] | None) -> bool:
        """`life` stands still in the middle of what it does, and another engine lives on; see `Life.sleep`."""
        if self._sleeper is not None or self.holder is not life:
            return False
        sleeper = self._sleeper = _Sleeper(life, write, self.rng.randint(0, 12))
        other = self.current = self._begin_life(may_sleep=False)
        for _ in range(self.rng.randint(1, 12)):
            if not self._go_on(other):
                self.current = None
                break
            self._pass_time()
            self._keep_agenda()
            for host in self.hosts.values():
                host.run_until(self.time.now)
        self._sleeper = None
        self.say(f"engine {life.number} wakes")
        return sleeper.landed

    def let_sleeper_write(self, life: Life) -> None:
        sleeper = self._sleeper
        if sleeper is None or sleeper.write is None or sleeper.landed or sleeper.life is life:
            return
        sleeper.left -= 1
        if sleeper.left == 0:
            self.say(f"  !! what engine {sleeper.life.number} was writing lands now")
            try:
                sleeper.write()
            except OSError:
                return  # refused: it will find out when it wakes
            sleeper.landed = True
            self.witness.catch_up()  # a viewer may look just now

    # --- what befalls it -----------------------------------------------------------------------------------------

    def _lose_power(self) -> None:
        self.power_failed = True
        self._sleeper = None
        self.holder = None
        self.disk.power_failure(self.rng)
        self.here.power_failure()
        self._asked = {token: host for token, host in self._asked.items() if host is not self.here}
        self.witness.read_again()

    def _act(self, action: str) -> None:
        self.say(f"** {action}")
        match action:
            case "stop" | "drain":
                engine = self.current.engine if self.current is not None else None
                if engine is not None and action == "stop":
                    engine.stop("SIGTERM")
                elif engine is not None:
                    engine.drain("SIGINT", 0.5)
            case "partition" | "host_dies":
                self._lose_a_host(dies=action == "host_dies")
            case "disk_full":
                self.disk.room = self.rng.randint(0, 800)
                self._later("room", "", self.rng.expovariate(1.0))
            case "full_cluster":
                clusters = [name for name, host in self.hosts.items() if isinstance(host, Cluster)]
                if clusters:
                    name = self.rng.choice(clusters)
                    self._set_room(name, self.rng.choice((0, 0, 1)))
                    self._later("space", name, self.rng.expovariate(1 / 3))
            case "capacity" | "spot" | "terminated":
                self._befall_a_cloud(action)
            case "rush":
                self.time.now += self.rng.expovariate(1 / 5)
            case _:
                self._post(action)

    def _lose_a_host(self, *, dies: bool) -> None:
        known = self.witness.sweep.sources
        names = [name for name, host in self.hosts.items() if host is not self.here and name in known]
        if not names:
            return
        loaded = [name for name in names if known[name].active]
        name = self.rng.choice(loaded or names)
        host = self.hosts[name]
        host.reachable = False
        if dies:
            host.die()
        if self.scenario.never_returns and self.rng.random() < 0.5:
            self._gone_for_good.add(name)
        else:
            self._later("return", name, self.rng.expovariate(1 / 3))

    def _befall_a_cloud(self, what: str) -> None:
        clouds = [name for name, host in self.hosts.items() if isinstance(host, Cloud)]
        name = self.rng.choice(clouds)
        cloud = self.hosts[name]
        assert isinstance(cloud, Cloud)
        if what == "capacity":
            self._set_room(name, self.rng.choice((0, 0, 1, 2)))
            self._later("space", name, self.rng.expovariate(1 / 3))
        else:
            cloud.end_one("spot_interrupted" if what == "spot" else "terminated")

    def _set_room(self, name: str, room: int) -> None:
        host = self.hosts[name]
        if isinstance(host, Cluster):
            host.set_room(room)
        else:
            assert isinstance(host, Cloud)
            host.room = room

    def _later(self, what: str, whom: str, seconds: float) -> None:
        heapq.heappush(self._agenda, (self.time.now + seconds, len(self._agenda), what, whom))

    def _keep_agenda(self) -> None:
        while self._agenda and self._agenda[0][0] <= self.time.now:
            _, _, what, whom = heapq.heappop(self._agenda)
            self.say(f"** {what} {whom}")
            if what == "room":
                self.disk.room = None
            elif what == "space":
                self._set_room(whom, self.rng.randint(1, 6))
            elif whom not in self._gone_for_good:
                self.hosts[whom].reachable = True

    def _calm_down(self) -> None:
        """No more faults: from here on the sweep must come to its end."""
        self.say("== calm")
        self.calm = True
        self._agenda.clear()
        self.temper = self.scenario.temper
        for name in Temper.__slots__:
            setattr(self.temper, name, 0.0)
        self.disk.room = None
        for name, host in self.hosts.items():
            host.reachable = name not in self._gone_for_good
            if isinstance(host, Cluster | Cloud):
                self._set_room(name, self.rng.randint(1, 6))
        self._restart_at = self.time.now
        self.steps = 0
        self._send({"verb": "resume"})

    # --- what people ask -----------------------------------------------------------------------------------------

    def _post(self, action: str) -> None:
        rng, total = self.rng, self.witness.sweep.total
        some = [task_name(index) for index in range(total) if rng.random() < 0.4] or [task_name(0)]
        match action:
            case "cancel":
                self._send({"verb": "cancel"})
            case "cancel_tasks":
                self._send({"verb": "cancel", "tasks": some})
            case "force":
                self._send(
                    {"verb": "cancel", "force": True} | ({"tasks": some} if rng.random() < 0.7 else {})
                )
            case "retry_tasks":
                self._send({"verb": "retry", "tasks": some})
            case "slots":
                source = rng.choice(list(self.hosts))
                self._send({"verb": "slots", "source": source, "value": rng.randint(1, 6)})
            case "limit":
                self._send({"verb": "limit", "value": rng.randint(0, 6)})
            case "add_source":
                clouds = self.scenario.clouds
                kind = rng.choice(("local", "remote", "cluster", "moody", *(("ec2",) if clouds else ())))
                name = rng.choice((f"{kind}-{len(self.hosts) + 1}", *self.hosts))
                if name not in self.witness.sweep.sources:
                    kind = name.partition("-")[0]
                self.host_of(name, kind)
                content: dict[str, object] = {
                    "verb": "add_source", "source": name, "kind": kind, "value": rng.randint(0, 4),
                    "queue": kind == "cluster", "options": {"x": rng.choice("ab")},
                }  # fmt: skip
                if clouds:
                    content["options"] = {"region": rng.choice(REGIONS)}
                    content |= {"elsewhere": kind != "local", "grace": rng.choice((0.0, 2.0))}
                self._send(content)
            case "budget":
                self._send({"verb": "budget", "value": rng.choice((1, 100, 2000, 100_000))})
            case "remove_source" | "enable_source":
                self._send({"verb": action, "source": rng.choice(list(self.hosts))})
            case "nonsense":
                nonsense: list[dict[str, object] | bytes] = [
                    b"", b"{", b"[1]", {"verb": "explode"}, {"verb": "cancel", "tasks": "task_001"},
                    {"verb": "retry", "tasks": ["task_999"]}, {"verb": "slots", "source": "moon", "value": 1},
                    {"verb": "slots", "source": next(iter(self.hosts)), "value": 0}, {"verb": "limit", "value": -1},
                    {"verb": "cancel", "tasks": [None]}, {"verb": "limit", "value": True},
                ]  # fmt: skip
                self._send(rng.choice(nonsense))
            case "again" if self._posted:
                self._send({"verb": "cancel"}, rng.choice(self._posted))
            case "again":
                pass
            case _:
                self._send({"verb": action})

    def _send(self, content: dict[str, object] | bytes, request_id: str = "") -> None:
        """Leave a request, also one whose id was used before (its sender tried twice)."""
        request_id = request_id or f"{int(self.time.now * 1000):013d}-{self.rng.getrandbits(32):08x}"
        try:
            if isinstance(content, bytes):
                self.disk.create(self.layout.requests / f"{request_id}.json", content)
            else:
                post(self.disk, self.layout.requests, request_id, content)
        except OSError:
            return  # a full disk, or it is still there: its sender is told
        self.say(f"   request {request_id} {content if isinstance(content, bytes) else json.dumps(content)}")
        if request_id not in self._posted:
            self._posted.append(request_id)

    # --- the end -------------------------------------------------------------------------------------------------

    def _judge_the_day(self) -> None:
        witness = self.witness
        witness.catch_up()
        sweep = witness.sweep
        check_shape(sweep)
        demand_same(sweep, replay(ROOT, self.disk), "the witness saw another sweep than the journal tells")
        demand_same(load_sweep(ROOT, self.disk)[1], sweep, "snapshot and tail tell another sweep at the end")
        demand(not self._mail(), "requests were left lying")
        lost = [request for request in self._posted if request not in witness.taken]
        demand(not lost, "requests were lost", lost)
        demand(sweep.ended is not None, "faults have ceased, and the sweep has not ended", sweep.status)
        left = sweep.counts[TaskState.PENDING]
        demand(not left or "no source can take" in sweep.reason, "tasks are left", left, sweep.reason)
        waiting = {sweep.needs_of(task.index) for task in sweep.tasks if task.state is TaskState.PENDING}
        for source in sweep.sources.values():
            if not any(source.suits(needs) for needs in waiting):
                continue
            out = source.removed or source.disabled_since is not None or source.name in self._gone_for_good
            demand(out, "tasks are left though a source could take them", source.name, sweep.reason)
        for name, host in self.hosts.items():
            self._judge_host(name, host, sweep)

    def _judge_host(self, name: str, host: Host, sweep: Sweep) -> None:
        for token, times in host.executed.items():
            demand(times == 1, "a token was executed more than once", token, times)
        # The launch of what outlives the engine's machine is synced, so no power failure excuses anything there.
        excused = self.power_failed and host is self.here
        for token, run in host.claims.items():
            task = sweep.tasks[run.ref.task]
            if len(task.attempts) < run.ref.attempt:
                demand(excused, "something ran that is not in the journal", token)
                continue
            attempt = task.attempts[run.ref.attempt - 1]
            if self.hosts[attempt.source] is not host:
                demand(excused, "an attempt ran where it was not sent", token, name)
                continue
            if GIVEN_UP in attempt.message:
                heard = (run.ref.task, run.ref.attempt) not in sweep.given_up
                demand(
                    not heard or run.state != "running", "an attempt that was given up was forgotten", token
                )
                continue
            demand(run.state != "running", "an orphan is left", token)
            demand(attempt.state not in ACTIVE, "an end was never recorded", token)
            recorded = (attempt.exit_code, attempt.signal)
            demand(
                excused or run.state != "ended" or recorded == (run.exit_code, run.signal),
                "an end was recorded wrongly", attempt, run,
            )  # fmt: skip
