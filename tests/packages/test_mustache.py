"""Mustache as Cosmos renders it (FACTS 7)."""

from typing import Any

import pytest

from rekindle.packages.mustache import render


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("{{a}}", {"a": 2.0}, "2"),
        ("{{a}}", {"a": 0.5}, "0.5"),
        ("{{a}}", {"a": True}, "true"),
        ("{{a}}", {}, ""),
        ("{{a.b}}", {"a": {"b": "x"}}, "x"),
        ('"{{a}}"', {"a": 'a "quote" & <tag>'}, '"a \\"quote\\" & <tag>"'),
        ("{{{a}}}", {"a": "x"}, "x"),
        ("{{a}}", {"a": ["x", "y"]}, '["x", "y"]'),
        ("{{#a}}yes{{/a}}{{^a}}no{{/a}}", {"a": 0}, "yes"),
        ("{{#a}}yes{{/a}}{{^a}}no{{/a}}", {"a": False}, "no"),
        ("{{#a}}yes{{/a}}{{^a}}no{{/a}}", {"a": ""}, "no"),
        ("{{#a}}yes{{/a}}{{^a}}no{{/a}}", {"a": []}, "no"),
        ("{{#a}}{{.}};{{/a}}", {"a": [1, 2]}, "1;2;"),
        ("{{#a}}{{b}}{{c}}{{/a}}", {"a": {"b": 1}, "c": 2}, "12"),
        ("{{#a.b}}{{#c}}in{{/c}}{{/a.b}}", {"a": {"b": True}, "c": True}, "in"),
        ("a{{! a comment }}b", {}, "ab"),
    ],
)
def test_renders(template: str, values: dict[str, Any], text: str) -> None:
    assert render(template, values) == text
