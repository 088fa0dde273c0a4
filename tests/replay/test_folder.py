"""The folder whose program a replay runs: as the release says, byte for byte, but for the settings it writes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rekindle.errors import InputError
from rekindle.journal.release import Release
from rekindle.replay.folder import MARK, Folder

SETTINGS = "stacks/Pulumi.dev-dr.yaml"
FILES = {
    "Pulumi.yaml": "name: rekindle\n",
    "stacks/__main__.py": "print('the program')\n",
    "stacks/components/hosts.py": "HOSTS = 3\n",
    SETTINGS: "config: {}\n",
    "stacks/Pulumi.dev.yaml": "config: {}\n",
    "roles/master/role.yaml": "version: 1\n",
    "packages/kafka/package.yaml": "version: 1\n",
}


def project(folder: Path, **changes: str) -> Path:
    for name, text in {**FILES, **changes}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Unpacked, and nothing happened to it since."""
    release = Release.of(project(tmp_path / "project"))
    made = Folder(path=tmp_path / "night" / "release", release=release, settings=SETTINGS)
    made.unpack()
    return made


def test_a_release_is_unpacked_whole_and_nothing_is_left_beside_it(folder: Folder) -> None:
    assert {p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file()} == {*FILES, MARK}
    assert [p.name for p in folder.path.parent.iterdir()] == ["release"]


def test_settings_that_a_replay_or_its_operator_wrote_are_kept(folder: Folder) -> None:
    (folder.path / SETTINGS).write_text("config: {rekindle:standby: 'false'}\n")
    folder.unpack()
    assert "standby" in (folder.path / SETTINGS).read_text()


def planted(name: str) -> Callable[[Path], None]:
    def plant(path: Path) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("import os; os.system('id')\n")

    return plant


def linked(name: str, target: str) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        file = path / name
        if file.is_dir():
            file.rename(path.parent / "elsewhere")
        else:
            file.unlink(missing_ok=True)
        file.symlink_to(target)

    return link


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (planted("stacks/__main__.py"), "stacks/__main__.py was altered"),
        (planted("stacks/components/hosts.py"), "stacks/components/hosts.py was altered"),
        (planted("Pulumi.yaml"), "Pulumi.yaml was altered"),
        (planted("stacks/Pulumi.dev.yaml"), "stacks/Pulumi.dev.yaml was altered"),  # not the one that it builds
        (planted("roles/master/role.yaml"), "roles/master/role.yaml was altered"),
        (planted("packages/kafka/package.yaml"), "packages/kafka/package.yaml was altered"),
        (planted("stacks/sitecustomize.py"), "stacks/sitecustomize.py is not in this release"),
        (planted("stacks/pulumi/__init__.py"), "stacks/pulumi/__init__.py is not in this release"),
        (planted("stacks/json.pyc"), "stacks/json.pyc is not in this release"),
        (planted("packages/mailer/package.yaml"), "packages/mailer/package.yaml is not in this release"),
        (planted("Pulumi.yml"), "Pulumi.yml is not in this release"),
        (planted(".hidden"), ".hidden is not in this release"),
        (planted("stacks/Pulumi.dev-dr.yaml.py"), "stacks/Pulumi.dev-dr.yaml.py is not in this release"),
        (lambda path: (path / "stacks/components/hosts.py").unlink(), "stacks/components/hosts.py is missing"),
        (lambda path: (path / SETTINGS).unlink(), f"{SETTINGS} is missing"),
        (lambda path: (path / "stacks/__main__.py").chmod(0o755), "stacks/__main__.py has another mode"),
        (linked("stacks/__main__.py", "/etc/hostname"), "stacks/__main__.py is no file"),
        (linked(SETTINGS, "/etc/hostname"), f"{SETTINGS} is no file"),
        (linked("stacks/components", "../../elsewhere"), "stacks/components is no file"),
        (linked("stacks/more", "/tmp"), "stacks/more is no file"),
        (linked("stacks/__pycache__", "/tmp"), "stacks/__pycache__ is no file"),
        (lambda path: os.mkfifo(path / "stacks/pipe"), "stacks/pipe is no file"),
        (planted("__pycache__"), "__pycache__ is not in this release"),
    ],
)
def test_whatever_else_differs_is_refused_by_its_name(folder: Folder, harm: Callable[[Path], None], said: str) -> None:
    harm(folder.path)
    with pytest.raises(InputError) as refused:
        folder.unpack()
    assert refused.value.what == said
    assert SETTINGS in refused.value.next_step
    with pytest.raises(InputError), folder.copied():
        pass


def test_bytecode_is_never_trusted(folder: Folder) -> None:
    forged = folder.path / "stacks" / "__pycache__" / "__main__.cpython-311.pyc"
    planted("stacks/__pycache__/__main__.cpython-311.pyc")(folder.path)
    planted("stacks/components/__pycache__/deep/hosts.cpython-311.pyc")(folder.path)
    with folder.copied() as copy:
        assert not list(copy.path.rglob("*.pyc"))
    assert forged.exists()  # a plan changes nothing
    folder.unpack()
    assert not list(folder.path.rglob("__pycache__"))


def test_a_folder_of_another_release_is_not_used(folder: Folder, tmp_path: Path) -> None:
    other = Release.of(project(tmp_path / "other", **{SETTINGS: "config: {other: 1}\n"}))
    with pytest.raises(InputError, match="something else than this release"):
        Folder(path=folder.path, release=other, settings=SETTINGS).unpack()
    with Folder(path=folder.path, release=other, settings=SETTINGS).copied() as copy:
        assert "other" in (copy.path / SETTINGS).read_text()


def test_a_folder_that_holds_something_is_not_used(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="something else than this release"):
        Folder(path=tmp_path / "mine", release=folder.release, settings=SETTINGS).unpack()
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_what_a_killed_unpacking_left_is_no_release_and_in_nobodys_way(folder: Folder, tmp_path: Path) -> None:
    half = tmp_path / "day" / ".release.unpacking"
    half.mkdir(parents=True)
    (half / "evil.py").write_text("left")
    again = Folder(path=tmp_path / "day" / "release", release=folder.release, settings=SETTINGS)
    again.unpack()
    assert not (again.path / "evil.py").exists()


def test_a_copy_has_the_settings_and_is_gone_afterwards(folder: Folder) -> None:
    (folder.path / SETTINGS).write_text("config: {mended: 1}\n")
    with folder.copied() as copy:
        assert "mended" in (copy.path / SETTINGS).read_text()
        assert copy.path != folder.path
        kept = copy.path
    assert not kept.exists()


def test_a_copy_of_what_is_not_there_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    with Folder(path=tmp_path / "day" / "release", release=folder.release, settings=SETTINGS).copied() as copy:
        assert (copy.path / "Pulumi.yaml").is_file()
    assert not (tmp_path / "day").exists()
