"""What `dcos_generate_config.sh` does on the bootstrap host: checks genconf/config.yaml and writes genconf/serve/."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from rehearsal.cluster.settings import DCOS_VERSION, IMAGE_COMMIT
from rehearsal.installer import cache, configuration
from rehearsal.installer.archive import ROLES, file_text, filled, tar_of
from rehearsal.installer.configuration import Findings, GeneratorError, Values

GENCONF = Path("genconf")
AWS_PRESET = {
    "rexray": {"loglevel": "info", "service": "ebs"},
    "libstorage": {
        "server": {"tasks": {"logTimeout": "5m"}},
        "integration": {"volume": {"operations": {"unmount": {"ignoreusedcount": True}}}},
    },
}


class Failure(Exception):
    """Why nothing was generated, in words for the operator."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dcos_generate_config.sh", description="Install DC/OS on-premise")
    parser.add_argument("--archive", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--name", default="dcos_generate_config.sh", help=argparse.SUPPRESS)
    parser.add_argument("-v", "--verbose", action="store_true", help="Verbose log output (DEBUG).")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--genconf", action="store_true", help="Execute the configuration generation (default).")
    mode.add_argument("--hash-password", metavar="PASSWORD", nargs="?", const="", help="Hash a password.")
    mode.add_argument("--version", action="store_true", help="Print the DC/OS version.")
    mode.add_argument("--generate-node-upgrade-script", metavar="INSTALLED_VERSION")
    mode.add_argument("--aws-cloudformation", action="store_true")
    mode.add_argument("--web", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Do what the arguments say; 1 on any failure."""
    arguments = _arguments()
    try:
        _dispatch(arguments)
    except Failure as failure:
        sys.exit(f"{failure}")


def _dispatch(arguments: argparse.Namespace) -> None:
    if arguments.version:
        print(json.dumps({"variant": "", "version": DCOS_VERSION}))
    elif arguments.hash_password is not None:
        print(hashed(arguments.hash_password or getpass.getpass("Password: ")))
    elif arguments.web:
        raise Failure("--web has been removed; use the command line instead.")
    elif arguments.aws_cloudformation:
        raise Failure("--aws-cloudformation is not built in the rehearsal installer.")
    elif arguments.generate_node_upgrade_script is not None:
        raise Failure("--generate-node-upgrade-script is not built in the rehearsal installer.")
    else:
        generate(arguments.archive / "packages", GENCONF)


def hashed(password: str) -> str:
    """A SHA-512 crypt hash as the real installer prints it."""
    salt = secrets.token_hex(8)
    done = subprocess.run(["openssl", "passwd", "-6", "-salt", salt, "-stdin"],
                          input=password, capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode != 0:
        raise Failure(f"openssl could not hash the password: {done.stderr.strip()}")
    return done.stdout.strip()


def read(genconf: Path) -> Values:
    """config.yaml's values as strings; Failure names what is wrong with the file."""
    path = genconf / "config.yaml"
    if not path.exists():
        raise Failure(f"Configuration file not found: {path}")
    try:
        document: Any = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise Failure(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise Failure(f"{path} must hold a mapping of keys to values")
    try:
        return configuration.stringified(document)
    except GeneratorError as error:
        raise Failure(str(error)) from error


def generate(packages: Path, genconf: Path) -> None:
    """Check, then write serve/ anew."""
    given = read(genconf)
    values = configuration.with_defaults(given)
    ip_detect = genconf.parent / values["ip_detect_filename"]
    findings = configuration.check(given, has_ip_detect=ip_detect.is_file())
    if not findings.is_fine:
        raise Failure(explained(findings))
    if values["exhibitor_storage_backend"] != "static" or values["master_discovery"] != "static":
        raise Failure("Only exhibitor_storage_backend: static with master_discovery: static is built in the rehearsal "
                      "installer.")  # fmt: skip
    print("====> EXECUTING CONFIGURATION GENERATION")
    serve = genconf / "serve"
    shutil.rmtree(serve, ignore_errors=True)
    _write(serve, packages, values, _detectors(genconf, values, ip_detect))
    print(f"Generated configuration files in {serve}")


def explained(findings: Findings) -> str:
    """The generator's way of telling errors."""
    lines = ["====> CONFIGURATION ERRORS"]
    lines += [f"{name}: {message}" for name, message in sorted(findings.errors.items())]
    lines += [f"{name}: Must set {name}, no way to calculate value." for name in findings.unset]
    return "\n".join(lines)


def _detectors(genconf: Path, values: Values, ip_detect: Path) -> dict[str, bytes]:
    public = values["ip_detect_public_filename"]
    path = genconf.parent / public if public else ip_detect
    if not path.is_file():
        raise Failure(f"ip-detect script `{public}` must exist")
    return {"detect_ip": ip_detect.read_bytes(), "detect_ip_public": path.read_bytes()}


def _write(serve: Path, packages: Path, values: Values, detectors: dict[str, bytes]) -> None:
    settings = cluster_settings(values)
    bootstrap_id = cache.digest(
        [json.dumps(settings, sort_keys=True), *sorted(path.name for path in packages.iterdir())]
    )
    settings["bootstrap_id"] = bootstrap_id
    config = _config_package(settings, detectors)
    config_id = f"dcos-config--setup_{cache.digest([config])}"
    names = [path.name.removesuffix(".tar.xz") for path in sorted(packages.iterdir())] + [config_id]
    for path in sorted(packages.iterdir()):
        _place(path, serve / "packages" / path.name.split("--")[0] / path.name)
    _put(serve / "packages/dcos-config" / f"{config_id}.tar.xz", config)
    bootstrap = tar_of({"bin/pkgpanda": (file_text("pkgpanda").encode(), 0o755),
                        "roles.json": (json.dumps(ROLES).encode(), 0o644)})  # fmt: skip
    listing = cache.digest(names)
    _put(serve / "bootstrap" / f"{bootstrap_id}.bootstrap.tar.xz", bootstrap)
    _put(serve / "bootstrap" / f"{bootstrap_id}.active.json", json.dumps(["pkgpanda"]).encode())
    _put(serve / "bootstrap.latest", bootstrap_id.encode())
    _put(serve / "cluster-package-list.latest", listing.encode())
    _put(serve / "package_lists" / f"{listing}.package_list.json", json.dumps(names).encode())
    info = {
        name.split("--")[0]: {"id": name, "filename": f"packages/{name.split('--')[0]}/{name}.tar.xz"} for name in names
    }
    _put(serve / "cluster-package-info.json", json.dumps(info).encode())
    _put(serve.parent / "cluster_packages.json", json.dumps(info).encode())
    (serve.parent / "state").mkdir(exist_ok=True)
    install = serve / "dcos_install.sh"
    _put(install, filled(file_text("dcos_install.sh"), {
        "bootstrap_url": values["bootstrap_url"], "bootstrap_id": bootstrap_id, "cluster_package_list": listing,
        "rexray_config": yaml.safe_dump(settings["rexray"]).strip(),
    }).encode())  # fmt: skip
    install.chmod(0o755)


def cluster_settings(values: Values) -> dict[str, Any]:
    """What every node is told (rehearsal.cluster.settings)."""
    rexray = AWS_PRESET if values["rexray_config_preset"] == "aws" else json.loads(values["rexray_config"])
    return {
        "cluster_name": values["cluster_name"],
        "masters": json.loads(values["master_list"]),
        "resolvers": json.loads(values["resolvers"]),
        "dns_search": values["dns_search"],
        "superuser_uid": values["superuser_service_account_uid"],
        "superuser_public_key": values["superuser_service_account_public_key"],
        "rexray": rexray,
        "enforce_group_role": values["marathon_new_group_enforce_role"] == "top",
    }


def _config_package(settings: dict[str, Any], detectors: dict[str, bytes]) -> bytes:
    version = {"version": DCOS_VERSION, "dcos-image-commit": IMAGE_COMMIT, "bootstrap-id": settings["bootstrap_id"],
               "dcos-variant": "open"}  # fmt: skip
    return tar_of({
        "etc/cluster.json": (json.dumps(settings, indent=1).encode(), 0o644),
        "etc/dcos-version.json": (json.dumps(version).encode(), 0o644),
        **{f"bin/{name}": (content, 0o755) for name, content in detectors.items()},
    })  # fmt: skip


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


if __name__ == "__main__":
    main()
