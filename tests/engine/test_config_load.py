"""Configuration files: which are found, what they say together, and how their mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from spawn_tui.engine.config.load import ConfigError, find_project_file, load_config
from spawn_tui.engine.config.model import Config
from spawn_tui.engine.config.starter import Starter, config_text
from spawn_tui.engine.sources.registry import KINDS, parse_sources

WHOLE = """\
sources:
  local: {type: local, max_tasks: 4, cost_per_hour: 0.05}
  server1:
    type: ssh
    host: server1.example.org
    user: me
    port: 2222
    ssh_key: ~/.ssh/id_lab
    project_dir: ~/code/model
    remote_root: /scratch/me/spawn
    max_tasks: 8
    modules: [cuda/12.1, gcc]
    setup: |
      source ~/env.sh
      ulimit -n 4096
    conda_env: train
    python: /opt/py/bin/python
    cost_per_hour: 0.35
    poll_interval: 5s
  cluster:
    type: slurm
    host: login
    partition: gpu
    account: proj42
    qos: high
    walltime: 23:59:59
    cpus: 4
    mem: 64gb
    gpus: a100:1
    extra: [--exclusive, "--constraint=x86"]
  queue1: {type: pbs, partition: long, walltime: 2d}
  any: {type: hpc, host: login2}
  cloud:
    type: ec2
    region: us-west-2
    max_tasks: 50
    instance_type: c5.large|m5.large
    ami_id: ami-0123456789abcdef0
    key_pair: lab
    iam_policy: [s3:FullAccess, logs:WriteOnly]
    security_groups: sg-1
    availability_zone: [us-west-2a, us-west-2b]
    disk_size: 30
    spot: true
    spot_max_price: 0.10
    ttl: 2h
    idle_timeout: 15m
    on_complete: stop
defaults: {sources: "local:2,server1", strategy: fastest, max_concurrent: 32, retries: 2, timeout: 2h, output_dir: out}
health: {grace: 10m, strikes: 5, failure_rate: 50%, failure_tasks: 8, cooldown: 1m, probes: 1, withdraw_after: 10s}
sync: {exclude: [data/, "*.ckpt"], verify: false}
collect: {interval: 45s, max_size: 2M, keep_remote: true, include: ["*.json"], exclude: ["*.tmp"]}
x-anchors: whatever
"""


def load(folder: Path, text: str = "", user: str = "") -> Config:
    folder.mkdir(exist_ok=True)
    home = folder / "user-home"
    home.mkdir(exist_ok=True)
    if text:
        (folder / "spawn.yaml").write_text(text)
    if user:
        (home / "config.yaml").write_text(user)
    return load_config(folder, user_folder=home)


def refused(folder: Path, text: str, user: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, user)
    return str(caught.value).splitlines()


def test_everything_that_can_be_said(tmp_path: Path):
    config = load(tmp_path, WHOLE)
    assert list(config.sources) == ["local", "server1", "cluster", "queue1", "any", "cloud"]
    server = config.sources["server1"]
    assert (server.kind, server.slots, server.place) == ("ssh", 8, f"{tmp_path}/spawn.yaml:3")
    assert server.options == {
        "host": "server1.example.org",
        "user": "me",
        "port": "2222",
        "ssh_key": str(Path.home() / ".ssh/id_lab"),
        "project_dir": "~/code/model",
        "remote_root": "/scratch/me/spawn",
        "modules": "cuda/12.1\ngcc",
        "setup": "source ~/env.sh\nulimit -n 4096",
        "conda_env": "train",
        "python": "/opt/py/bin/python",
        "cost_per_hour": "0.35",
        "poll_interval": "5",
    }
    assert config.sources["cluster"].options == {
        "host": "login", "partition": "gpu", "account": "proj42", "qos": "high", "walltime": "23:59:59", "cpus": "4",
        "mem": "64G", "gpus": "a100:1", "extra": "--exclusive\n--constraint=x86",
    }  # fmt: skip
    assert config.sources["cloud"].options == {
        "region": "us-west-2", "instance_type": "c5.large|m5.large", "ami": "ami-0123456789abcdef0", "key_name": "lab",
        "iam_policy": "s3:FullAccess\nlogs:WriteOnly", "security_group": "sg-1", "az": "us-west-2a\nus-west-2b",
        "disk_size": "30", "spot": "true", "spot_max_price": "0.10", "ttl": "7200", "idle_timeout": "900",
        "on_complete": "stop",
    }  # fmt: skip
    assert config.sources["queue1"].options == {"queue": "long", "walltime": "48:00:00"}
    defaults = config.defaults
    assert (defaults.sources, defaults.strategy) == (("local:2", "server1"), "fastest")
    assert (defaults.max_concurrent, defaults.retries, defaults.timeout) == (32, 2, 7200.0)
    assert defaults.output_dir == tmp_path / "out"
    rules = config.health.rules()
    assert (rules.grace, rules.strikes, rules.failure_rate, rules.failure_tasks) == (600.0, 5, 0.5, 8)
    assert (rules.cooldown, rules.probes, rules.withdraw_after) == (60.0, 1, 10.0)
    assert config.remote_options() == {
        "verify": "no", "sync_exclude": "data/\n*.ckpt", "collect_interval": "45",
        "collect_max_size": "2097152", "collect_keep_remote": "yes",
        "collect_include": "*.json", "collect_exclude": "*.tmp",
    }  # fmt: skip
    assert config.project == tmp_path and config.files == (tmp_path / "spawn.yaml",)


def test_every_option_of_every_kind_stands_in_options_as_text(tmp_path: Path):
    """A kind's keys are read by the registry alone: no key of one kind is known to another by accident."""
    for kind, traits in KINDS.items():
        for option in traits.options:
            for name in (option.name, *option.aliases):
                with pytest.raises(ConfigError) as caught:
                    load(tmp_path, f"sources: {{x: {{type: {kind}, host: h, {name}: {{a: b}}}}}}\n")
                assert f"sources.x.{name}" in str(caught.value)
                assert f"sources.x.{name}: means nothing" not in str(caught.value)


