"""What a strict reader found in the source of instances: each of these cost money, results or trust."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.after_cancel import look_after_cancel
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.errors import AwsError
from spawn_tui.engine.aws.last_look import last_look
from spawn_tui.engine.aws.lookout import Clouds
from spawn_tui.engine.aws.lookout import places as where
from spawn_tui.engine.observe import SawHealth, SawRunning, SourceAway, SourceRefused
from spawn_tui.engine.plan.model import Value
from spawn_tui.engine.run import Parts, run_engine
from spawn_tui.engine.sources import ec2, ec2_live, ec2_looks
from spawn_tui.engine.sources.ec2 import Ec2Source
from spawn_tui.state.lock import LockLost
from spawn_tui.tui.demo.cloud.emulator import Emulator

from tests.aws.verbs_field import a_sweep, launch
from tests.engine.sources.ec2_place import RUNNER, Places, Plays
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


def states(emulator: Emulator) -> dict[str, str]:
    with emulator.lock:
        return {held.id: held.state for held in emulator.fleet.all()}


@pytest.mark.parametrize("case", ["overdue", "never came"])
def test_what_is_said_to_be_terminated_is_though_the_engine_goes_at_once(
    played: tuple[Emulator, Cloud], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    emulator, cloud = played
    emulator.reset()
    emulator.set_defaults(boot=0.02, shutdown=0.02)
    monkeypatch.setattr(ec2_looks, "OVERDUE", 0.5)
    fields: dict[str, Value] = {"instance_type": "t3.micro"}
    if case == "overdue":
        fields["ttl"] = "1s"
    else:
        monkeypatch.setattr(ec2_looks, "BOOT", 1.0)
        emulator.fleet.next.never_boots = 9
        monkeypatch.setattr("spawn_tui.engine.transitions.LOSSES", 1)  # as if it had been lost five times
    (tmp_path / "project").mkdir()
    made = a_sweep(tmp_path / "sweep", 1, launch=fields, project=str(tmp_path / "project"))
    for name in ("scripts", "logs/errors", "attempts", "tasks", "requests"):
        (made.root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(RUNNER, made.root / "scripts" / "runner.sh")
    parts = Parts(source=lambda spec, context: Ec2Source(spec, context, cloud, price=lambda *_: 0.01))
    sweep = run_engine(made.root, parts=parts)
    assert sweep.tasks[0].attempts[-1].kind in ("timeout", "source_lost")
    assert set(states(emulator).values()) <= {"shutting-down", "terminated"}


def test_a_last_look_that_lost_the_sweep_ends_nothing(played: tuple[Emulator, Cloud], tmp_path: Path) -> None:
    emulator, cloud = played
    emulator.reset()
    made = a_sweep(tmp_path / "sweep", 1)
    emulator.faults.add({"ready": "region_down", "service": "ec2"})
    lost, raised = threading.Event(), threading.Event()

    def check() -> None:
        if lost.is_set():
            raise LockLost("another engine")

    def old() -> None:
        with pytest.raises(LockLost):
            look_after_cancel(made.root, made.store.sweep, check)
        raised.set()

    thread = threading.Thread(target=old)
    thread.start()
    wait_until(lambda: emulator.ledger.listed(), "the first question", limit=10, pause=0.01)
    lost.set()
    wait_until(raised.is_set, "the loss to be told while AWS is silent", limit=10, pause=0.01)
    emulator.faults.remove()
    (identity,) = launch(made, cloud, [0])
    thread.join(20)
    before = len(emulator.ledger.listed())
    wait_until(lambda: states(emulator)[identity] == "running", "it runs", limit=10, pause=0.05)
    time.sleep(1.0)  # the old question may be answered in this time, and must do nothing
    ended = [call for call in emulator.ledger.listed()[before:] if call["action"] == "TerminateInstances"]
    assert not ended and states(emulator)[identity] == "running"


def test_who_started_a_kept_instance_again_keeps_it(played: tuple[Emulator, Cloud], tmp_path: Path) -> None:
    emulator, cloud = played
    emulator.reset()
    made = a_sweep(tmp_path / "sweep", 2)
    (identity,) = launch(made, cloud, [0], on_complete="stop")
    wait_until(lambda: states(emulator)[identity] == "running", "it runs", limit=10, pause=0.01)
    made.end(0)
    made.commit(ev.SweepEnded("cancelled"))
    (east, _) = last_look(made.root, made.store.sweep, where(made.store.sweep), Clouds(), limit=10)
    assert states(emulator)[identity] == "running" and east.kept == 1 and not east.ended


@pytest.mark.parametrize("how", ["out of reach", "given up"])
def test_what_completed_and_stopped_as_asked_is_kept_whoever_cancels_then(places: Places, how: str) -> None:
    place = places()
    job, other = place.job("true", on_complete="stop"), place.job("true")
    place.launch([job, other])
    place.wait_running(job, other)
    held = place.one(job)
    if how == "given up":
        place.fault("region_down")
        place.wait(lambda: place.told(SourceAway), "AWS to be away")
        place.play(held, Plays(0, to="stopped"))
        place.source.cancel([job.ref], force=True)  # as the engine gives it up
        place.heal()
    else:
        place.play(held, Plays(0, to="stopped"))
        place.ended(job)
        place.wait(lambda: held.state == "stopped", "it to stand still")
        place.ends.clear()
        place.adopt([job], running=[job], cancelling=[job])  # as the engine watches for what is out of reach
    end = place.ended(job)
    place.wait_looks(3)
    assert end.exit_code == 0 and held.state == "stopped"


def test_what_was_cancelled_while_it_ran_is_not_kept(places: Places) -> None:
    place = places()
    (job,) = place.launch(place.some(1, on_complete="stop"))
    place.wait_running(job)
    place.source.cancel([job.ref], force=False)
    assert place.ended(job).stopped
    place.wait_gone()


@pytest.mark.parametrize("code", ["TagPolicyViolation", "TagLimitExceeded"])
def test_a_label_that_cannot_be_set_refuses_no_region(places: Places, code: str) -> None:
    place = places()
    place.fault(action="CreateTags", code=code, message="no")
    jobs = place.launch(place.some(2))
    place.wait_running(*jobs)
    place.wait(lambda: any(code in seen.queue for seen in place.told(SawHealth)), "it to be said")
    place.wait_looks(3)
    assert not place.told(SourceRefused, SourceAway)


def test_a_name_that_the_user_gave_stays(places: Places) -> None:
    place = places()
    jobs = place.launch(place.some(2, tags={"Name": "mine"}))
    place.wait_running(*jobs)
    place.wait(lambda: all("spawn:sweep-index" in place.emulator.moto.tags("us-east-1", held.id)
                           for held in place.instances()), "the labels")  # fmt: skip
    assert {place.emulator.moto.tags("us-east-1", held.id)["Name"] for held in place.instances()} == {"mine"}


def test_a_bucket_that_refuses_keeps_no_cancel_from_being_carried_out(places: Places) -> None:
    place = places(lambda attempt: Plays(reports=False) if attempt == "task_001.1" else None)
    place.fault(action="RunInstances", deaf=True)
    (first,) = place.launch([place.job("true")])
    place.wait(lambda: place.instances() and place.one(first).state == "terminated", "its end")
    with place.emulator.lock:
        place.emulator.fleet.vanish(place.one(first))
    place.heal()
    place.fault("unauthorized", service="s3", action="GetObject")
    (second,) = place.launch([place.job("true", batch="b2")])
    place.wait(lambda: place.of(second) and place.one(second).state == "running", "the second to run")
    place.source.cancel([second.ref], force=True)
    place.wait(lambda: place.one(second).state != "running", "the second to be ended")


def test_a_silent_bucket_is_asked_once_a_look_and_not_for_each(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    jobs = place.launch(place.some(96))
    place.wait_running(*jobs)
    asked: list[str] = []

    def report(attempt: str) -> None:
        asked.append(attempt)
        time.sleep(0.2)
        raise AwsError("unreachable", "", "no answer", "GetObject")

    monkeypatch.setattr(ec2, "QUICK", 60.0)
    monkeypatch.setattr(place.source, "_poll", 60.0)
    monkeypatch.setattr(place.source._bucket, "report", report)
    for job in jobs:
        place.end(place.one(job))
    place.source.cancel([jobs[0].ref], force=True)  # an order brings the next look
    place.wait(lambda: place.told(SourceAway), "the bucket to be called silent")
    assert 0 < len(asked) <= 2 * ec2_looks.REPORTS


def test_a_price_that_nobody_said_is_asked_for_again(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ec2_live, "ASK_AGAIN", 0.2)
    place = places()
    answers: list[float | None] = [None]
    place.price = lambda *_: answers[0]
    (job,) = place.launch(place.some(1))
    place.wait_running(job)
    answers[0] = 1.0
    place.wait(lambda: any(seen.rate == 1.0 for seen in place.told(SawRunning)), "its price")


def test_a_login_that_ends_before_the_task_is_said(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places()
    monkeypatch.setattr(place.cloud, "credentials_last", lambda: time.time() + 35 * 60)
    (job,) = place.launch([place.job("true", timeout=6 * 3600.0, ttl="8h")])
    place.wait_running(job)
    assert any("their tasks may run until" in seen.queue for seen in place.told(SawHealth))
    monkeypatch.setattr(place.cloud, "credentials_last", lambda: time.time() + 20 * 60)
    other = place.job("true", timeout=6 * 3600.0, batch="b2")
    place.launch([other])
    assert "the credentials you are logged in with end then" in place.refused(other).message
    assert not place.of(other)
