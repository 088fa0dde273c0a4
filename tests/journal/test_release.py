"""A release is its content: the same from any folder, and found out if a byte of it is another."""

import gzip
import io
import json
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_world import BUCKET, KEYRING, REGION, Holding, World, odd_documents, of_bucket

from rekindle.aws.clients import Clients
from rekindle.errors import InputError, JournalDamaged
from rekindle.journal import release
from rekindle.journal.release import Artifact, FileDigest, MadeBy, Manifest, Release, Releases
from rekindle.journal.seal import seal
from rekindle.journal.store import Missing
from rekindle.plan import canonical, digest
from rekindle.secrets import Keyring

ARTIFACTS = [
    Artifact(name="b.tgz", url="https://example.net/b.tgz", sha256="b" * 64, size=2),
    Artifact(name="a.tgz", url="https://example.net/a.tgz", sha256="a" * 64, size=1),
]
FILES = {
    "Pulumi.yaml": "name: platform\n",
    "stacks/__main__.py": "print()\n",
    "stacks/Pulumi.dev.yaml": "config: {}\n",
    "roles/master/role.yaml": "version: 1\n",
    "packages/kafka/package.yaml": "version: 1\n",
    "packages/kafka/check.sh": "#!/bin/sh\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return project_at(tmp_path / "project", list(FILES))


def project_at(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(FILES[name])
    (root / "packages/kafka/check.sh").chmod(0o700)
    return root


def test_the_same_content_is_the_same_bundle(project: Path, tmp_path: Path) -> None:
    elsewhere = project_at(tmp_path / "elsewhere", list(reversed(FILES)))
    first = Release.of(project, artifacts=ARTIFACTS, values={"a": 1, "b": 2})
    second = Release.of(elsewhere, artifacts=ARTIFACTS[::-1], values={"b": 2, "a": 1})
    assert (first.digest, first.body) == (second.digest, second.body)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "roles/master/role.yaml").write_text("version: 2\n"),
        lambda root: (root / "roles/master/motd.j2").write_text(""),
        lambda root: (root / "roles/master/role.yaml").unlink(),
        lambda root: (root / "roles/master/role.yaml").rename(root / "roles/master/other.yaml"),
        lambda root: (root / "packages/kafka/check.sh").chmod(0o600),
    ],
)
def test_any_change_is_another_release(project: Path, change: Callable[[Path], object]) -> None:
    before = Release.of(project).digest
    change(project)
    assert Release.of(project).digest != before


@pytest.mark.parametrize(
    "name", ["stacks/__pycache__/a.pyc", "stacks/a.pyc", "README.md", "roles/master/role.yaml~", "src/x.py"]
)
def test_what_is_not_declared_is_left_out(project: Path, name: str) -> None:
    before = Release.of(project).digest
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text("x")
    assert Release.of(project).digest == before


def test_artifacts_and_values_are_part_of_it(project: Path) -> None:
    digests = {
        Release.of(project).digest,
        Release.of(project, artifacts=ARTIFACTS).digest,
        Release.of(project, values={"a": 1}).digest,
    }
    assert len(digests) == 3


def test_the_commit_is_told_but_not_part_of_it(project: Path) -> None:
    before = Release.of(project)
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    clean = Release.of(project)
    (project / "README.md").write_text("not declared")
    assert Release.of(project).entry("apply") == clean.entry("apply")
    (project / "Pulumi.yaml").write_text("name: other\n")
    dirty = Release.of(project)
    assert before.digest == clean.digest
    assert [made.made_by.dirty for made in (before, clean, dirty)] == [False, False, True]
    assert before.made_by.commit is None
    assert clean.made_by.commit == dirty.made_by.commit != None  # noqa: E711 - a chain
    assert clean.entry("apply").commit == clean.made_by.commit


def test_a_link_is_refused(project: Path) -> None:
    (project / "roles/link").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="roles/link: is a link"):
        Release.of(project)


def releases(world: World, keyring: Keyring = KEYRING) -> Releases:
    return Releases(store=world.store, environment="dev", keyring=keyring)


def keys(made: Release) -> tuple[str, str]:
    """Of its sealed document, and of its bundle."""
    return f"releases/dev/{made.digest}.json", f"bundles/{sha256(made.body).hexdigest()}.tar.gz"


