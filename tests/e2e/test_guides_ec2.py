"""Every example of the three spawn guides, by the command line, on instances that really run, to its outputs at home.

`guides/` has them as the guides have them; each says what was corrected or shortened, and why. Where a guide shows
parameters and leaves open what is done with them, a small program of the project (`guides/project/`) is the command.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from spawn_tui.engine.aws.launches import LaunchRequest, LaunchStore
from spawn_tui.engine.sweep import Attempt, Sweep
from spawn_tui.engine.viewer import Viewer
from spawn_tui.state.disk import LocalDisk

from tests.parts.aws import Aws, available, no_moto
from tests.parts.need import need
from tests.parts.waiting import wait_until

from .field import Done, Field

pytestmark = [pytest.mark.parts, pytest.mark.timeout(300)]

GUIDES = Path(__file__).with_name("guides")
AT_ONCE = 3
"""Examples that run at the same time: each waits more than it works."""
LIMIT = 120.0
"""Seconds an example may take; on two idle cores it takes less than 10."""
LEFT_BY_SCRIPTS = ("/tmp/result.txt", "/tmp/results.json", "/tmp/input.csv", "/tmp/output.csv", "/app",
                   "/home/ec2-user", "/var/lib/spawn", "/usr/local/bin/spored", "/etc/profile.d/spawn-sweep.sh",
                   "/var/lib/cloud/scripts/per-boot/spawn-sweep")  # fmt: skip
"""What the guides' scripts, and the bootstrap, write on an instance."""


@dataclass(frozen=True)
class Example:
    """`words`: of `launch`, after the file's name; `made_by`: the guide's script that writes the file."""

    file: str
    words: tuple[str, ...] = ()
    made_by: str = ""
    during: Callable[[Aws, Field, threading.Event], object] | None = None
    """What happens to it meanwhile; the event: it has ended."""
    detached: bool = False
    environment: tuple[tuple[str, str], ...] = ()


def interrupt_the_first(aws: Aws, place: Field, over: threading.Event) -> None:
    """AWS takes the instance of the first task back, while that runs."""

    def at_work() -> list[str]:
        found = [one["id"] for one in instances_of(aws, place) if one["index"] == 0]
        return [one for one in found if " begun" in aws.console(one)]

    wait_until(lambda: over.is_set() or at_work(), "the first task to begin", limit=LIMIT)
    if not over.is_set():
        aws.happen("interrupt", at_work()[0], notice=30)


SHOW = ("--command", "python3 show.py")
EXAMPLES = {
    "quick-start": Example("quick-start.json", ("--max-concurrent", "2")),
    "simple-sweep": Example("simple-sweep.yaml"),
    "ml-sweep": Example("ml-sweep.yaml", ("--on-complete", "terminate")),
    "hyperparam": Example(
        "hyperparam.json", ("--max-concurrent", "3", "--detach", "--command", "python3 show.py --lr {lr} --bs {bs}"),
        detached=True,
    ),
    "multi-region": Example("multi-region.json", ("--max-concurrent", "4", "--strategy", "random", *SHOW)),
    "batch-sweep": Example("batch-sweep.yaml", made_by="generate-sweep.py"),
    "grid-search": Example(
        "grid-search.json", ("--max-concurrent", "5", "--command", "python3 train.py"), made_by="grid-search.py",
    ),
    "spot": Example(
        "spot.yaml",
        ("--sources", "ec2", "--instance-type", "t3.micro", "--region", "us-east-1", "--command",
         'if [ "$NAME.$SWEEP_ATTEMPT" = test-1.1 ]; then sleep 100; fi; python3 show.py'),
        during=interrupt_the_first,
    ),
    "batch-processing": Example(
        "batch-processing.json",
        ("--max-concurrent", "5", "--command", 'aws s3 cp {input_path}part.csv "$SWEEP_TASK_DIR/part.csv"'),
    ),
    "ab-testing": Example("ab-testing.json", ("--sweep-name", "ml-experiment", *SHOW)),
    "basic-structure": Example("basic-structure.json", ("--launch-delay", "1s", *SHOW)),
    "custom-parameters": Example(
        "custom-parameters.json", ("--sources", "ec2:us-east-1:5", "--instance-type", "t3.micro", *SHOW)
    ),
    "on-complete": Example("on-complete.yaml"),
    "regions-and-counts": Example(
        "regions-and-counts.yaml", ("--sources", "ec2", "--instance-type", "c5.large", *SHOW),
        environment=(("SPAWN_KEY_NAME", "spawn-key-2026-02"),),
    ),
    "prison": Example("prison.yaml"),
}  # fmt: skip


