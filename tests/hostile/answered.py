"""What the cluster and Pulumi answer."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from tests.hostile.declared import APP, stands
from tests.hostile.parser import Parser, documents

from rekindle import services
from rekindle.dcos import AppStatus, Client, Credentials, Session
from rekindle.dcos.cosmos import Repository
from rekindle.dcos.marathon import Marathon
from rekindle.drivers.app import AppDriver
from rekindle.drivers.package import Initialise, PackageDriver
from rekindle.drivers.repository import RepositoryDriver
from rekindle.errors import RekindleError
from rekindle.infrastructure import Lookup, Project, engine, lock, update
from rekindle.infrastructure.events import Events
from rekindle.packages import BarrierSpec
from rekindle.plan import canonical
from rekindle.secrets import Secret
from rekindle.transport import Result

Use = Callable[[Client], object]


class Clock:
    """Time that passes as fast as it is waited."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def client(status: int, body: bytes, kind: str = "application/json") -> Client:
    """A client of a cluster that answers everything with this."""
    clock = Clock()
    answer = httpx.MockTransport(lambda request: httpx.Response(status, content=body, headers={"Content-Type": kind}))
    session = Session("http://cluster", None, transport=answer, clock=clock, sleep=clock.sleep)
    made = Client.over(session)
    return Client(Marathon(session, clock=clock, sleep=clock.sleep), made.cosmos, made.mesos, made.health)


def parsers(scratch: Path) -> Iterator[Parser]:
    """All of them; files go under `scratch`."""
    for name, use, seed in ANSWERS:
        yield Parser(f"answer: {name}", _used(use), documents(seed), "json")
    yield Parser("answer: an error", _errors, documents(*ERRORS), "json")
    yield Parser("answer: login", _login, documents({"token": "a.b.c"}, {"token": TOKEN}), "json")
    yield Parser("answer: options in a label", _options, documents({"kafka": {"heap": 1}}), "json")
    yield Parser("answer: barrier", _barrier, documents({"offsets": {"0": 7}}), "json")
    yield Parser("pulumi: outputs", lambda body: _outputs(scratch, body), documents(OUTPUTS), "json")
    yield Parser("pulumi: export", lambda body: _export(scratch, body), documents(EXPORT), "json")
    yield Parser("pulumi: events", lambda body: _events(scratch, body), [EVENTS])
    yield Parser("pulumi: one event", lambda body: _events(scratch, body + b"\n"), EVENTS.splitlines(), "json")
    yield Parser("pulumi: refusal", lambda body: lock.holders(body.decode(errors="replace")), [REFUSAL])


def _used(use: Use) -> Callable[[bytes], object]:
    return lambda body: use(client(200, body))


def _apps(cluster: Client) -> None:
    for app_id, app in cluster.marathon.apps().items():
        AppStatus.of(app)
        canonical(AppDriver(cluster.marathon).state(app_id, app))
        canonical(PackageDriver(cluster, {app_id: Initialise("a.b", 1, True)}, 1.0).state(app_id, app))
    services.prunable(cluster_of_apps(cluster), stands(), (), {})


def cluster_of_apps(cluster: Client) -> Client:
    """The same Marathon, beside a Cosmos that has no repository."""
    return Client(cluster.marathon, client(200, b'{"repositories": []}').cosmos, cluster.mesos, cluster.health)


def _app(cluster: Client) -> None:
    cluster.marathon.app("/a")
    cluster.marathon.await_settled("/a", 1.0)


def _repositories(cluster: Client) -> None:
    RepositoryDriver(cluster.cosmos).read("cosmos", ["repository:Universe"])
    cluster.cosmos.add_repository(Repository("a", "http://a"))


def _errors(body: bytes) -> None:
    for status, kind in ((400, "application/json"), (404, "text/html"), (422, ""), (500, "application/json")):
        try:
            client(status, body, kind).marathon.apps()
        except RekindleError as error:
            str(error).encode()


def _login(body: bytes) -> None:
    transport, clock = httpx.MockTransport(lambda request: httpx.Response(200, content=body)), Clock()
    credentials = Credentials("rekindle", Secret(PEM))
    session = Session("http://cluster", credentials, transport=transport, clock=clock, sleep=clock.sleep)
    session.get("/metadata")
    session.get("/metadata")