def test_it_unpacks_to_what_it_was_made_of(project: Path, tmp_path: Path, world: World) -> None:
    made = Release.of(project, artifacts=ARTIFACTS, values={"a": [1, {"b": None}]})
    assert [releases(world).save(made) for _ in range(2)] == [made.digest] * 2
    loaded = releases(world).load(made.digest)
    loaded.unpack(tmp_path / "unpacked")
    assert {a.name for a in loaded.artifacts} == {"a.tgz", "b.tgz"}
    assert loaded.values == {"a": [1, {"b": None}]}
    assert loaded.made_by == made.made_by
    again = Release.of(tmp_path / "unpacked", artifacts=loaded.artifacts, values=loaded.values)
    assert again.digest == made.digest
    assert (tmp_path / "unpacked/packages/kafka/check.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "unpacked/Pulumi.yaml").stat().st_mode & 0o777 == 0o644


def test_what_keeps_a_release_is_retained(project: Path, aws: Clients) -> None:
    world, made = of_bucket(aws.s3(REGION)), Release.of(project)
    releases(world).save(made)
    modes = {key: aws.s3(REGION).head_object(Bucket=BUCKET, Key=key)["ObjectLockMode"] for key in keys(made)}
    assert modes == dict.fromkeys(keys(made), "GOVERNANCE")


def test_one_that_is_not_there_is_missing(memory: World) -> None:
    with pytest.raises(Missing):
        releases(memory).load("0" * 64)


@pytest.mark.parametrize("digest", ["", "a" * 63, "A" * 64, "../keys/dev/1", "a" * 64 + "\n"])
def test_what_is_no_digest_is_not_looked_for(memory: World, digest: str) -> None:
    with pytest.raises(InputError, match="is no digest of a release"):
        releases(memory).load(digest)


def packed(members: Sequence[tuple[str, bytes]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(packed.getvalue())


def unpacked(body: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as archive:
        return {m.name: (archive.extractfile(m) or io.BytesIO()).read() for m in archive.getmembers()}


def repacked(body: bytes, change: Callable[[dict[str, bytes]], object]) -> bytes:
    members = unpacked(body)
    change(members)
    return packed(list(members.items()))


def replace_in_manifest(old: bytes, new: bytes) -> Callable[[dict[str, bytes]], object]:
    def change(files: dict[str, bytes]) -> None:
        assert old in files["manifest.json"]
        files["manifest.json"] = files["manifest.json"].replace(old, new)

    return change


def linked(body: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("stacks/link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    return gzip.compress(packed.getvalue())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda body: body[:-100], "is torn"),
        (lambda body: body[:40], "is torn"),
        (lambda body: b"", "is torn|has no manifest"),
        (lambda body: b"no gzip", "is torn"),
        (lambda body: gzip.compress(b"no tar" * 200), "is torn"),
        (lambda body: repacked(body, lambda files: files.update({"Pulumi.yaml": b"evil"})), "says: Pulumi.yaml"),
        (lambda body: repacked(body, lambda files: files.update({"stacks/more": b"x"})), "says: stacks/more"),
        (lambda body: repacked(body, lambda files: files.update({"../evil": b"x"})), "evil"),
        (lambda body: repacked(body, lambda files: files.pop("Pulumi.yaml")), "says: Pulumi.yaml"),
        (lambda body: repacked(body, lambda files: files.pop("manifest.json")), "has no manifest"),
        (lambda body: repacked(body, replace_in_manifest(b"a" * 64, b"c" * 64)), "its manifest was altered"),
        (lambda body: repacked(body, replace_in_manifest(b'"executable":true', b'"executable":false')), "was altered"),
        (lambda body: repacked(body, replace_in_manifest(b'"format":1', b'"format":9')), "cannot read"),
        (lambda body: repacked(body, replace_in_manifest(b'"size":2', b'"size":"x"')), "cannot read"),
        (lambda body: packed([("manifest.json", b"[" * 100_000)]), "cannot read"),
        (lambda body: packed([("manifest.json", b"[]")]), "cannot read"),
        (lambda body: packed([("manifest.json", b'{"files":{},"values":{"a":"\\ud800"}}')]), "is not text"),
        (lambda body: packed([("manifest.json", b"\xff")]), "cannot read"),
        (lambda body: packed([("a", b"1"), ("a", b"2")]), "holds what no bundle may: 'a'"),
        (linked, "holds what no bundle may: 'stacks/link'"),
    ],
)
def test_damage_is_found(project: Path, damage: Callable[[bytes], bytes], words: str) -> None:
    made = Release.of(project, artifacts=ARTIFACTS)
    with pytest.raises(JournalDamaged, match=words):
        replace(made, body=damage(made.body)).verify()


@pytest.mark.parametrize(
    "names",
    [
        ["../evil"],
        ["/etc/evil"],
        ["stacks/../../evil"],
        ["stacks//a"],
        ["stacks/./a"],
        ["README.md"],
        [".git/hooks/post-checkout"],
        [".rekindle-release"],
        ["stacks/a\nb"],
        ["stacks/a", "stacks/a/b"],
    ],
)
def test_a_release_writes_what_a_project_declares_and_nowhere_else(tmp_path: Path, names: list[str]) -> None:
    """One that is whole by its own manifest, as somebody with the environment's key could make it."""
    files = dict.fromkeys(names, b"x")
    manifest = Manifest(files={name: FileDigest(sha256=sha256(b"x").hexdigest()) for name in names})
    forged = Release(
        digest(manifest.model_dump(mode="json")),
        packed([("manifest.json", canonical(manifest.model_dump(mode="json"))), *files.items()]),
        MadeBy(rekindle_version="1"),
    )
    with pytest.raises(JournalDamaged, match="are not a project's"):
        forged.unpack(tmp_path / "in" / "into")
    assert list(tmp_path.rglob("*")) == []


# What somebody without the environment's key puts there


def forge_bundle(memory: World, made: Release) -> None:
    memory.replace(keys(made)[1], gzip.compress(b"evil"))


def forge_both(memory: World, made: Release) -> None:
    """A whole bundle of another program, and a document that names it, sealed by a key of the forger's own."""
    evil = repacked(made.body, lambda files: files.update({"Pulumi.yaml": b"evil"}))
    bundle = sha256(evil).hexdigest()
    memory.replace(f"bundles/{bundle}.tar.gz", evil)
    sealed = {"bundle": bundle, "size": len(evil), "made_by": {"rekindle_version": "1"}}
    memory.replace(keys(made)[0], seal(Keyring(b"e" * 32), keys(made)[0], sealed))


def forge_maker(memory: World, made: Release) -> None:
    body = memory.store.get(keys(made)[0])
    assert b'"dirty":false' in body
    memory.replace(keys(made)[0], body.replace(b'"dirty":false', b'"dirty":true'))


def swap(memory: World, made: Release) -> None:
    other = replace(made, digest="0" * 64)
    memory.store.create(keys(other)[0], seal(KEYRING, keys(other)[0], {}))
    memory.replace(keys(made)[0], memory.store.get(keys(other)[0]))


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (forge_bundle, "is not the bundle that was sealed: nothing of it was unpacked"),
        (forge_both, "its MAC is wrong"),
        (forge_maker, "its MAC is wrong"),
        (swap, "is another object under this name"),
        (lambda folder, made: folder.remove(keys(made)[1]), "bundles/.* is missing"),
    ],
)
def test_nothing_of_a_forgery_is_decompressed(
    project: Path, memory: World, monkeypatch: pytest.MonkeyPatch, forge: Any, words: str
) -> None:
    made = Release.of(project)
    releases(memory).save(made)
    forge(memory, made)
    monkeypatch.setattr(gzip, "GzipFile", None)
    for use in (lambda: releases(memory).load(made.digest), lambda: releases(memory).save(made)):
        with pytest.raises(JournalDamaged, match=words):
            use()
        if "missing" in words:
            break  # saving puts it back


def test_what_was_put_in_its_way_before_is_found_when_it_is_saved(project: Path, memory: World) -> None:
    made = Release.of(project)
    memory.store.create(keys(made)[1], b"planted")
    with pytest.raises(JournalDamaged, match="is not the bundle that was sealed"):
        releases(memory).save(made)


def test_a_bundle_packed_otherwise_before_is_the_same_release(project: Path, memory: World) -> None:
    made = Release.of(project)
    other = replace(made, body=repacked(made.body, lambda files: None))
    assert other.body != made.body
    assert [releases(memory).save(release) for release in (other, made)] == [made.digest] * 2
    assert releases(memory).load(made.digest) == other


@pytest.mark.parametrize("content", [{}, {"bundle": "x", "size": 1, "made_by": {}}, {"bundle": 1}, {"more": 1}])
def test_an_odd_document_with_the_right_seal_is_named(memory: World, content: dict[str, Any]) -> None:
    key = f"releases/dev/{'a' * 64}.json"
    memory.store.create(key, seal(KEYRING, key, content))
    with pytest.raises(JournalDamaged, match=r"releases/dev/a+\.json: says of a release"):
        releases(memory).load("a" * 64)


# Sizes


@pytest.mark.parametrize("name", ["stacks/zeros", "manifest.json"])
def test_a_bundle_that_unpacks_to_more_than_any_may_is_given_up_early(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(release, "MOST_UNPACKED", 2**20)
    bomb = packed([(name, bytes(2**26))])
    assert len(bomb) < 2**17
    tracemalloc.start()
    with pytest.raises(JournalDamaged, match="has more than 1048576 bytes unpacked"):
        Release("0" * 64, bomb, MadeBy(rekindle_version="1")).verify()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


@pytest.mark.parametrize(("spare", "is_opened"), [(0, True), (-1, False)])
def test_a_bundle_may_have_all_bytes_that_one_may_have(
    project: Path, monkeypatch: pytest.MonkeyPatch, spare: int, is_opened: bool
) -> None:
    made = Release.of(project)
    monkeypatch.setattr(release, "MOST_UNPACKED", len(gzip.decompress(made.body)) + spare)
    if is_opened:
        made.verify()
    else:
        with pytest.raises(JournalDamaged, match="bytes unpacked"):
            made.verify()


@pytest.mark.parametrize(("size", "is_one"), [(0, True), (1, True), (-1, False)])
def test_an_artifact_may_be_empty(size: int, is_one: bool) -> None:
    if is_one:
        assert Artifact(name="a", url="", sha256="a" * 64, size=size).size == size
    else:
        with pytest.raises(ValueError, match="size"):
            Artifact(name="a", url="", sha256="a" * 64, size=size)


def test_a_bundle_of_many_files_is_given_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "MOST_FILES", 3)
    bomb = packed([(f"stacks/{number}", b"") for number in range(9)])
    with pytest.raises(JournalDamaged, match="'stacks/4'"):
        Release("0" * 64, bomb, MadeBy(rekindle_version="1")).verify()


@pytest.mark.parametrize(("limit", "most"), [("MOST_FILES", len(FILES)), ("MOST_UNPACKED", 2**13)])
def test_what_could_not_be_opened_again_is_not_packed(
    project: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    (project / "roles/master/role.yaml").write_text("x" * 1000)
    monkeypatch.setattr(release, limit, most)
    with pytest.raises(InputError, match=r"too much for a release; the largest is roles/master/role\.yaml"):
        Release.of(project)


@given(st.binary(max_size=600) | st.binary(max_size=600).map(gzip.compress))
def test_no_bytes_make_verify_fail_otherwise(body: bytes) -> None:
    with pytest.raises(JournalDamaged):
        Release("0" * 64, body, MadeBy(rekindle_version="1")).verify()


@given(st.data())
def test_no_altered_archive_makes_verify_fail_otherwise(data: st.DataObject) -> None:
    archive = bytearray(gzip.decompress(packed([("manifest.json", b"{}"), ("stacks/a", b"x" * 600)])))
    for _ in range(data.draw(st.integers(1, 8))):
        archive[data.draw(st.integers(0, 2047))] = data.draw(st.integers(0, 255))
    with pytest.raises(JournalDamaged):
        Release("0" * 64, gzip.compress(bytes(archive)), MadeBy(rekindle_version="1")).verify()


WHOLE = Manifest(
    files={"stacks/a": FileDigest(sha256=sha256(b"x").hexdigest())},
    artifacts=(ARTIFACTS[0],),
    values={"a": [1, {"b": None}]},
).model_dump(mode="json")


@given(odd_documents(WHOLE))
def test_no_odd_manifest_makes_verify_fail_otherwise(manifest: dict[str, Any]) -> None:
    made = Release("0" * 64, packed([("manifest.json", json.dumps(manifest).encode())]), MadeBy(rekindle_version="1"))
    with pytest.raises(JournalDamaged):
        made.verify()


SEALED = {"bundle": "a" * 64, "size": 1, "made_by": {"rekindle_version": "1", "commit": None, "dirty": False}}


@given(odd_documents(SEALED))
def test_no_odd_document_with_the_right_seal_makes_load_fail_otherwise(content: dict[str, Any]) -> None:
    key = f"releases/dev/{'a' * 64}.json"
    with pytest.raises(JournalDamaged):
        Releases(store=Holding({key: seal(KEYRING, key, content)}), environment="dev", keyring=KEYRING).load("a" * 64)


def test_a_full_disk_is_told_in_three_sentences(project: Path, tmp_path: Path) -> None:
    (tmp_path / "full").write_text("no folder")
    with pytest.raises(InputError, match="cannot be unpacked: File exists") as caught:
        Release.of(project).unpack(tmp_path / "full")
    assert caught.value.where
    assert caught.value.next_step


@pytest.mark.parametrize("name", ["stacks/a\nb", "stacks/\udcff"])
def test_a_name_that_is_no_text_is_refused(project: Path, name: str) -> None:
    (project / name).write_text("")
    with pytest.raises(InputError, match="is not plain text"):
        Release.of(project)
