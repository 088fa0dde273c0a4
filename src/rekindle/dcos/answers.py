"""The forms of the cluster's answers, as far as Rekindle reads them; what else they say is left alone.

Sources: those of the module that asks (FACTS 5 to 8).
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rekindle.dcos.app_definition import spelt
from rekindle.dcos.app_types import App, Count, Labels, Port
from rekindle.dcos.errors import ApiError
from rekindle.parsing import NotPlain, from_json, misfits

Form = TypeVar("Form", bound=BaseModel)
Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]


class Answer(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Identified(Answer):
    id: str


class Task(Answer):
    host: str
    ports: list[Port] | None = None


class Failure(Answer):
    state: str = ""
    host: str = "?"
    message: str = ""


class ShownApp(App):
    """An app as Marathon shows it."""

    id: Annotated[str, Field(min_length=1)]
    labels: Labels = Field(default_factory=dict)
    tasksRunning: Count = 0
    tasksHealthy: Count = 0
    deployments: list[Identified] = Field(default_factory=list)
    tasks: list[Task] = Field(default_factory=list)
    lastTaskFailure: Failure | None = None


class OneApp(Answer):
    app: ShownApp


class Apps(Answer):
    apps: list[ShownApp]


class Changed(Answer):
    deploymentId: str = ""


class Deployment(Answer):
    id: str
    affectedApps: list[str]
    affectedPods: list[str] = Field(default_factory=list)


class Refused(Answer):
    reason: str
    declined: int
    processed: int


class Offers(Answer):
    rejectSummaryLastOffers: list[Refused] = Field(default_factory=list)
    rejectSummaryLaunchAttempt: list[Refused] = Field(default_factory=list)


class Delay(Answer):
    overdue: bool = True
    timeLeftSeconds: int | None = None


class Queued(Answer):
    app: Identified | None = None
    pod: Identified | None = None
    count: int = 1
    delay: Delay = Delay()
    processedOffersSummary: Offers = Offers()


class Queue(Answer):
    queue: list[Queued]


class ListedRepository(Answer):
    name: str
    uri: str


class Repositories(Answer):
    repositories: list[ListedRepository]


class Definition(Answer):
    name: str
    version: str


class PackageInformation(Answer):
    packageDefinition: Definition


class InstalledPackage(Answer):
    appId: str
    packageInformation: PackageInformation


class Packages(Answer):
    packages: list[InstalledPackage]


class Described(Answer):
    package: dict[str, Any]


class Rendered(Answer):
    marathonJson: dict[str, Any]


class Updated(Answer):
    marathonDeploymentId: str


class Server(Answer):
    hostname: str
    code: int
    isLeader: bool


class ListedUnit(Answer):
    id: str
    health: int


class Units(Answer):
    units: list[ListedUnit]


class DcosVersion(Answer):
    version: str
    variant: str = Field(default="open", alias="dcos-variant")


class Metadata(Answer):
    CLUSTER_ID: str = ""


class Address(Answer):
    ip: str = ""


class Resources(Answer):
    cpus: Number = 0.0
    mem: Number = 0.0
    disk: Number = 0.0


class ListedAgent(Answer):
    id: str
    hostname: str
    attributes: dict[str, str | Number | bool] = Field(default_factory=dict)
    active: bool = False
    resources: Resources = Resources()
    used_resources: Resources = Resources()
    reserved_resources: dict[str, Any] = Field(default_factory=dict)


class Agents(Answer):
    slaves: list[ListedAgent]


class Token(Answer):
    token: Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")]  # it goes into a header


def decoded(response: httpx.Response) -> Any:
    """The JSON of an answer; ApiError if it is none."""
    try:
        return from_json(response.content)
    except NotPlain as error:
        raise _odd(response, "the answer is not JSON") from error


def mapping(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer, without what is null; ApiError if it is none."""
    value = decoded(response)
    if not isinstance(value, Mapping):
        raise _odd(response, "the answer is not a JSON object")
    return spelt(value)


def as_it_came(form: type[BaseModel], response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer, of this form; ApiError says what of it is otherwise."""
    found = mapping(response)
    _formed(form, found, response)
    return found


def read(form: type[Form], response: httpx.Response) -> Form:
    """The answer in this form; ApiError says what of it is otherwise."""
    return _formed(form, mapping(response), response)


def read_list(form: type[Form], response: httpx.Response) -> list[Form]:
    """The answer as a list of this form; ApiError says what of it is otherwise."""
    found = decoded(response)
    if not isinstance(found, list):
        raise _odd(response, "the answer is not a JSON list")
    return [_formed(form, spelt(item) if isinstance(item, Mapping) else item, response) for item in found]


def _formed(form: type[Form], value: Any, response: httpx.Response) -> Form:
    try:
        return form.model_validate(value)
    except ValidationError as error:
        raise _odd(response, f"the answer is not as its API says: {misfits(form, error)}") from error


def _odd(response: httpx.Response, message: str) -> ApiError:
    request = response.request
    hint = "Look whether a proxy stands between, and whether the cluster is of a version that Rekindle knows."
    return ApiError(request.method, request.url.path, response.status_code, message, hint=hint)
