"""One object into S3: in one piece, or, where that would be long lost by one error, in parts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from .errors import AwsError

PART = 32 << 20
"""Bytes of one part; what is not larger goes in one piece. S3 takes 10,000 parts."""


class Send(Protocol):
    """Makes one request of the client: the operation's name, and what to call. Raises `AwsError`."""

    def __call__(self, operation: str, request: Callable[[Any], Any], /) -> dict[str, Any]: ...


def upload(send: Send, bucket: str, key: str, content: Path | bytes, sha: str) -> None:
    """Store `content` under `key`, and with it `sha`, its SHA-256 in hex, for who asks later what stands there.

    Raises `AwsError`, `OSError`; then nothing stands there, and what came of the parts is thrown away.
    """
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    about = {"Bucket": bucket, "Key": key}
    if size <= PART:
        body = content if isinstance(content, bytes) else content.read_bytes()
        send("PutObject", lambda client: client.put_object(**about, Body=body, Metadata={"sha256": sha}))
        return
    begun = send(
        "CreateMultipartUpload", lambda c: c.create_multipart_upload(**about, Metadata={"sha256": sha})
    )
    upload_id = str(begun["UploadId"])
    try:
        parts = [
            _send_part(send, {**about, "UploadId": upload_id}, number, content)
            for number in range(1, -(-size // PART) + 1)
        ]
        send(
            "CompleteMultipartUpload",
            lambda client: client.complete_multipart_upload(
                **about, UploadId=upload_id, MultipartUpload={"Parts": parts}
            ),
        )
    except (AwsError, OSError) as error:
        try:
            send("AbortMultipartUpload", lambda c: c.abort_multipart_upload(**about, UploadId=upload_id))
        except AwsError as also:
            error.add_note(f"the parts of {key} in {bucket} could not be thrown away: {also}")
        raise


def _send_part(send: Send, about: dict[str, Any], number: int, content: Path | bytes) -> dict[str, Any]:
    start = (number - 1) * PART
    if isinstance(content, bytes):
        piece = content[start : start + PART]
    else:
        with content.open("rb") as file:
            file.seek(start)
            piece = file.read(PART)
    sum_ = base64.b64encode(hashlib.md5(piece, usedforsecurity=False).digest()).decode()
    told = send(
        "UploadPart",
        lambda client: client.upload_part(**about, PartNumber=number, Body=piece, ContentMD5=sum_),
    )
    return {"PartNumber": number, "ETag": str(told["ETag"])}