def instances_of(aws: Aws, place: Field) -> list[dict[str, Any]]:
    """The instances of a field's only sweep, as EC2 has them."""
    return [
        one
        for root in place.roots
        for one in aws.instances()
        if one["tags"].get("spawn:sweep-id") == root.name
    ]


@dataclass(frozen=True)
class Ran:
    """An example that has ended."""

    aws: Aws
    field: Field
    done: Done

    @property
    def sweep(self) -> Sweep:
        return self.field.sweep()

    def attempts(self) -> list[Attempt]:
        return [attempt for task in self.sweep.tasks for attempt in task.attempts]

    def launches(self) -> list[tuple[LaunchRequest, tuple[str, ...]]]:
        """What was asked of EC2, as it is on the disk, and the instances that this gave."""
        stores = [LaunchStore(self.field.root / "ec2" / name, LocalDisk()) for name in self.sweep.sources]
        stored = [pair for store in stores for pair in store.open()]
        return [(request, answer.instances) for request, answer in stored if answer is not None]

    def instance_of(self, number: int) -> dict[str, Any]:
        """The instance of the first attempt of task `number` (from 1)."""
        wanted = (number - 1, 1)
        (id,) = [
            ids[asked.attempts.index(wanted)] for asked, ids in self.launches() if wanted in asked.attempts
        ]
        (one,) = [one for one in self.instances() if one["id"] == id]
        return one

    def instances(self) -> list[dict[str, Any]]:
        """All of them, once nothing of them runs."""
        wait_until(
            lambda: all(one["state"] in ("terminated", "stopped") for one in instances_of(self.aws, self.field)),
            "all instances to have ended",
        )  # fmt: skip
        return instances_of(self.aws, self.field)

    def file(self, number: int, name: str) -> str:
        """What task `number` (from 1) left."""
        return (self.field.root / "tasks" / f"task_{number:03d}" / name).read_text()

    def given(self, number: int) -> dict[str, Any]:
        """What show.py wrote down."""
        return json.loads(self.file(number, "results.json"))

    def objects(self, bucket: str, prefix: str = "") -> dict[str, str]:
        s3 = self.aws.client("s3")
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys}


