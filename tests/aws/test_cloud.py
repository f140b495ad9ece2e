"""The session to AWS reads times as botocore does, only sooner."""

from __future__ import annotations

import pytest
from botocore.utils import parse_timestamp
from spawn_tui.engine.aws.cloud import Cloud, _timestamp


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
