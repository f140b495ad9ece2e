"""`sources`, and what the configuration and `--sources` do to `launch` and `resume`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click
import pytest
from spawn_tui.engine.config.cluster import prepare_sources
from spawn_tui.engine.control import VERBS
from spawn_tui.engine.sources.registry import SourceError
from spawn_tui.engine.viewer import Viewer
from spawn_tui.state.disk import LocalDisk
from spawn_tui.state.requests import pending
from spawn_tui.tui.cli.completion import complete_sources
from spawn_tui.tui.cli.configured import chosen_sources, configuration

from ...parts.need import need
from ...parts.sshd import Sshd, no_sshd
from .run import spawn_tui, sweep_root

CONFIG = """\
sources:
  local: {type: local, max_tasks: 2}
  server1: {type: ssh, host: 10.0.0.5, user: me, port: 2222, max_tasks: 8, modules: [cuda, gcc]}
  cluster: {type: slurm, partition: gpu}
"""
QUICK = "grid: {a: [1, 2, 3, 4, 5, 6]}\ncommand: 'test {a} != 2'\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "spawn.yaml").write_text(CONFIG)
    (tmp_path / "sweep.yaml").write_text(QUICK)
    return tmp_path


def test_the_list(project: Path):
    done = spawn_tui("sources", cwd=project)
    assert done.status == 0
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert rows == [
        ["name", "type", "where", "slots", "options", "from"],
        ["local", "local", "this machine", "2", "", "spawn.yaml:2"],
        ["server1", "ssh", "me@10.0.0.5:2222", "8", "modules=cuda; gcc", "spawn.yaml:3"],
        ["cluster", "slurm", "this machine", "16", "partition=gpu", "spawn.yaml:4"],
    ]
    objects = spawn_tui("sources", "--json", cwd=project).objects
    assert [o["name"] for o in objects] == ["local", "server1", "cluster"]
    assert objects[1]["options"]["modules"] == ["cuda", "gcc"] and objects[1]["slots"] == 8
    assert spawn_tui("config", "validate", cwd=project).status == 0


def test_nothing_to_list(tmp_path: Path):
    done = spawn_tui("sources", cwd=tmp_path)
    assert done.status == 0 and done.out == "" and "spawn-tui init" in done.err


def test_a_bad_configuration_is_told_by_every_verb_that_reads_it(project: Path):
    (project / "spawn.yaml").write_text("sources:\n  a: {type: shh}\n  b: {}\n")
    for arguments in (["sources"], ["launch", "sweep.yaml", "--no-ui"], ["config", "validate"]):
        done = spawn_tui(*arguments, cwd=project)
        assert done.status == 2 and "Traceback" not in done.err
        assert "spawn.yaml:2" in done.err and "spawn.yaml:3" in done.err and 'did you mean "ssh"?' in done.err
    assert not (project / "sweeps").exists()


def test_the_defaults_of_a_launch(project: Path):
    (project / "spawn.yaml").write_text(
        "defaults: {sources: 'local:3', strategy: random, retries: 1, timeout: 50s, max_concurrent: 2,\n"
        "           output_dir: out}\n"
        "health: {grace: 7s, strikes: 4}\n"
    )
    done = spawn_tui("launch", "sweep.yaml", "--no-ui", cwd=project)
    assert done.status == 1
    (root,) = (project / "out").iterdir()
    sweep = Viewer(root).sweep
    assert sweep.sources["local"].slots == 3 and sweep.strategy == "random" and sweep.max_concurrent == 2
    assert sweep.rules.strikes == 4 and sweep.rules.grace == sweep.grace == 7.0
    assert len(sweep.tasks[1].attempts) == 2
    assert Viewer(root).plan.timeout == 50.0
    # The command line wins.
    arguments = ["--sources", "local:1", "--retries", "0", "--output-dir", "o2", "--strategy", "fastest"]
    assert spawn_tui("launch", "sweep.yaml", "--no-ui", *arguments, cwd=project).status == 1
    (root,) = (project / "o2").iterdir()
    sweep = Viewer(root).sweep
    assert (
        sweep.sources["local"].slots == 1
        and sweep.strategy == "fastest"
        and len(sweep.tasks[1].attempts) == 1
    )


def test_tasks_run_in_the_folder_of_the_configuration(project: Path):
    (project / ".git").mkdir()
    inner = project / "inner"
    inner.mkdir()
    (inner / "where.yaml").write_text("params: [{a: 1}]\ncommand: pwd\n")
    done = spawn_tui("launch", "where.yaml", "--no-ui", cwd=inner)
    assert done.status == 0, done.err
    root = sweep_root(project)
    assert (root / "tasks/task_001/stdout.log").read_text() == f"{project}\n"


def test_dry_run_shows_each_sources_share(project: Path):
    done = spawn_tui(
        "launch", "sweep.yaml", "--dry-run", "--sources", "local,server1:1,ssh:host:22", cwd=project
    )
    assert done.status == 0, done.err
    assert "local (2 at a time), server1 (1 at a time), host (22 at a time)" in done.err
    assert "ssh:host:22 is read as 22 slots" in done.err
    assert "local 2, host 3, server1 1" in done.err or "host 3, local 2, server1 1" in done.err
    assert not (project / "sweeps").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sources", "sever1"], ['did you mean "server1"', "cluster"]),
        (["--sources", "ec2:us-east-1"], ["instance_type", "t3.micro"]),
        (["--sources", "hpc"], ["neither Slurm (sbatch) nor PBS (qsub)"]),
        (["--strategy", "quick"], ["fastest"]),
    ],
)
def test_bad_sources_are_told_in_words(
    project: Path, arguments: list[str], said: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "/nowhere")
    done = spawn_tui("launch", "sweep.yaml", "--no-ui", *arguments, cwd=project)
    assert done.status in (2, 3) and "Traceback" not in done.err
    for word in said:
        assert word in done.err
    assert not (project / "sweeps").exists()


def test_flags_reach_the_sources_elsewhere_only(project: Path, monkeypatch: pytest.MonkeyPatch):
    (project / "spawn.yaml").write_text(CONFIG + "sync: {exclude: [data]}\n")
    config = configuration(project)
    specs = chosen_sources(["local,server1,cluster"], config, verify=False, accept_new_host_key=True)
    assert specs[0].options == {}
    for spec in specs[1:]:
        assert spec.options["verify"] == "no" and spec.options["accept_new_host_key"] == "yes"
        assert spec.options["sync_exclude"] == "data"
    (plain,) = chosen_sources(["server1"], config, outputs=project / "sweeps" / "outputs")
    assert not {"verify", "accept_new_host_key", "sync_outputs"} & set(plain.options)
    (elsewhere,) = chosen_sources(["server1"], config, outputs=project / "runs")
    assert elsewhere.options["sync_outputs"] == str(project / "runs")


def launched(project: Path) -> Viewer:
    done = spawn_tui("launch", "sweep.yaml", "--no-ui", "--sources", "local:2", cwd=project)
    assert done.status == 1, done.err
    return Viewer(sweep_root(project))


def test_resume_dry_run_says_what_would_run_where(project: Path):
    viewer = launched(project)
    arguments = ["resume", "latest", "--retry-failed", "--dry-run", "--sources", "server1:3"]
    done = spawn_tui(*arguments, cwd=project)
    assert done.status == 0, done.err
    assert done.out.splitlines()[:2] == ["task\tnow\tattempt\tsource\ta", "task_002\tfailed\t2\tserver1\t2"]
    assert "!= 2" in done.out.splitlines()[2]
    assert "server1 1" in done.err
    seq = viewer.sweep.seq
    viewer.refresh()
    assert viewer.sweep.seq == seq and not pending(LocalDisk(), viewer.layout.requests)


def test_resume_with_other_slots_and_back(project: Path):
    viewer = launched(project)
    done = spawn_tui("resume", "latest", "--retry-failed", "--no-ui", "--sources", "local:5", cwd=project)
    assert done.status == 1, done.err
    viewer.refresh()
    assert viewer.sweep.sources["local"].slots == 5
    assert len(viewer.sweep.tasks[1].attempts) == 2


def test_resume_elsewhere_adds_and_lets_go(project: Path):
    """A second local source is as much another source as a host would be."""
    (project / "spawn.yaml").write_text("sources: {desk: {type: local, max_tasks: 1, cost_per_hour: 0.1}}\n")
    viewer = launched(project)
    done = spawn_tui("resume", "latest", "--retry-failed", "--no-ui", "--sources", "desk", cwd=project)
    assert done.status == 1, done.err
    assert "local gets no more tasks" in done.err
    viewer.refresh()
    sweep = viewer.sweep
    assert sweep.sources["local"].removed and not sweep.sources["desk"].removed
    assert dict(sweep.sources["desk"].options) == {"cost_per_hour": "0.1"}
    assert sweep.tasks[1].attempts[-1].source == "desk"
    # And back again.
    done = spawn_tui("resume", "latest", "--retry-failed", "--no-ui", "--sources", "local:1", cwd=project)
    viewer.refresh()
    assert not sweep.sources["local"].removed and sweep.sources["desk"].removed
    assert sweep.tasks[1].attempts[-1].source == "local"


def test_resume_with_another_place_of_the_same_name_is_refused(project: Path):
    viewer = launched(project)
    from spawn_tui.engine.control import post_source
    from spawn_tui.engine.sources.registry import SourceSpec

    post_source(viewer.root, SourceSpec("desk", "local", 1))
    assert spawn_tui("resume", "latest", "--retry-failed", "--no-ui", cwd=project).status == 1
    done = spawn_tui("resume", "latest", "--retry-failed", "--dry-run", "--sources", "ssh:desk", cwd=project)
    assert done.status == 2 and "another source called desk" in done.err


def test_the_verbs_that_resume_posts_are_known():
    assert {"add_source", "remove_source", "enable_source", "slots", "limit", "retry", "resume"} <= set(VERBS)


def test_completion(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project)
    command = click.Command("x")
    context, option = click.Context(command), click.Option(["--sources"])

    def complete(text: str) -> list[str]:
        return [item.value for item in complete_sources(context, option, text)]

    assert complete("s") == ["ssh:", "slurm", "server1"]
    assert complete("local:2,c") == ["local:2,cluster"]
    assert set(complete("")) == {"local", "ssh:", "slurm", "pbs", "hpc", "ec2", "server1", "cluster"}
    (project / "spawn.yaml").write_text("sources: [")
    assert complete("sl") == ["slurm"]


def test_help_names_every_kind(tmp_path: Path):
    for arguments in (["launch", "--help"], ["sources", "--help"]):
        text = spawn_tui(*arguments, cwd=tmp_path).out
        for form in (
            "local[:N]",
            "ssh:[user@]host[:port][:N]",
            "slurm[:NAME][:N]",
            "pbs[:NAME][:N]",
            "hpc[:NAME][:N]",
        ):
            assert form in text


@pytest.mark.parts
def test_a_real_host_by_its_name_and_a_cluster_behind_it(project: Path, monkeypatch: pytest.MonkeyPatch):
    """Host, port, user and key of the configuration lead to a real sshd, with a key that no file knows yet."""
    need(no_sshd())
    with Sshd(known=False) as server:
        for name, value in server.home.environment().items():
            monkeypatch.setenv(name, value)
        (project / "spawn.yaml").write_text(
            f"sources:\n  far: {{type: ssh, host: {server.address}, port: {server.port}, user: {server.user},\n"
            f"        ssh_key: {server.home.key}, project_dir: /tmp, max_tasks: 3}}\n"
            f"  cluster: {{type: hpc, host: {server.alias}}}\n"
        )
        (project / "sweep.yaml").write_text("grid: {a: [1, 2, 3]}\ncommand: 'echo {a} on $SSH_CONNECTION'\n")
        flags = ["--no-ui", "--no-verify-sync"]
        refused = spawn_tui("launch", "sweep.yaml", "--sources", "far", *flags, cwd=project)
        assert refused.status == 3 and "--accept-new-host-key" in refused.err
        done = spawn_tui(
            "launch", "sweep.yaml", "--sources", "far", *flags, "--accept-new-host-key", cwd=project
        )
        assert done.status == 0, done.err
        (status,) = spawn_tui("status", "latest", "--json", cwd=project).objects
        assert [(s["name"], s["completed"]) for s in status["sources"]] == [("far", 3)]
        # Whether the machine under test has Slurm is for the machine to say: the answer must be the host's own.
        command = server.home.openssh(server.alias, "command -v sbatch || command -v qsub || echo none")
        has = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
        kind = {"sbatch": "slurm", "qsub": "pbs", "none": None}[Path(has).name]
        specs = chosen_sources(["cluster:3"], configuration(project))
        if kind is None:
            with pytest.raises(SourceError, match="is on the PATH of server1"):
                prepare_sources(specs)
        else:
            (spec,) = prepare_sources(specs)
            assert (spec.name, spec.kind, spec.slots) == ("cluster", kind, 3)
