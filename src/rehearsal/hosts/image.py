"""The one Debian image that every machine boots from: debootstrap, once, then from the cache."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from rehearsal.region.errors import RegionError
from rehearsal.region.stage import API_ENDPOINT, LOGIN_USER, S3_ENDPOINT, VPC_RESOLVER_ADDRESS

SUITE = "bookworm"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "python3", "nginx-light",
    "haproxy", "curl", "tar", "xz-utils", "unzip", "ipset", "nftables", "iptables", "iproute2",
    "e2fsprogs", "xfsprogs", "sudo", "iputils-ping", "procps", "ca-certificates", "netcat-openbsd",
    "bind9-dnsutils", "less",
)  # fmt: skip
_GUEST_FILES = {
    "instance_init.py": ("usr/local/sbin/instance-init", 0o755),
    "instance-init.service": ("etc/systemd/system/instance-init.service", 0o644),
    "instance-user-data.service": ("etc/systemd/system/instance-user-data.service", 0o644),
    "booted.conf": ("etc/systemd/system/ssh.service.d/booted.conf", 0o644),
}
_TEXTS = {
    "etc/resolv.conf": f"nameserver {VPC_RESOLVER_ADDRESS}\noptions timeout:2 attempts:3\n",
    "etc/environment": f"AWS_ENDPOINT_URL={API_ENDPOINT}\nAWS_ENDPOINT_URL_S3={S3_ENDPOINT}\n",
    "etc/systemd/system.conf.d/aws.conf": (
        f"[Manager]\nDefaultEnvironment=AWS_ENDPOINT_URL={API_ENDPOINT} AWS_ENDPOINT_URL_S3={S3_ENDPOINT}\n"
    ),
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "localhost\n",
    "etc/machine-id": "",
    f"etc/sudoers.d/90-{LOGIN_USER}": f"{LOGIN_USER} ALL=(ALL) NOPASSWD:ALL\n",
    "etc/ssh/sshd_config.d/cloud.conf": "PasswordAuthentication no\nUseDNS no\nPrintMotd no\n",
}
_CUSTOMISE = f"""
set -eu
useradd --create-home --shell /bin/bash --groups sudo {LOGIN_USER}
rm -f /etc/ssh/ssh_host_*
systemctl disable --quiet nginx haproxy nftables e2scrub_reap
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer \
    console-getty.service getty.target systemd-logind-varlink.socket systemd-firstboot.service
systemctl enable --quiet ssh.service instance-init.service instance-user-data.service
chmod 0440 /etc/sudoers.d/90-{LOGIN_USER}
rm -rf /var/lib/apt/lists/*
"""

Progress = Callable[[str], None]


def ensure_base_image(cache: Path, progress: Progress = lambda _: None) -> Path:
    """The image's directory tree, made first where it is absent or was made from other contents.

    Raises:
        RegionError: debootstrap failed; the message carries its last lines.
    """
    image = cache / f"base-image-{_digest()}"
    with _build_lock(cache):
        if not image.is_dir():
            debian = _debian(cache, progress)
            _build(image, debian)
            _remove_older(cache, debian, image)
    return image


def _digest() -> str:
    digest = hashlib.sha256(repr((SUITE, PACKAGES, sorted(_TEXTS.items()), _CUSTOMISE)).encode())
    for name in sorted(_GUEST_FILES):
        digest.update(_guest_file(name))
    return digest.hexdigest()[:12]


def _debian(cache: Path, progress: Progress) -> Path:
    """Debian with the packages, and nothing of ours: the slow part, made once for a list of packages."""
    digest = hashlib.sha256(repr((SUITE, PACKAGES)).encode()).hexdigest()[:12]
    debian, partial = cache / f"debian-{digest}", cache / f"debian-{digest}.partial"
    if debian.is_dir():
        return debian
    progress("Making the Debian image that hosts boot from (about a minute, once)")
    shutil.rmtree(partial, ignore_errors=True)
    packages = cache / "deb-packages"
    packages.mkdir(exist_ok=True)
    include = f"--include={','.join(PACKAGES)}"
    _run(["debootstrap", "--variant=minbase", include, f"--cache-dir={packages}", SUITE, str(partial)])
    shutil.rmtree(packages)
    _run(["chroot", str(partial), "apt-get", "clean"])
    partial.rename(debian)
    return debian


def _guest_file(name: str) -> bytes:
    return files("rehearsal.hosts").joinpath("guest", name).read_bytes()


@contextmanager
def _build_lock(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "base-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(image: Path, debian: Path) -> None:
    partial = image.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    _run(["cp", "--archive", "--reflink=auto", str(debian), str(partial)])
    _install_files(partial)
    _run(["chroot", str(partial), "/bin/sh", "-c", _CUSTOMISE])
    partial.rename(image)


def _install_files(root: Path) -> None:
    for path, text in _TEXTS.items():
        _write(root / path, text.encode(), 0o644)
    for name, (path, mode) in _GUEST_FILES.items():
        _write(root / path, _guest_file(name), mode)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise RegionError(f"{command[0]} failed with {done.returncode} while the hosts' image was made:\n{tail}")


def _remove_older(cache: Path, *current: Path) -> None:
    """What was made from other contents, unless a machine still runs from it."""
    mounted = Path("/proc/self/mounts").read_text()
    for other in (*cache.glob("base-image-*"), *cache.glob("debian-*")):
        if other.is_dir() and other not in current and str(other) not in mounted:
            shutil.rmtree(other, ignore_errors=True)
