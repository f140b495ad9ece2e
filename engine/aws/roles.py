"""Instance profiles: the user's own, looked up, and ours for `iam_policy`, made when they are missing.

Ours are called after what they allow, so that none is ever changed; a role or profile without our tag is never touched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from .cloud import Cloud, asked
from .errors import AwsError
from .model import TAG_MANAGED
from .policies import TRUST, document_of, name_of

_POLICY = "spawn-tui"
"""The name of a role's only policy."""
_TAGS = [{"Key": TAG_MANAGED, "Value": "true"}]
LOOKS = 15
"""How often a profile that is being made is looked at; with the pauses between, half a minute."""
_PAUSE = 2.0
"""Seconds between two looks."""


def own_profile(cloud: Cloud, templates: Sequence[str], bucket: str = "") -> str:
    """What the profile with `templates` is called in this account, there or not. Raises `AwsError`."""
    return name_of(_document(cloud, templates, bucket))


def is_there(name: str, cloud: Cloud) -> bool:
    """Whether there is an instance profile called `name`. Raises `AwsError`."""
    try:
        with asked("GetInstanceProfile"):
            cloud.client("iam", cloud.home_region()).get_instance_profile(InstanceProfileName=name)
    except AwsError as error:
        if error.kind != "not_found":
            raise
        return False
    return True


def ensure_profile(
    cloud: Cloud,
    templates: Sequence[str],
    bucket: str = "",
    *,
    wait: Callable[[float], None] = time.sleep,
) -> str:
    """The name of our profile with `templates`, made if it is missing; safe in several processes at once.

    IAM is only consistent in the end: every step is repeated until its outcome shows, within `LOOKS` looks. EC2 may
    still not know it for some seconds: `is_pending`. Raises `AwsError`, also where something of that name is not ours.
    """
    document = _document(cloud, templates, bucket)
    name = name_of(document)
    iam = cloud.client("iam", cloud.home_region())
    fault: AwsError | None = None
    for look in range(LOOKS):
        if look:
            wait(_PAUSE)
        try:
            if _is_complete(iam, name, document):
                return name
        except AwsError as error:
            # Another process made it first, or IAM does not know yet what it made a moment ago.
            if error.kind != "not_found" and error.code not in ("EntityAlreadyExists", "LimitExceeded"):
                raise
            fault = error
    reason = f": {fault}" if fault else ""
    raise AwsError(
        "other", "", f"the instance profile {name} did not become usable{reason}", "CreateInstanceProfile"
    )


def profile_of(role: str, cloud: Cloud) -> str:
    """The name of the user's instance profile, given as its name, its ARN or the name of a role that has one.

    Raises `AwsError`, of kind `not_found` if there is none.
    """
    name = role.rpartition("/")[2] if role.startswith("arn:") else role
    iam = cloud.client("iam", cloud.home_region())
    if role.partition(":role/")[1] == "":
        try:
            with asked("GetInstanceProfile"):
                return str(
                    iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"][
                        "InstanceProfileName"
                    ]
                )
        except AwsError as error:
            if error.kind != "not_found":
                raise
    with asked("ListInstanceProfilesForRole"):
        found = iam.list_instance_profiles_for_role(RoleName=name).get("InstanceProfiles", [])
    if not found:
        raise AwsError(
            "not_found", "NoSuchEntity", f"there is no instance profile {name}, nor one of a role {name}"
        )
    return str(found[0]["InstanceProfileName"])


def is_pending(error: AwsError) -> bool:
    """Whether EC2 does not know a profile (yet): within two minutes of its making, asking again helps."""
    return error.code == "InvalidParameterValue" and "iaminstanceprofile" in error.words.lower()


def _document(cloud: Cloud, templates: Sequence[str], bucket: str) -> str:
    account, arn = cloud.caller()
    return document_of(templates, account, arn.split(":")[1], bucket)


def _is_complete(iam: Any, name: str, document: str) -> bool:
    """Whether role, policy and profile are all there; makes what is missing, and then says no."""
    made = _make_role(iam, name)
    made = _make_policy(iam, name, document) or made
    return not (_make_profile(iam, name) or made)


def _make_role(iam: Any, name: str) -> bool:
    try:
        with asked("GetRole"):
            role = iam.get_role(RoleName=name)["Role"]
    except AwsError as error:
        if error.kind != "not_found":
            raise
        with asked("CreateRole"):
            iam.create_role(
                RoleName=name,
                AssumeRolePolicyDocument=TRUST,
                Description="What instances of spawn-tui may do (iam_policy)",
                Tags=_TAGS,
            )
        return True
    _refuse_foreign(f"role {name}", role)
    return False


def _make_policy(iam: Any, name: str, document: str) -> bool:
    try:
        with asked("GetRolePolicy"):
            told = iam.get_role_policy(RoleName=name, PolicyName=_POLICY)["PolicyDocument"]
    except AwsError as error:
        if error.kind != "not_found":
            raise
    else:
        if told == json.loads(document):
            return False
    with asked("PutRolePolicy"):
        iam.put_role_policy(RoleName=name, PolicyName=_POLICY, PolicyDocument=document)
    return True


def _make_profile(iam: Any, name: str) -> bool:
    try:
        with asked("GetInstanceProfile"):
            profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    except AwsError as error:
        if error.kind != "not_found":
            raise
        with asked("CreateInstanceProfile"):
            profile = iam.create_instance_profile(InstanceProfileName=name, Tags=_TAGS)["InstanceProfile"]
    else:
        _refuse_foreign(f"instance profile {name}", profile)
        if any(role["RoleName"] == name for role in profile["Roles"]):
            return False
    with asked("AddRoleToInstanceProfile"):
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return True


def _refuse_foreign(what: str, told: dict[str, Any]) -> None:
    tags = {tag["Key"]: tag["Value"] for tag in told.get("Tags", [])}
    if tags.get(TAG_MANAGED) != "true":
        words = (
            f"the {what} is not ours: it has no tag {TAG_MANAGED}; rename it, or name a profile as `iam_role`"
        )
        raise AwsError("other", "", words)
