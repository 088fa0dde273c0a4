"""The types of a Marathon app's fields, as far as anything here or there depends on them.

Fields, ranges and what is required: marathon/raml-1.11.24, v2/types. Unknown fields and the names that Marathon
gives to modes, protocols and operators are left to Marathon, which knows those of its own version.
"""

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rekindle.parsing import misfits

Text: TypeAlias = Annotated[str, Field(min_length=1)]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 31)]
Size: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 63)]
Amount: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Port: TypeAlias = Annotated[int, Field(ge=0, le=65535)]
Labels: TypeAlias = dict[str, str]
Constraint: TypeAlias = Annotated[list[str], Field(min_length=2, max_length=3)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class External(_Part):
    name: Text  # Marathon names a volume by nothing else
    provider: str | None = None
    size: Size | None = None
    shared: bool | None = None
    options: Labels | None = None


class Persistent(_Part):
    size: Size
    type: str | None = None
    maxSize: Size | None = None
    profileName: Text | None = None
    constraints: list[Constraint] | None = None


class Volume(_Part):
    containerPath: Text
    hostPath: Text | None = None
    mode: str | None = None
    external: External | None = None
    persistent: Persistent | None = None
    secret: Text | None = None


class PortDefinition(_Part):
    port: Port | None = None
    name: Text | None = None
    protocol: str | None = None
    labels: Labels | None = None


class PortMapping(_Part):
    containerPort: Port | None = None
    hostPort: Port | None = None
    servicePort: Port | None = None
    name: Text | None = None
    protocol: str | None = None
    labels: Labels | None = None
    networkNames: list[Text] | None = None


class Parameter(_Part):
    key: Text
    value: str


class Docker(_Part):
    image: Text
    forcePullImage: bool | None = None
    privileged: bool | None = None
    network: str | None = None
    parameters: list[Parameter] | None = None
    portMappings: list[PortMapping] | None = None
    credential: dict[str, str] | None = None
    pullConfig: dict[str, str] | None = None


class Container(_Part):
    type: str | None = None
    docker: Docker | None = None
    volumes: list[Volume] | None = None
    portMappings: list[PortMapping] | None = None
    linuxInfo: dict[str, Any] | None = None


class Command(_Part):
    value: str


class HealthCheck(_Part):
    protocol: str | None = None
    command: Command | None = None
    path: str | None = None
    port: Port | None = None
    portIndex: Port | None = None
    gracePeriodSeconds: Count | None = None
    intervalSeconds: Count | None = None
    timeoutSeconds: Count | None = None
    delaySeconds: Count | None = None
    maxConsecutiveFailures: Count | None = None
    ignoreHttp1xx: bool | None = None
    ipProtocol: str | None = None


class ReadinessCheck(_Part):
    name: Text | None = None
    protocol: str | None = None
    path: Text | None = None
    portName: Text | None = None
    intervalSeconds: Count | None = None
    timeoutSeconds: Count | None = None
    httpStatusCodesForReady: list[Annotated[int, Field(ge=100, le=999)]] | None = None
    preserveLastResponse: bool | None = None


class Fetch(_Part):
    uri: Annotated[str, Field(min_length=1, max_length=1024)]
    extract: bool | None = None
    executable: bool | None = None
    cache: bool | None = None
    destPath: Text | None = None


class Network(_Part):
    mode: str | None = None
    name: Text | None = None
    labels: Labels | None = None


class SecretVariable(_Part):
    secret: Text


class SecretSource(_Part):
    source: Text


class UpgradeStrategy(_Part):
    maximumOverCapacity: Share
    minimumHealthCapacity: Share


class UnreachableStrategy(_Part):
    inactiveAfterSeconds: Size | None = None
    expungeAfterSeconds: Size | None = None


class ExecutorResources(_Part):
    cpus: Amount | None = None
    mem: Amount | None = None
    disk: Amount | None = None


class App(_Part):
    """An app definition as anybody may send it."""

    id: Text | None = None
    acceptedResourceRoles: list[str] | None = None
    args: list[str] | None = None
    backoffFactor: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    backoffSeconds: Count | None = None
    check: dict[str, Any] | None = None
    cmd: Text | None = None
    constraints: list[Constraint] | None = None
    container: Container | None = None
    cpus: Annotated[float, Field(ge=0.001, allow_inf_nan=False)] | None = None
    dependencies: list[Text] | None = None
    disk: Amount | None = None
    env: dict[str, str | SecretVariable] | None = None
    executor: str | None = None
    executorResources: ExecutorResources | None = None
    fetch: list[Fetch] | None = None
    gpus: Count | None = None
    healthChecks: list[HealthCheck] | None = None
    instances: Count | None = None
    killSelection: str | None = None
    labels: Labels | None = None
    maxLaunchDelaySeconds: Count | None = None
    mem: Amount | None = None
    networks: list[Network] | None = None
    portDefinitions: list[PortDefinition] | None = None
    readinessChecks: list[ReadinessCheck] | None = None
    requirePorts: bool | None = None
    resourceLimits: dict[str, Any] | None = None
    role: Text | None = None
    secrets: dict[str, SecretSource] | None = None
    taskKillGracePeriodSeconds: Count | None = None
    unreachableStrategy: str | UnreachableStrategy | None = None
    upgradeStrategy: UpgradeStrategy | None = None
    user: str | None = None


def problems(app: object) -> str:
    """What is wrong with the types of a definition, as sentences; empty if nothing is."""
    try:
        App.model_validate(app)
    except ValidationError as error:
        return misfits(App, error)
    return ""
