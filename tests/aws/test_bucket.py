"""The sweep's bucket: made private, found again, refused in words; packs, reports, grants that curl can use."""

from __future__ import annotations

import hashlib
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from spawn_tui.engine.aws import bucket as buckets
from spawn_tui.engine.aws import upload
from spawn_tui.engine.aws.bucket import SweepBucket
from spawn_tui.engine.aws.cloud import Cloud
from spawn_tui.engine.aws.errors import AwsError
from spawn_tui.engine.aws.grants import UploadGrant, too_short
from spawn_tui.engine.aws.stored import FileChanged, StoredFile

from .s3_field import ACCOUNT, S3, SWEEP, Asked, Field, cloud_at, running, settle_environment


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with running() as s3:
        yield s3


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    settle_environment(monkeypatch, server.endpoint)
    server.reset()
    return server


@pytest.fixture
def field(s3: S3, tmp_path: Path) -> Field:
    return Field(s3, tmp_path)


def is_head(asked: Asked) -> bool:
    return asked.method == "HEAD"


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def curl(*arguments: str) -> tuple[int, str]:
    """The HTTP status, and what was answered."""
    done = subprocess.run(
        ["curl", "-sS", "-m", "20", "-w", "\n%{http_code}", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


# --- the bucket itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_the_bucket_is_made_private_encrypted_and_in_its_region(s3: S3, region: str):
    bucket = SweepBucket(cloud_at(s3.endpoint), region, SWEEP)
    bucket.ensure()
    assert bucket.name == f"spawn-results-{ACCOUNT}-{region}"
    client = cloud_at(s3.endpoint).client("s3", region)
    assert client.get_bucket_location(Bucket=bucket.name)["LocationConstraint"] == (
        None if region == "us-east-1" else region
    )
    blocked = client.get_public_access_block(Bucket=bucket.name)["PublicAccessBlockConfiguration"]
    assert len(blocked) == 4 and all(blocked.values())
    rules = client.get_bucket_encryption(Bucket=bucket.name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    owner = client.get_bucket_ownership_controls(Bucket=bucket.name)["OwnershipControls"]["Rules"]
    assert owner == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_a_bucket_that_is_there_is_only_looked_at(s3: S3, field: Field):
    s3.put(field.bucket.name, "old", b"kept")
    s3.asked.clear()
    SweepBucket(cloud_at(s3.endpoint), "us-east-1", "another").ensure()
    assert [asked.method for asked in s3.asked if ACCOUNT in asked.path] == ["HEAD"]
    assert s3.get(field.bucket.name, "old") == b"kept"


def test_nothing_is_asked_before_it_is_needed(s3: S3):
    SweepBucket(cloud_at(s3.endpoint), "us-east-1", SWEEP)
    assert s3.asked == []


def test_somebody_elses_bucket_is_refused_in_words(s3: S3):
    s3.fail(lambda asked: ACCOUNT in asked.path, 2, status="403 Forbidden", code="AccessDenied")
    with pytest.raises(AwsError) as caught:
        SweepBucket(cloud_at(s3.endpoint), "us-east-1", SWEEP).ensure()
    assert caught.value.kind == "permission" and caught.value.action == "s3:ListBucket"
    assert f"spawn-results-{ACCOUNT}-us-east-1 is another account's" in str(caught.value)
    assert "`bucket` in spawn.yaml" in str(caught.value)
    assert s3.count("PUT") == 0


@pytest.mark.parametrize(
    ("status", "code"), [("400 Bad Request", "ExpiredToken"), ("403 Forbidden", "InvalidAccessKeyId")]
)
def test_bad_credentials_are_not_taken_for_a_missing_permission(s3: S3, field: Field, status: str, code: str):
    """The answer to a HEAD has no words."""
    for ask in (field.bucket.ensure, lambda: field.bucket.put_pack("tok", b"pack")):
        s3.fail(lambda asked: ACCOUNT in asked.path, 100, status=status, code=code)
        with pytest.raises(AwsError) as caught:
            ask()
        assert (caught.value.kind, caught.value.code) == ("credentials", code)


def test_an_object_that_may_not_be_looked_at_is_a_missing_permission(s3: S3, field: Field):
    s3.fail(is_head, status="403 Forbidden", code="")
    with pytest.raises(
        AwsError, match="allow s3:GetObject and s3:ListBucket on the bucket spawn-results"
    ) as caught:
        field.bucket.put_pack("tok", b"pack")
    assert caught.value.kind == "permission"


def test_a_server_that_ignores_ranges_is_found_out(s3: S3, field: Field):
    field.put(1, "x", b"0123456789")
    (file,) = field.bucket.files("task_001.1")
    s3.fail(lambda asked: asked.range != "", range="")
    with pytest.raises(AwsError, match="does not answer with the range"):
        field.bucket.fetch("task_001.1", file, 2, 3, bytearray().extend)


def test_a_name_that_can_be_guessed_must_be_ours_and_one_that_was_given_may_be_shared(s3: S3, field: Field):
    s3.asked.clear()
    field.bucket.ensure()
    SweepBucket(cloud_at(s3.endpoint), "us-east-1", SWEEP, field.bucket.name).ensure()
    owners = [a.headers.get("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER") for a in s3.asked if a.method == "HEAD"]
    assert owners == [ACCOUNT, None]


def test_a_name_that_was_taken_in_the_meantime_is_told(s3: S3):
    s3.fail(lambda asked: asked.method == "PUT", status="409 Conflict", code="BucketAlreadyExists")
    with pytest.raises(AwsError, match="another account's"):
        SweepBucket(cloud_at(s3.endpoint), "us-east-1", SWEEP).ensure()


def test_two_that_make_it_at_once_both_have_it(s3: S3, field: Field):
    s3.fail(is_head, status="404 Not Found", code="NoSuchBucket")
    s3.fail(lambda asked: asked.method == "PUT", status="409 Conflict", code="BucketAlreadyOwnedByYou")
    SweepBucket(cloud_at(s3.endpoint), "us-east-1", SWEEP).ensure()


def test_a_missing_permission_names_the_action_and_the_remedy(s3: S3):
    s3.fail(lambda asked: asked.method == "PUT", status="403 Forbidden", code="AccessDenied")
    with pytest.raises(AwsError) as caught:
        SweepBucket(cloud_at(s3.endpoint), "us-east-1", SWEEP).ensure()
    assert caught.value.action == "s3:CreateBucket"
    assert "allow s3:CreateBucket on the bucket" in str(caught.value)


def test_a_bucket_of_the_users_in_another_region_is_used_where_it_is(s3: S3):
    cloud_at(s3.endpoint).client("s3", "eu-west-1").create_bucket(
        Bucket="ours", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    bucket = SweepBucket(cloud_at(s3.endpoint), "us-east-1", SWEEP, "ours")
    url, _ = bucket.put_pack("tok", b"pack")
    assert bucket.region == "eu-west-1"
    assert "/eu-west-1/s3/aws4_request" in parse_qs(urlsplit(url).query)["X-Amz-Credential"][0]


# --- what instances begin with ---------------------------------------------------------------------------------------


def test_a_pack_is_fetched_by_its_url_alone(field: Field):
    url, sha = field.bucket.put_pack("tok1", b"the pack")
    assert get(url) == b"the pack"
    assert sha == hashlib.sha256(b"the pack").hexdigest()
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"] and query["X-Amz-Expires"] == ["604800"]
    assert urlsplit(url).path == f"/{field.bucket.name}/sweeps/{SWEEP}/packs/tok1.tar.gz"


def test_at_amazon_a_url_is_signed_by_version_4_for_the_region(monkeypatch: pytest.MonkeyPatch):
    settle_environment(monkeypatch, "")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setattr(Cloud, "caller", lambda self: (ACCOUNT, "arn"))
    grant = SweepBucket(Cloud(), "eu-west-1", SWEEP).grant(False)
    assert grant.url == f"https://spawn-results-{ACCOUNT}-eu-west-1.s3.eu-west-1.amazonaws.com/"
    assert dict(grant.fields)["x-amz-algorithm"] == "AWS4-HMAC-SHA256"
    monkeypatch.setattr(
        SweepBucket,
        "files",
        lambda self, attempt: [StoredFile("a b", 1, "e", 0.0), StoredFile("/x", 1, "e", 0.0)],
    )
    ((_, url),) = SweepBucket(Cloud(), "eu-west-1", SWEEP).presigned("task_001.1")
    assert url.startswith(
        f"{grant.url}sweeps/{SWEEP}/attempts/task_001.1/a%20b?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    )
    assert SweepBucket(Cloud(), "eu-west-1", SWEEP).grant(True).url == grant.url.rstrip("/")


def test_a_pack_is_sent_once_and_never_replaced(s3: S3, field: Field):
    first, _ = field.bucket.put_pack("tok1", b"the pack")
    again, _ = SweepBucket(cloud_at(s3.endpoint), "us-east-1", SWEEP).put_pack("tok1", b"the pack")
    assert urlsplit(again).path == urlsplit(first).path
    assert s3.count("PUT", "packs/") == 1
    other, sha = field.bucket.put_pack("tok1", b"another pack")
    assert (get(first), get(other)) == (b"the pack", b"another pack")
    assert urlsplit(other).path.endswith(f"packs/tok1.{sha[:16]}.tar.gz")
    field.bucket.put_pack("tok1", b"another pack")
    assert s3.count("PUT", "packs/") == 2


def test_a_project_is_sent_once_per_content_in_one_piece_or_in_parts(
    s3: S3, field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(upload, "PART", 5 << 20)
    content = bytes(range(256)) * (48 << 10)  # 12 MiB
    path = tmp_path / "project.tar.gz"
    path.write_bytes(content)
    sha = hashlib.sha256(content).hexdigest()
    assert get(field.bucket.put_project(sha, path)) == content
    assert sum("partNumber" in asked.query for asked in s3.asked) == 3
    assert get(field.bucket.put_project(sha, path)) == content
    assert sum("partNumber" in asked.query for asked in s3.asked) == 3
    assert get(field.bucket.put_project("0" * 64, b"small")) == b"small"


def test_a_part_that_cannot_be_sent_leaves_no_parts_behind(
    s3: S3, field: Field, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(upload, "PART", 5 << 20)
    s3.fail(lambda asked: "partNumber=2" in asked.query, status="500 No", code="InternalError")
    with pytest.raises(AwsError) as caught:
        field.bucket.put_project("1" * 64, bytes(12 << 20))
    assert caught.value.kind == "server"
    client = cloud_at(s3.endpoint).client("s3", "us-east-1")
    assert client.list_multipart_uploads(Bucket=field.bucket.name).get("Uploads", []) == []
    assert s3.keys(field.bucket.name) == []


def test_what_is_signed_lasts_no_longer_than_the_credentials(
    s3: S3, field: Field, monkeypatch: pytest.MonkeyPatch
):
    expires = time.time() + 3600
    monkeypatch.setattr(Cloud, "credentials_last", lambda self: expires)
    url, _ = field.bucket.put_pack("tok1", b"the pack")
    assert 3500 < int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0]) <= 3600
    grant = field.bucket.grant(False)
    assert grant.expires_at is not None and expires - 60 < grant.expires_at <= expires + 1


def test_credentials_that_run_out_are_renewed_by_a_request_before_they_sign(
    s3: S3, field: Field, monkeypatch: pytest.MonkeyPatch
):
    told = [time.time() + 60, time.time() + 3600]
    monkeypatch.setattr(Cloud, "credentials_last", lambda self: told.pop(0))
    s3.asked.clear()
    grant = field.bucket.grant(False)
    assert s3.count("HEAD") == 1
    assert grant.expires_at is not None and grant.expires_at > time.time() + 3000


def test_expired_credentials_sign_nothing(field: Field, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Cloud, "credentials_last", lambda self: time.time() - 5)
    with pytest.raises(AwsError) as caught:
        field.bucket.grant(False)
    assert caught.value.kind == "credentials"


# --- grants ----------------------------------------------------------------------------------------------------------


def test_curl_uploads_by_the_form_what_the_grant_allows(s3: S3, field: Field, tmp_path: Path):
    grant = field.bucket.grant(False)
    assert not grant.role and "key" not in dict(grant.fields)
    (tmp_path / "out").write_bytes(b"\x00result\n")
    form = [word for name, value in grant.fields for word in ("-F", f"{name}={value}")]
    key = f"sweeps/{SWEEP}/attempts/task_001.1/results/out"
    status, body = curl(*form, "-F", f"key={key}", "-F", f"file=@{tmp_path / 'out'}", grant.url)
    assert status == 204, body
    assert s3.get(field.bucket.name, key) == b"\x00result\n"


def test_the_form_is_for_this_sweep_alone(field: Field):
    import base64
    import json

    policy = json.loads(base64.b64decode(dict(field.bucket.grant(False).fields)["policy"]))
    assert ["starts-with", "$key", f"sweeps/{SWEEP}/"] in policy["conditions"]
    assert {"bucket": field.bucket.name} in policy["conditions"]
    expires = datetime.strptime(policy["expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta(days=6.9) < expires - datetime.now(UTC) <= timedelta(days=7)


def test_a_role_needs_no_fields(field: Field):
    grant = field.bucket.grant(True)
    assert (grant.url, grant.fields, grant.role) == (f"{field.s3.endpoint}/{field.bucket.name}", (), True)
    assert grant.expires_at is None


NOW = 1_795_428_000.0
HOUR = 3600.0


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def form_until(hours: float) -> UploadGrant:
    return UploadGrant("https://b", (("policy", "x"),), expires_at=NOW + hours * HOUR)


@pytest.mark.parametrize(
    ("holds", "ttl", "timeout", "what"),
    [
        (4, 8, None, "their TTL ends at 18:00"),
        (4, 8, 5, "their tasks may run until 15:10"),
        (4, 4.5, 5, "their TTL ends at 14:30"),
        (4, 30, None, "their TTL ends at 2026-11-24 16:00"),
        (4, None, None, "and they have neither ttl nor timeout"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("utc")
def test_a_form_that_dies_before_the_task_may_end_is_told(
    holds: float, ttl: float | None, timeout: float | None, what: str
):
    words = too_short(form_until(holds), ttl=ttl and ttl * HOUR, timeout=timeout and timeout * HOUR, now=NOW)
    assert words == (
        f"what instances upload with holds until 14:00 (the credentials you are logged in with end then), {what}: "
        "use iam_policy: s3:FullAccess, or an iam_role that may write to the bucket, or long-lived credentials"
    )


@pytest.mark.parametrize(
    ("holds", "ttl", "timeout"),
    [(4, 4, None), (4, 8, 3.8), (4, None, 1), (168, None, None), (167.9, 100, None)],
)
def test_a_form_that_holds_long_enough_is_not(holds: float, ttl: float | None, timeout: float | None):
    long = {"ttl": ttl and ttl * HOUR, "timeout": timeout and timeout * HOUR}
    assert too_short(form_until(holds), **long, now=NOW) == ""


@pytest.mark.usefixtures("utc")
def test_seven_days_are_the_longest_with_any_credentials():
    words = too_short(form_until(168), ttl=200 * HOUR, timeout=None, now=NOW)
    assert words.startswith(
        "what instances upload with holds until 2026-11-30 10:00 (S3 signs for 7 days at most)"
    )
    assert "long-lived" not in words


def test_who_has_a_role_needs_no_form_that_lasts():
    assert too_short(UploadGrant("https://b", role=True), ttl=9e6, timeout=None, now=NOW) == ""
    assert too_short(form_until(1), ttl=9e6, timeout=None, now=NOW, has_role=True) == ""


def test_a_grant_shows_no_signature(field: Field):
    grant = field.bucket.grant(False)
    assert dict(grant.fields)["x-amz-signature"] not in repr(grant)
    assert dict(grant.fields)["policy"] not in repr(grant)


# --- what instances wrote --------------------------------------------------------------------------------------------


def test_a_report_is_read_and_a_missing_or_torn_one_is_none(s3: S3, field: Field):
    pytest.importorskip("spawn_tui.engine.aws.reports")
    root = f"sweeps/{SWEEP}/reports"
    body = b"status 3\nflag -\nstarted 1000\nended 1010\ninstance i-1\nmessage no luck\nend\n"
    s3.put(field.bucket.name, f"{root}/task_001.1", body)
    s3.put(field.bucket.name, f"{root}/task_002.1", body[:20])
    report = field.bucket.report("task_001.1")
    assert report is not None and (report.status, report.message) == (3, "no luck")
    assert field.bucket.report("task_002.1") is None
    assert field.bucket.report("task_003.1") is None


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        (b"1795428000\n", 1_795_428_000.0), (b"1795428000", 1_795_428_000.0), (b"", None), (b"\n", None),
        (b"soon\n", None), (b"-1795428000\n", None), (b"1795428000\n\n", None), (b"17954 28000\n", None),
        (b"\xd9\xa3\n", None), (b"9" * 13, None), (b"9" * 14, None), (b"1795428000\n1795428001\n", None),
    ],
)  # fmt: skip
def test_a_deadline_that_was_moved_on_the_instance_is_read_and_a_damaged_one_is_none(
    s3: S3, field: Field, content: bytes, seconds: float | None
):
    s3.put(field.bucket.name, f"sweeps/{SWEEP}/deadlines/task_001.1", content)
    assert field.bucket.deadline("task_001.1") == seconds
    assert field.bucket.deadline("task_001.10") is None


def test_a_deadline_that_cannot_be_asked_for_is_no_missing_deadline(s3: S3, field: Field):
    s3.fail(lambda asked: "deadlines/" in asked.path, status="500 No", code="InternalError")
    with pytest.raises(AwsError) as caught:
        field.bucket.deadline("task_001.1")
    assert caught.value.kind == "server"


def test_a_report_that_cannot_be_asked_for_is_no_missing_report(s3: S3, field: Field):
    pytest.importorskip("spawn_tui.engine.aws.reports")
    cloud_at(s3.endpoint).client("s3", "us-east-1").delete_bucket(Bucket=field.bucket.name)
    with pytest.raises(AwsError) as caught:
        field.bucket.report("task_001.1")
    assert caught.value.kind == "not_found"


def test_files_come_in_pages_and_only_of_that_attempt(s3: S3, field: Field):
    for number in range(1500):
        field.put(1, f"results/{number:04}", b"%d" % number)
    s3.put(field.bucket.name, f"sweeps/{SWEEP}/attempts/task_001.10/x", b"another's")
    files = field.bucket.files("task_001.1")
    assert [file.path for file in files] == [f"results/{number:04}" for number in range(1500)]
    assert sum(file.size for file in files) == sum(len(str(number)) for number in range(1500))
    assert sum("list-type=2" in asked.query for asked in s3.asked) == 2


def test_each_page_is_a_call_of_its_own_that_the_caller_may_repeat(s3: S3, field: Field):
    field.attempt(1)
    tried: list[str] = []

    def patient(operation, function):  # as the pacer does it
        for _ in range(3):
            try:
                return function()
            except AwsError as error:
                tried.append(error.kind)
        raise AssertionError("it never went")

    s3.slow_down(lambda asked: "list-type=2" in asked.query, 2)
    bucket = SweepBucket(cloud_at(s3.endpoint), "us-east-1", SWEEP, call=patient)
    assert len(bucket.files("task_001.1")) == 4
    assert tried == ["throttled", "throttled"]


def test_throttling_is_told_after_one_try(s3: S3, field: Field):
    s3.slow_down(lambda asked: True)
    s3.asked.clear()
    with pytest.raises(AwsError) as caught:
        field.bucket.files("task_001.1")
    assert (caught.value.kind, caught.value.code, len(s3.asked)) == ("throttled", "SlowDown", 1)


def test_nothing_of_a_dead_server_looks_like_an_empty_bucket(field: Field, monkeypatch: pytest.MonkeyPatch):
    settle_environment(monkeypatch, "http://127.0.0.1:9")
    bucket = SweepBucket(Cloud(), "us-east-1", SWEEP, "ours")
    for ask in (lambda: bucket.files("a"), lambda: bucket.read("a", "b", 0, 1), bucket.ensure):
        with pytest.raises(AwsError) as caught:
            ask()
        assert caught.value.kind == "unreachable"


def test_the_files_of_the_attempt_before_come_by_url(field: Field):
    whole = field.attempt(1, {"ckpt/a b+c é%.pt": b"weights", "../outside": b"no"})
    del whole["../outside"]
    urls = dict(field.bucket.presigned("task_001.1"))
    assert {path: get(url) for path, url in urls.items()} == whole


def test_ranges_are_read_and_behind_the_end_there_is_nothing(field: Field):
    field.put(1, "stdout.log", b"0123456789")
    assert field.bucket.read("task_001.1", "stdout.log", 3, 4) == b"3456"
    assert field.bucket.read("task_001.1", "stdout.log", 8, 100) == b"89"
    assert field.bucket.read("task_001.1", "stdout.log", 10, 100) == b""
    with pytest.raises(AwsError) as caught:
        field.bucket.read("task_001.1", "stderr.log", 0, 10)
    assert caught.value.kind == "not_found"


def test_a_piece_of_a_file_that_did_not_change_is_one_request_without_content(s3: S3, field: Field):
    field.put(1, "stdout.log", b"0123456789")
    piece = field.bucket.piece("task_001.1", "stdout.log", 0, 100)
    assert piece is not None and (piece.data, piece.size) == (b"0123456789", 10)
    s3.asked.clear()
    same = field.bucket.piece("task_001.1", "stdout.log", 10, 100, piece)
    assert same is not None and (same.data, same.size, len(s3.asked)) == (b"", 10, 1)
    field.put(1, "stdout.log", b"0123456789ab")
    more = field.bucket.piece("task_001.1", "stdout.log", 10, 100, piece)
    assert more is not None and (more.data, more.size) == (b"ab", 12)
    field.put(1, "stdout.log", b"012")
    less = field.bucket.piece("task_001.1", "stdout.log", 12, 100, more)
    assert less is not None and (less.data, less.size) == (b"", 3)
    assert field.bucket.piece("task_001.1", "nothing", 0, 100) is None


def test_a_fetched_range_is_of_the_version_that_was_listed(field: Field):
    field.put(1, "x", b"0123456789")
    (file,) = field.bucket.files("task_001.1")
    got = bytearray()
    assert field.bucket.fetch("task_001.1", file, 2, 3, got.extend) == file.md5 != ""
    assert got == b"234"
    field.put(1, "x", b"abcdefghij")
    with pytest.raises(FileChanged):
        field.bucket.fetch("task_001.1", file, 2, 3, got.extend)


def test_an_answer_that_is_cut_off_leaves_what_came_and_is_unreachable(s3: S3, field: Field):
    field.put(1, "x", b"0123456789" * 1000)
    (file,) = field.bucket.files("task_001.1")
    s3.fail(lambda asked: asked.range != "", cut=4000)
    got = bytearray()
    with pytest.raises(AwsError) as caught:
        field.bucket.fetch("task_001.1", file, 0, 10_000, got.extend)
    assert caught.value.kind == "unreachable"
    assert bytes(got) == (b"0123456789" * 1000)[: len(got)]


def test_an_answer_that_is_too_short_is_no_answer(s3: S3, field: Field):
    field.put(1, "x", b"0123456789")
    (file,) = field.bucket.files("task_001.1")
    s3.fail(lambda asked: asked.range != "", range="bytes=2-3")
    got = bytearray()
    with pytest.raises(AwsError, match="only 2 of 5 bytes came") as caught:
        field.bucket.fetch("task_001.1", file, 2, 5, got.extend)
    assert caught.value.kind == "unreachable" and got == b"23"


def test_only_the_named_files_are_deleted(s3: S3, field: Field, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(buckets, "_AT_ONCE", 2)
    field.attempt(1)
    field.attempt(2)
    files = field.bucket.files("task_001.1")
    field.put(1, "late", b"came after the list")
    field.bucket.remove("task_001.1", files)
    assert [file.path for file in field.bucket.files("task_001.1")] == ["late"]
    assert len(field.bucket.files("task_002.1")) == 4
