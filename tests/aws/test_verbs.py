"""The verbs of EC2, on sweeps whose instances are at the emulator."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.aws.lookout import Clouds
from spawn_tui.state.index import SweepIndex
from spawn_tui.tui.cli.losses import NOTHING

from ..tui.build import Made
from .ec2_field import Emulated, emulated, until
from .verbs_field import (
    ACCOUNT,
    EAST,
    RATE,
    WEST,
    a_sweep,
    call,
    kept,
    launch,
    put,
    source_name,
    states,
    tags,
)

Capture = pytest.CaptureFixture[str]
REPORT = b"status 0\nflag -\nstarted 1\nended 2\ninstance i-1\nmessage\nend\n"


@pytest.fixture(scope="module")
def server() -> Generator[Emulated]:
    with emulated() as server:
        yield server


@pytest.fixture
def emulator(server: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Emulated:
    server.ask("POST", "reset")
    server.calm()
    for name in ("one", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "one")
    return server


@pytest.fixture
def sweep(tmp_path: Path) -> Made:
    made = a_sweep(tmp_path / "made")
    made.index()
    return made


def running(emulator: Emulated, ids: list[str]) -> None:
    until(lambda: all(states(emulator)[identity] == "running" for identity in ids))


def end(emulator: Emulated, identity: str) -> None:
    emulator.ask("POST", f"instances/{identity}/terminate")
    until(lambda: states(emulator).get(identity) in ("terminated", None))


def ended_after(emulator: Emulated, identity: str, seconds: float) -> bool:
    """Whether the instance's tag says that it ends so long after its launch."""
    told = float(tags(emulator, identity)["spawn:ttl"])
    return abs(told - time.time() - seconds) < 60


# --- extend ------------------------------------------------------------------------------------------------------


def test_extend_moves_the_end_of_all_that_live(emulator: Emulated, sweep: Made, capsys: Capture):
    east, west = launch(sweep, emulator.cloud, [0, 1]), launch(sweep, emulator.cloud, [2], WEST)
    running(emulator, [*east, *west])
    end(emulator, east[1])
    said = call(capsys, "extend", sweep.id, "2h")
    assert said.status == 0, said.err
    assert [(row[0], row[2]) for row in said.rows] == [("task_001", east[0]), ("task_003", west[0])]
    assert ended_after(emulator, east[0], 9000) and ended_after(emulator, west[0], 9000)
    assert "spawn:ttl" not in tags(emulator, east[1])
    assert "$0.0416 more" in said.err  # two instances, two hours
    # What was moved once is moved on from there, and only what is named.
    said = call(capsys, "extend", sweep.id, "t1", "1h", "--json")
    assert [one["instance_id"] for one in said.objects] == [east[0]] and said.objects[0]["moved"]
    assert ended_after(emulator, east[0], 12600) and ended_after(emulator, west[0], 9000)


def test_extend_until_sets_an_end_also_where_there_was_none(
    emulator: Emulated, tmp_path: Path, capsys: Capture
):
    made = a_sweep(tmp_path / "made", launch={"instance_type": "t3.micro"})
    made.index()
    (only,) = launch(made, emulator.cloud, [0])
    running(emulator, [only])
    said = call(capsys, "extend", made.id, "2h")
    assert said.status == 1 and "has no TTL" in said.err and "spawn:ttl" not in tags(emulator, only)
    said = call(capsys, "extend", made.id, "--until", "2099-01-01T00:00:00+00:00")
    assert said.status == 0 and said.rows[0][3] == "none"
    assert tags(emulator, only)["spawn:ttl"] == "4070908800"


def test_extend_says_which_region_it_could_not_ask(emulator: Emulated, sweep: Made, capsys: Capture):
    (east,), (west,) = launch(sweep, emulator.cloud, [0]), launch(sweep, emulator.cloud, [1], WEST)
    running(emulator, [east, west])
    emulator.ask("POST", "faults", ready="unauthorized", action="CreateTags", region=WEST)
    said = call(capsys, "extend", sweep.id, "1h")
    assert said.status == 1
    assert ended_after(emulator, east, 5400) and "spawn:ttl" not in tags(emulator, west)
    assert [row[4] == "not moved" for row in said.rows] == [False, True]
    assert "ec2:CreateTags" in said.err and source_name(WEST) in said.err


