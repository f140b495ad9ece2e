"""Sending the project: everything arrives as it is, nobody else's work is lost, and what fails changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from spawn_tui.engine.project import pack, rsync
from spawn_tui.engine.project.compare import compare
from spawn_tui.engine.project.push import Pushed, PushFailed, push
from spawn_tui.engine.remote.host import HostAway, HostRefused, LocalHost
from spawn_tui.engine.remote.ssh_host import SshHost, SshTarget

from tests.parts.need import missing, need

from .conftest import PLAIN_TOOLS, Far, _far
from .field import Scripts, commit, git, leftovers, project, tree, write, write_nasty

SOURCES: dict[str, str | bytes] = {
    "train.py": "print()",
    "conf/a.yaml": "a: 1",
    "data.bin": bytes(range(256)) * 4000,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write(tmp_path / "home", SOURCES)


def send(far: Far, home: Path, there: str | Path = "~/copy", **how: bool) -> Pushed:
    return push(far.host, project(home), str(there), options=far.options, **how)


@pytest.mark.parametrize(("machine", "way"), [("far", "rsync"), ("plain_far", "tar")])
def test_everything_arrives_as_it_is(machine: str, way: str, request: pytest.FixtureRequest, home: Path):
    far: Far = request.getfixturevalue(machine)
    write_nasty(home)
    (home / "run.sh").write_text("#!/bin/sh\n")
    (home / "run.sh").chmod(0o755)
    (home / "link").symlink_to("run.sh")
    (home / "dangling").symlink_to("/nowhere")
    done = send(far, home, "~/deep/er/copy")
    there = far.home / "deep/er/copy"
    assert tree(there) == tree(home)
    assert done.way == way and not done.conflicts and set(done.send) == set(project(home).entries)
    assert done.there == str(there) and 0 < done.sent < done.size
    assert leftovers(there) == []
    assert (there / "train.py").owner() == far.server.user
    record = far.home / ".spawn/sync"
    assert [path.name for path in record.glob("*/*")] == ["files"]
    assert record.stat().st_mode & 0o077 == 0
    assert compare(far.host, project(home), str(there)).in_sync
    again = send(far, home, there)
    assert (again.send, again.way) == ((), "")


@pytest.mark.parametrize("machine", ["far", "plain_far"])
def test_only_what_differs_goes_and_what_vanished_goes_there_too(
    machine: str, request: pytest.FixtureRequest, home: Path
):
    far: Far = request.getfixturevalue(machine)
    send(far, home)
    there = far.own(write(far.home / "copy", {"results/a.csv": "mine"}))
    write(home, {"train.py": "print(2)", "conf/b.yaml": "b: 1"})
    (home / "data.bin").unlink()
    trial = send(far, home, dry_run=True)
    assert (trial.send, trial.delete, trial.way) == (("conf/b.yaml", "train.py"), ("data.bin",), "")
    assert (there / "data.bin").exists() and not (there / "conf/b.yaml").exists()
    done = send(far, home)
    assert (done.send, done.delete) == (trial.send, trial.delete)
    assert tree(there) == {**tree(home), "results/a.csv": (b"mine", False)}
    assert compare(far.host, project(home), str(there)).in_sync


def test_a_big_file_that_changed_a_little_travels_little(far: Far, home: Path):
    write(home, {"weights": os.urandom(3_000_000)})
    first = send(far, home)
    with (home / "weights").open("r+b") as file:
        file.seek(1_500_000)
        file.write(b"changed here")
    second = send(far, home)
    assert first.sent > 3_000_000 and second.way == "rsync" and second.sent < 300_000
    assert tree(far.home / "copy") == tree(home)


def test_bits_and_kinds_change_too(far: Far, home: Path):
    send(far, home)
    (home / "train.py").chmod(0o755)
    (home / "data.bin").unlink()
    (home / "data.bin").symlink_to("train.py")
    assert set(send(far, home).send) == {"train.py", "data.bin"}
    (home / "train.py").chmod(0o644)
    (home / "data.bin").unlink()
    (home / "data.bin").write_bytes(b"a file again")
    send(far, home)
    assert tree(far.home / "copy") == tree(home)


# --- other people's work ---------------------------------------------------------------------------------------------


def test_what_we_did_not_put_there_is_a_conflict(far: Far, home: Path):
    there = far.copy(home)
    write(there, {"train.py": "somebody's work", "data.bin": b"\0theirs\xff"})
    (there / "conf/a.yaml").unlink()
    before = tree(there)
    refused = send(far, home)
    assert refused.refused and {(c.name, c.why) for c in refused.conflicts} == {
        ("train.py", "not put there by us"), ("data.bin", "not put there by us"),
    }  # fmt: skip
    assert tree(there) == before
    assert send(far, home, force=True, dry_run=True).refused is False
    assert tree(there) == before
    done = send(far, home, force=True)
    assert tree(there) == tree(home)
    kept = far.home / done.kept.removeprefix("~/")
    assert tree(kept) == {"train.py": (b"somebody's work", False), "data.bin": (b"\0theirs\xff", False)}
    assert kept.stat().st_mode & 0o077 == 0


def test_what_was_changed_since_we_sent_it_is_a_conflict(far: Far, home: Path):
    send(far, home)
    there = far.home / "copy"
    write(there, {"train.py": "edited there"})
    assert send(far, home).refused
    write(home, {"conf/a.yaml": "a: 2"})
    (conflict,) = send(far, home).conflicts
    assert (conflict.name, conflict.why) == ("train.py", "changed there since it was sent")
    assert (there / "conf/a.yaml").read_text() == "a: 1"
    # Edited to the same here: nothing is in the way any more.
    write(home, {"train.py": "edited there"})
    assert not send(far, home).refused
    assert tree(there) == tree(home)


def test_a_file_of_theirs_that_we_deleted_stays(far: Far, home: Path):
    send(far, home)
    there = far.home / "copy"
    write(there, {"train.py": "edited there"})
    (home / "train.py").unlink()
    refused = send(far, home)
    assert [(c.name, c.why) for c in refused.conflicts] == [("train.py", "deleted here, changed there")]
    assert (there / "train.py").read_text() == "edited there"
    done = send(far, home, force=True)
    assert not (there / "train.py").exists()
    assert (far.home / done.kept.removeprefix("~/") / "train.py").read_text() == "edited there"


def test_what_was_alike_before_us_is_never_deleted(far: Far, home: Path):
    there = far.copy(home)
    write(home, {"new.py": ""})
    send(far, home)
    (home / "train.py").unlink()
    (home / "new.py").unlink()
    assert send(far, home).delete == ("new.py",)
    assert (there / "train.py").exists()


def test_what_is_excluded_now_is_not_gone(far: Far, home: Path):
    send(far, home)
    done = push(far.host, project(home, exclude=("data.bin",)), "~/copy", options=far.options)
    assert not done.delete and (far.home / "copy/data.bin").exists()


def test_a_clone_there_may_be_brought_forward(far: Far, home: Path):
    """What is as the commit at home has it is replaced without force: git keeps it."""
    commit(home)
    there = far.home / "copy"
    git(home.parent, "clone", "-q", str(home), str(there))
    far.own(there)
    write(home, {"train.py": "print(2)"})
    done = send(far, home)
    assert done.send == ("train.py",) and not done.conflicts
    write(home, {"train.py": "print(3)", "conf/a.yaml": "a: 3"})
    write(there, {"conf/a.yaml": "theirs"})
    assert [conflict.name for conflict in send(far, home).conflicts] == ["conf/a.yaml"]


def test_the_same_commit_sends_nothing(far: Far, home: Path):
    commit(home)
    git(home.parent, "clone", "-q", str(home), str(far.home / "copy"))
    far.own(far.home / "copy")
    done = send(far, home)
    assert done.send == () and done.notes == ("the same commit, clean",)


def test_folders_and_links_in_the_way_are_never_forced(far: Far, home: Path):
    there = far.copy(home)
    shutil.rmtree(there / "conf")
    elsewhere = far.own(write(far.home / "elsewhere", {"a.yaml": "precious"}))
    (there / "conf").symlink_to(elsewhere)
    (there / "train.py").unlink()
    (there / "train.py").mkdir()
    for force in (False, True):
        refused = send(far, home, force=force)
        assert refused.refused and {conflict.name for conflict in refused.conflicts} == {
            "conf/a.yaml",
            "train.py",
        }
        assert not any(conflict.forcible for conflict in refused.conflicts)
    assert (elsewhere / "a.yaml").read_text() == "precious" and list((there / "train.py").iterdir()) == []


def test_a_link_there_is_replaced_not_followed(far: Far, home: Path):
    there = far.copy(home)
    precious = far.own(write(far.home, {"precious": "theirs"}) / "precious")
    (there / "train.py").unlink()
    (there / "train.py").symlink_to(precious)
    assert send(far, home).refused
    done = send(far, home, force=True)
    assert precious.read_text() == "theirs" and (there / "train.py").read_text() == "print()"
    assert (far.home / done.kept.removeprefix("~/") / "train.py").readlink() == precious


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(far: Far) -> Iterator[Callable[..., Path]]:
    """Mounts a small disk into the user's home."""
    mounted: list[Path] = []

    def mount(*options: str) -> Path:
        folder = far.home / "small"
        folder.mkdir()
        account = far.server.account
        assert account is not None
        text = ",".join(["size=1m", f"uid={account.uid}", *options])
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", text, "tmpfs", folder], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip(f"no disk can be mounted here: {made.stderr.decode()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("way", ["rsync", "tar"])
def test_a_full_disk_there_changes_nothing(
    far: Far, home: Path, small_disk, way: str, monkeypatch: pytest.MonkeyPatch
):
    if way == "tar":
        monkeypatch.setattr(rsync, "unusable_here", lambda: "not now")
    disk = small_disk()
    write(home, {"data.bin": b"small"})
    send(far, home, disk / "copy")
    before = tree(disk / "copy")
    write(home, {"train.py": "print(2)", "zz.bin": os.urandom(2_000_000)})
    with pytest.raises(
        PushFailed, match=r"No space left on device|kB are free there; 2.0 MB were|\(0 kB are free there\)"
    ):
        send(far, home, disk / "copy")
    assert tree(disk / "copy") == before
    assert leftovers(disk / "copy") == []
    # Room was made: it goes on where it was, and what it had put there is still known as its own.
    write(home, {"zz.bin": b"now small"})
    assert not send(far, home, disk / "copy").conflicts
    assert tree(disk / "copy") == tree(home)


def test_a_read_only_target(far: Far, home: Path, small_disk):
    disk = small_disk()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(PushFailed, match=r"small/copy cannot be written there: .*Read-only file system"):
        send(far, home, disk / "copy")
    locked = far.home / "locked"
    locked.mkdir()  # root's
    with pytest.raises(PushFailed, match=r"cannot be written there: .*Permission denied"):
        send(far, home, locked / "copy")
    shutil.copytree(home, locked, dirs_exist_ok=True)
    write(home, {"new.py": ""})
    with pytest.raises(PushFailed, match=r"cannot be written there: .*Permission denied"):
        send(far, home, locked)
    with pytest.raises(HostRefused, match="no folder"):
        far.own(write(far.home, {"file": ""}) / "file")
        send(far, home, far.home / "file")


def test_a_file_that_changes_while_it_is_sent(far: Far, home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rsync, "unusable_here", lambda: "not now")
    send(far, home)
    before = tree(far.home / "copy")
    write(home, {"train.py": "print(2)", "zz.py": "1"})
    seen = project(home)
    assert seen.entries
    write(home, {"zz.py": "2"})
    with pytest.raises(PushFailed, match=r"nothing was changed there: zz.py was changed while it was sent"):
        push(far.host, seen, "~/copy", options=far.options)
    assert tree(far.home / "copy") == before and leftovers(far.home / "copy") == []
    seen = project(home)
    assert seen.entries
    (home / "zz.py").unlink()
    with pytest.raises(PushFailed, match=r"zz.py cannot be read: No such file"):
        push(far.host, seen, "~/copy", options=far.options)
    assert tree(far.home / "copy") == before
    assert not send(far, home).conflicts
    assert tree(far.home / "copy") == tree(home)


def test_a_tar_that_was_cut_off_is_not_installed(near: LocalHost, home: Path, tmp_path: Path, monkeypatch):
    """At the border of two members, where programs that unpack do not notice."""
    (tmp_path / "copy").mkdir()
    monkeypatch.setattr(pack, "COMPLETE", "another")
    with pytest.raises(PushFailed, match="cut off on their way"):
        push(near, project(home), str(tmp_path / "copy"))
    assert tree(tmp_path / "copy") == {}


def test_the_connection_breaks_while_files_are_sent(far: Far, home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rsync, "unusable_here", lambda: "not now")
    write(home, {"big.bin": os.urandom(8_000_000)})
    broken: list[int] = []

    def progress(done: int, total: int) -> None:
        if done > total // 2 and not broken:
            broken.append(done)
            far.server.drop()

    with pytest.raises(HostAway, match="connection lost"):
        push(far.host, project(home), "~/copy", options=far.options, progress=progress)
    there = far.home / "copy"
    assert broken and [name for name in tree(there) if not name.startswith(".spawn-sync-")] == []
    assert not send(far, home).conflicts
    assert {name: what for name, what in tree(there).items() if not name.startswith(".spawn")} == tree(home)


def test_somebody_writes_there_at_the_same_time(near: LocalHost, home: Path, tmp_path: Path):
    """A program there that puts its own file over ours right after: told, not passed over."""
    host = Scripts(near)
    host.before.append((4, lambda: write(tmp_path / "copy", {"train.py": "other"})))
    with pytest.raises(PushFailed, match=r"after the transfer train.py in .*/copy still differs"):
        push(host, project(home), str(tmp_path / "copy"))


def test_a_file_that_changed_there_in_between_is_not_deleted(near: LocalHost, home: Path, tmp_path: Path):
    push(near, project(home), str(tmp_path / "copy"))
    (home / "train.py").unlink()
    host = Scripts(near)
    host.before.append((4, lambda: write(tmp_path / "copy", {"train.py": "other"})))
    with pytest.raises(PushFailed, match=r"after the transfer train.py .* still differs"):
        push(host, project(home), str(tmp_path / "copy"))
    assert (tmp_path / "copy/train.py").read_text() == "other"


def test_four_round_trips(near: LocalHost, home: Path, tmp_path: Path):
    push(near, project(home), str(tmp_path / "copy"))
    assert near.usage.round_trips == 4


def test_old_leftovers_are_cleared_and_new_ones_left(near: LocalHost, home: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    for name in (".spawn-sync-old", ".spawn-sync-new", ".spawn-other"):
        write(copy / name, {"x": ""})
    os.utime(copy / ".spawn-sync-old", (1e9, 1e9))
    os.utime(copy / ".spawn-other", (1e9, 1e9))
    push(near, project(home), str(copy))
    assert sorted(path.name for path in copy.glob(".spawn-*")) == [".spawn-other", ".spawn-sync-new"]


# --- rsync or not ----------------------------------------------------------------------------------------------------


def test_noise_of_start_up_files_turns_rsync_into_a_tar(
    new_sshd, home: Path, monkeypatch: pytest.MonkeyPatch
):
    far = _far(new_sshd(shell="bash"), monkeypatch)
    far.server.account.write(".bashrc", "echo welcome to this machine\n")
    done = send(far, home)
    assert (
        done.way == "tar"
        and "rsync does not get through" in done.notes[0]
        and "tar was sent" in done.notes[0]
    )
    assert tree(far.home / "copy") == tree(home)
    far.host.close()


def test_rsync_never_asks_nor_trusts_a_new_key(new_sshd, home: Path, monkeypatch: pytest.MonkeyPatch):
    far = _far(new_sshd(known=False), monkeypatch)
    with pytest.raises(rsync.RsyncUnusable, match="No ED25519 host key is known"):
        rsync.send(home, ["train.py"], far.options, str(far.home), "stage")
    far.host.close()


def test_rsync_goes_the_way_of_the_options(
    new_sshd, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """An address, a port, a user and a key in a folder with a space, and nothing of it in the config file."""
    far = _far(new_sshd(), monkeypatch)
    server = far.server
    far.server.home.config.write_text("")
    key = tmp_path / "my keys" / "id"
    key.parent.mkdir()
    shutil.copy(server.home.key, key)
    server.home.key.unlink()
    options = {"host": "127.0.0.1", "port": str(server.port), "user": server.user, "ssh_key": str(key)}
    host = SshHost(SshTarget("127.0.0.1", user=server.user, port=server.port, key=str(key)))
    done = push(host, project(home), '~/it\'s a "copy"', options=options)
    assert (done.way, done.notes) == ("rsync", ())
    assert tree(far.home / 'it\'s a "copy"') == tree(home)
    host.close()


def test_without_rsync_here_a_tar_goes(far: Far, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for tool in ("git",):
        where = shutil.which(tool)
        assert where is not None
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / tool).symlink_to(where)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = send(far, home)
    assert done.way == "tar" and done.notes == ("there is no rsync and no ssh here; a tar was sent instead",)


# --- what is there of programs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["busybox", "openssl", "no gzip"])
def test_machines_with_other_programs(kind: str, home: Path, tmp_path: Path):
    tools = tmp_path / "bin"
    tools.mkdir()
    if kind == "busybox":
        need(missing({"busybox": "busybox"}))
        subprocess.run(["busybox", "--install", "-s", str(tools)], check=True)
    else:
        without = {"openssl": "sha256sum", "no gzip": "gzip"}[kind]
        for tool in (*PLAIN_TOOLS, "openssl", "head"):
            where = shutil.which(tool)
            if where is not None and tool != without:
                (tools / tool).symlink_to(where)
    (tmp_path / "far-home").mkdir()
    host = LocalHost(kind, environment={"PATH": str(tools), "HOME": str(tmp_path / "far-home")})
    write_nasty(home)
    (home / "link").symlink_to("train.py")
    push(host, project(home), "~/copy")
    assert tree(tmp_path / "far-home/copy") == tree(home)
    write(home, {"train.py": "print(2)"})
    (home / "data.bin").unlink()
    (home / "link").unlink()
    done = push(host, project(home), "~/copy")
    assert (done.send, done.delete, done.conflicts) == (("train.py",), ("data.bin", "link"), ())
    assert tree(tmp_path / "far-home/copy") == tree(home)
