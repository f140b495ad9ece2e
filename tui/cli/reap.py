"""`reap`: end instances that no sweep accounts for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from ...engine.create import DEFAULT_OUTPUT
from ...engine.plan.problems import did_you_mean
from ...engine.viewer import Viewer
from ...engine.words import iso
from ...state.layout import SweepLayout
from .. import format as fmt
from .find import all_entries
from .output import SOME_FAILED, UserError, ask, data, data_json, say
from .table import print_table

if TYPE_CHECKING:
    from ...engine.aws.cloud import Cloud
    from ...engine.aws.lookout import Clouds, Place
    from ...engine.aws.model import Instance
    from ...engine.aws.strays import Judged, KnownSweep, Verdict

GONE_WITHIN = 300.0
"""Seconds instances may take to be seen on their way out."""
FIRST_LOOK, LAST_LOOK = 1.0, 5.0
"""Seconds between two looks at them; they grow by half."""
_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class _Found:
    """An instance, where it is, and what is thought of it. `cost`: USD so far, None where no price is known."""

    place: Place
    instance: Instance
    judged: Judged
    cost: float | None = None
    disk: float | None = None
    """Of one that stands still: about what its disks cost in USD a month, None where nobody knows."""

    @property
    def sweep(self) -> str:
        return dict(self.instance.tags).get("spawn:sweep-id", "")


@dataclass(slots=True)
class _Search:
    """What was found, how many regions were asked, and how many could not be."""

    found: list[_Found] = field(default_factory=list["_Found"])
    asked: int = 0
    silent: int = 0


@click.command()
@click.option(
    "--region", "regions", multiple=True, metavar="REGION", help="Look there only (may be repeated)."
)
@click.option("--all-regions", is_flag=True, help="Look in every region of the account.")
@click.option("--profile", default="", metavar="NAME", help="Profile of ~/.aws/config.")
@click.option("--foreign", is_flag=True, help="Also end those of sweeps that are not known here.")
@click.option(
    "--stopped",
    is_flag=True,
    help="Then ask, apart, about those that are kept: stopped as their task asked (on_complete).",
)
@click.option("--dry-run", is_flag=True, help="Show them; end nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per instance and line.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def reap(
    regions: tuple[str, ...],
    all_regions: bool,
    profile: str,
    foreign: bool,
    stopped: bool,
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> int:
    """Find instances tagged as spawn-tui's that no sweep accounts for, and terminate them.

    \b
    spawn-tui reap --dry-run                what there is, where sweeps of yours ran
    spawn-tui reap --all-regions            look everywhere; asks before it ends anything

    Never touched is what belongs to a sweep that an engine runs, or to a task that may be running. Instances of sweeps
    that are not known here, for they were launched by somebody else or from another machine, are shown apart. So are
    those that are kept: their task asked to have them stopped, and their disks cost money until they are terminated.

    Exit status: 0 none is left, or --dry-run; 1 some are left, or a region could not be asked.
    """
    from ...engine.aws.lookout import Clouds

    clouds = Clouds()
    known = _known_sweeps()
    where = _places(known.values(), regions, all_regions, profile, clouds)
    search = _search(where, known, clouds)
    wanted: set[Verdict] = {"stray", "foreign"} if foreign else {"stray"}
    priced = _priced([each for each in search.found if each.judged.verdict != "used"], clouds)
    ended = [each for each in priced if each.judged.verdict in wanted]
    kept = _with_disks([each for each in priced if each.judged.verdict == "kept"], clouds)
    others = [each for each in priced if each.judged.verdict not in (*wanted, "kept")]
    if as_json:
        for each in (*ended, *others, *kept):
            data_json(_document(each))
    else:
        _print(ended, others, kept, search.asked)
    used = sum(each.judged.verdict == "used" for each in search.found)
    if used:
        say(f"{fmt.plural(used, 'instance')} in use, or perhaps in use, left alone")
    if dry_run:
        return SOME_FAILED if search.silent else 0
    all_gone = _ask_and_end(ended, wanted, "Their disks go with them.", clouds, as_json=as_json, yes=yes)
    if stopped:
        what = "They were kept on purpose; their disks, and all that is on them, go with them."
        all_gone = _ask_and_end(kept, {"kept"}, what, clouds, as_json=as_json, yes=yes) and all_gone
    return SOME_FAILED if search.silent or not all_gone else 0


def _ask_and_end(
    found: Sequence[_Found], verdicts: set[Verdict], what: str, clouds: Clouds, *, as_json: bool, yes: bool
) -> bool:
    """Whether none of these is left."""
    if not found:
        return True
    kept = " that is kept" if len(found) == 1 else " that are kept"
    kept = kept if verdicts == {"kept"} else ""
    if not ask(f"Terminate {fmt.plural(len(found), 'instance')}{kept}? {what}", assume_yes=yes):
        say(f"none of the {len(found)}{kept} was terminated" if kept else "nothing was terminated")
        return False
    return _end(_still(found, verdicts), clouds, as_json=as_json) == 0


# --- what is known here --------------------------------------------------------------------------------------


def _known_sweeps() -> dict[str, KnownSweep]:
    """By id: those of the index, and those that lie in this folder's usual place, if they ever had an instance."""
    from ...engine.aws.strays import KnownSweep

    roots = {entry.id: Path(entry.directory) for entry in all_entries()}
    for document in (Path.cwd() / DEFAULT_OUTPUT).glob("*/sweep.json"):
        roots.setdefault(document.parent.name, document.parent)
    known: dict[str, KnownSweep] = {}
    for identity, root in roots.items():
        if not SweepLayout(root).document.exists():
            known[identity] = KnownSweep(root)
        elif (root / "ec2").is_dir():
            known[identity] = _read(root)
    return known


