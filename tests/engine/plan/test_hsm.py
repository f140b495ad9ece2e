"""The HSM dialect: grids, paired groups, both forms of the file."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .helpers import params, plan, refused

GUIDE = """
grid:
  learning_rate: [0.001, 0.01, 0.1]
  batch_size: [32, 64, 128]
  hidden_dim: [64, 128, 256]
metadata:
  description: "Hyperparameter search for my model"
  tags: ["baseline", "grid_search"]
"""


def test_the_guides_file():
    made = plan(GUIDE, "sweep_config.yaml")
    assert (made.dialect, made.name, len(made.tasks)) == ("hsm", "sweep_config", 27)
    assert params(made)[:4] == [
        {"learning_rate": 0.001, "batch_size": 32, "hidden_dim": 64},
        {"learning_rate": 0.001, "batch_size": 32, "hidden_dim": 128},
        {"learning_rate": 0.001, "batch_size": 32, "hidden_dim": 256},
        {"learning_rate": 0.001, "batch_size": 64, "hidden_dim": 64},
    ]
    assert made.metadata["tags"] == ["baseline", "grid_search"]
    assert {task.label for task in made.tasks} == {""}


def test_the_nested_form_with_hydras_list_of_defaults():
    made = plan("""
defaults:
  - override hydra/launcher: basic
sweep:
  grid:
    optimizer: {lr: [1e-4, 1e-3], name: [adam]}
  paired:
    - sizes:
        batch: [1, 2]
        steps: [20, 10]
metadata: {wandb_project: p}
script: train_2d.py
""")
    assert params(made) == [
        {"optimizer.lr": lr, "optimizer.name": "adam", "batch": batch, "steps": steps}
        for lr in (1e-4, 1e-3)
        for batch, steps in ((1, 20), (2, 10))
    ]
    assert made.command == ("python3", "train_2d.py")
    assert made.args == "hydra"
    assert made.warnings == (
        "sweep.yaml:2: defaults: is a list, which HSM ignores, and so it is ignored here",
    )


def test_defaults_and_metadata_may_stand_inside_of_sweep():
    made = plan("sweep: {grid: {a: [1]}, defaults: {b: {c: 2}}, metadata: {m: 1}}\ndefaults: {d: 3}")
    assert params(made) == [{"d": 3, "b.c": 2, "a": 1}]
    assert made.metadata == {"m": 1}


def test_several_groups_are_multiplied_and_what_is_inside_one_is_zipped():
    made = plan("""
grid: {g: [0, 1]}
paired:
- one: {a: [1, 2], b: {c: [3, 4]}}
  two: {d: [5, 6]}
