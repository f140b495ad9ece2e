"""Two thousand days of a sweep, each made of one number. A longer run: `python -m tests.simulation --seeds 100000`."""

from __future__ import annotations

import pytest

from .play import explain, play_many
from .world import CLOUDS_FROM

SEEDS = 2000
PROCESSES = 2


def hold(seeds: range) -> None:
    for failure in play_many(seeds, PROCESSES):
        pytest.fail(f"{failure.what}\n\n{explain(failure.seed)[1]}", pytrace=False)


@pytest.mark.simulation
def test_a_thousand_days() -> None:
    hold(range(CLOUDS_FROM))


@pytest.mark.simulation
def test_a_thousand_days_with_clouds() -> None:
    hold(range(CLOUDS_FROM, SEEDS))
