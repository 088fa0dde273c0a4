"""The program itself: which of the two kinds of stack it declares, and what it exports."""

import json
import runpy
from typing import Any

import pulumi
import pytest
from program import STACKS, config, recording


def run(stack: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> tuple[set[str], set[str]]:
    """Names of outputs, and the environments that tags speak of."""
    recorder, _ = recording(stack)
    values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in config(stack, **changes).items()}
    pulumi.runtime.set_all_config(values)
    exported: set[str] = set()
    monkeypatch.setattr(pulumi, "export", lambda name, value: exported.add(name))

    @pulumi.runtime.test
    def program() -> None:
        runpy.run_path(str(STACKS / "__main__.py"))

    program()
    tags = [made.inputs["tags"] for made in recorder.made if made.inputs.get("tags")]
    return exported, {tag.get("rekindle:environment", "") for tag in tags}


def test_a_foundation_exports_what_environments_read(monkeypatch):
    exported, environments = run("foundation", monkeypatch)
    assert {"foundation", "name_servers"} <= exported
    assert environments == {"foundation"}


def test_an_environment_exports_its_inventory(monkeypatch):
    exported, environments = run("dev-dr", monkeypatch)
    assert {"inventory", "public_name", "own_name", "bastion", "load_balancer"} <= exported
    assert environments == {"dev-dr"}


def test_what_is_wrong_with_the_settings_is_a_sentence_that_names_their_file(monkeypatch):
    with pytest.raises(pulumi.RunError, match=r"stacks/Pulumi.dev-dr.yaml"):
        run("dev-dr", monkeypatch, **{"rekindle:environment": {"version": 1}})
    with pytest.raises(pulumi.RunError, match=r"stacks/Pulumi.foundation.yaml"):
        run("foundation", monkeypatch, **{"rekindle:foundation": {"version": 1}})
