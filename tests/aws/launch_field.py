"""An account of moto's for the checks before a launch, with answers of one's own where moto has none or says yes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from spawn_tui.engine.aws.cloud import Cloud

Reply = Callable[[dict[str, Any]], "dict[str, Any] | Refusal | None"]


class Refusal:
    """An error as AWS answers it."""

    def __init__(self, code: str, words: str = "", status: int = 400) -> None:
        self.code, self.words, self.status = code, words, status


class _Http:
    def __init__(self, status: int) -> None:
        self.status_code = status


class FieldCloud(Cloud):
    """Goes to moto; `replies` stand before it, by operation, and `calls` has all that was asked."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session
        self.calls: list[tuple[str, str, str]] = []
        """(region, service, operation)"""
        self.replies: dict[str, Reply] = {
            "GetServiceQuota": lambda request: {
                "Quota": {"Value": 1000.0, "QuotaCode": request["QuotaCode"]}
            },
        }
        self._calls_lock = threading.Lock()

    def refuse(self, operation: str, code: str, words: str = "", status: int = 400) -> None:
        self.replies[operation] = lambda request: Refusal(code, words, status)

    def asked(self, operation: str) -> int:
        return sum(1 for *_, name in self.calls if name == operation)

    def _make(self, service: str, region: str) -> Any:
        client = super()._make(service, region)
        wanted: dict[str, dict[str, Any]] = {}

        def note(params: dict[str, Any], model: Any, **_: Any) -> None:
            wanted[f"{model.name}{threading.get_ident()}"] = dict(params)

        def stand_in(model: Any, **_: Any) -> Any:
            with self._calls_lock:
                self.calls.append((region, service, model.name))
            reply = self.replies.get(model.name)
            told = reply(wanted[f"{model.name}{threading.get_ident()}"]) if reply else None
            if isinstance(told, Refusal):
                error = {"Code": told.code, "Message": told.words}
                return _Http(told.status), {
                    "Error": error,
                    "ResponseMetadata": {"HTTPStatusCode": told.status},
                }
            return None if told is None else (_Http(200), told)

        # If a handler of `before-call` answers, botocore sends nothing (botocore.client.BaseClient._make_api_call).
        client.meta.events.register_first("before-parameter-build.*.*", note)
        client.meta.events.register_first("before-call.*.*", stand_in)
        return client


@contextmanager
def account() -> Generator[FieldCloud, None, None]:
    """An empty account in a moto of its own, with credentials that are nobody's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        from moto import mock_aws

        with mock_aws():
            yield FieldCloud(_session())


@cache
def _session() -> Any:
    """One for all tests: a session of its own would read the descriptions of all services anew for each of them."""
    import boto3

    return boto3.session.Session()
