"""What the emulator adds to moto, asked with boto3."""

from __future__ import annotations

import functools
import gzip
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from spawn_tui.tui.demo.cloud.emulator import Emulator, Served
from spawn_tui.tui.demo.cloud.started import NotStarted, Started

from tests.parts.waiting import wait_until

AL2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
LAUNCH = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(Emulator())
    server.emulator.set_defaults(boot=0.02, shutdown=0.02)
    yield server
    server.close()


@pytest.fixture
def cloud(served: Served) -> Emulator:
    served.emulator.reset()
    return served.emulator


@functools.cache
def session() -> Any:
    """One for all: a new one would read the descriptions of all services again, a second each."""
    return boto3.session.Session("AKIATEST", "secret", region_name="us-east-1")


@functools.cache
def client_of(endpoint: str, service: str, region: str) -> Any:
    version = "s3v4" if service == "s3" else None
    config = Config(retries={"total_max_attempts": 1}, signature_version=version)
    return session().client(service, region_name=region, endpoint_url=endpoint, config=config)


@pytest.fixture
def client(cloud: Emulator) -> Callable[..., Any]:
    return lambda service, region="us-east-1": client_of(cloud.endpoint, service, region)


@pytest.fixture
def ec2(client: Callable[..., Any]) -> Any:
    return client("ec2")


@pytest.fixture
def ami(client: Callable[..., Any]) -> str:
    return str(client("ssm").get_parameter(Name=f"{AL2023}x86_64")["Parameter"]["Value"])


def refused(call: Callable[[], object]) -> tuple[str, int]:
    """The code and HTTP status a call is refused with."""
    with pytest.raises(ClientError) as told:
        call()
    answer = told.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def launched(ec2: Any, ami: str, **more: Any) -> list[dict[str, Any]]:
    return list(ec2.run_instances(**{**LAUNCH, "ImageId": ami, **more})["Instances"])


def seen(ec2: Any, id: str) -> dict[str, Any]:
    return dict(ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0])


def await_state(ec2: Any, id: str, state: str) -> dict[str, Any]:
    wait_until(lambda: seen(ec2, id)["State"]["Name"] == state, f"{id} {state}")
    return seen(ec2, id)


def curl(url: str, *more: str) -> int:
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *more, url],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return int(done.stdout)


# --- launches ----------------------------------------------------------------------------------------------------


def test_a_repeated_launch_returns_the_same_instances(ec2: Any, ami: str, cloud: Emulator) -> None:
    request = {"MaxCount": 3, "ClientToken": "token-1", "UserData": "#!/bin/sh\n"}
    first, again = launched(ec2, ami, **request), launched(ec2, ami, **request)
    assert [(one["InstanceId"], one["AmiLaunchIndex"]) for one in first] == [
        (one["InstanceId"], one["AmiLaunchIndex"]) for one in again
    ]
    assert [one["AmiLaunchIndex"] for one in first] == [0, 1, 2]
    assert len(cloud.fleet.all()) == 3


def test_a_repeated_token_with_other_parameters_is_refused(ec2: Any, ami: str, cloud: Emulator) -> None:
    launched(ec2, ami, ClientToken="token-1")
    code, status = refused(lambda: launched(ec2, ami, ClientToken="token-1", InstanceType="t3.small"))
    assert (code, status) == ("IdempotentParameterMismatch", 400)
    assert len(cloud.fleet.all()) == 1


def test_tokens_are_kept_by_region(ec2: Any, ami: str, client: Callable[..., Any]) -> None:
    elsewhere = client("ec2", "us-west-2")
    other = client("ssm", "us-west-2").get_parameter(Name=f"{AL2023}x86_64")["Parameter"]["Value"]
    here = launched(ec2, ami, ClientToken="token-1")
    there = launched(elsewhere, other, ClientToken="token-1")
    assert here[0]["InstanceId"] != there[0]["InstanceId"]