def test_an_ec2_entry_needs_no_region(tmp_path: Path):
    """Then those count that the tasks name; what it says holds in each of them."""
    config = load(tmp_path, "sources: {ec2: {type: ec2, key_name: lab}, mine: {type: ec2, az: us-west-2a}}\n")
    assert config.sources["ec2"].options == {"key_name": "lab"}
    bare, placed, mine = parse_sources(["ec2", "ec2:us-east-1:50", "mine"], config.sources)
    assert (bare.name, dict(bare.options)) == ("ec2", {"key_name": "lab"})
    assert (placed.name, placed.slots) == ("ec2-us-east-1", 50)
    assert dict(placed.options) == {"key_name": "lab", "region": "us-east-1"}
    assert (mine.name, mine.kind, dict(mine.options)) == ("mine", "ec2", {"az": "us-west-2a"})


def test_what_init_writes_about_ec2_can_be_taken_as_it_stands(tmp_path: Path):
    text = config_text(Starter(2))
    assert list(load(tmp_path, text).sources) == ["local"], "until somebody takes the marks off"
    lines = text.splitlines()
    begin = lines.index("#   ec2:")
    end = lines.index("", begin)
    bare = [line.removeprefix("# ") for line in lines[begin:end]]
    options = load(tmp_path, "\n".join([*lines[:begin], *bare, *lines[end:]])).sources["ec2"].options
    assert options == {"instance_type": "t3.micro", "ttl": "7200", "spot": "false", "region": "us-east-1"}


def test_nothing_is_needed(tmp_path: Path):
    config = load(tmp_path)
    assert config == Config(tmp_path)
    assert config.remote_options() == {}
    assert load(tmp_path, "# nothing but a comment\n").sources == {}
    assert load(tmp_path, "sources:\n").sources == {}


