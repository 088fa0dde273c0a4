"""Templates compute, and reach, exhaust and change nothing."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from rekindle.inventory import Host, Role
from rekindle.templating import Sandbox, TooMuch, reason

HOST = Host(
    name="m",
    role=Role.MASTER,
    pool="p",
    zone="admin",
    az="z",
    private_ip=IPv4Address("10.0.0.1"),
    attributes={"disk": "ssd", "rack": "b"},
)
NAMES: dict[str, Any] = {"host": HOST, "values": {"heap": 512, "hosts": ["a", "b"], "text": "a\nb"}}


def text(source: str) -> str:
    return Sandbox(trim_blocks=True, lstrip_blocks=True).text(source, NAMES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ host.name }} {{ host.role }} {{ host.private_ip }}\n", "m master 10.0.0.1\n"),
        ("{% for k in host.attributes | sort %}{{ k }}{{ ';' if not loop.last }}{% endfor %}", "disk;rack"),
        ("{{ values.heap * 1048576 }} {{ 2 ** 40 }} {{ values.no | default(8589934592) }}", None),
        ("{{ values.get('no', 8589934592) }}", "8589934592"),
        ("{{ values | tojson }}", '{"heap": 512, "hosts": ["a", "b"], "text": "a\\nb"}'),
        ("{{ 'a' ~ 1 ~ host.role }} {{ '%05d' % 3 }} {{ 'x{:>3}'.format(3) }}", "a1master 00003 x  3"),
        ("{{ values.text | indent(2) }} {{ values.hosts | join(',') }}", "a\n  b a,b"),
        ("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(3) }}{{ '-' * 10 }}", "<3>----------"),
        ("{% set n = namespace(x=1) %}{% for i in range(3) %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}", "4"),
        ("{% for i in [1, 2] %}{{ loop.length }}{% else %}none{% endfor %}", "22"),
    ],
)
def test_what_templates_compute(source: str, expected: str | None) -> None:
    assert text(source) == (expected or "536870912 1099511627776 8589934592")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ values | attr('__class__') }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ host.model_copy() }}",
        "{{ host.parse_file('/etc/passwd') }}",
        "{{ '{0.parse_raw}'.format(host) }}",
        "{{ values.clear() }}",
        "{{ values.hosts.append(1) }}",
    ],
)
def test_what_is_not_theirs_is_refused(source: str) -> None:
    with pytest.raises(Exception, match="unsafe"):
        text(source)


def test_a_template_cannot_unpickle(tmp_path: Path) -> None:
    """Every pydantic model can, and models are what templates are given."""
    program = f'cposix\\nsystem\\n(S"touch {tmp_path}/ran"\\ntR.'
    with pytest.raises(Exception, match="parse_raw"):
        text(f"{{{{ host.parse_raw('{program}', content_type='application/pickle', allow_pickle=true) }}}}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("source", ["{% include '/etc/passwd' %}", "{% import 'a' as b %}", "{% extends 'a' %}"])
def test_a_template_reads_no_other_file(source: str) -> None:
    with pytest.raises(TypeError, match="no loader"):
        text(source)


@pytest.mark.parametrize("source", ["{{ [1, 2] | random }}", "{{ lipsum() }}", "{{ now() }}"])
def test_chance_is_no_name(source: str) -> None:
    with pytest.raises(Exception, match=r"random|lipsum|now"):
        text(source)


HUGE = "x" * 1000
TWICE = "{% set x %}{{ x }}{{ x }}{% endset %}"


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 10**9 }}",
        "{{ 10**9 * [1] }}",
        "{{ 10 ** 1000000 }}",
        "{{ 'x'.ljust(10**9) }}",
        "{{ (1).to_bytes(10**9, 'big') }}",
        "{{ '\t'.expandtabs(10**9) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (10**9, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{w}}'.format(1, w=10**9) }}",
        "{{ 'x' | center(10**9) }}",
        "{{ 'x\nx' | indent(width=10**9) }}",
        "{{ 1.5 | round(10**9, 'ceil') }}",
        "{{ [1] | batch(10**9, 0) | list }}",
        "{{ ('x' * 100000).replace('', 'x' * 100000) }}",
        "{{ (['x' * 100000] * 1000) | join }}",
        "{{ range(1000) | map('replace', '0', 'x' * 100000) | join }}",
        f"{{% set n = namespace(x='{HUGE}') %}}{{% for i in range(60) %}}{{% set n.x = n.x ~ n.x %}}{{% endfor %}}",
        f"{{% set n = namespace(x='{HUGE}') %}}{{% for i in range(60) %}}{{% set n.x = n.x + n.x %}}{{% endfor %}}",
        f"{{% set x = '{HUGE}' %}}" + TWICE * 60,
        f"{{% for a in range(99999) %}}{HUGE}{{% endfor %}}",
        f"{{% set x %}}{{% for a in range(99999) %}}{HUGE}{{% endfor %}}{{% endset %}}",
        "{% set r = range(9999) | list %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
        "{% set a = [1] * 1000 %}{% set b = [a] * 1000 %}{% set c = [b] * 1000 %}{{ c }}",
    ],
)
def test_sizes_are_bounded(source: str) -> None:
    with pytest.raises(TooMuch, match="more than a template may"):
        text(source)


@pytest.mark.parametrize("expression", ["range(10**9)", "['x' * 1000000, 'x' * 1000000]"])
def test_sizes_of_expressions_are_bounded(expression: str) -> None:
    with pytest.raises(Exception, match=r"more than a template may|Range too big"):
        Sandbox().value(expression, NAMES)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ values.nope }}", "'dict object' has no attribute 'nope'"),
        ("{{ values.nope | tojson }}", "'dict object' has no attribute 'nope'"),
        ("{{ [host] | tojson }}", "Host is not a JSON value"),
        ("{{ values.heap + 'm' }}", "unsupported operand"),
        ("{{ 1 // 0 }}", "division"),
        ("a\n{% if %}", "line 2: "),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "it is nested too deeply"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "it is nested too deeply"),
        ("{{ '{no}'.format(a=1) }}", "there is no 'no'"),
    ],
)
def test_what_is_wrong_is_said_as_a_sentence(source: str, says: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - a template may raise anything
        text(source)
    assert says in reason(caught.value)


def test_work_is_counted_for_each_text_anew() -> None:
    sandbox = Sandbox()
    for _ in range(30):
        sandbox.text("{{ ('x' * 900000) | length }}", {})


def test_an_undefined_expression_names_what_is_not_there() -> None:
    with pytest.raises(Exception, match="nope"):
        Sandbox().value("values.nope", NAMES)