def _options(body: bytes) -> None:
    label = base64.b64encode(body).decode()
    app = {"id": "/a", "labels": {"DCOS_PACKAGE_NAME": "kafka", "DCOS_PACKAGE_OPTIONS": label}}
    canonical(PackageDriver(client(200, b"{}"), {"/a": Initialise("kafka.heap", 1, True)}, 1.0).state("/a", app))


class Saying:
    """Hosts on which curl prints this."""

    def __init__(self, printed: str) -> None:
        self.printed = printed

    def run(self, host: str, command: Any, *, as_root: bool = True) -> Result:
        return Result(host=host, command="curl", exit_code=0, stdout=self.printed, stderr="")


def _barrier(body: bytes) -> None:
    cluster = client(200, json.dumps({"app": {"id": "/a", "tasks": [{"host": "h", "ports": [1]}]}}).encode())
    said = services.barrier(
        cluster, Saying(body.decode(errors="replace")), stands(), BarrierSpec(service="a", path="/barrier")
    )
    canonical(said)


def _pulumi(scratch: Path, body: bytes) -> Project:
    """A project whose pulumi prints this."""
    folder = scratch / "pulumi"
    folder.mkdir(exist_ok=True)
    (folder / "printed").write_bytes(body)
    return Project(directory=folder, environ={"PATH": str(folder)})


