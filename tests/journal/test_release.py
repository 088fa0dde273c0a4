"""A release is its content: the same from any folder, and found out if a byte of it is another."""

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from journal_world import World

from rekindle.errors import InputError, JournalDamaged
from rekindle.journal.release import Artifact, Release, Releases
from rekindle.journal.store import Missing

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


def test_it_unpacks_to_what_it_was_made_of(project: Path, tmp_path: Path, world: World) -> None:
    made = Release.of(project, artifacts=ARTIFACTS, values={"a": [1, {"b": None}]})
    Releases(world.store).save(made)
    assert Releases(world.store).save(made) == made.digest
    loaded = Releases(world.store).load(made.digest)
    loaded.unpack(tmp_path / "unpacked")
    assert {a.name for a in loaded.artifacts} == {"a.tgz", "b.tgz"}
    assert loaded.values == {"a": [1, {"b": None}]}
    again = Release.of(tmp_path / "unpacked", artifacts=loaded.artifacts, values=loaded.values)
    assert again.digest == made.digest
    assert (tmp_path / "unpacked/packages/kafka/check.sh").stat().st_mode & 0o777 == 0o755


def test_one_that_is_not_there_is_missing(folder: World) -> None:
    with pytest.raises(Missing):
        Releases(folder.store).load("0" * 64)


def repacked(body: bytes, change: Callable[[dict[str, bytes]], object]) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as archive:
        members = {m.name: (archive.extractfile(m) or io.BytesIO()).read() for m in archive.getmembers()}
    change(members)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(packed.getvalue())


def replace_in_manifest(old: bytes, new: bytes) -> Callable[[dict[str, bytes]], object]:
    def change(files: dict[str, bytes]) -> None:
        assert old in files["manifest.json"]
        files["manifest.json"] = files["manifest.json"].replace(old, new)

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda body: body[:-100], "is torn"),
        (lambda body: b"", "is torn"),
        (lambda body: repacked(body, lambda files: files.update({"Pulumi.yaml": b"evil"})), "Pulumi.yaml"),
        (lambda body: repacked(body, lambda files: files.update({"../evil": b"x"})), "evil"),
        (lambda body: repacked(body, lambda files: files.pop("Pulumi.yaml")), "Pulumi.yaml"),
        (lambda body: repacked(body, lambda files: files.pop("manifest.json")), "has no manifest"),
        (lambda body: repacked(body, replace_in_manifest(b"a" * 64, b"c" * 64)), "its manifest was altered"),
        (lambda body: repacked(body, replace_in_manifest(b'"format": 1', b'"format": 9')), "cannot read"),
    ],
)
def test_damage_is_found(project: Path, damage: Callable[[bytes], bytes], words: str) -> None:
    made = Release.of(project, artifacts=ARTIFACTS)
    with pytest.raises(JournalDamaged, match=words):
        Release(made.digest, damage(made.body)).verify()
