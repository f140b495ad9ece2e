"""The emulated instances run what they are told to, see what an instance sees, and leave nothing behind."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from .aws import Aws, available
from .client import make_key
from .need import need, program
from .undo import alive
from .waiting import wait_until

pytestmark = pytest.mark.parts
AMI = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
METADATA = """\
T=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
meta() { curl -s -H "X-aws-ec2-metadata-token: $T" "http://169.254.169.254/latest/meta-data/$1"; }
"""


@pytest.fixture
def launch(aws: Aws) -> Callable[..., list[str]]:
    """Launch instances with a user data script; returns their ids by launch index."""
    ami = aws.client("ssm").get_parameter(Name=AMI)["Parameter"]["Value"]

    def run(script: str | bytes, *, count: int = 1, ends: str = "terminate", **more: Any) -> list[str]:
        request = {
            "ImageId": ami, "InstanceType": "t3.micro", "MinCount": count, "MaxCount": count, "UserData": script,
            "InstanceInitiatedShutdownBehavior": ends,
            "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"}, **more,
        }  # fmt: skip
        return [one["InstanceId"] for one in aws.client("ec2").run_instances(**request)["Instances"]]

    return run


def said(aws: Aws, instance: str, text: str, *, limit: float = 30.0) -> str:
    """The console, once it holds that text."""
    wait_until(lambda: text in aws.console(instance), f"{text!r} on the console of {instance}", limit=limit)
    return aws.console(instance)


def test_user_data_runs_as_root_in_a_root_of_its_own(aws: Aws, launch: Callable[..., list[str]]) -> None:
    (one,) = launch(
        "#!/bin/bash\n"
        "echo uid=$(id -u) shell=$BASH home=$(ls -A /home) work=$(ls -A /work | wc -l) tmp=$(ls -A /tmp | wc -l)\n"
        "echo mine > /tmp/mine; echo mine > /etc/mine; mount -t tmpfs none /mnt || echo no mounts\n"
        "ls /sys /var/spool 2>&1; echo processes=$(ls -d /proc/[0-9]* | wc -l)\n"
        "cat /var/log/cloud-init-output.log | grep -c Cloud-init; echo done; exec sleep 1000\n"
    )
    text = said(aws, one, "\ndone")
    assert "uid=0 shell=/bin/bash home=ec2-user work=0 tmp=0" in text
    assert "no mounts" in text
    assert not Path("/etc/mine").exists()
    assert not Path("/tmp/mine").exists()
    (processes,) = [line for line in text.splitlines() if line.startswith("processes=")]
    assert int(processes.partition("=")[2]) < 8


def test_the_scripts_own_interpreter_and_gzip(aws: Aws, launch: Callable[..., list[str]]) -> None:
    (python,) = launch("#!/usr/bin/python3\nprint('six times seven', 6 * 7)\n")
    (zipped,) = launch(gzip.compress(b"#!/bin/sh\necho it was zipped\nexit 3\n"))
    (not_a_script,) = launch("no script at all")
    said(aws, python, "six times seven 42")
    text = said(aws, zipped, "Failed to run module scripts-user")
    assert "it was zipped" in text
    assert "part-001: 3" in text
    said(aws, not_a_script, "Unhandled non-multipart")


def test_each_knows_who_it_is(aws: Aws, launch: Callable[..., list[str]]) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "spawn:ttl", "Value": "12345"}]}]
    ids = launch(
        f"#!/bin/sh\n{METADATA}"
        "echo without=$(curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/instance-id)\n"
        "echo I am $(meta instance-id) number $(meta ami-launch-index) in $(meta placement/region)\n"
        "until [ \"$(meta tags/instance/spawn:ttl)\" = 777 ]; do sleep 0.1; done; echo tag seen\n",
        count=3, TagSpecifications=tags,
    )  # fmt: skip
    for index, one in enumerate(ids):
        assert "without=401" in said(aws, one, f"I am {one} number {index} in us-east-1")
    assert "tag seen" not in aws.console(ids[0])
    aws.client("ec2").create_tags(Resources=ids, Tags=[{"Key": "spawn:ttl", "Value": "777"}])
    for one in ids:
        said(aws, one, "tag seen")


def test_the_users_environment_comes_from_profile_d(aws: Aws, launch: Callable[..., list[str]]) -> None:
    (one,) = launch(
        "#!/bin/sh\necho \"export NAME='run one'\" > /etc/profile.d/spawn.sh\n"
        'su - ec2-user -c \'echo "$NAME as $(id -un) in $PWD with $(python3 -c "print(3)")"\'\n'
    )
    said(aws, one, "run one as ec2-user in /home/ec2-user with 3")


def test_the_cpu_time_it_sees_is_its_own(aws: Aws, launch: Callable[..., list[str]]) -> None:
    busy, idle = launch(
        f"#!/bin/bash\n{METADATA}used() {{ read -r _ user _ < /proc/stat; echo $user; }}\n"
        "[ $(meta ami-launch-index) = 1 ] || { while :; do :; done & }\n"
        "begun=$(used); for round in 1 2 3 4 5 6 7 8; do sleep 0.5; echo $round used=$(($(used) - begun)); done\n",
        count=2,
    )

    def used(instance: str) -> int:
        return int(said(aws, instance, "8 used=").rpartition("used=")[2].split()[0])

    assert used(idle) < 30  # hundredths of a second
    assert used(busy) > 2 * used(idle)


@pytest.mark.parametrize(("ends", "state"), [("terminate", "terminated"), ("stop", "stopped")])
def test_shutdown_ends_the_instance(
    aws: Aws, launch: Callable[..., list[str]], ends: str, state: str
) -> None:
    (one,) = launch(
        "#!/bin/sh\ntrap 'echo heard TERM; exit' TERM\nsetsid sleep 1000 &\nshutdown -h now\nsleep 1000 & wait\n",
        ends=ends,
    )
    aws.await_state(one, state)
    assert "heard TERM" in aws.console(one)
    assert aws.alive() == []
    seen = aws.client("ec2").describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]
    assert seen["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_shutdown_later_and_not_at_all(aws: Aws, launch: Callable[..., list[str]]) -> None:
    aws.settings(minute=0.5)
    later, never = launch(
        f"#!/bin/sh\n{METADATA}shutdown -P +2; echo ordered\n"
        "[ $(meta ami-launch-index) = 0 ] || { shutdown -c; echo taken back; }; exec sleep 1000\n",
        count=2,
    )
    said(aws, never, "taken back")
    aws.await_state(later, "terminated")
    assert aws.state(never) == "running"


def test_a_stopped_instance_keeps_its_disk_and_runs_its_user_data_once(
    aws: Aws, launch: Callable[..., list[str]]
) -> None:
    (one,) = launch(
        "#!/bin/sh\necho first boot; echo kept > /var/kept\n"
        "printf '#!/bin/sh\\necho again, $(cat /var/kept)\\n' > /var/lib/cloud/scripts/per-boot/mine\n"
        "chmod +x /var/lib/cloud/scripts/per-boot/mine\nshutdown -h now\n",
        ends="stop",
    )
    aws.await_state(one, "stopped")
    aws.client("ec2").start_instances(InstanceIds=[one])
    text = said(aws, one, "again, kept")
    assert text.count("first boot") == 1


def test_terminate_kills_all_of_it(aws: Aws, launch: Callable[..., list[str]]) -> None:
    (one,) = launch(
        "#!/bin/bash\ntrap '' TERM\nsetsid bash -c \"trap '' TERM; while :; do sleep 1; done\" &\necho up\nwait\n"
    )
    said(aws, one, "up")
    assert aws.alive()
    aws.client("ec2").terminate_instances(InstanceIds=[one])
    aws.await_state(one, "terminated")
    assert aws.alive() == []


def test_a_spot_notice_comes_before_the_end(aws: Aws, launch: Callable[..., list[str]]) -> None:
    (one,) = launch(
        f"#!/bin/sh\n{METADATA}echo up\nuntil meta spot/instance-action | grep terminate; do sleep 0.1; done\n"
        "sleep 1000\n",
        InstanceMarketOptions={"MarketType": "spot"},
    )
    said(aws, one, "up")
    assert "terminate" not in aws.console(one)
    aws.happen("interrupt", one, notice=1.5)
    said(aws, one, '"action": "terminate"')
    assert aws.state(one) == "running"
    aws.await_state(one, "terminated")
    assert aws.instances(id=one)[0]["reason"] == "Server.SpotInstanceTermination"


def test_one_that_vanishes_and_one_that_dies(aws: Aws, launch: Callable[..., list[str]]) -> None:
    gone, dead = launch("#!/bin/sh\necho up; exec sleep 1000\n", count=2)
    said(aws, gone, "up")
    said(aws, dead, "up")
    aws.happen("vanish", gone)
    aws.happen("impair", dead)
    assert aws.alive() == []
    (told,) = aws.client("ec2").describe_instance_status()["InstanceStatuses"]
    assert (told["InstanceId"], told["InstanceStatus"]["Status"]) == (dead, "impaired")


def test_aws_s3_cp_wants_a_role(aws: Aws, launch: Callable[..., list[str]]) -> None:
    aws.client("s3").create_bucket(Bucket="results")
    iam = aws.client("iam")
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="worker")
    iam.add_role_to_instance_profile(InstanceProfileName="worker", RoleName="worker")
    script = (
        "#!/bin/bash\necho result > /tmp/r\naws s3 cp /tmp/r s3://results/a/ && "
        "aws s3 cp s3://results/a/r - | sed 's/^/back: /'\necho status=$?\n"
    )
    (with_role,) = launch(script, IamInstanceProfile={"Name": "worker"})
    said(aws, with_role, "status=0")
    assert "back: result" in aws.console(with_role)
    assert aws.client("s3").get_object(Bucket="results", Key="a/r")["Body"].read() == b"result\n"
    assert [call["action"] for call in aws.calls(asker="instance")] == ["PutObject", "GetObject"]
    (without,) = launch(script)
    assert "Unable to locate credentials" in said(aws, without, "status=1")


def test_yum_installs_what_is_there(aws: Aws, launch: Callable[..., list[str]]) -> None:
    (one,) = launch("#!/bin/sh\nyum install -y python3; echo $?.\ndnf -y install no-such-thing; echo $?.\n")
    assert said(aws, one, "1.").index("0.") < aws.console(one).index("No match for argument: no-such-thing")


def test_ssh_with_the_key_pair(aws: Aws, launch: Callable[..., list[str]], tmp_path: Path) -> None:
    public = make_key(tmp_path / "key")
    aws.client("ec2").import_key_pair(KeyName="mine", PublicKeyMaterial=public.encode())
    (one,) = launch("#!/bin/sh\necho up\n", KeyName="mine")
    said(aws, one, "up")
    address = aws.client("ec2").describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]
    done = subprocess.run(
        [program("ssh") or "ssh", "-F", "/dev/null", "-i", tmp_path / "key", "-o", "BatchMode=yes",
         "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={tmp_path / 'known'}",
         f"ec2-user@{address['PublicIpAddress']}", "id -un; cat /etc/system-release; echo it > there"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["ec2-user", "Amazon Linux release 2023 (emulated)"], done.stderr


def test_thirty_at_once(aws: Aws, launch: Callable[..., list[str]]) -> None:
    ids = launch(f"#!/bin/sh\n{METADATA}echo number $(meta ami-launch-index)\nshutdown -h now\n", count=30)
    for index, one in enumerate(ids):
        aws.await_state(one, "terminated", limit=60)
        assert f"number {index}\n" in aws.console(one)
    assert aws.alive() == []


def test_nothing_is_left(tmp_path: Path) -> None:
    need(available())
    mounts = Path("/proc/self/mounts").read_text()
    with Aws() as aws:
        ami = aws.client("ssm").get_parameter(Name=AMI)["Parameter"]["Value"]
        aws.client("ec2").run_instances(
            ImageId=ami, InstanceType="t3.micro", MinCount=2, MaxCount=2, UserData="#!/bin/sh\nsleep 1000\n"
        )
        wait_until(lambda: len(aws.alive()) > 4, "two instances")
        below = aws.alive()
        aws.kill()
        wait_until(
            lambda: not any(alive(process) for process in below), "the end of what was killed", limit=10
        )
    assert not aws.directory.exists()
    assert Path("/proc/self/mounts").read_text() == mounts
    assert not [
        one
        for one in psutil.process_iter(["cmdline"])
        if str(aws.directory) in " ".join(one.info["cmdline"] or ())
    ]
