"""Placeholders, and the braces that are none."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine.plan.template import compile_text, pieces_of, placeholders_of

KNOWN = {"lr", "a.b", "weird key", "1", "group/x", "name"}


def filled(template: str) -> str:
    return compile_text(template, KNOWN)(lambda name: f"<{name}>")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("--lr {lr}", "--lr <lr>"), ("{lr}{lr}", "<lr><lr>"), ("x{a.b}y", "x<a.b>y"), ("{weird key}", "<weird key>"),
        ("{1}", "<1>"), ("{group/x}", "<group/x>"), ("{task_dir}/x", "<task_dir>/x"), ("{lrr}", "<lrr>"),
        ("{{lr}}", "{lr}"), ("{{{lr}}}", "{<lr>}"), ("{{}}", "{}"), ("{{{{lr}}}}", "{{lr}}"),
        ("${lr}", "${lr}"), ("${HOME}", "${HOME}"), ("${x:-{lr}}", "${x:-<lr>}"), ("$lr", "$lr"), ("$(x {lr})", "$(x <lr>)"),
        ("{print $1}", "{print $1}"), ("{a,b}", "{a,b}"), ("{}", "{}"), ("{1..3}", "{1..3}"), ("{a..c}", "{a..c}"),
        ("{ cmd; }", "{ cmd; }"), ("{lr", "{lr"), ("lr}", "lr}"), ("}}", "}}"), ("{", "{"), ("", ""),
        ('{"lr": {lr}}', '{"lr": <lr>}'), ('{"a": {"b": {lr}}}', '{"a": {"b": <lr>}}'), ('{{"lr": {lr}}}', '{"lr": <lr>}'),
        ("{lr }", "{lr }"), ("{-x}", "{-x}"), ("{x-}", "{x-}"),
    ],
)  # fmt: skip
def test_what_a_template_becomes(template: str, text: str):
    assert filled(template) == text


def test_names_are_told_in_order_and_once():
    assert placeholders_of("{lr} {x} {{y}} ${z} {lr}", KNOWN) == ["lr", "x"]


@given(st.text(st.sampled_from("{}$lr a.\"'"), max_size=20))
def test_text_without_placeholders_is_kept_and_values_are_never_read_again(template: str):
    pieces = pieces_of(template, ())
    text = compile_text(template, ())(lambda name: "{lr}")
    if all(isinstance(piece, str) for piece in pieces) and "{{" not in template:
        assert text == template
    assert text.count("{lr}") >= sum(not isinstance(piece, str) for piece in pieces)
