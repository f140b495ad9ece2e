"""Logging in to an instance by SSH: as whom, with which key, at which address, and what would be in the way.

A fresh instance has a fresh host key that nobody can vouch for: it is trusted at the first login and kept in a file of
the sweep's own, under the instance's id, for its address will be another's tomorrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .cloud import Cloud, asked
from .errors import AwsError
from .images import image
from .model import Instance

CONNECT_LIMIT = 15
"""Seconds until an address that does not answer is given up."""
SSH_PORT = 22
USER = "ec2-user"
"""Of an image that nobody knows any more."""


class CannotReach(Exception):
    """There is no way to log in; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class WayIn:
    """As whom, where and with which key; an empty key: what the agent and ssh's own configuration have."""

    user: str
    address: str
    key: str
    port: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Login:
    """`argv`: the command that logs in. `notes`: what a person should know before."""

    argv: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user said of the login; empty text and 0: nothing. `command`: what to run there instead of a shell."""

    user: str = ""
    key: str = ""
    port: int = 0
    command: tuple[str, ...] = ()


def login_to(
    instance: Instance, region: str, cloud: Cloud, wish: Wish, *, ssh_key: str, known_hosts: Path, home: Path
) -> Login:
    """The command that logs in to a running instance. As `way_in`; what its network keeps out is a note, too."""
    way = way_in(instance, region, cloud, wish, ssh_key=ssh_key, home=home)
    options = [
        f"HostKeyAlias={instance.id}", "CheckHostIP=no", "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={_quoted(known_hosts)}", f"ConnectTimeout={CONNECT_LIMIT}",
    ]  # fmt: skip
    argv = ["ssh", *(word for option in options for word in ("-o", option))]
    if way.key:
        argv += ["-i", way.key, "-o", "IdentitiesOnly=yes"]
    argv += ["-p", str(way.port)] if way.port else []
    closed = closed_words(instance, region, cloud, way.port or SSH_PORT)
    # Behind `--` nothing is an option of ssh, not even in the command.
    return Login(
        (*argv, "--", f"{way.user}@{way.address}", *wish.command), (*way.notes, *([closed] if closed else []))
    )


def way_in(instance: Instance, region: str, cloud: Cloud, wish: Wish, *, ssh_key: str, home: Path) -> WayIn:
    """How to log in to a running instance. `ssh_key`: the private key its source names; `home`: where `.ssh` is.

    Raises `CannotReach`; that the image cannot be asked about is a note.
    """
    if instance.state != "running":
        raise CannotReach(f"{instance.id} is {instance.state}; {_REMEDY.get(instance.state, _GONE)}")
    address = instance.public_ip or instance.private_ip
    if not address:
        raise CannotReach(f"{instance.id} has no address yet; try again in a moment")
    notes: list[str] = []
    if not instance.public_ip:
        notes.append(
            f"{instance.id} has no public address; {address} is reached from within its network only (VPN, bastion)"
        )
    key = _key(instance, wish, ssh_key, home, notes)
    user = wish.user or _user(instance, region, cloud, notes)
    return WayIn(user, address, key, wish.port, tuple(notes))


_REMEDY = {
    "pending": "it is booting; try again in a moment",
    "stopping": "it is on its way down",
    "stopped": "start it in the EC2 console, or with: aws ec2 start-instances",
}
_GONE = "it cannot be logged in to any more; its logs: spawn-tui logs"


def _key(instance: Instance, wish: Wish, ssh_key: str, home: Path, notes: list[str]) -> str:
    """The private key file; empty: what the agent and ssh's own configuration have."""
    for given in filter(None, (wish.key, ssh_key)):
        path = Path(given).expanduser()
        if not path.is_file():
            raise CannotReach(f"the key {path} is not there; name another with --key")
        return str(path)
    name = instance.key_name
    if not name:
        raise CannotReach(
            f"{instance.id} was launched without a key pair, so no key opens it; name one for the next sweep "
            "(key_name in the parameter file, or SPAWN_KEY_NAME), or, if its image has keys of its own, say --key FILE"
        )
    # A key pair may be called anything; only one that can name a file is looked for.
    if "/" not in name and not name.startswith("."):
        for path in (home / ".ssh" / name, home / ".ssh" / f"{name}.pem"):
            if path.is_file():
                return str(path)
    notes.append(
        f"its key pair is {name}, and there is no ~/.ssh/{name} or {name}.pem here: "
        "ssh tries your agent and your own keys"
    )
    return ""


def _user(instance: Instance, region: str, cloud: Cloud, notes: list[str]) -> str:
    try:
        return image(instance.ami, region, cloud).user
    except AwsError as error:
        notes.append(
            f"its image {instance.ami} says nothing of its user ({error}); {USER} is tried, --user names another"
        )
        return USER


def closed_words(instance: Instance, region: str, cloud: Cloud, port: int) -> str:
    """Why nobody gets through to `port`, in words; empty if somebody does.

    From where is not looked at: which address this machine has to others is not known.
    """
    client = cloud.client("ec2", region)
    try:
        with asked("DescribeInstances"):
            told = client.describe_instances(InstanceIds=[instance.id])
        groups = [str(group["GroupId"]) for group in _groups(told)]
        if not groups:
            return ""
        with asked("DescribeSecurityGroups"):
            rules = client.describe_security_groups(GroupIds=groups)["SecurityGroups"]
    except AwsError as error:
        return f"whether its security groups let SSH in could not be asked ({error})"
    if any(_lets_in(rule, port) for group in rules for rule in group.get("IpPermissions", ())):
        return ""
    return (
        f"none of its security groups ({', '.join(groups)}) lets port {port} in; open it for your address: "
        f"aws ec2 authorize-security-group-ingress --region {region} --group-id {groups[0]} --protocol tcp "
        f"--port {port} --cidr YOUR-ADDRESS/32"
    )


def _groups(told: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = [item for part in told["Reservations"] for item in part["Instances"]]
    return cast("Sequence[Mapping[str, Any]]", found[0].get("SecurityGroups", ()) if found else ())


def _lets_in(rule: Mapping[str, Any], port: int) -> bool:
    """Whether one rule of a group lets somebody in from outside, where no security group is.

    Protocol -1 is all of them, and then there are no ports.
    """
    if not any(rule.get(sources) for sources in ("IpRanges", "Ipv6Ranges", "PrefixListIds")):
        return False
    if rule.get("IpProtocol") == "-1":
        return True
    return rule.get("IpProtocol") in ("tcp", "6") and rule.get("FromPort", 0) <= port <= rule.get(
        "ToPort", 65535
    )


def _quoted(path: Path) -> str:
    """A file name as ssh_config(5) has it: `%` begins a token, and words are divided at blanks."""
    text = str(path).replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
