"""Slurm's words in ours, on recorded answers of 22.05.8."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine.sources.scheduler import Array, Element, compress, expand, job_body, without
from spawn_tui.engine.sources.slurm_script import directives, job_script, unset_for
from spawn_tui.engine.sources.slurm_words import (
    complaint,
    is_away,
    nodes_in_words,
    read_jobs,
    read_queue,
    read_records,
    refusal,
    state_of,
)

SAMPLES = Path(__file__).with_name("samples") / "slurm"


@pytest.mark.parametrize(
    ("word", "standing", "failure"),
    [
        ("PENDING", "waiting", None),
        ("CONFIGURING", "waiting", None),
        ("REQUEUED", "waiting", None),
        ("REQUEUE_HOLD", "waiting", None),
        ("SPECIAL_EXIT", "waiting", None),
        ("RUNNING", "running", None),
        ("SUSPENDED", "running", None),
        ("STOPPED", "running", None),
        ("COMPLETING", "ending", None),
        ("COMPLETED", "ended", None),
        ("FAILED", "ended", None),
        ("TIMEOUT", "ended", "timeout"),
        ("DEADLINE", "ended", "timeout"),
        ("OUT_OF_MEMORY", "ended", "out_of_memory"),
        ("NODE_FAIL", "ended", "source_lost"),
        ("BOOT_FAIL", "ended", "source_lost"),
        ("PREEMPTED", "ended", "source_lost"),
        ("REVOKED", "ended", "source_lost"),
        ("CANCELLED", "ended", None),
        ("CANCELLED by 1000", "ended", None),
        ("SOMETHING_NEW", "ended", None),
    ],
)
def test_every_state_has_its_place(word: str, standing: str, failure: str | None):
    state = state_of(word)
    assert (state.standing, state.failure) == (standing, failure)
    assert state.removed == word.startswith("CANCELLED")
    if standing == "ended" and word != "COMPLETED":
        assert state.message


@pytest.mark.parametrize(
    ("reason", "never"),
    [
        ("Resources", False),
        ("Priority", False),
        ("QOSMaxJobsPerUserLimit", False),
        ("QOSMaxCpuPerUserLimit", False),
        ("AssocGrpCpuLimit", False),
        ("JobHeldAdmin", False),
        ("ReqNodeNotAvail, UnavailableNodes:n1", False),
        ("PartitionDown", False),
        ("PartitionConfig", True),
        ("PartitionTimeLimit", True),
        ("BadConstraints", True),
        ("InvalidAccount", True),
        ("QOSMaxCpuPerJobLimit", True),
        ("AssocMaxWallDurationPerJobLimit", True),
        ("DependencyNeverSatisfied", True),
    ],
)
def test_a_reason_that_time_does_not_cure(reason: str, never: bool):
    state = state_of("PENDING", reason)
    assert state.reason == reason
    assert state.never is never


def test_exit_codes_and_signals():
    assert state_of("FAILED", "NonZeroExitCode", "3:0").exit_code == 3
    assert state_of("FAILED", "JobLaunchFailure", "0:9").signal == 9
    assert "file system the nodes share" in state_of("FAILED", "", "0:53").message
    assert state_of("FAILED", "OutOfMemory").failure == "out_of_memory"
    assert state_of("COMPLETED").exit_code == 0
    assert "by 1000" in state_of("CANCELLED by 1000").message
    assert state_of("PENDING", "None").reason == ""


def test_the_queue_is_read_with_its_ranges():
    text = (SAMPLES / "squeue.txt").read_text()
    listing = read_queue(text, {"sabc123b1": 21, "sabc123b2": 4})
    first = listing["sabc123b1"]
    assert {element.index for element in first} == {0, 1, 2, 3, 5, 6, 7, 8, 9, 20}
    assert first[Element("1", 0)].standing == "running"
    assert first[Element("1", 1)].standing == "ending"
    assert first[Element("1", 20)].reason == "JobArrayTaskLimit"
    second = listing["sabc123b2"]
    assert [second[Element("4", index)].word for index in range(4)] == [
        "FAILED",
        "NODE_FAIL",
        "CANCELLED",
        "CANCELLED",
    ]
    assert set(listing) == {"sabc123b1", "sabc123b2"}


def test_records_are_read_with_their_ranges():
    text = (SAMPLES / "sacct.txt").read_text()
    wanted = [Element("8", index) for index in range(9)] + [Element("9", 0)]
    records = read_records(text, wanted)
    assert Element("8", 3) not in records  # a record that says RUNNING of what the queue has lost is no end
    assert {e.index: s.word for e, s in records.items() if e.job == "8"} == {
        0: "COMPLETED", 1: "FAILED", 2: "CANCELLED", 4: "CANCELLED", 5: "CANCELLED", 6: "CANCELLED",
        7: "OUT_OF_MEMORY", 8: "TIMEOUT",
    }  # fmt: skip
    assert records[Element("9", 0)].word == "COMPLETED"
    assert read_records(text, [Element("10", 0)]) == {}


def test_a_shown_job_is_read():
    text = " ".join((SAMPLES / "scontrol_running.txt").read_text().split("\n"))
    assert read_jobs(text) == {Element("1", 0): state_of("RUNNING")}
    line = "JobId=2 ArrayJobId=1 ArrayTaskId=5 JobName=x JobState=FAILED Reason=JobLaunchFailure ExitCode=0:9"
    (element,) = (found := read_jobs(line))
    assert element == Element("1", 5)
    assert found[element].signal == 9


def samples() -> list[tuple[str, str, int]]:
    """(command, what it said, status) of the recorded refusals."""
    text = (SAMPLES / "errors.txt").read_text()
    return [
        (block[0], block[1].strip(), int(block[2]))
        for block in re.findall(r"^\$ (.*)\n((?:.*\n)*?)\[rc=(\d+)\]", text, re.MULTILINE)
    ]


@pytest.mark.parametrize(
    ("command", "said", "status"), [s for s in samples() if s[0].startswith("sbatch --parsable -") and s[2]]
)
def test_every_refusal_has_a_cause_and_a_remedy(command: str, said: str, status: int):
    assert not is_away(said.encode())
    refused = refusal(said.encode())
    cause, _, remedy = str(refused).rpartition("; ")
    assert "sbatch:" not in cause
    assert "Slurm refused the jobs: " in cause
    assert "spawn.yaml" in remedy or "takes no array" in remedy
    assert refused.always == ("--array" not in command)


@pytest.mark.parametrize(
    "said",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "squeue: error: If munged is up, restart with --num-threads=10",
        "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
        "sacct: error: Problem talking to the database: Connection refused",
    ],
)
def test_a_controller_that_is_away_refuses_nothing(said: str):
    assert is_away(said.encode())


def test_limits_on_submissions_are_no_fault_of_the_request():
    said = (
        "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
        "accounting/QOS policy (job submit limit, user's size and/or time limits)"
    )
    refused = refusal(said.encode())
    assert not refused.always
    assert "fewer tasks" in str(refused)
    assert refusal(said.replace("AssocMaxSubmitJobLimit", "QOSMaxWallDurationPerJobLimit").encode()).always
    assert "`walltime`" in str(
        refusal(said.replace("AssocMaxSubmitJobLimit", "QOSMaxWallDurationPerJobLimit").encode())
    )


def test_complaints_are_one_line():
    assert complaint(b"sbatch: error: one\nsbatch: error: one\n\nsbatch: two\nTry it\n") == "one; two"


def test_nodes_are_counted_by_state():
    assert nodes_in_words("idle 2\nidle* 1\nallocated# 1\ndown* 3\n") == "nodes: 3 idle, 3 down, 1 allocated"
    assert nodes_in_words("") == "no nodes"


def test_directives_come_from_the_config():
    options = {
        "partition": "gpu", "account": "lab", "qos": "high", "walltime": "04:00:00", "cpus": "4", "mem": "16G",
        "gpus": "a100:2", "extra": "--exclusive\n#SBATCH --constraint=ib\n",
    }  # fmt: skip
    lines = directives(Array("sabc123b1", 100, 8), options)
    for line in (
        "--partition=gpu", "--account=lab", "--qos=high", "--time=04:00:00", "--cpus-per-task=4", "--mem=16G",
        "--gres=gpu:a100:2", "--exclusive", "--constraint=ib", "--no-requeue", "--array=0-99",
    ):  # fmt: skip
        assert line in lines
    script = job_script(Array("sabc123b1", 100, 8), "/a b/$(x)", options)
    assert script.startswith("#!/bin/sh\n#SBATCH --job-name=sabc123b1\n")
    assert "cd '/a b/$(x)'" in script
    assert "SBATCH_PARTITION" in unset_for(options)
    assert "SBATCH_PARTITION" not in unset_for({})


@pytest.mark.parametrize(
    "extra", ["--array=1", "-a 1", "--output x", "--requeue", "--wrap=true", "-Jx", "sleep"]
)
def test_directives_that_are_not_the_users(extra: str):
    with pytest.raises(ValueError, match="extra"):
        directives(Array("x", 1, 1), {"extra": extra})


@given(st.sets(st.integers(0, 300)).filter(bool))
def test_ranges_there_and_back(indices: set[int]):
    assert set(expand(compress(indices))) == indices


def test_ranges_with_steps():
    assert list(expand("0-6:2,9")) == [0, 2, 4, 6, 9]
    with pytest.raises(ValueError, match="range"):
        list(expand("3-x"))


def test_the_body_is_quoted():
    body = job_body(Array("n", 1, 1), "/it's", "${I:-0}")
    assert "cd '/it'\"'\"'s'" in body
    assert "case $v in A_* | B" in without("A_*", "B")
