"""What ended attempts wrote elsewhere comes home: whole, cheaply, whatever happens meanwhile. On this machine."""

from __future__ import annotations

import os
import random
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spawn_tui.engine.collect import bring
from spawn_tui.engine.collect import collector as collecting
from spawn_tui.engine.collect.collector import Collector
from spawn_tui.engine.collect.rules import CollectRules
from spawn_tui.engine.remote.host import Answer, LocalHost

from ..parts.need import need
from ..parts.waiting import wait_until
from .field import QUICK, Field, tree
from .hosts import Cut, Wrapped, packed

NASTY: list[bytes] = [
    b"a b", b" lead", b"trail ", b"-rf", b"--", b"new\nline", b"end\n", b"\n", b"tab\t", b"'q'", b'"q"', b"$(id)",
    b"`id`", b"back\\slash", b"back\\nslash", b"\\", b"*", b"?",
    b"[a]", b"{x}", b"~", b"#c", b"a;b", b"a&b", b"a|b", b"<", b">",
    b"\xff\xfe", b"caf\xc3\xa9", b"\xe2\x82\xac", b"caf\xe9", b".hidden", b"...", b"cr\r", b"\x01", b"\x1b[31m", b"a=b",
    b"100%", b"%s", b"!", b"(", b"x" * 255, b"deep/er/and/deeper/still", b"F 3", b"end", b"spawn-agent 1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch):
    """Back-off and settling as short as a test likes them."""
    monkeypatch.setattr(collecting, "SETTLE", 0.02)
    monkeypatch.setattr(collecting, "FIRST_PAUSE", 0.02)


@pytest.fixture
def field(tmp_path: Path) -> Field:
    return Field(tmp_path)


def test_two_hundred_files_with_nasty_names_arrive_byte_for_byte(field: Field):
    dice = random.Random(3)
    files = {b"results/" + name: dice.randbytes(dice.randrange(5000)) for name in NASTY}
    files |= {f"results/{number}/out.bin": dice.randbytes(dice.randrange(20000)) for number in range(160)}
    there = field.attempt(1, files)
    (there / "results" / "empty").mkdir()
    (there / "results" / "run.sh").write_text("#!/bin/sh\n")
    (there / "results" / "run.sh").chmod(0o700)
    (told,) = field.bring(1)
    assert (told.problem, told.notes) == ("", ())
    assert tree(field.home(1)) == tree(there)
    assert told.files == len(files) + 5
    assert told.size == sum(map(len, files.values())) + len("out 1\n") + len(
        "1:2:boot:host\n0 - end\n#!/bin/sh\n"
    )
    assert (field.home(1) / "results/run.sh").stat().st_mode & 0o777 == 0o700
    assert not (field.home(1) / "start.sh").exists()
    mtime = (there / "stdout.log").stat().st_mtime
    assert (field.home(1) / "stdout.log").stat().st_mtime == int(mtime)


def test_what_is_home_is_not_fetched_again_and_what_was_tampered_with_is(field: Field):
    there = field.attempt(
        1, {"results/a": b"first", "results/b": b"second", "results/big": os.urandom(5 << 20)}
    )
    field.bring(1)
    inode = (field.home(1) / "results/b").stat().st_ino
    trips = field.host.usage.round_trips
    (told,) = field.bring(1)
    assert (told.moved, told.problem) == (0, "")
    assert field.host.usage.round_trips - trips == 2  # the list, and the sums of what is big
    (field.home(1) / "results/a").write_bytes(b"FIRST")
    with (field.home(1) / "results/big").open("r+b") as big:
        big.write(b"oops")
    (told,) = field.bring(1)
    assert told.moved == 5 + (5 << 20)
    assert tree(field.home(1)) == tree(there)
    assert (field.home(1) / "results/b").stat().st_ino == inode


def test_a_hundred_attempts_cost_a_list_and_a_pack(field: Field):
    for number in range(1, 101):
        field.attempt(number)
    collector = field.collector(replace(QUICK, interval=0.5))
    trips = field.host.usage.round_trips
    field.add(collector, *range(1, 101))
    field.wait(collector)
    collector.close()
    assert field.host.usage.round_trips - trips == 2
    assert len(field.told) == 100 and not any(told.problem for told in field.told)


def test_failures_come_first(field: Field):
    for number in range(1, 21):
        field.attempt(number, {"results/big": os.urandom(5 << 20)} if number == 1 else None)
    collector = field.collector(replace(QUICK, interval=0.3))
    field.add(collector, *range(1, 18))
    field.add(collector, 18, 19, 20, failed=True)
    field.wait(collector)
    collector.close()
    assert [told.ref.task + 1 for told in field.told[:3]] == [18, 19, 20]
    assert field.told[-1].ref.task == 0  # the checkpoint held up nobody


def test_a_failure_does_not_wait_for_a_big_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bring.far, "PART", 1 << 20)
    arrived = threading.Event()
    field = Field(tmp_path)
    field.attempt(1, {"results/big": os.urandom(8 << 20)})
    field.attempt(2)

    def moved(count: int) -> None:
        """Comes between two parts of the big file."""
        if count > 60_000 and not arrived.is_set():
            arrived.set()
            field.add(collector, 2, failed=True)

    collector = field.collector(replace(QUICK, interval=0.0), moved)
    field.add(collector, 1)
    field.wait(collector)
    collector.close()
    assert [told.name for told in field.told] == ["task_002.1", "task_001.1"]


