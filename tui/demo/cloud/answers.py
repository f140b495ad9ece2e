"""Answers in the forms of AWS: XML of the query APIs and of S3, and JSON."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

from .call import Call, Environ

Start = Callable[..., Any]
Tree = str | int | bool | Mapping[str, "Tree"] | Sequence["Tree"]
"""What becomes XML: the members of a list are `<item>`s."""
_EC2 = "http://ec2.amazonaws.com/doc/2016-11-15/"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    kind: str = "text/xml;charset=UTF-8"
    code: str = ""
    """The error's code, if it is one."""

    def send(self, environ: Environ, start: Start) -> Iterable[bytes]:
        line = f"{self.status} {HTTPStatus(self.status).phrase}"
        start(line, [("Content-Type", self.kind), ("Content-Length", str(len(self.body)))])
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [self.body]


class Refused(Exception):
    """A call that is not carried out: the code, the words and the HTTP status it is answered with."""

    def __init__(self, code: str, words: str, status: int = 400) -> None:
        super().__init__(f"{code}: {words}")
        self.code, self.words, self.status = code, words, status


def ec2_answer(action: str, tree: Mapping[str, Tree]) -> Answer:
    inner = _xml({"requestId": _request_id(), **tree})
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{_EC2}">{inner}</{action}Response>'
    )
    return Answer(200, text.encode())


def json_answer(document: Mapping[str, Any] | Sequence[Any]) -> Answer:
    return Answer(200, json.dumps(document).encode(), "application/x-amz-json-1.1")


def refusal(call: Call, error: Refused) -> Answer:
    """An error in the form which that service uses."""
    code, words = error.code, error.words
    if call.service == "s3":
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code><Message>{escape(words)}'
            f"</Message><RequestId>{_request_id()}</RequestId></Error>"
        )
        return Answer(error.status, text.encode(), "application/xml", code)
    if call.service in ("iam", "sts"):
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(words)}</Message>"
            f"</Error><RequestId>{_request_id()}</RequestId></ErrorResponse>"
        )
        return Answer(error.status, text.encode(), code=code)
    if call.service == "ec2":
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>{escape(code)}</Code><Message>'
            f"{escape(words)}</Message></Error></Errors><RequestID>{_request_id()}</RequestID></Response>"
        )
        return Answer(error.status, text.encode(), code=code)
    body = json.dumps({"__type": code, "message": words}).encode()
    return Answer(error.status, body, "application/x-amz-json-1.1", code)


def _request_id() -> str:
    return secrets.token_hex(16)


def _xml(tree: Tree) -> str:
    if isinstance(tree, Mapping):
        return "".join(f"<{name}>{_xml(value)}</{name}>" for name, value in tree.items())
    if isinstance(tree, str):
        return escape(tree)
    if isinstance(tree, bool):
        return "true" if tree else "false"
    if isinstance(tree, int):
        return str(tree)
    return "".join(f"<item>{_xml(value)}</item>" for value in tree)
