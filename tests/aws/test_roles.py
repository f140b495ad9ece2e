"""Policy templates and instance profiles: ours are made once, others are never touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from spawn_tui.engine.aws.errors import AwsError
from spawn_tui.engine.aws.policies import TEMPLATES, TRUST, document_of, name_of
from spawn_tui.engine.aws.roles import LOOKS, ensure_profile, is_pending, is_there, own_profile, profile_of

from .launch_field import FieldCloud, Refusal, account

GUIDE = ("s3:FullAccess", "logs:WriteOnly")
WRITES = ("CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile")


@pytest.fixture
def cloud() -> Iterator[FieldCloud]:
    with account() as it:
        yield it


@pytest.fixture
def waits() -> list[float]:
    return []


def iam(cloud: FieldCloud) -> Any:
    return cloud.client("iam", "us-east-1")


def written(cloud: FieldCloud) -> int:
    return sum(cloud.asked(operation) for operation in WRITES)


def test_a_policy_allows_its_templates_and_the_results_bucket():
    document = json.loads(document_of(GUIDE, "123456789012"))
    allowed = {action: one["Resource"] for one in document["Statement"] for action in one["Action"]}
    assert allowed["s3:*"] == "*"
    assert allowed["logs:PutLogEvents"] == "*"
    assert allowed["s3:PutObject"] == "arn:aws:s3:::spawn-results-123456789012-*/sweeps/*"
    assert len({one["Sid"] for one in document["Statement"]}) == len(document["Statement"])
    assert all(one["Sid"].isalnum() for one in document["Statement"])
    own = json.loads(document_of((), "1", "aws-cn", "lab-bucket"))["Statement"]
    assert [one["Resource"] for one in own] == ["arn:aws-cn:s3:::lab-bucket/sweeps/*"]


def test_every_template_keeps_to_its_service():
    for name, actions in TEMPLATES.items():
        service = name.partition(":")[0]
        assert all(action.startswith(f"{service}:") for action in actions), name
        if not name.endswith("FullAccess"):
            assert not any("*" in action for action in actions), name


def test_other_rights_have_another_name():
    names = [name_of(document_of(templates, "1")) for templates in (GUIDE, GUIDE[::-1], GUIDE[:1], ())]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert name_of(document_of(GUIDE, "1", bucket="b")) != names[0]


def test_a_profile_is_made_tagged_and_made_once(cloud: FieldCloud, waits: list[float]):
    name = ensure_profile(cloud, GUIDE, wait=waits.append)
    assert name == own_profile(cloud, GUIDE)
    profile = iam(cloud).get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == [name]
    assert profile["Tags"] == [{"Key": "spawn:managed", "Value": "true"}]
    role = iam(cloud).get_role(RoleName=name)["Role"]
    assert role["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert role["Tags"] == [{"Key": "spawn:managed", "Value": "true"}]
    policy = iam(cloud).get_role_policy(RoleName=name, PolicyName="spawn-tui")["PolicyDocument"]
    assert policy == json.loads(document_of(GUIDE, "123456789012"))
    assert written(cloud) == 4
    assert ensure_profile(cloud, GUIDE[::-1], wait=waits.append) == name
    assert written(cloud) == 4
    assert is_there(name, cloud)
    assert not is_there(own_profile(cloud, ("ssm:ReadOnly",)), cloud)


def test_half_a_profile_is_completed(cloud: FieldCloud, waits: list[float]):
    name = ensure_profile(cloud, GUIDE, wait=waits.append)
    iam(cloud).remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
    iam(cloud).delete_role_policy(RoleName=name, PolicyName="spawn-tui")
    ensure_profile(cloud, GUIDE, wait=waits.append)
    assert iam(cloud).get_role_policy(RoleName=name, PolicyName="spawn-tui")
    assert iam(cloud).get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]


@pytest.mark.parametrize("what", ["role", "profile"])
def test_what_is_not_ours_is_never_touched(cloud: FieldCloud, waits: list[float], what: str):
    name = own_profile(cloud, GUIDE)
    if what == "role":
        iam(cloud).create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    else:
        iam(cloud).create_instance_profile(InstanceProfileName=name)
    before = cloud.asked("PutRolePolicy"), cloud.asked("AddRoleToInstanceProfile")
    with pytest.raises(AwsError, match=f"{what} {name} is not ours"):
        ensure_profile(cloud, GUIDE, wait=waits.append)
    if what == "role":
        assert (cloud.asked("PutRolePolicy"), cloud.asked("AddRoleToInstanceProfile")) == before
        assert not iam(cloud).list_role_policies(RoleName=name)["PolicyNames"]
    else:
        assert not iam(cloud).get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]


def test_iam_that_forgets_what_it_just_made(cloud: FieldCloud, waits: list[float]):
    """For three looks the new role is not to be seen, and making it again is refused."""
    missing = iter([True] * 3)

    def get_role(request: dict[str, Any]) -> Refusal | None:
        return Refusal("NoSuchEntity", "no such role", 404) if next(missing, False) else None

    cloud.replies["GetRole"] = get_role
    name = ensure_profile(cloud, GUIDE, wait=waits.append)
    assert iam(cloud).get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
    assert len(waits) >= 3


def test_another_process_is_a_moment_ahead(cloud: FieldCloud, waits: list[float]):
    raced = iter([True])

    def add(request: dict[str, Any]) -> Refusal | None:
        if next(raced, False):
            iam(cloud).add_role_to_instance_profile(**request)
            return Refusal(
                "LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1", 409
            )
        return None

    cloud.replies["AddRoleToInstanceProfile"] = add
    assert is_there(ensure_profile(cloud, GUIDE, wait=waits.append), cloud)


def test_waiting_ends(cloud: FieldCloud, waits: list[float]):
    cloud.refuse("GetInstanceProfile", "NoSuchEntity", "no such profile", 404)
    with pytest.raises(AwsError, match="did not become usable"):
        ensure_profile(cloud, GUIDE, wait=waits.append)
    assert len(waits) == LOOKS - 1
    assert sum(waits) <= 60


def test_a_missing_permission_is_named_and_not_repeated(cloud: FieldCloud, waits: list[float]):
    words = "User: arn:aws:iam::1:user/x is not authorized to perform: iam:CreateRole on resource: role spawn-tui-1"
    cloud.refuse("CreateRole", "AccessDenied", words, 403)
    with pytest.raises(AwsError) as told:
        ensure_profile(cloud, GUIDE, wait=waits.append)
    assert told.value.action == "iam:CreateRole"
    assert not waits


def test_a_user_s_profile_by_name_arn_or_role(cloud: FieldCloud):
    iam(cloud).create_role(RoleName="ml-role", AssumeRolePolicyDocument=TRUST)
    made = iam(cloud).create_instance_profile(InstanceProfileName="ml-profile")["InstanceProfile"]
    iam(cloud).add_role_to_instance_profile(InstanceProfileName="ml-profile", RoleName="ml-role")
    role = iam(cloud).get_role(RoleName="ml-role")["Role"]
    before = written(cloud)
    for given in ("ml-profile", made["Arn"], "ml-role", role["Arn"]):
        assert profile_of(given, cloud) == "ml-profile"
    with pytest.raises(AwsError) as told:
        profile_of("nobody", cloud)
    assert told.value.kind == "not_found"
    assert written(cloud) == before


def test_a_profile_that_ec2_does_not_know_yet():
    words = "Value (spawn-tui-1) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    assert is_pending(AwsError("invalid", "InvalidParameterValue", words))
    assert not is_pending(
        AwsError("invalid", "InvalidParameterValue", "Value (x) for parameter groupId is invalid.")
    )
    assert not is_pending(AwsError("permission", "UnauthorizedOperation", "iamInstanceProfile"))
