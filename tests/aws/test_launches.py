"""A launch is written down, sent as it was written, and can be sent again."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.errors import TEMPORARY, AwsError
from spawn_tui.engine.aws.fleet import Fleet
from spawn_tui.engine.aws.launch_request import (
    Variant,
    build_request,
    next_variant,
    own_tags,
    token_of,
    variants,
)
from spawn_tui.engine.aws.launches import (
    SHOWN_WITHIN,
    TOKEN_GOOD,
    LaunchAnswer,
    LaunchDamaged,
    LaunchRequest,
    LaunchStore,
    send,
)
from spawn_tui.engine.aws.model import InstanceSpec
from spawn_tui.state.disk import LocalDisk

from ..simulation.disk import SimDisk
from .ec2_field import (
    AMI,
    REGION,
    Answer,
    Emulated,
    Form,
    Recorder,
    Time,
    a_pacer,
    described,
    emulated,
    instance_xml,
    refusal,
    success,
    until,
)

SECRET = "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI"
USER_DATA = f"#!/bin/sh\nexport {SECRET}\nprintf 'ä\\n'\n".encode() + b"\x1f\x8b\x00\xff"
SPEC = InstanceSpec(REGION, ("t3.micro", "t3.small"))


def tags(**more: str) -> dict[str, str]:
    return own_tags(sweep_id="lr-20261122-abc123", sweep_name="lr", source="ec2-us-east-1", **more)


def a_request(spec: InstanceSpec = SPEC, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "type": spec.types[0], "market": "spot" if spec.spot else "on-demand", "zone": "", "ami": AMI,
        "root_device": "/dev/xvda", "profile": "", "attempts": ((0, 1), (1, 1)), "token": "t-1",
        "user_data": USER_DATA, "tags": tags(owner="ada", project="/home/ada/lr"),
    }  # fmt: skip
    return cast("dict[str, Any]", build_request(spec, **{**given, **more}))


def a_launch(token: str = "t-1", spec: InstanceSpec = SPEC, **more: Any) -> LaunchRequest:
    attempts = more.pop("attempts", ((0, 1), (11, 3)))
    given: dict[str, Any] = {
        "token": token, "source": "ec2-us-east-1", "batch": "b7", "attempts": attempts, "made_at": 1795341600.25,
        "try_number": 1, "market": "spot" if spec.spot else "on-demand", "type": spec.types[0],
        "request": a_request(spec, token=token, attempts=attempts),
    }  # fmt: skip
    return LaunchRequest(**{**given, **more})


def tag_sets(request: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {
        spec["ResourceType"]: {tag["Key"]: tag["Value"] for tag in spec["Tags"]}
        for spec in request["TagSpecifications"]
    }


# --- the request -----------------------------------------------------------------------------------------------------


def test_what_every_request_says() -> None:
    request = a_request()
    assert (request["MinCount"], request["MaxCount"], request["ClientToken"]) == (1, 2, "t-1")
    assert base64.b64decode(request["UserData"]) == USER_DATA
    assert request["MetadataOptions"] == {
        "HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 2,
        "InstanceMetadataTags": "enabled",
    }  # fmt: skip
    assert request["InstanceInitiatedShutdownBehavior"] == "terminate"
    [disk] = request["BlockDeviceMappings"]
    assert disk == {
        "DeviceName": "/dev/xvda",
        "Ebs": {"VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True},
    }
    given = {
        "KeyName",
        "IamInstanceProfile",
        "SubnetId",
        "Placement",
        "InstanceMarketOptions",
        "HibernationOptions",
    }
    assert given.isdisjoint(request)
    assert json.loads(json.dumps(request)) == request


def test_what_a_spec_may_ask_for() -> None:
    spec = replace(
        SPEC,
        key_name="mine",
        disk_size=100,
        security_groups=("sg-1", "sg-2"),
        on_complete="stop",
        hibernate=True,
    )
    request = a_request(spec, zone="us-east-1c", profile="runner")
    assert request["KeyName"] == "mine" and request["SecurityGroupIds"] == ["sg-1", "sg-2"]
    assert request["Placement"] == {"AvailabilityZone": "us-east-1c"} and "SubnetId" not in request
    assert request["IamInstanceProfile"] == {"Name": "runner"}
    assert request["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 100
    assert request["InstanceInitiatedShutdownBehavior"] == "stop"
    assert request["HibernationOptions"] == {"Configured": True}
    arn = "arn:aws:iam::123456789012:instance-profile/runner"
    request = a_request(zone="subnet-1", profile=arn)
    assert request["SubnetId"] == "subnet-1" and "Placement" not in request
    assert request["IamInstanceProfile"] == {"Arn": arn}
    hibernating = a_request(replace(SPEC, on_complete="hibernate"))
    assert hibernating["HibernationOptions"] == {"Configured": True}
    assert hibernating["InstanceInitiatedShutdownBehavior"] == "stop"
    assert a_request(replace(SPEC, security_groups=("web",)))["SecurityGroups"] == ["web"]


@pytest.mark.parametrize(("price", "text"), [(None, None), (0.1, "0.1"), (0.00001, "0.00001"), (3, "3")])
def test_spot(price: float | None, text: str | None) -> None:
    options = a_request(replace(SPEC, spot=True, spot_max_price=price))["InstanceMarketOptions"]
    assert options["MarketType"] == "spot"
    expected = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    assert options["SpotOptions"] == (expected if text is None else {**expected, "MaxPrice": text})
    assert "InstanceMarketOptions" not in a_request(replace(SPEC, spot=True), market="on-demand")


def test_tags_stand_on_all_that_costs() -> None:
    sets = tag_sets(a_request(replace(SPEC, tags=(("team", "vision"), ("Name", "my run")))))
    assert set(sets) == {"instance", "volume"} and sets["instance"] == sets["volume"]
    assert sets["instance"] == {
        "Name": "my run", "team": "vision", "spawn:managed": "true", "spawn:sweep-id": "lr-20261122-abc123",
        "spawn:sweep-name": "lr", "spawn:source": "ec2-us-east-1", "spawn:owner": "ada",
        "spawn:project": "/home/ada/lr", "spawn:launch": "t-1",
    }  # fmt: skip
    assert set(tag_sets(a_request(replace(SPEC, spot=True)))) == {
        "instance",
        "volume",
        "spot-instances-request",
    }
    alone = tag_sets(a_request(attempts=((41, 1),)))["volume"]
    assert alone["spawn:sweep-index"] == "41" and alone["Name"] == "lr"


def test_own_tags_leave_out_what_is_empty_and_cut_names_only() -> None:
    ours = own_tags(sweep_id="x" * 300, sweep_name="y" * 300, source="ec2")
    assert set(ours) == {"Name", "spawn:managed", "spawn:sweep-id", "spawn:sweep-name", "spawn:source"}
    assert len(ours["Name"]) == len(ours["spawn:sweep-name"]) == 256 and len(ours["spawn:sweep-id"]) == 300
    with pytest.raises(ValueError, match=r"'spawn:sweep-id': its value has 300 characters"):
        a_request(tags=ours)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("spawn:sweep-id", "other", "spawn-tui's own"),
        ("spawn:launch", "other", "spawn-tui's own"),
        ("spawn:managed", "false", "spawn-tui's own"),
        ("cost/center", "1", "letters, digits"),
        ("cost center", "1", "letters, digits"),
        ("größe", "1", "letters, digits"),
        ("", "1", "letters, digits"),
        ("_index", "1", "letters, digits"),
        ("k" * 129, "1", "has 129 characters"),
        ("k", "v" * 257, "has 257 characters"),
        ("AWS:x", "1", "belong to AWS"),
    ],
)
def test_tags_that_cannot_be(key: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        a_request(replace(SPEC, tags=((key, value),)))


def test_fifty_tags_are_the_most() -> None:
    own = len(tag_sets(a_request())["instance"])
    many = tuple((f"k{number}", "v") for number in range(51 - own))
    assert len(tag_sets(a_request(replace(SPEC, tags=many[:-1])))["instance"]) == 50
    with pytest.raises(ValueError, match=r"51 tags, 8 of them ours: EC2 takes 50; leave 1 out"):
        a_request(replace(SPEC, tags=many))


def test_requests_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="nothing to launch"):
        a_request(attempts=())
    assert a_request(user_data=b"x" * 16384)
    with pytest.raises(ValueError, match="user data of 16385 bytes"):
        a_request(user_data=b"x" * 16385)
    with pytest.raises(ValueError, match="root device of ami-12c6146b is not known"):
        a_request(root_device="")
    with pytest.raises(ValueError, match="on_complete 'stop' on Spot"):
        a_request(replace(SPEC, spot=True, on_complete="stop"))
    with pytest.raises(ValueError, match=r"'web' by name, with subnet-1: .* write its id"):
        a_request(replace(SPEC, security_groups=("web",)), zone="subnet-1")


# --- tokens and variants ---------------------------------------------------------------------------------------------

words = st.text(max_size=90)


@given(st.lists(st.tuples(words, words, words, st.integers(0, 10**6)), min_size=2, max_size=6, unique=True))
def test_tokens_are_plain_short_and_unique(parts: list[tuple[str, str, str, int]]) -> None:
    tokens = [token_of(*part) for part in parts]
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", token) for token in tokens)
    assert len(set(tokens)) == len(parts)
    assert tokens == [token_of(*part) for part in parts]


def test_a_token_can_be_read() -> None:
    token = token_of("lr-20261122-abc123", "ec2-us-east-1", "b7", 2)
    assert re.fullmatch(r"lr-20261122-abc123\.ec2-us-east-1\.b7\.2-[0-9a-f]{20}", token)
    assert token != token_of("lr-20261122-abc123", "ec2-us-east-1", "b", 72)
    assert token_of("a", "b", "c.1", 2) != token_of("a", "b.c", "1", 2) != token_of("a", "b\0c", "1", 2)


def test_capacity_goes_through_types_then_zones_then_the_market() -> None:
    spec = replace(SPEC, zones=("a", "b"), spot=True, spot_fallback=True)
    tried = [variants(spec)[0]]
    while (following := next_variant(spec, tried, "capacity")) is not None:
        tried.append(following)
    assert [tuple(variant) for variant in tried] == [
        ("t3.micro", "a", "spot"), ("t3.small", "a", "spot"), ("t3.micro", "b", "spot"), ("t3.small", "b", "spot"),
        ("t3.micro", "a", "on-demand"), ("t3.small", "a", "on-demand"),
        ("t3.micro", "b", "on-demand"), ("t3.small", "b", "on-demand"),
    ]  # fmt: skip


def test_what_else_may_be_tried() -> None:
    spot = replace(SPEC, spot=True)
    both = replace(spot, spot_fallback=True, zones=("a",), subnets=("subnet-1",))
    assert variants(SPEC) == [Variant("t3.micro", "", "on-demand"), Variant("t3.small", "", "on-demand")]
    assert {variant.zone for variant in variants(both)} == {"subnet-1"}
    assert next_variant(spot, variants(spot)[:1], "spot_price") is None
    assert next_variant(both, variants(both)[:1], "spot_price") == Variant(
        "t3.micro", "subnet-1", "on-demand"
    )
    assert next_variant(replace(SPEC, spot_fallback=True), variants(SPEC), "capacity") is None
    for kind in ("quota", "permission", "invalid", "not_found", "other", None):
        assert next_variant(both, variants(both)[:1], kind) is None


# --- the store -------------------------------------------------------------------------------------------------------


def test_a_launch_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = LaunchStore(tmp_path / "sweep" / "ec2" / "ec2-us-east-1", LocalDisk())
    assert store.open() == []
    (tmp_path / "sweep").mkdir()
    old = os.umask(0)
    try:
        later, first = a_launch("t-a", made_at=20.0), a_launch("t-b", made_at=10.0, try_number=2)
        spot = replace(SPEC, spot=True, zones=("us-east-1a",))
        last = a_launch("t-0", spot, made_at=30.0)
        for launch in (later, first, last):
            store.write(launch)
        answer = LaunchAnswer(("i-1", ""), at=12.5)
        store.answer("t-b", answer)
        refused = LaunchAnswer((), "quota", "VcpuLimitExceeded", "limit of 32 — no", 21.0, forgotten=True)
        store.answer("t-a", LaunchAnswer((), at=1.0))
        store.answer("t-a", refused)
    finally:
        os.umask(old)
    (tmp_path / "sweep/ec2/ec2-us-east-1/.t-z.json.77.1.tmp").write_bytes(b"{")
    assert store.open() == [(first, answer), (later, refused), (last, None)]
    assert list(store.open()[0][0].request) == list(first.request), "boto3 sends it in this order"
    for path in (tmp_path / "sweep/ec2").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600) or path.name.endswith(
            ".tmp"
        )
    assert (tmp_path / "sweep/ec2").stat().st_mode & 0o777 == 0o700


def test_the_answer_says_which_instance_an_attempt_has() -> None:
    answer = LaunchAnswer(("i-1", "", "i-3"))
    assert [answer.instance(index) for index in range(4)] == ["i-1", "", "i-3", ""]


def test_a_request_is_durable_when_write_returns() -> None:
    disk = SimDisk()
    LaunchStore(Path("/sweep/ec2/s"), disk).write(a_launch())
    disk.power_failure(Random(7))
    assert LaunchStore(Path("/sweep/ec2/s"), disk).open() == [(a_launch(), None)]


def test_a_token_serves_one_request(tmp_path: Path) -> None:
    store = LaunchStore(tmp_path / "ec2" / "s", LocalDisk())
    store.write(a_launch())
    store.write(a_launch())
    with pytest.raises(ValueError, match="token t-1 served for another request") as raised:
        store.write(a_launch(made_at=7.0))
    assert SECRET not in str(raised.value)
    assert store.open() == [(a_launch(), None)]


def test_damage_is_told_with_the_file_and_the_way_on(tmp_path: Path) -> None:
    folder = tmp_path / "ec2" / "s"
    store = LaunchStore(folder, LocalDisk())
    store.write(a_launch())
    whole = (folder / "t-1.json").read_bytes()
    document = json.loads(whole)
    bad: list[tuple[str, bytes]] = [
        ("t-1.json", whole[:-9]),
        ("t-1.json", b"[]"),
        ("t-1.json", b"null"),
        ("t-1.json", b"\xff"),
        ("t-1.json", b"[" * 100_000),
        ("t-2.json", whole),
        ("t-2.answer.json", b'{"v":1,"instances":[],"error":[null,"",""],"at":1,"forgotten":false}'),
        ("t-1.answer.json", b'{"v":1}'),
        ("t-1.answer.json", b'{"v":1,"instances":[],"error":["odd","",""],"at":1,"forgotten":false}'),
        ("notes.txt", b"mine"),
    ]
    for change in (
        {"v": 2}, {"market": "barter"}, {"attempts": [["task_001", 1]]}, {"attempts": [["one", 1], ["two", 1]]},
        {"request": {**document["request"], "ClientToken": "t-9"}}, {"made_at": None},
    ):  # fmt: skip
        bad.append(("t-1.json", json.dumps({**document, **change}).encode()))
    for name, content in bad:
        (folder / name).write_bytes(content)
        with pytest.raises(LaunchDamaged) as raised:
            store.open()
        text = str(raised.value)
        assert f"{folder / name}: " in text and "Restore this file from a copy" in text and SECRET not in text
        (folder / name).unlink()
        (folder / "t-1.json").write_bytes(whole)
    assert store.open() == [(a_launch(), None)]


def test_nothing_secret_is_shown() -> None:
    shown = repr(a_launch()) + str([a_launch()])
    assert "t-1" in shown and "b7" in shown
    assert base64.b64encode(USER_DATA).decode()[:40] not in shown and SECRET not in shown


def test_a_launch_knows_its_variant() -> None:
    for zone in ("", "us-east-1b", "subnet-1"):
        assert a_launch(request=a_request(zone=zone)).variant == Variant("t3.micro", zone, "on-demand")


# --- sending ---------------------------------------------------------------------------------------------------------


def ran(*instances: str) -> Answer:
    return success("RunInstances", f"<instancesSet>{''.join(instances)}</instancesSet>")


def sent(
    recorder: Recorder, launch: LaunchRequest, time: Time | None = None, limit: float = 30.0
) -> LaunchAnswer:
    return send(launch, recorder.opened, REGION, a_pacer(time), limit, now=lambda: 99.0)


class Opened(Recorder):
    opened: Cloud


@pytest.fixture
def recorder() -> Iterator[Opened]:
    recorder = Opened(lambda action, form: ran(instance_xml("i-01")))
    with recorder.cloud() as cloud:
        recorder.opened = cloud
        yield recorder


def test_what_is_sent_is_what_is_stored_and_again_byte_for_byte(recorder: Opened, tmp_path: Path) -> None:
    spec = replace(
        SPEC, spot=True, spot_max_price=0.1, key_name="mine", security_groups=("sg-1",), disk_size=30,
        tags=(("team", "a & b"),),
    )  # fmt: skip
    launch = a_launch(spec=spec)
    store = LaunchStore(tmp_path / "ec2" / "s", LocalDisk())
    store.write(launch)
    sent(recorder, launch)
    # As another engine does it, from the disk and with clients of its own.
    [(again, _)] = store.open()
    send(again, Cloud(), REGION, a_pacer(), 30, now=lambda: 99.0)
    assert len(recorder.bodies) == 2 and recorder.bodies[0] == recorder.bodies[1]
    form = recorder.forms[0]
    assert base64.b64decode(form["UserData"]) == USER_DATA
    assert (form["MinCount"], form["MaxCount"], form["ClientToken"]) == ("1", "2", "t-1")
    stored = cast("dict[str, Any]", launch.request)
    assert set(form) - {"Action", "Version"} == set(flat(stored)), "nothing was added and nothing left out"


def flat(value: object, name: str = "") -> list[str]:
    """Names of the fields that a request becomes in EC2's query protocol."""
    renamed = {
        "BlockDeviceMappings": "BlockDeviceMapping", "SecurityGroupIds": "SecurityGroupId",
        "TagSpecifications": "TagSpecification", "Tags": "Tag",
    }  # fmt: skip
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return [
            one for key, inner in pairs for one in flat(inner, f"{name}.{renamed.get(key, key)}".lstrip("."))
        ]
    if isinstance(value, list):
        return [
            one for number, inner in enumerate(cast("list[object]", value), 1)
            for one in flat(inner, f"{name}.{number}")
        ]  # fmt: skip
    return [name]