def test_a_big_file_goes_on_where_the_connection_dropped(tmp_path: Path):
    host = Cut("there")
    field = Field(tmp_path, host)
    big = os.urandom(20 << 20)
    there = field.attempt(1, {"results/big.bin": big, "results/big.log": b"step %d\n" * (1 << 20)})
    moved: list[int] = []
    collector = field.collector(moved=moved.append)

    def drop(count: int) -> None:
        moved.append(count)
        if sum(moved) > 3 << 20 and len(drops) < 5:
            drops.append(sum(moved))
            host.bytes_left = 1 << 20

    drops: list[int] = []
    collector = field.collector(moved=drop)
    field.add(collector, 1)
    field.wait(collector)
    collector.close()
    assert len(drops) == 5 and field.words[:2] == ["there: connection lost", ""]
    assert tree(field.home(1)) == tree(there)
    (told,) = field.told
    assert sum(moved) == told.size  # no byte twice


def test_a_big_file_goes_on_after_the_engine_died(tmp_path: Path):
    """As a new engine finds it: a part on the disk, and nothing in memory."""
    host = Cut("there")
    field = Field(tmp_path, host)
    there = field.attempt(1, {"results/big": os.urandom(20 << 20)})
    host.bytes_left, host.stays_away = 7 << 20, True
    first = field.collector()
    field.add(first, 1)
    wait_until(lambda: host.away, "seven megabytes")
    first.close()
    assert [path.stat().st_size > 6 << 20 for path in field.home(1).glob(".spawn-*.part")] == [True]
    host.away = False
    (told,) = field.bring(1)
    assert told.moved < 14 << 20
    assert tree(field.home(1)) == tree(there)


def test_a_part_of_other_bytes_is_noticed(tmp_path: Path):
    host = Cut("there")
    field = Field(tmp_path, host)
    there = field.attempt(1, {"results/big": os.urandom(8 << 20)})
    host.bytes_left, host.stays_away = 3 << 20, True
    first = field.collector()
    field.add(first, 1)
    wait_until(lambda: host.away, "three megabytes")
    first.close()
    (part,) = field.home(1).glob(".spawn-*.part")
    with part.open("r+b") as file:
        file.write(b"tampered")
    host.away = False
    (told,) = field.bring(1)
    assert told.problem == ""
    assert tree(field.home(1)) == tree(there)


def test_a_file_that_arrives_wrong_is_fetched_again(tmp_path: Path):
    spoiled: list[str] = []

    def spoil(verb: str, out: bytes) -> bytes:
        if verb == "pack" and not spoiled:
            spoiled.append(verb)
            info = tarfile.TarInfo("attempts/task_001.1/stdout.log")
            return packed(out, (info, b"out 9\n"))
        return out

    field = Field(tmp_path, Wrapped(spoil))
    there = field.attempt(1)
    (told,) = field.bring(1)
    assert spoiled and told.problem == "" and tree(field.home(1)) == tree(there)