def test_a_token_of_terminated_instances_launches_nothing(ec2: Any, ami: str, cloud: Emulator) -> None:
    (one,) = launched(ec2, ami, ClientToken="token-1")
    ec2.terminate_instances(InstanceIds=[one["InstanceId"]])
    assert refused(lambda: launched(ec2, ami, ClientToken="token-1"))[0] == "IdempotentInstanceTerminated"
    assert len(cloud.fleet.all()) == 1


def test_an_answer_that_was_lost_was_a_launch_all_the_same(ec2: Any, ami: str, cloud: Emulator) -> None:
    cloud.faults.add({"ready": "answer_lost", "action": "RunInstances"})
    with pytest.raises(ConnectionClosedError):
        launched(ec2, ami, ClientToken="token-1")
    (again,) = launched(ec2, ami, ClientToken="token-1")
    assert [held.id for held in cloud.fleet.all()] == [again["InstanceId"]]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"MinCount": 3, "MaxCount": 2}, "InvalidParameterValue"),
        ({"UserData": "x" * 16385}, "InvalidParameterValue"),
        ({"InstanceType": "zz9.bogus"}, "InvalidInstanceType.NotFound"),
        ({"InstanceType": "t4g.micro"}, "InvalidParameterValue"),
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"KeyName": "nobody-has-it"}, "InvalidKeyPair.NotFound"),
        ({"SecurityGroupIds": ["sg-12345678"]}, "InvalidGroup.NotFound"),
        ({"SubnetId": "subnet-12345678"}, "InvalidSubnetID.NotFound"),
        ({"Placement": {"AvailabilityZone": "us-east-1z"}}, "InvalidParameterValue"),
        ({"IamInstanceProfile": {"Name": "nobody-has-it"}}, "InvalidParameterValue"),
    ],
)
@pytest.mark.parametrize("dry", [False, True])
def test_what_ec2_refuses(
    ec2: Any, ami: str, cloud: Emulator, wrong: dict[str, Any], code: str, dry: bool
) -> None:
    told, _ = refused(lambda: launched(ec2, ami, **{**wrong, "DryRun": dry}))
    if dry and "Placement" in wrong:
        return  # a dry run looks for no place
    assert told == code
    assert cloud.fleet.all() == []


def test_user_data_may_have_16_kilobytes_and_is_kept_as_it_is(ec2: Any, ami: str, cloud: Emulator) -> None:
    data = gzip.compress(b"#!/bin/sh\n" + bytes(range(256)) * 20, mtime=0)
    launched(ec2, ami, UserData=data)
    launched(ec2, ami, UserData="x" * 16384)
    assert cloud.fleet.all()[0].machine.user_data == data


def test_a_dry_run_launches_nothing(ec2: Any, ami: str, cloud: Emulator) -> None:
    assert refused(lambda: launched(ec2, ami, DryRun=True)) == ("DryRunOperation", 412)
    assert cloud.fleet.all() == []


def test_a_quota_counts_what_runs(ec2: Any, ami: str, cloud: Emulator) -> None:
    cloud.room.set_quota("us-east-1", "L-1216C47A", 8)
    (first, *_) = launched(ec2, ami, MaxCount=4)  # two vCPUs each
    assert refused(lambda: launched(ec2, ami))[0] == "VcpuLimitExceeded"
    spot = launched(ec2, ami, InstanceMarketOptions={"MarketType": "spot"})
    assert spot[0]["InstanceLifecycle"] == "spot"  # it has a quota of its own
    ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    await_state(ec2, first["InstanceId"], "terminated")
    launched(ec2, ami)


def test_a_spot_quota_has_its_own_error(ec2: Any, ami: str, cloud: Emulator) -> None:
    cloud.room.set_quota("us-east-1", "L-34B43A08", 2)
    market = {"InstanceMarketOptions": {"MarketType": "spot"}}
    launched(ec2, ami, **market)
    assert refused(lambda: launched(ec2, ami, **market))[0] == "MaxSpotInstanceCountExceeded"


