"""`collect --over-ssh`: what tasks on instances have written so far."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...engine.viewer import Viewer
from ...state.disk import DIR_MODE
from .. import format as fmt
from .collect_bring import EVERY, Tally, alone, report
from .collect_progress import progress
from .output import SOME_FAILED, UserError, data, data_json, say

if TYPE_CHECKING:
    from ...engine.aws.lookout import Clouds
    from ...engine.aws.over_ssh import Access, Aim, Missed, Wanted
    from ...engine.collect.bring import Collected


def bring_over_ssh(
    viewer: Viewer, chosen: Collection[int] | None, user: str, key: str, as_json: bool
) -> bool:
    """Whether all that is written on instances of these tasks (None: all) is home then.

    An attempt that has ended and whose instance does not run is a problem only if its task was chosen: the bucket has
    its files. Raises `UserError`.
    """
    from ...engine.aws.lookout import Clouds
    from ...engine.aws.over_ssh import Access, wanted_of
    from ...engine.aws.reach import Wish

    sweep = viewer.sweep
    wanted = wanted_of(sweep, chosen)
    if not wanted:
        which = sweep.id if chosen is None else f"these tasks of {sweep.id}"
        raise UserError(f"nothing of {which} was launched on an EC2 instance; --over-ssh is for those")
    known_hosts = viewer.root / "ec2" / "known_hosts"
    with alone(viewer):
        clouds = Clouds()
        aims, missed = _look(viewer, wanted, clouds)
        problems = [one for one in missed if chosen is not None or not one.wanted.ended]
        _say_over(len(missed) - len(problems), sweep.id)
        if not aims and not problems:
            raise UserError(f"no instance of {sweep.id} runs", status=SOME_FAILED)
        known_hosts.parent.mkdir(mode=DIR_MODE, exist_ok=True)
        access = Access(clouds, Wish(user, key), known_hosts, Path.home())
        return _bring(viewer, aims, problems, access, as_json)


def _look(viewer: Viewer, wanted: Sequence[Wanted], clouds: Clouds) -> tuple[list[Aim], list[Missed]]:
    from ...engine.aws.launches import LaunchDamaged
    from ...engine.aws.lookout import look
    from ...engine.aws.over_ssh import aims_of

    where = {one.place.source: one.place for one in wanted}
    try:
        return aims_of(wanted, look(viewer.root, viewer.sweep.id, list(where.values()), clouds))
    except LaunchDamaged as error:
        raise UserError(str(error), status=SOME_FAILED) from None
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}", status=SOME_FAILED) from None


def _say_over(count: int, sweep_id: str) -> None:
    if count:
        say(
            f"{fmt.plural(count, 'task')} ended, and their instances do not run: "
            f"their files are in the bucket (spawn-tui collect {sweep_id})"
        )


def _bring(
    viewer: Viewer, aims: Sequence[Aim], problems: Sequence[Missed], access: Access, as_json: bool
) -> bool:
    from ...engine.aws.over_ssh import OverSsh
    from ...engine.collect.bring import Collected

    tally = Tally()
    partial = sum(not aim.wanted.ended for aim in aims)
    with progress(len(aims)) as shown:

        def tell(wanted: Wanted, instance: str, collected: Collected) -> None:
            tally.count(collected)
            more = {"instance_id": instance or None, "partial": not wanted.ended}
            report(wanted.place.source, collected, as_json=as_json, note=shown.note, more=more)

        for one in problems:
            tell(one.wanted, "", Collected(one.wanted.ref, one.wanted.name, 0, 0, problem=one.why))
        coming = OverSsh(viewer.sweep.id, viewer.layout, aims, access, moved=shown.moved)
        try:
            while coming.left:
                told = coming.next(EVERY)
                if told is not None:
                    aim, collected = told
                    tell(aim.wanted, aim.instance.id, collected)
                    shown.step()
        finally:
            coming.close()
    if as_json:
        data_json({"attempts": tally.attempts, "home": tally.home, "partial": partial, "files": tally.files,
                   "size": tally.size, "moved": tally.moved, "directory": str(viewer.root)})  # fmt: skip
    else:
        data(
            f"{viewer.sweep.id}: {tally.home} of {tally.attempts} attempts brought over SSH, {tally.files} files, "
            f"{fmt.size(tally.size)} ({fmt.size(tally.moved)} fetched now)"
        )
    if partial:
        say(
            f"{partial} of them have not ended: what came of these is partial; the rest comes from the bucket"
        )
    return tally.home == tally.attempts
