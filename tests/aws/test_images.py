"""Machine images: the newest Amazon Linux by architecture, and who logs in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from spawn_tui.engine.aws.errors import AwsError
from spawn_tui.engine.aws.images import disk_for, image, image_for, login_user, newest_al2023
from spawn_tui.engine.aws.model import InstanceSpec

from .launch_field import FieldCloud, account

EAST = "us-east-1"


@pytest.fixture(scope="module")
def cloud():
    with account() as it:
        yield it


def test_the_newest_amazon_linux_is_that_of_the_architecture(cloud: FieldCloud):
    ids = {architecture: newest_al2023(EAST, architecture, cloud) for architecture in ("x86_64", "arm64")}
    assert ids["x86_64"] != ids["arm64"]
    for architecture, ami in ids.items():
        found = image(ami, EAST, cloud)
        assert found.architecture == architecture
        assert found.name.startswith("al2023-ami-2023")
        assert (found.root_device, found.user) == ("/dev/xvda", "ec2-user")
        assert found.root_gib > 0
    assert cloud.asked("GetParameter") == 2
    newest_al2023(EAST, "arm64", cloud)
    assert cloud.asked("GetParameter") == 2


def test_an_instance_starts_from_its_own_image_or_that_of_its_architecture(cloud: FieldCloud):
    spec = InstanceSpec(EAST, ("t3.micro", "t4g.micro"))
    assert image_for(spec, "t3.micro", cloud).architecture == "x86_64"
    assert image_for(spec, "t4g.micro", cloud).architecture == "arm64"
    own = newest_al2023(EAST, "x86_64", cloud)
    assert image_for(InstanceSpec(EAST, ("t4g.micro",), ami=own), "t4g.micro", cloud).id == own
    with pytest.raises(AwsError) as told:
        image_for(spec, "zz9.huge", cloud)
    assert told.value.kind == "not_found"


def test_the_disk_is_as_wished_else_the_image_s_and_holds_the_memory_in_hibernation(cloud: FieldCloud):
    spec = InstanceSpec(EAST, ("c5.large",))
    own = image_for(spec, "c5.large", cloud)
    assert disk_for(spec, "c5.large", own, cloud) == own.root_gib
    assert disk_for(replace(spec, disk_size=99, hibernate=True), "c5.large", own, cloud) == 99
    assert disk_for(replace(spec, hibernate=True), "c5.large", own, cloud) == own.root_gib + 4


def test_an_image_that_is_not_there(cloud: FieldCloud):
    with pytest.raises(AwsError) as told:
        image("ami-00000000000000000", EAST, cloud)
    assert told.value.kind == "not_found"


def test_an_image_that_was_deregistered_is_an_empty_answer():
    with account() as cloud:
        cloud.replies["DescribeImages"] = lambda request: {"Images": []}
        with pytest.raises(AwsError) as told:
            image("ami-0abcdef1234567890", EAST, cloud)
        assert told.value.kind == "not_found"


def test_nothing_is_chosen_for_what_is_neither(cloud: FieldCloud):
    with pytest.raises(AwsError, match="name an image as `ami`"):
        newest_al2023(EAST, "other", cloud)


@pytest.mark.parametrize(
    ("name", "owner", "user"),
    [
        ("al2023-ami-2023.6.20250101.0-kernel-6.1-x86_64", "137112412989", "ec2-user"),
        ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260101", "099720109477", "ubuntu"),
        (
            "Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.5 (Ubuntu 22.04) 20250101",
            "898082745236",
            "ubuntu",
        ),
        ("Deep Learning Base AMI with Single CUDA (Amazon Linux 2023)", "898082745236", "ec2-user"),
        ("debian-12-amd64-20250101-1", "136693071363", "admin"),
        ("Rocky-9-EC2-Base-9.5-20250101.0.x86_64", "792107900819", "rocky"),
        ("RHEL-9.5.0_HVM-20250101-x86_64-0-Hourly2-GP3", "309956199498", "ec2-user"),
        ("our-lab-image", "123456789012", "ec2-user"),
        ("golden", "099720109477", "ubuntu"),
    ],
)
def test_who_logs_in(name: str, owner: str, user: str):
    assert login_user(name, owner) == user
