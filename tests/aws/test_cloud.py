"""The session to AWS: times as botocore reads them, only sooner; credentials in words; renewed while others ask."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

import pytest
from botocore.utils import parse_timestamp
from spawn_tui.engine.aws.cloud import Cloud, _timestamp
from spawn_tui.engine.aws.errors import AwsError

from .ec2_field import Answer, Form, Recorder


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-23T01:00:00.000Z", "2026-11-23T01:00:00Z", "2026-11-23T01:00:00+02:00", "2026-11-23T01:00:00",
        "Mon, 23 Nov 2026 01:00:00 GMT", "1795397583", 1795397583, 1795397583.5, "20261123", "2026-11-23",
    ],
)  # fmt: skip
def test_times_are_read_as_botocore_reads_them(value: object) -> None:
    assert _timestamp(value) == parse_timestamp(value)


def test_what_is_no_time_is_an_error() -> None:
    with pytest.raises(ValueError, match="Tomorrow"):
        _timestamp("Tomorrow")


def test_clients_read_times_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    client = Cloud().client("ec2", "us-east-1")
    parser = client._endpoint._response_parser_factory.create_parser("ec2")
    assert parser._timestamp_parser is _timestamp


# --- credentials -----------------------------------------------------------------------------------------------------

ROLE, MFA = "arn:aws:iam::123456789012:role/runner", "arn:aws:iam::123456789012:mfa/ada"
PROFILES = f"""
[profile base]
aws_access_key_id = AKIABASE
aws_secret_access_key = hush-hush
[profile role]
role_arn = {ROLE}
source_profile = base
[profile mfa]
role_arn = {ROLE}
source_profile = base
mfa_serial = {MFA}
[profile lone]
role_arn = {ROLE}
source_profile = nobody
[profile gone]
credential_process = /nowhere/at-all --key hush-hush
[profile prose]
credential_process = /bin/echo hush-hush please
[profile listed]
credential_process = /bin/echo '["hush-hush"]'
[profile failing]
credential_process = /bin/sh -c "echo not signed in >&2; exit 3"
[profile token]
role_arn = {ROLE}
web_identity_token_file = /nowhere/token
"""
ASKS: dict[str, Callable[[Cloud], object]] = {
    "how long they hold": lambda cloud: cloud.credentials_last(),
    "who asks": lambda cloud: cloud.caller(),
}


@pytest.fixture
def sts() -> Iterator[Recorder]:
    recorder = Recorder(lambda action, form: refused("InternalFailure", 500))
    with recorder.cloud():
        yield recorder


@pytest.fixture
def home(sts: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose profiles are those above, and whose every service is `sts`."""
    (tmp_path / "config").write_text(PROFILES)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    return tmp_path


def refused(code: str, status: int, words: str = "no") -> Answer:
    """An error as STS words it."""
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error>"
    return status, f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>"


def in_an_hour() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