class Outside:
    """Looks all the time for a script of an instance that runs on this machine itself."""

    def __init__(self) -> None:
        self.own = os.readlink("/proc/self/ns/mnt")
        self.inside: set[str] = set()
        """The namespaces in which scripts were seen."""
        self.escaped: set[str] = set()
        """The command lines of those that were seen outside of one."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            for folder in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if b"\0SWEEP_TASK_DIR=/var/lib/spawn/" in b"\0" + (folder / "environ").read_bytes():
                        self._seen(folder)

    def _seen(self, folder: Path) -> None:
        space = os.readlink(folder / "ns/mnt")
        if space == self.own or os.readlink(folder / "ns/pid") == os.readlink("/proc/self/ns/pid"):
            self.escaped.add((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        else:
            self.inside.add(space)

    def close(self) -> None:
        self._over.set()
        self._thread.join(10)


class Stage:
    """One AWS for all examples, with what they take for granted, and the examples that run on it."""

    def __init__(self, aws: Aws, base: Path) -> None:
        self.aws, self.base = aws, base
        self.outside = Outside()
        self.canary = f"spawn-canary-{secrets.token_hex(6)}"
        self.pool = ThreadPoolExecutor(AT_ONCE)
        self.fields: list[Field] = []
        aws.settings(boot=0.1, minute=60.0)
        self._prepare()

    def _prepare(self) -> None:
        iam, s3 = self.aws.client("iam"), self.aws.client("s3")
        for role in ("spawnd-role", "ml-training-role"):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
            iam.create_instance_profile(InstanceProfileName=role)
            iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
        for region in ("us-east-1", "us-west-2"):
            for name in ("spawn-key-myname", "spawn-key-2026-02"):
                self.aws.client("ec2", region).create_key_pair(KeyName=name)
        for bucket in ("my-ml-results", "my-data-bucket", "data"):
            s3.create_bucket(Bucket=bucket)
        for month in ("01", "02", "03"):
            s3.put_object(Bucket="data", Key=f"2024-{month}/part.csv", Body=f"month\n{month}\n".encode())
        program = (GUIDES / "project/process.py").read_bytes()
        s3.put_object(Bucket="my-data-bucket", Key="app/process.py", Body=program)
        for number in range(1, 13):
            rows = "item,amount\n" + "".join(f"{n},{number * n}\n" for n in range(1, 4))
            s3.put_object(Bucket="my-data-bucket", Key=f"input/data-{number:03d}.csv", Body=rows.encode())

    def run(self, name: str) -> Ran:
        example = EXAMPLES[name]
        base = self.base / name
        base.mkdir()
        place = Field(base, {**self.aws.env(), **dict(example.environment)})
        self.fields.append(place)
        for path in (GUIDES / "project").iterdir():
            shutil.copy(path, place.project)
        if example.made_by:
            subprocess.run(
                [sys.executable, GUIDES / example.made_by], cwd=place.project, check=True, timeout=60
            )
        else:
            text = (GUIDES / example.file).read_text()
            place.write(example.file, text.replace("CANARY-OF-THIS-RUN", self.canary))
        words = ("launch", "--param-file", example.file, *example.words)
        over = threading.Event()
        with ThreadPoolExecutor(1) as side:
            meanwhile = side.submit(example.during, self.aws, place, over) if example.during else None
            try:
                done = place.run(*words, *([] if example.detached else ["--no-ui"]), limit=LIMIT)
            finally:
                over.set()
            if meanwhile is not None:
                meanwhile.result()
        if example.detached and done.status == 0:
            viewer = Viewer(place.root)
            wait_until(lambda: viewer.holder() is None, f"the engine of {name} to end", limit=LIMIT)
        return Ran(self.aws, place, done)

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)
        for place in self.fields:
            for root in place.roots:
                holder = Viewer(root).holder()
                if holder is not None and holder.lives:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(holder.process.pid, signal.SIGKILL)
        self.outside.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    need(no_moto() or available())
    with Aws() as aws, contextlib.closing(Stage(aws, tmp_path_factory.mktemp("guides"))) as made:
        yield made


def left_here() -> dict[str, float]:
    """What this machine has of that, with when it was changed."""
    return {name: Path(name).stat().st_mtime for name in LEFT_BY_SCRIPTS if Path(name).exists()}


@pytest.fixture(scope="module")
def before() -> dict[str, float]:
    return left_here()


@pytest.fixture(scope="module")
def runs(stage: Stage, request: pytest.FixtureRequest) -> dict[str, Future[Ran]]:
    """The examples that the tests ask for, under way."""
    asked = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    wanted = dict.fromkeys(spec.params["ran"] for spec in asked if spec is not None and "ran" in spec.params)
    return {name: stage.pool.submit(stage.run, name) for name in wanted}


@pytest.fixture
def ran(runs: dict[str, Future[Ran]], request: pytest.FixtureRequest) -> Ran:
    """The example this test is about, when it has ended."""
    return runs[request.param].result()


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("ran", [name], indirect=True)


def all_completed(ran: Ran, count: int, *, type: str, market: str = "on-demand") -> None:
    """Each task on an instance of its own that is gone, everything of it at home, and its cost known."""
    assert ran.done.status == 0, ran.done
    sweep = ran.sweep
    assert [str(task.state) for task in sweep.tasks] == ["completed"] * count, ran.done
    instances = ran.instances()
    assert [one["state"] for one in instances] == ["terminated"] * len(instances)
    assert {one["type"] for one in instances} == {type} and {one["market"] for one in instances} == {market}
    assert len(ran.attempts()) == len(instances)
    assert {id for _, ids in ran.launches() for id in ids} == {one["id"] for one in instances}
    for one in instances:
        assert one["tags"]["spawn:managed"] == "true" and one["tags"]["spawn:sweep-name"] == sweep.name
    assert all(attempt.rate for attempt in ran.attempts()), "the price of each is known"


def most_at_once(attempts: Sequence[Attempt]) -> int:
    """How many of these were launched and not ended at a time."""
    changes = [(attempt.launched_at, 1) for attempt in attempts]
    changes += [(attempt.ended_at, -1) for attempt in attempts if attempt.ended_at is not None]
    count = most = 0
    for _, change in sorted(changes):
        count += change
        most = max(most, count)
    return most


# --- Parameter Sweeps Guide ------------------------------------------------------------------------------------------


@of("quick-start")
def test_quick_start_holds_bare_instances_until_their_ttl_two_at_a_time(ran: Ran) -> None:
    all_completed(ran, 3, type="t3.micro")
    assert most_at_once(ran.attempts()) == 2
    for number in (1, 2, 3):
        assert "its TTL has ended" in ran.file(number, "bootstrap.log")


@of("basic-structure")
def test_basic_structure_with_key_role_and_guards(ran: Ran) -> None:
    all_completed(ran, 3, type="t3.micro")
    for number, (alpha, beta) in enumerate((("0.1", "0.01"), ("0.5", "0.05"), ("0.9", "0.09")), 1):
        env = ran.given(number)["env"]
        assert (env["NAME"], env["ALPHA"], env["PARAM_beta"]) == (f"test-{number}", alpha, beta)
    for one in described(ran):
        assert one["KeyName"] == "spawn-key-myname"
        assert one["MetadataOptions"]["HttpTokens"] == "required"
    assert profiles(ran) == {"spawnd-role"}
    first, *later = sorted(attempt.launched_at for attempt in ran.attempts())
    assert all(at - first >= 0.9 * n for n, at in enumerate(later, 1)), "--launch-delay 1s"


@of("custom-parameters")
def test_custom_parameters_reach_the_instance(ran: Ran) -> None:
    all_completed(ran, 1, type="t3.micro")
    given = ran.given(1)
    wanted = {"name": "experiment-1", "learning_rate": "0.001", "batch_size": "32", "optimizer": "adam",
              "dataset": "imagenet"}  # fmt: skip
    assert {key: given["env"][f"PARAM_{key}"] for key in wanted} == wanted
    assert {key: given["env"][key.upper()] for key in wanted} == wanted
    assert {"show.py", "custom-parameters.json"} <= set(given["project"]), "the project is there"


@of("hyperparam")
def test_hyperparameters_detached_three_at_a_time(ran: Ran) -> None:
    all_completed(ran, 6, type="g5.xlarge")
    assert ran.done.out.strip() == ran.sweep.id
    assert most_at_once(ran.attempts()) == 3
    pairs = [
        ("0.001", "32"),
        ("0.001", "64"),
        ("0.001", "128"),
        ("0.01", "32"),
        ("0.01", "64"),
        ("0.01", "128"),
    ]
    for number, (lr, bs) in enumerate(pairs, 1):
        assert ran.given(number)["argv"] == ["--lr", lr, "--bs", bs]
    assert profiles(ran) == {"ml-training-role"}
    assert ran.field.run("status", "--sweep-id", ran.sweep.id, "--check-complete").status == 0


@of("ab-testing")
def test_ab_testing_keeps_types(ran: Ran) -> None:
    all_completed(ran, 2, type="t3.medium")
    assert ran.sweep.name == "ml-experiment"
    shown = [{key: ran.given(n)["env"][key] for key in ("NAME", "CONFIG", "CACHE_ENABLED")} for n in (1, 2)]
    assert shown == [
        {"NAME": "baseline", "CONFIG": "default", "CACHE_ENABLED": "false"},
        {"NAME": "optimized", "CONFIG": "tuned", "CACHE_ENABLED": "true"},
    ]


@of("multi-region")
def test_multi_region_is_one_sweep_in_four_regions(ran: Ran) -> None:
    all_completed(ran, 4, type="t3.micro")
    wanted = {
        "us-east": "us-east-1",
        "us-west": "us-west-2",
        "eu-west": "eu-west-1",
        "ap-northeast": "ap-northeast-1",
    }
    assert {ran.given(n)["env"]["NAME"]: ran.given(n)["env"]["AWS_REGION"] for n in range(1, 5)} == wanted
    for number, task in enumerate(ran.sweep.tasks, 1):
        region = ran.instance_of(number)["region"]
        assert wanted[ran.given(number)["env"]["NAME"]] == region
        assert task.attempt is not None and task.attempt.source == f"ec2-{region}"
    outputs = {one["Name"] for one in ran.aws.client("s3").list_buckets()["Buckets"]}
    assert {f"spawn-results-123456789012-{region}" for region in wanted.values()} <= outputs


@of("batch-processing")
def test_batch_processing_of_data_in_s3(ran: Ran) -> None:
    all_completed(ran, 3, type="c7i.xlarge")
    assert [ran.file(n, "part.csv") for n in (1, 2, 3)] == [f"month\n0{n}\n" for n in (1, 2, 3)]


@of("grid-search")
def test_grid_search_from_a_script(ran: Ran) -> None:
    all_completed(ran, 9, type="g5.xlarge")
    assert most_at_once(ran.attempts()) <= 5
    for number in range(1, 10):
        result = json.loads(ran.file(number, "results.json"))
        assert result["name"] == f"lr-{result['learning_rate']}-bs-{result['batch_size']}"
        assert f"Training {result['name']}" in ran.file(number, "stdout.log")


# --- Tutorial 3 ------------------------------------------------------------------------------------------------------


@of("simple-sweep")
def test_simple_sweep_and_its_collected_results(ran: Ran) -> None:
    all_completed(ran, 3, type="t3.micro")
    collected = ran.field.run("collect-results", ran.sweep.id, "--output", "results/")
    assert collected.status == 0, collected
    for number, value in ((1, 10), (2, 20), (3, 30)):
        assert ran.file(number, "result.txt") == f"Result: {2 * value}\n"
        copied = ran.field.project / "results/tasks" / f"task_{number:03d}" / "result.txt"
        assert copied.read_text() == f"Result: {2 * value}\n"
        assert (
            ran.file(number, "stdout.log") == f"Running experiment: test-{number}\nParameter value: {value}\n"
        )


@of("ml-sweep")
def test_ml_sweep_says_itself_that_it_is_complete(ran: Ran) -> None:
    all_completed(ran, 9, type="t3.medium")
    uploaded = {key: json.loads(text) for key, text in ran.objects("my-ml-results").items()}
    assert len(uploaded) == 9
    collected = ran.field.run("collect-results", ran.sweep.id, "--output", "ml-results/", "--metric", "accuracy",
                              "--best", "1", "--json")  # fmt: skip
    assert collected.status == 0, collected
    rows = json.loads((ran.field.project / "ml-results/results.json").read_text())
    assert [row["sweep_index"] for row in rows] == list(range(9))
    instances = {attempt.handle for attempt in ran.attempts()}
    for row in rows:
        lr, bs = row["parameters"]["learning_rate"], row["parameters"]["batch_size"]
        assert row["metrics"]["accuracy"] == min(0.95, 0.5 + lr * 10 + bs / 1000)
        assert (
            row["name"] == f"lr-{lr}-bs-{bs}"
            and row["region"] == "us-east-1"
            and row["instance_id"] in instances
        )
        assert uploaded[f"{row['name']}.json"]["accuracy"] == row["metrics"]["accuracy"]
    assert collected.objects[-1]["value"] == 0.95


@of("batch-sweep")
def test_batch_of_files_from_a_script(ran: Ran) -> None:
    all_completed(ran, 12, type="c7i.large")
    assert ran.objects("my-data-bucket", "output/") == {
        f"output/data-{number:03d}.csv": f"rows,total\r\n3,{6 * number}\r\n" for number in range(1, 13)
    }
    assert "upload: /tmp/output.csv to s3://my-data-bucket/output/data-007.csv" in ran.file(7, "stdout.log")


@of("on-complete")
def test_spored_complete_ends_a_task_and_its_instance_as_they_say(ran: Ran) -> None:
    assert ran.done.status == 1, ran.done
    good, bad = ran.sweep.tasks
    assert (str(good.state), str(bad.state)) == ("completed", "failed")
    assert bad.attempt is not None and bad.attempt.message == "said Hola"
    assert [ran.file(n, "result.txt") for n in (1, 2)] == ["Hello\n", "Hola\n"]
    assert [ran.instance_of(n)["state"] for n in (1, 2)] == ["terminated", "stopped"]


@of("spot")
def test_spot_instance_that_is_taken_back_is_replaced(ran: Ran) -> None:
    all_completed(ran, 2, type="t3.micro", market="spot")
    first, second = ran.sweep.tasks
    assert [attempt.kind for attempt in first.attempts] == ["spot_interrupted", None]
    assert len(second.attempts) == 1
    assert [ran.given(n)["env"]["PARAM_value"] for n in (1, 2)] == ["1", "2"]
    requests = ran.aws.client("ec2").describe_spot_instance_requests()["SpotInstanceRequests"]
    assert all(float(one["SpotPrice"]) == 0.1 for one in requests)


def test_cartesian_product_has_27_tasks(stage: Stage, tmp_path: Path) -> None:
    place = Field(tmp_path, stage.aws.env())
    subprocess.run([sys.executable, GUIDES / "cartesian.py"], cwd=place.project, check=True, timeout=60)
    counted = place.run("launch", "--param-file", "cartesian.yaml", "--count-only")
    assert (counted.status, counted.out) == (0, "27\n"), counted


def test_cost_is_told_on_demand_and_spot_and_nothing_is_launched(stage: Stage, tmp_path: Path) -> None:
    place = Field(tmp_path, stage.aws.env())
    place.write("simple-sweep.yaml", (GUIDES / "simple-sweep.yaml").read_text())
    (told,) = place.run("launch", "--param-file", "simple-sweep.yaml", "--estimate-only", "--json").objects
    # The tutorial: 3 instances × 30 minutes × $0.0104/hour.
    assert told["all_on_demand"]["at_most"]["usd"] == pytest.approx(0.0156)
    assert told["all_spot"]["at_most"]["usd"] < 0.0156
    assert not place.roots


# --- Operations Guide ------------------------------------------------------------------------------------------------


@of("regions-and-counts")
def test_counts_for_regions_and_the_key_of_the_environment(ran: Ran) -> None:
    all_completed(ran, 4, type="c5.large")
    regions = [one["region"] for one in ran.instances()]
    assert sorted(regions) == ["us-east-1", "us-east-1", "us-west-2", "us-west-2"]
    assert {one["KeyName"] for one in described(ran)} == {"spawn-key-2026-02"}


def profiles(ran: Ran) -> set[str]:
    """The instance profiles that were asked for, as the requests on the disk say."""
    wanted: list[Any] = [request.request["IamInstanceProfile"] for request, _ in ran.launches()]
    return {one["Name"] for one in wanted}


def described(ran: Ran) -> list[dict[str, Any]]:
    """The sweep's instances as DescribeInstances tells them."""
    found: list[dict[str, Any]] = []
    for region in {one["region"] for one in ran.instances()}:
        wanted = [{"Name": "tag:spawn:sweep-id", "Values": [ran.sweep.id]}]
        answer = ran.aws.client("ec2", region).describe_instances(Filters=wanted)
        found += [one for reservation in answer["Reservations"] for one in reservation["Instances"]]
    return found