def _read(root: Path) -> KnownSweep:
    from ...engine.aws.launches import LaunchDamaged
    from ...engine.aws.lookout import Written, places
    from ...engine.aws.strays import KnownSweep
    from ...engine.snapshot import SnapshotError
    from ...state.documents import DocumentsDamaged
    from ...state.journal import JournalDamaged
    from ...state.lock import LockDamaged

    try:
        viewer = Viewer(root)
        written = {place.source: Written(root, place.source) for place in places(viewer.sweep)}
        return KnownSweep(root, viewer.sweep, "", viewer.holder() is not None, written)
    except (OSError, DocumentsDamaged, SnapshotError, JournalDamaged, LockDamaged, LaunchDamaged) as error:
        return KnownSweep(root, damage=str(error))


def _places(
    known: Iterable[KnownSweep], regions: Sequence[str], all_regions: bool, profile: str, clouds: Clouds
) -> list[Place]:
    """Profiles and regions to ask, each once. Raises `UserError`."""
    from ...engine.aws.errors import AwsError
    from ...engine.aws.lookout import Place, places, with_remedy
    from ...engine.aws.network import regions as all_of

    found: dict[tuple[str, str], Place] = {}

    def add(region: str, profile: str) -> None:
        options = {"profile": profile} if profile else {}
        found.setdefault((profile, region), Place("", region, options))

    try:
        if regions:
            _require_regions(regions, clouds.of(profile))
            for region in regions:
                add(region, profile)
            return list(found.values())
        for each in known:
            for place in places(each.sweep) if each.sweep is not None else ():
                add(place.region, place.profile)
        cloud = clouds.of(profile)
        add(cloud.home_region(), profile)
        if all_regions:
            for region in (name for name, usable in all_of(cloud).items() if usable):
                add(region, profile)
    except AwsError as error:
        raise UserError(f"AWS cannot be asked: {with_remedy(error)}", status=SOME_FAILED) from None
    return list(found.values())


