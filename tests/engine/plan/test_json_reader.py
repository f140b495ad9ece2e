"""Parameter files in JSON, with the comments the guides show."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .helpers import params, plan, refused

NAME = "sweep.json"


def test_comments_and_trailing_commas_are_read():
    text = """// a sweep
{
  "comment": "Testing // not a comment /* nor this */",   // but this is
  "defaults": {"url": "s3://b/x", /* two
     lines */ "seed": 1,},
  "params": [
    {"name": "a", "q": "say \\"hi\\" // x", "t": ",]"},
    // {"name": "off"},
    {"name": "b", "lr": 0.1}, // the last
  ], /**/
}
// end"""
    made = plan(text, NAME)
    assert params(made) == [
        {"url": "s3://b/x", "seed": 1, "name": "a", "q": 'say "hi" // x', "t": ",]"},
        {"url": "s3://b/x", "seed": 1, "name": "b", "lr": 0.1},
    ]
    assert made.metadata["comment"] == "Testing // not a comment /* nor this */"


def test_the_line_of_a_problem_is_right_behind_comments():
    text = '// 1\n/* 2\n3 */ {\n"params": [\n{"ttl": "2h"},\n{"a": 1, "b": [1, {"ttl": "x"}],\n// 7\n"ttl": "2 hours"}]}'
    assert refused(text, NAME) == (
        'sweep.json:8: params[1].ttl: "2 hours" is not a duration; write it like 30m, 2h, 4h30m, 1d or 90s'
    )


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=3), inner, max_size=3),
    max_leaves=6,
))  # fmt: skip
def test_any_value_survives_with_and_without_comments(value: object):
    for indent, comment in ((None, ""), (1, "// c\n"), (None, "/*,]*/")):
        text = json.dumps({"params": [{"x": value}]}, indent=indent)
        found = params(plan(comment + text, NAME))[0]["x"]
        assert repr(found) == repr(value)


def test_integers_of_any_size_and_floats_without_loss():
    text = '{"params": [{"a": 1000000, "b": 123456789012345678901234567890, "c": 1e-4, "d": 0.1, "e": 1.0, "f": 5e3}]}'
    assert repr(params(plan(text, NAME))[0]) == (
        "{'a': 1000000, 'b': 123456789012345678901234567890, 'c': 0.0001, 'd': 0.1, 'e': 1.0, 'f': 5000.0}"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"params": [{"x": NaN}]}',
            "sweep.json:1: NaN}]} is not valid JSON here: NaN is not a number of JSON",
        ),
        ('{"params": [\n{"x": -Infinity}]}', "sweep.json:2: -Infinity}]} is not valid JSON here"),
        (
            '{"params": [{"x": 1e999}]}',
            "params[0].x: Infinity is too large for a number; quote it to pass it as text",
        ),
        ('{"params": [{"x": ' + "9" * 5000 + "}]}", "holds a number of thousands of digits; quote it"),
        (
            '{"params": [{"x": 1}',
            "sweep.json:1: is cut off: the file ends in the middle of its JSON; is the file complete?",
        ),
        ('{"params": [\n{"x": "ab', "is cut off"),
        ('{"params": [\n{"x": "ab\n"}]}', "sweep.json:2: "),
        ("", "sweep.json:1: is empty; write"),
        ("  \n", "is empty"),
        ("{'params': []}", "JSON wants double quotes"),
        ('{"params": [{"x" 1}]}', "a colon is missing after the key"),
        ('{"params": [{"x": 1} {"x": 2}]}', "a comma or a closing bracket is missing"),
        ('{"params": []} {}', "there is more text after the end; one file holds one sweep"),
        ('{"params": [{"x": "\\q"}]}', "a backslash is followed by the wrong character"),
        ('{"params": [] /* open', "sweep.json:1: /* open a comment is not closed; end it with */"),
        ("[1, 2]", "the top level must be a mapping, not a list; put the list under `params:`"),
        ('{"params": [{"x": ' + "[" * 100_000, "nested too deeply"),
        ('{"params": [{"x": ' + "[" * 300 + "]" * 300 + "}]}", "nested too deeply"),
        ('{"params": [{"x": "\\ud800"}]}', "params[0].x: "),
    ],
)
def test_what_is_no_json_is_named_with_its_line(text: str, message: str):
    found = refused(text, NAME)
    assert message in found
    assert found.startswith("sweep.json")


def test_repeated_keys_are_named_with_both_lines():
    text = '{"params": [\n{"lr": 1, "o": {"k": 1},\n"lr": 2, "o": {"k": 2}},\n{"lr": 3}],\n"params": [{"lr": 1}]}'
    assert refused(text, NAME).splitlines() == [
        "sweep.json:3: params[0].lr: is given twice, first on line 2; keep one of them",
        "sweep.json:3: params[0].o: is given twice, first on line 2; keep one of them",
        "sweep.json:5: params: is given twice, first on line 1; keep one of them",
    ]
