"""The loop with sources that come and go: made when they are asked for, told what was decided, missed in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.control import post_request, post_source
from spawn_tui.engine.engine import Engine
from spawn_tui.engine.observe import Observation, SawEnd, SourceAway, SourceBack
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.engine.sources.base import Job
from spawn_tui.engine.sources.registry import SourceError, SourceSpec
from spawn_tui.engine.store import SweepStore
from spawn_tui.engine.sweep import SourceState, SweepStatus, TaskState
from spawn_tui.engine.viewer import Viewer
from spawn_tui.state.disk import LocalDisk


class Told:
    """A source that writes down what it is told, and says what a test wants it to."""

    outlives_host = False

    def __init__(self, state: SourceState) -> None:
        self.name, self.options = state.name, dict(state.options)
        self.told: list[tuple[object, ...]] = []
        self.says: list[Observation] = []

    def launch(self, batch: str, jobs: Sequence[Job], *, limit: int) -> None:
        self.told.append(("launch", batch, [job.ref for job in jobs], limit))

    def limit(self, batch: str, count: int) -> None:
        self.told.append(("limit", batch, count))

    def withdraw(self, attempts: Sequence[ev.Ref]) -> None:
        self.told.append(("withdraw", list(attempts)))

    def collect(self, jobs: Sequence[Job], *, failed: frozenset[ev.Ref]) -> None:
        self.told.append(("collect", [job.ref for job in jobs], failed))

    def cancel(self, attempts: Sequence[ev.Ref], *, force: bool) -> None:
        self.told.append(("cancel", list(attempts), force))

    def adopt(
        self, jobs: Sequence[Job], *, running: frozenset[ev.Ref], cancelling: frozenset[ev.Ref]
    ) -> None:
        self.told.append(("adopt", [job.ref for job in jobs], running, cancelling))

    def poll(self, now: float) -> list[Observation]:
        says, self.says = self.says, []
        return says

    def wake_after(self) -> float | None:
        return None

    def close(self) -> None:
        self.told.append(("close",))


class Nothing:
    """Lock, readable tree and renderer of which nothing is asked here."""

    def __getattr__(self, name: str):
        return lambda *given, **named: None


class Bench:
    """One sweep on a real disk, a clock that a test moves, and engines that follow each other."""

    def __init__(self, root: Path, *sources: ev.SourceAdded, total: int = 4, **frame: object) -> None:
        self.root, self.now = root, 1000.0
        self.broken: dict[str, str] = {}
        self.made: dict[str, Told] = {}
        plan = Plan("spawn", "s", tuple(PlannedTask("", {"i": i}) for i in range(total)), command="true")
        created = ev.SweepCreated("s-20260101-abcdef", "s", total, str(root), **frame)  # type: ignore[arg-type]
        SweepStore.create(root, plan, [created, *sources], LocalDisk(), lambda: self.now)
        self.engine = self.begin()

    def begin(self) -> Engine:
        store, _ = SweepStore.open(self.root, LocalDisk(), clock=lambda: self.now)
        nothing = Nothing()
        self.engine = Engine(
            store, {}, nothing, nothing, nothing, LocalDisk(), lambda: self.now, make=self.make  # type: ignore[arg-type]
        )  # fmt: skip
        self.engine.start()
        self.engine.step()
        return self.engine

    def make(self, state: SourceState) -> Told:
        if state.name in self.broken:
            raise SourceError(self.broken[state.name])
        made = self.made[state.name] = Told(state)
        return made

    def step(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.engine.step()

    @property
    def sweep(self):
        return self.engine.sweep


HERE = ev.SourceAdded("here", "local", 1)
HPC = ev.SourceAdded("hpc", "slurm", 2, queue=True)


def test_a_source_is_told_of_limits_and_withdrawals(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HERE, HPC, total=9)
    hpc, here = bench.made["hpc"], bench.made["here"]
    (launch,) = hpc.told
    assert launch[0] == "launch" and len(launch[2]) == 6 and launch[3] == 2  # type: ignore[arg-type]
    post_request(tmp_path, "slots", source="hpc", value=3)
    bench.step()
    assert hpc.told[1:] == [("limit", "b2", 3)]
    while bench.sweep.ready:
        here.says = [SawEnd(index, 1, exit_code=0) for index in bench.sweep.sources["here"].active]
        bench.step()
    here.says = [SawEnd(index, 1, exit_code=0) for index in bench.sweep.sources["here"].active]
    bench.step(5.0)
    assert hpc.told[2] == ("withdraw", [ev.Ref(max(bench.sweep.sources["hpc"].active), 1)])


def test_a_new_engine_repeats_the_limits(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HPC, total=9)
    bench.begin()
    adopt, limit = bench.made["hpc"].told
    assert adopt[0] == "adopt" and len(adopt[1]) == 9  # type: ignore[arg-type]
    assert limit == ("limit", "b1", 2)


def test_what_was_given_up_is_ended_by_force_now_and_by_every_later_engine(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HERE, ev.SourceAdded("far", "ssh", 1), grace=5.0)
    far = bench.made["far"]
    (launch,) = far.told
    (ref,) = launch[2]  # type: ignore[misc]
    far.says = [SourceAway("no route")]
    bench.step()
    bench.step(5.0)
    assert far.told[1:] == [("cancel", [ref], True)]
    bench.begin()
    far = bench.made["far"]
    assert far.told == [("adopt", [ref], frozenset({ref}), frozenset({ref}))]
    far.says = [SawEnd(*ref, exit_code=None, signal=9, stopped=True)]
    bench.step()
    bench.begin()
    assert bench.made["far"].told == [], "it is known what became of it"


def test_a_source_that_cannot_be_made_is_disabled_and_the_others_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HERE)
    bench.broken["hpc"] = "source hpc: there is no sbatch here; install slurm-client"
    post_source(tmp_path, SourceSpec("hpc", "slurm", 2))
    bench.step()
    state = bench.sweep.sources["hpc"]
    assert (state.disabled_cause, state.disabled_reason) == ("start", bench.broken["hpc"])
    assert bench.sweep.sources["here"].active
    bench.broken.clear()
    bench.begin()
    assert state.name in bench.made and bench.sweep.sources["hpc"].usable, "the next engine tries it anew"


def test_a_sweep_without_any_source_that_can_be_made_ends_and_says_why(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HERE)
    bench.made["here"].says = [SawEnd(0, 1, exit_code=0)]
    bench.broken["here"] = "source here: no disk"
    bench.step()
    bench.begin()
    assert bench.sweep.unknown, "nobody can say what runs there"
    bench.step(300.0)
    assert bench.sweep.status is SweepStatus.FAILED
    assert bench.sweep.reason.endswith("here is disabled (source here: no disk)")


def test_sources_come_and_go_while_it_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HERE)
    post_source(tmp_path, SourceSpec("far", "ssh", 2, {"host": "a"}))
    bench.step()
    assert [told[0] for told in bench.made["far"].told] == ["launch"]
    assert bench.sweep.sources["far"].options == (("host", "a"),)
    first = bench.made["far"]
    post_source(tmp_path, SourceSpec("far", "ssh", 2, {"host": "b"}))
    bench.step()
    assert first.told[-1] == ("close",)
    assert bench.made["far"] is not first and bench.made["far"].told[0][0] == "adopt"
    post_source(tmp_path, SourceSpec("far", "ssh", 3, {"host": "b"}))
    bench.step()
    assert [told[0] for told in bench.made["far"].told] == ["adopt", "launch"], (
        "other slots are no other source"
    )
    post_request(tmp_path, "remove_source", source="far")
    bench.step()
    bench.made["far"].says = [SawEnd(1, 1, exit_code=0)]
    bench.step()
    assert bench.sweep.tasks[1].state is TaskState.COMPLETED, "what it runs, it may finish"
    assert bench.sweep.sources["far"].free == 0


def test_a_person_enables_what_was_disabled(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HERE, total=2)
    bench.engine._commit([ev.SourceDisabled("here", "x", "refused")])
    post_request(tmp_path, "enable_source", source="here")
    bench.step()
    assert bench.sweep.sources["here"].usable


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (SourceSpec("here", "ssh", 2), "here is a local source of this sweep"),
        (SourceSpec("new", "ssh", 0), "at least one slot"),
        (SourceSpec("", "ssh", 1), "a name and a kind"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(tmp_path: Path, spec: SourceSpec, words: str) -> None:
    bench = Bench(tmp_path, HERE)
    request = post_source(tmp_path, spec)
    bench.step()
    assert words in bench.sweep.requests[request]
    assert [*bench.sweep.sources] == ["here"]


def test_an_added_source_wakes_a_sweep_that_had_nobody_left(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HERE, total=2)
    bench.engine._commit([ev.SourceRemoved("here")])
    bench.made["here"].says = [SawEnd(0, 1, exit_code=0)]
    bench.step()
    assert bench.sweep.status is SweepStatus.FAILED
    post_source(tmp_path, SourceSpec("far", "ssh", 1))
    bench.step()
    assert bench.sweep.status is SweepStatus.RUNNING and bench.made["far"].told


def test_two_sources_that_both_did_it_after_all_count_once(tmp_path: Path) -> None:
    """Both were given up, and come back in one round: the first completion stands, the other is a stray."""
    a, b = ev.SourceAdded("a", "ssh", 1), ev.SourceAdded("b", "ssh", 1)
    bench = Bench(tmp_path, a, b, total=1, grace=5.0)
    for name in ("a", "b"):
        bench.made[name].says.append(SourceAway("no answer"))
        bench.step()
        if name == "b":
            bench.engine.request("pause")
        bench.step(6.0)
    attempts = bench.sweep.tasks[0].attempts
    assert [attempt.source for attempt in attempts] == ["a", "b"]
    for name, number in (("a", 1), ("b", 2)):
        bench.made[name].says += [SourceBack(), SawEnd(0, number, exit_code=0)]
    bench.step()
    assert [attempt.state.value for attempt in attempts].count("completed") == 1
    assert Viewer(tmp_path).sweep.counts == bench.sweep.counts, "and the journal can be read"
