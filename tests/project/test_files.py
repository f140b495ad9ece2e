"""Which files are the project, and what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from pathlib import Path

import pytest
from spawn_tui.engine.project import manifest
from spawn_tui.engine.project.files import ProjectError

from .field import NASTY, commit, git, names, project, write, write_nasty

SOURCES = {"train.py": "print()", "conf/a.yaml": "a: 1", "data.bin": bytes(range(256))}
NOISE = {
    "x.log": "", "build/deep/o.o": "", "__pycache__/a.pyc": "", "pkg/__pycache__/b.pyc": "", ".venv/bin/python": "",
    "sweeps/outputs/s-1/sweep.json": "{}",
}  # fmt: skip
IGNORE = {".gitignore": "*.log\n/build/\n"}


@pytest.mark.parametrize("with_git", [True, False])
def test_all_that_is_not_ignored_is_the_project(tmp_path: Path, with_git: bool):
    write(tmp_path, {**SOURCES, **IGNORE, "sweeps/example.yaml": "params: []"})
    if with_git:
        commit(tmp_path)
    write(tmp_path, {**NOISE, "new.py": "not yet committed"})
    assert names(project(tmp_path)) == sorted([*SOURCES, ".gitignore", "new.py", "sweeps/example.yaml"])


@pytest.mark.parametrize("with_git", [True, False])
def test_excludes_and_another_outputs_folder(tmp_path: Path, with_git: bool):
    write(
        tmp_path,
        {**SOURCES, "runs/s-1/sweep.json": "{}", "big/w.ckpt": "", "big/notes.md": "", "big/deep/x.ckpt": ""},
    )
    if with_git:
        commit(tmp_path)
    found = project(tmp_path, exclude=("*.ckpt", "/conf/"), outputs=tmp_path / "runs")
    assert names(found) == ["big/notes.md", "data.bin", "train.py"]


def test_a_gitignore_further_down_has_the_last_word(tmp_path: Path):
    write(tmp_path, {
        ".gitignore": "*.log\n/only-here\n", "a.log": "", "only-here": "", "sub/only-here": "",
        "sub/.gitignore": "!keep.log\n*.tmp\n",
        "sub/keep.log": "", "sub/other.log": "", "sub/x.tmp": "", "x.tmp": "", "sub/deep/keep.log": "",
    })  # fmt: skip
    by_walk = names(project(tmp_path))
    git(tmp_path, "init", "-q")
    by_git = names(project(tmp_path))
    assert by_walk == by_git
    assert "sub/keep.log" in by_git and "sub/deep/keep.log" in by_git and "sub/only-here" in by_git
    assert not {"a.log", "only-here", "sub/other.log", "sub/x.tmp"} & set(by_git)


def test_a_folder_of_a_repository_is_a_project(tmp_path: Path):
    write(tmp_path, {"outside.py": "", "inner/train.py": "", "inner/lib/x.py": ""})
    commit(tmp_path)
    assert names(project(tmp_path / "inner")) == ["lib/x.py", "train.py"]


def test_repositories_inside_are_part_of_it(tmp_path: Path):
    write(tmp_path / "library", {"core.py": "1"})
    commit(tmp_path / "library")
    whole = write(tmp_path / "project", {"train.py": "", "loose/own.py": ""})
    commit(whole)
    git(whole, "submodule", "add", "-q", str(tmp_path / "library"), "vendored")
    git(whole, "commit", "-q", "-m", "vendored")
    write(whole / "loose", {})
    git(whole / "loose", "init", "-q")
    assert names(project(whole)) == [".gitmodules", "loose/own.py", "train.py", "vendored/core.py"]


def test_a_folder_that_a_repository_ignores_is_walked(tmp_path: Path):
    write(
        tmp_path,
        {
            ".gitignore": "/scratch/\n",
            "scratch/train.py": "",
            "scratch/x.log": "",
            "scratch/.gitignore": "*.log\n",
        },
    )
    commit(tmp_path)
    assert names(project(tmp_path / "scratch")) == [".gitignore", "train.py"]


def test_odd_names_links_and_bits(tmp_path: Path):
    write_nasty(tmp_path)
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("run.sh")
    (tmp_path / "dangling").symlink_to("/nowhere/at/all")
    (tmp_path / "folder-link").symlink_to("odd dir\n")
    by_walk = dict(project(tmp_path).entries)
    git(tmp_path, "init", "-q")
    assert dict(project(tmp_path).entries) == by_walk
    assert {os.fsencode(name) for name in by_walk} >= set(NASTY)
    assert len(by_walk) == 2 * len(NASTY) + 4
    assert by_walk["run.sh"].executable and not by_walk["-dash"].executable
    assert by_walk["dangling"].link and by_walk["folder-link"].link
    assert by_walk["link"].digest == hashlib.sha256(b"run.sh\n").hexdigest()


def test_deleted_files_pipes_and_sockets_are_left_out(tmp_path: Path):
    write(tmp_path, {"a.py": "", "b.py": ""})
    commit(tmp_path)
    (tmp_path / "b.py").unlink()
    (tmp_path / "c.py").symlink_to("a.py")
    found = project(tmp_path)
    assert names(found) == ["a.py", "c.py"]
    bare = write(tmp_path / "bare", {"a.py": ""})
    os.mkfifo(bare / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bare / "s"))
        found = project(bare)
        assert names(found) == ["a.py"]


def test_without_git_on_the_path_it_is_walked_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, {**SOURCES, **IGNORE, **NOISE})
    commit(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    found = project(tmp_path)
    assert names(found) == sorted([*SOURCES, ".gitignore"])
    assert "git is not installed" in found.notes[0]
    assert found.git is None


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Root can read everything, so the refusal is given where the system would give it."""
    write(tmp_path, SOURCES)
    real = manifest._digest

    def refuse(path: Path) -> str:
        if path.name == "data.bin":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(manifest, "_digest", refuse)
    with pytest.raises(ProjectError, match=r"data.bin \(Permission denied\) cannot be read; .*sync.exclude"):
        assert project(tmp_path).entries
    assert names(project(tmp_path, exclude=("data.bin",))) == ["conf/a.yaml", "train.py"]


