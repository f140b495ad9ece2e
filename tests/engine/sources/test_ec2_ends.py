"""Every way in which an instance can be over, and what is told of its attempt; nothing but tables."""

from __future__ import annotations

import pytest
from spawn_tui.engine.aws.fleet import transition_time
from spawn_tui.engine.aws.model import Instance, InstanceState, Report
from spawn_tui.engine.events import FailureKind, Ref
from spawn_tui.engine.observe import SawEnd
from spawn_tui.engine.sources.ec2_ends import reported, speaks_for, unreported, vanished

REF = Ref(3, 2)
BEGAN, ENDED = 1_795_000_000.0, 1_795_000_100.0
SPOT = "Server.SpotInstanceTermination"
USER = "Client.UserInitiatedShutdown"
INSIDE = "Client.InstanceInitiatedShutdown"


def told(
    flag: str, status: int = 0, message: str = "", timeout: float | None = 600.0, *, stopped: bool = False
) -> SawEnd:
    end = reported(REF, Report(status, flag, BEGAN, ENDED, "i-1", message), timeout, stopped=stopped)
    assert (end.task, end.attempt, end.started_at, end.ended_at) == (*REF, BEGAN, ENDED)
    return end


@pytest.mark.parametrize(
    ("flag", "status", "message", "exit_code", "failure", "signal", "words"),
    [
        ("-", 0, "", 0, None, None, ""),
        ("-", 7, "", 7, None, None, ""),
        ("-", 1, "no GPU found", 1, None, None, "no GPU found"),
        ("-", 143, "", 143, None, 15, "ended by SIGTERM"),
        ("-", 137, "", 137, None, 9, "ended by SIGKILL; often the machine had no memory left"),
        ("timeout", 143, "", 143, "timeout", None, "ran longer than its timeout of 600 s"),
        ("timeout", 1, "", 1, "timeout", None, "ran longer than its timeout of 600 s"),
        ("timeout", 0, "", 0, None, None, ""),  # the command had an end of its own before the runner's signal came
        ("workdir", 1, "runner.sh: 12: cd: can't cd to /x", 1, "launch_failed", None,
         "cannot enter its working directory: cd: can't cd to /x"),
        ("ttl", 143, "", None, "timeout", None, "the time to live of its instance was over"),
        ("ttl", 143, "ran for its ttl of 2h", None, "timeout", None, "ran for its ttl of 2h"),
        ("ttl", 0, "", None, "timeout", None, "the time to live of its instance was over"),
        ("idle", 143, "", None, "timeout", None, "its instance was idle"),
        ("idle", 143, "idle for 1800 s", None, "timeout", None, "idle for 1800 s"),
        ("spot", 143, "", None, "spot_interrupted", None, "AWS took the Spot instance back"),
        ("spot", 0, "at 12:30", None, "spot_interrupted", None, "at 12:30"),
        ("setup", 1, "user_data failed (1)", None, "launch_failed", None,
         "its instance could not be set up: user_data failed (1)"),
        ("term", 143, "", None, "terminated", None, "its instance i-1 was ended by somebody else"),
        ("term", 0, "", None, "terminated", None, "its instance i-1 was ended by somebody else"),
        ("of_a_later_version", 0, "", 0, None, None, ""),
    ],
)  # fmt: skip
def test_what_the_instance_said(
    flag: str, status: int, message: str, exit_code: int | None, failure: FailureKind | None, signal: int | None,
    words: str,
) -> None:  # fmt: skip
    end = told(flag, status, message)
    assert (end.exit_code, end.failure, end.signal, end.message) == (exit_code, failure, signal, words)
    assert not end.stopped


