"""What `launch` and `resume` do for sources on EC2 before anything is launched: places, checks, what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from spawn_tui.engine import events as ev
from spawn_tui.engine.aws.prices import Prices
from spawn_tui.engine.placement import needs_of
from spawn_tui.engine.plan.model import Plan, PlannedTask, Value
from spawn_tui.engine.sources.registry import SourceSpec, parse_sources
from spawn_tui.engine.store import SweepStore
from spawn_tui.state.disk import LocalDisk
from spawn_tui.tui.cli import cloud as cloud_verbs
from spawn_tui.tui.cli.cloud import (
    check_added,
    check_clouds,
    counted,
    estimated,
    remarks,
    why_not,
    with_cloud,
)
from spawn_tui.tui.cli.main import main
from spawn_tui.tui.cli.output import UserError

from ...aws.launch_field import FieldCloud, account
from ..build import Clock, Made
from .run import spawn_tui

EAST, WEST = "us-east-1", "us-west-2"
MICRO: dict[str, Value] = {"instance_type": "t3.micro", "ttl": "1h"}


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, FieldCloud]]:
    """Accounts of moto's, by profile; none has a key pair."""
    with account() as mine, account() as lab:
        there = {"": mine, "lab": lab}
        monkeypatch.setattr(cloud_verbs, "_cloud", lambda spec: there[spec.options.get("profile", "")])
        for name in ("SPAWN_DEFAULT_AMI", "SPAWN_KEY_NAME"):
            monkeypatch.delenv(name, raising=False)
        yield there


@pytest.fixture
def cloud(accounts: dict[str, FieldCloud]) -> FieldCloud:
    return accounts[""]


def plan(*launches: dict[str, Value], command: str | None = "t", **more: Any) -> Plan:
    """`None` takes a field back."""
    wishes = [
        {key: value for key, value in {**MICRO, **launch}.items() if value is not None} for launch in launches
    ]
    tasks = tuple(PlannedTask("", {"i": n}, launch=wish) for n, wish in enumerate(wishes))
    return Plan("spawn", "s", tasks, command=command, **more)


def placed(made: Plan, text: str) -> tuple[Plan, list[SourceSpec]]:
    return with_cloud(made, parse_sources([text]), {})


def where(made: Plan, specs: list[SourceSpec]) -> list[tuple[str, ...]]:
    """The regions that each task is kept to."""
    needs, groups = needs_of(made, specs)
    of = [needs[group] for group, count in groups for _ in range(count)] or [ev.Needs()] * len(made.tasks)
    return [asked.regions for asked in of]


# --- checks ------------------------------------------------------------------------------------------------------


def test_a_task_that_one_region_refuses_is_kept_to_the_other(
    cloud: FieldCloud, capsys: pytest.CaptureFixture[str]
):
    cloud.client("ec2", EAST).create_key_pair(KeyName="mine")
    both: dict[str, Value] = {"regions": [EAST, WEST]}
    made, specs = check_clouds(*placed(plan({**both, "key_name": "mine"}, both), "ec2"))
    assert [spec.options["region"] for spec in specs] == [EAST, WEST]
    assert where(made, specs) == [(EAST,), (EAST, WEST)]
    assert "us-west-2: there is no key pair mine" in capsys.readouterr().err


def test_a_source_that_no_task_can_run_on_is_left_out(cloud: FieldCloud, capsys: pytest.CaptureFixture[str]):
    """And what a task may ask for is as open as before: it named no region itself."""
    cloud.client("ec2", WEST).create_key_pair(KeyName="mine")
    made, specs = check_clouds(*placed(plan({"key_name": "mine"}), "ec2:us-east-1,ec2:us-west-2,local:2"))
    assert [spec.name for spec in specs] == ["ec2-us-west-2", "local"]
    assert where(made, specs) == [()]
    assert "ec2-us-east-1 is left out" in capsys.readouterr().err


def test_what_no_region_can_run_is_refused_with_all_reasons(cloud: FieldCloud):
    with pytest.raises(UserError) as told:
        check_clouds(*placed(plan({"regions": [EAST, WEST], "key_name": "mine"}), "ec2"))
    assert told.value.status == 3
    assert f"{EAST}: there is no key pair mine" in str(told.value)
    assert f"{WEST}: there is no key pair mine" in str(told.value)


