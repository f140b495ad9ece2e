"""What `collect` knows of attempts whose source cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .losses import is_loss

if TYPE_CHECKING:
    from ...engine.collect.bring import Collected
    from ...engine.collect.gather import FarSource
    from ...engine.events import Ref
    from ...engine.sweep import Sweep


class Unseen:
    """Attempts whose source could not be asked; what the journal knows to be home is home all the same."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._found: dict[str, list[tuple[str, Collected]]] = {}
        self.count = 0
        self._troubles: dict[str, list[str]] = {}
        """By source: why nothing could be brought for a while, and empty words when it went on."""

    def is_news(self, source: str, words: str) -> bool:
        """Keep why nothing can be brought from a source at the moment; whether that was not what was said last."""
        told = self._troubles.setdefault(source, [""])
        told.append(words)
        return told[-2] != words

    def is_trouble(self, source: str, problem: str) -> bool:
        """Whether an attempt's problem is the source's."""
        return bool(problem) and problem in self._troubles.get(source, ())

    def add(self, source: str, collected: Collected) -> None:
        self._found.setdefault(collected.problem, []).append((source, collected))
        self.count += 1

    def by_reason(self) -> list[tuple[str, list[tuple[str, Collected]]]]:
        """Why, and of which source and attempt."""
        return list(self._found.items())

    def is_home(self, ref: Ref) -> bool:
        """Whether the journal knows it to be home."""
        sweep = self._sweep
        if ref in sweep.uncollected or ref in sweep.given_up:
            return False
        left = sweep.left_behind.get((ref.task, ref.attempt), "")
        # What a lost attempt left is never told: nobody knows that there is nothing.
        lost = sweep.tasks[ref.task].attempts[ref.attempt - 1].kind == "source_lost"
        return not lost and (not left or not is_loss(sweep, *ref, left))


def without_credentials(sources: Sequence[FarSource]) -> dict[str, str]:
    """The sources that cannot be asked for want of credentials, and why."""
    from ...engine.collect.elsewhere import is_cloud

    profiles = {source.name: source.options.get("profile", "") for source in sources if is_cloud(source.kind)}
    if not profiles:
        return {}
    from ...engine.aws.lookout import LIMIT, Clouds, with_remedy
    from ...engine.aws.lookout import without_credentials as without

    errors = without(profiles.values(), Clouds(), LIMIT)
    return {name: with_remedy(errors[profile]) for name, profile in profiles.items() if profile in errors}
