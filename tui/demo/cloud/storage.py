"""What S3 asks of those who come without credentials: a link that has not expired, or a form its policy allows."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from .answers import Refused
from .call import Call
from .clock import Clock


def admit(call: Call, clock: Clock, size: int) -> None:
    """Let a call to S3 pass, or raise `Refused` as S3 would. `size` is the length of its body in bytes."""
    if "Signature" in call.query or "signature" in call.form:
        # Signature version 2, which no bucket made since June 2020 takes.
        raise Refused(
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        )
    if call.asker == "nobody":
        raise Refused("AccessDenied", "Access Denied", 403)
    if call.asker != "link":
        return
    if "X-Amz-Signature" in call.query:
        begun = datetime.strptime(call.query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if clock.now() > begun + float(call.query.get("X-Amz-Expires", "0")):
            raise Refused("AccessDenied", "Request has expired", 403)
    elif call.action == "PostObject":
        _by_form(call.form, call.path.strip("/"), clock, size)
    else:
        raise Refused("AccessDenied", "Access Denied", 403)


def _by_form(form: Mapping[str, str], bucket: str, clock: Clock, size: int) -> None:
    """Browser-Based Uploads Using POST: each condition of the policy must hold, and each field be named by one."""
    if "policy" not in form or "x-amz-signature" not in form:
        raise Refused("AccessDenied", "Access Denied", 403)
    policy: dict[str, Any] = json.loads(base64.b64decode(form["policy"]))
    if clock.now() > datetime.fromisoformat(str(policy["expiration"])).timestamp():
        raise Refused("AccessDenied", "Invalid according to Policy: Policy expired.", 403)
    given = {**form, "bucket": bucket}
    named = {"policy", "x-amz-signature", "file", "bucket"}
    for condition in policy.get("conditions", []):
        rules: list[tuple[str, Any, Any]]
        if isinstance(condition, dict):
            equal = cast("dict[str, Any]", condition)
            rules = [("eq", f"${key}", value) for key, value in equal.items()]
        else:
            rules = [(str(condition[0]), condition[1], condition[2])]
        for verb, left, right in rules:
            if verb == "content-length-range":
                if size > int(right):
                    raise Refused("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
                continue
            field = str(left).removeprefix("$")
            named.add(field)
            value = given.get(field, "")
            held = value.startswith(str(right)) if verb == "starts-with" else value == str(right)
            if not held:
                raise Refused(
                    "AccessDenied", f"Invalid according to Policy: Policy Condition failed: "
                    f'["{verb}", "{left}", "{right}"]', 403,
                )  # fmt: skip
    if extra := [name for name in form if name not in named and not name.startswith("x-ignore-")]:
        raise Refused(
            "AccessDenied", f"Invalid according to Policy: Extra input fields: {', '.join(extra)}", 403
        )
