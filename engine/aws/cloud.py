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

from .credentials import watch
from .errors import AwsError, aws_error

CONNECT_LIMIT, READ_LIMIT = 5.0, 30.0
"""Seconds for a connection, and for an answer."""


class Cloud:
    """Clients of one AWS account; safe in many threads. Nothing is asked before a client is used."""

    def __init__(self, profile: str = "") -> None:
        """`profile`: of ~/.aws/config; or the address (`http://…`) of an AWS that is only played, as the demo's: then
        nobody's credentials are used, and nothing else is ever asked.
        """
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
            # One try each: who asks here knows better what may be repeated, how often and how soon (`pacing`).
            config = Config(
                connect_timeout=CONNECT_LIMIT,
                read_timeout=READ_LIMIT,
                max_pool_connections=64,
                retries={"total_max_attempts": 1, "mode": "standard"},
                user_agent_extra="spawn-tui",
            )
            return self._opened().client(
                service, region_name=region, config=config, endpoint_url=self.played or None
            )

    @property
    def played(self) -> str:
        """Where the AWS that is only played is; empty for the real one."""
        return self._profile if self._profile.startswith("http://") else ""

    def _opened(self) -> Any:
        """The session; with the lock held."""
        if self._session is None:
            self._session = _player() if self.played else _session(self._profile)
        return self._session

    def credentials_last(self) -> float | None:
        """Seconds since 1970 until which the credentials hold; None: they do not expire. Raises `AwsError`."""
        with asked("the credentials"):
            with self._lock:
                credentials = self._opened().get_credentials()
            if credentials is None:
                raise AwsError("credentials", "", "Unable to locate credentials")
            credentials.get_frozen_credentials()  # those of a role are fetched only now, and say how long they hold
        # botocore keeps it private, and tells nobody else.
        expiry: Any = getattr(credentials, "_expiry_time", None)
        return None if expiry is None else float(expiry.timestamp())

    def renew(self) -> None:
        """Read the credentials anew: somebody may have logged in again meanwhile. Who is asking goes on as before."""
        with self._lock:
            self._session, self._caller, self._clients = None, None, {}

    def caller(self) -> tuple[str, str]:
        """The account's number and the ARN of who asks. Raises `AwsError`."""
        with self._lock:
            known = self._caller
        if known is not None:
            return known
        client = self.client("sts", self.home_region())
        with asked("GetCallerIdentity"):
            told = client.get_caller_identity()
        found = str(told["Account"]), str(told["Arn"])
        with self._lock:
            # Not if it was renewed meanwhile: it may be another account's by now.
            if client in self._clients.values():
                self._caller = found
        return found

    def home_region(self) -> str:
        """The region of the user's settings (`AWS_REGION`, profile), else us-east-1."""
        if self.played:
            return "us-east-1"
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
    session = boto3.session.Session(botocore_session=made, profile_name=profile or None)
    watch(made)
    return session


def _player() -> Any:
    """A session that nobody's settings and credentials are part of."""
    import boto3

    return boto3.session.Session("AKIAEMULATOR", "emulator", region_name="us-east-1")


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
    except AwsError:
        raise
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
