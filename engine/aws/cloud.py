"""The way to AWS: one session with the standard credential chain, clients by service and region, account and owner.

Endpoints and profiles come from the standard settings (`AWS_ENDPOINT_URL`, `AWS_PROFILE`, `~/.aws/config`, SSO), which
boto3 reads itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from .errors import AwsError, aws_error

CONNECT_LIMIT, READ_LIMIT = 5.0, 30.0
"""Seconds for a connection, and for an answer."""


class Cloud:
    """Clients of one AWS account; safe in many threads. Nothing is asked before a client is used."""

    def __init__(self, profile: str = "") -> None:
        self._profile = profile
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self._session: Any = None
        self._caller: tuple[str, str] | None = None

    def client(self, service: str, region: str) -> Any:
        """The boto3 client of `service` in `region`; always the same. Raises `AwsError` where it cannot be made."""
        with self._lock:
            found = self._clients.get((service, region))
            if found is None:
                found = self._clients[service, region] = self._make(service, region)
            return found

    def _make(self, service: str, region: str) -> Any:
        from botocore.config import Config

        with asked(f"{service} in {region}"):
            if self._session is None:
                self._session = _session(self._profile)
            # One try each: who asks here knows better what may be repeated, how often and how soon (`pacing`).
            config = Config(
                connect_timeout=CONNECT_LIMIT,
                read_timeout=READ_LIMIT,
                max_pool_connections=64,
                retries={"total_max_attempts": 1, "mode": "standard"},
                user_agent_extra="spawn-tui",
            )
            return self._session.client(service, region_name=region, config=config)

    def credentials_last(self) -> float | None:
        """Seconds since 1970 until which the credentials hold; None: they do not expire. Raises `AwsError`."""
        with self._lock:
            if self._session is None:
                with asked("the session"):
                    self._session = _session(self._profile)
        with asked("the credentials"):
            credentials = self._session.get_credentials()
        if credentials is None:
            raise AwsError("credentials", "", "Unable to locate credentials")
        expiry: Any = getattr(
            credentials, "_expiry_time", None
        )  # botocore keeps it private, and tells nobody else
        return None if expiry is None else float(expiry.timestamp())

    def renew(self) -> None:
        """Read the credentials anew: somebody may have logged in again meanwhile."""
        with self._lock:
            self._session = self._caller = None
            self._clients.clear()

    def caller(self) -> tuple[str, str]:
        """The account's number and the ARN of who asks. Raises `AwsError`."""
        if self._caller is None:
            with asked("GetCallerIdentity"):
                told = self.client("sts", self.home_region()).get_caller_identity()
            self._caller = (str(told["Account"]), str(told["Arn"]))
        return self._caller

    def home_region(self) -> str:
        """The region of the user's settings (`AWS_REGION`, profile), else us-east-1."""
        with asked("the session"):
            session = _session(self._profile)
        return session.region_name or "us-east-1"


def _session(profile: str) -> Any:
    import boto3
    import botocore.session

    made = botocore.session.get_session()
    # botocore's own takes more than half of the time it reads a thousand instances in.
    parsers: Any = made.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_timestamp)
    return boto3.session.Session(botocore_session=made, profile_name=profile or None)


def _timestamp(value: Any) -> Any:
    """As `botocore.utils.parse_timestamp`, which stays in charge of all that is not ISO 8601 with a time."""
    if isinstance(value, str) and "T" in value:
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    from botocore.utils import parse_timestamp

    return parse_timestamp(value)


@contextmanager
def asked(operation: str = "") -> Generator[None, None, None]:
    """Whatever botocore raises within comes out as `AwsError`."""
    try:
        yield
    except Exception as error:
        told = aws_error(error, operation)
        if told is None:
            raise
        raise told from error


def pages(client: Any, operation: str, key: str, **request: Any) -> list[Any]:
    """All items under `key` over all pages of a paginated operation. Raises `AwsError`."""
    out: list[Any] = []
    with asked(client.meta.method_to_api_mapping[operation]):
        for page in client.get_paginator(operation).paginate(**request):
            out += page.get(key, [])
    return out


MakeCloud = Callable[[str], Cloud]
