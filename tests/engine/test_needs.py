"""Tasks that ask for a kind of source or a region: who gets which, who waits, and what is said when nobody ever can."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spawn_tui.engine import events as ev
from spawn_tui.engine import source_state
from spawn_tui.engine.decide import decide
from spawn_tui.engine.observe import SawRunning, interpret
from spawn_tui.engine.plan.model import Plan, PlannedTask
from spawn_tui.engine.snapshot import from_documents, to_documents
from spawn_tui.engine.source_state import ReadyTasks, SourceState
from spawn_tui.engine.sweep import Sweep, SweepStatus, TaskState
from spawn_tui.state.journal import Position

from ..simulation.invariants import check_shape, demand_same
from .histories import History, created

T = TypeVar("T")
EAST, WEST = ev.Needs((), ("us-east-1",)), ev.Needs((), ("us-west-2",))
CLOUD, ANY = ev.Needs(("ec2",)), ev.Needs()
EITHER = ev.Needs(("ec2",), ("us-east-1", "us-west-2"))


def source(name: str, slots: int, region: str = "", kind: str = "ec2", **more: object) -> ev.SourceAdded:
    options = (("region", region),) if region else ()
    return ev.SourceAdded(name, kind, slots, options, **more)  # type: ignore[arg-type]


def east(slots: int) -> ev.SourceAdded:
    return source("east", slots, "us-east-1")


def west(slots: int) -> ev.SourceAdded:
    return source("west", slots, "us-west-2")


def local(slots: int) -> ev.SourceAdded:
    return source("local", slots, kind="local")


def cluster(slots: int) -> ev.SourceAdded:
    return source("hpc", slots, kind="slurm", queue=True)


def sweep(asked: list[tuple[ev.Needs, int]], *sources: ev.SourceAdded, **settings: object) -> History:
    """Runs of tasks with the same needs, in the plan's order."""
    needs = tuple(dict.fromkeys(needs for needs, _ in asked))
    groups = tuple((needs.index(what), count) for what, count in asked)
    total = sum(count for _, count in asked)
    return History(created(total, needs=needs, groups=groups, **settings), *sources)


def launches(history: History) -> list[tuple[str, list[int]]]:
    """What is launched now: source and tasks (from 0)."""
    made = [event for event in decide(history.sweep, history.now).events if isinstance(event, ev.Launching)]
    for event in made:
        assert event.attempts and event.limit <= len(event.attempts), event
        for ref in event.attempts:
            assert history.sweep.sources[event.source].suits(history.sweep.needs_of(ref.task)), event
    history.add(*made)
    check_shape(history.sweep)
    for state in history.sweep.sources.values():
        assert state.load <= state.slots
    return [(event.source, [ref.task for ref in event.attempts]) for event in made]


def launched(history: History) -> dict[str, list[int]]:
    """All that is launched until nothing more is, by source."""
    out: dict[str, list[int]] = {}
    while made := launches(history):
        for name, tasks in made:
            out.setdefault(name, []).extend(tasks)
    return out


def end(history: History, *tasks: int) -> None:
    for index in tasks:
        number = len(history.sweep.tasks[index].attempts)
        history.add(ev.Ended((ev.End(index, number, "completed", exit_code=0),)))


def restored(history: History) -> Sweep:
    tasks = tuple(PlannedTask("", {"i": i}) for i in range(history.sweep.total))
    plan = Plan("spawn", "s", tasks, command="true")
    return from_documents(to_documents(plan, history.sweep, Position(history.sweep.seq, 1, 9, 9)))[1]


# --- who suits whom ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "region", "suits"),
    [
        ("ec2", "us-east-1", {ANY, CLOUD, EAST, EITHER}),
        ("ec2", "us-west-2", {ANY, CLOUD, WEST, EITHER}),
        ("ec2", "eu-west-1", {ANY, CLOUD}),
        ("ec2", "", {ANY, CLOUD, EAST, WEST, EITHER}),  # in no region is in all
        ("local", "", {ANY, EAST, WEST}),
        ("ssh", "us-east-1", {ANY, EAST}),
    ],
)
def test_what_a_source_is_good_for(kind: str, region: str, suits: set[ev.Needs]) -> None:
    state = SourceState("s", kind, 1, (("region", region),) if region else ())
    assert {needs for needs in (ANY, CLOUD, EAST, WEST, EITHER) if state.suits(needs)} == suits


