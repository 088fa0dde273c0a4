"""The provider's gRPC service: what the engine asks, answered by the resource types.

Written against the wire rather than Pulumi's experimental server, which keeps the old inputs from
Diff and turns refusals into tracebacks. Each request has a thread of its own: boto3 blocks.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from botocore.exceptions import BotoCoreError, ClientError
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from rehearsal.engine_life import leave_with_engine
from rehearsal.provider import functions
from rehearsal.provider.aws import Aws, Cancelled, Clients, Refused, TimedOut, code_of
from rehearsal.provider.registry import TYPES
from rehearsal.provider.resource import Resource
from rehearsal.provider.values import Properties, decode, encode, is_unknown

VERSION = "7.51.1"  # the pulumi-aws whose signatures are kept
_THREADS = 64
_REFUSALS = (ClientError, BotoCoreError, TimedOut, Cancelled, Refused, NotImplementedError)


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Pulumi's AWS provider for the resource types that `stacks/` uses."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._clients = Clients(self._cancelled)
        self._region = ""

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def Cancel(self, request: Any, context: Any) -> Any:
        self._cancelled.set()
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        news = decode(request.news)
        unknown = sorted(set(news) - {"region", "version", "skipCredentialsValidation"})
        faults = [_failure(name, "is not built in the rehearsal's provider") for name in unknown]
        if "region" not in news:
            faults.append(_failure("region", "is required: set aws:region"))
        return provider_pb2.CheckResponse(inputs=request.news, failures=faults)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        moved = decode(request.old_inputs).get("region") != decode(request.news).get("region")
        changes = provider_pb2.DiffResponse.DIFF_SOME if moved else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=changes, replaces=["region"] if moved else [])

    def Configure(self, request: Any, context: Any) -> Any:
        self._region = str(decode(request.args)["region"])
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Invoke(self, request: Any, context: Any) -> Any:
        arguments = decode(request.args)
        function = functions.TABLE.get(request.tok)
        if function is None:
            _refuse(context, f"{request.tok} is not built in the rehearsal's provider")
        try:
            answer = function(self._aws(arguments), arguments)
        except (*_REFUSALS, functions.NotOne) as error:
            _refuse(context, f"{request.tok}: {_reason(error)}")
        return provider_pb2.InvokeResponse(**{"return": encode(answer)})

    def Check(self, request: Any, context: Any) -> Any:
        inputs = decode(request.news)
        resource = _resource(request, context)
        faults = [_failure(fault.path, fault.reason) for fault in resource.faults(inputs)]
        return provider_pb2.CheckResponse(inputs=encode(inputs), failures=faults)

    def Diff(self, request: Any, context: Any) -> Any:
        resource = _resource(request, context)
        changed = resource.changed(decode(request.old_inputs), decode(request.news))
        replaced = changed & (resource.replaces | {"region"})
        return _difference({name.partition(".")[0] for name in changed}, replaced)

    def Create(self, request: Any, context: Any) -> Any:
        inputs = decode(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        resource, aws = _resource(request, context), self._aws(inputs)
        try:
            id = resource.create(aws, inputs)
        except _REFUSALS as error:
            _refuse(context, f"{request.urn}: {_reason(error)}")
        try:
            resource.settle(aws, id, inputs)
            return provider_pb2.CreateResponse(id=id, properties=encode(_state(resource, aws, id, inputs)))
        except _REFUSALS as error:
            _refuse_half_made(context, id, inputs, f"{id} was created, but: {_reason(error)}")

    def Update(self, request: Any, context: Any) -> Any:
        inputs, before = decode(request.news), decode(request.old_inputs)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=encode(decode(request.olds) | inputs))
        resource, aws = _resource(request, context), self._aws(inputs)
        try:
            resource.update(aws, request.id, before, inputs)
            return provider_pb2.UpdateResponse(properties=encode(_state(resource, aws, request.id, inputs)))
        except _REFUSALS as error:
            _refuse(context, f"{request.urn}: {_reason(error)}")

    def Read(self, request: Any, context: Any) -> Any:
        state, inputs = decode(request.properties), decode(request.inputs)
        resource, aws = _resource(request, context), self._aws(state)
        try:
            seen = resource.read(aws, request.id, inputs)
        except _REFUSALS as error:
            _refuse(context, f"{request.urn}: {_reason(error)}")
        if seen is None:
            return provider_pb2.ReadResponse()
        found = _inputs_of(resource, inputs, seen)
        properties = encode(inputs | seen | _place(resource, aws))
        return provider_pb2.ReadResponse(id=request.id, properties=properties, inputs=encode(found))

    def Delete(self, request: Any, context: Any) -> Any:
        state = decode(request.properties)
        try:
            _resource(request, context).remove(self._aws(state), request.id, state)
        except _REFUSALS as error:
            _refuse(context, f"{request.urn}: {_reason(error)}")
        return empty_pb2.Empty()

    def _aws(self, properties: Properties) -> Aws:
        region = properties.get("region") or self._region
        return self._clients.of(self._region if is_unknown(region) else str(region))


def _resource(request: Any, context: Any) -> Resource:
    kind = request.type or request.urn.split("::")[2].split("$")[-1]
    found = TYPES.get(kind)
    if found is None:
        _refuse(context, f"{kind} is not built in the rehearsal's provider")
    return found


def _state(resource: Resource, aws: Aws, id: str, inputs: Properties) -> Properties:
    seen = None if resource.is_known else resource.read(aws, id, inputs)
    return inputs | (seen or {}) | _place(resource, aws)


def _place(resource: Resource, aws: Aws) -> Properties:
    return {"region": aws.region} if resource.is_regional() else {}


def _inputs_of(resource: Resource, inputs: Properties, seen: Properties) -> Properties:
    """The inputs that would declare what is there: those given, as they are now; when importing, all."""
    names = inputs.keys() if inputs else resource.handles
    return {name: seen.get(name, inputs.get(name)) for name in names if name in seen or name in inputs}


def _difference(changed: set[str], replaced: frozenset[str]) -> Any:
    answer = provider_pb2.DiffResponse
    kinds = provider_pb2.PropertyDiff
    tops = {name.partition(".")[0] for name in replaced}
    return answer(
        changes=answer.DIFF_SOME if changed else answer.DIFF_NONE,
        diffs=sorted(changed),
        replaces=sorted(tops),
        hasDetailedDiff=True,
        detailedDiff={
            name: kinds(kind=kinds.UPDATE_REPLACE if name in tops else kinds.UPDATE, inputDiff=True) for name in changed
        },
    )


def _failure(path: str, reason: str) -> Any:
    return provider_pb2.CheckFailure(property=path, reason=f"{path} {reason}")


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        return f"{code_of(error)}: {error.response.get('Error', {}).get('Message', '')}"
    return str(error)


def _refuse(context: Any, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError  # abort raises


def _refuse_half_made(context: Any, id: str, inputs: Properties, reason: str) -> NoReturn:
    """Tells the engine that the resource exists and is not ready, so that it is kept in the state."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=id, properties=encode(inputs), inputs=encode(inputs), reasons=[reason]
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason)
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    _refuse(context, reason)


def main() -> None:
    """Serves until the engine ends; the first line on stdout is the port."""
    server = grpc.server(
        ThreadPoolExecutor(max_workers=_THREADS), options=[("grpc.max_receive_message_length", 400 << 20)]
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    leave_with_engine(server)
