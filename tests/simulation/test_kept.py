"""Days that went wrong once must not go wrong again."""

from __future__ import annotations

import pytest

from .kept import KEPT
from .play import explain, play


@pytest.mark.parametrize("seed", KEPT, ids=str)
def test_a_kept_seed(seed: int) -> None:
    failure = play(seed)
    if failure is not None:
        pytest.fail(f"{KEPT[seed]}\n{failure.what}\n\n{explain(seed)[1]}", pytrace=False)


def test_a_seed_is_one_day() -> None:
    """The same number gives the same day, to the letter; else a failure could not be seen again."""
    assert explain(11) == explain(11)
    assert explain(11) != explain(12)
