"""A Pricing API on this machine: GetProducts in the shape that AWS answers (format `aws_v1`), filters and pages too."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def product(
    instance_type: str,
    usd: str,
    *,
    region: str = "us-east-1",
    sku: str = "CRAJUW7BTXFMT2UJ",
    unit: str = "Hrs",
    currency: str = "USD",
    **attributes: str,
) -> str:
    """One entry of `PriceList`: a JSON text inside the JSON answer."""
    term, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    told = {
        "memory": "32 GiB", "vcpu": "16", "storage": "EBS only", "instanceFamily": "Compute optimized",
        "operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used",
        "instanceType": instance_type, "regionCode": region, "location": "US East (N. Virginia)",
        "locationType": "AWS Region", "usagetype": f"BoxUsage:{instance_type}", "operation": "RunInstances",
        "marketoption": "OnDemand", "licenseModel": "No License required", "servicecode": "AmazonEC2",
        "servicename": "Amazon Elastic Compute Cloud", "currentGeneration": "Yes", **attributes,
    }  # fmt: skip
    dimension = {
        "unit": unit, "beginRange": "0", "endRange": "Inf", "rateCode": rate, "appliesTo": [],
        "description": f"${usd} per On Demand Linux {instance_type} Instance Hour", "pricePerUnit": {currency: usd},
    }  # fmt: skip
    on_demand = {
        "sku": sku, "effectiveDate": "2026-11-01T00:00:00Z", "offerTermCode": "JRTCKXETXF", "termAttributes": {},
        "priceDimensions": {rate: dimension},
    }  # fmt: skip
    reserved = {
        "sku": sku, "effectiveDate": "2026-11-01T00:00:00Z", "offerTermCode": "4NA7Y494T4",
        "termAttributes": {"LeaseContractLength": "1yr", "OfferingClass": "standard", "PurchaseOption": "No Upfront"},
        "priceDimensions": {f"{sku}.4NA7Y494T4.6YS6EN2CT7": {**dimension, "pricePerUnit": {currency: "0.0010000000"}}},
    }  # fmt: skip
    return json.dumps({
        "product": {"productFamily": "Compute Instance", "attributes": told, "sku": sku},
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {term: on_demand}, "Reserved": {f"{sku}.4NA7Y494T4": reserved}},
        "version": "20261120042925",
        "publicationDate": "2026-11-20T04:29:25Z",
    })  # fmt: skip


class PricingField:
    """`products` are what it sells; `calls` the types it was asked for, `refusal` what it answers instead."""

    def __init__(self) -> None:
        self.products: list[str] = []
        self.calls: list[str] = []
        self.refusal: tuple[int, str, str] | None = None
        self.endpoint = ""

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = {item["Field"]: item["Value"] for item in request["Filters"]}
        if not request.get("NextToken"):
            self.calls.append(wanted["instanceType"])
        if self.refusal is not None:
            status, code, words = self.refusal
            return status, {"__type": code, "message": words}
        fit = [text for text in self.products if self._fits(text, wanted)]
        place = int(request.get("NextToken") or 0)
        answer: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": fit[place : place + 1]}
        if place + 1 < len(fit):
            answer["NextToken"] = str(place + 1)
        return 200, answer

    @staticmethod
    def _fits(text: str, wanted: dict[str, str]) -> bool:
        """Whether it has the attributes; a text in no form at all is served to everybody."""
        try:
            told = json.loads(text)["product"]["attributes"]
            return all(told.get(name) == value for name, value in wanted.items())
        except (ValueError, TypeError, KeyError, AttributeError):
            return True


@contextmanager
def pricing_field() -> Generator[PricingField, None, None]:
    field = PricingField()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["X-Amz-Target"] == "AWSPriceListService.GetProducts"
            status, answer = field.answer(body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    field.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield field
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
