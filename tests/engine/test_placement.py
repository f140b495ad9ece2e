"""Where the tasks of a plan may run: what they ask of a source, and one cloud source for each region they name."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine import events as ev
from spawn_tui.engine.aws.spec_values import SpecError
from spawn_tui.engine.create import first_events
from spawn_tui.engine.placement import clouds_of, in_regions, needs_of, require_places, with_counts
from spawn_tui.engine.plan.model import Plan, PlannedTask, Value
from spawn_tui.engine.sources.registry import CLOUD_GRACE, CLOUD_SLOTS, SourceSpec, parse_sources

from .histories import History

CLOUD = ("ec2",)
EAST, WEST = "us-east-1", "us-west-2"


def plan(*launches: dict[str, Value], command: str | None = "t") -> Plan:
    tasks = tuple(PlannedTask("", {"i": n}, launch=launch) for n, launch in enumerate(launches))
    return Plan("spawn", "s", tasks, command=command)


def here(spec: SourceSpec) -> str:
    return "eu-north-1"


def nobody(spec: SourceSpec) -> str:
    raise AssertionError("nobody asked for the user's own region")


def regions(text: str, made: Plan, environ: dict[str, str] | None = None) -> list[tuple[str, int, str]]:
    specs = in_regions(parse_sources([text]), made, environ or {}, here)
    return [(spec.name, spec.slots, spec.options.get("region", "")) for spec in specs]


# --- what tasks ask for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("launch", "with_command", "without"),
    [
        ({}, ((), ()), (CLOUD, ())),
        ({"instance_type": "t3.micro"}, ((), ()), (CLOUD, ())),
        ({"region": EAST}, ((), (EAST,)), (CLOUD, (EAST,))),
        ({"regions": [EAST, WEST]}, ((), (EAST, WEST)), (CLOUD, (EAST, WEST))),
        ({"regions": [EAST, EAST]}, ((), (EAST,)), (CLOUD, (EAST,))),
        ({"region": WEST, "regions": [EAST]}, ((), (WEST,)), (CLOUD, (WEST,))),
        ({"regions": [EAST, WEST], "az": f"{WEST}b"}, ((), (WEST,)), (CLOUD, (WEST,))),
        ({"az": f"{WEST}b"}, ((), (WEST,)), (CLOUD, (WEST,))),
    ],
)
def test_what_a_task_needs(
    launch: dict[str, Value], with_command: tuple[object, ...], without: tuple[object, ...]
):
    """Without a command there is only what an instance does by itself."""
    specs = parse_sources(["ec2"])
    for command, needs in (("t", with_command), (None, without)):
        asked, groups = needs_of(plan(launch, {"region": "sa-east-1"}, command=command), specs)
        assert (asked[0], groups) == (ev.Needs(*needs), ((0, 1), (1, 1)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "launches"),
    [
        ("ec2", ({}, {})),  # nobody asks for anything
        ("local", ({"region": EAST}, {"region": WEST})),  # and here is no region to ask for
        ("ssh:h,slurm", ({"region": EAST}, {})),
    ],
)
def test_where_nobody_asks_there_are_no_groups(text: str, launches: tuple[dict[str, Value], ...]):
    assert needs_of(plan(*launches), parse_sources([text])) == ((), ())


def test_groups_are_runs_in_the_order_of_the_plan():
    made = plan({"region": EAST}, {"region": EAST}, {}, {"region": WEST}, {"region": EAST})
    needs, groups = needs_of(made, parse_sources(["local,ec2"]))
    assert needs == (ev.Needs((), (EAST,)), ev.Needs(), ev.Needs((), (WEST,)))
    assert groups == ((0, 2), (1, 1), (2, 1), (0, 1))


@given(st.lists(st.sampled_from(("", EAST, WEST)), min_size=1, max_size=30), st.booleans())
def test_every_task_is_of_the_group_that_needs_what_it_needs(where: list[str], command: bool):
    made = plan(*({"region": name} if name else {} for name in where), command="t" if command else None)
    needs, groups = needs_of(made, parse_sources(["ec2"]))
    of = [needs[group] for group, count in groups for _ in range(count)]
    if not needs:
        assert command and not any(where)
        return
    assert [asked.regions for asked in of] == [(name,) if name else () for name in where]
    assert {asked.kinds for asked in of} == {() if command else CLOUD}
    assert all(one != other for (one, _), (other, _) in pairwise(groups))
    assert len(groups) == len([*groupby(of)])


# --- counts ------------------------------------------------------------------------------------------------------


def test_regions_with_counts_become_tasks_there():
    made = with_counts(plan({"regions": [{EAST: 3}, {WEST: 2}]}, {"count": 2, "region": WEST}, {}))
    assert [task.launch.get("region") for task in made.tasks] == [EAST] * 3 + [WEST] * 4 + [None]
    assert not any({"count", "regions"} & {*task.launch} for task in made.tasks)
    assert needs_of(made, parse_sources(["ec2"]))[1] == ((0, 3), (1, 4), (2, 1))


def test_counts_that_make_no_sense_are_refused():
    with pytest.raises(SpecError, match="regions"):
        with_counts(plan({"regions": [{EAST: 3}, WEST]}))


# --- a source for each region ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "launches", "made"),
    [
        ("ec2", ({"region": EAST},) * 3, [("ec2-us-east-1", 3, EAST)]),
        ("ec2", ({"region": WEST}, {"region": EAST}, {"region": WEST}),
         [("ec2-us-west-2", 2, WEST), ("ec2-us-east-1", 1, EAST)]),
        ("ec2:2", ({"region": EAST},) * 3, [("ec2-us-east-1", 2, EAST)]),
        ("ec2", ({"regions": [EAST, WEST]},) * 2, [("ec2-us-east-1", 2, EAST), ("ec2-us-west-2", 2, WEST)]),
        ("ec2", ({"regions": [EAST, WEST], "az": f"{WEST}b"}, {"az": f"{WEST}a"}), [("ec2-us-west-2", 2, WEST)]),
        ("ec2", ({}, {}), [("ec2-eu-north-1", 2, "eu-north-1")]),
        ("ec2", ({}, {"region": EAST}), [("ec2-eu-north-1", 1, "eu-north-1"), ("ec2-us-east-1", 1, EAST)]),
        ("ec2:us-east-1:50", ({"region": EAST},) * 3, [("ec2-us-east-1", 3, EAST)]),
        ("ec2:us-east-1:2", ({"region": EAST},) * 3, [("ec2-us-east-1", 2, EAST)]),
        ("local:4,ec2", ({"region": EAST},), [("local", 4, ""), ("ec2-us-east-1", 1, EAST)]),
        ("local:4", ({"region": EAST},), [("local", 4, "")]),
    ],
)  # fmt: skip
def test_a_source_for_each_region(
    text: str, launches: tuple[dict[str, Value], ...], made: list[tuple[str, int, str]]
):
    """As many instances at a time as tasks that may run there, if nobody says less."""
    assert regions(text, plan(*launches)) == made


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({}, "eu-north-1"),
        ({"AWS_DEFAULT_REGION": WEST}, WEST),
        ({"AWS_REGION": EAST, "AWS_DEFAULT_REGION": WEST}, EAST),
    ],
)
def test_who_names_no_region_runs_in_the_users_own(environ: dict[str, str], where: str):
    assert regions("ec2", plan({}), environ) == [(f"ec2-{where}", 1, where)]


def test_the_users_own_region_is_asked_for_only_where_it_counts():
    """To ask may read files, and more."""
    in_regions(parse_sources(["ec2"]), plan({"region": EAST}), {}, nobody)
    in_regions(parse_sources(["local"]), plan({}), {}, nobody)
    in_regions(parse_sources(["ec2"]), plan({}), {"AWS_REGION": EAST}, nobody)


def test_a_source_keeps_its_name_in_one_region_and_its_options_in_all():
    mine = SourceSpec("mine", "ec2", CLOUD_SLOTS, {"key_name": "lab"})
    (one,) = in_regions([mine], plan({"region": EAST}), {}, nobody)
    assert one == replace(mine, slots=1, options={"key_name": "lab", "region": EAST})
    both = in_regions([mine], plan({"region": EAST}, {"region": WEST}), {}, nobody)
    assert [(spec.name, dict(spec.options)) for spec in both] == [
        ("mine-us-east-1", {"key_name": "lab", "region": EAST}),
        ("mine-us-west-2", {"key_name": "lab", "region": WEST}),
    ]


def test_the_zones_of_a_source_say_where_its_tasks_run_that_name_nothing():
    mine = SourceSpec("mine", "ec2", CLOUD_SLOTS, {"az": f"{EAST}a\n{WEST}b"})
    both = in_regions([mine], plan({}, {}), {"AWS_REGION": "eu-north-1"}, nobody)
    assert [(spec.name, spec.slots) for spec in both] == [("mine-us-east-1", 2), ("mine-us-west-2", 2)]
    (one,) = in_regions([mine], plan({"region": EAST}), {}, nobody)
    assert one.options["region"] == EAST


def test_which_sources_a_task_may_run_on():
    specs = parse_sources(["ec2:us-east-1,ec2:us-west-2,local"])
    made = plan({"region": EAST}, {"regions": [WEST, EAST]}, {"az": f"{WEST}a"}, {}, {"region": "eu-west-1"})
    assert [[spec.options["region"] for spec in found] for found in clouds_of(made, specs)] == [
        [EAST], [EAST, WEST], [WEST], [EAST, WEST], [],
    ]  # fmt: skip


def test_a_task_that_none_of_the_sources_may_run_is_refused():
    made = plan({"region": EAST}, {"region": "eu-west-1"})
    require_places(made, parse_sources(["ec2:us-east-1,local"]))  # what is in no region is in all
    with pytest.raises(
        SpecError, match=r'region: "eu-west-1" is not where the sources are \(us-east-1\); write'
    ):
        require_places(made, parse_sources(["ec2:us-east-1"]))
    with pytest.raises(SpecError, match=r'az: "us-west-2a" is not where the sources are'):
        require_places(plan({"az": "us-west-2a"}), parse_sources(["ec2:us-east-1"]))
    script = plan({"region": EAST}, command=None)
    with pytest.raises(SpecError, match="is not where the sources are"):
        require_places(script, parse_sources(["local,ec2:us-west-2"]))


def test_a_region_that_is_none_is_refused():
    with pytest.raises(SpecError, match="region"):
        in_regions(parse_sources(["ec2"]), plan({"region": "virginia"}), {}, nobody)


def test_sources_have_names_of_their_own():
    """Else the sweep would have one of them, and the other's slots."""
    made = plan({"region": EAST}, {"region": WEST})
    names = [name for name, _, _ in regions("ec2:us-east-1:5,ec2:us-west-2:5,ec2:1", made)]
    assert len(names) == len(set(names))


# --- all of it ---------------------------------------------------------------------------------------------------


def test_a_sweep_over_two_regions_launches_each_task_where_it_belongs():
    made = with_counts(plan({"regions": [{EAST: 3}, {WEST: 2}]}, {"region": EAST}))
    specs = in_regions(parse_sources(["ec2"]), made, {}, nobody)
    history = History(*first_events(made, specs, "s-20260101-000000", Path("/p")))
    sources = history.sweep.sources
    assert [(s.name, s.slots, s.grace, s.elsewhere) for s in sources.values()] == [
        ("ec2-us-east-1", 4, CLOUD_GRACE, True),
        ("ec2-us-west-2", 2, CLOUD_GRACE, True),
    ]
    history.settle()
    assert sorted(sources["ec2-us-east-1"].active) == [0, 1, 2, 5]
    assert sorted(sources["ec2-us-west-2"].active) == [3, 4]
