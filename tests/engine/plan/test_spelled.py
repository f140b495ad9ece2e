"""Numbers that keep the spelling of the file."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine.plan import plan_from_json, plan_to_json
from spawn_tui.engine.plan.spelled import Spelled, as_written, may_be_spelled
from spawn_tui.engine.plan.values import text_of

from .helpers import params, plan

WHOLE = st.integers(0, 10**18).map(str) | st.sampled_from("0159")
FRACTION = st.text(st.sampled_from("0015"), min_size=1, max_size=6) | st.integers(0, 10**18).map(str)
EXPONENT = st.integers(0, 120).map(str) | st.sampled_from(["05", "04", "007"])
POWER = st.tuples(st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), EXPONENT).map("".join)
WITH_POINT = st.tuples(WHOLE, st.just("."), FRACTION).map("".join)
JSON_FLOATS = st.tuples(
    st.sampled_from(["", "-"]),
    WITH_POINT | st.tuples(WITH_POINT | WHOLE, POWER).map("".join),
).map("".join)
REPRS = st.floats(allow_nan=False, allow_infinity=False).map(repr)


@pytest.mark.parametrize(
    "text", ["1.10", "0.10", "1.0E-5", "1e-4", "1e5", ".5", "5.", "+1.5", "-0.50", "0.00001", "1.00"]
)
def test_a_spelling_of_its_own_is_kept(text: str):
    value = as_written(text)
    assert text_of(value) == text
    assert value == float(text)
    assert json.dumps(value) == json.dumps(float(text)) == json.dumps([value], indent=1).strip("[] \n")


@pytest.mark.parametrize(
    "text", ["0.1", "1.0", "0.0", "-0.0", "1e-05", "1e+16", "100.00001", "0.0001", "1.5e-07"]
)
def test_pythons_own_spelling_is_an_ordinary_number(text: str):
    assert type(as_written(text)) is float
    assert text_of(as_written(text)) == text


def test_a_very_long_number_keeps_no_spelling():
    assert type(as_written("1." + "0" * 100_000)) is float


@given(REPRS)
def test_what_python_writes_needs_no_spelling(text: str):
    assert type(as_written(text)) is float


@given(JSON_FLOATS | REPRS)
def test_a_glance_at_the_text_overlooks_nothing(text: str):
    if not may_be_spelled(f'{{"x": [{text}, 3]}}'):
        assert type(as_written(text)) is float


@given(st.lists(st.floats(-1e14, 1e14).map(repr), max_size=3))
def test_a_glance_is_enough_for_what_a_program_wrote(texts: list[str]):
    assert not may_be_spelled(f'{{"lr": [{", ".join(texts)}]}}')


def test_a_spelled_number_survives_copying_and_storing():
    value = Spelled("1.10")
    for made in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert (type(made), made, made.text) == (Spelled, 1.1, "1.10")
    stored = plan_to_json(plan("params: [{v: 1.10, w: 2, x: [1.10]}, {w: 0.5}]"))
    assert stored["tasks"] == [
        {"params": {"v": 1.1, "w": 2, "x": [1.1]}, "spelling": {"v": "1.10"}}, {"params": {"w": 0.5}},
    ]  # fmt: skip
    back = plan_from_json(json.loads(json.dumps(stored)))
    assert [text_of(value) for value in back.tasks[0].params.values()] == ["1.10", "2", "[1.1]"]


def test_versions_are_different_values_and_still_numbers():
    made = plan("grid: {version: [1.1, 1.10]}\nname: 2.10")
    assert (made.warnings, made.name) == ((), "2.10")
    assert [text_of(row["version"]) for row in params(made)] == ["1.1", "1.10"]  # type: ignore[arg-type]
    assert plan("grid: [{name: 1.10, params: {lr: 1e-4}}]").tasks[0].overrides == ("lr=1e-4",)
