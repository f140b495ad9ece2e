"""What instances left in the bucket comes home: whole, in parallel, resumed, and never outside its directory."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from spawn_tui.engine.aws import haul, homeward
from spawn_tui.engine.aws.bucket import SweepBucket
from spawn_tui.engine.aws.removal import remove_collected
from spawn_tui.engine.collect.bring import Collected
from spawn_tui.engine.collect.rules import CollectRules

from ..parts.waiting import wait_until
from .s3_field import QUICK, S3, SWEEP, Asked, Field, md5, running, settle_environment, tree


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with running() as s3:
        yield s3


@pytest.fixture(autouse=True)
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    settle_environment(monkeypatch, server.endpoint)
    monkeypatch.setattr(homeward, "SETTLE", 0.02)
    monkeypatch.setattr(homeward, "FIRST_PAUSE", 0.02)
    server.reset()
    return server


@pytest.fixture
def field(s3: S3, tmp_path: Path) -> Field:
    return Field(s3, tmp_path)


def gets(asked: Asked) -> bool:
    return asked.method == "GET" and "/attempts/" in asked.path


def lists(asked: Asked) -> bool:
    return "list-type=2" in asked.query


def sums(files: dict[str, bytes]) -> dict[str, str]:
    return {path: md5(content) for path, content in files.items()}


def test_fifteen_hundred_files_come_home_byte_for_byte(s3: S3, field: Field):
    dice = random.Random(5)
    files = {
        f"results/{number % 40}/{number:04}.bin": dice.randbytes(dice.randrange(300))
        for number in range(1500)
    }
    whole = field.attempt(1, files)
    (told,) = field.bring(1)
    assert (told.problem, told.notes, told.files) == ("", (), len(whole))
    assert told.size == told.moved == sum(map(len, whole.values())) == sum(field.moved)
    assert tree(field.home(1)) == sums(whole)
    s3.asked.clear()
    (told,) = field.bring(1)
    assert (told.moved, told.files, told.problem) == (0, len(whole), "")
    assert [asked.method for asked in s3.asked] == [
        "GET"
    ] * 3  # the report, two pages of names, and nothing else


def report(field: Field, number: int, *lines: str) -> None:
    text = "\n".join(
        ["status 0", "flag -", "started 1000", "ended 1010", "instance i-1", "message ", *lines, "end", ""]
    )
    field.s3.put(field.bucket.name, f"sweeps/{SWEEP}/reports/task_{number:03}.1", text.encode())


def test_what_the_instance_could_not_upload_is_a_problem_though_all_that_is_there_is_home(field: Field):
    whole = field.attempt(1)
    field.attempt(2)
    report(field, 1, "unsent 4", "left model.pt", "left a b", "left c", "left d")
    report(field, 2, "unsent 0")
    first, second = sorted(field.bring(1, 2), key=lambda told: told.name)
    assert first.problem == (
        "4 files could not be uploaded from the instance before it went: model.pt, a b, c, … (see bootstrap.log)"
    )
    assert (first.files, tree(field.home(1))) == (len(whole), sums(whole))
    assert (second.problem, second.notes) == ("", ())
    (again,) = field.bring(1)
    assert again.problem == first.problem, "it is told whenever somebody asks"


def test_a_report_that_comes_later_says_what_counts(field: Field):
    """After a spot notice it is written first, and again when everything is in the bucket."""
    field.attempt(1)
    report(field, 1, "unsent 4")
    assert field.bring(1)[0].problem.startswith("4 files")
    report(field, 1, "unsent 0")
    assert field.bring(1)[0].problem == ""


def test_what_is_looked_at_again_is_told_anew(s3: S3, field: Field):
    field.attempt(1, {"ckpt": b"old"})
    report(field, 1, "unsent 4")

    def go_on() -> None:
        field.put(1, "ckpt", b"new")
        report(field, 1, "unsent 1")

    s3.fail(lambda asked: asked.path.endswith("/ckpt"), before=go_on)
    (told,) = field.bring(1)
    assert told.problem.startswith("1 file could not"), told.problem
    assert (field.home(1) / "ckpt").read_bytes() == b"new"


def test_downloads_are_many_at_once_and_never_more_than_allowed(s3: S3, field: Field):
    field.attempt(1, {f"{number:02}": b"x" for number in range(30)})
    gate, lock = threading.Event(), threading.Lock()
    now, most = [0], [0]

    def count() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most)
            most[0] = max(most[0], now[0])
        assert gate.wait(20)
        with lock:
            now[0] -= 1

    s3.fail(gets, 1000, before=count)
    walk = field.homeward()
    try:
        field.add(walk, 1)
        wait_until(lambda: now[0] == homeward.PARALLEL, "all to be under way")
        gate.set()
        field.wait(walk)
    finally:
        gate.set()
        walk.close()
    assert most[0] == homeward.PARALLEL == 8


def test_nasty_keys_stay_inside_or_stay_there(field: Field, tmp_path: Path):
    good = {
        "a b": b"1", "new\nline": b"2", "é/€": b"3", "-rf": b"4", "%41+%2F": b"5", "$(id)": b"6", "back\\slash": b"7",
        "...": b"8", ".hidden/x": b"9", "'q'\"": b"10", "tab\t": b"11", "a;b&c": b"12", "x" * 255: b"13",
    }  # fmt: skip
    bad = {
        "../x": b"up", "/abs": b"abs", "a/../../y": b"up", "./dot": b"dot", "b//c": b"empty", "y" * 256: b"long",
    }  # fmt: skip
    field.attempt(1, {**good, **bad})
    (told,) = field.bring(1)
    usual = {"claim": b"i-1\n", "exit": b"0 - end\n", "stdout.log": b"out 1\n", "stderr.log": b""}
    assert tree(field.home(1)) == sums({**usual, **good})
    for path in bad:
        assert repr(path) in told.problem
    assert told.files == len(usual) + len(good)
    outside = {path.name for path in tmp_path.rglob("*") if not path.is_relative_to(field.home(1))}
    assert outside == {"sweep", "attempts"}


def test_a_key_that_is_file_and_folder_loses_the_file_and_says_so(field: Field):
    field.attempt(1, {"x": b"file", "x/y": b"below", "x/z/w": b"deeper"})
    for _ in range(2):
        (told,) = field.bring(1)
        assert told.problem == "'x' cannot be stored here: it is also a folder with files in it"
    assert (field.home(1) / "x/y").read_bytes() == b"below"


def test_folders_as_consoles_make_them_become_folders(field: Field):
    field.attempt(1, {"empty/": b"", "full/": b"", "full/f": b"f", "odd/": b"content", "": b""})
    (told,) = field.bring(1)
    found = tree(field.home(1))
    assert found["empty"] == "folder" and found["full/f"] == md5(b"f")
    assert told.problem == "'odd/' cannot be stored here: it names a folder, and has content"


def test_a_link_that_stands_at_home_leads_nowhere(field: Field, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    field.home(1).mkdir(parents=True)
    (field.home(1) / "results").symlink_to(tmp_path / "outside")
    field.attempt(1, {"results/x": b"x"})
    (told,) = field.bring(1)
    assert "'results/x' cannot be stored here" in told.problem
    assert list((tmp_path / "outside").iterdir()) == []


def test_files_of_the_engine_are_left_alone_and_rules_are_kept(field: Field):
    field.home(1).mkdir(parents=True)
    (field.home(1) / "status.yaml").write_text("ours")
    field.attempt(
        1,
        {
            "status.yaml": b"theirs",
            "start.sh": b"#!",
            "a.ckpt": b"big" * 100,
            "b.tmp": b"t",
            "bootstrap.log": b"b",
        },
    )
    (told,) = field.bring(1, rules=CollectRules(exclude=("*.tmp",), max_size=200, patience=20.0))
    assert (field.home(1) / "status.yaml").read_text() == "ours"
    assert sorted(tree(field.home(1))) == [
        "bootstrap.log", "claim", "exit", "status.yaml", "stderr.log", "stdout.log"
    ]  # fmt: skip
    assert told.problem == ""
    text = "\n".join(told.notes)
    assert "status.yaml" in text and "b.tmp (1 bytes)" in text and "larger than 200 bytes" in text


def test_an_attempt_that_left_nothing_is_home_and_says_so(field: Field):
    (told,) = field.bring(7)
    assert (told.files, told.problem) == (0, "")
    assert told.notes == (f"there is nothing of it in {field.bucket.name}",)


def test_times_are_those_of_the_upload(field: Field):
    field.attempt(1)
    (claim, *_) = field.bucket.files("task_001.1")
    field.bring(1)
    assert (field.home(1) / "claim").stat().st_mtime == int(claim.at)


def test_what_was_tampered_with_at_home_is_fetched_again(field: Field):
    field.attempt(1, {"a": b"first", "b": b"second"})
    field.bring(1)
    facts = (field.home(1) / "a").stat()
    (field.home(1) / "a").write_bytes(b"FIRST")
    os.utime(field.home(1) / "a", (facts.st_mtime, facts.st_mtime))
    (told,) = field.bring(1)
    assert (told.moved, (field.home(1) / "a").read_bytes()) == (5, b"first")


# --- big files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haul, "SMALL", 1000)
    monkeypatch.setattr(haul, "PART", 3000)


def test_a_big_file_goes_on_where_the_connection_dropped(s3: S3, field: Field, small_parts: None):
    content = random.Random(1).randbytes(10_000)
    field.attempt(1, {"big": content})
    s3.fail(lambda asked: asked.range == "bytes=3000-5999", cut=1500)
    (told,) = field.bring(1)
    assert (field.home(1) / "big").read_bytes() == content
    assert (told.problem, told.notes) == ("", ())
    ranges = [asked.range for asked in s3.asked if asked.path.endswith("/big")]
    begun = [int(words.partition("=")[2].partition("-")[0]) for words in ranges]
    assert begun[:2] == [0, 3000] and begun[2] > 3000, "what came before the cut was fetched again"
    assert told.moved == told.size
    assert any("bytes came" in words or "Connection" in words or "read" in words for words in field.words)


def test_a_big_file_goes_on_after_the_engine_died(s3: S3, field: Field, small_parts: None):
    content = random.Random(2).randbytes(10_000)
    field.attempt(1, {"big": content})
    s3.fail(lambda asked: asked.range.startswith("bytes=6000"), 1000, status="500 No", code="InternalError")
    walk = field.homeward()
    field.add(walk, 1)
    wait_until(lambda: field.words, "a complaint")
    walk.close()
    assert field.told == []
    s3.faults.clear()
    s3.asked.clear()
    (told,) = field.bring(1)
    assert (field.home(1) / "big").read_bytes() == content
    assert told.moved == 4000
    assert not list(field.home(1).glob(".spawn-*"))


def test_a_big_file_that_is_replaced_meanwhile_comes_whole_in_its_new_form(
    s3: S3, field: Field, small_parts: None
):
    old, new = random.Random(3).randbytes(10_000), random.Random(4).randbytes(10_000)
    field.attempt(1, {"big": old})
    s3.fail(lambda asked: asked.range == "bytes=6000-8999", before=lambda: field.put(1, "big", new))
    (told,) = field.bring(1)
    assert (field.home(1) / "big").read_bytes() == new
    assert told.problem == ""
    assert not list(field.home(1).glob(".spawn-*"))


def test_a_part_of_an_older_version_is_not_gone_on_with(s3: S3, field: Field, small_parts: None):
    old, new = random.Random(3).randbytes(10_000), random.Random(4).randbytes(10_000)
    field.attempt(1, {"big": old})
    s3.fail(lambda asked: asked.range.startswith("bytes=6000"), 1000, status="500 No", code="InternalError")
    walk = field.homeward()
    field.add(walk, 1)
    wait_until(lambda: field.words, "a complaint")
    walk.close()
    s3.faults.clear()
    field.put(1, "big", new)
    (told,) = field.bring(1)
    assert (field.home(1) / "big").read_bytes() == new
    assert (told.problem, told.moved) == ("", 10_000)
    assert not list(field.home(1).glob(".spawn-*"))


def test_a_damaged_part_on_the_disk_is_found_out(s3: S3, field: Field, small_parts: None):
    content = random.Random(6).randbytes(10_000)
    field.attempt(1, {"big": content})
    s3.fail(lambda asked: asked.range.startswith("bytes=6000"), 1000, status="500 No", code="InternalError")
    walk = field.homeward()
    field.add(walk, 1)
    wait_until(lambda: field.words, "a complaint")
    walk.close()
    s3.faults.clear()
    (part,) = field.home(1).glob(".spawn-*.part")
    part.write_bytes(b"\0" * 6000)
    (told,) = field.bring(1)
    assert (field.home(1) / "big").read_bytes() == content
    assert (told.problem, told.moved) == ("", 14_000)


def test_a_failure_is_not_kept_waiting_by_checkpoints(s3: S3, field: Field, small_parts: None):
    big = bytes(60_000)
    for number in range(1, 9):
        field.attempt(number, {"big": big})
    field.attempt(9)
    gate = threading.Event()
    s3.fail(lambda asked: asked.path.endswith("/big"), 8, gate=gate)
    walk = field.homeward()
    try:
        field.add(walk, *range(1, 9))
        wait_until(
            lambda: sum(asked.path.endswith("/big") for asked in s3.asked) == 8, "all hands to be full"
        )
        field.add(walk, 9, failed=True)
        gate.set()
        field.wait(walk)
    finally:
        gate.set()
        walk.close()
    assert field.told[0].name == "task_009.1"
    assert not any(told.problem for told in field.told)


# --- what cannot be verified by MD5 ----------------------------------------------------------------------------------


def test_an_object_of_several_parts_is_verified_by_size_and_time(s3: S3, field: Field):
    client = field.cloud.client("s3", "us-east-1")
    key = {"Bucket": field.bucket.name, "Key": f"sweeps/{field.bucket.sweep_id}/attempts/task_001.1/multi"}
    begun = client.create_multipart_upload(**key)["UploadId"]
    parts = [
        {"PartNumber": n, "ETag": client.upload_part(**key, UploadId=begun, PartNumber=n, Body=body)["ETag"]}
        for n, body in ((1, bytes(5 << 20)), (2, b"tail"))
    ]
    client.complete_multipart_upload(**key, UploadId=begun, MultipartUpload={"Parts": parts})
    (file,) = field.bucket.files("task_001.1")
    assert "-" in file.etag and file.md5 == ""
    (told,) = field.bring(1)
    assert (told.problem, told.moved) == ("", (5 << 20) + 4)
    assert (field.home(1) / "multi").read_bytes() == bytes(5 << 20) + b"tail"
    (told,) = field.bring(1)
    assert told.moved == 0
    os.utime(field.home(1) / "multi", (1, 1))
    (told,) = field.bring(1)
    assert told.moved == (5 << 20) + 4


def test_an_etag_under_a_kms_key_is_no_md5(s3: S3, field: Field):
    client = field.cloud.client("s3", "us-east-1")
    root = f"sweeps/{field.bucket.sweep_id}/attempts/task_001.1"
    client.put_object(
        Bucket=field.bucket.name, Key=f"{root}/secret", Body=b"weights", ServerSideEncryption="aws:kms"
    )
    from moto.s3.models import s3_backends

    s3_backends["123456789012"]["aws"].get_object(field.bucket.name, f"{root}/secret")._etag = "0" * 32
    (told,) = field.bring(1)
    assert (told.problem, told.moved) == ("", 7)
    (told,) = field.bring(1)
    assert (told.problem, told.moved) == ("", 0)


def test_what_arrives_damaged_is_fetched_again_and_told_at_last(s3: S3, field: Field):
    field.attempt(1, {"x": b"content"})
    from moto.s3.models import s3_backends

    key = f"sweeps/{field.bucket.sweep_id}/attempts/task_001.1/x"
    s3_backends["123456789012"]["aws"].get_object(field.bucket.name, key)._etag = "0" * 32
    (told,) = field.bring(1)
    assert told.problem == "'x' arrived damaged: its MD5 is not its ETag"
    assert not (field.home(1) / "x").exists()
    assert sum(asked.path.endswith("/x") for asked in s3.asked) == haul.TRIES


# --- when it does not go ---------------------------------------------------------------------------------------------


def test_what_is_throttled_is_asked_again_and_the_trouble_is_told_and_taken_back(s3: S3, field: Field):
    whole = field.attempt(1, {f"{number:02}": b"%d" % number for number in range(40)})
    dice = random.Random(8)
    s3.slow_down(lambda asked: dice.random() < 0.5, 60)
    (told,) = field.bring(1)
    assert (told.problem, told.files) == ("", len(whole))
    assert tree(field.home(1)) == sums(whole)
    assert any("SlowDown" in words for words in field.words) and field.words[-1] == ""


def test_a_bucket_that_never_answers_is_given_up_in_words(s3: S3, field: Field):
    field.attempt(1)
    s3.slow_down(lists, 10_000)
    told = field.bring(1, 2, rules=CollectRules(patience=0.2))
    assert sorted(told.name for told in told) == ["task_001.1", "task_002.1"]
    assert all("SlowDown" in told.problem for told in told)


def test_what_comes_after_it_was_given_up_is_not_told_again(s3: S3, field: Field):
    field.put(1, "claim", b"i-1\n")  # its only file, so that its end is the attempt's
    gate = threading.Event()
    s3.fail(lambda asked: asked.path.endswith("/claim"), gate=gate)
    walk = field.homeward(CollectRules(patience=0.2))
    try:
        field.add(walk, 1)
        wait_until(lambda: any(asked.path.endswith("/claim") for asked in s3.asked), "a download to begin")
        s3.slow_down(lists, 10_000)
        field.add(walk, 2)
        field.wait(walk)
        gate.set()
        wait_until(lambda: (field.home(1) / "claim").exists(), "the download to end")
    finally:
        gate.set()
        walk.close()  # waits for the threads
    walk.check()
    assert sorted(told.name for told in field.told) == ["task_001.1", "task_002.1"]


def test_a_file_that_may_not_be_read_is_this_files_problem(s3: S3, field: Field):
    field.attempt(1, {"glacier": b"cold"})
    s3.fail(
        lambda asked: asked.path.endswith("/glacier"), 1000, status="403 Forbidden", code="InvalidObjectState"
    )
    (told,) = field.bring(1)
    assert told.problem.startswith(f"'glacier' cannot be read in {field.bucket.name}: InvalidObjectState")
    assert told.files == 4


def test_a_bucket_that_is_gone_is_not_waited_for(s3: S3, field: Field, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(homeward, "REFUSED_PATIENCE", 0.1)
    field.cloud.client("s3", "us-east-1").delete_bucket(Bucket=field.bucket.name)
    (told,) = field.bring(1, rules=CollectRules(patience=3600.0), limit=20.0)
    assert "NoSuchBucket" in told.problem


def test_files_that_vanish_between_list_and_fetch_are_looked_for_again(s3: S3, field: Field):
    field.attempt(1, {"gone": b"soon"})
    client = field.cloud.client("s3", "us-east-1")
    key = f"sweeps/{field.bucket.sweep_id}/attempts/task_001.1/gone"
    s3.fail(
        lambda asked: asked.path.endswith("/gone"),
        before=lambda: client.delete_object(Bucket=field.bucket.name, Key=key),
    )
    (told,) = field.bring(1)
    assert (told.problem, told.files) == ("", 4)


def test_a_disk_that_cannot_take_it_is_waited_for(field: Field, monkeypatch: pytest.MonkeyPatch):
    field.attempt(1)
    real, failing = haul.Landing.put, [3]

    def put(self: haul.Landing, path: str, content: bytes, at: int, *, executable: bool = False) -> None:
        if failing[0] > 0:
            failing[0] -= 1
            raise OSError(28, "No space left on device")
        real(self, path, content, at, executable=executable)

    monkeypatch.setattr(haul.Landing, "put", put)
    (told,) = field.bring(1)
    assert (told.problem, told.files) == ("", 4)
    assert any("No space left on device; make room, or mend it" in words for words in field.words)


def test_a_disk_that_fails_at_the_very_end_is_waited_for(field: Field, monkeypatch: pytest.MonkeyPatch):
    whole = field.attempt(1)
    real, failing = haul.Landing.tidy, [2]

    def tidy(self: haul.Landing) -> None:
        if failing[0] > 0:
            failing[0] -= 1
            raise OSError(5, "Input/output error")
        real(self)

    monkeypatch.setattr(haul.Landing, "tidy", tidy)
    (told,) = field.bring(1)
    assert (told.problem, told.files, told.moved) == ("", len(whole), told.size)


# --- its life --------------------------------------------------------------------------------------------------------


def test_an_attempt_is_told_once_however_often_it_is_added(field: Field):
    field.attempt(1)
    walk = field.homeward()
    try:
        field.add(walk, 1, 1, 1)
        field.wait(walk)
    finally:
        walk.close()
    assert [told.name for told in field.told] == ["task_001.1"]


def test_directories_elsewhere_are_refused(field: Field, tmp_path: Path):
    walk = field.homeward()
    with pytest.raises(ValueError, match="is not in"):
        walk.add("task_001.1", field.bring(1)[0].ref, tmp_path, False)


def test_closing_leaves_the_rest_for_the_next(s3: S3, field: Field):
    whole = field.attempt(1, {f"{number:02}": b"%d" % number for number in range(20)})
    gate = threading.Event()
    s3.fail(gets, 1000, gate=gate)
    walk = field.homeward()
    field.add(walk, 1)
    wait_until(lambda: any(gets(asked) for asked in s3.asked), "a download to begin")
    closing = threading.Thread(target=walk.close)
    closing.start()
    gate.set()
    closing.join(20)
    assert not closing.is_alive()
    wait_until(lambda: not any(t.name.startswith("collect") for t in threading.enumerate()), "threads to end")
    assert field.told == [] and walk.left == 1
    s3.faults.clear()
    (told,) = field.bring(1)
    assert (told.files, told.problem) == (len(whole), "")


def test_a_fault_of_the_program_is_raised_in_the_engine(field: Field):
    field.attempt(1)

    def wrong(collected: Collected) -> None:
        raise RuntimeError("a bug")

    walk = homeward.Homeward(field.bucket, field.layout, wrong, QUICK)
    field.add(walk, 1)

    def raised() -> bool:
        try:
            walk.check()
        except RuntimeError:
            return True
        return False

    wait_until(raised, "the fault to be seen")
    walk.close()


def test_many_attempts_each_come_home_once(field: Field):
    for number in range(1, 61):
        field.attempt(number, {"metrics.json": b'{"n": %d}' % number})
    told = field.bring(*range(1, 61))
    assert sorted(told.name for told in told) == [f"task_{number:03}.1" for number in range(1, 61)]
    assert {told.files for told in told} == {5}
    for number in range(1, 61):
        assert (field.home(number) / "metrics.json").read_bytes() == b'{"n": %d}' % number


# --- deleting there --------------------------------------------------------------------------------------------------


def places(field: Field, *numbers: int) -> list[tuple[str, Path]]:
    return [(f"task_{number:03}.1", field.home(number)) for number in numbers]


def test_what_is_home_is_deleted_there_and_nothing_else(s3: S3, field: Field):
    field.attempt(1, {"results/x": b"x", "empty/": b""})
    field.attempt(2)
    field.bring(1)
    s3.put(field.bucket.name, f"sweeps/{field.bucket.sweep_id}/reports/task_001.1", b"end\n")
    removal = remove_collected(field.bucket, places(field, 1))
    assert (removal.removed, removal.kept) == (("task_001.1",), ())
    assert field.bucket.files("task_001.1") == []
    assert len(field.bucket.files("task_002.1")) == 4
    assert any(key.endswith("reports/task_001.1") for key in s3.keys(field.bucket.name))


def test_nothing_is_deleted_while_one_file_is_not_home(field: Field):
    field.attempt(1)
    field.attempt(2, {"results/x": b"x"})
    field.bring(1, 2)
    (field.home(2) / "results/x").write_bytes(b"y")
    removal = remove_collected(field.bucket, places(field, 1, 2))
    assert removal.removed == ()
    assert removal.kept == ("task_002.1/results/x is not home as it is there",)
    assert len(field.bucket.files("task_001.1")) == 4


def test_the_bucket_may_be_asked_by_a_patient_caller(s3: S3, field: Field):
    """As the source does it: the pacer repeats, and what comes home never hears of the trouble."""
    whole = field.attempt(1)
    s3.slow_down(lambda asked: True, 3)

    def patient(operation, function):
        end = time.monotonic() + 20
        while True:
            try:
                return function()
            except homeward.AwsError as error:
                if error.code == "NoSuchKey":
                    raise  # there is no report
                assert error.kind == "throttled" and time.monotonic() < end

    field.bucket = SweepBucket(field.cloud, "us-east-1", field.bucket.sweep_id, call=patient)
    (told,) = field.bring(1)
    assert (told.files, told.problem, field.words) == (len(whole), "", [])
