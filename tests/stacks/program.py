"""The Pulumi program, declared to Pulumi's mocks: what it registers, with which options."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime.mocks import MockMonitor

from components import environment, foundation, tagging
from rekindle.environment import parse, parse_foundation

STACKS = Path(__file__).parents[2] / "stacks"
GROUND = {
    "bucket_prefix": "example",
    "dns_zone": "example.test",
    "dns_zone_id": "Z1",
    "instance_profiles": {
        stack: {role: f"{stack}-{role}" for role in ("bootstrap", "master", "private_agent", "public_agent")}
        for stack in ("dev", "dev-dr")
    },
    "stores": {
        "region": "us-west-2",
        "journal_bucket": "example-journal",
        "mirror_bucket": "example-mirror",
        "switch": {"kind": "alarm", "namespace": "Rekindle/example"},
        "kms_key_arn": "arn:aws:kms:us-west-2:123456789012:key/k",
    },
}


RESTORED = {"kafka-1": "snap-1", "kafka-2": "snap-2", "kafka-3": "snap-3"}
Options = dict[str, Any]


@dataclass(frozen=True)
class Made:
    kind: str
    name: str
    inputs: dict[str, Any]


@dataclass
class Recorder(pulumi.runtime.Mocks):
    made: list[Made] = field(default_factory=list)
    options: dict[tuple[str, str], Options] = field(default_factory=dict)  # by kind and name
    after: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=dict)  # what each depends on
    parents: dict[tuple[str, str], str] = field(default_factory=dict)  # kinds of components, part of a child's URN

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.made.append(Made(args.typ, args.name, args.inputs))
        extra = {"outputs": {"foundation": GROUND}} if args.typ.endswith("StackReference") else {}
        given = {"privateIp": "10.10.0.99", "publicIp": "192.0.2.1", "dnsName": "l.elb.amazonaws.com", "zoneId": "Z2"}
        named = {"arn": f"{args.name}-arn", "allocationId": f"{args.name}-allocation", "keyId": f"{args.name}-key"}
        return f"{args.name}-id", {**given, **named, **args.inputs, **extra}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        if args.token != "aws:index/getCallerIdentity:getCallerIdentity":
            raise AssertionError(f"the program looks up only whose account this is: {args.token}")
        return {"accountId": "123456789012"}

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Inputs by name of all resources of a type."""
        return {made.name: made.inputs for made in self.made if made.kind == kind}


class Monitor(MockMonitor):
    """Keeps what the engine would be told beside a resource's inputs: what it must never do to it."""

    def RegisterResource(self, request: Any) -> Any:
        recorder, key = self.mocks, (request.type, request.name)
        told = {
            "protect": request.protect,
            "retain_on_delete": request.retainOnDelete,
            "delete_before_replace": request.deleteBeforeReplace,
            "ignore_changes": sorted(request.ignoreChanges),
        }
        assert isinstance(recorder, Recorder)
        recorder.options[key] = {name: value for name, value in told.items() if value}
        recorder.parents[key] = _key(request.parent)[0] if request.parent else ""
        of_parent = recorder.after.get(_key(request.parent), set()) if request.parent else set()  # it waits for both
        recorder.after[key] = {_key(urn) for urn in request.dependencies} | of_parent
        return super().RegisterResource(request)


def _key(urn: str) -> tuple[str, str]:
    _, _, kind, name = urn.split("::")
    return kind.split("$")[-1], name


def config(stack: str, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((STACKS / f"Pulumi.{stack}.yaml").read_text())["config"]
    return {**values, **changes}


def recording(stack: str) -> tuple[Recorder, dict[str, Any]]:
    asyncio.set_event_loop(asyncio.new_event_loop())  # Pulumi takes the thread's, and asyncio.run leaves none behind
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="rekindle", stack=stack, monitor=Monitor(recorder))
    return recorder, {}


def declared(stack: str, **changes: Any) -> tuple[Recorder, dict[str, Any]]:
    """What an environment's program registers, and its inventory."""
    recorder, found = recording(stack)

    @pulumi.runtime.test
    def program() -> Any:
        tagging.register(project="rekindle", stack=stack)
        outputs = environment.build(parse(stack, config(stack, **changes), where=stack), project="rekindle")
        return outputs["inventory"].apply(found.update)

    program()
    return recorder, found


def declared_foundation(**changes: Any) -> tuple[Recorder, dict[str, Any]]:
    """What the foundation's program registers, and its outputs."""
    recorder, found = recording("foundation")

    @pulumi.runtime.test
    def program() -> Any:
        outputs = foundation.build(parse_foundation(config("foundation", **changes), where="foundation"))
        return pulumi.Output.from_input(outputs).apply(found.update)

    program()
    return recorder, found
