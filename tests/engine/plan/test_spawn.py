"""The spawn dialect: the guides' files, and what they leave open."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from .helpers import params, plan, refused

GUIDE = """{
  "comment": "Testing learning rates",
  "date": "2024-01-16",
  "defaults": {
    "instance_type": "t3.micro",
    "region": "us-east-1",
    "ttl": "30m"
  },
  "params": [
    {"name": "alpha-0.1", "learning_rate": 0.1},   // Custom parameter
    {"name": "alpha-0.5", "learning_rate": 0.5, "region": "us-west-2"},
    {"name": "alpha-0.9", "learning_rate": 0.9}
  ]
}"""


def test_the_guides_first_file():
    made = plan(GUIDE, "sweep.json")
    assert (made.dialect, made.name, made.command, made.args) == ("spawn", "sweep", None, "template")
    assert [task.label for task in made.tasks] == ["alpha-0.1", "alpha-0.5", "alpha-0.9"]
    assert params(made)[1] == {"name": "alpha-0.5", "learning_rate": 0.5}
    assert made.tasks[0].launch == {"instance_type": "t3.micro", "region": "us-east-1", "ttl": "30m"}
    assert made.tasks[1].launch["region"] == "us-west-2"
    assert made.metadata == {"comment": "Testing learning rates", "date": "2024-01-16"}


def test_the_tutorials_first_file():
    made = plan("""
defaults:
  instance_type: t3.micro
  iam_policy: s3:FullAccess,logs:WriteOnly
  ttl: 30m
  on_complete: terminate
  spot: true
  spot_max_price: 0.10
  user_data: |
    #!/bin/bash
    echo "Running experiment: $NAME"
params:
  - name: test-1
    param_value: 10
  - name: test-2
    param_value: 20
""")
    assert params(made) == [{"name": "test-1", "param_value": 10}, {"name": "test-2", "param_value": 20}]
    assert made.tasks[0].launch["spot_max_price"] == 0.1
    assert str(made.tasks[0].launch["user_data"]).startswith("#!/bin/bash\n")


def test_the_merge_is_shallow_rows_win_and_order_is_kept():
    made = plan("defaults: {b: 1, o: {x: 1, y: 2}, a: 0}\nparams: [{c: 3, o: {x: 9}, b: null}]")
    assert list(params(made)[0].items()) == [("b", None), ("o", {"x": 9}), ("a", 0), ("c", 3)]


def test_other_names_of_fields_become_the_canonical_ones():
    row = "{key_pair: k, availability_zone: us-east-1a, security_groups: [a, b], subnet_id: s, dns: d, volume_size: 8}"
    assert plan(f"params: [{row}]").tasks[0].launch == {
        "key_name": "k", "az": "us-east-1a", "security_group": ["a", "b"], "subnet": "s", "dns_name": "d", "disk_size": 8,
    }  # fmt: skip


def test_two_names_of_one_field_must_agree():
    assert 'params[0].key_name: "b" gives `key_name` a second value' in refused(
        "params: [{key_pair: a, key_name: b}]"
    )


def test_promised_fields_that_spawn_took_for_parameters():
    row = "{efs_id: fs-1, fsx_storage_capacity: 1200, regions: [{us-east-1: 100}, eu-west-1], tags: {a: 1}, count: 3, mpi: true}"
    made = plan(f"params: [{row}]")
    assert set(made.tasks[0].launch) == {"efs_id", "fsx_storage_capacity", "regions", "tags", "count", "mpi"}
    assert params(made) == [{}]


def test_null_takes_a_default_back():
    made = plan("defaults: {ami: ami-1, region: r, vpc: null}\nparams: [{ami: null, x: 1}, {x: 2}]")
    assert [dict(task.launch) for task in made.tasks] == [{"region": "r"}, {"ami": "ami-1", "region": "r"}]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("instance_type: 3", "3 must be text, not a number; instance_type: EC2 instance type"),
        ("instance_type: banana", '"banana" is no instance type; write t3.micro, c5.large|m5.large, or c5.*'),
        ("instance_type: t3.micro | banana", 'holds "banana", which is no instance type'),
        ('region: ""', "must be text, not empty text"),
        ('spot: "yes"', '"yes" must be true or false, not text; write true or false'),
        ("spot_max_price: cheap", '"cheap" is not a price in USD per hour; write it like 0.10'),
        ("spot_max_price: -1", "is not a price"),
        ("spot_max_price: true", "is not a price"),
        ("ttl: 2 hours", '"2 hours" is not a duration; write it like 30m, 2h, 4h30m, 1d or 90s'),
        ("idle_timeout: 15", "15 is not a duration"),
        ("session_timeout: 1x", "is not a duration"),
        ("completion_delay: soon", "is not a duration"),
        (
            "on_complete: reboot",
            '"reboot" is not a way to end an instance; write terminate, stop or hibernate',
        ),
        ("count: 0", "must be a whole number of at least 1"),
        ("regions: us-east-1", "must be a list of regions"),
        ("regions: [3]", "must be a list of regions"),
        ("tags: [a]", "must be a mapping of names to texts"),
        ("security_group: [1]", "must be text or a list of texts"),
        ("efs_id: [a]", "must be one value"),
    ],
)
def test_fields_of_the_wrong_type(field: str, message: str):
    key = field.split(":")[0]
    assert refused(f"params:\n- x: 1\n- lr: 1\n  {field}\n").startswith(f"sweep.yaml:4: params[1].{key}: ")
    assert message in refused(f"params:\n- {field}\n")
    assert f"defaults.{key}: " in refused(f"defaults:\n  {field}\nparams: [{{x: 1}}]\n")


@pytest.mark.parametrize("price", ["0.10", '"0.10"', "1", '".5"'])
def test_a_price_is_a_number_or_text(price: str):
    assert plan(f"params: [{{spot_max_price: {price}}}]").tasks


def test_parameters_takes_any_name_verbatim():
    made = plan("""