def test_every_region_is_checked_with_what_a_launch_there_would_be(cloud: FieldCloud):
    check_clouds(*placed(plan({"regions": [EAST, WEST]}, {"region": "eu-west-1"}), "ec2"))
    assert {region for region, _, operation in cloud.calls if operation == "RunInstances"} == {
        EAST, WEST, "eu-west-1",
    }  # fmt: skip


def test_each_source_is_checked_with_its_own_profile_and_bucket(accounts: dict[str, FieldCloud]):
    mine, lab = accounts.values()
    specs = [
        SourceSpec("mine", "ec2", 5, {"region": EAST}),
        SourceSpec("lab", "ec2", 5, {"region": WEST, "profile": "lab", "bucket": "the-labs"}),
    ]
    lab.client("s3", EAST).create_bucket(Bucket="the-labs")
    before = len(mine.calls)
    check_clouds(plan({}, {"region": WEST}), specs)
    assert {region for region, _, operation in mine.calls[before:] if operation == "RunInstances"} == {EAST}
    assert {region for region, _, operation in lab.calls if operation == "RunInstances"} == {WEST}
    assert lab.asked("HeadBucket") and not mine.asked("HeadBucket")


def test_added_sources_are_checked_for_what_is_left(cloud: FieldCloud):
    """The first task is completed: whatever it asked for does not matter any more."""
    made = plan({"region": EAST, "key_name": "gone"}, {"region": EAST})
    specs = placed(made, "ec2")[1]
    check_added(made, specs, [1])
    check_added(made, specs, [])
    with pytest.raises(UserError, match="no key pair gone"):
        check_added(made, specs, [0, 1])


def test_an_added_source_must_take_all_it_may_be_given(cloud: FieldCloud):
    """The plan is written down: a task cannot be kept away from it."""
    cloud.client("ec2", EAST).create_key_pair(KeyName="mine")
    made = plan({"regions": [EAST, WEST], "key_name": "mine"})
    with pytest.raises(UserError, match="could not be launched on all of these sources"):
        check_added(made, placed(made, "ec2")[1], [0])


# --- what is refused, or remarked, without asking AWS -----------------------------------------------------------


def test_a_region_without_a_source_is_told_before_anything_is_made():
    made, specs = placed(plan({"region": WEST}), "ec2:us-east-1")
    reason = why_not(made, specs)
    assert reason is not None and 'region: "us-west-2" is not where the sources are (us-east-1)' in reason
    assert why_not(*placed(plan({"region": WEST}), "ec2:us-east-1,local")) is None


def test_a_missing_type_is_told_with_where_to_say_it():
    made, specs = placed(plan({"instance_type": None, "region": EAST}), "ec2")
    reason = why_not(made, specs)
    assert reason is not None and reason.startswith(
        "task_001: instance_type: is missing; write it in the file"
    )
    assert "--instance-type" in reason and "spawn.yaml" in reason
    (spec,) = specs
    of_source = SourceSpec(spec.name, "ec2", 1, {**spec.options, "instance_type": "t3.micro"})
    assert why_not(made, [of_source]) is None


def test_a_source_that_ends_instances_needs_nothing_to_run():
    """The `ttl` may stand in its entry in spawn.yaml."""
    made = plan({"ttl": None}, command=None)
    spec = SourceSpec("ec2-us-east-1", "ec2", 1, {"region": EAST})
    assert "no `ttl`" in (why_not(made, [spec]) or "")
    assert why_not(made, [SourceSpec(spec.name, "ec2", 1, {"region": EAST, "ttl": "3600"})]) is None


def test_fields_for_instances_are_remarked_where_there_are_none():
    made = plan({"region": EAST})
    assert remarks(made, parse_sources(["local"])) == [
        "fields for EC2 have no effect on these sources: instance_type, ttl, region"
    ]
    named = [SourceSpec("mine", "ec2", 1, {"region": EAST})]
    assert remarks(made, named) == []  # whatever it is called


def test_counts_make_tasks_where_instances_are():
    made = plan({"count": 3, "region": EAST})
    assert (counted(made, parse_sources(["ec2"])), counted(made, parse_sources(["local"]))) == (3, 1)


