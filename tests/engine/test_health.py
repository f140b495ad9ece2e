"""Who is trusted with work: strikes, failure rates, probes, and the end when nobody is left."""

from __future__ import annotations

import pytest
from spawn_tui.engine import event_lines
from spawn_tui.engine import events as ev
from spawn_tui.engine.decide import decide
from spawn_tui.engine.health import HealthRules, level_of, too_many
from spawn_tui.engine.observe import (
    Observation,
    SawCollected,
    SawEnd,
    SawHealth,
    SawNothing,
    SawRunning,
    SourceAway,
    SourceBack,
    SourceRefused,
    interpret,
)
from spawn_tui.engine.sweep import SweepStatus, TaskState

from ..simulation.invariants import check_shape
from .histories import History, created


def sweep_with(*slots: int, total: int = 30, **settings: object) -> History:
    sources = [ev.SourceAdded(f"s{n}", "ssh", count) for n, count in enumerate(slots, 1)]
    history = History(created(total, **settings), *sources)
    history.settle()
    return history


def seen(history: History, source: str, *observations: Observation) -> list[str]:
    """Journal what a source said and what is decided then; the types of it all."""
    events = interpret(history.sweep, source, observations, history.now)
    history.add(*events)
    decided = history.settle()
    check_shape(history.sweep)
    return [event.type for event in (*events, *decided)]


def end(history: History, source: str, exit_code: int, count: int = 1) -> None:
    """Attempts there end by themselves, one after the other."""
    for _ in range(count):
        index = min(history.sweep.sources[source].active)
        attempt = len(history.sweep.tasks[index].attempts)
        seen(history, source, SawEnd(index, attempt, exit_code=exit_code))


def refused(history: History, source: str) -> list[str]:
    active = history.sweep.sources[source].active
    said = [
        SawNothing(index, len(history.sweep.tasks[index].attempts), "no such partition", source_fault=True)
        for index in sorted(active)
    ]
    return seen(history, source, *said)


# --- thresholds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figures", "level"),
    [
        ({"memory": 90.0, "disk": 90.0, "load": 4.0}, "healthy"),
        ({"memory": 90.1, "disk": None, "load": None}, "degraded"),
        ({"memory": None, "disk": 95.0, "load": None}, "degraded"),
        ({"memory": None, "disk": None, "load": 4.1}, "degraded"),
        ({"memory": None, "disk": None, "load": None}, "healthy"),
    ],
)
def test_how_a_machine_feels(figures: dict[str, float | None], level: str) -> None:
    assert level_of(**figures) == level


def test_rules_survive_the_journal() -> None:
    rules = HealthRules(grace=7.0, strikes=5, cooldown=1.5)
    assert rules.pairs() == (("strikes", 5), ("cooldown", 1.5))
    assert HealthRules.of((*rules.pairs(), ("of_later", 1)), 7.0) == rules
    line = event_lines.encode(ev.Record(1, 1.0, created(1, grace=7.0, rules=rules.pairs())))
    event = event_lines.decode(line).event
    assert isinstance(event, ev.SweepCreated) and HealthRules.of(event.rules, event.grace) == rules


