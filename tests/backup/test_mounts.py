"""Which file systems a freeze must hold, and what of a volume's attachment makes a frozen restore point impossible."""

import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from backup_machine import Machine
from hypothesis import given
from hypothesis import strategies as st

from rekindle.aws.compute import VolumeFacts
from rekindle.backup import mounts
from rekindle.backup.mounts import Mount
from rekindle.errors import CommandFailed, RekindleError, Unreachable
from rekindle.inventory import Host, Role

AGENT = Host(
    name="agent-1",
    role=Role.PRIVATE_AGENT,
    pool="p",
    zone="private",
    az="a",
    private_ip="10.0.0.1",  # type: ignore[arg-type]
    instance_id="i-1",
)
OUTSIDE_AWS = AGENT.model_copy(update={"name": "agent-2", "instance_id": None})
ATTACHED = VolumeFacts(
    volume_id="vol-0abc",
    state="in-use",
    az="a",
    size_gib=1,
    snapshot_id=None,
    attached_to="i-1",
    device="/dev/xvdf",
    tags={},
)
AT_REST = replace(ATTACHED, state="available", attached_to=None, device=None)


@dataclass
class Printing:
    """Hosts that print this when they are asked for facts."""

    printed: Mapping[str, str | RekindleError]
    asked: dict[str, str] = field(default_factory=dict)

    def run(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("looking changes nothing")

    def facts(self, host: str, script: str) -> str:
        self.asked[host] = script
        said = self.printed[host]
        if isinstance(said, RekindleError):
            raise said
        return said

    each = Machine.each


def said(*lines: str) -> Printing:
    return Printing({"agent-1": "".join(f"rekindle-volume {line}\n" for line in lines)})


def found(hosts: Printing, facts: VolumeFacts = ATTACHED) -> list[tuple[str, str]]:
    made = mounts.mounts(hosts, [OUTSIDE_AWS, AGENT], {"kafka-1": facts})
    assert {(m.volume, m.host) for m in made} <= {("kafka-1", "agent-1")}
    return [(m.device, m.path) for m in made]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["vol-0abc leaf 7:0", "vol-0abc mount 7:0 / /v"], [("7:0", "/v")]),
        # the whole file system is found before a folder of it that is bound elsewhere, and either will do
        (["vol-0abc leaf 7:0", "vol-0abc mount 7:0 /data /task", "vol-0abc mount 7:0 / /v"], [("7:0", "/v")]),
        (["vol-0abc leaf 7:0", "vol-0abc mount 7:0 / /v", "vol-0abc mount 7:0 /data /task"], [("7:0", "/v")]),
        (["vol-0abc leaf 7:0", "vol-0abc mount 7:0 /data /task"], [("7:0", "/task")]),
        # partitions, each with its own; a logical volume
        (
            [
                "vol-0abc leaf 259:1",
                "vol-0abc mount 259:1 / /a",
                "vol-0abc leaf 253:0",
                "vol-0abc mount 253:0 / /b",
            ],
            [("253:0", "/b"), ("259:1", "/a")],
        ),
        # proc(5): octal escapes
        (
            ["vol-0abc leaf 7:0", r"vol-0abc mount 7:0 / /a\011b\040c\134d\012e\303\251"],
            [("7:0", "/a\tb c\\d\neé")],
        ),
    ],
)
def test_mounts_are_what_hosts_say(lines: list[str], expected: list[tuple[str, str]]) -> None:
    assert found(said(*lines)) == expected


def test_each_volume_is_looked_for_by_serial_and_device() -> None:
    hosts = said("vol-0abc leaf 7:0", "vol-0abc mount 7:0 / /v")
    found(hosts)
    assert hosts.asked["agent-1"].splitlines()[-1] == "look vol-0abc vol0abc /dev/xvdf"


def test_one_that_is_attached_to_nothing_is_at_rest() -> None:
    hosts = Printing({})
    assert found(hosts, AT_REST) == []
    assert not hosts.asked


@pytest.mark.parametrize(
    ("facts", "lines", "problem"),
    [
        (ATTACHED, [], r"kafka-1 \(vol-0abc\) is attached to i-1 \(agent-1\), which has no device /dev/xvdf"),
        (ATTACHED, ["vol-0abc leaf 7:0"], r"whose first process sees no mount of its block device 7:0"),
        (ATTACHED, ["vol-0def leaf 7:0", "vol-0def mount 7:0 / /v"], "which has no device"),
        # one of two partitions is not mounted: who writes to it is not known
        (
            ATTACHED,
            ["vol-0abc leaf 259:1", "vol-0abc mount 259:1 / /a", "vol-0abc leaf 259:2"],
            "no mount of its block device 259:2",
        ),
        (
            ATTACHED,
            [f"vol-0abc leaf 259:{number}" for number in range(9)],
            "device 259:0, 259:1, 259:2, 259:3, 259:4, 259:5, 259:6, 259:7, 259:8",
        ),
        # nothing says what lies on it
        (ATTACHED, ["vol-0abc mount 7:0 / /v"], "which has no device"),
        (replace(ATTACHED, attached_to="i-9"), [], "is attached to i-9, which is no host of the inventory"),
        (replace(AT_REST, state="in-use"), [], r"kafka-1 \(vol-0abc\) is in-use"),
        (replace(AT_REST, state="creating"), [], r"is creating"),
        (replace(AT_REST, state="error"), [], r"is error"),
    ],
)
def test_one_that_nothing_would_hold_still_is_named(facts: VolumeFacts, lines: list[str], problem: str) -> None:
    with pytest.raises(CommandFailed, match=problem) as caught:
        found(said(*lines), facts)
    assert "consistency: crash" in str(caught.value)