def _require_regions(names: Sequence[str], cloud: Cloud) -> None:
    """Raises `UserError` over a name that no region has, and `AwsError`; who may not ask is believed."""
    from ...engine.aws.errors import AwsError
    from ...engine.aws.network import regions as all_of

    cloud.credentials_last()
    try:
        known = all_of(cloud)
    except AwsError as error:
        if error.kind != "permission":
            raise
        return
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or "write it like us-east-1"
            raise UserError(f"there is no region {fmt.clean(name)}; {hint}")


# --- what there is -------------------------------------------------------------------------------------------


def _search(where: Sequence[Place], known: Mapping[str, KnownSweep], clouds: Clouds) -> _Search:
    from ...engine.aws.errors import AwsError
    from ...engine.aws.fleet import GONE
    from ...engine.aws.lookout import LIMIT, ask_all, by_reason
    from ...engine.aws.strays import judge

    search = _Search()
    seen: set[str] = set()
    silent: list[tuple[Place, AwsError]] = []
    for place, answer in ask_all(where, lambda fleet: fleet.all_managed(), clouds, LIMIT):
        if isinstance(answer, AwsError):
            silent.append((place, answer))
            continue
        search.asked += 1
        for instance in answer:
            if instance.state not in GONE and instance.id not in seen:
                seen.add(instance.id)
                search.found.append(_Found(place, instance, judge(instance, known)))
    search.silent = len(silent)
    for why, places in by_reason(silent):
        say(f"{', '.join(map(_where, places))} cannot be asked: {why}")
    return search


def _where(place: Place) -> str:
    return place.region + (f" (profile {place.profile})" if place.profile else "")


def _priced(found: Sequence[_Found], clouds: Clouds) -> list[_Found]:
    """With what each has cost; one that is stopped costs its disks alone, of which nothing is known here."""
    from ...engine.aws.prices import Prices

    prices: dict[str, Prices] = {}
    out: list[_Found] = []
    for each in found:
        place, instance = each.place, each.instance
        if instance.state not in ("pending", "running"):
            out.append(each)
            continue
        if place.profile not in prices:
            prices[place.profile] = Prices(clouds.of(place.profile))
            same = [f for f in found if f.place.profile == place.profile]
            prices[place.profile].fetch({(f.place.region, f.instance.type, f.instance.market) for f in same})
        price = prices[place.profile].price(place.region, instance.type, instance.market)
        hours = max(0.0, time.time() - instance.launched_at) / 3600
        out.append(replace(each, cost=None if price is None else price.usd_per_hour * hours))
    return out


def _with_disks(found: Sequence[_Found], clouds: Clouds) -> list[_Found]:
    """With about what the disks of each cost; who may not ask after them does not know it."""
    from ...engine.aws.disks import disks, monthly
    from ...engine.aws.errors import AwsError

    by_place: dict[tuple[str, str], list[_Found]] = {}
    for each in found:
        by_place.setdefault((each.place.profile, each.place.region), []).append(each)
    out: list[_Found] = []
    for (profile, region), group in by_place.items():
        try:
            known = disks((id for each in group for id in each.instance.volumes), region, clouds.of(profile))
        except AwsError as error:
            say(f"{region}: nobody says how large the disks of what is kept are: {error}")
            known = {}
        out += [replace(each, disk=monthly(each.instance.volumes, known)) for each in group]
    return out


def _document(each: _Found) -> dict[str, object]:
    instance = each.instance
    return {
        "instance_id": instance.id, "type": instance.type, "region": each.place.region, "state": instance.state,
        "launched_at": iso(instance.launched_at), "cost": each.cost, "sweep_id": each.sweep,
        "verdict": each.judged.verdict, "why": each.judged.why,
        "disk_per_month": each.disk,
    }  # fmt: skip


