"""Where a sweep's bucket is: its name, its region, its client, and its making."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from .cloud import Cloud, asked
from .errors import AwsError

T = TypeVar("T")

ORDINARY = "us-east-1"
"""The region a bucket is made in if no other is named; to name it is an error (S3 API, CreateBucket)."""
APPEARS_WITHIN = 20
"""Seconds a new bucket has until it can be seen."""


class Call(Protocol):
    """Carries out a call to AWS, and may repeat it: `Pacer.call` is one."""

    def __call__(self, operation: str, function: Callable[[], T], /) -> T: ...


def directly(operation: str, function: Callable[[], T]) -> T:
    """One try."""
    return function()


class BucketHome:
    """Nothing is asked before it is needed. Every method raises `AwsError`."""

    def __init__(self, cloud: Cloud, region: str, name: str, call: Call) -> None:
        self._cloud, self._wanted, self._given, self._call = cloud, region, name, call
        self._lock = threading.Lock()
        self._region = "" if name else region

    @property
    def name(self) -> str:
        return self._given or f"spawn-results-{self._cloud.caller()[0]}-{self._wanted}"

    @property
    def region(self) -> str:
        """Of a bucket the user named it is asked once: requests must be signed for the region it is in."""
        with self._lock:
            if not self._region:
                self._region = self.look() or self._wanted
            return self._region

    @property
    def client(self) -> Any:
        return self._client_in(self.region)

    def look(self) -> str:
        """The region of the bucket; empty if there is none of that name."""
        # A name that can be guessed may have been taken by somebody who waits for our data.
        owner = {} if self._given else {"ExpectedBucketOwner": self._cloud.caller()[0]}
        try:
            found = self.ask(
                "HeadBucket",
                "s3:ListBucket",
                lambda client: client.head_bucket(Bucket=self.name, **owner),
                self._client_in(self._wanted),
            )
        except AwsError as error:
            if error.kind == "not_found":
                return ""
            if error.kind == "permission":
                raise self._not_ours(error) from None
            raise
        headers = found.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(found.get("BucketRegion") or headers.get("x-amz-bucket-region") or self._wanted)

    def ensure(self) -> None:
        """Make the bucket if there is none of that name: nobody else's, private, encrypted. Nothing is ever deleted."""
        region = self.look()
        if not region:
            self._make()
            region = self._wanted
        with self._lock:
            self._region = region

    def _make(self) -> None:
        client = self._client_in(self._wanted)
        place: dict[str, Any] = {}
        if self._wanted != ORDINARY:
            place["CreateBucketConfiguration"] = {"LocationConstraint": self._wanted}
        try:
            self.ask(
                "CreateBucket",
                "s3:CreateBucket",
                lambda client: client.create_bucket(
                    Bucket=self.name, ObjectOwnership="BucketOwnerEnforced", **place
                ),
                client,
            )
        except AwsError as error:
            if error.code == "BucketAlreadyExists":
                raise self._not_ours(error) from None
            if error.code == "OperationAborted":  # somebody is making or deleting it now
                raise AwsError("server", error.code, error.words, error.operation) from None
            if error.code != "BucketAlreadyOwnedByYou":
                raise
        with asked("HeadBucket"):
            client.get_waiter("bucket_exists").wait(
                Bucket=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": APPEARS_WITHIN}
            )
        # S3 does both by itself since 2023; what only speaks its language may not.
        self.ask(
            "PutPublicAccessBlock",
            "s3:PutBucketPublicAccessBlock",
            lambda client: client.put_public_access_block(
                Bucket=self.name,
                PublicAccessBlockConfiguration=dict.fromkeys(
                    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"),
                    True,
                ),
            ),
            client,
        )
        encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
        self.ask(
            "PutBucketEncryption",
            "s3:PutEncryptionConfiguration",
            lambda client: client.put_bucket_encryption(
                Bucket=self.name, ServerSideEncryptionConfiguration=encryption
            ),
            client,
        )

    def ask(
        self, operation: str, action: str, function: Callable[[Any], Any], client: Any = None
    ) -> dict[str, Any]:
        """The answer to one request of the bucket's client, or of this one. `action`: the permission it takes; if it is
        missing, that is told with the remedy.
        """

        def once() -> dict[str, Any]:
            with asked(operation):
                return cast("dict[str, Any]", function(client or self.client))

        try:
            return self._call(operation, once)
        except AwsError as error:
            if operation.startswith("Head") and error.code in ("400", "403"):
                error = self._told_in_words(client or self.client) or error
            if error.kind != "permission":
                raise error
            action = error.action or action
            raise AwsError(
                "permission",
                error.code,
                f"{error.words}; allow {action} on the bucket {self.name} and what is in it, or name a bucket you may "
                "use with `bucket` in spawn.yaml",
                operation,
                action,
            ) from error

    def _told_in_words(self, client: Any) -> AwsError | None:
        """Why a HEAD was refused. Its answers have no words: expired credentials look like a missing permission."""
        try:
            with asked("ListObjectsV2"):
                client.list_objects_v2(Bucket=self.name, MaxKeys=1)
        except AwsError as error:
            return None if error.kind == "not_found" else error
        return None

    def _client_in(self, region: str) -> Any:
        client = self._cloud.client("s3", region)
        # What botocore signs for others to use, it signs by version 2, which buckets made since June 2020 refuse, and
        # for s3.amazonaws.com, which redirects to other regions and does not know the newer ones (boto3 issue 3015).
        events = client.meta.events
        events.register_first("choose-signer.s3", _by_version_4, unique_id="spawn-version-4")
        events.register_first("before-parameter-build.s3", _for_its_region, unique_id="spawn-region")
        return client

    def _not_ours(self, error: AwsError) -> AwsError:
        return AwsError(
            "permission",
            error.code,
            f"the bucket {self.name} is another account's, or s3:ListBucket on it is not allowed to you; ask for that "
            "permission, or name a bucket of yours with `bucket` in spawn.yaml",
            error.operation,
            "s3:ListBucket",
        )


def _by_version_4(**_: object) -> str:
    return "s3v4"


def _for_its_region(context: dict[str, object], **_: object) -> None:
    context["use_global_endpoint"] = False
