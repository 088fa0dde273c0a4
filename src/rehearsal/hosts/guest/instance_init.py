#!/usr/bin/python3
"""What cloud-init does on a real AMI, as far as Rekindle needs it.

`identity` (before sshd): host keys, host name, the login key, host keys to the console.
`user-data` (after sshd): the instance's `#!` user data, run as root, once in its life.
"""

# ruff: noqa: S310 (the only address asked is the metadata service)

import os
import pathlib
import pwd
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

METADATA = "http://169.254.169.254/latest"
LOGIN_USER = "admin"
STATE = pathlib.Path("/var/lib/instance-init")
KEY_TYPES = ("ecdsa", "ed25519", "rsa")


def token() -> str:
    request = urllib.request.Request(
        f"{METADATA}/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    )
    for _ in range(50):
        try:
            return str(urllib.request.urlopen(request, timeout=2).read().decode())
        except OSError:
            time.sleep(0.1)
    sys.exit("instance-init: the metadata service does not answer")


def metadata(path: str, session: str) -> bytes | None:
    request = urllib.request.Request(f"{METADATA}/{path}", headers={"X-aws-ec2-metadata-token": session})
    try:
        return bytes(urllib.request.urlopen(request, timeout=5).read())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def make_host_keys() -> None:
    for kind in KEY_TYPES:
        path = pathlib.Path(f"/etc/ssh/ssh_host_{kind}_key")
        if not path.exists():
            size = ["-b", "2048"] if kind == "rsa" else []
            subprocess.run(
                ["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", f"root@{socket.gethostname()}", "-f", path],
                check=True,
            )


def set_hostname(name: str) -> None:
    socket.sethostname(name)
    pathlib.Path("/etc/hostname").write_text(f"{name}\n")
    pathlib.Path("/etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")


def authorize(public_key: bytes) -> None:
    user = pwd.getpwnam(LOGIN_USER)
    directory = pathlib.Path(user.pw_dir) / ".ssh"
    directory.mkdir(mode=0o700, exist_ok=True)
    keys = directory / "authorized_keys"
    keys.write_bytes(public_key.strip() + b"\n")
    keys.chmod(0o600)
    for path in (directory, keys):
        os.chown(path, user.pw_uid, user.pw_gid)


def print_host_keys() -> None:
    lines = [pathlib.Path(f"/etc/ssh/ssh_host_{kind}_key.pub").read_text().strip() for kind in KEY_TYPES]
    block = ["-----BEGIN SSH HOST KEY KEYS-----", *lines, "-----END SSH HOST KEY KEYS-----"]
    with open("/dev/console", "w") as console:
        console.write("\n".join(block) + "\n")


def identity() -> None:
    session = token()
    name = (metadata("meta-data/local-hostname", session) or b"localhost").decode()
    set_hostname(name.split(".")[0])
    make_host_keys()
    key = metadata("meta-data/public-keys/0/openssh-key", session)
    if key:
        authorize(key)
    print_host_keys()


def user_data() -> None:
    done = STATE / "user-data.done"
    if done.exists():
        return
    STATE.mkdir(parents=True, exist_ok=True)
    script = metadata("user-data", token())
    if script and script.startswith(b"#!"):
        path = STATE / "user-data"
        path.write_bytes(script)
        path.chmod(0o700)
        code = subprocess.run([str(path)], check=False, cwd="/").returncode
        print(f"instance-init: user data ended with {code}", flush=True)
    elif script:
        print("instance-init: user data is no `#!` script; this image runs nothing else", flush=True)
    done.touch()


if __name__ == "__main__":
    {"identity": identity, "user-data": user_data}[sys.argv[1]]()