def test_ids_stand_by_launch_index(recorder: Opened) -> None:
    recorder.answer = lambda action, form: ran(instance_xml("i-02", index=1), instance_xml("i-01", index=0))
    assert sent(recorder, a_launch()) == LaunchAnswer(("i-01", "i-02"), at=99.0)
    recorder.answer = lambda action, form: ran(instance_xml("i-01", index=0))
    assert sent(recorder, a_launch()) == LaunchAnswer(("i-01",), at=99.0)


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        ("InsufficientInstanceCapacity", "capacity", 500),
        ("VcpuLimitExceeded", "quota", 400),
        ("UnauthorizedOperation", "permission", 403),
        ("InvalidParameterValue", "invalid", 400),
        ("InvalidAMIID.NotFound", "not_found", 400),
        ("SpotMaxPriceTooLow", "spot_price", 400),
    ],
)
def test_a_definite_no_is_an_answer_after_one_call(
    recorder: Opened, code: str, kind: str, status: int
) -> None:
    recorder.answer = lambda action, form: refusal(code, "as it is", status)
    assert sent(recorder, a_launch()) == LaunchAnswer((), kind, code, "as it is", 99.0)  # type: ignore[arg-type]
    assert recorder.actions == ["RunInstances"]


def test_what_fails_for_a_time_is_sent_again_as_it_was(recorder: Opened) -> None:
    def answer(action: str, form: Form) -> Answer:
        match len(recorder.forms):
            case 1:
                return refusal("RequestLimitExceeded", status=503)
            case 2:
                return refusal("InternalError", status=500)
            case 3:
                return 200, "<html>torn"
            case 4:
                return refusal("ExpiredToken")
            case _:
                return ran(instance_xml("i-01"))

    recorder.answer = answer
    assert sent(recorder, a_launch(), limit=600).instances == ("i-01",)
    assert len(recorder.bodies) == 5 and len(set(recorder.bodies)) == 1


