"""IAM policy evaluation, as far as the stage's roles and bucket policies need it. No I/O.

What is not understood (an operator, a policy element) never allows: it raises, and the caller
refuses, so that a policy that the stage cannot judge is found and not silently passed.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Context = Mapping[str, str]


class UnknownCondition(Exception):
    """The policy uses a condition operator that the stage does not know."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """May this be done to this resource?"""

    action: str
    resource: str
    context: Context = field(default_factory=dict)
    """Condition keys, lower case."""
    anonymous: bool = False


def decide(documents: Iterable[str | Mapping[str, Any]], question: Question) -> bool:
    """True if a statement allows it and none denies it."""
    return _effects(documents, question) == {"Allow"}


def is_denied(document: str | Mapping[str, Any], question: Question) -> bool:
    """True if a statement denies it: what a bucket's policy denies nobody may do, whoever allows it."""
    return "Deny" in _effects([document], question)


def _effects(documents: Iterable[str | Mapping[str, Any]], question: Question) -> set[str]:
    return {s["Effect"] for document in documents for s in _statements(document) if _matches(s, question)}


def own_statements(key_policy: str) -> dict[str, Any]:
    """A key's policy without what it leaves to IAM: the statement for the account's root allows nobody by itself."""
    kept = [s for s in _statements(key_policy) if not any(arn.endswith(":root") for arn in _aws_principals(s))]
    return {"Statement": kept}


def _aws_principals(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal")
    return _listed(principal.get("AWS") if isinstance(principal, Mapping) else principal)


def _statements(document: str | Mapping[str, Any]) -> list[dict[str, Any]]:
    parsed = json.loads(document) if isinstance(document, str) else document
    statements = parsed.get("Statement", [])
    return statements if isinstance(statements, list) else [statements]


def _matches(statement: Mapping[str, Any], question: Question) -> bool:
    return (
        _principal(statement, question)
        and _element(statement, "Action", question.action, ignore_case=True)
        and _element(statement, "Resource", question.resource)
        and _conditions(statement.get("Condition", {}), question.context)
    )


def _principal(statement: Mapping[str, Any], question: Question) -> bool:
    """In a bucket policy an anonymous caller is matched by "*" alone; a role's policy has no principal."""
    return "*" in _aws_principals(statement) or not question.anonymous


def _listed(value: Any) -> list[str]:
    return [] if value is None else [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _element(statement: Mapping[str, Any], name: str, value: str, *, ignore_case: bool = False) -> bool:
    if f"Not{name}" in statement:
        return not _any_like(_listed(statement[f"Not{name}"]), value, ignore_case)
    return _any_like(_listed(statement.get(name, "*" if name == "Resource" else None)), value, ignore_case)


def _any_like(patterns: list[str], value: str, ignore_case: bool) -> bool:
    if ignore_case:
        return any(_like(p.lower(), value.lower()) for p in patterns)
    return any(_like(p, value) for p in patterns)


def _like(pattern: str, value: str) -> bool:
    """IAM's `*` and `?`; brackets are plain text there."""
    return fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))


# -- conditions --------------------------------------------------------------------------------


def _conditions(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    return all(
        _condition(operator, key.lower(), _listed(wanted), context)
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _condition(operator: str, key: str, wanted: list[str], context: Context) -> bool:
    name = re.sub(r"^For(AnyValue|AllValues):", "", operator)
    if name == "Null":
        return (key not in context) is (wanted[0].lower() == "true")
    if name.endswith("IfExists"):
        name = name.removesuffix("IfExists")
        if key not in context:
            return True
    test, negated = _operator(name)
    if key not in context:
        return negated or operator.startswith("ForAllValues")
    return any(test(value, context[key]) for value in wanted) is not negated


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, actual: wanted == actual,
    "StringEqualsIgnoreCase": lambda wanted, actual: wanted.lower() == actual.lower(),
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": lambda wanted, actual: wanted.lower() == actual.lower(),
    "NumericEquals": lambda wanted, actual: float(wanted) == float(actual),
    "IpAddress": lambda wanted, actual: ipaddress.ip_address(actual) in ipaddress.ip_network(wanted, strict=False),
}


def _operator(name: str) -> tuple[Callable[[str, str], bool], bool]:
    """The positive test behind an operator, and whether the operator negates it."""
    positive = name.replace("NotEquals", "Equals").replace("NotLike", "Like").replace("NotIpAddress", "IpAddress")
    if positive not in _TESTS:
        raise UnknownCondition(f"condition operator {name}")
    return _TESTS[positive], positive != name