def test_as_many_are_launched_as_there_are(ec2: Any, ami: str, cloud: Emulator) -> None:
    cloud.room.set_capacity("us-east-1", "t3.micro", "us-east-1a", 3)
    place = {"Placement": {"AvailabilityZone": "us-east-1a"}}
    got = launched(ec2, ami, MaxCount=5, **place)
    assert [one["AmiLaunchIndex"] for one in got] == [0, 1, 2]
    assert {one["Placement"]["AvailabilityZone"] for one in got} == {"us-east-1a"}
    assert refused(lambda: launched(ec2, ami, **place)) == ("InsufficientInstanceCapacity", 500)
    (elsewhere,) = launched(ec2, ami)  # no zone asked for: another has it
    assert elsewhere["Placement"]["AvailabilityZone"] != "us-east-1a"


def test_less_than_the_least_launches_nothing(ec2: Any, ami: str, cloud: Emulator) -> None:
    for zone in "abcdef":
        cloud.room.set_capacity("us-east-1", "t3.micro", f"us-east-1{zone}", 2)
    assert refused(lambda: launched(ec2, ami, MinCount=3, MaxCount=5))[0] == "InsufficientInstanceCapacity"
    assert cloud.fleet.all() == []


def test_a_spot_price_below_the_market_is_refused(ec2: Any, ami: str) -> None:
    market = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.0001"}}
    assert refused(lambda: launched(ec2, ami, InstanceMarketOptions=market))[0] == "SpotMaxPriceTooLow"


# --- states ------------------------------------------------------------------------------------------------------


