"""Who may log in, and what Admin Router lets through."""

from __future__ import annotations

import httpx
import jsonschema
import pytest
import yaml

from .conftest import Cluster, key_pair
from .schemas import ROOT

IAM = yaml.safe_load((ROOT / "oss-iam.openapi.yaml").read_text())["definitions"]


def login(cluster: Cluster, body: dict[str, object]) -> httpx.Response:
    return httpx.post(f"{cluster.url}/acs/api/v1/auth/login", json=body)


def test_a_service_account_logs_in_and_its_token_opens_the_door(cluster: Cluster) -> None:
    answer = login(cluster, {"uid": "robot", "token": cluster.login_token()})
    jsonschema.validate(answer.json(), IAM["AuthToken"])
    headers = {"Authorization": f"Bearer {answer.json()['token']}"}
    assert httpx.get(f"{cluster.url}/metadata", headers=headers).status_code == 200
    assert "dcos-acs-auth-cookie" in answer.headers["set-cookie"]


@pytest.mark.parametrize("header", [None, "token=nonsense", "Basic abc"])
def test_without_a_good_token_it_is_401_in_html(cluster: Cluster, header: str | None) -> None:
    answer = httpx.get(f"{cluster.url}/metadata", headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "oauthjwt")
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/", "/dcos-metadata/dcos-version.json", "/exhibitor/exhibitor/v1/cluster/status",
                                  "/acs/api/v1/auth/providers", "/acs/api/v1/auth/jwks"])  # fmt: skip
def test_open_paths_need_no_token(cluster: Cluster, path: str) -> None:
    assert httpx.get(cluster.url + path).status_code == 200


def test_wrong_credentials_are_401_with_a_code(cluster: Cluster) -> None:
    strange = Cluster.login_token(type("Other", (), {"private_key": key_pair()[0]})())  # type: ignore[arg-type]
    for body in ({"uid": "robot", "token": strange}, {"uid": "robot", "token": cluster.login_token(-60)},
                 {"uid": "nobody", "password": "x"}):  # fmt: skip
        answer = login(cluster, body)
        assert (answer.status_code, answer.json()["code"]) == (401, "ERR_INVALID_CREDENTIALS")
    assert login(cluster, {"uid": "robot"}).status_code == 400


def test_users_come_and_go(cluster: Cluster) -> None:
    path = "/acs/api/v1/users/ann@example.com"
    body = {"description": "Ann", "password": "secret-word"}
    jsonschema.validate(body, IAM["UserCreate"])
    assert cluster.client.put(path, json=body).status_code == 201
    assert cluster.client.put(path, json=body).json()["code"] == "ERR_USER_EXISTS"
    user = cluster.client.get(path).json()
    jsonschema.validate(user, IAM["User"])
    assert login(cluster, {"uid": "ann@example.com", "password": "secret-word"}).status_code == 200
    assert cluster.client.patch(path, json={"password": "other-word"}).status_code == 204
    assert login(cluster, {"uid": "ann@example.com", "password": "secret-word"}).status_code == 401
    assert cluster.client.delete(path).status_code == 204
    answer = cluster.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (400, "ERR_UNKNOWN_USER_ID")


def test_what_is_not_built_says_its_name_and_what_is_unknown_is_404(cluster: Cluster) -> None:
    answer = cluster.client.get("/system/v1/logs/v2/component")
    assert answer.status_code == 501
    assert "/system/v1/logs/v2/component" in answer.json()["message"]
    assert cluster.client.get("/no/such/path").status_code == 404
    assert cluster.client.get("/service/none/").status_code == 404
