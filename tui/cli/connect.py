"""`connect`: a shell, or a command, where a task runs."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...engine.ids import task_name
from ...engine.sources.registry import CLUSTERS, KINDS
from ...engine.sweep import Attempt
from ...engine.viewer import Viewer
from ...state.disk import DIR_MODE
from .. import format as fmt
from .find import find_sweep, readable
from .logs import find_task
from .output import UserError, data, say

if TYPE_CHECKING:
    from ...engine.aws.reach import Login, Wish
    from ...engine.source_state import SourceState


@click.command()
@click.argument("sweep")
@click.argument("task")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--user", metavar="NAME", help="Log in as this user (default: the one of the machine's image).")
@click.option(
    "--key",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Private key (default: ssh_key of the source, ~/.ssh/<key pair>[.pem], your agent).",
)
@click.option("--port", "-p", type=click.IntRange(1, 65535), help="SSH port.")
@click.option("--attempt", type=click.IntRange(1), help="An earlier attempt (default: the latest).")
@click.option("--print", "only_print", is_flag=True, help="Print the ssh command; do not run it.")
def connect(
    sweep: str,
    task: str,
    command: tuple[str, ...],
    user: str | None,
    key: str | None,
    port: int | None,
    attempt: int | None,
    only_print: bool,
) -> int:
    """Log in to the machine that TASK of SWEEP runs on, or run COMMAND there.

    \b
    spawn-tui connect latest 3
    spawn-tui connect latest task_003 -- tail -f /var/lib/spawn/bootstrap.log
    eval "$(spawn-tui connect latest 3 --print)"

    Of an EC2 instance the host key is trusted at the first login, and checked at every later one. A task on this
    machine has its directory printed. Exit status: that of ssh; 1 if there is no way in.
    """
    from ...engine.aws.reach import Wish

    viewer = readable(lambda: Viewer(find_sweep(sweep)))
    index = find_task(viewer, task)
    wish = Wish(user or "", key or "", port or 0, command)
    login = way_to(viewer, index, wish, attempt)
    if login is None:
        data(str(viewer.attempt_dir(index, attempt)))
        return 0
    for note in login.notes:
        say(f"spawn-tui: {note}")
    if only_print:
        data(shlex.join(login.argv))
        return 0
    try:
        os.execvp(login.argv[0], login.argv)
    except OSError as error:
        raise UserError(f"{login.argv[0]}: {error.strerror}; install OpenSSH's client", status=1) from None


def way_to(viewer: Viewer, index: int, wish: Wish, number: int | None = None) -> Login | None:
    """How to log in where an attempt of a task is (None: the latest); None if it is on this machine, which is said.

    Raises `UserError` where there is no way.
    """
    attempts = viewer.sweep.tasks[index].attempts
    if not attempts:
        raise UserError(f"{task_name(index)} was not launched yet: it is nowhere", status=1)
    if number is not None and number > len(attempts):
        raise UserError(f"{task_name(index)} has {len(attempts)} attempts, not {number}")
    attempt = attempts[(number or len(attempts)) - 1]
    source = viewer.sweep.sources[attempt.source]
    if source.kind in KINDS and KINDS[source.kind].cloud:
        return _to_instance(viewer, index, attempt, source, wish)
    if not dict(source.options).get("host"):
        say(f"{task_name(index)} is on {source.name}, which is this machine; its directory is:")
        return None
    return _to_host(viewer, index, attempt, source, wish)


def _to_host(viewer: Viewer, index: int, attempt: Attempt, source: SourceState, wish: Wish) -> Login:
    """By the user's own ssh and its configuration, which knows the machine as the source does."""
    from ...engine.aws.reach import Login
    from ...engine.sources.place import DEFAULT_ROOT

    options = dict(source.options)
    argv = ["ssh"]
    if key := wish.key or options.get("ssh_key", ""):
        argv += ["-i", key]
    if port := wish.port or int(options.get("port") or 0):
        argv += ["-p", str(port)]
    if user := wish.user or options.get("user", ""):
        argv += ["-l", user]
    root = options.get("remote_root") or DEFAULT_ROOT
    name = f"{task_name(index)}.{attempt.number}"
    notes = [f"the files of {name} are there in {root}/{viewer.sweep.id}/attempts/{name}"]
    if source.kind in CLUSTERS:
        notes.append(f"{source.name} is a cluster: this is its login node, the task runs elsewhere")
    return Login((*argv, "--", options["host"], *wish.command), tuple(notes))


def _ends(viewer: Viewer, index: int, end: float) -> str:
    left = end - time.time()
    more = f"more time: spawn-tui extend {viewer.sweep.id} {index + 1} 1h"
    if left <= 0:
        return f"its time to live is over: it may end at any moment; {more}"
    return f"its time to live is over in {fmt.duration(left)}, and it ends with all who are logged in; {more}"


def _to_instance(viewer: Viewer, index: int, attempt: Attempt, source: SourceState, wish: Wish) -> Login:
    from ...engine.aws.errors import AwsError
    from ...engine.aws.launches import LaunchDamaged
    from ...engine.aws.lookout import Clouds, Place, Written, ends_at
    from ...engine.aws.reach import CannotReach, login_to
    from ...engine.events import Ref

    options = dict(source.options)
    place = Place(source.name, options["region"], options)
    clouds = Clouds()
    name = f"{task_name(index)}, attempt {attempt.number}"
    try:
        identity = Written(viewer.root, source.name).instance_of(Ref(index, attempt.number)) or attempt.handle
        if not identity:
            raise UserError(f"{name}: it has no instance ({attempt.message or attempt.state})", status=1)
        found = clouds.fleet(place).by_ids([identity])
        if not found:
            raise UserError(
                f"{name}: EC2 knows no instance {identity} in {place.region} (any more)", status=1
            )
        known_hosts = viewer.root / "ec2" / "known_hosts"
        known_hosts.parent.mkdir(mode=DIR_MODE, exist_ok=True)
        login = login_to(
            found[0], place.region, clouds.of(place.profile), wish,
            ssh_key=options.get("ssh_key", ""), known_hosts=known_hosts, home=Path.home(),
        )  # fmt: skip
        end = ends_at(found[0], viewer.plan.tasks[index].launch, place)
        return login if end is None else replace(login, notes=(*login.notes, _ends(viewer, index, end)))
    except CannotReach as error:
        raise UserError(f"{name}: {error}", status=1) from None
    except (AwsError, LaunchDamaged) as error:
        raise UserError(f"{name}: {place.region} cannot be asked: {error}", status=1) from None
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}", status=1) from None
