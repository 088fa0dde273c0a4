"""The import arrows point the way docs/architecture.md says, and no room does another's work."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
MODULES = sorted(path for path in SRC.rglob("*.py") if "__pycache__" not in path.parts)

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "process": set(),
    "parsing": {"errors"},
    "templating": set(),
    "secrets": {"errors", "aws"},
    "plan": {"errors", "parsing"},
    "terminal": set(),
    "progress": {"errors", "plan", "terminal"},
    "environment": {"errors", "parsing", "inventory"},
    "inventory": {"errors", "parsing"},
    "transport": {"errors", "inventory", "progress"},
    "aws": {"errors", "progress"},
    "dcos": {"errors", "parsing", "secrets", "progress"},
    "journal": {"errors", "process", "secrets", "aws", "plan", "progress"},
    "roles": {"errors", "parsing", "templating", "environment", "inventory", "plan", "secrets"},
    "packages": {"errors", "parsing", "templating", "environment", "inventory", "plan", "secrets", "dcos"},
    "drivers": {"errors", "plan", "transport", "dcos", "aws", "journal", "secrets", "inventory", "progress"},
    "infrastructure": {"errors", "parsing", "process", "aws", "journal", "progress", "inventory", "environment"},
}
"""Rooms at the bottom; those that join them (bootstrap, services, backup, replay, cli) may import any but cli."""

ALONE = {
    "fabric": {"transport"},
    "paramiko": {"transport"},
    "boto3": {"aws"},
    "httpx": {"dcos", "journal"},
    "pulumi": {"infrastructure"},
    "typer": {"cli"},
}


def room(path: Path) -> tuple[str, str]:
    """("rekindle", "journal") for src/rekindle/journal/chain.py."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return parts[0], parts[1] if len(parts) > 1 else ""


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_follow_the_map(path: Path) -> None:
    library, name = room(path)
    other = {"rekindle": "rehearsal", "rehearsal": "rekindle"}[library]
    wrong = [i for i in imported(path) if i.split(".")[0] == other]
    if library == "rekindle":
        rooms = {i.split(".")[1] for i in imported(path) if i.startswith("rekindle.")} - {name}
        allowed = MAY_IMPORT.get(name)
        wrong += [r for r in rooms if r == "cli" or (allowed is not None and r not in allowed)]
        wrong += [i for i in imported(path) if name not in ALONE.get(i.split(".")[0], {name})]
    assert not wrong, f"{path.relative_to(SRC)} may not import {wrong}"


@pytest.mark.parametrize(
    "path", [m for m in MODULES if room(m)[0] == "rekindle"], ids=lambda p: str(p.relative_to(SRC))
)
def test_only_the_cli_prints_or_exits(path: Path) -> None:
    if room(path)[1] == "cli":
        return
    calls = [
        n.func.id
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    ]
    assert not {"print", "exit"} & set(calls)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(SRC)} has no docstring"
