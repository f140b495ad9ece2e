"""`spawn-tui sync`, as a user types it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.parts.need import missing, need
from tests.parts.sshd import Sshd
from tests.parts.users import no_users

from ...project.field import tree, write
from .run import Done
from .run import spawn_tui as run

SOURCES: dict[str, str | bytes] = {
    "train.py": "print()",
    "conf/a.yaml": "a: 1",
    "data.bin": bytes(range(256)) * 40,
}


@pytest.fixture
def servers(new_sshd, monkeypatch: pytest.MonkeyPatch) -> tuple[Sshd, Sshd]:
    """Two machines under one home at this end: server1 and server2."""
    need(no_users() or missing({"rsync": "rsync"}))
    first = new_sshd()
    second = new_sshd(alias="server2", home=first.home)
    monkeypatch.setenv("HOME", str(first.home.path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return first, second


@pytest.fixture
def home(tmp_path: Path) -> Path:
    config = "sources:\n" + "".join(
        f"  {name}: {{type: ssh, host: {host}, project_dir: ~/copy}}\n"
        for name, host in (("one", "server1"), ("two", "server2"))
    )
    return write(
        tmp_path / "home",
        {**SOURCES, "spawn.yaml": config + "sync: {exclude: ['*.ckpt']}\n", "w.ckpt": "big"},
    )


def sync(*arguments: str, cwd: Path) -> Done:
    return run("sync", *arguments, cwd=cwd)


def copy_of(server: Sshd) -> Path:
    assert server.account is not None
    return server.account.home / "copy"


def test_all_machines_of_the_configuration(servers: tuple[Sshd, Sshd], home: Path):
    trial = sync("--dry-run", "--json", cwd=home)
    assert trial.status == 0, trial.err
    assert [(entry["target"], entry["state"]) for entry in trial.objects] == [
        ("one", "would send"),
        ("two", "would send"),
    ]
    assert trial.objects[0]["send"] == ["conf/a.yaml", "data.bin", "train.py"]
    assert not copy_of(servers[0]).exists()

    done = sync(cwd=home)
    assert done.status == 0, done.err
    header, one, two = [line.split("\t") for line in done.out.splitlines()]
    assert header[:4] == ["target", "state", "files", "deleted"]
    assert (one[:4], two[:4]) == (["one", "sent", "3", "0"], ["two", "sent", "3", "0"])
    expected = {name: what for name, what in tree(home).items() if name not in ("w.ckpt", "spawn.yaml")}
    assert tree(copy_of(servers[0])) == tree(copy_of(servers[1])) == expected
    assert [entry["state"] for entry in sync("--json", cwd=home).objects] == ["in sync", "in sync"]


def test_conflicts_are_listed_and_force_keeps_them(servers: tuple[Sshd, Sshd], home: Path):
    there = copy_of(servers[0])
    write(there, {"train.py": "somebody's"})
    os.chown(there, servers[0].account.uid, servers[0].account.gid)
    refused = sync("--target", "one", cwd=home)
    assert refused.status == 1
    assert refused.out.splitlines()[1].split("\t")[:2] == ["one", "conflict"]
    assert "in the way: train.py (not put there by us)" in refused.err
    assert "nothing was sent" in refused.err and "spawn-tui sync --target ssh:one --force" in refused.err
    assert tree(there) == {"train.py": (b"somebody's", False)}
    forced = sync("--target", "ssh:one", "--force", "--json", cwd=home)
    assert forced.status == 0, forced.err
    (entry,) = forced.objects
    assert entry["state"] == "sent" and entry["conflicts"] == [
        {"name": "train.py", "why": "not put there by us"}
    ]
    assert (there / "train.py").read_text() == "print()"
    assert (
        servers[0].account.home / entry["kept"].removeprefix("~/") / "train.py"
    ).read_text() == "somebody's"


def test_one_machine_that_is_away_does_not_keep_the_other(servers: tuple[Sshd, Sshd], home: Path):
    servers[1].kill()
    done = sync("--json", cwd=home)
    assert done.status == 1
    one, two = done.objects
    assert one["state"] == "sent"
    assert two["state"] == "failed" and "server2" in two["error"]
    told = sync(cwd=home)
    assert "two\tfailed" in told.out and "spawn-tui: two: server2" in told.err


def test_names_that_are_no_text(servers: tuple[Sshd, Sshd], home: Path):
    Path(os.fsdecode(os.fsencode(home) + b"/\xff\n.bin")).write_bytes(b"x")
    done = sync("--target", "one", "--json", "--dry-run", cwd=home)
    assert done.status == 0, done.err
    assert json.dumps(done.objects[0]["send"][-1]) == json.dumps("\\udcff\\n.bin")
    assert sync("--target", "one", "--dry-run", cwd=home).status == 0
    assert sync("--target", "one", cwd=home).status == 0
    assert tree(copy_of(servers[0])).keys() == tree(home).keys() - {"w.ckpt", "spawn.yaml"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "nonsense"], "is not a source"),
        (["--target", "local"], "local is this very machine"),
        (["--nonsense"], "No such option"),
    ],
)
def test_bad_usage(arguments: list[str], words: str, home: Path):
    done = sync(*arguments, cwd=home)
    assert done.status == 2 and words in done.err and "Traceback" not in done.err


def test_nothing_to_send_it_to(tmp_path: Path):
    done = sync(cwd=tmp_path)
    assert done.status == 2 and "names a machine" in done.err and "--target ssh:host" in done.err


def test_what_is_big_is_warned_of(servers: tuple[Sshd, Sshd], home: Path):
    with (home / "video.mp4").open("wb") as file:
        file.truncate(51 << 20)
    done = sync("--target", "one", "--dry-run", cwd=home)
    assert "video.mp4 (53.5 MB)" in done.err and "exclude" in done.err
