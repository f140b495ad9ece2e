"""Launching on EC2: in how few calls, what AWS refuses and what then, and answers that never came."""

from __future__ import annotations

import logging
import stat
import threading
from typing import Any

import pytest
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.observe import (
    CannotTell,
    SawEnd,
    SawNothing,
    SawRunning,
    SourceAway,
    SourceBack,
    SourceFull,
    SourceRefused,
)
from spawn_tui.engine.sources import ec2, ec2_groups, ec2_launch
from spawn_tui.engine.sources.ec2_launch import split
from spawn_tui.tui.demo.cloud.emulator import Emulator

from tests.engine.sources.ec2_place import (
    NAME,
    RATES,
    REGION,
    SECRET,
    SWEEP,
    Ec2Place,
    KeptCloud,
    Places,
    Plays,
)

pytestmark = pytest.mark.timeout(120)

ZONES = [f"{REGION}{letter}" for letter in "abcdef"]


def no_room(place: Ec2Place, *types: str, left: int = 0, zones: list[str] = ZONES) -> None:
    for zone in zones:
        for kind in types:
            place.emulator.room.set_capacity(REGION, kind, zone, left)


# --- how few calls -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (51, 2), (120, 3)])
def test_equal_attempts_share_a_call(places: Places, count: int, calls: int) -> None:
    place = places(Plays())
    jobs = place.launch(place.some(count))
    place.wait_ends(*jobs)
    assert place.calls("RunInstances") == calls
    sizes = [len(request.attempts) for request, _ in place.stored()]
    assert max(sizes) - min(sizes) <= 1, "the groups are as even as can be"
    assert all(place.ended(job).exit_code == 0 for job in jobs)
    assert len(place.instances()) == count


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (50, [50]), (51, [25, 26]), (101, [33, 34, 34])]
)
def test_groups_are_even(places: Places, count: int, sizes: list[int]) -> None:
    jobs = places().some(count)
    parts = split(jobs)
    assert sorted(len(part) for part in parts) == sizes
    assert [job for part in parts for job in part] == jobs


def test_other_wishes_are_other_calls_and_all_go_at_once(places: Places) -> None:
    place = places(Plays())
    kinds = ["t3.micro", "t3.small", "m5.large"]
    jobs = place.launch([place.job("true", instance_type=kinds[n % 3]) for n in range(9)])
    place.wait_ends(*jobs)
    assert place.calls("RunInstances") == 3
    assert {(place.one(job).machine.type, job.ref.task % 3) for job in jobs} == {
        (kind, n) for n, kind in enumerate(kinds)
    }


def test_while_nothing_changes_a_look_is_one_call(places: Places) -> None:
    place = places()
    jobs = place.launch(place.some(12))
    place.wait_running(*jobs)
    place.wait_looks(2)  # the labels are on by then
    place.emulator.ledger.clear()
    place.wait_looks(4)
    place.source.close()
    asked = {call["action"] for call in place.emulator.ledger.listed()}
    assert asked == {"DescribeInstances"}


def test_an_instance_is_told_with_its_name_and_what_it_costs(places: Places) -> None:
    place = places()
    cheap = place.job("true", spot=True)
    dear = place.job("true")
    place.launch([cheap, dear])
    place.wait_running(cheap, dear)
    place.play(place.one(cheap), Plays())
    for job, market in ((cheap, "spot"), (dear, "on-demand")):
        seen, held = place.started(job), place.one(job)
        assert seen is not None
        assert held.market == market
        assert seen.handle == held.id
        assert seen.rate == RATES[market]
        assert seen.started_at == pytest.approx(held.running_since, abs=3)
    assert place.ended(cheap).rate == RATES["spot"]


