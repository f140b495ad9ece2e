"""The MFCL dialect: ids, overrides, budgets and launch lines as MFCL makes them."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import pytest
from spawn_tui.engine.plan.torchrun import torchrun_words

from .helpers import params, plan, refused

EXAMPLE = """
name: spec9_demo
entrypoint: train.py
output_dir: runs/spec9_demo
overrides:
  - runtime.provenance=true
env:
  CUDA_VISIBLE_DEVICES: "0"
grid:
  - name: resnet18_simclr
    params: {model: resnet18, method: simclr, batch_size: 128, amp_dtype: bf16, world_size: 1}
    budget:
      mode: iso_time
      limit: 2.5  # minutes
      target_metric: linear.top1
      target_value: 70.0
  - name: My Group!
    params: {model: [resnet50, vit], tau: [0.1, 2e-1], amp_dtype: FP32, world_size: 2, flag: true, none: null}
    overrides: [a=b]
    env: {X: 1}
    metadata: {why: test}
  - params: {optim.name: sgd x}
"""


def test_the_example_grid():
    made = plan(EXAMPLE, "grid.yaml")
    assert (made.dialect, made.name, made.command) == ("mfcl", "spec9_demo", None)
    assert [task.label for task in made.tasks] == [
        "001_resnet18_simclr", "002_My-Group_00", "003_My-Group_01", "004_My-Group_02", "005_My-Group_03", "006_group02",
    ]  # fmt: skip
    first = made.tasks[0]
    assert first.overrides == (
        "runtime.provenance=true",
        "runtime.budget.enabled=true",
        'runtime.budget.mode="iso_time"',
        "runtime.budget.max_minutes=2.5",
        "model=resnet18",
        "method=simclr",
        "data.batch_size=128",
        "train.loss_fp32=false",
    )
    assert first.env == {"MFCL_AMP_DTYPE": "bf16"}
    assert {key: value for key, value in first.metadata.items() if key != "mfcl"} == {
        "budget_mode": "iso_time",
        "budget_limit_key": "max_minutes",
        "budget_limit_value": 2.5,
        "target_metric": "linear.top1",
        "target_value": 70.0,
    }
    assert made.env == {"CUDA_VISIBLE_DEVICES": "0"}
    second = made.tasks[2]
    assert params(made)[2] == {
        "model": "resnet50", "tau": 0.2, "amp_dtype": "FP32", "world_size": 2, "flag": True, "none": None,
    }  # fmt: skip
    assert second.overrides == (
        "runtime.provenance=true", "a=b", "model=resnet50", "method.tau=2e-1", "train.loss_fp32=true", "flag=true", "none=null",
    )  # fmt: skip
    assert second.env == {"X": "1", "MFCL_AMP_DTYPE": "fp32"}
    assert second.metadata["why"] == "test"
    assert made.tasks[5].overrides[-1] == 'optim.name="sgd x"'


def test_the_line_that_starts_a_run():
    made = plan(EXAMPLE)
    assert torchrun_words(made, made.tasks[0], "/runs/001")[:4] == [
        "torchrun", "--standalone", "--nproc_per_node=1", "train.py",
    ]  # fmt: skip
    assert torchrun_words(made, made.tasks[0], "/runs/001")[-4:] == [
        'train.save_dir="/runs/001"', 'hydra.run.dir="/runs/001"', "hydra.output_subdir=null", "hydra.job.chdir=false",
    ]  # fmt: skip


def test_several_nodes_as_in_the_integration_test():
    made = plan("""
