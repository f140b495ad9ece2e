"""Prices, quotas and spot prices as their APIs tell them. The prices are stand-ins: plausible, and nobody's bill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import product
from typing import Any

from .answers import Answer, Refused, Tree, ec2_answer, json_answer
from .call import Call
from .clock import Clock
from .ground import ACCOUNT, offered, type_facts
from .room import QUOTAS, Quota, Room

ON_DEMAND = {
    "t3.nano": 0.0052, "t3.micro": 0.0104, "t3.small": 0.0208, "t3.medium": 0.0416, "t3.large": 0.0832,
    "t3.xlarge": 0.1664, "t4g.micro": 0.0084, "t4g.small": 0.0168, "t4g.medium": 0.0336, "c5.large": 0.085,
    "c5.xlarge": 0.17, "c5.2xlarge": 0.34, "c5.4xlarge": 0.68, "c6i.large": 0.085, "c6i.xlarge": 0.17,
    "c7i.large": 0.08925, "c7i.xlarge": 0.1785, "c7i.2xlarge": 0.357, "c7g.large": 0.0725, "c7g.xlarge": 0.145,
    "m5.large": 0.096, "m5.xlarge": 0.192, "m6i.large": 0.096, "m7i.large": 0.1008, "m7i.xlarge": 0.2016,
    "r5.large": 0.126, "r6i.large": 0.126, "g4dn.xlarge": 0.526, "g5.xlarge": 1.006, "g5.2xlarge": 1.212,
    "p3.2xlarge": 3.06,
}  # fmt: skip
"""USD per hour in us-east-1, Linux."""
_REGIONS = {
    "us-east-1": ("US East (N. Virginia)", 1.0), "us-east-2": ("US East (Ohio)", 1.0),
    "us-west-2": ("US West (Oregon)", 1.0), "eu-west-1": ("EU (Ireland)", 1.12),
    "eu-central-1": ("EU (Frankfurt)", 1.16), "ap-northeast-1": ("Asia Pacific (Tokyo)", 1.27),
}  # fmt: skip
"""What the Pricing API calls a region, and how much dearer it is."""
_SPOT_SHARE = 0.35
_SPOT_STEP = 6 * 3600
_EC2 = "Amazon Elastic Compute Cloud (Amazon EC2)"


def on_demand(region: str, type_name: str) -> float | None:
    """USD per hour, or None: it has no price here."""
    base = ON_DEMAND.get(type_name)
    return None if base is None or region not in _REGIONS else round(base * _REGIONS[region][1], 5)


def spot(region: str, zone: str, type_name: str, at: float) -> float:
    """USD per hour in a zone; it changes every six hours, by up to a fifth."""
    facts = type_facts(type_name)
    base = on_demand(region, type_name) or 0.045 * (facts[0] if facts else 2)
    seed = f"{zone}/{type_name}/{int(at // _SPOT_STEP)}".encode()
    swing = int.from_bytes(hashlib.sha256(seed).digest()[:4], "big") / 2**32
    return round(base * _SPOT_SHARE * (0.9 + 0.2 * swing), 4)


def spot_history(call: Call, clock: Clock) -> Answer:
    """DescribeSpotPriceHistory: the newest first, one entry for each time the price changed."""
    now = clock.now()
    filters = call.filters()
    types = call.numbered("InstanceType") or filters.get("instance-type", [])
    zones = [zone for zone in (call.form.get("AvailabilityZone", ""),) if zone] or filters.get(
        "availability-zone", []
    )
    begin = max(_seconds(call.form.get("StartTime"), now), now - 90 * 86400)
    end = min(_seconds(call.form.get("EndTime"), now), now)
    words = call.numbered("ProductDescription") or filters.get("product-description", ["Linux/UNIX"])
    items: list[tuple[float, Tree]] = []
    for name in types:
        for zone in offered(call.region, name):
            if zones and zone not in zones:
                continue
            # The price at the beginning is told too, with the time since when it holds.
            step = int(begin // _SPOT_STEP)
            while step * _SPOT_STEP <= end:
                at = step * _SPOT_STEP
                for product_words in words:
                    items.append((at, {
                        "instanceType": name, "productDescription": product_words,
                        "spotPrice": f"{spot(call.region, zone, name, at):.6f}", "timestamp": _iso(at),
                        "availabilityZone": zone,
                    }))  # fmt: skip
                step += 1
    items.sort(key=lambda item: -item[0])
    most = int(call.form.get("MaxResults") or 1000)
    first = int(call.form.get("NextToken") or 0)
    token = str(first + most) if first + most < len(items) else ""
    page = [tree for _, tree in items[first : first + most]]
    return ec2_answer(call.action, {"spotPriceHistorySet": page, "nextToken": token})


def _seconds(told: str | None, otherwise: float) -> float:
    return datetime.fromisoformat(told).timestamp() if told else otherwise


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


# --- the Pricing API ---------------------------------------------------------------------------------------------


def pricing(call: Call) -> Answer:
    """GetProducts, for AmazonEC2. A question that leaves tenancy or system open gets many products, as at AWS."""
    asked = call.json()
    if call.action == "DescribeServices":
        services: list[dict[str, Any]] = [{"ServiceCode": "AmazonEC2", "AttributeNames": []}]
        return json_answer({"FormatVersion": "aws_v1", "Services": services})
    if call.action != "GetProducts":
        raise Refused("InvalidParameterException", f"{call.action} is not there in this emulator")
    if asked.get("ServiceCode") != "AmazonEC2":
        return json_answer({"FormatVersion": "aws_v1", "PriceList": []})
    wanted: dict[str, str] = {item["Field"]: item["Value"] for item in asked.get("Filters", [])}
    found = [json.dumps(item) for item in _products(wanted)]
    first, most = int(asked.get("NextToken") or 0), int(asked.get("MaxResults") or 100)
    answer: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": found[first : first + most]}
    if first + most < len(found):
        answer["NextToken"] = str(first + most)
    return json_answer(answer)


def _products(wanted: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for region, (location, _) in _REGIONS.items():
        if wanted.get("regionCode", region) != region or wanted.get("location", location) != location:
            continue
        names = [wanted["instanceType"]] if "instanceType" in wanted else list(ON_DEMAND)
        for name in names:
            price = on_demand(region, name)
            if price is None:
                continue
            for system, tenancy, capacity, software in product(
                ("Linux", "Windows"), ("Shared", "Dedicated"),
                ("Used", "UnusedCapacityReservation", "AllocatedCapacityReservation"), ("NA", "SQL Web"),
            ):  # fmt: skip
                attributes = {
                    "servicecode": "AmazonEC2", "location": location, "locationType": "AWS Region",
                    "regionCode": region, "instanceType": name, "instanceFamily": "Compute optimized",
                    "currentGeneration": "Yes", "vcpu": str((type_facts(name) or (2, ()))[0]),
                    "operatingSystem": system, "tenancy": tenancy, "capacitystatus": capacity,
                    "preInstalledSw": software, "licenseModel": "No License required", "operation": "RunInstances",
                    "marketoption": "OnDemand", "servicename": "Amazon Elastic Compute Cloud",
                    "usagetype": f"BoxUsage:{name}",
                }  # fmt: skip
                if all(attributes.get(key) == value for key, value in wanted.items()):
                    yield _product(attributes, _charged(price, system, tenancy, capacity, software))


def _charged(price: float, system: str, tenancy: str, capacity: str, software: str) -> float:
    if capacity == "AllocatedCapacityReservation":
        return 0.0
    return price * (1.9 if system == "Windows" else 1) * (1.06 if tenancy == "Dedicated" else 1) + (
        0.068 if software != "NA" else 0
    )


def _product(attributes: dict[str, str], price: float) -> dict[str, Any]:
    sku = hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()[:16].upper()
    offer, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    return {
        "product": {"productFamily": "Compute Instance", "attributes": attributes, "sku": sku},
        "serviceCode": "AmazonEC2",
        "terms": {
            "OnDemand": {
                offer: {
                    "priceDimensions": {
                        rate: {
                            "unit": "Hrs", "endRange": "Inf", "beginRange": "0", "appliesTo": [], "rateCode": rate,
                            "description": f"${price:.4f} per On Demand {attributes['operatingSystem']} "
                            f"{attributes['instanceType']} Instance Hour",
                            "pricePerUnit": {"USD": f"{price:.10f}"},
                        }
                    },
                    "sku": sku, "effectiveDate": "2026-11-01T00:00:00Z", "offerTermCode": "JRTCKXETXF",
                    "termAttributes": {},
                }
            }
        },
        "version": "20261101000000",
        "publicationDate": "2026-11-01T00:00:00Z",
    }  # fmt: skip


# --- Service Quotas ----------------------------------------------------------------------------------------------


def service_quotas(call: Call, room: Room) -> Answer:
    """Get and List, for ec2."""
    asked = call.json()
    if asked.get("ServiceCode") != "ec2":
        raise Refused(
            "NoSuchResourceException", f"no quotas of {asked.get('ServiceCode')} in this emulator", 400
        )
    default = call.action in ("GetAWSDefaultServiceQuota", "ListAWSDefaultServiceQuotas")
    if call.action in ("ListServiceQuotas", "ListAWSDefaultServiceQuotas"):
        first, most = int(asked.get("NextToken") or 0), int(asked.get("MaxResults") or 100)
        page = [_quota(quota, call.region, room, default) for quota in QUOTAS[first : first + most]]
        more = {"NextToken": str(first + most)} if first + most < len(QUOTAS) else {}
        return json_answer({"Quotas": page, **more})
    if call.action in ("GetServiceQuota", "GetAWSDefaultServiceQuota"):
        for quota in QUOTAS:
            if quota.code == asked.get("QuotaCode"):
                return json_answer({"Quota": _quota(quota, call.region, room, default)})
        raise Refused(
            "NoSuchResourceException", "The request failed because the specified resource does not exist."
        )
    raise Refused("InvalidParameterException", f"{call.action} is not there in this emulator")


def _quota(quota: Quota, region: str, room: Room, default: bool) -> dict[str, Any]:
    return {
        "ServiceCode": "ec2", "ServiceName": _EC2, "QuotaCode": quota.code, "QuotaName": quota.name,
        "QuotaArn": f"arn:aws:servicequotas:{region}:{ACCOUNT}:ec2/{quota.code}",
        "Value": quota.default if default else room.quota(region, quota), "Unit": "None", "Adjustable": True,
        "GlobalQuota": False,
    }  # fmt: skip
