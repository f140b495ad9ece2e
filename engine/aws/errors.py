"""What went wrong at AWS, in kinds that say what helps: the API's codes, and the failures of reaching it at all.

Codes: "Error codes for the Amazon EC2 API" (docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html) and
"Common Errors"; which of them botocore calls throttling: botocore/retries/standard.py.
"""

from __future__ import annotations

import re
from typing import Any, Literal, cast

Trouble = Literal[
    "capacity", "quota", "throttled", "permission", "invalid", "spot_price", "credentials", "unreachable", "server",
    "not_found", "other",
]  # fmt: skip
"""`credentials`: there are none, or they have expired. `unreachable`: no answer at all. `server`: a 5xx of AWS."""

TEMPORARY: frozenset[Trouble] = frozenset({"throttled", "credentials", "unreachable", "server"})
"""Says nothing about what was asked: the same question may well be answered later."""

_CODES: dict[str, Trouble] = {
    **dict.fromkeys(
        ("InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity",
         "InsufficientCapacity", "Unsupported", "UnfulfillableCapacity", "InsufficientFreeAddressesInSubnet",
         "InsufficientCapacityOnHost"),
        "capacity",
    ),
    **dict.fromkeys(
        ("VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "SpotInstanceCountExceeded",
         "ResourceCountLimitExceeded", "VolumeLimitExceeded", "AddressLimitExceeded", "NetworkInterfaceLimitExceeded",
         "MaxSpotFleetRequestCountExceeded"),
        "quota",
    ),
    **dict.fromkeys(("SpotMaxPriceTooLow", "BidPriceTooLow"), "spot_price"),
    **dict.fromkeys(
        ("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "RequestThrottled",
         "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException", "SlowDown",
         "PriorRequestNotComplete", "EC2ThrottledException", "TransactionInProgressException",
         "TooManyRequestsException",
         "ProvisionedThroughputExceededException"),
        "throttled",
    ),
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "AuthFailure",
         "SignatureDoesNotMatch", "InvalidToken", "UnrecognizedClientException", "MissingAuthenticationToken",
         "TokenRefreshRequired", "InvalidAccessKeyId", "RequestTimeTooSkewed"),
        "credentials",
    ),
    **dict.fromkeys(
        ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "OptInRequired", "PendingVerification",
         "Blocked", "Forbidden", "403"),
        "permission",
    ),
    **dict.fromkeys(
        ("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "ServerInternal",
         "InternalServerError", "RequestTimeout", "500", "502", "503", "504"),
        "server",
    ),
    **dict.fromkeys(("NoSuchKey", "NoSuchBucket", "404", "NotFound", "NoSuchEntity", "ParameterNotFound",
         "NoSuchResourceException"), "not_found"),
}  # fmt: skip
_ACTION = re.compile(r"perform:? ([a-z0-9-]+:[A-Za-z0-9*]+)")
"""As in `… is not authorized to perform: ec2:RunInstances on resource: …`."""


class AwsError(Exception):
    """A call that AWS did not carry out, or did not answer. `str` gives code and words as AWS said them."""

    def __init__(self, kind: Trouble, code: str, words: str, operation: str = "", action: str = "") -> None:
        super().__init__(f"{code}: {words}" if code and words else words or code)
        self.kind: Trouble = kind
        self.code, self.words, self.operation = code, words, operation
        self.action = action
        """The permission that is missing (`ec2:RunInstances`), where AWS names it."""


def aws_error(error: BaseException, operation: str = "") -> AwsError | None:
    """What a botocore exception says; None if it is not one of AWS or of the way there."""
    from botocore import exceptions as boto  # not at import: botocore costs 60 ms
    from botocore.parsers import ResponseParserError

    if isinstance(error, AwsError):
        return error
    if isinstance(error, boto.ClientError):
        return _answered(cast("dict[str, Any]", error.response), operation or error.operation_name)
    if isinstance(
        error,
        boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError
        | boto.TokenRetrievalError | boto.SSOError | boto.UnauthorizedSSOTokenError,
    ):  # fmt: skip
        # A `credential_process` that fails says so in lines of its own.
        return AwsError("credentials", "", " ".join(str(error).split()), operation)
    if isinstance(
        error,
        boto.HTTPClientError | boto.ConnectionError | boto.ResponseStreamingError | boto.IncompleteReadError,
    ):
        return AwsError("unreachable", "", str(error), operation)
    if isinstance(error, ResponseParserError):
        return AwsError("server", "", "its answer could not be read", operation)
    if isinstance(error, boto.ParamValidationError):
        return AwsError("invalid", "ParamValidation", " ".join(str(error).split()), operation)
    if isinstance(error, boto.BotoCoreError):
        return AwsError("other", type(error).__name__, str(error), operation)
    return None


_ENCODED = "Encoded authorization failure message"
"""What follows is kilobytes that only AWS can read, others each time."""


def _answered(response: dict[str, Any], operation: str) -> AwsError:
    told = response.get("Error", {})
    code, words = str(told.get("Code", "")), str(told.get("Message", "")).partition(_ENCODED)[0].strip()
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
    kind = _CODES.get(code)
    if kind is None:
        if code.startswith("Invalid") and ".NotFound" in code:
            kind = "not_found"
        elif status >= 500:
            kind = "server"
        elif status == 429:
            kind = "throttled"
        elif code.startswith(("Invalid", "Missing", "Malformed", "Unknown", "Validation", "IncorrectState")):
            kind = "invalid"
        else:
            kind = "other"
    found = _ACTION.search(words) if kind == "permission" else None
    action = found.group(1) if found else ""
    if kind == "permission" and not action and operation:
        action = f"ec2:{operation}" if code == "UnauthorizedOperation" else ""
    return AwsError(kind, code, words, operation, action)
