"""From launch fields to what an instance is asked to be: values, precedence, refusals, counts."""

from __future__ import annotations

from collections import Counter

import pytest
from spawn_tui.engine.aws.counts import expand_counts, named_regions, regions_of
from spawn_tui.engine.aws.spec import SpecDefaults, SpecError, spec_of, unsupported_fields
from spawn_tui.engine.plan.model import PlannedTask, Value

NONE = SpecDefaults()
EAST = "us-east-1"
BASE: dict[str, Value] = {"instance_type": "t3.micro"}


def spec(launch: dict[str, Value] | None = None, defaults: SpecDefaults = NONE, region: str = EAST):
    return spec_of({**BASE, **(launch or {})}, region, defaults)


def task(label: str = "", **launch: Value) -> PlannedTask:
    return PlannedTask(label, {"lr": 0.1}, launch)


def test_a_task_of_the_guide():
    found = spec(
        {
            "instance_type": "g5.xlarge", "ami": "ami-07ff62358b87c7116", "key_name": "spawn-key-myname",
            "iam_role": "spawnd-role", "ttl": "4h30m", "idle_timeout": "15m", "az": "us-east-1b",
            "user_data": "#!/bin/bash\necho hello\n", "tags": {"team": "ml", "cost": 7}, "disk_size": 100,
            "security_group": ["sg-a", "default"], "subnet": "subnet-0abcdef1234567890", "on_complete": "stop",
        }
    )  # fmt: skip
    assert found.types == ("g5.xlarge",)
    assert (found.ami, found.key_name, found.iam_role) == (
        "ami-07ff62358b87c7116",
        "spawn-key-myname",
        "spawnd-role",
    )
    assert (found.ttl, found.idle_timeout) == (4.5 * 3600, 900.0)
    assert found.zones == ("us-east-1b",)
    assert found.user_data == "#!/bin/bash\necho hello\n"
    assert found.tags == (("cost", "7"), ("team", "ml"))
    assert found.security_groups == ("sg-a", "default")
    assert found.subnets == ("subnet-0abcdef1234567890",)
    assert (found.disk_size, found.on_complete, found.completion_delay) == (100, "stop", 30.0)


def test_equal_wishes_are_equal_specs():
    one = spec({"tags": {"a": "1", "b": "2"}, "iam_policy": "s3:FullAccess,logs:WriteOnly", "ttl": "1h"})
    other = spec(
        {"tags": {"b": "2", "a": "1"}, "iam_policy": ["logs:WriteOnly", "s3:FullAccess"], "ttl": "60m"}
    )
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize("price", ["0.10", 0.1, "$0.10", ".1"])
def test_a_price_may_be_text_or_a_number(price: Value):
    assert spec({"spot": True, "spot_max_price": price}).spot_max_price == pytest.approx(0.1)


def test_fallbacks_keep_their_order_and_patterns_are_left_to_the_region():
    assert spec({"instance_type": "c5.large | m5.large|c5.large|r5.*"}).types == (
        "c5.large",
        "m5.large",
        "r5.*",
    )


def test_a_task_stands_above_the_source():
    defaults = SpecDefaults.of(
        {"ttl": "7200", "key_name": "of-source", "security_group": "sg-a\nsg-b", "spot": "yes", "host": "x"}
    )
    found = spec({"key_name": "of-task", "idle_timeout": "1h"}, defaults)
    assert (found.ttl, found.key_name, found.idle_timeout) == (7200.0, "of-task", 3600.0)
    assert found.security_groups == ("sg-a", "sg-b")
    assert found.spot
    assert spec({}, defaults).key_name == "of-source"
    assert spec({}, SpecDefaults.of({})).key_name == ""


def test_the_nearer_of_role_and_policy_counts():
    of_source = SpecDefaults({"iam_role": "lab-role"})
    assert spec({"iam_policy": "s3:ReadOnly"}, of_source).iam_role == ""
    assert spec({"iam_policy": "s3:ReadOnly"}, of_source).iam_policy == ("s3:ReadOnly",)
    assert spec({}, of_source).iam_role == "lab-role"
    with pytest.raises(SpecError, match="cannot be added to the role lab-role"):
        spec({"iam_policy": "s3:ReadOnly", "iam_role": "lab-role"})


def test_no_limit_is_said_with_zero():
    assert spec({"ttl": "0"}, SpecDefaults({"ttl": "1h"})).ttl is None
    assert spec({"completion_delay": "0"}).completion_delay == 0.0


def test_to_end_in_hibernation_it_must_be_prepared():
    assert spec({"on_complete": "hibernate"}).hibernate
    assert not spec({"on_complete": "stop"}).hibernate


