"""Where tasks would run: the scheduler's own answer, played to the end without anything being launched."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.create import first_events
from spawn_tui.engine.plan import plan_from_text
from spawn_tui.engine.source_state import SourceState
from spawn_tui.engine.sources.registry import SourceSpec, parse_sources
from spawn_tui.engine.sweep import Sweep
from spawn_tui.tui.cli import forecast as module
from spawn_tui.tui.cli.forecast import forecast, share_of
from spawn_tui.tui.cli.resume import _same_place


def events(count: int, sources: str, strategy: str = "round_robin", **plan: object) -> list[ev.Event]:
    extra = "".join(f"{key}: {value}\n" for key, value in plan.items())
    made = plan_from_text(f"grid: {{a: {list(range(count))}}}\ncommand: x\n{extra}", name="s.yaml")
    return first_events(made, parse_sources([sources]), "s", Path("/p"), strategy)


def share(count: int, sources: str, strategy: str = "round_robin", **plan: object) -> dict[str, int]:
    return dict(Counter(forecast(Sweep(), events(count, sources, strategy, **plan)).values()))


@pytest.mark.parametrize("strategy", ["round_robin", "least_loaded", "random", "fastest"])
def test_every_task_runs_once_by_the_number_of_slots(strategy: str):
    assert share(120, "local:4,ssh:h:2", strategy) == {"local": 80, "h": 40}


def test_a_queue_runs_no_more_at_a_time_than_it_may_and_gives_back_the_rest():
    assert share(90, "local:4,slurm:3,ssh:h:2") == {"local": 40, "slurm": 30, "h": 20}
    assert share(7, "slurm:2") == {"slurm": 7}
    assert share(10, "slurm:3,local:2", max_concurrent=4) == {"slurm": 4, "local": 6}


def test_limits_and_delays_are_kept():
    assert share(9, "local:4,ssh:h:2", max_concurrent=2) == {"local": 5, "h": 4}
    assert sum(share(5, "local:2,slurm:2", launch_delay="2h").values()) == 5
    # The next launch is due long before the tasks before it end.
    assert share(4, "local:2,ssh:h:1", "least_loaded", launch_delay="10s") == {"local": 3, "h": 1}


def test_where_nothing_can_run(monkeypatch: pytest.MonkeyPatch):
    gone = [*events(3, "local:2,ssh:h:2"), ev.SourceRemoved("h"), ev.SourceRemoved("local")]
    sweep = Sweep()
    assert forecast(sweep, gone) == {}
    assert "was removed" in sweep.reason
    away = [*events(3, "local:2,ssh:h:2"), ev.SourceRemoved("local"), ev.SourceUnreachable("h", "gone")]
    assert forecast(Sweep(), away) == {}


def test_only_so_many_are_followed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST", 6)
    assert forecast(Sweep(), events(50, "local:2,slurm:1")).keys() == set(range(6))


def test_what_is_alive_ends_first():
    begun = [*events(5, "local:2"), ev.Launching("b1", "local", (ev.Ref(0, 1), ev.Ref(3, 1)))]
    assert forecast(Sweep(), begun) == {1: "local", 2: "local", 4: "local"}


def test_the_words():
    assert share_of({0: "a", 1: "b", 2: "b"}) == "b 2, a 1"
    assert share_of({}) == ""


@pytest.mark.parametrize(
    ("known", "named", "same"),
    [
        (("ssh", {"host": "h"}), ("ssh", {"host": "h"}), True),
        (("ssh", {"host": "h"}), ("ssh", {"host": "h", "verify": "no"}), True),
        (("ssh", {"host": "h"}), ("ssh", {"host": "other"}), False),
        (("ssh", {"host": "h"}), ("ssh", {"host": "h", "user": "me"}), False),
        (("ssh", {"host": "h"}), ("ssh", {"host": "h", "port": "2222"}), False),
        (("slurm", {}), ("hpc", {}), True),
        (("pbs", {"host": "login"}), ("hpc", {"host": "login"}), True),
        (("slurm", {}), ("pbs", {}), False),
        (("ssh", {"host": "h"}), ("hpc", {"host": "h"}), False),
    ],
)
def test_whether_a_name_means_the_place_it_meant(known: tuple, named: tuple, same: bool):
    state = SourceState("x", known[0], 1, tuple(sorted(known[1].items())))
    assert _same_place(state, SourceSpec("x", named[0], 1, named[1])) is same
