"""Attempts on EC2 after their launch: what is seen of them, how they end, and what the next engine makes of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from spawn_tui.engine.events import FailureKind
from spawn_tui.engine.observe import (
    CannotTell,
    SawEnd,
    SawHealth,
    SawNothing,
    SawRunning,
    SawWithdrawn,
    SourceAway,
    SourceBack,
    SourceRefused,
)
from spawn_tui.engine.plan.model import Value
from spawn_tui.engine.sources import ec2_groups, ec2_looks, ec2_terminate
from spawn_tui.engine.sources.base import Job
from spawn_tui.tui.demo.cloud.fleet import USER

from tests.engine.sources.ec2_place import NAME, REGION, Ec2Place, Places, Plays, report

pytestmark = pytest.mark.timeout(120)

HIBERNATES: dict[str, Value] = {"on_complete": "hibernate", "instance_type": "m5.large"}


def away(place: Ec2Place) -> bool:
    """Whether the last it said of itself is that nobody answers."""
    said = place.told(SourceAway, SourceBack, SourceRefused)
    return bool(said) and isinstance(said[-1], SourceAway)


def running(place: Ec2Place, count: int = 1, **launch: Value) -> list[Job]:
    jobs = place.launch(place.some(count, **launch))
    place.wait_running(*jobs)
    return jobs


def first_only(part: Plays) -> Callable[[str], Plays | None]:
    """The first attempt's instance plays its part, the others run on."""
    return lambda attempt: part if attempt == "task_001.1" else None


# --- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "exit_code", "failure"),
    [
        (Plays(0), 0, None),
        (Plays(3), 3, None),
        (Plays(143, "timeout"), 143, "timeout"),
        (Plays(143, "ttl"), None, "timeout"),
        (Plays(143, "idle"), None, "timeout"),
        (Plays(143, "spot"), None, "spot_interrupted"),
        (Plays(1, "setup", "no such project"), None, "launch_failed"),
        (Plays(1, "workdir"), 1, "launch_failed"),
        (Plays(143, "term"), None, "terminated"),
        (Plays(reports=False), None, "terminated"),
    ],
)
def test_what_an_instance_says_of_its_end(
    places: Places, part: Plays, exit_code: int | None, failure: FailureKind | None
) -> None:
    place = places(part)
    (job,) = place.launch(place.some(1))
    end = place.ended(job)
    assert (end.exit_code, end.failure, end.stopped) == (exit_code, failure, False)
    assert end.started_at == pytest.approx(place.one(job).running_since, abs=5)
    assert end.rate is not None


@pytest.mark.parametrize(
    ("verb", "failure", "words"),
    [
        ("terminate", "terminated", "somebody else"),
        ("stop", "terminated", "somebody else"),
        ("interrupt", "spot_interrupted", "took the Spot instance back"),
        ("fail", "source_lost", "Internal error"),
    ],
)
def test_what_becomes_of_an_instance_that_says_nothing(
    places: Places, verb: str, failure: FailureKind, words: str
) -> None:
    place = places()
    (job,) = running(place, spot=verb == "interrupt")
    held, fleet = place.one(job), place.emulator.fleet
    with place.emulator.lock:
        match verb:
            case "terminate":
                fleet.end(held, USER, to="terminated")
            case "stop":
                fleet.end(held, USER, to="stopped")
            case "interrupt":
                fleet.interrupt(held, 0.0)
            case _:
                fleet.end(
                    held, ("Server.InternalError", "Server.InternalError: Internal error"), to="terminated"
                )
    end = place.ended(job)
    assert end.failure == failure
    assert words in end.message
    place.wait_gone()


def test_an_instance_taken_back_without_a_notice(places: Places) -> None:
    """It felt a TERM, and says so; EC2 says whose it was."""
    place = places()
    (job,) = running(place, spot=True)
    place.emulator.fleet.settings.shutdown = 60.0
    with place.emulator.lock:
        place.emulator.fleet.interrupt(place.one(job), 0.0)
    place.wait(lambda: place.one(job).state == "shutting-down", "its end")
    place.put(f"reports/{job.directory.name}", report(143, "term"))
    assert place.ended(job).failure == "spot_interrupted"


def test_an_instance_that_never_comes_up(places: Places) -> None:
    """pending, then terminated: the fault of EC2, so that the task is tried again."""
    place = places()
    place.emulator.fleet.next.fails = 1
    (job,) = place.launch(place.some(1))
    end = place.ended(job)
    assert end.failure == "source_lost"
    assert "Internal error on launch" in end.message
    assert not place.told(SawRunning)