def test_what_fails_for_too_long_is_no_answer(recorder: Opened) -> None:
    recorder.answer = lambda action, form: refusal("ServiceUnavailable", status=503)
    time = Time()
    with pytest.raises(AwsError) as raised:
        sent(recorder, a_launch(), time, limit=60)
    assert raised.value.kind in TEMPORARY and time.now <= 1060


@pytest.mark.parametrize("code", ["IdempotentInstanceTerminated", "IdempotentParameterMismatch"])
@pytest.mark.parametrize(("there", "forgotten"), [((0, 1), False), ((1,), True), ((), True)])
def test_what_was_launched_and_has_ended_is_found_and_never_launched_again(
    recorder: Opened, code: str, there: tuple[int, ...], forgotten: bool
) -> None:
    def answer(action: str, form: Form) -> Answer:
        if action == "RunInstances":
            return refusal(code, "known token")
        assert form["Filter.1.Value.1"] == "t-1"
        return described(
            *(
                instance_xml(f"i-0{index}", index=index, state="terminated", spawn_launch="t-1")
                for index in there
            )
        )

    recorder.answer = answer
    told = sent(recorder, a_launch())
    ids = tuple(f"i-0{index}" if index in there else "" for index in range(max(there, default=-1) + 1))
    assert told == LaunchAnswer(ids, None, code, "known token", 99.0, forgotten=forgotten)
    assert recorder.actions == ["RunInstances", "DescribeInstances"]


