"""Parameter files in YAML: values as written, and no surprises."""

# One case, one line: the tables are read down.

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from .helpers import params, plan, refused


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-4", 1e-4), ("5e3", 5000.0), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("-3", -3), ("-.5e-3", -0.0005),
        ("+7", 7), ("1E+6", 1e6), ("0", 0), ("0.5", 0.5), ("1000000", 1_000_000),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("FALSE", False),
        ("null", None), ("~", None), ("Null", None), ("", None),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("tRue", "tRue"),
        ("010", "010"), ("0x1F", "0x1F"), ("0o17", "0o17"), ("1:30", "1:30"), ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"), ("2024-01-01T10:00:00", "2024-01-01T10:00:00"), ("00.5", "00.5"),
        (".inf", ".inf"), ("-.inf", "-.inf"), (".nan", ".nan"), ("nan", "nan"), ("inf", "inf"), ("1e999", "1e999"),
        ("'1e-4'", "1e-4"), ('"true"', "true"), ("'null'", "null"), ("''", ""), ("!!str 5", "5"), ("! 5", "5"),
        ("1.2.3", "1.2.3"), ("1e", "1e"), ("e5", "e5"), (".", "."), ("+", "+"), ("--1", "--1"),
        ("[1, 2]", [1, 2]), ("{a: 1e-3}", {"a": 1e-3}), ("a b  c", "a b  c"),
    ],
)  # fmt: skip
def test_values_are_what_the_user_wrote(written: str, value: object):
    found = params(plan(f"params:\n- x: {written}\n"))[0]["x"]
    assert found == value
    assert isinstance(found, type(value))


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(1.7976931348623157e308)
@example(-0.0)
def test_every_float_survives(value: float):
    found = params(plan(f"params: [{{x: {value!r}}}]"))[0]["x"]
    assert isinstance(found, float)
    assert found == value
    assert math.copysign(1, found) == math.copysign(1, value)


@given(st.integers())
def test_every_integer_survives(value: int):
    assert params(plan(f"params: [{{x: {value}}}]"))[0]["x"] == value


def test_a_literal_block_keeps_every_line():
    text = "params:\n- script: |\n    #!/bin/sh\n    echo $NAME: 'x'\n"
    assert params(plan(text)) == [{"script": "#!/bin/sh\necho $NAME: 'x'\n"}]


def test_keys_are_kept_as_written():
    assert params(plan("params: [{010: a, yes: b, 1e-3: c, '2': d, null: e}]"))[0] == {
        "010": "a", "yes": "b", "1e-3": "c", "2": "d", "null": "e",
    }  # fmt: skip


def test_anchors_aliases_and_merge_keys():
    text = """
defaults: &base {a: 1, b: {c: 2}}
params:
- <<: *base
  b: 3
- {z: 0, <<: [{a: first, q: 9}, *base]}
- same: *base
"""
    rows = params(plan(text))
    assert rows[0] == {"a": 1, "b": 3}
    assert rows[1] == {"a": "first", "b": {"c": 2}, "q": 9, "z": 0}
    assert rows[2] == {"a": 1, "b": {"c": 2}, "same": {"a": 1, "b": {"c": 2}}}


def test_a_quoted_merge_key_is_an_ordinary_key():
    assert params(plan("params: [{'<<': 1}]")) == [{"<<": 1}]


def test_a_bomb_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    message = refused("\n".join(lines))
    assert message.startswith("sweep.yaml:7: its aliases stand for more than 5,000,000 values")


def test_an_anchor_that_contains_itself_is_refused():
    assert refused("params: &p\n- x: 1\n- *p\n") == "sweep.yaml:3: &p contains itself"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_before_it_hurts(opening: str):
    assert "nested too deeply" in refused(f"params:\n- x:\n   {opening * 50_000}")


def test_a_hundred_levels_less_a_few_are_read():
    assert plan(f"params: [{{x: {'[' * 90}{']' * 90}}}]").tasks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "params: [{x: !!python/object/apply:os.system [ls]}]",
            "sweep.yaml:1: the tag !!python/object/apply:os.system is",
        ),
        ("params: [{x: !!binary aGk=}]", "the tag !!binary is not allowed; write the plain value"),
        ("params: [{x: !mine 3}]", "the tag !mine is not allowed"),
        (
            "params: [{x: 1}]\n---\nparams: []\n",
            "sweep.yaml:2: a second YAML document begins here; one file holds one",
        ),
        ("params:\n- x: *lost\n", "sweep.yaml:2: *lost stands for nothing; define it first, with &lost"),
        ("params:\n- ? [a, b]\n  : 1\n", "sweep.yaml:2: a list or mapping cannot be a key"),
        ("params:\n- <<: 3\n", "sweep.yaml:2: `<<` takes a mapping or a list of mappings"),
        (
            "params:\n- x: 1\n\ty: 2\n",
            "sweep.yaml:3: a line is indented with a tab; YAML is indented with spaces",
        ),
        ("params:\n- cmd: a: b\n", "sweep.yaml:2: is not valid YAML: mapping values are not allowed"),
        ('params:\n- x: "abc\n', "cut off: the file ends in the middle of it"),
        ("params:\n- x: [1, 2\n", "sweep.yaml:2: is cut off"),
        ("params:\n- x: {a: 1,\n", "sweep.yaml:2: is cut off"),
        ("params:\n- x: 'a\x07b'\n", "sweep.yaml:2: holds a control character (0x07)"),
        ("just some text\n", "the top level must be a mapping, not text"),
        ("- lr: 1\n- lr: 2\n", "the top level must be a mapping, not a list; put the list under `params:`"),
        ("", "the top level is empty; write `params:`"),
        ("# nothing\n", "the top level is empty"),
    ],
)
def test_what_is_no_yaml_is_named_with_its_line(text: str, message: str):
    assert message in refused(text)


def test_repeated_keys_are_named_with_both_lines_and_all_at_once():
    text = "params:\n- lr: 1\n  bs: 2\n  lr: 3\n- a: {x: 1, y: 2,\n    x: 3}\nparams: []\n"
    assert refused(text).splitlines()[1:] == [
        "sweep.yaml:4: params[0].lr: is given twice, first on line 2; keep one of them",
        "sweep.yaml:6: params[1].a.x: is given twice, first on line 5; keep one of them",
        "sweep.yaml:7: params: is given twice, first on line 1; keep one of them",
    ]
