"""Which attempts have something to bring home, and from where."""

from __future__ import annotations

from pathlib import Path

import pytest
from spawn_tui.engine.collect.elsewhere import is_elsewhere
from spawn_tui.engine.collect.gather import far_sources
from spawn_tui.engine.collect.rules import CollectRules

from ..tui.build import make


@pytest.mark.parametrize(
    ("kind", "options", "far"),
    [
        ("local", {}, False),
        ("ssh", {"host": "far"}, True),
        ("slurm", {}, False),
        ("slurm", {"host": "login"}, True),
        ("pbs", {"partition": "x"}, False),
        ("unheard-of", {"host": "x"}, False),
    ],
)
def test_a_cluster_here_keeps_its_files_here(kind: str, options: dict[str, str], far: bool):
    assert is_elsewhere(kind, options) is far


def test_what_ended_elsewhere_is_brought_and_what_lives_is_not(tmp_path: Path):
    far = (("host", "far"),)
    made = make(
        tmp_path / "made",
        [{"lr": n} for n in range(6)],
        sources=[("far", "ssh", 9, far), ("local", "local", 4)],
    )
    made.start([0, 1, 2], "far")
    made.start([3], "local")
    made.launch([4], "far")
    made.end(0)
    made.end(1, "failed", kind="exit", exit_code=1)
    made.end(3)
    made.end(4, "failed", kind="launch_failed", message="refused")
    (source,) = far_sources(made.store.sweep)
    assert [(ref.task, ref.attempt, failed) for ref, failed in source.attempts] == [
        (0, 1, False),
        (1, 1, True),
    ]
    assert source.running == 1  # task 3 of 6
    (source,) = far_sources(made.store.sweep, {1, 3})
    assert [ref.task for ref, _ in source.attempts] == [1]


def test_rules_are_read_from_the_options():
    rules = CollectRules.of(
        {"collect_include": "*.json\nlogs/*", "collect_interval": "5", "collect_keep_remote": "no"}
    )
    assert rules == CollectRules(include=("*.json", "logs/*"), interval=5.0, keep_remote=False)
    assert rules.stays("results/a.json", 10**12) == "" and rules.stays("logs/x", 1) == ""
    assert rules.stays("results/model.pt", 1) == "not among what shall come home"
    assert rules.stays("stdout.log", 10**12) == ""