@pytest.mark.parametrize("age", [0.0, SHOWN_WITHIN - 1, 1 - SHOWN_WITHIN])
@pytest.mark.parametrize("code", ["IdempotentInstanceTerminated", "IdempotentParameterMismatch"])
def test_what_was_just_launched_and_is_not_shown_yet_is_not_gone(
    recorder: Opened, code: str, age: float
) -> None:
    """EC2 hides a new instance for a while, and says so of one that has ended beside it."""
    there = [1]

    def answer(action: str, form: Form) -> Answer:
        if action == "RunInstances":
            return refusal(code, "known token")
        return described(
            *(
                instance_xml(f"i-0{index}", index=index, state="running", spawn_launch="t-1")
                for index in there
            )
        )

    recorder.answer = answer
    launch = a_launch()
    at = launch.made_at + age

    def again() -> LaunchAnswer:
        return send(launch, recorder.opened, REGION, a_pacer(), 30, now=lambda: at)

    with pytest.raises(AwsError, match="shows 1 of 2 instances so far") as raised:
        again()
    assert raised.value.kind in TEMPORARY and raised.value.code == code
    there.append(0)
    assert again() == LaunchAnswer(("i-00", "i-01"), None, code, "known token", at)
    there[:] = [1]
    at = launch.made_at + SHOWN_WITHIN
    assert again() == LaunchAnswer(("", "i-01"), None, code, "known token", at, forgotten=True)


