"""config.yaml as the DC/OS 2.1 generator reads and checks it (open variant).

Keys, defaults and rules: dcos/dcos gen/calc.py and gen/build_deploy/bash.py, summarised in config_keys.json.
Unknown keys are accepted silently, as they are by the real one.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

KEYS: dict[str, Any] = json.loads((resources.files("rehearsal.installer") / "config_keys.json").read_text())
BACKENDS = ("agent_only_group_no_exhibitor", "aws_s3", "shared_filesystem", "static", "zookeeper", "azure")
DISCOVERIES = ("master_http_loadbalancer", "static")
TIME_UNITS = ("ns", "us", "ms", "secs", "mins", "hrs", "days", "weeks")
SIZE_UNITS = ("B", "KB", "MB", "GB", "TB")
MASTER_COUNTS = (1, 3, 5, 7, 9)

Values = dict[str, str]
Rule = Callable[[str], "str | None"]


class GeneratorError(Exception):
    """What the real generator answers with a traceback instead of a message."""


@dataclass
class Findings:
    """What is wrong with a configuration: messages by key, and missing keys."""

    errors: dict[str, str] = field(default_factory=dict)
    unset: list[str] = field(default_factory=list)

    @property
    def is_fine(self) -> bool:
        """True if nothing is wrong."""
        return not self.errors and not self.unset


def stringified(document: dict[str, Any]) -> Values:
    """The strings that the generator works with; a float or null aborts it."""
    return {name: _text(name, value) for name, value in document.items()}


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, dict)):
        return json.dumps(value)
    raise GeneratorError(f"stringify raised Exception: {name} has a value of type {type(value).__name__}")


def with_defaults(given: Values) -> Values:
    """The configuration over the defaults."""
    return {**KEYS["default"], **given}


def check(given: Values, *, has_ip_detect: bool = True) -> Findings:
    """All that is wrong, in the generator's words."""
    found = Findings()
    _missing(given, found)
    _fixed(given, found)
    values = with_defaults(given)
    for name, rule in _rules(values):
        if name in values and name not in found.errors:
            message = rule(values[name])
            if message:
                found.errors[name] = message
    _masters(given, found)
    _combinations(given, values, found)
    if not has_ip_detect:
        filename = values["ip_detect_filename"]
        found.errors["ip_detect_contents"] = f"ip-detect script `{filename}` must exist"
    found.unset.sort()
    return found


def _missing(given: Values, found: Findings) -> None:
    found.unset += [name for name in KEYS["required"] if name not in given]
    for condition, names in KEYS["required_when"].items():
        pairs = [part.split("=") for part in condition.split(",")]
        if all(given.get(name) == value for name, value in pairs):
            found.unset += [name for name in names if name not in given and name not in found.unset]
    if "no_proxy" in found.unset:
        found.unset.remove("no_proxy")
        found.errors["no_proxy_final"] = _json_list("") or ""


def _fixed(given: Values, found: Findings) -> None:
    fixed = set(KEYS["fixed"])
    if given.get("master_discovery") == "static":
        fixed.add("num_masters")
    if given.get("rexray_config_preset") == "aws":
        fixed.add("rexray_config")
    for name in sorted(fixed & given.keys()):
        found.errors[name] = (
            f"{name} must be calculated, but was explicitly set in the configuration. Remove it from the configuration."
        )


def _rules(values: Values) -> Iterator[tuple[str, Rule]]:
    for name in KEYS["bools"]:
        yield name, _boolean
    yield from SIMPLE_RULES.items()


def _boolean(value: str) -> str | None:
    return None if value in {"true", "false"} else f"Must be one of 'true', 'false'. Got '{value}'."


def _one_of(*allowed: str) -> Rule:
    words = ", ".join(f"'{one}'" for one in allowed)
    return lambda value: None if value in allowed else f"Must be one of {words}. Got '{value}'."


def _json_list(value: str) -> str | None:
    try:
        found = json.loads(value)
    except ValueError as error:
        return (f"Must be a JSON formatted list, but couldn't be parsed the given value `{value}` as one because of: "
                f"{error}")  # fmt: skip
    return None if isinstance(found, list) else f"Must be a JSON formatted list, got {type(found).__name__}"