# --- and nothing of it reached this machine ---------------------------------------------------------------------------


@of("prison")
def test_what_user_data_writes_and_turns_off_is_its_own_machine(ran: Ran, stage: Stage) -> None:
    hostname = os.uname().nodename
    (instance,) = ran.instances()
    assert instance["state"] == "terminated"
    (task,) = ran.sweep.tasks
    assert str(task.state) in ("completed", "failed"), "whether the script or its machine ends first"
    told = ran.file(1, "result.txt").splitlines()
    assert "wrote /" in told and "wrote /etc" in told and "wrote /tmp" in told, told
    spaces = dict(line.split() for line in told if not line.startswith("wrote "))
    for kind in ("mnt", "pid", "net", "uts", "ipc"):
        assert spaces[kind] != os.readlink(f"/proc/self/ns/{kind}"), kind
    assert os.uname().nodename == hostname != "overwritten"
    found = [
        str(path)
        for line in told
        if line.startswith("wrote ")
        if (path := Path(line[6:], stage.canary)).exists()
    ]
    for path in found:
        os.unlink(path)
    assert not found


def test_no_user_data_ran_on_this_machine(
    stage: Stage, runs: dict[str, Future[Ran]], before: dict[str, float]
) -> None:
    for run in runs.values():
        run.result()
    assert not stage.outside.escaped
    assert stage.outside.inside, "nobody has looked"
    assert left_here() == before