def test_a_known_token_whose_instances_cannot_be_asked_for_is_no_answer(recorder: Opened) -> None:
    def answer(action: str, form: Form) -> Answer:
        known = action == "RunInstances"
        return refusal("IdempotentInstanceTerminated") if known else refusal("InternalError", status=500)

    recorder.answer = answer
    with pytest.raises(AwsError) as raised:
        sent(recorder, a_launch())
    assert raised.value.kind == "server"


# --- over the emulator -----------------------------------------------------------------------------------------------


SIZED = replace(SPEC, disk_size=8)
"""moto does not know how large an AMI's own disk is."""


@pytest.fixture(scope="module")
def one_emulator() -> Iterator[Emulated]:
    with emulated() as emulator:
        yield emulator


@pytest.fixture
def emulator(one_emulator: Emulated) -> Emulated:
    one_emulator.calm()
    return one_emulator


def launched(emulator: Emulated, launch: LaunchRequest, region: str = REGION) -> LaunchAnswer:
    return send(launch, emulator.cloud, region, a_pacer(), 600, now=lambda: 99.0)


def test_ec2_understands_such_a_request(emulator: Emulated) -> None:
    client = emulator.cloud.client("ec2", REGION)
    group = client.create_security_group(GroupName="web", Description="-")["GroupId"]
    client.create_key_pair(KeyName="mine")
    spec = replace(
        SPEC, spot=True, spot_max_price=0.25, key_name="mine", security_groups=(group,), disk_size=30,
        tags=(("team", "vision"),),
    )  # fmt: skip
    attempts = ((0, 1), (11, 3))
    request = a_request(spec, zone="us-east-1a", token="e-1", attempts=attempts)
    launch = a_launch("e-1", spec=spec, request=request)
    answer = launched(emulator, launch)
    assert len(answer.instances) == 2 and answer.error_kind is None
    seen = Fleet(emulator.cloud, REGION, a_pacer()).launched("e-1")
    assert tuple(instance.id for instance in seen) == answer.instances
    assert {(one.market, one.zone, one.type, one.key_name) for one in seen} == {
        ("spot", "us-east-1a", "t3.micro", "mine")
    }
    assert ("team", "vision") in seen[0].tags
    data = client.describe_instance_attribute(InstanceId=seen[0].id, Attribute="userData")["UserData"][
        "Value"
    ]
    assert base64.b64decode(data) == USER_DATA
    [volume] = client.describe_volumes(VolumeIds=list(seen[0].volumes))["Volumes"]
    assert volume["Encrypted"] and volume["Size"] == 30
    assert {"Key": "spawn:launch", "Value": "e-1"} in volume["Tags"]
    request = a_request(replace(spec, key_name="not mine"), zone="us-east-1a", token="e-2")
    wrong = launched(emulator, a_launch("e-2", spec=spec, request=request))
    assert (wrong.error_kind, wrong.error_code) == ("not_found", "InvalidKeyPair.NotFound")


