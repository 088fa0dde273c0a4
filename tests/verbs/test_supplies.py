"""What is declared is mirrored as it is pinned, kept as a release, and within reach of the hosts."""

import hashlib
import shutil
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import cast

import pytest
import yaml
from rich.console import Console

from rekindle.aws.clients import Clients
from rekindle.errors import InputError
from rekindle.inventory import parse
from rekindle.journal.holder import Holder
from rekindle.journal.journal import Journal
from rekindle.journal.lock import Lock
from rekindle.journal.mirror import Mirror
from rekindle.journal.release import Artifact
from rekindle.journal.secret_store import SecretStore
from rekindle.journal.store import DirectoryStore
from rekindle.operation import Operation
from rekindle.progress import Progress
from rekindle.secrets import Keyring
from rekindle.verbs import supplies

ROOT = Path(__file__).parents[2]
KEYRING = Keyring(b"k" * 32)
PINS = {
    "installer": "a" * 64,
    "edge.tgz": "1" * 64,
    "orders.tgz": "2" * 64,
    "kafka.tgz": "3" * 64,
    "jre.tgz": "4" * 64,
}
REGION = "us-east-1"


@dataclass
class FakeMirror:
    """What was asked of the mirror, and what it holds where."""

    ensured: dict[str, str | None] = field(default_factory=dict)  # the digest that was asked for, by URL
    near: dict[str, tuple[str, str]] = field(default_factory=dict)  # bucket and region, by name

    def ensure(self, url: str, sha256: str | None = None) -> Artifact:
        self.ensured[url] = sha256
        digest = sha256 or hashlib.sha256(url.encode()).hexdigest()
        return Artifact(name=url.rpartition("/")[2], url=url, sha256=digest, size=1)

    def put(self, name: str, body: bytes, content_type: str) -> Artifact:
        return Artifact(name=name, url="", sha256=hashlib.sha256(body).hexdigest(), size=len(body))

    def replicate(self, artifact: Artifact, bucket: str, region: str) -> None:
        self.near[artifact.name] = bucket, region

    def url_for(self, artifact: Artifact, bucket: str, region: str) -> str:
        assert self.near[artifact.name] == (bucket, region), "a link to where it is not"
        return f"https://{bucket}.{region}/{artifact.name}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name in ("packages", "stacks"):
        shutil.copytree(ROOT / name, folder / name)
    values = folder / "stacks" / "Pulumi.dev.yaml"
    document = yaml.safe_load(values.read_text())
    settings = document["config"]["rekindle:environment"]
    settings["dcos"]["installer"]["sha256"] = PINS["installer"]
    settings["values"] = {"artifacts": "https://example.org", "digests": PINS}
    values.write_text(yaml.safe_dump(document))
    return folder


def operation(project: Path, *, changes: bool = True, region: str | None = REGION) -> Operation:
    folder = project.parent / "store"
    folder.mkdir(exist_ok=True)
    store = DirectoryStore(folder)
    lock = Lock.acquire(store, "dev", KEYRING, Holder.of_this_process("apply")) if changes else None
    journal = Journal.open(store, "dev", KEYRING, lock=lock)
    buckets = {f"{name}_bucket": name for name in ("journal", "mirror", "artifacts")}
    switch = {"kind": "alarm", "namespace": "Rekindle/example"}
    inventory = parse(
        {
            "environment": "dev",
            "region": region,
            "cluster_name": "dev",
            "hosts": [],
            "ssh": {"user": "admin"},
            "stores": {
                "region": "us-west-2",
                "kms_key_arn": "arn",
                "switch": switch,
                **buckets,
            },
        },
        where="test",
    )
    return Operation(
        project=project,
        environment="dev",
        inventory=inventory,
        clients=cast(Clients, None),
        store=store,
        keyring=KEYRING,
        journal=journal,
        secrets=SecretStore(store, KEYRING, journal),
        mirror=cast(Mirror, FakeMirror()),
        progress=Progress(Console(file=StringIO())),
        changes=changes,
    )


def mirror(of: Operation) -> FakeMirror:
    return cast(FakeMirror, of.mirror)