nnodes: 2
rendezvous: {backend: c10d, endpoint: "node0.example:29500", id: mfcl-grid}
entrypoint: t.py
grid:
- {name: node0, node_rank: 0, params: {world_size: 2}}
- {name: node1, node_rank: 1, params: {world_size: 2}, nnodes: "1:4", rendezvous: {endpoint: "node1:1", conf: a=b}}
""")
    assert torchrun_words(made, made.tasks[0], "/r")[:8] == [
        "torchrun", "--nnodes=2", "--node_rank=0", "--rdzv_backend=c10d", "--rdzv_endpoint=node0.example:29500",
        "--rdzv_id=mfcl-grid", "--nproc_per_node=2", "t.py",
    ]  # fmt: skip
    assert torchrun_words(made, made.tasks[1], "/r")[:8] == [
        "torchrun", "--nnodes=1:4", "--node_rank=1", "--rdzv_backend=c10d", "--rdzv_endpoint=node1:1",
        "--rdzv_id=mfcl-grid", "--rdzv_conf=a=b", "--nproc_per_node=2",
    ]  # fmt: skip


def test_a_list_in_a_list_and_a_mapping_are_values():
    made = plan("grid: [{params: {layers: [[1, 2]], d: {a: 1}}}]")
    assert params(made) == [{"layers": [1, 2], "d": {"a": 1}}]
    assert made.tasks[0].overrides == ("layers=[1, 2]", "d={a:1}")
    assert made.tasks[0].label == "001_group00"


def test_defaults_go_under_every_entry():
    made = plan("defaults: {seed: [1, 2], lr: 1, timeout: 1h}\ngrid: [{params: {lr: 5}}, {params: {x: 1}}]")
    assert params(made) == [
        {"seed": 1, "lr": 5}, {"seed": 2, "lr": 5}, {"seed": 1, "lr": 1, "x": 1}, {"seed": 2, "lr": 1, "x": 1},
    ]  # fmt: skip
    assert made.timeout == 3600


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("{mode: ISO_TOKENS, max_tokens: 5}", ["max_tokens=5"]),
        ("{mode: iso_epochs, limit: 3, steps_per_epoch: 10}", ["max_epochs=3", "steps_per_epoch=10"]),
        ("{mode: comm_cap, max_comm_bytes: 9}", ["max_comm_bytes=9"]),
        ("{mode: energy_cap, limit: 1.5, max_comm_bytes: 7}", ["max_energy_Wh=1.5", "max_comm_bytes=7"]),
    ],
)
def test_budgets_name_their_limit_once(budget: str, expected: list[str]):
    made = plan(f"grid: [{{budget: {budget}}}]")
    assert [text.removeprefix("runtime.budget.") for text in made.tasks[0].overrides[2:]] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: []", "sweep.yaml:1: grid: [] an empty sweep: there are no entries"),
        ("grid: [1]", "grid[0]: 1 must be a mapping with `params`, not a number"),
        (
            "grid:\n- params: {a: []}",
            "sweep.yaml:2: grid[0].params.a: [] is an empty list, so there would be no tasks",
        ),
        ("grid:\n- parms: {a: [1]}", 'sweep.yaml:2: grid[0].parms: is unknown here; did you mean "params"?'),
        ("grid: [{params: {world_size: 0}}]", "grid[0].params.world_size: 0 must be a number of processes"),
        (
            "grid: [{params: {amp_dtype: [bf16, fp17]}}]",
            'grid[0].params.amp_dtype[1]: "fp17" is no precision; did you mean',
        ),
        ("grid: [{params: {model: [[a]]}}]", "must be the name of a model"),
        (
            "grid: [{budget: {mode: iso_tim, limit: 1}}]",
            '"iso_tim" is no mode of a budget; did you mean "iso_time"?',
        ),
        ("grid: [{budget: {limit: 1}}]", "grid[0].budget: a budget needs a mode; write iso_time, iso_tokens"),
        (
            "grid: [{budget: {mode: iso_time}}]",
            "the mode iso_time needs a limit; write limit: 2.5, or max_minutes: 2.5",
        ),
        (
            "grid: [{budget: {mode: iso_time, limit: -1}}]",
            "grid[0].budget.limit: -1 must be a number above 0",
        ),
        (
            "grid: [{budget: {mode: iso_time, limt: 1, limit: 2}}]",
            'grid[0].budget.limt: is unknown here; did you mean "limit"?',
        ),
        (
            "nnodes: 0\ngrid: [{params: {a: 1}}]",
            'nnodes: 0 must be a number of nodes or a range; write 2 or "1:4"',
        ),
        ("nnodes: 4:2\ngrid: [{params: {a: 1}}]", "must be a number of nodes or a range"),
        ("grid: [{node_rank: -1}]", "grid[0].node_rank: -1 must be a whole number from 0"),
        ("grid: [{rendezvous: c10d}]", 'grid[0].rendezvous: "c10d" must be a mapping'),
        ("overrides: a=b\ngrid: [{params: {a: 1}}]", 'overrides: "a=b" must be a list of texts, not text'),
        ("grid: [{overrides: [[1]]}]", "grid[0].overrides[0]: [1] must be text, not a list"),
        ("entrypont: x\ngrid: [{params: {a: 1}}]", 'entrypont: is unknown here; did you mean "entrypoint"?'),
        ("grid: [{params: [a]}]", 'grid[0].params: ["a"] must be a mapping'),
    ],
)
def test_wrong_grids_are_named(text: str, message: str):
    assert message in refused(text)


def test_what_is_only_noted_is_said():
    made = plan("output_dir: runs\nwork_dir: sub\ngrid: [{params: {p: '${oc.env:HOME}/x'}}]")
    assert made.workdir == "sub"
    assert made.metadata["mfcl"] == {"entrypoint": "train.py", "output_dir": "runs"}
    assert len(made.warnings) == 2
    assert "holds ${…}, which MFCL resolves" in made.warnings[1]
