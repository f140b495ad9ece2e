"""Playing seeds: one, with its trace, or many, over several processes."""

from __future__ import annotations

import gc
import multiprocessing
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .world import World

TRACE_LINES = 400
CHUNK = 50


@dataclass(frozen=True, slots=True)
class Failure:
    seed: int
    what: str


def command_for(seed: int) -> str:
    """What a person types to see it again."""
    return f"python -m tests.simulation --seed {seed}"


def play(seed: int) -> Failure | None:
    """Play one seed; what went wrong, in one line."""
    try:
        World(seed).run()
    except Exception as error:  # noqa: BLE001 - whatever escapes the engine is a finding
        return Failure(seed, f"{type(error).__name__}: {error}"[:500])
    finally:
        gc.unfreeze()  # the store sets aside what it reads; here it is read a thousand times
    return None


def explain(seed: int) -> tuple[bool, str]:
    """Play one seed with its trace; whether it failed, and the story."""
    world = World(seed, trace=True)
    ending, failed = "it holds", False
    try:
        world.run()
    except Exception:  # noqa: BLE001
        ending, failed = traceback.format_exc(), True
    story = world.trace or []
    cut = [f"… {len(story) - TRACE_LINES} lines before"] if len(story) > TRACE_LINES else []
    return failed, "\n".join([*cut, *story[-TRACE_LINES:], ending, command_for(seed)])


def _play_chunk(seeds: Sequence[int]) -> list[Failure]:
    return [failure for seed in seeds if (failure := play(seed)) is not None]


def play_many(seeds: range, jobs: int) -> Iterator[Failure]:
    """Play them all; failures as they are found."""
    chunks = [seeds[n : n + CHUNK] for n in range(0, len(seeds), CHUNK)]
    if jobs == 1:
        for chunk in chunks:
            yield from _play_chunk(chunk)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for failures in pool.imap_unordered(_play_chunk, chunks):
            yield from failures
