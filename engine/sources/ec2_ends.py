"""What the end of an instance says of the attempt it ran; pure.

The instance's own report comes first. Without one, EC2's reason for the state it is in ("StateReason", Amazon EC2 API
Reference) says who ended it.
"""

from __future__ import annotations

from dataclasses import replace

from ..aws.model import Instance, Report
from ..events import Ref
from ..observe import SawEnd
from .attempt import Outcome, end_of

SPOT = "Server.SpotInstanceTermination"
_BY_A_PERSON = ("Client.UserInitiatedShutdown", "Client.UserInitiatedHibernate")
_FROM_INSIDE = ("Client.InstanceInitiatedShutdown",)
_NO_ROOM = ("Server.InsufficientInstanceCapacity",)


def reported(
    ref: Ref, report: Report, timeout: float | None, *, stopped: bool, instance: Instance | None = None
) -> SawEnd:
    """The end as the instance told it. `timeout`: the task's, in seconds; `stopped`: whether we had ended it;
    `instance`: as EC2 showed it last, which knows better who ended it from outside.
    """
    began, ended = report.started_at, report.ended_at
    match report.flag:
        case "ttl":
            text = report.message or "the time to live of its instance was over"
            return SawEnd(*ref, failure="timeout", message=text, started_at=began, ended_at=ended)
        case "idle":
            text = report.message or "its instance was idle"
            return SawEnd(*ref, failure="timeout", message=text, started_at=began, ended_at=ended)
        case "spot":
            text = report.message or "AWS took the Spot instance back"
            return SawEnd(*ref, failure="spot_interrupted", message=text, started_at=began, ended_at=ended)
        case "setup":
            text = f"its instance could not be set up: {report.message}"
            return SawEnd(*ref, failure="launch_failed", message=text, started_at=began, ended_at=ended)
        case _:
            limit = (f"{timeout:g}" if timeout else "") if report.flag == "timeout" else None
            outcome = Outcome(report.status, report.flag, limit, ended or 0.0)
            seen = end_of(
                ref, outcome, complaint=report.message, stopped=stopped, started_at=began, ended_at=ended
            )
            if report.flag == "term" and not stopped:
                # The system went down over it: somebody stopped or terminated the instance. AWS does not promise that
                # the notice of a Spot interruption comes before.
                if instance is not None and instance.reason_code == SPOT:
                    return replace(unreported(ref, instance, stopped=False), started_at=began, ended_at=ended)
                text = f"its instance {report.instance} was ended by somebody else"
                return SawEnd(*ref, failure="terminated", message=text, started_at=began, ended_at=ended)
            # Of one that went well a message says what did not come along: files that could not be uploaded.
            return replace(seen, message=report.message) if report.status == 0 and report.message else seen


def speaks_for(report: Report, instance_id: str) -> bool:
    """Whether a report is of this instance. One that is of another says nothing of it: as if there were none.

    An instance that could not learn its own id left that empty; then the attempt's name has to do.
    """
    return not report.instance or not instance_id or report.instance == instance_id


def unreported(
    ref: Ref,
    instance: Instance,
    *,
    stopped: bool,
    deadline: float | None = None,
    ended: float | None = None,
) -> SawEnd:
    """The end of an instance that is over and has left no report.

    `deadline`: when its time to live is over, if it has one; `ended`: about when it went, if EC2 does not say. Both in
    seconds since 1970.
    """
    what = f"instance {instance.id} is {instance.state}"
    began = instance.launched_at
    if stopped:
        return SawEnd(*ref, failure="terminated", message=what, stopped=True, started_at=began)
    code, words = instance.reason_code, instance.reason
    if code == SPOT:
        text = f"{what}: AWS took the Spot instance back"
        return SawEnd(*ref, failure="spot_interrupted", message=text, started_at=began)
    if code in _BY_A_PERSON:
        text = f"{what}: ended by somebody else ({words})" if words else f"{what}: ended by somebody else"
        return SawEnd(*ref, failure="terminated", message=text, started_at=began)
    if code in _FROM_INSIDE:
        at = instance.changed_at or ended
        if deadline is not None and at is not None and at >= deadline:
            # The timer of the system ends it when its guard is dead or can reach nobody.
            text = f"{what}: its time to live was over, and it has left no report"
            return SawEnd(*ref, failure="timeout", message=text, started_at=began)
        text = f"{what}: it was shut down from inside and said nothing of the task"
        return SawEnd(*ref, failure="terminated", message=text, started_at=began)
    if code in _NO_ROOM:
        return SawEnd(*ref, failure="source_lost", message=f"{what}: {words or code}", started_at=began)
    reason = words or code or "nobody says why"
    return SawEnd(*ref, failure="source_lost", message=f"{what}: {reason}", started_at=began)


def vanished(ref: Ref, instance_id: str, *, stopped: bool, started_at: float | None) -> SawEnd:
    """The end of an instance that EC2 does not know any more, and that has left no report."""
    text = f"EC2 knows no instance {instance_id} any more, and it has left no report"
    failure = "terminated" if stopped else "source_lost"
    return SawEnd(*ref, failure=failure, message=text, stopped=stopped, started_at=started_at)
