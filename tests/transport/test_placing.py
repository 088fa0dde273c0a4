"""Root puts files into folders that a service user owns, while that user does what it can to lead them elsewhere."""

import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from rekindle.errors import InputError
from rekindle.transport import PutFile, files
from rekindle.transport.shell import PLACES, aside_of, line

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")

NOBODY = 65534
SHELLS = ("sh", "bash --posix")  # Debian's, which is dash, and EL7's


def put(
    *given: PutFile, gone: Sequence[str] = (), before: str = "", after: str = "", shell: str = "sh"
) -> subprocess.CompletedProcess[str]:
    """The stream as a host receives it."""
    whole = files.stream(given, gone=gone, before=before, after=after)
    receive = files.RECEIVE.replace(" sh ./run", f" {shell} ./run")
    done = subprocess.run([*shell.split(), "-c", receive], input=whole, capture_output=True, check=False)
    return subprocess.CompletedProcess("put", done.returncode, done.stdout.decode(), done.stderr.decode())


def run(text: str, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    """Shell text of root's, with the functions that hosts have."""
    script = f"set -eu\numask 022\n{PLACES}{text}"
    return subprocess.run([*shell.split(), "-c", script], capture_output=True, text=True, check=False)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder of root's that all may pass through, and beside it root's own things."""
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "shadow").write_text("root's")
    return tmp_path


@pytest.fixture
def theirs(top: Path) -> Path:
    """A folder that nobody owns."""
    folder = top / "theirs"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return folder


def is_unharmed(top: Path) -> bool:
    etc = top / "etc"
    return (
        [path.name for path in etc.iterdir()] == ["shadow"]
        and (etc / "shadow").read_text() == "root's"
        and all(
            (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode) & 0o022) == (0, 0) for path in (etc, etc / "shadow")
        )
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_files_appear_whole_with_owner_and_mode_in_folders_of_anyone(top: Path, theirs: Path, shell: str) -> None:
    made = [
        PutFile(path=f"{theirs}/deep/er/secret", content=b"s\x00cret", mode=0o600, owner="nobody", group="nogroup"),
        PutFile(path=f"{top}/it's a name", content=b"new"),
    ]
    (top / "it's a name").write_text("old")
    old = (top / "it's a name").stat().st_ino
    done = put(
        *made, before=f"test ! -e {theirs}/deep\n", after=f"test -e {theirs}/deep/er/secret; echo after", shell=shell
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "after\n")
    secret = theirs / "deep" / "er" / "secret"
    assert secret.read_bytes() == b"s\x00cret"
    assert (secret.owner(), secret.group(), stat.S_IMODE(secret.stat().st_mode)) == ("nobody", "nogroup", 0o600)
    assert (top / "it's a name").stat().st_ino != old, "renamed into place, not written into"
    assert not list(top.rglob(".rekindle*"))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "trap",
    [
        "ln -s {top}/etc/shadow {theirs}/f",
        "ln -s {top}/etc/new {theirs}/f",
        "ln {top}/etc/shadow {theirs}/f",
        "ln -s {top}/etc {theirs}/{aside}",
        "ln -s {top}/etc/shadow {theirs}/.f.rekindle",
        "mkdir {theirs}/{aside}; ln -s {top}/etc/shadow {theirs}/{aside}/new; chmod 777 {theirs}/{aside}",
        "mkfifo {theirs}/f",
    ],
)
def test_what_is_in_the_files_place_is_replaced_and_never_followed(
    top: Path, theirs: Path, trap: str, shell: str
) -> None:
    path = f"{theirs}/f"
    subprocess.run(["sh", "-c", trap.format(top=top, theirs=theirs, aside=aside_of(path))], check=True)
    done = put(PutFile(path=path, content=b"x", mode=0o640, owner="nobody", group="nogroup"), shell=shell)
    assert done.returncode == 0, done.stderr
    assert is_unharmed(top)
    assert (theirs / "f").read_bytes() == b"x"
    assert not (theirs / "f").is_symlink()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("step", ["put", "remove_file", "remove_folder", "make_folder", "fetch"])
@pytest.mark.parametrize("link", ["conf", "conf/deep"])
def test_a_link_that_others_made_on_the_way_is_refused(
    top: Path, theirs: Path, step: str, link: str, shell: str
) -> None:
    (theirs / link).parent.mkdir(exist_ok=True)
    (theirs / link).symlink_to(top / "etc")
    for made in (theirs / link, (theirs / link).parent):
        os.chown(made, NOBODY, NOBODY, follow_symlinks=False)
    (top / "etc" / "empty").mkdir()
    path = f"{theirs}/{link}/shadow"
    match step:
        case "put":
            done = put(PutFile(path=path, content=b"x"), shell=shell)
        case "make_folder":
            done = run(line("make_folder", "0777", "nobody:nogroup", f"{theirs}/{link}"), shell)
        case "remove_folder":
            done = run(line("remove_folder", f"{theirs}/{link}/empty"), shell)
        case "fetch":
            done = run(line("aside", f"{theirs}/{link}", "x"), shell)
        case _:
            done = run(line(step, path), shell)
    assert done.returncode != 0
    assert f"{theirs}/{link} is a link that others than root may have made" in done.stderr
    (top / "etc" / "empty").rmdir()
    assert is_unharmed(top)


@pytest.mark.parametrize("shell", SHELLS)
def test_links_of_root_in_folders_of_root_are_followed(top: Path, shell: str) -> None:
    (top / "usr" / "lib").mkdir(parents=True)
    (top / "lib").symlink_to("usr/lib")
    (top / "usr" / "lib" / "up").symlink_to("../../usr/./lib")
    (top / "usr" / "lib" / "whole").symlink_to(top / "lib" / "up")
    assert put(PutFile(path=f"{top}/lib/up/whole/new/f", content=b"x"), shell=shell).returncode == 0
    assert (top / "usr" / "lib" / "new" / "f").read_bytes() == b"x"


def test_links_without_end_are_refused(top: Path) -> None:
    (top / "a").symlink_to("b")
    (top / "b").symlink_to("a")
    assert put(PutFile(path=f"{top}/a/f", content=b"x")).returncode != 0


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_link_in_a_folder_that_others_may_change_is_nobodys_word(top: Path, mode: int) -> None:
    (top / "shared").mkdir()
    (top / "shared").chmod(mode)
    (top / "shared" / "link").symlink_to(top / "etc")
    assert "is a link" in put(PutFile(path=f"{top}/shared/link/f", content=b"x")).stderr
    assert is_unharmed(top)


@pytest.mark.parametrize(("name", "problem"), [("missing", ""), ("full", "not empty")])
def test_what_is_no_empty_folder_is_not_removed(top: Path, name: str, problem: str) -> None:
    (top / "full").mkdir()
    (top / "full" / "x").touch()
    done = run(line("remove_folder", f"{top}/{name}"))
    assert (done.returncode == 0) == (not problem)
    assert problem in done.stderr
    assert (top / "full" / "x").exists()


def test_a_folder_is_made_so_and_removed_when_empty(top: Path, theirs: Path) -> None:
    path = theirs / "a" / "b"
    assert run(line("make_folder", "0750", "nobody:root", str(path))).returncode == 0
    assert (path.owner(), path.group(), stat.S_IMODE(path.stat().st_mode)) == ("nobody", "root", 0o750)
    assert (path.parent.owner(), stat.S_IMODE(path.parent.stat().st_mode)) == ("root", 0o755)
    assert run(line("remove_folder", str(path))).returncode == 0
    assert not path.exists()


@pytest.mark.parametrize("stray", ["missing/f", "f"])
def test_removing_what_is_not_there_is_no_error(top: Path, stray: str) -> None:
    assert put(gone=[f"{top}/{stray}"]).returncode == 0


def test_files_that_are_gone_are_gone(top: Path, theirs: Path) -> None:
    (theirs / "secret").write_text("x")
    (theirs / "link").symlink_to(top / "etc" / "shadow")
    order = f"test ! -e {theirs}/secret; test -e {theirs}/kept; echo in order"
    done = put(PutFile(path=f"{theirs}/kept", content=b"k"), gone=[f"{theirs}/secret", f"{theirs}/link"], after=order)
    assert done.stdout == "in order\n"
    assert [path.name for path in theirs.iterdir()] == ["kept"]
    assert is_unharmed(top)


@pytest.mark.parametrize("bad", [{"owner": "no-such-user"}, {"path": "{top}/etc/shadow/under"}])
def test_no_file_is_placed_before_all_are_made(top: Path, bad: dict[str, str]) -> None:
    (top / "good").write_text("old")
    second = PutFile(content=b"x", **{"path": f"{top}/bad", **{k: v.format(top=top) for k, v in bad.items()}})
    done = put(PutFile(path=f"{top}/good", content=b"new"), second, gone=[f"{top}/etc/shadow"], after="echo after")
    assert done.returncode != 0
    assert is_unharmed(top), "nothing is removed either"
    assert "after" not in done.stdout
    assert (top / "good").read_text() == "old"
    assert not list(top.rglob(".rekindle*")), "and nothing is left aside"


@pytest.mark.parametrize("before", ["false\n", "exit 3\n", "nonsense\n"])
def test_nothing_is_made_when_what_comes_before_fails(top: Path, before: str) -> None:
    assert put(PutFile(path=f"{top}/f", content=b"x"), gone=[f"{top}/etc/shadow"], before=before).returncode != 0
    assert not (top / "f").exists()
    assert is_unharmed(top)


def test_a_stream_cut_short_changes_nothing(top: Path) -> None:
    whole = files.stream([PutFile(path=f"{top}/big", content=b"x" * 500_000)])
    for size in (0, 600, 200_000, len(whole) - 11_000):
        done = subprocess.run(["sh", "-c", files.RECEIVE], input=whole[:size], capture_output=True, check=False)
        assert done.returncode != 0
    assert not (top / "big").exists()


def test_a_stream_that_does_not_come_whole_is_not_run(top: Path) -> None:
    """A full disk, or a cut, after the script has come: tar says so, and goes on."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in (("run", f"touch {top}/ran".encode()), ("file-0", b"x" * 50_000)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    whole = buffer.getvalue()
    for body, ran in ((whole[:30_000], False), (whole, True)):
        done = subprocess.run(["sh", "-c", files.RECEIVE], input=body, capture_output=True, check=False)
        assert ((done.returncode == 0), (top / "ran").exists()) == (ran, ran)


def test_what_root_makes_may_be_passed_through(top: Path) -> None:
    """Secrets lie beneath /var/lib/rekindle, and tasks of other users go there."""
    assert put(before="umask\n", after="umask").stdout == "0022\n0022\n"


# What a killed run leaves


def streams_of(content: bytes) -> list[Path]:
    """Files of streams that hold it, or as much of it as has come."""
    found = [path for path in Path(files.STREAMS).rglob("file-*") if path.read_bytes()]
    return [path for path in found if content.startswith(path.read_bytes())]


def test_streams_are_kept_where_only_root_may_look_and_memory_forgets(top: Path) -> None:
    look = f"stat -c %a {files.STREAMS} . file-0\n"
    done = put(PutFile(path=f"{top}/f", content=b"seen while it was placed"), before=look)
    assert done.stdout == "700\n700\n600\n"
    assert files.STREAMS.startswith("/run/")
    assert not streams_of(b"seen while it was placed")


@pytest.mark.parametrize("when", ["as it waits for its stream", "as it places"])
def test_what_a_killed_receiver_left_is_swept_by_the_next(top: Path, when: str) -> None:
    secret = f"secret of {os.getpid()} {when}".encode() * 1000
    hang = "while :; do sleep 0.01; done\n"
    whole = files.stream([PutFile(path=f"{top}/f", content=secret)], after="" if when.endswith("stream") else hang)
    kept = whole if when == "as it places" else whole[: len(secret)]
    receiver = subprocess.Popen(["sh", "-c", files.RECEIVE], stdin=subprocess.PIPE, start_new_session=True)
    assert receiver.stdin
    receiver.stdin.write(kept)
    receiver.stdin.flush()
    _until(lambda: streams_of(secret) and (when != "as it places" or (top / "f").exists()))
    os.killpg(receiver.pid, signal.SIGKILL)
    receiver.wait()
    assert streams_of(secret), "nothing could sweep it"
    assert put().returncode == 0
    assert not streams_of(secret)


def test_files_aside_of_a_killed_run_are_swept_by_the_next(top: Path, theirs: Path) -> None:
    killed = PutFile(path=f"{theirs}/f", content=b"secret")
    whole = files.script([killed]).replace(line("place", killed.path, aside_of(killed.path)), "kill -KILL $$\n")
    assert "kill -KILL" in whole
    (top / "file-0").write_bytes(b"secret")
    lock = ["flock", files.LOCK]
    assert subprocess.run([*lock, "sh", "-c", whole], cwd=top, check=False).returncode == 137
    assert (theirs / aside_of(killed.path) / "new").read_bytes() == b"secret"
    assert put().returncode == 0
    assert not list(theirs.iterdir())
    assert not Path(files.STAGED).exists()


# An attacker at work


ATTACKER = """
import os, sys
theirs, etc, aside = sys.argv[1:4]
os.setgid({nobody}); os.setuid({nobody})
def attempt(do, *args):
    try: do(*args)
    except OSError: pass
print("ready", flush=True)
while True:
    attempt(os.rename, theirs + "/conf", theirs + "/moved")
    attempt(os.symlink, etc, theirs + "/conf")
    attempt(os.symlink, etc + "/shadow", theirs + "/conf/f")
    attempt(os.unlink, theirs + "/conf")
    attempt(os.rename, theirs + "/moved", theirs + "/conf")
    attempt(os.rename, theirs + "/conf/" + aside, theirs + "/conf/away")
    attempt(os.symlink, etc, theirs + "/conf/" + aside)
    attempt(os.unlink, theirs + "/conf/" + aside)
    attempt(os.mkdir, theirs + "/conf/" + aside)
    attempt(os.rmdir, theirs + "/conf/" + aside)
    attempt(os.rename, theirs + "/conf/away", theirs + "/conf/" + aside)
    attempt(os.unlink, theirs + "/conf/f")
    attempt(os.symlink, etc + "/shadow", theirs + "/conf/f")
"""


@contextmanager
def attacked(top: Path, theirs: Path, aside: str) -> Iterator[None]:
    """Nobody swaps folders, links and names as fast as it can."""
    program = ATTACKER.format(nobody=NOBODY)
    command = [sys.executable, "-I", "-c", program, str(theirs), str(top / "etc"), aside]
    attacker = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert attacker.stdout
        assert attacker.stdout.readline() == b"ready\n"
        yield
    finally:
        attacker.kill()
        attacker.wait()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("path", ["conf", "conf/deep"])
def test_a_folder_that_becomes_a_link_as_it_is_entered_is_refused(
    top: Path, theirs: Path, path: str, shell: str
) -> None:
    swap = f'swap() {{ ln -s {top}/etc "$1"; }}\n'
    done = run(f"{swap}enter {theirs}/{path} swap\ntouch here\n", shell)
    assert f"{theirs}/conf became a link" in done.stderr
    assert done.returncode != 0
    assert is_unharmed(top)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("swap", "says"),
    [
        ("mkdir -m 0755 x", "was swapped"),
        ("mkdir -m 0700 x; chown nobody x", "was swapped"),
        ("mkdir -m 1700 x", "was swapped"),
        ("ln -s {top}/etc x", "became a link"),
        ("mkdir -m 0700 {top}/etc/own; ln -s {top}/etc/own x", "became a link"),
        (":", "became a link"),
    ],
)
def test_a_folder_aside_is_roots_alone_or_nothing_is_done(
    top: Path, theirs: Path, swap: str, says: str, shell: str
) -> None:
    done = run(f"cd {theirs}; {swap.format(top=top)}\ninto x\ntouch here\n", shell)
    assert says in done.stderr
    assert done.returncode != 0
    assert not list(top.rglob("here"))