def test_a_report_counts_as_soon_as_the_instance_is_on_its_way_out(places: Places) -> None:
    place = places()
    place.emulator.fleet.settings.shutdown = 60.0
    (job,) = running(place)
    place.play(place.one(job), Plays(4))
    assert place.ended(job).exit_code == 4
    assert place.one(job).state == "shutting-down"


def test_nothing_is_concluded_from_an_instance_on_its_way_out(places: Places) -> None:
    """Its report may still come: only one that is gone has left none."""
    place = places()
    place.emulator.fleet.settings.shutdown = 60.0
    (job,) = running(place)
    held = place.one(job)
    place.end(held)
    place.wait_looks(4)
    assert not place.ends
    place.put(f"reports/{job.directory.name}", report(5))
    assert place.ended(job).exit_code == 5


def test_a_torn_report_is_none(places: Places) -> None:
    place = places()
    (job,) = running(place)
    place.put(f"reports/{job.directory.name}", report(0)[:-4])
    place.end(place.one(job))
    assert place.ended(job).failure == "terminated"


def test_one_that_vanished(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ec2_looks, "UNSEEN", 0.3)
    place = places()
    silent, told = running(place, 2)
    place.put(f"reports/{told.directory.name}", report(0))
    with place.emulator.lock:
        for job in (silent, told):
            place.emulator.fleet.vanish(place.one(job))
    assert place.ended(told).exit_code == 0, "its report is what it said itself"
    assert place.ended(silent).failure == "source_lost"
    assert place.one(silent).id in place.ended(silent).message