def test_the_tag_alone_says_when_an_instance_ends(emulator: Emulated, tmp_path: Path, capsys: Capture):
    """Its task says nothing (any more), or something else: `status`, `connect` and `extend` go by the tag."""
    for number, fields in enumerate(
        ({}, {"instance_type": "t3.micro"}, {"instance_type": "t3.micro", "ttl": "9h"})
    ):
        made = a_sweep(tmp_path / f"made{number}", launch=dict(fields), suffix=f"abc12{number}")
        made.index()
        (only,) = launch(made, emulator.cloud, [0])
        running(emulator, [only])
        told = int(time.time()) + 5430
        client = emulator.cloud.client("ec2", EAST)
        client.create_tags(Resources=[only], Tags=[{"Key": "spawn:ttl", "Value": str(told)}])
        row = next(line for line in call(capsys, "status", made.id).out.splitlines() if only in line)
        assert row.split("\t")[4].startswith(("1h30m", "1h29m"))
        said = call(capsys, "connect", made.id, "1", "--print", "--key", str(key_file("mine")))
        assert said.status == 0 and "its time to live is over in 1h" in said.err, said.err
        assert f"spawn-tui extend {made.id} 1 1h" in said.err
        said = call(capsys, "extend", made.id, "1h", "--json")
        assert said.status == 0 and tags(emulator, only)["spawn:ttl"] == str(told + 3600)
        client.create_tags(Resources=[only], Tags=[{"Key": "spawn:ttl", "Value": str(told - 9000)}])
        said = call(capsys, "connect", made.id, "1", "--print", "--key", str(key_file("mine")))
        assert "may end at any moment" in said.err
        assert "\tover" in call(capsys, "status", made.id).out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["2h"], 1, "no instance is alive"),
        (["9", "2h"], 2, "outside of this sweep"),
        (["soon"], 2, "not a duration"),
        (["0"], 2, "moves nothing"),
        ([], 2, "write it like"),
        (["1", "2", "3h"], 2, "write it like"),
        (["--until", "25:00"], 2, "not a time"),
        (["--until", "2020-01-01"], 2, "is over"),
    ],
)
def test_extend_in_words(
    emulator: Emulated, sweep: Made, capsys: Capture, words: list[str], status: int, said: str
):
    told = call(capsys, "extend", sweep.id, *words)
    assert told.status == status and said in told.err


# --- status, cost ------------------------------------------------------------------------------------------------


def test_status_shows_instances_and_how_long_they_have(emulator: Emulated, sweep: Made, capsys: Capture):
    ids = [*launch(sweep, emulator.cloud, [0]), *launch(sweep, emulator.cloud, [1], WEST)]
    running(emulator, ids)
    said = call(capsys, "status", sweep.id)
    rows = [line.split("\t") for line in said.out.splitlines() if "\t" in line]
    assert rows[0] == ["NAME", "INSTANCE-ID", "STATE", "UPTIME", "TTL-REMAINING"]
    assert [row[:3] for row in rows[1:]] == [["t1", ids[0], "running"], ["t2", ids[1], "running"]]
    assert all(row[4].startswith(("29m", "30m")) for row in rows[1:])
    assert "cost " in said.out and "$0.0208/h now" in said.out
    call(capsys, "extend", sweep.id, "t1", "2h")
    assert "\t2h29m" in call(capsys, "status", sweep.id).out
    # One question a region, and a region that does not answer is told.
    emulator.ask("DELETE", "calls")
    emulator.ask("POST", "faults", ready="unauthorized", action="DescribeInstances", region=WEST)
    said = call(capsys, "status", sweep.id)
    assert said.status == 0 and emulator.calls("DescribeInstances") == 2
    assert f"{source_name(WEST)} cannot be asked" in said.err
    rows = [line.split("\t") for line in said.out.splitlines() if "\t" in line]
    assert rows[1][2] == "running" and rows[2][1:3] == [ids[1], "?"] and rows[2][4] == "?"


def test_status_as_json_has_cost_and_asks_nobody(emulator: Emulated, sweep: Made, capsys: Capture):
    (identity,) = launch(sweep, emulator.cloud, [0])
    emulator.ask("DELETE", "calls")
    (told,) = call(capsys, "status", sweep.id, "--json").objects
    assert emulator.ask("GET", "calls") == []
    assert told["cost"]["per_hour"] == RATE and told["cost"]["budget"] is None
    assert not told["cost"]["partly_unknown"] and told["cost"]["current"] < 0.01
    (instance,) = told["instances"]
    assert (instance["instance_id"], instance["state"], instance["task"]) == (identity, "running", "task_001")


def test_cost_says_what_is_not_known(emulator: Emulated, sweep: Made, capsys: Capture):
    sweep.commit(ev.Launching("b9", source_name(EAST), (ev.Ref(0, 1), ev.Ref(1, 1))))
    began = sweep.clock.at
    sweep.commit(ev.Running((ev.Started(0, 1, "i-1", began, 3.6), ev.Started(1, 1, "i-2", began))))
    sweep.wait(100)
    sweep.commit(ev.Ended((ev.End(0, 1, "completed", exit_code=0, ended_at=sweep.clock.at),)))
    sweep.commit(ev.Ended((ev.End(1, 1, "failed", "exit", exit_code=1, ended_at=sweep.clock.at),)))
    said = call(capsys, "cost", "breakdown", sweep.id)
    rows = [line.split("\t") for line in said.out.splitlines() if "\t" in line]
    assert [row[5:] for row in rows[1:]] == [["$3.60/h", "$0.1000"], ["unknown", "unknown"]] or rows[1][
        6
    ] == "$0.10"
    assert f"{source_name(EAST)}: at least $0.10 (1 attempt without a price)" in said.out
    *_, whole = call(capsys, "cost", sweep.id, "--json").objects
    assert whole["current"] == pytest.approx(0.1, abs=1e-4) and whole["partly_unknown"]
    first, second = call(capsys, "cost", sweep.id, "--json").objects[:2]
    assert first["cost"] == pytest.approx(0.1, abs=1e-4) and second["cost"] is None
    assert first["seconds"] == pytest.approx(100, abs=0.01)


