"""What is given as a host's key is one, or is said to be none."""

from contextlib import suppress
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.errors import InputError
from rekindle.inventory import Host, Role
from rekindle.transport.host_keys import KnownKey, fingerprint

HOST = Host(name="m", role=Role.MASTER, pool="p", zone="admin", az="z", private_ip=IPv4Address("10.0.0.1"))
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHzUmJsOpLltETmFs2bBQJ5jFcj5zBdCOFHyV3N9uqBK"


def test_a_key_is_known_by_its_fingerprint() -> None:
    parsed = KnownKey(HOST, f"{KEY} root@host", is_new=True).parsed()
    assert fingerprint(parsed).startswith("ED25519 SHA256:")


@pytest.mark.parametrize(
    "text",
    ["", "ssh-ed25519", "ssh-ed25519 AAAA", KEY[:-1], KEY.replace("C3", "!!"), "ssh-rsa AAAA", "a b", "\udcff \udcff"],
)
def test_what_is_no_key_is_said_to_be_none(text: str) -> None:
    with pytest.raises(InputError, match="this is not a host key") as caught:
        KnownKey(HOST, text, is_new=True).parsed()
    assert caught.value.where == "m: host_key"


@settings(max_examples=60)
@given(st.integers(0, len(KEY)), st.text(max_size=4))
def test_any_text_is_a_key_or_an_error(place: int, more: str) -> None:
    with suppress(InputError):
        KnownKey(HOST, KEY[:place] + more + KEY[place + 1 :], is_new=True).parsed()
