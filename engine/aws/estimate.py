"""What a sweep on EC2 may cost, before anything is launched. Pure: prices come as a function, and nothing is asked.

Two cases are told. *At most*: every try of every task lasts as long as its instance may live (the TTL; without one the
task's timeout), on the dearest of the allowed types and zones. *Likely*: one try each, as long as its timeout, or as
attempts took that were measured. Where a price or a time is not known, the sum is told as that of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from itertools import chain, repeat

from .model import InstanceSpec, Market
from .price_table import Price

LookUp = Callable[[str, str, Market], Price | None]
"""The price of a type in a region and market, as `prices.Prices.price` gives it."""
MARKETS: tuple[Market, ...] = ("on-demand", "spot")
SHORTEST = 60.0
"""Seconds that are charged at least (aws.amazon.com/ec2/pricing/on-demand: per second, one minute at least)."""
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Work:
    """Tasks that ask for the same instance. Times in seconds."""

    spec: InstanceSpec
    tasks: int
    timeout: float | None = None
    """How long one of them may run; None: for ever."""
    measured: float | None = None
    """The mean of attempts that have ended, where there are any."""
    tries: int = 1
    """How often one may be tried, with its retries."""


@dataclass(frozen=True, slots=True)
class Cost:
    """USD for one line in one market; None where a price or a time is not known."""

    price: Price | None
    """Of the type that is tried first."""
    likely: float | None
    at_most: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """The tasks of one region, choice of types, market and life. Seconds are those of one try."""

    region: str
    types: tuple[str, ...]
    market: Market
    """The one they ask for; both are told side by side."""
    tasks: int
    likely_seconds: float | None
    most_seconds: float | None
    """None: nothing ends it."""
    on_demand: Cost
    spot: Cost

    @property
    def asked(self) -> Cost:
        return self.cost(self.market)

    def cost(self, market: Market) -> Cost:
        return self.spot if market == "spot" else self.on_demand


@dataclass(frozen=True, slots=True)
class Total:
    """A sum in USD; `partly_unknown`: of what is known, and some is not."""

    usd: float
    partly_unknown: bool

    @property
    def unknown(self) -> bool:
        """Whether nothing is known at all."""
        return self.partly_unknown and self.usd == 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """All lines, and what follows from them."""

    lines: tuple[Line, ...]
    likely_wall: float | None
    most_wall: float | None
    """Seconds from the first launch to the last end, with as many instances at a time as are allowed."""
    unpriced: tuple[tuple[str, str, Market], ...] = ()
    """Region, type and market of each price that is needed and not known."""
    notes: tuple[str, ...] = ()
    """What a person should know besides."""

    @property
    def tasks(self) -> int:
        return sum(line.tasks for line in self.lines)

    def likely(self, market: Market | None = None) -> Total:
        """In `market`; None: each task in the one it asks for."""
        return _total([line.cost(market or line.market).likely for line in self.lines])

    def at_most(self, market: Market | None = None) -> Total:
        return _total([line.cost(market or line.market).at_most for line in self.lines])

    def origins(self) -> tuple[str, ...]:
        """Where the prices come from, and of which day."""
        known = (line.cost(market).price for line in self.lines for market in MARKETS)
        return tuple(dict.fromkeys(price.origin() for price in known if price is not None))


@dataclass(slots=True)
class _Remarks:
    unpriced: dict[tuple[str, str, Market], None] = field(default_factory=dict[tuple[str, str, Market], None])
    notes: dict[str, None] = field(default_factory=dict[str, None])


def work_of(specs: Mapping[InstanceSpec, int], *, timeout: float | None = None, tries: int = 1) -> list[Work]:
    """The specs of all tasks, each with how many want it, as work; `timeout` in seconds."""
    return [Work(spec, tasks, timeout, tries=tries) for spec, tasks in specs.items()]


def wanted(work: Sequence[Work]) -> list[tuple[str, str, Market]]:
    """The prices that `estimate` will look up: to be fetched at once before."""
    asked: dict[tuple[str, str, Market], None] = {}
    for item in work:
        for name in item.spec.types:
            for market in MARKETS:
                asked[item.spec.region, name, market] = None
    return list(asked)


def estimate(
    work: Sequence[Work],
    price: LookUp,
    *,
    max_concurrent: int | None = None,
    slots: Mapping[str, int] | None = None,
) -> Estimate:
    """`max_concurrent`: instances at a time over all regions, `slots`: in each; without them all run at once."""
    remarks = _Remarks()
    lines = [_line(item, price, remarks) for item in work]
    likely = [(line.region, line.tasks, line.likely_seconds) for line in lines]
    most = [
        (line.region, line.tasks * item.tries, line.most_seconds)
        for line, item in zip(lines, work, strict=True)
    ]
    return Estimate(
        _joined(lines),
        _wall(likely, max_concurrent, slots or {}),
        _wall(most, max_concurrent, slots or {}),
        tuple(remarks.unpriced),
        tuple(remarks.notes),
    )


def _line(work: Work, look_up: LookUp, remarks: _Remarks) -> Line:
    spec = work.spec
    likely = work.measured if work.measured is not None else work.timeout
    if likely is not None and spec.ttl is not None:
        likely = min(likely, spec.ttl)
    most = spec.ttl if spec.ttl is not None else _after(work.timeout, spec.completion_delay)
    if most is None:
        remarks.notes[
            f"nothing ends an instance of {'|'.join(spec.types)} in {spec.region} whose task hangs: give it a ttl"
        ] = None
    prices = {
        market: [_known(look_up, spec, name, market, remarks) for name in spec.types] for market in MARKETS
    }
    costs = {market: _cost(work, prices[market], likely, most) for market in MARKETS}
    if spec.spot and spec.spot_fallback:
        dearer = costs["on-demand"].at_most
        worst = costs["spot"].at_most
        both = None if dearer is None or worst is None else max(worst, dearer)
        costs["spot"] = Cost(costs["spot"].price, costs["spot"].likely, both)
    _check_limit(spec, prices["spot"], remarks)
    market: Market = "spot" if spec.spot else "on-demand"
    return Line(
        spec.region, spec.types, market, work.tasks, likely, most, costs["on-demand"], costs["spot"]
    )  # fmt: skip


def _after(seconds: float | None, delay: float) -> float | None:
    return None if seconds is None else seconds + delay


def _known(look_up: LookUp, spec: InstanceSpec, name: str, market: Market, remarks: _Remarks) -> Price | None:
    price = look_up(spec.region, name, market)
    price = price.within(spec.zones) if price is not None else None
    if price is None:
        remarks.unpriced[spec.region, name, market] = None
    return price


def _cost(work: Work, prices: Sequence[Price | None], likely: float | None, most: float | None) -> Cost:
    first = prices[0] if prices else None
    known = [price.highest for price in prices if price is not None]
    all_known = bool(prices) and len(known) == len(prices)
    return Cost(
        first,
        _usd(work.tasks, likely, first.usd_per_hour if first is not None else None),
        _usd(work.tasks * work.tries, most, max(known) if all_known else None),
    )


def _usd(runs: int, seconds: float | None, usd_per_hour: float | None) -> float | None:
    if seconds is None or usd_per_hour is None:
        return None
    return runs * max(seconds, SHORTEST) / _HOUR * usd_per_hour


def _check_limit(spec: InstanceSpec, prices: Sequence[Price | None], remarks: _Remarks) -> None:
    """A limit below what every zone asks now gets no instance."""
    known = [price.lowest for price in prices if price is not None]
    if spec.spot and spec.spot_max_price is not None and known and spec.spot_max_price < min(known):
        remarks.notes[
            f"spot {'|'.join(spec.types)} in {spec.region} costs ${min(known):.4f} an hour now: spot_max_price "
            f"{spec.spot_max_price:g} would get none"
        ] = None


def _joined(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Lines that differ in nothing but their tasks (tags, user data, …) become one."""
    found: dict[tuple[object, ...], Line] = {}
    for line in lines:
        key = (
            line.region, line.types, line.market, line.likely_seconds, line.most_seconds,
            _per_task(line.on_demand, line.tasks), _per_task(line.spot, line.tasks),
        )  # fmt: skip
        before = found.get(key)
        if before is not None:
            line = Line(
                line.region, line.types, line.market, before.tasks + line.tasks, line.likely_seconds,
                line.most_seconds, _sum(before.on_demand, line.on_demand), _sum(before.spot, line.spot),
            )  # fmt: skip
        found[key] = line
    return tuple(found.values())


