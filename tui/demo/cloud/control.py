"""The switches of the emulator, under `/_emulator/`: JSON in, JSON out. Not part of any AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from .answers import Answer
from .fleet import BROKEN, USER, Held

if TYPE_CHECKING:
    from .emulator import Emulator

PREFIX = "/_emulator"


class Wrong(Exception):
    """What was asked makes no sense; `status` as HTTP has it."""

    def __init__(self, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.status = status


def control(emulator: Emulator, method: str, path: str, body: bytes) -> Answer:
    try:
        told: dict[str, Any] = json.loads(body) if body else {}
        found = _answer(
            emulator, method, [part for part in path.removeprefix(PREFIX).split("/") if part], told
        )
    except Wrong as error:
        return _json({"error": str(error)}, error.status)
    except (TypeError, ValueError, KeyError) as error:
        return _json({"error": f"{type(error).__name__}: {error}"}, 400)
    return found if isinstance(found, Answer) else _json(found)


def _json(document: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode(), "application/json")


def _answer(emulator: Emulator, method: str, parts: list[str], told: Mapping[str, Any]) -> object:
    match method, parts:
        case "GET", []:
            return {"endpoint": emulator.endpoint, "now": emulator.clock.now()}
        case "GET", ["calls"]:
            return emulator.ledger.listed()
        case "DELETE", ["calls"]:
            emulator.ledger.clear()
        case "POST", ["faults"]:
            return {"id": emulator.faults.add(told).id}
        case "GET", ["faults"]:
            return emulator.faults.listed()
        case "DELETE", ["faults"]:
            emulator.faults.remove()
        case "DELETE", ["faults", number]:
            emulator.faults.remove(int(number))
        case "POST", ["reset"]:
            emulator.reset()
        case _:
            with emulator.lock:
                return _locked(emulator, method, parts, told)
    return {}


def _locked(emulator: Emulator, method: str, parts: list[str], told: Mapping[str, Any]) -> object:
    fleet = emulator.fleet
    match method, parts:
        case "GET", ["instances"]:
            return fleet.described()
        case "GET", ["instances", id, "console"]:
            return Answer(200, fleet.console(_instance(emulator, id)), "application/octet-stream")
        case "POST", ["instances", id, verb]:
            _happen(emulator, _instance(emulator, id), verb, told)
        case "POST", ["next"]:
            _set(fleet.next, told)
        case "POST", ["settings"]:
            _set(fleet.settings, told)
        case "GET", ["settings"]:
            return asdict(fleet.settings)
        case "POST", ["quotas"]:
            emulator.room.set_quota(told["region"], told["code"], float(told["value"]))
        case "POST", ["capacity"]:
            emulator.room.set_capacity(told["region"], told["type"], told["zone"], told["count"])
        case "POST", ["clock"]:
            emulator.clock.ahead = float(told["ahead"])
            fleet.look()
        case _:
            raise Wrong(f"there is no {method} {PREFIX}/{'/'.join(parts)}", 404)
    return {}


def _instance(emulator: Emulator, id: str) -> Held:
    held = emulator.fleet.get(id)
    if held is None:
        raise Wrong(f"there is no instance {id}", 404)
    return held


def _happen(emulator: Emulator, held: Held, verb: str, told: Mapping[str, Any]) -> None:
    fleet = emulator.fleet
    verbs: dict[str, Callable[[], None]] = {
        "interrupt": lambda: fleet.interrupt(held, told.get("notice")),
        "vanish": lambda: fleet.vanish(held),
        "terminate": lambda: fleet.end(held, USER, to="terminated"),
        "stop": lambda: fleet.end(held, USER, to="stopped"),
        "fail": lambda: fleet.end(held, BROKEN, to="terminated", at_once=True),
        "impair": lambda: fleet.impair(held),
    }
    if verb not in verbs:
        raise Wrong(f"nothing called {verb!r} can happen to an instance; there are {', '.join(verbs)}", 404)
    verbs[verb]()


def _set(what: Any, told: Mapping[str, Any]) -> None:
    names = {field.name for field in fields(what)}
    if unknown := set(told) - names:
        raise Wrong(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    for name, value in told.items():
        setattr(what, name, type(getattr(what, name))(value))
