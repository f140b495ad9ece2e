"""`replace`, `connect` and `resume --budget` where no cloud is: real engines, real processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.viewer import Viewer

from ..build import make
from .run import spawn_tui, sweep_root, wait_until

HANGS_ONCE = "if [ $SWEEP_ATTEMPT = 1 ]; then echo begun; exec sleep 600; fi; echo again"
FAILS_ONCE = 'test "$SWEEP_ATTEMPT" = 2'


@pytest.fixture
def folder(tmp_path: Path):
    """A project folder; whatever still runs in it afterwards is cancelled."""
    yield tmp_path
    outputs = tmp_path / "sweeps/outputs"
    for root in outputs.iterdir() if outputs.exists() else ():
        spawn_tui("cancel", str(root), "-y", "--force", cwd=tmp_path)


def detached(folder: Path, command: str, tasks: str = "[1]") -> Viewer:
    (folder / "task.sh").write_text(command)
    (folder / "sweep.yaml").write_text(f"grid: {{a: {tasks}}}\ncommand: sh task.sh\n")
    done = spawn_tui("launch", "sweep.yaml", "--detach", "--sources", "local:1", cwd=folder)
    assert done.status == 0, done.err
    return Viewer(sweep_root(folder))


def is_(viewer: Viewer, state: str, task: int = 0) -> bool:
    viewer.refresh()
    return viewer.sweep.tasks[task].state == state


def begun(viewer: Viewer) -> bool:
    path = viewer.layout.attempt("task_001", 1) / "stdout.log"
    return path.exists() and path.read_text() == "begun\n"


def left(group: int) -> bool:
    """Whether anything is left of a process group, and be it what nobody has waited for yet."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_task_that_hangs_is_killed_before_it_runs_again(folder: Path):
    viewer = detached(folder, HANGS_ONCE)
    wait_until(lambda: begun(viewer), "the first attempt")
    pid = int((viewer.layout.attempt("task_001", 1) / "claim").read_text().split(":")[0])
    asked = spawn_tui("replace", "latest", "1", cwd=folder)
    assert asked.status == 1 and "nothing was replaced" in asked.err and is_(viewer, "running")
    done = spawn_tui("replace", "latest", "1", "-y", cwd=folder)
    assert done.status == 0, done.err
    assert "task_001: attempt 2 is launched" in done.out
    wait_until(lambda: not left(pid), "the first attempt's group to be reaped")
    wait_until(lambda: is_(viewer, "completed"), "the second attempt")
    first, second = viewer.sweep.tasks[0].attempts
    assert first.state == "cancelled" and second.started_at is not None and first.ended_at is not None
    assert second.launched_at >= first.ended_at
    refused = spawn_tui("replace", "latest", "1", "-y", cwd=folder)
    assert refused.status == 2 and "is completed" in refused.err


def test_a_task_that_failed_gets_another_attempt(folder: Path):
    viewer = detached(folder, FAILS_ONCE)
    wait_until(lambda: is_(viewer, "failed"), "the failure")
    wait_until(lambda: viewer.holder() is None, "the engine's end")
    done = spawn_tui("replace", "latest", "task_001", cwd=folder)  # nothing runs: nothing is asked
    assert done.status == 0, done.err
    wait_until(lambda: is_(viewer, "completed"), "the second attempt")


def test_what_waits_cannot_be_replaced(folder: Path):
    viewer = detached(folder, HANGS_ONCE, "[1, 2]")
    wait_until(lambda: begun(viewer), "the first attempt")
    done = spawn_tui("replace", "latest", "2", "-y", cwd=folder)
    assert done.status == 1 and "waits to be launched" in done.err


