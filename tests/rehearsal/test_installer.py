"""What the generator accepts and refuses, against results of the real one; and the archive's own commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rehearsal.installer import configuration
from rehearsal.installer.configuration import GeneratorError

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "schemas/installer-validation-cases.json").read_text())["cases"]  # fmt: skip
# Rules of parts that the rehearsal cluster does not have, or whose message is a library's own.
NOT_CHECKED = {
    "custom checks unref": "custom checks are not run here",
    "custom checks clash": "custom checks are not run here",
    "custom check bad timeout": "custom checks are not run here",
    "custom check roles": "custom checks are not run here",
    "grpc port bad": "the real generator crashes; no gRPC proxy here",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_configurations_are_judged_as_by_the_real_generator(case: dict[str, Any]) -> None:
    if case["name"] in NOT_CHECKED:
        pytest.skip(NOT_CHECKED[case["name"]])
    expected = case["result"]
    has_ip_detect = case["config"].get("ip_detect_filename", "genconf/ip-detect") == "genconf/ip-detect"
    try:
        found = configuration.check(configuration.stringified(case["config"]), has_ip_detect=has_ip_detect)
    except GeneratorError:
        assert isinstance(expected, str)
        assert expected != "ok"
        return
    if expected == "ok":
        assert found.is_fine, found
        return
    assert isinstance(expected, dict), f"expected {expected}"
    assert set(found.errors) == set(expected["errors"])
    assert found.unset == sorted(expected["unset"])
