"""What an instance costs: on-demand prices from the Pricing API, spot prices from the spot price history.

A price that nobody can say is None, never a guess. Answers are kept on disk (`price_cache`); where the Pricing API
cannot be asked, a dated table stands in and says so (`price_table`), and `Prices.problems` says why.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any, Protocol, TypeVar, cast

from .cloud import Cloud, asked, pages
from .errors import AwsError
from .model import Market
from .price_cache import Answer, PriceCache, Question
from .price_table import Price, spot_price, table_price

T = TypeVar("T")
Wanted = tuple[str, str, Market]
"""Region, instance type, market."""

PRICING_REGION = "us-east-1"
"""The Pricing API is served in a few regions only, and knows the prices of all."""
PARALLEL = 8
ASK_AGAIN = 600.0
"""Seconds for which somebody who did not answer is not asked again."""
_PRODUCT = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
}
"""The plain Linux instance among the many products of one type: others are dedicated, reserved, or hold a licence.

Attributes as in the AWS Price List; `capacitystatus`: github.com/aws/amazon-ec2-instance-selector.
"""
_LINUX = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")
"""Both name the same; which of them is answered depends on the age of the account."""


class Call(Protocol):
    """How a call is made: who asks much paces and repeats (`pacing`)."""

    def __call__(self, operation: str, function: Callable[[], T], /) -> T: ...


def directly(operation: str, function: Callable[[], T], /) -> T:
    """Once, at once."""
    return function()


class Prices:
    """Prices of one account's way to AWS; safe in many threads. No method raises for what AWS does or fails to do."""

    def __init__(
        self,
        cloud: Cloud,
        *,
        cache: PriceCache | None = None,
        call: Call = directly,
        say: Callable[[str], object] = lambda text: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`say` is told, once each, why prices could not be asked or kept."""
        self._cloud, self._call, self._say, self._clock = cloud, call, say, clock
        self._cache = cache or PriceCache(say=self._problem)
        self._lock = threading.Lock()
        self._known: dict[Wanted, Answer] = {}
        self._silent: dict[tuple[Market, str], float] = {}
        """Who did not answer, and when: the Pricing API is one, the spot history of each region another."""
        self._problems: dict[str, None] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """Why some prices are unknown or not of today, in words."""
        with self._lock:
            return tuple(self._problems)

    def on_demand(self, region: str, instance_type: str) -> Price | None:
        """USD per hour of a Linux instance with shared tenancy; None if nobody can say."""
        self.fetch([(region, instance_type, "on-demand")])
        answer = self._fresh((region, instance_type, "on-demand"))
        if answer is None:
            return table_price(region, instance_type)
        return Price(answer.zones[0][1], _day(answer.at), "pricing api") if answer.zones else None

    def spot(self, region: str, instance_type: str, zone: str = "") -> Price | None:
        """USD per hour now in `zone`, else the mean over the region's zones; None if nobody can say."""
        self.fetch([(region, instance_type, "spot")])
        answer = self._fresh((region, instance_type, "spot"))
        if answer is None or not answer.zones:
            return None
        return spot_price(answer.zones, _day(answer.at)).within((zone,) if zone else ())

    def price(self, region: str, instance_type: str, market: Market) -> Price | None:
        """`on_demand` or `spot`."""
        return self.spot(region, instance_type) if market == "spot" else self.on_demand(region, instance_type)

    def fetch(self, wanted: Iterable[Wanted]) -> None:
        """Learn all these at once, in parallel; what is known and still holds is not asked again."""
        open_: list[Wanted] = [w for w in wanted if self._fresh(w) is None and self._answers(w)]
        if not open_:
            return
        questions = {w: question for w in open_ if (question := self._question(w)) is not None}
        kept, now = self._cache.read() if questions else {}, self._clock()
        found = {w: kept[q.key()] for w, q in questions.items() if q.key() in kept}
        found = {w: answer for w, answer in found.items() if answer.fresh(w[2], now)}
        self._learn(found)
        asked_for = self._ask([w for w in questions if w not in found])
        self._learn(asked_for)
        # That there is no such price is not kept: a type that is new today is there tomorrow.
        answers = {questions[w].key(): answer for w, answer in asked_for.items() if answer.zones}
        if answers:
            self._cache.keep(answers, self._clock())

    # --- asking --------------------------------------------------------------------------------------------------

    def _ask(self, wanted: Sequence[Wanted]) -> dict[Wanted, Answer]:
        """One call for each on-demand price (the API takes one type), one for all spot prices of a region."""
        jobs: list[tuple[Wanted, ...]] = [(w,) for w in wanted if w[2] == "on-demand"]
        for region in dict.fromkeys(w[0] for w in wanted if w[2] == "spot"):
            jobs.append(tuple(w for w in wanted if w[2] == "spot" and w[0] == region))
        if not jobs:
            return {}
        with ThreadPoolExecutor(min(PARALLEL, len(jobs)), thread_name_prefix="prices") as pool:
            found: dict[Wanted, Answer] = {}
            for part in pool.map(self._one, jobs):
                found.update(part)
        return found

    def _one(self, wanted: tuple[Wanted, ...]) -> dict[Wanted, Answer]:
        region, _, market = wanted[0]
        if not self._answers(wanted[0]):
            return {}
        try:
            if market == "on-demand":
                return {wanted[0]: self._ask_pricing(region, wanted[0][1])}
            return self._ask_history(region, wanted)
        except AwsError as error:
            if error.kind in ("invalid", "not_found"):
                # One name that AWS does not know spoils the answer for all; alone it has no price.
                if len(wanted) == 1:
                    return {wanted[0]: Answer(self._clock(), ())}
                return {key: answer for w in wanted for key, answer in self._one((w,)).items()}
            self._unanswered(market, region, error)
            return {}

    def _ask_pricing(self, region: str, instance_type: str) -> Answer:
        client = self._cloud.client("pricing", PRICING_REGION)
        fields = {**_PRODUCT, "instanceType": instance_type, "regionCode": region}
        filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in fields.items()]
        products: list[str] = self._call(
            "GetProducts",
            lambda: pages(client, "get_products", "PriceList", ServiceCode="AmazonEC2", Filters=filters),
        )
        amounts = {usd for product in products for usd in hourly_usd(product, fields)}
        if len(amounts) > 1:
            several = " and ".join(f"${usd:g}" for usd in sorted(amounts))
            self._problem(f"the Pricing API names several prices for {instance_type} in {region}: {several}")
            amounts = set[float]()
        return Answer(self._clock(), tuple(("", usd) for usd in amounts))

    def _ask_history(self, region: str, wanted: tuple[Wanted, ...]) -> dict[Wanted, Answer]:
        client = self._cloud.client("ec2", region)
        now = self._clock()
        # From now on: that is, of each zone, the price in force (DescribeSpotPriceHistory, `StartTime`).
        entries = self._call(
            "DescribeSpotPriceHistory",
            lambda: pages(
                client,
                "describe_spot_price_history",
                "SpotPriceHistory",
                InstanceTypes=[instance_type for _, instance_type, _ in wanted],
                ProductDescriptions=list(_LINUX),
                StartTime=datetime.fromtimestamp(now, UTC),
            ),
        )
        newest = newest_by_zone(entries)
        return {w: Answer(now, tuple(sorted(newest.get(w[1], {}).items()))) for w in wanted}

    # --- what is known -------------------------------------------------------------------------------------------

    def _question(self, wanted: Wanted) -> Question | None:
        """None, and a problem, where not even a client can be made."""
        region, instance_type, market = wanted
        service, home = ("ec2", region) if market == "spot" else ("pricing", PRICING_REGION)
        try:
            client = self._cloud.client(service, home)
            with asked(f"{service} in {home}"):
                endpoint = str(client.meta.endpoint_url)
        except AwsError as error:
            self._unanswered(market, region, error)
            return None
        return Question(market, endpoint, region, instance_type)

    def _fresh(self, wanted: Wanted) -> Answer | None:
        with self._lock:
            answer = self._known.get(wanted)
        return answer if answer is not None and answer.fresh(wanted[2], self._clock()) else None

    def _learn(self, answers: dict[Wanted, Answer]) -> None:
        with self._lock:
            self._known.update(answers)

    def _answers(self, wanted: Wanted) -> bool:
        """Whether it is worth asking: not if there was no answer a moment ago."""
        with self._lock:
            since = self._silent.get(_who(wanted[2], wanted[0]))
        return since is None or not 0.0 <= self._clock() - since < ASK_AGAIN

    def _unanswered(self, market: Market, region: str, error: AwsError) -> None:
        with self._lock:
            self._silent[_who(market, region)] = self._clock()
        what = f"spot prices of {region}" if market == "spot" else "on-demand prices"
        missing = f"; the permission {error.action} is missing" if error.action else ""
        self._problem(f"{what} cannot be asked ({error}{missing})")

    def _problem(self, text: str) -> None:
        with self._lock:
            new = text not in self._problems
            self._problems[text] = None
        if new:
            self._say(text)


