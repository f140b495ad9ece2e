"""`status`, `list`, `cancel`, `pause`, `resume`, `logs`: on sweeps that run, rest and were killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from spawn_tui.engine.viewer import Viewer

from .run import spawn_tui, start, sweep_root, wait_until

SLOW = "grid: {a: [1, 2, 3, 4]}\ncommand: 'echo begun; exec sleep 60'\n"
QUICK = "grid: {a: [1, 2, 3]}\ncommand: test {a} != 2\n"


@pytest.fixture
def folder(tmp_path: Path):
    """A project folder; whatever still runs in it afterwards is cancelled."""
    yield tmp_path
    outputs = tmp_path / "sweeps/outputs"
    for root in outputs.iterdir() if outputs.exists() else ():
        spawn_tui("cancel", str(root), "-y", "--force", cwd=tmp_path)


def detached(folder: Path, text: str, *arguments: str) -> Viewer:
    (folder / "sweep.yaml").write_text(text)
    done = spawn_tui("launch", "sweep.yaml", "--detach", "--sources", "local:2", *arguments, cwd=folder)
    assert done.status == 0, done.err
    return Viewer(sweep_root(folder))


def running(viewer: Viewer, count: int) -> bool:
    viewer.refresh()
    return viewer.sweep.counts["running"] == count  # type: ignore[index]


def test_detach_status_cancel(folder: Path):
    viewer = detached(folder, SLOW)
    wait_until(lambda: running(viewer, 2), "two running tasks")
    (status,) = spawn_tui("status", "latest", "--json", cwd=folder).objects
    assert status["status"] == "running"
    assert status["counts"] == {
        "pending": 2, "launching": 0, "running": 2, "completed": 0, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    assert spawn_tui("status", "latest", "--check-complete", cwd=folder).status == 2
    pids = [int((viewer.attempt_dir(i) / "claim").read_text().split(":")[0]) for i in (0, 1)]  # type: ignore[operator]

    done = spawn_tui("cancel", "latest", "-y", cwd=folder)
    assert done.status == 0 and "4 tasks cancelled" in done.out
    viewer.refresh()
    assert viewer.sweep.ended == "cancelled"
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.killpg(pid, 0)
    assert spawn_tui("status", "latest", "--check-complete", cwd=folder).status == 1


def test_cancel_asks_and_no_answer_means_no(folder: Path):
    viewer = detached(folder, SLOW)
    wait_until(lambda: running(viewer, 2), "two running tasks")
    done = spawn_tui("cancel", "latest", cwd=folder)
    assert done.status == 1
    assert "Cancel 2 running and 2 waiting" in done.err
    viewer.refresh()
    assert not viewer.sweep.cancel_requested


def test_cancel_of_some_tasks_leaves_the_others(folder: Path):
    viewer = detached(folder, SLOW)
    wait_until(lambda: running(viewer, 2), "two running tasks")
    done = spawn_tui("cancel", "latest", "--tasks", "1,4", "-y", cwd=folder)
    assert done.status == 0, done.err
    viewer.refresh()
    states = [str(task.state) for task in viewer.sweep.tasks]
    assert states[0] == states[3] == "cancelled"
    wait_until(lambda: running(viewer, 2), "task 3 in the free slot")
    assert str(viewer.sweep.tasks[1].state) == "running"


def test_pause_and_resume(folder: Path):
    (folder / "hold").touch()
    viewer = detached(folder, "grid: {a: [1, 2, 3, 4]}\ncommand: 'while [ -e hold ]; do sleep 0.05; done'\n")
    wait_until(lambda: running(viewer, 2), "two running tasks")
    done = spawn_tui("pause", "latest", cwd=folder)
    assert done.status == 0, done.err
    (folder / "hold").unlink()
    wait_until(lambda: (viewer.refresh(), viewer.sweep.active == 0)[1], "the running tasks to end")
    wait_until(lambda: viewer.holder() is None, "the engine to leave a paused sweep")
    assert viewer.status() == "paused"
    assert viewer.sweep.counts["pending"] > 0  # type: ignore[index]
    done = spawn_tui("resume", "latest", "--no-ui", cwd=folder)
    assert done.status == 0, done.err


def test_kill_of_the_engine_then_resume_adopts(folder: Path):
    (folder / "sweep.yaml").write_text(
        "grid: {a: [1, 2, 3, 4]}\ncommand: 'echo run >> runs-{a}; while [ ! -e go ]; do sleep 0.05; done'\n"
    )
    engine = start("launch", "sweep.yaml", "--no-ui", "--sources", "local:2", cwd=folder)
    wait_until(lambda: (folder / "runs-1").exists() and (folder / "runs-2").exists(), "two tasks to begin")
    engine.send_signal(signal.SIGKILL)
    engine.communicate()
    (status,) = spawn_tui("status", "latest", "--json", cwd=folder).objects
    counts = status["counts"]
    assert status["status"] == "interrupted" and counts["launching"] + counts["running"] == 2
    (folder / "go").touch()
    done = spawn_tui("resume", "latest", "--no-ui", cwd=folder)
    assert done.status == 0, done.err
    assert [(folder / f"runs-{a}").read_text() for a in (1, 2, 3, 4)] == ["run\n"] * 4


def test_retry_runs_only_what_failed(folder: Path):
    text = "grid: {a: [1, 2, 3]}\ncommand: 'echo run >> runs-{a}; test {a} != 2 || test -e mended'\n"
    (folder / "sweep.yaml").write_text(text)
    assert spawn_tui("launch", "sweep.yaml", "--no-ui", cwd=folder).status == 1
    plain = spawn_tui("resume", "latest", "--no-ui", cwd=folder)
    assert plain.status == 1 and "--retry-failed" in plain.err
    (folder / "mended").touch()
    done = spawn_tui("resume", "latest", "--retry-failed", "--no-ui", cwd=folder)
    assert done.status == 0, done.err
    assert [(folder / f"runs-{a}").read_text().count("run") for a in (1, 2, 3)] == [1, 2, 1]
    again = spawn_tui("resume", "latest", "--tasks", "1", "--no-ui", cwd=folder)
    assert again.status == 0 and "completed and is not run again" in again.err
    assert (folder / "runs-1").read_text() == "run\n"


def test_a_cancelled_sweep_can_go_on(folder: Path):
    viewer = detached(folder, "grid: {a: [1, 2]}\ncommand: 'test -e go || exec sleep 60'\n")
    wait_until(lambda: running(viewer, 2), "two running tasks")
    assert spawn_tui("cancel", "latest", "-y", cwd=folder).status == 0
    (folder / "go").touch()
    done = spawn_tui("resume", "latest", "--no-ui", cwd=folder)
    assert done.status == 0, done.err


def test_resume_of_a_running_sweep_follows_it(folder: Path):
    detached(folder, "grid: {a: [1, 2]}\ncommand: sleep 0.5\n")
    done = spawn_tui("resume", "latest", "--no-ui", cwd=folder)
    assert done.status == 0, done.err


def test_logs_and_errors(folder: Path):
    text = "params: [{name: one, a: 1}, {name: two, a: 2}]\ncommand: 'echo out {a}; echo err {a} >&2; test {a} = 1'\n"
    (folder / "sweep.yaml").write_text(text)
    spawn_tui("launch", "sweep.yaml", "--no-ui", cwd=folder)
    assert spawn_tui("logs", "latest", "1", cwd=folder).out == "out 1\n"
    assert spawn_tui("logs", "latest", "two", "--stderr", cwd=folder).out == "err 2\n"
    assert spawn_tui("logs", "latest", "task_002", "--follow", cwd=folder).out == "out 2\n"
    assert spawn_tui("logs", "latest", "9", cwd=folder).status == 2
    table = spawn_tui("errors", "latest", cwd=folder).out.splitlines()
    assert table[1].split("\t") == ["task_002", "two", "exit", "1", "1", "err 2"]


def test_logs_follow_to_the_end(folder: Path):
    detached(folder, "params: [{a: 1}]\ncommand: 'echo one; sleep 0.4; echo two'\n")
    assert spawn_tui("logs", "latest", "1", "--follow", cwd=folder).out == "one\ntwo\n"


def test_list_shows_what_is_there_and_what_is_gone(folder: Path):
    (folder / "sweep.yaml").write_text(QUICK)
    spawn_tui("launch", "sweep.yaml", "--no-ui", cwd=folder)
    (entry,) = spawn_tui("list", "--json", cwd=folder).objects
    assert entry["status"] == "failed" and entry["counts"]["completed"] == 2
    root = sweep_root(folder)
    root.rename(folder / "elsewhere")
    (entry,) = spawn_tui("list", "--json", cwd=folder).objects
    assert entry["status"] == "missing"
    (folder / "elsewhere").rename(root)
    (folder / "home-index").touch()
    assert spawn_tui("list", "--rebuild", cwd=folder).status == 0


def test_the_index_can_be_made_anew(folder: Path, spawn_home: Path):
    (folder / "sweep.yaml").write_text(QUICK)
    spawn_tui("launch", "sweep.yaml", "--no-ui", cwd=folder)
    (spawn_home / "index.json").write_text("{torn")
    broken = spawn_tui("list", cwd=folder)
    assert broken.status == 2 and "--rebuild" in broken.err
    assert spawn_tui("list", "--rebuild", cwd=folder).status == 0
    (entry,) = spawn_tui("list", "--json", cwd=folder).objects
    assert entry["status"] == "failed"


def test_a_sweep_is_named_by_prefix_name_and_path(folder: Path):
    (folder / "sweep.yaml").write_text(QUICK)
    spawn_tui("launch", "sweep.yaml", "--no-ui", cwd=folder)
    root = sweep_root(folder)
    for word in (root.name, root.name[:-3], "sweep", "latest", str(root)):
        (found,) = spawn_tui("status", word, "--json", cwd=folder).objects
        assert found["id"] == root.name, word
    wrong = spawn_tui("status", "swep", cwd=folder)
    assert wrong.status == 2 and "did you mean" in wrong.err


def test_a_damaged_journal_is_told_with_file_and_line(folder: Path):
    (folder / "sweep.yaml").write_text(QUICK)
    spawn_tui("launch", "sweep.yaml", "--no-ui", cwd=folder)
    root = sweep_root(folder)
    (root / "sweep.json").write_text("{}")
    done = spawn_tui("status", "latest", cwd=folder)
    assert done.status == 3
    assert "sweep.json" in done.err and "Traceback" not in done.err


def test_a_damaged_index_stops_a_launch_before_anything_is_written(folder: Path, spawn_home: Path):
    (folder / "sweep.yaml").write_text(QUICK)
    (spawn_home / "index.json").write_text("{torn")
    done = spawn_tui("launch", "sweep.yaml", "--no-ui", cwd=folder)
    assert done.status == 2 and "--rebuild" in done.err and "Traceback" not in done.err
    assert not (folder / "sweeps").exists()


def test_a_damaged_lock_is_told_in_words(folder: Path):
    viewer = detached(folder, SLOW)
    wait_until(lambda: running(viewer, 2), "two running tasks")
    lock = viewer.layout.lock
    good = lock.read_bytes()
    lock.write_text("garbage")
    for words in (["status", "latest"], ["resume", "latest", "--no-ui"], ["pause", "latest"]):
        done = spawn_tui(*words, cwd=folder)
        assert done.status == 3 or words[0] == "resume", done
        assert done.status != 0 and "engine.lock" in done.err and "Traceback" not in done.err
    lock.write_bytes(good)


def test_check_complete_of_no_sweep_is_an_error_of_its_own(folder: Path):
    assert spawn_tui("status", "nosuch", "--check-complete", cwd=folder).status == 3
    assert spawn_tui("status", "nosuch", cwd=folder).status == 2