@pytest.mark.parametrize("mode", ["0700", "2700"])
def test_a_folder_aside_is_entered(theirs: Path, mode: str) -> None:
    assert run(f"cd {theirs}; mkdir -m {mode} x\ninto x\ntouch here\n").returncode == 0
    assert (theirs / "x" / "here").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_race_is_never_won(top: Path, theirs: Path, shell: str) -> None:
    """Each try either places the file where it belongs, or refuses; nothing of root's is touched."""
    (theirs / "conf").mkdir()
    os.chown(theirs / "conf", NOBODY, NOBODY)
    path = f"{theirs}/conf/f"
    body = "\n".join(
        [
            f"staging={top}; cd {top}",
            files.STAGE.split("mkdir -p")[0],
            line("stage", "file-0", "0666", "nobody:nogroup", path, aside_of(path)),
            line("place", path, aside_of(path)),
            line("make_folder", "0777", "nobody:nogroup", f"{theirs}/conf"),
            line("remove_file", f"{theirs}/conf/shadow"),
        ]
    ).replace(files.STAGED, str(top / "staged"))
    (top / "file-0").write_text("x")
    with attacked(top, theirs, aside_of(path)):
        for _ in range(15):
            run(body, shell)
    assert is_unharmed(top)


# Names


@pytest.mark.parametrize(
    "path", ["f", "/", "/a/", "//a", "/a//b", "/a/../b", "/..", "/a\n", "/a\tb", "/a$(id)", "/a\x1b"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="is no path"):
        PutFile(path=path, content=b"")
    with pytest.raises(InputError, match="is no path"):
        files.stream([], gone=[path])


@pytest.mark.parametrize("owner", ["", "a:b", "a b", "-x", "a\n", "$(id)"])
def test_what_is_no_owner_is_refused(owner: str) -> None:
    for given in ({"owner": owner}, {"group": owner}):
        with pytest.raises(InputError, match="no name of a user"):
            PutFile(path="/f", content=b"", **given)


def _until(is_so: Callable[[], object]) -> None:
    for _ in range(500):
        if is_so():
            return
        time.sleep(0.01)
    pytest.fail("it did not come true")
