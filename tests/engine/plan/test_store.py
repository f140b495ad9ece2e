"""A plan survives being stored."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spawn_tui.engine.plan import Plan, PlannedTask, Retries, plan_from_json, plan_to_json

from .helpers import plan
from .test_mfcl import EXAMPLE
from .test_spawn import GUIDE

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
MAPPINGS = st.dictionaries(st.text(max_size=3), VALUES, max_size=3)
TEXTS = st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=2)
TASKS = st.builds(
    PlannedTask, st.text(max_size=5), MAPPINGS, MAPPINGS, st.lists(st.text(max_size=5), max_size=2).map(tuple), TEXTS, MAPPINGS
)  # fmt: skip
PLANS = st.builds(
    Plan,
    dialect=st.sampled_from(["spawn", "hsm", "mfcl"]),
    name=st.text(max_size=5),
    tasks=st.lists(TASKS, max_size=3).map(tuple),
    command=st.none() | st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=3).map(tuple),
    args=st.sampled_from(["hydra", "flags", "env", "json", "template"]),
    env=TEXTS,
    workdir=st.none() | st.text(max_size=5),
    sources=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    retries=st.builds(Retries, st.integers(0, 9), st.floats(0, 100), st.just(("exit", "timeout"))),
    timeout=st.none() | st.floats(0.1, 1e6),
    max_concurrent=st.none() | st.integers(1, 99),
    launch_delay=st.floats(0, 100),
    metadata=MAPPINGS,
    warnings=st.lists(st.text(max_size=5), max_size=2).map(tuple),
)


@settings(max_examples=40)
@given(PLANS)
def test_any_plan_comes_back_as_it_was(made: Plan):
    back = plan_from_json(json.loads(json.dumps(plan_to_json(made))))
    assert back == made
    assert repr(back) == repr(made)
    assert [list(task.params) for task in back.tasks] == [list(task.params) for task in made.tasks]


@pytest.mark.parametrize(("text", "name"), [(GUIDE, "a.json"), (EXAMPLE, "a.yaml")])
def test_the_guides_plans_come_back(text: str, name: str):
    made = plan(text, name)
    assert plan_from_json(json.loads(json.dumps(plan_to_json(made)))) == made


def test_what_is_empty_takes_no_room():
    made = plan("grid: {a: [1, 2]}")
    assert plan_to_json(made)["tasks"] == [{"params": {"a": 1}}, {"params": {"a": 2}}]


def test_a_newer_form_is_refused():
    made = {**plan_to_json(plan("grid: {a: [1]}")), "format": 2}
    with pytest.raises(ValueError, match="format 2 cannot be read by this version"):
        plan_from_json(made)
