"""Arrays, limits and doubts of sources with a queue: what is worked out without asking anybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine.events import Ref
from spawn_tui.engine.observe import SawEnd
from spawn_tui.engine.sources.base import Job
from spawn_tui.engine.sources.queue_batches import ENDING, Batch, Live, best_of, job_name
from spawn_tui.engine.sources.queue_ends import dead_end, with_the_queues_word
from spawn_tui.engine.sources.scheduler import Element, QueueState

RUNNING = QueueState("running", "R")
WAITING = QueueState("waiting", "Q", "Resources")
NEVER = QueueState("waiting", "Q", "TooBig", never=True)
ENDED = QueueState("ended", "F", message="it ended")


def live(index: int = 0, **fields: object) -> Live:
    job = Job(Ref(index, 1), f"token{index}", "b1", Path("/nowhere"), None)  # type: ignore[arg-type]
    return Live(job, f"task_{index + 1:03d}.1", **fields)  # type: ignore[arg-type]


def batch(count: int, most: int, limit: int) -> Batch:
    made = Batch("b1", limit)
    for lot in made.cut([live(index) for index in range(count)], most, lambda number: f"n{number}"):
        for index, one in enumerate(lot.lives):
            lot.put(index, one)
        made.lots.append(lot)
        made.made += 1
    return made


def submit_all(made: Batch) -> list[tuple[int, int]]:
    """Submit what is due: (elements, limit) of each array."""
    out: list[tuple[int, int]] = []
    while (due := made.due()) is not None:
        lot, lot.array.limit = due
        lot.tried = True
        lot.array.jobs.append(f"{len(out)}")
        out.append((lot.array.count, lot.array.limit))
    return out


def end(made: Batch, count: int) -> None:
    """The first `count` attempts of submitted arrays end."""
    for lot in made.lots[:]:
        for one in lot.lives:
            if count and lot.tried:
                lot.drop(one)
                count -= 1
        if not lot.left:
            made.lots.remove(lot)


def allowed(made: Batch) -> int:
    return sum(min(lot.array.limit, lot.left) for lot in made.lots if lot.tried)


def test_a_batch_that_fits_is_one_array():
    assert submit_all(batch(1000, 10001, 16)) == [(1000, 16)]


def test_short_arrays_are_submitted_as_slots_need_them():
    made = batch(45, 10, 12)
    assert submit_all(made) == [(10, 10)]  # two slots are not worth an array of their own yet
    end(made, 3)
    assert submit_all(made) == [(10, 5)]
    assert allowed(made) == 12


@given(st.integers(1, 200), st.integers(1, 30), st.integers(1, 40), st.lists(st.integers(1, 9), max_size=60))
def test_arrays_together_never_run_more_than_may_and_all_end(
    count: int, most: int, limit: int, steps: list[int]
):
    made = batch(count, most, limit)
    calls = 0
    for step in [*steps, *[count] * (count + 1)]:
        calls += len(submit_all(made))
        assert allowed(made) <= limit
        for lot, share in made.shares():
            lot.array.limit = share
        assert allowed(made) <= limit
        end(made, min(step, max(1, allowed(made))))
    assert not made.lots
    assert calls == -(-count // most)


def test_a_lower_limit_is_shared_and_a_higher_one_given():
    made = batch(20, 10, 20)
    assert submit_all(made) == [(10, 10), (10, 10)]
    made.limit = 4
    assert [share for _, share in made.shares()] == [4, 0]
    for lot, share in made.shares():
        lot.array.limit = share
    made.limit = 12
    for lot, share in made.shares():
        lot.array.limit = share
    # The last two slots are not worth a command of their own yet.
    assert allowed(made) == 10
    end(made, 4)
    for lot, share in made.shares():
        lot.array.limit = share
    assert allowed(made) == 12


def test_one_array_follows_its_limit_by_single_steps():
    made = batch(50, 100, 10)
    submit_all(made)
    made.limit = 11
    assert [share for _, share in made.shares()] == [11]
    assert made.due() is None


def test_those_that_wait_at_home_wait_too():
    made = batch(45, 10, 12)
    submit_all(made)
    assert made.waiting(10) == (35, "arrays here have at most 10 elements")
    for one in made.lots[0].lives[:4]:
        one.state = WAITING
    assert made.waiting(10) == (39, "Resources")


def test_of_two_elements_the_one_that_runs_counts():
    first, second = Element("1", 3), Element("2", 3)
    assert best_of([first, second], {first: ENDED, second: RUNNING}) == (second, RUNNING)
    assert best_of([first, second], {first: WAITING, second: ENDED}) == (first, WAITING)
    assert best_of([first, second], {first: WAITING, second: RUNNING}) == (second, RUNNING)
    assert best_of([first], {}) == (None, None)


def test_names_are_short_plain_and_of_their_sweep():
    assert job_name("my sweep-20260102-abc123", "b7", 0) == "sabc123b7"
    assert job_name("my sweep-20260102-abc123", "b7", 12) == "sabc123b7-12"
    odd = job_name("x y;z", "b.7/", 0)
    assert odd.isalnum()
    assert len(odd) <= 15
    assert odd != job_name("other", "b7", 0)


@pytest.mark.parametrize(
    ("state", "began", "gone"),
    [
        (None, False, True), (ENDED, True, True), (WAITING, False, False), (RUNNING, True, False),
        (WAITING, True, True),  # queued anew by somebody: its claim lets no second run begin
    ],
)  # fmt: skip
def test_when_the_queue_has_let_go(state: QueueState | None, began: bool, gone: bool):
    one = live(running=began)
    one.state = state
    one.watch(0.0)
    assert one.gone is gone


def test_of_what_runs_is_looked_at_until_that_is_told():
    one = live(running=True, claimed=True)
    one.state = RUNNING
    assert one.wants_look
    one.told = True
    assert not one.wants_look


def test_clearing_up_has_a_limit():
    one = live(running=True)
    one.state = QueueState("ending", "CG")
    one.watch(0.0)
    one.watch(ENDING - 1)
    assert not one.gone
    one.watch(ENDING)
    assert one.gone


def test_doubt_takes_two_looks_and_time():
    one = live()
    one.watch(0.0)
    assert not one.doubted(100.0, 10.0)
    assert one.doubted(101.0, 10.0)
    other = live()
    other.watch(0.0)
    assert not other.doubted(0.0, 10.0)
    assert not other.doubted(5.0, 10.0)
    adopted = live(adopted=True)
    adopted.watch(0.0)
    assert adopted.doubted(0.0, 10.0)


def test_never_counts_from_its_first_word():
    one = live()
    one.state = NEVER
    one.watch(1.0)
    one.watch(5.0)
    assert one.never_since == 1.0
    one.state = WAITING
    one.watch(6.0)
    assert one.never_since is None


def test_ends_without_a_word_of_the_runner():
    def dead(state: QueueState | None, **fields: object) -> SawEnd:
        one = live(**fields)
        one.state = state
        return dead_end(one, "Slurm", "hpc")

    assert dead(None).failure == "source_lost"
    assert dead(ENDED).failure == "source_lost"
    assert dead(ENDED).message == "it ended"
    assert dead(QueueState("ended", "F", failure="out_of_memory", message="x")).failure == "out_of_memory"
    assert dead(QueueState("ended", "F", exit_code=0)).exit_code == 0
    killed = dead(QueueState("ended", "F", signal=9, message="x"))
    assert (killed.signal, killed.failure) == (9, None)
    assert "disk" in dead(QueueState("ended", "F", exit_code=122, message="x")).message
    assert dead(RUNNING, stop_sent=True).stopped
    assert dead(WAITING).failure == "source_lost"


def test_a_signal_that_was_not_ours_is_explained_by_the_queue():
    one = live()
    one.killed = True
    one.end = SawEnd(0, 1, exit_code=143, signal=15, message="ended by SIGTERM")
    one.state = QueueState("ended", "TO", failure="timeout", message="walltime")
    assert with_the_queues_word(one).failure == "timeout"
    assert with_the_queues_word(one).message == "walltime"
    one.stop_sent = True
    assert with_the_queues_word(one) is one.end
    one.stop_sent, one.state = False, ENDED
    assert with_the_queues_word(one) is one.end
