"""Two thousand days of a sweep, each made of one number. A longer run: `python -m tests.simulation --seeds 100000`."""

from __future__ import annotations

import pytest

from .play import explain, play_many

SEEDS = 2000
PROCESSES = 2


@pytest.mark.simulation
def test_two_thousand_days() -> None:
    for failure in play_many(range(SEEDS), PROCESSES):
        pytest.fail(f"{failure.what}\n\n{explain(failure.seed)[1]}", pytrace=False)
