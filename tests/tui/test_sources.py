"""In which words a source is told."""

from __future__ import annotations

import time

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.source_state import SourceState
from spawn_tui.tui import sources as words
from spawn_tui.tui import wishes
from spawn_tui.tui.sources import SourceRow, source_row
from spawn_tui.tui.view import Facts

NOW = 1_780_000_000.0


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def row(**changes: object) -> SourceRow:
    return SourceRow(**{"name": "ssh:gpu1", "kind": "ssh", "slots": 4, **changes})  # type: ignore[arg-type]


AWAY = row(name="ssh:gpu2", unreachable_since=NOW - 120, unreachable_reason="No route to host", busy=3)
DISABLED = row(name="ssh:gpu3", disabled_since=NOW - 600, disabled_reason="3 failures in a row: disk full")
HEAVY = row(name="ssh:gpu4", level="degraded", memory=93.2, disk=97, per_core=4.4, cpu=99)


@pytest.mark.parametrize(
    ("source", "health", "said"),
    [
        (row(), "", ""),
        (row(level="healthy"), "healthy", "healthy"),
        (HEAVY, "degraded", "degraded: memory 93 %, disk 97 %, load 4.4 per core"),
        (row(level="degraded"), "degraded", "degraded: it says so"),
        (AWAY, "unreachable", "unreachable since 20:24: No route to host"),
        (
            DISABLED,
            "disabled",
            "disabled since 20:16: 3 failures in a row: disk full",
        ),
        (DISABLED._replace(probing=3), "probing", "probing with task_004: 3 failures in a row: disk full"),
        (AWAY._replace(disabled_since=1.0), "unreachable", "unreachable since 20:24: No route to host"),
        (AWAY._replace(removed=True), "removed", "removed, 3 tasks left"),
    ],
)
def test_health_in_words(source: SourceRow, health: str, said: str):
    assert source.health == health
    assert words.words(source, NOW) == said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (row(level="healthy"), ""),
        (AWAY, "It is asked again and again; 3 tasks there may still run."),
        (DISABLED._replace(for_good=True), "It gets no tasks until it is enabled."),
        (
            DISABLED._replace(probe_at=NOW + 240),
            "It is tried with one task in 4m00s, or once it is enabled.",
        ),
        (DISABLED._replace(probe_at=NOW - 1), "It is tried with one task next."),
        (DISABLED._replace(probing=1), "If that goes well it gets tasks again."),
        (
            row(strikes=2, strike_reason="timed out"),
            "2 failures in a row to reach it or to launch there: timed out",
        ),
        (
            row(removed=True, busy=1, queued=2),
            "It gets no new tasks; what it holds (3) goes on to its end.",
        ),
    ],
)
def test_what_becomes_of_it(source: SourceRow, said: str):
    assert words.prospect(source, NOW) == said


def test_the_worst_is_said_first_and_all_are_counted():
    assert words.alarm([row(level="healthy")], NOW) == ""
    assert words.alarm([AWAY], NOW) == (
        "ssh:gpu2 is unreachable since 20:24: No route to host. 3 tasks there may still run."
    )
    probing = DISABLED._replace(probing=3)
    assert words.alarm([probing], NOW).count("disk full") == 1
    assert words.alarm([HEAVY, DISABLED, AWAY, row(level="healthy")], NOW) == (
        "1 source unreachable since 20:24, 1 disabled, 1 degraded. ssh:gpu2: No route to host; "
        "ssh:gpu3: 3 failures in a row: disk full; ssh:gpu4: memory 93 %, disk 97 %, load 4.4 per core"
    )
    many = [DISABLED._replace(name=f"h{n}") for n in range(40)]
    said = words.alarm(many, NOW)
    assert said.startswith("40 sources disabled. h0: ") and said.endswith("; and 36 more")


def test_a_title_tells_the_worst_and_how_many_there_are():
    assert words.summed(words.troubles([AWAY, AWAY, row()])) == "2 unreachable"
    assert words.summed(words.troubles([HEAVY, DISABLED])) == "1 disabled, 1 other in trouble"
    assert words.summed(words.troubles([HEAVY, DISABLED, AWAY])) == "1 unreachable, 2 others in trouble"


def test_the_earliest_away_counts():
    older = AWAY._replace(name="ssh:gpu5", unreachable_since=NOW - 3600)
    assert words.alarm([AWAY, older], NOW).startswith("2 sources unreachable since 19:26")


