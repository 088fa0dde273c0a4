"""The provider's service in process, against moto in process."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto import mock_aws
from pulumi.runtime.proto import provider_pb2

from rehearsal.provider.aws import Clients
from rehearsal.provider.server import Provider
from rehearsal.provider.values import decode, encode


class Aborted(Exception):
    """The service refused; its text is what a person reads."""


class Context:
    def abort(self, code: Any, details: str) -> None:
        raise Aborted(details)

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.metadata = metadata


@dataclass
class Engine:
    """Asks the provider as Pulumi's engine does, in plain Python values."""

    provider: Provider
    context: Context = field(default_factory=Context)

    def configure(self, region: str) -> "Engine":
        self.provider.Configure(provider_pb2.ConfigureRequest(args=encode({"region": region})), self.context)
        return self

    def check_config(self, config: dict[str, Any]) -> list[str]:
        answer = self.provider.CheckConfig(provider_pb2.CheckRequest(news=encode(config)), self.context)
        return [failure.reason for failure in answer.failures]

    def diff_config(self, old: dict[str, Any], new: dict[str, Any]) -> Any:
        return self.provider.DiffConfig(
            provider_pb2.DiffRequest(old_inputs=encode(old), news=encode(new)), self.context
        )

    def check(self, kind: str, inputs: dict[str, Any]) -> list[str]:
        request = provider_pb2.CheckRequest(urn=urn(kind), type=kind, news=encode(inputs))
        return [failure.reason for failure in self.provider.Check(request, self.context).failures]

    def diff(self, kind: str, old: dict[str, Any], new: dict[str, Any]) -> tuple[set[str], set[str]]:
        request = provider_pb2.DiffRequest(urn=urn(kind), type=kind, old_inputs=encode(old), news=encode(new))
        answer = self.provider.Diff(request, self.context)
        assert answer.changes == (answer.DIFF_SOME if answer.diffs else answer.DIFF_NONE)
        return set(answer.diffs), set(answer.replaces)

    def create(self, kind: str, inputs: dict[str, Any], *, preview: bool = False) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.CreateRequest(urn=urn(kind), type=kind, properties=encode(inputs), preview=preview)
        answer = self.provider.Create(request, self.context)
        return answer.id, decode(answer.properties)

    def update(self, kind: str, id: str, old: dict[str, Any], new: dict[str, Any], *, preview: bool = False) -> Any:
        request = provider_pb2.UpdateRequest(
            urn=urn(kind), type=kind, id=id, olds=encode(old), old_inputs=encode(old), news=encode(new), preview=preview
        )
        return decode(self.provider.Update(request, self.context).properties)

    def read(self, kind: str, id: str, inputs: dict[str, Any] | None = None) -> tuple[Any, Any] | None:
        """(inputs, outputs), or None if it is gone."""
        known = encode(inputs or {})
        request = provider_pb2.ReadRequest(urn=urn(kind), type=kind, id=id, properties=known, inputs=known)
        answer = self.provider.Read(request, self.context)
        return (decode(answer.inputs), decode(answer.properties)) if answer.id else None

    def delete(self, kind: str, id: str, outputs: dict[str, Any]) -> None:
        request = provider_pb2.DeleteRequest(urn=urn(kind), type=kind, id=id, properties=encode(outputs))
        self.provider.Delete(request, self.context)

    def invoke(self, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = self.provider.Invoke(provider_pb2.InvokeRequest(tok=token, args=encode(arguments)), self.context)
        return decode(getattr(answer, "return"))


def urn(kind: str) -> str:
    return f"urn:pulumi:dev::rekindle::{kind}::it"


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """One for all tests: loading the models of the services takes longer than the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        yield Engine(Provider()).configure("us-west-2").provider


@pytest.fixture
def engine(provider: Provider) -> Iterator[Engine]:
    with mock_aws():  # a new account
        yield Engine(provider)


@pytest.fixture
def aws(engine: Engine) -> Clients:
    """The API itself, region by region."""
    return engine.provider._clients


@pytest.fixture
def ground(engine: Engine, aws: Clients) -> dict[str, str]:
    """Ids of what most types need beside them."""
    vpc, _ = engine.create("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/16"})
    place = {"vpcId": vpc, "availabilityZone": "us-west-2a"}
    subnet, _ = engine.create("aws:ec2/subnet:Subnet", {**place, "cidrBlock": "10.0.0.0/24"})
    group, _ = engine.create("aws:ec2/securityGroup:SecurityGroup", {"name": "g", "vpcId": vpc, "description": "g"})
    image = aws.of("us-west-2").ec2.register_image(Name="image", RootDeviceName="/dev/xvda")["ImageId"]
    return {"vpc": vpc, "subnet": subnet, "group": group, "image": image}