def test_a_plan_that_does_not_say_of_each_task_what_it_needs_is_refused() -> None:
    with pytest.raises(ValueError, match="2 of 3 tasks say what they need"):
        History(created(3, needs=(EAST,), groups=((0, 2),)))


# --- who gets which ----------------------------------------------------------------------------------------------

STRATEGIES = ("round_robin", "least_loaded", "random", "fastest")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_region_gets_its_own_tasks(strategy: str) -> None:
    history = sweep([(EAST, 3), (WEST, 4), (EAST, 2)], east(10), west(3), strategy=strategy)
    assert launches(history) == [("east", [0, 1, 2, 7, 8]), ("west", [3, 4, 5])]
    assert launches(history) == [] and list(history.sweep.ready) == [6]
    end(history, 0, 4)
    assert launches(history) == [("west", [6])], "a free slot in the other region is of no use to it"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_group_is_as_if_there_were_none(strategy: str) -> None:
    sources = (source("a", 2), source("b", 3))
    plain = History(created(9, strategy=strategy, max_concurrent=4), *sources)
    asked = sweep([(CLOUD, 9)], *sources, strategy=strategy, max_concurrent=4)
    for history in (plain, asked):
        launches(history)
        end(history, 0, 1)
    assert launches(asked) == launches(plain) != []


@pytest.mark.parametrize(
    ("strategy", "made"),
    [
        ("round_robin", {"east": [0, 2], "west": [1, 3]}),
        ("least_loaded", {"east": [0], "west": [1, 2, 3]}),
    ],
)
def test_who_may_run_anywhere_is_spread_by_the_strategy(strategy: str, made: dict[str, list[int]]) -> None:
    history = sweep([(EITHER, 4)], east(2), west(6), strategy=strategy)
    counts = {name: len(tasks) for name, tasks in launched(history).items()}
    assert counts == {name: len(tasks) for name, tasks in made.items()}


def test_slots_that_one_group_took_are_not_given_to_the_next() -> None:
    history = sweep([(EAST, 2), (EITHER, 3)], east(3), west(1))
    assert launches(history) == [("east", [0, 1]), ("east", [2]), ("west", [3])]
    assert history.sweep.sources["east"].load == 3 and launches(history) == []


def test_max_concurrent_holds_over_all_groups() -> None:
    history = sweep([(EAST, 5), (WEST, 5)], east(9), west(9), max_concurrent=7)
    assert launches(history) == [("east", [0, 1, 2, 3, 4]), ("west", [5, 6])]
    assert launches(history) == []
    end(history, 0)
    assert launches(history) == [("west", [7])]


def test_who_cannot_be_launched_does_not_hold_the_others() -> None:
    """The first group's only region is full, and there is room for one more in all."""
    history = sweep([(EAST, 3), (WEST, 3)], east(1), west(9), max_concurrent=2)
    assert launched(history) == {"east": [0], "west": [3]}


def test_with_a_launch_delay_one_task_of_all_groups_goes_at_a_time() -> None:
    history = sweep([(EAST, 2), (WEST, 2)], east(1), west(9), launch_delay=5.0)
    order: list[tuple[str, list[int]]] = []
    for _ in range(4):
        order += launches(history)
        assert launches(history) == []
        history.now += 5.0
    assert order == [("east", [0]), ("west", [2]), ("west", [3])]


def test_the_launch_delay_is_waited_for_though_the_first_group_has_no_place() -> None:
    history = sweep([(EAST, 2), (WEST, 2)], east(1), west(9), launch_delay=5.0)
    launches(history)
    assert decide(history.sweep, history.now).wake_at == history.now + 5.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_more_than_a_batch_holds_goes_on_in_the_next(strategy: str) -> None:
    history = sweep([(EAST, 1500), (WEST, 1500)], east(5000), west(5000), strategy=strategy)
    assert [(name, len(tasks)) for name, tasks in launches(history)] == [("east", 1000)]
    assert [(name, len(tasks)) for name, tasks in launches(history)] == [("east", 500), ("west", 500)]
    assert [(name, len(tasks)) for name, tasks in launches(history)] == [("west", 1000)]


