"""`launch`, headless: from a file to results, exit statuses, and what scripts read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from .run import spawn_tui, sweep_root


def write(folder: Path, text: str, name: str = "sweep.yaml") -> str:
    (folder / name).write_text(text)
    return name


def test_a_sweep_that_succeeds(tmp_path: Path):
    file = write(tmp_path, "params: [{lr: 0.1}, {lr: 1e-4}]\ncommand: echo rate {lr}\n")
    done = spawn_tui("launch", file, "--no-ui", cwd=tmp_path)
    assert done.status == 0
    assert done.out == ""  # stdout is data, and there is none
    assert "2 completed" in done.err
    root = sweep_root(tmp_path)
    assert (root / "tasks/task_001/stdout.log").read_text() == "rate 0.1\n"
    assert (root / "tasks/task_002/stdout.log").read_text() == "rate 1e-4\n"


def test_the_tree_is_the_guides(tmp_path: Path):
    file = write(
        tmp_path, "params: [{lr: 0.1, on: 'no'}]\ncommand: 'test -d $SWEEP_TASK_DIR/results && exit 3'\n"
    )
    spawn_tui("launch", file, "--no-ui", cwd=tmp_path)
    root = sweep_root(tmp_path)
    task = root / "tasks/task_001"
    assert yaml.safe_load((task / "params.yaml").read_text()) == {"lr": 0.1, "on": "no"}
    status = yaml.safe_load((task / "status.yaml").read_text())
    assert status["status"] == "FAILED" and status["exit_code"] == 3 and status["start_time"]
    mapping = yaml.safe_load((root / "task_mapping.yaml").read_text())
    assert mapping["task_assignments"]["task_001"]["compute_source"] == "local"
    assert yaml.safe_load((root / "sweep_metadata.yaml").read_text())["status"] == "failed"
    assert yaml.safe_load((root / "logs/errors/failed_tasks.yaml").read_text())["task_001"]["exit_code"] == 3
    assert (root / "sweep_config.yaml").read_text() == (tmp_path / file).read_text()
    assert "task_001 failed" in (root / "logs/sweep.log").read_text()
    assert "git_commit" in (root / "provenance/environment.yaml").read_text()


def test_files_are_private(tmp_path: Path):
    file = write(tmp_path, "params: [{a: 1}]\ncommand: 'true'\n")
    spawn_tui("launch", file, "--no-ui", cwd=tmp_path)
    root = sweep_root(tmp_path)
    assert root.stat().st_mode & 0o077 == 0
    for path in (root / "sweep.json", root / "journal/000001.jsonl", root / "sweep_config.yaml"):
        assert path.stat().st_mode & 0o177 == 0, path


def test_json_is_the_journal_and_a_summary(tmp_path: Path):
    file = write(tmp_path, "params: [{a: 1}, {a: 2}]\ncommand: test {a} = 1\n")
    done = spawn_tui("launch", file, "--json", cwd=tmp_path)
    assert done.status == 1
    *events, summary = done.objects
    assert [e["seq"] for e in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[0] == "engine_started" and kinds[-1] == "sweep_ended"
    assert kinds.index("launching") < kinds.index("ended")
    assert summary["type"] == "summary" and summary["status"] == "failed"
    assert summary["counts"] == {
        "pending": 0, "launching": 0, "running": 0, "completed": 1, "failed": 1, "cancelled": 0,
    }  # fmt: skip


def test_retries_and_the_previous_directory(tmp_path: Path):
    first = 'if [ "$SWEEP_ATTEMPT" = 1 ]; then echo half > "$SWEEP_TASK_DIR/ckpt"; exit 1; fi'
    script = first + '; cat "$SWEEP_PREVIOUS_DIR/ckpt"'
    file = write(tmp_path, f"params: [{{a: 1}}]\ncommand: '{script}'\nretries: {{max: 1, backoff: 10ms}}\n")
    done = spawn_tui("launch", file, "--no-ui", cwd=tmp_path)
    assert done.status == 0, done.err
    root = sweep_root(tmp_path)
    assert (root / "tasks/task_001/stdout.log").read_text() == "half\n"
    assert (root / "attempts/task_001.1/ckpt").exists() and (root / "attempts/task_001.2").is_dir()


def test_a_timeout_ends_the_task(tmp_path: Path):
    file = write(tmp_path, "params: [{a: 1}]\ncommand: sleep 60\n")
    done = spawn_tui("launch", file, "--no-ui", "--timeout", "1s", cwd=tmp_path)
    assert done.status == 1
    assert "timeout" in done.err
    errors = spawn_tui("errors", "latest", "--json", cwd=tmp_path)
    assert errors.objects[0]["kind"] == "timeout"


def test_max_concurrent_holds(tmp_path: Path):
    script = "mkdir one || exit 9; sleep 0.05; rmdir one"
    file = write(tmp_path, f"grid: {{a: [1, 2, 3, 4, 5, 6]}}\ncommand: '{script}'\n")
    done = spawn_tui("launch", file, "--no-ui", "--sources", "local:4", "-p", "1", cwd=tmp_path)
    assert done.status == 0, done.err


@pytest.mark.parametrize("flag", ["--dry-run", "--count-only", "--estimate-only"])
def test_looking_launches_nothing(flag: str, tmp_path: Path):
    file = write(tmp_path, "grid: {a: [1, 2, 3]}\ncommand: touch ran\n")
    done = spawn_tui("launch", file, flag, cwd=tmp_path)
    assert done.status == 0
    assert not (tmp_path / "sweeps").exists() and not (tmp_path / "ran").exists()
    if flag == "--count-only":
        assert done.out == "3\n"
    if flag == "--dry-run":
        assert done.out.splitlines() == ["task\ta", "task_001\t1", "task_002\t2", "task_003\t3", "touch ran"]


def test_count_only_needs_no_command(tmp_path: Path):
    file = write(tmp_path, "grid: {a: [1, 2], b: [1, 2]}\n")
    assert spawn_tui("launch", file, "--count-only", cwd=tmp_path).out == "4\n"


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        ([], "parms: [{a: 1}]\n", ["sweep.yaml:1", "parms"]),
        ([], "params: [{a: 1}]\n", ["command"]),
        ([], "params: [{a: 1, instance_type: t3.micro}]\n", ["EC2"]),
        (
            ["--sources", "ec2:us-east-1"],
            "params: [{a: 1}]\ncommand: 'true'\n",
            ["instance_type", "missing"],
        ),
        (["--sources", "locall"], "params: [{a: 1}]\ncommand: 'true'\n", ["did you mean", "local"]),
        (["--sources", "local:0"], "params: [{a: 1}]\ncommand: 'true'\n", ["local:0"]),
        (["--timeout", "2 hours"], "params: [{a: 1}]\ncommand: 'true'\n", ["2 hours"]),
        (["-p", "0"], "params: [{a: 1}]\ncommand: 'true'\n", ["0"]),
    ],
)
def test_bad_input_is_told_in_words(arguments: list[str], text: str, said: list[str], tmp_path: Path):
    file = write(tmp_path, text)
    done = spawn_tui("launch", file, "--no-ui", *arguments, cwd=tmp_path)
    assert done.status == 2
    assert done.out == ""
    assert "Traceback" not in done.err
    for word in said:
        assert word in done.err
    assert not (tmp_path / "sweeps").exists()


def test_without_a_terminal_the_ui_is_not_started(tmp_path: Path):
    file = write(tmp_path, "params: [{a: 1}]\ncommand: 'true'\n")
    done = spawn_tui("launch", file, cwd=tmp_path)
    assert done.status == 0
    assert "no terminal" in done.err and "--no-ui" in done.err


def test_nothing_could_be_launched(tmp_path: Path):
    file = write(tmp_path, "params: [{a: 1}]\ncommand: 'true'\nworkdir: no/such/folder\n")
    done = spawn_tui("launch", file, "--no-ui", cwd=tmp_path)
    assert done.status == 3
    assert "no/such/folder" in done.err


def test_two_launches_at_once_do_not_meet(tmp_path: Path):
    file = write(tmp_path, "params: [{a: 1}]\ncommand: 'true'\n")
    done = [spawn_tui("launch", file, "--detach", cwd=tmp_path) for _ in range(2)]
    ids = {d.out.strip() for d in done}
    assert len(ids) == 2
    for sweep in ids:
        followed = spawn_tui("resume", sweep, "--no-ui", cwd=tmp_path)
        assert followed.status == 0, followed.err


def test_the_demo_is_real_and_headless_without_a_terminal(tmp_path: Path, spawn_home: Path):
    count = spawn_tui("launch", "demo.yaml", "--count-only", cwd=Path(__file__).parents[3] / "tui/demo")
    assert count.out == "24\n"