def _print(ended: Sequence[_Found], foreign: Sequence[_Found], kept: Sequence[_Found], regions: int) -> None:
    if ended:
        _table(ended)
    elif not regions:
        say("nobody could be asked: there may be instances without a sweep")
    else:
        say(f"no instance without a sweep in {fmt.plural(regions, 'region')}")
    if foreign:
        say(
            f"\n{fmt.plural(len(foreign), 'instance')} of sweeps that are not known here; --foreign ends them as well:"
        )
        _table(foreign)
    if kept:
        say(
            f"\n{fmt.plural(len(kept), 'instance')} kept: stopped, as their tasks asked; --stopped asks about them:"
        )
        _table_of_kept(kept)


def _table_of_kept(found: Sequence[_Found]) -> None:
    """What they run on costs nothing while they stand still; their disks do."""
    from ...engine.cost import money

    rows = [
        [
            each.instance.id, each.instance.type, each.place.region, each.instance.state,
            _UNKNOWN if each.disk is None else f"disk costs ~{money(each.disk)}/month", each.sweep or _UNKNOWN,
        ]
        for each in found
    ]  # fmt: skip
    print_table(["instance", "type", "region", "state", "kept", "sweep"], rows)


def _table(found: Sequence[_Found]) -> None:
    from ...engine.cost import money

    now = time.time()
    rows = [
        [
            each.instance.id, each.instance.type, each.place.region, each.instance.state,
            fmt.duration(now - each.instance.launched_at), _UNKNOWN if each.cost is None else money(each.cost),
            each.sweep or _UNKNOWN, each.judged.why,
        ]
        for each in found
    ]  # fmt: skip
    print_table(["instance", "type", "region", "state", "age", "cost", "sweep", "why"], rows)


# --- ending --------------------------------------------------------------------------------------------------


def _still(ended: Sequence[_Found], wanted: set[Verdict]) -> list[_Found]:
    """Those that are still what they were before the question: a sweep may have been resumed meanwhile."""
    from ...engine.aws.strays import judge

    known = _known_sweeps()
    still = [each for each in ended if judge(each.instance, known).verdict in wanted]
    for each in ended:
        if each not in still:
            say(f"{each.instance.id}: {judge(each.instance, known).why} now; it was left alone")
    return still


def _end(found: Sequence[_Found], clouds: Clouds, *, as_json: bool) -> int:
    """Terminate them, and wait until they are seen to go; how many are left."""
    from ...engine.aws.errors import AwsError

    by_place: dict[tuple[str, str], list[_Found]] = {}
    for each in found:
        by_place.setdefault((each.place.profile, each.place.region), []).append(each)
    left = 0
    for group in by_place.values():
        place = group[0].place
        fleet = clouds.fleet(place)
        ids = [each.instance.id for each in group]
        try:
            told = fleet.terminate(ids)
            for identity, error in told.refused:
                say(f"{identity} is not terminated: {error}")
            refused = {identity for identity, _ in told.refused}
            waited = [identity for identity in ids if identity not in refused]
            staying = _see_off(fleet.by_ids, waited)
        except AwsError as error:
            say(f"{place.region}: {error}; nobody can say whether its {len(ids)} instances go. Ask again.")
            left += len(ids)
            continue
        for identity in staying:
            say(f"{identity} is not seen to go within {GONE_WITHIN:g} s")
        gone = len(waited) - len(staying)
        left += len(refused) + len(staying)
        (say if as_json else data)(f"{place.region}: {fmt.plural(gone, 'instance')} terminated")
    return left


class _ByIds(Protocol):
    def __call__(self, ids: Iterable[str], /) -> list[Instance]: ...


def _see_off(by_ids: _ByIds, ids: Sequence[str]) -> list[str]:
    """Wait until these are on their way out, or not known any more; those that are not."""
    from ...engine.aws.fleet import GONE

    end, pause = time.monotonic() + GONE_WITHIN, FIRST_LOOK
    left = list(ids)
    while left:
        left = [instance.id for instance in by_ids(left) if instance.state not in GONE]
        if not left or time.monotonic() >= end:
            break
        time.sleep(min(pause, max(0.0, end - time.monotonic())))
        pause = min(LAST_LOOK, pause * 1.5)
    return left