def test_a_task_that_was_not_sent_again_has_the_price_it_had(
    emulator: Emulated, sweep: Made, capsys: Capture
):
    launch(sweep, emulator.cloud, [0])
    sweep.commit(ev.Ended((ev.End(0, 1, "failed", "spot_interrupted", ended_at=sweep.clock.at),)))
    sweep.commit(ev.Requeued((ev.Delay(0, 0.0),)))
    sweep.commit(ev.Launching("b9", source_name(WEST), (ev.Ref(0, 2),)))
    sweep.commit(
        ev.Ended((ev.End(0, 2, "failed", "launch_failed", message="never sent", ended_at=sweep.clock.at),))
    )
    (row,) = (
        line.split("\t") for line in call(capsys, "cost", sweep.id).out.splitlines() if "task_001" in line
    )
    assert row[5] == "$0.0104/h"
    assert call(capsys, "cost", sweep.id, "--json").objects[0]["per_hour"] == RATE


# --- connect -----------------------------------------------------------------------------------------------------


def key_file(name: str) -> Path:
    path = Path(os.environ["HOME"]) / ".ssh" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("secret")
    return path


def test_connect_knows_user_key_address_and_where_host_keys_are_kept(
    emulator: Emulated, sweep: Made, capsys: Capture
):
    client = emulator.cloud.client("ec2", EAST)
    client.create_key_pair(KeyName="lab")
    group = client.create_security_group(GroupName="shut", Description="nobody")["GroupId"]
    itself = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    client.authorize_security_group_ingress(GroupId=group, IpPermissions=[itself])
    (identity,) = launch(sweep, emulator.cloud, [0], key="lab", group=group)
    running(emulator, [identity])
    key = key_file("lab.pem")
    said = call(capsys, "connect", sweep.id, "1", "--print", "--", "ls", "-l", "a b")
    assert said.status == 0, said.err
    line = said.out.strip()
    assert line.startswith("ssh ") and line.endswith("ls -l 'a b'")
    for part in (
        f"HostKeyAlias={identity}", "StrictHostKeyChecking=accept-new", f"-i {key} ", "-- ec2-user@",
        f'UserKnownHostsFile="{sweep.root}/ec2/known_hosts"',
    ):  # fmt: skip
        assert part in line
    assert "none of its security groups" in said.err and "authorize-security-group-ingress" in said.err
    assert (sweep.root / "ec2").is_dir()
    client.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=20, ToPort=30, CidrIp="0.0.0.0/0"
    )
    said = call(capsys, "connect", sweep.id, "1", "--user", "me", "-p", "2222", "--print")
    assert "me@" in said.out and "-p 2222" in said.out and "lets port 2222 in" in said.err
    (only,) = call(capsys, "connect", sweep.id, "1", "--print").err.splitlines()
    assert "its time to live is over in" in only
    key.unlink()
    said = call(capsys, "connect", sweep.id, "1", "--print")
    assert " -i " not in said.out and "no ~/.ssh/lab or lab.pem" in said.err