def as_sts(until: datetime) -> Callable[[str, Form], Answer]:
    """Answers that a role may be taken on until then, and who asks."""

    def answer(action: str, form: Form) -> Answer:
        if action == "AssumeRole":
            inside = (
                "<Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>hush-hush</SecretAccessKey>"
                f"<SessionToken>tok</SessionToken><Expiration>{until:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            )
        else:
            inside = f"<Account>123456789012</Account><Arn>{ROLE}</Arn><UserId>u</UserId>"
        return 200, f"<{action}Response><{action}Result>{inside}</{action}Result></{action}Response>"

    return answer


def failed(ask: Callable[[], object]) -> AwsError:
    with pytest.raises(AwsError) as raised:
        ask()
    return raised.value


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("gone", "/nowhere/at-all: No such file or directory"),
        ("prose", "what was to be JSON"),
        ("listed", "AttributeError while they were loaded"),
        ("token", "/nowhere/token: No such file or directory"),
        ("lone", "source_profile"),
        ("mfa", "need an MFA code"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_keeps_from_the_credentials_is_told_with_the_remedy(
    ask: Callable[[Cloud], object], profile: str, words: str
) -> None:
    cloud = Cloud(profile)
    for _ in range(3):  # botocore says something else of MFA the second time
        error = failed(lambda: ask(cloud))
        assert error.kind == "credentials"
        assert f"of the profile {profile} " in str(error) and words in str(error)
        assert f"`aws sts get-caller-identity --profile {profile}`" in str(error)
        assert "hush-hush" not in str(error) and error.__cause__ is None
    cloud.renew()
    assert words in str(failed(lambda: ask(cloud)))


@pytest.mark.usefixtures("home")
def test_what_a_program_for_credentials_complains_of_is_one_line() -> None:
    error = failed(Cloud("failing").credentials_last)
    assert error.kind == "credentials" and str(error).endswith("custom-process: not signed in")


@pytest.mark.usefixtures("home")
def test_what_aws_says_of_a_role_stays_what_it_is(sts: Recorder) -> None:
    told = failed(Cloud("role").caller)
    assert (told.kind, told.code) == ("server", "InternalFailure")
    words = "User: ada is not authorized to perform: sts:AssumeRole on resource: x"
    sts.answer = lambda action, form: refused("AccessDenied", 403, words)
    told = failed(Cloud("role").caller)
    assert (told.kind, told.action) == ("permission", "sts:AssumeRole")
    assert set(sts.actions) == {"AssumeRole"}


@pytest.mark.usefixtures("home")
def test_how_long_a_role_holds_is_known_before_anything_was_asked(sts: Recorder) -> None:
    until = in_an_hour()
    sts.answer = as_sts(until)
    assert Cloud("role").credentials_last() == until.timestamp()
    assert Cloud("base").credentials_last() is None


def test_a_role_that_the_command_line_has_taken_on_is_used(home: Path, sts: Recorder) -> None:
    """It asks for the code, and we do not; nothing is written there."""
    cloud = Cloud("mfa")
    assert "enter it there" in str(failed(cloud.caller))
    key = hashlib.sha1(
        json.dumps({"RoleArn": ROLE, "SerialNumber": MFA}, sort_keys=True).encode()
    ).hexdigest()
    until = in_an_hour()
    credentials = {
        "AccessKeyId": "ASIAROLE", "SecretAccessKey": "hush-hush", "SessionToken": "tok",
        "Expiration": f"{until:%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip
    cache = home / ".aws" / "cli" / "cache"
    cache.mkdir(parents=True)
    (cache / f"{key}.json").write_text(json.dumps({"Credentials": credentials}))
    sts.answer = as_sts(until)
    cloud.renew()
    assert cloud.caller() == ("123456789012", ROLE)
    assert cloud.credentials_last() == until.timestamp()
    assert sts.actions == ["GetCallerIdentity"]
    Cloud("role").caller()
    assert sts.actions == ["GetCallerIdentity", "AssumeRole", "GetCallerIdentity"]
    assert [path.name for path in cache.iterdir()] == [f"{key}.json"]


# --- renewed while others ask ----------------------------------------------------------------------------------------


class Meddled:
    """A lock after whose every release somebody renews the cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._lock = cloud, cloud._lock
        self._meddles = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
        if not self._meddles:
            self._meddles = True
            self._cloud.renew()
            self._meddles = False


@pytest.mark.parametrize("ask", [*ASKS.values(), lambda cloud: cloud.client("sts", "us-east-1")])
@pytest.mark.usefixtures("home")
def test_who_asks_while_it_is_renewed_gets_an_answer(sts: Recorder, ask: Callable[[Cloud], object]) -> None:
    until = in_an_hour()
    sts.answer = as_sts(until)
    cloud = Cloud("role")
    cloud._lock = Meddled(cloud)  # type: ignore[assignment]
    assert ask(cloud) is not None
    assert cloud._session is None and not cloud._clients


@pytest.mark.usefixtures("home")
def test_an_account_that_was_asked_for_before_it_was_renewed_is_not_kept(sts: Recorder) -> None:
    cloud = Cloud("base")
    known = as_sts(in_an_hour())

    def renewed_meanwhile(action: str, form: Form) -> Answer:
        if len(sts.forms) == 1:
            cloud.renew()
        return known(action, form)

    sts.answer = renewed_meanwhile
    for _ in range(3):
        assert cloud.caller() == ("123456789012", ROLE)
    assert sts.actions == ["GetCallerIdentity"] * 2


def test_an_aws_that_is_played_is_the_only_one_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever account and endpoint the shell has: a demo's sweep must never launch there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://elsewhere.example.org")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    cloud = Cloud("http://127.0.0.1:9")
    for service in ("ec2", "s3", "sts", "pricing", "service-quotas", "ssm", "iam"):
        assert cloud.client(service, "us-west-2").meta.endpoint_url == "http://127.0.0.1:9"
    assert cloud.home_region() == "us-east-1" and cloud.credentials_last() is None
    assert cloud.client("ec2", "us-west-2")._request_signer._credentials.access_key == "AKIAEMULATOR"
    assert Cloud("work").played == "" and cloud.played == "http://127.0.0.1:9"
