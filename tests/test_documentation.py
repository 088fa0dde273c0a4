"""Every verb, role, package and script is documented."""

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


@pytest.mark.parametrize("script", ["rehearse", "test", "setup", "lint", "install-pulumi"])
def test_every_script_says_what_it_does(script: str) -> None:
    assert (ROOT / "scripts" / script).read_text().splitlines()[1].startswith("# ")
