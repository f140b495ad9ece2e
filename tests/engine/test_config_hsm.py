"""HSM's configurations, as its code writes them and as its guides show them, in our terms."""

from __future__ import annotations

from pathlib import Path

import pytest
from spawn_tui.engine.config.load import ConfigError, load_config
from spawn_tui.engine.config.model import Config
from spawn_tui.engine.sources.registry import parse_sources

INIT_WRITES = """\
project: {name: my_project}
hpc: {default_walltime: "23:59:59", default_resources: "select=1:ncpus=4:mem=64gb", default_queue: null,
      max_array_size: null, system: null, module_commands: []}
paths: {python_interpreter: null, training_script: train.py, project_root: /p, conda_env: myenv}
logging: {level: INFO, file_logging: true, console_logging: true, max_log_size: 100MB, backup_count: 5}
experiment_tracking: {wandb_enabled: false, wandb_project: null}
compute: {max_concurrent_local: 4, max_concurrent_remote: 10, default_timeout: null, retry_attempts: 3,
          retry_delay: 60, health_check_interval: 300, result_collection_interval: 60}
"""
GUIDES_SHOW = """\
compute_sources:
  local: {type: local, max_parallel_tasks: 4}
  server1:
    type: ssh
    host: server1.example.com
    ssh_key: /keys/id
    project_dir: /home/user/project
    conda_env: myenv
    max_parallel_tasks: 8
  cluster:
    type: hpc
    system: slurm
    queue: gpu
    default_resources: "--cpus-per-task=4 --mem=16G --gpus=1 --exclusive"
    default_walltime: 12:00:00
    module_commands: [module load cuda/12.1 gcc, source /etc/site.sh]
  queue1: {type: hpc, system: pbs, default_resources: "select=1:ncpus=8:mem=32gb:ngpus=2"}
compute:
  source_failure_threshold: 0.3
  health_check_failure_threshold: 5
  exponential_backoff: true
  ssh_compression: true
result_collection: {batch_size: 10, cleanup_remote_on_success: false}
ssh: {compression: true}
"""
MAIN_BRANCH = """\
project: {name: p, root: /p}
paths: {conda_env: train, train_script: train.py, output_dir: sweeps/outputs}
wandb: {project: x}
local: {walltime: "01:00:00", mem: 8G, pre_script: [echo]}
slurm:
  walltime: "04:00:00"
  cpus_per_task: 8
  mem: 32G
  gpus: 2
  gpu_type: a100
  partition: gpu
  qos: normal
  account: acc
  modules: [cuda]
  pre_script: [ulimit -c 0]
  extra_directives: {mail-type: FAIL}
  qos_whitelist: [normal]
distributed:
  enabled: true
  strategy: capability_based
  local_max_jobs: 2
  collect_interval: 30
  health_check_interval: 60
  remote_root: ~/.hsm/runs
  rsync_excludes: [data, "*.pt"]
  keep_remote_on_success: true
  remotes:
    blaze: {backend: ssh, ssh_port: 2222, max_parallel_jobs: 3, gpus: all, workdir: /w, python_path: /usr/bin/python3}
    off: {backend: ssh, enabled: false, host: nowhere}
    hpc1: {backend: slurm, host: login.hpc, spec: {partition: long, walltime: "10:00:00", cpus_per_task: 2}}
"""


def load(folder: Path, text: str, name: str = "hsm_config.yaml") -> Config:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return load_config(folder, user_folder=folder / "none")


@pytest.mark.parametrize("name", ["sweeps/hsm_config.yaml", "hsm_config.yaml", ".hsm/config.yaml"])
def test_what_its_init_writes(tmp_path: Path, name: str):
    config = load(tmp_path, INIT_WRITES, name)
    assert config.project == tmp_path and config.files == (tmp_path / name,)
    assert config.sources["local"].slots == 4
    hpc = config.sources["hpc"]
    assert hpc.kind == "hpc"
    assert hpc.options == {"walltime": "23:59:59", "cpus": "4", "mem": "64G", "conda_env": "myenv"}
    assert config.defaults.retries == 3 and config.defaults.timeout is None
    assert config.collect.interval == 60.0
    # The guide's own line works with it.
    specs = parse_sources(["local,ssh:remote1,hpc:cluster:16"], config.sources)
    assert [(s.name, s.kind, s.slots) for s in specs] == [
        ("local", "local", 4), ("remote1", "ssh", 4), ("cluster", "hpc", 16),
    ]  # fmt: skip
    assert specs[2].options["mem"] == "64G"
    (warning,) = config.warnings
    for word in ("project", "logging", "experiment_tracking", "paths.training_script", "compute.retry_delay",
                 "compute.max_concurrent_remote"):  # fmt: skip
        assert word in warning
    assert "default_walltime" not in warning and "system" not in warning and "max_array_size" not in warning