def test_what_is_pinned_is_asked_for_by_its_digest(project: Path) -> None:
    op = operation(project)
    found = supplies.declared(op)
    asked = {url.rpartition("/")[2]: digest for url, digest in mirror(op).ensured.items()}
    assert asked == {
        "dcos_generate_config.sh": PINS["installer"],
        **{name: PINS[name] for name in ("edge.tgz", "orders.tgz", "kafka.tgz", "jre.tgz")},
    }
    digests = {a.name: a.sha256 for a in found.release.artifacts}
    assert (digests["dcos_generate_config.sh"], digests["edge.tgz"]) == (PINS["installer"], PINS["edge.tgz"])
    assert found.installer.sha256 == PINS["installer"]


def test_all_that_is_fetched_or_made_is_linked_near_the_hosts(project: Path) -> None:
    op = operation(project)
    found = supplies.declared(op)
    names = {a.name for a in found.release.artifacts}
    assert names == {"dcos_generate_config.sh", "edge.tgz", "orders.tgz", "kafka.tgz", "jre.tgz", *generated(found)}
    assert generated(found)
    assert found.links == {name: f"https://artifacts.{REGION}/{name}" for name in names}
    assert found.installer_url == f"https://artifacts.{REGION}/dcos_generate_config.sh"


def generated(found: supplies.Supplies) -> set[str]:
    return {a.name for a in found.release.artifacts if not a.url}


def test_hosts_that_are_in_no_region_fetch_where_the_stores_are(project: Path) -> None:
    op = operation(project, region=None)
    supplies.declared(op)
    assert set(mirror(op).near.values()) == {("artifacts", "us-west-2")}


def test_a_release_is_kept_by_what_changes_something_only(project: Path) -> None:
    looking = operation(project, changes=False)
    digest = supplies.declared(looking).release.digest
    assert list(looking.store.list("releases/")) == list(looking.store.list("bundles/")) == []
    changing = operation(project)
    assert supplies.declared(changing).release.digest == digest
    assert changing.releases.load(digest).digest == digest


def test_a_release_of_before_is_taken_from_the_mirror_alone(project: Path) -> None:
    made = supplies.declared(operation(project)).release
    first = Artifact(name="a.tgz", url="", sha256="c" * 64, size=1)
    made = type(made).of(project, artifacts=[first, *made.artifacts])
    op = operation(project, changes=False)
    again = supplies.of_release(op, made)
    assert mirror(op).ensured == {}
    assert (again.release, again.installer.sha256) == (made, PINS["installer"])
    assert again.links.keys() == {a.name for a in made.artifacts}


def test_a_release_without_the_installer_is_told(project: Path) -> None:
    made = supplies.declared(operation(project)).release
    bare = type(made).of(project, artifacts=[a for a in made.artifacts if a.name != "dcos_generate_config.sh"])
    with pytest.raises(InputError, match=r"has no artifact dcos_generate_config\.sh"):
        supplies.of_release(operation(project, changes=False), bare)


def test_the_release_in_force_is_the_one_that_was_applied_last(project: Path) -> None:
    op = operation(project)
    with pytest.raises(InputError, match="nothing was ever applied") as caught:
        supplies.in_force(op)
    assert "rekindle apply dev" in caught.value.next_step
    first = supplies.declared(op).release
    (project / "packages" / "edge" / "more").write_text("x")
    second = supplies.declared(op).release
    for release in (first, second):
        op.journal.append(release.entry("apply"))
    assert supplies.in_force(op) == second
    op.journal.append(first.entry("rollback"))
    assert supplies.in_force(op) == first


def test_the_samples_digest_is_refused_before_anything_is_fetched(project: Path) -> None:
    shutil.copy(ROOT / "stacks" / "Pulumi.dev.yaml", project / "stacks")
    op = operation(project)
    with pytest.raises(
        InputError, match=r"Pulumi\.dev\.yaml: dcos\.installer\.sha256: is still the sample's"
    ) as caught:
        supplies.declared(op)
    assert "sha256sum" in caught.value.next_step
    assert mirror(op).ensured == {}


def test_packages_are_read_without_fetching(project: Path) -> None:
    op = operation(project)
    assert {p.name for p in supplies.loaded(op)} == {"edge", "kafka", "orders"}
    assert (mirror(op).ensured, mirror(op).near) == ({}, {})
