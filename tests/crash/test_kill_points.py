"""kill -9 at every point of an engine's run, then `resume`, as often as it takes."""

from __future__ import annotations

import random
import select
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from spawn_tui.engine.sweep import Sweep, TaskState

from .faults import LAYERS
from .field import Field, check_completed, check_sound, ended, kill, kills, run_to_end, start_engine

KILLED = -9
MORE_THAN_ENOUGH = 2000


@dataclass(frozen=True)
class Scenario:
    """A kind of sweep, and what must be true of it in the end."""

    script: str
    check: Callable[[Field], object]
    tasks: int = 3
    retries: int = 0
    cancel_when: Callable[[Sweep], bool] | None = None


def _some_run(sweep: Sweep) -> bool:
    return sweep.counts[TaskState.RUNNING] >= 2


def _at_once(sweep: Sweep) -> bool:
    return True


def _check_cancelled(field: Field) -> None:
    """Everything that was launched is cancelled or never began; nobody ran twice."""
    sweep = check_sound(field)
    assert sweep.status.value == "cancelled", sweep.reason
    assert {task.state for task in sweep.tasks} == {TaskState.CANCELLED}
    assert all(len(task.attempts) <= 1 for task in sweep.tasks)


def _check_retried(field: Field) -> None:
    check_completed(field, attempts=2)


SCENARIOS = {
    # Ends before the engine has looked twice.
    "short": Scenario("true", check_completed),
    # Lives through the engine's death and is adopted.
    "long": Scenario("sleep 0.1", check_completed),
    # The first attempt of every task fails.
    "retry": Scenario('[ "$SWEEP_ATTEMPT" = 2 ]', _check_retried, tasks=2, retries=1),
    # Cancelled while one process hangs in the group and one has left it.
    "cancel": Scenario("setsid sleep 60 & sleep 60", _check_cancelled, cancel_when=_some_run),
}
CASES = [
    *((layer, scenario) for layer in LAYERS for scenario in ("short", "cancel")),
    ("journal", "long"), ("source", "long"), ("journal", "retry"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "name"), CASES)
def test_killed_at_every_point(layer: str, name: str, new_field: Callable[..., Field]) -> None:
    scenario = SCENARIOS[name]
    lot = random.Random(f"{layer} {name}")
    for at in range(1, MORE_THAN_ENOUGH):
        field = new_field(scenario.script, tasks=scenario.tasks, retries=scenario.retries)
        code = ended(start_engine(field, layer, at, cancel_when=scenario.cancel_when))
        over = code == 0
        deaths = [at]
        while code == KILLED:
            kills[f"{layer}/{name}"] += 1
            # Those who come to the rescue may die, too.
            again = lot.randrange(0, 40) if len(deaths) < 3 else 0
            deaths.append(again)
            # And what was to be cancelled is cancelled before they have looked: nothing may be out of their sight.
            code = ended(start_engine(field, layer, again, cancel_when=scenario.cancel_when and _at_once))
        what = f"{layer} points {deaths} of {name} ({field.root})"
        assert code == 0, f"{what}: status {code}\n{field.log.read_text()[-3000:]}"
        try:
            scenario.check(field)
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from error
        shutil.rmtree(field.root.parent.parent)
        if over:
            break
    assert kills[f"{layer}/{name}"] >= 20


@pytest.mark.parametrize("name", ["short", "long"])
def test_killed_at_random_instants(name: str, new_field: Callable[..., Field]) -> None:
    scenario = SCENARIOS[name]
    lot = random.Random(name)
    for _ in range(25):
        field = new_field(scenario.script, tasks=6)
        for _ in range(3):
            pid = start_engine(field)
            select.select([], [], [], lot.uniform(0.002, 0.08))  # the instant itself, nothing is waited for
            kill(pid, f"instant/{name}")
        run_to_end(field)
        scenario.check(field)
