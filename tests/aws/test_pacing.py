"""The pacer on a clock that only waits move: what is asked, when, how often, and when it gives up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from spawn_tui.engine.aws.errors import TEMPORARY, AwsError, Trouble
from spawn_tui.engine.aws.pacing import LONGEST_WAIT, PACES, Pacer, Stopped


class Time:
    """A clock in seconds that `sleep` moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds


class Server:
    """Counts calls; refuses what `refuse` says, given the number of the call (from 1)."""

    def __init__(self, time: Time, refuse: Callable[[int], Trouble | None] = lambda number: None) -> None:
        self.time, self.refuse = time, refuse
        self.at: list[float] = []

    def __call__(self) -> str:
        self.at.append(self.time.now)
        kind = self.refuse(len(self.at))
        if kind is not None:
            raise AwsError(kind, "Code", f"refused, call {len(self.at)}")
        return f"answer {len(self.at)}"


class Limited(Server):
    """Throttles by a bucket of its own, as EC2 does."""

    def __init__(self, time: Time, rate: float, burst: float) -> None:
        super().__init__(time, self._judge)
        self.rate, self.burst, self.tokens, self.filled = rate, burst, burst, time.now
        self.throttled: list[float] = []

    def _judge(self, number: int) -> Trouble | None:
        now = self.time.now
        self.tokens = min(self.burst, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            self.throttled.append(now)
            return "throttled"
        self.tokens -= 1
        return None


def a_pacer(time: Time, seed: int = 7) -> Pacer:
    return Pacer(time, time.sleep, random=Random(seed).random)


def test_a_call_that_succeeds_is_made_once_and_waits_for_nothing() -> None:
    time = Time()
    server = Server(time)
    assert a_pacer(time).call("DescribeInstances", server, limit=5) == "answer 1"
    assert len(server.at) == 1 and not time.slept


def test_a_burst_goes_at_once_and_what_is_more_keeps_the_rate() -> None:
    time = Time()
    server, pacer = Server(time), a_pacer(time)
    for _ in range(15):
        pacer.call("RunInstances", server, limit=60)
    pace = PACES["RunInstances"]
    burst = int(pace.burst)
    assert server.at[:burst] == [1000.0] * burst
    assert server.at[burst] == pytest.approx(1000 + 1 / pace.rate)
    # The rate grows while it is used to the full and nothing is throttled, and never falls.
    gaps = [b - a for a, b in pairwise(server.at[burst:])]
    assert all(0 < after <= before + 1e-6 for before, after in pairwise(gaps))
    assert pace.rate < pacer.rate("RunInstances") < 2 * pace.rate


def test_a_rate_that_is_not_used_to_the_full_does_not_grow() -> None:
    time = Time()
    server, pacer = Server(time), a_pacer(time)
    for _ in range(500):
        pacer.call("DescribeInstances", server, limit=60)
        time.sleep(1)
    assert pacer.rate("DescribeInstances") == 20.0


def test_operations_have_lanes_of_their_own() -> None:
    time = Time()
    pacer = a_pacer(time)
    for _ in range(20):
        with pytest.raises(AwsError):
            pacer.call("RunInstances", Server(time, lambda number: "throttled"), limit=5)
    assert pacer.rate("RunInstances") == 0.5
    assert pacer.rate("DescribeInstances") == 20.0


@pytest.mark.parametrize("kind", sorted(TEMPORARY))
def test_what_fails_for_a_time_is_repeated(kind: Trouble) -> None:
    time = Time()
    server = Server(time, lambda number: kind if number < 4 else None)
    assert a_pacer(time).call("GetObject", server, limit=60) == "answer 4"
    assert len(server.at) == 4


@pytest.mark.parametrize(
    "kind", ["capacity", "quota", "permission", "invalid", "spot_price", "not_found", "other"]
)
def test_a_definite_answer_is_not_asked_for_again(kind: Trouble) -> None:
    time = Time()
    server = Server(time, lambda number: kind)
    with pytest.raises(AwsError, match="call 1") as raised:
        a_pacer(time).call("RunInstances", server, limit=600)
    assert raised.value.kind == kind
    assert len(server.at) == 1 and not time.slept


def test_what_is_no_error_of_aws_passes() -> None:
    time = Time()
    pacer = a_pacer(time)
    with pytest.raises(ZeroDivisionError):
        pacer.call("GetObject", lambda: 1 // 0, limit=60)
    assert pacer.call("GetObject", Server(time), limit=1) == "answer 1"


def test_when_the_time_is_up_the_last_error_is_raised_and_the_end_is_used() -> None:
    time = Time()
    server = Server(time, lambda number: "server")
    with pytest.raises(AwsError) as raised:
        a_pacer(time).call("GetObject", server, limit=60)
    assert str(raised.value) == f"Code: refused, call {len(server.at)}"
    assert server.at[-1] == time.now == 1060.0


def test_waits_grow_are_random_and_have_a_bound() -> None:
    time = Time()
    server = Server(time, lambda number: "unreachable")
    with pytest.raises(AwsError):
        a_pacer(time).call("GetObject", server, limit=3600)
    assert max(time.slept) <= LONGEST_WAIT
    assert all(wait <= 0.5 * 2**number for number, wait in enumerate(time.slept))
    later = time.slept[6:-1]
    assert len({round(wait, 6) for wait in later}) == len(later)
    assert 0.3 * LONGEST_WAIT < sum(later) / len(later) < 0.7 * LONGEST_WAIT


def test_what_cannot_have_its_turn_in_time_is_not_sent() -> None:
    time = Time()
    server, pacer = Server(time), a_pacer(time)
    for _ in range(5):
        pacer.call("RunInstances", server, limit=0)
    with pytest.raises(AwsError, match=r"not asked: 0 calls wait before it, at 2\.0 a second") as raised:
        pacer.call("RunInstances", server, limit=0.1)
    assert raised.value.kind == "throttled"
    assert len(server.at) == 5
    assert pacer.call("RunInstances", server, limit=0.6) == "answer 6"


@pytest.mark.parametrize("seed", range(5))
def test_half_of_all_calls_throttled(seed: int) -> None:
    time, chance = Time(), Random(seed)
    server = Server(time, lambda number: "throttled" if chance.random() < 0.5 else None)
    pacer = a_pacer(time, seed)
    for _ in range(100):
        pacer.call("RunInstances", server, limit=600)
    assert 150 <= len(server.at) <= 260
    assert pacer.rate("RunInstances") >= 0.5
    assert time.now - 1000 < 100 * 10


@pytest.mark.parametrize("true_rate", [0.8, 3.0])
def test_the_rate_settles_at_what_the_account_allows(true_rate: float) -> None:
    time = Time()
    server, pacer = Limited(time, true_rate, 5.0), a_pacer(time)
    for _ in range(600):
        pacer.call("RunInstances", server, limit=600)
    late = [at for at in server.at if at > time.now - 200]
    refused = [at for at in server.throttled if at > time.now - 200]
    assert len(refused) < 0.35 * len(late)
    # Most of what the account allows is used.
    assert 0.5 * true_rate < (len(late) - len(refused)) / 200 <= true_rate * 1.05


def test_calls_throttled_together_are_one_sign() -> None:
    """Forty calls under way at once, all throttled: the rate falls once, not to the floor."""
    together = threading.Barrier(40)
    first = threading.local()
    pacer = Pacer(sleep=lambda seconds: None, random=lambda: 0.0)

    def throttled_once() -> str:
        if not getattr(first, "done", False):
            first.done = True
            together.wait(20)
            raise AwsError("throttled", "RequestLimitExceeded", "")
        raise AwsError("invalid", "", "")

    def ask() -> None:
        with pytest.raises(AwsError):
            pacer.call("DescribeInstances", throttled_once, limit=20)

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert 14.0 <= pacer.rate("DescribeInstances") < 20.0


def test_many_threads_share_one_lane_in_the_order_they_came() -> None:
    """Real threads on one clock: who waits moves it, as time would pass; nobody is overtaken for ever."""
    time, lock = Time(), threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            time.now += min(seconds, 0.05)

    server, pacer = Server(time), Pacer(time, sleep)
    threads = [
        threading.Thread(target=lambda: pacer.call("RunInstances", server, limit=100)) for _ in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(server.at) == 30
    # No more went than the bucket held and gained, though its rate grew a little.
    passed = max(server.at) - 1000
    assert 5 + passed * pacer.rate("RunInstances") + 1 >= 30


def test_the_end_of_the_program_ends_every_wait_at_once() -> None:
    stop = threading.Event()
    pacer = Pacer(stop=stop, random=lambda: 1.0)
    told: list[BaseException] = []
    asked = threading.Event()

    def refuse() -> None:
        asked.set()
        raise AwsError("unreachable", "", "no route")

    def ask() -> None:
        try:
            pacer.call("GetObject", refuse, limit=3600)
        except AwsError as error:
            told.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(told[0], Stopped) and told[0].kind in TEMPORARY
    # What needs no wait is not asked any more either: another engine may be at work by now.
    time = Time()
    late = Pacer(time, time.sleep, stop=stop)
    server = Server(time)
    with pytest.raises(Stopped):
        late.call("RunInstances", server, limit=60)
    assert not server.at


def test_who_gave_up_does_not_stand_in_the_way() -> None:
    time = Time()
    server, pacer = Server(time), a_pacer(time)
    for _ in range(5):
        pacer.call("RunInstances", server, limit=0)
    for _ in range(100):
        with pytest.raises(AwsError):
            pacer.call("RunInstances", server, limit=0.1)
    pacer.call("RunInstances", server, limit=0.51)
    assert server.at[-1] == pytest.approx(1000.5)


def test_who_came_first_keeps_its_token_while_it_sleeps() -> None:
    time = Time()
    first, second = Server(time), Server(time)
    asleep: list[float] = []

    def sleep(seconds: float) -> None:
        asleep.append(seconds)
        if len(asleep) == 1:  # another thread comes while this one waits
            pacer.call("RunInstances", second, limit=60)
        else:
            time.sleep(seconds)

    pacer = Pacer(time, sleep)
    for _ in range(5):
        pacer.call("RunInstances", Server(time), limit=0)
    pacer.call("RunInstances", first, limit=60)
    assert second.at == pytest.approx([1001.0]) and first.at == pytest.approx([1001.0])


def test_a_throttled_call_ends_the_burst_of_all() -> None:
    time = Time()
    pacer = Pacer(time, time.sleep, random=lambda: 0.0)
    server = Server(time, lambda number: "throttled" if number == 1 else None)
    pacer.call("DescribeInstances", server, limit=60)
    pacer.call("DescribeInstances", server, limit=60)
    assert server.at == pytest.approx([1000, 1000 + 1 / 14, 1000 + 2 / 14], abs=1e-3)