def _string_list(value: str) -> str | None:
    wrong = _json_list(value)
    if wrong:
        return wrong
    strange = [one for one in json.loads(value) if not isinstance(one, str)]
    if strange:
        return "Items in list must be strings, got invalid values: " + ", ".join(
            f"{one} type {type(one).__name__}" for one in strange
        )
    return None


def _addresses(items: list[str]) -> str | None:
    strange = [one for one in items if not _is_ipv4(one)]
    return f"Invalid IPv4 addresses in list: {', '.join(strange)}" if strange else None


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _ipv4_list(value: str) -> str | None:
    wrong = _string_list(value)
    if wrong:
        return wrong
    items: list[str] = json.loads(value)
    return _duplicates(items) or _addresses(items)


def _duplicates(items: list[str]) -> str | None:
    repeated = [(one, count) for one, count in Counter(items).items() if count > 1]
    if not repeated:
        return None
    return "List cannot contain duplicates: " + ", ".join(f"{one} appears {count} times" for one, count in repeated)


def _resolvers(value: str) -> str | None:
    wrong = _string_list(value)
    if wrong:
        return wrong
    items: list[str] = json.loads(value)
    ports = [one.rpartition(":")[2] for one in items if ":" in one]
    hosts = [one.partition(":")[0] for one in items]
    bad_ports = [port for port in ports if not (port.isdigit() and 1 <= int(port) <= 65535)]
    return _duplicates(items) or _addresses(hosts) or ("Must be between 1 and 65535 inclusive" if bad_ports else None)


def _url(value: str) -> str | None:
    if len(value) <= 1:
        return "Should be a url (http://example.com/bar or file:///path/to/local/cache)"
    return "Must not end in a '/'" if value.endswith("/") else None


def _dns_search(value: str) -> str | None:
    if "\n" in value:
        return "Newlines are not allowed"
    if "," in value:
        return "Commas are not allowed"
    if len(value) > 255:
        return "Must be no more than 255 characters long"
    return "Must contain no more than 6 domains" if len(value.split()) > 6 else None


def _integer_at_least(least: int, message: str) -> Rule:
    return lambda value: None if re.fullmatch(r"-?\d+", value) and int(value) >= least else message


def _between(low: int, high: int) -> Rule:
    message = f"Must be between {low} and {high} inclusive"
    return lambda value: None if re.fullmatch(r"-?\d+", value) and low <= int(value) <= high else message


def _is_integer(name: str) -> Rule:
    def rule(value: str) -> str | None:
        try:
            int(value)
        except ValueError as error:
            return f"Error parsing '{name}' parameter as an integer: {error}"
        return None

    return rule


def _duration(value: str) -> str | None:
    return _amount(value, TIME_UNITS)


def _size(value: str) -> str | None:
    if not value:
        return None
    wrong = _amount(value, SIZE_UNITS)
    number = re.match(r"[\d.]+", value)
    if wrong is None and number and "." in number.group(0):
        return f"Fractional bytes: {number.group(0)}."
    return wrong


def _amount(value: str, units: tuple[str, ...]) -> str | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]+)", value)
    unit = found.group(2) if found else value[-1:]
    return None if found and unit in units else f"Unit '{unit}' not in {list(units)}."


def _absolute(value: str) -> str | None:
    return None if value.startswith("/") else "Must be an absolute filesystem path"


def _json_object(value: str) -> str | None:
    try:
        found = json.loads(value)
    except ValueError:
        return f"Must be valid JSON. Got: {value}"
    return None if isinstance(found, dict) else f"Must be a JSON object. Got: {value}"


def _frame_options(value: str) -> str | None:
    if re.fullmatch(r"(DENY|SAMEORIGIN|ALLOW-FROM[ \t].+)", value, re.IGNORECASE):
        return None
    return "X-Frame-Options must be set to one of DENY, SAMEORIGIN, ALLOW-FROM"


def _ca_url(value: str) -> str | None:
    if value and not value.startswith("https://"):
        return "Expected `https://` as `exhibitor_bootstrap_ca_url` protocol."
    return "Must not end in a '/'" if value.endswith("/") else None


