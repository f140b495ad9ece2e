"""Packs and reports as values: what is in them, and what cannot be."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace

import pytest
from spawn_tui.engine.aws.model import Report
from spawn_tui.engine.aws.pack import ATTEMPTS_THERE, PROJECT_THERE, PackedAttempt, PackSettings, build_pack
from spawn_tui.engine.aws.reports import REPORTS, parse_report, report_key, unsent_words

ATTEMPT = PackedAttempt("task_001.1", ("echo", "x"), {"SWEEP_TOKEN": "s.task_001.1"}, {}, "", None)
SETTINGS = PackSettings(
    ttl=90.5, idle_timeout=None, on_complete="stop", completion_delay=30.0, project_url="", project_sha256=""
)


def contents(pack: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(pack)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


def settings_of(**changes: object) -> dict[str, str]:
    pack = contents(build_pack([ATTEMPT], replace(SETTINGS, **changes), b""))  # type: ignore[arg-type]
    return dict(line.split("=", 1) for line in pack["0/settings"].decode().splitlines())


def test_the_same_attempts_make_the_same_bytes() -> None:
    attempts = [replace(ATTEMPT, files={"b": b"2", "a": b"1"}), replace(ATTEMPT, name="task_002.1")]
    assert build_pack(attempts, SETTINGS, b"r") == build_pack(attempts, SETTINGS, b"r")
    other = [replace(attempts[0], files={"a": b"1", "b": b"2"}), attempts[1]]
    assert build_pack(attempts, SETTINGS, b"r") == build_pack(other, SETTINGS, b"r")
    assert build_pack(attempts, SETTINGS, b"r") != build_pack(attempts[::-1], SETTINGS, b"r")


def test_each_launch_index_has_its_folder() -> None:
    script = "#!/bin/sh\r\nexit 0\n".replace("\r", "") + "naïve \udcff"
    second = replace(ATTEMPT, name="task_002.1", argv=(), user_data=script, files={"params.json": b"{}"})
    pack = contents(build_pack([ATTEMPT, second], SETTINGS, b"the runner"))
    assert pack["bootstrap/runner.sh"] == b"the runner"
    assert {
        "bootstrap/bootstrap.sh",
        "bootstrap/guards.sh",
        "bootstrap/send.sh",
        "bootstrap/work.sh",
    } <= pack.keys()
    assert b"attempt=task_001.1\n" in pack["0/settings"] and b"attempt=task_002.1\n" in pack["1/settings"]
    assert "0/user_data" not in pack
    assert pack["1/user_data"] == script.encode(errors="surrogateescape")
    assert pack["1/files/params.json"] == b"{}"
    assert f'"$SPAWN_ROOT"{ATTEMPTS_THERE.removeprefix("/var/lib/spawn")}'.encode() in pack["0/start.sh"]


def test_settings_are_what_a_shell_can_reckon_with() -> None:
    told = settings_of(ttl=90.5, idle_timeout=1e6, completion_delay=0.2, upload_every=1e-3)
    assert (told["ttl"], told["idle_timeout"], told["completion_delay"]) == ("91", "1000000", "1")
    assert told["upload_every"] == "0.001"
    assert (settings_of(ttl=None)["ttl"], told["token"]) == ("", "s.task_001.1")


def test_a_project_needs_its_checksum() -> None:
    assert settings_of(project_url="https://b/p", project_sha256="ab")["project_url"] == "https://b/p"
    with pytest.raises(ValueError, match="checksum"):
        settings_of(project_url="https://b/p")


@pytest.mark.parametrize("timeout,limit", [(None, "0"), (2_000_000.0, "2000000"), (0.25, "0.25")])
def test_the_timeout_is_what_sleep_reads(timeout: float | None, limit: str) -> None:
    start = contents(build_pack([replace(ATTEMPT, timeout=timeout)], SETTINGS, b""))["0/start.sh"].decode()
    assert f"task_001.1 {limit} " in start.replace("'", "")
    assert PROJECT_THERE.removeprefix("/var/lib/spawn") in start


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"argv": (), "user_data": " \n"}, "nothing to run"),
        ({"argv": ("a\0b",)}, "NUL"),
        ({"env": {"A": "\0"}}, "NUL"),
        ({"user_data": "#!/bin/sh\n\0"}, "NUL"),
        ({"user_data": "#cloud-config\npackages: []\n"}, "must be a script"),
        ({"user_data": "#!/bin/sh\r\nexit\r\n"}, "Windows"),
        ({"name": "../x"}, "no name"),
        ({"files": {"../x": b""}}, "no path"),
        ({"files": {"/etc/x": b""}}, "no path"),
        ({"previous": (("a/../../b", "https://x"),)}, "no path"),
        ({"previous": (("d/", "https://x"),)}, "no path"),
        ({"previous": (("a", 'https://x"\nuser = "y'),)}, "URL"),
    ],
)
def test_what_no_instance_could_run_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        build_pack([replace(ATTEMPT, **changes)], SETTINGS, b"")  # type: ignore[arg-type]
    assert "https://" not in str(caught.value), "a signed URL is never shown"


def test_no_signed_url_is_in_a_repr() -> None:
    attempt = replace(ATTEMPT, previous=(("a", "https://b?sig"),))
    assert "sig" not in repr(attempt)
    assert "sig" not in repr(replace(SETTINGS, project_url="https://b?sig", project_sha256="00"))


WHOLE = b"status 143\nflag spot\nstarted 1700000000\nended 1700000060\ninstance i-1\nmessage a  b\nend\n"


def test_a_report_is_read() -> None:
    assert parse_report(WHOLE) == Report(143, "spot", 1700000000.0, 1700000060.0, "i-1", "a  b")
    assert parse_report(b"status 125\nflag setup\nstarted \nended 5\ninstance \nmessage \nend\n") == Report(
        125, "setup", None, 5.0, "", ""
    )


def test_a_report_tells_what_could_not_be_uploaded() -> None:
    text = WHOLE.replace(b"end\n", b"").decode()
    report = parse_report(f"{text}unsent 5\nleft a b\nleft c\\d\nleft \xe9\nleft e\nend\n".encode())
    assert report is not None
    assert (report.unsent, report.left) == (5, ("a b", "c\\d", "\xe9", "e"))
    assert unsent_words(report) == (
        "5 files could not be uploaded from the instance before it went: a b, c\\\\d, \xe9, … (see bootstrap.log)"
    )


@pytest.mark.parametrize(
    ("unsent", "left", "words"),
    [
        (0, (), ""),
        (0, ("written meanwhile",), ""),
        (1, ("a",), "1 file could not be uploaded from the instance before it went: a (see bootstrap.log)"),
        (
            2,
            ("a", "b"),
            "2 files could not be uploaded from the instance before it went: a, b (see bootstrap.log)",
        ),
        (
            2,
            ("a",),
            "2 files could not be uploaded from the instance before it went: a, … (see bootstrap.log)",
        ),
        (9, (), "9 files could not be uploaded from the instance before it went (see bootstrap.log)"),
    ],
)
def test_what_is_said_of_unsent_files(unsent: int, left: tuple[str, ...], words: str) -> None:
    assert unsent_words(Report(0, "-", None, None, unsent=unsent, left=left)) == words


@pytest.mark.parametrize("value", ["", "-1", "many", "1e3", "9" * 13])
def test_what_is_no_number_of_unsent_files_is_none(value: str) -> None:
    report = parse_report(WHOLE.replace(b"end\n", f"unsent {value}\nend\n".encode()))
    assert report is not None and report.unsent == 0


def test_a_report_names_a_bounded_number_of_files() -> None:
    report = parse_report(WHOLE.replace(b"end\n", b"unsent 3\n" + b"left x\n" * 1000 + b"end\n"))
    assert report is not None and len(report.left) == 20


def test_a_report_of_odd_bytes_is_read() -> None:
    report = parse_report(WHOLE.replace(b"a  b", "é".encode()[:1] + b" cut"))
    assert report is not None and report.message == "� cut"


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_torn_report_is_none(length: int) -> None:
    assert parse_report(WHOLE[:length]) is None


@pytest.mark.parametrize(
    "garbage",
    [
        b"", b"\n", b"end\n", b"end", b"\xff\xfe\0", b"<?xml version='1.0'?><Error/>", WHOLE + b"more",
        WHOLE.replace(b"143", b"-1"), WHOLE.replace(b"143", b"256"), WHOLE.replace(b"143", b"1e3"),
        WHOLE.replace(b"143", "٣".encode()), WHOLE.replace(b"spot", b"<b>"), WHOLE.replace(b"flag spot\n", b""),
    ],
)  # fmt: skip
def test_garbage_is_no_report(garbage: bytes) -> None:
    assert parse_report(garbage) is None


def test_where_a_report_is() -> None:
    assert (
        report_key("sweeps/s/", "task_001.1")
        == f"sweeps/s/{REPORTS}/task_001.1"
        == "sweeps/s/reports/task_001.1"
    )
