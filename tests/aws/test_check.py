"""All that is checked before a launch: definite noes are errors and told together, doubts are warnings."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from spawn_tui.engine.aws.check import Findings, Group, Place, check_launch, resolved
from spawn_tui.engine.aws.errors import AwsError
from spawn_tui.engine.aws.images import newest_al2023
from spawn_tui.engine.aws.model import InstanceSpec
from spawn_tui.engine.aws.policies import TRUST
from spawn_tui.engine.aws.spec import SpecError

from .launch_field import FieldCloud, Refusal, account

EAST, WEST = "us-east-1", "us-west-2"
ALLOWED = {"GetCallerIdentity", "RunInstances", "GetParameter", "GetServiceQuota"}
"""Operations of a check that do not begin with Describe, Get or List, or are looked at one by one."""


@pytest.fixture
def cloud() -> Iterator[FieldCloud]:
    with account() as it:
        yield it


def spec(region: str = EAST, types: str = "t3.micro", **more: Any) -> InstanceSpec:
    return InstanceSpec(region, tuple(types.split("|")), **{"ttl": 3600.0, **more})


def check(
    cloud: FieldCloud, *specs: InstanceSpec, tags: Mapping[str, str] | None = None, **more: Any
) -> Findings:
    place = Place(cloud) if tags is None else Place(cloud, tags=tags)
    groups = [Group(one, (number,), place) for number, one in enumerate(specs, 1)]
    return check_launch(groups, **more)


def test_what_is_right_passes_without_a_word_and_changes_nothing(cloud: FieldCloud):
    ec2, iam = cloud.client("ec2", EAST), cloud.client("iam", EAST)
    ec2.create_key_pair(KeyName="mine")
    iam.create_instance_profile(InstanceProfileName="ml")
    vpc = ec2.describe_subnets()["Subnets"][0]
    before = len(cloud.calls)
    found = check(
        cloud,
        spec(key_name="mine", iam_role="ml", subnets=(vpc["SubnetId"],), security_groups=("default",)),
        spec(types="t4g.micro", iam_policy=("s3:FullAccess",)),
        spec(WEST, "c5.*", spot=True, zones=(f"{WEST}a",)),
    )
    assert (found.errors, found.warnings) == ((), ())
    asked = {operation for *_, operation in cloud.calls[before:]}
    assert all(name.startswith(("Describe", "Get", "List")) for name in asked - {"RunInstances"})
    assert cloud.asked("RunInstances") == 3
    assert not ec2.describe_instances()["Reservations"]
    assert found.specs[0].security_groups[0].startswith("sg-")
    assert found.specs[2].types[:2] == ("c5.large", "c5.xlarge")
    assert [one.ttl for one in found.specs] == [3600.0] * 3


def test_everything_that_is_wrong_is_told_together(cloud: FieldCloud):
    arm = newest_al2023(EAST, "arm64", cloud)
    cloud.client("ec2", EAST).create_key_pair(KeyName="spawn-key")
    found = check(
        cloud,
        spec(types="t3.mikro"),
        spec(ami="ami-00000000000000000"),
        spec(ami=arm),
        spec(key_name="spawn-kee"),
        spec(iam_role="nobody"),
        spec(subnets=("subnet-00000000",)),
        spec(security_groups=("sg-00000000", "nix")),
        spec("eu-wst-1"),
        spec("ap-east-1"),
        spec(disk_size=1),
        spec(types="t3.micro", zones=(f"{EAST}z",)),
        spec(),
    )
    said = "\n".join(found.errors)
    for words in (
        'us-east-1: t3.mikro is not offered there; did you mean "t3.micro"? (task 1)',
        "ami-00000000000000000",
        f"the image {arm} is for arm64, and t3.micro is x86_64; leave `ami` out, or choose another type (task 3)",
        'us-east-1: there is no key pair spawn-kee; did you mean "spawn-key"? (task 4)',
        "iam_role: there is no instance profile nobody, nor one of a role nobody; make one",
        "there is no subnet subnet-00000000; ids differ from region to region (task 6)",
        "there is no security group sg-00000000 (task 7)",
        "there is no security group nix (task 7)",
        'there is no region eu-wst-1; did you mean "eu-west-1"? (task 8)',
        "the region ap-east-1 is not enabled for this account; enable it first (task 9)",
        "disk_size: 1 GiB is less than the",
        "t3.micro is not offered in us-east-1z, only in us-east-1a",
    ):
        assert words in said, words
    # One line each, security groups two; nothing is wrong with the twelfth task.
    assert len(found.errors) == 12
    assert found.refused == frozenset(range(11))
    assert not any("task 12" in line for line in found.errors)
    assert {region for region, *_ in cloud.calls} == {EAST}


def test_equal_questions_are_asked_once(cloud: FieldCloud):
    cloud.client("ec2", EAST).create_key_pair(KeyName="mine")
    many = [spec(key_name="mine", ttl=3600.0 + n, user_data=f"echo {n}") for n in range(50)]
    assert not check(cloud, *many).errors
    for operation in (
        "DescribeKeyPairs",
        "RunInstances",
        "DescribeRegions",
        "GetServiceQuota",
        "GetParameter",
    ):
        assert cloud.asked(operation) == 1, operation


def test_a_dry_run_asks_for_what_will_be_launched(cloud: FieldCloud):
    requests: list[dict[str, Any]] = []

    def run(request: dict[str, Any]) -> Refusal:
        requests.append(request)
        return Refusal("DryRunOperation", "would have succeeded", 412)

    cloud.replies["RunInstances"] = run
    cloud.client("iam", EAST).create_instance_profile(InstanceProfileName="ml")
    check(
        cloud,
        spec(iam_role="ml", spot=True, tags=(("team", "ml"),), zones=(f"{EAST}b",)),
        tags={"spawn:sweep-id": "s-1"},
    )
    (request,) = requests
    assert request["DryRun"] is True
    assert request["IamInstanceProfile"] == {"Name": "ml"}
    assert request["Placement"] == {"AvailabilityZone": f"{EAST}b"}
    assert request["InstanceMarketOptions"]["MarketType"] == "spot"
    assert request["MetadataOptions"]["HttpTokens"] == "required"
    assert request["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    for one in request["TagSpecifications"]:
        assert {"Key": "spawn:sweep-id", "Value": "s-1"} in one["Tags"]
        assert {"Key": "team", "Value": "ml"} in one["Tags"]
    assert not {"ClientToken", "UserData"} & request.keys()


def test_a_launch_that_is_not_allowed_is_an_error_without_its_encoded_tail(cloud: FieldCloud):
    words = (
        "You are not authorized to perform this operation. User: u is not authorized to perform: iam:PassRole on "
        "resource: r. Encoded authorization failure message: AbCdEf0123456789"
    )
    cloud.refuse("RunInstances", "UnauthorizedOperation", words, 403)
    (error,) = check(cloud, spec()).errors
    assert "a launch of t3.micro is not allowed: iam:PassRole is missing" in error
    assert "AbCdEf" not in error


def test_a_request_that_cannot_be_made_is_an_error(cloud: FieldCloud):
    (error,) = check(cloud, spec(tags=tuple((f"k{n}", "v") for n in range(60)))).errors
    assert "a launch of t3.micro is not possible: 6" in error
    assert "EC2 takes 50" in error


def test_a_type_that_one_zone_does_not_have_is_tried_in_the_next(cloud: FieldCloud):
    tried: list[tuple[str, str]] = []

    def run(request: dict[str, Any]) -> Refusal:
        tried.append((request["InstanceType"], request["Placement"]["AvailabilityZone"]))
        good = tried[-1] == ("t3.small", f"{EAST}b")
        return Refusal("DryRunOperation" if good else "Unsupported", "your zone does not have it", 400)

    cloud.replies["RunInstances"] = run
    two = spec(types="t3.micro|t3.small", zones=(f"{EAST}a", f"{EAST}b"))
    assert not check(cloud, two).errors
    assert len(tried) == 4
    cloud.refuse("RunInstances", "Unsupported", "your zone does not have it")
    (error,) = check(cloud, two).errors
    assert "a launch of t3.micro: Unsupported: your zone does not have it" in error


@pytest.mark.parametrize(
    ("operation", "code", "words", "says"),
    [
        ("DescribeKeyPairs", "UnauthorizedOperation", "You are not authorized", "ec2:DescribeKeyPairs is not allowed"),
        ("DescribeInstanceTypes", "UnauthorizedOperation", "x is not authorized to perform: ec2:DescribeInstanceTypes",
         "ec2:DescribeInstanceTypes is not allowed"),
        ("DescribeImages", "RequestLimitExceeded", "slow down", "could not be checked: RequestLimit"),
        ("GetInstanceProfile", "AccessDenied", "x is not authorized to perform: iam:GetInstanceProfile on y",
         "iam:GetInstanceProfile is not allowed"),
        ("DescribeSubnets", "UnauthorizedOperation", "no", "is not allowed"),
        ("DescribeSecurityGroups", "UnauthorizedOperation", "no", "is not allowed"),
        ("DescribeRegions", "UnauthorizedOperation", "no", "the regions could not be checked: ec2:DescribeRegions"),
        ("GetServiceQuota", "AccessDeniedException", "x is not authorized to perform: servicequotas:GetServiceQuota",
         "servicequotas:GetServiceQuota is not allowed"),
        ("GetServiceQuota", "ServiceException", "broken", "L-1216C47A) could not be checked"),
        ("DescribeInstanceTypeOfferings", "RequestLimitExceeded", "slow down", "could not be checked: RequestLimit"),
        ("RunInstances", "InternalError", "oops", "a launch of t3.micro could not be checked: InternalError: oops"),
    ],
)  # fmt: skip
def test_what_could_not_be_asked_is_a_warning(
    cloud: FieldCloud, operation: str, code: str, words: str, says: str
):
    ec2 = cloud.client("ec2", EAST)
    ec2.create_key_pair(KeyName="mine")
    cloud.client("iam", EAST).create_instance_profile(InstanceProfileName="ml")
    subnet = ec2.describe_subnets()["Subnets"][0]
    (group, *_) = ec2.describe_security_groups()["SecurityGroups"]
    ami = newest_al2023(EAST, "x86_64", cloud)
    cloud.refuse(operation, code, words, 403)
    found = check(
        cloud,
        spec(
            key_name="mine", iam_role="ml", subnets=(subnet["SubnetId"],), security_groups=(group["GroupId"],),
            zones=(subnet["AvailabilityZone"],), ami=ami,
        ),
    )  # fmt: skip
    assert found.errors == ()
    assert any(says in line for line in found.warnings), found.warnings


@pytest.mark.parametrize(
    ("operation", "code", "types", "says"),
    [
        ("GetParameter", "AccessDeniedException", "t3.micro",
         "the newest Amazon Linux 2023 cannot be found: GetParameter is not allowed (AccessDeniedException); allow it, "
         "or name an image as `ami`"),
        ("DescribeImages", "UnauthorizedOperation", "t3.micro", "2023 cannot be found: ec2:DescribeImages is not"),
        ("DescribeInstanceTypes", "UnauthorizedOperation", "t3.micro", "the image for t3.micro cannot be found"),
        ("DescribeInstanceTypes", "UnauthorizedOperation", "c5.*", "allow it, or write the types themselves"),
    ],
)  # fmt: skip
def test_a_right_that_the_launch_itself_needs(
    cloud: FieldCloud, operation: str, code: str, types: str, says: str
):
    cloud.refuse(operation, code, "no", 403)
    (error,) = check(cloud, spec(types=types)).errors
    assert says in error


def test_quotas_against_the_peak(cloud: FieldCloud):
    cloud.replies["GetServiceQuota"] = lambda request: {"Quota": {"Value": 32.0}}

    def groups(east: int) -> list[Group]:
        there = Place(cloud, at_once=east)
        return [
            Group(spec(types="c5.xlarge"), tuple(range(1, 101)), there),
            Group(spec(WEST), (101,), Place(cloud, at_once=10)),
        ]

    found = check_launch(groups(10))
    (error,) = found.errors
    assert not found.refused  # more may be granted, or room be made
    assert (
        "us-east-1: the sweep needs 40 vCPUs at its peak, and the quota “Running On-Demand Standard "
        "(A, C, D, H, I, M, R, T, Z) instances” (L-1216C47A) is 32; use --max-concurrent 8 there" in error
    )
    assert "(tasks 1-100)" in error
    assert check_launch(groups(8)).errors == ()
    assert "not even one instance fits" in check(cloud, spec(types="c5.12xlarge")).errors[0]
    asked: list[str] = []
    cloud.replies["GetServiceQuota"] = lambda request: (
        asked.append(request["QuotaCode"]) or {"Quota": {"Value": 32.0}}
    )
    check(cloud, spec(types="g5.xlarge", spot=True))
    assert asked == ["L-3819A6DF"]


def test_fallbacks_that_cannot_be_had_are_left_out(cloud: FieldCloud):
    found = check(cloud, spec(types="t3.mikro|t3.micro"), spec(types="g5.xlarge|c5.large", hibernate=True))
    assert found.errors == ()
    assert [one.types for one in found.specs] == [("t3.micro",), ("c5.large",)]
    assert found.warnings == (
        'us-east-1: t3.mikro is not offered there; did you mean "t3.micro"?; it is left out (task 1)',
        "us-east-1: g5.xlarge cannot hibernate; it is left out (task 2)",
    )
    (error,) = check(cloud, spec(types="g5.*", hibernate=True)).errors
    assert "g5.xlarge cannot hibernate" in error


def test_an_instance_that_nothing_ends(cloud: FieldCloud):
    found = check(cloud, spec(ttl=None), spec(ttl=None, idle_timeout=900.0), spec(ttl=60.0))
    assert found.errors == ()
    assert found.warnings[0].startswith(
        "without `ttl` and `idle_timeout` an instance whose task hangs runs, and costs"
    )
    assert found.warnings[0].endswith("(task 1)")
    assert found.warnings[1] == (
        "ttl: 1m may be over before the work begins; an instance needs up to 3m to boot (task 3)"
    )
    assert len(found.warnings) == 2


def test_credentials_that_end_before_the_instance(cloud: FieldCloud, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cloud, "credentials_last", lambda: 2_000_000_000.0)
    specs = (
        spec(),
        spec(ttl=7300.0),
        spec(ttl=9000.0, iam_policy=("s3:FullAccess",)),
        spec(ttl=None, idle_timeout=900.0),
    )
    found = check(cloud, *specs, now=lambda: 2_000_000_000.0 - 7200.0)
    assert found.errors == ()
    assert [line.rpartition("(")[2] for line in found.warnings] == ["task 2)", "task 4)"]
    assert "(the credentials you are logged in with end then), their TTL ends at" in found.warnings[0]
    monkeypatch.setattr(cloud, "credentials_last", lambda: None)
    found = check(cloud, spec(), spec(ttl=8 * 86400.0), spec(ttl=None, idle_timeout=900.0))
    assert [line.rpartition("(")[2] for line in found.warnings] == ["task 2)"]
    assert "S3 signs for 7 days at most" in found.warnings[0]


def test_without_access_nothing_else_is_asked(cloud: FieldCloud):
    cloud.refuse(
        "GetCallerIdentity", "ExpiredToken", "The security token included in the request is expired", 403
    )
    found = check(cloud, spec(), spec(WEST))
    assert len(found.errors) == 1
    assert "no access to AWS: ExpiredToken: The security token" in found.errors[0]
    assert "aws sso login" in found.errors[0]
    assert {operation for *_, operation in cloud.calls} == {"GetCallerIdentity"}
    assert len(found.specs) == 2


def test_what_is_not_answered_in_time_is_a_warning(cloud: FieldCloud):
    release = threading.Event()
    cloud.client("ec2", EAST).create_key_pair(KeyName="mine")
    asked = threading.Event()

    def hang(request: dict[str, Any]) -> None:
        asked.set()
        release.wait(60)

    cloud.replies["DescribeKeyPairs"] = hang
    try:
        found = check(cloud, spec(key_name="mine"), limit=0.5)
        assert asked.wait(60)
        assert found.errors == ()
        assert any("there was no answer in time" in line for line in found.warnings)
    finally:
        release.set()


def test_a_group_s_name_must_be_that_of_one(cloud: FieldCloud):
    ec2 = cloud.client("ec2", EAST)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    inside = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone=f"{EAST}a")["Subnet"][
        "SubnetId"
    ]
    (error,) = check(cloud, spec(security_groups=("default",))).errors
    assert "several security groups are called default; write one of sg-" in error
    found = check(cloud, spec(subnets=(inside,), security_groups=("default",)))
    assert found.errors == ()
    groups = ec2.describe_security_groups(GroupIds=list(found.specs[0].security_groups))["SecurityGroups"]
    assert [group["VpcId"] for group in groups] == [vpc]
    other = ec2.create_security_group(GroupName="ours", Description="x")["GroupId"]
    (error,) = check(cloud, spec(subnets=(inside,), security_groups=(other,))).errors
    assert "is not in the VPC of the subnet" in error
    (error,) = check(cloud, spec(subnets=(inside,), zones=(f"{EAST}b",))).errors
    assert f"is in {EAST}a; leave `az` out" in error


def test_a_spec_made_ready_for_its_launch(cloud: FieldCloud):
    iam = cloud.client("iam", EAST)
    iam.create_role(RoleName="ml-role", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="ml")
    iam.add_role_to_instance_profile(InstanceProfileName="ml", RoleName="ml-role")
    ready = resolved(spec(types="t3.*|c5.large", iam_role="ml-role", security_groups=("default",)), cloud)
    assert ready.types[0] == "t3.nano"
    assert ready.types[-1] == "c5.large"
    assert ready.iam_role == "ml"
    assert ready.security_groups[0].startswith("sg-")
    assert resolved(ready, cloud) == ready
    with pytest.raises(SpecError, match="key_name: us-east-1: there is no key pair nix"):
        resolved(spec(key_name="nix"), cloud)


def test_a_pattern_that_cannot_be_asked_about_is_no_launch(cloud: FieldCloud):
    cloud.refuse("DescribeInstanceTypes", "RequestLimitExceeded", "slow down", 503)
    with pytest.raises(AwsError) as told:
        resolved(spec(types="t3.*"), cloud)
    assert told.value.kind == "throttled"
    found = check(cloud, spec(types="t3.*"))
    assert found.errors == ()
    assert "could not be checked: RequestLimitExceeded" in found.warnings[0]


# --- tasks that may run in several places ------------------------------------------------------------------------


def test_a_no_in_one_region_is_a_warning_where_another_takes_the_tasks(cloud: FieldCloud):
    """And an error for those that could be launched nowhere."""
    cloud.client("ec2", EAST).create_key_pair(KeyName="mine")
    east, west = Place(cloud, "east"), Place(cloud, "west")
    found = check_launch(
        [
            Group(spec(key_name="mine"), (1, 2), east),
            Group(spec(WEST, key_name="mine"), (1, 2, 3), west),
            Group(spec(WEST), (4,), west),
        ]
    )
    assert found.errors == (
        "us-west-2: there is no key pair mine; import it there, or leave `key_name` out (task 3)",
    )
    assert found.warnings == (
        "us-west-2: there is no key pair mine; import it there, or leave `key_name` out (tasks 1-2); "
        "launched only in us-east-1",
    )
    assert found.refused == {1}


def test_different_noes_in_all_regions_of_a_task_are_errors(cloud: FieldCloud):
    cloud.client("ec2", EAST).create_key_pair(KeyName="mine")
    place = Place(cloud)
    found = check_launch(
        [Group(spec(types="t3.mikro"), (1,), place), Group(spec(WEST, key_name="mine"), (1,), place)]
    )
    assert len(found.errors) == 2 and found.warnings == ()
    assert {error.partition(":")[0] for error in found.errors} == {EAST, WEST}


def test_each_place_is_asked_with_its_own_account_and_tags(cloud: FieldCloud):
    """A role may allow a launch by the tags of its source, and a key pair is of one account."""
    with account() as other:
        mine = Place(cloud, "a", tags={"spawn:source": "a"})
        theirs = Place(other, "b", tags={"spawn:source": "b"})
        requests: list[dict[str, Any]] = []

        def run(request: dict[str, Any]) -> Refusal:
            requests.append(request)
            return Refusal("DryRunOperation", "would have succeeded", 412)

        cloud.replies["RunInstances"] = other.replies["RunInstances"] = run
        other.refuse("DescribeKeyPairs", "UnauthorizedOperation", "no", 403)
        cloud.client("ec2", EAST).create_key_pair(KeyName="mine")
        found = check_launch([Group(spec(key_name="mine"), (1,), it) for it in (mine, theirs)])
        assert found.errors == ()
        (warning,) = found.warnings
        assert "ec2:DescribeKeyPairs is not allowed" in warning
        tags = [request["TagSpecifications"][0]["Tags"] for request in requests]
        assert sorted(pair["Value"] for pairs in tags for pair in pairs if pair["Key"] == "spawn:source") == [
            "a",
            "b",
        ]


def test_without_access_to_one_account_the_other_takes_the_tasks(cloud: FieldCloud):
    with account() as other:
        other.refuse("GetCallerIdentity", "ExpiredToken", "The security token is expired", 403)
        both = [Place(cloud, "lab"), Place(other, "home")]
        found = check_launch([Group(spec(), (1,), both[0]), Group(spec(WEST), (1,), both[1])])
        assert found.errors == ()
        (warning,) = found.warnings
        assert warning.startswith("us-west-2: home: no access to AWS: ExpiredToken")
        assert warning.endswith("launched only in us-east-1")


def test_the_quotas_of_regions_that_share_their_tasks(cloud: FieldCloud):
    """A hundred tasks in either of two regions are fifty in each."""
    codes = {"L-1216C47A": EAST, "L-34B43A08": WEST}
    quota: dict[str, float] = {}
    cloud.replies["GetServiceQuota"] = lambda request: {
        "Quota": {"Value": quota[codes[request["QuotaCode"]]]}
    }
    tasks = tuple(range(1, 101))

    def found(at_once: int | None = None, *, east: float = 100.0, west: float = 100.0) -> Findings:
        quota.update({EAST: east, WEST: west})
        places = [Place(cloud, at_once=at_once) for _ in quota]
        return check_launch([Group(spec(), tasks, places[0]), Group(spec(WEST, spot=True), tasks, places[1])])

    assert (found().errors, found().warnings) == ((), ())
    tight = found(west=40.0, east=200.0)
    assert tight.errors == () and not tight.refused
    assert [line.partition(":")[0] for line in tight.warnings] == [WEST]
    assert "needs 100 vCPUs at its peak" in tight.warnings[0]
    both = found(west=40.0, east=40.0)
    assert len(both.errors) == 2 and both.warnings == ()
    assert found(at_once=40, west=40.0, east=40.0).errors == ()  # forty at a time are twenty in each


def test_what_an_instance_is_started_with_must_not_be_too_long(
    cloud: FieldCloud, monkeypatch: pytest.MonkeyPatch
):
    """The user's own script travels in the pack; what makes it long is the token in every signature."""
    assert not check(cloud, spec(user_data="#!/bin/sh\n" + "x" * 100_000)).errors
    monkeypatch.setenv("AWS_SESSION_TOKEN", os.urandom(6000).hex())
    with_token = FieldCloud(boto3.session.Session())
    with_token.replies = cloud.replies
    found = check(with_token, spec(), spec(iam_policy=("s3:FullAccess",)))
    (error,) = found.errors
    assert error.startswith("us-east-1: the user data has ") and "EC2 takes 16384" in error
    assert "shorter session token" in error