def test_states_take_their_time(ec2: Any, ami: str, cloud: Emulator) -> None:
    cloud.fleet.settings.boot = cloud.fleet.settings.shutdown = 3600.0
    (one,) = launched(ec2, ami)
    id = one["InstanceId"]
    assert seen(ec2, id)["State"] == {"Code": 0, "Name": "pending"}
    cloud.clock.ahead = 3601
    cloud.fleet.look()
    await_state(ec2, id, "running")
    answer = ec2.terminate_instances(InstanceIds=[id])["TerminatingInstances"][0]
    assert (answer["PreviousState"]["Name"], answer["CurrentState"]["Name"]) == ("running", "shutting-down")
    assert seen(ec2, id)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    cloud.clock.ahead = 7300
    cloud.fleet.look()
    ended = await_state(ec2, id, "terminated")
    assert ended["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert "PublicIpAddress" not in ended
    ec2.terminate_instances(InstanceIds=[id])  # once more does no harm
    assert seen(ec2, id)["State"]["Name"] == "terminated"


def test_a_terminated_instance_is_seen_for_a_while(ec2: Any, ami: str, cloud: Emulator) -> None:
    (one,) = launched(ec2, ami)
    ec2.terminate_instances(InstanceIds=[one["InstanceId"]])
    await_state(ec2, one["InstanceId"], "terminated")
    cloud.clock.ahead = 3700
    cloud.fleet.look()
    wait_until(lambda: ec2.describe_instances()["Reservations"] == [], "it is not listed")
    assert refused(lambda: seen(ec2, one["InstanceId"]))[0] == "InvalidInstanceID.NotFound"


def test_stop_and_start(ec2: Any, ami: str) -> None:
    (one,) = launched(ec2, ami)
    id = one["InstanceId"]
    await_state(ec2, id, "running")
    answer = ec2.stop_instances(InstanceIds=[id])["StoppingInstances"][0]
    assert answer["CurrentState"]["Name"] == "stopping"
    await_state(ec2, id, "stopped")
    ec2.start_instances(InstanceIds=[id])
    await_state(ec2, id, "running")
    ec2.terminate_instances(InstanceIds=[id])
    await_state(ec2, id, "terminated")
    assert refused(lambda: ec2.start_instances(InstanceIds=[id]))[0] == "IncorrectInstanceState"


def test_one_unknown_id_refuses_the_whole_call(ec2: Any, ami: str) -> None:
    (one,) = launched(ec2, ami)
    ids = [one["InstanceId"], "i-00000000000000000"]
    assert refused(lambda: ec2.terminate_instances(InstanceIds=ids))[0] == "InvalidInstanceID.NotFound"
    assert seen(ec2, one["InstanceId"])["State"]["Name"] in ("pending", "running")


def test_an_instance_is_invisible_at_first(ec2: Any, ami: str, cloud: Emulator) -> None:
    cloud.fleet.next.invisible = 600.0
    first = launched(ec2, ami, MaxCount=2)
    assert ec2.describe_instances()["Reservations"] == [] or not any(
        one["Instances"] for one in ec2.describe_instances()["Reservations"]
    )
    assert refused(lambda: seen(ec2, first[0]["InstanceId"]))[0] == "InvalidInstanceID.NotFound"
    cloud.clock.ahead = 601
    cloud.fleet.look()
    await_state(ec2, first[1]["InstanceId"], "running")
    listed = ec2.describe_instances()["Reservations"][0]["Instances"]
    assert [one["AmiLaunchIndex"] for one in listed] == [0, 1]


def test_a_launch_that_fails_after_it_was_answered(ec2: Any, ami: str, cloud: Emulator) -> None:
    cloud.fleet.next.fails = 1
    (one,) = launched(ec2, ami)
    ended = await_state(ec2, one["InstanceId"], "terminated")
    assert ended["StateReason"]["Code"] == "Server.InternalError"


def test_an_instance_that_never_boots_is_impaired(ec2: Any, ami: str, cloud: Emulator) -> None:
    cloud.fleet.next.never_boots = 1
    bad, good = (launched(ec2, ami)[0]["InstanceId"] for _ in range(2))
    await_state(ec2, bad, "running")
    await_state(ec2, good, "running")
    told = {one["InstanceId"]: one for one in ec2.describe_instance_status()["InstanceStatuses"]}
    assert told[bad]["InstanceStatus"]["Status"] == "impaired"
    assert told[bad]["InstanceStatus"]["Details"][0] == {"Name": "reachability", "Status": "failed"}
    assert told[good]["InstanceStatus"]["Status"] == "ok"


def test_status_checks_begin_later_and_come_in_pages(ec2: Any, ami: str, cloud: Emulator) -> None:
    cloud.fleet.settings.check = 3600.0
    for one in (everyone := launched(ec2, ami, MaxCount=7)):
        await_state(ec2, one["InstanceId"], "running")
    pages = list(ec2.get_paginator("describe_instance_status").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["InstanceStatuses"]) for page in pages] == [5, 2]
    assert {one["InstanceStatus"]["Status"] for page in pages for one in page["InstanceStatuses"]} == {
        "initializing"
    }
    ec2.terminate_instances(InstanceIds=[everyone[0]["InstanceId"]])
    await_state(ec2, everyone[0]["InstanceId"], "terminated")
    assert len(ec2.describe_instance_status()["InstanceStatuses"]) == 6
    assert len(ec2.describe_instance_status(IncludeAllInstances=True)["InstanceStatuses"]) == 7


def test_spot_interruption(ec2: Any, ami: str, cloud: Emulator) -> None:
    (one,) = launched(ec2, ami, InstanceMarketOptions={"MarketType": "spot"})
    await_state(ec2, one["InstanceId"], "running")
    held = cloud.fleet.get(one["InstanceId"])
    assert held is not None
    with cloud.lock:
        cloud.fleet.interrupt(held, 0.01)
    ended = await_state(ec2, one["InstanceId"], "terminated")
    assert ended["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert ended["SpotInstanceRequestId"].startswith("sir-")


def test_an_instance_vanishes(ec2: Any, ami: str, cloud: Emulator) -> None:
    first, second = launched(ec2, ami, MaxCount=2)
    held = cloud.fleet.get(first["InstanceId"])
    assert held is not None
    with cloud.lock:
        cloud.fleet.vanish(held)
    listed = [
        one["InstanceId"] for page in ec2.describe_instances()["Reservations"] for one in page["Instances"]
    ]
    assert listed == [second["InstanceId"]]


def test_tags_find_instances_and_their_volumes(ec2: Any, ami: str) -> None:
    tags = [{"Key": "spawn:sweep-id", "Value": "s-1"}]
    launched(ec2, ami)
    (mine,) = launched(
        ec2, ami, TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "Encrypted": True}}],
    )  # fmt: skip
    filters = [{"Name": "tag:spawn:sweep-id", "Values": ["s-1"]}]
    (found,) = ec2.describe_instances(Filters=filters)["Reservations"]
    assert [one["InstanceId"] for one in found["Instances"]] == [mine["InstanceId"]]
    (volume,) = ec2.describe_volumes(Filters=filters)["Volumes"]
    assert (volume["Size"], volume["Encrypted"]) == (20, True)


