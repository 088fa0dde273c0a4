"""Admin Router lets nobody through without a good token but on the open paths, and knows which service is which."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from rehearsal.cluster.admin_router import AdminRouter, _service_of
from rehearsal.cluster.iam import COOKIE, TokenKey
from rehearsal.cluster.mesos.resources import Resources, contains, of_ports, parse, ports_of, total
from rehearsal.cluster.settings import NodeSettings

from .conftest import key_pair

KEY = TokenKey(key_pair()[0])
GOOD, OVER = KEY.issue("robot", 3600), KEY.issue("robot", -60)
STRANGE = TokenKey(key_pair()[0]).issue("robot", 3600)


def status(path: str, **headers: str) -> int:
    settings = NodeSettings(
        ip="10.0.0.1", role="master", cluster_name="c", masters=("10.0.0.1",), public_ip="192.0.2.1"
    )
    router = AdminRouter(settings, None, KEY, None, "id")  # type: ignore[arg-type]
    return int(asyncio.run(router.dispatch(make_mocked_request("GET", path, headers=headers))).status)


@pytest.mark.parametrize(
    ("path", "answered"),
    [
        ("/", 200),
        ("/dcos-metadata/dcos-version.json", 200),
        ("/login", 501),
        ("/nginx/metrics", 501),
        *(
            (path, 401)
            for path in (
                *(
                    "/metadata",
                    "/nginx/status",
                    "/marathon/v2/apps",
                    "/mesos",
                    "/package/list",
                    "/no/such",
                    "/service/a",
                ),
                *(
                    "/acs/api/v1/users",
                    "/acs/api/v1/authx",
                    "/exhibitor/",
                    "/dcos-metadata/dcos-version.json/x",
                    "/x/login",
                ),
            )
        ),
    ],
)
def test_without_a_token_only_open_paths_are_open(path: str, answered: int) -> None:
    assert status(path) == answered


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        ({"Authorization": f"token={GOOD}"}, 200),
        ({"Authorization": f"Bearer {GOOD}"}, 200),
        ({"Authorization": f"bearer  {GOOD}"}, 200),
        ({"Cookie": f"{COOKIE}={GOOD}"}, 200),
        ({"Authorization": GOOD}, 401),
        ({"Authorization": f"Basic {GOOD}"}, 401),
        ({"Authorization": f"token={OVER}"}, 401),
        ({"Authorization": f"token={STRANGE}"}, 401),
        ({"Cookie": f"{COOKIE}={STRANGE}"}, 401),
        ({"Cookie": f"other={GOOD}"}, 401),
        ({"Authorization": "Basic a", "Cookie": f"{COOKIE}={GOOD}"}, 401),
    ],
)
def test_a_token_is_good_wherever_it_is_carried(headers: dict[str, str], answered: int) -> None:
    assert status("/metadata", **headers) == answered


@pytest.mark.parametrize(
    ("path", "answered"),
    [("/no/such", 404), ("/nginx/status", 501), ("/mesos", 307), ("/marathon", 307), ("/service/a", 301)],
)
def test_what_a_token_opens_is_still_only_what_is_there(path: str, answered: int) -> None:
    assert status(path, Authorization=f"token={GOOD}") == answered


LABELS = {"DCOS_SERVICE_NAME": "/shop/a", "DCOS_SERVICE_SCHEME": "http", "DCOS_SERVICE_PORT_INDEX": "1"}
TASK = {"state": "TASK_RUNNING", "host": "10.0.0.9", "ports": [80, 81]}


@pytest.mark.parametrize(
    ("labels", "tasks", "known"),
    [
        ({}, [TASK], True),
        ({}, [TASK | {"state": "TASK_STAGING"}, TASK], True),
        ({}, [], False),
        ({}, [TASK | {"state": "TASK_STAGING"}], False),
        ({"DCOS_SERVICE_PORT_INDEX": "2"}, [TASK], False),
        ({"DCOS_SERVICE_PORT_INDEX": "x"}, [TASK], False),
        ({"DCOS_SERVICE_SCHEME": None}, [TASK], False),
    ],
)
def test_a_service_is_an_app_that_names_itself_and_runs(labels: Any, tasks: Any, known: bool) -> None:
    given = {name: value for name, value in {**LABELS, **labels}.items() if value is not None}
    found = _service_of({"labels": given, "tasks": tasks})
    assert found == ({"name": "shop/a", "upstream": "http://10.0.0.9:81", "rewrite": True} if known else None)


@pytest.mark.parametrize(("value", "rewrite"), [("true", True), ("false", False), ("False", False), ("no", True)])
def test_a_service_says_whether_its_paths_are_rewritten(value: str, rewrite: bool) -> None:
    found = _service_of({"labels": LABELS | {"DCOS_SERVICE_REWRITE_REQUEST_URLS": value}, "tasks": [TASK]})
    assert found is not None
    assert found["rewrite"] is rewrite


# -- resources ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ports", "ranges", "shown"),
    [([], (), None), ([5], ((5, 5),), "[5-5]"), ([7, 5, 6, 9, 5], ((5, 7), (9, 9)), "[5-7, 9-9]")],
)
def test_ports_are_ranges_and_back(ports: list[int], ranges: Any, shown: str | None) -> None:
    assert of_ports(ports) == ranges
    assert ports_of(ranges) == sorted(set(ports))
    amount = Resources(cpus=1.5, mem=32, disk=1, gpus=0, ports=ranges)
    assert amount.document().get("ports") == shown
    assert parse(amount.document()) == amount


@pytest.mark.parametrize(("port", "inside"), [(4, False), (5, True), (7, True), (8, False), (9, True), (10, False)])
def test_a_range_holds_both_its_ends(port: int, inside: bool) -> None:
    assert contains(((5, 7), (9, 9)), port) is inside


def test_amounts_are_added_one_by_one() -> None:
    one = Resources(cpus=1, mem=2, disk=3, gpus=4, ports=((5, 5),))
    other = Resources(cpus=10, mem=20, disk=30, gpus=40, ports=((6, 6),))
    assert total(iter((one, other))) == Resources(cpus=11, mem=22, disk=33, gpus=44, ports=((5, 6),))