@given(
    st.lists(st.tuples(st.sampled_from((EAST, WEST, ANY, CLOUD, EITHER)), st.integers(1, 8)), min_size=1, max_size=6),
    st.lists(st.integers(1, 6), min_size=4, max_size=4), st.none() | st.integers(1, 12), st.sampled_from(STRATEGIES),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_nothing_that_could_run_is_left_idle(
    asked: list[tuple[ev.Needs, int]], slots: list[int], limit: int | None, strategy: str
) -> None:
    sources = (east(slots[0]), west(slots[1]), local(slots[2]), cluster(slots[3]))
    history = sweep(asked, *sources, max_concurrent=limit, strategy=strategy)
    for _ in range(2 * history.sweep.total):
        launched(history)
        state = history.sweep
        assert limit is None or state.load <= limit
        if strategy != "fastest" and (limit is None or state.load < limit):
            for group, _ in state.ready.groups():
                idle = [s.name for s in state.sources.values() if s.free and s.suits(state.needs[group])]
                assert not set(idle) - {"hpc"}, "a slot is free and a task that suits it waits"
        alive = [task.index for task in state.tasks if task.state is TaskState.LAUNCHING]
        if not alive:
            break
        end(history, alive[-1])
    history.settle()
    assert history.sweep.status is SweepStatus.COMPLETED


# --- the fastest -------------------------------------------------------------------------------------------------


def measured(asked: list[tuple[ev.Needs, int]], fast: float, slow: float) -> History:
    """`east` has done a task in `fast` seconds, `west` one in `slow`; nothing runs."""
    history = sweep([(EAST, 1), (WEST, 1), *asked], east(2), west(2), strategy="fastest", max_concurrent=2)
    history.add(ev.Launching("x1", "east", (ev.Ref(0, 1),)), ev.Launching("x2", "west", (ev.Ref(1, 1),)))
    for index, seconds in ((0, fast), (1, slow)):
        done = ev.End(index, 1, "completed", None, 0, started_at=100.0, ended_at=100.0 + seconds)
        history.add(ev.Ended((done,)))
    return history


def test_a_task_does_not_wait_for_a_fast_source_that_is_of_no_use_to_it() -> None:
    history = measured([(WEST, 2)], 1.0, 1000.0)
    assert launches(history) == [("west", [2, 3])]


def test_the_last_tasks_that_may_go_anywhere_wait_for_the_fast_source() -> None:
    history = measured([(EITHER, 4)], 10.0, 1000.0)
    assert launches(history) == [("east", [2, 3])]
    assert launches(history) == [], "east does the other two in 20 s"


# --- sources with a queue ----------------------------------------------------------------------------------------


def test_a_queue_gets_no_more_of_a_group_than_there_is() -> None:
    history = sweep([(EAST, 3), (ANY, 10)], cluster(16))
    assert launched(history) == {"hpc": list(range(13))}
    assert history.sweep.sources["hpc"].load == 13


def test_a_queue_beside_others_gets_no_more_of_a_group_than_is_left() -> None:
    history = sweep([(ANY, 3), (EAST, 10)], local(2), cluster(8))
    made = launches(history)
    assert sorted(index for _, tasks in made for index in tasks)[:3] == [0, 1, 2]
    assert launches(history) == [] and history.sweep.load == 10, "every slot has something to do"


def test_what_is_pinned_stays_where_it_belongs_while_a_queue_gets_its_share() -> None:
    history = sweep([(EITHER, 4), (ev.Needs(("slurm",)), 20)], east(3), cluster(5))
    assert launched(history) == {"east": [0, 1, 2], "hpc": list(range(4, 24))}
    assert list(history.sweep.ready) == [3]


def waiting_in_a_queue(*asked: tuple[ev.Needs, int]) -> History:
    """All of it stands in the queue of a cluster with one slot, and has waited long enough to be taken back."""
    history = sweep(list(asked), cluster(1))
    launched(history)
    assert len(history.sweep.sources["hpc"].waiting) == history.sweep.total
    history.now += 60.0
    return history


def taken_back(history: History) -> list[int]:
    events = history.settle()
    return [ref.task for event in events if isinstance(event, ev.Withdrawing) for ref in event.attempts]


def test_what_waits_in_a_queue_is_taken_back_for_a_slot_that_suits_it() -> None:
    history = waiting_in_a_queue((ev.Needs(("slurm", "ec2"), ("us-east-1",)), 6))
    history.add(local(2), west(2))
    assert taken_back(history) == [], "neither is for them"
    history.add(east(2))
    assert taken_back(history) == [5, 4], "as many as have a place there, the last ones"
    assert taken_back(history) == [], "asked for once"


def test_one_free_slot_is_promised_once() -> None:
    history = waiting_in_a_queue((ev.Needs(("slurm", "ec2")), 6))
    history.add(east(1), west(1), local(4))
    assert taken_back(history) == [5, 4]


def test_tasks_that_wait_for_another_region_do_not_hold_what_has_a_place() -> None:
    history = sweep([(CLOUD, 4), (ev.Needs(("slurm", "local")), 6)], east(1), cluster(1))
    launched(history)
    assert list(history.sweep.ready) == [1, 2, 3]
    history.now += 60.0
    history.add(local(2))
    assert taken_back(history) == [9, 8], "the free slots are of no use to those that are ready"


# --- trust -------------------------------------------------------------------------------------------------------


def test_a_probe_is_a_task_that_suits_the_source() -> None:
    history = sweep([(WEST, 2), (EAST, 3)], east(1), west(1))
    launches(history)
    end(history, 2)
    history.add(ev.SourceDisabled("east", "no answer", "strikes"))
    assert launches(history) == []
    assert decide(history.sweep, history.now).wake_at == history.now + 300.0
    history.now += 300.0
    assert launches(history) == [("east", [3])]
    assert history.sweep.sources["east"].probing == 3
    history.add(*interpret(history.sweep, "east", [SawRunning(3, 1)], history.now))
    assert [event.type for event in history.settle()] == ["source_enabled"]
    end(history, 3)
    assert launches(history) == [("east", [4])]


def test_no_probe_where_nothing_suits() -> None:
    history = sweep([(WEST, 3), (EAST, 1)], east(1), west(1))
    launches(history)
    end(history, 3)
    history.add(ev.SourceDisabled("east", "no answer", "strikes"))
    history.now += 1000.0
    assert launches(history) == []
    end(history, 0)
    assert launches(history) == [("west", [1])]


def test_two_probes_are_two_tasks_each_where_it_belongs() -> None:
    history = sweep([(EAST, 3), (WEST, 3)], east(1), west(1))
    launches(history)
    end(history, 0, 3)
    history.add(ev.SourceDisabled("east", "x", "strikes"), ev.SourceDisabled("west", "y", "strikes"))
    history.now += 300.0
    assert launches(history) == [("east", [1]), ("west", [4])]


def test_one_task_is_one_probe_however_many_sources_wait_for_theirs() -> None:
    history = sweep([(EAST, 2), (WEST, 3)], east(1), source("other", 1, "us-east-1"), west(1))
    launches(history)
    history.add(
        ev.Ended((ev.End(0, 1, "completed"), ev.End(1, 1, "failed", "source_lost", source_fault=True)))
    )
    history.add(ev.SourceDisabled("east", "x", "strikes"), ev.SourceDisabled("other", "y", "strikes"))
    history.settle()
    history.now += 300.0
    assert launches(history) == [("east", [1])]
    assert history.sweep.sources["other"].probe_at is not None


# --- no source ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (EAST, "in us-east-1"),
        (ev.Needs(("ec2",), ("eu-west-1",)), "of kind ec2 in eu-west-1"),
        (
            ev.Needs(("pbs", "ec2"), ("eu-west-1", "eu-west-2")),
            "of kind pbs or ec2 in eu-west-1 or eu-west-2",
        ),
        (ev.Needs(("pbs",)), "of kind pbs"),
    ],
)
def test_who_finds_no_source_ends_the_sweep_and_only_after_the_others(needs: ev.Needs, words: str) -> None:
    history = sweep([(WEST, 2), (needs, 3)], west(1))
    for index in (0, 1):
        assert launches(history) == [("west", [index])] and history.sweep.ended is None
        assert not any(isinstance(event, ev.SweepEnded) for event in history.settle())
        end(history, index)
    history.settle()
    assert history.sweep.status is SweepStatus.FAILED
    assert history.sweep.reason == f"no source can take the remaining 3 tasks: there is none {words}"
    assert history.sweep.counts[TaskState.COMPLETED] == 2