def test_all_instances_of_a_launch_have_its_profile(client: Callable[..., Any], ec2: Any, ami: str) -> None:
    iam = client("iam")
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="worker-profile")
    iam.add_role_to_instance_profile(InstanceProfileName="worker-profile", RoleName="worker")
    for one in launched(ec2, ami, MaxCount=2, IamInstanceProfile={"Name": "worker-profile"}):
        assert seen(ec2, one["InstanceId"])["IamInstanceProfile"]["Arn"].endswith("/worker-profile")


# --- prices and quotas -------------------------------------------------------------------------------------------


def products(client: Callable[..., Any], **fields: str) -> list[dict[str, Any]]:
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in fields.items()]
    found: list[dict[str, Any]] = []
    for page in (
        client("pricing").get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters)
    ):
        found += [json.loads(item) for item in page["PriceList"]]
    return found


SHARED = {
    "operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used",
}  # fmt: skip


def test_the_pricing_api(client: Callable[..., Any]) -> None:
    (one,) = products(client, instanceType="c7i.xlarge", regionCode="us-east-1", **SHARED)
    (term,) = one["terms"]["OnDemand"].values()
    (dimension,) = term["priceDimensions"].values()
    assert float(dimension["pricePerUnit"]["USD"]) == 0.1785
    assert dimension["unit"] == "Hrs"
    assert one["product"]["attributes"]["instanceType"] == "c7i.xlarge"


def test_a_sloppy_question_gets_many_prices_and_an_unknown_type_none(client: Callable[..., Any]) -> None:
    assert len(products(client, instanceType="t3.micro", regionCode="us-east-1")) == 24
    assert products(client, instanceType="u-24tb1.metal", regionCode="us-east-1", **SHARED) == []
    assert len(products(client, regionCode="us-east-1")) > 100  # more than a page


def test_spot_prices_are_plausible_and_dated(ec2: Any, cloud: Emulator) -> None:
    history = ec2.describe_spot_price_history(InstanceTypes=["c7i.large"], ProductDescriptions=["Linux/UNIX"])
    found = history["SpotPriceHistory"]
    assert len({one["AvailabilityZone"] for one in found}) > 1
    assert all(0.2 < float(one["SpotPrice"]) / 0.08925 < 0.5 for one in found)
    assert all(0 <= cloud.clock.now() - one["Timestamp"].timestamp() <= 6 * 3600 for one in found)


