"""The thread that follows a sweep."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import cast

from spawn_tui.engine import events as ev
from spawn_tui.state.process import myself
from spawn_tui.tui.feed import Feed, SweepChanged, SweepFeed, SweepLoaded, SweepNews, SweepTrouble
from spawn_tui.tui.model import SweepModel

from .build import Made, plain, training


def follow(made: Made) -> tuple[SweepFeed, list[SweepNews]]:
    told: list[SweepNews] = []
    feed = SweepFeed(made.root, told.append, made.clock)
    feed.look()
    return feed, told


def test_it_tells_all_once_and_then_what_changed(root: Path):
    made = plain(root, 100, running=2)
    feed, told = follow(made)
    assert isinstance(told[0], SweepLoaded) and len(told[0].rows) == 100
    feed.look()
    assert len(told) == 1
    made.end(0)
    feed.look()
    assert isinstance(told[1], SweepChanged)
    assert [row.task for row in told[1].rows] == [0] and told[1].facts.counts["completed"] == 1


def test_without_an_engine_nobody_can_say_what_runs(root: Path):
    made = plain(root, 10, running=3)
    made.commit(ev.EngineStarted(1, "h", 4711))
    lock = made.engine()
    feed, told = follow(made)
    model = SweepModel(root)
    model.load(cast("SweepLoaded", told[0]))
    assert [row.state for row in model.rows[:4]] == ["running"] * 3 + ["pending"]
    lock.release()  # as a crash does it: without a word in the journal
    made.wait(100)
    feed.look()
    model.change(cast("SweepChanged", told[-1]))
    facts = model.facts
    assert facts is not None and facts.orphaned and facts.engine_died
    assert [row.state for row in model.rows[:4]] == ["unknown"] * 3 + ["pending"]
    assert [row.elapsed(made.clock.at) for row in model.rows[:3]] == [0.0] * 3
    assert (facts.counts["running"], facts.counts["unknown"]) == (0, 3)
    assert (facts.sources[0].busy, facts.sources[0].unknown) == (3, 3)
    assert facts.elapsed(made.clock.at) == facts.elapsed(made.clock.at + 50) == 1.0
    assert facts.eta(made.clock.at) is None and facts.throughput(made.clock.at) is None
    number = len(told)
    feed.look()
    assert len(told) == number  # what is told once is not told each second
    made.engine()
    feed.look()
    model.change(cast("SweepChanged", told[-1]))
    assert [row.state for row in model.rows[:4]] == ["running"] * 3 + ["pending"]


def test_an_engine_that_was_killed_is_last_heard_from_when_its_heart_beat(root: Path):
    made = plain(root, 3, running=1)
    lock = made.store.layout.lock
    lock.parent.mkdir(parents=True, exist_ok=True)
    me = myself()
    lock.write_text(json.dumps({"host": me.host, "boot": me.boot, "pid": me.pid, "start": "another"}))
    beat = made.clock.at + 12
    os.utime(lock, (beat, beat))
    facts = cast("SweepLoaded", follow(made)[1][0]).facts
    assert facts.engine == "" and facts.engine_died and facts.sign_of_life == beat


def test_rows_that_no_event_names_are_told_too(root: Path):
    made = plain(root, 10, running=4)
    feed, told = follow(made)
    model = SweepModel(root)
    assert isinstance(told[0], SweepLoaded)
    model.load(told[0])
    made.commit(ev.SourceUnreachable("local", "gone"))
    feed.look()
    assert isinstance(told[-1], SweepLoaded)
    assert [row.state for row in told[-1].rows[:5]] == ["unknown"] * 4 + ["pending"]
    assert told[-1].facts.counts["unknown"] == 4 and told[-1].facts.counts["running"] == 0
    made.commit(ev.SourceReachable("local"))
    made.end(0, "failed", kind="exit", exit_code=1)
    feed.look()
    made.commit(ev.RequestTaken("r1", "retry"))
    feed.look()
    loaded, answered = told[-2], told[-1]
    assert isinstance(loaded, SweepLoaded) and loaded.rows[0].state == "pending"
    assert isinstance(answered, SweepChanged) and [answer.request for answer in answered.answers] == ["r1"]


def test_the_screens_rows_are_always_what_a_fresh_look_would_give(root: Path):
    made = training(root)
    made.engine()
    feed, told = follow(made)
    model = SweepModel(root)
    for step in (
        lambda: made.end(11),
        lambda: made.commit(ev.Unknown((ev.Ref(13, 1),), "no answer")),
        lambda: made.start([17]),
        lambda: made.commit(
            ev.RequestTaken("a", "cancel", (14,)), ev.Cancelling("ssh:gpu1", (ev.Ref(14, 1),))
        ),
        lambda: made.end(14, "cancelled"),
        lambda: made.commit(ev.RequestTaken("b", "cancel"), ev.Dropped((21, 22, 23))),
        lambda: made.commit(ev.RequestTaken("c", "retry", (7,))),
    ):
        step()
        feed.look()
    for news in told:
        model.load(news) if isinstance(news, SweepLoaded) else model.change(news)  # type: ignore[arg-type]
    fresh = follow(made)[1][0]
    assert isinstance(fresh, SweepLoaded)
    assert model.rows == list(fresh.rows)
    assert model.facts is not None and model.facts.counts == fresh.facts.counts


def test_no_sweep_and_damage_are_told_in_words(root: Path, tmp_path: Path):
    told: list[SweepNews] = []
    assert SweepFeed(tmp_path, told.append, lambda: 0.0).look() is None
    assert told == [SweepTrouble(f"there is no sweep in {tmp_path}", final=True)]
    made = plain(root, 3)
    made.store.layout.document.write_text("{")
    told.clear()
    SweepFeed(root, told.append, lambda: 0.0).look()
    assert isinstance(told[0], SweepTrouble) and told[0].final


def test_a_fault_in_a_feed_is_told_and_never_printed(capfd: object):
    said = threading.Event()
    words: list[str] = []

    class Broken(Feed):
        def look(self) -> float:
            raise KeyError("what")

        def failed(self, why: str) -> None:
            words.append(why)
            said.set()

    Broken("broken").start()
    assert said.wait(5) and words == ["KeyError: 'what'"]
    out = capfd.readouterr()  # type: ignore[attr-defined]
    assert out.err == "" and out.out == ""