def _per_task(cost: Cost, tasks: int) -> tuple[object, ...]:
    """To a millionth of a dollar: tries and zones make a difference, rounding does not."""
    return (
        cost.price,
        *(None if usd is None else round(usd / max(1, tasks), 6) for usd in (cost.likely, cost.at_most)),
    )


def _sum(a: Cost, b: Cost) -> Cost:
    likely = None if a.likely is None or b.likely is None else a.likely + b.likely
    most = None if a.at_most is None or b.at_most is None else a.at_most + b.at_most
    return Cost(a.price, likely, most)


def _total(amounts: Sequence[float | None]) -> Total:
    return Total(sum(usd for usd in amounts if usd is not None), None in amounts)


def _wall(
    work: Sequence[tuple[str, int, float | None]], max_concurrent: int | None, slots: Mapping[str, int]
) -> float | None:
    """Seconds until the last of (region, tasks, seconds each) ends; None where one of the times is not known."""
    times: dict[str, list[tuple[int, float]]] = {}
    for region, tasks, seconds in work:
        if seconds is None:
            return None
        times.setdefault(region, []).append((tasks, seconds))
    walls = [_queue(chain_of, slots.get(region)) for region, chain_of in times.items()]
    walls.append(_queue([pair for pairs in times.values() for pair in pairs], max_concurrent))
    return max(walls)


def _queue(work: Sequence[tuple[int, float]], slots: int | None) -> float:
    """The rolling queue: each task goes, in order, to the slot that is free first."""
    total = sum(tasks for tasks, _ in work)
    if not total:
        return 0.0
    if slots is None or slots >= total:
        return max(seconds for tasks, seconds in work if tasks)
    if len({seconds for _, seconds in work}) == 1:
        return -(-total // slots) * work[0][1]
    free = [0.0] * slots
    heapify(free)
    for seconds in chain.from_iterable(repeat(seconds, tasks) for tasks, seconds in work):
        heapreplace(free, free[0] + seconds)
    return max(free)
