"""The figures of a rehearsal become a page and a file."""

import json

import pytest

from rehearsal.job.report import Mark, Report, Span, timeline, topology, write
from rehearsal.job.traffic import Probe, acknowledged, outage

INVENTORY = {
    "environment": "dev",
    "hosts": [
        {"name": "bastion-1", "zone": "public", "az": "us-east-1a", "private_ip": "10.0.0.4", "public_ip": "192.0.2.4"},
        {
            "name": "private-agent-2",
            "zone": "private",
            "az": "us-east-1b",
            "private_ip": "10.0.64.4",
            "public_ip": None,
        },
    ],
    "volumes": [{"name": "kafka-2", "az": "us-east-1b", "size_gib": 4, "volume_id": "vol-1"}],
}


def report(**changes):
    figures = {
        "environment": "dev",
        "recovery_environment": "dev-dr",
        "started": "2026-11-21 03:00 UTC",
        "phases": (Span("build <dev>", 0, 30.0), Span("replay", 40, 60.5)),
        "marks": (Mark("disaster", 38.0),),
        "rto_seconds": 70.0,
        "replay_seconds": 60.5,
        "rpo_seconds": 4.0,
        "orders_acknowledged": 12_000,
        "orders_before_barrier": 10_000,
        "orders_restored_before_barrier": 10_000,
        "orders_restored": 10_050,
        "orders_lost": 1_950,
        "inventories": (INVENTORY,),
    }
    return Report(**(figures | changes))


def test_the_file_has_what_readers_of_it_ask_for(tmp_path):
    write(report(), tmp_path)
    document = json.loads((tmp_path / "rehearsal-report.json").read_text())
    assert document["phases"][1] == {"name": "replay", "start": 40, "seconds": 60.5}
    asked = """environment recovery_environment phases rto_seconds replay_seconds rpo_seconds orders_acknowledged
        orders_before_barrier orders_restored_before_barrier orders_restored orders_lost"""
    assert document.keys() >= set(asked.split())


@pytest.mark.parametrize(("restored", "kept"), [(10_000, True), (9_999, False)])
def test_the_page_says_whether_the_promise_was_kept(tmp_path, restored, kept):
    page = write(report(orders_restored_before_barrier=restored), tmp_path).read_text()
    assert ("Every order acknowledged before the barrier was read back" in page) is kept


def test_names_cannot_break_the_pictures():
    assert "build &lt;dev&gt;" in timeline(report().phases, ())


def test_the_topology_shows_hosts_where_they_stand():
    picture = topology(INVENTORY)
    for text in ("bastion-1", "192.0.2.4", "private-agent-2", "us-east-1b", "kafka-2"):
        assert text in picture


def test_the_outage_runs_from_the_first_failure_after_the_disaster_to_the_first_success():
    seen = [Probe(1, False), Probe(2, True), Probe(11, True), Probe(12, False), Probe(40, False), Probe(41, True)]
    assert outage(seen, disaster=10) == (12, 41)


def test_half_a_line_of_a_killed_writer_is_not_an_order(tmp_path):
    log = tmp_path / "log"
    log.write_text('{"id": "a", "at": 1.0}\n{"id": "b", "a')
    assert acknowledged(log) == {"a": 1.0}
