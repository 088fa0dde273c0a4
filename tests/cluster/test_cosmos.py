"""Packages from a repository served over HTTP."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rehearsal.cluster.cosmos.media_types import CALLS
from rehearsal.cluster.cosmos.rendering import fill

from .conftest import Cluster
from .schemas import ROOT

TEMPLATE = """{"id": "{{service.name}}", "cmd": "exec sleep {{service.seconds}}", "cpus": 0.1, "mem": {{service.mem}},
{{#service.zone}}"constraints": [["zone", "IS", "{{service.zone}}"]],{{/service.zone}}
"env": {"TEXT": "{{service.text}}", "URL": "{{resource.assets.uris.tool}}"}}"""
CONFIG = {"type": "object", "additionalProperties": False, "properties": {"service": {
    "type": "object", "additionalProperties": False, "properties": {
        "name": {"type": "string", "default": "hello"}, "seconds": {"type": "integer", "default": 1000},
        "mem": {"type": "number", "default": 32.0}, "zone": {"type": "string", "default": ""},
        "text": {"type": "string", "default": "a & \"b\" <c>"}}}}}  # fmt: skip
PACKAGE = {
    "packagingVersion": "4.0", "name": "hello", "version": "1.0.0", "releaseVersion": 0, "maintainer": "a@example.com",
    "description": "A test", "tags": ["test"], "config": CONFIG,
    "marathon": {"v2AppMustacheTemplate": base64.b64encode(TEMPLATE.encode()).decode()},
    "resource": {"assets": {"uris": {"tool": "http://example.com/tool.tgz"}}},
}  # fmt: skip


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture(scope="module")
def repository(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory: Path = tmp_path_factory.mktemp("repository")
    (directory / "repo.json").write_text(json.dumps({"packages": [PACKAGE]}))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_port}/repo.json"
    cluster.cosmos("/package/repository/delete", "repository.delete", {"name": "Universe"})
    added = cluster.cosmos("/package/repository/add", "repository.add", {"name": "own", "uri": uri, "index": 0})
    assert added.json() == {"repositories": [{"name": "own", "uri": uri}]}
    yield uri
    cluster.cosmos("/package/repository/delete", "repository.delete", {"name": "own"})
    server.shutdown()


def test_media_types_are_the_published_ones() -> None:
    published = json.loads((ROOT / "cosmos-media-types.json").read_text())["endpoints"]
    for path, call in CALLS.items():
        known = published.get(path) or published["/cosmos" + path]
        assert (call.request, list(call.responses.values())) == (known["request"], known["responses"])


def test_install_list_update_and_uninstall(cluster: Cluster, repository: str) -> None:
    options = {"service": {"name": "one", "zone": "z12"}}
    answer = cluster.cosmos("/package/install", "install", {"packageName": "hello", "options": options}, "v2")
    assert (answer.status_code, answer.json()["appId"]) == (200, "/one")
    assert "version=v2" in answer.headers["content-type"]
    cluster.settled()
    app = cluster.app("/one")
    assert app["tasks"][0]["host"].endswith(".12")
    assert app["env"] == {"TEXT": 'a & "b" <c>', "URL": "http://example.com/tool.tgz"}
    assert json.loads(base64.b64decode(app["labels"]["DCOS_PACKAGE_OPTIONS"])) == options
    assert app["labels"]["DCOS_PACKAGE_SOURCE"] == repository
    again = cluster.cosmos("/package/install", "install", {"packageName": "hello", "options": options}, "v2")
    assert (again.status_code, again.json()["type"]) == (409, "PackageAlreadyInstalled")
    update = {"appId": "/one", "options": {"service": {"seconds": 999}}, "replace": False}
    assert cluster.cosmos("/cosmos/service/update", "update", update).status_code == 200
    cluster.settled()
    described = cluster.cosmos("/cosmos/service/describe", "describe", {"appId": "/one"}).json()
    assert described["userProvidedOptions"]["service"] == {"name": "one", "zone": "z12", "seconds": 999}
    newer = {"appId": "/one", "packageVersion": "2", "replace": True}
    upgrade = cluster.cosmos("/cosmos/service/update", "update", newer)
    assert upgrade.json()["type"] == "VersionUpgradeNotSupportedInOpen"
    listed = cluster.cosmos("/package/list", "list", {}).json()["packages"]
    assert [one["appId"] for one in listed] == ["/one"]
    assert listed[0]["packageInformation"]["packageDefinition"]["name"] == "hello"
    removed = cluster.cosmos("/package/uninstall", "uninstall", {"packageName": "hello"}).json()
    assert removed == {"results": [{"packageName": "hello", "appId": "/one", "packageVersion": "1.0.0"}]}
    cluster.settled()


@pytest.mark.parametrize(("path", "call", "body", "kind"), [
    ("/package/describe", "describe", {"packageName": "nope"}, "PackageNotFound"),
    ("/package/describe", "describe", {"packageName": "hello", "packageVersion": "9"}, "VersionNotFound"),
    ("/package/render", "render", {"packageName": "hello", "options": {"service": {"mem": "x"}}}, "JsonSchemaMismatch"),
    ("/package/render", "render", {"packageName": "hello", "options": {"servce": {}}}, "JsonSchemaMismatch"),
    ("/package/uninstall", "uninstall", {"packageName": "hello"}, "PackageNotInstalled"),
    ("/cosmos/service/describe", "describe", {"appId": "/none"}, "MarathonAppNotFound"),
    ("/package/repository/delete", "repository.delete", {"name": "x"}, "RepositoryNotPresent"),
])  # fmt: skip
def test_refusals_have_cosmos_types(
    cluster: Cluster, repository: str, path: str, call: str, body: dict[str, Any], kind: str
) -> None:
    version = "v3" if path == "/package/describe" else "v1"
    answer = cluster.cosmos(path, call, body, version)
    assert (answer.status_code, answer.json()["type"]) == (400, kind)
    assert "package.error+json" in answer.headers["content-type"]


def test_plain_json_types_are_refused(cluster: Cluster) -> None:
    answer = cluster.client.post("/package/list", json={})
    assert (answer.status_code, answer.json()["type"]) == (400, "multiple_errors")


@pytest.mark.parametrize(("template", "context", "expected"), [
    ("{{a}}", {"a": 2.0}, "2"), ("{{a}}", {"a": 'q"'}, 'q\\"'), ("{{a}}", {"a": ["x", 1]}, '["x", 1]'),
    ("{{#a}}y{{/a}}", {"a": 0}, "y"), ("{{#a}}y{{/a}}", {"a": ""}, ""), ("{{#a}}y{{/a}}", {"a": []}, ""),
    ("{{#a}}y{{/a}}", {"a": False}, ""), ("{{^a}}n{{/a}}", {"a": None}, "n"), ("{{a}}", {"a": False}, "false"),
    ("{{#a}}<{{.}}>{{/a}}", {"a": ["x", "y"]}, "<x><y>"), ("{{{a}}}", {"a": "<&>"}, "<&>"), ("{{a.b}}", {"a": {}}, ""),
])  # fmt: skip
def test_templates_are_filled_as_cosmos_fills_them(template: str, context: dict[str, Any], expected: str) -> None:
    assert fill(template, context) == expected
