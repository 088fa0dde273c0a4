"""Logins renew themselves, safe calls are repeated, and errors say what failed without a token."""

from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest
from fake_cluster import PEM, FakeCluster

from rekindle.dcos import ApiError, Cosmos, Credentials, LoginFailed
from rekindle.dcos.marathon import Marathon
from rekindle.errors import InputError, RekindleError, Unreachable
from rekindle.secrets import Secret

APPS = "/service/marathon/v2/apps"
UNAVAILABLE = httpx.Response(503, text="no leader")
NOT_ROUTED = httpx.Response(404, html="404 Not Found: service not found.")


def test_one_login_serves_many_requests(cluster: FakeCluster) -> None:
    session = cluster.session()
    session.get(APPS)
    session.get(APPS)
    assert cluster.logins == 1


def test_an_expired_token_is_renewed_before_it_is_refused(cluster: FakeCluster) -> None:
    session = cluster.session()
    session.get(APPS)
    cluster.now += 432_000 - 30
    session.get(APPS)
    assert cluster.logins == 2
    assert cluster.log.count(f"GET {APPS}") == 2


def test_a_refused_token_is_renewed_once(cluster: FakeCluster) -> None:
    session = cluster.session()
    session.get(APPS)
    cluster.revoked.add(session._token)
    session.get(APPS)
    assert cluster.logins == 2


def test_a_wrong_key_is_named_and_no_token_is_shown(cluster: FakeCluster) -> None:
    wrong = Credentials("somebody", Secret(PEM))
    with pytest.raises(LoginFailed) as caught:
        cluster.session(wrong).get(APPS)
    assert "somebody" in str(caught.value)
    assert "eyJ" not in str(caught.value)


def test_a_key_that_is_none_is_an_input_error(cluster: FakeCluster) -> None:
    with pytest.raises(InputError, match="not an RSA key"):
        cluster.session(Credentials("rekindle", Secret("nonsense"))).get(APPS)


@pytest.mark.parametrize("answer", [UNAVAILABLE, NOT_ROUTED, httpx.Response(502)])
def test_a_service_that_is_not_there_yet_is_waited_for(cluster: FakeCluster, answer: httpx.Response) -> None:
    cluster.failing = [answer] * 3
    assert cluster.session().get(APPS) == {"apps": []}


def test_waiting_has_an_end(cluster: FakeCluster) -> None:
    cluster.failing = [UNAVAILABLE] * 1000
    with pytest.raises(ApiError, match="503"):
        cluster.session().get(APPS)
    assert cluster.now < 1_000_060


def test_a_call_that_may_not_be_made_twice_is_not(cluster: FakeCluster) -> None:
    cluster.failing = [UNAVAILABLE]
    with pytest.raises(ApiError, match="503"):
        cluster.session().request("POST", "/package/install", json={})
    assert cluster.log.count("POST /package/install") == 1


def test_a_service_that_admin_router_does_not_know_is_a_safe_retry_even_for_post(cluster: FakeCluster) -> None:
    cluster.failing = [NOT_ROUTED]
    with pytest.raises(ApiError, match="400"):
        cluster.session().request("POST", "/package/repository/list", json={})
    assert cluster.log.count("POST /package/repository/list") == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            httpx.Response(
                422, json={"message": "Object is not valid", "details": [{"path": "/cpus", "errors": ["must be > 0"]}]}
            ),
            "answered 422: Object is not valid /cpus: must be > 0",
        ),
        (
            httpx.Response(
                400,
                json={
                    "type": "JsonSchemaMismatch",
                    "message": "Options",
                    "data": {"errors": [{"instance": {"pointer": "/node"}, "message": "'id' is required"}]},
                },
            ),
            "answered 400: Options /node: 'id' is required",
        ),
        (
            httpx.Response(400, json={"description": "The user", "code": "ERR_UNKNOWN_USER_ID"}),
            "answered 400: The user",
        ),
        (httpx.Response(500, html="<html>many lines</html>"), "answered 500: Internal Server Error"),
    ],
)
def test_an_error_says_method_path_status_and_message(cluster: FakeCluster, answer: httpx.Response, said: str) -> None:
    cluster.failing = [answer]
    with pytest.raises(ApiError) as caught:
        cluster.session().get(APPS)
    assert f"GET {APPS} was {said}" in str(caught.value)


