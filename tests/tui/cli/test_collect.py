"""`collect`: what tasks wrote behind a real SSH server comes home, is copied, and deleted there on request."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev

from ...collect.field import Field, tree
from ...parts.sshd import Sshd
from ..build import Made, make
from .run import spawn_tui, start, wait_until


@pytest.fixture
def server(new_sshd: Callable[..., Sshd], monkeypatch: pytest.MonkeyPatch) -> Sshd:
    server = new_sshd()
    for name, value in server.home.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return server


@pytest.fixture
def sweep(server: Sshd, tmp_path: Path) -> Made:
    """Three tasks that ended behind the server (the second failed), one that ended here, one that never ran."""
    far_options = (("host", server.alias), ("remote_root", "~/runs"))
    sources = (("far", "ssh", 4, far_options), ("local", "local", 4), ("here", "slurm", 4))
    made = make(tmp_path / "made", [{"lr": n} for n in range(5)], sources=sources)
    made.start([0, 1, 2], "far")
    made.start([3], "here")
    for task in (0, 2, 3):
        made.end(task)
    made.end(1, "failed", kind="exit", exit_code=1)
    made.launch([4], "far")
    made.end(4, "failed", kind="launch_failed", message="no such partition")
    made.store.layout.tasks.mkdir()
    for task in range(4):
        name = f"task_{task + 1:03}"
        made.store.layout.attempt(name, 1).mkdir(parents=True)
        made.store.layout.task(name).symlink_to(f"../attempts/{name}.1")
    (made.store.layout.attempt("task_004", 1) / "stdout.log").write_text("here\n")
    made.commit(ev.SweepEnded("failed"))
    made.index()
    return made


@pytest.fixture
def far(server: Sshd, sweep: Made, tmp_path: Path) -> Field:
    account = server.account
    home = account.home if account else server.home.path
    far = home / "runs" / sweep.id
    field = Field(tmp_path / "field", far=far, owner=account.uid if account else None)
    for number in (1, 2, 3):
        field.attempt(number, {"results/metrics.json": b'{"loss": %d}' % number, b"results/\xff\n": b"odd"})
    if account:
        for path in (home / "runs", far, far / "attempts", far / "scripts", *far.rglob("scripts/*")):
            os.chown(path, account.uid, account.gid)
    return field


def home(sweep: Made, number: int) -> Path:
    return sweep.store.layout.attempt(f"task_{number:03}", 1)


def test_everything_comes_home_and_a_second_time_nothing_moves(sweep: Made, far: Field, tmp_path: Path):
    done = spawn_tui("collect", sweep.id, cwd=tmp_path)
    assert done.status == 0, done.err
    assert f"{sweep.id}: 3 attempts are home" in done.out
    for number in (1, 2, 3):
        assert tree(home(sweep, number)) == tree(far.far / f"attempts/task_{number:03}.1")
    done = spawn_tui("collect-results", sweep.id, "--json", cwd=tmp_path)
    assert done.status == 0, done.err
    *attempts, summary = done.objects
    assert sorted(each["task"] for each in attempts) == [1, 2, 3]
    assert {(each["attempt"], each["source"], each["moved"], each["problem"]) for each in attempts} == {
        (1, "far", 0, "")
    }
    assert (summary["attempts"], summary["home"], summary["moved"]) == (3, 3, 0)


def test_only_some_tasks(sweep: Made, far: Field, tmp_path: Path):
    done = spawn_tui("collect", sweep.id, "--tasks", "2", cwd=tmp_path)
    assert done.status == 0, done.err
    assert (home(sweep, 2) / "exit").exists() and not (home(sweep, 1) / "exit").exists()
    assert spawn_tui("collect", sweep.id, "--tasks", "9", cwd=tmp_path).status == 2


def test_what_is_missing_is_said_and_exits_1(sweep: Made, far: Field, tmp_path: Path):
    shutil.rmtree(far.far / "attempts/task_003.1")
    (far.far / "attempts/task_001.1/out").symlink_to("/etc/passwd")
    done = spawn_tui("collect", sweep.id, cwd=tmp_path)
    assert done.status == 1
    assert "2 attempts of 3 are home" in done.out
    assert "task_003.1: its directory" in done.err and "is gone" in done.err
    assert "task_001.1: out -> /etc/passwd" in done.err and "not followed" in done.err
    done = spawn_tui("collect", sweep.id, "--delete-remote", "-y", cwd=tmp_path)
    assert done.status == 1 and "nothing was deleted" in done.err
    assert (far.far / "attempts/task_001.1").exists()


def test_a_machine_that_refuses_us_is_told_and_nothing_hangs(
    sweep: Made, far: Field, server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server.home.known_hosts.write_text("")
    process = start("collect", sweep.id, cwd=tmp_path)
    assert process.stderr is not None
    assert "far: " in (line := process.stderr.readline()) and "host key" in line.lower(), line
    process.terminate()
    process.communicate()


def test_output_has_the_tree_as_hard_links(sweep: Made, far: Field, tmp_path: Path):
    out = tmp_path / "results"
    done = spawn_tui("collect", sweep.id, "--output", str(out), cwd=tmp_path)
    assert done.status == 0, done.err
    assert (out / "tasks/task_001/results/metrics.json").read_bytes() == b'{"loss": 1}'
    assert (out / "tasks/task_004/stdout.log").read_text() == "here\n"
    assert not (out / "tasks/task_001").is_symlink()
    assert (out / "tasks/task_001/exit").stat().st_nlink == 2
    assert spawn_tui("collect", sweep.id, "--output", str(out), cwd=tmp_path).status == 0
    (out / "tasks/task_001/exit").unlink()
    (out / "tasks/task_001/exit").write_text("mine")
    done = spawn_tui("collect", sweep.id, "--output", str(out), cwd=tmp_path)
    assert done.status == 1 and "differs; it was left as it is" in done.err
    assert (out / "tasks/task_001/exit").read_text() == "mine"


def test_delete_remote_asks_verifies_and_deletes(sweep: Made, far: Field, tmp_path: Path):
    done = spawn_tui("collect", sweep.id, "--delete-remote", cwd=tmp_path)
    assert done.status == 1 and "Delete 3 attempts" in done.err
    assert len(os.listdir(far.far / "attempts")) == 3
    done = spawn_tui("collect", sweep.id, "--delete-remote", "-y", cwd=tmp_path)
    assert done.status == 0, done.err
    assert "far: 3 attempts deleted there" in done.out
    assert os.listdir(far.far / "attempts") == []
    assert (home(sweep, 1) / "results/metrics.json").exists()


def test_delete_remote_waits_for_the_end(sweep: Made, far: Field, tmp_path: Path):
    sweep.commit(ev.RequestTaken("r1", "retry", tasks=(1,)))
    done = spawn_tui("collect", sweep.id, "--delete-remote", "-y", cwd=tmp_path)
    assert done.status == 2 and "has not ended" in done.err
    assert len(os.listdir(far.far / "attempts")) == 3


def test_an_engine_that_runs_does_it_itself(sweep: Made, far: Field, tmp_path: Path):
    lock = sweep.engine()
    try:
        done = spawn_tui("collect", sweep.id, cwd=tmp_path)
    finally:
        lock.release()
    assert done.status == 1 and "brings results home itself" in done.err
    assert not (home(sweep, 1) / "exit").exists()


def test_two_at_a_time_are_refused(sweep: Made, far: Field, server: Sshd, tmp_path: Path):
    server.freeze()
    first = start("collect", sweep.id, cwd=tmp_path)
    try:
        wait_until((sweep.root / "collect.lock").exists, "the first to begin")
        done = spawn_tui("collect", sweep.id, cwd=tmp_path)
        assert done.status == 1 and "is being collected already" in done.err
    finally:
        server.thaw()
        out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert "3 attempts are home" in out