def test_the_reason_names_what_became_of_the_only_source_there_was() -> None:
    history = sweep([(WEST, 1), (EAST, 1)], east(1), west(1), grace=5.0)
    history.add(ev.SourceRemoved("east"))
    launches(history)
    end(history, 0)
    history.settle()
    assert history.sweep.reason == "no source can take the remaining task: east was removed"


def test_a_sweep_waits_for_a_source_of_one_group_though_the_other_has_none() -> None:
    history = sweep([(EAST, 1), (WEST, 1)], east(1), grace=5.0)
    history.add(ev.SourceUnreachable("east", "no route"))
    assert history.settle() == [] and history.sweep.ended is None
    assert decide(history.sweep, history.now).wake_at == history.now + 5.0
    history.now += 5.0
    history.settle()
    assert "east is unreachable (no route)" in history.sweep.reason
    assert "there is none in us-west-2" in history.sweep.reason


def test_reasons_come_in_the_order_of_the_plan() -> None:
    """Not in that of a set of texts, which differs from one engine to the next."""
    names = ("us-west-2", "sa-east-1", "us-east-1", "eu-west-1", "ap-south-1", "eu-north-1")
    history = sweep([(ev.Needs((), (name,)), 1) for name in names], source("c", 1, "ca-central-1"))
    history.settle()
    reasons = "; ".join(f"there is none in {name}" for name in names)
    assert history.sweep.reason == f"no source can take the remaining 6 tasks: {reasons}"


