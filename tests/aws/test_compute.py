"""Instances, volumes, snapshots and consoles as EC2 tells them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2 import ec2_backends

from rekindle.aws import compute
from rekindle.aws.clients import Clients
from rekindle.errors import CommandFailed, GateFailed, Refused, SnapshotLost, Unreachable

REGION, ELSEWHERE = "us-east-1", "us-west-2"
TAGS = {"rekindle:environment": "dev"}


@pytest.fixture(scope="module")
def made_once() -> Iterator[Clients]:
    """Clients are slow to make."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "testing")
        patched.delenv("AWS_ENDPOINT_URL", raising=False)
        yield Clients()


@pytest.fixture
def clients(made_once: Clients) -> Iterator[Clients]:
    with mock_aws():  # a new account
        yield made_once


@pytest.fixture
def ec2(clients: Clients) -> Any:
    return clients.ec2(REGION)


def volume(ec2: Any, name: str) -> str:
    made = ec2.create_volume(
        AvailabilityZone=f"{REGION}a",
        Size=8,
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": name}]}],
    )
    return str(made["VolumeId"])


def instance(ec2: Any) -> str:
    image = ec2.register_image(Name="debian", RootDeviceName="/dev/xvda")["ImageId"]
    return str(ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"])


def no_sleep(seconds: float) -> None: ...


def test_volumes_are_found_by_id_and_by_tags(ec2: Any) -> None:
    one, two = volume(ec2, "kafka-1"), volume(ec2, "kafka-2")
    found = compute.volumes(ec2, ids=[one, two, "vol-00000000000000000"])
    assert {item.volume_id: item.tags["Name"] for item in found} == {one: "kafka-1", two: "kafka-2"}
    (tagged,) = compute.volumes(ec2, tags={"Name": "kafka-2"})
    assert (tagged.volume_id, tagged.az, tagged.size_gib, tagged.attached_to) == (two, "us-east-1a", 8, None)


def test_an_attached_volume_says_where(ec2: Any) -> None:
    host, disk = instance(ec2), volume(ec2, "kafka-1")
    az = compute.instances(ec2, ids=[host])[0].az
    assert az == "us-east-1a"
    ec2.attach_volume(InstanceId=host, VolumeId=disk, Device="/dev/xvdf")
    (found,) = compute.volumes(ec2, ids=[disk])
    assert (found.state, found.attached_to, found.device) == ("in-use", host, "/dev/xvdf")


def test_a_group_of_snapshots_carries_tags_and_is_copied_with_them(clients: Clients, ec2: Any) -> None:
    one, two = volume(ec2, "kafka-1"), volume(ec2, "kafka-2")
    started = compute.create_snapshots(ec2, {one: {**TAGS, "Name": "kafka-1"}, two: TAGS}, description="point 1")
    done = compute.wait_for_snapshots(ec2, list(started.values()))
    assert {item.snapshot_id for item in done} == set(started.values())
    assert {item.volume_id for item in compute.snapshots(ec2, tags=TAGS)} == {one, two}
    west = clients.ec2(ELSEWHERE)
    key = clients.kms(ELSEWHERE).create_key()["KeyMetadata"]["Arn"]
    copied = compute.copy_snapshot(west, started[one], REGION, kms_key_arn=key, tags=TAGS, description="point 1")
    (found,) = compute.snapshots(west, ids=[copied])
    assert found.tags == TAGS


def test_a_snapshot_that_is_gone_is_named(ec2: Any) -> None:
    with pytest.raises(CommandFailed, match="failed or gone: snap-1"):
        compute.wait_for_snapshots(ec2, ["snap-1"], sleep=no_sleep)


def test_one_that_is_not_shown_at_once_is_waited_for(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([(), (), (snapshot("snap-1", "completed", 100),)])
    monkeypatch.setattr(compute, "snapshots", lambda *_, **__: next(answers))
    assert len(compute.wait_for_snapshots(ec2, ["snap-1"], sleep=no_sleep)) == 1


def test_one_that_ends_in_error_is_named(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    started = compute.create_snapshots(ec2, {volume(ec2, "a"): {}}, description="")
    (snapshot_id,) = started.values()
    show(monkeypatch, [snapshot(snapshot_id, "pending", 40), snapshot(snapshot_id, "error", 40)])
    with pytest.raises(CommandFailed, match=f"failed or gone: {snapshot_id}"):
        compute.wait_for_snapshots(ec2, [snapshot_id], sleep=no_sleep)


def test_waiting_tells_how_far_it_is(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    show(
        monkeypatch,
        [snapshot("snap-1", "pending", 10), snapshot("snap-1", "pending", 90), snapshot("snap-1", "completed", 100)],
    )
    compute.wait_for_snapshots(ec2, ["snap-1"], progress=lambda found: told.append(found[0].progress), sleep=no_sleep)
    assert told == [10, 90, 100]


def test_waiting_ends_when_time_is_up(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, [snapshot("snap-1", "pending", 10)])
    with pytest.raises(GateFailed, match=r"not completed after 0 s: snap-1 \(10 %\)"):
        compute.wait_for_snapshots(ec2, ["snap-1"], timeout=0, sleep=no_sleep)


def snapshot(snapshot_id: str, state: str, progress: int) -> compute.Snapshot:
    return compute.Snapshot(
        snapshot_id=snapshot_id,
        volume_id="vol-1",
        state=state,
        progress=progress,
        size_gib=8,
        started=datetime(2026, 11, 21, tzinfo=UTC),
        encrypted=True,
        tags={},
    )


def show(monkeypatch: pytest.MonkeyPatch, looks: list[compute.Snapshot]) -> None:
    shown = iter(looks)
    monkeypatch.setattr(compute, "snapshots", lambda client, ids: (next(shown),))


def test_of_no_ids_nothing_is_found(ec2: Any) -> None:
    """Not everybody's: a filter without values would be none."""
    (started,) = compute.create_snapshots(ec2, {volume(ec2, "a"): {}}, description="").values()
    assert compute.snapshots(ec2, ids=[]) == compute.volumes(ec2, ids=[]) == compute.instances(ec2, ids=[]) == ()
    assert started in {s.snapshot_id for s in compute.snapshots(ec2)}
    assert compute.wait_for_snapshots(ec2, [], timeout=0, sleep=no_sleep) == ()


def test_all_tags_must_be_there(ec2: Any) -> None:
    both, one = {**TAGS, "Name": "a"}, {"Name": "a"}
    made = compute.create_snapshots(ec2, {volume(ec2, "a"): both, volume(ec2, "b"): one}, description="")
    assert [s.tags for s in compute.snapshots(ec2, tags=both)] == [both]
    assert {s.snapshot_id for s in compute.snapshots(ec2, tags=one)} == set(made.values())


def test_a_snapshot_is_read_whole(ec2: Any) -> None:
    disk = volume(ec2, "a")
    (started,) = compute.create_snapshots(ec2, {disk: TAGS}, description="").values()
    (found,) = compute.snapshots(ec2, ids=[started])
    assert (found.volume_id, found.size_gib, found.state, found.progress) == (disk, 8, "completed", 100)
    assert found.started.tzinfo


@pytest.mark.parametrize(("said", "progress"), [("", 0), ("%", 0), (None, 0), ("7%", 7)])
def test_progress_is_a_number_before_ec2_says_one(ec2: Any, said: str | None, progress: int) -> None:
    (started,) = compute.create_snapshots(ec2, {volume(ec2, "a"): TAGS}, description="").values()

    def answered(parsed: dict[str, Any], **_: Any) -> None:
        for item in parsed["Snapshots"]:
            item["Progress"] = said

    ec2.meta.events.register("after-call.ec2.DescribeSnapshots", answered, "said")
    try:
        (found,) = compute.snapshots(ec2, ids=[started])
    finally:
        ec2.meta.events.unregister("after-call.ec2.DescribeSnapshots", unique_id="said")
    assert found.progress == progress


def test_a_copy_is_encrypted_under_the_key_that_is_given(clients: Clients, ec2: Any) -> None:
    (source,) = compute.create_snapshots(ec2, {volume(ec2, "a"): TAGS}, description="").values()
    west, asked = clients.ec2_once(ELSEWHERE), list[Any]()
    key = clients.kms(ELSEWHERE).create_key()["KeyMetadata"]["Arn"]
    west.meta.events.register(
        "provide-client-params.ec2.CopySnapshot", lambda params, **_: asked.append(params), "seen"
    )
    try:
        compute.copy_snapshot(west, source, REGION, kms_key_arn=key, tags=TAGS, description="point 1")
    finally:
        west.meta.events.unregister("provide-client-params.ec2.CopySnapshot", unique_id="seen")
    assert [(a["Encrypted"], a["KmsKeyId"], a["SourceRegion"], a["Description"]) for a in asked] == [
        (True, key, REGION, "point 1")
    ]


def test_a_volume_from_a_snapshot_says_so(ec2: Any) -> None:
    (started,) = compute.create_snapshots(ec2, {volume(ec2, "a"): TAGS}, description="").values()
    restored = ec2.create_volume(AvailabilityZone=f"{REGION}a", SnapshotId=started)["VolumeId"]
    (found,) = compute.volumes(ec2, ids=[restored])
    assert (found.snapshot_id, found.state) == (started, "available")


@dataclass
class Losing:
    """Loses answers after AWS acted, or requests before, as many as are left."""

    left: int
    error: Exception = field(default_factory=lambda: EndpointConnectionError(endpoint_url="https://ec2"))

    def __call__(self, **_: Any) -> None:
        if self.left:
            self.left -= 1
            raise self.error


@contextmanager
def losing(ec2: Any, event: str, what: Losing) -> Iterator[None]:
    ec2.meta.events.register(event, what, "losing")
    try:
        yield
    finally:
        ec2.meta.events.unregister(event, unique_id="losing")


BEFORE, AFTER = "before-send.ec2.", "after-call.ec2."


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("times", [1, compute.STARTS - 1])
def test_a_snapshot_whose_answer_was_lost_is_started_once(clients: Clients, when: str, times: int) -> None:
    once = clients.ec2_once(REGION)
    one, two = volume(once, "a"), volume(once, "b")
    with losing(once, f"{when}CreateSnapshot", Losing(times)):
        made = compute.create_snapshots(once, {one: TAGS, two: TAGS}, description="", sleep=no_sleep)
    assert {s.snapshot_id: s.volume_id for s in compute.snapshots(once, tags=TAGS)} == {made[one]: one, made[two]: two}


def test_one_that_never_answers_is_given_up(clients: Clients) -> None:
    once = clients.ec2_once(REGION)
    disk, never = volume(once, "a"), Losing(99)
    with losing(once, f"{BEFORE}CreateSnapshot", never), pytest.raises(Unreachable):
        compute.create_snapshots(once, {disk: TAGS}, description="", sleep=no_sleep)
    assert 99 - never.left == compute.STARTS
    assert not compute.snapshots(once, tags=TAGS)


def test_what_is_refused_is_not_asked_again(clients: Clients) -> None:
    once = clients.ec2_once(REGION)
    refused = Losing(99, ClientError(answer("InvalidParameterValue"), "CreateSnapshot"))
    with losing(once, f"{BEFORE}CreateSnapshot", refused), pytest.raises(CommandFailed):
        compute.create_snapshots(once, {volume(once, "a"): TAGS}, description="", sleep=no_sleep)
    assert refused.left == 98


def test_each_request_of_that_client_is_sent_once(clients: Clients) -> None:
    for client, tries in ((clients.ec2_once(REGION), 1), (Clients(attempts=2).ec2(REGION), 2)):
        asked = Losing(99)
        with losing(client, f"{BEFORE}DescribeVolumes", asked), pytest.raises(Unreachable):
            compute.volumes(client)
        assert 99 - asked.left == tries


@pytest.mark.parametrize("when", [BEFORE, AFTER])
def test_a_copy_whose_answer_was_lost_is_started_once(clients: Clients, ec2: Any, when: str) -> None:
    (source,) = compute.create_snapshots(ec2, {volume(ec2, "a"): TAGS}, description="").values()
    west = clients.ec2_once(ELSEWHERE)
    key = clients.kms(ELSEWHERE).create_key()["KeyMetadata"]["Arn"]
    other = {**TAGS, "Name": "b"}
    compute.copy_snapshot(west, source, REGION, kms_key_arn=key, tags=other, description="")
    tags = {**TAGS, "Name": "a"}
    with losing(west, f"{when}CopySnapshot", Losing(1)):
        made = compute.copy_snapshot(west, source, REGION, kms_key_arn=key, tags=tags, description="", sleep=no_sleep)
    assert [s.snapshot_id for s in compute.snapshots(west, tags=tags)] == [made]


def test_without_tags_nobodys_snapshot_is_taken_for_it(clients: Clients) -> None:
    once = clients.ec2_once(REGION)
    disk = volume(once, "a")
    (old,) = compute.create_snapshots(once, {disk: TAGS}, description="").values()
    with losing(once, f"{BEFORE}CreateSnapshot", Losing(1)):
        (new,) = compute.create_snapshots(once, {disk: {}}, description="", sleep=no_sleep).values()
    assert new != old


def test_one_in_error_is_not_taken_for_it(clients: Clients) -> None:
    once = clients.ec2_once(REGION)
    disk = volume(once, "a")
    (old,) = compute.create_snapshots(once, {disk: TAGS}, description="").values()
    ec2_backends[DEFAULT_ACCOUNT_ID][REGION].snapshots[old].status = "error"
    with losing(once, f"{BEFORE}CreateSnapshot", Losing(1)):
        (new,) = compute.create_snapshots(once, {disk: TAGS}, description="", sleep=no_sleep).values()
    assert new != old


def test_a_snapshot_is_deleted_and_may_be_gone_before(ec2: Any) -> None:
    (started,) = compute.create_snapshots(ec2, {volume(ec2, "a"): TAGS}, description="").values()
    compute.delete_snapshot(ec2, started)
    compute.delete_snapshot(ec2, started)
    assert not compute.snapshots(ec2, tags=TAGS)


def test_one_that_may_not_be_deleted_is_told(ec2: Any) -> None:
    in_use = Losing(1, ClientError(answer("InvalidSnapshot.InUse"), "DeleteSnapshot"))
    with losing(ec2, f"{BEFORE}DeleteSnapshot", in_use), pytest.raises(CommandFailed, match="InUse"):
        compute.delete_snapshot(ec2, "snap-1")


def answer(code: str) -> Any:
    return {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 400}}


@pytest.mark.parametrize(
    ("unseen", "is_lost"), [(compute.LOOKS_UNTIL_SEEN, False), (compute.LOOKS_UNTIL_SEEN + 1, True)]
)
def test_what_is_not_shown_is_lost_only_after_a_while(
    ec2: Any, monkeypatch: pytest.MonkeyPatch, unseen: int, is_lost: bool
) -> None:
    looks: Any = iter([()] * unseen + [(snapshot("snap-1", "completed", 100),)])
    monkeypatch.setattr(compute, "snapshots", lambda *_, **__: next(looks))
    with pytest.raises(SnapshotLost) if is_lost else nullcontext():
        assert compute.wait_for_snapshots(ec2, ["snap-1"], sleep=no_sleep)


def test_all_are_waited_for(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (snapshot(f"snap-{n}", "completed", 100) for n in (1, 2))
    looks = iter([(one,), (one, snapshot("snap-2", "pending", 7)), (one, two)])
    monkeypatch.setattr(compute, "snapshots", lambda client, ids: next(looks))
    assert compute.wait_for_snapshots(ec2, ["snap-1", "snap-2"], sleep=no_sleep) == (one, two)


def test_looks_come_ever_more_slowly(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    looks = iter([(snapshot("snap-1", "pending", 1),)] * 8 + [(snapshot("snap-1", "completed", 100),)])
    monkeypatch.setattr(compute, "snapshots", lambda client, ids: next(looks))
    compute.wait_for_snapshots(ec2, ["snap-1"], sleep=slept.append)
    assert slept == [0.5, 1, 2, 4, 8, 15, 15, 15]


def test_instances_are_waited_for(ec2: Any) -> None:
    host = instance(ec2)
    (found,) = compute.wait_for_instances(ec2, [host], sleep=no_sleep)
    told = ec2.describe_instances(InstanceIds=[host])["Reservations"][0]["Instances"][0]
    assert (found.private_ip, found.public_ip) == (told["PrivateIpAddress"], told.get("PublicIpAddress"))
    assert (found.state, found.az) == ("running", "us-east-1a")
    with pytest.raises(GateFailed, match=f"not stopped after 0 s: {host}"):
        compute.wait_for_instances(ec2, [host], state="stopped", timeout=0, sleep=no_sleep)
    with pytest.raises(GateFailed, match="not running after 0 s: i-gone"):
        compute.wait_for_instances(ec2, [host, "i-gone"], timeout=0, sleep=no_sleep)


CONSOLE = """[   12.3] cloud-init[612]: Cloud-init v. 22.4.2 running 'modules:final'
-----BEGIN SSH HOST KEY FINGERPRINTS-----
256 SHA256:abc root@ip-10-0-0-7 (ED25519)
-----END SSH HOST KEY FINGERPRINTS-----
-----BEGIN SSH HOST KEY KEYS-----
ecdsa-sha2-nistp256 AAAAE2VjZHNh= root@ip-10-0-0-7
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA+/x{number} root@ip-10-0-0-7
ssh-rsa AAAAB3Nza root@ip-10-0-0-7
-----END SSH HOST KEY KEYS-----
"""


@pytest.mark.parametrize(
    ("console", "key"),
    [
        ("", None),
        ("ssh-ed25519 AAAAforged", None),
        (CONSOLE.format(number=1), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA+/x1"),
        (CONSOLE.format(number=1).replace("\n", "\r\n"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA+/x1"),
        (CONSOLE.format(number=1) * 2, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA+/x1"),
        (CONSOLE.format(number=1).partition("-----END SSH HOST KEY KEYS")[0], None),
        (CONSOLE.format(number=1).replace("ssh-ed25519", "ssh-dss"), None),
    ],
)
def test_the_host_key_is_read_from_the_console(console: str, key: str | None) -> None:
    assert compute.host_key(console) == key


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (1, 2, 1)])
def test_a_second_key_on_the_console_makes_none_of_them_trusted(order: tuple[int, ...]) -> None:
    with pytest.raises(Refused, match="several different SSH host keys") as caught:
        compute.host_key("".join(CONSOLE.format(number=number) for number in order), "m (i-1)")
    assert caught.value.where == "m (i-1)"


def test_the_console_is_waited_for(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = iter(["", "booting", CONSOLE.format(number=1)])
    monkeypatch.setattr(compute, "console_output", lambda client, instance_id: next(consoles))
    assert compute.wait_for_host_key(ec2, "i-1", sleep=no_sleep).endswith("x1")


def test_a_console_without_a_key_is_named(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "console_output", lambda client, instance_id: "booting")
    with pytest.raises(GateFailed, match="the console of i-1 shows no SSH host key after 0 s"):
        compute.wait_for_host_key(ec2, "i-1", timeout=0, sleep=no_sleep)


def test_console_output_is_text(ec2: Any) -> None:
    assert isinstance(compute.console_output(ec2, instance(ec2)), str)


@pytest.mark.parametrize(
    ("code", "printed"), [(None, "latest"), ("UnsupportedOperation", "kept"), ("InvalidInstanceID.NotFound", None)]
)
def test_the_latest_console_is_read_where_there_is_one(ec2: Any, code: str | None, printed: str | None) -> None:
    """Only Nitro has the latest (GetConsoleOutput)."""

    def answered(model: Any, params: dict[str, Any], **_: Any) -> Any:
        if params["body"].get("Latest") != "true":
            return Ok, {"Output": "a2VwdA=="}
        return (Ok, {"Output": "bGF0ZXN0"}) if code is None else (Refusing, answer(code))

    ec2.meta.events.register("before-call.ec2.GetConsoleOutput", answered, "console")
    try:
        if printed is None:
            with pytest.raises(CommandFailed, match="NotFound"):
                compute.console_output(ec2, "i-1")
        else:
            assert compute.console_output(ec2, "i-1") == printed
    finally:
        ec2.meta.events.unregister("before-call.ec2.GetConsoleOutput", unique_id="console")


class Ok:
    status_code = 200


class Refusing:
    status_code = 400
