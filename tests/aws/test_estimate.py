"""What a sweep may cost: both cases, both markets, what is unknown by its name, and how long it takes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from heapq import heapify, heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine.aws.estimate import Estimate, Total, Work, estimate, wanted, work_of
from spawn_tui.engine.aws.model import InstanceSpec, Market
from spawn_tui.engine.aws.price_table import Price
from spawn_tui.engine.aws.prices import Prices
from spawn_tui.engine.plan.model import Plan, PlannedTask, Retries
from spawn_tui.engine.sources.registry import SourceSpec
from spawn_tui.tui.cli.estimate import estimate_of, remarks, short, total
from spawn_tui.tui.cli.estimate_json import to_json

DAY = date(2026, 11, 22)
ON_DEMAND = {
    ("us-east-1", "c5.4xlarge"): 0.68, ("eu-west-1", "c5.4xlarge"): 0.768, ("us-east-1", "m5.4xlarge"): 0.768,
    ("us-east-1", "t3.micro"): 0.0104,
}  # fmt: skip
SPOT = {
    ("us-east-1", "c5.4xlarge"): {"us-east-1a": 0.2, "us-east-1b": 0.3},
    ("us-east-1", "m5.4xlarge"): {"us-east-1a": 0.25},
}


def price(region: str, name: str, market: Market) -> Price | None:
    if market == "on-demand":
        usd = ON_DEMAND.get((region, name))
        return None if usd is None else Price(usd, DAY, "table" if region == "eu-west-1" else "pricing api")
    zones = SPOT.get((region, name))
    if zones is None:
        return None
    return Price(sum(zones.values()) / len(zones), DAY, "spot history", tuple(zones.items()))


def spec(
    region: str = "us-east-1", types: tuple[str, ...] = ("c5.4xlarge",), **fields: object
) -> InstanceSpec:
    return InstanceSpec(region, types, **{"ttl": 7200.0, **fields})  # type: ignore[arg-type]


def one(work: Work, **settings: object) -> Estimate:
    return estimate([work], price, **settings)  # type: ignore[arg-type]


# --- the cases ---------------------------------------------------------------------------------------------------


def test_at_most_is_by_the_ttl_and_likely_by_the_timeout_in_both_markets() -> None:
    made = one(Work(spec(), 25, timeout=3600.0))
    (line,) = made.lines
    assert (line.likely_seconds, line.most_seconds) == (3600.0, 7200.0)
    assert line.on_demand.likely == pytest.approx(25 * 0.68)
    assert line.on_demand.at_most == pytest.approx(25 * 2 * 0.68)
    assert line.spot.likely == pytest.approx(25 * 0.25), "the mean of the zones"
    assert line.spot.at_most == pytest.approx(25 * 2 * 0.3), "the dearest zone"
    assert made.likely() == made.likely("on-demand") == Total(pytest.approx(17.0), False)
    assert made.at_most() == Total(pytest.approx(34.0), False)


def test_the_guides_example() -> None:
    """Tutorial: three t3.micro for 30 minutes; its "~$0.03" is twice what its own factors make."""
    made = one(Work(spec(types=("t3.micro",), ttl=1800.0), 3))
    assert made.at_most() == Total(pytest.approx(3 * 0.5 * 0.0104), False)


def test_what_was_measured_is_likelier_than_the_timeout() -> None:
    made = one(Work(spec(), 10, timeout=3600.0, measured=600.0))
    assert made.likely() == Total(pytest.approx(10 * 0.68 / 6), False)


def test_no_task_is_likely_to_outlive_its_instance() -> None:
    assert one(Work(spec(ttl=1800.0), 1, timeout=3600.0)).lines[0].likely_seconds == 1800.0


def test_without_a_ttl_the_timeout_and_the_delay_after_it_count() -> None:
    made = one(Work(spec(ttl=None, completion_delay=90.0), 1, timeout=3600.0))
    assert made.lines[0].most_seconds == 3690.0
    assert not made.notes


def test_without_any_end_the_worst_is_unknown_and_said() -> None:
    made = one(Work(spec(ttl=None), 1))
    assert made.at_most().unknown and made.likely().unknown
    assert made.most_wall is None
    assert "give it a ttl" in made.notes[0]
    assert any("how long a task takes is not known" in text for text in remarks(made))


def test_retries_count_in_the_worst_case_only() -> None:
    made = one(Work(spec(), 10, timeout=3600.0, tries=3), max_concurrent=10)
    assert made.likely().usd == pytest.approx(6.8)
    assert made.at_most().usd == pytest.approx(10 * 3 * 2 * 0.68)
    assert (made.likely_wall, made.most_wall) == (3600.0, 3 * 7200.0)


def test_a_minute_is_charged_at_least() -> None:
    made = one(Work(spec(ttl=10.0), 6, timeout=1.0))
    assert made.likely().usd == made.at_most().usd == pytest.approx(6 * 60 / 3600 * 0.68)


def test_the_first_type_is_likely_and_the_dearest_the_worst() -> None:
    made = one(Work(spec(types=("c5.4xlarge", "m5.4xlarge")), 1, timeout=3600.0))
    (line,) = made.lines
    assert line.on_demand.likely == pytest.approx(0.68)
    assert line.on_demand.at_most == pytest.approx(2 * 0.768)
    assert line.spot.at_most == pytest.approx(2 * 0.3)


def test_a_type_without_a_price_makes_the_worst_case_unknown_and_has_a_name() -> None:
    made = one(Work(spec(types=("c5.4xlarge", "x9.huge")), 1, timeout=3600.0))
    (line,) = made.lines
    assert line.on_demand.likely == pytest.approx(0.68)
    assert line.on_demand.at_most is None
    assert ("us-east-1", "x9.huge", "on-demand") in made.unpriced
    assert ("us-east-1", "x9.huge", "spot") in made.unpriced
    assert any("x9.huge on-demand in us-east-1" in text for text in remarks(made))


def test_only_the_zones_that_are_allowed_count() -> None:
    made = one(Work(spec(zones=("us-east-1a",), spot=True), 1, timeout=3600.0))
    assert made.likely().usd == pytest.approx(0.2)
    assert made.at_most().usd == pytest.approx(0.4)
    elsewhere = one(Work(spec(zones=("us-east-1f",), spot=True), 1, timeout=3600.0))
    assert elsewhere.likely().unknown
    assert elsewhere.likely("on-demand").usd == pytest.approx(0.68)


def test_spot_that_may_fall_back_costs_as_much_as_on_demand_at_most() -> None:
    plain, fallback = (one(Work(spec(spot=True, spot_fallback=way), 1)) for way in (False, True))
    assert plain.at_most().usd == pytest.approx(2 * 0.3)
    assert fallback.at_most().usd == pytest.approx(2 * 0.68)


def test_a_spot_limit_below_every_zone_is_said() -> None:
    low = one(Work(spec(spot=True, spot_max_price=0.15), 1))
    assert "costs $0.2000 an hour now: spot_max_price 0.15 would get none" in low.notes[0]
    assert not one(Work(spec(spot=True, spot_max_price=0.2), 1)).notes
    assert not one(Work(spec(spot=False, spot_max_price=0.15), 1)).notes


# --- lines and totals --------------------------------------------------------------------------------------------


def test_a_sum_says_what_it_lacks() -> None:
    made = estimate([Work(spec(), 10), Work(spec(types=("x9.huge",)), 1)], price)
    assert made.at_most() == Total(pytest.approx(13.6), True)
    assert total(made.at_most()) == "$13.60 + ?"
    assert total(Total(0.0, True)) == "?"
    assert total(Total(0.0, False)) == "$0"


def test_each_task_counts_in_the_market_it_asks_for() -> None:
    made = estimate([Work(spec(), 10), Work(spec(spot=True), 10)], price)
    assert made.at_most().usd == pytest.approx(10 * 2 * 0.68 + 10 * 2 * 0.3)
    assert made.at_most("on-demand").usd == pytest.approx(20 * 2 * 0.68)
    assert made.at_most("spot").usd == pytest.approx(20 * 2 * 0.3)


def test_specs_that_differ_in_nothing_that_costs_are_one_line() -> None:
    specs = [replace(spec(), user_data=f"echo {n}") for n in range(4)] + [spec(region="eu-west-1")]
    work = work_of(dict.fromkeys(specs, 1), timeout=3600.0, tries=2)
    assert [item.tasks for item in work] == [1, 1, 1, 1, 1]
    made = estimate(work, price)
    assert [(line.region, line.tasks) for line in made.lines] == [("us-east-1", 4), ("eu-west-1", 1)]
    assert made.lines[0].on_demand.at_most == pytest.approx(4 * 2 * 2 * 0.68)
    assert made.tasks == 5
    assert made.origins() == ("pricing api, 2026-11-22", "spot history, 2026-11-22", "table of 2026-11-22")


def test_a_line_of_other_tries_stays_its_own() -> None:
    made = estimate([Work(spec(), 1, tries=1), Work(spec(), 1, tries=2)], price)
    assert [line.on_demand.at_most for line in made.lines] == [pytest.approx(1.36), pytest.approx(2.72)]


def test_every_price_that_is_looked_up_can_be_fetched_before() -> None:
    work = [Work(spec(types=("c5.4xlarge", "m5.4xlarge")), 1), Work(spec(spot=True), 5)]
    asked: list[tuple[str, str, Market]] = []

    def watched(region: str, name: str, market: Market) -> Price | None:
        asked.append((region, name, market))
        return price(region, name, market)

    estimate(work, watched)
    assert set(asked) == set(wanted(work))
    assert len(wanted(work)) == 4


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("us-east-1", "eu-west-1")), st.sampled_from(("c5.4xlarge", "x9.huge", "t3.micro")),
            st.integers(1, 9), st.one_of(st.none(), st.floats(1, 1e5)), st.one_of(st.none(), st.floats(1, 1e5)),
            st.booleans(), st.booleans(),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_the_worst_is_never_better_than_the_likely(
    rows: list[tuple[str, str, int, float | None, float | None, bool, bool]],
) -> None:
    work = [
        Work(spec(region, (name,), ttl=ttl, spot=spot, spot_fallback=fallback), tasks, timeout)
        for region, name, tasks, ttl, timeout, spot, fallback in rows
    ]
    made = estimate(work, price, max_concurrent=3)
    assert made.tasks == sum(item.tasks for item in work)
    for line in made.lines:
        for cost in (line.on_demand, line.spot):
            if cost.likely is not None and cost.at_most is not None:
                assert cost.likely <= cost.at_most * (1 + 1e-9)
            assert cost.price is not None or (cost.likely is None and cost.at_most is None)
    if made.likely_wall is not None and made.most_wall is not None:
        assert made.likely_wall <= made.most_wall * (1 + 1e-9)
    assert json.loads(json.dumps(to_json(made))) == to_json(made)


# --- how long ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "slots", "wall"),
    [(None, None, 2), (10, None, 10), (7, None, 16), (None, {"us-east-1": 5}, 20), (40, {"us-east-1": 5}, 20),
     (2, {"us-east-1": 5}, 50), (None, {"eu-west-1": 1}, 2)],
)  # fmt: skip
def test_waves_by_what_may_run_at_a_time(
    limit: int | None, slots: dict[str, int] | None, wall: float
) -> None:
    made = one(Work(spec(), 50), max_concurrent=limit, slots=slots)
    assert made.most_wall == wall * 3600


def test_regions_run_beside_each_other_under_a_common_limit() -> None:
    work = [Work(spec(), 10), Work(spec("eu-west-1"), 10)]
    assert estimate(work, price, slots={"us-east-1": 5, "eu-west-1": 2}).most_wall == 5 * 7200
    assert estimate(work, price, max_concurrent=2).most_wall == 10 * 7200


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 50)), min_size=1, max_size=4), st.integers(1, 9))
def test_a_queue_of_different_tasks_takes_as_long_as_it_would(
    rows: list[tuple[int, int]], limit: int
) -> None:
    work = [Work(spec(ttl=float(seconds)), tasks) for tasks, seconds in rows]
    free = [0.0] * limit
    heapify(free)
    ends: list[float] = []
    for tasks, seconds in rows:
        for _ in range(tasks):
            ends.append(heappop(free) + seconds)
            heappush(free, ends[-1])
    assert estimate(work, price, max_concurrent=limit).most_wall == max(ends)


# --- what is shown -----------------------------------------------------------------------------------------------


class _Known(Prices):
    """Prices that nobody is asked for."""

    def __init__(self, problems: tuple[str, ...] = ()) -> None:
        self._told = problems
        self.fetched: list[object] = []

    @property
    def problems(self) -> tuple[str, ...]:
        return self._told

    def fetch(self, wanted: object) -> None:
        self.fetched.append(wanted)

    def price(self, region: str, instance_type: str, market: Market) -> Price | None:
        return price(region, instance_type, market)


def plan(tasks: int, **fields: object) -> Plan:
    return Plan("spawn", "bench", tuple(PlannedTask("", {"i": i}) for i in range(tasks)), **fields)  # type: ignore[arg-type]


SPECS = [SourceSpec("ec2-us-east-1", "ec2", 5, {"region": "us-east-1"})]


def test_on_a_terminal_all_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    work = [
        Work(spec(types=("c5.4xlarge", "m5.4xlarge")), 25, timeout=3600.0),
        Work(spec("eu-west-1"), 12_000),
    ]
    assert estimate_of(plan(12_025), SPECS, work, _Known(("spot prices cannot be asked",)), budget=25.0) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:4] == [
        "instance               tasks   each           on-demand   spot",
        "c5.4xlarge|m5.4xlarge  25      an hour        $0.68 *     $0.25",
        "us-east-1                      likely 1h00m   $17.00 *    $6.25",
        "                               at most 2h00m  $38.40 *    $15.00",
    ]
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "…" not in out
    assert "bench: 12,025 tasks, as asked for: likely $17.00 + ?, at most $18,470" in out
    assert "from the first launch to the last end: at most 10h00m" in out
    assert "volumes (EBS), public IPv4 addresses and traffic are not included" in err
    assert "table of 2026-11-22" in err
    assert "no price is known for c5.4xlarge spot in eu-west-1" in err
    assert "warning: spot prices cannot be asked" in err
    assert "the budget of $25 may be reached" in err


def test_in_a_pipe_each_line_is_one_row_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    names = tuple(f"c5.{n}xlarge" for n in range(20))
    prices = _Known()
    assert estimate_of(plan(3), SPECS, [Work(spec(types=names, spot=True), 3)], prices) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split("\t")[:6] == ["us-east-1", "|".join(names), "3", "spot", "?", "2h00m"]
    assert len(rows[0].split("\t")) == len(rows[1].split("\t"))
    assert len(prices.fetched) == 1, "all at once"


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    work = [Work(spec(spot=True), 25, timeout=3600.0)]
    assert estimate_of(plan(25), SPECS, work, _Known(("x",)), as_json=True) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == ""
    assert (told["name"], told["tasks"], told["problems"]) == ("bench", 25, ["x"])
    assert told["lines"][0]["spot"]["zones"] == {"us-east-1a": 0.2, "us-east-1b": 0.3}
    assert told["lines"][0]["on_demand"]["price_from"] == "pricing api"
    assert told["lines"][0]["on_demand"]["price_date"] == "2026-11-22"
    assert told["at_most"] == {"usd": pytest.approx(15.0), "partly_unknown": False}
    assert told["all_on_demand"]["at_most"]["usd"] == pytest.approx(34.0)
    assert told["at_most_wall_seconds"] == 5 * 7200


def test_nothing_known_is_null_and_not_zero(capsys: pytest.CaptureFixture[str]) -> None:
    estimate_of(plan(1), SPECS, [Work(spec(), 1)], None, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["at_most"] == {"usd": None, "partly_unknown": True}
    assert told["lines"][0]["on_demand"]["usd_per_hour"] is None


def test_sources_that_are_paid_by_the_slot_or_not_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    paid = SourceSpec("server1", "ssh", 8, {"host": "server1", "cost_per_hour": "0.35"})
    local = SourceSpec("local", "local", 4)
    estimate_of(plan(10), [local])
    estimate_of(plan(10), [local, paid])
    estimate_of(plan(10, timeout=7200.0, retries=Retries(max=1)), [local, paid])
    estimate_of(plan(3), [*SPECS, local], [Work(spec(), 3)], _Known())
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bench")]
    assert said == [
        "bench: 10 tasks on local, which costs nothing that spawn-tui knows of",
        "bench: 10 tasks on local, server1; a slot costs server1 $0.35/h. How long a task takes is known when some "
        "have run",
        "bench: 10 tasks on local, server1; a slot costs server1 $0.35/h. At most $14.00, by the timeout of 2h00m",
        "bench: what does not run on EC2 runs on local, which costs nothing that spawn-tui knows of",
    ]


def test_many_types_are_named_by_the_first() -> None:
    assert short(("c5.4xlarge", "m5.4xlarge")) == "c5.4xlarge|m5.4xlarge"
    assert short(tuple(f"c5.{n}xlarge" for n in range(8))) == "c5.0xlarge +7"