def test_a_sweep_waits_for_the_retry_of_a_task_that_has_a_source() -> None:
    history = sweep([(EAST, 1), (WEST, 1)], east(1), retry_max=1, retry_on=("exit",), retry_backoff=60.0)
    launches(history)
    history.add(ev.Ended((ev.End(0, 1, "failed", "exit", 1),)))
    history.settle()
    assert history.sweep.ended is None and decide(history.sweep, history.now).wake_at == history.now + 60.0
    history.now += 60.0
    history.settle()
    end(history, 0)
    history.settle()
    assert history.sweep.reason == "no source can take the remaining task: there is none in us-west-2"


def test_a_sweep_that_ended_for_want_of_a_region_goes_on_when_it_is_added() -> None:
    history = sweep([(EAST, 1)], west(1))
    history.settle()
    assert history.sweep.ended is not None
    history.add(east(1), ev.RequestTaken("r", "add_source", (), "east", 1))
    assert launches(history) == [("east", [0])]


# --- the queues of ready tasks -----------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from(("push", "discard")), st.integers(0, 5)), max_size=20),
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
    st.integers(0, 6),
)
def test_ready_tasks_are_one_queue_for_each_group(
    steps: list[tuple[str, int]], group_of: list[int], start: int
) -> None:
    ready = ReadyTasks(range(start), group_of)
    model: dict[int, list[int]] = {}
    for index in range(start):
        model.setdefault(group_of[index], []).append(index)
    for what, task in steps:
        mine = model.setdefault(group_of[task], [])
        if what == "push":
            ready.push(task)
            mine += [task] if task not in mine else []
        else:
            ready.discard(task)
            model[group_of[task]] = [index for index in mine if index != task]
        filled = {group: tasks for group, tasks in model.items() if tasks}
        assert {group: list(queue) for group, queue in ready.groups()} == filled
        assert len(ready) == sum(map(len, filled.values())) and bool(ready) == bool(filled)
        assert sorted(ready) == sorted(index for tasks in filled.values() for index in tasks)
        assert ready.first(3) == list(ready)[:3]
        assert all((index in ready) == (index in model.get(group_of[index], [])) for index in range(6))
    assert ready == ReadyTasks(list(ready), group_of)