def test_the_project_wins_over_the_user_source_by_source_and_key_by_key(tmp_path: Path):
    config = load(
        tmp_path,
        "sources: {a: {type: ssh, host: new}}\ndefaults: {retries: 0}\nhealth: {strikes: 9}\n",
        "sources: {a: {type: ssh, host: old, user: me}, b: {type: ssh}}\n"
        "defaults: {retries: 3, strategy: random}\nhealth: {grace: 1m, strikes: 1}\n",
    )
    assert dict(config.sources["a"].options) == {"host": "new"}
    assert "b" in config.sources
    assert (config.defaults.retries, config.defaults.strategy) == (0, "random")
    assert (config.health.rules().strikes, config.health.rules().grace) == (9, 60.0)


def test_defaults_may_name_what_the_other_file_defines(tmp_path: Path):
    config = load(tmp_path, "defaults: {sources: [b:2]}\n", "sources: {b: {type: ssh}}\n")
    assert parse_sources(config.defaults.sources, config.sources)[0].slots == 2
    (line,) = refused(
        tmp_path, "defaults:\n  strategy: random\n  sources: [c]\n", "sources: {b: {type: ssh}}\n"
    )
    assert line.startswith(f"{tmp_path}/spawn.yaml:3: defaults.sources: ") and '"c" is not a source' in line


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("source: {}\n", 1, ['source: is unknown here; did you mean "sources"?']),
        ("sources: [a]\n", 1, ["must be a mapping of names to sources"]),
        ("sources:\n  a: {host: x}\n", 2, ["sources.a", "has no `type`"]),
        ("sources:\n  a: {type: shh}\n", 2, ["sources.a.type", '"shh"', 'did you mean "ssh"?']),
        ("sources:\n  a: {type: ec3}\n", 2, ["sources.a.type", 'did you mean "ec2"?']),
        (
            "sources:\n  a: {type: ec2, regoin: us-east-1}\n",
            2,
            ["sources.a.regoin", 'did you mean "region"?'],
        ),
        ("sources:\n  a: {type: ec2, ami_ids: x}\n", 2, ['did you mean "ami_id"?']),
        ("sources:\n  a: {type: ec2, host: h}\n", 2, ["means nothing to a source of type ec2"]),
        ("sources:\n  a: {type: ssh, region: us-east-1}\n", 2, ["means nothing to a source of type ssh"]),
        ("sources:\n  a: {type: ec2, region: }\n", 2, ["sources.a.region: has no value"]),
        ("sources:\n  a: {type: ec2, region: virginia}\n", 2, ['"virginia" is not a region', "us-east-1"]),
        ("sources:\n  a: {type: ec2, region: us-east-1a}\n", 2, ["write us-east-1, and the zone as `az`"]),
        (
            "sources:\n  a: {type: ec2, region: us-east-1, az: us-west-2a}\n",
            2,
            ["sources.a.az", "is not in us-east-1"],
        ),
        ("sources:\n  a: {type: ec2, ttl: soon}\n", 2, ["sources.a.ttl", "is not a duration"]),
        ("sources:\n  a: {type: ec2, spot: maybe}\n", 2, ["must be true or false"]),
        ("sources:\n  a: {type: ec2, on_complete: terminat}\n", 2, ['did you mean "terminate"?']),
        ("sources:\n  ec2: {type: ssh}\n", 2, ["is the name of a kind"]),
        ("sources:\n  a:\n    type: ssh\n    prot: 22\n", 4, ["sources.a.prot", 'did you mean "port"?']),
        ("sources:\n  a:\n    type: ssh\n    partition: x\n", 4, ["means nothing to a source of type ssh"]),
        (
            "sources:\n  a:\n    type: local\n    conda_env: x\n",
            4,
            ["means nothing to a source of type local"],
        ),
        ("sources:\n  a: {type: ssh, port: 0}\n", 2, ["sources.a.port: 0", "from 1 to 65535"]),
        ("sources:\n  a: {type: ssh, max_tasks: 0}\n", 2, ["sources.a.max_tasks"]),
        ("sources:\n  a: {type: ssh, host: me@h}\n", 2, ["is not a host name"]),
        ("sources:\n  a: {type: ssh, host: -oProxyCommand=x}\n", 2, ["does not begin with -"]),
        ("sources:\n  a: {type: ssh, user: }\n", 2, ["sources.a.user: has no value"]),
        ("sources:\n  a: {type: slurm, walltime: 60}\n", 2, ["60 has no unit", "04:00:00"]),
        ("sources:\n  a: {type: slurm, mem: 64}\n", 2, ["64 is not an amount"]),
        ("sources:\n  a: {type: slurm, partition: x, queue: y}\n", 2, ["another name of `partition`"]),
        ("sources:\n  a: {type: slurm, user: me}\n", 2, ["there is no `host`"]),
        ("sources:\n  a b: {type: ssh}\n", 2, ["is not a name that --sources can say"]),
        ("sources:\n  '8': {type: ssh}\n", 2, ["is not a name that --sources can say"]),
        ("sources:\n  ssh: {type: ssh}\n", 2, ["is the name of a kind"]),
        ("sources:\n  local: {type: ssh}\n", 2, ["is the name of a kind"]),
        ("sources:\n  hpc: {type: ssh}\n", 2, ["stands for a cluster"]),
        ("sources:\n  a:\n", 2, ["sources.a: null must be a mapping"]),
        ("sources:\n  a: {type: ssh}\n  a: {type: ssh}\n", 3, ["is given twice, first on line 2"]),
        ("defaults: {strategy: fast}\n", 1, ['defaults.strategy: "fast"', 'did you mean "fastest"?']),
        ("defaults: {timeout: soon}\n", 1, ["is not a duration"]),
        ("defaults: {retry: 1}\n", 1, ['did you mean "retries"?']),
        ("health: {probes: 0}\n", 1, ["at least 1"]),
        ("health: 3\n", 1, ["must be a mapping"]),
        ("sync: {verify: 'no'}\n", 1, ["must be true or false"]),
        ("collect: {interval: 0}\n", 1, ["leaves no time"]),
        ("- a\n", None, ["the top level must be a mapping"]),
        ("grid: {a: [1]}\ncommand: x\n", 1, ["belongs to a sweep's file"]),
        ("sources: {a: {type: ssh\n", 1, ["cut off"]),
        ("sources: !!python/object:os.system {}\n", 1, ["tag", "not allowed"]),
    ],
)
def test_mistakes_are_told_with_their_place_and_a_remedy(
    tmp_path: Path, text: str, line: int | None, said: list[str]
):
    lines = refused(tmp_path, text)
    place = f"{tmp_path}/spawn.yaml:{line}: " if line else f"{tmp_path}/spawn.yaml: "
    assert any(found.startswith(place) and all(word in found for word in said) for found in lines), lines


