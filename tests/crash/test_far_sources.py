"""kill -9 of engines that run sweeps elsewhere: at points of the journal, of the wire, and at random instants.

The same three hold for every source: what was asked for and not heard of is found again, not done again; what ran is
told as it was; nothing is left there.
"""

from __future__ import annotations

import filecmp
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from spawn_tui.engine.ids import task_name

from tests.parts.need import need
from tests.parts.pbs import Pbs
from tests.parts.slurm import Slurm, no_slurm
from tests.parts.sshd import Sshd, no_sshd
from tests.parts.users import no_users
from tests.parts.waiting import wait_until

from . import field as fields
from .far import Far, pbs_place, slurm_place, ssh_place
from .far_faults import JOURNAL, Death
from .field import check_sound
from .trials import Plan, Trial, chosen, points_of, run_trials

pytestmark = [pytest.mark.parts, pytest.mark.timeout(240)]

BIG = 700_000
"""Lines of the biggest file: more than travels in one piece with others."""
SCRIPT = f"""
mkdir "$SWEEP_TASK_DIR/ran" || exit 9 # a second run of this attempt would stumble here
echo "said by $SWEEP_TOKEN"
seq $((SWEEP_INDEX ? SWEEP_INDEX * 100 : {BIG})) >"$SWEEP_TASK_DIR/results/numbers $SWEEP_INDEX.txt"
sleep 0.$((SWEEP_INDEX % 3 + 1))
case $SWEEP_INDEX in
1) [ "$SWEEP_ATTEMPT" = 2 ] ;;
2) exit 3 ;;
3) sleep 60 & sleep 60 ;;
esac
"""
PLAN = Plan(SCRIPT, tasks=6, cancelled=3)
ENDS = {1: ["failed", "completed"], 2: ["failed", "failed"], 3: ["cancelled"]}
"""How the attempts of each task end; of all others there is one, and it completes."""
STRIDES, INSTANTS = 12, 8
"""Points of the journal, and sweeps killed at random instants: with the points on the wire what four minutes hold."""
LATE_SUBMISSIONS = {
    "ssh": ["late launch"], "slurm": ["late sbatch", "late stage"], "pbs": ["late qsub", "late stage"],
}  # fmt: skip
NEVER_SENT = {"start.sh", "status.yaml"}
"""Files that are the machinery's own at either end."""


