"""What the bucket says of a file in it: values, and how they are read from S3's answers."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..collect.landing import UnsafePath, parts_of
from .cloud import asked
from .errors import AwsError

_MD5 = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an attempt in the bucket. `path` is relative to the attempt; `at` (seconds since 1970): its upload."""

    path: str
    size: int
    etag: str
    at: float

    @property
    def md5(self) -> str:
        """Its MD5 in hex, if it came in one part and is not encrypted by a key of KMS; empty if it surely is not that.

        "Common Response Headers" of the S3 API, ETag.
        """
        return self.etag if _MD5.match(self.etag) else ""

    @property
    def is_safe(self) -> bool:
        """Whether its path names a place below a directory: keys may be anything, `../x` and `/x` among them."""
        try:
            parts_of(self.path)
        except UnsafePath:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a file that may be growing, and its whole size."""

    data: bytes
    size: int
    etag: str


class FileChanged(Exception):
    """The file in the bucket is not the one that was listed, or is gone."""


@contextmanager
def reading() -> Generator[None, None, None]:
    """Around the reading of an answer's body: one that was cut off is a connection that dropped."""
    try:
        with asked("GetObject"):
            yield
    except AwsError as error:
        if error.code != "IncompleteReadError":
            raise
        raise AwsError("unreachable", "", error.words, error.operation) from error


def stored_file(item: dict[str, Any], skip: int) -> StoredFile:
    return StoredFile(
        str(item["Key"])[skip:],
        int(item["Size"]),
        str(item["ETag"]).strip('"'),
        float(item["LastModified"].timestamp()),
    )


def whole(answer: dict[str, Any]) -> Piece:
    return Piece(b"", int(answer["ContentLength"]), str(answer["ETag"]).strip('"'))


def is_plain(answer: dict[str, Any]) -> bool:
    """Whether the ETag of an object that came in one part is its MD5: not where KMS or the user holds the key."""
    return answer.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in answer


def is_changed(error: AwsError) -> bool:
    """Whether it says that there is no such object, or not of that version; not that there is no bucket."""
    return error.code in ("PreconditionFailed", "412", "NoSuchKey", "404")