def test_connect_to_this_machine_is_its_directory(folder: Path):
    viewer = detached(folder, "exit 0")
    wait_until(lambda: is_(viewer, "completed"), "the task")
    done = spawn_tui("connect", "latest", "1", cwd=folder)
    assert (done.status, done.out.strip()) == (0, str(viewer.layout.attempt("task_001", 1)))
    assert "this machine" in done.err
    assert spawn_tui("connect", "latest", "1", "--attempt", "2", cwd=folder).status == 2


def test_connect_to_a_host_is_the_users_own_ssh(folder: Path):
    far = (("host", "gpu1"), ("user", "ada"), ("port", "2222"), ("ssh_key", "/k"))
    made = make(
        folder / "made", [{"lr": 1}, {"lr": 2}], sources=(("far", "ssh", 1, far), ("hpc", "slurm", 1, far))
    )
    made.index()
    made.start([0], "far")
    made.start([1], "hpc")
    done = spawn_tui("connect", made.id, "1", "--print", "--", "nvidia-smi", "-L", cwd=folder)
    assert done.out == "ssh -i /k -p 2222 -l ada -- gpu1 nvidia-smi -L\n"
    assert f"~/.spawn/runs/{made.id}/attempts/task_001.1" in done.err
    done = spawn_tui("connect", made.id, "2", "--user", "bob", "--print", cwd=folder)
    assert done.out == "ssh -i /k -p 2222 -l bob -- gpu1\n" and "login node" in done.err


def test_a_budget_that_is_spent_is_raised(folder: Path):
    (folder / "spawn.yaml").write_text(
        "sources:\n  dear: {type: local, max_tasks: 1, cost_per_hour: 36000}\n"
    )
    (folder / "sweep.yaml").write_text("grid: {a: [1, 2]}\ncommand: sleep 0.2\n")
    done = spawn_tui("launch", "sweep.yaml", "--detach", "--sources", "dear", "--budget", "0.5", cwd=folder)
    assert done.status == 0, done.err
    viewer = Viewer(sweep_root(folder))

    def spent() -> bool:
        viewer.refresh()
        return viewer.sweep.budget_spent and not viewer.sweep.active

    wait_until(spent, "the budget to be spent")
    refused = spawn_tui("resume", "latest", "--detach", cwd=folder)
    assert refused.status == 2 and "--budget USD" in refused.err
    viewer.refresh()
    assert viewer.sweep.paused and not viewer.sweep.requests
    done = spawn_tui("resume", "latest", "--budget", "1000.50", "--detach", cwd=folder)
    assert done.status == 0, done.err
    wait_until(lambda: is_(viewer, "completed", 1), "the second task")
    assert viewer.sweep.budget == 1000.5


def test_a_budget_below_what_was_spent_is_refused(folder: Path):
    made = make(folder / "made", [{"lr": 1}, {"lr": 2}], sources=(("local", "local", 1),))
    made.index()
    made.launch([0])
    made.commit(ev.Running((ev.Started(0, 1, "1:1:b:h", made.clock.at, 36.0),)))
    made.wait(1000)
    made.end(0)
    done = spawn_tui("resume", made.id, "--budget", "9", "--no-ui", cwd=folder)
    assert done.status == 2 and "has cost $10.00" in done.err
    assert not list((made.root / "requests").glob("*"))


def test_sources_and_completion_know_the_cloud(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "spawn.yaml").write_text(
        "sources:\n  lab: {type: ec2, region: us-west-2, subnet: [subnet-0a1b2c3d, subnet-0a1b2c3e], max_tasks: 3}\n"
    )
    (told,) = spawn_tui("sources", "--json", cwd=folder).objects
    assert told["options"]["subnet"] == ["subnet-0a1b2c3d", "subnet-0a1b2c3e"] and told["slots"] == 3
    assert "\tus-west-2\t3\t" in spawn_tui("sources", cwd=folder).out
    monkeypatch.setenv("_SPAWN_TUI_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "spawn-tui test local,ec2:eu-central")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert "plain,local,ec2:eu-central-1" in spawn_tui(cwd=folder).out.splitlines()
