"""Mustache as Cosmos renders it (FACTS 7)."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.packages.mustache import NotMustache, render


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


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("{{n}}}", {"n": 5}, "5}"),
        ("{{#a b.c}}yes{{/a b.c}}{{^a b.c}}no{{/a b.c}}", {"a b": {"c": ""}}, "no"),
        ("{{#a}}{{#a}}x{{/a}}{{/a}}", {"a": True}, "x"),
        ("{{#a}}1{{/a}}{{#a}}2{{/a}}", {"a": True}, "12"),
        ("{{&a}}", {"a": "<"}, "<"),
        ("{ {a} }", {"a": 1}, "{ {a} }"),
        ("{{#a}}{{.}}{{/a}}", {"a": "x"}, "x"),
        ("{{#a}}{{b}}{{/a}}", {"a": [{"b": 1}, {"b": 2}], "b": 3}, "12"),
    ],
)
def test_tags_are_read_one_after_the_other(template: str, values: dict[str, Any], text: str) -> None:
    assert render(template, values) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a\n{{#b}}", "line 2: the section b is not closed"),
        ("{{/b}}", "line 1: {{/b}} closes a section that is not the one open"),
        ("{{#a}}{{#b}}{{/a}}{{/b}}", "line 1: {{/a}} closes a section that is not the one open"),
        ("\n\n{{>other}}", "line 3: {{>other}} is of a kind"),
        ("{{=<% %>=}}", "of a kind that Cosmos does not render"),
        ("{{#a}}" * 60 + "{{/a}}" * 60, "nested deeper than 50"),
    ],
)
def test_what_cosmos_would_not_render_is_refused(template: str, said: str) -> None:
    with pytest.raises(NotMustache) as caught:
        render(template, {"a": True})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"), [("x" * 20, "more than 1048576 characters"), ("", "more than 100000 sections")]
)
def test_sections_within_sections_multiply_no_further_than_an_app_can_be(body: str, said: str) -> None:
    with pytest.raises(NotMustache, match=said):
        render("{{#a}}" * 8 + body + "{{/a}}" * 8, {"a": list(range(10))})


@settings(max_examples=100)
@given(st.lists(st.sampled_from(["{{", "}}", "{{{", "#", "^", "/", "a", ".", " ", "}", "{{#a}}", "{{/a}}", "!"])))
def test_any_template_is_rendered_or_refused(parts: list[str]) -> None:
    with suppress(NotMustache):
        render("".join(parts), {"a": ["x", {"a": 1}]})