def test_a_file_that_changes_while_it_is_read_is_taken_as_it_is_in_the_end(tmp_path: Path):
    count = 0

    def go_on(verb: str, out: bytes) -> bytes:
        nonlocal count
        if verb in ("list", "sums"):  # what is read afterwards is never what was listed
            count += 1
            for name, number in (("stdout.log", 10), ("results/big", 5 << 20)):
                path = field.far / "attempts/task_001.1" / name
                path.write_bytes(bytes([count % 256]) * number)
        return out

    field = Field(tmp_path, Wrapped(go_on))
    field.attempt(1, {"results/big": b"", "results/still": b"still"})
    go_on("list", b"")
    (told,) = field.bring(1)
    assert told.problem == ""
    assert any("stdout.log' changed while it was read" in note for note in told.notes)
    assert any("results/big' changed while it was read" in note for note in told.notes)
    assert (field.home(1) / "results/still").read_bytes() == b"still"
    assert len((field.home(1) / "stdout.log").read_bytes()) == 10
    assert len((field.home(1) / "results/big").read_bytes()) == 5 << 20


def test_links_inside_come_home_and_others_are_reported(field: Field):
    there = field.attempt(1, {"results/a": b"a"})
    (there / "latest").symlink_to("results/a")
    (there / "absolute").symlink_to(there / "results" / "a")
    (there / "passwd").symlink_to("/etc/passwd")
    (there / "results" / "up").symlink_to("../../other")
    (there / "dangling").symlink_to("results/none")
    os.link(there / "results/a", there / "results/hard")
    os.mkfifo(there / "pipe")
    (told,) = field.bring(1)
    home = field.home(1)
    assert told.problem == ""
    assert os.readlink(home / "latest") == "results/a" and os.readlink(home / "absolute") == "results/a"
    assert os.readlink(home / "dangling") == "results/none"
    assert (home / "results/hard").read_bytes() == b"a"
    assert not os.path.lexists(home / "passwd") and not os.path.lexists(home / "results/up")
    assert any("passwd -> /etc/passwd" in note and "results/up" in note for note in told.notes)
    assert any("pipe" in note and "neither file" in note for note in told.notes)


def test_a_hostile_tar_writes_nothing_it_was_not_asked_for(tmp_path: Path):
    def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        return info, b"evil" if kind == tarfile.REGTYPE else b""

    evil = [
        member("../../evil"), member("/tmp/spawn-evil"), member("attempts/task_001.1/../../evil"),
        member("attempts/task_001.1/unasked"), member("attempts/task_009.1/stdout.log"),
        member("attempts/task_001.1/results", tarfile.SYMTYPE, str(tmp_path)),
        member("attempts/task_001.1/stdout.log", tarfile.SYMTYPE, "/etc/passwd"),
        member("attempts/task_001.1/stdout.log", tarfile.LNKTYPE, "../../evil"),
        member("attempts/task_001.1/stdout.log", tarfile.CHRTYPE),
    ]  # fmt: skip
    field = Field(tmp_path, Wrapped(lambda verb, out: packed(out, *evil) if verb == "pack" else out))
    there = field.attempt(1, {"results/x": b"x"})
    (told,) = field.bring(1)
    assert told.problem == "" and tree(field.home(1)) == tree(there)
    assert not list(tmp_path.rglob("*evil*")) and not Path("/tmp/spawn-evil").exists()
    assert os.listdir(field.layout.attempts) == ["task_001.1"]


HOSTILE = [
    b"attempts/task_001.1/" + path for path in (b"../../../evil", b"x/../../evil", b"./x", b"a//b", b"")
]
HOSTILE += [b"/tmp/evil", b"../evil", b"evil", b"attempts/task_009.1/evil", b"scripts/task_001.1/evil"]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_list_is_refused(tmp_path: Path, path: bytes):
    def lie(verb: str, out: bytes) -> bytes:
        return out.replace(b"attempts/task_001.1/stdout.log", path)

    field = Field(tmp_path, Wrapped(lie))
    field.attempt(1)
    (told,) = field.bring(1, rules=replace(QUICK, patience=0.1))
    assert "nobody asked for" in told.problem
    assert not field.home(1).exists() and not list(tmp_path.rglob("evil"))


def test_an_endless_answer_does_not_fill_the_memory(tmp_path: Path):
    bomb = packed(
        b"spawn-agent 1\n" + _empty_tar(),
        (tarfile.TarInfo("attempts/task_001.1/stdout.log"), b"\0" * (64 << 20)),
    )
    field = Field(tmp_path, Wrapped(lambda verb, out: bomb if verb == "pack" else out))
    field.attempt(1)
    (told,) = field.bring(1)
    assert "stdout.log" in told.problem
    assert not (field.home(1) / "stdout.log").exists()