@pytest.mark.parametrize(
    "call", [lambda marathon: marathon.put({"id": "/web"}), lambda marathon: marathon.delete("/web")]
)
def test_a_change_that_is_answered_with_no_json_is_an_error(
    cluster: FakeCluster, call: Callable[[Marathon], object]
) -> None:
    cluster.failing = [httpx.Response(200, html="<html>a proxy's page</html>")]
    with pytest.raises(ApiError, match=f"{APPS}/web was answered 200: the answer is not JSON"):
        call(cluster.client().marathon)


class Line:
    """A line to the cluster that breaks some times."""

    def __init__(self, cluster: FakeCluster, error: type[httpx.TransportError], times: int) -> None:
        self.cluster, self.error, self.times, self.sent = cluster, error, times, 0
        self.through, cluster.answer = cluster.answer, self.answer  # type: ignore[method-assign]

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/acs/api/v1/auth/login":
            return self.through(request)
        self.sent += 1
        if self.sent <= self.times:
            raise self.error("broken", request=request)
        return self.through(request)


LOST = (httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError)
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@pytest.mark.parametrize("error", LOST)
def test_a_post_whose_answer_was_lost_is_not_made_again(
    cluster: FakeCluster, error: type[httpx.TransportError]
) -> None:
    line = Line(cluster, error, 1)
    with pytest.raises(Unreachable, match="POST /package/install got no answer"):
        cluster.session().request("POST", "/package/install", json={})
    assert line.sent == 1


@pytest.mark.parametrize("error", [*LOST, *NEVER_SENT])
@pytest.mark.parametrize(("method", "is_safe"), [("GET", None), ("PUT", None), ("DELETE", None), ("POST", True)])
def test_what_may_be_made_twice_is_repeated(
    cluster: FakeCluster, error: type[httpx.TransportError], method: str, is_safe: bool | None
) -> None:
    line = Line(cluster, error, 2)
    with suppress(ApiError):
        cluster.session().request(method, APPS, params={"partialUpdate": "false"}, json={}, is_safe=is_safe)
    assert line.sent == 3


@pytest.mark.parametrize("error", NEVER_SENT)
def test_a_post_that_never_left_is_sent_again(cluster: FakeCluster, error: type[httpx.TransportError]) -> None:
    line = Line(cluster, error, 1)
    with pytest.raises(ApiError):
        cluster.session().request("POST", "/package/install", json={})
    assert line.sent == 2


@pytest.mark.parametrize(
    ("call", "times"),
    [
        (lambda c: c.install("kafka", "1", {}, "/kafka"), 1),
        (lambda c: c.uninstall("kafka", "/kafka"), 1),
        (lambda c: c.update("/kafka", {}), 1),
        (lambda c: c.delete_repository("a"), 1),
        (lambda c: c.repositories(), 2),
        (lambda c: c.installed(), 2),
        (lambda c: c.describe("kafka"), 2),
        (lambda c: c.render("kafka", "1", {}, "/kafka"), 2),
    ],
)
def test_of_cosmos_only_questions_are_asked_twice(
    cluster: FakeCluster, call: Callable[[Cosmos], object], times: int
) -> None:
    line = Line(cluster, httpx.ReadTimeout, 1)
    with suppress(RekindleError, AttributeError, KeyError):
        call(cluster.client().cosmos)
    assert line.sent == times


def test_the_iam_that_is_not_up_yet_is_waited_for(cluster: FakeCluster) -> None:
    login, answers = cluster._login, [httpx.Response(503), httpx.Response(502)]
    cluster._login = lambda request: answers.pop(0) if answers else login(request)  # type: ignore[method-assign]
    assert cluster.session().get(APPS) == {"apps": []}


def test_no_answer_at_all_is_unreachable(cluster: FakeCluster) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    cluster.answer = refuse  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="got no answer"):
        cluster.session(patience=1.0).get(APPS)