def test_an_estimate_asks_for_each_wish_once(cloud: FieldCloud, monkeypatch: pytest.MonkeyPatch):
    cloud.client("ec2", EAST).create_key_pair(KeyName="mine")
    monkeypatch.setattr(Prices, "fetch", lambda self, wanted: None)
    monkeypatch.setattr(Prices, "price", lambda self, region, kind, market: None)
    tasks: list[dict[str, Value]] = [{"region": EAST, "key_name": "mine"}] * 20
    assert estimated(*placed(plan(*tasks), "ec2")) == 0
    assert cloud.asked("DescribeKeyPairs") == 1
    cloud.refuse("DescribeInstanceTypes", "ExpiredToken", "The security token is expired", 403)
    with pytest.raises(UserError, match="cannot estimate this: AWS says ExpiredToken"):
        estimated(*placed(plan({"region": WEST, "instance_type": "c5.large"}), "ec2"))


# --- the command line --------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AWS_DEFAULT_REGION", EAST)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--spot"], "--spot: the tasks run on EC2"),
        (
            ["--region", WEST, "--instance-type", "t3.micro"],
            "--instance-type, --region: the tasks run on EC2",
        ),
        (["--on-complete", "terminate"], "--on-complete: the tasks run on EC2"),
    ],
)
def test_what_is_said_of_instances_is_a_wish_for_them(words: list[str], said: str, project: Path):
    (project / "sweep.yaml").write_text("params: [{lr: 1}]\ncommand: t\n")
    done = spawn_tui("launch", "sweep.yaml", "--dry-run", *words, cwd=project)
    complete = "--instance-type" in words
    assert done.status == (0 if complete else 2), "as launch itself, which wants a type"
    assert ("could not be launched here" in done.err) is not complete
    assert done.err.count(said) == 1
    assert f"on ec2-{WEST if WEST in words else EAST} (1 at a time)" in done.err
    done = spawn_tui("launch", "sweep.yaml", "--dry-run", "--sources", "local", *words, cwd=project)
    assert done.status == 2 and "there is no EC2 source" in done.err
    (project / "spawn.yaml").write_text("defaults: {sources: local}\n")
    assert spawn_tui("launch", "sweep.yaml", "--dry-run", *words, cwd=project).status == 2


def test_a_file_with_nothing_but_a_number(project: Path):
    (project / "sweep.yaml").write_text(f"command: t\ncount: 4\nregions:\n  - {EAST}: 3\n  - {WEST}: 1\n")
    assert spawn_tui("launch", "sweep.yaml", "--count-only", cwd=project).out == "4\n"
    done = spawn_tui("launch", "sweep.yaml", "--dry-run", cwd=project)
    assert "task_001: instance_type: is missing" in done.err
    assert "4 tasks on ec2-us-east-1 (3 at a time), ec2-us-west-2 (1 at a time)" in done.err
    done = spawn_tui("launch", "sweep.yaml", "--no-ui", cwd=project)
    assert done.status == 2 and "task_001: instance_type: is missing" in done.err
    done = spawn_tui("launch", "sweep.yaml", "--dry-run", "--instance-type", "t3.micro", cwd=project)
    assert "is missing" not in done.err


def test_a_dry_run_shows_what_instances_are_asked_for(project: Path):
    (project / "sweep.yaml").write_text(
        f"defaults: {{instance_type: t3.micro|t3.small, ttl: 90m, region: {EAST}}}\n"
        f"params:\n- lr: 1\n- lr: 2\n  spot: true\n  spot_max_price: 0.1\n  spot_fallback: true\n  region: {WEST}\n"
        "- lr: 3\n  ttl: null\ncommand: t\n"
    )
    done = spawn_tui("launch", "sweep.yaml", "--dry-run", "--sources", "ec2", cwd=project)
    rows = [line.split("\t") for line in done.out.splitlines()][:4]
    assert rows == [
        ["task", "lr", "region", "market", "ttl"],
        ["task_001", "1", EAST, "on-demand", "1h30m"],
        ["task_002", "2", WEST, "spot up to $0.1/h, else on-demand", "1h30m"],
        ["task_003", "3", EAST, "on-demand", "none"],
    ]
    assert "Each instance: type t3.micro|t3.small\n" in done.err
    (project / "sweep.yaml").write_text(
        f"defaults: {{instance_type: t3.micro, ttl: 2h, regions: [{EAST}, {WEST}]}}\n"
        "params: [{lr: 1}, {lr: 2}]\ncommand: t\n"
    )
    done = spawn_tui("launch", "sweep.yaml", "--dry-run", "--sources", "ec2", cwd=project)
    assert done.out.splitlines()[0] == "task\tlr"
    assert f"Each instance: type t3.micro, region {EAST} or {WEST}, market on-demand, ttl 2h\n" in done.err
    done = spawn_tui("launch", "sweep.yaml", "--dry-run", "--sources", "local", cwd=project)
    assert done.status == 0 and "Each instance" not in done.err


