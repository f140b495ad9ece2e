"""The instance metadata service: what a machine asks about itself. Version 2, so a token must be had first.

"Access instance metadata for an EC2 instance" and "Instance metadata categories" in the EC2 User Guide.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

from .call import ROLE_KEY
from .clock import Clock
from .fleet import Fleet, Held
from .ground import ACCOUNT, Moto

_TOKEN = "X-aws-ec2-metadata-token"
POWER = "/emulator/power"
"""Where a machine's stand-in for `shutdown` posts how it was called; at AWS there is no such thing."""


class Metadata:
    """Answers for every instance; the caller knows which one asks."""

    def __init__(self, moto: Moto, fleet: Fleet, clock: Clock, lock: threading.RLock) -> None:
        self._moto, self._fleet, self._clock, self._lock = moto, fleet, clock, lock
        self._tokens: dict[str, tuple[str, float]] = {}

    def answer(
        self, instance: str, method: str, path: str, header: str, life: str, body: str
    ) -> tuple[int, str]:
        """Status and text. `header`: the token that was shown; `life`: the seconds one is asked for."""
        if method == "POST" and path == POWER:
            self._fleet.power(instance, body)
            return 200, ""
        now = self._clock.now()
        if method == "PUT" and path == "/latest/api/token":
            if not life.isdigit() or not 1 <= int(life) <= 21600:
                return 400, ""
            token = secrets.token_urlsafe(32)
            self._tokens[token] = (instance, now + int(life))
            return 200, token
        if method != "GET":
            return 405, ""
        with self._lock:
            held = self._fleet.get(instance)
            if held is None:
                return 404, ""
            if held.moto.metadata_options.http_tokens == "required" or header:
                whose, until = self._tokens.get(header, ("", 0.0))
                if whose != instance or until < now:
                    return 401, ""
            told = self._tell(held, path)
        return (404, "") if told is None else (200, told)

    def _tell(self, held: Held, path: str) -> str | None:
        parts = [part for part in path.split("/") if part]
        match parts:
            case ["latest", "user-data"]:
                return held.machine.user_data.decode("latin-1") or None
            case ["latest", "dynamic", "instance-identity", "document"]:
                return json.dumps({
                    "accountId": ACCOUNT, "instanceId": held.id, "region": held.region, "imageId": held.moto.image_id,
                    "availabilityZone": held.machine.zone, "instanceType": held.machine.type,
                    "privateIp": held.moto.private_ip, "architecture": "x86_64", "version": "2017-09-30",
                })  # fmt: skip
            case ["latest", "meta-data", *rest]:
                return self._data(held, rest)
            case _:
                return None

    def _data(self, held: Held, rest: list[str]) -> str | None:
        simple = {
            "instance-id": held.id, "ami-id": held.moto.image_id, "instance-type": held.machine.type,
            "ami-launch-index": str(held.moto.ami_launch_index), "local-ipv4": held.moto.private_ip or "",
            "reservation-id": held.reservation, "instance-life-cycle": held.market,
            "placement/availability-zone": held.machine.zone, "placement/region": held.region,
            "local-hostname": f"ip-{(held.moto.private_ip or '').replace('.', '-')}.ec2.internal",
            "hostname": f"ip-{(held.moto.private_ip or '').replace('.', '-')}.ec2.internal",
        }  # fmt: skip
        if held.machine.public_key:
            simple["public-keys/0/openssh-key"] = held.machine.public_key
        if (found := simple.get("/".join(rest))) is not None:
            return found
        match rest:
            case []:
                return "\n".join(sorted({name.split("/")[0] for name in simple} | {"iam/", "tags/"}))
            case ["tags", "instance", *key]:
                if held.moto.metadata_options.instance_metadata_tags != "enabled":
                    return None
                tags = self._moto.tags(held.region, held.id)
                return tags.get("/".join(key)) if key else "\n".join(tags)
            case ["iam", "security-credentials"]:
                return held.role or None
            case ["iam", "security-credentials", role] if role == held.role and role:
                return self._credentials(held)
            case ["iam", "info"] if held.role:
                return json.dumps({"Code": "Success", "InstanceProfileArn": held.role})
            case ["spot", "instance-action"] if held.notice_at is not None:
                return json.dumps({"action": "terminate", "time": _iso(held.notice_at)})
            case ["spot", "termination-time"] if held.notice_at is not None:
                return _iso(held.notice_at)
            case _:
                return None

    def _credentials(self, held: Held) -> str:
        now = self._clock.now()
        return json.dumps({
            "Code": "Success", "LastUpdated": _iso(now), "Type": "AWS-HMAC", "Expiration": _iso(now + 6 * 3600),
            "AccessKeyId": ROLE_KEY + held.id.removeprefix("i-").upper()[:4], "SecretAccessKey": "instance-secret",
            "Token": f"session-of-{held.id}",
        }, indent=1)  # fmt: skip

    def reset(self) -> None:
        self._tokens.clear()


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def handler_of(metadata: Metadata, instance: str = "") -> type[BaseHTTPRequestHandler]:
    """A handler for one instance's requests; without one, paths begin with `/i/<instance>`."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            whose, path = instance, self.path.partition("?")[0]
            if not whose:
                _, marker, whose, rest = [*path.split("/", 3), "", "", ""][:4]
                path = "/" + rest
                if marker != "i":
                    self.send_error(404)
                    return
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(min(size, 65536)).decode("utf-8", "replace")
            status, text = metadata.answer(
                whose, self.command, path, self.headers.get(_TOKEN, ""), self.headers.get(_TOKEN + "-ttl-seconds", ""),
                body,
            )  # fmt: skip
            content = text.encode("latin-1" if path == "/latest/user-data" else "utf-8")
            with contextlib.suppress(ConnectionError):  # who asked may have ended meanwhile
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = _serve

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