def test_figures_and_pace():
    source = row(level="healthy", cpu=32.4, memory=40, disk=12, per_core=0.84, health_at=NOW - 8)
    assert words.figures(source) == ["cpu 32%", "mem 40%", "load 0.8", "disk 12%"]
    assert words.age(source, NOW) == "8s ago" and not words.stale(source, NOW)
    assert words.stale(source, NOW + 120)
    assert words.figures(row(queue_words="12 running, 340 waiting")) == ["12 running, 340 waiting"]
    assert words.figures(HEAVY) == ["cpu 99%"]  # the rest it complains of
    assert words.figures(HEAVY, whole=True) == ["cpu 99%", "mem 93%", "load 4.4", "disk 97%"]
    quick = row(busy=1, mean=34.0, recent_ends=tuple(NOW - 50 + 10 * n for n in range(6)))
    assert words.pace(quick, NOW) == ["6.0/min", "34s each"]
    assert words.pace(quick, NOW + 50) == ["3.0/min", "34s each"]  # sinks while nothing ends
    assert words.pace(quick._replace(busy=0), NOW) == ["34s each"]


def test_what_waits_and_why():
    assert words.waiting(row()) == ""
    assert words.waiting(row(queued=7)) == "7 queued"
    assert words.waiting(row(queued=1340, waits=(("b1", 1340, "Resources"),))) == "1,340 queued (Resources)"
    several = row(queued=15, waits=(("b1", 3, "Priority"), ("b2", 5, "Resources"), ("b3", 7, "Resources")))
    assert words.waiting(several) == "15 queued (12 Resources, 3 Priority)"
    assert several.reason_of("b1") == "Priority" and several.reason_of("b9") == ""


def test_text_from_a_source_is_harmless():
    evil = "\x1b]0;owned\x07\x1b[2Jno\nway"
    for source in (AWAY._replace(unreachable_reason=evil), DISABLED._replace(disabled_reason=evil)):
        assert "\x1b" not in words.words(source, NOW) + words.alarm([source], NOW)


def test_a_row_of_a_source_with_a_queue():
    state = SourceState("hpc", "slurm", 8, queue=True)
    state.take("b1", range(20), 8)
    assert source_row(state)[:4] == ("hpc", "slurm", 8, 0) and source_row(state).queued == 20
    for task in range(3):
        state.began(task)
    state.batches["b1"].waiting, state.batches["b1"].reason = 17, "Resources"
    seen = source_row(state)
    assert (seen.busy, seen.queued, seen.held) == (3, 17, 20)
    assert words.waiting(seen) == "17 queued (Resources)"
    state.waiting.discard(19)
    state.asked[19] = None
    assert source_row(state).queued == 17
    state.disable(ev.SourceDisabled("hpc", "no such partition", "refused"), NOW, _rules())
    assert source_row(state).for_good


def _rules():
    from spawn_tui.engine.health import HealthRules

    return HealthRules()


def facts(*sources: SourceRow, pending: int = 5) -> Facts:
    counts = {"pending": pending}
    return Facts("s-1", "s", "running", 30, counts, 0.0, engine="pid 1 on h", sources=sources)


def test_to_remove_a_source_states_the_exact_effect():
    source = row(busy=3, queued=12)
    wish = wishes.remove_source(source, facts(source, AWAY, row(name="local"), row(name="b")))
    assert wish is not None and (wish.verb, wish.source) == ("remove_source", "ssh:gpu1")
    assert wish.question == "Give ssh:gpu1 no new tasks?"
    assert wish.detail.startswith(
        "3 running and 12 queued tasks there go on to the end. What waits goes to local, b. "
    )
    alone = wishes.remove_source(source, facts(source))
    assert alone is not None and "the 5 waiting tasks will not run, and the sweep fails" in alone.detail
    with_away = wishes.remove_source(source, facts(source, AWAY))
    assert with_away is not None and "what waits stays until one does" in with_away.detail
    idle = wishes.remove_source(row(), facts(row(), row(name="local")))
    assert idle is not None and idle.detail.startswith("Nothing runs there. What waits goes to local.")
    assert wishes.remove_source(source._replace(removed=True), facts(source)) is None


def test_to_enable_a_source_states_why_it_is_disabled():
    wish = wishes.enable_source(DISABLED, NOW)
    assert wish is not None and (wish.verb, wish.source) == ("enable_source", "ssh:gpu3")
    assert "disabled since 20:16: 3 failures in a row: disk full. Up to 4 tasks" in wish.detail
    assert wishes.enable_source(row(level="healthy"), NOW) is None
    away = wishes.enable_source(AWAY._replace(disabled_since=NOW - 60, disabled_reason="full"), NOW)
    assert away is not None and "does not answer now" in away.detail