def test_service_quotas(client: Callable[..., Any], cloud: Emulator) -> None:
    quotas = client("service-quotas")
    cloud.room.set_quota("us-east-1", "L-DB2E81BA", 12)
    assert quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-DB2E81BA")["Quota"]["Value"] == 12
    default = quotas.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode="L-DB2E81BA")["Quota"][
        "Value"
    ]
    assert default != 12
    listed = [one["QuotaCode"] for one in quotas.list_service_quotas(ServiceCode="ec2")["Quotas"]]
    assert {"L-1216C47A", "L-34B43A08", "L-DB2E81BA"} <= set(listed)
    unknown = refused(lambda: quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-00000000"))
    assert unknown[0] == "NoSuchResourceException"


# --- S3 ----------------------------------------------------------------------------------------------------------


def test_a_signed_form_uploads_what_its_policy_allows(
    client: Callable[..., Any], cloud: Emulator, tmp_path: Path
) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="results")
    conditions = [["starts-with", "$key", "sweeps/s-1/"], ["content-length-range", 0, 4000]]
    post = s3.generate_presigned_post(
        "results", "sweeps/s-1/${filename}", Conditions=conditions, ExpiresIn=60
    )
    (tmp_path / "small").write_bytes(b"x" * 100)
    (tmp_path / "big").write_bytes(b"x" * 9000)

    def upload(key: str, name: str = "small", **more: str) -> int:
        fields = {**post["fields"], "key": key, **more}
        parts = [part for name_, value in fields.items() for part in ("-F", f"{name_}={value}")]
        return curl(post["url"], *parts, "-F", f"file=@{tmp_path / name}")

    assert upload("sweeps/s-1/a/b") == 204
    assert s3.get_object(Bucket="results", Key="sweeps/s-1/a/b")["Body"].read() == b"x" * 100
    assert upload("sweeps/s-2/a") == 403
    assert upload("sweeps/s-1/c", acl="public-read") == 403
    assert upload("sweeps/s-1/c", "big") == 400
    cloud.clock.ahead = 61
    assert upload("sweeps/s-1/c") == 403
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="results")["Contents"]] == ["sweeps/s-1/a/b"]


def test_a_signed_link_works_until_it_expires(client: Callable[..., Any], cloud: Emulator) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="results")
    s3.put_object(Bucket="results", Key="k", Body=b"content")
    link = s3.generate_presigned_url("get_object", Params={"Bucket": "results", "Key": "k"}, ExpiresIn=60)
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"content"
    cloud.clock.ahead = 61
    assert curl(link) == 403


def test_nothing_is_had_without_a_signature(client: Callable[..., Any], cloud: Emulator) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="results")
    assert curl(f"{cloud.endpoint}/results/k", "-X", "PUT", "-d", "x") == 403
    old = session().client("s3", endpoint_url=cloud.endpoint, config=Config(signature_version="s3"))
    link = old.generate_presigned_url("put_object", Params={"Bucket": "results", "Key": "k"})
    assert curl(link, "-X", "PUT", "-d", "x") == 400
    assert s3.list_objects_v2(Bucket="results")["KeyCount"] == 0


# --- faults and counts -------------------------------------------------------------------------------------------


def test_throttling_meets_half_of_the_calls(ec2: Any, cloud: Emulator) -> None:
    cloud.faults.add({"ready": "throttling"})
    codes: list[str] = []
    for _ in range(60):
        try:
            ec2.describe_key_pairs()
            codes.append("")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    assert set(codes) == {"", "RequestLimitExceeded"}
    assert 15 < codes.count("") < 45
    calls = [one for one in cloud.ledger.listed() if one["action"] == "DescribeKeyPairs"]
    assert len(calls) == 60
    assert sum(one["ok"] for one in calls) == codes.count("")


def test_expired_credentials_for_a_while(client: Callable[..., Any], cloud: Emulator) -> None:
    cloud.faults.add({"ready": "expired", "seconds": 60})
    assert refused(client("ec2").describe_key_pairs)[0] == "RequestExpired"
    assert refused(client("s3").list_buckets)[0] == "ExpiredToken"
    assert refused(client("sts").get_caller_identity)[0] == "ExpiredToken"
    quotas = client("service-quotas")
    assert refused(lambda: quotas.list_service_quotas(ServiceCode="ec2"))[0] == "ExpiredTokenException"
    cloud.clock.ahead = 61
    client("ec2").describe_key_pairs()


def test_one_region_is_down(client: Callable[..., Any], cloud: Emulator) -> None:
    rule = cloud.faults.add({"ready": "region_down", "region": "us-west-2"})
    client("ec2").describe_key_pairs()
    assert refused(client("ec2", "us-west-2").describe_key_pairs) == ("InternalError", 500)
    cloud.faults.remove(rule.id)
    client("ec2", "us-west-2").describe_key_pairs()


