"""Prices: as AWS answers them, kept on disk for as long as they hold, and unknown rather than guessed."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.errors import AwsError
from spawn_tui.engine.aws.model import Market
from spawn_tui.engine.aws.pacing import Pacer
from spawn_tui.engine.aws.price_cache import LIFE, Answer, PriceCache, Question
from spawn_tui.engine.aws.price_table import Price, table_price
from spawn_tui.engine.aws.prices import ASK_AGAIN, Prices, newest_by_zone

from ..parts.aws import Aws
from .pricing_field import PricingField, pricing_field, product

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
DAY = datetime.fromtimestamp(NOW).astimezone().date()


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def field(monkeypatch: pytest.MonkeyPatch) -> Generator[PricingField, None, None]:
    with pricing_field() as field:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", field.endpoint)
        yield field


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def prices(clock: Clock | None = None, said: list[str] | None = None) -> Prices:
    return Prices(Cloud(), clock=clock or Clock(), say=(said if said is not None else []).append)


# --- the Pricing API ---------------------------------------------------------------------------------------------


def test_the_on_demand_price_is_the_plain_linux_one(field: PricingField) -> None:
    """Dedicated, reserved and Windows products of the same type are on the list too, and the answer has pages."""
    field.products = [
        product("c5.4xlarge", "0.7480000000", tenancy="Dedicated"),
        product("c5.4xlarge", "1.4160000000", operatingSystem="Windows"),
        product("c5.4xlarge", "0.0000000000", marketoption="CapacityBlock"),
        product("c5.4xlarge", "0.5000000000", marketoption="CapacityBlock"),
        product("c5.4xlarge", "0.0000000000"),
        product("c5.4xlarge", "0.6800000000"),
        product("c5.4xlarge", "0.7680000000", region="eu-west-1"),
    ]
    assert prices().on_demand("us-east-1", "c5.4xlarge") == Price(0.68, DAY, "pricing api")
    assert prices().on_demand("eu-west-1", "c5.4xlarge") == Price(0.768, DAY, "pricing api")


def test_what_is_not_sold_has_no_price_and_not_that_of_the_table(field: PricingField) -> None:
    assert table_price("us-east-1", "c5.4xlarge") is not None
    assert prices().on_demand("us-east-1", "c5.4xlarge") is None
    field.products = [product("c5.4xlarge", "0.68")]
    assert prices().on_demand("us-east-1", "c5.4xlarge") == Price(0.68, DAY, "pricing api"), (
        "not kept for a week"
    )


@pytest.mark.parametrize("other", [{"currency": "CNY"}, {"unit": "Quantity"}])
def test_another_currency_or_unit_is_no_price(field: PricingField, other: dict[str, str]) -> None:
    field.products = [product("c5.4xlarge", "4.8", **other)]  # type: ignore[arg-type]
    assert prices().on_demand("us-east-1", "c5.4xlarge") is None


def test_two_different_prices_are_told_and_not_chosen_from(field: PricingField) -> None:
    field.products = [
        product("c5.large", "0.085"),
        product("c5.large", "0.09", operation="RunInstances:0002"),
    ]
    asking = prices()
    assert asking.on_demand("us-east-1", "c5.large") is None
    assert asking.problems == (
        "the Pricing API names several prices for c5.large in us-east-1: $0.085 and $0.09",
    )


@pytest.mark.parametrize("torn", ["{", "[]", '{"product": {}}', '{"product": {"attributes": 3}}'])
def test_an_answer_in_another_form_is_no_price_and_is_told(field: PricingField, torn: str) -> None:
    field.products = [torn]
    asking = prices()
    assert asking.on_demand("us-east-1", "x9.huge") is None
    assert "could not be read" in asking.problems[0]


def test_a_refusal_names_the_missing_permission_once_and_the_table_stands_in(field: PricingField) -> None:
    words = "User: arn:aws:iam::1:user/ada is not authorized to perform: pricing:GetProducts"
    field.refusal = (400, "AccessDeniedException", words)
    said: list[str] = []
    asking = prices(said=said)
    price = asking.on_demand("us-east-1", "c5.4xlarge")
    assert price is not None
    assert (price.usd_per_hour, price.where, price.origin()) == (0.68, "table", "table of 2026-01-19")
    assert asking.on_demand("us-east-1", "x9.huge") is None
    assert len(said) == 1
    assert "pricing:GetProducts" in said[0]
    assert field.calls == ["c5.4xlarge"], "who does not answer is not asked for each type again"


def test_who_did_not_answer_is_asked_again_after_a_while(field: PricingField) -> None:
    field.refusal = (400, "ThrottlingException", "Rate exceeded")
    clock = Clock()
    asking = prices(clock)
    assert asking.on_demand("us-east-1", "x9.huge") is None
    field.refusal, field.products = None, [product("x9.huge", "9.5")]
    clock.now += ASK_AGAIN - 1
    assert asking.on_demand("us-east-1", "x9.huge") is None
    clock.now += 2
    assert asking.on_demand("us-east-1", "x9.huge") == Price(9.5, DAY, "pricing api")


def test_many_types_are_asked_at_once_and_each_only_once(field: PricingField) -> None:
    names = [f"m9.{n}xlarge" for n in range(20)]
    field.products = [product(name, f"{n + 1}.0") for n, name in enumerate(names)]
    asking = prices()
    asking.fetch([("us-east-1", name, "on-demand") for name in names * 2])
    assert sorted(field.calls) == sorted(names)
    found = [asking.on_demand("us-east-1", name) for name in names]
    assert [price.usd_per_hour for price in found if price] == [float(n + 1) for n in range(20)]
    assert len(field.calls) == 20


def test_without_credentials_there_is_no_exception(
    monkeypatch: pytest.MonkeyPatch, field: PricingField
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    asking = prices()
    price = asking.on_demand("eu-west-1", "m5.large")
    assert price is not None and price.where == "table"
    assert asking.spot("eu-west-1", "m5.large") is None
    assert len(asking.problems) == 2


def test_the_profile_that_is_not_there_is_a_problem_and_no_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Prices(Cloud("nobody"), clock=Clock())
    assert asking.spot("us-east-1", "m5.large") is None
    assert "nobody" in asking.problems[0]


# --- spot --------------------------------------------------------------------------------------------------------


@mock_aws
def test_spot_prices_come_by_zone_and_their_mean_is_said() -> None:
    price = prices().spot("us-east-1", "c5.4xlarge")
    assert price is not None
    zones = [zone for zone, _ in price.zones]
    assert zones == sorted(zones) and len(zones) > 2 and all(zone.startswith("us-east-1") for zone in zones)
    assert price.where == "spot history"
    assert price.usd_per_hour == pytest.approx(1e-5)
    one = prices().spot("us-east-1", "c5.4xlarge", zones[0])
    assert one is not None and one.zones == ((zones[0], 1e-5),)
    assert prices().spot("us-east-1", "c5.4xlarge", "us-east-1z") is None


@mock_aws
def test_spot_prices_of_a_region_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def counted(operation: str, function: Any, /) -> Any:
        seen.append(operation)
        return function()

    asking = Prices(Cloud(), call=counted, clock=Clock())
    asking.fetch(("us-east-1", name, "spot") for name in ("c5.large", "m5.large", "t3.micro"))
    assert seen == ["DescribeSpotPriceHistory"]
    assert asking.spot("us-east-1", "m5.large") is not None
    assert asking.spot("us-east-1", "x9.none") is None
    assert asking.spot("us-east-1", "x9.none") is None
    assert seen == ["DescribeSpotPriceHistory"] * 2, "that there is none is remembered as well"


@mock_aws
def test_a_type_that_aws_refuses_takes_no_price_from_the_others() -> None:
    """DescribeSpotPriceHistory refuses all of a question in which one name is wrong."""
    asked: list[str] = []

    def strict(operation: str, function: Any, /) -> Any:
        asked.append(operation)
        if len(asked) == 1 or len(asked) == 3:
            raise AwsError("invalid", "InvalidParameterValue", "Invalid value 'x9.none' for InstanceType.")
        return function()

    asking = Prices(Cloud(), call=strict, clock=Clock())
    asking.fetch(("us-east-1", name, "spot") for name in ("c5.large", "x9.none", "t3.micro"))
    assert len(asked) == 4
    assert asking.spot("us-east-1", "c5.large") is not None
    assert asking.spot("us-east-1", "x9.none") is None
    assert asking.spot("us-east-1", "t3.micro") is not None
    assert (len(asked), asking.problems) == (4, ())


def entry(zone: str, usd: str, minutes: int, described: str = "Linux/UNIX") -> dict[str, Any]:
    at = datetime(2026, 11, 22, 11, tzinfo=UTC) + timedelta(minutes=minutes)
    return {
        "AvailabilityZone": zone, "InstanceType": "c5.4xlarge", "ProductDescription": described,
        "SpotPrice": usd, "Timestamp": at,
    }  # fmt: skip


def test_of_each_zone_the_newest_price_counts() -> None:
    history = [
        entry("us-east-1a", "0.2500", 3),
        entry("us-east-1a", "0.2100", 9),
        entry("us-east-1a", "0.2900", 5),
        entry("us-east-1b", "0.1900", 1),
        entry("us-east-1b", "0.9900", 8, "Windows"),
        entry("us-east-1c", "0.0000", 8),
    ]
    assert newest_by_zone(history) == {"c5.4xlarge": {"us-east-1a": 0.21, "us-east-1b": 0.19}}


def test_a_spot_price_has_a_mean_and_ends_and_can_be_kept_to_zones() -> None:
    price = Price(0.2, DAY, "spot history", (("a", 0.1), ("b", 0.3), ("c", 0.2)))
    assert (price.lowest, price.highest) == (0.1, 0.3)
    within = price.within(("b", "c", "d"))
    assert within is not None
    assert (within.usd_per_hour, within.highest) == (pytest.approx(0.25), 0.3)
    assert price.within(("d",)) is None
    everywhere = Price(0.68, DAY, "pricing api")
    assert everywhere.within(("d",)) == everywhere
    assert (everywhere.lowest, everywhere.highest) == (0.68, 0.68)


# --- the emulator, over the wire ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def emulator() -> Generator[Aws, None, None]:
    aws = Aws(namespaces=False)
    yield aws
    aws.close()


@pytest.fixture
def cloud(emulator: Aws, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    emulator.reset()
    emulator.calls(forget=True)
    for name, value in emulator.env().items():
        monkeypatch.setenv(name, value)
    return Cloud()


REGIONS = ("us-east-1", "us-west-2")
TYPES = ("c5.large", "c5.xlarge", "c5.4xlarge", "m5.large", "t3.micro")
EVERYTHING: list[tuple[str, str, Market]] = [
    (region, name, market) for region in REGIONS for name in TYPES for market in ("on-demand", "spot")
]  # fmt: skip


def test_all_prices_of_a_sweep_take_one_call_for_each_type_and_one_for_each_regions_spot(
    cloud: Cloud, emulator: Aws
) -> None:
    asking = Prices(cloud)
    asking.fetch(EVERYTHING)
    found = {wanted: asking.price(*wanted) for wanted in EVERYTHING}
    assert asking.problems == ()
    dear, cheap = found["us-east-1", "c5.4xlarge", "on-demand"], found["us-east-1", "c5.4xlarge", "spot"]
    assert dear is not None and cheap is not None
    assert (dear.usd_per_hour, dear.where) == (0.68, "pricing api")
    assert 0 < cheap.lowest <= cheap.usd_per_hour <= cheap.highest < dear.usd_per_hour
    assert all(found.values())
    for (region, _, market), price in found.items():
        assert price is not None
        assert market == "on-demand" or all(zone.startswith(region) for zone, _ in price.zones)
    assert (len(emulator.calls("GetProducts")), len(emulator.calls("DescribeSpotPriceHistory"))) == (10, 2)
    again = Prices(cloud)
    assert {wanted: again.price(*wanted) for wanted in EVERYTHING} == found
    assert len(emulator.calls()) == 12, "another program finds them on the disk"


def test_throttling_costs_time_and_no_price_where_calls_are_paced(cloud: Cloud, emulator: Aws) -> None:
    emulator.fault(
        code="ThrottlingException", message="Rate exceeded", status=400, action="GetProducts", times=7
    )
    emulator.fault(code="RequestLimitExceeded", message="Request limit exceeded.", status=503,
                   action="DescribeSpotPriceHistory", times=2)  # fmt: skip
    pacer = Pacer()

    def paced(operation: str, function: Any, /) -> Any:
        return pacer.call(operation, function, limit=60.0)

    asking = Prices(cloud, call=paced)
    asking.fetch(EVERYTHING)
    assert all(asking.price(*wanted) for wanted in EVERYTHING)
    assert asking.problems == ()
    assert len(emulator.calls("GetProducts")) == 17


def test_expired_credentials_are_told_for_each_side_and_nothing_is_guessed(
    cloud: Cloud, emulator: Aws
) -> None:
    emulator.fault("expired", seconds=60)
    asking = Prices(cloud)
    price = asking.on_demand("us-east-1", "c5.4xlarge")
    assert price is not None and price.where == "table"
    assert asking.spot("us-east-1", "c5.4xlarge") is None
    assert len(asking.problems) == 2 and all("xpired" in text for text in asking.problems)


# --- the cache ---------------------------------------------------------------------------------------------------


def test_an_answer_holds_for_a_week_over_programs(field: PricingField) -> None:
    field.products = [product("c5.large", "0.085")]
    clock = Clock()
    prices(clock).on_demand("us-east-1", "c5.large")
    field.products = [product("c5.large", "0.095")]
    clock.now += LIFE["on-demand"] - 1
    kept = prices(clock).on_demand("us-east-1", "c5.large")
    assert kept == Price(0.085, DAY, "pricing api"), "with the day on which it was asked"
    clock.now += 2
    fresh = prices(clock).on_demand("us-east-1", "c5.large")
    assert fresh is not None and (fresh.usd_per_hour, fresh.dated) == (0.095, DAY + timedelta(days=7))
    assert field.calls == ["c5.large", "c5.large"]


def test_an_answer_that_took_its_time_is_kept_too(field: PricingField) -> None:
    """It is younger than the question; a file that took that for a clock gone wrong would stay empty."""
    field.products = [product("c5.large", "0.085")]
    clock = Clock()

    def slow(operation: str, function: Any, /) -> Any:
        clock.now += 3.0
        return function()

    Prices(Cloud(), call=slow, clock=clock).on_demand("us-east-1", "c5.large")
    assert prices(clock).on_demand("us-east-1", "c5.large") == Price(0.085, DAY, "pricing api")
    assert field.calls == ["c5.large"]


def test_a_program_that_runs_for_long_asks_again_too(field: PricingField) -> None:
    field.products = [product("c5.large", "0.085")]
    clock = Clock()
    asking = prices(clock)
    asking.on_demand("us-east-1", "c5.large")
    clock.now += LIFE["on-demand"] + 1
    asking.on_demand("us-east-1", "c5.large")
    assert len(field.calls) == 2


def test_an_emulators_prices_are_never_taken_for_those_of_aws(
    field: PricingField, monkeypatch: pytest.MonkeyPatch
) -> None:
    field.products = [product("c5.large", "77.0")]
    assert prices().on_demand("us-east-1", "c5.large") == Price(77.0, DAY, "pricing api")
    with pricing_field() as other:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", other.endpoint)
        other.products = [product("c5.large", "0.085")]
        assert prices().on_demand("us-east-1", "c5.large") == Price(0.085, DAY, "pricing api")


def test_a_spot_price_holds_for_an_hour() -> None:
    answer = Answer(NOW, (("us-east-1a", 0.2),))
    assert answer.fresh("spot", NOW + 3599) and not answer.fresh("spot", NOW + 3600)
    assert answer.fresh("on-demand", NOW + 3600)
    assert not answer.fresh("on-demand", NOW - 1), "written by a clock that was ahead"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"format": 2, "prices": {}}', b'{"format": 1}',
     b'{"format": 1, "prices": {"spot e r t": {"at": 1, "usd_per_hour": {"a": -1}}}}',
     b'{"format": 1, "prices": {"spot e r t": {"at": 1, "usd_per_hour": 3}}}'],
)  # fmt: skip
def test_a_corrupt_cache_is_no_cache_said_once_and_healed(
    field: PricingField, spawn_home: Path, content: bytes
) -> None:
    (spawn_home / "prices.json").write_bytes(content)
    field.products = [product("c5.large", "0.085"), product("m5.large", "0.096")]
    said: list[str] = []
    asking = prices(said=said)
    assert asking.on_demand("us-east-1", "c5.large") == Price(0.085, DAY, "pricing api")
    assert asking.on_demand("us-east-1", "m5.large") == Price(0.096, DAY, "pricing api")
    assert len(said) == 1 and "prices.json cannot be used" in said[0]
    assert len(json.loads((spawn_home / "prices.json").read_bytes())["prices"]) == 2
    again = prices(said=said)
    again.on_demand("us-east-1", "c5.large")
    assert len(said) == 1 and len(field.calls) == 2


def test_a_cache_that_cannot_be_written_is_said_and_the_price_known(
    field: PricingField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPAWN_HOME", str(tmp_path / "file" / "home"))
    field.products = [product("c5.large", "0.085")]
    said: list[str] = []
    assert prices(said=said).on_demand("us-east-1", "c5.large") == Price(0.085, DAY, "pricing api")
    assert len(said) == 1


def test_a_lock_that_is_held_costs_a_moment_and_no_price(
    field: PricingField, spawn_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    from spawn_tui.engine.aws import price_cache

    monkeypatch.setattr(price_cache, "LOCK_LIMIT", 0.05)
    field.products = [product("c5.large", "0.085")]
    said: list[str] = []
    with (spawn_home / "prices.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert prices(said=said).on_demand("us-east-1", "c5.large") == Price(0.085, DAY, "pricing api")
    assert "could not be kept" in said[0]


def test_what_no_longer_holds_leaves_the_file(spawn_home: Path) -> None:
    cache = PriceCache()
    old, new = (Question("spot", "https://ec2", "us-east-1", name).key() for name in ("a.old", "b.new"))
    cache.keep({old: Answer(NOW, (("us-east-1a", 0.1),))}, NOW)
    cache.keep({new: Answer(NOW + 3600, (("us-east-1a", 0.2),))}, NOW + 3600)
    assert set(cache.read()) == {new}
    assert (spawn_home / "prices.json").stat().st_mode & 0o777 == 0o600


def _writer(home: str, name: int) -> None:
    cache = PriceCache(Path(home))
    for n in range(20):
        key = Question("on-demand", "https://pricing", "us-east-1", f"t{name}.{n}").key()
        cache.keep({key: Answer(NOW, (("", 1.0 + n),))}, NOW)


def test_several_programs_write_and_nothing_is_lost(spawn_home: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_writer, args=(str(spawn_home), name)) for name in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(PriceCache().read()) == 60
    assert sorted(path.name for path in spawn_home.iterdir()) == ["prices.json", "prices.lock"]


# --- the table ---------------------------------------------------------------------------------------------------


def test_the_table_says_its_date_and_knows_the_types_of_the_guides() -> None:
    found = [table_price(region, "c5.4xlarge") for region in ("us-east-1", "us-west-2", "eu-west-1")]
    # The operations guide's table ("Cost by Region"); it drops the last digit of 0.768.
    assert [price.usd_per_hour for price in found if price] == [0.68, 0.68, 0.768]
    assert all(price and price.where == "table" and price.dated < date(2026, 11, 22) for price in found)
    micro = table_price("us-east-1", "t3.micro")
    assert micro is not None and micro.usd_per_hour == 0.0104
    assert table_price("mars-north-1", "t3.micro") is None
    assert table_price("us-east-1", "t3.mega") is None


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2", "eu-west-1"])
def test_the_table_keeps_the_ladder_of_sizes(region: str) -> None:
    """From `large` on each size costs twice the one before (4xlarge: four times xlarge): a slip would stand out."""
    sizes = {"large": 1, "xlarge": 2, "2xlarge": 4, "4xlarge": 8}
    for family in ("t3", "m5", "m6i", "c5", "c6i", "r5"):
        costs = {size: table_price(region, f"{family}.{size}") for size in sizes}
        units = {round(price.usd_per_hour / sizes[size], 6) for size, price in costs.items() if price}
        assert len(units) <= 1, (region, family, costs)