@pytest.mark.parametrize(
    ("launch", "says"),
    [
        ({"instance_type": None}, "instance_type: is missing; write it in the file or as --instance-type,"),
        ({"instance_type": "t3"}, "'t3', which is no instance type"),
        ({"instance_type": "t3.micro|"}, "'', which is no instance type"),
        ({"instance_type": "*.large"}, "which is no instance type"),
        ({"ami": "al2023"}, 'ami: "al2023" is not the id of one; write it like ami-'),
        ({"subnet": "vpc-0abcdef1234567890"}, "subnet: "),
        ({"az": "b"}, 'az: "b" is not an availability zone; write it like us-east-1a'),
        ({"az": "us-west-2a"}, "is not in us-east-1"),
        ({"ttl": "30"}, None),
        ({"ttl": "soon"}, 'ttl: "soon" is not a duration; write it like 30m'),
        ({"ttl": True}, "is not a duration"),
        ({"spot": "maybe"}, 'spot: "maybe" must be true or false'),
        ({"spot": True, "spot_max_price": "cheap"}, 'spot_max_price: "cheap" is not a price'),
        ({"spot": True, "spot_max_price": 0}, "is not a price"),
        ({"disk_size": 0}, "disk_size: 0 must be a whole number"),
        ({"on_complete": "explode"}, 'on_complete: "explode" is not a way to end'),
        ({"spot": True, "on_complete": "stop"}, "is not possible for a Spot instance"),
        ({"spot": True, "hibernate": True}, "hibernate: true is not possible for a Spot instance"),
        ({"iam_policy": "s3:FullAcess"}, 'did you mean "s3:FullAccess"?'),
        ({"iam_policy": "everything"}, "is not a policy template"),
        ({"tags": {"aws:x": "1"}}, "AWS keeps for itself"),
        ({"tags": {"spawn:managed": "no"}}, "spawn-tui's own"),
        ({"tags": {"x": "y" * 257}}, "more than 256 characters"),
        ({"tags": {"k" * 129: "1"}}, "has more than 128 characters"),
        ({"tags": {"Cost Center": "1"}}, 'tags: "Cost Center" has other characters'),
        ({"tags": {"": "1"}}, "has other characters"),
        ({"tags": ["x"]}, "must be a mapping"),
        ({"user_data": 5}, "must be a script"),
        ({"efs_id": "fs-1"}, "efs_id: \"fs-1\" is not supported: shared file systems"),
        ({"fsx_create": True}, "fsx_create: true is not supported"),
        ({"mpi": True}, "mpi: true is not supported"),
        ({"data_sources": ["s3://x"]}, "data_sources: "),
        ({"vpc": "vpc-1"}, "vpc: \"vpc-1\" does not say in which subnet"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_value_and_remedy(launch: dict[str, Value], says: str | None):
    if says is None:
        # Text without a unit is refused by the plan; options have their durations in seconds.
        assert spec(launch).ttl == 30.0
        return
    with pytest.raises(SpecError) as told:
        spec(launch)
    assert says in str(told.value)


def test_a_script_with_secrets_is_not_quoted():
    with pytest.raises(SpecError) as told:
        spec({"user_data": "export AWS_SECRET_ACCESS_KEY=hunter2\0"})
    assert "hunter2" not in str(told.value)


def test_what_has_no_effect_is_said():
    launch: dict[str, Value] = {
        "step": "train", "dns_name": "a", "placement_group": "pg", "session_timeout": "1h", "spot_max_price": 0.1,
        "completion_file": "/tmp/DONE", "hibernate_on_idle": True, "region": EAST, "regions": [EAST], "efa": False,
        "vpc": "vpc-1", "subnet": "subnet-0abcdef1234567890",
    }  # fmt: skip
    told = unsupported_fields(launch)
    assert {line.partition(":")[0] for line in told} == launch.keys() - {"region", "efa", "subnet"}
    assert spec(launch).tags == (("spawn:dns-name", "a"), ("spawn:step", "train"))
    assert unsupported_fields({**BASE, "ttl": "1h", "tags": {"a": "b"}}) == []
    assert unsupported_fields({"spot_max_price": 0.1}, SpecDefaults({"spot": "yes"})) == []


def test_every_launch_field_is_used_refused_or_remarked():
    from spawn_tui.engine.plan.fields import LAUNCH_FIELDS

    samples: dict[str, Value] = {
        "az": "us-east-1a", "ami": "ami-0abcdef1234567890", "spot": True, "spot_max_price": 0.5, "hibernate": True,
        "spot_fallback": True,
        "ttl": "1h", "idle_timeout": "1h", "on_complete": "stop", "completion_delay": "5s", "iam_policy": "s3:ReadOnly",
        "count": 2, "tags": {"a": "b"}, "subnet": "subnet-0abcdef1234567890", "disk_size": 9, "regions": [EAST],
        "efa": True, "mpi": True, "hibernate_on_idle": True, "session_timeout": "1h", "instance_type": "m5.large",
    }  # fmt: skip
    plain = spec({})
    for name in {field.name for field in LAUNCH_FIELDS.values()} - {"region", "regions", "count"}:
        launch: dict[str, Value] = {name: samples.get(name, "x")}
        if name == "spot_max_price":
            launch["spot"] = True
            assert spec(launch) != spec({"spot": True})
            continue
        try:
            used = spec(launch) != plain
        except SpecError:
            used = True
        assert used or unsupported_fields(launch), name


def test_where_a_task_may_run():
    assert regions_of({"region": "eu-west-1", "regions": [EAST]}, {}) == ("eu-west-1",)
    assert regions_of({"regions": [EAST, "us-west-2", EAST]}, {}) == (EAST, "us-west-2")
    assert regions_of({"regions": [{EAST: 3}, {"us-west-2": 1}]}, {}) == (EAST, "us-west-2")
    assert regions_of({}, {"AWS_DEFAULT_REGION": "eu-west-1"}) == ("eu-west-1",)
    assert regions_of({}, {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-1"}) == ("eu-west-2",)
    assert regions_of({}, {}, "ap-northeast-1") == ("ap-northeast-1",)
    assert regions_of({"region": "us-gov-west-1"}, {}) == ("us-gov-west-1",)


@pytest.mark.parametrize("name", ["us-east", "mars", "us-east-1; rm", 'us-east-1"', "us-east-1a"])
def test_a_region_that_is_none(name: str):
    with pytest.raises(SpecError, match="is not a region"):
        regions_of({"region": name}, {})


def test_a_zone_for_a_region():
    with pytest.raises(SpecError, match="write us-east-1, and the zone as `az`"):
        regions_of({"region": "us-east-1b"}, {})


@pytest.mark.parametrize(
    ("launch", "where"),
    [
        ({"az": f"{EAST}a"}, (EAST,)),
        ({"az": "us-west-2-lax-1a"}, ("us-west-2",)),
        ({"az": f"{EAST}a, us-west-2b"}, (EAST, "us-west-2")),
        ({"regions": [EAST, "us-west-2"], "az": "us-west-2b"}, ("us-west-2",)),
        ({"regions": [EAST, "us-west-2"], "az": f"us-west-2b,{EAST}a"}, (EAST, "us-west-2")),
        ({"region": EAST, "az": f"{EAST}a"}, (EAST,)),
        ({}, ()),
    ],
)
def test_a_zone_says_its_region(launch: dict[str, Value], where: tuple[str, ...]):
    """What names a zone of one region would fail in every other."""
    assert named_regions(launch) == where
    for region in where:
        zones = spec(launch, region=region).zones
        assert not launch or (zones and all(zone.startswith(region) for zone in zones))


def test_a_zone_of_none_of_the_regions_is_refused():
    with pytest.raises(SpecError, match='az: "eu-west-1a" is not in us-east-1 or us-west-2; leave it out'):
        named_regions({"regions": [EAST, "us-west-2"], "az": "eu-west-1a"})
    with pytest.raises(SpecError, match='az: "b" is not an availability zone; write it like us-east-1a'):
        named_regions({"az": "b"})


def test_the_operations_guide_s_200_tasks():
    tasks = expand_counts(
        [task("job", count=200, regions=[{EAST: 100}, {"us-west-2": 100}], instance_type="t3.micro")]
    )
    assert Counter(t.launch["region"] for t in tasks) == {EAST: 100, "us-west-2": 100}
    assert len({t.label for t in tasks}) == 200
    assert tasks[0].label == "job_000"
    assert all(t.launch.keys() == {"region", "instance_type"} and t.params == {"lr": 0.1} for t in tasks)


def test_counts_without_places_and_places_without_counts():
    plain = task("a")
    assert expand_counts([plain]) == (plain,)
    three = expand_counts([task(count=3), plain])
    assert [t.label for t in three] == ["", "", "", "a"]
    assert all("count" not in t.launch for t in three)
    either = expand_counts([task(count=2, regions=[EAST, "us-west-2"])])
    assert [t.launch for t in either] == [{"regions": [EAST, "us-west-2"]}] * 2
    assert [t.launch["region"] for t in expand_counts([task(regions=[{EAST: 1, "us-west-2": 2}])])] == [
        EAST, "us-west-2", "us-west-2",
    ]  # fmt: skip
    assert expand_counts([task("solo", count=1)])[0].label == "solo"


@pytest.mark.parametrize(
    ("launch", "says"),
    [
        ({"count": 150, "regions": [{EAST: 100}]}, "is not the sum of the counts"),
        ({"regions": [{EAST: 1}, "us-west-2"]}, "has no count while others have one"),
        ({"regions": [{EAST: -1}]}, "must be a whole number"),
        ({"regions": [{EAST: 1}], "region": EAST}, "stands beside `regions` with counts"),
        ({"count": 2_000_000}, "more than 1,000,000 tasks"),
        ({"regions": []}, "names no region"),
    ],
)
def test_counts_that_do_not_add_up(launch: dict[str, Value], says: str):
    with pytest.raises(SpecError) as told:
        expand_counts([task("x", **launch)])
    assert says in str(told.value)