def _empty_tar() -> bytes:
    import io
    import zlib

    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w").close()
    packer = zlib.compressobj(wbits=31)
    return packer.compress(buffer.getvalue()) + packer.flush()


def test_a_directory_that_vanished_is_a_problem_of_that_attempt_alone(field: Field):
    field.attempt(1)
    there = field.attempt(3)
    told = {each.name: each for each in field.bring(1, 2, 3)}
    assert "task_002.1 on there is gone" in told["task_002.1"].problem
    assert told["task_001.1"].problem == told["task_003.1"].problem == ""
    assert tree(field.home(3)) == tree(there)
    assert not field.home(2).exists()


def test_an_unreadable_file_is_a_problem_and_the_others_come_home(tmp_path: Path):
    def hide(verb: str, out: bytes) -> bytes:
        """As sha256sum leaves out what it cannot read (we may be root)."""
        lines = out.split(b"\n")
        return b"\n".join(line for line in lines if not (line.endswith(b"  attempts/task_001.1/secret")))

    field = Field(tmp_path, Wrapped(hide))
    field.attempt(1, {"secret": b"s", "results/a": b"a"})
    (told,) = field.bring(1)
    assert "'secret' cannot be read on there" in told.problem
    assert (field.home(1) / "results/a").read_bytes() == b"a"


def test_what_cannot_be_looked_at_is_the_problem_of_its_attempt_alone(tmp_path: Path):
    need(None if os.getuid() == 0 else "only root becomes somebody else")
    nobody = 65534
    with tempfile.TemporaryDirectory(
        prefix="spawn-far-"
    ) as place:  # pytest's own directories are closed to others
        os.chown(place, nobody, nobody)
        field = Field(tmp_path, _Somebody(nobody), far=Path(place) / "sweep", owner=nobody)
        for number in range(1, 10):
            field.attempt(number, {"results/a": b"a"})
        locked = field.far / "attempts/task_004.1/locked"
        locked.mkdir(mode=0)
        told = {each.name: each for each in field.bring(*range(1, 10))}
    assert "locked" in told["task_004.1"].problem and "Permission denied" in told["task_004.1"].problem
    assert [each.problem for each in told.values() if each.name != "task_004.1"] == [""] * 8
    assert (field.home(4) / "results/a").exists()


def test_files_that_go_while_they_are_listed_hold_up_nothing(tmp_path: Path):
    gone = ("claim", "exit", "stderr.log", "gone with a longer name")

    def lose(verb: str, out: bytes) -> bytes:
        """As stat and sha256sum leave out what is gone by then."""
        ends = tuple(f" attempts/task_001.1/{name}\n".encode() for name in gone)
        return b"".join(line for line in out.splitlines(keepends=True) if not line.endswith(ends))

    field = Field(tmp_path, Wrapped(lose))
    there = field.attempt(1, {"results/a": b"a", gone[-1]: b"x"})
    (told,) = field.bring(1)
    assert told.problem == ""
    assert tree(field.home(1)) == {path: what for path, what in tree(there).items() if path not in gone}


def test_an_absent_machine_is_waited_for_and_given_up_in_the_end(tmp_path: Path):
    host = Cut("there")
    field = Field(tmp_path, host)
    there = field.attempt(1)
    host.away = True
    collector = field.collector()
    field.add(collector, 1)
    wait_until(lambda: field.words, "words about the machine")
    assert collector.left == 1 and not field.told
    host.away = False
    field.wait(collector)
    assert field.words == ["there: connection lost", ""] and tree(field.home(1)) == tree(there)
    host.away = True
    (told,) = field.bring(1, rules=replace(QUICK, patience=0.1))
    assert told.problem == "there: connection lost"
    collector.close()


def test_rules_say_what_comes_home(field: Field):
    field.attempt(1, {
        "results/a.json": b"{}", "results/model.ckpt": b"x" * 10, "results/sub/b.csv": b"1", "core": b"y" * 5000,
        "stdout.log": b"z" * 5000,
    })  # fmt: skip
    rules = CollectRules.of(
        {"collect_exclude": "*.ckpt\nresults/sub/*", "collect_max_size": "4000", "collect_interval": "0"}
    )
    (told,) = field.bring(1, rules=rules)
    assert told.problem == ""
    assert set(tree(field.home(1))) == {
        "claim",
        "exit",
        "stdout.log",
        "stderr.log",
        "results",
        "results/sub",
        "results/a.json",
    }
    assert any("results/model.ckpt" in note and "excluded" in note for note in told.notes)
    assert any("core (5000 bytes)" in note and "larger than 4000 bytes" in note for note in told.notes)
    (told,) = field.bring(1, rules=CollectRules(include=("*.csv",), interval=0.0))
    assert (field.home(1) / "results/sub/b.csv").read_bytes() == b"1"