@pytest.mark.parametrize(
    "wrong", [{"grace": -1.0}, {"strikes": 0}, {"failure_rate": 0.0}, {"failure_rate": 1.5}]
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HealthRules(**wrong)  # type: ignore[arg-type]


def test_a_rest_is_doubled_up_to_a_day() -> None:
    rules = HealthRules(cooldown=300.0)
    assert [rules.rest(n) for n in (0, 1, 2, 3, 99)] == [0.0, 300.0, 600.0, 1200.0, 86_400.0]


def test_a_rate_needs_enough_tasks() -> None:
    rules = HealthRules()
    assert not too_many(4, 4, rules) and not too_many(2, 5, rules) and too_many(3, 5, rules)


def test_health_is_journalled_on_change_and_once_a_minute() -> None:
    history = sweep_with(1)
    assert seen(history, "s1", SawHealth(memory=10.0)) == ["source_health"]
    history.now += 59.0
    assert seen(history, "s1", SawHealth(memory=20.0)) == []
    assert seen(history, "s1", SawHealth(memory=95.0, queue="3 waiting")) == ["source_health"]
    source = history.sweep.sources["s1"]
    assert (source.level, source.memory, source.queue_words, source.condition) == (
        "degraded", 95.0, "3 waiting", "degraded",
    )  # fmt: skip
    history.now += 60.0
    assert seen(history, "s1", SawHealth(memory=95.0)) == ["source_health"]


# --- strikes -----------------------------------------------------------------------------------------------------


def test_three_failed_contacts_disable_and_no_fourth_is_journalled() -> None:
    history = sweep_with(1, 1)
    away = SourceAway("no route")
    assert seen(history, "s1", away) == ["source_unreachable", "source_strike"]
    assert seen(history, "s1", away) == ["source_strike"]
    assert seen(history, "s1", away) == ["source_strike", "source_disabled"]
    assert seen(history, "s1", away, away) == []
    source = history.sweep.sources["s1"]
    assert source.disabled_reason == "3 failures in a row: no route"
    assert source.active, "what runs there goes on"


def test_a_refused_batch_is_one_strike_and_no_try() -> None:
    history = sweep_with(4, 4, retry_max=0)
    assert refused(history, "s1") == ["ended", "source_strike", "requeued", "launching"]
    sweep = history.sweep
    assert sweep.sources["s1"].strikes == 1
    assert len(sweep.launch_failures) == 4 and not sweep.failures
    assert all(sweep.tasks[i].tries_before == 1 for i in sweep.launch_failures)
    refused(history, "s1")
    assert refused(history, "s1")[:4] == ["ended", "source_strike", "requeued", "source_disabled"]
    assert not sweep.sources["s1"].active and sweep.sources["s2"].active


@pytest.mark.parametrize("good", ["running", "ended"])
def test_anything_good_clears_the_strikes(good: str) -> None:
    history = sweep_with(2)
    history.add(ev.SourceStrike("s1", "x"), ev.SourceStrike("s1", "x"))
    seen(history, "s1", SawRunning(0, 1) if good == "running" else SawEnd(0, 1, exit_code=3))
    assert history.sweep.sources["s1"].strikes == 0


@pytest.mark.parametrize("end", [SawEnd(0, 1, failure="source_lost"), SawNothing(0, 1, "revoked")])
def test_what_is_not_good_clears_none(end: Observation) -> None:
    history = sweep_with(2)
    history.add(ev.SourceStrike("s1", "x"), ev.SourceStrike("s1", "x"))
    seen(history, "s1", end)
    assert history.sweep.sources["s1"].strikes == 2


def test_a_source_that_refuses_is_disabled_at_once_and_what_it_holds_is_doubted() -> None:
    history = sweep_with(1, 1, grace=5.0)
    assert seen(history, "s1", SourceRefused("another host key")) == ["unknown", "source_disabled"]
    assert history.sweep.sources["s1"].probe_at is None, "it would refuse a probe, too"
    history.now += 5.0
    assert [event.type for event in history.settle()] == ["ended", "requeued"]
    assert history.sweep.tasks[0].losses == 1


def test_a_source_that_refused_is_probed_when_it_answers() -> None:
    """Somebody has mended its host key, or its partition."""
    history = sweep_with(1, 1)
    said = SawNothing(0, 1, "never sent", source_fault=True)
    assert "source_disabled" in seen(history, "s1", said, SourceRefused("another host key"))
    assert seen(history, "s1", SourceBack()) == ["source_reachable", "launching"]
    assert history.sweep.sources["s1"].probing is not None
    assert seen(history, "s1", SourceBack()) == []


def test_a_contact_that_failed_is_one_strike_though_a_launch_came_back_with_it() -> None:
    history = sweep_with(1, 1)
    seen(history, "s1", SawNothing(0, 1, "never sent", source_fault=True), SourceAway("no route"))
    assert history.sweep.sources["s1"].strikes == 1


def test_a_source_that_refuses_and_yet_speaks_keeps_what_runs() -> None:
    history = sweep_with(1, 1)
    assert seen(history, "s1", SawHealth(), SourceRefused("no such partition")) == [
        "source_health",
        "source_disabled",
    ]


def test_what_ends_long_after_a_refusal_comes_home_all_the_same() -> None:
    """A wrong partition for new jobs says nothing of those that run, nor of their files."""
    history = History(created(2, grace=5.0), ev.SourceAdded("hpc", "slurm", 1, queue=True, elsewhere=True))
    history.settle()
    seen(history, "hpc", SawRunning(0, 1), SawHealth(), SourceRefused("no such partition"))
    history.now += 60.0
    assert seen(history, "hpc", SawEnd(0, 1, exit_code=0)) == ["ended"]
    assert decide(history.sweep, history.now).wake_at == history.now + 5.0
    assert "collected" in seen(history, "hpc", SawCollected(0, 1, 1, 10))
    assert history.sweep.tasks[0].state is TaskState.COMPLETED and not history.sweep.left_behind


# --- failure rates -----------------------------------------------------------------------------------------------


def test_a_source_whose_tasks_fail_is_disabled_if_the_others_do_well() -> None:
    history = sweep_with(1, 1, 1)
    end(history, "s2", 0, 3)
    end(history, "s1", 1, 5)
    assert history.sweep.sources["s1"].usable, "three tasks elsewhere say nothing"
    end(history, "s3", 0, 2)
    source = history.sweep.sources["s1"]
    assert source.disabled_cause == "failures"
    assert source.disabled_reason == "5 of its 5 tasks failed, 0 of 5 on the other sources"


def test_a_little_worse_than_the_others_is_not_disabled() -> None:
    history = sweep_with(1, 1)
    end(history, "s1", 1, 3)
    end(history, "s1", 0, 2)  # 60 %
    end(history, "s2", 1, 2)
    end(history, "s2", 0, 3)  # 40 %, which is more than half of that, and not above what is allowed
    assert all(source.usable for source in history.sweep.sources.values()) and not history.sweep.paused


def test_if_all_fail_alike_the_sweep_is_paused_once() -> None:
    history = sweep_with(1, 1)
    end(history, "s1", 1, 5)
    end(history, "s2", 1, 5)
    assert history.sweep.status is SweepStatus.PAUSED
    assert "10 of 10 tasks failed, on s1, s2 alike" in history.sweep.pause_reason
    history.add(ev.RequestTaken("r", "resume"))
    history.settle()
    end(history, "s1", 1, 3)
    assert not history.sweep.paused


def test_a_single_source_is_compared_with_nobody() -> None:
    history = sweep_with(1)
    end(history, "s1", 1, 20)
    assert history.sweep.sources["s1"].usable and not history.sweep.paused


@pytest.mark.parametrize("kind", ["source_lost", "spot_interrupted"])
def test_what_the_task_did_not_do_is_not_held_against_its_source(kind: ev.FailureKind) -> None:
    history = sweep_with(1, 1)
    end(history, "s2", 0, 5)
    for _ in range(5):
        index = min(history.sweep.sources["s1"].active)
        seen(history, "s1", SawEnd(index, len(history.sweep.tasks[index].attempts), failure=kind))
    assert history.sweep.sources["s1"].judged == 0 and history.sweep.sources["s1"].usable


# --- recovery ----------------------------------------------------------------------------------------------------


def disabled(cause: ev.Cause = "failures", **settings: object) -> History:
    """The first source is disabled and holds nothing; the second is busy."""
    history = sweep_with(2, 1, **settings)
    end(history, "s1", 0, 1)
    history.add(ev.SourceDisabled("s1", "because", cause))
    end(history, "s1", 0, 2)
    assert not history.sweep.sources["s1"].active
    return history


def test_a_probe_is_given_when_the_rest_is_over() -> None:
    history = disabled()
    assert decide(history.sweep, history.now).wake_at == history.now + 300.0
    history.now += 299.0
    assert history.settle() == []
    history.now += 1.0
    (probe,) = history.settle()
    assert isinstance(probe, ev.Launching) and probe.source == "s1" and len(probe.attempts) == 1
    assert history.sweep.sources["s1"].probing == probe.attempts[0].task
    assert decide(history.sweep, history.now) == decide(history.sweep, history.now + 9999.0), "one is enough"


def test_a_source_whose_tasks_failed_must_complete_one() -> None:
    history = disabled()
    history.now += 300.0
    history.settle()
    task = history.sweep.sources["s1"].probing
    assert task is not None
    assert seen(history, "s1", SawRunning(task, 1)) == ["running"], "to run is not to complete"
    assert seen(history, "s1", SawEnd(task, 1, exit_code=0))[:2] == ["ended", "source_enabled"]
    source = history.sweep.sources["s1"]
    assert source.usable and (source.judged, source.disabled_reason, source.failed_probes) == (0, "", 0)


def test_a_source_that_could_not_be_reached_is_trusted_once_its_probe_runs() -> None:
    history = disabled("strikes")
    history.now += 300.0
    history.settle()
    task = history.sweep.sources["s1"].probing
    assert task is not None
    assert seen(history, "s1", SawRunning(task, 1))[:2] == ["running", "source_enabled"]


def test_a_source_that_answers_again_is_probed_at_once() -> None:
    history = disabled("strikes")
    seen(history, "s1", SourceAway("no route"))
    history.now += 10.0
    assert seen(history, "s1", SourceBack()) == ["source_reachable", "launching"]


def test_after_three_failed_probes_it_is_not_tried_again() -> None:
    history = disabled()
    source = history.sweep.sources["s1"]
    waits: list[float] = []
    while source.probe_at is not None:
        waits.append(source.probe_at - history.now)
        history.now = source.probe_at
        history.settle()
        assert source.probing is not None
        end(history, "s1", 1)
    assert waits == [300.0, 600.0, 1200.0]
    assert source.disabled_for_good and source.disabled_reason == "its probe failed: exit"
    history.add(ev.SourceUnreachable("s1", "x"), ev.SourceReachable("s1"))
    assert source.disabled_for_good


def test_a_cancelled_probe_says_nothing() -> None:
    history = disabled()
    history.now += 300.0
    history.settle()
    source = history.sweep.sources["s1"]
    task = source.probing
    assert task is not None
    history.add(ev.RequestTaken("r", "cancel", (task,)))
    history.settle()
    seen(history, "s1", SawEnd(task, 1, signal=15, stopped=True))
    assert source.failed_probes == 0 and source.probing is not None, "another task is its probe"


def test_a_person_may_enable_it_again() -> None:
    history = disabled("start")
    source = history.sweep.sources["s1"]
    assert source.disabled_for_good
    history.add(ev.SourceEnabled("s1", "by ada"))
    assert source.usable and [event.type for event in history.settle()] == ["launching"]


# --- the end -----------------------------------------------------------------------------------------------------


def test_a_sweep_ends_when_every_source_is_disabled_for_good() -> None:
    history = sweep_with(1, 1)
    for name in ("s1", "s2"):
        end(history, name, 0)
        index = min(history.sweep.sources[name].active)
        history.add(ev.SourceDisabled(name, f"{name} is broken", "refused"))
        seen(history, name, SawEnd(index, 1, exit_code=0))
    assert history.sweep.status is SweepStatus.FAILED
    assert "s1 is disabled (s1 is broken); s2 is disabled (s2 is broken)" in history.sweep.reason
    assert history.sweep.counts[TaskState.PENDING] > 0


def test_to_resume_an_ended_sweep_is_to_trust_its_sources_again() -> None:
    """Else it would end again before anybody was asked."""
    history = sweep_with(1)
    for _ in range(3):
        refused(history, "s1")
    history.add(ev.RequestTaken("r", "resume"))
    assert [event.type for event in history.settle()] == ["launching"]


def test_a_sweep_waits_for_a_probe_of_a_source_that_once_worked() -> None:
    history = sweep_with(1)
    end(history, "s1", 0)
    for _ in range(3):
        refused(history, "s1")
    assert history.sweep.ended is None
    assert decide(history.sweep, history.now).wake_at == history.now + 300.0


def test_a_sweep_does_not_wait_for_a_source_that_never_ran_anything() -> None:
    """A wrong account or partition: the user should hear of it now."""
    history = sweep_with(1)
    for _ in range(3):
        refused(history, "s1")
    assert history.sweep.status is SweepStatus.FAILED
    assert "3 failures in a row: no such partition" in history.sweep.reason
