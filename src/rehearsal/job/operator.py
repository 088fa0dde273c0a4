"""An operator on the region's Internet: a folder with the declared data, a key, credentials, and a terminal.

Runs inside the Internet's namespace (or with a prefix that leads there), so everything here reaches what an
operator would reach, and no more.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

import boto3
import yaml

from rehearsal import toolchain
from rehearsal.region.handle import RegionHandle

RECOVERY_REGION = "us-west-2"
REGION_OF = {"dev": "us-east-1", "dev-dr": RECOVERY_REGION}
STATE_BUCKET = "rekindle-state"
UPSTREAM_BUCKET = "rehearsal-upstream"  # the Internet that installers and artifacts come from
INSTALLER = "dcos_generate_config.sh"
AMI_NAME = "rekindle-debian-12"
OPERATORS = "198.18.1.2/32"
DECLARED = ("Pulumi.yaml", "stacks", "roles", "packages")


class JobFailed(Exception):
    """A command of the job ended otherwise than it should."""


@dataclass
class Operator:
    """Runs the product's own commands as a person would, on the region's Internet."""

    handle: RegionHandle
    checkout: Path  # of this project
    downloads: Path  # what the Internet offers
    home: Path
    prefix: Sequence[str] = ()  # of every command, where this process is not on the Internet itself
    environ: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        own = {
            **self.handle.environ(RECOVERY_REGION),
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TERM": os.environ.get("TERM", "dumb"),
            "PULUMI_HOME": str(self.home / ".pulumi"),
            "PULUMI_BACKEND_URL": f"s3://{STATE_BUCKET}?region={RECOVERY_REGION}",
            "REKINDLE_SSH_KEY": str(self.home / ".ssh" / "id_ed25519"),
        }
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        self.environ = toolchain.environ(own | {"XDG_CACHE_HOME": cache})

    @property
    def folder(self) -> Path:
        """The operator's checkout of the declared data, with this region's values."""
        return self.home / "platform"

    def settle_in(self) -> None:
        """The folder, the key, the state bucket and what the Internet offers are there."""
        self._make_key()
        self._put_upstream()
        self._make_state_bucket()
        for name in DECLARED:
            _copy(self.checkout / name, self.folder / name)
        for stack, region in REGION_OF.items():
            self._adapt(stack, region)

    def run(self, *argv: str, where: Path | None = None, stdin: str = "", quiet: bool = False) -> str:
        """Runs a command to success, on this terminal unless quiet; JobFailed names it and shows its end."""
        code, output = self.attempt(*argv, where=where, stdin=stdin, quiet=quiet)
        if code:
            raise JobFailed(f"`{' '.join(argv)}` ended with {code}\n{output[-4000:]}")
        return output

    def attempt(self, *argv: str, where: Path | None = None, stdin: str = "", quiet: bool = False) -> tuple[int, str]:
        """Exit code, and the output when quiet."""
        done = subprocess.run(
            [*self.prefix, *argv],
            cwd=where or self.folder,
            env=self.environ,
            input=stdin,
            text=True,
            check=False,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
        )
        return done.returncode, done.stdout or ""

    def start(self, *argv: str, **variables: str) -> "subprocess.Popen[bytes]":
        """A command in the background, to be ended by the caller."""
        return subprocess.Popen([*self.prefix, *argv], env=self.environ | variables)

    def client(self, service: str, region: str = RECOVERY_REGION) -> Any:
        """A boto3 client with the operator's credentials."""
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.environ["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environ["AWS_SECRET_ACCESS_KEY"],
        )

    def _make_key(self) -> None:
        key = self.home / ".ssh" / "id_ed25519"
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", key], check=True)

    def _make_state_bucket(self) -> None:
        s3 = self.client("s3")
        s3.create_bucket(Bucket=STATE_BUCKET, CreateBucketConfiguration={"LocationConstraint": RECOVERY_REGION})
        s3.put_bucket_versioning(Bucket=STATE_BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def _put_upstream(self) -> None:
        s3 = self.client("s3")
        s3.create_bucket(Bucket=UPSTREAM_BUCKET, CreateBucketConfiguration={"LocationConstraint": RECOVERY_REGION})
        for path in self.downloads.iterdir():
            s3.upload_file(str(path), UPSTREAM_BUCKET, path.name)

    def _adapt(self, stack: str, region: str) -> None:
        """Sets what differs by account: key, image, who may log in, where things are fetched from."""
        path = self.folder / "stacks" / f"Pulumi.{stack}.yaml"
        document = yaml.safe_load(path.read_text())
        settings = document["config"]["rekindle:environment"]
        settings["ami"] = self._ami(region)
        settings["network"]["admin_allowed_cidrs"] = [OPERATORS]
        settings["ssh"] = {
            "user": "admin",
            "public_key": (self.home / ".ssh" / "id_ed25519.pub").read_text().strip(),
        }
        settings["dcos"]["installer"] = {
            "url": f"s3://{UPSTREAM_BUCKET}/{INSTALLER}",
            "sha256": _digest(self.downloads / INSTALLER),
        }
        settings["dcos"]["container_runtime"] = "none"  # machines inside one machine have no Docker
        settings.setdefault("values", {}).update(
            artifacts=f"s3://{UPSTREAM_BUCKET}",
            digests={archive.name: _digest(archive) for archive in sorted(self.downloads.glob("*.tgz"))},
            hosts={"kernel": "shared"},
        )
        path.write_text(yaml.safe_dump(document, sort_keys=False))

    def _ami(self, region: str) -> str:
        images = self.client("ec2", region).describe_images(Filters=[{"Name": "name", "Values": [AMI_NAME]}])["Images"]
        image_id: str = images[0]["ImageId"]
        return image_id


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def python(*argv: str) -> Sequence[str]:
    """A command line for a module of this project."""
    return (sys.executable, "-m", *argv)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