def _who(market: Market, region: str) -> tuple[Market, str]:
    return (market, region if market == "spot" else "")


def _day(at: float) -> date:
    return datetime.fromtimestamp(at).astimezone().date()


def hourly_usd(product: str, attributes: dict[str, str]) -> set[float]:
    """The hourly on-demand prices in one entry of GetProducts' `PriceList` (a JSON text), if it is what was asked for.

    Capacity blocks (`marketoption`) and amounts of zero are prices of something else. Raises `AwsError` for a text
    that is not in the form `aws_v1`.
    """
    try:
        entry = cast("dict[str, Any]", json.loads(product))
        told = cast("dict[str, str]", entry["product"]["attributes"])
        if any(told.get(name) != value for name, value in attributes.items()):
            return set()
        if told.get("marketoption", "OnDemand") != "OnDemand":
            return set()
        terms = cast("dict[str, dict[str, Any]]", entry["terms"].get("OnDemand", {}))
        return {
            usd
            for term in terms.values()
            for dimension in cast("dict[str, dict[str, Any]]", term["priceDimensions"]).values()
            if dimension["unit"] == "Hrs" and (usd := float(dimension["pricePerUnit"].get("USD", 0))) > 0
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AwsError("server", "", "an entry of the price list could not be read", "GetProducts") from error


def newest_by_zone(entries: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By instance type and zone the latest price of a plain Linux instance in a `SpotPriceHistory`."""
    latest: dict[tuple[str, str], tuple[datetime, float]] = {}
    for entry in entries:
        key = (str(entry["InstanceType"]), str(entry["AvailabilityZone"]))
        at, usd = entry["Timestamp"], float(entry["SpotPrice"])
        if (
            entry.get("ProductDescription") in _LINUX
            and usd > 0
            and (key not in latest or at > latest[key][0])
        ):
            latest[key] = (at, usd)
    found: dict[str, dict[str, float]] = {}
    for (instance_type, zone), (_, usd) in latest.items():
        found.setdefault(instance_type, {})[zone] = usd
    return found