def test_an_answer_that_is_lost_launches_nothing_twice(emulator: Emulated) -> None:
    emulator.ask("POST", "faults", ready="answer_lost", action="RunInstances", times=2)
    launch = a_launch("lost", SIZED)
    answer = launched(emulator, launch)
    assert len(answer.instances) == 2
    assert emulator.calls("RunInstances") == 3
    assert {one["id"] for one in emulator.launched("lost")} == set(answer.instances)
    assert launched(emulator, launch) == answer


def test_a_launch_sent_again_after_its_instances_ended_finds_them(emulator: Emulated) -> None:
    launch = a_launch("ended", SIZED)
    answer = launched(emulator, launch)
    fleet = Fleet(emulator.cloud, REGION, a_pacer())
    fleet.terminate(answer.instances)
    until(lambda: {one.state for one in fleet.launched("ended")} == {"terminated"})
    again = launched(emulator, launch)
    assert again.instances == answer.instances and again.error_kind is None and not again.forgotten
    for one in answer.instances:
        emulator.ask("POST", f"instances/{one}/vanish")
    gone = launched(emulator, launch)
    assert gone.instances == () and gone.error_kind is None and gone.forgotten
    assert len(emulator.launched("ended")) == 2


def test_half_of_all_calls_throttled_launches_each_once(emulator: Emulated) -> None:
    emulator.ask("POST", "faults", ready="throttling")
    pacer = a_pacer()
    tokens = [f"half-{number}" for number in range(20)]
    for token in tokens:
        answer = send(a_launch(token, SIZED), emulator.cloud, REGION, pacer, 600, now=lambda: 99.0)
        assert len(answer.instances) == 2
    there = emulator.launched(*tokens)
    assert sorted((one["token"], one["index"]) for one in there) == sorted(
        (token, index) for token in tokens for index in (0, 1)
    )


