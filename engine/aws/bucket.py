"""A sweep's place in S3: what instances need to begin, what they write, and what they reported before they went.

    sweeps/<sweep-id>/packs/<token>.tar.gz        what the instances of one launch need
    sweeps/<sweep-id>/attempts/<attempt>/<path>   the files of an attempt
    sweeps/<sweep-id>/reports/<attempt>           its report, written last
    sweeps/<sweep-id>/deadlines/<attempt>         when its TTL ends, if that was moved from the instance itself
    projects/<sha256>.tar.gz                      the project, once per content

Signed URLs carry the right to do what they say: they belong into user data and packs, never into messages or journals.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from .bucket_home import BucketHome, Call, directly
from .cloud import Cloud, asked
from .errors import AwsError
from .grants import LONGEST, UploadGrant
from .model import Report
from .reports import parse_report
from .stored import FileChanged, Piece, StoredFile, is_changed, is_plain, reading, stored_file, whole
from .upload import upload

RENEWAL = 15 * 60.0
"""Seconds of its life below which botocore renews a credential when it is used next (botocore/credentials.py)."""
PIECE = 1 << 20
REPORT_LIMIT = 64 << 10
"""Bytes of a report that are looked at."""
DEADLINE_LIMIT = 12
"""Digits of a deadline, and of what is looked at."""
_AT_ONCE = 1000
"""Keys one DeleteObjects takes."""


class SweepBucket:
    """What one sweep keeps in the bucket of one region. Safe in many threads. Every method raises `AwsError`.

    `name` empty: `spawn-results-<account>-<region>`. `call` carries out each single request.
    """

    def __init__(
        self, cloud: Cloud, region: str, sweep_id: str, name: str = "", *, call: Call = directly
    ) -> None:
        self.sweep_id = sweep_id
        self._cloud = cloud
        self._home = BucketHome(cloud, region, name, call)
        self._root = f"sweeps/{sweep_id}/"

    @property
    def name(self) -> str:
        return self._home.name

    @property
    def region(self) -> str:
        """Where it really is: a bucket the user named may stand in another region than the instances."""
        return self._home.region

    def ensure(self) -> None:
        """See that the bucket is there and ours; make it, private and encrypted, if there is none of that name."""
        self._home.ensure()

    # --- for instances that begin --------------------------------------------------------------------------------

    def put_pack(self, token: str, content: bytes) -> tuple[str, str]:
        """Store what the instances of a launch need; a signed URL to get it, and its SHA-256 in hex.

        A pack is never replaced, for instances may be on their way to it: where another stands under this token, the
        checksum becomes part of the name.
        """
        sha = hashlib.sha256(content).hexdigest()
        key = f"{self._root}packs/{token}.tar.gz"
        stored = self._stored(key)
        if stored not in (None, sha):
            key = f"{self._root}packs/{token}.{sha[:16]}.tar.gz"
            stored = self._stored(key)
        if stored != sha:
            self._put(key, content, sha)
        return self._url(key), sha

    def put_project(self, sha: str, content: Path | bytes) -> str:
        """Store the project's archive, if it is not there; a signed URL to get it. `sha`: its SHA-256 in hex."""
        key = f"projects/{sha}.tar.gz"
        if self._stored(key) != sha:
            self._put(key, content, sha)
        return self._url(key)

    def grant(self, role: bool) -> UploadGrant:
        """The right to upload anything below this sweep's prefix; `role`: the instance has a role that allows it."""
        seconds = LONGEST if role else self._lasting()
        with asked("PutObject"):
            form: Any = self._home.client.generate_presigned_post(
                self.name,
                f"{self._root}${{filename}}",  # botocore makes `starts-with` of it
                ExpiresIn=int(seconds),
            )
        url = str(form["url"])
        if role:
            return UploadGrant(url.rstrip("/"), role=True)
        fields = cast("dict[str, str]", form["fields"])
        return UploadGrant(
            url,
            tuple((name, value) for name, value in sorted(fields.items()) if name != "key"),
            expires_at=time.time() + int(seconds),
        )

    def presigned(self, attempt: str) -> tuple[tuple[str, str], ...]:
        """Path and signed URL of each file of an attempt, for the attempt that goes on from it."""
        seconds = self._lasting()
        return tuple(
            (file.path, self._url(self._key(attempt, file.path), seconds))
            for file in self.files(attempt)
            if file.is_safe
        )

    # --- what they wrote -----------------------------------------------------------------------------------------

    def report(self, attempt: str) -> Report | None:
        """What the instance said of its attempt before it went; None if it said nothing that can be read."""
        content = self._said(f"reports/{attempt}", REPORT_LIMIT)
        return None if content is None else parse_report(content)

    def deadline(self, attempt: str) -> float | None:
        """When the attempt's TTL ends, in seconds since 1970, as the instance goes by it; None unless that was moved on
        the instance (`spored extend`), and if it cannot be read.
        """
        content = self._said(f"deadlines/{attempt}", DEADLINE_LIMIT + 2)
        digits = (content or b"").removesuffix(b"\n")
        return float(digits) if digits.isdigit() and len(digits) <= DEADLINE_LIMIT else None

    def _said(self, name: str, limit: int) -> bytes | None:
        """At most `limit` bytes of what an instance has put there; None if there is no such thing."""
        try:
            answer = self._get(f"{self._root}{name}")
        except FileChanged:
            return None
        with reading(), closing(answer["Body"]) as body:
            return cast("bytes", body.read(limit))

    def files(self, attempt: str) -> list[StoredFile]:
        """All files of an attempt, in the order of their keys."""
        prefix = self._key(attempt, "")
        return [
            stored_file(item, len(prefix))
            for page in self._pages(prefix)
            for item in page.get("Contents", [])
        ]

    def begun(self) -> set[str]:
        """The attempts of which anything is there, by their names."""
        prefix = f"{self._root}attempts/"
        return {
            str(each["Prefix"])[len(prefix) : -1]
            for page in self._pages(prefix, Delimiter="/") for each in page.get("CommonPrefixes", [])
        }  # fmt: skip

    def reported(self) -> set[str]:
        """The attempts of which there is a report, by their names."""
        prefix = f"{self._root}reports/"
        return {
            str(item["Key"])[len(prefix) :]
            for page in self._pages(prefix) for item in page.get("Contents", [])
        }  # fmt: skip

    def _pages(self, prefix: str, **more: str) -> Iterator[dict[str, Any]]:
        """What ListObjectsV2 says of all keys that begin so, a thousand at a time."""
        request = {"Bucket": self.name, "Prefix": prefix, **more}
        while True:
            page = self._home.ask(
                "ListObjectsV2",
                "s3:ListBucket",
                lambda client, request=request: client.list_objects_v2(**request),
            )
            yield page
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token or token == request.get("ContinuationToken"):
                return
            request = {**request, "ContinuationToken": str(token)}

    def fetch(
        self, attempt: str, file: StoredFile, offset: int, count: int, write: Callable[[bytes], object]
    ) -> str:
        """Hand over `count` bytes of a listed file from `offset` on, in pieces as they come; what came stays with the
        taker if the connection drops. Returns the MD5 in hex that the whole file shall have, empty if S3 knows none.

        Raises `FileChanged`.
        """
        wanted = {"Range": f"bytes={offset}-{offset + count - 1}"} if file.size else {}
        answer = self._get(self._key(attempt, file.path), IfMatch=f'"{file.etag}"', **wanted)
        if offset and not str(answer.get("ContentRange", "")).startswith(f"bytes {offset}-"):
            raise AwsError(
                "other", "", f"the server of {self.name} does not answer with the range it was asked for"
            )
        came = 0
        with reading(), closing(answer["Body"]) as body:
            while piece := cast("bytes", body.read(min(PIECE, max(1, count - came)))):
                came += len(piece)
                write(piece)
                if came >= count:
                    break
        if came != count:
            raise AwsError("unreachable", "", f"only {came} of {count} bytes came", "GetObject")
        return file.md5 if is_plain(answer) else ""

    def md5(self, attempt: str, file: StoredFile) -> str:
        """As `fetch` returns it, without the content. Raises `FileChanged`."""
        try:
            answer = self._head(self._key(attempt, file.path), IfMatch=f'"{file.etag}"')
        except AwsError as error:
            if is_changed(error):
                raise FileChanged(str(error)) from error
            raise
        return file.md5 if is_plain(answer) else ""

    def read(self, attempt: str, path: str, offset: int, count: int) -> bytes:
        """At most `count` bytes of a file from `offset` on; none behind its end."""
        piece = self.piece(attempt, path, offset, count)
        if piece is None:
            raise AwsError("not_found", "NoSuchKey", f"there is no {path!r} of {attempt} in {self.name}")
        return piece.data

    def piece(
        self, attempt: str, path: str, offset: int, count: int, known: Piece | None = None
    ) -> Piece | None:
        """At most `count` bytes from `offset` on; none, in one request, while the file is as `known`. None: no file."""
        key = self._key(attempt, path)
        wanted = {"IfNoneMatch": f'"{known.etag}"'} if known is not None else {}
        try:
            if not count:
                return whole(self._head(key))
            answer = self._get(key, Range=f"bytes={offset}-{offset + count - 1}", **wanted)
            with reading(), closing(answer["Body"]) as body:
                data = cast("bytes", body.read())
            size = int(str(answer.get("ContentRange", f"/{len(data)}")).rpartition("/")[2])
            return Piece(data[:count], size, str(answer["ETag"]).strip('"'))
        except FileChanged:
            return None
        except AwsError as error:
            if error.code == "304" and known is not None:
                return replace(known, data=b"")
            if is_changed(error):
                return None
            if error.code not in ("InvalidRange", "416"):
                raise
        return self.piece(attempt, path, 0, 0)

    def remove(self, attempt: str, files: Sequence[StoredFile]) -> None:
        """Delete exactly these files of an attempt: the caller has seen that they are at home."""
        for start in range(0, len(files), _AT_ONCE):
            keys = [{"Key": self._key(attempt, file.path)} for file in files[start : start + _AT_ONCE]]
            told = self._home.ask(
                "DeleteObjects",
                "s3:DeleteObject",
                lambda client, keys=keys: client.delete_objects(
                    Bucket=self.name, Delete={"Objects": keys, "Quiet": True}
                ),
            )
            for wrong in told.get("Errors", []):
                code = str(wrong.get("Code", ""))
                raise AwsError(
                    "permission" if code == "AccessDenied" else "other",
                    code,
                    f"{wrong.get('Key')!r} in {self.name} stays: {wrong.get('Message', '')}",
                    "DeleteObjects",
                    "s3:DeleteObject" if code == "AccessDenied" else "",
                )

    # --- requests ------------------------------------------------------------------------------------------------

    def _key(self, attempt: str, path: str) -> str:
        return f"{self._root}attempts/{attempt}/{path}"

    def _get(self, key: str, **conditions: str) -> dict[str, Any]:
        """The answer to GetObject. Raises `FileChanged` where there is no such object (any more) or another one."""
        try:
            return self._home.ask(
                "GetObject",
                "s3:GetObject and s3:ListBucket",  # without the latter, what is not there is "access denied"
                lambda client: client.get_object(Bucket=self.name, Key=key, **conditions),
            )
        except AwsError as error:
            if is_changed(error):
                raise FileChanged(str(error)) from error
            raise

    def _head(self, key: str, **conditions: str) -> dict[str, Any]:
        return self._home.ask(
            "HeadObject",
            "s3:GetObject and s3:ListBucket",
            lambda client: client.head_object(Bucket=self.name, Key=key, **conditions),
        )

    def _stored(self, key: str) -> str | None:
        """The SHA-256 that was stored with an object of ours, empty if none was; None if there is no such object."""
        try:
            answer = self._head(key)
        except AwsError as error:
            if is_changed(error):
                return None
            raise
        return str(answer.get("Metadata", {}).get("sha256", ""))

    def _put(self, key: str, content: Path | bytes, sha: str) -> None:
        def send(operation: str, request: Callable[[Any], Any]) -> dict[str, Any]:
            return self._home.ask(operation, "s3:PutObject", request)

        upload(send, self.name, key, content, sha)

    def _url(self, key: str, seconds: float | None = None) -> str:
        with asked("GetObject"):
            return str(
                self._home.client.generate_presigned_url(
                    "get_object",
                    Params={"Bucket": self.name, "Key": key},
                    ExpiresIn=int(self._lasting() if seconds is None else seconds),
                )
            )

    def _lasting(self) -> float:
        """Seconds that what is signed now will hold: a signature dies with the credentials that made it."""
        last = self._cloud.credentials_last()
        if last is not None and last - time.time() < RENEWAL:
            self._home.look()  # any request: botocore renews them when they are used
            last = self._cloud.credentials_last()
        left = LONGEST if last is None else min(LONGEST, last - time.time())
        if left < 1:
            raise AwsError("credentials", "ExpiredToken", "the credentials have expired; sign in again")
        return left
