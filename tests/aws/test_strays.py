"""Which instances no sweep accounts for, and when an instance ends; nobody is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.aws.launches import LaunchAnswer, LaunchRequest, LaunchStore
from spawn_tui.engine.aws.lookout import Place, Written, asked_for, deadline, places
from spawn_tui.engine.aws.model import TAG_OWNER, TAG_SOURCE, TAG_SWEEP_ID, TAG_TTL, Instance
from spawn_tui.engine.aws.strays import KnownSweep, judge
from spawn_tui.engine.events import Ref
from spawn_tui.state.disk import LocalDisk

from ..tui.build import Made
from .verbs_field import EAST, a_sweep, source_name

SOURCE = source_name(EAST)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return a_sweep(tmp_path / "made")


def write(
    made: Made, token: str, tasks: list[int], *, attempt: int = 1, answered: bool = True, stops: bool = False
):
    """A launch as it is written down, with instances `i-<token>-<index>`."""
    request: dict[str, object] = {
        "ClientToken": token, "MaxCount": len(tasks), "UserData": "",
        "InstanceInitiatedShutdownBehavior": "stop" if stops else "terminate",
    }  # fmt: skip
    attempts = tuple((task, attempt) for task in tasks)
    store = LaunchStore(made.root / "ec2" / SOURCE, LocalDisk())
    made_at = float(attempt)
    store.write(LaunchRequest(token, SOURCE, "b1", attempts, request, made_at, 1, "on-demand", "t3.micro"))
    if answered:
        store.answer(token, LaunchAnswer(tuple(f"i-{token}-{index}" for index in range(len(tasks)))))


def instance(made: Made, token: str, index: int = 0, **fields: Any) -> Instance:
    found = Instance(
        f"i-{token}-{index}", "running", "t3.micro", "us-east-1a", "on-demand", token, index, 1000.0,
        tags=((TAG_SWEEP_ID, made.id), (TAG_SOURCE, SOURCE), (TAG_OWNER, "ada")),
    )  # fmt: skip
    return replace(found, **fields)


def verdict(made: Made, found: Instance, **fields: Any) -> tuple[str, str]:
    known = KnownSweep(made.root, made.store.sweep, written={SOURCE: Written(made.root, SOURCE)})
    judged = judge(found, {made.id: replace(known, **fields)})
    return judged.verdict, judged.why


def run(made: Made, *tasks: int) -> None:
    made.start(tasks, SOURCE)


def test_what_a_task_may_run_on_is_used(made: Made):
    write(made, "a", [0, 1])
    run(made, 0, 1)
    assert verdict(made, instance(made, "a", 1)) == ("used", "task_002 may be running on it")
    made.end(1, "failed", kind="exit", exit_code=1)
    assert verdict(made, instance(made, "a", 1)) == ("stray", "attempt 1 of task_002 has ended (failed)")
    assert verdict(made, instance(made, "a", 0))[0] == "used"
    assert verdict(made, instance(made, "a", 1), engine=True)[0] == "used"


def test_a_later_attempt_does_not_make_the_one_before_it_live(made: Made):
    write(made, "a", [0])
    run(made, 0)
    made.end(0, "failed", kind="exit", exit_code=1)
    made.commit(ev.RequestTaken("r", "retry", (0,)))
    write(made, "b", [0], attempt=2)
    run(made, 0)
    assert verdict(made, instance(made, "a"))[0] == "stray"
    assert verdict(made, instance(made, "b"))[0] == "used"


def test_what_was_given_up_may_live_until_its_sweep_has_ended(made: Made):
    write(made, "a", [0])
    run(made, 0)
    made.end(0, "failed", kind="source_lost", given_up=True)
    assert verdict(made, instance(made, "a"))[0] == "used"
    made.commit(ev.SweepEnded("failed"))
    assert verdict(made, instance(made, "a")) == ("stray", "its sweep has ended (failed)")


def test_a_launch_that_is_not_written_down_is_a_stray_only_of_a_sweep_that_has_ended(made: Made):
    run(made, 0)
    assert verdict(made, instance(made, "lost")) == ("used", "its sweep has not ended")
    made.end(0)
    made.commit(ev.SweepEnded("completed"))
    assert verdict(made, instance(made, "lost"))[0] == "stray"


def test_a_launch_nobody_answered_is_used(made: Made):
    write(made, "a", [0], answered=False)
    made.launch([0], SOURCE)
    assert verdict(made, instance(made, "a"))[0] == "used"


def test_what_cannot_be_read_or_found_is_nobodys_to_end(made: Made):
    found = instance(made, "a")
    assert verdict(made, found, sweep=None, damage="torn") == ("used", "its sweep cannot be read: torn")
    assert verdict(made, found, sweep=None)[0] == "foreign"
    assert judge(found, {}).verdict == "foreign" and "ada" in judge(found, {}).why
    assert judge(replace(found, tags=()), {}).why == "unknown here"


@pytest.mark.parametrize(("stops", "expected"), [(True, "kept"), (False, "stray")])
def test_what_was_given_up_and_stands_still_may_hold_the_only_copy(made: Made, stops: bool, expected: str):
    write(made, "a", [0], stops=stops)
    run(made, 0)
    made.end(0, "failed", kind="source_lost", given_up=True)
    stopped = instance(made, "a", state="stopped")
    assert verdict(made, stopped)[0] == "used", "its sweep has not ended"
    made.commit(ev.SweepEnded("failed"))
    assert verdict(made, stopped)[0] == expected


@pytest.mark.parametrize(
    ("stops", "state", "ended", "expected"),
    [
        (True, "stopped", "completed", "kept"),
        (True, "stopping", "completed", "kept"),
        (True, "running", "completed", "kept"),
        (True, "running", "failed", "stray"),
        (True, "stopped", "cancelled", "stray"),
        (False, "stopped", "completed", "stray"),
    ],
)
def test_what_stands_still_as_was_asked_is_kept(
    made: Made, stops: bool, state: str, ended: str, expected: str
):
    write(made, "a", [0], stops=stops)
    run(made, 0)
    if ended == "cancelled":
        made.commit(ev.RequestTaken("r", "cancel", (0,)), ev.Cancelling(SOURCE, (ev.Ref(0, 1),)))
    made.end(0, ended)  # type: ignore[arg-type]
    made.commit(ev.SweepEnded("completed"))
    assert verdict(made, instance(made, "a", state=state))[0] == expected


def test_what_is_written_down_says_which_attempt_an_instance_runs(made: Made):
    write(made, "a", [2, 0])
    write(made, "b", [1], answered=False)
    written = Written(made.root, SOURCE)
    assert written.attempt_of(instance(made, "a", 0)) == Ref(2, 1)
    assert written.attempt_of(instance(made, "a", 1)) == Ref(0, 1)
    assert (
        written.attempt_of(instance(made, "a", 2)) is None and written.attempt_of(instance(made, "c")) is None
    )
    assert written.instance_of(Ref(0, 1)) == "i-a-1"
    assert written.instance_of(Ref(1, 1)) == "" and written.instance_of(Ref(3, 1)) == ""
    # The same attempt asked for again: as long as the second launch gave none, the first counts.
    write(made, "z", [0], attempt=1, answered=False)
    assert Written(made.root, SOURCE).instance_of(Ref(0, 1)) == "i-a-1"


def test_the_end_of_an_instance_is_what_its_tag_says(made: Made):
    plain = instance(made, "a")
    assert deadline(plain, 60.0) == 1060.0 and deadline(plain, None) is None
    told = replace(plain, tags=(*plain.tags, (TAG_TTL, "1795397621")))
    assert deadline(told, 60.0) == deadline(told, None) == 1795397621.0
    assert deadline(replace(plain, tags=((TAG_TTL, "2h"),)), 60.0) == 1060.0


def test_a_spec_that_cannot_be_read_any_more_says_nothing():
    place = Place("x", EAST, {"ttl": "120"})
    spec = asked_for({"instance_type": "t3.micro"}, place)
    assert spec is not None and spec.ttl == 120.0
    assert asked_for({}, place) is None


def test_places_are_the_clouds_of_a_sweep(made: Made):
    assert [(place.source, place.region, place.profile) for place in places(made.store.sweep)] == [
        (source_name("us-east-1"), "us-east-1", ""), (source_name("us-west-2"), "us-west-2", ""),
    ]  # fmt: skip
