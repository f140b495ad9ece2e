"""One call as it comes over the wire: which service, action and region, and who asks."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

Environ = dict[str, Any]
Asker = Literal["client", "instance", "link", "nobody"]
"""Who asks: somebody with credentials, an instance with its role's, the bearer of a signed link or form, or neither."""

ROLE_KEY = "ASIAINSTANCEROLE"
"""What the access keys begin with that instances get for their roles."""

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/([^/]+)/")
_FORM, _JSON = "application/x-www-form-urlencoded", "json"
MOST_READ = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Call:
    """`form` holds the fields of a query-API request, or of a browser's form; `document` the text of a JSON one."""

    service: str
    action: str
    region: str
    asker: Asker
    method: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict[str, str])
    document: str = "{}"
    key_id: str = ""

    def numbered(self, name: str) -> list[str]:
        """The values of a list in a query-API form, as in `InstanceId.1`."""
        found = [(int(key[len(name) + 1 :]), value) for key, value in self.form.items()
                 if key.startswith(f"{name}.") and key[len(name) + 1 :].isdigit()]  # fmt: skip
        return [value for _, value in sorted(found)]

    def filters(self) -> dict[str, list[str]]:
        """The filters of a query-API form: name → values."""
        out: dict[str, list[str]] = {}
        number = 1
        while (name := self.form.get(f"Filter.{number}.Name")) is not None:
            out[name] = self.numbered(f"Filter.{number}.Value")
            number += 1
        return out

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.document or "{}"))


def read_call(environ: Environ) -> Call:
    """Read a call; the body stays readable for whoever answers it."""
    path, method = unquote(environ.get("PATH_INFO", "/")), environ.get("REQUEST_METHOD", "GET")
    query = _flat(parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    kind = environ.get("CONTENT_TYPE", "") or ""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    form: dict[str, str] = {}
    document = "{}"
    if _FORM in kind:
        form = _flat(parse_qs(_body(environ).decode("utf-8", "replace"), keep_blank_values=True))
    elif _JSON in kind:
        document = _body(environ).decode("utf-8", "replace")
    elif "multipart/form-data" in kind and method == "POST":
        form = _browser_form(environ, kind)
    told = environ.get("HTTP_AUTHORIZATION", "")
    signed = _CREDENTIAL.search(told)
    linked = _CREDENTIAL.search(
        "Credential=" + (query.get("X-Amz-Credential") or form.get("x-amz-credential") or "")
    )
    if signed:
        key, region, service = signed.groups()
        asker: Asker = "instance" if key.startswith(ROLE_KEY) else "client"
    elif linked:
        key, region, service = linked.groups()
        asker = "link"
    else:
        key, region, service, asker = "", "", "", "nobody"
    if not service:
        service = "ec2" if "Action" in form and form.get("Version", "").startswith("2016-11") else "s3"
    action = form.get("Action", "") if _FORM in kind else ""
    action = (
        action or target.rpartition(".")[2] or (_s3_action(method, path, query) if service == "s3" else "")
    )
    return Call(service, action, region, asker, method, path, query, form, document, key)


def _flat(many: dict[str, list[str]]) -> dict[str, str]:
    return {key: values[0] for key, values in many.items()}


def _body(environ: Environ) -> bytes:
    size = min(int(environ.get("CONTENT_LENGTH") or 0), MOST_READ)
    body: bytes = environ["wsgi.input"].read(size) if size else b""
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _browser_form(environ: Environ, kind: str) -> dict[str, str]:
    """The fields of a multipart form, but for the file."""
    from werkzeug.formparser import parse_form_data

    body = _body(environ)
    _, fields, _ = parse_form_data({**environ, "wsgi.input": io.BytesIO(body)})
    return {key.lower() if key.lower().startswith("x-amz") else key: value for key, value in fields.items()}


def _s3_action(method: str, path: str, query: Mapping[str, str]) -> str:
    bucket, _, key = path.lstrip("/").partition("/")
    if not bucket:
        return "ListBuckets"
    if key:
        if "uploads" in query or "uploadId" in query:
            return {"POST": "MultipartUpload", "PUT": "UploadPart", "DELETE": "AbortMultipartUpload"}.get(
                method, "ListParts"
            )
        return {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}.get(
            method, "PostObject"
        )
    for name in ("policy", "versioning", "encryption", "publicAccessBlock", "ownershipControls", "location",
                 "lifecycle", "tagging"):  # fmt: skip
        if name in query:
            return (
                {"GET": "Get", "PUT": "Put", "DELETE": "Delete"}.get(method, method)
                + "Bucket"
                + name.capitalize()
            )
    if method == "POST":
        return "DeleteObjects" if "delete" in query else "PostObject"
    if method == "GET":
        return "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
    return {"HEAD": "HeadBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}.get(method, method)
