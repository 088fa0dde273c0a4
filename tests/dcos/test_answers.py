"""What the cluster answers is taken by its published form, or refused with the call, the place and a next step."""

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fake_cluster import PEM, FakeCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.dcos import ApiError, AppStatus, Client, Credentials, Session
from rekindle.dcos import session as sessions
from rekindle.dcos.app_definition import normal
from rekindle.dcos.cosmos import stored_options
from rekindle.errors import RekindleError, Unreachable
from rekindle.secrets import Secret

APP = {"id": "/a", "instances": 2, "tasksRunning": 2, "tasksHealthy": 0, "deployments": [], "labels": {}}
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)

Use = Callable[[Client], object]
USES: dict[str, Use] = {
    "apps": lambda c: [AppStatus.of(app) for app in c.marathon.apps().values()],
    "an app": lambda c: c.marathon.app("/a"),
    "deployments": lambda c: c.marathon.deployments(),
    "queue": lambda c: c.marathon.blockers("/a"),
    "put": lambda c: c.marathon.put({"id": "/a"}),
    "repositories": lambda c: c.cosmos.repositories(),
    "installed": lambda c: c.cosmos.installed(),
    "describe": lambda c: c.cosmos.describe("a"),
    "render": lambda c: c.cosmos.render("a", "1", {}, "/a"),
    "update": lambda c: c.cosmos.update("/a", {}),
    "agents": lambda c: c.mesos.agents(),
    "metrics": lambda c: c.mesos.metrics(),
    "ensemble": lambda c: c.health.ensemble(),
    "units": lambda c: c.health.units(),
    "version": lambda c: c.health.version(),
    "metadata": lambda c: c.health.cluster_id(),
    "addresses": lambda c: c.health.addresses("a"),
}


def answering(content: bytes, status: int = 200, **headers: str) -> Client:
    """A client of a cluster that answers everything so."""
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=content, headers=headers))
    return Client.over(Session("http://cluster", None, transport=transport, sleep=lambda seconds: None, patience=0))


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"null", b"3", b'"x"', b"\xff", b"[" * 5000, b'{"a": NaN}', b'[{"a": "\\ud800"}]', b"[[]]"],
    ids=["empty", "html", "null", "number", "text", "bytes", "deep", "nan", "surrogate", "list"],
)
def test_what_no_api_answers_is_said_with_the_call(use: Use, content: bytes) -> None:
    with pytest.raises(ApiError, match=r"(GET|POST|PUT) /\S+ was answered 200: the answer is not ") as caught:
        use(answering(content))
    assert caught.value.where == "cluster"


@pytest.mark.parametrize(
    ("use", "answer", "said"),
    [
        ("apps", {"apps": [{**APP, "id": None}]}, "apps.0.id is missing"),
        ("apps", {"apps": [{**APP, "tasksRunning": "2"}]}, "apps.0.tasksRunning: .*integer"),
        ("apps", {"apps": [{**APP, "labels": {"a": 1}}]}, "apps.0.labels.a: .*string"),
        ("apps", {"apps": [{**APP, "deployments": [1]}]}, "apps.0.deployments.0"),
        ("apps", {"apps": {}}, "apps: .*list"),
        ("an app", {}, "app is missing"),
        ("deployments", [{"id": "d"}], "affectedApps is missing"),
        ("queue", {"queue": [{"delay": 3}]}, "queue.0.delay"),
        ("repositories", {"repositories": [{"name": "a"}]}, "repositories.0.uri is missing"),
        ("installed", {"packages": [{"appId": "/a"}]}, "packageInformation is missing"),
        ("render", {"marathonJson": []}, "marathonJson: .*dictionary"),
        ("agents", {"slaves": [{"id": "a"}]}, "slaves.0.hostname is missing"),
        ("ensemble", [{"hostname": "a", "code": "3", "isLeader": True}], "code: .*integer"),
        ("ensemble", [{"hostname": "a", "code": 3, "isLeader": "yes"}], "isLeader: .*boolean"),
        ("units", {"units": [{"id": "a"}]}, "units.0.health is missing"),
    ],
)
def test_what_an_answer_lacks_is_named(use: str, answer: Any, said: str) -> None:
    with pytest.raises(ApiError, match=f"the answer is not as its API says: .*{said}"):
        USES[use](answering(json.dumps(answer).encode()))