@pytest.mark.parametrize(
    ("code", "failure"), [(SPOT, "spot_interrupted"), (USER, "terminated"), (INSIDE, "terminated"), ("", "terminated")]
)  # fmt: skip
def test_what_ec2_says_of_a_term_from_outside(code: str, failure: FailureKind) -> None:
    """The instance felt only that it went down; the notice of an interruption may not have come before."""
    report = Report(143, "term", BEGAN, ENDED, "i-9")
    end = reported(REF, report, None, stopped=False, instance=instance(code))
    assert (end.failure, end.started_at, end.ended_at) == (failure, BEGAN, ENDED)
    ours = reported(REF, report, None, stopped=True, instance=instance(code))
    assert ours.stopped
    assert ours.failure is None


@pytest.mark.parametrize(("flag", "status"), [("-", 0), ("-", 3)])
def test_what_ended_by_itself_did_so_whoever_ended_the_instance(flag: str, status: int) -> None:
    end = reported(REF, Report(status, flag, BEGAN, ENDED), None, stopped=False, instance=instance(SPOT))
    assert (end.exit_code, end.failure) == (status, None)


def test_a_timeout_nobody_set() -> None:
    assert told("timeout", 143, timeout=None).message == "ran longer than its timeout"


@pytest.mark.parametrize(
    ("flag", "status", "stopped"),
    [("term", 143, True), ("-", 1, True), ("term", 0, True), ("-", 0, False)],
)
def test_what_we_had_stopped(flag: str, status: int, stopped: bool) -> None:
    """Only what our signal reached before its end was stopped by us; what completed before that has completed."""
    end = told(flag, status, stopped=True)
    assert end.stopped is stopped
    assert end.failure is None
    assert end.exit_code == status


@pytest.mark.parametrize("flag", ["ttl", "idle", "spot", "setup"])
def test_an_end_of_the_instance_s_own_stays_one_after_a_cancel(flag: str) -> None:
    assert told(flag, 1, stopped=True).failure == told(flag, 1).failure


def instance(code: str, reason: str = "", state: InstanceState = "terminated") -> Instance:
    return Instance(
        "i-9", state, "t3.micro", "us-east-1a", "spot", "token", 0, BEGAN, reason_code=code, reason=reason,
        changed_at=transition_time(reason),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "reason", "failure", "words"),
    [
        (SPOT, "Server.SpotInstanceTermination: …", "spot_interrupted",
         "instance i-9 is terminated: AWS took the Spot instance back"),
        (USER, "User initiated (2026-11-22 10:00:00 GMT)", "terminated",
         "instance i-9 is terminated: ended by somebody else (User initiated (2026-11-22 10:00:00 GMT))"),
        (USER, "", "terminated", "instance i-9 is terminated: ended by somebody else"),
        ("Client.UserInitiatedHibernate", "", "terminated", "instance i-9 is terminated: ended by somebody else"),
        (INSIDE, "", "terminated",
         "instance i-9 is terminated: it was shut down from inside and said nothing of the task"),
        ("Server.InsufficientInstanceCapacity", "no room", "source_lost", "instance i-9 is terminated: no room"),
        ("Server.InsufficientInstanceCapacity", "", "source_lost",
         "instance i-9 is terminated: Server.InsufficientInstanceCapacity"),
        ("Server.InternalError", "Internal error on launch", "source_lost",
         "instance i-9 is terminated: Internal error on launch"),
        ("Server.ScheduledStop", "", "source_lost", "instance i-9 is terminated: Server.ScheduledStop"),
        ("Client.VolumeLimitExceeded", "Volume limit exceeded", "source_lost",
         "instance i-9 is terminated: Volume limit exceeded"),
        ("", "", "source_lost", "instance i-9 is terminated: nobody says why"),
    ],
)  # fmt: skip
def test_what_ec2_says_of_an_instance_without_a_report(
    code: str, reason: str, failure: FailureKind, words: str
) -> None:
    end = unreported(REF, instance(code, reason), stopped=False)
    assert end == SawEnd(*REF, failure=failure, message=words, started_at=BEGAN)


AT_TEN = "(2026-11-23 10:00:00 GMT)"
TEN = 1_795_428_000.0


