"""RunInstances as EC2 does it: repeatable by its ClientToken, within quotas, as many as there are.

"Ensuring idempotency in Amazon EC2 API requests": the same token and parameters return the same instances, other
parameters are IdempotentParameterMismatch, and after their termination IdempotentInstanceTerminated.
"""

from __future__ import annotations

import base64
import re

from .answers import Answer, Refused
from .call import Call, Environ
from .clock import Clock
from .fleet import Fleet, Held
from .ground import Moto, offered, type_facts, user_data_of
from .machine import Machine
from .prices import spot
from .room import Market, Room, quota_of

USER_DATA_LIMIT = 16384
_RESERVATION = re.compile(rb"<reservationId>([^<]+)</reservationId>")


class Launches:
    """The launches of all regions; the cloud's lock is held in every call."""

    def __init__(self, moto: Moto, fleet: Fleet, room: Room, clock: Clock) -> None:
        self._moto, self._fleet, self._room, self._clock = moto, fleet, room, clock
        self._tokens: dict[tuple[str, str], tuple[dict[str, str], Answer]] = {}

    def run(self, call: Call, environ: Environ) -> Answer:
        """RunInstances. Raises `Refused`."""
        form = dict(call.form)
        least, most = _count(form, "MinCount"), _count(form, "MaxCount")
        if least > most:
            raise Refused(
                "InvalidParameterValue", f"MinCount {least} must not be greater than MaxCount {most}"
            )
        if len(base64.b64decode(form.get("UserData", ""))) > USER_DATA_LIMIT:
            raise Refused("InvalidParameterValue", "User data is limited to 16384 bytes")
        token = form.get("ClientToken", "")
        dry = form.get("DryRun", "").lower() == "true"
        if token and not dry and (before := self._tokens.get((call.region, token))) is not None:
            return self._again(call, form, *before)
        facts = type_facts(form.get("InstanceType", "m1.small"))
        if facts is None:
            # moto says it; a dry run would not look.
            return self._moto.ask(environ, {**form, "DryRun": "false"})
        vcpus, architectures = facts
        self._must_fit(call, form, architectures)
        market: Market = "spot" if form.get("InstanceMarketOptions.MarketType") == "spot" else "on-demand"
        if dry:
            return self._moto.ask(environ)
        self._within_quota(call, form["InstanceType"], market, vcpus * most)
        zone, count = self._place(call, form, least, most)
        if market == "spot":
            self._pays_enough(call.region, zone, form)
        # moto launches MinCount.
        sent = {**form, "MinCount": str(count), "MaxCount": str(count)}
        if not form.get("SubnetId") and not any(name.startswith("NetworkInterface.") for name in form):
            sent["Placement.AvailabilityZone"] = zone
        answer = self._moto.ask(environ, sent)
        if answer.status == 200:
            self._register(call, form, answer, market, vcpus, token)
            if token:
                self._tokens[call.region, token] = (form, answer)
        return answer

    def _again(self, call: Call, form: dict[str, str], before: dict[str, str], answer: Answer) -> Answer:
        if form != before:
            raise Refused(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )
        held = self._fleet.of_token(call.region, form["ClientToken"])
        if held and all(one.state in ("shutting-down", "terminated") for one in held):
            raise Refused(
                "IdempotentInstanceTerminated",
                "The client token you have provided is associated with a resource that is already deleted. Please "
                "use a different client token.",
            )
        return answer

    def _must_fit(self, call: Call, form: dict[str, str], architectures: tuple[str, ...]) -> None:
        if ami := form.get("ImageId"):
            architecture = self._moto.architecture(call.region, ami)
            if architecture not in architectures:
                raise Refused(
                    "InvalidParameterValue",
                    f"The architecture '{','.join(architectures)}' of the specified instance type does not match the "
                    f"architecture '{architecture}' of the specified AMI. Specify an instance type and an AMI that "
                    "have matching architectures, and try again.",
                )
        self._moto.must_exist(call.region, call)
        if profile := _profile(form):
            self._moto.role_of_profile(profile)

    def _within_quota(self, call: Call, type_name: str, market: Market, more: int) -> None:
        quota = quota_of(type_name, market)
        if quota is None:
            return
        limit = self._room.quota(call.region, quota)
        if self._fleet.vcpus(call.region, quota.code) + more <= limit:
            return
        if market == "spot":
            raise Refused("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        raise Refused(
            "VcpuLimitExceeded",
            f"You have requested more vCPU capacity than your current vCPU limit of {limit:g} allows for the instance "
            "bucket that the specified instance type belongs to. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
        )

    def _place(self, call: Call, form: dict[str, str], least: int, most: int) -> tuple[str, int]:
        """The zone, and how many there are to be had."""
        type_name = form["InstanceType"]
        subnet = form.get("SubnetId") or form.get("NetworkInterface.1.SubnetId")
        asked = form.get("Placement.AvailabilityZone")
        if asked and asked not in self._moto.zones(call.region):
            raise Refused("InvalidParameterValue", f"Invalid availability zone: [{asked}]")
        if subnet:
            asked = self._moto.subnet_zone(call.region, subnet)
        zones = offered(call.region, type_name)
        if asked and asked not in zones:
            raise Refused(
                "Unsupported",
                f"Your requested instance type ({type_name}) is not supported in your requested Availability Zone "
                f"({asked}). Please retry your request by not specifying an Availability Zone or choosing "
                f"{', '.join(zones)}.",
            )
        if not zones:
            raise Refused(
                "Unsupported", f"The requested configuration is currently not supported: {type_name}"
            )
        left: dict[str, int] = {}
        for zone in zones:
            capacity = self._room.capacity(call.region, type_name, zone)
            used = self._fleet.count(call.region, type_name, zone)
            left[zone] = most if capacity is None else max(0, min(most, capacity - used))
        zone = asked or max(zones, key=lambda name: left[name])
        if left[zone] >= least:
            return zone, left[zone]
        others = [name for name in zones if name != zone and left[name] >= least]
        hint = f" or choosing {', '.join(others)}" if others else ""
        raise Refused(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient {type_name} capacity in the Availability Zone you requested "
            f"({zone}). Our system will be working on provisioning additional capacity. You can currently get "
            f"{type_name} capacity by not specifying an Availability Zone in your request{hint}.",
            500,
        )

    def _pays_enough(self, region: str, zone: str, form: dict[str, str]) -> None:
        told = form.get("InstanceMarketOptions.SpotOptions.MaxPrice")
        price = spot(region, zone, form["InstanceType"], self._clock.now())
        if told and float(told) < price:
            raise Refused(
                "SpotMaxPriceTooLow",
                f"Your Spot request price of {told} is lower than the minimum required Spot request fulfillment "
                f"price of {price}.",
            )

    def _register(
        self, call: Call, form: dict[str, str], answer: Answer, market: Market, vcpus: int, token: str
    ) -> None:
        found = _RESERVATION.search(answer.body)
        assert found is not None, "moto launches no reservation"
        reservation = found.group(1).decode()
        instances = list(self._moto.reservation(call.region, reservation))
        profile = _profile(form)
        role = self._moto.role_of_profile(profile) if profile else ""
        for number, instance in enumerate(instances):
            if profile and number:
                self._moto.give_profile(call.region, instance.id, profile)
            machine = Machine(
                instance=instance.id,
                region=call.region,
                zone=instance.availability_zone or "",
                type=instance.instance_type,
                user_data=user_data_of(instance),
                public_key=self._moto.public_key(call.region, instance.key_name or ""),
            )
            self._fleet.add(Held(instance, machine, reservation, market, vcpus, token, role))
        self._fleet.hide_next()

    def reset(self) -> None:
        self._tokens.clear()


def _count(form: dict[str, str], name: str) -> int:
    told = form.get(name, "")
    if not told.isdigit() or int(told) < 1:
        raise Refused(
            "InvalidParameterValue", f"Invalid value '{told}' for {name}: it must be a whole number above 0"
        )
    return int(told)


def _profile(form: dict[str, str]) -> str:
    """Name or ARN of the instance profile; empty: none is asked for."""
    return form.get("IamInstanceProfile.Arn") or form.get("IamInstanceProfile.Name") or ""