def test_a_missing_folder_is_said(tmp_path: Path):
    with pytest.raises(ProjectError, match="is not there"):
        assert project(tmp_path / "gone").entries


def _aged(folder: Path) -> None:
    """As if written long ago: what is new is read again, for it may change within the same tick of the clock."""
    for path in folder.rglob("*"):
        os.utime(path, (1e9, 1e9), follow_symlinks=False)


def test_contents_are_read_once(tmp_path: Path, spawn_home: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, SOURCES)
    write_nasty(tmp_path)
    _aged(tmp_path)
    # The change of the inode itself cannot be put back, so the time it is told from moves on.
    monkeypatch.setattr(manifest, "_RACY", -(10**12))
    first = dict(project(tmp_path).entries)
    (cache,) = (spawn_home / "contents").iterdir()
    assert cache.stat().st_mode & 0o777 == 0o600
    read: list[Path] = []
    real = manifest._digest
    monkeypatch.setattr(manifest, "_digest", lambda path: read.append(path) or real(path))
    assert dict(project(tmp_path).entries) == first
    assert read == []
    write(tmp_path, {"train.py": "PRINT()"})  # the same size
    os.utime(tmp_path / "train.py", (1e9, 1e9))  # and the same time
    assert project(tmp_path).entries["train.py"] != first["train.py"]
    assert [path.name for path in read] == ["train.py"]


def test_what_was_touched_a_moment_ago_is_not_remembered(tmp_path: Path, spawn_home: Path):
    write(tmp_path, SOURCES)
    assert project(tmp_path).entries
    for cache in (spawn_home / "contents").glob("*"):
        assert json.loads(cache.read_text())["files"] == {}


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"format": 1}', '{"format":1,"files":{"train.py":[1]}}', '{"format":9}']
)
def test_a_damaged_memory_is_made_anew(
    tmp_path: Path, spawn_home: Path, monkeypatch: pytest.MonkeyPatch, damage: str
):
    monkeypatch.setattr(manifest, "_RACY", -(10**12))
    folder = write(tmp_path / "p", SOURCES)
    first = dict(project(folder).entries)
    (cache,) = (spawn_home / "contents").iterdir()
    cache.write_text(damage)
    assert dict(project(folder).entries) == first
    assert set(json.loads(cache.read_text())["files"]) == set(SOURCES)


def test_a_file_that_does_not_hold_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, SOURCES)
    real, times = manifest._digest, []

    def grow(path: Path) -> str:
        digest = real(path)
        if path.name == "data.bin" and len(times) < limit:
            times.append(1)
            with path.open("ab") as file:
                file.write(b"more")
        return digest

    monkeypatch.setattr(manifest, "_digest", grow)
    limit = 2
    found = project(tmp_path).entries["data.bin"]
    assert found.digest == hashlib.sha256((tmp_path / "data.bin").read_bytes()).hexdigest()
    limit = 100
    with pytest.raises(ProjectError, match=r"data.bin changes while it is read"):
        assert project(tmp_path).entries


def test_a_big_project_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, {"small": b"x" * 10, "weights.ckpt": b"x" * 3000, "more.ckpt": b"x" * 2500})
    assert project(tmp_path).notes == []
    monkeypatch.setattr(manifest, "LARGE_FILE", 2600)
    (note,) = project(tmp_path).notes
    assert "weights.ckpt (3.0 kB)" in note and "more.ckpt" not in note and "sync: {exclude:" in note
    monkeypatch.setattr(manifest, "LARGE_FILE", 10**9)
    monkeypatch.setattr(manifest, "LARGE_TOTAL", 5000)
    (note,) = project(tmp_path).notes
    assert "5.5 kB in 3 files" in note and "more.ckpt" in note
