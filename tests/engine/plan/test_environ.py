"""The variables in which a task finds its parameters."""

# One case, one line: the tables are read down.

from __future__ import annotations

import pytest
from spawn_tui.engine.plan.environ import is_reserved, variables_of


def names(*keys: str, taken: tuple[str, ...] = (), exists: tuple[str, ...] = ()) -> dict[str, str]:
    return dict(variables_of(keys, taken, exists.__contains__))


def test_each_parameter_has_its_own_variable_and_an_alias():
    assert names("learning_rate", "NAME", "optimizer.lr", "batch-size") == {
        "PARAM_learning_rate": "learning_rate", "LEARNING_RATE": "learning_rate",
        "PARAM_NAME": "NAME", "NAME": "NAME",
        "PARAM_optimizer_lr": "optimizer.lr", "OPTIMIZER_LR": "optimizer.lr",
        "PARAM_batch_size": "batch-size", "BATCH_SIZE": "batch-size",
    }  # fmt: skip


def test_the_tutorials_param_value():
    assert names("param_value") == {"PARAM_param_value": "param_value", "PARAM_VALUE": "param_value"}
    assert names("param_value", "VALUE")["PARAM_VALUE"] == "VALUE"


def test_a_key_that_needs_no_change_has_the_first_claim():
    assert names("a.b", "a_b") == {"PARAM_a_b": "a_b", "A_B": "a_b"}
    assert names("a.b", "a-b") == {"PARAM_a_b": "a.b", "A_B": "a.b"}


def test_keys_that_differ_in_case_only():
    assert names("lr", "LR") == {"PARAM_lr": "lr", "PARAM_LR": "LR", "LR": "lr"}


@pytest.mark.parametrize(
    "key",
    ["path", "home", "user", "shell", "ifs", "pwd", "env", "bash_env", "term", "lang", "lc_all", "ld_preload", "tmpdir",
     "dyld_insert_libraries", "pythonpath", "pythonstartup", "perl5lib", "rubyopt", "node_options", "git_dir", "ps4",
     "ssh_auth_sock", "aws_profile", "sweep_id", "sweep_anything", "slurm_job_id", "pbs_jobid", "cuda_visible_devices",
     "mfcl_sweep_run_id", "ld.preload", "prompt_command", "_"],
)  # fmt: skip
def test_reserved_names_are_never_an_alias(key: str):
    alias = key.replace(".", "_").upper()
    assert is_reserved(alias)
    assert alias not in names(key)
    assert f"PARAM_{key.replace('.', '_')}" in names(key)


def test_what_is_set_already_is_left_alone():
    assert names("lr", "bs", taken=("LR",), exists=("BS",)) == {"PARAM_lr": "lr", "PARAM_bs": "bs"}


def test_aliases_are_names_a_shell_keeps():
    assert names("1x", "ü") == {"PARAM_1x": "1x", "PARAM__": "ü"}
