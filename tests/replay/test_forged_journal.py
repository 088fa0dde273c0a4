"""Who may write to the journal's bucket, but not use the environment's key, cannot make a replay run a program."""

from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from rich.console import Console

from rekindle.aws.clients import Clients
from rekindle.errors import InputError, RekindleError
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.keys import open_keyring, replaced
from rekindle.journal.lock import Lock
from rekindle.journal.release import Release, Releases
from rekindle.journal.store import S3Store
from rekindle.progress import Progress
from rekindle.replay import opening
from rekindle.replay.location import located
from rekindle.replay.opening import Request, lost
from rekindle.secrets import KmsEnvelope, PassphraseEnvelope

REGION, BUCKET = "us-west-2", "journal"
GENUINE, FORGED = "genuine", "forged"
ARN = "arn:aws:kms:us-west-2:123456789012:key/12345678-1234-1234-1234-123456789012"


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    with pytest.MonkeyPatch.context() as patched:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "testing")
        yield Clients()


@pytest.fixture
def s3(clients: Clients) -> Iterator[Any]:
    with mock_aws():
        client = clients.s3(REGION)
        for bucket in (GENUINE, FORGED, BUCKET):
            client.create_bucket(
                Bucket=bucket,
                CreateBucketConfiguration={"LocationConstraint": REGION},
                ObjectLockEnabledForBucket=True,
            )
        yield client


def key(clients: Clients) -> str:
    return str(clients.kms(REGION).create_key()["KeyMetadata"]["Arn"])


def applied(clients: Clients, key_arn: str, project: Path, words: str, bucket: str) -> dict[str, bytes]:
    """dev's whole journal, with a release, under this key: what Rekindle writes, and all that a forger can."""
    (project / "stacks").mkdir(parents=True)
    (project / "stacks" / "__main__.py").write_text(f"print({words!r})\n")
    s3 = clients.s3(REGION)
    store = S3Store(s3, bucket)
    keyring = open_keyring(store, "dev", KmsEnvelope(clients.kms(REGION), key_arn), keep=True)
    with Lock.acquire(store, "dev", keyring, Holder.of_this_process("apply")) as lock:
        journal = Journal.open(store, "dev", keyring, lock=lock)
        release = Release.of(project)
        Releases(store=store, environment="dev", keyring=keyring).save(release)
        journal.append(release.entry("apply"))
        journal.checkpoint()
    found = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    return {name: s3.get_object(Bucket=bucket, Key=name)["Body"].read() for name in found}


def put(s3: Any, found: Mapping[str, bytes]) -> None:
    for name, body in found.items():
        s3.put_object(Bucket=BUCKET, Key=name, Body=body)


def request(clients: Clients, key_arn: str, folder: Path) -> Request:
    return Request(
        environment="dev",
        recovery="dev-dr",
        journal=f"s3://{BUCKET}?region={REGION}&key={key_arn}",
        folder=folder,
        progress=Progress(Console(file=StringIO())),
        clients=clients,
    )


def test_a_whole_journal_forged_under_another_key_is_refused_and_nothing_is_unpacked(
    s3: Any, clients: Clients, tmp_path: Path
) -> None:
    mine, others = key(clients), key(clients)
    genuine = applied(clients, mine, tmp_path / "project", "hello", GENUINE)
    forged = applied(clients, others, tmp_path / "forged", "evil", FORGED)
    put(s3, {**genuine, **forged})  # overwritten, and added to
    for changes in (False, True):
        with (
            pytest.raises(InputError, match=f"wrapped under {others}, not under {mine}"),
            lost(request(clients, mine, tmp_path / "replay"), changes=changes),
        ):
            pass
    assert not (tmp_path / "replay").exists()
    with lost(request(clients, others, tmp_path / "replay"), changes=False):  # the forgery was a whole one
        assert "evil" in (tmp_path / "replay" / "stacks" / "__main__.py").read_text()


@pytest.mark.parametrize("top", ["keys", "checkpoints", "lock", "journal", "releases", "bundles"])
def test_each_kind_of_object_of_a_forged_journal_is_refused(
    s3: Any, clients: Clients, tmp_path: Path, top: str
) -> None:
    mine = key(clients)
    genuine = applied(clients, mine, tmp_path / "project", "hello", GENUINE)
    forged = applied(clients, key(clients), tmp_path / "forged", "evil", FORGED)
    is_by_digest = top in ("releases", "bundles")  # there the forger's own has another name
    another = next(body for name, body in forged.items() if name.startswith(f"{top}/"))
    put(
        s3,
        {
            name: body if not name.startswith(f"{top}/") else another if is_by_digest else forged[name]
            for name, body in genuine.items()
        },
    )
    with (
        pytest.raises(RekindleError),
        lost(request(clients, mine, tmp_path / "replay"), changes=False),
    ):
        pass
    assert not (tmp_path / "replay").exists()


def test_a_key_made_while_the_lock_was_waited_for_is_in_force(
    s3: Any, clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = key(clients)
    put(s3, applied(clients, mine, tmp_path / "project", "hello", GENUINE))
    store, envelope = S3Store(s3, BUCKET), KmsEnvelope(clients.kms(REGION), mine)
    former = open_keyring(store, "dev", envelope, keep=False)
    replaced(store, "dev", envelope, former, first=Journal.open(store, "dev", former).head.sequence + 1)
    monkeypatch.setattr(opening, "open_keyring", lambda *place, keep: former)
    with lost(request(clients, mine, tmp_path / "replay"), changes=True) as gone:
        assert gone.keyring.version == 2


def test_the_genuine_one_is_unpacked(s3: Any, clients: Clients, tmp_path: Path) -> None:
    mine = key(clients)
    put(s3, applied(clients, mine, tmp_path / "project", "hello", GENUINE))
    with lost(request(clients, mine, tmp_path / "replay"), changes=False):
        assert "hello" in (tmp_path / "replay" / "stacks" / "__main__.py").read_text()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "journal",
        "s3://journal",
        "s3://journal?region=us-west-2",
        f"s3://journal?key={ARN}",
        "s3://journal?region=us-west-2&key=",
        "s3://journal?region=us-west-2&key=alias/rekindle-recovery",
        "s3://journal?region=us-west-2&key=arn:aws:kms:us-west-2:123456789012:alias/rekindle-recovery",
        f"s3://journal?region=us-west-2&key={ARN}&kye=1",
        f"s3://journal?region=us-west-2&key={ARN}&key={ARN}",
        f"s3://?region=us-west-2&key={ARN}",
        f"https://journal?region=us-west-2&key={ARN}",
        "s3://[journal?region=us-west-2",
        "file://",
    ],
)
def test_what_is_no_location_teaches_the_form(clients: Clients, url: str) -> None:
    with pytest.raises(InputError) as caught:
        located(url, clients, {"REKINDLE_PASSPHRASE": "x"})
    assert "s3://BUCKET?region=REGION&key=ARN" in caught.value.next_step


def test_a_location_pins_the_key(clients: Clients) -> None:
    place = located(f"s3://journal?region=us-west-2&key={ARN}", clients, {})
    assert isinstance(place.envelope, KmsEnvelope)
    assert place.envelope.key_arn == ARN
    folder = located("file:///srv/journal", clients, {"REKINDLE_PASSPHRASE": "x"})
    assert isinstance(folder.envelope, PassphraseEnvelope)