class _Printing:
    """The engine's `ask`, without a process for each input."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __enter__(self) -> None:
        self.ask = engine.ask
        engine.ask = lambda *given, **named: self.body.decode(errors="replace")  # type: ignore[assignment]

    def __exit__(self, *error: object) -> None:
        engine.ask = self.ask


def _outputs(scratch: Path, body: bytes) -> None:
    with _Printing(body):
        canonical(update.inventory(Project(directory=scratch), "dev").model_dump(mode="json"))


class NoRecord:
    """Nothing was begun, and nothing is remembered."""

    def unfinished(self) -> tuple[()]:
        return ()

    def began(self, *given: object) -> None: ...

    def ended(self, *given: object) -> None: ...


def _export(scratch: Path, body: bytes) -> None:
    """Settled as after a killed engine, with every creation found and the refresh left out."""
    made = update.Update(Project(directory=scratch), "dev", NoRecord(), lambda creation: "vol-1", lambda line: None)
    made.run = lambda *given: engine.Ended(code=0, output="", errors=(), changed=0)  # type: ignore[method-assign]
    with _Printing(body):
        made.settle()
        for creation in update.pending.creations(made._export()):
            looked = Lookup(NoClients(), "us-west-2")  # type: ignore[arg-type]
            looked(creation)


class NoClients:
    """AWS in which nothing is found."""

    def of(self, service: str, region: str) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: Nothing()


class Nothing(dict[str, Any]):
    """An answer whose lists are empty."""

    def __missing__(self, key: str) -> Any:
        return []

    def paginate(self, **named: Any) -> list[Any]:
        return []


def _events(scratch: Path, body: bytes) -> None:
    log = scratch / "events"
    log.write_bytes(body)
    events = Events(log, lambda line: None)
    events.read()
    "".join(events.errors).encode()


SHOWN = {
    **{key: value for key, value in APP.items() if key != "secrets"},
    "id": "/a",
    "version": "2026-11-21T10:00:00.000Z",
    "tasksRunning": 1,
    "tasksHealthy": 1,
    "deployments": [{"id": "d"}],
    "lastTaskFailure": {"state": "TASK_FAILED", "host": "h", "message": "exit 1"},
    "tasks": [{"id": "t", "host": "h", "ports": [1], "state": "TASK_RUNNING", "appId": "/a"}],
    "labels": {"REKINDLE_OWNER": "dev/a", "DCOS_PACKAGE_NAME": "a", "DCOS_PACKAGE_OPTIONS": "e30="},
}
REFUSED = {"reason": "UnfulfilledConstraint", "declined": 3, "processed": 3}
AGENT = {
    "id": "S1",
    "hostname": "10.0.0.1",
    "attributes": {"zone": "a", "public_ip": "true", "n": 1.0},
    "active": True,
    "resources": {"cpus": 2.0, "mem": 100.0, "disk": 5.0, "ports": "[1-2]"},
    "used_resources": {"cpus": 0.1, "mem": 1.0},
    "reserved_resources": {"slave_public": {"cpus": 1.0}},
}
PACKAGE = {"appId": "/a", "packageInformation": {"packageDefinition": {"name": "a", "version": "1"}}}
SERVER = {"hostname": "10.0.0.4", "code": 3, "isLeader": True}
QUEUED = {"app": {"id": "/a"}, "count": 1, "delay": {"overdue": False, "timeLeftSeconds": 3}}
ANSWERS: tuple[tuple[str, Use, Any], ...] = (
    ("apps", _apps, {"apps": [SHOWN]}),
    ("an app", _app, {"app": {**SHOWN, "deployments": []}}),
    ("changed", lambda c: c.marathon.put({"id": "/a"}), {"deploymentId": "d", "version": "v"}),
    ("deployments", lambda c: c.marathon.deployments(), [{"id": "d", "affectedApps": ["/a"], "affectedPods": []}]),
    (
        "queue",
        lambda c: c.marathon.blockers("/a"),
        {"queue": [{**QUEUED, "processedOffersSummary": {"rejectSummaryLastOffers": [REFUSED]}}]},
    ),
    ("repositories", _repositories, {"repositories": [{"name": "Universe", "uri": "http://u"}]}),
    ("packages", lambda c: c.cosmos.installed(), {"packages": [PACKAGE]}),
    ("rendered", lambda c: canonical(c.cosmos.render("a", "1", {}, "/a")), {"marathonJson": {"id": "/a"}}),
    ("described", lambda c: c.cosmos.describe("a"), {"package": {"name": "a"}}),
    ("updated", lambda c: c.cosmos.update("/a", {}), {"marathonDeploymentId": "d"}),
    ("agents", lambda c: [agent.is_public for agent in c.mesos.agents()], {"slaves": [AGENT]}),
    ("metrics", lambda c: c.mesos.metrics(), {"registrar/log/recovered": 1.0}),
    ("ensemble", lambda c: c.health.ensemble().is_whole(1), [SERVER]),
    ("units", lambda c: c.health.units(), {"units": [{"id": "u", "health": 0}]}),
    ("version", lambda c: c.health.version(), {"version": "2.1", "dcos-variant": "open"}),
    ("metadata", lambda c: c.health.cluster_id(), {"CLUSTER_ID": "x"}),
    ("addresses", lambda c: c.health.addresses("leader.mesos"), [{"host": "a", "ip": "10.0.0.4"}]),
)
ERRORS = (
    {"message": "Object is not valid", "details": [{"path": "/mem", "errors": ["too much"]}]},
    {
        "type": "JsonSchemaMismatch",
        "message": "x",
        "data": {"errors": [{"instance": {"pointer": "/a"}, "message": "m"}]},
    },
    {"title": "x", "description": "y", "code": "ERR"},
)
TOKEN = "eyJhbGciOiJub25lIn0.eyJleHAiOjF9."
OUTPUTS = {"inventory": stands().model_dump(mode="json")}
URN = "urn:pulumi:dev::rekindle::aws:{}::kafka-1"
KINDS = (
    ("ebs/volume:Volume", {"size": 4, "tags": {"Name": "x", "rekindle:urn": "u"}}),
    ("ec2/route:Route", {"routeTableId": "rtb-1", "destinationCidrBlock": "0.0.0.0/0"}),
    ("lb/listener:Listener", {"loadBalancerArn": "arn", "port": 80}),
    ("lb/targetGroup:TargetGroup", {"name": "edge"}),
    ("s3/bucket:Bucket", {"bucket": "b"}),
)
OPEN = [
    {"type": "creating", "resource": {"urn": URN.format(kind), "type": f"aws:{kind}", "custom": True, "inputs": inputs}}
    for kind, inputs in KINDS
]
EXPORT = {
    "version": 3,
    "deployment": {
        "resources": [{"urn": URN.format("ec2/vpc:Vpc"), "type": "aws:ec2/vpc:Vpc", "id": "vpc-1"}],
        "pending_operations": [*OPEN, {"type": "updating", "resource": {"urn": "a", "type": "b", "id": "1"}}],
    },
}
STEP = {"metadata": {"op": "create", "urn": URN.format("ebs/volume:Volume")}}
EVENTS = (
    b"\n".join(
        documents(
            {"resourcePreEvent": STEP},
            {"resOutputsEvent": STEP},
            {"resOpFailedEvent": STEP},
            {"diagnosticEvent": {"severity": "error", "message": "no\n room"}},
            {"errorEvent": {"error": "x"}},
            {"summaryEvent": {}},
        )
    )
    + b"\n"
)
REFUSAL = b"""error: the stack is currently locked by 1 lock(s).
  s3://state/a.json: created by ada@host (pid 77) at 2026-11-21T03:00:00Z"""


def _pem() -> str:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()


PEM = _pem()