def test_a_price_that_nobody_says_holds_nothing_up(places: Places) -> None:
    """Prices are another API's, which may be throttled or away: what runs and what ended is told without."""
    place, said = places(), threading.Event()

    def price(*_: object) -> float:
        assert said.wait(60)
        return 0.5

    place.price = price
    first, second = place.launch(place.some(2))
    try:
        place.wait_running(first, second)
        place.play(place.one(first), Plays())
        assert place.ended(first).rate is None
    finally:
        said.set()
    place.play(place.one(second), Plays())
    assert place.ended(second).rate == 0.5


def test_each_instance_has_its_own_label(places: Places) -> None:
    place = places()
    jobs = place.launch(place.some(3, tags={"team": "ml"}))
    tags: list[dict[str, str]] = []

    def labelled() -> bool:
        tags[:] = [place.emulator.moto.tags(REGION, place.one(job).id) for job in jobs]
        return all("spawn:sweep-index" in one for one in tags)

    place.wait(lambda: len(place.instances()) == 3 and labelled(), "labels")
    for job, own in zip(jobs, tags, strict=True):
        assert own["spawn:sweep-index"] == str(job.ref.task)
        assert own["Name"] == f"lr-{job.ref.task}"
        assert own["spawn:sweep-id"] == SWEEP
        assert own["spawn:source"] == NAME
        assert own["spawn:managed"] == "true"
        assert own["team"] == "ml"
    place.emulator.ledger.clear()
    place.wait_looks(3)
    assert not place.calls("CreateTags"), "a label is set once"


def test_a_label_for_an_instance_that_has_gone_meanwhile_disturbs_nothing(places: Places) -> None:
    place = places()
    place.fault(action="CreateTags", code="InvalidInstanceID.NotFound", message="does not exist", times=3)
    jobs = place.launch(place.some(2))
    place.wait_running(*jobs)
    place.wait(lambda: place.calls("CreateTags", ok=True) == 2, "labels after all")
    assert not place.told(SourceRefused, SourceAway)


