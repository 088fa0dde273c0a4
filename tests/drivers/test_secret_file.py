"""Secrets on hosts: put as files, read back as keyed digests, gone when nobody declares them."""

import base64
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.drivers.secret_file import READ, SecretFileDriver
from rekindle.errors import CommandFailed, InputError
from rekindle.plan import State, Step
from rekindle.secrets import Keyring, Secret
from rekindle.transport import PutFile

KEYRING = Keyring(b"k" * 32)
PATH = "/var/lib/rekindle/secrets/orders/token"
SUBJECT = f"secret_file:{PATH}"
VALUE = Secret("s3cret-value")
STATE = {"digest": KEYRING.digest(VALUE), "mode": "0600", "owner": "nobody"}


class Host:
    """One host that prints a text, and keeps what it is told to put."""

    def __init__(self, printed: str = "") -> None:
        self.printed = printed
        self.files: list[PutFile] = []
        self.gone: list[str] = []
        self.asked = ""

    def facts(self, host: str, script: str) -> str:
        self.asked = script
        return self.printed

    def put(self, host: str, files: Sequence[PutFile], *, gone: Sequence[str] = ()) -> None:
        self.files, self.gone = list(files), list(gone)


def line(value: str = "s3cret-value", mode: str = "600", owner: str = "nobody", path: str = PATH) -> str:
    return f"{mode} {owner} {base64.b64encode(value.encode()).decode()} {path}\n"


def read(host: Host, *subjects: str) -> dict[str, State | None]:
    return dict(SecretFileDriver(host, KEYRING, {}).read("h", subjects or [SUBJECT]))


def write(before: State | None, after: State | None, subject: str = SUBJECT) -> Host:
    host = Host()
    step = Step(target="h", subject=subject, before=before, after=after)
    SecretFileDriver(host, KEYRING, {PATH: VALUE}).write("h", [step])
    return host


@pytest.mark.parametrize(
    ("printed", "state"),
    [
        (line(), STATE),
        (line(mode="644"), {**STATE, "mode": "0644"}),
        (line(owner="root"), {**STATE, "owner": "root"}),
        (line("another"), {**STATE, "digest": KEYRING.digest(Secret("another"))}),
        (line(""), {**STATE, "digest": KEYRING.digest(Secret(""))}),
        ("", None),
        (line(path="/another"), None),
    ],
)
def test_a_secret_is_known_by_its_digest_mode_and_owner(printed: str, state: State | None) -> None:
    assert read(Host(printed)) == {SUBJECT: state}


def test_what_nobody_declares_any_more_can_be_read_and_removed_without_its_value() -> None:
    """Its value may be gone from the store: the journal names the file, and that is enough."""
    stale = "secret_file:/var/lib/rekindle/secrets/removed/token"
    seen = read(Host(line(path=stale.partition(":")[2])), stale)
    assert seen[stale] == STATE
    host = write(seen[stale], None, stale)
    assert (host.files, host.gone) == ([], [stale.partition(":")[2]])


def test_a_secret_is_put_with_its_mode_and_owner() -> None:
    host = write(None, STATE)
    assert host.files == [PutFile(path=PATH, content=b"s3cret-value", mode=0o600, owner="nobody")]
    assert host.gone == []


def test_a_value_that_is_not_at_hand_is_named_by_its_path_alone() -> None:
    with pytest.raises(InputError, match="the value of /other is not at hand"):
        write(None, STATE, "secret_file:/other")


@pytest.mark.parametrize(
    "printed",
    [
        "600 nobody\n",
        f"600 nobody c2VjcmV0 {PATH}\nnoise\n",
        f"600 nobody c2VjcmV0* {PATH}\n",
        f"600 nobody c2Vjcm {PATH}\n",
        f"600 nobody /w== {PATH}\n",
        f"rw- nobody c2VjcmV0 {PATH}\n",
        f" nobody c2VjcmV0 {PATH}\n",
        f"77777 nobody c2VjcmV0 {PATH}\n",
    ],
)
def test_what_cannot_be_read_is_an_error_that_shows_none_of_it(printed: str) -> None:
    with pytest.raises(CommandFailed, match="secret files could not be read") as caught:
        read(Host(printed))
    assert caught.value.where == "h"
    assert caught.value.next_step
    assert "c2Vjcm" not in str(caught.value)


@settings(max_examples=80)
@given(st.text(max_size=60))
def test_whatever_a_host_prints_is_a_state_or_an_error(printed: str) -> None:
    with suppress(CommandFailed):
        read(Host(printed))


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "it's").write_text("value")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").mkdir()
    host = Host()
    paths = [str(tmp_path / name) for name in ("it's", "link", "folder", "missing")]
    read(host, *(f"secret_file:{path}" for path in paths))
    printed = subprocess.run(["sh", "-s"], input=host.asked, capture_output=True, text=True, check=True).stdout
    assert [text.split(" ", 3)[2:] for text in printed.splitlines()] == [["dmFsdWU=", str(tmp_path / "it's")]]
    assert READ.startswith("for path in")