defaults: {parameters: {region: default, timeout: 5}}
params:
- {region: us-east-1, lr: 1, parameters: {region: mine, command: "x y", name: n, parameters: p}}
- {name: real}
""")
    assert params(made)[0] == {
        "region": "mine", "timeout": 5, "lr": 1, "command": "x y", "name": "n", "parameters": "p",
    }  # fmt: skip
    assert made.tasks[0].launch == {"region": "us-east-1"}
    assert made.tasks[0].label == ""
    assert (made.tasks[1].label, made.timeout) == ("real", None)


def test_parameters_wants_a_mapping_and_no_name_twice():
    assert "params[0].parameters: 3 must be a mapping" in refused("params: [{parameters: 3}]")
    assert "params[0].parameters.a: is given outside of `parameters` as well" in refused(
        "params: [{a: 1, parameters: {a: 2}}]"
    )


def test_settings_in_a_row_are_parameters_and_said_to_be():
    made = plan("params: [{timeout: 5, command: ls, retries: x}]\ncommand: echo")
    assert (made.timeout, made.retries.max) == (None, 0)
    assert params(made) == [{"timeout": 5, "command": "ls", "retries": "x"}]
    assert any(
        "params[0].command: is a parameter here" in text and 'sh -c "$PARAM_command"' in text
        for text in made.warnings
    )


def test_slips_in_rows_and_defaults_are_parameters_with_a_warning():
    made = plan("defaults: {instance_typ: t3, steps: 3}\nparams:\n- regoin: x\n- regoin: y\n")
    assert params(made)[0] == {"instance_typ": "t3", "steps": 3, "regoin": "x"}
    assert made.warnings == (
        'sweep.yaml:1: defaults.instance_typ: is taken as a parameter; did you mean "instance_type"?',
        'sweep.yaml:3: params[0].regoin: is taken as a parameter; did you mean "region"?',
    )


@pytest.mark.parametrize(
    ("row", "meant"),
    [
        ("ttll: 2h", "ttl"), ("TTL: 2h", "ttl"), ("spott: true", "spot"), ("on_completion: stop", "on_complete"),
        ("instancetype: t3.micro", "instance_type"), ("amii: ami-1", "ami"), ("tag: {a: b}", "tags"),
    ],
)  # fmt: skip
def test_what_is_nearly_a_launch_field_is_told(row: str, meant: str):
    key = row.split(":")[0]
    said = f'is taken as a parameter; did you mean "{meant}"?'
    assert plan(f"defaults:\n  {row}\nparams: [{{x: 1}}]").warnings == (
        f"sweep.yaml:2: defaults.{key}: {said}",
    )
    assert plan(f"params:\n- x: 1\n- x: 2\n  {row}").warnings == (f"sweep.yaml:4: params[1].{key}: {said}",)


def test_a_grid_beside_rows_is_looked_at_as_well():
    made = plan("params: [{x: 1}]\ngrid:\n  regio: [us-east-1, us-west-2]\n  parameters: {ttll: [1h, 2h]}")
    assert made.warnings == ('sweep.yaml:3: grid.regio: is taken as a parameter; did you mean "region"?',)


@pytest.mark.parametrize(
    "row",
    [
        "steps: 5", "dnss: x", "tag: v1", "counts: [1, 2]", "spots: 4", "gpu_count: 2", "lr: 0.1",
        "parameters: {ttll: 2h}",
    ],
)  # fmt: skip
def test_what_no_field_would_take_or_miss_is_a_parameter(row: str):
    assert plan(f"defaults: {{{row}}}\nparams: [{{x: 1}}]").warnings == ()


@pytest.mark.parametrize(
    "use",
    [
        "command: train --life {ttll}", 'command: sh -c "train $PARAM_ttll"', 'command: sh -c "train ${TTLL}"',
        "command: t\nenv: {LIFE: '{ttll}'}", "defaults: {user_data: 'train $TTLL'}",
    ],
)  # fmt: skip
def test_a_parameter_that_is_used_is_no_slip(use: str):
    assert plan(f"params: [{{ttll: 2h}}]\n{use}").warnings == ()
    other = use.replace("ttll", "ttlls").replace("TTLL", "TTLLS").replace("{ttlls}", "x")
    assert "did you mean" in plan(f"params: [{{ttll: 2h}}]\n{other}").warnings[0]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("instnce_type", "instance_type"), ("time_out", "timeout"), ("parms", "params"), ("default", "defaults"),
        ("parameters", "params"), ("base_command", "command"), ("retry", "retries"), ("Command", "command"),
    ],
)  # fmt: skip
def test_unknown_keys_at_the_top_are_errors(key: str, meant: str):
    message = refused(f"params: [{{x: 1}}]\n{key}: 3\n").splitlines()[0]
    assert message == f'sweep.yaml:2: {key}: is unknown here; did you mean "{meant}"?'


def test_an_unknown_key_unlike_any_other_is_told_where_parameters_go():
    assert "flurble: is unknown here; parameters stand under `params`" in refused(
        "params: [{x: 1}]\nflurble: 3\n"
    )


def test_launch_fields_at_the_top_are_defaults_with_a_warning():
    made = plan(
        "region: us-east-1\ninstance_type: t3.micro\nsweep_name: my-sweep\nparams: [{x: 1}, {region: r}]"
    )
    assert [task.launch["region"] for task in made.tasks] == ["us-east-1", "r"]
    assert made.name == "my-sweep"
    assert "sweep.yaml:1: region: launch fields at the top level are taken as `defaults`" in made.warnings[0]


def test_notes_are_kept():
    made = plan("params: [{x: 1}]\n_note: 1\nx-team: [a]\nauthor: me\nversion: 2\nmetadata: {tags: [t]}\n")
    assert made.metadata == {"tags": ["t"], "_note": 1, "x-team": ["a"], "author": "me", "version": 2}


def test_names_are_labels_and_parameters():
    made = plan("params: [{name: a, x: 1}, {x: 2}, {name: 7}]")
    assert [task.label for task in made.tasks] == ["a", "", "7"]
    assert params(made)[2] == {"name": 7}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "- {name: a}\n- {x: 1}\n- {name: a}\n- {name: a}",
            'sweep.yaml:4: params[2].name: "a" is the name of params[0] too',
        ),
        (
            "- {name: a/b}",
            'sweep.yaml:2: params[0].name: "a/b" a name cannot hold `/`, a NUL or a line break',
        ),
        ('- {name: "a\\nb"}', "a name cannot hold"),
        ('- {name: ""}', "is not a name"),
        ("- {name: [a]}", "is not a name"),
        ("- {name: true}", "is not a name"),
    ],
)
def test_wrong_names(rows: str, message: str):
    assert message in refused(f"params:\n{rows}\n")


def test_a_name_in_defaults_cannot_be_everybodys():
    assert refused("defaults: {name: a}\nparams: [{x: 1}, {x: 2}]") == (
        'sweep.yaml:1: defaults.name: "a" would be the name of several tasks; give each row its own name'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params: []", "sweep.yaml:1: params: [] an empty sweep: there are no tasks"),
        ("params:", "params: null must be a list of mappings, not null"),
        ("params: {a: 1}", "must be a list of mappings, not a mapping"),
        ("params: 3", "params: 3 must be a list of mappings, not a number"),
        ("params:\n- {a: 1}\n- 5\n-\n", "sweep.yaml:3: params[1]: 5 must be a mapping, not a number"),
        ("params:\n- {a: 1}\n- 5\n-\n", "sweep.yaml:4: params[2]: null must be a mapping, not null"),
        ("defaults: [a]\nparams: [{x: 1}]", 'defaults: ["a"] must be a mapping, not a list'),
        ('params: [{"": 1}]', "a parameter needs a name"),
        ('params: [{"a=b": 1}]', "params[0].a=b: a parameter's name cannot hold `=`"),
    ],
)
def test_what_is_no_list_of_tasks(text: str, message: str):
    assert message in refused(text)


def test_a_row_without_anything_is_a_task():
    assert params(plan("params: [{}, {x: 1}]")) == [{}, {"x": 1}]


def test_a_grid_multiplies_the_rows_last_key_fastest():
    made = plan("defaults: {s: 0}\nparams: [{name: a}, {name: b}]\ngrid: {x: [1, 2], o: {y: [3, 4]}}")
    assert [(task.label, *list(task.params.values())) for task in made.tasks] == [
        ("a_00", 0, "a", 1, 3), ("a_01", 0, "a", 1, 4), ("a_02", 0, "a", 2, 3), ("a_03", 0, "a", 2, 4),
        ("b_00", 0, "b", 1, 3), ("b_01", 0, "b", 1, 4), ("b_02", 0, "b", 2, 3), ("b_03", 0, "b", 2, 4),
    ]  # fmt: skip
    assert list(made.tasks[0].params) == ["s", "name", "x", "o.y"]


def test_a_grid_beside_rows_knows_launch_fields_and_parameters():
    made = plan("params: [{x: 1}]\ngrid: {region: [a, b], parameters: {ttl: [5, 6]}}")
    assert [(task.launch["region"], task.params["ttl"]) for task in made.tasks] == [
        ("a", 5),
        ("a", 6),
        ("b", 5),
        ("b", 6),
    ]
    assert 'grid.ttl[1]: "x" is not a duration' in refused("params: [{x: 1}]\ngrid: {ttl: [2h, x]}")


def test_a_key_of_a_row_and_the_grid_is_an_error():
    assert refused("params:\n- {x: 1}\n- {lr: 1}\ngrid: {lr: [1, 2]}") == (
        "sweep.yaml:3: params[1].lr: stands in `grid` as well; keep one of them"
    )


def test_all_problems_come_in_one_go():
    text = """
defaults: {ttl: 2 hours, spot: maybe}
params:
- {on_complete: explode}
- 7
- {name: a}
- {name: a}
instnce_type: t3.micro
timeout: later
"""
    assert [line.split(": ")[1] for line in refused(text).splitlines()] == [
        "defaults.ttl", "defaults.spot", "params[0].on_complete", "params[1]", "params[3].name", "instnce_type", "timeout",
    ]  # fmt: skip
    assert [int(line.split(":")[1]) for line in refused(text).splitlines()] == [2, 2, 4, 5, 7, 8, 9]


def test_many_problems_are_counted_not_poured_out():
    text = "params:\n" + "- {ttl: x}\n" * 200
    lines = refused(text).splitlines()
    assert len(lines) == 51
    assert lines[-1] == "… and 150 more problems"


def test_long_values_are_cut():
    line = refused(f"params: [{{ttl: {'x' * 5000}}}]")
    assert len(line) < 200
    assert "…" in line
