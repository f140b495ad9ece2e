"""What can be said of a source in a configuration file: one `Option` each; a kind lists those it understands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..plan.model import Value
from . import values
from .values import Wrong


@dataclass(frozen=True, slots=True)
class Option:
    """One key of a source. `read` makes the text that stands in `SourceSpec.options`, or raises `Wrong`."""

    name: str
    read: Callable[[Value], str]
    meaning: str
    """For people, in half a line."""
    aliases: tuple[str, ...] = ()


def _lines(value: Value) -> str:
    return "\n".join(values.texts(value))


def _number(least: int, most: int | None = None) -> Callable[[Value], str]:
    read = values.whole(least, most)
    return lambda value: str(read(value))


def _seconds(value: Value) -> str:
    return f"{values.some_seconds(value):g}"


def _word(value: Value) -> str:
    word = values.text(value)
    if any(char.isspace() for char in word) or word.startswith("-"):
        raise Wrong("must be one word that does not begin with -")
    return word


def _truth(value: Value) -> str:
    return "true" if values.truth(value) else "false"


def _host(value: Value) -> str:
    word = _word(value)
    if "@" in word or "," in word or "/" in word:
        raise Wrong("is not a host name", "write user and port as keys of their own")
    return word.removeprefix("[").removesuffix("]")


def _key(value: Value) -> str:
    return str(Path(values.text(value)).expanduser())


HOST = Option("host", _host, "name, alias of ~/.ssh/config, or address", ("hostname",))
USER = Option("user", _word, "login name there", ("username",))
PORT = Option("port", _number(1, 65535), "SSH port")
SSH_KEY = Option("ssh_key", _key, "private key file; without it ~/.ssh/config and the agent decide")
PROJECT_DIR = Option("project_dir", values.text, "the project's folder there")
REMOTE_ROOT = Option("remote_root", values.text, "where attempts are kept there")
PARTITION = Option("partition", _word, "partition", ("queue",))
QUEUE = Option("queue", _word, "queue", ("partition",))
ACCOUNT = Option("account", _word, "account to charge")
QOS = Option("qos", _word, "quality of service")
WALLTIME = Option("walltime", values.walltime, "longest time of a task, as 04:00:00 or 4h")
CPUS = Option("cpus", _number(1), "cores of a task")
MEM = Option("mem", values.memory, "memory of a task, as 16G")
GPUS = Option("gpus", values.gpus, "GPUs of a task, as 1 or a100:2")
MODULES = Option("modules", _lines, "environment modules to load")
SETUP = Option("setup", _lines, "shell commands before each task")
CONDA_ENV = Option("conda_env", _word, "conda environment of the tasks")
PYTHON = Option("python", values.text, "the `python` of the tasks")
COST = Option("cost_per_hour", values.price, "USD per slot and hour")
POLL = Option("poll_interval", _seconds, "time between two looks, as 5s")
EXTRA = Option("extra", _lines, "further directives of the job script, as --exclusive")

REGION = Option("region", _word, "AWS region")
PROFILE = Option("profile", _word, "profile of ~/.aws/config", ("aws_profile",))
BUCKET = Option("bucket", _word, "S3 bucket for logs and results; made by itself if left out")
INSTANCE = (
    Option("instance_type", values.text, "instance type, as t3.micro, c5.large|m5.large or c5.*"),
    Option("ami", _word, "machine image; the newest Amazon Linux 2023 if left out", ("ami_id",)),
    Option("key_name", values.text, "EC2 key pair, to log in", ("key_pair",)),
    Option("iam_role", values.text, "instance profile"),
    Option("iam_policy", _lines, "policies for the instances, as s3:FullAccess"),
    Option("security_group", _lines, "security groups", ("security_groups",)),
    Option("subnet", _lines, "subnets", ("subnet_id",)),
    Option("az", _lines, "availability zones", ("availability_zone",)),
    Option("disk_size", _number(1), "GiB of the root volume", ("volume_size",)),
    Option("spot", _truth, "Spot instances"),
    Option("spot_max_price", values.price, "USD per hour at most"),
    Option("spot_fallback", _truth, "on-demand where there is no Spot capacity"),
    Option("ttl", _seconds, "time after which an instance ends whatever it does, as 2h"),
    Option("idle_timeout", _seconds, "time without work after which an instance ends, as 15m"),
    Option("on_complete", _word, "terminate, stop or hibernate, when the task is done"),
)

CLOUD = (REGION, PROFILE, BUCKET, *INSTANCE, SSH_KEY, POLL)
LOGIN = (HOST, USER, PORT, SSH_KEY)
PLACE = (PROJECT_DIR, REMOTE_ROOT, MODULES, SETUP, CONDA_ENV, PYTHON, POLL, COST)
JOB = (ACCOUNT, QOS, WALLTIME, CPUS, MEM, GPUS, EXTRA)


def find_option(options: tuple[Option, ...], key: str) -> Option | None:
    """The option that `key` names, by its name or an alias."""
    return next((option for option in options if key == option.name or key in option.aliases), None)
