"""What a budget will not see, said before anything is launched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...engine.words import blind_words
from .output import say

if TYPE_CHECKING:
    from ...engine.aws.estimate import LookUp
    from ...engine.aws.model import InstanceSpec


def unseen(wishes: Iterable[tuple[InstanceSpec, int]], price: LookUp) -> list[str]:
    """A line for each type whose price nobody knows in its region and market. `wishes`: with their numbers of tasks."""
    counts: dict[str, int] = {}
    for spec, tasks in wishes:
        market = "spot" if spec.spot else "on-demand"
        lacking = [name for name in spec.types if price(spec.region, name, market) is None]
        if lacking:
            what = f"{'|'.join(lacking)} ({market}) in {spec.region}"
            counts[what] = counts.get(what, 0) + tasks
    return [blind_words(what, count) for what, count in counts.items()]


def warn_unseen(wishes: Iterable[tuple[InstanceSpec, int]], price: LookUp) -> None:
    """Say it, for a launch that has a budget."""
    for text in unseen(wishes, price):
        say(f"spawn-tui: warning: {text}")