def test_every_one_of_them_is_named() -> None:
    with pytest.raises(CommandFailed, match=r"kafka-1 .*; kafka-2 "):
        mounts.mounts(said(), [AGENT], {"kafka-2": replace(ATTACHED, volume_id="vol-2"), "kafka-1": ATTACHED})


def test_what_cannot_be_asked_is_no_mount_that_is_missing() -> None:
    with pytest.raises(Unreachable):
        found(Printing({"agent-1": Unreachable("no route", where="agent-1")}))


def test_what_was_frozen_before_is_looked_for_without_demands() -> None:
    hosts = said("vol-0abc leaf 7:0", "vol-0abc mount 7:0 / /v", "vol-0def leaf 7:1")
    volumes = {
        "a": ATTACHED,
        "b": replace(ATTACHED, volume_id="vol-0def"),
        "c": replace(ATTACHED, attached_to="i-9"),
        "d": AT_REST,
    }
    assert mounts.found(hosts, [AGENT], volumes) == (Mount(volume="a", host="agent-1", path="/v", device="7:0"),)


NOISE = ["*** authorised use only ***\n", "\x1b(B\x1b[m", "\trekindle-volume vol-0abc leaf 9:9\n", "rekindle-volume\n"]


@pytest.mark.parametrize("noise", NOISE)
def test_what_a_login_shell_prints_is_no_fact(noise: str) -> None:
    printed = f"{noise}\nrekindle-volume vol-0abc leaf 7:0\nrekindle-volume vol-0abc mount 7:0 / /v\n{noise}"
    assert found(Printing({"agent-1": printed})) == [("7:0", "/v")]


@pytest.mark.parametrize(
    "line",
    [
        "vol-0abc",
        "vol-0abc leaf",
        "vol-0abc leaf 7",
        "vol-0abc leaf 7:0 more",
        "vol-0abc leaf x7:0",
        "vol-0abc leaf 7:0\r",
        "vol-0abc mount 7:0 /",
        "vol-0abc mount seven / /v",
        "vol-0abc mount 7:0 / /v more",
        "vol-0abc melt 7:0",
    ],
)
def test_what_cannot_be_read_is_told_with_its_host(line: str) -> None:
    with pytest.raises(CommandFailed, match="can't be read") as caught:
        found(said("vol-0abc leaf 7:0", "vol-0abc mount 7:0 / /v", line))
    assert caught.value.where == "agent-1"


WORDS = st.sampled_from(["rekindle-volume", "vol-1", "leaf", "mount", "7:0", "/", "/a\\040b", "\\400", "\\x", "é"])
LINES = st.lists(st.lists(WORDS | st.text(max_size=8), max_size=7).map(" ".join), max_size=20).map("\n".join)


@given(LINES | st.text(max_size=200))
def test_whatever_a_host_prints_is_read_or_told(printed: str) -> None:
    with suppress(CommandFailed):
        read = mounts.seen_in("agent-1", printed)
        assert all(isinstance(path, str) for seen in read.values() for path in seen.mounts.values())


def test_the_search_looks_through_partitions_and_what_is_built_on_them(tmp_path: Path) -> None:
    """A disk of two partitions, the second of which is part of a logical volume; the first is mounted twice."""
    disk, mapped = tmp_path / "sys" / "0:0", tmp_path / "mapped"
    for folder, number in ((disk, "0:0"), (disk / "xvdf1", "202:1"), (disk / "xvdf2", "202:2"), (mapped, "253:0")):
        (folder / "holders").mkdir(parents=True)
        (folder / "dev").write_text(f"{number}\n")
    for part in ("xvdf1", "xvdf2"):
        (disk / part / "partition").write_text("1\n")
    (disk / "xvdf2" / "holders" / "dm-0").symlink_to(mapped)
    table = tmp_path / "mountinfo"
    table.write_text(
        "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "36 25 202:1 / /v\\040one rw,noatime - ext4 /dev/xvdf1 rw\n"
        "37 25 202:1 /data /bound rw,noatime master:2 - ext4 /dev/xvdf1 rw\n"
        "38 25 253:0 / /lv rw - xfs /dev/mapper/vg-lv rw\n"
    )
    device = tmp_path / "xvdf"
    device.touch()
    script = mounts.FIND.replace("/sys/dev/block", f"{tmp_path}/sys").replace("/proc/1/mountinfo", str(table))
    script = script.replace("[ -b ", "[ -e ")
    printed = subprocess.run(
        ["sh", "-c", f"{script}\nlook vol-1 vol1 {device}\nlook vol-2 vol2 /dev/none"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert mounts.seen_in("agent-1", printed) == {
        "vol-1": mounts.Seen(leaves={"202:1", "253:0"}, mounts={"202:1": "/v one", "253:0": "/lv"})
    }


def test_the_link_that_bears_the_volumes_id_comes_before_the_attachments_name(tmp_path: Path) -> None:
    """On Nitro the attachment's name may be that of another disk."""
    links, device = tmp_path / "by-id", tmp_path / "xvdf"
    links.mkdir()
    device.touch()
    (links / "nvme-Amazon_Elastic_Block_Store_vol1").symlink_to("/dev/null")  # 1:3, where a file is 0:0
    for number in ("0:0", "1:3"):
        (tmp_path / "sys" / number).mkdir(parents=True)
        (tmp_path / "sys" / number / "dev").write_text(f"{number}\n")
    script = mounts.FIND.replace("/sys/dev/block", f"{tmp_path}/sys").replace("[ -b ", "[ -e ")
    script = script.replace("/dev/disk/by-id", str(links))
    printed = subprocess.run(
        ["sh", "-c", f"{script}\nlook vol-1 vol1 {device}"], capture_output=True, text=True, check=True
    ).stdout
    assert mounts.seen_in("agent-1", printed)["vol-1"].leaves == {"1:3"}
