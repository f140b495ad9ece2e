"""What is said of an attempt whose files did not come home, and whether anything is lost by it."""

from __future__ import annotations

from ...engine.sweep import Sweep, TaskState

NOTHING = "there is nothing of it in "
"""How `engine.aws.haul` begins to say that an instance has left nothing."""


def is_loss(sweep: Sweep, task: int, number: int, words: str) -> bool:
    """Whether a person should hear this. That an attempt which was killed or never came up left nothing is no loss."""
    if not words.startswith(NOTHING) or "; " in words:
        return True
    attempts = sweep.tasks[task].attempts
    return number > len(attempts) or attempts[number - 1].state is TaskState.COMPLETED