@pytest.fixture
def small_disk(tmp_path: Path):
    need(None if os.getuid() == 0 else "only root mounts a small disk")
    place = tmp_path / "sweep"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("big", [False, True])
def test_a_full_disk_here_is_told_waited_for_and_leaves_nothing_half(
    small_disk: Path, tmp_path: Path, big: bool
):
    field = Field(tmp_path)
    content = os.urandom(6 << 20 if big else 1 << 20)
    there = field.attempt(1, {"results/a": content, "stdout.log": b"whole\n"})
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (1_500_000))
    collector = field.collector()
    field.add(collector, 1)
    wait_until(lambda: field.words, "words about the disk")
    assert "No space left on device" in field.words[0] and "make room" in field.words[0]
    for path in field.home(1).rglob("*"):
        if path.is_file() and path.suffix != ".part":
            assert path.read_bytes() == (there / path.relative_to(field.home(1))).read_bytes()
    assert not (field.home(1) / "results/a").exists()
    ballast.unlink()
    if big:
        subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    field.wait(collector)
    collector.close()
    assert field.words[-1] == "" and field.told[0].problem == ""
    assert tree(field.home(1)) == tree(there)


def test_a_name_that_cannot_be_had_here_is_one_files_problem(field: Field):
    there = field.attempt(1, {"results/a": b"a", "results/b": b"b"})
    field.home(1).joinpath("results/a").mkdir(parents=True)
    (field.home(1) / "results/a/mine").touch()
    (told,) = field.bring(1)
    assert "'results/a' cannot be stored here" in told.problem
    assert (field.home(1) / "results/b").read_bytes() == (there / "results/b").read_bytes()


def test_the_engines_own_status_is_never_overwritten(field: Field):
    field.attempt(1, {"status.yaml": b"theirs"})
    field.home(1).mkdir(parents=True)
    (field.home(1) / "status.yaml").write_text("ours")
    field.bring(1)
    assert (field.home(1) / "status.yaml").read_text() == "ours"


def test_only_attempts_of_the_sweep_are_brought(field: Field, tmp_path: Path):
    collector: Collector = field.collector()
    with pytest.raises(ValueError, match="is not in"):
        collector.add("x", (0, 1), tmp_path / "elsewhere", False)  # type: ignore[arg-type]


def test_busybox_and_noise_at_the_far_end(tmp_path: Path):
    """A machine without GNU tools, with a login script that talks."""
    busybox = _busybox(tmp_path / "bin")
    field = Field(tmp_path / "f", _Noisy(busybox))
    dice = random.Random(5)
    there = field.attempt(
        1, {b"results/" + name: dice.randbytes(100) for name in NASTY} | {b"big": dice.randbytes(5 << 20)}
    )
    (there / "latest").symlink_to("results/-rf")
    (told,) = field.bring(1)
    assert told.problem == "" and tree(field.home(1)) == tree(there)


class _Somebody(LocalHost):
    """This machine as another user."""

    def __init__(self, uid: int) -> None:
        super().__init__("there")
        self._uid = uid

    def run(self, command: Sequence[str], *arguments: Any, **settings: Any) -> Answer:
        word = f"--reuid={self._uid}"
        return super().run(["setpriv", word, "--clear-groups", *command], *arguments, **settings)


class _Noisy(Wrapped):
    def __init__(self, path: Path) -> None:
        super().__init__(lambda verb, out: b"Welcome!\nspawn-agen\n" + out)
        self._environment = {"PATH": str(path), "HOME": "/"}


def _busybox(place: Path) -> Path:
    from shutil import which

    program = which("busybox")
    need(None if program else "there is no busybox")
    place.mkdir(parents=True)
    assert program is not None
    for name in ("sh", "find", "stat", "sha256sum", "xargs", "tar", "gzip", "readlink", "tail", "head", "cat",
                 "wc", "mkdir", "mv", "rm", "date", "hostname", "id", "setsid", "dirname", "sed",
                 "tr", "getconf"):  # fmt: skip
        (place / name).symlink_to(program)
    return place