def test_what_its_guides_show(tmp_path: Path):
    config = load(tmp_path, GUIDES_SHOW)
    assert config.sources["local"].slots == 4
    server = config.sources["server1"]
    assert (server.kind, server.slots, server.place.rpartition(":")[2]) == ("ssh", 8, "3")
    assert server.options == {
        "host": "server1.example.com", "ssh_key": "/keys/id", "project_dir": "/home/user/project", "conda_env": "myenv",
    }  # fmt: skip
    cluster = config.sources["cluster"]
    assert cluster.kind == "slurm"
    assert cluster.options == {
        "partition": "gpu", "cpus": "4", "mem": "16G", "gpus": "1", "extra": "--exclusive", "walltime": "12:00:00",
        "modules": "cuda/12.1\ngcc", "setup": "source /etc/site.sh",
    }  # fmt: skip
    queue = config.sources["queue1"]
    assert (queue.kind, dict(queue.options)) == ("pbs", {"cpus": "8", "mem": "32G", "gpus": "2"})
    rules = config.health.rules()
    assert (rules.failure_rate, rules.strikes) == (0.3, 5)
    (warning,) = config.warnings
    for word in ("compute.exponential_backoff", "compute.ssh_compression", "result_collection", "ssh"):
        assert word in warning


def test_the_main_branchs_own(tmp_path: Path):
    config = load(tmp_path, MAIN_BRANCH)
    assert set(config.sources) == {"blaze", "hpc1", "slurm", "local"}
    blaze = config.sources["blaze"]
    assert (blaze.kind, blaze.slots) == ("ssh", 3)
    assert blaze.options == {
        "host": "blaze", "port": "2222", "project_dir": "/w", "python": "/usr/bin/python3", "conda_env": "train",
        "remote_root": "~/.hsm/runs",
    }  # fmt: skip
    hpc1 = config.sources["hpc1"].options
    assert (hpc1["host"], hpc1["partition"], hpc1["walltime"], hpc1["cpus"]) == (
        "login.hpc",
        "long",
        "10:00:00",
        "2",
    )
    slurm = config.sources["slurm"].options
    assert (slurm["gpus"], slurm["extra"], slurm["setup"]) == ("a100:2", "--mail-type=FAIL", "ulimit -c 0")
    assert config.sources["local"].slots == 2
    assert config.defaults.strategy == "least_loaded"
    assert config.defaults.output_dir == tmp_path / "sweeps/outputs"
    assert config.sync.exclude == ("data", "*.pt") and config.collect.keep_remote is True
    (warning,) = config.warnings
    for word in ("wandb", "local", "slurm.qos_whitelist", "distributed.remotes.blaze.gpus", "distributed.remotes.off",
                 "distributed.health_check_interval"):  # fmt: skip
        assert word in warning
    assert "slurm.gpu_type" not in warning and "remotes.hpc1" not in warning


def test_a_spawn_yaml_takes_its_place(tmp_path: Path):
    (tmp_path / "spawn.yaml").write_text("sources: {a: {type: ssh}}\n")
    config = load(tmp_path, GUIDES_SHOW)
    assert list(config.sources) == ["a"] and not config.warnings


def test_its_mistakes_are_told_where_they_were_written(tmp_path: Path):
    text = "compute_sources:\n  server1:\n    type: ssh\n    max_parallel_tasks: many\n  odd: {type: sge}\n  none: 3\n"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "hsm_config.yaml:4: compute_sources.server1.max_parallel_tasks" in lines[0]
    assert "hsm_config.yaml:5: compute_sources.odd" in lines[1] and '"sge" is no type of source' in lines[1]
    assert "hsm_config.yaml:6: compute_sources.none" in lines[2]


def test_the_machines_own_is_read_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".hsm").mkdir(parents=True)
    (tmp_path / "home" / ".hsm" / "config.yaml").write_text("slurm: {partition: a, account: b}\n")
    config = load(tmp_path, "slurm: {partition: c}\n")
    assert dict(config.sources["slurm"].options) == {"partition": "c"}
    (tmp_path / "hsm_config.yaml").unlink()
    assert dict(load_config(tmp_path, user_folder=tmp_path).sources["slurm"].options) == {
        "partition": "a", "account": "b",
    }  # fmt: skip


def test_a_conda_environment_wins_over_an_interpreter(tmp_path: Path):
    """As on HSM's main branch, where `python_interpreter` is what is left when there is no `conda_env`."""
    remotes = "distributed: {remotes: {a: {backend: ssh}}}\n"
    config = load(tmp_path, "paths: {conda_env: env, python_interpreter: /py}\n" + remotes)
    assert config.sources["a"].options == {"host": "a", "conda_env": "env"}
    config = load(tmp_path, "paths: {python_interpreter: /py}\n" + remotes)
    assert config.sources["a"].options == {"host": "a", "python": "/py"}
