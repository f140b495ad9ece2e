"""Overrides, as Hydra's own parser reads them."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spawn_tui.engine.plan import hydra

PARSER = OverridesParser.create()

NASTY = [
    "", " ", "a b", " lead", "trail ", "true", "True", "null", "NULL", "1e5", "1", "-1", "+1", "0x1F", "1_000", "inf", "-inf",
    "nan", "NaN", ".5", "a,b", "a=b", "[1, 2]", "{a: 1}", "(x)", "it's", 'q"q', "\\", "\\\\", "\\'", '\\"', "'", '"', "''",
    "a\\", "a\\'b\\", "${x}", "${oc.env:HOME}", "$(id)", "`id`", "x; touch /tmp/p", "ünïcödé 日本 🎉", "a\nb", "\n", "a\tb", "a\r\nb",
    "choice(a,b)", "range(1,3)", "a:b", "~x", "+x", "@x", "#x", "!x", "&x", "*x", "?x", "a/b.c", "s3://b/x", "resnet18",
    "a-b_c", "%d", "<x>", "|", "1.2.3", "a@b", "\u00a0", "\u2028", "c:\\new\\table", "x'\\''y", "\\\\'", "end\\\\",
]  # fmt: skip


def parsed(key: str, value: object) -> object:
    override = PARSER.parse_override(hydra.override(key, value))  # type: ignore[arg-type]
    assert override.key_or_group == key
    found = override.value()
    return unquoted(found)


def unquoted(value: object) -> object:
    if isinstance(value, list):
        return [unquoted(item) for item in value]
    if isinstance(value, dict):
        return {key: unquoted(item) for key, item in value.items()}
    return getattr(value, "text", value)


@pytest.mark.parametrize("value", NASTY, ids=ascii)
def test_nasty_text_arrives_as_text(value: str):
    found = parsed("x.y", value)
    assert found == value
    assert isinstance(found, str)
    assert parsed("x", [value, value]) == [value, value]
    assert parsed("x", {"k": value}) == {"k": value}
    assert PARSER.parse_override("x=" + hydra.quoted(value, '"')).value() == value


@settings(max_examples=200)
@given(
    st.text(
        st.sampled_from("ab'\"\\ ,=[]{}():$1e.-\n~tru")
        | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        max_size=8,
    )
)
@example("\\" * 7 + "'")
def test_any_text_arrives_as_text(value: str):
    found = parsed("x", value)
    assert found == value
    assert isinstance(found, str)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(NASTY),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.sampled_from("abC_1.-/ :=,[]{}()\\$"), min_size=1, max_size=4), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=150)
@given(VALUES)
def test_any_value_arrives_with_its_type(value: object):
    if hydra.unwritable_key(value) is not None:  # type: ignore[arg-type]
        return
    assert repr(parsed("x", value)) == repr(value)


@pytest.mark.parametrize(
    "value", [1e16, 1e-5, -0.0, 5e-324, 1.7976931348623157e308, 10**40, -7, True, None, [1, 2], {}, []]
)
def test_numbers_and_the_like(value: object):
    assert repr(parsed("x", value)) == repr(value)


@pytest.mark.parametrize(
    "bad", ["", "1", "-2", "1e5", "true", "null", "nan", "ü", "a'b", 'a"b', "a\nb", "#x"]
)
def test_keys_inside_of_values_that_hydra_cannot_hold(bad: str):
    assert hydra.unwritable_key([{"ok": {bad: 1}}]) == bad


@pytest.mark.parametrize("text", ["resnet18", "a/b.c", "x_1", "s3/x"])
def test_plain_words_stay_plain(text: str):
    assert hydra.override("model", text) == f"model={text}"


@pytest.mark.parametrize(
    "key",
    ["lr", "a.b.c", "+foo", "++foo.bar", "~x", "db/engine", "optimizer@x", "optimizer@a.b", "a-b", "a.0.b", "_x",
     "$x", "hydra.run.dir", "+a/b@c.d"],
)  # fmt: skip
def test_legal_keys_are_legal_for_hydra(key: str):
    assert hydra.is_key(key)
    PARSER.parse_override(hydra.override(key, 1))


@pytest.mark.parametrize(
    "key", ["a b", "1", "a=b", "ü", "a..b", ".a", "a.", "-a", "a/", "a,b", "+", "a:b", "a@", "x y"]
)
def test_illegal_keys_are_illegal_for_hydra(key: str):
    assert not hydra.is_key(key)


def test_every_key_we_call_legal_is():
    @settings(max_examples=300)
    @given(st.text(st.sampled_from("ab1.+~@/-$_ :"), min_size=1, max_size=6))
    def check(key: str) -> None:
        if hydra.is_key(key):
            PARSER.parse_override(f"{key}=1")

    check()


def test_null_deletes():
    assert hydra.override("~x", None) == "~x"
    assert hydra.override("x", None) == "x=null"
