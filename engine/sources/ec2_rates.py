"""What the instances of a source cost per hour."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from ..aws.bucket import Call
from ..aws.cloud import Cloud
from ..aws.model import Market
from ..aws.prices import Prices


class GetPrice(Protocol):
    def __call__(self, region: str, instance_type: str, market: Market) -> float | None: ...


class Rates:
    """Asks for prices in threads of `pool`: other APIs tell them, which may be slow or away, and nothing waits."""

    def __init__(self, region: str, price: GetPrice, pool: ThreadPoolExecutor) -> None:
        self._region, self._price, self._pool = region, price, pool
        self._asked: dict[tuple[str, Market], Future[float | None]] = {}

    def ask(self, instance_type: str, market: Market) -> Future[float | None]:
        """USD per hour; None if nobody can say. What nobody could say before is asked again."""
        known = self._asked.get((instance_type, market))
        if known is None or (known.done() and known.result() is None):
            known = self._pool.submit(self._price, self._region, instance_type, market)
            self._asked[instance_type, market] = known
        return known


def price_of(cloud: Cloud, call: Call) -> GetPrice:
    """AWS's own prices."""
    prices = Prices(cloud, call=call)

    def price(region: str, instance_type: str, market: Market) -> float | None:
        found = prices.price(region, instance_type, market)
        return found.usd_per_hour if found is not None else None

    return price