# --- places ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["ssh", "slurm", "pbs"], scope="module")
def far(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """A place to run at; in the end no engine lives, and the place is gone with all that runs there."""
    base = tmp_path_factory.mktemp("far")
    match request.param:
        case "ssh":
            need(no_sshd() or no_users())
            with Sshd() as server:
                yield from _emptied(ssh_place(server))
        case "slurm":
            need(no_slurm())
            with Slurm(2, 8) as cluster:
                yield from _emptied(slurm_place(cluster, base))
        case _:
            with Pbs() as server:
                yield from _emptied(pbs_place(server, base))


def _emptied(far: Far) -> Iterator[Far]:
    yield far
    fields.kill_engines()


# --- what must be true in the end ----------------------------------------------------------------------------------


def check(trial: Trial) -> None:
    """Sound; every task ended as it must, every attempt ran at most once; all is home, and nothing is left there."""
    field, far = trial.field, trial.far
    sweep = check_sound(field)
    tokens = Counter(field.tokens())
    for task in sweep.tasks:
        states = [attempt.state.value for attempt in task.attempts]
        expected = ENDS.get(task.index, ["completed"])
        never_began = task.index == PLAN.cancelled and not states
        assert states == expected or never_began, f"{task_name(task.index)}: {task.attempts}"
        for attempt in task.attempts:
            token = field.token(task.index, attempt.number)
            if attempt.state.value != "cancelled":
                assert tokens[token] == 1, f"{token} ran {tokens[token]} times"
                _check_files(field.attempt(task.index, attempt.number), task.index, token)
    assert not sweep.uncollected
    left = list(field.layout.attempts.rglob(".spawn-*"))
    assert not left, f"unfinished files at home: {left}"
    there = (far.root / field.root.name if far.root else field.root) / "attempts"
    for directory in there.iterdir():
        assert (directory / "claim").exists(), f"{directory} is staged, and nobody has it or took it back"
        if far.root is not None and (directory / "ran").exists():
            _check_same(directory, field.layout.attempts / directory.name)


def _check_files(directory: Path, index: int, token: str) -> None:
    assert (directory / "stdout.log").read_text() == f"said by {token}\n"
    count = index * 100 if index else BIG
    text = (directory / "results" / f"numbers {index}.txt").read_text()
    assert text == "".join(f"{n}\n" for n in range(1, count + 1)), f"{directory} holds other numbers"
    assert (directory / "exit").read_text().endswith(" end\n")


def _check_same(far: Path, home: Path) -> None:
    """Every file there is at home, byte for byte."""
    for folder, _, names in os.walk(far):
        for name in set(names) - NEVER_SENT:
            path = Path(folder, name)
            copy = home / path.relative_to(far)
            assert copy.is_file(), f"{path} did not come home"
            assert filecmp.cmp(path, copy, shallow=False), f"{path} came home as something else"


# --- trials ------------------------------------------------------------------------------------------------------


@pytest.fixture
def begin(far: Far, tmp_path: Path) -> Callable[..., Trial]:
    """Begins trials at this place."""
    made = iter(range(1_000_000))
    return lambda **deaths: Trial(far, PLAN, tmp_path / f"{tmp_path.name}-{next(made)}", **deaths)


def check_emptied(far: Far) -> None:
    try:
        wait_until(lambda: not far.queue(), "an empty queue")
    except TimeoutError as late:
        raise AssertionError(f"{late}: {far.queue()}") from None


def test_killed_at_points(far: Far, begin: Callable[..., Trial]) -> None:
    """At points of every name on the wire, and of the journal; one or two who come to the rescue die, too."""
    calm: list[Trial] = []

    def check_calm(trial: Trial) -> None:
        check(trial)
        calm.append(trial)
        points.update(points_of(trial))

    points = Counter[str]()
    run_trials([begin], check_calm)
    lot = random.Random(far.spec.kind)
    trials: list[Callable[[], Trial]] = []
    for death in chosen(_but_late_submissions(points), STRIDES):
        deaths = [death, *(_some(lot, _but_late_submissions(points)) for _ in range(lot.randrange(1, 3)))]
        trials.append(partial(begin, deaths=deaths))
    run_trials(trials, check)
    check_emptied(far)
    died = {name.partition("/")[2] for name in fields.kills if name.startswith(f"{far.spec.kind}/")}
    assert died >= {JOURNAL, "before", "late", "amid", "half", "after"}, died


def _but_late_submissions(points: Counter[str]) -> Counter[str]:
    late = {name for names in LATE_SUBMISSIONS.values() for name in names}
    return Counter({name: count for name, count in points.items() if name not in late})


def _some(lot: random.Random, points: Counter[str]) -> Death:
    """A point that one who comes to the rescue may pass: early ones, for it has less to do."""
    name = lot.choice(sorted(points))
    return Death(name, lot.randrange(1, 60 if name == JOURNAL else 3))


def test_a_submission_arrives_late(far: Far, begin: Callable[..., Trial]) -> None:
    """A launch on its way when its engine dies arrives when the next has found nothing and launched by itself."""
    each = [Death(name, number) for name in LATE_SUBMISSIONS[far.spec.kind] for number in (1, 2, 3)]
    first = [Death(name.replace("late", "before"), 1) for name in LATE_SUBMISSIONS[far.spec.kind]]
    trials = [[death] for death in each] + [[before, death] for before in first for death in each[:3]]
    run_trials([partial(begin, deaths=deaths) for deaths in trials], check)
    check_emptied(far)


def test_killed_at_random_instants(far: Far, begin: Callable[..., Trial]) -> None:
    lot = random.Random(f"{far.spec.kind} instants")
    run_trials(
        [partial(begin, instants=[lot.uniform(0.02, 1.5) for _ in range(3)]) for _ in range(INSTANTS)], check
    )
    check_emptied(far)
