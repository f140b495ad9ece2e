"""Nothing is written outside the attempt's directory, and nothing appears half."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from spawn_tui.engine.collect.landing import Landing, Part, PartBusy, UnsafePath, parts_of, target_inside


@pytest.mark.parametrize(
    "path", ["", "..", "../x", "a/../x", "/etc/passwd", "a//b", "./a", "a/.", "a/", "a\0b", "a/b/../../.."]
)
def test_a_path_that_leads_anywhere_else_is_refused(path: str):
    with pytest.raises(UnsafePath):
        parts_of(path)


@pytest.mark.parametrize("path", ["a", "-rf", "a b/c\nd", "...", "..a", "\udcff/'\"", "a/b/c"])
def test_odd_names_are_names(path: str):
    assert "/".join(parts_of(path)) == path


@pytest.mark.parametrize(
    ("path", "target", "kept"),
    [
        ("latest", "results/a", "results/a"),
        ("results/latest", "../stdout.log", "../stdout.log"),
        ("results/latest", "../../x", None),
        ("latest", "..", None),
        ("latest", "/etc/passwd", None),
        ("latest", "/there/attempts/t.1/results/a", "results/a"),
        ("a/b/latest", "/there/attempts/t.1/results/a", "../../results/a"),
        ("a/home", "/there/attempts/t.1", "../"),
        ("latest", "/there/attempts/t.10/x", None),
        ("latest", "/there/attempts/t.1/../x", None),
        ("latest", "results/../../x", None),
        ("latest", "d/../a", None),
        ("latest", "", None),
    ],
)
def test_links_stay_inside_or_are_not_made(path: str, target: str, kept: str | None):
    assert target_inside(path, target, "/there/attempts/t.1") == kept


def test_a_link_that_stands_in_the_way_is_not_followed(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    with Landing(tmp_path / "attempt") as landing:
        (tmp_path / "attempt" / "results").symlink_to(outside)
        (tmp_path / "attempt" / "log").symlink_to(outside / "log")
        with pytest.raises(OSError):
            landing.put("results/x", b"evil", 0)
        landing.put("log", b"good", 0)
        assert landing.sum_of("results/x", 4) is None
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "attempt" / "log").is_symlink()
    assert (tmp_path / "attempt" / "log").read_bytes() == b"good"


def test_a_file_has_its_time_and_mode_and_replaces_whole(tmp_path: Path):
    with Landing(tmp_path / "a") as landing:
        landing.put("results/run", b"1", 1_000_000, executable=True)
        landing.put("results/run", b"22", 2_000_000)
        landing.put("results/tool", b"1", 1_000_000, executable=True)
    stat = (tmp_path / "a/results/run").stat()
    assert (stat.st_size, stat.st_mtime, stat.st_mode & 0o777) == (2, 2_000_000, 0o600)
    assert (tmp_path / "a/results/tool").stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(tmp_path / "a")) == ["results"]


def test_a_part_goes_on_where_it_was_and_only_one_writes_it(tmp_path: Path):
    content = os.urandom(3 << 20)
    sha = hashlib.sha256(content).hexdigest()
    with Landing(tmp_path / "a") as landing:
        part = Part(landing, sha, len(content))
        part.write(content[: 1 << 20])
        with pytest.raises(PartBusy):
            Part(landing, sha, len(content))
        part.close()
        part = Part(landing, sha, len(content))
        assert part.offset == 1 << 20 and not part.is_right
        part.write(content[1 << 20 :])
        assert part.is_right
        part.land("results/big", 5, executable=False)
        part.close()
        assert landing.sum_of("results/big", len(content)) == sha
        assert os.listdir(landing.fd) == ["results"]


def test_what_dead_transfers_left_is_removed_and_nothing_else(tmp_path: Path):
    root = tmp_path / "a"
    with Landing(root) as landing:
        kept = [f".spawn-{os.getpid()}.tmp", ".spawn-notes", ".spawn-12.part", "x.tmp", ".spawn-1x.tmp"]
        gone = [".spawn-4000000.tmp", ".spawn-4000000.0af3.tmp", f".spawn-{'0' * 64}.part"]
        for name in [*kept, *gone]:
            (root / name).touch()
        busy = Part(landing, "1" * 64, 5)
        landing.tidy()
        assert sorted(os.listdir(root)) == sorted([*kept, f".spawn-{'1' * 64}.part"])
        busy.close()
