"""The emulator: one WSGI application that answers for AWS, and the server it is reached at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from . import prices, verbs
from .answers import Answer, Refused, Start, refusal
from .call import Call, Environ, read_call
from .clock import Clock
from .control import PREFIX, control
from .faults import Faults, Rule, code_for
from .fleet import Fleet
from .ground import Moto
from .launches import Launches
from .ledger import Ledger
from .metadata import Metadata
from .room import Room
from .storage import admit


class Broken(ConnectionError):
    """A fault: this connection ends without an answer. The server takes it for a client that has gone."""


class Emulator:
    """Every part of the cloud, put together. `lock` is held while EC2 is asked and while its state moves on."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clock = Clock()
        self.ledger = Ledger()
        self.faults = Faults(self.clock)
        self.room = Room()
        self.moto = Moto()
        self.fleet = Fleet(self.moto, self.clock, self.lock)
        self.launches = Launches(self.moto, self.fleet, self.room, self.clock)
        self.metadata = Metadata(self.moto, self.fleet, self.clock, self.lock)
        self.endpoint = ""

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").startswith(PREFIX):
            size = int(environ.get("CONTENT_LENGTH") or 0)
            body = environ["wsgi.input"].read(size) if size else b""
            return control(self, environ["REQUEST_METHOD"], environ["PATH_INFO"], body).send(environ, start)
        at = self.clock.now()
        call = read_call(environ)
        rule = self.faults.meet(call)
        if rule is not None and rule.delay:
            threading.Event().wait(rule.delay)
        if rule is not None and (rule.drop or rule.code):
            return self._fault(rule, call, at, environ, start)
        try:
            if call.service == "s3":
                admit(call, self.clock, int(environ.get("CONTENT_LENGTH") or 0))
                return self._stream(call, at, environ, start, deaf=rule is not None and rule.deaf)
            answer = self._answer(call, environ)
        except Refused as error:
            answer = refusal(call, error)
        if rule is not None and rule.deaf:
            self.ledger.add(at, call, 0, "")
            raise Broken
        self.ledger.add(at, call, answer.status, answer.code)
        return answer.send(environ, start)

    def _fault(self, rule: Rule, call: Call, at: float, environ: Environ, start: Start) -> Iterable[bytes]:
        if rule.drop:
            self.ledger.add(at, call, 0, "")
            raise Broken
        code = code_for(rule, call)
        self.ledger.add(at, call, rule.status, code)
        return refusal(call, Refused(code, rule.message, rule.status)).send(environ, start)

    def _stream(
        self, call: Call, at: float, environ: Environ, start: Start, *, deaf: bool
    ) -> Iterable[bytes]:
        """S3 is moto's alone: its answers go through as they come."""
        told: list[int] = []

        def note(status: str, headers: object, *rest: object) -> Any:
            told.append(int(status.split()[0]))
            return start(status, headers, *rest)

        body = self.moto.serve(environ, note)
        self.ledger.add(at, call, 0 if deaf else told[0], "")
        if deaf:
            raise Broken
        return body

    def _answer(self, call: Call, environ: Environ) -> Answer:
        if call.asker == "nobody" and call.service not in ("sts",):
            raise Refused("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
        if call.service == "pricing":
            return prices.pricing(call)
        if call.service == "servicequotas":
            with self.lock:
                return prices.service_quotas(call, self.room)
        if call.service != "ec2":
            return self.moto.ask(environ)
        own: dict[str, Callable[[], Answer]] = {
            "RunInstances": lambda: self.launches.run(call, environ),
            "TerminateInstances": lambda: verbs.terminate(call, self.fleet),
            "StopInstances": lambda: verbs.stop(call, self.fleet),
            "StartInstances": lambda: verbs.start(call, self.fleet),
            "RebootInstances": lambda: verbs.reboot(call, self.fleet),
            "DescribeInstanceStatus": lambda: verbs.statuses(call, self.fleet, self.clock),
            "GetConsoleOutput": lambda: verbs.console(call, self.fleet, self.clock),
            "DescribeSpotPriceHistory": lambda: prices.spot_history(call, self.clock),
        }
        with self.lock:
            return own.get(call.action, lambda: self.moto.ask(environ))()

    def set_defaults(self, **settings: float | None) -> None:
        """What the fleet's settings are now, and after each reset; None: as they are."""
        given = {name: value for name, value in settings.items() if value is not None}
        with self.lock:
            self.fleet.defaults = replace(self.fleet.defaults, **given)
            self.fleet.settings = replace(self.fleet.defaults)

    def reset(self) -> None:
        """As it was at the beginning, but for its endpoint."""
        self.faults.remove()
        with self.lock:
            self.fleet.reset()
            self.launches.reset()
            self.metadata.reset()
            self.room.reset()
            self.moto.reset()
            self.clock.ahead = 0.0
        self.ledger.clear()

    def close(self) -> None:
        self.fleet.close()


class Served:
    """The emulator on a port of this machine. `close` ends the server, and all machines."""

    def __init__(self, emulator: Emulator, host: str = "127.0.0.1", port: int = 0) -> None:
        from moto.moto_server.werkzeug_app import (  # pyright: ignore[reportMissingTypeStubs]
            MotoRequestHandler,
        )
        from werkzeug.serving import make_server

        class Handler(MotoRequestHandler):
            """Quiet; and what is dropped is closed, where it would wait for the next request."""

            def connection_dropped(self, error: BaseException, environ: Environ | None = None) -> None:
                self.close_connection = True

            def log(self, type: str, message: str, *args: object) -> None:
                pass

        self.emulator = emulator
        self.server = make_server(host, port, emulator, threaded=True, request_handler=Handler)
        emulator.endpoint = f"http://{host}:{self.server.server_port}"
        self._thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join(10)
        self.server.server_close()
        self.emulator.close()