def test_all_mistakes_of_all_files_in_one_go(tmp_path: Path):
    lines = refused(
        tmp_path,
        "sources:\n  a: {type: shh}\n  b: {type: ssh, port: x, cpus: 3}\nhealth: {strikes: 0}\n",
        "defaults: {retries: -1}\n",
    )
    assert len(lines) == 5
    assert any("config.yaml:1" in line for line in lines)


def test_where_the_project_file_is_looked_for(tmp_path: Path):
    inner = tmp_path / "repo" / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "spawn.yaml").write_text("sources: {}\n")
    assert find_project_file(inner) is None  # no repository: who knows whose the files above are
    (tmp_path / "repo" / ".git").mkdir()
    assert find_project_file(inner) is None  # beyond the repository's root
    (tmp_path / "repo" / "spawn.yaml").write_text("sources: {x: {type: ssh}}\n")
    config = load_config(inner, user_folder=tmp_path)
    assert config.project == tmp_path / "repo" and list(config.sources) == ["x"]
    (inner / "spawn.yaml").write_text("sources: {}\n")
    assert load_config(inner, user_folder=tmp_path).project == inner


def test_the_users_own_file_is_under_spawn_home(tmp_path: Path, spawn_home: Path):
    (spawn_home / "config.yaml").write_text("sources: {mine: {type: ssh}}\n")
    config = load_config(tmp_path)
    assert list(config.sources) == ["mine"] and config.project == tmp_path


def test_a_file_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "spawn.yaml").write_bytes(b"sources: {a: \xff}\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path, user_folder=tmp_path)
