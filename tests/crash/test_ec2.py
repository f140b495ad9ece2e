"""kill -9 of engines that run sweeps on EC2: around every call of a launch and of an end, and at points of the journal.

Asked of the emulator in the end: no attempt ever had two instances, none is alive that nobody waits for, and what ran
is told as it was.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from spawn_tui.engine.ids import task_name

from . import field as fields
from .ec2_far import NAME, Ec2Trial, Played, ec2_place
from .far import Far
from .far_faults import JOURNAL, Death
from .field import check_sound
from .trials import Plan, chosen, points_of, run_trials

pytestmark = pytest.mark.timeout(240)

PLAN = Plan("true", tasks=6, cancelled=3)
ENDS = {1: ["failed", "completed"], 2: ["failed", "failed"], 3: ["cancelled"]}
"""How the attempts of each task end; of all others there is one, and it completes."""
STRIDES, INSTANTS = 5, 3
OFTEN = ("request", "launch", "signal")
"""What engines die over in every way; over all else only when it was done, which says the most."""


def part(task: int, attempt: int) -> int | None:
    """What the instance of an attempt does: its exit status; the cancelled one runs on."""
    if task == PLAN.cancelled:
        return None
    return 3 if task == 2 or (task, attempt) == (1, 1) else 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Far, Played]]:
    with ec2_place(tmp_path_factory.mktemp("ec2"), part) as made:
        yield made
        fields.kill_engines()


@pytest.fixture
def begin(place: tuple[Far, Played], tmp_path: Path) -> Callable[..., Ec2Trial]:
    """Begins trials at this place."""
    far, played = place
    made = iter(range(1_000_000))
    return lambda **deaths: Ec2Trial(played, far, PLAN, tmp_path / f"{tmp_path.name}-{next(made)}", **deaths)


@pytest.fixture
def check(place: tuple[Far, Played]) -> Callable[[Ec2Trial], None]:
    return partial(check_trial, place[1])


def check_trial(played: Played, trial: Ec2Trial) -> None:
    """Sound; every task ended as it must, every attempt on one instance at most; all is home, and nothing is left."""
    field = trial.field
    sweep = check_sound(field)
    instances = Counter(played.attempt_of(trial, one) for one in played.of(trial))
    twice = [key for key, count in instances.items() if count > 1]
    assert not twice, f"launched twice: {twice}"
    left = [one["id"] for one in played.of(trial) if one["state"] not in ("shutting-down", "terminated")]
    assert not left, f"alive, and nobody waits for them: {left}"
    for task in sweep.tasks:
        states = [attempt.state.value for attempt in task.attempts]
        expected = ENDS.get(task.index, ["completed"])
        never_began = task.index == PLAN.cancelled and not states
        assert states == expected or never_began, f"{task_name(task.index)}: {task.attempts}"
        for attempt in task.attempts:
            if attempt.state.value == "cancelled":
                continue
            assert instances[task.index, attempt.number] == 1
            home, token = field.attempt(task.index, attempt.number), field.token(task.index, attempt.number)
            assert (home / "stdout.log").read_text() == f"said by {token}\n"
            numbers = (home / "results" / "numbers.txt").read_text()
            assert numbers == "".join(f"{n}\n" for n in range(task.index * 100))
    assert not sweep.uncollected
    for path in (field.root / "ec2").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, f"{path} is not ours alone"


def test_killed_at_points(begin: Callable[..., Ec2Trial], check: Callable[[Ec2Trial], None]) -> None:
    """At points of every name, around the calls and of the journal; some who come to the rescue die, too."""
    points = Counter[str]()

    def check_calm(trial: Ec2Trial) -> None:
        check(trial)
        points.update(points_of(trial))

    run_trials([begin], check_calm)  # type: ignore[arg-type]
    assert {f"{when} {what}" for when in ("before", "amid", "after") for what in
            ("request", "stage", "launch", "answer", "look", "label", "report", "signal")} <= points.keys()  # fmt: skip
    lot = random.Random(NAME)
    trials: list[Callable[[], Ec2Trial]] = []
    for death in _worth(chosen(points, STRIDES)):
        deaths = [death, *(_some(lot, points) for _ in range(lot.randrange(2)))]
        trials.append(partial(begin, deaths=deaths))
    run_trials(trials, check)  # type: ignore[arg-type]
    died = {name.partition("/")[2] for name in fields.kills if name.startswith("ec2/")}
    assert died >= {JOURNAL, "before", "late", "amid", "after"}, died


def _worth(deaths: Iterable[Death]) -> Iterator[Death]:
    for death in deaths:
        when, _, what = death.point.partition(" ")
        last = when == "after" and death.number > 1
        if death.point == JOURNAL or (not last and (what in OFTEN or when in ("after", "late"))):
            yield death


def _some(lot: random.Random, points: Counter[str]) -> Death:
    """A point that one who comes to the rescue may pass: early ones, for it has less to do."""
    name = lot.choice(sorted(points))
    return Death(name, lot.randrange(1, 60 if name == JOURNAL else 3))


def test_a_launch_is_carried_out_and_nobody_hears_of_it(
    begin: Callable[..., Ec2Trial], check: Callable[[Ec2Trial], None]
) -> None:
    """Twice in a row, of the same request; or it arrives late, when the next has sent the same."""
    deaths = [
        [Death("after launch", 1), Death("after launch", 1), Death("before answer", 1)],
        [Death("late launch", 1), Death("late launch", 1)],
        [Death("before launch", 1), Death("late launch", 1), Death("after look", 1)],
    ]
    before = fields.kills.total()
    run_trials([partial(begin, deaths=each) for each in deaths], check)  # type: ignore[arg-type]
    assert fields.kills.total() - before >= len(deaths), "most of these engines never came to that point"


def test_killed_at_random_instants(begin: Callable[..., Ec2Trial], check: Callable[[Ec2Trial], None]) -> None:
    lot = random.Random(f"{NAME} instants")
    run_trials(
        [partial(begin, instants=[lot.uniform(0.1, 2.5) for _ in range(3)]) for _ in range(INSTANTS)],
        check,  # type: ignore[arg-type]
    )
