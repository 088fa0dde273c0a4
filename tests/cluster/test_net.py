"""Names, VIPs and DNS answers as pure functions of the cluster's tasks."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from dnslib import RCODE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.cluster.net.dns import Zone, is_own
from rehearsal.cluster.net.records import RunningTask, parse_vip, snapshot, vip_address
from rehearsal.cluster.net.vips import ruleset


def task(host: str, port: int, *, is_healthy: bool = True, name: str = "web.shop") -> RunningTask:
    return RunningTask(
        name=name, framework="marathon", host=host, agent_id="x-S1", task_id=f"{name}-{host}", is_healthy=is_healthy,
        ports=((port, "http", "tcp", (("VIP_0", "/web:80"),)),))  # fmt: skip


def document(*tasks: RunningTask) -> dict[str, Any]:
    return snapshot(tasks, ["10.0.0.1"], "10.0.0.1", ["10.0.0.2", "10.0.0.3"])


def test_nested_ids_are_reversed_and_joined_by_dashes() -> None:
    records = document(task("10.0.0.2", 1025))["records"]
    assert records["web-shop.marathon.mesos"] == ["10.0.0.2"]
    assert records["web-shop.marathon.agentip.dcos.thisdcos.directory"] == ["10.0.0.2"]
    assert records["leader.mesos"] == ["10.0.0.1"]
    assert records["zk-5.zk"] == ["10.0.0.1"]


def test_a_vip_leads_to_healthy_tasks_only() -> None:
    vips = document(task("10.0.0.2", 1025), task("10.0.0.3", 1026, is_healthy=False))["vips"]
    assert vips[0]["name"] == "web.marathon.l4lb.thisdcos.directory"
    assert vips[0]["backends"] == [{"ip": "10.0.0.2", "port": 1025}]
    assert "dnat to 10.0.0.2:1025" in ruleset(vips)


def test_a_vip_without_backends_refuses_at_once() -> None:
    text = ruleset(document(task("10.0.0.2", 1025, is_healthy=False))["vips"])
    assert "dnat" not in text
    assert "reject with tcp reset" in text


def test_several_backends_are_chosen_at_random() -> None:
    text = ruleset(document(task("10.0.0.2", 1025), task("10.0.0.3", 1026))["vips"])
    assert "numgen random mod 2 map { 0 : 10.0.0.2 . 1025, 1 : 10.0.0.3 . 1026 }" in text


@pytest.mark.parametrize("text", ["web", "/web", "web:80:x", "name:80", ":80"])
def test_what_is_no_vip_is_ignored(text: str) -> None:
    assert parse_vip(text, "marathon") is None


@given(st.text(min_size=1))
def test_a_name_always_has_the_same_address_in_11_8(name: str) -> None:
    address = vip_address(name)
    assert ipaddress.ip_address(address) in ipaddress.ip_network("11.0.0.0/8")
    assert address == vip_address(name)


@pytest.mark.parametrize(("name", "kind", "expected"), [
    ("web-shop.marathon.mesos", "A", ["10.0.0.2"]),
    ("web.marathon.l4lb.thisdcos.directory", "A", [vip_address("web.marathon.l4lb.thisdcos.directory")]),
    ("WEB-shop.marathon.mesos", "A", ["10.0.0.2"]),
    ("web-shop.marathon.mesos", "AAAA", []),
])  # fmt: skip
def test_dns_answers(name: str, kind: str, expected: list[str]) -> None:
    zone = Zone()
    zone.update(document(task("10.0.0.2", 1025)))
    reply = zone.answer(DNSRecord.question(name, kind))
    assert [str(record.rdata) for record in reply.rr] == expected
    assert reply.header.rcode == RCODE.NOERROR


def test_an_unknown_name_of_ours_is_nxdomain_and_others_are_not_ours() -> None:
    assert Zone().answer(DNSRecord.question("none.marathon.mesos")).header.rcode == RCODE.NXDOMAIN
    assert is_own("a.mesos.")
    assert not is_own("example.com")
