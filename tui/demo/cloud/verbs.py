"""What is asked of instances that are there: end, stop, start, status checks and consoles."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from .answers import Answer, Refused, Tree, ec2_answer
from .call import Call
from .clock import Clock
from .fleet import CODES, HIBERNATED, USER, Fleet, Held

_MOST = 1000


def terminate(call: Call, fleet: Fleet) -> Answer:
    return _each(call, fleet, "instancesSet", lambda held: fleet.end(held, USER, to="terminated"))


def stop(call: Call, fleet: Fleet) -> Answer:
    """StopInstances; `Force` takes the power."""
    reason = HIBERNATED if call.form.get("Hibernate") == "true" else USER
    force = call.form.get("Force") == "true"

    def one(held: Held) -> None:
        if held.state not in ("running", "stopping", "stopped"):
            raise _wrong_state(held, "stopped")
        if held.market == "spot":
            raise Refused(
                "UnsupportedOperation", "You can't stop the Spot Instance of a one-time Spot request."
            )
        fleet.end(held, reason, to="stopped", at_once=force)

    return _each(call, fleet, "instancesSet", one)


def start(call: Call, fleet: Fleet) -> Answer:
    def one(held: Held) -> None:
        if held.state == "stopped":
            fleet.start(held)
        elif held.state not in ("pending", "running"):
            raise _wrong_state(held, "started")

    return _each(call, fleet, "instancesSet", one)


def reboot(call: Call, fleet: Fleet) -> Answer:
    _each(call, fleet, "instancesSet", fleet.reboot)
    return ec2_answer(call.action, {"return": True})


def _each(call: Call, fleet: Fleet, name: str, act: Callable[[Held], None]) -> Answer:
    """Do it to all that are named, or to none: one unknown id refuses the whole call."""
    held = _named(call, fleet, call.numbered("InstanceId"))
    if not held:
        raise Refused("MissingParameter", "The request must contain the parameter InstanceId")
    if call.form.get("DryRun", "").lower() == "true":
        raise Refused("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
    items: list[Tree] = []
    for one in held:
        before = one.state
        act(one)
        items.append({
            "instanceId": one.id, "currentState": _state(one.state), "previousState": _state(before),
        })  # fmt: skip
    return ec2_answer(call.action, {name: items})


def _named(call: Call, fleet: Fleet, ids: list[str]) -> list[Held]:
    if len(ids) > _MOST:
        raise Refused("InvalidParameterValue", f"no more than {_MOST} instances can be named in one call")
    seen = {held.id: held for held in fleet.seen(call.region)}
    for id in ids:
        if not id.startswith("i-"):
            raise Refused("InvalidInstanceID.Malformed", f'Invalid id: "{id}"')
    if missing := [id for id in ids if id not in seen]:
        which = f"ID '{missing[0]}' does" if len(missing) == 1 else f"IDs '{', '.join(missing)}' do"
        raise Refused("InvalidInstanceID.NotFound", f"The instance {which} not exist")
    return [seen[id] for id in ids]


def _state(name: str) -> Mapping[str, Tree]:
    return {"code": CODES[name], "name": name}


def _wrong_state(held: Held, verb: str) -> Refused:
    return Refused(
        "IncorrectInstanceState", f"The instance '{held.id}' is not in a state from which it can be {verb}."
    )


def statuses(call: Call, fleet: Fleet, clock: Clock) -> Answer:
    """DescribeInstanceStatus: running instances, or all of them; in pages."""
    ids = call.numbered("InstanceId")
    every = call.form.get("IncludeAllInstances") == "true"
    found = _named(call, fleet, ids) if ids else fleet.seen(call.region)
    filters = call.filters()
    found = [
        held for held in found if (every or held.state == "running") and _passes(held, filters, fleet, clock)
    ]
    first, most = int(call.form.get("NextToken") or 0), int(call.form.get("MaxResults") or 100)
    page: list[Tree] = []
    for held in found[first : first + most]:
        status = _status(held, fleet, clock)
        passed = {"ok": "passed", "impaired": "failed"}.get(status, status)
        details: Tree = [{"name": "reachability", "status": passed}] if held.state == "running" else []
        page.append({
            "instanceId": held.id, "availabilityZone": held.machine.zone, "instanceState": _state(held.state),
            "systemStatus": {"status": "ok" if status == "impaired" else status},
            "instanceStatus": {"status": status, "details": details},
        })  # fmt: skip
    token = str(first + most) if first + most < len(found) else ""
    return ec2_answer(call.action, {"instanceStatusSet": page, "nextToken": token})


def _passes(held: Held, filters: Mapping[str, list[str]], fleet: Fleet, clock: Clock) -> bool:
    for name, values in filters.items():
        match name:
            case "instance-state-name":
                value = held.state
            case "availability-zone":
                value = held.machine.zone
            case "instance-status.status":
                value = _status(held, fleet, clock)
            case _:
                raise Refused("InvalidParameterValue", f"The filter '{name}' is invalid")
        if value not in values:
            return False
    return True


def _status(held: Held, fleet: Fleet, clock: Clock) -> str:
    if held.state != "running" or held.running_since is None:
        return "not-applicable"
    if clock.now() < held.running_since + fleet.settings.check:
        return "initializing"
    return "impaired" if held.impaired else "ok"


def console(call: Call, fleet: Fleet, clock: Clock) -> Answer:
    """GetConsoleOutput: the last 64 KB of what the machine printed."""
    (held,) = _named(call, fleet, [call.form.get("InstanceId", "")])
    text = fleet.console(held)[-65536:]
    at = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    told = {"instanceId": held.id, "timestamp": at, "output": base64.b64encode(text).decode()}
    return ec2_answer(call.action, told)
