"""One engine from its start to its death, as `engine.run` leads it, with a fate of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from spawn_tui.engine import events as ev
from spawn_tui.engine.command import Invocation
from spawn_tui.engine.engine import Engine
from spawn_tui.engine.ids import task_name
from spawn_tui.engine.sources.registry import SourceError
from spawn_tui.engine.store import SweepStore
from spawn_tui.engine.sweep import SourceState, Sweep
from spawn_tui.state.lock import LockLost

from .clock import EngineClock
from .disk import EngineDisk
from .faults import Fate, Strike, draw_strike
from .scenario import SWEEP_ID
from .source import SimSource

if TYPE_CHECKING:
    from .world import World

ROOT = Path("/sweep")


def token_of(ref: ev.Ref) -> str:
    return f"{SWEEP_ID}.{task_name(ref.task)}.{ref.attempt}"


class Renderer:
    """Stands in for `engine.command.Renderer`: what runs is of no interest here, its token is."""

    def render(
        self, index: int, *, task_dir: str, attempt: int, previous_dir: str | None, source: str
    ) -> Invocation:
        return Invocation(("true",), {"SWEEP_TOKEN": token_of(ev.Ref(index, attempt))}, "/project", {})


class Life:
    """`number` counts engines. It holds the lock from its birth until another one takes it."""

    def __init__(self, world: World, number: int, *, may_sleep: bool) -> None:
        self.world, self.number = world, number
        fates = [fate for fate in world.scenario.fates if may_sleep or fate is not Fate.SLEEP]
        self._strike = draw_strike(world.rng, fates) if fates else None
        self._left = self._strike.after if self._strike is not None else 0
        self.engine: Engine | None = None
        self.clock: EngineClock | None = None
        self.sources: dict[str, SimSource] = {}
        self.dead = False
        self.stepped = False
        """Whether the last thing it did was a round of its loop."""

    # --- what its surroundings call ------------------------------------------------------------------------------

    def point(self, what: str) -> Strike | None:
        """The engine is about to do `what`. The strike, if this is where its fate waits."""
        assert not self.dead, f"engine {self.number} is dead and does {what}"
        self.world.let_sleeper_write(self)
        strike = self._strike
        if strike is None or not strike.concerns(what) or self.world.calm:
            return None
        self._left -= 1
        if self._left != 0:
            return None
        self.world.say(f"  !! engine {self.number}: {strike.fate.value}, {strike.when.value} {what}")
        return strike

    def cross(self, what: str) -> None:
        """A point where there is nothing to tear."""
        strike = self.point(what)
        if strike is None:
            return
        if strike.fate is Fate.SLEEP:
            self.sleep()
        else:
            self.die(strike)

    def die(self, strike: Strike) -> None:
        self.dead = True
        raise strike.death()

    def sleep(self, write: Callable[[], None] | None = None) -> bool:
        """Stand still while another engine takes over; whether `write` was carried out meanwhile."""
        return self.world.take_over(self, write)

    # --- the lock ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        self.cross("check")
        if self.world.holder is not self:
            raise LockLost("another engine has taken over")

    def release(self) -> None:
        if self.world.holder is self:
            self.world.holder = None

    # --- the readable tree ---------------------------------------------------------------------------------------

    def prepare(self, index: int, number: int) -> None:
        self.cross("prepare")
        self.world.disk.take_room(40)

    def record(self, sweep: Sweep, records: Sequence[ev.Record]) -> None:
        self.cross("record")
        self.world.disk.take_room(10)

    def refresh(self, sweep: Sweep) -> None:
        self.cross("refresh")
        self.world.disk.take_room(10)

    def repair(self, sweep: Sweep) -> None:
        self.cross("repair")

    def close(self) -> None:
        """The readable tree lets go of nothing."""

    # --- living --------------------------------------------------------------------------------------------------

    def go_on(self) -> bool:
        """The next piece of `engine.run.run_engine`; whether there is another. Raises what the engine raises."""
        engine = self.engine
        if engine is None:
            self._begin()
        elif self.stepped and engine.finished:
            self.stepped = False
            engine.finish()
            engine.close()
            return False
        else:
            engine.step()
            self.stepped = True
        return True

    def _begin(self) -> None:
        world = self.world
        disk = EngineDisk(world.disk, self, world.rng)
        clock = EngineClock(world.time, 0.0)
        store, mended = SweepStore.open(ROOT, disk, clock=lambda: clock(), check=self.check)
        store.rotate_every = world.scenario.rotate_every
        clock = self.clock = EngineClock(world.time, store.sweep.updated_at)
        world.opened(self, store.sweep)
        self.engine = Engine(
            store, {}, self, self, Renderer(), disk, clock, make=self._make  # type: ignore[arg-type]
        )  # fmt: skip
        self.engine.start(mended)

    def _make(self, state: SourceState) -> SimSource:
        world, name = self.world, state.name
        if state.kind == "moody" and world.rng.random() < 0.5 and not world.calm:
            raise SourceError(f"source {name}: not today")
        host = world.host_of(name, state.kind)
        made = self.sources[name] = SimSource(
            name, host, self, world.temper, world.rng, lambda: world.time.now, world.may_launch,
            outlives_host=host is not world.here,
        )  # fmt: skip
        return made

    @property
    def sweep(self) -> Sweep | None:
        return self.engine.sweep if self.engine is not None else None


PROCESS = SimpleNamespace(getpid=lambda: 4711)
"""Stands in for `os` in the engine: a real pid would make a run differ from its replay."""
