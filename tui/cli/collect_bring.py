"""The first half of `collect`: what tasks wrote elsewhere comes home."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from ...engine.viewer import Viewer
from ...state.lock import EngineLock, LockHeld
from .. import format as fmt
from .collect_progress import Note, progress
from .collect_unseen import Unseen, without_credentials
from .losses import is_loss
from .output import SOME_FAILED, UserError, data, data_json, say

if TYPE_CHECKING:
    from ...engine.collect.bring import Collected
    from ...engine.collect.gather import FarSource
    from ...engine.sweep import Sweep

EVERY = 0.2
"""Seconds between two looks at the progress."""


def bring_home(viewer: Viewer, sources: Sequence[FarSource], as_json: bool) -> bool:
    """Whether all that these sources hold is home then. Raises `UserError` if another `collect` is at it."""
    with alone(viewer):
        return _bring(viewer, sources, as_json)


@contextmanager
def alone(viewer: Viewer) -> Generator[None]:
    """While inside, no other `collect` is at this sweep: two would fetch everything twice. Raises `UserError`."""
    lock = EngineLock(viewer.root / "collect.lock")
    try:
        lock.acquire()
    except LockHeld as held:
        raise UserError(
            f"{viewer.sweep.id} is being collected already, by {held.holder.describe()}", status=SOME_FAILED
        ) from None
    try:
        yield
    finally:
        lock.release()


def _bring(viewer: Viewer, sources: Sequence[FarSource], as_json: bool) -> bool:
    from ...engine.collect.bring import Collected
    from ...engine.collect.gather import Gathering, ask_after_given_up
    from ...engine.sources.place import attempt_name

    tally, unseen = Tally(), Unseen(viewer.sweep)
    refused = without_credentials(sources)
    asked = [source for source in sources if source.name not in refused]
    for source in sources:
        why = refused.get(source.name)
        if why is None:
            continue
        source.running += len(source.given_up)
        for ref, _ in source.attempts:
            unseen.add(source.name, Collected(ref, attempt_name(ref), 0, 0, problem=why))
        if not source.attempts:
            say(f"{source.name} cannot be asked: {why}")
    for source in asked:
        try:
            ask_after_given_up(source, viewer.sweep.id, viewer.root)
        except away() as error:
            source.running += len(source.given_up)
            say(
                f"{source.name}: nobody can say what became of {len(source.given_up)} given-up attempts: {error}"
            )
    for source in sources:
        if source.running:
            say(f"{source.name}: {source.running} attempts have not ended, or may be alive; they stay there")
    with progress(sum(len(source.attempts) for source in asked)) as shown:

        def complain(name: str, words: str) -> None:
            if unseen.is_news(name, words):
                shown.note(f"{name}: {words or 'goes on'}")

        gathering = Gathering(
            viewer.sweep.id, viewer.layout, asked, complain=complain, moved=shown.moved
        )  # fmt: skip
        try:
            while gathering.left:
                told = gathering.next(EVERY)
                if told is None:
                    continue
                name, collected = told
                shown.step()
                if unseen.is_trouble(name, collected.problem):
                    unseen.add(name, collected)
                    continue
                collected = _without_trifles(viewer.sweep, collected)
                tally.count(collected)
                report(name, collected, as_json=as_json, note=shown.note)
        finally:
            gathering.close()
    _tell_unseen(unseen, tally, as_json)
    if as_json:
        data_json({"attempts": tally.attempts, "home": tally.home, "files": tally.files, "size": tally.size,
                   "moved": tally.moved, "directory": str(viewer.root)})  # fmt: skip
    else:
        where = "are home" if tally.home == tally.attempts else f"of {tally.attempts} are home"
        looked = unseen.count < tally.attempts or not unseen.count
        files = f", {tally.files} files, {fmt.size(tally.size)} ({fmt.size(tally.moved)} fetched now)"
        data(f"{viewer.sweep.id}: {tally.home} attempts {where}{files if looked else ''}")
    return tally.home == tally.attempts and not any(source.running for source in sources)


def _tell_unseen(unseen: Unseen, tally: Tally, as_json: bool) -> None:
    """Count what nobody could look at, and say each reason once."""
    for why, found in unseen.by_reason():
        home = 0
        for source, collected in found:
            known = unseen.is_home(collected.ref)
            home += known
            counted = replace(collected, problem="", notes=(why,)) if known else collected
            tally.count(counted)
            report(source, counted, as_json=as_json, note=lambda text: None)
        names = ", ".join(dict.fromkeys(source for source, _ in found))
        how_many = "all" if home == len(found) else f"{home} of"
        what = fmt.plural(len(found), "attempt")
        say(
            f"{names} cannot be asked: {fmt.clean(why)}; by the sweep's journal {how_many} {what} there are home"
        )


def _without_trifles(sweep: Sweep, collected: Collected) -> Collected:
    """Without the note that an attempt has left nothing which did not complete."""
    ref = collected.ref
    return replace(collected, notes=tuple(it for it in collected.notes if is_loss(sweep, *ref, it)))


def away() -> tuple[type[Exception], ...]:
    """What is raised where another machine, or AWS, does not answer or not as it should."""
    from ...engine.aws.errors import AwsError
    from ...engine.aws.launches import LaunchDamaged
    from ...engine.remote.area import AreaError
    from ...engine.remote.host import HostAway, HostRefused

    return HostAway, HostRefused, AreaError, AwsError, LaunchDamaged


class Tally:
    """What came of all attempts together; sizes in bytes."""

    def __init__(self) -> None:
        self.attempts = self.home = self.files = self.size = self.moved = 0

    def count(self, collected: Collected) -> None:
        self.attempts += 1
        self.home += not collected.problem
        self.files += collected.files
        self.size += collected.size
        self.moved += collected.moved


def report(
    source: str,
    collected: Collected,
    *,
    as_json: bool,
    note: Note,
    more: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Say what became of one attempt. `more`: what its line of JSON has besides."""
    if as_json:
        data_json({
            "task": collected.ref.task + 1, "attempt": collected.ref.attempt, "source": source,
            "files": collected.files, "size": collected.size, "moved": collected.moved,
            "problem": _encodable(collected.problem), "notes": [_encodable(text) for text in collected.notes],
            **more,
        })  # fmt: skip
    for text in ([collected.problem] if collected.problem else []) + list(collected.notes):
        note(f"{collected.name}: {fmt.clean(text)}")


def _encodable(text: str) -> str:
    """Names of files may be no text at all."""
    return text.encode("utf-8", "backslashreplace").decode()
