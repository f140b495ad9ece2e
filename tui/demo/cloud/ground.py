"""The ground the cloud stands on: moto, in this process. The only file that knows its insides."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast
from urllib.parse import urlencode

from .answers import Answer, Refused
from .call import Call, Environ

ACCOUNT = "123456789012"


class MotoState(Protocol):
    name: str
    code: int


class MotoReason(Protocol):
    code: str
    message: str


class MotoInstance(Protocol):
    """As much of `moto.ec2.models.instances.Instance` as is used here."""

    id: str
    image_id: str
    instance_type: str
    key_name: str | None
    ami_launch_index: int
    instance_initiated_shutdown_behavior: str
    lifecycle: str | None
    user_data: object
    state_reason: MotoReason
    metadata_options: Any
    nics: dict[int, Any]

    @property
    def instance_state(self) -> MotoState: ...
    @property
    def availability_zone(self) -> str | None: ...
    @property
    def private_ip(self) -> str | None: ...
    def terminate(self) -> object: ...
    def stop(self) -> object: ...
    def start(self) -> object: ...


class Moto:
    """moto as a WSGI application, and its EC2 as objects."""

    def __init__(self) -> None:
        from moto import settings
        from moto.ec2.models import ec2_backends
        from moto.moto_server.werkzeug_app import (  # pyright: ignore[reportMissingTypeStubs]
            DomainDispatcherApplication,
            create_backend_app,
        )

        settings.EC2_ENABLE_INSTANCE_TYPE_VALIDATION = True
        settings.ENABLE_KEYPAIR_VALIDATION = True
        settings.ENABLE_AMI_VALIDATION = True
        _quick_tags()
        self._app = cast("Callable[..., Iterable[bytes]]", DomainDispatcherApplication(create_backend_app))
        self._backends = cast("Any", ec2_backends)

    def serve(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        return self._app(environ, start)

    def ask(self, environ: Environ, form: dict[str, str] | None = None) -> Answer:
        """Its answer to this call, as a whole; `form` replaces what the call said."""
        told: list[tuple[str, str]] = []

        def start(status: str, headers: Sequence[tuple[str, str]], _: object = None) -> None:
            told.append((status, dict(headers).get("Content-Type", "text/xml")))

        if form is not None:
            body = urlencode(form).encode()
            environ = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        content = b"".join(self._app(environ, start))
        return Answer(int(told[0][0].split()[0]), content, told[0][1])

    def reset(self) -> None:
        """Forget everything: instances, buckets, keys, roles."""
        from moto.moto_api._internal.models import moto_api_backend

        moto_api_backend.reset()

    # --- EC2 -----------------------------------------------------------------------------------------------------

    def _ec2(self, region: str) -> Any:
        return self._backends[ACCOUNT][region]  # a reset makes them anew

    def reservation(self, region: str, id: str) -> list[MotoInstance]:
        """The instances of a reservation: the very list, so that who is taken from it is not seen any more."""
        return self._ec2(region).reservations[id].instances

    def tags(self, region: str, resource: str) -> dict[str, str]:
        return dict(self._ec2(region).tags.get(resource, {}))

    def public_key(self, region: str, name: str) -> str:
        pair = self._ec2(region).key_pairs.get(name)
        return "" if pair is None else pair.material_public.decode()

    def zones(self, region: str) -> list[str]:
        return sorted(zone.name for zone in self._ec2(region).describe_availability_zones())

    def subnet_zone(self, region: str, subnet: str) -> str:
        return str(self._ec2(region).get_subnet(subnet).availability_zone)

    def architecture(self, region: str, ami: str) -> str:
        """Of an AMI. Raises `Refused` if there is none of that name."""
        with refusing():
            return str(self._ec2(region).describe_images(ami_ids=[ami])[0].architecture)

    def must_exist(self, region: str, call: Call) -> None:
        """What a launch names is there: key pair, groups, subnet. Raises `Refused`."""
        ec2 = self._ec2(region)
        with refusing():
            if name := call.form.get("KeyName"):
                ec2.describe_key_pairs(key_names=[name])
            if subnet := call.form.get("SubnetId"):
                ec2.get_subnet(subnet)
            if groups := call.numbered("SecurityGroupId"):
                ec2.describe_security_groups(group_ids=groups)

    def role_of_profile(self, name_or_arn: str) -> str:
        """The role in an instance profile; empty if it has none. Raises `Refused` if there is no such profile."""
        from moto.iam.models import iam_backends

        backend = cast("Any", iam_backends)[ACCOUNT]["aws"]
        for profile in backend.instance_profiles.values():
            if name_or_arn in (profile.name, profile.arn):
                return str(profile.roles[0].name) if profile.roles else ""
        parameter = "iamInstanceProfile.arn" if name_or_arn.startswith("arn:") else "iamInstanceProfile.name"
        raise Refused(
            "InvalidParameterValue",
            f"Value ({name_or_arn}) for parameter {parameter} is invalid. Invalid IAM Instance Profile name",
        )

    def give_profile(self, region: str, instance: str, name_or_arn: str) -> None:
        """Associate a profile; moto itself does so for the first instance of a launch only."""
        key = "iam_instance_profile_arn" if name_or_arn.startswith("arn:") else "iam_instance_profile_name"
        with refusing():
            self._ec2(region).associate_iam_instance_profile(instance_id=instance, **{key: name_or_arn})


class refusing:
    """moto's errors within come out as `Refused`."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        code, words = getattr(error, "code", None), getattr(error, "message", "")
        if error is not None and isinstance(code, str) and not isinstance(error, Refused):
            raise Refused(code, str(words)) from error


def set_state(instance: MotoInstance, name: str, code: int) -> None:
    instance.instance_state.name, instance.instance_state.code = name, code


def set_reason(instance: MotoInstance, code: str, message: str, transition: str) -> None:
    """StateReason and StateTransitionReason, as DescribeInstances tells them."""
    instance.state_reason.code, instance.state_reason.message = code, message
    vars(instance)["_reason"] = transition


def set_spot_request(instance: MotoInstance, id: str) -> None:
    vars(instance)["spot_instance_request_id"] = id


def set_public_ip(instance: MotoInstance, address: str) -> None:
    instance.nics[0].public_ip = address


def user_data_of(instance: MotoInstance) -> bytes:
    return b"" if instance.user_data is None else base64.b64decode(str(instance.user_data))


def type_facts(name: str) -> tuple[int, tuple[str, ...]] | None:
    """vCPUs and architectures of an instance type; None: there is no such type."""
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    found = INSTANCE_TYPES.get(name)
    if found is None:
        return None
    return int(found["VCpuInfo"]["DefaultVCpus"]), tuple(found["ProcessorInfo"]["SupportedArchitectures"])


def offered(region: str, name: str) -> list[str]:
    """The zones of a region that have this type."""
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

    everywhere = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, [])
    return sorted(offer["Location"] for offer in everywhere if offer["InstanceType"] == name)


def _quick_tags() -> None:
    """Look an instance's tags up by its id: moto reads every tag of every resource, which is quadratic."""
    from moto.ec2.models.core import TaggedEC2Resource

    def get_tags(self: Any) -> list[dict[str, str]]:
        found = cast("dict[str, str]", self.ec2_backend.tags.get(self.id) or {})
        return [{"resource_id": self.id, "key": key, "value": value, "resource_type": "instance"}
                for key, value in found.items()]  # fmt: skip

    TaggedEC2Resource.get_tags = get_tags
