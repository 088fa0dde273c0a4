"""The published schemas that answers are checked against; their origin is noted in tests/schemas/SOURCES.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

ROOT = Path(__file__).parent.parent / "schemas"
MARATHON: dict[str, Any] = json.loads((ROOT / "marathon-definitions.json").read_text())


def check_marathon(document: Any, definition: str) -> None:
    """Validate against one of Marathon's definitions."""
    schema = {"$ref": f"#/definitions/{definition}", "definitions": MARATHON["definitions"]}
    jsonschema.Draft4Validator(schema).validate(document)