def test_one_that_is_not_shown_for_a_while_and_known_by_its_id(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tag is forgotten, it is not: asked for by its id it is as it was."""
    monkeypatch.setattr(ec2_looks, "UNSEEN", 0.2)
    place = places()
    (job,) = running(place)
    held = place.one(job)
    with place.emulator.lock:
        tags = place.emulator.moto._ec2(REGION).tags[held.id]  # pyright: ignore[reportPrivateUsage]
        tags.pop("spawn:sweep-id")
    place.wait_looks(12)
    assert not place.ends
    place.play(held, Plays(6))
    assert place.ended(job).exit_code == 6


def test_one_that_gives_no_sign_of_life(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its console is kept, it is told as lost, and ended; one that has written anything is not."""
    monkeypatch.setattr(ec2_looks, "BOOT", 0.5)
    place = places()
    place.emulator.fleet.next.never_boots = 1
    jobs = place.launch(place.some(2))
    place.wait(lambda: len(place.instances()) == 2, "two instances")
    dead = next(job for job in jobs if place.one(job).never_boots)
    (alive,) = [job for job in jobs if job is not dead]
    place.put(f"attempts/{alive.directory.name}/stdout.log", b"working\n")
    with place.emulator.lock:
        place.one(dead).console = [b"Kernel panic - not syncing\n"]
    end = place.ended(dead)
    assert end.failure == "source_lost"
    assert "impaired" in end.message
    console = dead.directory / "console.log"
    assert "Kernel panic" in console.read_text()
    assert console.stat().st_mode & 0o777 == 0o600
    place.wait(lambda: place.one(dead).state == "terminated", "its end")
    place.wait_looks(3)
    assert place.alive() == [alive.directory.name]
    assert alive.ref not in place.ends


def test_an_instance_that_only_waits_is_not_late(places: Places) -> None:
    """Nothing was to be run: that its time is over is what was wanted."""
    place = places(Plays(143, "ttl"))
    job = place.job()
    place.launch([job])
    assert place.ended(job).exit_code == 0


# --- on_complete ---------------------------------------------------------------------------------------------------


def test_one_that_stops_when_it_is_done_stays(places: Places) -> None:
    place = places(first_only(Plays(to="stopped")))
    job, _ = place.launch(place.some(2, on_complete="stop"))
    assert place.ended(job).exit_code == 0
    place.wait(lambda: place.one(job).state == "stopped", "its stop")
    place.wait_looks(3)
    assert place.one(job).state == "stopped"
    assert not place.calls("TerminateInstances")


def test_one_that_hibernates_is_sent_to_sleep_from_outside(places: Places) -> None:
    place = places(first_only(Plays(to="")))
    job, _ = place.launch(place.some(2, **HIBERNATES))
    assert place.ended(job).exit_code == 0
    place.wait(lambda: place.one(job).state == "stopped", "its sleep")
    assert place.one(job).moto.state_reason.code == "Client.UserInitiatedHibernate"
    place.wait_looks(3)
    assert not place.calls("TerminateInstances")


@pytest.mark.parametrize(("on_complete", "last"), [("terminate", "terminated"), ("stop", "stopped")])
def test_one_that_was_stopped_by_a_person(places: Places, on_complete: str, last: str) -> None:
    """What should have terminated is: a stopped instance costs its disk."""
    place = places()
    (job,) = running(place, on_complete=on_complete)
    with place.emulator.lock:
        place.emulator.fleet.end(place.one(job), USER, to="stopped")
    assert place.ended(job).failure == "terminated"
    place.wait(lambda: place.one(job).state == last, last)


# --- cancel --------------------------------------------------------------------------------------------------------


def test_cancelled_is_told_when_nothing_is_left(places: Places) -> None:
    place = places()
    place.emulator.fleet.settings.shutdown = 60.0
    job, other = running(place, 2)
    place.source.cancel([job.ref], force=False)
    place.wait(lambda: place.one(job).state == "shutting-down", "its end")
    place.put(f"reports/{job.directory.name}", report(143, "term"))
    place.wait_looks(4)
    assert not place.ends, "told before it was gone"
    place.ahead(61.0)
    end = place.ended(job)
    assert end.stopped
    assert place.one(job).state == "terminated"
    assert place.alive() == [other.directory.name]


def test_a_cancel_is_repeated_until_it_is_heard(places: Places) -> None:
    place = places()
    (job,) = running(place)
    place.fault(action="TerminateInstances", code="InvalidInstanceID.NotFound", message="not there", times=2)
    place.source.cancel([job.ref], force=False)
    assert place.ended(job).stopped
    assert place.calls("TerminateInstances") >= 3


def test_a_cancel_of_what_cannot_be_seen_yet(places: Places) -> None:
    place = places()
    place.emulator.fleet.next.invisible = 30.0
    (job,) = place.launch(place.some(1))
    place.wait(lambda: place.instances(), "the launch")
    place.source.cancel([job.ref], force=False)
    place.wait_looks(3)
    assert not place.ends
    place.ahead(31.0)
    assert place.ended(job).stopped
    place.wait_gone()


def test_a_cancel_of_what_has_stopped(places: Places) -> None:
    """A cancelled instance is terminated, whatever it should have done when complete."""
    place = places()
    (job,) = running(place, on_complete="stop")
    place.source.cancel([job.ref], force=False)
    place.ended(job)
    place.wait(lambda: place.one(job).state == "terminated", "its end")


def test_one_that_cannot_hibernate_is_stopped(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has reported and goes on, as EC2 refused to send it to sleep: after a while it is stopped as it is."""
    monkeypatch.setattr(ec2_terminate, "LINGER", 0.3)
    place = places(Plays(to=""))
    place.fault(action="StopInstances", form={"Hibernate": "true"}, code="UnsupportedHibernationConfiguration",
                message="no")  # fmt: skip
    (job,) = place.launch(place.some(1, **HIBERNATES))
    assert place.ended(job).exit_code == 0
    place.wait(lambda: place.one(job).state == "stopped", "its stop")
    assert place.calls("StopInstances", ok=False) == 1


# --- nobody answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["expired", "region_down", "silence"])
def test_nobody_answers_for_a_while(places: Places, fault: str) -> None:
    """Unknown is not gone: nothing has ended until somebody says so, and then all of it goes on."""
    place = places()
    first, second = running(place, 2)
    place.fault(fault)
    place.wait(lambda: away(place), "that nobody answers")
    place.play(place.one(first), Plays(0))
    refused = place.launch(place.some(1))[0]
    assert place.refused(refused).source_fault, "what was never sent can go elsewhere at once"
    assert first.ref not in place.ends
    place.heal()
    place.wait(lambda: not away(place), "its answer")
    assert place.ended(first).exit_code == 0
    place.play(place.one(second), Plays(0))
    assert place.ended(second).exit_code == 0
    assert not place.of(refused)


def test_expired_credentials_say_what_to_do(places: Places) -> None:
    place = places()
    running(place)
    place.fault("expired")
    place.wait(lambda: away(place), "that nobody answers")
    said = place.told(SourceAway)[-1]
    assert isinstance(said, SourceAway)
    assert "aws sso login" in said.reason


def test_after_a_refusal_what_runs_is_told_again(places: Places) -> None:
    """While it refused us its attempts were unknown; without news of them they would be given up."""
    place = places()
    (job,) = running(place)
    place.fault("unauthorized", action="DescribeInstances")
    place.wait(lambda: place.told(SourceRefused), "refusal")
    place.news.clear()
    place.heal()
    place.wait_running(job)


def test_away_in_the_middle_of_a_launch(places: Places) -> None:
    """The request was sent and carried out, the region then dies: after that it is the same instances."""
    place = places()
    running(place)
    place.fault(action="RunInstances", deaf=True)
    jobs = place.launch(place.some(2))
    place.wait(lambda: place.told(CannotTell), "that nobody can tell")
    place.fault("region_down")
    place.wait(lambda: away(place), "that nobody answers")
    place.heal()
    place.plays = Plays()
    assert [place.ended(job).exit_code for job in jobs] == [0, 0]
    assert len(place.instances()) == 3


# --- the next engine -----------------------------------------------------------------------------------------------


def test_what_runs_is_taken_over(places: Places) -> None:
    place = places()
    jobs = running(place, 3)
    place.restart()
    place.adopt(jobs, running=jobs)
    place.wait_running(*jobs)  # they may have been unknown to the engine before
    for job in jobs:
        place.play(place.one(job), Plays(0))
    assert [place.ended(job).exit_code for job in jobs] == [0, 0, 0]
    assert place.calls("RunInstances") == 1


def test_what_was_never_asked_for_is_launched(places: Places) -> None:
    place = places(Plays())
    jobs = place.some(3)
    place.adopt(jobs)
    assert [place.ended(job).exit_code for job in jobs] == [0, 0, 0]
    assert place.calls("RunInstances") == 1


def test_what_was_never_asked_for_and_is_cancelled(places: Places) -> None:
    place = places()
    jobs = place.some(2)
    place.adopt(jobs, cancelling=jobs)
    for job in jobs:
        assert not place.refused(job).source_fault
    assert not place.calls("RunInstances")


def test_what_ran_once_and_of_which_nothing_is_written_down_is_lost(places: Places) -> None:
    """Never launched again: whoever took the file away did not take the instance."""
    place = places()
    jobs = place.some(2)
    place.adopt(jobs, running=jobs, cancelling=[jobs[1]])
    place.wait_ends(*jobs)
    lost, cancelled = (place.ends[job.ref] for job in jobs)
    assert isinstance(lost, SawEnd)
    assert lost.failure == "source_lost"
    assert isinstance(cancelled, SawNothing) or cancelled.failure is not None
    assert not place.calls("RunInstances")


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "not sent"])
def test_a_request_without_an_answer_is_sent_as_it_was(places: Places, sent: bool) -> None:
    place = places()
    if not sent:
        place.fault("region_down", action="RunInstances")
    jobs = place.launch(place.some(3))
    place.wait(lambda: place.calls("RunInstances") and place.stored(), "a request")
    if sent:
        place.wait_running(*jobs)
    place.restart()
    place.forget_answers()
    place.heal()
    place.plays = Plays()
    place.adopt(jobs)
    assert [place.ended(job).exit_code for job in jobs] == [0, 0, 0]
    assert len(place.instances()) == 3
    assert len(place.stored()) == 1


def test_a_request_without_an_answer_whose_instances_have_ended(places: Places) -> None:
    place = places(Plays(2))
    jobs = place.launch(place.some(2))
    place.wait_ends(*jobs)
    place.restart()
    place.ends.clear()
    place.forget_answers()
    place.adopt(jobs)
    assert [place.ended(job).exit_code for job in jobs] == [2, 2]
    assert len(place.instances()) == 2


def test_a_request_without_an_answer_that_is_cancelled(places: Places) -> None:
    place = places()
    jobs = running(place, 2)
    place.restart()
    place.forget_answers()
    place.adopt(jobs, cancelling=jobs[:1])
    assert place.ended(jobs[0]).stopped
    place.wait_running(jobs[1])
    assert place.alive() == [jobs[1].directory.name]


def test_a_cancel_that_was_under_way(places: Places) -> None:
    place = places()
    jobs = running(place, 2)
    place.restart()
    place.adopt(jobs, running=jobs, cancelling=jobs)
    for job in jobs:
        assert place.ended(job).stopped
    place.wait_gone()
    assert not place.told(SawRunning)


@pytest.mark.parametrize("told", [True, False], ids=["reported", "silent"])
@pytest.mark.parametrize("answered", [True, False], ids=["answered", "unanswered"])
def test_what_ended_long_ago_and_is_forgotten(
    places: Places, monkeypatch: pytest.MonkeyPatch, told: bool, answered: bool
) -> None:
    """EC2 knows nothing of it: what it said of itself counts, else it is lost; it is not launched again."""
    monkeypatch.setattr(ec2_looks, "UNSEEN", 0.2)
    place = places()
    jobs = running(place, 2)
    place.source.close()
    for job in jobs:
        place.play(place.one(job), Plays(0, reports=told))
    place.wait_gone()
    with place.emulator.lock:
        for job in jobs:
            place.emulator.fleet.vanish(place.one(job))
    place.restart()
    if not answered:
        place.forget_answers()
    place.adopt(jobs, running=jobs)
    for job in jobs:
        end = place.ended(job)
        assert (end.exit_code, end.failure) == ((0, None) if told else (None, "source_lost"))
    assert len(place.instances()) == 2


def test_a_forgotten_launch_while_the_bucket_does_not_answer(places: Places) -> None:
    """Nobody is forgotten over it: its report is asked for again."""
    place = places(Plays())
    place.fault(action="RunInstances", deaf=True)
    jobs = place.launch(place.some(3))
    place.wait(
        lambda: len(place.instances()) == 3 and all(held.state == "terminated" for held in place.instances()),
        "their ends",
    )
    with place.emulator.lock:
        for job in jobs:
            place.emulator.fleet.vanish(place.one(job))
    place.heal()
    place.fault("slow_down", action="GetObject", probability=1.0)
    place.wait(lambda: away(place), "that the bucket does not answer")
    place.heal()
    assert [place.ended(job).exit_code for job in jobs] == [0, 0, 0]


def test_the_latest_launch_of_an_attempt_counts_whatever_the_clock_said(places: Places) -> None:
    """Of two launches that name an attempt the first had no room for it, though its time is the later one."""
    place = places()
    place.emulator.room.set_capacity(REGION, "t3.micro", f"{REGION}a", 1)
    jobs = place.launch(place.some(2, instance_type="t3.micro|t3.small", az=f"{REGION}a"))
    place.wait_running(*jobs)
    first, second = (request for request, _ in place.stored())
    path = place.root / "ec2" / NAME / f"{first.token}.json"
    text = path.read_text()
    assert f'"made_at":{first.made_at}' in text
    path.write_text(text.replace(f'"made_at":{first.made_at}', f'"made_at":{second.made_at + 3600}'))
    place.restart()
    place.adopt(jobs, running=jobs)
    place.wait_running(*jobs)
    place.wait_looks(2)
    assert len(place.instances()) == 2
    assert len(place.alive()) == 2


def test_a_new_engine_never_uses_a_token_again(places: Places) -> None:
    place = places(Plays())
    jobs = place.launch(place.some(1))
    place.wait_ends(*jobs)
    place.restart()
    more = place.launch(place.some(1))
    assert place.ended(more[0]).exit_code == 0
    tokens = [request.token for request, _ in place.stored()]
    assert len(set(tokens)) == len(tokens) == 2


def test_what_an_earlier_engine_left_is_ended(places: Places) -> None:
    """Nobody waits for one of two instances of this source: it goes. One of a launch of another's is let alone."""
    place = places()
    mine, left = running(place, 2)
    (other,) = running(place, 1)
    with place.emulator.lock:
        tags = place.emulator.moto._ec2(REGION).tags[place.one(other).id]  # pyright: ignore[reportPrivateUsage]
        tags |= {"spawn:launch": "another-sweep.another-source.b1.1", "spawn:source": "another-source"}
    place.restart()
    place.adopt([mine], running=[mine])
    place.wait(lambda: place.one(left).state == "terminated", "the end of what was left")
    place.wait_looks(3)
    assert place.alive() == sorted([mine.directory.name, other.directory.name])
    assert not place.ends


def test_a_stopped_instance_of_an_earlier_attempt_stays(places: Places) -> None:
    place = places(first_only(Plays(to="stopped")))
    job, other = place.launch(place.some(2, on_complete="stop"))
    place.wait_ends(job)
    place.wait(lambda: place.one(job).state == "stopped", "its stop")
    place.restart()
    place.adopt([other])
    place.wait_looks(3)
    assert place.one(job).state == "stopped"


def test_a_launch_that_cannot_be_read_refuses_the_source(places: Places) -> None:
    """Nothing may be launched by guess; the text says which file, and what to do."""
    place = places()
    jobs = running(place)
    place.restart()
    (path,) = [p for p in (place.root / "ec2" / NAME).iterdir() if not p.name.endswith(".answer.json")]
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    place.adopt(jobs, running=jobs)
    place.wait(lambda: place.told(SourceRefused), "refusal")
    said = place.told(SourceRefused)[0]
    assert isinstance(said, SourceRefused)
    assert str(path) in said.reason
    path.write_bytes(whole)
    place.wait_running(*jobs)
    assert len(place.instances()) == 1


# --- home ----------------------------------------------------------------------------------------------------------


def test_what_it_wrote_comes_home(places: Places) -> None:
    files = {"stdout.log": b"epoch 1\n", "results/model.bin": os.urandom(200_000)}
    place = places(Plays(files=files))
    (job,) = place.launch(place.some(1))
    place.wait_ends(job)
    place.source.collect([job], failed=frozenset())
    place.wait(lambda: (job.directory / "results" / "model.bin").exists(), "its files")
    for path, content in files.items():
        assert (job.directory / path).read_bytes() == content


# --- what a look must not conclude -------------------------------------------------------------------------------


def test_a_report_that_another_instance_left_is_not_its(places: Places) -> None:
    place = places()
    job = place.job("true")
    place.launch([job])
    place.wait_running(job)
    held = place.one(job)
    place.put(f"reports/{job.directory.name}", report(0, instance="i-0123456789abcdef0"))
    place.end(held)
    assert place.ended(job).failure == "terminated"


def test_a_dead_guard_is_no_somebody_else(places: Places) -> None:
    """The system's timer ends the instance behind its time to live, and nobody is left to report."""
    place = places()
    job = place.job("true", ttl="1s")
    place.launch([job])
    place.wait_running(job)
    place.wait(lambda: time.time() > place.one(job).running_since + 1.5, "its time to be over")
    place.end(place.one(job))
    end = place.ended(job)
    assert end.failure == "timeout" and "its time to live was over" in end.message


def test_what_went_while_no_engine_looked_is_heard_of_at_once(places: Places) -> None:
    """EC2 has forgotten it, and its report is there: nobody waits for EC2 to be sure."""
    place = places()
    job = place.job("true")
    place.launch([job])
    place.wait_running(job)
    held = place.one(job)
    place.restart()
    place.put(f"reports/{job.directory.name}", report(0, instance=held.id))
    with place.emulator.lock:
        place.emulator.fleet.vanish(held)
    began = time.monotonic()
    place.adopt([job], running=[job])
    assert place.ended(job).exit_code == 0
    assert time.monotonic() - began < ec2_looks.UNSEEN / 2


def test_what_was_not_sent_yet_can_be_taken_back(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ec2_groups, "PARALLEL", 0)
    place = places()
    first, second = place.launch(place.some(2))
    place.source.withdraw([first.ref])
    place.wait(lambda: first.ref in place.ends, "it to be taken back")
    assert isinstance(place.ends[first.ref], SawWithdrawn) and second.ref not in place.ends
    monkeypatch.setattr(ec2_groups, "PARALLEL", 5)
    place.wait_running(second)
    assert not place.of(first)
    place.source.withdraw([second.ref])  # it runs: nothing is taken back
    place.wait_looks(2)
    assert second.ref not in place.ends


def test_while_aws_is_away_what_was_not_sent_goes_back(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    running(place)
    monkeypatch.setattr(ec2_groups, "PARALLEL", 0)
    (job,) = place.launch(place.some(1))
    place.wait_looks(2)
    assert job.ref not in place.ends
    place.fault("region_down", region=REGION)
    seen = place.refused(job)
    assert seen.source_fault and "never sent" in seen.message
    place.heal()


def test_a_protected_instance_is_told(places: Places) -> None:
    place = places()
    job = place.job("true")
    place.launch([job])
    place.wait_running(job)
    held = place.one(job)
    place.fault(
        action="TerminateInstances", code="OperationNotPermitted",
        message=f"The instance '{held.id}' may not be terminated. Modify its 'disableApiTermination' attribute",
    )  # fmt: skip
    place.source.cancel([job.ref], force=False)
    place.wait(
        lambda: any(
            held.id in seen.queue and "cannot be terminated" in seen.queue for seen in place.told(SawHealth)
        ),
        "the refusal",
    )
    assert job.ref not in place.ends
    place.heal()
    assert place.ended(job).stopped