def test_rules_meet_what_they_name(ec2: Any, ami: str, cloud: Emulator) -> None:
    cloud.faults.add({
        "action": "RunInstances", "form": {"InstanceType": "t3.small"}, "code": "UnauthorizedOperation",
        "status": 403, "times": 1,
    })  # fmt: skip
    launched(ec2, ami)
    assert refused(lambda: launched(ec2, ami, InstanceType="t3.small")) == ("UnauthorizedOperation", 403)
    launched(ec2, ami, InstanceType="t3.small")


def test_silence(ec2: Any, cloud: Emulator) -> None:
    cloud.faults.add({"ready": "silence", "times": 1})
    with pytest.raises(ConnectionClosedError):
        ec2.describe_key_pairs()
    assert [(one["action"], one["status"], one["ok"]) for one in cloud.ledger.listed()] == [
        ("DescribeKeyPairs", 0, False)
    ]


@pytest.mark.parametrize("told", [{"ready": "nosuch"}, {"colour": "red"}])
def test_a_fault_nobody_knows_is_refused(cloud: Emulator, told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"there are throttling|a fault has no colour"):
        cloud.faults.add(told)


# --- as a process ------------------------------------------------------------------------------------------------


def test_as_a_process(tmp_path: Path) -> None:
    with Started(tmp_path, boot=0.01) as started:
        environ = started.env()
        ec2 = client_of(environ["AWS_ENDPOINT_URL"], "ec2", "us-east-1")
        ami = client_of(started.endpoint, "ssm", "us-east-1").get_parameter(Name=f"{AL2023}x86_64")
        (one,) = launched(ec2, ami["Parameter"]["Value"])
        started.control("POST", f"instances/{one['InstanceId']}/terminate")
        await_state(ec2, one["InstanceId"], "terminated")
        assert started.control("GET", "instances")[0]["reason"] == "Client.UserInitiatedShutdown"
        assert "RunInstances" in {call["action"] for call in started.control("GET", "calls")}
        with pytest.raises(ValueError, match="there are interrupt, vanish"):
            started.control("POST", f"instances/{one['InstanceId']}/explode")
    assert started.process.returncode == 0


def test_a_process_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match="no such thing"):
        Started(tmp_path, command=[sys.executable, "-c", "raise SystemExit('no such thing')"])


MARKED = "#!/bin/sh\n# spawn-tui bootstrap\n"
OWN = (
    MARKED
    + """\
echo "I am $(id -u) at $PWD"
at=$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest
curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$at/api/token" >token
curl -s -H "X-aws-ec2-metadata-token: $(cat token)" "$at/meta-data/instance-id"
sleep 1000 &
shutdown -h now
sleep 1000
"""
)


def test_the_demos_machines_run_our_bootstrap_and_nothing_else(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    with Started(tmp_path, machines="process", boot=0.01) as started:
        ec2 = client_of(started.endpoint, "ec2", "us-east-1")
        parameter = client_of(started.endpoint, "ssm", "us-east-1").get_parameter(Name=f"{AL2023}x86_64")
        ami = parameter["Parameter"]["Value"]
        (other,) = launched(ec2, ami, UserData=f"#!/bin/sh\ntouch {foreign}\n{MARKED}")
        (ours,) = launched(ec2, ami, UserData=OWN, InstanceInitiatedShutdownBehavior="terminate")
        (long,) = launched(
            ec2, ami, UserData=gzip.compress(OWN.encode()), InstanceInitiatedShutdownBehavior="stop"
        )
        ended = await_state(ec2, ours["InstanceId"], "terminated")
        assert ended["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
        await_state(ec2, long["InstanceId"], "stopped")
        told = ec2.get_console_output(InstanceId=ours["InstanceId"])["Output"]
        assert ours["InstanceId"] in told
        assert "I am 0 " not in told
        await_state(ec2, other["InstanceId"], "running")
        assert "refused" in ec2.get_console_output(InstanceId=other["InstanceId"])["Output"]
        assert not foreign.exists()