def test_connect_runs_ssh_and_is_its_exit_status(
    emulator: Emulated, sweep: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from ..tui.cli.run import spawn_tui

    (identity,) = launch(sweep, emulator.cloud, [0])
    running(emulator, [identity])
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text('#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done\nexit 7\n')
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    key = key_file("mine")
    done = spawn_tui("ssh", sweep.id, "1", "--key", str(key), "uptime", cwd=tmp_path)
    assert done.status == 7, done.err
    assert done.out.splitlines()[-1] == "uptime" and str(key) in done.out.splitlines()


def test_connect_says_why_there_is_no_way(emulator: Emulated, sweep: Made, capsys: Capture):
    said = call(capsys, "connect", sweep.id, "1")
    assert said.status == 1 and "was not launched yet" in said.err
    first, second = launch(sweep, emulator.cloud, [0, 1])
    running(emulator, [first, second])
    said = call(capsys, "connect", sweep.id, "1", "--print")
    assert said.status == 1 and "without a key pair" in said.err and said.out == ""
    said = call(capsys, "connect", sweep.id, "1", "--key", "/nowhere/key")
    assert said.status == 1 and "/nowhere/key is not there" in said.err
    end(emulator, first)
    said = call(capsys, "connect", sweep.id, "1", "--key", str(key_file("mine")))
    assert said.status == 1 and "is terminated" in said.err
    emulator.ask("POST", f"instances/{second}/vanish")
    said = call(capsys, "connect", sweep.id, "2", "--key", str(key_file("mine")))
    assert said.status == 1 and f"knows no instance {second}" in said.err


# --- reap --------------------------------------------------------------------------------------------------------


def alive(emulator: Emulated) -> set[str]:
    return {
        identity
        for identity, state in states(emulator).items()
        if state not in ("shutting-down", "terminated")
    }


def test_reap_ends_what_no_sweep_waits_for_and_nothing_else(
    emulator: Emulated, sweep: Made, tmp_path: Path, capsys: Capture
):
    done, works = launch(sweep, emulator.cloud, [0, 1])
    other = a_sweep(tmp_path / "other", suffix="def456")
    other.index()
    (over,) = launch(other, emulator.cloud, [0], WEST)
    unknown = a_sweep(tmp_path / "unknown", suffix="fff777")
    (foreign,) = launch(unknown, emulator.cloud, [0])
    everything = {done, works, over, foreign}
    running(emulator, list(everything))
    assert alive(emulator) == everything
    # Nothing has ended: nothing is a stray.
    said = call(capsys, "reap", "-y", "--json")
    assert said.status == 0 and [(one["instance_id"], one["verdict"]) for one in said.objects] == [
        (foreign, "foreign")
    ]
    sweep.end(0)
    other.end(0)
    other.commit(ev.SweepEnded("completed"))
    # Without a terminal nobody can say yes.
    said = call(capsys, "reap")
    assert said.status == 1 and "nothing was terminated" in said.err and alive(emulator) == everything
    assert {row[0]: row[7] for row in said.rows if row[0] in (done, over)} == {
        done: "attempt 1 of task_001 has ended (completed)",
        over: "its sweep has ended (completed)",
    }
    assert all(row[5].startswith(("$", "<$")) for row in said.rows if row[0] in (done, over))
    assert call(capsys, "reap", "--dry-run").status == 0 and alive(emulator) == everything
    said = call(capsys, "reap", "-y")
    assert said.status == 0, said.err
    assert alive(emulator) == {works, foreign}
    assert "1 instance in use" in said.err and "launched by ada" in said.out
    said = call(capsys, "reap", "-y", "--foreign", "--region", WEST)
    assert alive(emulator) == {works, foreign}
    said = call(capsys, "reap", "-y", "--foreign")
    assert said.status == 0 and alive(emulator) == {works}


def test_reap_leaves_alone_what_an_engine_looks_after(emulator: Emulated, sweep: Made, capsys: Capture):
    (identity,) = launch(sweep, emulator.cloud, [0])
    running(emulator, [identity])
    sweep.end(0)
    sweep.engine()
    try:
        said = call(capsys, "reap", "-y", "--foreign", "--stopped")
    finally:
        assert sweep.lock is not None
        sweep.lock.release()
    assert said.status == 0 and alive(emulator) == {identity}
    assert said.out == "" and "no instance without a sweep" in said.err
    assert call(capsys, "reap", "-y").status == 0 and not alive(emulator)


def test_reap_looks_again_after_it_was_answered(
    emulator: Emulated, sweep: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    (identity,) = launch(sweep, emulator.cloud, [0])
    running(emulator, [identity])
    sweep.end(0)

    def resumed_meanwhile(question: str, *, assume_yes: bool) -> bool:
        assert question.startswith("Terminate 1 instance?")
        sweep.engine()
        return True

    monkeypatch.setattr("spawn_tui.tui.cli.reap.ask", resumed_meanwhile)
    try:
        said = call(capsys, "reap")
    finally:
        assert sweep.lock is not None
        sweep.lock.release()
    assert alive(emulator) == {identity} and f"{identity}: the engine of its sweep looks after it" in said.err


def test_reap_keeps_what_was_stopped_on_purpose(emulator: Emulated, sweep: Made, capsys: Capture):
    (identity,) = launch(sweep, emulator.cloud, [0], on_complete="stop")
    running(emulator, [identity])
    emulator.ask("POST", f"instances/{identity}/stop")
    until(lambda: states(emulator)[identity] == "stopped")
    sweep.end(0)
    sweep.commit(ev.SweepEnded("completed"))
    said = call(capsys, "reap", "-y")
    assert said.status == 0 and alive(emulator) == {identity} and "--stopped" in said.err
    (row,) = said.rows
    assert row[:5] == [identity, "t3.micro", EAST, "stopped", "disk costs ~$0.64/month"], "8 GiB of gp3"
    said = call(capsys, "reap", "--json", "--dry-run")
    assert [(one["verdict"], one["disk_per_month"]) for one in said.objects] == [
        ("kept", pytest.approx(0.64))
    ]
    assert call(capsys, "reap", "-y", "--stopped").status == 0 and not alive(emulator)


def test_reap_asks_about_what_is_kept_apart(
    emulator: Emulated, sweep: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    (kept,) = launch(sweep, emulator.cloud, [0], on_complete="stop")
    (stray,) = launch(sweep, emulator.cloud, [1])
    running(emulator, [kept, stray])
    emulator.ask("POST", f"instances/{kept}/stop")
    until(lambda: states(emulator)[kept] == "stopped")
    sweep.end(0), sweep.end(1)
    sweep.commit(ev.SweepEnded("completed"))
    emulator.ask("POST", "faults", ready="unauthorized", action="DescribeVolumes")
    questions: list[str] = []

    def only_the_stray(question: str, *, assume_yes: bool) -> bool:
        questions.append(question)
        return len(questions) == 1

    monkeypatch.setattr("spawn_tui.tui.cli.reap.ask", only_the_stray)
    said = call(capsys, "reap", "--stopped")
    assert said.status == 1 and alive(emulator) == {kept}
    assert questions[0] == "Terminate 1 instance? Their disks go with them."
    assert questions[1].startswith("Terminate 1 instance that is kept? They were kept on purpose")
    assert "how large the disks" in said.err and [row[4] for row in said.rows if row[0] == kept] == ["?"]


def test_reap_asks_everywhere_and_says_where_it_could_not(emulator: Emulated, sweep: Made, capsys: Capture):
    (identity,) = launch(sweep, emulator.cloud, [0], WEST)
    running(emulator, [identity])
    SweepIndex().forget(sweep.id)
    # Of a sweep that is not known here nobody knows where it was.
    assert identity not in call(capsys, "reap", "--dry-run").out
    emulator.ask("POST", "faults", ready="unauthorized", action="DescribeInstances", region="eu-west-1")
    said = call(capsys, "reap", "--dry-run", "--all-regions")
    assert identity in said.out
    assert said.status == 1 and "eu-west-1 cannot be asked" in said.err


# --- collect, logs -----------------------------------------------------------------------------------------------


def test_collect_brings_home_from_every_region_and_deletes_what_is_home(
    emulator: Emulated, sweep: Made, tmp_path: Path, capsys: Capture
):
    launch(sweep, emulator.cloud, [0, 1])
    launch(sweep, emulator.cloud, [2], WEST)
    for task, region in ((0, EAST), (1, EAST), (2, WEST)):
        files = {
            "attempts/{attempt}/stdout.log": b"hello\n",
            "attempts/{attempt}/results.json": b'{"loss": %d}' % (3 - task),
            "attempts/{attempt}/deep/er/data.bin": os.urandom(300_000),
            "reports/{attempt}": REPORT,
        }
        put(emulator.cloud, sweep.id, f"task_{task + 1:03}.1", files, region)
        sweep.end(task)
    sweep.commit(ev.SweepEnded("failed"))
    said = call(
        capsys,
        "collect",
        sweep.id,
        "--metric",
        "loss",
        "--best",
        "2",
        "--minimize",
        "-o",
        str(tmp_path / "out"),
    )
    assert said.status == 0, said.err
    assert "3 attempts are home, 9 files" in said.out
    assert [line.split("\t")[:4] for line in said.out.splitlines()[2:]] == [
        ["1", "task_003", "t3", "1"], ["2", "task_002", "t2", "2"],
    ]  # fmt: skip
    for task in (1, 2, 3):
        assert (sweep.root / f"attempts/task_{task:03}.1/deep/er/data.bin").stat().st_size == 300_000
        assert (tmp_path / f"out/tasks/task_{task:03}/stdout.log").read_text() == "hello\n"
    assert (tmp_path / "out/results.json").read_bytes() == (sweep.root / "results.json").read_bytes()
    assert (tmp_path / "out/results.csv").read_text().count("\n") == 4
    # Nothing moves twice, and what was lost here comes again.
    (sweep.root / "attempts/task_003.1/stdout.log").unlink()
    *_, total = call(capsys, "collect", sweep.id, "--json").objects
    assert total["moved"] == 6 and total["home"] == 3
    # What is not home as it is there keeps everything there.
    put(emulator.cloud, sweep.id, "task_003.1", {"attempts/{attempt}/../late": b"x"}, WEST)
    said = call(capsys, "collect", sweep.id, "--delete-remote", "-y")
    assert said.status == 1 and len(kept(emulator.cloud, sweep.id)) == 8
    emulator.cloud.client("s3", WEST).delete_object(
        Bucket=f"spawn-results-{ACCOUNT}-{WEST}", Key=f"sweeps/{sweep.id}/attempts/task_003.1/../late"
    )
    said = call(capsys, "collect", sweep.id, "--delete-remote", "-y")
    assert said.status == 0, said.err
    assert kept(emulator.cloud, sweep.id) == {"reports/task_001.1", "reports/task_002.1"}
    assert kept(emulator.cloud, sweep.id, WEST) == {"reports/task_003.1"}


def test_collect_asks_after_what_was_given_up(emulator: Emulated, sweep: Made, capsys: Capture):
    """Given up: one that reported after all, one that is gone, one that lives."""
    ids = launch(sweep, emulator.cloud, [0, 1, 2])
    running(emulator, ids)
    lost = tuple(
        ev.End(task, 1, "failed", "source_lost", message="silent", given_up=True) for task in (0, 1, 2)
    )
    sweep.commit(ev.Ended(lost))
    put(emulator.cloud, sweep.id, "task_001.1", {"reports/{attempt}": REPORT, "attempts/{attempt}/a": b"1"})
    put(emulator.cloud, sweep.id, "task_002.1", {"attempts/{attempt}/b": b"2"})
    end(emulator, ids[1])
    said = call(capsys, "collect", sweep.id)
    assert said.status == 1
    assert f"{source_name(EAST)}: 1 attempts have not ended" in said.err
    assert (sweep.root / "attempts/task_001.1/a").exists() and (sweep.root / "attempts/task_002.1/b").exists()


def test_collect_wants_a_metric_that_is_there(emulator: Emulated, sweep: Made, capsys: Capture):
    said = call(capsys, "collect", sweep.id, "--best", "3")
    assert said.status == 2 and "--metric" in said.err
    said = call(capsys, "collect", sweep.id, "--metric", "loss")
    assert said.status == 1 and "no completed task wrote" in said.err


def test_logs_are_read_in_the_bucket_while_a_task_runs(emulator: Emulated, sweep: Made, capsys: Capture):
    launch(sweep, emulator.cloud, [0])
    put(
        emulator.cloud, sweep.id, "task_001.1",
        {"attempts/{attempt}/stdout.log": b"epoch 1\n", "attempts/{attempt}/bootstrap.log": b"unpacked\n"},
    )  # fmt: skip
    assert call(capsys, "logs", sweep.id, "1").out == "epoch 1\n"
    assert call(capsys, "logs", sweep.id, "1", "--bootstrap").out == "unpacked\n"
    said = call(capsys, "logs", sweep.id, "1", "--bootstrap", "--stderr")
    assert said.status == 2
    # Whole, to its end, when it has ended.
    put(
        emulator.cloud,
        sweep.id,
        "task_001.1",
        {"attempts/{attempt}/stdout.log": b"epoch 1\nepoch 2\n", "reports/{attempt}": REPORT},
    )
    assert call(capsys, "logs", sweep.id, "1").out == "epoch 1\nepoch 2\n"


def test_logs_show_the_console_of_an_instance_that_never_came_up(
    emulator: Emulated, sweep: Made, capsys: Capture
):
    launch(sweep, emulator.cloud, [0])
    sweep.end(0, "failed", kind="source_lost")
    attempt = sweep.store.layout.attempt("task_001", 1)
    attempt.mkdir(parents=True)
    (attempt / "console.log").write_text("kernel panic\n")
    put(emulator.cloud, sweep.id, "task_001.1", {"reports/{attempt}": REPORT})
    said = call(capsys, "logs", sweep.id, "1", "--bootstrap")
    assert said.out == "kernel panic\n" and "no sign of life" in said.err


# --- test --------------------------------------------------------------------------------------------------------


def test_a_region_is_tested_line_by_line(emulator: Emulated, capsys: Capture):
    said = call(capsys, "test", f"ec2:{EAST}", "--json")
    assert said.status == 0, said.out
    checks = {one["check"]: one for one in said.objects[:-1]}
    assert list(checks) == ["account", "region", "image", "launch", "quota", "bucket"]
    assert all(check["level"] == "ok" for check in checks.values())
    assert (
        ACCOUNT in checks["account"]["words"]
        and f"spawn-results-{ACCOUNT}-{EAST}" in checks["bucket"]["words"]
    )
    assert states(emulator) == {} and kept_buckets(emulator) == []


def kept_buckets(emulator: Emulated) -> list[str]:
    return [one["Name"] for one in emulator.cloud.client("s3", EAST).list_buckets()["Buckets"]]


def test_what_is_wrong_with_a_region_is_said(emulator: Emulated, capsys: Capture):
    said = call(capsys, "test", "ec2:us-east-11")
    assert said.status == 1 and f'did you mean "{EAST}"?' in said.out
    emulator.ask("POST", "faults", ready="unauthorized", action="RunInstances")
    said = call(capsys, "test", f"ec2:{EAST}")
    assert said.status == 1 and "ec2:RunInstances is missing" in said.out and "mend launch" in said.out
    emulator.ask("DELETE", "faults")
    emulator.ask("POST", "quotas", region=EAST, code="L-1216C47A", value=1)
    said = call(capsys, "test", f"ec2:{EAST}")
    assert said.status == 1 and "FAIL  quota" in said.out and "0 × t3.micro" in said.out
    Path("spawn.yaml").write_text("sources:\n  lab: {type: ec2, region: us-east-1, instance_type: t9.huge}\n")
    said = call(capsys, "test", "lab")
    assert said.status == 1 and "t9.huge is not offered" in said.out


def test_without_credentials_that_is_all_that_is_said(emulator: Emulated, capsys: Capture):
    emulator.ask("POST", "faults", ready="expired")
    said = call(capsys, "test", f"ec2:{EAST}")
    assert said.status == 1 and said.out.startswith("FAIL  account") and "aws sso login" in said.out
    assert len(said.out.splitlines()) == 2


# --- nobody to ask -----------------------------------------------------------------------------------------------


def without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)


def test_without_credentials_nobody_is_asked_and_that_is_said_once(
    emulator: Emulated, sweep: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    launch(sweep, emulator.cloud, [0])
    launch(sweep, emulator.cloud, [1], WEST)
    without_credentials(monkeypatch)
    monkeypatch.setattr(Clouds, "fleet", lambda *_: pytest.fail("a region would be asked again and again"))
    emulator.ask("DELETE", "calls")
    why = "Unable to locate credentials; log in (aws sso login"
    for words, status in ((("reap",), 1), (("extend", sweep.id, "1h"), 1), (("status", sweep.id), 0)):
        said = call(capsys, *words)
        assert said.status == status and said.err.count(why) == 1, (words, said.err)
        (line,) = (line for line in said.err.splitlines() if why in line)
        assert EAST in line and WEST in line
        assert "in time" not in said.err
    assert emulator.ask("GET", "calls") == []


def test_reap_speaks_of_the_regions_it_asked_alone(
    emulator: Emulated, sweep: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    launch(sweep, emulator.cloud, [0])
    assert "no instance without a sweep in 2 regions" in call(capsys, "reap", "--dry-run").err
    emulator.ask("POST", "faults", ready="unauthorized", action="DescribeInstances", region=WEST)
    said = call(capsys, "reap", "--dry-run")
    assert said.status == 1 and "no instance without a sweep in 1 region\n" in said.err
    without_credentials(monkeypatch)
    said = call(capsys, "reap", "--dry-run")
    assert said.status == 1 and "no instance without" not in said.err and "nobody could be asked" in said.err


def test_reap_knows_which_regions_there_are(
    emulator: Emulated, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    said = call(capsys, "reap", "--region", "mars-1")
    assert said.status == 2 and "there is no region mars-1" in said.err
    assert 'did you mean "us-east-1"?' in call(capsys, "reap", "--region", "us-eats-1").err
    # Who may not ask which there are is believed.
    emulator.ask("POST", "faults", ready="unauthorized", action="DescribeRegions")
    assert call(capsys, "reap", "--region", EAST).status == 0
    without_credentials(monkeypatch)
    said = call(capsys, "reap", "--region", EAST)
    assert said.status == 1 and "Unable to locate credentials; log in" in said.err


def test_a_region_that_never_answers_is_given_up_with_its_own_reason(
    emulator: Emulated, sweep: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    launch(sweep, emulator.cloud, [0])
    monkeypatch.setattr("spawn_tui.tui.cli.instances.PATIENCE", 5.0)
    emulator.ask("POST", "faults", ready="region_down", action="DescribeInstances", region=EAST)
    said = call(capsys, "status", sweep.id)
    assert "cannot be asked: " in said.err and "in time" not in said.err


def home_and_not(sweep: Made, emulator: Emulated) -> None:
    """Three attempts have ended in two regions; two of them are home."""
    launch(sweep, emulator.cloud, [0, 1])
    launch(sweep, emulator.cloud, [2], WEST)
    for task in range(3):
        sweep.end(task)
    sweep.commit(ev.Collected((ev.Brought(0, 1, 3, 9), ev.Brought(2, 1, 1, 4))))
    sweep.commit(ev.SweepEnded("completed"))


def test_collect_counts_what_the_journal_knows_where_nobody_can_be_asked(
    emulator: Emulated, sweep: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    home_and_not(sweep, emulator)
    without_credentials(monkeypatch)
    said = call(capsys, "collect", sweep.id)
    assert said.status == 1 and f"{sweep.id}: 2 attempts of 3 are home\n" in said.out
    (line,) = (line for line in said.err.splitlines() if "credentials" in line)
    assert EAST in line and WEST in line and "by the sweep's journal 2 of 3 attempts there are home" in line
    *each, total = call(capsys, "collect", sweep.id, "--json").objects
    assert [bool(one["problem"]) for one in each] == [False, True, False]
    assert all("credentials" in one["problem"] + "".join(one["notes"]) for one in each)
    assert (total["attempts"], total["home"]) == (3, 2)
    sweep.commit(ev.Collected((ev.Brought(1, 1, 3, 9),)))
    said = call(capsys, "collect", sweep.id)
    assert said.status == 0 and f"{sweep.id}: 3 attempts are home\n" in said.out


def test_collect_says_once_that_a_region_does_not_answer(
    emulator: Emulated, sweep: Made, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    home_and_not(sweep, emulator)
    put(emulator.cloud, sweep.id, "task_003.1", {"attempts/{attempt}/a": b"1"}, WEST)
    monkeypatch.setattr("spawn_tui.engine.collect.gather.PATIENCE", 1.0)
    emulator.ask(
        "POST", "faults", service="s3", asker="client", region=EAST, code="InternalError", status=500
    )
    said = call(capsys, "collect", sweep.id)
    assert said.status == 1 and "2 attempts of 3 are home, 1 files" in said.out, said.err
    told = [line for line in said.err.splitlines() if "InternalError" in line]
    assert len(told) == 2 and told[1].startswith(f"{source_name(EAST)} cannot be asked: "), said.err
    assert "1 of 2 attempts there are home" in told[1]


def test_what_a_killed_attempt_left_nothing_of_is_no_loss(emulator: Emulated, sweep: Made, capsys: Capture):
    launch(sweep, emulator.cloud, [0, 1, 2])
    put(emulator.cloud, sweep.id, "task_001.1", {"attempts/{attempt}/a": b"1"})
    sweep.end(0)
    sweep.end(1)
    sweep.commit(ev.Ended((ev.End(2, 1, "failed", "timeout", ended_at=sweep.clock.at),)))
    said = call(capsys, "collect", sweep.id)
    assert "task_002.1: there is nothing of it in" in said.err and "task_003.1" not in said.err
    nothing = said.err.split("task_002.1: ")[1].splitlines()[0]
    assert nothing.startswith(NOTHING)
    sweep.commit(ev.Collected((ev.Brought(1, 1, problem=nothing), ev.Brought(2, 1, problem=nothing))))
    said = call(capsys, "status", sweep.id)
    assert "files      task_002, attempt 1: there is nothing" in said.out and "task_003" not in said.out


def test_an_instance_that_has_ended_has_no_time_left(emulator: Emulated, sweep: Made, capsys: Capture):
    (identity,) = launch(sweep, emulator.cloud, [0])
    running(emulator, [identity])
    end(emulator, identity)
    (row,) = (
        line.split("\t") for line in call(capsys, "status", sweep.id).out.splitlines() if identity in line
    )
    assert row[2] == "terminated" and row[4] == ""


# --- resume -----------------------------------------------------------------------------------------------------


def test_resume_chooses_regions_as_launch_does(emulator: Emulated, tmp_path: Path, capsys: Capture):
    made = a_sweep(tmp_path / "made", 2, launch={"instance_type": "t3.micro", "region": "eu-west-1"})
    made.index()
    said = call(capsys, "resume", made.id, "--sources", "ec2", "--dry-run")
    assert said.status == 0, said.err
    assert [row[3] for row in said.rows[:2]] == ["ec2-eu-west-1", "ec2-eu-west-1"]
    Path("spawn.yaml").write_text(f"sources:\n  {source_name(EAST)}: {{type: ec2, region: {WEST}}}\n")
    said = call(capsys, "resume", made.id, "--sources", source_name(EAST), "--dry-run")
    assert said.status == 2 and "another source called" in said.err


# --- replace -----------------------------------------------------------------------------------------------------


def test_replace_ends_an_instance_before_it_asks_for_another(emulator: Emulated, tmp_path: Path):
    """With a real engine. The instance itself does nothing here, as one that hangs."""
    from ..tui.cli.run import spawn_tui

    Path("sweep.yaml").write_text(
        "defaults: {instance_type: t3.micro, ttl: 1h, region: us-east-1}\ncommand: 'true'\nparams: [{lr: 1}]\n"
    )
    done = spawn_tui("launch", "sweep.yaml", "--detach", "-y", cwd=Path.cwd())
    assert done.status == 0, done.err
    try:
        until(lambda: "1 running" in spawn_tui("status", "latest", cwd=Path.cwd()).out, 40)
        (first,) = states(emulator)
        done = spawn_tui("replace", "latest", "1", "-y", cwd=Path.cwd())
        assert done.status == 0, done.err
        assert states(emulator)[first] == "terminated" and "attempt 2" in done.out
        until(lambda: len(states(emulator)) == 2, 40)
        assert len(alive(emulator)) == 1
    finally:
        spawn_tui("cancel", "latest", "-y", "--force", cwd=Path.cwd())
    assert not alive(emulator)