@pytest.mark.parametrize("size", [100, 101])
@pytest.mark.parametrize("encoded", [False, True])
def test_an_answer_is_read_no_further_than_its_limit(monkeypatch: pytest.MonkeyPatch, size: int, encoded: bool) -> None:
    monkeypatch.setattr(sessions, "MAX_ANSWER", 100)
    body = json.dumps("x" * (size - 2)).encode()
    content, headers = (gzip.compress(body), {"Content-Encoding": "gzip"}) if encoded else (body, {})
    client = answering(content, **headers)
    if size <= 100:
        assert client.marathon._session.get("/x") == "x" * (size - 2)
        return
    with pytest.raises(ApiError, match="GET /x was answered 200: the answer is larger than 100 bytes"):
        client.marathon._session.get("/x")


def test_an_answer_that_does_not_unpack_is_no_answer() -> None:
    with pytest.raises(Unreachable, match="got no answer: DecodingError"):
        answering(b"no gzip", **{"Content-Encoding": "gzip"}).marathon.apps()


@pytest.mark.parametrize(
    "body",
    [
        {"message": "m", "details": 3},
        {"message": "m", "details": [{"errors": 3}, None, "x"]},
        {"message": ["m"], "data": {"errors": 3}},
        {"data": {"errors": [3, {"instance": 3}]}},
        {"type": {}, "code": []},
        [1, 2],
        "text",
    ],
)
def test_an_odd_error_is_still_told_with_its_status(body: Any) -> None:
    with pytest.raises(ApiError, match="was answered 422: "):
        answering(json.dumps(body).encode(), 422).marathon.apps()


@pytest.mark.parametrize("token", ["é", "a b", "a\nb", "", 3, None, ["a"]])
def test_a_token_that_no_header_can_carry_is_refused(cluster: FakeCluster, token: Any) -> None:
    cluster._login = lambda request: httpx.Response(200, json={"token": token})  # type: ignore[method-assign]
    with pytest.raises(ApiError, match=r"login was answered 200: .*token"):
        cluster.session(Credentials("rekindle", Secret(PEM))).get("/x")


@pytest.mark.parametrize("end", ["NaN", "1e999", "1" + "0" * 400, '"soon"', "[]", "null"])
def test_a_token_of_any_end_serves_until_it_is_refused(cluster: FakeCluster, end: str) -> None:
    import base64

    payload = base64.urlsafe_b64encode(f'{{"exp": {end}}}'.encode()).decode().rstrip("=")
    odd = f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2lnbmF0dXJl"
    cluster._login = lambda request: httpx.Response(200, json={"token": odd})  # type: ignore[method-assign]
    cluster._is_known = lambda request: True  # type: ignore[method-assign]
    session = cluster.session()
    assert session.get("/service/marathon/v2/apps") == {"apps": []}


@pytest.mark.parametrize(
    "label", ["", "no base64!", "W10=", "MQ==", "////", "eyJhIjogTmFOfQ==", "e30=" * 1000, "W1tb" * 5000]
)
def test_options_that_cannot_be_read_are_none(label: str) -> None:
    assert stored_options({"labels": {"DCOS_PACKAGE_OPTIONS": label}}) == {}


@settings(max_examples=60)
@given(st.sampled_from(sorted(USES)), ODD)
def test_any_answer_is_taken_or_refused(use: str, value: Any) -> None:
    with suppress(RekindleError):
        USES[use](answering(json.dumps(value).encode()))


@settings(max_examples=60)
@given(st.sampled_from(["container", "portDefinitions", "healthChecks", "fetch", "constraints", "deployments"]), ODD)
def test_an_app_of_any_types_is_shown_or_refused(field: str, value: Any) -> None:
    with suppress(RekindleError):
        for app in answering(json.dumps({"apps": [{**APP, field: value}]}).encode()).marathon.apps().values():
            normal(app)


# How far an app is

RUNS = {**APP, "instances": 2, "tasksRunning": 2}


@pytest.mark.parametrize(
    ("app", "is_settled"),
    [
        (RUNS, True),
        ({**RUNS, "tasksRunning": 1}, False),
        ({**RUNS, "tasksRunning": 3}, False),
        ({**RUNS, "deployments": [{"id": "d"}]}, False),
        ({**RUNS, "healthChecks": [{}], "tasksHealthy": 1}, False),
        ({**RUNS, "healthChecks": [{}], "tasksHealthy": 2}, True),
        ({**RUNS, "healthChecks": [{}], "tasksHealthy": 2, "tasksRunning": 3}, False),
        ({**RUNS, "instances": 0, "tasksRunning": 0}, True),
        ({**RUNS, "instances": 0}, False),
    ],
)
def test_an_app_is_settled_when_all_of_it_is_up_and_nothing_is_deployed(app: dict[str, Any], is_settled: bool) -> None:
    assert AppStatus.of(app).is_settled is is_settled