def test_a_snapshot_on_the_way_is_the_same_sweep_and_goes_on_alike() -> None:
    history = sweep([(EAST, 3), (WEST, 4), (EAST, 4)], east(4), west(2), retry_max=1, retry_on=("exit",))
    launched(history)
    history.add(ev.Ended((ev.End(0, 1, "failed", "exit", 1),)))
    history.settle()
    other = restored(history)
    check_shape(other)
    assert other.ready == history.sweep.ready and other.needs == history.sweep.needs
    assert (other.group_of, other.sources) == (history.sweep.group_of, history.sweep.sources)
    demand_same(other, history.sweep, "the snapshot")
    assert decide(other, history.now) == decide(history.sweep, history.now)


def test_a_snapshot_keeps_the_order_of_groups_one_of_which_was_empty() -> None:
    """Else an engine that read the snapshot would serve them in another order than one that read the journal."""
    history = sweep([(EAST, 1), (WEST, 2)], east(1), west(1), retry_max=1, retry_on=("exit",))
    launched(history)
    other = restored(history)
    for one in (history.sweep, other):
        one.ready.push(0)
    assert list(other.ready) == list(history.sweep.ready)


# --- cost --------------------------------------------------------------------------------------------------------


class _Counted(OrderedDict[int, None]):
    """Counts how often a task is touched or walked over."""

    touched = 0

    def __iter__(self) -> Iterator[int]:
        for task in super().__iter__():
            _Counted.touched += 1
            yield task

    def __reversed__(self) -> Iterator[int]:
        for task in super().__reversed__():
            _Counted.touched += 1
            yield task

    def setdefault(self, key: int, default: None = None) -> None:
        _Counted.touched += 1
        return super().setdefault(key, default)

    def pop(self, *key: Any) -> Any:
        _Counted.touched += 1
        return super().pop(*key)


def test_a_hundred_thousand_tasks_in_four_groups_are_each_touched_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is kept of ready tasks is never walked over: 100,000 launches would be 10 thousand million steps."""
    total, regions = 100_000, ("r-0", "r-1", "r-2", "r-3")
    needs = tuple(ev.Needs((), (name,)) for name in regions)
    monkeypatch.setattr(source_state, "OrderedDict", _Counted)
    monkeypatch.setattr(_Counted, "touched", 0)
    frame = created(total, needs=needs, groups=tuple((index % 4, 1) for index in range(total)))
    history = History(frame, *(source(name, 500, name) for name in regions))
    state, decisions = history.sweep, 0
    while state.ended is None:
        decision = decide(state, history.now)
        decisions += 1
        assert decision.events, "it rests before its end"
        history.add(*decision.events)
        for event in decision.events:
            if isinstance(event, ev.Launching):
                refs = event.attempts
                assert {ref.task % 4 for ref in refs} == {regions.index(event.source)}
                history.add(ev.Ended(tuple(ev.End(*ref, "completed", exit_code=0) for ref in refs)))
        history.records.clear()
    assert state.status is SweepStatus.COMPLETED and state.counts[TaskState.COMPLETED] == total
    assert decisions <= total / 500 + 2
    assert _Counted.touched <= 12 * total, _Counted.touched / total


def test_a_decision_does_not_look_at_tasks_that_are_not_its_business() -> None:
    """With nothing to launch, a round costs the same whether forty tasks wait or forty thousand."""
    looked: list[int] = []
    for total in (40, 40_000):
        needs = (EAST, WEST, CLOUD, ANY)
        frame = created(total, needs=needs, groups=tuple((index % 4, 1) for index in range(total)))
        history = History(frame, east(1), west(1))
        launched(history)
        tasks, group_of = _Looked(history.sweep.tasks), _Looked(history.sweep.group_of)
        history.sweep.tasks, history.sweep.group_of = tasks, group_of
        for _ in range(10):
            decide(history.sweep, history.now)
        looked.append(tasks.looked + group_of.looked)
    assert looked[0] == looked[1] <= 200


class _Looked(list[T]):
    """Counts how often an item of it is looked at."""

    def __init__(self, items: list[T]) -> None:
        super().__init__(items)
        self.looked = 0

    def __getitem__(self, index: Any) -> Any:
        self.looked += 1
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[T]:
        self.looked += len(self)
        return super().__iter__()
