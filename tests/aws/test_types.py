"""Instance types: patterns, what a region offers, quotas by family and market."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from spawn_tui.engine.aws.errors import AwsError
from spawn_tui.engine.aws.quotas import Allowance, Need, Quota, allowance, needed, quota_of, quota_words
from spawn_tui.engine.aws.types import expand, nearest, type_info, zones_of

from .launch_field import FieldCloud, Refusal, account

T = TypeVar("T")
EAST = "us-east-1"
STANDARD = Quota("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances")


@pytest.fixture(scope="module")
def cloud():
    with account() as it:
        yield it


def test_a_family_is_tried_smallest_first_and_never_as_bare_metal(cloud: FieldCloud):
    sizes = expand("c5.*", EAST, cloud)
    assert sizes[:3] == ("c5.large", "c5.xlarge", "c5.2xlarge")
    vcpus = [info.vcpus for name in sizes if (info := type_info(name, EAST, cloud))]
    assert vcpus == sorted(vcpus)
    assert "c5.metal" not in sizes
    assert expand("c5.metal", EAST, cloud) == ("c5.metal",)
    assert expand("t3.*", EAST, cloud)[:2] == ("t3.nano", "t3.micro")


def test_fallbacks_keep_their_order_and_lose_what_is_not_offered(cloud: FieldCloud):
    assert expand("m5.large|c5.large|m5.large", EAST, cloud) == ("m5.large", "c5.large")
    assert expand("zz9.huge|c5.large", EAST, cloud) == ("c5.large",)
    assert expand("zz9.*", EAST, cloud) == ()


def test_what_a_type_is(cloud: FieldCloud):
    micro = type_info("t3.micro", EAST, cloud)
    assert micro is not None
    assert (micro.vcpus, micro.memory_gib, micro.architecture, micro.gpus) == (2, 1.0, "x86_64", 0)
    gpu, arm, old = (type_info(name, EAST, cloud) for name in ("g5.xlarge", "t4g.micro", "t2.micro"))
    assert gpu is not None
    assert gpu.gpus == 1
    assert arm is not None
    assert arm.architecture == "arm64"
    # It can run 32 bits as well; images are chosen for 64.
    assert old is not None
    assert old.architecture == "x86_64"
    assert type_info("t3.mikro", EAST, cloud) is None
    assert nearest("t3.mikro", EAST, cloud) == "t3.micro"
    assert nearest("zz9.huge", EAST, cloud) == ""


def test_zones_that_offer_it(cloud: FieldCloud):
    assert "us-east-1a" in zones_of("t3.micro", EAST, cloud)
    assert zones_of("zz9.huge", EAST, cloud) == frozenset()


def test_a_family_is_asked_for_once_and_a_failure_is_not_kept():
    with account() as cloud:
        cloud.refuse("DescribeInstanceTypes", "RequestLimitExceeded", "slow down", 503)
        with pytest.raises(AwsError) as told:
            expand("c5.large", EAST, cloud)
        assert told.value.kind == "throttled"
        del cloud.replies["DescribeInstanceTypes"]
        before = cloud.asked("DescribeInstanceTypes")
        for pattern in ("c5.large", "c5.xlarge", "c5.*", "c5.large"):
            assert expand(pattern, EAST, cloud)
        assert cloud.asked("DescribeInstanceTypes") == before + 1
        expand("c5.large", "us-west-2", cloud)
        assert cloud.asked("DescribeInstanceTypes") == before + 2


@pytest.mark.parametrize(
    ("name", "on_demand", "spot"),
    [
        ("t3.micro", "L-1216C47A", "L-34B43A08"), ("c7i.large", "L-1216C47A", "L-34B43A08"),
        ("im4gn.large", "L-1216C47A", "L-34B43A08"), ("is4gen.large", "L-1216C47A", "L-34B43A08"),
        ("g5.xlarge", "L-DB2E81BA", "L-3819A6DF"), ("gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("vt1.3xlarge", "L-DB2E81BA", "L-3819A6DF"), ("p5.48xlarge", "L-417A185B", "L-7212CCBC"),
        ("x2gd.large", "L-7295265B", "L-E3A00192"), ("inf2.xlarge", "L-1945791B", "L-B5D1601B"),
        ("trn1.2xlarge", "L-2C3B7624", "L-6B0D517C"), ("dl1.24xlarge", "L-6E869C2A", "L-85EED4F7"),
        ("f1.2xlarge", "L-74FC7D96", "L-88CF9481"), ("hpc7g.4xlarge", "L-F7808C92", None),
        ("u-6tb1.56xlarge", "L-43DA4232", None), ("mac1.metal", None, None),
    ],
)  # fmt: skip
def test_quotas_by_family_and_market(name: str, on_demand: str | None, spot: str | None):
    found = quota_of(name, "on-demand"), quota_of(name, "spot")
    assert tuple(quota and quota.code for quota in found) == (on_demand, spot)


def test_the_peak_is_that_of_the_largest_that_may_run_together():
    needs = [
        Need(EAST, "c5.4xlarge", "on-demand", 16, 2),
        Need(EAST, "t3.micro", "on-demand", 2, 100),
        Need(EAST, "t3.micro", "spot", 2, 3),
        Need("us-west-2", "t3.micro", "on-demand", 2, 100),
        Need(EAST, "mac1.metal", "on-demand", 12, 1),
    ]
    peaks = needed(needs, {EAST: 5})
    spot = quota_of("t3.micro", "spot")
    assert spot is not None
    assert peaks == {(EAST, STANDARD): 2 * 16 + 3 * 2, (EAST, spot): 6, ("us-west-2", STANDARD): 200}
    assert needed(needs, {EAST: 1000})[EAST, STANDARD] == 232


def test_a_quota_nobody_asked_for_is_that_of_all_accounts():
    with account() as cloud:
        assert allowance(EAST, STANDARD, cloud).vcpus == 1000.0
        cloud.refuse("GetServiceQuota", "NoSuchResourceException", "no")
        cloud.replies["GetAWSDefaultServiceQuota"] = lambda request: (
            {"Quota": {"Value": 5.0}} if request["QuotaCode"] == "L-1216C47A" else Refusal("X")
        )
        assert allowance(EAST, STANDARD, cloud) == Allowance(STANDARD, 5.0)
        cloud.refuse(
            "GetServiceQuota",
            "AccessDeniedException",
            "not authorized to perform: servicequotas:GetServiceQuota",
        )
        with pytest.raises(AwsError) as told:
            allowance(EAST, STANDARD, cloud)
        assert told.value.action == "servicequotas:GetServiceQuota"


def test_a_launch_that_met_a_quota_names_it_and_its_value():
    with account() as cloud:
        cloud.replies["GetServiceQuota"] = lambda request: {"Quota": {"Value": 32.0, "QuotaName": "Theirs"}}
        words = quota_words(cloud, EAST, "c5.large", "on-demand")
        assert words == "the quota “Theirs” (L-1216C47A) is 32 vCPUs; ask for more in Service Quotas"
        assert quota_words(cloud, EAST, "t3.micro", "on-demand") == words
        assert cloud.asked("GetServiceQuota") == 1  # one quota, whatever meets it
        assert "(L-34B43A08) is 32" in quota_words(cloud, EAST, "c5.large", "spot")
        assert quota_words(cloud, EAST, "mac1.metal", "on-demand") == ""


def test_a_quota_that_cannot_be_read_is_named_all_the_same():
    with account() as cloud:
        asked: list[str] = []

        def paced(operation: str, function: Callable[[], T]) -> T:
            asked.append(operation)
            return function()

        cloud.refuse("GetServiceQuota", "AccessDeniedException", "no", 403)
        words = quota_words(cloud, EAST, "c5.large", "spot", paced)
        assert words == (
            "the quota “All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests” (L-34B43A08); "
            "ask for more in Service Quotas"
        )
        assert asked == ["GetServiceQuota"]
        del cloud.replies["GetServiceQuota"]
        cloud.replies["GetServiceQuota"] = lambda request: {"Quota": {"Value": 8.0}}
        assert "is 8 vCPUs" in quota_words(cloud, EAST, "c5.large", "spot", paced)  # a failure is not kept