@pytest.mark.parametrize(
    ("reason", "deadline", "ended", "failure"),
    [
        # What EC2 says of the time counts.
        (f"Instance initiated {AT_TEN}", TEN, None, "timeout"),
        (f"Instance initiated {AT_TEN}", TEN - 300, None, "timeout"),
        (f"Instance initiated {AT_TEN}", TEN + 1, None, "terminated"),
        (f"Instance initiated {AT_TEN}", TEN + 1, TEN + 9999, "terminated"),
        # Else when it was seen.
        ("Client.InstanceInitiatedShutdown: Instance initiated shutdown", TEN, TEN, "timeout"),
        ("Client.InstanceInitiatedShutdown: Instance initiated shutdown", TEN, TEN - 1, "terminated"),
        # Nobody knows when, or there is no deadline.
        ("", TEN, None, "terminated"),
        (f"Instance initiated {AT_TEN}", None, TEN, "terminated"),
    ],
)  # fmt: skip
def test_a_shutdown_from_inside_behind_the_deadline_is_its_time_to_live(
    reason: str, deadline: float | None, ended: float | None, failure: FailureKind
) -> None:
    end = unreported(REF, instance(INSIDE, reason), stopped=False, deadline=deadline, ended=ended)
    assert (end.failure, end.started_at) == (failure, BEGAN)
    over = "instance i-9 is terminated: its time to live was over, and it has left no report"
    assert (end.message == over) == (failure == "timeout")


@pytest.mark.parametrize("code", [SPOT, USER, "Server.InternalError", ""])
def test_who_else_ended_it_did_so_behind_the_deadline_too(code: str) -> None:
    late = unreported(REF, instance(code, AT_TEN), stopped=False, deadline=TEN - 60, ended=TEN)
    assert late == unreported(REF, instance(code, AT_TEN), stopped=False)


def test_what_was_cancelled_is_no_timeout() -> None:
    assert unreported(REF, instance(INSIDE, AT_TEN), stopped=True, deadline=TEN - 1, ended=TEN).stopped


@pytest.mark.parametrize(
    ("words", "at"),
    [
        (f"User initiated {AT_TEN}", TEN),
        (AT_TEN, TEN),
        ("", None),
        ("User initiated", None),
        ("(2026-13-23 10:00:00 GMT)", None),
        ("(2026-11-23 10:00:00 CET)", None),
    ],
)
def test_when_ec2_changed_the_state(words: str, at: float | None) -> None:
    assert transition_time(words) == at


@pytest.mark.parametrize(
    ("said", "ours", "speaks"),
    [("i-1", "i-1", True), ("i-2", "i-1", False), ("", "i-1", True), ("i-2", "", True), ("", "", True)],
)
def test_a_report_of_another_instance_says_nothing_of_this_one(said: str, ours: str, speaks: bool) -> None:
    assert speaks_for(Report(0, "-", BEGAN, ENDED, said), ours) is speaks


@pytest.mark.parametrize("code", [SPOT, USER, INSIDE, "Server.InternalError", ""])
@pytest.mark.parametrize("state", ["terminated", "stopped"])
def test_after_a_cancel_it_does_not_matter_who_ended_it(code: str, state: InstanceState) -> None:
    end = unreported(REF, instance(code, state=state), stopped=True)
    assert end.stopped
    assert end.failure == "terminated"
    assert end.message == f"instance i-9 is {state}"
    assert end.started_at == BEGAN


@pytest.mark.parametrize(("stopped", "failure"), [(False, "source_lost"), (True, "terminated")])
def test_an_instance_nobody_knows_any_more(stopped: bool, failure: FailureKind) -> None:
    end = vanished(REF, "i-9", stopped=stopped, started_at=BEGAN)
    assert (end.failure, end.stopped, end.started_at) == (failure, stopped, BEGAN)
    assert "i-9" in end.message
