"""What EC2 says of instances, over the emulator and over a server that says what that never would."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.errors import AwsError
from spawn_tui.engine.aws.fleet import BATCH, FILTER_VALUES, GONE, Fleet, Told
from spawn_tui.engine.aws.model import TAG_LAUNCH, TAG_MANAGED, TAG_SWEEP_ID

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

SWEEP = "lr-20261122-abc123"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulated]:
    with emulated() as emulator:
        yield emulator


@pytest.fixture
def cloud(emulator: Emulated) -> Cloud:
    emulator.calm()
    return emulator.cloud


@pytest.fixture
def fleet(cloud: Cloud) -> Fleet:
    return Fleet(cloud, REGION, a_pacer())


def launch(
    cloud: Cloud, count: int = 1, *, sweep: str = SWEEP, token: str = "launch-1", **more: object
) -> list[str]:
    client = cloud.client("ec2", REGION)
    tags = {TAG_MANAGED: "true", TAG_SWEEP_ID: sweep, TAG_LAUNCH: token}
    told = client.run_instances(
        ImageId=AMI, InstanceType="t3.micro", MinCount=count, MaxCount=count,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
        **more,
    )  # fmt: skip
    return [item["InstanceId"] for item in told["Instances"]]


# --- over the emulator -----------------------------------------------------------------------------------------------


def test_the_instances_of_a_sweep_in_their_values(cloud: Cloud, fleet: Fleet) -> None:
    mine = launch(cloud, 3, sweep="mine", Placement={"AvailabilityZone": "us-east-1b"})
    launch(cloud, sweep="another")
    seen = fleet.instances("mine")
    assert [instance.id for instance in seen] == mine
    assert [instance.index for instance in seen] == [0, 1, 2]
    one = seen[0]
    assert (one.state, one.type, one.zone, one.market) == ("running", "t3.micro", "us-east-1b", "on-demand")
    assert one.launch == "launch-1" and one.launched_at > 1e9 and one.ami.startswith("ami-")
    assert one.private_ip and len(one.volumes) == 1 and one.volumes[0].startswith("vol-")
    assert dict(one.tags)[TAG_SWEEP_ID] == "mine"
    assert [
        instance.id for instance in fleet.launched("launch-1") if ("spawn:sweep-id", "mine") in instance.tags
    ] == mine


def test_spot_is_told_apart_and_ended_instances_are_seen(cloud: Cloud, fleet: Fleet) -> None:
    [spot] = launch(cloud, sweep="spot", InstanceMarketOptions={"MarketType": "spot"})
    assert fleet.terminate([spot]) == Told()
    until(lambda: [instance.state for instance in fleet.instances("spot")] == ["terminated"])
    [seen] = fleet.instances("spot")
    assert seen.market == "spot"
    assert seen.reason_code == "Client.UserInitiatedShutdown" and "User initiated" in seen.reason


def test_a_stale_id_keeps_nothing_alive(cloud: Cloud, fleet: Fleet) -> None:
    ids = launch(cloud, 3, sweep="stale")
    stale = ["i-0123456789abcdef0", "i-0fedcba9876543210"]
    told = fleet.terminate([stale[0], *ids, stale[1], ids[0]])
    assert sorted(told.unknown) == sorted(stale) and not told.refused
    until(lambda: {instance.state for instance in fleet.instances("stale")} == {"terminated"})
    assert sorted(instance.id for instance in fleet.by_ids([*stale, *ids])) == sorted(ids)
    assert set(fleet.terminate(stale).unknown) == set(stale)
    assert fleet.terminate([]) == Told()


def test_stopping_tagging_checks_and_the_console(cloud: Cloud, fleet: Fleet) -> None:
    stay, stop = launch(cloud, 2, sweep="stop")
    assert fleet.stop([stop]) == Told()
    until(lambda: [instance.state for instance in fleet.by_ids([stop])] == ["stopped"])
    assert {instance.id: instance.state for instance in fleet.instances("stop")} == {
        stay: "running",
        stop: "stopped",
    }
    assert fleet.statuses([stay, stop, "i-0123456789abcdef0"]) == {stay: "ok"}
    [instance] = fleet.by_ids([stay])
    fleet.tag([stay, *instance.volumes], {"spawn:sweep-index": "7", "Name": "lr 7"})
    [instance] = fleet.by_ids([stay])
    assert dict(instance.tags)["spawn:sweep-index"] == "7"
    volumes = cloud.client("ec2", REGION).describe_volumes(VolumeIds=list(instance.volumes))["Volumes"]
    assert {"Key": "Name", "Value": "lr 7"} in volumes[0]["Tags"]
    assert isinstance(fleet.console_output(stay), str)


def test_terminate_all_ends_running_and_stopped_ones_and_no_other_sweep(cloud: Cloud, fleet: Fleet) -> None:
    ids = launch(cloud, 3, sweep="end-me")
    fleet.stop(ids[:1])
    [other] = launch(cloud, sweep="end-me-not")
    swept = fleet.terminate_all("end-me", until_gone=60)
    assert sum(swept.states.values()) == 3 and GONE.issuperset(swept.states) and not swept.left
    assert sorted(swept.ended) == sorted(ids)
    assert [instance.state for instance in fleet.by_ids([other])] == ["running"]
    assert fleet.terminate_all("end-me", until_gone=60).ended == ()


def test_a_sweep_whose_id_holds_a_star_ends_no_other(cloud: Cloud, fleet: Fleet) -> None:
    [mine] = launch(cloud, sweep="a*b")
    [other] = launch(cloud, sweep="a-and-b")
    assert [instance.id for instance in fleet.instances("a*b")] == [mine]
    fleet.terminate_all("a*b", until_gone=60)
    states = {instance.id: instance.state for instance in fleet.by_ids([mine, other])}
    assert states[mine] in GONE and states[other] == "running"


# --- over a server that says what a test wants -----------------------------------------------------------------------


@pytest.fixture
def answering() -> Iterator[Callable[[Callable[[str, Form], Answer]], tuple[Fleet, Recorder, Time]]]:
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(answer: Callable[[str, Form], Answer]) -> tuple[Fleet, Recorder, Time]:
            recorder, time = Recorder(answer), Time()
            cloud = stack.enter_context(recorder.cloud())
            return Fleet(cloud, REGION, a_pacer(time), limit=30), recorder, time

        yield make


Answering = Callable[[Callable[[str, Form], Answer]], tuple[Fleet, Recorder, Time]]


def named(form: Form) -> list[str]:
    return [value for key, value in form.items() if key.startswith("InstanceId.")]


def test_all_pages_are_read_and_a_throttled_page_is_asked_again_alone(answering: Answering) -> None:
    throttled = iter([True, False, True])

    def answer(action: str, form: Form) -> Answer:
        page = int(form.get("NextToken", "0"))
        if page == 1 and next(throttled, False):
            return refusal("RequestLimitExceeded", status=503)
        more = instance_xml(f"i-{page:08x}", spawn_sweep_id=SWEEP)
        return described(more, token=str(page + 1) if page < 3 else "")

    fleet, recorder, _ = answering(answer)
    assert [instance.id for instance in fleet.instances(SWEEP)] == [f"i-{page:08x}" for page in range(4)]
    assert [form.get("NextToken") for form in recorder.forms] == [None, "1", "1", "2", "3"]
    assert recorder.forms[0]["MaxResults"] == "1000"
    assert recorder.forms[0]["Filter.1.Name"] == f"tag:{TAG_SWEEP_ID}"


def test_pages_without_end_are_an_error(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spawn_tui.engine.aws.fleet.MOST_PAGES", 5)
    fleet, recorder, _ = answering(lambda action, form: described(token="again"))
    with pytest.raises(AwsError, match="more than 5 pages"):
        fleet.instances(SWEEP)
    assert len(recorder.forms) == 5


def test_an_answer_that_failed_is_an_error_and_never_nothing(answering: Answering) -> None:
    fleet, recorder, time = answering(lambda action, form: refusal("InternalError", status=500))
    with pytest.raises(AwsError) as raised:
        fleet.instances(SWEEP)
    assert raised.value.kind == "server" and len(recorder.forms) > 3 and time.now == 1030
    fleet, recorder, _ = answering(lambda action, form: refusal("UnauthorizedOperation", status=403))
    with pytest.raises(AwsError) as raised:
        fleet.all_managed()
    assert raised.value.action == "ec2:DescribeInstances" and len(recorder.forms) == 1


def test_wildcards_of_a_value_are_meant_literally(answering: Answering) -> None:
    others = [instance_xml("i-1", spawn_sweep_id="a*b"), instance_xml("i-2", spawn_sweep_id="aXb")]
    fleet, recorder, _ = answering(lambda action, form: described(*others))
    assert [instance.id for instance in fleet.instances("a*b")] == ["i-1"]
    assert recorder.forms[0]["Filter.1.Value.1"] == r"a\*b"


def test_values_as_ec2_gives_them(answering: Answering) -> None:
    more = (
        "<stateReason><code>Server.SpotInstanceTermination</code><message>Spot: no capacity</message></stateReason>"
        "<instanceLifecycle>spot</instanceLifecycle><ipAddress>3.4.5.6</ipAddress><keyName>mine</keyName>"
        "<placement><availabilityZone>us-east-1c</availabilityZone></placement><blockDeviceMapping>"
        "<item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-1</volumeId></ebs></item>"
        "<item><deviceName>/dev/sdb</deviceName></item></blockDeviceMapping>"
    )
    odd = instance_xml(
        "i-9", index=4, state="shutting-down", more=more, spawn_launch="t", spawn_sweep_id=SWEEP
    )
    bare = instance_xml("i-8", state="pending", spawn_sweep_id=SWEEP)
    fleet, _, _ = answering(lambda action, form: described(odd, bare))
    one, other = fleet.instances(SWEEP)
    assert (one.state, one.market, one.index, one.launch) == ("shutting-down", "spot", 4, "t")
    assert (one.reason_code, one.reason) == ("Server.SpotInstanceTermination", "Spot: no capacity")
    assert (one.public_ip, one.zone, one.volumes, one.key_name) == (
        "3.4.5.6",
        "us-east-1c",
        ("vol-1",),
        "mine",
    )
    assert one.launched_at == 1795341600.0
    assert (other.launch, other.volumes, other.reason, other.zone, other.public_ip) == ("", (), "", "", "")


def test_a_state_nobody_knows_is_an_error(answering: Answering) -> None:
    fleet, _, _ = answering(
        lambda action, form: described(instance_xml("i-1", state="resting", spawn_sweep_id=SWEEP))
    )
    with pytest.raises(AwsError, match="i-1 is said to be 'resting'"):
        fleet.instances(SWEEP)


def test_batches_are_cut_and_each_id_is_named_once(answering: Answering) -> None:
    fleet, recorder, _ = answering(lambda action, form: success(action))
    ids = [f"i-{number:08x}" for number in range(2 * BATCH + 1)]
    assert fleet.terminate([*ids, *ids]) == Told()
    assert [len(named(form)) for form in recorder.forms] == [BATCH, BATCH, 1]
    assert [one for form in recorder.forms for one in named(form)] == ids
    recorder.forms.clear()
    recorder.answer = lambda action, form: described()
    ids = [f"i-{number:08x}" for number in range(FILTER_VALUES + 1)]
    assert fleet.by_ids(ids) == []
    assert len(recorder.forms) == 2 and not any(named(form) for form in recorder.forms)


def test_an_objection_that_names_nobody_is_traced_by_halves(answering: Answering) -> None:
    bad = {"i-00000003", "i-00000060"}
    ended: set[str] = set()

    def answer(action: str, form: Form) -> Answer:
        if bad.intersection(named(form)):
            return refusal("InvalidInstanceID.NotFound", "some instance does not exist")
        ended.update(named(form))
        return success(action)

    fleet, recorder, _ = answering(answer)
    ids = [f"i-{number:08x}" for number in range(100)]
    assert set(fleet.terminate(ids).unknown) == bad
    assert ended == set(ids) - bad
    assert len(recorder.forms) < 4 * 8


def test_a_protected_instance_protects_no_other(answering: Answering) -> None:
    words = "The instance 'i-00000002' may not be terminated. Modify its 'disableApiTermination' instance attribute"
    alive = {"i-00000001", "i-00000002", "i-00000003"}

    def answer(action: str, form: Form) -> Answer:
        if action == "DescribeInstances":
            return described(*(instance_xml(one, spawn_sweep_id=SWEEP) for one in sorted(alive)))
        if "i-00000002" in named(form):
            return refusal("OperationNotPermitted", words)
        alive.difference_update(named(form))
        return success(action)

    fleet, recorder, time = answering(answer)
    swept = fleet.terminate_all(SWEEP, until_gone=3600)
    assert alive == {"i-00000002"} == set(swept.left)
    assert swept.states == {"running": 1}
    assert [(one, error.code) for one, error in swept.refused] == [("i-00000002", "OperationNotPermitted")]
    assert set(swept.ended) == {"i-00000001", "i-00000003"}
    assert time.now - 1000 < 10, "what is refused is not waited for"
    assert len(recorder.forms) < 8


def test_terminating_without_permission_is_one_error(answering: Answering) -> None:
    fleet, recorder, _ = answering(lambda action, form: refusal("UnauthorizedOperation", "You are not", 403))
    with pytest.raises(AwsError) as raised:
        fleet.terminate([f"i-{number:08x}" for number in range(10)])
    assert raised.value.action == "ec2:TerminateInstances" and len(recorder.forms) == 1


class Region:
    """Instances that take their time; `late` are seen only after some looks."""

    def __init__(self, states: dict[str, str], *, slow: int = 2, late: dict[str, int] | None = None) -> None:
        self.states, self.slow, self.late = states, dict.fromkeys(states, slow), late or {}
        self.looks = 0

    def __call__(self, action: str, form: Form) -> Answer:
        if action == "DescribeInstances":
            self.looks += 1
            seen = [one for one in self.states if self.looks > self.late.get(one, 0)]
            return described(
                *(instance_xml(one, state=self.states[one], spawn_sweep_id=SWEEP) for one in seen)
            )
        for one in named(form):
            self.slow[one] -= 1
            if self.slow[one] <= 0:
                self.states[one] = "shutting-down"
        return success(action)


def test_terminate_all_goes_on_until_all_have_heard_it(answering: Answering) -> None:
    region = Region({"i-01": "pending", "i-02": "stopping", "i-03": "stopped", "i-04": "terminated"}, slow=4)
    fleet, recorder, time = answering(region)
    swept = fleet.terminate_all(SWEEP, until_gone=600)
    assert swept.states == {"shutting-down": 3, "terminated": 1} and not swept.left
    assert set(swept.ended) == {"i-01", "i-02", "i-03"}
    asked = [set(named(form)) for form in recorder.forms if form["Action"] == "TerminateInstances"]
    assert asked == [{"i-01", "i-02", "i-03"}] * 4
    assert time.now - 1000 < 20


def test_terminate_all_ends_what_comes_to_light_late_where_it_is_told_to_settle(answering: Answering) -> None:
    region = Region({"i-01": "running", "i-02": "running"}, slow=1, late={"i-02": 6})
    fleet, _, time = answering(region)
    swept = fleet.terminate_all(SWEEP, until_gone=600, settle=60)
    assert set(swept.ended) == {"i-01", "i-02"} and swept.states == {"shutting-down": 2}
    assert 78 <= time.now - 1000 < 200, "the time to settle begins anew with what came to light"
    region = Region({"i-02": "running"}, late={"i-02": 6})
    fleet, _, _ = answering(region)
    assert fleet.terminate_all(SWEEP, until_gone=600).states == {}


def test_terminate_all_is_bounded_and_says_what_is_left(answering: Answering) -> None:
    region = Region({"i-01": "stopping", "i-02": "running"}, slow=10**6)
    fleet, _, time = answering(region)
    swept = fleet.terminate_all(SWEEP, until_gone=120)
    assert swept.states == {"stopping": 1, "running": 1} and set(swept.left) == {"i-01", "i-02"}
    assert time.now == 1120


@pytest.mark.parametrize(
    ("instance", "system", "disks", "health"),
    [
        ("ok", "ok", "ok", "ok"),
        ("ok", "ok", None, "ok"),
        ("ok", "impaired", "ok", "impaired"),
        ("impaired", "initializing", None, "impaired"),
        ("ok", "ok", "impaired", "impaired"),
        ("initializing", "ok", None, "initializing"),
        ("ok", "insufficient-data", None, "insufficient-data"),
        ("not-applicable", "not-applicable", None, "insufficient-data"),
    ],
)
def test_the_worst_check_counts(
    answering: Answering, instance: str, system: str, disks: str | None, health: str
) -> None:
    def answer(action: str, form: Form) -> Answer:
        checks = {"instanceStatus": instance, "systemStatus": system, "attachedEbsStatus": disks}
        inside = "".join(f"<{key}><status>{word}</status></{key}>" for key, word in checks.items() if word)
        return success(
            action,
            f"<instanceStatusSet><item><instanceId>i-01</instanceId>{inside}</item></instanceStatusSet>",
        )

    fleet, _, _ = answering(answer)
    assert fleet.statuses(["i-01"]) == {"i-01": health}


def test_a_machine_of_the_old_kind_has_its_console_too(answering: Answering) -> None:
    def answer(action: str, form: Form) -> Answer:
        if form.get("Latest") == "true":
            return refusal(
                "UnsupportedOperation", "This instance type does not support retrieving the latest"
            )
        return success(action, "<instanceId>i-01</instanceId><output>Ym9vdGVkCg==</output>")

    fleet, recorder, _ = answering(answer)
    assert fleet.console_output("i-01") == "booted\n"
    assert len(recorder.forms) == 2
    recorder.answer = lambda action, form: success(action, "<instanceId>i-01</instanceId>")
    assert fleet.console_output("i-01") == ""
    recorder.answer = lambda action, form: refusal(
        "InvalidInstanceID.NotFound", "The instance ID 'i-01' does not exist"
    )
    with pytest.raises(AwsError, match="does not exist"):
        fleet.console_output("i-01")


def test_hibernating_says_so(answering: Answering) -> None:
    fleet, recorder, _ = answering(lambda action, form: success(action))
    fleet.stop(["i-01"], hibernate=True)
    fleet.stop(["i-01"])
    assert [form.get("Hibernate") for form in recorder.forms] == ["true", None]
