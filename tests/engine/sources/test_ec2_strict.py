"""What a strict reader found: engines that let go or lost the lock, rights that are missing, instances that stay."""

from __future__ import annotations

import threading

import pytest
from spawn_tui.engine.aws.pack import build_pack
from spawn_tui.engine.observe import SawEnd, SourceAway, SourceRefused
from spawn_tui.engine.sources import ec2_launch, ec2_looks
from spawn_tui.state.lock import LockLost

from tests.engine.sources.ec2_place import Places, Plays
from tests.parts.waiting import wait_until


def test_a_closed_engine_launches_nothing_any_more(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """It let go while a pack was made; the next engine then cancelled what nobody seemed to have launched."""
    go, there = threading.Event(), threading.Event()

    def held(*arguments: object) -> bytes:
        there.set()
        go.wait(20)
        return build_pack(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ec2_launch, "build_pack", held)
    place = places()
    jobs = place.launch(place.some(3))
    assert there.wait(20)
    old = place.source
    place.restart()
    place.adopt(jobs, cancelling=jobs)
    place.wait_ends(*jobs)
    go.set()
    pool = old._pool  # pyright: ignore[reportPrivateUsage]
    pool.shutdown(wait=True)
    assert not place.instances()
    assert not place.calls("RunInstances")


def test_what_the_next_engine_launched_is_no_stray(places: Places) -> None:
    """An engine that slept through a takeover wakes, and looks before it learns that it lost the lock."""
    place = places()
    first = place.launch(place.some(1))
    place.wait_running(*first)
    old = place.source
    place.source = place.make()
    place.adopt(first, running=first)
    second = place.launch([place.job("true", batch="b2")])
    place.wait_running(*second)
    before = place.calls("DescribeInstances")
    wait_until(lambda: place.calls("DescribeInstances") >= before + 8, "looks of both", limit=20)
    old.close()
    assert place.one(second[0]).state == "running"


def test_who_lost_the_lock_terminates_nothing(places: Places) -> None:
    place = places()
    (job,) = place.launch(place.some(1))
    place.wait_running(job)

    def lost() -> None:
        raise LockLost("another engine has it")

    object.__setattr__(place.source.context, "check", lost)
    place.source.cancel([job.ref], force=True)
    with pytest.raises(LockLost):
        place.wait(lambda: False, "the loss", limit=20)
    assert place.one(job).state == "running"
    assert not place.calls("TerminateInstances")


def test_another_account_is_refused(places: Places) -> None:
    """There nothing of it is to be seen, and nothing of it is gone for that."""
    place = places()
    (job,) = place.launch(place.some(1))
    place.wait_running(job)
    account = place.root / "ec2" / f"{place.source.name}.account"
    account.write_text("999999999999\n")
    place.restart()
    place.adopt([job], running=[job])
    place.wait(lambda: place.told(SourceRefused), "refusal")
    said = place.told(SourceRefused)[0]
    assert isinstance(said, SourceRefused)
    assert "999999999999" in said.reason
    assert "AWS_PROFILE" in said.reason
    assert job.ref not in place.ends


def test_names_that_may_not_be_given_refuse_nobody(places: Places) -> None:
    """The usual right to tag is for what is just being launched."""
    place = places(Plays(0))
    place.fault("unauthorized", action="CreateTags")
    jobs = place.launch(place.some(2))
    assert [place.ended(job).exit_code for job in jobs] == [0, 0]
    assert not place.told(SourceRefused, SourceAway)


@pytest.mark.parametrize("fault", ["slow_down", "unauthorized"])
def test_a_cancel_does_not_wait_for_the_bucket(places: Places, fault: str) -> None:
    place = places()
    first, second = place.launch(place.some(2))
    place.wait_running(first, second)
    fields: dict[str, object] = {"probability": 1.0} if fault == "slow_down" else {"service": "s3"}
    place.fault(fault, **fields)
    place.end(place.one(first))
    place.wait(lambda: place.told(SourceAway, SourceRefused), "trouble with its report", limit=60)
    place.source.cancel([second.ref], force=True)
    place.wait(lambda: place.one(second).state != "running", "its termination", limit=60)


@pytest.mark.parametrize("reported", [True, False])
def test_an_instance_that_stays_is_ended_from_outside(
    places: Places, monkeypatch: pytest.MonkeyPatch, reported: bool
) -> None:
    """Its time to live is over, and its shutdown hangs."""
    monkeypatch.setattr(ec2_looks, "OVERDUE", 0.5)
    place = places(Plays(0, to="") if reported else None)
    (job,) = place.launch(place.some(1, ttl="1s"))
    end = place.ended(job)
    assert isinstance(end, SawEnd)
    assert (end.exit_code, end.failure) == ((0, None) if reported else (None, "timeout"))
    place.wait_gone()


def test_one_that_is_well_may_take_its_time(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is fetching much: its status checks are good, and nothing of it is in the bucket yet."""
    monkeypatch.setattr(ec2_looks, "BOOT", 0.5)
    monkeypatch.setattr(ec2_looks, "PATIENT", 10_000)
    place = places()
    (job,) = place.launch(place.some(1))
    place.wait_running(job)
    before = place.calls("DescribeInstanceStatus")
    place.wait(lambda: place.calls("DescribeInstanceStatus") >= before + 3, "status checks")
    assert job.ref not in place.ends
    assert place.one(job).state == "running"


def test_who_starts_a_kept_instance_again_keeps_it(places: Places) -> None:
    place = places(lambda attempt: Plays(0, to="stopped") if attempt == "task_001.1" else None)
    first, second = place.launch(place.some(2, on_complete="stop"))
    place.wait_running(second)
    place.wait_ends(first)
    held = place.one(first)
    place.wait(lambda: held.state == "stopped", "its stop")
    place.wait_looks(3)
    place.cloud.client("ec2", place.source.region).start_instances(InstanceIds=[held.id])
    place.wait(lambda: held.state == "running", "its start")
    place.wait_looks(5)
    assert held.state == "running"