def test_as_many_as_there_is_room_for(emulator: Emulated) -> None:
    region, zone = "us-west-2", "us-west-2a"

    def ask(token: str, zone: str) -> LaunchAnswer:
        attempts = ((0, 1), (11, 3))
        return launched(
            emulator,
            a_launch(token, request=a_request(SIZED, zone=zone, token=token, attempts=attempts)),
            region,
        )

    emulator.ask("POST", "capacity", region=region, type="t3.micro", zone=zone, count=1)
    assert len(ask("room-1", zone).instances) == 1
    full = ask("room-2", zone)
    assert (full.instances, full.error_kind, full.error_code) == (
        (),
        "capacity",
        "InsufficientInstanceCapacity",
    )
    emulator.ask("POST", "quotas", region=region, code="L-1216C47A", value=2)
    over = ask("room-3", "us-west-2b")
    assert (over.error_kind, over.error_code) == ("quota", "VcpuLimitExceeded")


@pytest.mark.parametrize("there", [(), (1,), (0, 1)])
def test_a_request_older_than_its_token_is_looked_for_and_not_sent(
    recorder: Opened, there: tuple[int, ...]
) -> None:
    """A weekend later EC2 may have forgotten the token: the same request would launch anew."""

    def answer(action: str, form: Form) -> Answer:
        assert action == "DescribeInstances"
        return described(
            *(
                instance_xml(f"i-0{index}", index=index, state="running", spawn_launch="t-1")
                for index in there
            )
        )

    recorder.answer = answer
    launch = a_launch()
    late = launch.made_at + TOKEN_GOOD
    told = send(launch, recorder.opened, REGION, a_pacer(), 30, now=lambda: late)
    assert [told.instance(index) for index in (0, 1)] == [
        f"i-0{index}" if index in there else "" for index in (0, 1)
    ]
    assert told.forgotten == (len(there) < 2)
    assert "RunInstances" not in recorder.actions