def _forward_zones(value: str) -> str | None:
    wrong = _json_object(value)
    if wrong:
        return wrong
    for servers in json.loads(value).values():
        if not isinstance(servers, list):
            return f'Invalid "dns_forward_zones": {servers} is not a list'
    return None


SIMPLE_RULES: dict[str, Rule] = {
    "adminrouter_x_frame_options": _frame_options,
    "bootstrap_url": _url,
    "calico_ipinip_mtu": _integer_at_least(552, "Must be above or equal to 552"),
    "calico_veth_mtu": _integer_at_least(552, "Must be above or equal to 552"),
    "calico_vxlan_mtu": _integer_at_least(552, "Must be above or equal to 552"),
    "calico_vxlan_port": _between(1025, 65535),
    "cluster_docker_credentials": _json_object,
    "dcos_l4lb_max_named_ip": lambda value: _addresses([value]),
    "dcos_l4lb_min_named_ip": lambda value: _addresses([value]),
    "dcos_net_push_ops_timeout": _between(50, 120000),
    "dcos_overlay_config_attempts": _between(0, 10),
    "dcos_overlay_mtu": _integer_at_least(552, "Must be above or equal to 552"),
    "diagnostics_bundles_dir": _absolute,
    "dns_bind_ip_blacklist": _ipv4_list,
    "dns_forward_zones": _forward_zones,
    "dns_search": _dns_search,
    "exhibitor_bootstrap_ca_url": _ca_url,
    "exhibitor_storage_backend": _one_of(*BACKENDS),
    "exhibitor_zk_hosts": lambda value: (
        "Must be of the form `host:port,host:port', not start with zk://" if value.startswith("zk://") else None),
    "exhibitor_zk_path": lambda value: None if value.startswith("/") else "Must be of the form /path/to/znode",
    "marathon_new_group_enforce_role": lambda value: (
        None if value in {"top", "off", ""} else "marathon_new_group_enforce_role must be 'top', 'off', or ''"),
    "master_discovery": _one_of(*DISCOVERIES),
    "master_list": _ipv4_list,
    "mesos_agent_work_dir": _absolute,
    "mesos_default_container_shm_size": _size,
    "mesos_dns_ip_sources": _json_list,
    "mesos_log_retention_mb": _integer_at_least(1024, "Must retain at least 1024 MB of logs"),
    "mesos_logrotate_file_size_mb": _is_integer("mesos_logrotate_file_size_mb"),
    "mesos_master_work_dir": _absolute,
    "mesos_max_completed_frameworks": _is_integer("mesos_max_completed_frameworks"),
    "mesos_max_completed_tasks_per_framework": _is_integer("mesos_max_completed_tasks_per_framework"),
    "mesos_recovery_timeout": _duration,
    "metronome_gpu_scheduling_behavior": lambda value: (
        None if value in {"restricted", "unrestricted", ""} else
        "metronome_gpu_scheduling_behavior must be 'restricted', 'unrestricted', 'undefined' or ''"),
    "resolvers": _resolvers,
    "rexray_config": _json_object,
    "s3_prefix": lambda value: "Must be a file path and cannot end in a /" if value.endswith("/") else None,
}  # fmt: skip


def _masters(given: Values, found: Findings) -> None:
    if given.get("master_discovery") == "static" and "master_list" in given and "master_list" not in found.errors:
        count = len(json.loads(given["master_list"]))
    elif given.get("master_discovery") == "master_http_loadbalancer" and "num_masters" in given:
        try:
            count = int(given["num_masters"])
        except ValueError as error:
            raise GeneratorError(f"ValueError: {error}") from error
    else:
        return
    if count not in MASTER_COUNTS and "num_masters" not in found.errors:
        found.errors["num_masters"] = f"Must have 1, 3, 5, 7, or 9 masters. Found {count}"


