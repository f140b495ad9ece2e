"""When a sweep will have ended, as far as that can be told."""

from __future__ import annotations

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.summary import eta
from spawn_tui.engine.sweep import Sweep, apply


class History:
    """Ten tasks on two sources of two slots each. Tasks that have ended took 10 s each, at 100 s."""

    def __init__(self, ended: int) -> None:
        self.sweep, self.now = Sweep(), 90.0
        self.add(
            ev.SweepCreated("s", "s", 10), ev.SourceAdded("a", "local", 2), ev.SourceAdded("b", "local", 2)
        )
        self.start("a", *range(ended))
        self.now = 100.0
        for task in range(ended):
            self.add(ev.Ended((ev.End(task, 1, "completed", exit_code=0, ended_at=self.now),)))

    def add(self, *events: ev.Event) -> None:
        for event in events:
            apply(self.sweep, ev.Record(self.sweep.seq + 1, self.now, event))

    def start(self, source: str, *tasks: int) -> None:
        for task in tasks:
            self.add(ev.Launching(f"b{task}", source, (ev.Ref(task, 1),)))
            self.add(ev.Running((ev.Started(task, 1, "h", self.now),)))

    def eta(self) -> float | None:
        return eta(self.sweep, self.now)


def test_what_is_left_is_shared_by_the_slots_there_are() -> None:
    history = History(2)
    history.start("a", 2, 3)
    history.start("b", 4, 5)
    history.now += 4
    assert history.eta() == pytest.approx((4 * 6 + 4 * 10) / 4)


def test_it_is_never_less_than_the_youngest_needs() -> None:
    history = History(8)
    history.start("a", 8)
    history.now += 9
    history.start("a", 9)
    assert history.eta() == pytest.approx(10)
    waits = History(8)
    waits.start("a", 8)
    waits.now += 60
    assert waits.eta() == pytest.approx(10)  # that which waits takes as long as the others did


def test_of_one_of_the_last_that_takes_longer_than_the_others_nothing_is_promised() -> None:
    history = History(8)
    history.start("a", 8, 9)
    history.now += 10
    assert history.eta() == 0
    history.now += 1
    assert history.eta() is None


def test_nothing_is_told_while_nobody_answers_who_has_work() -> None:
    history = History(2)
    history.start("a", 2)
    history.add(ev.SourceUnreachable("a", "no route"))
    assert history.eta() is not None  # b takes what waits
    history.add(ev.SourceUnreachable("b", "no route"))
    assert history.eta() is None
    history.add(ev.SourceReachable("b"))
    assert history.eta() == pytest.approx(80 / 2)


def test_nothing_is_told_while_it_is_cancelled() -> None:
    history = History(2)
    history.start("a", 2, 3)
    history.add(ev.RequestTaken("r", "cancel"))
    assert history.sweep.cancel_requested and history.eta() is None
    one = History(9)
    one.start("a", 9)
    one.add(ev.RequestTaken("r", "cancel", (9,)), ev.Cancelling("a", (ev.Ref(9, 1),)))
    assert one.eta() is None


def test_nothing_is_told_before_anything_has_ended_or_when_all_has() -> None:
    history = History(0)
    history.start("a", 0)
    assert history.eta() is None and History(10).eta() is None
