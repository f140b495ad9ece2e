"""All problems of a file in one go: what is wrong first hides nothing behind it."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import pytest
from spawn_tui.engine.plan import Overrides, PlanError, plan_from_text

from .helpers import plan


def problems(text: str, name: str = "s.yaml", **overrides: object) -> list[str]:
    """Each problem's line and beginning, with a `check_source` that knows `local` only."""
    with pytest.raises(PlanError) as error:
        plan_from_text(
            text,
            name=name,
            overrides=Overrides(**overrides),  # type: ignore[arg-type]
            check_source=lambda source: None if source.startswith("local") else f'"{source}" is no source',
        )
    return str(error.value).splitlines()


def test_the_newcomers_file():
    found = problems("grids: {lr: [1], b: 2}\ncomand: t {lr} {c}\ntimeout: 2 hourz\nsources: slurm\n")
    expected = [
        's.yaml:1: grids: is unknown, and the file has neither `params` nor `grid`; did you mean "grid"?',
        "s.yaml:1: grids.b: 2 must be a list of values",
        's.yaml:2: comand: is unknown here; did you mean "command"?',
        "s.yaml:2: comand: {c} is not a parameter",
        's.yaml:3: timeout: "2 hourz" is not a duration',
        's.yaml:4: sources: "slurm" is no source',
    ]
    assert len(found) == len(expected)
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize(
    ("text", "beginnings"),
    [
        ("timeout: 2 hourz\nsources: [local, slurm]\ngrid: {a: [1]}", ["s.yaml:1: timeout", 's.yaml:2: sources[1]: "slurm" is no']),
        ("timeout: 2 hourz\nsources: slurm\ncomand: [1, [2]]",
         ["s.yaml: an empty sweep", "s.yaml:1: timeout", "s.yaml:2: sources", "s.yaml:3: comand: is unknown", "s.yaml:3: comand[1]: [2] must be text"]),
        ("params: [{a: 1}]\npaired: []\ntimeout: x\nflurble: 3\ndefaults: {retries: -1}",
         ["s.yaml:2: paired: `params` and `paired` belong", "s.yaml:3: timeout", "s.yaml:4: flurble: is unknown", "s.yaml:5: defaults.retries"]),
        ("grid: 3\nsweep_name: []", ["s.yaml:1: grid: 3 must be a mapping", "s.yaml:2: sweep_name"]),
        ("sweep: 3\ndefaults: {timeout: x}", ["s.yaml:1: sweep: 3 must be", "s.yaml:2: defaults.timeout"]),
        ("sweeps:\n  gird:\n    a: 1", ["s.yaml:1: sweeps: is unknown", "s.yaml:2: sweeps.gird: is unknown", "s.yaml:3: sweeps.gird.a: 1 must be"]),
        ("defalts: {ttl: x}\nparams: [{a: 1}]", ["s.yaml:1: defalts: is unknown", 's.yaml:1: defalts.ttl: "x" is not']),
        ("defalts: {ttl: x}\ndefaults: {}\nparams: [{a: 1}]", ["s.yaml:1: defalts: is unknown"]),
        ("grid:\n- parms: {lr: []}", ["s.yaml:2: grid[0].parms: is unknown", "s.yaml:2: grid[0].parms.lr: [] is an empty"]),
        ("data: {a: [1]}\ntimeout: x", ["s.yaml: an empty sweep", "s.yaml:1: data: is unknown", "s.yaml:2: timeout"]),
    ],
)  # fmt: skip
def test_everything_is_said(text: str, beginnings: list[str]):
    found = problems(text)
    assert len(found) == len(beginnings), found
    for line, beginning in zip(found, beginnings, strict=True):
        assert line.startswith(beginning), found


def test_ragged_rows_do_not_hide_wrong_fields():
    found = problems("ttl,a\n1h\n2 hours,1\n", "s.csv")
    assert [line[:10] for line in found] == ["s.csv:2: t", "s.csv:3: p"]


def test_sources_of_the_command_line_replace_the_files():
    text = "grid: {a: [1]}\nsources: slurm"
    assert problems(text, sources=("local", "moon")) == ['command line: --sources: "moon" is no source']
    assert plan_from_text(
        text,
        name="s.yaml",
        overrides=Overrides(sources=("local",)),
        check_source=lambda s: "no" if s == "slurm" else None,
    ).sources == ("local",)
    assert plan(text).sources == ("slurm",)