def test_what_is_kept_of_a_launch_is_ours_alone(places: Places) -> None:
    place = places(Plays())
    place.wait_ends(*place.launch(place.some(3)))
    kept = place.root / "ec2"
    files = [path for path in kept.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in (kept, *kept.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_nothing_of_user_data_is_told_anywhere(places: Places, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = f"#!/bin/sh\nexport AWS_SECRET_ACCESS_KEY={SECRET}\n"
    place = places(lambda attempt: Plays(1, message="it failed"))
    good = place.job("true", user_data=script)
    bad = place.job("true", user_data=script, key_name="nobody-s")
    long = place.job("true", user_data=script + "# " + "x" * 200_000)
    windows = place.job("true", user_data=f"#!/bin/sh\r\n{SECRET}")
    jobs = [good, bad, long, windows]
    place.launch(jobs)
    place.wait_ends(*jobs)
    place.wait_gone()
    for path, content in place.written().items():
        assert SECRET.encode() not in content, path
    said = " ".join(map(repr, [*place.news, *place.ends.values(), *place.stored()]))
    assert SECRET not in said
    assert SECRET not in caplog.text
    assert SECRET not in " ".join(map(str, place.emulator.fleet.described())), "it stands in a tag"


# --- what AWS refuses ----------------------------------------------------------------------------------------------


def test_without_room_the_next_type_then_the_next_zone(places: Places) -> None:
    place = places(Plays())
    zones = ["us-east-1a", "us-east-1b"]
    no_room(place, "c5.large", "m5.large", zones=["us-east-1a"])
    no_room(place, "c5.large", zones=["us-east-1b"])
    job = place.job("true", instance_type="c5.large|m5.large", az=zones)
    place.launch([job])
    assert place.ended(job).exit_code == 0
    held = place.one(job)
    assert (held.machine.type, held.machine.zone) == ("m5.large", "us-east-1b")
    tried = [(request.variant.type, request.variant.zone) for request, _ in place.stored()]
    assert tried == [(kind, zone) for zone in zones for kind in ("c5.large", "m5.large")]
    assert not place.told(SourceFull, SawNothing)


def test_without_spot_capacity_on_demand_if_that_is_allowed(places: Places) -> None:
    place = places(Plays())
    place.fault("no_capacity", form={"InstanceMarketOptions.MarketType": "spot"})
    allowed = place.job("true", spot=True, spot_fallback=True, instance_type="c5.large|m5.large")
    strict = place.job("true", spot=True)
    place.launch([allowed, strict])
    assert place.ended(allowed).rate == RATES["on-demand"]
    assert place.one(allowed).market == "on-demand"
    seen = place.refused(strict)
    assert seen.source_fault
    assert "InsufficientInstanceCapacity" in seen.message


def test_a_spot_price_too_low(places: Places) -> None:
    place = places(Plays())
    poor = place.job("true", spot=True, spot_max_price=0.00001)
    falls_back = place.job("true", spot=True, spot_max_price=0.00001, spot_fallback=True)
    place.launch([poor, falls_back])
    assert "SpotMaxPriceTooLow" in place.refused(poor).message
    assert place.ended(falls_back).exit_code == 0
    assert place.one(falls_back).market == "on-demand"


def test_when_all_was_tried_the_source_is_full_and_says_what_was_tried(places: Places) -> None:
    place = places()
    no_room(place, "c5.large", "m5.large")
    jobs = place.launch(place.some(3, instance_type="c5.large|m5.large"))
    place.wait_ends(*jobs)
    for job in jobs:
        assert place.refused(job).source_fault
        assert not place.refused(job).final
        assert "c5.large, m5.large" in place.refused(job).message
    (full,) = place.told(SourceFull)
    assert isinstance(full, SourceFull)
    assert "InsufficientInstanceCapacity" in full.reason
    assert not place.instances()


def test_fewer_than_asked_for(places: Places) -> None:
    """What there was room for runs; the others get another type, each of them once."""
    place = places(Plays())
    no_room(place, "t3.micro", left=2)
    jobs = place.launch(place.some(5, instance_type="t3.micro|t3.small"))
    place.wait_ends(*jobs)
    assert [place.ended(job).exit_code for job in jobs] == [0] * 5
    assert sorted(held.machine.type for held in place.instances()) == ["t3.micro"] * 2 + ["t3.small"] * 3
    assert not place.told(SourceFull)


def test_fewer_than_asked_for_and_nothing_else_allowed(places: Places) -> None:
    place = places()
    no_room(place, "t3.micro", left=2)
    jobs = place.launch(place.some(5))
    place.wait(
        lambda: len(place.ends) == 3 and len(place.told(SawRunning)) == 2, "two running, three refused"
    )
    refused = [job for job in jobs if job.ref in place.ends]
    assert all(place.refused(job).source_fault for job in refused)
    assert len(place.told(SourceFull)) == 1
    assert len(place.instances()) == 2


def test_a_quota_is_felt_for_by_halves(places: Places) -> None:
    """8 vCPUs are four t3.micro: exactly those run, in few calls, and the source is full."""
    place = places()
    place.emulator.room.set_quota(REGION, "L-1216C47A", 8)
    jobs = place.launch(place.some(10))
    place.wait(lambda: len(place.ends) == 6 and len(place.told(SawRunning)) == 4, "four running, six refused")
    assert all(place.refused(job).source_fault for job in jobs if job.ref in place.ends)
    (full,) = place.told(SourceFull)
    assert isinstance(full, SourceFull)
    assert "VcpuLimitExceeded" in full.reason
    assert "vCPU limit of 8" in full.reason
    assert place.calls("RunInstances") <= 10


def test_a_quota_on_spot(places: Places) -> None:
    place = places()
    place.emulator.room.set_quota(REGION, "L-34B43A08", 1)
    job = place.job("true", spot=True)
    place.launch([job])
    assert "MaxSpotInstanceCountExceeded" in place.refused(job).message
    place.wait(lambda: place.told(SourceFull), "full")


@pytest.mark.parametrize(
    ("launch", "words"),
    [
        ({"key_name": "nobody-s"}, "no key pair nobody-s"),
        ({"ami": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"instance_type": "t9.huge"}, "t9.huge"),
        ({"instance_type": "not a type"}, "no instance type"),
        ({"instance_type": None}, "instance_type"),
        ({"security_group": "sg-00000000000000000"}, "sg-00000000000000000"),
        ({"on_complete": "stop", "spot": True}, "one-time"),
        ({"user_data": "#cloud-config\n"}, "must be a script"),
    ],
)  # fmt: skip
def test_what_is_wrong_stays_wrong(places: Places, launch: dict[str, Any], words: str) -> None:
    """The task is to blame: it is told as final, and neither the source nor the other tasks suffer from it."""
    place = places(Plays())
    bad, good = place.job("true", **launch), place.job("true")
    place.launch([bad, good])
    seen = place.refused(bad)
    assert seen.final
    assert not seen.source_fault
    assert words in seen.message
    assert place.ended(good).exit_code == 0
    assert not place.told(SourceRefused, SourceFull, SourceAway)
    assert not place.of(bad)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("You are not authorized to perform this operation.", "ec2:RunInstances"),
        ("You are not authorized to perform this operation. User: arn:aws:iam::1:user/a is not authorized to perform: "
         "iam:PassRole on resource: arn:aws:iam::1:role/r", "iam:PassRole"),
    ],
)  # fmt: skip
def test_a_missing_permission_is_named_and_is_no_fault_of_the_task(
    places: Places, message: str, words: str
) -> None:
    place = places(Plays())
    place.fault("unauthorized", action="RunInstances", message=message)
    jobs = place.launch(place.some(3))
    for job in jobs:
        refused = place.refused(job)
        assert words in refused.message
        assert refused.source_fault
        assert not refused.final
    assert not place.told(SourceRefused), "another request may well be allowed"
    place.heal()
    late = place.launch(place.some(2, batch="b2"))
    assert [place.ended(job).exit_code for job in late] == [0, 0], "somebody has allowed it meanwhile"


def test_who_may_not_even_look(places: Places) -> None:
    place = places(Plays())
    place.fault("unauthorized", action="DescribeInstances")
    place.wait(lambda: place.told(SourceRefused), "refusal")
    said = place.told(SourceRefused)[0]
    assert isinstance(said, SourceRefused)
    assert "ec2:DescribeInstances" in said.reason
    place.heal()
    place.wait(lambda: place.told(SourceBack), "its answer")


# --- answers that never came ---------------------------------------------------------------------------------------


def test_half_of_all_calls_throttled(
    places: Places, played: tuple[Emulator, Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is refused for it, and nothing launched twice; also what is asked before a launch is asked again."""
    monkeypatch.setattr(ec2, "CALL_LIMIT", 20.0)
    monkeypatch.setattr(ec2_launch, "SEND_LIMIT", 20.0)
    place = places(Plays(), cloud=KeptCloud())
    place.fault("throttling")
    kinds = ["t3.micro", "t3.small", "t3.medium", "m5.large", "c5.large", "r5.large"]
    jobs = place.launch([place.job("true", instance_type=kinds[n % 6]) for n in range(60)])
    place.wait_ends(*jobs)
    assert [seen for seen in place.ends.values() if not isinstance(seen, SawEnd)] == []
    assert place.calls("RunInstances", ok=True) == 6
    assert place.calls("RunInstances", ok=False) > 0, "nothing was throttled: this test shows nothing"


def test_an_answer_that_was_lost(places: Places) -> None:
    """The request is sent again as it was, and the same instances answer for it."""
    place = places(Plays())
    place.fault("answer_lost", action="RunInstances")
    jobs = place.launch(place.some(3))
    assert [place.ended(job).exit_code for job in jobs] == [0, 0, 0]
    assert place.calls("RunInstances") == 2
    assert len(place.instances()) == 3
    assert len(place.stored()) == 1


def test_answers_lost_for_longer_than_is_waited_for(places: Places) -> None:
    """Nobody knows then; that is told once, and what came of it is learned later."""
    place = places(Plays())
    place.fault(action="RunInstances", deaf=True)
    jobs = place.launch(place.some(2))
    place.wait(lambda: len(place.told(CannotTell)) == 2, "two that nobody can tell of")
    before = place.calls("RunInstances")
    place.wait(lambda: place.calls("RunInstances") > before + 5, "more tries")
    assert len(place.told(CannotTell)) == 2
    assert not place.ends
    # They have run and ended meanwhile, so EC2 will not answer with their ids any more.
    place.wait(lambda: all(held.state == "terminated" for held in place.instances()), "their ends")
    place.heal()
    assert [place.ended(job).exit_code for job in jobs] == [0, 0]
    assert len(place.instances()) == 2


def test_a_launch_of_which_everything_is_forgotten(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """EC2 says that it launched by this token, and shows nothing of it any more: gone, and never launched again."""
    place = places(Plays(reports=False))
    place.fault(action="RunInstances", deaf=True)
    (job,) = place.launch(place.some(1))
    place.wait(lambda: place.instances() and place.one(job).state == "terminated", "its end")
    with place.emulator.lock:
        place.emulator.fleet.vanish(place.one(job))
    place.heal()
    end = place.ended(job)
    assert end.failure == "source_lost"
    assert len(place.instances()) == 1


def test_an_instance_that_cannot_be_seen_for_half_a_minute(places: Places) -> None:
    place = places(Plays())
    place.emulator.fleet.next.invisible = 30.0
    jobs = place.launch(place.some(2))
    place.wait(lambda: len(place.instances()) == 2, "the launch")
    place.wait_looks(5)
    assert not place.ends
    assert not place.told(SawRunning, CannotTell, SourceAway)
    place.ahead(31.0)
    assert [place.ended(job).exit_code for job in jobs] == [0, 0]
    assert place.calls("RunInstances") == 1


# --- cancelled before it runs --------------------------------------------------------------------------------------


def test_cancelled_before_anything_was_asked_for(places: Places) -> None:
    place = places()
    jobs = place.some(3)
    place.launch(jobs)
    place.source.cancel([job.ref for job in jobs], force=False)
    place.wait_ends(*jobs)
    for job in jobs:
        seen = place.ends[job.ref]
        assert isinstance(seen, SawNothing) or seen.stopped
    place.wait_gone()


def test_cancelled_while_it_waits_for_its_turn(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places(Plays())
    monkeypatch.setattr(ec2_groups, "PARALLEL", 0)
    jobs = place.launch(place.some(4))
    place.wait(lambda: place.told(SourceBack), "its answer")
    cancelled, wanted = jobs[:2], jobs[2:]
    place.source.cancel([job.ref for job in cancelled], force=False)
    for job in cancelled:
        assert not place.refused(job).source_fault
    monkeypatch.setattr(ec2_groups, "PARALLEL", 5)
    assert [place.ended(job).exit_code for job in wanted] == [0, 0]
    assert len(place.instances()) == 2


def test_cancelled_while_its_launch_is_under_way(places: Places) -> None:
    """It is terminated as soon as it is known, and told when it is gone."""
    place = places()
    place.emulator.fleet.settings.shutdown = 60.0
    place.fault(action="RunInstances", delay=0.5, times=1)
    jobs = place.launch(place.some(3))
    place.wait(lambda: place.stored() and place.stored()[0][1] is None, "a launch under way")
    place.source.cancel([jobs[0].ref], force=False)
    place.wait(
        lambda: place.instances() and place.one(jobs[0]).state == "shutting-down", "one that is terminated"
    )
    place.wait_running(*jobs[1:])
    place.wait_looks(3)
    assert not place.ends, "told before it was gone"
    place.ahead(61.0)
    assert place.ended(jobs[0]).stopped
    assert place.alive() == [job.directory.name for job in jobs[1:]]
    assert not place.started(jobs[0])