def _combinations(given: Values, values: Values, found: Findings) -> None:
    is_discovered = given.get("master_discovery") == "master_http_loadbalancer"
    if is_discovered and given.get("exhibitor_storage_backend") == "static":
        found.errors.setdefault("exhibitor_storage_backend", STATIC_WITH_DISCOVERY)
        found.errors.setdefault("master_discovery", STATIC_WITH_DISCOVERY)
    if values["enable_ipv6"] == "false" and values["dcos_l4lb_enable_ipv6"] != "false":
        message = "When enable_ipv6 is false, dcos_l4lb_enable_ipv6 must be false as well"
        found.errors |= {"enable_ipv6": message, "dcos_l4lb_enable_ipv6": message}
    versions = [f"adminrouter_tls_1_{minor}_enabled" for minor in (0, 1, 2)]
    if all(values[name] == "false" for name in versions):
        message = f"At least one of {versions[0]}, {versions[1]} and {versions[2]} must be set to 'true'."
        found.errors |= dict.fromkeys(versions, message)
    if "mesos_default_container_shm_size" in found.errors:
        found.errors["has_mesos_default_container_shm_size"] = found.errors["mesos_default_container_shm_size"]
    _superuser(values, found)
    _overlay(values, found)


STATIC_WITH_DISCOVERY = (
    "When master_discovery is not static, exhibitor_storage_backend must be non-static. Having a variable list of "
    "master which are discovered by agents using the master_discovery method but also having a fixed known at install "
    "time static list of master ips doesn't `master_http_load_balancer` then exhibitor_storage_backend must not be "
    "static."
)


def _superuser(values: Values, found: Findings) -> None:
    uid, key = "superuser_service_account_uid", "superuser_service_account_public_key"
    if bool(values[uid]) != bool(values[key]):
        message = f"'{uid}' and '{key}' must both be empty or both be non-empty"
        found.errors |= {uid: message, key: message}
    if not values[key]:
        return
    try:
        is_rsa = isinstance(load_pem_public_key(values[key].encode()), rsa.RSAPublicKey)
        reason = "not an RSA key"
    except ValueError as error:
        is_rsa, reason = False, str(error)
    if not is_rsa:
        found.errors["_superuser_service_account_public_key_json"] = (
            f"{key} has an invalid value. It must hold an RSA public key encoded in the OpenSSL PEM format. "
            f"Error: {reason}"
        )


def _overlay(values: Values, found: Findings) -> None:
    try:
        document = json.loads(values["dcos_overlay_network"])
    except ValueError as error:
        found.errors["dcos_overlay_network"] = f"Must be valid JSON: {error}"
        return
    message = _overlay_problem(document)
    if message:
        found.errors["dcos_overlay_network"] = message
        return
    names = {overlay["name"] for overlay in document["overlays"]}
    default = values["dcos_overlay_network_default_name"]
    if default not in names:
        message = f"Default overlay network name does not reference a defined overlay network: {default}"
        found.errors |= {"dcos_overlay_network": message, "dcos_overlay_network_default_name": message}
    _calico(values, document, found)


def _overlay_problem(document: dict[str, Any]) -> str | None:
    if not document.get("overlays"):
        return f'"Overlays" network configuration is empty: {document}'
    for name in ("vtep_mac_oui", "vtep_subnet", "vtep_subnet6"):
        if name not in document:
            return f'Missing "{name}" in overlay configuration {document}'
    for overlay in document["overlays"]:
        if len(overlay.get("name", "")) > 13:
            return f"Overlay network name cannot exceed 13 characters:{overlay['name']}"
    return None


def _calico(values: Values, document: dict[str, Any], found: Findings) -> None:
    if values["calico_enabled"] != "true" or values["dcos_overlay_enable"] != "true":
        return
    try:
        calico = ipaddress.ip_network(values["calico_network_cidr"])
    except ValueError as error:
        found.errors["calico_network_cidr"] = str(error)
        return
    for overlay in document["overlays"]:
        if "subnet" in overlay and ipaddress.ip_network(overlay["subnet"]).overlaps(calico):
            message = f"overlay subnet {overlay['subnet']} overlaps calico network {calico}"
            names = ("dcos_overlay_network", "calico_network_cidr", "calico_enabled", "dcos_overlay_enable")
            found.errors |= dict.fromkeys(names, message)