- three: {e: [7, 8, 9]}
""")
    assert [tuple(row.values()) for row in params(made)] == [
        (g, a, c, d, e) for g in (0, 1) for a, c, d in ((1, 3, 5), (2, 4, 6)) for e in (7, 8, 9)
    ]
    assert list(made.tasks[0].params) == ["g", "a", "b.c", "d", "e"]


def test_a_group_without_a_name():
    assert params(plan("paired: [{a: [1, 2], b: [3, 4]}]")) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]


def test_defaults_go_under_every_task_by_dotted_names():
    made = plan(
        "defaults: {model: {h: 8, d: 0.5}, seed: 1, list: [1, 2], timeout: 5m}\ngrid: {model: {h: [16, 32]}}"
    )
    assert params(made) == [{"model.h": h, "model.d": 0.5, "seed": 1, "list": [1, 2]} for h in (16, 32)]
    assert made.timeout == 300


def test_values_that_are_lists_or_mappings():
    made = plan("grid: {layers: [[1, 2], [3]], opt: [{a: 1}]}")
    assert params(made) == [{"layers": [1, 2], "opt": {"a": 1}}, {"layers": [3], "opt": {"a": 1}}]


def test_launch_fields_are_parameters_here():
    made = plan("grid: {region: [a, b], ttl: [5], name: [x]}")
    assert params(made)[0] == {"region": "a", "ttl": 5, "name": "x"}
    assert made.tasks[0].launch == {}


def test_a_product_over_instances_is_spawns():
    made = plan("defaults: {instance_type: t3.micro, ttl: 2h}\ngrid: {lr: [1, 2]}")
    assert made.dialect == "spawn"
    assert params(made) == [{"lr": 1}, {"lr": 2}]
    assert made.tasks[0].launch == {"instance_type": "t3.micro", "ttl": "2h"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid:\n  lr: 0.1\n", "sweep.yaml:2: grid.lr: 0.1 must be a list of values, not a number; write [0.1] for a single"),
        ("grid:\n  lr: adam\n", 'grid.lr: "adam" must be a list of values, not text; write ["adam"] for a single value'),
        ("grid:\n  lr:\n", "sweep.yaml:2: grid.lr: null must be a list of values, not null"),
        ("grid:\n  m:\n    lr: []\n", "sweep.yaml:3: grid.m.lr: [] is an empty list, so there would be no tasks"),
        ("grid:\n  m: {}\n", "sweep.yaml:2: grid.m: is an empty mapping; give it a list of values"),
        ("grid: {}", "sweep.yaml:1: grid: an empty sweep: there are no values; write lr: [0.1, 0.01] under `grid:`"),
        ("paired: []", "paired: an empty sweep"),
        ("sweep: {}", "sweep: an empty sweep"),
        ("grid:", "grid: null must be a mapping of names to lists, not null"),
        ("grid: 3", "grid: 3 must be a mapping of names to lists, not a number"),
        ("sweep:", "sweep: null must be a mapping, not null"),
        ("sweep: fast", 'sweep: "fast" must be a mapping, not text'),
        ("sweep: {grid: {a: [1]}, gird: {}}", 'sweep.gird: is unknown here; did you mean "grid"?'),
        (
            "paired:\n- g: {a: [1, 2], b: [3]}\n",
            "sweep.yaml:2: paired[0].g.b: lists that are paired must be equally long: a has 2, b has 1 values; "
            "give b 2 values, or move it to `grid`",
        ),
        ("paired: {g: {a: [1]}}", "paired: {\"g\": {\"a\": [1]}} must be a list of groups, not a mapping; write - group"),
        ("paired: [a]", 'paired[0]: "a" must be a mapping of a group\'s name to its lists, not text'),
        ("paired: [{g: {a: 1}}]", "paired[0].g.a: 1 must be a list of values"),
        ("grid: {a: [1]}\npaired:\n- g: {a: [2]}\n", "sweep.yaml:3: paired[0].g.a: gives a again, which `grid.a` gives too"),
        ('grid: {a.b: [1], a: {b: [2]}}', "gives a.b again, which `grid.a.b` gives too"),
        ("grids: {a: [1]}", 'sweep.yaml:1: grids: is unknown, and the file has neither `params` nor `grid`; did you mean "grid"?'),
        ("defaults: {a: 1}", "sweep.yaml: an empty sweep: the file has neither `params` nor `grid`; write `params:`"),
        ("grid: {a: [1]}\ncomplete: sweep_20250101", "complete: \"sweep_20250101\" completes another sweep"),
        ("grid: {a: [1]}\ncomplete: sweep_20250101", "use `spawn-tui resume SWEEP`"),
        ("grid: {a: [1]}\nregion: x", "region: is a launch field, which belongs beside `params`"),
        ("grid: {a: [1]}\nflags: x", 'sweep.yaml:2: flags: is unknown here'),
        ("params: [{a: 1}]\npaired: []", "sweep.yaml:2: paired: `params` and `paired` belong to different dialects"),
        ("params: [{a: 1}]\ngrid: [{params: {}}]", "grid: `params` and `grid` as a list belong to different dialects"),
        ("params: [{a: 1}]\nsweep: {}", "sweep: `params` and `sweep` belong to different dialects"),
        ("grid: [{params: {}}]\npaired: []", "paired: `grid` as a list and `paired` belong to different dialects"),
        ("grid: {a: [1]}\nsweep: {grid: {b: [1]}}", "grid: `grid` stands beside `sweep`, which has its own; move it into"),
        ("grid: {" + ", ".join(f"k{n}: [{', '.join(map(str, range(100)))}]" for n in range(4)) + "}",
         "grid: makes 100,000,000 tasks; a sweep has at most 1,000,000"),
    ],
)  # fmt: skip
def test_wrong_files_are_named(text: str, message: str):
    assert message in refused(text)


def test_a_wrong_axis_does_not_make_its_placeholder_wrong():
    assert refused("grid: {lr: 0.1, bs: [1]}\ncommand: t {lr} {bs} {bss}").splitlines() == [
        'sweep.yaml:1: grid.lr: 0.1 must be a list of values, not a number; write [0.1] for a single value',
        'sweep.yaml:2: command: {bss} is not a parameter; did you mean "bs"?; the parameters are lr, bs; '
        "write {{bss}} for literal braces",
    ]  # fmt: skip


def test_values_that_repeat_are_said():
    made = plan("grid:\n  lr: [0.1, 0.1, 0.2]\n  ok: [1, 1.0, '1', true]\n")
    assert len(made.tasks) == 12
    assert made.warnings == ("sweep.yaml:2: grid.lr: has 0.1 more than once: some tasks will be the same",)
    assert plan("grid: {version: [1.1, 1.10]}").warnings == ()


@given(
    st.lists(st.integers(1, 4), max_size=3),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=2),
)
def test_the_order_of_enumeration(sizes: list[int], groups: list[tuple[int, int]]):
    """The reference: nested loops, the first key outermost; then each group, zipped inside."""
    if not sizes and not groups:
        return
    grid = {f"g{n}": list(range(size)) for n, size in enumerate(sizes)}
    paired = [
        {"group": {f"p{n}_{m}": [10 * m + i for i in range(length)] for m in range(width)}}
        for n, (length, width) in enumerate(groups)
    ]
    expected = [{}]
    for key, values in grid.items():
        expected = [{**row, key: value} for row in expected for value in values]
    for element in paired:
        lists = element["group"]
        steps = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
        expected = [{**row, **step} for row in expected for step in steps]
    import json

    found = params(plan(json.dumps({"grid": grid, "paired": paired}), "s.json"))
    assert found == expected
    assert [list(row) for row in found] == [list(row) for row in expected]
    assert len({tuple(row.items()) for row in found}) == len(found)
    assert len(found) == len(list(itertools.product(*grid.values()))) * len(
        list(itertools.product(*(range(length) for length, _ in groups)))
    )