def test_a_dry_run_shows_a_name_once_and_no_secret(project: Path):
    secrets = ["SEC1SECRET", "SEC2SECRET", "SEC3SECRET", "SEC4SECRET", "AKIAABCDEFGHIJKLMNOP"]
    (project / "sweep.yaml").write_text(
        "defaults:\n"
        "  instance_type: t3.micro\n"
        "  user_data: |\n"
        "    export AWS_SECRET_ACCESS_KEY=SEC1SECRET\n"
        "params:\n"
        "- {name: one, lr: 0.1, api_key: SEC2SECRET, note: 'AKIAABCDEFGHIJKLMNOP', pad_token_id: 12345678}\n"
        "- {name: two, lr: 0.2, api_key: SEC2SECRET, note: plain, pad_token_id: 12345678}\n"
        "command: train --password=SEC3SECRET --key AKIAABCDEFGHIJKLMNOP\n"
        "env: {HF_TOKEN: SEC4SECRET}\n"
    )
    done = spawn_tui("launch", "sweep.yaml", "--dry-run", cwd=project)
    assert done.status == 0, done.err
    header, first, *_ = (line.split("\t") for line in done.out.splitlines())
    assert header == ["task", "name", "lr", "api_key", "note", "pad_token_id"]
    assert first == ["task_001", "one", "0.1", "***", "***", "12345678"]
    assert done.out.splitlines()[-1] == "train --password=*** --key ***"
    assert not [word for word in secrets if word in done.out + done.err]


@pytest.mark.parametrize("user_data", ["[SEC1SECRET]", "{AWS_SECRET_ACCESS_KEY: SEC1SECRET}"])
def test_a_script_that_is_none_is_not_quoted(user_data: str, project: Path):
    (project / "sweep.yaml").write_text(f"params: [{{instance_type: t3.micro, user_data: {user_data}}}]\n")
    done = spawn_tui("launch", "sweep.yaml", "--dry-run", cwd=project)
    assert done.status == 2 and "user_data: must be text" in done.err
    assert "SEC1SECRET" not in done.err


def test_no_view_of_a_sweep_shows_a_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What is stored for the sweep's own use is whole: here is what verbs say of it."""
    secret = "hunter2hunter2"
    root = tmp_path / "sweep-20261122-abc123"
    root.mkdir()
    launch: dict[str, Value] = {**MICRO, "user_data": f"export AWS_SECRET_ACCESS_KEY={secret}\n"}
    tasks = tuple(PlannedTask("", {"api_key": secret, "lr": 1}, launch=launch) for _ in range(2))
    stored = Plan("spawn", "sweep", tasks, command=f"train --password={secret}")
    first: list[ev.Event] = [ev.SweepCreated(root.name, "sweep", 2, project=str(tmp_path))]
    first.append(ev.SourceAdded("ec2-us-east-1", "ec2", 2, (("region", EAST),), False, True))
    clock = Clock(1_000_000.0)
    made = Made(root, stored, SweepStore.create(root, stored, first, LocalDisk(), clock), clock)
    made.index()
    made.launch([0], "ec2-us-east-1")
    made.end(0, "failed", kind="exit", exit_code=1, message=f"cannot log in with token={secret}")
    for words in (
        ["errors", made.id], ["errors", made.id, "--json"], ["status", made.id, "--json"], ["status", made.id],
        ["resume", made.id, "--dry-run", "--retry-failed"],
    ):  # fmt: skip
        with pytest.raises(SystemExit):
            main(words)
        told = capsys.readouterr()
        assert secret not in told.out + told.err, words
        assert told.out, words
        if words[0] in ("errors", "resume"):
            assert "***" in told.out
